/* test_cyto_gan.c - proves: generator and patch discriminator have the shapes, parameters and multiply-adds of cyto.md, section 3.2, and start as
 * promised; enlarging, cropping and pooling take the samples they should; one gradient of the total is that of each network's own loss,
 * with the discriminator run once per image; what does not fit is refused. test_golden_cyto.c has the numbers of training.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "golden.h"
#include "swage/cyto.h"
#include "plan/plan.h"

static swg_graph *graph(swg_context *ctx, swg_dtype dtype) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    return g;
}

static void assert_shape(const swg_graph *g, swg_value v, int ndim, const int64_t *want) {
    assert_int_equal(swg_ndim(g, v), ndim);
    for (int axis = 0; axis < ndim; axis++)
        assert_int_equal(swg_shape(g, v)[axis], want[axis]);
}

/* ---- the tables of section 3.2 ---- */

static void published(void **state) {
    swg_context *ctx = *state;
    swg_layers generator, discriminator;
    assert_ok(ctx, swg_gan_layers(ctx, &(swg_gan){0}, 5, (int64_t[]){1, 1, 16, 32, 32}, &generator, &discriminator));
    assert_int_equal(generator.total.parameters, 342377);
    assert_int_equal(swg_layers_below(&generator, "generator/head/res").parameters, 54);
    assert_int_equal(swg_layers_below(&generator, "generator/head/out").parameters, 2);
    assert_int_equal(discriminator.total.parameters, 36913);
    static const int64_t parameters[3] = {2064, 32800, 2049}, macs[3] = {268435456, 4031741952, 236175360};
    for (int i = 0; i < 3; i++) {
        char name[48];
        snprintf(name, sizeof name, "discriminator/scale0/conv%d", i);
        swg_layer layer = swg_layers_below(&discriminator, name);
        assert_int_equal(layer.parameters, parameters[i]);
        assert_int_equal(layer.macs, macs[i]);
    }
    swg_layers_free(ctx, &generator);
    swg_layers_free(ctx, &discriminator);
    assert_ok(ctx, swg_gan_layers(ctx, &(swg_gan){0}, 4, (int64_t[]){1, 1, 64, 64}, &generator, &discriminator));
    assert_int_equal(generator.total.parameters, 119845);
    assert_int_equal(discriminator.total.parameters, 9265);
    swg_layers_free(ctx, &generator);
    swg_layers_free(ctx, &discriminator);
    assert_ok(ctx, swg_gan_layers(ctx, &(swg_gan){.discriminator.scales = 2}, 5, (int64_t[]){1, 1, 16, 32, 32}, NULL, &discriminator));
    assert_int_equal(discriminator.total.parameters, 2 * 36913);
    swg_layers_free(ctx, &discriminator);
}

static void patches(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph(ctx, SWG_F32);
    swg_patchgan_weights w;
    swg_patchgan_scores s;
    swg_value source = swg_input(g, "source", 5, (int64_t[]){2, 1, 16, 32, 32}), image = swg_input(g, "image", 5, (int64_t[]){2, 1, 64, 128, 128});
    swg_patchgan model = {.scales = 2};
    swg_patchgan_params(g, &model, 2, 3, &w);
    swg_patchgan_apply(g, source, image, &model, &w, &s);
    assert_ok(ctx, swg_graph_status(g));
    static const int64_t want[2][3][5] = {{{2, 16, 32, 64, 64}, {2, 32, 31, 63, 63}, {2, 1, 30, 62, 62}},
                                          {{2, 16, 16, 32, 32}, {2, 32, 15, 31, 31}, {2, 1, 14, 30, 30}}};
    assert_int_equal(s.scales, 2);
    assert_int_equal(s.convolutions, 3);
    for (int scale = 0; scale < 2; scale++)
        for (int i = 0; i < 3; i++)
            assert_shape(g, s.feature[scale][i], 5, want[scale][i]);
    swg_graph_destroy(g);

    g = graph(ctx, SWG_F32); /* as pix2pixHD's: 64, 128, 256 at half the extent each, 512 at stride 1; at most 8 times the filters */
    model = (swg_patchgan){.layers = 4, .filters = 4};
    swg_patchgan_params(g, &model, 3, 2, &w);
    swg_patchgan_apply(g, swg_input(g, "source", 4, (int64_t[]){1, 1, 64, 64}), swg_input(g, "image", 4, (int64_t[]){1, 2, 64, 64}), &model, &w, &s);
    assert_ok(ctx, swg_graph_status(g));
    static const int64_t deep[6][4] = {{1, 4, 32, 32}, {1, 8, 16, 16}, {1, 16, 8, 8}, {1, 32, 4, 4}, {1, 32, 3, 3}, {1, 1, 2, 2}};
    assert_int_equal(s.convolutions, 6);
    for (int i = 0; i < 6; i++)
        assert_shape(g, s.feature[0][i], 4, deep[i]);
    swg_graph_destroy(g);
}

