/* rules.h - gradient rules: one short function per operation, named in op.def. A family of operations keeps its rules in a
 * file of its own beside this one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_GRAD_RULES_H
#define SWAGE_GRAD_RULES_H

#include "ir/ir.h"

/* What a rule sees: the node (a copy: appending may move the array), its value and the gradient of its result. */
typedef struct swg__rule {
    swg_graph *g;
    swg__node n;
    swg_value y, dy;
    const swg_value *x;   /* inputs */
    swg_value *dx;        /* out: gradient per input, SWG_NONE where nothing flows */
} swg__rule;

/* Writes r->dx. swg__grad_zero: nothing flows back. swg__grad_none: refuses, naming node and scope. */
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) void swg__grad_##gradient(swg__rule *r);
#include "ir/op.def"
#undef OP

/* `gradient` summed to the shape of input i, which may have been broadcast. */
swg_value swg__grad_fit(swg__rule *r, swg_value gradient, int i);

/* The rules' own language. */
#define RULE(name) void swg__grad_##name(swg__rule *r)
#define G r->g
#define DY r->dy
#define X r->x[0]
#define ONE(expr) (r->dx[0] = (expr))
#define TWO(a, b) (r->dx[0] = swg__grad_fit(r, a, 0), r->dx[1] = swg__grad_fit(r, b, 1))

#endif
