/* make.c - from a graph to a plan: copy, rewrite, then the stages of maker.h.
 * Nothing is allocated for data here; swg_plan_open does that.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"
#include "plan/maker.h"
#include "provider/provider.h"

/* ---- copy ---- */

/* keep[v] = 1 for what stays a value of its own: outputs, and what is written to a place that is given. */
static void mark_kept(const swg_graph *g, const swg_plan_opts *opts, uint8_t *keep) {
    for (int i = 0; i < opts->output_count; i++)
        keep[opts->outputs[i]] = 1;
    for (int64_t v = 1; v < g->count; v++)
        for (int j = 0; swg__ops[g->nodes[v].op].class == SWG__OPTIM && j < g->nodes[v].inputs; j++)
            keep[swg__base_of(g, g->nodes[v].in[j])] = 1;
}

/* The copy is not differentiated any more: what is detached there is the value itself, and forward values that differed by that alone, as a
 * discriminator's of a generator's image, are one. They are merged before recomputation asks which of them to keep. */
static swg_value merged(swg_graph *c, swg_value *table, int64_t slots, swg_value v) {
    const swg__node *n = &c->nodes[v];
    if (n->backward || !swg__mergeable(n))
        return v;
    swg_value first = swg__first_equal(c, table, slots, v);
    if (first == v || c->nodes[first].precise != n->precise || c->nodes[first].remat != n->remat)
        return v;
    c->count--; /* v, the last one */
    return first;
}

static swg_status copy_live(const swg_graph *g, const swg_plan_opts *opts, swg_plan *plan) {
    swg_context *ctx = g->ctx;
    swg_graph *c;
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = g->dtype}, &c));
    plan->g = c;
    plan->map = swg__calloc(ctx, (size_t)g->count, sizeof *plan->map);
    uint8_t *live = swg__calloc(ctx, (size_t)g->count, 1), *keep = swg__calloc(ctx, (size_t)g->count, 1);
    int64_t slots;
    swg_value *table = swg__equal_table(g, &slots);
    int detached = 0, equal = 0;
    plan->outputs = swg__calloc(ctx, (size_t)opts->output_count, sizeof *plan->outputs);
    swg_status status = plan->map && live && keep && table && plan->outputs ? SWG_OK : swg__fail_memory(ctx, (size_t)g->count * 14, "a plan");
    for (int i = 0; status == SWG_OK && i < opts->output_count; i++) {
        if (opts->outputs[i] == SWG_NONE || opts->outputs[i] >= g->count)
            status = swg__fail(ctx, SWG_EINVAL, "plan: output %d is not a value of the graph", i);
        else
            live[opts->outputs[i]] = 1;
    }
    for (int64_t v = 1; v < g->count && status == SWG_OK; v++) /* an input that nothing reads may still be bound */
        live[v] |= g->nodes[v].op == SWG__INPUT;
    plan->map_count = g->count;
    for (int64_t v = g->count - 1; v > 0 && status == SWG_OK; v--)
        for (int j = 0; live[v] && j < g->nodes[v].inputs; j++)
            live[g->nodes[v].in[j]] = 1;
    if (status == SWG_OK)
        mark_kept(g, opts, keep);
    for (int64_t v = 1; v < g->count && status == SWG_OK; v++) {
        const swg__node *n = &g->nodes[v];
        if (!live[v])
            continue;
        if (n->op == SWG__DETACH && !n->backward && !keep[v]) {
            plan->map[v] = plan->map[n->in[0]];
            detached++;
            continue;
        }
        swg_value copy = swg__append_like(c, n, (swg__op)n->op, n->dtype, n->ndim, n->shape, n->inputs, n->in, &n->attr);
        if (!copy) {
            status = c->status;
            break;
        }
        swg__node *to = &c->nodes[copy];
        for (int j = 0; j < to->inputs; j++)
            to->in[j] = plan->map[n->in[j]];
        plan->map[v] = keep[v] ? copy : merged(c, table, slots, copy);
        equal += plan->map[v] != copy;
    }
    c->explain = &plan->explain;
    if (detached || equal)
        swg__explain(c, "merge: %d equal operations are one, %d detached values read through", equal, detached);
    c->span = g->span;
    c->state_span = g->state_span;
    for (int i = 0; i < opts->output_count && status == SWG_OK; i++)
        plan->outputs[i] = plan->map[opts->outputs[i]];
    plan->output_count = opts->output_count;
    swg__free(ctx, live);
    swg__free(ctx, keep);
    swg__free(ctx, table);
    return status;
}

