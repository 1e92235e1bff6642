/* apply.c - plans a network in use for one shape and runs it.
 * In: an opened model. Out: its outputs for batches of images.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/apply.h"
#include <string.h>
#include "train/recipe.h"

static int64_t product(const int64_t *extents, int count) {
    int64_t n = 1;
    for (int i = 0; i < count; i++)
        n *= extents[i];
    return n;
}

swg_status swg__apply_open(swg_model *model, int ndim, const int64_t *shape, int outputs, swg__apply *a) {
    const swg__recipe *r = swg__model_recipe(model);
    swg_graph *g;
    *a = (swg__apply){.ctx = swg__model_context(model), .outputs = outputs, .ndim = ndim};
    memcpy(a->shape, shape, (size_t)ndim * sizeof *shape);
    if (!r->family->apply)
        return swg__fail(a->ctx, SWG_EUNSUPPORTED, "%s: a network of family %s is not applied to images", swg_model_path(model), r->family->name);
    SWG__TRY(swg_graph_create(a->ctx, &(swg_graph_opts){.inference = true}, &g));
    a->in = swg_input(g, "x", ndim, shape);
    r->family->apply(r, g, a->in, a->out);
    swg_status status = swg_graph_status(g);
    for (int i = 0; i < outputs && status == SWG_OK; i++) {
        const int64_t *dims = swg_shape(g, a->out[i]);
        const int rest = swg_ndim(g, a->out[i]) - 1;
        memcpy(a->dims[i], dims + 1, (size_t)rest * sizeof *dims);
        a->values[i] = product(dims + 1, rest);
    }
    const swg_plan_opts opts = swg__recipe_plan_opts(r, a->out, outputs, true);
    if (status == SWG_OK)
        status = swg_plan_make(g, &opts, &a->plan);
    swg_graph_destroy(g);
    return status == SWG_OK ? swg_plan_open(a->plan, swg_model_weights(model), NULL) : status;
}

void swg__apply_close(swg__apply *a) {
    swg_plan_destroy(a->plan);
    a->plan = NULL;
}

swg_status swg__apply_run(swg__apply *a, int64_t count, const float *x) {
    const int64_t values = product(a->shape + 1, a->ndim - 1);
    float *in = swg_plan_data(a->plan, a->in);
    memcpy(in, x, (size_t)(count * values) * sizeof *in);
    memset(in + count * values, 0, (size_t)((a->shape[0] - count) * values) * sizeof *in);
    return swg_plan_run(a->plan, 0, 0);
}

const float *swg__apply_result(const swg__apply *a, int output) { return swg_plan_data(a->plan, a->out[output]); }

int64_t swg__apply_bytes(const swg__apply *a) {
    const swg_memory m = swg_plan_memory_of(a->plan);
    return m.arena_bytes + m.array_bytes + m.parameters_bytes + m.state_bytes;
}
