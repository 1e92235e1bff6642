/* test_cyto_unet.c - proves: the dynamic U-Net has the shapes, parameters and multiply-adds of cyto.md, section 3.1, row by row, in 2-D and 3-D; its
 * weights start as promised; options and heads do what they say; Dice + cross entropy and instance norm give the numbers of section 10;
 * recomputation keeps every bit of the gradients and takes memory away; what does not fit is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "golden.h"
#include "philox.h"
#include "swage/cyto.h"
#include "swage/plan.h"

/* ---- the table of section 3.1 ---- */

static const struct row { const char *part; int64_t channels, z, y, volume, plane, macs; } rows[] = {
    {"input", 16, 16, 32, 7456, 2560, 120586240},
    {"down1", 32, 8, 16, 42176, 14528, 85983232},
    {"bottleneck", 64, 4, 8, 168320, 57728, 42991616},
    {"up1/deconv", 32, 8, 16, 16384, 8192, 4194304},
    {"up1/block", 32, 8, 16, 83072, 27776, 169869312},
    {"up2/deconv", 16, 16, 32, 4096, 2048, 8388608},
    {"up2/block", 16, 16, 32, 20800, 6976, 339738624},
    {"output", 1, 16, 32, 17, 17, 262144},
};

static const swg_layer *last_below(const swg_layers *layers, const char *scope) {
    const swg_layer *last = NULL;
    size_t length = strlen(scope);
    for (int64_t i = 0; i < layers->count; i++)
        if (strncmp(layers->rows[i].name, scope, length) == 0 && (layers->rows[i].name[length] == '/' || !layers->rows[i].name[length]))
            last = &layers->rows[i];
    return last;
}

static void every_row(void **state) {
    swg_context *ctx = *state;
    const swg_dynunet model = {0};
    swg_layers volume, plane;
    assert_ok(ctx, swg_dynunet_layers(ctx, &model, NULL, 0, 5, (int64_t[]){1, 1, 16, 32, 32}, &volume));
    assert_ok(ctx, swg_dynunet_layers(ctx, &model, NULL, 0, 4, (int64_t[]){1, 1, 64, 64}, &plane));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *want = &rows[i];
        swg_layer got = swg_layers_below(&volume, want->part);
        const swg_layer *last = last_below(&volume, want->part);
        assert_non_null(last);
        if (got.parameters != want->volume || got.macs != want->macs || swg_layers_below(&plane, want->part).parameters != want->plane)
            fail_msg("%s: %lld parameters, %lld multiply-adds, %lld parameters in 2-D", want->part, (long long)got.parameters, (long long)got.macs,
                     (long long)swg_layers_below(&plane, want->part).parameters);
        const int64_t shape[5] = {1, want->channels, want->z, want->y, want->y};
        assert_int_equal(last->ndim, 5);
        assert_memory_equal(last->shape, shape, sizeof shape);
    }
    assert_int_equal(volume.total.parameters, 342321);
    assert_int_equal(volume.total.macs, 772014080);
    assert_int_equal(plane.total.parameters, 119825);
    assert_int_equal(plane.total.macs, 100335616);
    swg_layers_free(ctx, &volume);
    swg_layers_free(ctx, &plane);
    assert_ok(ctx, swg_dynunet_layers(ctx, &model, NULL, 0, 5, (int64_t[]){1, 1, 64, 64, 64}, &volume));
    assert_int_equal(volume.total.macs, 12352225280);
    swg_layers_free(ctx, &volume);
}

/* ---- how weights start ---- */

static int64_t elements_of(const swg_weights *w, int parameter) {
    int64_t count = 1;
    for (int d = 0; d < swg_weights_ndim(w, parameter); d++)
        count *= swg_weights_shape(w, parameter)[d];
    return count;
}

