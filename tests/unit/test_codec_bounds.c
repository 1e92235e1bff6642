/* test_codec_bounds.c - proves that point-wise relative bounds hold by the arithmetic of the format, that fill values come back bit for
 * bit and disturb nothing, and that targets of PSNR and ratio are met and said truly.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/powers.h"
#include "codec_testing.h"

/* ---- powers of two ---- */

static void power_tables(void **state) {
    (void)state;
    uint8_t bytes[4096];
    for (int i = 0; i < 256; i++) {
        for (int b = 0; b < 8; b++) {
            bytes[8 * i + b] = (uint8_t)(swg__power_coarse[i] >> 8 * b);
            bytes[2048 + 8 * i + b] = (uint8_t)(swg__power_fine[i] >> 8 * b);
        }
    }
    assert_int_equal(swg__crc32c(0, bytes, sizeof bytes), 0x14b6b064);
}

static uint64_t bits64(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static uint32_t bits32(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static void power_known_answers(void **state) {
    (void)state;
    assert_int_equal(swg__power_step(0.01), 31726226769u);
    assert_int_equal(swg__power_step(0.001), 3172517977u);
    assert_int_equal(swg__power_step(0.0001), 317251693u);
    static const struct { int64_t k; uint64_t f64; uint32_t f32; } known[] = {
        {0, 0x3ff0000000000000, 0x3f800000},    {1, 0x3ff008333fcea4e5, 0x3f80419a},  {-1, 0x3fefefa1e3de06d1, 0x3f7f7d0f},
        {500, 0x4005bf09a8b0f260, 0x402df84d},  {-500, 0x3fd78b572b48405c, 0x3ebc5ab9}, {12345, 0x4228978ec14f6a85, 0x5144bc76}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        double v = swg__power(3172517977u, known[i].k);
        assert_int_equal(bits64(v), known[i].f64);
        assert_int_equal(bits32((float)v), known[i].f32);
    }
    /* Against exp2l, and beyond the numbers of the type. */
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        uint64_t h = 1 + (noise(&seed) >> 23);
        int64_t k = (int64_t)(noise(&seed) >> 12) % ((1000ll << 40) / (int64_t)h);
        double exact = (double)exp2l((long double)k * (long double)h / 0x1p40L);
        assert_true(fabs(swg__power(h, k) - exact) <= 4.5e-16 * exact);
    }
    assert_true(swg__power((uint64_t)1 << 40, 1023) == 0x1p1023 && swg__power((uint64_t)1 << 40, -1022) == 0x1p-1022);
    assert_true(swg__power((uint64_t)1 << 40, 1024) == INFINITY && swg__power((uint64_t)1 << 40, -1023) == 0);
}

/* ---- point-wise relative ---- */

static void relative_all_shapes(void **state) {
    swg_context *ctx = *state;
    static const int64_t shapes[][5] = {{1, 5000}, {2, 61, 47}, {3, 17, 19, 23}, {4, 3, 11, 13, 17}, {1, 1}, {3, 1, 1, 9}};
    static const double bounds[] = {0.499, 1e-1, 1e-3, 1e-6};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int t = 0; t < 2; t++)
            for (size_t b = 0; b < 4; b++) {
                swg_codec_array a = {.type = t ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32, .ndim = (int)shapes[s][0]};
                memcpy(a.dims, shapes[s] + 1, sizeof(int64_t) * (size_t)a.ndim);
                int64_t n = array_values(&a);
                void *data = malloc((size_t)n * 8);
                a.data = data;
                fill_smooth(&a, data, 3);
                swg_codec_stats stats;
                size_t bytes = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_PW_REL, .value = bounds[b]}, &stats);
                if (n > 2000 && bounds[b] >= 1e-3) {
                    assert_true(bytes < (size_t)(n * (t ? 8 : 4)) * 2 / 3);
                    assert_int_equal(stats.outliers, 0);
                }
                assert_true(stats.max_ratio <= 1);
                free(data);
            }
}

