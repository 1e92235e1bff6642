/* transform.c - what is done to images before a network sees them.
 * In: f32 arrays. Out: the same, resampled, scaled or augmented.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/transform.h"
#include <math.h>
#include <string.h>
#include "philox.h"

/* ---- resampling ---- */

int64_t swg__zoom_extent(double zoom, int64_t n) { return (int64_t)floor(zoom * (double)n); }

/* (outer, n, inner) to (outer, m, inner), m < n: means of windows. */
static void average(const float *in, int64_t outer, int64_t n, int64_t inner, int64_t m, float *out) {
    for (int64_t o = 0; o < outer; o++, in += n * inner)
        for (int64_t i = 0; i < m; i++, out += inner) {
            const int64_t first = i * n / m, end = ((i + 1) * n + m - 1) / m;
            const float share = 1.f / (float)(end - first);
            memcpy(out, in + first * inner, (size_t)inner * sizeof *out);
            for (int64_t k = first + 1; k < end; k++)
                for (int64_t j = 0; j < inner; j++)
                    out[j] += in[k * inner + j];
            for (int64_t j = 0; j < inner; j++)
                out[j] *= share;
        }
}

/* m > n */
static void interpolate(const float *in, int64_t outer, int64_t n, int64_t inner, int64_t m, float *out) {
    for (int64_t o = 0; o < outer; o++, in += n * inner)
        for (int64_t i = 0; i < m; i++, out += inner) {
            const double at = fmax(0, ((double)i + .5) * (double)n / (double)m - .5);
            const int64_t low = (int64_t)at < n - 1 ? (int64_t)at : n - 1, high = low + 1 < n ? low + 1 : low;
            const float share = (float)(at - (double)low), *a = in + low * inner, *b = in + high * inner;
            for (int64_t j = 0; j < inner; j++)
                out[j] = a[j] + share * (b[j] - a[j]);
        }
}

static void pick_nearest(const float *in, int64_t outer, int64_t n, int64_t inner, int64_t m, float *out) {
    for (int64_t o = 0; o < outer; o++, in += n * inner)
        for (int64_t i = 0; i < m; i++, out += inner)
            memcpy(out, in + (2 * i + 1) * n / (2 * m) * inner, (size_t)inner * sizeof *out);
}

swg_status swg__resample_volume(swg_context *ctx, const float *in, const int64_t dims[4], const int64_t to[3], bool nearest, float *out) {
    int64_t now[4] = {dims[0], dims[1], dims[2], dims[3]}, left = 0;
    float *held = NULL;
    swg_status status = SWG_OK;
    for (int axis = 1; axis < 4; axis++)
        left += to[axis - 1] != now[axis];
    if (!left)
        memcpy(out, in, (size_t)(dims[0] * dims[1] * dims[2] * dims[3]) * sizeof *out);
    for (int axis = 3; left && axis > 0; axis--) { /* x first: what follows has fewer values in the common case */
        const int64_t n = now[axis], m = to[axis - 1];
        if (n == m)
            continue;
        int64_t outer = 1, inner = 1;
        for (int i = 0; i < 4; i++) {
            outer *= i < axis ? now[i] : 1;
            inner *= i > axis ? now[i] : 1;
        }
        float *next = --left ? swg__alloc(ctx, (size_t)(outer * m * inner) * sizeof *next) : out;
        if (!next) {
            status = swg__fail_memory(ctx, (size_t)(outer * m * inner) * sizeof *next, "a resampled image");
            break;
        }
        (nearest ? pick_nearest : m < n ? average : interpolate)(in, outer, n, inner, m, next);
        swg__free(ctx, held);
        held = left ? next : NULL;
        in = next;
        now[axis] = m;
    }
    swg__free(ctx, held);
    return status;
}

/* ---- values ---- */

void swg__moments(const float *values, int64_t count, double *mean, double *sd) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)values[i];
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        const double gap = (double)values[i] - *mean;
        square += gap * gap;
    }
    *sd = sqrt(square / (double)count);
}

void swg__extremes(const float *values, int64_t count, float *low, float *high) {
    *low = *high = values[0];
    for (int64_t i = 1; i < count; i++) {
        *low = values[i] < *low ? values[i] : *low;
        *high = values[i] > *high ? values[i] : *high;
    }
}

bool swg__normalise(float *values, int64_t count) {
    double mean, sd;
    float low, high;
    swg__extremes(values, count, &low, &high);
    const bool constant = low == high; /* told by the values: the mean of equal numbers may round away from them */
    swg__moments(values, count, &mean, &sd);
    for (int64_t i = 0; i < count; i++)
        values[i] = constant ? 0 : (float)(((double)values[i] - mean) / sd);
    return !constant;
}

