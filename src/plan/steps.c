/* steps.c - from the order of work to steps: which of them go through row panels together, what is packed before them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/maker.h"
#include "provider/provider.h"

enum { PANEL_ROWS = 48, PANEL_ROWS_LARGE = 96, LARGE_ROWS = 1024, PANEL_ROWS_LEAST = 8, PANELS_OF_FEW_ROWS = 4, PANEL_STEPS_LEAST = 2, LARGE_BYTES = 1 << 20,
       PANEL_ROW_BYTES = 1 << 16 }; /* longer rows do not stay in the second cache, and a panel of all of them would be one per worker */

/* ---- row panels ---- */

bool swg__runs_by_rows(const swg__maker *m, swg_value v, int64_t rows) {
    const swg__node *n = &m->g->nodes[v];
    const swg__kernel *k = swg__kernel_of(m->g, n);
    return k && k->rows && swg__node_bytes(n) <= rows * PANEL_ROW_BYTES && !m->fixed[v] && n->ndim >= 2 && n->shape[0] == rows && n->inputs <= SWG__ROW_INPUTS && !swg__provider_takes(m->plan, v) &&
           (swg__ops[n->op].class != SWG__CONTRACTION || (n->ndim == 2 && !n->attr.trans_a));
}

bool swg__reads_by_rows(const swg_graph *g, const swg__node *n, int j) {
    const swg__node *in = &g->nodes[n->in[j]];
    bool by_row = in->ndim == n->ndim && in->shape[0] == n->shape[0] && in->op != SWG__RESHAPE;
    if (swg__ops[n->op].class == SWG__CONTRACTION)
        by_row = by_row && (j == 0 || (n->attr.gate && j == n->inputs - 1));
    return by_row;
}

/* May `v` join the group `group`? Inputs made inside must be read row by row. */
static bool joins(const swg__maker *m, swg_value v, int group) {
    const swg__node *n = &m->g->nodes[v];
    for (int j = 0; j < n->inputs; j++)
        if (m->group_of[swg__base_of(m->g, n->in[j])] == group && !swg__reads_by_rows(m->g, n, j))
            return false;
    return true;
}

/* A large step that reads nothing of the group gains nothing in it, but all that the group reads and writes would live until its end. */
static bool gains(const swg__maker *m, swg_value v, int group) {
    const swg__node *n = &m->g->nodes[v];
    bool reads = swg__node_bytes(n) < LARGE_BYTES;
    for (int j = 0; j < n->inputs; j++)
        reads = reads || m->group_of[swg__base_of(m->g, n->in[j])] == group;
    return reads;
}

/* Panels of equal height, so that workers end together; few rows still make a few panels, because eight rows already hide the
 * reading of the weights behind their arithmetic. */
static int64_t panel_height(int64_t rows) {
    int64_t most = rows >= LARGE_ROWS ? PANEL_ROWS_LARGE : PANEL_ROWS, count = swg__ceil_div(rows, most);
    int64_t few = swg__min64(rows / PANEL_ROWS_LEAST, PANELS_OF_FEW_ROWS);
    return swg__ceil_div(rows, count > few ? count : few);
}

swg_status swg__make_groups(swg__maker *m) {
    swg_plan *plan = m->plan;
    plan->groups = swg__arena_alloc(&plan->arena, (size_t)(m->order_count + 1) * sizeof *plan->groups);
    if (!plan->groups)
        return swg__fail_memory(plan->ctx, 0, "row panels");
    for (int i = 0; i < m->order_count;) {
        const swg__node *n = &m->g->nodes[m->order[i]];
        int64_t rows = n->ndim ? n->shape[0] : 0;
        int group = plan->group_count, j = i;
        while (j < m->order_count && swg__runs_by_rows(m, m->order[j], rows) && joins(m, m->order[j], group) && (j == i || gains(m, m->order[j], group)))
            m->group_of[m->order[j++]] = group;
        if (j - i < PANEL_STEPS_LEAST) {
            for (int k = i; k < j; k++)
                m->group_of[m->order[k]] = -1;
            i = j > i ? j : i + 1;
            continue;
        }
        swg__group *made = &plan->groups[plan->group_count++];
        *made = (swg__group){.first = -1, .count = j - i, .rows = rows, .memory = -1, .panel_rows = panel_height(rows)};
        SWG__TRY(swg__tune_group(m, made, &m->order[i]));
        i = j;
    }
    return SWG_OK;
}

/* ---- steps ---- */

int swg__add_buffer(swg_plan *plan, int64_t bytes, swg__category category) {
    if (plan->buffer_count == plan->buffer_capacity) {
        int capacity = plan->buffer_capacity ? 2 * plan->buffer_capacity : 64;
        swg__buffer *buffers = swg__grow(plan->ctx, plan->buffers, (size_t)capacity * sizeof *buffers);
        if (!buffers)
            return -1;
        plan->buffers = buffers;
        plan->buffer_capacity = capacity;
    }
    plan->buffers[plan->buffer_count] = (swg__buffer){.life = {.bytes = bytes, .first = INT32_MAX, .last = -1}, .category = category};
    return plan->buffer_count++;
}

