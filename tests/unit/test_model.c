/* test_model.c - proves: a model opened from a checkpoint gives the bits of the training graph's forward pass, for any number of blocks and
 * whatever stands beside a block; what is not a model is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include "train/recipe.h"

enum { MOST = 4400, VALUES = 125 };

/* Trains two epochs and opens the result. */
static swg_model *open_trained(swg_context *ctx, scratch *s, const char *const *more) {
    swg_model *model;
    write_octants(ctx, scratch_path(s, "a.h5"), &(octants){.count = 40, .variables = 2});
    assert_ok(ctx, train(ctx, s->folder, "run", scratch_path(s, "a.h5"), more, NULL, NULL));
    assert_ok(ctx, swg_model_open(ctx, in_run(s->folder, "run", ""), &model));
    return model;
}

static void close_trained(swg_context *ctx, scratch *s, swg_model *model) {
    swg_model_close(model);
    remove_tree(in_run(s->folder, "run", ""));
    scratch_close(s, ctx, 1);
}

static float *blocks_of(swg_context *ctx, int64_t count) {
    float *blocks = swg__alloc(ctx, (size_t)(count * VALUES) * sizeof *blocks);
    assert_non_null(blocks);
    for (int64_t i = 0; i < count * VALUES; i++)
        blocks[i] = (float)(sin(0.37 * (double)i) * 5 - 3);
    return blocks;
}

/* Latents and reconstructions of a training step over `count` blocks: forward, loss, backward and update fused as they are trained. */
static void training_forward(swg_context *ctx, swg_model *model, int64_t count, const float *x, float *z, float *y) {
    swg__recipe recipe;
    swg__step_graph step;
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg__recipe_read(ctx, swg_model_config(model), &recipe));
    assert_ok(ctx, swg__step_graph_build(ctx, &recipe, count, true, &step));
    swg_value outputs[] = {step.loss, step.norm, step.out[1], step.out[0]};
    assert_ok(ctx, swg_plan_make(step.g, &(swg_plan_opts){.outputs = outputs, .output_count = 4, .no_fusion = !recipe.fusion}, &plan));
    assert_ok(ctx, swg_weights_create(step.g, true, &weights));
    for (int i = 0; i < swg_weights_count(weights); i++) {
        size_t bytes = sizeof(float);
        for (int d = 0; d < swg_weights_ndim(weights, i); d++)
            bytes *= (size_t)swg_weights_shape(weights, i)[d];
        memcpy(swg_weights_value(weights, i), swg_weights_value(swg_model_weights(model), i), bytes);
    }
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&recipe.optimiser.adam, &b1, &b2, SWG_F32, swg_plan_data(plan, step.hyper));
    memcpy(swg_plan_data(plan, step.in[0]), x, (size_t)(count * VALUES) * sizeof *x);
    assert_ok(ctx, swg_plan_run(plan, 1, 0));
    memcpy(z, swg_plan_data(plan, step.out[1]), (size_t)(count * recipe.swae.network.latent) * sizeof *z);
    memcpy(y, swg_plan_data(plan, step.out[0]), (size_t)(count * VALUES) * sizeof *y);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(step.g);
}

static void is_the_training_graph(void **state) {
    swg_context *ctx = *state;
    static const char *const networks[][4] = {{"model.hidden=[512]", "model.latent=16", "trainer.epochs=2"},
                                              {"model=swae_mlp_deep", "model.hidden=[512,256]", "model.latent=16", "trainer.epochs=1"},
                                              {"model.hidden=[33]", "model.latent=3", "model.act=tanh", "performance.fusion=false"}};
    static const int64_t counts[] = {1, 2, 15, 16, 17, 100, 255, 256, 257, 300, 512};
    for (size_t k = 0; k < sizeof networks / sizeof *networks; k++) {
        scratch s;
        scratch_open(&s);
        const char *more[5] = {0};
        memcpy(more, networks[k], sizeof networks[k]);
        swg_model *model = open_trained(ctx, &s, more);
        int64_t latent = swg_model_network(model)->latent;
        float *x = blocks_of(ctx, 512), *z = swg__alloc(ctx, (size_t)(2 * 512 * latent) * sizeof *z), *y = swg__alloc(ctx, 2 * 512 * VALUES * sizeof *y);
        assert_true(z && y);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            int64_t n = counts[i];
            training_forward(ctx, model, n, x, z, y);
            assert_ok(ctx, swg_model_encode(model, n, x, z + n * latent));
            assert_ok(ctx, swg_model_decode(model, n, z + n * latent, y + n * VALUES));
            if (memcmp(z, z + n * latent, (size_t)(n * latent) * sizeof *z) || memcmp(y, y + n * VALUES, (size_t)(n * VALUES) * sizeof *y))
                fail_msg("network %zu, %lld blocks: latents or reconstruction differ from those of the training step", k, (long long)n);
        }
        swg__free(ctx, x);
        swg__free(ctx, y);
        swg__free(ctx, z);
        close_trained(ctx, &s, model);
    }
}

