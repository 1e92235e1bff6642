/* rows.c - tensors whose last axis is channels as plain rows: element-wise operations, layer norms, joins and cuts of channels, and convolutions of
 * one tap become operations on (positions, channels). Neighbours then have one shape, whatever axes their layers were written with: bias goes
 * into the product before it, chains run in row panels, and a batch of one is shared out by positions. Reshapes are views: nothing moves.
 * In: a graph, channels-last. Out: a new one, and for each value its like there. Same bits but for the gradient of one-tap weights, whose sum has
 * other parts.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/conv.h"
#include "kernel/kernel.h"
#include "pass/pass.h"

typedef struct maker {
    const swg_graph *from;
    swg_graph *to;
    /* Values that differ by reshapes which keep the last axis share a root. Per value, what it is in `to`: `own` shape, and by root as rows;
     * SWG_NONE: not made yet. */
    swg_value *own, *rows, *root;
    uint8_t *native;            /* by root: computed as rows */
    uint8_t *open;              /* a product in a shape of its own, perhaps with a bias: bias, relu and gate will become part of it */
    uint8_t *placed;            /* gradients: each stays a node of its own */
    bool trains;                /* there is a backward pass */
    int changed;                /* operations that are now on rows */
} maker;

static int64_t last_of(const swg__node *n) { return n->shape[n->ndim - 1]; }
static int64_t count_rows(const swg__node *n) { return swg__shape_elements(n->ndim - 1, n->shape); }

static swg_value reshaped(maker *m, const swg__node *like, swg_value x, int ndim, const int64_t *shape) {
    const swg__node *n = &m->to->nodes[x];
    const swg__node wanted = {.ndim = ndim, .shape = (int64_t *)(uintptr_t)shape};
    if (!x || swg__same_shape(n, &wanted))
        return x;
    if (n->op == SWG__RESHAPE)
        x = n->in[0];
    return swg__append_like(m->to, like, SWG__RESHAPE, (swg_dtype)like->dtype, ndim, shape, 1, &x, NULL);
}

static swg_value get_own(maker *m, swg_value v) {
    const swg__node *n = &m->from->nodes[v];
    if (!m->own[v])
        m->own[v] = reshaped(m, n, m->rows[m->root[v]] ? m->rows[m->root[v]] : m->own[m->root[v]], n->ndim, n->shape);
    return m->own[v];
}

static swg_value get_rows(maker *m, swg_value v) {
    const swg__node *n = &m->from->nodes[v];
    swg_value root = m->root[v];
    if (!m->rows[root])
        m->rows[root] = reshaped(m, n, m->own[root], 2, (int64_t[]){count_rows(n), last_of(n)});
    return m->rows[root];
}

/* Does an operand that is broadcast to ndim axes vary along none but the last? */
static bool along_last(const swg__node *in, int ndim) {
    for (int axis = 0; axis < in->ndim; axis++)
        if (in->shape[axis] != 1 && axis + ndim - in->ndim != ndim - 1)
            return false;
    return true;
}

/* What an element-wise `n` reads through an expand: what is expanded, if it varies along none but the last axis. */
static swg_value read_through(const maker *m, const swg__node *n, swg_value v) {
    const swg__node *in = &m->from->nodes[v];
    return in->op == SWG__EXPAND && swg__same_shape(in, n) && along_last(&m->from->nodes[in->in[0]], n->ndim) ? in->in[0] : v;
}

static bool native_input(const maker *m, const swg__node *n) {
    bool found = false;
    for (int j = 0; j < n->inputs; j++)
        found = found || (m->native[m->root[n->in[j]]] && m->from->nodes[n->in[j]].ndim == n->ndim);
    return found;
}

/* Is an operand element-wise itself, and in its own shape? One chain has one shape. */
static bool chain_input(const maker *m, const swg__node *n) {
    bool found = false;
    for (int j = 0; j < n->inputs; j++) {
        const swg__node *in = &m->from->nodes[n->in[j]];
        found = found || (swg__ops[in->op].class == SWG__EW && swg__same_shape(in, n) && !m->native[m->root[n->in[j]]] && !m->open[n->in[j]]);
    }
    return found;
}

