/* profile.h - what a plan does with its time: when each step ran, on which thread, what it had to compute and to move.
 *
 *     swg_profile_create(plan, 10, &profile);         room for ten runs, allocated now
 *     swg_plan_profile(plan, profile);
 *     for (int i = 0; i < 10; i++) swg_plan_run(plan, seed, i);
 *     swg_plan_profile(plan, NULL);                   and the plan runs as if nothing had been
 *
 * Times are nanoseconds of CLOCK_MONOTONIC_RAW. Recording reads the clock twice per task; results do not depend on it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PROFILE_H
#define SWAGE_PROFILE_H

#include "swage/plan.h"

typedef struct swg_profile swg_profile;

/* Room for `runs` runs of the plan. The caller owns it. SWG_EINVAL: runs < 1. SWG_ENOMEM. */
swg_status swg_profile_create(const swg_plan *plan, int64_t runs, swg_profile **out);
void swg_profile_destroy(swg_profile *profile);

/* From now on every run of the plan is recorded until the profile is full; further runs are not. NULL: no more recording. The profile
 * must stay as long as the plan records into it. SWG_EINVAL: it was made for another plan. */
swg_status swg_plan_profile(swg_plan *plan, swg_profile *profile);

/* Takes the last recorded run out again, as after a warm-up; nothing where there is none. */
void swg_profile_forget(swg_profile *profile);

/* ---- values that are not finite ---- */

typedef struct swg_anomaly_at {
    bool found, backward;       /* backward: in the gradient */
    char scope[96];             /* "encoder/block2", "" at the top */
    const char *op;
    int64_t bad, elements;      /* how many of the values of that result */
} swg_anomaly_at;

/* The first steps that wrote an infinity or NaN since it was set to zeros. An infinity may be meant, as in a mask; NaN hardly ever is. */
typedef struct swg_anomaly { swg_anomaly_at infinite, nan; } swg_anomaly;

/* From now on every run of the plan looks at what each step wrote, as soon as it has; runs are slower and give the same. NULL: no more. */
void swg_plan_watch(swg_plan *plan, swg_anomaly *anomaly);

/* ---- what a step is ---- */

typedef struct swg_step_info {
    const char *op, *kernel;    /* "conv", "conv"; a packing step has its contraction's op */
    const char *scope;          /* "encoder/block2", "" at the top */
    const int64_t *shape;       /* of the result, ndim extents */
    int ndim;
    swg_dtype dtype;            /* of the result */
    bool bf16;                  /* multiplies in bf16 */
    int64_t flop;               /* 2 x multiply-adds; 0 where there are none */
    int64_t bytes;              /* every operand read once, the result written once; the update's spans */
    int64_t panel_bytes;        /* the part of them that is in row panels, which stay in the second cache */
    int64_t tasks;              /* pieces the step is shared out in */
    int group;                  /* row-panel group it runs in, -1: alone */
    bool packs;                 /* brings the second operand of a contraction into its kernel's layout */
    bool frozen;                /* ran when the plan was opened: takes no time in a run */
    bool backward;              /* belongs to the gradient or the update */
} swg_step_info;

/* False: there is no such step. Steps are numbered from 0 to swg_plan_steps - 1 in the order they run. */
bool swg_plan_step(const swg_plan *plan, int step, swg_step_info *out);

/* Bytes of the arena that hold something while the step runs. */
typedef struct swg_live { int64_t saved_bytes, transient_bytes, scratch_bytes, io_bytes; } swg_live;
swg_live swg_plan_live(const swg_plan *plan, int step);

/* ---- what was recorded ---- */

typedef struct swg_span {
    int64_t begin_ns, end_ns;   /* of the first and the last task; both 0 where nothing ran */
    int64_t busy_ns;            /* of all tasks together */
    int64_t tasks;
} swg_span;

int64_t swg_profile_runs(const swg_profile *profile);                       /* recorded so far */
int swg_profile_workers(const swg_profile *profile);                        /* threads of the context; worker 0 is the caller */
swg_span swg_profile_run(const swg_profile *profile, int64_t run);          /* whole run, as its caller sees it */
/* One step on one worker. Steps of a row-panel group take turns, panel by panel: their spans overlap, their busy times do not. */
swg_span swg_profile_worker(const swg_profile *profile, int64_t run, int step, int worker);
/* The step as its caller sees it, joining of partial results included; busy: of all workers. A step in a group: from its first task on
 * any worker to its last one. */
swg_span swg_profile_step(const swg_profile *profile, int64_t run, int step);

#endif
