/* test_kan_grid.c - grids that follow their inputs (kan.md, section 4): known knots; new coefficients are the least-squares ones and
 * twice is once; scalers; what keeps its grid; any number of threads gives the same bits; nothing changes on an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kan_testing.h"

enum { ROWS = 400, IN = 3, OUTS = 2, G = 5, P = 3, J = G + P, KNOTS = G + 2 * P + 1 };

static void known_knots(void **state) {
    static const double batch[8] = {.2, -.8, 1.3, -.1, .7, -.5, 0, .4};
    static const double want[8] = {-2.21353333333333, -1.50686666666667, -.8002, -.100066666666667, .208066666666667, 1.3002, 2.00686666666667,
                                   2.71353333333333};
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value y = swg_kan_linear(r.g, swg_input(r.g, "x", 2, (int64_t[]){8, 1}), 2, &(swg_kan_opts){.intervals = 3, .order = 2, .adaptive = true}, "kan");
    kan_open(&r, &y, 1);
    const double *knots = kan_weight(&r, "kan.knots");
    for (int i = 0; i < 8; i++)
        assert_close(knots[i], (2 * i - 7) / 3., 0, 1e-14); /* as the uniform grid at the start */
    swg_kan_update report;
    assert_ok(*state, swg_kan_update_grid(r.w, "kan", batch, 8, 1, &report));
    for (int i = 0; i < 8; i++)
        assert_close(knots[i], want[i], 0, 1e-11);
    assert_int_equal(report.moved, 1);
    assert_int_equal(report.kept, 0);
    kan_close(&r);
}

/* A layer on one batch: its splines alone (no base), its inputs, and the bases on the knots that it has now. */
typedef struct layer { kan_rig r; swg_value x, y, bases; double batch[ROWS * IN]; } layer;

static void open_layer(swg_context *ctx, layer *l, swg_dtype dtype, swg_kan_scaler scaler) {
    l->r = kan_begin(ctx, dtype);
    l->x = swg_input(l->r.g, "x", 2, (int64_t[]){ROWS, IN});
    l->y = swg_kan_linear(l->r.g, l->x, OUTS, &(swg_kan_opts){.adaptive = true, .scaler = scaler}, "net/kan");
    swg_value knots = SWG_NONE;
    for (swg_value v = 1; v < (swg_value)swg_graph_nodes(l->r.g); v++) /* the state is the one value of this shape that is a leaf */
        if (!knots && swg_ndim(l->r.g, v) == 2 && swg_shape(l->r.g, v)[0] == IN && swg_shape(l->r.g, v)[1] == KNOTS)
            knots = v;
    l->bases = swg_spline_basis(l->r.g, l->x, &(swg_spline_opts){.knots = knots});
    kan_open(&l->r, (swg_value[]){l->y, l->bases}, 2);
    /* Features of a narrow, a wide and a constant distribution. */
    kan_numbers(l->batch, ROWS * IN, -1, 1, 9);
    for (int i = 0; i < ROWS; i++) {
        l->batch[i * IN] *= .3 * fabs(l->batch[i * IN]);
        l->batch[i * IN + 1] = 1.9 * l->batch[i * IN + 1] + .2;
        l->batch[i * IN + 2] = .75;
    }
    for (int i = 0; i < ROWS * IN && dtype == SWG_F32; i++)
        l->batch[i] = (double)(float)l->batch[i];
    double none[OUTS * IN] = {0}, c[OUTS * IN * J], s[OUTS * IN];
    kan_numbers(c, OUTS * IN * J, -1, 1, 4);
    kan_numbers(s, OUTS * IN, .5, 2, 6);
    kan_set(&l->r, "net.kan.base_weight", none, OUTS * IN);
    kan_set(&l->r, "net.kan.spline_weight", c, OUTS * IN * J);
    if (scaler != SWG_KAN_NO_SCALER)
        kan_set(&l->r, "net.kan.spline_scaler", s, scaler == SWG_KAN_EDGE ? OUTS * IN : OUTS);
    kan_put(&l->r, l->x, l->batch);
    kan_run(&l->r);
}

