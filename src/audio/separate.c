/* separate.c - songs into stems, from file to files and in memory.
 * In: a song and what separates one segment. Out: a song per stem, as long.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/separate.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "audio/overlap.h"

enum { PATH_MOST = 4096 };

typedef struct work {
    swg_context *ctx;
    const swg_separator *separator;
    const swg_separate_opts *opts;
    int channels;                       /* of the song as it is read; a network of one channel takes them one by one */
    int residual;                       /* the stem that takes what is left; -1: none */
    float *one;                         /* (stems, segment), where channels go one by one */
    /* from and to memory */
    int64_t samples, read, written;
    const float *mixture;
    float *stems;
    /* from and to files */
    swg_audio *song;
    swg_audio_writer *writer[SWG_SEPARATE_STEMS];
} work;

static swg_status read_memory(void *user, int64_t count, float *out, int64_t stride) {
    work *w = user;
    for (int c = 0; c < w->channels; c++)
        memcpy(out + c * stride, w->mixture + c * w->samples + w->read, (size_t)count * sizeof *out);
    w->read += count;
    return SWG_OK;
}

static swg_status read_song(void *user, int64_t count, float *out, int64_t stride) {
    const work *w = user;
    int64_t got;
    return swg_audio_read(w->song, count, out, stride, &got); /* as many as there are: counts are of swg_audio_about */
}

static swg_status run_segment(void *user, const float *mixture, float *stems) {
    const work *w = user;
    const swg_separator *s = w->separator;
    if (s->channels == w->channels)
        return s->separate(s->user, mixture, stems);
    for (int c = 0; c < w->channels; c++) {
        SWG__TRY(s->separate(s->user, mixture + c * s->segment, w->one));
        for (int k = 0; k < s->stems; k++)
            memcpy(stems + (k * w->channels + c) * s->segment, w->one + k * s->segment, (size_t)s->segment * sizeof *stems);
    }
    return SWG_OK;
}

/* The residual stem becomes the mixture without the others. */
static void close_sum(const work *w, int64_t count, const float *mixture, float *stems, int64_t stride) {
    for (int c = 0; c < w->channels; c++)
        for (int64_t i = 0; i < count; i++) {
            double others = 0;
            for (int k = 0; k < w->separator->stems; k++)
                others += k == w->residual ? 0 : (double)stems[(k * w->channels + c) * stride + i];
            stems[(w->residual * w->channels + c) * stride + i] = (float)((double)mixture[c * stride + i] - others);
        }
}

static swg_status write_stems(void *user, int64_t count, const float *mixture, float *stems, int64_t stride) {
    work *w = user;
    if (w->residual >= 0)
        close_sum(w, count, mixture, stems, stride);
    for (int k = 0; k < w->separator->stems; k++) {
        const float *stem = stems + (int64_t)k * w->channels * stride;
        if (w->writer[k])
            SWG__TRY(swg_audio_append(w->writer[k], stem, count, stride));
        for (int c = 0; c < w->channels && w->stems; c++)
            memcpy(w->stems + (k * w->channels + c) * w->samples + w->written, stem + c * stride, (size_t)count * sizeof *stem);
    }
    w->written += count;
    return SWG_OK;
}

static void show_progress(void *user, int64_t done, int64_t total) {
    const work *w = user;
    w->opts->progress(w->opts->user, done, total);
}

static swg_status check(work *w) {
    const swg_separator *s = w->separator;
    const swg_separate_opts *o = w->opts;
    if (s->channels < 1 || s->channels > 2 || s->stems < 1 || s->stems > SWG_SEPARATE_STEMS || s->segment < 1 || s->rate < 1 || !s->separate)
        return swg__fail(w->ctx, SWG_EINVAL, "a separator of %d stems of %d channels, segments of %lld samples at %lld Hz", s->stems, s->channels,
                         (long long)s->segment, (long long)s->rate);
    if (!(o->overlap <= .75))
        return swg__fail(w->ctx, SWG_EINVAL, "overlap %g: a share of a segment up to 0.75", o->overlap);
    w->residual = -1;
    for (int k = 0; k < s->stems && o->residual; k++)
        if (strcmp(s->names[k], "other") == 0)
            w->residual = k;
    if (o->residual && w->residual < 0)
        return swg__fail(w->ctx, SWG_EINVAL, "the network has no stem \"other\" that could take the residual");
    return SWG_OK;
}

static swg_status begin(work *w, swg_context *ctx, const swg_separator *separator, const swg_separate_opts *opts) {
    static const swg_separate_opts none = {0};
    *w = (work){.ctx = ctx, .separator = separator, .opts = opts ? opts : &none, .channels = separator->channels};
    return check(w);
}

