/* gdn.c - generalised divisive normalisation and its approximate inverse (Balle, Laparra and Simoncelli 2016).
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"
#include "swage/nn.h"

/* The pool over channels is a product with |gamma|, which wants them last. */
static swg_value channels_to(swg_graph *g, swg_value x, int from, int to) {
    int axes[SWG_MAX_DIMS], ndim = swg_ndim(g, x), at = 0;
    if (from == to)
        return x;
    for (int i = 0; i < ndim; i++)
        axes[i] = i == to ? from : (at += at == from, at++);
    return swg_permute(g, x, axes);
}

swg_value swg_gdn(swg_graph *g, swg_value x, const char *name, bool inverse, int channel_axis) {
    if (!swg__check(g, "gdn", x))
        return SWG_NONE;
    int ndim = swg_ndim(g, x), axis = channel_axis == 0 ? 1 : channel_axis < 0 ? ndim + channel_axis : channel_axis;
    if (axis < 1 || axis >= ndim)
        return swg__graph_fail(g, SWG_ESHAPE, "gdn \"%s\": channel axis %d of %d axes (samples are axis 0)", name, axis, ndim);
    int64_t channels = swg_shape(g, x)[axis];
    swg_scope_push(g, name);
    swg_value beta = swg_param(g, "beta", 1, &channels, (swg_init){.value = 1});
    swg_value gamma = swg_param(g, "gamma", 2, (int64_t[]){channels, channels}, (swg_init){.value = .1, .diagonal = true});
    swg_value last = channels_to(g, x, axis, ndim - 1);
    swg_value pool = swg_matmul(g, swg_square(g, last), swg_abs(g, gamma), &(swg_matmul_opts){.trans_b = true});
    pool = swg_add(g, pool, swg_max(g, beta, swg_constant(g, 1e-6)));
    swg_value y = channels_to(g, swg_mul(g, last, inverse ? swg_sqrt(g, pool) : swg_rsqrt(g, pool)), ndim - 1, axis);
    swg_scope_pop(g);
    return y;
}