static void start(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *w;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_dynunet_apply(g, swg_input(g, "x", 5, (int64_t[]){1, 1, 8, 16, 16}), &(swg_dynunet){0});
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 12345);
    int normal = 0;
    for (int p = 0; p < swg_weights_count(w); p++) {
        const float *v = swg_weights_value(w, p);
        const char *name = swg_weights_name(w, p);
        int64_t n = elements_of(w, p);
        if (swg_weights_ndim(w, p) == 1) { /* norms 1 and 0, the bias of the output 0 */
            float want = strstr(name, "norm") && strstr(name, "weight") ? 1.F : 0.F;
            for (int64_t i = 0; i < n; i++)
                if (v[i] != want)
                    fail_msg("%s starts with %g", name, (double)v[i]);
            continue;
        }
        double sum = 0, squares = 0, fan_in = (double)(n / swg_weights_shape(w, p)[0]), want = sqrt(2 / 1.0001 / fan_in);
        if (strstr(name, "deconv")) /* (C, Cout, k, k, k): Cout k^3, not C k^3 */
            assert_int_equal((int64_t)fan_in, swg_weights_shape(w, p)[1] * 8);
        for (int64_t i = 0; i < n; i++) {
            sum += (double)v[i];
            squares += (double)v[i] * (double)v[i];
        }
        assert_close(sum / (double)n, 0, 5 * want / sqrt((double)n), 0);
        assert_close(sqrt(squares / (double)n), want, 5 * want / sqrt(2 * (double)n), 0);
        normal++;
    }
    assert_int_equal(normal, 16); /* 10 of 3 x 3 x 3, 3 shortcuts, 2 transposed, 1 output */
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* ---- options ---- */

static int64_t parameters_of(swg_context *ctx, const swg_dynunet *model, int64_t channels, int64_t extent) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value y = swg_dynunet_apply(g, swg_input(g, "x", 4, (int64_t[]){2, channels, extent, extent}), model);
    assert_ok(ctx, swg_graph_status(g));
    const int64_t want[4] = {2, model->out ? model->out : 1, extent, extent};
    assert_memory_equal(swg_shape(g, y), want, sizeof want);
    int64_t count = swg_graph_parameters(g);
    swg_graph_destroy(g);
    return count;
}

static void options(void **state) {
    swg_context *ctx = *state;
    int64_t published = parameters_of(ctx, &(swg_dynunet){0}, 1, 16);
    assert_int_equal(published, 119825);
    /* without shortcuts: 1-wide convolutions and their norms */
    assert_int_equal(parameters_of(ctx, &(swg_dynunet){.plain = true}, 1, 16), published - (16 + 32) - (512 + 64) - (2048 + 128));
    assert_int_equal(parameters_of(ctx, &(swg_dynunet){.dropout = .1}, 1, 16), published);
    assert_int_equal(parameters_of(ctx, &(swg_dynunet){.out = 3}, 1, 16), published + 34);
    assert_int_equal(parameters_of(ctx, &(swg_dynunet){0}, 4, 16), published + 3 * (9 + 1) * 16);
    /* two levels, kernel 5, stride 3: by hand */
    int64_t input = 25 * 8 + 16 + 25 * 64 + 16 + 8 + 16, bottleneck = 25 * 8 * 12 + 24 + 25 * 144 + 24 + 96 + 24;
    int64_t up = 9 * 12 * 8 + 25 * 16 * 8 + 16 + 25 * 64 + 16 + 9;
    assert_int_equal(parameters_of(ctx, &(swg_dynunet){.levels = 2, .filters = {8, 12}, .strides = {1, 3}, .kernel = 5}, 1, 18), input + bottleneck + up);
    for (int levels = 2; levels <= SWG_DYNUNET_LEVELS; levels++)
        parameters_of(ctx, &(swg_dynunet){.levels = levels, .filters = {2, 2, 2, 2, 2, 2}}, 1, 64);
    parameters_of(ctx, &(swg_dynunet){.levels = 4, .filters = {2, 2, 2, 2}, .strides = {1, 1, 2, 1}}, 1, 6);

    /* two heads of one backbone, whose names are in the weights */
    const swg_cyto_head heads[] = {{"nuclei", 1}, {"boundary", 3}};
    const swg_dynunet model = {.filters = {4, 4, 4}};
    swg_graph *g;
    swg_weights *w;
    swg_value out[2];
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 5, (int64_t[]){1, 2, 8, 8, 8});
    swg_dynunet_heads(g, x, &model, heads, 2, out);
    assert_ok(ctx, swg_graph_status(g));
    for (int i = 0; i < 2; i++) {
        const int64_t want[5] = {1, heads[i].channels, 8, 8, 8};
        assert_memory_equal(swg_shape(g, out[i]), want, sizeof want);
    }
    assert_ok(ctx, swg_weights_create(g, false, &w));
    assert_string_equal(swg_weights_name(w, swg_weights_count(w) - 4), "heads.nuclei.weight");
    assert_string_equal(swg_weights_name(w, swg_weights_count(w) - 1), "heads.boundary.bias");
    swg_weights_destroy(w);
    int64_t both = swg_graph_parameters(g);
    swg_graph_destroy(g);
    swg_layers layers;
    assert_ok(ctx, swg_dynunet_layers(ctx, &model, heads, 2, 5, (int64_t[]){1, 2, 8, 8, 8}, &layers));
    assert_int_equal(layers.total.parameters, both);
    assert_int_equal(swg_layers_below(&layers, "heads/boundary").parameters, 15);
    swg_layers_free(ctx, &layers);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    assert_int_equal(swg_ndim(g, swg_dynunet_features(g, swg_input(g, "x", 5, (int64_t[]){1, 2, 8, 8, 8}), &model)), 5);
    assert_int_equal(swg_graph_parameters(g), both - 20); /* heads 4 + 1 and 12 + 3 */
    swg_graph_destroy(g);
}