typedef swg_status (*copying_pass)(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like);

static swg_status cast_mixed(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    return swg__pass_cast(from, to, outputs, output_count, true, false, like);
}

static swg_status cast_fused(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    return swg__pass_cast(from, to, outputs, output_count, true, true, like);
}

static swg_status cast_as_written(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    return swg__pass_cast(from, to, outputs, output_count, false, false, like);
}

static swg_status quantise_int8(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    (void)outputs, (void)output_count;
    return swg__pass_quantise(from, to, SWG_CODE_U8, SWG_CODE_S8, like);
}

static swg_status quantise_fp8_weights(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    (void)outputs, (void)output_count;
    return swg__pass_quantise(from, to, SWG_CODE_NONE, SWG_CODE_E4M3, like);
}

static swg_status quantise_fp8(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    (void)outputs, (void)output_count;
    return swg__pass_quantise(from, to, SWG_CODE_E4M3, SWG_CODE_E4M3, like);
}

static const copying_pass quantisers[] = {[SWG_QUANTISE_INT8] = quantise_int8, [SWG_QUANTISE_FP8] = quantise_fp8_weights,
                                          [SWG_QUANTISE_FP8_BOTH] = quantise_fp8};

/* Runs a pass that makes a new graph. */
static swg_status remake(swg_plan *plan, copying_pass pass) {
    swg_graph *from = plan->g, *to;
    swg_value *like = swg__alloc(plan->ctx, (size_t)from->count * sizeof *like);
    if (!like)
        return swg__fail_memory(plan->ctx, (size_t)from->count * sizeof *like, "a plan");
    swg_status status = swg_graph_create(plan->ctx, &(swg_graph_opts){.dtype = from->dtype}, &to);
    if (status == SWG_OK) {
        plan->g = to;
        to->explain = from->explain;
        status = pass(from, to, plan->outputs, plan->output_count, like);
        for (int64_t v = 0; status == SWG_OK && v < plan->map_count; v++)
            plan->map[v] = like[plan->map[v]];
        for (int i = 0; status == SWG_OK && i < plan->output_count; i++)
            plan->outputs[i] = like[plan->outputs[i]];
        swg_graph_destroy(from);
    }
    swg__free(plan->ctx, like);
    return status;
}

static swg_status take_biases(swg_plan *plan) {
    int *readers = swg__calloc(plan->ctx, (size_t)plan->g->count, sizeof *readers);
    if (!readers)
        return swg__fail_memory(plan->ctx, (size_t)plan->g->count * sizeof *readers, "a plan");
    swg__work work = {.g = plan->g, .outputs = plan->outputs, .output_count = plan->output_count, .readers = readers};
    swg__work_count(&work);
    swg_status status = swg__pass_bias(&work);
    swg__free(plan->ctx, readers);
    return status;
}

static swg_status rewrite(swg_plan *plan, const swg_plan_opts *opts, int *readers) {
    swg__work work = {.g = plan->g, .outputs = plan->outputs, .output_count = plan->output_count, .readers = readers};
    swg_value *before = swg__alloc(plan->ctx, (size_t)plan->output_count * sizeof *before);
    if (!before)
        return swg__fail_memory(plan->ctx, (size_t)plan->output_count * sizeof *before, "a plan");
    memcpy(before, plan->outputs, (size_t)plan->output_count * sizeof *before);
    swg__work_count(&work);
    swg_status status = swg__pass_fold(&work);
    if (status == SWG_OK && !opts->no_fusion && plan->g->dtype == SWG_F32)
        swg__pass_attend(&work);
    if (status == SWG_OK && !opts->no_fusion)
        status = swg__pass_fuse(&work);
    if (status == SWG_OK && !opts->no_fusion && plan->g->dtype == SWG_F32)
        status = swg__pass_codes(&work);
    for (int i = 0; i < plan->output_count; i++) /* outputs that were merged away keep their names outside */
        for (int64_t v = 0; v < plan->map_count && before[i] != plan->outputs[i]; v++)
            if (plan->map[v] == before[i])
                plan->map[v] = plan->outputs[i];
    swg__free(plan->ctx, before);
    return status;
}

