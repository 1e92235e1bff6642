/* test_checkpoint.c - proves: a checkpoint gives back weights, all moments, running statistics, the average and the state of the run, bit for
 * bit; what an optimiser has no use for is not in it; a checkpoint of before a field was added is still read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"
#include <math.h>
#include "swage/nn.h"
#include "train/checkpoint.h"

/* Updates by AMSGrad or SGD of a layer with batch norm. */
static void open_weights(swg_context *ctx, bool sgd, swg_weights **weights, swg_weights **average) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){8, 3}), hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value y = swg_batch_norm(g, swg_linear(g, x, 5, "fc"), "bn", NULL);
    swg_update(g, swg_mean(g, swg_square(g, y), 0), hyper, &(swg_update_opts){.kind = sgd ? SWG_UPDATE_SGD : SWG_UPDATE_ADAM, .amsgrad = !sgd});
    assert_ok(ctx, swg_weights_create(g, true, weights));
    assert_ok(ctx, swg_weights_create(g, false, average));
    swg_graph_destroy(g);
}

typedef void *(*place)(swg_weights *, int);
static const place places[] = {swg_weights_value, swg_weights_moment1, swg_weights_moment2, swg_weights_moment2_largest};

static int64_t elements(const int64_t *shape, int ndim) {
    int64_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    return n;
}

/* Writes numbers of its own to every place, or checks that they are there; salt tells two sets apart. */
static void each_number(swg_weights *w, int salt, bool check) {
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (int i = 0; i < swg_weights_count(w); i++) {
            float *data = places[p](w, i);
            for (int64_t e = 0; data && e < elements(swg_weights_shape(w, i), swg_weights_ndim(w, i)); e++) {
                float want = (float)(salt + (int)p) + (float)(10 * i) + 0.001f * (float)e;
                if (check)
                    assert_true(data[e] == want);
                else
                    data[e] = want;
            }
        }
    for (int i = 0; i < swg_weights_states(w); i++) {
        float *data = swg_weights_state(w, i);
        for (int64_t e = 0; e < elements(swg_weights_state_shape(w, i), swg_weights_state_ndim(w, i)); e++) {
            float want = 5000 + (float)i + 0.01f * (float)e; /* the same for weights and average: statistics are not averaged */
            if (check)
                assert_true(data[e] == want);
            else
                data[e] = want;
        }
    }
}

static const swg__run_notes notes = {.config = "a: 1", .norm = "{}", .data = "d", .precision = "32", .provider = "swage", .seed = 7};

static void all_of_it(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    for (int sgd = 0; sgd < 2; sgd++) {
        swg_weights *weights, *average, *back, *back_average;
        swg_safetensors *file;
        open_weights(ctx, sgd, &weights, &average);
        open_weights(ctx, sgd, &back, &back_average);
        assert_int_equal(swg_weights_states(weights), 2);
        each_number(weights, 100, false);
        each_number(average, 900, false);
        swg__run_state before = {.epoch = 3, .step = 12345678901, .b1_power = 0.1, .best = HUGE_VAL, .last_loss = NAN, .best_epoch = -1,
                                 .accumulate = 4, .plateau = {.lr = 1. / 3, .best = -0.25, .bad = 2, .cooldown = 1}}, after = {0};
        const char *path = scratch_path(&s, "c.safetensors");
        assert_ok(ctx, swg__checkpoint_save(ctx, path, weights, average, &before, &notes));
        assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
        assert_non_null(swg_safetensors_find(file, "state.bn.running_mean"));
        assert_non_null(swg_safetensors_find(file, "state.ema.fc.weight"));
        assert_int_equal(swg_safetensors_find(file, "opt.m.fc.weight") != NULL, !sgd);
        assert_int_equal(swg_safetensors_find(file, "opt.vmax.fc.weight") != NULL, !sgd);
        assert_ok(ctx, swg__checkpoint_restore(ctx, file, path, back, &after, "swage", "32"));
        assert_ok(ctx, swg__checkpoint_average(ctx, file, path, back_average));
        each_number(back, 100, true);
        each_number(back_average, 900, true);
        assert_int_equal(after.step, before.step);
        assert_int_equal(after.accumulate, 4);
        assert_memory_equal(&after.plateau, &before.plateau, sizeof after.plateau);
        swg_safetensors_close(file);
        /* Without an average in the file, one begins with the weights. */
        assert_ok(ctx, swg__checkpoint_save(ctx, path, weights, NULL, &before, &notes));
        assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
        assert_ok(ctx, swg__checkpoint_average(ctx, file, path, back_average));
        each_number(back_average, 100, true);
        swg_safetensors_close(file);
        swg_weights_destroy(weights);
        swg_weights_destroy(average);
        swg_weights_destroy(back);
        swg_weights_destroy(back_average);
    }
    scratch_close(&s, ctx, 1);
}

