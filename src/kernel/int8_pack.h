/* int8_pack.h - weights of a few columns as codes in words.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_INT8_PACK_H
#define SWAGE_KERNEL_INT8_PACK_H

#include "kernel/int8.h"

/* Columns of one panel: element i of column j and tap t at w[i * k_stride + j * n_stride + t], `reversed`: from tap taps - 1 - t. */
typedef struct swg__int8_weights {
    const float *w;
    int64_t k, taps, k_stride, n_stride, columns, sum_stride;
    bool reversed;
} swg__int8_weights;

/* words: row t * steps + i / group of the panel; scale: one per column; sum[t * sum_stride + j]: of a tap's codes. Up to whole vectors of columns,
 * missing ones 0. A column with NaN or infinity in it gets the scale NaN. */
void swg__int8_pack(const swg__int8_table *t, const swg__int8_weights *w, uint32_t *words, float *scale, int32_t *sum);

#endif
