/* relative.h - chunks under a point-wise relative bound: signs, zeros and outliers beside a chunk of indices k, which any mode for
 * lossless integers codes (docs/format.md, "Point-wise relative").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_RELATIVE_H
#define SWAGE_CODEC_RELATIVE_H

#include "mask.h"

/* Indices of a chunk as an array of its own. */
typedef struct swg__relative {
    swg__chunk inner;        /* i64 indices, lossless; mask: fill and zeros */
    swg__outliers outliers;
    double worst;            /* largest error / (p |x|) */
} swg__relative;

/* SWG_ENOMEM; close in any case. */
swg_status swg__relative_open(const swg__chunk *chunk, swg__relative *relative);
void swg__relative_close(swg__relative *relative);

/* Puts signs, masks, outliers and the head's fields beside what a mode has made of `inner`. SWG_ENOMEM. */
swg_status swg__relative_finish(const swg__chunk *chunk, swg__relative *relative, swg__draft *draft);

/* Indices to magnitudes with signs, zeros included. mask may be NULL. NULL or the reason. */
const char *swg__relative_store(const swg__chunk *chunk, const uint8_t *mask, const int64_t *k, swg__span signs);

#endif
