/* family_kan.c - autoencoders of images with Kolmogorov-Arnold layers: settings, graph, tiles with noise, PSNR and SSIM.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "data/images.h"
#include "swage/quality.h"
#include "train/samples.h"

const swg__kan_layer swg__kan_layers[SWG_KAN_DAE_LAYERS] = {
    [SWG_KAN_DAE_ENCODER] = {"encoder.kan", "kan_outside_encoder"},
    [SWG_KAN_DAE_DECODER] = {"decoder.kan", "kan_outside_decoder"},
    [SWG_KAN_DAE_OUTPUT] = {"decoder.kan_out", "kan_outside_output"},
};

/* ---- settings ---- */

static swg_status read_layers(swg_context *ctx, swg_config *c, swg__recipe_kan *k) {
    for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++) {
        swg_kan_opts *o = &k->network.kan[i];
        if (i != SWG_KAN_DAE_OUTPUT) {
            o->intervals = swg_config_int(c, "kan.grid_size");
            o->order = swg_config_int(c, "kan.spline_order");
        }
        o->low = swg_config_float(c, "kan.low");
        o->high = swg_config_float(c, "kan.high");
        o->conv_then_silu = swg_config_is(c, "kan.base", "conv-then-silu");
        o->scaler = swg_config_is(c, "kan.scaler", "edge") ? SWG_KAN_EDGE : swg_config_is(c, "kan.scaler", "channel") ? SWG_KAN_CHANNEL : SWG_KAN_NO_SCALER;
        o->init = swg_config_is(c, "kan.init", "kaiming") ? SWG_KAN_KAIMING : SWG_KAN_NOISE_FIT;
        o->scale_base = swg_config_float(c, "kan.scale_base");
        o->scale_spline = swg_config_float(c, "kan.scale_spline");
        o->adaptive = k->update_every > 0;
        if (!(o->low < o->high))
            return swg__fail(ctx, SWG_EUSAGE, "kan.low=%g, kan.high=%g: the grid must ascend", o->low, o->high);
    }
    return SWG_OK;
}

static swg_status read_network(swg_context *ctx, swg_config *c, swg__recipe_kan *k) {
    swg_kan_dae *n = &k->network;
    const char *name = swg_config_string(c, "model.name");
    char preset[64];
    snprintf(preset, sizeof preset, "kan/%s", name ? name : "");
    if (swg_kan_dae_preset(ctx, preset, n) != SWG_OK)
        return swg__fail(ctx, SWG_EUSAGE, "model.name=%s: family kan has dae, dae-plain and dae-opt", name ? name : "");
    if (swg_config_count(c, "model.channels") != 4)
        return swg__fail(ctx, SWG_EUSAGE, "model.channels: %lld numbers, expected four: at 1/2, 1/4 and 1/8 of the side, and of z",
                         (long long)swg_config_count(c, "model.channels"));
    for (int i = 0; i < 4; i++)
        n->channels[i] = swg_config_int_at(c, "model.channels", i);
    n->no_bias = !swg_config_bool(c, "model.bias");
    n->eca = swg_config_bool(c, "model.eca");
    n->dropout = swg_config_float(c, "model.dropout");
    n->residual = swg_config_bool(c, "model.residual");
    n->bam_frozen = swg_config_is(c, "model.bam_norm", "eval");
    if (n->plain && (k->regular > 0 || k->update_every))
        return swg__fail(ctx, SWG_EUSAGE, "model.name=dae-plain has no KAN layers; loss.kan and kan.update_every are for the others");
    return read_layers(ctx, c, k);
}

