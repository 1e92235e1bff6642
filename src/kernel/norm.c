/* norm.c - statistics of normalisations and the sums of their gradients, one pass each; writing of states.
 * A tensor is seen as (outer, middle, inner); see swg__norm_view. Chunks depend on the shape alone and are combined in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "kernel/kernel.h"

enum { CHUNK = 4096, BLOCK = 16 << 10, BLOCK_ROWS = 64 };

static swg__norm_view view_of(const swg__call *call) {
    swg__norm_view v;
    const swg__node *n = call->node; /* x is the last of (dy, x, ...) or the only input */
    swg__norm_view_of(&call->g->nodes[n->in[n->op == SWG__NORM_SUMS]], n->attr.axes, &v);
    return v;
}

/* Rows of a column block. */
static int64_t block_rows(const swg__norm_view *v) {
    int64_t rows = BLOCK / v->inner;
    rows = rows < BLOCK_ROWS ? BLOCK_ROWS : rows;
    return swg__min64(rows, v->middle);
}

static int64_t blocks_of(const swg__norm_view *v) { return swg__ceil_div(v->middle, block_rows(v)); }

static int64_t norm_units(const swg__call *call) {
    swg__norm_view v = view_of(call);
    return v.columns ? v.outer * blocks_of(&v) : v.middle;
}

static int64_t norm_grain(const swg__call *call) {
    swg__norm_view v = view_of(call);
    int64_t grain = v.columns ? 1 : (16 << 10) / (v.outer * v.inner);
    return grain < 1 ? 1 : grain;
}

static int64_t norm_scratch(const swg__call *call, bool *per_worker) {
    swg__norm_view v = view_of(call);
    *per_worker = false;
    return v.columns ? v.outer * blocks_of(&v) * 2 * v.inner * (int64_t)sizeof(float) : 0;
}

/* Count, mean and sum of squared deviations of two sets together (Chan, Golub and LeVeque 1979). */
typedef struct moments { double count, mean, squares; } moments;
static void combine(moments *m, double count, double mean, double squares) {
    double all = m->count + count, gap = mean - m->mean;
    m->squares += squares + gap * gap * (m->count * count / all);
    m->mean += gap * (count / all);
    m->count = all;
}

static const void *numbers(const swg__call *call, int input, int64_t at) {
    return (const char *)call->in[input] + at * (swg__is_bf16(call, input) ? 2 : 4);
}

static void stats_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__norm_view v = view_of(call);
    float *out = call->out, room[CHUNK];
    for (int64_t unit = begin; unit < end; unit++) {
        if (v.columns) {
            int64_t blocks = blocks_of(&v), row = unit % blocks * block_rows(&v), rows = swg__min64(block_rows(&v), v.middle - row);
            int64_t at = (unit / blocks * v.middle + row) * v.inner;
            float *to = (float *)call->scratch + unit * 2 * v.inner;
            call->isa->column_moments(to, to + v.inner, numbers(call, 0, at), swg__is_bf16(call, 0), rows, v.inner, v.inner);
            continue;
        }
        moments m = {0};
        for (int64_t o = 0; o < v.outer; o++)
            for (int64_t i = 0; i < v.inner; i += CHUNK) {
                int64_t n = swg__min64(CHUNK, v.inner - i);
                const float *from = swg__floats(call, 0, (o * v.middle + unit) * v.inner + i, n, room);
                float shift = (float)(call->isa->sum(from, n) / (double)n);
                double d[2];
                call->isa->run_moments(from, n, shift, d);
                combine(&m, (double)n, (double)shift + d[0] / (double)n, d[1] - d[0] * d[0] / (double)n);
            }
        out[unit] = (float)m.mean;
        out[v.middle + unit] = (float)(m.squares / m.count);
    }
}

