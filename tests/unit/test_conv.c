/* test_conv.c - proves: conv, conv_transpose and conv_weights agree with the f64 reference on every instruction set over odd
 * shapes (strides, dilation, phases without taps, groups, padding beyond the kernel, weights walked in chunks, split sums), give
 * the same bits on 1, 2 and 4 threads, in f32 and in bf16, count valid taps only, and refuse what does not fit by naming it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "cpu.h"
#include "ir/conv.h"
#include "plan/plan.h"
#include "swage/nn.h"
#include "swage/plan.h"

typedef struct shape {
    const char *name;
    int spatial;
    int64_t batch, in_channels, out_channels, groups, in[3], kernel[3], stride[3], dilation[3], before[3], after[3];
} shape;

static const shape shapes[] = {
    {"5^3 blocks, few channels in", 3, 20, 1, 33, 1, {5, 5, 5}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"5^3 blocks", 3, 13, 6, 40, 1, {5, 5, 5}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"5^3 blocks, alone", 3, 1, 17, 70, 1, {5, 5, 5}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"k 2 s 2", 3, 7, 9, 18, 1, {4, 4, 4}, {2, 2, 2}, {2, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},
    {"k 3 s 2, one position more", 3, 3, 5, 12, 1, {4, 6, 4}, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"rows longer than a line", 2, 1, 3, 7, 1, {4, 230}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"rows along y", 2, 2, 4, 35, 1, {40, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"each axis its own", 3, 2, 4, 6, 2, {7, 6, 9}, {2, 1, 3}, {3, 1, 2}, {2, 1, 3}, {2, 0, 4}, {0, 1, 2}},
    {"stride beyond the kernel", 2, 3, 4, 5, 1, {11, 13}, {2, 1}, {4, 3}, {1, 1}, {0, 1}, {0, 0}},
    {"stride 4, dilation 2: half of the phases see nothing", 1, 3, 5, 6, 1, {29}, {3}, {4}, {2}, {2}, {1}},
    {"stride 6, dilation 4", 1, 2, 3, 34, 1, {50}, {5}, {6}, {4}, {3}, {5}},
    {"padding beyond the kernel", 2, 2, 3, 4, 1, {3, 4}, {2, 2}, {1, 1}, {1, 1}, {5, 4}, {6, 3}},
    {"two positions, as many taps but not the same", 3, 3, 4, 5, 1, {2, 2, 2}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {"one channel in", 3, 2, 1, 37, 1, {4, 5, 130}, {3, 2, 3}, {1, 2, 1}, {1, 1, 2}, {1, 0, 2}, {1, 1, 1}},
    {"taps 1", 2, 2, 37, 66, 1, {6, 5}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
    {"depthwise", 2, 2, 19, 19, 19, {8, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"groups of many", 1, 3, 24, 120, 3, {17}, {5}, {2}, {1}, {2}, {2}},
    {"weights in two chunks", 2, 2, 520, 34, 1, {4, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"long line", 1, 2, 3, 5, 1, {1300}, {4}, {1}, {3}, {2}, {2}},
    {"17 taps", 1, 2, 18, 34, 1, {40}, {17}, {1}, {1}, {8}, {8}},
    {"a sample larger than a block", 3, 2, 3, 5, 1, {2, 30, 35}, {2, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {"a sample larger than a block, alone", 3, 1, 3, 5, 1, {2, 125, 35}, {2, 3, 3}, {1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {1, 1, 1}},
    {"few channels out", 2, 3, 35, 3, 1, {9, 13}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"few channels out, rows of one task", 2, 1, 64, 1, 1, {61, 6}, {3, 5}, {1, 1}, {2, 1}, {0, 4}, {3, 2}},
    {"few channels out, in planes and with much padding", 3, 2, 33, 4, 1, {2, 4, 7}, {1, 2, 3}, {1, 1, 1}, {1, 1, 2}, {0, 3, 1}, {0, 2, 6}},
    {"few channels out, one axis", 1, 5, 40, 2, 1, {50}, {7}, {1}, {3}, {9}, {9}},
    {"read in blocks of lines", 2, 1, 2002, 40, 1, {7, 8}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
    {"read in blocks of lines, transposed", 2, 1, 34, 3300, 1, {4, 17}, {1, 2}, {1, 2}, {1, 1}, {0, 0}, {0, 1}},
    {"lines in blocks through several strips", 2, 2, 200, 130, 1, {17, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"many parts", 2, 2, 130, 70, 1, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"one channel in, lines too long for a row per tap", 2, 1, 1, 6, 1, {2, 1100}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {"one channel in, several blocks of lines", 3, 2, 1, 32, 1, {3, 8, 601}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, EPILOGUES = 3 };

/* Shapes of the nodes x, w and y. */
static int node_shapes(const shape *s, int64_t x[5], int64_t w[5], int64_t y[5], swg__attr *attr) {
    *attr = (swg__attr){.groups = (int32_t)s->groups, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    x[0] = y[0] = s->batch;
    w[0] = y[s->spatial + 1] = s->out_channels;
    w[1] = s->in_channels / s->groups;
    x[s->spatial + 1] = s->in_channels;
    for (int i = 0; i < s->spatial; i++) {
        int at = 3 - s->spatial + i;
        attr->stride[at] = (int32_t)s->stride[i];
        attr->dilation[at] = (int32_t)s->dilation[i];
        attr->before[at] = (int32_t)s->before[i];
        x[i + 1] = s->in[i];
        w[i + 2] = s->kernel[i];
        y[i + 1] = (s->in[i] + s->before[i] + s->after[i] - s->dilation[i] * (s->kernel[i] - 1) - 1) / s->stride[i] + 1;
    }
    return s->spatial + 2;
}

static double value_at(uint32_t input, int64_t i) {
    uint32_t h = (uint32_t)i * 2654435761u + input * 40503u + 12345u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (double)((h ^ h >> 12) >> 8) * 0x1p-23 - 1;
}

/* What is bf16: nothing; the first operand, and the second is rounded when it is packed; all, the result too. */
typedef enum halves { F32, FIRST, ALL, KINDS } halves;

static void put(void *data, swg_dtype dtype, int64_t e, double value, bool round) {
    swg__store(data, dtype, e, round ? (double)swg__f32_of_bf16(swg__bf16_of((float)value)) : value);
}

/* epilogue 0: none; 1: bias and ReLU; 2: gate. Elements as f64 in fresh memory. */
static double *result_of(swg_context *ctx, const shape *s, swg__op op, int epilogue, swg_dtype dtype, halves what, bool frozen, int64_t *n) {
    swg_graph *g;
    int64_t x_shape[5], w_shape[5], y_shape[5];
    swg__attr attr;
    int ndim = node_shapes(s, x_shape, w_shape, y_shape, &attr);
    const int64_t *to = op == SWG__CONV ? y_shape : op == SWG__CONV_TRANSPOSE ? x_shape : w_shape;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value in[4] = {op == SWG__CONV_TRANSPOSE ? swg_input(g, "y", ndim, y_shape) : swg_input(g, "x", ndim, x_shape),
                       op == SWG__CONV_WEIGHTS ? swg_input(g, "y", ndim, y_shape) : swg_param(g, "w", ndim, w_shape, (swg_init){0})};
    swg_value out;
    if (dtype == SWG_F32 && what != F32) {
        if (epilogue)
            in[2] = epilogue == 1 ? swg_input(g, "bias", 1, &to[ndim - 1]) : swg_input(g, "gate", ndim, to);
        attr.bias = attr.relu = epilogue == 1;
        attr.gate = epilogue == 2;
        g->nodes[in[0]].dtype = SWG_BF16;
        if (what == ALL && op == SWG__CONV_WEIGHTS)
            g->nodes[in[1]].dtype = SWG_BF16;
        if (what == ALL && epilogue == 2)
            g->nodes[in[2]].dtype = SWG_BF16;
        out = swg__append(g, op, what == ALL ? SWG_BF16 : SWG_F32, ndim, to, epilogue ? 3 : 2, in, &attr);
    } else {
        out = swg__append(g, op, dtype, ndim, to, 2, in, &attr);
        if (epilogue == 1)
            out = swg_relu(g, swg_add(g, out, in[2] = swg_input(g, "bias", 1, &to[ndim - 1])));
        if (epilogue == 2)
            out = swg__ew(g, SWG__GATE, 0, 0, 2, out, in[2] = swg_input(g, "gate", ndim, to), 0);
    }
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &out, .output_count = 1, .frozen = frozen}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    for (int pass = 0; pass < 2; pass++) { /* frozen weights are packed when the plan is opened */
        for (uint32_t i = 0; i < 4; i++) {
            bool param = in[i] && g->nodes[in[i]].op == SWG__PARAM;
            if (!in[i] || param != (pass == 0))
                continue;
            void *data = param ? swg_weights_value(weights, 0) : swg_plan_data(plan, in[i]);
            for (int64_t e = 0; e < swg_elements(g, in[i]); e++)
                put(data, swg_value_dtype(g, in[i]), e, value_at(i, e), what != F32 && dtype == SWG_F64 && i < 2);
        }
        if (pass == 0)
            assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    }
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    assert_ok(ctx, swg_plan_run(plan, 0, 0)); /* a second run finds no trace of the first */
    *n = swg_elements(g, out);
    double *result = malloc((size_t)*n * sizeof *result);
    const void *data = swg_plan_data(plan, out);
    for (int64_t e = 0; e < *n; e++)
        result[e] = dtype == SWG_F64 ? ((const double *)data)[e]
                    : what == ALL    ? (double)swg__f32_of_bf16(((const swg__bf16 *)data)[e]) : (double)((const float *)data)[e];
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
    return result;
}

