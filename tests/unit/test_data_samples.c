/* test_data_samples.c - proves: the training set holds the normalised blocks of every file, variable and block in order, constant and
 * non-finite blocks are flagged and left out, a NaN is named, global parameters come from the training part only, the planned memory
 * is what is used, and the bits do not depend on the number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "data/normalise.h"

enum { OCTANTS = 40, VALUES = 343 };

/* Octants of two variables; every tenth block of U_CHI is constant; values depend on time. */
static void make_octants(swg_context *ctx, const char *path, double time, swg_element element, double planted) {
    static double wide[2][OCTANTS][VALUES];
    static float narrow[2][OCTANTS][VALUES];
    for (int v = 0; v < 2; v++)
        for (int b = 0; b < OCTANTS; b++)
            for (int i = 0; i < VALUES; i++)
                wide[v][b][i] = v == 0 && b % 10 == 3 ? 0.5 + b : sin(0.1 * i + b) * (v + 1) + 0.01 * time;
    wide[1][17][171] += planted; /* in the middle of the octant */
    for (int i = 0; i < 2 * OCTANTS * VALUES; i++)
        (&narrow[0][0][0])[i] = (float)(&wide[0][0][0])[i];
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, path, &sink));
    for (int v = 0; v < 2; v++)
        assert_ok(ctx, swg_sink_put(sink, v ? "U_K" : "U_CHI", element, 4, (int64_t[]){OCTANTS, 7, 7, 7},
                                    element == SWG_ELEMENT_F32 ? (void *)narrow[v] : (void *)wide[v], &(swg_sink_opts){.deflate = 1}));
    if (time > 0)
        assert_ok(ctx, swg_sink_number(sink, "/", "time", time));
    assert_ok(ctx, swg_sink_commit(sink));
}

static void holds_the_blocks(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    make_octants(ctx, scratch_path(&s, "a.h5"), 2, SWG_ELEMENT_F32, 0);
    make_octants(ctx, scratch_path(&s, "b.h5"), 3, SWG_ELEMENT_F64, 0);
    swg_source *source;
    swg_samples *samples;
    assert_ok(ctx, swg_source_open(ctx, s.folder, NULL, &source));
    assert_ok(ctx, swg_samples_open(ctx, source, NULL, &samples));
    assert_int_equal(swg_samples_count(samples), 4 * OCTANTS);
    assert_int_equal(swg_samples_edge(samples), 5);
    assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_CONSTANT), 8);
    assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_RAW), 0);
    assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_NORMAL), 152);
    assert_string_equal(swg_norm_name(swg_samples_norm(samples)), "pos_log");
    const swg_sample *list = swg_samples_list(samples);
    const float *values = swg_samples_values(samples);
    for (int i = 0; i < 4 * OCTANTS; i++) { /* file-major, then variable, then block */
        assert_int_equal(list[i].file, i / (2 * OCTANTS));
        assert_int_equal(list[i].variable, i / OCTANTS % 2);
        assert_int_equal(list[i].array, i / OCTANTS);
        assert_int_equal(list[i].block, i % OCTANTS);
        assert_close(list[i].time, i < 2 * OCTANTS ? 2 : 3, 0, 0);
        assert_int_equal(list[i].side.flag, i / OCTANTS % 2 == 0 && i % 10 == 3);
    }
    assert_close(list[13].side.offset, 13.5, 0, 0); /* the constant itself */
    for (int i = 0; i < 125; i++)
        assert_close((double)values[13 * 125 + i], 0, 0, 0);
    /* Block 5 of U_K in the second file, by hand. */
    double x[125], least = INFINITY;
    for (int i = 0; i < 125; i++) {
        int at = ((i / 25 + 1) * 7 + i / 5 % 5 + 1) * 7 + i % 5 + 1;
        x[i] = sin(0.1 * at + 5) * 2 + 0.01 * 3;
        least = fmin(least, x[i]);
    }
    const swg_sample *sample = &list[3 * OCTANTS + 5];
    assert_close(sample->side.offset, least, 0, 0);
    for (int i = 0; i < 125; i++)
        assert_close((double)values[(3 * OCTANTS + 5) * 125 + i], log(x[i] - least + 1e-6), 0, 1e-7);
    /* The split covers all normal samples and marks the parts. */
    const swg_split *split = swg_samples_split(samples);
    assert_int_equal(split->count[0] + split->count[1] + split->count[2], 152);
    for (int part = 0; part < SWG_PARTS; part++)
        for (int64_t i = 0; i < split->count[part]; i++) {
            assert_int_equal(list[split->indices[part][i]].part, part);
            assert_int_equal(list[split->indices[part][i]].side.flag, SWG_BLOCK_NORMAL);
        }
    float batch[3][125];
    const int64_t picked[3] = {125, 0, 125};
    assert_ok(ctx, swg_samples_gather(samples, picked, 3, &batch[0][0]));
    assert_memory_equal(batch[0], values + 125 * 125, sizeof batch[0]);
    assert_memory_equal(batch[1], values, sizeof batch[1]);
    assert_memory_equal(batch[2], batch[0], sizeof batch[0]);
    assert_int_equal(swg_samples_gather(samples, (int64_t[]){160}, 1, &batch[0][0]), SWG_EINVAL);
    assert_int_equal(swg_samples_gather(samples, (int64_t[]){-1}, 1, &batch[0][0]), SWG_EINVAL);
    swg_samples_close(samples);
    /* Included constants are normal blocks of ln(eps). */
    assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.constant = "include", .split.seed = 42}, &samples));
    assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_CONSTANT), 0);
    assert_close((double)swg_samples_values(samples)[13 * 125 + 7], log(1e-6), 0, 1e-7);
    swg_samples_close(samples);
    /* Other cuts. */
    assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.cut = "tile", .split.seed = 42}, &samples));
    assert_int_equal(swg_samples_count(samples), 32 * OCTANTS);
    swg_samples_close(samples);
    assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.cut = "full", .edge = 7, .split.seed = 42}, &samples));
    assert_int_equal(swg_samples_count(samples), 4 * OCTANTS);
    assert_int_equal(swg_samples_edge(samples), 7);
    swg_samples_close(samples);
    swg_source_close(source);
    scratch_close(&s, ctx, 2);
}

