/* kan.h - B-splines in f64 for what is computed once: how coefficients start, and how they follow a grid.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_NN_KAN_H
#define SWAGE_NN_KAN_H

#include "ir/spline.h"

/* Knots of a uniform grid over [low, high] that goes on for `order` intervals on either side: intervals + 2 order + 1 numbers. */
void swg__kan_grid(int64_t intervals, int order, double low, double high, double *knots);
/* Bases first .. first + order of x on `count` knots, by the recursion of Cox and de Boor; those outside of 0 .. count - order - 2 are no
 * bases. False where all are 0. w: order + 1 numbers. */
bool swg__kan_bases(const double *knots, int64_t count, int order, double x, int64_t *first, double *w);
/* The curve through intervals + 1 numbers at the knots from low to high: A^T (A A^T)^-1 with A_rj = B_j at knot r (kan.md, section 3.2), as
 * (intervals + order, intervals + 1) numbers times scale, for the caller to free. */
swg_status swg__kan_noise_map(swg_context *ctx, int64_t intervals, int order, double low, double high, double scale, double **out);

#endif
