/* test_codec_roundtrip.c - proves the promises on the outside: the bound holds for every type, shape, bound and special value; nothing
 * grows by more than 1 KiB; the bytes do not depend on threads or instruction set; allocation failures are clean.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include "codec_testing.h"
#include "context.h"

static const swg_element all_types[] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I8,  SWG_ELEMENT_U8,  SWG_ELEMENT_I16,
                                           SWG_ELEMENT_U16, SWG_ELEMENT_I32, SWG_ELEMENT_U32, SWG_ELEMENT_I64, SWG_ELEMENT_U64};
enum { TYPES = sizeof all_types / sizeof all_types[0] };

/* Extents 1..9 in one to four dimensions, every type, lossless and lossy. */
static void every_small_shape(void **state) {
    swg_context *ctx = *state;
    uint64_t data[9 * 9 * 9 * 3];
    int round = 0;
    for (int ndim = 1; ndim <= 4; ndim++)
        for (int64_t i = 0; i < (ndim == 1 ? 9 : ndim == 2 ? 81 : ndim == 3 ? 729 : 40); i += TESTING_SLOW && ndim == 3 ? 5 : 1, round++) {
            swg_codec_array a = {.type = all_types[round % TYPES], .ndim = ndim, .dims = {1, 1, 1, 1}, .data = data};
            int64_t rest = ndim == 4 ? i * 17 % 729 : i;
            for (int d = ndim - 1; d >= 0; d--, rest /= 9)
                a.dims[d] = d == 0 && ndim == 4 ? 1 + i % 3 : 1 + rest % 9;
            fill_smooth(&a, data, (uint64_t)round + 1);
            round_trip(ctx, &a, NULL, NULL);
            round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = round % 4 ? 0.01 : 3}, NULL);
            round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-4}, NULL);
            bool is_float = a.type == SWG_ELEMENT_F32 || a.type == SWG_ELEMENT_F64;
            swg_codec_opts o = {.bound = is_float ? SWG_BOUND_PW_REL : SWG_BOUND_PSNR, .value = is_float ? 1e-3 : 40, .fill = SWG_FILL_VALUE};
            memcpy(&o.fill_bits, (const char *)data + (size_t)(array_values(&a) / 2) * (size_t)swg_element_bytes(a.type), (size_t)swg_element_bytes(a.type));
            round_trip(ctx, &a, &o, NULL); /* a value in the middle stands for no data; all little endian */
        }
}

static void types_and_bounds(void **state) {
    swg_context *ctx = *state;
    uint64_t *data = malloc(30 * 41 * 37 * sizeof *data);
    for (int t = 0; t < TYPES; t++) {
        swg_codec_array a = {.type = all_types[t], .ndim = 3, .dims = {30, 41, 37}, .data = data};
        fill_smooth(&a, data, 5);
        round_trip(ctx, &a, NULL, NULL);
        for (double r = 1e-3; r > 1e-13; r /= TESTING_SLOW ? 1000 : 10)
            round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = r}, NULL);
        for (double e = 1e12; e > 1e-12; e /= TESTING_SLOW ? 1e6 : 100)
            round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = e}, NULL);
        static const double ends[] = {1e-300, 1e-308, 5e-324, 1e300, DBL_MAX, 0};
        for (int i = 0; i < 6; i++)
            round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = ends[i]}, NULL);
    }
    free(data);
}

/* What a user expects of a smooth field, so that a broken predictor does not hide behind the fallback. */
static void compresses(void **state) {
    swg_context *ctx = *state;
    float *data = malloc((size_t)64 * 64 * 64 * sizeof *data);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {64, 64, 64}, .data = data};
    fill_smooth(&a, data, 5);
    swg_codec_stats s;
    size_t bytes = round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_REL, .value = 1e-3}, &s);
    if (bytes > 64 * 64 * 64 * 4 / 15)
        fail_msg("1 MiB of a smooth field became %zu bytes at rel 1e-3", bytes);
    assert_int_equal(s.mode_chunks[SWG_MODE_STENCIL] + s.mode_chunks[SWG_MODE_POLY] + s.mode_chunks[SWG_MODE_INTERPOLATION], s.chunks);
    memset(data, 0, 64 * 64 * 64 * 4);
    assert_true(round_trip(ctx, &a, NULL, &s) < 400);
    assert_int_equal(s.mode_chunks[SWG_MODE_CONSTANT], s.chunks);
    for (int i = 0; i < 64 * 64 * 64; i++)
        data[i] = 1 + 1e-6f * (float)(i % 5);
    assert_true(round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-4}, &s) < 400);
    assert_int_equal(s.mode_chunks[SWG_MODE_LEVEL], s.chunks);
    free(data);
}