/* Seventy decades, both signs, zeros of both signs, and everything that is no normal number. */
static void relative_specials(void **state) {
    swg_context *ctx = *state;
    enum { N = 20000 };
    static float x[N], back[N];
    uint64_t seed = 9;
    for (int i = 0; i < N; i++)
        x[i] = (float)(exp2((double)(noise(&seed) >> 40) / 0x1p24 * 252 - 126) * (noise(&seed) & 1 ? 1 : -1));
    static const uint32_t specials[] = {0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800001, 0xffc12345, 1, 0x807fffff, 0x7f7fffff, 0x00800000};
    for (int i = 0; i < N; i += 7)
        memcpy(&x[i], &specials[i / 7 % 11], 4);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {N}, .data = x};
    for (int mode = 0; mode < 2; mode++) {
        swg_codec_opts o = {.bound = SWG_BOUND_PW_REL, .value = 1e-3, .fill = mode ? SWG_FILL_NONE : SWG_FILL_AUTO};
        swg_codec_buffer out;
        swg_codec_stats stats;
        swg_swz *swz;
        round_trip(ctx, &a, &o, &stats);
        assert_true(mode ? stats.filled == 0 : stats.filled > 0);
        assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &out, NULL));
        assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
        assert_ok(ctx, swg_swz_read(swz, 0, back, sizeof back));
        for (int i = 0; i < N; i++)
            if (fabsf(x[i]) < FLT_MIN || !isfinite(x[i])) /* zeros keep their sign, NaNs their payload, subnormals everything */
                assert_int_equal(bits32(back[i]), bits32(x[i]));
        swg_swz_close(swz);
        swg_codec_buffer_free(ctx, &out);
    }
}

/* ---- fill values ---- */

static const swg_element all_types[10] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I8,  SWG_ELEMENT_U8,  SWG_ELEMENT_I16,
                                          SWG_ELEMENT_U16, SWG_ELEMENT_I32, SWG_ELEMENT_U32, SWG_ELEMENT_I64, SWG_ELEMENT_U64};

/* An ocean with islands: smooth data with discs of fill. */
static bool land(int64_t i, int64_t inner) {
    double x = (double)(i % inner) - 20, y = (double)(i / inner % 60) - 15;
    return x * x + y * y < 90 || i % 997 < 2 || i == 0;
}

static void fill_every_type(void **state) {
    swg_context *ctx = *state;
    for (int t = 0; t < 10; t++)
        for (int ndim = 1; ndim <= 4; ndim++)
            for (int b = 0; b < 3; b++) {
                swg_codec_array a = {.type = all_types[t], .ndim = ndim, .dims = {1, 1, 1, 1}};
                static const int64_t shapes[4][4] = {{6000}, {100, 60}, {10, 20, 30}, {3, 7, 12, 25}};
                memcpy(a.dims, shapes[ndim - 1], sizeof a.dims);
                for (int i = ndim; i < 4; i++)
                    a.dims[i] = 0;
                int64_t n = array_values(&a), inner = a.dims[ndim - 1];
                uint64_t bits;
                double number = swg_element_bytes(a.type) == 1 ? 127 : a.type == SWG_ELEMENT_F32 || a.type == SWG_ELEMENT_F64 ? 1e20 : 32000;
                assert_true(swg_fill_bits(a.type, number, &bits));
                size_t bytes = (size_t)swg_element_bytes(a.type);
                char *data = malloc((size_t)n * 8);
                a.data = data;
                fill_smooth(&a, data, 1);
                for (int64_t i = 0; i < n; i++)
                    if (land(i, inner))
                        memcpy(data + (size_t)i * bytes, &bits, bytes);
                swg_codec_opts o = {.bound = b == 0 ? SWG_BOUND_LOSSLESS : b == 1 ? SWG_BOUND_ABS : SWG_BOUND_REL, .fill = SWG_FILL_VALUE, .fill_bits = bits,
                                    .value = b == 1 ? 2 : b == 2 ? 1e-2 : 0};
                swg_codec_stats stats;
                round_trip(ctx, &a, &o, &stats);
                if (number == 1e20) {
                    assert_true(stats.range_max < 50 && stats.outliers == 0);
                    assert_true(stats.filled > 0);
                    o.fill = SWG_FILL_ABOVE;
                    o.fill_threshold = 1e19;
                    round_trip(ctx, &a, &o, &stats);
                    assert_true(stats.range_max < 50 && stats.filled > 0);
                }
                free(data);
            }
}

