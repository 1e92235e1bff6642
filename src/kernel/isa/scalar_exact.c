/* scalar_exact.c - kernels whose bits are the same everywhere, for plain C, any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#define SWG_ISA scalar
#include "kernel/isa/exact.inc.h"
