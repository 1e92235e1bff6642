/* test_quantise_model.c - proves: a model quantised to a file opens again, computes what the f32 model computes when asked for the same precision, up to
 * the last bit of a scale, and is as small as its codes and scales; batch norm folds before it is quantised and changes no code; layers that are to stay
 * f32 do; files whose codes and scales do not fit are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include <math.h>
#include "pass/pass.h"
#include "quant/stored.h"
#include "swage/quantise_model.h"

enum { BLOCKS = 37, VALUES = 125 };

static swg_model *open_trained(swg_context *ctx, scratch *s, const char *const *more) {
    swg_model *model;
    write_octants(ctx, scratch_path(s, "a.h5"), &(octants){.count = 40, .variables = 2});
    assert_ok(ctx, train(ctx, s->folder, "run", scratch_path(s, "a.h5"), more, NULL, NULL));
    assert_ok(ctx, swg_model_open(ctx, in_run(s->folder, "run", ""), &model));
    return model;
}

static void both_ways(swg_context *ctx, swg_model *model, const float *x, float *y) {
    float *z = swg__alloc(ctx, sizeof *z * (size_t)(BLOCKS * swg_model_network(model)->latent));
    assert_ok(ctx, swg_model_encode(model, BLOCKS, x, z));
    assert_ok(ctx, swg_model_decode(model, BLOCKS, z, y));
    swg__free(ctx, z);
}

static double difference(const float *a, const float *b, int n) { /* relative to the power of b */
    double error = 0, power = 0;
    for (int i = 0; i < n; i++) {
        error += pow((double)a[i] - (double)b[i], 2);
        power += pow((double)b[i], 2);
    }
    return sqrt(error / power);
}

static void fill(float *x) {
    for (int i = 0; i < BLOCKS * VALUES; i++)
        x[i] = (float)(sin(.37 * i) * 3 - 2);
}

/* stored: the opened file against the f32 model asked for the same; rounding: against f32 arithmetic. */
typedef struct expectation { swg_inference inference; double stored, rounding; int64_t weight_bits; } expectation;

static void check_files(swg_context *ctx, scratch *s, swg_model *model, const expectation *table, int count, int64_t scales) {
    static float x[BLOCKS * VALUES], exact[BLOCKS * VALUES], asked[BLOCKS * VALUES], stored[BLOCKS * VALUES];
    fill(x);
    both_ways(ctx, model, x, exact);
    for (int t = 0; t < count; t++) {
        const expectation *e = &table[t];
        swg_quantised q;
        swg_model *small;
        char folder[600];
        snprintf(folder, sizeof folder, "%s", scratch_path(s, swg_inference_name(e->inference)));
        assert_ok(ctx, swg_model_quantise(ctx, model, &(swg_quantise_opts){.inference = e->inference, .folder = folder}, &q));
        int64_t codes = 0, rest = 0;
        for (int64_t i = 0; i < q.count; i++)
            *(q.rows[i].stays_f32 ? &rest : &codes) += q.rows[i].elements;
        assert_true(codes > 9 * rest);
        assert_int_equal(q.quantised_bytes, codes * e->weight_bits / 8 + rest * 4 + (e->weight_bits == 8 ? scales * 4 : 0));
        assert_true(q.file_bytes >= q.quantised_bytes && q.file_bytes < q.quantised_bytes + 24000);
        assert_ok(ctx, swg_model_set_inference(model, e->inference, NULL));
        both_ways(ctx, model, x, asked);
        assert_ok(ctx, swg_model_open(ctx, folder, &small));
        assert_int_equal(swg_model_inference(small), e->inference);
        both_ways(ctx, small, x, stored);
        if (!(difference(stored, asked, BLOCKS * VALUES) <= e->stored))
            fail_msg("%s: the file and the model differ by %.3g", swg_inference_name(e->inference), difference(stored, asked, BLOCKS * VALUES));
        if (!(difference(asked, exact, BLOCKS * VALUES) <= e->rounding && difference(asked, exact, BLOCKS * VALUES) > 0))
            fail_msg("%s differs from f32 by %.3g", swg_inference_name(e->inference), difference(asked, exact, BLOCKS * VALUES));
        swg_quantised again;
        assert_int_equal(swg_model_quantise(ctx, small, &(swg_quantise_opts){.inference = SWG_INFERENCE_INT8}, &again), SWG_EINVAL);
        swg_model_close(small);
        swg_quantised_free(ctx, &q);
        remove_tree(folder);
        assert_ok(ctx, swg_model_set_inference(model, SWG_INFERENCE_F32, NULL));
    }
    both_ways(ctx, model, x, asked);
    assert_memory_equal(asked, exact, sizeof exact);
}