static swg_status read_noise(swg_context *ctx, swg_config *c, swg__recipe_kan *k) {
    const char *augment = swg_config_string(c, "data.augment");
    k->noise = (swg__noise){.sigma = swg_config_float(c, "noise.sigma"), .peak = swg_config_float(c, "noise.peak"),
                            .amount = swg_config_float(c, "noise.amount"), .clip = swg_config_bool(c, "noise.clip")};
    SWG__TRY(swg__noise_parse(ctx, swg_config_string(c, "noise.name"), &k->noise.kind));
    SWG__TRY(swg__noise_check(ctx, &k->noise));
    bool denoise = swg_config_is(c, "task", "denoise");
    if (denoise && k->noise.kind == SWG__NOISE_NONE)
        return swg__fail(ctx, SWG_EUSAGE, "task=denoise with noise=none: there is nothing to remove; say noise=gauss, rect, rect+gauss, poisson or "
                         "saltpepper, or task=autoencode");
    if (!denoise && k->noise.kind != SWG__NOISE_NONE)
        return swg__fail(ctx, SWG_EUSAGE, "task=autoencode with noise=%s: the input is the target there; say task=denoise",
                         swg__noise_name(k->noise.kind));
    return augment && strcmp(augment, "none") != 0 ? swg__augment_parse(ctx, augment, &k->augment) : SWG_OK;
}

static swg_status read_settings(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg__recipe_kan *k = &r->kan;
    k->tile = swg_config_int(c, "data.tile");
    k->ssim = swg_config_is(c, "loss.name", "mse+ssim") ? swg_config_float(c, "loss.ssim") : 0;
    k->regular = swg_config_float(c, "loss.kan");
    k->curriculum = swg_config_bool(c, "loss.kan_curriculum");
    k->update_every = swg_config_has(c, "kan.update_every") ? swg_config_int(c, "kan.update_every") : 0;
    SWG__TRY(swg_config_status(c));
    if (k->tile % 8)
        return swg__fail(ctx, SWG_EUSAGE, "data.tile=%lld: the network halves the side three times; it must divide by 8", (long long)k->tile);
    if (!swg_config_is(c, "loss.name", "mse") && !swg_config_is(c, "loss.name", "mse+ssim"))
        return swg__fail(ctx, SWG_EUSAGE, "loss.name=%s: family kan has mse and mse+ssim", swg_config_string(c, "loss.name"));
    if (k->ssim > 0 && k->tile < 16)
        return swg__fail(ctx, SWG_EUSAGE, "loss.name=mse+ssim: windows of 11 pixels do not fit into tiles of %lld", (long long)k->tile);
    SWG__TRY(read_noise(ctx, c, k));
    return read_network(ctx, c, k);
}

static int64_t least_batch(const swg__recipe *r) { return r->kan.network.bam_frozen ? 1 : 2; }
static int64_t tile_values(const swg__recipe *r) { return r->kan.network.image * r->kan.tile * r->kan.tile; }
static int64_t sample_values(const swg__recipe *r) { return 2 * tile_values(r); }

static swg_status set_input(swg_context *ctx, swg_config *c, const swg__recipe *r, int ndim, const int64_t *shape) {
    char text[32];
    if (ndim != 4 || shape[1] != r->kan.network.image || shape[2] != shape[3])
        return swg__fail(ctx, SWG_EUSAGE, "input: expected (batch, %lld, side, side): square tiles", (long long)r->kan.network.image);
    snprintf(text, sizeof text, "%lld", (long long)shape[2]);
    return swg_config_set(c, "data.tile", text, "input");
}

/* ---- graph ---- */

static void add_term(swg__step_graph *s, const char *name, swg_value v, bool shown) {
    s->term_name[s->terms] = name;
    s->term_shown[s->terms] = shown;
    s->term[s->terms++] = v;
}

