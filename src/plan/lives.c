/* lives.c - where every value of a plan lies, from which step to which, and what the memory adds up to.
 * SPDX-License-Identifier: Apache-2.0 */
#include "pass/pass.h"
#include "plan/maker.h"

static void extend(swg__life *life, int first, int last) {
    life->first = first < life->first ? first : life->first;
    life->last = last > life->last ? last : life->last;
}

/* First and last time of the group a step belongs to; of the step itself if alone. */
static void span_of(const swg_plan *plan, const swg__step *s, int *first, int *last) {
    *first = *last = s->time;
    if (s->group >= 0) {
        const swg__group *group = &plan->groups[s->group];
        *first = plan->steps[group->first].time;
        *last = plan->steps[group->first + group->count - 1].time;
    }
}

/* Values only ever seen inside one group need a panel per worker, not the whole tensor. */
static bool panel_value(const swg__maker *m, swg_value v) {
    int group = m->group_of[v];
    if (group < 0 || m->is_output[v] || m->plan->where[v].kind != SWG__IN_NOTHING)
        return false;
    for (int64_t r = v + 1; r < m->g->count; r++) {
        const swg__node *n = &m->g->nodes[r];
        if (!m->readers[r])
            continue;
        for (int j = 0; j < n->inputs; j++)
            if (n->in[j] == v && m->group_of[r] != group)
                return false;
    }
    return true;
}

/* Does another step of the same group read `b`? Panels run one after the other through all steps: what one panel's last step
 * writes, the next panel's first step may still read. */
static bool read_in_group(const swg__maker *m, const swg__step *s, swg_value b) {
    const swg__group *group = &m->plan->groups[s->group];
    for (int i = group->first; i < group->first + group->count; i++) {
        const swg__step *other = &m->plan->steps[i];
        for (int j = 0; other != s && j < other->call.node->inputs; j++)
            if (swg__base_of(m->g, other->call.node->in[j]) == b)
                return true;
    }
    return false;
}

/* An element-wise step may write where an input lies that nobody reads later. */
static int in_place(const swg__maker *m, const swg__step *s, bool panel) {
    const swg__node *n = s->call.node;
    if ((swg__ops[n->op].class != SWG__EW && n->op != SWG__DROPOUT) || s->kernel == &swg__kernel_reference)
        return -1;
    for (int j = 0; j < n->inputs; j++) {
        swg_value b = swg__base_of(m->g, n->in[j]);
        const swg__location *where = &m->plan->where[b];
        const swg__node *in = &m->g->nodes[n->in[j]];
        if (where->kind == SWG__IN_BUFFER && !m->fixed[b] && m->last_read[b] == s->time && !m->is_output[b] && m->g->nodes[b].op != SWG__INPUT &&
            swg__node_bytes(in) == swg__node_bytes(n) && in->dtype == n->dtype && m->plan->buffers[where->buffer].panel == panel &&
            (panel || s->group < 0 || !read_in_group(m, s, b)))
            return where->buffer;
    }
    return -1;
}

static swg_status locate_leaves(swg__maker *m) {
    swg_plan *plan = m->plan;
    for (int64_t v = 1; v < m->g->count; v++) {
        const swg__node *n = &m->g->nodes[v];
        swg__location *where = &plan->where[v];
        if (!m->readers[v])
            continue;
        if (n->op == SWG__PARAM) {
            *where = (swg__location){.kind = SWG__IN_WEIGHTS, .element = n->offset};
        } else if (n->op == SWG__STATE || n->op == SWG__ASSIGN) {
            *where = (swg__location){.kind = SWG__IN_STATES, .element = n->offset};
        } else if (n->op == SWG__INPUT && plan->bind_inputs) {
            where->kind = SWG__IN_CALLER;
        } else if (n->op == SWG__ARRAY) {
            where->kind = SWG__IN_ARRAY;
            plan->memory.array_bytes += swg__node_bytes(n);
        } else if (n->op == SWG__CONSTANT) {
            where->kind = SWG__IN_CONSTANTS;
        } else if (n->op == SWG__INPUT) {
            *where = (swg__location){.kind = SWG__IN_BUFFER, .buffer = swg__add_buffer(plan, swg__node_bytes(n), SWG__CAT_IO)};
            if (where->buffer < 0)
                return swg__fail_memory(plan->ctx, 0, "buffers");
            plan->buffers[where->buffer].life.first = 0;
            plan->buffers[where->buffer].life.last = plan->times ? plan->times - 1 : 0;
        }
        /* Each gradient lies in the gradient span at its parameter's offset: the update sees three spans. */
        for (int j = 2, p = 0; n->op == SWG__UPDATE && j < n->inputs; j++, p++)
            plan->where[swg__base_of(m->g, n->in[j])] = (swg__location){.kind = SWG__IN_GRADIENTS, .element = (int64_t)p};
    }
    return SWG_OK;
}

