/* memory.c - is the planned peak the real one? A child process opens a context, runs steps and reports how far its resident
 * set grew; a counter reports allocations during the steps.
 * SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <string.h>
#include "bench/jobs.h"

enum { STEPS = 20, STEPS_QUICK = 3, MESSAGE = 256 };

typedef struct answer {
    swg_status status;
    int64_t planned, measured, allocations;
    swg__times times;
    double flop;
    char message[MESSAGE];
} answer;

/* Touches the code and lets the heap come to rest, so that only the plan's own memory is new. */
static void walk_through(const swg__workload *work, int threads) {
    swg_context *ctx;
    swg__job job;
    swg__workload small = *work;
    small.batch = work->batch < 256 ? work->batch : 256;
    if (swg_context_open(&(swg_context_opts){.threads = threads}, &ctx) != SWG_OK)
        return;
    if (swg__job_open(ctx, &small, small.batch, 1, SWG_F32, NULL, &job) == SWG_OK)
        swg__job_run(&job);
    swg__job_close(&job);
    swg_context_close(ctx);
    malloc_trim(0);
}

static void run_child(const swg__workload *work, int threads, int steps, answer *a) {
    swg_context *ctx;
    swg__job job;
    double times[STEPS];
    walk_through(work, threads);
    a->status = swg_context_open(&(swg_context_opts){.threads = threads}, &ctx);
    if (a->status != SWG_OK)
        return;
    a->status = swg__job_open(ctx, work, work->batch, 1, SWG_F32, NULL, &job);
    if (a->status == SWG_OK) {
        uint64_t allocations = swg_context_allocations(ctx);
        for (int i = 0; i < steps; i++) {
            double begin = swg__bench_clock_ns();
            swg__job_run(&job);
            double took = swg__bench_clock_ns() - begin;
            int j = i;
            for (; j > 0 && times[j - 1] > took; j--)
                times[j] = times[j - 1];
            times[j] = took;
        }
        a->allocations = (int64_t)(swg_context_allocations(ctx) - allocations);
        a->measured = swg_context_peak_rss_growth(ctx);
        a->planned = swg_plan_memory_of(job.plan).peak_bytes;
        a->flop = (double)swg_plan_flops(job.plan);
        a->times = (swg__times){.min_ns = times[0], .median_ns = times[steps / 2], .p95_ns = times[steps - 1], .reps = steps, .loops = 1};
    } else {
        snprintf(a->message, sizeof a->message, "%s", swg_context_message(ctx));
    }
    swg__job_close(&job);
    swg_context_close(ctx);
}

typedef struct job { const swg__workload *work; int threads, steps; } job;

static void measure(const void *arg, void *answered) {
    const job *j = arg;
    run_child(j->work, j->threads, j->steps, answered);
}

swg_status swg__bench_memory(swg__bench *b, swg__row *row) {
    answer a = {.status = SWG_EIO};
    bool heard;
    const job j = {.work = &row->work, .threads = row->threads, .steps = b->opts.quick ? STEPS_QUICK : STEPS};
    SWG__TRY(swg__child_run(b->ctx, &b->cpus, measure, &j, &a, sizeof a, &heard));
    if (!heard) {
        snprintf(row->failure, sizeof row->failure, "the measuring process ended early (out of memory?)");
        return SWG_OK;
    }
    row->planned_bytes = a.planned;
    row->measured_bytes = a.measured;
    row->allocations = a.allocations;
    row->times = a.times;
    row->flop = a.flop;
    if (a.status != SWG_OK)
        snprintf(row->failure, sizeof row->failure, "%s", a.message);
    return SWG_OK;
}
