/* test_golden_tfswa.c - proves: TFSWA-UNet from audio to audio (transform, network, masks, inverse) computes, differentiates and moves its running
 * statistics as in PyTorch, where it was written from the formulas (vectors made in f64): mono and stereo, the three masks and the three ways to
 * mask windows, the three losses, every gradient; tfswa/small and, at full size, tfswa/unet give the same results.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_net.h"
#include "context.h"
#include "cpu.h"
#include "swage/tfswa.h"

enum { BATCH = 2, SAMPLES = 104, STEMS_MOST = 2, TERMS = 3 };

static const swg_stft_opts transform = {.n = 32, .hop = 8};
static const swg_stft_opts resolutions[] = {{.n = 32, .hop = 8}, {.n = 16, .hop = 4}, {.n = 64, .hop = 16}};

#define DEEP .stages = 3, .depths = {1, 2, 1}, .dims = {8, 12, 16}, .window = 4, .shift = 2, .heads = 4, .mlp_ratio = 2
#define FLAT .stages = 2, .depths = {2, 1}, .dims = {8, 12}, .window = 5, .shift = 1, .heads = 2, .mlp_ratio = 3

/* CASES of make_tfswa.py */
static const struct example {
    const char *name;
    int64_t channels, stems;
    double factor[TERMS];       /* of magnitudes, waves, resolutions */
    swg_tfswa model;
} examples[] = {
    {"mono", 1, 2, {1, 0, 0}, {DEEP, .in = 2, .out = 4}},
    {"shift", 2, 2, {0, 1, .5}, {FLAT, .in = 4, .out = 4, .window_mask = SWG_TFSWA_WINDOW_SHIFT}},
    {"all", 2, 1, {1, 0, 0}, {FLAT, .in = 2, .out = 2, .mask = SWG_TFSWA_PUBLISHED, .window_mask = SWG_TFSWA_WINDOW_ALL}},
    {"complex", 1, 2, {0, 1, 0}, {FLAT, .in = 4, .out = 4, .mask = SWG_TFSWA_COMPLEX}},
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

/* middle +- bound. */
static double symmetric(uint32_t stream, int64_t i, double bound, double middle) {
    return (double)((float)middle + (float)bound * (2 * golden_drawn(stream, i) - 1));
}

static void draw(swg_plan *plan, const swg_graph *g, swg_value v, swg_dtype dtype, const char *name) {
    void *data = swg_plan_data(plan, v);
    if (!data) /* the mixture of more than one stem is their sum */
        return;
    for (int64_t i = 0; i < swg_elements(g, v); i++)
        set_element(data, dtype, i, symmetric(golden_stream(name), i, .5, 0));
}

static int64_t state_elements(const swg_weights *w, int state) {
    int64_t count = 1;
    for (int d = 0; d < swg_weights_state_ndim(w, state); d++)
        count *= swg_weights_state_shape(w, state)[d];
    return count;
}

static void draw_states(swg_weights *w, swg_dtype dtype) {
    for (int s = 0; s < swg_weights_states(w); s++) {
        const char *name = swg_weights_state_name(w, s);
        bool variance = golden_ends(name, "running_var");
        for (int64_t i = 0; i < state_elements(w, s); i++)
            set_element(swg_weights_state(w, s), dtype, i, symmetric(golden_stream(name), i, variance ? .3 : .2, variance));
    }
}

static const char *joined(char out[128], const char *name, const char *field) {
    assert_in_range(snprintf(out, 128, "%s.%s", name, field), 1, 127);
    return out;
}

/* ---- small models, from audio to audio ---- */

typedef struct chain {
    swg_graph *g;
    swg_value stems, other, o, spectra, waves, term[TERMS], total;
} chain;

static swg_value flat(swg_graph *g, const struct example *e, swg_value x) {
    return swg_reshape(g, x, 3, (int64_t[]){BATCH * e->stems, e->channels, SAMPLES});
}

static chain build(swg_context *ctx, const struct example *e, swg_dtype dtype, bool inference) {
    chain c;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype, .inference = inference}, &c.g));
    swg_graph *g = c.g;
    c.stems = swg_input(g, "stems", 4, (int64_t[]){BATCH, e->stems, e->channels, SAMPLES});
    c.other = swg_input(g, "mixture", 3, (int64_t[]){BATCH, e->channels, SAMPLES});
    swg_value sum = swg_reshape(g, swg_sum(g, c.stems, 1u << 1), 3, (int64_t[]){BATCH, e->channels, SAMPLES});
    swg_value mixture = swg_stft(g, e->stems > 1 ? sum : c.other, &transform), wanted = swg_stft(g, flat(g, e, c.stems), &transform);
    c.o = swg_tfswa_net(g, &e->model, swg_tfswa_input(g, &e->model, mixture));
    c.spectra = swg_tfswa_apply(g, &e->model, c.o, mixture);
    c.waves = swg_tfswa_waves(g, c.spectra, SAMPLES, &transform);
    assert_ok(ctx, swg_graph_status(g));
    wanted = swg_reshape(g, wanted, 5, swg_shape(g, c.spectra));
    c.term[0] = swg_loss_mae(g, swg_tfswa_magnitudes(g, c.spectra), swg_tfswa_magnitudes(g, wanted));
    c.term[1] = swg_loss_mae(g, c.waves, c.stems);
    c.term[2] = swg_loss_mrstft(g, flat(g, e, c.waves), flat(g, e, c.stems), resolutions, 3);
    c.total = swg_constant(g, 0);
    for (int i = 0; i < TERMS; i++)
        if (e->factor[i] != 0)
            c.total = swg_add(g, c.total, swg_affine(g, c.term[i], e->factor[i], 0));
    assert_ok(ctx, swg_graph_status(g));
    return c;
}

