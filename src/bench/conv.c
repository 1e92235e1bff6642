/* conv.c - rows of single convolutions (benchmarking.md, section 3): results checked at sampled elements against sums in f64, the
 * floor by taps that meet data, oneDNN turn by turn. In: a workload and a team. Out: a row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/conv.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/jobs.h"
#include "ir/conv.h"
#include "provider/provider.h"

enum { SAMPLES = 64, SETTLE_NS = 8000000 };

struct swg__bench_conv {
    const char *id;
    swg__op op;
    int64_t batch, in_channels, out_channels;   /* of X and Y in ir/conv.h: a transposed convolution goes from Y to X */
    int64_t in[3];                              /* extents of X */
    int64_t kernel, stride, before;
};

static const struct swg__bench_conv table[] = {
    {"c5-1-32", SWG__CONV, 64, 1, 32, {5, 5, 5}, 3, 1, 1},
    {"c5-32-64", SWG__CONV, 64, 32, 64, {5, 5, 5}, 3, 1, 1},
    {"c5-64-128", SWG__CONV, 64, 64, 128, {5, 5, 5}, 3, 1, 1},
    {"c5-128-256", SWG__CONV, 64, 128, 256, {5, 5, 5}, 3, 1, 1},
    {"c5-256-256", SWG__CONV, 64, 256, 256, {5, 5, 5}, 3, 1, 1},
    {"c5-bwd-data", SWG__CONV_TRANSPOSE, 64, 64, 128, {5, 5, 5}, 3, 1, 1},
    {"c5-bwd-weights", SWG__CONV_WEIGHTS, 64, 64, 128, {5, 5, 5}, 3, 1, 1},
    {"c2-256-256", SWG__CONV, 256, 256, 256, {2, 2, 2}, 3, 1, 1},
    {"c2-bwd-data", SWG__CONV_TRANSPOSE, 256, 256, 256, {2, 2, 2}, 3, 1, 1},
    {"c2-bwd-weights", SWG__CONV_WEIGHTS, 256, 256, 256, {2, 2, 2}, 3, 1, 1},
    {"ct3", SWG__CONV_TRANSPOSE, 64, 128, 256, {4, 4, 4}, 2, 2, 0},
    {"ct3-k3s2", SWG__CONV_TRANSPOSE, 64, 32, 64, {4, 4, 4}, 3, 2, 1},
    {"u64", SWG__CONV, 1, 32, 32, {64, 64, 64}, 3, 1, 1},
    {"u64-bwd-data", SWG__CONV_TRANSPOSE, 1, 32, 32, {64, 64, 64}, 3, 1, 1},
    {"u64-bwd-weights", SWG__CONV_WEIGHTS, 1, 32, 32, {64, 64, 64}, 3, 1, 1},
    {"u64-first", SWG__CONV, 1, 1, 32, {64, 64, 64}, 3, 1, 1},
    {"u32", SWG__CONV, 1, 64, 64, {32, 32, 32}, 3, 1, 1},
    {"u32-bwd-data", SWG__CONV_TRANSPOSE, 1, 64, 64, {32, 32, 32}, 3, 1, 1},
    {"u32-bwd-weights", SWG__CONV_WEIGHTS, 1, 64, 64, {32, 32, 32}, 3, 1, 1},
    {"u16", SWG__CONV, 1, 128, 128, {16, 16, 16}, 3, 1, 1},
    {"u16-bwd-data", SWG__CONV_TRANSPOSE, 1, 128, 128, {16, 16, 16}, 3, 1, 1},
    {"u16-bwd-weights", SWG__CONV_WEIGHTS, 1, 128, 128, {16, 16, 16}, 3, 1, 1},
    {"conv2d-64-256", SWG__CONV, 1, 64, 64, {1, 256, 256}, 3, 1, 1},
    {"kan-up", SWG__CONV_TRANSPOSE, 2, 384, 384, {1, 128, 128}, 3, 2, 1},   /* of kan/dae, with most of its multiply-adds */
    {"kan-up-bwd-data", SWG__CONV, 2, 384, 384, {1, 128, 128}, 3, 2, 1},
    {"kan-up-bwd-weights", SWG__CONV_WEIGHTS, 2, 384, 384, {1, 128, 128}, 3, 2, 1},
    {"kan-out", SWG__CONV, 2, 384, 3, {1, 128, 128}, 3, 1, 1},
    {"kan-out-bwd-data", SWG__CONV_TRANSPOSE, 2, 384, 3, {1, 128, 128}, 3, 1, 1},
    {"kan-out-bwd-weights", SWG__CONV_WEIGHTS, 2, 384, 3, {1, 128, 128}, 3, 1, 1},
};
enum { ROWS = sizeof table / sizeof *table };