static swg_kan_update update(layer *l) {
    swg_kan_update report;
    assert_ok(l->r.ctx, swg_kan_update_grid(l->r.w, "net.kan", swg_plan_data(l->r.plan, l->x), ROWS, IN, &report));
    kan_run(&l->r);
    return report;
}

/* s c of an edge. */
static double coefficient(layer *l, int o, int in, int j, swg_kan_scaler scaler) {
    double c = element(kan_weight(&l->r, "net.kan.spline_weight"), l->r.dtype, (o * IN + in) * J + j);
    return scaler == SWG_KAN_NO_SCALER ? c : c * element(kan_weight(&l->r, "net.kan.spline_scaler"), l->r.dtype, scaler == SWG_KAN_EDGE ? o * IN + in : o);
}

/* Outputs of every edge, (ROWS, OUTS, IN). */
static void edges_of(layer *l, swg_kan_scaler scaler, double *out) {
    for (int i = 0; i < ROWS; i++)
        for (int e = 0; e < OUTS * IN; e++) {
            out[i * OUTS * IN + e] = 0;
            for (int j = 0; j < J; j++)
                out[i * OUTS * IN + e] += kan_get(&l->r, l->bases, (i * IN + e % IN) * J + j) * coefficient(l, e / IN, e % IN, j, scaler);
        }
}

/* The residual stands at right angles on all bases of the new grid; the report tells its size; the second time nothing moves. */
static void least_squares(void **state) {
    static double before[ROWS * OUTS * IN], after[ROWS * OUTS * IN], again[OUTS * IN * J];
    for (int narrow = 0; narrow < 2; narrow++)
        for (int scaler = 0; scaler < 3; scaler++) {
            layer l;
            double change = 0, size = 0, tolerance = narrow ? 1e-3 : 1e-9;
            open_layer(*state, &l, narrow ? SWG_F32 : SWG_F64, (swg_kan_scaler)scaler);
            edges_of(&l, (swg_kan_scaler)scaler, before);
            double constant_knots[KNOTS];
            for (int i = 0; i < KNOTS; i++)
                constant_knots[i] = element(kan_weight(&l.r, "net.kan.knots"), l.r.dtype, 2 * KNOTS + i);
            swg_kan_update report = update(&l);
            assert_int_equal(report.moved, 2);
            assert_int_equal(report.kept, 1);
            assert_int_equal(report.rescaled, 0);
            assert_int_equal(report.skipped, 0);
            for (int i = 0; i < KNOTS; i++)
                assert_true(constant_knots[i] == element(kan_weight(&l.r, "net.kan.knots"), l.r.dtype, 2 * KNOTS + i));
            edges_of(&l, (swg_kan_scaler)scaler, after);
            for (int e = 0; e < OUTS * IN; e++) {
                double moment[J] = {0};
                for (int i = 0; i < ROWS; i++) {
                    double gap = after[i * OUTS * IN + e] - before[i * OUTS * IN + e];
                    for (int j = 0; j < J; j++)
                        moment[j] += gap * kan_get(&l.r, l.bases, (i * IN + e % IN) * J + j);
                    change += e % IN < 2 ? gap * gap : 0;
                    size += e % IN < 2 ? before[i * OUTS * IN + e] * before[i * OUTS * IN + e] : 0;
                    if (e % IN == 2)
                        assert_true(fabs(gap) <= (narrow ? 1e-6 : 0));
                }
                for (int j = 0; j < J; j++)
                    assert_close(moment[j], 0, tolerance, 0);
            }
            assert_close(report.change, sqrt(change / (ROWS * OUTS * 2)), tolerance, 0);
            assert_close(report.size, sqrt(size / (ROWS * OUTS * 2)), tolerance, 0);
            assert_true(report.change > 0 && report.change < .5 * report.size);
            for (int i = 0; i < OUTS * IN * J; i++)
                again[i] = element(kan_weight(&l.r, "net.kan.spline_weight"), l.r.dtype, i);
            report = update(&l);
            assert_close(report.change, 0, narrow ? 1e-6 : 1e-7, 0); /* a difference of squares */
            for (int i = 0; i < OUTS * IN * J; i++)
                assert_close(element(kan_weight(&l.r, "net.kan.spline_weight"), l.r.dtype, i), again[i], narrow ? 1e-4 : 1e-9, 0);
            kan_close(&l.r);
        }
}

