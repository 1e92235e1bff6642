/* test_codec_grid.c - proves: short steps, reconstruction and acceptance give the published answers, integers come back inside
 * their bound at both ends of every type, requests become the right grids, all instruction sets quantise alike.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/kernels.h"
#include "codec_testing.h"
#include "context.h"

static void short_steps(void **state) {
    (void)state;
    static const struct { double eb, step; } known[] = {
        {1e-3, 0x1.0624dcp-9}, {0.1, 0x1.999998p-3}, {1e-7, 0x1.ad7f28p-23}, {123.456, 0x1.edd2f0p+7}};
    for (int i = 0; i < 4; i++)
        assert_true(swg__short_step(known[i].eb, 24) == known[i].step);
    assert_true(swg__short_step(0.75, 12) == 1.5);
}

static void reconstruction(void **state) {
    (void)state;
    const swg__grid grid = {.type = SWG_ELEMENT_F32, .eb = 1e-3, .step = swg__short_step(1e-3, 24), .sig = 24, .reach = 1e6};
    static const struct { float x; int64_t u; uint32_t bits; } known[] = {
        {0.001f, 1, 0x3b03126e}, {-0.001f, -1, 0xbb03126e}, {288.15f, 144075, 0x43901333}, {-1500.0f, -750000, 0xc4bb7fff}};
    for (int i = 0; i < 4; i++) {
        int64_t u = (int64_t)rint((double)known[i].x / grid.step);
        double error;
        assert_true(swg__level_find(&grid, 0, 1, (double)known[i].x, &u, &error));
        bool usable;
        float value = (float)swg__typed_value(&grid, 0, known[i].u, &usable);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        assert_int_equal(bits, known[i].bits);
        assert_true(usable);
        assert_int_equal(u, known[i].u);
    }
}

static void acceptance(void **state) {
    (void)state;
    assert_true(swg__accept(1.5, 1.0, 0.5));
    assert_true(swg__accept(0.5, 1.0, 0.5));
    assert_false(swg__accept(1.5, nextafter(1.0, 0), 0.5));
    assert_true(swg__accept(1.5, nextafter(1.0, 2), 0.5));
    /* The rounded difference is exactly the bound, the true one a hair more or less. */
    double tiny = 0x1p-80;
    assert_true(1.0 - tiny == 1.0);
    assert_true(swg__accept(1.0, tiny, 1.0));
    assert_false(swg__accept(1.0, -tiny, 1.0));
    assert_false(swg__accept(-1.0, tiny, 1.0));
    assert_true(swg__accept(-1.0, -tiny, 1.0));
    assert_false(swg__accept(NAN, 1, 1));
    assert_false(swg__accept(1, NAN, 1));
    assert_false(swg__accept(INFINITY, 1e308, 1e300));
    assert_true(swg__ratio_up(1, 1) == 1);
    assert_true(swg__ratio_up(0, 1) == 0);
    assert_true((double)swg__ratio_up(1, 3) >= 1.0 / 3);
}

