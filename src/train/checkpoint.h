/* checkpoint.h - one safetensors file with everything a run needs to go on, or a model to be used.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_CHECKPOINT_H
#define SWAGE_TRAIN_CHECKPOINT_H

#include "swage/plan.h"
#include "swage/safetensors.h"
#include "train/schedule.h"

enum { SWG__TOP_MOST = 8 }; /* checkpoint.save_top_k goes no higher */

/* What a run remembers beside its weights and moments. */
typedef struct swg__run_state {
    int64_t epoch;          /* the epoch that is running or next */
    int64_t batch;          /* batches of it already done */
    int64_t step;           /* optimiser steps done: t - 1 of the next */
    int64_t skipped, skipped_in_row;
    double b1_power, b2_power;
    double loss_sum, term_sum[8];                       /* of the running epoch, weighted by samples */
    int64_t loss_samples;
    double best, best_loss, last_loss;                  /* early stopping's best; loss of the best epoch; mean of the last whole epoch */
    double last_norm, last_lr;                          /* of the last step */
    int64_t bad, best_epoch;
    swg__plateau plateau;
    int64_t log_bytes;      /* length of log.jsonl when this was saved */
    double seconds;
    int64_t batch_size, accumulate;
    int64_t top_count;                                  /* of the best checkpoints kept as top-EPOCH, best first: */
    int64_t top_epoch[SWG__TOP_MOST];                   /* epochs done then, and the validation loss */
    double top_loss[SWG__TOP_MOST];
} swg__run_state;

/* Texts kept beside the numbers. */
typedef struct swg__run_notes {
    const char *config;     /* resolved, YAML */
    const char *norm;       /* normaliser, JSON */
    const char *data;       /* digest of the training data and their split (swg__block_digest) */
    const char *precision;  /* "32" or "bf16-mixed" */
    const char *provider;
    uint64_t seed;
} swg__run_notes;

/* Writes weights, moments, running statistics, the weights' average (NULL: there is none), state and notes, atomically, with checksums. */
swg_status swg__checkpoint_save(swg_context *ctx, const char *path, swg_weights *weights, swg_weights *average, const swg__run_state *state,
                                const swg__run_notes *notes);
/* Restores state and, where `weights` have them, moments. Warns through the context's log if instruction set, provider,
 * precision or version differ: the run goes on, but not bit for bit. */
swg_status swg__checkpoint_restore(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights,
                                   swg__run_state *state, const char *provider, const char *precision);
/* Only parameters and running statistics. SWG_ESHAPE lists what does not fit. */
swg_status swg__checkpoint_weights(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *weights);
/* Copies the parameters of `from` whose names begin with `prefix` and that `to` has, too, in the same shape. taken: how many. */
void swg__weights_take(swg_weights *from, const char *prefix, swg_weights *to, int *taken);
/* The average of the weights; where the file has none, the weights, with which an average begins. */
swg_status swg__checkpoint_average(swg_context *ctx, const swg_safetensors *file, const char *path, swg_weights *average);

#endif