/* Neighbours of a fill value are what they would be without it, and the file is smaller than one that codes the fill as data. */
static void fill_disturbs_nothing(void **state) {
    swg_context *ctx = *state;
    enum { NX = 96, NY = 60, N = NX * NY };
    static float x[N], plain[N];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {NY, NX}, .data = x};
    fill_smooth(&a, x, 2);
    swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-4, .without = 1u << SWG_MODE_POLY};
    size_t clean = round_trip(ctx, &a, &o, NULL), masked[3];
    int64_t count = 0;
    memcpy(plain, x, sizeof x);
    for (int i = 0; i < N; i++)
        if (land(i, NX)) {
            x[i] = NAN;
            count++;
        }
    swg_codec_stats stats;
    masked[0] = round_trip(ctx, &a, &o, &stats); /* NaNs are found without being named */
    assert_int_equal(stats.filled, count);
    assert_int_equal(stats.outliers, 0);
    o.fill = SWG_FILL_NONE;
    masked[1] = round_trip(ctx, &a, &o, &stats);
    assert_int_equal(stats.outliers, count);
    uint64_t bits;
    assert_true(swg_fill_bits(SWG_ELEMENT_F32, 1e20, &bits));
    for (int i = 0; i < N; i++)
        if (isnan(x[i]))
            memcpy(&x[i], &bits, 4);
    o = (swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4, .without = 1u << SWG_MODE_POLY, .fill = SWG_FILL_VALUE, .fill_bits = bits};
    masked[2] = round_trip(ctx, &a, &o, &stats);
    assert_true(stats.range_max < 50);
    assert_true(masked[0] < clean + (size_t)count && masked[1] > masked[0] + (size_t)count);
    assert_true(masked[2] <= masked[0] && masked[0] <= masked[2] + 4); /* a byte that says what NaNs look like, and its padding */
}

/* Several kinds of NaN and infinities behind one threshold: all bits come back. */
static void fill_payloads(void **state) {
    swg_context *ctx = *state;
    enum { N = 3000 };
    static double x[N];
    swg_codec_array a = {.type = SWG_ELEMENT_F64, .ndim = 1, .dims = {N}, .data = x};
    fill_smooth(&a, x, 2);
    static const uint64_t patterns[] = {0x7ff8000000000000, 0xfff8000000000123, 0x7ff0000000000001, 0x7ff0000000000000, 0xfff0000000000000};
    for (int i = 0; i < N; i += 11)
        memcpy(&x[i], &patterns[i / 11 % 5], 8);
    for (int b = 0; b < 4; b++)
        round_trip(ctx, &a, &(swg_codec_opts){.bound = (swg_bound_mode)b, .value = b ? 1e-3 : 0}, NULL);
    for (int i = 0; i < N; i++) /* nothing else at all */
        memcpy(&x[i], &patterns[i % 5], 8);
    for (int b = 0; b < 4; b++)
        round_trip(ctx, &a, &(swg_codec_opts){.bound = (swg_bound_mode)b, .value = b ? 1e-3 : 0}, NULL);
    for (int i = 0; i < N; i++)
        memcpy(&x[i], &patterns[0], 8);
    assert_true(round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1}, NULL) < 400);
}

