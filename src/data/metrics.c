/* metrics.c - compares reconstruction and original.
 * In: pairs of arrays. Out: the figures of SWG_METRIC_TABLE.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "stats.h"
#include "swage/metrics.h"

enum { CHUNK = 4096 };

/* Sums of one chunk, and of all chunks so far. */
struct sums {
    swg__moments x, y, e, relative;
    double products;           /* sum of (x - mean x)(y - mean y) */
    double absolute, square;   /* sum of |e|, e^2 */
    double x_square;
    double relative_square;
    int64_t zeros;
    bool finite;
};

struct swg_compare {
    swg_context *ctx;
    swg_compare_opts opts;
    struct sums sums;
    int64_t constant_blocks, raw_blocks;
    struct sums *chunks;       /* of one add */
    int64_t chunk_capacity;
    double *relative;          /* one per value; -1 for a zero original, which sorts before all others */
    int64_t count, capacity;
};

swg_status swg_compare_open(swg_context *ctx, const swg_compare_opts *opts, swg_compare **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    if (!*out)
        return swg__fail_memory(ctx, sizeof **out, "a comparison");
    (*out)->ctx = ctx;
    if (opts)
        (*out)->opts = *opts;
    return SWG_OK;
}

void swg_compare_close(swg_compare *compare) {
    if (!compare)
        return;
    swg__free(compare->ctx, compare->chunks);
    swg__free(compare->ctx, compare->relative);
    swg__free(compare->ctx, compare);
}

/* ---- one chunk ---- */

struct task {
    swg_compare *compare;
    swg_element element;
    const void *original, *reconstruction;
    int64_t count;
};

static double at(swg_element element, const void *values, int64_t i) {
    return element == SWG_ELEMENT_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

static struct sums sum_chunk(const double *x, const double *y, double *relative, int64_t n, double floor) {
    double e[CHUNK], ratios[CHUNK];
    struct sums s = {.finite = true};
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        e[i] = y[i] - x[i];
        s.finite &= isfinite(x[i]) && isfinite(y[i]);
        s.absolute += fabs(e[i]);
        s.square += e[i] * e[i];
        s.x_square += x[i] * x[i];
        bool counted = floor > 0 || x[i] != 0;
        double ratio = counted ? fabs(e[i]) / (fabs(x[i]) + floor) : -1;
        s.zeros += x[i] == 0;
        if (relative)
            relative[i] = ratio;
        if (counted) {
            ratios[used++] = ratio;
            s.relative_square += ratio * ratio;
        }
    }
    s.x = swg__moments_of(x, n);
    s.y = swg__moments_of(y, n);
    s.e = swg__moments_of(e, n);
    s.relative = swg__moments_of(ratios, used);
    for (int64_t i = 0; i < n; i++)
        s.products += (x[i] - s.x.mean) * (y[i] - s.y.mean);
    return s;
}

static void run_chunk(void *arg, int64_t index, int worker) {
    (void)worker;
    const struct task *task = arg;
    swg_compare *compare = task->compare;
    double x[CHUNK], y[CHUNK];
    int64_t first = index * CHUNK, n = task->count - first < CHUNK ? task->count - first : CHUNK;
    for (int64_t i = 0; i < n; i++) {
        x[i] = at(task->element, task->original, first + i);
        y[i] = at(task->element, task->reconstruction, first + i);
    }
    double *relative = compare->relative ? compare->relative + compare->count + first : NULL;
    compare->chunks[index] = sum_chunk(x, y, relative, n, compare->opts.relative_floor);
}

static struct sums join(const struct sums *a, const struct sums *b) {
    struct sums s = *a;
    double n = (double)(a->x.count + b->x.count);
    if (a->x.count == 0)
        return *b;
    s.products += b->products + (b->x.mean - a->x.mean) * (b->y.mean - a->y.mean) * ((double)a->x.count * ((double)b->x.count / n));
    s.x = swg__moments_merge(a->x, b->x);
    s.y = swg__moments_merge(a->y, b->y);
    s.e = swg__moments_merge(a->e, b->e);
    s.relative = swg__moments_merge(a->relative, b->relative);
    s.absolute += b->absolute;
    s.square += b->square;
    s.x_square += b->x_square;
    s.relative_square += b->relative_square;
    s.zeros += b->zeros;
    return s;
}

