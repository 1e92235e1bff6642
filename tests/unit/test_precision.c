/* test_precision.c - proves: plans in bf16 keep in bf16 what the autocast list says and nothing else, with one cast of a value however
 * many read it; losses and gradients of parameters are f32; the loss of a training run stays within 2 % of the f32 one, for the
 * autoencoder and a small 3-D U-Net, and its bits do not depend on threads; the plan is smaller, and what it says is what it takes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include "plan/plan.h"
#include "swage/unet.h"

/* ---- which values are bf16 ---- */

static swg_plan *plan_of(swg_context *ctx, swg_graph *g, swg_value loss) {
    swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value outputs[2] = {loss, swg_adam(g, loss, hyper, NULL)};
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .no_fusion = true, .bf16 = true}, &plan));
    return plan;
}

static bool alive(const swg_plan *plan, swg_value v) {
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].node == v && !plan->steps[i].packs)
            return true;
    return false;
}

/* Every step with operation `op`: how many write bf16, how many f32. */
typedef struct tally { int narrow, wide; } tally;
static tally count(const swg_plan *plan, swg__op op) {
    tally t = {0};
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node;
        if (n->op != op || plan->steps[i].packs)
            continue;
        t.narrow += n->dtype == SWG_BF16;
        t.wide += n->dtype == SWG_F32;
    }
    return t;
}

/* What holds in every plan: one cast of a value to a type; contractions that are not precise read bf16, and parameters as they are; what
 * the update reads, sums and statistics are f32. */
static void check_rules(const swg_plan *plan) {
    const swg_graph *g = plan->g;
    for (swg_value v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        if (!alive(plan, v))
            continue;
        for (swg_value w = 1; n->op == SWG__CAST && w < v; w++)
            if (g->nodes[w].op == SWG__CAST && g->nodes[w].in[0] == n->in[0] && g->nodes[w].dtype == n->dtype)
                fail_msg("values %u and %u are the same cast", w, v);
        if (n->op == SWG__CAST && g->nodes[n->in[0]].dtype == n->dtype)
            fail_msg("cast %u changes nothing", v);
        if (swg__ops[n->op].class == SWG__CONTRACTION) {
            assert_int_equal(g->nodes[n->in[0]].dtype, n->precise ? SWG_F32 : SWG_BF16);
            assert_true(g->nodes[n->in[1]].op != SWG__CAST || g->nodes[g->nodes[n->in[1]].in[0]].op != SWG__PARAM);
        }
        if (n->op != SWG__CAST && (n->precise || swg__precisions[n->op] <= SWG__TO_F32))
            assert_int_not_equal(n->dtype, SWG_BF16);
        for (int j = 0; j < n->inputs && n->op == SWG__UPDATE; j++)
            assert_int_equal(g->nodes[n->in[j]].dtype, SWG_F32);
    }
}

static void close_graph(swg_plan *plan, swg_graph *g) {
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void of_a_perceptron(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){32, 20}), h = x;
    h = swg_gelu(g, swg_linear(g, h, 40, "fc1"));
    h = swg_gelu(g, swg_linear(g, h, 40, "fc2"));
    swg_plan *plan = plan_of(ctx, g, swg_loss_mse(g, swg_linear(g, h, 20, "fc3"), x));
    check_rules(plan);
    /* Forward: two layers write bf16, the last is read by the loss alone. Backward: two of data, three of weights. */
    tally products = count(plan, SWG__MATMUL), gelu = count(plan, SWG__GELU), casts = count(plan, SWG__CAST);
    assert_int_equal(products.narrow, 2 + 2);
    assert_int_equal(products.wide, 1 + 3);
    assert_int_equal(gelu.narrow, 2);
    assert_int_equal(gelu.wide, 0);
    assert_int_equal(casts.narrow, 2); /* of x, and of the gradient of y, which two products read */
    assert_int_equal(casts.wide, 0);
    assert_int_equal(count(plan, SWG__SQUARE).narrow, 0);
    close_graph(plan, g);
}

