/* test_explain.c - proves: every line of an explanation is true for a small graph whose rewriting can be counted by hand, a pass that is
 * switched off says nothing, and what is said agrees with the plan.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"
#include <math.h>
#include "swage/nn.h"
#include "testing.h"

/* The explanation of a plan; free it. */
static char *explain(swg_plan *plan) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    swg_plan_explain(plan, file);
    fclose(file);
    return text;
}

static char *explain_graph(swg_context *ctx, swg_graph *g, const swg_plan_opts *opts, swg_plan **plan) {
    assert_ok(ctx, swg_plan_make(g, opts, plan));
    return explain(*plan);
}

#define assert_line(text, line)                                    \
    do {                                                           \
        if (!strstr(text, line))                                   \
            fail_msg("\"%s\" is not in:\n%s", line, text);         \
    } while (0)

static int64_t count_steps(const swg_plan *plan, int op) {
    int64_t count = 0;
    for (int i = 0; i < plan->step_count; i++)
        count += !plan->steps[i].packs && plan->steps[i].call.node->op == op;
    return count;
}

/* relu(x W^T + b): one contraction takes both. sigmoid(h) * h * 2 + 1: a program of three, after the multiplication by a number has become a
 * scaling, and scaling and shift are two. tanh twice over the same value: one of them goes. x + expand(b): reads through the expand. */
static void folds_and_fuses(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){40, 6});
    swg_value h = swg_relu(g, swg_linear(g, x, 8, "fc"));
    swg_value product = swg_mul(g, swg_mul(g, swg_sigmoid(g, h), h), swg_constant(g, 2));
    swg_value twice = swg_max(g, swg_tanh(g, product), swg_square(g, swg_tanh(g, product)));
    swg_value same = swg_affine(g, twice, 1, 0);
    swg_value wide = swg_expand(g, swg_input(g, "b", 1, (int64_t[]){8}), 2, (int64_t[]){40, 8});
    const swg_value out[1] = {swg_add(g, same, wide)};
    swg_plan_opts opts = {.outputs = out, .output_count = 1};
    char *text = explain_graph(ctx, g, &opts, &plan);
    assert_line(text, "merge: 1 equal operations are one, 0 detached values read through\n");
    assert_line(text, "fold: 1 operations made simpler, 1 identities removed, 0 equal operations merged, 1 expands read through\n");
    assert_line(text, "fuse: linear + bias + relu (40, 8) fc\n");
    assert_line(text, "fuse: 1 contractions with bias, relu or gate; 2 programs of 7 operations\n"); /* tanh has two readers: its chain ends there */
    assert_line(text, "fuse: program sigmoid mul affine tanh (40, 8)\n");
    assert_line(text, "fuse: program square max add (40, 8)\n");
    assert_line(text, "layout: 0 of 0 permutes left\n");
    assert_line(text, "panels: 3 steps from linear on, 40 rows, 10 at a time\n");
    assert_int_equal(count_steps(plan, SWG__PROGRAM), 2);
    assert_int_equal(count_steps(plan, SWG__LINEAR), 1);
    char line[128];
    int buffers = 0;
    for (int i = 0; i < plan->buffer_count; i++)
        buffers += !plan->buffers[i].panel && plan->buffers[i].life.last >= 0;
    snprintf(line, sizeof line, "placement: %d buffers of %d steps in %lld bytes, no less than %lld live at", buffers, swg_plan_steps(plan),
             (long long)swg_plan_memory_of(plan).arena_bytes, (long long)swg_plan_memory_of(plan).bound_bytes);
    assert_line(text, line);
    assert_null(strstr(text, "norm:"));
    assert_null(strstr(text, "tune:"));
    assert_null(strstr(text, "replay:"));
    free(text);
    int fused = swg_plan_steps(plan);
    swg_plan_destroy(plan);

    opts.no_fusion = opts.no_layout = true;
    text = explain_graph(ctx, g, &opts, &plan);
    assert_null(strstr(text, "fuse:"));
    assert_null(strstr(text, "layout:"));
    assert_line(text, "fold: ");
    assert_true(swg_plan_steps(plan) > fused);
    free(text);
    swg_plan_destroy(plan);

    swg_tuning *tuning;
    assert_ok(ctx, swg_tuning_open(ctx, "/dev/null", &tuning));
    opts = (swg_plan_opts){.outputs = out, .output_count = 1, .tuning = tuning, .mode = SWG_PLAN_REDUCE_OVERHEAD};
    text = explain_graph(ctx, g, &opts, &plan);
    assert_line(text, "tune: 0 steps and groups");
    free(text);
    swg_weights *weights;
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    text = explain(plan); /* regions are known when the plan is open */
    assert_line(text, "replay: ");
    free(text);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_tuning_close(tuning);
    swg_graph_destroy(g);
}

