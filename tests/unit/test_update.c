/* test_update.c - proves: every parameter's gradient reaches its own place, also where two share one or it is a mere number; what
 * does not depend on the update sees the weights as they were; memory is only reused where nobody reads any more; weights of
 * another model or type, a second update and frozen weights under an update are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "swage/nn.h"

#define SHAPE(...) (int64_t[]){__VA_ARGS__}

static void fill_hyper(swg_plan *plan, swg_value hyper, swg_dtype dtype) {
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = .1, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, dtype,
                   swg_plan_data(plan, hyper));
}

/* loss = sum(w * (p + q)) + r + r2 + 3 s: p and q share their gradient, r's and r2's is the number 1, s's the number 3. */
static void shared_gradients(swg_context *ctx, swg_dtype dtype, bool no_fusion) {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    const swg_init init = {.bound = 1};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value p = swg_param(g, "p", 2, SHAPE(2, 3), init), q = swg_param(g, "q", 2, SHAPE(2, 3), init);
    swg_value o = swg_param(g, "o", 1, SHAPE(6), init), r = swg_param(g, "r", 1, SHAPE(1), init);
    swg_value r2 = swg_param(g, "r2", 2, SHAPE(1, 1), init), s = swg_param(g, "s", 1, SHAPE(1), init);
    swg_value hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT)), w = swg_input(g, "w", 2, SHAPE(2, 3));
    swg_value all = swg_add(g, swg_add(g, p, q), swg_reshape(g, o, 2, SHAPE(2, 3)));
    swg_value loss = swg_reshape(g, swg_sum(g, swg_mul(g, all, w), 0), 1, SHAPE(1));
    loss = swg_add(g, loss, swg_add(g, r, swg_add(g, swg_reshape(g, r2, 1, SHAPE(1)), swg_affine(g, s, 3, 0))));
    swg_value norm = swg_adam(g, loss, hyper, NULL);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill_hyper(plan, hyper, dtype);
    double squares = 1 + 1 + 9;
    for (int i = 0; i < 6; i++) {
        if (dtype == SWG_F64)
            ((double *)swg_plan_data(plan, w))[i] = i + 1;
        else
            ((float *)swg_plan_data(plan, w))[i] = (float)(i + 1);
        squares += 3. * (i + 1) * (i + 1);
    }
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < swg_weights_count(weights); i++) {
        int64_t n = swg__shape_elements(swg_weights_ndim(weights, i), swg_weights_shape(weights, i));
        for (int64_t e = 0; e < n; e++) {
            const void *gradient = swg_weights_gradient(weights, i), *value = swg_weights_value(weights, i);
            double want = i < 3 ? (double)(e + 1) : i < 5 ? 1 : 3;
            assert_close(dtype == SWG_F64 ? ((const double *)gradient)[e] : (double)((const float *)gradient)[e], want, 0, 1e-12);
            assert_close(dtype == SWG_F64 ? ((const double *)value)[e] : (double)((const float *)value)[e], -.1, 0, 1e-6);
        }
    }
    double got = dtype == SWG_F64 ? *(double *)swg_plan_data(plan, norm) : (double)*(float *)swg_plan_data(plan, norm);
    assert_close(got, sqrt(squares), 0, 1e-6);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void every_gradient_has_its_place(void **state) {
    for (int kind = 0; kind < 4; kind++)
        shared_gradients(*state, kind & 1 ? SWG_F64 : SWG_F32, kind & 2);
}

/* An output that needs no gradient could as well be scheduled after the update. It must not. */
static void outputs_see_the_weights_before(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, SHAPE(5000), (swg_init){.value = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    swg_value norm = swg_adam(g, swg_sum(g, swg_square(g, w), 0), hyper, NULL);
    swg_value size = swg_reduce_max(g, swg_expand(g, w, 2, SHAPE(300, 5000)), 0); /* large, so that the planner would put it off */
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = (swg_value[]){norm, size}, .output_count = 2}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 0);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill_hyper(plan, hyper, SWG_F32);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    assert_close((double)*(float *)swg_plan_data(plan, size), 1, 0, 0);
    assert_close((double)*(float *)swg_weights_value(weights, 0), .9, 0, 1e-6);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* b is read whole by the product of every row panel; the product's reader may not write over it panel by panel. */