/* Other grids: a straight line, which every order can make, stays one, whatever the grid; twice is once. */
static void straight_lines(void **state) {
    static const int64_t grids[][2] = {{1, 1}, {2, 1}, {3, 2}, {1, 3}, {4, 5}, {7, 7}};
    for (size_t i = 0; i < sizeof grids / sizeof grids[0]; i++) {
        const int64_t intervals = grids[i][0], order = grids[i][1], bases = intervals + order;
        kan_rig r = kan_begin(*state, SWG_F64);
        swg_value x = swg_input(r.g, "x", 2, (int64_t[]){ROWS, 1}), y;
        y = swg_kan_linear(r.g, x, 1, &(swg_kan_opts){.intervals = intervals, .order = order, .adaptive = true}, "kan");
        kan_open(&r, &y, 1);
        double line[16], batch[ROWS], none = 0, scale = 2.5;
        for (int64_t j = 0; j < bases; j++) /* mean of the inner knots of basis j: the spline with these coefficients is x (Marsden 1970) */
            line[j] = -1 + ((double)j - .5 * ((double)order - 1)) * 2 / (double)intervals;
        kan_numbers(batch, ROWS, -1, 1, 21);
        for (int k = 0; k < ROWS; k++)
            batch[k] *= .9 * fabs(batch[k]);
        kan_set(&r, "kan.spline_weight", line, bases);
        kan_set(&r, "kan.base_weight", &none, 1);
        kan_set(&r, "kan.spline_scaler", &scale, 1);
        kan_put(&r, x, batch);
        for (int times = 0; times < 3; times++) {
            kan_run(&r);
            for (int k = 0; k < ROWS; k++)
                assert_close(kan_get(&r, y, k), scale * batch[k], 1e-6, 0);
            swg_kan_update report;
            assert_ok(*state, swg_kan_update_grid(r.w, "kan", batch, ROWS, 1, &report));
            assert_int_equal(report.moved, 1);
            assert_close(report.change, 0, 1e-6, 0);
            assert_close(*(double *)kan_weight(&r, "kan.spline_scaler"), scale, 0, 0);
        }
        kan_close(&r);
    }
}

/* A scaler of 0 or near it becomes 1, and the outputs stay what they were: next to nothing. */
static void small_scalers(void **state) {
    static double before[ROWS * OUTS * IN], after[ROWS * OUTS * IN];
    for (int scaler = 0; scaler < 2; scaler++) {
        layer l;
        open_layer(*state, &l, SWG_F64, (swg_kan_scaler)scaler);
        double *s = kan_weight(&l.r, "net.kan.spline_scaler");
        s[0] = 0;
        s[1] = -9e-9;
        edges_of(&l, (swg_kan_scaler)scaler, before);
        swg_kan_update report = update(&l);
        assert_int_equal(report.rescaled, 2);
        assert_true(s[0] == 1 && s[1] == 1);
        edges_of(&l, (swg_kan_scaler)scaler, after);
        for (int i = 0; i < ROWS * OUTS * IN; i++)
            if (scaler || i % (OUTS * IN) < 2)
                assert_close(after[i], before[i], 1e-8, 0);
        kan_close(&l.r);
    }
}

