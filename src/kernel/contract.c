/* contract.c - matmul and linear: row ranges over packed or direct panels of the second operand.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"

/* Extents and strides of a (batched) contraction. If a is bf16, k goes in pairs: b is always packed, and so is a transposed a, chunk by
 * chunk, by who multiplies it. */
typedef struct dims {
    int64_t batch, m, n, k;
    int64_t a_row, a_k, b_k, b_n; /* element strides */
    int64_t depth;                /* rows of a packed panel: k, or pairs of it */
    bool pairs;
} dims;

enum { CHUNK = 512, ROWS_OF_TASK = 96 }; /* of k that a transposed a is packed for: with its rows it stays in the second cache */

static dims dims_of(const swg_graph *g, const swg__node *node) {
    const swg__node *a = &g->nodes[node->in[0]];
    dims d = {.batch = swg__shape_elements(node->ndim - 2, node->shape), .m = node->shape[node->ndim - 2],
              .n = node->shape[node->ndim - 1], .k = a->shape[a->ndim - (node->attr.trans_a ? 2 : 1)], .pairs = a->dtype == SWG_BF16};
    d.depth = d.pairs ? (d.k + 1) / 2 : d.k;
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
    *tail_only = d->b_n == 1 && !d->pairs;
    return (*tail_only ? tail : d->n - rest + tail) * d->depth;
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
    bool tail_only, bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16;
    dims d = dims_of(call->g, call->node);
    int64_t each = packed_elements(&d, call->isa, &tail_only), panels = panels_of(&d, call->isa, tail_only);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t batch = unit / panels, panel = unit % panels;
        const float *b = (const float *)call->in[1] + batch * d.k * d.n;
        float *packed = (float *)call->out + batch * each;
        if (d.pairs) {
            const void *from = (const char *)call->in[1] + batch * d.k * d.n * (bf16 ? 2 : 4);
            call->isa->pack_bf16((uint32_t *)call->out + batch * each, from, bf16, d.b_k, d.b_n, d.k, d.n, panel, panel + 1);
        } else if (tail_only) {
            int64_t whole = d.n / call->isa->nr * call->isa->nr;
            call->isa->pack(packed, b + whole * d.b_n, d.b_k, d.b_n, d.k, d.n - whole, 0, 1);
        } else {
            call->isa->pack(packed, b, d.b_k, d.b_n, d.k, d.n, panel, panel + 1);
        }
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = pack_units, .grain = pack_grain, .run = pack_run};

/* ---- gradients of weights: few results, sums over a batch. Rows of the result would each read all of b, so a unit is a share of k
 * instead, and shares are added in order. A share is walked in chunks whose part of b stays in the second cache; a's short pieces, far
 * apart, are copied side by side. 384 x 96 over 4096 on one Zen 5 core: 141 -> 203 Gop/s. f32 alone: bf16 walks chunks by itself. ---- */

enum { CHUNK_K = 256, CHUNK_ROWS = 96, SHARES = 8, SHARED_RESULTS = 1 << 18 };

static int64_t shares_of(const swg__call *call, const dims *d) {
    bool f32 = !d->pairs;
    for (int i = 0; i < call->node->inputs; i++)
        f32 = f32 && call->g->nodes[call->node->in[i]].dtype == SWG_F32;
    bool shared = f32 && call->node->dtype == SWG_F32 && d->batch == 1 && d->a_row == 1 && d->b_n == 1 && d->k > 2 * CHUNK_K &&
                  d->m * d->n <= SHARED_RESULTS;
    return shared ? swg__min64(SHARES, swg__ceil_div(d->k, CHUNK_K)) : 0;
}

/* Of a share: its sums, and rows of a. */
static int64_t share_elements(const dims *d) { return (d->m * d->n + CHUNK_K * CHUNK_ROWS + 15) / 16 * 16; }

