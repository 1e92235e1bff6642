/* schedule.h - learning rates as closed forms of a counter, and early stopping.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_SCHEDULE_H
#define SWAGE_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum swg__schedule_kind { SWG__LR_CONSTANT, SWG__LR_STEP, SWG__LR_EXPONENTIAL, SWG__LR_COSINE } swg__schedule_kind;

typedef struct swg__schedule {
    swg__schedule_kind kind;
    double lr;              /* at the start */
    double gamma;           /* step, exponential */
    double min_lr;          /* cosine: at the end */
    int64_t step;           /* step: counts between reductions */
    int64_t total;          /* cosine: counts of the whole run */
    int64_t warmup;         /* counts of linear rise in front */
} swg__schedule;

/* Learning rate at count 0, 1, ... (epochs or steps, as the recipe says). */
double swg__schedule_lr(const swg__schedule *s, int64_t count);

/* Stops when `patience` checks in a row were not better than the best by more than min_delta. */
typedef struct swg__early_stop {
    bool enabled;
    int64_t patience;
    double min_delta;
    double best;            /* HUGE_VAL before the first check */
    int64_t bad;            /* checks since the best */
} swg__early_stop;

/* One check; true: stop. *improved: this value is the best so far by any margin min_delta asks for. */
bool swg__early_stop_check(swg__early_stop *e, double value, bool *improved);

#endif
