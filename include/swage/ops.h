/* ops.h - the table of operations as a program can read it; printed by `swage ops`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_OPS_H
#define SWAGE_OPS_H

#include <stdbool.h>

typedef struct swg_op_row {
    const char *name;       /* "matmul" */
    char kind[16];          /* class of op.def in lower case: leaf, random, view, move, ew, reduce, rows, sort, contraction, optim, ... */
    int inputs;             /* -1: any number */
    const char *gradient;   /* name of its rule; "zero": nothing flows back; "none": refused when a gradient is asked for */
    const char *kernel;     /* family of fast kernels; "none": nothing is computed (leaves and views) */
    const char *dtypes;     /* that can be computed, with blanks between: f32 and, in memory, bf16 by the family, f64 by the reference; "": nothing is computed */
} swg_op_row;

/* Row `index` of the table, in the order of op.def. False: there is no such row. */
bool swg_op_at(int index, swg_op_row *out);

#endif
