/* test_tfswa_memory.c - proves: TFSWA-UNet's memory is known before it runs, at full size it trains in 24 GB and is used in 1.5, no N x N matrix is stored;
 * recomputation takes 40 % off for less than a quarter more work and changes no bit, in f32 or bf16; the published calls of checkpointing and
 * inference, under the names of the published tests.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "swage/inference.h"
#include "swage/recompute.h"
#include "swage/tfswa.h"
#include "swage/train.h"

/* A training step on one sample: masks times the mixture against a target. */
typedef struct job {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, target, hyper, mask, outputs[3];
} job;

static void build(swg_context *ctx, const swg_tfswa *m, int64_t f, int64_t t, job *j) {
    const int64_t shape[4] = {1, m->in, f, t};
    *j = (job){0};
    assert_ok(ctx, swg_graph_create(ctx, NULL, &j->g));
    j->x = swg_input(j->g, "x", 4, shape);
    j->target = swg_input(j->g, "target", 4, shape);
    j->hyper = swg_input(j->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    j->mask = swg_tfswa_net(j->g, m, j->x);
    swg_value loss = swg_loss_mae(j->g, swg_mul(j->g, j->mask, j->x), j->target);
    j->outputs[0] = swg_adam(j->g, loss, j->hyper, &(swg_adam_opts){.clip = true, .decoupled = true});
    j->outputs[1] = loss;
    j->outputs[2] = j->mask;
    assert_ok(ctx, swg_graph_status(j->g));
}

static void plan_job(swg_context *ctx, job *j, swg_recompute recompute, bool bf16) {
    swg_plan_destroy(j->plan);
    assert_ok(ctx, swg_plan_make(j->g, &(swg_plan_opts){.outputs = j->outputs, .output_count = 3, .recompute = recompute, .bf16 = bf16}, &j->plan));
}

static void open_job(swg_context *ctx, job *j) {
    assert_ok(ctx, swg_weights_create(j->g, true, &j->weights));
    swg_weights_init(j->weights, 5);
    assert_ok(ctx, swg_plan_open(j->plan, j->weights, NULL));
}

static void close_job(job *j) {
    swg_plan_destroy(j->plan);
    swg_weights_destroy(j->weights);
    swg_graph_destroy(j->g);
}

static void run(swg_context *ctx, job *j, uint32_t step, double *b1, double *b2) {
    float *x = swg_plan_data(j->plan, j->x), *target = swg_plan_data(j->plan, j->target);
    for (int64_t i = 0; i < swg_elements(j->g, j->x); i++) {
        x[i] = (float)((i * 7919 + step * 104729) % 1000) / 500 - 1;
        target[i] = x[i] * (i % 3 == 0 ? .9f : .2f);
    }
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-2, .clip_norm = 1, .grad_scale = 1}, b1, b2, SWG_F32,
                   swg_plan_data(j->plan, j->hyper));
    assert_ok(ctx, swg_plan_run(j->plan, 11, step));
}

/* ---- plans at full size; nothing runs ---- */

enum { F = 1025, T = 259, WIDTH = 32, RATIO = 4, WINDOW = 8 };
static const int64_t gib = (int64_t)1 << 30;

/* The hidden layer of the widest perceptron over padded windows: what a network that stores no scores must be able to hold. */
static int64_t largest_allowed(void) {
    const int64_t padded = ((F + WINDOW - 1) / WINDOW * WINDOW) * (int64_t)((T + WINDOW - 1) / WINDOW * WINDOW);
    return padded * WIDTH * RATIO * (int64_t)sizeof(float);
}

static int64_t largest_buffer(const swg_plan *plan) {
    int64_t largest = 0;
    for (int i = 0; i < plan->buffer_count; i++)
        largest = plan->buffers[i].life.bytes > largest ? plan->buffers[i].life.bytes : largest;
    return largest;
}

