/* test_golden_layers.c - proves: values and gradients of activations, norms, pooling, resize and losses are those PyTorch computes
 * in f64 (tests/golden/layers.safetensors), in f64 to 1e-12 and in f32 to its rounding; every case of the file is tested.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "ir/ir.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { INPUTS = 21 }; /* at most, parameters among them */

typedef struct layer_case {
    const swg_safetensors *file;
    const char *name;
    swg_graph *g;
    swg_value in[INPUTS];
} layer_case;

static double number(const layer_case *c, const char *key) {
    char path[128];
    snprintf(path, sizeof path, "%s.%s", c->name, key);
    const char *text = swg_safetensors_note(c->file, path);
    if (!text)
        fail_msg("%s: attribute %s is missing", c->name, key);
    return strtod(text, NULL);
}

/* ---- how each case is written with our builders ---- */

#define BUILD(name) static swg_value build_##name(layer_case *c)
#define G c->g
#define A c->in[0]
#define B c->in[1]
BUILD(leaky_relu) { return swg_leaky_relu(G, A, number(c, "slope")); }
BUILD(elu) { return swg_elu(G, A, number(c, "alpha")); }
BUILD(gelu_tanh) { return swg_gelu_tanh(G, A); }
BUILD(hard_sigmoid) { return swg_hard_sigmoid(G, A); }
BUILD(hard_swish) { return swg_hard_swish(G, A); }

static swg_norm_opts norm_opts(const layer_case *c) {
    return (swg_norm_opts){.affine = SWG_AFFINE_ON, .channel_axis = strstr(c->name, "_last") ? -1 : 0};
}
BUILD(batch_norm) {
    swg_norm_opts opts = norm_opts(c);
    return swg_batch_norm(G, A, "norm", &opts);
}
BUILD(instance_norm) {
    swg_norm_opts opts = norm_opts(c);
    return swg_instance_norm(G, A, "norm", strstr(c->name, "plain") ? NULL : &opts);
}
BUILD(group_norm) {
    swg_norm_opts opts = norm_opts(c);
    return swg_group_norm(G, A, 3, "norm", &opts);
}
BUILD(layer_norm) { return swg_layer_norm(G, A, c->name[strlen("layer_norm_")] - '0', "norm", NULL); }

static bool is_last(const layer_case *c) { return strstr(c->name, "_last") != NULL; }

/* A list of numbers; at most six. */
static void list(const layer_case *c, const char *key, int64_t *out) {
    char path[128];
    snprintf(path, sizeof path, "%s.%s", c->name, key);
    const char *text = swg_safetensors_note(c->file, path);
    assert_non_null(text);
    for (char *end; *text; text = *end == ',' ? end + 1 : end)
        *out++ = strtoll(text, &end, 10);
}

static swg_pool_opts pool_opts(const layer_case *c) {
    swg_pool_opts opts = {.channels_last = is_last(c), .exclude_padding = strstr(c->name, "exclude") != NULL};
    list(c, "kernel", opts.kernel);
    list(c, "stride", opts.stride);
    list(c, "padding", opts.padding);
    return opts;
}
BUILD(max_pool) {
    swg_pool_opts opts = pool_opts(c);
    return swg_max_pool(G, A, &opts);
}
BUILD(avg_pool) {
    swg_pool_opts opts = pool_opts(c);
    return swg_avg_pool(G, A, &opts);
}
BUILD(adaptive) {
    int64_t extent[SWG_MAX_DIMS];
    list(c, "extent", extent);
    return strstr(c->name, "avg") ? swg_adaptive_avg_pool(G, A, extent, false) : swg_adaptive_max_pool(G, A, extent, false);
}
BUILD(resize) {
    int64_t extent[SWG_MAX_DIMS];
    list(c, "extent", extent);
    return swg_resize(G, A, extent, &(swg_resize_opts){.nearest = strstr(c->name, "nearest"), .align_corners = strstr(c->name, "corners"),
                                                        .channels_last = is_last(c)});
}
BUILD(roll) {
    int64_t shift[SWG_MAX_DIMS];
    list(c, "shift", shift);
    return swg_roll(G, A, shift);
}
BUILD(window_partition) {
    int64_t window[SWG_MAX_DIMS], shift[SWG_MAX_DIMS];
    list(c, "window", window);
    list(c, "shift", shift);
    return swg_window_partition(G, A, window, shift);
}

