/* metrics.h - how far a reconstruction is from the original: errors, PSNR, correlation, relative errors.
 * All sums are f64 over fixed chunks joined in order: the same numbers for any number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_METRICS_H
#define SWAGE_METRICS_H

#include "swage/data.h"

/* e = reconstruction - original. Constant, key in JSON, meaning. Keys are stable. */
#define SWG_METRIC_TABLE(X)                                                                          \
    X(VALUES, "values", "values compared")                                                           \
    X(ZEROS, "zeros", "originals that are 0; they have no relative error")                           \
    X(CONSTANT_BLOCKS, "constant_blocks", "blocks left out because they are constant")               \
    X(RAW_BLOCKS, "raw_blocks", "blocks left out because they are stored as they are")               \
    X(MIN, "min", "smallest original")                                                               \
    X(MAX, "max", "largest original")                                                                \
    X(MSE, "mse", "mean of e^2")                                                                     \
    X(MAE, "mae", "mean of |e|")                                                                     \
    X(MAX_ABS_ERROR, "max_abs_error", "largest |e|")                                                 \
    X(ERROR_MEAN, "error_mean", "mean of e")                                                         \
    X(ERROR_STD, "error_std", "population standard deviation of e")                                  \
    X(ERROR_MIN, "error_min", "smallest e")                                                          \
    X(ERROR_MAX, "error_max", "largest e")                                                           \
    X(PSNR_DB, "psnr_db", "20 log10(max - min) - 10 log10(mse); inf if mse is 0")                    \
    X(NRMSE, "nrmse", "sqrt(mse) / (max - min)")                                                     \
    X(CORRELATION, "correlation", "Pearson r")                                                       \
    X(RELATIVE_L2, "relative_l2", "||e|| / ||x||")                                                   \
    X(RELATIVE_MEAN, "relative_mean", "mean of |e| / |x| over x != 0")                               \
    X(RELATIVE_MAX, "relative_max", "largest |e| / |x|")                                             \
    X(RELATIVE_STD, "relative_std", "population standard deviation of |e| / |x|")                    \
    X(RELATIVE_RMS, "relative_rms", "root mean square of |e| / |x|")                                 \
    X(RELATIVE_P50, "relative_p50", "median of |e| / |x|")                                           \
    X(RELATIVE_P95, "relative_p95", "95th percentile of |e| / |x|")                                  \
    X(RELATIVE_P99, "relative_p99", "99th percentile of |e| / |x|")

typedef enum swg_metric {
#define X(name, key, meaning) SWG_METRIC_##name,
    SWG_METRIC_TABLE(X)
#undef X
    SWG_METRICS
} swg_metric;

const char *swg_metric_key(swg_metric metric);     /* "mse"; NULL outside the enum */
const char *swg_metric_meaning(swg_metric metric);

/* Figures of one variable, or of all. value[m] counts only where has[m]: a zero range has no PSNR, a constant no correlation. */
typedef struct swg_metrics {
    bool has[SWG_METRICS];
    double value[SWG_METRICS]; /* PSNR may be infinite */
} swg_metrics;

/* Collects pairs of arrays. */
typedef struct swg_compare swg_compare;

typedef struct swg_compare_opts {
    double relative_floor; /* > 0: |e| / (|x| + floor) over all values, as published with 1e-12 */
    bool no_percentiles;   /* they need 8 bytes per value until the end */
} swg_compare_opts;

swg_status swg_compare_open(swg_context *ctx, const swg_compare_opts *opts, swg_compare **out);
void swg_compare_close(swg_compare *compare); /* NULL is allowed */
/* Adds count pairs. SWG_ENONFINITE if one is NaN or infinite; nothing of the call is counted then. */
swg_status swg_compare_add(swg_compare *compare, swg_element element, const void *original, const void *reconstruction, int64_t count);
/* Counts blocks that were left out. */
void swg_compare_exclude(swg_compare *compare, int64_t constant_blocks, int64_t raw_blocks);
/* The figures so far. */
void swg_compare_result(const swg_compare *compare, swg_metrics *out);

/* {"values":..., "mse":..., ...} with null for what has no value and "inf" for infinity. Like snprintf: at most `capacity` bytes are
 * written, the length of the whole text is returned. */
int64_t swg_metrics_json(const swg_metrics *metrics, char *text, int64_t capacity);

#endif
