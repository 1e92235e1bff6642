/* weights.c - the parameter span and its gradients and moments: one allocation each, parameters are views into them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "philox.h"
#include "plan/plan.h"

static bool copy(swg__arena *arena, const double **numbers, int64_t n) {
    double *to = *numbers ? swg__arena_alloc(arena, (size_t)n * sizeof *to) : NULL;
    if (to)
        memcpy(to, *numbers, (size_t)n * sizeof *to);
    bool ok = to || !*numbers;
    *numbers = to;
    return ok;
}

/* Name, stream, place and start of a leaf; false: out of memory. */
static bool describe(swg_weights *w, const swg_graph *g, swg_value leaf, struct swg__weight *item) {
    const swg__node *n = &g->nodes[leaf];
    size_t length = strlen(n->name), prefix = strlen("init:");
    char *stream = swg__arena_alloc(&w->arena, prefix + length + 1);
    if (!stream)
        return false;
    memcpy(stream, "init:", prefix);
    for (size_t j = 0; j <= length; j++)
        stream[prefix + j] = n->name[j] == '/' ? '.' : n->name[j];
    *item = (struct swg__weight){.name = stream + prefix, .stream = swg__fnv1a(stream), .ndim = n->ndim, .offset = n->offset, .like = -1};
    memcpy(item->shape, n->shape, sizeof item->shape);
    if (n->op == SWG__PARAM)
        item->init = *(const swg_init *)n->attr.data;
    else {
        item->init.value = n->attr.f[0];
        item->row = n->attr.data;
    }
    int64_t last = n->shape[n->ndim - 1];
    return copy(&w->arena, &item->row, last) && copy(&w->arena, &item->init.map, last * item->init.columns);
}

swg__update_spans swg__update_spans_of(const swg__node *n) {
    int flags = n->attr.update_flags;
    bool adam = n->attr.update != SWG_UPDATE_SGD;
    return (swg__update_spans){.gradient = true, .moment1 = adam || flags & SWG__UPDATE_MOMENTUM, .moment2 = adam,
                               .largest = flags & SWG__UPDATE_AMSGRAD, .sum = flags & SWG__UPDATE_ACCUMULATE};
}

int swg__update_groups(const swg_graph *g, const swg__node *n) {
    const swg__node *hyper = &g->nodes[swg__base_of(g, n->in[1])];
    return (int)(swg__shape_elements(hyper->ndim, hyper->shape) / SWG_HYPER_COUNT);
}

/* Parameters of one group that follow each other are one segment; the room between two belongs to the first. */
static void find_segments(swg_weights *w) {
    int segments = 0;
    for (int i = 0; i < w->count; i++) {
        int64_t end = i + 1 < w->count ? w->items[i + 1].offset : w->span;
        if (segments && w->segments[segments - 1].group == w->items[i].group)
            segments--;
        w->segments[segments++] = (swg__segment){.end = end, .group = w->items[i].group};
    }
}

static bool make_spans(swg_weights *w, const swg__update_spans *want) {
    const struct { char **span; bool wanted; } spans[] = {{&w->value, true}, {&w->gradient, want->gradient}, {&w->moment1, want->moment1},
                                                          {&w->moment2, want->moment2}, {&w->largest, want->largest}, {&w->sum, want->sum}};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        if (spans[i].wanted && !(*spans[i].span = swg__calloc(w->ctx, (size_t)w->span, swg__dtype_size(w->dtype))))
            return false;
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
    w->segments = swg__arena_alloc(&w->arena, (size_t)(w->count + 1) * sizeof *w->segments);
    bool ok = w->items && w->states && w->segments;
    for (int i = 0; ok && i < w->count; i++)
        ok = describe(w, g, g->params[i], &w->items[i]);
    for (int i = 0; ok && i < w->state_count; i++) {
        ok = describe(w, g, g->states[i].state, &w->states[i]);
        for (int p = 0; p < w->count && g->states[i].like; p++)
            if (g->params[p] == g->states[i].like)
                w->states[i].like = p;
    }
    if (w->state_count)
        ok = ok && (w->state = swg__calloc(ctx, (size_t)w->state_span, swg__dtype_size(w->dtype))) != NULL;
    swg__update_spans spans = {.gradient = training, .moment1 = training, .moment2 = training};
    for (int64_t v = 1; training && v < g->count; v++)
        if (g->nodes[v].op == SWG__UPDATE)
            spans = swg__update_spans_of(&g->nodes[v]);
    if (!ok || !make_spans(w, &spans)) {
        swg_weights_destroy(w);
        return swg__fail_memory(ctx, (size_t)g->span * swg__dtype_size(g->dtype), "the parameter span");
    }
    find_segments(w);
    *out = w;
    return SWG_OK;
}

