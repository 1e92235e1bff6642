/* recompute.c - a training step planned under several ways of recomputation, and run under each in a process of its own.
 * In: a recipe. Out: a row per policy. Nothing of a step's size is allocated unless it is run.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <string.h>
#include "measure/measure.h"
#include "swage/recompute.h"
#include "train/trial.h"

enum { ROUNDS = 64 };

static const char usual[] = "off,attention,blocks,segments:4,budget:60%,budget:30%";

swg_status swg_train_set_input(swg_context *ctx, swg_config *config, int ndim, const int64_t *shape) {
    swg__recipe recipe;
    char text[32];
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 1)
            return swg__fail(ctx, SWG_EUSAGE, "input: extent %lld, expected 1 or more", (long long)shape[i]);
    SWG__TRY(swg__recipe_read(ctx, config, &recipe));
    SWG__TRY(recipe.family->set_input(ctx, config, &recipe, ndim, shape));
    snprintf(text, sizeof text, "%lld", (long long)shape[0]);
    return swg_config_set(config, "data.batch_size", text, "input");
}

/* ---- plans ---- */

static swg_status name_rows(swg_context *ctx, const char *list, swg_train_recompute *rows, int *count) {
    *count = 0;
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        swg_recompute policy;
        if (*count == SWG_TRAIN_RECOMPUTE - 1 || length >= sizeof rows->name) /* one more: what the recipe asks for */
            return swg__fail(ctx, SWG_EUSAGE, "recomputation: \"%.100s\": up to %d policies, commas between", list, SWG_TRAIN_RECOMPUTE - 1);
        swg_train_recompute *row = &rows[(*count)++];
        *row = (swg_train_recompute){0};
        snprintf(row->name, sizeof row->name, "%.*s", (int)length, at);
        SWG__TRY(swg_recompute_read(ctx, row->name, &policy));
        at += length + (at[length] == ',');
    }
    return *count ? SWG_OK : swg__fail(ctx, SWG_EUSAGE, "recomputation: an empty list of policies");
}

/* A run whose step is planned as `recompute` says, whatever the recipe says. */
static swg_status plan_row(swg__run *r, const swg_recompute *recompute, swg_train_recompute *row) {
    swg__stage s = {0};
    r->recipe.recompute = *recompute;
    r->recipe.budget = (swg_recompute){0};
    swg_status status = swg__stage_make(r, &s, r->recipe.batch, true);
    if (status == SWG_OK) {
        const swg_memory memory = swg_plan_memory_of(s.plan);
        row->policy = swg_plan_recompute_of(s.plan);
        row->peak_bytes = memory.peak_bytes + swg__run_loader_bytes(&r->recipe, r->recipe.batch);
        row->saved_bytes = memory.saved_bytes;
        row->flops = swg_plan_flops(s.plan);
    } else if (status == SWG_EINVAL) { /* a budget that cannot be met */
        snprintf(row->failure, sizeof row->failure, "%s", swg_context_message(r->ctx));
        status = SWG_OK;
    }
    swg__stage_free(&s);
    return status;
}

static bool same(const swg_recompute *a, const swg_recompute *b) {
    return a->policy == b->policy && a->segments == b->segments && a->budget_bytes == b->budget_bytes && a->budget_share >= b->budget_share &&
           a->budget_share <= b->budget_share;
}

/* What the recipe asks for: a row of its own, or, as the default is one of the others, a mark. */
static swg_status add_own(swg__run *r, swg_train_recompute *rows, int *count) {
    swg_recompute own = r->recipe.budget.policy == SWG_RECOMPUTE_BUDGET ? r->recipe.budget : r->recipe.recompute, other;
    swg_train_recompute row = {.chosen = true};
    for (int i = 0; i < *count && own.policy != SWG_RECOMPUTE_DEFAULT; i++) {
        SWG__TRY(swg_recompute_read(r->ctx, rows[i].name, &other));
        if (same(&own, &other)) {
            rows[i].chosen = true;
            return SWG_OK;
        }
    }
    if (r->recipe.budget.policy == SWG_RECOMPUTE_BUDGET)
        snprintf(row.name, sizeof row.name, "budget:%s", swg_config_string(r->config, "memory.budget"));
    else
        swg__recipe_recompute(r->config, row.name, sizeof row.name);
    SWG__TRY(plan_row(r, &own, &row));
    for (int i = 0; i < *count && own.policy == SWG_RECOMPUTE_DEFAULT; i++) {
        if (rows[i].policy == row.policy && !rows[i].failure[0]) {
            rows[i].chosen = true;
            return SWG_OK;
        }
    }
    rows[(*count)++] = row;
    return SWG_OK;
}

