/* recompute.h (internal) - what choosing values for recomputation works with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_RECOMPUTE_H
#define SWAGE_PLAN_RECOMPUTE_H

#include "pass/pass.h"
#include "plan/maker.h"

enum { SWG__REMAT_REACH = 4 };

/* All arrays have one entry per value of g. Only values with memory of their own count, not views of them. */
typedef struct swg__remat_choice {
    const swg_plan *base;       /* its graph is g, as it was before recomputation */
    const swg_graph *g;
    const swg__block *blocks;   /* by number */
    const swg_plan_opts *opts;
    uint8_t *able;              /* may be computed again */
    uint8_t *wanted;            /* read by the backward part */
    uint8_t *drop;              /* computed again wherever the backward part needs it: the result */
    uint8_t *forced;            /* dropped whatever it costs */
    uint8_t *needed;            /* wanted, or read by a clone */
    uint8_t *asked;             /* scratch */
    int64_t *available;         /* bytes more to keep so that it can be computed again */
    uint32_t *group;            /* what is recomputed as one: block or segment, 0: neither */
    int reach;                  /* of a clone, in contractions (pass.h) */
    swg_value *like;            /* in the latest plan tried */
} swg__remat_choice;

/* What a choice costs: bytes kept from forward to backward, seconds of recomputation. */
typedef struct swg__remat_cost { int64_t bytes; double seconds; } swg__remat_cost;
/* kept[v] = 1 for what stays in memory for the backward part (may be NULL). */
swg__remat_cost swg__remat_cost_of(swg__remat_choice *r, const uint8_t *drop, uint8_t *kept);

/* Clears the choice and makes that of a policy. */
void swg__remat_choose(swg__remat_choice *r, swg_recompute_policy policy, int64_t segments, bool skip_last);
/* The plan of r->drop; the plan tried before is destroyed. */
swg_status swg__remat_try(swg__remat_choice *r, swg_plan **plan);

/* budget.c: replaces *plan, that of r->drop, by one whose peak is at most `budget`; SWG_EINVAL names the least possible. */
swg_status swg__remat_fit(swg__remat_choice *r, int64_t budget, swg_plan **plan);

#endif
