/* audio.c - songs read piece by piece: wanted channels, wanted rate, checked samples.
 * In: an audio file, or its bytes. Out: (channels, samples) f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/audio.h"
#include <math.h>
#include <string.h>
#include <strings.h>
#include "audio/resample.h"
#include "audio/sound.h"

enum {
    FRAME_MOST = 65536,         /* samples of a frame of FLAC, which is more than a byte */
    BLOCK = 4096,               /* samples decoded at a time */
    LEAD = 4096,                /* samples of the lower rate before a seek, by which the resampler's filter has settled: it is some 300 long */
};
#define MOST_VALUE 1e4f

struct swg_audio {
    swg_context *ctx;
    char *name;
    swg__stream stream;
    swg__sound *sound;
    swg_audio_info info;
    bool mixed;                 /* delivered channels are weighted sums; else those of the file */
    float weight[2][SWG_AUDIO_MOST_CHANNELS];
    float *block;               /* (BLOCK, file_channels) */
    int64_t file_at;            /* next sample of the file */
    int64_t at;                 /* next sample delivered */
    bool lost;                  /* a read has failed: the file stands elsewhere */
    swg__resampler *resampler;  /* of delivered channels; NULL: none */
    float *waiting;             /* (channels, BLOCK): read, not resampled yet */
    int64_t waiting_from, waiting_count;
};

/* ---- channels ---- */

typedef enum role { LEFT, RIGHT, CENTRE, LOW, LEFT_SURROUND, RIGHT_SURROUND } role;
static const role roles[][6] = { /* by number of channels, from 3, in the order of WAV and FLAC */
    {LEFT, RIGHT, CENTRE}, {LEFT, RIGHT, LEFT_SURROUND, RIGHT_SURROUND}, {LEFT, RIGHT, CENTRE, LEFT_SURROUND, RIGHT_SURROUND},
    {LEFT, RIGHT, CENTRE, LOW, LEFT_SURROUND, RIGHT_SURROUND},
};

/* ITU-R BS.775-3, table 2, scaled so that four full channels give a full one. */
static void itu_weights(int channels, float weight[2][SWG_AUDIO_MOST_CHANNELS]) {
    const double half = 0.70710678118654752;
    double most = 0;
    for (int side = 0; side < 2; side++) {
        double sum = 0;
        for (int c = 0; c < channels; c++) {
            const role r = roles[channels - 3][c];
            const double w = r == (side ? RIGHT : LEFT) ? 1 : r == CENTRE || r == (side ? RIGHT_SURROUND : LEFT_SURROUND) ? half : 0;
            weight[side][c] = (float)w;
            sum += w;
        }
        most = sum > most ? sum : most;
    }
    for (int c = 0; c < 2 * SWG_AUDIO_MOST_CHANNELS; c++)
        weight[c / SWG_AUDIO_MOST_CHANNELS][c % SWG_AUDIO_MOST_CHANNELS] /= (float)most;
}

static swg_status refuse_channels(const swg_audio *a, int wanted) {
    return swg__fail(a->ctx, SWG_ESHAPE, "%s: %d channels, %d %s wanted; mix it down (swage separate: --downmix itu or mean)", a->name, a->info.file_channels, wanted,
                     wanted == 1 ? "is" : "are");
}

static swg_status settle_channels(swg_audio *a, int wanted, swg_audio_downmix downmix) {
    const int from = a->info.file_channels;
    a->info.channels = wanted ? wanted : from;
    if (a->info.channels == from)
        return SWG_OK;
    if (wanted > 2)
        return swg__fail(a->ctx, SWG_ESHAPE, "%s: %d channels, %d are wanted", a->name, from, wanted);
    a->mixed = true;
    a->info.repeated = from == 1;
    a->info.mixed_down = from > wanted;
    if (from > 2 && downmix == SWG_DOWNMIX_REFUSE)
        return refuse_channels(a, wanted);
    if (from > 2 && downmix == SWG_DOWNMIX_ITU) {
        if (from > 6 || strcmp(a->info.format, "OGG Vorbis") == 0) /* whose order is another */
            return swg__fail(a->ctx, SWG_ESHAPE, "%s: %d channels of %s have no known places; mix them down to their mean", a->name, from, a->info.format);
        itu_weights(from, a->weight);
        for (int c = 0; c < from && wanted == 1; c++)
            a->weight[0][c] = (a->weight[0][c] + a->weight[1][c]) / 2;
        return SWG_OK;
    }
    for (int c = 0; c < from; c++)
        a->weight[0][c] = a->weight[1][c] = 1 / (float)from;
    return SWG_OK;
}

