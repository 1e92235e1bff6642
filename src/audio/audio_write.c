/* audio_write.c - songs written piece by piece: floats beside the final name first, numbers of the wanted kind when their largest is known.
 * WAV has its head reserved for RF64 (EBU Tech 3306), so that a file may grow beyond 4 GiB; its floats become integers where they lie, because
 * integers are never longer.
 * In: (channels, samples) f32. Out: a WAV or FLAC file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include "audio/resample.h"
#include "audio/sound.h"
#include "swage/audio.h"
#include "writer.h"

enum { BLOCK = 4096, MOST_CHANNELS = 8, RESERVED = 28, PCM = 1, IEEE_FLOAT = 3 };

struct swg_audio_writer {
    swg_context *ctx;
    char *path;
    swg_audio_write_opts opts;
    swg__writer file;
    int64_t head;               /* bytes before the samples; 0: FLAC, whose floats have none */
    int64_t count;              /* samples written */
    int64_t taken;              /* samples appended */
    double high, low;           /* largest and least number */
    uint8_t *bytes;             /* (BLOCK, channels) as stored */
    float *resampled;           /* (channels, BLOCK); NULL: none */
    swg__resampler *resampler;
};

/* ---- kinds ---- */

static int bits_of(swg_audio_format format) { return format == SWG_AUDIO_WAV16 ? 16 : format == SWG_AUDIO_WAV_FLOAT ? 32 : 24; }

/* The head of a WAV file with so many bytes of samples. Returns its length, which depends on the format alone. */
static int64_t wav_head(const swg_audio_write_opts *o, int64_t data, uint8_t *out) {
    const bool floats = o->format == SWG_AUDIO_WAV_FLOAT;
    const int64_t head = 12 + 8 + RESERVED + (floats ? 8 + 18 + 8 + 4 : 8 + 16) + 8, riff = head - 8 + data + data % 2, frame = o->channels * bits_of(o->format) / 8;
    const bool large = riff > UINT32_MAX;
    uint8_t *at = out;
#define TEXT(text) (memcpy(at, text, 4), at += 4)
#define NUMBER(value, bytes)                                 \
    for (int number_i = 0; number_i < (bytes); number_i++)   \
        *at++ = (uint8_t)((uint64_t)(value) >> 8 * number_i)
    TEXT(large ? "RF64" : "RIFF");
    NUMBER(large ? UINT32_MAX : riff, 4);
    TEXT("WAVE");
    TEXT(large ? "ds64" : "JUNK");
    NUMBER(RESERVED, 4);
    NUMBER(large ? riff : 0, 8);
    NUMBER(large ? data : 0, 8);
    NUMBER(large ? data / frame : 0, 8);
    NUMBER(0, 4);
    TEXT("fmt ");
    NUMBER(floats ? 18 : 16, 4);
    NUMBER(floats ? IEEE_FLOAT : PCM, 2);
    NUMBER(o->channels, 2);
    NUMBER(o->rate, 4);
    NUMBER(o->rate * frame, 4);
    NUMBER(frame, 2);
    NUMBER(bits_of(o->format), 2);
    if (floats) {
        NUMBER(0, 2);
        TEXT("fact");
        NUMBER(4, 4);
        NUMBER(large ? UINT32_MAX : data / frame, 4);
    }
    TEXT("data");
    NUMBER(large ? UINT32_MAX : data, 4);
#undef NUMBER
#undef TEXT
    return head;
}

/* ---- opening ---- */

static swg_status check_opts(swg_context *ctx, const char *path, const swg_audio_write_opts *o) {
    if (o->channels < 1 || o->channels > MOST_CHANNELS || o->rate < 1 || o->rate > INT32_MAX / 32 || o->from_rate < 0 || o->samples < 0)
        return swg__fail(ctx, SWG_EINVAL, "%s: %d channels at %lld Hz; 1 to %d channels are written", path, o->channels, (long long)o->rate, MOST_CHANNELS);
    if (o->format == SWG_AUDIO_FLAC && !swg__sound_writes())
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: FLAC needs libsndfile, which this build has not; write WAV", path);
    return SWG_OK;
}

