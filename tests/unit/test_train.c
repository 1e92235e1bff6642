/* test_train.c - proves: learning rates and early stopping follow the specification; training lowers the loss; a run that is stopped or
 * killed anywhere and resumed ends with the bits of one that was not, in the checkpoints, the list of the best, metrics.csv and the log; bad data, bad checkpoints and a full disk are refused and leave the last good checkpoint.
 * SPDX-License-Identifier: Apache-2.0 */
#include "training.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "data/image_list.h"
#include "train/schedule.h"

/* ---- schedules and early stopping ---- */

static void learning_rates(void **state) {
    (void)state;
    static const struct { swg__schedule schedule; struct { int64_t count; double lr; } want[5]; } cases[] = {
        {{.kind = SWG__LR_STEP, .lr = 2e-4, .gamma = 0.5, .step = 30}, {{0, 2e-4}, {29, 2e-4}, {30, 1e-4}, {60, 5e-5}, {99, 2.5e-5}}},
        {{.kind = SWG__LR_EXPONENTIAL, .lr = 1e-4, .gamma = 0.995}, {{0, 1e-4}, {1, 9.95e-5}, {100, 6.057704364907279e-5}}},
        {{.kind = SWG__LR_COSINE, .lr = 1e-5, .min_lr = 1e-6, .total = 100},
         {{0, 1e-5}, {25, 8.68198051533946e-6}, {50, 5.5e-6}, {100, 1e-6}, {150, 1e-6}}},
        {{.kind = SWG__LR_CONSTANT, .lr = 3e-4}, {{0, 3e-4}, {1000, 3e-4}}},
        {{.kind = SWG__LR_CONSTANT, .lr = 1e-3, .warmup = 4}, {{0, 2.5e-4}, {1, 5e-4}, {2, 7.5e-4}, {3, 1e-3}, {4, 1e-3}}},
        {{.kind = SWG__LR_STEP, .lr = 1e-3, .gamma = 0.1, .step = 2, .warmup = 4}, {{0, 2.5e-4}, {1, 5e-4}, {2, 7.5e-5}, {3, 1e-4}, {4, 1e-5}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 5 && cases[i].want[k].lr > 0; k++)
            assert_close(swg__schedule_lr(&cases[i].schedule, NULL, cases[i].want[k].count), cases[i].want[k].lr, 0, 1e-12);
}

/* Answers of the specification: rates after as many epochs. */
static void exponential(void **state) {
    static const struct { double gamma; int64_t count; double lr; } want[] = {
        {.995, 1, 9.95e-5}, {.995, 10, 9.51110130466e-5}, {.995, 99, 6.08814509036e-5}, {.998, 99, 8.20207219127e-5}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const swg__schedule s = {.kind = SWG__LR_EXPONENTIAL, .lr = 1e-4, .gamma = want[i].gamma, .total = 100};
        assert_close(swg__schedule_lr(&s, NULL, want[i].count), want[i].lr, 0, 1e-11);
    }
}

/* Answers of the specification, to 1e-12. */
static void onecycle(void **state) {
    (void)state;
    static const struct { int64_t count; double lr, momentum; } want[] = {
        {0, 4e-6, .95}, {4, 4.366488747198734e-5, .9086824088833465}, {9, 1e-4, .85}, {10, 9.99695414727894e-5, .8500304586490451},
        {50, 5.6958827213383085e-5, .8930413449519967}, {99, 4e-10, .95}, {150, 4e-10, .95}};
    swg__schedule s = {.kind = SWG__LR_ONECYCLE, .lr = 1e-4, .total = 100, .rise = 0.1, .cycle_momentum = true};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_close(swg__schedule_lr(&s, NULL, want[i].count), want[i].lr, 0, 1e-12);
        assert_close(swg__schedule_momentum(&s, 0.9, want[i].count), want[i].momentum, 0, 1e-12);
    }
    s.warmup = 8;
    assert_close(swg__schedule_lr(&s, NULL, 4), 4.366488747198734e-5 * 5 / 8, 0, 1e-12);
    s.cycle_momentum = false;
    assert_close(swg__schedule_momentum(&s, 0.9, 4), 0.9, 0, 0);
    /* Runs too short for both ways: a number always, the top where nothing else is left. */
    for (int64_t total = 1; total < 4; total++)
        for (int part = 0; part <= 4; part++) {
            const swg__schedule shortest = {.kind = SWG__LR_ONECYCLE, .lr = 1e-4, .total = total, .rise = part * 0.25};
            for (int64_t i = 0; i < total; i++) {
                double lr = swg__schedule_lr(&shortest, NULL, i);
                assert_true(lr > 0 && lr <= 1e-4);
            }
        }
    assert_close(swg__schedule_lr(&(swg__schedule){.kind = SWG__LR_ONECYCLE, .lr = 1e-4, .total = 1, .rise = 0.1}, NULL, 0), 1e-4, 0, 0);
}

static void plateau(void **state) {
    (void)state;
    static const double values[] = {1, .9, .90, .89995, .95, .90, .80, .81, .82, .83, .84, .85, .86};
    static const double want[] = {2e-3, 2e-3, 2e-3, 2e-3, 1.4e-3, 1.4e-3, 1.4e-3, 1.4e-3, 1.4e-3, 9.8e-4, 9.8e-4, 9.8e-4, 6.86e-4};
    const swg__schedule s = {.kind = SWG__LR_PLATEAU, .lr = 2e-3, .gamma = 0.7, .patience = 2, .min_lr = 1e-5, .threshold = 1e-4};
    swg__plateau p = {.lr = 2e-3, .best = HUGE_VAL}, negative = p;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        bool reduced = swg__plateau_check(&s, &p, values[i]);
        assert_close(swg__schedule_lr(&s, &p, (int64_t)i), want[i], 0, 1e-12);
        assert_int_equal(reduced, i && want[i] != want[i - 1]);
    }
    /* Below zero the same fall relative to the size is asked for. */
    assert_false(swg__plateau_check(&s, &negative, -1));
    assert_false(swg__plateau_check(&s, &negative, -1.00005));
    assert_int_equal(negative.bad, 1);
    assert_false(swg__plateau_check(&s, &negative, -1.0002));
    assert_int_equal(negative.bad, 0);
    /* NaN is no better; the least learning rate is the end of it. */
    swg__plateau low = {.lr = 1.2e-5, .best = 1};
    for (int i = 0; i < 12; i++)
        assert_int_equal(swg__plateau_check(&s, &low, NAN), i == 2);
    assert_close(low.lr, 1e-5, 0, 0);
    /* Two checks after a reduction do not count. */
    swg__schedule slow = s;
    slow.cooldown = 2;
    swg__plateau cooling = {.lr = 1, .best = 1};
    for (int i = 0; i < 9; i++)
        assert_int_equal(swg__plateau_check(&slow, &cooling, 2), i == 2 || i == 7);
    slow.warmup = 4;
    assert_close(swg__schedule_lr(&slow, &cooling, 1), cooling.lr / 2, 0, 1e-15);
}

