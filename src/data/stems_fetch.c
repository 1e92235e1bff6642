/* stems_fetch.c - segments of a data set of stems: where they begin, what is changed about them, and the changing.
 * In: indices and how to draw. Out: mixture and stems (channels, segment) f32, masks of bins and frames.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/stems_inside.h"
#include "philox.h"

enum { REDRAWS = 10, MOST_BINS = 80, MOST_FRAMES = 40 };

/* ---- what is drawn ---- */

/* Number `index` of what is drawn under a name, in [0, 1). */
static double uniform(uint64_t key, const char *name, uint64_t index) {
    const swg__philox_words w = swg__philox(key, index, 0, swg__fnv1a(name));
    return (double)((uint64_t)w.w[0] << 21 | w.w[1] >> 11) * 0x1p-53;
}

static double between(uint64_t key, const char *name, uint64_t index, double low, double high) { return low + (high - low) * uniform(key, name, index); }

/* Uniform in 0 .. count - 1. */
static int64_t below(uint64_t key, const char *name, uint64_t index, int64_t count) {
    const int64_t drawn = (int64_t)(uniform(key, name, index) * (double)count);
    return drawn < count ? drawn : count - 1;
}

/* Beta(a, a) for a < 1 by Joehnk's way. */
static double beta(uint64_t key, double a) {
    for (uint64_t i = 0; i < 200; i += 2) {
        const double x = pow(uniform(key, "beta", i), 1 / a), y = pow(uniform(key, "beta", i + 1), 1 / a);
        if (x + y <= 1 && x + y > 0)
            return x / (x + y);
    }
    return .5; /* never: every second pair does */
}

static bool happens(const swg__stems *s, unsigned which, uint64_t key) {
    return s->augment & which && uniform(key, "chance", which) < .5;
}

/* A run of up to `most` of n, at most half of them. */
static void hide(uint64_t key, const char *name, int64_t n, int64_t most, int64_t *first, int64_t *count) {
    most = most < n / 2 ? most : n / 2;
    if (most < 1)
        return;
    *count = 1 + below(key, name, 0, most);
    *first = below(key, name, 1, n - *count + 1);
}

static int64_t draw_start(const swg__stems *s, uint64_t key, uint64_t index, int64_t track, int64_t length) {
    const int64_t frames = s->items[track].about.frames;
    return frames > length ? below(key, "start", index, frames - length + 1) : 0;
}

/* Samples of the track that a segment is made of. */
static int64_t length_of(const swg__stems *s, const swg__stems_drawn *d) { return swg__stretch_input(d->speed, s->segment); }

/* Where the segment is cut; attempt 1, 2, ... after silence. */
static void place(const swg__stems *s, uint64_t key, bool remix, int attempt, swg__stems_drawn *d) {
    const uint64_t base = (uint64_t)attempt * 16;
    d->start = draw_start(s, key, base, d->track, length_of(s, d));
    for (int g = 0; g < s->groups; g++) {
        d->from[g] = remix ? s->order[below(key, "remix", base + (uint64_t)g, s->training)] : d->track;
        d->from_start[g] = remix ? draw_start(s, key, base + 1 + (uint64_t)g, d->from[g], length_of(s, d)) : d->start;
    }
    d->redrawn = attempt;
}

/* Samples that are the same in every epoch. */
static void place_fixed(const swg__stems *s, int64_t sample, swg__stems_drawn *d) {
    const swg__stems_track *t = &s->items[d->track].about;
    const int64_t last = t->frames > s->segment ? t->frames - s->segment : 0, i = sample - t->first_sample;
    d->start = t->part != SWG_TRAIN ? i * s->segment : t->samples > 1 ? (int64_t)((double)last * (double)i / (double)(t->samples - 1)) : 0;
    d->start = d->start < last ? d->start : last;
    for (int g = 0; g < s->groups; g++) {
        d->from[g] = d->track;
        d->from_start[g] = d->start;
    }
}