static void names_the_nan(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    make_octants(ctx, scratch_path(&s, "a.h5"), 2, SWG_ELEMENT_F32, 0);
    static const double planted[] = {NAN, INFINITY};
    static const char *const counted[] = {"1 NaN, 0 infinite", "0 NaN, 1 infinite"};
    for (int p = 0; p < 2; p++) {
        make_octants(ctx, scratch_path(&s, "b.h5"), 3, SWG_ELEMENT_F64, planted[p]);
        swg_source *source;
        swg_samples *samples;
        assert_ok(ctx, swg_source_open(ctx, s.folder, NULL, &source));
        static const char *const norms[] = {"pos_log", "zscore"}; /* found while normalising, and while fitting */
        for (int n = 0; n < 2; n++) {
            assert_int_equal(swg_samples_open(ctx, source, &(swg_samples_opts){.norm = norms[n], .split.seed = 42}, &samples), SWG_ENONFINITE);
            assert_null(samples);
            assert_message(ctx, "b.h5", "U_K", "block 17 ", "1 values", counted[p], "data.nonfinite=raw");
            assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.norm = norms[n], .nonfinite = "raw", .split.seed = 42}, &samples));
            assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_RAW), 1);
            assert_int_equal(swg_samples_list(samples)[3 * OCTANTS + 17].side.flag, SWG_BLOCK_RAW);
            for (int i = 0; i < 4 * OCTANTS * 125; i++)
                assert_true(isfinite(swg_samples_values(samples)[i]));
            swg_samples_close(samples);
        }
        swg_source_close(source);
    }
    scratch_close(&s, ctx, 2);
}

