/* test_kan_dae.c - proves: kan/dae and kan/dae-opt have the shapes, parameters and multiply-adds of kan.md, sections 3.4 and 3.5, row by row;
 * each switch does what it says; halves fit together; recomputed KAN layers leave the same bits; what does not fit is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "testing.h"
#include "swage/kan.h"
#include "plan/plan.h"

static swg_kan_dae preset(swg_context *ctx, const char *name) {
    swg_kan_dae model;
    assert_ok(ctx, swg_kan_dae_preset(ctx, name, &model));
    return model;
}

/* ---- the tables of the specification ---- */

/* Parts of a row, with commas between; opt: the second network's. 0 multiply-adds: the same as in the first. */
static const struct row { const char *parts; int64_t channels, extent, parameters, macs, opt_parameters, opt_macs; } rows[] = {
    {"encoder/e1", 384, 64, 11520, 42467328, 11136, 0},
    {"encoder/e2", 128, 32, 442752, 452984832, 442624, 0},
    {"encoder/e3", 64, 16, 73920, 18874368, 73856, 0},
    {"encoder/kan", 64, 16, 258048, 56623104, 331840, 84934656},
    {"encoder/eca", 64, 16, 0, 0, 3, 192},
    {"encoder/bn", 64, 16, 128, 0, 128, 0},
    {"encoder/d1", 128, 32, 74112, 18874368, 73984, 0},
    {"encoder/d2", 384, 64, 443520, 452984832, 443136, 0},
    {"bottleneck/c1", 384, 32, 1328256, 1358954496, 1327872, 0},
    {"bottleneck/bam1", 384, 32, 39387, 20097024, 39387, 0},
    {"bottleneck/c2", 16, 16, 55344, 14155776, 55328, 0},
    {"bottleneck/bam2", 16, 16, 126, 8992, 126, 0},
    {"bottleneck/d1", 128, 32, 18816, 4718592, 18688, 0},
    {"decoder/d1", 128, 64, 147840, 150994944, 147712, 0},
    {"decoder/c1", 128, 32, 147840, 150994944, 147712, 0},
    {"decoder/c2", 64, 16, 73920, 18874368, 73856, 0},
    {"decoder/kan", 64, 16, 258048, 56623104, 331840, 84934656},
    {"decoder/eca", 64, 16, 0, 0, 3, 192},
    {"decoder/bn", 64, 16, 128, 0, 128, 0},
    {"decoder/d2", 128, 32, 74112, 18874368, 73984, 0},
    {"decoder/d3", 384, 64, 443520, 452984832, 443136, 0},
    {"decoder/d4", 384, 128, 1328256, 5435817984, 1327872, 0},
    {"decoder/out", 3, 128, 10377, 169869312, 10374, 0},
    {"decoder/kan_out", 3, 128, 45, 589824, 84, 1327104},
    {"encoder", 0, 0, 1304000, 1042808832, 1376707, 1042808832 + 28311552 + 192},
    {"bottleneck", 0, 0, 1441929, 1397934880, 1441401, 0},
    {"decoder", 0, 0, 2484086, 6455623680, 2556701, 6455623680 + 28311552 + 737280 + 192},
    {"", 0, 0, 5230015, 8896367392, 5374809, 8953727776 + 2 * 192},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* The last row of the table inside of a scope tells the shape. */
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
    for (int opt = 0; opt < 2; opt++) {
        swg_kan_dae model = preset(ctx, opt ? "kan/dae-opt" : "kan/dae");
        swg_layers layers;
        assert_ok(ctx, swg_kan_dae_layers(ctx, &model, 1, 128, 128, &layers));
        int64_t parameters = 0, macs = 0;
        for (int i = 0; i < ROWS; i++) {
            const struct row *want = &rows[i];
            swg_layer got = swg_layers_below(&layers, want->parts);
            int64_t want_macs = opt && want->opt_macs ? want->opt_macs : want->macs;
            if (got.parameters != (opt ? want->opt_parameters : want->parameters) || got.macs != want_macs)
                fail_msg("%s, \"%s\": %lld parameters, %lld multiply-adds", opt ? "kan/dae-opt" : "kan/dae", want->parts, (long long)got.parameters,
                         (long long)got.macs);
            if (!want->extent)
                continue;
            parameters += got.parameters;
            macs += got.macs;
            const swg_layer *last = last_below(&layers, want->parts);
            assert_int_equal(last != NULL, got.parameters > 0);
            if (last && (last->ndim != 4 || last->shape[1] != want->channels || last->shape[2] != want->extent || last->shape[3] != want->extent))
                fail_msg("%s ends with %lld x %lld x %lld", want->parts, (long long)last->shape[1], (long long)last->shape[2], (long long)last->shape[3]);
        }
        assert_int_equal(parameters, layers.total.parameters); /* the rows are all there is */
        assert_int_equal(macs, layers.total.macs);
        assert_int_equal(layers.total.macs_by_output, 28502117152 + (opt ? 57360384 + 2 * 192 : 0));
        swg_layers_free(ctx, &layers);
    }
}

