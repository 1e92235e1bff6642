/* stored.h - weights in a file with fewer bits than f32: "param.NAME" holds codes, "scale.NAME" what one stands for.
 * int8 and fp8 have a scale per channel: an f32 tensor whose extents are 1 but for the channels' axis. bf16 has none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_QUANT_STORED_H
#define SWAGE_QUANT_STORED_H

#include "swage/model.h"
#include "swage/safetensors.h"

/* Is it one of these types? */
bool swg__stored_code(swg_stored dtype);
/* f32 of a tensor of such a type. SWG_ESHAPE: its scales are missing, or of another shape or type. SWG_ECORRUPT: a scale is not a positive number, or
 * a value is not finite. */
swg_status swg__stored_decode(swg_context *ctx, const swg_safetensors *file, const char *path, const swg_tensor *t, float *out);

/* The type that weights are stored in for a precision; SWG_STORED_F32: as they are. */
swg_stored swg__stored_type(swg_inference inference);
/* Codes of w (ndim extents), with a scale for each slice along `axis`; codes: an element each. scale: one each, NULL for bf16. */
void swg__stored_encode(swg_stored dtype, int ndim, const int64_t *shape, int axis, const float *w, void *codes, float *scale);
/* What a code stands for. */
float swg__stored_value(swg_stored dtype, const void *codes, int64_t i, float scale);

#endif
