/* remat.c - recomputation as a rewrite: forward values that are not to be kept are cloned into the backward part.
 * In: a graph and which values to drop. Out: a new graph with the same results, bit for bit: a clone is the same operation on the same
 * bits, random ones replay their stream, and what writes something (states, updates) is never cloned.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>
#include "pass/pass.h"

static bool reduces(const swg__node *n) { return swg__ops[n->op].class == SWG__REDUCE && n->op != SWG__RESAMPLE; }

void swg__remat_able(const swg_graph *g, const swg_value *outputs, int output_count, uint8_t *able) {
    memset(able, 0, (size_t)g->count);
    for (int64_t v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        swg__class class = swg__ops[n->op].class;
        if (n->backward || class == SWG__LEAF || class == SWG__OPTIM || reduces(n))
            continue;
        able[v] = class == SWG__RANDOM;
        for (int j = 0; j < n->inputs; j++)
            able[v] |= able[n->in[j]] | (class != SWG__VIEW && g->nodes[swg__base_of(g, n->in[j])].op == SWG__INPUT);
    }
    for (int i = 0; i < output_count; i++)
        able[swg__base_of(g, outputs[i])] = 0;
    for (int64_t v = 1; v < g->count; v++)
        able[v] &= able[swg__base_of(g, (swg_value)v)];
}

bool swg__remat_cheap(const swg__node *n) {
    swg__class class = swg__ops[n->op].class;
    return class == SWG__EW || (class == SWG__MOVE && n->op != SWG__PERMUTE) || class == SWG__RANDOM || class == SWG__VIEW || n->op == SWG__GATHER || n->op == SWG__SPLINE;
}

typedef struct remaker {
    const swg_graph *from;
    swg_graph *to;
    const uint8_t *drop;
    uint8_t *able;
    swg_value *like;
    struct instance { swg_value value; int born; } *instance;   /* the latest clone of each value */
    swg_value *stack;
    int reach;
    int time;                       /* contractions of the backward part so far */
} remaker;

static swg_value copy(remaker *m, const swg__node *n, const swg_value *in, const swg__attr *attr) {
    return swg__append_like(m->to, n, (swg__op)n->op, (swg_dtype)n->dtype, n->ndim, n->shape, n->inputs, in, attr);
}

/* Is there a clone that may be read now? */
static bool at_hand(const remaker *m, swg_value v) {
    const struct instance *i = &m->instance[v];
    return i->value && (m->time - i->born <= m->reach || !swg__remat_cheap(&m->from->nodes[v]));
}

/* The clone of `v` to be read now, made with all it needs if there is none. */
static swg_value clone(remaker *m, swg_value v, swg_value *in) {
    int depth = 0;
    m->stack[depth++] = v;
    while (depth && m->to->status == SWG_OK) {
        swg_value u = m->stack[depth - 1];
        const swg__node *n = &m->from->nodes[u];
        int missing = 0;
        for (int j = 0; j < n->inputs && !at_hand(m, u); j++)
            if (m->drop[n->in[j]] && !at_hand(m, n->in[j])) {
                m->stack[depth++] = n->in[j];
                missing++;
                break;
            }
        if (missing)
            continue;
        depth--;
        if (at_hand(m, u))
            continue;
        assert(!n->backward && swg__ops[n->op].class != SWG__OPTIM && swg__ops[n->op].class != SWG__LEAF);
        for (int j = 0; j < n->inputs; j++)
            in[j] = m->drop[n->in[j]] ? m->instance[n->in[j]].value : m->like[n->in[j]];
        swg__attr attr = n->attr;
        attr.clone = (uint32_t)m->time + 2;
        swg_value made = copy(m, n, in, &attr);
        if (made)
            m->to->nodes[made].backward = m->to->nodes[made].clone = 1;
        m->instance[u] = (struct instance){made, m->time};
    }
    return m->instance[v].value;
}

static void remake(remaker *m, swg_value v, swg_value *in, swg_value *spare) {
    const swg__node *n = &m->from->nodes[v];
    bool reads_again = n->backward && swg__ops[n->op].class != SWG__OPTIM, forward_only = true, able = false;
    for (int j = 0; j < n->inputs; j++) {
        in[j] = reads_again && m->drop[n->in[j]] ? clone(m, n->in[j], spare) : m->like[n->in[j]];
        forward_only = forward_only && !m->from->nodes[n->in[j]].backward;
        able = able || m->able[n->in[j]];
    }
    if (m->to->status != SWG_OK)
        return;
    swg__attr attr = n->attr;
    attr.clone = reads_again && forward_only && able; /* what the backward part makes of forward values is not to be kept for it either */
    m->like[v] = copy(m, n, in, &attr);
    m->time += n->backward && (swg__ops[n->op].class == SWG__CONTRACTION || swg__ops[n->op].class == SWG__ATTEND);
}

swg_status swg__pass_remat(const swg_graph *from, swg_graph *to, const uint8_t *drop, int reach, swg_value *like) {
    int most = 1;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    size_t count = (size_t)from->count;
    swg_context *ctx = from->ctx;
    remaker m = {.from = from, .to = to, .drop = drop, .reach = reach, .like = like, .instance = swg__calloc(ctx, count, sizeof *m.instance),
                 .stack = swg__calloc(ctx, count, sizeof *m.stack), .able = swg__calloc(ctx, count, 1)};
    swg_value *in = swg__calloc(ctx, 2 * (size_t)most, sizeof *in);
    swg_status status = m.instance && m.stack && m.able && in ? SWG_OK : swg__fail_memory(ctx, count * 16, "recomputation");
    like[0] = SWG_NONE;
    if (status == SWG_OK && memchr(drop, 1, count))
        swg__remat_able(from, NULL, 0, m.able);
    for (swg_value v = 1; status == SWG_OK && v < from->count && to->status == SWG_OK; v++)
        remake(&m, v, in, in + most);
    if (status == SWG_OK)
        status = to->status;
    to->span = from->span;
    to->state_span = from->state_span;
    if (to->count > from->count)
        swg__explain(to, "remat: %lld operations done again for the backward pass", (long long)(to->count - from->count));
    swg__free(ctx, m.instance);
    swg__free(ctx, m.stack);
    swg__free(ctx, m.able);
    swg__free(ctx, in);
    return status;
}
