/* test_remat.c - proves: recomputation changes no bit of weights, moments, statistics and logged values, under any policy and for blocks of any
 * form; running statistics move once; it saves what it says; any budget between the extremes is met, and one below is refused by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <time.h>
#include "plan/plan.h"
#include "swage/kan.h"
#include "swage/unet.h"

enum { STEPS = TESTING_SLOW ? 2 : 10, LOGGED = 3 };

/* A network: appends to g what it makes of x, may log values of its own. */
typedef swg_value (*network)(swg_graph *g, swg_value x, swg_value *logged);
typedef struct work { const char *name; network build; int ndim; int64_t shape[5]; } work;

static const swg_conv_opts same = {.padding = {1, 1, 1}};

static swg_value unet_of(swg_graph *g, swg_value x, swg_unet model) {
    model.levels = 3;
    memcpy(model.channels, (int64_t[]){8, 12, 16}, 3 * sizeof *model.channels);
    model.out = 2;
    return swg_unet_apply(g, x, &model);
}

static swg_value unet_batch(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return unet_of(g, x, (swg_unet){.norm = SWG_UNET_BATCH, .activation = SWG_ACT_RELU, .dropout = .2, .pool = true});
}

static swg_value unet_instance(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return unet_of(g, x, (swg_unet){.norm = SWG_UNET_INSTANCE, .activation = SWG_ACT_LEAKY_RELU, .residual = true});
}

static swg_value unet_plain(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return unet_of(g, x, (swg_unet){.norm = SWG_UNET_NO_NORM, .activation = SWG_ACT_SILU});
}

static swg_value transformer(swg_graph *g, swg_value x, swg_value *logged) {
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "block%d", i);
        swg_scope_push(g, name);
        swg_block_begin(g); /* around the block of the attention */
        swg_value a = swg_multihead_attention(g, swg_layer_norm(g, x, 1, "ln1", NULL), SWG_NONE, 4, NULL, "attention");
        x = swg_add(g, x, swg_drop_path(g, swg_dropout(g, a, .1, "drop1"), .1, "path"));
        swg_value h = swg_gelu(g, swg_linear(g, swg_layer_norm(g, x, 1, "ln2", NULL), 64, "fc1"));
        x = swg_add(g, x, swg_dropout(g, swg_linear(g, h, 16, "fc2"), .1, "drop2"));
        swg_block_end(g);
        swg_scope_pop(g);
        if (i == 1)
            *logged = swg_mean(g, swg_abs(g, x), 0);
    }
    return x;
}

/* Attention written as products: scores and probabilities are values. */
static swg_value products(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    for (int i = 0; i < 2; i++) {
        swg_scope_push(g, i ? "second" : "first");
        swg_value q = swg_linear(g, x, 16, "q"), k = swg_linear(g, x, 16, "k"), v = swg_linear(g, x, 16, "v");
        swg_value scores = swg_affine(g, swg_matmul(g, q, k, &(swg_matmul_opts){.trans_b = true}), .25, 0);
        swg_value shares = swg_dropout(g, swg_softmax(g, scores), .1, "drop");
        x = swg_add(g, x, swg_matmul(g, shares, v, NULL));
        swg_scope_pop(g);
    }
    return x;
}

