/* sound.c - audio files by libsndfile: on a stream of ours for reading, on a file for FLAC.
 * In: bytes. Out: interleaved floats; a FLAC file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "audio/sound.h"

#if SWG_HAVE_SNDFILE
#include <errno.h>
#include <sndfile.h>
#include <string.h>
#include <unistd.h>

struct swg__sound {
    swg_context *ctx;
    const char *name;           /* of the caller */
    SNDFILE *file;
    swg__stream *in;            /* reading */
    int fd;                     /* writing: from `origin` of this file */
    int64_t origin, at, end;
    int failure;                /* errno of a write, 0 */
};

/* ---- the stream libsndfile sees ---- */

static sf_count_t vio_length(void *user) {
    const swg__sound *s = user;
    return s->in ? s->in->size : s->end;
}

static sf_count_t vio_seek(sf_count_t offset, int whence, void *user) {
    swg__sound *s = user;
    int64_t *at = s->in ? &s->in->at : &s->at;
    const int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? *at : vio_length(user);
    if (offset < -base || offset > INT64_MAX / 2 - base)
        return -1;
    *at = base + offset;
    return *at;
}

static sf_count_t vio_read(void *to, sf_count_t bytes, void *user) {
    swg__sound *s = user;
    const int64_t got = s->in ? swg__stream_read(s->in, to, bytes) : 0;
    return got < 0 ? 0 : got;
}

static sf_count_t vio_write(const void *from, sf_count_t bytes, void *user) {
    swg__sound *s = user;
    int64_t done = 0;
    while (done < bytes) {
        ssize_t n = pwrite(s->fd, (const uint8_t *)from + done, (size_t)(bytes - done), (off_t)(s->origin + s->at + done));
        if (n < 0 && errno != EINTR) {
            s->failure = errno;
            break;
        }
        done += n > 0 ? n : 0;
    }
    s->at += done;
    s->end = s->at > s->end ? s->at : s->end;
    return done;
}

static sf_count_t vio_tell(void *user) {
    const swg__sound *s = user;
    return s->in ? s->in->at : s->at;
}

static SF_VIRTUAL_IO callbacks = {vio_length, vio_seek, vio_read, vio_write, vio_tell};

static swg_status new_sound(swg_context *ctx, const char *name, swg__sound **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    if (!*out)
        return swg__fail_memory(ctx, sizeof **out, name);
    **out = (swg__sound){.ctx = ctx, .name = name, .fd = -1};
    return SWG_OK;
}

/* ---- reading ---- */

static const struct coding { int subtype, bits; bool floating; } codings[] = {
    {SF_FORMAT_PCM_U8, 8, false}, {SF_FORMAT_PCM_S8, 8, false}, {SF_FORMAT_PCM_16, 16, false}, {SF_FORMAT_PCM_24, 24, false},
    {SF_FORMAT_PCM_32, 32, false}, {SF_FORMAT_FLOAT, 32, true}, {SF_FORMAT_DOUBLE, 64, true}, {SF_FORMAT_VORBIS, 0, true},
};

static swg_status describe(swg__sound *s, const SF_INFO *found, swg_audio_info *info) {
    const struct coding *coding = NULL;
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
        if (codings[i].subtype == (found->format & SF_FORMAT_SUBMASK))
            coding = &codings[i];
    if (!coding)
        return swg__fail(s->ctx, SWG_EUNSUPPORTED, "%s: samples in a coding that is not read (libsndfile's %#x); integers of 8 to 32 bits, floats and Vorbis "
                         "are: convert it to FLAC or WAV", s->name, (unsigned)(found->format & SF_FORMAT_SUBMASK));
    if (found->channels < 1 || found->channels > SWG_AUDIO_MOST_CHANNELS || found->samplerate < 1)
        return swg__fail(s->ctx, SWG_ESHAPE, "%s: %d channels at %d Hz; 1 to %d channels are read", s->name, found->channels, found->samplerate,
                         SWG_AUDIO_MOST_CHANNELS);
    const bool told = found->frames >= 0 && found->frames <= (INT64_MAX >> 24) && found->seekable;
    if (!told && (found->format & SF_FORMAT_TYPEMASK) == SF_FORMAT_OGG) /* it is in the last page */
        return swg__fail(s->ctx, SWG_ECORRUPT, "%s: damaged: its end does not say how many samples it has", s->name);
    if (!told)
        return swg__fail(s->ctx, SWG_EUNSUPPORTED, "%s: its head does not say how many samples it has; write it again with a current encoder", s->name);
    info->bits = coding->bits;
    info->floating = coding->floating;
    info->file_rate = found->samplerate;
    info->file_channels = found->channels;
    info->file_samples = found->frames;
    return SWG_OK;
}

