/* test_golden_kan_dae.c - proves: kan/dae and kan/dae-opt compute, differentiate and train as in PyTorch, where they were built from the formulas
 * (vectors made in f64): all three results, losses, every gradient, each batch norm moved once by a step, ten steps of AdamW; at full width
 * the results.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_net.h"
#include "cpu.h"
#include "swage/kan.h"

enum { SEED = GOLDEN_SEED, STEPS = TESTING_SLOW ? 2 : 10, LOSSES = 3, RESULTS = 3 };

static const struct network { const char *file, *preset; } networks[] = {
    {"kan_dae.safetensors", "kan/dae"},
    {"kan_dae_opt.safetensors", "kan/dae-opt"},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

typedef struct trainer {
    swg_context *ctx;
    swg_dtype dtype;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, target, hyper, result[RESULTS], loss[LOSSES], norm; /* encoded, decoded, z; mse, 1 - SSIM, total */
    double b1, b2;
} trainer;

static const char *const results[RESULTS] = {"encoded", "decoded", "z"};

static void draw_images(trainer *t, swg_value v, const char *name) {
    uint32_t stream = golden_stream(name);
    void *data = swg_plan_data(t->plan, v);
    for (int64_t i = 0; data && i < swg_elements(t->g, v); i++)
        set_element(data, t->dtype, i, (double)golden_drawn(stream, i));
}

static void open_trainer(trainer *t, swg_context *ctx, const struct network *n, const swg_safetensors *file, swg_dtype dtype, bool full) {
    *t = (trainer){.ctx = ctx, .dtype = dtype, .b1 = 1, .b2 = 1};
    swg_kan_dae model;
    assert_ok(ctx, swg_kan_dae_preset(ctx, n->preset, &model));
    model.dropout = 0;
    const char *widths = swg_safetensors_note(file, "channels");
    for (int i = 0; i < 4 && !full; i++, widths += strcspn(widths, ",") + 1)
        model.channels[i] = strtoll(widths, NULL, 10);
    int64_t batch = strtoll(swg_safetensors_note(file, "batch"), NULL, 10), side = strtoll(swg_safetensors_note(file, "side"), NULL, 10);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &t->g));
    t->x = swg_input(t->g, "x", 4, (int64_t[]){batch, 3, side, side});
    swg_kan_dae_apply(t->g, t->x, &model, &t->result[0], &t->result[1], &t->result[2]);
    swg_value outputs[RESULTS + LOSSES + 1];
    memcpy(outputs, t->result, sizeof t->result);
    if (!full) {
        t->target = swg_input(t->g, "target", 4, (int64_t[]){batch, 3, side, side});
        t->hyper = swg_input(t->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        t->loss[0] = swg_loss_mse(t->g, t->result[1], t->target);
        t->loss[1] = swg_loss_ssim(t->g, t->result[1], t->target);
        t->loss[2] = swg_add(t->g, t->loss[0], swg_affine(t->g, t->loss[1], .1, 0));
        t->norm = swg_adam(t->g, t->loss[2], t->hyper, &(swg_adam_opts){.decoupled = true});
        memcpy(outputs + RESULTS, t->loss, sizeof t->loss);
        outputs[RESULTS + LOSSES] = t->norm;
    }
    assert_ok(ctx, swg_graph_status(t->g));
    assert_int_equal(swg_graph_parameters(t->g), strtoll(swg_safetensors_note(file, full ? "full.parameters" : "parameters"), NULL, 10));
    assert_ok(ctx, swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = full ? RESULTS : RESULTS + LOSSES + 1}, &t->plan));
    assert_ok(ctx, swg_weights_create(t->g, !full, &t->weights));
    swg_weights_init(t->weights, SEED); /* states */
    golden_draw_weights(t->weights, dtype);
    assert_ok(ctx, swg_plan_open(t->plan, t->weights, NULL));
    draw_images(t, t->x, "noisy");
    if (!full)
        draw_images(t, t->target, "clean");
}

