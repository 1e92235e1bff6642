/* recipe.c - reads the configuration once, checks what only the trainer can check, builds the step's graph.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/recipe.h"
#include <math.h>
#include <string.h>
#include "base.h"
#include "swage/model.h"

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

static swg__schedule_kind schedule_kind(const swg_config *c) {
    static const struct { const char *name; swg__schedule_kind value; } table[] = {
        {"step", SWG__LR_STEP}, {"exponential", SWG__LR_EXPONENTIAL}, {"cosine", SWG__LR_COSINE},
        {"plateau", SWG__LR_PLATEAU}, {"onecycle", SWG__LR_ONECYCLE}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (swg_config_is(c, "scheduler.name", table[i].name))
            return table[i].value;
    return SWG__LR_CONSTANT;
}

const char *swg__recipe_precision(const swg__recipe *recipe) { return recipe->bf16 ? "bf16-mixed" : "32"; }

/* gradient_checkpointing and memory.budget, which are one setting but for batch_size=auto, where the budget chooses the batch. */
static swg_status read_memory(swg_context *ctx, swg_config *c, swg__recipe *r) {
    const char *policy = swg_config_string(c, "gradient_checkpointing");
    SWG__TRY(swg_config_status(c));
    if (swg_recompute_read(ctx, policy ? policy : "none", &r->recompute) != SWG_OK) {
        char text[400];
        snprintf(text, sizeof text, "%s", swg_context_message(ctx));
        return swg__fail(ctx, SWG_EUSAGE, "gradient_checkpointing: %s", text);
    }
    if (!swg_config_has(c, "memory.budget"))
        return SWG_OK;
    const char *budget = swg_config_string(c, "memory.budget");
    if (swg_recompute_read_budget(ctx, budget ? budget : "", &r->budget) != SWG_OK) {
        char text[400];
        snprintf(text, sizeof text, "%s", swg_context_message(ctx));
        return swg__fail(ctx, SWG_EUSAGE, "memory.budget: %s", text);
    }
    if (!r->batch && r->budget.budget_share > 0)
        return swg__fail(ctx, SWG_EUSAGE, "memory.budget=%s with data.batch_size=auto: a share of what? Say bytes, as 2GiB", budget);
    if (r->batch && r->recompute.policy != SWG_RECOMPUTE_DEFAULT)
        return swg__fail(ctx, SWG_EUSAGE, "memory.budget and gradient_checkpointing=%s both say what is recomputed; keep one", policy);
    if (!r->batch && r->recompute.policy == SWG_RECOMPUTE_BUDGET)
        return swg__fail(ctx, SWG_EUSAGE, "gradient_checkpointing=%s and memory.budget are two budgets; keep one", policy);
    return SWG_OK;
}

