/* trained_stencil.h - kind 1: stencil weights and buckets that many chunks share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_TRAINED_STENCIL_H
#define SWAGE_CODEC_TRAINED_STENCIL_H

#include "kinds.h"
#include "stencil.h"

/* As struct swg__kind has them; parsed: swg__stencil. */
const char *swg__trained_stencil_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
swg_status swg__trained_stencil_estimate(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, int64_t *bytes);
swg_status swg__trained_stencil_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded);
const char *swg__trained_stencil_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record);

#endif
