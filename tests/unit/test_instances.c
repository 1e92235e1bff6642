/* test_instances.c - proves: parts, holes, distances, filters, seeds, watersheds and Otsu's threshold agree with SciPy and scikit-image, and scores
 * with their definition; nothing depends on the number of threads; touching discs and balls come apart; what cannot be is refused; memory that runs
 * out leaves nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/instances.h"
#include "golden.h"

static const char *const cases[] = {"plane", "volume", "noise", "dense", "thin"};
enum { CASES = 5, MOST = 1 << 14 };

static const swg_tensor *get(const swg_safetensors *file, const char *name, const char *field, int64_t extent[3], int64_t *count) {
    const swg_tensor *t = golden_find(file, name, field);
    assert_non_null(t);
    *count = golden_count(t);
    assert_true(*count <= MOST);
    memcpy(extent, t->shape, 3 * sizeof *extent);
    return t;
}

static void get_mask(const swg_safetensors *file, const char *name, const char *field, int64_t extent[3], int64_t *count, uint8_t *mask) {
    const swg_tensor *t = get(file, name, field, extent, count);
    for (int64_t i = 0; i < *count; i++)
        mask[i] = golden_at(t, i) != 0;
}

static void same_labels(const char *name, const char *field, const swg_tensor *want, const uint32_t *got) {
    for (int64_t i = 0; i < golden_count(want); i++)
        if ((double)got[i] != golden_at(want, i))
            fail_msg("%s.%s: voxel %lld is %u, expected %g", name, field, (long long)i, got[i], golden_at(want, i));
}

static const char *named(const char *field, int faces) {
    static char text[64];
    snprintf(text, sizeof text, "%s%s", field, faces ? "_faces" : "");
    return text;
}

static void parts_and_holes(void **state) {
    swg_context *ctx = *state;
    static uint8_t mask[MOST];
    static uint32_t labels[MOST];
    swg_safetensors *file = golden_open(ctx, "instances.safetensors");
    for (int c = 0; c < CASES; c++)
        for (int faces = 0; faces < 2; faces++) {
            int64_t extent[3], count, parts, filled, before = 0, after = 0;
            const swg_neighbours n = faces ? SWG_NEIGHBOURS_FACES : SWG_NEIGHBOURS_ALL;
            get_mask(file, cases[c], "mask", extent, &count, mask);
            assert_ok(ctx, swg_instances_label(ctx, extent, mask, n, labels, &parts));
            const swg_tensor *want = golden_find(file, cases[c], named("parts", faces));
            same_labels(cases[c], named("parts", faces), want, labels);
            assert_int_equal(parts, (int64_t)golden_largest(want));
            for (int64_t i = 0; i < count; i++)
                before += mask[i];
            assert_ok(ctx, swg_instances_fill(ctx, extent, mask, n, &filled));
            want = golden_find(file, cases[c], named("filled", faces));
            for (int64_t i = 0; i < count; i++) {
                assert_int_equal(mask[i], golden_at(want, i) != 0);
                after += mask[i];
            }
            assert_int_equal(filled, after - before);
        }
    swg_safetensors_close(file);
}

static void near_values(const char *name, const char *field, const swg_tensor *want, const float *got, double tolerance) {
    for (int64_t i = 0; i < golden_count(want); i++)
        if (!(fabs((double)got[i] - golden_at(want, i)) <= tolerance * fmax(1, golden_at(want, i))))
            fail_msg("%s.%s: voxel %lld is %.9g, expected %.9g", name, field, (long long)i, (double)got[i], golden_at(want, i));
}

static void distances(void **state) {
    swg_context *ctx = *state;
    static uint8_t mask[MOST];
    static float d[MOST];
    swg_safetensors *file = golden_open(ctx, "instances.safetensors");
    for (int c = 0; c < CASES; c++) {
        int64_t extent[3], count;
        get_mask(file, cases[c], "mask", extent, &count, mask);
        const double spacing[2][3] = {{9, 1.5, .7}, {2, .5, .75}}, *s = spacing[extent[0] > 1];
        assert_ok(ctx, swg_instances_distance(ctx, extent, NULL, mask, d));
        near_values(cases[c], "distance", golden_find(file, cases[c], "distance"), d, 1e-7);
        assert_ok(ctx, swg_instances_smooth(ctx, extent, NULL, 1.2, d));
        near_values(cases[c], "smooth", golden_find(file, cases[c], "smooth"), d, 1e-6);
        assert_ok(ctx, swg_instances_distance(ctx, extent, s, mask, d));
        near_values(cases[c], "distance_spaced", golden_find(file, cases[c], "distance_spaced"), d, 3e-7);
        const swg_tensor *values = golden_find(file, cases[c], "values");
        memcpy(d, values->data, (size_t)count * sizeof *d);
        assert_ok(ctx, swg_instances_smooth(ctx, extent, s, .9, d));
        near_values(cases[c], "smooth_spaced", golden_find(file, cases[c], "smooth_spaced"), d, 1e-6);
    }
    swg_safetensors_close(file);
}

static void seeds_and_floods(void **state) {
    swg_context *ctx = *state;
    static uint8_t mask[MOST];
    static uint32_t labels[MOST];
    swg_safetensors *file = golden_open(ctx, "instances.safetensors");
    for (int c = 0; c < CASES; c++)
        for (int faces = 0; faces < 2; faces++) {
            int64_t extent[3], count, seeds;
            const swg_neighbours n = faces ? SWG_NEIGHBOURS_FACES : SWG_NEIGHBOURS_ALL;
            get_mask(file, cases[c], "mask", extent, &count, mask);
            const swg_tensor *steps = golden_find(file, cases[c], "steps"), *height = golden_find(file, cases[c], "height");
            assert_ok(ctx, swg_instances_seeds(ctx, extent, NULL, steps->data, mask, n, 3, 0, labels, &seeds));
            const swg_tensor *want = golden_find(file, cases[c], named("seeds", faces));
            same_labels(cases[c], named("seeds", faces), want, labels);
            assert_int_equal(seeds, (int64_t)golden_largest(want));
            for (int64_t i = 0; i < count && !mask[i]; i++)
                labels[i] = 99; /* markers in the background are dropped */
            assert_ok(ctx, swg_instances_flood(ctx, extent, height->data, mask, n, labels));
            same_labels(cases[c], named("flood", faces), golden_find(file, cases[c], named("flood", faces)), labels);
        }
    swg_safetensors_close(file);
}