static void build(const swg__recipe *r, int64_t batch, bool training, swg__step_graph *s) {
    swg_graph *g = s->g;
    const int64_t shape[4] = {batch, r->kan.network.image, r->kan.tile, r->kan.tile};
    swg_kan_dae network = r->kan.network;
    swg_kan_parts parts[SWG_KAN_DAE_LAYERS] = {{0}};
    swg_kan_terms terms = {0};
    for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++)
        network.kan[i].parts = &parts[i];
    s->in[0] = swg_input(g, "x", 4, shape);
    s->in[1] = swg_input(g, "target", 4, shape);
    s->inputs = 2;
    swg_kan_dae_apply(g, s->in[0], &network, &s->out[2], &s->out[0], &s->out[1]);
    s->outputs = 2;
    s->loss = swg_loss_mse(g, s->out[0], s->in[1]);
    add_term(s, "mse", s->loss, false);
    if (r->kan.ssim > 0) {
        swg_value ssim = swg_loss_ssim(g, s->out[0], s->in[1]);
        add_term(s, "one_minus_ssim", ssim, false);
        s->loss = swg_add(g, s->loss, swg_mul(g, ssim, swg_constant(g, r->kan.ssim)));
    }
    if (network.plain)
        return;
    swg_value coefficients[SWG_KAN_DAE_LAYERS];
    for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++)
        coefficients[i] = parts[i].coefficients;
    swg_value regular = swg_loss_kan(g, coefficients, SWG_KAN_DAE_LAYERS, 1, 1, &terms);
    add_term(s, "kan_l1", terms.magnitude, true);
    add_term(s, "kan_entropy", terms.entropy, true);
    for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++)
        add_term(s, swg__kan_layers[i].outside, parts[i].outside, false);
    if (training && r->kan.regular > 0) {
        s->control = swg_input(g, "kan_weight", 1, (int64_t[]){1});
        s->loss = swg_add(g, s->loss, swg_mul(g, regular, s->control));
    }
    if (training && r->kan.update_every)
        for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++)
            s->keep[s->kept++] = parts[i].inputs;
}

static void control(const swg__recipe *r, const swg__draw *draw, float *values) {
    double course = r->kan.curriculum ? draw->epochs > 1 ? (double)draw->epoch / (double)(draw->epochs - 1) : 0 : 1;
    values[0] = (float)(r->kan.regular * course);
}

static void network(const swg__recipe *r, swg_graph *g) {
    swg_value x = swg_input(g, "x", 4, (int64_t[]){1, r->kan.network.image, r->kan.tile, r->kan.tile});
    swg_kan_dae_apply(g, x, &r->kan.network, NULL, &(swg_value){0}, NULL);
}

static void apply(const swg__recipe *r, swg_graph *g, swg_value x, swg_value out[SWG__STEP_OUTPUTS]) {
    swg_kan_dae_apply(g, x, &r->kan.network, &out[2], &out[0], &out[1]);
}

static swg_status layers(swg_context *ctx, const swg__recipe *r, swg_layers *out) {
    return swg_kan_dae_layers(ctx, &r->kan.network, 1, r->kan.tile, r->kan.tile, out);
}

static void describe(const swg__recipe *r, char *out, size_t capacity) {
    const swg_kan_dae *n = &r->kan.network;
    const swg_kan_opts *o = &n->kan[0];
    char grid[32] = "";
    if (!n->plain)
        snprintf(grid, sizeof grid, ", grid %lld/%lld", (long long)o->intervals, (long long)o->order);
    snprintf(out, capacity, "%s autoencoder, tiles of %lldx%lldx%lld, z %lldx%lldx%lld%s%s", n->plain ? "plain" : "KAN", (long long)n->image,
             (long long)r->kan.tile, (long long)r->kan.tile, (long long)n->channels[3], (long long)r->kan.tile / 8, (long long)r->kan.tile / 8, grid,
             n->residual ? ", residuals" : "");
}

/* ---- data ---- */

typedef struct tiles {
    swg__images *images;
    const swg__recipe *recipe;
} tiles;

static void note(void *user, const char *text) { swg__run_note(user, "%s", text); }

void swg__kan_images(swg_config *c, const swg__recipe *r, swg__images_opts *out) {
    *out = (swg__images_opts){
        .path = swg_config_string(c, "data.path"), .column = swg_config_string(c, "data.column"), .size = swg_config_string(c, "data.size"),
        .tile = r->kan.tile, .overlap = swg_config_int(c, "data.overlap"), .small = swg_config_string(c, "data.small"),
        .channels = (int)r->kan.network.image, .scale = swg_config_has(c, "data.scale") ? swg_config_float(c, "data.scale") : 0,
        .nonfinite = swg_config_string(c, "data.nonfinite"), .unreadable = swg_config_string(c, "data.unreadable"),
        .group = swg_config_has(c, "data.group") ? swg_config_string(c, "data.group") : NULL, .cache = swg_config_string(c, "data.cache"),
        .split = {.mode = swg_config_string(c, "data.split"), .rng = swg_config_string(c, "split.rng"), .seed = r->seed}};
}

