/* pack_bf16.inc.h - second operands in pairs along k: words of two brain floats, rounded from f32 or read as they are.
 * Needs tile.inc.h. What is missing of an odd k or a partial panel is zero.
 * SPDX-License-Identifier: Apache-2.0 */

enum { AHEAD = 8 }; /* steps along k whose weights are asked for early: 2 VL lines, each in a page of its own, are too many for the hardware to follow */

/* Rounded, in the lower and the upper halves of words. May make 0 of subnormals where a DOT does. */
#ifndef PAIR_ROUNDED
#define PAIR_ROUNDED(first, second) (rounded(first) | rounded(second) << 16)
#endif

/* VL elements, or fewer, as bits in words. */
INLINE vu read_bits(const bool bf16, const void *from, int64_t at) {
    return bf16 ? WIDEN(*(const vh *)((const h16 *)from + at)) : rounded(*(const vf *)((const float *)from + at));
}
INLINE vu read_bits_part(const bool bf16, const void *from, int64_t at, int64_t n) {
    return bf16 ? LOAD_HALF_PART((const h16 *)from + at, n) : rounded(LOAD_PART((const float *)from + at, n));
}
INLINE uint32_t read_one(bool bf16, const void *from, int64_t at) {
    return bf16 ? ((const h16 *)from)[at] : swg__bf16_of(((const float *)from)[at]);
}
INLINE vu read_pair(const bool bf16, const void *first, const void *second, int64_t at) {
    if (bf16)
        return read_bits(true, first, at) | read_bits(true, second, at) << 16;
    return PAIR_ROUNDED(*(const vf *)((const float *)first + at), *(const vf *)((const float *)second + at));
}
INLINE void store_words_part(uint32_t *to, vu x, int64_t n) { STORE_PART((float *)to, as_float(x), n); }

INLINE void pair_rows_of(const bool bf16, uint32_t *to, int64_t to_stride, const void *first, const void *second, int64_t step, int64_t rows,
                         int64_t columns) {
    int64_t whole = columns / VL * VL, rest = columns - whole;
    for (int64_t r = 0; r < rows; r++) {
        uint32_t *row = to + r * to_stride;
        for (int64_t j = 0; j < whole; j += VL) {
            *(vu *)(row + j) = second ? read_pair(bf16, first, second, r * step + j) : read_bits(bf16, first, r * step + j);
        }
        if (rest) {
            vu x = read_bits_part(bf16, first, r * step + whole, rest);
            if (second)
                x |= read_bits_part(bf16, second, r * step + whole, rest) << 16;
            store_words_part(row + whole, x, rest);
        }
    }
}

static void pair_rows(uint32_t *to, int64_t to_stride, const void *first, const void *second, bool bf16, int64_t step, int64_t rows,
                      int64_t columns) {
    if (bf16)
        pair_rows_of(true, to, to_stride, first, second, step, rows, columns);
    else
        pair_rows_of(false, to, to_stride, first, second, step, rows, columns);
}

/* VL columns whose k run through memory, from row i on while whole blocks last: turned in registers. Returns the row it came to. */
INLINE int64_t pack_turned(const bool bf16, uint32_t *to, int64_t ld, const void *from, int64_t column_stride, int64_t k) {
    int64_t i = 0;
    vf x[VL];
    if (bf16)
        for (; i + 2 * VL <= k; i += 2 * VL) { /* a word of memory is a pair */
            UNROLLED for (int j = 0; j < VL; j++)
                memcpy(&x[j], (const h16 *)from + j * column_stride + i, sizeof x[j]);
            transpose(x);
            UNROLLED for (int j = 0; j < VL; j++)
                *(vf *)(to + (i / 2 + j) * ld) = x[j];
        }
    else
        for (; VL > 1 && i + VL <= k; i += VL) {
            UNROLLED for (int j = 0; j < VL; j++)
                x[j] = *(const vf *)((const float *)from + j * column_stride + i);
            transpose(x);
            UNROLLED for (int j = 0; j + 1 < VL; j += 2)
                *(vu *)(to + (i + j) / 2 * ld) = PAIR_ROUNDED(x[j], x[j + 1]);
        }
    return i;
}

