/* avx512.c - the kernels for AVX-512 F, BW, DQ, VL.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512
#include "kernel/isa/avx512.inc.h"