/* Two convolutions in a channels-first network: each has a permute on either side, and all but the two at the edges go. */
static void moves_channels(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 3, 8, 8});
    swg_value h = swg_relu(g, swg_conv(g, x, 5, 3, NULL, "one"));
    const swg_value out[1] = {swg_conv(g, h, 4, 3, NULL, "two")};
    swg_plan_opts opts = {.outputs = out, .output_count = 1};
    char *text = explain_graph(ctx, g, &opts, &plan);
    assert_line(text, "layout: 2 of 4 permutes left\n");
    assert_line(text, "fuse: conv + bias + relu");
    assert_int_equal(count_steps(plan, SWG__PERMUTE), 2);
    free(text);
    swg_plan_destroy(plan);
    opts.no_layout = true;
    text = explain_graph(ctx, g, &opts, &plan);
    assert_int_equal(count_steps(plan, SWG__PERMUTE), 4);
    free(text);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* Convolutions of one tap with norm, activation and skip, then tokens with layer norm and a linear layer, for a batch of one: all are steps on
 * rows, in panels, and give what they give in the shapes they were written in. A 3-wide convolution keeps its bias. */
static void works_on_rows(void **state) {
    swg_context *ctx = *state;
    enum { C = 8, F = 6, T = 40, ROWS = F * T };
    swg_graph *g;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){1, C, F, T}), wide = swg_conv(g, x, C, 3, &(swg_conv_opts){.padding = {1, 1}}, "wide");
    swg_value y = swg_gelu(g, swg_batch_norm(g, swg_conv(g, wide, 2 * C, 1, NULL, "in"), "bn", NULL));
    y = swg_add(g, swg_conv(g, y, C, 1, NULL, "out"), wide);
    swg_value tokens = swg_reshape(g, swg_permute(g, y, (int[]){0, 2, 3, 1}), 3, (int64_t[]){F, T, C});
    tokens = swg_add(g, swg_linear(g, swg_layer_norm(g, tokens, 1, "ln", NULL), C, "fc"), tokens);
    const swg_value out[1] = {swg_permute(g, swg_reshape(g, tokens, 4, (int64_t[]){1, F, T, C}), (int[]){0, 3, 1, 2})};
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 5);
    float *results[2];
    for (int plain = 0; plain < 2; plain++) {
        swg_plan *plan;
        char *text = explain_graph(ctx, g, &(swg_plan_opts){.outputs = out, .output_count = 1, .frozen = true, .no_layout = plain}, &plan);
        if (plain) {
            assert_null(strstr(text, "rows:"));
            assert_int_equal(count_steps(plan, SWG__CONV), 3);
        } else {
            assert_line(text, "rows: ");
            assert_line(text, "fuse: conv + bias (1, 6, 40, 8) wide\n");
            assert_line(text, "fuse: linear + bias (240, 16) in\n");
            assert_line(text, "panels: 7 steps from linear on, 240 rows, 48 at a time\n"); /* in, gelu, out, add, norm, fc, add */
            assert_int_equal(count_steps(plan, SWG__CONV), 1);
            assert_int_equal(count_steps(plan, SWG__LINEAR), 3);
        }
        free(text);
        assert_ok(ctx, swg_plan_open(plan, weights, NULL));
        float *in = swg_plan_data(plan, x);
        for (int i = 0; i < C * ROWS; i++)
            in[i] = (float)(i * 7919 % 1000) / 500 - 1;
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        assert_non_null(results[plain] = malloc(C * ROWS * sizeof(float)));
        memcpy(results[plain], swg_plan_data(plan, out[0]), C * ROWS * sizeof(float));
        swg_plan_destroy(plan);
    }
    for (int i = 0; i < C * ROWS; i++)
        if (!(fabsf(results[0][i] - results[1][i]) <= 1e-5f))
            fail_msg("element %d: %.9g on rows, %.9g as written", i, (double)results[0][i], (double)results[1][i]);
    free(results[0]);
    free(results[1]);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* Two wide layers side by side, in use: each is finished before the next begins, so that what is wide never leaves its panel. In training it is kept. */
