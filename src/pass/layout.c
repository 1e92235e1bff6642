/* layout.c - channels-last everywhere, permutes only at the edges of the graph. Convolutions are channels-last; one asked for
 * channels-first stands between two permutes. A value that is a permute of a channels-last one, its twin, is not computed until
 * something needs it as it is: element-wise operations, sums, slices, paddings, concatenations and normalisations read and make
 * twins instead.
 * In: a graph. Out: a new one, and for each value its like there. Results are the same but for the order of sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "pass/pass.h"

typedef struct maker {
    const swg_graph *from;
    swg_graph *to;
    /* Per value of `from`, what it is in `to`: form[v][0] as it is, form[v][1] channels-last; SWG_NONE: not there (yet). With three
     * axes a permute and what it permutes are each other's twins: they share one pair. */
    swg_value (*form)[2], *pair;
    uint8_t *flip;
    uint8_t *native;            /* of a pair: the form that was made first, the other one being a permute of it */
    uint8_t *placed;            /* gradients: each stays a node of its own */
} maker;

/* Axis `axis` of a value, in its twin. */
static int twin_axis(int ndim, int axis) { return axis == 0 ? 0 : axis == 1 ? ndim - 1 : axis - 1; }

static uint32_t twin_axes(int ndim, uint32_t axes) {
    uint32_t turned = 0;
    for (int axis = 0; axis < ndim; axis++)
        turned |= (axes >> axis & 1) << twin_axis(ndim, axis);
    return turned;
}

static bool moves_channels(const swg__node *n, bool last) {
    bool same = n->op == SWG__PERMUTE && n->ndim >= 3;
    for (int axis = 0; same && axis < n->ndim; axis++)
        same = last ? twin_axis(n->ndim, (int)n->attr.begin[axis]) == axis : n->attr.begin[axis] == twin_axis(n->ndim, axis);
    return same;
}

static swg_value emit(maker *m, const swg__node *like, swg__op op, int ndim, const int64_t *shape, int inputs, const swg_value *in,
                      const swg__attr *attr) {
    return swg__append_like(m->to, like, op, (swg_dtype)like->dtype, ndim, shape, inputs, in, attr);
}

/* From a value to its twin or back: a permute, or only another shape where no other axis trades places with the channels. */
static swg_value emit_permute(maker *m, const swg__node *like, swg_value x, bool last) {
    const swg__node *n = &m->to->nodes[x];
    swg__attr attr = {0};
    int64_t shape[SWG_MAX_DIMS], channels = n->shape[last ? 1 : n->ndim - 1];
    for (int axis = 0; axis < n->ndim; axis++)
        attr.begin[last ? twin_axis(n->ndim, axis) : axis] = last ? axis : twin_axis(n->ndim, axis);
    for (int axis = 0; axis < n->ndim; axis++)
        shape[axis] = n->shape[attr.begin[axis]];
    bool crosses = channels > 1 && swg__shape_elements(n->ndim - 1, n->shape + 1) > channels;
    return emit(m, like, crosses ? SWG__PERMUTE : SWG__RESHAPE, n->ndim, shape, 1, &x, crosses ? &attr : NULL);
}

static swg_value *form_of(const maker *m, swg_value v, bool last) { return &m->form[m->pair[v]][last != m->flip[v]]; }
/* Is it channels-last, and at most permuted to what it is? */
static bool is_twin(const maker *m, swg_value v) { return *form_of(m, v, true) && (m->native[m->pair[v]] != m->flip[v]); }

static swg_value get(maker *m, swg_value v, bool last);

/* Channels-last, of an operand that is broadcast to ndim axes. */
static swg_value small_twin(maker *m, swg_value v, int ndim) {
    const swg__node *n = &m->from->nodes[v];
    if (n->ndim == ndim)
        return get(m, v, true);
    swg_value x = get(m, v, false);
    if (!x || swg__shape_elements(n->ndim, n->shape) == 1)
        return x;
    int64_t shape[SWG_MAX_DIMS];
    for (int axis = 0; axis < ndim; axis++)
        shape[axis] = axis < ndim - n->ndim ? 1 : n->shape[axis - (ndim - n->ndim)];
    x = emit(m, n, SWG__RESHAPE, ndim, shape, 1, &x, NULL);
    return x ? emit_permute(m, n, x, true) : x;
}

