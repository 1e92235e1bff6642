/* build.c - builders and shape rules of the primitive operations.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"
#include <string.h>

const char *swg__shape_text(const swg__node *n, char *out, size_t capacity) {
    size_t used = (size_t)snprintf(out, capacity, "(");
    for (int i = 0; i < n->ndim && used < capacity; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%lld", i ? ", " : "", (long long)n->shape[i]);
    if (used < capacity)
        snprintf(out + used, capacity - used, ")");
    return out;
}

/* Back along first inputs, past what no layer is named after. */
const char *swg__value_text(const swg_graph *g, swg_value v, char *out, size_t capacity) {
    char shape[80];
    swg__shape_text(&g->nodes[v], shape, sizeof shape);
    for (swg__class class; class = swg__ops[g->nodes[v].op].class, class == SWG__EW || class == SWG__VIEW || class == SWG__MOVE;)
        v = g->nodes[v].in[0];
    const swg__node *n = &g->nodes[v];
    bool leaf = swg__ops[n->op].class == SWG__LEAF;
    const char *origin = *n->name ? n->name : swg__ops[n->op].text;
    snprintf(out, capacity, "%s %s \"%.120s\"", shape, leaf ? "of" : "from", origin);
    return out;
}

/* May `v` be an input at all? */
static bool exists(swg_graph *g, const char *what, swg_value v) {
    if (g->status == SWG_OK && (v == SWG_NONE || v >= g->count))
        swg__graph_fail(g, SWG_EINVAL, "%s: an input is SWG_NONE or of another graph", what);
    return g->status == SWG_OK;
}

bool swg__check(swg_graph *g, const char *what, swg_value v) {
    if (exists(g, what, v) && g->nodes[v].dtype == SWG_I32)
        swg__graph_fail(g, SWG_EDTYPE, "%s: an input holds indices, which only take_along, gather and scatter_add read", what);
    return g->status == SWG_OK;
}

static bool check(swg_graph *g, swg__op op, swg_value v) { return swg__check(g, swg__ops[op].text, v); }

static bool given(swg_graph *g, swg__op op, const void *pointer) {
    if (!pointer)
        swg__graph_fail(g, SWG_EINVAL, "%s: NULL where numbers or a name are needed", swg__ops[op].text);
    return g->status == SWG_OK;
}

/* ---- leaves ---- */

/* Full path of a leaf: scope and name. */
static const char *leaf_name(swg_graph *g, const char *name) {
    swg__text text;
    swg__text_init(&text, g->ctx);
    if (g->scope.length)
        swg__text_printf(&text, "%s/", g->scope.data);
    swg__text_puts(&text, name);
    const char *path = text.failed ? NULL : swg__arena_strdup(&g->arena, text.data);
    swg__text_free(&text);
    return path;
}

static swg_value leaf(swg_graph *g, swg__op op, const char *name, int ndim, const int64_t *shape, const swg__attr *attr) {
    if (!given(g, op, name) || !given(g, op, shape))
        return SWG_NONE;
    if (!*name)
        return swg__graph_fail(g, SWG_EINVAL, "%s: the name is empty", swg__ops[op].text);
    if (ndim < 1 || ndim > SWG_MAX_DIMS)
        return swg__graph_fail(g, SWG_ESHAPE, "%s \"%s\": %d dimensions, expected 1 to %d", swg__ops[op].text, name, ndim,
                               SWG_MAX_DIMS);
    swg_value v = swg__append(g, op, g->dtype, ndim, shape, 0, NULL, attr);
    if (v && !(g->nodes[v].name = leaf_name(g, name)))
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for the name \"%s\"", name);
    return v;
}

/* Two leaves of one name could not be told apart in a checkpoint, where '/' is written '.'. */
swg_value swg__named_leaf(swg_graph *g, swg__op op, const char *name, int ndim, const int64_t *shape, const swg__attr *attr) {
    swg_value v = leaf(g, op, name, ndim, shape, attr);
    for (int64_t i = 1; i < v; i++)
        if (g->nodes[i].op == op && swg__same_name(g->nodes[i].name, g->nodes[v].name))
            return swg__graph_fail(g, SWG_EINVAL, "%s \"%s\" exists already", swg__ops[op].text, g->nodes[i].name);
    return v;
}

