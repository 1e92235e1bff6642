/* poly_train.h - fits the scales of mode P's coefficients to data by counting.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_POLY_TRAIN_H
#define SWAGE_CODEC_POLY_TRAIN_H

#include "poly.h"

/* Sizes |q| in bins: 0..15 one by one, then half octaves. */
enum { SWG__POLY_BINS = 64 };

/* How often each size was coded in each context. */
typedef struct swg__poly_counts {
    uint32_t seen[SWG__POLY_MAGNITUDES][SWG__POLY_PLACES][SWG__POLY_DEGREES][SWG__POLY_AXES][SWG__POLY_BINS];
} swg__poly_counts;

/* One coefficient of a leaf. magnitude as swg__poly_magnitude gives it. */
void swg__poly_count_one(swg__poly_counts *counts, int magnitude, int degree, int below, int axes, uint32_t size);

/* Codes a chunk with a law, keeps only what was counted. */
swg_status swg__poly_count(const swg__chunk *chunk, const swg__poly_law *law, swg__poly_counts *counts);

/* The law of shortest code for these counts; contexts never seen keep what `law` holds. Returns bits per coefficient before and after. */
void swg__poly_fit(const swg__poly_counts *counts, swg__poly_law *law, double bits[2]);

#endif
