/* poly_train.c - scales of mode P by alternating minimisation: the base of every neighbourhood and place given all shifts, then every
 * shift given the bases, each by exact code length.
 * In: counts. Out: a law.
 * SPDX-License-Identifier: Apache-2.0 */
#include "poly_train.h"

enum { ROUNDS = 8, REACH = 12, BUCKETS = SWG__WIDE_BUCKETS };

static int bin_of(uint32_t size) {
    if (size < 16)
        return (int)size;
    int e = 31 - __builtin_clz(size), bin = 16 + 2 * (e - 4) + (int)(size >> (e - 1) & 1);
    return bin < SWG__POLY_BINS ? bin : SWG__POLY_BINS - 1;
}

/* A size in the middle of its bin. */
static int64_t size_of(int bin) {
    if (bin < 16)
        return bin;
    int e = 4 + (bin - 16) / 2;
    return ((int64_t)4 + 2 * (bin & 1) + 1) << (e - 2);
}

void swg__poly_count_one(swg__poly_counts *counts, int magnitude, int degree, int below, int axes, uint32_t size) {
    int m = magnitude < SWG__POLY_MAGNITUDES ? magnitude : SWG__POLY_MAGNITUDES - 1, d = degree < SWG__POLY_DEGREES ? degree : SWG__POLY_DEGREES;
    counts->seen[m][(below < 3 ? below : 3) * 3 + axes - 1][d - 1][axes - 1][bin_of(size)]++;
}

/* Bits of all sizes counted in one context with a bucket. */
static double bits_of(const uint32_t seen[SWG__POLY_BINS], int bucket) {
    uint64_t cost = 0;
    int b = bucket < 0 ? 0 : bucket > BUCKETS - 1 ? BUCKETS - 1 : bucket;
    for (int i = 0; i < SWG__POLY_BINS; i++)
        if (seen[i])
            cost += (uint64_t)seen[i] * swg__residual_cost(b, 0, size_of(i));
    return (double)cost / 256;
}

/* Bits of base m, place with this value under the law's shifts; what is seen at all. */
static double bits_of_base(const swg__poly_counts *c, const swg__poly_law *law, int m, int place, int value) {
    double bits = 0;
    for (int d = 0; d < SWG__POLY_DEGREES; d++)
        bits += bits_of(c->seen[m][place][d][place % 3], value + law->shift[d][place % 3]);
    return bits;
}

static double bits_of_shift(const swg__poly_counts *c, const swg__poly_law *law, int d, int axes, int value) {
    double bits = 0;
    for (int m = 0; m < SWG__POLY_MAGNITUDES; m++)
        for (int place = axes; place < SWG__POLY_PLACES; place += 3)
            bits += bits_of(c->seen[m][place][d][axes], law->base[m][place] + value);
    return bits;
}

static bool any_seen(const swg__poly_counts *c, int m, int place) {
    for (int d = 0; d < SWG__POLY_DEGREES; d++)
        for (int i = 0; i < SWG__POLY_BINS; i++)
            if (c->seen[m][place][d][place % 3][i])
                return true;
    return false;
}

static double bits_of_all(const swg__poly_counts *c, const swg__poly_law *law) {
    double bits = 0;
    for (int d = 0; d < SWG__POLY_DEGREES; d++)
        for (int axes = 0; axes < SWG__POLY_AXES; axes++)
            bits += bits_of_shift(c, law, d, axes, law->shift[d][axes]);
    return bits;
}

/* The best value around the one there is; the first of equals. */
static int best_base(const swg__poly_counts *c, const swg__poly_law *law, int m, int place) {
    int best = law->base[m][place];
    double least = bits_of_base(c, law, m, place, best);
    for (int step = 16; step; step /= 2) /* code length has one minimum over the scale, but for the tables' grain */
        for (int side = -1; side <= 1; side += 2)
            for (;;) {
                int v = best + side * step;
                double bits = v < 0 || v > BUCKETS - 1 ? INFINITY : bits_of_base(c, law, m, place, v);
                if (!(bits < least))
                    break;
                least = bits;
                best = v;
            }
    return best;
}

void swg__poly_fit(const swg__poly_counts *counts, swg__poly_law *law, double bits[2]) {
    bits[0] = bits_of_all(counts, law);
    for (int round = 0; round < ROUNDS; round++) {
        for (int m = 0; m < SWG__POLY_MAGNITUDES; m++)
            for (int place = 0; place < SWG__POLY_PLACES; place++)
                if (any_seen(counts, m, place))
                    law->base[m][place] = (uint8_t)best_base(counts, law, m, place);
        for (int d = 0; d < SWG__POLY_DEGREES; d++)
            for (int axes = 0; axes < SWG__POLY_AXES; axes++) {
                int best = law->shift[d][axes];
                double least = bits_of_shift(counts, law, d, axes, best);
                for (int v = -REACH; v <= REACH; v++) {
                    double b = bits_of_shift(counts, law, d, axes, v);
                    if (b < least) {
                        least = b;
                        best = v;
                    }
                }
                law->shift[d][axes] = (int8_t)best;
            }
    }
    bits[1] = bits_of_all(counts, law);
}
