/* run.c - opening, running and destroying a plan. A run only walks the steps: no allocation, no look-ups.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "plan/profile.h"
#include "plan/replay.h"
#include "provider/provider.h"

/* Start of a value's memory. For a panel: of worker 0's panel. */
static void *address(const swg_plan *plan, swg_value v) {
    swg_value base = swg__base_of(plan->g, v);
    const swg__location *where = &plan->where[base];
    int64_t size = (int64_t)swg__dtype_size(plan->g->dtype);
    switch (where->kind) {
    case SWG__IN_BUFFER: {
        const swg__buffer *b = &plan->buffers[where->buffer];
        return plan->block + b->life.offset + (b->panel ? plan->buffers[plan->groups[b->group].memory].life.offset : 0);
    }
    case SWG__IN_CONSTANTS: return &plan->constants[base];
    case SWG__IN_ARRAY: {
        const void *data = plan->g->nodes[base].attr.data;
        void *array;
        memcpy(&array, &data, sizeof data); /* nobody writes to it */
        return array;
    }
    case SWG__IN_WEIGHTS: return plan->weights ? plan->weights->value + where->element * size : NULL;
    case SWG__IN_STATES: return plan->weights ? plan->weights->state + where->element * size : NULL;
    case SWG__IN_GRADIENTS:
        return plan->weights && plan->weights->gradient
                   ? plan->weights->gradient + plan->weights->items[where->element].offset * size : NULL;
    case SWG__IN_CALLER: {
        const void *bound = plan->caller[base];
        void *address_of;
        memcpy(&address_of, &bound, sizeof bound);
        return address_of;
    }
    case SWG__IN_NOTHING: break;
    }
    return NULL;
}

/* Panels: pointers are set per worker and panel so that row r of the whole tensor is at pointer + r * row_bytes. */
static bool is_panel(const swg_plan *plan, swg_value v, int64_t *row_bytes) {
    const swg__location *where = &plan->where[swg__base_of(plan->g, v)];
    if (where->kind != SWG__IN_BUFFER || !plan->buffers[where->buffer].panel)
        return false;
    *row_bytes = plan->buffers[where->buffer].row_bytes;
    return true;
}

static int64_t tuned_grain(int64_t grain, int64_t units, int shift) {
    int64_t most = units > grain ? units : grain;
    if (shift < 0)
        return grain >> -shift > 0 ? grain >> -shift : 1;
    return grain > most >> shift ? most : grain << shift;
}

swg_status swg__plan_resolve(swg_plan *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        for (int j = 0; j < n->inputs; j++) {
            s->in[j] = address(plan, n->in[j]);
            if (s->group >= 0)
                s->reads_panel[j] = is_panel(plan, n->in[j], &s->in_row_bytes[j]);
        }
        s->call.scratch = s->scratch >= 0 ? plan->block + plan->buffers[s->scratch].life.offset : NULL;
        s->call.packed = s->packed >= 0 ? plan->block + plan->buffers[s->packed].life.offset : NULL;
        if (s->packs) {
            s->call.out = s->call.scratch;
        } else {
            s->call.out = address(plan, s->node);
            s->writes_panel = s->group >= 0 && is_panel(plan, s->node, &s->out_row_bytes);
        }
        if (plan->weights) {
            s->call.weight = plan->weights->value;
            s->call.gradient = plan->weights->gradient;
            s->call.moment1 = plan->weights->moment1;
            s->call.moment2 = plan->weights->moment2;
            s->call.largest = plan->weights->largest;
            s->call.sum = plan->weights->sum;
            s->call.segments = plan->weights->segments;
        }
        if (s->kernel->prepare && !s->call.layout && !(s->call.layout = s->kernel->prepare(&plan->arena, &s->call)))
            return swg__fail_memory(plan->ctx, 0, "a step's layout");
        s->units = s->kernel->units(&s->call);
        s->grain = tuned_grain(s->kernel->grain(&s->call), s->units, s->choice.shift);
    }
    return SWG_OK;
}

static int64_t tasks_of(const swg_plan *plan, int i) {
    const swg__step *s = &plan->steps[i];
    return s->group >= 0 ? swg__ceil_div(plan->groups[s->group].rows, plan->groups[s->group].panel_rows) : swg__ceil_div(s->units, s->grain);
}

