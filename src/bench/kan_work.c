/* kan_work.c - the KAN convolution in its forms and the KAN networks as graphs, and their check against f64.
 * In: a task. Out: a plan ready to run. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/kan.h"
#include "swage/kan.h"
#include "swage/nn.h"

enum { KERNEL = 3, TAPS = KERNEL * KERNEL, CHECK_SIZE = 8, CHECK_CHANNELS = 8, CHECK_IMAGE = 32, SEED = 42 };

static const char *const forms[SWG__KAN_FORMS] = {"naive", "patches", "once", "optimised"};
static const char *const works[SWG__KAN_WORKS] = {"layer", "kan/dae", "kan/dae-opt"};
const char *swg__kan_form_name(int form) { return form >= 0 && form < SWG__KAN_FORMS ? forms[form] : NULL; }
const char *swg__kan_work_name(int work) { return work >= 0 && work < SWG__KAN_WORKS ? works[work] : NULL; }

/* ---- forms; x (b, c, h, w), result (b, o, h, w) ---- */

/* The nine neighbours of every element, 0 beyond the edges: (b, c, 9, h, w). */
static swg_value neighbours(swg_graph *g, swg_value x) {
    const int64_t *shape = swg_shape(g, x), own[5] = {shape[0], shape[1], 1, shape[2], shape[3]};
    swg_value part[TAPS], wide = swg_pad(g, x, (int64_t[]){0, 0, 1, 1}, (int64_t[]){0, 0, 1, 1});
    for (int64_t t = 0; t < TAPS; t++)
        part[t] = swg_reshape(g, swg_slice(g, wide, (int64_t[]){0, 0, t / KERNEL, t % KERNEL}, (int64_t[]){own[0], own[1], own[3], own[4]}), 5, own);
    return swg_concat(g, part, TAPS, 2);
}

/* (b h w, o) to (b, o, h, w). */
static swg_value image_of(swg_graph *g, swg_value rows, const int64_t shape[4]) {
    swg_value y = swg_reshape(g, rows, 4, (int64_t[]){shape[0], shape[2], shape[3], -1});
    return swg_permute(g, y, (int[]){0, 3, 1, 2});
}

static swg_value patches(swg_graph *g, swg_value x, const swg__kan_task *t, const swg_kan_opts *opts) {
    const int64_t shape[4] = {t->batch, t->channels, t->size, t->size};
    swg_value rows = swg_permute(g, neighbours(g, x), (int[]){0, 3, 4, 1, 2});
    rows = swg_reshape(g, rows, 2, (int64_t[]){-1, t->channels * TAPS});
    return image_of(g, swg_kan_linear(g, rows, t->channels, opts, "kan"), shape);
}

/* A KAN layer of nine numbers for every pair of channels. */
static swg_value naive(swg_graph *g, swg_value x, const swg__kan_task *t, const swg_kan_opts *opts) {
    const int64_t shape[4] = {t->batch, t->channels, t->size, t->size}, n = t->channels;
    swg_value all = swg_permute(g, neighbours(g, x), (int[]){1, 0, 3, 4, 2}), sum[2] = {SWG_NONE};
    for (int64_t c = 0; c < n; c++) {
        swg_value own = swg_slice(g, all, (int64_t[]){c, 0, 0, 0, 0}, (int64_t[]){1, t->batch, t->size, t->size, TAPS});
        own = swg_reshape(g, own, 2, (int64_t[]){-1, TAPS});
        swg_value columns[256];
        for (int64_t o = 0; o < n; o++) {
            char name[48];
            snprintf(name, sizeof name, "kan_%lld_%lld", (long long)o, (long long)c);
            columns[o] = swg_kan_linear(g, own, 1, opts, name);
        }
        sum[1] = swg_concat(g, columns, (int)n, 1);
        sum[0] = c ? swg_add(g, sum[0], sum[1]) : sum[1];
    }
    return image_of(g, sum[0], shape);
}

static swg_value layer(swg_graph *g, swg_value x, const swg__kan_task *t) {
    swg_kan_opts opts = {.intervals = t->grid, .order = t->order};
    if (t->form == SWG__KAN_NAIVE)
        return naive(g, x, t, &opts);
    if (t->form == SWG__KAN_PATCHES)
        return patches(g, x, t, &opts);
    opts.conv_then_silu = t->form == SWG__KAN_OPTIMISED;
    opts.scaler = opts.conv_then_silu ? SWG_KAN_CHANNEL : SWG_KAN_EDGE;
    return swg_kan_conv(g, x, t->channels, KERNEL, &opts, &(swg_conv_opts){.padding = {1, 1}}, "kan");
}

