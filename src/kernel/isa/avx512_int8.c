/* avx512_int8.c - products of 8-bit codes for AVX-512 BW, widened to 16 bits.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512
#define GROUP 2
#define DOT8(acc, a, b) (acc) += (vi)_mm512_madd_epi16((__m512i)(a), (__m512i)(b))
#define STORE_CODES(p, x) _mm256_storeu_si256((__m256i *)(void *)(p), _mm512_cvtepi32_epi16((__m512i)(x)))
#include "kernel/isa/avx512_int8.inc.h"