void swg_weights_destroy(swg_weights *w) {
    if (!w)
        return;
    swg__free(w->ctx, w->sum);
    swg__free(w->ctx, w->largest);
    swg__free(w->ctx, w->moment2);
    swg__free(w->ctx, w->moment1);
    swg__free(w->ctx, w->gradient);
    swg__free(w->ctx, w->state);
    swg__free(w->ctx, w->value);
    swg__arena_free(&w->arena);
    swg__free(w->ctx, w);
}

/* Random numbers of one parameter, four at a time. */
typedef struct draws {
    const swg_init *init;
    const swg__exact_table *exact;
    uint64_t seed;
    uint32_t stream;
    int64_t block;
    float number[4];
} draws;

static void draw_block(const draws *d, uint64_t block, float number[4]) {
    swg__philox_words words = swg__philox(d->seed, block, 0, d->stream);
    if (d->init->deviation > 0)
        d->exact->normal(number, words.w, 1);
    for (int j = 0; j < 4; j++)
        number[j] = d->init->deviation > 0 ? (float)d->init->deviation * number[j] : (float)d->init->bound * (2.f * swg__uniform(words.w[j]) - 1.f);
}

static float draw(draws *d, int64_t i) {
    if (i / 4 != d->block) {
        d->block = i / 4;
        draw_block(d, (uint64_t)d->block, d->number);
    }
    float result = d->number[i % 4], again[4];
    const float most = (float)(d->init->limit * d->init->deviation);
    for (uint64_t attempt = 1; most > 0 && fabsf(result) > most; attempt++) {
        draw_block(d, (uint64_t)d->block + (attempt << 32), again);
        result = again[i % 4];
    }
    return result;
}

/* What element e of a parameter starts as. */
static float start_of(const struct swg__weight *item, draws *d, int64_t e) {
    const swg_init *init = &item->init;
    int64_t last = item->shape[item->ndim - 1];
    if (init->map) {
        const double *row = init->map + e % last * init->columns;
        double sum = 0;
        for (int64_t i = 0; i < init->columns; i++)
            sum += row[i] * (double)draw(d, e / last * init->columns + i);
        return (float)sum;
    }
    if (init->diagonal && e / last != e % last)
        return 0;
    return init->bound > 0 || init->deviation > 0 ? draw(d, e) : (float)init->value;
}

