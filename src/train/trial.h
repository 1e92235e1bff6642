/* trial.h - a recipe's training step, or its encode and decode, ready to be run again and again: for timing, nothing is kept on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_TRIAL_H
#define SWAGE_TRAIN_TRIAL_H

#include "train/run.h"

typedef struct swg__trial {
    swg__run run;               /* recipe, weights, loader; its `train` is the stage, in inference its `val` */
    swg__stage *stage;
    bool inference, synthetic;  /* synthetic: no data.path, numbers of the right shape in place of data */
    int64_t samples;            /* that batches are drawn from */
    int64_t *order;
    float *values;              /* synthetic: (samples, input) */
    int64_t given, batches;     /* of this pass over the samples: batches handed out, batches there are */
    double b1, b2;              /* running powers of the optimiser */
    int64_t wait_begin_ns, wait_end_ns; /* when the last step waited for its batch; CLOCK_MONOTONIC_RAW */
} swg__trial;

/* Builds, plans and opens. Data are those of data.path where it is set. batch size auto: as a run would choose, 256 without data.
 * The peak resident set is counted from after the data were loaded. Close it also after a failure. */
swg_status swg__trial_open(swg_context *ctx, swg_config *config, bool inference, swg__trial *t);
void swg__trial_close(swg__trial *t);

/* The next batch through the network; in training with an update. */
swg_status swg__trial_step(swg__trial *t);
/* Loss of the last step; training only. */
double swg__trial_loss(const swg__trial *t);
/* Planned bytes: arena, weights and what goes with them, loader. */
int64_t swg__trial_planned_bytes(const swg__trial *t);

#endif
