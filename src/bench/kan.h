/* kan.h (internal) - `swage bench kan`: a KAN convolution in its forms and the KAN networks, beside the published formulation in PyTorch.
 * Protocol and results: docs/benchmarks.md.  SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_KAN_H
#define SWAGE_BENCH_KAN_H

#include "bench/server.h"
#include "bench/turns.h"

/* ---- what is timed ---- */

/* Ways of computing the same convolution; OPTIMISED has its SiLU behind the convolution and one scaler per result: another function. */
typedef enum swg__kan_form { SWG__KAN_NAIVE, SWG__KAN_PATCHES, SWG__KAN_ONCE, SWG__KAN_OPTIMISED, SWG__KAN_FORMS } swg__kan_form;
typedef enum swg__kan_work { SWG__KAN_LAYER, SWG__KAN_DAE, SWG__KAN_DAE_OPT, SWG__KAN_WORKS } swg__kan_work;

const char *swg__kan_form_name(int form);   /* "naive", "patches", "once", "optimised"; NULL behind the last */
const char *swg__kan_work_name(int work);   /* "layer", "kan/dae", "kan/dae-opt"; NULL behind the last */

/* One piece of work. A layer: `channels` to `channels`, kernel 3, padding 1, on size x size; networks: images of side `size`. */
typedef struct swg__kan_task {
    swg__kan_work work;
    swg__kan_form form;         /* layers */
    bool training;              /* layer: forward and the gradients of x and all parameters; network: a step with AdamW */
    bool bf16;
    bool keep;                  /* networks: nothing is computed again in the backward pass; else as plans do by default */
    int64_t batch, channels, size, grid, order;
} swg__kan_task;

/* Opens it with weights and inputs that do not depend on the form; dtype SWG_F64: the reference. outputs (at least 2, may be NULL): y and, of a
 * layer's training, dx. To be closed also after a failure. */
swg_status swg__kan_open(swg_context *ctx, const swg__kan_task *task, swg_dtype dtype, swg__job *job, swg_value *outputs);
/* Largest gap of results to the f64 reference of the form `once` (of its own where it is another function), on one small image.
 * A wrong one is in failure. */
swg_status swg__kan_check(swg_context *ctx, const swg__kan_task *task, double *error, char *failure, size_t capacity);

/* ---- a run ---- */

enum { SWG__KAN_SIDES = 9, SWG__KAN_BATCHES = 16 };

typedef struct swg__kan_side {
    char name[40];              /* "swage once", "PyTorch published" */
    const char *form;           /* of a peer: what it is asked for; NULL: ours */
    bool published;             /* what the others are compared with */
    swg__kan_task task;
    swg__times times;           /* median_ns 0: none */
    int64_t planned_bytes, measured_bytes; /* 0: not known */
    double error, parameters;
    char failure[SWG__SERVER_MESSAGE];
} swg__kan_side;

/* Sides that took turns. */
typedef struct swg__kan_group {
    swg__kan_work work;
    bool training;
    int64_t batch;
    swg__kan_side sides[SWG__KAN_SIDES];
    int count;
} swg__kan_group;

typedef struct swg__kan_opts {
    int64_t batches[SWG__KAN_BATCHES];
    int batch_count;
    int64_t size, channels, grid, order; /* of the layer */
    int64_t image;              /* side of the networks' images */
    unsigned forms, works;      /* bits */
    bool quick;
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__kan_opts;

typedef struct swg__kan_bench {
    swg_context *ctx;
    swg__kan_opts opts;
    cpu_set_t cpus;
    swg__machine machine;
    swg__team team;
    swg__server peer;           /* PyTorch */
    swg__kan_group *groups;
    int group_count;
} swg__kan_bench;

/* Measures everything. SWG_EINTERRUPTED: *opts->stop was raised. To be freed also after a failure. */
swg_status swg__kan_bench_run(swg_context *ctx, const swg__kan_opts *opts, swg__kan_bench *out);
void swg__kan_bench_free(swg__kan_bench *b);

/* kan_report.c */
const swg__kan_side *swg__kan_published(const swg__kan_group *group); /* that has times; NULL: none */
void swg__kan_table(const swg__kan_bench *b, swg__text *text);
char *swg__kan_json(const swg__kan_bench *b);   /* NULL: out of memory; release with cJSON_free */

#endif