BUILD(bce_logits) { return swg_loss_bce_logits(G, A, B); }
BUILD(dice) { return swg_loss_dice(G, A, B, 0); }
BUILD(cross_entropy) {
    return swg_loss_cross_entropy(G, A, B, &(swg_cross_entropy_opts){.weight = c->in[2], .channel_axis = is_last(c) ? -1 : 0});
}
BUILD(ssim) { return swg_loss_ssim(G, A, B); }
BUILD(bam) { return swg_bam(G, A, NULL, "bam"); }
BUILD(eca) { return swg_eca(G, A, "eca"); }
BUILD(gdn) { return swg_gdn(G, A, "gdn", strstr(c->name, "inverse"), is_last(c) ? -1 : 0); }

/* Cases by pattern; the first that fits. f32: allowed error of an element b is f32 * (|b| + min(1, largest of the tensor)). */
static const struct { const char *pattern; swg_value (*build)(layer_case *); double f32; } rows[] = {
    {"leaky_relu", build_leaky_relu, 2e-7},
    {"elu", build_elu, 4e-7},
    {"gelu_tanh", build_gelu_tanh, 3e-6},
    {"hard_sigmoid", build_hard_sigmoid, 2e-7},
    {"hard_swish", build_hard_swish, 5e-7},
    {"max_pool*", build_max_pool, 2e-7},
    {"avg_pool*", build_avg_pool, 5e-7},
    {"adaptive*", build_adaptive, 5e-7},
    {"resize*", build_resize, 1e-6},
    {"roll", build_roll, 0},
    {"window_partition*", build_window_partition, 0},
    {"bce_logits", build_bce_logits, 1e-6},
    {"ce_*", build_cross_entropy, 2e-6},
    {"dice*", build_dice, 2e-6},
    {"gdn*", build_gdn, 3e-6},
    {"ssim*", build_ssim, 2e-4}, /* variances are differences of means: of flat images rounding over K2^2 = 9e-4 */
    {"bam_narrow", build_bam, 2e-4}, /* a norm behind one channel: what is left of the gradient of its weight */
    {"bam*", build_bam, 1e-5},
    {"eca*", build_eca, 1e-6},
    {"batch_norm_small", build_batch_norm, 5e-5}, /* gradients of some hundred, by cancellation */
    {"batch_norm*", build_batch_norm, 4e-6},
    {"instance_norm*", build_instance_norm, 4e-6},
    {"group_norm*", build_group_norm, 4e-6},
    {"layer_norm*", build_layer_norm, 4e-6},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static int row_of(const char *name) {
    for (int i = 0; i < ROWS; i++)
        if (swg__glob(rows[i].pattern, name))
            return i;
    return -1;
}

/* ---- running a case ---- */

static swg_value input_of(swg_graph *g, const char *name, const swg_tensor *t) {
    return t->ndim ? swg_input(g, name, t->ndim, t->shape) : swg_input(g, name, 1, (int64_t[]){1}); /* one number is (1) here */
}

/* Inputs of a case are in0, in1, ...; those of a layer after the first are its parameters, in order of creation. */
static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion) {
    char ins[INPUTS][12], grads[INPUTS][12];
    for (int i = 0; i < INPUTS; i++) {
        snprintf(ins[i], sizeof ins[i], "in%d", i);
        snprintf(grads[i], sizeof grads[i], "grad%d", i);
    }
    layer_case c = {.file = file, .name = name};
    const swg_tensor *w = golden_find(file, name, "w"), *want = golden_find(file, name, "out");
    swg_value asked[INPUTS], gradient[INPUTS], outputs[INPUTS + 1];
    int count = 0, row = row_of(name), param_count;
    assert_true(want && w);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &c.g));
    for (int i = 0; i < INPUTS && golden_find(file, name, ins[i]); i++)
        c.in[i] = input_of(c.g, ins[i], golden_find(file, name, ins[i]));
    swg_value weight = input_of(c.g, "w", w), out = rows[row].build(&c);
    const swg_value *params = swg_params_of(c.g, &param_count);
    for (int i = 0; i < param_count; i++)
        c.in[1 + i] = params[i];
    for (int i = 0; i < INPUTS && c.in[i]; i++)
        if (golden_find(file, name, grads[i]))
            asked[count++] = c.in[i];
    assert_ok(ctx, swg_graph_status(c.g));
    out = swg_reshape(c.g, out, swg_ndim(c.g, weight), swg_shape(c.g, weight));
    swg_value loss = swg_sum(c.g, swg_mul(c.g, out, weight), 0);
    assert_true(count > 0);
    assert_ok(ctx, swg_gradients(c.g, loss, asked, count, gradient));
    outputs[0] = out;
    memcpy(outputs + 1, gradient, sizeof gradient);
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_weights_create(c.g, false, &weights));
    swg_weights_init(weights, 0);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    for (int i = 0; i < INPUTS && c.in[i]; i++)
        fill(i > 0 && i <= param_count ? swg_weights_value(weights, i - 1) : swg_plan_data(plan, c.in[i]), dtype,
             golden_find(file, name, ins[i]));
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    double tolerance = dtype == SWG_F64 ? 1e-12 : rows[row].f32;
    golden_close(name, "value", want, swg_plan_data(plan, out), dtype, tolerance);
    for (int i = 0, k = 0; i < INPUTS && c.in[i]; i++)
        if (golden_find(file, name, grads[i]))
            golden_close(name, grads[i], golden_find(file, name, grads[i]), swg_plan_data(plan, gradient[k++]), dtype, tolerance);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(c.g);
}