/* ---- switches ---- */

static int64_t parameters_of(swg_context *ctx, const swg_kan_dae *model) {
    swg_layers layers;
    assert_ok(ctx, swg_kan_dae_layers(ctx, model, 1, 16, 8, &layers));
    int64_t parameters = layers.total.parameters;
    swg_layers_free(ctx, &layers);
    return parameters;
}

/* From kan/dae to kan/dae-opt one switch at a time; residuals, dropout and a frozen norm have no parameters. */
static void switches(void **state) {
    swg_context *ctx = *state;
    swg_kan_dae model = preset(ctx, "kan/dae"), opt = preset(ctx, "kan/dae-opt");
    int64_t count = parameters_of(ctx, &model);
    assert_int_equal(count, 5230015);
    model.no_bias = true;
    count -= 5 * 384 + 6 * 128 + 2 * 64 + 16 + 3; /* C and T of 384, 128, 64, 16 channels, and 3 */
    assert_int_equal(parameters_of(ctx, &model), count);
    memcpy(model.kan, opt.kan, sizeof model.kan);
    count += 2 * (331840 - 258048) + 84 - 45;
    assert_int_equal(parameters_of(ctx, &model), count);
    model.eca = true;
    count += 6;
    assert_int_equal(parameters_of(ctx, &model), count);
    model.dropout = .1;
    model.residual = true;
    model.bam_frozen = true;
    assert_int_equal(parameters_of(ctx, &model), count);
    assert_int_equal(count, 5374809);
    model = preset(ctx, "kan/dae-plain"); /* 64 x 224 x 9 twice is a KAN layer's 258,048; 3 x 7 twice for its 45 */
    assert_int_equal(parameters_of(ctx, &model), 5230015 - 45 + 42);
}

/* ---- what it computes ---- */

static swg_graph *graph(swg_context *ctx, bool inference) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = inference}, &g));
    return g;
}

static void assert_shape(const swg_graph *g, swg_value v, int64_t n, int64_t c, int64_t h, int64_t w) {
    const int64_t want[4] = {n, c, h, w};
    assert_int_equal(swg_ndim(g, v), 4);
    assert_memory_equal(swg_shape(g, v), want, sizeof want);
}

static void results(void **state) {
    swg_context *ctx = *state;
    for (int i = 0; i < 4; i++) {
        swg_kan_dae model = preset(ctx, i & 1 ? "kan/dae-opt" : "kan/dae");
        swg_graph *g = graph(ctx, i & 2);
        swg_value encoded, decoded, z;
        swg_kan_dae_apply(g, swg_input(g, "x", 4, (int64_t[]){2, 3, 128, 64}), &model, &encoded, &decoded, &z);
        assert_ok(ctx, swg_graph_status(g));
        assert_shape(g, encoded, 2, 384, 64, 32);
        assert_shape(g, decoded, 2, 3, 128, 64);
        assert_shape(g, z, 2, 16, 16, 8);
        swg_graph_destroy(g);
    }
}

static const int64_t narrow[4] = {20, 6, 4, 16};

/* Result of a graph on some image, its weights started with one seed; freed by the caller. */
static float *run(swg_context *ctx, swg_graph *g, swg_value x, swg_value y, uint32_t number) {
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 5);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    for (int64_t i = 0; i < swg_elements(g, x); i++)
        ((float *)swg_plan_data(plan, x))[i] = (float)(i * 37 % 101) / 101;
    assert_ok(ctx, swg_plan_run(plan, 9, number));
    size_t bytes = (size_t)swg_elements(g, y) * sizeof(float);
    float *out = malloc(bytes);
    memcpy(out, swg_plan_data(plan, y), bytes);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    return out;
}

/* Decoding what was encoded is applying the whole, bit for bit. */
static void halves(void **state) {
    swg_context *ctx = *state;
    float *got[2] = {0};
    for (int whole = 0; whole < 2; whole++) {
        swg_kan_dae model = preset(ctx, "kan/dae-opt");
        memcpy(model.channels, narrow, sizeof narrow);
        model.residual = false;
        swg_graph *g = graph(ctx, true);
        swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 3, 24, 16}), y;
        if (whole)
            swg_kan_dae_apply(g, x, &model, NULL, &y, NULL);
        else
            y = swg_kan_dae_decode(g, swg_kan_dae_encode(g, x, &model), &model);
        got[whole] = run(ctx, g, x, y, 0);
        swg_graph_destroy(g);
    }
    double largest = 0;
    for (int i = 0; i < 3 * 24 * 16; i++)
        largest = fmax(largest, fabs((double)got[0][i]));
    assert_true(largest > 0 && largest < 1e3);
    assert_memory_equal(got[0], got[1], 3 * 24 * 16 * sizeof(float));
    free(got[0]);
    free(got[1]);
}

