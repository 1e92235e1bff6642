/* test_swae.c - proves: every published network has the layers, shapes, parameters and multiply-adds of the specification's tables; blocks
 * and stages that a network cannot have are refused by name; int8 latents and GLU blocks give the known answers; batch norm folded into
 * weights changes nothing beyond 1e-5.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "testing.h"
#include "swage/layers.h"
#include "swage/plan.h"
#include "swage/swae.h"

/* ---- section 3: counts ---- */

/* A layer of the tables; shape as (channels, extent): a cube, or features where extent is 0. by_output 0: the same as macs. */
typedef struct row {
    const char *name, *kind;
    int64_t channels, extent, parameters, macs, by_output;
} row;

static const row mlp[] = {
    {"encoder/fc1", "linear", 512, 0, 64512, 64000, 0}, {"encoder/fc2", "linear", 16, 0, 8208, 8192, 0},
    {"decoder/fc1", "linear", 512, 0, 8704, 8192, 0}, {"decoder/fc2", "linear", 125, 0, 64125, 64000, 0}, {0}};
static const row mlp_deep[] = {
    {"encoder/fc1", "linear", 512, 0, 64512, 64000, 0}, {"encoder/fc2", "linear", 256, 0, 131328, 131072, 0},
    {"encoder/fc3", "linear", 16, 0, 4112, 4096, 0}, {"decoder/fc1", "linear", 256, 0, 4352, 4096, 0},
    {"decoder/fc2", "linear", 512, 0, 131584, 131072, 0}, {"decoder/fc3", "linear", 125, 0, 64125, 64000, 0}, {0}};
#define GLU(block) {block "/w1", "linear", 512, 0, 131584, 131072, 0}, {block "/p", "linear", 256, 0, 65792, 65536, 0}, \
                   {block "/f", "linear", 256, 0, 65792, 65536, 0}
static const row gmlp[] = {
    {"encoder/fc1", "linear", 256, 0, 32256, 32000, 0}, GLU("encoder/block1"), GLU("encoder/block2"), {"encoder/fc2", "linear", 16, 0, 4112, 4096, 0},
    {"decoder/fc1", "linear", 256, 0, 4352, 4096, 0}, GLU("decoder/block1"), GLU("decoder/block2"), {"decoder/fc2", "linear", 125, 0, 32125, 32000, 0}, {0}};
static const row conv[] = {
    {"encoder/stage1/conv1", "conv", 32, 3, 896, 23328, 0}, {"encoder/stage1/conv2", "conv", 32, 3, 27680, 746496, 0},
    {"encoder/stage1/bn", "norm", 32, 3, 64, 0, 0},
    {"encoder/stage2/conv1", "conv", 64, 2, 55360, 442368, 0}, {"encoder/stage2/conv2", "conv", 64, 2, 110656, 884736, 0},
    {"encoder/stage2/bn", "norm", 64, 2, 128, 0, 0},
    {"encoder/stage3/conv1", "conv", 128, 2, 221312, 1769472, 0}, {"encoder/stage3/conv2", "conv", 128, 2, 442496, 3538944, 0},
    {"encoder/stage3/bn", "norm", 128, 2, 256, 0, 0},
    {"encoder/stage4/conv1", "conv", 256, 2, 884992, 7077888, 0}, {"encoder/stage4/conv2", "conv", 256, 2, 1769728, 14155776, 0},
    {"encoder/stage4/bn", "norm", 256, 2, 512, 0, 0}, {"encoder/fc", "linear", 16, 0, 32784, 32768, 0},
    {"decoder/fc", "linear", 2048, 0, 34816, 32768, 0}, {"decoder/stage1/deconv", "deconv", 128, 2, 884864, 7077888, 0},
    {"decoder/stage1/bn", "norm", 128, 2, 256, 0, 0}, {"decoder/stage2/deconv", "deconv", 64, 2, 221248, 1769472, 0},
    {"decoder/stage2/bn", "norm", 64, 2, 128, 0, 0}, {"decoder/stage3/deconv", "deconv", 32, 4, 55328, 442368, 3538944},
    {"decoder/stage3/bn", "norm", 32, 4, 64, 0, 0}, {"decoder/stage4/deconv", "deconv", 1, 5, 257, 16384, 32000}, {0}};
