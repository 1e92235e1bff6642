/* test_volumes.c - proves, on arrays: a crop is at one place for all keys, scaled ones too, and reaches both ends; what is fetched depends on (seed, epoch,
 * sample) alone, whatever the batch and the thread; augmentation changes what it should as often as it should; images are padded, whole images are what the
 * prefix makes of them; arrays need no more than they say; running out of memory leaves nothing behind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/transform.h"
#include "volumes_testing.h"

enum { Z = 9, Y = 14, X = 17 };

/* A source and a target four times as fine, three images of each. */
struct pair {
    float *source, *target;
    swg__volume_array arrays[6];
};

static void pair_open(struct pair *p) {
    const int64_t dims[] = {1, Z, Y, X}, fine[] = {2, 4 * Z + 1, 4 * Y, 4 * X + 3}; /* up to three more, as floor(n / 4) leaves */
    p->source = make_places(dims);
    p->target = make_places(fine);
    for (int i = 0; i < 6; i++) {
        p->arrays[i] = i < 3 ? array_of("raw", p->source, dims) : array_of("dye", p->target, fine);
        p->arrays[i].split = (const char *[]){"train", "valid", "test"}[i % 3];
    }
}

static void pair_close(struct pair *p) {
    free(p->source);
    free(p->target);
}

static swg__volumes_opts pair_opts(const struct pair *p) {
    static const char *const targets[] = {"dye scale=4"};
    return (swg__volumes_opts){.arrays = p->arrays, .array_count = 6, .source = "raw", .targets = targets, .target_count = 1, .patch = {4, 6, 8}};
}

static void crops(void **state) {
    swg_context *ctx = *state;
    struct pair p;
    swg__volumes *v;
    if (TESTING_RACES)
        skip();
    pair_open(&p);
    swg__volumes_opts opts = pair_opts(&p);
    assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
    assert_int_equal(swg__volumes_keys(v), 2);
    assert_int_equal(swg__volumes_channels(v, 1), 2);
    assert_int_equal(swg__volumes_values(v, 0), 4 * 6 * 8);
    assert_int_equal(swg__volumes_values(v, 1), 2 * 64 * 4 * 6 * 8);
    assert_string_equal(swg__volumes_summary(v), "3 images of 9x14x17; raw 1 channel, dye 2 channels; 3 samples of 4x6x8");
    assert_string_equal(swg__volumes_split(v)->description, "split: by the table (train 1, val 1, test 1 images)");
    float *source = malloc((size_t)swg__volumes_values(v, 0) * sizeof *source), *target = malloc((size_t)swg__volumes_values(v, 1) * sizeof *target);
    int64_t low[3] = {99, 99, 99}, high[3] = {0, 0, 0}, seen[Z - 3] = {0}, draws = 1200;
    for (uint32_t epoch = 0; epoch < draws; epoch++) {
        const swg__volumes_draw draw = {.training = true, .seed = 5, .epoch = epoch};
        const int64_t index = 0;
        char message[256];
        int64_t start[3], told[3];
        assert_ok(ctx, swg__volumes_fetch(v, &index, 1, &draw, (float *[]){source, target}, message, sizeof message));
        start[0] = (int64_t)source[0] / 10000, start[1] = (int64_t)source[0] / 100 % 100, start[2] = (int64_t)source[0] % 100;
        assert_ok(ctx, swg__volumes_start(v, 0, &draw, told));
        assert_memory_equal(start, told, sizeof start);
        if (epoch < 20) {
            for (int64_t i = 0; i < 4 * 6 * 8; i++)
                assert_true(source[i] == place_value(0, start[0] + i / 48, start[1] + i / 8 % 6, start[2] + i % 8));
            for (int64_t i = 0; i < swg__volumes_values(v, 1); i++)
                assert_true(target[i] == place_value(i / (16 * 24 * 32), 4 * start[0] + i / (24 * 32) % 16, 4 * start[1] + i / 32 % 24, 4 * start[2] + i % 32));
        }
        seen[start[0]]++;
        for (int a = 0; a < 3; a++) {
            low[a] = start[a] < low[a] ? start[a] : low[a];
            high[a] = start[a] > high[a] ? start[a] : high[a];
        }
    }
    const int64_t last[] = {Z - 4, Y - 6, X - 8};
    for (int a = 0; a < 3; a++) { /* the ends included */
        assert_int_equal(low[a], 0);
        assert_int_equal(high[a], last[a]);
    }
    for (int i = 0; i < Z - 3; i++) /* 200 each; 5 standard deviations are 65 */
        assert_true(llabs(seen[i] - draws / (Z - 3)) < 65);
    free(source);
    free(target);
    swg__volumes_close(v);
    pair_close(&p);
}

