/* fold.c - constants computed, equal nodes merged, identities and needless expands removed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"

static void make_constant(swg__node *n, double value) {
    n->op = SWG__CONSTANT;
    n->inputs = 0;
    n->attr = (swg__attr){.f = {value}};
}

/* One node: true if it was changed into something simpler. `same` receives a value it is equal to, if any. */
static bool simplify(swg_graph *g, swg__node *n, swg_value *same) {
    swg__node *a = n->inputs > 0 ? &g->nodes[n->in[0]] : NULL, *b = n->inputs > 1 ? &g->nodes[n->in[1]] : NULL;
    *same = SWG_NONE;
    switch (n->op) {
    case SWG__AFFINE:
        if (a->op == SWG__CONSTANT) {
            make_constant(n, n->attr.f[0] * a->attr.f[0] + n->attr.f[1]);
            return true;
        }
        if (n->attr.f[0] == 1 && n->attr.f[1] == 0 && n->dtype == a->dtype) {
            *same = n->in[0];
            return true;
        }
        if (n->attr.f[1] == 0 && a->op == SWG__AFFINE && a->attr.f[1] == 0) { /* two scalings are one */
            n->attr.f[0] *= a->attr.f[0];
            n->in[0] = a->in[0];
            return true;
        }
        return false;
    case SWG__CAST:
        *same = n->dtype == a->dtype ? n->in[0] : SWG_NONE;
        return n->dtype == a->dtype;
    case SWG__MUL: /* by a number: a scaling, which needs no second operand in memory */
        for (int i = 0; i < 2; i++) {
            swg__node *number = &g->nodes[n->in[i]], *other = &g->nodes[n->in[1 - i]];
            if (number->op != SWG__CONSTANT || !swg__same_shape(n, other))
                continue;
            double factor = number->attr.f[0];
            n->op = SWG__AFFINE;
            n->in[0] = n->in[1 - i];
            n->inputs = 1;
            n->attr.f[0] = factor;
            n->attr.f[1] = 0;
            return true;
        }
        return false;
    case SWG__ADD:
        if (b->op == SWG__CONSTANT && swg__same_shape(n, a)) {
            double shift = b->attr.f[0];
            n->op = SWG__AFFINE;
            n->inputs = 1;
            n->attr.f[0] = 1;
            n->attr.f[1] = shift;
            return true;
        }
        return false;
    case SWG__RESHAPE:
        if (a->op == SWG__CONSTANT) {
            make_constant(n, a->attr.f[0]);
            return true;
        }
        if (swg__same_shape(n, a)) {
            *same = n->in[0];
            return true;
        }
        if (a->op == SWG__RESHAPE) {
            n->in[0] = a->in[0];
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* Element-wise readers broadcast by themselves: they can read what an expand reads, if their result's shape stays. */
static int skip_expands(swg_graph *g, swg__node *n) {
    int skipped = 0;
    if (swg__ops[n->op].class != SWG__EW || n->inputs < 2)
        return 0;
    for (int j = 0; j < n->inputs; j++) {
        const swg__node *expand = &g->nodes[n->in[j]];
        if (expand->op != SWG__EXPAND)
            continue;
        bool covered = false; /* some other operand has the whole shape */
        for (int k = 0; k < n->inputs; k++)
            covered = covered || (k != j && swg__same_shape(&g->nodes[n->in[k]], n));
        if (covered)
            n->in[j] = expand->in[0];
        skipped += covered;
    }
    return skipped;
}

bool swg__mergeable(const swg__node *n) {
    swg__class class = swg__ops[n->op].class;
    return class != SWG__OPTIM && class != SWG__RANDOM && n->op != SWG__INPUT && n->op != SWG__PARAM && n->op != SWG__STATE &&
           n->op != SWG__NONE;
}

static bool equal_nodes(const swg__node *a, const swg__node *b) {
    return a->op == b->op && a->dtype == b->dtype && a->inputs == b->inputs && swg__same_shape(a, b) &&
           memcmp(a->in, b->in, (size_t)a->inputs * sizeof *a->in) == 0 && memcmp(&a->attr, &b->attr, sizeof a->attr) == 0;
}

static uint64_t hash_node(const swg__node *n) {
    uint64_t h = n->op * 0x9E3779B97F4A7C15u + (uint64_t)n->ndim;
    for (int i = 0; i < n->inputs; i++)
        h = (h ^ n->in[i]) * 0x100000001b3u;
    for (int i = 0; i < n->ndim; i++)
        h = (h ^ (uint64_t)n->shape[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

swg_value swg__first_equal(const swg_graph *g, swg_value *table, int64_t slots, swg_value v) {
    uint64_t slot = hash_node(&g->nodes[v]) & (uint64_t)(slots - 1);
    while (table[slot] && !equal_nodes(&g->nodes[table[slot]], &g->nodes[v]))
        slot = (slot + 1) & (uint64_t)(slots - 1);
    return table[slot] = table[slot] ? table[slot] : v;
}

swg_value *swg__equal_table(const swg_graph *g, int64_t *slots) {
    for (*slots = 64; *slots < 2 * g->count;)
        *slots *= 2;
    return swg__calloc(g->ctx, (size_t)*slots, sizeof(swg_value));
}

void swg__mark_placed(const swg_graph *g, uint8_t *placed) {
    for (int64_t v = 1; v < g->count; v++)
        for (int j = 2; g->nodes[v].op == SWG__UPDATE && j < g->nodes[v].inputs; j++)
            for (swg_value x = g->nodes[v].in[j];; x = g->nodes[x].in[0]) {
                placed[x] = 1;
                if (g->nodes[x].op != SWG__RESHAPE)
                    break;
            }
}

swg_status swg__pass_fold(swg__work *w) {
    swg_graph *g = w->g;
    int64_t slots;
    swg_value *table = swg__equal_table(g, &slots), *like = swg__calloc(g->ctx, (size_t)g->count, sizeof *like);
    uint8_t *placed = swg__calloc(g->ctx, (size_t)g->count, 1);
    swg_status status = SWG_OK;
    int identities = 0, simpler = 0, merged = 0, expands = 0;
    if (!table || !like || !placed) {
        status = swg__fail_memory(g->ctx, (size_t)slots * 4, "folding");
        goto done;
    }
    swg__mark_placed(g, placed);
    for (swg_value v = 1; v < g->count; v++) {
        swg__node *n = &g->nodes[v];
        swg_value same = SWG_NONE;
        bool live = w->readers[v];
        for (int j = 0; j < n->inputs; j++)
            n->in[j] = like[n->in[j]];
        like[v] = v;
        int skipped = skip_expands(g, n);
        expands += live ? skipped : 0;
        bool simplified = false;
        while (!placed[v] && !same && simplify(g, n, &same))
            simplified = true;
        simpler += live && simplified && !same;
        if (same) {
            identities += live;
            like[v] = same;
            continue;
        }
        if (placed[v] || !swg__mergeable(n))
            continue;
        like[v] = swg__first_equal(g, table, slots, v);
        merged += live && like[v] != v;
    }
    for (int i = 0; i < w->output_count; i++)
        w->outputs[i] = like[w->outputs[i]];
    swg__work_count(w);
    swg__explain(g, "fold: %d operations made simpler, %d identities removed, %d equal operations merged, %d expands read through", simpler,
                 identities, merged, expands);
done:
    swg__free(g->ctx, table);
    swg__free(g->ctx, like);
    swg__free(g->ctx, placed);
    return status;
}
