/* causal_train.c - samples arrays, fits the stencil and its buckets, trains the network on what the stencil leaves, writes the blob.
 * In: arrays, a bound. Out: a blob, and what it saves on samples held out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "causal_train.h"
#include "context.h"

enum { LEAST_POINTS = 2048, CHECKS = 16, TICKS = 4, PATIENCE = 1000 }; /* TICKS: words on progress for each check */
enum { HELD_ROWS = 8 };
enum { FLIPS = 8 }; /* bits for z, y, x */
#define WORTH 0.995 /* a learned mode must win by more than half a per cent */
#define PROBE 0.1   /* of a training, before mirror images are chosen */
#define ALIKE 1.05  /* code length of a mirror image over that of the original: 1.01 to 1.03 in what turns out symmetric, 1.1 to 1.2 elsewhere */

/* For the plans' widths and steps see docs/codec.md. */
const swg__causal_plan swg__causal_light = {{16, 8}, 60000, 1 << 19}, swg__causal_deep = {{64, 32}, 60000, 1 << 19};

typedef struct fit {
    swg_context *ctx;
    const swg__fit_opts *opts;
    const swg__causal_plan *plan;
    swg__lessons lessons;
    swg__stencil model;           /* wide: without a large difference it is the same */
    double (*sums)[SWG__SUM_WIDTH];
    int64_t rows;                 /* of the chunks before, in this pass */
    int64_t row_step;
    bool learn;                   /* this pass: normal equations; else points */
    int flip;
    const swg__chunk *chunk;      /* of this pass */
    swg__causal_point *points;    /* (all) as they are; from `count` on mirror images */
    int64_t count, all, capacity;
    int64_t flip_end[FLIPS];      /* where the points of each flip end; [0]: count */
    int32_t (*outputs)[2];        /* of the network, for every point */
    int64_t *train;               /* numbers of the points that are not held out */
    int64_t train_count;
    swg__causal_fitter fitter;
    float *best;                  /* quantised weights */
    swg__causal_report *report;
} fit;

/* ---- samples ---- */

static int class_of(int64_t e) { return e == 0 ? 0 : e == 1 || e == -1 ? 1 : 2; }

/* miss = 16 e - phase, phase in -8..7 */
static inline int64_t whole(int64_t miss) { return (miss + 7) >> 4; }

static void add_point(fit *f, const double *d, double target, int before, unsigned mark) {
    int64_t whole_d[SWG__TAPS] = {0}, sum = 0, size = 0;
    for (int k = 1; k < SWG__TAPS; k++) {
        const double most = (double)SWG__WIDE_LIMIT, v = d[k - 1] < -most ? -most : d[k - 1] > most ? most : d[k - 1];
        whole_d[k] = (int64_t)v;
        sum += f->model.w[k] * whole_d[k];
        size += whole_d[k] < 0 ? -whole_d[k] : whole_d[k];
    }
    swg__causal_point *p = &f->points[f->all++];
    *p = (swg__causal_point){.miss = 16 * (int64_t)target - ((sum + 256) >> 9), .before = (uint8_t)before, .mark = (uint8_t)mark};
    p->activity = (uint8_t)swg__activity_class(4 * size + 27, true);
    swg__causal_features(whole_d, 4 * size + 27, true, p->x);
}

/* Runs of 8 rows are held out, one in eight: next to each other rows see the same data. */
static bool is_held(int64_t row) { return (uint32_t)(row / HELD_ROWS) * 2654435761u >> 29 == 5; }

/* Where a row of the mirrored chunk was. */
static int64_t row_before(const fit *f, int64_t row) {
    const int64_t *n = f->chunk->extent;
    int64_t y = row % n[2], z = row / n[2] % n[1], w = row / n[2] / n[1];
    y = f->flip & 2 ? n[2] - 1 - y : y;
    z = f->flip & 1 ? n[1] - 1 - z : z;
    return (w * n[1] + z) * n[2] + y;
}

