/* schedule.c - the order of work, chosen so that little memory is live.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"
#include "plan/maker.h"

typedef struct queue {
    const swg__maker *m;
    const swg_graph *g;
    int *waiting;           /* inputs that are not there yet */
    int *waiting_for;       /* of these, inputs that are no clones */
    int *left;              /* readers to come */
    int *first;             /* of the readers of a value with memory of its own, in `readers`; count + 1 */
    swg_value *base, *readers;
    uint8_t *asked;         /* clones: a reader waits for nothing but clones */
    swg_value *ready, *stack;
    int ready_count;
    int *run_of;            /* number of the run of row-wise steps a value was made in, 0: none */
    int run;                /* the present one, of steps with so many rows; 0: none */
    int64_t run_rows;
    bool trains;            /* there is a backward pass */
} queue;

static bool computed(const swg_graph *g, swg_value v) { return swg__kernel_of(g, &g->nodes[v]) != NULL; }

/* Who reads what: every input of every live node that runs. */
static void list_readers(queue *q) {
    const swg_graph *g = q->g;
    for (int64_t v = 1; v < g->count; v++)
        q->base[v] = swg__base_of(g, (swg_value)v);
    for (int pass = 0; pass < 2; pass++) {
        for (swg_value v = 1; v < g->count; v++)
            for (int j = 0; q->m->readers[v] && computed(g, v) && j < g->nodes[v].inputs; j++) {
                swg_value in = q->base[g->nodes[v].in[j]];
                if (pass)
                    q->readers[q->first[in + 1]++] = v;
                else
                    q->first[in + 2]++;
            }
        for (int64_t v = 0; v < g->count + 1 && !pass; v++)
            q->first[v + 1] += q->first[v];
    }
}

/* A clone is made when a reader waits for nothing else, not before: it would only take memory. */
static void ask(queue *q, swg_value reader) {
    int depth = 0;
    q->stack[depth++] = reader;
    while (depth) {
        const swg__node *n = &q->g->nodes[q->stack[--depth]];
        for (int j = 0; j < n->inputs; j++) {
            swg_value in = q->base[n->in[j]];
            if (!q->g->nodes[in].clone || q->asked[in])
                continue;
            q->asked[in] = 1;
            if (q->waiting[in] == 0)
                q->ready[q->ready_count++] = in;
            q->stack[depth++] = in;
        }
    }
}

static void start(queue *q) {
    const swg_graph *g = q->g;
    const int *readers = q->m->readers;
    for (int64_t v = 1; v < g->count; v++)
        for (int j = 0; readers[v] && j < g->nodes[v].inputs; j++)
            q->left[q->base[g->nodes[v].in[j]]] += g->nodes[v].op != SWG__RESHAPE;
    for (swg_value v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        if (!readers[v] || !computed(g, v))
            continue;
        for (int j = 0; j < n->inputs; j++) {
            swg_value in = q->base[n->in[j]];
            q->waiting[v] += computed(g, in);
            q->waiting_for[v] += computed(g, in) && !g->nodes[in].clone;
        }
    }
    for (swg_value v = 1; v < g->count; v++) {
        if (g->nodes[v].clone && q->m->is_output[v] && !q->asked[v]) { /* as a view of it */
            q->asked[v] = 1;
            if (q->waiting[v] == 0)
                q->ready[q->ready_count++] = v;
            ask(q, v);
        }
        if (!readers[v] || !computed(g, v) || g->nodes[v].clone)
            continue;
        if (q->waiting[v] == 0)
            q->ready[q->ready_count++] = v;
        else if (q->waiting_for[v] == 0)
            ask(q, v);
    }
}

/* May `v` follow the present run in a row panel, and does it read what the run made? */
static bool follows_run(const queue *q, swg_value v) {
    const swg__node *n = &q->g->nodes[v];
    bool reads = false;
    if (!q->run || !swg__runs_by_rows(q->m, v, q->run_rows))
        return false;
    for (int j = 0; j < n->inputs; j++) {
        if (q->run_of[q->base[n->in[j]]] != q->run)
            continue;
        if (!swg__reads_by_rows(q->g, n, j))
            return false;
        reads = true;
    }
    return reads;
}

/* Inference: what follows in a row panel is made at once, however large it is: panels need no memory. */
static void extend_run(queue *q, swg_value v, int *runs) {
    const swg__node *n = &q->g->nodes[v];
    int64_t rows = n->ndim ? n->shape[0] : 0;
    if (q->trains)
        return;
    if (!follows_run(q, v)) {
        q->run = swg__runs_by_rows(q->m, v, rows) ? ++*runs : 0;
        q->run_rows = rows;
    }
    q->run_of[v] = q->run;
}

/* Among ready nodes: what follows in a row panel, then the one that frees most bytes minus allocates; ties by index. Depends on the graph alone. The
 * update is taken when nothing else is left, so that all that does not depend on it sees the weights as they were. */
static int best_of(const queue *q, bool by_bytes) {
    const swg_graph *g = q->g;
    int best = 0;
    int64_t best_score = INT64_MIN;
    bool best_follows = false;
    for (int i = 0; i < q->ready_count; i++) {
        const swg__node *n = &g->nodes[q->ready[i]];
        bool follows = by_bytes && follows_run(q, q->ready[i]);
        if (i > 0 && follows != best_follows && !follows)
            continue;
        bool last = n->op == SWG__UPDATE || n->op == SWG__ASSIGN;
        int64_t score = last ? INT64_MIN : by_bytes ? -swg__node_bytes(n) : 0;
        for (int j = 0; j < n->inputs && by_bytes; j++) {
            swg_value b = q->base[n->in[j]];
            if (q->left[b] == 1 && computed(g, b) && !q->m->is_output[b])
                score += swg__node_bytes(&g->nodes[b]);
        }
        if (follows > best_follows || score > best_score || (score == best_score && q->ready[i] < q->ready[best])) {
            best = i;
            best_follows = follows;
            best_score = score;
        }
    }
    return best;
}