static void wide_values_stay_in_panels(void **state) {
    swg_context *ctx = *state;
    enum { ROWS = 16384, C = 16 };
    for (int training = 0; training < 2; training++) {
        swg_graph *g;
        swg_plan *plan;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = !training}, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){ROWS, C}), y[2];
        for (int i = 0; i < 2; i++) {
            swg_scope_push(g, i ? "b" : "a");
            swg_value h = swg_linear(g, swg_layer_norm(g, x, 1, "norm", NULL), 4 * C, "fc1");
            y[i] = swg_add(g, swg_linear(g, swg_gelu(g, h), C, "fc2"), x);
            swg_scope_pop(g);
        }
        swg_value out = swg_mul(g, y[0], y[1]);
        if (training)
            out = swg_adam(g, swg_mean(g, out, 0), swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT}), NULL);
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &out, .output_count = 1, .frozen = !training, .recompute.policy = SWG_RECOMPUTE_OFF}, &plan));
        int panels = 0, all = 0;
        for (int i = 0; i < plan->step_count; i++) {
            const swg__step *s = &plan->steps[i];
            const swg__location *where = &plan->where[s->node];
            if (s->packs || s->call.node->op != SWG__LINEAR || s->call.node->shape[1] != 4 * C)
                continue;
            all++;
            panels += where->kind == SWG__IN_BUFFER && plan->buffers[where->buffer].panel;
        }
        assert_int_equal(all, 2);
        assert_int_equal(panels, training ? 0 : 2);
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
}

/* Inference with frozen weights: the norm's statistics are known, and its work goes into the convolution. */
static void moves_norms(void **state) {
    swg_context *ctx = *state;
    for (int fold = 0; fold < 2; fold++) {
        swg_graph *g;
        swg_plan *plan;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value x = swg_input(g, "x", 4, (int64_t[]){2, 3, 8, 8});
        const swg_value out[1] = {swg_relu(g, swg_batch_norm(g, swg_conv(g, x, 5, 3, NULL, "c"), "bn", NULL))};
        char *text = explain_graph(ctx, g, &(swg_plan_opts){.outputs = out, .output_count = 1, .frozen = true, .no_fusion = !fold}, &plan);
        if (fold)
            assert_line(text, "norm: 1 normalisations moved into the weights before them\n");
        else
            assert_null(strstr(text, "norm:"));
        assert_int_equal(count_steps(plan, SWG__NORM_APPLY), !fold);
        free(text);
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
}

/* Two layers, relu between: the input is cast, the first product is stored in bf16 and multiplied again, the result is f32. Its weights come f32
 * and are rounded where they are packed. Recomputation says how much is done again, and nothing where it is off. */
static void casts_and_recomputes(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){40, 6});
    const swg_value out = swg_linear(g, swg_relu(g, swg_linear(g, x, 8, "fc1")), 4, "fc2");
    swg_plan_opts opts = {.outputs = &out, .output_count = 1, .bf16 = true};
    char *text = explain_graph(ctx, g, &opts, &plan);
    assert_line(text, "cast: 4 values in bf16, 2 products of them, 1 casts\n"); /* x, its product, with bias, relu */
    assert_null(strstr(text, "remat:"));
    free(text);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);

    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value h = x = swg_input(g, "x", 2, (int64_t[]){40, 6});
    for (int i = 0; i < 4; i++)
        h = swg_tanh(g, swg_linear(g, h, 6, (char[]){(char)('a' + i), 0}));
    swg_value loss = swg_loss_mse(g, h, x), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    const swg_value norm = swg_adam(g, loss, hyper, NULL);
    opts = (swg_plan_opts){.outputs = &norm, .output_count = 1, .recompute = {.policy = SWG_RECOMPUTE_SEGMENTS, .segments = 2}};
    text = explain_graph(ctx, g, &opts, &plan);
    int64_t again = 0;
    for (int i = 0; i < plan->step_count; i++)
        again += !plan->steps[i].packs && plan->steps[i].call.node->clone;
    const char *line = strstr(text, "remat: ");
    assert_non_null(line);
    assert_true(again > 0 && strtoll(line + strlen("remat: "), NULL, 10) >= again); /* several may be one step */
    free(text);
    swg_plan_destroy(plan);
    opts.recompute.policy = SWG_RECOMPUTE_OFF;
    text = explain_graph(ctx, g, &opts, &plan);
    assert_null(strstr(text, "remat:"));
    free(text);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(casts_and_recomputes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(folds_and_fuses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(moves_channels, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(moves_norms, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(works_on_rows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(wide_values_stay_in_panels, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