/* An expand of a twin: nothing as large as its result is ever moved. */
static swg_value emit_expand(maker *m, const swg__node *n) {
    int64_t shape[SWG_MAX_DIMS];
    for (int axis = 0; axis < n->ndim; axis++)
        shape[twin_axis(n->ndim, axis)] = n->shape[axis];
    swg_value x = small_twin(m, n->in[0], n->ndim);
    return x ? emit(m, n, SWG__EXPAND, n->ndim, shape, 1, &x, &n->attr) : x;
}

/* The form asked for; made from the other one if it is not there. */
static swg_value get(maker *m, swg_value v, bool last) {
    swg_value *to = form_of(m, v, last), from = *form_of(m, v, !last);
    const swg__node *n = &m->from->nodes[v];
    if (!*to)
        *to = n->op == SWG__EXPAND && last && n->ndim >= 3 ? emit_expand(m, n) : emit_permute(m, n, from, last);
    return *to;
}

/* Can `n` be computed channels-last, by the same kernel? */
static bool turns(const swg__node *n) {
    if (swg__ops[n->op].class == SWG__EW || n->op == SWG__SLICE || n->op == SWG__PAD || n->op == SWG__CONCAT)
        return true;
    if (n->op == SWG__RESAMPLE || n->op == SWG__MAX_INDEX || n->op == SWG__GATHER || n->op == SWG__SCATTER)
        return n->attr.axis == 2 && (n->op == SWG__RESAMPLE || n->op == SWG__MAX_INDEX || n->attr.begin[0]); /* over all spatial axes */
    if (n->op != SWG__SUM && n->op != SWG__REDUCE_MAX)
        return false;
    uint32_t axes = twin_axes(n->ndim, n->attr.axes);
    axes /= axes & -axes; /* one run of axes: kernels see no others */
    return (axes & (axes + 1)) == 0;
}

/* Is it worth it: is an operand of the whole shape there channels-last only? */
static bool wants(const maker *m, swg_value v) {
    const swg__node *n = &m->from->nodes[v];
    bool found = false;
    for (int j = 0; j < n->inputs && n->ndim >= 3 && turns(n); j++)
        found = found || (m->from->nodes[n->in[j]].ndim == n->ndim && is_twin(m, n->in[j]) &&
                          (swg__ops[n->op].class != SWG__EW || swg__same_shape(&m->from->nodes[n->in[j]], n)));
    return found;
}

static swg_value emit_twin(maker *m, const swg__node *n, swg_value *in) {
    swg__attr attr = n->attr;
    int64_t shape[SWG_MAX_DIMS];
    bool elementwise = swg__ops[n->op].class == SWG__EW;
    attr.axes = twin_axes(n->ndim, n->attr.axes);
    for (int axis = 0; axis < n->ndim; axis++) {
        shape[twin_axis(n->ndim, axis)] = n->shape[axis];
        if (n->op == SWG__SLICE || n->op == SWG__PAD)
            attr.begin[twin_axis(n->ndim, axis)] = n->attr.begin[axis];
    }
    if (n->op == SWG__CONCAT)
        attr.axis = twin_axis(n->ndim, n->attr.axis);
    else if (!elementwise && swg__ops[n->op].class != SWG__MOVE)
        attr.axis = twin_axis(n->ndim, n->attr.axis); /* the first of the spatial axes */
    for (int j = 0; j < n->inputs; j++) {
        bool whole = !elementwise || swg__same_shape(&m->from->nodes[n->in[j]], n);
        if (!(in[j] = whole ? get(m, n->in[j], true) : small_twin(m, n->in[j], n->ndim)))
            return SWG_NONE;
    }
    return emit(m, n, (swg__op)n->op, n->ndim, shape, n->inputs, in, &attr);
}

/* Statistics of a normalisation: their results lie per sample and channel, or fewer, in that order in either form. */
static bool turns_statistics(const maker *m, const swg__node *n) {
    if ((n->op != SWG__NORM_STATS && n->op != SWG__NORM_SUMS) || n->inputs > 4 || n->attr.f[0] != 0)
        return false;
    swg_value x = n->in[n->op == SWG__NORM_SUMS];
    const swg__node *own = &m->from->nodes[x];
    bool all = own->ndim >= 3 && is_twin(m, x);
    for (int axis = 2; axis < own->ndim && all; axis++)
        all = n->attr.axes >> axis & 1;
    swg__norm_view view;
    return all && swg__norm_view_of(&m->to->nodes[*form_of(m, x, true)], twin_axes(own->ndim, n->attr.axes), &view);
}

