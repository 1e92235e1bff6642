/* jobs.c - products, encode and decode, training steps and optimiser updates as plans; each is checked before it is timed.
 * In: a workload and a team. Out: a row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/jobs.h"
#include <math.h>
#include <string.h>
#include "provider/provider.h"
#include "swage/cyto.h"
#include "swage/swae.h"
#include "swage/unet.h"

enum { SEED = 42, DIRECTIONS = 50, CHECK_ROWS = 32, OPENMP_SETTLE_NS = 8000000 };

/* Inputs in [-1, 1), exact in f32. */
double swg__bench_value(int64_t i, int salt) {
    uint32_t h = ((uint32_t)i + (uint32_t)salt * 7919u) * 2654435761u + 12345u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (double)((h ^ h >> 12) >> 8) * 0x1p-23 - 1;
}

static double in_bf16(double x) { return (double)swg__f32_of_bf16(swg__bf16_of((float)x)); }

/* ---- building ---- */

/* The 3-D U-Net of 32 to 256 channels, or the dynamic one of 16 to 64, one channel in and out. */
static swg_value build_unet(swg__job *job, const swg__workload *work, int64_t batch) {
    swg_graph *g = job->g;
    job->x = swg_input(g, "x", 5, (int64_t[]){batch, 1, work->k, work->k, work->k});
    job->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    if (strcmp(work->model, "dynunet") == 0)
        return swg_adam(g, swg_loss_dice_ce(g, swg_dynunet_apply(g, job->x, &(swg_dynunet){0}), job->x, NULL), job->hyper, &(swg_adam_opts){.clip = true});
    swg_value y = swg_unet_apply(g, job->x, &(swg_unet){.levels = 4, .channels = {32, 64, 128, 256}, .out = 1, .activation = SWG_ACT_LEAKY_RELU});
    return swg_adam(g, swg_loss_mse(g, y, job->x), job->hyper, &(swg_adam_opts){.clip = true});
}

static swg_value build(swg__job *job, const swg__workload *work, int64_t batch, swg_status *status) {
    swg_graph *g = job->g;
    if (work->kind == SWG__WORK_MATMUL) {
        job->x = swg_input(g, "x", 2, (int64_t[]){batch, work->k});
        swg_value w = swg_param(g, "w", 2, (int64_t[]){work->n, work->k}, (swg_init){.bound = 1 / sqrt((double)work->k)});
        job->y = swg_matmul(g, job->x, w, &(swg_matmul_opts){.trans_b = true});
        if (job->y && work->bf16 && g->dtype == SWG_F32)
            g->nodes[job->x].dtype = g->nodes[job->y].dtype = SWG_BF16;
        return job->y;
    }
    if (work->recompute)
        return build_unet(job, work, batch);
    swg_swae model;
    if ((*status = swg_swae_preset(job->ctx, work->model, &model)) != SWG_OK)
        return SWG_NONE;
    job->x = swg_input(g, "x", 2, (int64_t[]){batch, model.input});
    swg_value z = swg_swae_encode(g, job->x, &model), y = swg_swae_decode(g, z, &model), reconstruction, distance;
    if (work->kind == SWG__WORK_INFER || work->kind == SWG__WORK_MEMORY_INFER)
        return job->y = y;
    job->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    const swg_swae_loss loss = {.lambda = 1, .directions = DIRECTIONS};
    bool adamw = work->kind == SWG__WORK_ADAMW;
    return swg_adam(g, swg_swae_loss_of(g, &loss, job->x, y, z, &reconstruction, &distance), job->hyper,
                    &(swg_adam_opts){.clip = !adamw, .decoupled = adamw});
}

static bool updates_weights(const swg__workload *work) {
    return work->kind == SWG__WORK_TRAIN || work->kind == SWG__WORK_BUSY || work->kind == SWG__WORK_ADAMW || work->kind == SWG__WORK_MEMORY_TRAIN;
}

static const swg_adam_hyper hyper = {.lr = 2e-4, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = .01, .clip_norm = 1,
                                     .grad_scale = 1};