static void thresholds(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "instances.safetensors");
    double t;
    for (int c = 0; c < CASES; c++) {
        const swg_tensor *values = golden_find(file, cases[c], "values");
        assert_ok(ctx, swg_instances_otsu(ctx, values->data, golden_count(values), &t));
        assert_close(t, golden_at(golden_find(file, cases[c], "otsu"), 0), 1e-7, 0); /* theirs in f32 */
    }
    swg_safetensors_close(file);
    const float same[3] = {2, 2, 2}, bad[3] = {1, NAN, 2}, worse[3] = {1, -INFINITY, 2}, values[4] = {.5f, .6f, NAN, -1};
    uint8_t mask[4];
    assert_ok(ctx, swg_instances_otsu(ctx, same, 3, &t));
    assert_true(t == 2);
    assert_int_equal(swg_instances_otsu(ctx, bad, 3, &t), SWG_ENONFINITE);
    assert_int_equal(swg_instances_otsu(ctx, worse, 3, &t), SWG_ENONFINITE);
    assert_int_equal(swg_instances_otsu(ctx, same, 0, &t), SWG_ESHAPE);
    assert_int_equal(swg_instances_threshold(values, 4, .5, mask), 1);
    assert_memory_equal(mask, ((uint8_t[]){0, 1, 0, 0}), 4);
}

