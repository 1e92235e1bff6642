/* test_codec_access.c - proves: a box read from a file is the same part of the whole array, for any shape, type, cut and number of
 * threads; of the file only heads, tables and the records of the chunks touched are read; a file that shrinks is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/container.h"
#include "codec_testing.h"
#include "scratch.h"

typedef struct shape {
    swg_element type;
    int ndim;
    int64_t dims[4], chunk[4];
} shape;

static const shape shapes[] = {
    {SWG_ELEMENT_F32, 1, {1000}, {64}},
    {SWG_ELEMENT_F64, 2, {33, 47}, {8, 9}},
    {SWG_ELEMENT_F32, 3, {21, 17, 19}, {8, 5, 7}},
    {SWG_ELEMENT_I16, 3, {12, 1, 40}, {5, 1, 11}},
    {SWG_ELEMENT_F32, 4, {6, 7, 5, 11}, {2, 3, 5, 4}},
    {SWG_ELEMENT_U64, 4, {3, 9, 1, 13}, {1, 4, 1, 13}},
};

/* The part of a whole array, value by value. */
static void cut(const shape *s, const void *whole, const int64_t origin[4], const int64_t extent[4], void *out) {
    size_t size = (size_t)swg_element_bytes(s->type), n = 0;
    int64_t d[4] = {1, 1, 1, 1}, o[4] = {0}, e[4] = {1, 1, 1, 1};
    for (int i = 0; i < s->ndim; i++) {
        d[i] = s->dims[i];
        o[i] = origin[i];
        e[i] = extent[i];
    }
    for (int64_t a = 0; a < e[0]; a++)
        for (int64_t b = 0; b < e[1]; b++)
            for (int64_t c = 0; c < e[2]; c++)
                for (int64_t x = 0; x < e[3]; x++, n++)
                    memcpy((char *)out + n * size, (const char *)whole + (size_t)((((o[0] + a) * d[1] + o[1] + b) * d[2] + o[2] + c) * d[3] + o[3] + x) * size, size);
}

static void box_is_part(void **state) {
    swg_context *ctx = *state;
    uint64_t seed = 7;
    scratch s;
    scratch_open(&s);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *h = &shapes[i];
        swg_codec_array a = {.type = h->type, .ndim = h->ndim};
        swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-2, .name = "x"};
        memcpy(a.dims, h->dims, sizeof a.dims);
        memcpy(opts.chunk, h->chunk, sizeof opts.chunk);
        size_t bytes = (size_t)array_values(&a) * (size_t)swg_element_bytes(a.type);
        void *data = malloc(bytes), *whole = malloc(bytes), *part = malloc(bytes), *expected = malloc(bytes);
        fill_smooth(&a, data, seed);
        a.data = data;
        assert_ok(ctx, swg_codec_compress_file(ctx, &a, &opts, scratch_path(&s, "x.swz"), NULL));
        for (int threads = 1; threads <= 3; threads += 2) {
            swg_context *own;
            swg_swz *swz;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &own), SWG_OK);
            assert_ok(own, swg_swz_open(own, scratch_path(&s, "x.swz"), &swz));
            assert_ok(own, swg_swz_read(swz, 0, whole, bytes));
            for (int trial = 0; trial < 40; trial++) {
                int64_t origin[4] = {0}, extent[4] = {1, 1, 1, 1};
                size_t values = 1;
                for (int k = 0; k < a.ndim; k++) {
                    origin[k] = (int64_t)(noise(&seed) % (uint64_t)a.dims[k]);
                    extent[k] = 1 + (int64_t)(noise(&seed) % (uint64_t)(a.dims[k] - origin[k]));
                    values *= (size_t)extent[k];
                }
                size_t length = values * (size_t)swg_element_bytes(a.type);
                memset(part, 0x5A, bytes);
                assert_ok(own, swg_swz_read_box(swz, 0, origin, extent, part, length));
                cut(h, whole, origin, extent, expected);
                assert_memory_equal(part, expected, length);
            }
            swg_swz_close(swz);
            swg_context_close(own);
        }
        free(expected);
        free(part);
        free(whole);
        free(data);
    }
    scratch_close(&s, ctx, 1);
}

