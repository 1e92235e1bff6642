/* cyto_mae.c - the masked autoencoder, with cross-attention from masked to visible tokens or self-attention over all, and a head to segment with.
 * Source: cyto.md, section 3.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo/cyto_vit.h"

swg_mae swg_mae_published(int dims) {
    return (swg_mae){.vit = {.dims = dims, .extent = {16, 16, dims == 3 ? 16 : 0}, .patch = 2, .width = 16, .depth = 2, .heads = 1},
                     .mask_ratio = .75, .decoder_width = 192, .decoder_heads = 8, .decoder_depth = 1};
}

int64_t swg_mae_visible(const swg_mae *model) { return (int64_t)((double)swg_vit_tokens(&model->vit) * (1 - model->mask_ratio)); }

/* Voxels of a patch. */
static int64_t patch_voxels(const swg_vit *vit) { return vit->dims == 3 ? vit->patch * vit->patch * vit->patch : vit->patch * vit->patch; }

/* ---- images and patches ---- */

/* (N, 1, spatial...) to (N, tokens, voxels of a patch). With samples and planes of patches in one axis six are enough. */
static swg_value cut(swg_graph *g, swg_value x, const swg_vit *vit) {
    const int64_t n = swg_shape(g, x)[0], p = vit->patch, *e = vit->extent;
    if (vit->dims == 3)
        x = swg_permute(g, swg_reshape(g, x, 6, (int64_t[]){n * e[0] / p, p, e[1] / p, p, e[2] / p, p}), (int[]){0, 2, 4, 1, 3, 5});
    else
        x = swg_permute(g, swg_reshape(g, x, 5, (int64_t[]){n, e[0] / p, p, e[1] / p, p}), (int[]){0, 1, 3, 2, 4});
    return swg_reshape(g, x, 3, (int64_t[]){n, swg_vit_tokens(vit), patch_voxels(vit)});
}

/* And back. */
static swg_value assemble(swg_graph *g, swg_value patches, const swg_vit *vit) {
    if (!patches)
        return SWG_NONE;
    const int64_t n = swg_shape(g, patches)[0], p = vit->patch, *e = vit->extent;
    if (vit->dims == 3)
        patches = swg_permute(g, swg_reshape(g, patches, 6, (int64_t[]){n * e[0] / p, e[1] / p, e[2] / p, p, p, p}), (int[]){0, 3, 1, 4, 2, 5});
    else
        patches = swg_permute(g, swg_reshape(g, patches, 5, (int64_t[]){n, e[0] / p, e[1] / p, p, p}), (int[]){0, 1, 3, 2, 4});
    return swg_reshape(g, patches, 2 + vit->dims, (int64_t[]){n, 1, e[0], e[1], e[2]});
}

/* Which tokens are seen. */
typedef struct choice {
    int64_t visible, masked;            /* how many */
    swg_value seen, hidden;             /* indices (N, visible), (N, masked); SWG_NONE where all are seen */
    swg_value mask;                     /* (N, tokens, 1): 1 where masked */
    swg_value image;                    /* the same per voxel */
} choice;

static void choose(swg_graph *g, swg_value x, swg_value scores, const swg_mae *model, choice *out) {
    const int64_t n = swg_shape(g, x)[0], tokens = swg_vit_tokens(&model->vit);
    *out = (choice){.visible = swg_mae_visible(model)};
    out->masked = tokens - out->visible;
    const int64_t shape[3] = {n, tokens, 1};
    swg_value one = swg_constant(g, 1);
    swg_scope_push(g, "mask");
    if (out->masked) {
        swg_value order = swg_argsort(g, scores ? scores : swg_random_uniform(g, "mae:scores", 2, shape), 1);
        out->seen = swg__vit_pick(g, order, 0, out->visible);
        out->hidden = swg__vit_pick(g, order, out->visible, out->masked);
        swg_value ones = swg_expand(g, one, 3, (int64_t[]){n, out->masked, 1});
        out->mask = swg_scatter_add(g, ones, out->hidden, 1, tokens);
    } else {
        out->mask = swg_expand(g, swg_constant(g, 0), 3, shape);
    }
    out->image = assemble(g, swg_expand(g, out->mask, 3, (int64_t[]){n, tokens, patch_voxels(&model->vit)}), &model->vit);
    swg_scope_pop(g);
}

