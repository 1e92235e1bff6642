/* test_kan.c - Kolmogorov-Arnold layers: the numbers of kan.md, section 10; closed form, recursion, patches and naive form agree; all
 * gradients against central differences; how weights start; what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"
#include "kan_testing.h"
#include "nn/kan.h"

/* ---- known answers: f64, relative 1e-11 ---- */

#define assert_answer(a, b) assert_close(a, b, 1e-13, 1e-11)

typedef struct bases_row { int64_t intervals, order; double x; int count; double value[8], slope[8]; } bases_row;

static void known_bases(void **state) {
    static const bases_row table[] = {
        {5, 3, .3, 8, {0, 0, 0, .0703125, .611979166666666667, .315104166666666667, .00260416666666666667, 0},
         {0, 0, 0, -.703125, -1.015625, 1.640625, .078125, 0}},
        {5, 3, -.77, 8, {.0127942708333333333, .431096354166666667, .524424479166666667, .0316848958333333333, 0, 0, 0, 0},
         {-.22578125, -1.63515625, 1.44765625, .41328125, 0, 0, 0, 0}},
        {5, 3, 1, 8, {0, 0, 0, 0, 0, 1 / 6., 2 / 3., 1 / 6.}, {0, 0, 0, 0, 0, -1.25, 0, 1.25}},
        {3, 2, .3, 5, {0, .00125, .5475, .45125, 0}, {0, -.075, -1.35, 1.425, 0}},
        {3, 2, -.9, 5, {.36125, .6275, .01125, 0, 0}, {-1.275, 1.05, .225, 0, 0}},
        {2, 1, .3, 3, {0, .7, .3}, {0, -1, 1}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const bases_row *t = &table[i];
        kan_rig r = kan_begin(*state, SWG_F64);
        /* One column of slopes at a time: the gradient of a basis picked by w. */
        swg_value x = swg_input(r.g, "x", 1, (int64_t[]){1}), w = swg_input(r.g, "w", 1, (int64_t[]){t->count}), out[2];
        out[0] = swg_spline_basis(r.g, x, &(swg_spline_opts){.intervals = t->intervals, .order = t->order});
        assert_ok(*state, swg_gradients(r.g, swg_sum(r.g, swg_mul(r.g, out[0], w), 0), &x, 1, &out[1]));
        kan_open(&r, out, 2);
        kan_put(&r, x, &t->x);
        for (int j = 0; j < t->count; j++) {
            double pick[8] = {0};
            pick[j] = 1;
            kan_put(&r, w, pick);
            kan_run(&r);
            assert_answer(kan_get(&r, out[0], j), t->value[j]);
            assert_close(kan_get(&r, out[1], 0), t->slope[j], 1e-12, 1e-11);
        }
        kan_close(&r);
    }
    static const double at[5] = {0, 1, -1.6, 2, 2.5}, sum[5] = {1, 1, .5, .0208333333333333333, 0};
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value x = swg_input(r.g, "x", 1, (int64_t[]){5}), out = swg_sum(r.g, swg_spline_basis(r.g, x, NULL), 2);
    kan_open(&r, &out, 1);
    kan_put(&r, x, at);
    kan_run(&r);
    for (int i = 0; i < 5; i++)
        assert_answer(kan_get(&r, out, i), sum[i]);
    kan_close(&r);
}

/* SiLU and its slope as a plane of the basis and as an operation. */
static void known_silu(void **state) {
    static const double at[4] = {-1, .3, 1, 2}, value[4] = {-.26894142137, .172332755043, .73105857863, 1.76159415596};
    static const double slope[4] = {.0723294881285, .647780010319, .927670511871, 1.09078424878};
    for (int plane = 0; plane < 2; plane++) {
        kan_rig r = kan_begin(*state, SWG_F64);
        swg_value x = swg_input(r.g, "x", 1, (int64_t[]){4}), out[2];
        out[0] = !plane ? swg_silu(r.g, x) : swg_slice(r.g, swg_spline_basis(r.g, x, &(swg_spline_opts){.silu = true}), (int64_t[]){0, 0},
                                                       (int64_t[]){4, 1});
        assert_ok(*state, swg_gradients(r.g, swg_sum(r.g, out[0], 0), &x, 1, &out[1]));
        kan_open(&r, out, 2);
        kan_put(&r, x, at);
        kan_run(&r);
        for (int i = 0; i < 4; i++) {
            assert_answer(kan_get(&r, out[0], i), value[i]);
            assert_answer(kan_get(&r, out[1], i), slope[i]);
        }
        kan_close(&r);
    }
}

static void known_linear(void **state) {
    static const double x[2] = {.3, -.9}, base[2] = {.5, -.25}, scaler[2] = {1.5, .8};
    static const double c[10] = {.1, -.2, .3, .4, -.5, .05, .15, -.25, .35, .45};
    static const double want[][5] = {{.593890005159, .00397494480826}, {.172332755043, -.260145447637}, {0, .001875, .82125, .676875, 0}, {.3445, .109375}};
    swg_kan_parts parts;
    swg_kan_terms terms;
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value in = swg_input(r.g, "x", 2, (int64_t[]){1, 2}), out[8];
    out[0] = swg_kan_linear(r.g, in, 1, &(swg_kan_opts){.intervals = 3, .order = 2, .parts = &parts}, "kan");
    out[5] = swg_loss_kan(r.g, &parts.coefficients, 1, 2, 3, &terms);
    out[6] = terms.magnitude;
    out[7] = terms.entropy;
    int count;
    const swg_value *params = swg_params_of(r.g, &count);
    assert_int_equal(count, 3); /* base_weight, spline_weight, spline_scaler */
    assert_ok(*state, swg_gradients(r.g, swg_reshape(r.g, out[0], 1, (int64_t[]){1}), (swg_value[]){in, params[0], params[1], params[2]}, 4, out + 1));
    kan_open(&r, out, 8);
    kan_put(&r, in, x);
    kan_set(&r, "kan.base_weight", base, 2);
    kan_set(&r, "kan.spline_scaler", scaler, 2);
    kan_set(&r, "kan.spline_weight", c, 10);
    kan_run(&r);
    assert_answer(kan_get(&r, out[0], 0), .755452739431);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < (i == 2 ? 5 : 2); j++)
            assert_answer(kan_get(&r, out[1 + i], j), want[i][j]);
    assert_answer(kan_get(&r, out[6], 0), .55);
    assert_answer(kan_get(&r, out[7], 0), .689009238477);
    assert_answer(kan_get(&r, out[5], 0), 2 * .55 + 3 * .689009238477);
    kan_close(&r);
}