static swg_context *context_of(int threads, int isa) {
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
    return ctx;
}

static void close_context(swg_context *ctx) {
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

/* A bf16 result is off by half a unit in its last place, 2^-8 of it, more. */
static void against_reference_as(halves what) {
    for (int i = 0; i < SHAPES; i += TESTING_RACES ? 6 : TESTING_SLOW ? 2 : 1)
        for (swg__op op = SWG__CONV; op <= SWG__CONV_WEIGHTS; op++)
            for (int epilogue = 0; epilogue < (op == SWG__CONV_WEIGHTS ? 1 : EPILOGUES); epilogue++) {
                int64_t n, m;
                swg_context *ctx = context_of(1, (int)swg__isa_best());
                double *truth = result_of(ctx, &shapes[i], op, epilogue, SWG_F64, what, false, &n), most = 0;
                close_context(ctx);
                for (int64_t e = 0; e < n; e++)
                    most = fmax(most, fabs(truth[e]));
                for (int isa = 0; isa <= (int)swg__isa_best(); isa += 1 + (TESTING_SLOW && what != ALL)) { /* each in one of the kinds */
                    ctx = context_of(2, isa);
                    double *got = result_of(ctx, &shapes[i], op, epilogue, SWG_F32, what, isa & 1, &m);
                    assert_int_equal(n, m);
                    for (int64_t e = 0; e < n; e++)
                        if (!(fabs(got[e] - truth[e]) <= 4e-6 * most + (what == ALL ? 0x1p-8 * fabs(truth[e]) : 0)))
                            fail_msg("%s of \"%s\", epilogue %d, %s, kind %d: element %lld is %.9g, reference %.17g", swg__ops[op].text,
                                     shapes[i].name, epilogue, swg__isa_name((swg__isa)isa), what, (long long)e, got[e], truth[e]);
                    free(got);
                    close_context(ctx);
                }
                free(truth);
            }
}

static void against_reference(void **state) { (void)state, against_reference_as(F32); }
static void bf16_operands(void **state) { (void)state, against_reference_as(FIRST); }
static void bf16_result(void **state) { (void)state, against_reference_as(ALL); }

static void same_bits(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES * KINDS; i += TESTING_SLOW ? 2 : 1)
        for (swg__op op = SWG__CONV; op <= SWG__CONV_WEIGHTS; op++) {
            double *first = NULL;
            for (int threads = 1; threads <= 4; threads *= 2) {
                int64_t n;
                swg_context *ctx = context_of(threads, (int)swg__isa_best());
                double *got = result_of(ctx, &shapes[i / KINDS], op, 0, SWG_F32, (halves)(i % KINDS), false, &n);
                close_context(ctx);
                if (first && memcmp(first, got, (size_t)n * sizeof *got) != 0)
                    fail_msg("%s of \"%s\", kind %d: %d threads give other bits than one", swg__ops[op].text, shapes[i / KINDS].name,
                             i % KINDS, threads);
                if (first)
                    free(got);
                else
                    first = got;
            }
            free(first);
        }
}

