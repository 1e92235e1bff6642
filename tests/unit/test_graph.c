/* test_graph.c - proves: every builder refuses what it cannot compute, with a message that names the operation and the scope;
 * the first error stays, whatever happens later; scopes nest; shapes and counts are those promised.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "ir/ir.h"
#include "swage/swae.h"

/* ---- wrong calls: each gets a (2, 3), b (3, 4), an index (2, 3) along axis 1 ---- */

typedef struct wrong {
    swg_graph *g;
    swg_value a, b, index;
} wrong;

#define SHAPE(...) (int64_t[]){__VA_ARGS__}
#define CASE(name, expr) \
    static void wrong_##name(wrong *w) { (void)(expr); }
#define G w->g
CASE(no_value, swg_neg(G, SWG_NONE))
CASE(foreign_value, swg_add(G, w->a, 12345))
CASE(broadcast, swg_mul(G, w->a, w->b))
CASE(index_in_arithmetic, swg_add(G, w->a, w->index))
CASE(index_in_matmul, swg_matmul(G, w->index, w->b, NULL))
CASE(index_in_sum, swg_sum(G, w->index, 0))
CASE(index_in_softmax, swg_softmax(G, w->index))
CASE(index_permuted, swg_permute(G, w->index, (int[]){1, 0}))
CASE(index_padded, swg_pad(G, w->index, SHAPE(0, 0), SHAPE(1, 3)))
CASE(index_sorted, swg_argsort(G, w->index, 0))
CASE(clamp_order, swg_clamp(G, w->a, 1, -1))
CASE(clamp_nan, swg_clamp(G, w->a, NAN, 1))
CASE(reshape_count, swg_reshape(G, w->a, 2, SHAPE(4, -1)))
CASE(reshape_two_open, swg_reshape(G, w->a, 2, SHAPE(-1, -1)))
CASE(reshape_zero, swg_reshape(G, w->a, 2, SHAPE(0, 6)))
CASE(reshape_rank, swg_reshape(G, w->a, 7, SHAPE(1, 1, 1, 1, 1, 2, 3)))
CASE(reshape_overflow, swg_reshape(G, w->a, 2, SHAPE(INT64_MAX, INT64_MAX)))
CASE(reshape_null, swg_reshape(G, w->a, 2, NULL))
CASE(permute_twice, swg_permute(G, w->a, (int[]){0, 0}))
CASE(permute_far, swg_permute(G, w->a, (int[]){0, 1 << 30}))
CASE(permute_negative, swg_permute(G, w->a, (int[]){-1, 0}))
CASE(permute_null, swg_permute(G, w->a, NULL))
CASE(expand_extent, swg_expand(G, w->a, 2, SHAPE(4, 3)))
CASE(expand_rank, swg_expand(G, w->a, 1, SHAPE(3)))
CASE(expand_zero, swg_expand(G, w->a, 3, SHAPE(0, 2, 3)))
CASE(expand_huge, swg_expand(G, w->a, 3, SHAPE(INT64_MAX / 6, 2, 3)))
CASE(slice_past_end, swg_slice(G, w->a, SHAPE(0, 1), SHAPE(2, 3)))
CASE(slice_overflow, swg_slice(G, w->a, SHAPE(0, 1), SHAPE(2, INT64_MAX)))
CASE(slice_empty, swg_slice(G, w->a, SHAPE(0, 0), SHAPE(0, 3)))
CASE(slice_null, swg_slice(G, w->a, NULL, SHAPE(1, 1)))
CASE(pad_negative, swg_pad(G, w->a, SHAPE(0, -1), SHAPE(0, 0)))
CASE(pad_huge, swg_pad(G, w->a, SHAPE(0, INT64_MAX), SHAPE(0, INT64_MAX)))
CASE(concat_nothing, swg_concat(G, NULL, 0, 0))
CASE(concat_null, swg_concat(G, NULL, 2, 0))
CASE(concat_shapes, swg_concat(G, (swg_value[]){w->a, w->b}, 2, 0))
CASE(concat_axis, swg_concat(G, (swg_value[]){w->a, w->a}, 2, 2))
CASE(sum_axes, swg_sum(G, w->a, 1u << 2))
CASE(mean_axes, swg_mean(G, w->a, 1u << 31))
CASE(argsort_axis, swg_argsort(G, w->a, -1))
CASE(take_not_an_index, swg_take_along(G, w->a, w->a, 1))
CASE(take_other_axis, swg_take_along(G, w->a, w->index, 0))
CASE(take_other_shape, swg_take_along(G, w->b, w->index, 1))
CASE(matmul_inner, swg_matmul(G, w->a, w->b, &(swg_matmul_opts){.trans_a = true}))
CASE(matmul_vector, swg_matmul(G, swg_reshape(G, w->a, 1, SHAPE(6)), w->b, NULL))
CASE(matmul_batches, swg_matmul(G, w->a, swg_reshape(G, w->b, 3, SHAPE(1, 3, 4)), NULL))
CASE(input_twice, (swg_input(G, "c", 1, SHAPE(1)), swg_input(G, "c", 1, SHAPE(1))))
CASE(input_rank, swg_input(G, "c", 7, SHAPE(1, 1, 1, 1, 1, 1, 1)))
CASE(input_no_rank, swg_input(G, "c", 0, SHAPE(1)))
CASE(input_extent, swg_input(G, "c", 2, SHAPE(3, 0)))
CASE(input_huge, swg_input(G, "c", 6, SHAPE(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20)))
CASE(input_unnamed, swg_input(G, NULL, 1, SHAPE(1)))
CASE(input_empty_name, swg_input(G, "", 1, SHAPE(1)))
CASE(input_null_shape, swg_input(G, "c", 1, NULL))
CASE(param_same_in_checkpoint, (swg_param(G, "p/q", 1, SHAPE(1), (swg_init){0}), swg_param(G, "p.q", 1, SHAPE(1), (swg_init){0})))
CASE(param_bound, swg_param(G, "p", 1, SHAPE(1), (swg_init){.bound = -1}))
CASE(param_two_starts, swg_param(G, "p", 1, SHAPE(1), (swg_init){.bound = 1, .deviation = 1}))
CASE(param_map, swg_param(G, "p", 1, SHAPE(1), (swg_init){.bound = 1, .map = (double[]){1}}))
CASE(state_rows, swg_state_rows(G, "s", 1, SHAPE(1), NULL))
CASE(random_twice, (swg_random_normal(G, "s", 1, SHAPE(3)), swg_random_uniform(G, "s", 1, SHAPE(3))))
CASE(random_unnamed, swg_random_normal(G, NULL, 1, SHAPE(3)))
CASE(linear_no_value, swg_linear(G, SWG_NONE, 4, "fc"))
CASE(linear_no_width, swg_linear(G, w->a, 0, "fc"))
CASE(linear_unnamed, swg_linear(G, w->a, 4, NULL))
CASE(activation, swg_activate(G, w->a, (swg_activation)99))
CASE(mse_shapes, swg_loss_mse(G, w->a, swg_sum(G, w->a, 1)))
CASE(huber_beta, swg_loss_huber(G, w->a, w->a, 0))
CASE(sw_rank, swg_loss_sliced_wasserstein(G, swg_reshape(G, w->a, 1, SHAPE(6)), 5))
CASE(sw_directions, swg_loss_sliced_wasserstein(G, w->a, 0))
CASE(swae_layers, swg_swae_encode(G, w->a, &(swg_swae){.input = 3, .latent = 2, .hidden_count = 9}))
CASE(adam_hyper, swg_adam(G, swg_sum(G, w->a, 0), w->a, NULL))
CASE(empty_scope, swg_scope_push(G, ""))
CASE(pop_too_often, (swg_scope_pop(G), swg_scope_pop(G), swg_scope_pop(G)))

