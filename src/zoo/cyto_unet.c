/* cyto_unet.c - the residual dynamic U-Net with its heads and the loss of segmentation, built from nn/.
 * Source: cyto.md, sections 3.1 and 4.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "nn/losses.h"
#include "swage/cyto.h"

static const double slope = .01;

/* ---- parts ---- */

/* A model with its defaults filled in. */
typedef struct unet {
    swg_dynunet m;
    int axes;                   /* spatial */
} unet;

static swg_value kaiming(swg_graph *g, const char *name, int ndim, const int64_t *shape) {
    int64_t fan_in = swg__shape_elements(ndim - 1, shape + 1);
    return swg_param(g, name, ndim, shape, (swg_init){.deviation = sqrt(2 / (1 + slope * slope) / (double)fan_in)});
}

/* Kernel and stride along every axis; padding keeps the extent at stride 1. Transposed: nothing overlaps. */
static swg_value convolved(swg_graph *g, swg_value x, const unet *u, int64_t channels, int64_t kernel, int64_t stride, bool transposed,
                           const char *name) {
    if (!x)
        return SWG_NONE;
    int64_t in = swg_shape(g, x)[1], shape[SWG_MAX_DIMS] = {transposed ? in : channels, transposed ? channels : in};
    swg_conv_opts opts = {0};
    for (int axis = 0; axis < u->axes; axis++) {
        shape[axis + 2] = kernel;
        opts.stride[axis] = stride;
        opts.padding[axis] = transposed ? 0 : kernel / 2;
    }
    swg_scope_push(g, name);
    swg_value w = kaiming(g, "weight", u->axes + 2, shape);
    x = transposed ? swg_convolution_transpose(g, x, w, SWG_NONE, &opts) : swg_convolution(g, x, w, SWG_NONE, &opts);
    swg_scope_pop(g);
    return u->m.dropout > 0 ? swg_dropout(g, x, u->m.dropout, name) : x;
}

static swg_value conv(swg_graph *g, swg_value x, const unet *u, int64_t channels, int64_t kernel, int64_t stride, int number) {
    char name[16];
    snprintf(name, sizeof name, "conv%d", number);
    return convolved(g, x, u, channels, kernel, stride, false, name);
}

/* Instance norm, then leaky ReLU if `act`. */
static swg_value norm(swg_graph *g, swg_value x, int number, bool act) {
    char name[16];
    snprintf(name, sizeof name, "norm%d", number);
    x = swg_instance_norm(g, x, name, &(swg_norm_opts){.affine = SWG_AFFINE_ON});
    return act ? swg_leaky_relu(g, x, slope) : x;
}

/* Convolution, norm, leaky ReLU, convolution, norm; with a shortcut around them unless the model is plain; leaky ReLU. */
static swg_value level_block(swg_graph *g, swg_value x, const unet *u, int level) {
    const int64_t channels = u->m.filters[level], stride = u->m.strides[level];
    bool residual = !u->m.plain, fits = x && swg_shape(g, x)[1] == channels && stride == 1;
    swg_value y = norm(g, conv(g, x, u, channels, u->m.kernel, stride, 1), 1, true);
    y = norm(g, conv(g, y, u, channels, u->m.kernel, 1, 2), 2, !residual);
    if (residual)
        y = swg_leaky_relu(g, swg_add(g, y, fits ? x : norm(g, conv(g, x, u, channels, 1, stride, 3), 3, false)), slope);
    return y;
}

static swg_value level_down(swg_graph *g, swg_value x, const unet *u, int level) {
    char name[16];
    snprintf(name, sizeof name, level == 0 ? "input" : level == u->m.levels - 1 ? "bottleneck" : "down%d", level);
    swg_scope_push(g, name);
    swg_block_begin(g);
    x = level_block(g, x, u, level);
    swg_block_end(g);
    swg_scope_pop(g);
    return x;
}

/* To the extents and filters of `level`, from the one below. The highest one is two blocks for recomputation: the last block keeps its values,
 * and the first half of this one has the largest. */
