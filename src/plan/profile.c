/* profile.c - room for the times of a plan's steps, and what a step has to do.
 * In: a plan, later its runs. Out: spans per run, step and worker.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>
#include "plan/profile.h"

int64_t swg__profile_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

swg_status swg_profile_create(const swg_plan *plan, int64_t runs, swg_profile **out) {
    *out = NULL;
    swg_context *ctx = plan->ctx;
    if (runs < 1)
        return swg__fail(ctx, SWG_EINVAL, "profile: room for %lld runs was asked for; it takes one at least", (long long)runs);
    int64_t steps = plan->step_count, records;
    if (swg__mul_overflow(runs, steps * ctx->threads, &records) || records > INT64_MAX / (int64_t)sizeof(swg__record))
        return swg__fail(ctx, SWG_EINVAL, "profile: %lld runs are too many", (long long)runs);
    swg_profile *p = swg__calloc(ctx, 1, sizeof *p);
    if (p) {
        *p = (swg_profile){.plan = plan, .ctx = ctx, .capacity = runs, .steps = plan->step_count, .workers = ctx->threads};
        p->run = swg__calloc(ctx, (size_t)runs, sizeof *p->run);
        p->step = swg__calloc(ctx, (size_t)(runs * steps + 1), sizeof *p->step);
        p->worker = swg__calloc(ctx, (size_t)records + 1, sizeof *p->worker);
    }
    if (!p || !p->run || !p->step || !p->worker) {
        swg_profile_destroy(p);
        return swg__fail_memory(ctx, (size_t)records * sizeof(swg__record), "a profile");
    }
    *out = p;
    return SWG_OK;
}

void swg_profile_destroy(swg_profile *p) {
    if (!p)
        return;
    swg__free(p->ctx, p->worker);
    swg__free(p->ctx, p->step);
    swg__free(p->ctx, p->run);
    swg__free(p->ctx, p);
}

swg_status swg_plan_profile(swg_plan *plan, swg_profile *profile) {
    if (profile && profile->plan != plan)
        return swg__fail(plan->ctx, SWG_EINVAL, "the profile was made for another plan");
    plan->profile = profile;
    return SWG_OK;
}

void swg__profile_end(swg_profile *p) {
    swg_span *run = &p->run[p->runs];
    run->end_ns = swg__profile_now();
    const swg__record *record = p->worker + p->runs * p->steps * p->workers;
    for (int64_t i = 0; i < (int64_t)p->steps * p->workers; i++) {
        run->busy_ns += record[i].span.busy_ns;
        run->tasks += record[i].span.tasks;
    }
    p->runs++;
}

void swg_profile_forget(swg_profile *p) {
    if (p->runs == 0)
        return;
    const int64_t run = --p->runs, records = (int64_t)p->steps * p->workers;
    p->run[run] = (swg_span){0};
    memset(p->step + run * p->steps, 0, (size_t)p->steps * sizeof *p->step);
    memset(p->worker + run * records, 0, (size_t)records * sizeof *p->worker);
}

/* ---- what a step is ---- */

/* Is the value only ever seen panel by panel? */
static bool is_panel(const swg_plan *plan, swg_value v) {
    const swg__location *where = &plan->where[swg__base_of(plan->g, v)];
    return where->kind == SWG__IN_BUFFER && plan->buffers[where->buffer].panel;
}

/* The update works on spans, not on the values that stand for them. */
static int64_t update_bytes(const swg_plan *plan, const swg__node *n, const swg__kernel *kernel) {
    int pass = SWG__UPDATE_PASSES - 1;
    while (pass >= 0 && kernel != &swg__kernel_update_pass[pass])
        pass--;
    swg__update_spans s = swg__update_spans_of(n);
    if (pass >= 0) /* reads two spans and writes one; the last reads weights and both moments */
        return plan->g->span * (int64_t)swg__dtype_size(plan->g->dtype) * (pass == SWG__UPDATE_PASSES - 1 ? 4 + 2 * s.largest : 3);
    int64_t read = 1 + s.gradient + s.moment1 + s.moment2 + s.largest, written = 1 + s.moment1 + s.moment2 + s.largest;
    return plan->g->span * (int64_t)swg__dtype_size(plan->g->dtype) * (read + written);
}

