/* trial.c - steps of a recipe on its data or on numbers of the right shape.
 * In: a configuration. Out: a plan that is open, and batches for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/trial.h"
#include <string.h>
#include <time.h>
#include "philox.h"
#include "plan/profile.h"

enum { SYNTHETIC_BATCH = 256, SYNTHETIC_BATCHES = 8 };

/* In [-1, 1); the same everywhere. */
static float number_at(int64_t i) {
    uint32_t h = (uint32_t)i * 2654435761u + 12345u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (float)((h ^ h >> 12) >> 8) * 0x1p-23f - 1;
}

static swg_status fetch(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    (void)worker;
    const swg__trial *t = arg;
    const swg__run *r = &t->run;
    const int64_t *indices = t->order + ticket * r->recipe.batch;
    const int64_t values = r->recipe.family->sample_values(&r->recipe);
    for (int64_t i = 0; t->synthetic && i < r->recipe.batch; i++)
        memcpy((float *)out + i * values, t->values + indices[i] * values, (size_t)values * sizeof(float));
    const swg__draw draw = {.training = true, .seed = r->recipe.seed, .epochs = r->recipe.max_epochs};
    return t->synthetic ? SWG_OK : r->recipe.family->fetch(&r->data, &draw, indices, r->recipe.batch, out, message, capacity);
}

static swg_status make_synthetic(swg__trial *t) {
    swg__recipe *recipe = &t->run.recipe;
    recipe->batch = recipe->batch ? recipe->batch : SYNTHETIC_BATCH;
    const int64_t values = recipe->family->sample_values(recipe);
    int64_t bytes;
    t->samples = recipe->batch * SYNTHETIC_BATCHES;
    if (swg__mul_overflow(t->samples, values * (int64_t)sizeof(float), &bytes) ||
        !(t->values = swg__alloc(t->run.ctx, (size_t)bytes)))
        return swg__fail(t->run.ctx, SWG_ENOMEM, "out of memory: %d batches of %lld %s; a smaller data.batch_size fits", SYNTHETIC_BATCHES,
                         (long long)recipe->batch, recipe->family->samples);
    for (int64_t i = 0; i < t->samples * values; i++)
        t->values[i] = number_at(i);
    return SWG_OK;
}

static swg_status find_samples(swg__trial *t) {
    swg__run *r = &t->run;
    t->synthetic = !swg_config_has(r->config, "data.path");
    if (t->synthetic) {
        SWG__TRY(make_synthetic(t));
    } else {
        SWG__TRY(swg__run_data(r));
        t->samples = r->data.split->count[SWG_TRAIN];
        if (t->samples < 1)
            return swg__fail(r->ctx, SWG_EINVAL, "the training part is empty");
        SWG__TRY(swg__run_settle_batch(r, t->samples));
        if (r->recipe.batch > t->samples)
            return swg__fail(r->ctx, SWG_EUSAGE, "data.batch_size=%lld: the training part has %lld %s; choose a smaller one",
                             (long long)r->recipe.batch, (long long)t->samples, r->recipe.family->samples);
    }
    t->batches = t->samples / r->recipe.batch;
    t->order = swg__alloc(r->ctx, (size_t)t->samples * sizeof *t->order);
    if (!t->order)
        return swg__fail_memory(r->ctx, (size_t)t->samples * sizeof *t->order, "the order of an epoch");
    swg__shuffle(r->recipe.seed, 0, t->order, t->samples);
    for (int64_t i = 0; !t->synthetic && i < t->samples; i++)
        t->order[i] = r->data.split->indices[SWG_TRAIN][t->order[i]];
    return SWG_OK;
}

/* Encode and decode as swg_model runs them: weights packed once. */
static swg_status make_inference(swg__trial *t) {
    swg__run *r = &t->run;
    SWG__TRY(swg__step_graph_build(r->ctx, &r->recipe, r->recipe.batch, false, &r->val.graph));
    const swg_plan_opts opts = swg__recipe_plan_opts(&r->recipe, r->val.graph.out, r->val.graph.outputs, true);
    return swg__run_plan(r, r->val.graph.g, &opts, &r->val.plan);
}

