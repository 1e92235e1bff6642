/* team.c - a context with every thread on a processor of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "measure/measure.h"

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

typedef struct muster {
    int threads;
    atomic_int arrived;
    void (*fn)(void *arg, int worker);
    void *arg;
} muster;

/* Nobody begins before everybody has a task, so each worker gets exactly one. */
static void one_task(void *arg, int64_t task, int worker) {
    (void)task;
    muster *m = arg;
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->threads)
        relax();
    m->fn(m->arg, worker);
}

void swg__team_each(swg__team *team, void (*fn)(void *arg, int worker), void *arg) {
    muster m = {.threads = team->threads, .fn = fn, .arg = arg};
    swg__parallel(team->ctx, team->threads, one_task, &m);
}

/* Worker i goes to the i-th processor of the set, round and round if there are more workers than processors. */
static void pin(void *arg, int worker) {
    const cpu_set_t *cpus = arg;
    int wanted = worker % CPU_COUNT(cpus);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus) && wanted-- == 0) {
            cpu_set_t own;
            CPU_ZERO(&own);
            CPU_SET(cpu, &own);
            sched_setaffinity(0, sizeof own, &own);
            return;
        }
}

void swg__team_wrap(swg__team *team, swg_context *ctx, const cpu_set_t *cpus) {
    cpu_set_t copy = *cpus;
    *team = (swg__team){.ctx = ctx, .threads = ctx->threads, .isa = ctx->isa};
    swg__team_each(team, pin, &copy);
}

static void unpin(void *arg, int worker) {
    (void)worker;
    sched_setaffinity(0, sizeof(cpu_set_t), arg);
}

void swg__team_unpin(swg__team *team, const cpu_set_t *cpus) {
    cpu_set_t copy = *cpus;
    swg__team_each(team, unpin, &copy);
}

swg_status swg__team_open(swg__team *team, int threads, const cpu_set_t *cpus) {
    swg_context *ctx;
    *team = (swg__team){.threads = threads};
    SWG__TRY(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx));
    swg__team_wrap(team, ctx, cpus);
    return SWG_OK;
}

void swg__team_close(swg__team *team) {
    swg_context_close(team->ctx);
    team->ctx = NULL;
}