/* A block with two results and a value that leaves it in the middle; the same weights used twice; a block in a block. */
static swg_value odd_blocks(swg_graph *g, swg_value x, swg_value *logged) {
    swg_block_begin(g);
    swg_value a = swg_tanh(g, swg_conv(g, x, 6, 3, &same, "a")), b = swg_sigmoid(g, swg_conv(g, a, 6, 3, &same, "b"));
    swg_value c = swg_mul(g, swg_batch_norm(g, swg_conv(g, b, 6, 3, &same, "c"), "bn", NULL), a);
    swg_block_end(g);
    *logged = swg_mean(g, c, 0);
    swg_value w = swg_param(g, "shared", 4, (int64_t[]){6, 6, 3, 3}, (swg_init){.bound = .2}), y = swg_add(g, b, c);
    for (int i = 0; i < 2; i++) {
        swg_block_begin(g);
        swg_value z = swg_elu(g, swg_convolution(g, y, w, SWG_NONE, &same), 1);
        swg_block_begin(g);
        z = swg_silu(g, swg_conv(g, z, 6, 3, &same, i ? "n1" : "n0"));
        swg_block_end(g);
        y = swg_add(g, y, swg_dropout(g, z, .3, i ? "d1" : "d0"));
        swg_block_end(g);
    }
    return swg_concat(g, (swg_value[]){y, a}, 2, 1);
}

/* Words about single values, right and pointless ones. */
static swg_value words(swg_graph *g, swg_value x, swg_value *logged) {
    swg_value a = swg_conv(g, x, 6, 3, &same, "a"), b = swg_relu(g, swg_batch_norm(g, a, "bn", NULL)), c = swg_conv(g, b, 6, 3, &same, "b");
    swg_value d = swg_relu(g, c), e = swg_conv(g, d, 6, 3, &same, "c");
    swg_remat_drop(g, a);
    swg_remat_keep(g, b);
    swg_remat_drop(g, d);
    swg_remat_drop(g, x);
    *logged = swg_mean(g, e, 0);
    swg_remat_drop(g, *logged);
    return swg_tanh(g, e);
}

/* Both networks with KAN layers, dropout in both; the second with residuals. */
static swg_value kan_of(swg_graph *g, swg_value x, bool published) {
    static const swg_kan_opts joint = {.intervals = 3, .order = 2}, apart = {.scaler = SWG_KAN_CHANNEL, .conv_then_silu = true};
    swg_kan_dae model = {.image = 2, .channels = {8, 6, 4, 4}, .dropout = .25, .no_bias = published, .eca = published, .residual = published};
    for (int i = 0; i < SWG_KAN_DAE_LAYERS; i++)
        model.kan[i] = published ? apart : joint;
    swg_value y;
    swg_kan_dae_apply(g, x, &model, NULL, &y, NULL);
    return y;
}
static swg_value kan_joint(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return kan_of(g, x, false);
}
static swg_value kan_apart(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return kan_of(g, x, true);
}

static const work works[] = {
    {"unet, batch norm", unet_batch, 4, {2, 2, 16, 16}},
    {"unet, residual", unet_instance, 5, {1, 2, 8, 8, 8}},
    {"unet, no norm", unet_plain, 3, {2, 2, 64}},
    {"transformer", transformer, 3, {2, 24, 16}},
    {"products", products, 3, {2, 24, 16}},
    {"odd blocks", odd_blocks, 4, {2, 3, 12, 12}},
    {"words", words, 4, {2, 3, 12, 12}},
    {"kan", kan_joint, 4, {3, 2, 8, 8}},
    {"kan, as published", kan_apart, 4, {3, 2, 8, 8}},
};
enum { WORKS = sizeof works / sizeof works[0] };

typedef struct job {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, hyper, outputs[LOGGED];
    int count;
} job;

static swg_status make(swg_context *ctx, const work *w, swg_dtype dtype, swg_recompute recompute, bool no_fusion, job *j) {
    bool bf16 = dtype == SWG_BF16; /* a graph of f32 whose activations lie in bf16 */
    dtype = bf16 ? SWG_F32 : dtype;
    *j = (job){0};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &j->g));
    swg_graph *g = j->g;
    j->x = swg_input(g, "x", w->ndim, w->shape);
    j->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value logged = SWG_NONE, y = w->build(g, j->x, &logged), loss = swg_mean(g, swg_square(g, swg_affine(g, y, 1, -.25)), 0);
    loss = swg_reshape(g, loss, 1, (int64_t[]){1});
    j->outputs[j->count++] = swg_adam(g, loss, j->hyper, &(swg_adam_opts){.clip = true});
    j->outputs[j->count++] = loss;
    if (logged)
        j->outputs[j->count++] = logged;
    return swg_plan_make(g, &(swg_plan_opts){.outputs = j->outputs, .output_count = j->count, .recompute = recompute, .no_fusion = no_fusion, .bf16 = bf16}, &j->plan);
}

