/* gram.inc.h - products of rows with rows in f64, for least squares.
 * SPDX-License-Identifier: Apache-2.0 */

enum { GRAM_LANES = VL > 2 ? VL / 2 : 1, GRAM_ROWS = VL == 16 ? 4 : 2, GRAM_COLUMNS = 4 };
#if VL == 1
typedef double gram_vector;
#define GRAM_LANE(x, i) (x)
#else
typedef double gram_vector __attribute__((vector_size(VL * 4), aligned(8), may_alias));
#define GRAM_LANE(x, i) (x)[i]
#endif

INLINE double gram_sum(gram_vector x) {
    double sum = 0;
    for (int i = 0; i < GRAM_LANES; i++)
        sum += GRAM_LANE(x, i);
    return sum;
}

/* rows x columns of c lose x y'. */
INLINE void gram_tile(double *c, const double *x, const double *y, int64_t stride, int64_t k, const int rows, const int columns) {
    gram_vector sums[GRAM_ROWS * GRAM_COLUMNS];
    UNROLLED for (int i = 0; i < rows * columns; i++)
        sums[i] = (gram_vector){0};
    for (int64_t i = 0; i < k; i += GRAM_LANES) {
        UNROLLED for (int s = 0; s < columns; s++) {
            const gram_vector b = *(const gram_vector *)(y + s * stride + i);
            UNROLLED for (int r = 0; r < rows; r++)
                sums[r * columns + s] += *(const gram_vector *)(x + r * stride + i) * b;
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int s = 0; s < columns; s++)
            c[r * stride + s] -= gram_sum(sums[r * columns + s]);
}

/* c (rows, columns) -= x (rows, k) y (columns, k)'; all rows `stride` apart; k a multiple of 8. */
static void take_products(double *c, const double *x, const double *y, int64_t stride, int64_t rows, int64_t columns, int64_t k) {
    for (int64_t j = 0; j < columns; j += GRAM_COLUMNS)
        for (int64_t i = 0; i < rows; i += GRAM_ROWS)
            if (i + GRAM_ROWS <= rows && j + GRAM_COLUMNS <= columns) {
                gram_tile(c + i * stride + j, x + i * stride, y + j * stride, stride, k, GRAM_ROWS, GRAM_COLUMNS);
            } else {
                for (int64_t r = i; r < i + GRAM_ROWS && r < rows; r++)
                    for (int64_t s = j; s < j + GRAM_COLUMNS && s < columns; s++)
                        gram_tile(c + r * stride + s, x + r * stride, y + s * stride, stride, k, 1, 1);
            }
}
