/* test_codes.c - proves: quantisation of single numbers gives the known answers of the specification: affine and symmetric codes with their ties, and
 * fp8 in both formats, encoded, decoded and without saturation; every fp8 code comes back as itself, and every number goes to the nearest.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "swage/quantise.h"

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void affine_ranges(void **state) {
    (void)state;
    static const struct { float low, high; int low_code, high_code; uint32_t scale; int zero; } table[] = {
        {-1, 2.5f, 0, 255, 0x3c60e0e1, 73},  {-4, -1, 0, 255, 0x3c808081, 255}, {-1, 2.5f, -128, 127, 0x3c60e0e1, -55},
        {0, 0, 0, 255, 0x34000000, 0},       {.3f, 6, 0, 255, 0x3cc0c0c1, 0},   {-1, 2.5f, 0, 127, 0x3ce1c387, 36},
        {-1, .5f, 0, 255, 0x3bc0c0c1, 170}, /* a third of 255: exact in f64 */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        swg_affine_code a = swg_affine_of(table[i].low, table[i].high, table[i].low_code, table[i].high_code);
        if (bits_of(a.scale) != table[i].scale || a.zero != table[i].zero)
            fail_msg("[%g, %g]: scale %08x zero %d, expected %08x and %d", (double)table[i].low, (double)table[i].high, bits_of(a.scale), a.zero,
                     table[i].scale, table[i].zero);
    }
}

static void affine_codes(void **state) {
    (void)state;
    static const struct { float x; int code; } s8[] = {{0, 3}, {.125f, 3}, {-.125f, 3}, {.13f, 4}, {.375f, 5}, {.625f, 5}, {-.375f, 1}, {1, 7},
                                                       {31, 127}, {31.2f, 127}, {-40, -128}, {NAN, 3}, {INFINITY, 127}, {-INFINITY, -128}},
               u8[] = {{-2, 0}, {-1, 0}, {-.5f, 37}, {0, 73}, {.1f, 80}, {1, 146}, {2.5f, 255}, {3, 255}};
    const swg_affine_code a = {.25f, 3}, b = {of_bits(0x3c60e0e1), 73};
    for (size_t i = 0; i < sizeof s8 / sizeof *s8; i++)
        if (swg_code_of(s8[i].x, a, -128, 127) != s8[i].code)
            fail_msg("%g: code %d, expected %d", (double)s8[i].x, swg_code_of(s8[i].x, a, -128, 127), s8[i].code);
    for (size_t i = 0; i < sizeof u8 / sizeof *u8; i++)
        if (swg_code_of(u8[i].x, b, 0, 255) != u8[i].code)
            fail_msg("%g: code %d, expected %d", (double)u8[i].x, swg_code_of(u8[i].x, b, 0, 255), u8[i].code);
    assert_true(swg_value_of_code(-128, a) == -32.75f);
    assert_true(swg_value_of_code(0, b) == -1.0019607543945312f);
    assert_true(swg_value_of_code(80, b) == 0.09607843309640884f);
}

static void symmetric_codes(void **state) {
    (void)state;
    static const float w[5] = {.8f, -.8f, .0031f, -.4f, .25f};
    static const int codes[5] = {127, -127, 0, -64, 40};
    const swg_affine_code a = {swg_symmetric_scale(.8f), 0};
    assert_int_equal(bits_of(a.scale), 0x3bce69a0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(swg_code_of(w[i], a, -127, 127), codes[i]);
    assert_true(swg_symmetric_scale(0) == 1 && swg_symmetric_scale(1e-44f) == 1);
}

typedef struct answer { float x; int saturated, plain; } answer;

static void check(const char *name, uint8_t (*encode)(float, bool), const answer *table, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int saturate = 0; saturate < 2; saturate++) {
            int got = encode(table[i].x, saturate), want = saturate ? table[i].saturated : table[i].plain;
            if (got != want)
                fail_msg("%s of %.9g%s: %02x, expected %02x", name, (double)table[i].x, saturate ? ", saturating" : "", got, want);
        }
}

