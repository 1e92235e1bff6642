/* plan.h - from a graph to a fixed schedule with all memory placed before the first element is computed.
 *
 *     swg_plan_make(g, &(swg_plan_opts){.outputs = &loss, .output_count = 1}, &plan);   no data, no memory yet
 *     printf("%lld bytes\n", swg_plan_memory_of(plan).peak_bytes);
 *     swg_plan_open(plan, weights, NULL);                                               one allocation
 *     memcpy(swg_plan_data(plan, x), batch, bytes);
 *     swg_plan_run(plan, seed, step);                                                   no allocation, ever
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PLAN_H
#define SWAGE_PLAN_H

#include "swage/graph.h"

/* ---- the parameter span: shared by every plan of a model (training, validation, last short batch) ---- */

typedef struct swg_weights swg_weights;

/* Spans for the parameters of g, in order of creation, each aligned to 64 bytes: weights and, if `training`, gradients and what the
 * graph's update needs (two moments if it has none), all zero. Every graph used with it later must have the same parameters (names, shapes, order). */
swg_status swg_weights_create(swg_graph *g, bool training, swg_weights **out);
void swg_weights_destroy(swg_weights *w);
/* Starts every parameter as its swg_init says, then every state at its value or as the parameter it is like. The same seed gives the same bits everywhere. */
void swg_weights_init(swg_weights *w, uint64_t seed);

int swg_weights_count(const swg_weights *w);
const char *swg_weights_name(const swg_weights *w, int i);      /* "encoder.fc1.weight" */
int swg_weights_ndim(const swg_weights *w, int i);
const int64_t *swg_weights_shape(const swg_weights *w, int i);
/* Start of parameter i in a span; f32 (f64 for an f64 graph). NULL where the weights have no such span. */
void *swg_weights_value(swg_weights *w, int i);
void *swg_weights_gradient(swg_weights *w, int i);
void *swg_weights_moment1(swg_weights *w, int i);
void *swg_weights_moment2(swg_weights *w, int i);
void *swg_weights_moment2_largest(swg_weights *w, int i);       /* amsgrad */
/* The states (running statistics), in order of creation; values lie beside the span, f32 (f64 for an f64 graph). */
int swg_weights_states(const swg_weights *w);
const char *swg_weights_state_name(const swg_weights *w, int i);        /* "encoder.bn1.running_mean" */
int swg_weights_state_ndim(const swg_weights *w, int i);
const int64_t *swg_weights_state_shape(const swg_weights *w, int i);
void *swg_weights_state(swg_weights *w, int i);
int64_t swg_weights_bytes(const swg_weights *w);                /* all spans together */

/* Puts the parameters whose names fit `pattern` (* and ?) into a group: row `group` of hyper holds their numbers. All begin in
 * group 0. *matched: how many fitted. SWG_EINVAL: an open plan has fewer rows. */
swg_status swg_weights_group(swg_weights *w, const char *pattern, int group, int *matched);

/* to = to + rate * (from - to) for the weights; states are copied. A running average of the weights with momentum 1 - rate. One pass, same bits for any
 * number of threads. SWG_EINVAL: of another model or type. */
swg_status swg_weights_blend(swg_weights *to, const swg_weights *from, double rate);

/* ---- plans ---- */

typedef struct swg_plan swg_plan;
typedef struct swg_tuning swg_tuning;   /* measured choices, tune.h */

/* How an open plan runs; results have the same bits. */
typedef enum swg_plan_mode {
    SWG_PLAN_DEFAULT,           /* step by step; threads sleep when there is nothing to do for 20 us */
    SWG_PLAN_REDUCE_OVERHEAD,   /* steps that do not touch each other's memory run as one parallel call, and threads stay awake from the first to
                                 * the last: for small batches, on processors that are not shared */
    SWG_PLAN_MAX_AUTOTUNE,      /* the same; who sets it also gives a tuning */
} swg_plan_mode;

/* Which forward values a training plan keeps for its backward pass; the others are computed again there. Results are the same, bit for
 * bit, whatever is said here. */
typedef enum swg_recompute_policy {
    SWG_RECOMPUTE_DEFAULT,      /* SWG_RECOMPUTE_ATTENTION if that saves 5 % of the peak or more, else off */
    SWG_RECOMPUTE_OFF,          /* keep all, as eager frameworks do */
    SWG_RECOMPUTE_FREE,         /* drop what comes cheaply from something kept: norms, activations, dropout, sums, moves */
    SWG_RECOMPUTE_ATTENTION,    /* and scores and probabilities of attention written as products (swg_attention keeps none anyway) */
    SWG_RECOMPUTE_KAN,          /* and what is only read inside of a KAN layer (swg_kan_linear, swg_kan_conv) */
    SWG_RECOMPUTE_BLOCKS,       /* as SWG_RECOMPUTE_ATTENTION, and what is only read inside of a block (swg_block_begin), the outermost where they nest; not in the last
                                 * one, whose values backward needs at once, if that takes no more memory */
    SWG_RECOMPUTE_SEGMENTS,     /* the same with `segments` runs of blocks, or of contractions where no block is marked */
    SWG_RECOMPUTE_BUDGET,       /* as little as possible, but peak_bytes no more than the budget */
} swg_recompute_policy;

