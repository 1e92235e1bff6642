/* test_golden_spline.c - proves: B-spline bases have the values and gradients of the recursion in PyTorch in f64
 * (tests/golden/spline.safetensors) and those of kan.md, section 3.3; they add to 1 inside of the grid and fade outside; NaN and
 * infinities do as specified; nonsense is named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/plan.h"

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : 4e-6);
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype) {
    char note[96];
    snprintf(note, sizeof note, "%s.numbers", name);
    char *text = (char *)(uintptr_t)swg_safetensors_note(file, note);
    assert_non_null(text);
    swg_spline_opts opts = {.intervals = strtoll(text, &text, 10), .order = strtoll(text + 1, &text, 10)};
    opts.low = strtod(text + 1, &text);
    opts.high = strtod(text + 1, NULL);
    const swg_tensor *in = golden_find(file, name, "in"), *out = golden_find(file, name, "out"), *w = golden_find(file, name, "w");
    const swg_tensor *knots = golden_find(file, name, "knots");
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value x = swg_input(g, "x", in->ndim, in->shape), weight = swg_input(g, "w", w->ndim, w->shape), outputs[2];
    opts.knots = knots ? swg_input(g, "knots", knots->ndim, knots->shape) : SWG_NONE;
    outputs[0] = swg_spline_basis(g, x, &opts);
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, outputs[0]), out->ndim);
    assert_memory_equal(swg_shape(g, outputs[0]), out->shape, (size_t)out->ndim * sizeof(int64_t));
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, outputs[0], weight), 0), &x, 1, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    fill(swg_plan_data(plan, x), dtype, in);
    fill(swg_plan_data(plan, weight), dtype, w);
    if (knots)
        fill(swg_plan_data(plan, opts.knots), dtype, knots);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, outputs[0]), dtype);
    compare(name, "gradient", golden_find(file, name, "grad"), swg_plan_data(plan, outputs[1]), dtype);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void against_pytorch(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "spline.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++) {
        check(ctx, file, name, SWG_F64);
        check(ctx, file, name, SWG_F32);
    }
    assert_int_equal(count, 6);
    swg_safetensors_close(file);
}

/* Bases of x (n) into out (n, intervals + order), and the slope of their sum into `slope`. */
static void bases_of(swg_context *ctx, swg_dtype dtype, int64_t n, const double *x, const swg_spline_opts *opts, double *out, double *slope) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value in = swg_input(g, "x", 1, &n), outputs[2] = {swg_spline_basis(g, in, opts)};
    assert_ok(ctx, swg_gradients(g, swg_sum(g, outputs[0], 0), &in, 1, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int64_t i = 0; i < n; i++)
        set_element(swg_plan_data(plan, in), dtype, i, x[i]);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int64_t i = 0; i < swg_elements(g, outputs[0]); i++)
        out[i] = element(swg_plan_data(plan, outputs[0]), dtype, i);
    for (int64_t i = 0; i < n; i++)
        slope[i] = element(swg_plan_data(plan, outputs[1]), dtype, i);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* kan.md: B(0) of three grids. */
static void known_answers(void **state) {
    static const struct { int64_t intervals, order; double want[8]; } table[] = {
        {3, 2, {0, .125, .75, .125, 0}},
        {5, 3, {0, 0, 1 / 48., 23 / 48., 23 / 48., 1 / 48., 0, 0}},
        {2, 1, {0, 1, 0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int kind = 0; kind < 2; kind++) {
            double out[8], slope, x = 0;
            bases_of(*state, kind ? SWG_F32 : SWG_F64, 1, &x, &(swg_spline_opts){.intervals = table[i].intervals, .order = table[i].order}, out,
                     &slope);
            for (int64_t j = 0; j < table[i].intervals + table[i].order; j++)
                assert_close(out[j], table[i].want[j], kind ? 1e-6 : 1e-14, 0);
        }
}

/* 1 inside, 0 from 2.2 on, NaN only of NaN. */
static void sums_and_ends(void **state) {
    enum { N = 9, BASES = 8 };
    static const double x[N] = {-.999, -.3, .61, .999, -2.21, 2.21, INFINITY, -INFINITY, NAN};
    for (int kind = 0; kind < 2; kind++) {
        double out[N * BASES], slope[N];
        bases_of(*state, kind ? SWG_F32 : SWG_F64, N, x, NULL, out, slope);
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int j = 0; j < BASES; j++)
                sum += out[i * BASES + j];
            if (i == N - 1) {
                assert_true(isnan(out[i * BASES]) && isnan(out[i * BASES + BASES - 1]) && isnan(slope[i]));
                continue;
            }
            assert_close(sum, i < 4, kind ? 1e-6 : 1e-14, 0);
            assert_close(slope[i], 0, kind ? 1e-5 : 1e-13, 0);
        }
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_spline_opts opts; int64_t knots; int ndim; const char *message; } table[] = {
        {{.order = 8}, 0, 1, "of order 8"},
        {{.intervals = -1}, 0, 1, "spline_basis: -1 intervals"},
        {{.low = 1, .high = -1}, 0, 1, "over [1, -1]"},
        {{.order = 3}, 7, 1, "be 8 or more for order 3"},
        {{0}, 0, 6, "6 axes leave no room"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", table[i].ndim, (int64_t[]){2, 2, 2, 2, 2, 2});
        swg_spline_opts opts = table[i].opts;
        opts.knots = table[i].knots ? swg_input(g, "knots", 1, &table[i].knots) : SWG_NONE;
        assert_int_equal(swg_spline_basis(g, x, &opts), SWG_NONE);
        if (!strstr(swg_context_message(ctx), table[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_pytorch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sums_and_ends, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
