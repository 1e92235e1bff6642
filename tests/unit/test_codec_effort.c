/* test_codec_effort.c - proves that every effort keeps the promises: bound, size, the same bytes for any number of threads and instruction
 * set; that more effort is not longer beyond what estimates may miss; that efforts which do not exist are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec_testing.h"
#include "codec/encode.h"
#include "codec/filter.h"
#include "context.h"
#include "swage/data.h"

static const int efforts[] = {1, 5, 9};
enum { EFFORTS = sizeof efforts / sizeof *efforts };

/* Quarters: smooth, rough, noise, one value; some NaN. */
static void fill_mixed(const swg_codec_array *a, void *data) {
    uint64_t seed = 3;
    const int64_t n = array_values(a), nx = a->dims[2], ny = a->dims[1];
    double walk = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t x = i % nx, y = i / nx % ny, z = i / nx / ny;
        const double u = (double)(noise(&seed) >> 40) * 0x1p-24 - 0.5;
        walk = x ? 0.9 * walk + u : 0;
        double v = sin(0.07 * (double)x) * cos(0.05 * (double)z) + 0.3 * sin(0.11 * (double)y);
        v = 2 * y < ny ? 2 * x < nx ? v : v + 0.05 * walk : 2 * x < nx ? 2 * u : 0.25;
        v = i % 9973 == 0 ? NAN : v;
        if (a->type == SWG_ELEMENT_F32)
            ((float *)data)[i] = (float)v;
        else
            ((double *)data)[i] = v;
    }
}

static void mixed_arrays(void **state) {
    swg_context *ctx = *state;
    static const swg_codec_opts bounds[] = {{.bound = SWG_BOUND_REL, .value = 1e-2}, {.bound = SWG_BOUND_REL, .value = 1e-4}, {.bound = SWG_BOUND_ABS, .value = 1e-7},
                                            {.bound = SWG_BOUND_PW_REL, .value = 1e-3}, {.bound = SWG_BOUND_LOSSLESS}};
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {24, 72, 80}};
    double *data = malloc((size_t)array_values(&a) * sizeof *data);
    a.data = data;
    for (int t = 0; t < 2; t++) {
        a.type = t ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32;
        fill_mixed(&a, data);
        for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
            size_t bytes[EFFORTS];
            for (int e = 0; e < EFFORTS; e++) {
                swg_codec_opts o = bounds[b];
                o.effort = efforts[e];
                memcpy(o.chunk, (int64_t[4]){24, 36, 40, 0}, sizeof o.chunk);
                bytes[e] = round_trip(ctx, &a, &o, NULL);
                if (bytes[e] > (size_t)array_values(&a) * (size_t)swg_element_bytes(a.type) + 1024)
                    fail_msg("effort %d: longer than the array", efforts[e]);
            }
            if (bytes[1] > bytes[0] * 101 / 100 || bytes[2] > bytes[1] * 101 / 100)
                fail_msg("type %d, bound %zu: %zu, %zu, %zu bytes at efforts 1, 5, 9", t, b, bytes[0], bytes[1], bytes[2]);
        }
    }
    free(data);
}

/* Blocks and noise: what estimates may be wrong about must not make anything longer than it was. */
static void hard_arrays(void **state) {
    swg_context *ctx = *state;
    enum { N = 400 * 125 };
    float *data = malloc(N * sizeof *data);
    swg_codec_array blocks = {.type = SWG_ELEMENT_F32, .layout = SWG_CODEC_BLOCKS, .ndim = 4, .dims = {400, 5, 5, 5}, .data = data};
    uint64_t seed = 11;
    for (int e = 0; e < EFFORTS; e++) {
        for (int i = 0; i < N; i++)
            data[i] = (float)sin(0.3 * i / 125 + 0.2 * (i % 5) + 0.1 * (i / 5 % 5) - 0.25 * (i / 25 % 5));
        (void)round_trip(ctx, &blocks, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-3, .effort = efforts[e]}, NULL);
        for (int i = 0; i < N; i++) {
            const uint32_t bits = (uint32_t)(noise(&seed) >> 32);
            memcpy(&data[i], &bits, sizeof bits);
        }
        swg_codec_array flat = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {N}, .data = data};
        (void)round_trip(ctx, &flat, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3, .effort = efforts[e]}, NULL);
    }
    free(data);
}

/* All variables of the sample grid and of the sample octants: more effort, fewer bytes. */
static void samples(void **state) {
    swg_context *ctx = *state;
    static const char *const files[] = {"samples/bssn/bbh_q1_uniform_32_t5.h5", "samples/bssn/bbh_q1_blocks_64_t5.h5"};
    for (int f = 0; f < 2; f++) {
        char path[1024];
        swg_source *source;
        int64_t sum[EFFORTS] = {0};
        snprintf(path, sizeof path, "%s/%s", SWG_SOURCE_DIR, files[f]);
        assert_ok(ctx, swg_source_open(ctx, path, NULL, &source));
        for (int64_t i = 0; i < swg_source_count(source); i += 5) {
            const swg_array *item = swg_source_array(source, i);
            void *data = malloc((size_t)item->count * (size_t)swg_element_bytes(item->element));
            assert_ok(ctx, swg_source_read(source, i, data));
            const int64_t n = f ? 7 : 32;
            swg_codec_array a = {.type = item->element, .layout = f ? SWG_CODEC_BLOCKS : SWG_CODEC_GRID, .ndim = f ? 4 : 3, .dims = {item->count / (n * n * n), n, n, n}, .data = data};
            for (int d = 0; d < 3 && !f; d++)
                a.dims[d] = n;
            a.dims[3] = f ? n : 0;
            for (int e = 0; e < EFFORTS; e++)
                sum[e] += (int64_t)round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4, .effort = efforts[e]}, NULL);
            free(data);
        }
        swg_source_close(source);
        if (sum[2] * 100 > sum[1] * 101 || sum[1] * 100 > sum[2] * 103 || sum[1] * 2 > sum[0])
            fail_msg("%s: %lld, %lld, %lld bytes at efforts 1, 5, 9", files[f], (long long)sum[0], (long long)sum[1], (long long)sum[2]);
    }
}

