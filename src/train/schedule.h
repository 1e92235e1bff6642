/* schedule.h - learning rates as closed forms of a counter, and early stopping.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_SCHEDULE_H
#define SWAGE_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum swg__schedule_kind {
    SWG__LR_CONSTANT, SWG__LR_STEP, SWG__LR_EXPONENTIAL, SWG__LR_COSINE, SWG__LR_ONECYCLE, SWG__LR_PLATEAU,
} swg__schedule_kind;

typedef struct swg__schedule {
    swg__schedule_kind kind;
    double lr;              /* at the start; onecycle: at the top */
    double gamma;           /* step, exponential, plateau: factor of a reduction */
    double min_lr;          /* cosine: at the end; plateau: at least */
    int64_t step;           /* step: counts between reductions */
    int64_t total;          /* cosine, onecycle: counts of the whole run */
    int64_t warmup;         /* counts of linear rise in front */
    double rise;            /* onecycle: share of the counts on the way up */
    bool cycle_momentum;    /* onecycle: beta1, or the momentum of SGD, goes 0.95, 0.85, 0.95 */
    int64_t patience;       /* plateau: checks in a row that may be no better */
    int64_t cooldown;       /* plateau: checks after a reduction that do not count */
    double threshold;       /* plateau: relative fall that counts as better */
} swg__schedule;

/* What a plateau schedule remembers; every other one is a closed form of the counter. */
typedef struct swg__plateau {
    double lr, best;        /* best: HUGE_VAL before the first check */
    int64_t bad, cooldown;
} swg__plateau;

/* Learning rate at count 0, 1, ... (epochs or steps, as the recipe says). plateau: its state; other kinds take NULL. */
double swg__schedule_lr(const swg__schedule *s, const swg__plateau *plateau, int64_t count);
/* First moment's decay, or momentum, at a count: `usual` but for a onecycle schedule that moves it. */
double swg__schedule_momentum(const swg__schedule *s, double usual, int64_t count);
/* One check of a plateau schedule. True: the learning rate was reduced. */
bool swg__plateau_check(const swg__schedule *s, swg__plateau *plateau, double value);

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
