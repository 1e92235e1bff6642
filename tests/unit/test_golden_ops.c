/* test_golden_ops.c - proves: values and gradients of single operations and losses are those PyTorch computes in f64
 * (tests/golden/ops.safetensors), in f64 to 1e-12 and in f32 to its rounding; every case of the file is tested.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "ir/ir.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { INPUTS = 5 };

typedef struct op_case {
    const swg_safetensors *file;
    const char *name;
    swg_graph *g;
    swg_value in[INPUTS];
    const swg_tensor *out;
} op_case;

/* ---- attributes ---- */

static const char *attribute(const op_case *c, const char *key) {
    char path[128];
    snprintf(path, sizeof path, "%s.%s", c->name, key);
    const char *text = swg_safetensors_note(c->file, path);
    if (!text)
        fail_msg("%s: attribute %s is missing", c->name, key);
    return text;
}

static double number(const op_case *c, const char *key) { return strtod(attribute(c, key), NULL); }

static void list(const op_case *c, const char *key, int64_t out[SWG_MAX_DIMS]) {
    const char *text = attribute(c, key);
    char *end = NULL;
    for (int i = 0; i < SWG_MAX_DIMS && *text; i++, text = *end == ',' ? end + 1 : end)
        out[i] = strtoll(text, &end, 10);
}

static uint32_t axis_mask(const op_case *c) {
    uint32_t mask = 0;
    for (const char *text = attribute(c, "axes"); *text; text++)
        mask |= *text == ',' ? 0 : 1u << (*text - '0');
    return mask;
}

/* ---- how each case is written with our builders ---- */

#define BUILD(name) static swg_value build_##name(op_case *c)
#define G c->g
#define A c->in[0]
#define B c->in[1]
BUILD(gelu) { return swg_gelu(G, A); }
BUILD(relu) { return swg_relu(G, A); }
BUILD(tanh) { return swg_tanh(G, A); }
BUILD(sigmoid) { return swg_sigmoid(G, A); }
BUILD(softplus) { return swg_softplus(G, A); }
BUILD(exp) { return swg_exp(G, A); }
BUILD(log) { return swg_log(G, A); }
BUILD(log1p) { return swg_log1p(G, A); }
BUILD(sqrt) { return swg_sqrt(G, A); }
BUILD(abs) { return swg_abs(G, A); }
BUILD(square) { return swg_square(G, A); }
BUILD(clamp) { return swg_clamp(G, A, number(c, "lo"), number(c, "hi")); }
BUILD(add) { return swg_add(G, A, B); }
BUILD(sub) { return swg_sub(G, A, B); }
BUILD(mul) { return swg_mul(G, A, B); }
BUILD(div) { return swg_div(G, A, B); }
BUILD(sum) { return swg_sum(G, A, axis_mask(c)); }
BUILD(mean) { return swg_mean(G, A, axis_mask(c)); }
BUILD(max) { return swg_reduce_max(G, A, axis_mask(c)); }
BUILD(softmax) { return swg_softmax(G, A); }
BUILD(log_softmax) { return swg_log_softmax(G, A); }
BUILD(sort) { return swg_sort(G, A, (int)number(c, "axis")); }

BUILD(matmul) {
    const char *kind = c->name + strlen("matmul_");
    return swg_matmul(G, A, B, &(swg_matmul_opts){.trans_a = kind[0] == 't', .trans_b = kind[1] == 't'});
}
BUILD(matmul_batched) { return swg_matmul(G, A, B, NULL); }

BUILD(permute) {
    int64_t axes[SWG_MAX_DIMS];
    int order[SWG_MAX_DIMS];
    list(c, "axes", axes);
    for (int i = 0; i < swg_ndim(G, A); i++)
        order[i] = (int)axes[i];
    return swg_permute(G, A, order);
}

