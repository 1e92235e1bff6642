/* layer_norm.c - layer norm, its gradient, and the sums for weight and bias; the statistics of a row are made where they are needed,
 * while the row is in the first cache. In: x as rows of the normalised axes. Out: as many rows, or two.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "context.h"
#include "kernel/kernel.h"

enum { TASK = 16 << 10, BLOCK_ROWS = 64, WIDENED_ROWS = 16 };

typedef struct dims { int64_t rows, n, each; } dims; /* each: rows of a unit */

static dims dims_of(const swg__call *call) {
    const swg__node *x = &call->g->nodes[call->node->in[0]];
    int first = call->node->attr.axis;
    dims d = {.n = swg__shape_elements(x->ndim - first, x->shape + first), .each = swg__shape_elements(first - 1, x->shape + 1)};
    d.rows = d.each * x->shape[0];
    return d;
}

/* bf16 goes through f32 a few rows at a time: as many as every instruction set takes at once, or times that. */
static int64_t widened_rows(const dims *d) {
    int64_t rows = SWG__CHUNK / d->n / WIDENED_ROWS * WIDENED_ROWS;
    return rows < WIDENED_ROWS ? WIDENED_ROWS : rows;
}

/* What a worker needs for that: rows of x, of dy and of the result. */
static int64_t room_bytes(const swg__call *call, const dims *d) {
    bool dy = call->node->op != SWG__LAYER_NORM, narrow = swg__is_bf16(call, 0) || (dy && swg__is_bf16(call, 1)) || call->node->dtype == SWG_BF16;
    return narrow ? 3 * widened_rows(d) * d->n * (int64_t)sizeof(float) : 0;
}

static int64_t row_scratch(const swg__call *call, bool *per_worker) {
    dims d = dims_of(call);
    *per_worker = true;
    return room_bytes(call, &d);
}

static int64_t row_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t row_grain(const swg__call *call) {
    dims d = dims_of(call);
    int64_t grain = TASK / (d.each * d.n);
    return grain < 1 ? 1 : grain;
}

static void rows_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    dims d = dims_of(call);
    const bool slopes = call->node->op == SWG__LAYER_NORM_GRAD, narrow_out = call->node->dtype == SWG_BF16;
    const float *gamma = call->node->inputs > 1 + slopes ? call->in[1 + slopes] : NULL, *beta = call->node->inputs > 2 && !slopes ? call->in[2] : NULL;
    const int64_t last = end * d.each, step = room_bytes(call, &d) ? widened_rows(&d) : last - begin * d.each, part = step * d.n;
    float *room = room_bytes(call, &d) ? (float *)((char *)call->scratch + worker * call->worker_bytes) : NULL, eps = (float)call->node->attr.f[0];
    for (int64_t row = begin * d.each; row < last; row += step) {
        int64_t rows = swg__min64(step, last - row), at = row * d.n, n = rows * d.n;
        float *out = narrow_out ? room + 2 * part : (float *)call->out + at;
        const float *x = swg__floats(call, 0, at, n, room);
        if (slopes)
            call->isa->layer_norm_grad(out, x, swg__floats(call, 1, at, n, room ? room + part : NULL), gamma, rows, d.n, eps);
        else
            call->isa->layer_norm(out, x, gamma, beta, rows, d.n, eps);
        if (narrow_out)
            call->isa->round_bf16((swg__bf16 *)call->out + at, out, n);
    }
}

const swg__kernel swg__kernel_layer_norm = {.name = "layer norm", .units = row_units, .grain = row_grain, .run = rows_run,
                                            .scratch = row_scratch, .rows = true};
const swg__kernel swg__kernel_layer_norm_grad = {.name = "layer norm grad", .units = row_units, .grain = row_grain, .run = rows_run,
                                                 .scratch = row_scratch, .rows = true};

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

/* Sums of all units; behind them lies what workers widen to. */
static int64_t sums_bytes(const swg__call *call, const dims *d) {
    return (sums_units(call) * 2 * d->n * (int64_t)sizeof(float) + 63) / 64 * 64;
}

static int64_t sums_scratch(const swg__call *call, bool *per_worker) {
    dims d = dims_of(call);
    *per_worker = false;
    return sums_bytes(call, &d) + call->g->ctx->threads * room_bytes(call, &d);
}

static void sums_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    dims d = dims_of(call);
    int64_t each = block_rows(&d), step = room_bytes(call, &d) ? widened_rows(&d) : each, part = step * d.n;
    float *room = (float *)((char *)call->scratch + sums_bytes(call, &d) + worker * room_bytes(call, &d));
    for (int64_t unit = begin; unit < end; unit++) {
        float *sum = (float *)call->scratch + unit * 2 * d.n;
        int64_t last = swg__min64(d.rows, (unit + 1) * each);
        memset(sum, 0, (size_t)(2 * d.n) * sizeof *sum);
        for (int64_t row = unit * each; row < last; row += step) {
            int64_t rows = swg__min64(step, last - row), at = row * d.n, n = rows * d.n;
            call->isa->layer_norm_sums(sum, sum + d.n, swg__floats(call, 0, at, n, room), swg__floats(call, 1, at, n, room + part), rows, d.n,
                                       (float)call->node->attr.f[0]);
        }
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
