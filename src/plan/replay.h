/* replay.h - a plan as a flat list of regions: steps that run as one parallel call.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_REPLAY_H
#define SWAGE_PLAN_REPLAY_H

#include "plan/plan.h"

/* A step alone or a group, and where its tasks stand among its region's. */
typedef struct swg__entry { int step, steps; int64_t tasks, first_task; double work_ns; } swg__entry;
typedef struct swg__region { int first, count; int64_t tasks; bool inline_run; } swg__region; /* inline_run: by the caller alone */

typedef struct swg__replay {
    swg_plan *plan;
    swg__entry *entries;
    swg__region *regions;
    int entry_count, region_count;
} swg__replay;

/* Makes plan->replay, in the plan's arena; the plan's pointers are known. */
swg_status swg__replay_make(swg_plan *plan);
void swg__replay_run(swg__replay *replay, uint64_t seed, uint32_t step);

#endif
