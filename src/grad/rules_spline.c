/* rules_spline.c - gradient of the B-spline basis. Knots are detached when the basis is built.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

RULE(spline) {
    ONE(swg__append(G, SWG__SPLINE_GRAD, G->dtype, swg_ndim(G, X), swg_shape(G, X), r->n.inputs + 1,
                    (swg_value[]){X, DY, r->n.inputs > 1 ? r->x[1] : SWG_NONE}, &r->n.attr));
}
