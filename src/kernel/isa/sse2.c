/* sse2.c - the kernels for SSE2, every x86-64.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define SWG_ISA sse2
#define VL 4
#define MR 6
#define TALL_ROWS 12
/* Lane by lane a > b ? a : b. */
#define LARGER(a, b) ((vf)_mm_max_ps((__m128)(a), (__m128)(b)))
#include "kernel/isa/body.inc.h"