static void training_at_full_size(void **state) {
    swg_context *ctx = *state;
    enum { OFF, ATTENTION, SEGMENTS, BLOCKS, BUDGET, KINDS };
    static const swg_recompute kinds[KINDS] = {
        {.policy = SWG_RECOMPUTE_OFF}, {.policy = SWG_RECOMPUTE_ATTENTION}, {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 4}, {.policy = SWG_RECOMPUTE_BLOCKS},
        {.policy = SWG_RECOMPUTE_BUDGET, .budget_share = .6}};
    const swg_tfswa m = swg_tfswa_unet();
    double peak[KINDS], flops[KINDS];
    job j;
    build(ctx, &m, F, T, &j);
    for (int k = 0; k < KINDS; k++) {
        plan_job(ctx, &j, kinds[k], false);
        peak[k] = (double)swg_plan_memory_of(j.plan).peak_bytes;
        flops[k] = (double)swg_plan_flops(j.plan);
        assert_true(peak[k] < 24e9);
        assert_true(largest_buffer(j.plan) <= largest_allowed());
    }
    assert_true(largest_allowed() < (int64_t)F * F * T * 8 * (int64_t)sizeof(float) / 8); /* one head's scores along frequency alone are more */
    assert_true(peak[ATTENTION] < .75 * peak[OFF]); /* at no product more */
    assert_true(flops[ATTENTION] <= flops[OFF]);
    assert_true(peak[BUDGET] <= .6 * peak[ATTENTION] && peak[BUDGET] < .45 * peak[OFF] && flops[BUDGET] < 1.05 * flops[OFF]);
    assert_true(peak[SEGMENTS] < .6 * peak[ATTENTION] && flops[SEGMENTS] <= 1.25 * flops[OFF]);
    assert_true(peak[BLOCKS] < .2 * peak[ATTENTION] && flops[BLOCKS] <= 1.34 * flops[OFF]);
    close_job(&j);
}

static void inference_at_full_size(void **state) {
    swg_context *ctx = *state;
    swg_tfswa m = swg_tfswa_unet();
    int64_t peak[2];
    for (int naive = 0; naive < 2; naive++) {
        swg_graph *g;
        swg_plan *plan, *other;
        m.naive = naive;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value y = swg_tfswa_net(g, &m, swg_input(g, "x", 4, (int64_t[]){1, 2, F, T}));
        swg_plan_opts opts = {.outputs = &y, .output_count = 1, .frozen = true};
        assert_ok(ctx, swg_plan_make(g, &opts, &plan));
        opts.recompute.policy = SWG_RECOMPUTE_BLOCKS;
        assert_ok(ctx, swg_plan_make(g, &opts, &other));
        assert_int_equal(swg_plan_recompute_of(other), SWG_RECOMPUTE_OFF); /* there is no backward pass to save for */
        assert_int_equal(swg_plan_memory_of(other).peak_bytes, swg_plan_memory_of(plan).peak_bytes);
        assert_int_equal(swg_plan_steps(other), swg_plan_steps(plan));
        peak[naive] = swg_plan_memory_of(plan).peak_bytes;
        assert_int_equal(largest_buffer(plan) <= largest_allowed(), !naive);
        swg_plan_destroy(plan);
        swg_plan_destroy(other);
        swg_graph_destroy(g);
    }
    assert_true(peak[0] <= 1500000000);
    assert_true(peak[1] > (int64_t)F * F * T * 8 * 4); /* attention that stores its scores: what the check above must see */
    assert_true(peak[1] > 8 * gib);
}

/* ---- bits ---- */

static uint32_t bits_of(swg_context *ctx, job *j) {
    const size_t span = (size_t)j->weights->span * sizeof(float);
    double b1 = 1, b2 = 1;
    uint32_t hash = 0;
    for (uint32_t step = 0; step < 2; step++) {
        run(ctx, j, step, &b1, &b2);
        for (int i = 0; i < 2; i++)
            hash = swg__crc32c(hash, swg_plan_data(j->plan, j->outputs[i]), sizeof(float));
        hash = swg__crc32c(hash, j->weights->gradient, span);
    }
    hash = swg__crc32c(hash, j->weights->value, span);
    hash = swg__crc32c(hash, j->weights->moment2, span);
    return swg__crc32c(hash, j->weights->state, (size_t)j->weights->state_span * sizeof(float));
}

