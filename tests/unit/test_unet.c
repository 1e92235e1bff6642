/* test_unet.c - proves: the U-Net has the promised shapes and parameters in all its forms, learns, and refuses what does not fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include "swage/plan.h"
#include "swage/unet.h"

static swg_graph *graph(swg_context *ctx) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    return g;
}

static void shapes(void **state) {
    swg_context *ctx = *state;
    for (int variant = 0; variant < 24; variant++) {
        int spatial = 1 + variant % 3;
        int64_t shape[5] = {2, 3, 8, 16, 8};
        swg_graph *g = graph(ctx);
        swg_value y = swg_unet_apply(g, swg_input(g, "x", 2 + spatial, shape),
                                     &(swg_unet){.levels = 3, .channels = {4, 6, 8}, .out = 5, .norm = (swg_unet_norm)(variant / 8),
                                                 .activation = SWG_ACT_RELU, .pool = variant & 1, .residual = variant & 2, .dropout = variant & 4 ? .1 : 0});
        assert_ok(ctx, swg_graph_status(g));
        assert_int_equal(swg_ndim(g, y), 2 + spatial);
        shape[1] = 5;
        for (int axis = 0; axis < 2 + spatial; axis++)
            assert_int_equal(swg_shape(g, y)[axis], shape[axis]);
        swg_graph_destroy(g);
    }
}

/* Counted by hand for two levels in two dimensions, 1 channel in, 2 out: */
static void parameters(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph(ctx);
    swg_unet_apply(g, swg_input(g, "x", 4, (int64_t[]){1, 1, 8, 8}), &(swg_unet){.levels = 2, .channels = {4, 8}, .out = 2});
    int64_t down0 = 9 * 4 + 8 + 9 * 16 + 8, down1 = 9 * 32 + 16 + 9 * 64 + 16;
    int64_t up0 = 4 * 32 + 4 + 9 * 32 + 8 + 9 * 16 + 8, head = 8 + 2;
    assert_int_equal(swg_graph_parameters(g), down0 + down1 + up0 + head);
    swg_graph_destroy(g);
}

static void learns(void **state) {
    swg_context *ctx = *state;
    for (int norm = 0; norm < 3; norm++) {
        swg_graph *g = graph(ctx);
        swg_value x = swg_input(g, "x", 5, (int64_t[]){1, 1, 8, 8, 8}), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        swg_value y = swg_unet_apply(g, x, &(swg_unet){.levels = 2, .channels = {8, 16}, .out = 1, .norm = (swg_unet_norm)norm,
                                                       .activation = SWG_ACT_LEAKY_RELU, .residual = norm == 1});
        swg_value loss = swg_loss_mse(g, y, swg_square(g, x)), outputs[2] = {loss, swg_adam(g, loss, hyper, NULL)};
        swg_plan *plan;
        swg_weights *weights;
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
        assert_ok(ctx, swg_weights_create(g, true, &weights));
        swg_weights_init(weights, 1);
        assert_ok(ctx, swg_plan_open(plan, weights, NULL));
        float *data = swg_plan_data(plan, x);
        for (int i = 0; i < 512; i++)
            data[i] = (float)(i % 8) / 4 - (float)(i / 8 % 8) / 8;
        double b1 = 1, b2 = 1;
        float first = 0;
        for (uint32_t step = 0; step < 30; step++) {
            swg_hyper_adam(&(swg_adam_hyper){.lr = .01, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, SWG_F32,
                           swg_plan_data(plan, hyper));
            assert_ok(ctx, swg_plan_run(plan, 1, step));
            if (step == 0)
                first = *(float *)swg_plan_data(plan, loss);
        }
        float last = *(float *)swg_plan_data(plan, loss);
        if (!(last < (norm == SWG_UNET_NO_NORM ? .5F : .1F) * first))
            fail_msg("norm %d: loss %g after 30 steps, %g before", norm, (double)last, (double)first);
        swg_plan_destroy(plan);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    static const struct { int levels, ndim; int64_t extent; const char *says; } cases[] = {
        {0, 4, 8, "0 levels, expected 1 to 8"},
        {9, 4, 8, "9 levels"},
        {3, 2, 8, "input of 2 dimensions"},
        {3, 4, 6, "extent 6 of axis 2 does not divide by 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        swg_graph *g = graph(ctx);
        int64_t shape[4] = {1, 1, cases[i].extent, 8};
        swg_value x = swg_input(g, "x", cases[i].ndim, shape);
        assert_int_equal(swg_unet_apply(g, x, &(swg_unet){.levels = cases[i].levels, .channels = {4, 4, 4, 4, 4, 4, 4, 4}, .out = 1}), SWG_NONE);
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), cases[i].says))
            fail_msg("case %zu says: %s", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
    swg_graph *g = graph(ctx);
    swg_block_begin(g);
    swg_block_end(g);
    assert_ok(ctx, swg_graph_status(g));
    swg_block_end(g);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "there is no block to end"));
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shapes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(parameters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(learns, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