static void of_convolutions(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    const swg_conv_opts same = {.padding = {1, 1, 1}};
    swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 3, 6, 6, 6}), h = x;
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "conv%d", i);
        h = swg_conv(g, h, 8, 3, &same, name);
        snprintf(name, sizeof name, "bn%d", i);
        h = swg_relu(g, swg_batch_norm(g, h, name, NULL));
    }
    h = swg_max_pool(g, h, &(swg_pool_opts){.kernel = {2, 2, 2}});
    swg_value target = swg_input(g, "target", 5, (int64_t[]){2, 1, 3, 3, 3});
    swg_plan *plan = plan_of(ctx, g, swg_loss_mse(g, swg_conv(g, h, 1, 3, &same, "head"), target));
    check_rules(plan);
    /* Forward: conv0 and conv1 write bf16, the head f32. Backward: data of the head and of conv1 in bf16. */
    tally conv = count(plan, SWG__CONV), transposed = count(plan, SWG__CONV_TRANSPOSE), weights = count(plan, SWG__CONV_WEIGHTS);
    assert_int_equal(conv.narrow, 2);
    assert_int_equal(conv.wide, 1);
    assert_int_equal(transposed.narrow + transposed.wide, 2);
    assert_int_equal(weights.narrow, 0);
    assert_int_equal(weights.wide, 3);
    assert_int_equal(count(plan, SWG__NORM_APPLY).narrow, 2);
    assert_int_equal(count(plan, SWG__RELU).narrow, 2);
    assert_int_equal(count(plan, SWG__NORM_STATS).narrow, 0);
    assert_int_equal(count(plan, SWG__GATHER).narrow, 1);
    int statistics = 0; /* read bf16 as it is */
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node;
        statistics += n->op == SWG__NORM_STATS && plan->g->nodes[n->in[0]].dtype == SWG_BF16;
    }
    assert_int_equal(statistics, 2);
    close_graph(plan, g);
}

static void of_attention(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){24, 16});
    swg_value q = swg_linear(g, x, 16, "q"), k = swg_linear(g, x, 16, "k"), v = swg_linear(g, x, 16, "v");
    swg_value p = swg_softmax(g, swg_affine(g, swg_matmul(g, q, k, &(swg_matmul_opts){.trans_b = true}), .25, 0));
    swg_value y = swg_add(g, x, swg_linear(g, swg_matmul(g, p, v, NULL), 16, "out"));
    swg_plan *plan = plan_of(ctx, g, swg_loss_mse(g, y, x));
    check_rules(plan);
    assert_int_equal(count(plan, SWG__SOFTMAX).narrow, 0);
    int of_x = 0, of_p = 0; /* x goes into three products and their gradients, p into one and its gradient */
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node, *in = n->inputs ? &plan->g->nodes[n->in[0]] : n;
        of_x += n->op == SWG__CAST && in->op == SWG__INPUT;
        of_p += n->op == SWG__CAST && in->op == SWG__SOFTMAX;
    }
    assert_int_equal(of_x, 1);
    assert_int_equal(of_p, 1);
    close_graph(plan, g);
}

/* Norm, leaky ReLU and their gradients between two convolutions, fused: chains compute in f32 and round what they store, nothing else; all
 * of the forward chain is one step, because its gradient needs no value from within. */
static void inside_chains(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 3, 12, 12}), h = swg_conv(g, x, 8, 3, &(swg_conv_opts){.no_bias = true}, "c1");
    h = swg_leaky_relu(g, swg_instance_norm(g, h, "n1", &(swg_norm_opts){.affine = SWG_AFFINE_ON}), .01);
    swg_value loss = swg_mean(g, swg_square(g, swg_conv(g, h, 4, 3, NULL, "c2")), 0);
    swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT}), outputs[2] = {loss, swg_adam(g, loss, hyper, NULL)};
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .bf16 = true, .recompute.policy = SWG_RECOMPUTE_OFF}, &plan));
    int programs = 0, roundings = 0, alone = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node;
        bool whole = swg__shape_elements(n->ndim, n->shape) == 2 * 8 * 10 * 10;
        alone += whole && (n->op == SWG__LEAKY_RELU || n->op == SWG__NORM_APPLY);
        for (int j = 0; whole && n->op == SWG__PROGRAM && j < n->attr.program->length; j++)
            roundings += n->attr.program->code[j].op == SWG__NARROW;
        programs += whole && n->op == SWG__PROGRAM && n->dtype == SWG_BF16;
    }
    assert_int_equal(alone, 0);
    assert_int_equal(roundings, 0);
    assert_int_equal(programs, 3);  /* forward; the gradients of leaky ReLU and norm */
    close_graph(plan, g);
}

/* The one operation: q, k and v are bf16, as the projection wrote them; y, which its gradient reads, and the gradients are f32. */
static void of_heads(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 3, (int64_t[]){2, 12, 16}), y = swg_multihead_attention(g, x, SWG_NONE, 4, NULL, "attn");
    swg_plan *plan = plan_of(ctx, g, swg_loss_mse(g, y, x));
    check_rules(plan);
    int seen = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].call.node;
        for (int j = 0; j < n->inputs && swg__ops[n->op].class == SWG__ATTEND; j++, seen++)
            assert_int_equal(plan->g->nodes[n->in[j]].dtype, j < 3 ? SWG_BF16 : SWG_F32);
    }
    assert_int_equal(seen, 3 + 5);
    assert_int_equal(count(plan, SWG__ATTENTION).wide, 1);
    assert_int_equal(count(plan, SWG__CAST).wide, 0);
    close_graph(plan, g);
}