/* ---- numbers of section 10 ---- */

/* Runs `outputs` in f64 with `values` in x; results to out, one number of each. */
typedef struct run { swg_graph *g; swg_plan *plan; } run;

static run evaluate(swg_context *ctx, swg_graph *g, swg_value x, const double *values, const swg_value *outputs, int count) {
    run r = {.g = g};
    assert_ok(ctx, swg_graph_status(g));
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count}, &r.plan));
    assert_ok(ctx, swg_plan_open(r.plan, NULL, NULL));
    memcpy(swg_plan_data(r.plan, x), values, (size_t)swg_elements(g, x) * sizeof *values);
    assert_ok(ctx, swg_plan_run(r.plan, 0, 0));
    return r;
}

static double number(const run *r, swg_value v, int i) { return ((const double *)swg_plan_data(r->plan, v))[i]; }

static void end(run *r) {
    swg_plan_destroy(r->plan);
    swg_graph_destroy(r->g);
}

static const double logits[4] = {2, -1, .5, -3};

static void dice_ce(void **state) {
    swg_context *ctx = *state;
    for (int empty = 0; empty < 2; empty++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
        swg_value y = swg_input(g, "y", 3, (int64_t[]){1, 1, 4});
        swg_value t = swg_constant_array(g, 3, (int64_t[]){1, 1, 4}, empty ? (double[4]){0} : (double[]){1, 0, 1, 1}), gradient;
        swg_dice_ce_terms terms;
        swg_value loss = swg_loss_dice_ce(g, y, t, &terms);
        assert_ok(ctx, swg_gradients(g, loss, &y, 1, &gradient));
        run r = evaluate(ctx, g, y, logits, (swg_value[]){loss, terms.dice, terms.ce, gradient}, 4);
        if (empty) {
            assert_close(number(&r, terms.dice, 0), 0.999994504388, 0, 1e-11);
        } else {
            assert_close(number(&r, terms.dice, 0), 0.356512391737, 0, 2e-12);
            assert_close(number(&r, terms.ce, 0), 0.990713508579, 0, 1e-11);
            assert_close(number(&r, loss, 0), 1.34722590032, 0, 1e-11);
        }
        static const double published[4] = {-0.0593517520993, 0.0934857615880, -0.160528253438, -0.250858750851};
        double all = 1e-5, both = 1e-5;
        for (int i = 0; i < 4; i++) {
            double s = 1 / (1 + exp(-logits[i])), x = empty ? 0 : i != 1;
            all += s + x;
            both += 2 * s * x;
        }
        for (int i = 0; i < 4; i++) { /* the formula of section 4 */
            double s = 1 / (1 + exp(-logits[i])), x = empty ? 0 : i != 1;
            double want = -(2 * x * all - both) / (all * all) * s * (1 - s) + (s - x) / 4;
            assert_close(number(&r, gradient, i), want, 1e-15, 1e-12);
            assert_close(want, empty ? want : published[i], 0, 1e-11);
        }
        end(&r);
    }
}