/* Two grids; the later one is ten times as large, so statistics that saw it would show. */
static void fits_on_training_only(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static double values[1000];
    static const char *const files[] = {"a.h5", "b.h5"};
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < 1000; i++)
            values[i] = (f ? 10 : 1) * sin(0.37 * i);
        swg_sink *sink;
        assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, files[f]), &sink));
        assert_ok(ctx, swg_sink_put(sink, "U_K", SWG_ELEMENT_F64, 3, (int64_t[]){10, 10, 10}, values, NULL));
        assert_ok(ctx, swg_sink_number(sink, "/", "time", f));
        assert_ok(ctx, swg_sink_commit(sink));
    }
    swg_source *source;
    swg_samples *samples;
    double square = 0, sum = 0;
    for (int i = 0; i < 1000; i++) {
        sum += sin(0.37 * i);
        square += sin(0.37 * i) * sin(0.37 * i);
    }
    double mean = sum / 1000, sd = sqrt(square / 1000 - mean * mean);
    assert_ok(ctx, swg_source_open(ctx, s.folder, NULL, &source));
    swg_samples_opts opts = {.norm = "zscore", .split = {.mode = "by-time", .train = 0.5, .val = 0}};
    assert_ok(ctx, swg_samples_open(ctx, source, &opts, &samples));
    assert_string_equal(swg_samples_split(samples)->description, "split: by-time (train t = 0..0, test t = 1..1)");
    const float *y = swg_samples_values(samples);
    assert_close((double)y[1], (sin(0.37) - mean) / sd, 1e-7, 1e-6);
    assert_close((double)y[8 * 125 + 1], (10 * sin(0.37) - mean) / sd, 1e-7, 1e-6);
    /* Evaluation takes the model's parameters and all samples. */
    swg_samples *all;
    assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.fitted = swg_samples_norm(samples), .no_split = true}, &all));
    assert_int_equal(swg_samples_split(all)->count[SWG_TEST], 16);
    assert_int_equal(swg_samples_split(all)->count[SWG_TRAIN], 0);
    assert_string_equal(swg_samples_split(all)->description, "split: none (all samples)");
    assert_memory_equal(swg_samples_values(all), y, 16 * 125 * sizeof(float));
    swg_samples_close(all);
    swg_samples_close(samples);
    /* A normaliser per variable that never saw this one. */
    swg_norm *foreign;
    assert_ok(ctx, swg_norm_open(ctx, "asinh", (const char *const[]){"U_CHI"}, 1, &foreign));
    assert_int_equal(swg_samples_open(ctx, source, &(swg_samples_opts){.fitted = foreign, .no_split = true}, &samples), SWG_ENOTFOUND);
    assert_message(ctx, "\"U_K\"", "asinh");
    swg_norm_close(foreign);
    assert_ok(ctx, swg_norm_open(ctx, "zscore", NULL, 0, &foreign));
    assert_int_equal(swg_samples_open(ctx, source, &(swg_samples_opts){.fitted = foreign, .no_split = true}, &samples), SWG_EINVAL);
    swg_norm_close(foreign);
    swg_source_close(source);
    scratch_close(&s, ctx, 2);
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    make_octants(ctx, scratch_path(&s, "a.h5"), 0, SWG_ELEMENT_F32, 0);
    swg_source *source;
    swg_samples *samples;
    assert_ok(ctx, swg_source_open(ctx, s.folder, NULL, &source));
    static const struct {
        swg_samples_opts opts;
        swg_status status;
        const char *words[2];
    } cases[] = {
        {{.cut = "corner"}, SWG_EINVAL, {"data.block=corner", "center"}},
        {{.cut = "full"}, SWG_ESHAPE, {"U_CHI", "data.block=full"}},
        {{.edge = 99}, SWG_EINVAL, {"99", "2 to 16"}},
        {{.norm = "maxmin"}, SWG_EINVAL, {"data.norm=maxmin", "minmax"}},
        {{.constant = "drop"}, SWG_EINVAL, {"data.constant=drop", "bypass or include"}},
        {{.nonfinite = "zero"}, SWG_EINVAL, {"data.nonfinite=zero", "error or raw"}},
        {{.split.mode = "by-time"}, SWG_EINVAL, {"by-time", "no time"}},
        {{.split.mode = "by-file"}, SWG_EINVAL, {"by-file", "empty"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(swg_samples_open(ctx, source, &cases[i].opts, &samples), cases[i].status);
        assert_null(samples);
        assert_message(ctx, cases[i].words[0], cases[i].words[1]);
    }
    swg_source_close(source);
    /* All constant, and all zero: nothing is left to train on. */
    static const float zeros[4 * VALUES] = {0};
    swg_sink *sink;
    assert_ok(ctx, swg_sink_open(ctx, s.path, &sink));
    assert_ok(ctx, swg_sink_put(sink, "U_K", SWG_ELEMENT_F32, 3, (int64_t[]){7, 14, 14}, zeros, NULL));
    assert_ok(ctx, swg_sink_commit(sink));
    assert_ok(ctx, swg_source_open(ctx, s.path, NULL, &source));
    assert_int_equal(swg_samples_open(ctx, source, NULL, &samples), SWG_EINVAL);
    assert_message(ctx, "train part", "constant", "data.constant=include");
    assert_int_equal(swg_samples_open(ctx, source, &(swg_samples_opts){.norm = "zscore", .split.seed = 42}, &samples), SWG_EINVAL);
    assert_ok(ctx, swg_samples_open(ctx, source, &(swg_samples_opts){.no_split = true}, &samples)); /* evaluation may meet this */
    assert_int_equal(swg_samples_flagged(samples, SWG_BLOCK_CONSTANT), 18);
    swg_samples_close(samples);
    swg_source_close(source);
    scratch_close(&s, ctx, 1);
}

/* Allocator that remembers the most bytes in use. */
struct meter {
    int64_t now, peak;
};

static void *meter_alloc(void *user, size_t align, size_t bytes) {
    struct meter *m = user;
    int64_t *block;
    if (posix_memalign((void **)&block, align, bytes + 64) != 0)
        return NULL;
    *block = (int64_t)bytes;
    m->now += (int64_t)bytes;
    m->peak = m->now > m->peak ? m->now : m->peak;
    return (char *)block + 64;
}

static void meter_release(void *user, void *ptr) {
    int64_t *block = (int64_t *)((char *)ptr - 64);
    ((struct meter *)user)->now -= *block;
    free(block);
}

static void plans_its_memory(void **state) {
    (void)state;
    static const char *const norms[] = {"pos_log", "robust", "minmax"};
    char path[512];
    snprintf(path, sizeof path, "%s/samples/bssn/bbh_q1_uniform_32_t3.h5", SWG_SOURCE_DIR);
    for (int n = 0; n < 3; n++) {
        struct meter m = {0, 0};
        swg_context *ctx;
        swg_source *source;
        swg_samples *samples;
        int64_t count, bytes;
        assert_int_equal(swg_context_open(&(swg_context_opts){.allocator = {meter_alloc, meter_release, &m}}, &ctx), SWG_OK);
        assert_ok(ctx, swg_source_open(ctx, path, NULL, &source));
        swg_samples_opts opts = {.norm = norms[n], .split.seed = 42};
        assert_ok(ctx, swg_samples_plan(ctx, source, &opts, &count, &bytes));
        int64_t before = m.now;
        m.peak = m.now;
        assert_ok(ctx, swg_samples_open(ctx, source, &opts, &samples));
        assert_int_equal(count, swg_samples_count(samples));
        assert_int_equal(count, 24 * 343);
        assert_true(m.peak - before <= bytes + 16384);
        if (n != 1) /* robust reserves for a training part of all samples */
            assert_close((double)(m.peak - before), (double)bytes, 16384, 0.01);
        swg_samples_close(samples);
        swg_source_close(source);
        swg_context_close(ctx);
        assert_int_equal(m.now, 0);
    }
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/samples/bssn", SWG_SOURCE_DIR);
    static const int threads[] = {1, 2, 7};
    static const char *const norms[] = {"pos_log_std", "block_scale"};
    for (int n = 0; n < 2; n++) {
        uint8_t digest[3][32], list_digest[3][32];
        for (int t = 0; t < 3; t++) {
            swg_context *ctx;
            swg_source *source;
            swg_samples *samples;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads[t]}, &ctx), SWG_OK);
            assert_ok(ctx, swg_source_open(ctx, path, &(swg_source_opts){.vars = "U_CHI,U_B2"}, &source));
            swg_samples_opts opts = {.norm = norms[n], .split.mode = "by-time"};
            assert_ok(ctx, swg_samples_open(ctx, source, &opts, &samples));
            assert_string_equal(swg_samples_split(samples)->description, "split: by-time (train t = 1..1, val t = 3..3, test t = 5..5)");
            swg__sha256(swg_samples_values(samples), (size_t)swg_samples_count(samples) * 125 * sizeof(float), digest[t]);
            swg__sha256(swg_samples_list(samples), (size_t)swg_samples_count(samples) * sizeof(swg_sample), list_digest[t]);
            for (int64_t i = 0; i < swg_samples_count(samples) * 125; i++)
                assert_true(isfinite(swg_samples_values(samples)[i]));
            swg_samples_close(samples);
            swg_source_close(source);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
        for (int t = 1; t < 3; t++) {
            assert_memory_equal(digest[t], digest[0], 32);
            assert_memory_equal(list_digest[t], list_digest[0], 32);
        }
    }
}