static const row conv_opt[] = {
    {"encoder/stage1/conv1", "conv", 32, 3, 896, 23328, 0}, {"encoder/stage2/conv1", "conv", 64, 2, 55360, 442368, 0},
    {"encoder/stage3/conv1", "conv", 128, 2, 221312, 1769472, 0}, {"encoder/stage4/conv1", "conv", 256, 2, 884992, 7077888, 0},
    {"encoder/fc", "linear", 16, 0, 32784, 32768, 0}, {"decoder/fc", "linear", 2048, 0, 34816, 32768, 0},
    {"decoder/stage1/deconv", "deconv", 128, 2, 884864, 7077888, 0}, {"decoder/stage2/deconv", "deconv", 64, 2, 221248, 1769472, 0},
    {"decoder/stage3/deconv", "deconv", 32, 3, 55328, 442368, 1492992}, {"decoder/stage4/deconv", "deconv", 1, 5, 865, 23328, 108000}, {0}};
static const row conv7[] = {
    {"encoder/stage1/conv1", "conv", 32, 4, 896, 55296, 0}, {"encoder/stage1/conv2", "conv", 32, 4, 27680, 1769472, 0},
    {"encoder/stage1/bn", "norm", 32, 4, 64, 0, 0},
    {"encoder/stage2/conv1", "conv", 64, 2, 55360, 442368, 0}, {"encoder/stage2/conv2", "conv", 64, 2, 110656, 884736, 0},
    {"encoder/stage2/bn", "norm", 64, 2, 128, 0, 0},
    {"encoder/stage3/conv1", "conv", 128, 1, 221312, 221184, 0}, {"encoder/stage3/conv2", "conv", 128, 1, 442496, 442368, 0},
    {"encoder/stage3/bn", "norm", 128, 1, 256, 0, 0}, {"encoder/fc", "linear", 16, 0, 2064, 2048, 0},
    {"decoder/fc", "linear", 128, 0, 2176, 2048, 0}, {"decoder/stage1/deconv", "deconv", 64, 2, 221248, 221184, 1769472},
    {"decoder/stage1/bn", "norm", 64, 2, 128, 0, 0}, {"decoder/stage2/deconv", "deconv", 32, 4, 55328, 442368, 3538944},
    {"decoder/stage2/bn", "norm", 32, 4, 64, 0, 0}, {"decoder/stage3/deconv", "deconv", 1, 8, 865, 55296, 442368}, {0}};

