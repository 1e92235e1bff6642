/* memory.c - what a run may take and what it will: plans of a step under the recipe's budget, and the batch that fits.
 * In: a recipe. Out: plans; a batch size. No allocation that fails is ever used as a signal.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "context.h"
#include "train/run.h"

enum { LARGEST_BATCH = 1 << 16 };

int64_t swg__run_average_bytes(const swg__recipe *recipe, int64_t weights_bytes) { return recipe->optimiser.average ? weights_bytes : 0; }
int64_t swg__run_batch_bytes(const swg__recipe *recipe, int64_t batch) { return batch * recipe->family->sample_values(recipe) * (int64_t)sizeof(float); }

int64_t swg__run_loader_bytes(const swg__recipe *recipe, int64_t batch) {
    return swg__loader_bytes(recipe->workers, recipe->prefetch, swg__run_batch_bytes(recipe, batch));
}

/* Of a run beside the plan: batches read ahead, the average of the weights, and what the process takes anyway. */
static int64_t beside_plan(const swg__run *r, const swg_graph *g, int64_t batch) {
    int64_t weights = swg_graph_parameters(g) * (int64_t)sizeof(float), base = r->ctx->rss_base_bytes;
    return swg__run_loader_bytes(&r->recipe, batch) + swg__run_average_bytes(&r->recipe, weights) + (base > 0 ? base : 0);
}

/* A budget in bytes is that of the whole run, a share that of the plan. */
static swg_recompute recompute_of(const swg__run *r, const swg_graph *g, int64_t batch) {
    swg_recompute recompute = r->recipe.recompute;
    if (r->recipe.budget.policy == SWG_RECOMPUTE_BUDGET && recompute.policy == SWG_RECOMPUTE_DEFAULT) {
        recompute = r->recipe.budget;
        if (recompute.budget_bytes) {
            recompute.budget_bytes -= beside_plan(r, g, batch);
            recompute.budget_bytes = recompute.budget_bytes < 1 ? 1 : recompute.budget_bytes;
        }
    }
    return recompute;
}

int swg__stage_outputs(const swg__step_graph *s, bool training, swg_value out[SWG__STAGE_OUTPUTS]) {
    int count = 0;
    out[count++] = s->loss;
    for (int i = 0; i < s->terms; i++)
        out[count++] = s->term[i];
    if (training)
        out[count++] = s->norm;
    for (int i = 0; i < s->kept && training; i++)
        out[count++] = s->keep[i];
    for (int i = 0; i < s->outputs && !training; i++)
        out[count++] = s->out[i];
    return count;
}

/* tuned: as the run will use it; else only to see what it takes. */
static swg_status make(swg__run *r, swg__stage *s, int64_t batch, bool training, const swg_recompute *recompute, bool tuned) {
    SWG__TRY(swg__step_graph_build(r->ctx, &r->recipe, batch, training, &s->graph));
    swg_value outputs[SWG__STAGE_OUTPUTS];
    int count = swg__stage_outputs(&s->graph, training, outputs);
    swg_plan_opts opts = swg__recipe_plan_opts(&r->recipe, outputs, count, false);
    opts.recompute = recompute ? *recompute : training ? recompute_of(r, s->graph.g, batch) : (swg_recompute){0};
    return tuned ? swg__run_plan(r, s->graph.g, &opts, &s->plan) : swg_plan_make(s->graph.g, &opts, &s->plan);
}

/* Adds to the message of a plan that refused its budget what the user can change. */
static swg_status refuse(swg__run *r, const swg_graph *g, int64_t batch) {
    char text[400], hint[96] = "";
    snprintf(text, sizeof text, "%s", swg_context_message(r->ctx));
    int64_t low = 0, beside = r->recipe.budget.budget_bytes ? beside_plan(r, g, batch) : 0;
    for (int64_t high = batch; low + 1 < high;) {
        int64_t middle = low + (high - low) / 2;
        swg__stage s = {0};
        swg_status status = make(r, &s, middle, true, NULL, false);
        swg__stage_free(&s);
        if (status != SWG_OK && status != SWG_EINVAL)
            return status;
        *(status == SWG_OK ? &low : &high) = middle;
    }
    if (low)
        snprintf(hint, sizeof hint, "; the largest data.batch_size that fits is %lld", (long long)low);
    return swg__fail(r->ctx, SWG_EINVAL, "memory.budget: %s, beside it %.1f MiB for the process and its batches%s", text, (double)beside / 1048576, hint);
}

swg_status swg__stage_make(swg__run *r, swg__stage *s, int64_t batch, bool training) {
    if (batch == 0)
        return SWG_OK;
    swg_status status = make(r, s, batch, training, NULL, true);
    bool budget = training && r->recipe.budget.policy == SWG_RECOMPUTE_BUDGET && r->recipe.budget.budget_bytes;
    return status == SWG_EINVAL && budget && s->graph.g ? refuse(r, s->graph.g, batch) : status;
}

/* ---- data.batch_size=auto ---- */

