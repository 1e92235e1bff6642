/* law.h - kind 9: scales of mode P's coefficients, trained for a variable, in place of the built-in ones.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_LAW_H
#define SWAGE_CODEC_LAW_H

#include "kinds.h"
#include "poly.h"

/* As struct swg__kind has them; parsed: swg__poly_law. */
const char *swg__law_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
swg_status swg__law_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded);
const char *swg__law_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record);

#endif
