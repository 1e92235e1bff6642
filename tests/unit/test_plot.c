/* test_plot.c - proves: the curve that is drawn of an edge is what its layer computes, for linear layers and convolutions, every scaler, uniform and
 * moved grids, both orders of the base; the strongest edges are those; what is no edge of the layer is refused. A run is drawn into the files that are
 * listed; memory that runs out anywhere is an error and nothing is lost.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kan_testing.h"
#include "swage/image.h"
#include "swage/plot.h"
#include "training.h"

enum { POINTS = 121, IN = 3, OUTS = 2, TAPS = 9 };
static const double far = -800; /* no base reaches it, and SiLU of it is -0 */

static void points(double *x) {
    for (int i = 0; i < POINTS; i++)
        x[i] = -3 + 6 * (i + .123) / POINTS;
}

/* Layer outputs with all inputs far but one, which walks over the points: phi of that edge. */
static void compare(kan_rig *r, swg_value x, swg_value y, int64_t inputs, int64_t taps, const swg_kan_opts *opts) {
    static double at[POINTS], in[POINTS * IN * TAPS], phi[POINTS], base[POINTS];
    points(at);
    for (int64_t i = 0; i < inputs; i++) {
        for (int64_t k = 0; k < POINTS * inputs; k++)
            in[k] = k % inputs == i ? at[k / inputs] : far;
        kan_put(r, x, in);
        kan_run(r);
        for (int o = 0; o < OUTS; o++) {
            double far_base = 0; /* of conv_then_silu, whose base is SiLU of a sum */
            assert_ok(r->ctx, swg_kan_curve(r->w, "net.kan", opts, taps, o, i, POINTS, at, phi, base));
            for (int p = 0; p < POINTS; p++) {
                if (opts->conv_then_silu) {
                    double sum = 0;
                    for (int64_t k = 0; k < inputs; k++)
                        sum += element(kan_weight(r, "net.kan.base_weight"), r->dtype, o * inputs + k) * in[p * inputs + k];
                    far_base = sum / (1 + exp(-sum));
                    assert_true(base[p] == 0);
                }
                double got = kan_get(r, y, p * OUTS + o), scale = r->dtype == SWG_F64 ? 1e-12 : 2e-6;
                assert_close(phi[p] + far_base, got, scale * (1 + fabs(far_base)), 0);
            }
        }
    }
}

static void set_numbers(kan_rig *r, int64_t inputs, int64_t bases, swg_kan_scaler scaler) {
    static double numbers[OUTS * IN * TAPS * 16];
    kan_numbers(numbers, OUTS * inputs * bases, -1, 1, 3);
    kan_set(r, "net.kan.spline_weight", numbers, OUTS * inputs * bases);
    kan_numbers(numbers, OUTS * inputs, -1, 1, 5);
    kan_set(r, "net.kan.base_weight", numbers, OUTS * inputs);
    kan_numbers(numbers, OUTS * inputs, .5, 2, 8);
    if (scaler != SWG_KAN_NO_SCALER)
        kan_set(r, "net.kan.spline_scaler", numbers, scaler == SWG_KAN_EDGE ? OUTS * inputs : OUTS);
}

static void linear_curves(void **state) {
    static const struct { int64_t intervals, order; double low, high; } grids[] = {{5, 3, 0, 0}, {3, 2, -2, 1}, {2, 1, -.5, .75}};
    for (int wide = 0; wide < 2; wide++)
        for (int scaler = 0; scaler < 3; scaler++)
            for (int last = 0; last < 2; last++)
                for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
                    const swg_kan_opts opts = {.intervals = grids[g].intervals, .order = grids[g].order, .low = grids[g].low, .high = grids[g].high,
                                               .scaler = (swg_kan_scaler)scaler, .conv_then_silu = last};
                    kan_rig r = kan_begin(*state, wide ? SWG_F64 : SWG_F32);
                    swg_value x = swg_input(r.g, "x", 2, (int64_t[]){POINTS, IN}), y = swg_kan_linear(r.g, x, OUTS, &opts, "net/kan");
                    kan_open(&r, &y, 1);
                    set_numbers(&r, IN, opts.intervals + opts.order, opts.scaler);
                    compare(&r, x, y, IN, 1, &opts);
                    kan_close(&r);
                }
}

