/* quality.c - the error of an array as a signal: distribution, correlation, gradients, spectrum, and its price at other bounds.
 * In: original and restored values. Out: numbers for a report.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "archive/quality.h"

static double value_at(swg_element element, const void *data, int64_t i) {
    return element == SWG_ELEMENT_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

typedef struct pair {
    swg_element element;
    const void *original, *restored;
    double unit;
} pair;

/* Error / unit; NaN where either side is not finite. */
static double error_at(const pair *p, int64_t i) {
    double a = value_at(p->element, p->original, i), b = value_at(p->element, p->restored, i);
    return isfinite(a) && isfinite(b) ? (b - a) / p->unit : NAN;
}

static void set_extent(const swg_swz_info *info, swg__quality *q) {
    q->outer = 1;
    for (int a = 0; a < 3; a++)
        q->extent[a] = 1;
    for (int i = 0; i < info->ndim; i++) {
        int axis = i - info->ndim + 3;
        if (axis >= 0)
            q->extent[axis] = info->dims[i];
        else
            q->outer *= info->dims[i];
    }
}

/* ---- distribution ---- */

static void distribution(const pair *p, int64_t count, bool bounded, swg__quality *q) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        double e = error_at(p, i);
        if (isnan(e))
            continue;
        q->finite++;
        sum += e;
        squares += e * e;
        int bin = (int)floor((e + 1) * SWG__BINS / 2);
        if (bounded)
            q->histogram[bin < 0 ? 0 : bin >= SWG__BINS ? SWG__BINS - 1 : bin]++;
    }
    q->mean = q->finite ? sum / (double)q->finite : NAN;
    q->deviation = q->finite ? sqrt(fmax(0, squares / (double)q->finite - q->mean * q->mean)) : NAN;
}

/* ---- neighbours along an axis ---- */

static void along(const pair *p, int axis, swg__quality *q) {
    const int64_t n = q->extent[axis];
    int64_t inner = 1, outer = q->outer, pairs = 0;
    double products = 0, differences = 0, gaps = 0;
    for (int a = axis + 1; a < 3; a++)
        inner *= q->extent[a];
    for (int a = 0; a < axis; a++)
        outer *= q->extent[a];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k + 1 < n; k++)
            for (int64_t i = (o * n + k) * inner; i < (o * n + k + 1) * inner; i++) {
                double e = error_at(p, i), f = error_at(p, i + inner);
                if (isnan(e) || isnan(f))
                    continue;
                double step = (value_at(p->element, p->original, i + inner) - value_at(p->element, p->original, i)) / p->unit;
                pairs++;
                products += (e - q->mean) * (f - q->mean);
                differences += step * step;
                gaps += (f - e) * (f - e);
            }
    q->lag1[axis] = pairs && q->deviation > 0 ? products / (double)pairs / (q->deviation * q->deviation) : NAN;
    q->gradient[axis] = differences > 0 ? sqrt(gaps / differences) : NAN;
}

/* ---- spectrum along x, as sums over wave numbers of lines evenly chosen ---- */

static void add_line(const double *line, int64_t n, const double *cosine, const double *sine, int waves, double *power) {
    for (int w = 0; w < waves; w++) {
        double re = 0, im = 0;
        for (int64_t x = 0; x < n; x++) {
            int64_t turn = x * w % n;
            re += line[x] * cosine[turn];
            im += line[x] * sine[turn];
        }
        power[w] += (re * re + im * im) / (double)(n * n);
    }
}

