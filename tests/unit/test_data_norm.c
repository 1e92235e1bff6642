/* test_data_norm.c - proves: the known answers of every normalisation and of its inverse, round trips within rounding, fits from given
 * values, zero ranges, overflow to flag 2, JSON that keeps every bit.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include "scratch.h"
#include "data/normalise.h"

static const char *const every[] = {"pos_log", "block_scale", "scaleitup", "pos_log_std", "minmax", "zscore", "robust", "asinh", "symlog", "adaptive", "none"};
enum { EVERY = sizeof every / sizeof *every };

static swg_norm *open_norm(swg_context *ctx, const char *name) {
    static const char *const variables[] = {"U_K", "U_B2", "U_GT2"};
    swg_norm *norm;
    assert_ok(ctx, swg_norm_open(ctx, name, variables, 3, &norm));
    return norm;
}

/* Two blocks of four, the training part of U_K. */
static const double training[8] = {0.3, -0.2, 5.0, 0.01, 2.0, 1.5, -7.25, 0.125};

static swg_norm *fitted_norm(swg_context *ctx, const char *name) {
    swg_norm *norm = open_norm(ctx, name);
    assert_int_equal(swg__norm_fitted(norm), !swg_norm_needs_fit(norm));
    if (swg_norm_needs_fit(norm)) {
        assert_ok(ctx, swg__norm_fit_begin(norm, (int64_t[]){12, 0, 0})); /* an upper bound: room is left over */
        swg__norm_fit_add(norm, swg_norm_variable(norm, "U_K"), training, 2, 4);
        assert_ok(ctx, swg__norm_fit_end(norm));
        assert_true(swg__norm_fitted(norm));
    }
    return norm;
}

/* Forward values and the way back. */
static void check(swg_context *ctx, const char *name, const char *variable, const double *x, const double *expected, int n, double back) {
    swg_norm *norm = fitted_norm(ctx, name);
    int64_t v = swg_norm_variable(norm, variable);
    swg_side side;
    double y[16], again[16];
    swg__norm_forward(norm, v, SWG_ELEMENT_F64, x, n, &side, y);
    swg__norm_inverse(norm, v, &side, y, n, again);
    for (int i = 0; i < n; i++) {
        assert_close(y[i], expected[i], 1e-15, 1e-11);
        assert_close(again[i], x[i], back, back);
    }
    swg_norm_close(norm);
}

static void known_answers(void **state) {
    swg_context *ctx = *state;
    static const double chi[] = {0.775, 0.9, 1, 1.42}, logs[] = {-13.8155105580, -2.07943354171, -1.49165043234, -0.438503411800};
    check(ctx, "pos_log", "U_K", chi, logs, 4, 1e-15);
    check(ctx, "asinh", "U_K", (double[]){0.05}, (double[]){2.31243834127}, 1, 1e-15);
    check(ctx, "asinh", "U_B2", (double[]){-0.002}, (double[]){-1.44363547518}, 1, 1e-15);
    check(ctx, "asinh", "U_GT2", (double[]){-0.002}, (double[]){-1.44363547518}, 1, 1e-15);
    check(ctx, "symlog", "U_K", (double[]){0.5, -0.02, 0}, (double[]){0.179175946923, -0.0182321556794, 0}, 3, 1e-15);
    check(ctx, "none", "U_K", chi, chi, 4, 0);
    check(ctx, "minmax", "U_K", (double[]){-7.25, 5, 0}, (double[]){0, 1, 7.25 / 12.25}, 3, 1e-14);
    check(ctx, "zscore", "U_K", (double[]){1}, (double[]){(1 - 0.185625) / 3.2342420262520553}, 1, 1e-14);
    check(ctx, "robust", "U_K", (double[]){1}, (double[]){(1 - 0.2125) / 1.6675}, 1, 1e-14);
    /* Scale exponents. */
    static const double means[] = {1e-3, 2.4e-3, 1e-6, 3.3e-12, 1e-30, 0, 2.5e-3};
    static const int exponents[] = {0, 0, 3, 9, 20, 0, 0};
    swg_norm *norm = open_norm(ctx, "scaleitup");
    for (int i = 0; i < 7; i++) {
        swg_side side;
        double y[2], x[2] = {means[i], -means[i]};
        swg__norm_forward(norm, 0, SWG_ELEMENT_F64, x, 2, &side, y);
        assert_int_equal(side.exponent, exponents[i]);
        assert_close(y[0], log(2 * means[i] * pow(10, exponents[i]) + 1e-6), 0, 1e-13);
    }
    swg_norm_close(norm);
}

