/* test_costs.c - proves: the cost model has the published table's values and those of its correction (swae.md, section 10; codec.md, section 9),
 * and at the break-even speed both ways take the same time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/costs.h"
#include "testing.h"

static const double CONV_FLOP = 82245696, MLP_FLOP = 796672;

static swg_cost cost_of(double flop, double rate, double sent, bool gigabits) {
    return (swg_cost){.block_bytes = 500, .sent_bytes = sent, .compute = flop / rate * 1e6, .memory = 2 * 500 / swg_device_published()->memory * 1e6,
                      .gigabits = gigabits};
}

static void known_answers(void **state) {
    (void)state;
    swg_cost conv = cost_of(CONV_FLOP, swg_device_published()->f32, 16, true), mlp = cost_of(MLP_FLOP, swg_device_published()->fp8, 16, true);
    assert_close(conv.compute, 4.217728, 0, 1e-6);
    assert_close(mlp.compute, .002845, 5e-7, 0);
    assert_close(conv.memory, .000625, 1e-15, 0);
    assert_close(swg_cost_raw(&conv, .125), 32, 0, 1e-14);
    assert_close(swg_cost_encoded(&conv, .125), 5.242353, 0, 1e-6);
    assert_close(swg_cost_encoded(&mlp, .125), 1.02747, 5e-6, 0);
    assert_close(swg_cost_encoded(&conv, 100) / swg_cost_encoded(&mlp, 100), 879, 12, 0); /* the promised 875x; from rounded numbers 879 */
    conv = cost_of(CONV_FLOP, swg_device_published()->f32, 64, false);
    mlp = cost_of(MLP_FLOP, swg_device_published()->fp8, 16, false);
    assert_close(swg_cost_raw(&conv, .125), 4, 0, 1e-14);
    assert_close(swg_cost_encoded(&conv, .125), 4.730353, 0, 1e-6);
    assert_close(swg_cost_encoded(&mlp, .125), .13147, 5e-6, 0);
    /* codec.md: raw, conv, MLP for every link. */
    static const double table[][3] = {{.0025, 4.2187, .0036}, {.0050, 4.2190, .0036}, {.0156, 4.2204, .0040}, {.0200, 4.2209, .0041},
                                      {.1000, 4.2312, .0067}, {.4000, 4.2696, .0163}, {4.0000, 4.7304, .1315}};
    int count;
    const swg_link *links = swg_links(&count);
    assert_int_equal(count, 7);
    for (int i = 0; i < count; i++) {
        assert_close(swg_cost_raw(&conv, links[i].speed), table[i][0], 5.1e-5, 0);
        assert_close(swg_cost_encoded(&conv, links[i].speed), table[i][1], 5.1e-5, 0);
        assert_close(swg_cost_encoded(&mlp, links[i].speed), table[i][2], 5.1e-5, 0);
    }
    assert_close(swg_cost_break_even(&conv), .10, .005, 0);
    assert_close(swg_cost_break_even(&mlp), 139, .6, 0);
}

static void break_even(void **state) {
    (void)state;
    for (int gigabits = 0; gigabits < 2; gigabits++) {
        swg_cost c = {.block_bytes = 500, .sent_bytes = 68, .compute = 1.25, .memory = .01, .launch = .3, .gigabits = gigabits};
        double speed = swg_cost_break_even(&c);
        assert_close(swg_cost_raw(&c, speed), swg_cost_encoded(&c, speed), 0, 1e-12);
        assert_true(swg_cost_raw(&c, speed / 2) > swg_cost_encoded(&c, speed / 2));
        assert_true(swg_cost_raw(&c, speed * 2) < swg_cost_encoded(&c, speed * 2));
    }
    assert_true(swg_cost_break_even(&(swg_cost){.block_bytes = 500, .sent_bytes = 500, .compute = 1}) == 0); /* saves nothing */
    assert_true(swg_cost_break_even(&(swg_cost){.block_bytes = 500, .sent_bytes = 600, .compute = 1}) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers), cmocka_unit_test(break_even)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
