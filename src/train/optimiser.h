/* optimiser.h - the optimiser a recipe describes: its update, parameter groups, numbers of each step, average of the weights.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_OPTIMISER_H
#define SWAGE_TRAIN_OPTIMISER_H

#include "swage/config.h"
#include "swage/plan.h"

enum { SWG__PARAMETER_GROUPS = 16, SWG__PATTERN_CHARS = 128 };

/* Parameters whose name fits the pattern; group i + 1 of the update. */
typedef struct swg__parameter_group {
    char pattern[SWG__PATTERN_CHARS];
    double lr_factor, weight_decay;
} swg__parameter_group;

typedef struct swg__optimiser {
    swg_update_opts update;
    swg_adam_hyper adam;            /* also sgd's lr, weight decay and clipping */
    double momentum;                /* sgd */
    int group_count;
    swg__parameter_group groups[SWG__PARAMETER_GROUPS];
    bool average, average_ramp, average_validates;
    double average_momentum;        /* in the first epoch */
} swg__optimiser;

/* Reads optimizer.*, ema.*, trainer.clip_norm and trainer.accumulate. */
swg_status swg__optimiser_read(swg_context *ctx, swg_config *config, swg__optimiser *out);
/* Puts the parameters into their groups; where two patterns fit, the first holds. SWG_EUSAGE: a pattern that fits no parameter. */
swg_status swg__optimiser_group(swg_context *ctx, const swg__optimiser *optimiser, swg_weights *weights);
/* All rows of the hyper input. momentum: of this step, beta1 for Adam. The powers are updated as by swg_hyper_adam. */
void swg__optimiser_fill(const swg__optimiser *optimiser, double lr, double momentum, double grad_scale, double *b1_power, double *b2_power,
                         swg_dtype dtype, void *rows);
/* Momentum of the average in an epoch: constant, or rising from the first value to 1 (training.md, section 2). */
double swg__optimiser_average_momentum(const swg__optimiser *optimiser, int64_t epoch, int64_t epochs);

#endif
