/* test_codec_coder.c - proves: the tables are those of the format, residuals, escapes and rANS streams have the published bits,
 * every instruction set decodes the same, malformed streams are refused with the right reason.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/bucket.h"
#include "codec/kernels.h"
#include "codec_testing.h"
#include "context.h"

static void tables(void **state) {
    (void)state;
    uint8_t bytes[256 * 32 * 2];
    for (int t = 0; t < 256; t++) {
        uint32_t sum = 0;
        for (int s = 0; s < 32; s++) {
            swg__store16(bytes + (t * 32 + s) * 2, swg__frequency[t][s]);
            assert_int_equal(swg__start[t][s], sum);
            sum += swg__frequency[t][s];
            assert_close(swg__cost[t][s], 256 * (15 - log2(swg__frequency[t][s])), 0.51, 0);
        }
        assert_int_equal(sum, 32768);
    }
    assert_int_equal(swg__crc32c(0, bytes, sizeof bytes), 0x892d6d55u);
    static const uint16_t t180[13] = {85, 227, 600, 1524, 3489, 6388, 8029, 6388, 3489, 1524, 600, 227, 85};
    static const uint16_t t185[13] = {62, 167, 444, 1147, 2740, 5468, 7850, 7188, 4349, 2005, 808, 308, 115};
    static const uint16_t t252[13] = {746, 1155, 1726, 2444, 3213, 3831, 4085, 3831, 3213, 2444, 1726, 1155, 746};
    for (int i = 0; i < 13; i++) {
        assert_int_equal(swg__frequency[180][9 + i], t180[i]);
        assert_int_equal(swg__frequency[185][9 + i], t185[i]);
        assert_int_equal(swg__frequency[252][9 + i], t252[i]);
    }
    assert_int_equal(swg__frequency[252][31], 29);
    assert_int_equal(swg__frequency[8][15], 16370);
    assert_int_equal(swg__frequency[8][16], 16368);
}

/* The residual of (u, mean, b): table, symbol and raw bits as text. */
static void check_residual(swg_context *ctx, int64_t u, int64_t mean, int b, int table, int symbol, const char *raw) {
    swg__symbols s;
    assert_ok(ctx, swg__symbols_open(&s, ctx, 1));
    int64_t p = (mean + 8) >> 4;
    swg__residual_put(&s, b, (int)(mean - 16 * p), u - p);
    assert_int_equal(s.code[0], 32 * table + symbol);
    swg__bits_finish(&s.bits);
    assert_int_equal(s.raw.length, (strlen(raw) + 7) / 8);
    for (size_t i = 0; i < strlen(raw); i++)
        assert_int_equal((uint8_t)s.raw.data[i / 8] >> (7 - i % 8) & 1, raw[i] - '0');
    swg__symbols_close(&s);
}

static void residuals(void **state) {
    swg_context *ctx = *state;
    check_residual(ctx, 5, 70, 18, 168, 16, "");
    check_residual(ctx, 5, 88, 10, 98, 16, "");
    check_residual(ctx, 0, 8, 20, 188, 16, "");
    check_residual(ctx, 1000, 15000, 40, 252, 19, "0110");
    check_residual(ctx, 1000, 15000, 28, 252, 31, "000100111");
    static const struct { int h; const char *bits; } escapes[] = {
        {16, "0100"}, {-16, "1100"}, {19, "0111"}, {20, "001000"}, {-32, "10010100"}, {-40, "10011100"}, {500, "0000000111101000"}};
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++)
        check_residual(ctx, escapes[i].h, 0, 10, 90, 31, escapes[i].bits);
}

static void rans_known_answers(void **state) {
    swg_context *ctx = *state;
    static const uint16_t code[8] = {180 * 32 + 15, 180 * 32 + 16, 180 * 32 + 14, 252 * 32 + 20, 0 * 32 + 15, 243 * 32 + 31, 255 * 32, 185 * 32 + 15};
    swg__text out;
    swg__text_init(&out, ctx);
    assert_ok(ctx, swg__rans_encode(code, 8, 0, ctx, &out));
    assert_int_equal(out.length, 6);
    assert_int_equal(swg__load32((uint8_t *)out.data), 0x0b81c86du);
    assert_int_equal(swg__load16((uint8_t *)out.data + 4), 0xe3e5u);
    swg__text_free(&out);
    assert_ok(ctx, swg__rans_encode(code, 8, 2, ctx, &out));
    static const uint32_t states[4] = {0x000435b6u, 0x0105d368u, 0x05e92363u, 0x007773f7u};
    assert_int_equal(out.length, 16);
    for (int i = 0; i < 4; i++)
        assert_int_equal(swg__load32((uint8_t *)out.data + 4 * i), states[i]);
    swg__text_free(&out);
}

enum { COUNT = 60000 };