static void block_scale(void **state) {
    swg_context *ctx = *state;
    swg_norm *norm = open_norm(ctx, "block_scale");
    static const struct {
        double x[2];
        double offset;
        int exponent;
        double y[2];
    } cases[] = {
        {{1, 3}, 2, 0, {-1, 1}},             /* exactly 2^0 */
        {{0, 8.5}, 4.25, 3, {-0.53125, 0.53125}},
        {{-0.25, 0.25}, 0, -2, {-1, 1}},
        {{7, 7}, 7, -128, {0, 0}},
        {{1e-45, -1e-45}, 0, -128, {1e-45 * 0x1p127 * 2, -1e-45 * 0x1p127 * 2}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        swg_side side;
        float y[2];
        double back[2];
        swg_norm_forward(norm, 0, SWG_ELEMENT_F64, cases[c].x, 2, &side, y);
        assert_int_equal(side.flag, SWG_BLOCK_NORMAL);
        assert_close(side.offset, cases[c].offset, 0, 0);
        assert_int_equal(side.exponent, cases[c].exponent);
        swg_norm_inverse(norm, 0, &side, y, 2, SWG_ELEMENT_F64, back);
        for (int i = 0; i < 2; i++) {
            assert_close((double)y[i], cases[c].y[i], 0, 1e-7);
            assert_close(back[i], cases[c].x[i], 0, 1e-7);
        }
    }
    /* Never beyond 1, and above 1/2 somewhere: e is the smallest. */
    for (int k = 0; k < 1000; k++) {
        float x[5], y[5];
        double largest = 0;
        swg_side side;
        for (int i = 0; i < 5; i++)
            x[i] = ldexpf(sinf((float)(k * 7 + i * 3)), k % 40 - 15) + (float)(k % 3);
        swg_norm_forward(norm, 0, SWG_ELEMENT_F32, x, 5, &side, y);
        for (int i = 0; i < 5; i++)
            largest = fmax(largest, fabs((double)y[i]));
        assert_true(largest <= 1 && largest > 0.5);
        assert_close(side.offset, (double)(float)side.offset, 0, 0);
    }
    swg_norm_close(norm);
}

static void fits(void **state) {
    swg_context *ctx = *state;
    static const double x[] = {0.3, 1};
    /* pos_log_std: mean and deviation of ln over both training blocks. */
    swg_norm *norm = fitted_norm(ctx, "pos_log_std");
    swg_side side;
    double y[2], log_sum = 0, log_square = 0;
    for (int i = 0; i < 8; i++) {
        double l = log(training[i] - (i < 4 ? -0.2 : -7.25) + 1e-6);
        log_sum += l;
        log_square += l * l;
    }
    double mean = log_sum / 8, sd = sqrt(log_square / 8 - mean * mean);
    swg__norm_forward(norm, 0, SWG_ELEMENT_F64, x, 2, &side, y);
    assert_close(y[0], (log(1e-6) - mean) / sd, 0, 1e-12);
    assert_close(y[1], (log(0.7 + 1e-6) - mean) / sd, 0, 1e-12);
    swg_norm_close(norm);
    /* adaptive: 10 over the 95th percentile, 6.4625; a variable without training data keeps 1. */
    norm = fitted_norm(ctx, "adaptive");
    swg__norm_forward(norm, 0, SWG_ELEMENT_F64, x, 2, &side, y);
    assert_close(y[1], log(0.7 * (10 / 6.4625) + 1e-8), 0, 1e-12);
    swg__norm_forward(norm, 1, SWG_ELEMENT_F64, x, 2, &side, y);
    assert_close(y[1], log(0.7 + 1e-8), 0, 1e-12);
    assert_int_equal(swg_norm_variable(norm, "U_GT2"), 2);
    assert_int_equal(swg_norm_variable(norm, "U_CHI"), -1);
    swg_norm_close(norm);
    /* ... and over the median magnitude when that is tiny. */
    norm = open_norm(ctx, "adaptive");
    assert_ok(ctx, swg__norm_fit_begin(norm, (int64_t[]){0, 5, 0}));
    swg__norm_fit_add(norm, 1, (double[]){0, 1e-13, -2e-9, 4e-9, 9}, 1, 5);
    assert_ok(ctx, swg__norm_fit_end(norm));
    swg__norm_forward(norm, 1, SWG_ELEMENT_F64, (double[]){0, 4e-9}, 2, &side, y);
    assert_close(y[1], log(10 + 1e-8), 0, 1e-12);
    swg_norm_close(norm);
    /* Nothing to fit to. */
    norm = open_norm(ctx, "zscore");
    assert_ok(ctx, swg__norm_fit_begin(norm, (int64_t[]){0, 0, 0}));
    assert_int_equal(swg__norm_fit_end(norm), SWG_EINVAL);
    assert_message(ctx, "data.norm=zscore", "no usable block");
    swg_norm_close(norm);
}

static int warnings;
static void count_warnings(void *user, swg_log_level level, const char *text) {
    (void)user;
    (void)text;
    warnings += level == SWG_LOG_WARNING;
}

static void zero_ranges(void **state) {
    (void)state;
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.log = count_warnings}, &ctx), SWG_OK);
    static const struct {
        const char *name;
        double values[8], x, y;
    } cases[] = {
        {"minmax", {3, 3, 3, 3, 3, 3, 3, 3}, 3, 0},
        {"minmax", {3, 3, 3, 3, 3, 3, 3, 3}, 5, 0},
        {"zscore", {3, 3, 3, 3, 3, 3, 3, 3}, 5, 0},
        {"robust", {3, 3, 3, 3, 3, 3, 3, 3}, 5, 2},
        {"robust", {3, 3, 3, 3, 3, 3, 3, 11}, 5, 2 / 2.6457513110645907}, /* the deviation instead */
        {"adaptive", {0}, 5, -18.420680743952367},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        warnings = 0;
        swg_norm *norm = open_norm(ctx, cases[c].name);
        assert_ok(ctx, swg__norm_fit_begin(norm, (int64_t[]){8, 0, 0}));
        swg__norm_fit_add(norm, 0, cases[c].values, 2, 4);
        assert_ok(ctx, swg__norm_fit_end(norm));
        assert_true(warnings > 0);
        swg_side side;
        double y, back;
        swg__norm_forward(norm, 0, SWG_ELEMENT_F64, &cases[c].x, 1, &side, &y);
        assert_close(y, cases[c].y, 0, 1e-12);
        swg__norm_inverse(norm, 0, &side, &y, 1, &back);
        assert_true(isfinite(back));
        swg_norm_close(norm);
    }
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

