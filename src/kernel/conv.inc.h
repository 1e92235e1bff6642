/* conv.inc.h - packing of a convolution's weights, whose taps lie next to each other in memory, into one block of rows per tap.
 * Needs tile.inc.h.
 * SPDX-License-Identifier: Apache-2.0 */

/* VL columns by up to VL taps at a time: read along the taps, turned in registers, written along the columns. */
static void pack_taps(float *packed, const float *w, const float *end, int64_t k_stride, int64_t n_stride, int64_t taps, int64_t k,
                      int64_t columns, bool reversed) {
    int64_t ld = columns > VL ? NR : VL, step = reversed ? -k * ld : k * ld, start = reversed ? (taps - 1) * k * ld : 0;
    for (int64_t c0 = 0; c0 < ld; c0 += VL)
        for (int64_t i = 0; i < k; i++)
            for (int64_t t0 = 0; t0 < taps; t0 += VL) {
                int64_t width = columns - c0 < VL ? columns - c0 : VL, count = taps - t0 < VL ? taps - t0 : VL;
                const float *from = w + i * k_stride + c0 * n_stride + t0;
                float *to = packed + start + t0 * step + i * ld + c0;
                if (width == VL && end - from >= (VL - 1) * n_stride + VL) {
                    vf x[VL];
                    UNROLLED for (int j = 0; j < VL; j++)
                        x[j] = *(const vf *)(from + j * n_stride);
                    transpose(x);
                    for (int64_t t = 0; t < count; t++)
                        *(vf *)(to + t * step) = x[t];
                } else {
                    for (int64_t t = 0; t < count; t++)
                        for (int64_t j = 0; j < VL; j++)
                            to[t * step + j] = j < width ? from[j * n_stride + t] : 0;
                }
            }
}
