/* normalise.h - fitting a normaliser to the training part, block after block.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_NORMALISE_H
#define SWAGE_DATA_NORMALISE_H

#include "base.h"
#include "swage/data.h"

/* False between swg_norm_open and the end of the fit, for methods that need one. */
bool swg__norm_fitted(const swg_norm *norm);
/* Begins a fit. values[v] is an upper bound of the training values of variable v; memory is taken once, here. */
swg_status swg__norm_fit_begin(swg_norm *norm, const int64_t *values);
/* Adds `count` blocks of `per_block` finite values, as f64, in an order that does not depend on threads. */
void swg__norm_fit_add(swg_norm *norm, int64_t variable, const double *blocks, int64_t count, int64_t per_block);
/* Turns what was added into parameters and releases the memory. Warns where a range is zero. */
swg_status swg__norm_fit_end(swg_norm *norm);
/* Bytes that fit_begin will take for so many training values. */
int64_t swg__norm_fit_bytes(const swg_norm *norm, int64_t values);

/* The maps themselves in f64, count values of one finite block; x and y may be the same. forward fills offset and exponent of side
 * for input of precision `element`. */
void swg__norm_forward(const swg_norm *norm, int64_t variable, swg_element element, const double *x, int64_t count, swg_side *side, double *y);
/* As swg_norm_forward, from f64 values, which are overwritten. */
void swg__norm_forward_f32(const swg_norm *norm, int64_t variable, swg_element element, double *x, int64_t count, swg_side *side, float *y);
void swg__norm_inverse(const swg_norm *norm, int64_t variable, const swg_side *side, const double *y, int64_t count, double *x);

#endif