static void close_trained(swg_context *ctx, scratch *s, swg_model *model) {
    swg_model_close(model);
    remove_tree(in_run(s->folder, "run", ""));
    scratch_close(s, ctx, 1);
}

/* A last bit of a scale may move a code of the layer behind it, which is a hundredth of a value here and there. */
static void perceptron(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const char *const more[] = {"model.hidden=[65]", NULL};
    static const expectation table[] = {{SWG_INFERENCE_BF16, 0, 2e-2, 16}, {SWG_INFERENCE_INT8, 2e-3, 3e-2, 8}, {SWG_INFERENCE_FP8, 2e-3, 8e-2, 8},
                                        {SWG_INFERENCE_FP8_ACTIVATIONS, 2e-2, .15, 8}};
    swg_model *model = open_trained(ctx, &s, more);
    check_files(ctx, &s, model, table, 4, 65 + swg_model_network(model)->latent + 65 + 125);
    close_trained(ctx, &s, model);
}

/* Batch norm, a first convolution of one channel, transposed ones. */
static void convolutions(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const char *const more[] = {"model.name=conv", "model.hidden=[16,32]", "model.latent=8", "trainer.max_steps=4", NULL};
    static const expectation table[] = {{SWG_INFERENCE_INT8, 2e-2, 5e-2, 8}, {SWG_INFERENCE_FP8, 2e-2, .12, 8}};
    swg_model *model = open_trained(ctx, &s, more);
    int64_t scales = 0;
    for (int i = 0; i < swg_weights_count(swg_model_weights(model)); i++) { /* of each weight but the first: a scale per result */
        const char *name = swg_weights_name(swg_model_weights(model), i);
        const int64_t *shape = swg_weights_shape(swg_model_weights(model), i);
        int ndim = swg_weights_ndim(swg_model_weights(model), i);
        bool transposed = ndim == 5 && strncmp(name, "decoder.", 8) == 0;
        scales += ndim < 2 || (ndim == 5 && shape[1] == 1 && !transposed) ? 0 : shape[transposed];
    }
    check_files(ctx, &s, model, table, TESTING_SLOW ? 1 : 2, scales);
    close_trained(ctx, &s, model);
}

/* Codes of weights do not change when a channel is scaled, as folding a norm scales it: only the scale does. */
static void norms_commute(void **state) {
    (void)state;
    enum { CHANNELS = 9, EACH = 40 };
    float w[CHANNELS * EACH], folded[CHANNELS * EACH], scale[CHANNELS];
    int8_t before[CHANNELS * EACH], after[CHANNELS * EACH];
    const int64_t shape[2] = {CHANNELS, EACH};
    for (int i = 0; i < CHANNELS * EACH; i++)
        w[i] = (float)sin(i * 1.7) / (float)(1 + i / EACH);
    swg__stored_encode(SWG_STORED_I8, 2, shape, 0, w, before, scale);
    for (int i = 0; i < CHANNELS * EACH; i++)
        folded[i] = swg__stored_value(SWG_STORED_I8, before, i, scale[i / EACH]) * (.3f + (float)(i / EACH) * .77f);
    swg__stored_encode(SWG_STORED_I8, 2, shape, 0, folded, after, scale);
    assert_memory_equal(before, after, sizeof before);
}