int swg_plan_parallel_calls(const swg_plan *plan) {
    int calls = 0;
    if (plan->replay) {
        for (int i = 0; i < plan->replay->region_count; i++)
            calls += !plan->replay->regions[i].inline_run;
        return calls;
    }
    for (int i = 0; i < plan->step_count; i += plan->steps[i].group >= 0 ? plan->groups[plan->steps[i].group].count : 1)
        calls += !plan->steps[i].frozen && plan->steps[i].grain > 0 && tasks_of(plan, i) > 1;
    return calls;
}

static swg_status check_weights(const swg_plan *plan, const swg_weights *w) {
    if (w && w->dtype != plan->g->dtype)
        return swg__fail(plan->ctx, SWG_EINVAL, "the weights are of another element type than the graph");
    for (int64_t v = 1; v < plan->g->count; v++) {
        const swg__node *n = &plan->g->nodes[v];
        if (n->op != SWG__PARAM && n->op != SWG__STATE)
            continue;
        const struct swg__weight *items = !w ? NULL : n->op == SWG__PARAM ? w->items : w->states;
        int count = !w ? 0 : n->op == SWG__PARAM ? w->count : w->state_count;
        bool found = false;
        for (int i = 0; i < count && !found; i++)
            found = items[i].offset == n->offset && items[i].ndim == n->ndim &&
                    memcmp(items[i].shape, n->shape, (size_t)n->ndim * sizeof *n->shape) == 0 && swg__same_name(items[i].name, n->name);
        if (!found)
            return swg__fail(plan->ctx, SWG_EINVAL, "the weights do not hold %s \"%s\" of this graph",
                             n->op == SWG__PARAM ? "parameter" : "state", n->name);
    }
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node;
        if (n->op != SWG__UPDATE)
            continue;
        if (!(w && w->gradient && w->span == plan->g->span))
            return swg__fail(plan->ctx, SWG_EINVAL, "the graph updates weights, but these were made without `training`");
        swg__update_spans need = swg__update_spans_of(n);
        if ((need.moment1 && !w->moment1) || (need.moment2 && !w->moment2) || (need.largest && !w->largest) || (need.sum && !w->sum))
            return swg__fail(plan->ctx, SWG_EINVAL, "the weights were made for another optimiser than the graph's");
        int groups = swg__update_groups(plan->g, n);
        for (int p = 0; p < w->count; p++)
            if (w->items[p].group >= groups)
                return swg__fail(plan->ctx, SWG_EINVAL, "parameter \"%s\" is in group %d, the graph's update has %d", w->items[p].name,
                                 w->items[p].group, groups);
    }
    return SWG_OK;
}

swg_status swg_plan_open(swg_plan *plan, swg_weights *weights, swg_plan *host) {
    SWG__TRY(check_weights(plan, weights));
    if (host && (plan->frozen || host->frozen || !host->block || host->memory.arena_bytes < plan->memory.arena_bytes))
        return swg__fail(plan->ctx, SWG_EINVAL, "a plan can share the arena of an open plan that needs no less, and not if one is frozen");
    plan->weights = weights;
    for (int i = 0; i < plan->step_count; i++) {
        int groups = plan->steps[i].call.node->op == SWG__UPDATE ? swg__update_groups(plan->g, plan->steps[i].call.node) : 0;
        if (groups && (!weights->group_limit || groups < weights->group_limit))
            weights->group_limit = groups;
    }
    if (host) {
        swg__free(plan->ctx, plan->shares ? NULL : plan->block);
        plan->block = host->block;
        plan->shares = true;
    } else if (!plan->block) {
        size_t bytes = (size_t)(plan->memory.arena_bytes ? plan->memory.arena_bytes : 64);
        plan->block = swg__alloc(plan->ctx, bytes);
        if (!plan->block)
            return swg__fail_memory(plan->ctx, bytes, "the plan's arena");
        memset(plan->block, 0, bytes); /* touched now: the plan's peak is real from the start */
    }
    for (int64_t v = 1; v < plan->g->count; v++)
        if (plan->g->nodes[v].op == SWG__CONSTANT)
            swg__store(&plan->constants[v], plan->g->dtype, 0, plan->g->nodes[v].attr.f[0]);
    SWG__TRY(swg__plan_resolve(plan));
    if (plan->mode != SWG_PLAN_DEFAULT)
        SWG__TRY(swg__replay_make(plan));
    swg_plan_refresh(plan);
    return SWG_OK;
}

