/* test_data_split.c - proves: the published permutation and sizes, the known answers of MT19937 and Philox, no file or time in two
 * parts, no group of images either, and that an empty part or a sample without time is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "data/split.h"

static void generator(void **state) {
    (void)state;
    uint32_t words[4];
    swg__mt19937_words(42, words, 4);
    assert_int_equal(words[0], 1608637542u);
    assert_int_equal(words[1], 3421126067u);
    assert_int_equal(words[2], 4083286876u);
    assert_int_equal(words[3], 787846414u);
    static const int64_t ten[] = {8, 1, 5, 0, 7, 2, 9, 4, 3, 6}, thirteen[] = {8, 10, 2, 5, 0, 1, 12, 7, 11, 3, 6, 9, 4};
    int64_t order[13];
    swg__shuffle_legacy(42, order, 10);
    assert_memory_equal(order, ten, sizeof ten);
    swg__shuffle_legacy(7, order, 13);
    assert_memory_equal(order, thirteen, sizeof thirteen);
}

static swg_sample *make_samples(int64_t count, int files, const double *times) {
    swg_sample *samples = calloc((size_t)count, sizeof *samples);
    assert_non_null(samples);
    for (int64_t i = 0; i < count; i++) {
        samples[i].file = (int32_t)(i * files / count);
        samples[i].time = times ? times[samples[i].file] : NAN;
    }
    return samples;
}

/* Every index once. */
static void check_cover(const swg_split *split, int64_t count) {
    bool *seen = calloc((size_t)count, sizeof *seen);
    int64_t total = 0;
    for (int part = 0; part < SWG_PARTS; part++) {
        for (int64_t i = 0; i < split->count[part]; i++) {
            assert_in_range(split->indices[part][i], 0, count - 1);
            assert_false(seen[split->indices[part][i]]);
            seen[split->indices[part][i]] = true;
        }
        total += split->count[part];
    }
    assert_int_equal(total, count);
    free(seen);
}

static void published_split(void **state) {
    swg_context *ctx = *state;
    swg_sample *samples = make_samples(22366, 1, NULL);
    swg_split split;
    assert_ok(ctx, swg_split_make(ctx, samples, 22366, NULL, &split));
    assert_int_equal(split.count[SWG_TRAIN], 17892);
    assert_int_equal(split.count[SWG_VAL], 3354);
    assert_int_equal(split.count[SWG_TEST], 1120);
    static const int64_t first[] = {15415, 4678, 7911, 15090, 5732}, last[] = {5390, 860, 15795};
    assert_memory_equal(split.indices[SWG_TRAIN], first, sizeof first);
    assert_memory_equal(split.indices[SWG_TEST] + 1117, last, sizeof last);
    assert_string_equal(split.description, "split: random (test blocks are neighbours of training blocks)");
    check_cover(&split, 22366);
    swg_split_free(ctx, &split);
    free(samples);
}

static void philox_split(void **state) {
    swg_context *ctx = *state;
    swg_sample *samples = make_samples(10, 1, NULL);
    swg_split split;
    static const int64_t answers[2][10] = {{6, 8, 4, 1, 7, 3, 2, 0, 9, 5}, {2, 0, 5, 4, 8, 9, 3, 6, 7, 1}};
    static const uint64_t seeds[] = {42, 7};
    for (int i = 0; i < 2; i++) {
        swg_split_opts opts = {.rng = "philox", .seed = seeds[i], .train = 0.5, .val = 0.25};
        assert_ok(ctx, swg_split_make(ctx, samples, 10, &opts, &split));
        assert_int_equal(split.count[SWG_TRAIN] * 100 + split.count[SWG_VAL] * 10 + split.count[SWG_TEST], 523);
        assert_memory_equal(split.indices[SWG_TRAIN], answers[i], 5 * sizeof(int64_t));
        assert_memory_equal(split.indices[SWG_TEST], answers[i] + 7, 3 * sizeof(int64_t));
        swg_split_free(ctx, &split);
    }
    free(samples);
}

