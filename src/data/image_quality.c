/* image_quality.c - how close an image is to its target, in a plane or a volume: errors, PSNR, SSIM, correlation, overlap of masks.
 * In: pairs of (channels, z, y, x) f32. Out: sums in f64, in a fixed order; means.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/quality.h"
#include <math.h>
#include <string.h>
#include "base.h"

enum { MOST_TAPS = 11, MAPS = 5 };
static const double SIGMA = 1.5, K1 = .01, K2 = .03;

/* ---- SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004) ---- */

typedef struct axis_taps {
    int count;
    double weight[MOST_TAPS];
} axis_taps;

/* One channel of a pair. Rows of y are tasks: five weighted maps of each plane at that row, then over z, then over x. */
typedef struct ssim_work {
    const float *x, *y;
    int64_t depth, height, width;
    axis_taps taps[3];      /* z, y, x */
    double c1, c2;
    double *rows;           /* of each worker: (depth + 2, MAPS, width) */
    double *sums;           /* (valid rows of y) */
} ssim_work;

static axis_taps gauss_taps(int count) {
    axis_taps t = {.count = count};
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += t.weight[k] = exp(-.5 * (k - count / 2) * (k - count / 2) / (SIGMA * SIGMA));
    for (int k = 0; k < count; k++)
        t.weight[k] /= sum;
    return t;
}

/* 0: the extent has none. */
static int taps_of(int64_t extent, bool fit, bool may_be_flat) {
    if (extent >= MOST_TAPS)
        return MOST_TAPS;
    if (fit || (may_be_flat && extent == 1))
        return (int)((extent - 1) / 2 * 2 + 1);
    return 0;
}

/* Adds w times x, y, x^2, y^2, xy of one row of pixels to five running rows. */
static void weigh_row(double w, const float *restrict x, const float *restrict y, int64_t width, double *restrict maps) {
    double *restrict mx = maps, *restrict my = maps + width, *restrict xx = maps + 2 * width, *restrict yy = maps + 3 * width,
           *restrict xy = maps + 4 * width;
    for (int64_t i = 0; i < width; i++) {
        double a = (double)x[i], b = (double)y[i], wa = w * a, wb = w * b;
        mx[i] += wa;
        my[i] += wb;
        xx[i] += wa * a;
        yy[i] += wb * b;
        xy[i] += wa * b;
    }
}

/* Adds w times five rows to five others. */
static void weigh_maps(double w, const double *restrict from, int64_t values, double *restrict maps) {
    for (int64_t i = 0; i < values; i++)
        maps[i] += w * from[i];
}

/* Sum of the index over the valid positions of one row of weighted maps. `smooth` has room for five rows. */
static double index_of_row(const ssim_work *s, const double *restrict maps, double *restrict smooth) {
    const axis_taps *taps = &s->taps[2];
    const int64_t width = s->width, valid = width - taps->count + 1;
    for (int m = 0; m < MAPS; m++) {
        double *restrict out = smooth + m * width;
        memset(out, 0, (size_t)valid * sizeof *out);
        for (int k = 0; k < taps->count; k++)
            for (int64_t i = 0; i < valid; i++)
                out[i] += taps->weight[k] * maps[m * width + i + k];
    }
    const double *mx = smooth, *my = smooth + width, *xx = smooth + 2 * width, *yy = smooth + 3 * width, *xy = smooth + 4 * width;
    double sum = 0;
    for (int64_t i = 0; i < valid; i++) {
        double product = mx[i] * my[i], squares = mx[i] * mx[i] + my[i] * my[i];
        double covariance = xy[i] - product, variances = xx[i] + yy[i] - squares;
        sum += (2 * product + s->c1) * (2 * covariance + s->c2) / ((squares + s->c1) * (variances + s->c2));
    }
    return sum;
}

/* Task `top`: all windows that begin at that row of y. */
static void ssim_rows(void *arg, int64_t top, int worker) {
    const ssim_work *s = arg;
    const int64_t maps = MAPS * s->width, plane = s->height * s->width;
    double *planes = s->rows + worker * (s->depth + 2) * maps, *sum = planes + s->depth * maps;
    memset(planes, 0, (size_t)(s->depth * maps) * sizeof *planes);
    for (int64_t z = 0; z < s->depth; z++)
        for (int k = 0; k < s->taps[1].count; k++)
            weigh_row(s->taps[1].weight[k], s->x + z * plane + (top + k) * s->width, s->y + z * plane + (top + k) * s->width, s->width, planes + z * maps);
    s->sums[top] = 0;
    for (int64_t z = 0; z + s->taps[0].count <= s->depth; z++) {
        memset(sum, 0, (size_t)maps * sizeof *sum);
        for (int k = 0; k < s->taps[0].count; k++)
            weigh_maps(s->taps[0].weight[k], planes + (z + k) * maps, maps, sum);
        s->sums[top] += index_of_row(s, sum, sum + maps);
    }
}

