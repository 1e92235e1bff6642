/* instances.c - thresholds, and all steps from values to objects.
 * In: values of (Z, Y, X). Out: labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/instances.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 1 << 16, BINS = 256 };

/* ---- thresholds ---- */

typedef struct histogram_work {
    const float *values;
    int64_t count;
    float *range;           /* of each chunk: least, most */
    double least, scale;    /* bins per value */
    int64_t *bins;          /* of each worker */
    _Atomic int nonfinite;
} histogram_work;

static int64_t chunks_of(int64_t count) { return (count + CHUNK - 1) / CHUNK; }

static int64_t chunk_end(int64_t count, int64_t task) { return (task + 1) * CHUNK < count ? (task + 1) * CHUNK : count; }

static void find_range(void *arg, int64_t task, int worker) {
    histogram_work *w = arg;
    float least = w->values[task * CHUNK], most = least;
    bool finite = true;
    (void)worker;
    for (int64_t i = task * CHUNK; i < chunk_end(w->count, task); i++) {
        const float v = w->values[i];
        least = v < least ? v : least;
        most = v > most ? v : most;
        finite &= fabsf(v) < INFINITY;
    }
    w->range[2 * task] = least;
    w->range[2 * task + 1] = most;
    if (!finite)
        w->nonfinite = 1;
}

static void fill_bins(void *arg, int64_t task, int worker) {
    const histogram_work *w = arg;
    int64_t *bins = w->bins + (int64_t)worker * BINS;
    for (int64_t i = task * CHUNK; i < chunk_end(w->count, task); i++) {
        const int64_t bin = (int64_t)(((double)w->values[i] - w->least) * w->scale);
        bins[bin < BINS ? bin : BINS - 1]++;
    }
}

/* Otsu, "A threshold selection method from gray-level histograms" (1979): the bin below and at which values are background. */
static int best_bin(const int64_t bins[BINS]) {
    double all = 0, sum = 0, below = 0, sum_below = 0, best = -1;
    int bin = 0;
    for (int b = 0; b < BINS; b++) {
        all += (double)bins[b];
        sum += (double)bins[b] * b;
    }
    for (int b = 0; b < BINS - 1; b++) {
        below += (double)bins[b];
        sum_below += (double)bins[b] * b;
        const double above = all - below;
        if (!(below > 0) || !(above > 0))
            continue;
        const double gap = sum_below / below - (sum - sum_below) / above, variance = below * above * gap * gap;
        if (variance > best) {
            best = variance;
            bin = b;
        }
    }
    return bin;
}

static swg_status otsu(swg_context *ctx, histogram_work *w, double *threshold) {
    const int64_t chunks = chunks_of(w->count);
    swg__parallel(ctx, chunks, find_range, w);
    if (w->nonfinite)
        return swg__fail(ctx, SWG_ENONFINITE, "Otsu's threshold: a value is NaN or infinite");
    float least = w->range[0], most = w->range[1];
    for (int64_t i = 1; i < chunks; i++) {
        least = w->range[2 * i] < least ? w->range[2 * i] : least;
        most = w->range[2 * i + 1] > most ? w->range[2 * i + 1] : most;
    }
    *threshold = (double)least;
    if (least == most)
        return SWG_OK;
    w->least = (double)least;
    w->scale = BINS / ((double)most - (double)least);
    swg__parallel(ctx, chunks, fill_bins, w);
    for (int k = 1; k < swg_context_threads(ctx); k++)
        for (int b = 0; b < BINS; b++)
            w->bins[b] += w->bins[k * BINS + b];
    *threshold = (double)least + (best_bin(w->bins) + .5) / w->scale;
    return SWG_OK;
}

swg_status swg_instances_otsu(swg_context *ctx, const float *values, int64_t count, double *threshold) {
    histogram_work w = {.values = values, .count = count};
    if (count < 1)
        return swg__fail(ctx, SWG_ESHAPE, "Otsu's threshold of %lld values", (long long)count);
    w.range = swg__alloc(ctx, 2 * (size_t)chunks_of(count) * sizeof *w.range);
    w.bins = swg__calloc(ctx, (size_t)swg_context_threads(ctx) * BINS, sizeof *w.bins);
    swg_status status = w.range && w.bins ? otsu(ctx, &w, threshold) : swg__fail_memory(ctx, (size_t)chunks_of(count) * sizeof *w.range, "a histogram");
    swg__free(ctx, w.bins);
    swg__free(ctx, w.range);
    return status;
}

int64_t swg_instances_threshold(const float *values, int64_t count, double threshold, uint8_t *mask) {
    int64_t above = 0;
    for (int64_t i = 0; i < count; i++)
        above += mask[i] = (double)values[i] > threshold;
    return above;
}

/* ---- all of it ---- */