static void by_file(void **state) {
    swg_context *ctx = *state;
    swg_sample *samples = make_samples(1000, 10, NULL);
    swg_split split;
    assert_ok(ctx, swg_split_make(ctx, samples, 1000, &(swg_split_opts){.mode = "by-file", .seed = 42, .train = 0.7, .val = 0.2}, &split));
    check_cover(&split, 1000);
    assert_string_equal(split.description, "split: by-file (train 7 files, val 2, test 1)");
    int part_of[10] = {0};
    for (int part = 0; part < SWG_PARTS; part++)
        for (int64_t i = 0; i < split.count[part]; i++)
            part_of[samples[split.indices[part][i]].file] |= 1 << part;
    static const int expected[10] = {1, 1, 1, 2, 2, 1, 4, 1, 1, 1}; /* 8 1 5 0 7 2 9 | 4 3 | 6 */
    assert_memory_equal(part_of, expected, sizeof expected);
    swg_split_free(ctx, &split);
    assert_int_equal(swg_split_make(ctx, samples, 1000, &(swg_split_opts){.mode = "by-file", .seed = 42, .train = 0.95, .val = 0.04}, &split), SWG_EINVAL);
    assert_message(ctx, "by-file", "val part is empty");
    assert_null(split.indices[0]);
    free(samples);
}

static void by_time(void **state) {
    swg_context *ctx = *state;
    static const double four[] = {5, 1, 3, 5}, hundred_first = 0.5;
    swg_sample *samples = make_samples(400, 4, four);
    swg_split split;
    swg_split_opts opts = {.mode = "by-time"};
    assert_ok(ctx, swg_split_make(ctx, samples, 400, &opts, &split));
    check_cover(&split, 400);
    assert_string_equal(split.description, "split: by-time (train t = 1..1, val t = 3..3, test t = 5..5)");
    assert_int_equal(split.count[SWG_TEST], 200);
    assert_int_equal(split.indices[SWG_TEST][0], 0);
    assert_int_equal(split.indices[SWG_TRAIN][0], 100);
    swg_split_free(ctx, &split);
    free(samples);
    /* Many times: the cut lies where the fractions say, and no test time is in training. */
    double times[100];
    for (int i = 0; i < 100; i++)
        times[(i * 37) % 100] = hundred_first + i / 3; /* 34 different ones */
    samples = make_samples(3000, 100, times);
    assert_ok(ctx, swg_split_make(ctx, samples, 3000, &opts, &split));
    check_cover(&split, 3000);
    assert_close((double)split.count[SWG_TRAIN], 2400, 45, 0);
    assert_close((double)split.count[SWG_VAL], 450, 90, 0);
    for (int64_t i = 0; i < split.count[SWG_TEST]; i++)
        for (int64_t j = 0; j < split.count[SWG_TRAIN]; j++)
            assert_true(samples[split.indices[SWG_TRAIN][j]].time < samples[split.indices[SWG_TEST][i]].time);
    swg_split_free(ctx, &split);
    /* A part that is not asked for needs no time of its own. */
    swg_sample *two = make_samples(20, 2, four);
    assert_int_equal(swg_split_make(ctx, two, 20, &opts, &split), SWG_EINVAL);
    assert_message(ctx, "by-time", "3 parts", "have 2");
    assert_ok(ctx, swg_split_make(ctx, two, 20, &(swg_split_opts){.mode = "by-time", .train = 0.8, .val = 0.2}, &split));
    assert_int_equal(split.count[SWG_VAL], 10);
    assert_int_equal(split.count[SWG_TEST], 0);
    swg_split_free(ctx, &split);
    samples[1234].time = NAN;
    assert_int_equal(swg_split_make(ctx, samples, 3000, &opts, &split), SWG_EINVAL);
    assert_message(ctx, "sample 1234 has no time");
    free(two);
    free(samples);
}