static void integers(void **state) {
    (void)state;
    static const int64_t corner[] = {0, 1, -1, 5, 127, -128, 255, 32767, -32768, 65535, INT32_MAX, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, -1};
    static const int64_t steps[] = {1, 3, 7, 255, 1001, ((int64_t)1 << 31) + 1, ((int64_t)1 << 52) + 1};
    for (int type = SWG_ELEMENT_I8; type <= SWG_ELEMENT_U64; type++)
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++)
            for (size_t i = 0; i < sizeof corner / sizeof corner[0]; i++) {
                uint64_t bits = (uint64_t)corner[i], back = 0;
                bool above_x, above_b;
                int64_t u, x = swg__integer_load((swg_element)type, &bits, 0, &above_x);
                if (!swg__integer_level((swg_element)type, &bits, 0, steps[s], &u)) {
                    assert_true(above_x ? (uint64_t)x / (uint64_t)steps[s] >= (uint64_t)SWG__LEVEL_LIMIT - 1
                                        : x / steps[s] >= SWG__LEVEL_LIMIT - 1 || x / steps[s] <= -SWG__LEVEL_LIMIT);
                    continue;
                }
                swg__integer_store((swg_element)type, &back, 0, steps[s], u);
                int64_t b = swg__integer_load((swg_element)type, &back, 0, &above_b);
                __extension__ typedef __int128 wide;
                wide gap = (above_x ? (wide)(uint64_t)x : (wide)x) - (above_b ? (wide)(uint64_t)b : (wide)b);
                if (gap > steps[s] / 2 || -gap > steps[s] / 2)
                    fail_msg("%s: %lld came back as %lld with step %lld", swg_element_name((swg_element)type), (long long)x,
                             (long long)b, (long long)steps[s]);
            }
    static const uint32_t f32[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000};
    static const int32_t keys[] = {0, -1, 1065353216, -1065353217, 2139095040};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(swg__key32(f32[i]), keys[i]);
        assert_int_equal(swg__unkey32(keys[i]), f32[i]);
    }
    assert_int_equal(swg__key64(swg__key64(0xBFF0000000000001u)), 0xBFF0000000000001u);
}

static const swg__fill no_fill = {.mode = SWG_FILL_NONE};

/* Grid of an f32 or f64 array for a request. */
static swg_status resolve(swg_context *ctx, const swg_codec_array *a, swg_bound_mode mode, double value, swg__grid *grid) {
    double least, most;
    bool any;
    int64_t nan;
    swg_codec_opts o = {.bound = mode, .value = value};
    swg__range(ctx, a->type, a->data, array_values(a), &no_fill, &least, &most, &any, &nan);
    return swg__grid_resolve(ctx, a, array_values(a), &o, &no_fill, least, most, grid);
}

