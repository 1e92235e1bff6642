/* kernels.h - the codec's inner loops, one table of functions per instruction set (src/kernel/isa/..._codec.c).
 * Every table gives the same bits: integers throughout, and IEEE f64 without contraction in the quantiser.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_KERNELS_H
#define SWAGE_CODEC_KERNELS_H

#include "cpu.h"
#include "grid.h"
#include "rans.h"

enum { SWG__TAPS = 28, SWG__TAP_SLACK = 16 }; /* taps of the causal stencil; tap 0 is the anchor */
enum { SWG__SUM_WIDTH = 32 };                  /* doubles in a row of the normal equations */
enum { SWG__SAMPLE_BORDER = 2 };              /* mark of a training sample whose taps are stand-ins: not for the weights */

/* What a quantised row adds to its chunk's figures. Whole numbers in f64. */
typedef struct swg__row_extent {
    double lowest, highest; /* levels */
    double error;           /* largest accepted one */
} swg__row_extent;

/* Rows of activations of the integer network are padded to this many int16. */
enum { SWG__NET_PAD = 32 };

/* Buckets of a stencil by class of the residual before and activity class; low and high words of swg__scale. */
typedef struct swg__choice_tables {
    uint16_t bucket[3][64], scale[2][64], behind[2];
} swg__choice_tables;

/* What mode G predicts a run of targets from (interp_field.h): pointers to be indexed alike, taps of one feature behind each other. */
enum { SWG__INTERP_FEATURES = 10, SWG__INTERP_TAPS = 32, SWG__INTERP_SLACK = 16 };
#define SWG__INTERP_NARROW ((int64_t)1 << 26) /* |levels| held as int32 */

typedef struct swg__interp_taps {
    int features, first[SWG__INTERP_FEATURES + 1];                /* feature i has taps first[i] .. first[i + 1] - 1 */
    int scale[SWG__INTERP_FEATURES];                              /* log2 of 8 / taps */
    int32_t w[SWG__INTERP_FEATURES];                              /* Q13, of g_i - g_0; w[0] is not used */
    uint32_t limit;                                               /* power of two: below it sums of w_i d_i fit 32 bits */
    int32_t busy;                                                 /* smallest sum of sizes for r = 2 */
    double difference_scale, size_scale;                          /* activity S = 27 + the one sum |d_i| + the other sum of sizes */
    int64_t difference_weight, size_weight;                       /* the same as whole numbers, before the shift */
    int shift;                                                    /* S = 27 + ((27 * ...) >> shift) */
    const void *u[SWG__INTERP_TAPS];                              /* levels: int32, of interp_wide int64 */
    const uint16_t *size[SWG__INTERP_TAPS];                       /* of residuals */
} swg__interp_taps;

