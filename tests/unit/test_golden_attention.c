/* test_golden_attention.c - proves: attention and the multi-head layer have the values and gradients that PyTorch computes in f64
 * (tests/golden/attention.safetensors), in f64 to 1e-12 and in f32 to its rounding, and its parameters' names and shapes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { MOST = 8 };

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : 2e-6);
}

/* Value `y` of case `name` with inputs (or parameters) `in`: builds gradients, runs, compares. */
static void check(swg_context *ctx, swg_graph *g, const swg_safetensors *file, const char *name, swg_value y, const swg_value *in,
                  const char *const *keys, int count, bool no_fusion) {
    swg_dtype dtype = swg_value_dtype(g, y);
    swg_value outputs[MOST + 1] = {y};
    const swg_tensor *out = golden_find(file, name, "out"), *w = golden_find(file, name, "w");
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, y), out->ndim);
    assert_memory_equal(swg_shape(g, y), out->shape, (size_t)out->ndim * sizeof(int64_t));
    swg_value weight = swg_input(g, "w", w->ndim, w->shape);
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, y, weight), 0), in, count, outputs + 1));
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count + 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    int params;
    swg_params_of(g, &params);
    for (int i = 0; i < count; i++) {
        const swg_tensor *t = golden_find(file, name, keys[i]);
        assert_non_null(t);
        assert_int_equal(swg_ndim(g, in[i]), t->ndim);
        assert_memory_equal(swg_shape(g, in[i]), t->shape, (size_t)t->ndim * sizeof(int64_t));
        int at = i - (count - params); /* parameters come last, in order of creation */
        if (at >= 0) {
            const char *own = strpbrk(swg_weights_name(weights, at), "./");
            assert_non_null(own);
            for (int c = 0; own[c + 1] || keys[i][c]; c++)
                assert_true(own[c + 1] == keys[i][c] || (own[c + 1] == '/' && keys[i][c] == '.'));
        }
        fill(at >= 0 ? swg_weights_value(weights, at) : swg_plan_data(plan, in[i]), dtype, t);
    }
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, y), dtype);
    for (int i = 0; i < count; i++) {
        char key[96];
        snprintf(key, sizeof key, "grad_%s", keys[i]);
        compare(name, key, golden_find(file, name, key), swg_plan_data(plan, outputs[i + 1]), dtype);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
}

/* (batch, heads, n, d) to (batch, n, heads d) or back. */
static swg_value to_sides(swg_graph *g, swg_value x) {
    const int64_t *s = swg_shape(g, x), shape[3] = {s[0], s[2], s[1] * s[3]};
    return swg_reshape(g, swg_permute(g, x, (int[]){0, 2, 1, 3}), 3, shape);
}
static swg_value from_sides(swg_graph *g, swg_value x, int64_t heads) {
    const int64_t *s = swg_shape(g, x), shape[4] = {s[0], s[1], heads, s[2] / heads};
    return swg_permute(g, swg_reshape(g, x, 4, shape), (int[]){0, 2, 1, 3});
}

static void check_attention(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion, bool sides) {
    static const char *const keys[4] = {"q", "k", "v", "mask"};
    swg_graph *g;
    swg_value in[4] = {0}, x[3];
    int count = 0;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    for (; count < 4 && golden_find(file, name, keys[count]); count++) {
        const swg_tensor *t = golden_find(file, name, keys[count]);
        in[count] = swg_input(g, keys[count], t->ndim, t->shape);
    }
    assert_true(count >= 3);
    char note[96];
    snprintf(note, sizeof note, "%s.scale", name);
    int64_t heads = swg_shape(g, in[0])[1];
    for (int i = 0; i < 3; i++)
        x[i] = sides ? to_sides(g, in[i]) : in[i];
    swg_value y = swg_attention(g, x[0], x[1], x[2], in[3], &(swg_attention_opts){.scale = strtod(swg_safetensors_note(file, note), NULL),
                                .heads = sides ? heads : 0});
    check(ctx, g, file, name, sides ? from_sides(g, y, heads) : y, in, keys, count, no_fusion);
    swg_graph_destroy(g);
}

static void check_layer(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype, bool no_fusion) {
    const char *keys[MOST] = {"query", "key_value"};
    char names[256], note[96];
    swg_graph *g;
    swg_value in[MOST] = {0};
    int params, count = 1;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    const swg_tensor *query = golden_find(file, name, "query"), *kv = golden_find(file, name, "key_value");
    in[0] = swg_input(g, "query", query->ndim, query->shape);
    if (kv)
        in[count++] = swg_input(g, "key_value", kv->ndim, kv->shape);
    snprintf(note, sizeof note, "%s.heads", name);
    int64_t heads = strtoll(swg_safetensors_note(file, note), NULL, 10);
    snprintf(note, sizeof note, "%s.parameters", name);
    snprintf(names, sizeof names, "%s", swg_safetensors_note(file, note));
    swg_value y = swg_multihead_attention(g, in[0], kv ? in[1] : SWG_NONE, heads, &(swg_multihead_opts){.no_bias = !strstr(names, "bias")}, "mha");
    const swg_value *all = swg_params_of(g, &params);
    char *text = names;
    for (int i = 0; i < params; i++) {
        keys[count] = text;
        in[count++] = all[i];
        assert_non_null(text);
        if ((text = strchr(text, ',')))
            *text++ = 0;
    }
    assert_null(text);
    check(ctx, g, file, name, y, in, keys, count, no_fusion);
    swg_graph_destroy(g);
}

static void for_each(void **state, const char *list, int kinds) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "attention.safetensors");
    const char *text = swg_safetensors_note(file, list);
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++) {
        for (int kind = 0; kind < kinds; kind++)
            if (kinds == 8)
                check_attention(ctx, file, name, kind & 1 ? SWG_F32 : SWG_F64, kind & 2, kind & 4);
            else
                check_layer(ctx, file, name, kind & 1 ? SWG_F32 : SWG_F64, kind & 2);
    }
    assert_int_equal(count, kinds == 8 ? 5 : 4);
    swg_safetensors_close(file);
}

static void attentions(void **state) { for_each(state, "attentions", 8); }
static void layers(void **state) { for_each(state, "layers", 4); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(attentions, testing_open, testing_close),
                                       cmocka_unit_test_setup_teardown(layers, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
