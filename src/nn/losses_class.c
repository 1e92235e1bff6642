/* losses_class.c - losses of classes and masks: binary and general cross entropy, Dice.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/losses.h"

/* Resolves 0 to axis 1 and negative axes. */
static bool find_axis(swg_graph *g, const char *loss, swg_value y, int *axis) {
    int ndim = swg_ndim(g, y);
    *axis = *axis == 0 ? 1 : *axis < 0 ? ndim + *axis : *axis;
    if (*axis < 1 || *axis >= ndim)
        swg__graph_fail(g, SWG_ESHAPE, "%s: channel axis %d of %d axes (samples are axis 0)", loss, *axis, ndim);
    return g->status == SWG_OK;
}

/* softplus(y) - y x has no overflow and keeps its digits for confident predictions. */
static swg_value bce_logits(swg_graph *g, swg_value y, swg_value x) {
    if (!swg__loss_takes(g, "bce_logits loss", y, x))
        return SWG_NONE;
    if (g->nodes[y].op == SWG__SIGMOID)
        return swg__graph_fail(g, SWG_EINVAL, "bce_logits loss: the prediction is a sigmoid; give what goes into it");
    return swg__loss_mean(g, swg_sub(g, swg_softplus(g, y), swg_mul(g, y, x)));
}

static swg_value dice(swg_graph *g, swg_value y, swg_value x, int channel_axis) {
    if (!swg__loss_takes(g, "dice loss", y, x) || !find_axis(g, "dice loss", y, &channel_axis))
        return SWG_NONE;
    const double smooth = 1e-5;
    int ndim = swg_ndim(g, y);
    uint32_t axes = ((1u << ndim) - 1) & ~(1u | 1u << channel_axis);
    swg_value s = swg_sigmoid(g, y), both = swg_mul(g, s, x), all = swg_add(g, s, x);
    if (axes) {
        both = swg_sum(g, both, axes);
        all = swg_sum(g, all, axes);
    }
    swg_value ratio = swg_div(g, swg_affine(g, both, 2, smooth), swg_affine(g, all, 1, smooth));
    return swg_affine(g, swg__loss_mean(g, ratio), -1, 1);
}

/* log softmax along any axis; the shift by the maximum is a constant for the gradient, which it does not change. */
static swg_value log_probabilities(swg_graph *g, swg_value y, int axis) {
    swg_value z = swg_sub(g, y, swg_detach(g, swg_reduce_max(g, y, 1u << axis)));
    return swg_sub(g, z, swg_log(g, swg_sum(g, swg_exp(g, z), 1u << axis)));
}

/* 0, 1, 2, ... along `axis`, extent 1 elsewhere. */
static swg_value numbers(swg_graph *g, int ndim, int axis, int64_t count) {
    int64_t shape[SWG_MAX_DIMS];
    double *values = swg__alloc(g->ctx, (size_t)count * sizeof *values);
    if (!values)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for %lld classes", (long long)count);
    for (int64_t i = 0; i < count; i++)
        values[i] = (double)i;
    for (int i = 0; i < ndim; i++)
        shape[i] = i == axis ? count : 1;
    swg_value v = swg_constant_array(g, ndim, shape, values);
    swg__free(g->ctx, values);
    return v;
}

/* The target with an axis of 1 where the classes are; SWG_NONE, with an error, if it does not fit. */
static swg_value class_column(swg_graph *g, swg_value y, swg_value target, int axis) {
    int64_t shape[SWG_MAX_DIMS];
    int ndim = swg_ndim(g, y);
    const swg__node *p = &g->nodes[y], *t = &g->nodes[target];
    bool fits = t->ndim == ndim - 1 || (t->ndim == ndim && t->shape[axis] == 1);
    for (int i = 0; i < ndim; i++) {
        shape[i] = i == axis ? 1 : p->shape[i];
        if (i != axis && fits)
            fits = t->shape[i - (t->ndim < ndim && i > axis)] == p->shape[i];
    }
    char left[224], right[224];
    if (!fits)
        return swg__graph_fail(g, SWG_ESHAPE, "cross_entropy loss: target %s fits neither prediction %s nor its positions",
                               swg__value_text(g, target, left, sizeof left), swg__value_text(g, y, right, sizeof right));
    return swg_reshape(g, target, ndim, shape);
}

static swg_value cross_entropy(swg_graph *g, swg_value y, swg_value target, const swg_cross_entropy_opts *opts) {
    static const swg_cross_entropy_opts none = {0};
    opts = opts ? opts : &none;
    int axis = opts->channel_axis;
    if (!swg__check(g, "cross_entropy loss", y) || !swg__check(g, "cross_entropy loss", target) ||
        !find_axis(g, "cross_entropy loss", y, &axis))
        return SWG_NONE;
    int ndim = swg_ndim(g, y);
    int64_t classes = swg_shape(g, y)[axis], wide[SWG_MAX_DIMS];
    bool soft = swg__same_shape(&g->nodes[y], &g->nodes[target]) && classes > 1;
    swg_value share = target;
    if (!soft) {
        target = class_column(g, y, target, axis);
        share = target ? swg__ew(g, SWG__EQUAL, 0, 0, 2, target, numbers(g, ndim, axis, classes), 0) : SWG_NONE;
    }
    if (opts->weight) {
        if (!swg__check(g, "cross_entropy loss", opts->weight))
            return SWG_NONE;
        if (swg_elements(g, opts->weight) != classes)
            return swg__graph_fail(g, SWG_ESHAPE, "cross_entropy loss: %lld weights for %lld classes",
                                   (long long)swg_elements(g, opts->weight), (long long)classes);
        for (int i = 0; i < ndim; i++)
            wide[i] = i == axis ? classes : 1;
        share = swg_mul(g, share, swg_reshape(g, opts->weight, ndim, wide));
    }
    swg_value total = swg__loss_scalar(g, swg_sum(g, swg_mul(g, share, log_probabilities(g, y, axis)), 0));
    if (soft)
        return swg_affine(g, total, -(double)classes / (double)swg_elements(g, y), 0);
    return swg_neg(g, swg_div(g, total, swg__loss_scalar(g, swg_sum(g, share, 0))));
}

/* ---- all of a loss in f32 ---- */

SWG__PRECISE(swg_loss_bce_logits, (swg_graph *g, swg_value y, swg_value x), bce_logits(g, y, x))
SWG__PRECISE(swg_loss_dice, (swg_graph *g, swg_value y, swg_value x, int channel_axis), dice(g, y, x, channel_axis))
SWG__PRECISE(swg_loss_cross_entropy, (swg_graph *g, swg_value y, swg_value target, const swg_cross_entropy_opts *opts),
             cross_entropy(g, y, target, opts))
