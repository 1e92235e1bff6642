/* test_golden_nets.c - proves: swae/gmlp, conv, conv-opt, conv7 and a network with GDN and int8 latents start, compute and differentiate as
 * in PyTorch (vectors made in f64): latents, reconstruction, losses, every gradient, running statistics after a step, three steps of Adam.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "cpu.h"
#include "swage/plan.h"
#include "swage/swae.h"

enum { SEED = 42, STEPS = 3 };

/* What to expect of f32 is set by the steepest of the losses: batch norm over few values, then a sorted distance. */
typedef struct network {
    const char *file, *preset;
    double values, gradients, curve;    /* z, y, losses of the first step; gradients and their norm; losses later */
} network;
static const network networks[] = {
    {"swae_gmlp.safetensors", "swae/gmlp", 2e-6, 1e-5, 1e-5},
    {"swae_conv.safetensors", "swae/conv", 5e-6, 2e-5, 2e-4},
    {"swae_conv_opt.safetensors", "swae/conv-opt", 2e-6, 1e-5, 1e-4},
    {"swae_conv7.safetensors", "swae/conv7", 5e-6, 2e-5, 2e-4},
    {"swae_gdn.safetensors", NULL, 2e-6, 1e-5, 1e-4},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static const swg_swae gdn = {.kind = SWG_SWAE_CONV_OPT, .input = 125, .latent = 16, .hidden_count = 2, .hidden = {8, 12}, .gdn = true, .latent_int8 = true};

typedef struct trainer {
    swg_context *ctx;
    swg_dtype dtype;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, theta, prior, hyper, z, y, loss[3], norm; /* mse, distance, total */
    double b1, b2;
} trainer;

/* With `given`, directions and prior are inputs; else they are drawn as in training. */
static void open_trainer(trainer *t, swg_context *ctx, const network *n, const swg_safetensors *file, swg_dtype dtype, bool given) {
    *t = (trainer){.ctx = ctx, .dtype = dtype, .b1 = 1, .b2 = 1};
    swg_swae model = gdn;
    const swg_tensor *x = golden_get(file, "x"), *theta = golden_get(file, "theta"), *prior = golden_get(file, "prior");
    double lambda = strtod(swg_safetensors_note(file, "lambda"), NULL);
    if (n->preset)
        assert_ok(ctx, swg_swae_preset(ctx, n->preset, &model));
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &t->g));
    t->x = swg_input(t->g, "x", x->ndim, x->shape);
    t->hyper = swg_input(t->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    t->z = swg_swae_encode(t->g, t->x, &model);
    t->y = swg_swae_decode(t->g, t->z, &model);
    if (given) {
        t->theta = swg_input(t->g, "theta", theta->ndim, theta->shape);
        t->prior = swg_input(t->g, "prior", prior->ndim, prior->shape);
        t->loss[0] = swg_loss_mse(t->g, t->y, t->x);
        t->loss[1] = swg_loss_sliced_wasserstein_with(t->g, t->z, t->theta, t->prior);
        t->loss[2] = swg_add(t->g, t->loss[0], swg_affine(t->g, t->loss[1], lambda, 0));
    } else {
        const swg_swae_loss loss = {.kind = SWG_SWAE_MSE, .lambda = lambda, .directions = theta->shape[0]};
        t->loss[2] = swg_swae_loss_of(t->g, &loss, t->x, t->y, t->z, &t->loss[0], &t->loss[1]);
    }
    t->norm = swg_adam(t->g, t->loss[2], t->hyper, &(swg_adam_opts){.clip = true});
    swg_value outputs[] = {t->z, t->y, t->loss[0], t->loss[1], t->loss[2], t->norm};
    assert_ok(ctx, swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = 6}, &t->plan));
    assert_ok(ctx, swg_weights_create(t->g, true, &t->weights));
    assert_int_equal(swg_graph_parameters(t->g), strtoll(swg_safetensors_note(file, "parameters"), NULL, 10));
    swg_weights_init(t->weights, SEED);
    assert_ok(ctx, swg_plan_open(t->plan, t->weights, NULL));
    fill(swg_plan_data(t->plan, t->x), dtype, x);
    if (given) {
        fill(swg_plan_data(t->plan, t->theta), dtype, theta);
        fill(swg_plan_data(t->plan, t->prior), dtype, prior);
    }
}

static void close_trainer(trainer *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
}

