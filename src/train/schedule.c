/* schedule.c - learning rates and early stopping.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"
#include <math.h>

enum { ONECYCLE_DIVISOR = 25, ONECYCLE_LAST_DIVISOR = 10000 };
static const double onecycle_slow = 0.95, onecycle_fast = 0.85; /* momentum at the ends and at the top */
static const double plateau_least = 1e-8;                       /* smaller reductions are not made */

/* From p to q as x goes from 0 to 1. */
static double cosine(double p, double q, double x) { return q + (p - q) / 2 * (1 + cos(M_PI * x)); }

/* Smith and Topin 2018, both ways as cosines: from `start` to `top` in the share `rise` of the counts, then to `end`. */
static double onecycle(const swg__schedule *s, int64_t count, double start, double top, double end) {
    double last = (double)(s->total - 1), u = fmin((double)count, last), peak = fmax(s->rise * (double)s->total - 1, 0);
    if (u < peak)
        return cosine(start, top, u / peak);
    return last > peak ? cosine(top, end, (u - peak) / (last - peak)) : top;
}

double swg__schedule_lr(const swg__schedule *s, const swg__plateau *plateau, int64_t count) {
    double lr = s->lr, c = (double)count;
    switch (s->kind) {
    case SWG__LR_CONSTANT: break;
    case SWG__LR_STEP: lr = s->lr * pow(s->gamma, (double)(count / s->step)); break;
    case SWG__LR_EXPONENTIAL: lr = s->lr * pow(s->gamma, c); break;
    case SWG__LR_COSINE: lr = s->min_lr + (s->lr - s->min_lr) * (1 + cos(M_PI * fmin(c, (double)s->total) / (double)s->total)) / 2; break;
    case SWG__LR_ONECYCLE: {
        double start = s->lr / ONECYCLE_DIVISOR;
        lr = onecycle(s, count, start, s->lr, start / ONECYCLE_LAST_DIVISOR);
        break;
    }
    case SWG__LR_PLATEAU: lr = plateau->lr; break;
    }
    return count < s->warmup ? lr * (c + 1) / (double)s->warmup : lr;
}

double swg__schedule_momentum(const swg__schedule *s, double usual, int64_t count) {
    if (s->kind != SWG__LR_ONECYCLE || !s->cycle_momentum)
        return usual;
    return onecycle(s, count, onecycle_slow, onecycle_fast, onecycle_slow);
}

bool swg__plateau_check(const swg__schedule *s, swg__plateau *p, double value) {
    /* Relative to the size of the best: a loss in logarithms may be negative, and then better is farther from zero. */
    double better_than = p->best < 0 ? p->best * (1 + s->threshold) : p->best * (1 - s->threshold);
    if (value < better_than) {
        p->best = value;
        p->bad = 0;
    } else {
        p->bad++;
    }
    if (p->cooldown > 0) {
        p->cooldown--;
        p->bad = 0;
    }
    if (p->bad <= s->patience)
        return false;
    double lr = fmax(p->lr * s->gamma, s->min_lr);
    bool reduced = p->lr - lr > plateau_least;
    p->bad = 0;
    p->cooldown = s->cooldown;
    if (reduced)
        p->lr = lr;
    return reduced;
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