/* Every special value at every place of a chunk. */
static void specials_everywhere(void **state) {
    swg_context *ctx = *state;
    enum { N = 4 * 5 * 6 };
    static const uint32_t odd32[] = {0x7FC00000, 0xFFC12345, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 1, 0x807FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x00800000};
    static const uint64_t odd64[] = {0x7FF8000000000000, 0xFFF8000000012345, 0x7FF0000000000001, 0x7FF0000000000000, 0xFFF0000000000000,
                                     0x8000000000000000, 1, 0x800FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x0010000000000000};
    float x[N];
    double y[N];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {4, 5, 6}, .data = x};
    swg_codec_array b = {.type = SWG_ELEMENT_F64, .ndim = 3, .dims = {4, 5, 6}, .data = y};
    static const swg_codec_opts opts[] = {{.bound = SWG_BOUND_ABS, .value = 1e-2}, {.bound = SWG_BOUND_LOSSLESS}, {.bound = SWG_BOUND_ABS, .value = 1e-40},
                                          {.bound = SWG_BOUND_PW_REL, .value = 1e-3}, {.bound = SWG_BOUND_PW_REL, .value = 1e-2, .fill = SWG_FILL_NONE},
                                          {.bound = SWG_BOUND_ABS, .value = 1e-2, .fill = SWG_FILL_ABOVE, .fill_threshold = 1e30},
                                          {.bound = SWG_BOUND_ABS, .value = 1e-2, .fill = SWG_FILL_NONE}};
    enum { OPTS = sizeof opts / sizeof opts[0] };
    for (int i = 0; i < N; i++)
        for (int s = 0; s < 11; s++) {
            fill_smooth(&a, x, 1);
            fill_smooth(&b, y, 1);
            memcpy(&x[i], &odd32[s], 4);
            memcpy(&y[i], &odd64[s], 8);
            if (s % 3 == 0) {
                memcpy(&x[(i + 1) % N], &odd32[s], 4);
                memcpy(&y[(i + 7) % N], &odd64[(s + 1) % 11], 8);
            }
            round_trip(ctx, &a, &opts[(i + s) % OPTS], NULL);
            round_trip(ctx, &b, &opts[(i + s) % OPTS], NULL);
        }
    for (int s = 0; s < 11; s++) { /* nothing else */
        for (int i = 0; i < N; i++) {
            memcpy(&x[i], &odd32[i % 7 == 3 ? (s + 1) % 11 : s], 4);
            memcpy(&y[i], &odd64[i % 7 == 3 ? (s + 1) % 11 : s], 8);
        }
        for (int o = 0; o < OPTS; o++) {
            round_trip(ctx, &a, &opts[o], NULL);
            round_trip(ctx, &b, &opts[o], NULL);
        }
    }
}

/* NaN, infinities and values that are no finite numbers come back bit for bit under a bound, too. */
static void bits_survive(void **state) {
    swg_context *ctx = *state;
    static float x[3000], back[3000];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {3000}, .data = x};
    fill_smooth(&a, x, 1);
    uint64_t seed = 6;
    for (int i = 0; i < 300; i++) {
        uint32_t bits = 0x7F800000u | ((uint32_t)noise(&seed) & 0x807FFFFFu);
        memcpy(&x[noise(&seed) % 3000], &bits, 4);
    }
    swg_codec_buffer out;
    swg_swz *swz;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.1}, &out, NULL));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_ok(ctx, swg_swz_read(swz, 0, back, sizeof back));
    for (int i = 0; i < 3000; i++)
        if (!isfinite(x[i]))
            assert_memory_equal(&x[i], &back[i], 4);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
}

