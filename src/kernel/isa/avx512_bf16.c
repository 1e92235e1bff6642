/* avx512_bf16.c - the kernels for AVX-512 with BF16.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA avx512_bf16
/* acc += lower a * lower b + upper a * upper b, in words of two brain floats. Assembly: of the intrinsic gcc 12 makes moves. */
#define DOT(acc, a, b) __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#include "kernel/isa/avx512.inc.h"
