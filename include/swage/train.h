/* train.h - trains a network as a configuration says: one planned graph per step, checkpoints that resume bit for bit.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_H
#define SWAGE_TRAIN_H

#include <signal.h>
#include <stdio.h>
#include "swage/element.h"
#include "swage/model.h"
#include "swage/tune.h"

/* Where a run stands; given to the progress hook after every step and after every epoch. */
typedef struct swg_train_progress {
    const char *run_dir;
    int64_t epoch, epochs;              /* epoch counts from 0 */
    int64_t batch, batches;             /* in this epoch, done so far */
    int64_t step;                       /* optimiser steps done */
    double loss;                        /* of the last step; after an epoch, its mean */
    double val_loss;                    /* NaN before the first validation */
    double lr, samples_per_s, data_share, seconds;
    const char *samples;                /* what they are: "blocks", "tiles" */
    int64_t memory_bytes;               /* planned peak of the step, the data set not counted */
    const char *detail;                 /* "kan_l1 63.9  kan_entropy 17.5": means of this epoch that a family shows; "" if it has none */
    bool epoch_end;
} swg_train_progress;

/* What a switch of the recipe came to, so that none is a silent no-op. */
typedef struct swg_train_switch {
    const char *key;                    /* "performance.mode" */
    char requested[32], effective[32], why[128];
} swg_train_switch;
enum { SWG_TRAIN_SWITCHES = 32 };       /* no more than so many */

typedef struct swg_train_hooks {
    void (*progress)(void *user, const swg_train_progress *progress);
    void (*switches)(void *user, const swg_train_switch *rows, int count);  /* once, before the first step */
    FILE *explain;                                  /* NULL, or where swg_plan_explain of the training step is printed before it begins */
    void (*note)(void *user, const char *text);     /* remarks worth a line: early stop, batch larger than the data, ... */
    const volatile sig_atomic_t *stop;              /* not 0: finish the step, save, return SWG_EINTERRUPTED */
    void *user;
} swg_train_hooks;

typedef struct swg_train_result {
    char run_dir[1024];
    char best[1088], last[1088];        /* checkpoint files; "" if there is none */
    double best_loss, last_loss;        /* validation loss of the best epoch, training loss of the last */
    bool validated;                     /* false: there is no validation part, and best_loss is a training loss */
    int64_t best_epoch, epochs, steps, skipped;
    bool early_stop;
    double seconds;
    int64_t planned_bytes;              /* weights, gradients, moments and arena */
    int64_t measured_bytes;             /* growth of the peak resident set from the moment the data were loaded */
} swg_train_result;

/* Trains. The run folder (run.dir/run.name) receives config.yaml, log.jsonl, metrics.csv (a row per epoch), perf.json,
 * ckpt/last, ckpt/best, ckpt/epoch-NNNN and, with checkpoint.save_top_k of 2 or more, ckpt/top-NNNN; event files of TensorBoard as logger.name says,
 * trace.json and the like as profiler.name says.
 * resume=auto goes on from ckpt/last if it is there, resume=PATH from that checkpoint; the weights and every logged figure
 * but times are those of an uninterrupted run. hooks may be NULL. *result is filled also when interrupted.
 * SWG_EINTERRUPTED: stopped by the hook, checkpoint written. SWG_ENONFINITE: names epoch, batch and the last finite loss. */
swg_status swg_train(swg_context *ctx, swg_config *config, const swg_train_hooks *hooks, swg_train_result *result);

/* An array in place of files, for families of images. */
typedef struct swg_train_array {
    const char *column;                 /* keys of data.source and data.target that name this column read it; arrays of one column follow each other as rows */
    const char *split;                  /* "train", "valid" or "test"; NULL (then for all): split at random */
    const void *values;                 /* C order, native bytes; they must live during the call */
    swg_element element;                /* u8, u16, i16, i32, u32, f32, f64 */
    const char *layout;                 /* NULL: "CZYX"; else axes in order, such as "BCZYX", "CYX", "ZYX", "YX": B counts rows, and is never guessed */
    int ndim;
    int64_t dims[6];
} swg_train_array;
/* swg_train on arrays: data.path is not read. Family cyto; SWG_EUNSUPPORTED: another. */
swg_status swg_train_arrays(swg_context *ctx, swg_config *config, const swg_train_array *arrays, int count, const swg_train_hooks *hooks,
                            swg_train_result *result);