/* Noise of every type; also in the smallest chunks a caller may ask for. */
static void noise_does_not_grow(void **state) {
    swg_context *ctx = *state;
    enum { N = 50000 };
    uint64_t *data = malloc(N * sizeof *data);
    uint64_t seed = 1;
    for (int i = 0; i < N; i++)
        data[i] = noise(&seed);
    for (int t = 0; t < TYPES; t++) {
        swg_codec_array a = {.type = all_types[t], .ndim = 2, .dims = {100, 500}, .data = data};
        round_trip(ctx, &a, NULL, NULL);
        round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3}, NULL);
        round_trip(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3, .chunk = {1, 7}}, NULL);
        round_trip(ctx, &a, &(swg_codec_opts){.chunk = {3, 3}}, NULL);
        for (int64_t n = 1; n < 40; n += TESTING_SLOW ? 5 : 1) {
            swg_codec_array one = {.type = all_types[t], .ndim = 1, .dims = {n}, .data = data};
            assert_true(round_trip(ctx, &one, NULL, NULL) <= 512 + (size_t)n * (size_t)swg_element_bytes(all_types[t]));
        }
    }
    free(data);
}

static void bytes_do_not_depend_on_threads(void **state) {
    (void)state;
    enum { Z = TESTING_SLOW ? 30 : 90, N = Z * 80 * 70 };
    float *data = malloc(N * sizeof *data);
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {Z, 80, 70}, .data = data};
    fill_smooth(&a, data, 5);
    static const char *const isas[] = {NULL, "scalar", "sse2", "avx2"};
    swg_codec_buffer first = {0};
    for (int i = 0; i < 7; i++) {
        swg_context *ctx;
        swg_codec_buffer out;
        swg_swz *swz;
        static const int threads[] = {1, 2, 5, 1, 1, 1, 3};
        if (swg_context_open(&(swg_context_opts){.threads = threads[i], .isa = i >= 3 ? isas[i - 3] : NULL}, &ctx) != SWG_OK)
            continue; /* this machine lacks the instruction set */
        swg_codec_opts o = {.bound = SWG_BOUND_REL, .value = 1e-4, .chunk = {20, 20, 20}};
        assert_ok(ctx, swg_codec_compress(ctx, &a, &o, &out, NULL));
        if (!i) {
            first.bytes = out.bytes;
            first.data = malloc(out.bytes);
            memcpy(first.data, out.data, out.bytes);
        }
        assert_int_equal(out.bytes, first.bytes);
        assert_memory_equal(out.data, first.data, out.bytes);
        float *back = malloc(N * sizeof *back);
        swg_codec_gap gap;
        assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
        assert_ok(ctx, swg_swz_read(swz, 0, back, N * sizeof *back));
        assert_ok(ctx, swg_codec_compare(ctx, &a, back, swg_swz_member(swz, 0)->eb_abs, &gap));
        assert_int_equal(gap.violations, 0);
        free(back);
        swg_swz_close(swz);
        swg_codec_buffer_free(ctx, &out);
        swg_context_close(ctx);
    }
    free(first.data);
    free(data);
}

static void chunks_alone(void **state) {
    swg_context *ctx = *state;
    static double data[2 * 13 * 1 * 21], whole[2 * 13 * 21], back[2 * 13 * 21];
    swg_codec_array a = {.type = SWG_ELEMENT_F64, .ndim = 4, .dims = {2, 13, 1, 21}, .data = data};
    fill_smooth(&a, data, 5);
    swg_codec_buffer out;
    swg_swz *swz;
    assert_ok(ctx, swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 0.1, .chunk = {1, 5, 1, 8}}, &out, NULL));
    assert_ok(ctx, swg_swz_open_memory(ctx, out.data, out.bytes, &swz));
    assert_int_equal(swg_swz_member(swz, 0)->chunks, 2 * 3 * 3);
    assert_int_equal(swg_swz_model_bytes(swz), 0);
    assert_ok(ctx, swg_swz_read(swz, 0, whole, sizeof whole));
    for (int64_t c = 0; c < 18; c++) {
        int64_t o[4], e[4];
        double box[5 * 8];
        int64_t wanted[4] = {c / 9, c / 3 % 3 * 5, 0, c % 3 * 8}, n = (c / 3 % 3 == 2 ? 3 : 5) * (c % 3 == 2 ? 5 : 8);
        assert_ok(ctx, swg_swz_read_chunk(swz, 0, c, box, (size_t)n * sizeof *box, o, e));
        assert_memory_equal(o, wanted, sizeof o);
        for (int64_t i = 0; i < n; i++)
            back[(o[0] * 13 + o[1] + i / e[3]) * 21 + o[3] + i % e[3]] = box[i];
    }
    assert_memory_equal(back, whole, sizeof whole);
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
}