/* ---- adding ---- */

static swg_status reserve(swg_compare *compare, int64_t count, int64_t chunks) {
    if (chunks > compare->chunk_capacity) {
        struct sums *grown = swg__grow(compare->ctx, compare->chunks, (size_t)chunks * sizeof *grown);
        if (!grown)
            return swg__fail_memory(compare->ctx, (size_t)chunks * sizeof *grown, "the sums of a comparison");
        compare->chunks = grown;
        compare->chunk_capacity = chunks;
    }
    if (compare->opts.no_percentiles || compare->count + count <= compare->capacity)
        return SWG_OK;
    int64_t larger = compare->count + count > 2 * compare->capacity ? compare->count + count : 2 * compare->capacity;
    double *grown = swg__grow(compare->ctx, compare->relative, (size_t)larger * sizeof *grown);
    if (!grown)
        return swg__fail_memory(compare->ctx, (size_t)larger * sizeof *grown, "the relative errors of a comparison");
    compare->relative = grown;
    compare->capacity = larger;
    return SWG_OK;
}

swg_status swg_compare_add(swg_compare *compare, swg_element element, const void *original, const void *reconstruction, int64_t count) {
    if (element != SWG_ELEMENT_F32 && element != SWG_ELEMENT_F64)
        return swg__fail(compare->ctx, SWG_EDTYPE, "metrics compare f32 or f64 values, not %s", swg_element_name(element));
    if (count < 1)
        return count == 0 ? SWG_OK : swg__fail(compare->ctx, SWG_EINVAL, "metrics: %lld values", (long long)count);
    int64_t chunks = (count - 1) / CHUNK + 1;
    SWG__TRY(reserve(compare, count, chunks));
    struct task task = {compare, element, original, reconstruction, count};
    swg__parallel(compare->ctx, chunks, run_chunk, &task);
    for (int64_t i = 0; i < chunks; i++)
        if (!compare->chunks[i].finite)
            return swg__fail(compare->ctx, SWG_ENONFINITE, "metrics: a NaN or infinity among values %lld to %lld; leave such blocks out",
                             (long long)(i * CHUNK), (long long)(i * CHUNK + CHUNK - 1));
    for (int64_t i = 0; i < chunks; i++)
        compare->sums = join(&compare->sums, &compare->chunks[i]);
    compare->count += count;
    return SWG_OK;
}

void swg_compare_exclude(swg_compare *compare, int64_t constant_blocks, int64_t raw_blocks) {
    compare->constant_blocks += constant_blocks;
    compare->raw_blocks += raw_blocks;
}

/* ---- results ---- */

/* Percentile of the relative errors; the -1 of zero originals stand at the front of the order. */
static double relative_quantile(const swg_compare *compare, double q) {
    int64_t left_out = compare->count - compare->sums.relative.count;
    return swg__order_at(compare->relative, compare->count, (double)left_out + q * (double)(compare->sums.relative.count - 1));
}

static void set(swg_metrics *out, swg_metric metric, bool has, double value) {
    out->has[metric] = has && !isnan(value);
    out->value[metric] = out->has[metric] ? value : 0;
}