/* One convolution 1-1, k3, padding 1, 3/2, of the image of section 10. */
static void known_convolution(void **state) {
    static const double image[4] = {.3, -.9, 0, .5}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const double want[2][4] = {{.403977321477, .339635624176, .360577229575, .0626105322738},
                                      {.363521953478, .327095686212, .404017012322, .134114476802}};
    static const double zero_filled[4] = {.391477321477, -.0853643758241, .248077229575, .0626105322738};
    double wb[9], c[45];
    for (int k = 0; k < 9; k++) {
        wb[k] = (k - 4) / 10.;
        for (int j = 0; j < 5; j++)
            c[k * 5 + j] = ((3 * k + 5 * j) % 7 - 3) / 10.;
    }
    for (int published = 0; published < 2; published++) {
        kan_rig r = kan_begin(*state, SWG_F64);
        swg_value x = swg_input(r.g, "x", 4, (int64_t[]){1, 1, 2, 2});
        swg_value out = swg_kan_conv(r.g, x, 1, 3, &(swg_kan_opts){.intervals = 3, .order = 2, .conv_then_silu = published},
                                     &(swg_conv_opts){.padding = {1, 1}}, "kan");
        kan_open(&r, &out, 1);
        kan_put(&r, x, image);
        kan_set(&r, "kan.base_weight", wb, 9);
        kan_set(&r, "kan.spline_weight", c, 45);
        kan_set(&r, "kan.spline_scaler", ones, 9);
        kan_run(&r);
        for (int i = 0; i < 4; i++)
            assert_close(kan_get(&r, out, i), want[published][i], 0, 1e-11);
        assert_true(fabs(kan_get(&r, out, 1) - zero_filled[1]) > .1); /* padding stands before the expansion */
        kan_close(&r);
    }
}

/* Gaussians of a given place and polynomials, read through weights that pick one of them. */
static void known_other_bases(void **state) {
    static const double gaussian[8] = {9.2078441332e-8, 1.06153436111e-4, .0165623207158, .349719106351, .999375195272, .386499385834,
                                       .0202292642038, 1.4329215069e-4};
    static const double chebyshev[4] = {1, .291312612452, -.830273923653, -.775051143951};
    static const double at = .3;
    kan_rig r = kan_begin(*state, SWG_F64);
    swg_value x = swg_input(r.g, "x", 2, (int64_t[]){1, 1}), out[2];
    out[0] = swg_kan_linear(r.g, x, 4, &(swg_kan_opts){.basis = SWG_KAN_CHEB}, "cheb");
    out[1] = swg_kan_linear(r.g, x, 8, &(swg_kan_opts){.basis = SWG_KAN_RBF}, "rbf");
    kan_open(&r, out, 2);
    kan_put(&r, x, &at);
    double pick[64] = {0}, none[8] = {0};
    for (int i = 0; i < 8; i++)
        pick[i * 9] = 1;
    kan_set(&r, "rbf.spline_weight", pick, 64);
    kan_set(&r, "rbf.base.weight", none, 8);
    kan_set(&r, "rbf.base.bias", none, 8);
    kan_set(&r, "rbf.norm.bias", &at, 1); /* the norm of one number is its bias */
    double four[16] = {0};
    for (int i = 0; i < 4; i++)
        four[i * 5] = 1;
    kan_set(&r, "cheb.spline_weight", four, 16);
    kan_run(&r);
    for (int i = 0; i < 4; i++)
        assert_answer(kan_get(&r, out[0], i), chebyshev[i]);
    for (int i = 0; i < 8; i++)
        assert_close(kan_get(&r, out[1], i), gaussian[i], 0, 1e-11);
    kan_close(&r);
}

/* ---- closed form and recursion ---- */

