/* bucket.c - code lengths of a histogram of residuals in every bucket.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "bucket.h"

enum { NARROW = 28, BELOW = 10, ABOVE = 4 }; /* tails raise the mean more than the best bucket */

/* Sizes of residuals without regard to their phase: 0..15, then the middle of each bin of escapes. */
typedef struct sizes {
    int64_t size[16 + SWG__TAIL_BINS];
    uint32_t count[16 + SWG__TAIL_BINS];
    int used;
    double mean;
    uint64_t raw;               /* bits behind the escapes below bucket 28 */
} sizes;

static void add_size(sizes *s, int64_t size, uint32_t count) {
    if (count) {
        s->size[s->used] = size;
        s->count[s->used++] = count;
    }
}

static void collect(const uint32_t *histogram, int phases, sizes *s) {
    const uint32_t *tail = histogram + 32 * phases;
    uint32_t small[16] = {0};
    double sum = 0, total = 0;
    s->used = 0;
    s->raw = 0;
    for (int p = 0; p < phases; p++)
        for (int h = -15; h <= 15; h++)
            small[h < 0 ? -h : h] += histogram[32 * p + 15 + h];
    for (int m = 0; m < 16; m++)
        add_size(s, m, small[m]);
    for (int i = 0; i < SWG__TAIL_BINS; i++) {
        const int octave = i / 4 + 2;
        const int64_t width = (int64_t)1 << (octave - 2), v = (4 + i % 4) * width;
        add_size(s, 12 + v + width / 2, tail[i]);
        s->raw += (uint64_t)tail[i] * (uint64_t)(2 * (octave + 1) - 2);
    }
    for (int i = 0; i < s->used; i++) {
        sum += (double)s->size[i] * s->count[i];
        total += s->count[i];
    }
    s->mean = total > 0 ? sum / total : 0;
}

int swg__bucket_best(const uint32_t *histogram, int phases, int most, uint64_t *cost) {
    uint64_t narrow[NARROW] = {0}, least;
    sizes s;
    collect(histogram, phases, &s);
    for (int p = 0; p < phases; p++) {
        const uint32_t *row = histogram + 32 * p;
        int low = 0, high = 32;
        while (low < high && !row[low])
            low++;
        while (low < high && !row[high - 1])
            high--;
        for (int b = 0; b < NARROW && low < high; b++) {
            uint64_t sum = 0;
            for (int i = low; i < high; i++)
                sum += (uint64_t)row[i] * swg__cost[9 * b + p][i];
            narrow[b] += sum;
        }
    }
    int best = 0;
    for (int b = 1; b < NARROW && b <= most; b++)
        best = narrow[b] < narrow[best] ? b : best;
    least = narrow[best] + 256 * s.raw;
    const int centre = swg__bucket_for(s.mean, most);
    for (int b = centre - BELOW < NARROW ? NARROW : centre - BELOW; b <= centre + ABOVE && b <= most; b++) {
        uint64_t wide = 0;
        for (int i = 0; i < s.used; i++) /* as many of either sign: rounding of low bits is not even */
            wide += (uint64_t)s.count[i] * (swg__residual_cost(b, 0, s.size[i]) + swg__residual_cost(b, 0, -s.size[i]));
        wide /= 2;
        if (wide < least) {
            least = wide;
            best = b;
        }
    }
    if (cost)
        *cost = least;
    return best;
}