/* Does fuse.c make `n` part of the product it reads? */
static bool joins_product(const maker *m, const swg__node *n) {
    return (n->op == SWG__RELU || n->op == SWG__GATE || (n->op == SWG__ADD && m->from->nodes[n->in[1]].ndim == 1)) && m->open[n->in[0]];
}

/* Can `n`, whose operands are whole or vary along the last axis alone, be computed on rows, and is it worth it? */
static bool turns(const maker *m, const swg__node *n) {
    if (n->ndim < 3 || joins_product(m, n))
        return false;
    if (n->op == SWG__LAYER_NORM || n->op == SWG__LAYER_NORM_GRAD)
        return n->attr.axis == n->ndim - 1;
    if (n->op == SWG__CONCAT)
        return n->attr.axis == n->ndim - 1 && native_input(m, n);
    if (n->op == SWG__SLICE) {
        const swg__node *x = &m->from->nodes[n->in[0]];
        if (x->op == SWG__ATTENTION && !m->trains) /* is left out by who makes it */
            return false;
        for (int axis = 0; axis < n->ndim - 1; axis++)
            if (n->shape[axis] != x->shape[axis])
                return false;
        return last_of(n) < last_of(x);
    }
    bool fits = swg__ops[n->op].class == SWG__EW, whole = false;
    for (int j = 0; j < n->inputs && fits; j++) {
        const swg__node *in = &m->from->nodes[read_through(m, n, n->in[j])];
        bool same = swg__same_shape(in, n);
        whole = whole || same;
        fits = same || along_last(in, n->ndim);
    }
    return fits && whole && (native_input(m, n) || !chain_input(m, n));
}

static swg_value emit_turned(maker *m, const swg__node *n, swg_value *in) {
    swg__attr attr = n->attr;
    const bool elementwise = swg__ops[n->op].class == SWG__EW, norm = n->op == SWG__LAYER_NORM || n->op == SWG__LAYER_NORM_GRAD;
    for (int j = 0; j < n->inputs; j++) {
        swg_value read = elementwise ? read_through(m, n, n->in[j]) : n->in[j];
        const swg__node *x = &m->from->nodes[read];
        if (elementwise ? swg__same_shape(x, n) : norm ? x->ndim == n->ndim : true)
            in[j] = get_rows(m, read);
        else
            in[j] = x->ndim < 2 ? get_own(m, read) : reshaped(m, x, get_own(m, read), 1, (int64_t[]){last_of(x)});
        if (!in[j])
            return SWG_NONE;
    }
    if (n->op == SWG__SLICE) {
        attr.begin[1] = n->attr.begin[n->ndim - 1];
        attr.begin[0] = 0;
        for (int axis = 2; axis < n->ndim; axis++)
            attr.begin[axis] = 0;
    } else if (n->op == SWG__CONCAT || norm) {
        attr.axis = 1;
    }
    return swg__append_like(m->to, n, (swg__op)n->op, (swg_dtype)n->dtype, 2, (int64_t[]){count_rows(n), last_of(n)}, n->inputs, in, &attr);
}

/* A convolution of one tap at every position, of more channels than the narrow kernels are for: a product. */
static bool is_product(const maker *m, const swg__node *n) {
    if (n->op != SWG__CONV && n->op != SWG__CONV_TRANSPOSE && n->op != SWG__CONV_WEIGHTS)
        return false;
    swg__conv c = swg__conv_of(m->from, n);
    bool fits = m->from->nodes[n->in[0]].dtype == m->from->nodes[n->in[1]].dtype || n->op != SWG__CONV_WEIGHTS; /* its operands change places */
    fits = fits && c.taps == 1 && c.groups == 1 && c.in_channels > 1 && c.out_channels > 1 && n->inputs == 2 && !swg__conv_is_narrow(m->from, n);
    for (int axis = 0; axis < 3; axis++)
        fits = fits && c.stride[axis] == 1 && c.before[axis] == 0 && c.in[axis] == c.out[axis];
    return fits;
}

