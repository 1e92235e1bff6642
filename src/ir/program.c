/* program.c - element-wise nodes as tile programs: what fusing joins, the kernel runs and the reference interprets.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"

/* (x - mean) * rstd * gamma + beta, as far as there are inputs. */
static void norm_apply(const swg__node *n, swg__program *p) {
    static const uint8_t ops[] = {SWG__SUB, SWG__MUL, SWG__MUL, SWG__ADD};
    p->length = n->inputs - 1;
    for (int i = 0; i < p->length; i++)
        p->code[i] = (swg__instruction){.op = ops[i], .out = (uint8_t)(n->inputs + i),
                                        .in = {(uint8_t)(i ? n->inputs + i - 1 : 0), (uint8_t)(i + 1)}};
}

void swg__program_of(const swg__node *n, swg__program *out) {
    if (n->op == SWG__PROGRAM) {
        *out = *n->attr.program;
        return;
    }
    *out = (swg__program){.inputs = n->inputs, .length = 1};
    if (n->op == SWG__NORM_APPLY)
        norm_apply(n, out);
    else
        out->code[0] = (swg__instruction){.op = n->op, .out = (uint8_t)n->inputs, .in = {0, 1, 2}, .f = {n->attr.f[0], n->attr.f[1]}};
}
