/* cast.c - activations in bf16: every value gets the type its readers profit from, and a cast where a reader needs the other; one cast
 * serves all readers. Contractions multiply in bf16; statistics, losses and what is written for the optimiser stay f32. Programs,
 * reductions and statistics read either type, so they need no cast.
 * In: a graph. Out: a new one, and for each value its like there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"
#include "pass/pass.h"

typedef struct maker {
    const swg_graph *from;
    swg_graph *to;
    bool mixed;
    swg_value (*form)[2];       /* per value of `from`: what it is in `to`, in f32 (or as it is, for indices) and in bf16; SWG_NONE: not there yet */
    uint8_t *may, *narrow;      /* could be made in bf16; is */
    uint8_t *fixed, *placed, *wanted;
    uint8_t *readers, *inputs, *length; /* how many, up to 2; of the chain that ends with a value */
} maker;

bool swg__holds_bf16(const swg_graph *g) {
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].dtype == SWG_BF16)
            return true;
    return false;
}

static swg__precision precision_of(const swg__node *n) { return (swg__precision)swg__precisions[n->op]; }

/* Elements are only moved, so result and first input (of a concat, all) have one type. */
static bool moves(const swg__node *n) { return swg__ops[n->op].class == SWG__MOVE || n->op == SWG__GATHER || n->op == SWG__RESHAPE; }

/* Does input j of `n` count when the widest is looked for? Conditions, numbers per channel and what depends on parameters alone do not. */
static bool counts(const maker *m, const swg__node *n, int j) {
    const swg__node *in = &m->from->nodes[n->in[j]];
    if (m->fixed[n->in[j]])
        return false;
    if (n->op == SWG__LAYER_NORM_GRAD)
        return j < 2;
    if (n->op == SWG__WHERE)
        return j > 0 && in->op != SWG__EXPAND && swg__same_shape(in, n);
    if (n->op == SWG__GATE || n->op == SWG__NORM_APPLY || n->op == SWG__GATHER || n->op == SWG__LAYER_NORM)
        return j == 0;
    return swg__ops[n->op].class != SWG__EW || n->inputs == 1 || (in->op != SWG__EXPAND && swg__same_shape(in, n));
}

/* Are there inputs that count, and all of them in `set`? */
static bool follows(const maker *m, const swg__node *n, const uint8_t *set) {
    bool any = false, all = true;
    for (int j = 0; j < n->inputs; j++) {
        bool own = counts(m, n, j);
        any = any || own;
        all = all && (!own || set[n->in[j]]);
    }
    return any && all;
}

/* Could `n` be written in bf16 without making wide what came in? */
static bool may_be_narrow(const maker *m, swg_value v) {
    const swg__node *n = &m->from->nodes[v];
    if (n->dtype == SWG_I32 || m->placed[v])
        return false;
    if (n->inputs == 0 || n->op == SWG__CAST)
        return n->dtype == SWG_BF16;
    if (precision_of(n) < SWG__FOLLOWS || swg__ops[n->op].class == SWG__ATTEND)
        return false;
    if (!m->mixed)
        return n->dtype == SWG_BF16;
    return !n->precise && (precision_of(n) == SWG__MULTIPLIES || follows(m, n, m->may));
}

/* Inputs that are multiplied: of attention, q, k and v. */
static int factors(const swg__node *n) { return swg__ops[n->op].class == SWG__ATTEND ? 3 : 2; }

/* Could `in`, of one reader `n`, end inside a chain of element-wise operations? What a contraction takes into its epilogue does not. */
static bool passes_by(const maker *m, const swg__node *in, const swg__node *n) {
    if (swg__ops[in->op].class != SWG__EW || in->dtype == SWG_BF16 || !swg__same_shape(in, n))
        return false;
    bool epilogue = in->op == SWG__ADD || in->op == SWG__RELU || in->op == SWG__GATE;
    return !(epilogue && swg__ops[m->from->nodes[in->in[0]].op].class == SWG__CONTRACTION);
}

/* A product of plain rows, perhaps with its bias, that one element-wise operation alone reads: in a row panel both meet in the second cache. */
static bool meets_reader(const maker *m, swg_value v) {
    const swg__node *n = &m->from->nodes[v];
    if (n->op == SWG__ADD && m->from->nodes[n->in[1]].ndim == 1 && m->readers[n->in[0]] == 1)
        n = &m->from->nodes[n->in[0]];
    return n->op == SWG__MATMUL && n->ndim == 2 && !n->attr.trans_a && m->readers[v] == 1;
}