/* FLOPs as in the tables: twice the multiply-adds. */
static const struct network {
    const char *name;
    const row *rows;
    int64_t parameters[2], flops[2], by_output; /* encoder, decoder; by_output: decoder */
} networks[] = {
    {"swae/mlp", mlp, {72720, 72829}, {144384, 144384}, 144384},
    {"swae/mlp-deep", mlp_deep, {199952, 200061}, {398336, 398336}, 398336},
    {"swae/gmlp", gmlp, {562704, 562813}, {1120768, 1120768}, 1120768},
    {"swae/conv", conv, {3546864, 1196961}, {57343552, 18677760}, 24902144},
    {"swae/conv-opt", conv_opt, {1195344, 1197121}, {18691648, 18691648}, 20962240},
    {"swae/conv7", conv7, {860912, 279809}, {7634944, 1441792}, 11505664},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static const swg_layer *find(const swg_layers *layers, const char *name) {
    for (int64_t i = 0; i < layers->count; i++)
        if (strcmp(layers->rows[i].name, name) == 0)
            return &layers->rows[i];
    fail_msg("there is no layer \"%s\"", name);
    return NULL;
}

static void check_row(const swg_layers *layers, const row *want, int64_t batch) {
    const swg_layer *got = find(layers, want->name);
    int64_t shape[5] = {batch, want->channels, want->extent, want->extent, want->extent};
    if (strcmp(got->kind, want->kind) != 0 || got->parameters != want->parameters || got->macs != batch * want->macs ||
        got->macs_by_output != batch * (want->by_output ? want->by_output : want->macs) || got->macs_run > got->macs)
        fail_msg("%s: %s, %lld parameters, %lld multiply-adds, %lld by output; expected %s, %lld, %lld, %lld", want->name, got->kind,
                 (long long)got->parameters, (long long)got->macs, (long long)got->macs_by_output, want->kind, (long long)want->parameters,
                 (long long)(batch * want->macs), (long long)(batch * (want->by_output ? want->by_output : want->macs)));
    assert_int_equal(got->ndim, want->extent ? 5 : 2);
    assert_memory_equal(got->shape, shape, (size_t)got->ndim * sizeof *shape);
}

static void counts(void **state) {
    swg_context *ctx = *state;
    for (int k = 0; k < 2 * NETWORKS; k++) {
        const struct network *n = &networks[k / 2];
        const int64_t batch = k % 2 ? 3 : 1;
        swg_swae model;
        swg_graph *g;
        swg_layers layers;
        assert_ok(ctx, swg_swae_preset(ctx, n->name, &model));
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value z = swg_swae_encode(g, swg_input(g, "x", 2, (int64_t[]){batch, model.input}), &model), y = swg_swae_decode(g, z, &model);
        assert_ok(ctx, swg_layers_of(g, &y, 1, &layers));
        assert_int_equal(swg_shape(g, z)[1], 16);
        assert_int_equal(swg_shape(g, y)[1], model.input);
        int64_t rows = 0, computing = 0;
        for (; n->rows[rows].name; rows++)
            check_row(&layers, &n->rows[rows], batch);
        for (int64_t i = 0; i < layers.count; i++)
            computing += layers.rows[i].parameters > 0;
        assert_int_equal(computing, rows); /* and no others */
        for (int half = 0; half < 2; half++) {
            swg_layer sum = swg_layers_below(&layers, half ? "decoder" : "encoder");
            assert_int_equal(sum.parameters, n->parameters[half]);
            assert_int_equal(2 * sum.macs, batch * n->flops[half]);
            assert_int_equal(2 * sum.macs_by_output, batch * (half ? n->by_output : n->flops[0]));
        }
        assert_int_equal(layers.total.parameters, n->parameters[0] + n->parameters[1]);
        assert_int_equal(layers.total.parameters, swg_graph_parameters(g));
        assert_int_equal(layers.total.macs_run, swg_graph_macs(g, y));
        swg_layers_free(ctx, &layers);
        swg_graph_destroy(g);
    }
}

/* Rows name who they read; a scope without parameters is one row, and so is a node outside of layers. */
static void layers_read_each_other(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_layers layers;
    swg_swae model = {.kind = SWG_SWAE_GMLP, .input = 8, .latent = 2, .hidden_count = 1, .hidden = {4}, .activation = SWG_ACT_GELU, .latent_int8 = true};
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value z = swg_swae_encode(g, swg_input(g, "x", 2, (int64_t[]){2, 8}), &model), y = swg_swae_decode(g, z, &model);
    assert_ok(ctx, swg_layers_of(g, &y, 1, &layers));
    assert_string_equal(layers.rows[0].kind, "input");
    assert_string_equal(find(&layers, "encoder/int8")->kind, "int8");
    assert_int_equal(find(&layers, "encoder/int8")->input_count, 1);
    assert_string_equal(layers.rows[find(&layers, "encoder/int8")->inputs[0]].name, "encoder/fc2");
    assert_string_equal(layers.rows[find(&layers, "encoder/block1/f")->inputs[0]].kind, "gelu");
    for (int64_t i = 0; i < layers.count; i++)
        for (int j = 0; j < layers.rows[i].input_count; j++)
            assert_true(layers.rows[i].inputs[j] < i);
    swg_layers_free(ctx, &layers);
    assert_int_equal(swg_layers_of(g, NULL, 0, &layers), SWG_OK); /* nothing asked for, nothing found */
    assert_int_equal(layers.count, 0);
    swg_layers_free(ctx, &layers);
    swg_graph_destroy(g);
}

static void out_of_memory(void **state) {
    (void)state;
    int64_t failed = 0;
    for (int64_t n = 0;; n++, failed++) {
        testing_allocator allocator = {.fail_at = -1};
        swg_context *ctx = NULL;
        swg_graph *g = NULL;
        swg_swae model;
        swg_layers layers;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &ctx), SWG_OK);
        assert_ok(ctx, swg_swae_preset(ctx, "swae/conv7", &model));
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value y = swg_swae_decode(g, swg_input(g, "z", 2, (int64_t[]){2, 16}), &model);
        allocator.fail_at = allocator.calls + n;
        swg_status status = swg_layers_of(g, &y, 1, &layers);
        swg_layers_free(ctx, &layers);
        swg_graph_destroy(g);
        swg_context_close(ctx);
        assert_int_equal(allocator.live, 0);
        if (status == SWG_OK)
            break;
        assert_int_equal(status, SWG_ENOMEM);
    }
    assert_true(failed > 1);
}