swg_status swg__job_open(swg_context *ctx, const swg__workload *work, int64_t batch, int64_t stride, swg_dtype dtype,
                         const char *provider, swg__job *job) {
    *job = (swg__job){.ctx = ctx};
    swg_status status = swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &job->g);
    if (status != SWG_OK)
        return status;
    bool training = updates_weights(work);
    swg_value output = build(job, work, batch, &status);
    bool network = work->kind == SWG__WORK_INFER || work->kind == SWG__WORK_TRAIN; /* products have their types already */
    swg_plan_opts opts = {.outputs = &output, .output_count = 1, .frozen = !training, .provider = provider,
                          .bf16 = work->bf16 && network && dtype == SWG_F32};
    if (status == SWG_OK && work->recompute)
        status = swg_recompute_read(ctx, work->recompute, &opts.recompute);
    if (status == SWG_OK)
        status = swg_plan_make(job->g, &opts, &job->plan);
    if (status == SWG_OK)
        status = swg_weights_create(job->g, training, &job->weights);
    if (status != SWG_OK)
        return status;
    swg_weights_init(job->weights, SEED);
    for (int64_t i = 0; work->bf16 && i < job->weights->span; i++) /* for both sides what packing would make of them */
        swg__store(job->weights->value, dtype, i, in_bf16(swg__load(job->weights->value, dtype, i)));
    SWG__TRY(swg_plan_open(job->plan, job->weights, NULL));
    int64_t count = swg_elements(job->g, job->x), row = count / swg_shape(job->g, job->x)[0];
    void *x = swg_plan_data(job->plan, job->x);
    for (int64_t i = 0; i < count; i++) {
        double value = swg__bench_value(i / row * stride * row + i % row, 0);
        swg__store(x, swg_value_dtype(job->g, job->x), i, work->bf16 ? in_bf16(value) : value);
    }
    double b1 = 1, b2 = 1;
    if (training)
        swg_hyper_adam(&hyper, &b1, &b2, dtype, swg_plan_data(job->plan, job->hyper));
    for (int i = 0; i < job->plan->step_count; i++)
        if (job->plan->steps[i].call.node->op == SWG__UPDATE)
            job->update = &job->plan->steps[i];
    return SWG_OK;
}

void swg__job_close(swg__job *job) {
    swg_plan_destroy(job->plan);
    swg_weights_destroy(job->weights);
    swg_graph_destroy(job->g);
    *job = (swg__job){0};
}

/* An open plan cannot fail to run. */
void swg__job_run(void *arg) {
    swg__job *job = arg;
    swg_plan_run(job->plan, SEED, 0);
}

static void update_task(void *arg, int64_t task, int worker) {
    const swg__step *s = arg;
    int64_t begin = task * s->grain;
    s->kernel->run(&s->call, begin, swg__min64(begin + s->grain, s->units), worker);
}

void swg__job_update(void *arg) {
    swg__job *job = arg;
    swg__parallel(job->ctx, swg__ceil_div(job->update->units, job->update->grain), update_task, job->update);
}

/* ---- checking: a wrong result has no time ---- */

/* Largest |got - truth| over largest |truth|; NaN counts as infinitely wrong. */
static double error_of(const void *got, swg_dtype dtype, const double *truth, int64_t n) {
    double most = 0, gap = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs(swg__load(got, dtype, i) - truth[i]);
        most = fmax(most, fabs(truth[i]));
        gap = d <= gap ? gap : d == d ? d : INFINITY;
    }
    return gap / most;
}

/* Rows of a product or network, first and last among them, against the f64 reference of those rows alone. */
static swg_status check_rows(swg__job *job, const swg__workload *work, double *error) {
    int64_t rows = work->batch < CHECK_ROWS ? work->batch : CHECK_ROWS, stride = rows > 1 ? (work->batch - 1) / (rows - 1) : 1;
    swg__job exact;
    swg_status status = swg__job_open(job->ctx, work, rows, stride, SWG_F64, NULL, &exact);
    if (status == SWG_OK) {
        swg__job_run(&exact);
        swg__job_run(job);
        int64_t n = swg_shape(job->g, job->y)[1];
        swg_dtype dtype = swg_value_dtype(job->g, job->y);
        const char *got = swg_plan_data(job->plan, job->y);
        const double *truth = swg_plan_data(exact.plan, exact.y);
        *error = 0;
        for (int64_t r = 0; r < rows; r++)
            *error = fmax(*error, error_of(got + r * stride * n * (int64_t)swg__dtype_size(dtype), dtype, truth + r * n, n));
    }
    swg__job_close(&exact);
    return status;
}

