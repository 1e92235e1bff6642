/* losses.c - losses as graphs of primitive operations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "nn/losses.h"

swg_value swg__loss_scalar(swg_graph *g, swg_value x) { return x ? swg_reshape(g, x, 1, (int64_t[]){1}) : SWG_NONE; }
swg_value swg__loss_mean(swg_graph *g, swg_value x) { return swg__loss_scalar(g, swg_mean(g, x, 0)); }

bool swg__loss_takes(swg_graph *g, const char *loss, swg_value y, swg_value x) {
    if (!swg__check(g, loss, y) || !swg__check(g, loss, x))
        return false;
    char left[224], right[224];
    if (!swg__same_shape(&g->nodes[y], &g->nodes[x]))
        swg__graph_fail(g, SWG_ESHAPE, "%s: prediction %s and target %s", loss, swg__value_text(g, y, left, sizeof left),
                        swg__value_text(g, x, right, sizeof right));
    return g->status == SWG_OK;
}

static swg_value difference(swg_graph *g, const char *loss, swg_value y, swg_value x) {
    return swg__loss_takes(g, loss, y, x) ? swg_sub(g, y, x) : SWG_NONE;
}

static swg_value mse(swg_graph *g, swg_value y, swg_value x) { return swg__loss_mean(g, swg_square(g, difference(g, "mse loss", y, x))); }
static swg_value mae(swg_graph *g, swg_value y, swg_value x) { return swg__loss_mean(g, swg_abs(g, difference(g, "mae loss", y, x))); }

/* With c = clamp(d, -beta, beta): c^2 / (2 beta) + |d - c| equals Huber's two branches. */
static swg_value huber(swg_graph *g, swg_value y, swg_value x, double beta) {
    if (!(beta > 0))
        return swg__graph_fail(g, SWG_EINVAL, "huber loss: beta %g, expected more than 0", beta);
    swg_value d = difference(g, "huber loss", y, x), c = swg_clamp(g, d, -beta, beta);
    swg_value inner = swg_affine(g, swg_square(g, c), .5 / beta, 0);
    return swg__loss_mean(g, swg_add(g, inner, swg_abs(g, swg_sub(g, d, c))));
}

/* |d| + log1p(exp(-2|d|)) - ln 2: no overflow for any d. */
static swg_value logcosh(swg_graph *g, swg_value y, swg_value x) {
    swg_value size = swg_abs(g, difference(g, "logcosh loss", y, x));
    swg_value tail = swg_log1p(g, swg_exp(g, swg_affine(g, size, -2, 0)));
    return swg__loss_mean(g, swg_affine(g, swg_add(g, size, tail), 1, -0.69314718055994530942));
}

static swg_value relative(swg_graph *g, swg_value y, swg_value x) {
    swg_value target = swg_detach(g, x);
    swg_value spread = swg_sqrt(g, swg__loss_mean(g, swg_square(g, swg_sub(g, target, swg__loss_mean(g, target)))));
    swg_value eps = swg_max(g, swg_affine(g, spread, .1, 0), swg_constant(g, 1e-6));
    swg_value ratio = swg_div(g, swg_abs(g, difference(g, "relative loss", y, x)), swg_add(g, swg_abs(g, target), swg_detach(g, eps)));
    swg_value second = swg__loss_mean(g, swg_clamp(g, ratio, 0, 10));
    return swg_add(g, swg_affine(g, mse(g, y, x), .9, 0), swg_affine(g, second, .1, 0));
}

static swg_value log_of(swg_graph *g, swg_value a, double scale) { return swg_log1p(g, swg_affine(g, a, scale, 0)); }

static swg_value sliced_wasserstein_with(swg_graph *g, swg_value z, swg_value theta, swg_value prior) {
    const swg_matmul_opts transposed = {.trans_b = true};
    swg_value a = swg_matmul(g, z, theta, &transposed), p = swg_matmul(g, prior, theta, &transposed);
    return swg__loss_mean(g, swg_square(g, swg_sub(g, swg_sort(g, a, 0), swg_sort(g, p, 0))));
}

static swg_value sliced_wasserstein(swg_graph *g, swg_value z, int64_t directions) {
    if (!swg__check(g, "sliced-Wasserstein loss", z))
        return SWG_NONE;
    if (swg_ndim(g, z) != 2)
        return swg__graph_fail(g, SWG_ESHAPE, "sliced-Wasserstein loss: latents of %d dimensions, expected (m, k)", swg_ndim(g, z));
    int64_t m = swg_shape(g, z)[0], k = swg_shape(g, z)[1];
    swg_value normal = swg_random_normal(g, "sw:theta", 2, (int64_t[]){directions, k});
    swg_value theta = swg_mul(g, normal, swg_rsqrt(g, swg_sum(g, swg_square(g, normal), 2)));
    swg_value prior = swg_random_normal(g, "sw:prior", 2, (int64_t[]){m, k});
    return sliced_wasserstein_with(g, z, theta, prior);
}

/* ---- all of a loss in f32 ---- */

SWG__PRECISE(swg_loss_mse, (swg_graph *g, swg_value y, swg_value x), mse(g, y, x))
SWG__PRECISE(swg_loss_mae, (swg_graph *g, swg_value y, swg_value x), mae(g, y, x))
SWG__PRECISE(swg_loss_huber, (swg_graph *g, swg_value y, swg_value x, double beta), huber(g, y, x, beta))
SWG__PRECISE(swg_loss_logcosh, (swg_graph *g, swg_value y, swg_value x), logcosh(g, y, x))
SWG__PRECISE(swg_loss_relative, (swg_graph *g, swg_value y, swg_value x), relative(g, y, x))
SWG__PRECISE(swg_loss_log, (swg_graph *g, swg_value a, double scale), log_of(g, a, scale))
SWG__PRECISE(swg_loss_sliced_wasserstein_with, (swg_graph *g, swg_value z, swg_value theta, swg_value prior),
             sliced_wasserstein_with(g, z, theta, prior))
SWG__PRECISE(swg_loss_sliced_wasserstein, (swg_graph *g, swg_value z, int64_t directions), sliced_wasserstein(g, z, directions))