/* The table of kan.md, section 3.1, in f64; false where all are 0. */
static bool closed_form(int intervals, int order, double x, double *out) {
    double h = 2. / intervals, place = (x + 1 + order * h) / h, u = place - floor(place), v = 1 - u;
    int bases = intervals + order, c = (int)floor(place);
    double w[4] = {v, u, 0, 0};
    if (order == 2) {
        w[0] = v * v / 2;
        w[1] = (-2 * u * u + 2 * u + 1) / 2;
        w[2] = u * u / 2;
    } else if (order == 3) {
        w[0] = v * v * v / 6;
        w[1] = (3 * u * u * u - 6 * u * u + 4) / 6;
        w[2] = (-3 * u * u * u + 3 * u * u + 3 * u + 1) / 6;
        w[3] = u * u * u / 6;
    }
    for (int j = 0; j < bases; j++)
        out[j] = 0;
    for (int j = 0; c >= 0 && c < intervals + 2 * order && j <= order; j++)
        if (c - order + j >= 0 && c - order + j < bases)
            out[c - order + j] = w[j];
    return c >= 0;
}

/* 6,001 points of [-3, 3]: the reference is the recursion; kernels are compared with it here as the layers call them. */
static void closed_form_is_the_recursion(void **state) {
    enum { N = 6001 };
    static const int64_t grids[3][2] = {{5, 3}, {3, 2}, {2, 1}};
    double *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = (i - 3000) / 1000.;
    for (int s = 0; s < 3; s++)
        for (int narrow = 0; narrow < 2; narrow++) {
            kan_rig r = kan_begin(*state, narrow ? SWG_F32 : SWG_F64);
            swg_value in = swg_input(r.g, "x", 1, (int64_t[]){N});
            swg_value out = swg_spline_basis(r.g, in, &(swg_spline_opts){.intervals = grids[s][0], .order = grids[s][1], .planes = true});
            kan_open(&r, &out, 1);
            kan_put(&r, in, x);
            kan_run(&r);
            for (int i = 0; i < N; i++) {
                double want[8];
                closed_form((int)grids[s][0], (int)grids[s][1], x[i], want);
                for (int j = 0; j < grids[s][0] + grids[s][1]; j++)
                    assert_close(kan_get(&r, out, (int64_t)j * N + i), want[j], narrow ? 2e-6 : 1e-12, 0);
            }
            kan_close(&r);
        }
    free(x);
}

/* Inside the knots nothing is NaN but what comes from NaN, whatever the instruction set and the layout. */
static void infinities_and_nan(void **state) {
    (void)state;
    enum { N = 19, BASES = 8 };
    double x[N] = {NAN, INFINITY, -INFINITY, 0, 1e30, -1e30, 1, -1}, knots[N * 12];
    kan_numbers(x + 8, N - 8, -1, 1, 3);
    for (int i = 0; i < N * 12; i++)
        knots[i] = -2.2 + .4 * (i % 12);
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
        for (int given = 0; given < 2; given++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            kan_rig r = kan_begin(ctx, SWG_F32);
            swg_value in = swg_input(r.g, "x", 2, (int64_t[]){1, N}), out[2];
            swg_spline_opts opts = {.silu = true, .planes = true};
            if (given)
                opts.knots = swg_constant_array(r.g, 2, (int64_t[]){N, 12}, knots);
            out[0] = swg_spline_basis(r.g, in, &opts);
            assert_ok(ctx, swg_gradients(r.g, swg_sum(r.g, swg_square(r.g, out[0]), 0), &in, 1, &out[1]));
            kan_open(&r, out, 2);
            kan_put(&r, in, x);
            kan_run(&r);
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int j = 1; j <= BASES; j++)
                    sum += kan_get(&r, out[0], j * N + i);
                assert_true(isnan(sum) == (i == 0) && isnan(kan_get(&r, out[0], i)) == (i == 0) && isnan(kan_get(&r, out[1], i)) == (i == 0));
                if (i == 1 || i == 2 || i == 4 || i == 5)
                    assert_true(sum == 0);
                else if (i)
                    assert_close(sum, 1, 1e-6, 0);
            }
            assert_true(kan_get(&r, out[0], 1) == INFINITY);
            assert_close(kan_get(&r, out[0], 2), 0, 1e-30, 0);
            kan_close(&r);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
}

/* ---- forms of a convolution ---- */

enum { CHANNELS = 2, OUT = 3, K = 3, TAPS = K * K, HIGH = 6, WIDE = 7 };
typedef struct geometry { int64_t stride, padding, dilation, rows, columns; } geometry;

/* (positions, CHANNELS * TAPS): patches of x in the order channel, row, column, cut out by index. */
static swg_value patches_of(swg_graph *g, swg_value x, const geometry *k) {
    int64_t high = HIGH + 2 * k->padding, wide = WIDE + 2 * k->padding, positions = k->rows * k->columns;
    int32_t index[HIGH * WIDE * 4 * TAPS];
    for (int64_t p = 0; p < positions; p++)
        for (int64_t t = 0; t < TAPS; t++)
            index[p * TAPS + t] = (int32_t)((p / k->columns * k->stride + t / K * k->dilation) * wide + p % k->columns * k->stride + t % K * k->dilation);
    int64_t pad[4] = {0, 0, k->padding, k->padding}, all = positions * TAPS;
    x = swg_reshape(g, swg_pad(g, x, pad, pad), 2, (int64_t[]){CHANNELS, high * wide});
    x = swg_gather(g, x, swg_constant_index(g, 1, &all, index), 1);
    x = swg_permute(g, swg_reshape(g, x, 3, (int64_t[]){CHANNELS, positions, TAPS}), (int[]){1, 0, 2});
    return swg_reshape(g, x, 2, (int64_t[]){positions, CHANNELS * TAPS});
}