static swg_status take_row(void *user, int64_t row, const swg__training *t) {
    fit *f = user;
    const bool held = is_held(f->rows + (f->flip ? row_before(f, row) : row / f->row_step));
    if (held && f->flip) /* its mirror image would give it away */
        return SWG_OK;
    if (f->learn) {
        if (!held)
            swg__codec_kernels_for(f->ctx->isa)->normal_sums(t->d, t->target, t->mark, t->count, f->sums);
        return SWG_OK;
    }
    if (f->all + t->count > f->capacity) {
        f->capacity = 2 * f->capacity + t->count;
        swg__causal_point *grown = swg__grow(f->ctx, f->points, (size_t)f->capacity * sizeof *grown);
        if (!grown)
            return swg__fail_memory(f->ctx, (size_t)f->capacity * sizeof *grown, "training samples");
        f->points = grown;
    }
    bool start = true;
    for (int64_t i = 0; i < t->count; i++) {
        if (t->mark[i] & SWG__SAMPLE_MASKED) {
            start = true;
            continue;
        }
        int before = start ? 2 : class_of(whole(f->points[f->all - 1].miss));
        add_point(f, t->d + i * (SWG__TAPS - 1), t->target[i], before, (start ? SWG__SAMPLE_START : 0u) | (held ? SWG__POINT_HELD : 0u));
        start = false;
    }
    return SWG_OK;
}

/* Turns the values of a chunk round along the axes of f->flip. */
static swg_status mirror(const fit *f, swg__chunk *chunk) {
    const int64_t *n = chunk->extent;
    const size_t size = (size_t)swg_element_bytes(chunk->grid.type);
    char *copy = swg__alloc(f->ctx, (size_t)chunk->count * size), *to = chunk->values;
    if (!copy)
        return swg__fail_memory(f->ctx, (size_t)chunk->count * size, "a mirrored chunk");
    memcpy(copy, to, (size_t)chunk->count * size);
    for (int64_t row = 0; row < chunk->count / n[3]; row++) {
        const char *from = copy + (size_t)(row_before(f, row) * n[3]) * size;
        for (int64_t x = 0; x < n[3]; x++, to += size)
            memcpy(to, from + (size_t)(f->flip & 4 ? n[3] - 1 - x : x) * size, size);
    }
    swg__free(f->ctx, copy);
    return SWG_OK;
}

/* One pass over rows of the sampled chunks. */
static swg_status visit(fit *f, bool learn, int flip, int64_t row_step) {
    swg_status status = SWG_OK;
    f->learn = learn;
    f->flip = flip;
    f->rows = 0;
    f->row_step = row_step;
    for (int64_t i = 0; i < f->lessons.count && status == SWG_OK; i++) {
        swg__chunk chunk;
        f->chunk = &chunk;
        status = swg__lessons_take(&f->lessons, i, &chunk);
        if (status == SWG_OK && flip && !chunk.mask)
            status = mirror(f, &chunk);
        if (status == SWG_OK && !(flip && chunk.mask))
            status = swg__stencil_rows(&chunk, 5 * i % row_step, row_step, take_row, f);
        f->rows += chunk.count / chunk.extent[3] / (flip ? 1 : row_step) + (!flip && row_step > 1);
        swg__chunk_drop(&chunk);
    }
    return status;
}

/* Stencil and points of the arrays and of their mirror images: those in `fitted` are for training, those in `tried` for choose_flips alone. */
static swg_status sample(fit *f, unsigned fitted, unsigned tried) {
    const int64_t row_step = (f->lessons.values + f->plan->points - 1) / f->plan->points, most = 3 * f->plan->points;
    int64_t flips = 0;
    for (int flip = 1; flip < FLIPS; flip++)
        flips += (fitted | tried) >> flip & 1;
    const int64_t flip_step = (flips * f->lessons.values + most - 1) / most;
    memset(f->sums, 0, SWG__TAPS * sizeof *f->sums);
    for (int flip = 0; flip < FLIPS; flip++)
        if (fitted >> flip & 1)
            SWG__TRY(visit(f, true, flip, flip ? flip_step : row_step));
    f->model.wide = true;
    SWG__TRY(swg__stencil_solve(f->ctx, f->sums, f->model.w));
    f->all = 0;
    for (int flip = 0; flip < FLIPS; flip++) {
        if ((fitted | tried) >> flip & 1)
            SWG__TRY(visit(f, false, flip, flip ? flip_step : row_step));
        f->flip_end[flip] = f->all;
    }
    swg__free(f->ctx, f->outputs);
    swg__free(f->ctx, f->train);
    f->outputs = swg__calloc(f->ctx, (size_t)f->all + 1, sizeof *f->outputs);
    f->train = swg__alloc(f->ctx, ((size_t)f->all + 1) * sizeof *f->train);
    if (!f->outputs || !f->train)
        return swg__fail_memory(f->ctx, (size_t)f->all * sizeof *f->train, "training samples");
    f->count = f->report->points = f->flip_end[0];
    f->train_count = 0;
    for (int64_t i = 0; i < f->count; i++)
        if (!(f->points[i].mark & SWG__POINT_HELD))
            f->train[f->train_count++] = i;
    f->report->held = f->count - f->train_count;
    for (int flip = 1; flip < FLIPS; flip++)
        for (int64_t i = f->flip_end[flip - 1]; i < f->flip_end[flip] && fitted >> flip & 1; i++)
            f->train[f->train_count++] = i;
    return SWG_OK;
}

