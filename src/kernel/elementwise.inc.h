/* elementwise.inc.h - element-wise operations on runs of f32, sums with fixed lanes, sorting networks.
 * SPDX-License-Identifier: Apache-2.0 */

/* `out` may be one of the inputs, element for element; there is no other overlap. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define EW(id, expr)                                                                                                    \
    static void ew_##id(float *out, const float *a, const float *b, const float *c, int64_t n, float f0, float f1) { \
        (void)a, (void)b, (void)c, (void)f0, (void)f1;                                                                  \
        INDEPENDENT for (int64_t i = 0; i < n; i++) {                                                                   \
            float x = a[i];                                                                                             \
            (void)x;                                                                                                    \
            out[i] = (expr);                                                                                            \
        }                                                                                                               \
    }
#include "kernel/elementwise.def"
#undef EW

/* 64 lanes whatever the vector length: the sum's tree depends on n alone. */
enum { LANES = 64 };

#define SUM_OF(name, term)                                    \
    static double name(const float *x, int64_t n) {           \
        float lane[LANES] = {0};                              \
        int64_t i = 0;                                        \
        for (; i + LANES <= n; i += LANES)                    \
            for (int j = 0; j < LANES; j++)                   \
                lane[j] += term(x[i + j]);                    \
        for (int64_t j = 0; i + j < n; j++)                   \
            lane[j] += term(x[i + j]);                        \
        double total = 0;                                     \
        for (int j = 0; j < LANES; j++)                       \
            total += (double)lane[j];                         \
        return total;                                         \
    }
#define ITSELF(v) (v)
#define SQUARED(v) ((v) * (v))
SUM_OF(sum, ITSELF)
SUM_OF(sum_squares, SQUARED)

/* Sums of `columns` neighbouring columns over all rows: eight partial sums by row number, added pairwise. */
static void column_sum(float *out, const float *x, int64_t rows, int64_t stride, int64_t columns, float scale) {
    enum { PART = 8, WIDTH = 32 };
    for (int64_t c = 0; c < columns; c += WIDTH) {
        float part[PART][WIDTH] = {{0}};
        int64_t width = columns - c < WIDTH ? columns - c : WIDTH;
        const float *from = x + c;
        if (width == WIDTH) {
            for (int64_t r = 0; r < rows; r++) {
                float *to = part[r % PART];
                for (int j = 0; j < WIDTH; j++)
                    to[j] += from[r * stride + j];
            }
        } else {
            for (int64_t r = 0; r < rows; r++)
                for (int64_t j = 0; j < width; j++)
                    part[r % PART][j] += from[r * stride + j];
        }
        for (int64_t j = 0; j < width; j++)
            out[c + j] = scale * (((part[0][j] + part[1][j]) + (part[2][j] + part[3][j])) +
                                  ((part[4][j] + part[5][j]) + (part[6][j] + part[7][j])));
    }
}

/* Batcher's odd-even merge sort of eight interleaved columns; comparators beyond n are those with +infinity. A run of k
 * comparators never straddles a boundary of 2 p, so whole runs are done or left out. */
typedef int64_t eight_keys __attribute__((vector_size(64), aligned(8), may_alias));

static void sort_network(int64_t *keys, int64_t n) {
    for (int64_t p = 1; p < n; p *= 2)
        for (int64_t k = p; k >= 1; k /= 2)
            for (int64_t j = k % p; j + k < n; j += 2 * k) {
                if (k < p && ((j + k) & (2 * p - 1)) == 0)
                    continue;
                int64_t end = n - j - k < k ? n - k : j + k;
                for (int64_t i = j; i < end; i++) {
                    eight_keys *low = (eight_keys *)(keys + 8 * i), *high = (eight_keys *)(keys + 8 * (i + k)), a = *low, b = *high;
                    eight_keys less = a < b;
                    *low = (a & less) | (b & ~less);
                    *high = (b & less) | (a & ~less);
                }
            }
}