/* One linear layer per pair of channels on its own patches. */
static swg_value naive_form(swg_graph *g, swg_value patches, const swg_kan_opts *opts, const geometry *k) {
    swg_value out[OUT];
    for (int o = 0; o < OUT; o++)
        for (int c = 0; c < CHANNELS; c++) {
            char name[16];
            snprintf(name, sizeof name, "pair%d%d", o, c);
            swg_value own = swg_slice(g, patches, (int64_t[]){0, c * TAPS}, (int64_t[]){k->rows * k->columns, TAPS});
            swg_value y = swg_kan_linear(g, own, 1, opts, name);
            out[o] = c ? swg_add(g, out[o], y) : y;
        }
    return swg_concat(g, out, OUT, 1);
}

static void same_forms(swg_context *ctx, swg_dtype dtype, const swg_kan_opts *opts, const geometry *k) {
    double x[CHANNELS * HIGH * WIDE], tolerance = dtype == SWG_F64 ? 1e-12 : 1e-5;
    kan_numbers(x, CHANNELS * HIGH * WIDE, -1.6, 1.6, 5);
    kan_rig fast = kan_begin(ctx, dtype), slow = kan_begin(ctx, dtype);
    const int64_t shape[4] = {1, CHANNELS, HIGH, WIDE};
    swg_value in = swg_input(fast.g, "x", 4, shape), again = swg_input(slow.g, "x", 4, shape), forms[2];
    swg_value y = swg_kan_conv(fast.g, in, OUT, K, opts, &(swg_conv_opts){.stride = {k->stride, k->stride}, .padding = {k->padding, k->padding},
                                                                          .dilation = {k->dilation, k->dilation}}, "kan");
    kan_open(&fast, &y, 1);
    swg_value patches = patches_of(slow.g, again, k);
    forms[0] = swg_kan_linear(slow.g, patches, OUT, opts, "kan"); /* names and shapes are those of the convolution: the same start */
    int count = opts->conv_then_silu ? 1 : 2; /* SiLU of a sum is no sum over pairs */
    if (count == 2)
        forms[1] = naive_form(slow.g, patches, opts, k);
    kan_open(&slow, forms, count);
    const int64_t edges = CHANNELS * TAPS, bases = opts->intervals + opts->order;
    for (int o = 0; o < OUT && count == 2; o++)
        for (int c = 0; c < CHANNELS; c++) {
            static const char *const parts[] = {"base_weight", "spline_weight", "spline_scaler"};
            const int64_t each[] = {1, bases, 1};
            for (int i = 0; i < 3; i++) {
                char whole[32], part[32];
                snprintf(whole, sizeof whole, "kan.%s", parts[i]);
                snprintf(part, sizeof part, "pair%d%d.%s", o, c, parts[i]);
                const char *from = kan_weight(&slow, whole);
                size_t bytes = swg__dtype_size(dtype) * (size_t)each[i];
                memcpy(kan_weight(&slow, part), from + (size_t)(o * edges + c * TAPS) * bytes, (size_t)TAPS * bytes);
            }
        }
    kan_put(&fast, in, x);
    kan_put(&slow, again, x);
    kan_run(&fast);
    kan_run(&slow);
    assert_int_equal(swg_elements(fast.g, y), OUT * k->rows * k->columns);
    for (int64_t p = 0; p < k->rows * k->columns; p++)
        for (int o = 0; o < OUT; o++)
            for (int form = 0; form < count; form++)
                assert_close(kan_get(&fast, y, o * k->rows * k->columns + p), kan_get(&slow, forms[form], p * OUT + o), tolerance, tolerance);
    kan_close(&fast);
    kan_close(&slow);
}

static void naive_patches_and_once(void **state) {
    for (int64_t stride = 1; stride <= 2; stride++)
        for (int64_t padding = 0; padding <= 2; padding++)
            for (int64_t dilation = 1; dilation <= 2; dilation++) {
                int64_t reach = dilation * (K - 1) + 1;
                geometry k = {stride, padding, dilation, (HIGH + 2 * padding - reach) / stride + 1, (WIDE + 2 * padding - reach) / stride + 1};
                const swg_kan_opts opts[2] = {{.intervals = 3, .order = 2}, {.intervals = 5, .order = 3, .conv_then_silu = true, .scaler = SWG_KAN_CHANNEL}};
                for (int i = 0; i < 2; i++)
                    for (int narrow = 0; narrow < 2; narrow++)
                        same_forms(*state, narrow ? SWG_F32 : SWG_F64, &opts[i], &k);
            }
}

/* ---- gradients ---- */

typedef struct gradient_case { const char *name; int64_t kernel; swg_kan_opts opts; } gradient_case;

