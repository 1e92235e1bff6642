/* test_golden_kan.c - proves: Kolmogorov-Arnold layers have the values and gradients of their definition, patches and recursion in
 * PyTorch in f64 (tests/golden/kan.safetensors), in either layout, and the answers of kan.md, section 10; nonsense is named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { NUMBERS = 7, PARAMS = 3 };
enum { INTERVALS, ORDER, PUBLISHED, KERNEL, STRIDE, PADDING, DILATION };

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : 1e-5);
}

/* A layer on x. n: the numbers of its case. */
static swg_value build(swg_graph *g, swg_value x, const int64_t n[NUMBERS], int64_t out, swg_kan_scaler scaler, bool last) {
    const swg_kan_opts opts = {.intervals = n[INTERVALS], .order = n[ORDER], .scaler = scaler, .conv_then_silu = n[PUBLISHED] != 0};
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
    int64_t results = golden_find(file, name, "base_weight")->shape[0];
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value x = swg_input(g, "x", in->ndim, in->shape), weight = swg_input(g, "w", w->ndim, w->shape);
    swg_value of[1 + PARAMS] = {x}, outputs[2 + PARAMS];
    outputs[0] = build(g, x, numbers, results, !scaler ? SWG_KAN_NO_SCALER : scaler->ndim == 1 ? SWG_KAN_CHANNEL : SWG_KAN_EDGE, last);
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, outputs[0]), out->ndim);
    assert_memory_equal(swg_shape(g, outputs[0]), out->shape, (size_t)out->ndim * sizeof(int64_t));
    int count;
    const swg_value *params = swg_params_of(g, &count);
    assert_int_equal(count, scaler ? 3 : 2);
    memcpy(of + 1, params, (size_t)count * sizeof *params);
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, outputs[0], weight), 0), of, 1 + count, outputs + 1));
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2 + count}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    for (int i = 0; i < count; i++)
        fill(swg_weights_value(weights, i), dtype, golden_find(file, name, swg_weights_name(weights, i) + strlen("kan.")));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill(swg_plan_data(plan, x), dtype, in);
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, outputs[0]), dtype);
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
    assert_int_equal(count, 7);
    swg_safetensors_close(file);
}

/* One layer 3/2 on given numbers; parameters in order. */
static void answer(swg_context *ctx, bool convolution, bool published, const double *x, const double *const params[PARAMS], double *y) {
    static const int64_t image[4] = {1, 1, 2, 2}, pair[2] = {1, 2};
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    swg_value in = convolution ? swg_input(g, "x", 4, image) : swg_input(g, "x", 2, pair);
    const int64_t numbers[NUMBERS] = {3, 2, published, convolution ? 3 : 0, 1, 1, 1};
    swg_value out = build(g, in, numbers, 1, SWG_KAN_EDGE, false);
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &out, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    int count;
    const swg_value *all = swg_params_of(g, &count);
    assert_int_equal(count, PARAMS);
    for (int i = 0; i < PARAMS; i++)
        memcpy(swg_weights_value(weights, i), params[i], (size_t)swg_elements(g, all[i]) * sizeof(double));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    memcpy(swg_plan_data(plan, in), x, (size_t)swg_elements(g, in) * sizeof(double));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    memcpy(y, swg_plan_data(plan, out), (size_t)swg_elements(g, out) * sizeof(double));
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void known_answers(void **state) {
    static const double x[2] = {.3, -.9}, base[2] = {.5, -.25}, scaler[2] = {1.5, .8};
    static const double c[10] = {.1, -.2, .3, .4, -.5, .05, .15, -.25, .35, .45};
    double y;
    answer(*state, false, false, x, (const double *const[]){base, c, scaler}, &y);
    assert_close(y, .755452739431, 0, 1e-11);
    static const double image[4] = {.3, -.9, 0, .5}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double want[2][4] = {{.403977321477, .339635624176, .360577229575, .0626105322738},
                                      {.363521953478, .327095686212, .404017012322, .134114476802}};
    double wb[9], ck[45], got[4];
    for (int k = 0; k < 9; k++) {
        wb[k] = (k - 4) / 10.;
        for (int j = 0; j < 5; j++)
            ck[k * 5 + j] = ((3 * k + 5 * j) % 7 - 3) / 10.;
    }
    for (int published = 0; published < 2; published++) {
        answer(*state, true, published, image, (const double *const[]){wb, ck, ones}, got);
        for (int i = 0; i < 4; i++)
            assert_close(got[i], want[published][i], 0, 2e-11);
    }
}

/* Counts of kan.md, section 3.3, and messages. */
static void sizes_and_refusals(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_kan_opts opts; int64_t kernel, parameters; } table[] = {
        {{.intervals = 3, .order = 2}, 3, 258048},
        {{0}, 3, 368640},
        {{.scaler = SWG_KAN_CHANNEL}, 3, 331840},
        {{0}, 5, 1024000},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_kan_conv(g, swg_input(g, "x", 4, (int64_t[]){1, 64, 8, 8}), 64, table[i].kernel, &table[i].opts, NULL, "kan");
        assert_ok(ctx, swg_graph_status(g));
        assert_int_equal(swg_graph_parameters(g), table[i].parameters);
        swg_graph_destroy(g);
    }
    static const struct { int ndim; int64_t out; swg_conv_opts conv; swg_kan_opts opts; const char *message; } wrong[] = {
        {2, 1, {.groups = 1}, {0}, "kan_conv \"k\": input of 2 dimensions"},
        {4, 0, {.groups = 1}, {0}, "kan_conv \"k\": 0 results"},
        {4, 1, {.groups = 2}, {0}, "kan_conv \"k\": 2 groups"},
        {4, 1, {.padding = {-1}}, {0}, "padding -1 along spatial axis 0"},
        {4, 1, {.groups = 1}, {.order = 9}, "of order 9"},
        {4, 1, {.kernel = {9}}, {0}, "9"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", wrong[i].ndim, (int64_t[]){2, 2, 4, 4});
        swg_kan_conv(g, x, wrong[i].out, 3, &wrong[i].opts, &wrong[i].conv, "k");
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), wrong[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_pytorch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sizes_and_refusals, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
