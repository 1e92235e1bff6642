/* train.c - what the stencil learns from a sample of its chunk: weights by least squares (f64 Cholesky, ridge, rounded to Q13) and
 * the scale bucket of each context by exact code length.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bucket.h"
#include "stencil.h"

enum { N = SWG__TAPS - 1, Q13 = 8192 };

/* Solves a x = b in place of b; a is symmetric, its lower half given. False if it is not positive definite. */
static bool cholesky(double a[N][N], double b[N]) {
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

swg_status swg__stencil_solve(swg_context *ctx, double (*sums)[SWG__SUM_WIDTH], int32_t w[SWG__TAPS]) {
    double (*a)[N] = swg__calloc(ctx, N, sizeof *a), b[N], trace = 0;
    if (!a)
        return swg__fail_memory(ctx, N * sizeof *a, "normal equations");
    for (int i = 0; i < N; i++)
        trace += sums[i + 1][i + 1];
    for (int k = 0; k < SWG__TAPS; k++)
        w[k] = 0;
    /* Weights the format cannot hold (|w| < 4, sum |w| < 32) must not be clipped, that ruins their balance: more ridge instead. */
    bool fits = false;
    for (double ridge = 1e-7; trace > 0 && isfinite(trace) && !fits && ridge < 10; ridge *= 10) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j <= i; j++)
                a[i][j] = sums[i + 1][j + 1];
            a[i][i] += ridge * trace / N;
            b[i] = sums[i + 1][0];
        }
        double total = 0, largest = 0;
        fits = cholesky(a, b);
        for (int k = 0; k < N; k++) {
            total += fabs(b[k]);
            largest = fabs(b[k]) > largest ? fabs(b[k]) : largest;
        }
        fits = fits && largest * Q13 < 32767 && total * Q13 < 262000;
    }
    for (int k = 0; k < N && fits; k++)
        w[k + 1] = (int32_t)rint(b[k] * Q13);
    swg__free(ctx, a);
    return SWG_OK;
}

swg_status swg__stencil_weights(swg_context *ctx, const swg__codec_kernels *kernels, const swg__training *t, int32_t w[SWG__TAPS]) {
    double (*sums)[SWG__SUM_WIDTH] = swg__calloc(ctx, SWG__TAPS, sizeof *sums);
    if (!sums)
        return swg__fail_memory(ctx, SWG__TAPS * sizeof *sums, "normal equations");
    kernels->normal_sums(t->d, t->target, t->mark, t->count, sums);
    swg_status status = swg__stencil_solve(ctx, sums, w);
    swg__free(ctx, sums);
    return status;
}

/* ---- buckets ---- */

/* Residual and context of every sampled point under the model's weights. */
static void predict_points(const swg__codec_kernels *kernels, swg__training *t, const swg__stencil *model) {
    enum { GROUP = 128 };
    const double least = model->wide ? -(double)SWG__WIDE_LIMIT : -8192, top = model->wide ? (double)SWG__WIDE_LIMIT : 8191;
    int64_t sum[GROUP], size[GROUP];
    int before = 2;
    for (int64_t i = 0; i < t->count; i++) {
        if (i % GROUP == 0)
            kernels->stencil_points(t->d + i * N, t->count - i < GROUP ? t->count - i : GROUP, model->w, least, top, sum, size);
        int64_t mu = (sum[i % GROUP] + 256) >> 9, half = (mu + 8) >> 4, e = (int64_t)t->target[i] - half;
        before = t->mark[i] & SWG__SAMPLE_START ? 2 : before;
        t->point[i] = (struct swg__point){.e = e, .phase = (int8_t)(mu - 16 * half), .before = (uint8_t)before,
                                          .activity = (uint8_t)swg__activity_class(4 * size[i % GROUP] + 27, model->wide)};
        before = t->mark[i] & SWG__SAMPLE_MASKED ? 2 : e == 0 ? 0 : e == 1 || e == -1 ? 1 : 2;
    }
}

void swg__stencil_spread(swg__stencil *model) {
    for (int c = 0; c < 128; c++)
        if (c < model->c_min || c > model->c_max)
            memcpy(model->bucket[c], model->bucket[c < model->c_min ? model->c_min : model->c_max], 3);
}

uint64_t swg__stencil_buckets(const swg__codec_kernels *kernels, swg__training *t, int64_t total, swg__stencil *model) {
    predict_points(kernels, t, model);
    return swg__point_buckets(t, total, model);
}

uint64_t swg__point_buckets(const swg__training *t, int64_t total, swg__stencil *model) {
    enum { OWN = 16, NEAR = 8, RARE = 4 }; /* weights in a histogram */
    const int most = model->wide ? SWG__WIDE_BUCKETS - 1 : SWG__BUCKETS - 1, top_class = model->wide ? 127 : 63;
    int32_t first[128][3]; /* points of a context, linked */
    uint64_t all = 0;
    memset(first, -1, sizeof first);
    model->c_min = t->count ? 127 : 0;
    model->c_max = 0;
    for (int64_t i = 0; i < t->count; i++) {
        struct swg__point *p = &t->point[i];
        if (t->mark[i] & SWG__SAMPLE_MASKED)
            continue;
        p->next = first[p->activity][p->before];
        first[p->activity][p->before] = (int32_t)i;
        model->c_min = p->activity < model->c_min ? p->activity : model->c_min;
        model->c_max = p->activity > model->c_max ? p->activity : model->c_max;
    }
    if (model->c_min > model->c_max) /* nothing but masked values */
        model->c_min = model->c_max = 0;
    if (total > 32 * t->count && t->count) /* rare classes the sample missed */
        model->c_max = model->c_max + 8 < top_class ? model->c_max + 8 : top_class;
    for (int c = model->c_min; c <= model->c_max; c++)
        for (int r = 0; r < 3; r++) {
            if (first[c][r] < 0) { /* a class is a quarter octave, like a bucket: an empty one follows the one below */
                int below = c > model->c_min ? model->bucket[c - 1][r] + 1 : r ? model->bucket[c][r - 1] : 4;
                model->bucket[c][r] = (uint8_t)(below < most ? below : most);
                continue;
            }
            /* A few points say little of what else there will be: half as much as they say their neighbours, and there is a +-1. */
            uint32_t histogram[SWG__HISTOGRAM(SWG__PHASES)] = {[15 - 1] = RARE, [15 + 1] = RARE};
            for (int near = c > 0 ? c - 1 : 0; near <= c + 1 && near < 128; near++)
                for (int64_t i = first[near][r]; i >= 0; i = t->point[i].next)
                    swg__histogram_add(histogram, SWG__PHASES, t->point[i].phase, t->point[i].e, near == c ? OWN : NEAR);
            const int bucket = swg__bucket_best(histogram, SWG__PHASES, most, NULL);
            model->bucket[c][r] = (uint8_t)bucket;
            for (int64_t i = first[c][r]; i >= 0; i = t->point[i].next)
                all += swg__residual_cost(bucket, t->point[i].phase, t->point[i].e);
        }
    swg__stencil_spread(model);
    return all;
}