/* ---- what a sample depends on ---- */

enum { CROPS = TESTING_RACES ? 3 : 10 };

struct alone {
    const swg__volumes *v;
    swg__volumes_draw draw;
    float *source, *target;     /* (count, ...) */
    swg_status status[3 * CROPS];
};

static void fetch_alone(void *arg, int64_t task, int worker) {
    struct alone *a = arg;
    char message[64];
    (void)worker;
    a->status[task] = swg__volumes_fetch(a->v, &task, 1, &a->draw, (float *[]){a->source + task * swg__volumes_values(a->v, 0),
                                         a->target + task * swg__volumes_values(a->v, 1)}, message, sizeof message);
}

static void fetch_all(swg_context *threads, struct alone *a, int64_t count) {
    swg__parallel(threads, count, fetch_alone, a);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(a->status[i], SWG_OK);
}

static void independence(void **state) {
    swg_context *ctx = *state, *threads;
    struct pair p;
    swg__volumes *v;
    pair_open(&p);
    assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = 4}, &threads));
    swg__volumes_opts opts = pair_opts(&p);
    opts.crops = CROPS;
    opts.augment = "histogram,std,gamma,flip,turn";
    opts.patch[1] = 8;
    assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
    memset(p.arrays, 0xff, sizeof p.arrays); /* the list was copied */
    const int64_t count = swg__volumes_count(v), source_values = count * swg__volumes_values(v, 0), target_values = count * swg__volumes_values(v, 1);
    assert_int_equal(count, 3 * CROPS);
    assert_int_equal(swg__volumes_split(v)->count[SWG_VAL], CROPS);
    float *first[2] = {malloc((size_t)source_values * sizeof(float)), malloc((size_t)target_values * sizeof(float))};
    float *second[2] = {malloc((size_t)source_values * sizeof(float)), malloc((size_t)target_values * sizeof(float))};
    int64_t order[3 * CROPS];
    char message[256];
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    for (int training = 0; training < 2; training++) {
        struct alone a = {.v = v, .draw = {.training = training, .seed = 3, .epoch = 7}, .source = second[0], .target = second[1]};
        assert_ok(ctx, swg__volumes_fetch(v, order, count, &a.draw, first, message, sizeof message));
        fetch_all(threads, &a, count);
        assert_memory_equal(first[0], second[0], (size_t)source_values * sizeof(float));
        assert_memory_equal(first[1], second[1], (size_t)target_values * sizeof(float));
        a.draw.epoch = 8; /* changes all in training and nothing in validation */
        fetch_all(threads, &a, count);
        int64_t same = 0;
        for (int64_t i = 0; i < count; i++)
            same += memcmp(first[0] + i * source_values / count, second[0] + i * source_values / count, (size_t)(source_values / count) * sizeof(float)) == 0;
        assert_true(training ? same < count / 2 : same == count);
        a.draw.seed = 4;
        fetch_all(threads, &a, count);
        assert_memory_not_equal(first[0], second[0], (size_t)source_values * sizeof(float));
    }
    order[0] = count;
    assert_int_equal(swg__volumes_fetch(v, order, 1, &(swg__volumes_draw){0}, first, message, sizeof message), SWG_EINVAL);
    assert_non_null(strstr(message, "there are"));
    for (int i = 0; i < 2; i++) {
        free(first[i]);
        free(second[i]);
    }
    swg__volumes_close(v);
    swg_context_close(threads);
    pair_close(&p);
}

