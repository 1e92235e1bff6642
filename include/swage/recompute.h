/* recompute.h - the published calls of gradient checkpointing. Here it is a choice that a plan makes (swg_recompute in plan.h) or that stands in the
 * graph; it acts where there are gradients, changes no bit of a result, and moves running statistics once.
 *
 *     swg_config_open(ctx, "tfswa/unet", NULL, &config);
 *     swg_enable_gradient_checkpointing(ctx, config, NULL, &saving);           a recipe that trains in less memory
 *     swg_train_estimate_memory_savings(ctx, config, 3, (int64_t[]){2, 1025, 259}, 1, &savings);   how much less; nothing runs
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_RECOMPUTE_H
#define SWAGE_RECOMPUTE_H

#include "swage/config.h"
#include "swage/plan.h"

typedef struct swg_checkpointing_opts {
    bool checkpoint_blocks;     /* gradient_checkpointing=blocks */
    bool checkpoint_attention;  /* without blocks: gradient_checkpointing=attention. With them it is included */
    bool inplace;
} swg_checkpointing_opts;

/* The recipe with recomputation switched on; with neither blocks nor attention it says what it said. opts NULL: blocks and attention, not in
 * place, as published. Not in place, *out is a copy to be closed and `model` is untouched; else *out is `model`. */
swg_status swg_enable_gradient_checkpointing(swg_context *ctx, swg_config *model, const swg_checkpointing_opts *opts, swg_config **out);

/* What appends nodes to a graph: a layer, a block, a network. */
typedef struct swg_module {
    swg_value (*build)(swg_graph *g, swg_value x, void *arg);
    void *arg;                  /* the caller's */
} swg_module;

/* functions[count - 1](... functions[0](input)) in segments of ceil(count / segments) functions. Under every policy of a plan the backward pass
 * keeps what enters a segment and computes its inside again, of the last one too. `segments` above count is count. Errors, latched in
 * the graph: SWG_EINVAL: segments or count below 1. */
swg_value swg_checkpoint_sequential(swg_graph *g, const swg_module *functions, int count, int segments, swg_value input);

/* A module that is one such segment. It borrows `module`. */
swg_module swg_gradient_checkpoint_wrapper(swg_module *module);

/* swg_estimate_memory_savings of a training step of `model` for samples of this shape (no batch axis; ndim 0: as configured), batch_size 0: 1. What is
 * compared with keeping everything is the recipe's gradient_checkpointing, and blocks where that is the default. Nothing runs, `model` is untouched. */
swg_status swg_train_estimate_memory_savings(swg_context *ctx, swg_config *model, int ndim, const int64_t *shape, int64_t batch_size, swg_memory_savings *out);

#endif
