/* cyto_work.c - the microscopy networks as graphs: a whole training step, or inference, with the switches of a task.
 * In: a task. Out: a plan ready to run. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "bench/cyto.h"
#include "swage/cyto.h"

enum { SEED = 42, FACTOR = 4 };

static const char *const names[SWG__CYTO_EXPERIMENTS] = {"segmentation", "labelfree", "gan_superres"};
const char *swg__cyto_name(int experiment) { return experiment >= 0 && experiment < SWG__CYTO_EXPERIMENTS ? names[experiment] : NULL; }

void swg__cyto_shape(int experiment, int64_t shape[5]) {
    bool small = experiment == SWG__CYTO_SUPERRES; /* the published patch */
    shape[0] = shape[1] = 1;
    shape[2] = small ? 16 : 64;
    shape[3] = shape[4] = small ? 32 : 64;
}

/* ---- graphs ---- */

static swg_value target_of(const swg__cyto_task *t, swg_graph *g) {
    int64_t shape[5];
    for (int axis = 0; axis < t->ndim; axis++)
        shape[axis] = t->shape[axis] * (axis > 1 && t->experiment == SWG__CYTO_SUPERRES ? FACTOR : 1);
    return swg_input(g, "target", t->ndim, shape);
}

/* The prediction, and the loss of training. */
static swg_value apply(const swg__cyto_task *t, swg_graph *g, swg_value x, swg_value target, swg_value *loss) {
    swg_gan_losses losses;
    swg_value y;
    if (t->experiment == SWG__CYTO_SUPERRES) {
        if (!t->training)
            return swg_superres_apply(g, x, &(swg_superres){.factor = FACTOR});
        y = swg_gan_apply(g, x, target, &(swg_gan){.generator.factor = FACTOR}, &losses);
        *loss = losses.total;
        return y;
    }
    y = swg_dynunet_apply(g, x, &(swg_dynunet){0});
    if (t->training)
        *loss = t->experiment == SWG__CYTO_SEGMENTATION ? swg_loss_dice_ce(g, y, target, NULL) : swg_loss_mse(g, y, target);
    return y;
}

static swg_status build(swg_context *ctx, const swg__cyto_task *t, swg__job *job, swg_value *target, swg_value outputs[2]) {
    *job = (swg__job){.ctx = ctx};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = !t->training}, &job->g));
    swg_graph *g = job->g;
    swg_value loss = SWG_NONE;
    job->x = swg_input(g, "x", t->ndim, t->shape);
    *target = t->training ? target_of(t, g) : SWG_NONE;
    swg_value y = apply(t, g, job->x, *target, &loss);
    if (t->training) {
        job->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        outputs[0] = loss;
        outputs[1] = swg_update(g, loss, job->hyper, &(swg_update_opts){.kind = SWG_UPDATE_ADAM});
    } else {
        outputs[0] = y;
    }
    job->y = outputs[0];
    return swg_graph_status(g);
}

static swg_status plan_opts(swg_context *ctx, const swg__cyto_task *t, const swg_value *outputs, swg_plan_opts *out) {
    *out = (swg_plan_opts){.outputs = outputs, .output_count = t->training ? 2 : 1, .frozen = !t->training, .bf16 = t->bf16, .no_fusion = !t->compile,
                           .no_layout = !t->channels_last, .separate_update = !t->fused_optimiser, .recompute.policy = SWG_RECOMPUTE_OFF,
                           .tuning = t->autotune ? t->tuning : NULL, .mode = t->replay ? SWG_PLAN_REDUCE_OVERHEAD : SWG_PLAN_DEFAULT};
    return t->recompute ? swg_recompute_read(ctx, t->recompute, &out->recompute) : SWG_OK;
}

/* ---- numbers ---- */

/* A smooth field in [-1, 1] with some noise, of a place in the unit cube; finer grids sample the same. */
static double field(int64_t sample, const double at[3], double noise) {
    double wave = 0;
    for (int i = 0; i < 3; i++)
        wave += sin(6.283185307179586 * ((double)(i + 1) * at[0] + (double)(3 - i) * at[1] + (double)(i % 2 + 1) * at[2]) + (double)(sample + i)) / 3;
    return .9 * wave + .1 * noise;
}

