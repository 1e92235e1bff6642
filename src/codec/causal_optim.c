/* causal_optim.c - forward, backward and Adam for a network of a few thousand weights, written out by hand: every sum in a fixed order,
 * so that one seed gives one network on any number of threads and every instruction set.
 * In: points. Out: weights. Activations lie as (width, 64 points); the forward pass works on whole numbers, which f32 holds exactly.
 * SPDX-License-Identifier: Apache-2.0 */
#include "causal_optim.h"
#include "context.h"
#include "kernel/vmath.inc.h"
#include "philox.h"

enum { SLICE = SWG__CAUSAL_SLICE, SLICES = SWG__CAUSAL_SLICES, LAST = SWG__CAUSAL_LAYERS - 1, OUTPUTS = 2, PAD = 16 };
enum { STREAM_WEIGHTS = 1, STREAM_BATCH = 2 };

static const float leak = 0.01f, clip = 5, floor_of_p = 1e-7f;
/* With 1.5e-3 the light network needs ten times as many steps for the same code length. */
#define FIRST_RATE 1e-2
#define LAST_RATE 1e-5
static const float unit_of_input = 16, unit_of_weight[SWG__CAUSAL_LAYERS] = {64, 64, 128}; /* codes per 1 */

static int padded(int n) { return (n + PAD - 1) / PAD * PAD; }

/* ---- a slice's scratch ---- */

typedef struct slice {
    float *in[SWG__CAUSAL_LAYERS];     /* (layer.in, 64) inputs of each layer */
    float *turned[SWG__CAUSAL_LAYERS]; /* (64, layer.stride) the same, point by point */
    float *sum[SWG__CAUSAL_LAYERS];    /* (layer.out, 64); then the gradient of the same */
    float *back;                       /* (widest, 64) gradient of a layer's inputs */
} slice;

static int64_t slice_floats(const swg__causal_fitter *f) {
    int64_t n = SWG__CAUSAL_WIDTH;
    for (int i = 0; i <= LAST; i++)
        n += f->layer[i].in + f->layer[i].stride + f->layer[i].out;
    return n * SLICE;
}

static slice slice_of(const swg__causal_fitter *f, float *at) {
    slice s;
    s.back = at;
    at += SWG__CAUSAL_WIDTH * SLICE;
    for (int i = 0; i <= LAST; i++) {
        s.in[i] = at;
        s.turned[i] = s.in[i] + f->layer[i].in * SLICE;
        s.sum[i] = s.turned[i] + f->layer[i].stride * SLICE;
        at = s.sum[i] + f->layer[i].out * SLICE;
    }
    return s;
}

/* ---- parameters ---- */

void swg__causal_fitter_close(swg__causal_fitter *f) {
    swg__free(f->ctx, f->scratch);
    swg__free(f->ctx, f->master);
    f->scratch = f->master = NULL;
}

/* He's uniform initialisation; the last layer is 20 times smaller, so that training starts from the stencil. */
static void draw_weights(swg__causal_fitter *f) {
    for (int l = 0; l <= LAST; l++) {
        const swg__causal_dense *d = &f->layer[l];
        const float bound = sqrtf(6.f / (float)d->in) * (l == LAST ? 0.05f : 1);
        for (int j = 0; j < d->out; j++)
            for (int i = 0; i < d->in; i++) {
                int64_t at = d->weight + (int64_t)j * d->stride + i;
                swg__philox_words words = swg__philox(f->seed, (uint64_t)at, 0, STREAM_WEIGHTS);
                f->master[at] = (2 * swg__uniform(words.w[0]) - 1) * bound;
            }
    }
}

