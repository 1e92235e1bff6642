/* swae.c - the sliced-Wasserstein autoencoders built from nn/.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/swae.h"
#include <string.h>
#include "ir/ir.h"

static const struct { const char *name; swg_swae model; } presets[] = {
    {"swae/mlp", {.input = 125, .latent = 16, .hidden_count = 1, .hidden = {512}, .activation = SWG_ACT_GELU}},
    {"swae/mlp-deep", {.input = 125, .latent = 16, .hidden_count = 2, .hidden = {512, 256}, .activation = SWG_ACT_RELU}},
};

swg_status swg_swae_preset(swg_context *ctx, const char *name, swg_swae *out) {
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(name, presets[i].name) == 0) {
            *out = presets[i].model;
            return SWG_OK;
        }
    const char *names[sizeof presets / sizeof presets[0]];
    char near[64];
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        names[i] = presets[i].name;
    return swg__fail(ctx, SWG_ENOTFOUND, "unknown network \"%s\"; there are swae/mlp and swae/mlp-deep%s", name,
                     swg__did_you_mean(name, names, sizeof names / sizeof names[0], near, sizeof near));
}

/* One half: hidden layers in order (or mirrored) and a last linear layer without activation. */
static swg_value half(swg_graph *g, swg_value x, const swg_swae *model, const char *scope, bool mirrored, int64_t last) {
    if (model->hidden_count < 0 || model->hidden_count > SWG_SWAE_LAYERS)
        return swg__graph_fail(g, SWG_EINVAL, "%s: %d hidden layers, expected 0 to %d", scope, model->hidden_count, SWG_SWAE_LAYERS);
    swg_scope_push(g, scope);
    for (int i = 0; i <= model->hidden_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "fc%d", i + 1);
        bool hidden = i < model->hidden_count;
        int64_t width = !hidden ? last : model->hidden[mirrored ? model->hidden_count - 1 - i : i];
        x = swg_linear(g, x, width, name);
        if (hidden)
            x = swg_activate(g, x, model->activation);
    }
    swg_scope_pop(g);
    return x;
}

swg_value swg_swae_encode(swg_graph *g, swg_value x, const swg_swae *model) { return half(g, x, model, "encoder", false, model->latent); }
swg_value swg_swae_decode(swg_graph *g, swg_value z, const swg_swae *model) { return half(g, z, model, "decoder", true, model->input); }

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
