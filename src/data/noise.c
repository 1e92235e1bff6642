/* noise.c - noise and augmentation of training images.
 * In: (channels, h, w) f32 and a key. Out: the same with noise, flipped, turned or stained. All draws are Philox words of the key, so the same
 * key gives the same image whatever thread, batch or order it is made in.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/noise.h"
#include <math.h>
#include <string.h>
#include "context.h"
#include "data/transform.h"
#include "kernel/isa.h"
#include "philox.h"

enum { QUADS = 128 }; /* Philox blocks per piece on the stack */

/* ---- words ---- */

static const char *const kinds[] = {"none", "gauss", "rect", "rect+gauss", "poisson", "saltpepper"};
enum { KINDS = sizeof kinds / sizeof *kinds };

swg_status swg__noise_parse(swg_context *ctx, const char *word, swg__noise_kind *out) {
    *out = SWG__NOISE_NONE;
    if (!word)
        return SWG_OK;
    for (int i = 0; i < KINDS; i++)
        if (strcmp(word, kinds[i]) == 0) {
            *out = (swg__noise_kind)i;
            return SWG_OK;
        }
    return swg__fail(ctx, SWG_EINVAL, "noise=%s: expected one of " SWG__NOISE_WORDS, word);
}

const char *swg__noise_name(swg__noise_kind kind) { return kinds[kind]; }

swg_status swg__noise_check(swg_context *ctx, const swg__noise *n) {
    if (!(n->sigma >= 0 && n->sigma <= 1e3))
        return swg__fail(ctx, SWG_EINVAL, "noise.sigma=%g: must be 0 to 1000", n->sigma);
    if (!(n->peak > 0 && n->peak <= 1e9))
        return swg__fail(ctx, SWG_EINVAL, "noise.peak=%g: counts at value 1, above 0 and at most 1e9", n->peak);
    if (!(n->amount >= 0 && n->amount <= 1))
        return swg__fail(ctx, SWG_EINVAL, "noise.amount=%g: a share of pixels, 0 to 1", n->amount);
    return SWG_OK;
}

swg_status swg__augment_parse(swg_context *ctx, const char *words, unsigned *out) {
    static const struct {
        const char *word;
        unsigned flag;
    } known[] = {{"flip", SWG__AUGMENT_FLIP}, {"rot90", SWG__AUGMENT_ROT90}, {"stain", SWG__AUGMENT_STAIN}};
    *out = 0;
    if (!words || strcmp(words, "none") == 0)
        return SWG_OK;
    for (const char *at = words; *at;) {
        size_t length = strcspn(at, ",");
        unsigned flag = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].word) == length && memcmp(at, known[i].word, length) == 0)
                flag = known[i].flag;
        if (!flag)
            return swg__fail(ctx, SWG_EINVAL, "data.augment=%s: \"%.*s\": expected none, or some of flip,rot90,stain", words, (int)length, at);
        *out |= flag;
        at += length + (at[length] == ',');
    }
    return SWG_OK;
}

/* ---- draws ---- */

uint64_t swg__noise_key(uint64_t seed, uint64_t sample, uint32_t epoch) {
    swg__philox_words w = swg__philox(seed, sample, epoch, swg__fnv1a("image"));
    return w.w[0] | (uint64_t)w.w[1] << 32;
}

/* An integer uniform in low..high. */
static int64_t between(uint32_t word, int64_t low, int64_t high) { return low + (int64_t)(((uint64_t)word * (uint64_t)(high - low + 1)) >> 32); }

/* Uniform in (0, 1), 53 bits. */
static double uniform53(uint32_t high, uint32_t low) { return ((double)(high >> 5) * 0x1p26 + (double)(low >> 6) + .5) * 0x1p-53; }

/* ---- kinds of noise ---- */

swg__rectangle swg__noise_rectangle(uint64_t key, double progress, int64_t height, int64_t width) {
    const int64_t side = height < width ? height : width;
    int64_t low = (int64_t)floor(.1 * (double)side + .5), high = (int64_t)floor((.3 + .2 * progress) * (double)side + .5);
    low = low < 1 ? 1 : low;
    high = high < low ? low : high > side ? side : high;
    const swg__philox_words w = swg__philox(key, 0, 0, swg__fnv1a("rect"));
    swg__rectangle r = {.height = between(w.w[0], low, high), .width = between(w.w[1], low, high)};
    r.y = between(w.w[2], 0, height - r.height);
    r.x = between(w.w[3], 0, width - r.width);
    return r;
}

static void cover(uint64_t key, double progress, int channels, int64_t height, int64_t width, float *image) {
    const swg__rectangle r = swg__noise_rectangle(key, progress, height, width);
    for (int c = 0; c < channels; c++)
        for (int64_t y = r.y; y < r.y + r.height; y++)
            memset(image + (c * height + y) * width + r.x, 0, (size_t)r.width * sizeof *image);
}

static void add_normal(swg_context *ctx, uint64_t key, double sigma, int64_t count, float *image) {
    const swg__exact_table *exact = swg__exact_table_of(ctx->isa);
    const uint32_t stream = swg__fnv1a("gauss");
    uint32_t words[4 * QUADS];
    float normal[4 * QUADS];
    for (int64_t first = 0; first < count; first += 4 * QUADS) {
        const int64_t n = count - first < 4 * QUADS ? count - first : 4 * QUADS, quads = (n + 3) / 4;
        for (int64_t q = 0; q < quads; q++) {
            const swg__philox_words w = swg__philox(key, (uint64_t)(first / 4 + q), 0, stream);
            memcpy(words + 4 * q, w.w, sizeof w.w);
        }
        exact->normal(normal, words, quads);
        for (int64_t i = 0; i < n; i++)
            image[first + i] += (float)sigma * normal[i];
    }
}

