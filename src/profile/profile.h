/* profile.h (internal) - where a plan spends its time, each operation held against what the machine could do.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PROFILE_PROFILE_H
#define SWAGE_PROFILE_PROFILE_H

#include "measure/measure.h"
#include "swage/profile.h"

enum { SWG__LABEL = 80, SWG__SHAPE_TEXT = 96 };

/* One step of the plan, or several of one kind together; means over the faster half of the recorded runs. */
typedef struct swg__cost {
    char label[SWG__LABEL];             /* "conv", "program relu mul", "pack matmul" */
    const char *scope, *pass;           /* "forward", "backward", "update" */
    const char *dtype;                  /* of the result */
    char shape[SWG__SHAPE_TEXT];        /* "" of several */
    double wall_ns;                     /* of the run; steps of a row-panel group divide its time by what they were busy */
    double busy_ns, flop, bytes, floor_ns;
    const char *floor_by;               /* of one step */
    int steps;
} swg__cost;

typedef struct swg__profiled {
    swg_context *ctx;
    const swg_plan *plan;
    const char *recipe;                 /* what it is of, for headings */
    bool inference, synthetic;          /* of an encode and decode; of numbers of the right shape in place of data */
    swg_profile *record;
    swg_span *waits;                    /* for the batch of each recorded run: set by who waits */
    double *took;                       /* batch and run together, in ns: likewise */
    swg__machine machine;
    swg__team team;
    swg__cost *costs;                   /* of each step of the plan, in their order; wall 0 where it does not run */
    int cost_count;
    swg__times step, runs;              /* batch and run together; the run alone */
    double wait_ns;                     /* for the batch, mean of all runs */
    double run_ns, other_ns;            /* means of the faster half of the runs: whole; in no step */
    int64_t batch, planned_bytes, measured_bytes;
} swg__profiled;

/* Room to record `runs` runs of an open plan, which records nothing before swg_plan_profile(plan, out->record). The machine is looked at. To be freed
 * also after a failure. */
swg_status swg__profiled_open(swg_context *ctx, const swg_plan *plan, int64_t runs, swg__profiled *out);
/* After one recorded run at least: costs, against limits of the machine that are measured now, in a second or so. The context's threads may run
 * where they could before. */
swg_status swg__profiled_finish(swg__profiled *p);
void swg__profiled_free(swg__profiled *p);

/* Costs put together, most time first: by op (label and pass) or by scope; or each step by itself. Returns how many; out has room for
 * cost_count. */
typedef enum swg__cost_key { SWG__EACH_STEP, SWG__BY_OP, SWG__BY_SCOPE } swg__cost_key;
double swg__profiled_flop(const swg__profiled *p);  /* of one run */
int swg__profiled_sum(const swg__profiled *p, swg__cost_key key, swg__cost *out);

/* trace.c: Chrome's trace-event format, opens in Perfetto. NULL: out of memory; release with cJSON_free. */
char *swg__profiled_trace(const swg__profiled *p);
/* trace.json and the page into a folder, which is made. */
swg_status swg__profiled_write(const swg__profiled *p, int top, const char *folder, const char *page);
/* report.c: tables of the `top` most expensive; a page with the memory timeline. */
swg_status swg__profiled_table(const swg__profiled *p, int top, swg__text *text);
char *swg__profiled_json(const swg__profiled *p, int top);
swg_status swg__profiled_page(const swg__profiled *p, int top, const char *path);

#endif
