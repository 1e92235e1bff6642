/* cyto_gan.c - the super-resolution GAN: generator, patch discriminator and their losses as one graph.
 * Source: cyto.md, sections 3.2 and 4.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "nn/losses.h"
#include "swage/cyto.h"

static const double head_slope = .01, patch_slope = .2;

/* ---- generator ---- */

swg_value swg_superres_head(swg_graph *g, swg_value x, const swg_superres *model) {
    int64_t factor = model->factor ? model->factor : 4, extent[3] = {0};
    if (!swg__check(g, "superres head", x))
        return SWG_NONE;
    int ndim = swg_ndim(g, x);
    if (ndim < 3 || ndim > 5 || factor < 1 || factor > INT32_MAX)
        return swg__graph_fail(g, SWG_EINVAL, "superres head: input of %d axes and factor %lld, expected (N, C, spatial...) and 1 or more", ndim,
                               (long long)factor);
    int64_t channels = swg_shape(g, x)[1];
    for (int axis = 2; axis < ndim; axis++)
        if (swg__mul_overflow(swg_shape(g, x)[axis], factor, &extent[axis - 2]))
            return swg__graph_fail(g, SWG_ESHAPE, "superres head: factor %lld does not fit", (long long)factor);
    const swg_conv_opts same = {.padding = {1, 1, 1}, .no_bias = true};
    swg_scope_push(g, "head");
    x = swg_resize(g, x, extent, &(swg_resize_opts){.align_corners = true});
    swg_block_begin(g);
    swg_scope_push(g, "res");
    swg_value y = swg_instance_norm(g, swg_conv(g, x, channels, 3, &same, "conv1"), "norm1", NULL);
    y = swg_instance_norm(g, swg_conv(g, swg_leaky_relu(g, y, head_slope), channels, 3, &same, "conv2"), "norm2", NULL);
    x = swg_leaky_relu(g, swg_add(g, y, x), head_slope);
    swg_scope_pop(g);
    swg_block_end(g);
    x = swg_activate(g, swg_conv(g, x, channels, 1, NULL, "out"), model->act);
    swg_scope_pop(g);
    return x;
}

/* Every voxel of the features becomes factor^axes of the result; what the source has of it is kept, so that the network learns the difference. */
static swg_value subpixel(swg_graph *g, swg_value x, const swg_superres *model) {
    const int64_t factor = model->factor ? model->factor : 4, out = model->unet.out ? model->unet.out : 1;
    swg_value features = swg_dynunet_features(g, x, &model->unet);
    if (!swg__check(g, "superres", features))
        return SWG_NONE;
    int64_t extent[3] = {0};
    for (int axis = 2; axis < swg_ndim(g, x); axis++)
        if (swg__mul_overflow(swg_shape(g, x)[axis], factor, &extent[axis - 2]))
            return swg__graph_fail(g, SWG_ESHAPE, "superres: factor %lld does not fit", (long long)factor);
    swg_scope_push(g, "head");
    swg_value y = swg_conv_transpose(g, features, out, factor, &(swg_conv_opts){.stride = {factor, factor, factor}}, "up");
    swg_scope_pop(g);
    if (swg_shape(g, x)[1] == out)
        y = swg_add(g, y, swg_resize(g, x, extent, NULL));
    return swg_activate(g, y, model->act);
}

swg_value swg_superres_apply(swg_graph *g, swg_value x, const swg_superres *model) {
    swg_scope_push(g, "generator");
    x = model->subpixel ? subpixel(g, x, model) : swg_superres_head(g, swg_dynunet_apply(g, x, &model->unet), model);
    swg_scope_pop(g);
    return x;
}

void swg_crop_common(swg_graph *g, swg_value *a, swg_value *b) {
    const int64_t begin[SWG_MAX_DIMS] = {0};
    int64_t extent[2][SWG_MAX_DIMS];
    char left[224], right[224];
    int ndim = swg_ndim(g, *a);
    if (!swg__check(g, "crop_common", *a) || !swg__check(g, "crop_common", *b))
        return;
    if (ndim < 3 || ndim != swg_ndim(g, *b)) {
        swg__graph_fail(g, SWG_ESHAPE, "crop_common: %s and %s, expected (N, C, spatial...)", swg__value_text(g, *a, left, sizeof left),
                        swg__value_text(g, *b, right, sizeof right));
        return;
    }
    for (int axis = 0; axis < ndim; axis++) {
        int64_t m = swg_shape(g, *a)[axis], n = swg_shape(g, *b)[axis];
        extent[0][axis] = axis >= 2 && n < m ? n : m;
        extent[1][axis] = axis >= 2 && m < n ? m : n;
    }
    if (memcmp(extent[0], swg_shape(g, *a), (size_t)ndim * sizeof **extent) != 0)
        *a = swg_slice(g, *a, begin, extent[0]);
    if (memcmp(extent[1], swg_shape(g, *b), (size_t)ndim * sizeof **extent) != 0)
        *b = swg_slice(g, *b, begin, extent[1]);
}