/* ---- opening ---- */

static swg_status settle_rate(swg_audio *a, const swg_audio_opts *opts) {
    swg_audio_info *info = &a->info;
    info->rate = opts->rate ? opts->rate : info->file_rate;
    info->samples = info->file_samples;
    info->resampled = info->rate != info->file_rate;
    if (!info->resampled)
        return SWG_OK;
    if (!opts->resample)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: has %lld samples a second, %lld are needed; say --resample (data.resample=true) or convert it", a->name, (long long)info->file_rate,
                         (long long)info->rate);
    info->samples = swg__resampled_count(info->file_samples, info->file_rate, info->rate);
    if (info->samples < 0)
        return swg__fail(a->ctx, SWG_ESHAPE, "%s: too long", a->name);
    if (!(a->waiting = swg__alloc(a->ctx, (size_t)(info->channels * BLOCK) * sizeof *a->waiting)))
        return swg__fail_memory(a->ctx, (size_t)(info->channels * BLOCK) * sizeof *a->waiting, a->name);
    return swg__resampler_open(a->ctx, a->name, info->file_rate, info->rate, info->channels, &a->resampler);
}

static swg_status open_stream(swg_audio *a, const swg_audio_opts *opts) {
    static const char *const formats[] = {"WAV", "FLAC", "OGG Vorbis"};
    swg__sound_kind kind;
    if (opts->rate < 0 || opts->rate > INT32_MAX || opts->channels < 0 || opts->channels > SWG_AUDIO_MOST_CHANNELS)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: %d channels at %lld Hz are wanted", a->name, opts->channels, (long long)opts->rate);
    SWG__TRY(swg__sound_check(a->ctx, a->name, &a->stream, &kind));
    a->info.format = formats[kind];
    SWG__TRY(swg__sound_open(a->ctx, a->name, &a->stream, &a->sound, &a->info));
    if (a->info.file_samples / FRAME_MOST > a->stream.size)
        return swg__fail(a->ctx, SWG_ECORRUPT, "%s: damaged: %lld samples cannot be in %lld bytes", a->name, (long long)a->info.file_samples,
                         (long long)a->stream.size);
    SWG__TRY(settle_channels(a, opts->channels, opts->downmix));
    const size_t bytes = (size_t)(BLOCK * a->info.file_channels) * sizeof *a->block;
    if (!(a->block = swg__alloc(a->ctx, bytes)))
        return swg__fail_memory(a->ctx, bytes, a->name);
    return settle_rate(a, opts);
}

static swg_status open_audio(swg_context *ctx, const char *name, swg__stream stream, const swg_audio_opts *opts, swg_audio **out) {
    swg_audio *a = swg__calloc(ctx, 1, sizeof *a);
    if (!a) {
        swg__stream_close(&stream);
        return swg__fail_memory(ctx, sizeof *a, name);
    }
    a->ctx = ctx;
    a->stream = stream;
    a->name = swg__strdup(ctx, name);
    swg_status status = a->name ? open_stream(a, opts ? opts : &(swg_audio_opts){0}) : swg__fail_memory(ctx, strlen(name), name);
    if (status != SWG_OK) {
        swg_audio_close(a);
        return status;
    }
    *out = a;
    return SWG_OK;
}

swg_status swg_audio_open(swg_context *ctx, const char *path, const swg_audio_opts *opts, swg_audio **out) {
    swg__stream stream;
    *out = NULL;
    SWG__TRY(swg__stream_open(ctx, path, &stream));
    return open_audio(ctx, path, stream, opts, out);
}