static swg_status make(swg__maker *m, const swg_plan_opts *opts) {
    swg_plan *plan = m->plan;
    SWG__TRY(rewrite(plan, opts, m->readers));
    if (plan->frozen)
        swg__mark_fixed(plan->g, m->fixed);
    SWG__TRY(swg__provider_open(plan, opts->provider));
    for (int i = 0; i < plan->output_count; i++)
        m->is_output[swg__base_of(m->g, plan->outputs[i])] = 1;
    SWG__TRY(swg__schedule(m));
    SWG__TRY(swg__make_groups(m));
    SWG__TRY(swg__make_steps(m));
    return swg__locate(m);
}

/* Order, steps and places of the graph that `plan` has. */
static swg_status settle(swg_plan *plan, const swg_plan_opts *opts) {
    size_t n = (size_t)plan->g->count;
    swg__maker m = {.plan = plan, .g = plan->g};
    swg_context *ctx = plan->ctx;
    m.readers = swg__calloc(ctx, n, sizeof *m.readers);
    m.order = swg__calloc(ctx, n, sizeof *m.order);
    m.group_of = swg__calloc(ctx, n, sizeof *m.group_of);
    m.last_read = swg__calloc(ctx, n, sizeof *m.last_read);
    m.is_output = swg__calloc(ctx, n, 1);
    m.fixed = swg__calloc(ctx, n, 1);
    plan->where = swg__calloc(ctx, n, sizeof *plan->where);
    plan->caller = swg__calloc(ctx, n, sizeof *plan->caller);
    plan->constants = swg__calloc(ctx, n, sizeof *plan->constants);
    swg_status status;
    if (m.readers && m.order && m.group_of && m.last_read && m.is_output && m.fixed && plan->where && plan->caller && plan->constants) {
        for (size_t v = 0; v < n; v++)
            m.group_of[v] = m.last_read[v] = -1;
        status = make(&m, opts);
        if (status == SWG_OK && plan->explain.failed)
            status = swg__fail_memory(ctx, plan->explain.length, "a plan");
    } else {
        status = swg__fail_memory(ctx, n * 32, "a plan");
    }
    swg__free(ctx, m.readers);
    swg__free(ctx, m.order);
    swg__free(ctx, m.group_of);
    swg__free(ctx, m.last_read);
    swg__free(ctx, m.is_output);
    swg__free(ctx, m.fixed);
    return status;
}

static swg_plan *create(swg_context *ctx, const swg_plan_opts *opts) {
    swg_plan *plan = swg__calloc(ctx, 1, sizeof *plan);
    if (!plan)
        return NULL;
    plan->ctx = ctx;
    plan->frozen = opts->frozen;
    plan->bind_inputs = opts->bind_inputs;
    plan->tuning = opts->tuning;
    plan->separate_update = opts->separate_update;
    plan->mode = opts->mode;
    swg__arena_init(&plan->arena, ctx);
    swg__text_init(&plan->explain, ctx);
    return plan;
}