static void finish(queue *q, swg_value v) {
    const swg_graph *g = q->g;
    bool clone = g->nodes[v].clone;
    for (int j = 0; j < g->nodes[v].inputs; j++)
        q->left[q->base[g->nodes[v].in[j]]]--;
    for (int i = q->first[v]; i < q->first[v + 1]; i++) {
        swg_value r = q->readers[i];
        bool own = g->nodes[r].clone;
        if (--q->waiting[r] == 0 && (!own || q->asked[r]))
            q->ready[q->ready_count++] = r;
        else if (!clone && --q->waiting_for[r] == 0 && !own)
            ask(q, r);
    }
}

/* Bytes live at most in this order, gradients in their span and packed weights left out. */
static int64_t peak_of(queue *q, const swg_value *order, int count, const uint8_t *placed) {
    const swg_graph *g = q->g;
    int64_t live = 0, peak = 0;
    memset(q->left, 0, (size_t)g->count * sizeof *q->left);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < g->nodes[order[i]].inputs; j++)
            q->left[q->base[g->nodes[order[i]].in[j]]]++;
    for (int i = 0; i < count; i++) {
        const swg__node *n = &g->nodes[order[i]];
        int64_t own = placed[order[i]] ? 0 : swg__node_bytes(n), freed = 0;
        bool in_place = false;
        for (int j = 0; j < n->inputs; j++) {
            swg_value b = q->base[n->in[j]];
            if (--q->left[b] || !computed(g, b) || q->m->is_output[b] || placed[b])
                continue;
            freed += swg__node_bytes(&g->nodes[b]);
            in_place = in_place || (swg__ops[n->op].class == SWG__EW && swg__node_bytes(&g->nodes[b]) == own);
        }
        live += own;
        peak = live - (in_place ? own : 0) > peak ? live - (in_place ? own : 0) : peak;
        live -= freed;
        if (q->left[order[i]] == 0 && !q->m->is_output[order[i]])
            live -= own;
    }
    return peak;
}

static int make_order(queue *q, bool by_bytes, swg_value *order) {
    size_t n = (size_t)q->g->count;
    int count = 0;
    memset(q->waiting, 0, n * sizeof *q->waiting);
    memset(q->waiting_for, 0, n * sizeof *q->waiting_for);
    memset(q->left, 0, n * sizeof *q->left);
    memset(q->asked, 0, n);
    memset(q->run_of, 0, n * sizeof *q->run_of);
    q->ready_count = q->run = 0;
    int runs = 0;
    start(q);
    while (q->ready_count) {
        int best = best_of(q, by_bytes);
        swg_value v = q->ready[best];
        q->ready[best] = q->ready[--q->ready_count];
        order[count++] = v;
        extend_run(q, v, &runs);
        finish(q, v);
    }
    return count;
}

/* With clones there are two orders: the greedy one may put a large clone off while gradients that wait for it pile up; then that of
 * the graph, where a clone stands before its first reader. */
swg_status swg__schedule(swg__maker *m) {
    swg_graph *g = m->g;
    swg_context *ctx = g->ctx;
    size_t n = (size_t)g->count, inputs = 1;
    for (size_t v = 1; v < n; v++)
        inputs += (size_t)g->nodes[v].inputs;
    queue q = {.m = m, .g = g, .waiting = swg__calloc(ctx, n, sizeof *q.waiting), .waiting_for = swg__calloc(ctx, n, sizeof *q.waiting_for),
               .left = swg__calloc(ctx, n, sizeof *q.left), .asked = swg__calloc(ctx, n, 1), .ready = swg__calloc(ctx, n, sizeof *q.ready),
               .stack = swg__calloc(ctx, n, sizeof *q.stack), .first = swg__calloc(ctx, n + 2, sizeof *q.first),
               .base = swg__calloc(ctx, n, sizeof *q.base), .readers = swg__calloc(ctx, inputs, sizeof *q.readers),
               .run_of = swg__calloc(ctx, n, sizeof *q.run_of)};
    swg_value *other = swg__calloc(ctx, n, sizeof *other);
    uint8_t *placed = swg__calloc(ctx, n, 1);
    swg_status status = SWG_OK;
    if (!q.waiting || !q.waiting_for || !q.left || !q.asked || !q.ready || !q.stack || !q.first || !q.base || !q.readers || !q.run_of || !other || !placed) {
        status = swg__fail_memory(ctx, n * 30, "a schedule");
    } else {
        bool clones = false;
        list_readers(&q);
        for (size_t v = 1; v < n; v++)
            clones = clones || (g->nodes[v].clone && m->readers[v]);
        for (size_t v = 1; v < n; v++)
            q.trains = q.trains || (g->nodes[v].backward && m->readers[v]);
        m->order_count = make_order(&q, true, m->order);
        if (clones) {
            swg__mark_placed(g, placed);
            make_order(&q, false, other);
            if (peak_of(&q, other, m->order_count, placed) < peak_of(&q, m->order, m->order_count, placed))
                memcpy(m->order, other, n * sizeof *other);
        }
    }
    swg__free(ctx, q.waiting);
    swg__free(ctx, q.waiting_for);
    swg__free(ctx, q.left);
    swg__free(ctx, q.asked);
    swg__free(ctx, q.ready);
    swg__free(ctx, q.stack);
    swg__free(ctx, q.first);
    swg__free(ctx, q.base);
    swg__free(ctx, q.readers);
    swg__free(ctx, q.run_of);
    swg__free(ctx, other);
    swg__free(ctx, placed);
    return status;
}
