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

/* Up to VL numbers from x + at, f32 or bf16. */
INLINE vf load_numbers(const bool bf16, const void *x, int64_t at, int64_t width) {
    if (bf16)
        return as_float((width >= VL ? WIDEN(*(const vh *)((const h16 *)x + at)) : LOAD_HALF_PART((const h16 *)x + at, width)) << 16);
    return load_up_to((const float *)x + at, width);
}

/* The second pass over the block finds it in the first cache: callers give a few hundred rows. */
INLINE void moments_of_columns(const int vectors, const bool bf16, float *mean, float *squares, const void *x, int64_t column, int64_t rows,
                               int64_t stride, int64_t width) {
    vf shift[NORM_VECTORS], first[NORM_VECTORS], second[NORM_VECTORS];
    for (int j = 0; j < vectors; j++)
        shift[j] = first[j] = second[j] = (vf){0};
    for (int64_t r = 0; r < rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++)
            shift[j] += load_numbers(bf16, x, column + r * stride + j * VL, width);
    for (int j = 0; j < vectors; j++)
        shift[j] /= (float)rows;
    for (int64_t r = 0; r < rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++) {
            vf d = load_numbers(bf16, x, column + r * stride + j * VL, width) - shift[j];
            first[j] += d;
            second[j] += d * d;
        }
    for (int j = 0; j < vectors; j++) {
        store_up_to(mean + column + j * VL, shift[j] + first[j] / (float)rows, width);
        store_up_to(squares + column + j * VL, second[j] - first[j] * first[j] / (float)rows, width);
    }
}

INLINE void moments_of_type(const bool bf16, float *mean, float *squares, const void *x, int64_t rows, int64_t stride, int64_t columns) {
    int64_t c = 0;
    for (; c + NORM_VECTORS * VL <= columns; c += NORM_VECTORS * VL)
        moments_of_columns(NORM_VECTORS, bf16, mean, squares, x, c, rows, stride, VL);
    for (; c < columns; c += VL)
        moments_of_columns(1, bf16, mean, squares, x, c, rows, stride, columns - c);
}

static void column_moments(float *mean, float *squares, const void *x, bool bf16, int64_t rows, int64_t stride, int64_t columns) {
    if (bf16)
        moments_of_type(true, mean, squares, x, rows, stride, columns);
    else
        moments_of_type(false, mean, squares, x, rows, stride, columns);
}

/* The operands and results of the sums of a gradient. */
typedef swg__norm_products products;

INLINE void products_of_columns(const int vectors, const bool by_row, const bool dy_bf16, const bool x_bf16, const products *p, int64_t column,
                                int64_t width) {
    vf a[NORM_VECTORS], b[NORM_VECTORS], shift[NORM_VECTORS], scale[NORM_VECTORS];
    for (int j = 0; j < vectors; j++) {
        a[j] = b[j] = shift[j] = scale[j] = (vf){0};
        if (!by_row) {
            shift[j] = load_up_to(p->mean + column + j * VL, width);
            scale[j] = load_up_to(p->rstd + column + j * VL, width);
        }
    }
    for (int64_t r = 0; r < p->rows; r++)
        UNROLLED for (int j = 0; j < vectors; j++) {
            const int64_t at = column + r * p->stride + j * VL;
            vf d = load_numbers(dy_bf16, p->dy, at, width), v = load_numbers(x_bf16, p->x, at, width);
            a[j] += d;
            if (by_row)
                b[j] += d * ((v - p->mean[r]) * p->rstd[r]);
            else
                b[j] += d * (v - shift[j]);
        }
    for (int j = 0; j < vectors; j++) {
        store_up_to(p->first + column + j * VL, a[j], width);
        if (!by_row)
            b[j] *= scale[j];
        store_up_to(p->second + column + j * VL, b[j], width);
    }
}

INLINE void products_of_type(const bool by_row, const bool dy_bf16, const bool x_bf16, const products *p) {
    int64_t c = 0;
    for (; c + NORM_VECTORS * VL <= p->columns; c += NORM_VECTORS * VL)
        products_of_columns(NORM_VECTORS, by_row, dy_bf16, x_bf16, p, c, VL);
    for (; c < p->columns; c += VL)
        products_of_columns(1, by_row, dy_bf16, x_bf16, p, c, p->columns - c);
}

static void column_products(const products *p) {
    if (p->by_row)
        products_of_type(true, p->dy_bf16, p->x_bf16, p); /* layer norms over columns: rare */
    else if (p->dy_bf16 && p->x_bf16)
        products_of_type(false, true, true, p);
    else if (p->dy_bf16 || p->x_bf16)
        products_of_type(false, p->dy_bf16, p->x_bf16, p);
    else
        products_of_type(false, false, false, p);
}