/* ---- discriminator ---- */

static bool fill(swg_graph *g, const swg_patchgan *model, swg_patchgan *m) {
    *m = *model;
    m->layers = m->layers ? m->layers : 1;
    m->filters = m->filters ? m->filters : 16;
    m->kernel = m->kernel ? m->kernel : 4;
    m->scales = m->scales ? m->scales : 1;
    if (m->layers < 1 || m->layers > SWG_PATCHGAN_LAYERS || m->scales < 1 || m->scales > SWG_PATCHGAN_SCALES || m->filters < 1 ||
        m->filters > INT32_MAX || m->kernel < 1 || m->kernel > INT32_MAX)
        swg__graph_fail(g, SWG_EINVAL, "patchgan: %d layers, %d scales, %lld filters, kernel %lld; expected 1 to %d, 1 to %d, and 1 or more", m->layers,
                        m->scales, (long long)m->filters, (long long)m->kernel, SWG_PATCHGAN_LAYERS, SWG_PATCHGAN_SCALES);
    return g->status == SWG_OK;
}

static int convolutions(const swg_patchgan *m) { return m->layers + 2; }

/* Results of convolution i. */
static int64_t width(const swg_patchgan *m, int i) { return i > m->layers ? 1 : m->filters << (i < 3 ? i : 3); }

/* "scale<scale>", then "conv<i>", which two pops leave again. */
static void enter(swg_graph *g, int scale, int i) {
    char name[48];
    snprintf(name, sizeof name, "discriminator/scale%d/conv%d", scale, i);
    swg_scope_push(g, name);
}

void swg_patchgan_params(swg_graph *g, const swg_patchgan *model, int64_t channels, int spatial_axes, swg_patchgan_weights *out) {
    swg_patchgan m;
    *out = (swg_patchgan_weights){0};
    if (!fill(g, model, &m))
        return;
    if (channels < 1 || spatial_axes < 1 || spatial_axes > 3) {
        swg__graph_fail(g, SWG_EINVAL, "patchgan: %lld channels and %d spatial axes", (long long)channels, spatial_axes);
        return;
    }
    for (int scale = 0; scale < m.scales; scale++)
        for (int i = 0; i < convolutions(&m); i++) {
            int64_t shape[SWG_MAX_DIMS] = {width(&m, i), i ? width(&m, i - 1) : channels, m.kernel, m.kernel, m.kernel};
            swg_init init = {.bound = 1 / sqrt((double)swg__shape_elements(spatial_axes + 1, shape + 1))};
            enter(g, scale, i);
            out->weight[scale][i] = swg_param(g, "weight", spatial_axes + 2, shape, init);
            out->bias[scale][i] = swg_param(g, "bias", 1, shape, init);
            swg_scope_pop(g);
        }
}

swg_patchgan_weights swg_patchgan_detach(swg_graph *g, const swg_patchgan_weights *weights) {
    swg_patchgan_weights out = {0};
    for (int scale = 0; scale < SWG_PATCHGAN_SCALES; scale++)
        for (int i = 0; i < SWG_PATCHGAN_CONVOLUTIONS && weights->weight[scale][i]; i++) {
            out.weight[scale][i] = swg_detach(g, weights->weight[scale][i]);
            out.bias[scale][i] = swg_detach(g, weights->bias[scale][i]);
        }
    return out;
}