static swg_value level_up(swg_graph *g, swg_value x, swg_value skip, const unet *u, int level) {
    char name[16];
    const int64_t channels = u->m.filters[level], stride = u->m.strides[level + 1];
    snprintf(name, sizeof name, "up%d", u->m.levels - 1 - level);
    swg_scope_push(g, name);
    swg_block_begin(g);
    x = convolved(g, x, u, channels, stride, stride, true, "deconv");
    x = swg_concat(g, (swg_value[]){x, skip}, 2, 1);
    swg_scope_push(g, "block");
    x = conv(g, x, u, channels, u->m.kernel, 1, 1);
    if (level == 0) {
        swg_block_end(g);
        swg_block_begin(g);
    }
    x = norm(g, conv(g, norm(g, x, 1, true), u, channels, u->m.kernel, 1, 2), 2, true);
    swg_block_end(g);
    swg_scope_pop(g);
    swg_scope_pop(g);
    return x;
}

/* ---- checks ---- */

static bool fill(swg_graph *g, const swg_dynunet *model, unet *u) {
    static const int64_t filters[SWG_DYNUNET_LEVELS] = {16, 32, 64, 128, 256, 320};
    *u = (unet){.m = *model};
    swg_dynunet *m = &u->m;
    m->levels = m->levels ? m->levels : 3;
    m->kernel = m->kernel ? m->kernel : 3;
    m->out = m->out ? m->out : 1;
    if (m->levels < 2 || m->levels > SWG_DYNUNET_LEVELS)
        swg__graph_fail(g, SWG_EINVAL, "dynunet: %d levels, expected 2 to %d", m->levels, SWG_DYNUNET_LEVELS);
    if (m->kernel < 1 || m->kernel % 2 == 0)
        swg__graph_fail(g, SWG_EINVAL, "dynunet: kernel %lld, expected an odd number", (long long)m->kernel);
    if (!(m->dropout >= 0 && m->dropout < 1))
        swg__graph_fail(g, SWG_EINVAL, "dynunet: dropout %g, expected [0, 1)", m->dropout);
    for (int level = 0; g->status == SWG_OK && level < m->levels; level++) {
        m->filters[level] = m->filters[level] ? m->filters[level] : filters[level];
        m->strides[level] = m->strides[level] ? m->strides[level] : level ? 2 : 1;
        if (m->filters[level] < 1 || m->strides[level] < 1 || m->strides[level] > INT32_MAX || (level == 0 && m->strides[0] != 1))
            swg__graph_fail(g, SWG_EINVAL, "dynunet: %lld filters and stride %lld at level %d, expected 1 or more, and stride 1 first",
                            (long long)m->filters[level], (long long)m->strides[level], level);
    }
    return g->status == SWG_OK;
}

static bool takes(swg_graph *g, swg_value x, unet *u) {
    char text[224];
    int ndim = swg_ndim(g, x);
    int64_t multiple = 1;
    if (ndim != 4 && ndim != 5) {
        swg__graph_fail(g, SWG_ESHAPE, "dynunet: input %s, expected (N, C, y, x) or (N, C, z, y, x)", swg__value_text(g, x, text, sizeof text));
        return false;
    }
    u->axes = ndim - 2;
    for (int level = 0; level < u->m.levels; level++)
        if (swg__mul_overflow(multiple, u->m.strides[level], &multiple)) {
            swg__graph_fail(g, SWG_EINVAL, "dynunet: the product of all strides does not fit");
            return false;
        }
    for (int axis = 2; axis < ndim; axis++)
        if (swg_shape(g, x)[axis] % multiple)
            swg__graph_fail(g, SWG_ESHAPE, "dynunet: extent %lld along axis %s does not divide by %lld, the product of all strides",
                            (long long)swg_shape(g, x)[axis], (const char *[]){"z", "y", "x"}[axis + 3 - ndim], (long long)multiple);
    return g->status == SWG_OK;
}

/* ---- public ---- */