static void requests(void **state) {
    swg_context *ctx = *state;
    float x[4] = {1, 2, 3, 5};
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {4}, .data = x};
    swg__grid g;
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_ABS, 1e-3, &g));
    assert_true(g.eb == 1e-3 && g.base == 0 && g.sig == 24 && g.fine && g.step == 0x1.0624dcp-9);
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_REL, 1e-3, &g));
    assert_true(g.eb <= 4e-3 && g.eb > 4e-3 * (1 - 0x1p-49));
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_LOSSLESS, 0, &g));
    assert_true(g.eb == 0 && g.step == 0);
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_ABS, 1e-305, &g));
    assert_true(g.step == 0);
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_ABS, 1e300, &g));
    assert_true(g.eb == 1e300 && g.step > 1e300);
    /* Tighter and tighter: fewer bits for the step, then a base in the middle, then no sub-grid, then lossless. */
    double y[4] = {1, 1 + 1e-3, 1 + 2e-3, 1 + 3e-3};
    swg_codec_array b = {.type = SWG_ELEMENT_F64, .ndim = 1, .dims = {4}, .data = y};
    bool seen_short = false, seen_base = false, seen_coarse = false, seen_lossless = false;
    for (double eb = 1e-3; eb > 1e-18; eb /= 2) {
        assert_ok(ctx, resolve(ctx, &b, SWG_BOUND_ABS, eb, &g));
        if (g.step == 0) {
            seen_lossless = true;
            continue;
        }
        assert_false(seen_lossless);
        assert_in_range(g.sig, 12, 24);
        if (eb > 1e-13) /* beyond, the step follows the type's spacing */
            assert_true(g.step <= 2 * eb && g.step >= 2 * eb * (1 - ldexp(1, 1 - g.sig)));
        double reach = fmax(fabs(y[0] - g.base), fabs(y[3] - g.base));
        assert_true(ldexp(reach / g.step * (g.fine ? 16 : 1), g.sig) < 0x1p53);
        seen_short |= g.sig < 24 && g.base == 0;
        seen_base |= g.base != 0;
        seen_coarse |= !g.fine;
    }
    assert_true(seen_short && seen_base && seen_coarse && seen_lossless);
    double z[512];
    for (int i = 0; i < 512; i++)
        z[i] = i;
    z[100] = 1e30; /* one giant must not make everything lossless */
    swg_codec_array c = {.type = SWG_ELEMENT_F64, .ndim = 1, .dims = {512}, .data = z};
    assert_ok(ctx, resolve(ctx, &c, SWG_BOUND_ABS, 1e-3, &g));
    assert_true(g.step > 0 && g.sig >= 12);
    int32_t whole[4] = {1, 2, 3, 4};
    swg_codec_array d = {.type = SWG_ELEMENT_I32, .ndim = 1, .dims = {4}, .data = whole};
    assert_ok(ctx, resolve(ctx, &d, SWG_BOUND_ABS, 2.9, &g));
    assert_true(g.step == 5);
    assert_ok(ctx, resolve(ctx, &d, SWG_BOUND_ABS, 0.9, &g));
    assert_true(g.step == 0);
    assert_int_equal(resolve(ctx, &a, SWG_BOUND_ABS, -1, &g), SWG_EINVAL);
    assert_int_equal(resolve(ctx, &a, SWG_BOUND_ABS, NAN, &g), SWG_EINVAL);
    assert_int_equal(resolve(ctx, &a, SWG_BOUND_ABS, INFINITY, &g), SWG_EINVAL);
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_PW_REL, 1e-3, &g));
    assert_true(g.step == 0 && g.pw_h > 0 && g.pw_h <= 3172517977u && g.eb == 1e-3);
    assert_ok(ctx, resolve(ctx, &a, SWG_BOUND_PW_REL, 1e-7, &g)); /* about the type's own precision */
    assert_true(g.eb == 0 && g.pw_h == 0);
    assert_int_equal(resolve(ctx, &a, SWG_BOUND_PW_REL, 0.5, &g), SWG_EINVAL);
    assert_int_equal(resolve(ctx, &d, SWG_BOUND_PW_REL, 0.1, &g), SWG_EDTYPE);
    assert_int_equal(resolve(ctx, &a, (swg_bound_mode)9, 60, &g), SWG_EINVAL);
}

/* Where f32 is coarse against the bound, a step of whole spacings leaves no outliers. */
static void step_of_spacings(void **state) {
    swg_context *ctx = *state;
    static float x[20000];
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++)
        x[i] = 287.3f + 1.75f * (float)(noise(&seed) >> 40) / 0x1p24f;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {20000}, .data = x};
    swg_codec_stats stats;
    /* Interpolation works between the grid's own values, where outliers remain; it weighs them against what it saves. */
    round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4, .without = 1u << SWG_MODE_INTERPOLATION}, &stats);
    assert_int_equal(stats.outliers, 0);
}

