/* poly_kernels.inc.h - the inner loops of mode P, part of kernels.inc.h: separable transforms of boxes of at most 17^3 nodes.
 * A box has n[0] x n[1] rows of swg__poly_row(n[2]) doubles, zero behind the n[2]-th. Every sum grows in the order of its index.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/poly.h"

/* Rounds half to even, |v| < 2^51. */
static inline vf64 nearest(vf64 v) { return v + ROUNDER - ROUNDER; }

/* Rows of x to coefficients: out[r][k] = sum_x in[r][x] a[k][x]. transposed: (n, row) */
static void poly_rows(const double *in, int64_t rows, int n, int row, const double *transposed, double *out) {
    for (int64_t r = 0; r < rows; r++)
        for (int v = 0; v < row; v += LANES) {
            vf64 sum = {0};
            for (int x = 0; x < n; x++)
                sum += in[r * row + x] * load_f64(transposed + x * row + v);
            memcpy(out + r * row + v, &sum, sizeof sum);
        }
}

/* out[i] = sum_z a[i][z] in[z], for planes of `width` doubles. */
static void poly_planes(const double *in, int n, int64_t width, const double *a, double *out) {
    for (int i = 0; i < n; i++)
        for (int64_t v = 0; v < width; v += LANES) {
            vf64 sum = {0};
            for (int z = 0; z < n; z++)
                sum += a[i * n + z] * load_f64(in + z * width + v);
            memcpy(out + i * width + v, &sum, sizeof sum);
        }
}

static void poly_analysis(const double *x, const int n[3], double *c, double *work) {
    const int row = swg__poly_row(n[2]);
    const double *a = swg__poly_analysis + swg__poly_start(n[2]);
    double transposed[SWG__POLY_EDGE * SWG__POLY_ROW] = {0};
    for (int k = 0; k < n[2]; k++)
        for (int i = 0; i < n[2]; i++)
            transposed[i * row + k] = a[k * n[2] + i];
    poly_planes(x, n[0], (int64_t)n[1] * row, swg__poly_analysis + swg__poly_start(n[0]), c);
    for (int i = 0; i < n[0]; i++)
        poly_planes(c + (int64_t)i * n[1] * row, n[1], row, swg__poly_analysis + swg__poly_start(n[1]), work + (int64_t)i * n[1] * row);
    poly_rows(work, (int64_t)n[0] * n[1], n[2], row, transposed, c);
}

/* Products below 2^51 and exact: see SWG__POLY_SUM. */
static void poly_synthesis(const double *c, const int n[3], int degree, double *out, double *work) {
    const int row = swg__poly_row(n[2]), plane = n[1] * row;
    const int16_t *bz = swg__poly_basis + swg__poly_start(n[0]), *by = swg__poly_basis + swg__poly_start(n[1]);
    const int16_t *bx = swg__poly_basis + swg__poly_start(n[2]);
    double padded[SWG__POLY_EDGE * SWG__POLY_ROW] = {0}, basis[SWG__POLY_EDGE * SWG__POLY_EDGE];
    const int planes = degree < n[0] - 1 ? degree + 1 : n[0];
    for (int k = 0; k < n[2]; k++)
        for (int x = 0; x < n[2]; x++)
            padded[k * row + x] = bx[k * n[2] + x];
    for (int i = 0; i < planes; i++)
        for (int j = 0; j < n[1] && i + j <= degree; j++) {
            const double *in = c + i * plane + j * row;
            const int most = degree - i - j < n[2] - 1 ? degree - i - j : n[2] - 1;
            for (int v = 0; v < row; v += LANES) {
                vf64 sum = {0};
                for (int k = 0; k <= most; k++)
                    sum += in[k] * load_f64(padded + k * row + v);
                sum = nearest(sum * 0x1p-14);
                memcpy(out + i * plane + j * row + v, &sum, sizeof sum);
            }
        }
    for (int y = 0; y < n[1]; y++)
        for (int j = 0; j < n[1]; j++)
            basis[y * n[1] + j] = by[j * n[1] + y];
    for (int i = 0; i < planes; i++) {
        const int most = degree - i < n[1] - 1 ? degree - i : n[1] - 1;
        for (int y = 0; y < n[1]; y++)
            for (int v = 0; v < row; v += LANES) {
                vf64 sum = {0};
                for (int j = 0; j <= most; j++)
                    sum += basis[y * n[1] + j] * load_f64(out + i * plane + j * row + v);
                sum = nearest(sum * 0x1p-14);
                memcpy(work + i * plane + y * row + v, &sum, sizeof sum);
            }
    }
    for (int z = 0; z < n[0]; z++)
        for (int i = 0; i < n[0]; i++)
            basis[z * n[0] + i] = bz[i * n[0] + z];
    for (int z = 0; z < n[0]; z++)
        for (int v = 0; v < plane; v += LANES) {
            vf64 sum = {0};
            for (int i = 0; i < planes; i++)
                sum += basis[z * n[0] + i] * load_f64(work + i * plane + v);
            sum = nearest(sum * 0x1p-18);
            memcpy(out + z * plane + v, &sum, sizeof sum);
        }
}