static void step(trainer *t, uint32_t number) {
    swg_hyper_adam(&(swg_adam_hyper){.lr = 2e-4, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &t->b1, &t->b2,
                   t->dtype, swg_plan_data(t->plan, t->hyper));
    assert_ok(t->ctx, swg_plan_run(t->plan, SEED, number));
}

/* Elements 0, stride, 2 stride, ... of `got`: the largest gap, as a part of `scale`. */
static void compare(const char *what, const char *name, const swg_tensor *want, const void *got, swg_dtype dtype, int64_t stride, double allowed) {
    assert_non_null(got);
    assert_non_null(want);
    for (int64_t i = 0; i < golden_count(want); i++) {
        double a = element(got, dtype, i * stride), b = golden_at(want, i);
        if (!(fabs(a - b) <= allowed))
            fail_msg("%s %s, %s: element %lld is %.12g, expected %.12g (gap %.3g, allowed %.3g)", what, name, dtype == SWG_F64 ? "f64" : "f32",
                     (long long)(i * stride), a, b, fabs(a - b), allowed);
    }
}

static int64_t elements_of(const swg_weights *w, int parameter) {
    int64_t count = 1;
    for (int d = 0; d < swg_weights_ndim(w, parameter); d++)
        count *= swg_weights_shape(w, parameter)[d];
    return count;
}

/* Every gradient against its samples, as a part of its largest, and its norm. A bias in front of batch norm has the gradient 0: what is left
 * there is rounding of terms as large as the weight's gradient, whose size is the measure then. */
static void compare_gradients(trainer *t, const swg_safetensors *file, double allowed) {
    double scale = 0;
    for (int i = 0; i < swg_weights_count(t->weights); i++) {
        const char *name = swg_weights_name(t->weights, i);
        const swg_tensor *want = golden_find(file, "grad", name), *norm = golden_find(file, "gradnorm", name);
        char key[256];
        snprintf(key, sizeof key, "stride.%s", name);
        assert_non_null(want);
        bool bias = strstr(name, ".bias") != NULL;
        scale = bias ? fmax(scale, golden_largest(want)) : golden_largest(want); /* a bias follows its weight */
        compare("gradient", name, want, swg_weights_gradient(t->weights, i), t->dtype, strtoll(swg_safetensors_note(file, key), NULL, 10),
                allowed * scale);
        double squares = 0;
        int64_t count = elements_of(t->weights, i);
        for (int64_t e = 0; e < count; e++)
            squares += pow(element(swg_weights_gradient(t->weights, i), t->dtype, e), 2);
        assert_close(sqrt(squares), golden_at(norm, 0), allowed * scale * sqrt((double)count), allowed);
    }
}

static void first_step(swg_context *ctx, const network *n, swg_dtype dtype, double values, double gradients) {
    swg_safetensors *file = golden_open(ctx, n->file);
    const swg_tensor *curve = golden_get(file, "curve");
    trainer t;
    open_trainer(&t, ctx, n, file, dtype, true);
    step(&t, 0);
    compare("output", "z", golden_get(file, "z"), swg_plan_data(t.plan, t.z), dtype, 1, values * golden_largest(golden_get(file, "z")));
    compare("output", "y", golden_get(file, "y"), swg_plan_data(t.plan, t.y), dtype, 1, values * golden_largest(golden_get(file, "y")));
    for (int i = 0; i < 3; i++)
        assert_close(element(swg_plan_data(t.plan, t.loss[i]), dtype, 0), golden_at(curve, i), 0, values);
    assert_close(element(swg_plan_data(t.plan, t.norm), dtype, 0), golden_at(golden_get(file, "grad_norm"), 0), 0, gradients);
    compare_gradients(&t, file, gradients);
    for (int s = 0; s < swg_weights_states(t.weights); s++) {
        const swg_tensor *want = golden_find(file, "state", swg_weights_state_name(t.weights, s));
        compare("state", swg_weights_state_name(t.weights, s), want, swg_weights_state(t.weights, s), dtype, 1, values * golden_largest(want));
    }
    close_trainer(&t);
    swg_safetensors_close(file);
}

/* Only the stored f32 of tensors, directions and prior stand between the two. */
static void as_in_f64(void **state) {
    for (int n = 0; n < NETWORKS; n++)
        first_step(*state, &networks[n], SWG_F64, 2e-7, 4e-7);
}

/* As `swage train` runs it: fused, own draws, running statistics. */
static void three_steps(swg_context *ctx, const network *n) {
    swg_safetensors *file = golden_open(ctx, n->file);
    const swg_tensor *curve = golden_get(file, "curve");
    trainer t;
    open_trainer(&t, ctx, n, file, SWG_F32, false);
    for (int s = 0; s < STEPS; s++) {
        step(&t, (uint32_t)s);
        for (int i = 0; i < 3; i++)
            assert_close(element(swg_plan_data(t.plan, t.loss[i]), SWG_F32, 0), golden_at(curve, 3 * s + i), 0, n->curve);
        assert_close(element(swg_plan_data(t.plan, t.norm), SWG_F32, 0), golden_at(golden_get(file, "grad_norm"), s), 0, 10 * n->curve);
    }
    close_trainer(&t);
    swg_safetensors_close(file);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++)
        for (int n = 0; n < NETWORKS; n++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            first_step(ctx, &networks[n], SWG_F32, networks[n].values, networks[n].gradients);
            three_steps(ctx, &networks[n]);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
