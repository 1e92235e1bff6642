/* make.c - from a graph to a plan: copy, rewrite, schedule, group into row panels, find lives, place.
 * Nothing is allocated for data here; swg_plan_open does that.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"
#include "plan/plan.h"
#include "provider/provider.h"

enum { PANEL_ROWS = 48, PANEL_ROWS_LARGE = 96, LARGE_ROWS = 1024, PANEL_ROWS_LEAST = 8, PANELS_OF_FEW_ROWS = 4, PANEL_STEPS_LEAST = 2 };

/* What only the making of a plan needs. */
typedef struct maker {
    swg_plan *plan;
    swg_graph *g;
    int *readers;               /* per value, views resolved to their base */
    swg_value *order;           /* live nodes with kernels, scheduled */
    int order_count;
    int *group_of;              /* per value: index of the group that computes it, -1 */
    int *last_read;             /* per base value */
    uint8_t *is_output;         /* per base value */
    uint8_t *fixed;             /* of a frozen plan: computed when opened or refreshed, and kept */
} maker;

/* ---- copy ---- */

static swg_status copy_live(const swg_graph *g, const swg_plan_opts *opts, swg_plan *plan) {
    swg_context *ctx = g->ctx;
    swg_graph *c;
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = g->dtype}, &c));
    plan->g = c;
    plan->map = swg__calloc(ctx, (size_t)g->count, sizeof *plan->map);
    uint8_t *live = swg__calloc(ctx, (size_t)g->count, 1);
    plan->outputs = swg__calloc(ctx, (size_t)opts->output_count, sizeof *plan->outputs);
    swg_status status = plan->map && live && plan->outputs ? SWG_OK : swg__fail_memory(ctx, (size_t)g->count * 5, "a plan");
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
    for (int64_t v = 1; v < g->count && status == SWG_OK; v++) {
        const swg__node *n = &g->nodes[v];
        if (!live[v])
            continue;
        swg_value copy = swg__append(c, (swg__op)n->op, n->dtype, n->ndim, n->shape, n->inputs, n->in, &n->attr);
        if (!copy) {
            status = c->status;
            break;
        }
        swg__node *to = &c->nodes[copy];
        to->backward = n->backward;
        to->offset = n->offset;
        if (!(to->name = swg__arena_strdup(&c->arena, n->name)))
            status = swg__fail_memory(ctx, strlen(n->name), "a plan");
        for (int j = 0; j < to->inputs; j++)
            to->in[j] = plan->map[n->in[j]];
        plan->map[v] = copy;
    }
    c->span = g->span;
    c->state_span = g->state_span;
    for (int i = 0; i < opts->output_count && status == SWG_OK; i++)
        plan->outputs[i] = plan->map[opts->outputs[i]];
    plan->output_count = opts->output_count;
    swg__free(ctx, live);
    return status;
}

typedef swg_status (*copying_pass)(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like);

