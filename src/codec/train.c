/* train.c - weighted least squares for the stencil: normal equations, ridge, Cholesky in f64, rounding to Q13.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stencil.h"

enum { N = SWG__TAPS - 1, Q13 = 8192 };

/* Solves a x = b in place of b; a is symmetric, its lower half given. False if it is not positive definite. */
static bool cholesky(double a[N][N + 1], double b[N]) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double t = a[i][j];
            for (int k = 0; k < j; k++)
                t -= a[i][k] * a[j][k];
            if (i == j && !(t > 0))
                return false;
            a[i][j] = i == j ? sqrt(t) : t / a[j][j];
        }
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = N - 1; i >= 0; i--) {
        for (int k = i + 1; k < N; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

swg_status swg__stencil_weights(swg_context *ctx, const double *d, const double *target, int64_t count, int32_t w[SWG__TAPS]) {
    double (*a)[N + 1] = swg__calloc(ctx, N, sizeof *a), b[N];
    if (!a)
        return swg__fail_memory(ctx, N * sizeof *a, "normal equations");
    for (int64_t s = 0; s < count; s++) {
        double x[N + 1], size = 0;
        for (int k = 0; k < N; k++) {
            x[k] = d[s * N + k];
            size += fabs(x[k]);
        }
        x[N] = target[s];
        double weight = 1 / ((size / N + 0.25) * (size / N + 0.25));
        for (int i = 0; i < N; i++) {
            double wx = weight * x[i];
            for (int j = 0; j <= N; j++)
                a[i][j] += wx * x[j];
        }
    }
    double trace = 0, total = 0;
    for (int i = 0; i < N; i++) {
        trace += a[i][i];
        b[i] = a[i][N];
    }
    for (int i = 0; i < N; i++)
        a[i][i] += 1e-7 * trace / N;
    for (int k = 0; k < SWG__TAPS; k++)
        w[k] = 0;
    if (trace > 0 && isfinite(trace) && cholesky(a, b)) {
        for (int k = 0; k < N; k++)
            total += fabs(b[k]);
        double scale = total * Q13 > 262000 ? 262000 / total : Q13; /* sum |w| <= 262143 keeps the accumulators in 32 bits */
        for (int k = 0; k < N && isfinite(scale); k++) {
            double v = rint(b[k] * scale);
            w[k + 1] = (int32_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
        }
    }
    swg__free(ctx, a);
    return SWG_OK;
}
