/* rules_layers.c - gradient rules of activations and dropout.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

RULE(leaky_relu) {
    double slope = r->n.attr.f[0];
    ONE(swg_mul(G, DY, swg_affine(G, swg_greater(G, X, swg_constant(G, 0)), 1 - slope, slope)));
}
/* Left of 0 the derivative is alpha exp(x) = y + alpha. */
RULE(elu) {
    swg_value right = swg_greater(G, X, swg_constant(G, 0));
    ONE(swg_mul(G, DY, swg_where(G, right, swg_constant(G, 1), swg_affine(G, r->y, 1, r->n.attr.f[0]))));
}
/* The same mask again, from the same stream: nothing is kept. */
RULE(dropout) { ONE(swg__append(G, SWG__DROPOUT, G->dtype, r->n.ndim, r->n.shape, 1, &r->dy, &r->n.attr)); }