/* ---- encoder ---- */

/* Mean of the blocks' results, each normed, by learned weights that start equal. results: depth + 1 of them, what went into the first first. */
static swg_value weigh(swg_graph *g, const swg_value *results, const swg_mae *model) {
    const int depth = model->vit.depth, first = model->weigher_published ? 0 : 1;
    char name[24];
    swg_scope_push(g, "weigher");
    swg_value weight = swg_param(g, "weight", 2, (int64_t[]){1, depth}, (swg_init){.value = 1.0 / depth}), sum = SWG_NONE;
    for (int i = 0; i < depth; i++) {
        snprintf(name, sizeof name, "norm%d", i);
        swg_value share = swg_reshape(g, swg_slice(g, weight, (int64_t[]){0, i}, (int64_t[]){1, 1}), 1, (int64_t[]){1});
        swg_value part = swg_mul(g, swg__vit_norm(g, NULL, results[first + i], name), share);
        sum = sum ? swg_add(g, sum, part) : part;
    }
    sum = swg_add(g, sum, swg_param(g, "bias", 1, (int64_t[]){1}, (swg_init){0}));
    if (model->weigher_published) /* the last block is in the graph, and without effect */
        sum = swg_add(g, sum, swg_affine(g, results[depth], 0, 0));
    swg_scope_pop(g);
    return sum;
}

/* (N, 1 + tokens that are seen, width); seen: NULL for all. */
static swg_value encoder(swg_graph *g, swg_value x, const choice *seen, const swg_mae *model) {
    const int64_t n = swg_shape(g, x)[0];
    const swg_vit *vit = &model->vit;
    swg_value results[SWG_VIT_DEPTH + 1];
    swg_scope_push(g, "encoder");
    if (seen && seen->hidden && model->context) /* without context no kernel reaches from a seen patch into a masked one */
        x = swg_mul(g, x, swg_affine(g, seen->image, -1, 1));
    swg_value tokens = swg__vit_tokens(g, NULL, x, vit, model->context);
    tokens = seen && seen->seen ? swg_gather(g, tokens, seen->seen, 1) : tokens;
    swg_scope_push(g, "class_token");
    swg_value class = swg_expand(g, swg__vit_token(g, NULL, 1, vit->width), 3, (int64_t[]){n, 1, vit->width});
    results[0] = swg_concat(g, (swg_value[]){class, tokens}, 2, 1);
    swg_scope_pop(g);
    for (int i = 0; i < vit->depth; i++)
        results[i + 1] = swg__vit_block(g, NULL, results[i], SWG_NONE, vit->heads, i);
    swg_value features = swg__vit_norm(g, NULL, weigh(g, results, model), "norm");
    swg_scope_pop(g);
    return features;
}

/* ---- decoder ---- */

/* Columns [first, first + count) of axis 1. */
static swg_value part_of(swg_graph *g, swg_value x, int64_t first, int64_t count) {
    return x ? swg_slice(g, x, (int64_t[]){0, first, 0}, (int64_t[]){swg_shape(g, x)[0], count, swg_shape(g, x)[2]}) : SWG_NONE;
}

static swg_value blocks(swg_graph *g, swg_value x, swg_value context, const swg_mae *model) {
    for (int i = 0; i < model->decoder_depth; i++)
        x = swg__vit_block(g, NULL, x, context, model->decoder_heads, i);
    return swg__vit_norm(g, NULL, x, "norm");
}