/* On 5^3 blocks with padding 1 each axis has 13 of 15 taps; the work of the three operations is one number. */
static void work(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 5, (int64_t[]){64, 32, 5, 5, 5});
    swg_value y = swg_conv(g, x, 48, 3, &(swg_conv_opts){.padding = {1, 1, 1}}, "c"), grads[3];
    assert_int_equal(swg_graph_macs(g, y), (int64_t)64 * 32 * 48 * 13 * 13 * 13);
    int count;
    const swg_value *params = swg_params_of(g, &count);
    swg_value asked[3] = {params[0], params[1], x};
    assert_int_equal(count, 2);
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_square(g, y), 0), asked, 3, grads));
    swg_value all = swg_add(g, swg_sum(g, grads[0], 0), swg_sum(g, grads[2], 0));
    assert_int_equal(swg_graph_macs(g, all), (int64_t)3 * 64 * 32 * 48 * 13 * 13 * 13);
    swg_graph_destroy(g);
}

/* Names, shapes and start of the parameters. */
static void layers(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *w;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 6, 9, 8});
    swg_value h = swg_conv(g, x, 10, 3, &(swg_conv_opts){.stride = {2, 2}, .groups = 2, .kernel = {0, 5}}, "down");
    swg_value u = swg_conv_transpose(g, h, 4, 2, &(swg_conv_opts){.stride = {2, 2}, .no_bias = true}, "up");
    assert_ok(ctx, swg_graph_status(g));
    assert_memory_equal(swg_shape(g, h), ((int64_t[]){2, 10, 4, 2}), 4 * sizeof(int64_t));
    assert_memory_equal(swg_shape(g, u), ((int64_t[]){2, 4, 8, 4}), 4 * sizeof(int64_t));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 3);
    assert_int_equal(swg_weights_count(w), 3);
    static const struct { const char *name; int64_t shape[4]; int ndim; double bound; } want[] = {
        {"down.weight", {10, 3, 3, 5}, 4, 0.14907119849998599}, {"down.bias", {10}, 1, 0.14907119849998599}, {"up.weight", {10, 4, 2, 2}, 4, .25}};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(swg_weights_name(w, i), want[i].name);
        assert_int_equal(swg_weights_ndim(w, i), want[i].ndim);
        assert_memory_equal(swg_weights_shape(w, i), want[i].shape, (size_t)want[i].ndim * sizeof(int64_t));
        const float *value = swg_weights_value(w, i);
        double most = 0;
        for (int64_t e = 0; e < swg__shape_elements(want[i].ndim, want[i].shape); e++)
            most = fmax(most, fabs((double)value[e]));
        assert_true(most <= want[i].bound * (1 + 1e-7) && most > .6 * want[i].bound);
    }
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* Bias and ReLU become part of the convolution. */
static void fused(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 9, 8, 6});
    const swg_conv_opts opts = {.padding = {1, 1}, .channels_last = true};
    swg_value y = swg_relu(g, swg_conv(g, swg_relu(g, swg_conv(g, x, 16, 3, &opts, "a")), 8, 3, &opts, "b"));
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true}, &plan));
    assert_int_equal(swg_plan_steps(plan), 4); /* two packings when opened, two convolutions */
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* ---- the layout pass: same result, cheaper ---- */