static swg_status plan_rows(swg__run *r, const swg_train_recompute_opts *o, swg_train_recompute *rows, int *count) {
    SWG__TRY(swg__recipe_read(r->ctx, r->config, &r->recipe));
    SWG__TRY(name_rows(r->ctx, o->policies ? o->policies : usual, rows, count));
    r->recipe.batch = o->batch ? o->batch : r->recipe.batch;
    r->plans_only = true;
    SWG__TRY(swg__run_tuning(r));
    if (!r->recipe.batch)
        SWG__TRY(swg__run_choose_batch(r, INT64_MAX));
    const swg__recipe recipe = r->recipe;
    for (int i = 0; i < *count; i++) {
        swg_recompute recompute;
        SWG__TRY(swg_recompute_read(r->ctx, rows[i].name, &recompute));
        SWG__TRY(plan_row(r, &recompute, &rows[i]));
    }
    r->recipe = recipe;
    return add_own(r, rows, count);
}

/* ---- measuring ---- */

typedef struct task {
    swg_config *config;
    const char *policy, *isa;
    int64_t batch;
    int threads;
} task;

typedef struct answer {
    swg_status status;
    double seconds;
    int64_t measured;
    char message[256];
} answer;

static swg_status run_steps(swg_context *ctx, const task *t, answer *a) {
    static const char *const unset[] = {"memory.budget", "data.path"};
    char batch[32];
    swg__trial trial;
    snprintf(batch, sizeof batch, "%lld", (long long)t->batch);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        if (swg_config_has(t->config, unset[i]))
            SWG__TRY(swg_config_set(t->config, unset[i], "null", "measuring"));
    if (swg_config_has(t->config, "performance.gradient_checkpointing.enabled"))
        SWG__TRY(swg_config_set(t->config, "performance.gradient_checkpointing.enabled", "false", "measuring"));
    SWG__TRY(swg_config_set(t->config, "gradient_checkpointing", t->policy, "measuring"));
    SWG__TRY(swg_config_set(t->config, "data.batch_size", batch, "measuring"));
    swg_status status = swg__trial_open(ctx, t->config, false, &trial);
    for (int i = 0; i < 2 && status == SWG_OK; i++) { /* the first one to warm up */
        const double begin = swg__work_clock_ns(t->threads);
        status = swg__trial_step(&trial);
        a->seconds = (swg__work_clock_ns(t->threads) - begin) * 1e-9;
    }
    a->measured = swg_context_peak_rss_growth(ctx);
    if (trial.run.ctx)
        swg__trial_close(&trial);
    return status;
}

static void measure(const void *arg, void *answered) {
    const task *t = arg;
    answer *a = answered;
    swg_context *ctx;
    a->status = swg_context_open(&(swg_context_opts){.threads = t->threads, .isa = t->isa}, &ctx);
    if (a->status != SWG_OK)
        return;
    a->status = run_steps(ctx, t, a);
    if (a->status != SWG_OK)
        snprintf(a->message, sizeof a->message, "%s", swg_context_message(ctx));
    swg_context_close(ctx);
}

static swg_status measure_row(swg__run *r, swg_train_recompute *row, double *seconds) {
    const task t = {.config = r->config, .policy = row->name, .isa = swg_context_isa(r->ctx), .batch = r->recipe.batch, .threads = swg_context_threads(r->ctx)};
    const int64_t available = swg__available_bytes();
    answer a = {.status = SWG_EIO};
    cpu_set_t cpus;
    bool heard;
    if (available > 0 && row->peak_bytes > available / 10 * 9) {
        snprintf(row->failure, sizeof row->failure, "not run: %.2f GiB of memory are available", (double)available / 1073741824);
        return SWG_OK;
    }
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return swg__fail(r->ctx, SWG_EIO, "the processors of this process are unknown");
    SWG__TRY(swg__child_run(r->ctx, &cpus, measure, &t, &a, sizeof a, &heard));
    if (!heard || a.status != SWG_OK) {
        snprintf(row->failure, sizeof row->failure, "%s", heard ? a.message : "the measuring process ended early (out of memory?)");
        return SWG_OK;
    }
    *seconds = a.seconds;
    row->measured_bytes = a.measured > row->measured_bytes ? a.measured : row->measured_bytes;
    return SWG_OK;
}

static swg_status measure_rows(swg__run *r, const swg_train_recompute_opts *o, swg_train_recompute *rows, int count) {
    double (*seconds)[SWG_TRAIN_RECOMPUTE] = swg__calloc(r->ctx, (size_t)o->rounds, sizeof *seconds);
    swg_status status = seconds ? SWG_OK : swg__fail_memory(r->ctx, (size_t)o->rounds * sizeof *seconds, "times");
    int first = -1;
    for (int round = 0; round < o->rounds && status == SWG_OK; round++)
        for (int i = 0; i < count && status == SWG_OK; i++) {
            if (rows[i].failure[0])
                continue;
            if (o->progress)
                o->progress(o->user, rows[i].name, round);
            status = measure_row(r, &rows[i], &seconds[round][i]);
        }
    for (int i = 0; i < count && status == SWG_OK; i++) {
        double own[ROUNDS], ratio[ROUNDS];
        if (rows[i].failure[0])
            continue;
        first = first < 0 ? i : first;
        for (int round = 0; round < o->rounds; round++) {
            own[round] = seconds[round][i];
            ratio[round] = seconds[round][i] / seconds[round][first];
        }
        rows[i].seconds = swg__median(own, o->rounds);
        rows[i].slower = swg__median(ratio, o->rounds);
    }
    swg__free(r->ctx, seconds);
    return status;
}

