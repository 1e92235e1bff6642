/* norm.c - batch, instance, group and layer norm from statistics and their application.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"
#include "swage/nn.h"

/* What a call asks for, defaults filled in. */
typedef struct norm {
    int axis, ndim;
    int64_t channels, shape[SWG_MAX_DIMS];  /* of x */
    int64_t wide[SWG_MAX_DIMS];             /* (1, C, 1, ...) */
    double eps, momentum;
    bool affine;
} norm;

static bool open_norm(swg_graph *g, const char *what, swg_value x, const swg_norm_opts *opts, bool affine, norm *out) {
    static const swg_norm_opts none = {0};
    opts = opts ? opts : &none;
    if (!swg__check(g, what, x))
        return false;
    *out = (norm){.ndim = swg_ndim(g, x), .eps = opts->eps == 0 ? 1e-5 : opts->eps, .momentum = opts->momentum == 0 ? .1 : opts->momentum,
                  .affine = opts->affine == SWG_AFFINE_DEFAULT ? affine : opts->affine == SWG_AFFINE_ON};
    out->axis = opts->channel_axis == 0 ? 1 : opts->channel_axis < 0 ? out->ndim + opts->channel_axis : opts->channel_axis;
    if (!(out->eps > 0) || !(out->momentum > 0 && out->momentum <= 1))
        swg__graph_fail(g, SWG_EINVAL, "%s: eps %g, expected more than 0; momentum %g, expected in (0, 1]", what, out->eps, out->momentum);
    return g->status == SWG_OK;
}

/* The channel axis must be one, and not that of the samples. */
static bool find_channels(swg_graph *g, const char *what, swg_value x, norm *n) {
    if (n->axis < 1 || n->axis >= n->ndim) {
        swg__graph_fail(g, SWG_ESHAPE, "%s: channel axis %d of %d axes (samples are axis 0)", what, n->axis, n->ndim);
        return false;
    }
    for (int i = 0; i < n->ndim; i++) {
        n->shape[i] = swg_shape(g, x)[i];
        n->wide[i] = i == n->axis ? n->shape[i] : 1;
    }
    n->channels = n->shape[n->axis];
    return true;
}

static swg_value apply(swg_graph *g, const norm *n, swg_value x, swg_value mean, swg_value variance, int weight_ndim,
                       const int64_t *weight_shape, int wide_ndim, const int64_t *wide) {
    swg_value rstd = swg_rsqrt(g, swg_affine(g, variance, 1, n->eps)), gamma = SWG_NONE, beta = SWG_NONE;
    if (n->affine) {
        gamma = swg_reshape(g, swg_param(g, "weight", weight_ndim, weight_shape, (swg_init){.value = 1}), wide_ndim, wide);
        beta = swg_reshape(g, swg_param(g, "bias", weight_ndim, weight_shape, (swg_init){0}), wide_ndim, wide);
    }
    return swg_norm_apply(g, x, mean, rstd, gamma, beta);
}

swg_value swg_batch_norm(swg_graph *g, swg_value x, const char *name, const swg_norm_opts *opts) {
    norm n;
    if (!open_norm(g, "batch_norm", x, opts, true, &n) || !find_channels(g, "batch_norm", x, &n))
        return SWG_NONE;
    bool running = !(opts && opts->no_running), frozen = opts && opts->frozen;
    if (frozen && !running)
        return swg__graph_fail(g, SWG_EINVAL, "batch_norm \"%s\": frozen, and without the running statistics it would use", name);
    int64_t count = swg_elements(g, x) / n.channels;
    swg_scope_push(g, name);
    swg_moments m = {0};
    swg_value state[2] = {0};
    if (running) {
        state[0] = swg_state(g, "running_mean", 1, &n.channels, 0);
        state[1] = swg_state(g, "running_var", 1, &n.channels, 1);
    }
    if (running && (g->inference || frozen)) {
        m = (swg_moments){swg_reshape(g, state[0], n.ndim, n.wide), swg_reshape(g, state[1], n.ndim, n.wide)};
    } else {
        if (count == 1)
            return swg__graph_fail(g, SWG_ESHAPE, "batch_norm \"%s\": one value per channel, which has no variance to train with", name);
        m = swg_norm_moments(g, x, ((1u << n.ndim) - 1) & ~(1u << n.axis));
        double unbiased = (double)count / (double)(count - 1);
        swg_value now[2] = {m.mean, m.variance};
        for (int i = 0; i < 2 && running; i++)
            swg_state_set(g, state[i], swg_add(g, swg_affine(g, state[i], 1 - n.momentum, 0),
                                               swg_affine(g, swg_reshape(g, now[i], 1, &n.channels), n.momentum * (i ? unbiased : 1), 0)));
    }
    swg_value y = apply(g, &n, x, m.mean, m.variance, 1, &n.channels, n.ndim, n.wide);
    swg_scope_pop(g);
    return y;
}

