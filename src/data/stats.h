/* stats.h - moments that merge in a fixed order, and exact quantiles; for normalisers and metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_STATS_H
#define SWAGE_DATA_STATS_H

#include <stdint.h>

/* All zero is the empty set. */
typedef struct swg__moments {
    int64_t count;
    double min, max;
    double mean;
    double m2;     /* sum of squared deviations from the mean */
} swg__moments;

/* Moments of n values, two passes. */
swg__moments swg__moments_of(const double *values, int64_t n);
/* a joined with b (Chan et al. 1979). Deterministic, but not associative: merge in index order. */
swg__moments swg__moments_merge(swg__moments a, swg__moments b);
/* Population standard deviation; 0 for the empty set. */
double swg__moments_sd(swg__moments m);

/* The value at `position` (0..n-1) in the sorted order, linear between two order statistics. n >= 1, no NaN.
 * Linear time whatever the values, by radix selection; the values stay as they are. */
double swg__order_at(const double *values, int64_t n, double position);
/* Quantile q in 0..1: swg__order_at (n - 1) q. */
double swg__quantile(const double *values, int64_t n, double q);

#endif
