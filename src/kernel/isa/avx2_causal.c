/* avx2_causal.c - the network of mode W-MLP for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES32 8
#define INPUTS 2
#define KERNELS swg__causal_kernels_avx2
#define LEAST(a, b) (vi32)_mm256_min_epi32((__m256i)(a), (__m256i)(b))
#define MOST(a, b) (vi32)_mm256_max_epi32((__m256i)(a), (__m256i)(b))
#define DOT(sum, x, w) sum = (vi32)((vu32)sum + (vu32)_mm256_madd_epi16((__m256i)(x), (__m256i)(w)))

#include "codec/causal_kernels.inc.h"
#else
typedef int swg__no_avx2; /* an empty file is not C */
#endif