static const gradient_case gradient_cases[] = {
    {"linear 5/3", 0, {0}},
    {"linear 3/2, published", 0, {.intervals = 3, .order = 2, .conv_then_silu = true, .scaler = SWG_KAN_CHANNEL}},
    {"linear 2/1, no scaler", 0, {.intervals = 2, .order = 1, .scaler = SWG_KAN_NO_SCALER, .init = SWG_KAN_KAIMING}},
    {"linear, adaptive", 0, {.adaptive = true}},
    {"linear, rbf", 0, {.basis = SWG_KAN_RBF}},
    {"linear, cheb", 0, {.basis = SWG_KAN_CHEB, .order = 4}},
    {"convolution 5/3", 3, {0}},
    {"convolution 3/2, adaptive, published", 3, {.intervals = 3, .order = 2, .adaptive = true, .conv_then_silu = true, .scaler = SWG_KAN_CHANNEL}},
    {"convolution, cheb", 3, {.basis = SWG_KAN_CHEB}},
};

/* d loss / d w by central difference for every number of x and of all parameters; the loss has both terms of the penalty. */
static void check_gradients(swg_context *ctx, const gradient_case *c) {
    kan_rig r = kan_begin(ctx, SWG_F64);
    const double h = 1e-6;
    swg_value x = c->kernel ? swg_param(r.g, "x", 4, (int64_t[]){1, 2, 4, 3}, (swg_init){.bound = 1.5})
                            : swg_param(r.g, "x", 2, (int64_t[]){4, 3}, (swg_init){.bound = 1.5}), y;
    y = c->kernel ? swg_kan_conv(r.g, x, 2, c->kernel, &c->opts, &(swg_conv_opts){.padding = {1, 1}, .stride = {1, 2}}, "kan")
                  : swg_kan_linear(r.g, x, 2, &c->opts, "kan");
    swg_value out[9] = {swg_add(r.g, swg_reshape(r.g, swg_sum(r.g, swg_square(r.g, y), 0), 1, (int64_t[]){1}),
                                swg_loss_kan(r.g, NULL, 0, .3, .7, NULL))};
    int count;
    const swg_value *params = swg_params_of(r.g, &count);
    assert_true(count > 1 && count < 8);
    assert_ok(ctx, swg_gradients(r.g, out[0], params, count, out + 1));
    kan_open(&r, out, 1 + count);
    for (int i = 0; i < count; i++) {
        double *w = swg_weights_value(r.w, i);
        for (int64_t e = 0; e < swg_elements(r.g, params[i]); e++) {
            double kept = w[e], side[2], gradient;
            kan_run(&r);
            gradient = kan_get(&r, out[1 + i], e);
            for (int s = 0; s < 2; s++) {
                w[e] = kept + (s ? -h : h);
                kan_run(&r);
                side[s] = kan_get(&r, out[0], 0);
            }
            w[e] = kept;
            if (!(fabs(gradient - (side[0] - side[1]) / (2 * h)) <= 1e-8 + 1e-6 * fabs(gradient)))
                fail_msg("%s: d loss / d %s[%lld] = %.12g, central difference %.12g", c->name, swg_weights_name(r.w, i), (long long)e, gradient,
                         (side[0] - side[1]) / (2 * h));
        }
    }
    kan_close(&r);
}

static void central_differences(void **state) {
    for (size_t i = 0; i < sizeof gradient_cases / sizeof gradient_cases[0]; i++)
        check_gradients(*state, &gradient_cases[i]);
}

/* Layers in plans whose activations are bf16: bases and penalty stay f32, products do not. */
static void in_bf16(void **state) {
    for (size_t i = 0; i < sizeof gradient_cases / sizeof gradient_cases[0]; i++) {
        const gradient_case *c = &gradient_cases[i];
        kan_rig r = kan_begin(*state, SWG_F32);
        swg_value x = c->kernel ? swg_input(r.g, "x", 4, (int64_t[]){1, 2, 6, 7}) : swg_input(r.g, "x", 2, (int64_t[]){28, 3}), out[2];
        out[0] = c->kernel ? swg_kan_conv(r.g, x, 5, c->kernel, &c->opts, &(swg_conv_opts){.padding = {1, 1}}, "kan")
                           : swg_kan_linear(r.g, x, 5, &c->opts, "kan");
        out[1] = swg_loss_kan(r.g, NULL, 0, 1, 1, NULL);
        kan_open(&r, out, 2);
        swg_plan *narrow;
        assert_ok(*state, swg_plan_make(r.g, &(swg_plan_opts){.outputs = out, .output_count = 2, .bf16 = true}, &narrow));
        assert_ok(*state, swg_plan_open(narrow, r.w, NULL));
        double in[84], most = 0;
        kan_numbers(in, 84, -2, 2, 11);
        kan_put(&r, x, in);
        memcpy(swg_plan_data(narrow, x), swg_plan_data(r.plan, x), 84 * sizeof(float));
        kan_run(&r);
        assert_ok(*state, swg_plan_run(narrow, 0, 0));
        const float *got = swg_plan_data(narrow, out[0]);
        for (int64_t e = 0; e < swg_elements(r.g, out[0]); e++)
            most = fmax(most, fabs(kan_get(&r, out[0], e)));
        for (int64_t e = 0; e < swg_elements(r.g, out[0]); e++)
            if (!(fabs((double)got[e] - kan_get(&r, out[0], e)) <= .02 * most))
                fail_msg("%s: element %lld is %g in bf16, %g in f32", c->name, (long long)e, (double)got[e], kan_get(&r, out[0], e));
        assert_close(*(float *)swg_plan_data(narrow, out[1]), kan_get(&r, out[1], 0), 0, 1e-5);
        swg_plan_destroy(narrow);
        kan_close(&r);
    }
}