static void pack_bf16(uint32_t *packed, const void *b, bool bf16, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t p0,
                      int64_t p1) {
    int64_t depth = (k + 1) / 2, size = bf16 ? 2 : 4;
    for (int64_t p = p0; p < p1; p++) {
        int64_t width = n - p * NR < NR ? n - p * NR : NR, ld = width > VL ? NR : VL;
        const char *from = (const char *)b + p * NR * column_stride * size;
        uint32_t *to = packed + p * NR * depth;
        for (int64_t c0 = 0; c0 < ld; c0 += VL) {
            int64_t columns = width - c0 < VL ? width - c0 : VL, i = 0;
            const char *strip_of = from + c0 * column_stride * size;
            if (columns == VL && column_stride == 1) {
                pair_rows(to + c0, ld, strip_of, strip_of + row_stride * size, bf16, 2 * row_stride, k / 2, VL);
                i = k / 2 * 2;
            } else if (columns == VL && row_stride == 1) {
                i = bf16 ? pack_turned(true, to + c0, ld, strip_of, column_stride, k)
                         : pack_turned(false, to + c0, ld, strip_of, column_stride, k);
            }
            for (; i < k; i += 2)
                for (int64_t j = 0; j < VL; j++) {
                    int64_t at = i * row_stride + j * column_stride;
                    uint32_t low = j < columns ? read_one(bf16, strip_of, at) : 0;
                    uint32_t high = j < columns && i + 1 < k ? read_one(bf16, strip_of, at + row_stride) : 0;
                    to[i / 2 * ld + c0 + j] = low | high << 16;
                }
        }
    }
}

/* As pack_taps: a tap's rows, in pairs, follow each other; VL columns by up to VL taps at a time. */
INLINE void pack_taps_of(const bool bf16, uint32_t *packed, const void *w, const void *end, int64_t k_stride, int64_t n_stride, int64_t taps,
                         int64_t k, int64_t columns, bool reversed) {
    int64_t depth = (k + 1) / 2, ld = columns > VL ? NR : VL, step = reversed ? -depth * ld : depth * ld;
    int64_t size = bf16 ? 2 : 4, start = reversed ? (taps - 1) * depth * ld : 0, elements = ((const char *)end - (const char *)w) / size;
    for (int64_t c0 = 0; c0 < ld; c0 += VL)
        for (int64_t i = 0; i < k; i += 2)
            for (int64_t t0 = 0; t0 < taps; t0 += VL) {
                int64_t width = columns - c0 < VL ? columns - c0 : VL, count = taps - t0 < VL ? taps - t0 : VL;
                int64_t at = i * k_stride + c0 * n_stride + t0;
                uint32_t *to = packed + start + t0 * step + i / 2 * ld + c0;
                bool both = i + 1 < k;
                if (width == VL && elements - at - (both ? k_stride : 0) >= (VL - 1) * n_stride + VL) {
                    vf x[VL];
                    UNROLLED for (int j = 0; j < VL; j++) {
                        const char *one = (const char *)w + (at + j * n_stride) * size, *other = one + k_stride * size;
                        __builtin_prefetch(one + AHEAD * k_stride * size);
                        __builtin_prefetch(other + AHEAD * k_stride * size);
                        x[j] = as_float(both ? read_pair(bf16, one, other, 0) : read_bits(bf16, one, 0));
                    }
                    transpose(x);
                    for (int64_t t = 0; t < count; t++)
                        *(vf *)(to + t * step) = x[t];
                } else {
                    for (int64_t t = 0; t < count; t++)
                        for (int64_t j = 0; j < VL; j++) {
                            uint32_t low = j < width ? read_one(bf16, w, at + j * n_stride + t) : 0;
                            uint32_t high = j < width && both ? read_one(bf16, w, at + k_stride + j * n_stride + t) : 0;
                            to[t * step + j] = low | high << 16;
                        }
                }
            }
}

static void pack_taps_bf16(uint32_t *packed, const void *w, const void *end, bool bf16, int64_t k_stride, int64_t n_stride, int64_t taps,
                           int64_t k, int64_t columns, bool reversed) {
    if (bf16)
        pack_taps_of(true, packed, w, end, k_stride, n_stride, taps, k, columns, reversed);
    else
        pack_taps_of(false, packed, w, end, k_stride, n_stride, taps, k, columns, reversed);
}

static void round_bf16(swg__bf16 *out, const float *x, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        store_half(out + i, *(const vf *)(x + i));
    for (; i < n; i++)
        out[i] = swg__bf16_of(x[i]);
}