enum { GRADIENTS = 12 };

/* A channels-first network with batch and instance norm, a skip, a concatenation, padding, sums per channel and a residual to the input; its loss, all gradients. */
static int network(swg_graph *g, int spatial, swg_value *x, swg_value *outputs) {
    int64_t extent[5] = {3, 4, 6, 6, 6}, before[5] = {0}, after[5] = {0, 0, 1, 1, 1}, begin[5] = {0};
    swg_conv_opts same = {0}, half = {0};
    for (int axis = 0; axis < spatial; axis++) {
        same.padding[axis] = 1;
        half.stride[axis] = 2;
    }
    *x = swg_input(g, "x", spatial + 2, extent);
    swg_value a = swg_relu(g, swg_batch_norm(g, swg_conv(g, *x, 6, 3, &same, "a"), "bn", NULL)), b = swg_conv(g, a, 5, 2, &half, "b");
    b = swg_instance_norm(g, b, "in", &(swg_norm_opts){.affine = SWG_AFFINE_ON});
    b = swg_mul(g, b, swg_sigmoid(g, swg_mean(g, b, ((1u << spatial) - 1) << 2)));
    swg_value up = swg_conv_transpose(g, b, 6, 2, &half, "up");
    swg_value both = swg_pad(g, swg_concat(g, (swg_value[]){up, a}, 2, 1), before, after);
    swg_value y = swg_add(g, swg_slice(g, swg_conv(g, both, 4, 3, &same, "c"), begin, extent), *x);
    outputs[0] = swg_mean(g, swg_square(g, y), 0);
    int count;
    const swg_value *params = swg_params_of(g, &count);
    assert_int_equal(count, GRADIENTS);
    swg_gradients(g, outputs[0], params, count, outputs + 1);
    outputs[count + 1] = y;
    return count + 2;
}

