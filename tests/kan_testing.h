/* kan_testing.h - a graph with its plan and weights, filled and read as f64, for the tests of Kolmogorov-Arnold layers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KAN_TESTING_H
#define SWAGE_KAN_TESTING_H

#include <math.h>
#include "golden.h"
#include "swage/nn.h"
#include "swage/plan.h"

typedef struct kan_rig {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    swg_dtype dtype;
} kan_rig;

static inline kan_rig kan_begin(swg_context *ctx, swg_dtype dtype) {
    kan_rig r = {.ctx = ctx, .dtype = dtype};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &r.g));
    return r;
}

/* Plans the outputs and starts the weights from seed 7. */
static inline void kan_open(kan_rig *r, const swg_value *outputs, int count) {
    assert_ok(r->ctx, swg_graph_status(r->g));
    assert_ok(r->ctx, swg_plan_make(r->g, &(swg_plan_opts){.outputs = outputs, .output_count = count}, &r->plan));
    assert_ok(r->ctx, swg_weights_create(r->g, false, &r->w));
    swg_weights_init(r->w, 7);
    assert_ok(r->ctx, swg_plan_open(r->plan, r->w, NULL));
}

static inline void kan_close(kan_rig *r) {
    swg_plan_destroy(r->plan);
    swg_weights_destroy(r->w);
    swg_graph_destroy(r->g);
}

static inline void kan_put(kan_rig *r, swg_value v, const double *x) {
    for (int64_t i = 0; i < swg_elements(r->g, v); i++)
        set_element(swg_plan_data(r->plan, v), r->dtype, i, x[i]);
}

static inline double kan_get(kan_rig *r, swg_value v, int64_t i) { return element(swg_plan_data(r->plan, v), r->dtype, i); }

static inline void kan_run(kan_rig *r) { assert_ok(r->ctx, swg_plan_run(r->plan, 0, 0)); }

/* Parameter or state by its name. */
static inline void *kan_weight(kan_rig *r, const char *name) {
    for (int i = 0; i < swg_weights_count(r->w); i++)
        if (strcmp(swg_weights_name(r->w, i), name) == 0)
            return swg_weights_value(r->w, i);
    for (int i = 0; i < swg_weights_states(r->w); i++)
        if (strcmp(swg_weights_state_name(r->w, i), name) == 0)
            return swg_weights_state(r->w, i);
    fail_msg("there is no weight \"%s\"", name);
    return NULL;
}

static inline void kan_set(kan_rig *r, const char *name, const double *from, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        set_element(kan_weight(r, name), r->dtype, i, from[i]);
}

/* Numbers in [low, high), the same on every machine. */
static inline void kan_numbers(double *x, int64_t n, double low, double high, uint32_t seed) {
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = low + (high - low) * (double)(seed >> 8) * 0x1p-24;
    }
}

#endif
