/* norm.inc.h - sums for statistics and gradients of normalisations: along runs with 64 fixed lanes, and by columns.
 * SPDX-License-Identifier: Apache-2.0 */

static void run_moments(const float *x, int64_t n, float shift, double out[2]) {
    float first[LANES] = {0}, second[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float d = x[i + j] - shift;
            first[j] += d;
            second[j] += d * d;
        }
    for (int64_t j = 0; i + j < n; j++) {
        float d = x[i + j] - shift;
        first[j] += d;
        second[j] += d * d;
    }
    out[0] = out[1] = 0;
    for (int j = 0; j < LANES; j++) {
        out[0] += (double)first[j];
        out[1] += (double)second[j];
    }
}

static void run_products(const float *dy, const float *x, const float *w, int64_t n, float mean, float rstd, double out[2]) {
    float first[LANES] = {0}, second[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        if (w)
            for (int j = 0; j < LANES; j++) {
                float d = dy[i + j] * w[i + j];
                first[j] += d;
                second[j] += d * (x[i + j] - mean);
            }
        else
            for (int j = 0; j < LANES; j++) {
                first[j] += dy[i + j];
                second[j] += dy[i + j] * (x[i + j] - mean);
            }
    for (int64_t j = 0; i + j < n; j++) {
        float d = w ? dy[i + j] * w[i + j] : dy[i + j];
        first[j] += d;
        second[j] += d * (x[i + j] - mean);
    }
    out[0] = out[1] = 0;
    for (int j = 0; j < LANES; j++) {
        out[0] += (double)first[j];
        out[1] += (double)second[j];
    }
    out[1] *= (double)rstd;
}

static void add_scaled(float *restrict to, const float *restrict x, float scale, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        to[i] += scale * x[i];
}

/* Columns four vectors at a time, so that no sum waits for the one before; then one by one. */
enum { NORM_VECTORS = 4 };

/* The second pass over the block finds it in the first cache: callers give a few hundred rows. */
INLINE void moments_of_columns(const int vectors, float *mean, float *squares, const float *x, int64_t rows, int64_t stride, int64_t width) {
    vf shift[NORM_VECTORS], first[NORM_VECTORS], second[NORM_VECTORS];
    for (int j = 0; j < vectors; j++)
        shift[j] = first[j] = second[j] = (vf){0};
    for (int64_t r = 0; r < rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++)
            shift[j] += load_up_to(x + r * stride + j * VL, width);
    for (int j = 0; j < vectors; j++)
        shift[j] /= (float)rows;
    for (int64_t r = 0; r < rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++) {
            vf d = load_up_to(x + r * stride + j * VL, width) - shift[j];
            first[j] += d;
            second[j] += d * d;
        }
    for (int j = 0; j < vectors; j++) {
        store_up_to(mean + j * VL, shift[j] + first[j] / (float)rows, width);
        store_up_to(squares + j * VL, second[j] - first[j] * first[j] / (float)rows, width);
    }
}

static void column_moments(float *mean, float *squares, const float *x, int64_t rows, int64_t stride, int64_t columns) {
    int64_t c = 0;
    for (; c + NORM_VECTORS * VL <= columns; c += NORM_VECTORS * VL)
        moments_of_columns(NORM_VECTORS, mean + c, squares + c, x + c, rows, stride, VL);
    for (; c < columns; c += VL)
        moments_of_columns(1, mean + c, squares + c, x + c, rows, stride, columns - c);
}

INLINE void products_of_columns(const int vectors, const bool by_row, float *first, float *second, const float *dy, const float *x,
                                const float *mean, const float *rstd, int64_t rows, int64_t stride, int64_t width) {
    vf a[NORM_VECTORS], b[NORM_VECTORS], shift[NORM_VECTORS], scale[NORM_VECTORS];
    for (int j = 0; j < vectors; j++) {
        a[j] = b[j] = shift[j] = scale[j] = (vf){0};
        if (!by_row) {
            shift[j] = load_up_to(mean + j * VL, width);
            scale[j] = load_up_to(rstd + j * VL, width);
        }
    }
    for (int64_t r = 0; r < rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++) {
            vf d = load_up_to(dy + r * stride + j * VL, width), v = load_up_to(x + r * stride + j * VL, width);
            a[j] += d;
            if (by_row)
                b[j] += d * ((v - mean[r]) * rstd[r]);
            else
                b[j] += d * (v - shift[j]);
        }
    for (int j = 0; j < vectors; j++) {
        store_up_to(first + j * VL, a[j], width);
        if (!by_row)
            b[j] *= scale[j];
        store_up_to(second + j * VL, b[j], width);
    }
}

static void column_products(float *first, float *second, const float *dy, const float *x, const float *mean, const float *rstd,
                            int64_t rows, int64_t stride, int64_t columns, bool by_row) {
    int64_t c = 0;
    for (; c + NORM_VECTORS * VL <= columns; c += NORM_VECTORS * VL)
        if (by_row)
            products_of_columns(NORM_VECTORS, true, first + c, second + c, dy + c, x + c, mean, rstd, rows, stride, VL);
        else
            products_of_columns(NORM_VECTORS, false, first + c, second + c, dy + c, x + c, mean + c, rstd + c, rows, stride, VL);
    for (; c < columns; c += VL)
        if (by_row)
            products_of_columns(1, true, first + c, second + c, dy + c, x + c, mean, rstd, rows, stride, columns - c);
        else
            products_of_columns(1, false, first + c, second + c, dy + c, x + c, mean + c, rstd + c, rows, stride, columns - c);
}
