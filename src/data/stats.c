/* stats.c - moments and quantiles.
 * In: f64 values. Out: mean, deviations, order statistics.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "stats.h"

swg__moments swg__moments_of(const double *values, int64_t n) {
    swg__moments m = {0};
    if (n == 0)
        return m;
    m = (swg__moments){.count = n, .min = values[0], .max = values[0]};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        m.min = values[i] < m.min ? values[i] : m.min;
        m.max = values[i] > m.max ? values[i] : m.max;
        sum += values[i];
    }
    m.mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        m.m2 += (values[i] - m.mean) * (values[i] - m.mean);
    return m;
}

swg__moments swg__moments_merge(swg__moments a, swg__moments b) {
    if (a.count == 0)
        return b;
    if (b.count == 0)
        return a;
    double n = (double)(a.count + b.count), gap = b.mean - a.mean;
    return (swg__moments){
        .count = a.count + b.count,
        .min = b.min < a.min ? b.min : a.min,
        .max = b.max > a.max ? b.max : a.max,
        .mean = a.mean + gap * ((double)b.count / n),
        .m2 = a.m2 + b.m2 + gap * gap * ((double)a.count * ((double)b.count / n)),
    };
}

double swg__moments_sd(swg__moments m) { return m.count ? sqrt(m.m2 / (double)m.count) : 0; }

/* Unsigned keys in the order of the numbers. */
static uint64_t key_of(double value) {
    uint64_t bits;
    value += 0.0; /* -0 and 0 are one number */
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static double value_of(uint64_t key) {
    uint64_t bits = key >> 63 ? key & ~((uint64_t)1 << 63) : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* Order statistic `rank` (from 0) and, through *next, the following one (itself again for the last). */
static double select_rank(const double *values, int64_t n, int64_t rank, double *next) {
    int64_t bins[DIGITS], before = 0, inside = n; /* values below the prefix, values with the prefix */
    uint64_t prefix = 0, mask = 0;
    for (int shift = 64 - DIGIT_BITS;; shift = shift > DIGIT_BITS ? shift - DIGIT_BITS : 0) { /* the last digit overlaps its neighbour */
        memset(bins, 0, sizeof bins);
        for (int64_t i = 0; i < n; i++) {
            uint64_t key = key_of(values[i]);
            bins[(key >> shift) & (DIGITS - 1)] += (key & mask) == prefix;
        }
        uint64_t digit = 0;
        while (before + bins[digit] <= rank)
            before += bins[digit++];
        inside = bins[digit];
        prefix = (prefix & ~((uint64_t)(DIGITS - 1) << shift)) | digit << shift;
        mask |= (uint64_t)(DIGITS - 1) << shift;
        if (shift == 0)
            break;
    }
    double found = value_of(prefix);
    *next = found;
    if (rank + 1 >= before + inside && rank + 1 < n) {
        uint64_t least = UINT64_MAX;
        for (int64_t i = 0; i < n; i++) {
            uint64_t key = key_of(values[i]);
            least = key > prefix && key < least ? key : least;
        }
        *next = value_of(least);
    }
    return found;
}

double swg__order_at(const double *values, int64_t n, double position) {
    double low = floor(position), weight = position - low, next;
    double found = select_rank(values, n, (int64_t)low, &next);
    return weight > 0 ? found + weight * (next - found) : found;
}

double swg__quantile(const double *values, int64_t n, double q) { return swg__order_at(values, n, q * (double)(n - 1)); }