static void refusals(void **state) {
    swg_context *ctx = *state;
    static const float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const swg_codec_array good = {.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {2, 4}, .data = x};
    swg_codec_buffer out;
#define COMMA ,
#define REFUSE(status, text, opts, ...)                                                          \
    do {                                                                                         \
        swg_codec_array a = good;                                                                \
        __VA_ARGS__;                                                                             \
        assert_int_equal(swg_codec_compress(ctx, &a, &(swg_codec_opts)opts, &out, NULL), status); \
        assert_null(out.data);                                                                   \
        if (!strstr(swg_context_message(ctx), text))                                             \
            fail_msg("expected \"%s\", found \"%s\"", text, swg_context_message(ctx));           \
    } while (0)
    REFUSE(SWG_ESHAPE, "empty: dimension 1 is 0", {0}, a.dims[1] = 0);
    REFUSE(SWG_ESHAPE, "dimension 0 is -1", {0}, a.dims[0] = -1);
    REFUSE(SWG_ESHAPE, "2^56", {0}, a.dims[0] = (int64_t)1 << 48; a.dims[1] = (int64_t)1 << 48);
    REFUSE(SWG_ESHAPE, "1 to 4 dimensions", {0}, a.ndim = 0);
    REFUSE(SWG_ESHAPE, "1 to 4 dimensions", {0}, a.ndim = 5);
    REFUSE(SWG_EDTYPE, "element type 3", {0}, a.type = (swg_element)3);
    REFUSE(SWG_EINVAL, "no data", {0}, a.data = NULL);
    REFUSE(SWG_ESHAPE, "blocks must be", {0}, a.layout = SWG_CODEC_BLOCKS);
    REFUSE(SWG_EINVAL, "chunk 5 along axis 1", {.chunk = {2 COMMA 5}}, (void)0);
    REFUSE(SWG_EINVAL, "chunk 0 along axis 1", {.chunk = {2}}, (void)0);
    REFUSE(SWG_EINVAL, "not a number >= 0", {.bound = SWG_BOUND_ABS COMMA .value = NAN}, (void)0);
    REFUSE(SWG_EINVAL, "not a number >= 0", {.bound = SWG_BOUND_REL COMMA .value = -1}, (void)0);
    REFUSE(SWG_EINVAL, "range", {.bound = SWG_BOUND_REL COMMA .value = 1 COMMA .has_range = true COMMA .range_min = 3}, (void)0);
    swg_codec_gap gap;
    assert_int_equal(swg_codec_compare(ctx, &good, x, -1, &gap), SWG_EINVAL);
}

static void files(void **state) {
    swg_context *ctx = *state;
    static float x[1000], back[1000];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {1000}, .data = x};
    char path[] = "/tmp/swage_codec_XXXXXX", inside[64];
    assert_non_null(mkdtemp(path));
    fill_smooth(&a, x, 1);
    snprintf(inside, sizeof inside, "%s/x.swz", path);
    swg_codec_stats stats;
    swg_swz *swz;
    assert_ok(ctx, swg_codec_compress_file(ctx, &a, &(swg_codec_opts){.name = "x"}, inside, &stats));
    assert_ok(ctx, swg_swz_open(ctx, inside, &swz));
    assert_int_equal(swg_swz_member(swz, 0)->bytes_stored, stats.bytes_out);
    assert_ok(ctx, swg_swz_read(swz, 0, back, sizeof back));
    assert_memory_equal(x, back, sizeof back);
    swg_swz_close(swz);
    remove(inside);
    assert_int_equal(swg_swz_open(ctx, inside, &swz), SWG_ENOTFOUND);
    assert_null(swz);
    snprintf(inside, sizeof inside, "%s/no/x.swz", path);
    assert_int_equal(swg_codec_compress_file(ctx, &a, NULL, inside, NULL), SWG_ENOTFOUND);
    remove(path);
}