/* Gradients, weights and running statistics; a statistic that moved twice would differ. */
static void recomputed_steps_have_the_same_bits(void **state) {
    swg_context *ctx = *state;
    enum { KINDS = 6 };
    const swg_tfswa m = swg_tfswa_small();
    for (int bf16 = 0; bf16 < 2; bf16++) {
        swg_recompute kinds[KINDS] = {{.policy = SWG_RECOMPUTE_OFF},
                                      {.policy = SWG_RECOMPUTE_ATTENTION},
                                      {.policy = SWG_RECOMPUTE_BLOCKS},
                                      {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 2},
                                      {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 5},
                                      {.policy = SWG_RECOMPUTE_BUDGET}};
        int64_t peak[KINDS] = {0};
        uint32_t want = 0;
        int plain_steps = 0;
        for (int k = 0; k < KINDS; k++) {
            job j;
            build(ctx, &m, 35, 20, &j);
            kinds[5].budget_bytes = (peak[1] + peak[2]) / 2;
            plan_job(ctx, &j, kinds[k], bf16);
            peak[k] = swg_plan_memory_of(j.plan).peak_bytes;
            open_job(ctx, &j);
            uint32_t bits = bits_of(ctx, &j);
            if (k && bits != want)
                fail_msg("policy %d, %s: other bits", k, bf16 ? "bf16" : "f32");
            want = bits;
            plain_steps = k ? plain_steps : swg_plan_steps(j.plan);
            assert_true(k < 2 || swg_plan_steps(j.plan) > plain_steps);
            close_job(&j);
        }
        assert_true(peak[2] < peak[1] && peak[1] < peak[0] && peak[5] <= (peak[1] + peak[2]) / 2);
        job j; /* a search under a budget finds what the policy does */
        build(ctx, &m, 35, 20, &j);
        plan_job(ctx, &j, (swg_recompute){.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = peak[2]}, bf16);
        assert_true(swg_plan_memory_of(j.plan).peak_bytes <= peak[2]);
        close_job(&j);
    }
}

/* ---- the published tests ---- */

static void published_checkpoint_enable(void **state) {
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_small();
    double b1 = 1, b2 = 1;
    job j;
    build(ctx, &m, 128, 64, &j);
    plan_job(ctx, &j, (swg_recompute){.policy = SWG_RECOMPUTE_BLOCKS}, false);
    open_job(ctx, &j);
    run(ctx, &j, 0, &b1, &b2);
    assert_memory_equal(swg_shape(j.g, j.mask), ((int64_t[]){1, 2, 128, 64}), 4 * sizeof(int64_t));
    const float *y = swg_plan_data(j.plan, j.mask);
    for (int64_t i = 0; i < swg_elements(j.g, j.mask); i++)
        assert_true(y[i] > 0 && y[i] < 1);
    for (int i = 0; i < swg_weights_count(j.weights); i++) {
        const float *gradient = swg_weights_gradient(j.weights, i);
        int64_t count = 1;
        double sum = 0;
        for (int d = 0; d < swg_weights_ndim(j.weights, i); d++)
            count *= swg_weights_shape(j.weights, i)[d];
        for (int64_t k = 0; k < count; k++)
            sum += fabs((double)gradient[k]);
        if (!(sum > 0 && isfinite(sum)))
            fail_msg("%s: gradient %g", swg_weights_name(j.weights, i), sum);
    }
    close_job(&j);
}

/* The call on a recipe: a copy or the recipe itself, and what it then plans. */
static void checkpointing_of_a_recipe(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_checkpointing_opts opts; const char *want; } cases[] = {
        {{.checkpoint_blocks = true, .checkpoint_attention = true}, "blocks"}, {{.checkpoint_blocks = true}, "blocks"},
        {{.checkpoint_attention = true}, "attention"}, {{.checkpoint_blocks = false}, "segments:2"}};
    const char *const changes[] = {"gradient_checkpointing=segments:2"};
    swg_config *model, *other;
    assert_ok(ctx, swg_config_open(ctx, "tfswa/small", &(swg_config_opts){.overrides = changes, .override_count = 1}, &model));
    assert_ok(ctx, swg_train_set_input(ctx, model, 4, (int64_t[]){1, 2, 128, 64}));
    assert_true(swg_config_int(model, "data.n_fft") == 254 && swg_config_int(model, "data.batch_size") == 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(ctx, swg_enable_gradient_checkpointing(ctx, model, &cases[i].opts, &other));
        assert_true(other != model && swg_config_is(model, "gradient_checkpointing", "segments:2"));
        assert_string_equal(swg_config_string(other, "gradient_checkpointing"), cases[i].want);
        swg_config_close(other);
    }
    assert_ok(ctx, swg_config_set(model, "performance.gradient_checkpointing.enabled", "true", "test"));
    assert_ok(ctx, swg_enable_gradient_checkpointing(ctx, model, NULL, &other));
    swg_train_plan plan;
    assert_ok(ctx, swg_train_plan_of(ctx, other, 0, &plan));
    assert_int_equal(plan.policy, SWG_RECOMPUTE_BLOCKS);
    swg_config_close(other);
    const swg_checkpointing_opts inplace = {.checkpoint_attention = true, .inplace = true};
    assert_ok(ctx, swg_enable_gradient_checkpointing(ctx, model, &inplace, &other));
    assert_ptr_equal(other, model);
    assert_true(swg_config_is(model, "gradient_checkpointing", "attention"));
    swg_config_close(model);
}