/* All coefficients 0, in one layer of two and in both, and one edge 0: finite numbers, and no gradient where nothing is. */
static void penalty_of_zeros(void **state) {
    for (int narrow = 0; narrow < 2; narrow++)
        for (int zeros = 0; zeros < 3; zeros++) {
            kan_rig r = kan_begin(*state, narrow ? SWG_F32 : SWG_F64);
            swg_value c[2], out[5];
            swg_kan_terms terms;
            c[0] = swg_param(r.g, "a.spline_weight", 3, (int64_t[]){2, 3, 4}, (swg_init){.value = zeros ? 0 : .5});
            c[1] = swg_param(r.g, "b.spline_weight", 3, (int64_t[]){1, 2, 5}, (swg_init){.value = zeros > 1 ? 0 : -.25});
            out[0] = swg_loss_kan(r.g, NULL, 0, 1, 1, &terms);
            out[3] = terms.magnitude;
            out[4] = terms.entropy;
            assert_ok(*state, swg_gradients(r.g, out[0], c, 2, out + 1));
            kan_open(&r, out, 5);
            if (!zeros) /* one edge of six */
                for (int i = 0; i < 4; i++)
                    set_element(kan_weight(&r, "a.spline_weight"), r.dtype, 4 + i, 0);
            kan_run(&r);
            double magnitude = zeros == 2 ? 0 : zeros == 1 ? .5 : 2.5 + .5, entropy = zeros == 2 ? 0 : zeros == 1 ? log(2) : log(5) + log(2);
            assert_close(kan_get(&r, out[3], 0), magnitude, 1e-6, 0);
            assert_close(kan_get(&r, out[4], 0), entropy, 1e-6, 0);
            assert_close(kan_get(&r, out[0], 0), magnitude + entropy, 1e-6, 0);
            for (int i = 0; i < 24; i++) /* equal shares: H is at its maximum, only R pulls */
                assert_close(kan_get(&r, out[1], i), zeros || i / 4 == 1 ? 0 : .25, 1e-6, 0);
            for (int i = 0; i < 10; i++)
                assert_close(kan_get(&r, out[2], i), zeros > 1 ? 0 : -.2, 1e-6, 0);
            kan_close(&r);
        }
    kan_rig none = kan_begin(*state, SWG_F32);
    assert_int_equal(swg_loss_kan(none.g, NULL, 0, 1, 1, NULL), SWG_NONE);
    assert_non_null(strstr(swg_context_message(*state), "there are no coefficients"));
    swg_graph_destroy(none.g);
}

/* ---- start, counts, coverage, messages ---- */

static double largest_of(kan_rig *r, const char *name, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(element(kan_weight(r, name), r->dtype, i)));
    return most;
}

/* The least coefficients of a curve through given numbers at the knots. */
static void known_fit(void **state) {
    enum { G = 5, P = 3, J = G + P };
    static const double noise[G + 1] = {.01, -.02, .03, 0, .015, -.005};
    static const double fit[J] = {.0118855993207, .0251021561001, -.052294223721, .0640747387839, -.0240047314147, .031944186875, -.0137720160853,
                                  -.00685612253364};
    double *map, c[J], knots[G + 2 * P + 1];
    assert_ok(*state, swg__kan_noise_map(*state, G, P, -1, 1, 1, &map));
    for (int j = 0; j < J; j++) {
        c[j] = 0;
        for (int i = 0; i <= G; i++)
            c[j] += map[j * (G + 1) + i] * noise[i];
        assert_answer(c[j], fit[j]);
    }
    swg__free(*state, map);
    swg__kan_grid(3, 2, -1, 1, knots);
    for (int i = 0; i < 8; i++)
        assert_answer(knots[i], (2 * i - 7) / 3.);
    swg__kan_grid(G, P, -1, 1, knots);
    for (int i = 0; i < G + 2 * P + 1; i++)
        assert_answer(knots[i], -2.2 + .4 * i);
    for (int i = 0; i <= G; i++) {
        double w[P + 1], sum = 0;
        int64_t first;
        assert_true(swg__kan_bases(knots, G + 2 * P + 1, P, knots[P + i], &first, w));
        for (int j = 0; j <= P; j++)
            sum += first + j < J ? w[j] * c[first + j] : 0;
        assert_close(sum, noise[i], 1e-15, 0);
    }
}

