/* graph.c - the graph's storage: nodes in an array, everything they point to in an arena; latched errors; inspection.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"
#include "kernel/int8.h"
#include "attention.h"
#include "conv.h"
#include <string.h>

const swg__op_info swg__ops[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = {text, SWG__##class, inputs},
#include "op.def"
#undef OP
};

swg_status swg_graph_create(swg_context *ctx, const swg_graph_opts *opts, swg_graph **out) {
    if (!ctx || !out)
        return swg__fail(ctx, SWG_EINVAL, "graph: needs a context and a place for the result");
    *out = NULL;
    if (opts && opts->dtype != SWG_F32 && opts->dtype != SWG_F64)
        return swg__fail(ctx, SWG_EDTYPE, "graph: element type must be SWG_F32 or SWG_F64");
    swg_graph *g = swg__calloc(ctx, 1, sizeof *g);
    if (!g)
        return swg__fail_memory(ctx, sizeof *g, "a graph");
    g->ctx = ctx;
    g->dtype = opts ? opts->dtype : SWG_F32;
    g->inference = opts && opts->inference;
    swg__arena_init(&g->arena, ctx);
    swg__text_init(&g->scope, ctx);
    swg__append(g, SWG__NONE, g->dtype, 0, NULL, 0, NULL, NULL); /* node 0 */
    if (g->status != SWG_OK) {
        swg_status status = g->status;
        swg_graph_destroy(g);
        return status;
    }
    *out = g;
    return SWG_OK;
}

void swg_graph_destroy(swg_graph *g) {
    if (!g)
        return;
    swg__text_free(&g->scope);
    swg__arena_free(&g->arena);
    swg__free(g->ctx, g->params);
    swg__free(g->ctx, g->states);
    swg__free(g->ctx, g->blocks);
    swg__free(g->ctx, g->nodes);
    swg__free(g->ctx, g);
}

swg_status swg_graph_status(const swg_graph *g) { return g->status == SWG_OK ? SWG_OK : swg__fail(g->ctx, g->status, "%s", g->message); }

swg_value swg__graph_fail(swg_graph *g, swg_status status, const char *format, ...) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(g->message, sizeof g->message, "%.120s%s%s", g->scope.data ? g->scope.data : "", g->scope.length ? ": " : "", text);
    g->status = swg__fail(g->ctx, status, "%s", g->message);
    return SWG_NONE;
}

typedef struct swg__scope {
    struct swg__scope *outer;
    size_t length;
} swg__scope;

void swg_scope_push(swg_graph *g, const char *name) {
    if (g->status != SWG_OK)
        return;
    swg__scope *scope = swg__arena_alloc(&g->arena, sizeof *scope);
    if (!name || !*name) {
        swg__graph_fail(g, SWG_EINVAL, "scope_push: no name");
        return;
    }
    if (!scope) {
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for the scope \"%s\"", name);
        return;
    }
    *scope = (swg__scope){g->scopes, g->scope.length};
    if (g->scope.length)
        swg__text_puts(&g->scope, "/");
    swg__text_puts(&g->scope, name);
    if (g->scope.failed)
        swg__graph_fail(g, SWG_ENOMEM, "out of memory for the scope \"%s\"", name);
    g->scopes = scope;
}

void swg_scope_pop(swg_graph *g) {
    if (g->status != SWG_OK)
        return;
    if (!g->scopes) {
        swg__graph_fail(g, SWG_EINVAL, "scope_pop: there is no scope to leave");
        return;
    }
    g->scope.length = g->scopes->length;
    g->scope.data[g->scope.length] = 0;
    g->scopes = g->scopes->outer;
}

void swg_block_begin(swg_graph *g) { swg__block_begin(g, false); }

void swg__block_begin(swg_graph *g, bool kan) {
    if (g->status != SWG_OK)
        return;
    if (g->block_count == g->block_capacity) {
        uint32_t capacity = g->block_capacity ? 2 * g->block_capacity : 32;
        swg__block *blocks = swg__grow(g->ctx, g->blocks, capacity * sizeof *blocks);
        if (!blocks) {
            swg__graph_fail(g, SWG_ENOMEM, "out of memory for block %u", (unsigned)g->block_count);
            return;
        }
        g->blocks = blocks;
        g->block_capacity = capacity;
        if (g->block_count == 0)
            blocks[g->block_count++] = (swg__block){0};
    }
    g->blocks[g->block_count] = (swg__block){.around = g->block, .kan = kan};
    g->block = g->block_count++;
}