typedef struct swg_recompute {
    swg_recompute_policy policy;
    int segments;               /* 0: the root of the number of blocks; clipped to that number */
    bool skip_last;             /* the last segment or block keeps its values, whatever that takes */
    int64_t budget_bytes;       /* of the plan's peak_bytes; 0: budget_share of the default plan's */
    double budget_share;        /* (0, 1] */
} swg_recompute;

/* "none", "false" or "default"; "off"; "free"; "attention"; "kan"; "blocks" or "true"; "segments:4", "segments:auto" or "segments"; "budget:2GiB" or
 * "budget:60%". SWG_EUSAGE names the nearest word. */
swg_status swg_recompute_read(swg_context *ctx, const char *text, swg_recompute *out);
/* Of a budget alone: "2GiB", "500 MB" or "60%"; policy SWG_RECOMPUTE_BUDGET. */
swg_status swg_recompute_read_budget(swg_context *ctx, const char *text, swg_recompute *out);
const char *swg_recompute_name(swg_recompute_policy policy);    /* "blocks" */

/* Products with weights in numbers of 8 bits, for inference (quantise.h). Everything else stays f32. */
typedef enum swg_quantise {
    SWG_QUANTISE_NONE,
    SWG_QUANTISE_INT8,          /* s8 weights with a scale per channel; u8 activations, a scale per row or sample measured in the run; int32 sums */
    SWG_QUANTISE_FP8,           /* E4M3 weights with a scale per channel, decoded where they are packed: arithmetic is that of a bf16 plan where
                                 * there is a unit for it, else f32 */
    SWG_QUANTISE_FP8_BOTH,      /* and E4M3 activations, a scale per row or sample: emulated in f32, to see what it costs in accuracy */
} swg_quantise;

typedef struct swg_plan_opts {
    const swg_value *outputs;   /* values that can be read after a run */
    int output_count;
    bool no_fusion;             /* keep one node per operation */
    bool no_layout;             /* keep every permute between channels-first and channels-last where it was asked for */
    bool separate_update;       /* Adam and AdamW in four passes over the span, not one: slower, and the gradients end scaled */
    bool frozen;                /* weights do not change between runs: pack them once, when opened or refreshed */
    bool bind_inputs;           /* inputs live in the caller's memory: swg_plan_bind before running */
    swg_plan_mode mode;
    const swg_tuning *tuning;   /* NULL: heuristics; else what was measured (tune.h). Same bits */
    bool bf16;                  /* activations in bf16, sums, weights and what is precise in f32 (training.md, section 3) */
    swg_quantise quantise;      /* of products with weights; SWG_QUANTISE_INT8 and _FP8_BOTH: not with bf16 */
    const char *keep_f32;       /* quantise: layers that stay as they are, patterns with commas between; NULL: none */
    const char *provider;       /* NULL or "swage": own kernels; "onednn": contractions by oneDNN where built in */
    swg_recompute recompute;
} swg_plan_opts;

typedef struct swg_memory {
    int64_t parameters_bytes, optimiser_bytes, gradients_bytes; /* spans of the weights */
    int64_t state_bytes;        /* running statistics */
    int64_t array_bytes;        /* arrays that never change */
    int64_t saved_bytes;        /* forward values that backward reads, at the peak */
    int64_t transient_bytes;    /* other values, at the peak */
    int64_t scratch_bytes;      /* packed panels, partial sums, per-thread panels, at the peak */
    int64_t io_bytes;           /* inputs and constants */
    int64_t arena_bytes;        /* the one allocation of the plan */
    int64_t bound_bytes;        /* lower bound: the largest sum of live bytes at any step */
    int64_t peak_bytes;         /* arena and spans */
    const char *peak_at;        /* the step at which most is live */
} swg_memory;

/* Rewrites, schedules and places. Does not keep g. Errors latched in g are returned here.
 * SWG_EINVAL: no outputs; or a budget below what is possible: the message says what is, and what dominates it. SWG_EUNSUPPORTED:
 * provider not built in. */
