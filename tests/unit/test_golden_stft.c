/* test_golden_stft.c - proves: the short-time Fourier transform and its inverse have the values and gradients that PyTorch computes in
 * f64 (tests/golden/stft.safetensors), so does the loss made of it, and those of tfswa.md, section 10; the inverse gives back what was transformed; threads change
 * no bit; what does not fit is named.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/nn.h"
#include "swage/plan.h"

static void compare(const char *name, const char *what, const swg_tensor *want, const void *got, swg_dtype dtype, double f32_tolerance) {
    golden_near(name, what, want, got, dtype, dtype == SWG_F64 ? 1e-12 : f32_tolerance);
}

static void check(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype) {
    char note[96];
    snprintf(note, sizeof note, "%s.numbers", name);
    char *text = (char *)(uintptr_t)swg_safetensors_note(file, note);
    assert_non_null(text);
    swg_stft_opts opts = {.n = strtoll(text, &text, 10), .hop = strtoll(text + 1, &text, 10), .window = strtoll(text + 1, &text, 10)};
    int64_t samples = strtoll(text + 1, NULL, 10);
    const swg_tensor *in = golden_find(file, name, "in"), *out = golden_find(file, name, "out"), *w = golden_find(file, name, "w");
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value x = swg_input(g, "x", in->ndim, in->shape), weight = swg_input(g, "w", w->ndim, w->shape), outputs[2];
    outputs[0] = in->ndim == 3 ? swg_stft(g, x, &opts) : swg_istft(g, x, samples, &opts);
    assert_ok(ctx, swg_graph_status(g));
    assert_int_equal(swg_ndim(g, outputs[0]), out->ndim);
    assert_memory_equal(swg_shape(g, outputs[0]), out->shape, (size_t)out->ndim * sizeof(int64_t));
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, outputs[0], weight), 0), &x, 1, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    fill(swg_plan_data(plan, x), dtype, in);
    fill(swg_plan_data(plan, weight), dtype, w);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(name, "value", out, swg_plan_data(plan, outputs[0]), dtype, 1e-6);
    compare(name, "gradient", golden_find(file, name, "grad"), swg_plan_data(plan, outputs[1]), dtype, 1e-6);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void against_pytorch(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "stft.safetensors");
    const char *text = swg_safetensors_note(file, "cases");
    int count = 0;
    for (char name[64]; golden_next(&text, name); count++) {
        check(ctx, file, name, SWG_F64);
        check(ctx, file, name, SWG_F32);
    }
    assert_int_equal(count, 6);
    swg_safetensors_close(file);
}

static void check_loss(swg_context *ctx, const swg_safetensors *file, swg_dtype dtype) {
    swg_stft_opts resolutions[8];
    int count = 0;
    for (char *text = (char *)(uintptr_t)swg_safetensors_note(file, "mrstft.numbers"); *text; count++) {
        assert_true(count < 8);
        int64_t *const numbers[] = {&resolutions[count].n, &resolutions[count].hop, &resolutions[count].window};
        for (int i = 0; i < 3; i++, text += *text == ',')
            *numbers[i] = strtoll(text, &text, 10);
    }
    assert_int_equal(count, 3);
    const swg_tensor *in = golden_find(file, "mrstft", "in"), *target = golden_find(file, "mrstft", "target");
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value y = swg_input(g, "y", in->ndim, in->shape), x = swg_input(g, "x", in->ndim, in->shape), outputs[2];
    outputs[0] = swg_loss_mrstft(g, y, x, resolutions, count);
    assert_ok(ctx, swg_gradients(g, outputs[0], &y, 1, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    fill(swg_plan_data(plan, y), dtype, in);
    fill(swg_plan_data(plan, x), dtype, target);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare("mrstft", "value", golden_find(file, "mrstft", "out"), swg_plan_data(plan, outputs[0]), dtype, 1e-6);
    /* the logarithm divides by small magnitudes, which f32 knows less well */
    compare("mrstft", "gradient", golden_find(file, "mrstft", "grad"), swg_plan_data(plan, outputs[1]), dtype, 1e-4);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* One channel of the target is silent: its magnitudes are 0, and nothing becomes NaN. */
static void loss_against_pytorch(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "stft.safetensors");
    check_loss(ctx, file, SWG_F64);
    check_loss(ctx, file, SWG_F32);
    swg_safetensors_close(file);
}

/* Of two silent signals: 0, with gradient 0; signals of different lengths are refused with both shapes. */
static void loss_of_silence(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value y = swg_input(g, "y", 3, (int64_t[]){1, 1, 4000}), x = swg_input(g, "x", 3, (int64_t[]){1, 1, 4000}), outputs[2];
    outputs[0] = swg_loss_mrstft(g, y, x, NULL, 0);
    assert_ok(ctx, swg_gradients(g, outputs[0], &y, 1, outputs + 1));
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    memset(swg_plan_data(plan, y), 0, 4000 * sizeof(float));
    memset(swg_plan_data(plan, x), 0, 4000 * sizeof(float));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    assert_true(*(float *)swg_plan_data(plan, outputs[0]) == 0);
    for (int i = 0; i < 4000; i++)
        assert_true(((float *)swg_plan_data(plan, outputs[1]))[i] == 0);
    swg_plan_destroy(plan);
    assert_int_equal(swg_loss_mrstft(g, y, swg_slice(g, x, (int64_t[]){0, 0, 0}, (int64_t[]){1, 1, 3999}), NULL, 0), SWG_NONE);
    assert_non_null(strstr(swg_context_message(ctx), "mrstft loss: prediction (1, 1, 4000) of \"y\" and target (1, 1, 3999) of \"x\""));
    swg_graph_destroy(g);
}