/* Head and discriminator: uniform in +-1/sqrt(fan_in), biases alike; the rest as test_cyto_unet.c says. */
static void start(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph(ctx, SWG_F32);
    swg_weights *w;
    swg_gan_apply(g, swg_input(g, "source", 5, (int64_t[]){1, 1, 8, 8, 8}), SWG_NONE, &(swg_gan){0}, NULL);
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 12345);
    double bound = 0;
    int seen = 0;
    for (int p = 0; p < swg_weights_count(w); p++) {
        const float *v = swg_weights_value(w, p);
        const int64_t *shape = swg_weights_shape(w, p);
        int64_t fan_in = 1, ndim = swg_weights_ndim(w, p), count;
        if (!strstr(swg_weights_name(w, p), "head") && !strstr(swg_weights_name(w, p), "discriminator"))
            continue;
        for (int64_t axis = 1; axis < ndim; axis++)
            fan_in *= shape[axis];
        bound = ndim > 1 ? 1 / sqrt((double)fan_in) : bound; /* a bias follows its weight */
        count = shape[0] * (ndim > 1 ? fan_in : 1);
        double most = 0;
        for (int64_t i = 0; i < count; i++)
            most = fmax(most, fabs((double)v[i]));
        assert_true(most > 0 && most <= bound);
        if (count > 100)
            assert_true(most > .9 * bound);
        seen++;
    }
    assert_int_equal(seen, 2 + 2 + 6);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* ---- samples ---- */

typedef struct run { swg_graph *g; swg_plan *plan; } run;

static run evaluate(swg_context *ctx, swg_graph *g, const swg_value *outputs, int count) {
    run r = {.g = g};
    assert_ok(ctx, swg_graph_status(g));
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count}, &r.plan));
    assert_ok(ctx, swg_plan_open(r.plan, NULL, NULL));
    assert_ok(ctx, swg_plan_run(r.plan, 0, 0));
    return r;
}

static double number(const run *r, swg_value v, int64_t i) { return ((const double *)swg_plan_data(r->plan, v))[i]; }

static void end(run *r) {
    swg_plan_destroy(r->plan);
    swg_graph_destroy(r->g);
}

static void samples(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = graph(ctx, SWG_F64);
    const double ramp[5] = {1, 2, 4, 8, 16};
    swg_value two = swg_constant_array(g, 3, (int64_t[]){1, 1, 2}, (double[]){0, 1}), five = swg_constant_array(g, 3, (int64_t[]){1, 1, 5}, ramp);
    swg_value large = swg_resize(g, two, (int64_t[]){8}, &(swg_resize_opts){.align_corners = true});
    swg_value pooled = swg_avg_pool(g, five, &(swg_pool_opts){.kernel = {3}, .stride = {2}, .padding = {1}, .exclude_padding = true});
    swg_value near = swg_resize(g, two, (int64_t[]){5}, &(swg_resize_opts){.nearest = true});
    swg_value zero = swg_constant_array(g, 3, (int64_t[]){1, 1, 2}, (double[]){0, 0});
    swg_value bce = swg_loss_bce_logits(g, zero, two);
    swg_value a = swg_constant_array(g, 4, (int64_t[]){1, 1, 2, 3}, (double[]){1, 2, 3, 4, 5, 6});
    swg_value b = swg_constant_array(g, 4, (int64_t[]){1, 1, 3, 2}, (double[]){1, 2, 3, 4, 5, 6});
    swg_crop_common(g, &a, &b);
    run r = evaluate(ctx, g, (swg_value[]){large, pooled, near, bce, a, b}, 6);
    for (int i = 0; i < 8; i++)
        assert_close(number(&r, large, i), i / 7., 1e-15, 1e-11);
    assert_close(number(&r, pooled, 0), 1.5, 1e-15, 0);
    assert_close(number(&r, pooled, 1), 14 / 3., 1e-15, 1e-15);
    assert_close(number(&r, pooled, 2), 12, 1e-15, 0);
    static const double nearest[5] = {0, 0, 0, 1, 1}, left[4] = {1, 2, 4, 5}, right[4] = {1, 2, 3, 4};
    for (int i = 0; i < 5; i++)
        assert_close(number(&r, near, i), nearest[i], 0, 0);
    assert_close(number(&r, bce, 0), 0.693147180560, 0, 1e-11);
    for (int i = 0; i < 4; i++) {
        assert_close(number(&r, a, i), left[i], 0, 0);
        assert_close(number(&r, b, i), right[i], 0, 0);
    }
    end(&r);
}

