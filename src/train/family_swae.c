/* family_swae.c - sliced-Wasserstein autoencoders of blocks: settings, graph, samples from HDF5, errors in original units.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "philox.h"
#include "swage/metrics.h"
#include "train/run.h"

/* ---- settings ---- */

static swg_swae_loss_kind loss_kind(const swg_config *c) {
    static const struct { const char *name, *kind; swg_swae_loss_kind value; } table[] = {
        {"mse", NULL, SWG_SWAE_MSE},          {"log", NULL, SWG_SWAE_LOG},          {"relative", NULL, SWG_SWAE_RELATIVE},
        {"robust", "logcosh", SWG_SWAE_LOGCOSH}, {"robust", "huber", SWG_SWAE_HUBER}, {"robust", "mae", SWG_SWAE_MAE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (swg_config_is(c, "loss.name", table[i].name) && (!table[i].kind || swg_config_is(c, "loss.kind", table[i].kind)))
            return table[i].value;
    return SWG_SWAE_MSE;
}

static swg_status read_network(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg_swae *n = &r->swae.network;
    const char *name = swg_config_string(c, "model.name"), *act = swg_config_string(c, "model.act"), *block = swg_config_string(c, "data.block");
    int64_t layers = swg_config_count(c, "model.hidden");
    if (!name || !swg_swae_kind_find(name, &n->kind))
        return swg__fail(ctx, SWG_EUSAGE, "model.name: unknown network \"%s\"", name ? name : "");
    if (layers < 1 || layers > SWG_SWAE_LAYERS)
        return swg__fail(ctx, SWG_EUSAGE, "model.hidden: %lld layers, expected 1 to %d", (long long)layers, SWG_SWAE_LAYERS);
    bool full = block && strcmp(block, "full") == 0;
    if (n->kind == SWG_SWAE_CONV7 && !full)
        return swg__fail(ctx, SWG_EUSAGE, "model.name=conv7 takes whole blocks of 7x7x7; say data.block=full in place of %s", block ? block : "null");
    if (n->kind == SWG_SWAE_CONV && full)
        return swg__fail(ctx, SWG_EUSAGE, "model.name=conv takes blocks of 5x5x5; say data.block=center or tile, or model=swae_conv7");
    if (n->kind == SWG_SWAE_CONV && layers < 2)
        return swg__fail(ctx, SWG_EUSAGE, "model.hidden: one stage; model.name=conv has two at least, which lead from 5x5x5 to 2x2x2");
    r->swae.edge = full ? SWG__EDGE_FULL : SWG__EDGE_CENTER;
    n->input = r->swae.edge * r->swae.edge * r->swae.edge;
    n->latent = swg_config_int(c, "model.latent");
    n->hidden_count = (int)layers;
    for (int64_t i = 0; i < layers; i++)
        n->hidden[i] = swg_config_int_at(c, "model.hidden", i);
    n->gdn = act && strcmp(act, "gdn") == 0;
    if (!act || (!n->gdn && !swg_activation_find(act, &n->activation)))
        return swg__fail(ctx, SWG_EUSAGE, "model.act: unknown activation \"%s\"", act ? act : "");
    n->latent_int8 = swg_config_is(c, "model.latent_quant", "int8");
    return SWG_OK;
}

static swg_status read_settings(swg_context *ctx, swg_config *c, swg__recipe *r) {
    SWG__TRY(read_network(ctx, c, r));
    r->swae.loss = (swg_swae_loss){.kind = loss_kind(c), .lambda = swg_config_float(c, "loss.lambda"),
                                   .directions = swg_config_int(c, "loss.directions"), .scale = swg_config_float(c, "loss.scale"),
                                   .log_off = !swg_config_bool(c, "loss.log")};
    r->swae.mirror = swg_config_is(c, "data.augment", "flip");
    if (!r->swae.mirror && !swg_config_is(c, "data.augment", "none"))
        return swg__fail(ctx, SWG_EUSAGE, "data.augment=%s: family swae has none and flip", swg_config_string(c, "data.augment"));
    return SWG_OK;
}

static int64_t least_batch(const swg__recipe *r) { return swg_swae_has_norm(&r->swae.network) ? 2 : 1; }
static int64_t sample_values(const swg__recipe *r) { return r->swae.network.input; }

static swg_status set_input(swg_context *ctx, swg_config *c, const swg__recipe *r, int ndim, const int64_t *shape) {
    (void)c;
    int64_t values = 1;
    for (int i = 1; i < ndim; i++)
        values = swg__mul_overflow(values, shape[i], &values) ? INT64_MAX : values;
    return ndim > 1 && values == r->swae.network.input ? SWG_OK
         : swg__fail(ctx, SWG_EUSAGE, "input: expected (batch, %lld) or (batch, %lld, %lld, %lld): the blocks of this network", (long long)r->swae.network.input,
                     (long long)r->swae.edge, (long long)r->swae.edge, (long long)r->swae.edge);
}

/* ---- graph ---- */

static void build(const swg__recipe *r, int64_t batch, bool training, swg__step_graph *s) {
    (void)training;
    swg_value x = swg_input(s->g, "x", 2, (int64_t[]){batch, r->swae.network.input});
    swg_value z = swg_swae_encode(s->g, x, &r->swae.network), y = swg_swae_decode(s->g, z, &r->swae.network);
    s->loss = swg_swae_loss_of(s->g, &r->swae.loss, x, y, z, &s->term[0], &s->term[1]);
    s->term_name[0] = "reconstruction";
    s->term_name[1] = "distance";
    s->terms = 2;
    s->in[0] = x;
    s->out[0] = y;
    s->out[1] = z;
    s->inputs = s->outputs = 1;
}

static void network(const swg__recipe *r, swg_graph *g) {
    swg_value x = swg_input(g, "x", 2, (int64_t[]){1, r->swae.network.input});
    swg_swae_decode(g, swg_swae_encode(g, x, &r->swae.network), &r->swae.network);
}

static swg_status layers(swg_context *ctx, const swg__recipe *r, swg_layers *out) { return swg_swae_layers(ctx, &r->swae.network, out); }

static void describe(const swg__recipe *r, char *out, size_t capacity) {
    const swg_swae *n = &r->swae.network;
    snprintf(out, capacity, "%s, blocks of %lld values, latent %lld%s", swg_swae_kind_name(n->kind), (long long)n->input, (long long)n->latent,
             n->latent_int8 ? " (int8)" : "");
}

/* ---- data ---- */

swg_status swg__recipe_source(swg_context *ctx, swg_config *c, swg_source **out) {
    const char *path = swg_config_has(c, "data.path") ? swg_config_string(c, "data.path") : NULL;
    *out = NULL;
    if (!path)
        return swg__fail(ctx, SWG_EUSAGE, "data.path is not set; say data.path=FILE_OR_FOLDER");
    return swg__recipe_source_at(ctx, c, path, out);
}

swg_status swg__recipe_source_at(swg_context *ctx, swg_config *c, const char *path, swg_source **out) {
    char vars[2048];
    *out = NULL;
    SWG__TRY(swg__recipe_join(ctx, c, "data.vars", vars, sizeof vars));
    const swg_source_opts opts = {.layout = swg_config_string(c, "data.layout"), .vars = vars, .missing = swg_config_string(c, "data.missing")};
    SWG__TRY(swg_config_status(c));
    return swg_source_open(ctx, path, &opts, out);
}

void swg__recipe_samples(swg_config *c, const swg__recipe *r, swg_samples_opts *out) {
    *out = (swg_samples_opts){.cut = swg_config_string(c, "data.block"), .edge = r->swae.edge, .norm = swg_config_string(c, "data.norm"),
                              .constant = swg_config_string(c, "data.constant"), .nonfinite = swg_config_string(c, "data.nonfinite"),
                              .split = {.mode = swg_config_string(c, "data.split"), .rng = swg_config_string(c, "split.rng"),
                                        .seed = r->seed, .has_test_from = swg_config_has(c, "data.test_from")}};
    if (out->split.has_test_from)
        out->split.test_from = swg_config_float(c, "data.test_from");
}

/* What `own` of the dataset is. */
typedef struct blocks {
    swg_samples *samples;
    const swg_norm *norm;
    int64_t values;             /* per block */
    bool mirror;
} blocks;

static void close_data(swg__run *run, swg__dataset *data) {
    blocks *own = data->own;
    if (own)
        swg_samples_close(own->samples);
    swg__free(run->ctx, own);
    swg__free(run->ctx, data->note);
    *data = (swg__dataset){0};
}

static swg_status open_data(swg__run *run, swg__dataset *out) {
    swg_context *ctx = run->ctx;
    const swg__recipe *r = &run->recipe;
    swg_samples_opts opts;
    swg_source *source;
    blocks *own = out->own = swg__calloc(ctx, 1, sizeof *own);
    if (!own)
        return swg__fail_memory(ctx, sizeof *own, "a data set");
    *own = (blocks){.values = r->swae.network.input, .mirror = r->swae.mirror};
    SWG__TRY(swg__recipe_source(ctx, run->config, &source));
    swg__recipe_samples(run->config, r, &opts);
    swg_status status = swg_config_status(run->config);
    if (status == SWG_OK)
        status = swg__block_digest(ctx, source, &opts, out->digest);
    if (status == SWG_OK)
        status = swg_samples_open(ctx, source, &opts, &own->samples);
    swg_source_close(source);
    SWG__TRY(status);
    own->norm = swg_samples_norm(own->samples);
    out->split = swg_samples_split(own->samples);
    int64_t length = swg_norm_json(own->norm, NULL, 0);
    out->note = length < 0 ? NULL : swg__alloc(ctx, (size_t)length + 1);
    if (!out->note)
        return swg__fail_memory(ctx, (size_t)length, "the normaliser");
    swg_norm_json(own->norm, out->note, length + 1);
    return SWG_OK;
}

static swg_status fetch(const swg__dataset *data, const swg__draw *draw, const int64_t *indices, int64_t count, float *out, char *message,
                        size_t capacity) {
    const blocks *own = data->own;
    const int64_t edge = swg_samples_edge(own->samples);
    const uint32_t stream = swg__fnv1a("mirror");
    swg_status status = swg_samples_gather(own->samples, indices, count, out);
    if (status != SWG_OK)
        snprintf(message, capacity, "a sample of the batch does not exist");
    for (int64_t i = 0; i < count && status == SWG_OK && draw->training && own->mirror; i++)
        swg__block_mirror(out + i * own->values, edge, swg__philox(draw->seed, (uint64_t)indices[i], (uint32_t)draw->epoch, stream).w[0] >> 29);
    return status;
}

static void log_data(swg__run *run) {
    const blocks *own = run->data.own;
    swg__run_log_integer(&run->log, "blocks_constant", swg_samples_flagged(own->samples, SWG_BLOCK_CONSTANT));
    swg__run_log_integer(&run->log, "blocks_raw", swg_samples_flagged(own->samples, SWG_BLOCK_RAW));
}

/* ---- figures: reconstruction in original units ---- */

typedef struct judge {
    swg_compare *compare;
    double *pair;               /* an original block and its reconstruction */
} judge;

static swg_status judge_open(swg__run *run, void **out) {
    judge *j = *out = swg__calloc(run->ctx, 1, sizeof *j);
    int64_t values = 2 * run->recipe.swae.network.input;
    if (!j || !(j->pair = swg__alloc(run->ctx, (size_t)values * sizeof *j->pair)))
        return swg__fail_memory(run->ctx, (size_t)values * sizeof *j->pair, "a block to be judged");
    return swg_compare_open(run->ctx, &(swg_compare_opts){.no_percentiles = true}, &j->compare);
}

/* A network that is not trained yet may give numbers whose exponential is infinite: such blocks count as raw. */
static swg_status judge_add(swg__run *run, void *arg, swg_plan *plan, const swg__step_graph *s, const int64_t *indices, int64_t count) {
    judge *j = arg;
    const blocks *own = run->data.own;
    const int64_t values = own->values;
    for (int64_t i = 0; i < count; i++) {
        const swg_sample *sample = &swg_samples_list(own->samples)[indices[i]];
        const float *x = swg_samples_values(own->samples) + indices[i] * values;
        const float *y = (const float *)swg_plan_data(plan, s->out[0]) + i * values;
        swg_norm_inverse(own->norm, sample->variable, &sample->side, x, values, SWG_ELEMENT_F64, j->pair);
        swg_norm_inverse(own->norm, sample->variable, &sample->side, y, values, SWG_ELEMENT_F64, j->pair + values);
        if (swg__block_finite(SWG_ELEMENT_F64, j->pair, 2 * values))
            SWG__TRY(swg_compare_add(j->compare, SWG_ELEMENT_F64, j->pair, j->pair + values, values));
        else
            swg_compare_exclude(j->compare, 0, 1);
    }
    return SWG_OK;
}

static void judge_end(swg__run *run, void *arg, swg_status status, double *figures) {
    static const swg_metric shown[] = {SWG_METRIC_MSE, SWG_METRIC_PSNR_DB, SWG_METRIC_MAX_ABS_ERROR, SWG_METRIC_CORRELATION};
    judge *j = arg;
    if (!j)
        return;
    if (status == SWG_OK) {
        swg_metrics metrics;
        swg_compare_result(j->compare, &metrics);
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
            figures[i] = metrics.has[shown[i]] ? metrics.value[shown[i]] : NAN;
    }
    swg_compare_close(j->compare);
    swg__free(run->ctx, j->pair);
    swg__free(run->ctx, j);
}

const swg__family swg__family_swae = {
    .name = "swae", .sample = "block", .samples = "blocks",
    .read = read_settings, .least_batch = least_batch, .sample_values = sample_values, .set_input = set_input,
    .build = build, .network = network, .layers = layers, .describe = describe,
    .open = open_data, .close = close_data, .fetch = fetch, .log_data = log_data,
    .figures = {"mse", "psnr_db", "max_abs_error", "correlation"}, /* keys of the metrics in judge_end */
    .judge_open = judge_open, .judge_add = judge_add, .judge_end = judge_end,
};