static void early_stopping(void **state) {
    (void)state;
    static const struct { double value; bool stop, improved; } checks[] = {
        {5, false, true}, {4, false, true}, {3.95, false, false}, {3.89, false, true}, {3.9, false, false}, {NAN, false, false}, {3.8, true, false}};
    swg__early_stop stop = {.enabled = true, .patience = 3, .min_delta = 0.1, .best = HUGE_VAL}, never = stop;
    never.enabled = false;
    bool improved;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        assert_int_equal(swg__early_stop_check(&stop, checks[i].value, &improved), checks[i].stop);
        assert_int_equal(improved, checks[i].improved);
        assert_false(swg__early_stop_check(&never, checks[i].value, &improved));
    }
    assert_close(stop.best, 3.89, 0, 0);
}

/* ---- training ---- */

static void lowers_the_loss(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &(octants){.count = 200, .variables = 2});
    static const char *const kinds[][4] = {
        {"optimizer=adam", "scheduler=step"}, {"optimizer=adamw", "scheduler=cosine", "scheduler.min_lr=1e-4"}, {"loss=log", "loss.directions=50"},
        {"loss=relative"}, {"loss=robust", "scheduler=exponential"}, {"data.norm=block_scale", "trainer.clip_norm=0"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const char *more[8] = {"trainer.epochs=5", "data.batch_size=4", "optimizer.lr=3e-3", "model.hidden=[64]"};
        memcpy(more + 4, kinds[k], sizeof kinds[k]);
        swg_train_result result;
        assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), more, NULL, &result));
        const char *log = in_run(s.folder, "run", "log.jsonl");
        const char *fallen = strcmp(kinds[k][0], "loss=log") == 0 ? "reconstruction" : "loss"; /* a logarithm does not halve */
        double first = logged(ctx, log, "step", 0, fallen), last = logged(ctx, log, "train", 4, fallen);
        if (!(last < 0.5 * first))
            fail_msg("%s: %s %g at first, %g after five epochs", kinds[k][0], fallen, first, last);
        assert_int_equal(result.epochs, 5);
        assert_int_equal(result.steps, 5 * 80);
        assert_int_equal(result.skipped, 0);
        assert_close(result.last_loss, logged(ctx, log, "train", 4, "loss"), 0, 0);
        assert_close(result.best_loss, logged(ctx, log, "val", (int)result.best_epoch, "loss"), 0, 0);
        assert_true(isfinite(logged(ctx, log, "quality", 1, "psnr_db")));
        assert_true(isnan(logged(ctx, log, "quality", 2, "psnr_db"))); /* every second epoch */
        assert_true(result.planned_bytes > 0);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* lr of each step in the log follows the closed form. */
