/* quality.h (internal) - what a report says of one array beyond its largest error.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ARCHIVE_QUALITY_H
#define SWAGE_ARCHIVE_QUALITY_H

#include "archive/archive.h"

struct cJSON;

enum { SWG__BINS = 40, SWG__WAVES = 512, SWG__CURVE = 5 };

/* Axes are z, y, x: the last three of the array, of each block where it holds blocks; shorter arrays have extent 1 in front. Values that are
 * not finite, in the original or restored, are left out. */
typedef struct swg__quality {
    int64_t extent[3], outer;       /* outer: volumes of that extent */
    int64_t finite;
    double unit;                    /* what errors are divided by: the bound, or 1 without one */
    double mean, deviation;         /* of the error / unit */
    double lag1[3];                 /* autocorrelation of the error along an axis; NaN: extent 1, or no error */
    double gradient[3];             /* rms of the error of differences between neighbours over the rms of the differences; NaN as above */
    int64_t histogram[SWG__BINS];   /* of the error / bound over -1..1; empty without a bound */
    int waves;                      /* wave numbers 0..waves-1 along x: power per line, mean over lines */
    double power[SWG__WAVES], power_restored[SWG__WAVES], power_error[SWG__WAVES];
} swg__quality;

void swg__quality_measure(const swg_swz_info *info, const void *original, const void *restored, swg__quality *out);

/* Points of a rate-distortion curve: the array once more at other bounds, without a network. */
typedef struct swg__curve_point { double bound, bound_rel, bits_per_value, ratio, psnr_db; } swg__curve_point;
/* points: SWG__CURVE of them, *count made. Arrays above 2^24 values: the first slabs of the slowest axis. */
swg_status swg__quality_curve(swg_context *ctx, const swg_swz_info *info, const void *original, swg__curve_point *points, int *count);

/* BSSN: of every file of a .swz that has U_SYMGT0..5 and U_SYMAT0..5, before and after. */
typedef struct swg__bssn_check {
    const char *source;
    double det[2], trace[2];        /* max |det(SYMGT) - 1|, max |trace of SYMAT with the inverse of SYMGT|; original, restored */
} swg__bssn_check;
/* Makes *checks (memory of the context, free it). */
swg_status swg__bssn_checks(swg_context *ctx, const swg_swz *swz, swg_source *source, const char *original, swg__bssn_check **checks, int64_t *count);

/* ---- onto the page, into JSON ---- */

typedef struct swg__shown { /* one variable of the report */
    const swg_swz *swz;
    int64_t member;
    const swg__quality *quality;
    const swg__curve_point *curve;
    int points;
} swg__shown;
void swg__quality_html(swg_report *page, const swg__shown *shown);
void swg__quality_json(const swg__shown *shown, struct cJSON *list);
/* Rate-distortion of all shown variables in one chart. */
void swg__curves_html(swg_report *page, const char *const *names, const swg__curve_point (*curves)[SWG__CURVE], const int *counts, int64_t shown);
void swg__bssn_html(swg_report *page, const swg__bssn_check *checks, int64_t count);
void swg__bssn_json(const swg__bssn_check *checks, int64_t count, struct cJSON *to);

#endif
