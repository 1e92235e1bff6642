/* test_train_switches.c - proves: with every switch of the optimiser and the loader, the weights and the log do not depend on the number of
 * threads or of workers; small batches added up make a large one; a group of micro-batches is never torn; the average of the weights
 * follows its recurrence; recomputation and budgets of memory change no bit; parameter groups do what they say; what does not go together is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"

/* All the switches together, for each number of threads and of workers. */
static void threads_and_workers_do_not_matter(void **state) {
    swg_context *ctx = *state;
    static const int threads[] = {1, 2, 4, 8}, workers[] = {0, 1, 4};
    static const char *const switches[][7] = {
        {NULL},
        {"optimizer.name=sgd", "optimizer.nesterov=true", "optimizer.groups=[\"*.bias wd=0\", \"decoder.* lr=0.5 wd=0.1\"]", "ema.momentum=0.9"},
        {"optimizer.amsgrad=true", "trainer.accumulate=2", "ema.momentum=0.9", "ema.course=constant", "ema.validate=true", "data.prefetch=1", "data.augment=flip"},
        {"trainer.precision=bf16-mixed", "trainer.epochs=20"}, /* a hundred steps */
    };
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    for (size_t k = 0; k < sizeof switches / sizeof *switches; k++) {
        for (int i = 0; i < 12; i += TESTING_SLOW ? 4 : 1) { /* 1, 2 and 4 threads with 0, 1 and 4 workers, or all pairs */
            swg_context *own;
            char count[32];
            const char *more[16] = {STOPPED, "model.hidden=[48,32]", count};
            memcpy(more + 6, switches[k], sizeof switches[k]);
            snprintf(count, sizeof count, "data.workers=%d", workers[i % 3]);
            assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = threads[i / 3]}, &own));
            assert_ok(own, train(own, s.folder, i ? "other" : "first", scratch_path(&s, "a.h5"), more, NULL, NULL));
            swg_context_close(own);
            if (i) {
                assert_same_run(ctx, s.folder, "first", "other");
                remove_tree(in_run(s.folder, "other", ""));
            }
        }
        remove_tree(in_run(s.folder, "first", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* ---- accumulation, average, groups ---- */

/* The weights of a run's last checkpoint under a prefix, one after the other. */
static int64_t read_weights(swg_context *ctx, const char *path, const char *prefix, float *out, int64_t capacity) {
    swg_safetensors *file;
    int64_t used = 0;
    assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
    for (int64_t i = 0; i < swg_safetensors_count(file); i++) {
        const swg_tensor *t = swg_safetensors_at(file, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        assert_true(used + t->bytes / 4 <= capacity);
        memcpy(out + used, t->data, (size_t)t->bytes);
        used += t->bytes / 4;
    }
    swg_safetensors_close(file);
    return used;
}

enum { ROOM = 1 << 14 };

/* ---- mirroring ---- */

/* Makes an octant its own mirror image along every axis. */
static void symmetric(double *values, int variable, int octant) {
    for (int i = 0; i < OCTANT; i++)
        values[i] = octant_value(variable, octant, abs(i / 49 - 3) * 49 + abs(i / 7 % 7 - 3) * 7 + abs(i % 7 - 3));
}

/* Blocks that are their own mirror image train as they do without mirroring; others do not. */
static void mirroring_moves_values(void **state) {
    swg_context *ctx = *state;
    static float plain[ROOM], flip[ROOM];
    scratch s;
    scratch_open(&s);
    for (int same = 0; same < 2; same++) {
        write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 40, .variables = 1, .change = same ? symmetric : NULL});
        assert_ok(ctx, train(ctx, s.folder, "plain", scratch_path(&s, "a.h5"), NULL, NULL, NULL));
        assert_ok(ctx, train(ctx, s.folder, "flip", scratch_path(&s, "a.h5"), MORE("data.augment=flip"), NULL, NULL));
        int64_t n = read_weights(ctx, in_run(s.folder, "plain", "ckpt/last.safetensors"), "param.", plain, ROOM);
        assert_int_equal(read_weights(ctx, in_run(s.folder, "flip", "ckpt/last.safetensors"), "param.", flip, ROOM), n);
        assert_int_equal(memcmp(plain, flip, (size_t)n * sizeof *plain) == 0, same);
        remove_tree(in_run(s.folder, "plain", ""));
        remove_tree(in_run(s.folder, "flip", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* Without the sliced-Wasserstein term the loss is a mean over blocks, so small batches weighted by their blocks make the large one, up to
 * the order of summation: here 15 blocks as 4 + 4 + 4 + 3. Counted as batches they do not. */
static void small_batches_make_a_large_one(void **state) {
    swg_context *ctx = *state;
    static float large[ROOM], small[ROOM], batches[ROOM];
    static const struct { const char *name, *batch, *accumulate, *by; float *weights; } runs[3] = {
        {"large", "data.batch_size=15", "trainer.accumulate=1", "trainer.accumulate_by=samples", large},
        {"small", "data.batch_size=4", "trainer.accumulate=4", "trainer.accumulate_by=samples", small},
        {"batches", "data.batch_size=4", "trainer.accumulate=4", "trainer.accumulate_by=batches", batches}};
    int64_t count = 0;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 19, .variables = 1}); /* 15 to train */
    for (int i = 0; i < 3; i++) {
        swg_train_result result;
        assert_ok(ctx, train(ctx, s.folder, runs[i].name, scratch_path(&s, "a.h5"),
                             MORE(runs[i].batch, runs[i].accumulate, runs[i].by, "loss.lambda=0", "optimizer=sgd", "optimizer.lr=0.5"), NULL, &result));
        assert_int_equal(result.steps, 3);
        assert_close(logged(ctx, in_run(s.folder, runs[i].name, "log.jsonl"), "start", 0, "blocks_train"), 15, 0, 0);
        count = read_weights(ctx, in_run(s.folder, runs[i].name, "ckpt/last.safetensors"), "param.", runs[i].weights, ROOM);
        for (int step = 0; step < 3; step++) {
            const char *log = in_run(s.folder, runs[i].name, "log.jsonl"), *first = in_run(s.folder, "large", "log.jsonl");
            assert_close(logged(ctx, log, "step", step, "loss"), logged(ctx, first, "step", step, "loss"), 0, i < 2 ? 1e-5 : 1e-2);
            assert_close(logged(ctx, log, "step", step, "grad_norm"), logged(ctx, first, "step", step, "grad_norm"), 0, i < 2 ? 1e-5 : 0.1);
        }
    }
    double gap = 0, other = 0;
    for (int64_t i = 0; i < count; i++) {
        gap = fmax(gap, fabs((double)(small[i] - large[i])));
        other = fmax(other, fabs((double)(batches[i] - large[i])));
    }
    if (!(gap < 2e-6 && other > 10 * gap))
        fail_msg("weights differ by %g; counted as batches by %g", gap, other);
    for (int i = 0; i < 3; i++)
        remove_tree(in_run(s.folder, runs[i].name, ""));
    scratch_close(&s, ctx, 1);
}

/* A stop in the middle of a group waits for its end; another grouping cannot go on inside an epoch. */
static void groups_are_not_torn(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    halt h = {.at = 0};
    swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
    swg_train_result result;
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.accumulate=3", "data.workers=3"), &hooks, &result), SWG_EINTERRUPTED);
    assert_message(ctx, "after batch 3", "saved");
    assert_int_equal(result.steps, 1);
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.accumulate=2"), NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "trainer.accumulate=3", "it is 2");
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.accumulate=3"), NULL, &result));
    assert_int_equal(result.steps, 6); /* four batches: groups of three and of one */
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* The average follows its recurrence over the weights of each step, starts as they do, and is what a model opens when it validates. */
static void averages_the_weights(void **state) {
    swg_context *ctx = *state;
    static float weights[ROOM], average[ROOM], want[ROOM], before[ROOM];
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    /* One step a sitting: every checkpoint is of one step more. */
    int64_t count = 0;
    for (int step = 0; step < 6; step++) {
        halt h = {.at = 0};
        swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
        swg_status status = train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("data.batch_size=40", "ema.momentum=0.5", "ema.validate=true"), &hooks, NULL);
        const char *last = in_run(s.folder, "run", "ckpt/last.safetensors");
        assert_int_equal(status, SWG_EINTERRUPTED);
        count = read_weights(ctx, last, "param.", weights, ROOM);
        assert_int_equal(read_weights(ctx, last, "state.ema.", average, ROOM), count);
        assert_true(count > 4000);
        double momentum = 0.5 + 0.5 * (step / 2) / 3.; /* two batches an epoch, three epochs */
        for (int64_t i = 0; i < count && step; i++) {
            want[i] = (float)(momentum * (double)before[i] + (1 - momentum) * (double)weights[i]);
            assert_close((double)average[i], (double)want[i], 2e-7, 0);
        }
        memcpy(before, average, sizeof before);
    }
    swg_model *model;
    assert_ok(ctx, swg_model_open(ctx, in_run(s.folder, "run", "ckpt/last.safetensors"), &model));
    assert_memory_equal(swg_weights_value(swg_model_weights(model), 0), average, 64);
    assert_memory_not_equal(weights, average, 64);
    swg_model_close(model);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* A rate of zero: the biases stay where they began, the weights do not. */
static void groups_of_parameters(void **state) {
    swg_context *ctx = *state;
    static float first[2][ROOM], last[2][ROOM];
    static const char *const prefixes[2] = {"param.encoder.fc1.bias", "param.encoder.fc1.weight"};
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    const char *const *more = MORE("optimizer.groups=[\"encoder.fc1.bias lr=0\", \"*.bias lr=10\"]", "trainer.epochs=1");
    halt h = {.at = 0};
    swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), more, &hooks, NULL), SWG_EINTERRUPTED);
    const char *path = in_run(s.folder, "run", "ckpt/last.safetensors");
    int64_t count[2];
    for (int i = 0; i < 2; i++)
        count[i] = read_weights(ctx, path, prefixes[i], first[i], ROOM);
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), more, NULL, NULL));
    for (int i = 0; i < 2; i++)
        assert_int_equal(read_weights(ctx, path, prefixes[i], last[i], ROOM), count[i]);
    assert_int_equal(count[0], 16);
    assert_memory_equal(first[0], last[0], 16 * sizeof(float));
    assert_memory_not_equal(first[1], last[1], 16 * sizeof(float));
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* An average may begin in the middle of a run, with the weights as they are; another optimiser may not. */
static void switches_and_resume(void **state) {
    swg_context *ctx = *state;
    static float average[ROOM];
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=1", "optimizer.name=sgd"), NULL, NULL));
    const char *last = in_run(s.folder, "run", "ckpt/last.safetensors");
    assert_int_equal(read_weights(ctx, last, "opt.v.", average, ROOM), 0); /* no second moment */
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=2"), NULL, NULL), SWG_ESHAPE);
    assert_message(ctx, "opt.v.encoder.fc1.weight", "optimiser");
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("trainer.epochs=2", "optimizer.name=sgd", "ema.momentum=1",
                                                                               "ema.course=constant"), NULL, NULL));
    assert_true(read_weights(ctx, last, "state.ema.", average, ROOM) > 0);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