static swg_status open_samples(fit *f, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound) {
    SWG__TRY(swg__lessons_open(f->ctx, arrays, count, bound, 8 * f->plan->points, &f->lessons));
    for (int64_t i = 0; i < f->lessons.arrays; i++)
        f->report->values += f->lessons.lesson[i].layout.values;
    f->sums = swg__calloc(f->ctx, SWG__TAPS, sizeof *f->sums);
    if (!f->sums)
        return swg__fail_memory(f->ctx, SWG__TAPS * sizeof *f->sums, "normal equations");
    return sample(f, 1, f->lessons.values <= f->plan->points ? (1u << FLIPS) - 1 : 1);
}

/* ---- code lengths ---- */

/* In 1/256 bit, with the outputs of a network and bucket B[c][r]; *e: the residual. */
static inline uint32_t cost(const swg__causal_point *p, const int32_t outputs[2], int bucket, int64_t *e) {
    int64_t miss = p->miss - swg__causal_apply(outputs[0], outputs[1], true, &bucket);
    *e = whole(miss);
    return swg__residual_cost(bucket, (int)(16 * *e - miss), *e);
}

/* Bits per value of training and held-out points with the outputs at hand; sets `before` of each. */
static void price(fit *f, double bits[2]) {
    uint64_t sum[2] = {0};
    int before = 2;
    for (int64_t i = 0; i < f->count; i++) {
        swg__causal_point *p = &f->points[i];
        int64_t e;
        p->before = (uint8_t)(p->mark & SWG__SAMPLE_START ? 2 : before);
        sum[(p->mark & SWG__POINT_HELD) != 0] += cost(p, f->outputs[i], f->model.bucket[p->activity][p->before], &e);
        before = class_of(e);
    }
    bits[0] = (double)sum[0] / 256 / (double)(f->count - f->report->held);
    bits[1] = (double)sum[1] / 256 / (double)f->report->held;
}

/* Buckets for the stencil alone. */
static swg_status first_buckets(fit *f) {
    swg__training t = {.count = f->count, .mark = swg__calloc(f->ctx, (size_t)f->count, 1),
                       .point = swg__alloc(f->ctx, (size_t)f->count * sizeof *t.point)};
    swg_status status = t.mark && t.point ? SWG_OK : swg__fail_memory(f->ctx, (size_t)f->count * sizeof *t.point, "training samples");
    for (int64_t i = 0; i < f->count && status == SWG_OK; i++) {
        const swg__causal_point *p = &f->points[i];
        int64_t e = whole(p->miss);
        t.mark[i] = p->mark & SWG__POINT_HELD ? SWG__SAMPLE_MASKED : 0;
        t.point[i] = (struct swg__point){.e = e, .phase = (int8_t)(16 * e - p->miss), .activity = p->activity, .before = p->before};
    }
    if (status == SWG_OK)
        (void)swg__point_buckets(&t, f->report->values, &f->model);
    swg__free(f->ctx, t.point);
    swg__free(f->ctx, t.mark);
    return status;
}

/* Moves each bucket to the best within two, for the network's outputs. */
static void better_buckets(fit *f) {
    enum { AROUND = 2, TRIES = 2 * AROUND + 1 };
    uint64_t sum[128][3][TRIES] = {0};
    for (int64_t i = 0; i < f->count; i++) {
        const swg__causal_point *p = &f->points[i];
        int64_t e;
        for (int j = 0; j < TRIES && !(p->mark & SWG__POINT_HELD); j++) {
            int b = f->model.bucket[p->activity][p->before] + j - AROUND;
            sum[p->activity][p->before][j] += cost(p, f->outputs[i], b < 0 ? 0 : b > 127 ? 127 : b, &e);
        }
    }
    for (int c = f->model.c_min; c <= f->model.c_max; c++)
        for (int r = 0; r < 3; r++) {
            int best = AROUND;
            for (int j = 0; j < TRIES; j++)
                best = sum[c][r][j] < sum[c][r][best] ? j : best;
            int b = f->model.bucket[c][r] + best - AROUND;
            f->model.bucket[c][r] = (uint8_t)(b < 0 ? 0 : b > 127 ? 127 : b);
        }
    swg__stencil_spread(&f->model);
}