swg_value swg_input(swg_graph *g, const char *name, int ndim, const int64_t *shape) {
    return swg__named_leaf(g, SWG__INPUT, name, ndim, shape, NULL);
}

double *swg__copy_numbers(swg_graph *g, const double *from, int64_t n, const char *what) {
    double *to = g->status == SWG_OK ? swg__arena_alloc(&g->arena, (size_t)n * sizeof *to) : NULL;
    if (to)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for the start of \"%s\"", what);
    return to;
}

swg_value swg_param(swg_graph *g, const char *name, int ndim, const int64_t *shape, swg_init init) {
    const char *title = name ? name : "";
    if (!(init.bound >= 0) || !(init.deviation >= 0) || (init.bound > 0 && init.deviation > 0))
        return swg__graph_fail(g, SWG_EINVAL, "param \"%s\": bound %g, deviation %g; expected 0 or more, and one of them 0", title, init.bound,
                               init.deviation);
    if (init.limit != 0 && !(init.limit >= .5 && init.deviation > 0))
        return swg__graph_fail(g, SWG_EINVAL, "param \"%s\": limit %g of deviation %g; expected 0.5 or more, of a deviation", title, init.limit,
                               init.deviation);
    if (init.map && (init.columns < 1 || init.columns > INT32_MAX || init.diagonal))
        return swg__graph_fail(g, SWG_EINVAL, "param \"%s\": a map of %lld columns, or a diagonal one", title, (long long)init.columns);
    swg_value v = swg__named_leaf(g, SWG__PARAM, name, ndim, shape, NULL);
    if (!v)
        return v;
    if (init.diagonal && ndim != 2)
        return swg__graph_fail(g, SWG_ESHAPE, "param \"%s\": a diagonal in %d axes, expected 2", name, ndim);
    int64_t entries = 0;
    if (init.map && swg__mul_overflow(shape[ndim - 1], init.columns, &entries))
        return swg__graph_fail(g, SWG_ESHAPE, "param \"%s\": a map of %lld columns", name, (long long)init.columns);
    if (init.map && !(init.map = swg__copy_numbers(g, init.map, entries, name)))
        return SWG_NONE;
    swg_init *kept = swg__arena_alloc(&g->arena, sizeof *kept);
    if (!kept)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for param \"%s\"", name);
    *kept = init;
    g->nodes[v].attr.data = kept;
    if (g->param_count == g->param_capacity) {
        int capacity = g->param_capacity ? 2 * g->param_capacity : 32;
        swg_value *params = swg__grow(g->ctx, g->params, (size_t)capacity * sizeof *params);
        if (!params)
            return swg__graph_fail(g, SWG_ENOMEM, "out of memory for param \"%s\"", name);
        g->params = params;
        g->param_capacity = capacity;
    }
    g->params[g->param_count++] = v;
    g->nodes[v].offset = g->span;
    g->span += (swg_elements(g, v) + 15) / 16 * 16;
    return v;
}

swg_value swg_constant(swg_graph *g, double value) {
    return swg__append(g, SWG__CONSTANT, g->dtype, 1, (int64_t[]){1}, 0, NULL, &(swg__attr){.f = {value}});
}

static swg_value random_leaf(swg_graph *g, swg__op op, const char *stream, int ndim, const int64_t *shape) {
    swg__attr attr = {.stream = stream ? swg__fnv1a(stream) : 0};
    swg_value v = leaf(g, op, stream, ndim, shape, &attr);
    for (int64_t i = 1; v && i < v; i++)
        if (swg__ops[g->nodes[i].op].class == SWG__RANDOM && g->nodes[i].attr.stream == attr.stream)
            return swg__graph_fail(g, SWG_EINVAL, "random stream \"%s\" is used twice or has the hash of \"%s\"", stream,
                                   g->nodes[i].name);
    return v;
}