static void close_data(swg__run *run, swg__dataset *data) {
    tiles *own = data->own;
    if (own)
        swg__images_close(own->images);
    swg__free(run->ctx, own);
    swg__free(run->ctx, data->note);
    *data = (swg__dataset){0};
}

static swg_status open_data(swg__run *run, swg__dataset *out) {
    swg_context *ctx = run->ctx;
    swg__images_opts opts;
    char text[256];
    if (!swg_config_has(run->config, "data.path"))
        return swg__fail(ctx, SWG_EUSAGE, "data.path is not set; say data.path=FOLDER, a CSV with a column Image, or an image");
    tiles *own = out->own = swg__calloc(ctx, 1, sizeof *own);
    if (!own)
        return swg__fail_memory(ctx, sizeof *own, "a data set");
    own->recipe = &run->recipe;
    swg__kan_images(run->config, &run->recipe, &opts);
    opts.note = note;
    opts.note_user = run;
    SWG__TRY(swg_config_status(run->config));
    SWG__TRY(swg__images_open(ctx, &opts, &own->images));
    swg__run_note(run, "%s", swg__images_summary(own->images));
    out->split = swg__images_split(own->images);
    snprintf(out->digest, sizeof out->digest, "%s", swg__images_digest(own->images));
    snprintf(text, sizeof text, "{\"images\":{\"channels\":%d,\"tile\":%lld,\"scale\":%.17g}}", swg__images_channels(own->images),
             (long long)swg__images_tile(own->images), opts.scale);
    out->note = swg__strdup(ctx, text);
    return out->note ? SWG_OK : swg__fail_memory(ctx, sizeof text, "a data set");
}

void swg__kan_draw(const swg__recipe *r, const swg__draw *draw, swg__images_draw *out) {
    *out = (swg__images_draw){.training = draw->training, .seed = draw->seed, .epoch = (uint32_t)draw->epoch, .noise = r->kan.noise,
                              .progress = draw->epochs > 1 ? (double)draw->epoch / (double)(draw->epochs - 1) : 0, .augment = r->kan.augment};
}

static swg_status fetch(const swg__dataset *data, const swg__draw *draw, const int64_t *indices, int64_t count, float *out, char *message,
                        size_t capacity) {
    const tiles *own = data->own;
    swg__images_draw how;
    swg__kan_draw(own->recipe, draw, &how);
    return swg__images_fetch(own->images, indices, count, &how, out, out + count * tile_values(own->recipe), message, capacity);
}

static void log_data(swg__run *run) {
    const tiles *own = run->data.own;
    swg__run_log_text(&run->log, "images", swg__images_summary(own->images));
    swg__run_log_integer(&run->log, "images_skipped", swg__images_skipped(own->images));
}

/* ---- figures ---- */

typedef struct judge {
    swg_image_quality noisy, restored;
    double z_sum, z_square;
    int64_t z_count;
    float *pair;                /* a batch, noisy and clean */
} judge;

static swg_status judge_open(swg__run *run, void **out) {
    judge *j = *out = swg__calloc(run->ctx, 1, sizeof *j);
    int64_t bytes = swg__run_batch_bytes(&run->recipe, swg__run_largest_batch(run));
    return j && (j->pair = swg__alloc(run->ctx, (size_t)bytes)) ? SWG_OK : swg__fail_memory(run->ctx, (size_t)bytes, "tiles to be judged");
}

static swg_status judge_add(swg__run *run, void *arg, swg_plan *plan, const swg__step_graph *s, const int64_t *indices, int64_t count) {
    judge *j = arg;
    const swg__recipe *r = &run->recipe;
    const int64_t values = tile_values(r), z_values = swg_elements(s->g, s->out[1]) / swg_shape(s->g, s->out[1])[0] * count;
    const swg_quality_opts opts = {.channels = (int)r->kan.network.image, .extent = {1, r->kan.tile, r->kan.tile}, .range = 1, .clip = true};
    const float *restored = swg_plan_data(plan, s->out[0]), *z = swg_plan_data(plan, s->out[1]);
    char message[256] = "";
    if (fetch(&run->data, &(swg__draw){.seed = r->seed}, indices, count, j->pair, message, sizeof message) != SWG_OK)
        return swg__fail(run->ctx, SWG_EIO, "%s", message);
    for (int64_t i = 0; i < count; i++) {
        const float *clean = j->pair + (count + i) * values;
        SWG__TRY(swg_image_quality_add(run->ctx, &j->noisy, clean, j->pair + i * values, &opts));
        SWG__TRY(swg_image_quality_add(run->ctx, &j->restored, clean, restored + i * values, &opts));
    }
    for (int64_t i = 0; i < z_values; i++) {
        j->z_sum += (double)z[i];
        j->z_square += (double)z[i] * (double)z[i];
    }
    j->z_count += z_values;
    return SWG_OK;
}

