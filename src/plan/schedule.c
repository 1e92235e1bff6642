/* schedule.c - the order of work, chosen so that little memory is live.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/maker.h"

/* Among ready nodes: the one that frees most bytes minus allocates; ties by index. Depends on the graph alone. The update is
 * taken when nothing else is left, so that all that does not depend on it sees the weights as they were. */
swg_status swg__schedule(swg__maker *m) {
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