/* Layer norm, dropout, pooling and resize write bf16 as well as they read it: between two products nothing is f32. */
static void between_products(void **state) {
    swg_context *ctx = *state;
    for (int kind = 0; kind < 4; kind++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        bool flat = kind < 2;
        swg_value x = flat ? swg_input(g, "x", 2, (int64_t[]){70, 33}) : swg_input(g, "x", 4, (int64_t[]){2, 3, 8, 6}), y = SWG_NONE;
        swg_value h = flat ? swg_linear(g, x, 300, "a") : swg_conv(g, x, 5, 3, NULL, "a");
        switch (kind) {
        case 0: h = swg_layer_norm(g, h, 1, "ln", NULL); break;
        case 1: h = swg_dropout(g, h, .25, "drop"); break;
        case 2: h = swg_avg_pool(g, h, &(swg_pool_opts){.kernel = {3, 2}, .stride = {1, 1}}); break;
        default: h = swg_resize(g, h, (int64_t[]){9, 11}, NULL); break;
        }
        y = flat ? swg_linear(g, h, 10, "b") : swg_conv(g, h, 2, 3, NULL, "b");
        swg_value target = swg_input(g, "target", swg_ndim(g, y), swg_shape(g, y));
        swg_plan *plan = plan_of(ctx, g, swg_loss_mse(g, y, target));
        check_rules(plan);
        static const swg__op ops[4] = {SWG__LAYER_NORM, SWG__DROPOUT, SWG__RESAMPLE, SWG__RESAMPLE};
        tally t = count(plan, ops[kind]);
        assert_int_equal(t.narrow, kind == 0 ? 1 : 2); /* forward and backward */
        assert_int_equal(t.wide, 0);
        assert_int_equal(count(plan, SWG__LAYER_NORM_GRAD).narrow, kind == 0);
        assert_int_equal(count(plan, SWG__CAST).wide, 0);
        close_graph(plan, g);
    }
}

/* A value asked for in bf16 by its maker is bf16 in an f32 plan too, and what cannot read it gets a cast. */
static void as_written(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 1, (int64_t[]){5}), narrow = swg_cast(g, x, SWG_BF16);
    swg_value outputs[3] = {narrow, swg_affine(g, narrow, 1, 0), swg_sort(g, narrow, 0)};
    assert_int_equal(swg_cast(g, narrow, SWG_BF16), narrow);
    assert_int_equal(swg_value_dtype(g, narrow), SWG_BF16);
    assert_int_equal(swg_value_dtype(g, outputs[1]), SWG_F32);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 3}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    /* ties to even, down and up; beyond the largest; NaN; a sum that carries into the exponent */
    const float given[5] = {1.00390625f, 1.01171875f, 3.4e38f, NAN, 1.998f};
    const swg__bf16 want[5] = {0x3f80, 0x3f82, 0x7f80, 0x7fc0, 0x4000};
    memcpy(swg_plan_data(plan, x), given, sizeof given);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const swg__bf16 *got = swg_plan_data(plan, narrow), *sorted = swg_plan_data(plan, outputs[2]); /* elements moved keep their type */
    const float *wide = swg_plan_data(plan, outputs[1]);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(got[i], want[i]);
        assert_true(i == 3 ? isnan(wide[i]) : wide[i] == swg__f32_of_bf16(want[i]));
    }
    assert_true(sorted[0] == 0x3f80 && sorted[1] == 0x3f82 && sorted[2] == 0x4000 && sorted[3] == 0x7f80);
    close_graph(plan, g);

    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_cast(g, swg_input(g, "x", 1, (int64_t[]){5}), SWG_F64);
    assert_int_equal(swg_graph_status(g), SWG_EDTYPE);
    swg_graph_destroy(g);
}

/* ---- training ---- */

enum { EPOCHS = 30 };
typedef struct curve { double loss[EPOCHS], val[EPOCHS]; int64_t planned; } curve;

static void note_epoch(void *user, const swg_train_progress *p) {
    curve *c = user;
    c->planned = p->memory_bytes;
    if (p->epoch_end && p->epoch < EPOCHS) {
        c->loss[p->epoch] = p->loss;
        c->val[p->epoch] = p->val_loss;
    }
}