static void close_trainer(trainer *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
}

static void step(trainer *t, uint32_t number) {
    swg_hyper_adam(&(swg_adam_hyper){.lr = 2e-4, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1}, &t->b1, &t->b2,
                   t->dtype, swg_plan_data(t->plan, t->hyper));
    assert_ok(t->ctx, swg_plan_run(t->plan, SEED, number));
}

static void narrow(swg_context *ctx, const struct network *n, swg_dtype dtype, double values, double gradients, double later) {
    swg_safetensors *file = golden_open(ctx, n->file);
    const swg_tensor *curve = golden_get(file, "curve");
    char key[256];
    trainer t;
    open_trainer(&t, ctx, n, file, dtype, false);
    for (int s = 0; s < STEPS; s++) {
        step(&t, (uint32_t)s);
        for (int i = 0; i < LOSSES; i++)
            assert_close(element(swg_plan_data(t.plan, t.loss[i]), dtype, 0), golden_at(curve, LOSSES * s + i), 0, s ? later : values);
        if (s)
            continue;
        for (int i = 0; i < RESULTS; i++)
            golden_compare(file, results[i], swg_plan_data(t.plan, t.result[i]), dtype, values * golden_largest(golden_get(file, results[i])));
        golden_compare_gradients(t.weights, file, "", dtype, gradients);
        assert_true(swg_weights_states(t.weights) > 30);
        for (int i = 0; i < swg_weights_states(t.weights); i++) { /* moved once: 0.1 of the batch's statistics, not 0.19 */
            golden_key(key, "state", swg_weights_state_name(t.weights, i));
            golden_compare(file, key, swg_weights_state(t.weights, i), dtype, values * golden_largest(golden_get(file, key)));
        }
    }
    close_trainer(&t);
    swg_safetensors_close(file);
}

/* Only the stored f32 of results, gradients and states stands between the two. */
static void as_in_f64(void **state) {
    for (int n = 0; n < NETWORKS; n++)
        narrow(*state, &networks[n], SWG_F64, 2e-7, 4e-7, 1e-9);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++)
        for (int n = 0; n < NETWORKS; n++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            narrow(ctx, &networks[n], SWG_F32, 2e-5, 2e-4, 2e-4);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
}

/* Samples of all three results, and the mean and standard deviation of all their elements. */
static void at_full_width(void **state) {
    swg_context *ctx = *state;
    for (int n = 0; n < (TESTING_SLOW ? 1 : NETWORKS); n++) {
        swg_safetensors *file = golden_open(ctx, networks[n].file);
        trainer t;
        open_trainer(&t, ctx, &networks[n], file, SWG_F32, true);
        assert_ok(ctx, swg_plan_run(t.plan, SEED, 0));
        for (int i = 0; i < RESULTS; i++) {
            char key[256], moments[256];
            const void *got = swg_plan_data(t.plan, t.result[i]);
            golden_compare(file, golden_key(key, "full", results[i]), got, SWG_F32, 2e-5 * golden_largest(golden_get(file, golden_key(key, "full", results[i]))));
            const swg_tensor *want = golden_get(file, golden_key(moments, key, "moments"));
            double sum = 0, squares = 0, count = (double)swg_elements(t.g, t.result[i]);
            for (int64_t e = 0; e < swg_elements(t.g, t.result[i]); e++) {
                sum += element(got, SWG_F32, e);
                squares += pow(element(got, SWG_F32, e), 2);
            }
            assert_close(sum / count, golden_at(want, 0), 1e-5 * golden_at(want, 1), 0);
            assert_close(sqrt(squares / count - sum / count * sum / count), golden_at(want, 1), 0, 1e-5);
        }
        close_trainer(&t);
        swg_safetensors_close(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
        cmocka_unit_test_setup_teardown(at_full_width, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