uint32_t swg__stream_of(swg_graph *g, const char *kind, const char *name) {
    swg__text text;
    swg__text_init(&text, g->ctx);
    swg__text_printf(&text, "%s:%s%s%s", kind, g->scope.length ? g->scope.data : "", g->scope.length ? "." : "", name);
    uint32_t stream = 0;
    if (text.failed) {
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for the stream of \"%s\"", name);
    } else {
        for (char *c = text.data; *c; c++)
            *c = *c == '/' ? '.' : *c;
        stream = swg__fnv1a(text.data);
    }
    for (int64_t i = 1; g->status == SWG_OK && i < g->count; i++)
        if (swg__ops[g->nodes[i].op].class == SWG__RANDOM && g->nodes[i].attr.stream == stream)
            swg__graph_fail(g, SWG_EINVAL, "random stream \"%s\" is used twice or has the hash of one in \"%s\"", text.data,
                            g->nodes[i].name);
    swg__text_free(&text);
    return stream;
}

swg_value swg_random_uniform(swg_graph *g, const char *stream, int ndim, const int64_t *shape) {
    return random_leaf(g, SWG__UNIFORM, stream, ndim, shape);
}

swg_value swg_random_normal(swg_graph *g, const char *stream, int ndim, const int64_t *shape) {
    return random_leaf(g, SWG__NORMAL, stream, ndim, shape);
}

/* ---- element by element ---- */

swg_value swg__ew(swg_graph *g, swg__op op, double f0, double f1, int inputs, swg_value a, swg_value b, swg_value c) {
    swg_value in[3] = {a, b, c};
    int64_t shape[SWG_MAX_DIMS];
    int ndim = 0;
    for (int i = 0; i < inputs; i++) {
        if (!check(g, op, in[i]))
            return SWG_NONE;
        if (g->nodes[in[i]].ndim > ndim)
            ndim = g->nodes[in[i]].ndim;
    }
    for (int axis = 0; axis < ndim; axis++) {
        shape[axis] = 1;
        for (int i = 0; i < inputs; i++) {
            const swg__node *n = &g->nodes[in[i]];
            int own = axis - (ndim - n->ndim);
            if (own < 0 || n->shape[own] == 1)
                continue;
            if (shape[axis] != 1 && shape[axis] != n->shape[own]) {
                char left[224], right[224];
                return swg__graph_fail(g, SWG_ESHAPE, "%s: %s and %s do not broadcast", swg__ops[op].text,
                                       swg__value_text(g, in[0], left, sizeof left), swg__value_text(g, in[i], right, sizeof right));
            }
            shape[axis] = n->shape[own];
        }
    }
    return swg__append(g, op, g->dtype, ndim, shape, inputs, in, &(swg__attr){.f = {f0, f1}});
}