static void scores(void **state) {
    swg_context *ctx = *state;
    static const char *const names[] = {"shifted", "same", "empty", "missed", "half"};
    static uint32_t reference[MOST], found[MOST];
    swg_safetensors *file = golden_open(ctx, "instances.safetensors");
    swg_instance_score all = {0};
    assert_true(isnan(swg_instance_ap(&all, 0)) && isnan(swg_instance_map(&all)) && isnan(swg_instance_count_error(&all)));
    double first = 0, excess = 0, miscount = 0;
    for (int c = 0; c < 5; c++) {
        int64_t extent[3], count;
        const swg_tensor *a = get(file, names[c], "reference", extent, &count), *b = golden_find(file, names[c], "found");
        const swg_tensor *want = golden_find(file, names[c], "figures");
        for (int64_t i = 0; i < count; i++) {
            reference[i] = (uint32_t)golden_at(a, i);
            found[i] = (uint32_t)golden_at(b, i);
        }
        swg_instance_score s = {0};
        double mean = 0;
        assert_ok(ctx, swg_instance_score_add(ctx, &s, count, reference, found));
        assert_int_equal(s.reference, golden_at(want, 0));
        assert_int_equal(s.found, golden_at(want, 1));
        assert_close(swg_instance_dice(&s), golden_at(want, 2), 0, 1e-15);
        assert_close(swg_instance_iou(&s), golden_at(want, 3), 0, 1e-15);
        for (int level = 0; level < SWG_AP_LEVELS; level++) {
            assert_close(swg_instance_ap(&s, level), golden_at(want, 4 + level), 0, 1e-15);
            mean += golden_at(want, 4 + level) / SWG_AP_LEVELS;
        }
        assert_close(swg_instance_map(&s), mean, 1e-14, 0);
        swg_instance_score_join(&all, &s);
        first += golden_at(want, 4) / 5;
        excess += (double)(s.found - s.reference) / 5;
        miscount += fabs((double)(s.found - s.reference)) / 5;
    }
    assert_true(all.images == 5 && miscount > 0);
    assert_close(swg_instance_ap(&all, 0), first, 1e-14, 0);
    assert_close(swg_instance_count_bias(&all), excess, 1e-14, 0);
    assert_close(swg_instance_count_error(&all), miscount, 1e-14, 0);
    assert_true(isnan(swg_instance_ap(&all, -1)) && isnan(swg_instance_ap(&all, SWG_AP_LEVELS)));
    assert_int_equal(swg_instance_score_add(ctx, &all, 0, reference, found), SWG_ESHAPE);
    swg_safetensors_close(file);
}

/* ---- all steps ---- */

typedef struct ball {
    double z, y, x, r;
} ball;

/* 1 inside any of the balls, 0 outside; each voxel's true object is the ball whose surface is farthest. */
static void paint(const int64_t extent[3], const double spacing[3], const ball *balls, int count, float *values, uint32_t *truth) {
    for (int64_t z = 0; z < extent[0]; z++)
        for (int64_t y = 0; y < extent[1]; y++)
            for (int64_t x = 0; x < extent[2]; x++) {
                double best = 0;
                *values = 0;
                *truth = 0;
                for (int b = 0; b < count; b++) {
                    const double dz = (double)z * spacing[0] - balls[b].z, dy = (double)y * spacing[1] - balls[b].y, dx = (double)x * spacing[2] - balls[b].x;
                    const double inside = balls[b].r - sqrt(dz * dz + dy * dy + dx * dx);
                    if (inside > best) {
                        best = inside;
                        *values = 1;
                        *truth = (uint32_t)b + 1;
                    }
                }
                values++;
                truth++;
            }
}

static const struct { int64_t extent[3]; double spacing[3]; ball balls[4]; int count; } scenes[] = {
    {{1, 60, 90}, {1, 1, 1}, {{0, 20, 20, 12}, {0, 24, 39, 11}, {0, 44, 30, 12}, {0, 40, 75, 9}}, 4},
    {{12, 48, 50}, {2, 1, 1}, {{11, 16, 14, 10}, {12, 17, 31, 10}, {10, 34, 22, 9}, {4, 40, 42, 4}}, 4},
};