static void logs_the_schedule(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual); /* 80 blocks: 64 to train, 4 batches */
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("scheduler=cosine", "scheduler.min_lr=1e-5", "optimizer=adamw"), NULL, NULL));
    const swg__schedule cosine = {.kind = SWG__LR_COSINE, .lr = 1e-3, .min_lr = 1e-5, .total = 12};
    for (int i = 0; i < 12; i++)
        assert_close(logged(ctx, in_run(s.folder, "run", "log.jsonl"), "step", i, "lr"), swg__schedule_lr(&cosine, NULL, i), 0, 1e-15);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* A plateau schedule looks at the validation loss, and at nothing else. */
static void plateau_in_a_run(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    const char *log = in_run(s.folder, "run", "log.jsonl");
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"),
                         MORE("scheduler=plateau", "scheduler.patience=1", "scheduler.gamma=0.5", "scheduler.threshold=0.3", "trainer.epochs=12"), NULL, NULL));
    const swg__schedule schedule = {.kind = SWG__LR_PLATEAU, .lr = 1e-3, .gamma = 0.5, .patience = 1, .min_lr = 1e-5, .threshold = 0.3};
    swg__plateau want = {.lr = 1e-3, .best = HUGE_VAL};
    for (int epoch = 0; epoch < 12; epoch++) {
        assert_close(logged(ctx, log, "step", 4 * epoch, "lr"), want.lr, 0, 0);
        swg__plateau_check(&schedule, &want, logged(ctx, log, "val", epoch, "loss"));
    }
    assert_true(want.lr < 1e-3);
    remove_tree(in_run(s.folder, "run", ""));
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), MORE("scheduler=plateau", "scheduler.interval=step"), NULL, NULL), SWG_EUSAGE);
    assert_message(ctx, "scheduler.interval", "plateau");
    scratch_close(&s, ctx, 1);
}

/* ---- stopping, killing, going on ---- */

/* Runs until it is done, stopped anew at each of the calls (-1: the end). Returns how often it was interrupted. */
static int train_with_stops(swg_context *ctx, const char *folder, const char *data, const char *const *more, const int64_t *stops) {
    int interrupted = 0;
    for (;; stops++) {
        halt h = {.at = *stops};
        swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
        swg_status status = train(ctx, folder, "stopped", data, more, &hooks, NULL);
        if (status == SWG_OK)
            return interrupted;
        assert_int_equal(status, SWG_EINTERRUPTED);
        assert_message(ctx, "saved", "resume=auto");
        interrupted++;
    }
}

static void stopped_and_resumed_is_the_same(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const char *const variants[][3] = {{NULL}, {"trainer.max_steps=8"}, {"data.norm=zscore"}, {"early_stopping.patience=1", "optimizer.lr=1e-9"},
                                              {"scheduler.name=onecycle", "scheduler.interval=step"}, {"scheduler.name=plateau", "scheduler.patience=0", "checkpoint.save_top_k=2"},
                                              {"trainer.accumulate=2", "data.workers=2"}, {"ema.momentum=0.9", "ema.validate=true"},
                                              {"optimizer.name=sgd", "data.workers=1", "data.augment=flip"}, {"optimizer.amsgrad=true", "optimizer.groups=[\"*.bias wd=0\"]"}};
    static const int64_t stops[][8] = {
        {0, -1}, {1, -1}, {4, -1}, {5, -1}, {7, -1}, {10, -1}, {16, -1}, {0, 0, 0, 0, 0, 0, -1}, {2, 1, 4, -1}, {4, 0, -1}, {3, 3, 3, 3, -1}};
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        const char *more[8] = {STOPPED};
        memcpy(more + 4, variants[v], sizeof variants[v]);
        assert_ok(ctx, train(ctx, s.folder, "whole", data, more, NULL, NULL));
        for (size_t i = TESTING_SLOW ? v % 3 : 0; i < sizeof stops / sizeof *stops; i += TESTING_SLOW ? 3 : 1) {
            train_with_stops(ctx, s.folder, data, more, stops[i]);
            assert_same_run(ctx, s.folder, "whole", "stopped");
            remove_tree(in_run(s.folder, "stopped", ""));
        }
        remove_tree(in_run(s.folder, "whole", ""));
    }
    scratch_close(&s, ctx, 1);
}

