/* powers.c - powers of two by table and integer product, the same on every machine; the index of a value on that grid.
 * In: k, h. Out: f64. Largest relative error of a power: 2.0e-16.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "powers.h"

/* (a * b) >> shift of a 128-bit product, shift 1..63; the result fits 64 bits. */
static uint64_t product(uint64_t a, uint64_t b, int shift) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)a * b >> shift);
#else
    uint64_t a0 = a & 0xFFFFFFFF, a1 = a >> 32, b0 = b & 0xFFFFFFFF, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (middle & 0xFFFFFFFF);
    uint64_t high = a1 * b1 + (middle >> 32) + (other >> 32);
    return high << (64 - shift) | (other << 32 | (low & 0xFFFFFFFF)) >> shift;
#endif
}

uint64_t swg__power_step(double p) { return (uint64_t)(0x1p40 * ((log1p(p) - log1p(-p)) / 0x1.62e42fefa39efp-1) * (1 - 0x1p-20)); }

double swg__power(uint64_t h, int64_t k) {
    static const uint64_t ln2 = 0x2c5c85fdf473de6a; /* floor(2^62 ln 2) */
    int64_t t = k * (int64_t)h, exponent = t >> 40;
    uint64_t f = (uint64_t)t & (((uint64_t)1 << 40) - 1);
    uint64_t g = product(ln2, f & 0xFFFFFF, 40); /* e^x = 1 + x + x^2 / 2 for x < 2^-16 */
    uint64_t m = product(product(swg__power_coarse[f >> 32], swg__power_fine[f >> 24 & 255], 62), ((uint64_t)1 << 62) + g + product(g, g, 63), 62);
    uint64_t rounded = (m >> 10) + ((m & 1023) > 512 || ((m & 1023) == 512 && (m >> 10 & 1)));
    exponent += 1023;
    if (exponent < 1)
        return 0;
    if (exponent > 2046)
        return INFINITY;
    uint64_t bits = ((uint64_t)(exponent - 1) << 52) + rounded; /* the leading bit of `rounded` adds 1 to the exponent */
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool swg__power_find(const swg__grid *grid, double x, int64_t *k, double *ratio) {
    static const int order[3] = {0, 1, -1};
    const double size = fabs(x), least = grid->type == SWG_ELEMENT_F32 ? (double)FLT_MIN : DBL_MIN;
    const int64_t guess = (int64_t)rint(log2(size) * 0x1p40 / (double)grid->pw_h);
    for (int i = 0; i < 3; i++) {
        double value = swg__power(grid->pw_h, guess + order[i]);
        value = grid->type == SWG_ELEMENT_F32 ? (double)(float)value : value;
        if (value >= least && isfinite(value) && swg__accept_relative(value, size, grid->eb)) {
            *k = guess + order[i];
            *ratio = fabs(value - size) / (grid->eb * size);
            return true;
        }
    }
    return false;
}
