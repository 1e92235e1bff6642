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

enum { NORM_WIDTH = 32 };

/* The second pass over the block finds it in the first cache: callers give a few hundred rows. */
static void column_moments(float *mean, float *squares, const float *x, int64_t rows, int64_t stride, int64_t columns) {
    for (int64_t c = 0; c < columns; c += NORM_WIDTH) {
        float shift[NORM_WIDTH] = {0}, first[NORM_WIDTH] = {0}, second[NORM_WIDTH] = {0};
        int64_t width = columns - c < NORM_WIDTH ? columns - c : NORM_WIDTH;
        const float *from = x + c;
        for (int64_t r = 0; r < rows; r++)
            if (width == NORM_WIDTH)
                for (int j = 0; j < NORM_WIDTH; j++)
                    shift[j] += from[r * stride + j];
            else
                for (int64_t j = 0; j < width; j++)
                    shift[j] += from[r * stride + j];
        for (int j = 0; j < NORM_WIDTH; j++)
            shift[j] /= (float)rows;
        for (int64_t r = 0; r < rows; r++)
            if (width == NORM_WIDTH)
                for (int j = 0; j < NORM_WIDTH; j++) {
                    float d = from[r * stride + j] - shift[j];
                    first[j] += d;
                    second[j] += d * d;
                }
            else
                for (int64_t j = 0; j < width; j++) {
                    float d = from[r * stride + j] - shift[j];
                    first[j] += d;
                    second[j] += d * d;
                }
        for (int64_t j = 0; j < width; j++) {
            mean[c + j] = shift[j] + first[j] / (float)rows;
            squares[c + j] = second[j] - first[j] * first[j] / (float)rows;
        }
    }
}

static void column_products(float *first, float *second, const float *dy, const float *x, const float *mean, const float *rstd,
                            int64_t rows, int64_t stride, int64_t columns, bool by_row) {
    for (int64_t c = 0; c < columns; c += NORM_WIDTH) {
        float a[NORM_WIDTH] = {0}, b[NORM_WIDTH] = {0}, shift[NORM_WIDTH] = {0}, scale[NORM_WIDTH];
        int64_t width = columns - c < NORM_WIDTH ? columns - c : NORM_WIDTH;
        for (int64_t j = 0; j < NORM_WIDTH; j++) {
            shift[j] = by_row || j >= width ? 0.f : mean[c + j];
            scale[j] = by_row || j >= width ? 1.f : rstd[c + j];
        }
        for (int64_t r = 0; r < rows; r++) {
            const float *d = dy + r * stride + c, *v = x + r * stride + c;
            float m = by_row ? mean[r] : 0.f, s = by_row ? rstd[r] : 1.f;
            if (width == NORM_WIDTH)
                for (int j = 0; j < NORM_WIDTH; j++) {
                    a[j] += d[j];
                    b[j] += d[j] * ((v[j] - (shift[j] + m)) * s);
                }
            else
                for (int64_t j = 0; j < width; j++) {
                    a[j] += d[j];
                    b[j] += d[j] * ((v[j] - (shift[j] + m)) * s);
                }
        }
        for (int64_t j = 0; j < width; j++) {
            first[c + j] = a[j];
            second[c + j] = b[j] * scale[j];
        }
    }
}
