/* test_kan_dae.c - proves: kan/dae and kan/dae-opt have the shapes, parameters and multiply-adds of kan.md, sections 3.4 and 3.5, row by row;
 * each switch does what it says; halves fit together; recomputed KAN layers leave the same bits; what does not fit is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include "swage/kan.h"
#include "swage/plan.h"

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
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(switches, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
