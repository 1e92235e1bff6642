/* test_golden_kan.c - proves: Kolmogorov-Arnold layers of every basis, scaler and order of the base, on uniform and given knots, have the
 * values, penalties and gradients of their definition, patches and recursion in PyTorch in f64 (tests/golden/kan.safetensors), in either
 * layout.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { NUMBERS = 9, PARAMS = 5 };
enum { INTERVALS, ORDER, PUBLISHED, KERNEL, STRIDE, PADDING, DILATION, BASIS, RESULTS };

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : 1e-5);
}

/* A layer on x. n: the numbers of its case. */
static swg_value build(swg_graph *g, swg_value x, const int64_t n[NUMBERS], swg_kan_scaler scaler, bool adaptive, bool last) {
    const int64_t out = n[RESULTS];
    const swg_kan_opts opts = {.basis = (swg_kan_basis)n[BASIS], .intervals = n[INTERVALS], .order = n[ORDER], .scaler = scaler,
                               .conv_then_silu = n[PUBLISHED] != 0, .adaptive = adaptive};
    if (n[KERNEL] == 0)
        return swg_kan_linear(g, x, out, &opts, "kan");
    const swg_conv_opts conv = {.stride = {n[STRIDE], n[STRIDE]}, .padding = {n[PADDING], n[PADDING]}, .dilation = {n[DILATION], n[DILATION]},
                                .channels_last = last};
    if (!last)
        return swg_kan_conv(g, x, out, n[KERNEL], &opts, &conv, "kan");
    return swg_permute(g, swg_kan_conv(g, swg_permute(g, x, (int[]){0, 2, 3, 1}), out, n[KERNEL], &opts, &conv, "kan"), (int[]){0, 3, 1, 2});
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool last) {
    char note[96];
    int64_t numbers[NUMBERS];
    snprintf(note, sizeof note, "%s.numbers", name);
    char *text = (char *)(uintptr_t)swg_safetensors_note(file, note);
    assert_non_null(text);
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = strtoll(text + (i > 0), &text, 10);
    const swg_tensor *in = golden_find(file, name, "in"), *out = golden_find(file, name, "out"), *w = golden_find(file, name, "w");
    const swg_tensor *scaler = golden_find(file, name, "spline_scaler");
    const swg_tensor *knots = golden_find(file, name, "knots"), *loss = golden_find(file, name, "loss");
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value x = swg_input(g, "x", in->ndim, in->shape), weight = swg_input(g, "w", w->ndim, w->shape);
    swg_value of[1 + PARAMS] = {x}, outputs[3 + PARAMS];
    outputs[0] = build(g, x, numbers, !scaler ? SWG_KAN_NO_SCALER : scaler->ndim == 1 ? SWG_KAN_CHANNEL : SWG_KAN_EDGE, knots != NULL, last);
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, outputs[0]), out->ndim);
    assert_memory_equal(swg_shape(g, outputs[0]), out->shape, (size_t)out->ndim * sizeof(int64_t));
    int count;
    const swg_value *params = swg_params_of(g, &count);
    assert_int_equal(count, numbers[BASIS] == SWG_KAN_RBF ? 5 : numbers[BASIS] == SWG_KAN_CHEB ? 1 : scaler ? 3 : 2);
    memcpy(of + 1, params, (size_t)count * sizeof *params);
    swg_value sum = swg_reshape(g, swg_sum(g, swg_mul(g, outputs[0], weight), 0), 1, (int64_t[]){1});
    sum = outputs[2 + count] = swg_add(g, sum, swg_loss_kan(g, NULL, 0, .3, .7, NULL));
    assert_ok(ctx, swg_gradients(g, sum, of, 1 + count, outputs + 1));
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 3 + count}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    for (int i = 0; i < count; i++)
        fill(swg_weights_value(weights, i), dtype, golden_find(file, name, swg_weights_name(weights, i) + strlen("kan.")));
    if (knots)
        fill(swg_weights_state(weights, 0), dtype, knots);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill(swg_plan_data(plan, x), dtype, in);
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, outputs[0]), dtype);
    compare(name, "loss", loss, swg_plan_data(plan, outputs[2 + count]), dtype);
    compare(name, "gradient", golden_find(file, name, "grad"), swg_plan_data(plan, outputs[1]), dtype);
    for (int i = 0; i < count; i++) {
        char field[64];
        snprintf(field, sizeof field, "grad_%s", swg_weights_name(weights, i) + strlen("kan."));
        compare(name, field, golden_find(file, name, field), swg_plan_data(plan, outputs[2 + i]), dtype);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void against_pytorch(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "kan.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++) {
        for (int last = 0; last < 2; last++) {
            check(ctx, file, name, SWG_F64, last);
            check(ctx, file, name, SWG_F32, last);
        }
    }
    assert_int_equal(count, 14);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_pytorch, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