/* What the layout pass has to leave as it was asked for: statistics over one spatial axis, a product along it, dropout by element. */
static int untouched(swg_graph *g, swg_value *x, swg_value *outputs) {
    *x = swg_input(g, "x", 4, (int64_t[]){3, 4, 5, 6});
    swg_value a = swg_conv(g, *x, 7, 3, &(swg_conv_opts){.padding = {1, 1}}, "a"), b = swg_conv(g, a, 6, 1, NULL, "b");
    swg_value w = swg_param(g, "w", 2, (int64_t[]){6, 6}, (swg_init){.bound = 1});
    outputs[0] = swg_layer_norm(g, b, 1, "ln", NULL);
    outputs[1] = swg_dropout(g, swg_relu(g, b), .5, "drop");
    outputs[2] = swg_matmul(g, swg_relu(g, a), w, NULL);
    outputs[3] = swg_sum(g, swg_square(g, b), 1u << 1 | 1u << 2);
    outputs[4] = swg_softmax(g, swg_reshape(g, b, 3, (int64_t[]){3, 6, 30}));
    return 5;
}

static int moves_of(const swg_plan *plan) {
    int moves = 0;
    for (int i = 0; i < plan->step_count; i++)
        moves += plan->steps[i].call.node->op == SWG__PERMUTE;
    return moves;
}

