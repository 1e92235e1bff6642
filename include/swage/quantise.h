/* quantise.h - numbers of 8 bits: integer codes with a scale and a zero, and floating point of 8 bits (fp8).
 *
 * A code stands for scale * (code - zero). Quantising divides in f32, rounds to nearest (ties to even), adds the zero as an integer and
 * clamps. fp8 codes are the bytes of the OCP formats E4M3 (finite, no infinity) and E5M2, of x / scale.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_QUANTISE_H
#define SWAGE_QUANTISE_H

#include "swage/graph.h"

/* ---- single numbers ---- */

typedef struct swg_affine_code { float scale; int32_t zero; } swg_affine_code;

/* Scale and zero of codes low_code..high_code that reach from low to high; the range is widened to hold 0. The scale is 2^-23 at least. */
swg_affine_code swg_affine_of(float low, float high, int32_t low_code, int32_t high_code);
/* Scale of codes -127..127 for magnitudes up to `most`; 1 if that is 0. */
float swg_symmetric_scale(float most);
/* The code of x; NaN gives the zero. */
int32_t swg_code_of(float x, swg_affine_code a, int32_t low_code, int32_t high_code);
float swg_value_of_code(int32_t code, swg_affine_code a); /* scale * (code - zero) */

/* fp8. `saturate`: what is too large becomes the largest number, else NaN (E4M3) or infinity (E5M2). NaN stays NaN. Decoding is exact. */
uint8_t swg_e4m3_of(float x, bool saturate);
uint8_t swg_e5m2_of(float x, bool saturate);
float swg_e4m3_value(uint8_t code);
float swg_e5m2_value(uint8_t code);

/* ---- tensors in a graph ---- */

typedef enum swg_code {
    SWG_CODE_NONE,
    SWG_CODE_U8,    /* 0..255, scale and zero from the smallest and largest value: activations */
    SWG_CODE_S8,    /* -127..127, symmetric, zero 0: weights */
    SWG_CODE_E4M3,  /* scale: largest magnitude / 448 */
    SWG_CODE_E5M2,  /* scale: largest magnitude / 57344 */
} swg_code;
const char *swg_code_name(swg_code code);   /* "u8" */

/* x quantised and dequantised again, scales measured on x itself. axis: each slice along it has its own scale; SWG_CODE_ROWS: each run along the
 * last axis. A slice with NaN or infinity in it becomes NaN. No gradient. In a plan a product of a SWG_CODE_U8 value (rows for matrices, axis 0
 * for convolutions) and SWG_CODE_S8 weights (axis of the results) is computed with the integers themselves. */
enum { SWG_CODE_ROWS = -1 };
swg_value swg_quantise_dequantise(swg_graph *g, swg_value x, swg_code code, int axis);

#endif