static void run_share(const swg__isa_table *isa, const dims *d, const swg__gemm *all, int64_t shares, int64_t share, float *sums) {
    const float *a = all->a, *b = (const float *)all->b, *tail = all->tail;
    float *rows = sums + d->m * d->n;
    int64_t chunks = swg__ceil_div(d->k, CHUNK_K), first = chunks * share / shares, end = chunks * (share + 1) / shares;
    for (int64_t c = first; c < end; c++)
        for (int64_t m = 0; m < d->m; m += CHUNK_ROWS) {
            const int64_t k = c * CHUNK_K, height = swg__min64(CHUNK_ROWS, d->m - m), stride = height + (height == 1); /* 1: plain rows */
            swg__gemm chunk = {.m = height, .n = d->n, .k = swg__min64(CHUNK_K, d->k - k), .a = rows, .row_stride = 1, .k_stride = stride,
                               .b = b + k * all->ldb, .ldb = all->ldb, .c = sums + m * d->n, .ldc = d->n,
                               .tail = tail ? tail + k * (d->n % isa->nr > isa->vl ? isa->nr : isa->vl) : NULL, .accumulate = c > first};
            for (int64_t i = 0; i < chunk.k; i++) {
                memcpy(rows + i * stride, a + (k + i) * d->a_k + m, (size_t)height * sizeof *rows);
                for (int64_t n = 0; n < d->n && m == 0; n += 16) /* whole rows in order, which tiles will not read so */
                    __builtin_prefetch(b + (k + i) * all->ldb + n);
                for (int64_t n = height; n < d->m && m == 0; n += 16)
                    __builtin_prefetch(a + (k + i) * d->a_k + n);
            }
            isa->gemm(&chunk, 0, height);
        }
}

static void add_shares(const dims *d, const swg__gemm *all, int64_t shares, const float *sums) {
    const float *gate = (const float *)all->gate;
    for (int64_t m = 0; m < d->m; m++) {
        float *c = (float *)all->c + m * all->ldc;
        for (int64_t s = 0; s < shares; s++) {
            const float *from = sums + s * share_elements(d) + m * d->n;
            for (int64_t n = 0; n < d->n; n++)
                c[n] = s > 0 ? c[n] + from[n] : from[n];
        }
        for (int64_t n = 0; n < d->n; n++) {
            float x = c[n] + (all->bias ? all->bias[n] : 0);
            x = all->relu && x <= 0 ? 0 : x;
            c[n] = gate && !(gate[m * all->ldc + n] > 0) ? 0 : x;
        }
    }
}

/* ---- product: a unit is a row of the result, batches one after the other ---- */

static int64_t matmul_units(const swg__call *call) {
    dims d = dims_of(call->g, call->node);
    int64_t shares = shares_of(call, &d);
    return shares ? shares : d.batch * d.m;
}

/* Rows per task: whole tiles, about two million multiply-adds, so that a small product is not torn apart. */
static int64_t matmul_grain(const swg__call *call) {
    dims d = dims_of(call->g, call->node);
    int64_t rows = (2 << 20) / (d.n * d.k), mr = call->isa->mr;
    if (shares_of(call, &d))
        return 1;
    rows = rows < mr ? mr : rows > ROWS_OF_TASK ? ROWS_OF_TASK : rows;
    return rows / mr * mr;
}

/* Of a transposed bf16 a: words of a chunk, and, where the result is bf16 too, the sums between chunks. */
static int64_t words_of(const dims *d) { return swg__min64(CHUNK, d->k + 1) / 2 * ROWS_OF_TASK; }

static int64_t matmul_scratch(const swg__call *call, bool *per_worker) {
    dims d = dims_of(call->g, call->node);
    int64_t shares = shares_of(call, &d);
    *per_worker = shares == 0;
    if (shares)
        return shares * share_elements(&d) * (int64_t)sizeof(float);
    if (!d.pairs || !call->node->attr.trans_a)
        return 0;
    bool sums = call->node->dtype == SWG_BF16 && d.k > CHUNK;
    return 4 * (words_of(&d) + (sums ? swg__min64(ROWS_OF_TASK, d.m) * d.n : 0));
}