/* Values that stay in a register of a program (fuse.c), as far as one can tell before there are any, need no rounding, and neither do products that
 * a program takes out of the second cache: widening and rounding would cost more than the bytes. */
static void widen_chains(maker *m, const swg_value *outputs, int output_count) {
    const swg_graph *g = m->from;
    for (swg_value v = 1; v < g->count; v++)
        for (int j = 0; j < g->nodes[v].inputs; j++)
            m->readers[g->nodes[v].in[j]] = m->readers[g->nodes[v].in[j]] ? 2 : 1;
    for (int i = 0; i < output_count; i++)
        m->readers[outputs[i]] = 2;
    for (swg_value v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        if (swg__ops[n->op].class != SWG__EW)
            continue;
        swg__program own;
        swg__program_of(n, &own);
        int inputs = n->inputs, length = own.length;
        for (int j = 0; j < n->inputs && n->op != SWG__CAST && n->op != SWG__RELU && n->op != SWG__GATE; j++) {
            const swg__node *in = &g->nodes[n->in[j]];
            bool bias = n->op == SWG__ADD && g->nodes[n->in[1]].ndim == 1;
            if (bias || !swg__same_shape(in, n) || !meets_reader(m, n->in[j]))
                continue;
            m->narrow[n->in[j]] = 0;
            if (in->op == SWG__ADD)
                m->narrow[in->in[0]] = 0;
        }
        for (int j = 0; j < n->inputs && n->op != SWG__CAST; j++) {
            swg_value in = n->in[j];
            if (m->readers[in] != 1 || !passes_by(m, &g->nodes[in], n) || inputs - 1 + m->inputs[in] > SWG__PROGRAM_INPUTS ||
                length + m->length[in] >= SWG__PROGRAM_CODE)
                continue;
            inputs += m->inputs[in] - 1;
            length += m->length[in];
            m->narrow[in] = 0;
        }
        m->inputs[v] = (uint8_t)inputs;
        m->length[v] = (uint8_t)length;
    }
}

/* Types of all values: what could be bf16, in order; then, from the readers back, who profits; what is only moved stays what it was. */
static void choose(maker *m) {
    const swg_graph *g = m->from;
    for (swg_value v = 1; v < g->count; v++)
        m->may[v] = may_be_narrow(m, v);
    for (swg_value v = (swg_value)g->count - 1; v > 0; v--) {
        const swg__node *n = &g->nodes[v];
        m->narrow[v] = m->may[v] && (m->wanted[v] || n->dtype == SWG_BF16);
        bool profits = m->mixed && precision_of(n) == SWG__MULTIPLIES && !n->precise;
        for (int j = 0; j < n->inputs; j++)
            m->wanted[n->in[j]] |= m->narrow[v] || (profits && j < factors(n));
    }
    for (swg_value v = 1; v < g->count; v++)
        m->narrow[v] |= m->may[v] && moves(&g->nodes[v]) && follows(m, &g->nodes[v], m->narrow);
}

static swg_value emit(maker *m, const swg__node *like, swg__op op, swg_dtype dtype, int inputs, const swg_value *in, const swg__attr *attr) {
    return swg__append_like(m->to, like, op, dtype, like->ndim, like->shape, inputs, in, attr);
}

/* The value in the type asked for. A view of a value is a view of that value's cast. */
static swg_value get(maker *m, swg_value v, bool narrow) {
    swg_value views[SWG_MAX_DIMS * 8];
    int count = 0, most = (int)(sizeof views / sizeof *views);
    while (!m->form[v][narrow] && m->from->nodes[v].op == SWG__RESHAPE && count < most) {
        views[count++] = v;
        v = m->from->nodes[v].in[0];
    }
    swg_dtype dtype = narrow ? SWG_BF16 : m->to->dtype;
    if (!m->form[v][narrow])
        m->form[v][narrow] = emit(m, &m->from->nodes[v], SWG__CAST, dtype, 1, &m->form[v][!narrow], NULL);
    while (count-- > 0) {
        swg_value in = m->form[v][narrow];
        v = views[count];
        m->form[v][narrow] = in ? emit(m, &m->from->nodes[v], SWG__RESHAPE, dtype, 1, &in, NULL) : in;
    }
    return m->form[v][narrow];
}

/* Does this contraction multiply in bf16? One whose kernel cannot does it in f32, between casts. */
static bool multiplies(const maker *m, const swg__node *n) {
    return (m->mixed ? !n->precise : m->narrow[n->in[0]]) && swg__kernel_of(m->from, n)->bf16;
}