/* ln k! by Stirling's series, exact to 1e-10 from 10 on; below from the product. */
static double log_factorial(double k) {
    if (k < 10) {
        double product = 1;
        for (double i = 2; i <= k; i++)
            product *= i;
        return log(product);
    }
    const double n = k + 1, z = 1 / (n * n);
    return (n - .5) * log(n) - n + .91893853320467274 + (1. / 12 - z * (1. / 360 - z * (1. / 1260))) / n;
}

/* A Poisson number of mean `mean`: inversion below 30, transformed rejection above (Hoermann 1993, algorithm PTRS). */
static double poisson(uint64_t key, uint64_t element, double mean) {
    const uint32_t stream = swg__fnv1a("poisson");
    if (!(mean > 0))
        return 0;
    if (mean < 30) {
        const swg__philox_words w = swg__philox(key, element, 0, stream);
        double u = uniform53(w.w[0], w.w[1]), p = exp(-mean), sum = p, k = 0;
        while (u > sum && k < 1000) {
            p *= mean / ++k;
            sum += p;
        }
        return k;
    }
    const double root = sqrt(mean), log_mean = log(mean), b = .931 + 2.53 * root, a = -.059 + .02483 * b, inverse = 1.1239 + 1.1328 / (b - 3.4),
                 inside = .9277 - 3.6224 / (b - 2);
    for (uint32_t attempt = 0; attempt < 1000; attempt++) {
        const swg__philox_words w = swg__philox(key, element, attempt, stream);
        const double u = uniform53(w.w[0], w.w[1]) - .5, v = uniform53(w.w[2], w.w[3]), edge = .5 - fabs(u);
        const double k = floor((2 * a / edge + b) * u + mean + .43);
        if (edge >= .07 && v <= inside)
            return k;
        if (k < 0 || (edge < .013 && v > edge))
            continue;
        if (log(v * inverse / (a / (edge * edge) + b)) <= k * log_mean - mean - log_factorial(k))
            return k;
    }
    return mean; /* not reached: an attempt succeeds with a probability above 0.7 */
}

static void count_photons(uint64_t key, double peak, int64_t count, float *image) {
    for (int64_t i = 0; i < count; i++)
        image[i] = (float)(poisson(key, (uint64_t)i, (double)image[i] * peak) / peak);
}

/* A share of pixels, half of it black and half white, in all channels. */
static void salt_pepper(uint64_t key, double amount, int channels, int64_t pixels, float *image) {
    const uint32_t stream = swg__fnv1a("saltpepper");
    for (int64_t i = 0; i < pixels; i++) {
        const double u = swg__philox(key, (uint64_t)i, 0, stream).w[0] * 0x1p-32;
        for (int c = 0; u < amount && c < channels; c++)
            image[c * pixels + i] = u < amount / 2 ? 0.f : 1.f;
    }
}

void swg__noise_apply(swg_context *ctx, const swg__noise *noise, uint64_t key, double progress, int channels, int64_t height, int64_t width,
                      float *image) {
    const swg__noise n = *noise;
    const int64_t pixels = height * width, count = pixels * channels;
    if (n.kind == SWG__NOISE_RECT || n.kind == SWG__NOISE_RECT_GAUSS)
        cover(key, progress, channels, height, width, image);
    if (n.kind == SWG__NOISE_GAUSS || n.kind == SWG__NOISE_RECT_GAUSS)
        add_normal(ctx, key, n.sigma, count, image);
    if (n.kind == SWG__NOISE_POISSON)
        count_photons(key, n.peak, count, image);
    if (n.kind == SWG__NOISE_SALT_PEPPER)
        salt_pepper(key, n.amount, channels, pixels, image);
    for (int64_t i = 0; n.clip && n.kind != SWG__NOISE_NONE && i < count; i++)
        image[i] = image[i] < 0 ? 0 : image[i] > 1 ? 1 : image[i];
}

/* ---- augmentation ---- */

void swg__augment_apply(unsigned augment, uint64_t key, int channels, int64_t side, float *image) {
    const uint32_t stream = swg__fnv1a("augment");
    const swg__philox_words w = swg__philox(key, 0, 0, stream);
    const bool columns = augment & SWG__AUGMENT_FLIP && w.w[0] >> 31, rows = augment & SWG__AUGMENT_FLIP && w.w[1] >> 31;
    const unsigned turns = augment & SWG__AUGMENT_ROT90 ? w.w[2] >> 30 : 0;
    for (int c = 0; c < channels; c++) {
        float *plane = image + c * side * side;
        if (columns)
            swg__flip_x(plane, 1, side, side);
        if (rows)
            swg__flip_y(plane, 1, side, side);
        for (unsigned t = 0; t < turns; t++)
            swg__turn(plane, 1, side);
        if (!(augment & SWG__AUGMENT_STAIN))
            continue;
        const float gain = .9f + .2f * swg__uniform(swg__philox(key, (uint64_t)c, 1, stream).w[0]);
        for (int64_t i = 0; i < side * side; i++)
            plane[i] = plane[i] > 0 ? powf(plane[i], gain) : plane[i]; /* gain times the density -ln v */
    }
}