/* Integers in the order of the floats. */
static uint32_t rank_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float from_rank(uint32_t rank) {
    const uint32_t bits = rank & 0x80000000u ? rank & 0x7fffffffu : ~rank;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Value number k in ascending order, and the one after it (the same at the end): by digits, counted without moving a value. */
static void select_pair(const float *values, int64_t count, int64_t k, float *at, float *after) {
    static const int shifts[] = {21, 10, 0}, widths[] = {11, 11, 10};
    int64_t counts[1 << 11], below = 0, equal = 0;
    uint32_t known = 0, mask = 0, next = UINT32_MAX;
    for (int pass = 0; pass < 3; pass++) {
        const uint32_t digits = (1u << widths[pass]) - 1;
        memset(counts, 0, sizeof counts);
        for (int64_t i = 0; i < count; i++) {
            const uint32_t rank = rank_of(values[i]);
            if ((rank & mask) == known)
                counts[rank >> shifts[pass] & digits]++;
        }
        uint32_t digit = 0;
        while (below + counts[digit] <= k)
            below += counts[digit++];
        equal = counts[digit];
        known |= digit << shifts[pass];
        mask |= digits << shifts[pass];
    }
    *at = *after = from_rank(known);
    if (k + 1 < below + equal || k + 1 == count)
        return;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t rank = rank_of(values[i]);
        next = rank > known && rank < next ? rank : next;
    }
    *after = from_rank(next);
}

double swg__percentile(const float *values, int64_t count, double percent) {
    const double place = percent / 100 * (double)(count - 1);
    int64_t k = (int64_t)floor(place);
    k = k < 0 ? 0 : k > count - 1 ? count - 1 : k;
    float low, high;
    select_pair(values, count, k, &low, &high);
    return (double)low + (place - (double)k) * ((double)high - (double)low);
}

bool swg__percentile_scale(float *values, int64_t count, double low, double high) {
    const double bottom = swg__percentile(values, count, low), top = swg__percentile(values, count, high);
    const bool flat = !(bottom < top);
    for (int64_t i = 0; i < count; i++) {
        const double share = flat ? 0 : ((double)values[i] - bottom) / (top - bottom);
        values[i] = (float)(2 * (share < 0 ? 0 : share > 1 ? 1 : share) - 1);
    }
    return !flat;
}

void swg__threshold(float *values, int64_t count, double level) {
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)values[i] >= level ? 1 : values[i];
}

void swg__binary(float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        values[i] = values[i] > 0;
}

int64_t swg__zero_nonfinite(float *values, int64_t count) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i])) {
            values[i] = 0;
            found++;
        }
    return found;
}

/* ---- augmentation ---- */

/* Uniform in (0, 1), 53 bits. */
static double uniform53(uint32_t high, uint32_t low) { return ((double)(high >> 5) * 0x1p26 + (double)(low >> 6) + .5) * 0x1p-53; }

int swg__histogram_points(uint64_t key, double points[SWG__HISTOGRAM_POINTS]) {
    const uint32_t stream = swg__fnv1a("histogram");
    const int count = 90 + (int)(((uint64_t)swg__philox(key, 0, 1, stream).w[0] * 410) >> 32);
    for (int i = 0; i < count; i++)
        points[i] = (double)i / (double)(count - 1);
    for (int i = 1; i < count - 1; i++) {
        const swg__philox_words w = swg__philox(key, (uint64_t)i / 2, 0, stream);
        const double u = uniform53(w.w[i % 2 * 2], w.w[i % 2 * 2 + 1]);
        points[i] = points[i - 1] + u * (points[i + 1] - points[i - 1]);
    }
    return count;
}

void swg__histogram_shift(float *values, int64_t count, const double *points, int point_count) {
    float low, high;
    swg__extremes(values, count, &low, &high);
    const double bottom = (double)low, range = (double)high - bottom;
    if (!(range > 0))
        return;
    for (int64_t i = 0; i < count; i++) {
        const double place = ((double)values[i] - bottom) / range * (double)(point_count - 1);
        const int k = (int)place < point_count - 2 ? (int)place : point_count - 2;
        values[i] = (float)(bottom + range * (points[k] + (place - (double)k) * (points[k + 1] - points[k])));
    }
}

void swg__sd_shift(float *values, int64_t count, double share) {
    double mean, sd;
    swg__moments(values, count, &mean, &sd);
    const float shift = (float)(share * sd);
    for (int64_t i = 0; i < count; i++)
        values[i] += shift;
}

void swg__gamma(float *values, int64_t count, double gamma) {
    float low, high;
    swg__extremes(values, count, &low, &high);
    const float range = high - low, divisor = range + 1e-7f;
    for (int64_t i = 0; i < count; i++)
        values[i] = powf((values[i] - low) / divisor, (float)gamma) * range + low;
}

/* ---- flips and turns ---- */

static void swap(float *a, float *b) {
    const float kept = *a;
    *a = *b;
    *b = kept;
}

void swg__flip_x(float *values, int64_t planes, int64_t height, int64_t width) {
    for (int64_t row = 0; row < planes * height; row++, values += width)
        for (int64_t x = 0; x < width / 2; x++)
            swap(values + x, values + width - 1 - x);
}

void swg__flip_y(float *values, int64_t planes, int64_t height, int64_t width) {
    for (int64_t p = 0; p < planes; p++, values += height * width)
        for (int64_t y = 0; y < height / 2; y++)
            for (int64_t x = 0; x < width; x++)
                swap(values + y * width + x, values + (height - 1 - y) * width + x);
}

void swg__turn(float *values, int64_t planes, int64_t side) {
    for (int64_t p = 0; p < planes; p++)
        for (int64_t y = 0; y < side; y++)
            for (int64_t x = 0; x < y; x++)
                swap(values + (p * side + y) * side + x, values + (p * side + x) * side + y);
    swg__flip_x(values, planes, side, side);
}

int64_t swg__reflect(int64_t i, int64_t n) {
    if (n == 1)
        return 0;
    const int64_t period = 2 * (n - 1);
    i %= period;
    return i < n ? i : period - i;
}
