/* avx2.c - the kernels for AVX2 and FMA.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define SWG_ISA avx2
#define VL 8
#define MR 6
#define TALL_ROWS 12
/* The first n of eight lanes: lanes whose number is below n. */
#define LANES_BELOW(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD_PART(p, n) ((vf)_mm256_maskload_ps(p, LANES_BELOW(n)))
#define STORE_PART(p, x, n) _mm256_maskstore_ps(p, LANES_BELOW(n), (__m256)(x))
/* from[index[j]] for each lane j. */
#define GATHER(from, index) ((vf)_mm256_i32gather_ps(from, (__m256i)(index), 4))
/* Lane by lane a > b ? a : b. */
#define LARGER(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#include "kernel/isa/body.inc.h"
