/* separation.h - what the measures of separation share. Internal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_SEPARATION_H
#define SWAGE_DATA_SEPARATION_H

#include "base.h"
#include "swage/separation.h"

/* 10 log10(part / rest): NAN where both are 0, +-INFINITY where one is. floor > 0: the least part / rest. */
double swg__decibels(double part, double rest, double floor);

/* Is every channel 0 in samples [first, first + count)? stride: samples from channel to channel. */
bool swg__silent(const float *signal, int channels, int64_t stride, int64_t first, int64_t count);

/* SWG_EINVAL, SWG_ESHAPE: counts; SWG_ENONFINITE: a sample of a signal. estimate may be NULL. */
swg_status swg__check_signals(swg_context *ctx, int sources, int channels, int64_t samples, const float *const *reference, const float *const *estimate);

#endif