static swg_status read_network(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg_swae *n = &r->network;
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
    r->edge = full ? SWG__EDGE_FULL : SWG__EDGE_CENTER;
    n->input = r->edge * r->edge * r->edge;
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

/* The patterns of a list with commas between. */
static swg_status join(swg_context *ctx, swg_config *c, const char *key, char *out, size_t capacity) {
    size_t used = 0;
    out[0] = 0;
    for (int64_t i = 0; i < swg_config_count(c, key); i++) {
        const char *pattern = swg_config_string_at(c, key, i);
        int n = snprintf(out + used, capacity - used, "%s%s", i ? "," : "", pattern ? pattern : "");
        if (n < 0 || (size_t)n >= capacity - used)
            return swg__fail(ctx, SWG_EUSAGE, "%s: the list is too long", key);
        used += (size_t)n;
    }
    return swg_config_status(c);
}

static swg_status read_inference(swg_context *ctx, swg_config *c, swg__recipe *r) {
    swg_inference inference;
    const char *name = swg_config_string(c, "inference.precision");
    if (!name || !swg_inference_find(name, &inference))
        return swg__fail(ctx, SWG_EUSAGE, "inference.precision: unknown precision \"%s\"", name ? name : "");
    r->inference = (int)inference;
    return swg_config_has(c, "inference.keep_f32") ? join(ctx, c, "inference.keep_f32", r->keep_f32, sizeof r->keep_f32) : SWG_OK;
}

swg_status swg_train_network_of(swg_context *ctx, swg_config *config, swg_swae *out) {
    swg__recipe r = {0};
    SWG__TRY(read_network(ctx, config, &r));
    *out = r.network;
    return swg_config_status(config);
}

swg_status swg__recipe_read(swg_context *ctx, swg_config *c, swg__recipe *r) {
    *r = (swg__recipe){0};
    SWG__TRY(read_network(ctx, c, r));
    r->loss = (swg_swae_loss){.kind = loss_kind(c), .lambda = swg_config_float(c, "loss.lambda"),
                              .directions = swg_config_int(c, "loss.directions"), .scale = swg_config_float(c, "loss.scale"),
                              .log_off = !swg_config_bool(c, "loss.log")};
    SWG__TRY(swg__optimiser_read(ctx, c, &r->optimiser));
    r->accumulate = swg_config_int(c, "trainer.accumulate");
    r->accumulate_by_batches = swg_config_is(c, "trainer.accumulate_by", "batches");
    /* Samples in memory are gathered faster than a thread is woken: auto starts none. */
    r->workers = swg_config_is(c, "data.workers", "auto") ? 0 : (int)swg_config_int(c, "data.workers");
    r->prefetch = (int)swg_config_int(c, "data.prefetch");
    r->max_epochs = swg_config_int(c, "trainer.max_epochs");
    r->max_steps = swg_config_has(c, "trainer.max_steps") ? swg_config_int(c, "trainer.max_steps") : 0;
    r->schedule = (swg__schedule){.kind = schedule_kind(c), .lr = r->optimiser.adam.lr, .gamma = swg_config_float(c, "scheduler.gamma"),
                                  .min_lr = swg_config_float(c, "scheduler.min_lr"), .step = swg_config_int(c, "scheduler.step"),
                                  .total = r->max_epochs, .warmup = swg_config_int(c, "scheduler.warmup"),
                                  .rise = swg_config_float(c, "scheduler.pct_start"),
                                  .cycle_momentum = swg_config_bool(c, "scheduler.cycle_momentum"),
                                  .patience = swg_config_int(c, "scheduler.patience"), .cooldown = swg_config_int(c, "scheduler.cooldown"),
                                  .threshold = swg_config_float(c, "scheduler.threshold")};
    r->schedule_by_step = swg_config_is(c, "scheduler.interval", "step");
    if (r->schedule_by_step && r->schedule.kind == SWG__LR_PLATEAU)
        return swg__fail(ctx, SWG_EUSAGE, "scheduler.interval=step: a plateau schedule looks at the validation loss, which there is once an "
                         "epoch; leave it at epoch");
    r->batch = swg_config_is(c, "data.batch_size", "auto") ? 0 : swg_config_int(c, "data.batch_size");
    r->log_every = swg_config_int(c, "trainer.log_every");
    r->eval_every = swg_config_int(c, "trainer.eval_every");
    r->keep_every = swg_config_int(c, "checkpoint.every");
    r->seed = (uint64_t)swg_config_int(c, "trainer.seed");
    r->fusion = swg_config_bool(c, "performance.fusion");
    r->channels_last = swg_config_bool(c, "performance.channels_last");
    r->mode = swg_config_is(c, "performance.mode", "max-autotune")      ? SWG_PLAN_MAX_AUTOTUNE
              : swg_config_is(c, "performance.mode", "reduce-overhead") ? SWG_PLAN_REDUCE_OVERHEAD
                                                                        : SWG_PLAN_DEFAULT;
    r->tune_seconds = swg_config_float(c, "performance.tune_seconds");
    r->fused_optimiser = swg_config_bool(c, "performance.fused_optimizer");
    r->bf16 = swg_config_is(c, "trainer.precision", "bf16-mixed");
    r->check_finite = swg_config_bool(c, "trainer.check_finite");
    r->skip_nonfinite = swg_config_is(c, "trainer.nonfinite", "skip");
    r->mirror = swg_config_is(c, "data.augment", "flip");
    r->provider = swg_config_string(c, "performance.provider");
    if (swg_swae_has_norm(&r->network) && r->batch == 1)
        return swg__fail(ctx, SWG_EUSAGE, "data.batch_size=1: batch norm has no variance to train with; 2 is the least");
    r->early = (swg__early_stop){.enabled = swg_config_bool(c, "early_stopping.enabled"),
                                 .patience = swg_config_int(c, "early_stopping.patience"),
                                 .min_delta = swg_config_float(c, "early_stopping.min_delta"), .best = HUGE_VAL};
    r->batch_multiple = swg_config_has(c, "data.batch_multiple") ? swg_config_int(c, "data.batch_multiple") : 0;
    SWG__TRY(swg_config_status(c));
    SWG__TRY(read_inference(ctx, c, r));
    return read_memory(ctx, c, r);
}

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
    SWG__TRY(join(ctx, c, "data.vars", vars, sizeof vars));
    const swg_source_opts opts = {.layout = swg_config_string(c, "data.layout"), .vars = vars, .missing = swg_config_string(c, "data.missing")};
    SWG__TRY(swg_config_status(c));
    return swg_source_open(ctx, path, &opts, out);
}

