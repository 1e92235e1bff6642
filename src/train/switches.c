/* switches.c - what every switch of a recipe came to: asked for, in effect, and why.
 * In: a run whose plans are made. Out: rows; none of them is a silent no-op.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "plan/plan.h"
#include "train/run.h"

typedef struct table { swg_train_switch *rows; int count; } table;

static void row(table *t, const char *key, const char *requested, const char *effective, const char *format, ...) SWG__PRINTF(5, 6);
static void row(table *t, const char *key, const char *requested, const char *effective, const char *format, ...) {
    swg_train_switch *r = &t->rows[t->count++];
    va_list args;
    r->key = key;
    snprintf(r->requested, sizeof r->requested, "%s", requested);
    snprintf(r->effective, sizeof r->effective, "%s", effective);
    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
}

static const char *word(bool value) { return value ? "true" : "false"; }

static const char UNSET[] = "not set";

static const char *wish(swg_config *c, const char *key) { return swg_config_has(c, key) ? swg_config_text(c, key) : UNSET; }

static const char *text_of(swg_config *c, const char *key, char *out, size_t capacity) {
    if (!swg_config_is(c, key, "auto"))
        snprintf(out, capacity, "%lld", (long long)swg_config_int(c, key));
    else
        snprintf(out, capacity, "auto");
    return out;
}

/* What the plan of the step shows of them. */
typedef struct facts { int contractions, fused, programs, programmed, permutes, convolutions, updates, tuned, bf16, again; } facts;

static facts look(const swg_plan *plan) {
    facts f = {0};
    for (int i = 0; i < plan->step_count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        f.tuned += s->choice.shift || s->choice.variant;
        if (s->packs)
            continue;
        bool contracts = swg__ops[n->op].class == SWG__CONTRACTION;
        f.contractions += contracts;
        f.fused += contracts && (n->attr.bias || n->attr.relu || n->attr.gate);
        f.programs += n->op == SWG__PROGRAM;
        f.programmed += n->op == SWG__PROGRAM ? n->attr.program->length : 0;
        f.permutes += n->op == SWG__PERMUTE;
        f.convolutions += n->op == SWG__CONV || n->op == SWG__CONV_TRANSPOSE || n->op == SWG__CONV_WEIGHTS;
        f.updates += n->op == SWG__UPDATE;
        f.bf16 += n->dtype == SWG_BF16;
        f.again += n->clone;
    }
    for (int i = 0; i < plan->group_count; i++)
        f.tuned += plan->groups[i].choice.panel_rows > 0;
    return f;
}

static void mode_row(table *t, const swg__run *r, const swg_plan *plan, const facts *f) {
    static const char *const names[] = {"default", "reduce-overhead", "max-autotune"};
    const char *own = swg_config_string(r->config, "performance.mode"), *name = names[r->recipe.mode], *awake = plan->provider ? "; threads may sleep, the provider has its own" : "";
    int calls = swg_plan_parallel_calls(plan);
    if (r->recipe.mode == SWG_PLAN_DEFAULT)
        row(t, "performance.mode", own, name, "%d calls to the threads a step; heuristics, the same everywhere", calls);
    else if (r->recipe.mode == SWG_PLAN_REDUCE_OVERHEAD)
        row(t, "performance.mode", own, name, "%d calls to the threads a step%s", calls, awake);
    else
        row(t, "performance.mode", own, name, "%d of %d steps and groups run otherwise, %.1f s of measuring; %d calls to the threads a step%s", f->tuned,
            plan->step_count, (double)r->tune_ns * 1e-9, calls, awake);
}

/* Names of published recipes that say the same in other words, or what a processor does not have. */
static void published_rows(table *t, swg__run *r) {
    static const char *const names[] = {"default", "reduce-overhead", "max-autotune"};
    swg_config *c = r->config;
    const char *mode = names[r->recipe.mode], *precision = swg_config_has(c, "performance.matmul_precision") ? swg_config_string(c, "performance.matmul_precision") : UNSET;
    const bool high = strcmp(precision, "high") == 0, compiled = swg_config_has(c, "performance.compile.enabled") ? swg_config_bool(c, "performance.compile.enabled") : r->recipe.fusion;
    row(t, "performance.autotune", wish(c, "performance.autotune"), word(r->tuning), "%s", r->tuning ? "kernels run as measured on this machine" : "kernels by heuristics");
    row(t, "performance.tf32", wish(c, "performance.tf32"), "no", "a processor has no TF32: f32 products are f32");
    row(t, "performance.matmul_precision", precision, r->recipe.bf16 ? "medium" : "highest", "%s",
        r->recipe.bf16 ? "factors of products in bf16" : high ? "high is TF32 or three bf16 products, for GPUs: f32 here" : "f32 products");
    row(t, "performance.compile", wish(c, "performance.compile.enabled"), word(compiled), "one static plan in any case; enabled: fusion, and mode %s", mode);
    row(t, "performance.compile.mode", wish(c, "performance.compile.mode"), mode, "%s",
        strcmp(mode, wish(c, "performance.compile.mode")) == 0 ? "as performance.mode"
        : r->tuning                                             ? "measured kernels are asked for"
        : compiled                                              ? "as performance.mode and cuda_graphs say"
                                                                : "compile.enabled is false");
    row(t, "performance.compile.fullgraph", wish(c, "performance.compile.fullgraph"), "true", "a plan is of the whole step: forward, backward, update");
    row(t, "performance.compile.dynamic", wish(c, "performance.compile.dynamic"), "no", "shapes are fixed; each batch size has its plan before the first step");
    row(t, "performance.cuda_graphs", wish(c, "performance.cuda_graphs.enabled"), r->recipe.mode == SWG_PLAN_DEFAULT ? "no" : "replay",
        "%s", r->recipe.mode == SWG_PLAN_DEFAULT ? "no GPU; enabled, the calls of a step are recorded and replayed on the processor"
                                                 : "the calls of a step are recorded when the plan opens and replayed; no warm-up is needed");
}