/* Fails no call, but kills the process at one. */
static void *kill_alloc(void *user, size_t align, size_t bytes) {
    testing_allocator *t = user;
    if (t->calls == t->fail_at)
        raise(SIGKILL);
    int64_t fail_at = t->fail_at;
    t->fail_at = -1;
    void *ptr = testing_alloc(t, align, bytes);
    t->fail_at = fail_at;
    return ptr;
}

/* One sitting in a process of its own. at: allocation, or with `in_hook` progress call, at which it is killed. True: it came to its end. */
static bool sit(const char *folder, const char *data, const char *const *more, int64_t at, bool in_hook, int threads) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        testing_allocator allocator = {.fail_at = in_hook ? -1 : at};
        halt h = {.at = in_hook ? at : -1, .killed = true};
        swg_train_hooks hooks = {.progress = halt_progress, .user = &h};
        swg_context *ctx;
        if (swg_context_open(&(swg_context_opts){.threads = threads, .allocator = {kill_alloc, testing_release, &allocator}}, &ctx) != SWG_OK)
            _exit(2);
        swg_status status = train(ctx, folder, "killed", data, more, &hooks, NULL);
        if (status != SWG_OK)
            fprintf(stderr, "%s\n", swg_context_message(ctx));
        _exit(status == SWG_OK ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how))
        assert_int_equal(WEXITSTATUS(how), 0);
    else
        assert_int_equal(WTERMSIG(how), SIGKILL);
    return WIFEXITED(how);
}

/* One thread: a process that is about to fork has no others. */
static int open_alone(void **state) {
    return swg_context_open(&(swg_context_opts){.threads = 1}, (swg_context **)state) == SWG_OK ? 0 : -1;
}

/* After any step or epoch, and at any allocation, which is anywhere: while data are read, plans are made, checkpoints and the log are
 * written. */
static void kill_and_resume(swg_context *ctx, const char *const *more, int points) {
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    testing_allocator counting = {.fail_at = -1};
    swg_context *counted;
    assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = 2, .allocator = {testing_alloc, testing_release, &counting}}, &counted));
    assert_ok(counted, train(counted, s.folder, "whole", data, more, NULL, NULL));
    swg_context_close(counted);
    uint32_t random = 12345;
    for (int point = 0; point < points; point++) {
        bool in_hook = point % 3 == 0;
        random = random * 1664525u + 1013904223u;
        int64_t first = in_hook ? random % 18 : (int64_t)(random % (uint32_t)counting.calls);
        int sittings = 0;
        while (!sit(s.folder, data, more, first, in_hook, 2)) {
            assert_true(++sittings < 40);
            random = random * 1664525u + 1013904223u;
            first = in_hook ? random % 24 : (int64_t)(random % (uint32_t)(2 * counting.calls)); /* beyond the end every second time */
        }
        assert_same_run(ctx, s.folder, "whole", "killed");
        remove_tree(in_run(s.folder, "killed", ""));
    }
    remove_tree(in_run(s.folder, "whole", ""));
    scratch_close(&s, ctx, 1);
}

static void killed_and_resumed_is_the_same(void **state) { kill_and_resume(*state, MORE(STOPPED, "checkpoint.save_top_k=2"), TESTING_SLOW ? 24 : 60); }

static void killed_and_resumed_in_bf16(void **state) { kill_and_resume(*state, MORE(STOPPED, "trainer.precision=bf16-mixed"), TESTING_SLOW ? 6 : 12); }

static void killed_with_every_switch(void **state) {
    kill_and_resume(*state, MORE(STOPPED, "trainer.accumulate=2", "ema.momentum=0.9", "ema.validate=true", "optimizer.amsgrad=true",
                                 "optimizer.groups=[\"*.bias wd=0\"]", "scheduler.name=plateau", "scheduler.interval=epoch", "scheduler.patience=0",
                                 "data.workers=2"), TESTING_SLOW ? 9 : 20);
}

/* ---- batches ---- */

static void keep_note(void *user, const char *text) { snprintf(user, 256, "%.255s", text); }

