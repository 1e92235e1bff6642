/* sound_check.c - which kind of audio file is it, and is all of it there?
 * libsndfile reads what is left of a file that was cut short without a word; here the chunks of a WAV file and the last page of an Ogg file are looked at first.
 * (FLAC says its number of samples in its head: a short one is told when its end is read.)
 * In: a stream. Out: its kind, or an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "audio/sound.h"

typedef struct file {
    swg_context *ctx;
    const char *name;
    swg__stream *stream;
} file;

static bool read_at(const file *f, int64_t at, void *to, int64_t bytes) {
    f->stream->at = at;
    return swg__stream_read(f->stream, to, bytes) == bytes;
}

static uint64_t little(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    for (int i = count; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

/* ---- RIFF: id, length, content, filled up to an even address; RF64: the same, with the length of "data" in a chunk "ds64"; W64: ids of 16 bytes, lengths of 8 that
 * count id and length, filled up to eight ---- */

static const uint8_t w64_riff[16] = {'r', 'i', 'f', 'f', 0x2e, 0x91, 0xcf, 0x11, 0xa5, 0xd6, 0x28, 0xdb, 0x04, 0xc1, 0x00, 0x00};

typedef struct layout { int id, length, round; } layout;
static const layout riff = {4, 4, 2}, w64 = {16, 8, 8};

static swg_status check_data(const file *f, int64_t at, uint64_t bytes) {
    const int64_t there = f->stream->size - at;
    if (bytes <= (uint64_t)there)
        return SWG_OK;
    return swg__fail(f->ctx, SWG_ECORRUPT, "%s: cut short: %lld of %llu bytes of samples are there", f->name, (long long)there, (unsigned long long)bytes);
}

static swg_status check_chunks(const file *f, layout l, int64_t first, bool wide) {
    uint8_t head[24], ds64[16];
    uint64_t long_data = 0;
    const int64_t size = f->stream->size, opening = l.id + l.length;
    for (int64_t at = first; at <= size - opening && read_at(f, at, head, opening);) {
        uint64_t bytes = little(head + l.id, l.length);
        if (l.id == 16) /* W64 counts the chunk's own head */
            bytes = bytes < 24 ? 0 : bytes - 24;
        at += opening;
        if (memcmp(head, "data", 4) == 0) {
            const bool open_ended = l.id == 4 && !wide && (bytes == UINT32_MAX || bytes == 0); /* written to a pipe, whose end was not known */
            return open_ended ? SWG_OK : check_data(f, at, wide && bytes == UINT32_MAX ? long_data : bytes);
        }
        if (wide && memcmp(head, "ds64", 4) == 0 && read_at(f, at, ds64, sizeof ds64))
            long_data = little(ds64 + 8, 8);
        if (bytes > (uint64_t)(size - at))
            break;
        at += (int64_t)bytes;
        at += (l.round - at % l.round) % l.round;
    }
    return swg__fail(f->ctx, SWG_ECORRUPT, "%s: cut short or damaged: it has no chunk of samples", f->name);
}

/* ---- Ogg: pages; the last one is marked ---- */

enum { PAGE_HEAD = 27, PAGE_MOST = PAGE_HEAD + 255 + 255 * 255, LAST_PAGE = 4 };

static int64_t page_bytes(const uint8_t *page, int64_t there) {
    if (there < PAGE_HEAD || there < PAGE_HEAD + page[26])
        return INT64_MAX;
    int64_t bytes = PAGE_HEAD + page[26];
    for (int i = 0; i < page[26]; i++)
        bytes += page[PAGE_HEAD + i];
    return bytes;
}

static swg_status check_pages(const file *f) {
    const int64_t size = f->stream->size, there = size < PAGE_MOST ? size : PAGE_MOST;
    uint8_t *tail = swg__alloc(f->ctx, (size_t)there);
    if (!tail)
        return swg__fail_memory(f->ctx, (size_t)there, f->name);
    bool whole = false;
    if (read_at(f, size - there, tail, there))
        for (int64_t at = there - PAGE_HEAD; at >= 0 && !whole; at--) {
            if (memcmp(tail + at, "OggS", 4) != 0 || page_bytes(tail + at, there - at) > there - at)
                continue;
            whole = tail[at + 5] & LAST_PAGE;
            break;
        }
    swg__free(f->ctx, tail);
    return whole ? SWG_OK : swg__fail(f->ctx, SWG_ECORRUPT, "%s: cut short: its last page is missing", f->name);
}

