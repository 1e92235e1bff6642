/* rules_norm.c - gradient rules of split normalisation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

/* Row `row` of (2, kept) in the given shape. */
static swg_value part(swg_graph *g, swg_value pair, int64_t row, int ndim, const int64_t *shape) {
    if (!pair)
        return SWG_NONE;
    return swg_reshape(g, swg_slice(g, pair, (int64_t[]){row, 0}, (int64_t[]){1, swg_shape(g, pair)[1]}), ndim, shape);
}

/* d mean / dx = 1/n, d variance / dx = 2 (x - mean) / n. */
RULE(norm_stats) {
    const swg__node *in = &G->nodes[X];
    int ndim = in->ndim;
    int64_t shape[SWG_MAX_DIMS], n = 1;
    for (int i = 0; i < ndim; i++) {
        bool reduced = r->n.attr.axes >> i & 1;
        shape[i] = reduced ? 1 : in->shape[i];
        n *= reduced ? in->shape[i] : 1;
    }
    swg_value d_mean = swg_affine(G, part(G, DY, 0, ndim, shape), 1. / (double)n, 0);
    swg_value d_variance = swg_affine(G, part(G, DY, 1, ndim, shape), 2. / (double)n, 0);
    ONE(swg_add(G, d_mean, swg_mul(G, d_variance, swg_sub(G, X, part(G, r->y, 0, ndim, shape)))));
}

/* Axes of x along which v, broadcast to it, does not vary. */
static uint32_t constant_axes(const swg__node *x, const swg__node *v) {
    uint32_t axes = 0;
    for (int i = 0; i < x->ndim; i++) {
        int own = i - (x->ndim - v->ndim);
        if (x->shape[i] > 1 && (own < 0 || v->shape[own] == 1))
            axes |= 1u << i;
    }
    return axes;
}

typedef struct sums { swg_value first, second; } sums;  /* of dy w and of dy w (x - mean) rstd */

/* Over `axes`, where `like` has extent 1 and whose shape the sums get. In one pass where there is a kernel for it. */
static sums sums_over(swg__rule *r, swg_value weight, uint32_t axes, swg_value like) {
    swg_value in[5] = {DY, X, r->x[1], r->x[2], weight};
    const swg__node *x = &G->nodes[X], *mean = &G->nodes[r->x[1]];
    uint32_t all = 0, constant = constant_axes(x, mean);
    for (int i = 0; i < x->ndim; i++)
        all |= x->shape[i] > 1 ? 1u << i : 0;
    int ndim = swg_ndim(G, like);
    const int64_t *shape = swg_shape(G, like);
    swg_value pair = SWG_NONE;
    if (constant == axes || constant == (all & ~axes))
        pair = swg__norm_sums(G, in, weight ? 5 : 4, axes, constant != axes);
    if (pair)
        return (sums){part(G, pair, 0, ndim, shape), part(G, pair, 1, ndim, shape)};
    swg_value dy = weight ? swg_mul(G, DY, weight) : DY, hat = swg_mul(G, swg_sub(G, X, r->x[1]), r->x[2]);
    return (sums){swg__sum_to(G, dy, ndim, shape), swg__sum_to(G, swg_mul(G, dy, hat), ndim, shape)};
}

/* With xh = (x - mean) rstd and y = xh gamma + beta: gamma either does not vary within the normalised axes (batch, instance, group),
 * and one pair of sums serves all gradients, or it does (layer norm), and the sums over rows and columns differ. */
RULE(norm_apply) {
    swg_value mean = r->x[1], rstd = r->x[2], gamma = r->n.inputs > 3 ? r->x[3] : SWG_NONE;
    uint32_t axes = constant_axes(&G->nodes[X], &G->nodes[mean]);
    bool varies = gamma && (axes & ~constant_axes(&G->nodes[X], &G->nodes[gamma]));
    sums s = sums_over(r, varies ? gamma : SWG_NONE, axes, mean);
    if (gamma) {
        sums t = varies ? sums_over(r, SWG_NONE, constant_axes(&G->nodes[X], &G->nodes[gamma]), gamma) : s;
        r->dx[3] = swg__grad_fit(r, t.second, 3);
        if (r->n.inputs > 4)
            r->dx[4] = swg__same_shape(&G->nodes[gamma], &G->nodes[r->x[4]]) ? swg__grad_fit(r, t.first, 4) : swg__grad_fit(r, DY, 4);
        if (!varies)
            s = (sums){swg_mul(G, gamma, s.first), swg_mul(G, gamma, s.second)};
    }
    r->dx[0] = swg_mul(G, DY, gamma ? swg_mul(G, rstd, gamma) : rstd);
    r->dx[1] = swg_neg(G, swg_mul(G, rstd, s.first));
    r->dx[2] = swg_div(G, s.second, rstd);
}

RULE(layer_norm) {
    swg_value gamma = r->n.inputs > 1 ? r->x[1] : SWG_NONE;
    const int64_t *shape = swg_shape(G, X);
    int ndim = swg_ndim(G, X);
    ONE(swg__append(G, SWG__LAYER_NORM_GRAD, G->dtype, ndim, shape, gamma ? 3 : 2, (swg_value[]){X, DY, gamma}, &r->n.attr));
    if (!gamma)
        return;
    int64_t columns = swg_elements(G, gamma);
    swg_value pair = swg__append(G, SWG__LAYER_NORM_SUMS, G->dtype, 2, (int64_t[]){2, columns}, 2, (swg_value[]){X, DY}, &r->n.attr);
    for (int i = 0; i < r->n.inputs - 1; i++)
        r->dx[1 + i] = part(G, pair, 1 - i, swg_ndim(G, gamma), swg_shape(G, gamma));
}
