/* memory.c - is the planned peak the real one? A child process opens a context, runs steps and reports how far its resident
 * set grew; a counter reports allocations during the steps.
 * SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
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
    small.batch = 256;
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

/* All bytes or nothing. */
static bool transfer(int fd, void *data, size_t bytes, bool sends) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = sends ? write(fd, (char *)data + done, bytes - done) : read(fd, (char *)data + done, bytes - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

swg_status swg__bench_memory(swg__bench *b, swg__row *row) {
    int ends[2];
    answer a = {.status = SWG_EIO};
    if (pipe(ends) != 0)
        return swg__fail(b->ctx, SWG_EIO, "bench: no pipe to a child process");
    pid_t child = fork();
    if (child == 0) {
        sched_setaffinity(0, sizeof b->cpus, &b->cpus);
        run_child(&row->work, row->threads, b->opts.quick ? STEPS_QUICK : STEPS, &a);
        _exit(transfer(ends[1], &a, sizeof a, true) ? 0 : 1);
    }
    close(ends[1]);
    bool heard = child > 0 && transfer(ends[0], &a, sizeof a, false);
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
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
