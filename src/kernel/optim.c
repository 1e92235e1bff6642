/* optim.c - global gradient norm and the fused Adam update over the whole parameter span.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "kernel/kernel.h"

enum { CHUNK = 4096, UPDATE = 16384 };

static int64_t norm_units(const swg__call *call) { return swg__ceil_div(call->span, CHUNK); }

static int64_t norm_grain(const swg__call *call) {
    (void)call;
    return 8;
}

static int64_t norm_scratch(const swg__call *call, bool *per_worker) {
    *per_worker = false;
    return swg__ceil_div(call->g->span, CHUNK) * (int64_t)sizeof(double);
}

static void norm_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t unit = begin; unit < end; unit++)
        ((double *)call->scratch)[unit] =
            call->isa->sum_squares((const float *)call->gradient + unit * CHUNK, swg__min64(CHUNK, call->span - unit * CHUNK));
}

/* The norm counts the gradients as the update will see them: averaged over micro-batches. */
static void norm_finish(const swg__call *call) {
    double total = 0;
    for (int64_t i = 0; i < norm_units(call); i++)
        total += ((const double *)call->scratch)[i];
    const float *hyper = call->in[0];
    *(float *)call->out = (float)(sqrt(total) * (double)hyper[SWG_HYPER_GRAD_SCALE]);
}

const swg__kernel swg__kernel_grad_norm = {.name = "grad_norm", .units = norm_units, .grain = norm_grain, .run = norm_run,
                                           .finish = norm_finish, .scratch = norm_scratch};

static int64_t adam_units(const swg__call *call) { return swg__ceil_div(call->span, UPDATE); }

static int64_t adam_grain(const swg__call *call) {
    (void)call;
    return 1;
}

static void adam_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    float norm = *(const float *)call->in[0];
    const float *h = call->in[1];
    if (!isfinite(norm))
        return; /* the step is skipped; the host sees the norm and counts it */
    swg__adam_scalars s = {.step_size = h[SWG_HYPER_STEP_SIZE], .rsqrt_c2 = h[SWG_HYPER_RSQRT_C2], .keep = h[SWG_HYPER_KEEP],
                           .decay = h[SWG_HYPER_DECAY], .rate1 = h[SWG_HYPER_RATE1], .rate2 = h[SWG_HYPER_RATE2],
                           .eps = h[SWG_HYPER_EPS], .grad_scale = h[SWG_HYPER_GRAD_SCALE]};
    if (call->node->attr.clip) {
        double factor = (double)h[SWG_HYPER_CLIP] / ((double)norm + 1e-6);
        s.grad_scale = (float)((double)s.grad_scale * (factor < 1 ? factor : 1));
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t at = unit * UPDATE, n = swg__min64(UPDATE, call->span - at);
        call->isa->adam((float *)call->weight + at, (const float *)call->gradient + at, (float *)call->moment1 + at,
                        (float *)call->moment2 + at, n, &s, call->node->attr.decoupled);
    }
}

static void adam_finish(const swg__call *call) { *(float *)call->out = *(const float *)call->in[0]; }

const swg__kernel swg__kernel_adam = {.name = "adam", .units = adam_units, .grain = adam_grain, .run = adam_run, .finish = adam_finish};
