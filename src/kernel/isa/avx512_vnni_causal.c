/* avx512_vnni_causal.c - the network of mode W-MLP for AVX-512 with VNNI: four products in one instruction.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES32 16
#define INPUTS 4
#define KERNELS swg__causal_kernels_avx512_vnni
#define LEAST(a, b) (vi32)_mm512_min_epi32((__m512i)(a), (__m512i)(b))
#define MOST(a, b) (vi32)_mm512_max_epi32((__m512i)(a), (__m512i)(b))
/* Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT(sum, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w))

#include "codec/causal_kernels.inc.h"
#else
typedef int swg__no_avx512_vnni; /* an empty file is not C */
#endif
