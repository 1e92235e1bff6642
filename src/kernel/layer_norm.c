/* layer_norm.c - layer norm, its gradient, and the sums for weight and bias; the statistics of a row are made where they are needed,
 * while the row is in the first cache. In: x as rows of the normalised axes. Out: as many rows, or two.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

enum { TASK = 16 << 10, BLOCK_ROWS = 64 };

typedef struct dims { int64_t rows, n, each; } dims; /* each: rows of a unit */

static dims dims_of(const swg__call *call) {
    const swg__node *x = &call->g->nodes[call->node->in[0]];
    int first = call->node->attr.axis;
    dims d = {.n = swg__shape_elements(x->ndim - first, x->shape + first), .each = swg__shape_elements(first - 1, x->shape + 1)};
    d.rows = d.each * x->shape[0];
    return d;
}

static int64_t row_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t row_grain(const swg__call *call) {
    dims d = dims_of(call);
    int64_t grain = TASK / (d.each * d.n);
    return grain < 1 ? 1 : grain;
}

static void forward_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    dims d = dims_of(call);
    int64_t at = begin * d.each * d.n;
    call->isa->layer_norm((float *)call->out + at, (const float *)call->in[0] + at, call->node->inputs > 1 ? call->in[1] : NULL,
                          call->node->inputs > 2 ? call->in[2] : NULL, (end - begin) * d.each, d.n, (float)call->node->attr.f[0]);
}

const swg__kernel swg__kernel_layer_norm = {.name = "layer norm", .units = row_units, .grain = row_grain, .run = forward_run, .rows = true};

static void grad_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    dims d = dims_of(call);
    int64_t at = begin * d.each * d.n;
    call->isa->layer_norm_grad((float *)call->out + at, (const float *)call->in[0] + at, (const float *)call->in[1] + at,
                               call->node->inputs > 2 ? call->in[2] : NULL, (end - begin) * d.each, d.n, (float)call->node->attr.f[0]);
}

const swg__kernel swg__kernel_layer_norm_grad = {.name = "layer norm grad", .units = row_units, .grain = row_grain, .run = grad_run,
                                                 .rows = true};

/* ---- over rows: a unit is a block of them; blocks are added in order ---- */

static int64_t block_rows(const dims *d) {
    int64_t rows = TASK / d->n;
    return swg__min64(rows < BLOCK_ROWS ? BLOCK_ROWS : rows, d->rows);
}

static int64_t sums_units(const swg__call *call) {
    dims d = dims_of(call);
    return swg__ceil_div(d.rows, block_rows(&d));
}

static int64_t sums_grain(const swg__call *call) { return (void)call, 1; }

static int64_t sums_scratch(const swg__call *call, bool *per_worker) {
    dims d = dims_of(call);
    *per_worker = false;
    return sums_units(call) * 2 * d.n * (int64_t)sizeof(float);
}

static void sums_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    dims d = dims_of(call);
    for (int64_t unit = begin; unit < end; unit++) {
        float *sum = (float *)call->scratch + unit * 2 * d.n;
        int64_t row = unit * block_rows(&d), at = row * d.n;
        call->isa->layer_norm_sums(sum, sum + d.n, (const float *)call->in[0] + at, (const float *)call->in[1] + at,
                                   swg__min64(block_rows(&d), d.rows - row), d.n, (float)call->node->attr.f[0]);
    }
}

static void sums_finish(const swg__call *call) {
    int64_t n = 2 * call->node->shape[1], blocks = sums_units(call);
    const float *part = call->scratch;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++)
            sum += (double)part[b * n + i];
        ((float *)call->out)[i] = (float)sum;
    }
}

const swg__kernel swg__kernel_layer_norm_sums = {.name = "layer norm sums", .units = sums_units, .grain = sums_grain, .run = sums_run,
                                                 .finish = sums_finish, .scratch = sums_scratch};
