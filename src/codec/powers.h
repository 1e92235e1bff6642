/* powers.h - the logarithmic grid of point-wise relative bounds: |value| = 2^(k h / 2^40), in integers only (docs/format.md).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_POWERS_H
#define SWAGE_CODEC_POWERS_H

#include <stdbool.h>
#include <stdint.h>
#include "grid.h"

/* Bits of an exponent k h that any f64 can have, with room to spare. */
#define SWG__POWER_REACH ((int64_t)1 << 51)
#define SWG__POWER_STEP_MOST ((uint64_t)1 << 41)

extern const uint64_t swg__power_coarse[256], swg__power_fine[256];

/* h of a bound p, Q40: floor(2^40 log2((1 + p) / (1 - p)) (1 - 2^-20)). */
uint64_t swg__power_step(double p);

/* 2^(k h / 2^40), rounded to 53 bits; 0 or infinity beyond the normal numbers of f64. |k h| <= SWG__POWER_REACH */
double swg__power(uint64_t h, int64_t k);

/* |value - x| <= p |x|, or nearly: what is within one part in 2^50 of the bound itself is refused. Tiny numbers are scaled, so that
 * the product has all its bits. */
static inline bool swg__accept_relative(double value, double x, double p) {
    double scale = fabs(x) < 0x1p-500 ? 0x1p500 : 1;
    return fabs(value * scale - x * scale) < p * fabs(x * scale) * (1 - 0x1p-50);
}

/* The k whose value in the array's type is inside the bound p of x, tried around log2|x|. x: normal in its type. False: none. */
bool swg__power_find(const swg__grid *grid, double x, int64_t *k, double *ratio);

#endif
