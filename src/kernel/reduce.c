/* reduce.c - sums and maxima over a run of axes: (outer, reduced, inner) -> (outer, inner). Fixed trees by shape.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

enum { CHUNK = 4096, COLUMNS = 128 };

typedef struct extents { int64_t outer, reduced, inner; } extents;

static extents extents_of(const swg__call *call) {
    const swg__node *in = &call->g->nodes[call->node->in[0]];
    extents e = {1, 1, 1};
    for (int axis = 0; axis < in->ndim; axis++) {
        if (call->node->attr.axes >> axis & 1)
            e.reduced *= in->shape[axis];
        else if (call->node->attr.axes >> axis)
            e.outer *= in->shape[axis];
        else
            e.inner *= in->shape[axis];
    }
    return e;
}

/* One result from one long run: chunks of 4096, partial sums in f64, combined in order by finish. */
static bool single(const swg__call *call, extents e) { return call->node->op == SWG__SUM && e.outer == 1 && e.inner == 1; }

static int64_t reduce_units(const swg__call *call) {
    extents e = extents_of(call);
    if (single(call, e))
        return swg__ceil_div(e.reduced, CHUNK);
    return e.inner == 1 ? e.outer : e.outer * swg__ceil_div(e.inner, COLUMNS);
}

static int64_t reduce_grain(const swg__call *call) {
    extents e = extents_of(call);
    int64_t work = single(call, e) ? CHUNK : e.inner == 1 ? e.reduced : e.reduced * swg__min64(e.inner, COLUMNS);
    int64_t grain = (16 << 10) / work;
    return grain < 1 ? 1 : grain;
}

static int64_t reduce_scratch(const swg__call *call, bool *per_worker) {
    extents e = extents_of(call);
    *per_worker = false;
    return single(call, e) ? swg__ceil_div(e.reduced, CHUNK) * (int64_t)sizeof(double) : 0;
}

static double sum_run(const swg__call *call, int64_t at, int64_t n) {
    float room[CHUNK];
    double total = 0;
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t part = swg__min64(CHUNK, n - i);
        total += call->isa->sum(swg__floats(call, 0, at + i, part, room), part);
    }
    return total;
}

/* Sum or maximum of `width` columns from element `at`; bf16 some rows at a time, joined in order. */
static void columns_run(const swg__call *call, float *to, int64_t at, int64_t rows, int64_t stride, int64_t width) {
    float room[CHUNK], part[COLUMNS];
    int64_t most = swg__is_bf16(call, 0) ? CHUNK / width / 8 * 8 : rows;
    for (int64_t r0 = 0; r0 < rows; r0 += most) {
        int64_t count = swg__min64(most, rows - r0), step = stride;
        const float *from = swg__float_rows(call, 0, at + r0 * stride, count, width, &step, room);
        if (call->node->op == SWG__SUM) {
            call->isa->column_sum(r0 ? part : to, from, count, step, width, (float)call->node->attr.f[0]);
            for (int64_t j = 0; r0 && j < width; j++)
                to[j] += part[j];
            continue;
        }
        for (int64_t j = 0; !r0 && j < width; j++)
            to[j] = from[j];
        for (int64_t r = r0 ? 0 : 1; r < count; r++)
            for (int64_t j = 0; j < width; j++)
                to[j] = from[r * step + j] > to[j] || from[r * step + j] != from[r * step + j] ? from[r * step + j] : to[j];
    }
}

static void reduce_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    extents e = extents_of(call);
    float *out = call->out;
    bool is_sum = call->node->op == SWG__SUM;
    int64_t blocks = swg__ceil_div(e.inner, COLUMNS);
    for (int64_t unit = begin; unit < end; unit++) {
        if (single(call, e)) {
            ((double *)call->scratch)[unit] = sum_run(call, unit * CHUNK, swg__min64(CHUNK, e.reduced - unit * CHUNK));
        } else if (e.inner == 1 && is_sum) {
            out[unit] = (float)(call->node->attr.f[0] * sum_run(call, unit * e.reduced, e.reduced));
        } else {
            int64_t outer = unit / blocks, c0 = unit % blocks * COLUMNS, width = swg__min64(COLUMNS, e.inner - c0);
            columns_run(call, out + outer * e.inner + c0, outer * e.reduced * e.inner + c0, e.reduced, e.inner, width);
        }
    }
}

static void reduce_finish(const swg__call *call) {
    extents e = extents_of(call);
    if (!single(call, e))
        return;
    double total = 0;
    for (int64_t i = 0; i < swg__ceil_div(e.reduced, CHUNK); i++)
        total += ((const double *)call->scratch)[i];
    *(float *)call->out = (float)(call->node->attr.f[0] * total);
}

const swg__kernel swg__kernel_reduce = {.name = "reduce", .units = reduce_units, .grain = reduce_grain, .run = reduce_run,
                                        .finish = reduce_finish, .scratch = reduce_scratch};

/* ---- softmax: a unit is a row of axis 0 ---- */

static int64_t rows_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t rows_grain(const swg__call *call) {
    int64_t rows = (8 << 10) * call->node->shape[0] / swg__shape_elements(call->node->ndim, call->node->shape);
    return rows < 1 ? 1 : rows;
}

static void softmax_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__node *n = call->node;
    int64_t last = n->shape[n->ndim - 1], per_unit = swg__shape_elements(n->ndim, n->shape) / n->shape[0];
    for (int64_t i = begin * per_unit; i < end * per_unit; i += last) {
        float *out = (float *)call->out + i; /* bf16, of softmax only, is widened where the result will lie */
        call->isa->softmax(out, swg__floats(call, 0, i, last, out), last, n->op == SWG__LOG_SOFTMAX);
    }
}

const swg__kernel swg__kernel_softmax = {.name = "softmax", .units = rows_units, .grain = rows_grain, .run = softmax_run, .rows = true};