static swg_status open_job(swg_context *ctx, const work *w, swg_dtype dtype, swg_recompute recompute, bool no_fusion, job *j) {
    SWG__TRY(make(ctx, w, dtype, recompute, no_fusion, j));
    SWG__TRY(swg_weights_create(j->g, true, &j->weights));
    swg_weights_init(j->weights, 7);
    return swg_plan_open(j->plan, j->weights, NULL);
}

static void close_job(job *j) {
    swg_plan_destroy(j->plan);
    swg_weights_destroy(j->weights);
    swg_graph_destroy(j->g);
}

/* Everything a run leaves behind, after ten steps, and what it logged in each. */
static uint32_t bits_of(swg_context *ctx, job *j) {
    swg_dtype dtype = j->weights->dtype;
    size_t size = dtype == SWG_F64 ? 8 : 4, span = (size_t)j->weights->span * size;
    double b1 = 1, b2 = 1;
    uint32_t hash = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        for (int64_t i = 0; i < swg_elements(j->g, j->x); i++)
            swg__store(swg_plan_data(j->plan, j->x), dtype, i, (double)((i * 7919 + step * 104729) % 1000) / 500 - 1);
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-2, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2,
                       dtype, swg_plan_data(j->plan, j->hyper));
        assert_ok(ctx, swg_plan_run(j->plan, 3, step));
        for (int i = 0; i < j->count; i++)
            hash = swg__crc32c(hash, swg_plan_data(j->plan, j->outputs[i]), size);
    }
    hash = swg__crc32c(hash, j->weights->value, span);
    hash = swg__crc32c(hash, j->weights->gradient, span);
    hash = swg__crc32c(hash, j->weights->moment1, span);
    hash = swg__crc32c(hash, j->weights->moment2, span);
    return swg__crc32c(hash, j->weights->state, (size_t)j->weights->state_span * size);
}

static const struct { const char *name; swg_recompute recompute; } policies[] = {
    {"off", {.policy = SWG_RECOMPUTE_OFF}},
    {"default", {.policy = SWG_RECOMPUTE_DEFAULT}},
    {"free", {.policy = SWG_RECOMPUTE_FREE}},
    {"attention", {.policy = SWG_RECOMPUTE_ATTENTION}},
    {"kan", {.policy = SWG_RECOMPUTE_KAN}},
    {"blocks", {.policy = SWG_RECOMPUTE_BLOCKS}},
    {"segments:3", {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 3}},
    {"segments:auto", {.policy = SWG_RECOMPUTE_SEGMENTS, .skip_last = true}},
    {"segments:1", {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 1}},
};
enum { POLICIES = sizeof policies / sizeof policies[0] };

static void bits_are_the_same(void **state) {
    swg_context *ctx = *state;
    bool changed[POLICIES] = {false};
    for (int w = 0; w < WORKS; w++)
        for (int form = 0; form < 4; form++) { /* f32, f32 without fusion, f64, bf16 */
            uint32_t want = 0;
            int steps = 0;
            for (int p = 0; p < POLICIES; p++) {
                job j;
                assert_ok(ctx, open_job(ctx, &works[w], form == 3 ? SWG_BF16 : form == 2 ? SWG_F64 : SWG_F32, policies[p].recompute, form == 1, &j));
                uint32_t bits = bits_of(ctx, &j);
                want = p ? want : bits;
                steps = p ? steps : swg_plan_steps(j.plan);
                if (bits != want)
                    fail_msg("%s, form %d: other bits with %s", works[w].name, form, policies[p].name);
                changed[p] = changed[p] || swg_plan_steps(j.plan) > steps;
                close_job(&j);
            }
        }
    for (int p = 2; p < POLICIES; p++)
        if (!changed[p])
            fail_msg("%s recomputes nothing", policies[p].name);
}

