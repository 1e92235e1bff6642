/* int8.c - matmul and linear of codes: rows of u8 times packed s8, sums in int32, f32 from there on.
 * In: codes (qdq.c) and f32 weights, quantised where they are packed, a scale for each column. Out: f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "context.h"
#include "kernel/int8.h"
#include "kernel/int8_pack.h"
#include "kernel/kernel.h"

typedef struct dims {
    int64_t m, n, k, steps; /* steps: words of k */
    int64_t words, columns; /* of all panels; whole vectors of columns */
    int64_t k_stride, n_stride;
} dims;

static dims dims_of(const swg__call *call, const swg__int8_table *t) {
    const swg__node *node = call->node, *b = &call->g->nodes[node->in[1]];
    bool turned = node->attr.trans_b;
    dims d = {.m = node->shape[0], .n = node->shape[1], .k = b->shape[turned], .k_stride = turned ? 1 : b->shape[1], .n_stride = turned ? b->shape[1] : 1};
    d.steps = swg__ceil_div(d.k, t->group);
    d.columns = swg__ceil_div(d.n, t->vl) * t->vl;
    d.words = d.columns * d.steps;
    return d;
}

static const swg__int8_table *table_of(const swg__call *call) { return swg__int8_table_of(call->g->ctx->isa); }

/* Words of all panels, then scale and sum of every column. */
static int64_t pack_bytes(const swg_graph *g, const swg__node *node, const swg__isa_table *isa) {
    (void)isa;
    const swg__call call = {.g = g, .node = node};
    dims d = dims_of(&call, table_of(&call));
    return (d.words + 2 * d.columns) * 4;
}

static int64_t pack_units(const swg__call *call) { return swg__ceil_div(dims_of(call, table_of(call)).n, table_of(call)->nr); }
static int64_t pack_grain(const swg__call *call) {
    (void)call;
    return 1;
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__int8_table *t = table_of(call);
    dims d = dims_of(call, t);
    uint32_t *words = call->out;
    float *scale = (float *)(words + d.words);
    int32_t *sum = (int32_t *)(scale + d.columns);
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t column = panel * t->nr;
        const swg__int8_weights w = {.w = (const float *)call->in[1] + column * d.n_stride, .k = d.k, .taps = 1, .k_stride = d.k_stride,
                                     .n_stride = d.n_stride, .columns = swg__min64(t->nr, d.n - column), .sum_stride = d.columns};
        swg__int8_pack(t, &w, words + column * d.steps, scale + column, sum + column);
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = pack_units, .grain = pack_grain, .run = pack_run};

static int64_t units(const swg__call *call) { return call->node->shape[0]; }

/* Rows per task: whole tiles, about eight million multiply-adds. */
static int64_t grain(const swg__call *call) {
    const swg__int8_table *t = table_of(call);
    dims d = dims_of(call, t);
    int64_t rows = (8 << 20) / (d.n * d.k), most = 96;
    rows = rows < t->mr ? t->mr : rows > most ? most : rows;
    return rows / t->mr * t->mr;
}

static void run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__int8_table *t = table_of(call);
    const dims d = dims_of(call, t);
    const swg__attr *attr = &call->node->attr;
    const int64_t row_bytes = swg__codes_row_bytes(&call->g->nodes[call->node->in[0]]);
    const char *rows = call->in[0];
    const uint32_t *words = call->packed;
    const swg__gemm8 all = {.n = d.n, .steps = d.steps, .a = rows + SWG__CODES_HEAD, .row_stride = row_bytes, .head = rows, .head_stride = row_bytes,
                            .b = words, .depth = d.steps, .scale = (const float *)(words + d.words), .sum = (const int32_t *)(words + d.words) + d.columns,
                            .bias = attr->bias ? call->in[2] : NULL, .relu = attr->relu, .c = call->out, .ldc = d.n};
    t->gemm(&all, begin, end);
}

const swg__kernel swg__kernel_int8 = {.name = "int8", .units = units, .grain = grain, .run = run, .rows = true, .pack = &pack_kernel,
                                      .pack_bytes = pack_bytes};