static swg_value features(swg_graph *g, swg_value x, const swg_dynunet *model, unet *u) {
    swg_value skip[SWG_DYNUNET_LEVELS];
    if (!swg__check(g, "dynunet", x) || !fill(g, model, u) || !takes(g, x, u))
        return SWG_NONE;
    for (int level = 0; level < u->m.levels; level++)
        skip[level] = x = level_down(g, x, u, level);
    for (int level = u->m.levels - 2; level >= 0; level--)
        x = level_up(g, x, skip[level], u, level);
    return x;
}

static swg_value head(swg_graph *g, swg_value x, int64_t channels, const char *name) {
    int64_t shape[SWG_MAX_DIMS] = {channels, swg_shape(g, x)[1], 1, 1, 1};
    swg_scope_push(g, name);
    swg_value w = kaiming(g, "weight", swg_ndim(g, x), shape);
    x = swg_convolution(g, x, w, swg_param(g, "bias", 1, &channels, (swg_init){0}), NULL);
    swg_scope_pop(g);
    return x;
}

swg_value swg_dynunet_features(swg_graph *g, swg_value x, const swg_dynunet *model) {
    unet u;
    return features(g, x, model, &u);
}

swg_value swg_dynunet_apply(swg_graph *g, swg_value x, const swg_dynunet *model) {
    unet u;
    x = features(g, x, model, &u);
    return x ? head(g, x, u.m.out, "output") : SWG_NONE;
}

void swg_dynunet_heads(swg_graph *g, swg_value x, const swg_dynunet *model, const swg_cyto_head *heads, int count, swg_value *out) {
    unet u;
    x = features(g, x, model, &u);
    if (count < 1)
        swg__graph_fail(g, SWG_EINVAL, "dynunet: no heads");
    swg_scope_push(g, "heads");
    for (int i = 0; i < count; i++)
        out[i] = x ? head(g, x, heads[i].channels, heads[i].name) : SWG_NONE;
    swg_scope_pop(g);
    for (int i = 0; i < count && g->status != SWG_OK; i++)
        out[i] = SWG_NONE;
}

swg_status swg_dynunet_layers(swg_context *ctx, const swg_dynunet *model, const swg_cyto_head *heads, int count, int ndim, const int64_t *shape,
                              swg_layers *out) {
    swg_graph *g;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value one, *results = heads && count > 0 ? swg__calloc(ctx, (size_t)count, sizeof *results) : &one;
    swg_status status = results ? SWG_OK : swg__fail_memory(ctx, (size_t)count * sizeof *results, "a table of layers");
    if (results) {
        swg_value x = swg_input(g, "x", ndim, shape);
        if (heads)
            swg_dynunet_heads(g, x, model, heads, count, results);
        else
            one = swg_dynunet_apply(g, x, model);
        status = swg_graph_status(g);
    }
    if (status == SWG_OK)
        status = swg_layers_of(g, results, heads ? count : 1, out);
    if (results != &one)
        swg__free(ctx, results);
    swg_graph_destroy(g);
    return status;
}

static swg_value dice_ce(swg_graph *g, swg_value y, swg_value target, swg_dice_ce_terms *terms) {
    swg_dice_ce_terms t = {0};
    if (swg__loss_takes(g, "dice_ce loss", y, target) && swg_ndim(g, y) < 2)
        swg__graph_fail(g, SWG_ESHAPE, "dice_ce loss: logits without an axis of channels, expected (N, C, ...)");
    if (g->status == SWG_OK)
        t = (swg_dice_ce_terms){swg_loss_dice(g, y, target, 1), swg_shape(g, y)[1] == 1 ? swg_loss_bce_logits(g, y, target)
                                                                                        : swg_loss_cross_entropy(g, y, target, NULL)};
    if (terms)
        *terms = t;
    return g->status == SWG_OK ? swg_add(g, t.dice, t.ce) : SWG_NONE;
}

SWG__PRECISE(swg_loss_dice_ce, (swg_graph *g, swg_value y, swg_value target, swg_dice_ce_terms *terms), dice_ce(g, y, target, terms))
