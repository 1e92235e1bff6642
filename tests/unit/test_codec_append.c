/* test_codec_append.c - proves: a stream grows step by step and holds the bound, whatever is flushed, closed and opened again in between;
 * it is valid after every flush and, cut anywhere behind one, comes back to it; the bytes do not depend on how steps were handed over
 * nor on threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec_testing.h"
#include "scratch.h"

enum { STEPS = 17 };

typedef struct series {
    swg_codec_array a;       /* all steps */
    swg_codec_opts opts;
    size_t step_bytes;
    char *data;
} series;

static void series_open(series *s, swg_element type, int ndim, const int64_t *dims, swg_bound_mode bound, double value) {
    *s = (series){.a = {.type = type, .ndim = ndim}, .opts = {.bound = bound, .value = value, .name = "U_x", .attributes = "layout=grid"}};
    memcpy(s->a.dims, dims, sizeof s->a.dims);
    s->a.dims[0] = STEPS;
    s->step_bytes = (size_t)(array_values(&s->a) / STEPS * swg_element_bytes(type));
    s->data = malloc(s->step_bytes * STEPS);
    fill_smooth(&s->a, s->data, 11);
    s->a.data = s->data;
    if (type == SWG_ELEMENT_F32) { /* and what no grid holds */
        ((float *)(void *)s->data)[3] = NAN;
        ((float *)(void *)s->data)[s->step_bytes] = 1e30f;
    }
    s->opts.has_range = bound == SWG_BOUND_REL;
    s->opts.range_min = -45;
    s->opts.range_max = 45;
}

/* The file holds the first `steps` steps within the bound. */
static void holds(swg_context *ctx, const series *s, const char *path, int64_t steps) {
    swg_swz *swz;
    swg_codec_gap gap;
    swg_codec_array part = s->a;
    assert_ok(ctx, swg_swz_open(ctx, path, &swz));
    const swg_swz_info *info = swg_swz_member(swz, 0);
    assert_int_equal(info->dims[0], steps);
    assert_string_equal(info->name, "U_x");
    void *restored = malloc((size_t)info->bytes_raw);
    assert_ok(ctx, swg_swz_read(swz, 0, restored, (size_t)info->bytes_raw));
    part.dims[0] = steps;
    assert_ok(ctx, swg_codec_compare(ctx, &part, restored, info->eb_abs, &gap));
    if (gap.violations)
        fail_msg("%lld violations in %lld steps, first %lld, largest error %.17g of %.17g", (long long)gap.violations, (long long)steps, (long long)gap.first,
                 gap.max_abs_error, info->eb_abs);
    if (info->eb_abs > 0 && !(gap.max_abs_error <= info->max_ratio * info->eb_abs * (1 + 1e-6)))
        fail_msg("largest error %.17g, the file says at most %.9g of %.17g", gap.max_abs_error, info->max_ratio, info->eb_abs);
    free(restored);
    swg_swz_close(swz);
}

static void grows(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_element type; int ndim; int64_t dims[4], chunk[4]; swg_bound_mode bound; double value; } cases[] = {
        {SWG_ELEMENT_F32, 4, {0, 9, 8, 7}, {4, 5, 8, 7}, SWG_BOUND_ABS, 1e-3},
        {SWG_ELEMENT_F32, 4, {0, 9, 8, 7}, {0}, SWG_BOUND_REL, 1e-4},
        {SWG_ELEMENT_F64, 3, {0, 20, 30}, {5, 20, 11}, SWG_BOUND_ABS, 1e-6},
        {SWG_ELEMENT_F32, 2, {0, 100}, {0}, SWG_BOUND_LOSSLESS, 0},
        {SWG_ELEMENT_I32, 1, {0}, {10}, SWG_BOUND_ABS, 20},
        {SWG_ELEMENT_F64, 3, {0, 1, 40}, {3, 1, 40}, SWG_BOUND_ABS, 1e-9},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int manner = 0; manner < 4; manner++) { /* one by one; flushed each time; closed each time; in odd lots, closed sometimes */
            scratch dir;
            series s;
            swg_codec_appender *a;
            scratch_open(&dir);
            series_open(&s, cases[c].type, cases[c].ndim, cases[c].dims, cases[c].bound, cases[c].value);
            memcpy(s.opts.chunk, cases[c].chunk, sizeof s.opts.chunk);
            const char *path = scratch_path(&dir, "x.swz");
            assert_ok(ctx, swg_codec_append_open(ctx, path, &s.a, &s.opts, &a));
            for (int64_t done = 0, n; done < STEPS; done += n) {
                n = manner < 3 ? 1 : 1 + done % 3;
                n = n < STEPS - done ? n : STEPS - done;
                assert_ok(ctx, swg_codec_append_put(a, s.data + (size_t)done * s.step_bytes, n));
                assert_int_equal(swg_codec_append_steps(a), done + n);
                if (manner == 1) {
                    assert_ok(ctx, swg_codec_append_flush(a));
                    holds(ctx, &s, path, done + n);
                }
                if (manner == 2 || (manner == 3 && done % 5 == 1)) {
                    assert_ok(ctx, swg_codec_append_close(a));
                    holds(ctx, &s, path, done + n);
                    assert_ok(ctx, swg_codec_append_open(ctx, path, done % 2 ? &s.a : NULL, done % 2 ? &s.opts : NULL, &a));
                }
            }
            assert_ok(ctx, swg_codec_append_close(a));
            holds(ctx, &s, path, STEPS);
            if (c < 3) { /* a stream that was opened again codes as well as before, not bytes as they stand */
                swg_swz *swz;
                assert_ok(ctx, swg_swz_open(ctx, path, &swz));
                const swg_swz_info *info = swg_swz_member(swz, 0);
                assert_true(info->mode_chunks[SWG_MODE_STENCIL] + info->mode_chunks[SWG_MODE_POLY] + info->mode_chunks[SWG_MODE_INTERPOLATION] > info->chunks / 2);
                swg_swz_close(swz);
            }
            free(s.data);
            scratch_close(&dir, ctx, 1);
        }
}

