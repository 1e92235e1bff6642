/* bucket.h - the scale bucket with which a class of residuals is shortest, from a histogram of them.
 * A bucket by mean magnitude (swg__bucket_for) fits a logistic; a class that is mostly zeros has another shape.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_BUCKET_H
#define SWAGE_CODEC_BUCKET_H

#include "rans.h"

/* A histogram: 32 symbols of each phase (0, or 0..8), then escapes by the leading three bits of |e| - 12. */
enum { SWG__TAIL_BINS = 4 * 46, SWG__PHASES = 9 };
#define SWG__HISTOGRAM(phases) (32 * (phases) + SWG__TAIL_BINS)

/* `times` residuals e of one phase, -8..8, in magnitude below `phases`. */
static inline void swg__histogram_add(uint32_t *histogram, int phases, int phase, int64_t e, uint32_t times) {
    const int64_t h = phase < 0 ? -e : e;
    const int row = 32 * (phase < 0 ? -phase : phase);
    if (h >= -15 && h <= 15) {
        histogram[row + 15 + (int)h] += times;
        return;
    }
    const uint64_t v = (uint64_t)(h < 0 ? -h : h) - 12;
    const int octave = 63 - __builtin_clzll(v), bin = 4 * (octave - 2) + (int)(v >> (octave - 2) & 3);
    histogram[row + SWG__ESCAPE] += times;
    histogram[32 * phases + (bin < SWG__TAIL_BINS ? bin : SWG__TAIL_BINS - 1)] += times;
}

/* The bucket 0..most of least code length, and that length in 1/256 bit (may be NULL). Exact below bucket 28, where all buckets are
 * looked at; from there on escapes count as the middle of their bin, and buckets near the one by mean magnitude are. Empty: bucket 0. */
int swg__bucket_best(const uint32_t *histogram, int phases, int most, uint64_t *cost);

#endif