typedef struct swg__codec_kernels {
    /* Levels of a row on the main grid. False if any value must be looked at again (outlier, tie, out of reach):
     * then u and extent say nothing of the row. u32: low words. */
    bool (*quantise_f32_32)(const float *x, int64_t n, const swg__grid *grid, int32_t *u, swg__row_extent *extent);
    bool (*quantise_f64_32)(const double *x, int64_t n, const swg__grid *grid, int32_t *u, swg__row_extent *extent);
    bool (*quantise_f32_64)(const float *x, int64_t n, const swg__grid *grid, int64_t *u, swg__row_extent *extent);
    bool (*quantise_f64_64)(const double *x, int64_t n, const swg__grid *grid, int64_t *u, swg__row_extent *extent);

    /* Stencil: for i < n, d_k = tap[k][i] - tap[0][i]; accumulator[i] = sum w_k d_k, activity[i] = 4 sum |d_k| + 27.
     * narrow: exact while |d| < 2^13, returns whether any d was outside -8192..8191; middle: exact while |d| <= 2^30;
     * both may read SWG__TAP_SLACK levels behind the n-th of each tap. wide: any levels up to 2^48, saturates d. */
    bool (*stencil_narrow)(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator,
                           int64_t *activity);
    /* The same as narrow, and on to symbols: code[i] = 32 * table + symbol; low[i] how many low bits go raw, value[i] what
     * they and an escape are made of. table: by 3 * activity class + min(|residual before|, 2), from swg__bucket_code. level: the values' own; residual: the one before the first. */
    bool (*stencil_codes)(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], const int32_t *level, int64_t n, const uint32_t table[192],
                          int32_t residual, uint16_t *code, int32_t *value, uint8_t *low);
    void (*stencil_middle)(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator,
                           int64_t *activity);
    void (*stencil_wide)(const int64_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t least, int64_t most, int64_t n,
                         int64_t *accumulator, int64_t *activity);

    /* Normal equations of the stencil: adds weight x_i x_j for j <= i over the samples without SWG__SAMPLE_BORDER, where x is the
     * target, then the 27 differences, and weight 1 / (mean |d| + 1). In sample order: no sum depends on the vector width. */
    void (*normal_sums)(const double *d, const double *target, const uint8_t *mark, int64_t count,
                        double sums[SWG__TAPS][SWG__SUM_WIDTH]);

    /* Of each of `count` samples, whose 27 differences are whole numbers below 2^48: sum w_k d_k and sum |d_k|, d_k clamped to least..most (at most 2^30 in magnitude). */
    void (*stencil_points)(const double *d, int64_t count, const int32_t w[SWG__TAPS], double least, double most, int64_t *sum, int64_t *size);

    /* Least and largest monotone key (swg__key32) of the finite values among n, INT32_MAX and INT32_MIN if there is none; largest bits without sign of all. */
    void (*range_f32)(const uint32_t *bits, int64_t n, int32_t *least, int32_t *most, int32_t *largest);

    /* Sum of a_i b_i: eight sums by i modulo 8, added in pairs, on every instruction set. */
    double (*dot)(const double *a, const double *b, int64_t n);

    /* The next n residuals of the stream. phase may be NULL (all 0). */
    void (*residuals)(swg__rans *r, const uint8_t *bucket, const int8_t *phase, int64_t n, int64_t *e);

    /* y[row][j] = bias[j] + sum_i w[j][i] x[row][i], rows of x and w `stride` int16 apart, stride a multiple of SWG__NET_PAD,
     * padded with zeros; y rows are `out` apart. |sums| < 2^31 by the model's checks. */
    void (*linear)(const int16_t *x, int64_t rows, int64_t stride, const int16_t *w, const int32_t *bias, int64_t out, int32_t *y);

    /* Copies n levels of every tap to `to`, `to` + stride, ...; reads and writes up to 15 more. */
    void (*stencil_gather)(const int32_t *const tap[SWG__TAPS], int64_t n, int32_t *to, int64_t stride);

    /* Mode W where levels are not wide; sums of the network NULL: there is none. All arrays have room for 15 numbers behind the n-th.
     * choices: residuals of points that follow each other along x from u[0] on (their anchors from u[-1] on), with bucket + 128 *
     * (phase + 8) and class (0..2) of the residual, in three rows of `stride`: if the residual before was of class 0, 1, 2.
     * guesses: bucket and phase for the class before each point; adds the prediction to the anchors in `guess`. */
    void (*stencil_choices)(const swg__choice_tables *t, const int64_t *accumulator, const int64_t *activity, const int32_t *sum0,
                            const int32_t *sum1, const int32_t *u, int64_t n, int64_t stride, int32_t *e, uint16_t *context, uint8_t *next);
    void (*stencil_guesses)(const swg__choice_tables *t, const int64_t *accumulator, const int64_t *activity, const int32_t *sum0,
                            const int32_t *sum1, const uint8_t *before, int64_t n, uint8_t *bucket, int8_t *phase, int64_t *guess);

    /* Mode P (poly.h): boxes of n nodes, rows padded with zeros; work: room for one more box.
     * analysis: values to all coefficients. synthesis: coefficients up to a total degree, in 1/16, to whole values; what they hold
     * above it is not looked at. Both are the same bits everywhere. */
    void (*poly_analysis)(const double *x, const int n[3], double *c, double *work);
    void (*poly_synthesis)(const double *c, const int n[3], int degree, double *out, double *work);
    /* q = c * inverse, rounded with a dead zone of 0.55; count a multiple of 8, |q| < 2^31. */
    void (*poly_quantise)(const double *c, int64_t count, double inverse, int32_t *q);
    /* The same rounding of `count` coefficients: sum of |q|, and of the squared errors in units of q; the same bits everywhere. */
    void (*poly_weigh)(const double *c, int64_t count, double inverse, double *sum, double *error);
    /* Corrections e = nearest((x - p) / 16): how many are not 0, and the sum of their magnitudes. */
    void (*poly_gaps)(const double *x, const double *p, int64_t count, double *some, double *sum);
    /* True if every level restores its value inside the bound without a closer look; worst: largest error, raised. */
    bool (*poly_check)(const double *x, const double *u, int64_t count, const swg__grid *grid, double *worst);

    /* c = start + a b, for training: a (m, k), its rows `stride` apart; b (k, n) and c (m, n), n a multiple of 16; start (m), one number
     * for each row of c, or NULL. Every sum grows in the order of k: the same bits everywhere. */
    void (*product)(const float *a, int64_t stride, const float *b, const float *start, int64_t m, int64_t k, int64_t n, float *c);
    /* Mode G (interp_field.h): predictions and contexts 3 c + r of rows of n targets. Taps are `pitch` apart from row to row, results n.
     * All but wide need |levels| <= SWG__INTERP_NARROW, read SWG__INTERP_SLACK elements behind what they need and write as many.
     * narrow: false where a difference is not below the limit; middle: where a prediction is beyond SWG__INTERP_NARROW. */
    bool (*interp_narrow)(const swg__interp_taps *taps, int64_t rows, int64_t n, int64_t pitch, int32_t *guess, uint16_t *context);
    bool (*interp_middle)(const swg__interp_taps *taps, int64_t rows, int64_t n, int64_t pitch, int32_t *guess, uint16_t *context);
    void (*interp_wide)(const swg__interp_taps *taps, int64_t rows, int64_t n, int64_t pitch, int64_t *guess, uint16_t *context);
    /* u = guess + e << shift and size = min(|e| << shift, 65535). False: |u| beyond SWG__INTERP_NARROW. */
    bool (*interp_place)(const int32_t *guess, const int64_t *e, int64_t n, int shift, int32_t *u, uint16_t *size);
    /* The other way: e that brings guess, less `first`, nearest to the values x. Raises *worst to the largest error. False if any value must be
     * looked at again; then u, size, e and *worst mean nothing. e: written up to SWG__INTERP_SLACK elements behind the n-th. */
    bool (*interp_code)(const double *x, const int32_t *guess, int64_t n, const swg__grid *grid, double first, int shift, int32_t *e,
                        int32_t *u, uint16_t *size, double *worst);

    /* Mode B-causal (block.h): out[i] = sum w_k row[k][i] / 2^13, nearest, ties to even, limited to +-2^25, for i < n, n a multiple of 8.
     * Exact: sums of magnitudes below 2^50. */
    void (*block_sums)(const int32_t *const *row, const int32_t *w, int64_t rows, int64_t n, int32_t *out);
} swg__codec_kernels;

/* The table for an instruction set this build has and this machine can run (ctx->isa is one). */
const swg__codec_kernels *swg__codec_kernels_for(swg__isa isa);

extern const swg__codec_kernels swg__codec_kernels_scalar, swg__codec_kernels_sse2, swg__codec_kernels_avx2, swg__codec_kernels_avx512;

#endif