static void batch_sizes(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char said[256] = "";
    swg_train_hooks hooks = {.note = keep_note, .user = said};
    swg_train_result result;
    assert_ok(ctx, train(ctx, s.folder, "large", scratch_path(&s, "a.h5"), MORE("data.batch_size=1000"), &hooks, &result));
    assert_non_null(strstr(said, "larger than the training part (64 blocks)"));
    assert_int_equal(result.steps, 3);
    assert_ok(ctx, train(ctx, s.folder, "one", scratch_path(&s, "a.h5"), MORE("data.batch_size=1", "trainer.epochs=1"), &hooks, &result));
    assert_int_equal(result.steps, 64);
    /* auto: all that fits, here all the data; a run that goes on keeps it. */
    assert_ok(ctx, train(ctx, s.folder, "auto", scratch_path(&s, "a.h5"), MORE("data.batch_size=auto", "trainer.epochs=1"), &hooks, &result));
    assert_non_null(strstr(said, "batch 64 (auto)"));
    assert_int_equal(result.steps, 1);
    swg_config *config;
    assert_ok(ctx, swg_config_open(ctx, in_run(s.folder, "auto", ""), NULL, &config));
    assert_int_equal(swg_config_int(config, "data.batch_size"), 64);
    swg_config_close(config);
    said[0] = 0;
    assert_ok(ctx, train(ctx, s.folder, "auto", scratch_path(&s, "a.h5"), MORE("data.batch_size=auto", "trainer.epochs=3"), &hooks, &result));
    assert_string_equal(said, "");
    assert_int_equal(result.steps, 3);
    for (int i = 0; i < 3; i++)
        remove_tree(in_run(s.folder, (const char *const[]){"large", "one", "auto"}[i], ""));
    scratch_close(&s, ctx, 1);
}

static void stops_early(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char said[256] = "";
    swg_train_hooks hooks = {.note = keep_note, .user = said};
    swg_train_result result;
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"),
                         MORE("trainer.epochs=50", "early_stopping.patience=3", "optimizer.lr=1e-12"), &hooks, &result));
    assert_true(result.early_stop);
    assert_int_equal(result.epochs, 4); /* the first is the best, three more are no better */
    assert_int_equal(result.best_epoch, 0);
    assert_non_null(strstr(said, "early stop"));
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"),
                         MORE("trainer.epochs=50", "early_stopping.patience=3", "optimizer.lr=1e-12"), &hooks, &result));
    assert_int_equal(result.epochs, 4); /* nothing more to do */
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* ---- odd data ---- */

static void plant_nan(double *values, int variable, int octant) {
    if (variable == 1 && octant == 17)
        values[171] = NAN;
}

static void odd_blocks(double *values, int variable, int octant) {
    (void)variable;
    for (int i = 0; i < OCTANT; i++) {
        if (octant % 8 == 2)
            values[i] = 0;                            /* all zero: constant */
        else if (octant % 8 == 5)
            values[i] = 1e-40 * (1 + i % 5);          /* subnormal */
        else if (octant % 8 == 6)
            values[i] = i == 171 ? 1e38 : -1e38;      /* nearly all of the range of f32 */
    }
}

static void huge(double *values, int variable, int octant) {
    (void)variable;
    for (int i = 0; i < OCTANT && octant % 4; i++)
        values[i] *= 1e307;
}

static void odd_data(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    octants o = usual;
    o.change = plant_nan;
    write_octants(ctx, scratch_path(&s, "nan.h5"), &o);
    assert_int_equal(train(ctx, s.folder, "run", scratch_path(&s, "nan.h5"), NULL, NULL, NULL), SWG_ENONFINITE);
    assert_message(ctx, "nan.h5", "U_K", "block 17", "1 NaN", "data.nonfinite=raw");
    assert_false(swg__exists(in_run(s.folder, "run", "")));
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "nan.h5"), MORE("data.nonfinite=raw"), NULL, NULL));
    const char *log = in_run(s.folder, "run", "log.jsonl");
    assert_close(logged(ctx, log, "start", 0, "blocks_raw"), 1, 0, 0);
    assert_true(isfinite(logged(ctx, log, "train", 2, "loss")));
    remove_tree(in_run(s.folder, "run", ""));

    o.change = odd_blocks;
    o.constant_every = 10;
    for (int wide = 0; wide < 2; wide++) {
        o.element = wide ? SWG_ELEMENT_F64 : SWG_ELEMENT_F32;
        write_octants(ctx, scratch_path(&s, "odd.h5"), &o);
        assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "odd.h5"), NULL, NULL, NULL));
        log = in_run(s.folder, "run", "log.jsonl");
        assert_close(logged(ctx, log, "start", 0, "blocks_constant"), 2 * 7, 0, 0); /* 0 20 are constant, 2 10 18 26 34 zero */
        assert_true(isfinite(logged(ctx, log, "train", 2, "loss")));
        remove_tree(in_run(s.folder, "run", ""));
    }
    /* Wide ranges that f32 cannot hold, and reconstructions that overflow even f64, end no run. */
    o = (octants){.count = 40, .variables = 1, .element = SWG_ELEMENT_F64, .change = huge};
    write_octants(ctx, scratch_path(&s, "odd.h5"), &o);
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "odd.h5"),
                         MORE("trainer.eval_every=1", "optimizer.lr=0.3", "trainer.clip_norm=0", "loss.lambda=0", "trainer.epochs=12"), NULL, NULL));
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 2);
}

