/* transform.h - what is done to images before a network sees them: resampling, scaling of values, augmentation.
 * Each works on plain f32 arrays, allocates nothing unless it says so, and depends on its arguments alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_TRANSFORM_H
#define SWAGE_DATA_TRANSFORM_H

#include "base.h"

/* ---- resampling ---- */

/* floor(zoom n) */
int64_t swg__zoom_extent(double zoom, int64_t n);

/* (C, Z, Y, X) to (C, z, y, x), axis by axis. An axis that shrinks is averaged: output o of m takes input floor(o n/m) .. ceil((o+1) n/m) - 1. One that
 * grows is interpolated linearly between pixel centres, (o + 1/2) n/m - 1/2, its ends repeated. nearest: input floor((o + 1/2) n/m)
 * both ways, for ids. dims: C, Z, Y, X of `in`; to: z, y, x, at least 1. Allocates what lies between axes. */
swg_status swg__resample_volume(swg_context *ctx, const float *in, const int64_t dims[4], const int64_t to[3], bool nearest, float *out);

/* ---- values of one channel ---- */

/* Mean and population standard deviation, in f64. count >= 1. */
void swg__moments(const float *values, int64_t count, double *mean, double *sd);
void swg__extremes(const float *values, int64_t count, float *low, float *high);
/* (x - mean)/sd; sd 0: x - mean, and false is returned: the channel is constant. */
bool swg__normalise(float *values, int64_t count);
/* Percentile 0..100 with linear interpolation between neighbours in rank (NumPy's default). Values are not moved. */
double swg__percentile(const float *values, int64_t count, double percent);
/* To [-1,1] between percentiles low and high, clipped. Equal percentiles: all -1, and false is returned. */
bool swg__percentile_scale(float *values, int64_t count, double low, double high);
/* x >= level -> 1, else unchanged. */
void swg__threshold(float *values, int64_t count, double level);
/* x > 0 -> 1, else 0 */
void swg__binary(float *values, int64_t count);
/* NaN and infinities become 0; returns how many. */
int64_t swg__zero_nonfinite(float *values, int64_t count);

/* ---- augmentation: over all values given, whatever their channel ---- */

enum { SWG__HISTOGRAM_POINTS = 500 };

/* Control points of a histogram shift: their number is uniform in [90, 500), point i of 1..n-2, in order, uniform between point i-1, moved already, and i+1,
 * not yet moved; the ends stay 0 and 1. Returns the number. A function of the key. */
int swg__histogram_points(uint64_t key, double points[SWG__HISTOGRAM_POINTS]);
/* Piecewise linear map that takes linspace(min, max, count) to min + (max - min) points. A constant image stays. */
void swg__histogram_shift(float *values, int64_t count, const double *points, int point_count);
/* x + share sd(x) */
void swg__sd_shift(float *values, int64_t count, double share);
/* ((x - min)/(range + 1e-7))^gamma range + min */
void swg__gamma(float *values, int64_t count, double gamma);

/* ---- flips and turns of planes (planes, height, width), in place ---- */

void swg__flip_x(float *values, int64_t planes, int64_t height, int64_t width);
void swg__flip_y(float *values, int64_t planes, int64_t height, int64_t width);
/* A quarter turn clockwise: transposed, then flipped in x. */
void swg__turn(float *values, int64_t planes, int64_t side);

/* ---- patches ---- */

/* Index of position i >= 0 of an axis of n that goes on by reflection: 0 1 2 1 0 1 ... */
int64_t swg__reflect(int64_t i, int64_t n);

#endif