/* Patches of a convolution without padding: one output pixel per image. */
static void convolution_curves(void **state) {
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value x = swg_input(r.g, "x", 4, (int64_t[]){POINTS, IN, 3, 3}), y = swg_kan_conv(r.g, x, OUTS, 3, NULL, NULL, "net/kan");
    kan_open(&r, &y, 1);
    set_numbers(&r, IN * TAPS, 8, SWG_KAN_EDGE);
    compare(&r, x, y, IN * TAPS, TAPS, &(swg_kan_opts){0});
    kan_close(&r);
}

/* Knots that an update has moved, others for every channel. */
static void moved_grid(void **state) {
    const swg_kan_opts opts = {.intervals = 4, .order = 2, .adaptive = true};
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value x = swg_input(r.g, "x", 2, (int64_t[]){POINTS, IN}), y = swg_kan_linear(r.g, x, OUTS, &opts, "net/kan");
    double batch[POINTS * IN], knots[2][16];
    swg_kan_edges edges;
    kan_open(&r, &y, 1);
    set_numbers(&r, IN, 6, SWG_KAN_EDGE);
    kan_numbers(batch, POINTS * IN, -1, 1, 11);
    for (int i = 0; i < POINTS * IN; i++)
        batch[i] *= 1 + .7 * (i % IN) + fabs(batch[i]);
    assert_ok(*state, swg_kan_update_grid(r.w, "net.kan", batch, POINTS, IN, NULL));
    assert_ok(*state, swg_kan_edges_of(r.w, "net.kan", &opts, 1, &edges));
    assert_int_equal(edges.outputs, OUTS);
    assert_int_equal(edges.inputs, IN);
    assert_int_equal(edges.intervals, 4);
    assert_int_equal(edges.knots, 9);
    assert_true(edges.adaptive);
    for (int i = 0; i < 2; i++)
        assert_ok(*state, swg_kan_knots_of(r.w, "net.kan", &opts, 1, i, knots[i]));
    for (int k = 0; k < 9; k++) {
        assert_true(knots[0][k] == element(kan_weight(&r, "net.kan.knots"), SWG_F64, k));
        assert_true(knots[0][k] != knots[1][k]);
    }
    compare(&r, x, y, IN, 1, &opts);
    kan_close(&r);
}

static void strongest(void **state) {
    kan_rig r = kan_begin(*state, SWG_F32);
    swg_value y = swg_kan_linear(r.g, swg_input(r.g, "x", 2, (int64_t[]){1, IN}), OUTS, NULL, "net/kan");
    static const double sizes[OUTS * IN] = {.5, -2, 0, .5, 3, -.25}; /* of all coefficients of an edge, signs in turn */
    double c[OUTS * IN * 8];
    swg_kan_edge edges[8];
    swg_kan_edges about;
    int64_t count;
    kan_open(&r, &y, 1);
    for (int i = 0; i < OUTS * IN * 8; i++)
        c[i] = i % 2 ? sizes[i / 8] : -sizes[i / 8];
    kan_set(&r, "net.kan.spline_weight", c, OUTS * IN * 8);
    static const int order[OUTS * IN] = {4, 1, 0, 3, 5, 2};
    for (int64_t most = 1; most <= 8; most++) {
        assert_ok(*state, swg_kan_strongest(r.w, "net.kan", NULL, 1, most, edges, &count));
        assert_int_equal(count, most < 6 ? most : 6);
        for (int64_t i = 0; i < count; i++) {
            assert_int_equal(edges[i].out * IN + edges[i].in, order[i]);
            assert_close(edges[i].magnitude, fabs(sizes[order[i]]), 0, 1e-12);
        }
    }
    double x = 0, phi;
    assert_int_equal(swg_kan_curve(r.w, "net.kan", NULL, 1, OUTS, 0, 1, &x, &phi, NULL), SWG_EINVAL);
    assert_int_equal(swg_kan_curve(r.w, "net.kan", NULL, 1, 0, -1, 1, &x, &phi, NULL), SWG_EINVAL);
    assert_int_equal(swg_kan_curve(r.w, "kan", NULL, 1, 0, 0, 1, &x, &phi, NULL), SWG_EINVAL);
    assert_int_equal(swg_kan_edges_of(r.w, "net.kan", NULL, 2, &about), SWG_EINVAL);                                     /* 3 inputs by 2 taps */
    assert_int_equal(swg_kan_edges_of(r.w, "net.kan", &(swg_kan_opts){.order = 8}, 1, &about), SWG_EINVAL);              /* 8 bases */
    assert_int_equal(swg_kan_edges_of(r.w, "net.kan", &(swg_kan_opts){.basis = SWG_KAN_CHEB}, 1, &about), SWG_EINVAL);
    kan_close(&r);
}

