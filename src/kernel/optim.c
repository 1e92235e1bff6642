/* optim.c - sum of micro-batches, global gradient norm and the fused update over the whole parameter span.
 * In: the spans of the weights and the numbers of each parameter group. Out: the spans, in place; the norm.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "kernel/kernel.h"

enum { CHUNK = 4096, UPDATE = 16384, FUSED = -1 };

static bool has(const swg__call *call, int flag) { return call->node->attr.update_flags & flag; }

static int64_t norm_units(const swg__call *call) { return swg__ceil_div(call->span, CHUNK); }

static int64_t norm_grain(const swg__call *call) {
    (void)call;
    return 8;
}

static int64_t norm_scratch(const swg__call *call, bool *per_worker) {
    *per_worker = false;
    return swg__ceil_div(call->g->span, CHUNK) * (int64_t)sizeof(double);
}

/* Where gradients are added up, the chunk is added first, and counted while it is in cache. */
static void norm_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const float *h = call->in[0];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t n = swg__min64(CHUNK, call->span - unit * CHUNK);
        const float *g = (const float *)call->gradient + unit * CHUNK;
        if (has(call, SWG__UPDATE_ACCUMULATE)) {
            float *sum = (float *)call->sum + unit * CHUNK;
            call->isa->accumulate(sum, g, n, h[SWG_HYPER_WEIGHT], h[SWG_HYPER_FIRST] != 0);
            g = sum;
        }
        ((double *)call->scratch)[unit] = call->isa->sum_squares(g, n);
    }
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

static int64_t update_units(const swg__call *call) { return swg__ceil_div(call->span, UPDATE); }

static int64_t update_grain(const swg__call *call) {
    (void)call;
    return 1;
}

/* Elements [at, at + n), all of one group whose numbers are h. pass: of swg__kernel_update_pass, or FUSED. */
static void update_stretch(const swg__call *call, int64_t at, int64_t n, const float *h, float grad_scale, int pass) {
    float *w = (float *)call->weight + at, *m = call->moment1 ? (float *)call->moment1 + at : NULL;
    float *g = (float *)(has(call, SWG__UPDATE_ACCUMULATE) ? call->sum : call->gradient) + at;
    if (call->node->attr.update == SWG_UPDATE_SGD) {
        const swg__sgd_scalars s = {.step_size = h[SWG_HYPER_STEP_SIZE], .decay = h[SWG_HYPER_DECAY], .momentum = h[SWG_HYPER_MOMENTUM],
                                    .grad_scale = grad_scale};
        call->isa->sgd(w, g, has(call, SWG__UPDATE_MOMENTUM) ? m : NULL, n, &s, has(call, SWG__UPDATE_NESTEROV));
        return;
    }
    const swg__adam_scalars s = {.step_size = h[SWG_HYPER_STEP_SIZE], .rsqrt_c2 = h[SWG_HYPER_RSQRT_C2], .keep = h[SWG_HYPER_KEEP],
                                 .decay = h[SWG_HYPER_DECAY], .rate1 = h[SWG_HYPER_RATE1], .rate2 = h[SWG_HYPER_RATE2],
                                 .eps = h[SWG_HYPER_EPS], .grad_scale = grad_scale};
    float *v = (float *)call->moment2 + at, *largest = has(call, SWG__UPDATE_AMSGRAD) ? (float *)call->largest + at : NULL;
    bool decoupled = call->node->attr.update == SWG_UPDATE_ADAMW;
    if (pass == FUSED)
        call->isa->adam(w, g, m, v, largest, n, &s, decoupled);
    else
        call->isa->adam_pass(pass, w, g, m, v, largest, n, &s, decoupled);
}

static void update_range(const swg__call *call, int64_t begin, int64_t end, int pass) {
    float norm = *(const float *)call->in[0];
    const float *h = call->in[1];
    if (!isfinite(norm) || h[SWG_HYPER_LAST] == 0)
        return; /* not finite: the step is skipped; the host sees the norm and counts it. Not the last micro-batch: later */
    float grad_scale = h[SWG_HYPER_GRAD_SCALE];
    if (has(call, SWG__UPDATE_CLIP)) {
        double factor = (double)h[SWG_HYPER_CLIP] / ((double)norm + 1e-6);
        grad_scale = (float)((double)grad_scale * (factor < 1 ? factor : 1));
    }
    int64_t last = swg__min64(end * UPDATE, call->span);
    const swg__segment *segment = call->segments;
    for (int64_t at = begin * UPDATE, n; at < last; at += n) {
        while (segment->end <= at)
            segment++;
        n = swg__min64(segment->end, last) - at;
        update_stretch(call, at, n, h + segment->group * SWG_HYPER_COUNT, grad_scale, pass);
    }
}

static void update_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    update_range(call, begin, end, FUSED);
}

static void update_finish(const swg__call *call) { *(float *)call->out = *(const float *)call->in[0]; }

const swg__kernel swg__kernel_update = {.name = "update", .units = update_units, .grain = update_grain, .run = update_run,
                                        .finish = update_finish};

/* The same update as four steps, each over the whole span: what fusing them saves can be measured. */
#define PASS(number)                                                                                             \
    static void pass_##number(const swg__call *call, int64_t begin, int64_t end, int worker) {                   \
        (void)worker;                                                                                            \
        update_range(call, begin, end, number);                                                                  \
    }
PASS(0) PASS(1) PASS(2) PASS(3)
#undef PASS

const swg__kernel swg__kernel_update_pass[SWG__UPDATE_PASSES] = {
    {.name = "update_gradient", .units = update_units, .grain = update_grain, .run = pass_0},
    {.name = "update_moment1", .units = update_units, .grain = update_grain, .run = pass_1},
    {.name = "update_moment2", .units = update_units, .grain = update_grain, .run = pass_2},
    {.name = "update_weights", .units = update_units, .grain = update_grain, .run = pass_3, .finish = update_finish},
};
