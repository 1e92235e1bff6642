/* build_norm.c - builders of state and of split normalisation.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"

/* ---- state ---- */

static swg_value state(swg_graph *g, const char *name, int ndim, const int64_t *shape, double value, const double *row) {
    swg_value v = swg__named_leaf(g, SWG__STATE, name, ndim, shape, &(swg__attr){.f = {value}});
    if (!v || (row && !(g->nodes[v].attr.data = swg__copy_numbers(g, row, shape[ndim - 1], name))))
        return SWG_NONE;
    if (g->state_count == g->state_capacity) {
        int capacity = g->state_capacity ? 2 * g->state_capacity : 16;
        struct swg__state_entry *states = swg__grow(g->ctx, g->states, (size_t)capacity * sizeof *states);
        if (!states)
            return swg__graph_fail(g, SWG_ENOMEM, "out of memory for state \"%s\"", name);
        g->states = states;
        g->state_capacity = capacity;
    }
    g->states[g->state_count++] = (struct swg__state_entry){.state = v};
    g->nodes[v].offset = g->state_span;
    g->state_span += (swg_elements(g, v) + 15) / 16 * 16;
    return v;
}

swg_value swg_state(swg_graph *g, const char *name, int ndim, const int64_t *shape, double value) {
    return state(g, name, ndim, shape, value, NULL);
}

swg_value swg_state_rows(swg_graph *g, const char *name, int ndim, const int64_t *shape, const double *row) {
    return row ? state(g, name, ndim, shape, 0, row) : swg__graph_fail(g, SWG_EINVAL, "state \"%s\": NULL where numbers are needed", name ? name : "");
}

swg_value swg_state_like(swg_graph *g, const char *name, swg_value param) {
    if (!swg__check(g, "state_like", param))
        return SWG_NONE;
    const swg__node *p = &g->nodes[param];
    if (p->op != SWG__PARAM)
        return swg__graph_fail(g, SWG_EINVAL, "state_like \"%s\": what it should start as is not a parameter", name ? name : "");
    swg_value v = state(g, name, p->ndim, p->shape, 0, NULL);
    if (v)
        g->states[g->state_count - 1].like = param;
    return v;
}

void swg_state_set(swg_graph *g, swg_value state, swg_value value) {
    if (!swg__check(g, "state_set", state) || !swg__check(g, "state_set", value))
        return;
    struct swg__state_entry *entry = NULL;
    for (int i = 0; i < g->state_count; i++)
        if (g->states[i].state == state)
            entry = &g->states[i];
    const swg__node *s = &g->nodes[state], *v = &g->nodes[value];
    char left[96], right[96];
    if (!entry)
        swg__graph_fail(g, SWG_EINVAL, "state_set: the first value is not a state");
    else if (entry->value)
        swg__graph_fail(g, SWG_EINVAL, "state_set: \"%s\" is set twice in one step; does a layer with running statistics stand twice in "
                        "the graph?", s->name);
    else if (!swg__same_shape(s, v))
        swg__graph_fail(g, SWG_ESHAPE, "state_set: \"%s\" is %s, its new value %s", s->name, swg__shape_text(s, left, sizeof left),
                        swg__shape_text(v, right, sizeof right));
    else
        entry->value = value;
}

static swg_value assign(swg_graph *g, const struct swg__state_entry *entry, swg_value gate) {
    const swg__node *s = &g->nodes[entry->state];
    int64_t offset = s->offset;
    swg_value v = swg__append(g, SWG__ASSIGN, g->dtype, s->ndim, s->shape, gate ? 3 : 2, (swg_value[]){entry->state, entry->value, gate}, NULL);
    if (v)
        g->nodes[v].offset = offset;
    return v;
}

swg_value swg__update_states(swg_graph *g, swg_value v, swg_value gate) {
    if (!swg__check(g, "update_states", v))
        return SWG_NONE;
    swg_value *in = swg__arena_alloc(&g->arena, (size_t)(g->state_count + 1) * sizeof *in);
    if (!in)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for the states");
    int count = 0;
    in[count++] = v;
    for (int i = 0; i < g->state_count; i++)
        if (g->states[i].value) {
            if (!g->states[i].update)
                g->states[i].update = assign(g, &g->states[i], gate);
            in[count++] = g->states[i].update;
        }
    return count == 1 ? v : swg__append(g, SWG__AFTER, g->dtype, swg_ndim(g, v), swg_shape(g, v), count, in, NULL);
}

swg_value swg_update_states(swg_graph *g, swg_value v) { return swg__update_states(g, v, SWG_NONE); }

/* ---- normalisation ---- */

bool swg__norm_view_of(const swg__node *x, uint32_t axes, swg__norm_view *out) {
    int64_t run[4];
    bool reduced[4];
    int runs = 0;
    for (int i = 0; i < x->ndim; i++) {
        bool r = axes >> i & 1;
        if (x->shape[i] == 1)
            continue;
        if (runs && reduced[runs - 1] == r) {
            run[runs - 1] *= x->shape[i];
            continue;
        }
        if (runs == 3)
            return false;
        run[runs] = x->shape[i];
        reduced[runs++] = r;
    }
    out->columns = runs >= 2 && !reduced[runs - 1]; /* (R K) and (K R K) */
    int first = 3 - runs;
    if (runs && runs < 3 && !out->columns && !reduced[runs - 1])
        first--; /* (K): nothing is reduced, the inner extent is 1 */
    if (out->columns && runs == 2)
        first = 1;
    int64_t extent[3] = {1, 1, 1};
    for (int i = 0; i < runs; i++)
        extent[first + i] = run[i];
    *out = (swg__norm_view){extent[0], extent[1], extent[2], out->columns};
    return true;
}