/* Values that are no numbers do not count; a feature of nothing else keeps its grid, as one whose knots would not differ in f32. */
static void odd_batches(void **state) {
    layer l;
    open_layer(*state, &l, SWG_F32, SWG_KAN_EDGE);
    float *x = swg_plan_data(l.r.plan, l.x);
    for (int i = 0; i < ROWS; i++) {
        x[i * IN] = i % 5 == 0 ? NAN : x[i * IN];
        x[i * IN + 1] = i % 2 ? INFINITY : NAN;
        x[i * IN + 2] = 1e9f + (i == 7 ? 64.f : 0);
    }
    swg_kan_update report = update(&l);
    assert_int_equal(report.moved, 1);
    assert_int_equal(report.kept, 2);
    assert_int_equal(report.skipped, ROWS / 5 + ROWS);
    const float *knots = kan_weight(&l.r, "net.kan.knots");
    for (int i = 0; i < IN * KNOTS; i++)
        assert_true(isfinite(knots[i]));
    assert_true(fabsf(knots[P]) < .31f && fabsf(knots[KNOTS + P] + 1) < 1e-6f && fabsf(knots[2 * KNOTS + P] + 1) < 1e-6f);
    kan_close(&l.r);
}

/* One row, and two: there is less to fit than there are coefficients. */
static void short_batches(void **state) {
    for (int64_t rows = 1; rows <= 2; rows++) {
        layer l;
        open_layer(*state, &l, SWG_F64, SWG_KAN_EDGE);
        swg_kan_update report;
        assert_ok(*state, swg_kan_update_grid(l.r.w, "net.kan", l.batch, rows, IN, &report));
        assert_int_equal(report.moved, rows == 1 ? 0 : 2);
        assert_close(report.change, 0, 1e-9, 0);
        const double *c = kan_weight(&l.r, "net.kan.spline_weight");
        for (int i = 0; i < OUTS * IN * J; i++)
            assert_true(fabs(c[i]) < 10);
        kan_close(&l.r);
    }
}

/* Before any update the layer is the one on the uniform grid. */
static void starts_uniform(void **state) {
    for (int narrow = 0; narrow < 2; narrow++) {
        double x[2 * 5 * 6];
        swg_value in[2], out[2][2];
        kan_rig r[2];
        kan_numbers(x, 2 * 5 * 6, -2.5, 2.5, 8);
        for (int adaptive = 0; adaptive < 2; adaptive++) {
            r[adaptive] = kan_begin(*state, narrow ? SWG_F32 : SWG_F64);
            swg_graph *g = r[adaptive].g;
            in[adaptive] = swg_input(g, "x", 4, (int64_t[]){1, 2, 5, 6});
            out[adaptive][0] = swg_kan_conv(g, in[adaptive], 4, 3, &(swg_kan_opts){.adaptive = adaptive}, &(swg_conv_opts){.padding = {1, 1}}, "kan");
            assert_ok(*state, swg_gradients(g, swg_sum(g, swg_square(g, out[adaptive][0]), 0), &in[adaptive], 1, &out[adaptive][1]));
            kan_open(&r[adaptive], out[adaptive], 2);
            kan_put(&r[adaptive], in[adaptive], x);
            kan_run(&r[adaptive]);
        }
        for (int k = 0; k < 2; k++)
            for (int64_t i = 0; i < swg_elements(r[0].g, out[0][k]); i++)
                assert_close(kan_get(&r[1], out[1][k], i), kan_get(&r[0], out[0][k], i), narrow ? 2e-5 : 1e-12, 0);
        kan_close(&r[0]);
        kan_close(&r[1]);
    }
}