/* Comparison in exact arithmetic at the edge of the bound. */
static void comparison(void **state) {
    swg_context *ctx = *state;
    const double a[6] = {1, 1, NAN, INFINITY, 5, -0.0}, b[6] = {1.5, nextafter(1.5, 2), NAN, INFINITY, 5, 0.0};
    swg_codec_array x = {.type = SWG_ELEMENT_F64, .ndim = 1, .dims = {6}, .data = a};
    swg_codec_gap gap;
    assert_ok(ctx, swg_codec_compare(ctx, &x, b, 0.5, &gap));
    assert_true(gap.violations == 1 && gap.first == 1 && gap.values == 6);
    assert_ok(ctx, swg_codec_compare(ctx, &x, b, 0, &gap));
    assert_true(gap.violations == 3 && gap.first == 0);
    assert_ok(ctx, swg_codec_compare(ctx, &x, a, 0, &gap));
    assert_true(gap.violations == 0 && gap.first == -1 && isinf(gap.psnr_db));
    const uint64_t u[3] = {UINT64_MAX, 0, 7}, v[3] = {UINT64_MAX - 2, 3, 7};
    x = (swg_codec_array){.type = SWG_ELEMENT_U64, .ndim = 1, .dims = {3}, .data = u};
    assert_ok(ctx, swg_codec_compare(ctx, &x, v, 2.5, &gap));
    assert_true(gap.violations == 1 && gap.first == 1 && gap.max_abs_error == 3);
    const float f[2] = {0, 4}, g[2] = {1, 4};
    x = (swg_codec_array){.type = SWG_ELEMENT_F32, .ndim = 1, .dims = {2}, .data = f};
    assert_ok(ctx, swg_codec_compare(ctx, &x, g, 1, &gap));
    assert_close(gap.rmse, sqrt(0.5), 0, 1e-15);
    assert_close(gap.psnr_db, 20 * log10(4 / sqrt(0.5)), 0, 1e-14);
}

/* The n-th allocation fails, for every n, on the way in and out. */
static void allocation_failures(void **state) {
    (void)state;
    enum { N = 9 * 10 * 11 };
    static float data[N];
    swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {9, 10, 11}, .data = data};
    fill_smooth(&a, data, 5);
    data[77] = NAN;
    static const swg_codec_opts opts[] = {{.bound = SWG_BOUND_ABS, .value = 1e-2, .name = "x", .chunk = {5, 10, 11}}, {.attributes = "y"}};
    for (int o = 0; o < 2; o++) {
        int64_t fail_at = 0;
        for (bool done = false; !done; fail_at += TESTING_SLOW ? 5 : 1) {
            testing_allocator t = {.fail_at = -1};
            swg_context *ctx;
            swg_codec_buffer out;
            swg_swz *swz;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
            t.fail_at = t.calls + fail_at;
            swg_status status = swg_codec_compress(ctx, &a, &opts[o], &out, NULL);
            if (status == SWG_OK) {
                status = swg_swz_open_memory(ctx, out.data, out.bytes, &swz);
                if (status == SWG_OK) {
                    float back[N];
                    status = swg_swz_read(swz, 0, back, sizeof back);
                    if (status == SWG_OK)
                        status = swg_swz_verify(swz, 0);
                    swg_swz_close(swz);
                }
                swg_codec_buffer_free(ctx, &out);
            } else {
                assert_null(out.data);
            }
            done = t.calls <= t.fail_at;
            assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
            assert_int_equal(t.live, 0);
        }
        assert_true(fail_at > 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_small_shape, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(types_and_bounds, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(compresses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(specials_everywhere, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bits_survive, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(noise_does_not_grow, testing_open, testing_close),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test_setup_teardown(chunks_alone, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(files, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(comparison, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