/* ---- augmentation ---- */

static void augmentation(void **state) {
    swg_context *ctx = *state;
    const int64_t dims[] = {1, 4, 8, 8};
    if (TESTING_RACES)
        skip();
    float *values = make_places(dims), patch[2][256];
    swg__volume_array array = array_of("raw", values, dims);
    swg__volumes *v;
    static const char *const target[] = {"raw"};
    enum { DRAWS = 3000 };
    const struct {
        const char *words;
        double source_low, source_high;     /* share of draws that change the source */
        bool target;                        /* and the target with it */
    } cases[] = {{"histogram,std,gamma", .25, .292, false}, {"histogram", .08, .12, false}, {"std", .08, .12, false}, {"gamma", .08, .12, false},
                 {"flip", .72, .78, true}, {"turn", .72, .78, true}, {"none", 0, 0, true}, {"", 0, 0, true}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        swg__volume_array arrays[] = {array, array, array};
        arrays[0].split = "train", arrays[1].split = "validation", arrays[2].split = "test";
        assert_ok(ctx, swg__volumes_open(ctx, &(swg__volumes_opts){.arrays = arrays, .array_count = 3, .source = "raw", .targets = target, .target_count = 1,
                                                                   .patch = {4, 8, 8}, .augment = cases[c].words}, &v));
        int changed = 0, apart = 0;
        for (uint32_t epoch = 0; epoch < DRAWS; epoch++) {
            const int64_t index = 0;
            char message[64];
            assert_ok(ctx, swg__volumes_fetch(v, &index, 1, &(swg__volumes_draw){.training = true, .seed = 1, .epoch = epoch}, (float *[]){patch[0], patch[1]},
                                              message, sizeof message));
            changed += memcmp(patch[0], values, sizeof patch[0]) != 0;
            apart += memcmp(patch[0], patch[1], sizeof patch[0]) != 0;
            if (!cases[c].target)
                assert_memory_equal(patch[1], values, sizeof patch[1]);
        }
        if (!(changed >= cases[c].source_low * DRAWS && changed <= cases[c].source_high * DRAWS))
            fail_msg("%s: %d of %d draws change the source", cases[c].words, changed, DRAWS);
        assert_int_equal(apart, cases[c].target ? 0 : changed);
        swg__volumes_close(v);
    }
    assert_int_equal(swg__volumes_open(ctx, &(swg__volumes_opts){.arrays = &array, .array_count = 1, .source = "raw", .augment = "flip,spin"}, &v), SWG_EINVAL);
    assert_message(ctx, "data.augment=spin", "histogram std gamma flip turn");
    free(values);
}

/* ---- padding and whole images ---- */

static void padding(void **state) {
    swg_context *ctx = *state;
    const int64_t dims[] = {1, 2, 3, 4};
    float *values = make_places(dims), patch[4 * 4 * 6];
    const swg__volume_array one = array_of("raw", values, dims);
    swg__volume_array arrays[] = {one, one, one};
    swg__volumes *v;
    swg__volumes_opts opts = {.arrays = arrays, .array_count = 3, .source = "raw", .patch = {4, 4, 6}};
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "2x3x4", "4x4x6", "data.pad=reflect");
    static const int64_t z_of[] = {0, 1, 0, 1}, y_of[] = {0, 1, 2, 1}, x_of[] = {0, 1, 2, 3, 2, 1};
    for (int zero = 0; zero < 2; zero++) {
        const int64_t index = 0;
        char message[64];
        opts.pad = zero ? "zero" : "reflect";
        assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
        assert_ok(ctx, swg__volumes_fetch(v, &index, 1, &(swg__volumes_draw){.training = true, .epoch = 9}, (float *[]){patch}, message, sizeof message));
        for (int64_t z = 0; z < 4; z++)
            for (int64_t y = 0; y < 4; y++)
                for (int64_t x = 0; x < 6; x++) {
                    const bool inside = z < 2 && y < 3 && x < 4;
                    assert_true(patch[(z * 4 + y) * 6 + x] == (zero ? inside ? place_value(0, z, y, x) : 0 : place_value(0, z_of[z], y_of[y], x_of[x])));
                }
        swg__volumes_close(v);
    }
    free(values);
}