/* What a trainer does: read a layer's inputs, padding included, move its grid, go on. One thread and three give the same bits. */
static void convolution_goes_on(void **state) {
    (void)state;
    enum { C = 6, O = 4, SIDE = 12, N = 2 * C * SIDE * SIDE };
    static double x[N];
    static float first[O * C * 9 * J], second[O * C * 9 * J];
    kan_numbers(x, N, -.8, 2, 2);
    for (int threads = 1; threads <= 3; threads += 2) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        swg_kan_parts parts;
        kan_rig r = kan_begin(ctx, SWG_F32);
        swg_value in = swg_input(r.g, "x", 4, (int64_t[]){2, C, SIDE, SIDE}), out[3];
        out[0] = swg_kan_conv(r.g, in, O, 3, &(swg_kan_opts){.adaptive = true, .scaler = SWG_KAN_CHANNEL, .parts = &parts},
                              &(swg_conv_opts){.padding = {1, 1}}, "kan");
        out[1] = parts.inputs;
        out[2] = parts.outside;
        kan_open(&r, out, 3);
        double c[O * C * 9 * J]; /* smooth curves, which any grid can follow */
        for (int i = 0; i < O * C * 9 * J; i++)
            c[i] = sin(.7 * (i % J) + i / J) * .1;
        kan_set(&r, "kan.spline_weight", c, O * C * 9 * J);
        kan_put(&r, in, x);
        kan_run(&r);
        assert_true(kan_get(&r, out[2], 0) > .2);
        int64_t n = swg_elements(r.g, out[0]);
        double *before = malloc((size_t)n * sizeof *before), most = 0;
        for (int64_t i = 0; i < n; i++)
            before[i] = kan_get(&r, out[0], i);
        swg_kan_update report;
        assert_ok(ctx, swg_kan_update_grid(r.w, "kan", swg_plan_data(r.plan, parts.inputs), swg_shape(r.g, parts.inputs)[0], C, &report));
        assert_int_equal(report.moved, C);
        kan_run(&r);
        assert_true(kan_get(&r, out[2], 0) == 0);
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, fabs(kan_get(&r, out[0], i) - before[i]));
        assert_true(most < 20 * report.change * sqrt(C * 9.)); /* a sum of so many edges */
        assert_true(report.change < .15 * report.size);
        memcpy(threads == 1 ? first : second, kan_weight(&r, "kan.spline_weight"), sizeof first);
        free(before);
        kan_close(&r);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
    }
    assert_memory_equal(first, second, sizeof first);
}

/* Bases made again for the backward pass, from the same knots: the same bits. */
static void recomputed(void **state) {
    static const swg_recompute_policy kinds[2] = {SWG_RECOMPUTE_OFF, SWG_RECOMPUTE_BLOCKS};
    float gradient[2][2 * 3 * 8 * 8];
    for (int k = 0; k < 2; k++) {
        kan_rig r = kan_begin(*state, SWG_F32);
        swg_value x = swg_input(r.g, "x", 4, (int64_t[]){2, 3, 8, 8}), h = x, out;
        for (int i = 0; i < 2; i++)
            h = swg_kan_conv(r.g, h, 3, 3, &(swg_kan_opts){.adaptive = true}, &(swg_conv_opts){.padding = {1, 1}}, i ? "b" : "a");
        assert_ok(*state, swg_gradients(r.g, swg_sum(r.g, swg_square(r.g, h), 0), &x, 1, &out));
        assert_ok(*state, swg_plan_make(r.g, &(swg_plan_opts){.outputs = &out, .output_count = 1, .recompute = {.policy = kinds[k]}}, &r.plan));
        assert_ok(*state, swg_weights_create(r.g, false, &r.w));
        swg_weights_init(r.w, 3);
        assert_ok(*state, swg_plan_open(r.plan, r.w, NULL));
        double values[2 * 3 * 8 * 8];
        kan_numbers(values, 2 * 3 * 8 * 8, -2, 2, 12);
        kan_put(&r, x, values);
        kan_run(&r);
        memcpy(gradient[k], swg_plan_data(r.plan, out), sizeof gradient[k]);
        kan_close(&r);
    }
    assert_memory_equal(gradient[0], gradient[1], sizeof gradient[0]);
}