/* ---- training ---- */

/* Bytes that the network adds to a model of kind 1. */
static size_t net_bytes(const swg__causal_fitter *f) {
    size_t bytes = 4;
    for (int l = 0; l < SWG__CAUSAL_LAYERS; l++)
        bytes += 8 + (size_t)f->layer[l].out * (4 + (size_t)(f->layer[l].in + 3) / 4 * 4);
    return bytes;
}

/* Whether a network of `bits` per value pays. */
static bool pays(const fit *f, double bits) {
    const double stencil = f->report->stencil_bits[1];
    return bits < WORTH * stencil && (stencil - bits) * (double)f->report->values > 8 * (double)net_bytes(&f->fitter);
}

/* Prices the network as it stands and keeps it if it is the best one so far. */
static swg_status check(fit *f) {
    double bits[2];
    SWG__TRY(swg__causal_sums(&f->fitter, f->points, f->count, f->outputs));
    price(f, bits);
    if (bits[1] < f->report->network_bits[1]) {
        memcpy(f->report->network_bits, bits, sizeof bits);
        memcpy(f->best, f->fitter.quantised, (size_t)f->fitter.parameters * sizeof *f->best);
    }
    return SWG_OK;
}

/* Mirror images that a network codes as well as what it has learnt from, nearly: those are of the same kind, and there is more to learn
 * with them. A stencil cannot tell: what is turned round along all axes has the same correlations. */
static swg_status choose_flips(fit *f, unsigned *chosen) {
    double bits[2];
    SWG__TRY(swg__causal_sums(&f->fitter, f->points, f->all, f->outputs));
    price(f, bits);
    for (int flip = 1; flip < FLIPS; flip++) {
        const int64_t begin = f->flip_end[flip - 1], end = f->flip_end[flip];
        uint64_t sum = 0;
        int before = 2;
        for (int64_t i = begin; i < end; i++) {
            const swg__causal_point *p = &f->points[i];
            int64_t e;
            sum += cost(p, f->outputs[i], f->model.bucket[p->activity][p->mark & SWG__SAMPLE_START ? 2 : before], &e);
            before = class_of(e);
        }
        if (end > begin && (double)sum / 256 < ALIKE * bits[0] * (double)(end - begin))
            *chosen |= 1u << flip;
    }
    return SWG_OK;
}

/* How far a training is whose first step was at `begin`. */
static double progress_of(const fit *f, int64_t begin) {
    const swg__fit_opts *o = f->opts;
    return o->stop && *o->stop ? 1 : o->seconds > 0 ? (double)(swg__now_ns() - begin) / 1e9 / o->seconds : (double)f->fitter.step / (double)f->plan->steps;
}

static void step(fit *f, double done) {
    swg__causal_step(&f->fitter, f->points, f->train, f->train_count, (const uint8_t (*)[3])f->model.bucket, done);
}

/* A network that has begun to learn says which mirror images are alike; training then starts again with them. */
static swg_status take_flips(fit *f) {
    const int64_t begin = swg__now_ns();
    unsigned chosen = 1;
    double done = 0;
    if (f->all == f->count)
        return SWG_OK;
    for (; done < PROBE; done = progress_of(f, begin))
        step(f, done);
    SWG__TRY(choose_flips(f, &chosen));
    if (chosen == 1)
        return SWG_OK;
    f->report->flips = chosen;
    swg__causal_fitter_close(&f->fitter);
    SWG__TRY(swg__causal_fitter_open(f->ctx, f->plan->hidden, f->opts->seed, &f->fitter));
    SWG__TRY(sample(f, chosen, 0));
    return first_buckets(f);
}

static swg_status train(fit *f) {
    const swg__fit_opts *o = f->opts;
    const int64_t begin = swg__now_ns();
    swg__causal_fitter *n = &f->fitter;
    f->best = swg__alloc(f->ctx, (size_t)n->parameters * sizeof *f->best);
    if (!f->best)
        return swg__fail_memory(f->ctx, (size_t)n->parameters * sizeof *f->best, "a causal network");
    if (o->stop && *o->stop) /* nothing to show yet */
        return swg__fail(f->ctx, SWG_EINTERRUPTED, "stopped");
    SWG__TRY(take_flips(f));
    f->report->network_bits[1] = INFINITY;
    int64_t ticks = 0;
    double done = progress_of(f, begin);
    do {
        step(f, done);
        done = progress_of(f, begin);
        if (done * (TICKS * CHECKS) < (double)(ticks + 1) && done < 1)
            continue;
        if (++ticks % TICKS == 0 || done >= 1)
            SWG__TRY(check(f));
        if (done >= 0.25 && n->step >= PATIENCE && !(f->report->network_bits[1] < WORTH * f->report->stencil_bits[1])) /* hopeless */
            done = 1;
        if (o->progress)
            o->progress(o->user, done < 1 ? done : 1, isinf(f->report->network_bits[1]) ? f->report->stencil_bits[1] : f->report->network_bits[1]);
    } while (done < 1);
    f->report->steps = n->step;
    memcpy(n->quantised, f->best, (size_t)n->parameters * sizeof *f->best);
    return SWG_OK;
}