/* The k-th batch that may be chosen; a batch norm needs two samples. */
static int64_t batch_number(const swg__run *r, int64_t k) {
    int64_t multiple = r->recipe.batch_multiple;
    k += multiple < 2 && r->recipe.family->least_batch(&r->recipe) > 1;
    return multiple ? (k + 1) * multiple : (int64_t)1 << k;
}

static swg_status bytes_for(swg__run *r, int64_t batch, const swg_recompute *recompute, bool whole, int64_t *bytes) {
    swg__stage s = {0};
    swg_status status = make(r, &s, batch, true, recompute, false);
    if (status == SWG_OK)
        *bytes = swg_plan_memory_of(s.plan).peak_bytes + beside_plan(r, s.graph.g, batch) -
                 (whole || r->ctx->rss_base_bytes < 0 ? 0 : r->ctx->rss_base_bytes); /* what is available is so beside the process */
    swg__stage_free(&s);
    return status;
}

typedef struct fit { int64_t batch, bytes, next, next_bytes; } fit; /* next: the first that does not fit; 0: the data fill none larger */

/* The largest of the batches whose plan fits, by bisection; 0 if none does. */
static swg_status largest(swg__run *r, int64_t samples, const swg_recompute *recompute, int64_t budget, bool whole, fit *out) {
    int64_t most = samples < LARGEST_BATCH ? samples : LARGEST_BATCH, low = -1, high = 0;
    *out = (fit){0};
    while (batch_number(r, high) <= most && high < LARGEST_BATCH)
        high++;
    high = high ? high : 1;
    for (int64_t end = high; low + 1 < high;) { /* low fits, high does not or is no choice */
        int64_t middle = high == end && low < 0 ? high - 1 : low + (high - low) / 2, bytes = 0; /* most often all the data fit */
        SWG__TRY(bytes_for(r, batch_number(r, middle), recompute, whole, &bytes));
        if (budget == 0 || bytes <= budget) {
            low = middle;
            out->batch = batch_number(r, middle);
            out->bytes = bytes;
        } else {
            high = middle;
            out->next = batch_number(r, middle);
            out->next_bytes = bytes;
        }
    }
    return SWG_OK;
}

static const char *size_text(int64_t bytes, char *out, size_t capacity) {
    bool large = bytes >= (int64_t)1 << 30;
    snprintf(out, capacity, "%.2f %s", (double)bytes / (large ? 1073741824. : 1048576.), large ? "GiB" : "MiB");
    return out;
}

static void report(const swg__run *r, const fit *chosen, int64_t budget, int64_t with_blocks) {
    char own[32], all[32], next[32], tail[128] = "", blocks[64] = "";
    if (chosen->next)
        snprintf(tail, sizeof tail, "; %lld would need %s", (long long)chosen->next, size_text(chosen->next_bytes, next, sizeof next));
    if (with_blocks > chosen->batch)
        snprintf(blocks, sizeof blocks, "; with gradient_checkpointing=blocks %lld", (long long)with_blocks);
    swg__run_note(r, "batch %lld (auto%s%s): %s of %s%s%s", (long long)chosen->batch, r->recipe.recompute.policy ? ", gradient_checkpointing=" : "",
                  r->recipe.recompute.policy ? swg_recompute_name(r->recipe.recompute.policy) : "", size_text(chosen->bytes, own, sizeof own),
                  budget ? size_text(budget, all, sizeof all) : "unknown memory", tail, blocks);
}

swg_status swg__run_choose_batch(swg__run *r, int64_t samples) {
    bool given = r->recipe.budget.policy == SWG_RECOMPUTE_BUDGET;
    int64_t budget = given ? r->recipe.budget.budget_bytes : swg__available_bytes() / 10 * 9;
    const swg_recompute blocks = {.policy = SWG_RECOMPUTE_BLOCKS};
    fit own, other = {0};
    SWG__TRY(largest(r, samples, &r->recipe.recompute, budget, given, &own));
    if (own.next && r->recipe.recompute.policy == SWG_RECOMPUTE_DEFAULT)
        SWG__TRY(largest(r, samples, &blocks, budget, given, &other));
    if (given && other.batch >= 2 * own.batch && other.batch > 0) { /* recomputation of blocks is worth twice the batch */
        r->recipe.recompute = blocks;
        own = other;
    }
    if (own.batch == 0) { /* the least there is; under a budget of the user's, its plan says whether it can be */
        own.batch = batch_number(r, 0);
        SWG__TRY(bytes_for(r, own.batch, NULL, given, &own.bytes));
    }
    r->recipe.batch = own.batch;
    report(r, &own, budget, other.batch);
    return SWG_OK;
}

/* The size a resumed run began with, else what fits. It becomes part of the configuration. */
swg_status swg__run_settle_batch(swg__run *r, int64_t samples) {
    if (r->recipe.batch)
        return SWG_OK;
    const char *before = r->checkpoint ? swg_safetensors_note(r->checkpoint, "run.batch_size") : NULL;
    r->recipe.batch = before ? strtoll(before, NULL, 10) : 0;
    if (r->recipe.batch < 1)
        SWG__TRY(swg__run_choose_batch(r, samples));
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)r->recipe.batch);
    return swg_config_set(r->config, "data.batch_size", text, "auto");
}