static swg_value emit_statistics(maker *m, const swg__node *n, swg_value *in) {
    int ndim = m->from->nodes[n->in[0]].ndim;
    swg__attr attr = n->attr;
    attr.axes = twin_axes(ndim, n->attr.axes);
    for (int j = 0; j < n->inputs; j++)
        if (!(in[j] = small_twin(m, n->in[j], ndim)))
            return SWG_NONE;
    return emit(m, n, (swg__op)n->op, n->ndim, n->shape, n->inputs, in, &attr);
}

static void place(maker *m, swg_value v, swg_value *in) {
    const swg__node *n = &m->from->nodes[v];
    bool first = !m->placed[v] && moves_channels(n, false), last = !m->placed[v] && moves_channels(n, true);
    m->pair[v] = v;
    if (first && last) {
        m->pair[v] = m->pair[n->in[0]];
        m->flip[v] = !m->flip[n->in[0]];
    } else if (first) {
        m->form[v][1] = get(m, n->in[0], false);
        m->native[v] = 1;
    } else if (last) {
        m->form[v][0] = get(m, n->in[0], true);
    } else if (!m->placed[v] && wants(m, v)) {
        m->form[v][1] = emit_twin(m, n, in);
        m->native[v] = 1;
    } else if (!m->placed[v] && turns_statistics(m, n)) {
        m->form[v][0] = emit_statistics(m, n, in);
    } else {
        for (int j = 0; j < n->inputs; j++)
            if (!(in[j] = get(m, n->in[j], false)))
                return;
        m->form[v][0] = emit(m, n, (swg__op)n->op, n->ndim, n->shape, n->inputs, in, &n->attr);
    }
}

/* Permutes before and after. */
static swg_status explain(const maker *m, const swg_value *outputs, int output_count, const swg_value *like) {
    if (!m->to->explain)
        return SWG_OK;
    swg_value *now = swg__alloc(m->to->ctx, (size_t)output_count * sizeof *now);
    int64_t before = swg__count_live(m->from, outputs, output_count, SWG__PERMUTE), after = -1;
    for (int i = 0; now && i < output_count; i++)
        now[i] = like[outputs[i]];
    if (now)
        after = swg__count_live(m->to, now, output_count, SWG__PERMUTE);
    swg__free(m->to->ctx, now);
    if (before < 0 || after < 0)
        return swg__fail_memory(m->to->ctx, (size_t)output_count * sizeof *now, "a layout");
    swg__explain(m->to, "layout: %lld of %lld permutes left", (long long)after, (long long)before);
    return SWG_OK;
}

swg_status swg__pass_layout(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    int most = 1;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    size_t count = (size_t)from->count;
    swg_context *ctx = from->ctx;
    swg_value *in = swg__calloc(ctx, (size_t)most, sizeof *in);
    maker m = {.from = from, .to = to, .form = swg__calloc(ctx, count, sizeof *m.form), .pair = swg__calloc(ctx, count, sizeof *m.pair),
               .flip = swg__calloc(ctx, count, 1), .native = swg__calloc(ctx, count, 1), .placed = swg__calloc(ctx, count, 1)};
    swg_status status = m.form && m.pair && m.flip && m.native && m.placed && in ? SWG_OK : swg__fail_memory(ctx, count * 15, "a layout");
    if (status == SWG_OK) {
        swg__mark_placed(from, m.placed);
        for (swg_value v = 1; v < from->count && to->status == SWG_OK; v++)
            place(&m, v, in);
        for (int i = 0; i < output_count && to->status == SWG_OK; i++)
            get(&m, outputs[i], false);
        status = to->status;
        like[0] = SWG_NONE;
        for (swg_value v = 1; status == SWG_OK && v < from->count; v++)
            like[v] = *form_of(&m, v, false);
    }
    if (status == SWG_OK)
        status = explain(&m, outputs, output_count, like);
    to->span = from->span;
    to->state_span = from->state_span;
    swg__free(ctx, m.form);
    swg__free(ctx, m.pair);
    swg__free(ctx, m.flip);
    swg__free(ctx, m.native);
    swg__free(ctx, m.placed);
    swg__free(ctx, in);
    return status;
}