/* Dropout changes a training step with its number, and nothing in use. */
static void dropout_trains(void **state) {
    swg_context *ctx = *state;
    for (int use = 0; use < 2; use++) {
        swg_kan_dae model = preset(ctx, "kan/dae-opt");
        memcpy(model.channels, narrow, sizeof narrow);
        model.dropout = .5;
        swg_graph *g = graph(ctx, use);
        swg_value x = swg_input(g, "x", 4, (int64_t[]){4, 3, 16, 16}), y;
        swg_kan_dae_apply(g, x, &model, NULL, &y, NULL);
        float *first = run(ctx, g, x, y, 0), *second = run(ctx, g, x, y, 1);
        assert_int_equal(memcmp(first, second, (size_t)swg_elements(g, y) * sizeof *first) == 0, use);
        free(first);
        free(second);
        swg_graph_destroy(g);
    }
}

/* gradient_checkpointing=kan computes convolutions of KAN layers again, and no others (bits: test_remat). */
static void recomputes_kan_layers(void **state) {
    swg_context *ctx = *state;
    for (int kan = 0; kan < 2; kan++) {
        swg_kan_dae model = preset(ctx, "kan/dae-opt");
        memcpy(model.channels, narrow, sizeof narrow);
        swg_graph *g = graph(ctx, false);
        swg_value x = swg_input(g, "x", 4, (int64_t[]){4, 3, 32, 32}), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT}), y;
        swg_kan_dae_apply(g, x, &model, NULL, &y, NULL);
        y = swg_adam(g, swg_loss_mse(g, y, x), hyper, NULL);
        swg_plan *plan;
        const swg_recompute recompute = {.policy = kan ? SWG_RECOMPUTE_KAN : SWG_RECOMPUTE_ATTENTION};
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .recompute = recompute}, &plan));
        int again = 0;
        for (int i = 0; i < plan->step_count; i++) {
            const swg__node *n = plan->steps[i].call.node;
            if (plan->steps[i].packs || !n->clone || swg__ops[n->op].class != SWG__CONTRACTION)
                continue;
            again++;
            assert_non_null(strstr(n->name, "/kan"));
        }
        assert_int_equal(again, kan ? SWG_KAN_DAE_LAYERS : 0);
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const char *const words[] = {"use a batch of 2 or more, or model.bam_norm=eval", NULL, NULL, "model.residual=false",
                                        "(1, 3, 20, 16) of \"x\"; expected (N, 3, H, W) with H and W divisible by 8", "expected (N, 16, H, W)",
                                        "channels 384, 0, 64, 16", "expected (N, 1, H, W)"};
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++) {
        swg_kan_dae model = preset(ctx, i == 3 ? "kan/dae-opt" : "kan/dae");
        swg_graph *g = graph(ctx, i == 1);
        swg_value x = swg_input(g, "x", 4, (int64_t[]){1, 3, i == 4 ? 20 : 16, 16}), y, encoded, z;
        model.bam_frozen = i == 2;
        model.channels[1] = i == 6 ? 0 : 128;
        model.image = i == 7 ? 1 : 3;
        if (i == 3 || i == 5)
            y = encoded = z = swg_kan_dae_decode(g, x, &model);
        else
            swg_kan_dae_apply(g, x, &model, &encoded, &y, &z);
        assert_int_equal(swg_graph_status(g) == SWG_OK, !words[i]);
        if (words[i] && !strstr(swg_context_message(ctx), words[i]))
            fail_msg("\"%s\" does not speak of \"%s\"", swg_context_message(ctx), words[i]);
        if (words[i])
            assert_true(y == SWG_NONE && encoded == SWG_NONE && z == SWG_NONE);
        swg_graph_destroy(g);
    }
    swg_kan_dae model;
    assert_int_equal(swg_kan_dae_preset(ctx, "kan/dea", &model), SWG_ENOTFOUND);
    assert_non_null(strstr(swg_context_message(ctx), "kan/dae, kan/dae-plain, kan/dae-opt; did you mean kan/dae"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(switches, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(results, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(halves, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(dropout_trains, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recomputes_kan_layers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
