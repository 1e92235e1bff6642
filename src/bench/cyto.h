/* cyto.h (internal) - `swage bench cyto`: training steps and inference of the microscopy networks with the published performance switches, each
 * alone and all together, beside PyTorch. Protocol and results: docs/benchmarks.md, docs/cyto.md.  SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_CYTO_H
#define SWAGE_BENCH_CYTO_H

#include "bench/server.h"
#include "bench/turns.h"
#include "swage/tune.h"

/* ---- what is timed ---- */

enum { SWG__CYTO_LOSSES = 10 };

typedef enum swg__cyto_experiment { SWG__CYTO_SEGMENTATION, SWG__CYTO_LABELFREE, SWG__CYTO_SUPERRES, SWG__CYTO_EXPERIMENTS } swg__cyto_experiment;
const char *swg__cyto_name(int experiment);     /* "segmentation", "labelfree", "gan_superres"; NULL behind the last */
/* Extents of its input where none are given, (N, C, z, y, x). */
void swg__cyto_shape(int experiment, int64_t shape[5]);

/* One piece of work: a training step (forward, loss, backward, Adam) or inference. All switches false: f32, channels-first, an operation a step,
 * the optimiser in four passes, all forward values kept, heuristics. */
typedef struct swg__cyto_task {
    int experiment, ndim;
    int64_t shape[5];           /* of the input, (N, C, spatial...) */
    bool training;
    bool autotune, channels_last, compile, replay, bf16, fused_optimiser;
    const char *recompute;      /* swg_recompute_read; NULL: nothing, all forward values are kept */
    swg_tuning *tuning;         /* autotune: of the context the task is opened in */
} swg__cyto_task;

/* Opens it with weights and inputs that do not depend on the switches. job->y: the loss, or the prediction. To be closed also after a failure. */
swg_status swg__cyto_open(swg_context *ctx, const swg__cyto_task *task, swg__job *job);
/* Bytes of a plan that is only made. */
swg_status swg__cyto_planned(swg_context *ctx, const swg__cyto_task *task, int64_t *bytes);
/* Measures what a task with autotune has to choose from, at most `seconds`, into task->tuning. */
swg_status swg__cyto_tune(swg_context *ctx, const swg__cyto_task *task, double seconds, const volatile sig_atomic_t *stop);

/* One training step as update number step + 1, or inference. */
typedef struct swg__cyto_steps { swg__job *job; const swg__cyto_task *task; double power[2]; uint32_t step; } swg__cyto_steps;
void swg__cyto_steps_open(swg__cyto_steps *s, swg__job *job, const swg__cyto_task *task);
void swg__cyto_step(swg__cyto_steps *s);

/* ---- a run ---- */

enum { SWG__CYTO_SIDES = 16, SWG__CYTO_BATCHES = 16 };

/* What targets speak of. */
typedef enum swg__cyto_role {
    SWG__CYTO_PLAIN, SWG__CYTO_BASELINE, SWG__CYTO_CHECKPOINTED, SWG__CYTO_ALL, SWG__CYTO_ALL_CHECKPOINTED, SWG__CYTO_PEER_BF16
} swg__cyto_role;

typedef struct swg__cyto_side {
    char name[48], settings[200], why[320]; /* why: a switch cannot act here, or the memory is not there; the side has no times */
    const char *form;           /* of a peer: what it is asked for; NULL: ours */
    swg__cyto_role role;
    swg__cyto_task task;
    swg__times times;           /* reps 0: none */
    swg__ratio speedup;         /* of this side over the baseline, round by round */
    double losses[SWG__CYTO_LOSSES], loss_difference, tolerance; /* of ours in training; largest difference to the baseline */
    double parameters, total_ns;
    int64_t planned_bytes, measured_bytes; /* 0: not known */
    char failure[SWG__SERVER_MESSAGE];
} swg__cyto_side;

/* Sides that took turns. */
typedef struct swg__cyto_group {
    bool training, checkpoints; /* checkpoints: ways of recomputing, against keeping all */
    int64_t batch;
    swg__cyto_side sides[SWG__CYTO_SIDES];
    int count;
    swg__ratio over_peer;       /* of all switches together over the fastest bf16 side of PyTorch; median 0: not measured */
} swg__cyto_group;

typedef struct swg__cyto_opts {
    int experiment, ndim;
    int64_t shape[5];
    bool compare;               /* every switch alone; else all together, over the batches */
    int64_t batches[SWG__CYTO_BATCHES];
    int batch_count;
    int iterations, warmup;     /* calls per side */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__cyto_opts;

typedef struct swg__cyto_bench {
    swg_context *ctx;
    swg__cyto_opts opts;
    cpu_set_t cpus;
    swg__machine machine;
    swg__team team;
    swg__server peer;           /* PyTorch */
    swg_tuning *tuning;
    int64_t budget_bytes;       /* of memory; 0: unknown */
    swg__cyto_group *groups;
    int group_count;
} swg__cyto_bench;

/* Measures everything. SWG_EINTERRUPTED: *opts->stop was raised. SWG_ESHAPE: the network does not take the shape. To be freed also after a failure. */
swg_status swg__cyto_bench_run(swg_context *ctx, const swg__cyto_opts *opts, swg__cyto_bench *out);
void swg__cyto_bench_free(swg__cyto_bench *b);

/* cyto_report.c */
void swg__cyto_table(const swg__cyto_bench *b, bool markdown, swg__text *text);
char *swg__cyto_json(const swg__cyto_bench *b); /* NULL: out of memory; release with cJSON_free */
/* An SVG of speed-ups, or of throughput over the batches, and of planned peaks. */
swg_status swg__cyto_chart(const swg__cyto_bench *b, const char *path);

#endif