/* ---- a step ---- */

typedef struct step { swg_graph *g; swg_value source, target, fake, hyper, norm; swg_gan_losses losses; } step;

static step open_step(swg_context *ctx, const swg_gan *model, swg_dtype dtype) {
    step s = {.g = graph(ctx, dtype)};
    s.source = swg_input(s.g, "source", 5, (int64_t[]){1, 1, 4, 8, 8});
    s.target = swg_input(s.g, "target", 5, (int64_t[]){1, 1, 15, 34, 32}); /* neither is inside of the other */
    s.fake = swg_gan_apply(s.g, s.source, s.target, model, &s.losses);
    assert_ok(ctx, swg_graph_status(s.g));
    return s;
}

static const swg_gan small = {.generator.unet.filters = {4, 4, 4}, .discriminator = {.filters = 4, .scales = 2}};

static void one_gradient_for_both(void **state) {
    swg_context *ctx = *state;
    enum { MOST = 64 };
    swg_value of_total[MOST], of_own[MOST], outputs[2 * MOST];
    step s = open_step(ctx, &small, SWG_F64);
    assert_shape(s.g, s.fake, 5, (int64_t[]){1, 1, 16, 32, 32});
    int count, generator = 0;
    const swg_value *params = swg_params_of(s.g, &count);
    assert_in_range(count, 20, MOST);
    swg_weights *w;
    assert_ok(ctx, swg_weights_create(s.g, false, &w));
    while (strncmp(swg_weights_name(w, generator), "generator.", 10) == 0)
        generator++;
    assert_int_equal(count - generator, 2 * 6);
    assert_ok(ctx, swg_gradients(s.g, s.losses.total, params, count, of_total));
    params = swg_params_of(s.g, &count);
    assert_ok(ctx, swg_gradients(s.g, s.losses.generator, params, generator, of_own));
    assert_ok(ctx, swg_gradients(s.g, s.losses.discriminator, params + generator, count - generator, of_own + generator));
    memcpy(outputs, of_total, (size_t)count * sizeof *outputs);
    memcpy(outputs + count, of_own, (size_t)count * sizeof *outputs);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(s.g, &(swg_plan_opts){.outputs = outputs, .output_count = 2 * count}, &plan));
    swg_weights_init(w, 3);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    double *x = swg_plan_data(plan, s.source), *t = swg_plan_data(plan, s.target);
    for (int64_t i = 0; i < swg_elements(s.g, s.source); i++)
        x[i] = sin(.7 * (double)i);
    for (int64_t i = 0; i < swg_elements(s.g, s.target); i++)
        t[i] = cos(.3 * (double)i);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int p = 0; p < count; p++) {
        const double *a = swg_plan_data(plan, of_total[p]), *b = swg_plan_data(plan, of_own[p]);
        double most = 0;
        for (int64_t i = 0; i < swg_elements(s.g, params[p]); i++) {
            assert_close(a[i], b[i], 1e-14, 1e-10);
            most = fmax(most, fabs(b[i]));
        }
        assert_true(most > 0);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(s.g);
}

/* Forward convolutions of a plan in `scope`. */
static int convolutions(const swg_plan *plan, const char *scope) {
    int count = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__node *n = plan->steps[i].packs ? NULL : plan->steps[i].call.node;
        count += n && n->op == SWG__CONV && !n->backward && strncmp(n->name, scope, strlen(scope)) == 0;
    }
    return count;
}