/* ---- refusals ---- */

static void copy_file(swg_context *ctx, const char *from, const char *to, size_t keep, size_t flip) {
    uint8_t *data;
    size_t bytes;
    assert_ok(ctx, swg__file_read(ctx, from, &data, &bytes));
    if (flip)
        data[flip < bytes ? flip : bytes - 1] ^= 0x10;
    assert_ok(ctx, swg__file_write(ctx, to, data, keep && keep < bytes ? keep : bytes));
    swg__free(ctx, data);
}

static void refuses_what_does_not_fit(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    octants o = usual;
    o.count = 41;
    write_octants(ctx, scratch_path(&s, "b.h5"), &o);
    char data[320], other[320];
    strcpy(other, s.path);
    strcpy(data, scratch_path(&s, "a.h5"));
    assert_ok(ctx, train(ctx, s.folder, "run", data, NULL, NULL, NULL));
    const char *last = in_run(s.folder, "run", "ckpt/last.safetensors");
    char resume[500];
    snprintf(resume, sizeof resume, "resume=%s", last);

    /* A folder that holds a run is never written over. */
    assert_int_equal(train(ctx, s.folder, "run", data, MORE("resume=none"), NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "holds a run already", "resume=auto", "run.name");
    /* Another network. */
    assert_int_equal(train(ctx, s.folder, "run", data, MORE("model.hidden=[17]"), NULL, NULL), SWG_ESHAPE);
    assert_message(ctx, "last.safetensors", "encoder.fc1.weight");
    assert_int_equal(train(ctx, s.folder, "new", data, MORE("model.hidden=[16,16]", resume), NULL, NULL), SWG_ESHAPE);
    /* Other data, another split, another normalisation. */
    static const char *const changes[] = {"trainer.seed=43", "data.norm=minmax", "split.rng=philox", "data.vars=U_K"};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_int_equal(train(ctx, s.folder, "run", data, MORE(changes[i]), NULL, NULL), SWG_EINVAL);
        assert_message(ctx, "was trained on other data");
    }
    assert_int_equal(train(ctx, s.folder, "run", other, NULL, NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "was trained on other data");
    /* No such checkpoint. */
    assert_int_equal(train(ctx, s.folder, "run", data, MORE("resume=nowhere.safetensors"), NULL, NULL), SWG_ENOTFOUND);
    /* More epochs from a checkpoint, in a folder of its own; its log begins there. */
    swg_train_result result;
    assert_ok(ctx, train(ctx, s.folder, "more", data, MORE("trainer.epochs=4", resume), NULL, &result));
    assert_int_equal(result.epochs, 4);
    assert_close(logged(ctx, in_run(s.folder, "more", "log.jsonl"), "train", 0, "epoch"), 3, 0, 0);
    assert_true(swg__exists(in_run(s.folder, "more", "ckpt/last.safetensors")));
    /* Stopped inside an epoch: the size of its batches is settled. */
    halt h = {.at = 1};
    swg_train_hooks hooks = {.progress = halt_progress, .stop = &h.flag, .user = &h};
    assert_int_equal(train(ctx, s.folder, "half", data, NULL, &hooks, NULL), SWG_EINTERRUPTED);
    assert_int_equal(train(ctx, s.folder, "half", data, MORE("data.batch_size=8"), NULL, NULL), SWG_EINVAL);
    assert_message(ctx, "batches of 16");

    /* Truncated or bit-flipped anywhere: refused, by training and by a model. */
    uint8_t *bytes;
    size_t length;
    assert_ok(ctx, swg__file_read(ctx, last, &bytes, &length));
    swg__free(ctx, bytes);
    char damaged[400];
    snprintf(damaged, sizeof damaged, "%s/damaged.safetensors", s.folder);
    snprintf(resume, sizeof resume, "resume=%s", damaged);
    for (int i = 0; i < 40; i++) {
        size_t at = 1 + length * (size_t)i / 40;
        bool cut = i % 2;
        copy_file(ctx, last, damaged, cut ? at : 0, cut ? 0 : at);
        swg_status status = train(ctx, s.folder, "new", data, MORE(resume), NULL, NULL);
        if (status != SWG_ECORRUPT && status != SWG_EFORMAT && status != SWG_EUNSUPPORTED)
            fail_msg("%s at byte %zu of %zu: %s: %s", cut ? "cut" : "flip", at, length, swg_status_name(status), swg_context_message(ctx));
        swg_model *model;
        status = swg_model_open(ctx, damaged, &model);
        assert_null(model);
        if (status != SWG_ECORRUPT && status != SWG_EFORMAT && status != SWG_EUNSUPPORTED)
            fail_msg("model, %s at byte %zu of %zu: %s: %s", cut ? "cut" : "flip", at, length, swg_status_name(status), swg_context_message(ctx));
    }
    assert_false(swg__exists(in_run(s.folder, "new", "ckpt/last.safetensors")));
    assert_int_equal(remove(damaged), 0);
    static const char *const runs[] = {"run", "new", "more", "half"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        remove_tree(in_run(s.folder, runs[i], ""));
    scratch_close(&s, ctx, 2);
}

static void set_limit(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A limit on the size of files stands for a full disk. */
static void full_disk(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    const char *const *small = MORE("model.hidden=[4]", "model.latent=2", "trainer.epochs=40");
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    set_limit(24 * 1024); /* room for a checkpoint, not for the log of 40 epochs */
    swg_status status = train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), small, NULL, NULL);
    set_limit(0);
    assert_int_equal(status, SWG_EIO);
    assert_message(ctx, "log.jsonl", "cannot write");
    const char *last = in_run(s.folder, "run", "ckpt/last.safetensors");
    swg_model *model;
    assert_ok(ctx, swg_model_open(ctx, last, &model)); /* whole, and of the last epoch that was finished */
    int64_t epoch = swg_model_epoch(model);
    assert_true(epoch > 0 && epoch < 40);
    swg_model_close(model);
    /* With room again it goes on, and ends as if nothing had been. */
    assert_ok(ctx, train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), small, NULL, NULL));
    assert_ok(ctx, train(ctx, s.folder, "whole", scratch_path(&s, "a.h5"), small, NULL, NULL));
    assert_same_checkpoint(ctx, last, in_run(s.folder, "whole", "ckpt/last.safetensors"));
    assert_same_log(ctx, in_run(s.folder, "run", "log.jsonl"), in_run(s.folder, "whole", "log.jsonl"));
    remove_tree(in_run(s.folder, "run", ""));
    remove_tree(in_run(s.folder, "whole", ""));

    /* No room for a checkpoint: none under its name, and nothing left over. */
    set_limit(8 * 1024);
    status = train(ctx, s.folder, "run", scratch_path(&s, "a.h5"), small, NULL, NULL);
    set_limit(0);
    signal(SIGXFSZ, before);
    assert_int_equal(status, SWG_EIO);
    assert_message(ctx, "last.safetensors");
    char **names;
    size_t count;
    assert_ok(ctx, swg__list_folder(ctx, in_run(s.folder, "run", "ckpt"), &names, &count));
    assert_int_equal(count, 0);
    swg__list_free(ctx, names, count);
    remove_tree(in_run(s.folder, "run", ""));
    scratch_close(&s, ctx, 1);
}

