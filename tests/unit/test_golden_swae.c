/* test_golden_swae.c - proves: swae/mlp and swae/mlp-deep start, compute, differentiate and train as in PyTorch (vectors made in f64):
 * random draws, latents, reconstruction, losses, all gradients, norms, ten steps of Adam and the parameters after them; in bf16, a hundred
 * steps as under PyTorch's autocast.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "cpu.h"
#include "swage/plan.h"
#include "swage/swae.h"

enum { SEED = 42, STEPS = 10 };

/* What to expect of f32. In swae_mlp_deep two projections are 6e-8 apart; rounding that swaps their ranks is no error, but the
 * encoder's gradients change by 2e-3 of the largest element, and Adam makes full steps of what was next to nothing. */
typedef struct network {
    const char *file, *preset;
    double encoder;     /* gradients, of the largest element */
    double norm;        /* of the gradient, relative */
    double rms;         /* parameters after ten steps of 2e-4, absolute */
} network;
static const network networks[] = {{"swae_mlp.safetensors", "swae/mlp", 3e-6, 1e-4, 1e-6},
                                   {"swae_mlp_deep.safetensors", "swae/mlp-deep", 4e-3, 2e-3, 1e-4}};

/* A training graph. With `given`, directions and prior are inputs; else they are drawn as in training. */
typedef struct trainer {
    swg_context *ctx;
    swg_dtype dtype;
    bool bf16;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, theta, prior, hyper, z, y, mse, distance, total, norm;
    double b1, b2;
} trainer;

static void open_trainer(trainer *t, swg_context *ctx, const network *n, const swg_safetensors *file, swg_dtype dtype, bool given) {
    *t = (trainer){.ctx = ctx, .dtype = dtype, .bf16 = t->bf16, .b1 = 1, .b2 = 1};
    swg_swae model;
    const swg_tensor *x = golden_get(file, "x"), *theta = golden_get(file, "theta"), *prior = golden_get(file, "prior");
    assert_ok(ctx, swg_swae_preset(ctx, n->preset, &model));
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &t->g));
    t->x = swg_input(t->g, "x", x->ndim, x->shape);
    t->hyper = swg_input(t->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    t->z = swg_swae_encode(t->g, t->x, &model);
    t->y = swg_swae_decode(t->g, t->z, &model);
    if (given) {
        t->theta = swg_input(t->g, "theta", theta->ndim, theta->shape);
        t->prior = swg_input(t->g, "prior", prior->ndim, prior->shape);
        t->mse = swg_loss_mse(t->g, t->y, t->x);
        t->distance = swg_loss_sliced_wasserstein_with(t->g, t->z, t->theta, t->prior);
        t->total = swg_add(t->g, t->mse, t->distance);
    } else {
        const swg_swae_loss loss = {.kind = SWG_SWAE_MSE, .lambda = 1, .directions = theta->shape[0]};
        t->total = swg_swae_loss_of(t->g, &loss, t->x, t->y, t->z, &t->mse, &t->distance);
    }
    t->norm = swg_adam(t->g, t->total, t->hyper, &(swg_adam_opts){.clip = true});
    swg_value outputs[] = {t->z, t->y, t->mse, t->distance, t->total, t->norm};
    assert_ok(ctx, swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = 6, .bf16 = t->bf16}, &t->plan));
    assert_ok(ctx, swg_weights_create(t->g, true, &t->weights));
    swg_weights_init(t->weights, SEED);
    assert_ok(ctx, swg_plan_open(t->plan, t->weights, NULL));
    fill(swg_plan_data(t->plan, t->x), dtype, x);
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

static double output(const trainer *t, swg_value v) { return element(swg_plan_data(t->plan, v), t->dtype, 0); }

/* `got` against the stored samples (its elements 0, stride, 2 stride, ...): the largest gap, as a part of the largest sample. */
static void compare(const char *what, const char *name, const swg_tensor *want, const void *got, swg_dtype dtype, int64_t stride,
                    double relative) {
    double allowed = relative * golden_largest(want);
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++) {
        double a = element(got, dtype, i * stride), b = golden_at(want, i);
        if (!(fabs(a - b) <= allowed))
            fail_msg("%s %s, %s: element %lld is %.12g, expected %.12g (gap %.3g, allowed %.3g)", what, name,
                     dtype == SWG_F64 ? "f64" : "f32", (long long)(i * stride), a, b, fabs(a - b), allowed);
    }
}

/* The same, the root of the mean squared gap. */
static void compare_rms(const char *name, const swg_tensor *want, const void *got, swg_dtype dtype, int64_t stride, double allowed) {
    double squares = 0;
    for (int64_t i = 0; i < golden_count(want); i++) {
        double gap = element(got, dtype, i * stride) - golden_at(want, i);
        squares += gap * gap;
    }
    double rms = sqrt(squares / (double)golden_count(want));
    if (!(rms <= allowed))
        fail_msg("%s after ten steps: root mean square gap %.3g, allowed %.3g", name, rms, allowed);
}