/* Residuals of every size for every bucket and phase; decoded by each instruction set. */
static void random_streams(void **state) {
    swg_context *ctx = *state;
    static uint8_t bucket[COUNT];
    static int8_t phase[COUNT];
    static int64_t e[COUNT], back[COUNT];
    uint64_t seed = 7;
    swg__symbols s;
    assert_ok(ctx, swg__symbols_open(&s, ctx, COUNT));
    for (int i = 0; i < COUNT; i++) {
        bucket[i] = (uint8_t)(noise(&seed) % 128);
        phase[i] = (int8_t)(bucket[i] < 28 ? (int)(noise(&seed) % 17) - 8 : 0);
        int bits = (int)(noise(&seed) % (i % 5 ? 8 : 47));
        int64_t size = (int64_t)(noise(&seed) & (((uint64_t)1 << bits) - 1));
        e[i] = noise(&seed) & 1 ? -size : size;
        swg__residual_put(&s, bucket[i], phase[i], e[i]);
    }
    swg__bits_finish(&s.bits);
    for (int lanes = 0; lanes <= 5; lanes++) {
        if (lanes == 1 || lanes == 4)
            continue;
        swg__text out;
        swg__text_init(&out, ctx);
        assert_ok(ctx, swg__rans_encode(s.code, s.count, lanes, ctx, &out));
        assert_true(out.length <= (size_t)swg__rans_estimate(s.code, s.count) * 1001 / 1000 + 4 * ((size_t)1 << lanes) + 64);
        for (int isa = 0; isa <= (int)ctx->isa; isa++) {
            swg__rans in;
            assert_null(swg__rans_open(&in, lanes, (uint8_t *)out.data, out.length, (uint8_t *)s.raw.data, s.raw.length));
            memset(back, 0, sizeof back);
            const swg__codec_kernels *k = swg__codec_kernels_for((swg__isa)isa);
            k->residuals(&in, bucket, phase, 999, back);
            k->residuals(&in, bucket + 999, phase + 999, COUNT - 999, back + 999);
            assert_null(swg__rans_finish(&in));
            assert_memory_equal(back, e, sizeof e);
        }
        swg__text_free(&out);
    }
    swg__symbols_close(&s);
}

/* Every slot of every table finds its symbol: one symbol is decoded from a state made of that slot. */
static void every_slot(void **state) {
    swg_context *ctx = *state;
    static const uint8_t bucket_of[3] = {0, 20, 28};
    for (int isa = 0; isa <= (int)ctx->isa; isa++)
        for (int b = 0; b < 3; b++)
            for (uint32_t slot = 0; slot < 32768; slot++) {
                uint8_t stream[4], raw[16] = {0};
                swg__store32(stream, (uint32_t)4 << 15 | slot);
                swg__rans in;
                int64_t e;
                int table = b == 2 ? 252 : 9 * bucket_of[b], symbol = 31;
                while (swg__start[table][symbol] > slot)
                    symbol--;
                raw[0] = 0x40; /* escape 16 */
                assert_null(swg__rans_open(&in, 0, stream, 4, raw, sizeof raw));
                swg__codec_kernels_for((swg__isa)isa)->residuals(&in, &bucket_of[b], NULL, 1, &e);
                int64_t h = symbol == 31 ? 16 : symbol - 15;
                assert_int_equal(e, b == 2 ? 2 * h - 1 : h);
            }
}

static const char *decode(const uint8_t *rans, size_t rans_bytes, const uint8_t *raw, size_t raw_bytes, int count) {
    swg__rans in;
    uint8_t bucket[64];
    int64_t e[64];
    memset(bucket, 10, sizeof bucket);
    const char *why = swg__rans_open(&in, 0, rans, rans_bytes, raw, raw_bytes);
    if (why)
        return why;
    swg__codec_kernels_for(SWG__SCALAR)->residuals(&in, bucket, NULL, count, e);
    return swg__rans_finish(&in);
}

static void malformed(void **state) {
    swg_context *ctx = *state;
    swg__symbols s;
    swg__text out;
    assert_ok(ctx, swg__symbols_open(&s, ctx, 64));
    for (int i = 0; i < 64; i++)
        swg__residual_put(&s, 10, 0, i % 7 ? i % 3 - 1 : 20);
    swg__bits_finish(&s.bits);
    swg__text_init(&out, ctx);
    assert_ok(ctx, swg__rans_encode(s.code, 64, 0, ctx, &out));
    const uint8_t *rans = (uint8_t *)out.data, *raw = (uint8_t *)s.raw.data;
    size_t n = out.length, m = s.raw.length;
    uint8_t copy[512];
    assert_null(decode(rans, n, raw, m, 64));
    assert_string_equal(decode(rans, 2, raw, m, 64), "rANS stream is too short for its states or of odd length");
    assert_string_equal(decode(rans, n - 1, raw, m, 64), "rANS stream is too short for its states or of odd length");
    assert_string_equal(decode(rans, n - 2, raw, m, 64), "rANS words exhausted or residual out of range");
    assert_string_equal(decode(rans, n, raw, m - 1, 64), "raw bits exhausted");
    assert_string_equal(decode(rans, n, raw, m, 40), "rANS words left over");
    memcpy(copy, raw, m);
    copy[m] = 0;
    assert_string_equal(decode(rans, n, copy, m + 1, 64), "raw bits left over");
    memcpy(copy, rans, n);
    swg__store32(copy, 0xFFFF);
    assert_string_equal(decode(copy, n, raw, m, 64), "rANS state below 2^16");
    uint8_t zeros[16] = {0}; /* an escape with a prefix that does not end */
    uint8_t one[4];
    swg__store32(one, (uint32_t)4 << 15 | 32767);
    assert_string_equal(decode(one, 4, zeros, sizeof zeros, 1), "rANS words exhausted or residual out of range");
    swg__text_free(&out);
    swg__symbols_close(&s);
}