void swg_plan_destroy(swg_plan *plan) {
    if (!plan)
        return;
    swg__provider_release(plan);
    swg__free(plan->ctx, plan->shares ? NULL : plan->block);
    swg__free(plan->ctx, plan->constants);
    swg__free(plan->ctx, plan->buffers);
    swg__free(plan->ctx, plan->where);
    swg__free(plan->ctx, plan->caller);
    swg__free(plan->ctx, plan->outputs);
    swg__free(plan->ctx, plan->map);
    swg__text_free(&plan->explain);
    swg__arena_free(&plan->arena);
    swg_graph_destroy(plan->g);
    swg__free(plan->ctx, plan);
}

void *swg_plan_data(swg_plan *plan, swg_value v) {
    if (v == SWG_NONE || v >= plan->map_count || !plan->map[v] || !plan->block)
        return NULL;
    swg_value own = plan->map[v];
    int op = plan->g->nodes[own].op;
    for (int i = 0; i < plan->output_count; i++)
        if (plan->outputs[i] == own)
            return address(plan, own);
    return op == SWG__INPUT ? address(plan, own) : NULL;
}

swg_status swg_plan_bind(swg_plan *plan, swg_value v, const void *data) {
    swg_value own = v != SWG_NONE && v < plan->map_count ? plan->map[v] : SWG_NONE;
    if (own && plan->where[own].kind == SWG__IN_NOTHING)
        return SWG_OK; /* the input is not read by what the plan computes */
    if (!own || plan->where[own].kind != SWG__IN_CALLER)
        return swg__fail(plan->ctx, SWG_EINVAL, "bind: not an input of a plan made with bind_inputs");
    plan->caller[own] = data;
    for (int i = 0; i < plan->step_count; i++)
        for (int j = 0; j < plan->steps[i].call.node->inputs; j++)
            if (swg__base_of(plan->g, plan->steps[i].call.node->in[j]) == own)
                plan->steps[i].in[j] = data;
    return SWG_OK;
}

/* ---- running ---- */

/* All steps of a group for one panel of rows. records: of this run, [step][worker]; NULL: not recorded. */
static void run_panel(const swg_plan *plan, const swg__group *group, swg__record *records, int64_t task, int worker) {
    int64_t begin = task * group->panel_rows, end = swg__min64(begin + group->panel_rows, group->rows);
    int64_t since = records ? swg__profile_now() : 0;
    for (int i = group->first; i < group->first + group->count; i++) {
        const swg__step *s = &plan->steps[i];
        swg__call call = s->call;
        const void *in[SWG__ROW_INPUTS];
        int64_t shift = worker * group->worker_bytes; /* this worker's memory; then back to where row 0 would be */
        for (int j = 0; j < call.node->inputs; j++)
            in[j] = s->reads_panel[j] ? (const char *)s->in[j] + shift - begin * s->in_row_bytes[j] : s->in[j];
        call.in = in;
        call.seed = plan->seed;
        call.step = plan->step;
        if (s->writes_panel)
            call.out = (char *)call.out + shift - begin * s->out_row_bytes;
        s->kernel->run(&call, begin, end, worker);
        if (records)
            since = swg__record_task(&records[i * plan->ctx->threads + worker], since);
    }
}

void swg__plan_run_task(swg_plan *plan, int i, int64_t task, int worker) {
    const swg__step *s = &plan->steps[i];
    if (s->group >= 0) {
        run_panel(plan, &plan->groups[s->group], NULL, task, worker);
        return;
    }
    int64_t begin = task * s->grain;
    s->kernel->run(&s->call, begin, swg__min64(begin + s->grain, s->units), worker);
}

typedef struct step_job { swg_plan *plan; int step; swg__record *records; } step_job; /* records: as above */

static void run_task(void *arg, int64_t task, int worker) {
    const step_job *job = arg;
    const swg__step *s = &job->plan->steps[job->step];
    if (s->group >= 0) {
        run_panel(job->plan, &job->plan->groups[s->group], job->records, task, worker);
        return;
    }
    int64_t begin = job->records ? swg__profile_now() : 0;
    swg__plan_run_task(job->plan, job->step, task, worker);
    if (job->records)
        swg__record_task(&job->records[job->step * job->plan->ctx->threads + worker], begin);
}

/* span: when a step alone began and ended; NULL: not recorded. */
static void run_step(swg_plan *plan, int i, swg__record *records, swg_span *span) {
    const swg__step *s = &plan->steps[i];
    span = s->group < 0 ? span : NULL;
    if (span)
        span->begin_ns = swg__profile_now();
    swg__parallel(plan->ctx, tasks_of(plan, i), run_task, &(step_job){plan, i, records});
    if (s->group < 0 && s->kernel->finish)
        s->kernel->finish(&s->call);
    if (span)
        span->end_ns = swg__profile_now();
}

