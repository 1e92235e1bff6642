/* attend.c - attention writes what is read of it: no log-sums where there is no gradient, and bf16 where all is rounded to it. A slice and a
 * cast become views of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/attention.h"
#include "pass/pass.h"

static swg__attr none;

/* The only reader of a value, behind views; SWG_NONE if there are more, or it is an output. */
static swg_value only_reader(const swg__work *w, swg_value v) {
    for (swg_value u = v + 1; w->readers[v] == 1 && u < w->g->count; u++)
        for (int j = 0; w->readers[u] && j < w->g->nodes[u].inputs; j++)
            if (w->g->nodes[u].in[j] == v)
                return u;
    return SWG_NONE;
}

static void view(swg__node *n) {
    n->op = SWG__RESHAPE;
    n->attr = none;
}

static bool drops_log_sums(swg_graph *g, swg_value a, swg_value reader) {
    swg__node *n = &g->nodes[a], *slice = &g->nodes[reader];
    swg__attention t = swg__attention_of(g, n);
    if (!reader || slice->op != SWG__SLICE || slice->shape[n->ndim - 1] != (n->attr.groups ? t.heads : 1) * t.dv)
        return false;
    for (int i = 0; i < n->ndim; i++)
        if (slice->attr.begin[i] || (i < n->ndim - 1 && slice->shape[i] != n->shape[i]))
            return false;
    n->attr.trans_a = true;
    n->shape[n->ndim - 1] = slice->shape[n->ndim - 1];
    view(slice);
    return true;
}

/* All readers on the way to a cast are views. */
static bool rounds(swg__work *w, swg_value a) {
    swg_graph *g = w->g;
    swg_value end = only_reader(w, a);
    while (end && g->nodes[end].op == SWG__RESHAPE)
        end = only_reader(w, end);
    if (!end || g->nodes[end].op != SWG__CAST || g->nodes[end].dtype != SWG_BF16 || g->nodes[end].inputs != 1)
        return false;
    for (swg_value v = end; v != a; v = g->nodes[v].in[0]) {
        g->nodes[v].dtype = SWG_BF16;
        view(&g->nodes[v]);
    }
    g->nodes[a].dtype = SWG_BF16;
    return true;
}

void swg__pass_attend(swg__work *w) {
    int plain = 0, rounded = 0, all = 0;
    for (swg_value v = 1; v < w->g->count; v++) {
        if (w->g->nodes[v].op != SWG__ATTENTION || !w->readers[v])
            continue;
        bool bare = drops_log_sums(w->g, v, only_reader(w, v));
        all++;
        plain += bare;
        rounded += bare && swg__attention_is_narrow(w->g, &w->g->nodes[v]) && rounds(w, v);
    }
    if (all)
        swg__explain(w->g, "attend: %d of %d attentions without log-sums, %d in bf16", plain, all, rounded);
}
