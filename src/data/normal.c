/* normal.c - least squares by their normal equations: blocked Cholesky factorisation that passes over dependent unknowns.
 * Panels of columns from the left: rows below take off their products with the panel's own rows, then the panel is factorised. Rows lie in memory as they
 * are multiplied, so all work is dot products of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "normal.h"
#include <math.h>
#include <string.h>

enum { PANEL = 64, ROWS = 32, STEP = 256 };

typedef struct factor {
    int64_t n, first, width;        /* of the panel */
    double *a;
    double tolerance;
    double *energy;                 /* (n) the diagonal as it was */
    double *b;
} factor;

typedef double four __attribute__((vector_size(32), aligned(8), may_alias));

static double sum_of(four x) {
    return x[0] + x[1] + (x[2] + x[3]);
}

/* c[i][j] -= <x_i, y_j> over k elements, for 2 rows x and 4 rows y of the same stride. */
static void take_tile(double *c, int64_t stride, const double *x, const double *y, int64_t k) {
    four sums[2][4] = {0};
    int64_t i = 0;
    for (; i + 4 <= k; i += 4)
        for (int r = 0; r < 2; r++)
            for (int s = 0; s < 4; s++)
                sums[r][s] += *(const four *)(x + r * stride + i) * *(const four *)(y + s * stride + i);
    for (int r = 0; r < 2; r++)
        for (int s = 0; s < 4; s++) {
            double sum = sum_of(sums[r][s]);
            for (int64_t j = i; j < k; j++)
                sum += x[r * stride + j] * y[s * stride + j];
            c[r * stride + s] -= sum;
        }
}

static double dot(const double *x, const double *y, int64_t k) {
    four sum = {0};
    int64_t i = 0;
    for (; i + 4 <= k; i += 4)
        sum += *(const four *)(x + i) * *(const four *)(y + i);
    double all = sum_of(sum);
    for (; i < k; i++)
        all += x[i] * y[i];
    return all;
}

/* Rows [first, end) of the panel's columns lose what the columns before explain. */
static void take_products(const factor *f, int64_t first, int64_t end) {
    const int64_t n = f->n, columns = f->first + f->width;
    for (int64_t k = 0; k < f->first; k += STEP) {
        const int64_t depth = k + STEP < f->first ? STEP : f->first - k;
        for (int64_t j = f->first; j < columns; j += 4)
            for (int64_t i = first; i < end; i += 2)
                if (i + 2 <= end && j + 4 <= columns) {
                    take_tile(f->a + i * n + j, n, f->a + i * n + k, f->a + j * n + k, depth);
                } else {
                    for (int64_t r = i; r < i + 2 && r < end; r++)
                        for (int64_t s = j; s < j + 4 && s < columns; s++)
                            f->a[r * n + s] -= dot(f->a + r * n + k, f->a + s * n + k, depth);
                }
    }
}

/* The panel's own rows: its triangle. The upper half of it holds what it likes. */
static void factorise_panel(const factor *f) {
    const int64_t n = f->n, p = f->first;
    for (int64_t i = p; i < p + f->width; i++)
        for (int64_t j = p; j <= i; j++) {
            double *at = f->a + i * n + j;
            const double rest = *at - dot(f->a + i * n + p, f->a + j * n + p, j - p);
            if (j < i)
                *at = f->a[j * n + j] > 0 ? rest / f->a[j * n + j] : 0;
            else
                *at = rest > f->tolerance * f->energy[i] ? sqrt(rest) : 0; /* 0: passed over */
        }
}

static void panel_rows(void *arg, int64_t task, int worker) {
    (void)worker;
    const factor *f = arg;
    const int64_t n = f->n, p = f->first, first = p + f->width + task * ROWS, end = first + ROWS < n ? first + ROWS : n;
    take_products(f, first, end);
    for (int64_t i = first; i < end; i++)
        for (int64_t j = p; j < p + f->width; j++) {
            const double rest = f->a[i * n + j] - dot(f->a + i * n + p, f->a + j * n + p, j - p);
            f->a[i * n + j] = f->a[j * n + j] > 0 ? rest / f->a[j * n + j] : 0;
        }
}

/* L y = b, then L' x = y. */
static void solve_row(void *arg, int64_t task, int worker) {
    (void)worker;
    const factor *f = arg;
    const int64_t n = f->n;
    double *x = f->b + task * n;
    for (int64_t i = 0; i < n; i++)
        x[i] = f->a[i * n + i] > 0 ? (x[i] - dot(f->a + i * n, x, i)) / f->a[i * n + i] : 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        x[i] = f->a[i * n + i] > 0 ? x[i] / f->a[i * n + i] : 0;
        for (int64_t j = 0; j < i; j++)
            x[j] -= x[i] * f->a[i * n + j];
    }
}

swg_status swg__normal_solve(swg_context *ctx, int64_t n, double *a, int64_t count, double *b, double tolerance) {
    factor f = {.n = n, .a = a, .b = b, .tolerance = tolerance, .energy = swg__alloc(ctx, (size_t)n * sizeof(double))};
    if (!f.energy)
        return swg__fail_memory(ctx, (size_t)n * sizeof(double), "normal equations");
    for (int64_t i = 0; i < n; i++)
        f.energy[i] = a[i * n + i];
    for (f.first = 0; f.first < n; f.first += PANEL) {
        f.width = f.first + PANEL < n ? PANEL : n - f.first;
        take_products(&f, f.first, f.first + f.width);
        factorise_panel(&f);
        swg__parallel(ctx, (n - f.first - f.width + ROWS - 1) / ROWS, panel_rows, &f);
    }
    swg__parallel(ctx, count, solve_row, &f);
    swg__free(ctx, f.energy);
    return SWG_OK;
}