static const struct { const char *name; void (*make)(wrong *); swg_status status; const char *words; } cases[] = {
#define X(name, status, words) {#name, wrong_##name, SWG_##status, words},
    X(no_value, EINVAL, "neg: ")
    X(foreign_value, EINVAL, "add: ")
    X(broadcast, ESHAPE, "mul: (2, 3) of \"a\" and (3, 4) of \"b\"")
    X(index_in_arithmetic, EDTYPE, "add: ")
    X(index_in_matmul, EDTYPE, "matmul: ")
    X(index_in_sum, EDTYPE, "sum: ")
    X(index_in_softmax, EDTYPE, "softmax: ")
    X(index_permuted, EDTYPE, "permute: ")
    X(index_padded, EDTYPE, "pad: ")
    X(index_sorted, EDTYPE, "argsort: ")
    X(clamp_order, EINVAL, "clamp: ")
    X(clamp_nan, EINVAL, "clamp: ")
    X(reshape_count, ESHAPE, "reshape: (2, 3)")
    X(reshape_two_open, ESHAPE, "reshape: ")
    X(reshape_zero, ESHAPE, "reshape: ")
    X(reshape_rank, ESHAPE, "reshape: 7")
    X(reshape_overflow, ESHAPE, "reshape: ")
    X(reshape_null, EINVAL, "reshape: ")
    X(permute_twice, EINVAL, "permute: ")
    X(permute_far, EINVAL, "permute: ")
    X(permute_negative, EINVAL, "permute: ")
    X(permute_null, EINVAL, "permute: ")
    X(expand_extent, ESHAPE, "expand: (2, 3)")
    X(expand_rank, ESHAPE, "expand: ")
    X(expand_zero, ESHAPE, "expand: ")
    X(expand_huge, ESHAPE, "expand: ")
    X(slice_past_end, ESHAPE, "slice: 3 values from 1 exceed extent 3 of axis 1")
    X(slice_overflow, ESHAPE, "slice: ")
    X(slice_empty, ESHAPE, "slice: ")
    X(slice_null, EINVAL, "slice: ")
    X(pad_negative, ESHAPE, "pad: ")
    X(pad_huge, ESHAPE, "pad: ")
    X(concat_nothing, EINVAL, "concat: no parts")
    X(concat_null, EINVAL, "concat: ")
    X(concat_shapes, ESHAPE, "concat: (2, 3) of \"a\" and (3, 4) of \"b\"")
    X(concat_axis, EINVAL, "concat: axis 2")
    X(sum_axes, EINVAL, "sum: ")
    X(mean_axes, EINVAL, "sum: ")
    X(argsort_axis, EINVAL, "argsort: ")
    X(take_not_an_index, ESHAPE, "take_along: ")
    X(take_other_axis, ESHAPE, "take_along: ")
    X(take_other_shape, ESHAPE, "take_along: ")
    X(matmul_inner, ESHAPE, "matmul: (2, 3) of \"a\" transposed and (3, 4)")
    X(matmul_vector, ESHAPE, "matmul: ")
    X(matmul_batches, ESHAPE, "matmul: ")
    X(input_twice, EINVAL, "inner/c\" exists")
    X(input_rank, ESHAPE, "7 dimensions")
    X(input_no_rank, ESHAPE, "0 dimensions")
    X(input_extent, ESHAPE, "extent 0 of axis 1")
    X(input_huge, ESHAPE, "more than 2^40 elements")
    X(input_unnamed, EINVAL, "input: ")
    X(input_empty_name, EINVAL, "input: ")
    X(input_null_shape, EINVAL, "input: ")
    X(param_same_in_checkpoint, EINVAL, "p/q\" exists")
    X(param_bound, EINVAL, "bound -1")
    X(param_two_starts, EINVAL, "one of them 0")
    X(param_map, EINVAL, "a map of 0 columns")
    X(state_rows, EINVAL, "state \"s\": NULL")
    X(random_twice, EINVAL, "\"s\"")
    X(random_unnamed, EINVAL, "normal: ")
    X(linear_no_value, EINVAL, "linear: ")
    X(linear_no_width, ESHAPE, "outer/inner/fc: param: extent 0")
    X(linear_unnamed, EINVAL, "scope_push: ")
    X(activation, EINVAL, "99")
    X(mse_shapes, ESHAPE, "mse loss: ")
    X(huber_beta, EINVAL, "huber loss: ")
    X(sw_rank, ESHAPE, "sliced-Wasserstein loss: ")
    X(sw_directions, ESHAPE, "normal: extent 0 of axis 0")
    X(swae_layers, EINVAL, "9 hidden layers or stages, mlp has 0 to 8")
    X(adam_hyper, EINVAL, "update: hyper")
    X(empty_scope, EINVAL, "scope_push: ")
    X(pop_too_often, EINVAL, "scope_pop: ")
#undef X
};

