/* test_image_quality.c - proves: errors, SSIM and correlation agree with a float64 oracle to 1e-12; the known values of constants; what has
 * no SSIM or no correlation is not counted; sums join.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/image.h"

static void add(swg_context *ctx, swg_image_quality *q, const swg_tensor *clean, const swg_tensor *image, bool clip) {
    assert_ok(ctx, swg_image_quality_add(ctx, q, clean->data, image->data, (int)clean->shape[0], clean->shape[1], clean->shape[2], clip));
}

static void oracle(void **state) {
    swg_context *ctx = *state;
    static const char *const cases[] = {"colour", "smallest", "row"};
    swg_safetensors *file = golden_open(ctx, "image_quality.safetensors");
    for (int c = 0; c < 3; c++)
        for (int clip = 0; clip < 2; clip++) {
            swg_image_quality q = {0};
            add(ctx, &q, golden_find(file, cases[c], "clean"), golden_find(file, cases[c], "image"), clip);
            const swg_tensor *want = golden_find(file, cases[c], clip ? "figures_clipped" : "figures");
            assert_non_null(want);
            assert_close(swg_image_mse(&q), golden_at(want, 0), 0, 1e-12);
            assert_close(swg_image_mae(&q), golden_at(want, 1), 0, 1e-12);
            assert_close(swg_image_ssim(&q), golden_at(want, 2), 1e-12, 0);
            assert_close(swg_image_pearson(&q), golden_at(want, 3), 1e-12, 0);
            assert_close(swg_image_psnr_db(&q), -10 * log10(golden_at(want, 0)), 1e-10, 0);
        }
    swg_safetensors_close(file);
}

static void paint(float *values, int64_t count, float value) {
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

static void constants(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 3 * 16 * 12 };
    static float a[COUNT], b[COUNT], ramp[COUNT];
    swg_image_quality q = {0};
    paint(a, COUNT, .2f);
    paint(b, COUNT, .4f);
    for (int i = 0; i < COUNT; i++)
        ramp[i] = (float)i / COUNT;
    assert_ok(ctx, swg_image_quality_add(ctx, &q, a, b, 3, 16, 12, true));
    assert_close(swg_image_ssim(&q), .800099950025, 1e-8, 0); /* .2 and .4 are not floats */
    assert_close(swg_image_mse(&q), .04, 1e-8, 0);
    assert_true(isnan(swg_image_pearson(&q)) && q.images == 1 && q.pearson_images == 0);
    paint(a, COUNT, .5f);
    paint(b, COUNT, .6f);
    q = (swg_image_quality){0};
    assert_ok(ctx, swg_image_quality_add(ctx, &q, a, b, 3, 16, 12, true));
    assert_close(swg_image_psnr_db(&q), 20, 1e-5, 0);
    q = (swg_image_quality){0};
    assert_ok(ctx, swg_image_quality_add(ctx, &q, ramp, ramp, 3, 16, 12, true));
    assert_true(isinf(swg_image_psnr_db(&q)) && swg_image_psnr_db(&q) > 0 && swg_image_mse(&q) == 0);
    assert_close(swg_image_ssim(&q), 1, 1e-14, 0);
    assert_close(swg_image_pearson(&q), 1, 1e-14, 0);
}

static void not_counted(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 10 * 40 };
    static float x[COUNT], y[COUNT];
    swg_image_quality q = {0}, all = {0};
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)(i % 7) / 7;
        y[i] = (float)(i % 5) / 5;
    }
    assert_true(isnan(swg_image_mse(&q)) && isnan(swg_image_psnr_db(&q)));
    assert_ok(ctx, swg_image_quality_add(ctx, &q, x, y, 1, 10, 40, false)); /* ten rows: no valid position */
    assert_true(q.images == 1 && q.ssim_images == 0 && isnan(swg_image_ssim(&q)) && q.pearson_images == 1);
    swg_image_quality_join(&all, &q);
    swg_image_quality_join(&all, &q);
    assert_true(all.images == 2 && all.values == 2 * COUNT && all.pearson_images == 2);
    assert_true(swg_image_mse(&all) == swg_image_mse(&q));
    for (int i = 0; i < 2; i++) {
        swg_image_quality before = q;
        y[17] = i ? NAN : INFINITY;
        assert_int_equal(swg_image_quality_add(ctx, &q, x, y, 1, 10, 40, true), SWG_ENONFINITE);
        assert_memory_equal(&q, &before, sizeof q);
    }
    assert_int_equal(swg_image_quality_add(ctx, &q, x, y, 0, 10, 40, true), SWG_ESHAPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(oracle, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(constants, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(not_counted, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