/* ---- section 10: known answers, in f64 ---- */

/* Runs a graph in f64 with weights NULL or as they are and gives an output's values. */
static void run_f64(swg_context *ctx, swg_graph *g, swg_weights *weights, const swg_value *outputs, int count, double *const *results) {
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count}, &plan));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < count; i++)
        memcpy(results[i], swg_plan_data(plan, outputs[i]), (size_t)swg_elements(g, outputs[i]) * sizeof(double));
    swg_plan_destroy(plan);
}

static swg_graph *f64_graph(swg_context *ctx) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    return g;
}

/* A loss of constants and its gradient with respect to one of them. */
static void check_loss(swg_context *ctx, swg_graph *g, swg_value loss, swg_value of, double want, const double *slopes) {
    double value, gradient[8], *results[2] = {&value, gradient};
    swg_value outputs[2] = {loss, SWG_NONE};
    assert_ok(ctx, swg_graph_status(g));
    if (slopes)
        assert_ok(ctx, swg_gradients(g, loss, &of, 1, &outputs[1]));
    run_f64(ctx, g, NULL, outputs, slopes ? 2 : 1, results);
    assert_close(value, want, 0, 1e-11);
    for (int64_t i = 0; slopes && i < swg_elements(g, of); i++)
        assert_close(gradient[i], slopes[i], 1e-12, 1e-11);
    swg_graph_destroy(g);
}

static swg_value array(swg_graph *g, int64_t rows, int64_t columns, const double *values) {
    return swg_constant_array(g, 2, (int64_t[]){rows, columns}, values);
}