swg_status swg__trial_open(swg_context *ctx, swg_config *config, bool inference, swg__trial *t) {
    *t = (swg__trial){.inference = inference, .b1 = 1, .b2 = 1};
    swg__run *r = &t->run;
    r->ctx = ctx;
    r->config = config;
    SWG__TRY(swg__recipe_read(ctx, config, &r->recipe));
    r->recipe.accumulate = 1;
    r->recipe.optimiser.update.accumulate = false;
    SWG__TRY(find_samples(t));
    SWG__TRY(swg__run_tuning(r));
    t->stage = inference ? &r->val : &r->train;
    SWG__TRY(inference ? make_inference(t) : swg__stage_make(r, t->stage, r->recipe.batch, true));
    swg_context_peak_rss_reset(ctx);
    SWG__TRY(swg_weights_create(t->stage->graph.g, !inference, &r->weights));
    swg_weights_init(r->weights, r->recipe.seed);
    SWG__TRY(swg__optimiser_group(ctx, &r->recipe.optimiser, r->weights));
    SWG__TRY(swg_plan_open(t->stage->plan, r->weights, NULL));
    const swg__loader_opts opts = {.workers = r->recipe.workers, .prefetch = r->recipe.prefetch, .fetch = fetch, .arg = t,
                                   .batch_bytes = swg__run_batch_bytes(&r->recipe, r->recipe.batch)};
    SWG__TRY(swg__loader_open(ctx, &opts, &r->loader));
    SWG__TRY(swg__run_stage_inputs(r, t->stage));
    swg__loader_begin(r->loader, 0, t->batches);
    return SWG_OK;
}

void swg__trial_close(swg__trial *t) {
    swg_context *ctx = t->run.ctx;
    swg__run_release(&t->run); /* ends the loader's threads, which read what is freed next */
    swg__free(ctx, t->order);
    swg__free(ctx, t->values);
    *t = (swg__trial){.given = 0};
}

swg_status swg__trial_step(swg__trial *t) {
    swg__run *r = &t->run;
    if (t->given == t->batches) {
        swg__loader_stop(r->loader);
        swg__loader_begin(r->loader, 0, t->batches);
        t->given = 0;
    }
    t->wait_begin_ns = swg__profile_now();
    SWG__TRY(swg__run_next(r, t->stage, r->recipe.batch));
    if (!t->inference)
        swg__run_control(r, t->stage, &(swg__draw){.training = true, .seed = r->recipe.seed, .epochs = r->recipe.max_epochs});
    t->wait_end_ns = swg__profile_now();
    t->given++;
    if (!t->inference) {
        const swg__optimiser *o = &r->recipe.optimiser;
        double momentum = o->update.kind == SWG_UPDATE_SGD ? o->momentum : o->adam.beta1;
        swg__optimiser_fill(o, r->recipe.schedule.lr, momentum, 1, &t->b1, &t->b2, SWG_F32, swg_plan_data(t->stage->plan, t->stage->graph.hyper));
    }
    return swg_plan_run(t->stage->plan, r->recipe.seed, (uint32_t)r->state.step++);
}

double swg__trial_loss(const swg__trial *t) { return (double)*(const float *)swg_plan_data(t->stage->plan, t->stage->graph.loss); }

int64_t swg__trial_planned_bytes(const swg__trial *t) {
    const swg__run *r = &t->run;
    const swg_memory memory = swg_plan_memory_of(t->stage->plan);
    int64_t weights = memory.state_bytes + memory.parameters_bytes; /* inference has no more */
    return memory.arena_bytes + memory.array_bytes + (t->inference ? weights : swg_weights_bytes(r->weights)) +
           swg__run_loader_bytes(&r->recipe, r->recipe.batch);
}
