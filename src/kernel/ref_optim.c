/* ref_optim.c - the slow f64 truth of gradient norm and updates (training.md, section 1).
 * In: the spans of the weights. Out: the spans, in place; the norm.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "kernel/ref.h"

static bool has(const swg__call *call, int flag) { return call->node->attr.update_flags & flag; }

void swg__ref_grad_norm(const swg__call *call) {
    const double *g = call->gradient, *h = call->in[0];
    double total = 0, *sum = call->sum;
    for (int64_t i = 0; i < call->span; i++) {
        double gi = g[i];
        if (has(call, SWG__UPDATE_ACCUMULATE))
            gi = sum[i] = (h[SWG_HYPER_FIRST] != 0 ? 0 : sum[i]) + h[SWG_HYPER_WEIGHT] * gi;
        total += gi * gi;
    }
    *(double *)call->out = sqrt(total) * h[SWG_HYPER_GRAD_SCALE];
}

static void adam(const swg__call *call, int64_t i, double gi, const double *h) {
    double *w = (double *)call->weight + i, *m = (double *)call->moment1 + i, *v = (double *)call->moment2 + i, most;
    if (call->node->attr.update == SWG_UPDATE_ADAMW)
        *w *= h[SWG_HYPER_KEEP];
    else
        gi += h[SWG_HYPER_DECAY] * *w;
    *m += h[SWG_HYPER_RATE1] * (gi - *m);
    most = *v += h[SWG_HYPER_RATE2] * (gi * gi - *v);
    if (has(call, SWG__UPDATE_AMSGRAD))
        most = ((double *)call->largest)[i] = fmax(most, ((double *)call->largest)[i]);
    *w -= h[SWG_HYPER_STEP_SIZE] * *m / (sqrt(most) * h[SWG_HYPER_RSQRT_C2] + h[SWG_HYPER_EPS]);
}

static void sgd(const swg__call *call, int64_t i, double gi, const double *h) {
    double *w = (double *)call->weight + i;
    gi += h[SWG_HYPER_DECAY] * *w;
    if (has(call, SWG__UPDATE_MOMENTUM)) {
        double *m = (double *)call->moment1 + i;
        *m = h[SWG_HYPER_MOMENTUM] * *m + gi;
        gi = has(call, SWG__UPDATE_NESTEROV) ? gi + h[SWG_HYPER_MOMENTUM] * *m : *m;
    }
    *w -= h[SWG_HYPER_STEP_SIZE] * gi;
}

void swg__ref_update(const swg__call *call) {
    double norm = *(const double *)call->in[0];
    const double *h = call->in[1], *g = has(call, SWG__UPDATE_ACCUMULATE) ? call->sum : call->gradient;
    *(double *)call->out = norm;
    if (!isfinite(norm) || h[SWG_HYPER_LAST] == 0)
        return;
    double scale = h[SWG_HYPER_GRAD_SCALE];
    if (has(call, SWG__UPDATE_CLIP))
        scale *= fmin(1, h[SWG_HYPER_CLIP] / (norm + 1e-6));
    const swg__segment *segment = call->segments;
    for (int64_t i = 0; i < call->span; i++) {
        while (segment->end <= i)
            segment++;
        (call->node->attr.update == SWG_UPDATE_SGD ? sgd : adam)(call, i, g[i] * scale, h + segment->group * SWG_HYPER_COUNT);
    }
}