#define UNARY(function, OPERATION) \
    swg_value function(swg_graph *g, swg_value x) { return swg__ew(g, SWG__##OPERATION, 0, 0, 1, x, 0, 0); }
UNARY(swg_neg, NEG)
UNARY(swg_abs, ABS)
UNARY(swg_sign, SIGN)
UNARY(swg_square, SQUARE)
UNARY(swg_sqrt, SQRT)
UNARY(swg_rsqrt, RSQRT)
UNARY(swg_reciprocal, RECIP)
UNARY(swg_exp, EXP)
UNARY(swg_log, LOG)
UNARY(swg_log1p, LOG1P)
UNARY(swg_relu, RELU)
UNARY(swg_gelu, GELU)
UNARY(swg_tanh, TANH)
UNARY(swg_sigmoid, SIGMOID)
UNARY(swg_softplus, SOFTPLUS)
UNARY(swg_detach, DETACH)
UNARY(swg_round, ROUND)
#undef UNARY

swg_value swg_cast(swg_graph *g, swg_value x, swg_dtype dtype) {
    if (!check(g, SWG__CAST, x))
        return SWG_NONE;
    if (dtype == SWG_I32 || dtype > SWG_BF16)
        return swg__graph_fail(g, SWG_EDTYPE, "cast: to an element type that no arithmetic has, expected SWG_F32, SWG_F64 or SWG_BF16");
    if (dtype == g->nodes[x].dtype || g->dtype == SWG_F64)
        return x;
    if (dtype == SWG_F64)
        return swg__graph_fail(g, SWG_EDTYPE, "cast: a graph of SWG_F32 has no values of SWG_F64");
    return swg__append(g, SWG__CAST, dtype, g->nodes[x].ndim, g->nodes[x].shape, 1, &x, NULL);
}

#define BINARY(function, OPERATION) \
    swg_value function(swg_graph *g, swg_value a, swg_value b) { return swg__ew(g, SWG__##OPERATION, 0, 0, 2, a, b, 0); }
BINARY(swg_add, ADD)
BINARY(swg_sub, SUB)
BINARY(swg_mul, MUL)
BINARY(swg_div, DIV)
BINARY(swg_max, MAX)
BINARY(swg_min, MIN)
BINARY(swg_greater, GREATER)
#undef BINARY

swg_value swg_silu(swg_graph *g, swg_value x) { return swg_mul(g, x, swg_sigmoid(g, x)); }
swg_value swg_affine(swg_graph *g, swg_value x, double scale, double shift) {
    return swg__ew(g, SWG__AFFINE, scale, shift, 1, x, 0, 0);
}
swg_value swg_clamp(swg_graph *g, swg_value x, double low, double high) {
    if (!(low <= high))
        return swg__graph_fail(g, SWG_EINVAL, "clamp: low %g is not below high %g", low, high);
    return swg__ew(g, SWG__CLAMP, low, high, 1, x, 0, 0);
}
swg_value swg_where(swg_graph *g, swg_value condition, swg_value a, swg_value b) {
    return swg__ew(g, SWG__WHERE, 0, 0, 3, condition, a, b);
}

/* ---- shape ---- */

swg_value swg_reshape(swg_graph *g, swg_value x, int ndim, const int64_t *shape) {
    if (!exists(g, "reshape", x) || !given(g, SWG__RESHAPE, shape))
        return SWG_NONE;
    if (ndim < 1 || ndim > SWG_MAX_DIMS)
        return swg__graph_fail(g, SWG_ESHAPE, "reshape: %d dimensions", ndim);
    int64_t out[SWG_MAX_DIMS], known = 1, elements = swg_elements(g, x);
    int open = -1;
    for (int i = 0; i < ndim; i++) {
        out[i] = shape[i];
        if (shape[i] == -1 && open < 0)
            open = i;
        else if (shape[i] < 1 || swg__mul_overflow(known, shape[i], &known))
            return swg__graph_fail(g, SWG_ESHAPE, "reshape: extent %lld", (long long)shape[i]);
    }
    if (open >= 0 && elements % known == 0) {
        out[open] = elements / known;
        known = elements;
    }
    if (known != elements) {
        char text[96];
        return swg__graph_fail(g, SWG_ESHAPE, "reshape: %s has %lld elements, the new shape %lld",
                               swg__shape_text(&g->nodes[x], text, sizeof text), (long long)elements, (long long)known);
    }
    return swg__append(g, SWG__RESHAPE, g->nodes[x].dtype, ndim, out, 1, &x, NULL);
}

swg_value swg_permute(swg_graph *g, swg_value x, const int *axes) {
    if (!check(g, SWG__PERMUTE, x) || !given(g, SWG__PERMUTE, axes))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    swg__attr attr = {0};
    int64_t shape[SWG_MAX_DIMS];
    uint32_t seen = 0;
    for (int i = 0; i < n->ndim; i++) {
        if (axes[i] < 0 || axes[i] >= n->ndim || seen >> axes[i] & 1)
            return swg__graph_fail(g, SWG_EINVAL, "permute: the axes are not a permutation of 0..%d", n->ndim - 1);
        seen |= 1u << axes[i];
        attr.begin[i] = axes[i];
        shape[i] = n->shape[axes[i]];
    }
    return swg__append(g, SWG__PERMUTE, n->dtype, n->ndim, shape, 1, &x, &attr);
}

swg_value swg_expand(swg_graph *g, swg_value x, int ndim, const int64_t *shape) {
    if (!check(g, SWG__EXPAND, x) || !given(g, SWG__EXPAND, shape))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    bool fits = ndim >= n->ndim && ndim <= SWG_MAX_DIMS;
    for (int i = 0; fits && i < n->ndim; i++) {
        int64_t extent = n->shape[n->ndim - 1 - i];
        fits = extent == 1 || extent == shape[ndim - 1 - i];
    }
    if (!fits) {
        char text[224];
        return swg__graph_fail(g, SWG_ESHAPE, "expand: %s does not broadcast to the shape asked for", swg__value_text(g, x, text, sizeof text));
    }
    return swg__append(g, SWG__EXPAND, n->dtype, ndim, shape, 1, &x, NULL);
}

swg_value swg_slice(swg_graph *g, swg_value x, const int64_t *begin, const int64_t *extent) {
    if (!exists(g, "slice", x) || !given(g, SWG__SLICE, begin) || !given(g, SWG__SLICE, extent))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    swg__attr attr = {0};
    for (int i = 0; i < n->ndim; i++) {
        if (begin[i] < 0 || extent[i] < 1 || begin[i] > n->shape[i] - extent[i])
            return swg__graph_fail(g, SWG_ESHAPE, "slice: %lld values from %lld exceed extent %lld of axis %d",
                                   (long long)extent[i], (long long)begin[i], (long long)n->shape[i], i);
        attr.begin[i] = begin[i];
    }
    return swg__append(g, SWG__SLICE, n->dtype, n->ndim, extent, 1, &x, &attr);
}

swg_value swg_pad(swg_graph *g, swg_value x, const int64_t *before, const int64_t *after) {
    if (!check(g, SWG__PAD, x) || !given(g, SWG__PAD, before) || !given(g, SWG__PAD, after))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    const int64_t huge = (int64_t)1 << SWG__MOST_ELEMENTS_LOG2;
    swg__attr attr = {0};
    int64_t shape[SWG_MAX_DIMS];
    for (int i = 0; i < n->ndim; i++) {
        if (before[i] < 0 || after[i] < 0 || before[i] > huge || after[i] > huge)
            return swg__graph_fail(g, SWG_ESHAPE, "pad: negative or huge padding of axis %d", i);
        attr.begin[i] = before[i];
        shape[i] = before[i] + n->shape[i] + after[i];
    }
    return swg__append(g, SWG__PAD, n->dtype, n->ndim, shape, 1, &x, &attr);
}

swg_value swg_concat(swg_graph *g, const swg_value *parts, int count, int axis) {
    if (count < 1)
        return swg__graph_fail(g, SWG_EINVAL, "concat: no parts");
    if (!given(g, SWG__CONCAT, parts) || !check(g, SWG__CONCAT, parts[0]))
        return SWG_NONE;
    const swg__node *first = &g->nodes[parts[0]];
    if (axis < 0 || axis >= first->ndim)
        return swg__graph_fail(g, SWG_EINVAL, "concat: axis %d of %d", axis, first->ndim);
    int64_t shape[SWG_MAX_DIMS];
    memcpy(shape, first->shape, sizeof shape);
    for (int p = 1; p < count; p++) {
        if (!check(g, SWG__CONCAT, parts[p]))
            return SWG_NONE;
        const swg__node *n = &g->nodes[parts[p]];
        bool fits = n->ndim == first->ndim;
        for (int i = 0; fits && i < n->ndim; i++)
            fits = i == axis || n->shape[i] == shape[i];
        if (!fits) {
            char left[224], right[224];
            return swg__graph_fail(g, SWG_ESHAPE, "concat: %s and %s differ beside axis %d", swg__value_text(g, parts[0], left, sizeof left),
                                   swg__value_text(g, parts[p], right, sizeof right), axis);
        }
        shape[axis] = swg__add_most(shape[axis], n->shape[axis]);
    }
    return swg__append(g, SWG__CONCAT, first->dtype, first->ndim, shape, count, parts, &(swg__attr){.axis = axis});
}

/* ---- over axes ---- */

/* Reduces runs of neighbouring axes one after the other, so that kernels only see (outer, reduced, inner). */
swg_value swg__reduce(swg_graph *g, swg__op op, swg_value x, uint32_t axes, double scale) {
    if (!check(g, op, x))
        return SWG_NONE;
    int ndim = g->nodes[x].ndim;
    if (axes == 0)
        axes = (1u << ndim) - 1;
    if (axes >> ndim)
        return swg__graph_fail(g, SWG_EINVAL, "%s: axis mask %#x names axes beyond %d", swg__ops[op].text, axes, ndim - 1);
    for (int hi = ndim - 1; hi >= 0; hi--) {
        if (!(axes >> hi & 1))
            continue;
        int lo = hi;
        while (lo > 0 && axes >> (lo - 1) & 1)
            lo--;
        int64_t shape[SWG_MAX_DIMS];
        memcpy(shape, g->nodes[x].shape, sizeof shape);
        uint32_t run = 0;
        for (int i = lo; i <= hi; i++) {
            shape[i] = 1;
            run |= 1u << i;
        }
        bool last = (axes & ((1u << lo) - 1)) == 0;
        x = swg__append(g, op, g->dtype, ndim, shape, 1, &x, &(swg__attr){.axes = run, .f = {last ? scale : 1}});
        if (!x)
            return x;
        hi = lo;
    }
    return x;
}

swg_value swg_sum(swg_graph *g, swg_value x, uint32_t axes) { return swg__reduce(g, SWG__SUM, x, axes, 1); }

swg_value swg_mean(swg_graph *g, swg_value x, uint32_t axes) {
    if (!check(g, SWG__SUM, x))
        return SWG_NONE;
    int64_t count = 1;
    for (int i = 0; i < g->nodes[x].ndim; i++)
        if (axes == 0 || axes >> i & 1)
            count *= g->nodes[x].shape[i];
    return swg__reduce(g, SWG__SUM, x, axes, 1.0 / (double)count);
}

swg_value swg_reduce_max(swg_graph *g, swg_value x, uint32_t axes) { return swg__reduce(g, SWG__REDUCE_MAX, x, axes, 1); }

swg_value swg__sum_to(swg_graph *g, swg_value x, int ndim, const int64_t *shape) {
    if (!check(g, SWG__SUM, x))
        return SWG_NONE;
    int have = g->nodes[x].ndim;
    uint32_t axes = 0;
    for (int i = 0; i < have; i++) {
        int own = i - (have - ndim);
        if (g->nodes[x].shape[i] != 1 && (own < 0 || shape[own] == 1))
            axes |= 1u << i;
    }
    if (axes)
        x = swg__reduce(g, SWG__SUM, x, axes, 1);
    return have == ndim ? x : swg_reshape(g, x, ndim, shape);
}

static swg_value rows(swg_graph *g, swg__op op, swg_value x) {
    if (!check(g, op, x))
        return SWG_NONE;
    return swg__append(g, op, g->dtype, g->nodes[x].ndim, g->nodes[x].shape, 1, &x, NULL);
}

swg_value swg_softmax(swg_graph *g, swg_value x) { return rows(g, SWG__SOFTMAX, x); }
swg_value swg_log_softmax(swg_graph *g, swg_value x) { return rows(g, SWG__LOG_SOFTMAX, x); }

swg_value swg_argsort(swg_graph *g, swg_value x, int axis) {
    if (!check(g, SWG__ARGSORT, x))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x];
    if (axis < 0 || axis >= n->ndim || n->shape[axis] > INT32_MAX)
        return swg__graph_fail(g, SWG_EINVAL, "argsort: axis %d of %d, or its extent exceeds 2^31 - 1", axis, n->ndim);
    return swg__append(g, SWG__ARGSORT, SWG_I32, n->ndim, n->shape, 1, &x, &(swg__attr){.axis = axis});
}

/* Kernels trust the index, and the gradients of the two are each other's inverse: only a permutation along the axis will do. */
static swg_value along(swg_graph *g, swg__op op, swg_value x, swg_value index, int axis) {
    if (!check(g, op, x) || !exists(g, swg__ops[op].text, index))
        return SWG_NONE;
    const swg__node *n = &g->nodes[x], *i = &g->nodes[index];
    if (i->op != SWG__ARGSORT || i->attr.axis != axis || !swg__same_shape(n, i))
        return swg__graph_fail(g, SWG_ESHAPE, "%s: the index must be an argsort along axis %d, of the shape of the data",
                               swg__ops[op].text, axis);
    return swg__append(g, op, n->dtype, n->ndim, n->shape, 2, (swg_value[]){x, index}, &(swg__attr){.axis = axis});
}

swg_value swg_take_along(swg_graph *g, swg_value x, swg_value index, int axis) { return along(g, SWG__TAKE, x, index, axis); }
swg_value swg__put_along(swg_graph *g, swg_value x, swg_value index, int axis) { return along(g, SWG__PUT, x, index, axis); }
swg_value swg_sort(swg_graph *g, swg_value x, int axis) { return swg_take_along(g, x, swg_argsort(g, x, axis), axis); }

/* ---- contraction ---- */

swg_value swg__matmul(swg_graph *g, swg_value a, swg_value b, bool trans_a, bool trans_b) {
    if (!check(g, SWG__MATMUL, a) || !check(g, SWG__MATMUL, b))
        return SWG_NONE;
    const swg__node *l = &g->nodes[a], *r = &g->nodes[b];
    char left[224], right[224];
    if (l->ndim < 2 || r->ndim < 2)
        return swg__graph_fail(g, SWG_ESHAPE, "matmul: %s and %s must have two dimensions or more",
                               swg__value_text(g, a, left, sizeof left), swg__value_text(g, b, right, sizeof right));
    int64_t m = l->shape[l->ndim - (trans_a ? 1 : 2)], k = l->shape[l->ndim - (trans_a ? 2 : 1)];
    int64_t kb = r->shape[r->ndim - (trans_b ? 1 : 2)], n = r->shape[r->ndim - (trans_b ? 2 : 1)];
    bool same_batch = l->ndim == r->ndim;
    for (int i = 0; same_batch && i < l->ndim - 2; i++)
        same_batch = l->shape[i] == r->shape[i];
    if (k != kb || (!same_batch && r->ndim != 2))
        return swg__graph_fail(g, SWG_ESHAPE, "matmul: %s%s and %s%s do not fit", swg__value_text(g, a, left, sizeof left),
                               trans_a ? " transposed" : "", swg__value_text(g, b, right, sizeof right), trans_b ? " transposed" : "");
    int64_t shape[SWG_MAX_DIMS];
    int ndim = l->ndim;
    memcpy(shape, l->shape, sizeof shape);
    shape[ndim - 2] = m;
    shape[ndim - 1] = n;
    swg__attr attr = {.trans_a = trans_a, .trans_b = trans_b};
    if (same_batch)
        return swg__append(g, SWG__MATMUL, g->dtype, ndim, shape, 2, (swg_value[]){a, b}, &attr);
    /* One b for all batches: the batch dimensions are more rows of a. */
    if (trans_a)
        return swg__graph_fail(g, SWG_ESHAPE, "matmul: a transposed batched a needs a batched b");
    int64_t all = swg_elements(g, a) / k;
    swg_value flat = swg_reshape(g, a, 2, (int64_t[]){all, k});
    swg_value product = swg__append(g, SWG__MATMUL, g->dtype, 2, (int64_t[]){all, n}, 2, (swg_value[]){flat, b}, &attr);
    return product ? swg_reshape(g, product, ndim, shape) : SWG_NONE;
}

swg_value swg_matmul(swg_graph *g, swg_value a, swg_value b, const swg_matmul_opts *opts) {
    return swg__matmul(g, a, b, opts && opts->trans_a, opts && opts->trans_b);
}