/* Blocks of all magnitudes go through f32 and come back: as near as the f32 in between allows. */
static void round_trips(void **state) {
    swg_context *ctx = *state;
    for (int m = 0; m < EVERY; m++) {
        swg_norm *norm = fitted_norm(ctx, every[m]);
        assert_string_equal(swg_norm_name(norm), every[m]);
        for (int element = SWG_ELEMENT_F32; element <= SWG_ELEMENT_F64; element++) {
            for (int k = 0; k < 40; k++) {
                float narrow[125], y[125], narrow_back[125];
                double wide[125], wide_back[125], range = 0;
                for (int i = 0; i < 125; i++) {
                    narrow[i] = ldexpf(sinf((float)(k + i * i)), k % 20 - 18);
                    wide[i] = (double)narrow[i];
                    range = fmax(range, fabs(wide[i]));
                }
                swg_side side;
                bool f32 = element == SWG_ELEMENT_F32;
                swg_norm_forward(norm, 0, (swg_element)element, f32 ? (void *)narrow : (void *)wide, 125, &side, y);
                assert_int_equal(side.flag, SWG_BLOCK_NORMAL);
                swg_norm_inverse(norm, 0, &side, y, 125, (swg_element)element, f32 ? (void *)narrow_back : (void *)wide_back);
                for (int i = 0; i < 125; i++) /* 2^-24 of |y| <= 20 is a relative 1.2e-6 after exp */
                    assert_close(f32 ? (double)narrow_back[i] : wide_back[i], wide[i], 3e-6 * range + 2e-6, 0);
            }
        }
        swg_norm_close(norm);
    }
}

static void flags(void **state) {
    swg_context *ctx = *state;
    swg_side side;
    float y[2];
    swg_norm *norm = open_norm(ctx, "none");
    swg_norm_forward(norm, 0, SWG_ELEMENT_F64, (double[]){1e300, 0}, 2, &side, y); /* no f32 */
    assert_int_equal(side.flag, SWG_BLOCK_RAW);
    assert_true(y[0] == 0 && y[1] == 0);
    swg_norm_close(norm);
    norm = open_norm(ctx, "block_scale");
    swg_norm_forward(norm, 0, SWG_ELEMENT_F64, (double[]){1e300, 1e300}, 2, &side, y); /* the mean has no f32 */
    assert_int_equal(side.flag, SWG_BLOCK_RAW);
    swg_norm_close(norm);
    norm = open_norm(ctx, "pos_log");
    swg_norm_forward(norm, 0, SWG_ELEMENT_F64, (double[]){-1.7e308, 1.7e308}, 2, &side, y); /* the difference has no f64 */
    assert_int_equal(side.flag, SWG_BLOCK_RAW);
    swg_norm_forward(norm, 0, SWG_ELEMENT_F64, (double[]){5e-324, 1e-310}, 2, &side, y); /* subnormal: data like any other */
    assert_int_equal(side.flag, SWG_BLOCK_NORMAL);
    assert_close((double)y[0], log(1e-6), 0, 1e-7);
    swg_norm_forward(norm, 0, SWG_ELEMENT_F32, (float[]){-FLT_MAX, FLT_MAX}, 2, &side, y);
    assert_int_equal(side.flag, SWG_BLOCK_NORMAL);
    assert_int_equal(swg_norm_side_bytes(norm, SWG_ELEMENT_F32), 4);
    assert_int_equal(swg_norm_side_bytes(norm, SWG_ELEMENT_F64), 8);
    swg_norm_close(norm);
    static const int bytes[EVERY] = {8, 5, 9, 8, 0, 0, 0, 0, 0, 8, 0};
    for (int m = 0; m < EVERY; m++) {
        norm = open_norm(ctx, every[m]);
        assert_int_equal(swg_norm_side_bytes(norm, SWG_ELEMENT_F64), bytes[m]);
        swg_norm_close(norm);
    }
    assert_int_equal(swg_norm_open(ctx, "log_pos", NULL, 0, &norm), SWG_EINVAL);
    assert_message(ctx, "data.norm=log_pos", "pos_log, block_scale", "adaptive, none");
    assert_ok(ctx, swg_norm_open(ctx, NULL, NULL, 0, &norm));
    assert_string_equal(swg_norm_name(norm), "pos_log");
    swg_norm_close(norm);
}