enum { SWG_TRAIN_PLAN_SAVED = 4 };

/* The plans a training run would make, without data: for `swage plan`. batch 0: as configured. */
typedef struct swg_train_plan {
    const char *family, *sample;        /* "swae", "block" */
    char name[32];                      /* model.name */
    char title[128];                    /* "mlp, blocks of 125 values, latent 16" */
    swg_swae network;                   /* of family swae; else zeros */
    int64_t batch, parameters;
    int64_t macs_per_block;             /* multiply-adds of encode and decode, padding counted; the other counts: swg_swae_layers */
    int64_t macs_by_output;             /* transposed convolutions per output position */
    swg_memory training, inference;     /* inference: encode and decode of the same batch */
    int64_t training_flops;             /* per step */
    swg_recompute_policy policy;        /* of the training step */
    int64_t without_peak_bytes, without_flops;      /* of a training step that keeps every value */
    char peak_at[64];                   /* what runs when the training step takes most */
    int saved_count;                    /* the largest values kept for the backward pass at that time */
    struct { char name[96]; int64_t bytes; } saved[SWG_TRAIN_PLAN_SAVED];
    char note[256];                     /* how data.batch_size=auto was chosen; "" if it was not */
    const char *precision;              /* of the training step: "32" or "bf16-mixed" */
    const char *inference_precision;    /* of a model that is used: "f32", "int8" */
} swg_train_plan;
swg_status swg_train_plan_of(swg_context *ctx, swg_config *config, int64_t batch, swg_train_plan *out);
/* Sets what makes the network's input `shape`, batch first, such as (1, 2, 1025, 259): data.batch_size and the family's own keys. SWG_EUSAGE says
 * which extent cannot be. */
swg_status swg_train_set_input(swg_context *ctx, swg_config *config, int ndim, const int64_t *shape);

/* A training step under one way of recomputation. */
typedef struct swg_train_recompute {
    char name[48];                      /* as gradient_checkpointing takes it: "segments:4" */
    swg_recompute_policy policy;        /* of the plan */
    bool chosen;                        /* what the recipe as it stands comes to */
    int64_t peak_bytes, saved_bytes;    /* planned: the step and its batches read ahead; of it, what is kept for the backward pass at the peak */
    int64_t flops;
    double seconds;                     /* measured: a step, median over the rounds; with one thread processor time; 0: it was not run */
    double slower;                      /* over the first row that ran, median over the rounds */
    int64_t measured_bytes;             /* growth of the resident set of a process of its own, from made plan to last step */
    char failure[320];                  /* "": there is none */
} swg_train_recompute;

enum { SWG_TRAIN_RECOMPUTE = 16 };

typedef struct swg_train_recompute_opts {
    int64_t batch;                      /* 0: as configured */
    const char *policies;               /* commas between; NULL: off, attention, blocks, segments:4, budget:60%, budget:30% */
    int rounds;                         /* in each every row's step is run once, in turns, after one to warm up, on numbers of the right shape; 0: plans alone */
    void (*progress)(void *user, const char *policy, int round);    /* may be NULL */
    void *user;
} swg_train_recompute_opts;

/* Fills in rows (room for SWG_TRAIN_RECOMPUTE); what the recipe asks for is added if it is not among them. A row whose plan cannot be or takes
 * more memory than is available says so and the others go on. SWG_EUSAGE: an unknown policy, or too many. */
swg_status swg_train_compare_recompute(swg_context *ctx, swg_config *config, const swg_train_recompute_opts *opts, swg_train_recompute *rows, int *count);

/* The layers of the network in use, for one sample. Free with swg_layers_free. */
swg_status swg_train_layers(swg_context *ctx, swg_config *config, swg_layers *out);
/* Prints swg_plan_explain of both. */
swg_status swg_train_explain(swg_context *ctx, swg_config *config, int64_t batch, FILE *file);
/* Measures the steps of both with the recipe's switches (tune.h): what performance.mode=max-autotune of this recipe then finds. */
swg_status swg_train_tune(swg_context *ctx, swg_config *config, int64_t batch, swg_tuning *tuning, const swg_tune_opts *opts);

#endif
