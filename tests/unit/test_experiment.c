/* test_experiment.c - proves that predictions of an experiment follow its predict.* settings, and that what does not fit is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include "scratch.h"
#include "swage/experiment.h"

enum { SIDE = 40 };

static void make_experiment(swg_context *ctx, const char *folder, const float *image, const float *mask, swg_experiment **out) {
    static const char *const changes[] = {"trainer.max_epochs=1", "model.spatial_dims=2", "data.patch=[16,16]", "data.source=image normalise", "data.target=[mask]",
                                          "model.filters=[4,8]", "data.augment=none", "image_saver.enabled=false"};
    assert_ok(ctx, swg_experiment_default(ctx, "cyto/segmentation", folder, changes, sizeof changes / sizeof *changes, out));
    swg_train_array arrays[4];
    for (int i = 0; i < 4; i++)
        arrays[i] = (swg_train_array){.column = i % 2 ? "mask" : "image", .split = i < 2 ? "train" : "valid", .values = i % 2 ? mask : image,
                                      .element = SWG_ELEMENT_F32, .layout = "YX", .ndim = 2, .dims = {SIDE, SIDE}};
    assert_ok(ctx, swg_experiment_train(*out, arrays, 4, NULL, NULL));
}

static void predict(swg_context *ctx, swg_experiment *e, const char *change, const float *image, swg_prediction *out) {
    static const int64_t dims[4] = {1, 1, SIDE, SIDE};
    if (change)
        assert_ok(ctx, swg_experiment_override(e, &change, 1));
    assert_ok(ctx, swg_experiment_predict(e, dims, image, NULL, out));
    assert_int_equal(out->dims[0][2], SIDE);
}

static void windows_follow_the_settings(void **state) {
    static const int64_t two[4] = {2, 1, SIDE, SIDE / 2}, dims[4] = {1, 1, SIDE, SIDE};
    float image[SIDE * SIDE], mask[SIDE * SIDE];
    swg_context *ctx = *state;
    scratch s;
    char command[128];
    swg_experiment *e;
    swg_prediction patches, whole, same, boxed;
    scratch_open(&s);
    for (int i = 0; i < SIDE * SIDE; i++) {
        image[i] = sinf((float)i * .37f) + (float)(i % SIDE > SIDE / 2);
        mask[i] = i % SIDE > SIDE / 2;
    }
    make_experiment(ctx, s.folder, image, mask, &e);
    predict(ctx, e, NULL, image, &patches);
    predict(ctx, e, "predict.roi=[0,0]", image, &whole);
    assert_memory_not_equal(patches.values[0], whole.values[0], sizeof image);
    const swg_predict_stacks_opts all = {.roi = {0, -1, -1}};
    assert_int_equal(swg_experiment_predict(e, dims, image, &all, &same), SWG_OK);
    assert_memory_equal(same.values[0], whole.values[0], sizeof image);
    predict(ctx, e, "predict.roi=[16,16]", image, &boxed);
    assert_memory_equal(patches.values[0], boxed.values[0], sizeof image);
    swg_prediction_free(ctx, &boxed);
    predict(ctx, e, "predict.box=[0,1,0,8,0,8]", image, &boxed);
    assert_memory_equal(patches.values[0], boxed.values[0], 8 * sizeof *image);
    assert_true(boxed.values[0][SIDE * SIDE - 1] == 0);
    swg_prediction_free(ctx, &boxed);

    const char *empty = "predict.box=[0,1,8,8,0,8]";
    assert_int_equal(swg_experiment_override(e, &empty, 1), SWG_OK);
    assert_int_equal(swg_experiment_predict(e, dims, image, NULL, &boxed), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "8 to 8 along y is empty"));
    assert_int_equal(swg_experiment_predict(e, two, image, &all, &boxed), SWG_EINVAL); /* other channels */
    assert_non_null(strstr(swg_context_message(ctx), "2 channels; the network takes 1"));
    swg_prediction_free(ctx, &patches);
    swg_prediction_free(ctx, &whole);
    swg_prediction_free(ctx, &same);
    swg_experiment_close(e);
    snprintf(command, sizeof command, "rm -r %s/*", s.folder);
    assert_int_equal(system(command), 0);
    scratch_close(&s, ctx, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(windows_follow_the_settings, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