static void fp8_answers(void **state) {
    (void)state;
    static const answer e4m3[] = {
        {0, 0x00, 0x00}, {-0.f, 0x80, 0x80}, {1, 0x38, 0x38}, {-1.5f, 0xbc, 0xbc}, {.3f, 0x2a, 0x2a}, {1.0625f, 0x38, 0x38}, {1.1875f, 0x3a, 0x3a},
        {3.14159274f, 0x45, 0x45}, {100, 0x6c, 0x6c}, {-240, 0xf7, 0xf7}, {448, 0x7e, 0x7e}, {460, 0x7e, 0x7e}, {464, 0x7e, 0x7e}, {464.25f, 0x7e, 0x7f},
        {480, 0x7e, 0x7f}, {1e6f, 0x7e, 0x7f}, {INFINITY, 0x7e, 0x7f}, {NAN, 0x7f, 0x7f}, {0x1p-6f, 0x08, 0x08}, {.0146484375f, 0x08, 0x08},
        {.006f, 0x03, 0x03}, {3 * 0x1p-10f, 0x02, 0x02}, {1.5f * 0x1p-10f, 0x01, 0x01}, {0x1p-9f, 0x01, 0x01}, {0x1p-10f, 0x00, 0x00}};
    static const answer e5m2[] = {
        {1, 0x3c, 0x3c}, {-1.25f, 0xbd, 0xbd}, {1.125f, 0x3c, 0x3c}, {1.375f, 0x3e, 0x3e}, {.3f, 0x35, 0x35}, {3.14159274f, 0x42, 0x42}, {100, 0x56, 0x56},
        {0x1p-14f, 0x04, 0x04}, {1e-5f, 0x01, 0x01}, {57344, 0x7b, 0x7b}, {60000, 0x7b, 0x7b}, {61440, 0x7b, 0x7c}, {61441, 0x7b, 0x7c}, {65536, 0x7b, 0x7c},
        {INFINITY, 0x7b, 0x7c}, {0x1p-16f, 0x01, 0x01}, {0x1p-17f, 0x00, 0x00}, {1.5f * 0x1p-16f, 0x02, 0x02}, {2.5f * 0x1p-16f, 0x02, 0x02}, {NAN, 0x7f, 0x7f}};
    check("E4M3", swg_e4m3_of, e4m3, sizeof e4m3 / sizeof *e4m3);
    check("E5M2", swg_e5m2_of, e5m2, sizeof e5m2 / sizeof *e5m2);
    assert_true(swg_e4m3_value(0x2a) == .3125f && swg_e4m3_value(0x45) == 3.25f && swg_e4m3_value(0x6c) == 96 && swg_e4m3_value(0xf7) == -240);
    assert_true(swg_e4m3_value(0x7e) == 448 && swg_e4m3_value(0x08) == 0x1p-6f && swg_e4m3_value(0x03) == 3 * 0x1p-9f);
    assert_true(swg_e5m2_value(0x7b) == 57344 && swg_e5m2_value(0x01) == 0x1p-16f && swg_e5m2_value(0x7c) == INFINITY && isnan(swg_e5m2_value(0x7d)));
}

/* Scales per channel, as weights have them. */
static void fp8_channels(void **state) {
    (void)state;
    static const float rows[2][3] = {{.8f, -.1f, .003f}, {12, -5, .7f}}, scales[2] = {.0017857142956927419f, .02678571455180645f},
                       back[2][3] = {{.8f, -.1f, .0029017857741564512f}, {12, -5.142857074737549f, .6964285969734192f}};
    static const int codes[2][3] = {{0x7e, 0xe6, 0x3d}, {0x7e, 0xf4, 0x5d}};
    for (int r = 0; r < 2; r++) {
        float scale = fabsf(rows[r][0]) / 448.f;
        assert_true(scale == scales[r]);
        for (int i = 0; i < 3; i++) {
            int code = swg_e4m3_of(rows[r][i] / scale, true);
            assert_int_equal(code, codes[r][i]);
            float value = scale * swg_e4m3_value((uint8_t)code);
            if (fabsf(value - back[r][i]) > 1e-7f * fabsf(value))
                fail_msg("row %d: %.9g back as %.9g, expected %.9g", r, (double)rows[r][i], (double)value, (double)back[r][i]);
        }
    }
}

/* All codes back to themselves; what lies halfway between two goes to the even one, and anything else to the nearer. */
static void fp8_everywhere(void **state) {
    (void)state;
    static const struct { uint8_t (*encode)(float, bool); float (*decode)(uint8_t); int most; } formats[] = {
        {swg_e4m3_of, swg_e4m3_value, 0x7e}, {swg_e5m2_of, swg_e5m2_value, 0x7b}};
    for (size_t f = 0; f < 2; f++)
        for (int code = 0; code <= formats[f].most; code++) {
            float x = formats[f].decode((uint8_t)code);
            assert_int_equal(formats[f].encode(x, true), code);
            assert_int_equal(formats[f].encode(-x, true), code | 0x80);
            if (code == formats[f].most)
                continue;
            float next = formats[f].decode((uint8_t)(code + 1)), half = x + (next - x) / 2;
            assert_true(next > x);
            assert_int_equal(formats[f].encode(half, true), code & 1 ? code + 1 : code);
            assert_int_equal(formats[f].encode(nextafterf(half, 0), true), code);
            assert_int_equal(formats[f].encode(nextafterf(half, 1e9f), true), code + 1);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(affine_ranges), cmocka_unit_test(affine_codes),  cmocka_unit_test(symmetric_codes),
        cmocka_unit_test(fp8_answers),   cmocka_unit_test(fp8_channels), cmocka_unit_test(fp8_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