int swg__run_switches(swg__run *r, swg_train_switch rows[SWG_TRAIN_SWITCHES]) {
    const swg_plan *plan = r->train.plan ? r->train.plan : r->train_rest.plan;
    facts f = look(plan);
    table t = {.rows = rows};
    char number[24], requested[24];
    const char *precision = swg_config_string(r->config, "trainer.precision");
    if (f.bf16)
        row(&t, "trainer.precision", precision, "bf16-mixed", "%d steps write bf16; weights, sums, statistics and losses are f32%s", f.bf16,
            strcmp(precision, "bf16-mixed") ? "; performance.matmul_precision" : "");
    else
        row(&t, "trainer.precision", precision, "32", "%s", strcmp(precision, "16") ? "arithmetic and storage in f32" : "a processor has no path for f16: f32");
    const char *accelerator = swg_config_string(r->config, "trainer.accelerator");
    row(&t, "trainer.accelerator", accelerator, "cpu", "%s", strcmp(accelerator, "gpu") ? "the threads of this process" : "this build computes on processors only");
    row(&t, "trainer.devices", swg_config_string(r->config, "trainer.devices"), "1", "one process, trainer.threads threads");
    char asked[64];
    swg__recipe_recompute(r->config, asked, sizeof asked);
    row(&t, "gradient_checkpointing", asked, swg_recompute_name(plan->policy), "%d steps done again, %.1f MiB kept for the backward pass", f.again,
        (double)swg_plan_memory_of(plan).saved_bytes / 1048576);
    /* A run's own count has the average of the weights and the batches read ahead in it. */
    snprintf(number, sizeof number, "%.1f MiB", (double)(r->planned_bytes ? r->planned_bytes : swg_plan_memory_of(plan).peak_bytes) / 1048576);
    const bool budget = swg_config_has(r->config, "memory.budget");
    row(&t, "memory.budget", budget ? swg_config_string(r->config, "memory.budget") : "none", number, "planned peak of a step: weights, moments, gradients, arena, batches");
    mode_row(&t, r, plan, &f);
    published_rows(&t, r);
    bool isa = swg_config_is(r->config, "performance.isa", "auto");
    row(&t, "performance.isa", swg_config_string(r->config, "performance.isa"), swg_context_isa(r->ctx), "%s",
        isa ? "the best of this machine, or what --isa says" : strcmp(swg_config_string(r->config, "performance.isa"), swg_context_isa(r->ctx)) == 0
                                                                    ? "as asked" : "--isa, or the program's context, says so");
    row(&t, "performance.provider", r->recipe.provider, plan->provider ? "onednn" : "swage", "%s", plan->provider ? "contractions by oneDNN" : "own kernels");
    const char *fusion = swg_config_text(r->config, "performance.fusion");
    if (r->recipe.fusion)
        row(&t, "performance.fusion", fusion, word(f.fused + f.programs > 0), "%d of %d contractions take bias, relu or gate; %d programs of %d operations",
            f.fused, f.contractions, f.programs, f.programmed);
    else
        row(&t, "performance.fusion", fusion, "false", "a step per operation: %d", plan->step_count);
    if (f.convolutions == 0)
        row(&t, "performance.channels_last", word(r->recipe.channels_last), "false", "the network has no convolutions");
    else
        row(&t, "performance.channels_last", word(r->recipe.channels_last), word(r->recipe.channels_last), "%d permutes for %d convolutions", f.permutes,
            f.convolutions);
    bool fused = r->recipe.fused_optimiser;
    const char *fused_asked = strstr(swg_config_string(r->config, "optimizer.name"), "_fused") ? "true" : swg_config_text(r->config, "performance.fused_optimizer");
    if (r->recipe.optimiser.update.kind == SWG_UPDATE_SGD)
        row(&t, "performance.fused_optimizer", fused_asked, "true", "sgd has one form: one pass over the parameters");
    else
        row(&t, "performance.fused_optimizer", fused_asked, word(fused), "%d parameters in %d pass%s", swg_weights_count(r->weights), f.updates,
            f.updates == 1 ? "" : "es");
    snprintf(number, sizeof number, "%d", r->recipe.workers);
    row(&t, "data.workers", text_of(r->config, "data.workers", requested, sizeof requested), number, "%s",
        r->recipe.workers ? "threads read ahead" : swg_config_is(r->config, "data.workers", "auto") ? "the blocks are in memory: nothing to wait for"
                                                                                                  : "batches are read between steps");
    row(&t, "data.persistent_workers", swg_config_text(r->config, "data.persistent_workers"), word(r->recipe.workers > 0), "%s",
        r->recipe.workers ? "loader threads stay for the whole run and rest between epochs" : "there are no loader threads");
    snprintf(number, sizeof number, "%d", r->recipe.workers ? r->recipe.prefetch : 0);
    row(&t, "data.prefetch", swg_config_text(r->config, "data.prefetch"), number, "%s", r->recipe.workers ? "batches ahead per worker" : "there are no loader threads");
    row(&t, "trainer.deterministic", swg_config_text(r->config, "trainer.deterministic"), "true", "the same bits on any number of threads, at no cost");
    snprintf(number, sizeof number, "%d", swg_context_threads(r->ctx));
    row(&t, "trainer.threads", text_of(r->config, "trainer.threads", requested, sizeof requested), number, "results do not depend on it");
    return t.count;
}