void swg_plan_refresh(swg_plan *plan) {
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].frozen)
            run_step(plan, i, NULL, NULL);
}

/* Runs the step at i, or the whole group that begins there; returns the step behind it. records and profile: NULL unless this run is recorded. */
static int run_at(swg_plan *plan, int i, uint64_t seed, uint32_t step, swg_profile *profile, swg__record *records) {
    swg__step *s = &plan->steps[i];
    plan->seed = s->call.seed = seed;
    plan->step = s->call.step = step;
    if (!s->frozen)
        run_step(plan, i, records, profile ? &profile->step[profile->runs * profile->steps + i] : NULL);
    return i + (s->group >= 0 ? plan->groups[s->group].count : 1);
}

int swg__plan_run_at(swg_plan *plan, int i, uint64_t seed, uint32_t step) { return run_at(plan, i, seed, step, NULL, NULL); }

swg_status swg_plan_run(swg_plan *plan, uint64_t seed, uint32_t step) {
    if (!plan->block)
        return swg__fail(plan->ctx, SWG_EINVAL, "the plan is not open");
    for (int64_t v = 1; plan->bind_inputs && v < plan->g->count; v++)
        if (plan->where[v].kind == SWG__IN_CALLER && !plan->caller[v])
            return swg__fail(plan->ctx, SWG_EINVAL, "input \"%s\" is not bound", plan->g->nodes[v].name);
    swg_profile *profile = plan->profile && plan->profile->runs < plan->profile->capacity ? plan->profile : NULL;
    swg__record *records = profile ? profile->worker + profile->runs * profile->steps * profile->workers : NULL;
    if (profile)
        profile->run[profile->runs].begin_ns = swg__profile_now();
    if (plan->replay && !profile && !plan->watch) { /* what is recorded or looked at are steps, one by one */
        swg__replay_run(plan->replay, seed, step);
        return SWG_OK;
    }
    for (int i = 0, next; i < plan->step_count; i = next) {
        next = run_at(plan, i, seed, step, profile, records);
        if (plan->watch)
            swg__plan_look(plan, i, next - i);
    }
    if (profile)
        swg__profile_end(profile);
    return SWG_OK;
}

void swg_plan_explain(const swg_plan *plan, FILE *file) {
    fputs(plan->explain.data ? plan->explain.data : "", file);
    if (plan->replay)
        fprintf(file, "replay: %d steps and groups in %d regions, %d of them on all threads\n", plan->replay->entry_count, plan->replay->region_count,
                swg_plan_parallel_calls(plan));
}

void swg_plan_print(const swg_plan *plan, FILE *file) {
    for (int i = 0; i < plan->step_count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        fprintf(file, "%3d %-12s %-10s", s->time, s->frozen ? "(when opened)" : s->kernel->name, swg__ops[n->op].text);
        if (n->op == SWG__PROGRAM) {
            fprintf(file, " [");
            for (int k = 0; k < n->attr.program->length; k++)
                fprintf(file, "%s%s", k ? " " : "", swg__ops[n->attr.program->code[k].op].text);
            fprintf(file, "]");
        }
        if (swg__ops[n->op].class == SWG__CONTRACTION)
            fprintf(file, "%s%s%s", n->attr.bias ? " +bias" : "", n->attr.relu ? " +relu" : "", n->attr.gate ? " +gate" : "");
        fprintf(file, " (");
        for (int k = 0; k < n->ndim; k++)
            fprintf(file, "%s%lld", k ? "," : "", (long long)n->shape[k]);
        fprintf(file, ")");
        const swg__location *where = &plan->where[swg__base_of(plan->g, s->node)];
        if (where->kind == SWG__IN_BUFFER && !s->packs) {
            const swg__buffer *b = &plan->buffers[where->buffer];
            fprintf(file, " at %lld, %lld bytes, steps %d-%d%s", (long long)b->life.offset, (long long)b->life.bytes, b->life.first,
                    b->life.last, b->panel ? ", panel" : "");
        }
        if (s->group >= 0)
            fprintf(file, " group %d", s->group);
        fprintf(file, "%s%s%s\n", n->clone ? " again" : "", *n->name ? "  " : "", n->name);
    }
}
