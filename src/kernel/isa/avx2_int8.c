/* avx2_int8.c - products of 8-bit codes for AVX2, widened to 16 bits: nothing saturates.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define SWG_ISA avx2
#define VL 8
#define MR 6
#define TALL_ROWS 12
#define GROUP 2
#define DOT8(acc, a, b) (acc) += (vi)_mm256_madd_epi16((__m256i)(a), (__m256i)(b))
#define STORE_CODES(p, x) \
    _mm_storeu_si128((__m128i *)(void *)(p), _mm_packs_epi32(_mm256_castsi256_si128((__m256i)(x)), _mm256_extracti128_si256((__m256i)(x), 1)))
#define LANES_BELOW(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD_PART(p, n) ((vf)_mm256_maskload_ps(p, LANES_BELOW(n)))
#define STORE_PART(p, x, n) _mm256_maskstore_ps(p, LANES_BELOW(n), (__m256)(x))
#include "kernel/int8.inc.h"