static void layout(void **state) {
    swg_context *ctx = *state;
    for (int kind = 0; kind < 8; kind++) {
        int spatial = kind % 4, result_count = 0; /* 0: untouched */
        swg_dtype dtype = kind < 4 ? SWG_F64 : SWG_F32;
        double *results[2], largest[GRADIENTS + 2] = {0};
        int64_t counts[GRADIENTS + 2], total = 0;
        int moves[2];
        for (int as_asked = 1; as_asked >= 0; as_asked--) {
            swg_graph *g;
            swg_plan *plan;
            swg_weights *weights;
            swg_value x, outputs[GRADIENTS + 2];
            assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
            int count = result_count = spatial ? network(g, spatial, &x, outputs) : untouched(g, &x, outputs);
            assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count, .no_layout = as_asked}, &plan));
            assert_ok(ctx, swg_weights_create(g, false, &weights));
            swg_weights_init(weights, 5);
            assert_ok(ctx, swg_plan_open(plan, weights, NULL));
            for (int64_t e = 0; e < swg_elements(g, x); e++) {
                if (dtype == SWG_F64)
                    ((double *)swg_plan_data(plan, x))[e] = value_at(9, e);
                else
                    ((float *)swg_plan_data(plan, x))[e] = (float)value_at(9, e);
            }
            assert_ok(ctx, swg_plan_run(plan, 0, 0));
            moves[as_asked] = moves_of(plan);
            total = 0;
            for (int i = 0; i < count; i++)
                total += counts[i] = swg_elements(g, outputs[i]);
            double *to = results[as_asked] = malloc((size_t)total * sizeof *to);
            for (int i = 0; i < count; i++)
                for (int64_t e = 0; e < counts[i]; e++, to++) {
                    const void *data = swg_plan_data(plan, outputs[i]);
                    *to = dtype == SWG_F64 ? ((const double *)data)[e] : (double)((const float *)data)[e];
                    largest[i] = fmax(largest[i], fabs(*to));
                }
            swg_plan_destroy(plan);
            swg_weights_destroy(weights);
            swg_graph_destroy(g);
        }
        double most = 0;
        for (int i = 0; i < result_count; i++)
            most = fmax(most, largest[i]);
        for (int64_t i = 0, e = 0; i < result_count; i++) /* a bias before a batch norm has gradient 0, but for rounding */
            for (int64_t k = 0; k < counts[i]; k++, e++)
                assert_close(results[0][e], results[1][e], (dtype == SWG_F64 ? 1e-13 : 1e-5) * (largest[i] + .01 * most), 0);
        if (spatial && moves[0] != 2) /* the input and the result */
            fail_msg("%d axes: %d permutes with the layout pass, %d without", spatial, moves[0], moves[1]);
        assert_true(moves[1] > (spatial ? 8 : 3));
        free(results[0]);
        free(results[1]);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t x[5], w[5]; swg_conv_opts opts; bool transposed; const char *message; } cases[] = {
        {{2, 3, 4, 4, 3}, {8, 3, 3, 3, 5}, {.padding = {1, 1}}, false, "kernel 5 exceeds padded input 3 along axis x"},
        {{2, 3, 4, 4, 3}, {8, 3, 3, 3, 3}, {.dilation = {2, 1, 1}}, false, "kernel 5 exceeds padded input 4 along axis z"},
        {{2, 3, 9}, {8, 4, 3}, {.groups = 1}, false, "3 channels in, input (2, 3, 9) of \"x\"; weights (8, 4, 3) of \"w\" in 1 groups take 4"},
        {{2, 4, 9}, {9, 2, 3}, {.groups = 2}, false, "in 2 groups"},
        {{2, 4, 9}, {8, 2, 3}, {.groups = -2}, false, "groups"},
        {{2, 3, 9}, {8, 3, 3}, {.stride = {-1}}, false, "stride -1"},
        {{2, 3, 9}, {8, 3, 3}, {.output_padding = {1}}, false, "output padding is for transposed"},
        {{2, 3, 9, 9}, {8, 3, 3}, {.groups = 1}, false, "input (2, 3, 9, 9) of \"x\" and weights (8, 3, 3) of \"w\""},
        {{2, 3}, {8, 3}, {.groups = 1}, false, "expected 3 to 5"},
        {{2, 3, 9}, {3, 8, 3}, {.stride = {2}, .output_padding = {2}}, true, "output padding 2 along axis x must be below stride 2"},
        {{2, 3, 1}, {3, 8, 2}, {.padding = {1}}, true, "input 1 gives an empty result along axis x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        int x_ndim = 0, w_ndim = 0;
        while (x_ndim < 5 && cases[i].x[x_ndim])
            x_ndim++;
        while (w_ndim < 5 && cases[i].w[w_ndim])
            w_ndim++;
        swg_value x = swg_input(g, "x", x_ndim, cases[i].x), w = swg_input(g, "w", w_ndim, cases[i].w);
        swg_scope_push(g, "encoder");
        swg_value y = (cases[i].transposed ? swg_convolution_transpose : swg_convolution)(g, x, w, SWG_NONE, &cases[i].opts);
        assert_int_equal(y, SWG_NONE);
        assert_int_not_equal(swg_graph_status(g), SWG_OK);
        if (!strstr(swg_context_message(ctx), cases[i].message) || !strstr(swg_context_message(ctx), "encoder: conv"))
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, swg_context_message(ctx), cases[i].message);
        swg_graph_destroy(g);
    }
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 3, (int64_t[]){2, 3, 9}), w = swg_input(g, "w", 3, (int64_t[]){8, 3, 3});
    assert_int_equal(swg_convolution(g, x, w, swg_input(g, "b", 1, (int64_t[]){7}), NULL), SWG_NONE);
    assert_non_null(strstr(g->message, "the bias must be (8)"));
    swg_graph_destroy(g);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    x = swg_input(g, "x", 3, (int64_t[]){2, 3, 9});
    assert_int_equal(swg_conv(g, x, 7, 3, &(swg_conv_opts){.groups = 2}, "c1"), SWG_NONE);
    assert_non_null(strstr(g->message, "conv \"c1\": 3 channels in and 7 out do not split into 2 groups"));
    swg_graph_destroy(g);
}

