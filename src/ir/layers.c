/* layers.c - finds the layers a graph was built from by the scopes of its nodes, and counts their parameters and work.
 * In: a graph. Out: a table of layers with who reads whom.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/layers.h"
#include <string.h>
#include "ir/conv.h"

typedef struct finder {
    const swg_graph *g;
    swg__arena *arena;
    uint8_t *needed;            /* per value */
    int64_t *row;               /* per value: its layer, -1: none */
    const char **scopes;        /* those that hold parameters or states of their own */
    int64_t scope_count, count;
    swg_layer *rows;
    struct seen { bool weight, wide, norm; swg__op work; } *seen;     /* per row: what tells its kind */
} finder;

/* `scope` itself or something below it? */
static bool below(const char *name, const char *scope, size_t length) {
    return strncmp(name, scope, length) == 0 && (name[length] == '/' || !name[length]);
}

static void mark(finder *f, const swg_value *outputs, int count) {
    for (int i = 0; i < count; i++)
        if (outputs[i] < f->g->count)
            f->needed[outputs[i]] = 1;
    f->needed[SWG_NONE] = 0;
    for (int64_t v = f->g->count - 1; v > 0; v--)
        for (int j = 0; f->needed[v] && j < f->g->nodes[v].inputs; j++)
            f->needed[f->g->nodes[v].in[j]] = 1;
}

/* "encoder/fc1/weight" -> "encoder/fc1", each once. */
static bool collect_scopes(finder *f) {
    for (int64_t v = 1; v < f->g->count; v++) {
        const swg__node *n = &f->g->nodes[v];
        if (!f->needed[v] || (n->op != SWG__PARAM && n->op != SWG__STATE))
            continue;
        const char *slash = strrchr(n->name, '/');
        size_t length = slash ? (size_t)(slash - n->name) : 0;
        bool known = false;
        for (int64_t s = 0; s < f->scope_count && !known; s++)
            known = strlen(f->scopes[s]) == length && strncmp(f->scopes[s], n->name, length) == 0;
        if (known)
            continue;
        char *copy = swg__arena_alloc(f->arena, length + 1);
        if (!copy)
            return false;
        memcpy(copy, n->name, length);
        f->scopes[f->scope_count++] = copy;
    }
    return true;
}

