/* test_vecmath.c - proves: the vector logarithm and exponential are within one unit in the last place of the C library's, give the same bits
 * with every instruction set, and treat infinities and NaN as they should.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include "data/vecmath.h"
#include "testing.h"

enum { COUNT = 20000 };

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double unit(uint64_t *state) { return (double)(next_random(state) >> 11) * 0x1p-53; }

static void assert_ulp(double got, double want, double at, const char *what) {
    if (got == want)
        return;
    double gap = fabs(got - want), ulp = fmax(fabs(nextafter(want, INFINITY) - want), DBL_TRUE_MIN);
    if (!(gap <= ulp))
        fail_msg("%s(%.17g) = %.17g, expected %.17g", what, at, got, want);
}

static void levels_agree(bool logarithm, const double *x, const double *y) {
    static double other[COUNT];
    const char *isa;
    swg_context *ctx;
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    isa = swg_context_isa(ctx);
    int most = (int)swg__vec_of(isa);
    for (int level = SWG__VEC_PLAIN; level <= most; level++) {
        (logarithm ? swg__vec_log : swg__vec_exp)((swg__vec)level, x, 0, 1, 0, COUNT, other);
        assert_memory_equal(other, y, sizeof other);
    }
    swg_context_close(ctx);
}

static void test_log(void **state) {
    (void)state;
    static double x[COUNT], y[COUNT];
    uint64_t seed = 1;
    for (int i = 0; i < COUNT; i++)
        x[i] = i % 3 == 0 ? 1 + (unit(&seed) - .5) * 1e-3 : ldexp(1 + unit(&seed), (int)(next_random(&seed) % (i % 2 ? 40 : 2000)) - (i % 2 ? 20 : 1000));
    x[0] = 1;
    x[1] = DBL_MAX;
    x[2] = DBL_MIN;
    x[3] = sqrt(.5);
    x[4] = sqrt(2);
    swg__vec_log(SWG__VEC_PLAIN, x, 0, 1, 0, COUNT, y);
    for (int i = 0; i < COUNT; i++)
        assert_ulp(y[i], log(x[i]), x[i], "log");
    assert_true(y[0] == 0);
    levels_agree(true, x, y);
    const double odd[2] = {INFINITY, NAN};
    double out[2];
    swg__vec_log(SWG__VEC_PLAIN, odd, 0, 1, 0, 2, out);
    assert_true(isinf(out[0]) && out[0] > 0 && isnan(out[1]));
    swg__vec_log(SWG__VEC_PLAIN, (double[]){3}, 1, 2, 1e-6, 1, out);
    assert_ulp(out[0], log(4 + 1e-6), 3, "log of the affine");
}

static void test_exp(void **state) {
    (void)state;
    static double x[COUNT], y[COUNT];
    uint64_t seed = 2;
    for (int i = 0; i < COUNT; i++)
        x[i] = i % 2 ? (unit(&seed) - .5) * 40 : (unit(&seed) - .5) * 1400;
    x[0] = 0;
    x[1] = 709.7;
    x[2] = -708;
    x[3] = 1e-300;
    swg__vec_exp(SWG__VEC_PLAIN, x, 0, 1, 0, COUNT, y);
    for (int i = 0; i < COUNT; i++)
        assert_ulp(y[i], exp(x[i]), x[i], "exp");
    assert_true(y[0] == 1);
    levels_agree(false, x, y);
    const double odd[6] = {INFINITY, -INFINITY, NAN, 710, -746, 1e308};
    double out[6];
    swg__vec_exp(SWG__VEC_PLAIN, odd, 0, 1, 0, 6, out);
    assert_true(isinf(out[0]) && out[0] > 0);
    assert_true(out[1] == 0);
    assert_true(isnan(out[2]));
    assert_true(isinf(out[3]) && out[4] == 0 && isinf(out[5]));
}

/* The pair as the normaliser uses it: back within rounding. */
static void test_back(void **state) {
    (void)state;
    const double x[4] = {0.775, 0.9, 1, 1.42}, want[4] = {-13.8155105580, -2.07943354171, -1.49165043234, -0.438503411800};
    double y[4], back[4];
    swg__vec_log(SWG__VEC_PLAIN, x, .775, 1, 1e-6, 4, y);
    swg__vec_exp(SWG__VEC_PLAIN, y, .775, 1, 1e-6, 4, back);
    for (int i = 0; i < 4; i++) {
        assert_close(y[i], want[i], 0, 1e-11);
        assert_close(back[i], x[i], 1e-15, 0);
    }
}

/* Every instruction set the machine may be given has its level, the ones with a suffix too. */
static void test_levels(void **state) {
    (void)state;
    assert_int_equal(swg__vec_of("scalar"), SWG__VEC_PLAIN);
    assert_int_equal(swg__vec_of("sse2"), SWG__VEC_PLAIN);
    assert_int_equal(swg__vec_of("avx2"), SWG__VEC_AVX2);
    assert_int_equal(swg__vec_of("avx512"), SWG__VEC_AVX512);
    assert_int_equal(swg__vec_of("avx512_bf16"), SWG__VEC_AVX512);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_log), cmocka_unit_test(test_exp), cmocka_unit_test(test_back),
                                       cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