/* Runs a pass that makes a new graph. */
static swg_status remake(swg_plan *plan, copying_pass pass) {
    swg_graph *from = plan->g, *to;
    swg_value *like = swg__alloc(plan->ctx, (size_t)from->count * sizeof *like);
    if (!like)
        return swg__fail_memory(plan->ctx, (size_t)from->count * sizeof *like, "a plan");
    swg_status status = swg_graph_create(plan->ctx, &(swg_graph_opts){.dtype = from->dtype}, &to);
    if (status == SWG_OK) {
        plan->g = to;
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

static swg_status rewrite(swg_plan *plan, const swg_plan_opts *opts, int *readers) {
    swg__work work = {.g = plan->g, .outputs = plan->outputs, .output_count = plan->output_count, .readers = readers};
    swg_value *before = swg__alloc(plan->ctx, (size_t)plan->output_count * sizeof *before);
    if (!before)
        return swg__fail_memory(plan->ctx, (size_t)plan->output_count * sizeof *before, "a plan");
    memcpy(before, plan->outputs, (size_t)plan->output_count * sizeof *before);
    swg__work_count(&work);
    swg_status status = swg__pass_fold(&work);
    if (status == SWG_OK && !opts->no_fusion)
        status = swg__pass_fuse(&work);
    for (int i = 0; i < plan->output_count; i++) /* outputs that were merged away keep their names outside */
        for (int64_t v = 0; v < plan->map_count && before[i] != plan->outputs[i]; v++)
            if (plan->map[v] == before[i])
                plan->map[v] = plan->outputs[i];
    swg__free(plan->ctx, before);
    return status;
}

/* ---- schedule ---- */

/* Among ready nodes: the one that frees most bytes minus allocates; ties by index. Depends on the graph alone. The update is
 * taken when nothing else is left, so that all that does not depend on it sees the weights as they were. */
static swg_status schedule(maker *m) {
    swg_graph *g = m->g;
    swg_context *ctx = g->ctx;
    int64_t count = g->count;
    int *waiting = swg__calloc(ctx, (size_t)count, sizeof *waiting), *left = swg__calloc(ctx, (size_t)count, sizeof *left);
    swg_value *ready = swg__calloc(ctx, (size_t)count, sizeof *ready);
    swg_status status = SWG_OK;
    int ready_count = 0;
    if (!waiting || !left || !ready) {
        status = swg__fail_memory(ctx, (size_t)count * 12, "a schedule");
        goto done;
    }
    for (int64_t v = 1; v < count; v++) {
        if (!m->readers[v])
            continue;
        for (int j = 0; j < g->nodes[v].inputs; j++)
            left[swg__base_of(g, g->nodes[v].in[j])] += g->nodes[v].op != SWG__RESHAPE;
    }
    for (int64_t v = 1; v < count; v++) {
        swg__node *n = &g->nodes[v];
        if (!m->readers[v] || !swg__kernel_of(g, n))
            continue;
        for (int j = 0; j < n->inputs; j++)
            waiting[v] += swg__kernel_of(g, &g->nodes[swg__base_of(g, n->in[j])]) != NULL;
        if (!waiting[v])
            ready[ready_count++] = (swg_value)v;
    }
    while (ready_count) {
        int best = 0;
        int64_t best_score = INT64_MIN;
        for (int i = 0; i < ready_count; i++) {
            swg__node *n = &g->nodes[ready[i]];
            int64_t score = n->op == SWG__UPDATE || n->op == SWG__ASSIGN ? INT64_MIN : -swg__node_bytes(n);
            for (int j = 0; j < n->inputs; j++) {
                swg_value b = swg__base_of(g, n->in[j]);
                if (left[b] == 1 && swg__kernel_of(g, &g->nodes[b]) && !m->is_output[b])
                    score += swg__node_bytes(&g->nodes[b]);
            }
            if (score > best_score || (score == best_score && ready[i] < ready[best])) {
                best = i;
                best_score = score;
            }
        }
        swg_value v = ready[best];
        ready[best] = ready[--ready_count];
        m->order[m->order_count++] = v;
        for (int j = 0; j < g->nodes[v].inputs; j++)
            left[swg__base_of(g, g->nodes[v].in[j])]--;
        for (int64_t r = v + 1; r < count; r++)
            for (int j = 0; m->readers[r] && g->nodes[r].op != SWG__RESHAPE && j < g->nodes[r].inputs; j++)
                if (swg__base_of(g, g->nodes[r].in[j]) == v && --waiting[r] == 0 && swg__kernel_of(g, &g->nodes[r]))
                    ready[ready_count++] = (swg_value)r;
    }
done:
    swg__free(ctx, waiting);
    swg__free(ctx, left);
    swg__free(ctx, ready);
    return status;
}

/* ---- row panels ---- */

static bool row_kernel(const maker *m, swg_value v, int64_t rows) {
    const swg__node *n = &m->g->nodes[v];
    const swg__kernel *k = swg__kernel_of(m->g, n);
    return k && k->rows && !m->fixed[v] && n->ndim >= 2 && n->shape[0] == rows && n->inputs <= SWG__ROW_INPUTS && !swg__provider_takes(m->plan, v) &&
           (swg__ops[n->op].class != SWG__CONTRACTION || (n->ndim == 2 && !n->attr.trans_a));
}

/* May `v` join the group `group`? Inputs made inside must be read row by row. */
static bool joins(const maker *m, swg_value v, int group) {
    const swg__node *n = &m->g->nodes[v];
    for (int j = 0; j < n->inputs; j++) {
        const swg__node *in = &m->g->nodes[n->in[j]];
        if (m->group_of[swg__base_of(m->g, n->in[j])] != group)
            continue;
        bool by_row = in->ndim == n->ndim && in->shape[0] == n->shape[0] && in->op != SWG__RESHAPE;
        if (swg__ops[n->op].class == SWG__CONTRACTION)
            by_row = by_row && (j == 0 || (n->attr.gate && j == n->inputs - 1));
        if (!by_row)
            return false;
    }
    return true;
}

/* Panels of equal height, so that workers end together; few rows still make a few panels, because eight rows already hide the
 * reading of the weights behind their arithmetic. */
static int64_t panel_height(int64_t rows) {
    int64_t most = rows >= LARGE_ROWS ? PANEL_ROWS_LARGE : PANEL_ROWS, count = swg__ceil_div(rows, most);
    int64_t few = swg__min64(rows / PANEL_ROWS_LEAST, PANELS_OF_FEW_ROWS);
    return swg__ceil_div(rows, count > few ? count : few);
}

static swg_status make_groups(maker *m) {
    swg_plan *plan = m->plan;
    plan->groups = swg__arena_alloc(&plan->arena, (size_t)(m->order_count + 1) * sizeof *plan->groups);
    if (!plan->groups)
        return swg__fail_memory(plan->ctx, 0, "row panels");
    for (int i = 0; i < m->order_count;) {
        const swg__node *n = &m->g->nodes[m->order[i]];
        int64_t rows = n->ndim ? n->shape[0] : 0;
        int group = plan->group_count, j = i;
        while (j < m->order_count && row_kernel(m, m->order[j], rows) && joins(m, m->order[j], group))
            m->group_of[m->order[j++]] = group;
        if (j - i < PANEL_STEPS_LEAST) {
            for (int k = i; k < j; k++)
                m->group_of[m->order[k]] = -1;
            i = j > i ? j : i + 1;
            continue;
        }
        plan->groups[plan->group_count++] = (swg__group){.first = -1, .count = j - i, .rows = rows, .memory = -1,
                                                         .panel_rows = panel_height(rows)};
        i = j;
    }
    return SWG_OK;
}

/* ---- steps ---- */

static int add_buffer(swg_plan *plan, int64_t bytes, swg__category category) {
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

static swg__step *add_step(maker *m, swg_value v, const swg__kernel *kernel) {
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
static swg_status add_pack(maker *m, swg_value v, int *packed) {
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
    if ((*packed = add_buffer(plan, bytes, SWG__CAT_SCRATCH)) < 0)
        return swg__fail_memory(plan->ctx, sizeof *plan->buffers, "buffers");
    if (!packs)
        return SWG_OK;
    swg__step *s = add_step(m, v, provided ? &swg__kernel_provided_pack : kernel->pack);
    if (!s)
        return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    s->scratch = *packed;
    s->packs = true;
    s->frozen = frozen;
    if (!s->frozen)
        plan->times++;
    return SWG_OK;
}

static swg_status add_node_step(maker *m, swg_value v, int group, int packed) {
    swg_plan *plan = m->plan;
    swg__step *s = add_step(m, v, swg__provider_takes(plan, v) ? &swg__kernel_provided : swg__kernel_of(m->g, &m->g->nodes[v]));
    if (!s)
        return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    s->group = group;
    s->frozen = m->fixed[v];
    s->scratch = s->packed = packed;
    bool per_worker = false;
    int64_t scratch = s->kernel->scratch ? s->kernel->scratch(&s->call, &per_worker) : 0;
    if (scratch) {
        scratch = (scratch + 63) / 64 * 64;
        s->call.worker_bytes = per_worker ? scratch : 0;
        s->scratch = add_buffer(plan, scratch * (per_worker ? plan->ctx->threads : 1), SWG__CAT_SCRATCH);
        if (s->scratch < 0)
            return swg__fail_memory(plan->ctx, sizeof *s, "steps");
    }
    plan->times++;
    plan->flops = swg__add_most(plan->flops, 2 * swg__node_macs(m->g, &m->g->nodes[v]));
    return SWG_OK;
}

static swg_status make_steps(maker *m) {
    swg_plan *plan = m->plan;
    plan->steps = swg__arena_alloc(&plan->arena, (size_t)(2 * m->order_count + 1) * sizeof *plan->steps);
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

/* ---- locations and lives ---- */

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
static bool panel_value(const maker *m, swg_value v) {
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
static bool read_in_group(const maker *m, const swg__step *s, swg_value b) {
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
static int in_place(const maker *m, const swg__step *s, bool panel) {
    const swg__node *n = s->call.node;
    if ((swg__ops[n->op].class != SWG__EW && n->op != SWG__DROPOUT) || s->kernel == &swg__kernel_reference)
        return -1;
    for (int j = 0; j < n->inputs; j++) {
        swg_value b = swg__base_of(m->g, n->in[j]);
        const swg__location *where = &m->plan->where[b];
        const swg__node *in = &m->g->nodes[n->in[j]];
        if (where->kind == SWG__IN_BUFFER && !m->fixed[b] && m->last_read[b] == s->time && !m->is_output[b] && m->g->nodes[b].op != SWG__INPUT &&
            swg__node_bytes(in) == swg__node_bytes(n) && m->plan->buffers[where->buffer].panel == panel &&
            (panel || s->group < 0 || !read_in_group(m, s, b)))
            return where->buffer;
    }
    return -1;
}

static swg_status locate_leaves(maker *m) {
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
            *where = (swg__location){.kind = SWG__IN_BUFFER, .buffer = add_buffer(plan, swg__node_bytes(n), SWG__CAT_IO)};
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

static swg_status locate_values(maker *m) {
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
                buffer = add_buffer(plan, bytes, panel ? SWG__CAT_SCRATCH : SWG__CAT_TRANSIENT);
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
static void extend_packed_inputs(maker *m) {
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
static swg_status place_panels(maker *m, int group, swg__life *lives) {
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
    g->memory = add_buffer(plan, g->worker_bytes * plan->ctx->threads, SWG__CAT_SCRATCH);
    if (g->memory < 0)
        return swg__fail_memory(plan->ctx, 0, "row panels");
    extend(&plan->buffers[g->memory].life, plan->steps[g->first].time, plan->steps[g->first + g->count - 1].time);
    return SWG_OK;
}

static swg_status place(maker *m) {
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
    swg__free(plan->ctx, lives);
    return status;
}

static swg_status make(maker *m, const swg_plan_opts *opts) {
    swg_plan *plan = m->plan;
    SWG__TRY(rewrite(plan, opts, m->readers));
    if (plan->frozen)
        swg__mark_fixed(plan->g, m->fixed);
    SWG__TRY(swg__provider_open(plan, opts->provider));
    for (int i = 0; i < plan->output_count; i++)
        m->is_output[swg__base_of(m->g, plan->outputs[i])] = 1;
    SWG__TRY(schedule(m));
    SWG__TRY(make_groups(m));
    SWG__TRY(make_steps(m));
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

swg_status swg_plan_make(swg_graph *g, const swg_plan_opts *opts, swg_plan **out) {
    *out = NULL;
    SWG__TRY(swg_graph_status(g));
    swg_context *ctx = g->ctx;
    if (!opts || !opts->outputs || opts->output_count < 1)
        return swg__fail(ctx, SWG_EINVAL, "plan: no outputs asked for");
    swg_plan *plan = swg__calloc(ctx, 1, sizeof *plan);
    if (!plan)
        return swg__fail_memory(ctx, sizeof *plan, "a plan");
    plan->ctx = ctx;
    plan->frozen = opts->frozen;
    plan->bind_inputs = opts->bind_inputs;
    swg__arena_init(&plan->arena, ctx);
    swg_status status = copy_live(g, opts, plan);
    if (status == SWG_OK && opts->frozen && !opts->no_fusion)
        status = remake(plan, swg__pass_norm);
    if (status == SWG_OK && !opts->no_layout)
        status = remake(plan, swg__pass_layout);
    for (int64_t v = 1; status == SWG_OK && opts->frozen && v < plan->g->count; v++)
        if (plan->g->nodes[v].op == SWG__UPDATE || plan->g->nodes[v].op == SWG__ASSIGN)
            status = swg__fail(ctx, SWG_EINVAL, "plan: the outputs include an update, so the weights cannot be frozen");
    if (status == SWG_OK) {
        size_t n = (size_t)plan->g->count;
        maker m = {.plan = plan, .g = plan->g};
        m.readers = swg__calloc(ctx, n, sizeof *m.readers);
        m.order = swg__calloc(ctx, n, sizeof *m.order);
        m.group_of = swg__calloc(ctx, n, sizeof *m.group_of);
        m.last_read = swg__calloc(ctx, n, sizeof *m.last_read);
        m.is_output = swg__calloc(ctx, n, 1);
        m.fixed = swg__calloc(ctx, n, 1);
        plan->where = swg__calloc(ctx, n, sizeof *plan->where);
        plan->caller = swg__calloc(ctx, n, sizeof *plan->caller);
        plan->constants = swg__calloc(ctx, n, sizeof *plan->constants);
        if (m.readers && m.order && m.group_of && m.last_read && m.is_output && m.fixed && plan->where && plan->caller &&
            plan->constants) {
            for (size_t v = 0; v < n; v++)
                m.group_of[v] = m.last_read[v] = -1;
            status = make(&m, opts);
        } else {
            status = swg__fail_memory(ctx, n * 32, "a plan");
        }
        swg__free(ctx, m.readers);
        swg__free(ctx, m.order);
        swg__free(ctx, m.group_of);
        swg__free(ctx, m.last_read);
        swg__free(ctx, m.is_output);
        swg__free(ctx, m.fixed);
    }
    if (status != SWG_OK) {
        swg_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return SWG_OK;
}

swg_memory swg_plan_memory_of(const swg_plan *plan) { return plan->memory; }
int64_t swg_plan_flops(const swg_plan *plan) { return plan->flops; }
int swg_plan_steps(const swg_plan *plan) { return plan->step_count; }