static void blocks_are_independent(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    swg_model *model = open_trained(ctx, &s, MORE("model.hidden=[512]", "model.latent=16", "trainer.epochs=1"));
    float *x = blocks_of(ctx, MOST), *z = swg__alloc(ctx, MOST * 16 * sizeof *z), *y = swg__alloc(ctx, MOST * VALUES * sizeof *y);
    assert_true(z && y);
    assert_ok(ctx, swg_model_encode(model, MOST, x, z)); /* 4096, 256 and a padded rest */
    assert_ok(ctx, swg_model_decode(model, MOST, z, y));
    float alone_z[16], alone_y[VALUES], several[3 * VALUES], several_z[3 * 16];
    static const int64_t picked[] = {0, 1, 7, 4095, 4096, 4100, 4351, 4352, MOST - 1};
    for (size_t i = 0; i < sizeof picked / sizeof *picked; i++) {
        int64_t b = picked[i];
        assert_ok(ctx, swg_model_encode(model, 1, x + b * VALUES, alone_z));
        assert_ok(ctx, swg_model_decode(model, 1, alone_z, alone_y));
        assert_memory_equal(alone_z, z + b * 16, sizeof alone_z);
        assert_memory_equal(alone_y, y + b * VALUES, sizeof alone_y);
        /* Between a block of NaN and one of huge numbers. */
        for (int j = 0; j < VALUES; j++) {
            several[j] = NAN;
            several[VALUES + j] = x[b * VALUES + j];
            several[2 * VALUES + j] = 3e38f;
        }
        assert_ok(ctx, swg_model_encode(model, 3, several, several_z));
        assert_memory_equal(several_z + 16, z + b * 16, sizeof alone_z);
    }
    assert_ok(ctx, swg_model_encode(model, 0, x, z)); /* nothing */
    swg__free(ctx, x);
    swg__free(ctx, y);
    swg__free(ctx, z);
    close_trained(ctx, &s, model);
}

static void tells_about_itself(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    swg_model *model = open_trained(ctx, &s, MORE("data.norm=zscore"));
    assert_int_equal(swg_model_edge(model), 5);
    assert_int_equal(swg_model_network(model)->input, VALUES);
    assert_int_equal(swg_model_network(model)->latent, 4);
    assert_int_equal(strlen(swg_model_data(model)), 64);
    assert_string_equal(swg_norm_name(swg_model_norm(model)), "zscore");
    assert_true(swg_config_is(swg_model_config(model), "data.norm", "zscore"));
    assert_non_null(strstr(swg_model_path(model), "ckpt/best.safetensors"));
    swg_model *other = NULL;
    /* Without the best one the last one is taken. */
    assert_int_equal(remove(in_run(s.folder, "run", "ckpt/best.safetensors")), 0);
    assert_ok(ctx, swg_model_open(ctx, in_run(s.folder, "run", ""), &other));
    assert_non_null(strstr(swg_model_path(other), "ckpt/last.safetensors"));
    assert_int_equal(swg_model_epoch(other), 3);
    swg_model_close(other);
    assert_int_equal(remove(in_run(s.folder, "run", "ckpt/last.safetensors")), 0);
    assert_int_equal(swg_model_open(ctx, in_run(s.folder, "run", ""), &other), SWG_ENOTFOUND);
    assert_message(ctx, "neither ckpt/best.safetensors nor", "run folder");
    assert_null(other);
    assert_int_equal(swg_model_open(ctx, scratch_path(&s, "none.safetensors"), &other), SWG_ENOTFOUND);
    assert_int_equal(swg_model_open(ctx, scratch_path(&s, "a.h5"), &other), SWG_EFORMAT);
    close_trained(ctx, &s, model);
}

