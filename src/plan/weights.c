/* weights.c - the parameter span and its gradients and moments: one allocation each, parameters are views into them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "philox.h"
#include "plan/plan.h"

/* Name, stream and place of a leaf; false: out of memory. */
static bool describe(swg_weights *w, const swg__node *n, struct swg__weight *item) {
    size_t length = strlen(n->name), prefix = strlen("init:");
    char *stream = swg__arena_alloc(&w->arena, prefix + length + 1);
    if (!stream)
        return false;
    memcpy(stream, "init:", prefix);
    for (size_t j = 0; j <= length; j++)
        stream[prefix + j] = n->name[j] == '/' ? '.' : n->name[j];
    *item = (struct swg__weight){.name = stream + prefix, .stream = swg__fnv1a(stream), .ndim = n->ndim, .offset = n->offset,
                                 .bound = n->attr.f[0], .value = n->attr.f[1], .diagonal = n->attr.diagonal};
    memcpy(item->shape, n->shape, sizeof item->shape);
    return true;
}

swg_status swg_weights_create(swg_graph *g, bool training, swg_weights **out) {
    *out = NULL;
    SWG__TRY(swg_graph_status(g));
    swg_context *ctx = g->ctx;
    swg_weights *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, "weights");
    w->ctx = ctx;
    w->dtype = g->dtype;
    swg__arena_init(&w->arena, ctx);
    w->count = g->param_count;
    w->state_count = g->state_count;
    w->span = g->span;
    w->state_span = g->state_span;
    w->items = swg__arena_alloc(&w->arena, (size_t)(w->count + 1) * sizeof *w->items);
    w->states = swg__arena_alloc(&w->arena, (size_t)(w->state_count + 1) * sizeof *w->states);
    bool ok = w->items && w->states;
    for (int i = 0; ok && i < w->count; i++)
        ok = describe(w, &g->nodes[g->params[i]], &w->items[i]);
    for (int i = 0; ok && i < w->state_count; i++)
        ok = describe(w, &g->nodes[g->states[i].state], &w->states[i]);
    size_t size = swg__dtype_size(w->dtype), span = (size_t)w->span;
    ok = ok && (w->value = swg__calloc(ctx, span, size)) != NULL;
    if (w->state_count)
        ok = ok && (w->state = swg__calloc(ctx, (size_t)w->state_span, size)) != NULL;
    if (training)
        ok = ok && (w->gradient = swg__calloc(ctx, span, size)) != NULL && (w->moment1 = swg__calloc(ctx, span, size)) != NULL &&
             (w->moment2 = swg__calloc(ctx, span, size)) != NULL;
    if (!ok) {
        swg_weights_destroy(w);
        return swg__fail_memory(ctx, span * size, "the parameter span");
    }
    *out = w;
    return SWG_OK;
}

void swg_weights_destroy(swg_weights *w) {
    if (!w)
        return;
    swg__free(w->ctx, w->moment2);
    swg__free(w->ctx, w->moment1);
    swg__free(w->ctx, w->gradient);
    swg__free(w->ctx, w->state);
    swg__free(w->ctx, w->value);
    swg__arena_free(&w->arena);
    swg__free(w->ctx, w);
}

void swg_weights_init(swg_weights *w, uint64_t seed) {
    for (int i = 0; i < w->count; i++) {
        const struct swg__weight *item = &w->items[i];
        int64_t elements = swg__shape_elements(item->ndim, item->shape);
        float bound = (float)item->bound;
        for (int64_t e = 0; e < elements; e++) {
            float u = swg__uniform(swg__philox(seed, (uint64_t)e / 4, 0, item->stream).w[e % 4]);
            float value = item->bound > 0 ? bound * (2.f * u - 1.f) : (float)item->value;
            if (item->diagonal && e / item->shape[1] != e % item->shape[1])
                value = 0;
            swg__store(w->value, w->dtype, item->offset + e, (double)value);
        }
    }
    for (int i = 0; i < w->state_count; i++) {
        const struct swg__weight *item = &w->states[i];
        for (int64_t e = 0; e < swg__shape_elements(item->ndim, item->shape); e++)
            if (w->dtype == SWG_F64)
                ((double *)w->state)[item->offset + e] = item->value;
            else
                ((float *)w->state)[item->offset + e] = (float)item->value;
    }
}

static void *in_span(const swg_weights *w, char *span, int i) {
    return span ? span + w->items[i].offset * (int64_t)swg__dtype_size(w->dtype) : NULL;
}

int swg_weights_count(const swg_weights *w) { return w->count; }
const char *swg_weights_name(const swg_weights *w, int i) { return w->items[i].name; }
int swg_weights_ndim(const swg_weights *w, int i) { return w->items[i].ndim; }
const int64_t *swg_weights_shape(const swg_weights *w, int i) { return w->items[i].shape; }
void *swg_weights_value(swg_weights *w, int i) { return in_span(w, w->value, i); }
void *swg_weights_gradient(swg_weights *w, int i) { return in_span(w, w->gradient, i); }
void *swg_weights_moment1(swg_weights *w, int i) { return in_span(w, w->moment1, i); }
void *swg_weights_moment2(swg_weights *w, int i) { return in_span(w, w->moment2, i); }

int swg_weights_states(const swg_weights *w) { return w->state_count; }
const char *swg_weights_state_name(const swg_weights *w, int i) { return w->states[i].name; }
int swg_weights_state_ndim(const swg_weights *w, int i) { return w->states[i].ndim; }
const int64_t *swg_weights_state_shape(const swg_weights *w, int i) { return w->states[i].shape; }
void *swg_weights_state(swg_weights *w, int i) { return w->state + w->states[i].offset * (int64_t)swg__dtype_size(w->dtype); }

int64_t swg_weights_bytes(const swg_weights *w) {
    return (w->span * (w->gradient ? 4 : 1) + w->state_span) * (int64_t)swg__dtype_size(w->dtype);
}

/* The scalars are computed in f64 once per step and rounded once. */
void swg_hyper_adam(const swg_adam_hyper *h, double *b1_power, double *b2_power, swg_dtype dtype, void *out) {
    *b1_power *= h->beta1;
    *b2_power *= h->beta2;
    double values[SWG_HYPER_COUNT] = {
        [SWG_HYPER_STEP_SIZE] = h->lr / (1 - *b1_power), [SWG_HYPER_RSQRT_C2] = 1 / sqrt(1 - *b2_power),
        [SWG_HYPER_KEEP] = 1 - h->lr * h->weight_decay,  [SWG_HYPER_DECAY] = h->weight_decay,
        [SWG_HYPER_RATE1] = 1 - h->beta1,                [SWG_HYPER_RATE2] = 1 - h->beta2,
        [SWG_HYPER_EPS] = h->eps,                        [SWG_HYPER_CLIP] = h->clip_norm,
        [SWG_HYPER_GRAD_SCALE] = h->grad_scale,
    };
    for (int i = 0; i < SWG_HYPER_COUNT; i++)
        swg__store(out, dtype, i, values[i]);
}
