/* sse2_int8.c - products of 8-bit codes for SSE2, widened to 16 bits.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define SWG_ISA sse2
#define VL 4
#define MR 6
#define TALL_ROWS 12
#define GROUP 2
#define DOT8(acc, a, b) (acc) += (vi)_mm_madd_epi16((__m128i)(a), (__m128i)(b))
#define STORE_CODES(p, x) _mm_storel_epi64((__m128i *)(void *)(p), _mm_packs_epi32((__m128i)(x), (__m128i)(x)))
#include "kernel/int8.inc.h"
