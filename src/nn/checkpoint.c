/* checkpoint.c - parts of a network whose inside is not kept for the backward pass, whatever a plan recomputes else.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"
#include "swage/recompute.h"

/* Words about single values do it: what enters is kept, what is made on the way is dropped. */
static swg_value segment(swg_graph *g, const swg_module *functions, int count, swg_value x) {
    if (!swg__check(g, "checkpoint_sequential", x))
        return SWG_NONE;
    const int64_t first = g->count;
    swg_remat_keep(g, x);
    swg_block_begin(g);
    for (int i = 0; i < count && g->status == SWG_OK; i++)
        x = functions[i].build(g, x, functions[i].arg);
    swg_block_end(g);
    if (g->status != SWG_OK || !swg__check(g, "checkpoint_sequential", x))
        return SWG_NONE;
    const swg_value leaves = swg__base_of(g, x);
    for (int64_t v = first; v < g->count; v++)
        if (swg__base_of(g, (swg_value)v) != leaves)
            swg_remat_drop(g, (swg_value)v);
    return x;
}

swg_value swg_checkpoint_sequential(swg_graph *g, const swg_module *functions, int count, int segments, swg_value input) {
    if (count < 1 || segments < 1)
        return swg__graph_fail(g, SWG_EINVAL, "checkpoint_sequential: %d functions in %d segments, expected 1 or more of both", count, segments);
    const int parts = segments < count ? segments : count, size = count / parts + (count % parts != 0);
    swg_value x = input;
    for (int i = 0; i < count; i += size)
        x = segment(g, functions + i, count - i < size ? count - i : size, x);
    return x;
}

static swg_value wrapped(swg_graph *g, swg_value x, void *arg) { return swg_checkpoint_sequential(g, arg, 1, 1, x); }

swg_module swg_gradient_checkpoint_wrapper(swg_module *module) { return (swg_module){.build = wrapped, .arg = module}; }