/* ---- what it saves ---- */

static swg_value volume(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return swg_unet_apply(g, x, &(swg_unet){.levels = 4, .channels = {8, 16, 32, 64}, .out = 1, .norm = SWG_UNET_BATCH, .activation = SWG_ACT_RELU});
}

static const work large = {"a volume", volume, 5, {1, 1, 64, 64, 64}}; /* planned, not run */
static const work small = {"a small volume", volume, 5, {1, 1, 16, 16, 16}};

static swg_memory memory_of(swg_context *ctx, const work *w, swg_recompute recompute, int64_t *flops) {
    job j;
    assert_ok(ctx, make(ctx, w, SWG_F32, recompute, false, &j));
    swg_memory memory = swg_plan_memory_of(j.plan);
    *flops = swg_plan_flops(j.plan);
    close_job(&j);
    return memory;
}

static void policies_save(void **state) {
    swg_context *ctx = *state;
    int64_t flops[3];
    swg_memory off = memory_of(ctx, &large, (swg_recompute){.policy = SWG_RECOMPUTE_OFF}, &flops[0]);
    swg_memory usual = memory_of(ctx, &large, (swg_recompute){0}, &flops[1]);
    swg_memory blocks = memory_of(ctx, &large, (swg_recompute){.policy = SWG_RECOMPUTE_BLOCKS}, &flops[2]);
    assert_true((double)usual.peak_bytes < .65 * (double)off.peak_bytes);
    assert_int_equal(flops[0], flops[1]); /* what is dropped by default costs no product */
    assert_true((double)blocks.peak_bytes < .95 * (double)usual.peak_bytes);
    assert_true(flops[2] > flops[1] && (double)flops[2] <= 1.34 * (double)flops[1]);
}

/* A network whose parameters dominate is left alone. */
static swg_value narrow(swg_graph *g, swg_value x, swg_value *logged) {
    (void)logged;
    return swg_linear(g, swg_gelu(g, swg_linear(g, x, 512, "fc1")), 125, "fc2");
}

static void default_leaves_alone(void **state) {
    static const work mlp = {"mlp", narrow, 2, {16, 125}};
    job j;
    assert_ok(*state, make(*state, &mlp, SWG_F32, (swg_recompute){0}, false, &j));
    assert_int_equal(j.plan->policy, SWG_RECOMPUTE_OFF);
    for (int i = 0; i < j.plan->step_count; i++)
        assert_false(j.plan->steps[i].call.node->clone);
    close_job(&j);
    assert_ok(*state, make(*state, &large, SWG_F32, (swg_recompute){0}, false, &j));
    assert_int_equal(j.plan->policy, SWG_RECOMPUTE_ATTENTION);
    close_job(&j);
}

/* What writes something, and what reduces, stands in a plan as often as in the graph. */
static void effects_are_not_cloned(void **state) {
    int want[3] = {0};
    for (int p = 0; p < POLICIES; p++) {
        int count[3] = {0};
        job j;
        assert_ok(*state, make(*state, &works[0], SWG_F32, policies[p].recompute, false, &j));
        for (int i = 0; i < j.plan->step_count; i++) {
            const swg__node *n = j.plan->steps[i].call.node;
            count[0] += n->op == SWG__ASSIGN && !j.plan->steps[i].packs;
            count[1] += n->op == SWG__UPDATE;
            count[2] += n->op == SWG__NORM_STATS;
            assert_false(n->clone && (swg__ops[n->op].class == SWG__OPTIM || n->op == SWG__NORM_STATS || n->op == SWG__SUM));
        }
        for (int k = 0; k < 3; k++) {
            want[k] = p ? want[k] : count[k];
            assert_int_equal(count[k], want[k]);
        }
        close_job(&j);
    }
    assert_int_equal(want[0], 20); /* mean and variance of ten norms */
}