static void small_numbers(void **state) {
    swg_context *ctx = *state;
    swg__text out;
    swg__text_init(&out, ctx);
    static const uint32_t values[] = {0, 1, 127, 128, 16383, 16384, 1u << 28, UINT32_MAX};
    for (size_t i = 0; i < 8; i++)
        swg__put_leb(&out, values[i]);
    swg__cursor in = {.at = (uint8_t *)out.data, .end = (uint8_t *)out.data + out.length};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(swg__take_leb(&in), values[i]);
    assert_false(in.bad);
    assert_int_equal(swg__left(&in), 0);
    swg__text_free(&out);
    static const uint8_t longer[2] = {0x80, 0}, wide[5] = {0xFF, 0xFF, 0xFF, 0xFF, 0x1F}, open_end[1] = {0x80}, six[6] = {0x80, 0x80, 0x80, 0x80, 0x80, 1};
    const swg__cursor bad[4] = {{longer, longer + 2, false}, {wide, wide + 5, false}, {open_end, open_end + 1, false}, {six, six + 6, false}};
    for (int i = 0; i < 4; i++) {
        swg__cursor c = bad[i];
        assert_int_equal(swg__take_leb(&c), 0);
        assert_true(c.bad);
    }
    assert_int_equal(swg__bucket_for(0, 63), 0);
    assert_int_equal(swg__bucket_for(1.3862943611, 63), 20);
    assert_int_equal(swg__bucket_for(1e30, 63), 63);
}

/* The bucket is the one of least code length over all of them, as pricing every residual finds it: exactly below 28, within 1 % above. */
static void best_buckets(void **state) {
    (void)state;
    enum { MOST = 400 };
    uint64_t seed = 11;
    int64_t e[MOST];
    int8_t phase[MOST];
    for (int round = 0; round < 400; round++) {
        const int count = 1 + (int)(noise(&seed) % MOST), kind = round % 4, phases = round % 2 ? SWG__PHASES : 1, top = round % 3 ? 127 : 63;
        uint32_t histogram[SWG__HISTOGRAM(SWG__PHASES)] = {0};
        for (int i = 0; i < count; i++) {
            const int bits = kind == 0 ? 2 : kind == 1 ? 6 : kind == 2 ? 12 : (int)(noise(&seed) % 46);
            e[i] = (int64_t)(noise(&seed) & (((uint64_t)1 << bits) - 1)) * (noise(&seed) & 1 ? 1 : -1);
            e[i] = kind < 3 && noise(&seed) % 8 ? e[i] / 16 : e[i]; /* mostly zeros */
            phase[i] = (int8_t)(phases > 1 ? (int)(noise(&seed) % 17) - 8 : 0);
            swg__histogram_add(histogram, phases, phase[i], e[i], 3);
        }
        uint64_t cost[128], reported;
        int least = 0;
        for (int b = 0; b <= top; b++) {
            cost[b] = 0;
            for (int i = 0; i < count; i++)
                cost[b] += 3 * swg__residual_cost(b, phase[i], e[i]);
            least = cost[b] < cost[least] ? b : least;
        }
        const int best = swg__bucket_best(histogram, phases, top, &reported);
        assert_true(best >= 0 && best <= top);
        if (best < 28)
            assert_int_equal(reported, cost[best]);
        if ((double)cost[best] > (best < 28 && least < 28 ? 1.0 : 1.01) * (double)cost[least] + (kind == 3 ? 0.1 * (double)cost[least] : 0))
            fail_msg("round %d: bucket %d costs %llu, bucket %d %llu", round, best, (unsigned long long)cost[best], least, (unsigned long long)cost[least]);
    }
    const uint32_t none[SWG__HISTOGRAM(1)] = {0};
    assert_int_equal(swg__bucket_best(none, 1, 127, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_buckets),
        cmocka_unit_test_setup_teardown(tables, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(residuals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(rans_known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(random_streams, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(every_slot, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(malformed, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(small_numbers, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