static void losses(void **state) {
    swg_context *ctx = *state;
    static const double target[4] = {0, 1, -2, .5}, got[4] = {.1, .8, -2.6, 2.5};
    static const double d[4] = {.1, -.2, -.6, 2};
    const double mse_slopes[4] = {d[0] / 2, d[1] / 2, d[2] / 2, d[3] / 2};
    static const double huber_slopes[4] = {.025, -.05, -.15, .25}, mae_slopes[4] = {.25, -.25, -.25, .25};
    static const double logcosh_slopes[4] = {.0249169986562, -.0493438300562, -.134262391750, .241006895019};
    const struct { swg_swae_loss_kind kind; double want; const double *slopes; } cases[] = {
        {SWG_SWAE_MSE, 1.1025, mse_slopes}, {SWG_SWAE_MAE, .725, mae_slopes}, {SWG_SWAE_LOGCOSH, .379999448699, logcosh_slopes},
        {SWG_SWAE_HUBER, .42625, huber_slopes}, {SWG_SWAE_RELATIVE, 1.10723670649, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_graph *g = f64_graph(ctx);
        swg_value x = array(g, 1, 4, target), y = array(g, 1, 4, got), reconstruction;
        const swg_swae_loss loss = {.kind = cases[i].kind, .directions = 1};
        swg_swae_loss_of(g, &loss, x, y, array(g, 1, 1, (double[]){0}), &reconstruction, NULL);
        check_loss(ctx, g, reconstruction, y, cases[i].want, cases[i].slopes);
    }
    swg_graph *g = f64_graph(ctx);
    swg_value mse = swg_loss_mse(g, array(g, 1, 4, got), array(g, 1, 4, target));
    swg_value log = swg_add(g, swg_loss_log(g, mse, 1000), swg_affine(g, swg_loss_log(g, swg_constant(g, .01), 1000), .1, 0));
    check_loss(ctx, g, log, SWG_NONE, 7.24603175298, NULL);

    static const double slopes[6] = {.0653333333333, -.0906666666667, .376, .234666666667, .336, .248};
    g = f64_graph(ctx);
    swg_value z = array(g, 3, 2, (double[]){.5, -1, 1.5, .25, -.75, 2}), prior = array(g, 3, 2, (double[]){.1, .2, -1.2, .7, .9, -.4});
    check_loss(ctx, g, swg_loss_sliced_wasserstein_with(g, z, array(g, 2, 2, (double[]){1, 0, .6, .8}), prior), z, .4129, slopes);

    static const double gelu_slopes[4] = {-.0833154705877, .5, .867495124656, 1.08331547059};
    g = f64_graph(ctx);
    swg_value x = array(g, 1, 4, (double[]){-1, 0, .5, 1});
    check_loss(ctx, g, swg_sum(g, swg_gelu(g, x), 0), x, -.158655253931 + .345731230637 + .841344746069, gelu_slopes);
}

/* A transposed convolution along one axis, without and with output padding. */
static void deconvolution(void **state) {
    swg_context *ctx = *state;
    static const double want[2][4] = {{10, 102, 20}, {10, 102, 20, 200}};
    for (int more = 0; more < 2; more++) {
        swg_graph *g = f64_graph(ctx);
        swg_value x = swg_constant_array(g, 3, (int64_t[]){1, 1, 2}, (double[]){1, 2}), w = swg_constant_array(g, 3, (int64_t[]){1, 1, 3}, (double[]){1, 10, 100});
        swg_value y = swg_convolution_transpose(g, x, w, SWG_NONE, &(swg_conv_opts){.stride = {2}, .padding = {1}, .output_padding = {more}});
        double result[4], *results[1] = {result};
        assert_int_equal(swg_elements(g, y), 3 + more);
        run_f64(ctx, g, NULL, &y, 1, results);
        for (int i = 0; i < 3 + more; i++)
            assert_close(result[i], want[more][i], 0, 0);
        swg_graph_destroy(g);
    }
}

/* The specification's GLU block, d = 2. */
static void glu_block(void **state) {
    swg_context *ctx = *state;
    swg_graph *g = f64_graph(ctx);
    swg_value y = swg_glu_block(g, array(g, 1, 2, (double[]){.6, -1.2}), 2, SWG_ACT_GELU, "block");
    static const struct { const char *name; double values[8]; } given[] = {
        {"block.w1.weight", {.1, .2, -.3, .4, .5, -.6, .7, .8}}, {"block.w1.bias", {.01, .02, .03, .04}}, {"block.p.weight", {.2, -.1, .3, .4}},
        {"block.p.bias", {.05, -.05}}, {"block.f.weight", {1, .5, -.5, 1}}, {"block.f.bias", {0, .1}}};
    swg_weights *weights;
    double result[2], *results[1] = {result};
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    assert_int_equal(swg_weights_count(weights), 6);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < 6; k++)
            if (strcmp(swg_weights_name(weights, i), given[k].name) == 0)
                memcpy(swg_weights_value(weights, i), given[k].values,
                       (size_t)(swg_weights_shape(weights, i)[0] * (swg_weights_ndim(weights, i) > 1 ? 2 : 1)) * sizeof(double));
    run_f64(ctx, g, weights, &y, 1, results);
    assert_close(result[0], .0262048074706, 0, 1e-11);
    assert_close(result[1], -1.43974160005, 0, 1e-11);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* Codes 30, -127, 64 (63.5 goes to the even one), 0 of scale 0.01; rows of zeros; the gradient of what comes in is that of what goes out. */
static void int8_latents(void **state) {
    swg_context *ctx = *state;
    static const double codes[12] = {30, -127, 64, 0, 0, 0, 0, 0, 127, 1, 0, -2}, scales[3] = {.01, 1, .5};
    swg_graph *g = f64_graph(ctx);
    swg_value x = array(g, 3, 4, (double[]){.3, -1.27, .635, 0, 0, 0, 0, 0, 63.5, .5000001, .25, -.75}), y = swg_quantise_rows(g, x, "int8");
    swg_value outputs[2] = {y}, loss = swg_sum(g, swg_mul(g, y, array(g, 3, 4, codes)), 0);
    double values[12], slopes[12], *results[2] = {values, slopes};
    assert_ok(ctx, swg_gradients(g, loss, &x, 1, &outputs[1]));
    run_f64(ctx, g, NULL, outputs, 2, results);
    for (int i = 0; i < 12; i++) {
        assert_close(values[i], codes[i] * scales[i / 4], 0, 1e-15);
        assert_close(slopes[i], codes[i], 0, 0);
    }
    swg_graph_destroy(g);
}

/* ---- what a network cannot be ---- */

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { swg_swae model; const char *words; } cases[] = {
        {{.kind = SWG_SWAE_CONV, .input = 343, .latent = 4, .hidden_count = 4, .hidden = {4, 4, 4, 4}}, "blocks of 343 values; conv takes 5x5x5"},
        {{.kind = SWG_SWAE_CONV7, .input = 125, .latent = 4, .hidden_count = 3, .hidden = {4, 4, 4}}, "conv7 takes 7x7x7 (data.block=full)"},
        {{.kind = SWG_SWAE_CONV_OPT, .input = 126, .latent = 4, .hidden_count = 1, .hidden = {4}}, "takes cubes"},
        {{.kind = SWG_SWAE_CONV, .input = 125, .latent = 4, .hidden_count = 1, .hidden = {4}}, "1 hidden layers or stages, conv has 2 to 8"},
        {{.kind = SWG_SWAE_GMLP, .input = 125, .latent = 4}, "0 hidden layers or stages, gmlp has 1 to 8"},
        {{.kind = SWG_SWAE_CONV_OPT, .input = 125, .latent = 4, .hidden_count = 2, .hidden = {4, 0}}, "stage2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int half = 0; half < 2; half++) {
            swg_graph *g;
            assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
            swg_value v = swg_input(g, "v", 2, (int64_t[]){2, half ? 4 : cases[i].model.input});
            assert_int_equal(half ? swg_swae_decode(g, v, &cases[i].model) : swg_swae_encode(g, v, &cases[i].model), SWG_NONE);
            assert_int_not_equal(swg_graph_status(g), SWG_OK);
            if (!strstr(swg_context_message(ctx), half && i == 5 ? "decoder" : cases[i].words))
                fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), cases[i].words);
            swg_graph_destroy(g);
        }
    swg_swae model;
    swg_swae_kind kind;
    assert_int_equal(swg_swae_preset(ctx, "swae/convolution", &model), SWG_ENOTFOUND);
    assert_non_null(strstr(swg_context_message(ctx), "\"swae/convolution\"; there are swae/mlp, "));
    assert_false(swg_swae_kind_find("", &kind));
    for (int k = SWG_SWAE_MLP; k <= SWG_SWAE_CONV7; k++) {
        assert_true(swg_swae_kind_find(swg_swae_kind_name((swg_swae_kind)k), &kind));
        assert_int_equal(kind, k);
    }
}