static void ranges(void **state) {
    swg_context *ctx = *state;
    enum { N = 600000 };
    static float x[N];
    double least, most;
    bool any;
    int64_t nan;
    uint64_t seed = 11;
    for (int i = 0; i < N; i++)
        x[i] = (float)(noise(&seed) >> 40) / 0x1p24f;
    x[N - 1] = -7;
    x[N / 2] = 9;
    x[5] = NAN;
    x[6] = INFINITY;
    x[7] = -INFINITY;
    swg__range(ctx, SWG_ELEMENT_F32, x, N, &no_fill, &least, &most, &any, &nan);
    assert_true(any && least == -7 && most == 9);
    assert_int_equal(nan, 5);
    const swg__fill above = {.mode = SWG_FILL_ABOVE, .threshold = 8}, exact = {.mode = SWG_FILL_VALUE, .bits = 0xC0E00000}; /* -7 */
    swg__range(ctx, SWG_ELEMENT_F32, x, N, &above, &least, &most, &any, &nan);
    assert_true(any && least == -7 && most < 1);
    swg__range(ctx, SWG_ELEMENT_F32, x, N, &exact, &least, &most, &any, &nan);
    assert_true(any && least >= 0 && most == 9);
    for (int i = 0; i < N; i++)
        x[i] = i & 1 ? NAN : -INFINITY;
    swg__range(ctx, SWG_ELEMENT_F32, x, N, &no_fill, &least, &most, &any, &nan);
    assert_false(any);
    static const uint64_t u[2] = {UINT64_MAX, 5};
    swg__range(ctx, SWG_ELEMENT_U64, u, 2, &no_fill, &least, &most, &any, &nan);
    assert_true(any && least == 5 && most == 0x1p64);
    static const double d[3] = {-0.0, NAN, -0.0};
    swg__range(ctx, SWG_ELEMENT_F64, d, 3, &no_fill, &least, &most, &any, &nan);
    assert_true(any && least == 0 && !signbit(least));
}

/* Levels, extents and refusals of every instruction set against the plain rule. */
static void quantisers(void **state) {
    swg_context *ctx = *state;
    enum { N = 203 };
    float x32[N];
    double x64[N];
    uint64_t seed = 5;
    const swg__grid g32 = {.type = SWG_ELEMENT_F32, .eb = 1e-3, .step = swg__short_step(1e-3, 24), .base = 0.5, .sig = 24, .reach = 1e8};
    swg__grid g64 = g32;
    g64.type = SWG_ELEMENT_F64;
    for (int i = 0; i < N; i++) {
        x64[i] = 100 * ((double)(noise(&seed) >> 11) / 0x1p53 - 0.5);
        x32[i] = (float)x64[i];
    }
    for (int isa = 0; isa <= (int)ctx->isa; isa++) {
        const swg__codec_kernels *k = swg__codec_kernels_for((swg__isa)isa);
        for (int64_t n = 1; n <= N; n += n < 20 ? 1 : 61) {
            int32_t u32[N];
            int64_t u64[N];
            swg__row_extent e[4];
            for (int i = 0; i < 4; i++)
                e[i] = (swg__row_extent){INFINITY, -INFINITY, 0};
            assert_true(k->quantise_f64_64(x64, n, &g64, u64, &e[0]));
            assert_true(k->quantise_f64_32(x64, n, &g64, u32, &e[1]));
            double lowest = INFINITY, highest = -INFINITY, error = 0;
            for (int64_t i = 0; i < n; i++) {
                double level = rint((x64[i] - 0.5) * (1 / g64.step)), gap = fabs(0.5 + level * g64.step - x64[i]);
                assert_true((double)u64[i] == level && u32[i] == (int32_t)u64[i]);
                lowest = fmin(lowest, level);
                highest = fmax(highest, level);
                error = fmax(error, gap);
            }
            assert_true(e[0].lowest == lowest && e[0].highest == highest && e[0].error == error);
            assert_memory_equal(&e[0], &e[1], sizeof e[0]);
            assert_true(k->quantise_f32_64(x32, n, &g32, u64, &e[2]));
            assert_true(k->quantise_f32_32(x32, n, &g32, u32, &e[3]));
            for (int64_t i = 0; i < n; i++)
                assert_true((double)u64[i] == rint(((double)x32[i] - 0.5) * (1 / g32.step)) && u32[i] == (int32_t)u64[i]);
            static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e30f};
            for (size_t j = 0; j < sizeof odd / sizeof odd[0]; j++) {
                float kept = x32[n - 1];
                x32[n - 1] = odd[j];
                assert_false(k->quantise_f32_32(x32, n, &g32, u32, &e[3]));
                x32[n - 1] = kept;
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(short_steps, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reconstruction, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(acceptance, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(integers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(requests, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(step_of_spacings, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(ranges, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(quantisers, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