/* The prefix of a key is its transforms in order, whatever holds the values. */
static void whole(void **state) {
    swg_context *ctx = *state;
    const int64_t dims[] = {3, 9, 14, 17}, to[] = {2, 3, 4};
    float *values = make_places(dims), expected[24], both[2][24];
    swg__volume_array arrays[3] = {array_of("raw", values, dims)};
    swg__volumes *v;
    swg__volume image;
    for (int64_t i = 0; i < 9 * 14 * 17; i++) /* channel 1: ids of 70000 and more, for labels and masks */
        values[9 * 14 * 17 + i] = i % 3 ? 0 : (float)(70000 + i);
    arrays[1] = arrays[2] = arrays[0];
    const char *const targets[] = {"raw channel=1 binary zoom=0.25", "raw channel=1 labels", "raw channel=2+0 z=3:5", "raw channel=0 z=max", "raw channel=mean"};
    assert_ok(ctx, swg__volumes_open(ctx, &(swg__volumes_opts){.arrays = arrays, .array_count = 3, .source = "raw channel=2 zoom=0.25 normalise threshold=0.1",
                                                               .use = SWG__VOLUMES_PREDICT, .targets = targets, .target_count = 5}, &v));
    assert_int_equal(swg__volumes_keys(v), 1); /* targets are not read for prediction */
    assert_int_equal(swg__volumes_items(v), 3);
    assert_string_equal(swg__volumes_item_at(v, 1)->stem, "image_2");
    assert_null(swg__volumes_item_at(v, 3));
    assert_int_equal(swg__volumes_reads(v), 0);
    assert_ok(ctx, swg__volumes_whole(v, 0, 0, &image));
    assert_int_equal(swg__volumes_reads(v), 1);
    assert_ok(ctx, swg__resample_volume(ctx, values + 2 * 9 * 14 * 17, (int64_t[]){1, 9, 14, 17}, to, false, expected));
    swg__normalise(expected, 24);
    swg__threshold(expected, 24, .1);
    assert_memory_equal(image.dims, ((int64_t[]){1, 2, 3, 4}), sizeof image.dims);
    for (int i = 0; i < 24; i++)
        assert_close(image.values[i], expected[i], 1e-6, 1e-6);
    swg__volumes_release(v, &image);
    swg__volumes_close(v);

    for (int t = 0; t < 5; t++) {
        const swg__volumes_opts opts = {.arrays = arrays, .array_count = 3, .source = targets[t], .use = SWG__VOLUMES_PREDICT};
        assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
        assert_ok(ctx, swg__volumes_whole(v, 2, 0, &image));
        int64_t extent[4];
        assert_ok(ctx, swg__volumes_extent(v, 2, 0, extent));
        assert_memory_equal(extent, image.dims, sizeof extent);
        if (t == 0) {
            float mask[9 * 14 * 17];
            memcpy(mask, values + 9 * 14 * 17, sizeof mask);
            swg__binary(mask, 9 * 14 * 17);
            assert_ok(ctx, swg__resample_volume(ctx, mask, (int64_t[]){1, 9, 14, 17}, to, false, both[0]));
            for (int i = 0; i < 24; i++)
                assert_close(image.values[i], both[0][i], 1e-6, 0);
        } else if (t == 1) {
            assert_memory_equal(image.values, values + 9 * 14 * 17, 9 * 14 * 17 * sizeof(float));
        } else if (t == 2) {
            assert_memory_equal(image.dims, ((int64_t[]){2, 3, 14, 17}), sizeof image.dims);
            assert_memory_equal(image.values, values + (2 * 9 + 3) * 14 * 17, 3 * 14 * 17 * sizeof(float));
            assert_memory_equal(image.values + 3 * 14 * 17, values + 3 * 14 * 17, 3 * 14 * 17 * sizeof(float));
        } else if (t == 3) {
            assert_memory_equal(image.dims, ((int64_t[]){1, 1, 14, 17}), sizeof image.dims);
            assert_memory_equal(image.values, values + 8 * 14 * 17, 14 * 17 * sizeof(float)); /* places grow with z */
        } else {
            assert_close(image.values[5], ((double)values[5] + (double)values[9 * 14 * 17 + 5] + (double)values[2 * 9 * 14 * 17 + 5]) / 3, 0, 1e-7);
        }
        swg__volumes_release(v, &image);
        assert_int_equal(swg__volumes_whole(v, 3, 0, &image), SWG_EINVAL);
        swg__volumes_close(v);
    }
    values[9 * 14 * 17] = .5f;
    assert_ok(ctx, swg__volumes_open(ctx, &(swg__volumes_opts){.arrays = arrays, .array_count = 1, .source = targets[1], .use = SWG__VOLUMES_PREDICT}, &v));
    assert_int_equal(swg__volumes_whole(v, 0, 0, &image), SWG_EINVAL);
    assert_message(ctx, "label 0.5", "whole numbers");
    swg__volumes_close(v);
    free(values);
}

