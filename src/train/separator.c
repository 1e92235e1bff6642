/* separator.c - a trained network of songs as a separator of segments: transform, network, masks and inverse transform planned as one graph.
 * In: an opened model of family tfswa. Out: samples of the stems.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "swage/separate.h"
#include "train/recipe.h"

static const double default_seconds = 10;
static const int64_t most_samples = (int64_t)1 << 30;

typedef struct network {
    swg_separator separator;
    swg_context *ctx;
    swg_plan *plan;
    swg_value in, out;
} network;

static swg_status separate(void *user, const float *mixture, float *stems) {
    network *n = user;
    const size_t bytes = (size_t)(n->separator.channels * n->separator.segment) * sizeof *mixture;
    memcpy(swg_plan_data(n->plan, n->in), mixture, bytes);
    SWG__TRY(swg_plan_run(n->plan, 0, 0));
    memcpy(stems, swg_plan_data(n->plan, n->out), (size_t)n->separator.stems * bytes);
    return SWG_OK;
}

static swg_status make(network *n, swg_model *model) {
    const swg__recipe *r = swg__model_recipe(model);
    swg_separator *s = &n->separator;
    swg_graph *g;
    SWG__TRY(swg_graph_create(n->ctx, &(swg_graph_opts){.inference = true}, &g));
    n->in = swg_input(g, "mixture", 3, (int64_t[]){1, s->channels, s->segment});
    n->out = swg__tfswa_stems(&r->tfswa, g, n->in);
    swg_status status = swg_graph_status(g);
    const swg_plan_opts opts = swg__recipe_plan_opts(r, &n->out, 1, true);
    if (status == SWG_OK)
        status = swg_plan_make(g, &opts, &n->plan);
    swg_graph_destroy(g);
    SWG__TRY(status);
    const swg_memory memory = swg_plan_memory_of(n->plan);
    const int64_t available = swg__available_bytes();
    s->planned_bytes = memory.arena_bytes + memory.array_bytes + memory.parameters_bytes + memory.state_bytes;
    if (available && s->planned_bytes > available)
        return swg__fail(n->ctx, SWG_ENOMEM, "segments of %.2f s need %.2f GiB by their plan, %.2f GiB are available; shorter ones take less",
                         (double)s->segment / (double)s->rate, (double)s->planned_bytes / 0x1p30, (double)available / 0x1p30);
    return swg_plan_open(n->plan, swg_model_weights(model), NULL);
}

swg_status swg_separator_open(swg_model *model, int64_t segment, swg_separator **out) {
    swg_context *ctx = swg__model_context(model);
    const swg__recipe *r = swg__model_recipe(model);
    const swg__recipe_tfswa *t = &r->tfswa;
    *out = NULL;
    if (r->family != &swg__family_tfswa)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: a network of family %s; those of family tfswa separate songs", swg_model_path(model), r->family->name);
    const int64_t least = t->hop * (((int64_t)1 << (t->network.stages - 1)) - 1);
    if (segment < 0 || segment > most_samples || (segment && segment < least))
        return swg__fail(ctx, SWG_ESHAPE, "%s: segments of %lld samples; the network takes %lld to %lld", swg_model_path(model), (long long)segment, (long long)least,
                         (long long)most_samples);
    network *n = swg__calloc(ctx, 1, sizeof *n);
    if (!n)
        return swg__fail_memory(ctx, sizeof *n, "a separator");
    n->ctx = ctx;
    n->separator = (swg_separator){.rate = t->rate, .channels = t->channels, .stems = t->stems, .separate = separate, .user = n,
                                   .segment = segment ? segment : (int64_t)(default_seconds * (double)t->rate)};
    if (n->separator.segment < least)
        n->separator.segment = least;
    for (int k = 0; k < t->stems; k++)
        n->separator.names[k] = t->stem[k];
    *out = &n->separator;
    swg_status status = make(n, model);
    if (status == SWG_OK)
        return SWG_OK;
    swg_separator_close(*out);
    *out = NULL;
    return status;
}

void swg_separator_close(swg_separator *separator) {
    if (!separator)
        return;
    network *n = separator->user;
    swg_plan_destroy(n->plan);
    swg__free(n->ctx, n);
}