void swg_block_end(swg_graph *g) {
    if (g->status != SWG_OK)
        return;
    if (!g->block) {
        swg__graph_fail(g, SWG_EINVAL, "block_end: there is no block to end");
        return;
    }
    g->block = g->blocks[g->block].around;
}

static void say(swg_graph *g, const char *what, swg_value v, swg__remat word) {
    if (g->status == SWG_OK && (v == SWG_NONE || v >= g->count))
        swg__graph_fail(g, SWG_EINVAL, "%s: the value is SWG_NONE or of another graph", what);
    if (g->status == SWG_OK)
        g->nodes[v].remat = (uint8_t)word;
}

void swg_remat_keep(swg_graph *g, swg_value v) { say(g, "remat_keep", v, SWG__REMAT_KEEP); }
void swg_remat_drop(swg_graph *g, swg_value v) { say(g, "remat_drop", v, SWG__REMAT_DROP); }

bool swg_graph_precise(swg_graph *g, bool on) {
    bool before = g->precise;
    g->precise = on;
    return before;
}

int64_t swg__shape_elements(int ndim, const int64_t *shape) {
    int64_t elements = 1;
    for (int i = 0; i < ndim; i++)
        elements *= shape[i];
    return elements;
}

int64_t swg__add_most(int64_t a, int64_t b) { return __builtin_add_overflow(a, b, &a) ? INT64_MAX : a; }

bool swg__same_name(const char *a, const char *b) {
    for (; *a && (*a == *b || (strchr("/.", *a) && *b && strchr("/.", *b))); a++, b++)
        ;
    return *a == *b;
}

swg_value swg__base_of(const swg_graph *g, swg_value v) {
    while (g->nodes[v].op == SWG__RESHAPE)
        v = g->nodes[v].in[0];
    return v;
}

bool swg__same_shape(const swg__node *a, const swg__node *b) {
    return a->ndim == b->ndim && memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) == 0;
}

size_t swg__dtype_size(swg_dtype dtype) { return dtype == SWG_F64 ? 8 : dtype == SWG_BF16 ? 2 : 4; }

int64_t swg__node_bytes(const swg__node *n) {
    if (n->dtype == SWG__CODES)
        return n->shape[0] * swg__codes_row_bytes(n);
    return swg__shape_elements(n->ndim, n->shape) * (int64_t)swg__dtype_size(n->dtype);
}

static bool grow(swg_graph *g) {
    int64_t capacity = g->capacity ? 2 * g->capacity : 128;
    swg__node *nodes = swg__grow(g->ctx, g->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes)
        return false;
    g->nodes = nodes;
    g->capacity = capacity;
    return true;
}

swg_value swg__append(swg_graph *g, swg__op op, swg_dtype dtype, int ndim, const int64_t *shape, int inputs, const swg_value *in,
                      const swg__attr *attr) {
    if (g->status != SWG_OK)
        return SWG_NONE;
    int64_t elements = 1;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 1)
            return swg__graph_fail(g, SWG_ESHAPE, "%s: extent %lld of axis %d, expected 1 or more", swg__ops[op].text,
                                   (long long)shape[i], i);
        if (swg__mul_overflow(elements, shape[i], &elements) || elements > (int64_t)1 << SWG__MOST_ELEMENTS_LOG2)
            return swg__graph_fail(g, SWG_ESHAPE, "%s: more than 2^%d elements at axis %d of extent %lld", swg__ops[op].text,
                                   SWG__MOST_ELEMENTS_LOG2, i, (long long)shape[i]);
    }
    if (g->count > UINT32_MAX - 2 || (g->count == g->capacity && !grow(g)))
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory after %lld nodes", (long long)g->count);
    swg__node *n = &g->nodes[g->count];
    *n = (swg__node){.op = (uint8_t)op, .dtype = (uint8_t)dtype, .ndim = ndim, .inputs = inputs, .backward = g->in_backward,
                      .block = g->in_backward ? 0 : g->block, .precise = g->precise};
    if (attr)
        n->attr = *attr;
    n->shape = swg__arena_alloc(&g->arena, SWG_MAX_DIMS * sizeof *n->shape);
    n->in = swg__arena_alloc(&g->arena, (size_t)(inputs ? inputs : 1) * sizeof *in);
    n->name = swg__arena_strdup(&g->arena, g->scope.data ? g->scope.data : "");
    if (!n->shape || !n->in || !n->name)
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory after %lld nodes", (long long)g->count);
    if (ndim)
        memcpy(n->shape, shape, (size_t)ndim * sizeof *shape);
    if (inputs)
        memcpy(n->in, in, (size_t)inputs * sizeof *in);
    if (op == SWG__ARRAY) { /* every graph has the elements in its own arena */
        size_t bytes = (size_t)swg__node_bytes(n);
        void *data = swg__arena_alloc(&g->arena, bytes);
        if (!data)
            return swg__graph_fail(g, SWG_ENOMEM, "out of memory for an array of %lld bytes", (long long)bytes);
        n->attr.data = attr->data ? memcpy(data, attr->data, bytes) : data;
    }
    return (swg_value)g->count++;
}