swg_status swg__causal_fitter_open(swg_context *ctx, const int hidden[2], uint64_t seed, swg__causal_fitter *f) {
    const int width[] = {SWG__FEATURES, hidden[0], hidden[1], OUTPUTS};
    *f = (swg__causal_fitter){.ctx = ctx, .kernels = swg__codec_kernels_for(ctx->isa), .seed = seed, .decay = {1, 1}};
    for (int i = 0; i <= LAST; i++) {
        swg__causal_dense *d = &f->layer[i];
        *d = (swg__causal_dense){.in = width[i], .out = width[i + 1], .stride = padded(width[i]), .weight = f->parameters};
        d->bias = d->weight + (int64_t)d->out * d->stride;
        f->parameters = d->bias + padded(d->out);
    }
    f->scratch_floats = slice_floats(f);
    const size_t n = (size_t)f->parameters;
    f->master = swg__calloc(ctx, (6 + SLICES) * n, sizeof *f->master);
    f->scratch = swg__calloc(ctx, (size_t)f->scratch_floats * SLICES, sizeof *f->scratch);
    if (!f->master || !f->scratch)
        return swg__fail_memory(ctx, ((6 + SLICES) * n + (size_t)f->scratch_floats * SLICES) * sizeof *f->master, "the training of a causal network");
    f->quantised = f->master + n;
    f->turned = f->quantised + n;
    f->gradient = f->turned + n;
    f->mean = f->gradient + n;
    f->square = f->mean + n;
    f->partial = f->square + n;
    draw_weights(f);
    swg__causal_quantise(f);
    return SWG_OK;
}

static float limited(float v, float most) { return v < -most ? -most : v > most ? most : v; }

void swg__causal_quantise(swg__causal_fitter *f) {
    for (int l = 0; l <= LAST; l++) {
        const swg__causal_dense *d = &f->layer[l];
        const float unit = unit_of_weight[l];
        for (int64_t i = d->weight; i < d->bias; i++) {
            f->master[i] = limited(f->master[i], 127 / unit);
            f->quantised[i] = f->exact ? f->master[i] * unit : rintf(f->master[i] * unit);
        }
        for (int64_t i = d->bias; i < d->bias + d->out; i++) { /* so small that 255 sum |w| + |b| stays below 2^24 */
            f->master[i] = limited(f->master[i], 256);
            f->quantised[i] = f->exact ? f->master[i] * unit * unit_of_input : rintf(f->master[i] * unit * unit_of_input);
        }
        for (int j = 0; j < d->out; j++)
            for (int i = 0; i < d->in; i++)
                f->turned[d->weight + (int64_t)i * d->out + j] = f->quantised[d->weight + (int64_t)j * d->stride + i];
    }
}

/* ---- forward ---- */

/* (width, 64) -> (64, stride); what lies behind `width` stays zero. */
static void turn(const float *in, int width, int stride, float *out) {
    for (int i = 0; i < width; i++)
        for (int s = 0; s < SLICE; s++)
            out[s * stride + i] = in[i * SLICE + s];
}

static void forward(const swg__causal_fitter *f, const slice *s) {
    for (int l = 0; l <= LAST; l++) {
        const swg__causal_dense *d = &f->layer[l];
        f->kernels->product(f->quantised + d->weight, d->stride, s->in[l], f->quantised + d->bias, d->out, d->in, SLICE, s->sum[l]);
        if (l == LAST)
            continue;
        float *h = s->in[l + 1];
        const float half = f->exact ? 0 : 32;
        for (int i = 0; i < d->out * SLICE; i++)
            h[i] = limited((s->sum[l][i] + half) * 0x1p-6f, 255);
        for (int i = 0; i < d->out * SLICE; i++)
            h[i] = h[i] < 0 ? 0 : f->exact ? h[i] : (float)(int32_t)h[i];
    }
}

static void load(const swg__causal_fitter *f, const swg__causal_point *const *point, const slice *s) {
    const int stride = f->layer[0].stride;
    for (int p = 0; p < SLICE; p++)
        for (int k = 0; k < SWG__FEATURES; k++)
            s->turned[0][p * stride + k] = point[p]->x[k];
    for (int k = 0; k < SWG__FEATURES; k++)
        for (int p = 0; p < SLICE; p++)
            s->in[0][k * SLICE + p] = s->turned[0][p * stride + k];
}

/* ---- loss ---- */

/* Gradients of -ln P over the two outputs. With a = miss / s and d = 1 / (2 s), P = F(a + d) - F(a - d) = sinh d / (cosh d + cosh a) for
 * the logistic F, hence -d ln P / da = sinh a / (cosh d + cosh a) and -d ln P / dd = P - coth d, without differences of near numbers.
 * Output 0 moves the mean by units of s, output 1 is ln s / ln 2. sums: (2, 64), replaced by the gradients. */
