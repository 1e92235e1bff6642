/* turns.h (internal) - sides of a comparison that take turns, ours and a peer's, and the memory of ours in a process of its own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_TURNS_H
#define SWAGE_BENCH_TURNS_H

#include "bench/jobs.h"

enum { SWG__TURNS_ROUNDS = 64, SWG__TURNS_CALLS = 64 };

/* A side that is ready to run. */
typedef struct swg__player {
    double (*call)(void *arg);  /* once; its time in ns */
    void *arg;
    const char *failure;        /* not "": it does not play, or not any more */
    double once;                /* what a call took before */
    double *samples;            /* (rounds * calls) */
    int count, rounds;          /* samples so far; rounds it has played */
    double medians[SWG__TURNS_ROUNDS];
} swg__player;

typedef struct swg__turns {
    int rounds, calls;          /* up to SWG__TURNS_ROUNDS; calls in a turn, at most */
    double turn_ns;             /* a turn ends after so much time, or a single call */
    double warm_ns;             /* a side that is faster is called once more before its turn, back into the caches */
    const volatile sig_atomic_t *stop;
} swg__turns;

/* Players in turns, round after round. SWG_EINTERRUPTED: *stop was raised. SWG_ENOMEM. */
swg_status swg__turns_play(swg_context *ctx, const swg__turns *turns, swg__player *players, int count);
void swg__turns_free(swg_context *ctx, swg__player *players, int count);
/* Time of `to` over that of `of`, round by round. Both played. */
swg__ratio swg__turns_ratio(const swg__player *of, const swg__player *to);


/* Opens a small form of a task, to touch the code and let the heap come to rest, or the whole of it. The job is closed also after a failure. */
typedef swg_status (*swg__open_task)(swg_context *ctx, const void *task, bool small, swg__job *job);
typedef struct swg__job_memory { swg_status status; int64_t planned, measured; char message[200]; } swg__job_memory;
/* Of two runs, in a child process. Failures of the task itself go into out->status and message. */
swg_status swg__job_measure_memory(swg_context *ctx, const cpu_set_t *cpus, int threads, swg__open_task open, const void *task, swg__job_memory *out);

#endif
