/* test_philox.c - proves: Philox 4x32-10, its addressing and the epoch permutation give the published answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include "philox.h"

static void words(void **state) {
    (void)state;
    static const struct { uint64_t seed, block; uint32_t step, stream, want[4]; } cases[] = {
        {0, 0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, 0xffffffffu, 0xffffffffu, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x13198a2e, 0x03707344, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
        {42, 0, 0, 0x05ca27d5, {0x31a0cc0b, 0x0bcb32ee, 0x43f96e50, 0x02488af4}},
        {42, 0, 5, 0xa6833ba8, {0xf20ba46e, 0x554c8427, 0xdc1a871b, 0x8aaf2944}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        swg__philox_words got = swg__philox(cases[i].seed, cases[i].block, cases[i].step, cases[i].stream);
        assert_memory_equal(got.w, cases[i].want, sizeof got.w);
    }
    assert_true(swg__uniform(0x31a0cc0b) == .19385981559753418f);
    assert_true(swg__uniform(0x0bcb32ee) == .04606926441192627f);
}

static void shuffle(void **state) {
    (void)state;
    static const struct { uint64_t seed; uint32_t epoch; int64_t want[10]; } cases[] = {
        {42, 0, {6, 8, 4, 1, 7, 3, 2, 0, 9, 5}},
        {42, 1, {6, 2, 4, 9, 5, 0, 3, 8, 7, 1}},
        {7, 0, {2, 0, 5, 4, 8, 9, 3, 6, 7, 1}},
    };
    int64_t order[10];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        swg__shuffle(cases[i].seed, cases[i].epoch, order, 10);
        assert_memory_equal(order, cases[i].want, sizeof order);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words), cmocka_unit_test(shuffle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