/* A step s: padded to a multiple of s, seen as (..., count, s, ...), of which the first of s is kept. */
BUILD(slice) {
    int64_t start[SWG_MAX_DIMS], stop[SWG_MAX_DIMS], step[SWG_MAX_DIMS], zeros[SWG_MAX_DIMS] = {0};
    int ndim = swg_ndim(G, A);
    list(c, "start", start);
    list(c, "stop", stop);
    list(c, "step", step);
    for (int i = 0; i < ndim; i++)
        stop[i] -= start[i];
    swg_value y = swg_slice(G, A, start, stop);
    for (int axis = 0; axis < ndim; axis++) {
        if (step[axis] == 1)
            continue;
        int64_t after[SWG_MAX_DIMS] = {0}, split[SWG_MAX_DIMS], kept[SWG_MAX_DIMS];
        memcpy(kept, swg_shape(G, y), (size_t)ndim * sizeof *kept);
        int64_t count = (kept[axis] + step[axis] - 1) / step[axis];
        after[axis] = count * step[axis] - kept[axis];
        kept[axis] = count;
        memcpy(split, kept, (size_t)(axis + 1) * sizeof *split);
        split[axis + 1] = step[axis];
        memcpy(split + axis + 2, kept + axis + 1, (size_t)(ndim - axis - 1) * sizeof *split);
        y = swg_reshape(G, swg_pad(G, y, zeros, after), ndim + 1, split);
        split[axis + 1] = 1;
        y = swg_reshape(G, swg_slice(G, y, zeros, split), ndim, kept);
    }
    return y;
}

BUILD(concat) { return swg_concat(G, c->in, 3, (int)number(c, "axis")); }

/* Padding with a value: shifted to 0 and back. */
BUILD(pad) {
    int64_t low[SWG_MAX_DIMS], high[SWG_MAX_DIMS];
    double value = number(c, "value");
    list(c, "low", low);
    list(c, "high", high);
    return swg_affine(G, swg_pad(G, swg_affine(G, A, 1, -value), low, high), 1, value);
}

/* Our take_along reads along a permutation; with repeats it is a product with the index written as rows of one 1. */
BUILD(take_along_axis) {
    int axis = (int)number(c, "axis"), ndim = swg_ndim(G, A);
    int64_t x_shape[SWG_MAX_DIMS], i_shape[SWG_MAX_DIMS], extent = swg_shape(G, A)[axis];
    swg_value counted[16];
    assert_true(extent <= 16);
    for (int64_t k = 0; k < extent; k++)
        counted[k] = swg_constant(G, (double)k);
    memcpy(x_shape, swg_shape(G, A), (size_t)axis * sizeof *x_shape);
    memcpy(i_shape, swg_shape(G, B), (size_t)(axis + 1) * sizeof *i_shape);
    x_shape[axis] = i_shape[axis + 1] = 1;
    memcpy(x_shape + axis + 1, swg_shape(G, A) + axis, (size_t)(ndim - axis) * sizeof *x_shape);
    memcpy(i_shape + axis + 2, swg_shape(G, B) + axis + 1, (size_t)(ndim - axis - 1) * sizeof *i_shape);
    int64_t column[SWG_MAX_DIMS];
    for (int i = 0; i <= ndim; i++)
        column[i] = i == axis + 1 ? extent : 1;
    swg_value numbers = swg_reshape(G, swg_concat(G, counted, (int)extent, 0), ndim + 1, column);
    swg_value hit = swg__ew(G, SWG__EQUAL, 0, 0, 2, swg_reshape(G, B, ndim + 1, i_shape), numbers, 0);
    return swg_sum(G, swg_mul(G, hit, swg_reshape(G, A, ndim + 1, x_shape)), 1u << (axis + 1));
}

BUILD(mse) { return swg_loss_mse(G, A, B); }
BUILD(l1) { return swg_loss_mae(G, A, B); }
BUILD(huber) { return swg_loss_huber(G, A, B, 1); }
BUILD(logcosh) { return swg_loss_logcosh(G, A, B); }
BUILD(relative) { return swg_loss_relative(G, A, B); }
BUILD(sliced_wasserstein) { return swg_loss_sliced_wasserstein_with(G, A, B, c->in[2]); }
BUILD(log_loss) {
    double scale = number(c, "scale");
    swg_value distance = swg_loss_sliced_wasserstein_with(G, c->in[2], c->in[3], c->in[4]);
    return swg_add(G, swg_loss_log(G, swg_loss_mse(G, A, B), scale),
                   swg_affine(G, swg_loss_log(G, distance, scale), number(c, "weight"), 0));
}

