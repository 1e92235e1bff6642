/* test_metrics.c - proves: the known answers, infinities and n/a where they belong, percentiles by linear interpolation, the same bits
 * for any number of threads and any partition into calls of whole chunks, JSON that parses.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include "scratch.h"
#include "data/stats.h"
#include "swage/metrics.h"

static swg_metrics compare(swg_context *ctx, const swg_compare_opts *opts, const double *x, const double *y, int64_t n) {
    swg_compare *c;
    swg_metrics m;
    assert_ok(ctx, swg_compare_open(ctx, opts, &c));
    assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F64, x, y, n));
    swg_compare_exclude(c, 3, 2);
    swg_compare_result(c, &m);
    swg_compare_close(c);
    return m;
}

#define assert_metric(m, metric, expected)               \
    do {                                                 \
        assert_true((m).has[SWG_METRIC_##metric]);       \
        assert_close((m).value[SWG_METRIC_##metric], expected, 0, 1e-11); \
    } while (0)

static void known_answers(void **state) {
    swg_context *ctx = *state;
    static const double x[] = {0, 1, -2, 0.5}, y[] = {0.1, 0.8, -2.6, 2.5};
    swg_metrics m = compare(ctx, NULL, x, y, 4);
    assert_metric(m, MSE, 1.1025);
    assert_metric(m, MAE, 0.725);
    assert_metric(m, MAX_ABS_ERROR, 2);
    assert_metric(m, ERROR_MEAN, 0.325);
    assert_metric(m, ERROR_STD, 0.9984362773857929);
    assert_metric(m, ERROR_MIN, -0.6);
    assert_metric(m, ERROR_MAX, 2);
    assert_metric(m, PSNR_DB, 9.11863911299);
    assert_metric(m, CORRELATION, 0.878297001298513);
    assert_metric(m, RELATIVE_L2, 0.916515138991);
    assert_metric(m, NRMSE, 0.35);
    assert_metric(m, RELATIVE_MEAN, 1.5);
    assert_metric(m, RELATIVE_MAX, 4);
    assert_metric(m, RELATIVE_STD, 1.768238294649979);
    assert_metric(m, RELATIVE_RMS, 2.3187640385918242);
    assert_metric(m, RELATIVE_P50, 0.3);
    assert_metric(m, RELATIVE_P95, 3.63);
    assert_metric(m, RELATIVE_P99, 3.926);
    assert_metric(m, ZEROS, 1);
    assert_metric(m, VALUES, 4);
    assert_metric(m, CONSTANT_BLOCKS, 3);
    assert_metric(m, RAW_BLOCKS, 2);
    m = compare(ctx, &(swg_compare_opts){.relative_floor = 1e-12, .no_percentiles = true}, x, y, 4);
    assert_metric(m, RELATIVE_MAX, 1e11);
    assert_close(m.value[SWG_METRIC_RELATIVE_MEAN], 25000000001.125, 0, 1e-11);
    assert_false(m.has[SWG_METRIC_RELATIVE_P50]);
}

static void without_numbers(void **state) {
    swg_context *ctx = *state;
    static const double x[] = {1, 2, 4}, flat[] = {3, 3, 3}, zeros[] = {0, 0, 0};
    swg_metrics m = compare(ctx, NULL, x, x, 3);
    assert_true(m.has[SWG_METRIC_PSNR_DB] && isinf(m.value[SWG_METRIC_PSNR_DB]) && m.value[SWG_METRIC_PSNR_DB] > 0);
    assert_metric(m, CORRELATION, 1);
    assert_metric(m, MAX_ABS_ERROR, 0);
    m = compare(ctx, NULL, flat, x, 3);
    assert_false(m.has[SWG_METRIC_PSNR_DB]);
    assert_false(m.has[SWG_METRIC_NRMSE]);
    assert_false(m.has[SWG_METRIC_CORRELATION]);
    assert_true(m.has[SWG_METRIC_RELATIVE_L2]);
    m = compare(ctx, NULL, x, flat, 3);
    assert_true(m.has[SWG_METRIC_PSNR_DB]);
    assert_false(m.has[SWG_METRIC_CORRELATION]);
    m = compare(ctx, NULL, zeros, x, 3);
    assert_false(m.has[SWG_METRIC_RELATIVE_L2]);
    assert_false(m.has[SWG_METRIC_RELATIVE_MEAN]);
    assert_false(m.has[SWG_METRIC_RELATIVE_P99]);
    assert_metric(m, ZEROS, 3);
    swg_compare *c;
    assert_ok(ctx, swg_compare_open(ctx, NULL, &c));
    assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F64, x, x, 0));
    swg_compare_result(c, &m);
    assert_metric(m, VALUES, 0);
    assert_false(m.has[SWG_METRIC_MSE]);
    static const double bad[] = {1, NAN, 2}, endless[] = {1, INFINITY, 2};
    assert_int_equal(swg_compare_add(c, SWG_ELEMENT_F64, bad, x, 3), SWG_ENONFINITE);
    assert_int_equal(swg_compare_add(c, SWG_ELEMENT_F64, x, endless, 3), SWG_ENONFINITE);
    assert_int_equal(swg_compare_add(c, SWG_ELEMENT_I8, x, x, 3), SWG_EDTYPE);
    assert_int_equal(swg_compare_add(c, SWG_ELEMENT_F64, x, x, -1), SWG_EINVAL);
    assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F64, x, flat, 3)); /* the refused calls left nothing behind */
    swg_compare_result(c, &m);
    assert_metric(m, VALUES, 3);
    assert_metric(m, MAE, 4.0 / 3);
    swg_compare_close(c);
}

