/* avx512_vnni_causal.c - the network of mode W-MLP for AVX-512 with VNNI: four products in one instruction.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES32 16
#define INPUTS 4
#define KERNELS swg__causal_kernels_avx512_vnni
#define LEAST(a, b) (vi32)_mm512_min_epi32((__m512i)(a), (__m512i)(b))
#define MOST(a, b) (vi32)_mm512_max_epi32((__m512i)(a), (__m512i)(b))
/* Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT(sum, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w))

/* Packing limits to -128..127 and leaves the bytes of four points by vector: a shuffle brings those of a point together. */
static inline __m512i codes(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i by_point = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_shuffle_epi8(_mm512_max_epi8(bytes, _mm512_set1_epi8(-127)), by_point);
}
#define CODES(a, b, c, d) codes((__m512i)(a), (__m512i)(b), (__m512i)(c), (__m512i)(d))

#include "codec/causal_kernels.inc.h"
#else
typedef int swg__no_avx512_vnni; /* an empty file is not C */
#endif