void swg_compare_result(const swg_compare *compare, swg_metrics *out) {
    const struct sums *s = &compare->sums;
    *out = (swg_metrics){0};
    double n = (double)s->x.count, range = s->x.max - s->x.min, mse = s->square / n, related = (double)s->relative.count;
    bool any = s->x.count > 0, ratios = s->relative.count > 0, percentiles = ratios && !compare->opts.no_percentiles;
    set(out, SWG_METRIC_VALUES, true, n);
    set(out, SWG_METRIC_ZEROS, true, (double)s->zeros);
    set(out, SWG_METRIC_CONSTANT_BLOCKS, true, (double)compare->constant_blocks);
    set(out, SWG_METRIC_RAW_BLOCKS, true, (double)compare->raw_blocks);
    set(out, SWG_METRIC_MIN, any, s->x.min);
    set(out, SWG_METRIC_MAX, any, s->x.max);
    set(out, SWG_METRIC_MSE, any, mse);
    set(out, SWG_METRIC_MAE, any, s->absolute / n);
    set(out, SWG_METRIC_MAX_ABS_ERROR, any, fmax(-s->e.min, s->e.max));
    set(out, SWG_METRIC_ERROR_MEAN, any, s->e.mean);
    set(out, SWG_METRIC_ERROR_STD, any, swg__moments_sd(s->e));
    set(out, SWG_METRIC_ERROR_MIN, any, s->e.min);
    set(out, SWG_METRIC_ERROR_MAX, any, s->e.max);
    set(out, SWG_METRIC_PSNR_DB, any && range > 0, mse > 0 ? 20 * log10(range) - 10 * log10(mse) : INFINITY);
    set(out, SWG_METRIC_NRMSE, any && range > 0, sqrt(mse) / range);
    set(out, SWG_METRIC_CORRELATION, any && range > 0 && s->y.max > s->y.min, s->products / (sqrt(s->x.m2) * sqrt(s->y.m2)));
    set(out, SWG_METRIC_RELATIVE_L2, any && s->x_square > 0, sqrt(s->square) / sqrt(s->x_square));
    set(out, SWG_METRIC_RELATIVE_MEAN, ratios, s->relative.mean);
    set(out, SWG_METRIC_RELATIVE_MAX, ratios, s->relative.max);
    set(out, SWG_METRIC_RELATIVE_STD, ratios, swg__moments_sd(s->relative));
    set(out, SWG_METRIC_RELATIVE_RMS, ratios, sqrt(s->relative_square / related));
    set(out, SWG_METRIC_RELATIVE_P50, percentiles, percentiles ? relative_quantile(compare, 0.50) : 0);
    set(out, SWG_METRIC_RELATIVE_P95, percentiles, percentiles ? relative_quantile(compare, 0.95) : 0);
    set(out, SWG_METRIC_RELATIVE_P99, percentiles, percentiles ? relative_quantile(compare, 0.99) : 0);
}

/* ---- names and JSON ---- */

static const struct {
    const char *key, *meaning;
} metrics[SWG_METRICS] = {
#define X(name, key, meaning) {key, meaning},
    SWG_METRIC_TABLE(X)
#undef X
};

const char *swg_metric_key(swg_metric metric) { return metric >= 0 && metric < SWG_METRICS ? metrics[metric].key : NULL; }
const char *swg_metric_meaning(swg_metric metric) { return metric >= 0 && metric < SWG_METRICS ? metrics[metric].meaning : NULL; }

int64_t swg_metrics_json(const swg_metrics *values, char *text, int64_t capacity) {
    int64_t length = 0;
    for (int m = 0; m < SWG_METRICS; m++) {
        char number[40] = "null", item[96];
        if (values->has[m] && isinf(values->value[m]))
            snprintf(number, sizeof number, values->value[m] > 0 ? "\"inf\"" : "\"-inf\"");
        else if (values->has[m])
            snprintf(number, sizeof number, "%.17g", values->value[m]);
        int bytes = snprintf(item, sizeof item, "%c\"%s\":%s%s", m ? ',' : '{', metrics[m].key, number, m + 1 == SWG_METRICS ? "}" : "");
        for (int i = 0; i < bytes; i++, length++)
            if (length + 1 < capacity)
                text[length] = item[i];
    }
    if (capacity > 0)
        text[length < capacity ? length : capacity - 1] = 0;
    return length;
}