swg_value swg__append_like(swg_graph *g, const swg__node *like, swg__op op, swg_dtype dtype, int ndim, const int64_t *shape, int inputs,
                           const swg_value *in, const swg__attr *attr) {
    swg_value v = swg__append(g, op, dtype, ndim, shape, inputs, in, attr);
    if (!v)
        return v;
    swg__node *n = &g->nodes[v];
    n->backward = like->backward;
    n->precise = like->precise;
    n->offset = like->offset;
    n->block = like->block;
    n->remat = like->remat;
    if (!(n->name = swg__arena_strdup(&g->arena, like->name)))
        return swg__graph_fail(g, SWG_ENOMEM, "out of memory for a plan");
    return v;
}

/* ---- inspection ---- */

/* nodes[0] for what is no value. */
static const swg__node *node_at(const swg_graph *g, swg_value v) { return &g->nodes[v < g->count ? v : SWG_NONE]; }

int swg_ndim(const swg_graph *g, swg_value v) { return node_at(g, v)->ndim; }
const int64_t *swg_shape(const swg_graph *g, swg_value v) { return node_at(g, v)->ndim ? node_at(g, v)->shape : NULL; }
swg_dtype swg_value_dtype(const swg_graph *g, swg_value v) { return (swg_dtype)node_at(g, v)->dtype; }

int64_t swg_elements(const swg_graph *g, swg_value v) {
    const swg__node *n = node_at(g, v);
    return n->ndim ? swg__shape_elements(n->ndim, n->shape) : 0;
}

int64_t swg_graph_nodes(const swg_graph *g) { return g->count - 1; }

int64_t swg_graph_parameters(const swg_graph *g) {
    int64_t total = 0;
    for (int i = 0; i < g->param_count; i++)
        total += swg_elements(g, g->params[i]);
    return total;
}

const swg_value *swg_params_of(const swg_graph *g, int *count) {
    *count = g->param_count;
    return g->params;
}

int64_t swg__node_macs(const swg_graph *g, const swg__node *n) {
    if (swg__ops[n->op].class == SWG__ATTEND)
        return swg__attention_macs(g, n);
    if (swg__ops[n->op].class != SWG__CONTRACTION)
        return 0;
    if (n->op != SWG__MATMUL && n->op != SWG__LINEAR)
        return swg__conv_macs(g, n);
    const swg__node *a = &g->nodes[n->in[0]];
    int64_t k = a->shape[n->attr.trans_a ? a->ndim - 2 : a->ndim - 1];
    return swg__shape_elements(n->ndim, n->shape) * k;
}

int64_t swg_graph_macs(const swg_graph *g, swg_value v) {
    if (v >= g->count)
        return -1;
    uint8_t *needed = swg__calloc(g->ctx, (size_t)g->count, 1);
    if (!needed)
        return -1;
    int64_t total = 0;
    needed[v] = 1;
    for (int64_t i = v; i > 0; i--) {
        if (!needed[i])
            continue;
        total = swg__add_most(total, swg__node_macs(g, &g->nodes[i]));
        for (int j = 0; j < g->nodes[i].inputs; j++)
            needed[g->nodes[i].in[j]] = 1;
    }
    swg__free(g->ctx, needed);
    return total;
}

void swg_graph_print(const swg_graph *g, FILE *file) {
    static const char *const dtypes[] = {"f32", "f64", "i32", "bf16", "codes"};
    for (int64_t i = 1; i < g->count; i++) {
        const swg__node *n = &g->nodes[i];
        fprintf(file, "%%%lld = %s(", (long long)i, swg__ops[n->op].text);
        for (int j = 0; j < n->inputs; j++)
            fprintf(file, "%s%%%u", j ? ", " : "", n->in[j]);
        fprintf(file, ") %s[", dtypes[n->dtype]);
        for (int j = 0; j < n->ndim; j++)
            fprintf(file, "%s%lld", j ? "," : "", (long long)n->shape[j]);
        fprintf(file, "]%s%s%s\n", n->backward ? " backward" : "", *n->name ? " " : "", n->name);
    }
}
