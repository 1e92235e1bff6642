/* avx512.inc.h - what the AVX-512 instruction sets have in common.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define VL 16
#define MR 12
#define TALL_ROWS 16
/* The first n of sixteen lanes. */
#define LANES_BELOW(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) ((vf)_mm512_maskz_loadu_ps(LANES_BELOW(n), p))
#define STORE_PART(p, x, n) _mm512_mask_storeu_ps(p, LANES_BELOW(n), (__m512)(x))
/* gcc converts halves of vectors one by one. */
#define WIDEN(x) ((vu)_mm512_cvtepu16_epi32((__m256i)(x)))
#define NARROW(x) ((vh)_mm512_cvtepi32_epi16((__m512i)(x)))
#define LOAD_HALF_PART(p, n) ((vu)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(LANES_BELOW(n), p)))
#define STORE_HALF_PART(p, x, n) _mm512_mask_cvtepi32_storeu_epi16(p, LANES_BELOW(n), (__m512i)(x))
/* from[index[j]] for each lane j. Without optimisation the header has a macro, which gcc warns of. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
static inline __m512 gather_floats(const float *from, __m512i index) { return _mm512_i32gather_ps(index, from, 4); }
#pragma GCC diagnostic pop
#define GATHER(from, index) ((vf)gather_floats(from, (__m512i)(index)))
/* Lane by lane a > b ? a : b. */
#define LARGER(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
/* x - floor(x), and p 2^floor(x). */
#define EXP2_FRACTION(x) ((vf)_mm512_reduce_ps((__m512)(x), 1))
#define EXP2_SCALE(p, x) ((vf)_mm512_scalef_ps((__m512)(p), (__m512)(x)))
#include "kernel/isa/body.inc.h"
