/* kan.c - the denoising autoencoders with KAN layers, built from nn/.
 * Source: kan.md, sections 3.4 and 3.5.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/kan.h"
#include <string.h>
#include "ir/ir.h"

enum { HALVINGS = 3 };

/* The published network's order is 2; the published optimised layers are another function (SiLU behind the convolution). */
#define CUBIC {.intervals = 5, .order = 3, .scaler = SWG_KAN_CHANNEL, .conv_then_silu = true, .init = SWG_KAN_KAIMING}
static const struct { const char *name; swg_kan_dae model; } presets[] = {
    {"kan/dae", {.image = 3, .channels = {384, 128, 64, 16},
                 .kan = {{.intervals = 3, .order = 2}, {.intervals = 3, .order = 2}, {.intervals = 2, .order = 1}}}},
    {"kan/dae-plain", {.image = 3, .channels = {384, 128, 64, 16}, .plain = true,
                       .kan = {{.intervals = 3, .order = 2}, {.intervals = 3, .order = 2}, {.intervals = 2, .order = 1}}}},
    {"kan/dae-opt", {.image = 3, .channels = {384, 128, 64, 16}, .kan = {CUBIC, CUBIC, CUBIC}, .no_bias = true, .eca = true, .dropout = .1,
                     .residual = true}},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

swg_status swg_kan_dae_preset(swg_context *ctx, const char *name, swg_kan_dae *out) {
    char near[64];
    const char *names[PRESETS];
    for (int i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, presets[i].name) == 0) {
            *out = presets[i].model;
            return SWG_OK;
        }
    }
    return swg__fail(ctx, SWG_ENOTFOUND, "unknown network \"%s\"; there are kan/dae, kan/dae-plain, kan/dae-opt%s", name,
                     swg__did_you_mean(name, names, PRESETS, near, sizeof near));
}

/* ---- parts ---- */

/* Convolution of stride `stride`, batch norm, ELU: C of the specification with stride 2. */
static swg_value conv(swg_graph *g, swg_value x, const swg_kan_dae *model, int64_t channels, int64_t stride, const char *name) {
    const swg_conv_opts opts = {.stride = {stride, stride}, .padding = {1, 1}, .no_bias = model->no_bias};
    swg_scope_push(g, name);
    x = swg_elu(g, swg_batch_norm(g, swg_conv(g, x, channels, 3, &opts, "conv"), "bn", NULL), 1);
    swg_scope_pop(g);
    return x;
}

static swg_value down(swg_graph *g, swg_value x, const swg_kan_dae *model, int64_t channels, const char *name) {
    return conv(g, x, model, channels, 2, name);
}

/* Transposed convolution to twice the extent, batch norm, ELU: T of the specification. */
static swg_value up(swg_graph *g, swg_value x, const swg_kan_dae *model, int64_t channels, const char *name) {
    const swg_conv_opts opts = {.stride = {2, 2}, .padding = {1, 1}, .output_padding = {1, 1}, .no_bias = model->no_bias};
    swg_scope_push(g, name);
    x = swg_elu(g, swg_batch_norm(g, swg_conv_transpose(g, x, channels, 3, &opts, "deconv"), "bn", NULL), 1);
    swg_scope_pop(g);
    return x;
}

/* A KAN layer, or two convolutions with about its parameters: `channels` to n channels. */
static swg_value kan(swg_graph *g, swg_value x, const swg_kan_dae *model, int layer, int64_t n, int64_t kernel, const char *name) {
    const swg_kan_opts *o = &model->kan[layer];
    const int64_t pad = kernel / 2;
    if (!model->plain)
        return swg_kan_conv(g, x, n, kernel, o, &(swg_conv_opts){.padding = {pad, pad}}, name);
    const swg_conv_opts opts = {.padding = {pad, pad}, .no_bias = true};
    swg_scope_push(g, name);
    x = swg_elu(g, swg_conv(g, x, n * (o->intervals + o->order + 2) / 2, kernel, &opts, "conv1"), 1);
    x = swg_conv(g, x, n, kernel, &opts, "conv2");
    swg_scope_pop(g);
    return x;
}

/* The KAN layer at the lowest level with what follows it there. */
static swg_value low(swg_graph *g, swg_value x, const swg_kan_dae *model, int layer) {
    x = kan(g, x, model, layer, model->channels[2], 3, "kan");
    x = model->eca ? swg_eca(g, x, "eca") : x;
    x = model->dropout > 0 ? swg_drop_channels(g, x, model->dropout, "dropout") : x;
    return swg_batch_norm(g, x, "bn", NULL);
}

/* What the encoder leaves for others. */
typedef struct features { swg_value e1, e2, encoded; } features;