/* Length of the part of a node's scope that names its layer; 0: the node is one by itself. */
static size_t layer_of(const finder *f, const char *scope) {
    size_t best = 0;
    for (int64_t s = 0; s < f->scope_count; s++) {
        size_t length = strlen(f->scopes[s]);
        if (length > best && below(scope, f->scopes[s], length))
            best = length;
    }
    for (const char *end = scope; !best && *end; end++) { /* else the outermost scope without parameters */
        size_t length = (size_t)(end - scope) + 1;
        if (end[1] && end[1] != '/')
            continue;
        bool holds = false;
        for (int64_t s = 0; s < f->scope_count && !holds; s++)
            holds = below(f->scopes[s], scope, length);
        best = holds ? 0 : length;
    }
    return best;
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The row of a node, made where it is its first. -1: out of memory. */
static int64_t row_of(finder *f, const swg__node *n) {
    size_t length = n->op == SWG__INPUT ? 0 : layer_of(f, n->name);
    for (int64_t i = 0; length && i < f->count; i++)
        if (strlen(f->rows[i].name) == length && strncmp(f->rows[i].name, n->name, length) == 0 && !f->rows[i].kind)
            return i;
    char *name = swg__arena_alloc(f->arena, strlen(n->name) + 1);
    if (!name)
        return -1;
    memcpy(name, n->name, length ? length : strlen(n->name));
    f->rows[f->count] = (swg_layer){.name = name, .kind = length ? NULL : swg__ops[n->op].text}; /* NULL until all nodes are seen */
    return f->count++;
}

static int64_t taps_of(const swg__node *w) {
    int64_t taps = 1;
    for (int axis = 2; axis < w->ndim; axis++)
        taps *= w->shape[axis];
    return taps;
}

static void count_work(const finder *f, const swg__node *n, swg_layer *row, struct seen *seen) {
    int64_t run = swg__node_macs(f->g, n), padded = run, by_output = run;
    if (n->op == SWG__CONV || n->op == SWG__CONV_TRANSPOSE) {
        const swg__node *x = &f->g->nodes[n->in[0]], *w = &f->g->nodes[n->in[1]];
        int64_t taps = taps_of(w), last = w->shape[1];  /* per value of the side that axis 0 of the weights belongs to */
        bool transposed = n->op == SWG__CONV_TRANSPOSE;
        padded = swg__shape_elements(transposed ? x->ndim : n->ndim, transposed ? x->shape : n->shape) * taps * last;
        by_output = transposed ? swg__shape_elements(n->ndim, n->shape) / n->shape[n->ndim - 1] * taps * last * w->shape[0] : padded;
        row->kernel = w->shape[w->ndim - 1];
        row->stride = n->attr.stride[2];
    }
    row->macs_run = swg__add_most(row->macs_run, run);
    row->macs = swg__add_most(row->macs, padded);
    row->macs_by_output = swg__add_most(row->macs_by_output, by_output);
    if (swg__ops[n->op].class == SWG__CONTRACTION && seen->work == SWG__NONE)
        seen->work = (swg__op)n->op;
    seen->norm = seen->norm || n->op == SWG__NORM_APPLY || n->op == SWG__LAYER_NORM;
}

/* Adds what a node brings to its row: work, shape, parameters. */
static void count_node(finder *f, int64_t v) {
    const swg__node *n = &f->g->nodes[v];
    swg_layer *row = &f->rows[f->row[v]];
    count_work(f, n, row, &f->seen[f->row[v]]);
    row->ndim = n->ndim;
    memcpy(row->shape, n->shape, (size_t)n->ndim * sizeof *row->shape);
}

static void count_parameters(finder *f, int64_t v) {
    const swg__node *n = &f->g->nodes[v];
    const char *name = last_name(n->name);
    size_t length = name > n->name ? (size_t)(name - n->name) - 1 : 0;
    for (int64_t i = 0; i < f->count; i++)
        if (!f->rows[i].kind && strlen(f->rows[i].name) == length && strncmp(f->rows[i].name, n->name, length) == 0) {
            f->rows[i].parameters += swg__shape_elements(n->ndim, n->shape);
            f->seen[i].weight = f->seen[i].weight || strcmp(name, "weight") == 0;
            f->seen[i].wide = f->seen[i].wide || n->ndim > 2;
        }
}

static const char *kind_of(const swg_layer *row, const struct seen *seen) {
    if (seen->weight && (seen->work == SWG__MATMUL || seen->work == SWG__LINEAR))
        return seen->wide ? "conv" : "linear"; /* a 1-wide convolution of rows */
    if (seen->weight && seen->work == SWG__CONV)
        return "conv";
    if (seen->weight && seen->work == SWG__CONV_TRANSPOSE)
        return "deconv";
    return seen->norm ? "norm" : last_name(row->name);
}

/* Every row a row reads, through constants and leaves that are none. */
static bool connect(finder *f) {
    int64_t *found = swg__arena_alloc(f->arena, (size_t)(f->count + 1) * sizeof *found);
    for (int64_t r = 0; found && r < f->count; r++) {
        int count = 0;
        for (int64_t v = 1; v < f->g->count; v++)
            for (int j = 0; f->row[v] == r && j < f->g->nodes[v].inputs; j++) {
                int64_t from = f->row[f->g->nodes[v].in[j]];
                bool known = from < 0 || from == r;
                for (int k = 0; k < count && !known; k++)
                    known = found[k] == from;
                if (!known)
                    found[count++] = from;
            }
        int64_t *own = swg__arena_alloc(f->arena, (size_t)(count + 1) * sizeof *own);
        if (!own)
            return false;
        memcpy(own, found, (size_t)count * sizeof *own);
        f->rows[r].inputs = own;
        f->rows[r].input_count = count;
    }
    return found != NULL;
}

static bool find(finder *f, const swg_value *outputs, int count) {
    size_t nodes = (size_t)f->g->count;
    f->needed = swg__arena_alloc(f->arena, nodes);
    f->row = swg__arena_alloc(f->arena, nodes * sizeof *f->row);
    f->scopes = swg__arena_alloc(f->arena, nodes * sizeof *f->scopes);
    f->rows = swg__arena_alloc(f->arena, nodes * sizeof *f->rows);
    f->seen = swg__arena_alloc(f->arena, nodes * sizeof *f->seen);
    if (!f->needed || !f->row || !f->scopes || !f->rows || !f->seen)
        return false;
    mark(f, outputs, count);
    if (!collect_scopes(f))
        return false;
    for (int64_t v = 0; v < f->g->count; v++) {
        const swg__node *n = &f->g->nodes[v];
        f->row[v] = -1;
        if (!f->needed[v] || (swg__ops[n->op].class == SWG__LEAF && n->op != SWG__INPUT))
            continue;
        if (swg__ops[n->op].class == SWG__VIEW && !layer_of(f, n->name) && f->row[n->in[0]] >= 0) { /* no layer, only another shape of one */
            f->row[v] = f->row[n->in[0]];
            continue;
        }
        if ((f->row[v] = row_of(f, n)) < 0)
            return false;
        count_node(f, v);
    }
    for (int64_t v = 1; v < f->g->count; v++)
        if (f->needed[v] && f->g->nodes[v].op == SWG__PARAM)
            count_parameters(f, v);
    for (int64_t r = 0; r < f->count; r++)
        if (!f->rows[r].kind)
            f->rows[r].kind = kind_of(&f->rows[r], &f->seen[r]);
    return connect(f);
}

swg_status swg_layers_of(const swg_graph *g, const swg_value *outputs, int count, swg_layers *out) {
    *out = (swg_layers){0};
    SWG__TRY(swg_graph_status(g));
    swg__arena *arena = swg__alloc(g->ctx, sizeof *arena);
    if (!arena)
        return swg__fail_memory(g->ctx, sizeof *arena, "a table of layers");
    swg__arena_init(arena, g->ctx);
    out->memory = arena;
    finder f = {.g = g, .arena = arena};
    if (!find(&f, outputs, count)) {
        swg_layers_free(g->ctx, out);
        return swg__fail_memory(g->ctx, (size_t)g->count, "a table of layers");
    }
    out->rows = f.rows;
    out->count = f.count;
    out->total = swg_layers_below(out, "");
    return SWG_OK;
}

void swg_layers_free(swg_context *ctx, swg_layers *layers) {
    if (layers->memory)
        swg__arena_free(layers->memory);
    swg__free(ctx, layers->memory);
    *layers = (swg_layers){0};
}

swg_layer swg_layers_below(const swg_layers *layers, const char *scope) {
    swg_layer sum = {.name = scope};
    for (int64_t i = 0; i < layers->count; i++) {
        const swg_layer *row = &layers->rows[i];
        if (*scope && !below(row->name, scope, strlen(scope)))
            continue;
        sum.parameters += row->parameters;
        sum.macs = swg__add_most(sum.macs, row->macs);
        sum.macs_by_output = swg__add_most(sum.macs_by_output, row->macs_by_output);
        sum.macs_run = swg__add_most(sum.macs_run, row->macs_run);
    }
    return sum;
}
