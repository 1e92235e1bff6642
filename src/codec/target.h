/* target.h - bounds that are searched for: the largest one that reaches a PSNR, the smallest one that reaches a ratio.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_TARGET_H
#define SWAGE_CODEC_TARGET_H

#include "encode.h"

/* Codes the array of a prepared request whose bound is SWG_BOUND_PSNR or SWG_BOUND_RATIO. out->header is complete but for its grid and
 * bound. Deterministic; every try is a coding, first of every n-th chunk, then of all. SWG_EINVAL: no number above 0. On failure *out is
 * empty. */
swg_status swg__target_encode(swg_context *ctx, const swg__request *request, swg__encoded *out);

#endif
