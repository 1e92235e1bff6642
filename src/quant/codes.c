/* codes.c - single numbers to and from 8 bits, as specified bit by bit: the truth that kernels are compared with.
 * In: f32. Out: codes, or what they stand for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
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

swg_affine_code swg_affine_of(float low, float high, int32_t low_code, int32_t high_code) {
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
    float scale = (float)(((double)high - (double)low) / (high_code - low_code));
    scale = scale >= 0x1p-23f ? scale : 0x1p-23f;
    double zero = low_code - rint((double)low / (double)scale);
    zero = zero < low_code ? low_code : zero > high_code ? high_code : zero;
    return (swg_affine_code){scale, (int32_t)zero};
}

float swg_symmetric_scale(float most) {
    float scale = most / 127.f;
    return scale > 0 ? scale : 1.f; /* of 0, and of what is too small to be divided */
}

float swg_value_of_code(int32_t code, swg_affine_code a) { return a.scale * (float)(code - a.zero); }

int32_t swg_code_of(float x, swg_affine_code a, int32_t low_code, int32_t high_code) {
    float q = rintf(x / a.scale);
    if (isnan(q))
        return a.zero;
    float room = 1024; /* more than any code: clamped before it is an integer */
    q = q < -room ? -room : q > room ? room : q;
    int32_t code = (int32_t)q + a.zero;
    return code < low_code ? low_code : code > high_code ? high_code : code;
}

/* ---- fp8: both formats by the same steps (OCP 8-bit floating point) ---- */

typedef struct format {
    uint32_t overflow;          /* f32 bits from which on it is too large */
    uint8_t largest, beyond;    /* codes: largest number; what overflow gives when not saturating */
    uint32_t least_normal;      /* f32 bits */
    uint32_t step;              /* f32 bits of a number whose ulp is the subnormal step */
    int exponent_shift, dropped; /* exponents differ by so much; fraction bits that are dropped */
} format;
static const format e4m3 = {0x43f00000, 0x7e, 0x7f, 0x3c800000, 0x46800000, 120, 20}, e5m2 = {0x47800000, 0x7b, 0x7c, 0x38800000, 0x43000000, 112, 21};

static uint8_t encode(const format *f, float x, bool saturate) {
    uint32_t bits = bits_of(x), a = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
    if (a > 0x7f800000)
        return (uint8_t)(sign | 0x7f);
    if (a >= f->overflow)
        return (uint8_t)(sign | (saturate ? f->largest : f->beyond));
    if (a < f->least_normal)
        return (uint8_t)(sign | (bits_of(of_bits(a) + of_bits(f->step)) - f->step));
    uint32_t odd = a >> f->dropped & 1, half = (1u << (f->dropped - 1)) - 1, code = (a - ((uint32_t)f->exponent_shift << 23) + half + odd) >> f->dropped;
    if (code > f->largest)
        code = saturate ? f->largest : f->beyond;
    return (uint8_t)(sign | code);
}

/* The exponent of a subnormal code is that of its step. */
static float decode(uint8_t code, int fraction_bits, int bias) {
    int exponent = (code & 0x7f) >> fraction_bits, fraction = code & ((1 << fraction_bits) - 1);
    float magnitude = exponent ? ldexpf((float)(fraction | 1 << fraction_bits), exponent - bias - fraction_bits) : ldexpf((float)fraction, 1 - bias - fraction_bits);
    return code & 0x80 ? -magnitude : magnitude;
}

uint8_t swg_e4m3_of(float x, bool saturate) { return encode(&e4m3, x, saturate); }
uint8_t swg_e5m2_of(float x, bool saturate) { return encode(&e5m2, x, saturate); }
float swg_e4m3_value(uint8_t code) { return (code & 0x7f) == 0x7f ? NAN : decode(code, 3, 7); }
float swg_e5m2_value(uint8_t code) {
    int magnitude = code & 0x7f;
    return magnitude > 0x7c ? NAN : magnitude == 0x7c ? (code & 0x80 ? -INFINITY : INFINITY) : decode(code, 2, 15);
}

const char *swg_code_name(swg_code code) {
    static const char *const names[] = {"none", "u8", "s8", "e4m3", "e5m2"};
    return names[code];
}