/* ---- other depths, widths and edges find back to the block ---- */

static void shapes_come_back(void **state) {
    swg_context *ctx = *state;
    for (int kind = SWG_SWAE_MLP; kind <= SWG_SWAE_CONV7; kind++)
        for (int edge = 3; edge <= 9; edge++)
            for (int n = 0; n <= 5; n++)
                for (int gdn = 0; gdn < 2; gdn++) {
                    swg_swae model = {.kind = (swg_swae_kind)kind, .input = edge * edge * edge, .latent = 3, .hidden_count = n, .hidden = {2, 3, 4, 5, 6},
                                      .activation = SWG_ACT_RELU, .gdn = gdn};
                    swg_graph *g;
                    swg_layers layers;
                    assert_int_equal(swg_swae_edge(&model), edge);
                    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
                    swg_value x = swg_input(g, "x", 2, (int64_t[]){2, model.input}), z = swg_swae_encode(g, x, &model), y = swg_swae_decode(g, z, &model);
                    bool fits = (kind != SWG_SWAE_CONV || (edge == 5 && n >= 2)) && (kind != SWG_SWAE_CONV7 || edge == 7) && (n || kind == SWG_SWAE_MLP);
                    assert_int_equal(swg_graph_status(g) == SWG_OK, fits);
                    if (fits) {
                        assert_int_equal(swg_shape(g, z)[1], 3);
                        assert_int_equal(swg_shape(g, y)[1], model.input);
                        assert_ok(ctx, swg_layers_of(g, &y, 1, &layers));
                        int64_t gdns = 0;
                        for (int64_t i = 0; i < layers.count; i++)
                            gdns += strncmp(layers.rows[i].kind, "gdn", 3) == 0;
                        int64_t in_encoder = kind == SWG_SWAE_GMLP ? 1 : n, in_decoder = kind == SWG_SWAE_GMLP ? 1 : kind == SWG_SWAE_MLP ? n : n - 1;
                        assert_int_equal(gdns, gdn ? in_encoder + in_decoder : 0);
                        swg_layers_free(ctx, &layers);
                    }
                    swg_graph_destroy(g);
                }
}

