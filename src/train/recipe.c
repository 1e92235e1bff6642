/* recipe.c - reads the configuration once, checks what only the trainer can check, builds the step's graph.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/recipe.h"
#include <math.h>
#include <string.h>
#include "base.h"
#include "swage/model.h"
#include "swage/performance.h"

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
    char policy[64];
    swg__recipe_recompute(c, policy, sizeof policy);
    SWG__TRY(swg_config_status(c));
    if (swg_recompute_read(ctx, policy, &r->recompute) != SWG_OK) {
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

/* The patterns of a list with commas between. */
swg_status swg__recipe_join(swg_context *ctx, swg_config *c, const char *key, char *out, size_t capacity) {
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
    return swg_config_has(c, "inference.keep_f32") ? swg__recipe_join(ctx, c, "inference.keep_f32", r->keep_f32, sizeof r->keep_f32) : SWG_OK;
}

/* Only what a build can do is taken; the words of data-parallel runs are known, and refused as such. */
static swg_status read_devices(swg_context *ctx, swg_config *c) {
    const char *devices = swg_config_string(c, "trainer.devices");
    if (!devices || strcmp(devices, "auto") == 0 || strcmp(devices, "cpu") == 0 || strcmp(devices, "0") == 0 || strcmp(devices, "1") == 0)
        return SWG_OK;
    if (*devices && !devices[strspn(devices, "0123456789,")])
        return swg__fail(ctx, SWG_EUNSUPPORTED, "trainer.devices=%s: data-parallel runs are not in this build; threads share one run "
                         "(trainer.threads)", devices);
    return swg__fail(ctx, SWG_EUSAGE, "trainer.devices=%s: expected auto, cpu, or numbers with commas between", devices);
}

static int64_t int_or_none(swg_config *c, const char *key) { return swg_config_has(c, key) ? swg_config_int(c, key) : 0; }

static void read_profiler(swg_config *c, swg__recipe_profiler *p) {
    p->time = swg_config_is(c, "profiler.name", "time");
    p->memory = swg_config_is(c, "profiler.name", "memory");
    p->wait = swg_config_int(c, "profiler.wait");
    p->warmup = swg_config_int(c, "profiler.warmup");
    p->active = swg_config_int(c, "profiler.active");
    p->repeat = swg_config_int(c, "profiler.repeat");
    p->top = (int)swg_config_int(c, "profiler.top");
}

swg_status swg__recipe_read(swg_context *ctx, swg_config *c, swg__recipe *r) {
    const char *family = swg_config_string(c, "model.family");
    *r = (swg__recipe){.family = swg__family_find(family ? family : "")};
    if (!r->family)
        return swg__fail(ctx, SWG_EUSAGE, "model.family: unknown family \"%s\"", family ? family : "");
    SWG__TRY(r->family->read(ctx, c, r));
    SWG__TRY(swg__optimiser_read(ctx, c, &r->optimiser));
    r->accumulate = swg_config_int(c, "trainer.accumulate");
    r->accumulate_by_batches = swg_config_is(c, "trainer.accumulate_by", "batches");
    /* Samples in memory are gathered faster than a thread is woken: auto starts none. */
    r->workers = swg_config_is(c, "data.workers", "auto") ? 0 : (int)swg_config_int(c, "data.workers");
    r->prefetch = (int)swg_config_int(c, "data.prefetch");
    if ((r->family == &swg__family_kan || r->family == &swg__family_tfswa) && swg_config_is(c, "data.workers", "auto"))
        r->workers = 1; /* noise and augmentation take a while */
    if (r->family == &swg__family_cyto && swg_config_is(c, "data.workers", "auto"))
        r->workers = swg_optimal_workers();
    r->drop_last = swg_config_bool(c, "data.drop_last");
    r->save_top = (int)swg_config_int(c, "checkpoint.save_top_k");
    r->max_epochs = swg_config_int(c, "trainer.max_epochs");
    r->min_epochs = swg_config_int(c, "trainer.min_epochs");
    r->max_steps = int_or_none(c, "trainer.max_steps");
    r->train_batches = int_or_none(c, "trainer.limit_train_batches");
    r->val_batches = int_or_none(c, "trainer.limit_val_batches");
    r->validate_every = swg_config_int(c, "trainer.check_val_every_n_epoch");
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
    SWG__TRY(swg__recipe_performance(c, r));
    r->check_finite = swg_config_bool(c, "trainer.check_finite");
    r->skip_nonfinite = swg_config_is(c, "trainer.nonfinite", "skip");
    r->provider = swg_config_string(c, "performance.provider");
    r->detect_anomaly = swg_config_bool(c, "trainer.detect_anomaly");
    r->csv = swg_config_is(c, "logger.name", "csv") || swg_config_is(c, "logger.name", "all");
    r->tensorboard = swg_config_is(c, "logger.name", "tensorboard") || swg_config_is(c, "logger.name", "all");
    r->pictures = swg_config_bool(c, "image_saver.enabled");
    r->pictures_every = int_or_none(c, "image_saver.every");
    read_profiler(c, &r->profiler);
    SWG__TRY(read_devices(ctx, c));
    if (r->profiler.memory && r->batch && r->batch < r->family->least_batch(r))
        r->batch = r->family->least_batch(r); /* as few samples as there can be */
    if (r->batch && r->batch < r->family->least_batch(r))
        return swg__fail(ctx, SWG_EUSAGE, "data.batch_size=%lld: batch norm has no variance to train with; %lld is the least", (long long)r->batch,
                         (long long)r->family->least_batch(r));
    r->early = (swg__early_stop){.enabled = swg_config_bool(c, "early_stopping.enabled"),
                                 .patience = swg_config_int(c, "early_stopping.patience"),
                                 .min_delta = swg_config_float(c, "early_stopping.min_delta"), .best = HUGE_VAL};
    r->batch_multiple = int_or_none(c, "data.batch_multiple");
    SWG__TRY(swg_config_status(c));
    SWG__TRY(read_inference(ctx, c, r));
    return read_memory(ctx, c, r);
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
    if (training)
        s->hyper = swg_input(g, "hyper", 2, (int64_t[]){r->optimiser.update.groups, SWG_HYPER_COUNT});
    r->family->build(r, batch, training, s);
    if (training)
        s->norm = swg_update(g, s->loss, s->hyper, &r->optimiser.update);
    swg_status status = swg_graph_status(g);
    if (status != SWG_OK) {
        swg_graph_destroy(g);
        s->g = NULL;
    }
    return status;
}