static swg_value operand(maker *m, const swg__node *n, bool narrow, int j) {
    swg_value in = n->in[j];
    bool own = m->narrow[in];
    if (m->from->nodes[in].dtype == SWG_I32)
        return m->form[in][0];
    switch (precision_of(n)) {
    case SWG__ONLY_F32: return get(m, in, false);
    case SWG__TO_F32: return get(m, in, own && !(n->op == SWG__NORM_SUMS && j > 1));
    case SWG__FOLLOWS: return get(m, in, moves(n) ? narrow : own && (swg__ops[n->op].class != SWG__ROWS || counts(m, n, j)));
    case SWG__MULTIPLIES: break;
    }
    if (j >= factors(n)) /* a bias is f32, and so is what else attention reads; a gate is read as it is */
        return get(m, in, own && n->attr.gate && j == n->inputs - 1 && multiplies(m, n));
    /* Parameters are converted where they are packed. */
    return get(m, in, multiplies(m, n) && (j == 0 || (m->mixed ? !m->fixed[in] : own)));
}

static void place(maker *m, swg_value v, swg_value *in) {
    const swg__node *n = &m->from->nodes[v];
    bool narrow = m->narrow[v];
    for (int j = 0; j < n->inputs; j++)
        if (!(in[j] = operand(m, n, narrow, j)))
            return;
    bool wide = !narrow || (precision_of(n) == SWG__MULTIPLIES && !multiplies(m, n));
    swg_dtype dtype = n->dtype == SWG_I32 ? SWG_I32 : wide ? m->to->dtype : SWG_BF16;
    m->form[v][!wide] = emit(m, n, (swg__op)n->op, dtype, n->inputs, in, &n->attr);
    get(m, v, narrow);
}

static void explain(swg_graph *to) {
    int stored = 0, casts = 0, products = 0;
    for (swg_value v = 1; to->explain && v < to->count; v++) {
        const swg__node *n = &to->nodes[v];
        stored += n->dtype == SWG_BF16 && swg__ops[n->op].class != SWG__VIEW;
        casts += n->op == SWG__CAST;
        products += precision_of(n) == SWG__MULTIPLIES && to->nodes[n->in[0]].dtype == SWG_BF16;
    }
    swg__explain(to, "cast: %d values in bf16, %d products of them, %d casts", stored, products, casts);
}

swg_status swg__pass_cast(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, bool mixed, bool fused, swg_value *like) {
    int most = 1;
    for (int64_t v = 1; v < from->count; v++)
        most = from->nodes[v].inputs > most ? from->nodes[v].inputs : most;
    size_t count = (size_t)from->count;
    swg_context *ctx = from->ctx;
    swg_value *in = swg__calloc(ctx, (size_t)most, sizeof *in);
    maker m = {.from = from, .to = to, .mixed = mixed, .form = swg__calloc(ctx, count, sizeof *m.form), .may = swg__calloc(ctx, count, 1), .narrow = swg__calloc(ctx, count, 1),
               .fixed = swg__calloc(ctx, count, 1), .placed = swg__calloc(ctx, count, 1), .wanted = swg__calloc(ctx, count, 1),
               .readers = swg__calloc(ctx, count, 1), .inputs = swg__calloc(ctx, count, 1), .length = swg__calloc(ctx, count, 1)};
    swg_status status = in && m.form && m.may && m.narrow && m.fixed && m.placed && m.wanted && m.readers && m.inputs && m.length ? SWG_OK : swg__fail_memory(ctx, count * 16, "casts");
    if (status == SWG_OK) {
        swg__mark_fixed(from, m.fixed);
        swg__mark_placed(from, m.placed);
        choose(&m);
        if (mixed && fused)
            widen_chains(&m, outputs, output_count);
        for (swg_value v = 1; v < from->count && to->status == SWG_OK; v++)
            place(&m, v, in);
        for (int i = 0; i < output_count && to->status == SWG_OK; i++)
            get(&m, outputs[i], from->nodes[outputs[i]].dtype == SWG_BF16);
        status = to->status;
        like[0] = SWG_NONE;
        for (swg_value v = 1; status == SWG_OK && v < from->count; v++)
            like[v] = m.form[v][from->nodes[v].dtype == SWG_BF16];
    }
    to->span = from->span;
    to->state_span = from->state_span;
    if (status == SWG_OK)
        explain(to);
    swg__free(ctx, m.form);
    swg__free(ctx, m.may);
    swg__free(ctx, m.narrow);
    swg__free(ctx, m.fixed);
    swg__free(ctx, m.placed);
    swg__free(ctx, m.wanted);
    swg__free(ctx, m.readers);
    swg__free(ctx, m.inputs);
    swg__free(ctx, m.length);
    swg__free(ctx, in);
    return status;
}