/* The generated image goes through the discriminator once, though its weights are detached there for the generator's loss. */
static void runs_once_per_image(void **state) {
    swg_context *ctx = *state;
    static const char *const policies[] = {"off", "none", "blocks", "segments:2"};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        step s = open_step(ctx, &small, SWG_F32);
        swg_recompute how;
        assert_ok(ctx, swg_recompute_read(ctx, policies[i], &how));
        s.hyper = swg_input(s.g, "hyper", 2, (int64_t[]){2, SWG_HYPER_COUNT});
        s.norm = swg_update(s.g, s.losses.total, s.hyper, &(swg_update_opts){.groups = 2});
        swg_plan *plan;
        assert_ok(ctx, swg_plan_make(s.g, &(swg_plan_opts){.outputs = (swg_value[]){s.losses.total, s.norm, s.fake}, .output_count = 3, .recompute = how}, &plan));
        for (int scale = 0; scale < 2; scale++)
            for (int layer = 0; layer < 3; layer++) {
                char name[48];
                snprintf(name, sizeof name, "discriminator/scale%d/conv%d", scale, layer);
                if (convolutions(plan, name) != 2)
                    fail_msg("%s, %s: %d convolutions", policies[i], name, convolutions(plan, name));
            }
        assert_int_equal(convolutions(plan, "generator/input/conv1"), 1);
        swg_plan_destroy(plan);
        swg_graph_destroy(s.g);
    }
}

/* Losses are f32 there, of features in bf16. */
static void in_bf16(void **state) {
    swg_context *ctx = *state;
    double found[2][3];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        step s = open_step(ctx, &small, SWG_F32);
        swg_value outputs[3] = {s.losses.adversarial, s.losses.matching, s.losses.reconstruction};
        swg_plan *plan;
        swg_weights *w;
        assert_ok(ctx, swg_plan_make(s.g, &(swg_plan_opts){.outputs = outputs, .output_count = 3, .bf16 = bf16}, &plan));
        assert_ok(ctx, swg_weights_create(s.g, false, &w));
        swg_weights_init(w, 5);
        assert_ok(ctx, swg_plan_open(plan, w, NULL));
        float *x = swg_plan_data(plan, s.source), *t = swg_plan_data(plan, s.target);
        for (int64_t i = 0; i < swg_elements(s.g, s.source); i++)
            x[i] = sinf(.7F * (float)i);
        for (int64_t i = 0; i < swg_elements(s.g, s.target); i++)
            t[i] = cosf(.3F * (float)i);
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        for (int i = 0; i < 3; i++)
            found[bf16][i] = (double)*(float *)swg_plan_data(plan, outputs[i]);
        assert_int_equal(convolutions(plan, "discriminator/scale0/conv1"), 2);
        swg_plan_destroy(plan);
        swg_weights_destroy(w);
        swg_graph_destroy(s.g);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(found[0][i] != found[1][i]);
        assert_close(found[1][i], found[0][i], 0, .02);
    }
}

/* Training and prediction have the same weights; tanh is in [-1, 1]. */
static void predicts(void **state) {
    swg_context *ctx = *state;
    swg_gan model = small;
    model.generator.act = SWG_ACT_TANH;
    model.generator.factor = 2;
    model.discriminator.scales = 1;
    step s = open_step(ctx, &model, SWG_F32);
    swg_weights *w;
    assert_ok(ctx, swg_weights_create(s.g, true, &w));
    swg_weights_init(w, 1);
    swg_graph *g = graph(ctx, SWG_F32);
    swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 4, 8, 8}), y = swg_gan_apply(g, x, SWG_NONE, &model, NULL);
    assert_shape(g, y, 5, (int64_t[]){2, 1, 8, 16, 16});
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true}, &plan));
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    float *data = swg_plan_data(plan, x);
    for (int i = 0; i < 512; i++)
        data[i] = (float)(i % 31) - 15;
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const float *out = swg_plan_data(plan, y);
    for (int64_t i = 0; i < swg_elements(g, y); i++)
        assert_true(out[i] >= -1 && out[i] <= 1);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    swg_weights_destroy(w);
    swg_graph_destroy(s.g);
}