static void survives_failing_allocations(void **state) {
    (void)state;
    scratch s;
    scratch_open(&s);
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1}, &ctx), SWG_OK);
    make_octants(ctx, scratch_path(&s, "a.h5"), 1, SWG_ELEMENT_F32, 0);
    make_octants(ctx, scratch_path(&s, "b.h5"), 2, SWG_ELEMENT_F32, 0);
    swg_context_close(ctx);
    static const char *const modes[] = {"random", "by-file", "by-time"}, *const norms[] = {"pos_log", "robust", "adaptive"};
    for (int m = 0; m < 3; m++) {
        bool finished = false;
        for (int64_t n = 0; !finished; n++) {
            testing_allocator t = {.fail_at = n};
            swg_source *source = NULL;
            swg_samples *samples = NULL;
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK)
                continue;
            swg_status status = swg_source_open(ctx, s.folder, NULL, &source);
            swg_samples_opts opts = {.norm = norms[m], .split = {.mode = modes[m], .train = 0.5, .val = m ? 0 : 0.25}};
            if (status == SWG_OK)
                status = swg_samples_open(ctx, source, &opts, &samples);
            if (status != SWG_OK && status != SWG_ENOMEM)
                fail_msg("allocation %lld: %s: %s", (long long)n, swg_status_name(status), swg_context_message(ctx));
            finished = status == SWG_OK;
            swg_samples_close(samples);
            swg_source_close(source);
            swg_context_close(ctx);
            assert_int_equal(t.live, 0);
        }
    }
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    scratch_close(&s, ctx, 2);
    swg_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(holds_the_blocks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(names_the_nan, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fits_on_training_only, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
        cmocka_unit_test(plans_its_memory),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
