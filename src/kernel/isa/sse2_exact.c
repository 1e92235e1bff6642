/* sse2_exact.c - kernels whose bits are the same everywhere, for SSE2, every x86-64.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA sse2
#include "kernel/isa/exact.inc.h"
