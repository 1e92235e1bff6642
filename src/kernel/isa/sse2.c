/* sse2.c - the kernels for SSE2, every x86-64.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA sse2
#define VL 4
#define MR 6
#define TALL_ROWS 12
#include "kernel/isa/body.inc.h"