static wrong start(swg_context *ctx) {
    wrong w;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &w.g));
    w.a = swg_input(w.g, "a", 2, SHAPE(2, 3));
    w.b = swg_input(w.g, "b", 2, SHAPE(3, 4));
    w.index = swg_argsort(w.g, w.a, 1);
    assert_ok(ctx, swg_graph_status(w.g));
    swg_scope_push(w.g, "outer");
    swg_scope_push(w.g, "inner");
    return w;
}

static void refused(void **state) {
    swg_context *ctx = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wrong w = start(ctx);
        cases[i].make(&w);
        swg_status status = swg_graph_status(w.g);
        if (status != cases[i].status || !strstr(swg_context_message(ctx), cases[i].words))
            fail_msg("%s: %s, \"%s\"; expected %s with \"%s\"", cases[i].name, swg_status_name(status), swg_context_message(ctx),
                     swg_status_name(cases[i].status), cases[i].words);
        if (!strstr(swg_context_message(ctx), "outer") && strcmp(cases[i].name, "pop_too_often") != 0)
            fail_msg("%s: no scope in \"%s\"", cases[i].name, swg_context_message(ctx));
        swg_graph_destroy(w.g);
    }
}

/* What does not fit is named with the layers it comes from, past activations and reshapes. */
static void both_layers_are_named(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 3, 8, 8});
    swg_scope_push(g, "encoder");
    swg_value first = swg_relu(g, swg_conv(g, x, 16, 3, NULL, "c1"));
    swg_scope_pop(g);
    swg_scope_push(g, "decoder");
    swg_value up = swg_conv_transpose(g, first, 16, 2, &(swg_conv_opts){.stride = {2, 2}}, "up");
    assert_int_equal(swg_concat(g, (swg_value[]){first, swg_gelu(g, up)}, 2, 1), SWG_NONE);
    const char *want = "decoder: concat: (1, 16, 6, 6) from \"encoder/c1\" and (1, 16, 12, 12) from \"decoder/up\" differ beside axis 1";
    assert_string_equal(swg_context_message(ctx), want);
    swg_graph_destroy(g);
}