/* One run, tested on times it never saw: the mode divides only the earlier ones. */
static void test_times(void **state) {
    swg_context *ctx = *state;
    static const double four[] = {5, 1, 3, 0};
    static const struct { const char *mode, *line; } modes[] = {
        {"random", "split: test t = 5..5; train and val of earlier times, random"},
        {"by-file", "split: test t = 5..5; train and val of earlier times, by-file (train 2 files, val 1)"},
        {"by-time", "split: test t = 5..5; train and val of earlier times, by-time (train t = 0..1, val t = 3..3)"}};
    swg_sample *samples = make_samples(400, 4, four);
    swg_split split;
    for (int m = 0; m < 3; m++) {
        swg_split_opts opts = {.mode = modes[m].mode, .seed = 42, .has_test_from = true, .test_from = 4};
        assert_ok(ctx, swg_split_make(ctx, samples, 400, &opts, &split));
        assert_string_equal(split.description, modes[m].line);
        check_cover(&split, 400);
        assert_int_equal(split.count[SWG_TEST], 100);
        for (int64_t i = 0; i < 100; i++)
            assert_int_equal(split.indices[SWG_TEST][i], i);
        assert_int_equal(split.count[SWG_TRAIN], m == 0 ? 252 : 200); /* floor(300 * 80 / 95) */
        assert_int_equal(split.count[SWG_VAL], m == 0 ? 48 : 100);
        swg_split_free(ctx, &split);
        static const struct { double from; const char *text; } bad[] = {{6, "no sample is of that time or later"}, {0, "every sample is of that time"}};
        for (int b = 0; b < 2; b++) {
            opts.test_from = bad[b].from;
            assert_int_equal(swg_split_make(ctx, samples, 400, &opts, &split), SWG_EINVAL);
            assert_message(ctx, "data.test_from", bad[b].text);
        }
        samples[399].time = NAN;
        assert_int_equal(swg_split_make(ctx, samples, 400, &opts, &split), SWG_EINVAL);
        assert_message(ctx, "sample 399 has no time");
        samples[399].time = 0;
    }
    free(samples);
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    swg_sample *samples = make_samples(6, 1, NULL);
    swg_split split;
    static const struct {
        swg_split_opts opts;
        int64_t count;
        const char *word;
    } cases[] = {
        {{.mode = "sorted"}, 6, "data.split=sorted"},
        {{.rng = "pcg"}, 6, "split.rng=pcg"},
        {{.train = 0.8, .val = 0.3}, 6, "sum at most 1"},
        {{.train = -0.1, .val = 0.3}, 6, "0 or more"},
        {{.train = NAN, .val = 0.3}, 6, "0 or more"},
        {{.seed = (uint64_t)1 << 32}, 6, "32 bits"},
        {{.seed = 42}, 6, "val part is empty"},
        {{.seed = 42}, 0, "no samples"},
        {{.mode = "by-file", .seed = 42}, 6, "train part is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(swg_split_make(ctx, samples, cases[i].count, &cases[i].opts, &split), SWG_EINVAL);
        assert_message(ctx, cases[i].word);
    }
    free(samples);
}

/* Images: any three of them fill three parts, groups stay whole, and blocks have no groups. */
static void of_images(void **state) {
    swg_context *ctx = *state;
    swg_split split;
    for (int64_t n = 3; n < 40; n++) {
        swg_sample *samples = make_samples(n, (int)n, NULL);
        assert_ok(ctx, swg_split_make(ctx, samples, n, &(swg_split_opts){.seed = 42, .images = true, .train = .8, .val = .1}, &split));
        check_cover(&split, n);
        for (int part = 0; part < SWG_PARTS; part++)
            assert_true(split.count[part] >= 1);
        if (n >= 10)
            assert_int_equal(split.count[SWG_TRAIN], n * 8 / 10);
        swg_split_free(ctx, &split);
        free(samples);
    }
    swg_sample *samples = make_samples(60, 6, NULL);
    swg_split_opts opts = {.mode = "by-group", .images = true, .group = "slide", .train = .5, .val = .25};
    assert_ok(ctx, swg_split_make(ctx, samples, 60, &opts, &split));
    assert_string_equal(split.description, "split: by-group slide (train 3 groups, val 1, test 2)");
    check_cover(&split, 60);
    for (int part = 0; part < SWG_PARTS; part++) {
        assert_int_equal(split.count[part] % 10, 0);
        for (int64_t i = 0; i < split.count[part]; i++)
            for (int other = 0; other < part; other++)
                for (int64_t j = 0; j < split.count[other]; j++)
                    assert_int_not_equal(samples[split.indices[part][i]].file, samples[split.indices[other][j]].file);
    }
    swg_split_free(ctx, &split);
    opts.images = false;
    assert_int_equal(swg_split_make(ctx, samples, 60, &opts, &split), SWG_EINVAL);
    assert_message(ctx, "by-group", "for images");
    opts = (swg_split_opts){.mode = "by-file", .images = true};
    assert_int_equal(swg_split_make(ctx, samples, 60, &opts, &split), SWG_EINVAL);
    assert_message(ctx, "by-file", "random or by-group");
    free(samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_images, testing_open, testing_close),
        cmocka_unit_test(generator),
        cmocka_unit_test_setup_teardown(published_split, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(philox_split, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(by_file, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(by_time, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(test_times, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
