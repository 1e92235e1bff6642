/* isa.h - the table of kernels each instruction set fills in from the same texts (*.inc.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_ISA_H
#define SWAGE_KERNEL_ISA_H

#include <stdbool.h>
#include <stdint.h>
#include "cpu.h"
#include "ir/ir.h"

/* C = epilogue(A B). Panel p of B holds columns p*nr..: packed panels are (k, nr) blocks in sequence, the last one
 * (k, vl) if vl columns or fewer are left; a direct B is read in place with row stride ldb, its last partial panel from `tail`. */
typedef struct swg__tap { int64_t a, b; } swg__tap; /* elements on from a; rows on in b */
typedef struct swg__gemm {
    int64_t m, n, k;
    const void *a;
    int64_t row_stride, k_stride;   /* of a, in elements */
    const float *b;
    int64_t ldb;                    /* 0: packed */
    const float *tail;              /* packed last panel of a direct b, or NULL */
    void *c;
    int64_t ldc;
    const float *bias;              /* (n), or NULL */
    const void *gate;               /* (m, n) with row stride ldc, or NULL: result kept where gate > 0, else 0 */
    bool relu;
    /* Convolutions: the sum over k is done for each tap. NULL: once, with both as they are. */
    const swg__tap *taps;
    int64_t tap_count, depth;       /* rows of a packed panel of b */
    bool accumulate;                /* c, or `sum`, is added to before bias, relu and gate */
    /* gemm_bf16 only. a is bf16 where k_stride is 1, else words: row r of a k step holds elements 2 k and 2 k + 1 of column r, and a's
     * strides and offsets count words. b is packed, its rows too hold pairs; an odd k ends with a zero. */
    const float *sum;               /* NULL: c itself, which is f32 then */
    int64_t sum_stride;
    bool c_bf16, gate_bf16;         /* else f32 */
} swg__gemm;

typedef void (*swg__ew_fn)(float *out, const float *a, const float *b, const float *c, int64_t n, float f0, float f1);

/* Scalars of an optimiser step, in registers. rate is 1 - beta, which f32 could not take from beta without losing digits. */
typedef struct swg__adam_scalars { float step_size, rsqrt_c2, keep, decay, rate1, rate2, eps, grad_scale; } swg__adam_scalars;
typedef struct swg__sgd_scalars { float step_size, decay, momentum, grad_scale; } swg__sgd_scalars;

typedef struct swg__dropout { uint64_t seed; uint32_t step, stream, threshold; float scale; } swg__dropout;

/* Sums of a norm's gradient by columns: of dy, and of dy times the normalised x. Statistics per column, or by_row. */
typedef struct swg__norm_products {
    float *first, *second;
    const void *dy, *x;
    bool dy_bf16, x_bf16, by_row;
    const float *mean, *rstd;
    int64_t rows, stride, columns;
} swg__norm_products;

/* A tile of attention scores, and the mask of its first row. */
typedef struct swg__scores {
    float *s;
    int64_t rows, columns, stride;
    float scale;
    const float *mask;              /* NULL: none */
    int64_t mask_stride;            /* 0: one row for all */
} swg__scores;

/* Attention of one head of 4, 8, 16 or 32 columns. Keys and values are packed first: (keys, d) f32 each; or words of two bf16, of columns
 * of k (keys, d / 2) and of keys of v (pairs of keys, d), an odd last key with a zero. */
typedef struct swg__narrow_keys {
    const void *k, *v;
    bool half, round, words;        /* k and v are bf16; are rounded to it; packed as words, which is for sets with a DOT */
    int64_t k_row, v_row, keys;
    int d;
    float *packed_k, *packed_v;
} swg__narrow_keys;
typedef struct swg__narrow {
    const float *q;                 /* a query per column: (d, stride), or words of two bf16 (d / 2, stride) */
    const float *k, *v;             /* as packed */
    const float *most;              /* (d), the largest |k| of each column */
    const float *mask;              /* (keys), one row for all, or turned (keys, stride); NULL: none */
    float *y, *lse;                 /* (d, stride), (stride); lse NULL: not wanted */
    int64_t stride, keys;           /* stride: of queries, a multiple of vl; all are computed */
    int d;
    bool words, mask_turned;
    float scale;
} swg__narrow;

/* Its gradients. */
typedef struct swg__narrow_grad {
    const float *q, *y, *dy;        /* a query per column: (d, stride) */
    const float *lse, *dlse;        /* (stride) */
    const float *k, *v;             /* packed, f32 */
    const float *mask;              /* as above */
    float *dq;                      /* (d, stride) */
    float *dk, *dv;                 /* (keys, d), rows with strides of their own */
    int64_t stride, keys, dk_row, dv_row;
    int d;
    bool mask_turned;
    float scale;
} swg__narrow_grad;

