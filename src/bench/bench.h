/* bench.h (internal) - measuring: the machine's own limits, then rows of work beside them and beside other systems.
 * Protocol, floors and output: docs/benchmarks.md. Nothing here is needed to train or to run a network.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_H
#define SWAGE_BENCH_H

#include <signal.h>
#include <stdio.h>
#include "measure/measure.h"
#include "swage/plan.h"

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
char *swg__bench_json(const swg__bench *b);                  /* NULL: out of memory; release with cJSON_free */
void swg__bench_table(const swg__bench *b, swg__text *text);

#endif