static void count_bytes(const swg_plan *plan, const swg__step *s, swg_step_info *out) {
    const swg__node *n = s->call.node;
    if (s->packs) {
        out->bytes = swg__node_bytes(&plan->g->nodes[n->in[1]]) + plan->buffers[s->scratch].life.bytes;
        return;
    }
    if (n->op == SWG__UPDATE) {
        out->bytes = update_bytes(plan, n, s->kernel);
        return;
    }
    bool part = swg__ops[n->op].class == SWG__MOVE || n->op == SWG__GATHER || n->op == SWG__TAKE; /* reads what it writes, no more */
    for (int j = 0; j < n->inputs; j++) {
        int64_t bytes = swg__node_bytes(&plan->g->nodes[n->in[j]]);
        if (part)
            bytes = swg__min64(bytes, swg__node_bytes(n));
        out->bytes += bytes;
        out->panel_bytes += s->group >= 0 && is_panel(plan, n->in[j]) ? bytes : 0;
    }
    out->bytes += swg__node_bytes(n);
    out->panel_bytes += s->group >= 0 && is_panel(plan, s->node) ? swg__node_bytes(n) : 0;
}

bool swg_plan_step(const swg_plan *plan, int step, swg_step_info *out) {
    *out = (swg_step_info){0};
    if (step < 0 || step >= plan->step_count)
        return false;
    const swg__step *s = &plan->steps[step];
    const swg__node *n = s->call.node;
    *out = (swg_step_info){.op = swg__ops[n->op].text, .kernel = s->kernel->name, .scope = n->name ? n->name : "", .shape = n->shape,
                           .ndim = n->ndim, .dtype = (swg_dtype)n->dtype,
                           .bf16 = swg__ops[n->op].class == SWG__CONTRACTION && plan->g->nodes[n->in[0]].dtype == SWG_BF16, .flop = s->packs ? 0 : 2 * swg__node_macs(plan->g, n),
                           .group = s->group, .packs = s->packs, .frozen = s->frozen, .backward = n->backward != 0};
    const swg__group *group = s->group >= 0 ? &plan->groups[s->group] : NULL;
    if (group)
        out->tasks = swg__ceil_div(group->rows, group->panel_rows);
    else
        out->tasks = s->grain > 0 ? swg__ceil_div(s->units, s->grain) : 0; /* known once the plan is open */
    count_bytes(plan, s, out);
    return true;
}

swg_live swg_plan_live(const swg_plan *plan, int step) {
    int64_t live[SWG__CAT_COUNT] = {0};
    int time = step >= 0 && step < plan->step_count ? plan->steps[step].time : -1;
    for (int i = 0; i < plan->buffer_count; i++) {
        const swg__buffer *b = &plan->buffers[i];
        if (!b->panel && b->life.first <= time && time <= b->life.last)
            live[b->category] += (b->life.bytes + 63) / 64 * 64;
    }
    return (swg_live){.saved_bytes = live[SWG__CAT_SAVED], .transient_bytes = live[SWG__CAT_TRANSIENT],
                      .scratch_bytes = live[SWG__CAT_SCRATCH], .io_bytes = live[SWG__CAT_IO]};
}

/* ---- what was recorded ---- */

int64_t swg_profile_runs(const swg_profile *p) { return p->runs; }
int swg_profile_workers(const swg_profile *p) { return p->workers; }

swg_span swg_profile_run(const swg_profile *p, int64_t run) {
    return run >= 0 && run < p->runs ? p->run[run] : (swg_span){0};
}

swg_span swg_profile_worker(const swg_profile *p, int64_t run, int step, int worker) {
    bool exists = run >= 0 && run < p->runs && step >= 0 && step < p->steps && worker >= 0 && worker < p->workers;
    return exists ? p->worker[(run * p->steps + step) * p->workers + worker].span : (swg_span){0};
}

swg_span swg_profile_step(const swg_profile *p, int64_t run, int step) {
    if (run < 0 || run >= p->runs || step < 0 || step >= p->steps)
        return (swg_span){0};
    swg_span all = p->step[run * p->steps + step];
    for (int w = 0; w < p->workers; w++) {
        swg_span one = swg_profile_worker(p, run, step, w);
        if (one.tasks == 0)
            continue;
        all.busy_ns += one.busy_ns;
        all.tasks += one.tasks;
        all.begin_ns = all.begin_ns == 0 || one.begin_ns < all.begin_ns ? one.begin_ns : all.begin_ns;
        all.end_ns = one.end_ns > all.end_ns ? one.end_ns : all.end_ns;
    }
    return all;
}
