/* attention_image.c - gates for the channels and positions of images: bottleneck attention (Park et al. 2018, BAM) and efficient channel
 * attention (Wang et al. 2020, ECA-Net).
 * Source: kan.md, section 3.4.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "ir/ir.h"
#include "swage/nn.h"

/* (N, C, spatial...), one to three spatial axes? */
static bool takes(swg_graph *g, const char *what, swg_value x, const char *name) {
    if (!swg__check(g, what, x))
        return false;
    if (swg_ndim(g, x) < 3 || swg_ndim(g, x) > 5)
        swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": input of %d dimensions, expected 3 to 5: (N, C, spatial...)", what, name, swg_ndim(g, x));
    return g->status == SWG_OK;
}

/* Mean over all positions, as (N, C) or, with `one`, (N, 1, C). */
static swg_value mean_of(swg_graph *g, swg_value x, bool one) {
    int64_t n = swg_shape(g, x)[0], c = swg_shape(g, x)[1];
    swg_value m = swg_mean(g, x, ((1u << swg_ndim(g, x)) - 1) & ~3u);
    return one ? swg_reshape(g, m, 3, (int64_t[]){n, 1, c}) : swg_reshape(g, m, 2, (int64_t[]){n, c});
}

/* One number per sample and channel, broadcasting against x. */
static swg_value wide(swg_graph *g, swg_value v, swg_value x) {
    int64_t shape[SWG_MAX_DIMS] = {swg_shape(g, x)[0], swg_shape(g, x)[1], 1, 1, 1, 1};
    return swg_reshape(g, v, swg_ndim(g, x), shape);
}

static swg_value channel_gate(swg_graph *g, swg_value x, int64_t r, bool frozen) {
    swg_scope_push(g, "channel");
    swg_value h = swg_relu(g, swg_linear(g, mean_of(g, x, false), r, "fc1"));
    h = swg_batch_norm(g, swg_linear(g, h, swg_shape(g, x)[1], "fc2"), "bn", &(swg_norm_opts){.frozen = frozen});
    swg_scope_pop(g);
    return wide(g, h, x);
}

static swg_value spatial_gate(swg_graph *g, swg_value x, int64_t r, int64_t dilation) {
    const swg_conv_opts dilated = {.dilation = {dilation, dilation, dilation}, .padding = {dilation, dilation, dilation}};
    swg_scope_push(g, "spatial");
    swg_value h = swg_conv(g, x, r, 1, NULL, "conv1");
    h = swg_relu(g, swg_batch_norm(g, swg_conv(g, h, r, 3, &dilated, "conv2"), "bn2", NULL));
    h = swg_relu(g, swg_batch_norm(g, swg_conv(g, h, r, 3, &dilated, "conv3"), "bn3", NULL));
    h = swg_batch_norm(g, swg_conv(g, h, 1, 1, NULL, "conv4"), "bn4", NULL);
    swg_scope_pop(g);
    return h;
}

swg_value swg_bam(swg_graph *g, swg_value x, const swg_bam_opts *opts, const char *name) {
    static const swg_bam_opts none = {0};
    opts = opts ? opts : &none;
    name = name ? name : "";
    if (!takes(g, "bam", x, name))
        return SWG_NONE;
    int64_t reduction = opts->reduction ? opts->reduction : 16, dilation = opts->dilation ? opts->dilation : 4, channels = swg_shape(g, x)[1];
    if (reduction < 1 || dilation < 1)
        return swg__graph_fail(g, SWG_EINVAL, "bam \"%s\": reduction %lld, dilation %lld, expected 1 or more", name, (long long)reduction,
                               (long long)dilation);
    if (swg_shape(g, x)[0] == 1 && !g->inference && !opts->frozen)
        return swg__graph_fail(g, SWG_ESHAPE, "bam \"%s\": training with a batch of 1, over which the channel gate's batch norm has no variance; "
                               "use a batch of 2 or more, or model.bam_norm=eval (running statistics)", name);
    int64_t r = channels < reduction ? 1 : channels / reduction;
    swg_scope_push(g, name);
    swg_value a = channel_gate(g, x, r, opts->frozen), b = spatial_gate(g, x, r, dilation);
    swg_value y = swg_add(g, x, swg_mul(g, x, swg_sigmoid(g, swg_add(g, a, b))));
    swg_scope_pop(g);
    return y;
}

int64_t swg_eca_kernel(int64_t channels) {
    int64_t k = 0;
    while (k < 31 && (int64_t)1 << 2 * (k + 1) <= 2 * channels) /* 4^k <= 2 c: k <= (log2 c + 1) / 2 */
        k++;
    return k | 1;
}

swg_value swg_eca(swg_graph *g, swg_value x, const char *name) {
    name = name ? name : "";
    if (!takes(g, "eca", x, name))
        return SWG_NONE;
    int64_t k = swg_eca_kernel(swg_shape(g, x)[1]);
    swg_scope_push(g, name);
    swg_value w = swg_param(g, "weight", 3, (int64_t[]){1, 1, k}, (swg_init){.bound = 1 / sqrt((double)k)});
    swg_value gate = swg_convolution(g, mean_of(g, x, true), w, SWG_NONE, &(swg_conv_opts){.padding = {k / 2}});
    swg_value y = swg_mul(g, x, wide(g, swg_sigmoid(g, gate), x));
    swg_scope_pop(g);
    return y;
}