/* x through all convolutions of a scale. */
static void score(swg_graph *g, swg_value x, const swg_patchgan *m, const swg_patchgan_weights *weights, int scale, swg_value *feature) {
    for (int i = 0; i < convolutions(m); i++) {
        swg_conv_opts opts = {0};
        for (int axis = 0; axis < 3; axis++) {
            opts.stride[axis] = i < m->layers ? 2 : 1;
            opts.padding[axis] = 1;
        }
        enter(g, scale, i);
        x = swg_convolution(g, x, weights->weight[scale][i], weights->bias[scale][i], &opts);
        if (i > 0 && i <= m->layers)
            x = swg_instance_norm(g, x, "norm", NULL);
        x = feature[i] = i <= m->layers ? swg_leaky_relu(g, x, patch_slope) : x;
        swg_scope_pop(g);
    }
}

void swg_patchgan_apply(swg_graph *g, swg_value source, swg_value image, const swg_patchgan *model, const swg_patchgan_weights *weights,
                        swg_patchgan_scores *out) {
    const swg_pool_opts half = {.kernel = {3, 3, 3}, .stride = {2, 2, 2}, .padding = {1, 1, 1}, .exclude_padding = true};
    swg_patchgan m;
    char left[224], right[224];
    *out = (swg_patchgan_scores){0};
    if (!swg__check(g, "patchgan", source) || !swg__check(g, "patchgan", image) || !fill(g, model, &m))
        return;
    int ndim = swg_ndim(g, image);
    if (ndim < 3 || ndim > 5 || ndim != swg_ndim(g, source)) {
        swg__graph_fail(g, SWG_ESHAPE, "patchgan: source %s and image %s, expected (N, C, spatial...)", swg__value_text(g, source, left, sizeof left),
                        swg__value_text(g, image, right, sizeof right));
        return;
    }
    out->scales = m.scales;
    out->convolutions = convolutions(&m);
    for (int scale = 0; scale < m.scales && g->status == SWG_OK; scale++) {
        swg_value large = swg_resize(g, source, swg_shape(g, image) + 2, &(swg_resize_opts){.nearest = true});
        score(g, swg_concat(g, (swg_value[]){large, image}, 2, 1), &m, weights, scale, out->feature[scale]);
        if (scale + 1 < m.scales) {
            source = swg_avg_pool(g, source, &half);
            image = swg_avg_pool(g, image, &half);
        }
    }
}

/* ---- losses ---- */

/* The mean over scales of what a scale gives. */
static swg_value over_scales(swg_graph *g, swg_value sum, int scales) { return swg_affine(g, sum, 1. / scales, 0); }

/* Binary cross entropy of all logits with 1 or 0. */
static swg_value judged(swg_graph *g, const swg_patchgan_scores *s, bool real) {
    swg_value sum = SWG_NONE;
    for (int scale = 0; scale < s->scales; scale++) {
        swg_value logits = s->feature[scale][s->convolutions - 1]; /* softplus(y) - y, or softplus(y) */
        swg_value loss = swg__loss_mean(g, swg_softplus(g, real ? swg_neg(g, logits) : logits));
        sum = sum ? swg_add(g, sum, loss) : loss;
    }
    return over_scales(g, sum, s->scales);
}

static swg_value matched(swg_graph *g, const swg_patchgan_scores *real, const swg_patchgan_scores *fake) {
    swg_value sum = SWG_NONE;
    for (int scale = 0; scale < real->scales; scale++)
        for (int i = 0; i < real->convolutions; i++) {
            swg_value loss = swg_loss_mae(g, fake->feature[scale][i], swg_detach(g, real->feature[scale][i]));
            sum = sum ? swg_add(g, sum, loss) : loss;
        }
    return over_scales(g, sum, real->scales);
}

static swg_value weighted(swg_graph *g, swg_value sum, swg_value term, double weight) {
    if (weight == 0)
        return sum;
    term = weight == 1 ? term : swg_affine(g, term, weight, 0);
    return sum ? swg_add(g, sum, term) : term;
}

static swg_gan_losses losses_of(swg_graph *g, swg_value fake, swg_value target, const swg_patchgan_scores *real,
                                const swg_patchgan_scores *generated, const swg_patchgan_scores *detached, const swg_gan_weights *w) {
    static const swg_gan_weights published = {1, 10, 100};
    w = w ? w : &published;
    swg_gan_losses l = {.real = judged(g, real, true), .fake = judged(g, detached, false), .adversarial = judged(g, generated, true),
                        .matching = matched(g, real, generated), .reconstruction = swg_loss_mse(g, fake, target)};
    l.discriminator = swg_affine(g, swg_add(g, l.real, l.fake), .5, 0);
    l.generator = weighted(g, SWG_NONE, l.adversarial, w->adversarial);
    l.generator = weighted(g, l.generator, l.matching, w->matching);
    l.generator = weighted(g, l.generator, l.reconstruction, w->reconstruction);
    if (!l.generator)
        swg__graph_fail(g, SWG_EINVAL, "gan: all weights of the generator's loss are 0");
    l.total = swg_add(g, l.generator, l.discriminator);
    return l;
}