/* Rows [m0, m1) of a product whose a is bf16 and transposed: rows turn into pairs along k, a chunk at a time. */
static void run_transposed(const swg__call *call, const dims *d, swg__gemm gemm, int64_t m0, int64_t m1, uint32_t *words) {
    int64_t rows = m1 - m0, ld = rows + (rows & 1), ldc = gemm.ldc; /* never 1, which would mean a plain row */
    float *sums = (float *)(words + words_of(d));
    bool parted = gemm.c_bf16 && d->k > CHUNK;
    swg__gemm chunk = gemm;
    char *c = (char *)gemm.c + m0 * ldc * (gemm.c_bf16 ? 2 : 4);
    const char *gate = gemm.gate ? (const char *)gemm.gate + m0 * ldc * (gemm.gate_bf16 ? 2 : 4) : NULL;
    chunk.m = rows;
    chunk.a = words;
    chunk.row_stride = 1;
    chunk.k_stride = ld;
    chunk.tap_count = 1;
    chunk.depth = d->depth;
    for (int64_t k = 0; k < d->k; k += CHUNK) {
        const swg__bf16 *a = (const swg__bf16 *)gemm.a + k * d->m + m0;
        bool last = k + CHUNK >= d->k;
        chunk.k = swg__min64(CHUNK, d->k - k);
        call->isa->pair_rows(words, ld, a, a + d->m, true, 2 * d->m, chunk.k / 2, rows);
        if (chunk.k & 1)
            call->isa->pair_rows(words + chunk.k / 2 * ld, ld, a + (chunk.k - 1) * d->m, NULL, true, 0, 1, rows);
        const swg__tap tap = {.b = k / 2};
        chunk.taps = &tap;
        chunk.accumulate = k > 0;
        chunk.sum = parted ? sums : NULL;
        chunk.sum_stride = d->n;
        chunk.c = parted && !last ? (void *)sums : c;
        chunk.ldc = parted && !last ? d->n : ldc;
        chunk.c_bf16 = last && gemm.c_bf16;
        chunk.bias = last ? gemm.bias : NULL;
        chunk.gate = last ? gate : NULL;
        chunk.relu = last && gemm.relu;
        call->isa->gemm_bf16(&chunk, 0, rows);
    }
}

static swg__gemm gemm_of(const swg__call *call, const dims *d, int64_t batch) {
    bool tail_only;
    int64_t each = packed_elements(d, call->isa, &tail_only);
    const swg__attr *attr = &call->node->attr;
    int extra = 2;
    const float *bias = attr->bias ? call->in[extra++] : NULL;
    const char *gate = attr->gate ? call->in[extra] : NULL;
    bool gate_bf16 = gate && call->g->nodes[call->node->in[extra]].dtype == SWG_BF16, c_bf16 = call->node->dtype == SWG_BF16;
    int64_t a_size = d->pairs ? 2 : 4, c_size = c_bf16 ? 2 : 4, gate_size = gate_bf16 ? 2 : 4;
    const float *packed = call->packed ? (const float *)call->packed + batch * each : NULL; /* none: nothing had to be packed */
    return (swg__gemm){
        .m = d->m, .n = d->n, .k = d->k,
        .a = (const char *)call->in[0] + batch * d->m * d->k * a_size, .row_stride = d->a_row, .k_stride = d->a_k,
        .b = tail_only ? (const float *)call->in[1] + batch * d->k * d->n : packed, .ldb = tail_only ? d->b_k : 0,
        .tail = packed,
        .c = (char *)call->out + batch * d->m * d->n * c_size, .ldc = d->n,
        .bias = bias, .gate = gate ? gate + batch * d->m * d->n * gate_size : NULL, .relu = attr->relu,
        .c_bf16 = c_bf16, .gate_bf16 = gate_bf16,
    };
}

static void matmul_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    dims d = dims_of(call->g, call->node);
    int64_t shares = shares_of(call, &d);
    swg__gemm all = gemm_of(call, &d, 0);
    for (int64_t share = begin; shares && share < end; share++)
        run_share(call->isa, &d, &all, shares, share, (float *)call->scratch + share * share_elements(&d));
    for (int64_t row = begin; !shares && row < end;) {
        int64_t batch = row / d.m, m0 = row % d.m, m1 = swg__min64(d.m, m0 + end - row);
        swg__gemm gemm = gemm_of(call, &d, batch);
        bool turned = d.pairs && call->node->attr.trans_a;
        if (turned) /* the scratch is for so many rows, however many a task has */
            m1 = swg__min64(m1, m0 + ROWS_OF_TASK);
        if (turned)
            run_transposed(call, &d, gemm, m0, m1, (uint32_t *)((char *)call->scratch + worker * call->worker_bytes));
        else if (d.pairs)
            call->isa->gemm_bf16(&gemm, m0, m1);
        else
            call->isa->gemm(&gemm, m0, m1);
        row += m1 - m0;
    }
}

static void matmul_finish(const swg__call *call) {
    dims d = dims_of(call->g, call->node);
    int64_t shares = shares_of(call, &d);
    swg__gemm all = gemm_of(call, &d, 0);
    if (shares)
        add_shares(&d, &all, shares, call->scratch);
}

const swg__kernel swg__kernel_matmul = {.name = "matmul", .bf16 = true, .units = matmul_units, .grain = matmul_grain,
                                        .run = matmul_run, .finish = matmul_finish, .rows = true, .scratch = matmul_scratch, .pack = &pack_kernel,
                                        .pack_bytes = pack_bytes};
