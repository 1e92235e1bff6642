/* scalar_int8.c - products of 8-bit codes in plain C, any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#define SWG_ISA scalar
#define VL 1
#define MR 4
#define TALL_ROWS 8
#define GROUP 2
#define DOT8(acc, a, b) (acc) += (int16_t)(a) * (int16_t)(b) + ((a) >> 16) * ((b) >> 16)
#include "kernel/int8.inc.h"
