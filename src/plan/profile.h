/* profile.h (internal) - where a run writes its times.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_PROFILE_H
#define SWAGE_PLAN_PROFILE_H

#include "plan/plan.h"
#include "swage/profile.h"

/* Each on a cache line of its own: workers write to neighbours at the same time. */
typedef struct swg__record { _Alignas(64) swg_span span; } swg__record;

struct swg_profile {
    const swg_plan *plan;
    swg_context *ctx;
    int64_t capacity, runs;
    int steps, workers;
    swg_span *run;          /* [run] */
    swg_span *step;         /* [run][step], begin and end on the caller's thread; steps alone */
    swg__record *worker;    /* [run][step][worker] */
};

int64_t swg__profile_now(void);
/* The run that was being recorded is over. */
void swg__profile_end(swg_profile *profile);

/* Adds a task that ended just now; returns that time. */
static inline int64_t swg__record_task(swg__record *r, int64_t begin) {
    int64_t end = swg__profile_now();
    if (r->span.tasks++ == 0)
        r->span.begin_ns = begin;
    r->span.end_ns = end;
    r->span.busy_ns += end - begin;
    return end;
}

#endif