/* Two samples of two channels: Dice is the mean of four, cross entropy is over channels. */
static void dice_ce_of_more(void **state) {
    swg_context *ctx = *state;
    const double y[12] = {2, -1, .5, -3, 1, 0, .25, .75, -2, 1.5, -.5, 3}, t[12] = {1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0};
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    swg_value x = swg_input(g, "y", 3, (int64_t[]){2, 2, 3});
    swg_dice_ce_terms terms;
    swg_value loss = swg_loss_dice_ce(g, x, swg_constant_array(g, 3, (int64_t[]){2, 2, 3}, t), &terms);
    run r = evaluate(ctx, g, x, y, (swg_value[]){loss, terms.dice, terms.ce}, 3);
    double dice = 0, ce = 0;
    for (int item = 0; item < 4; item++) {
        double both = 1e-5, all = 1e-5;
        for (int i = 3 * item; i < 3 * item + 3; i++) {
            double s = 1 / (1 + exp(-y[i]));
            both += 2 * s * t[i];
            all += s + t[i];
        }
        dice += (1 - both / all) / 4;
    }
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 3; i++) {
            const double *a = y + 6 * n + i, *p = t + 6 * n + i;
            ce += (p[0] * log1p(exp(a[3] - a[0])) + p[3] * log1p(exp(a[0] - a[3]))) / 6;
        }
    assert_close(number(&r, terms.dice, 0), dice, 0, 1e-12);
    assert_close(number(&r, terms.ce, 0), ce, 0, 1e-12);
    assert_close(number(&r, loss, 0), dice + ce, 0, 1e-12);
    end(&r);
}

static void instance_norm(void **state) {
    swg_context *ctx = *state;
    static const double want[4] = {-0.973328014507, -0.648885343005, 0, 1.62221335751};
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    swg_value x = swg_input(g, "x", 3, (int64_t[]){1, 1, 4}), y = swg_instance_norm(g, x, "norm", NULL);
    run r = evaluate(ctx, g, x, (double[]){1, 2, 4, 9}, &y, 1);
    for (int i = 0; i < 4; i++)
        assert_close(number(&r, y, i), want[i], 1e-15, 1e-11);
    end(&r);
}

/* ---- layout ---- */

/* Channels-last inside or first, as asked for, and one operation at a time: the same image to 1e-5. */
static void layouts_agree(void **state) {
    swg_context *ctx = *state;
    enum { VOXELS = 8 * 16 * 16 };
    static float results[3][2 * VOXELS];
    for (int i = 0; i < 3; i++) {
        swg_graph *g;
        swg_plan *plan;
        swg_weights *w;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 8, 16, 16}), y = swg_dynunet_apply(g, x, &(swg_dynunet){0});
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .no_layout = i == 1, .no_fusion = i == 2}, &plan));
        assert_ok(ctx, swg_weights_create(g, false, &w));
        swg_weights_init(w, 11);
        assert_ok(ctx, swg_plan_open(plan, w, NULL));
        float *in = swg_plan_data(plan, x);
        for (int v = 0; v < 2 * VOXELS; v++)
            in[v] = sinf((float)(v % 61) * .2F);
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        memcpy(results[i], swg_plan_data(plan, y), sizeof results[i]);
        swg_plan_destroy(plan);
        swg_weights_destroy(w);
        swg_graph_destroy(g);
    }
    double largest = 0;
    for (int v = 0; v < 2 * VOXELS; v++)
        largest = fmax(largest, fabs((double)results[0][v]));
    assert_true(largest > 0);
    for (int i = 1; i < 3; i++)
        for (int v = 0; v < 2 * VOXELS; v++)
            assert_close((double)results[i][v], (double)results[0][v], 1e-5 * largest, 0);
}

