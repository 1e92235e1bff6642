/* rules_gather.c - gradient rules of gather, scatter, roll, pooling and resize: each is the transposed map.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

RULE(gather) {
    int axis = r->n.attr.axis;
    ONE(r->n.attr.begin[0] ? swg__spatial_scatter(G, DY, r->x[1], axis, swg_shape(G, X))
                           : swg_scatter_add(G, DY, r->x[1], axis, swg_shape(G, X)[axis]));
}
RULE(scatter) {
    ONE(r->n.attr.begin[0] ? swg__spatial_gather(G, DY, r->x[1], r->n.attr.axis) : swg_gather(G, DY, r->x[1], r->n.attr.axis));
}
RULE(roll) {
    int64_t back[SWG_MAX_DIMS];
    for (int i = 0; i < r->n.ndim; i++)
        back[i] = -r->n.attr.begin[i];
    ONE(swg_roll(G, DY, back));
}
RULE(resample) {
    swg__attr attr = r->n.attr;
    attr.trans_a = !attr.trans_a;
    ONE(swg__append(G, SWG__RESAMPLE, G->dtype, r->n.ndim, swg_shape(G, X), 1, &r->dy, &attr));
}