/* noise-fit: curves that start pass through noise of at most 0.05 / G at the G + 1 knots inside; their coefficients are the least that do. */
static void noise_fit(void **state) {
    enum { IN = 40, OUTS = 25, G = 5, P = 3, J = G + P };
    double knots[G + 1];
    for (int i = 0; i <= G; i++)
        knots[i] = -1 + .4 * i;
    for (int kind = 0; kind < 4; kind++) { /* 1: other scales, 2: no scaler, 3: kaiming */
        const swg_kan_opts opts = {.scaler = kind == 2 ? SWG_KAN_NO_SCALER : SWG_KAN_EDGE, .init = kind == 3 ? SWG_KAN_KAIMING : SWG_KAN_NOISE_FIT,
                                   .scale_base = kind ? 2 : 0, .scale_spline = kind ? 3 : 0};
        kan_rig r = kan_begin(*state, SWG_F64);
        swg_value at = swg_constant_array(r.g, 1, (int64_t[]){G + 1}, knots), bases = swg_spline_basis(r.g, at, NULL);
        swg_value y = swg_kan_linear(r.g, swg_input(r.g, "x", 2, (int64_t[]){1, IN}), OUTS, &opts, "kan");
        kan_open(&r, (swg_value[]){bases, y}, 2);
        kan_run(&r);
        const double *c = kan_weight(&r, "kan.spline_weight");
        double most = 0, mean = 0, square = 0;
        for (int e = 0; e < IN * OUTS; e++)
            for (int i = 0; i <= G; i++) {
                double value = 0;
                for (int j = 0; j < J; j++)
                    value += kan_get(&r, bases, i * J + j) * c[e * J + j];
                most = fmax(most, fabs(value));
                mean += value;
                square += value * value;
            }
        int n = IN * OUTS * (G + 1);
        double scale = kind == 2 ? 3 : 1, bound = scale * .05 / G;
        if (kind < 3) { /* uniform: variance a third of the squared bound */
            assert_close(most, bound, 0, 2e-3);
            assert_close(mean / n, 0, .03 * bound, 0);
            assert_close(square / n, bound * bound / 3, 0, .05);
        } else {
            assert_close(largest_of(&r, "kan.spline_weight", IN * OUTS * J), 1 / sqrt(IN * J), 0, 2e-3);
        }
        assert_close(largest_of(&r, "kan.base_weight", IN * OUTS), kind == 1 || kind == 2 ? sqrt(6 / (21. * IN)) : 1 / sqrt(IN), 0, 5e-3);
        if (kind != 2)
            assert_close(largest_of(&r, "kan.spline_scaler", IN * OUTS), kind == 0 ? 1 / sqrt(IN) : kind == 1 ? sqrt(6 / (46. * IN)) : 1, 0, 5e-3);
        kan_close(&r);
    }
}

/* Normal starts: mean and deviation of the bases that have them; the same weights in f32 and f64. */
static void normal_starts(void **state) {
    static const struct { swg_kan_opts opts; int64_t bases; double deviation; } table[] = {{{.basis = SWG_KAN_RBF}, 8, .1},
                                                                                            {{.basis = SWG_KAN_CHEB}, 4, 1 / 160.}};
    for (int i = 0; i < 2; i++) {
        kan_rig r[2];
        const int64_t n = 40 * 30 * table[i].bases;
        double mean = 0, square = 0;
        for (int narrow = 0; narrow < 2; narrow++) {
            r[narrow] = kan_begin(*state, narrow ? SWG_F32 : SWG_F64);
            swg_value y = swg_kan_linear(r[narrow].g, swg_input(r[narrow].g, "x", 2, (int64_t[]){1, 40}), 30, &table[i].opts, "kan");
            kan_open(&r[narrow], &y, 1);
        }
        for (int64_t e = 0; e < n; e++) {
            double value = element(kan_weight(&r[0], "kan.spline_weight"), SWG_F64, e);
            assert_true(value == element(kan_weight(&r[1], "kan.spline_weight"), SWG_F32, e));
            mean += value / (double)n;
            square += value * value / (double)n;
        }
        assert_close(mean, 0, .05 * table[i].deviation, 0);
        assert_close(sqrt(square), table[i].deviation, 0, .03);
        kan_close(&r[0]);
        kan_close(&r[1]);
    }
}

