/* vmath.inc.h - f32 functions without branches, so that the compiler runs them in vectors. No libm: the same source
 * gives the same method on every machine. Relative errors below 3e-7 over the whole range (test_elementwise).
 * SPDX-License-Identifier: Apache-2.0 */

#define FN static inline __attribute__((always_inline)) float

static inline __attribute__((always_inline)) uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
FN float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* 2^n for |n| <= 252, as two factors so that subnormal results round correctly. */
FN scale2(float x, int32_t n) {
    int32_t half = n >> 1, rest = n - half;
    return x * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(rest + 127) << 23);
}

/* exp(y) = 2^k (1 + q) for -104 <= y <= 89; returns q. */
FN exp_reduced(float y, int32_t *k) {
    float n = y * 1.44269504f + 12582912.f; /* 1.5 * 2^23: rounds to the nearest integer */
    *k = (int32_t)(bits_of(n) - 0x4B400000u);
    n -= 12582912.f;
    float r = y - n * 0.693359375f;
    r += n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * r * r + r;
}

FN fn_exp(float x) {
    int32_t k;
    float q = exp_reduced(x < -104.f ? -104.f : x > 89.f ? 89.f : x, &k), e = scale2(q + 1.f, k);
    return x != x ? x : e;
}

/* alpha (exp(x) - 1) for x <= 0, x above: the 1 is taken from 2^k, which loses nothing near 0. */
FN fn_elu(float x, float alpha) {
    int32_t k;
    float q = exp_reduced(x < -104.f ? -104.f : x > 0.f ? 0.f : x, &k), e = scale2(q, k) + (scale2(1.f, k) - 1.f);
    return x > 0.f || x != x ? x : alpha * e;
}

/* Natural logarithm (method of fdlibm): x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt 2. */
FN fn_log(float x) {
    float y = x < 1.17549435e-38f ? x * 8388608.f : x;
    uint32_t u = bits_of(y) + (0x3f800000u - 0x3f3504f3u);
    float k = (float)((int32_t)(u >> 23) - 127) - (x < 1.17549435e-38f ? 23.f : 0.f);
    float f = float_of((u & 0x007fffffu) + 0x3f3504f3u) - 1.f;
    float s = f / (2.f + f), z = s * s, w = z * z;
    float r = z * (0.66666662693f + w * 0.28498786688f) + w * (0.40000972152f + w * 0.24279078841f);
    float h = 0.5f * f * f;
    float y1 = s * (h + r) + k * 9.0580006145e-6f - h + f + k * 6.9313812256e-1f;
    y1 = x == 0.f ? -__builtin_inff() : y1;
    y1 = x < 0.f ? __builtin_nanf("") : y1;
    return x != x || x == __builtin_inff() ? x : y1;
}

FN fn_log1p(float x) {
    float u = 1.f + x, l = fn_log(u), c = (x - (u - 1.f)) / u;
    float y = l + c;
    y = u == 1.f ? x : y;
    return u == __builtin_inff() || x <= -1.f ? l : y;
}

FN fn_tanh(float x) {
    float a = __builtin_fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = x + x * z * p, e = fn_exp(-2.f * a);
    float large = __builtin_copysignf((1.f - e) / (1.f + e), x);
    return a < 0.625f ? small : large;
}

/* To the nearest bf16, ties to even; NaN stays NaN. */
FN fn_narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u, quiet = (bits & 0xffff0000u) | 0x400000u;
    bits = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
    memcpy(&x, &bits, sizeof x);
    return x;
}

FN fn_sigmoid(float x) { return 1.f / (1.f + fn_exp(-x)); }

FN fn_softplus(float x) { return (x > 0.f ? x : 0.f) + fn_log1p(fn_exp(-__builtin_fabsf(x))); }

/* Tail of the normal distribution at a >= 0, divided by exp(-a^2 / 2): tools/fit_normal_cdf.py, relative error 5.9e-8. */
FN normal_tail(float a) {
    float t = 1.f / (1.f + 0.3f * a);
    float q = 3.8383257315e-02f;
    q = q * t + -1.6918758619e-01f;
    q = q * t + 2.2869900462e-01f;
    q = q * t + -7.6544928442e-02f;
    q = q * t + 1.4255804828e-01f;
    q = q * t + 9.4675555604e-02f;
    q = q * t + 1.2192199487e-01f;
    q = q * t + 1.1948750615e-01f;
    return q * t + 7.1770893559e-06f;
}

/* exp(-x^2 / 2), 0 beyond 13.25. The rounding of the square would cost 4e-6 in the tail: where there is a fused multiply-add the reduced
 * argument is made of the exact product, else of the square in two parts. */
FN half_gauss(float x) {
    float a = __builtin_fabsf(x);
    a = a < 13.27f ? a : 13.27f; /* 2^-127, taken as 0; so is NaN, which callers multiply by x again */
    float n = -0.72134752f * a * a + 12582912.f; /* 1.5 * 2^23: rounds to the nearest integer */
    uint32_t k = bits_of(n) - (0x4B400000u - 127u);
    n -= 12582912.f;
#ifdef __FMA__
    float r = __builtin_fmaf(-0.5f * a, a, -0.693359375f * n);
#else
    float high = float_of(bits_of(a) & 0xfffff000u), low = a - high;
    float r = (-0.5f * high * high - 0.693359375f * n) - 0.5f * low * (a + high);
#endif
    r += n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (p * (r * r) + r + 1.f) * float_of(k << 23);
}

FN fn_gelu(float x) {
    float tail = half_gauss(x) * normal_tail(__builtin_fabsf(x));
    return x * (x < 0.f ? tail : 1.f - tail);
}

/* d/dx of x Phi(x) = Phi(x) + x phi(x). */
FN fn_dgelu(float x) {
    float gauss = half_gauss(x), tail = gauss * normal_tail(__builtin_fabsf(x));
    return (x < 0.f ? tail : 1.f - tail) + x * gauss * 0.398942280f;
}
