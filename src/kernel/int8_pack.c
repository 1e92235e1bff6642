/* int8_pack.c - weights of a panel as s8 codes: a scale for each column, codes in words of 32 bits along k.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/int8_pack.h"
#include <math.h>
#include <string.h>

static swg_affine_code scale_of(const swg__int8_table *t, const swg__int8_weights *w, const float *from) {
    float low = 0, high = 0;
    bool whole = true;
    for (int64_t i = 0; i < w->k; i++)
        whole = t->range(from + i * w->k_stride, w->taps, &low, &high) && whole;
    return (swg_affine_code){whole ? swg_symmetric_scale(-low > high ? -low : high) : NAN, 0};
}

void swg__int8_pack(const swg__int8_table *t, const swg__int8_weights *w, uint32_t *words, float *scale, int32_t *sum) {
    const int64_t steps = (w->k + t->group - 1) / t->group, ld = w->columns > t->vl ? t->nr : t->vl, whole = (w->columns + t->vl - 1) / t->vl * t->vl;
    const uint32_t mask = t->group == 4 ? 0xff : 0xffff;
    const int bits = 32 / t->group;
    memset(words, 0, (size_t)(w->taps * steps * ld) * sizeof *words);
    for (int64_t j = 0; j < whole; j++) {
        const float *from = w->w + j * w->n_stride;
        const swg_affine_code a = j < w->columns ? scale_of(t, w, from) : (swg_affine_code){0, 0};
        scale[j] = a.scale;
        for (int64_t tap = 0; tap < w->taps; tap++) {
            int32_t all = 0;
            for (int64_t i = 0; j < w->columns && a.scale > 0 && i < w->k; i++) {
                int32_t code = swg_code_of(from[i * w->k_stride + (w->reversed ? w->taps - 1 - tap : tap)], a, -127, 127);
                words[(tap * steps + i / t->group) * ld + j] |= ((uint32_t)code & mask) << (i % t->group * bits);
                all += code;
            }
            sum[tap * w->sum_stride + j] = all;
        }
    }
}