/* ---- memory ---- */

/* Losses of validation by epoch, from metrics.csv; returns how many. */
static int64_t val_losses(swg_context *ctx, const char *path, double *out, int64_t most) {
    uint8_t *data;
    size_t bytes;
    swg__table table;
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    assert_ok(ctx, swg__table_parse(ctx, (const char *)data, bytes, path, &table));
    int64_t column = swg__table_column(&table, "val_loss"), rows = table.rows, figure = swg__table_column(&table, "psnr_db");
    assert_true(column > 0 && figure > 0 && rows <= most);
    for (int64_t i = 0; i < rows; i++) {
        assert_int_equal(atoi(table.cells[i * table.columns]), i);
        assert_int_equal(table.cells[i * table.columns + figure][0] != 0, i % 2 == 1); /* trainer.eval_every=2 */
        out[i] = strtod(table.cells[i * table.columns + column], NULL);
    }
    swg__table_free(&table);
    swg__free(ctx, data);
    return rows;
}

/* The k least validation losses are kept, and nothing else; fewer from the moment k is less; k of 1 leaves all alone. */
static void keeps_the_best(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const struct { const char *epochs, *top; int kept; } sittings[] = {
        {"trainer.epochs=6", "checkpoint.save_top_k=3", 3}, {"trainer.epochs=9", "checkpoint.save_top_k=3", 3},
        {"trainer.epochs=10", "checkpoint.save_top_k=2", 2}, {"trainer.epochs=11", "checkpoint.save_top_k=1", 2}};
    for (size_t i = 0; i < sizeof sittings / sizeof *sittings; i++) {
        /* Steps so large that losses rise and fall. */
        assert_ok(ctx, train(ctx, s.folder, "top", data, MORE("optimizer.lr=0.1", "trainer.clip_norm=0", sittings[i].epochs, sittings[i].top), NULL, NULL));
        double loss[16];
        int64_t epochs = val_losses(ctx, in_run(s.folder, "top", "metrics.csv"), loss, 16), before = epochs - (sittings[i].top[22] == '1');
        int kept = 0;
        assert_int_equal(epochs, atoi(sittings[i].epochs + 15));
        for (int64_t e = 0; e < epochs; e++) {
            char name[64];
            int better = 0;
            for (int64_t other = 0; other < before; other++)
                better += loss[other] < loss[e];
            snprintf(name, sizeof name, "ckpt/top-%04lld.safetensors", (long long)e + 1);
            bool there = swg__exists(in_run(s.folder, "top", name));
            assert_int_equal(there, e < before && better < sittings[i].kept);
            kept += there;
        }
        assert_int_equal(kept, sittings[i].kept);
        assert_int_equal(swg__exists(in_run(s.folder, "top", "ckpt/best.safetensors")), 1);
        assert_int_equal(swg__exists(in_run(s.folder, "top", "perf.json")), 1);
    }
    remove_tree(in_run(s.folder, "top", ""));
    scratch_close(&s, ctx, 1);
}

