/* norm.c - normalisation with known statistics moves into the contraction before it: W scale and (bias - mean) scale + beta instead of a
 * pass over the result. For plans with frozen weights, which compute the new weights once.
 * In: a graph. Out: a new one, and for each value its like there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"

enum { STEPS_MOST = 4 };    /* permutes and reshapes between contraction and norm */

void swg__mark_fixed(const swg_graph *g, uint8_t *fixed) {
    for (swg_value v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        swg__class class = swg__ops[n->op].class;
        fixed[v] = n->op == SWG__PARAM || n->op == SWG__STATE || n->op == SWG__CONSTANT || n->op == SWG__ARRAY ||
                   (n->inputs > 0 && class != SWG__RANDOM && class != SWG__OPTIM);
        for (int j = 0; j < n->inputs; j++)
            fixed[v] = fixed[v] && fixed[n->in[j]];
    }
}

typedef struct maker {
    const swg_graph *from;
    swg_graph *to;
    const swg_value *like;
    uint8_t *fixed;
    int *readers;
} maker;

/* A norm_apply and the contraction its input comes from. */
typedef struct match {
    swg_value contraction, bias;            /* bias: SWG_NONE if there is none */
    swg_value steps[STEPS_MOST];            /* from the norm's input down */
    int step_count, weight_axis;
    int64_t channels;
} match;

/* Does v, broadcast to ndim axes, vary along no axis but `axis`? */
static bool along(const swg__node *v, int ndim, int axis) {
    for (int i = 0; i < v->ndim; i++)
        if (v->shape[i] != 1 && i + ndim - v->ndim != axis)
            return false;
    return true;
}

/* The axis of `in` that `axis` of its reshape `n` is, -1 if it was cut or merged. */
static int axis_before_reshape(const swg__node *n, const swg__node *in, int axis) {
    int64_t after = swg__shape_elements(n->ndim - axis - 1, n->shape + axis + 1);
    for (int i = in->ndim - 1; i >= 0; i--)
        if (in->shape[i] == n->shape[axis] && swg__shape_elements(in->ndim - i - 1, in->shape + i + 1) == after)
            return i;
    return -1;
}

/* The one axis along which the statistics vary; -1 if there is no such axis, or they are not fixed. */
static int channel_axis(const maker *m, const swg__node *n) {
    int axis = -1;
    for (int j = 1; j < n->inputs; j++) {
        const swg__node *v = &m->from->nodes[n->in[j]];
        if (!m->fixed[n->in[j]])
            return -1;
        for (int i = 0; i < v->ndim; i++)
            if (v->shape[i] != 1)
                axis = i + n->ndim - v->ndim;
    }
    for (int j = 1; j < n->inputs; j++)
        if (axis >= 0 && !along(&m->from->nodes[n->in[j]], n->ndim, axis))
            return -1;
    return axis;
}

static bool find(const maker *m, const swg__node *norm, match *out) {
    int axis = norm->op == SWG__NORM_APPLY ? channel_axis(m, norm) : -1;
    if (axis < 0)
        return false;
    *out = (match){.channels = norm->shape[axis]};
    for (swg_value v = norm->in[0];;) {
        const swg__node *n = &m->from->nodes[v];
        if (m->readers[v] != 1)
            return false;
        bool step = n->op == SWG__PERMUTE || n->op == SWG__RESHAPE;
        if (step && out->step_count < STEPS_MOST) {
            axis = n->op == SWG__PERMUTE ? (int)n->attr.begin[axis] : axis_before_reshape(n, &m->from->nodes[n->in[0]], axis);
            if (axis < 0)
                return false;
            out->steps[out->step_count++] = v;
            v = n->in[0];
            continue;
        }
        if (n->op == SWG__ADD && !out->bias && m->fixed[n->in[1]] && along(&m->from->nodes[n->in[1]], n->ndim, axis) &&
            swg__same_shape(&m->from->nodes[n->in[0]], n)) {
            out->bias = n->in[1];
            v = n->in[0];
            continue;
        }
        bool known = n->op == SWG__MATMUL || n->op == SWG__CONV || (n->op == SWG__CONV_TRANSPOSE && n->attr.groups == 1);
        if (!known || n->inputs != 2 || axis != n->ndim - 1 || !m->fixed[n->in[1]] || (n->op == SWG__MATMUL && n->ndim != 2))
            return false;
        out->contraction = v;
        out->weight_axis = n->op == SWG__MATMUL ? !n->attr.trans_b : n->op == SWG__CONV_TRANSPOSE;
        return true;
    }
}