static swg_status locate_values(swg__maker *m) {
    swg_plan *plan = m->plan;
    for (int i = 0; i < plan->step_count; i++) {
        swg__step *s = &plan->steps[i];
        swg_value v = s->node;
        int first, last;
        span_of(plan, s, &first, &last);
        if (s->packs)
            extend(&plan->buffers[s->scratch].life, s->frozen ? 0 : s->time, s->frozen ? plan->times - 1 : s->time);
        if (s->packs)
            continue;
        if (s->scratch >= 0)
            extend(&plan->buffers[s->scratch].life, s->time, last);
        if (s->packed >= 0)
            extend(&plan->buffers[s->packed].life, s->time, last);
        swg__location *where = &plan->where[v];
        if (where->kind == SWG__IN_NOTHING) {
            bool panel = panel_value(m, v);
            const swg__node *n = s->call.node;
            int buffer = in_place(m, s, panel);
            if (buffer < 0) {
                int64_t row = n->ndim ? swg__node_bytes(n) / n->shape[0] : 0;
                int64_t bytes = panel ? plan->groups[s->group].panel_rows * row : swg__node_bytes(n);
                buffer = swg__add_buffer(plan, bytes, panel ? SWG__CAT_SCRATCH : SWG__CAT_TRANSIENT);
                if (buffer < 0)
                    return swg__fail_memory(plan->ctx, 0, "buffers");
                plan->buffers[buffer].panel = panel;
                plan->buffers[buffer].group = s->group;
                plan->buffers[buffer].row_bytes = row;
            }
            *where = (swg__location){.kind = SWG__IN_BUFFER, .buffer = buffer};
            swg__buffer *b = &plan->buffers[buffer];
            if (s->frozen)
                extend(&b->life, 0, plan->times - 1);
            extend(&b->life, b->panel ? s->time : first, m->is_output[v] ? plan->times - 1 : b->panel ? s->time : last);
        }
        for (int j = 0; j < s->call.node->inputs; j++) {
            swg_value in = swg__base_of(m->g, s->call.node->in[j]);
            if (plan->where[in].kind != SWG__IN_BUFFER)
                continue;
            swg__buffer *b = &plan->buffers[plan->where[in].buffer];
            extend(&b->life, b->panel ? s->time : first, b->panel ? s->time : last);
            if (b->category == SWG__CAT_TRANSIENT && s->call.node->backward && !m->g->nodes[in].backward)
                b->category = SWG__CAT_SAVED;
        }
    }
    return SWG_OK;
}

/* Packing reads b one step before the product: b must live then. */
static void extend_packed_inputs(swg__maker *m) {
    swg_plan *plan = m->plan;
    for (int i = 0; i < plan->step_count; i++) {
        swg__step *s = &plan->steps[i];
        if (!s->packs || s->frozen)
            continue;
        swg__location *where = &plan->where[swg__base_of(m->g, s->call.node->in[1])];
        if (where->kind == SWG__IN_BUFFER)
            extend(&plan->buffers[where->buffer].life, s->time, s->time);
    }
}

/* Workers go through a group at their own pace, so each has its panels in memory of its own; there they share by their lives. */
static swg_status place_panels(swg__maker *m, int group, swg__life *lives) {
    swg_plan *plan = m->plan;
    swg__group *g = &plan->groups[group];
    int64_t bound;
    int at, count = plan->buffer_count;
    for (int i = 0; i < count; i++) {
        bool own = plan->buffers[i].panel && plan->buffers[i].group == group;
        lives[i] = plan->buffers[i].life;
        lives[i].offset = own ? 0 : -1;
    }
    SWG__TRY(swg__place(plan->ctx, lives, count, plan->times, &g->worker_bytes, &bound, &at));
    for (int i = 0; i < count; i++)
        if (lives[i].offset >= 0)
            plan->buffers[i].life.offset = lives[i].offset;
    if (g->worker_bytes == 0)
        return SWG_OK;
    g->memory = swg__add_buffer(plan, g->worker_bytes * plan->ctx->threads, SWG__CAT_SCRATCH);
    if (g->memory < 0)
        return swg__fail_memory(plan->ctx, 0, "row panels");
    extend(&plan->buffers[g->memory].life, plan->steps[g->first].time, plan->steps[g->first + g->count - 1].time);
    return SWG_OK;
}

