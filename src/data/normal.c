/* normal.c - least squares by their normal equations: blocked Cholesky factorisation that passes over dependent unknowns.
 * Panels of columns from the left: rows below take off their products with the panel's own rows, then the panel is factorised. Rows lie in memory as they
 * are multiplied, so all work is dot products of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "normal.h"
#include <math.h>
#include "context.h"
#include "kernel/isa.h"

enum { PANEL = 64, ROWS = 32, STEP = 256 };

typedef struct factor {
    const swg__isa_table *isa;
    int64_t n, first, width;        /* of the panel */
    double *a;
    double tolerance;
    double *energy;                 /* (n) the diagonal as it was */
    double *b;
} factor;

/* Four sums, so that one addition does not wait for the other. */
static double dot(const double *x, const double *y, int64_t k) {
    double sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= k; i += 4)
        for (int lane = 0; lane < 4; lane++)
            sums[lane] += x[i + lane] * y[i + lane];
    for (; i < k; i++)
        sums[0] += x[i] * y[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
}

/* Rows [first, end) of the panel's columns lose what the columns before explain. */
static void take_before(const factor *f, int64_t first, int64_t end) {
    for (int64_t k = 0; k < f->first; k += STEP) /* first is a multiple of PANEL */
        f->isa->take_products(f->a + first * f->n + f->first, f->a + first * f->n + k, f->a + f->first * f->n + k, f->n, end - first, f->width,
                              k + STEP < f->first ? STEP : f->first - k);
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
    take_before(f, first, end);
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
    factor f = {.isa = swg__isa_table_of(ctx->isa), .n = n, .a = a, .b = b, .tolerance = tolerance, .energy = swg__alloc(ctx, (size_t)n * sizeof(double))};
    if (!f.energy)
        return swg__fail_memory(ctx, (size_t)n * sizeof(double), "normal equations");
    for (int64_t i = 0; i < n; i++)
        f.energy[i] = a[i * n + i];
    for (f.first = 0; f.first < n; f.first += PANEL) {
        f.width = f.first + PANEL < n ? PANEL : n - f.first;
        take_before(&f, f.first, f.first + f.width);
        factorise_panel(&f);
        swg__parallel(ctx, (n - f.first - f.width + ROWS - 1) / ROWS, panel_rows, &f);
    }
    swg__parallel(ctx, count, solve_row, &f);
    swg__free(ctx, f.energy);
    return SWG_OK;
}