enum { LAYERS = 5, CHANNELS = 12, ROWS = 24 };

static swg_value layer(swg_graph *g, swg_value x, void *arg) {
    int *calls = arg;
    char name[16];
    snprintf(name, sizeof name, "layer%d", (*calls)++);
    swg_scope_push(g, name);
    swg_value h = swg_gelu(g, swg_linear(g, x, 3 * CHANNELS, "in"));
    x = swg_add(g, x, swg_dropout(g, swg_tanh(g, swg_linear(g, h, CHANNELS, "out")), .2, "drop"));
    swg_scope_pop(g);
    return x;
}

static swg_value apply_layers(swg_graph *g, swg_value x, const swg_module *layers, int segments) {
    if (segments)
        return swg_checkpoint_sequential(g, layers, LAYERS, segments, x);
    for (int i = 0; i < LAYERS; i++)
        x = layers[i].build(g, x, layers[i].arg);
    return x;
}

/* Layers in a plan that keeps everything else; bits of result, loss and gradients, and how many of the five layers' first products are done again. */
static uint32_t sequential(swg_context *ctx, int segments, bool wrap, int *again) {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_module layers[LAYERS], inner[LAYERS];
    int calls = 0;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    for (int i = 0; i < LAYERS; i++) {
        inner[i] = (swg_module){layer, &calls};
        layers[i] = wrap ? swg_gradient_checkpoint_wrapper(&inner[i]) : inner[i];
    }
    swg_value x = swg_input(g, "x", 2, (int64_t[]){ROWS, CHANNELS}), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value y = apply_layers(g, swg_relu(g, x), layers, segments), loss = swg_mean(g, swg_square(g, y), 0);
    swg_value outputs[2] = {swg_adam(g, swg_reshape(g, loss, 1, (int64_t[]){1}), hyper, NULL), y};
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .recompute = {.policy = SWG_RECOMPUTE_OFF}}, &plan));
    *again = 0;
    for (int i = 0; i < plan->step_count; i++)
        *again += !plan->steps[i].packs && plan->steps[i].call.node->clone && swg__ops[plan->steps[i].call.node->op].class == SWG__CONTRACTION &&
                  plan->steps[i].call.node->shape[1] == 3 * CHANNELS;
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 3);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    for (int i = 0; i < ROWS * CHANNELS; i++)
        ((float *)swg_plan_data(plan, x))[i] = (float)(i * 37 % 101) / 50 - 1;
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-2, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2, SWG_F32, swg_plan_data(plan, hyper));
    assert_ok(ctx, swg_plan_run(plan, 1, 0));
    uint32_t hash = swg__crc32c(0, swg_plan_data(plan, y), ROWS * CHANNELS * sizeof(float));
    hash = swg__crc32c(hash, weights->gradient, (size_t)weights->span * sizeof(float));
    hash = swg__crc32c(hash, weights->value, (size_t)weights->span * sizeof(float));
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
    return hash;
}

static void published_sequential_with_two_segments(void **state) {
    swg_context *ctx = *state;
    int again;
    const uint32_t want = sequential(ctx, 0, false, &again);
    assert_int_equal(again, 0);
    for (int segments = 1; segments <= 100; segments += segments < LAYERS ? 1 : 95) { /* 5 in 2: of 3 and 2; 100 is 5. Dropout draws the same numbers */
        assert_int_equal(sequential(ctx, segments, false, &again), want);
        if (again != LAYERS)
            fail_msg("%d segments: %d of %d layers are computed again", segments, again, LAYERS);
    }
    assert_int_equal(sequential(ctx, 0, true, &again), want);
    assert_int_equal(again, LAYERS);
    for (int segments = -1; segments <= 0; segments++) {
        swg_graph *g;
        int calls = 0;
        const swg_module one = {layer, &calls};
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        assert_int_equal(swg_checkpoint_sequential(g, &one, 1, segments, swg_input(g, "x", 2, (int64_t[]){1, CHANNELS})), SWG_NONE);
        assert_int_equal(swg_graph_status(g), SWG_EINVAL);
        assert_non_null(strstr(swg_context_message(ctx), "expected 1 or more"));
        swg_graph_destroy(g);
    }
}