swg_status swg_plan_make(swg_graph *g, const swg_plan_opts *opts, swg_plan **out);
void swg_plan_destroy(swg_plan *plan);

swg_memory swg_plan_memory_of(const swg_plan *plan);
int64_t swg_plan_flops(const swg_plan *plan);                   /* 2 x multiply-adds of the contractions that run */
int swg_plan_steps(const swg_plan *plan);
int swg_plan_parallel_calls(const swg_plan *plan);              /* of an open plan: how often a run hands work to the threads and waits for them */
void swg_plan_print(const swg_plan *plan, FILE *file);          /* one line per step: what runs, fused how, where it lies, "again": recomputed */

void swg_plan_explain(const swg_plan *plan, FILE *file);        /* one line per thing that a pass or the planner did: what was folded, fused, moved */

/* What was recomputed: SWG_RECOMPUTE_OFF where the default did not pay, and for plans without gradients. */
swg_recompute_policy swg_plan_recompute_of(const swg_plan *plan);

/* Values kept for the backward pass when most is live, largest first. Returns how many were written. Names belong to the plan. */
typedef struct swg_saved_value { const char *scope, *op; int64_t bytes; } swg_saved_value;
int swg_plan_saved(const swg_plan *plan, swg_saved_value *out, int most);

/* What has memory of the arena when most is live, largest first: the value written there last. kind: "saved" (for the backward pass), "transient",
 * "scratch", "io". Returns how many were written. Names belong to the plan. */
typedef struct swg_live_value { const char *scope, *op, *kind; int64_t bytes; } swg_live_value;
int swg_plan_alive(const swg_plan *plan, swg_live_value *out, int most);

/* What opts->recompute saves against keeping everything, from two plans; nothing runs. */
typedef struct swg_memory_savings {
    int64_t without_checkpoint, with_checkpoint;            /* peak_bytes */
    double savings_gb, savings_percent;                     /* of the peak; GB: 10^9 bytes */
    double estimated_savings_mb, estimated_savings_percent; /* of the arena alone: activations, no parameters or moments */
    double extra_flops_percent;
    swg_recompute_policy policy;                            /* as of swg_plan_recompute_of */
} swg_memory_savings;
swg_status swg_estimate_memory_savings(swg_graph *g, const swg_plan_opts *opts, swg_memory_savings *out);

/* Allocates the arena and ties the plan to weights (NULL if the graph has no parameters). With a host, an open plan whose arena
 * is as large, the two take turns in one arena: running one ends the validity of the other's inputs and outputs.
 * The host must stay open as long. SWG_EINVAL: the weights are of another model or type, or the host does not fit. */
swg_status swg_plan_open(swg_plan *plan, swg_weights *weights, swg_plan *host);
/* Frozen plans: packs the weights again after they or states changed, and computes again what depends on nothing else, such as norms
 * folded into weights. Ends the validity of outputs. */
void swg_plan_refresh(swg_plan *plan);

/* Memory of an input (to be filled) or output (to be read) named by its value in the graph the plan was made from.
 * NULL for other values, and for an input that no output depends on. Inputs keep their values from run to run, outputs until
 * the next run. */
void *swg_plan_data(swg_plan *plan, swg_value v);
/* With bind_inputs: where input v is read from. */
swg_status swg_plan_bind(swg_plan *plan, swg_value v, const void *data);

/* One step. seed and step address the random streams. */
swg_status swg_plan_run(swg_plan *plan, uint64_t seed, uint32_t step);

/* Fills one row (SWG_HYPER_COUNT numbers) of the hyper input of swg_update, for Adam and AdamW in update number t = 1, 2, ...
 * b1_power and b2_power are running products beta^(t-1), updated to beta^t (start with 1). Rows of several groups take the same
 * powers each. grad_scale: 1 over the weight of all accumulated micro-batches together. */
typedef struct swg_adam_hyper { double lr, beta1, beta2, eps, weight_decay, clip_norm, grad_scale; } swg_adam_hyper;
void swg_hyper_adam(const swg_adam_hyper *hyper, double *b1_power, double *b2_power, swg_dtype dtype, void *out);

/* The same for SGD. */
typedef struct swg_sgd_hyper { double lr, momentum, weight_decay, clip_norm, grad_scale; } swg_sgd_hyper;
void swg_hyper_sgd(const swg_sgd_hyper *hyper, swg_dtype dtype, void *out);

/* After one of the two, with swg_update_opts.accumulate: which micro-batch of a group the next run is. The first one's gradients replace
 * the sum, later ones are added, each times `weight`; the last one's run also updates. Without it every run is first and last. */
void swg_hyper_micro(bool first, bool last, double weight, swg_dtype dtype, void *out);

#endif