/* The graph keeps its message: another failure in the context does not replace it. */
static void the_first_error_stays(void **state) {
    swg_context *ctx = *state;
    wrong w = start(ctx);
    assert_int_equal(swg_mul(w.g, w.a, w.b), SWG_NONE);
    assert_int_equal(swg_linear(w.g, w.a, 5, "later"), SWG_NONE);
    swg_swae model;
    assert_int_equal(swg_swae_preset(ctx, "no such network", &model), SWG_ENOTFOUND);
    assert_int_equal(swg_graph_status(w.g), SWG_ESHAPE);
    assert_non_null(strstr(swg_context_message(ctx), "outer/inner: mul: (2, 3) of \"a\" and (3, 4) of \"b\""));
    swg_graph_destroy(w.g);
    swg_graph *g;
    assert_int_equal(swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_I32}, &g), SWG_EDTYPE);
    assert_int_equal(swg_graph_create(NULL, NULL, &g), SWG_EINVAL);
}

static void scopes_nest(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_scope_push(g, "a");
    swg_scope_push(g, "b/c"); /* one pop leaves it */
    swg_value first = swg_param(g, "w", 1, SHAPE(2), (swg_init){0});
    swg_scope_pop(g);
    swg_value second = swg_param(g, "w", 1, SHAPE(2), (swg_init){0});
    swg_scope_pop(g);
    swg_value third = swg_param(g, "w", 1, SHAPE(2), (swg_init){0});
    assert_string_equal(g->nodes[first].name, "a/b/c/w");
    assert_string_equal(g->nodes[second].name, "a/w");
    assert_string_equal(g->nodes[third].name, "w");
    swg_graph_destroy(g);
}

/* Shapes outlive the growth of the graph, and may be given back to builders. */
static void shapes_stay(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 3, SHAPE(2, 3, 5));
    const int64_t *shape = swg_shape(g, x);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        assert_true(swg_input(g, name, 3, shape) != SWG_NONE);
    }
    assert_true(swg_shape(g, x) == shape && shape[0] == 2 && shape[1] == 3 && shape[2] == 5);
    assert_int_equal(swg_graph_nodes(g), 2001);
    assert_int_equal(swg_elements(g, x), 30);
    assert_int_equal(swg_elements(g, SWG_NONE), 0);
    assert_int_equal(swg_ndim(g, 99999), 0);
    assert_null(swg_shape(g, 99999));
    assert_int_equal(swg_graph_macs(g, 99999), -1);
    swg_graph_destroy(g);
}

/* The largest products still have a count. */
static void counts_do_not_overflow(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    const int64_t n = 1 << 20;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, SHAPE(n, n)), y = x;
    for (int i = 0; i < 12; i++) {
        y = swg_matmul(g, y, x, NULL);
        assert_true(swg_graph_macs(g, y) == (i < 7 ? (int64_t)(i + 1) << 60 : INT64_MAX));
    }
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(both_layers_are_named, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(the_first_error_stays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(scopes_nest, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(shapes_stay, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(counts_do_not_overflow, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
