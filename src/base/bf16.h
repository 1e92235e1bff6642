/* bf16.h - the upper half of an f32: 8 bits of exponent, 7 of fraction. Rounds to nearest, ties to even; NaN stays NaN.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BF16_H
#define SWAGE_BF16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t swg__bf16;

static inline float swg__f32_of_bf16(swg__bf16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

static inline swg__bf16 swg__bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40; /* a sum could carry a NaN over into -0 */
    return (swg__bf16)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

#endif