static void fill_requests(void **state) {
    swg_context *ctx = *state;
    uint64_t bits;
    assert_true(swg_fill_bits(SWG_ELEMENT_I16, -9999, &bits) && bits == 0xD8F1);
    assert_true(swg_fill_bits(SWG_ELEMENT_U8, 255, &bits) && bits == 255);
    assert_true(swg_fill_bits(SWG_ELEMENT_I64, -1, &bits) && bits == UINT64_MAX);
    assert_true(swg_fill_bits(SWG_ELEMENT_F32, 1e20, &bits) && bits == 0x60AD78EC);
    assert_false(swg_fill_bits(SWG_ELEMENT_U8, 256, &bits));
    assert_false(swg_fill_bits(SWG_ELEMENT_U8, -1, &bits));
    assert_false(swg_fill_bits(SWG_ELEMENT_I8, 1.5, &bits));
    assert_false(swg_fill_bits(SWG_ELEMENT_I32, NAN, &bits));
    assert_false(swg_fill_bits(SWG_ELEMENT_F32, 1e300, &bits));
    float x[4] = {1, 2, 3, 4};
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {4}, .data = x};
    swg_codec_buffer out;
    assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts){.fill = SWG_FILL_ABOVE}, &out, NULL), SWG_EINVAL);
    assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts){.fill = SWG_FILL_VALUE, .fill_bits = (uint64_t)1 << 32}, &out, NULL), SWG_EINVAL);
    assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts){.fill = (swg_fill_mode)7}, &out, NULL), SWG_EINVAL);
}

/* ---- lossless 64-bit words ---- */

static void split_words(void **state) {
    swg_context *ctx = *state;
    enum { N = 24 * 25 * 26 };
    static uint64_t x[N];
    static const swg_element types[3] = {SWG_ELEMENT_F64, SWG_ELEMENT_I64, SWG_ELEMENT_U64};
    for (int t = 0; t < 3; t++) {
        swg_codec_array a = {.type = types[t], .ndim = 3, .dims = {24, 25, 26}, .data = x};
        swg_codec_stats stats;
        fill_smooth(&a, x, 4);
        for (int i = 0; i < N; i++) {
            double v;
            memcpy(&v, &x[i], sizeof v);
            v += 1000; /* integers: beyond what one level can hold */
            x[i] = t ? (uint64_t)((int64_t)x[i] * 50000000) : bits64(v);
        }
        size_t bytes = round_trip(ctx, &a, NULL, &stats);
        assert_int_equal(stats.mode_chunks[SWG_MODE_STENCIL], stats.chunks);
        assert_true(bytes < round_trip(ctx, &a, &(swg_codec_opts){.without = 1u << SWG_MODE_STENCIL}, NULL));
        /* Values that were f32, or whole numbers: the zeros at their end cost nothing. */
        for (int i = 0; i < N; i++)
            x[i] &= ~(uint64_t)0 << 29;
        size_t short_bytes = round_trip(ctx, &a, NULL, NULL);
        assert_true(short_bytes + N * 3 / 2 < bytes);
        /* Every kind of number at once, and both ends of the type. */
        static const uint64_t special[] = {0, 1, (uint64_t)1 << 63, UINT64_MAX, INT64_MAX, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000001};
        for (int i = 0; i < N; i += 5)
            x[i] = special[i / 5 % 8];
        round_trip(ctx, &a, NULL, NULL);
        round_trip(ctx, &a, &(swg_codec_opts){.fill = SWG_FILL_NONE}, NULL);
    }
}

/* ---- targets ---- */

/* A field with structure on all scales, in several chunks. */
static void rough_field(const swg_codec_array *a, void *data) {
    int64_t nx = a->dims[2], ny = a->dims[1], n = array_values(a);
    uint64_t seed = 77;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)(i % nx), y = (double)(i / nx % ny), z = (double)(i / nx / ny), v = 0;
        for (int o = 0; o < 6; o++)
            v += sin((0.05 * x + 0.02 * z) * (1 << o) + o) * cos(0.04 * y * (1 << o) + 0.3 * z) / (1 << o);
        v += 1e-3 * (double)(noise(&seed) >> 40) / 0x1p24;
        if (a->type == SWG_ELEMENT_I16)
            ((int16_t *)data)[i] = (int16_t)(8000 * v);
        else if (a->type == SWG_ELEMENT_F64)
            ((double *)data)[i] = v;
        else
            ((float *)data)[i] = (float)v;
    }
}

