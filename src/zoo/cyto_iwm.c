/* cyto_iwm.c - the image world model: a student that sees a few tokens of one image predicts what its running average, the teacher, makes of the
 * others in another image of the same place.
 * Source: cyto.md, section 3.4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "zoo/cyto_vit.h"

swg_iwm swg_iwm_published(int dims, bool ijepa) {
    return (swg_iwm){.vit = {.dims = dims, .extent = {16, 16, dims == 3 ? 16 : 0}, .patch = 2, .width = 16, .depth = 1, .heads = 1},
                     .target_ratio = .9, .predictor_width = 8, .predictor_heads = 1, .predictor_depth = 1, .domains = ijepa ? 0 : 1};
}

int64_t swg_iwm_targets(const swg_iwm *model) { return (int64_t)(model->target_ratio * (double)swg_vit_tokens(&model->vit)); }

double swg_iwm_momentum(int64_t epoch, int64_t epochs) { return .998 + .002 * (double)epoch / (double)epochs; }

/* (N, tokens at `index` (N, m), or all where that is SWG_NONE, width). */
static swg_value encoder(swg_graph *g, swg__vit_leaves *leaves, swg_value x, swg_value index, const swg_vit *vit, const char *name) {
    swg_scope_push(g, name);
    swg_value tokens = swg__vit_tokens(g, leaves, x, vit, 0);
    tokens = index ? swg_gather(g, tokens, index, 1) : tokens;
    for (int i = 0; i < vit->depth; i++)
        tokens = swg__vit_block(g, leaves, tokens, SWG_NONE, vit->heads, i);
    tokens = swg__vit_norm(g, leaves, tokens, "norm");
    swg_scope_pop(g);
    return tokens;
}

/* Context beside the embedding of the target's domain, mixed: (N, m, width of the predictor). */
static swg_value mix(swg_graph *g, swg_value context, swg_value domain, const swg_iwm *model) {
    const int64_t width = model->predictor_width, *shape = context ? swg_shape(g, context) : (int64_t[]){1, 1};
    const int64_t n = shape[0], m = shape[1];
    swg_scope_push(g, "domain");
    swg_value table = swg_param(g, "weight", 2, (int64_t[]){model->domains, width}, (swg_init){0}), row;
    if (domain)
        row = swg_reshape(g, swg_matmul(g, domain, table, NULL), 3, (int64_t[]){n, 1, width});
    else
        row = swg_slice(g, table, (int64_t[]){0, 0}, (int64_t[]){1, width});
    row = swg_expand(g, row, 3, (int64_t[]){n, m, width});
    swg_scope_pop(g);
    return swg__vit_linear(g, NULL, swg_concat(g, (swg_value[]){context, row}, 2, 2), width, "mixer");
}

/* (N, targets, width of the encoder). */
static swg_value predictor(swg_graph *g, swg_value context, swg_value targets, swg_value domain, const swg_iwm *model) {
    const int64_t width = model->predictor_width, tokens = swg_vit_tokens(&model->vit);
    swg_scope_push(g, "predictor");
    context = swg__vit_linear(g, NULL, context, width, "embed");
    context = model->domains ? mix(g, context, domain, model) : context;
    swg_scope_push(g, "position");
    swg_value asked = swg__vit_rows(g, swg__vit_positions(g, NULL, &model->vit, tokens, width), targets);
    swg_scope_pop(g);
    swg_scope_push(g, "mask_token");
    asked = swg_add(g, asked, swg__vit_token(g, NULL, 1, width));
    swg_scope_pop(g);
    for (int i = 0; i < model->predictor_depth; i++)
        asked = swg__vit_block(g, NULL, asked, context, model->predictor_heads, i);
    asked = swg__vit_linear(g, NULL, swg__vit_norm(g, NULL, asked, "norm"), model->vit.width, "out");
    swg_scope_pop(g);
    return asked;
}

/* ---- public ---- */

