/* rules_layers.c - gradient rules of activations and dropout.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "grad/rules.h"

/* Where slope >= 0, y is above 0 where x is, and x need not be kept. */
RULE(leaky_relu) {
    double slope = r->n.attr.f[0];
    ONE(swg_mul(G, DY, swg_affine(G, swg_greater(G, slope >= 0 ? r->y : X, swg_constant(G, 0)), 1 - slope, slope)));
}
/* Left of 0 the derivative is alpha exp(x) = y + alpha. Where alpha > 0, y has the sign of x, which is not needed then. */
RULE(elu) {
    double alpha = r->n.attr.f[0];
    swg_value right = alpha == 1 ? SWG_NONE : swg_greater(G, alpha > 0 ? r->y : X, swg_constant(G, 0));
    swg_value slope = alpha == 1 ? swg_affine(G, swg_clamp(G, r->y, -INFINITY, 0), 1, 1)
                                 : swg_where(G, right, swg_constant(G, 1), swg_affine(G, r->y, 1, alpha));
    ONE(swg_mul(G, DY, slope));
}
/* The same mask again, from the same stream: nothing is kept. */
RULE(dropout) { ONE(swg__append(G, SWG__DROPOUT, G->dtype, r->n.ndim, r->n.shape, 1, &r->dy, &r->n.attr)); }