static swg__step *add_step(swg__maker *m, swg_value v, const swg__kernel *kernel) {
    swg_plan *plan = m->plan;
    swg__step *s = &plan->steps[plan->step_count++];
    swg__node *n = &m->g->nodes[v];
    *s = (swg__step){.kernel = kernel, .node = v, .group = -1, .scratch = -1, .packed = -1, .time = plan->times};
    s->in = swg__arena_alloc(&plan->arena, (size_t)(n->inputs + 1) * sizeof *s->in);
    s->call = (swg__call){.g = m->g, .node = n, .isa = swg__isa_table_of(plan->ctx->isa),
                          .exact = swg__exact_table_of(plan->ctx->isa), .in = s->in, .span = m->g->span};
    if (swg__provider_takes(plan, v))
        s->call.layout = swg__provider_layout(plan, v);
    return s->in ? s : NULL;
}

/* The packing step of a contraction and the buffer it fills; nothing if b is read in place as it is. */
static swg_status add_pack(swg__maker *m, swg_value v, int *packed) {
    swg_plan *plan = m->plan;
    const swg__node *n = &m->g->nodes[v];
    *packed = -1;
    const swg__kernel *kernel = swg__kernel_of(m->g, n);
    if (!kernel->pack)
        return SWG_OK;
    bool frozen = m->fixed[n->in[1]], provided = swg__provider_takes(plan, v);
    bool packs = true;
    int64_t bytes = 0;
    if (provided)
        SWG__TRY(swg__provider_prepare(plan, v, frozen, &bytes, &packs));
    else
        bytes = kernel->pack_bytes(m->g, n, swg__isa_table_of(plan->ctx->isa));
    if (bytes == 0)
        return SWG_OK;
    if ((*packed = swg__add_buffer(plan, bytes, SWG__CAT_SCRATCH)) < 0)
        return swg__fail_memory(plan->ctx, sizeof *plan->buffers, "buffers");
    if (!packs)
        return SWG_OK;
    swg__step *s = add_step(m, v, provided ? &swg__kernel_provided_pack : kernel->pack);
    if (!s)
        return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    s->scratch = *packed;
    s->packs = true;
    s->frozen = frozen;
    SWG__TRY(swg__tune_step(m, s));
    if (!s->frozen)
        plan->times++;
    return SWG_OK;
}

/* An update in passes: all but the last are steps in front of it. */
static swg_status add_passes(swg__maker *m, swg_value v, const swg__kernel **kernel) {
    const swg__node *n = &m->g->nodes[v];
    if (!m->plan->separate_update || *kernel != &swg__kernel_update || n->attr.update == SWG_UPDATE_SGD)
        return SWG_OK;
    for (int pass = 0; pass < SWG__UPDATE_PASSES - 1; pass++) {
        if (!add_step(m, v, &swg__kernel_update_pass[pass]))
            return swg__fail_memory(m->plan->ctx, sizeof(swg__step), "steps");
        m->plan->times++;
    }
    *kernel = &swg__kernel_update_pass[SWG__UPDATE_PASSES - 1];
    return SWG_OK;
}

static swg_status add_node_step(swg__maker *m, swg_value v, int group, int packed) {
    swg_plan *plan = m->plan;
    const swg__kernel *kernel = swg__provider_takes(plan, v) ? &swg__kernel_provided : swg__kernel_of(m->g, &m->g->nodes[v]);
    SWG__TRY(add_passes(m, v, &kernel));
    swg__step *s = add_step(m, v, kernel);
    if (!s)
        return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    s->group = group;
    s->frozen = m->fixed[v];
    s->scratch = s->packed = packed;
    SWG__TRY(swg__tune_step(m, s));
    bool per_worker = false;
    int64_t scratch = s->kernel->scratch ? s->kernel->scratch(&s->call, &per_worker) : 0;
    if (scratch) {
        scratch = (scratch + 63) / 64 * 64;
        s->call.worker_bytes = per_worker ? scratch : 0;
        s->scratch = swg__add_buffer(plan, scratch * (per_worker ? plan->ctx->threads : 1), SWG__CAT_SCRATCH);
        if (s->scratch < 0)
            return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    }
    plan->times++;
    plan->flops = swg__add_most(plan->flops, 2 * swg__node_macs(m->g, &m->g->nodes[v]));
    return SWG_OK;
}

swg_status swg__make_steps(swg__maker *m) {
    swg_plan *plan = m->plan;
    plan->steps = swg__arena_alloc(&plan->arena, (size_t)(2 * m->order_count + SWG__UPDATE_PASSES) * sizeof *plan->steps);
    int *packed = swg__arena_alloc(&plan->arena, (size_t)(m->order_count + 1) * sizeof *packed);
    if (!plan->steps || !packed)
        return swg__fail_memory(plan->ctx, 0, "steps");
    for (int i = 0; i < m->order_count;) {
        int group = m->group_of[m->order[i]], count = group >= 0 ? plan->groups[group].count : 1;
        for (int k = 0; k < count; k++)
            SWG__TRY(add_pack(m, m->order[i + k], &packed[k]));
        if (group >= 0)
            plan->groups[group].first = plan->step_count;
        for (int k = 0; k < count; k++)
            SWG__TRY(add_node_step(m, m->order[i + k], group, packed[k]));
        i += count;
    }
    return SWG_OK;
}
