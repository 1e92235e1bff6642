/* normal.h - least squares by their normal equations, where unknowns may depend on each other. Internal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_NORMAL_H
#define SWAGE_NORMAL_H

#include "base.h"

/* Solves A X = B for a Gram matrix A. a: (n, n), its lower half is read, and overwritten by its Cholesky factor. b: (count, n), each row a right
 * side, overwritten by its solution. An unknown that depends on those before it, up to `tolerance` of its own energy, becomes 0: what the others span is
 * spanned without it. n^3 / 3 multiply-adds, on all threads. Nothing depends on their number.
 * SWG_ENOMEM. */
swg_status swg__normal_solve(swg_context *ctx, int64_t n, double *a, int64_t count, double *b, double tolerance);

#endif
