/* maker.h - what only the making of a plan needs, and its stages in the order in which they run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_MAKER_H
#define SWAGE_PLAN_MAKER_H

#include "plan/plan.h"


typedef struct swg__maker {
    swg_plan *plan;
    swg_graph *g;
    int *readers;               /* per value, views resolved to their base */
    swg_value *order;           /* live nodes with kernels, scheduled */
    int order_count;
    int *group_of;              /* per value: index of the group that computes it, -1 */
    int *last_read;             /* per base value */
    uint8_t *is_output;         /* per base value */
    uint8_t *fixed;             /* of a frozen plan: computed when opened or refreshed, and kept */
} swg__maker;

swg_status swg__schedule(swg__maker *m);    /* schedule.c: order */
swg_status swg__make_groups(swg__maker *m); /* steps.c: row panels, */
/* steps.c: does the step of `v`, with so many rows, go through row panels? Does it need of input j, made in the same panel, its own rows only? */
bool swg__runs_by_rows(const swg__maker *m, swg_value v, int64_t rows);
bool swg__reads_by_rows(const swg_graph *g, const swg__node *n, int j);
swg_status swg__make_steps(swg__maker *m);  /* and steps with their scratch */
/* tune.c, with a tuning: how a group or a step alone is run. */
swg_status swg__tune_group(swg__maker *m, swg__group *group, const swg_value *nodes);
swg_status swg__tune_step(swg__maker *m, swg__step *s);
swg_status swg__locate(swg__maker *m);      /* lives.c: where every value lies, from when to when, and at which offset */

/* A whole plan of base's graph, as swg__pass_layout left it, with the values `drop` computed again. like: what each value became. *out is to
 * be destroyed, also where this fails. */
swg_status swg__plan_try(const swg_plan *base, const swg_plan_opts *opts, const uint8_t *drop, int reach, swg_value *like, swg_plan **out);
/* recompute.c: the plan that opts->recompute asks for. blocks: of the graph. */
swg_status swg__recompute(const swg_plan *base, const swg__block *blocks, const swg_plan_opts *opts, swg_plan **out);

/* Index of a new buffer that lives nowhere yet; -1: out of memory. */
int swg__add_buffer(swg_plan *plan, int64_t bytes, swg__category category);

#endif