static void loss_gradient(const swg__causal_fitter *f, const swg__causal_point *const *point, const uint8_t bucket[128][3], float *sums) {
    float a[SLICE], wide[SLICE], e[SLICE], o[SLICE];
    bool low[SLICE], high[SLICE];
    for (int p = 0; p < SLICE; p++) {
        int b = bucket[point[p]->activity][point[p]->before];
        const float sum0 = sums[p], sum1 = sums[SLICE + p], free = (float)b + sum1 * 0x1p-9f;
        double miss = (double)point[p]->miss, scale;
        low[p] = free < 0;
        high[p] = free > SWG__WIDE_BUCKETS - 1;
        if (f->exact) {
            o[p] = limited(sum0 * 0x1p-11f, 8);
            scale = fn_exp((limited(free, SWG__WIDE_BUCKETS - 1) - 20) * 0.173286795f);
            miss -= 16 * (double)o[p] * scale;
        } else {
            miss -= (double)swg__causal_apply((int64_t)sum0, (int64_t)sum1, true, &b);
            scale = (double)swg__scale[b] * 0x1p-8;
            o[p] = limited((sum0 + 16) * 0x1p-11f, 8);
        }
        a[p] = limited((float)(miss / (16 * scale)), 80);
        wide[p] = (float)(0.5 / scale);
    }
    for (int p = 0; p < SLICE; p++)
        e[p] = fn_exp(a[p]);
    for (int p = 0; p < SLICE; p++) {
        float d = wide[p], ed = fn_exp(d), sinh_d = 0.5f * (ed - 1 / ed), cosh_d = 0.5f * (ed + 1 / ed);
        if (d < 0.1f) /* the difference has lost its digits */
            sinh_d = d + d * d * d * (1 / 6.f);
        float sum = 1 / (cosh_d + 0.5f * (e[p] + 1 / e[p])), probability = sinh_d * sum, tilt = 0.5f * (e[p] - 1 / e[p]) * sum;
        float weight = probability < floor_of_p ? probability / floor_of_p : 1;
        float over_scale = d * (cosh_d / sinh_d - probability) - (a[p] + o[p]) * tilt;
        float g0 = limited(-tilt * weight, clip), g1 = limited(over_scale * 0.693147181f * weight, clip);
        sums[p] = g0;
        sums[SLICE + p] = (low[p] && g1 > 0) || (high[p] && g1 < 0) ? 0 : g1; /* no further beyond the last scale */
    }
}

/* ---- backward ---- */

static void backward(const swg__causal_fitter *f, const slice *s, float *gradient) {
    const float below = f->exact ? 0 : leak;
    for (int l = LAST; l >= 0; l--) {
        const swg__causal_dense *d = &f->layer[l];
        const float *g = s->sum[l];
        if (l)
            turn(s->in[l], d->in, d->stride, s->turned[l]);
        f->kernels->product(g, SLICE, s->turned[l], NULL, d->out, SLICE, d->stride, gradient + d->weight);
        for (int64_t i = d->weight; i < d->bias; i++)
            gradient[i] *= 1 / unit_of_input;
        for (int j = 0; j < d->out; j++) {
            float lane[PAD] = {0};
            for (int p = 0; p < SLICE; p += PAD)
                for (int i = 0; i < PAD; i++)
                    lane[i] += g[j * SLICE + p + i];
            for (int i = 1; i < PAD; i++)
                lane[0] += lane[i];
            gradient[d->bias + j] = lane[0];
        }
        if (l == 0)
            break;
        float *z = s->sum[l - 1];
        f->kernels->product(f->turned + d->weight, d->out, g, NULL, d->in, d->out, SLICE, s->back);
        for (int i = 0; i < d->in * SLICE; i++)
            z[i] = s->back[i] / unit_of_weight[l] * (z[i] > 0 && z[i] < 255 * 64 ? 1 : below);
    }
}

typedef struct batch {
    const swg__causal_fitter *f;
    const swg__causal_point *points;
    const int64_t *index;
    const uint8_t (*bucket)[3];
} batch;

static void slice_gradient(void *arg, int64_t task, int worker) {
    (void)worker;
    const batch *b = arg;
    const swg__causal_fitter *f = b->f;
    const slice s = slice_of(f, f->scratch + task * f->scratch_floats);
    const swg__causal_point *point[SLICE];
    for (int p = 0; p < SLICE; p++)
        point[p] = &b->points[b->index[task * SLICE + p]];
    load(f, point, &s);
    forward(f, &s);
    loss_gradient(f, point, b->bucket, s.sum[LAST]);
    backward(f, &s, f->partial + task * f->parameters);
}