static void json(void **state) {
    swg_context *ctx = *state;
    static const double x[4] = {0.1, 0.7, -0.3, 0.25};
    for (int m = 0; m < EVERY; m++) {
        swg_norm *norm = fitted_norm(ctx, every[m]), *again;
        char text[1024];
        int64_t length = swg_norm_json(norm, text, sizeof text);
        assert_in_range(length, 1, sizeof text - 1);
        assert_int_equal(strlen(text), length);
        assert_int_equal(swg_norm_json(norm, NULL, 0), length);
        assert_ok(ctx, swg_norm_from_json(ctx, text, &again));
        swg_side side[2];
        double y[2][4];
        for (int v = 0; v < 3; v++) {
            swg__norm_forward(norm, swg_norm_variable(norm, v ? "U_B2" : "U_K"), SWG_ELEMENT_F64, x, 4, &side[0], y[0]);
            swg__norm_forward(again, swg_norm_variable(again, v ? "U_B2" : "U_K"), SWG_ELEMENT_F64, x, 4, &side[1], y[1]);
            assert_memory_equal(y[0], y[1], sizeof y[0]);
        }
        assert_true(swg__norm_fitted(again));
        swg_norm_close(again);
        swg_norm_close(norm);
    }
    static const char *const bad[] = {
        "", "[1]", "{\"name\":\"pos_log\"}", "{\"name\":\"unheard\",\"parameter\":0,\"variables\":{}}",
        "{\"name\":\"pos_log\",\"parameter\":0.5,\"variables\":{}}", "{\"name\":\"zscore\",\"parameter\":0,\"variables\":{}}",
        "{\"name\":\"zscore\",\"parameter\":0,\"a\":1,\"b\":-1,\"variables\":{}}", "{\"name\":\"asinh\",\"parameter\":0.01,\"variables\":{\"U_K\":\"x\"}}",
        "{\"name\":\"asinh\",\"parameter\":0.01,\"variables\":{\"U_K\":0}}", "{\"name\":\"minmax\",\"parameter\":0,\"a\":1e999,\"b\":1,\"variables\":{}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        swg_norm *norm;
        assert_int_equal(swg_norm_from_json(ctx, bad[i], &norm), SWG_EFORMAT);
        assert_null(norm);
        assert_message(ctx, "normaliser");
    }
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static const char *const names[] = {"adaptive", "robust", "pos_log"};
    for (int m = 0; m < 3; m++) {
        bool finished = false;
        for (int64_t n = 0; !finished; n++) {
            testing_allocator t = {.fail_at = n};
            swg_context *ctx;
            swg_norm *norm = NULL, *again = NULL;
            char text[512];
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK)
                continue;
            swg_status status = swg_norm_open(ctx, names[m], (const char *const[]){"U_K", "U_CHI"}, 2, &norm);
            if (status == SWG_OK)
                status = swg__norm_fit_begin(norm, (int64_t[]){8, 0});
            if (status == SWG_OK && swg_norm_needs_fit(norm)) {
                swg__norm_fit_add(norm, 0, training, 2, 4);
                status = swg__norm_fit_end(norm);
            }
            if (status == SWG_OK) {
                assert_true(swg_norm_json(norm, text, sizeof text) > 0);
                status = swg_norm_from_json(ctx, text, &again);
            }
            assert_true(status == SWG_OK || status == SWG_ENOMEM);
            finished = status == SWG_OK;
            swg_norm_close(norm);
            swg_norm_close(again);
            swg_context_close(ctx);
            assert_int_equal(t.live, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(block_scale, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fits, testing_open, testing_close),
        cmocka_unit_test(zero_ranges),
        cmocka_unit_test_setup_teardown(round_trips, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(flags, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(json, testing_open, testing_close),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