static void touching(void **state) {
    (void)state;
    static float values[12 * 48 * 50];
    static uint32_t truth[12 * 48 * 50], labels[12 * 48 * 50], first[12 * 48 * 50];
    for (int i = 0; i < 2; i++) {
        const int64_t *e = scenes[i].extent, voxels = e[0] * e[1] * e[2];
        paint(e, scenes[i].spacing, scenes[i].balls, scenes[i].count, values, truth);
        for (int threads = 1; threads < 4; threads++) {
            swg_context *ctx;
            swg_instances_opts o;
            swg_instances_result r;
            swg_instance_score s = {0};
            assert_ok(NULL, swg_context_open(&(swg_context_opts){.threads = threads}, &ctx));
            swg_instances_defaults(&o);
            memcpy(o.spacing, scenes[i].spacing, sizeof o.spacing);
            assert_ok(ctx, swg_instances_find(ctx, e, values, &o, labels, &r));
            assert_ok(ctx, swg_instance_score_add(ctx, &s, voxels, truth, labels));
            assert_int_equal(r.objects, 4);
            assert_true(swg_instance_ap(&s, 6) == 1 && swg_instance_dice(&s) == 1); /* each at IoU > .8, no voxel lost */
            if (threads == 1)
                memcpy(first, labels, (size_t)voxels * sizeof *first);
            assert_memory_equal(first, labels, (size_t)voxels * sizeof *first);
            o.whole = true;
            assert_ok(ctx, swg_instances_find(ctx, e, values, &o, labels, &r));
            assert_int_equal(r.objects, 2);
            o.whole = false;
            o.otsu = true;
            o.min_voxels = 300;
            assert_ok(ctx, swg_instances_find(ctx, e, values, &o, labels, &r));
            assert_int_equal(r.objects + r.removed, 4);
            assert_int_equal(r.removed, 1); /* the smallest: 253 pixels, 128 voxels */
            o.min_voxels = 0;
            o.min_distance = 60; /* of touching ones, one */
            assert_ok(ctx, swg_instances_find(ctx, e, values, &o, labels, &r));
            assert_int_equal(r.objects, 2);
            assert_true(swg_context_bytes(ctx) < 1 << 20);
            swg_context_close(ctx);
        }
    }
}

/* Seeds that have been kept stand at least the distance apart, those left out stand nearer to a higher one. */
static void spread(void **state) {
    swg_context *ctx = *state;
    enum { SIDE = 48, COUNT = SIDE * SIDE };
    static float height[COUNT];
    static uint8_t mask[COUNT];
    static uint32_t all[COUNT], kept[COUNT];
    const int64_t extent[3] = {1, SIDE, SIDE};
    const double spacing[3] = {1, 2, .5};
    int64_t many, few;
    for (int i = 0; i < COUNT; i++) {
        height[i] = (float)((i * 7919) % 10007);
        mask[i] = 1;
    }
    assert_ok(ctx, swg_instances_seeds(ctx, extent, spacing, height, mask, SWG_NEIGHBOURS_ALL, 0, 0, all, &many));
    assert_ok(ctx, swg_instances_seeds(ctx, extent, spacing, height, mask, SWG_NEIGHBOURS_ALL, 0, 5, kept, &few));
    assert_true(few > 1 && few < many);
    for (int i = 0; i < COUNT; i++) {
        bool crowded = false;
        if (!all[i])
            continue;
        for (int j = 0; j < COUNT; j++)
            if (kept[j] && i != j) {
                const double dy = spacing[1] * (i / SIDE - j / SIDE), dx = spacing[2] * (i % SIDE - j % SIDE);
                crowded |= dy * dy + dx * dx < 25 && height[j] > height[i];
            }
        assert_int_equal(!crowded, kept[i] != 0);
    }
}

