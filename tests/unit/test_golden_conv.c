/* test_golden_conv.c - proves: convolutions and transposed convolutions have the values and gradients that PyTorch computes in f64
 * (tests/golden/conv.safetensors), in f64 to 1e-12 and in f32 to its rounding, channels-first and channels-last.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "ir/ir.h"
#include "swage/plan.h"

enum { INPUTS = 3 };

static int64_t numbers(const swg_safetensors *file, const char *name, const char *key, int64_t out[3]) {
    char path[96];
    snprintf(path, sizeof path, "%s.%s", name, key);
    const char *text = swg_safetensors_note(file, path);
    if (!text)
        fail_msg("%s is missing", path);
    char *end = NULL;
    for (int i = 0; i < 3 && *text; i++, text = *end == ',' ? end + 1 : end)
        out[i] = strtoll(text, &end, 10);
    return out[0];
}

static swg_value with_channels(swg_graph *g, swg_value x, bool last) {
    int ndim = swg_ndim(g, x), axes[SWG_MAX_DIMS] = {0};
    for (int i = 1; i < ndim; i++)
        axes[i] = last ? (i < ndim - 1 ? i + 1 : 1) : (i > 1 ? i - 1 : ndim - 1);
    return swg_permute(g, x, axes);
}

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : 1e-6);
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion, bool last) {
    static const char *const ins[INPUTS] = {"in0", "in1", "in2"}, *const grads[INPUTS] = {"grad0", "grad1", "grad2"};
    swg_graph *g;
    swg_value in[INPUTS] = {0}, outputs[INPUTS + 1];
    int count = 0;
    int64_t transposed[3], groups[3];
    swg_conv_opts opts = {.channels_last = last};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    for (; count < INPUTS && golden_find(file, name, ins[count]); count++) {
        const swg_tensor *t = golden_find(file, name, ins[count]);
        in[count] = swg_input(g, ins[count], t->ndim, t->shape);
    }
    assert_true(count >= 2);
    numbers(file, name, "stride", opts.stride);
    numbers(file, name, "padding", opts.padding);
    numbers(file, name, "dilation", opts.dilation);
    numbers(file, name, "output_padding", opts.output_padding);
    opts.groups = numbers(file, name, "groups", groups);
    swg_value x = last ? with_channels(g, in[0], true) : in[0];
    swg_value y = (numbers(file, name, "transposed", transposed) ? swg_convolution_transpose : swg_convolution)(g, x, in[1], in[2], &opts);
    outputs[0] = y = last ? with_channels(g, y, false) : y;
    const swg_tensor *out = golden_find(file, name, "out"), *w = golden_find(file, name, "w");
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, y), out->ndim);
    assert_memory_equal(swg_shape(g, y), out->shape, (size_t)out->ndim * sizeof(int64_t));
    swg_value weight = swg_input(g, "w", w->ndim, w->shape);
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, y, weight), 0), in, count, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < count; i++)
        fill(swg_plan_data(plan, in[i]), dtype, golden_find(file, name, ins[i]));
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, y), dtype);
    for (int i = 0; i < count; i++)
        compare(name, grads[i], golden_find(file, name, grads[i]), swg_plan_data(plan, outputs[i + 1]), dtype);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void convolutions(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "conv.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++) {
        for (int kind = 0; kind < 8; kind++)
            check(ctx, file, name, kind & 1 ? SWG_F32 : SWG_F64, kind & 2, kind & 4);
    }
    assert_int_equal(count, 11);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(convolutions, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
