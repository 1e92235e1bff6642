/* turns.c - rounds in which all sides are called one after the other, so that each sees the same pace of the machine; memory in child processes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/turns.h"
#include <malloc.h>
#include <stdio.h>
#include <time.h>

enum { SETTLE_NS = 8000000 };

static swg_status play_turn(swg_context *ctx, const swg__turns *t, swg__player *p) {
    double spent = 0, turn[SWG__TURNS_CALLS];
    swg__times times;
    int n = 0;
    nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL); /* threads that another side left spinning are asleep */
    if (p->once < t->warm_ns)
        p->call(p->arg);
    for (; n < t->calls && (n == 0 || spent < t->turn_ns) && !*p->failure; n++) {
        spent += turn[n] = p->call(p->arg);
        if (t->stop && *t->stop)
            return swg__fail(ctx, SWG_EINTERRUPTED, "bench: interrupted");
    }
    if (*p->failure)
        return SWG_OK;
    for (int i = 0; i < n; i++)
        p->samples[p->count++] = turn[i];
    swg__times_of(turn, n, &times);
    p->medians[p->rounds++] = times.median_ns;
    return SWG_OK;
}

swg_status swg__turns_play(swg_context *ctx, const swg__turns *t, swg__player *players, int count) {
    for (int i = 0; i < count; i++)
        if (!(players[i].samples = swg__calloc(ctx, (size_t)t->rounds * (size_t)t->calls, sizeof(double))))
            return swg__fail_memory(ctx, (size_t)t->rounds * (size_t)t->calls * sizeof(double), "times");
    for (int round = 0; round < t->rounds; round++)
        for (int i = 0; i < count; i++)
            if (!*players[i].failure) {
                SWG__TRY(play_turn(ctx, t, &players[i]));
            }
    return SWG_OK;
}

void swg__turns_free(swg_context *ctx, swg__player *players, int count) {
    for (int i = 0; i < count; i++)
        swg__free(ctx, players[i].samples);
}

swg__ratio swg__turns_ratio(const swg__player *of, const swg__player *to) {
    double ratio[SWG__TURNS_ROUNDS];
    int n = of->rounds < to->rounds ? of->rounds : to->rounds;
    for (int i = 0; i < n; i++)
        ratio[i] = to->medians[i] / of->medians[i];
    if (!n)
        return (swg__ratio){0};
    const double median = swg__median(ratio, n);
    return (swg__ratio){.median = median, .low = ratio[0], .high = ratio[n - 1]};
}

/* ---- memory ---- */

typedef struct memory_task { swg__open_task open; const void *task; int threads; } memory_task;

static void measure_child(const void *arg, void *answer) {
    const memory_task *m = arg;
    swg__job_memory *out = answer;
    signal(SIGINT, SIG_DFL); /* ends it; the parent sees that */
    for (int small = 1; small >= 0; small--) {
        swg_context *ctx;
        swg__job job = {0};
        if ((out->status = swg_context_open(&(swg_context_opts){.threads = m->threads}, &ctx)) != SWG_OK)
            return;
        swg_context_peak_rss_reset(ctx);
        out->status = m->open(ctx, m->task, small, &job);
        for (int i = 0; i < 2 && out->status == SWG_OK; i++)
            swg__job_run(&job);
        if (out->status == SWG_OK) {
            out->measured = swg_context_peak_rss_growth(ctx);
            out->planned = swg_plan_memory_of(job.plan).peak_bytes;
        } else {
            snprintf(out->message, sizeof out->message, "%s", swg_context_message(ctx));
        }
        swg__job_close(&job);
        swg_context_close(ctx);
        malloc_trim(0);
    }
}

swg_status swg__job_measure_memory(swg_context *ctx, const cpu_set_t *cpus, int threads, swg__open_task open, const void *task, swg__job_memory *out) {
    bool heard;
    *out = (swg__job_memory){.status = SWG_EIO};
    SWG__TRY(swg__child_run(ctx, cpus, measure_child, &(memory_task){open, task, threads}, out, sizeof *out, &heard));
    if (!heard)
        *out = (swg__job_memory){.status = SWG_EIO, .message = "the measuring process ended early (out of memory?)"};
    return SWG_OK;
}
