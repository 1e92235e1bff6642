/* avx2.c - the kernels for AVX2 and FMA.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx2
#define VL 8
#define MR 6
#include "kernel/isa/body.inc.h"