/* tfswa.md, section 10: n 8, hop 4, four frames of five bins; and the way back. */
static void known_answers(void **state) {
    swg_context *ctx = *state;
    static const double x[12] = {0, 1, .5, -.5, -1, .25, .75, -.25, .1, .9, -.6, .3};
    static const double re[4][5] = {{2.06066017178, -1.31066017178, -.5, 1.31066017178, -1.06066017178},
                                    {-.478553390593, 1.22855339059, -1.625, .771446609407, -.271446609407},
                                    {.810355339059, -.435355339059, .025, .235355339059, -.460355339059},
                                    {.269454364826, -.0569543648263, -.35, 1.25695436483, -1.96945436483}};
    static const double im[4][5] = {{0}, {0, .448223304703, -.823223304703, .198223304703, 0},
                                    {0, .0242640687119, -.974264068712, 1.37426406871, 0},
                                    {0, .593045635174, -.680545635174, -.106954364826, 0}};
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    const swg_stft_opts opts = {.n = 8, .hop = 4};
    swg_value in = swg_input(g, "x", 3, (int64_t[]){1, 1, 12}), s = swg_stft(g, in, &opts), back = swg_istft(g, s, 0, &opts), outputs[2] = {s, back};
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    memcpy(swg_plan_data(plan, in), x, sizeof x);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const double *got = swg_plan_data(plan, s), *again = swg_plan_data(plan, back);
    for (int t = 0; t < 4; t++)
        for (int k = 0; k < 5; k++) {
            assert_close(got[k * 4 + t], re[t][k], 1e-12, 1e-11);
            assert_close(got[20 + k * 4 + t], im[t][k], 1e-12, 1e-11);
        }
    assert_int_equal(swg_elements(g, back), 12);
    for (int i = 0; i < 12; i++)
        assert_close(again[i], x[i], 1e-14, 0);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* Of three seconds and odd cuts of them: frames of the specification, and the signal again to f32's rounding, whatever the threads. */
static void exact_reconstruction(void **state) {
    (void)state;
    static const struct { int64_t samples, n, hop, frames; } table[] = {
        {132300, 2048, 512, 259}, {132300, 1024, 256, 517}, {44100, 512, 128, 345}, {132300, 2048, 441, 301}, {5001, 400, 100, 51}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads += 2) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
            swg_graph *g;
            assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
            const swg_stft_opts opts = {.n = table[i].n, .hop = table[i].hop};
            int64_t samples = table[i].samples, all = 2 * samples;
            swg_value in = swg_input(g, "x", 3, (int64_t[]){1, 2, samples}), s = swg_stft(g, in, &opts), back = swg_istft(g, s, samples, &opts);
            swg_plan *plan;
            assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &back, .output_count = 1}, &plan));
            assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
            assert_int_equal(swg_shape(g, s)[3], table[i].frames);
            float *x = swg_plan_data(plan, in);
            float *kept = malloc((size_t)all * sizeof *kept);
            for (int64_t e = 0; e < all; e++)
                x[e] = kept[e] = (float)sin(.01 * (double)e + 1e-6 * (double)(e * e % 1000003));
            assert_ok(ctx, swg_plan_run(plan, 0, 0));
            const float *y = swg_plan_data(plan, back);
            for (int64_t e = 0; e < all; e++)
                assert_close((double)y[e], (double)kept[e], 3e-6, 0);
            if (first)
                assert_memory_equal(y, first, (size_t)all * sizeof *y);
            memcpy(kept, y, (size_t)all * sizeof *y);
            free(first);
            first = kept;
            swg_plan_destroy(plan);
            swg_graph_destroy(g);
            swg_context_close(ctx);
        }
        free(first);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t shape[4], samples; swg_stft_opts opts; const char *message; } table[] = {
        {{1, 100}, 0, {.n = 16}, "stft: signal (1, 100); expected (batch, channels, samples)"},
        {{1, 1, 100}, 0, {.n = 16, .hop = 17}, "stft: n 16, hop 17"},
        {{1, 1, 100}, 0, {.n = 1}, "stft: n 1, hop"},
        {{1, 1, 100}, 0, {.n = 16, .window = 20}, "window 20"},
        {{1, 3, 9, 5}, 0, {.n = 16}, "istft: spectrum (1, 3, 9, 5); expected (batch, 2 channels, 9, frames)"},
        {{1, 2, 8, 5}, 0, {.n = 16}, "istft: spectrum (1, 2, 8, 5)"},
        {{1, 2, 9, 5}, 25, {.n = 16}, "istft: 25 samples of 5 frames, hop 4; expected 1 to 24"},
        {{1, 2, 9, 1}, 0, {.n = 16}, "istft: 0 samples"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        swg_graph *g;
        int ndim = table[i].shape[3] ? 4 : table[i].shape[2] ? 3 : 2;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", ndim, table[i].shape);
        assert_int_equal(ndim == 4 ? swg_istft(g, x, table[i].samples, &table[i].opts) : swg_stft(g, x, &table[i].opts), SWG_NONE);
        if (!strstr(swg_context_message(ctx), table[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(against_pytorch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(loss_against_pytorch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(loss_of_silence, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test(exact_reconstruction),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