/* The first packet names the coding. */
static swg_status check_ogg(const file *f, swg__sound_kind *kind) {
    uint8_t page[PAGE_HEAD + 255 + 8] = {0};
    f->stream->at = 0;
    const int64_t got = swg__stream_read(f->stream, page, sizeof page);
    const uint8_t *packet = page + PAGE_HEAD + page[26];
    if (got < PAGE_HEAD + page[26] + 8)
        return swg__fail(f->ctx, SWG_ECORRUPT, "%s: cut short in its first page", f->name);
    if (memcmp(packet, "\1vorbis", 7) != 0)
        return swg__fail(f->ctx, SWG_EUNSUPPORTED, "%s: Ogg with %s; of Ogg files Vorbis is read: convert it to FLAC", f->name,
                         memcmp(packet, "OpusHead", 8) == 0 ? "Opus" : "another coding than Vorbis");
    *kind = SWG__SOUND_VORBIS;
    return check_pages(f);
}

/* ---- kinds ---- */

/* FLAC may stand behind an ID3 tag, whose length is four times seven bits. */
static int64_t behind_tag(const uint8_t *head) {
    if (memcmp(head, "ID3", 3) != 0)
        return 0;
    int64_t bytes = 10;
    for (int i = 0; i < 4; i++)
        bytes += (int64_t)(head[6 + i] & 127) << (21 - 7 * i);
    return bytes;
}

swg_status swg__sound_check(swg_context *ctx, const char *name, swg__stream *stream, swg__sound_kind *kind) {
    const file f = {ctx, name, stream};
    uint8_t head[44] = {0}, flac[4];
    stream->at = 0;
    const int64_t got = swg__stream_read(stream, head, sizeof head);
    if (got < 0)
        return swg__fail(ctx, SWG_EIO, "%s: cannot read: %s", name, strerror(errno));
    if (got == 0)
        return swg__fail(ctx, SWG_EFORMAT, "%s: the file is empty", name);
    *kind = SWG__SOUND_WAV;
    const bool wave = memcmp(head + 8, "WAVE", 4) == 0;
    if (wave && memcmp(head, "RIFF", 4) == 0)
        return check_chunks(&f, riff, 12, false);
    if (wave && memcmp(head, "RF64", 4) == 0)
        return check_chunks(&f, riff, 12, true);
    if (memcmp(head, w64_riff, sizeof w64_riff) == 0)
        return check_chunks(&f, w64, 40, false);
    if (memcmp(head, "OggS", 4) == 0)
        return check_ogg(&f, kind);
    *kind = SWG__SOUND_FLAC;
    if (read_at(&f, behind_tag(head), flac, 4) && memcmp(flac, "fLaC", 4) == 0)
        return SWG_OK;
    if (memcmp(head + 4, "ftyp", 4) == 0)
        return swg__fail(ctx, SWG_EFORMAT, "%s: an MP4 container, which is not read. Convert it, of a .stem.mp4 each track by its number (0 mixture, 1 drums, "
                         "2 bass, 3 other, 4 vocals): ffmpeg -i %s -map 0:a:0 mixture.wav", name, name);
    if (memcmp(head, "ID3", 3) == 0 || (head[0] == 0xff && (head[1] & 0xe0) == 0xe0))
        return swg__fail(ctx, SWG_EFORMAT, "%s: MP3 or AAC, which is not read; convert it to FLAC or WAV", name);
    if (memcmp(head, "FORM", 4) == 0)
        return swg__fail(ctx, SWG_EFORMAT, "%s: AIFF, which is not read; convert it to FLAC or WAV", name);
    return swg__fail(ctx, SWG_EFORMAT, "%s: neither WAV nor FLAC nor OGG", name);
}
