/* raw.h - mode R: byte planes of differences, order-0 entropy-coded; mode C: one value.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_RAW_H
#define SWAGE_CODEC_RAW_H

#include "record.h"
#include "swage/codec.h"

/* Estimated payload of mode R1 in bytes, on a sample of the rows. rows of n values. */
int64_t swg__planes_estimate(swg_element type, const void *values, int64_t rows, int64_t n);

/* R1 into draft PARAM. */
swg_status swg__planes_encode(swg_context *ctx, swg_element type, const void *values, int64_t rows, int64_t n, swg__draft *draft);

/* NULL or the reason. */
const char *swg__planes_decode(swg_context *ctx, swg_element type, swg__span param, int64_t rows, int64_t n, void *values);

/* The low `bytes` bytes of each word, plane by plane as R1 has them but without differences; and back. */
swg_status swg__words_encode(swg_context *ctx, const uint64_t *words, int bytes, int64_t count, swg__text *out);
const char *swg__words_decode(swg_context *ctx, swg__cursor *in, int bytes, int64_t count, uint64_t *words);

#endif
