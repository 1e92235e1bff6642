/* avx512_bf16.c - the kernels for AVX-512 with BF16.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512_bf16
/* acc += lower a * lower b + upper a * upper b, in words of two brain floats. Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT(acc, a, b) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
/* With the same word of memory in all lanes of b. */
#define DOT_WORD(acc, a, word) __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(a), "m"(word))
#define STORE_RESULT(p, x) _mm256_storeu_si256((__m256i *)(p), (__m256i)_mm512_cvtneps_pbh((__m512)(x)))
/* Lower and upper halves of the words: sixteen of each, one behind the other, taken in turns. */
#define IN_TURNS _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0)
#define PAIR_ROUNDED(first, second) \
    ((vu)_mm512_permutexvar_epi16(IN_TURNS, (__m512i)_mm512_cvtne2ps_pbh((__m512)(second), (__m512)(first))))
/* The upper halves of two f32 in a word, the first in its lower half. */
#define UPPER_HALVES \
    _mm512_set_epi16(63, 31, 61, 29, 59, 27, 57, 25, 55, 23, 53, 21, 51, 19, 49, 17, 47, 15, 45, 13, 43, 11, 41, 9, 39, 7, 37, 5, 35, 3, 33, 1)
#define PAIR_CUT(first, second) ((vf)_mm512_permutex2var_epi16((__m512i)(first), UPPER_HALVES, (__m512i)(second)))
#include <immintrin.h>
/* Cells of 2^f - 1 - f in units of 1 / 512, and 2 more, half a unit of bf16: tools/fit_exp2.py */
static const short exp2_cells[64] = {
    1, -2, -4, -6, -8, -11, -13, -15, -17, -19, -20, -22, -24, -25, -27, -28, -30, -31, -32, -34, -35, -36, -37, -38, -38, -39, -40, -40, -41, -41, -42, -42,
    -42, -42, -42, -42, -42, -41, -41, -41, -40, -39, -39, -38, -37, -36, -35, -34, -32, -31, -29, -28, -26, -24, -22, -20, -18, -16, -13, -11, -8, -5, -2, 0};
/* The lower halves of two vectors of words in a word, the first in its lower half. */
#define LOWER_HALVES \
    _mm512_set_epi16(62, 30, 60, 28, 58, 26, 56, 24, 54, 22, 52, 20, 50, 18, 48, 16, 46, 14, 44, 12, 42, 10, 40, 8, 38, 6, 36, 4, 34, 2, 32, 0)
static inline __attribute__((always_inline)) __m512 exp2_pair(__m512i first, __m512i second) {
    __m512i x = _mm512_permutex2var_epi16(first, LOWER_HALVES, second);
    __m512i cell = _mm512_permutex2var_epi16(_mm512_loadu_si512(exp2_cells), _mm512_srli_epi16(x, 3), _mm512_loadu_si512(exp2_cells + 32));
    return _mm512_castsi512_ps(_mm512_srli_epi16(_mm512_add_epi16(x, cell), 2));
}
#define EXP2_PAIR(first, second) ((vf)exp2_pair((__m512i)(first), (__m512i)(second)))
#include "kernel/isa/avx512.inc.h"
