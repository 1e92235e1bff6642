/* measure.h (internal) - clocks and order statistics, the machine and its own limits: what a time is held against.
 * Protocol and floors: docs/benchmarks.md. Nothing here is needed to train or to run a network.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_MEASURE_H
#define SWAGE_MEASURE_H

#include <sched.h>
#include "context.h"
#include "cpu.h"

/* ---- measure.c: repetitions and their statistics ---- */

typedef struct swg__times {
    double min_ns, median_ns, mean_ns, std_ns, p95_ns, p99_ns;
    double spread;              /* (p75 - p25) / median */
    int64_t reps, loops;        /* samples; calls per sample, more than one for calls below 20 us */
    double cold_ns;             /* making, opening and the first call */
} swg__times;

/* What is timed. Sides of one measurement take turns; each has slept `settle_ns` first, so that threads another side left
 * spinning are off the processors. */
typedef struct swg__side {
    void (*call)(void *arg);
    void *arg;
    int64_t settle_ns;
    void (*turn)(void *arg, bool begins); /* before and after the side's turn; may be NULL */
} swg__side;

typedef struct swg__ratio { double median, low, high; } swg__ratio; /* over the rounds */

double swg__bench_clock_ns(void); /* CLOCK_MONOTONIC_RAW */
/* Of work on so many threads: with one its processor time, which other work on the machine does not stretch, else wall time; and what it is called. */
double swg__work_clock_ns(int threads);
const char *swg__work_clock_name(int threads);
/* The median of n > 0 numbers, which are sorted. */
double swg__median(double *values, int64_t n);
/* Order statistics of n > 0 samples, which are sorted. */
void swg__times_of(double *samples, int64_t n, swg__times *times);
/* Warms up and times 1 or 2 sides in five rounds. ratio (may be NULL): the second side's median over the first's. */
swg_status swg__measure(swg_context *ctx, const swg__side *sides, int count, bool quick, swg__times *times, swg__ratio *ratio);

/* ---- child.c: work in a process of its own ---- */

/* Runs fn(arg, answer) in a child process that may use `cpus`, and takes its answer over. *heard: false if the child ended without one. */
swg_status swg__child_run(swg_context *ctx, const cpu_set_t *cpus, void (*fn)(const void *arg, void *answer), const void *arg, void *answer,
                          size_t bytes, bool *heard);

/* ---- machine.c ---- */

struct cJSON;

enum { SWG__L1, SWG__L2, SWG__L3, SWG__DRAM, SWG__LEVELS };

typedef struct swg__machine {
    char cpu[64], flags[32], governor[32], kernel[96], compiler[64], build[160], libc[32], revision[48];
    int family, model;
    int online, allowed;        /* processors of the system; of our affinity mask and cgroup quota */
    int64_t cache_bytes[3];     /* of one core; the last is shared */
    double mhz, load_before, load_after;
} swg__machine;

void swg__machine_look(swg__machine *m);
double swg__machine_load(void);

/* ---- team.c: a context whose threads are pinned to distinct processors ---- */

/* Limits measured in the same run. Gop/s; bytes per ns are GB/s. 0: this machine has no such unit or level. */
typedef struct swg__limits {
    double f32[SWG__ISA_COUNT];
    double bf16;                /* of the team's instruction set */
    double read[SWG__LEVELS], copy[SWG__LEVELS], scale[SWG__LEVELS];
    double fork_join_ns;
} swg__limits;

typedef struct swg__team {
    swg_context *ctx;
    swg__isa isa;
    int threads;
    swg__limits limits;
} swg__team;

/* cpus: where the process may run. The calling thread becomes worker 0 and stays pinned. */
swg_status swg__team_open(swg__team *team, int threads, const cpu_set_t *cpus);
void swg__team_close(swg__team *team);
/* Runs fn(arg, worker) once on every worker at the same time. */
void swg__team_each(swg__team *team, void (*fn)(void *arg, int worker), void *arg);

/* A team made of a context that is open already; its threads are pinned. Not to be closed. */
void swg__team_wrap(swg__team *team, swg_context *ctx, const cpu_set_t *cpus);
/* Lets every thread of the team run on any of `cpus` again. */
void swg__team_unpin(swg__team *team, const cpu_set_t *cpus);

/* ---- floor.c ---- */

/* What a piece of work cannot do without. */
typedef struct swg__demand {
    double flop, bytes;         /* bytes that have to be moved between the level that holds the working set and the cores */
    double panel_bytes;         /* further ones that stay in the second cache */
    double working_set_bytes;
    bool updates;               /* reads and writes the same memory: the bandwidth of `scale` holds */
    int calls;                  /* of the pool */
} swg__demand;

/* Shortest time in ns; *by: "flop", "L3", "fork-join". peak: of all threads, in Gop/s, of the type the work is done in. */
double swg__floor_of(const swg__machine *machine, const swg__team *team, double peak, const swg__demand *work, const char **by);

/* ---- peaks.c ---- */

/* Fills team->limits. spare: room for every worker, from swg__peaks_bytes. */
void swg__peaks_measure(swg__team *team, const swg__machine *machine, float *spare, int64_t spare_bytes);
int64_t swg__peaks_bytes(const swg__machine *machine, int threads);
/* One core's f32 peak of the team's instruction set, in a few milliseconds: has the machine changed its pace? */
double swg__peaks_probe(swg__team *team);

/* ---- machine_text.c: the head of every report ---- */

void swg__bench_machine_line(const swg__machine *m, const swg__team *team, swg__text *text);
void swg__bench_peak_line(const swg__team *team, swg__text *text);
void swg__bench_machine_json(const swg__machine *m, const swg__team *team, struct cJSON *to);

#endif