/* Masked tokens ask, the seen ones and the class token answer: (N, masked, width). */
static swg_value cross(swg_graph *g, swg_value f, const choice *c, const swg_mae *model) {
    const int64_t width = model->decoder_width, tokens = swg_vit_tokens(&model->vit), n = f ? swg_shape(g, f)[0] : 1;
    swg_scope_push(g, "position");
    swg_value table = swg__vit_positions(g, NULL, &model->vit, 1 + tokens, width);
    swg_value class = swg_expand(g, swg_slice(g, table, (int64_t[]){0, 0}, (int64_t[]){1, width}), 3, (int64_t[]){n, 1, width});
    table = swg_slice(g, table, (int64_t[]){1, 0}, (int64_t[]){tokens, width});
    f = swg_add(g, f, swg_concat(g, (swg_value[]){class, swg__vit_rows(g, table, c->seen)}, 2, 1));
    swg_value asked = swg__vit_rows(g, table, c->hidden);
    swg_scope_pop(g);
    swg_scope_push(g, "mask_token");
    asked = swg_add(g, asked, swg__vit_token(g, NULL, 1, width));
    swg_scope_pop(g);
    return blocks(g, asked, f, model);
}

/* All tokens in place, the class token in front, which has no position: (N, tokens, width) after the blocks. */
static swg_value plain(swg_graph *g, swg_value f, const choice *c, const swg_mae *model) {
    const int64_t width = model->decoder_width, tokens = swg_vit_tokens(&model->vit);
    swg_scope_push(g, "mask_token");
    swg_value class = part_of(g, f, 0, 1), all = part_of(g, f, 1, c->visible);
    all = c->seen ? swg_scatter_add(g, all, c->seen, 1, tokens) : all;
    all = swg_add(g, all, swg_mul(g, c->mask, swg__vit_token(g, NULL, 1, width)));
    swg_scope_pop(g);
    swg_scope_push(g, "position");
    all = swg_concat(g, (swg_value[]){class, swg_add(g, all, swg__vit_positions(g, NULL, &model->vit, tokens, width))}, 2, 1);
    swg_scope_pop(g);
    return part_of(g, blocks(g, all, SWG_NONE, model), 1, tokens);
}

/* Voxels of the masked patches, in the order of c->hidden, or of all. */
static swg_value decoder(swg_graph *g, swg_value features, const choice *c, const swg_mae *model) {
    swg_scope_push(g, "decoder");
    swg_value f = swg__vit_norm(g, NULL, swg__vit_linear(g, NULL, features, model->decoder_width, "embed"), "embed_norm");
    f = model->plain ? plain(g, f, c, model) : cross(g, f, c, model);
    f = swg__vit_linear(g, NULL, f, patch_voxels(&model->vit), "head");
    swg_scope_pop(g);
    return f;
}

/* ---- public ---- */

static bool check(swg_graph *g, swg_value x, const swg_mae *model) {
    if (!swg__vit_check(g, "mae", x, &model->vit))
        return false;
    if (model->context < 0 || model->context > 64)
        swg__graph_fail(g, SWG_EINVAL, "mae: context %lld, expected 0 to 64 voxels", (long long)model->context);
    return g->status == SWG_OK;
}

static bool check_masked(swg_graph *g, swg_value x, swg_value scores, const swg_mae *model) {
    const int64_t tokens = swg_vit_tokens(&model->vit);
    if (!check(g, x, model) || (scores && !swg__vit_check_scores(g, "mae", x, scores, tokens)))
        return false;
    const int64_t visible = model->mask_ratio >= 0 && model->mask_ratio < 1 ? swg_mae_visible(model) : 0;
    if (visible < 1)
        swg__graph_fail(g, SWG_EINVAL, "mae: mask ratio %g of %lld tokens leaves none visible", model->mask_ratio, (long long)tokens);
    else if (visible == tokens && !model->plain)
        swg__graph_fail(g, SWG_EINVAL, "mae: mask ratio %g masks none of %lld tokens: cross-attention has no queries; the plain decoder would do",
                        model->mask_ratio, (long long)tokens);
    if (model->decoder_depth < 1 || model->decoder_depth > SWG_VIT_DEPTH || model->decoder_width < 1 || model->decoder_heads < 1)
        swg__graph_fail(g, SWG_EINVAL, "mae: a decoder of %d blocks of width %lld with %lld heads; expected 1 to %d blocks, 1 or more of the others",
                        model->decoder_depth, (long long)model->decoder_width, (long long)model->decoder_heads, SWG_VIT_DEPTH);
    return g->status == SWG_OK;
}