/* After one step running_mean is 0.1 of the batch's mean, not 0.19. */
static void statistics_move_once(void **state) {
    swg_context *ctx = *state;
    float moved[2][64];
    for (int p = 0; p < 2; p++) {
        static const swg_recompute_policy kinds[2] = {SWG_RECOMPUTE_OFF, SWG_RECOMPUTE_BLOCKS};
        job j;
        assert_ok(ctx, open_job(ctx, &works[0], SWG_F32, (swg_recompute){.policy = kinds[p]}, false, &j));
        float *x = swg_plan_data(j.plan, j.x);
        for (int i = 0; i < 1024; i++)
            x[i] = (float)(i % 13);
        double b1 = 1, b2 = 1;
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-2, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2,
                       SWG_F32, swg_plan_data(j.plan, j.hyper));
        assert_ok(ctx, swg_plan_run(j.plan, 3, 0));
        memcpy(moved[p], j.weights->state, sizeof moved[p]);
        close_job(&j);
    }
    assert_true(moved[0][0] != 0);
    assert_memory_equal(moved[0], moved[1], sizeof moved[0]);
}

/* ---- budgets ---- */

static int64_t least_of(swg_context *ctx, const work *w) {
    job j;
    assert_int_equal(make(ctx, w, SWG_F32, (swg_recompute){.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = 1}, false, &j), SWG_EINVAL);
    close_job(&j);
    double mib = 0;
    const char *text = strstr(swg_context_message(ctx), "the least possible peak is ");
    assert_non_null(text);
    assert_int_equal(sscanf(text, "the least possible peak is %lf MiB, at", &mib), 1);
    assert_non_null(strstr(text, "saved"));
    return (int64_t)(mib * 1048576);
}

static void any_budget_is_met(void **state) {
    swg_context *ctx = *state;
    int64_t flops, most = memory_of(ctx, &large, (swg_recompute){0}, &flops).peak_bytes, least = least_of(ctx, &large) + (1 << 17), before = INT64_MAX;
    assert_true(least < most);
    for (int i = 0; i <= 7; i++) {
        job j;
        int64_t budget = most - (most - least) * i / 7;
        assert_ok(ctx, make(ctx, &large, SWG_F32, (swg_recompute){.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = budget}, false, &j));
        int64_t peak = swg_plan_memory_of(j.plan).peak_bytes;
        if (peak > budget)
            fail_msg("a budget of %lld became %lld", (long long)budget, (long long)peak);
        assert_true(i == 0 || swg_plan_flops(j.plan) >= flops);
        before = peak;
        close_job(&j);
    }
    assert_true(before < most);
}

static void budgets_keep_bits(void **state) {
    swg_context *ctx = *state;
    static const double shares[] = {1, .95, .9, .6};
    uint32_t want = 0;
    int64_t flops, usual = memory_of(ctx, &small, (swg_recompute){0}, &flops).peak_bytes, least = least_of(ctx, &small);
    for (int i = 0; i < 4; i++) {
        job j;
        swg_recompute recompute = {.policy = SWG_RECOMPUTE_BUDGET, .budget_share = shares[i]};
        if (shares[i] * (double)usual < (double)least + 1e5) { /* the deepest there is */
            recompute.budget_share = 0;
            recompute.budget_bytes = least + (1 << 17);
        }
        assert_ok(ctx, open_job(ctx, &small, SWG_F32, recompute, false, &j));
        uint32_t bits = bits_of(ctx, &j);
        want = i ? want : bits;
        assert_int_equal(bits, want);
        close_job(&j);
    }
}