/* Running statistics of three steps, then their use, with the weights of the training graph. */
static void running_statistics(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "layers.safetensors");
    const swg_tensor *xs = golden_get(file, "running.x"), *means = golden_get(file, "running.mean"), *vars = golden_get(file, "running.var"),
                     *want = golden_get(file, "running.eval");
    for (int dtype = 0; dtype < 2; dtype++) {
        double tolerance = dtype ? 1e-12 : 2e-6;
        swg_graph *g[2];
        swg_value x[2], y[2];
        swg_plan *plan[2];
        swg_weights *weights;
        for (int use = 0; use < 2; use++) {
            assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype ? SWG_F64 : SWG_F32, .inference = use}, &g[use]));
            x[use] = swg_input(g[use], "x", 3, xs->shape + 1);
            y[use] = swg_batch_norm(g[use], x[use], "bn", NULL);
            if (!use) {
                y[use] = swg_update_states(g[use], y[use]);
                assert_ok(ctx, swg_weights_create(g[use], false, &weights));
                swg_weights_init(weights, 0);
            }
            assert_ok(ctx, swg_plan_make(g[use], &(swg_plan_opts){.outputs = &y[use], .output_count = 1}, &plan[use]));
            assert_ok(ctx, swg_plan_open(plan[use], weights, NULL));
        }
        assert_int_equal(swg_weights_states(weights), 2);
        assert_string_equal(swg_weights_state_name(weights, 0), "bn.running_mean");
        assert_string_equal(swg_weights_state_name(weights, 1), "bn.running_var");
        int64_t n = swg_elements(g[0], x[0]);
        swg_dtype d = dtype ? SWG_F64 : SWG_F32;
        for (int step = 0; step < 3; step++) {
            for (int use = 0; use < 2; use++)
                for (int64_t i = 0; i < n; i++)
                    set_element(swg_plan_data(plan[use], x[use]), d, i, golden_at(xs, step * n + i));
            assert_ok(ctx, swg_plan_run(plan[0], 0, (uint32_t)step));
            for (int i = 0; i < 2; i++) {
                assert_close(element(swg_weights_state(weights, 0), d, i), golden_at(means, 2 * step + i), 0, tolerance);
                assert_close(element(swg_weights_state(weights, 1), d, i), golden_at(vars, 2 * step + i), 0, tolerance);
            }
        }
        assert_ok(ctx, swg_plan_run(plan[1], 0, 0));
        golden_close("running", "eval", want, swg_plan_data(plan[1], y[1]), d, tolerance);
        for (int use = 0; use < 2; use++) {
            swg_plan_destroy(plan[use]);
            swg_graph_destroy(g[use]);
        }
        swg_weights_destroy(weights);
    }
    swg_safetensors_close(file);
}

static void operations(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "layers.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    bool used[ROWS] = {false};
    for (char name[64]; golden_next(&text, name);) {
        if (row_of(name) < 0)
            fail_msg("case \"%s\" of the file is not tested", name);
        used[row_of(name)] = true;
        for (int kind = 0; kind < 4; kind++)
            check(ctx, file, name, kind & 1 ? SWG_F32 : SWG_F64, kind & 2);
    }
    for (int i = 0; i < ROWS; i++)
        if (!used[i])
            fail_msg("no case of the file is \"%s\"", rows[i].pattern);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operations, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(running_statistics, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
