/* test_train_nets.c - proves: every SWAE recipe has its published settings; every network trains, validates on running statistics, is saved,
 * resumed to the bit, opened and evaluated by the same code; a batch of one block is dropped where there is batch norm; every normalisation trains and counts its side information; settings that
 * do not fit a network are refused by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include "archive/archive.h"
#include "swage/evaluate.h"
#include "train/recipe.h"

/* ---- recipes ---- */

static swg_config *open_recipe(swg_context *ctx, const char *recipe, const char *override) {
    swg_config *config;
    assert_ok(ctx, swg_config_open(ctx, recipe, &(swg_config_opts){.overrides = &override, .override_count = override != NULL}, &config));
    return config;
}

static void recipes(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *name; double lambda; int64_t batch, epochs, edge; } cases[] = {
        {"swae/mlp", 1, 256, 80, 5},  {"swae/mlp-deep", 1, 256, 80, 5}, {"swae/gmlp", 1.2, 256, 80, 5},
        {"swae/conv", .9, 64, 100, 5}, {"swae/conv-opt", .9, 64, 100, 5}, {"swae/conv7", 10, 64, 100, 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg_swae preset;
        swg__recipe r;
        swg_config *config = open_recipe(ctx, cases[i].name, NULL);
        assert_ok(ctx, swg_swae_preset(ctx, cases[i].name, &preset));
        assert_ok(ctx, swg__recipe_read(ctx, config, &r));
        assert_memory_equal(&r.swae.network, &preset, sizeof preset); /* recipe and preset are one network */
        assert_close(r.swae.loss.lambda, cases[i].lambda, 0, 0);
        assert_int_equal(r.swae.loss.kind, SWG_SWAE_MSE);
        assert_int_equal(r.swae.loss.directions, 50);
        assert_int_equal(r.batch, cases[i].batch);
        assert_int_equal(r.max_epochs, cases[i].epochs);
        assert_int_equal(r.swae.edge, cases[i].edge);
        assert_close(r.optimiser.adam.lr, 2e-4, 0, 0);
        assert_close(r.schedule.gamma, .5, 0, 0);
        assert_int_equal(r.schedule.step, 30);
        assert_int_equal(r.early.patience, 40);
        assert_int_equal(r.keep_every, 20);
        swg_config_close(config);
        static const struct { const char *override; double lambda; } changes[] = {{"loss=log", .1}, {"loss.lambda=3", 3}};
        for (int k = 0; k < 2; k++) {
            config = open_recipe(ctx, cases[i].name, changes[k].override);
            assert_ok(ctx, swg__recipe_read(ctx, config, &r));
            assert_close(r.swae.loss.lambda, changes[k].lambda, 0, 0);
            swg_config_close(config);
        }
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *recipe, *override, *words; } cases[] = {
        {"swae/conv7", "data.block=center", "model.name=conv7 takes whole blocks of 7x7x7; say data.block=full"},
        {"swae/conv", "data.block=full", "model.name=conv takes blocks of 5x5x5"},
        {"swae/conv", "model.hidden=[32]", "model.hidden: one stage"},
        {"swae/conv", "data.batch_size=1", "data.batch_size=1: batch norm"},
        {"swae/gmlp", "model.hidden=[1,2,3,4,5,6,7,8,9]", "9 layers, expected 1 to 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        swg__recipe r;
        swg_config *config = open_recipe(ctx, cases[i].recipe, cases[i].override);
        assert_int_equal(swg__recipe_read(ctx, config, &r), SWG_EUSAGE);
        if (!strstr(swg_context_message(ctx), cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), cases[i].words);
        swg_config_close(config);
    }
}

/* ---- runs ---- */

/* Small ones of every kind; epochs are enough for the loss to halve. */
typedef struct network {
    const char *name, *settings[6];
    bool norm;
} network;
static const network networks[] = {
    {"gmlp", {"model=swae_gmlp", "model.hidden=[16,16]"}, false},
    {"conv", {"model=swae_conv", "model.hidden=[6,8,10]"}, true},
    {"conv-opt", {"model=swae_conv_opt", "model.hidden=[6,8]"}, false},
    {"conv7", {"model=swae_conv7", "model.hidden=[6,8]", "data.block=full"}, true},
    {"conv-opt gdn", {"model=swae_conv_opt", "model.hidden=[6,8]", "model.act=gdn"}, false},
    {"conv-opt on 7", {"model=swae_conv_opt", "model.hidden=[6,8]", "data.block=full"}, false},
    {"mlp int8", {"model.hidden=[24]", "model.latent_quant=int8"}, false},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

/* The network's settings and others behind them. */
static const char *const *settings_of(const network *n, const char *const *more) {
    static const char *all[MAX_OVERRIDES];
    int count = 0;
    for (int i = 0; i < 6 && n->settings[i]; i++)
        all[count++] = n->settings[i];
    for (; *more; more++)
        all[count++] = *more;
    all[count] = NULL;
    return all;
}

/* What a model gives for a block does not depend on how many others there are, to the bit. */
static void check_alone(swg_context *ctx, swg_model *model) {
    enum { COUNT = 300 };
    static const int64_t picked[] = {0, 17, 255, 256, COUNT - 1};
    int64_t values = swg_model_network(model)->input, latent = swg_model_network(model)->latent;
    float *x = swg__alloc(ctx, (size_t)(COUNT * values) * sizeof *x), *y = swg__alloc(ctx, (size_t)((COUNT + 1) * values) * sizeof *y);
    float *z = swg__alloc(ctx, (size_t)((COUNT + 1) * latent) * sizeof *z);
    assert_true(x && y && z);
    for (int64_t i = 0; i < COUNT * values; i++)
        x[i] = (float)sin(.37 * (double)i);
    assert_ok(ctx, swg_model_encode(model, COUNT, x, z));
    assert_ok(ctx, swg_model_decode(model, COUNT, z, y));
    for (size_t i = 0; i < sizeof picked / sizeof *picked; i++) {
        assert_ok(ctx, swg_model_encode(model, 1, x + picked[i] * values, z + COUNT * latent));
        assert_ok(ctx, swg_model_decode(model, 1, z + COUNT * latent, y + COUNT * values));
        assert_memory_equal(z + COUNT * latent, z + picked[i] * latent, (size_t)latent * sizeof *z);
        assert_memory_equal(y + COUNT * values, y + picked[i] * values, (size_t)values * sizeof *y);
    }
    swg__free(ctx, x);
    swg__free(ctx, y);
    swg__free(ctx, z);
}

/* Trains on one variable, and on all of them with a tenth of the blocks constant: the loss halves, what validation logged is what the model
 * gives when it is used, all figures are numbers. */
static void trains(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 100, .variables = 2, .constant_every = 10});
    char data[320];
    strcpy(data, s.path);
    for (int k = 0; k < 2 * NETWORKS; k++) {
        const network *n = &networks[k / 2];
        const char *log = in_run(s.folder, "run", "log.jsonl");
        assert_ok(ctx, train(ctx, s.folder, "run", data,
                             settings_of(n, MORE("trainer.epochs=12", "optimizer.lr=1e-2", "loss.lambda=0.1", "data.norm=zscore",
                                                 k % 2 ? "data.vars=U_CHI" : "data.vars=*")), NULL, NULL));
        double first = logged(ctx, log, "step", 0, "loss"), last = logged(ctx, log, "train", 11, "loss");
        if (!(last < .5 * first))
            fail_msg("%s: loss %g at first, %g after twelve epochs", n->name, first, last);
        swg_model *model;
        swg_evaluation e;
        assert_ok(ctx, swg_model_open(ctx, in_run(s.folder, "run", ""), &model));
        assert_ok(ctx, swg_evaluate(ctx, model, NULL, &(swg_evaluate_opts){.part = "val"}, &e));
        const swg_evaluation_row *all = &e.rows[e.count - 1];
        int64_t epoch = swg_model_epoch(model) - 1, normal = all->blocks - (int64_t)all->original.value[SWG_METRIC_CONSTANT_BLOCKS];
        assert_close(all->normalised.value[SWG_METRIC_MSE], logged(ctx, in_run(s.folder, "run", "log.jsonl"), "val", (int)epoch, "reconstruction"),
                     0, 2e-4);
        for (int64_t r = 0; r < e.count; r++)
            for (int m = 0; m < SWG_METRICS; m++)
                assert_true(!e.rows[r].original.has[m] || isfinite(e.rows[r].original.value[m]));
        assert_int_equal(all->latent_bytes, normal * 4 * (swg_model_network(model)->latent_int8 ? 1 : 4));
        swg_evaluation_free(ctx, &e);
        check_alone(ctx, model);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* A variable of 1e-9 beside one of order 1, zeros in both. */
static void difficult(double *values, int variable, int octant) {
    for (int i = 0; i < OCTANT; i++)
        values[i] = (octant + i) % 10 == 0 ? 0 : variable ? values[i] : 1e-9 * values[i];
}

/* Every normalisation: trains, gives numbers, and counts the side information that decoding needs: offsets in the input's precision, exponents. */
static void every_normalisation(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *setting; int offset, exponent; bool narrow; } norms[] = {
        {"data.norm=pos_log", 1, 0, false}, {"data.norm=block_scale", 1, 1, true}, {"data.norm=scaleitup", 1, 1, false}, {"data.norm=pos_log_std", 1, 0, false},
        {"data.norm=minmax", 0, 0, false}, {"data.norm=zscore", 0, 0, false}, {"data.norm=robust", 0, 0, false}, {"data.norm=asinh", 0, 0, false},
        {"data.norm=symlog", 0, 0, false}, {"data.norm=adaptive", 1, 0, false}, {"data.norm=none", 0, 0, false}};
    for (size_t k = 0; k < 4 * sizeof norms / sizeof *norms; k++) {
        const int bytes = k % 2 ? 8 : 4;
        const bool constants = k / 2 % 2;
        scratch s;
        scratch_open(&s);
        write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 60, .variables = 2, .constant_every = constants ? 5 : 0, .change = constants ? NULL : difficult,
                                                              .element = bytes == 8 ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32});
        char data[320];
        strcpy(data, s.path);
        assert_ok(ctx, train(ctx, s.folder, "run", data, MORE(norms[k / 4].setting, "data.vars=*"), NULL, NULL));
        swg_model *model;
        swg_evaluation e;
        assert_ok(ctx, swg_model_open(ctx, in_run(s.folder, "run", ""), &model));
        assert_ok(ctx, swg_evaluate(ctx, model, NULL, NULL, &e));
        assert_int_equal(e.count, 3);
        for (int64_t r = 0; r < e.count; r++) {
            const swg_evaluation_row *row = &e.rows[r];
            double constant = row->original.value[SWG_METRIC_CONSTANT_BLOCKS], n = (double)row->blocks, normal = n - constant, bits = 0;
            assert_int_equal(row->failed_blocks, 0);
            for (int m = 0; m < SWG_METRICS; m++)
                assert_true(!row->original.has[m] || isfinite(row->original.value[m]));
            if (constant > 0)
                bits = normal * log2(n / normal) + constant * log2(n / constant);
            double offset = norms[k / 4].offset * (norms[k / 4].narrow ? 4 : bytes);
            assert_close((double)row->side_bytes, normal * (offset + norms[k / 4].exponent) + constant * bytes + ceil(bits / 8), 0, 0);
        }
        swg_evaluation_free(ctx, &e);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
        scratch_close(&s, ctx, 1);
    }
}

