/* vecmath.c - fdlibm's logarithm and exponential (Sun Microsystems 1993, freely distributable), written so that compilers turn the loops into vector
 * instructions: no branches, no tables. No contraction to FMA, so every instruction set gives the same bits.
 * In: f64. Out: f64.
 * SPDX-License-Identifier: Apache-2.0 */
#include "vecmath.h"
#include <float.h>
#include <string.h>

static inline __attribute__((always_inline)) uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline __attribute__((always_inline)) double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^52 + 2^51: adding it leaves the integer part of a small number in the low bits. */
static const double MAGIC = 0x1.8p52;
static const double LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10;

static inline __attribute__((always_inline)) double log_of(double x) {
    /* x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2) */
    uint64_t bits = bits_of(x), shifted = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    double k = of_bits((shifted >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
    double f = of_bits((shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1;
    double s = f / (2 + f), z = s * s, w = z * z, half = 0.5 * f * f;
    double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double odd = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double y = k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f);
    return x <= DBL_MAX ? y : x;
}

static inline __attribute__((always_inline)) double exp_of(double x) {
    double limited = x > 800 ? 800 : x < -800 ? -800 : x;
    double rounded = limited * 1.44269504088896338700e+00 + MAGIC, k = rounded - MAGIC;
    double high = limited - k * LN2_HIGH, low = k * LN2_LOW, r = high - low, t = r * r;
    double c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * (6.61375632143793436117e-05 +
                   t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    double y = 1 - ((low - (r * c) / (2 - c)) - high);
    /* 2^k in two factors, each of which is a normal number. */
    uint64_t whole = bits_of(rounded) - bits_of(MAGIC), biased = whole + 4096, half = (biased >> 1) - 2048, rest = whole - half;
    return y * of_bits((half + 1023) << 52) * of_bits((rest + 1023) << 52);
}

static inline __attribute__((always_inline)) void log_loop(const double *restrict x, double offset, double scale, double shift, int64_t count,
                                                           double *restrict y) {
    for (int64_t i = 0; i < count; i++)
        y[i] = log_of((x[i] - offset) * scale + shift);
}

static inline __attribute__((always_inline)) void exp_loop(const double *restrict y, double offset, double scale, double shift, int64_t count,
                                                           double *restrict x) {
    for (int64_t i = 0; i < count; i++)
        x[i] = (exp_of(y[i]) - shift) / scale + offset;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define VARIANTS(name)                                                                                                                          \
    static __attribute__((target("avx2"))) void name##_avx2(const double *restrict a, double o, double s, double p, int64_t n, double *restrict b) {        \
        name##_loop(a, o, s, p, n, b);                                                                                                          \
    }                                                                                                                                           \
    static __attribute__((target("avx512f,avx512dq"))) void name##_avx512(const double *restrict a, double o, double s, double p, int64_t n,    \
                                                                          double *restrict b) {                                                          \
        name##_loop(a, o, s, p, n, b);                                                                                                          \
    }                                                                                                                                           \
    void swg__vec_##name(swg__vec level, const double *a, double o, double s, double p, int64_t n, double *b) {                                 \
        if (level == SWG__VEC_AVX512)                                                                                                           \
            name##_avx512(a, o, s, p, n, b);                                                                                                    \
        else if (level == SWG__VEC_AVX2)                                                                                                        \
            name##_avx2(a, o, s, p, n, b);                                                                                                      \
        else                                                                                                                                    \
            name##_loop(a, o, s, p, n, b);                                                                                                      \
    }
#else
#define VARIANTS(name)                                                                                                  \
    void swg__vec_##name(swg__vec level, const double *a, double o, double s, double p, int64_t n, double *b) {         \
        (void)level;                                                                                                    \
        name##_loop(a, o, s, p, n, b);                                                                                  \
    }
#endif
VARIANTS(log)
VARIANTS(exp)

swg__vec swg__vec_of(const char *isa) {
    return strncmp(isa, "avx512", 6) == 0 ? SWG__VEC_AVX512 : strcmp(isa, "avx2") == 0 ? SWG__VEC_AVX2 : SWG__VEC_PLAIN;
}