/* ---- recomputation ---- */

typedef struct training { swg_plan *plan; swg_weights *weights; swg_graph *g; swg_value x, target, hyper, loss; } training;

static training make(swg_context *ctx, const swg_dynunet *model, const int64_t *shape, const char *recompute, bool bf16) {
    training t = {0};
    swg_recompute how;
    assert_ok(ctx, swg_recompute_read(ctx, recompute, &how));
    assert_ok(ctx, swg_graph_create(ctx, NULL, &t.g));
    t.x = swg_input(t.g, "x", 5, shape);
    t.target = swg_input(t.g, "target", 5, shape);
    t.hyper = swg_input(t.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    t.loss = swg_loss_dice_ce(t.g, swg_dynunet_apply(t.g, t.x, model), t.target, NULL);
    swg_value outputs[2] = {t.loss, swg_adam(t.g, t.loss, t.hyper, NULL)};
    assert_ok(ctx, swg_graph_status(t.g));
    assert_ok(ctx, swg_plan_make(t.g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .recompute = how, .bf16 = bf16}, &t.plan));
    return t;
}

static void unmake(training *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
}

/* Two steps; the loss of the second and every gradient of it. */
static void train(swg_context *ctx, training *t) {
    double b1 = 1, b2 = 1;
    assert_ok(ctx, swg_weights_create(t->g, true, &t->weights));
    swg_weights_init(t->weights, 7);
    assert_ok(ctx, swg_plan_open(t->plan, t->weights, NULL));
    float *x = swg_plan_data(t->plan, t->x), *target = swg_plan_data(t->plan, t->target);
    for (int64_t i = 0; i < swg_elements(t->g, t->x); i++) {
        x[i] = sinf((float)(i % 97) * .3F) + cosf((float)i * .01F);
        target[i] = x[i] > .5F;
    }
    for (uint32_t step = 0; step < 2; step++) {
        swg_hyper_adam(&(swg_adam_hyper){.lr = .01, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, SWG_F32,
                       swg_plan_data(t->plan, t->hyper));
        assert_ok(ctx, swg_plan_run(t->plan, 1, step));
    }
}

/* Dropout, too: its masks are drawn again. */
static void recomputation_keeps_bits(void **state) {
    swg_context *ctx = *state;
    const int64_t shape[5] = {2, 1, 8, 16, 16};
    static const char *const policies[] = {"off", "blocks", "segments:2", "none", "segments:3", "segments:auto"};
    const int count = TESTING_SLOW ? 3 : 6;
    const swg_dynunet models[] = {{.dropout = .1}, {.plain = true, .levels = 2, .filters = {16, 24}}};
    for (int m = 0; m < 2; m++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            training all = make(ctx, &models[m], shape, policies[0], bf16);
            train(ctx, &all);
            for (int i = 1; i < count; i++) {
                training t = make(ctx, &models[m], shape, policies[i], bf16);
                train(ctx, &t);
                assert_true(swg_plan_memory_of(t.plan).peak_bytes < swg_plan_memory_of(all.plan).peak_bytes);
                assert_memory_equal(swg_plan_data(t.plan, t.loss), swg_plan_data(all.plan, all.loss), sizeof(float));
                for (int p = 0; p < swg_weights_count(t.weights); p++) {
                    size_t bytes = (size_t)elements_of(t.weights, p) * sizeof(float);
                    if (memcmp(swg_weights_gradient(t.weights, p), swg_weights_gradient(all.weights, p), bytes) != 0 ||
                        memcmp(swg_weights_value(t.weights, p), swg_weights_value(all.weights, p), bytes) != 0)
                        fail_msg("%s, model %d%s: %s differs", policies[i], m, bf16 ? ", bf16" : "", swg_weights_name(t.weights, p));
                }
                unmake(&t);
            }
            unmake(&all);
        }
}

static int64_t peak(swg_context *ctx, const char *recompute, bool bf16) {
    training t = make(ctx, &(swg_dynunet){0}, (int64_t[]){1, 1, 64, 64, 64}, recompute, bf16);
    int64_t bytes = swg_plan_memory_of(t.plan).peak_bytes;
    unmake(&t);
    return bytes;
}

/* A step at 64^3: far below what keeps everything, and below the default, which drops what is cheap, too: by 35 % with blocks. */
static void recomputation_saves(void **state) {
    swg_context *ctx = *state;
    static const char *const policies[] = {"blocks", "segments:2", "segments:auto"};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        int64_t all = peak(ctx, "off", bf16), usual = peak(ctx, "none", bf16);
        for (int i = 0; i < 3; i++) {
            int64_t bytes = peak(ctx, policies[i], bf16);
            if ((double)bytes > .5 * (double)all || (double)bytes > (i ? .75 : .65) * (double)usual)
                fail_msg("%s%s: %lld bytes, off %lld, none %lld", policies[i], bf16 ? ", bf16" : "", (long long)bytes, (long long)all, (long long)usual);
        }
    }
}