void swg_weights_init(swg_weights *w, uint64_t seed) {
    for (int i = 0; i < w->count; i++) {
        const struct swg__weight *item = &w->items[i];
        draws d = {.init = &item->init, .exact = swg__exact_table_of(w->ctx->isa), .seed = seed, .stream = item->stream, .block = -1};
        for (int64_t e = 0; e < swg__shape_elements(item->ndim, item->shape); e++)
            swg__store(w->value, w->dtype, item->offset + e, (double)start_of(item, &d, e));
    }
    for (int i = 0; i < w->state_count; i++) {
        const struct swg__weight *item = &w->states[i];
        const int64_t count = swg__shape_elements(item->ndim, item->shape);
        if (item->like >= 0)
            memcpy(swg_weights_state(w, i), swg_weights_value(w, item->like), (size_t)count * swg__dtype_size(w->dtype));
        for (int64_t e = 0; e < count && item->like < 0; e++)
            swg__store(w->state, w->dtype, item->offset + e, item->row ? item->row[e % item->shape[item->ndim - 1]] : item->init.value);
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

void *swg_weights_moment2_largest(swg_weights *w, int i) { return in_span(w, w->largest, i); }
int swg_weights_states(const swg_weights *w) { return w->state_count; }
const char *swg_weights_state_name(const swg_weights *w, int i) { return w->states[i].name; }
int swg_weights_state_ndim(const swg_weights *w, int i) { return w->states[i].ndim; }
const int64_t *swg_weights_state_shape(const swg_weights *w, int i) { return w->states[i].shape; }
void *swg_weights_state(swg_weights *w, int i) { return w->state + w->states[i].offset * (int64_t)swg__dtype_size(w->dtype); }

int64_t swg_weights_bytes(const swg_weights *w) {
    int spans = 1 + (w->gradient != NULL) + (w->moment1 != NULL) + (w->moment2 != NULL) + (w->largest != NULL) + (w->sum != NULL);
    return (w->span * spans + w->state_span) * (int64_t)swg__dtype_size(w->dtype);
}

swg_status swg_weights_group(swg_weights *w, const char *pattern, int group, int *matched) {
    *matched = 0;
    if (group < 0 || (w->group_limit && group >= w->group_limit))
        return swg__fail(w->ctx, SWG_EINVAL, "parameter group %d of \"%s\": there are %d", group, pattern, w->group_limit);
    for (int i = 0; i < w->count; i++)
        if (swg__glob(pattern, w->items[i].name)) {
            w->items[i].group = group;
            ++*matched;
        }
    find_segments(w);
    return SWG_OK;
}

/* ---- average ---- */

typedef struct blend_job { swg_weights *to; const swg_weights *from; double rate; } blend_job;
enum { BLEND = 16384 };

static void blend_task(void *arg, int64_t task, int worker) {
    (void)worker;
    const blend_job *job = arg;
    int64_t at = task * BLEND, n = swg__min64(BLEND, job->to->span - at);
    if (job->to->dtype == SWG_F32) {
        swg__isa_table_of(job->to->ctx->isa)->blend((float *)job->to->value + at, (const float *)job->from->value + at, n, (float)job->rate);
        return;
    }
    for (int64_t i = at; i < at + n; i++)
        ((double *)job->to->value)[i] += job->rate * (((const double *)job->from->value)[i] - ((double *)job->to->value)[i]);
}

swg_status swg_weights_blend(swg_weights *to, const swg_weights *from, double rate) {
    bool same = to->dtype == from->dtype && to->span == from->span && to->count == from->count && to->state_span == from->state_span;
    for (int i = 0; i < to->count && same; i++)
        same = strcmp(to->items[i].name, from->items[i].name) == 0 && to->items[i].offset == from->items[i].offset;
    if (!same)
        return swg__fail(to->ctx, SWG_EINVAL, "an average is of weights of the same model and type");
    swg__parallel(to->ctx, swg__ceil_div(to->span, BLEND), blend_task, &(blend_job){to, from, rate});
    if (to->state)
        memcpy(to->state, from->state, (size_t)to->state_span * swg__dtype_size(to->dtype));
    return SWG_OK;
}

/* ---- numbers of an update ---- */

/* The scalars are computed in f64 once per step and rounded once. */
static void put_all(const double values[SWG_HYPER_COUNT], swg_dtype dtype, void *out) {
    for (int i = 0; i < SWG_HYPER_COUNT; i++)
        swg__store(out, dtype, i, values[i]);
    swg_hyper_micro(true, true, 1, dtype, out);
}

void swg_hyper_adam(const swg_adam_hyper *h, double *b1_power, double *b2_power, swg_dtype dtype, void *out) {
    *b1_power *= h->beta1;
    *b2_power *= h->beta2;
    put_all((double[SWG_HYPER_COUNT]){
        [SWG_HYPER_STEP_SIZE] = h->lr / (1 - *b1_power), [SWG_HYPER_RSQRT_C2] = 1 / sqrt(1 - *b2_power),
        [SWG_HYPER_KEEP] = 1 - h->lr * h->weight_decay,  [SWG_HYPER_DECAY] = h->weight_decay,
        [SWG_HYPER_RATE1] = 1 - h->beta1,                [SWG_HYPER_RATE2] = 1 - h->beta2,
        [SWG_HYPER_EPS] = h->eps,                        [SWG_HYPER_CLIP] = h->clip_norm,
        [SWG_HYPER_GRAD_SCALE] = h->grad_scale,
    }, dtype, out);
}

void swg_hyper_sgd(const swg_sgd_hyper *h, swg_dtype dtype, void *out) {
    put_all((double[SWG_HYPER_COUNT]){
        [SWG_HYPER_STEP_SIZE] = h->lr,     [SWG_HYPER_DECAY] = h->weight_decay,    [SWG_HYPER_MOMENTUM] = h->momentum,
        [SWG_HYPER_CLIP] = h->clip_norm,   [SWG_HYPER_GRAD_SCALE] = h->grad_scale,
    }, dtype, out);
}

void swg_hyper_micro(bool first, bool last, double weight, swg_dtype dtype, void *out) {
    swg__store(out, dtype, SWG_HYPER_FIRST, first);
    swg__store(out, dtype, SWG_HYPER_LAST, last);
    swg__store(out, dtype, SWG_HYPER_WEIGHT, weight);
}