/* Stopped after any step and gone on: the same bits, running statistics among them. 64 training blocks: with batches of 9 one is left over. */
static void resumed_is_the_same(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const int64_t stops[][4] = {{0, -1}, {6, 2, -1}, {7, 0, 0, -1}};
    for (int k = 0; k < NETWORKS; k++)
        for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
            const char *const *more = settings_of(&networks[k], MORE("data.batch_size=9", "checkpoint.every=2", i ? "ema.momentum=0.9" : "data.workers=1",
                                                                     i == 2 ? "ema.validate=true" : "trainer.accumulate=2"));
            assert_ok(ctx, train(ctx, s.folder, "whole", data, more, NULL, NULL));
            swg_status status = SWG_EINTERRUPTED;
            for (int stop = 0; status == SWG_EINTERRUPTED; stop++) {
                halt h = {.at = stops[i][stop]};
                swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
                status = train(ctx, s.folder, "stopped", data, more, &hooks, NULL);
            }
            assert_ok(ctx, status);
            assert_same_run(ctx, s.folder, "whole", "stopped");
            remove_tree(in_run(s.folder, "whole", ""));
            remove_tree(in_run(s.folder, "stopped", ""));
        }
    scratch_close(&s, ctx, 1);
}

static void keep_note(void *user, const char *text) {
    if (strstr(text, "batch norm"))
        snprintf(user, 256, "%.255s", text);
}