static void compare(const swg_safetensors *file, const char *name, const char *field, swg_plan *plan, swg_value v, swg_dtype dtype, double allowed) {
    char key[128];
    joined(key, name, field);
    golden_compare(file, key, swg_plan_data(plan, v), dtype, allowed * golden_largest(golden_get(file, key)));
}

static void train(swg_context *ctx, const swg_safetensors *file, const struct example *e, swg_dtype dtype, double values, double gradients) {
    chain c = build(ctx, e, dtype, false);
    swg_weights *w;
    swg_plan *plan;
    char key[128];
    swg_value hyper = swg_input(c.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    const swg_value outputs[] = {c.o, c.spectra, c.waves, c.term[0], c.term[1], c.term[2], swg_adam(c.g, c.total, hyper, NULL)};
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = outputs, .output_count = 7}, &plan));
    assert_ok(ctx, swg_weights_create(c.g, true, &w));
    swg_weights_init(w, 1);
    golden_draw_weights(w, dtype);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    draw(plan, c.g, c.stems, dtype, "stems");
    draw(plan, c.g, c.other, dtype, "mixture");
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, dtype, swg_plan_data(plan, hyper));
    assert_ok(ctx, swg_plan_run(plan, GOLDEN_SEED, 0));
    assert_int_equal(swg_graph_parameters(c.g), strtoll(swg_safetensors_note(file, joined(key, e->name, "parameters")), NULL, 10));
    compare(file, e->name, "o", plan, c.o, dtype, values);
    compare(file, e->name, "spectra", plan, c.spectra, dtype, values);
    compare(file, e->name, "waves", plan, c.waves, dtype, values);
    for (int i = 0; i < TERMS; i++)
        assert_close(element(swg_plan_data(plan, c.term[i]), dtype, 0), golden_at(golden_find(file, e->name, "terms"), i), 0, dtype == SWG_F64 ? 1e-11 : values);
    snprintf(key, sizeof key, "%s.", e->name);
    golden_compare_gradients(w, file, key, dtype, gradients);
    for (int s = 0; s < swg_weights_states(w); s++) {
        char state[256];
        snprintf(state, sizeof state, "%s.state.%s", e->name, swg_weights_state_name(w, s));
        golden_compare(file, state, swg_weights_state(w, s), dtype, values * golden_largest(golden_get(file, state)));
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(c.g);
}

