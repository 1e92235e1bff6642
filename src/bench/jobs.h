/* jobs.h (internal) - the work of a row as a plan ready to run, on either side and in either element type.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_JOBS_H
#define SWAGE_BENCH_JOBS_H

#include "bench/bench.h"
#include "plan/plan.h"

typedef struct swg__job {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, hyper, y;      /* y: what is compared, SWG_NONE for a training step */
    swg__step *update;          /* the optimiser's step */
} swg__job;

/* Number i of a series, in [-1, 1), exact in f32. */
double swg__bench_value(int64_t i, int salt);
/* Builds and opens the work for `batch` rows: rows i * stride of the row's own input. provider as in swg_plan_opts. */
swg_status swg__job_open(swg_context *ctx, const swg__workload *work, int64_t batch, int64_t stride, swg_dtype dtype,
                         const char *provider, swg__job *job);
void swg__job_close(swg__job *job);
void swg__job_run(void *job);       /* one call, for swg__side */
void swg__job_update(void *job);    /* the optimiser's step alone */
/* What has to be done at least, into row. */
void swg__job_count(const swg__job *job, swg__row *row);

#endif
