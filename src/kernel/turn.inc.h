/* turn.inc.h - a matrix transposed, VL x VL elements at a time in registers. Needs tile.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

/* The element of every row at one column, or of every column at one row, in lanes; up to `n` of them. Halves lie in words. */
INLINE vf take_up_to(const bool half, const void *from, int64_t at, int64_t n) {
    if (half)
        return as_float(n == VL ? WIDEN(*(const vh *)((const h16 *)from + at)) : LOAD_HALF_PART((const h16 *)from + at, n));
    return load_up_to((const float *)from + at, n);
}
INLINE void put_up_to(const bool half, void *to, int64_t at, vf x, int64_t n) {
    vu bits;
    memcpy(&bits, &x, sizeof bits);
    if (half && n == VL)
        *(vh *)((h16 *)to + at) = NARROW(bits);
    else if (half)
        STORE_HALF_PART((h16 *)to + at, bits, n);
    else
        store_up_to((float *)to + at, x, n);
}

INLINE void turn_of(const bool half, void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, int64_t columns) {
    for (int64_t j = 0; j < columns; j += VL) /* so that what is written lies side by side in the inner loop of wide results */
        for (int64_t i = 0; i < rows; i += VL) {
            const int64_t source = j * from_stride + i, target = i * to_stride + j;
            const int64_t height = rows - i < VL ? rows - i : VL, width = columns - j < VL ? columns - j : VL;
            vf x[VL];
            if (height == VL && width == VL) {
                UNROLLED for (int k = 0; k < VL; k++)
                    x[k] = take_up_to(half, from, source + k * from_stride, VL);
                transpose(x);
                UNROLLED for (int k = 0; k < VL; k++)
                    put_up_to(half, to, target + k * to_stride, x[k], VL);
                continue;
            }
            for (int64_t k = 0; k < VL; k++)
                x[k] = k < width ? take_up_to(half, from, source + k * from_stride, height) : (vf){0};
            transpose(x);
            for (int64_t k = 0; k < height; k++)
                put_up_to(half, to, target + k * to_stride, x[k], width);
        }
}

static void turn(float *to, int64_t to_stride, const float *from, int64_t from_stride, int64_t rows, int64_t columns) {
    turn_of(false, to, to_stride, from, from_stride, rows, columns);
}
static void turn_bf16(swg__bf16 *to, int64_t to_stride, const swg__bf16 *from, int64_t from_stride, int64_t rows, int64_t columns) {
    turn_of(true, to, to_stride, from, from_stride, rows, columns);
}