static void published_memory_estimate(void **state) {
    swg_context *ctx = *state;
    const swg_tfswa m = swg_tfswa_small();
    swg_memory_savings s;
    job j;
    build(ctx, &m, 128, 64, &j);
    assert_ok(ctx, swg_estimate_memory_savings(j.g, &(swg_plan_opts){.outputs = j.outputs, .output_count = 3, .recompute = {.policy = SWG_RECOMPUTE_BLOCKS}}, &s));
    assert_true(s.savings_percent > 0 && s.estimated_savings_percent > s.savings_percent && s.savings_gb > 0 && s.estimated_savings_mb > 0);
    assert_true(s.with_checkpoint < s.without_checkpoint);
    close_job(&j);

    swg_config *model;
    swg_memory_savings one, two, budget;
    assert_ok(ctx, swg_config_open(ctx, "tfswa/small", NULL, &model));
    assert_ok(ctx, swg_train_estimate_memory_savings(ctx, model, 3, (int64_t[]){2, 128, 64}, 0, &one));
    assert_ok(ctx, swg_train_estimate_memory_savings(ctx, model, 3, (int64_t[]){2, 128, 64}, 2, &two));
    assert_true(one.savings_percent > 0 && one.policy == SWG_RECOMPUTE_BLOCKS);
    assert_true(two.without_checkpoint > one.without_checkpoint && two.with_checkpoint > one.with_checkpoint);
    assert_ok(ctx, swg_config_set(model, "gradient_checkpointing", "budget:80%", "test"));
    assert_ok(ctx, swg_train_estimate_memory_savings(ctx, model, 3, (int64_t[]){2, 128, 64}, 2, &budget));
    assert_int_equal(budget.policy, SWG_RECOMPUTE_BUDGET);
    assert_int_equal(budget.without_checkpoint, two.without_checkpoint);
    assert_int_equal(swg_train_estimate_memory_savings(ctx, model, 3, (int64_t[]){3, 128, 64}, 1, &budget), SWG_EUSAGE);
    assert_int_equal(swg_train_estimate_memory_savings(ctx, model, 3, (int64_t[]){2, 128, 2}, 1, &budget), SWG_EUSAGE);
    swg_config_close(model);
}

/* The small network in use: an inference graph, its weights with statistics that have moved. */
static swg_value in_use(swg_context *ctx, swg_graph **g, swg_weights **weights, swg_value *x) {
    const swg_tfswa m = swg_tfswa_small();
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, g));
    *x = swg_input(*g, "x", 4, (int64_t[]){1, 2, 128, 64});
    swg_value y = swg_tfswa_net(*g, &m, *x);
    assert_ok(ctx, swg_weights_create(*g, false, weights));
    swg_weights_init(*weights, 2);
    for (int i = 0; i < swg_weights_states(*weights); i++) {
        float *at = swg_weights_state(*weights, i);
        for (int64_t k = 0; k < swg_weights_state_shape(*weights, i)[0]; k++)
            at[k] += (float)((k * 31 + i) % 17) / 40;
    }
    return y;
}

static void fill(swg_plan *plan, swg_value x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        ((float *)swg_plan_data(plan, x))[i] = (float)(i * 7919 % 1000) / 500 - 1;
}