/* All but the place. */
static void draw_changes(const swg__stems *s, uint64_t key, swg__stems_drawn *d) {
    if (happens(s, SWG__STEMS_STRETCH, key))
        d->speed = between(key, "stretch", 0, .9, 1.1);
    if (happens(s, SWG__STEMS_PITCH, key))
        d->semitones = between(key, "pitch", 0, -2, 2);
    if (happens(s, SWG__STEMS_GAIN, key))
        for (int g = 0; g < s->groups; g++)
            d->gain[g] = (float)between(key, "gain", (uint64_t)g, .7, 1.3);
    if (happens(s, SWG__STEMS_BINS, key))
        hide(key, "bins", s->bins, MOST_BINS, &d->bins_first, &d->bins_count);
    if (happens(s, SWG__STEMS_FRAMES, key))
        hide(key, "frames", s->frames, MOST_FRAMES, &d->frames_first, &d->frames_count);
    if (happens(s, SWG__STEMS_MIXUP, key)) {
        d->mixed = beta(key, .4);
        d->mixed_track = s->order[below(key, "mixup", 0, s->training)];
        d->mixed_start = draw_start(s, key, UINT64_MAX, d->mixed_track, s->segment);
    }
}

/* ---- one sample ---- */

typedef struct sample {
    swg__stems_drawn d;
    bool remix, warped, rebuilt;
    int64_t margin, each;       /* samples on each side for the vocoder; of a channel that are cut */
    float *mixture, *groups;    /* (channels, each), (groups, channels, each): as cut; then (channels, segment) ... */
    float *other_mixture, *other_groups; /* the same, of the vocoder's output and the other sample of a mixup */
} sample;

static double mean_abs(const swg__stems *s, const sample *t) {
    double sum = 0;
    const int64_t length = t->each - 2 * t->margin;
    for (int c = 0; c < s->channels; c++)
        for (int64_t i = 0; i < length; i++)
            sum += fabs((double)t->mixture[c * t->each + t->margin + i]);
    return sum / (double)(s->channels * length);
}

static swg_status cut_sample(const swg__stems *s, sample *t) {
    if (!t->remix)
        return swg__stems_cut(s, t->d.track, t->d.start - t->margin, t->each, t->mixture, t->groups);
    for (int g = 0; g < s->groups; g++)
        SWG__TRY(swg__stems_cut_group(s, t->d.from[g], g, t->d.from_start[g] - t->margin, t->each, t->groups + g * s->channels * t->each));
    swg__stems_sum(s, t->groups, t->each, t->mixture);
    return SWG_OK;
}

/* Draws, and cuts what was drawn. The caller frees t->mixture, also after a failure. */
static swg_status begin_sample(const swg__stems *s, int64_t index, const swg__stems_draw *draw, sample *t) {
    *t = (sample){.d = {.speed = 1, .mixed_track = -1, .mixed_start = -1, .mixed = 1}};
    if (index < 0 || index >= s->count)
        return swg__fail(s->ctx, SWG_EINVAL, "sample %lld: there are %lld", (long long)index, (long long)s->count);
    t->d.track = swg__stems_track_of(s, index);
    for (int g = 0; g < SWG__STEMS_GROUPS; g++)
        t->d.gain[g] = 1;
    const bool training = draw->training && s->items[t->d.track].about.part == SWG_TRAIN;
    const swg__philox_words w = swg__philox(draw->seed, (uint64_t)index, draw->epoch, swg__fnv1a("stems"));
    const uint64_t key = w.w[0] | (uint64_t)w.w[1] << 32;
    if (training) {
        draw_changes(s, key, &t->d);
        t->remix = happens(s, SWG__STEMS_REMIX, key);
        t->warped = t->d.speed != 1 || t->d.semitones != 0;
        t->rebuilt = t->warped || happens(s, SWG__STEMS_GAIN, key);
    }
    t->margin = t->warped ? SWG__STRETCH_MARGIN : 0;
    t->each = length_of(s, &t->d) + 2 * t->margin;
    const int64_t values = (s->groups + 1) * s->channels, each = t->each > s->segment ? t->each : s->segment; /* fewer are cut where a long segment is slowed */
    const int64_t first = values * each, second = t->warped || t->d.mixed_track >= 0 ? values * s->segment : 0;
    t->mixture = swg__alloc(s->ctx, (size_t)(first + second) * sizeof *t->mixture);
    if (!t->mixture)
        return swg__fail_memory(s->ctx, (size_t)(first + second) * sizeof *t->mixture, "a segment");
    t->groups = t->mixture + s->channels * t->each;
    t->other_mixture = t->mixture + first;
    t->other_groups = t->other_mixture + s->channels * s->segment;
    for (int attempt = 0; attempt <= REDRAWS; attempt++) {
        if (training)
            place(s, key, t->remix, attempt, &t->d);
        else
            place_fixed(s, index, &t->d);
        SWG__TRY(cut_sample(s, t));
        t->d.silent = mean_abs(s, t) < s->min_mean_abs;
        if (!training || !t->d.silent)
            break;
    }
    return SWG_OK;
}