static void last_block_is_dropped(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const struct { const char *batch; int64_t with, without; } cases[] = {{"data.batch_size=9", 7, 8}, {"data.batch_size=63", 1, 2}, {"data.batch_size=16", 4, 4},
                                                                                {"data.batch_size=62", 2, 2}, {"data.batch_size=100", 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < NETWORKS; k++) {
            char note[256] = "";
            swg_train_result result;
            const swg_train_hooks hooks = {.note = keep_note, .user = note};
            assert_ok(ctx, train(ctx, s.folder, "run", data, settings_of(&networks[k], MORE(cases[i].batch, "trainer.epochs=2")), &hooks, &result));
            assert_int_equal(result.steps, 2 * (networks[k].norm ? cases[i].with : cases[i].without));
            assert_int_equal(note[0] != 0, networks[k].norm && cases[i].with != cases[i].without);
            remove_tree(in_run(s.folder, "run", ""));
        }
    /* batch_size=auto never comes to one block. */
    write_octants(ctx, scratch_path(&s, "b.h5"), &(octants){.count = 7, .variables = 1});
    strcpy(data, s.path);
    swg_train_result result;
    assert_ok(ctx, train(ctx, s.folder, "run", data, settings_of(&networks[1], MORE("data.batch_size=auto", "trainer.epochs=2")), NULL, &result));
    assert_int_equal(result.steps, 2); /* 5 training blocks: one batch of 4, and the last one is dropped */
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

/* Seven files of one block, of which three are not constant: some choice of these three leaves one block to the training part. */
static void one_training_block(void **state) {
    swg_context *ctx = *state;
    scratch s;
    bool met = false;
    for (int chosen = 0; chosen < 128 && !met; chosen++) {
        if (__builtin_popcount((unsigned)chosen) != 3)
            continue;
        scratch_open(&s);
        for (int f = 0; f < 7; f++)
            write_octants(ctx, scratch_path(&s, (const char *[]){"a.h5", "b.h5", "c.h5", "d.h5", "e.h5", "f.h5", "g.h5"}[f]),
                          &(octants){.count = 1, .variables = 1, .constant_every = chosen >> f & 1 ? 0 : 1});
        swg_status status = train(ctx, s.folder, "run", s.folder, settings_of(&networks[1], MORE("data.split=by-file", "trainer.epochs=1")), NULL, NULL);
        assert_true(status == SWG_OK || status == SWG_EINVAL);
        met = status == SWG_EINVAL && strstr(swg_context_message(ctx), "has 1 block; model.name=conv has batch norm, which needs 2");
        remove_tree(in_run(s.folder, "run", ""));
        scratch_close(&s, ctx, 7);
    }
    assert_true(met);
}

/* The integer decoder of the codec is made of linear layers. */
static void no_predictor(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const char *const words[] = {"model.name=gmlp;", "model.name=conv;", "model.name=conv-opt;", "model.name=conv7;", "model.act=gdn", "model.name=conv-opt;",
                                        "model.latent_quant=int8"};
    for (int k = 0; k < NETWORKS; k++) {
        swg_model *model;
        swg_source *source;
        swg_codec_model *predictor;
        assert_ok(ctx, train(ctx, s.folder, "run", data, settings_of(&networks[k], MORE("trainer.epochs=1", k % 2 ? "data.norm=block_scale" : "data.norm=pos_log")), NULL, NULL));
        assert_ok(ctx, swg_model_open(ctx, in_run(s.folder, "run", ""), &model));
        assert_ok(ctx, swg_source_open(ctx, data, NULL, &source));
        assert_int_equal(swg__archive_predictor(ctx, model, source, &predictor), SWG_EUNSUPPORTED);
        if (!strstr(swg_context_message(ctx), words[k]))
            fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), words[k]);
        swg_source_close(source);
        swg_model_close(model);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recipes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(trains, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(every_normalisation, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(resumed_is_the_same, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(last_block_is_dropped, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(one_training_block, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(no_predictor, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