int swg__bench_conv_list(swg__workload *out) {
    for (int i = 0; i < ROWS; i++) {
        out[i] = (swg__workload){.kind = SWG__WORK_CONV, .batch = table[i].batch, .conv = &table[i]};
        snprintf(out[i].id, sizeof out[i].id, "%s", table[i].id);
    }
    return ROWS;
}

void swg__bench_conv_shape(const swg__workload *work, char *out, size_t capacity) {
    const struct swg__bench_conv *c = work->conv;
    snprintf(out, capacity, "%s %lldx%lldx%lldx%lld %lld-%lld k%lld s%lld", swg__ops[c->op].text, (long long)c->batch, (long long)c->in[0],
             (long long)c->in[1], (long long)c->in[2], (long long)c->in_channels, (long long)c->out_channels, (long long)c->kernel,
             (long long)c->stride);
}

/* ---- the work: two operands a, b and a result ---- */

typedef struct sides {
    swg__job job;
    swg__conv form;
    swg_value a, b;
    float *a_data, *b_data;     /* of our own: what the operands' elements are worth, rounded if they are bf16 */
    struct swg__provided_conv *peer;
} sides;

/* In [-1, 1). */
static void fill(float *to, int64_t n, uint32_t salt) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = ((uint32_t)i + salt) * 2654435761u;
        h = (h ^ h >> 15) * 0x2c1b3c6du;
        to[i] = (float)((h ^ h >> 12) >> 8) * 0x1p-23f - 1;
    }
}

/* `n` values of a salt, as they are worth in `dtype`, written there too. */
static float *operand(swg_context *ctx, void *to, swg_dtype dtype, int64_t n, uint32_t salt, bool bf16) {
    float *values = swg__alloc(ctx, (size_t)n * sizeof *values);
    if (!values)
        return NULL;
    fill(values, n, salt);
    for (int64_t i = 0; i < n; i++) {
        swg__store(to, dtype, i, (double)values[i]);
        values[i] = bf16 ? swg__f32_of_bf16(swg__bf16_of(values[i])) : values[i];
    }
    return values;
}

static swg_status open_own(swg_context *ctx, const swg__workload *work, sides *s) {
    const struct swg__bench_conv *c = work->conv;
    int64_t x[5] = {c->batch}, y[5] = {c->batch}, w[5] = {c->out_channels, c->in_channels};
    swg__attr attr = {.groups = 1};
    for (int axis = 0; axis < 3; axis++) {
        bool flat = c->in[axis] == 1; /* a convolution in a plane */
        attr.stride[axis] = flat ? 1 : (int32_t)c->stride;
        attr.dilation[axis] = 1;
        attr.before[axis] = flat ? 0 : (int32_t)c->before;
        w[axis + 2] = flat ? 1 : c->kernel;
        x[axis + 1] = c->in[axis];
        y[axis + 1] = (c->in[axis] + 2 * attr.before[axis] - w[axis + 2]) / attr.stride[axis] + 1;
    }
    x[4] = c->in_channels;
    y[4] = c->out_channels;
    s->job.ctx = ctx;
    SWG__TRY(swg_graph_create(ctx, NULL, &s->job.g));
    swg_graph *g = s->job.g;
    s->a = c->op == SWG__CONV_TRANSPOSE ? swg_input(g, "y", 5, y) : swg_input(g, "x", 5, x);
    s->b = c->op == SWG__CONV_WEIGHTS ? swg_input(g, "y", 5, y) : swg_param(g, "w", 5, w, (swg_init){.bound = 1});
    const int64_t *shape = c->op == SWG__CONV ? y : c->op == SWG__CONV_TRANSPOSE ? x : w;
    bool weights = c->op != SWG__CONV_WEIGHTS;
    if (work->bf16 && swg_graph_status(g) == SWG_OK) {
        g->nodes[s->a].dtype = SWG_BF16;
        g->nodes[s->b].dtype = weights ? SWG_F32 : SWG_BF16;
    }
    s->job.y = swg__append(g, c->op, work->bf16 && weights ? SWG_BF16 : SWG_F32, 5, shape, 2, (swg_value[]){s->a, s->b}, &attr);
    SWG__TRY(swg_plan_make(g, &(swg_plan_opts){.outputs = &s->job.y, .output_count = 1, .frozen = true}, &s->job.plan));
    SWG__TRY(swg_weights_create(g, false, &s->job.weights));
    if (weights) /* frozen: they are packed when the plan is opened */
        s->b_data = operand(ctx, swg_weights_value(s->job.weights, 0), SWG_F32, swg_elements(g, s->b), 77, work->bf16);
    SWG__TRY(swg_plan_open(s->job.plan, s->job.weights, NULL));
    s->a_data = operand(ctx, swg_plan_data(s->job.plan, s->a), swg_value_dtype(g, s->a), swg_elements(g, s->a), 5, work->bf16);
    if (!weights)
        s->b_data = operand(ctx, swg_plan_data(s->job.plan, s->b), swg_value_dtype(g, s->b), swg_elements(g, s->b), 77, work->bf16);
    if (!s->a_data || !s->b_data)
        return swg__fail_memory(ctx, 0, "operands");
    s->form = swg__conv_of(g, &g->nodes[s->job.y]);
    return SWG_OK;
}

