/* avx512_causal.c - the network of mode W-MLP for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES32 16
#define INPUTS 2
#define KERNELS swg__causal_kernels_avx512
#define LEAST(a, b) (vi32)_mm512_min_epi32((__m512i)(a), (__m512i)(b))
#define MOST(a, b) (vi32)_mm512_max_epi32((__m512i)(a), (__m512i)(b))
#define DOT(sum, x, w) sum = (vi32)((vu32)sum + (vu32)_mm512_madd_epi16((__m512i)(x), (__m512i)(w)))

#include "codec/causal_kernels.inc.h"
#else
typedef int swg__no_avx512; /* an empty file is not C */
#endif
