/* losses_kan.c - how large and how evenly spread the functions on the edges of Kolmogorov-Arnold layers are (Liu et al. 2024).
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "nn/losses.h"

/* v where it is not 0, else 1: what may be divided by, or have its logarithm taken. v is not negative. */
static swg_value or_one(swg_graph *g, swg_value v) {
    swg_value one = swg_constant(g, 1);
    return swg_where(g, swg_greater(g, v, swg_constant(g, 0)), v, one);
}

/* Both terms of one layer. A share of 0 adds 0 to H, and its gradient stops at the sign of its coefficients, which are 0. NaN stays NaN
 * in R. */
static swg_kan_terms terms_of(swg_graph *g, swg_value c) {
    swg_value size = swg_mean(g, swg_abs(g, c), 1u << (swg_ndim(g, c) - 1));
    swg_value sum = swg__loss_scalar(g, swg_sum(g, size, 0)), rank = swg_reshape(g, size, 1, (int64_t[]){-1});
    swg_value share = swg_div(g, rank, or_one(g, sum));
    swg_value entropy = swg__loss_scalar(g, swg_sum(g, swg_mul(g, share, swg_log(g, or_one(g, share))), 0));
    return (swg_kan_terms){sum, swg_neg(g, entropy)};
}

static bool ends_in(const char *name, const char *tail) {
    size_t n = strlen(name), m = strlen(tail);
    return n >= m && strcmp(name + n - m, tail) == 0;
}

static swg_value loss_kan(swg_graph *g, const swg_value *coefficients, int count, double magnitude, double entropy, swg_kan_terms *terms) {
    swg_kan_terms sum = {SWG_NONE, SWG_NONE};
    int layers = 0, most = coefficients ? count : g->param_count;
    for (int i = 0; i < most && g->status == SWG_OK; i++) {
        swg_value c = coefficients ? coefficients[i] : g->params[i];
        if (!coefficients && !ends_in(g->nodes[c].name, "spline_weight"))
            continue;
        if (!swg__check(g, "kan loss", c))
            return SWG_NONE;
        if (swg_ndim(g, c) < 1)
            return swg__graph_fail(g, SWG_ESHAPE, "kan loss: coefficients without axes");
        swg_kan_terms own = terms_of(g, c);
        sum.magnitude = layers ? swg_add(g, sum.magnitude, own.magnitude) : own.magnitude;
        sum.entropy = layers ? swg_add(g, sum.entropy, own.entropy) : own.entropy;
        layers++;
    }
    if (layers == 0)
        return swg__graph_fail(g, SWG_EINVAL, "kan loss: there are no coefficients of Kolmogorov-Arnold layers");
    if (terms)
        *terms = sum;
    return swg_add(g, swg_affine(g, sum.magnitude, magnitude, 0), swg_affine(g, sum.entropy, entropy, 0));
}

SWG__PRECISE(swg_loss_kan, (swg_graph *g, const swg_value *coefficients, int count, double magnitude, double entropy, swg_kan_terms *terms),
             loss_kan(g, coefficients, count, magnitude, entropy, terms))