swg_status swg__plan_try(const swg_plan *base, const swg_plan_opts *opts, const uint8_t *drop, int reach, swg_value *like, swg_plan **out) {
    swg_context *ctx = base->ctx;
    swg_plan *plan = create(ctx, opts);
    *out = plan;
    if (!plan)
        return swg__fail_memory(ctx, sizeof *plan, "a plan");
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = base->g->dtype}, &plan->g));
    plan->map = swg__calloc(ctx, (size_t)base->map_count, sizeof *plan->map);
    plan->outputs = swg__calloc(ctx, (size_t)base->output_count, sizeof *plan->outputs);
    if (!plan->map || !plan->outputs)
        return swg__fail_memory(ctx, (size_t)base->map_count * sizeof *plan->map, "a plan");
    plan->map_count = base->map_count;
    plan->output_count = base->output_count;
    swg__text_add(&plan->explain, base->explain.data ? base->explain.data : "", base->explain.length); /* of the passes before */
    plan->g->explain = &plan->explain;
    SWG__TRY(swg__pass_remat(base->g, plan->g, drop, reach, like));
    for (int64_t v = 0; v < plan->map_count; v++)
        plan->map[v] = like[base->map[v]];
    for (int i = 0; i < plan->output_count; i++)
        plan->outputs[i] = like[base->outputs[i]];
    return settle(plan, opts);
}

static bool trains(const swg_graph *g) {
    bool found = false;
    for (int64_t v = 1; v < g->count && !found; v++)
        found = g->nodes[v].backward;
    return found;
}

swg_status swg_plan_make(swg_graph *g, const swg_plan_opts *opts, swg_plan **out) {
    *out = NULL;
    SWG__TRY(swg_graph_status(g));
    swg_context *ctx = g->ctx;
    if (!opts || !opts->outputs || opts->output_count < 1)
        return swg__fail(ctx, SWG_EINVAL, "plan: no outputs asked for");
    swg_plan *plan = create(ctx, opts);
    if (!plan)
        return swg__fail_memory(ctx, sizeof *plan, "a plan");
    swg_status status = copy_live(g, opts, plan);
    if (status == SWG_OK && opts->frozen && !opts->no_fusion)
        status = remake(plan, swg__pass_norm);
    if (status == SWG_OK && !opts->no_layout)
        status = remake(plan, swg__pass_layout);
    if (status == SWG_OK && !opts->no_layout && !opts->no_fusion && !opts->quantise)
        status = remake(plan, swg__pass_rows);
    const bool bf16 = opts->bf16 || (opts->quantise == SWG_QUANTISE_FP8 && swg__isa_table_of(ctx->isa)->peak_bf16);
    if (status == SWG_OK && g->dtype == SWG_F32 && (bf16 || swg__holds_bf16(plan->g)))
        status = remake(plan, !bf16 ? cast_as_written : opts->no_fusion ? cast_mixed : cast_fused);
    if (status == SWG_OK && opts->quantise && g->dtype == SWG_F32) {
        swg__keep_precise(plan->g, opts->keep_f32);
        status = remake(plan, quantisers[opts->quantise]);
    }
    if (status == SWG_OK && bf16 && !opts->no_fusion)
        status = take_biases(plan);
    for (int64_t v = 1; status == SWG_OK && opts->frozen && v < plan->g->count; v++)
        if (plan->g->nodes[v].op == SWG__UPDATE || plan->g->nodes[v].op == SWG__ASSIGN)
            status = swg__fail(ctx, SWG_EINVAL, "plan: the outputs include an update, so the weights cannot be frozen");
    if (status == SWG_OK && plan->explain.failed)
        status = swg__fail_memory(ctx, plan->explain.length, "a plan");
    if (status == SWG_OK && trains(plan->g)) {
        swg_plan *best = NULL;
        status = swg__recompute(plan, g->blocks, opts, &best);
        swg_plan_destroy(plan);
        plan = best;
    } else if (status == SWG_OK) {
        plan->policy = SWG_RECOMPUTE_OFF;
        status = settle(plan, opts);
    }
    if (status != SWG_OK) {
        swg_plan_destroy(plan);
        return status;
    }
    plan->tuning = NULL;
    *out = plan;
    return SWG_OK;
}

swg_memory swg_plan_memory_of(const swg_plan *plan) { return plan->memory; }
int64_t swg_plan_flops(const swg_plan *plan) { return plan->flops; }
int swg_plan_steps(const swg_plan *plan) { return plan->step_count; }