/* Row `row` of (2, kept), in the shape of x with the reduced axes 1. */
static swg_value kept(swg_graph *g, swg_value pair, int64_t row, int ndim, const int64_t *shape) {
    if (!pair)
        return SWG_NONE;
    int64_t count = swg_shape(g, pair)[1];
    return swg_reshape(g, swg_slice(g, pair, (int64_t[]){row, 0}, (int64_t[]){1, count}), ndim, shape);
}

swg_moments swg_norm_moments(swg_graph *g, swg_value x, uint32_t axes) {
    if (!swg__check(g, "norm_moments", x))
        return (swg_moments){0};
    const swg__node *n = &g->nodes[x];
    int ndim = n->ndim;
    int64_t shape[SWG_MAX_DIMS], count = 1;
    if (axes == 0)
        axes = (1u << ndim) - 1;
    if (axes >> ndim) {
        swg__graph_fail(g, SWG_EINVAL, "norm_moments: axis mask %#x names axes beyond %d", axes, ndim - 1);
        return (swg_moments){0};
    }
    for (int i = 0; i < ndim; i++) {
        shape[i] = axes >> i & 1 ? 1 : n->shape[i];
        count *= shape[i];
    }
    swg__norm_view view;
    if (!swg__norm_view_of(n, axes, &view)) {
        swg_value mean = swg_mean(g, x, axes);
        return (swg_moments){mean, swg_mean(g, swg_square(g, swg_sub(g, x, mean)), axes)};
    }
    swg_value pair = swg__append(g, SWG__NORM_STATS, g->dtype, 2, (int64_t[]){2, count}, 1, &x, &(swg__attr){.axes = axes});
    return (swg_moments){kept(g, pair, 0, ndim, shape), kept(g, pair, 1, ndim, shape)};
}

/* Does b broadcast to a without making it larger? */
static bool broadcasts(const swg__node *b, const swg__node *a) {
    bool fits = b->ndim <= a->ndim;
    for (int i = 0; fits && i < b->ndim; i++)
        fits = b->shape[i] == 1 || b->shape[i] == a->shape[a->ndim - b->ndim + i];
    return fits;
}

swg_value swg_norm_apply(swg_graph *g, swg_value x, swg_value mean, swg_value rstd, swg_value gamma, swg_value beta) {
    swg_value in[5] = {x, mean, rstd, gamma, beta};
    static const char *const names[5] = {"x", "mean", "rstd", "gamma", "beta"};
    if (beta && !gamma)
        return swg__graph_fail(g, SWG_EINVAL, "norm_apply: beta without gamma");
    int count = beta ? 5 : gamma ? 4 : 3;
    for (int i = 0; i < count; i++) {
        if (!swg__check(g, "norm_apply", in[i]))
            return SWG_NONE;
        if (!broadcasts(&g->nodes[in[i]], &g->nodes[x])) {
            char left[224], right[224];
            return swg__graph_fail(g, SWG_ESHAPE, "norm_apply: %s %s does not broadcast to x %s", names[i],
                                   swg__value_text(g, in[i], left, sizeof left), swg__value_text(g, x, right, sizeof right));
        }
    }
    if (!swg__same_shape(&g->nodes[mean], &g->nodes[rstd]) || swg_ndim(g, mean) != swg_ndim(g, x))
        return swg__graph_fail(g, SWG_ESHAPE, "norm_apply: mean and rstd must be alike and have as many axes as x");
    return swg__append(g, SWG__NORM_APPLY, g->dtype, swg_ndim(g, x), swg_shape(g, x), count, in, NULL);
}

swg_value swg__norm_sums(swg_graph *g, const swg_value *in, int inputs, uint32_t axes, bool by_row) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    const swg__node *x = &g->nodes[in[1]];
    swg__norm_view view;
    int64_t count = 1;
    if (!swg__norm_view_of(x, axes, &view))
        return SWG_NONE;
    for (int i = 0; i < x->ndim; i++)
        count *= axes >> i & 1 ? 1 : x->shape[i];
    bool weighted = inputs == 5;
    if (weighted && (view.columns || view.outer != 1 || swg_elements(g, in[4]) != view.inner))
        return SWG_NONE;
    if (by_row && (!view.columns || view.outer != 1))
        return SWG_NONE;
    return swg__append(g, SWG__NORM_SUMS, g->dtype, 2, (int64_t[]){2, count}, inputs, in, &(swg__attr){.axes = axes, .f = {by_row}});
}

/* attr.axis: the first normalised axis; f[0]: eps. */
swg_value swg__layer_norm(swg_graph *g, swg_value x, swg_value gamma, swg_value beta, int dims, double eps) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    return swg__append(g, SWG__LAYER_NORM, g->dtype, n->ndim, n->shape, beta ? 3 : gamma ? 2 : 1, (swg_value[]){x, gamma, beta},
                       &(swg__attr){.axis = n->ndim - dims, .f = {eps}});
}