static void same_bytes_everywhere(void **state) {
    (void)state;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {24, 72, 80}};
    float *data = malloc((size_t)array_values(&a) * sizeof *data);
    a.data = data;
    fill_mixed(&a, data);
    for (int e = 0; e < EFFORTS; e++) {
        static const char *const isas[] = {NULL, NULL, "scalar", "sse2", "avx2"};
        uint8_t *first = NULL;
        size_t bytes = 0;
        for (int i = 0; i < 5; i++) {
            swg_context *ctx;
            swg_codec_buffer out;
            if (swg_context_open(&(swg_context_opts){.threads = i == 1 ? 2 : 1, .isa = isas[i]}, &ctx) != SWG_OK)
                continue; /* this machine lacks the instruction set */
            swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-3, .effort = efforts[e], .chunk = {24, 36, 40}};
            assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &out, NULL));
            if (!first) {
                bytes = out.bytes;
                first = malloc(bytes);
                memcpy(first, out.data, bytes);
            }
            assert_int_equal(out.bytes, bytes);
            assert_memory_equal(out.data, first, bytes);
            swg_codec_buffer_free(ctx, &out);
            swg_context_close(ctx);
        }
        free(first);
    }
    free(data);
}

/* Which modes each effort may use; 0 is 5, and what lies between counts as the next one below. */
static void meaning(void **state) {
    swg_context *ctx = *state;
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {32, 32, 32}};
    float *data = malloc((size_t)array_values(&a) * sizeof *data);
    size_t bytes[10];
    a.data = data;
    for (int i = 0; i < 32 * 32 * 32; i++)
        data[i] = (float)(exp(-1e-3 * (i % 32) * (i % 32)) * sin(0.05 * (i / 32 % 32)) + 1e-3 * (i / 1024));
    for (int effort = 0; effort < 10; effort++) {
        swg_codec_stats s;
        bytes[effort] = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4, .effort = effort}, &s);
        const int64_t fast = s.mode_chunks[SWG_MODE_STENCIL] + s.mode_chunks[SWG_MODE_PLANES] + s.mode_chunks[SWG_MODE_STORED];
        assert_int_equal(fast, effort >= 1 && effort < 5 ? s.chunks : 0);
    }
    assert_int_equal(bytes[0], bytes[5]);
    for (int effort = 2; effort < 9; effort++)
        assert_int_equal(bytes[effort], bytes[effort < 5 ? 1 : 5]);
    assert_true(bytes[9] <= bytes[5] && 3 * bytes[5] < bytes[1]);
    free(data);
}

/* The effort word of the HDF5 filter reaches the coder: a smooth chunk is much shorter at 9 than at 1. */
static void filter_word(void **state) {
    swg_context *ctx = *state;
    enum { N = 32 };
    static float data[N * N * N];
    size_t bytes[EFFORTS];
    for (int i = 0; i < N * N * N; i++)
        data[i] = (float)(exp(-1e-3 * (i % N) * (i % N)) * sin(0.05 * (i / N % N)) + 1e-3 * (i / N / N));
    for (int e = 0; e < EFFORTS; e++) {
        const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {N, N, N}, .data = data};
        uint32_t words[SWG__FILTER_SEEN];
        swg__header header;
        swg__layout layout;
        swg__filter f;
        swg__text record;
        swg__text_init(&record, ctx);
        assert_ok(ctx, swg__encode_look(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4}, &header, &layout));
        header.n_chunks = 1;
        const size_t count = swg__filter_words(ctx, &header, efforts[e], (swg__span){0}, words);
        assert_ok(ctx, swg__filter_open(ctx, words, count, &f));
        assert_int_equal(f.effort, efforts[e]);
        assert_ok(ctx, swg__filter_encode(ctx, &f, data, sizeof data, &record));
        bytes[e] = record.length;
        swg__text_free(&record);
        swg__filter_close(ctx, &f);
    }
    if (bytes[2] > bytes[1] * 101 / 100 || 2 * bytes[1] > bytes[0])
        fail_msg("%zu, %zu, %zu bytes at efforts 1, 5, 9", bytes[0], bytes[1], bytes[2]);
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    const float value = 1;
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {1}, .data = &value};
    static const int bad[] = {-1, 10, 1000};
    for (int i = 0; i < 3; i++) {
        swg_codec_buffer out = {0};
        assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1, .effort = bad[i]}, &out, NULL), SWG_EINVAL);
        assert_non_null(strstr(swg_context_message(ctx), "effort"));
        assert_null(out.data);
    }
}

#define WITH_CONTEXT(test) cmocka_unit_test_setup_teardown(test, testing_open, testing_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_CONTEXT(mixed_arrays), WITH_CONTEXT(hard_arrays), WITH_CONTEXT(samples), cmocka_unit_test(same_bytes_everywhere),
        WITH_CONTEXT(meaning),      WITH_CONTEXT(filter_word), WITH_CONTEXT(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