/* All gradients of one step against the f64 reference. */
static swg_status check_gradients(swg__job *job, const swg__workload *work, double *error) {
    swg__job exact;
    swg_status status = swg__job_open(job->ctx, work, work->batch, 1, SWG_F64, NULL, &exact);
    if (status == SWG_OK) {
        swg_weights_init(job->weights, SEED); /* the first call has moved them */
        swg__job_run(&exact);
        swg__job_run(job);
        *error = error_of(job->weights->gradient, SWG_F32, (const double *)exact.weights->gradient, job->weights->span);
    }
    swg__job_close(&exact);
    return status;
}

/* One update of the whole span against the published formula in f64, written a second time. */
static swg_status check_update(swg__job *job, double *error) {
    swg__job_run(job); /* gradients and moments that are not zero */
    int64_t n = job->weights->span;
    double *truth = swg__alloc(job->ctx, (size_t)n * sizeof *truth);
    if (!truth)
        return swg__fail_memory(job->ctx, (size_t)n * sizeof *truth, "a check");
    const float *h = swg_plan_data(job->plan, job->hyper);
    const float *w = (const float *)job->weights->value, *g = (const float *)job->weights->gradient;
    const float *m = (const float *)job->weights->moment1, *v = (const float *)job->weights->moment2;
    for (int64_t i = 0; i < n; i++) {
        double gi = (double)g[i], mi = hyper.beta1 * (double)m[i] + (1 - hyper.beta1) * gi;
        double vi = hyper.beta2 * (double)v[i] + (1 - hyper.beta2) * gi * gi;
        truth[i] = (double)w[i] * (1 - hyper.lr * hyper.weight_decay) -
                   (double)h[SWG_HYPER_STEP_SIZE] * mi / (sqrt(vi) * (double)h[SWG_HYPER_RSQRT_C2] + hyper.eps);
    }
    swg__job_update(job);
    *error = error_of(w, SWG_F32, truth, n);
    swg__free(job->ctx, truth);
    return SWG_OK;
}

static swg_status check(swg__job *job, const swg__workload *work, const char *whose, double *error, char *failure, size_t capacity) {
    /* Rounding over at most 512 terms; gradients also see ranks of close projections swap in f32. */
    double allowed = work->kind == SWG__WORK_TRAIN ? (work->bf16 ? 1e-1 : 1e-3) : work->kind == SWG__WORK_INFER && work->bf16 ? 3e-2 : work->kind == SWG__WORK_ADAMW ? 1e-6 : work->bf16 ? 4e-3 : 1e-5;
    swg_status status = work->kind == SWG__WORK_ADAMW   ? check_update(job, error)
                        : work->kind == SWG__WORK_TRAIN ? check_gradients(job, work, error)
                                                   : check_rows(job, work, error);
    if (status == SWG_OK && !(*error <= allowed))
        snprintf(failure, capacity, "%s: %.1e from the f64 result, at most %.0e allowed", whose, *error, allowed);
    return status;
}

/* ---- what has to be done at least ---- */

/* Calls of the pool that share work out. */
static int parallel_calls(const swg_plan *plan) {
    int calls = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__group *group = s->group >= 0 ? &plan->groups[s->group] : NULL;
        int64_t tasks = group ? swg__ceil_div(group->rows, group->panel_rows) : swg__ceil_div(s->units, s->grain);
        calls += tasks > 1 && !s->frozen && (!group || group->first == i);
    }
    return calls;
}

