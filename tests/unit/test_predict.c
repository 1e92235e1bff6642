/* test_predict.c - proves: predict gives what the network gives, on images that are one tile, and blends tiles of larger ones; batches, threads
 * and the way the image comes change no bit; evaluation counts every tile once and agrees with figures made here; wrong options are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "swage/evaluate.h"
#include "swage/features.h"
#include "swage/image.h"
#include "swage/predict.h"
#include "train/apply.h"
#include "training.h"

enum { TILE = 32, CHANNELS = 3, HEIGHT = 75, WIDTH = 90 };

/* Images need libpng. */
static bool readable(void) {
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        if (feature->version && strcmp(feature->name, "libpng") == 0)
            return true;
    return false;
}

static float value_at(int64_t i) { return (float)((i * 2654435761u >> 7) % 256) / 255; }

static void fill(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        x[i] = value_at(i);
}

/* A small network, trained for a step. */
static swg_model *trained(swg_context *ctx, scratch *s) {
    float *pixels = malloc((CHANNELS * 64 * 64 + 2) * sizeof *pixels);
    swg_config *config;
    swg_model *model;
    char dir[320];
    snprintf(dir, sizeof dir, "run.dir=%s", s->folder);
    fill(pixels, CHANNELS * 64 * 64 + 2);
    assert_ok(ctx, swg__make_folders(ctx, scratch_path(s, "data")));
    for (int i = 0; i < 3; i++) /* one for each part */
        assert_ok(ctx, swg_image_write(ctx, scratch_path(s, (const char *[]){"data/a.png", "data/b.png", "data/c.png"}[i]), CHANNELS, 64, 64, pixels + i, NULL));
    char path[400];
    snprintf(path, sizeof path, "data.path=%s/data", s->folder);
    const char *const overrides[] = {path, dir, "run.name=run", "data.tile=32", "data.size=tile", "model.channels=[8,8,8,8]", "data.batch_size=4", "trainer.epochs=1",
                                     "data.split=random", "kan.update_every=1"};
    assert_ok(ctx, swg_config_open(ctx, "kan/dae", &(swg_config_opts){.overrides = overrides, .override_count = sizeof overrides / sizeof *overrides}, &config));
    assert_ok(ctx, swg_train(ctx, config, NULL, NULL));
    swg_config_close(config);
    assert_ok(ctx, swg_model_open(ctx, in_run(s->folder, "run", ""), &model));
    free(pixels);
    return model;
}

static void one_tile(void **state) {
    swg_context *ctx = *state;
    scratch s;
    if (!readable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &s);
    static const int64_t sides[][2] = {{TILE, TILE}, {24, 16}, {19, 30}, {1, 1}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        const int64_t h = sides[i][0], w = sides[i][1], padded[4] = {1, CHANNELS, (h + 7) / 8 * 8, (w + 7) / 8 * 8};
        float *x = malloc((size_t)(CHANNELS * h * w) * sizeof *x), *y = malloc((size_t)(CHANNELS * h * w) * sizeof *y);
        float *in = malloc((size_t)(CHANNELS * padded[2] * padded[3]) * sizeof *in), *z = malloc((size_t)(8 * padded[2] * padded[3] / 64) * sizeof *z);
        swg__apply apply;
        swg_predict_result result;
        fill(x, CHANNELS * h * w);
        assert_ok(ctx, swg_predict_array(ctx, model, h, w, x, y, z, NULL, &result));
        assert_true(result.tiles == 1 && result.tile_height == padded[2] && result.tile_width == padded[3] && result.z[0] == 8);
        for (int64_t c = 0; c < CHANNELS; c++) /* reflected at the high end, the last pixel not repeated */
            for (int64_t r = 0; r < padded[2]; r++)
                for (int64_t k = 0; k < padded[3]; k++) {
                    int64_t from_r = h == 1 ? 0 : r < h ? r : 2 * (h - 1) - r, from_k = w == 1 ? 0 : k < w ? k : 2 * (w - 1) - k;
                    in[(c * padded[2] + r) * padded[3] + k] = x[(c * h + from_r) * w + from_k];
                }
        assert_ok(ctx, swg__apply_open(model, 4, padded, 2, &apply));
        assert_ok(ctx, swg__apply_run(&apply, 1, in));
        for (int64_t c = 0; c < CHANNELS; c++)
            for (int64_t r = 0; r < h; r++)
                for (int64_t k = 0; k < w; k++)
                    assert_close(y[(c * h + r) * w + k], swg__apply_result(&apply, 0)[(c * padded[2] + r) * padded[3] + k], 1e-6, 0);
        assert_memory_equal(z, swg__apply_result(&apply, 1), (size_t)apply.values[1] * sizeof *z);
        swg__apply_close(&apply);
        free(x);
        free(y);
        free(in);
        free(z);
    }
    swg_model_close(model);
    remove_tree(s.folder);
}

