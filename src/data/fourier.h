/* fourier.h - the discrete Fourier transform of powers of two in f64, for measures of signals. Internal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_FOURIER_H
#define SWAGE_FOURIER_H

#include "base.h"

typedef struct swg__fourier {
    int64_t n;
    double *cosine, *sine;      /* of 2 pi k / n, k < n */
} swg__fourier;

/* n: a power of two, 4 at least. Free with swg__fourier_close; all zero may be closed. */
swg_status swg__fourier_open(swg_context *ctx, int64_t n, swg__fourier *out);
void swg__fourier_close(swg_context *ctx, swg__fourier *f);

/* In place: X_k = sum of x_i exp(-2 pi sqrt(-1) i k / n). room: 2 n doubles. Exchange re and im for the inverse times n. */
void swg__fourier_run(const swg__fourier *f, double *re, double *im, double *room);

/* Two real signals a and b were transformed as a + sqrt(-1) b: bin k <= n / 2 of each, as re, im. */
static inline void swg__fourier_pair(const swg__fourier *f, const double *re, const double *im, int64_t k, double a[2], double b[2]) {
    const int64_t j = (f->n - k) & (f->n - 1);
    a[0] = .5 * (re[k] + re[j]);
    a[1] = .5 * (im[k] - im[j]);
    b[0] = .5 * (im[k] + im[j]);
    b[1] = .5 * (re[j] - re[k]);
}

#endif