static void published_inference_mode(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *weights;
    swg_plan *plain, *fast, *none;
    swg_value x, y = in_use(ctx, &g, &weights, &x);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .no_fusion = true}, &plain));
    assert_ok(ctx, swg_plan_open(plain, weights, NULL));
    assert_ok(ctx, swg_optimise_for_inference(g, y, weights, &fast));
    assert_true(swg_plan_steps(fast) < swg_plan_steps(plain));
    swg_plan *plans[2] = {plain, fast};
    for (int i = 0; i < 2; i++) {
        fill(plans[i], x, swg_elements(g, x));
        assert_ok(ctx, swg_plan_run(plans[i], 0, 0));
    }
    const float *a = swg_plan_data(plain, y), *b = swg_plan_data(fast, y);
    for (int64_t i = 0; i < swg_elements(g, y); i++)
        assert_close((double)b[i], (double)a[i], 1e-5, 0);
    swg_plan_destroy(plain);
    swg_plan_destroy(fast);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);

    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    assert_int_equal(swg_optimise_for_inference(g, swg_input(g, "x", 1, (int64_t[]){1}), NULL, &none), SWG_EINVAL);
    assert_null(none);
    swg_graph_destroy(g);
}

static void published_benchmark_keys(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *weights;
    swg_plan *plan;
    swg_benchmark b;
    swg_value x, y = in_use(ctx, &g, &weights, &x);
    assert_ok(ctx, swg_optimise_for_inference(g, y, weights, &plan));
    fill(plan, x, swg_elements(g, x));
    assert_ok(ctx, swg_benchmark_model(plan, x, &(swg_benchmark_opts){.num_iterations = 3, .warmup_iterations = 1, .sample_rate = 44100, .hop = 512}, &b));
    assert_true(b.min_time_ms > 0 && b.min_time_ms <= b.p50_time_ms && b.p50_time_ms <= b.p95_time_ms + b.std_time_ms * 10 && b.p99_time_ms <= b.max_time_ms);
    assert_true(b.avg_time_ms >= b.min_time_ms && b.avg_time_ms <= b.max_time_ms && b.std_time_ms >= 0);
    assert_close(b.throughput_samples_per_sec, 1000 / b.avg_time_ms, 0, 1e-9);
    assert_close(b.real_time_factor, b.avg_time_ms * 1e-3 / (64 * 512 / 44100.), 0, 1e-9);
    assert_int_equal(b.num_iterations, 3);
    assert_int_equal(b.warmup_iterations, 1);
    assert_close(b.size_mb, (double)swg_graph_parameters(g) * 4 / 1048576, 1e-3, 0);
    assert_int_equal(b.peak_bytes, swg_plan_memory_of(plan).peak_bytes);
    assert_string_equal(b.device, "cpu");
    assert_string_equal(b.dtype, "f32");
    assert_string_equal(b.shape, "1x2x128x64");
    assert_int_equal(swg_benchmark_model(plan, y, NULL, &b), SWG_EINVAL);
    assert_int_equal(swg_benchmark_model(plan, x, &(swg_benchmark_opts){.num_iterations = -1}, &b), SWG_EINVAL);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void published_dynamic_int8(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *weights;
    swg_plan *plans[2];
    swg_value x, y = in_use(ctx, &g, &weights, &x);
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        const swg_plan_opts opts = {.outputs = &y, .output_count = 1, .frozen = true, .quantise = i ? SWG_QUANTISE_INT8 : SWG_QUANTISE_NONE};
        assert_ok(ctx, swg_plan_make(g, &opts, &plans[i]));
        assert_ok(ctx, swg_plan_open(plans[i], weights, NULL));
        fill(plans[i], x, swg_elements(g, x));
        assert_ok(ctx, swg_plan_run(plans[i], 0, 0));
    }
    assert_memory_equal(swg_shape(g, y), ((int64_t[]){1, 2, 128, 64}), 4 * sizeof(int64_t));
    const float *a = swg_plan_data(plans[0], y), *b = swg_plan_data(plans[1], y);
    for (int64_t i = 0; i < swg_elements(g, y); i++) {
        assert_true(b[i] >= 0 && b[i] <= 1);
        sum += fabs((double)a[i] - (double)b[i]);
    }
    const double mean = sum / (double)swg_elements(g, y);
    if (!(mean > 0 && mean < .05))
        fail_msg("8-bit codes change masks by %g in the mean", mean);
    swg_plan_destroy(plans[0]);
    swg_plan_destroy(plans[1]);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_at_full_size, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(inference_at_full_size, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recomputed_steps_have_the_same_bits, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_checkpoint_enable, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(checkpointing_of_a_recipe, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_sequential_with_two_segments, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_memory_estimate, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_inference_mode, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_benchmark_keys, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(published_dynamic_int8, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
