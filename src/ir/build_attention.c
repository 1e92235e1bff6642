/* build_attention.c - builder and shape rules of scaled dot-product attention.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "attention.h"

/* A tensor (batch, heads, rows, columns), or (batch, rows, heads * columns). */
static swg__heads heads_of(bool split, int64_t heads, int64_t rows, int64_t columns) {
    return split ? (swg__heads){rows * heads * columns, columns, heads * columns} : (swg__heads){heads * rows * columns, rows * columns, columns};
}

static swg__attention extents_of(const swg__node *q, const swg__node *k, const swg__node *v, const swg__node *mask, const swg__attr *attr) {
    bool split = attr->groups != 0;
    int rows = split ? 1 : 2, columns = rows + 1;
    swg__attention a = {.batch = q->shape[0], .heads = split ? attr->groups : q->shape[1], .n = q->shape[rows], .m = k->shape[rows],
                        .masked = mask != NULL, .lse = !attr->trans_a, .scale = attr->f[0]};
    int64_t parts = split ? a.heads : 1;
    a.d = q->shape[columns] / parts;
    a.dv = v->shape[columns] / parts;
    a.q = heads_of(split, a.heads, a.n, a.d);
    a.k = heads_of(split, a.heads, a.m, a.d);
    a.v = heads_of(split, a.heads, a.m, a.dv);
    /* A row of y ends with its log-sum; of all heads, if their columns stand side by side. */
    int64_t row = (split ? a.heads : 1) * (a.dv + a.lse);
    a.y = split ? (swg__heads){a.n * row, a.dv, row} : (swg__heads){a.heads * a.n * row, a.n * row, row};
    a.lse_first = split ? a.heads * a.dv : a.dv;
    a.lse_head = split ? 1 : a.y.head;
    if (mask) {
        int64_t plane = mask->shape[2] * mask->shape[3];
        a.mask = (swg__heads){mask->shape[0] == 1 ? 0 : mask->shape[1] * plane, mask->shape[1] == 1 ? 0 : plane,
                              mask->shape[2] == 1 ? 0 : mask->shape[3]};
    }
    return a;
}

swg__attention swg__attention_of(const swg_graph *g, const swg__node *n) {
    int first_mask = n->op == SWG__ATTENTION ? 3 : 5;
    return extents_of(&g->nodes[n->in[0]], &g->nodes[n->in[1]], &g->nodes[n->in[2]],
                      n->inputs > first_mask ? &g->nodes[n->in[first_mask]] : NULL, &n->attr);
}

bool swg__attention_is_narrow(const swg_graph *g, const swg__node *n) {
    swg__attention a = swg__attention_of(g, n);
    swg_dtype type[3];
    for (int i = 0; i < 3; i++)
        type[i] = g->nodes[n->in[i]].dtype;
    return a.d == a.dv && (a.d == 4 || a.d == 8 || a.d == 16 || a.d == 32) && type[1] == type[2] && (type[0] == SWG_BF16 || type[1] == SWG_F32);
}

int64_t swg__attention_macs(const swg_graph *g, const swg__node *n) {
    swg__attention a = swg__attention_of(g, n);
    int64_t columns = n->op == SWG__ATTENTION_GRAD ? 3 * a.d + 2 * a.dv : a.d + a.dv, macs = a.batch;
    bool fits = !swg__mul_overflow(macs, a.heads, &macs) && !swg__mul_overflow(macs, a.n, &macs) && !swg__mul_overflow(macs, a.m, &macs) &&
                !swg__mul_overflow(macs, columns, &macs);
    return fits ? macs : INT64_MAX;
}

swg_value swg_attention(swg_graph *g, swg_value q, swg_value k, swg_value v, swg_value mask, const swg_attention_opts *opts) {
    const swg_value in[4] = {q, k, v, mask};
    int inputs = mask ? 4 : 3;
    for (int i = 0; i < inputs; i++)
        if (!swg__check(g, "attention", in[i]))
            return SWG_NONE;
    const swg__node *nq = &g->nodes[q], *nk = &g->nodes[k], *nv = &g->nodes[v], *nm = mask ? &g->nodes[mask] : NULL;
    int64_t heads = opts ? opts->heads : 0;
    int ndim = heads ? 3 : 4;
    char shapes[3][224];
    swg__value_text(g, q, shapes[0], sizeof shapes[0]);
    swg__value_text(g, k, shapes[1], sizeof shapes[1]);
    swg__value_text(g, v, shapes[2], sizeof shapes[2]);
    if (heads < 0 || heads > INT32_MAX)
        return swg__graph_fail(g, SWG_EINVAL, "attention: %lld heads", (long long)heads);
    if (nq->ndim != ndim || nk->ndim != ndim || nv->ndim != ndim)
        return swg__graph_fail(g, SWG_ESHAPE, "attention: q %s, k %s, v %s; expected %s", shapes[0], shapes[1], shapes[2],
                               heads ? "(batch, rows, heads * columns)" : "(batch, heads, rows, columns), or opts->heads");
    bool fits = nq->shape[0] == nk->shape[0] && nk->shape[0] == nv->shape[0] && nk->shape[ndim - 2] == nv->shape[ndim - 2] &&
                nq->shape[ndim - 1] == nk->shape[ndim - 1] && (heads || (nq->shape[1] == nk->shape[1] && nk->shape[1] == nv->shape[1]));
    if (!fits)
        return swg__graph_fail(g, SWG_ESHAPE, "attention: q %s, k %s, v %s do not fit: batch and heads must be the same in all, columns in q "
                               "and k, rows in k and v", shapes[0], shapes[1], shapes[2]);
    if (heads && (nq->shape[2] % heads || nv->shape[2] % heads))
        return swg__graph_fail(g, SWG_ESHAPE, "attention: %lld columns of q and %lld of v do not split into %lld heads",
                               (long long)nq->shape[2], (long long)nv->shape[2], (long long)heads);
    swg__attr attr = {.groups = (int32_t)heads};
    swg__attention a = extents_of(nq, nk, nv, NULL, &attr);
    const int64_t wanted[4] = {a.batch, a.heads, a.n, a.m};
    if (nm) {
        bool broadcasts = nm->ndim == 4 && nm->shape[3] == a.m;
        for (int i = 0; i < 3 && broadcasts; i++)
            broadcasts = nm->shape[i] == 1 || nm->shape[i] == wanted[i];
        if (!broadcasts) {
            char text[224];
            return swg__graph_fail(g, SWG_ESHAPE, "attention: mask %s does not broadcast to (batch, heads, rows of q, rows of k) = "
                                   "(%lld, %lld, %lld, %lld); the first three may be 1", swg__value_text(g, mask, text, sizeof text),
                                   (long long)a.batch, (long long)a.heads, (long long)a.n, (long long)a.m);
        }
    }
    double scale = opts && opts->scale != 0 ? opts->scale : 1 / sqrt((double)a.d);
    if (!isfinite(scale))
        return swg__graph_fail(g, SWG_EINVAL, "attention: scale %g", scale);
    attr.f[0] = scale;
    int64_t shape[4] = {a.batch, heads ? a.n : a.heads, heads ? a.heads * (a.dv + 1) : a.n, a.dv + 1}, begin[4] = {0};
    swg_value packed = swg__append(g, SWG__ATTENTION, g->dtype, ndim, shape, inputs, in, &attr);
    shape[ndim - 1] = heads ? a.heads * a.dv : a.dv;
    return packed ? swg_slice(g, packed, begin, shape) : packed;
}