static void same_bytes(void **state) {
    swg_context *ctx = *state;
    static const int64_t dims[4] = {0, 16, 12, 10};
    scratch dir;
    series s;
    uint8_t *first = NULL, *other;
    size_t first_bytes = 0, bytes;
    scratch_open(&dir);
    series_open(&s, SWG_ELEMENT_F32, 4, dims, SWG_BOUND_ABS, 1e-3);
    for (int threads = 1; threads <= 3; threads++) {
        swg_context *own;
        swg_codec_appender *a;
        const char *path = scratch_path(&dir, "x.swz");
        s.opts.chunk[0] = 3;
        s.opts.chunk[1] = s.opts.chunk[2] = s.opts.chunk[3] = 8;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &own), SWG_OK);
        assert_ok(own, swg_codec_append_open(own, path, &s.a, &s.opts, &a));
        /* The first put fixes the grid, so it is the same each time. */
        assert_ok(own, swg_codec_append_put(a, s.data, 1));
        for (int64_t done = 1, n; done < STEPS; done += n) {
            n = threads < STEPS - done ? threads : STEPS - done;
            assert_ok(own, swg_codec_append_put(a, s.data + (size_t)done * s.step_bytes, n));
        }
        assert_ok(own, swg_codec_append_close(a));
        assert_ok(own, swg__file_read(ctx, path, &other, &bytes));
        unlink(path);
        swg_context_close(own);
        if (first) {
            assert_int_equal(bytes, first_bytes);
            assert_memory_equal(other, first, bytes);
            swg__free(ctx, other);
        } else {
            first = other;
            first_bytes = bytes;
        }
    }
    swg__free(ctx, first);
    free(s.data);
    scratch_close(&dir, ctx, 0);
}