/* Cases by pattern; the first that fits. f32: allowed error of an element b is f32 * (|b| + min(1, largest of the tensor)). */
static const struct { const char *pattern; swg_value (*build)(op_case *); double f32; } rows[] = {
    {"gelu", build_gelu, 3e-6},
    {"relu", build_relu, 0},
    {"tanh", build_tanh, 4e-7},
    {"sigmoid", build_sigmoid, 4e-7},
    {"softplus", build_softplus, 5e-7},
    {"exp", build_exp, 4e-7},
    {"log", build_log, 4e-7},
    {"log1p", build_log1p, 5e-7},
    {"sqrt", build_sqrt, 3e-7},
    {"abs", build_abs, 0},
    {"square", build_square, 2e-7},
    {"clamp", build_clamp, 0},
    {"add_*", build_add, 8e-7},
    {"sub_*", build_sub, 8e-7},
    {"mul_*", build_mul, 8e-7},
    {"div_*", build_div, 2e-6},
    {"sum_*", build_sum, 5e-7},
    {"mean_*", build_mean, 5e-7},
    {"max_*", build_max, 2e-7},
    {"softmax", build_softmax, 2e-6},
    {"log_softmax", build_log_softmax, 2e-6},
    {"sort*", build_sort, 0},
    {"matmul_batched", build_matmul_batched, 1e-6},
    {"matmul_*", build_matmul, 1e-6},
    {"permute_*", build_permute, 0},
    {"sliced_wasserstein*", build_sliced_wasserstein, 2e-6},
    {"slice*", build_slice, 0},
    {"concat", build_concat, 0},
    {"pad*", build_pad, 3e-7},
    {"take_along_axis_*", build_take_along_axis, 5e-7},
    {"mse", build_mse, 5e-7},
    {"l1", build_l1, 5e-7},
    {"huber", build_huber, 5e-7},
    {"logcosh", build_logcosh, 1e-6},
    {"relative*", build_relative, 1e-6},
    {"log_loss", build_log_loss, 2e-6},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static int row_of(const char *name) {
    for (int i = 0; i < ROWS; i++)
        if (swg__glob(rows[i].pattern, name))
            return i;
    return -1;
}

/* ---- running a case ---- */

static swg_value input_of(swg_graph *g, const char *name, const swg_tensor *t) {
    return t->ndim ? swg_input(g, name, t->ndim, t->shape) : swg_input(g, name, 1, (int64_t[]){1}); /* one number is (1) here */
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion) {
    static const char *const ins[INPUTS] = {"in0", "in1", "in2", "in3", "in4"};
    static const char *const grads[INPUTS] = {"grad0", "grad1", "grad2", "grad3", "grad4"};
    op_case c = {.file = file, .name = name, .out = golden_find(file, name, "out")};
    const swg_tensor *w = golden_find(file, name, "w");
    swg_value asked[INPUTS], gradient[INPUTS], outputs[INPUTS + 1];
    int count = 0, row = row_of(name);
    assert_true(c.out && w);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &c.g));
    for (int i = 0; i < INPUTS && golden_find(file, name, ins[i]); i++) {
        c.in[i] = input_of(c.g, ins[i], golden_find(file, name, ins[i]));
        if (golden_find(file, name, grads[i]))
            asked[count++] = c.in[i];
    }
    swg_value weight = input_of(c.g, "w", w), out = rows[row].build(&c);
    out = swg_reshape(c.g, out, swg_ndim(c.g, weight), swg_shape(c.g, weight)); /* reduced axes are dropped there */
    swg_value loss = swg_sum(c.g, swg_mul(c.g, out, weight), 0);
    assert_true(count > 0);
    assert_ok(ctx, swg_gradients(c.g, loss, asked, count, gradient));
    outputs[0] = out;
    memcpy(outputs + 1, gradient, sizeof gradient);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < INPUTS && c.in[i]; i++)
        if (swg_plan_data(plan, c.in[i])) /* NULL: neither value nor gradients depend on it */
            fill(swg_plan_data(plan, c.in[i]), dtype, golden_find(file, name, ins[i]));
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    double tolerance = dtype == SWG_F64 ? 1e-12 : rows[row].f32;
    golden_close(c.name, "value", c.out, swg_plan_data(plan, out), dtype, tolerance);
    for (int i = 0, k = 0; i < INPUTS && c.in[i]; i++)
        if (golden_find(file, name, grads[i]))
            golden_close(c.name, grads[i], golden_find(file, name, grads[i]), swg_plan_data(plan, gradient[k++]), dtype, tolerance);
    swg_plan_destroy(plan);
    swg_graph_destroy(c.g);
}