/* ---- a run ---- */

static bool reads_png(swg_context *ctx) {
    swg_image_pixels pixels;
    swg_status status = swg_image_read(ctx, SWG_SOURCE_DIR "/samples/histology/cmu1_0.png", NULL, &pixels, NULL);
    if (status == SWG_OK)
        swg_image_pixels_free(ctx, &pixels);
    return status != SWG_EUNSUPPORTED;
}

static void train_small(swg_context *ctx, const char *folder) {
    char dir[400];
    snprintf(dir, sizeof dir, "run.dir=%s", folder);
    const char *overrides[] = {dir, "run.name=run", "data.path=" SWG_SOURCE_DIR "/samples/histology/index.csv", "data.batch_size=2", "data.tile=32",
                               "data.size=crop", "model.channels=[8,8,4,4]", "trainer.epochs=2", "trainer.eval_every=1", "data.workers=0"};
    swg_config *config;
    assert_ok(ctx, swg_config_open(ctx, "kan/dae", &(swg_config_opts){.overrides = overrides, .override_count = sizeof overrides / sizeof *overrides}, &config));
    assert_ok(ctx, swg_train(ctx, config, NULL, NULL));
    swg_config_close(config);
}

static void whole_run(void **state) {
    swg_context *ctx = *state;
    scratch s;
    char run[340];
    scratch_open(&s);
    snprintf(run, sizeof run, "%s/run", s.folder);
    if (!reads_png(ctx)) {
        scratch_close(&s, ctx, 0);
        skip();
    }
    train_small(ctx, s.folder);
    swg_plot_files files;
    for (int what = 0; what < SWG_PLOTS; what++) {
        assert_ok(ctx, swg_plot_run(ctx, run, &(swg_plot_opts){.what = 1u << what, .edges = 3}, &files));
        assert_true(files.count > 1);
        for (int64_t i = 0; i < files.count; i++)
            assert_true(swg__exists(files.path[i]));
        swg_plot_files_free(ctx, &files);
        remove_tree(in_run(s.folder, "run", "plots"));
        assert_int_equal(swg_plot_find(swg_plot_name((swg_plot)what)), 1u << what);
    }
    assert_int_equal(swg_plot_find("z,curves"), 1u << SWG_PLOT_Z | 1u << SWG_PLOT_CURVES);
    assert_int_equal(swg_plot_find("all"), (1u << SWG_PLOTS) - 1);
    static const char *const none[] = {"", "z,", ",z", "zz", "splines curves"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(swg_plot_find(none[i]), 0);
    /* Every allocation fails once, the later ones in steps. */
    int64_t calls = 0;
    bool done = false;
    for (int64_t n = 0; !done; n += n < 40 ? 1 : 1 + calls / 80) {
        testing_allocator allocator = {.fail_at = n};
        swg_context *own;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &own) == SWG_OK) {
            swg_status status = swg_plot_run(own, run, &(swg_plot_opts){.tiles = 1}, &files);
            done = allocator.calls <= n;
            if (status != SWG_OK && (status != SWG_ENOMEM || done))
                fail_msg("allocation %lld: status %d: %s", (long long)n, (int)status, swg_context_message(own));
            swg_plot_files_free(own, &files);
            assert_int_equal(swg_context_bytes(own), 0);
            swg_context_close(own);
        }
        calls = allocator.calls;
        assert_int_equal(allocator.live, 0);
    }
    remove_tree(run);
    scratch_close(&s, ctx, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(linear_curves, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(convolution_curves, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(moved_grid, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(strongest, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_run, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