/* ---- numbers that do not depend on the form ---- */

enum { BASE = 1, SPLINE, SCALER, IMAGE, SLOPE }; /* salts */

static void fill(void *to, swg_dtype dtype, int64_t n, int64_t first, int salt, double scale) {
    for (int64_t i = 0; i < n; i++)
        swg__store(to, dtype, i, swg__bench_value(first + i, salt) * scale);
}

/* Parameters are (o, c 9), (o, c 9, bases) and (o, c 9) or (o); a naive one has its part of them. */
static void fill_weights(const swg__kan_task *t, swg_weights *w, swg_dtype dtype) {
    double scale = 1 / sqrt((double)(t->channels * TAPS));
    for (int i = 0; i < swg_weights_count(w); i++) {
        const char *name = swg_weights_name(w, i);
        bool spline = strstr(name, "spline_weight"), scaler = strstr(name, "spline_scaler");
        int64_t n = swg__shape_elements(swg_weights_ndim(w, i), swg_weights_shape(w, i)), each = n, first = 0;
        long long o, c;
        if (sscanf(name, "kan_%lld_%lld", &o, &c) == 2) {
            each = n / TAPS;
            first = (o * t->channels + c) * TAPS * each;
        }
        fill(swg_weights_value(w, i), dtype, n, first, spline ? SPLINE : scaler ? SCALER : BASE, scaler ? 1 : scale);
    }
}

/* ---- opening ---- */

static swg_status build_layer(const swg__kan_task *t, swg__job *job, swg_value *dy, swg_value *outputs, int *count) {
    swg_graph *g = job->g;
    const int64_t shape[4] = {t->batch, t->channels, t->size, t->size};
    job->x = swg_input(g, "x", 4, shape);
    job->y = outputs[(*count)++] = layer(g, job->x, t);
    if (!t->training)
        return swg_graph_status(g);
    int params;
    *dy = swg_input(g, "dy", 4, shape);
    swg_value own = swg_sum(g, swg_mul(g, job->y, *dy), 0), *of;
    const swg_value *all = swg_params_of(g, &params);
    if (!(of = swg__alloc(job->ctx, (size_t)(params + 1) * sizeof *of)))
        return swg__fail_memory(job->ctx, (size_t)params * sizeof *of, "parameters");
    of[0] = job->x;
    memcpy(of + 1, all, (size_t)params * sizeof *of);
    swg_status status = swg_gradients(g, swg_reshape(g, own, 1, (int64_t[]){1}), of, params + 1, outputs + 1);
    *count += params + 1;
    swg__free(job->ctx, of);
    return status;
}

static const swg_adam_hyper hyper = {.lr = 2e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1};

/* A step: forward, mse, backward, AdamW, running statistics. Or all three results of the network in use. */
static swg_status build_network(const swg__kan_task *t, swg__job *job, swg_value *outputs, int *count) {
    swg_graph *g = job->g;
    swg_kan_dae model;
    swg_value encoded, decoded, z;
    SWG__TRY(swg_kan_dae_preset(job->ctx, works[t->work], &model));
    job->x = swg_input(g, "x", 4, (int64_t[]){t->batch, model.image, t->size, t->size});
    swg_kan_dae_apply(g, job->x, &model, &encoded, &decoded, &z);
    if (t->training) {
        job->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        swg_value loss = swg_adam(g, swg_loss_mse(g, decoded, job->x), job->hyper, &(swg_adam_opts){.decoupled = true});
        outputs[(*count)++] = swg_update_states(g, loss);
    } else {
        outputs[(*count)++] = decoded;
        outputs[(*count)++] = z;
        outputs[(*count)++] = encoded;
    }
    return swg_graph_status(g);
}

static void fill_all(const swg__kan_task *t, swg_dtype dtype, swg__job *job, swg_value dy) {
    bool network = t->work != SWG__KAN_LAYER;
    double scale = network ? 1 : 1.5, b1 = 1, b2 = 1;
    fill(swg_plan_data(job->plan, job->x), dtype, swg_elements(job->g, job->x), 0, IMAGE, scale);
    if (dy)
        fill(swg_plan_data(job->plan, dy), dtype, swg_elements(job->g, dy), 0, SLOPE, 1);
    if (job->hyper)
        swg_hyper_adam(&hyper, &b1, &b2, dtype, swg_plan_data(job->plan, job->hyper));
}

