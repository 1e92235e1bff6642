/* avx512_exact.c - kernels whose bits are the same everywhere, for AVX-512 F, BW, DQ, VL.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512
#include "kernel/isa/exact.inc.h"
