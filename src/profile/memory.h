/* memory.h (internal) - what lives when a plan takes most, planned and measured.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PROFILE_MEMORY_H
#define SWAGE_PROFILE_MEMORY_H

#include "base.h"
#include "swage/plan.h"

typedef struct swg__memory_facts {
    const char *title, *samples;            /* model; "blocks" */
    int64_t batch, planned_bytes, measured_bytes; /* of the run as a whole */
    int top;                                /* values to list */
} swg__memory_facts;

/* memory.json and memory.html into a folder that is there: the parts of the plan's peak, the values that live then, live bytes step by step. */
swg_status swg__memory_write(swg_context *ctx, const swg_plan *plan, const swg__memory_facts *facts, const char *folder);

#endif