static swg_status open_writer(swg_audio_writer *w) {
    uint8_t head[128] = {0};
    const swg_audio_write_opts *o = &w->opts;
    const size_t bytes = (size_t)(BLOCK * o->channels) * sizeof(float);
    if (!w->path || !(w->bytes = swg__alloc(w->ctx, bytes)) || !(w->resampled = swg__alloc(w->ctx, bytes)))
        return swg__fail_memory(w->ctx, bytes, "an audio file");
    if (o->from_rate && o->from_rate != o->rate)
        SWG__TRY(swg__resampler_open(w->ctx, w->path, o->from_rate, o->rate, o->channels, &w->resampler));
    SWG__TRY(swg__writer_open(&w->file, w->ctx, w->path));
    w->head = o->format == SWG_AUDIO_FLAC ? 0 : wav_head(o, 0, head);
    return swg__writer_write(&w->file, head, (size_t)w->head);
}

swg_status swg_audio_create(swg_context *ctx, const char *path, const swg_audio_write_opts *opts, swg_audio_writer **out) {
    *out = NULL;
    SWG__TRY(check_opts(ctx, path, opts));
    swg_audio_writer *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, path);
    *w = (swg_audio_writer){.ctx = ctx, .opts = *opts, .path = swg__strdup(ctx, path)};
    swg_status status = open_writer(w);
    if (status != SWG_OK) {
        swg_audio_abort(w);
        return status;
    }
    *out = w;
    return SWG_OK;
}

void swg_audio_abort(swg_audio_writer *w) {
    if (!w)
        return;
    swg__writer_abort(&w->file);
    swg__resampler_close(w->resampler);
    swg__free(w->ctx, w->resampled);
    swg__free(w->ctx, w->bytes);
    swg__free(w->ctx, w->path);
    swg__free(w->ctx, w);
}

/* ---- appending ---- */

static void put_bytes(uint8_t *to, uint32_t number, int bytes) {
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(number >> 8 * i);
}

static uint32_t get_bytes(const uint8_t *from) { return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24; }

/* At the file's rate. */
static swg_status put_samples(swg_audio_writer *w, const float *samples, int64_t count, int64_t stride) {
    if (w->opts.samples && count > w->opts.samples - w->count)
        count = w->opts.samples - w->count;
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < BLOCK ? count - done : BLOCK;
        for (int64_t i = 0; i < n; i++)
            for (int c = 0; c < w->opts.channels; c++) {
                const float x = samples[c * stride + done + i];
                uint32_t number;
                w->high = x > w->high ? x : w->high;
                w->low = x < w->low ? x : w->low;
                memcpy(&number, &x, sizeof number);
                put_bytes(w->bytes + (i * w->opts.channels + c) * 4, number, 4);
            }
        SWG__TRY(swg__writer_write(&w->file, w->bytes, (size_t)(n * w->opts.channels) * 4));
        w->count += n;
    }
    return SWG_OK;
}

/* in NULL: the end. */
static swg_status put_resampled(swg_audio_writer *w, const float *in, int64_t count, int64_t stride) {
    for (int64_t done = 0, used, made = 1; in ? done < count : made > 0; done += used) {
        SWG__TRY(swg__resampler_run(w->resampler, in ? in + done : NULL, stride, count - done, &used, w->resampled, BLOCK, BLOCK, &made));
        SWG__TRY(put_samples(w, w->resampled, made, BLOCK));
    }
    return SWG_OK;
}