void swg__causal_gradient(swg__causal_fitter *f, const swg__causal_point *points, const int64_t *index, const uint8_t bucket[128][3]) {
    batch b = {f, points, index, bucket};
    swg__parallel(f->ctx, SLICES, slice_gradient, &b);
    for (int64_t i = 0; i < f->parameters; i++) {
        float sum = f->partial[i];
        for (int s = 1; s < SLICES; s++)
            sum += f->partial[s * f->parameters + i];
        f->gradient[i] = sum * (1.f / SWG__CAUSAL_BATCH);
    }
}

/* ---- optimiser ---- */

/* Adam (Kingma and Ba 2015). */
static void update(swg__causal_fitter *f, float rate) {
    const float beta0 = 0.9f, beta1 = 0.999f;
    f->decay[0] *= 0.9;
    f->decay[1] *= 0.999;
    const float scale0 = (float)(1 / (1 - f->decay[0])), scale1 = (float)(1 / (1 - f->decay[1]));
    for (int64_t i = 0; i < f->parameters; i++) {
        const float g = f->gradient[i];
        f->mean[i] = beta0 * f->mean[i] + (1 - beta0) * g;
        f->square[i] = beta1 * f->square[i] + (1 - beta1) * (g * g);
        f->master[i] -= rate * (f->mean[i] * scale0) / (sqrtf(f->square[i] * scale1) + 1e-8f);
    }
}

void swg__causal_step(swg__causal_fitter *f, const swg__causal_point *points, const int64_t *among, int64_t count, const uint8_t bucket[128][3],
                      double progress) {
    int64_t index[SWG__CAUSAL_BATCH];
    for (int i = 0; i < SWG__CAUSAL_BATCH; i += 4) {
        swg__philox_words words = swg__philox(f->seed, (uint64_t)i, (uint32_t)f->step, STREAM_BATCH);
        for (int k = 0; k < 4; k++)
            index[i + k] = among[(int64_t)((uint64_t)words.w[k] * (uint64_t)count >> 32)];
    }
    swg__causal_gradient(f, points, index, bucket);
    /* The rate falls within 1 % of half a cosine, whose last bit differs from library to library. */
    const double fall = 1 - progress * progress * (3 - 2 * progress);
    update(f, (float)(LAST_RATE + (FIRST_RATE - LAST_RATE) * fall));
    swg__causal_quantise(f);
    f->step++;
}

/* ---- all points ---- */

enum { TASK = 64 * SLICE };

typedef struct run {
    const swg__causal_fitter *f;
    const swg__causal_point *points;
    int64_t count;
    int32_t (*sums)[2];
    float *scratch;
} run;

static void run_task(void *arg, int64_t task, int worker) {
    const run *r = arg;
    const slice s = slice_of(r->f, r->scratch + worker * r->f->scratch_floats);
    for (int64_t i = task * TASK; i < r->count && i < (task + 1) * TASK; i += SLICE) {
        const swg__causal_point *point[SLICE];
        for (int p = 0; p < SLICE; p++)
            point[p] = &r->points[i + p < r->count ? i + p : r->count - 1];
        load(r->f, point, &s);
        forward(r->f, &s);
        for (int p = 0; p < SLICE && i + p < r->count; p++)
            for (int o = 0; o < OUTPUTS; o++)
                r->sums[i + p][o] = (int32_t)s.sum[LAST][o * SLICE + p];
    }
}

swg_status swg__causal_sums(const swg__causal_fitter *f, const swg__causal_point *points, int64_t count, int32_t (*sums)[2]) {
    const int threads = swg_context_threads(f->ctx);
    run r = {f, points, count, sums, swg__alloc(f->ctx, (size_t)(threads * f->scratch_floats) * sizeof(float))};
    if (!r.scratch)
        return swg__fail_memory(f->ctx, (size_t)(threads * f->scratch_floats) * sizeof(float), "a causal network");
    swg__parallel(f->ctx, (count + TASK - 1) / TASK, run_task, &r);
    swg__free(f->ctx, r.scratch);
    return SWG_OK;
}