swg_value swg_instance_norm(swg_graph *g, swg_value x, const char *name, const swg_norm_opts *opts) {
    norm n;
    if (!open_norm(g, "instance_norm", x, opts, false, &n) || !find_channels(g, "instance_norm", x, &n))
        return SWG_NONE;
    if (swg_elements(g, x) == n.shape[0] * n.channels)
        return swg__graph_fail(g, SWG_ESHAPE, "instance_norm \"%s\": one value per sample and channel, which has no variance", name);
    swg_scope_push(g, name);
    swg_moments m = swg_norm_moments(g, x, ((1u << n.ndim) - 1) & ~(1u << n.axis | 1u));
    swg_value y = apply(g, &n, x, m.mean, m.variance, 1, &n.channels, n.ndim, n.wide);
    swg_scope_pop(g);
    return y;
}

/* (samples, groups, 1) to one number per sample and channel, in an axis of its own before and after. */
static swg_value per_channel(swg_graph *g, const norm *n, swg_value v, int64_t groups) {
    int64_t wide[SWG_MAX_DIMS];
    for (int i = 0; i < n->ndim; i++)
        wide[i] = i == 0 || i == n->axis ? n->shape[i] : 1;
    v = swg_expand(g, v, 3, (int64_t[]){n->shape[0], groups, n->channels / groups});
    return swg_reshape(g, v, n->ndim, wide);
}

swg_value swg_group_norm(swg_graph *g, swg_value x, int64_t groups, const char *name, const swg_norm_opts *opts) {
    norm n;
    if (!open_norm(g, "group_norm", x, opts, true, &n) || !find_channels(g, "group_norm", x, &n))
        return SWG_NONE;
    if (groups < 1 || n.channels % groups)
        return swg__graph_fail(g, SWG_ESHAPE, "group_norm \"%s\": %lld channels do not divide into %lld groups", name, (long long)n.channels,
                               (long long)groups);
    swg_scope_push(g, name);
    /* Of every channel, then of the channels of a group: var = mean(var_c + (mean_c - mean)^2). No axis is cut, so that either layout
     * of x will do. */
    const int64_t shape[3] = {n.shape[0], groups, n.channels / groups};
    swg_moments c = swg_norm_moments(g, x, ((1u << n.ndim) - 1) & ~(1u << n.axis | 1u)), m;
    swg_value mean = swg_reshape(g, c.mean, 3, shape), variance = swg_reshape(g, c.variance, 3, shape);
    m.mean = swg_mean(g, mean, 1u << 2);
    m.variance = swg_mean(g, swg_add(g, variance, swg_square(g, swg_sub(g, mean, m.mean))), 1u << 2);
    swg_value y = apply(g, &n, x, per_channel(g, &n, m.mean, groups), per_channel(g, &n, m.variance, groups), 1, &n.channels, n.ndim, n.wide);
    swg_scope_pop(g);
    return y;
}

swg_value swg_layer_norm(swg_graph *g, swg_value x, int dims, const char *name, const swg_norm_opts *opts) {
    norm n;
    if (!open_norm(g, "layer_norm", x, opts, true, &n))
        return SWG_NONE;
    if (dims < 1 || dims > n.ndim)
        return swg__graph_fail(g, SWG_ESHAPE, "layer_norm \"%s\": over the last %d of %d axes", name, dims, n.ndim);
    int64_t shape[SWG_MAX_DIMS];
    for (int i = 0; i < dims; i++)
        shape[i] = swg_shape(g, x)[n.ndim - dims + i];
    swg_scope_push(g, name);
    swg_value y;
    if (dims < n.ndim) {
        swg_value gamma = n.affine ? swg_param(g, "weight", dims, shape, (swg_init){.value = 1}) : SWG_NONE;
        swg_value beta = n.affine ? swg_param(g, "bias", dims, shape, (swg_init){0}) : SWG_NONE;
        y = swg__layer_norm(g, x, gamma, beta, dims, n.eps);
    } else { /* one row, as long as all of x */
        swg_moments m = swg_norm_moments(g, x, 0);
        y = apply(g, &n, x, m.mean, m.variance, dims, shape, dims, shape);
    }
    swg_scope_pop(g);
    return y;
}