/* Stretch, pitch, gain, mixup. Afterwards t->mixture and t->groups are of a segment. */
static swg_status change_sample(const swg__stems *s, sample *t) {
    const int64_t values = s->channels * s->segment;
    if (t->warped) {
        for (int g = 0; g < s->groups; g++)
            SWG__TRY(swg__stretch_run(s->stretch, t->d.speed, t->d.semitones, t->groups + g * s->channels * t->each, s->segment, t->other_groups + g * values));
        memcpy(t->mixture + values, t->other_groups, (size_t)(s->groups * values) * sizeof *t->groups);
    }
    t->groups = t->mixture + values; /* without margins: as it was */
    for (int g = 0; g < s->groups; g++)
        for (int64_t i = 0; t->d.gain[g] != 1 && i < values; i++)
            t->groups[g * values + i] *= t->d.gain[g];
    if (t->rebuilt)
        swg__stems_sum(s, t->groups, s->segment, t->mixture);
    if (t->d.mixed_track < 0)
        return SWG_OK;
    SWG__TRY(swg__stems_cut(s, t->d.mixed_track, t->d.mixed_start, s->segment, t->other_mixture, t->other_groups));
    const float weight = (float)t->d.mixed, other = 1 - weight;
    for (int64_t i = 0; i < (s->groups + 1) * values; i++) /* the groups lie behind the mixture */
        t->mixture[i] = weight * t->mixture[i] + other * t->other_mixture[i];
    return SWG_OK;
}

static void write_mask(float *to, int64_t n, int64_t first, int64_t count) {
    for (int64_t i = 0; to && i < n; i++)
        to[i] = i < first || i >= first + count;
}

swg_status swg__stems_fetch(const swg__stems *s, const int64_t *indices, int64_t count, const swg__stems_draw *draw, const swg__stems_batch *out,
                            char *message, size_t capacity) {
    const int64_t values = s->channels * s->segment;
    swg_status status = SWG_OK;
    for (int64_t i = 0; status == SWG_OK && i < count; i++) {
        sample t;
        status = begin_sample(s, indices[i], draw, &t);
        if (status == SWG_OK)
            status = change_sample(s, &t);
        if (status == SWG_OK && out->mixture)
            memcpy(out->mixture + i * values, t.mixture, (size_t)values * sizeof *t.mixture);
        if (status == SWG_OK && out->stems)
            memcpy(out->stems + i * s->stems * values, t.groups, (size_t)(s->stems * values) * sizeof *t.groups);
        write_mask(out->bins ? out->bins + i * s->bins : NULL, s->bins, t.d.bins_first, t.d.bins_count);
        write_mask(out->frames ? out->frames + i * s->frames : NULL, s->frames, t.d.frames_first, t.d.frames_count);
        swg__free(s->ctx, t.mixture);
    }
    if (status != SWG_OK && capacity)
        snprintf(message, capacity, "%s", swg__own_message());
    return status;
}

swg_status swg__stems_drawn_of(const swg__stems *s, int64_t index, const swg__stems_draw *draw, swg__stems_drawn *out) {
    sample t;
    const swg_status status = begin_sample(s, index, draw, &t);
    swg__free(s->ctx, t.mixture);
    *out = t.d;
    return status;
}

swg_status swg__stems_read(const swg__stems *s, int64_t track, int64_t start, int64_t count, float *mixture, float *out) {
    if (track < 0 || track >= s->item_count || count < 0)
        return swg__fail(s->ctx, SWG_EINVAL, "%lld samples of track %lld: there are %lld tracks", (long long)count, (long long)track, (long long)s->item_count);
    const int64_t values = s->channels * count;
    if (!out || s->groups == s->stems)
        return swg__stems_cut(s, track, start, count, mixture, out);
    float *groups = swg__alloc(s->ctx, (size_t)(s->groups * values) * sizeof *groups);
    if (!groups)
        return swg__fail_memory(s->ctx, (size_t)(s->groups * values) * sizeof *groups, "a piece of a track");
    const swg_status status = swg__stems_cut(s, track, start, count, mixture, groups);
    if (status == SWG_OK)
        memcpy(out, groups, (size_t)(s->stems * values) * sizeof *out);
    swg__free(s->ctx, groups);
    return status;
}