static swg_value emit(maker *m, const swg__node *like, const swg_value *in) {
    return swg__append_like(m->to, like, (swg__op)like->op, (swg_dtype)like->dtype, like->ndim, like->shape, like->inputs, in, &like->attr);
}

/* A fixed operand as one number per channel, or one for all. */
static swg_value vector(const maker *m, swg_value v) { return swg_reshape(m->to, m->like[v], 1, (int64_t[]){-1}); }

static swg_value emit_folded(maker *m, const swg__node *norm, const match *f) {
    swg_graph *g = m->to;
    const swg__node *c = &m->from->nodes[f->contraction], *w = &m->from->nodes[c->in[1]];
    swg_value mean = vector(m, norm->in[1]), scale = vector(m, norm->in[2]);
    if (norm->inputs > 3)
        scale = swg_mul(g, scale, vector(m, norm->in[3]));
    swg_value shift = swg_mul(g, swg_sub(g, f->bias ? vector(m, f->bias) : swg_constant(g, 0), mean), scale);
    if (norm->inputs > 4)
        shift = swg_add(g, shift, vector(m, norm->in[4]));
    int64_t wide[SWG_MAX_DIMS];
    for (int i = 0; i < w->ndim; i++)
        wide[i] = i == f->weight_axis ? swg_elements(g, scale) : 1;
    swg_value in[2] = {m->like[c->in[0]], swg_mul(g, m->like[c->in[1]], swg_reshape(g, scale, w->ndim, wide))};
    if (g->status != SWG_OK)
        return SWG_NONE;
    swg_value y = emit(m, c, in);
    y = y ? swg_add(g, y, swg_expand(g, shift, 1, &f->channels)) : y;
    for (int i = f->step_count - 1; y && i >= 0; i--)
        y = emit(m, &m->from->nodes[f->steps[i]], &y);
    return y;
}

swg_status swg__pass_norm(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    size_t count = (size_t)from->count;
    swg_context *ctx = from->ctx;
    int most = 1, folded = 0;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    swg_value *in = swg__calloc(ctx, (size_t)most, sizeof *in);
    maker m = {.from = from, .to = to, .like = like, .fixed = swg__calloc(ctx, count, 1), .readers = swg__calloc(ctx, count, sizeof *m.readers)};
    swg_status status = in && m.fixed && m.readers ? SWG_OK : swg__fail_memory(ctx, count * 5, "folding norms");
    if (status == SWG_OK) {
        swg__mark_fixed(from, m.fixed);
        for (int i = 0; i < output_count; i++)
            m.readers[outputs[i]]++;
        for (int64_t v = 1; v < from->count; v++)
            for (int j = 0; j < from->nodes[v].inputs; j++)
                m.readers[from->nodes[v].in[j]]++;
        like[0] = SWG_NONE;
    }
    for (swg_value v = 1; status == SWG_OK && v < from->count; v++) {
        const swg__node *n = &from->nodes[v];
        match found;
        for (int j = 0; j < n->inputs; j++)
            in[j] = like[n->in[j]];
        bool fits = find(&m, n, &found);
        folded += fits;
        like[v] = fits ? emit_folded(&m, n, &found) : emit(&m, n, in);
        status = to->status;
    }
    swg__explain(to, "norm: %d normalisations moved into the weights before them", folded);
    to->span = from->span;
    to->state_span = from->state_span;
    swg__free(ctx, in);
    swg__free(ctx, m.fixed);
    swg__free(ctx, m.readers);
    return status;
}
