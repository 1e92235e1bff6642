/* avx512_vnni_int8.c - products of 8-bit codes for AVX-512 with VNNI: four of them in one instruction.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512_vnni
#define GROUP 4
/* Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT8(acc, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#define STORE_CODES(p, x) _mm_storeu_si128((__m128i *)(void *)(p), _mm512_cvtepi32_epi8((__m512i)(x)))
#include "kernel/isa/avx512_int8.inc.h"