static swg_status open_found(swg__sound *s, swg_audio_info *info) {
    SF_INFO found = {0};
    s->in->at = 0;
    s->file = sf_open_virtual(&callbacks, SFM_READ, &found, s);
    if (s->file)
        return describe(s, &found, info);
    const int error = sf_error(NULL);
    return swg__fail(s->ctx, error == SF_ERR_UNSUPPORTED_ENCODING ? SWG_EUNSUPPORTED : SWG_ECORRUPT, "%s: cannot be opened: %s", s->name,
                     sf_error_number(error));
}

swg_status swg__sound_open(swg_context *ctx, const char *name, swg__stream *stream, swg__sound **out, swg_audio_info *info) {
    SWG__TRY(new_sound(ctx, name, out));
    (*out)->in = stream;
    swg_status status = open_found(*out, info);
    if (status != SWG_OK) {
        swg__sound_close(*out);
        *out = NULL;
    }
    return status;
}

int64_t swg__sound_read(swg__sound *s, int64_t count, float *out) { return sf_readf_float(s->file, out, count); }
bool swg__sound_seek(swg__sound *s, int64_t at) { return sf_seek(s->file, at, SEEK_SET) == at; }
const char *swg__sound_error(swg__sound *s) { return sf_error(s->file) ? sf_strerror(s->file) : ""; }

void swg__sound_close(swg__sound *s) {
    if (!s)
        return;
    if (s->file)
        sf_close(s->file);
    swg__free(s->ctx, s);
}

/* ---- FLAC ---- */

bool swg__sound_writes(void) { return true; }

static swg_status fail_write(const swg__sound *s, const char *reason) {
    return swg__fail(s->ctx, SWG_EIO, "%s: cannot write: %s", s->name, s->failure ? strerror(s->failure) : reason);
}

swg_status swg__flac_open(swg_context *ctx, const char *name, int fd, int64_t origin, int64_t rate, int channels, swg__sound **out) {
    SWG__TRY(new_sound(ctx, name, out));
    swg__sound *s = *out;
    s->fd = fd;
    s->origin = origin;
    SF_INFO wanted = {.samplerate = (int)rate, .channels = channels, .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_24};
    s->file = sf_open_virtual(&callbacks, SFM_WRITE, &wanted, s);
    if (s->file)
        return SWG_OK;
    swg_status status = s->failure ? fail_write(s, "") : swg__fail(ctx, SWG_EUNSUPPORTED, "%s: FLAC of %d channels at %lld Hz: %s", name, channels,
                                                                   (long long)rate, sf_error_number(sf_error(NULL)));
    swg__sound_close(s);
    *out = NULL;
    return status;
}

swg_status swg__flac_write(swg__sound *s, const int32_t *numbers, int64_t count) {
    _Static_assert(sizeof(int) == sizeof(int32_t), "libsndfile takes int");
    if (sf_writef_int(s->file, numbers, count) == count && !s->failure)
        return SWG_OK;
    return fail_write(s, sf_strerror(s->file));
}

swg_status swg__flac_end(swg__sound *s, int64_t *bytes) {
    const int error = sf_close(s->file);
    *bytes = s->end;
    s->file = NULL;
    swg_status status = error || s->failure ? fail_write(s, sf_error_number(error)) : SWG_OK;
    swg__sound_close(s);
    return status;
}

#else

struct swg__sound { char none; };

static swg_status missing(swg_context *ctx, const char *name) {
    return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: this build has no libsndfile; install its development package and build again", name);
}

swg_status swg__sound_open(swg_context *ctx, const char *name, swg__stream *stream, swg__sound **out, swg_audio_info *info) {
    (void)stream, (void)info;
    *out = NULL;
    return missing(ctx, name);
}

int64_t swg__sound_read(swg__sound *s, int64_t count, float *out) {
    (void)s, (void)count, (void)out;
    return 0;
}

bool swg__sound_seek(swg__sound *s, int64_t at) {
    (void)s, (void)at;
    return false;
}

const char *swg__sound_error(swg__sound *s) {
    (void)s;
    return "";
}

void swg__sound_close(swg__sound *s) { (void)s; }
bool swg__sound_writes(void) { return false; }

swg_status swg__flac_open(swg_context *ctx, const char *name, int fd, int64_t origin, int64_t rate, int channels, swg__sound **out) {
    (void)fd, (void)origin, (void)rate, (void)channels;
    *out = NULL;
    return missing(ctx, name);
}

swg_status swg__flac_write(swg__sound *s, const int32_t *numbers, int64_t count) {
    (void)s, (void)numbers, (void)count;
    return SWG_EUNSUPPORTED;
}

swg_status swg__flac_end(swg__sound *s, int64_t *bytes) {
    (void)s;
    *bytes = 0;
    return SWG_EUNSUPPORTED;
}

#endif