swg_status swg__kan_open(swg_context *ctx, const swg__kan_task *t, swg_dtype dtype, swg__job *job, swg_value *results) {
    *job = (swg__job){.ctx = ctx};
    bool network = t->work != SWG__KAN_LAYER, step = network && t->training;
    const size_t most = (size_t)(3 * t->channels * t->channels + 16);   /* a naive one has three parameters per pair */
    swg_value *outputs = swg__calloc(ctx, most, sizeof *outputs), dy = SWG_NONE;
    const swg_graph_opts opts = {.dtype = dtype, .inference = network && !t->training};
    int count = 0;
    swg_status status = outputs ? swg_graph_create(ctx, &opts, &job->g) : swg__fail_memory(ctx, most * sizeof *outputs, "results");
    if (status == SWG_OK)
        status = network ? build_network(t, job, outputs, &count) : build_layer(t, job, &dy, outputs, &count);
    if (status == SWG_OK)
        status = swg_plan_make(job->g, &(swg_plan_opts){.outputs = outputs, .output_count = count, .frozen = !t->training, .bf16 = t->bf16,
                                                        .recompute.policy = t->keep ? SWG_RECOMPUTE_OFF : SWG_RECOMPUTE_DEFAULT}, &job->plan);
    if (status == SWG_OK)
        status = swg_weights_create(job->g, step, &job->weights);
    if (status == SWG_OK) {
        swg_weights_init(job->weights, SEED);
        if (!network)
            fill_weights(t, job->weights, dtype);
        status = swg_plan_open(job->plan, job->weights, NULL);
    }
    if (status == SWG_OK) {
        fill_all(t, dtype, job, dy);
        for (int i = 0; i < 2 && results; i++)
            results[i] = i < count ? outputs[i] : SWG_NONE;
    }
    swg__free(ctx, outputs);
    return status;
}

/* ---- checking ---- */

static double gap(const void *found, swg_dtype dtype, const void *truth, int64_t n) {
    double most = 0, gap = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = swg__load(truth, SWG_F64, i), d = fabs(swg__load(found, dtype, i) - e);
        most = fmax(most, fabs(e));
        gap = d <= gap ? gap : d == d ? d : INFINITY;
    }
    return gap / most;
}

/* Small, and exact. */
static void small_ones(const swg__kan_task *task, swg__kan_task *small, swg__kan_task *exact) {
    bool network = task->work != SWG__KAN_LAYER;
    *small = *task;
    small->batch = network ? 2 : 1; /* a batch norm wants two */
    small->size = swg__min64(task->size, network ? CHECK_IMAGE : CHECK_SIZE);
    small->channels = swg__min64(task->channels, CHECK_CHANNELS);
    *exact = *small;
    exact->bf16 = false;
    if (task->form != SWG__KAN_OPTIMISED)
        exact->form = SWG__KAN_ONCE;
}

swg_status swg__kan_check(swg_context *ctx, const swg__kan_task *task, double *error, char *failure, size_t capacity) {
    swg__kan_task small, reference;
    small_ones(task, &small, &reference);
    bool step = task->work != SWG__KAN_LAYER && task->training;
    swg__job job = {0}, exact = {0};
    swg_value found[2], truth[2];
    swg_status status = swg__kan_open(ctx, &small, SWG_F32, &job, found);
    if (status == SWG_OK)
        status = swg__kan_open(ctx, &reference, SWG_F64, &exact, truth);
    if (status == SWG_OK) {
        swg__job_run(&job);
        swg__job_run(&exact);
        *error = step ? gap(job.weights->gradient, SWG_F32, exact.weights->gradient, job.weights->span) : 0;
        for (int i = 0; i < 2; i++)
            if (found[i])
                *error = fmax(*error, gap(swg_plan_data(job.plan, found[i]), swg_value_dtype(job.g, found[i]), swg_plan_data(exact.plan, truth[i]),
                                          swg_elements(job.g, found[i])));
        /* a batch norm over few values magnifies what is rounded */
        const double allowed = task->work == SWG__KAN_LAYER ? (task->bf16 ? 3e-2 : 1e-5) : task->bf16 ? 3e-1 : 1e-3;
        if (!(*error <= allowed))
            snprintf(failure, capacity, "%.1e from the f64 result, at most %.0e allowed", *error, allowed);
    }
    swg__job_close(&job);
    swg__job_close(&exact);
    return status;
}