/* ---- learning ---- */

enum { SPHERES_Z = 8, SPHERES_Y = 16, SPHERES = 8, SPHERE_VOXELS = SPHERES_Z * SPHERES_Y * SPHERES_Y };

/* One to three balls of radius 2.5 to 5 as masks; images are the masks with noise of 0.3 of their height, normalised. */
static void draw_spheres(uint32_t step, float *x, float *target) {
    for (uint32_t n = 0; n < SPHERES; n++, x += SPHERE_VOXELS, target += SPHERE_VOXELS) {
        double sum = 0, squares = 0;
        memset(target, 0, SPHERE_VOXELS * sizeof *target);
        for (uint32_t ball = 0; ball <= n % 3; ball++) {
            const swg__philox_words draw = swg__philox(1, n * 4 + ball, step, 7);
            double centre[3] = {(double)swg__uniform(draw.w[0]) * SPHERES_Z, (double)swg__uniform(draw.w[1]) * SPHERES_Y,
                                (double)swg__uniform(draw.w[2]) * SPHERES_Y};
            double radius = 2.5 + 2.5 * (double)swg__uniform(draw.w[3]);
            for (int i = 0; i < SPHERE_VOXELS; i++) {
                double z = i / (SPHERES_Y * SPHERES_Y) - centre[0], y = i / SPHERES_Y % SPHERES_Y - centre[1], w = i % SPHERES_Y - centre[2];
                if (z * z + y * y + w * w < radius * radius)
                    target[i] = 1;
            }
        }
        for (uint32_t i = 0; i < SPHERE_VOXELS; i++) { /* noise: uniform, its deviation 0.3 */
            const swg__philox_words draw = swg__philox(2, (uint64_t)n * SPHERE_VOXELS + i, step, 8);
            x[i] = target[i] + 1.04F * (swg__uniform(draw.w[0]) - .5F);
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
        }
        double mean = sum / SPHERE_VOXELS, deviation = sqrt(squares / SPHERE_VOXELS - mean * mean);
        for (int i = 0; i < SPHERE_VOXELS; i++)
            x[i] = (float)(((double)x[i] - mean) / deviation);
    }
}

