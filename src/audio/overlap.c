/* overlap.c - segments that overlap: which, with what weights, and their sum, finished samples first.
 * In: a stream of (channels) samples. Out: streams of (stems, channels) samples, as many.
 * SPDX-License-Identifier: Apache-2.0 */
#include "audio/overlap.h"
#include <math.h>
#include <string.h>
#include "swage/separate.h"

#define LEAST_WEIGHT 1e-8f

int64_t swg_separate_segments(int64_t samples, int64_t segment, int64_t hop) {
    if (samples <= 0)
        return 0;
    return samples <= segment ? 1 : (samples - segment + hop - 1) / hop + 1;
}

int64_t swg_separate_start(int64_t i, int64_t samples, int64_t segment, int64_t hop) {
    const int64_t last = samples > segment ? samples - segment : 0;
    return i * hop < last ? i * hop : last;
}

/* Everything begins at sample `start` of the stream. */
typedef struct work {
    const swg__overlap *o;
    int64_t start, count;       /* of segments */
    float *mixture;             /* (channels, segment) */
    float *out;                 /* (stems, channels, segment): of one segment */
    float *sum;                 /* (stems, channels, segment): weighted */
    float *weight;              /* (segment): their sum */
    float *ramp;                /* (segment - hop): half a Hann window, rising */
} work;

static void make_ramp(work *w) {
    const int64_t length = w->o->segment - w->o->hop;
    for (int64_t i = 0; i < length; i++)
        w->ramp[i] = (float)(.5 - .5 * cos(3.14159265358979323846 * ((double)i + .5) / (double)length));
}

/* Weight of sample j of segment i: 1, but where it shares it with a neighbour. */
static float weight_of(const work *w, int64_t i, int64_t j) {
    const int64_t shared = w->o->segment - w->o->hop, from_end = w->o->segment - 1 - j;
    const float rising = i > 0 && j < shared ? w->ramp[j] : 1, falling = i < w->count - 1 && from_end < shared ? w->ramp[from_end] : 1;
    return rising * falling;
}

static void add_segment(work *w, int64_t i) {
    const int64_t segment = w->o->segment, rows = (int64_t)w->o->stems * w->o->channels;
    for (int64_t j = 0; j < segment; j++) {
        const float weight = weight_of(w, i, j);
        w->weight[j] += weight;
        for (int64_t r = 0; r < rows; r++)
            w->sum[r * segment + j] += weight * w->out[r * segment + j];
    }
}

/* Hands out the first `count` samples, which no later segment reaches. */
static swg_status hand_out(work *w, int64_t count) {
    const swg__overlap *o = w->o;
    for (int64_t r = 0; r < (int64_t)o->stems * o->channels; r++)
        for (int64_t j = 0; j < count; j++)
            w->sum[r * o->segment + j] /= w->weight[j] > LEAST_WEIGHT ? w->weight[j] : LEAST_WEIGHT;
    SWG__TRY(o->write(o->user, count, w->mixture, w->sum, o->segment));
    if (o->progress)
        o->progress(o->user, w->start + count, o->samples);
    return SWG_OK;
}

static void forget(float *rows, int64_t count, int64_t length, int64_t gone) {
    for (int64_t r = 0; r < count; r++) {
        memmove(rows + r * length, rows + r * length + gone, (size_t)(length - gone) * sizeof *rows);
        memset(rows + (r + 1) * length - gone, 0, (size_t)gone * sizeof *rows);
    }
}

/* Goes on to `start` and reads what is new there. */
static swg_status advance(work *w, int64_t start) {
    const swg__overlap *o = w->o;
    const int64_t gone = start - w->start, kept = o->segment - gone;
    SWG__TRY(hand_out(w, gone));
    forget(w->mixture, o->channels, o->segment, gone);
    forget(w->sum, (int64_t)o->stems * o->channels, o->segment, gone);
    forget(w->weight, 1, o->segment, gone);
    w->start = start;
    return o->read(o->user, gone, w->mixture + kept, o->segment);
}

static swg_status run_segments(swg_context *ctx, work *w) {
    const swg__overlap *o = w->o;
    const int64_t first = o->samples < o->segment ? o->samples : o->segment;
    w->count = swg_separate_segments(o->samples, o->segment, o->hop);
    make_ramp(w);
    SWG__TRY(o->read(o->user, first, w->mixture, o->segment));
    for (int64_t i = 0; i < w->count; i++) {
        if (i)
            SWG__TRY(advance(w, swg_separate_start(i, o->samples, o->segment, o->hop)));
        if (o->stop && *o->stop)
            return swg__fail(ctx, SWG_EINTERRUPTED, "interrupted");
        SWG__TRY(o->run(o->user, w->mixture, w->out));
        add_segment(w, i);
    }
    return hand_out(w, o->samples - w->start);
}

swg_status swg__overlap_run(swg_context *ctx, const swg__overlap *o) {
    const int64_t rows = (int64_t)o->stems * o->channels;
    const size_t row = (size_t)o->segment * sizeof(float), bytes = (size_t)(o->channels + 2 * rows + 2) * row;
    if (!o->samples)
        return SWG_OK;
    float *all = swg__calloc(ctx, 1, bytes);
    if (!all)
        return swg__fail_memory(ctx, bytes, "the segments of a song");
    work w = {.o = o, .mixture = all};
    w.out = w.mixture + o->channels * o->segment;
    w.sum = w.out + rows * o->segment;
    w.weight = w.sum + rows * o->segment;
    w.ramp = w.weight + o->segment;
    swg_status status = run_segments(ctx, &w);
    swg__free(ctx, all);
    return status;
}