/* A pass of a Fourier transform of length n of SIDE sequences; stride: product of the radices of the passes before. cosine, sine: of
 * 2 pi i / n for i < n. */
enum { SWG__FFT_SIDE = 8 };
typedef struct swg__fft_pass { int64_t n, radix, stride; const float *cosine, *sine; } swg__fft_pass;

/* The table of given knots of B-splines, (rows, columns): knots t, so many, then for k = 1 .. order the 1 / max(t_(i+k) - t_i, 1e-8) by i.
 * The row of such a number, or of a knot with k = 0. */
static inline int64_t swg__spline_row(int64_t knots, int k, int64_t i) { return k * knots - (int64_t)k * (k - 1) / 2 + i; }

/* B-splines up to order 3 of n neighbours, whose results of one kind lie side by side, kind behind kind: on a uniform grid or, table not
 * NULL, on knots of each neighbour: a table of n columns. */
typedef struct swg__spline_grid { int64_t n, bases; int order; bool silu; float low, inverse_step; const float *table; } swg__spline_grid;

/* Positions [first, end) of a volume of in[0] x in[1] x in[2], each of so many channels. */
typedef struct swg__window { int64_t in[3], first[3], end[3], channels; } swg__window;

typedef struct swg__isa_table {
    int mr, nr, vl;                 /* micro-tile rows, columns; vector length in f32 */
    void (*gemm)(const swg__gemm *g, int64_t m0, int64_t m1);
    /* Panels [p0, p1) of b: row i, column j at b[i * row_stride + j * column_stride]. */
    void (*pack)(float *packed, const float *b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t p0, int64_t p1);
    /* One panel of a convolution's weights: row t * k + i, column j < columns from w[i * k_stride + j * n_stride + t], `reversed`: from
     * tap taps - 1 - t; w ends at `end`. */
    void (*pack_taps)(float *packed, const float *w, const float *end, int64_t k_stride, int64_t n_stride, int64_t taps, int64_t k,
                      int64_t columns, bool reversed);
    /* bf16: operands in pairs along k, sums in f32. What is packed may be f32 (rounded on the way) or bf16. */
    void (*gemm_bf16)(const swg__gemm *g, int64_t m0, int64_t m1);
    void (*pack_bf16)(uint32_t *packed, const void *b, bool bf16, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t p0,
                      int64_t p1);
    void (*pack_taps_bf16)(uint32_t *packed, const void *w, const void *end, bool bf16, int64_t k_stride, int64_t n_stride, int64_t taps,
                           int64_t k, int64_t columns, bool reversed);
    /* to[r * to_stride + j] = first[r * step + j] in its lower half, second[r * step + j] or, second NULL, zero in its upper. */
    void (*pair_rows)(uint32_t *to, int64_t to_stride, const void *first, const void *second, bool bf16, int64_t step, int64_t rows,
                      int64_t columns);
    void (*round_bf16)(swg__bf16 *out, const float *x, int64_t n);
    void (*widen)(float *to, const swg__bf16 *from, int64_t n);
    swg__ew_fn ew[SWG__OP_COUNT];
    double (*sum)(const float *x, int64_t n);                           /* up to 4096 elements, fixed lanes */
    double (*sum_squares)(const float *x, int64_t n);
    void (*column_sum)(float *out, const float *x, int64_t rows, int64_t stride, int64_t columns, float scale);
    void (*softmax)(float *out, const float *x, int64_t n, bool log);
    /* Updates. `largest`: amsgrad, or NULL. m: momentum, or NULL. Accumulate: sum = weight * g if `first`, else sum + weight * g. */
    void (*adam)(float *w, const float *g, float *m, float *v, float *largest, int64_t n, const swg__adam_scalars *s, bool decoupled);
    void (*adam_pass)(int pass, float *w, float *g, float *m, float *v, float *largest, int64_t n, const swg__adam_scalars *s, bool decoupled);
    void (*sgd)(float *w, const float *g, float *m, int64_t n, const swg__sgd_scalars *s, bool nesterov);
    void (*accumulate)(float *sum, const float *g, int64_t n, float weight, bool first);
    void (*blend)(float *to, const float *from, int64_t n, float rate);  /* to = to + rate * (from - to) */
    void (*sort_network)(int64_t *keys, int64_t n);                     /* keys (n, 8), each column sorted */
    /* out[0], out[1]: sums of (x - shift) and of its square. n up to 4096, fixed lanes; so are the products': sums of dy w and of
     * dy w (x - mean) rstd; w may be NULL. */
    void (*run_moments)(const float *x, int64_t n, float shift, double out[2]);
    void (*run_products)(const float *dy, const float *x, const float *w, int64_t n, float mean, float rstd, double out[2]);
    /* Of neighbouring columns: mean and sum of squared deviations; sums of dy and of dy (x - mean) rstd, mean and rstd of a column or,
     * `by_row`, of a row. */
    void (*column_moments)(float *mean, float *squares, const void *x, bool bf16, int64_t rows, int64_t stride, int64_t columns);
    void (*column_products)(const swg__norm_products *p);
    /* Per channel the number of the window's position with the first largest value; the first NaN if there is one. */
    void (*largest_of)(int32_t *index, const float *x, const swg__window *w);
    /* to[c] = from[index[c] * stride + c], NaN where index[c] is not below rows */
    void (*pick)(float *to, const float *from, int64_t stride, int64_t rows, const int32_t *index, int64_t n);
    /* to[i * to_stride + j] = from[j * from_stride + i], i < rows, j < columns */
    void (*turn)(float *to, int64_t to_stride, const float *from, int64_t from_stride, int64_t rows, int64_t columns);
    void (*turn_bf16)(swg__bf16 *to, int64_t to_stride, const swg__bf16 *from, int64_t from_stride, int64_t rows, int64_t columns);
    /* Rows of n elements that lie behind each other; gamma and beta may be NULL, beta or both. The sums are added to. */
    void (*layer_norm)(float *out, const float *x, const float *gamma, const float *beta, int64_t rows, int64_t n, float eps);
    void (*layer_norm_grad)(float *out, const float *x, const float *dy, const float *gamma, int64_t rows, int64_t n, float eps);
    void (*layer_norm_sums)(float *first, float *second, const float *x, const float *dy, int64_t rows, int64_t n, float eps);
    void (*add_scaled)(float *to, const float *x, float scale, int64_t n);  /* to += scale x */
    /* out = x * scale where the random word is at least threshold, else 0; `first` is the number of x[0] in its tensor. */
    void (*dropout)(float *out, const float *x, int64_t first, int64_t n, const swg__dropout *d);
    /* softmax.inc.h: one number per row in most, sum, keep, shared */
    void (*attention_softmax)(const swg__scores *t, float *most, float *sum, float *keep);
    void (*attention_narrow_most)(float *most, const void *x, bool half, int64_t row, int64_t rows, int64_t columns);
    void (*attention_narrow_pack)(const swg__narrow_keys *k);
    void (*attention_narrow)(const swg__narrow *a);
    void (*attention_narrow_grad)(const swg__narrow_grad *a);
    void (*attention_means)(float *y, float *lse, int64_t stride, int64_t rows, int64_t columns, const float *most, const float *sum);
    void (*attention_probabilities)(const swg__scores *t, const float *lse, int64_t lse_stride);
    void (*attention_slopes)(float *dp, const swg__scores *p, const float *shared, float factor);
    void (*fft_pass)(const swg__fft_pass *f, float *to_re, float *to_im, const float *re, const float *im); /* not in place */
    /* c (rows, columns) -= x (rows, k) y (columns, k)'; all rows `stride` apart; k a multiple of 8. */
    void (*take_products)(double *c, const double *x, const double *y, int64_t stride, int64_t rows, int64_t columns, int64_t k);
    void (*spline_values)(float *out, const float *x, const swg__spline_grid *g);
    void (*spline_slopes)(float *dx, const float *x, const float *dy, const swg__spline_grid *g);
    double (*peak_f32)(int64_t rounds);                                 /* runs `rounds` rounds of independent FMAs; returns FLOP done */
    double (*peak_bf16)(int64_t rounds);                                /* of dot products of pairs; NULL: no unit for them */
    /* Bandwidth; n is a multiple of 128. Scale works in place. */
    void (*stream_read)(const float *x, int64_t n);
    void (*stream_copy)(float *to, const float *from, int64_t n);
    void (*stream_scale)(float *x, int64_t n);
} swg__isa_table;

/* Kernels that must give the same bits on every instruction set (no contraction). */
typedef struct swg__exact_table {
    void (*normal)(float *out, const uint32_t *words, int64_t quads);   /* 4 words -> 4 standard normals */
} swg__exact_table;

const swg__isa_table *swg__isa_table_of(swg__isa isa);
const swg__exact_table *swg__exact_table_of(swg__isa isa);

#endif
