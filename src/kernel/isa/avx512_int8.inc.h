/* avx512_int8.inc.h - what the AVX-512 kernels of 8-bit codes have in common.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>
#define VL 16
#define MR 12
#define TALL_ROWS 16
#define LANES_BELOW(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) ((vf)_mm512_maskz_loadu_ps(LANES_BELOW(n), p))
#define STORE_PART(p, x, n) _mm512_mask_storeu_ps(p, LANES_BELOW(n), (__m512)(x))
#include "kernel/int8.inc.h"
