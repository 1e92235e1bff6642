/* avx512.c - the kernels for AVX-512 F, BW, DQ, VL.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512
#define VL 16
#define MR 12
#include "kernel/isa/body.inc.h"