/* Mean index of one channel. */
static double ssim_of_channel(swg_context *ctx, ssim_work *s) {
    const int64_t rows = s->height - s->taps[1].count + 1;
    double sum = 0;
    swg__parallel(ctx, rows, ssim_rows, s);
    for (int64_t top = 0; top < rows; top++)
        sum += s->sums[top];
    return sum / (double)((s->depth - s->taps[0].count + 1) * rows * (s->width - s->taps[2].count + 1));
}

/* Mean index over channels into *ssim. */
static swg_status ssim_of(swg_context *ctx, const float *target, const float *image, const swg_quality_opts *o, double range, const int taps[3],
                          double *ssim) {
    ssim_work s = {.depth = o->extent[0], .height = o->extent[1], .width = o->extent[2], .c1 = K1 * range * (K1 * range), .c2 = K2 * range * (K2 * range)};
    const size_t row_values = (size_t)swg_context_threads(ctx) * (size_t)(s.depth + 2) * MAPS;
    for (int a = 0; a < 3; a++)
        s.taps[a] = gauss_taps(taps[a]);
    s.rows = swg__alloc(ctx, row_values * (size_t)s.width * sizeof *s.rows);
    s.sums = swg__alloc(ctx, (size_t)s.height * sizeof *s.sums);
    *ssim = 0;
    for (int c = 0; c < o->channels && s.rows && s.sums; c++) {
        s.x = target + c * s.depth * s.height * s.width;
        s.y = image + c * s.depth * s.height * s.width;
        *ssim += ssim_of_channel(ctx, &s);
    }
    *ssim /= o->channels;
    swg_status status = s.rows && s.sums ? SWG_OK : swg__fail_memory(ctx, row_values * (size_t)s.width * sizeof *s.rows, "image quality");
    swg__free(ctx, s.sums);
    swg__free(ctx, s.rows);
    return status;
}

/* ---- one pair ---- */

struct pair_sums {
    double x, y, square, absolute;
    bool finite;
};

/* finite: no value of either image is NaN or infinite. */
static struct pair_sums sum_errors(const float *target, const float *image, int64_t count) {
    struct pair_sums s = {.finite = true};
    for (int64_t i = 0; i < count; i++) {
        double a = (double)target[i], b = (double)image[i], e = b - a;
        s.x += a;
        s.y += b;
        s.square += e * e;
        s.absolute += fabs(e);
    }
    s.finite = isfinite(s.square);
    return s;
}

/* Correlation of all values; false where one side is constant. */
static bool correlate(const float *target, const float *image, int64_t count, const struct pair_sums *sums, double *r) {
    double mx = sums->x / (double)count, my = sums->y / (double)count, xx = 0, yy = 0, xy = 0;
    bool x_varies = false, y_varies = false;
    for (int64_t i = 0; i < count; i++) {
        double a = (double)target[i] - mx, b = (double)image[i] - my;
        xx += a * a;
        yy += b * b;
        xy += a * b;
        x_varies |= target[i] != target[0];
        y_varies |= image[i] != image[0];
    }
    if (!x_varies || !y_varies || !(xx > 0) || !(yy > 0))
        return false;
    *r = xy / (sqrt(xx) * sqrt(yy));
    return true;
}

static void clip(float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) /* what is not must be found later */
            values[i] = values[i] < 0 ? 0 : values[i] > 1 ? 1 : values[i];
}