/* ---- checking ---- */

static int64_t at(const int64_t extent[3], const int64_t p[3]) { return (p[0] * extent[1] + p[1]) * extent[2] + p[2]; }
static void split(int64_t i, const int64_t extent[3], int64_t p[3]) {
    for (int axis = 2; axis >= 0; i /= extent[axis], axis--)
        p[axis] = i % extent[axis];
}
static bool inside(const int64_t extent[3], const int64_t p[3]) {
    return p[0] >= 0 && p[0] < extent[0] && p[1] >= 0 && p[1] < extent[1] && p[2] >= 0 && p[2] < extent[2];
}

/* Element `e` of the result as a sum in f64, and the sum of the products' sizes. */
static double element(const sides *s, swg__op op, int64_t e, double *size) {
    const swg__conv *c = &s->form;
    int64_t in = c->in[0] * c->in[1] * c->in[2], out = c->out[0] * c->out[1] * c->out[2];
    int64_t p[3] = {0}, q[3] = {0}, t[3] = {0}, ic = c->in_channels, oc = c->out_channels, n = 0, channel = 0;
    double sum = 0;
    *size = 0;
    if (op == SWG__CONV_WEIGHTS) {
        split(e % c->taps, c->kernel, t);
    } else {
        channel = op == SWG__CONV ? e % oc : e % ic;
        n = op == SWG__CONV ? e / oc / out : e / ic / in;
        if (op == SWG__CONV)
            split(e / oc % out, c->out, p);
        else
            split(e / ic % in, c->in, q);
    }
    int64_t steps = op == SWG__CONV_WEIGHTS ? c->batch * out : c->taps;
    for (int64_t i = 0; i < steps; i++) {
        bool meets = true;
        if (op == SWG__CONV_WEIGHTS) {
            n = i / out;
            split(i % out, c->out, p);
        } else {
            split(i, c->kernel, t);
        }
        for (int axis = 0; axis < 3; axis++) {
            int64_t shift = t[axis] * c->dilation[axis] - c->before[axis];
            if (op != SWG__CONV_TRANSPOSE) {
                q[axis] = p[axis] * c->stride[axis] + shift;
            } else {
                meets = meets && (q[axis] - shift) % c->stride[axis] == 0;
                p[axis] = (q[axis] - shift) / c->stride[axis];
            }
        }
        if (!meets || !inside(c->in, q) || !inside(c->out, p))
            continue;
        int64_t x = (n * in + at(c->in, q)) * ic, y = (n * out + at(c->out, p)) * oc, tap = at(c->kernel, t);
        int64_t depth = op == SWG__CONV ? ic : op == SWG__CONV_TRANSPOSE ? oc : 1;
        for (int64_t k = 0; k < depth; k++) {
            double a = op == SWG__CONV ? (double)s->a_data[x + k] : op == SWG__CONV_TRANSPOSE ? (double)s->a_data[y + k]
                                                                  : (double)s->a_data[x + e / c->taps % ic];
            double b = op == SWG__CONV ? (double)s->b_data[(channel * ic + k) * c->taps + tap]
                       : op == SWG__CONV_TRANSPOSE ? (double)s->b_data[(k * ic + channel) * c->taps + tap]
                                                   : (double)s->b_data[y + e / c->taps / ic];
            sum += a * b;
            *size += fabs(a * b);
        }
    }
    return sum;
}

/* Largest gap of a result over what its products come to, at elements spread over it, the first and last among them. A bf16 result may
 * also be off by half a unit in its last place. */