swg_status swg_audio_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_audio_opts *opts, swg_audio **out) {
    *out = NULL;
    return open_audio(ctx, name, (swg__stream){.fd = -1, .data = data, .size = bytes}, opts, out);
}

void swg_audio_close(swg_audio *a) {
    if (!a)
        return;
    swg__resampler_close(a->resampler);
    swg__sound_close(a->sound);
    swg__stream_close(&a->stream);
    swg__free(a->ctx, a->waiting);
    swg__free(a->ctx, a->block);
    swg__free(a->ctx, a->name);
    swg__free(a->ctx, a);
}

const swg_audio_info *swg_audio_about(const swg_audio *a) { return &a->info; }

/* ---- samples of the file ---- */

static swg_status check_values(const swg_audio *a, int64_t count) {
    const int64_t numbers = count * a->info.file_channels;
    int64_t wrong = 0;
    for (int64_t i = 0; i < numbers; i++)
        wrong += !(fabsf(a->block[i]) <= MOST_VALUE);
    for (int64_t i = 0; i < numbers && wrong; i++)
        if (!(fabsf(a->block[i]) <= MOST_VALUE))
            return swg__fail(a->ctx, SWG_ENONFINITE, "%s: sample %lld of channel %lld is %g; numbers up to 1e4 are taken", a->name,
                             (long long)(a->file_at + i / a->info.file_channels), (long long)(i % a->info.file_channels), (double)a->block[i]);
    return SWG_OK;
}

static void deliver(const swg_audio *a, int64_t count, float *out, int64_t stride) {
    const int from = a->info.file_channels;
    for (int c = 0; c < a->info.channels; c++) {
        float *to = out + c * stride;
        for (int64_t i = 0; i < count; i++) {
            const float *in = a->block + i * from;
            float sum = a->mixed ? 0 : in[c];
            for (int k = 0; k < from && a->mixed; k++)
                sum += a->weight[c][k] * in[k];
            to[i] = sum;
        }
    }
}

/* The next samples of the file, at its rate. */
static swg_status read_file(swg_audio *a, int64_t count, float *out, int64_t stride) {
    for (int64_t done = 0; done < count;) {
        const int64_t wanted = count - done < BLOCK ? count - done : BLOCK, got = swg__sound_read(a->sound, wanted, a->block);
        const char *error = swg__sound_error(a->sound);
        if (got != wanted || *error)
            return swg__fail(a->ctx, SWG_ECORRUPT, "%s: damaged or cut short: after sample %lld of %lld%s%s", a->name, (long long)(a->file_at + (got > 0 ? got : 0)),
                             (long long)a->info.file_samples, *error ? ": " : "", error);
        SWG__TRY(check_values(a, got));
        deliver(a, got, out + done, stride);
        a->file_at += got;
        done += got;
    }
    return SWG_OK;
}

/* ---- resampling ---- */

static swg_status fill_waiting(swg_audio *a) {
    const int64_t left = a->info.file_samples - a->file_at;
    a->waiting_from = 0;
    a->waiting_count = left < BLOCK ? left : BLOCK;
    return read_file(a, a->waiting_count, a->waiting, BLOCK);
}

static swg_status read_resampled(swg_audio *a, int64_t count, float *out, int64_t stride) {
    for (int64_t done = 0, made, used; done < count; done += made) {
        if (!a->waiting_count && a->file_at < a->info.file_samples)
            SWG__TRY(fill_waiting(a));
        const bool ended = !a->waiting_count;
        SWG__TRY(swg__resampler_run(a->resampler, ended ? NULL : a->waiting + a->waiting_from, BLOCK, a->waiting_count, &used, out + done, stride,
                                    count - done, &made));
        a->waiting_from += used;
        a->waiting_count -= used;
        if (ended && !made) { /* the last fraction of a sample */
            for (int c = 0; c < a->info.channels; c++)
                memset(out + c * stride + done, 0, (size_t)(count - done) * sizeof *out);
            made = count - done;
        }
    }
    return SWG_OK;
}

