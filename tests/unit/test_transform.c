/* test_transform.c - proves: resampling, scaling and augmentation give the values of PyTorch and NumPy (tests/golden/transforms.safetensors) and those of
 * cyto.md, sections 2.3 and 10; flat images stay finite; percentiles are those of a sorted copy, whatever the signs; draws keep their ranges.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/transform.h"
#include "golden.h"

static float *floats_of(const swg_tensor *t) {
    float *out = malloc((size_t)golden_count(t) * sizeof *out);
    assert_non_null(out);
    for (int64_t i = 0; i < golden_count(t); i++)
        out[i] = (float)golden_at(t, i);
    return out;
}

static void resampling(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "transforms.safetensors");
    const char *list = swg_safetensors_note(file, "cases");
    char name[64], note[96];
    while (golden_next(&list, name)) {
        snprintf(note, sizeof note, "%s.how", name);
        const bool nearest = strcmp(swg_safetensors_note(file, note), "nearest") == 0;
        const swg_tensor *in = golden_find(file, name, "in"), *out = golden_find(file, name, "out");
        float *x = floats_of(in), *y = malloc((size_t)golden_count(out) * sizeof *y);
        assert_ok(ctx, swg__resample_volume(ctx, x, in->shape, out->shape + 1, nearest, y));
        golden_close(name, "value", out, y, SWG_F32, 1e-6);
        free(x);
        free(y);
    }
    swg_safetensors_close(file);
}

static void zooming(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "transforms.safetensors");
    const char *list = swg_safetensors_note(file, "zooms");
    char name[64], note[96];
    while (golden_next(&list, name)) {
        snprintf(note, sizeof note, "%s.factor", name);
        const double factor = strtod(swg_safetensors_note(file, note), NULL);
        const swg_tensor *in = golden_find(file, name, "in"), *out = golden_find(file, name, "out");
        int64_t to[3];
        for (int i = 0; i < 3; i++) {
            to[i] = swg__zoom_extent(factor, in->shape[i + 1]);
            assert_int_equal(to[i], out->shape[i + 1]);
        }
        float *x = floats_of(in), *y = malloc((size_t)golden_count(out) * sizeof *y);
        assert_ok(ctx, swg__resample_volume(ctx, x, in->shape, to, false, y));
        golden_close(name, "value", out, y, SWG_F32, 1e-6);
        free(x);
        free(y);
    }
    swg_safetensors_close(file);
}

static void resampling_by_hand(void **state) {
    swg_context *ctx = *state;
    const float in[] = {1, 2, 3, 4, 5};
    float out[5];
    /* windows of 5 to 2: 0..2 and 2..4; of 5 to 3: 0..1, 1..3, 3..4 */
    assert_ok(ctx, swg__resample_volume(ctx, in, (int64_t[]){1, 1, 1, 5}, (int64_t[]){1, 1, 2}, false, out));
    assert_close(out[0], 2, 0, 0);
    assert_close(out[1], 4, 0, 0);
    assert_ok(ctx, swg__resample_volume(ctx, in, (int64_t[]){1, 5, 1, 1}, (int64_t[]){3, 1, 1}, false, out));
    assert_close(out[0], 1.5, 0, 0);
    assert_close(out[1], 3, 0, 1e-7);
    assert_close(out[2], 4.5, 0, 0);
    assert_ok(ctx, swg__resample_volume(ctx, in, (int64_t[]){1, 1, 1, 5}, (int64_t[]){1, 1, 5}, false, out));
    assert_memory_equal(in, out, sizeof in);
}

static void values(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "transforms.safetensors");
    const swg_tensor *in = golden_get(file, "values.in"), *percents = golden_get(file, "values.percents");
    const int64_t count = golden_count(in);
    float *kept = floats_of(in), *x = malloc((size_t)count * sizeof *x);
    double points[SWG__HISTOGRAM_POINTS];
    const struct {
        const char *name;
        int what;
    } cases[] = {{"normalised", 0}, {"scaled", 1}, {"threshold", 2}, {"histogram", 3}, {"shifted", 4}, {"gamma_0.9", 5}, {"gamma_1.5", 6}};
    const swg_tensor *drawn = golden_get(file, "values.points");
    for (int64_t i = 0; i < golden_count(drawn); i++)
        points[i] = golden_at(drawn, i);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        memcpy(x, kept, (size_t)count * sizeof *x);
        switch (cases[c].what) {
        case 0: assert_true(swg__normalise(x, count)); break;
        case 1: assert_true(swg__percentile_scale(x, count, 5, 99.99)); break;
        case 2: swg__threshold(x, count, .1); break;
        case 3: swg__histogram_shift(x, count, points, (int)golden_count(drawn)); break;
        case 4: swg__sd_shift(x, count, .07); break;
        default: swg__gamma(x, count, cases[c].what == 5 ? .9 : 1.5);
        }
        golden_close("values", cases[c].name, golden_find(file, "values", cases[c].name), x, SWG_F32, 2e-6);
    }
    for (int64_t i = 0; i < golden_count(percents); i++)
        assert_close(swg__percentile(kept, count, golden_at(percents, i)), golden_at(golden_get(file, "values.percentiles"), i), 1e-12, 1e-12);
    free(kept);
    free(x);
    swg_safetensors_close(file);
}

