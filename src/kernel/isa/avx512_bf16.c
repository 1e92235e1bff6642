/* avx512_bf16.c - the kernels for AVX-512 with BF16.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512_bf16
/* acc += lower a * lower b + upper a * upper b, in words of two brain floats. Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT(acc, a, b) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#define STORE_RESULT(p, x) _mm256_storeu_si256((__m256i *)(p), (__m256i)_mm512_cvtneps_pbh((__m512)(x)))
/* Lower and upper halves of the words: sixteen of each, one behind the other, taken in turns. */
#define IN_TURNS _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0)
#define PAIR_ROUNDED(first, second) \
    ((vu)_mm512_permutexvar_epi16(IN_TURNS, (__m512i)_mm512_cvtne2ps_pbh((__m512)(second), (__m512)(first))))
#include "kernel/isa/avx512.inc.h"