/* segments: how many. */
static swg_status run(work *w, swg__overlap *o, int64_t samples, int64_t *segments) {
    const swg_separator *s = w->separator;
    const double overlap = w->opts->overlap < 0 ? 0 : w->opts->overlap > 0 ? w->opts->overlap : .5;
    const int64_t hop = s->segment - (int64_t)llround((double)s->segment * overlap), bytes = s->stems * s->segment * (int64_t)sizeof *w->one;
    o->channels = w->channels;
    o->stems = s->stems;
    o->segment = s->segment;
    o->hop = hop > 0 ? hop : 1;
    o->samples = samples;
    o->run = run_segment;
    o->write = write_stems;
    o->progress = w->opts->progress ? show_progress : NULL;
    o->stop = w->opts->stop;
    o->user = w;
    *segments = swg_separate_segments(samples, o->segment, o->hop);
    if (w->channels != s->channels && !(w->one = swg__alloc(w->ctx, (size_t)bytes)))
        return swg__fail_memory(w->ctx, (size_t)bytes, "the segments of a song");
    swg_status status = swg__overlap_run(w->ctx, o);
    swg__free(w->ctx, w->one);
    return status;
}

swg_status swg_separate_array(swg_context *ctx, const swg_separator *separator, int64_t samples, const float *mixture, float *stems,
                              const swg_separate_opts *opts) {
    work w;
    int64_t segments;
    SWG__TRY(begin(&w, ctx, separator, opts));
    if (samples < 0)
        return swg__fail(ctx, SWG_EINVAL, "%lld samples", (long long)samples);
    w.samples = samples;
    w.mixture = mixture;
    w.stems = stems;
    return run(&w, &(swg__overlap){.read = read_memory}, samples, &segments);
}

/* ---- files ---- */

/* A network of two channels takes two; one of a single channel takes each of the one or two there are. */
static swg_status open_song(work *w, const char *path) {
    const swg_separator *s = w->separator;
    swg_audio_opts opts = {.rate = s->rate, .resample = w->opts->resample, .downmix = w->opts->downmix, .channels = s->channels == 2 ? 2 : 0};
    SWG__TRY(swg_audio_open(w->ctx, path, &opts, &w->song));
    if (swg_audio_about(w->song)->channels > 2) {
        swg_audio_close(w->song);
        opts.channels = 2;
        SWG__TRY(swg_audio_open(w->ctx, path, &opts, &w->song));
    }
    w->channels = swg_audio_about(w->song)->channels;
    return SWG_OK;
}

static swg_status open_stems(work *w, const char *folder) {
    char path[PATH_MOST], name[256];
    const swg_separator *s = w->separator;
    const swg_audio_info *song = swg_audio_about(w->song);
    const swg_audio_write_opts opts = {.format = w->opts->format, .rate = song->file_rate, .from_rate = s->rate, .channels = w->channels,
                                       .samples = song->file_samples};
    SWG__TRY(swg__make_folders(w->ctx, folder));
    for (int k = 0; k < s->stems; k++) {
        swg__file_name(s->names[k], name, sizeof name);
        if (snprintf(path, sizeof path, "%s/%s.%s", folder, name, opts.format == SWG_AUDIO_FLAC ? "flac" : "wav") >= (int)sizeof path)
            return swg__fail(w->ctx, SWG_EINVAL, "%s: the path is too long", folder);
        SWG__TRY(swg_audio_create(w->ctx, path, &opts, &w->writer[k]));
    }
    return SWG_OK;
}

static swg_status separate_song(work *w, const char *song, const char *folder, swg_separate_result *r) {
    const int64_t begun = swg__now_ns();
    SWG__TRY(open_song(w, song));
    r->song = *swg_audio_about(w->song);
    r->channels = w->channels;
    r->audio_seconds = (double)r->song.file_samples / (double)r->song.file_rate;
    SWG__TRY(open_stems(w, folder));
    SWG__TRY(run(w, &(swg__overlap){.read = read_song}, r->song.samples, &r->segments));
    swg_audio_finished finished;
    SWG__TRY(swg_audio_finish(w->writer, w->separator->stems, w->opts->clip, &finished));
    r->peak = finished.peak;
    r->gain = finished.gain;
    r->clipped = finished.clipped;
    r->seconds = (double)(swg__now_ns() - begun) * 1e-9;
    return SWG_OK;
}

swg_status swg_separate_file(swg_context *ctx, const swg_separator *separator, const char *song, const char *folder, const swg_separate_opts *opts,
                             swg_separate_result *result) {
    work w;
    swg_separate_result found = {0};
    SWG__TRY(begin(&w, ctx, separator, opts));
    const bool there = swg__exists(folder);
    swg_status status = separate_song(&w, song, folder, &found);
    for (int k = 0; k < SWG_SEPARATE_STEMS; k++)
        swg_audio_abort(w.writer[k]);
    swg_audio_close(w.song);
    if (status != SWG_OK && !there)
        (void)rmdir(folder);    /* what was made for nothing; a folder with files stays */
    if (result)
        *result = found;
    return status;
}