static void refused(void **state) {
    static const struct { const char *layer; int64_t rows, features; const char *message; } table[] = {
        {"net.kan", 0, IN, "0 rows of 3 inputs"},
        {"net.kan", ROWS, IN + 1, "layer \"net.kan\", 4 features: the layer has another number of features"},
        {"kan", ROWS, IN, "there is no such layer"},
        {"net.ka", ROWS, IN, "there is no such layer"},
        {"fixed", ROWS, IN, "not adaptive"},
    };
    layer l;
    open_layer(*state, &l, SWG_F32, SWG_KAN_EDGE);
    float kept[OUTS * IN * J];
    memcpy(kept, kan_weight(&l.r, "net.kan.spline_weight"), sizeof kept);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bool fixed = strcmp(table[i].layer, "fixed") == 0;
        kan_rig r = kan_begin(*state, SWG_F32);
        swg_value y = swg_kan_linear(r.g, swg_input(r.g, "x", 2, (int64_t[]){1, IN}), 2, NULL, "fixed");
        kan_open(&r, &y, 1);
        assert_int_equal(swg_kan_update_grid(fixed ? r.w : l.r.w, table[i].layer, swg_plan_data(l.r.plan, l.x), table[i].rows, table[i].features, NULL),
                         SWG_EINVAL);
        if (!strstr(swg_context_message(*state), table[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(*state));
        kan_close(&r);
    }
    assert_memory_equal(kept, kan_weight(&l.r, "net.kan.spline_weight"), sizeof kept);
    kan_close(&l.r);
}

/* Every allocation fails once, of layers of all bases, their penalty and an update: no crash, no leak, and an update that fails has changed
 * nothing. */
static void memory_runs_out(void **state) {
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator memory = {.fail_at = n};
        swg_context *ctx;
        swg_graph *g = NULL;
        swg_plan *plan = NULL;
        swg_weights *weights = NULL;
        assert_true(n < 4000);
        if (swg_context_open(&(swg_context_opts){.threads = 2, .allocator = {testing_alloc, testing_release, &memory}}, &ctx) == SWG_OK) {
            if (swg_graph_create(ctx, NULL, &g) == SWG_OK) {
                swg_kan_parts parts = {0};
                swg_value x = swg_input(g, "x", 2, (int64_t[]){4, 3}), y;
                y = swg_kan_linear(g, x, 3, &(swg_kan_opts){.adaptive = true, .parts = &parts}, "a");
                y = swg_kan_linear(g, y, 3, &(swg_kan_opts){.basis = SWG_KAN_CHEB}, "b");
                y = swg_kan_linear(g, y, 2, &(swg_kan_opts){.basis = SWG_KAN_RBF}, "c");
                swg_value loss = swg_add(g, swg_loss_kan(g, NULL, 0, 1, 1, NULL), swg_reshape(g, swg_sum(g, y, 0), 1, (int64_t[]){1}));
                int count;
                swg_value out[16];
                const swg_value *params = swg_params_of(g, &count);
                if (swg_graph_status(g) == SWG_OK && swg_gradients(g, loss, params, count, out) == SWG_OK &&
                    swg_plan_make(g, &(swg_plan_opts){.outputs = out, .output_count = count}, &plan) == SWG_OK &&
                    swg_weights_create(g, false, &weights) == SWG_OK) {
                    swg_weights_init(weights, 1);
                    const float batch[12] = {.1f, .2f, .3f, -.4f, .5f, -.6f, .7f, -.8f, .9f, 1, -1.1f, 1.2f};
                    float kept[3 * 12];
                    memcpy(kept, swg_weights_state(weights, 0), sizeof kept);
                    done = swg_kan_update_grid(weights, "a", batch, 4, 3, NULL) == SWG_OK;
                    assert_true(done == (memcmp(kept, swg_weights_state(weights, 0), sizeof kept) != 0));
                    done = done && swg_plan_open(plan, weights, NULL) == SWG_OK && swg_plan_run(plan, 0, 0) == SWG_OK;
                }
            }
            swg_plan_destroy(plan);
            swg_weights_destroy(weights);
            swg_graph_destroy(g);
            swg_context_close(ctx);
        }
        assert_int_equal(memory.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_knots, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(least_squares, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(straight_lines, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(small_scalers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(odd_batches, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(short_batches, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(starts_uniform, testing_open, testing_close),
        cmocka_unit_test(convolution_goes_on),
        cmocka_unit_test_setup_teardown(recomputed, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