static swg_value emit_product(maker *m, const swg__node *n, swg_value *in) {
    const swg__node *w = n->op == SWG__CONV_WEIGHTS ? n : &m->from->nodes[n->in[1]];
    const int64_t shape[2] = {n->op == SWG__CONV_WEIGHTS ? w->shape[0] : count_rows(n), n->op == SWG__CONV_WEIGHTS ? w->shape[1] : last_of(n)};
    swg__attr attr = {.trans_a = n->op == SWG__CONV_WEIGHTS, .trans_b = n->op == SWG__CONV};
    if (n->op == SWG__CONV_WEIGHTS) {
        in[0] = get_rows(m, n->in[1]);
        in[1] = get_rows(m, n->in[0]);
    } else {
        in[0] = get_rows(m, n->in[0]);
        in[1] = reshaped(m, w, get_own(m, n->in[1]), 2, w->shape);
    }
    return in[0] && in[1] ? swg__append_like(m->to, n, SWG__MATMUL, (swg_dtype)n->dtype, 2, shape, 2, in, &attr) : SWG_NONE;
}

static void place(maker *m, swg_value v, swg_value *in) {
    const swg__node *n = &m->from->nodes[v];
    const swg__node *x = n->inputs ? &m->from->nodes[n->in[0]] : NULL;
    m->root[v] = v;
    if (n->op == SWG__RESHAPE && !m->placed[v] && n->ndim >= 2 && x->ndim >= 2 && last_of(n) == last_of(x)) {
        m->root[v] = m->root[n->in[0]];
        return;
    }
    if (is_product(m, n)) {
        swg_value y = emit_product(m, n, in);
        if (n->op == SWG__CONV_WEIGHTS)
            m->own[v] = reshaped(m, n, y, n->ndim, n->shape);
        else
            m->rows[v] = y;
        m->native[v] = n->op != SWG__CONV_WEIGHTS;
        m->changed++;
        return;
    }
    if (!m->placed[v] && turns(m, n)) {
        m->rows[v] = emit_turned(m, n, in);
        m->native[v] = 1;
        m->changed++;
        return;
    }
    for (int j = 0; j < n->inputs; j++)
        if (!(in[j] = get_own(m, n->in[j])))
            return;
    m->own[v] = swg__append_like(m->to, n, (swg__op)n->op, (swg_dtype)n->dtype, n->ndim, n->shape, n->inputs, in, &n->attr);
    m->open[v] = swg__ops[n->op].class == SWG__CONTRACTION || (n->op == SWG__ADD && joins_product(m, n));
    if (n->ndim == 2) {
        m->rows[v] = m->own[v];
        m->native[v] = swg__ops[n->op].class != SWG__LEAF;
    }
}

swg_status swg__pass_rows(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like) {
    int most = 2;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    const size_t count = (size_t)from->count;
    swg_context *ctx = from->ctx;
    swg_value *in = swg__calloc(ctx, (size_t)most, sizeof *in);
    maker m = {.from = from, .to = to, .own = swg__calloc(ctx, count, sizeof *m.own), .rows = swg__calloc(ctx, count, sizeof *m.rows),
               .root = swg__calloc(ctx, count, sizeof *m.root), .native = swg__calloc(ctx, count, 1), .open = swg__calloc(ctx, count, 1),
               .placed = swg__calloc(ctx, count, 1)};
    swg_status status = in && m.own && m.rows && m.root && m.native && m.open && m.placed ? SWG_OK : swg__fail_memory(ctx, count * 15, "rows");
    if (status == SWG_OK) {
        swg__mark_placed(from, m.placed);
        for (swg_value v = 1; v < from->count; v++)
            m.trains = m.trains || from->nodes[v].backward;
        for (swg_value v = 1; v < from->count && to->status == SWG_OK; v++)
            place(&m, v, in);
        for (int i = 0; i < output_count && to->status == SWG_OK; i++)
            get_own(&m, outputs[i]);
        status = to->status;
        like[0] = SWG_NONE;
        for (swg_value v = 1; status == SWG_OK && v < from->count; v++)
            like[v] = m.own[v];
    }
    if (status == SWG_OK)
        swg__explain(to, "rows: %d operations on positions by channels", m.changed);
    to->span = from->span;
    to->state_span = from->state_span;
    swg__free(ctx, m.own);
    swg__free(ctx, m.rows);
    swg__free(ctx, m.root);
    swg__free(ctx, m.native);
    swg__free(ctx, m.open);
    swg__free(ctx, m.placed);
    swg__free(ctx, in);
    return status;
}
