/* build_layers.c - builders of activations that are no single primitive, dropout of elements, samples and channels.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"

swg_value swg_leaky_relu(swg_graph *g, swg_value x, double slope) { return swg__ew(g, SWG__LEAKY_RELU, slope, 0, 1, x, 0, 0); }

swg_value swg_elu(swg_graph *g, swg_value x, double alpha) { return swg__ew(g, SWG__ELU, alpha, 0, 1, x, 0, 0); }

/* (1 + tanh u) / 2 is sigmoid(2 u), which keeps its digits in the left tail. */
swg_value swg_gelu_tanh(swg_graph *g, swg_value x) {
    const double twice = 2 * 0.79788456080286535588; /* 2 sqrt(2 / pi) */
    swg_value u = swg_mul(g, x, swg_affine(g, swg_square(g, x), twice * .044715, twice));
    return swg_mul(g, x, swg_sigmoid(g, u));
}

swg_value swg_hard_sigmoid(swg_graph *g, swg_value x) { return swg_clamp(g, swg_affine(g, x, 1. / 6, .5), 0, 1); }
swg_value swg_hard_swish(swg_graph *g, swg_value x) { return swg_mul(g, x, swg_hard_sigmoid(g, x)); }

static bool drops(swg_graph *g, const char *what, swg_value x, double p, const char *name) {
    if (!swg__check(g, what, x))
        return false;
    if (!name || !*name)
        swg__graph_fail(g, SWG_EINVAL, "%s: no name, which its random stream is called by", what);
    else if (!(p >= 0 && p < 1))
        swg__graph_fail(g, SWG_EINVAL, "%s \"%s\": probability %g, expected 0 or more and less than 1", what, name, p);
    return g->status == SWG_OK;
}

static swg_value dropped(swg_graph *g, swg_value x, double p, uint32_t stream) {
    return swg__append(g, SWG__DROPOUT, g->dtype, swg_ndim(g, x), swg_shape(g, x), 1, &x, &(swg__attr){.f = {p}, .stream = stream});
}

swg_value swg_dropout(swg_graph *g, swg_value x, double p, const char *name) {
    if (!drops(g, "dropout", x, p, name))
        return SWG_NONE;
    return p == 0 || g->inference ? x : dropped(g, x, p, swg__stream_of(g, "dropout", name));
}

/* Keeps or drops all of what the first `axes` axes number. */
static swg_value drop_whole(swg_graph *g, const char *what, const char *stream, swg_value x, int axes, double p, const char *name) {
    if (!drops(g, what, x, p, name))
        return SWG_NONE;
    if (swg_ndim(g, x) < axes)
        return swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": input of %d dimensions, expected %d or more", what, name, swg_ndim(g, x), axes);
    if (p == 0 || g->inference)
        return x;
    int64_t shape[SWG_MAX_DIMS];
    for (int axis = 0; axis < SWG_MAX_DIMS; axis++)
        shape[axis] = axis < axes ? swg_shape(g, x)[axis] : 1;
    swg_value ones = swg_expand(g, swg_constant(g, 1), swg_ndim(g, x), shape);
    return swg_mul(g, x, dropped(g, ones, p, swg__stream_of(g, stream, name)));
}

swg_value swg_drop_path(swg_graph *g, swg_value x, double p, const char *name) { return drop_whole(g, "drop_path", "droppath", x, 1, p, name); }

swg_value swg_drop_channels(swg_graph *g, swg_value x, double p, const char *name) {
    return drop_whole(g, "drop_channels", "dropchannel", x, 2, p, name);
}