/* A term of weight 0 leaves the others. */
static void weights_of_terms(void **state) {
    swg_context *ctx = *state;
    swg_gan model = small;
    const swg_gan_weights only = {.reconstruction = 2};
    model.weights = &only;
    step s = open_step(ctx, &model, SWG_F32);
    char text[64];
    snprintf(text, sizeof text, "%d", (int)swg_elements(s.g, s.losses.matching));
    assert_string_equal(text, "1");
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(s.g, &(swg_plan_opts){.outputs = &s.losses.generator, .output_count = 1}, &plan));
    assert_int_equal(convolutions(plan, "discriminator"), 0);
    swg_plan_destroy(plan);
    swg_graph_destroy(s.g);
}

static void refuses(void **state) {
    swg_context *ctx = *state;
    static const swg_gan_weights none = {0};
    static const struct { swg_gan model; int ndim; int64_t channels, extent; const char *says; } cases[] = {
        {{.discriminator.layers = 7}, 4, 1, 32, "patchgan: 7 layers"},
        {{.discriminator.scales = 5}, 4, 1, 32, "5 scales"},
        {{.discriminator.kernel = -1}, 4, 1, 32, "kernel -1"},
        {{.generator.factor = -2}, 4, 1, 32, "factor -2"},
        {{.discriminator.layers = 6}, 4, 1, 32, "one value per sample and channel"},
        {{.discriminator.layers = 1}, 5, 1, 32, "gan: target (1, 1, 32, 32, 4) of \"target\" beside what is generated, (1, 1, 32, 32)"},
        {{.discriminator.layers = 1}, 4, 2, 32, "gan: target (1, 2, 32, 32)"},
        {{.weights = &none}, 4, 1, 32, "all weights of the generator's loss are 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g = graph(ctx, SWG_F32);
        swg_gan_losses losses;
        const int64_t shape[5] = {1, cases[i].channels, cases[i].extent, cases[i].extent, 4};
        swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 1, 8, 8}), target = swg_input(g, "target", cases[i].ndim, shape);
        assert_int_equal(swg_gan_apply(g, x, target, &cases[i].model, &losses), SWG_NONE);
        assert_int_equal(losses.total, SWG_NONE);
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), cases[i].says))
            fail_msg("case %zu says: %s", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
    swg_layers a, b;
    assert_int_equal(swg_gan_layers(ctx, &(swg_gan){0}, 4, (int64_t[]){1, 1, 6, 8}, &a, &b), SWG_ESHAPE);
    assert_int_equal(a.count + b.count, 0);
}

/* The head that is not published: as many parameters as a transposed convolution; with that at 0, the source enlarged. */
static void subpixel(void **state) {
    swg_context *ctx = *state;
    const swg_superres model = {.subpixel = true};
    const int64_t want[5] = {2, 1, 16, 16, 32};
    swg_graph *g = graph(ctx, SWG_F32);
    swg_plan *plan;
    swg_weights *weights;
    swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 4, 4, 8}), y = swg_superres_apply(g, x, &model);
    swg_value enlarged = swg_resize(g, x, want + 2, NULL), outputs[2] = {y, enlarged};
    assert_shape(g, y, 5, want);
    assert_int_equal(swg_graph_parameters(g), 342321 - 17 + 16 * 64 + 1);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 1);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    float *in = swg_plan_data(plan, x);
    for (int64_t i = 0; i < 2 * 4 * 4 * 8; i++)
        in[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int zero = 0; zero < 2; zero++) {
        double difference = 0;
        for (int i = 0; i < swg_weights_count(weights) && zero; i++)
            if (strncmp(swg_weights_name(weights, i), "generator.head.up", 17) == 0)
                memset(swg_weights_value(weights, i), 0, (swg_weights_ndim(weights, i) > 1 ? 16 * 64 : 1) * sizeof(float));
        swg_plan_refresh(plan);
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        for (int64_t i = 0; i < swg_elements(g, y); i++)
            difference = fmax(difference, fabs((double)((float *)swg_plan_data(plan, y))[i] - (double)((float *)swg_plan_data(plan, enlarged))[i]));
        assert_true(zero ? difference < 1e-6 : difference > 1e-3);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(patches, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(start, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(samples, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(one_gradient_for_both, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(runs_once_per_image, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(in_bf16, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(predicts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(weights_of_terms, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(subpixel, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