void swg_instances_defaults(swg_instances_opts *opts) {
    *opts = (swg_instances_opts){.threshold = .5, .spacing = {1, 1, 1}, .smooth = 1, .min_depth = .5};
}

static swg_status mask_values(swg_context *ctx, int64_t voxels, const float *values, const swg_instances_opts *o, uint8_t *mask, swg_instances_result *r) {
    r->threshold = o->threshold;
    if (o->otsu)
        SWG__TRY(swg_instances_otsu(ctx, values, voxels, &r->threshold));
    r->foreground = swg_instances_threshold(values, voxels, r->threshold, mask);
    return SWG_OK;
}

/* NaN and infinity would spread. */
static bool all_finite(const float *values, int64_t count) {
    bool finite = true;
    for (int64_t i = 0; i < count; i++)
        finite &= fabsf(values[i]) < INFINITY;
    return finite;
}

static swg_status mask_blurred(swg_context *ctx, const int64_t extent[3], int64_t voxels, const float *values, const swg_instances_opts *o,
                               const double *spacing, uint8_t *mask, swg_instances_result *r) {
    const size_t bytes = (size_t)voxels * sizeof(float);
    if (!all_finite(values, voxels))
        return swg__fail(ctx, SWG_ENONFINITE, "objects: a value is NaN or infinite");
    float *copy = swg__alloc(ctx, bytes);
    if (!copy)
        return swg__fail_memory(ctx, bytes, "a smoothed image");
    memcpy(copy, values, bytes);
    swg_status status = swg_instances_smooth(ctx, extent, spacing, o->blur, copy);
    if (status == SWG_OK)
        status = mask_values(ctx, voxels, copy, o, mask, r);
    swg__free(ctx, copy);
    return status;
}

/* Parts of the mask into objects. */
static swg_status split(swg_context *ctx, const int64_t extent[3], int64_t voxels, const uint8_t *mask, const swg_instances_opts *o, const double *spacing,
                        uint32_t *labels, int64_t *count) {
    const size_t bytes = (size_t)voxels * sizeof(float);
    float *distance = swg__alloc(ctx, bytes);
    uint32_t *parts = swg__alloc(ctx, bytes);
    swg_status status = distance && parts ? SWG_OK : swg__fail_memory(ctx, 2 * bytes, "distances");
    if (status == SWG_OK)
        status = swg_instances_label(ctx, extent, mask, o->neighbours, parts, count);
    if (status == SWG_OK)
        status = swg_instances_distance(ctx, extent, spacing, mask, distance);
    if (status == SWG_OK)
        status = swg_instances_smooth(ctx, extent, spacing, o->smooth, distance);
    const int64_t part_count = *count;
    if (status == SWG_OK)
        status = swg__seeds(ctx, extent, spacing, distance, parts, part_count, o->neighbours, o->min_depth, o->min_distance, labels, count);
    if (status == SWG_OK)
        status = swg__flood(ctx, extent, distance, parts, part_count, o->neighbours, labels);
    swg__free(ctx, parts);
    swg__free(ctx, distance);
    return status;
}

swg_status swg_instances_find(swg_context *ctx, const int64_t extent[3], const float *values, const swg_instances_opts *opts, uint32_t *labels,
                              swg_instances_result *result) {
    swg_instances_opts o;
    swg_instances_result r = {0};
    int64_t voxels;
    swg_instances_defaults(&o);
    o = opts ? *opts : o;
    const double *spacing = o.spacing[0] == 0 && o.spacing[1] == 0 && o.spacing[2] == 0 ? NULL : o.spacing;
    SWG__TRY(swg__volume_check(ctx, extent, spacing, &voxels));
    uint8_t *mask = swg__alloc(ctx, (size_t)voxels);
    swg_status status = mask ? SWG_OK : swg__fail_memory(ctx, (size_t)voxels, "a mask");
    if (status == SWG_OK)
        status = o.blur > 0 ? mask_blurred(ctx, extent, voxels, values, &o, spacing, mask, &r) : mask_values(ctx, voxels, values, &o, mask, &r);
    if (status == SWG_OK && !o.keep_holes)
        status = swg_instances_fill(ctx, extent, mask, o.neighbours, &r.filled);
    r.foreground += r.filled;
    if (status == SWG_OK && o.whole)
        status = swg_instances_label(ctx, extent, mask, o.neighbours, labels, &r.objects);
    else if (status == SWG_OK)
        status = split(ctx, extent, voxels, mask, &o, spacing, labels, &r.objects);
    const int64_t found = r.objects;
    if (status == SWG_OK && o.min_voxels > 1)
        status = swg_instances_prune(ctx, voxels, labels, o.min_voxels, &r.objects);
    r.removed = found - r.objects;
    if (result)
        *result = r;
    swg__free(ctx, mask);
    return status;
}
