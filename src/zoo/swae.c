/* swae.c - the sliced-Wasserstein autoencoders built from nn/.
 * Source: swae.md, section 3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/swae.h"
#include <string.h>
#include "ir/ir.h"

/* What the kinds made of convolutions differ in. A stage of the encoder halves the extent while it is above `least`. */
static const struct kind {
    const char *name;
    bool conv, norm;            /* norm: batch norm after a stage */
    int per_stage, stages;      /* convolutions in a stage of the encoder; fewest stages */
    int64_t edge, least;        /* 0: any edge */
} kinds[] = {
    [SWG_SWAE_MLP] = {.name = "mlp"},
    [SWG_SWAE_GMLP] = {.name = "gmlp", .stages = 1},
    [SWG_SWAE_CONV] = {"conv", true, true, 2, 2, 5, 2},
    [SWG_SWAE_CONV_OPT] = {"conv-opt", true, false, 1, 1, 0, 2},
    [SWG_SWAE_CONV7] = {"conv7", true, true, 2, 1, 7, 1},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const struct { const char *name; swg_swae model; } presets[] = {
    {"swae/mlp", {SWG_SWAE_MLP, 125, 16, 1, {512}, SWG_ACT_GELU, false, false}},
    {"swae/mlp-deep", {SWG_SWAE_MLP, 125, 16, 2, {512, 256}, SWG_ACT_RELU, false, false}},
    {"swae/gmlp", {SWG_SWAE_GMLP, 125, 16, 2, {256, 256}, SWG_ACT_GELU, false, false}},
    {"swae/conv", {SWG_SWAE_CONV, 125, 16, 4, {32, 64, 128, 256}, SWG_ACT_RELU, false, false}},
    {"swae/conv-opt", {SWG_SWAE_CONV_OPT, 125, 16, 4, {32, 64, 128, 256}, SWG_ACT_RELU, false, false}},
    {"swae/conv7", {SWG_SWAE_CONV7, 343, 16, 3, {32, 64, 128}, SWG_ACT_RELU, false, false}},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

swg_status swg_swae_preset(swg_context *ctx, const char *name, swg_swae *out) {
    char list[128] = "", near[64];
    const char *names[PRESETS];
    for (int i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, presets[i].name) == 0) {
            *out = presets[i].model;
            return SWG_OK;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", presets[i].name);
    }
    return swg__fail(ctx, SWG_ENOTFOUND, "unknown network \"%s\"; there are %s%s", name, list,
                     swg__did_you_mean(name, names, PRESETS, near, sizeof near));
}

bool swg_swae_kind_find(const char *name, swg_swae_kind *out) {
    for (int i = 0; i < KINDS; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *out = (swg_swae_kind)i;
            return true;
        }
    return false;
}

const char *swg_swae_kind_name(swg_swae_kind kind) { return kinds[kind].name; }
bool swg_swae_has_norm(const swg_swae *model) { return kinds[model->kind].norm; }

int64_t swg_swae_edge(const swg_swae *model) {
    int64_t edge = 0;
    while (edge < 1024 && edge * edge * edge < model->input)
        edge++;
    return edge * edge * edge == model->input ? edge : 0;
}

/* ---- what the halves have in common ---- */

static bool check(swg_graph *g, const char *half, const swg_swae *model) {
    const struct kind *kind = &kinds[model->kind];
    int64_t edge = swg_swae_edge(model);
    if (model->hidden_count < kind->stages || model->hidden_count > SWG_SWAE_LAYERS)
        swg__graph_fail(g, SWG_EINVAL, "%s: %d hidden layers or stages, %s has %d to %d", half, model->hidden_count, kind->name, kind->stages,
                        SWG_SWAE_LAYERS);
    else if (kind->conv && (edge < 2 || (kind->edge && edge != kind->edge)))
        swg__graph_fail(g, SWG_EINVAL, "%s: blocks of %lld values; %s takes %s", half, (long long)model->input, kind->name,
                        kind->edge == 7 ? "7x7x7 (data.block=full)" : kind->edge == 5 ? "5x5x5 (data.block=center or tile)" : "cubes");
    return g->status == SWG_OK;
}

static swg_value activate(swg_graph *g, swg_value x, const swg_swae *model, bool decoder, const char *name) {
    return model->gdn ? swg_gdn(g, x, name, decoder, 1) : swg_activate(g, x, model->activation);
}

static const char *numbered(char out[24], const char *what, int i) {
    snprintf(out, 24, "%s%d", what, i + 1);
    return out;
}

/* ---- layers of linear maps ---- */

/* One half: hidden layers in order (or mirrored) and a last linear layer without activation. */
static swg_value mlp(swg_graph *g, swg_value x, const swg_swae *model, bool decoder, int64_t last) {
    char name[24];
    for (int i = 0; i < model->hidden_count; i++) {
        x = swg_linear(g, x, model->hidden[decoder ? model->hidden_count - 1 - i : i], numbered(name, "fc", i));
        x = activate(g, x, model, decoder, numbered(name, "gdn", i));
    }
    return swg_linear(g, x, last, numbered(name, "fc", model->hidden_count));
}

/* The activation stands after the first layer of the encoder and before the last one of the decoder. */
static swg_value gmlp(swg_graph *g, swg_value x, const swg_swae *model, bool decoder, int64_t last) {
    char name[24];
    int n = model->hidden_count;
    x = swg_linear(g, x, model->hidden[decoder ? n - 1 : 0], "fc1");
    if (!decoder)
        x = activate(g, x, model, decoder, "gdn");
    for (int i = 0; i < n; i++)
        x = swg_glu_block(g, x, model->hidden[decoder ? n - 1 - i : i], model->gdn ? SWG_ACT_GELU : model->activation, numbered(name, "block", i));
    if (decoder)
        x = activate(g, x, model, decoder, "gdn");
    return swg_linear(g, x, last, "fc2");
}

/* ---- layers of convolutions ---- */

/* Extents of the encoder's stages: extent[0] is the block's edge, extent[i] what stage i leaves. */
static void extents_of(const swg_swae *model, int64_t extent[SWG_SWAE_LAYERS + 1]) {
    extent[0] = swg_swae_edge(model);
    for (int i = 0; i < model->hidden_count; i++)
        extent[i + 1] = extent[i] > kinds[model->kind].least ? (extent[i] + 1) / 2 : extent[i];
}

static swg_value conv_encoder(swg_graph *g, swg_value x, const swg_swae *model) {
    const struct kind *kind = &kinds[model->kind];
    int64_t extent[SWG_SWAE_LAYERS + 1], edge = swg_swae_edge(model);
    char name[24];
    extents_of(model, extent);
    x = swg_reshape(g, x, 5, (int64_t[]){-1, 1, edge, edge, edge});
    for (int i = 0; i < model->hidden_count; i++) {
        swg_scope_push(g, numbered(name, "stage", i));
        for (int j = 0; j < kind->per_stage; j++) {
            int64_t stride = j == 0 && extent[i + 1] < extent[i] ? 2 : 1;
            const swg_conv_opts opts = {.stride = {stride, stride, stride}, .padding = {1, 1, 1}};
            x = swg_conv(g, x, model->hidden[i], 3, &opts, numbered(name, "conv", j));
        }
        if (kind->norm)
            x = swg_batch_norm(g, x, "bn", NULL);
        x = activate(g, x, model, false, "gdn");
        swg_scope_pop(g);
    }
    x = swg_reshape(g, x, 2, (int64_t[]){-1, swg_elements(g, x) / (swg_shape(g, x) ? swg_shape(g, x)[0] : 1)});
    return swg_linear(g, x, model->latent, "fc");
}

/* How one transposed convolution of the decoder goes from extent `in` to `out`. */
typedef struct up { int64_t kernel, stride, padding, output_padding; } up;

/* Stage i of the decoder (0 leads to the block) undoes stage i of the encoder, each kind in the way it was published: conv-opt is the
 * exact mirror, conv7 doubles (7 becomes 8 and is cut), and the last layer of conv is a 2^3 kernel over 4^3 positions. */
static up up_of(const swg_swae *model, const int64_t *extent, int i) {
    bool halves = extent[i + 1] < extent[i];
    if (model->kind == SWG_SWAE_CONV && i == 0)
        return (up){2, 1, 0, 0};
    if (model->kind == SWG_SWAE_CONV_OPT)
        return (up){3, halves ? 2 : 1, 1, halves && extent[i] % 2 == 0};
    return (up){3, halves ? 2 : 1, 1, halves};
}

static swg_value conv_decoder(swg_graph *g, swg_value z, const swg_swae *model) {
    const struct kind *kind = &kinds[model->kind];
    int64_t extent[SWG_SWAE_LAYERS + 1], edge = swg_swae_edge(model);
    int n = model->hidden_count;
    char name[24];
    extents_of(model, extent);
    int64_t small = extent[n], cut[5] = {0}, size[5] = {0, 1, edge, edge, edge};
    swg_value x = swg_linear(g, z, model->hidden[n - 1] * small * small * small, "fc");
    x = swg_reshape(g, x, 5, (int64_t[]){-1, model->hidden[n - 1], small, small, small});
    for (int i = n - 1; i >= 0; i--) {
        const up u = up_of(model, extent, i);
        const swg_conv_opts opts = {.stride = {u.stride, u.stride, u.stride}, .padding = {u.padding, u.padding, u.padding},
                                    .output_padding = {u.output_padding, u.output_padding, u.output_padding}};
        swg_scope_push(g, numbered(name, "stage", n - 1 - i));
        x = swg_conv_transpose(g, x, i ? model->hidden[i - 1] : 1, u.kernel, &opts, "deconv");
        if (i && kind->norm)
            x = swg_batch_norm(g, x, "bn", NULL);
        if (i)
            x = activate(g, x, model, true, "gdn");
        swg_scope_pop(g);
    }
    if (x && swg_shape(g, x)[2] > edge) {
        size[0] = swg_shape(g, x)[0];
        x = swg_slice(g, x, cut, size);
    }
    return swg_reshape(g, x, 2, (int64_t[]){-1, model->input});
}

/* ---- public ---- */

swg_value swg_swae_encode(swg_graph *g, swg_value x, const swg_swae *model) {
    if (!check(g, "encoder", model))
        return SWG_NONE;
    swg_scope_push(g, "encoder");
    swg_value z = model->kind == SWG_SWAE_MLP ? mlp(g, x, model, false, model->latent)
                : model->kind == SWG_SWAE_GMLP ? gmlp(g, x, model, false, model->latent) : conv_encoder(g, x, model);
    if (model->latent_int8)
        z = swg_quantise_rows(g, z, "int8");
    swg_scope_pop(g);
    return z;
}

swg_value swg_swae_decode(swg_graph *g, swg_value z, const swg_swae *model) {
    if (!check(g, "decoder", model))
        return SWG_NONE;
    swg_scope_push(g, "decoder");
    swg_value y = model->kind == SWG_SWAE_MLP ? mlp(g, z, model, true, model->input)
                : model->kind == SWG_SWAE_GMLP ? gmlp(g, z, model, true, model->input) : conv_decoder(g, z, model);
    swg_scope_pop(g);
    return y;
}

swg_status swg_swae_layers(swg_context *ctx, const swg_swae *model, swg_layers *out) {
    swg_graph *g;
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value z = swg_swae_encode(g, swg_input(g, "x", 2, (int64_t[]){1, model->input}), model), y = swg_swae_decode(g, z, model);
    swg_status status = swg_graph_status(g);
    if (status == SWG_OK)
        status = swg_layers_of(g, &y, 1, out);
    swg_graph_destroy(g);
    return status;
}

static swg_value reconstruction_of(swg_graph *g, swg_swae_loss_kind kind, swg_value y, swg_value x) {
    switch (kind) {
    case SWG_SWAE_RELATIVE: return swg_loss_relative(g, y, x);
    case SWG_SWAE_LOGCOSH: return swg_loss_logcosh(g, y, x);
    case SWG_SWAE_HUBER: return swg_loss_huber(g, y, x, 1);
    case SWG_SWAE_MAE: return swg_loss_mae(g, y, x);
    case SWG_SWAE_MSE:
    case SWG_SWAE_LOG: break;
    }
    return swg_loss_mse(g, y, x);
}

swg_value swg_swae_loss_of(swg_graph *g, const swg_swae_loss *loss, swg_value x, swg_value y, swg_value z, swg_value *reconstruction,
                           swg_value *distance) {
    swg_value r = reconstruction_of(g, loss->kind, y, x), d = swg_loss_sliced_wasserstein(g, z, loss->directions);
    if (reconstruction)
        *reconstruction = r;
    if (distance)
        *distance = d;
    if (loss->kind == SWG_SWAE_LOG && !loss->log_off) {
        r = swg_loss_log(g, r, loss->scale);
        d = swg_loss_log(g, d, loss->scale);
    } else if (loss->kind == SWG_SWAE_LOG) {
        r = swg_affine(g, r, loss->scale, 0);
        d = swg_affine(g, d, loss->scale, 0);
    }
    return swg_add(g, r, swg_affine(g, d, loss->lambda, 0));
}