/* Calls fn for every name in the metadata "cases"; returns how many there were. */
static int each_case(const swg_safetensors *file, void (*fn)(void *arg, const char *name), void *arg) {
    const char *text = swg_safetensors_note(file, "cases");
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++)
        fn(arg, name);
    return count;
}

typedef struct all { swg_context *ctx; const swg_safetensors *file; bool used[ROWS]; } all;

static void check_case(void *arg, const char *name) {
    all *a = arg;
    if (swg__glob("clip_*", name)) /* see clipping */
        return;
    int row = row_of(name);
    if (row < 0)
        fail_msg("case \"%s\" of the file is not tested", name);
    a->used[row] = true;
    for (int kind = 0; kind < 4; kind++)
        check(a->ctx, a->file, name, kind & 1 ? SWG_F32 : SWG_F64, kind & 2);
}

static void operations(void **state) {
    all a = {.ctx = *state};
    swg_safetensors *file = golden_open(a.ctx, "ops.safetensors");
    a.file = file;
    int count = each_case(file, check_case, &a);
    assert_int_equal(count, 79);
    for (int i = 0; i < ROWS; i++)
        if (!a.used[i])
            fail_msg("no case of the file is \"%s\"", rows[i].pattern);
    swg_safetensors_close(file);
}

/* Gradients given by a loss that is linear in the parameters; beta1 = 0 leaves the clipped gradient in the first moment. */
static void clip(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype) {
    op_case c = {.file = file, .name = name};
    static const char *const ins[2] = {"in0", "in1"}, *const outs[2] = {"out0", "out1"};
    swg_value loss = SWG_NONE;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &c.g));
    swg_value hyper = swg_input(c.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    for (int i = 0; i < 2; i++) {
        const swg_tensor *t = golden_find(file, name, ins[i]);
        c.in[i] = input_of(c.g, ins[i], t);
        swg_value p = swg_param(c.g, outs[i], t->ndim, t->shape, (swg_init){0});
        swg_value part = swg_reshape(c.g, swg_sum(c.g, swg_mul(c.g, p, c.in[i]), 0), 1, (int64_t[]){1});
        loss = loss ? swg_add(c.g, loss, part) : part;
    }
    swg_value norm = swg_adam(c.g, loss, hyper, &(swg_adam_opts){.clip = true});
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(c.g, true, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = 0, .beta2 = .999, .eps = 1e-8, .clip_norm = number(&c, "max_norm"), .grad_scale = 1},
                   &b1, &b2, dtype, swg_plan_data(plan, hyper));
    for (int i = 0; i < 2; i++)
        fill(swg_plan_data(plan, c.in[i]), dtype, golden_find(file, name, ins[i]));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    double tolerance = dtype == SWG_F64 ? 1e-12 : 2e-7;
    golden_close(c.name, "norm", golden_find(file, name, "out"), swg_plan_data(plan, norm), dtype, tolerance);
    for (int i = 0; i < 2; i++)
        golden_close(c.name, outs[i], golden_find(file, name, outs[i]), swg_weights_moment1(weights, i), dtype, tolerance);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(c.g);
}

static void clip_case(void *arg, const char *name) {
    all *a = arg;
    if (!swg__glob("clip_*", name))
        return;
    a->used[0] = true;
    clip(a->ctx, a->file, name, SWG_F64);
    clip(a->ctx, a->file, name, SWG_F32);
}

static void clipping(void **state) {
    all a = {.ctx = *state};
    swg_safetensors *file = golden_open(a.ctx, "ops.safetensors");
    a.file = file;
    each_case(file, clip_case, &a);
    assert_true(a.used[0]);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operations, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(clipping, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