static void the_autoencoder_learns_as_in_f32(void **state) {
    swg_context *ctx = *state;
    static curve curves[2];
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    for (int i = 0; i < 2; i++) {
        const swg_train_hooks hooks = {.progress = note_epoch, .user = &curves[i]};
        assert_ok(ctx, train(ctx, s.folder, i ? "bf16" : "f32", scratch_path(&s, "a.h5"),
                             MORE("trainer.epochs=30", "model.hidden=[128]", "model.latent=8", i ? "trainer.precision=bf16-mixed" : "trainer.precision=32",
                                  "early_stopping.enabled=false"), &hooks, NULL));
        remove_tree(in_run(s.folder, i ? "bf16" : "f32", ""));
    }
    for (int e = 0; e < EPOCHS; e++) {
        assert_close(curves[1].loss[e], curves[0].loss[e], 0, .02); /* .4 % */
        assert_close(curves[1].val[e], curves[0].val[e], 0, .02);
    }
    assert_true(curves[0].loss[EPOCHS - 1] < .5 * curves[0].loss[0]);
    assert_true(curves[1].planned < curves[0].planned);
    scratch_close(&s, ctx, 1);
}

/* Volumes: a few waves each, to be told from their squares. */
static void fill_volume(float *x, float *target, int64_t edge, int number) {
    for (int64_t i = 0; i < edge * edge * edge; i++) {
        double u = (double)(i % edge) / (double)edge, v = (double)(i / edge % edge) / (double)edge, w = (double)(i / edge / edge) / (double)edge;
        double value = sin(6.28 * u + .7 * number) * cos(6.28 * v - .4 * number) + .5 * sin(12.57 * w + .3 * number);
        x[i] = (float)value;
        target[i] = value > .2 ? 1.f : 0.f;
    }
}

enum { STEPS = TESTING_SLOW ? 3 : 60, EDGE = 16, VOLUMES = 2 };

typedef struct unet_run { double loss[STEPS]; uint32_t weights; swg_memory memory; uint64_t measured; } unet_run;

static void train_unet(bool bf16, int threads, const char *isa, unet_run *out) {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = isa}, &ctx), SWG_OK);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    const int64_t shape[5] = {VOLUMES, 1, EDGE, EDGE, EDGE};
    swg_value x = swg_input(g, "x", 5, shape), t = swg_input(g, "t", 5, shape), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value y = swg_unet_apply(g, x, &(swg_unet){.levels = 3, .channels = {8, 16, 32}, .out = 1, .activation = SWG_ACT_LEAKY_RELU});
    swg_value loss = swg_loss_bce_logits(g, y, t), outputs[2] = {loss, swg_adam(g, loss, hyper, NULL)};
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .bf16 = bf16}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 5);
    out->memory = swg_plan_memory_of(plan);
    uint64_t before = swg_context_bytes(ctx);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    out->measured = swg_context_bytes(ctx) - before;
    double b1 = 1, b2 = 1;
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < VOLUMES; i++)
            fill_volume((float *)swg_plan_data(plan, x) + i * EDGE * EDGE * EDGE, (float *)swg_plan_data(plan, t) + i * EDGE * EDGE * EDGE, EDGE,
                        2 * step + i);
        swg_hyper_adam(&(swg_adam_hyper){.lr = 2e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, SWG_F32,
                       swg_plan_data(plan, hyper));
        assert_ok(ctx, swg_plan_run(plan, 3, (uint32_t)step));
        out->loss[step] = (double)*(float *)swg_plan_data(plan, loss);
    }
    out->weights = swg__crc32c(0, weights->value, (size_t)weights->span * sizeof(float));
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

static void a_unet_learns_as_in_f32(void **state) {
    (void)state;
    static unet_run wide, narrow, other;
    train_unet(false, 2, NULL, &wide);
    train_unet(true, 2, NULL, &narrow);
    for (int step = 0; step < STEPS; step++)
        assert_close(narrow.loss[step], wide.loss[step], 0, .02);
    assert_true(TESTING_SLOW || wide.loss[STEPS - 1] < .5 * wide.loss[0]);
    /* What is saved for the backward pass halves, and the arena, the weights' spans apart, is what was promised. */
    assert_true((double)narrow.memory.saved_bytes < .6 * (double)wide.memory.saved_bytes);
    assert_true((double)narrow.memory.arena_bytes < .7 * (double)wide.memory.arena_bytes);
    assert_close((double)narrow.measured, (double)narrow.memory.arena_bytes, 1 << 18, .02);
    for (int threads = TESTING_SLOW ? 4 : 1; threads <= 4; threads *= 2) {
        train_unet(true, threads, NULL, &other);
        assert_int_equal(other.weights, narrow.weights);
    }
    train_unet(true, 2, "scalar", &other); /* no unit for bf16: other rounding of sums, the same curve */
    for (int step = 0; step < STEPS; step++)
        assert_close(other.loss[step], wide.loss[step], 0, .02);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_a_perceptron, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(of_convolutions, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(of_attention, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(inside_chains, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(of_heads, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(between_products, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(as_written, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(the_autoencoder_learns_as_in_f32, testing_open, testing_close),
        cmocka_unit_test(a_unet_learns_as_in_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