/* ---- arrays ---- */

static void layouts(void **state) {
    swg_context *ctx = *state;
    uint16_t numbers[2 * 3 * 4 * 5];
    swg__volumes *v;
    swg__volume image;
    for (int i = 0; i < 120; i++)
        numbers[i] = (uint16_t)(i * 500);
    const struct {
        const char *layout;
        int ndim;
        int64_t dims[5];
        int spatial, rows;
        int64_t extent[4];
        float second;           /* of the last row */
    } cases[] = {{NULL, 4, {2, 3, 4, 5}, 3, 1, {2, 3, 4, 5}, 500}, {"BCZYX", 5, {2, 1, 3, 4, 5}, 3, 2, {1, 3, 4, 5}, 61 * 500},
                 {"BZYX", 4, {2, 3, 4, 5}, 3, 2, {1, 3, 4, 5}, 61 * 500}, {"ZYXC", 4, {2, 3, 4, 5}, 3, 1, {5, 2, 3, 4}, 5 * 500},
                 {NULL, 3, {2, 3, 20}, 2, 1, {2, 1, 3, 20}, 500}, {"YX", 2, {6, 20}, 2, 1, {1, 1, 6, 20}, 500}, {"CYXB", 4, {2, 3, 4, 5}, 2, 5, {2, 1, 3, 4}, 9 * 500}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        swg__volume_array array = {.column = "raw", .values = numbers, .element = SWG_ELEMENT_U16, .layout = cases[c].layout, .ndim = cases[c].ndim};
        memcpy(array.dims, cases[c].dims, sizeof array.dims);
        const swg__volumes_opts opts = {.arrays = &array, .array_count = 1, .source = "raw", .use = SWG__VOLUMES_PREDICT, .dims = cases[c].spatial};
        assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
        assert_int_equal(swg__volumes_items(v), cases[c].rows);
        assert_ok(ctx, swg__volumes_whole(v, cases[c].rows - 1, 0, &image));
        assert_memory_equal(image.dims, cases[c].extent, sizeof image.dims);
        assert_true(image.values[1] == cases[c].second);
        swg__volumes_release(v, &image);
        swg__volumes_close(v);
    }
    const struct {
        const char *layout, *word;
        int ndim;
    } bad[] = {{NULL, "say what they are with layout", 5}, {"CZYX", "a letter per axis", 3}, {"CZZX", "each once", 4}, {"CZYQ", "a letter per axis", 4}, {"BCZX", "Y and X", 4}};
    for (size_t c = 0; c < sizeof bad / sizeof *bad; c++) {
        const swg__volume_array array = {.column = "raw", .values = numbers, .element = SWG_ELEMENT_U16, .layout = bad[c].layout, .ndim = bad[c].ndim,
                                         .dims = {2, 3, 4, 5, 1}};
        assert_int_equal(swg__volumes_open(ctx, &(swg__volumes_opts){.arrays = &array, .array_count = 1, .source = "raw", .use = SWG__VOLUMES_PREDICT}, &v), SWG_EINVAL);
        assert_message(ctx, bad[c].word);
    }
}

