/* schedule.c - learning rates and early stopping.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"
#include <math.h>

double swg__schedule_lr(const swg__schedule *s, int64_t count) {
    double lr = s->lr, c = (double)count;
    switch (s->kind) {
    case SWG__LR_CONSTANT: break;
    case SWG__LR_STEP: lr = s->lr * pow(s->gamma, (double)(count / s->step)); break;
    case SWG__LR_EXPONENTIAL: lr = s->lr * pow(s->gamma, c); break;
    case SWG__LR_COSINE: lr = s->min_lr + (s->lr - s->min_lr) * (1 + cos(M_PI * fmin(c, (double)s->total) / (double)s->total)) / 2; break;
    }
    return count < s->warmup ? lr * (c + 1) / (double)s->warmup : lr;
}

bool swg__early_stop_check(swg__early_stop *e, double value, bool *improved) {
    *improved = value < e->best - e->min_delta || (e->best == HUGE_VAL && isfinite(value));
    if (*improved) {
        e->best = value;
        e->bad = 0;
        return false;
    }
    e->bad++;
    return e->enabled && e->bad >= e->patience;
}