void swg_mae_apply(swg_graph *g, swg_value x, swg_value scores, const swg_mae *model, swg_mae_result *out) {
    choice c;
    *out = (swg_mae_result){0};
    if (!check_masked(g, x, scores, model))
        return;
    const int64_t tokens = swg_vit_tokens(&model->vit);
    choose(g, x, scores, model, &c);
    swg_value predicted = decoder(g, encoder(g, x, &c, model), &c, model), wanted = cut(g, x, &model->vit);
    swg_value masked = model->plain && c.hidden ? swg_gather(g, predicted, c.hidden, 1) : predicted;
    swg_scope_push(g, "image");
    out->patches = model->plain ? predicted : swg_scatter_add(g, predicted, c.hidden, 1, tokens);
    out->image = assemble(g, out->patches, &model->vit);
    out->filled = swg_where(g, c.image, out->image, x);
    swg_scope_pop(g);
    out->mask = c.image;
    out->loss = swg_loss_mse(g, masked, c.hidden ? swg_gather(g, wanted, c.hidden, 1) : wanted);
    if (g->status != SWG_OK)
        *out = (swg_mae_result){0};
}

swg_value swg_mae_encode(swg_graph *g, swg_value x, const swg_mae *model) { return check(g, x, model) ? encoder(g, x, NULL, model) : SWG_NONE; }

/* 3-wide convolution, instance norm, LeakyReLU; channels last. */
static swg_value conv(swg_graph *g, swg_value x, int64_t channels, const char *name) {
    const swg_conv_opts opts = {.padding = {1, 1, 1}, .channels_last = true, .no_bias = true};
    swg_scope_push(g, name);
    x = swg_instance_norm(g, swg_conv(g, x, channels, 3, &opts, "conv"), "norm", &(swg_norm_opts){.channel_axis = -1, .affine = SWG_AFFINE_ON});
    swg_scope_pop(g);
    return swg_leaky_relu(g, x, .01);
}

swg_value swg_mae_segment(swg_graph *g, swg_value x, const swg_mae *model, int64_t channels, int64_t classes) {
    const swg_vit *vit = &model->vit;
    if (!check(g, x, model))
        return SWG_NONE;
    swg_value f = encoder(g, x, NULL, model);
    const int64_t n = swg_shape(g, x)[0], tokens = swg_vit_tokens(vit);
    const int last = 1 + vit->dims;
    int64_t grid[5] = {n}, image[5] = {n};
    swg_conv_opts up = {.channels_last = true, .no_bias = true};
    int axes[5] = {0, last};
    for (int i = 0; i < vit->dims; i++) {
        grid[1 + i] = vit->extent[i] / vit->patch;
        image[1 + i] = vit->extent[i];
        up.stride[i] = vit->patch;
        axes[2 + i] = 1 + i;
    }
    grid[last] = vit->width;
    image[last] = 1;
    swg_scope_push(g, "head");
    swg_block_begin(g);
    swg_value h = swg_conv_transpose(g, swg_reshape(g, part_of(g, f, 1, tokens), vit->dims + 2, grid), channels, vit->patch, &up, "up");
    h = swg_concat(g, (swg_value[]){h, conv(g, swg_reshape(g, x, vit->dims + 2, image), channels, "skip")}, 2, last);
    h = conv(g, conv(g, h, channels, "conv1"), channels, "conv2");
    swg_block_end(g);
    h = swg_permute(g, swg_conv(g, h, classes, 1, &(swg_conv_opts){.channels_last = true}, "out"), axes);
    swg_scope_pop(g);
    return h;
}

swg_status swg_mae_layers(swg_context *ctx, const swg_mae *model, int64_t batch, swg_layers *out) {
    swg_graph *g;
    swg_mae_result result;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    int64_t shape[5] = {batch, 1, model->vit.extent[0], model->vit.extent[1], model->vit.extent[2]};
    swg_mae_apply(g, swg_input(g, "x", 2 + model->vit.dims, shape), SWG_NONE, model, &result);
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK)
        status = swg_layers_of(g, &result.image, 1, out);
    swg_graph_destroy(g);
    return status;
}