/* Cut anywhere, with or without garbage behind: the last flush before the cut comes back, and the stream grows on. */
static void recovers(void **state) {
    swg_context *ctx = *state;
    static const int64_t dims[4] = {0, 6, 5, 4};
    scratch dir;
    series s;
    swg_codec_appender *a;
    int64_t end[STEPS + 1] = {0}, flushes = 0, steps[STEPS + 1] = {0}, dropped;
    uint8_t *file;
    size_t bytes;
    uint64_t seed = 5;
    scratch_open(&dir);
    series_open(&s, SWG_ELEMENT_F32, 4, dims, SWG_BOUND_ABS, 1e-3);
    s.opts.chunk[0] = 4;
    s.opts.chunk[1] = s.opts.chunk[2] = s.opts.chunk[3] = 4;
    const char *path = scratch_path(&dir, "x.swz");
    assert_ok(ctx, swg_codec_append_open(ctx, path, &s.a, &s.opts, &a));
    for (int64_t done = 0; done < STEPS - 4; done++) {
        assert_ok(ctx, swg_codec_append_put(a, s.data + (size_t)done * s.step_bytes, 1));
        if (done % 3 == 2) {
            assert_ok(ctx, swg_codec_append_flush(a));
            assert_ok(ctx, swg__file_read(ctx, path, &file, &bytes));
            swg__free(ctx, file);
            flushes++;
            end[flushes] = (int64_t)bytes;
            steps[flushes] = done + 1;
        }
    }
    assert_ok(ctx, swg_codec_append_close(a));
    assert_ok(ctx, swg__file_read(ctx, path, &file, &bytes));
    for (int trial = 0; trial < (TESTING_SLOW ? 30 : 100); trial++) {
        size_t cut = trial < 40 ? bytes - 1 - (size_t)trial : noise(&seed) % bytes;
        int64_t expected = 0;
        for (int64_t f = 1; f <= flushes; f++)
            expected = end[f] <= (int64_t)cut ? f : expected;
        assert_ok(ctx, swg__file_write(ctx, path, file, cut));
        if (trial % 2) { /* what a power failure may leave: a longer file with anything in it */
            FILE *f = fopen(path, "ab");
            for (uint64_t i = 0; i < noise(&seed) % 300; i++)
                fputc((int)(noise(&seed) & 255), f);
            fclose(f);
        }
        if (!expected) {
            assert_true(swg_swz_recover(ctx, path, &dropped) != SWG_OK);
            continue;
        }
        swg_swz *swz;
        assert_ok(ctx, swg_swz_open_last(ctx, path, &swz, &dropped));
        assert_int_equal(swg_swz_member(swz, 0)->dims[0], steps[expected]);
        swg_swz_close(swz);
        assert_ok(ctx, swg_swz_recover(ctx, path, &dropped));
        holds(ctx, &s, path, steps[expected]);
        assert_ok(ctx, swg_codec_append_open(ctx, path, NULL, NULL, &a));
        assert_ok(ctx, swg_codec_append_put(a, s.data + (size_t)steps[expected] * s.step_bytes, 3));
        assert_ok(ctx, swg_codec_append_close(a));
        holds(ctx, &s, path, steps[expected] + 3);
    }
    swg__free(ctx, file);
    free(s.data);
    scratch_close(&dir, ctx, 1);
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    static const int64_t dims[4] = {0, 6, 5, 4};
    scratch dir;
    series s;
    swg_codec_appender *a, *second;
    scratch_open(&dir);
    series_open(&s, SWG_ELEMENT_F32, 4, dims, SWG_BOUND_REL, 1e-3);
    const char *path = scratch_path(&dir, "x.swz");
    s.opts.has_range = false;
    assert_int_equal(swg_codec_append_open(ctx, path, &s.a, &s.opts, &a), SWG_EINVAL);
    assert_message(ctx, "range of the whole series");
    assert_int_equal(swg_codec_append_open(ctx, path, NULL, NULL, &a), SWG_ENOTFOUND);
    s.opts.has_range = true;
    assert_ok(ctx, swg_codec_append_open(ctx, path, &s.a, &s.opts, &a));
    assert_false(swg__exists(path));
    assert_ok(ctx, swg_codec_append_put(a, s.data, 2));
    swg_codec_append_abort(a); /* never flushed: nothing is left */
    assert_false(swg__exists(path));
    assert_ok(ctx, swg_codec_append_open(ctx, path, &s.a, &s.opts, &a));
    assert_ok(ctx, swg_codec_append_put(a, s.data, 2));
    assert_ok(ctx, swg_codec_append_flush(a));
    assert_ok(ctx, swg_codec_append_flush(a)); /* nothing new: nothing written */
    assert_int_equal(swg_codec_append_open(ctx, path, &s.a, &s.opts, &second), SWG_EIO);
    assert_message(ctx, "another process");
    assert_ok(ctx, swg_codec_append_put(a, s.data, 1));
    swg_codec_append_abort(a); /* back to the flush */
    holds(ctx, &s, path, 2);
    s.opts.value = 1e-4;
    assert_int_equal(swg_codec_append_open(ctx, path, &s.a, &s.opts, &a), SWG_EINVAL);
    assert_message(ctx, "another bound");
    s.opts.value = 1e-3;
    s.a.dims[2]++;
    assert_int_equal(swg_codec_append_open(ctx, path, &s.a, &s.opts, &a), SWG_ESHAPE);
    s.a.dims[2]--;
    /* A stream that was not made to grow. */
    assert_ok(ctx, swg_codec_compress_file(ctx, &s.a, NULL, path, NULL));
    assert_int_equal(swg_codec_append_open(ctx, path, NULL, NULL, &a), SWG_EINVAL);
    assert_message(ctx, "made to grow");
    free(s.data);
    scratch_close(&dir, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(grows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(same_bytes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recovers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