swg_status swg_audio_read(swg_audio *a, int64_t count, float *out, int64_t stride, int64_t *got) {
    const int64_t left = a->info.samples - a->at;
    *got = 0;
    if (count < 0 || stride < count)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: %lld samples into rows of %lld", a->name, (long long)count, (long long)stride);
    count = count < left ? count : left;
    if (a->lost)
        SWG__TRY(swg_audio_seek(a, a->at));
    swg_status status = a->resampler ? read_resampled(a, count, out, stride) : read_file(a, count, out, stride);
    a->lost = status != SWG_OK;
    SWG__TRY(status);
    a->at += count;
    *got = count;
    return SWG_OK;
}

/* ---- seeking ---- */

static swg_status seek_file(swg_audio *a, int64_t at) {
    if (!swg__sound_seek(a->sound, at))
        return swg__fail(a->ctx, SWG_ECORRUPT, "%s: damaged: sample %lld cannot be reached", a->name, (long long)at);
    a->file_at = at;
    return SWG_OK;
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Begins where a sample of the file and one delivered are at the same time, and leaves out what comes before `at`. */
static swg_status seek_resampled(swg_audio *a, int64_t at) {
    const swg_audio_info *info = &a->info;
    const int64_t shared = common_divisor(info->file_rate, info->rate), in = info->file_rate / shared, out = info->rate / shared;
    const int64_t period = in < out ? in : out, lead = (LEAD + period - 1) / period, first = at / out > lead ? at / out - lead : 0;
    SWG__TRY(seek_file(a, first * in < info->file_samples ? first * in : info->file_samples));
    SWG__TRY(swg__resampler_clear(a->resampler));
    a->waiting_count = 0;
    const int64_t room = BLOCK;
    float *rest = swg__alloc(a->ctx, (size_t)(info->channels * room) * sizeof *rest);
    swg_status status = rest ? SWG_OK : swg__fail_memory(a->ctx, (size_t)(info->channels * room) * sizeof *rest, a->name);
    for (int64_t left = at - first * out; left > 0 && status == SWG_OK; left -= room)
        status = read_resampled(a, left < room ? left : room, rest, room);
    swg__free(a->ctx, rest);
    return status;
}

swg_status swg_audio_seek(swg_audio *a, int64_t at) {
    if (at < 0 || at > a->info.samples)
        return swg__fail(a->ctx, SWG_EINVAL, "%s: sample %lld of %lld", a->name, (long long)at, (long long)a->info.samples);
    if (at == a->at && !a->lost)
        return SWG_OK;
    a->lost = true; /* until it is there */
    SWG__TRY(a->resampler ? seek_resampled(a, at) : seek_file(a, at));
    a->lost = false;
    a->at = at;
    return SWG_OK;
}

/* ---- all at once ---- */

swg_status swg_audio_load(swg_context *ctx, const char *path, const swg_audio_opts *opts, float **out, swg_audio_info *info) {
    swg_audio *a;
    int64_t numbers, bytes, got;
    *out = NULL;
    SWG__TRY(swg_audio_open(ctx, path, opts, &a));
    swg_status status = SWG_OK;
    if (swg__mul_overflow(a->info.samples, a->info.channels, &numbers) || swg__mul_overflow(numbers, sizeof(float), &bytes) ||
        !(*out = swg__alloc(ctx, (size_t)bytes)))
        status = swg__fail(ctx, SWG_ENOMEM, "%s: out of memory for %lld samples", path, (long long)a->info.samples);
    if (status == SWG_OK)
        status = swg_audio_read(a, a->info.samples, *out, a->info.samples, &got);
    if (status == SWG_OK && info)
        *info = a->info;
    if (status != SWG_OK) {
        swg__free(ctx, *out);
        *out = NULL;
    }
    swg_audio_close(a);
    return status;
}

void swg_audio_free(swg_context *ctx, float *samples) { swg__free(ctx, samples); }

bool swg_audio_named(const char *path) {
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".oga", ".w64", ".rf64"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i]);
        if (length > n && strcasecmp(path + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}