static void array_errors(void **state) {
    swg_context *ctx = *state;
    struct pair p;
    swg__volumes *v;
    pair_open(&p);
    swg__volumes_opts opts = pair_opts(&p);
    opts.array_count = 5;
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "\"dye\" have 2 images", "\"raw\" 3");
    opts.array_count = 3;
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_ENOTFOUND);
    assert_message(ctx, "no array of column \"dye\"");
    opts.array_count = 6;
    opts.targets = (const char *[]){"dye scale=3"};
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "37x56x71", "scale 3", "9x14x17");
    opts.targets = (const char *[]){"dye scale=4 channel=2"};
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_ENOTFOUND);
    assert_message(ctx, "channel 2: there are 2");
    opts.targets = (const char *[]){"dye scale=4 z=40"};
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "z=40", "37");
    opts.target_count = 0;
    p.arrays[0].split = "other";
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "\"other\"");
    p.arrays[0].split = "test"; /* nothing to train with */
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "training part");
    p.arrays[0].split = "train";
    opts.dims = 2;
    opts.patch[0] = 0;
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "9 planes", "z=max");
    opts.has_plane = true;
    opts.plane = 9;
    assert_int_equal(swg__volumes_open(ctx, &opts, &v), SWG_EINVAL);
    assert_message(ctx, "data.z=9", "9 planes");
    opts.plane = 3;
    assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
    const int64_t index = 0;
    float patch[48];
    char message[64];
    assert_ok(ctx, swg__volumes_fetch(v, &index, 1, &(swg__volumes_draw){0}, (float *[]){patch}, message, sizeof message));
    assert_int_equal((int)patch[0] / 10000, 3);
    assert_string_equal(swg__volumes_json(v), "{\"keys\":[\"raw\"],\"dims\":2,\"plane\":3,\"nonfinite\":\"error\",\"patch\":[6,8]}");
    swg__volumes_close(v);
    pair_close(&p);
}

static void digests(void **state) {
    swg_context *ctx = *state;
    struct pair p;
    swg__volumes *v;
    char first[65];
    pair_open(&p);
    swg__volumes_opts opts = pair_opts(&p);
    assert_ok(ctx, swg__volumes_open(ctx, &opts, &v));
    assert_int_equal(strlen(swg__volumes_digest(v)), 64);
    strcpy(first, swg__volumes_digest(v));
    swg__volumes_close(v);
    for (int change = 0; change < 4; change++) {
        swg__volumes_opts other = opts;
        other.patch[2] -= change == 1;
        other.augment = change == 2 ? "gamma" : NULL;
        other.source = change == 3 ? "raw normalise" : "raw";
        assert_ok(ctx, swg__volumes_open(ctx, &other, &v));
        assert_int_equal(strcmp(swg__volumes_digest(v), first) == 0, change == 0);
        swg__volumes_close(v);
    }
    pair_close(&p);
}

static void out_of_memory(void **state) {
    struct pair p;
    (void)state;
    pair_open(&p);
    bool done = false;
    for (int64_t n = 0; n < 400 && !done; n++) {
        testing_allocator counter = {.fail_at = n};
        swg_context *ctx;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &counter}}, &ctx) != SWG_OK)
            continue;
        static const char *const targets[] = {"dye scale=4 zoom=0.9 z=0:36"};
        swg__volumes *v;
        swg__volumes_opts opts = pair_opts(&p);
        opts.source = "raw zoom=0.9 normalise";
        opts.targets = targets;
        const swg_status status = swg__volumes_open(ctx, &opts, &v);
        done = counter.calls <= n;
        assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
        swg__volumes_close(v);
        swg_context_close(ctx);
        assert_int_equal(counter.live, 0);
    }
    assert_true(done);
    pair_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(crops, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(independence, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(augmentation, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(padding, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layouts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(array_errors, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(digests, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