static void poly_quantise(const double *c, int64_t count, double inverse, int32_t *q) {
    for (int64_t i = 0; i < count; i += LANES) {
        vf64 v = load_f64(c + i) * inverse, half = (vf64)(((vi64)v & INT64_MIN) | (vi64)broadcast(0.45));
        vi32h level = __builtin_convertvector(v + half, vi32h);
        memcpy(q + i, &level, sizeof level);
    }
}

/* Sums in eight lanes, whatever the vectors are, so that no sum depends on them. */
static void poly_weigh(const double *c, int64_t count, double inverse, double *sum, double *error) {
    enum { WIDTH = 8, VECTORS = WIDTH / LANES };
    vf64 all[VECTORS] = {{0}}, rest[VECTORS] = {{0}};
    double last[WIDTH] = {0}, total[WIDTH], squares[WIDTH];
    for (int64_t i = 0; i < count; i += WIDTH) {
        const double *from = c + i;
        if (i + WIDTH > count) {
            memcpy(last, from, (size_t)(count - i) * sizeof *last);
            from = last;
        }
        for (int v = 0; v < VECTORS; v++) {
            vf64 x = magnitude(load_f64(from + v * LANES)) * inverse, q = __builtin_convertvector(__builtin_convertvector(x + 0.45, vi32h), vf64);
            all[v] += q;
            rest[v] += (x - q) * (x - q);
        }
    }
    memcpy(total, all, sizeof all);
    memcpy(squares, rest, sizeof rest);
    *sum = *error = 0;
    for (int i = 0; i < WIDTH; i++) {
        *sum += total[i];
        *error += squares[i];
    }
}

static void poly_gaps(const double *x, const double *p, int64_t count, double *some, double *sum) {
    vf64 all = {0}, any = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        vf64 e = magnitude(nearest((load_f64(x + i) - load_f64(p + i)) * 0.0625));
        all += e;
        any += (vf64)((vi64)(e > 0) & (vi64)broadcast(1));
    }
    *some = *sum = 0;
    for (int i = 0; i < LANES; i++) { /* whole numbers: any order */
        *some += any[i];
        *sum += all[i];
    }
}

static bool poly_check(const double *x, const double *u, int64_t count, const swg__grid *grid, double *worst) {
    const bool single = grid->type == SWG_ELEMENT_F32;
    const vf64 base = broadcast(grid->base), step = broadcast(swg__grid_step(grid, 4)), least = broadcast(single ? (double)FLT_MIN : DBL_MIN);
    vf64 most = {0};
    vi64 ok = (vi64){0} - 1;
    for (int64_t i = 0; i < count; i += LANES) {
        vf64 value = base + load_f64(u + i) * step;
        if (single)
            value = __builtin_convertvector(__builtin_convertvector(value, vf32), vf64);
        vf64 error = magnitude(value - load_f64(x + i));
        ok &= (error < broadcast(grid->eb)) & ((magnitude(value) >= least) | (value == 0));
        most = choose(error > most, error, most);
    }
    int64_t all = -1;
    for (int i = 0; i < LANES; i++) {
        all &= ok[i];
        *worst = most[i] > *worst ? most[i] : *worst;
    }
    return all == -1;
}