static int64_t stride_of(const swg_safetensors *file, const char *name) {
    char key[256];
    snprintf(key, sizeof key, "stride.%s", name);
    const char *text = swg_safetensors_note(file, key);
    assert_non_null(text);
    return strtoll(text, NULL, 10);
}

static double norm_of(const trainer *t, int parameter, const void *data) {
    double squares = 0;
    int64_t count = 1;
    for (int d = 0; d < swg_weights_ndim(t->weights, parameter); d++)
        count *= swg_weights_shape(t->weights, parameter)[d];
    for (int64_t e = 0; e < count; e++)
        squares += element(data, t->dtype, e) * element(data, t->dtype, e);
    return sqrt(squares);
}

static void compare_gradients(trainer *t, const swg_safetensors *file, double encoder, double decoder, double norm) {
    for (int i = 0; i < swg_weights_count(t->weights); i++) {
        const char *name = swg_weights_name(t->weights, i);
        const void *got = swg_weights_gradient(t->weights, i);
        compare("gradient", name, golden_find(file, "grad", name), got, t->dtype, stride_of(file, name),
                strncmp(name, "encoder", 7) == 0 ? encoder : decoder);
        assert_close(norm_of(t, i, got), golden_at(golden_find(file, "gradnorm", name), 0), 0, norm);
    }
}

static void compare_parameters(trainer *t, const swg_safetensors *file, double rms, double norm) {
    for (int i = 0; i < swg_weights_count(t->weights); i++) {
        const char *name = swg_weights_name(t->weights, i);
        const void *got = swg_weights_value(t->weights, i);
        compare_rms(name, golden_find(file, "param10", name), got, t->dtype, stride_of(file, name), rms);
        assert_close(norm_of(t, i, got), golden_at(golden_find(file, "param10norm", name), 0), 0, norm);
    }
}

/* ---- the draws of a step, by our random operations ---- */

typedef struct draws {
    swg_graph *g;
    swg_plan *plan;
    swg_value x, theta, prior;
} draws;

static void open_draws(draws *d, swg_context *ctx, const swg_safetensors *file, swg_dtype dtype) {
    const swg_tensor *x = golden_get(file, "x"), *theta = golden_get(file, "theta"), *prior = golden_get(file, "prior");
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &d->g));
    d->x = swg_random_normal(d->g, "golden:x", 2, x->shape);
    d->theta = swg_random_normal(d->g, "sw:theta", 2, theta->shape);
    d->prior = swg_random_normal(d->g, "sw:prior", 2, prior->shape);
    swg_value outputs[] = {d->x, d->theta, d->prior};
    assert_ok(ctx, swg_plan_make(d->g, &(swg_plan_opts){.outputs = outputs, .output_count = 3}, &d->plan));
    assert_ok(ctx, swg_plan_open(d->plan, NULL, NULL));
}

static void close_draws(draws *d) {
    swg_plan_destroy(d->plan);
    swg_graph_destroy(d->g);
}

/* Normals rounded to f32, as the vectors were made; the rows of the directions then divided by their length. */
static void put_draws(const draws *d, trainer *t) {
    const double *theta = swg_plan_data(d->plan, d->theta), *prior = swg_plan_data(d->plan, d->prior);
    double *to_theta = swg_plan_data(t->plan, t->theta), *to_prior = swg_plan_data(t->plan, t->prior);
    int64_t rows = swg_shape(d->g, d->theta)[0], k = swg_shape(d->g, d->theta)[1];
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0;
        for (int64_t i = 0; i < k; i++)
            squares += (double)(float)theta[r * k + i] * (double)(float)theta[r * k + i];
        for (int64_t i = 0; i < k; i++)
            to_theta[r * k + i] = (double)(float)theta[r * k + i] / sqrt(squares);
    }
    for (int64_t i = 0; i < swg_elements(d->g, d->prior); i++)
        to_prior[i] = (double)(float)prior[i];
}

/* Our normals, by the exact kernel (f32) and by the reference (f64), against the stored ones. */
static void normals(void **state) {
    swg_context *ctx = *state;
    for (int dtype = SWG_F32; dtype <= SWG_F64; dtype++) {
        swg_safetensors *file = golden_open(ctx, networks[0].file);
        draws d;
        open_draws(&d, ctx, file, (swg_dtype)dtype);
        assert_ok(ctx, swg_plan_run(d.plan, SEED, 0));
        double allowed = dtype == SWG_F64 ? 6e-8 : 2e-6; /* stored: rounded to f32 */
        compare("draw", "x", golden_get(file, "x"), swg_plan_data(d.plan, d.x), (swg_dtype)dtype, 1, allowed);
        compare("draw", "prior", golden_get(file, "prior"), swg_plan_data(d.plan, d.prior), (swg_dtype)dtype, 1, allowed);
        close_draws(&d);
        swg_safetensors_close(file);
    }
}

/* f64, with the draws rounded as the vectors' were: only the stored f32 of tensors, and a draw that may round to the neighbouring f32
 * with another libm, stand between the two. */