static void search_is_fast_and_repeatable(void **state) {
    swg_context *ctx = *state;
    struct timespec begin, end;
    int steps[2];
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (int i = 0; i < 2; i++) {
        job j;
        assert_ok(ctx, make(ctx, &large, SWG_F32, (swg_recompute){.policy = SWG_RECOMPUTE_BUDGET, .budget_share = .9}, false, &j));
        steps[i] = swg_plan_steps(j.plan);
        close_job(&j);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    assert_int_equal(steps[0], steps[1]);
#if !defined(SWG_SANITISED) && defined(__OPTIMIZE__)
    assert_true((double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9 < 2);
#endif
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_recompute recompute; const char *says; } cases[] = {
        {{.policy = (swg_recompute_policy)99}, "policy 99 is unknown"},
        {{.policy = SWG_RECOMPUTE_SEGMENTS, .segments = -1}, "in -1 segments, expected 1 or more"},
        {{.policy = SWG_RECOMPUTE_BUDGET}, "a budget of 0 bytes or a share of 0"},
        {{.policy = SWG_RECOMPUTE_BUDGET, .budget_share = 1.5}, "a share of 1.5, expected"},
        {{.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = 1000}, "a budget of 0.0 MiB cannot be met"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        job j;
        assert_int_equal(make(ctx, &works[0], SWG_F32, cases[i].recompute, false, &j), SWG_EINVAL);
        assert_null(j.plan);
        if (!strstr(swg_context_message(ctx), cases[i].says))
            fail_msg("case %zu says: %s", i, swg_context_message(ctx));
        close_job(&j);
    }
}

/* ---- words and numbers ---- */

static void policies_are_read(void **state) {
    static const struct { const char *text; swg_recompute want; } good[] = {
        {"none", {0}}, {"False", {0}}, {"default", {0}}, {"off", {.policy = SWG_RECOMPUTE_OFF}}, {"free", {.policy = SWG_RECOMPUTE_FREE}},
        {"attention", {.policy = SWG_RECOMPUTE_ATTENTION}}, {"true", {.policy = SWG_RECOMPUTE_BLOCKS}}, {"blocks", {.policy = SWG_RECOMPUTE_BLOCKS}},
        {"kan", {.policy = SWG_RECOMPUTE_KAN}}, {"checkpoint_blocks", {.policy = SWG_RECOMPUTE_BLOCKS}}, {"segments:4", {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 4}},
        {"segments", {.policy = SWG_RECOMPUTE_SEGMENTS}}, {"segments:auto", {.policy = SWG_RECOMPUTE_SEGMENTS}},
        {"budget:2GiB", {.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = (int64_t)2 << 30}},
        {"budget:1.5 MiB", {.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = 3 << 19}},
        {"budget:500MB", {.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = 500000000}},
        {"budget:123", {.policy = SWG_RECOMPUTE_BUDGET, .budget_bytes = 123}}, {"budget:60%", {.policy = SWG_RECOMPUTE_BUDGET, .budget_share = .6}},
    };
    static const struct { const char *text, *says; } bad[] = {
        {"block", "did you mean blocks"}, {"", "is unknown"}, {"segments:0", "a number from 1"}, {"segments:-2", "a number from 1"},
        {"segments:x", "a number from 1"}, {"budget", "expected bytes"}, {"budget:", "expected bytes"}, {"budget:2 GiBs", "expected bytes"},
        {"budget:-1GiB", "expected bytes"}, {"budget:120%", "expected bytes"}, {"budget:nan", "expected bytes"}, {"budget:1e9", "expected bytes"},
        {"budget:99999999999GiB", "expected bytes"}, {"free:1", "only segments and budget"}, {"budget:0", "expected bytes"}, {"budget:.", "expected bytes"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        swg_recompute got;
        assert_ok(*state, swg_recompute_read(*state, good[i].text, &got));
        assert_int_equal(got.policy, good[i].want.policy);
        assert_int_equal(got.segments, good[i].want.segments);
        assert_int_equal(got.budget_bytes, good[i].want.budget_bytes);
        assert_close(got.budget_share, good[i].want.budget_share, 1e-15, 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        swg_recompute got;
        if (swg_recompute_read(*state, bad[i].text, &got) != SWG_EUSAGE || !strstr(swg_context_message(*state), bad[i].says))
            fail_msg("\"%s\" says: %s", bad[i].text, swg_context_message(*state));
    }
    assert_string_equal(swg_recompute_name(SWG_RECOMPUTE_SEGMENTS), "segments");
}

static void savings_are_told(void **state) {
    swg_context *ctx = *state;
    job j;
    assert_ok(ctx, make(ctx, &large, SWG_F32, (swg_recompute){.policy = SWG_RECOMPUTE_BLOCKS}, false, &j));
    swg_memory_savings s;
    assert_ok(ctx, swg_estimate_memory_savings(j.g, &(swg_plan_opts){.outputs = j.outputs, .output_count = j.count,
                                                                     .recompute = {.policy = SWG_RECOMPUTE_BLOCKS}}, &s));
    int64_t flops;
    swg_memory off = memory_of(ctx, &large, (swg_recompute){.policy = SWG_RECOMPUTE_OFF}, &flops), on = swg_plan_memory_of(j.plan);
    assert_int_equal(s.with_checkpoint, on.peak_bytes);
    assert_int_equal(s.without_checkpoint, off.peak_bytes);
    assert_close(s.savings_percent, 100 * (1 - (double)on.peak_bytes / (double)off.peak_bytes), 1e-9, 0);
    assert_close(s.savings_gb, (double)(off.peak_bytes - on.peak_bytes) / 1e9, 1e-12, 0);
    assert_close(s.estimated_savings_mb, (double)(off.arena_bytes - on.arena_bytes) / 1e6, 1e-9, 0);
    assert_close(s.extra_flops_percent, 100 * ((double)swg_plan_flops(j.plan) / (double)flops - 1), 1e-9, 0);
    assert_int_equal(s.policy, SWG_RECOMPUTE_BLOCKS);
    swg_saved_value saved[3];
    int count = swg_plan_saved(j.plan, saved, 3);
    assert_int_equal(count, 3);
    for (int i = 0; i < count; i++) {
        assert_true(i == 0 || saved[i].bytes <= saved[i - 1].bytes);
        assert_true(saved[i].bytes > 0 && *saved[i].scope && *saved[i].op);
    }
    assert_int_equal(swg_plan_saved(j.plan, saved, 0), 0);
    close_job(&j);
}

static void out_of_memory(void **state) {
    (void)state;
    static const swg_recompute kinds[] = {{.policy = SWG_RECOMPUTE_BLOCKS}, {.policy = SWG_RECOMPUTE_BUDGET, .budget_share = .97}};
    for (int k = 0; k < 2; k++)
        for (int64_t n = 0;; n += 1 + n / 6) { /* the early ones are other tests' */
            testing_allocator memory = {.fail_at = n};
            swg_context *ctx;
            job j = {0};
            swg_status status = swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &memory}}, &ctx);
            if (status == SWG_OK) {
                status = make(ctx, &works[1], SWG_F32, kinds[k], false, &j);
                close_job(&j);
                assert_int_equal(swg_context_bytes(ctx), 0);
                swg_context_close(ctx);
            }
            assert_true(status == SWG_OK || status == SWG_ENOMEM);
            assert_int_equal(memory.live, 0);
            if (status == SWG_OK && memory.calls <= n)
                break;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bits_are_the_same, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(policies_save, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(default_leaves_alone, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(effects_are_not_cloned, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(statistics_move_once, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(any_budget_is_met, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(budgets_keep_bits, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(search_is_fast_and_repeatable, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(policies_are_read, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(savings_are_told, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