void swg__job_count(const swg__job *job, swg__row *row) {
    const swg__workload *work = &row->work;
    double parameters = (double)swg_graph_parameters(job->g), io = (double)swg__node_bytes(&job->g->nodes[job->x]);
    row->parallel_calls = parallel_calls(job->plan);
    row->flop = (double)swg_plan_flops(job->plan);
    if (work->kind == SWG__WORK_ADAMW) { /* reads weight, gradient and two moments, writes three of them */
        row->flop = 0;
        row->bytes = 28 * parameters;
        row->working_set_bytes = 16 * parameters;
        row->updates = true;
        row->parallel_calls = 1;
    } else if (work->kind == SWG__WORK_TRAIN || work->kind == SWG__WORK_BUSY) { /* the update, and weights read once forward and once backward */
        row->bytes = 36 * parameters + io;
        row->working_set_bytes = (double)swg_plan_memory_of(job->plan).peak_bytes;
    } else {
        row->bytes = row->working_set_bytes = 4 * parameters + io + (double)swg__node_bytes(&job->g->nodes[job->y]);
    }
}

/* ---- one row ---- */

/* oneDNN runs products and the ReLU network; GELU would mix its threads with ours and measure the scheduler. */
static bool has_onednn(const swg__bench *b, const swg__workload *work) {
    return strcmp(b->peers[0].version, "absent") != 0 &&
           (work->kind == SWG__WORK_MATMUL || (work->kind == SWG__WORK_INFER && strcmp(work->model, "swae/mlp-deep") == 0));
}

void swg__bench_explain(const swg__bench *b, const swg__row *row, const swg_plan *plan) {
    if (!b->opts.explain)
        return;
    fprintf(b->opts.explain, "%s, %d thread%s\n", row->work.id, row->threads, row->threads > 1 ? "s" : "");
    swg_plan_explain(plan, b->opts.explain);
}

static swg_status open_timed(swg_context *ctx, const swg__workload *work, const char *provider, swg__job *job, double *cold_ns) {
    double begin = swg__bench_clock_ns();
    SWG__TRY(swg__job_open(ctx, work, work->batch, 1, SWG_F32, provider, job));
    swg__job_run(job);
    *cold_ns = swg__bench_clock_ns() - begin;
    return SWG_OK;
}

swg_status swg__bench_time(swg__bench *b, swg__team *team, swg__row *row) {
    const swg__workload *work = &row->work;
    swg__job own = {0}, other = {0};
    swg__times times[2] = {{0}};
    swg__ratio ratio = {0};
    double cold[2] = {0}, peer_error;
    bool peer = has_onednn(b, work);
    swg_status status = open_timed(team->ctx, work, NULL, &own, &cold[0]);
    if (status == SWG_OK)
        swg__bench_explain(b, row, own.plan);
    if (status == SWG_OK && peer)
        status = open_timed(team->ctx, work, "onednn", &other, &cold[1]);
    if (status == SWG_OK)
        status = check(&own, work, "swage", &row->error, row->failure, sizeof row->failure);
    if (status == SWG_OK && peer)
        status = check(&other, work, "oneDNN", &peer_error, row->failure, sizeof row->failure);
    if (status == SWG_OK && !*row->failure) {
        const swg__side sides[2] = {
            {.call = work->kind == SWG__WORK_ADAMW ? swg__job_update : swg__job_run, .arg = &own, .settle_ns = OPENMP_SETTLE_NS},
            {.call = swg__job_run, .arg = &other}};
        swg__job_count(&own, row);
        status = swg__measure(team->ctx, sides, peer ? 2 : 1, b->opts.quick, times, &ratio);
        times[0].cold_ns = cold[0];
        times[1].cold_ns = cold[1];
        row->times = times[0];
        row->planned_bytes = swg_plan_memory_of(own.plan).peak_bytes;
        if (peer) {
            row->peers[0] = (swg__peer_times){.name = "oneDNN", .variant = "own formats", .times = times[1], .ratio = ratio,
                                              .interleaved = true};
            row->peer_count = 1;
        }
    }
    if (status != SWG_OK)
        snprintf(row->failure, sizeof row->failure, "%s", swg_context_message(team->ctx));
    swg__job_close(&own);
    swg__job_close(&other);
    return status;
}