swg_status swg_audio_append(swg_audio_writer *w, const float *samples, int64_t count, int64_t stride) {
    for (int c = 0; c < w->opts.channels; c++)
        for (int64_t i = 0; i < count; i++)
            if (!isfinite(samples[c * stride + i]))
                return swg__fail(w->ctx, SWG_ENONFINITE, "%s: sample %lld of channel %d is %g", w->path, (long long)(w->taken + i), c,
                                 (double)samples[c * stride + i]);
    w->taken += count;
    return w->resampler ? put_resampled(w, samples, count, stride) : put_samples(w, samples, count, stride);
}

/* ---- finishing ---- */

/* Fills the file up to the samples it is to have; the file's bytes are all written. */
static swg_status end_samples(swg_audio_writer *w) {
    if (w->resampler)
        SWG__TRY(put_resampled(w, NULL, 0, BLOCK));
    memset(w->resampled, 0, (size_t)(BLOCK * w->opts.channels) * sizeof(float));
    while (w->count < w->opts.samples)
        SWG__TRY(put_samples(w, w->resampled, BLOCK, BLOCK));
    return swg__writer_flush(&w->file);
}

static swg_status move_bytes(swg_audio_writer *w, bool out, void *bytes, int64_t count, int64_t at) {
    for (int64_t done = 0; done < count;) {
        ssize_t n = out ? pwrite(w->file.fd, (uint8_t *)bytes + done, (size_t)(count - done), (off_t)(at + done))
                        : pread(w->file.fd, (uint8_t *)bytes + done, (size_t)(count - done), (off_t)(at + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return swg__fail(w->ctx, SWG_EIO, "%s: cannot %s: %s", w->path, out ? "write" : "read what was written", n ? strerror(errno) : "it became shorter");
        done += n > 0 ? n : 0;
    }
    return SWG_OK;
}

/* x in units of the least step; beyond the range: its end, and counted. */
static int32_t integer_of(double x, int bits, int64_t *clipped) {
    const double most = (double)((1 << (bits - 1)) - 1), value = nearbyint(x);
    *clipped += value > most || value < -most - 1;
    return (int32_t)(value > most ? most : value < -most - 1 ? -most - 1 : value);
}

/* Block by block floats to integers: into the same file, or into `flac`. */
static swg_status convert(swg_audio_writer *w, swg__sound *flac, double gain, int64_t *clipped) {
    const int bits = bits_of(w->opts.format), bytes = bits / 8, channels = w->opts.channels;
    const double scale = gain * (1 << (bits - 1));
    int32_t *upper = (int32_t *)w->resampled; /* as large */
    for (int64_t done = 0, n; done < w->count; done += n) {
        n = w->count - done < BLOCK ? w->count - done : BLOCK;
        SWG__TRY(move_bytes(w, false, w->bytes, n * channels * 4, w->head + done * channels * 4));
        for (int64_t i = 0; i < n * channels; i++) {
            const uint32_t number = get_bytes(w->bytes + 4 * i);
            float x;
            memcpy(&x, &number, sizeof x);
            const int32_t integer = integer_of((double)x * scale, bits, clipped);
            if (flac)
                upper[i] = integer * 256;
            else
                put_bytes(w->bytes + bytes * i, (uint32_t)integer, bytes);
        }
        if (flac)
            SWG__TRY(swg__flac_write(flac, upper, n));
        else
            SWG__TRY(move_bytes(w, true, w->bytes, n * channels * bytes, w->head + done * channels * bytes));
    }
    return SWG_OK;
}

static swg_status cut_at(swg_audio_writer *w, int64_t bytes) {
    return ftruncate(w->file.fd, (off_t)bytes) == 0 ? SWG_OK : swg__fail(w->ctx, SWG_EIO, "%s: cannot write: %s", w->path, strerror(errno));
}

static swg_status make_wav(swg_audio_writer *w, double gain, int64_t *clipped) {
    const bool floats = w->opts.format == SWG_AUDIO_WAV_FLOAT;
    const int64_t data = w->count * w->opts.channels * bits_of(w->opts.format) / 8;
    uint8_t head[128], zero = 0;
    if (!floats)
        SWG__TRY(convert(w, NULL, gain, clipped));
    if (data % 2)
        SWG__TRY(move_bytes(w, true, &zero, 1, w->head + data));
    SWG__TRY(cut_at(w, w->head + data + data % 2));
    return move_bytes(w, true, head, wav_head(&w->opts, data, head), 0);
}

/* Behind the floats, then down to the beginning of the file. */
static swg_status make_flac(swg_audio_writer *w, double gain, int64_t *clipped) {
    const int64_t from = w->count * w->opts.channels * 4, room = (int64_t)BLOCK * w->opts.channels * 4;
    int64_t bytes = 0;
    swg__sound *flac = NULL;
    SWG__TRY(swg__flac_open(w->ctx, w->path, w->file.fd, from, w->opts.rate, w->opts.channels, &flac));
    swg_status status = convert(w, flac, gain, clipped), ended = swg__flac_end(flac, &bytes);
    SWG__TRY(status);
    SWG__TRY(ended);
    for (int64_t done = 0, n; done < bytes; done += n) {
        n = bytes - done < room ? bytes - done : room;
        SWG__TRY(move_bytes(w, false, w->bytes, n, from + done));
        SWG__TRY(move_bytes(w, true, w->bytes, n, done));
    }
    return cut_at(w, bytes);
}

/* Gain by which nothing lies beyond the range of integers, at most 1. */
static double safe_gain(swg_audio_writer **writers, int count) {
    const double most = 1 - ldexp(1, 1 - bits_of(writers[0]->opts.format)), step = ldexp(1, -bits_of(writers[0]->opts.format));
    double gain = 1;
    for (int i = 0; i < count; i++) {
        if (writers[i]->high >= most + step)
            gain = fmin(gain, most / writers[i]->high);
        if (writers[i]->low < -1 - step)
            gain = fmin(gain, -1 / writers[i]->low);
    }
    return gain;
}

static swg_status finish(swg_audio_writer **writers, int count, bool clip, swg_audio_finished *r) {
    for (int i = 0; i < count; i++) {
        if (writers[i]->opts.format != writers[0]->opts.format)
            return swg__fail(writers[i]->ctx, SWG_EINVAL, "%s: files of one song have one format", writers[i]->path);
        SWG__TRY(end_samples(writers[i]));
        r->peak = fmax(r->peak, fmax(writers[i]->high, -writers[i]->low));
    }
    if (count && !clip && writers[0]->opts.format != SWG_AUDIO_WAV_FLOAT)
        r->gain = safe_gain(writers, count);
    for (int i = 0; i < count; i++)
        SWG__TRY((writers[i]->opts.format == SWG_AUDIO_FLAC ? make_flac : make_wav)(writers[i], r->gain, &r->clipped));
    for (int i = 0; i < count; i++)
        SWG__TRY(swg__writer_commit(&writers[i]->file));
    return SWG_OK;
}

swg_status swg_audio_finish(swg_audio_writer **writers, int count, bool clip, swg_audio_finished *result) {
    swg_audio_finished found = {.gain = 1};
    swg_status status = finish(writers, count, clip, &found);
    for (int i = 0; i < count; i++) {
        swg_audio_abort(writers[i]);
        writers[i] = NULL;
    }
    if (result)
        *result = found;
    return status;
}

swg_status swg_audio_write(swg_context *ctx, const char *path, const swg_audio_write_opts *opts, const float *samples, int64_t count, bool clip,
                           swg_audio_finished *result) {
    swg_audio_writer *w;
    SWG__TRY(swg_audio_create(ctx, path, opts, &w));
    swg_status status = swg_audio_append(w, samples, count, count);
    if (status == SWG_OK)
        return swg_audio_finish(&w, 1, clip, result);
    swg_audio_abort(w);
    return status;
}
