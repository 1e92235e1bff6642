/* test_ops.c - proves: the public table of operations is op.def row by row, says of each computed operation what it runs on, and an
 * operation whose gradient it calls "none" is indeed refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include "ir/ir.h"
#include "swage/ops.h"

static void table(void **state) {
    (void)state;
    swg_op_row row;
    int count = 0;
    for (; swg_op_at(count, &row); count++) {
        assert_string_equal(row.name, swg__ops[count + 1].text);
        assert_int_equal(row.inputs, swg__ops[count + 1].inputs);
        assert_true(*row.kind && *row.gradient && *row.kernel);
        bool computed = strcmp(row.kind, "leaf") != 0 && strcmp(row.kind, "view") != 0;
        assert_int_equal(computed, strcmp(row.kernel, "none") != 0);
        assert_int_equal(computed, strstr(row.dtypes, "f32") && strstr(row.dtypes, "f64"));
        if (strcmp(row.name, "matmul") == 0)
            assert_true(strcmp(row.kind, "contraction") == 0 && row.inputs == 2 && strcmp(row.gradient, "matmul") == 0);
    }
    assert_int_equal(count, SWG__OP_COUNT - 1);
    assert_false(swg_op_at(-1, &row));
    assert_null(row.name);
}

static void none_is_refused(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_value grad;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, (int64_t[]){3}, (swg_init){.bound = 1});
    swg_value loss = swg_sum(g, swg__ew(g, SWG__DGELU, 0, 0, 1, w, 0, 0), 0);
    swg_op_row row;
    assert_true(swg_op_at(SWG__DGELU - 1, &row));
    assert_string_equal(row.gradient, "none");
    assert_int_equal(swg_gradients(g, loss, &w, 1, &grad), SWG_EGRAD);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test_setup_teardown(none_is_refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
