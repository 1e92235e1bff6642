/* plan.h (internal) - what a plan holds: the rewritten graph, steps, buffers with their lives and offsets.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_INTERNAL_H
#define SWAGE_PLAN_INTERNAL_H

#include "kernel/kernel.h"
#include "context.h"
#include "plan/tune.h"
#include "swage/plan.h"

/* ---- placement (checkpointing-and-memory.md, section 3) ---- */

typedef struct swg__life {
    int64_t bytes;
    int first, last;    /* schedule steps, both inclusive */
    int64_t offset;     /* out; -1: this buffer is not placed */
} swg__life;

/* Places every life with offset != -1; sizes are rounded up to 64. Tries size order, then first-use and size x life
 * order if the peak exceeds 1.05 x bound, and keeps the best. Deterministic. */
swg_status swg__place(swg_context *ctx, swg__life *lives, int count, int steps, int64_t *peak, int64_t *bound, int *bound_step);

/* ---- plan ---- */

typedef enum swg__category { SWG__CAT_SAVED, SWG__CAT_TRANSIENT, SWG__CAT_SCRATCH, SWG__CAT_IO, SWG__CAT_COUNT } swg__category;

typedef struct swg__buffer {
    swg__life life;
    swg__category category;
    bool panel;         /* a row panel: lies in its group's panel memory, once per worker; life.offset is inside it */
    int group;          /* panel: whose */
    int64_t row_bytes;  /* panel: distance of rows */
} swg__buffer;

/* Where a value lies: in a buffer, in a span, or outside. */
typedef enum swg__place_kind { SWG__IN_NOTHING, SWG__IN_BUFFER, SWG__IN_CONSTANTS, SWG__IN_ARRAY, SWG__IN_WEIGHTS, SWG__IN_STATES, SWG__IN_GRADIENTS, SWG__IN_CALLER } swg__place_kind;
typedef struct swg__location {
    swg__place_kind kind;
    int buffer;
    int64_t element;    /* offset in a span */
} swg__location;

typedef struct swg__step {
    const swg__kernel *kernel;
    swg_value node;
    int group;          /* index of its panel group, -1: alone */
    int scratch;        /* buffer, -1: none */
    int packed;         /* buffer of the packed second operand, -1: none */
    int time;           /* schedule step */
    int64_t units, grain;
    bool packs;         /* fills `scratch` with the second operand of a contraction in another layout */
    bool frozen;        /* of weights alone, packing or not: runs when opened or refreshed, not in a run */
    swg__call call;
    const void **in;
    bool writes_panel;  /* group: out, in[i] are panels whose pointers depend on worker and row */
    bool reads_panel[SWG__ROW_INPUTS];
    int64_t out_row_bytes, in_row_bytes[SWG__ROW_INPUTS];
    swg__tune_key key;  /* with a tuning: what the choice is known by */
    swg__choice choice;
} swg__step;

/* Consecutive row kernels over the same rows: run panel by panel, so values between them stay in the second cache. */
typedef struct swg__group {
    int first, count;   /* steps */
    int64_t rows, panel_rows;
    int memory;         /* buffer: worker_bytes for each worker, in which the panels are placed by their lives; -1: none */
    int64_t worker_bytes;
    swg__tune_key key;  /* as a step's */
    swg__choice choice;
} swg__group;

struct swg_plan {
    swg_context *ctx;
    swg_graph *g;               /* rewritten copy */
    swg_value *map;             /* value of the original graph -> of the copy; original count entries */
    int64_t map_count;
    swg_value *outputs;
    int output_count;
    bool bind_inputs, frozen, separate_update;
    swg__arena arena;
    swg__step *steps;
    int step_count, times;
    swg__group *groups;
    int group_count;
    swg__buffer *buffers;
    int buffer_count, buffer_capacity;
    swg__location *where;       /* per value of the copy */
    const void **caller;        /* per value: bound pointer */
    double *constants;          /* per value: room for one number */
    swg_memory memory;
    int peak_time;              /* the step of memory.bound_bytes */
    int64_t flops;
    swg__text explain;          /* what passes and planner did, line by line */
    const swg_tuning *tuning;   /* while the plan is made */
    swg_plan_mode mode;
    struct swg__replay *replay; /* NULL: steps are walked one by one */
    uint64_t seed;              /* of the run that is going on */
    uint32_t step;
    swg_recompute_policy policy;        /* what was done: off where the default did not pay */
    struct swg__provider *provider; /* NULL: our own kernels only */
    char *block;                /* the arena's memory */
    bool shares;                /* block belongs to another plan */
    swg_weights *weights;
    struct swg_profile *profile; /* runs are recorded into it; NULL: they are not */
    struct swg_anomaly *watch;  /* what a run's steps wrote is looked at; NULL: it is not */
};

/* watch.c: looks at what these steps have written. */
void swg__plan_look(swg_plan *plan, int first, int count);

struct swg_weights {
    swg_context *ctx;
    swg_dtype dtype;
    swg__arena arena;
    int count;
    struct swg__weight {
        const char *name;
        uint32_t stream;
        int ndim, group;
        int64_t shape[SWG_MAX_DIMS], offset;
        swg_init init;
        const double *row;      /* of a state: how its rows start, else init.value everywhere */
        int like;               /* of a state: the parameter it starts as, else -1 */
    } *items;
    struct swg__weight *states;
    int state_count;
    int64_t span, state_span;
    char *state;
    char *value, *gradient, *moment1, *moment2, *largest, *sum;
    swg__segment *segments;     /* runs of parameters of one group, the last one ends at `span`; room for `count` */
    int group_limit;            /* groups that the open plans have numbers for; 0: no plan is open yet */
};

/* Spans that an update reads beside the weights. */
typedef struct swg__update_spans { bool gradient, moment1, moment2, largest, sum; } swg__update_spans;
swg__update_spans swg__update_spans_of(const swg__node *update);
/* Parameter groups an update has numbers for. */
int swg__update_groups(const swg_graph *g, const swg__node *update);

/* Runs step i, or the group that begins with it; returns the step that comes next. */
int swg__plan_run_at(swg_plan *plan, int i, uint64_t seed, uint32_t step);
/* One task of step i or of the group that begins with it, in the run of plan->seed and plan->step. */
void swg__plan_run_task(swg_plan *plan, int i, int64_t task, int worker);
/* Fills in pointers and runs kernel->prepare; needs plan->block and weights. */
swg_status swg__plan_resolve(swg_plan *plan);

#endif