static void panels_do_not_write_over_what_others_read(void **state) {
    swg_context *ctx = *state;
    enum { ROWS = 97, COLUMNS = 64 };
    double result[2] = {0, 0};
    for (int no_fusion = 0; no_fusion < 2; no_fusion++) {
        swg_graph *g;
        swg_plan *plan;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = no_fusion ? SWG_F64 : SWG_F32}, &g));
        swg_value x = swg_random_uniform(g, "x", 2, SHAPE(ROWS, ROWS)), b = swg_random_uniform(g, "b", 2, SHAPE(ROWS, COLUMNS));
        swg_value y = swg_mul(g, b, swg_matmul(g, x, b, NULL)), total = swg_mean(g, y, 0);
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &total, .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
        assert_ok(ctx, swg_plan_run(plan, 1, 0));
        result[no_fusion] = no_fusion ? *(double *)swg_plan_data(plan, total) : (double)*(float *)swg_plan_data(plan, total);
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
    assert_close(result[0], result[1], 0, 1e-6);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, SHAPE(3), (swg_init){.bound = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    swg_value loss = swg_sum(g, swg_square(g, w), 0), norm = swg_adam(g, loss, hyper, NULL);
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1, .frozen = true}, &plan), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "frozen"));
    assert_null(plan);
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.output_count = 1}, &plan), SWG_EINVAL);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights)); /* without gradients and moments */
    assert_int_equal(swg_plan_open(plan, weights, NULL), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "training"));
    swg_weights_destroy(weights);
    assert_int_equal(swg_adam(g, loss, hyper, NULL), SWG_NONE);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "already"));
    swg_graph_destroy(g);
    /* the plan stands on its own, but not on weights of another type or of a parameter of another name */
    static const struct { const char *name; swg_dtype dtype; } others[] = {{"w", SWG_F64}, {"v", SWG_F32}};
    for (int i = 0; i < 2; i++) {
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = others[i].dtype}, &g));
        swg_param(g, others[i].name, 1, SHAPE(3), (swg_init){.bound = 1});
        assert_ok(ctx, swg_weights_create(g, true, &weights));
        assert_int_equal(swg_plan_open(plan, weights, NULL), SWG_EINVAL);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
    swg_plan_destroy(plan);
    /* a parameter made after the loss is named */
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    w = swg_param(g, "w", 1, SHAPE(3), (swg_init){.bound = 1});
    hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    loss = swg_sum(g, w, 0);
    swg_param(g, "late", 1, SHAPE(3), (swg_init){.bound = 1});
    swg_adam(g, loss, hyper, NULL);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "late"));
    swg_graph_destroy(g);
}

/* Plans that share an arena, and plans opened again. */
static void hosts(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plain, *guest, *frozen;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, SHAPE(50, 20)), y = swg_linear(g, x, 30, "fc");
    swg_plan_opts opts = {.outputs = &y, .output_count = 1};
    assert_ok(ctx, swg_plan_make(g, &opts, &plain));
    assert_ok(ctx, swg_plan_make(g, &opts, &guest));
    opts.frozen = true;
    assert_ok(ctx, swg_plan_make(g, &opts, &frozen));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 1);
    assert_int_equal(swg_plan_open(guest, weights, plain), SWG_EINVAL); /* the host is not open yet */
    assert_ok(ctx, swg_plan_open(frozen, weights, NULL));
    assert_int_equal(swg_plan_open(guest, weights, frozen), SWG_EINVAL); /* its packed weights would be lost */
    assert_ok(ctx, swg_plan_open(guest, weights, NULL));
    uint64_t bytes = swg_context_bytes(ctx);
    assert_ok(ctx, swg_plan_open(guest, weights, NULL)); /* again: nothing new */
    assert_int_equal(swg_context_bytes(ctx), bytes);
    assert_ok(ctx, swg_plan_open(plain, weights, NULL));
    assert_ok(ctx, swg_plan_open(guest, weights, plain)); /* gives its own arena back */
    assert_int_equal(swg_context_bytes(ctx), bytes);
    swg_plan *const plans[] = {plain, guest, frozen};
    float result[3];
    for (int p = 0; p < 3; p++) {
        for (int i = 0; i < 1000; i++)
            ((float *)swg_plan_data(plans[p], x))[i] = (float)(i % 13) - 6;
        assert_ok(ctx, swg_plan_run(plans[p], 0, 0));
        result[p] = ((float *)swg_plan_data(plans[p], y))[1499];
    }
    assert_true(result[0] == result[1] && result[0] == result[2]);
    swg_plan_destroy(guest);
    swg_plan_destroy(plain);
    swg_plan_destroy(frozen);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_gradient_has_its_place, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(outputs_see_the_weights_before, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(panels_do_not_write_over_what_others_read, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(hosts, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