static void as_in_f64(void **state) {
    swg_context *ctx = *state;
    for (int n = 0; n < 2; n++) {
        swg_safetensors *file = golden_open(ctx, networks[n].file);
        trainer t = {0};
        draws d;
        open_trainer(&t, ctx, &networks[n], file, SWG_F64, true);
        open_draws(&d, ctx, file, SWG_F64);
        for (int s = 0; s < STEPS; s++) {
            assert_ok(ctx, swg_plan_run(d.plan, SEED, (uint32_t)s));
            put_draws(&d, &t);
            step(&t, (uint32_t)s);
            const swg_tensor *curve = golden_get(file, "curve");
            assert_close(output(&t, t.mse), golden_at(curve, 3 * s), 0, 1e-9);
            assert_close(output(&t, t.distance), golden_at(curve, 3 * s + 1), 0, 1e-8);
            assert_close(output(&t, t.total), golden_at(curve, 3 * s + 2), 0, 1e-8);
            assert_close(output(&t, t.norm), golden_at(golden_get(file, "grad_norm"), s), 0, 1e-8);
            if (s > 0)
                continue;
            compare("input", "theta", golden_get(file, "theta"), swg_plan_data(t.plan, t.theta), SWG_F64, 1, 1.5e-7);
            compare("output", "z", golden_get(file, "z"), swg_plan_data(t.plan, t.z), SWG_F64, 1, 6e-8);
            compare("output", "y", golden_get(file, "y"), swg_plan_data(t.plan, t.y), SWG_F64, 1, 6e-8);
            assert_close(output(&t, t.total), golden_at(golden_get(file, "loss"), 2), 0, 1e-8);
            compare_gradients(&t, file, 1e-7, 1e-7, 1e-8);
        }
        compare_parameters(&t, file, 1e-8, 1e-8);
        close_draws(&d);
        close_trainer(&t);
        swg_safetensors_close(file);
    }
}

/* f32 kernels on the first step, directions and prior as stored. */
static void first_step(swg_context *ctx, const network *n) {
    swg_safetensors *file = golden_open(ctx, n->file);
    trainer t = {0};
    open_trainer(&t, ctx, n, file, SWG_F32, true);
    fill(swg_plan_data(t.plan, t.theta), SWG_F32, golden_get(file, "theta"));
    fill(swg_plan_data(t.plan, t.prior), SWG_F32, golden_get(file, "prior"));
    step(&t, 0);
    compare("output", "z", golden_get(file, "z"), swg_plan_data(t.plan, t.z), SWG_F32, 1, 2e-6);
    compare("output", "y", golden_get(file, "y"), swg_plan_data(t.plan, t.y), SWG_F32, 1, 2e-6);
    for (int i = 0; i < 3; i++)
        assert_close(output(&t, (swg_value[]){t.mse, t.distance, t.total}[i]), golden_at(golden_get(file, "loss"), i), 0, 5e-7);
    assert_close(output(&t, t.norm), golden_at(golden_get(file, "grad_norm"), 0), 0, n->norm);
    compare_gradients(&t, file, n->encoder, 3e-6, n->norm);
    close_trainer(&t);
    swg_safetensors_close(file);
}

/* Ten steps exactly as `swage train` runs them: fused, own draws. */
static void ten_steps(swg_context *ctx, const network *n) {
    swg_safetensors *file = golden_open(ctx, n->file);
    const swg_tensor *curve = golden_get(file, "curve");
    trainer t = {0};
    open_trainer(&t, ctx, n, file, SWG_F32, false);
    for (int s = 0; s < STEPS; s++) {
        step(&t, (uint32_t)s);
        for (int i = 0; i < 3; i++)
            assert_close(output(&t, (swg_value[]){t.mse, t.distance, t.total}[i]), golden_at(curve, 3 * s + i), 0, 1e-4);
        assert_close(output(&t, t.norm), golden_at(golden_get(file, "grad_norm"), s), 0, n->norm);
    }
    compare_parameters(&t, file, n->rms, 1e-4);
    close_trainer(&t);
    swg_safetensors_close(file);
}

/* A hundred steps in bf16. The two round at other places (PyTorch every result, weights too; we what lies in memory), and under
 * autocast the curves leave those of f32 by .03 and .1 %. */
static void as_under_autocast(swg_context *ctx, const network *n) {
    swg_safetensors *file = golden_open(ctx, n->file), *autocast = golden_open(ctx, "autocast.safetensors");
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(n->file, "."), n->file);
    const swg_tensor *curve = golden_get(autocast, name);
    trainer t = {.bf16 = true};
    open_trainer(&t, ctx, n, file, SWG_F32, false);
    for (int s = 0; s < curve->shape[0]; s++) {
        step(&t, (uint32_t)s);
        assert_close(output(&t, t.mse), golden_at(curve, 3 * s), 0, 2e-3);
        assert_close(output(&t, t.distance), golden_at(curve, 3 * s + 1), 0, 1e-2);
        assert_close(output(&t, t.total), golden_at(curve, 3 * s + 2), 0, 2e-3);
    }
    close_trainer(&t);
    swg_safetensors_close(autocast);
    swg_safetensors_close(file);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++)
        for (int n = 0; n < 2; n++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            first_step(ctx, &networks[n]);
            ten_steps(ctx, &networks[n]);
            as_under_autocast(ctx, &networks[n]);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(normals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
