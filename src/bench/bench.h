/* bench.h (internal) - measuring: the machine's own limits, then rows of work beside them and beside other systems.
 * Protocol, floors and output: docs/benchmarks.md. Nothing here is needed to train or to run a network.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_H
#define SWAGE_BENCH_H

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include "context.h"
#include "cpu.h"
#include "swage/plan.h"

/* ---- measure.c: repetitions and their statistics ---- */

typedef struct swg__times {
    double min_ns, median_ns, mean_ns, std_ns, p95_ns;
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
/* Order statistics of n > 0 samples, which are sorted. */
void swg__times_of(double *samples, int64_t n, swg__times *times);
/* Warms up and times 1 or 2 sides in five rounds. ratio (may be NULL): the second side's median over the first's. */
swg_status swg__measure(swg_context *ctx, const swg__side *sides, int count, bool quick, swg__times *times, swg__ratio *ratio);

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

/* ---- child.c ---- */

/* Runs fn(arg, answer) in a child process that may use `cpus`, and takes its answer over. *heard: false if the child ended without one. */
swg_status swg__child_run(swg_context *ctx, const cpu_set_t *cpus, void (*fn)(const void *arg, void *answer), const void *arg, void *answer,
                          size_t bytes, bool *heard);

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

/* ---- rows ---- */

typedef enum swg__work_kind { SWG__WORK_MATMUL, SWG__WORK_CONV, SWG__WORK_LAYER, SWG__WORK_INFER, SWG__WORK_TRAIN, SWG__WORK_ADAMW, SWG__WORK_BUSY, SWG__WORK_MEMORY_TRAIN, SWG__WORK_MEMORY_INFER } swg__work_kind;

typedef struct swg__workload {
    char id[48];
    swg__work_kind kind;
    const char *model;          /* preset, NULL for products */
    int64_t batch, k, n;        /* products: (batch, k) by (k, n) */
    bool bf16;                  /* first operand and result; weights are f32 and rounded when they are packed */
    const char *recompute;      /* memory of the U-Net: how its step of k^3 is planned (swg_recompute_read); NULL: another network */
    const struct swg__bench_conv *conv; /* convolutions */
    const struct swg__bench_layer *layer; /* layers */
} swg__workload;

enum { SWG__PEER_PROCESSES = 3, SWG__PEERS = 12 }; /* PyTorch, PyTorch compiled, ONNX Runtime; ways of all peers beside a row */

typedef struct swg__peer_times {
    char name[32], variant[32];
    char failure[400];          /* "": it has times */
    swg__times times;
    swg__ratio ratio;           /* peer over ours */
    bool interleaved;           /* turn by turn with ours in one measurement */
} swg__peer_times;

typedef struct swg__row {
    swg__workload work;
    int threads;
    double flop, bytes;         /* that have to be done; bytes that have to be moved */
    double working_set_bytes;
    bool updates;               /* reads and writes the same memory: the bandwidth of `scale` holds */
    int parallel_calls;
    swg__times times;
    double floor_ns;
    const char *floor_by;       /* "flop", "L3", "fork-join" */
    double error;               /* largest difference to the f64 result, over its largest value */
    int64_t planned_bytes, measured_bytes, allocations; /* memory rows: peak; calls of the allocator during the steps */
    swg__peer_times peers[SWG__PEERS];
    int peer_count;
    bool noisy;                 /* the machine's pace moved by more than 5 % around this row, or half of its times vary by 30 % */
    char failure[256];          /* a row that failed has no time */
} swg__row;

typedef struct swg__bench_opts {
    const char *const *patterns; /* of workload ids; count 0: all */
    int pattern_count;
    int threads;                /* 0: all allowed */
    bool quick;
    unsigned against;           /* bit i: run peer process i, see swg__peer_key */
    FILE *explain;              /* NULL, or where swg_plan_explain of every row's own plan goes */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__bench_opts;

typedef struct swg__peer { const char *name; char version[48], options[160]; } swg__peer; /* version "absent", "not asked" or real */

typedef struct swg__bench {
    swg_context *ctx;           /* messages and memory */
    swg__bench_opts opts;
    cpu_set_t cpus;
    swg__machine machine;
    swg__team teams[2];         /* one thread; all threads, if more */
    int team_count;
    double peak_start, peak_end; /* of one core, Gop/s */
    swg__row *rows;
    int row_count;
    swg__peer peers[1 + SWG__PEER_PROCESSES]; /* oneDNN, then the processes */
    struct swg__talk *processes; /* [team][process]; NULL while none runs */
} swg__bench;

/* Measures everything asked for. SWG_EUSAGE: no row matches. SWG_EINTERRUPTED: *opts->stop was raised. */
swg_status swg__bench_run(swg_context *ctx, const swg__bench_opts *opts, swg__bench *out);
void swg__bench_free(swg__bench *b);
/* The ids, one call per workload. */
void swg__bench_list(void (*each)(void *user, const char *id), void *user);

/* jobs.c: one row; memory.c: one row, measured in a child process. Failures of the row itself go into row->failure. */
swg_status swg__bench_time(swg__bench *b, swg__team *team, swg__row *row);
swg_status swg__bench_memory(swg__bench *b, swg__row *row);
/* What passes and planner did to a row's own plan, where it is asked for. */
void swg__bench_explain(const swg__bench *b, const swg__row *row, const swg_plan *plan);
/* busy.c: a training step beside a process that spins, in a child process too. */
swg_status swg__bench_busy(swg__bench *b, swg__row *row);

/* ---- peers.c: other systems ---- */

const char *swg__peer_key(int i);                           /* "pytorch"; NULL behind the last one */
/* Starts what b->opts.against asks for; a peer that is absent or fails says so in b->peers. */
swg_status swg__peers_open(swg__bench *b);
/* Adds their times to a row that has been measured by b->teams[team]. */
void swg__peers_row(swg__bench *b, int team, swg__row *row);
void swg__peers_close(swg__bench *b);

/* files.c: tables of what swg__bench_json gave, of one run or several; page: an HTML file, or NULL. SWG_EFORMAT: something else. */
swg_status swg__bench_files(swg_context *ctx, const char *const *paths, int count, bool markdown, const char *page, swg__text *text);

/* report.c */
void swg__bench_machine_line(const swg__machine *m, const swg__team *team, swg__text *text);
void swg__bench_peak_line(const swg__team *team, swg__text *text);
void swg__bench_machine_json(const swg__machine *m, const swg__team *team, struct cJSON *to);
char *swg__bench_json(const swg__bench *b);                  /* NULL: out of memory; release with cJSON_free */
void swg__bench_table(const swg__bench *b, swg__text *text);

#endif