static double error_of(const sides *s, swg__op op, const void *got, swg_dtype dtype) {
    int64_t n = swg_elements(s->job.g, s->job.y);
    double most = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        int64_t e = i == SAMPLES - 1 ? n - 1 : n / SAMPLES * i + i * 7919 % (n / SAMPLES + 1);
        double value = dtype == SWG_BF16 ? (double)swg__f32_of_bf16(((const swg__bf16 *)got)[e]) : (double)((const float *)got)[e];
        double size, truth = element(s, op, e, &size), gap = fabs(value - truth);
        if (swg_value_dtype(s->job.g, s->job.y) == SWG_BF16)
            gap = gap > 0x1p-8 * fabs(truth) ? gap - 0x1p-8 * fabs(truth) : gap == gap ? 0 : gap;
        most = gap <= most * size ? most : gap == gap ? gap / size : INFINITY;
    }
    return most;
}

static void check(const sides *s, swg__op op, const void *got, swg_dtype dtype, const char *whose, double *error, swg__row *row) {
    *error = error_of(s, op, got, dtype);
    if (!(*error <= 1e-6)) /* of sums of products in [-1, 1), rounding cancels */
        snprintf(row->failure, sizeof row->failure, "%s: %.1e from sums in f64, at most 1e-06 of their products allowed", whose, *error);
}

/* ---- one row ---- */

static swg_status compare_peer(swg_context *ctx, sides *s, swg__op op, swg__row *row) {
    int64_t n = swg_elements(s->job.g, s->job.y);
    float *got = swg__alloc(ctx, (size_t)n * sizeof *got);
    if (!got)
        return swg__fail_memory(ctx, (size_t)n * sizeof *got, "a check");
    double error;
    swg__provided_conv_run(s->peer);
    swg_status status = swg__provided_conv_read(s->peer, got);
    if (status == SWG_OK)
        check(s, op, got, SWG_F32, "oneDNN", &error, row);
    swg__free(ctx, got);
    return status;
}

static swg_status time_sides(swg__bench *b, swg__team *team, sides *s, swg__row *row) {
    const struct swg__bench_conv *c = row->work.conv;
    double begin = swg__bench_clock_ns();
    SWG__TRY(open_own(team->ctx, &row->work, s));
    swg__job_run(&s->job);
    double cold = swg__bench_clock_ns() - begin;
    check(s, c->op, swg_plan_data(s->job.plan, s->job.y), swg_value_dtype(s->job.g, s->job.y), "swage", &row->error, row);
    if (strcmp(b->peers[0].version, "absent") != 0) {
        SWG__TRY(swg__provided_conv_open(team->ctx, c->op, &s->form, row->work.bf16, s->a_data, s->b_data, &s->peer));
        SWG__TRY(compare_peer(team->ctx, s, c->op, row));
    }
    if (*row->failure)
        return SWG_OK;
    const swg__side both[2] = {{.call = swg__job_run, .arg = &s->job, .settle_ns = SETTLE_NS}, {.call = swg__provided_conv_run, .arg = s->peer}};
    swg__times times[2] = {{0}};
    swg__ratio ratio = {0};
    SWG__TRY(swg__measure(team->ctx, both, s->peer ? 2 : 1, b->opts.quick, times, &ratio));
    const swg_graph *g = s->job.g;
    row->times = times[0];
    row->times.cold_ns = cold;
    row->flop = (double)swg_plan_flops(s->job.plan);
    row->bytes = row->working_set_bytes = (double)(swg__node_bytes(&g->nodes[s->a]) + swg__node_bytes(&g->nodes[s->b]) +
                                                   swg__node_bytes(&g->nodes[s->job.y]));
    row->parallel_calls = 1;
    row->planned_bytes = swg_plan_memory_of(s->job.plan).peak_bytes;
    if (s->peer) {
        row->peers[0] = (swg__peer_times){.name = "oneDNN", .variant = "own formats", .times = times[1], .ratio = ratio, .interleaved = true};
        row->peer_count = 1;
    }
    return SWG_OK;
}

swg_status swg__bench_conv(swg__bench *b, swg__team *team, swg__row *row) {
    sides s = {.peer = NULL};
    swg_status status = time_sides(b, team, &s, row);
    if (status != SWG_OK)
        snprintf(row->failure, sizeof row->failure, "%s", swg_context_message(team->ctx));
    swg__provided_conv_close(s.peer);
    swg__job_close(&s.job);
    swg__free(team->ctx, s.a_data);
    swg__free(team->ctx, s.b_data);
    return status;
}
