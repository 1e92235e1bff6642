/* test_image_quality.c - proves: errors, SSIM and correlation agree with a float64 oracle to 1e-12, in planes and in volumes; the known values of
 * constants; what has no SSIM, PSNR or correlation is not counted; sums join; the overlap of masks, empty ones included.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/quality.h"

static void add(swg_context *ctx, swg_image_quality *q, const swg_tensor *clean, const swg_tensor *image, bool clip) {
    const swg_quality_opts opts = {.channels = (int)clean->shape[0], .extent = {1, clean->shape[1], clean->shape[2]}, .range = 1, .clip = clip};
    assert_ok(ctx, swg_image_quality_add(ctx, q, clean->data, image->data, &opts));
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

/* Range of the target; taps cut down to what fits. */
static void volumes(void **state) {
    swg_context *ctx = *state;
    static const char *const cases[] = {"volume", "thin", "short"};
    swg_safetensors *file = golden_open(ctx, "image_quality.safetensors");
    for (int c = 0; c < 3; c++) {
        const swg_tensor *target = golden_find(file, cases[c], "target"), *image = golden_find(file, cases[c], "image"),
                         *want = golden_find(file, cases[c], "figures");
        swg_quality_opts opts = {.channels = (int)target->shape[0], .extent = {target->shape[1], target->shape[2], target->shape[3]}, .fit_taps = true};
        swg_image_quality q = {0};
        assert_ok(ctx, swg_image_quality_add(ctx, &q, target->data, image->data, &opts));
        assert_close(swg_image_mse(&q), golden_at(want, 0), 0, 1e-12);
        assert_close(swg_image_mae(&q), golden_at(want, 1), 0, 1e-12);
        assert_close(swg_image_ssim(&q), golden_at(want, 2), 1e-12, 0);
        assert_close(swg_image_pearson(&q), golden_at(want, 3), 1e-12, 0);
        assert_close(swg_image_psnr_mean_db(&q), golden_at(want, 4), 1e-10, 0);
        opts.fit_taps = false;
        q = (swg_image_quality){0};
        assert_ok(ctx, swg_image_quality_add(ctx, &q, target->data, image->data, &opts));
        assert_int_equal(q.ssim_images, c != 2); /* "short" has axes of less than 11; one of 1 is a plane */
    }
    swg_safetensors_close(file);
}

static void masks(void **state) {
    (void)state;
    static const float a[6] = {1, .6f, 0, 0, .5f, 0}, b[6] = {.7f, 0, .9f, 0, 0, 0}, none[6] = {0};
    swg_overlap o = {0}, sum = {0};
    assert_true(isnan(swg_overlap_dice(&o)) && isnan(swg_overlap_iou(&o)));
    swg_overlap_add(&o, a, b, 6); /* two and two, one in both */
    assert_true(swg_overlap_dice(&o) == .5 && swg_overlap_iou(&o) == 1. / 3);
    swg_overlap_join(&sum, &o);
    o = (swg_overlap){0};
    swg_overlap_add(&o, none, none, 6);
    assert_true(swg_overlap_dice(&o) == 1 && swg_overlap_iou(&o) == 1);
    swg_overlap_join(&sum, &o);
    o = (swg_overlap){0};
    swg_overlap_add(&o, none, b, 6);
    assert_true(swg_overlap_dice(&o) == 0 && swg_overlap_iou(&o) == 0);
    swg_overlap_join(&sum, &o);
    assert_true(sum.images == 3 && swg_overlap_dice(&sum) == .5);
}

static void paint(float *values, int64_t count, float value) {
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

static void constants(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 3 * 16 * 12 };
    const swg_quality_opts opts = {.channels = 3, .extent = {1, 16, 12}, .range = 1, .clip = true};
    static float a[COUNT], b[COUNT], ramp[COUNT];
    swg_image_quality q = {0};
    paint(a, COUNT, .2f);
    paint(b, COUNT, .4f);
    for (int i = 0; i < COUNT; i++)
        ramp[i] = (float)i / COUNT;
    assert_ok(ctx, swg_image_quality_add(ctx, &q, a, b, &opts));
    assert_close(swg_image_ssim(&q), .800099950025, 1e-8, 0); /* .2 and .4 are not floats */
    assert_close(swg_image_mse(&q), .04, 1e-8, 0);
    assert_true(isnan(swg_image_pearson(&q)) && q.images == 1 && q.pearson_images == 0);
    paint(a, COUNT, .5f);
    paint(b, COUNT, .6f);
    q = (swg_image_quality){0};
    assert_ok(ctx, swg_image_quality_add(ctx, &q, a, b, &opts));
    assert_close(swg_image_psnr_db(&q), 20, 1e-5, 0);
    q = (swg_image_quality){0};
    assert_ok(ctx, swg_image_quality_add(ctx, &q, ramp, ramp, &opts));
    assert_true(isinf(swg_image_psnr_db(&q)) && swg_image_psnr_db(&q) > 0 && swg_image_mse(&q) == 0);
    assert_close(swg_image_ssim(&q), 1, 1e-14, 0);
    assert_close(swg_image_pearson(&q), 1, 1e-14, 0);
}

static void not_counted(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 10 * 40 };
    swg_quality_opts opts = {.channels = 1, .extent = {1, 10, 40}, .range = 1};
    static float x[COUNT], y[COUNT];
    swg_image_quality q = {0}, all = {0};
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)(i % 7) / 7;
        y[i] = (float)(i % 5) / 5;
    }
    assert_true(isnan(swg_image_mse(&q)) && isnan(swg_image_psnr_db(&q)));
    assert_ok(ctx, swg_image_quality_add(ctx, &q, x, y, &opts)); /* ten rows: no valid position */
    assert_true(q.images == 1 && q.ssim_images == 0 && isnan(swg_image_ssim(&q)) && q.pearson_images == 1);
    swg_image_quality_join(&all, &q);
    swg_image_quality_join(&all, &q);
    opts.clip = true;
    assert_true(all.images == 2 && all.values == 2 * COUNT && all.pearson_images == 2);
    assert_true(swg_image_mse(&all) == swg_image_mse(&q));
    for (int i = 0; i < 2; i++) {
        swg_image_quality before = q;
        y[17] = i ? NAN : INFINITY;
        assert_int_equal(swg_image_quality_add(ctx, &q, x, y, &opts), SWG_ENONFINITE);
        assert_memory_equal(&q, &before, sizeof q);
    }
    opts.channels = 0;
    assert_int_equal(swg_image_quality_add(ctx, &q, x, y, &opts), SWG_ESHAPE);
    opts = (swg_quality_opts){.channels = 1, .extent = {1, 10, 40}, .fit_taps = true};
    q = (swg_image_quality){0};
    paint(y, COUNT, 3);
    assert_ok(ctx, swg_image_quality_add(ctx, &q, y, x, &opts)); /* a constant target: no range, no correlation */
    assert_true(q.images == 1 && q.psnr_images + q.ssim_images + q.pearson_images == 0 && swg_image_mse(&q) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(oracle, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(volumes, testing_open, testing_close),
        cmocka_unit_test(masks),
        cmocka_unit_test_setup_teardown(constants, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(not_counted, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