/* With running statistics, weights frozen as in inference. */
static void use(swg_context *ctx, const swg_safetensors *file, const struct example *e, swg_dtype dtype, double values) {
    chain c = build(ctx, e, dtype, true);
    swg_weights *w;
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(c.g, &(swg_plan_opts){.outputs = &c.o, .output_count = 1, .frozen = true}, &plan));
    assert_ok(ctx, swg_weights_create(c.g, false, &w));
    golden_draw_weights(w, dtype);
    draw_states(w, dtype);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    draw(plan, c.g, c.stems, dtype, "stems");
    draw(plan, c.g, c.other, dtype, "mixture");
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(file, e->name, "used", plan, c.o, dtype, values);
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(c.g);
}

/* ---- named models ---- */

static void named(swg_context *ctx, const char *name, const swg_tfswa *model, const int64_t *shape, swg_dtype dtype, double values, double moments) {
    swg_safetensors *file = golden_open(ctx, "tfswa.safetensors");
    swg_graph *g;
    swg_weights *w;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype, .inference = true}, &g));
    swg_value x = swg_input(g, "x", 4, shape), o = swg_tfswa_net(g, model, x);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &o, .output_count = 1, .frozen = true}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    golden_draw_weights(w, dtype);
    draw_states(w, dtype);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    draw(plan, g, x, dtype, "x");
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    compare(file, name, "used", plan, o, dtype, values);
    double sum = 0, squares = 0, count = (double)swg_elements(g, o);
    for (int64_t i = 0; i < swg_elements(g, o); i++) {
        const double y = element(swg_plan_data(plan, o), dtype, i);
        sum += y;
        squares += y * y;
    }
    const swg_tensor *want = golden_find(file, name, "moments");
    assert_close(sum / count, golden_at(want, 0), 0, moments);
    assert_close(squares / count, golden_at(want, 1), 0, moments);
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
    swg_safetensors_close(file);
}

/* ---- all of them ---- */

/* Only the stored f32 of results and gradients stands between the two. */
static void as_in_f64(void **state) {
    swg_safetensors *file = golden_open(*state, "tfswa.safetensors");
    for (int i = 0; i < EXAMPLES; i++) {
        train(*state, file, &examples[i], SWG_F64, 2e-7, 4e-7);
        use(*state, file, &examples[i], SWG_F64, 2e-7);
        struct example naive = examples[i];
        naive.model.naive = true;
        train(*state, file, &naive, SWG_F64, 2e-7, 4e-7);
    }
    swg_safetensors_close(file);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
        swg_safetensors *file = golden_open(ctx, "tfswa.safetensors");
        for (int i = 0; i < EXAMPLES; i++) {
            train(ctx, file, &examples[i], SWG_F32, 1e-5, 1e-3);
            use(ctx, file, &examples[i], SWG_F32, 1e-5);
        }
        swg_safetensors_close(file);
        const swg_tfswa small = swg_tfswa_small();
        named(ctx, "small", &small, (int64_t[]){1, 2, 128, 64}, SWG_F32, 5e-6, 1e-6);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
    }
}

/* 1025 x 259: in builds that run slowly, minutes. */
static void at_full_size(void **state) {
    if (TESTING_SLOW)
        skip();
    const swg_tfswa unet = swg_tfswa_unet();
    named(*state, "unet", &unet, (int64_t[]){1, 2, 1025, 259}, SWG_F32, 1e-5, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
        cmocka_unit_test_setup_teardown(at_full_size, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
