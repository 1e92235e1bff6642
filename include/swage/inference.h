/* inference.h - a network made ready to be used, and timed, under the published names.
 *
 *     swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g);
 *     swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 2, 1025, 259}), y = swg_tfswa_net(g, &model, x);
 *     swg_optimise_for_inference(g, y, weights, &plan);
 *     swg_benchmark_model(plan, x, &(swg_benchmark_opts){.sample_rate = 44100, .hop = 512}, &result);
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_INFERENCE_H
#define SWAGE_INFERENCE_H

#include "swage/plan.h"

/* An open plan of `output`: running statistics in place of those of the batch, norms folded into the weights before them, operations fused,
 * weights packed once (swg_plan_opts.frozen). Results differ from those of a plan without all that by rounding. The graph is not kept; the weights
 * must live as long as the plan. SWG_EINVAL: the graph was not made with `inference`. */
swg_status swg_optimise_for_inference(swg_graph *g, swg_value output, swg_weights *weights, swg_plan **plan);

typedef struct swg_benchmark_opts {
    int num_iterations;         /* 0: 100 */
    int warmup_iterations;      /* 0: 10; -1: none */
    double sample_rate, hop;    /* of spectra whose last axis is time: seconds of sound are frames x hop / sample_rate; 0: not known */
} swg_benchmark_opts;

typedef struct swg_benchmark {
    double avg_time_ms, std_time_ms, min_time_ms, max_time_ms, p50_time_ms, p95_time_ms, p99_time_ms;
    double throughput_samples_per_sec;  /* samples: extent of the input's first axis */
    double real_time_factor;            /* seconds of computing per second of sound, summed over the batch; 0: not known */
    int num_iterations, warmup_iterations;
    double size_mb;                     /* of the parameters; as published 2^20 bytes */
    int64_t peak_bytes;                 /* planned, which is what a run uses: works without a device that reports it */
    const char *device, *dtype;         /* "cpu"; "f32", "bf16", "f64" */
    char shape[64];                     /* of the input, "1x2x1025x259" */
} swg_benchmark;

/* Times runs of an open plan on what its inputs hold. opts may be NULL. SWG_EINVAL: the plan is not open, or `input` is none of its inputs. */
swg_status swg_benchmark_model(swg_plan *plan, swg_value input, const swg_benchmark_opts *opts, swg_benchmark *out);

#endif