static void stats_finish(const swg__call *call) {
    swg__norm_view v = view_of(call);
    float *out = call->out;
    if (!v.columns)
        return;
    int64_t blocks = blocks_of(&v), kept = v.outer * v.inner;
    for (int64_t o = 0; o < v.outer; o++)
        for (int64_t c = 0; c < v.inner; c++) {
            moments m = {0};
            for (int64_t b = 0; b < blocks; b++) {
                const float *part = (const float *)call->scratch + (o * blocks + b) * 2 * v.inner + c;
                combine(&m, (double)swg__min64(block_rows(&v), v.middle - b * block_rows(&v)), (double)part[0], (double)part[v.inner]);
            }
            out[o * v.inner + c] = (float)m.mean;
            out[kept + o * v.inner + c] = (float)(m.squares / m.count);
        }
}

const swg__kernel swg__kernel_norm_stats = {.name = "norm stats", .units = norm_units, .grain = norm_grain, .run = stats_run,
                                            .finish = stats_finish, .scratch = norm_scratch};

static void sums_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__norm_view v = view_of(call);
    const float *mean = call->in[2], *rstd = call->in[3];
    const float *w = call->node->inputs > 4 ? call->in[4] : NULL;
    bool by_row = call->node->attr.f[0] != 0;
    float *out = call->out, room[2][CHUNK];
    for (int64_t unit = begin; unit < end; unit++) {
        if (v.columns) {
            int64_t blocks = blocks_of(&v), row = unit % blocks * block_rows(&v), rows = swg__min64(block_rows(&v), v.middle - row);
            int64_t outer = unit / blocks, at = (outer * v.middle + row) * v.inner, stat = by_row ? row : outer * v.inner;
            float *to = (float *)call->scratch + unit * 2 * v.inner;
            call->isa->column_products(&(swg__norm_products){
                .first = to, .second = to + v.inner, .dy = numbers(call, 0, at), .x = numbers(call, 1, at), .dy_bf16 = swg__is_bf16(call, 0),
                .x_bf16 = swg__is_bf16(call, 1), .by_row = by_row, .mean = mean + stat, .rstd = rstd + stat, .rows = rows, .stride = v.inner,
                .columns = v.inner});
            continue;
        }
        double total[2] = {0, 0};
        for (int64_t o = 0; o < v.outer; o++)
            for (int64_t i = 0; i < v.inner; i += CHUNK) {
                int64_t at = (o * v.middle + unit) * v.inner + i, n = swg__min64(CHUNK, v.inner - i);
                const float *dy = swg__floats(call, 0, at, n, room[0]), *x = swg__floats(call, 1, at, n, room[1]);
                double d[2];
                call->isa->run_products(dy, x, w ? w + i : NULL, n, mean[unit], rstd[unit], d);
                total[0] += d[0];
                total[1] += d[1];
            }
        out[unit] = (float)total[0];
        out[v.middle + unit] = (float)total[1];
    }
}

static void sums_finish(const swg__call *call) {
    swg__norm_view v = view_of(call);
    float *out = call->out;
    if (!v.columns)
        return;
    int64_t blocks = blocks_of(&v), kept = v.outer * v.inner;
    for (int64_t o = 0; o < v.outer; o++)
        for (int64_t c = 0; c < v.inner; c++) {
            double first = 0, second = 0;
            for (int64_t b = 0; b < blocks; b++) {
                const float *part = (const float *)call->scratch + (o * blocks + b) * 2 * v.inner + c;
                first += (double)part[0];
                second += (double)part[v.inner];
            }
            out[o * v.inner + c] = (float)first;
            out[kept + o * v.inner + c] = (float)second;
        }
}

const swg__kernel swg__kernel_norm_sums = {.name = "norm sums", .units = norm_units, .grain = norm_grain, .run = sums_run,
                                           .finish = sums_finish, .scratch = norm_scratch};

/* ---- states: ASSIGN's result lies where its state does; AFTER copies its first input. A step that is skipped leaves states alone ---- */

static int64_t one(const swg__call *call) {
    (void)call;
    return 1;
}

static void assign_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    bool assigns = call->node->op == SWG__ASSIGN;
    if (!assigns || call->node->inputs < 3 || isfinite(*(const float *)call->in[2]))
        memcpy(call->out, call->in[assigns], (size_t)swg__node_bytes(call->node));
}

const swg__kernel swg__kernel_assign = {.name = "assign", .units = one, .grain = one, .run = assign_run};
