/* scalar.c - the kernels for plain C, any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA scalar
#define VL 1
#define MR 4
#define TALL_ROWS 8
#include "kernel/isa/body.inc.h"