/* Share of the inputs outside of the grid. */
static void coverage(void **state) {
    static const double x[10] = {-1.2, -1, -.5, 0, .3, 1, 1.01, 7, -9, .999};
    for (int kind = 0; kind < 5; kind++) {
        swg_kan_parts parts;
        const swg_kan_opts opts = {.basis = kind == 3 ? SWG_KAN_CHEB : kind == 4 ? SWG_KAN_RBF : SWG_KAN_BSPLINE, .adaptive = kind == 1,
                                   .low = kind == 2 ? -.75 : 0, .high = kind == 2 ? 8 : 0, .parts = &parts};
        kan_rig r = kan_begin(*state, SWG_F32);
        swg_value in = swg_input(r.g, "x", 2, (int64_t[]){5, 2}), y = swg_kan_linear(r.g, in, 3, &opts, "kan"), out[3];
        assert_int_equal(swg_shape(r.g, parts.inputs)[1], 2);
        out[0] = parts.outside;
        out[1] = parts.inputs;
        out[2] = y;
        assert_int_equal(swg_elements(r.g, out[0]), 1);
        kan_open(&r, out, 3);
        kan_put(&r, in, x);
        kan_run(&r);
        static const double want[5] = {.4, .4, .3, 0, 0};
        assert_close(kan_get(&r, out[0], 0), want[kind], 1e-7, 0);
        for (int i = 0; i < 10; i++)
            assert_close(kan_get(&r, out[1], i), x[i], 0, 1e-7);
        kan_close(&r);
    }
    /* Of a convolution, what is padded is an input of the bases but does not count. */
    for (int last = 0; last < 2; last++) {
        swg_kan_parts parts;
        kan_rig r = kan_begin(*state, SWG_F32);
        const int64_t shape[4] = {1, last ? 5 : 1, last ? 2 : 5, last ? 1 : 2};
        swg_value in = swg_input(r.g, "x", 4, shape), out[2];
        swg_kan_conv(r.g, in, 3, 3, &(swg_kan_opts){.parts = &parts}, &(swg_conv_opts){.padding = {1, 1}, .channels_last = last}, "kan");
        out[0] = parts.outside;
        out[1] = parts.inputs;
        assert_int_equal(swg_shape(r.g, out[1])[0], 7 * 4);
        kan_open(&r, out, 2);
        kan_put(&r, in, x);
        kan_run(&r);
        assert_close(kan_get(&r, out[0], 0), .4, 1e-7, 0);
        assert_close(kan_get(&r, out[1], 5), x[0], 0, 1e-7);
        assert_true(kan_get(&r, out[1], 0) == 0);
        kan_close(&r);
    }
}

/* Counts of kan.md, sections 3.2, 3.3 and 3.6. */
static void counts(void **state) {
    static const struct { swg_kan_opts opts; int64_t kernel, parameters; } table[] = {
        {{.intervals = 3, .order = 2}, 3, 258048},      {{0}, 3, 368640},
        {{.scaler = SWG_KAN_CHANNEL}, 3, 331840},       {{0}, 5, 1024000},
        {{.adaptive = true}, 3, 368640},                {{.basis = SWG_KAN_CHEB}, 3, 64 * 64 * 9 * 4},
        {{0}, 0, 64 * 64 * 10},                         {{.intervals = 2, .order = 1}, 0, 64 * 64 * 5},
        {{.basis = SWG_KAN_RBF}, 0, 64 * 64 * 9 + 64 + 2 * 64},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kan_rig r = kan_begin(*state, SWG_F32);
        if (table[i].kernel)
            swg_kan_conv(r.g, swg_input(r.g, "x", 4, (int64_t[]){1, 64, 8, 8}), 64, table[i].kernel, &table[i].opts, NULL, "kan");
        else
            swg_kan_linear(r.g, swg_input(r.g, "x", 2, (int64_t[]){4, 64}), 64, &table[i].opts, "kan");
        assert_ok(*state, swg_graph_status(r.g));
        assert_int_equal(swg_graph_parameters(r.g), table[i].parameters);
        swg_graph_destroy(r.g);
    }
}

static void refused(void **state) {
    static const struct { int ndim; int64_t out; swg_conv_opts conv; swg_kan_opts opts; const char *message; } table[] = {
        {2, 1, {.groups = 1}, {0}, "kan_conv \"k\": input of 2 dimensions"},
        {4, 0, {.groups = 1}, {0}, "kan_conv \"k\": 0 results"},
        {4, 1, {.groups = 2}, {0}, "kan_conv \"k\": 2 groups"},
        {4, 1, {.padding = {-1}}, {0}, "padding -1 along spatial axis 0"},
        {4, 1, {.groups = 1}, {.order = 9}, "of order 9"},
        {4, 1, {.groups = 1}, {.intervals = -2}, "-2 intervals"},
        {4, 1, {.groups = 1}, {.low = 2, .high = 1}, "range [2, 1]"},
        {4, 1, {.groups = 1}, {.scaler = (swg_kan_scaler)7}, "no such basis, scaler or start"},
        {4, 1, {.groups = 1}, {.basis = SWG_KAN_RBF}, "Gaussians stand behind a norm"},
        {4, 1, {.groups = 1}, {.basis = SWG_KAN_CHEB, .adaptive = true}, "only B-splines"},
        {4, 1, {.groups = 1}, {.intervals = INT32_MAX}, "too fine to start from noise"},
        {4, 1, {.kernel = {9}}, {0}, "9"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kan_rig r = kan_begin(*state, SWG_F32);
        swg_value x = swg_input(r.g, "x", table[i].ndim, (int64_t[]){2, 2, 4, 4});
        swg_kan_conv(r.g, x, table[i].out, 3, &table[i].opts, &table[i].conv, "k");
        assert_true(swg_graph_status(r.g) != SWG_OK);
        if (!strstr(swg_context_message(*state), table[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(*state));
        swg_graph_destroy(r.g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_bases, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_silu, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_linear, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_convolution, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_other_bases, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(closed_form_is_the_recursion, testing_open, testing_close),
        cmocka_unit_test(infinities_and_nan),
        cmocka_unit_test_setup_teardown(naive_patches_and_once, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(central_differences, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(in_bf16, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(penalty_of_zeros, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_fit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(noise_fit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(normal_starts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(coverage, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(counts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