/* Fields that came later keep what the run began with; the first ones must be there. */
static void fields_that_came_later(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    for (int old = 0; old < 2; old++) {
        swg_weights *weights, *average;
        swg_safetensors *whole, *file;
        swg_safetensors_writer *w;
        open_weights(ctx, true, &weights, &average);
        const swg__run_state before = {.epoch = 3, .accumulate = 4, .plateau = {.lr = 0.5}};
        char path[2][320];
        snprintf(path[0], sizeof path[0], "%s", scratch_path(&s, "whole.safetensors"));
        snprintf(path[1], sizeof path[1], "%s", scratch_path(&s, "less.safetensors"));
        assert_ok(ctx, swg__checkpoint_save(ctx, path[0], weights, NULL, &before, &notes));
        assert_ok(ctx, swg_safetensors_open(ctx, path[0], &whole));
        assert_ok(ctx, swg_safetensors_writer_open(ctx, &(swg_safetensors_opts){.crc = true, .keep_order = true}, &w));
        for (int64_t i = 0; i < swg_safetensors_count(whole); i++) {
            const swg_tensor *t = swg_safetensors_at(whole, i);
            assert_ok(ctx, swg_safetensors_writer_add(w, t->name, t->dtype, t->ndim, t->shape, t->data));
        }
        static const char *const first[] = {"epoch", "batch", "step", "skipped", "skipped_in_row", "b1_power", "b2_power", "loss_sum", "reconstruction_sum",
                                            "distance_sum", "loss_blocks", "best", "best_loss", "last_loss", "last_norm", "last_lr", "bad", "best_epoch",
                                            "log_bytes", "seconds", "batch_size"};
        for (size_t i = (size_t)old; i < sizeof first / sizeof *first; i++) { /* the second time without the epoch */
            char key[64];
            snprintf(key, sizeof key, "run.%s", first[i]);
            assert_ok(ctx, swg_safetensors_writer_note(w, key, swg_safetensors_note(whole, key)));
        }
        assert_ok(ctx, swg_safetensors_writer_write(w, path[1]));
        swg_safetensors_writer_close(w);
        swg_safetensors_close(whole);
        assert_ok(ctx, swg_safetensors_open(ctx, path[1], &file));
        swg__run_state after = {.accumulate = 1, .plateau = {.lr = 0.1}};
        assert_int_equal(swg__checkpoint_restore(ctx, file, path[1], weights, &after, "swage", "32"), old ? SWG_EFORMAT : SWG_OK);
        if (old)
            assert_non_null(strstr(swg_context_message(ctx), "run.epoch"));
        assert_int_equal(after.accumulate, 1);
        assert_close(after.plateau.lr, 0.1, 0, 0);
        swg_safetensors_close(file);
        swg_weights_destroy(weights);
        swg_weights_destroy(average);
    }
    scratch_close(&s, ctx, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_it, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(fields_that_came_later, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
