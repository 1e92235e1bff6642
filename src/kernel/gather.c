/* gather.c - gather, scatter-add and roll. A unit of gather is an index of the axes before; sums of a scatter run in the order of the
 * slices, and no two units write to the same place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "kernel/kernel.h"

enum { COLUMNS = 64 };

/* Columns of the inner extent are independent too, which few outer indices need. */
static int64_t blocks_of(const swg__gather *v) { return swg__ceil_div(v->inner, COLUMNS); }

static int64_t gather_units(const swg__call *call) {
    swg__gather v = swg__gather_of(call->g, call->node);
    return v.outer * blocks_of(&v);
}

static int64_t gather_grain(const swg__call *call) {
    swg__gather v = swg__gather_of(call->g, call->node);
    int64_t grain = (8 << 10) / ((v.m > v.n ? v.m : v.n) * swg__min64(v.inner, COLUMNS));
    return grain < 1 ? 1 : grain;
}

/* Gathers bf16, which is only moved. */
static void gather_narrow(const swg__call *call, const swg__gather *v, int64_t begin, int64_t end) {
    const swg__bf16 *x = call->in[0];
    const int32_t *index = call->in[1];
    swg__bf16 *out = call->out;
    int64_t blocks = blocks_of(v);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t outer = unit / blocks, c0 = unit % blocks * COLUMNS, width = swg__min64(COLUMNS, v->inner - c0);
        const int32_t *at = index + outer * v->index_outer + c0 * v->index_inner;
        for (int64_t i = 0; i < v->m; i++)
            for (int64_t c = 0; c < width; c++) {
                int64_t k = at[i * v->index_m + c * v->index_inner];
                out[(outer * v->m + i) * v->inner + c0 + c] = k >= 0 && k < v->n ? x[(outer * v->n + k) * v->inner + c0 + c]
                                                                                 : swg__bf16_of(NAN);
            }
    }
}

static void gather_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__gather v = swg__gather_of(call->g, call->node);
    if (call->node->dtype == SWG_BF16) {
        gather_narrow(call, &v, begin, end);
        return;
    }
    bool gathers = call->node->op == SWG__GATHER;
    const float *x = call->in[0];
    const int32_t *index = call->in[1];
    float *out = call->out;
    int64_t blocks = blocks_of(&v), x_rows = gathers ? v.n : v.m, out_rows = gathers ? v.m : v.n;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t outer = unit / blocks, c0 = unit % blocks * COLUMNS, width = swg__min64(COLUMNS, v.inner - c0);
        const int32_t *at = index + outer * v.index_outer + c0 * v.index_inner;
        const float *from = x + outer * x_rows * v.inner + c0;
        float *to = out + outer * out_rows * v.inner + c0;
        for (int64_t i = 0; i < v.n && !gathers; i++)
            memset(to + i * v.inner, 0, (size_t)width * sizeof *to);
        for (int64_t i = 0; i < v.m; i++) {
            if (gathers && v.index_inner) {
                call->isa->pick(to + i * v.inner, from, v.inner, v.n, at + i * v.index_m, width);
                continue;
            }
            for (int64_t c = 0; c < width; c++) {
                int64_t k = at[i * v.index_m + c * v.index_inner];
                bool inside = k >= 0 && k < v.n;
                if (gathers)
                    to[i * v.inner + c] = inside ? from[k * v.inner + c] : NAN;
                else if (inside)
                    to[k * v.inner + c] += from[i * v.inner + c];
            }
        }
    }
}

const swg__kernel swg__kernel_gather = {.name = "gather", .units = gather_units, .grain = gather_grain, .run = gather_run};

/* ---- roll: a unit is a row of the last axis, copied in two parts ---- */

static int64_t roll_units(const swg__call *call) {
    const swg__node *n = call->node;
    return swg__shape_elements(n->ndim - 1, n->shape);
}

static int64_t roll_grain(const swg__call *call) {
    int64_t grain = (16 << 10) / call->node->shape[call->node->ndim - 1];
    return grain < 1 ? 1 : grain;
}

static void roll_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__node *n = call->node;
    size_t size = swg__dtype_size(n->dtype);
    int64_t row = n->shape[n->ndim - 1], shift = n->attr.begin[n->ndim - 1];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t source = 0, left = unit, step = 1;
        for (int axis = n->ndim - 2; axis >= 0; axis--) {
            int64_t extent = n->shape[axis], at = left % extent - n->attr.begin[axis];
            source += (at < 0 ? at + extent : at) * step;
            step *= extent;
            left /= extent;
        }
        char *to = (char *)call->out + (size_t)(unit * row) * size;
        const char *from = (const char *)call->in[0] + (size_t)(source * row) * size;
        memcpy(to + (size_t)shift * size, from, (size_t)(row - shift) * size);
        memcpy(to, from + (size_t)(row - shift) * size, (size_t)shift * size);
    }
}

const swg__kernel swg__kernel_roll = {.name = "roll", .units = roll_units, .grain = roll_grain, .run = roll_run};