static void judge_end(swg__run *run, void *arg, swg_status status, double *figures) {
    judge *j = arg;
    if (j && status == SWG_OK) {
        const double mean = j->z_sum / (double)j->z_count;
        const double values[] = {swg_image_psnr_db(&j->restored), swg_image_ssim(&j->restored), swg_image_mse(&j->restored),
                                 swg_image_mae(&j->restored), swg_image_pearson(&j->restored), swg_image_psnr_db(&j->noisy),
                                 swg_image_ssim(&j->noisy), mean, sqrt(fmax(0, j->z_square / (double)j->z_count - mean * mean))};
        memcpy(figures, values, sizeof values);
    }
    if (j)
        swg__free(run->ctx, j->pair);
    swg__free(run->ctx, j);
}

/* Anew in every sitting that made a step. */
static swg_status pictures(swg__run *run) {
    enum { MOST = 8 };
    swg__sample_set set = {0};
    char folder[1100];
    swg_model *model;
    snprintf(folder, sizeof folder, "%s/samples", run->dir);
    if (!run->sitting_steps && swg__exists(folder))
        return SWG_OK;
    SWG__TRY(swg_model_open(run->ctx, run->dir, &model));
    swg_status status = swg__sample_set_make(run, model, MOST, &set);
    if (status == SWG_OK)
        status = swg__sample_set_write(run->ctx, &set, folder, NULL);
    swg__sample_set_free(run->ctx, &set);
    swg_model_close(model);
    return status;
}

/* ---- grids ---- */

/* The running average gets the same knots: its coefficients are fitted to them with the same values. */
static swg_status step_end(swg__run *run, swg_plan *plan, const swg__step_graph *s) {
    const swg__recipe_kan *k = &run->recipe.kan;
    if (!k->update_every || run->state.step % k->update_every)
        return SWG_OK;
    for (int i = 0; i < s->kept; i++) {
        const int64_t *shape = swg_shape(s->g, s->keep[i]);
        swg_kan_update update;
        SWG__TRY(swg_kan_update_grid(run->weights, swg__kan_layers[i].layer, swg_plan_data(plan, s->keep[i]), shape[0], shape[1], &update));
        if (run->average)
            SWG__TRY(swg_kan_update_grid(run->average, swg__kan_layers[i].layer, swg_plan_data(plan, s->keep[i]), shape[0], shape[1], NULL));
        swg__run_log_begin(&run->log, "grid");
        swg__run_log_integer(&run->log, "step", run->state.step);
        swg__run_log_text(&run->log, "layer", swg__kan_layers[i].layer);
        swg__run_log_integer(&run->log, "moved", update.moved);
        swg__run_log_integer(&run->log, "kept", update.kept);
        swg__run_log_number(&run->log, "change", update.change);
        swg__run_log_number(&run->log, "size", update.size);
        SWG__TRY(swg__run_log_end(&run->log));
    }
    return SWG_OK;
}

const swg__family swg__family_kan = {
    .name = "kan", .sample = "tile", .samples = "tiles",
    .read = read_settings, .least_batch = least_batch, .sample_values = sample_values, .set_input = set_input,
    .build = build, .network = network, .apply = apply, .layers = layers, .describe = describe,
    .open = open_data, .close = close_data, .fetch = fetch, .log_data = log_data, .control = control,
    .figures = {"psnr_db", "ssim", "mse", "mae", "pearson", "noisy_psnr_db", "noisy_ssim", "z_mean", "z_sd"}, /* as judge_end fills them in */
    .judge_open = judge_open, .judge_add = judge_add, .judge_end = judge_end, .step_end = step_end, .pictures = pictures,
};
