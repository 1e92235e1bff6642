/* tfswa.h (internal) - `swage bench tfswa`: inference or training steps of TFSWA-UNet in f32 and bf16, beside PyTorch and ONNX Runtime.
 * Protocol and results: docs/benchmarks.md.  SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_TFSWA_H
#define SWAGE_BENCH_TFSWA_H

#include "bench/server.h"
#include "bench/turns.h"
#include "swage/tfswa.h"

/* ---- what is timed ---- */

typedef enum swg__tfswa_net { SWG__TFSWA_UNET, SWG__TFSWA_SMALL, SWG__TFSWA_NETS } swg__tfswa_net;
const char *swg__tfswa_name(int net);   /* "unet", "small"; NULL behind the last */
/* Of the input where none is given, (N, C, F, T): 1x2x1025x259 and 1x2x128x64. */
void swg__tfswa_shape(int net, int64_t shape[4]);

/* Inference with frozen weights, or a training step: forward, mean |o - x|, backward, clipping, AdamW. */
typedef struct swg__tfswa_task { int net; int64_t shape[4]; bool training, bf16; } swg__tfswa_task;
/* Opens it with weights and inputs that do not depend on the type. To be closed also after a failure. */
swg_status swg__tfswa_open(swg_context *ctx, const swg__tfswa_task *task, swg__job *job);

/* ---- a run ---- */

enum { SWG__TFSWA_SIDES = 8 };
typedef enum swg__tfswa_system { SWG__TFSWA_OWN, SWG__TFSWA_PYTORCH, SWG__TFSWA_ONNXRUNTIME, SWG__TFSWA_SYSTEMS } swg__tfswa_system;

typedef struct swg__tfswa_side {
    char name[40];
    swg__tfswa_system system;
    const char *form;           /* of a peer: what it is asked for */
    swg__tfswa_task task;
    swg__times times;           /* reps 0: none */
    double most_ns;
    swg__ratio ratio;           /* its time over that of ours in f32, round by round; median 0: none */
    double parameters;
    int64_t planned_bytes, measured_bytes; /* 0: not known */
    char failure[SWG__SERVER_MESSAGE];
} swg__tfswa_side;

typedef struct swg__tfswa_opts {
    swg__tfswa_task task;       /* without its type */
    int iterations, warmup;     /* calls per side */
    double sample_rate;         /* Hz; hop: samples from frame to frame */
    int64_t hop;
    bool peers[SWG__TFSWA_SYSTEMS];
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__tfswa_opts;

typedef struct swg__tfswa_bench {
    swg_context *ctx;
    swg__tfswa_opts opts;
    cpu_set_t cpus;
    swg__machine machine;
    swg__team team;
    swg__server peers[SWG__TFSWA_SYSTEMS];
    swg__tfswa_side sides[SWG__TFSWA_SIDES];
    int count;
} swg__tfswa_bench;

/* Measures everything. SWG_EINTERRUPTED: *opts->stop was raised. SWG_ESHAPE: the network does not take the shape. Holds no memory. */
swg_status swg__tfswa_bench_run(swg_context *ctx, const swg__tfswa_opts *opts, swg__tfswa_bench *out);
const char *swg__tfswa_system_name(int system);     /* "swage", "PyTorch", "ONNX Runtime" */

/* tfswa_report.c */
void swg__tfswa_table(const swg__tfswa_bench *b, bool markdown, swg__text *text);
char *swg__tfswa_json(const swg__tfswa_bench *b);   /* NULL: out of memory; release with cJSON_free */

#endif
