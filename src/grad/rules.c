/* rules.c - gradient rules of element-wise, shape, reduction, sorting and contraction operations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "grad/rules.h"

RULE(zero) { (void)r; }
RULE(none) {
    swg__graph_fail(G, SWG_EGRAD, "%s%s%s has no gradient; detach it if none should flow", r->n.name, *r->n.name ? ": " : "",
                    swg__ops[r->n.op].text);
}

RULE(neg) { ONE(swg_neg(G, DY)); }
RULE(abs) { ONE(swg_mul(G, DY, swg_sign(G, X))); }
RULE(square) { ONE(swg_mul(G, DY, swg_affine(G, X, 2, 0))); }
RULE(sqrt) { ONE(swg_div(G, swg_affine(G, DY, .5, 0), r->y)); }
RULE(rsqrt) { ONE(swg_mul(G, swg_affine(G, DY, -.5, 0), swg_mul(G, r->y, swg_square(G, r->y)))); }
RULE(recip) { ONE(swg_neg(G, swg_mul(G, DY, swg_square(G, r->y)))); }
RULE(exp) { ONE(swg_mul(G, DY, r->y)); }
RULE(log) { ONE(swg_div(G, DY, X)); }
RULE(log1p) { ONE(swg_div(G, DY, swg_affine(G, X, 1, 1))); }
RULE(relu) { ONE(swg__ew(G, SWG__GATE, 0, 0, 2, DY, r->y, 0)); }
RULE(gelu) { ONE(swg_mul(G, DY, swg__ew(G, SWG__DGELU, 0, 0, 1, X, 0, 0))); }
RULE(tanh) { ONE(swg_mul(G, DY, swg_affine(G, swg_square(G, r->y), -1, 1))); }
RULE(sigmoid) { ONE(swg_mul(G, DY, swg_mul(G, r->y, swg_affine(G, r->y, -1, 1)))); }
RULE(softplus) { ONE(swg_mul(G, DY, swg_sigmoid(G, X))); }
RULE(cast) { ONE(swg_cast(G, DY, swg_value_dtype(G, X))); }
RULE(affine) { ONE(swg_affine(G, DY, r->n.attr.f[0], 0)); }
RULE(clamp) { ONE(swg_mul(G, DY, swg__ew(G, SWG__INSIDE, r->n.attr.f[0], r->n.attr.f[1], 1, X, 0, 0))); }

/* Gradient of a broadcast input: summed to the input's own shape. */
swg_value swg__grad_fit(swg__rule *r, swg_value gradient, int i) {
    if (!gradient)
        return SWG_NONE;
    const swg__node *in = &G->nodes[r->x[i]];
    return swg__sum_to(G, gradient, in->ndim, in->shape);
}

RULE(add) { TWO(DY, DY); }
RULE(sub) { TWO(DY, swg_neg(G, DY)); }
RULE(mul) { TWO(swg_mul(G, DY, r->x[1]), swg_mul(G, DY, X)); }
RULE(div) {
    swg_value da = swg_div(G, DY, r->x[1]);
    TWO(da, swg_neg(G, swg_mul(G, da, r->y)));
}
RULE(max) {
    swg_value to_b = swg_greater(G, r->x[1], X);
    TWO(swg_mul(G, DY, swg_affine(G, to_b, -1, 1)), swg_mul(G, DY, to_b));
}
RULE(min) {
    swg_value to_b = swg_greater(G, X, r->x[1]);
    TWO(swg_mul(G, DY, swg_affine(G, to_b, -1, 1)), swg_mul(G, DY, to_b));
}
RULE(gate) { r->dx[0] = swg__ew(G, SWG__GATE, 0, 0, 2, DY, r->x[1], 0); }
RULE(where) {
    swg_value none = swg_constant(G, 0);
    r->dx[1] = swg__grad_fit(r, swg_where(G, X, DY, none), 1);
    r->dx[2] = swg__grad_fit(r, swg_where(G, X, none, DY), 2);
}

RULE(reshape) { ONE(swg_reshape(G, DY, swg_ndim(G, X), swg_shape(G, X))); }
RULE(permute) {
    int inverse[SWG_MAX_DIMS];
    for (int i = 0; i < r->n.ndim; i++)
        inverse[r->n.attr.begin[i]] = i;
    ONE(swg_permute(G, DY, inverse));
}
RULE(expand) { ONE(swg__grad_fit(r, DY, 0)); }
RULE(slice) {
    const swg__node *in = &G->nodes[X];
    int64_t after[SWG_MAX_DIMS];
    for (int i = 0; i < r->n.ndim; i++)
        after[i] = in->shape[i] - r->n.attr.begin[i] - r->n.shape[i];
    ONE(swg_pad(G, DY, r->n.attr.begin, after));
}
RULE(pad) { ONE(swg_slice(G, DY, r->n.attr.begin, swg_shape(G, X))); }
RULE(concat) {
    int64_t begin[SWG_MAX_DIMS] = {0};
    for (int i = 0; i < r->n.inputs; i++) {
        const int64_t *extent = swg_shape(G, r->x[i]);
        r->dx[i] = swg_slice(G, DY, begin, extent);
        begin[r->n.attr.axis] += extent[r->n.attr.axis];
    }
}
/* dy has extent 1 on the reduced axes; multiplying by a tensor of ones is what expand is for. */
RULE(sum) { ONE(swg_expand(G, swg_affine(G, DY, r->n.attr.f[0], 0), r->n.ndim, swg_shape(G, X))); }
RULE(reduce_max) {
    swg_value at = swg__ew(G, SWG__EQUAL, 0, 0, 2, X, r->y, 0);
    ONE(swg_mul(G, at, swg_div(G, DY, swg_sum(G, at, r->n.attr.axes))));
}
RULE(softmax) {
    swg_value weighted = swg_mul(G, DY, r->y);
    ONE(swg_sub(G, weighted, swg_mul(G, r->y, swg_sum(G, weighted, 1u << (r->n.ndim - 1)))));
}
RULE(log_softmax) { ONE(swg_sub(G, DY, swg_mul(G, swg_exp(G, r->y), swg_sum(G, DY, 1u << (r->n.ndim - 1))))); }
RULE(take) { ONE(swg__put_along(G, DY, r->x[1], r->n.attr.axis)); }
RULE(put) { ONE(swg_take_along(G, DY, r->x[1], r->n.attr.axis)); }
RULE(matmul) {
    bool ta = r->n.attr.trans_a, tb = r->n.attr.trans_b;
    swg_value a = X, b = r->x[1];
    r->dx[0] = ta ? swg__matmul(G, b, DY, tb, true) : swg__matmul(G, DY, b, false, !tb);
    r->dx[1] = tb ? swg__matmul(G, DY, a, true, ta) : swg__matmul(G, a, DY, !ta, false);
}