static void keep_note(void *user, const char *text) { snprintf(user, 256, "%.255s", text); }

/* What is recomputed changes neither weights nor log; a budget chooses the batch, or is refused with what would fit. */
static void memory_is_a_switch(void **state) {
    swg_context *ctx = *state;
    static const char *const ways[] = {"gradient_checkpointing=off", "gradient_checkpointing=free", "remat=true", "remat=segments:2",
                                       "gradient_checkpointing=budget:100%", "memory=4GiB"};
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        assert_ok(ctx, train(ctx, s.folder, i ? "other" : "first", scratch_path(&s, "a.h5"), MORE(STOPPED, "model.hidden=[48,32]", ways[i]), NULL, NULL));
        if (i) {
            assert_same_run(ctx, s.folder, "first", "other");
            remove_tree(in_run(s.folder, "other", ""));
        }
    }
    char said[256] = "";
    swg_train_hooks hooks = {.note = keep_note, .user = said};
    swg_train_result result;
    assert_ok(ctx, train(ctx, s.folder, "other", scratch_path(&s, "a.h5"), MORE("data.batch_size=auto", "memory.budget=8GiB", "data.batch_multiple=24",
                                                                                "trainer.epochs=1"), &hooks, &result));
    assert_non_null(strstr(said, "batch 48 (auto): "));
    assert_non_null(strstr(said, " of 8.00 GiB"));
    remove_tree(in_run(s.folder, "other", ""));
    assert_int_equal(train(ctx, s.folder, "other", scratch_path(&s, "a.h5"), MORE("memory.budget=64KiB", "data.batch_size=32"), NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "memory.budget", "the least possible peak is");
    assert_int_equal(train(ctx, s.folder, "other", scratch_path(&s, "a.h5"), MORE("memory.budget=64KiB", "data.batch_size=auto"), NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "the least possible peak is", "MiB");
    static const struct { const char *override[2], *words[2]; } cases[] = {
        {{"remat=blcoks", "trainer.epochs=1"}, {"gradient_checkpointing", "did you mean blocks"}},
        {{"memory.budget=lots", "trainer.epochs=1"}, {"memory.budget", "2GiB"}},
        {{"memory.budget=60%", "data.batch_size=auto"}, {"memory.budget=60%", "a share of what"}},
        {{"memory.budget=1GiB", "remat=blocks"}, {"memory.budget", "keep one"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(train(ctx, s.folder, "other", scratch_path(&s, "a.h5"), MORE(cases[i].override[0], cases[i].override[1]), NULL, NULL), SWG_EUSAGE);
        assert_message(ctx, cases[i].words[0], cases[i].words[1]);
    }
    remove_tree(in_run(s.folder, "first", ""));
    remove_tree(in_run(s.folder, "other", ""));
    scratch_close(&s, ctx, 1);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *override[2], *words[2]; } cases[] = {
        {{"optimizer.nesterov=true"}, {"optimizer.nesterov", "sgd"}},
        {{"optimizer.name=sgd", "optimizer.amsgrad=true"}, {"optimizer.amsgrad", "adam"}},
        {{"ema.validate=true"}, {"ema.validate", "ema.momentum"}},
        {{"optimizer.groups=[\"*.bias\"]"}, {"optimizer.groups", "wd=0"}},
        {{"optimizer.groups=[\"*.bias wd=-1\"]"}, {"wd=-1", "0 to 1000"}},
        {{"optimizer.groups=[\"*.bias rate=1\"]"}, {"rate=1", "lr=FACTOR"}},
        {{"optimizer.groups=[\"*.bais wd=0\"]"}, {"*.bais", "encoder.fc1.weight"}},
        {{"optimizer.groups=[\"\"]"}, {"optimizer.groups", "pattern"}},
    };
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), cases[i].override[1] ? MORE(cases[i].override[0], cases[i].override[1])
                                                                                                  : MORE(cases[i].override[0]), NULL, NULL), SWG_EUSAGE);
        assert_message(ctx, cases[i].words[0], cases[i].words[1]);
    }
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads_and_workers_do_not_matter, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(mirroring_moves_values, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(small_batches_make_a_large_one, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(groups_are_not_torn, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(averages_the_weights, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(groups_of_parameters, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(switches_and_resume, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(memory_is_a_switch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
