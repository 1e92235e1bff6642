/* unet.c - a plain U-Net built from nn/: blocks of two convolutions, strided or pooled down, transposed up, skips concatenated.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/unet.h"
#include "ir/ir.h"

static swg_value normalised(swg_graph *g, swg_value x, const swg_unet *model, const char *name) {
    if (model->norm == SWG_UNET_NO_NORM)
        return x;
    const swg_norm_opts opts = {.affine = SWG_AFFINE_ON};
    return model->norm == SWG_UNET_BATCH ? swg_batch_norm(g, x, name, &opts) : swg_instance_norm(g, x, name, &opts);
}

/* Convolution without activation; the norm's shift takes the place of a bias. */
static swg_value convolved(swg_graph *g, swg_value x, const swg_unet *model, int64_t channels, int64_t kernel, int64_t stride, int number) {
    swg_conv_opts opts = {.no_bias = model->norm != SWG_UNET_NO_NORM};
    char conv[16], norm[16];
    for (int axis = 0; axis < 3; axis++) {
        opts.stride[axis] = stride;
        opts.padding[axis] = kernel / 2;
    }
    snprintf(conv, sizeof conv, "conv%d", number);
    snprintf(norm, sizeof norm, "norm%d", number);
    return normalised(g, swg_conv(g, x, channels, kernel, &opts, conv), model, norm);
}

static swg_value block(swg_graph *g, swg_value x, const swg_unet *model, int64_t channels, int64_t stride) {
    swg_value y = swg_activate(g, convolved(g, x, model, channels, 3, stride, 1), model->activation);
    if (model->dropout > 0)
        y = swg_dropout(g, y, model->dropout, "dropout");
    y = convolved(g, y, model, channels, 3, 1, 2);
    if (model->residual) {
        bool fits = y && x && swg_shape(g, x)[1] == channels && stride == 1;
        y = swg_add(g, y, fits ? x : convolved(g, x, model, channels, 1, stride, 3));
    }
    return swg_activate(g, y, model->activation);
}

static swg_value level_down(swg_graph *g, swg_value x, const swg_unet *model, int level) {
    char name[16];
    snprintf(name, sizeof name, "down%d", level);
    swg_scope_push(g, name);
    if (level > 0 && model->pool)
        x = swg_max_pool(g, x, &(swg_pool_opts){.kernel = {2, 2, 2}});
    swg_block_begin(g);
    x = block(g, x, model, model->channels[level], level > 0 && !model->pool ? 2 : 1);
    swg_block_end(g);
    swg_scope_pop(g);
    return x;
}

static swg_value level_up(swg_graph *g, swg_value below, swg_value skip, const swg_unet *model, int level) {
    char name[16];
    snprintf(name, sizeof name, "up%d", level);
    swg_scope_push(g, name);
    swg_block_begin(g);
    swg_value wide = swg_conv_transpose(g, below, model->channels[level], 2, &(swg_conv_opts){.stride = {2, 2, 2}}, "transposed");
    swg_value x = block(g, swg_concat(g, (swg_value[]){skip, wide}, 2, 1), model, model->channels[level], 1);
    swg_block_end(g);
    swg_scope_pop(g);
    return x;
}

swg_value swg_unet_apply(swg_graph *g, swg_value x, const swg_unet *model) {
    if (!swg__check(g, "unet", x))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    if (model->levels < 1 || model->levels > SWG_UNET_LEVELS)
        return swg__graph_fail(g, SWG_EINVAL, "unet: %d levels, expected 1 to %d", model->levels, SWG_UNET_LEVELS);
    if (ndim < 3 || ndim > 5)
        return swg__graph_fail(g, SWG_ESHAPE, "unet: input of %d dimensions, expected 3 to 5: (N, C, spatial...)", ndim);
    int64_t multiple = (int64_t)1 << (model->levels - 1);
    for (int axis = 2; axis < ndim; axis++)
        if (swg_shape(g, x)[axis] % multiple)
            return swg__graph_fail(g, SWG_ESHAPE, "unet: extent %lld of axis %d does not divide by %lld, which %d levels need",
                                   (long long)swg_shape(g, x)[axis], axis, (long long)multiple, model->levels);
    swg_value skip[SWG_UNET_LEVELS];
    for (int level = 0; level < model->levels; level++)
        skip[level] = x = level_down(g, x, model, level);
    for (int level = model->levels - 2; level >= 0; level--)
        x = level_up(g, x, skip[level], model, level);
    return swg_conv(g, x, model->out, 1, NULL, "head");
}
