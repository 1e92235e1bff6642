/* contract.c - matmul and linear: row ranges over packed or direct panels of the second operand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

/* Extents and strides of a (batched) contraction. */
typedef struct dims {
    int64_t batch, m, n, k;
    int64_t a_row, a_k, b_k, b_n; /* element strides */
} dims;

static dims dims_of(const swg_graph *g, const swg__node *node) {
    const swg__node *a = &g->nodes[node->in[0]];
    dims d = {.batch = swg__shape_elements(node->ndim - 2, node->shape), .m = node->shape[node->ndim - 2],
              .n = node->shape[node->ndim - 1], .k = a->shape[a->ndim - (node->attr.trans_a ? 2 : 1)]};
    d.a_row = node->attr.trans_a ? 1 : d.k;
    d.a_k = node->attr.trans_a ? d.m : 1;
    d.b_k = node->attr.trans_b ? 1 : d.n;
    d.b_n = node->attr.trans_b ? d.k : 1;
    return d;
}

/* A transposed b is packed; a plain one is read in place, except its last partial panel, which would be read past its end.
 * With few rows of a, reading in place costs nothing; with many, the panel is in the second cache either way. */
static int64_t packed_elements(const dims *d, const swg__isa_table *isa, bool *tail_only) {
    int64_t rest = d->n % isa->nr, tail = rest == 0 ? 0 : rest > isa->vl ? isa->nr : isa->vl;
    *tail_only = d->b_n == 1;
    return (*tail_only ? tail : d->n - rest + tail) * d->k;
}

static int64_t pack_bytes(const swg_graph *g, const swg__node *node, const swg__isa_table *isa) {
    dims d = dims_of(g, node);
    bool tail_only;
    return d.batch * packed_elements(&d, isa, &tail_only) * 4;
}

/* ---- packing: a unit is a panel of one batch element ---- */

static int64_t panels_of(const dims *d, const swg__isa_table *isa, bool tail_only) {
    return tail_only ? 1 : swg__ceil_div(d->n, isa->nr);
}

static int64_t pack_units(const swg__call *call) {
    bool tail_only;
    dims d = dims_of(call->g, call->node);
    packed_elements(&d, call->isa, &tail_only);
    return d.batch * panels_of(&d, call->isa, tail_only);
}

static int64_t pack_grain(const swg__call *call) { /* about 64 kB per task */
    dims d = dims_of(call->g, call->node);
    int64_t grain = (16 << 10) / (d.k * call->isa->nr);
    return grain < 1 ? 1 : grain;
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    bool tail_only;
    dims d = dims_of(call->g, call->node);
    int64_t each = packed_elements(&d, call->isa, &tail_only), panels = panels_of(&d, call->isa, tail_only);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t batch = unit / panels, panel = unit % panels;
        const float *b = (const float *)call->in[1] + batch * d.k * d.n;
        float *packed = (float *)call->out + batch * each;
        if (tail_only) {
            int64_t whole = d.n / call->isa->nr * call->isa->nr;
            call->isa->pack(packed, b + whole * d.b_n, d.b_k, d.b_n, d.k, d.n - whole, 0, 1);
        } else {
            call->isa->pack(packed, b, d.b_k, d.b_n, d.k, d.n, panel, panel + 1);
        }
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = pack_units, .grain = pack_grain, .run = pack_run};

/* ---- product: a unit is a row of the result, batches one after the other ---- */

static int64_t matmul_units(const swg__call *call) {
    dims d = dims_of(call->g, call->node);
    return d.batch * d.m;
}

/* Rows per task: whole tiles, about two million multiply-adds, so that a small product is not torn apart. */
static int64_t matmul_grain(const swg__call *call) {
    dims d = dims_of(call->g, call->node);
    int64_t rows = (2 << 20) / (d.n * d.k), mr = call->isa->mr;
    rows = rows < mr ? mr : rows > 96 ? 96 : rows;
    return rows / mr * mr;
}

static void matmul_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    dims d = dims_of(call->g, call->node);
    bool tail_only;
    int64_t each = packed_elements(&d, call->isa, &tail_only);
    const swg__attr *attr = &call->node->attr;
    int extra = 2;
    const float *bias = attr->bias ? call->in[extra++] : NULL, *gate = attr->gate ? call->in[extra] : NULL;
    for (int64_t row = begin; row < end;) {
        int64_t batch = row / d.m, m0 = row % d.m, m1 = swg__min64(d.m, m0 + end - row);
        const float *packed = call->packed ? (const float *)call->packed + batch * each : NULL; /* none: nothing had to be packed */
        swg__gemm gemm = {
            .m = d.m, .n = d.n, .k = d.k,
            .a = (const float *)call->in[0] + batch * d.m * d.k, .row_stride = d.a_row, .k_stride = d.a_k,
            .b = tail_only ? (const float *)call->in[1] + batch * d.k * d.n : packed, .ldb = tail_only ? d.b_k : 0,
            .tail = packed,
            .c = (float *)call->out + batch * d.m * d.n, .ldc = d.n,
            .bias = bias, .gate = gate ? gate + batch * d.m * d.n : NULL, .relu = attr->relu,
        };
        call->isa->gemm(&gemm, m0, m1);
        row += m1 - m0;
    }
}

const swg__kernel swg__kernel_matmul = {.name = "matmul", .units = matmul_units, .grain = matmul_grain, .run = matmul_run, .rows = true,
                                        .pack = &pack_kernel, .pack_bytes = pack_bytes};