static void edges(void **state) {
    swg_context *ctx = *state;
    enum { COUNT = 3 * 4 * 5 };
    const int64_t extent[3] = {3, 4, 5}, flat[3] = {0, 4, 5}, huge[3] = {1 << 12, 1 << 12, 1 << 12};
    uint8_t mask[COUNT];
    float d[COUNT], values[COUNT];
    uint32_t labels[COUNT];
    int64_t count;
    swg_instances_result r;
    for (int i = 0; i < COUNT; i++) {
        mask[i] = 1;
        values[i] = 1;
    }
    assert_ok(ctx, swg_instances_distance(ctx, extent, NULL, mask, d)); /* no background: the diagonal */
    assert_close(d[17], sqrt(50), 0, 1e-7);
    assert_ok(ctx, swg_instances_find(ctx, extent, values, NULL, labels, &r)); /* one object */
    assert_true(r.objects == 1 && r.foreground == COUNT && labels[0] == 1 && labels[COUNT - 1] == 1);
    memset(values, 0, sizeof values);
    assert_ok(ctx, swg_instances_find(ctx, extent, values, NULL, labels, &r)); /* none */
    assert_true(r.objects == 0 && r.foreground == 0 && labels[17] == 0);
    values[3] = NAN;
    assert_ok(ctx, swg_instances_find(ctx, extent, values, NULL, labels, &r)); /* NaN is background */
    assert_int_equal(r.objects, 0);
    assert_int_equal(swg_instances_find(ctx, extent, values, &(swg_instances_opts){.blur = 1}, labels, &r), SWG_ENONFINITE);
    memset(values, 0, sizeof values);
    values[27] = 1; /* one voxel, spread out by the filter */
    assert_ok(ctx, swg_instances_find(ctx, extent, values, &(swg_instances_opts){.blur = .5, .threshold = .02}, labels, &r));
    assert_true(r.objects == 1 && r.foreground == 7);
    count = 2;
    labels[5] = 3;
    assert_int_equal(swg_instances_prune(ctx, COUNT, labels, 1, &count), SWG_EINVAL);
    assert_int_equal(swg_instances_distance(ctx, flat, NULL, mask, d), SWG_ESHAPE);
    assert_int_equal(swg_instances_label(ctx, huge, mask, SWG_NEIGHBOURS_ALL, labels, NULL), SWG_ESHAPE);
    assert_int_equal(swg_instances_distance(ctx, extent, (double[]){1, 0, 1}, mask, d), SWG_EINVAL);
    assert_int_equal(swg_instances_distance(ctx, extent, (double[]){1, NAN, 1}, mask, d), SWG_EINVAL);
    assert_int_equal(swg_instances_smooth(ctx, extent, NULL, NAN, d), SWG_EINVAL);
    assert_int_equal(swg_instances_smooth(ctx, extent, NULL, 1e9, d), SWG_EINVAL);
    assert_int_equal(swg_instances_seeds(ctx, extent, NULL, d, mask, SWG_NEIGHBOURS_ALL, -1, 0, labels, &count), SWG_EINVAL);
}

static void without_memory(void **state) {
    (void)state;
    static float values[60 * 90];
    static uint32_t labels[60 * 90], truth[60 * 90];
    testing_allocator a = {.fail_at = -1};
    swg_status status = SWG_ENOMEM;
    swg_instances_opts o;
    swg_instances_defaults(&o);
    o.otsu = true;
    o.min_distance = 1;
    o.min_voxels = 2;
    paint(scenes[0].extent, scenes[0].spacing, scenes[0].balls, 4, values, truth);
    for (int64_t fail = 0; status == SWG_ENOMEM && fail < 100; fail++) {
        swg_context *ctx;
        a.fail_at = -1;
        assert_ok(NULL, swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &a}}, &ctx));
        const int64_t live = a.live;
        a.fail_at = a.calls + fail;
        status = swg_instances_find(ctx, scenes[0].extent, values, &o, labels, NULL);
        if (status == SWG_OK) {
            swg_instance_score s = {0};
            assert_true(fail > 20);
            a.fail_at = a.calls;
            assert_int_equal(swg_instance_score_add(ctx, &s, 60 * 90, truth, labels), SWG_ENOMEM);
            assert_int_equal(s.images, 0);
        }
        assert_int_equal(a.live, live);
        swg_context_close(ctx);
    }
    assert_int_equal(status, SWG_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_and_holes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(distances, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(seeds_and_floods, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(thresholds, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(scores, testing_open, testing_close),
        cmocka_unit_test(touching),
        cmocka_unit_test_setup_teardown(spread, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(edges, testing_open, testing_close),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