enum { MANY = 50000 };

static void same_bits_for_any_threads(void **state) {
    (void)state;
    static float x[MANY], y[MANY];
    for (int i = 0; i < MANY; i++) {
        x[i] = sinf((float)i) * 1e-3f + 100;
        y[i] = x[i] + 1e-5f * cosf((float)(3 * i));
    }
    swg_metrics m[3];
    static const int threads[] = {1, 2, 5};
    for (int t = 0; t < 3; t++) {
        swg_context *ctx;
        swg_compare *c;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads[t]}, &ctx), SWG_OK);
        assert_ok(ctx, swg_compare_open(ctx, NULL, &c));
        if (t == 2) { /* whole chunks in one call, the rest in another */
            assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F32, x, y, 8192));
            assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F32, x + 8192, y + 8192, MANY - 8192));
        } else {
            assert_ok(ctx, swg_compare_add(c, SWG_ELEMENT_F32, x, y, MANY));
        }
        swg_compare_result(c, &m[t]);
        swg_compare_close(c);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
    }
    assert_memory_equal(&m[0], &m[1], sizeof m[0]);
    assert_memory_equal(&m[0], &m[2], sizeof m[0]);
    /* Against a plain sum in long double. */
    long double square = 0, mean = 0;
    for (int i = 0; i < MANY; i++) {
        square += ((long double)y[i] - x[i]) * ((long double)y[i] - x[i]);
        mean += (long double)y[i] - x[i];
    }
    assert_close(m[0].value[SWG_METRIC_MSE], (double)(square / MANY), 0, 1e-13);
    assert_close(m[0].value[SWG_METRIC_ERROR_MEAN], (double)(mean / MANY), 1e-18, 1e-10);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void quantiles(void **state) {
    (void)state;
    static double values[3001], sorted[3001];
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < 3001; i++) {
            double wave = sin(i * 1.7);
            values[i] = kind == 0 ? wave : kind == 1 ? floor(wave * 3) : kind == 2 ? 7 : ldexp(wave, (int)(wave * 900));
        }
        if (kind == 1) {
            values[5] = -0.0;
            values[6] = 0.0;
        }
        memcpy(sorted, values, sizeof values);
        qsort(sorted, 3001, sizeof *sorted, ascending);
        for (int p = 0; p <= 100; p++) {
            double position = p / 100.0 * 3000, low = floor(position), high = fmin(low + 1, 3000);
            double expected = sorted[(int)low] + (position - low) * (sorted[(int)high] - sorted[(int)low]);
            assert_close(swg__quantile(values, 3001, p / 100.0), expected, 0, 1e-14);
        }
    }
    assert_close(swg__quantile((double[]){5}, 1, 0.5), 5, 0, 0);
    assert_close(swg__quantile((double[]){2, 1}, 2, 0.5), 1.5, 0, 0);
}

static void json(void **state) {
    swg_context *ctx = *state;
    static const double x[] = {1, 2, 4};
    swg_metrics m = compare(ctx, NULL, x, x, 3);
    char text[2048], small[10];
    int64_t length = swg_metrics_json(&m, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(swg_metrics_json(&m, small, sizeof small), length);
    assert_memory_equal(small, text, 9);
    assert_int_equal(small[9], 0);
    assert_int_equal(swg_metrics_json(&m, NULL, 0), length);
    cJSON *root = cJSON_Parse(text);
    assert_non_null(root);
    assert_int_equal(cJSON_GetArraySize(root), SWG_METRICS);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "psnr_db")->valuestring, "inf");
    assert_close(cJSON_GetObjectItemCaseSensitive(root, "mse")->valuedouble, 0, 0, 0);
    assert_close(cJSON_GetObjectItemCaseSensitive(root, "max")->valuedouble, 4, 0, 0);
    cJSON_Delete(root);
    m = compare(ctx, NULL, (double[]){3, 3}, x, 2);
    swg_metrics_json(&m, text, sizeof text);
    root = cJSON_Parse(text);
    assert_non_null(root);
    static const char *const empty[] = {"psnr_db", "nrmse", "correlation"}, *const full[] = {"mse", "mae", "max_abs_error", "relative_p99"};
    for (int i = 0; i < 3; i++)
        assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(root, empty[i])));
    for (int i = 0; i < 4; i++)
        assert_true(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(root, full[i])));
    cJSON_Delete(root);
    assert_string_equal(swg_metric_key(SWG_METRIC_MAX_ABS_ERROR), "max_abs_error");
    assert_non_null(swg_metric_meaning(SWG_METRIC_CORRELATION));
    assert_null(swg_metric_key(SWG_METRICS));
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static const float x[5000] = {0};
    bool finished = false;
    for (int64_t n = 0; !finished; n++) {
        testing_allocator t = {.fail_at = n};
        swg_context *ctx;
        swg_compare *c;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK)
            continue;
        swg_status status = swg_compare_open(ctx, NULL, &c);
        for (int i = 0; status == SWG_OK && i < 3; i++)
            status = swg_compare_add(c, SWG_ELEMENT_F32, x, x, 1000 << i);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        finished = status == SWG_OK;
        swg_compare_close(c);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(without_numbers, testing_open, testing_close),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(quantiles),
        cmocka_unit_test_setup_teardown(json, testing_open, testing_close),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