/* Images x, and what is to be predicted: where the field is high, or the field moved and in other units. */
static void fill(const swg__job *job, swg_value v, bool target, int experiment) {
    const int64_t *shape = swg_shape(job->g, v);
    int ndim = swg_ndim(job->g, v);
    int64_t extent[3] = {ndim == 5 ? shape[2] : 1, shape[ndim - 2], shape[ndim - 1]}, each = extent[0] * extent[1] * extent[2];
    float *to = swg_plan_data(job->plan, v);
    for (int64_t i = 0; i < shape[0] * shape[1] * each; i++) {
        int64_t p = i % each, place[3] = {p / extent[2] / extent[1], p / extent[2] % extent[1], p % extent[2]};
        double at[3], value;
        for (int axis = 0; axis < 3; axis++)
            at[axis] = ((double)place[axis] + .5) / (double)extent[axis];
        value = field(i / each, at, target ? 0 : swg__bench_value(i, 1));
        to[i] = (float)(!target ? value : experiment == SWG__CYTO_SEGMENTATION ? (double)(value > .3) : .8 * value - .1);
    }
}

/* ---- opening ---- */

/* Two Adams of a GAN have the same numbers, and are one. */
static void set_hyper(swg__cyto_steps *s) {
    const bool gan = s->task->experiment == SWG__CYTO_SUPERRES;
    const swg_adam_hyper hyper = {.lr = 1e-4, .beta1 = gan ? .5 : .9, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1};
    if (s->task->training)
        swg_hyper_adam(&hyper, &s->power[0], &s->power[1], SWG_F32, swg_plan_data(s->job->plan, s->job->hyper));
}

void swg__cyto_steps_open(swg__cyto_steps *s, swg__job *job, const swg__cyto_task *task) {
    *s = (swg__cyto_steps){.job = job, .task = task, .power = {1, 1}};
}

void swg__cyto_step(swg__cyto_steps *s) {
    set_hyper(s);
    swg_plan_run(s->job->plan, SEED, s->step++);
}

/* The graph and, of it, a plan. */
static swg_status make(swg_context *ctx, const swg__cyto_task *t, swg__job *job, swg_value *target, swg_plan_opts *opts, swg_value outputs[2]) {
    SWG__TRY(build(ctx, t, job, target, outputs));
    return plan_opts(ctx, t, outputs, opts);
}

swg_status swg__cyto_open(swg_context *ctx, const swg__cyto_task *t, swg__job *job) {
    swg_value outputs[2], target;
    swg_plan_opts opts;
    swg__cyto_steps first;
    SWG__TRY(make(ctx, t, job, &target, &opts, outputs));
    SWG__TRY(swg_plan_make(job->g, &opts, &job->plan));
    SWG__TRY(swg_weights_create(job->g, t->training, &job->weights));
    swg_weights_init(job->weights, SEED);
    SWG__TRY(swg_plan_open(job->plan, job->weights, NULL));
    fill(job, job->x, false, t->experiment);
    if (target)
        fill(job, target, true, t->experiment);
    swg__cyto_steps_open(&first, job, t);
    set_hyper(&first);
    return SWG_OK;
}

swg_status swg__cyto_planned(swg_context *ctx, const swg__cyto_task *t, int64_t *bytes) {
    swg_value outputs[2], target;
    swg_plan_opts opts;
    swg__job job;
    swg_status status = make(ctx, t, &job, &target, &opts, outputs);
    if (status == SWG_OK)
        status = swg_plan_make(job.g, &opts, &job.plan);
    if (status == SWG_OK)
        *bytes = swg_plan_memory_of(job.plan).peak_bytes;
    swg__job_close(&job);
    return status;
}

swg_status swg__cyto_tune(swg_context *ctx, const swg__cyto_task *t, double seconds, const volatile sig_atomic_t *stop) {
    swg_value outputs[2], target;
    swg_plan_opts opts;
    swg__job job;
    swg_status status = make(ctx, t, &job, &target, &opts, outputs);
    opts.tuning = NULL;
    if (status == SWG_OK)
        status = swg_tune(t->tuning, job.g, &opts, &(swg_tune_opts){.seconds = seconds, .stop = stop});
    swg__job_close(&job);
    return status;
}