/* A file that is whole, but not what the network needs. */
static void refuses_foreign_tensors(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    swg_model *model = open_trained(ctx, &s, NULL), *other;
    swg_safetensors *file;
    assert_ok(ctx, swg_safetensors_open(ctx, swg_model_path(model), &file));
    static const struct { const char *skip, *rename, *add; const char *word; swg_status status; } cases[] = {
        {"param.encoder.fc2.bias", NULL, NULL, "missing", SWG_ESHAPE},
        {"param.encoder.fc1.weight", "param.encoder.fc1.weight", NULL, "another shape", SWG_ESHAPE},
        {NULL, NULL, "param.encoder.fc9.weight", "not part of the network", SWG_ESHAPE},
        {"note:config", NULL, NULL, "no configuration", SWG_EFORMAT},
        {"note:norm", NULL, NULL, "no configuration or normaliser", SWG_EFORMAT},
        {NULL, NULL, NULL, NULL, SWG_OK},
    };
    static const char *const notes[] = {"config", "norm", "data", "run.epoch"};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        swg_safetensors_writer *w;
        static const float numbers[16];
        assert_ok(ctx, swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true}, &w));
        for (int64_t i = 0; i < swg_safetensors_count(file); i++) {
            const swg_tensor *t = swg_safetensors_at(file, i);
            if (!cases[k].skip || strcmp(cases[k].skip, t->name) != 0)
                assert_ok(ctx, swg_safetensors_writer_add(w, t->name, t->dtype, t->ndim, t->shape, t->data));
        }
        if (cases[k].rename)
            assert_ok(ctx, swg_safetensors_writer_add(w, cases[k].rename, SWG_STORED_F32, 2, (int64_t[]){4, 4}, numbers));
        if (cases[k].add)
            assert_ok(ctx, swg_safetensors_writer_add(w, cases[k].add, SWG_STORED_F32, 1, (int64_t[]){16}, numbers));
        for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
            if (!cases[k].skip || strncmp(cases[k].skip, "note:", 5) != 0 || strcmp(cases[k].skip + 5, notes[i]) != 0)
                assert_ok(ctx, swg_safetensors_writer_note(w, notes[i], swg_safetensors_note(file, notes[i])));
        assert_ok(ctx, swg_safetensors_writer_write(w, scratch_path(&s, "made.safetensors")));
        swg_safetensors_writer_close(w);
        swg_status status = swg_model_open(ctx, scratch_path(&s, "made.safetensors"), &other);
        if (status != cases[k].status)
            fail_msg("case %zu: %s: %s", k, swg_status_name(status), swg_context_message(ctx));
        if (cases[k].word)
            assert_message(ctx, "made.safetensors", cases[k].word);
        swg_model_close(other);
    }
    swg_safetensors_close(file);
    assert_int_equal(remove(scratch_path(&s, "made.safetensors")), 0);
    close_trained(ctx, &s, model);
}

static void out_of_memory(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    swg_model *model = open_trained(ctx, &s, MORE("trainer.epochs=1"));
    float *x = blocks_of(ctx, 20), y[20 * VALUES], z[20 * 4];
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator allocator = {.fail_at = n};
        swg_context *own;
        swg_model *opened;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &own) != SWG_OK)
            continue;
        swg_status status = swg_model_open(own, swg_model_path(model), &opened);
        if (status == SWG_OK)
            status = swg_model_encode(opened, 20, x, z);
        if (status == SWG_OK)
            status = swg_model_decode(opened, 20, z, y);
        done = allocator.calls <= n;
        assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
        swg_model_close(opened);
        assert_int_equal(swg_context_bytes(own), 0);
        swg_context_close(own);
        assert_int_equal(allocator.live, 0);
    }
    swg__free(ctx, x);
    close_trained(ctx, &s, model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_the_training_graph, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(blocks_are_independent, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(tells_about_itself, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_foreign_tensors, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