/* Buckets for the best network; kept if the training points get shorter. */
static swg_status last_buckets(fit *f) {
    double bits[2], before = INFINITY;
    swg__stencil kept = f->model;
    SWG__TRY(swg__causal_sums(&f->fitter, f->points, f->count, f->outputs));
    for (;;) {
        price(f, bits);
        if (!(bits[0] < before))
            break;
        before = bits[0];
        memcpy(f->report->network_bits, bits, sizeof bits);
        kept = f->model;
        better_buckets(f);
    }
    f->model = kept;
    return SWG_OK;
}

/* ---- the blob ---- */

static void write_net(const swg__causal_fitter *f, swg__text *out) {
    swg__put8(out, SWG__CAUSAL_LAYERS);
    swg__put(out, "\0\0", 3);
    for (int l = 0; l < SWG__CAUSAL_LAYERS; l++) {
        const swg__causal_dense *d = &f->layer[l];
        const bool last = l == SWG__CAUSAL_LAYERS - 1;
        swg__put16(out, (uint32_t)d->in);
        swg__put16(out, (uint32_t)d->out);
        swg__put8(out, last ? 0 : 6);
        swg__put8(out, !last);
        swg__put16(out, 0);
        for (int j = 0; j < d->out; j++)
            swg__put32(out, (uint32_t)(int32_t)f->quantised[d->bias + j]);
        for (int j = 0; j < d->out; j++)
            for (int i = 0; i < (d->in + 3) / 4 * 4; i++)
                swg__put8(out, (uint8_t)(int8_t)f->quantised[d->weight + (int64_t)j * d->stride + i]);
    }
}

static swg_status fit_points(fit *f, swg__text *blob) {
    SWG__TRY(first_buckets(f));
    price(f, f->report->stencil_bits);
    memcpy(f->report->network_bits, f->report->stencil_bits, sizeof f->report->network_bits);
    if (!pays(f, 0)) /* whatever the network does */
        return SWG_OK;
    SWG__TRY(train(f));
    SWG__TRY(last_buckets(f));
    f->report->better = pays(f, f->report->network_bits[1]);
    if (f->report->better) {
        swg__blob_begin(blob, SWG__KIND_CAUSAL);
        swg__stencil_write(&f->model, blob);
        write_net(&f->fitter, blob);
        swg__blob_end(blob);
    }
    return SWG_OK;
}

swg_status swg__fit_causal_plan(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                                const swg__fit_opts *opts, const swg__causal_plan *plan, swg__text *blob, swg__causal_report *report) {
    swg__causal_report own;
    fit f = {.ctx = ctx, .opts = opts, .plan = plan, .report = report ? report : &own};
    *f.report = (swg__causal_report){.flips = 1};
    swg_status status = swg__causal_fitter_open(ctx, plan->hidden, opts->seed, &f.fitter);
    if (status == SWG_OK)
        status = open_samples(&f, arrays, count, bound);
    if (status == SWG_OK && f.count >= LEAST_POINTS && f.report->held >= LEAST_POINTS / 16)
        status = fit_points(&f, blob);
    swg__free(ctx, f.best);
    swg__free(ctx, f.train);
    swg__free(ctx, f.outputs);
    swg__free(ctx, f.points);
    swg__free(ctx, f.sums);
    swg__lessons_close(&f.lessons);
    swg__causal_fitter_close(&f.fitter);
    return status;
}

swg_status swg__fit_causal(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                           const swg__fit_opts *opts, swg__text *blob) {
    return swg__fit_causal_plan(ctx, arrays, count, bound, opts, &swg__causal_light, blob, NULL);
}

swg_status swg__fit_causal_deep(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                                const swg__fit_opts *opts, swg__text *blob) {
    return swg__fit_causal_plan(ctx, arrays, count, bound, opts, &swg__causal_deep, blob, NULL);
}
