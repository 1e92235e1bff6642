/* run.h - a training run as its parts see it: what setup.c opens and train.c works with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_RUN_H
#define SWAGE_TRAIN_RUN_H

#include "data/loader.h"
#include "data/prepare.h"
#include "report/tfevents.h"
#include "swage/metrics.h"
#include "swage/profile.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "swage/tune.h"
#include "train/recipe.h"

/* A planned step for one batch size. */
typedef struct swg__stage {
    swg_plan *plan;
    swg__step_graph graph;
} swg__stage;

/* What the loader's workers read: batch k is indices[k * batch ...]. Only changed while they rest. */
typedef struct swg__feed {
    const swg__family *family;
    const swg__dataset *data;
    const int64_t *indices;
    int64_t count, batch;
    swg__draw draw;
} swg__feed;

typedef struct swg__run {
    swg_context *ctx;
    swg_config *config;
    const swg_train_hooks *hooks;
    const swg_train_array *arrays;          /* in place of files; NULL: files */
    int array_count;
    swg__recipe recipe;
    swg__dataset data;
    int64_t data_count;                     /* samples of all parts */
    swg_weights *weights, *average;         /* average: NULL without ema.momentum */
    swg__loader *loader;
    swg__feed feed;
    swg_anomaly anomaly;                    /* of this optimiser step, trainer.detect_anomaly */
    struct swg__run_profile *profile;       /* profiling.h; NULL: none */
    swg__stage train, train_rest, val, val_rest; /* *_rest: the last, shorter batch */
    swg_tuning *tuning;                     /* of max-autotune, from the moment the batch size is known; else NULL */
    bool plans_only;                        /* nothing is measured for them */
    int64_t tune_ns;                        /* spent on measuring */
    int64_t *order;                         /* this epoch's permutation of the training part */
    float *staging;                         /* a batch on its way to several inputs; NULL where there is one, or workers */
    swg__run_state state;
    swg__early_stop early;
    swg__run_log log;
    swg__events events;                     /* closed unless the recipe logs them */
    swg_safetensors *checkpoint;            /* the run goes on from here; open until it is restored */
    char dir[1024];
    swg_train_result *result;
    int64_t began_ns, epoch_ns, epoch_samples, epoch_steps, data_ns, planned_bytes;
    int64_t train_ns, train_data_ns;        /* of the epoch's training, without its validation */
    int64_t sitting_ns, sitting_data_ns, sitting_samples, sitting_steps;    /* of training since this process began */
    double seconds_before;                  /* of earlier sittings of a resumed run */
    double step_loss;
} swg__run;

/* Opens all of it: data, run folder, plans, loader, log; takes up a checkpoint where the configuration says so. */
swg_status swg__run_prepare(swg__run *r);
void swg__run_release(swg__run *r);

/* Parts of it: the data; the batch size, where it is auto. */
swg_status swg__run_data(swg__run *r);
swg_status swg__run_settle_batch(swg__run *r, int64_t samples);

/* Writes ckpt/<name>. */
swg_status swg__run_save(swg__run *r, const char *name);
void swg__run_checkpoint(const swg__run *r, const char *name, char *out, size_t capacity);   /* its path */
/* Opens what was measured earlier, where the recipe wants max-autotune; stages made from then on are measured. */
swg_status swg__run_tuning(swg__run *r);
/* Plan of a graph, with opts of swg__recipe_plan_opts and what was measured. */
swg_status swg__run_plan(swg__run *r, swg_graph *g, const swg_plan_opts *opts, swg_plan **plan);
/* Graph and plan of a training step or a validation pass; nothing for batch 0. */
swg_status swg__stage_make(swg__run *r, swg__stage *s, int64_t batch, bool training);
void swg__stage_free(swg__stage *s);
/* What its plan must deliver: losses; the norm of a training step, the outputs of a pass without. Returns how many. */
enum { SWG__STAGE_OUTPUTS = 2 + 2 * SWG__STEP_TERMS + SWG__STEP_OUTPUTS };
int swg__stage_outputs(const swg__step_graph *s, bool training, swg_value out[SWG__STAGE_OUTPUTS]);
/* Room for batches on their way, after the loader is open and the stages are made. */
swg_status swg__run_stage_inputs(swg__run *r, const swg__stage *s);
/* The loader's next batch, of `count` samples, into the inputs of a stage. */
swg_status swg__run_next(swg__run *r, swg__stage *s, int64_t count);
/* Sets the family's own numbers of the step. */
void swg__run_control(swg__run *r, swg__stage *s, const swg__draw *draw);

/* Memory of a run beside a training step's own: average of the weights, batches read ahead. */
int64_t swg__run_average_bytes(const swg__recipe *recipe, int64_t weights_bytes);
int64_t swg__run_loader_bytes(const swg__recipe *recipe, int64_t batch);
int64_t swg__run_batch_bytes(const swg__recipe *recipe, int64_t batch);
/* data.batch_size=auto: the largest batch within the budget, one line about it; r->recipe has it then. */
swg_status swg__run_choose_batch(swg__run *r, int64_t samples);

/* Fills in a row per switch; returns how many. The plans are open. */
int swg__run_switches(swg__run *r, swg_train_switch rows[SWG_TRAIN_SWITCHES]);

/* Training samples that an epoch goes through: all of them, but for one left over of its own where there is batch norm. */
int64_t swg__run_used(const swg__run *r);
int64_t swg__run_validated(const swg__run *r);              /* samples a validation looks at */
int64_t swg__run_batches(const swg__run *r, int64_t samples);
/* Samples of the largest batch there will be: the data may have fewer than a batch. */
int64_t swg__run_largest_batch(const swg__run *r);
double swg__run_seconds(const swg__run *r);                 /* of all sittings */
/* A line for whoever watches. */
void swg__run_note(const swg__run *r, const char *format, ...) SWG__PRINTF(2, 3);

#endif
