/* rules_attention.c - gradient of attention: one node computes those of q, k and v, which share the probabilities; slices take them
 * apart. That of the mask is a node of its own, because most masks are constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"
#include "ir/attention.h"

RULE(attention) {
    swg__attention a = swg__attention_of(G, &r->n);
    swg_value in[6] = {r->x[0], r->x[1], r->x[2], r->y, DY, a.masked ? r->x[3] : SWG_NONE};
    int inputs = a.masked ? 6 : 5;
    const int64_t first[4] = {0, swg__attention_k_first(&a), swg__attention_v_first(&a), swg__attention_grads(&a)};
    swg_value all = swg__append(G, SWG__ATTENTION_GRAD, G->dtype, 2, (int64_t[]){a.batch, first[3]}, inputs, in, &r->n.attr);
    for (int i = 0; i < 3 && all; i++)
        r->dx[i] = swg_reshape(G, swg_slice(G, all, (int64_t[]){0, first[i]}, (int64_t[]){a.batch, first[i + 1] - first[i]}),
                               swg_ndim(G, r->x[i]), swg_shape(G, r->x[i]));
    if (a.masked)
        r->dx[3] = swg__append(G, SWG__ATTENTION_MASK_GRAD, G->dtype, 4, swg_shape(G, r->x[3]), inputs, in, &r->n.attr);
}
