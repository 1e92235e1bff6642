/* sse2_causal.c - the network of mode W-MLP for SSE2.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <emmintrin.h>
#include <stdint.h>

#define LANES32 4
#define INPUTS 2
#define KERNELS swg__causal_kernels_sse2
#define LEAST(a, b) lanes_of(a, b, (a) < (b))
#define MOST(a, b) lanes_of(a, b, (a) > (b))
#define DOT(sum, x, w) sum = (vi32)((vu32)sum + (vu32)_mm_madd_epi16((__m128i)(x), (__m128i)(w)))

typedef int32_t lanes __attribute__((vector_size(16)));
static inline lanes lanes_of(lanes a, lanes b, lanes first) { return (a & first) | (b & ~first); }

#include "codec/causal_kernels.inc.h"
#else
typedef int swg__no_sse2; /* an empty file is not C */
#endif
