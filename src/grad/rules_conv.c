/* rules_conv.c - gradients of convolutions: the three operations are the three partial derivatives of one form that is linear in
 * each of its tensors, so each one's gradients are the other two.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

/* The operation that computes a tensor of the shape of `like` from a and b. */
static swg_value other(swg__rule *r, swg__op op, swg_value a, swg_value b, swg_value like) {
    const swg__node *to = &G->nodes[like];
    return swg__append(G, op, G->dtype, to->ndim, to->shape, 2, (swg_value[]){a, b}, &r->n.attr);
}

/* The weights first: where x is made again for them, it is gone before the other result comes. */
RULE(conv) {
    r->dx[1] = other(r, SWG__CONV_WEIGHTS, X, DY, r->x[1]);
    r->dx[0] = other(r, SWG__CONV_TRANSPOSE, DY, r->x[1], X);
}

RULE(conv_transpose) {
    r->dx[1] = other(r, SWG__CONV_WEIGHTS, DY, X, r->x[1]);
    r->dx[0] = other(r, SWG__CONV, DY, r->x[1], X);
}

RULE(conv_weights) {
    r->dx[0] = other(r, SWG__CONV_TRANSPOSE, r->x[1], DY, X);
    r->dx[1] = other(r, SWG__CONV, X, DY, r->x[1]);
}
