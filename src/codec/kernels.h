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

    /* The next n residuals of the stream. phase may be NULL (all 0). */
    void (*residuals)(swg__rans *r, const uint8_t *bucket, const int8_t *phase, int64_t n, int64_t *e);

    /* y[row][j] = bias[j] + sum_i w[j][i] x[row][i], rows of x and w `stride` int16 apart, stride a multiple of SWG__NET_PAD,
     * padded with zeros; y rows are `out` apart. |sums| < 2^31 by the model's checks. */
    void (*linear)(const int16_t *x, int64_t rows, int64_t stride, const int16_t *w, const int32_t *bias, int64_t out, int32_t *y);

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
} swg__codec_kernels;

/* The table for an instruction set this build has and this machine can run (ctx->isa is one). */
const swg__codec_kernels *swg__codec_kernels_for(swg__isa isa);

extern const swg__codec_kernels swg__codec_kernels_scalar, swg__codec_kernels_sse2, swg__codec_kernels_avx2, swg__codec_kernels_avx512;

#endif