static void many_tiles(void **state) {
    swg_context *ctx = *state;
    scratch s;
    if (!readable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &s);
    const int64_t values = CHANNELS * HEIGHT * WIDTH;
    float *x = malloc((size_t)values * sizeof *x), *y = malloc((size_t)values * sizeof *y), *other = malloc((size_t)values * sizeof *other);
    swg_predict_result result;
    swg_image_pixels back;
    fill(x, values);
    assert_ok(ctx, swg_predict_array(ctx, model, HEIGHT, WIDTH, x, y, NULL, &(swg_predict_opts){.overlap = .25, .batch = 1}, &result));
    assert_true(result.tiles_down == 3 && result.tiles_across == 4 && result.tiles == 12);
    assert_ok(ctx, swg_predict_array(ctx, model, HEIGHT, WIDTH, x, other, NULL, &(swg_predict_opts){.overlap = .25, .batch = 3}, NULL));
    assert_memory_equal(y, other, (size_t)values * sizeof *y);
    /* From a file and to a file: 8 bits in, so x is exact; f32 out of a TIFF of floats. */
    if (swg_image_write(ctx, scratch_path(&s, "x.tif"), CHANNELS, HEIGHT, WIDTH, x, &(swg_image_write_opts){.bits = 32}) == SWG_OK) {
        char in[320], out[320];
        snprintf(in, sizeof in, "%s", scratch_path(&s, "x.tif"));
        snprintf(out, sizeof out, "%s", scratch_path(&s, "y.tif"));
        assert_ok(ctx, swg_predict_file(ctx, model, in, out, &(swg_predict_opts){.overlap = .25}, &result));
        assert_ok(ctx, swg_image_read(ctx, out, &(swg_image_opts){.scale = 1}, &back, NULL));
        assert_memory_equal(y, back.values, (size_t)values * sizeof *y);
        swg_image_pixels_free(ctx, &back);
    }
    assert_int_equal(swg_predict_array(ctx, model, HEIGHT, WIDTH, x, y, NULL, &(swg_predict_opts){.overlap = 1}, NULL), SWG_EINVAL);
    assert_int_equal(swg_predict_array(ctx, model, HEIGHT, WIDTH, x, y, NULL, &(swg_predict_opts){.batch = -1}, NULL), SWG_EINVAL);
    assert_int_equal(swg_predict_array(ctx, model, 0, WIDTH, x, y, NULL, NULL, NULL), SWG_EINVAL);
    assert_int_equal(swg_predict_file(ctx, model, "none.png", "y.png", NULL, NULL), SWG_ENOTFOUND);
    free(x);
    free(y);
    free(other);
    swg_model_close(model);
    remove_tree(s.folder);
}

static void evaluation(void **state) {
    swg_context *ctx = *state;
    scratch s;
    if (!readable())
        skip();
    scratch_open(&s);
    swg_model *model = trained(ctx, &s);
    swg_image_evaluation e, other;
    assert_ok(ctx, swg_evaluate_images(ctx, model, NULL, &(swg_image_evaluate_opts){.batch = 1}, &e));
    assert_ok(ctx, swg_evaluate_images(ctx, model, NULL, &(swg_image_evaluate_opts){.batch = 5, .arrays = s.folder}, &other));
    assert_true(e.count == 1 && e.rows[0].tiles == 12 && e.z_channels == 8 && e.images == 3);
    assert_close(swg_image_psnr_db(&e.rows[0].restored), swg_image_psnr_db(&other.rows[0].restored), 1e-5, 0); /* batches of another size */
    assert_close(swg_image_ssim(&e.rows[0].noisy), swg_image_ssim(&other.rows[0].noisy), 0, 0);
    double psnr[2] = {0};
    for (int side = 0; side < 2; side++) { /* from the arrays written */
        uint8_t *bytes[2];
        size_t size[2];
        assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, "clean.npy"), &bytes[0], &size[0]));
        assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, side ? "decoded.npy" : "noisy.npy"), &bytes[1], &size[1]));
        const int64_t values = 12 * CHANNELS * TILE * TILE;
        assert_true(size[0] == size[1] && size[0] == 128 + (size_t)values * sizeof(float));
        const float *a = (const float *)(bytes[0] + 128), *b = (const float *)(bytes[1] + 128);
        for (int64_t i = 0; i < values; i++) {
            double d = (double)a[i] - fmin(1, fmax(0, (double)b[i]));
            psnr[side] += d * d / (double)values;
        }
        psnr[side] = -10 * log10(psnr[side]);
        swg__free(ctx, bytes[0]);
        swg__free(ctx, bytes[1]);
    }
    assert_close(psnr[0], swg_image_psnr_db(&other.rows[0].noisy), 1e-6, 0);
    assert_close(psnr[1], swg_image_psnr_db(&other.rows[0].restored), 1e-6, 0);
    swg_image_evaluation_free(ctx, &e);
    swg_image_evaluation_free(ctx, &other);
    assert_int_equal(swg_evaluate_images(ctx, model, NULL, &(swg_image_evaluate_opts){.part = "most"}, &e), SWG_EUSAGE);
    swg_model_close(model);
    remove_tree(s.folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_tile, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(many_tiles, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(evaluation, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