static double range_of(const float *values, int64_t count) {
    float least = values[0], most = values[0];
    for (int64_t i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    return (double)most - (double)least;
}

static swg_status add_pair(swg_context *ctx, swg_image_quality *sums, const float *target, const float *image, int64_t count, const swg_quality_opts *o) {
    const struct pair_sums s = sum_errors(target, image, count);
    int taps[3];
    double r, ssim = 0;
    if (!s.finite)
        return swg__fail(ctx, SWG_ENONFINITE, "image quality: a value is NaN or infinite");
    const double range = o->range > 0 ? o->range : range_of(target, count);
    for (int a = 0; a < 3; a++)
        taps[a] = taps_of(o->extent[a], o->fit_taps, a == 0);
    const bool has_ssim = range > 0 && taps[0] && taps[1] && taps[2];
    if (has_ssim)
        SWG__TRY(ssim_of(ctx, target, image, o, range, taps, &ssim));
    sums->images++;
    sums->values += count;
    sums->square += s.square;
    sums->absolute += s.absolute;
    sums->ssim += ssim;
    sums->ssim_images += has_ssim;
    if (correlate(target, image, count, &s, &r)) {
        sums->pearson += r;
        sums->pearson_images++;
    }
    if (range > 0) {
        sums->psnr_db += s.square > 0 ? 20 * log10(range) - 10 * log10(s.square / (double)count) : INFINITY;
        sums->psnr_images++;
    }
    return SWG_OK;
}

/* False if such an image cannot be. */
static bool count_values(const swg_quality_opts *o, int64_t *count) {
    int64_t bytes;
    *count = o->channels;
    for (int a = 0; a < 3; a++)
        if (o->extent[a] < 1 || swg__mul_overflow(*count, o->extent[a], count))
            return false;
    return o->channels > 0 && !swg__mul_overflow(*count, MAPS * (int64_t)sizeof(double), &bytes);
}

swg_status swg_image_quality_add(swg_context *ctx, swg_image_quality *sums, const float *target, const float *image, const swg_quality_opts *o) {
    int64_t count;
    if (!count_values(o, &count))
        return swg__fail(ctx, SWG_ESHAPE, "image quality: (%d, %lld, %lld, %lld) is no image", o->channels, (long long)o->extent[0],
                         (long long)o->extent[1], (long long)o->extent[2]);
    if (!o->clip)
        return add_pair(ctx, sums, target, image, count, o);
    const size_t bytes = (size_t)count * sizeof(float);
    float *copy = swg__alloc(ctx, bytes);
    if (!copy)
        return swg__fail_memory(ctx, bytes, "image quality");
    memcpy(copy, image, bytes);
    clip(copy, count);
    swg_status status = add_pair(ctx, sums, target, copy, count, o);
    swg__free(ctx, copy);
    return status;
}

void swg_image_quality_join(swg_image_quality *sums, const swg_image_quality *other) {
    sums->images += other->images;
    sums->values += other->values;
    sums->square += other->square;
    sums->absolute += other->absolute;
    sums->ssim += other->ssim;
    sums->ssim_images += other->ssim_images;
    sums->pearson += other->pearson;
    sums->pearson_images += other->pearson_images;
    sums->psnr_db += other->psnr_db;
    sums->psnr_images += other->psnr_images;
}

static double mean(double sum, int64_t count) { return count ? sum / (double)count : NAN; }

double swg_image_mse(const swg_image_quality *sums) { return mean(sums->square, sums->values); }
double swg_image_mae(const swg_image_quality *sums) { return mean(sums->absolute, sums->values); }
double swg_image_ssim(const swg_image_quality *sums) { return mean(sums->ssim, sums->ssim_images); }
double swg_image_psnr_mean_db(const swg_image_quality *sums) { return mean(sums->psnr_db, sums->psnr_images); }
double swg_image_pearson(const swg_image_quality *sums) { return mean(sums->pearson, sums->pearson_images); }

double swg_image_psnr_db(const swg_image_quality *sums) {
    double mse = swg_image_mse(sums);
    return mse == 0 ? INFINITY : -10 * log10(mse);
}

/* ---- masks ---- */

void swg_overlap_add(swg_overlap *sums, const float *target, const float *image, int64_t count) {
    int64_t both = 0, in_target = 0, in_image = 0;
    for (int64_t i = 0; i < count; i++) {
        const bool a = target[i] > .5f, b = image[i] > .5f;
        both += a && b;
        in_target += a;
        in_image += b;
    }
    const int64_t either = in_target + in_image - both;
    sums->images++;
    sums->dice += either ? 2 * (double)both / (double)(in_target + in_image) : 1;
    sums->iou += either ? (double)both / (double)either : 1;
}

void swg_overlap_join(swg_overlap *sums, const swg_overlap *other) {
    sums->images += other->images;
    sums->dice += other->dice;
    sums->iou += other->iou;
}

double swg_overlap_dice(const swg_overlap *sums) { return mean(sums->dice, sums->images); }
double swg_overlap_iou(const swg_overlap *sums) { return mean(sums->iou, sums->images); }
