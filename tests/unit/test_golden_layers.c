/* test_golden_layers.c - proves: values and gradients of activations, norms, pooling, resize and losses are those PyTorch computes
 * in f64 (tests/golden/layers.safetensors), in f64 to 1e-12 and in f32 to its rounding; every case of the file is tested.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "ir/ir.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { INPUTS = 5 };

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

/* Cases by pattern; the first that fits. f32: allowed error of an element b is f32 * (|b| + min(1, largest of the tensor)). */
static const struct { const char *pattern; swg_value (*build)(layer_case *); double f32; } rows[] = {
    {"leaky_relu", build_leaky_relu, 2e-7},
    {"elu", build_elu, 4e-7},
    {"gelu_tanh", build_gelu_tanh, 3e-6},
    {"hard_sigmoid", build_hard_sigmoid, 2e-7},
    {"hard_swish", build_hard_swish, 5e-7},
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

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype, double tolerance) {
    double floor = fmin(1, golden_largest(want));
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++) {
        double a = element(got, dtype, i), b = golden_at(want, i);
        if (!(fabs(a - b) <= tolerance * (fabs(b) + floor)))
            fail_msg("%s, %s, %s: element %lld is %.17g, expected %.17g (relative %.3g)", name, dtype == SWG_F64 ? "f64" : "f32", what,
                     (long long)i, a, b, fabs(a - b) / (fabs(b) + floor));
    }
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion) {
    static const char *const ins[INPUTS] = {"in0", "in1", "in2", "in3", "in4"};
    static const char *const grads[INPUTS] = {"grad0", "grad1", "grad2", "grad3", "grad4"};
    layer_case c = {.file = file, .name = name};
    const swg_tensor *w = golden_find(file, name, "w"), *want = golden_find(file, name, "out");
    swg_value asked[INPUTS], gradient[INPUTS], outputs[INPUTS + 1];
    int count = 0, row = row_of(name);
    assert_true(want && w);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &c.g));
    for (int i = 0; i < INPUTS && golden_find(file, name, ins[i]); i++) {
        c.in[i] = input_of(c.g, ins[i], golden_find(file, name, ins[i]));
        if (golden_find(file, name, grads[i]))
            asked[count++] = c.in[i];
    }
    swg_value weight = input_of(c.g, "w", w), out = rows[row].build(&c);
    assert_ok(ctx, swg_graph_status(c.g));
    out = swg_reshape(c.g, out, swg_ndim(c.g, weight), swg_shape(c.g, weight));
    swg_value loss = swg_sum(c.g, swg_mul(c.g, out, weight), 0);
    assert_true(count > 0);
    assert_ok(ctx, swg_gradients(c.g, loss, asked, count, gradient));
    outputs[0] = out;
    memcpy(outputs + 1, gradient, sizeof gradient);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < INPUTS && c.in[i]; i++)
        fill(swg_plan_data(plan, c.in[i]), dtype, golden_find(file, name, ins[i]));
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    double tolerance = dtype == SWG_F64 ? 1e-12 : rows[row].f32;
    compare(name, "value", want, swg_plan_data(plan, out), dtype, tolerance);
    for (int i = 0, k = 0; i < INPUTS && c.in[i]; i++)
        if (golden_find(file, name, grads[i]))
            compare(name, grads[i], golden_find(file, name, grads[i]), swg_plan_data(plan, gradient[k++]), dtype, tolerance);
    swg_plan_destroy(plan);
    swg_graph_destroy(c.g);
}

static void operations(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "layers.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    bool used[ROWS] = {false};
    assert_non_null(text);
    while (*text) {
        char name[64];
        size_t length = strcspn(text, ",");
        assert_true(length < sizeof name);
        memcpy(name, text, length);
        name[length] = 0;
        text += length + (text[length] == ',');
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