/* Sum of the record lengths of chunks that a box of the 4 x 4 x 4 chunk grid touches, from the bytes of the file. */
static int64_t records(const uint8_t *file, size_t bytes, const int64_t first[3], const int64_t last[3], int64_t *all) {
    const uint8_t *payload = file + swg__load64(file + bytes - 56) + 16;
    int64_t sum = 0;
    *all = 0;
    for (int64_t i = 0; i < 64; i++) {
        swg__index_entry e;
        int64_t at[3] = {i / 16, i / 4 % 4, i % 4};
        swg__index_read(payload, i, &e);
        bool inside = true;
        for (int k = 0; k < 3; k++)
            inside = inside && at[k] >= first[k] && at[k] <= last[k];
        sum += inside ? e.record_bytes : 0;
        *all += e.record_bytes;
    }
    return sum;
}

static void only_needed_bytes(void **state) {
    swg_context *ctx = *state;
    enum { N = 64 };
    static float data[N * N * N], part[N * N * N];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {N, N, N}, .data = data};
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-4, .chunk = {16, 16, 16}};
    scratch s;
    scratch_open(&s);
    fill_smooth(&a, data, 3);
    assert_ok(ctx, swg_codec_compress_file(ctx, &a, &opts, scratch_path(&s, "x.swz"), NULL));
    uint8_t *file;
    size_t bytes;
    swg_swz *swz;
    assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, "x.swz"), &file, &bytes));
    static const struct { int64_t origin[3], extent[3], first[3], last[3]; } boxes[] = {
        {{0, 0, 0}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}},             /* one value: one chunk */
        {{20, 5, 40}, {10, 8, 6}, {1, 0, 2}, {1, 0, 2}},          /* inside one chunk */
        {{15, 15, 15}, {2, 2, 2}, {0, 0, 0}, {1, 1, 1}},          /* a corner of eight */
        {{30, 0, 0}, {1, N, N}, {1, 0, 0}, {1, 3, 3}},            /* a plane: a quarter of the file */
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        int64_t all, values = boxes[i].extent[0] * boxes[i].extent[1] * boxes[i].extent[2];
        assert_ok(ctx, swg_swz_open(ctx, scratch_path(&s, "x.swz"), &swz));
        int64_t opened = swg_swz_bytes_read(swz);
        int64_t needed = records(file, bytes, boxes[i].first, boxes[i].last, &all);
        assert_true(opened <= (int64_t)bytes - all + 1024); /* no record: header (read in a piece of at most 1 KiB), index, footer */
        assert_ok(ctx, swg_swz_read_box(swz, 0, boxes[i].origin, boxes[i].extent, part, (size_t)values * sizeof *part));
        assert_int_equal(swg_swz_bytes_read(swz) - opened, needed);
        assert_true(needed < all / 2);
        swg_swz_close(swz);
    }
    swg__free(ctx, file);
    /* A file that shrinks while it is open. */
    assert_ok(ctx, swg_swz_open(ctx, scratch_path(&s, "x.swz"), &swz));
    assert_int_equal(truncate(scratch_path(&s, "x.swz"), 4000), 0);
    assert_int_equal(swg_swz_read(swz, 0, part, sizeof part), SWG_EIO);
    assert_message(ctx, "shrunk");
    swg_swz_close(swz);
    scratch_close(&s, ctx, 1);
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    float data[60] = {1, 2, 3}, part[60];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {3, 4, 5}, .data = data};
    swg_codec_buffer out;
    swg_swz *swz;
    assert_ok(ctx, swg_codec_compress(ctx, &a, NULL, &out, NULL));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    static const struct { int64_t origin[3], extent[3]; size_t values; swg_status status; } cases[] = {
        {{0, 0, 0}, {3, 4, 5}, 60, SWG_OK},     {{0, 0, 0}, {3, 4, 5}, 59, SWG_ESHAPE},  {{0, 0, 0}, {0, 4, 5}, 0, SWG_EINVAL},
        {{-1, 0, 0}, {1, 1, 1}, 1, SWG_EINVAL}, {{0, 0, 5}, {1, 1, 1}, 1, SWG_EINVAL},   {{0, 3, 0}, {1, 2, 1}, 2, SWG_EINVAL},
        {{0, 0, 0}, {1, 1, INT64_MAX}, 1, SWG_EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(swg_swz_read_box(swz, 0, cases[i].origin, cases[i].extent, part, cases[i].values * sizeof *part), cases[i].status);
    assert_int_equal(swg_swz_read_box(swz, 1, cases[0].origin, cases[0].extent, part, sizeof part), SWG_EINVAL);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(box_is_part, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(only_needed_bytes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
