/* image_quality.c - how close two images of range [0,1] are: errors, PSNR, SSIM, correlation.
 * In: pairs of (channels, height, width) f32. Out: sums in f64, in a fixed order; means.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "base.h"
#include "swage/image.h"

enum { TAPS = 11, MAPS = 5 };
static const double SIGMA = 1.5, C1 = .01 * .01, C2 = .03 * .03; /* (K L)^2 with L 1 */

/* ---- SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity" (2004) ---- */

static void gauss_taps(double taps[TAPS]) {
    double sum = 0;
    for (int k = 0; k < TAPS; k++)
        sum += taps[k] = exp(-.5 * (k - TAPS / 2) * (k - TAPS / 2) / (SIGMA * SIGMA));
    for (int k = 0; k < TAPS; k++)
        taps[k] /= sum;
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

/* Sum of the index over the valid positions of one row of weighted maps. `smooth` has room for five rows. */
static double index_of_row(const double taps[TAPS], const double *restrict maps, int64_t width, double *restrict smooth) {
    const int64_t valid = width - TAPS + 1;
    for (int m = 0; m < MAPS; m++) {
        double *restrict out = smooth + m * width;
        memset(out, 0, (size_t)valid * sizeof *out);
        for (int k = 0; k < TAPS; k++)
            for (int64_t i = 0; i < valid; i++)
                out[i] += taps[k] * maps[m * width + i + k];
    }
    const double *mx = smooth, *my = smooth + width, *xx = smooth + 2 * width, *yy = smooth + 3 * width, *xy = smooth + 4 * width;
    double sum = 0;
    for (int64_t i = 0; i < valid; i++) {
        double product = mx[i] * my[i], squares = mx[i] * mx[i] + my[i] * my[i];
        double covariance = xy[i] - product, variances = xx[i] + yy[i] - squares;
        sum += (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2));
    }
    return sum;
}

/* Mean index of one channel. rows: room for 10 rows of doubles. */
static double ssim_of_plane(const float *x, const float *y, int64_t height, int64_t width, double *rows) {
    double taps[TAPS], sum = 0;
    gauss_taps(taps);
    for (int64_t top = 0; top + TAPS <= height; top++) {
        memset(rows, 0, (size_t)(MAPS * width) * sizeof *rows);
        for (int k = 0; k < TAPS; k++)
            weigh_row(taps[k], x + (top + k) * width, y + (top + k) * width, width, rows);
        sum += index_of_row(taps, rows, width, rows + MAPS * width);
    }
    return sum / (double)((height - TAPS + 1) * (width - TAPS + 1));
}

/* ---- one pair ---- */

struct pair_sums {
    double x, y, square, absolute;
    bool finite;
};

/* finite: no value of either image is NaN or infinite. */
static struct pair_sums sum_errors(const float *clean, const float *image, int64_t count) {
    struct pair_sums s = {.finite = true};
    for (int64_t i = 0; i < count; i++) {
        double a = (double)clean[i], b = (double)image[i], e = b - a;
        s.x += a;
        s.y += b;
        s.square += e * e;
        s.absolute += fabs(e);
    }
    s.finite = isfinite(s.square);
    return s;
}

/* Correlation of all values; false where one side is constant. */
static bool correlate(const float *clean, const float *image, int64_t count, const struct pair_sums *sums, double *r) {
    double mx = sums->x / (double)count, my = sums->y / (double)count, xx = 0, yy = 0, xy = 0;
    bool x_varies = false, y_varies = false;
    for (int64_t i = 0; i < count; i++) {
        double a = (double)clean[i] - mx, b = (double)image[i] - my;
        xx += a * a;
        yy += b * b;
        xy += a * b;
        x_varies |= clean[i] != clean[0];
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

swg_status swg_image_quality_add(swg_context *ctx, swg_image_quality *sums, const float *clean, const float *image, int channels, int64_t height,
                                 int64_t width, bool clipped) {
    int64_t plane, count, bytes, rows_bytes;
    if (channels < 1 || height < 1 || width < 1 || swg__mul_overflow(height, width, &plane) || swg__mul_overflow(plane, channels, &count) ||
        swg__mul_overflow(count, (int64_t)sizeof(float), &bytes) || swg__mul_overflow(width, 2 * MAPS * (int64_t)sizeof(double), &rows_bytes))
        return swg__fail(ctx, SWG_ESHAPE, "image quality: (%d, %lld, %lld) is no image", channels, (long long)height, (long long)width);
    float *copy = clipped ? swg__alloc(ctx, (size_t)bytes) : NULL;
    double *rows = swg__alloc(ctx, (size_t)rows_bytes);
    swg_status status = rows && (copy || !clipped) ? SWG_OK : swg__fail_memory(ctx, (size_t)(bytes + rows_bytes), "image quality");
    if (status == SWG_OK && clipped) {
        memcpy(copy, image, (size_t)bytes);
        clip(copy, count);
        image = copy;
    }
    if (status == SWG_OK) {
        struct pair_sums s = sum_errors(clean, image, count);
        double r, ssim = 0;
        if (!s.finite) {
            status = swg__fail(ctx, SWG_ENONFINITE, "image quality: a value is NaN or infinite");
        } else {
            sums->images++;
            sums->values += count;
            sums->square += s.square;
            sums->absolute += s.absolute;
            if (correlate(clean, image, count, &s, &r)) {
                sums->pearson += r;
                sums->pearson_images++;
            }
            if (height >= TAPS && width >= TAPS) {
                for (int c = 0; c < channels; c++)
                    ssim += ssim_of_plane(clean + c * plane, image + c * plane, height, width, rows);
                sums->ssim += ssim / channels;
                sums->ssim_images++;
            }
        }
    }
    swg__free(ctx, rows);
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
}

static double mean(double sum, int64_t count) { return count ? sum / (double)count : NAN; }

double swg_image_mse(const swg_image_quality *sums) { return mean(sums->square, sums->values); }
double swg_image_mae(const swg_image_quality *sums) { return mean(sums->absolute, sums->values); }
double swg_image_ssim(const swg_image_quality *sums) { return mean(sums->ssim, sums->ssim_images); }
double swg_image_pearson(const swg_image_quality *sums) { return mean(sums->pearson, sums->pearson_images); }

double swg_image_psnr_db(const swg_image_quality *sums) {
    double mse = swg_image_mse(sums);
    return mse == 0 ? INFINITY : -10 * log10(mse);
}