swg_status swg_train_compare_recompute(swg_context *ctx, swg_config *config, const swg_train_recompute_opts *opts, swg_train_recompute *rows, int *count) {
    swg__run r = {.ctx = ctx, .config = config};
    *count = 0;
    if (opts->rounds < 0 || opts->rounds > ROUNDS)
        return swg__fail(ctx, SWG_EUSAGE, "recomputation: %d rounds, expected 0 to %d", opts->rounds, ROUNDS);
    swg_status status = plan_rows(&r, opts, rows, count);
    if (status == SWG_OK && opts->rounds)
        status = measure_rows(&r, opts, rows, *count);
    swg_tuning_close(r.tuning);
    return status;
}

/* ---- published names ---- */

static swg_status copy_config(swg_context *ctx, swg_config *config, swg_config **out) {
    const char *text;
    SWG__TRY(swg_config_yaml(config, &text));
    return swg_config_open_text(ctx, text, "a copy", NULL, out);
}

swg_status swg_enable_gradient_checkpointing(swg_context *ctx, swg_config *model, const swg_checkpointing_opts *opts, swg_config **out) {
    static const char *const enabled = "performance.gradient_checkpointing.enabled";
    static const swg_checkpointing_opts published = {.checkpoint_blocks = true, .checkpoint_attention = true};
    const swg_checkpointing_opts *o = opts ? opts : &published;
    const char *policy = o->checkpoint_blocks ? "blocks" : o->checkpoint_attention ? "attention" : NULL;
    swg_status status = SWG_OK;
    *out = model;
    if (!o->inplace)
        SWG__TRY(copy_config(ctx, model, out));
    if (policy && swg_config_has(*out, enabled)) /* which would rule over ours */
        status = swg_config_set(*out, enabled, "null", "enable_gradient_checkpointing");
    if (policy && status == SWG_OK)
        status = swg_config_set(*out, "gradient_checkpointing", policy, "enable_gradient_checkpointing");
    if (status == SWG_OK)
        return SWG_OK;
    if (!o->inplace)
        swg_config_close(*out);
    *out = NULL;
    return status;
}

static swg_status estimate(swg_context *ctx, swg_config *config, swg_memory_savings *out) {
    swg__run r = {.ctx = ctx, .config = config};
    swg__stage s = {0};
    swg_value outputs[SWG__STAGE_OUTPUTS];
    SWG__TRY(swg__recipe_read(ctx, config, &r.recipe));
    swg_status status = swg__step_graph_build(ctx, &r.recipe, r.recipe.batch, true, &s.graph);
    if (status == SWG_OK) {
        const int count = swg__stage_outputs(&s.graph, true, outputs);
        swg_plan_opts opts = swg__recipe_plan_opts(&r.recipe, outputs, count, false);
        opts.recompute = r.recipe.budget.policy ? r.recipe.budget : r.recipe.recompute;
        if (opts.recompute.policy == SWG_RECOMPUTE_DEFAULT)
            opts.recompute.policy = SWG_RECOMPUTE_BLOCKS;
        status = swg_estimate_memory_savings(s.graph.g, &opts, out);
    }
    swg__stage_free(&s);
    return status;
}

swg_status swg_train_estimate_memory_savings(swg_context *ctx, swg_config *model, int ndim, const int64_t *shape, int64_t batch_size, swg_memory_savings *out) {
    int64_t input[8];
    char batch[32];
    swg_config *config;
    *out = (swg_memory_savings){0};
    if (ndim < 0 || ndim > 7 || batch_size < 0)
        return swg__fail(ctx, SWG_EINVAL, "estimate_memory_savings: %d axes, a batch of %lld", ndim, (long long)batch_size);
    input[0] = batch_size ? batch_size : 1;
    for (int i = 0; i < ndim; i++)
        input[1 + i] = shape[i];
    snprintf(batch, sizeof batch, "%lld", (long long)input[0]);
    SWG__TRY(copy_config(ctx, model, &config));
    swg_status status = ndim ? swg_train_set_input(ctx, config, 1 + ndim, input) : swg_config_set(config, "data.batch_size", batch, "estimate_memory_savings");
    if (status == SWG_OK)
        status = estimate(ctx, config, out);
    swg_config_close(config);
    return status;
}
