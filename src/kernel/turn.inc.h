/* turn.inc.h - a matrix transposed, VL x VL elements at a time in registers. Needs tile.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

static void turn(float *to, int64_t to_stride, const float *from, int64_t from_stride, int64_t rows, int64_t columns) {
    for (int64_t j = 0; j < columns; j += VL) /* so that what is written lies side by side in the inner loop of wide results */
        for (int64_t i = 0; i < rows; i += VL) {
            const float *source = from + j * from_stride + i;
            float *target = to + i * to_stride + j;
            const int64_t height = rows - i < VL ? rows - i : VL, width = columns - j < VL ? columns - j : VL;
            vf x[VL];
            if (height == VL && width == VL) {
                UNROLLED for (int k = 0; k < VL; k++)
                    x[k] = *(const vf *)(source + k * from_stride);
                transpose(x);
                UNROLLED for (int k = 0; k < VL; k++)
                    *(vf *)(target + k * to_stride) = x[k];
                continue;
            }
            for (int64_t k = 0; k < VL; k++)
                x[k] = k < width ? load_up_to(source + k * from_stride, height) : (vf){0};
            transpose(x);
            for (int64_t k = 0; k < height; k++)
                store_up_to(target + k * to_stride, x[k], width);
        }
}