static void explain(swg_plan *plan) {
    int placed = 0, tuned = 0;
    for (int i = 0; i < plan->buffer_count; i++)
        placed += !plan->buffers[i].panel && plan->buffers[i].life.last >= 0;
    for (int i = 0; i < plan->step_count; i++)
        tuned += plan->steps[i].choice.shift || plan->steps[i].choice.variant;
    for (int i = 0; i < plan->group_count; i++) {
        const swg__group *g = &plan->groups[i];
        tuned += g->choice.panel_rows > 0;
        swg__explain(plan->g, "panels: %d steps from %s on, %lld rows, %lld at a time", g->count, swg__ops[plan->steps[g->first].call.node->op].text,
                     (long long)g->rows, (long long)g->panel_rows);
    }
    if (plan->tuning)
        swg__explain(plan->g, "tune: %d steps and groups are run in a way that was measured to be faster", tuned);
    swg__explain(plan->g, "placement: %d buffers of %d steps in %lld bytes, no less than %lld live at %s", placed, plan->step_count,
                 (long long)plan->memory.arena_bytes, (long long)plan->memory.bound_bytes, plan->memory.peak_at ? plan->memory.peak_at : "none");
}

static swg_status place(swg__maker *m) {
    swg_plan *plan = m->plan;
    swg__life *lives = swg__calloc(plan->ctx, (size_t)(plan->buffer_count + plan->group_count + 1), sizeof *lives);
    if (!lives)
        return swg__fail_memory(plan->ctx, 0, "placing buffers");
    swg_status status = SWG_OK;
    for (int i = 0; i < plan->group_count && status == SWG_OK; i++)
        status = place_panels(m, i, lives);
    for (int i = 0; i < plan->buffer_count; i++) {
        lives[i] = plan->buffers[i].life;
        lives[i].offset = plan->buffers[i].panel ? -1 : 0;
    }
    swg_memory *memory = &plan->memory;
    int at = 0;
    if (status == SWG_OK)
        status = swg__place(plan->ctx, lives, plan->buffer_count, plan->times, &memory->arena_bytes, &memory->bound_bytes, &at);
    plan->peak_time = at;
    int64_t live[SWG__CAT_COUNT] = {0};
    for (int i = 0; i < plan->buffer_count; i++) {
        if (plan->buffers[i].panel)
            continue;
        plan->buffers[i].life.offset = lives[i].offset;
        if (lives[i].first <= at && at <= lives[i].last)
            live[plan->buffers[i].category] += (lives[i].bytes + 63) / 64 * 64;
    }
    memory->saved_bytes = live[SWG__CAT_SAVED];
    memory->transient_bytes = live[SWG__CAT_TRANSIENT];
    memory->scratch_bytes = live[SWG__CAT_SCRATCH];
    memory->io_bytes = live[SWG__CAT_IO];
    swg__update_spans spans = {0};
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].call.node->op == SWG__UPDATE)
            spans = swg__update_spans_of(plan->steps[i].call.node);
        if (plan->steps[i].time == at)
            memory->peak_at = plan->steps[i].kernel->name;
    }
    int64_t span = plan->g->span * (int64_t)swg__dtype_size(plan->g->dtype);
    memory->state_bytes = plan->g->state_span * (int64_t)swg__dtype_size(plan->g->dtype);
    memory->parameters_bytes = span;
    memory->gradients_bytes = span * (spans.gradient + spans.sum);
    memory->optimiser_bytes = span * (spans.moment1 + spans.moment2 + spans.largest);
    memory->peak_bytes = memory->arena_bytes + memory->array_bytes + memory->state_bytes + span + memory->gradients_bytes + memory->optimiser_bytes;
    explain(plan);
    swg__free(plan->ctx, lives);
    return status;
}

swg_status swg__locate(swg__maker *m) {
    swg_plan *plan = m->plan;
    for (int i = 0; i < plan->step_count; i++)
        for (int j = 0; !plan->steps[i].packs && j < plan->steps[i].call.node->inputs; j++) {
            swg_value b = swg__base_of(m->g, plan->steps[i].call.node->in[j]);
            m->last_read[b] = plan->steps[i].time > m->last_read[b] ? plan->steps[i].time : m->last_read[b];
        }
    SWG__TRY(locate_leaves(m));
    SWG__TRY(locate_values(m));
    extend_packed_inputs(m);
    return place(m);
}