void swg__recipe_samples(swg_config *c, const swg__recipe *r, swg_samples_opts *out) {
    *out = (swg_samples_opts){.cut = swg_config_string(c, "data.block"), .edge = r->edge, .norm = swg_config_string(c, "data.norm"),
                              .constant = swg_config_string(c, "data.constant"), .nonfinite = swg_config_string(c, "data.nonfinite"),
                              .split = {.mode = swg_config_string(c, "data.split"), .rng = swg_config_string(c, "split.rng"),
                                        .seed = r->seed, .has_test_from = swg_config_has(c, "data.test_from")}};
    if (out->split.has_test_from)
        out->split.test_from = swg_config_float(c, "data.test_from");
}

static swg_quantise quantised(int inference) {
    static const swg_quantise words[] = {[SWG_INFERENCE_INT8] = SWG_QUANTISE_INT8, [SWG_INFERENCE_FP8] = SWG_QUANTISE_FP8,
                                         [SWG_INFERENCE_FP8_ACTIVATIONS] = SWG_QUANTISE_FP8_BOTH};
    return words[inference];
}

swg_plan_opts swg__recipe_plan_opts(const swg__recipe *r, const swg_value *outputs, int output_count, bool frozen) {
    return (swg_plan_opts){.outputs = outputs, .output_count = output_count, .frozen = frozen, .no_fusion = !r->fusion,
                           .no_layout = !r->channels_last, .separate_update = !r->fused_optimiser,
                           .bf16 = frozen ? r->inference == SWG_INFERENCE_BF16 : r->bf16,
                           .quantise = frozen ? quantised(r->inference) : SWG_QUANTISE_NONE, .keep_f32 = frozen && *r->keep_f32 ? r->keep_f32 : NULL,
                           .mode = r->mode,
                           .provider = r->provider};
}

swg_status swg__step_graph_build(swg_context *ctx, const swg__recipe *r, int64_t batch, bool training, swg__step_graph *s) {
    *s = (swg__step_graph){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = !training}, &s->g));
    swg_graph *g = s->g;
    s->x = swg_input(g, "x", 2, (int64_t[]){batch, r->network.input});
    if (training)
        s->hyper = swg_input(g, "hyper", 2, (int64_t[]){r->optimiser.update.groups, SWG_HYPER_COUNT});
    s->z = swg_swae_encode(g, s->x, &r->network);
    s->y = swg_swae_decode(g, s->z, &r->network);
    s->loss = swg_swae_loss_of(g, &r->loss, s->x, s->y, s->z, &s->reconstruction, &s->distance);
    if (training)
        s->norm = swg_update(g, s->loss, s->hyper, &r->optimiser.update);
    swg_status status = swg_graph_status(g);
    if (status != SWG_OK) {
        swg_graph_destroy(g);
        s->g = NULL;
    }
    return status;
}
