/* inference.c - the plan of a network in use, and how long it takes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/inference.h"
#include <string.h>
#include "measure/measure.h"
#include "pass/pass.h"
#include "plan/plan.h"

swg_status swg_optimise_for_inference(swg_graph *g, swg_value output, swg_weights *weights, swg_plan **plan) {
    *plan = NULL;
    SWG__TRY(swg_graph_status(g));
    if (!g->inference)
        return swg__fail(g->ctx, SWG_EINVAL, "optimise_for_inference: the graph is for training; make it with swg_graph_opts.inference");
    SWG__TRY(swg_plan_make(g, &(swg_plan_opts){.outputs = &output, .output_count = 1, .frozen = true}, plan));
    swg_status status = swg_plan_open(*plan, weights, NULL);
    if (status != SWG_OK) {
        swg_plan_destroy(*plan);
        *plan = NULL;
    }
    return status;
}

static swg_status time_runs(swg_plan *plan, int warmup, int count, double *ns) {
    for (int i = -warmup; i < count; i++) {
        const double begin = swg__bench_clock_ns();
        SWG__TRY(swg_plan_run(plan, 0, 0));
        if (i >= 0)
            ns[i] = swg__bench_clock_ns() - begin;
    }
    return SWG_OK;
}

static void describe_input(const swg__node *n, swg_benchmark *out) {
    size_t used = 0;
    for (int i = 0; i < n->ndim && used < sizeof out->shape; i++)
        used += (size_t)snprintf(out->shape + used, sizeof out->shape - used, "%s%lld", i ? "x" : "", (long long)n->shape[i]);
}

swg_status swg_benchmark_model(swg_plan *plan, swg_value input, const swg_benchmark_opts *opts, swg_benchmark *out) {
    static const swg_benchmark_opts none = {0};
    const swg_benchmark_opts *o = opts ? opts : &none;
    swg_context *ctx = plan->ctx;
    const swg_value own = input != SWG_NONE && input < plan->map_count ? plan->map[input] : SWG_NONE;
    const int count = o->num_iterations ? o->num_iterations : 100, warmup = o->warmup_iterations ? o->warmup_iterations : 10;
    *out = (swg_benchmark){.num_iterations = count, .warmup_iterations = warmup < 0 ? 0 : warmup, .device = "cpu"};
    if (!plan->block || !own || plan->g->nodes[own].op != SWG__INPUT)
        return swg__fail(ctx, SWG_EINVAL, "benchmark: the plan is not open, or the value is none of its inputs");
    if (count < 1)
        return swg__fail(ctx, SWG_EINVAL, "benchmark: %d iterations, expected 1 or more", count);
    double *ns = swg__alloc(ctx, (size_t)count * sizeof *ns);
    if (!ns)
        return swg__fail_memory(ctx, (size_t)count * sizeof *ns, "times");
    swg_status status = time_runs(plan, out->warmup_iterations, count, ns);
    if (status == SWG_OK) {
        const swg__node *n = &plan->g->nodes[own];
        const double samples = n->ndim ? (double)n->shape[0] : 1, frames = n->ndim ? (double)n->shape[n->ndim - 1] : 1;
        const double sound = o->sample_rate > 0 && o->hop > 0 ? samples * frames * o->hop / o->sample_rate : 0;
        swg__times t;
        swg__times_of(ns, count, &t);
        out->avg_time_ms = t.mean_ns * 1e-6;
        out->std_time_ms = t.std_ns * 1e-6;
        out->min_time_ms = t.min_ns * 1e-6;
        out->max_time_ms = ns[count - 1] * 1e-6; /* they are sorted now */
        out->p50_time_ms = t.median_ns * 1e-6;
        out->p95_time_ms = t.p95_ns * 1e-6;
        out->p99_time_ms = t.p99_ns * 1e-6;
        out->throughput_samples_per_sec = samples / (t.mean_ns * 1e-9);
        out->real_time_factor = sound > 0 ? t.mean_ns * 1e-9 / sound : 0;
        out->size_mb = (double)plan->memory.parameters_bytes / 1048576;
        out->peak_bytes = plan->memory.peak_bytes;
        out->dtype = plan->g->dtype == SWG_F64 ? "f64" : swg__holds_bf16(plan->g) ? "bf16" : "f32";
        describe_input(n, out);
    }
    swg__free(ctx, ns);
    return status;
}