/* ---- acceptance check 10: batch norm folded into the weights ---- */

static void folds(void **state) {
    swg_context *ctx = *state;
    static const char *const names[] = {"swae/conv", "swae/conv7"};
    for (int k = 0; k < 2; k++) {
        swg_swae model;
        swg_graph *g;
        swg_weights *weights;
        swg_plan *plan[2];
        assert_ok(ctx, swg_swae_preset(ctx, names[k], &model));
        model.hidden_count = 3;
        model.hidden[0] = 8, model.hidden[1] = 12, model.hidden[2] = 20;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){5, model.input}), y = swg_swae_decode(g, swg_swae_encode(g, x, &model), &model);
        assert_ok(ctx, swg_graph_status(g));
        assert_ok(ctx, swg_weights_create(g, false, &weights));
        swg_weights_init(weights, 42);
        for (int s = 0; s < swg_weights_states(weights); s++)
            for (int64_t i = 0; i < swg_weights_state_shape(weights, s)[0]; i++)
                ((float *)swg_weights_state(weights, s))[i] = .05f + .01f * (float)((i * 7 + s) % 11);
        for (int frozen = 0; frozen < 2; frozen++) {
            assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = frozen}, &plan[frozen]));
            assert_ok(ctx, swg_plan_open(plan[frozen], weights, NULL));
            for (int64_t i = 0; i < swg_elements(g, x); i++)
                ((float *)swg_plan_data(plan[frozen], x))[i] = (float)sin((double)i);
            assert_ok(ctx, swg_plan_run(plan[frozen], 0, 0));
        }
        double largest = 0;
        for (int64_t i = 0; i < swg_elements(g, y); i++) {
            double folded = (double)((float *)swg_plan_data(plan[1], y))[i], as_is = (double)((float *)swg_plan_data(plan[0], y))[i];
            largest = fmax(largest, fabs(as_is));
            assert_close(folded, as_is, 1e-5, 1e-5);
        }
        assert_true(largest > .01);
        swg_plan_destroy(plan[0]);
        swg_plan_destroy(plan[1]);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layers_read_each_other, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test_setup_teardown(losses, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(deconvolution, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(glu_block, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(int8_latents, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(shapes_come_back, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(folds, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