static void target_psnr(void **state) {
    swg_context *ctx = *state;
    static const swg_element types[3] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I16};
    static const double targets[] = {15, 45, 70};
    for (int t = 0; t < 3; t++)
        for (int p = TESTING_SLOW ? t : 0; p < 3; p += 3 * TESTING_SLOW + !TESTING_SLOW) { /* slow builds: one target of each type */
            swg_codec_array a = {.type = types[t], .ndim = 3, .dims = {16, 40, 48}};
            void *data = malloc(16 * 40 * 48 * 8), *back = malloc(16 * 40 * 48 * 8);
            a.data = data;
            rough_field(&a, data);
            if (types[t] == SWG_ELEMENT_F32)
                ((float *)data)[1000] = NAN; /* counts for nothing */
            swg_codec_opts o = {.bound = SWG_BOUND_PSNR, .value = targets[p], .chunk = {4, 8, 24}};
            swg_codec_stats stats;
            swg_codec_buffer out;
            swg_codec_gap gap;
            swg_swz *swz;
            round_trip(ctx, &a, &o, &stats);
            assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &out, NULL));
            assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
            const swg_swz_info *info = swg_swz_member(swz, 0);
            assert_ok(ctx, swg_swz_read(swz, 0, back, (size_t)info->bytes_raw));
            assert_ok(ctx, swg_codec_audit(ctx, &a, back, info, &gap));
            assert_true(info->bound == SWG_BOUND_PSNR && info->value == targets[p]);
            assert_true(gap.psnr_db >= targets[p]); /* reached ... */
            assert_close(info->psnr_db, gap.psnr_db, 1e-6, 0); /* ... and said truly */
            assert_close(stats.psnr_db, gap.psnr_db, 1e-6, 0);
            if (p == 1)
                assert_true(gap.psnr_db < targets[p] + 1); /* not by waste */
            swg_swz_close(swz);
            swg_codec_buffer_free(ctx, &out);
            free(back);
            free(data);
        }
    float same[64] = {0};
    swg_codec_array constant = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {64}, .data = same};
    swg_codec_stats stats;
    round_trip(ctx, &constant, &(swg_codec_opts){.bound = SWG_BOUND_PSNR, .value = 60}, &stats);
    assert_true(stats.eb_abs == 0 && isinf(stats.psnr_db));
    swg_codec_buffer out;
    assert_int_equal(swg_codec_compress(ctx, &constant, &(swg_codec_opts){.bound = SWG_BOUND_PSNR, .value = -3}, &out, NULL), SWG_EINVAL);
}

static void target_ratio(void **state) {
    swg_context *ctx = *state;
    static const double targets[] = {1.01, 4, 12, 60};
    for (int t = 0; t < 2; t++)
        for (int p = 0; p < 4; p++) {
            swg_codec_array a = {.type = t ? SWG_ELEMENT_I16 : SWG_ELEMENT_F32, .ndim = 3, .dims = {32, 40, 48}};
            void *data = malloc(32 * 40 * 48 * 8);
            a.data = data;
            rough_field(&a, data);
            swg_codec_opts o = {.bound = SWG_BOUND_RATIO, .value = targets[p]};
            if (p == 2)
                o.chunk[0] = 4, o.chunk[1] = 10, o.chunk[2] = 48;
            swg_codec_stats stats;
            round_trip(ctx, &a, &o, &stats);
            double ratio = (double)stats.bytes_in / (double)stats.bytes_out;
            if (ratio < targets[p])
                fail_msg("%s: ratio %.4f, asked for %g", swg_element_name(a.type), ratio, targets[p]);
            if (!t && p && ratio > 1.05 * targets[p])
                fail_msg("ratio %.4f, %g was enough", ratio, targets[p]);
            if (p == 0)
                assert_true(stats.eb_abs == 0); /* lossless is enough */
            free(data);
        }
    /* Beyond reach: what is reached is said. */
    static float x[4096];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {16, 16, 16}, .data = x};
    swg_codec_stats stats;
    rough_field(&a, x);
    round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_RATIO, .value = 1e6}, &stats);
    assert_true(stats.bytes_out < 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_tables),
        cmocka_unit_test(power_known_answers),
        cmocka_unit_test_setup_teardown(relative_all_shapes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(relative_specials, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fill_every_type, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fill_disturbs_nothing, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fill_payloads, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fill_requests, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(split_words, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(target_psnr, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(target_ratio, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