static void what_stays(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    static const char *const more[] = {"model.hidden=[33]", NULL};
    swg_model *model = open_trained(ctx, &s, more), *small;
    swg_quantised q;
    char folder[600];
    snprintf(folder, sizeof folder, "%s", scratch_path(&s, "kept"));
    assert_ok(ctx, swg_model_quantise(ctx, model, &(swg_quantise_opts){.inference = SWG_INFERENCE_INT8, .keep_f32 = "encoder.*,decoder.fc2", .folder = folder}, &q));
    int kept = 0, codes = 0;
    for (int64_t i = 0; i < q.count; i++) {
        kept += q.rows[i].stays_f32 && strcmp(q.rows[i].stays_f32, "asked to stay f32") == 0;
        codes += !q.rows[i].stays_f32;
        assert_true(q.rows[i].stays_f32 || strcmp(q.rows[i].name, "decoder.fc1.weight") == 0);
    }
    assert_int_equal(kept, 3);
    assert_int_equal(codes, 1);
    swg_quantised_free(ctx, &q);
    /* The opened file keeps them, too: its encoder is that of f32, to the bit. */
    static float x[BLOCKS * VALUES], z[2][BLOCKS * 16];
    fill(x);
    assert_ok(ctx, swg_model_open(ctx, folder, &small));
    assert_ok(ctx, swg_model_encode(model, BLOCKS, x, z[0]));
    assert_ok(ctx, swg_model_encode(small, BLOCKS, x, z[1]));
    assert_memory_equal(z[0], z[1], sizeof z[0]);
    swg_model_close(small);
    remove_tree(folder);
    /* A training run's folder is not written into, and f32 is no quantisation. */
    assert_int_equal(swg_model_quantise(ctx, model, &(swg_quantise_opts){.inference = SWG_INFERENCE_INT8, .folder = in_run(s.folder, "run", "")}, &q), SWG_EINVAL);
    assert_int_equal(swg_model_quantise(ctx, model, &(swg_quantise_opts){.inference = SWG_INFERENCE_F32}, &q), SWG_EINVAL);
    close_trained(ctx, &s, model);
}

/* Codes with scales that are missing, of another shape, negative or infinite; a NaN among codes. */
static void files_that_do_not_fit(void **state) {
    swg_context *ctx = *state;
    static const int8_t codes[6] = {1, 2, 3, -4, 5, 127};
    static const uint8_t fp8[6] = {0x38, 0x7f, 0, 0, 0, 0};
    static const float good[3] = {1, 2, 3}, negative[3] = {1, -2, 3}, infinite[3] = {1, 2, INFINITY};
    static const struct { swg_stored type; const void *codes; const float *scale; int64_t shape[2]; swg_status want; } table[] = {
        {SWG_STORED_I8, codes, good, {1, 3}, SWG_OK},          {SWG_STORED_I8, codes, good, {1, 1}, SWG_OK},
        {SWG_STORED_I8, codes, good, {2, 1}, SWG_OK},          {SWG_STORED_I8, codes, NULL, {0, 0}, SWG_ESHAPE},
        {SWG_STORED_I8, codes, good, {3, 1}, SWG_ESHAPE},      {SWG_STORED_I8, codes, good, {2, 3}, SWG_ESHAPE},
        {SWG_STORED_I8, codes, negative, {1, 3}, SWG_ECORRUPT}, {SWG_STORED_I8, codes, infinite, {1, 3}, SWG_ECORRUPT},
        {SWG_STORED_F8_E4M3, fp8, good, {1, 3}, SWG_ECORRUPT},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        scratch s;
        scratch_open(&s);
        swg_safetensors_writer *w;
        swg_safetensors *file;
        static const float six[6] = {1, 2, 3, 1, 2, 3};
        char path[600];
        float out[6] = {0};
        snprintf(path, sizeof path, "%s", scratch_path(&s, "codes.safetensors"));
        assert_ok(ctx, swg_safetensors_writer_open(ctx, NULL, &w));
        assert_ok(ctx, swg_safetensors_writer_add(w, "param.fc.weight", table[i].type, 2, (int64_t[]){2, 3}, table[i].codes));
        const float *scale = table[i].shape[0] * table[i].shape[1] > 3 ? six : table[i].scale;
        if (table[i].scale)
            assert_ok(ctx, swg_safetensors_writer_add(w, "scale.fc.weight", SWG_STORED_F32, 2, table[i].shape, scale));
        assert_ok(ctx, swg_safetensors_writer_write(w, path));
        swg_safetensors_writer_close(w);
        assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
        swg_status got = swg__stored_decode(ctx, file, path, swg_safetensors_find(file, "param.fc.weight"), out);
        if (got != table[i].want)
            fail_msg("case %zu: %s (%s)", i, swg_status_name(got), swg_context_message(ctx));
        if (got == SWG_OK && table[i].shape[1] == 3)
            assert_true(out[0] == 1 && out[1] == 4 && out[2] == 9 && out[3] == -4 && out[5] == 381);
        if (got == SWG_OK && table[i].shape[0] == 2)
            assert_true(out[0] == 1 && out[2] == 3 && out[3] == -8 && out[5] == 254);
        swg_safetensors_close(file);
        remove(path);
        scratch_close(&s, ctx, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(perceptron, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(convolutions, testing_open, testing_close),
        cmocka_unit_test(norms_commute),
        cmocka_unit_test_setup_teardown(what_stays, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(files_that_do_not_fit, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