static void spectrum(const pair *p, swg__quality *q) {
    enum { LONGEST = 2 * SWG__WAVES - 2 };
    static const double work = 2e7; /* multiply-adds: tenths of a second */
    const int64_t n = q->extent[2] < LONGEST ? q->extent[2] : LONGEST, lines = q->outer * q->extent[0] * q->extent[1];
    double cosine[LONGEST], sine[LONGEST], a[LONGEST], b[LONGEST], e[LONGEST];
    int64_t taken = 0, wanted = (int64_t)(work / (double)(n * n)) + 1;
    wanted = wanted < lines ? wanted : lines;
    if (n < 4)
        return;
    for (int64_t x = 0; x < n; x++) {
        cosine[x] = cos(2 * 3.14159265358979323846 * (double)x / (double)n);
        sine[x] = sin(2 * 3.14159265358979323846 * (double)x / (double)n);
    }
    q->waves = (int)(n / 2 + 1);
    for (int64_t l = 0; l < wanted; l++) {
        int64_t first = l * lines / wanted * q->extent[2];
        bool finite = true;
        for (int64_t x = 0; x < n; x++) {
            a[x] = value_at(p->element, p->original, first + x);
            b[x] = value_at(p->element, p->restored, first + x);
            e[x] = b[x] - a[x];
            finite = finite && isfinite(e[x]);
        }
        if (!finite)
            continue;
        add_line(a, n, cosine, sine, q->waves, q->power);
        add_line(b, n, cosine, sine, q->waves, q->power_restored);
        add_line(e, n, cosine, sine, q->waves, q->power_error);
        taken++;
    }
    for (int w = 0; w < q->waves; w++) {
        q->power[w] = taken ? q->power[w] / (double)taken : NAN;
        q->power_restored[w] = taken ? q->power_restored[w] / (double)taken : NAN;
        q->power_error[w] = taken ? q->power_error[w] / (double)taken : NAN;
    }
}

void swg__quality_measure(const swg_swz_info *info, const void *original, const void *restored, swg__quality *q) {
    *q = (swg__quality){.unit = info->eb_abs > 0 ? info->eb_abs : 1};
    const pair p = {info->type, original, restored, q->unit};
    set_extent(info, q);
    distribution(&p, info->values, info->eb_abs > 0, q);
    for (int a = 0; a < 3; a++)
        along(&p, a, q);
    spectrum(&p, q);
}

/* ---- other bounds ---- */

static swg_status add_point(swg_context *ctx, const swg_codec_array *array, double bound, double range, void *restored, size_t bytes,
                            swg__curve_point *point) {
    swg_codec_buffer out = {0};
    swg_codec_stats stats;
    swg_codec_gap gap;
    swg_swz *swz = NULL;
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = bound};
    swg_status status = swg_codec_compress(ctx, array, &opts, &out, &stats);
    if (status == SWG_OK)
        status = swg_swz_open_memory(ctx, out.data, out.bytes, &swz);
    if (status == SWG_OK)
        status = swg_swz_read(swz, 0, restored, bytes);
    if (status == SWG_OK)
        status = swg_codec_compare(ctx, array, restored, bound, &gap);
    if (status == SWG_OK)
        *point = (swg__curve_point){.bound = bound, .bound_rel = bound / range, .psnr_db = gap.psnr_db, .ratio = (double)bytes / (double)out.bytes,
                                    .bits_per_value = 8 * (double)out.bytes / (double)stats.values};
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
    return status;
}

swg_status swg__quality_curve(swg_context *ctx, const swg_swz_info *info, const void *original, swg__curve_point *points, int *count) {
    static const double factors[SWG__CURVE] = {100, 10, 1, .1, .01};
    const int64_t most = (int64_t)1 << 24;
    const double range = info->range_max - info->range_min, middle = info->eb_abs > 0 ? info->eb_abs : 1e-4 * range;
    swg_codec_array array = {.type = info->type, .layout = info->layout, .ndim = info->ndim, .data = original};
    memcpy(array.dims, info->dims, sizeof array.dims);
    *count = 0;
    int64_t slab = info->values / info->dims[0], slabs = slab < most ? most / slab : 1;
    if (!(range > 0) || !isfinite(range) || !(middle > 0))
        return SWG_OK;
    array.dims[0] = info->dims[0] < slabs ? info->dims[0] : slabs;
    size_t bytes = (size_t)(array.dims[0] * slab * swg_element_bytes(info->type));
    void *restored = swg__alloc(ctx, bytes);
    swg_status status = restored ? SWG_OK : swg__fail_memory(ctx, bytes, info->name);
    for (int i = 0; i < SWG__CURVE && status == SWG_OK; i++) {
        double bound = middle * factors[i];
        if (bound > .2 * range || bound < 1e-7 * range)
            continue;
        status = add_point(ctx, &array, bound, range, restored, bytes, &points[*count]);
        *count += status == SWG_OK;
    }
    swg__free(ctx, restored);
    return status;
}