/* After 100 steps of batch 8, Dice of images that were not seen is above 0.9. */
static void learns_spheres(void **state) {
    swg_context *ctx = *state;
    if (TESTING_SLOW)
        skip();
    const int64_t shape[5] = {SPHERES, 1, SPHERES_Z, SPHERES_Y, SPHERES_Y};
    training t = {0};
    assert_ok(ctx, swg_graph_create(ctx, NULL, &t.g));
    t.x = swg_input(t.g, "x", 5, shape);
    t.target = swg_input(t.g, "target", 5, shape);
    t.hyper = swg_input(t.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value y = swg_dynunet_apply(t.g, t.x, &(swg_dynunet){0});
    t.loss = swg_loss_dice_ce(t.g, y, t.target, NULL);
    swg_value outputs[3] = {t.loss, swg_adam(t.g, t.loss, t.hyper, NULL), y};
    assert_ok(ctx, swg_plan_make(t.g, &(swg_plan_opts){.outputs = outputs, .output_count = 3}, &t.plan));
    assert_ok(ctx, swg_weights_create(t.g, true, &t.weights));
    swg_weights_init(t.weights, 12345);
    assert_ok(ctx, swg_plan_open(t.plan, t.weights, NULL));
    double b1 = 1, b2 = 1, first = 0, both = 0, all = 0;
    for (uint32_t step = 0; step <= 100; step++) { /* the last one only shows what 100 have learned */
        draw_spheres(step, swg_plan_data(t.plan, t.x), swg_plan_data(t.plan, t.target));
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1}, &b1, &b2,
                       SWG_F32, swg_plan_data(t.plan, t.hyper));
        assert_ok(ctx, swg_plan_run(t.plan, 1, step));
        first = step ? first : (double)*(float *)swg_plan_data(t.plan, t.loss);
    }
    const float *found = swg_plan_data(t.plan, y), *wanted = swg_plan_data(t.plan, t.target);
    for (int i = 0; i < SPHERES * SPHERE_VOXELS; i++) {
        both += found[i] > 0 && wanted[i] > 0;
        all += (found[i] > 0) + (wanted[i] > 0);
    }
    if (!(2 * both / all > .9))
        fail_msg("Dice %.4f after 100 steps, loss %.4f, %.4f before", 2 * both / all, (double)*(float *)swg_plan_data(t.plan, t.loss), first);
    unmake(&t);
}

/* ---- what is refused ---- */

static void refuses(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_dynunet model; int ndim; int64_t extent; const char *says; } cases[] = {
        {{0}, 5, 6, "extent 6 along axis z does not divide by 4"},
        {{0}, 4, 6, "extent 6 along axis y does not divide by 4"},
        {{0}, 3, 8, "expected (N, C, y, x) or (N, C, z, y, x)"},
        {{0}, 4, 4, "one value per sample and channel"},
        {{.levels = 1}, 4, 8, "1 levels, expected 2 to 6"},
        {{.levels = 7}, 4, 8, "7 levels"},
        {{.kernel = 4}, 4, 8, "kernel 4, expected an odd number"},
        {{.dropout = 1}, 4, 8, "dropout 1, expected [0, 1)"},
        {{.strides = {2, 2, 2}}, 4, 8, "stride 2 at level 0"},
        {{.filters = {16, -1}}, 4, 8, "-1 filters"},
        {{.strides = {1, INT32_MAX, INT32_MAX}, .levels = 3}, 4, 8, "does not divide by"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        const int64_t shape[5] = {1, 1, cases[i].extent, cases[i].ndim == 4 && cases[i].extent == 4 ? 4 : 8, 8};
        assert_int_equal(swg_dynunet_apply(g, swg_input(g, "x", cases[i].ndim, shape), &cases[i].model), SWG_NONE);
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), cases[i].says))
            fail_msg("case %zu says: %s", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
    swg_graph *g;
    swg_value out[2] = {1, 1};
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 1, 8, 8});
    swg_dynunet_heads(g, x, &(swg_dynunet){.filters = {2, 2, 2}}, (swg_cyto_head[]){{"same", 1}, {"same", 2}}, 2, out);
    assert_int_equal(out[0], SWG_NONE);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "heads/same/weight\" exists already"));
    assert_int_equal(swg_loss_dice_ce(g, x, x, NULL), SWG_NONE);
    swg_graph_destroy(g);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    x = swg_input(g, "x", 4, (int64_t[]){1, 1, 8, 8});
    assert_int_equal(swg_loss_dice_ce(g, x, swg_input(g, "t", 4, (int64_t[]){1, 2, 8, 8}), NULL), SWG_NONE);
    assert_int_equal(swg_graph_status(g), SWG_ESHAPE);
    swg_graph_destroy(g);
    swg_layers layers;
    assert_int_equal(swg_dynunet_layers(ctx, &(swg_dynunet){0}, NULL, 0, 4, (int64_t[]){1, 1, 6, 8}, &layers), SWG_ESHAPE);
    assert_int_equal(layers.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(start, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(options, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(dice_ce, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(dice_ce_of_more, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(instance_norm, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layouts_agree, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recomputation_keeps_bits, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recomputation_saves, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(learns_spheres, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
