/* busy.c - does a training step keep its pace when another process wants a processor? A child process trains with threads the system may
 * place as it likes, in turns without and beside a process that only spins.
 * In: a workload. Out: times without, and as a "peer" of the row the times beside it and their ratio.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench/jobs.h"

typedef struct busy_job { const swg__row *row; bool quick; } busy_job;

/* The work, and who disturbs it. */
typedef struct beside {
    swg__job *job;
    pid_t spinner;
} beside;

static pid_t start_spinner(void) {
    pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (volatile uint64_t i = 0; getppid() == parent; i++) /* asks now and then, in case the parent was gone before */
        for (volatile int k = 0; k < 1 << 20; k++)
            ;
    _exit(0);
}

static void step(void *arg) { swg__job_run(((beside *)arg)->job); }

static void let_spin(void *arg, bool begins) { kill(((beside *)arg)->spinner, begins ? SIGCONT : SIGSTOP); }

static swg_status measure_sides(swg_context *ctx, swg__job *job, bool quick, swg__row *row) {
    beside b = {.job = job, .spinner = start_spinner()};
    swg__times times[2] = {{0}};
    swg__ratio ratio = {0};
    if (b.spinner < 0)
        return swg__fail(ctx, SWG_EIO, "bench: cannot start a child process");
    let_spin(&b, false);
    const swg__side sides[2] = {{.call = step, .arg = &b}, {.call = step, .arg = &b, .turn = let_spin}};
    swg_status status = swg__measure(ctx, sides, 2, quick, times, &ratio);
    kill(b.spinner, SIGKILL);
    waitpid(b.spinner, NULL, 0);
    row->times = times[0];
    row->peers[0] = (swg__peer_times){.name = "beside a busy process", .variant = "spinning, pinned nowhere", .times = times[1], .ratio = ratio,
                                      .interleaved = true};
    row->peer_count = 1;
    return status;
}

static void run_child(const void *arg, void *answer) {
    const busy_job *busy = arg;
    swg__row *row = answer;
    swg_context *ctx;
    swg__job job;
    *row = *busy->row;
    if (swg_context_open(&(swg_context_opts){.threads = row->threads}, &ctx) != SWG_OK) {
        snprintf(row->failure, sizeof row->failure, "cannot open a context with %d threads", row->threads);
        return;
    }
    double begin = swg__bench_clock_ns();
    swg_status status = swg__job_open(ctx, &row->work, row->work.batch, 1, SWG_F32, NULL, &job);
    if (status == SWG_OK) {
        swg__job_run(&job);
        double cold = swg__bench_clock_ns() - begin;
        swg__job_count(&job, row);
        status = measure_sides(ctx, &job, busy->quick, row);
        row->times.cold_ns = cold;
        row->planned_bytes = swg_plan_memory_of(job.plan).peak_bytes;
    }
    if (status != SWG_OK)
        snprintf(row->failure, sizeof row->failure, "%.255s", swg_context_message(ctx));
    swg__job_close(&job);
    swg_context_close(ctx);
}

swg_status swg__bench_busy(swg__bench *b, swg__row *row) {
    swg__row answer = {.failure = ""};
    bool heard;
    SWG__TRY(swg__child_run(b->ctx, &b->cpus, run_child, &(busy_job){row, b->opts.quick}, &answer, sizeof answer, &heard));
    if (heard)
        *row = answer;
    else
        snprintf(row->failure, sizeof row->failure, "the measuring process ended early (out of memory?)");
    return SWG_OK;
}
