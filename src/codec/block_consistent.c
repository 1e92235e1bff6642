/* block_consistent.c - displacements averaged over a block need not be the variances of any field; this moves them to the nearest that are.
 * In: half squares by displacement, in squared steps. Out: the same, consistent up to a share of the grid's own noise.
 * Alternating projections: cut off the negative eigenvalues of the covariance, average over displacements, again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

enum { SWEEPS = 12, ROUNDS = 10, EDGE_MOST = 7 }; /* a round takes edge^9 */
#define COARSE 0.05

/* A symmetric matrix plus `slack` on its diagonal has a Cholesky factor; work (n, n) receives it. */
static bool positive(const double *a, int n, double slack, double *work) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double t = a[i * n + j] + (i == j ? slack : 0);
            for (int k = 0; k < j; k++)
                t -= work[i * n + k] * work[j * n + k];
            if (i == j && !(t > 0))
                return false;
            work[i * n + j] = i == j ? sqrt(t) : t / work[j * n + j];
        }
    return true;
}

/* One rotation of Jacobi's method in rows and columns p, q of a, and in rows p, q of v. */
static void rotate(double *a, double *v, int n, int p, int q) {
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
    double *ap = a + p * n, *aq = a + q * n, *vp = v + p * n, *vq = v + q * n;
    for (int k = 0; k < n; k++) {
        double x = ap[k], y = aq[k];
        ap[k] = c * x - s * y;
        aq[k] = s * x + c * y;
        x = vp[k];
        y = vq[k];
        vp[k] = c * x - s * y;
        vq[k] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
}

/* Adds to `a` what makes its negative eigenvalues 0. work: (2, n, n) */
static void clip(double *a, int n, double *work) {
    double *d = work, *v = work + n * n, largest = 0;
    memcpy(d, a, (size_t)(n * n) * sizeof *d);
    memset(v, 0, (size_t)(n * n) * sizeof *v);
    for (int i = 0; i < n; i++) {
        v[i * n + i] = 1;
        largest = fmax(largest, fabs(a[i * n + i]));
    }
    for (int sweep = 0, left = 1; sweep < SWEEPS && left; sweep++) {
        left = 0;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                double off = fabs(d[p * n + q]), size = sqrt(fabs(d[p * n + p] * d[q * n + q]));
                if (off <= 1e-13 * largest || off <= COARSE * size) /* what is left matters little: the averages that follow undo more */
                    continue;
                rotate(d, v, n, p, q);
                left++;
            }
    }
    for (int i = 0; i < n; i++) {
        const double lambda = d[i * n + i], *e = v + i * n;
        if (lambda >= 0)
            continue;
        for (int j = 0; j < n; j++)
            for (int k = 0; k < n; k++)
                a[j * n + k] -= lambda * e[j] * e[k];
    }
}

typedef struct space {
    int edge, n, half[2];          /* n = edge^3; positions of even and odd functions under reflection at the block's centre */
    double *block[2], *work;       /* (half, half) covariances of both; the reflection turns every displacement into its negative */
    double *mean;                  /* (n) row means of the table */
} space;

static double table_at(const space *s, const double *gamma, int a, int b) { return a == b ? 0 : gamma[swg__variogram_entry(s->edge, false, a, b)]; }

/* Covariance of two values less the block's mean, from half squares: -J gamma J. */
static double covariance(const space *s, const double *gamma, double all, int a, int b) { return s->mean[a] + s->mean[b] - all - table_at(s, gamma, a, b); }

static void split(space *s, const double *gamma) {
    const int n = s->n;
    double all = 0;
    for (int a = 0; a < n; a++) {
        s->mean[a] = 0;
        for (int b = 0; b < n; b++)
            s->mean[a] += table_at(s, gamma, a, b) / n;
        all += s->mean[a] / n;
    }
    for (int odd = 0; odd < 2; odd++)
        for (int a = 0; a < s->half[odd]; a++)
            for (int b = 0; b <= a; b++) {
                double same = covariance(s, gamma, all, a, b), other = covariance(s, gamma, all, a, n - 1 - b);
                double scale = (2 * a == n - 1 ? M_SQRT1_2 : 1) * (2 * b == n - 1 ? M_SQRT1_2 : 1);
                s->block[odd][a * s->half[odd] + b] = s->block[odd][b * s->half[odd] + a] = scale * (odd ? same - other : same + other);
            }
}

/* Covariance of positions a and b from both blocks. */
static double joined(const space *s, int a, int b) {
    const int n = s->n, x = 2 * a < n ? a : n - 1 - a, y = 2 * b < n ? b : n - 1 - b;
    double v = s->block[0][x * s->half[0] + y] * (2 * x == n - 1 ? M_SQRT2 : 1) * (2 * y == n - 1 ? M_SQRT2 : 1) / 2;
    if (x < s->half[1] && y < s->half[1])
        v += ((x == a) == (y == b) ? 1 : -1) * s->block[1][x * s->half[1] + y] / 2;
    return v;
}

static void average(const space *s, double *gamma, double *seen) {
    const int64_t count = swg__variogram_count(s->edge, false);
    memset(gamma, 0, (size_t)count * sizeof *gamma);
    memset(seen, 0, (size_t)count * sizeof *seen);
    for (int a = 0; a < s->n; a++)
        for (int b = 0; b < a; b++) {
            int64_t entry = swg__variogram_entry(s->edge, false, a, b);
            gamma[entry] += 0.5 * (joined(s, a, a) + joined(s, b, b)) - joined(s, a, b);
            seen[entry]++;
        }
    for (int64_t i = 0; i < count; i++)
        gamma[i] = seen[i] > 0 && gamma[i] > 0 ? gamma[i] / seen[i] : 0;
}

swg_status swg__variogram_repair(swg_context *ctx, int edge, double *gamma) {
    space s = {.edge = edge, .n = edge * edge * edge};
    s.half[0] = (s.n + 1) / 2;
    s.half[1] = s.n / 2;
    const size_t square = (size_t)s.half[0] * (size_t)s.half[0];
    double nearest = INFINITY;
    for (int i = 1, step = 1; i <= 3; i++, step *= edge)
        nearest = fmin(nearest, gamma[swg__variogram_entry(edge, false, 0, step)]);
    /* What is added to the diagonal later, and a little of what neighbours differ by. */
    const double slack = 1.0 / 14 + 0.03 * nearest;
    s.mean = swg__alloc(ctx, ((size_t)s.n + 4 * square + (size_t)swg__variogram_count(edge, false)) * sizeof(double));
    if (!s.mean)
        return swg__fail_memory(ctx, 4 * square * sizeof(double), "a variogram");
    s.block[0] = s.mean + s.n;
    s.block[1] = s.block[0] + square;
    s.work = s.block[1] + square;
    for (int round = 0; round < ROUNDS && edge <= EDGE_MOST; round++) {
        split(&s, gamma);
        bool even = positive(s.block[0], s.half[0], slack, s.work), odd = positive(s.block[1], s.half[1], slack, s.work);
        if (even && odd)
            break;
        for (int i = 0; i < 2; i++)
            if (!(i ? odd : even))
                clip(s.block[i], s.half[i], s.work);
        average(&s, gamma, s.work + 2 * square);
    }
    swg__free(ctx, s.mean);
    return SWG_OK;
}
