/* avx2_exact.c - kernels whose bits are the same everywhere, for AVX2 and FMA.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx2
#include "kernel/isa/exact.inc.h"