/* A network of both layers and its update; the n-th allocation fails. */
static swg_status train(swg_context *ctx) {
    swg_graph *g = NULL;
    swg_plan *plan = NULL;
    swg_weights *weights = NULL;
    swg_status status = swg_graph_create(ctx, NULL, &g);
    if (status == SWG_OK) {
        swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 3, 6, 6}), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        swg_value h = swg_relu(g, swg_conv(g, x, 4, 3, &(swg_conv_opts){.stride = {2, 2}, .padding = {1, 1}}, "down"));
        swg_value y = swg_conv_transpose(g, h, 3, 2, &(swg_conv_opts){.stride = {2, 2}}, "up");
        swg_value norm = swg_adam(g, swg_loss_mse(g, y, x), hyper, NULL);
        status = swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan);
    }
    if (status == SWG_OK)
        status = swg_weights_create(g, true, &weights);
    if (status == SWG_OK)
        status = swg_plan_open(plan, weights, NULL);
    if (status == SWG_OK)
        status = swg_plan_run(plan, 1, 1);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    if (g)
        swg_graph_destroy(g);
    return status;
}

static void no_memory(void **state) {
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator t = {.fail_at = n};
        swg_context *ctx;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK) {
            assert_int_equal(t.live, 0);
            continue;
        }
        swg_status status = train(ctx);
        done = status == SWG_OK;
        assert_true(done || status == SWG_ENOMEM);
        assert_true(!done || t.calls <= n);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_reference),
        cmocka_unit_test(bf16_operands),
        cmocka_unit_test(bf16_result),
        cmocka_unit_test(same_bits),
        cmocka_unit_test_setup_teardown(work, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layout, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