static void by_hand(void **state) {
    (void)state;
    float x[] = {1, 2, 4, 9};
    static const double want[] = {-0.973328526785, -0.648885684523, 0, 1.62221421131}; /* the specification's */
    assert_true(swg__normalise(x, 4));
    for (int i = 0; i < 4; i++)
        assert_close(x[i], want[i], 1e-7, 1e-7);
    float flat[] = {.1f, .1f, .1f};
    assert_false(swg__normalise(flat, 3));
    for (int i = 0; i < 3; i++)
        assert_true(flat[i] == 0);
    float level[] = {3, 3, 3, 3};
    assert_false(swg__percentile_scale(level, 4, .01, 99.99));
    for (int i = 0; i < 4; i++)
        assert_true(level[i] == -1);
    float t[] = {-1, .05f, .1f, .2f, 7};
    swg__threshold(t, 5, .1);
    assert_true(t[0] == -1 && t[1] == .05f && t[2] == 1 && t[3] == 1 && t[4] == 1);
    float b[] = {-2, 0, .5f, 300000};
    swg__binary(b, 4);
    assert_true(b[0] == 0 && b[1] == 0 && b[2] == 1 && b[3] == 1);
    float n[] = {1, NAN, -INFINITY, INFINITY, 2};
    assert_int_equal(swg__zero_nonfinite(n, 5), 3);
    assert_true(n[0] == 1 && n[1] == 0 && n[2] == 0 && n[3] == 0 && n[4] == 2);
    float same[] = {5, 5, 5};
    swg__histogram_shift(same, 3, (double[]){0, .2, 1}, 3);
    swg__sd_shift(same, 3, .1);
    swg__gamma(same, 3, 1.2);
    for (int i = 0; i < 3; i++)
        assert_true(same[i] == 5);
}

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Against a sorted copy: signs, repeats, one value, large and small magnitudes. */
static void percentiles(void **state) {
    (void)state;
    uint32_t seed = 7;
    for (int trial = 0; trial < 200; trial++) {
        float x[97], sorted[97];
        const int count = 1 + trial % 97;
        for (int i = 0; i < count; i++) {
            seed = seed * 1664525u + 1013904223u;
            const int kind = trial % 4;
            x[i] = kind == 0 ? (float)(seed >> 28) - 8 : kind == 1 ? (float)(int32_t)seed : kind == 2 ? (float)(int32_t)seed * 1e-38f : (float)(seed >> 8) * 1e30f;
        }
        memcpy(sorted, x, sizeof x);
        qsort(sorted, (size_t)count, sizeof *sorted, ascending);
        for (double p = 0; p <= 100; p += 6.25) {
            const double place = p / 100 * (count - 1);
            const int k = (int)place, next = k + 1 < count ? k + 1 : k;
            const double want = (double)sorted[k] + (place - k) * ((double)sorted[next] - (double)sorted[k]);
            assert_close(swg__percentile(x, count, p), want, 0, 1e-13);
        }
    }
}

static void histogram_draws(void **state) {
    (void)state;
    int least = 1000, most = 0;
    for (uint64_t key = 0; key < 2000; key++) {
        double points[SWG__HISTOGRAM_POINTS], again[SWG__HISTOGRAM_POINTS];
        const int count = swg__histogram_points(key, points);
        least = count < least ? count : least;
        most = count > most ? count : most;
        assert_true(points[0] == 0 && points[count - 1] == 1);
        for (int i = 1; i < count; i++)
            assert_true(points[i] > points[i - 1]);
        assert_int_equal(swg__histogram_points(key, again), count);
        assert_memory_equal(points, again, (size_t)count * sizeof *points);
    }
    assert_true(least >= 90 && least < 95);
    assert_true(most < 500 && most > 494);
}

static void flips_and_turns(void **state) {
    (void)state;
    float x[] = {1, 2, 3, 4, 5, 6}, square[] = {1, 2, 3, 4};
    swg__flip_x(x, 1, 2, 3);
    assert_memory_equal(x, ((float[]){3, 2, 1, 6, 5, 4}), sizeof x);
    swg__flip_y(x, 1, 2, 3);
    assert_memory_equal(x, ((float[]){6, 5, 4, 3, 2, 1}), sizeof x);
    swg__flip_y(x, 2, 1, 3); /* planes of one row have nothing to swap */
    assert_memory_equal(x, ((float[]){6, 5, 4, 3, 2, 1}), sizeof x);
    swg__turn(square, 1, 2);
    assert_memory_equal(square, ((float[]){3, 1, 4, 2}), sizeof square);
    static const int64_t want[] = {0, 1, 2, 1, 0, 1, 2, 1};
    for (int64_t i = 0; i < 8; i++)
        assert_int_equal(swg__reflect(i, 3), want[i]);
    assert_int_equal(swg__reflect(5, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(resampling, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(zooming, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(resampling_by_hand, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(values, testing_open, testing_close),
        cmocka_unit_test(by_hand), cmocka_unit_test(percentiles), cmocka_unit_test(histogram_draws), cmocka_unit_test(flips_and_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