static void encoder(swg_graph *g, swg_value x, const swg_kan_dae *model, features *out) {
    const int64_t *c = model->channels;
    swg_scope_push(g, "encoder");
    out->e1 = down(g, x, model, c[0], "e1");
    out->e2 = down(g, out->e1, model, c[1], "e2");
    swg_value h = low(g, down(g, out->e2, model, c[2], "e3"), model, SWG_KAN_DAE_ENCODER);
    h = swg_add(g, up(g, h, model, c[1], "d1"), out->e2);
    out->encoded = swg_add(g, up(g, h, model, c[0], "d2"), out->e1);
    swg_scope_pop(g);
}

static swg_value compress(swg_graph *g, swg_value encoded, const swg_kan_dae *model) {
    const swg_bam_opts bam = {.frozen = model->bam_frozen};
    swg_scope_push(g, "bottleneck");
    swg_value h = swg_bam(g, down(g, encoded, model, model->channels[0], "c1"), &bam, "bam1");
    swg_value z = swg_bam(g, down(g, h, model, model->channels[3], "c2"), &bam, "bam2");
    swg_scope_pop(g);
    return z;
}

/* e: what the residuals add, or NULL. */
static swg_value decoder(swg_graph *g, swg_value z, const swg_kan_dae *model, const features *e) {
    const int64_t *c = model->channels;
    swg_scope_push(g, "bottleneck");
    swg_value h = up(g, z, model, c[1], "d1");
    swg_scope_pop(g);
    swg_scope_push(g, "decoder");
    h = up(g, h, model, c[1], "d1");
    h = down(g, down(g, h, model, c[1], "c1"), model, c[2], "c2");
    h = up(g, low(g, h, model, SWG_KAN_DAE_DECODER), model, c[1], "d2");
    h = up(g, e ? swg_add(g, h, e->e2) : h, model, c[0], "d3");
    h = up(g, e ? swg_add(g, h, e->e1) : h, model, c[0], "d4");
    h = kan(g, conv(g, h, model, model->image, 1, "out"), model, SWG_KAN_DAE_OUTPUT, model->image, 1, "kan_out");
    swg_scope_pop(g);
    return h;
}

static bool check(swg_graph *g, swg_value v, const swg_kan_dae *model, bool latents) {
    char text[224];
    if (!swg__check(g, "kan dae", v))
        return false;
    int64_t channels = latents ? model->channels[3] : model->image, multiple = latents ? 1 : 1 << HALVINGS;
    const int64_t *shape = swg_shape(g, v);
    for (int i = 0; i < 4; i++)
        if (model->channels[i] < 1)
            swg__graph_fail(g, SWG_EINVAL, "kan dae: channels %lld, %lld, %lld, %lld, expected 1 or more", (long long)model->channels[0],
                            (long long)model->channels[1], (long long)model->channels[2], (long long)model->channels[3]);
    if (swg_ndim(g, v) != 4 || shape[1] != channels || shape[2] % multiple || shape[3] % multiple)
        swg__graph_fail(g, SWG_ESHAPE, "kan dae: %s %s; expected (N, %lld, H, W)%s", latents ? "latents" : "images",
                        swg__value_text(g, v, text, sizeof text), (long long)channels, latents ? "" : " with H and W divisible by 8");
    return g->status == SWG_OK;
}

/* ---- public ---- */

void swg_kan_dae_apply(swg_graph *g, swg_value x, const swg_kan_dae *model, swg_value *encoded, swg_value *decoded, swg_value *z) {
    features f = {0};
    swg_value latents = SWG_NONE, image = SWG_NONE;
    if (check(g, x, model, false)) {
        encoder(g, x, model, &f);
        latents = compress(g, f.encoded, model);
        image = decoder(g, latents, model, model->residual ? &f : NULL);
    }
    const struct { swg_value *to, value; } results[] = {{encoded, f.encoded}, {decoded, image}, {z, latents}};
    for (int i = 0; i < 3; i++)
        if (results[i].to)
            *results[i].to = g->status == SWG_OK ? results[i].value : SWG_NONE;
}

swg_value swg_kan_dae_encode(swg_graph *g, swg_value x, const swg_kan_dae *model) {
    features f = {0};
    if (!check(g, x, model, false))
        return SWG_NONE;
    encoder(g, x, model, &f);
    return compress(g, f.encoded, model);
}

swg_value swg_kan_dae_decode(swg_graph *g, swg_value z, const swg_kan_dae *model) {
    if (model->residual)
        return swg__graph_fail(g, SWG_EINVAL, "kan dae: the decoder adds e1 and e2 of the encoder, so z alone does not decode; "
                               "use model.residual=false, or give it the image");
    return check(g, z, model, true) ? decoder(g, z, model, NULL) : SWG_NONE;
}

swg_status swg_kan_dae_layers(swg_context *ctx, const swg_kan_dae *model, int64_t batch, int64_t height, int64_t width, swg_layers *out) {
    swg_graph *g;
    swg_value decoded;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_kan_dae_apply(g, swg_input(g, "x", 4, (int64_t[]){batch, model->image, height, width}), model, NULL, &decoded, NULL);
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK)
        status = swg_layers_of(g, &decoded, 1, out);
    swg_graph_destroy(g);
    return status;
}