/* D of the target, of the fake for the generator's sake, and of the detached fake for its own; then the losses, in f32. */
static void judge(swg_graph *g, swg_value source, swg_value fake, swg_value target, const swg_gan *model, const swg_patchgan_weights *own,
                  swg_gan_losses *losses) {
    swg_patchgan_weights fixed = swg_patchgan_detach(g, own);
    swg_patchgan_scores real, generated, detached;
    swg_crop_common(g, &fake, &target);
    swg_patchgan_apply(g, source, target, &model->discriminator, own, &real);
    swg_patchgan_apply(g, source, fake, &model->discriminator, &fixed, &generated);
    swg_patchgan_apply(g, source, swg_detach(g, fake), &model->discriminator, own, &detached);
    bool before = swg_graph_precise(g, true);
    *losses = losses_of(g, fake, target, &real, &generated, &detached, model->weights);
    swg_graph_precise(g, before);
}

/* Are they alike but for the extents? */
static bool fits(swg_graph *g, swg_value target, swg_value fake) {
    char left[224], right[224];
    if (!swg__check(g, "gan", target))
        return false;
    const int64_t *t = swg_shape(g, target), *f = swg_shape(g, fake);
    if (swg_ndim(g, target) != swg_ndim(g, fake) || t[0] != f[0] || t[1] != f[1])
        swg__graph_fail(g, SWG_ESHAPE, "gan: target %s beside what is generated, %s", swg__value_text(g, target, left, sizeof left),
                        swg__shape_text(&g->nodes[fake], right, sizeof right));
    return g->status == SWG_OK;
}

swg_value swg_gan_apply(swg_graph *g, swg_value source, swg_value target, const swg_gan *model, swg_gan_losses *losses) {
    swg_patchgan_weights own;
    swg_value fake = swg_superres_apply(g, source, &model->generator);
    if (losses)
        *losses = (swg_gan_losses){0};
    if (!fake)
        return SWG_NONE;
    swg_patchgan_params(g, &model->discriminator, swg_shape(g, source)[1] + swg_shape(g, fake)[1], swg_ndim(g, fake) - 2, &own);
    if (target && !losses)
        swg__graph_fail(g, SWG_EINVAL, "gan: a target without a place for the losses");
    if (target && g->status == SWG_OK && fits(g, target, fake))
        judge(g, source, fake, target, model, &own, losses);
    if (losses && g->status != SWG_OK)
        *losses = (swg_gan_losses){0};
    return g->status == SWG_OK ? fake : SWG_NONE;
}

swg_status swg_gan_layers(swg_context *ctx, const swg_gan *model, int ndim, const int64_t *shape, swg_layers *generator,
                          swg_layers *discriminator) {
    swg_graph *g;
    swg_patchgan_weights own;
    swg_patchgan_scores scores;
    swg_value logits[SWG_PATCHGAN_SCALES];
    swg_layers *const tables[] = {generator, discriminator};
    for (int i = 0; i < 2; i++)
        if (tables[i])
            *tables[i] = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value source = swg_input(g, "source", ndim, shape), fake = swg_superres_apply(g, source, &model->generator);
    if (fake) {
        swg_value image = swg_input(g, "image", ndim, swg_shape(g, fake));
        swg_patchgan_params(g, &model->discriminator, swg_shape(g, source)[1] + swg_shape(g, fake)[1], ndim - 2, &own);
        swg_patchgan_apply(g, source, image, &model->discriminator, &own, &scores);
        for (int scale = 0; scale < scores.scales; scale++)
            logits[scale] = scores.feature[scale][scores.convolutions - 1];
    }
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK && generator)
        status = swg_layers_of(g, &fake, 1, generator);
    if (status == SWG_OK && discriminator)
        status = swg_layers_of(g, logits, scores.scales, discriminator);
    if (status != SWG_OK && generator)
        swg_layers_free(ctx, generator);
    swg_graph_destroy(g);
    return status;
}