static bool check(swg_graph *g, swg_value source, swg_value target, swg_value scores, swg_value domain, swg_value momentum, const swg_iwm *model) {
    char text[224];
    if (!swg__vit_check(g, "iwm", source, &model->vit) || !swg__vit_check(g, "iwm", target, &model->vit))
        return false;
    const int64_t n = swg_shape(g, source)[0], tokens = swg_vit_tokens(&model->vit), targets = swg_iwm_targets(model);
    if (swg_shape(g, target)[0] != n)
        swg__graph_fail(g, SWG_ESHAPE, "iwm: %lld source images, %lld targets", (long long)n, (long long)swg_shape(g, target)[0]);
    if (!(model->target_ratio > 0 && model->target_ratio < 1) || targets < 1 || targets >= tokens)
        swg__graph_fail(g, SWG_EINVAL, "iwm: a share %g of %lld tokens to predict leaves no target or no context", model->target_ratio, (long long)tokens);
    if (model->predictor_depth < 1 || model->predictor_depth > SWG_VIT_DEPTH || model->predictor_width < 1 || model->predictor_heads < 1 || model->domains < 0)
        swg__graph_fail(g, SWG_EINVAL, "iwm: a predictor of %d blocks of width %lld with %lld heads for %lld domains; expected 1 to %d blocks, 1 or more of "
                        "the others, 0 or more domains", model->predictor_depth, (long long)model->predictor_width, (long long)model->predictor_heads,
                        (long long)model->domains, SWG_VIT_DEPTH);
    if (domain && swg__check(g, "iwm", domain) && (swg_ndim(g, domain) != 2 || swg_shape(g, domain)[0] != n || swg_shape(g, domain)[1] != model->domains))
        swg__graph_fail(g, SWG_ESHAPE, "iwm: domains %s, expected (%lld, %lld)", swg__value_text(g, domain, text, sizeof text), (long long)n,
                        (long long)model->domains);
    if (!g->inference && swg__check(g, "iwm", momentum) && swg_elements(g, momentum) != 1)
        swg__graph_fail(g, SWG_ESHAPE, "iwm: momentum %s, expected one number", swg__value_text(g, momentum, text, sizeof text));
    return g->status == SWG_OK && swg__vit_check_scores(g, "iwm", source, scores, tokens);
}

void swg_iwm_apply(swg_graph *g, swg_value source, swg_value target, swg_value scores, swg_value domain, swg_value momentum, const swg_iwm *model,
                   swg_iwm_result *out) {
    swg__vit_leaves leaves = {0};
    *out = (swg_iwm_result){0};
    if (!check(g, source, target, scores, domain, momentum, model))
        return;
    const int64_t tokens = swg_vit_tokens(&model->vit), count = swg_iwm_targets(model);
    swg_scope_push(g, "mask");
    swg_value order = swg_argsort(g, scores, 1), targets = swg__vit_pick(g, order, 0, count), context = swg__vit_pick(g, order, count, tokens - count);
    swg_scope_pop(g);
    swg_value seen = encoder(g, &leaves, source, context, &model->vit, "encoder");
    out->predicted = predictor(g, seen, targets, domain, model);
    leaves.teacher = true;
    leaves.count = 0;
    leaves.rate = g->inference ? SWG_NONE : swg_affine(g, swg_reshape(g, momentum, 1, (int64_t[]){1}), -1, 1);
    out->teacher = swg_detach(g, swg_gather(g, encoder(g, &leaves, target, SWG_NONE, &model->vit, "teacher"), targets, 1));
    out->loss = swg_loss_mae(g, out->predicted, out->teacher);
    if (g->status != SWG_OK)
        *out = (swg_iwm_result){0};
}

swg_value swg_iwm_encode(swg_graph *g, swg_value x, const swg_iwm *model) {
    return swg__vit_check(g, "iwm", x, &model->vit) ? encoder(g, NULL, x, SWG_NONE, &model->vit, "encoder") : SWG_NONE;
}

swg_value swg_iwm_embed(swg_graph *g, swg_value x, const swg_iwm *model) {
    swg_value tokens = swg_iwm_encode(g, x, model);
    return tokens ? swg_reshape(g, swg_mean(g, tokens, 1u << 1), 2, (int64_t[]){swg_shape(g, tokens)[0], model->vit.width}) : SWG_NONE;
}

swg_status swg_iwm_layers(swg_context *ctx, const swg_iwm *model, int64_t batch, swg_layers *out) {
    swg_graph *g;
    swg_iwm_result result;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    const int64_t shape[5] = {batch, 1, model->vit.extent[0], model->vit.extent[1], model->vit.extent[2]};
    swg_value source = swg_input(g, "source", 2 + model->vit.dims, shape), target = swg_input(g, "target", 2 + model->vit.dims, shape);
    swg_value scores = swg_input(g, "scores", 2, (int64_t[]){batch, swg_vit_tokens(&model->vit)});
    swg_iwm_apply(g, source, target, scores, SWG_NONE, SWG_NONE, model, &result);
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK)
        status = swg_layers_of(g, &result.loss, 1, out);
    swg_graph_destroy(g);
    return status;
}