/* A table that a kill cut short, one with other columns and one that is no table: resumed, rows of epochs done stay and no row is there twice. */
static void resumes_metrics(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    write_octants(ctx, scratch_path(&s, "a.h5"), &usual);
    char data[320];
    strcpy(data, s.path);
    static const struct { const char *text, *want; } cases[] = {
        {"epoch,step,train_loss\n0,4,1\n1,8,.5\n2,12,.25\n3,1", "\n0,4,1,,"},           /* the last row is of the epoch to come */
        {"epoch,other,train_loss,step\n0,x,1,4\n1,y,.5,8\n", "\n1,8,.5,,"},
        {"other\n1\n", NULL}, {"\"", NULL}, {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(ctx, train(ctx, s.folder, "cut", data, MORE("trainer.epochs=2"), NULL, NULL));
        assert_ok(ctx, swg__file_write(ctx, in_run(s.folder, "cut", "metrics.csv"), cases[i].text, strlen(cases[i].text)));
        assert_ok(ctx, train(ctx, s.folder, "cut", data, MORE("trainer.epochs=3"), NULL, NULL));
        swg__text text = read_metrics(ctx, in_run(s.folder, "cut", "metrics.csv"));
        assert_memory_equal(text.data, "epoch,step,train_loss,", 22);
        assert_true(!cases[i].want || strstr(text.data, cases[i].want));
        int rows = 0;
        for (const char *c = text.data; *c; c++)
            rows += *c == '\n';
        assert_int_equal(rows, cases[i].want ? 4 : 2); /* header, two of before, the new one */
        assert_non_null(strstr(text.data, "\n2,12,"));
        swg__text_free(&text);
        remove_tree(in_run(s.folder, "cut", ""));
    }
    scratch_close(&s, ctx, 1);
}

static void out_of_memory(void **state) {
    swg_context *ctx = *state;
    scratch s;
    scratch_open(&s);
    octants o = {.count = 12, .variables = 1};
    write_octants(ctx, scratch_path(&s, "a.h5"), &o);
    const char *const *more = MORE("data.batch_size=8", "trainer.epochs=2", "data.norm=robust", "model.hidden=[4]");
    int64_t calls = 0;
    bool done = false;
    for (int64_t n = 0; !done; n += n < 200 ? 1 : 1 + calls / 300) {
        testing_allocator allocator = {.fail_at = n};
        swg_context *own;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &own) == SWG_OK) {
            swg_status status = train(own, s.folder, "run", scratch_path(&s, "a.h5"), more, NULL, NULL);
            done = allocator.calls <= n;
            assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
            assert_int_equal(swg_context_bytes(own), 0);
            swg_context_close(own);
        }
        calls = allocator.calls;
        assert_int_equal(allocator.live, 0);
        remove_tree(in_run(s.folder, "run", ""));
    }
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_rates),
        cmocka_unit_test(exponential), cmocka_unit_test(onecycle),
        cmocka_unit_test(plateau),
        cmocka_unit_test(early_stopping),
        cmocka_unit_test_setup_teardown(lowers_the_loss, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(logs_the_schedule, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(plateau_in_a_run, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stopped_and_resumed_is_the_same, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(killed_and_resumed_is_the_same, open_alone, testing_close),
        cmocka_unit_test_setup_teardown(killed_and_resumed_in_bf16, open_alone, testing_close),
        cmocka_unit_test_setup_teardown(killed_with_every_switch, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(batch_sizes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stops_early, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(odd_data, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refuses_what_does_not_fit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(full_disk, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(keeps_the_best, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(resumes_metrics, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
