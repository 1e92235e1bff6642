/* test_tune.c - proves: no candidate changes a bit, whatever the threads; what was measured is found again, and only for the same work on the same
 * machine; writers at the same time lose nothing; a damaged, foreign, truncated or unwritable file is a warning and never a wrong choice.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "plan/plan.h"
#include "scratch.h"
#include "swage/nn.h"
#include "swage/swae.h"

/* ---- graphs ---- */

typedef struct work { swg_graph *g; swg_value x, hyper, out[2]; } work;

/* A training step of an MLP with the sliced-Wasserstein term: contractions, panels, sorting, reductions, the update. */
static void build_mlp(swg_context *ctx, work *w) {
    swg_swae net;
    assert_ok(ctx, swg_swae_preset(ctx, "swae/mlp", &net));
    net.hidden[0] = 67;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &w->g));
    w->x = swg_input(w->g, "x", 2, (int64_t[]){131, net.input});
    w->hyper = swg_input(w->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value z = swg_swae_encode(w->g, w->x, &net), y = swg_swae_decode(w->g, z, &net), reconstruction, distance;
    w->out[0] = swg_swae_loss_of(w->g, &(swg_swae_loss){.lambda = 1, .directions = 50}, w->x, y, z, &reconstruction, &distance);
    w->out[1] = swg_adam(w->g, w->out[0], w->hyper, &(swg_adam_opts){.clip = true});
    assert_ok(ctx, swg_graph_status(w->g));
}

/* Convolutions up and down, with padding, so that boxes of several shapes meet. */
static void build_conv(swg_context *ctx, work *w) {
    assert_ok(ctx, swg_graph_create(ctx, NULL, &w->g));
    swg_graph *g = w->g;
    w->x = swg_input(g, "x", 5, (int64_t[]){9, 3, 5, 6, 4});
    w->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value h = swg_relu(g, swg_conv(g, w->x, 20, 3, &(swg_conv_opts){.padding = {1, 1, 1}}, "down"));
    h = swg_conv_transpose(g, h, 5, 2, &(swg_conv_opts){.stride = {2, 2, 2}}, "up");
    w->out[0] = swg_mean(g, swg_square(g, h), 0);
    w->out[1] = swg_adam(g, w->out[0], w->hyper, NULL);
    assert_ok(ctx, swg_graph_status(g));
}

static void (*const builders[2])(swg_context *, work *) = {build_mlp, build_conv};

/* Two steps; every weight and both outputs into `out`. Returns how many numbers. */
static int64_t run(swg_context *ctx, const work *w, const swg_plan_opts *opts, float *out, int64_t capacity, swg_memory *memory) {
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(w->g, opts, &plan));
    assert_ok(ctx, swg_weights_create(w->g, true, &weights));
    swg_weights_init(weights, 7);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    float *x = swg_plan_data(plan, w->x);
    double b1 = 1, b2 = 1;
    for (int step = 0; step < 2; step++) {
        for (int64_t i = 0; i < swg_elements(w->g, w->x); i++)
            x[i] = (float)((i * 37 + step) % 101) / 50 - 1;
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-2, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2, SWG_F32,
                       swg_plan_data(plan, w->hyper));
        assert_ok(ctx, swg_plan_run(plan, 3, (uint32_t)step));
    }
    if (memory)
        *memory = swg_plan_memory_of(plan);
    int64_t used = weights->span;
    assert_true(used + 2 <= capacity);
    memcpy(out, weights->value, (size_t)used * sizeof *out);
    for (int i = 0; i < 2; i++)
        out[used++] = *(float *)swg_plan_data(plan, w->out[i]);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    return used;
}

enum { ROOM = 1 << 16, CANDIDATES = 8 };

static void no_candidate_changes_a_bit(void **state) {
    (void)state;
    static float want[ROOM], got[ROOM];
    for (int k = 0; k < 4; k++) /* both graphs, in f32 and in bf16 */
        for (int threads = 1; threads <= 3; threads++) {
            swg_context *ctx;
            work w;
            swg_tuning t = {0};
            int changed = 0;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
            t.ctx = ctx;
            builders[k % 2](ctx, &w);
            int64_t n = run(ctx, &w, &(swg_plan_opts){.outputs = w.out, .output_count = 2, .bf16 = k >= 2}, want, ROOM, NULL);
            for (t.candidate = 1; t.candidate < CANDIDATES; t.candidate++) {
                const swg_plan_opts opts = {.outputs = w.out, .output_count = 2, .tuning = &t, .bf16 = k >= 2};
                assert_int_equal(run(ctx, &w, &opts, got, ROOM, NULL), n);
                if (memcmp(want, got, (size_t)n * sizeof *got) != 0)
                    fail_msg("graph %d, %d threads: candidate %d changes the weights", k, threads, t.candidate);
                swg_plan *plan;
                assert_ok(ctx, swg_plan_make(w.g, &opts, &plan));
                for (int i = 0; i < plan->step_count; i++)
                    changed += plan->steps[i].choice.shift || plan->steps[i].choice.variant;
                for (int i = 0; i < plan->group_count; i++)
                    changed += plan->groups[i].choice.panel_rows > 0;
                swg_plan_destroy(plan);
            }
            assert_true(changed > 20); /* there was something to compare */
            swg_graph_destroy(w.g);
            swg_context_close(ctx);
        }
}

/* ---- warnings ---- */

typedef struct warnings { int count; char last[1024]; } warnings;

static void count_warning(void *user, swg_log_level level, const char *text) {
    warnings *w = user;
    w->count += level == SWG_LOG_WARNING;
    snprintf(w->last, sizeof w->last, "%s", text);
}

static swg_context *listening(warnings *w, const char *isa, int threads) {
    swg_context *ctx;
    *w = (warnings){0};
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = isa, .log = count_warning, .log_user = w}, &ctx), SWG_OK);
    return ctx;
}

/* ---- measuring, keeping, finding ---- */

typedef struct seen { int rows, known, progress; int64_t last, total; } seen;
static void see_row(void *user, const swg_tune_row *row) {
    seen *s = user;
    s->rows++;
    s->known += row->known;
    assert_true(*row->label && *row->choice && row->best_ns <= row->heuristic_ns);
}
static void see_progress(void *user, int64_t done, int64_t total) {
    seen *s = user;
    s->progress++;
    s->last = done;
    s->total = total;
}

static void found_again(void **state) {
    swg_context *ctx = *state, *other;
    static float want[ROOM], got[ROOM];
    work w;
    swg_tuning *t;
    scratch s;
    warnings heard;
    seen first = {0}, second = {0}, third = {0};
    swg_memory before, after;
    scratch_open(&s);
    build_mlp(ctx, &w);
    swg_plan_opts opts = {.outputs = w.out, .output_count = 2};
    int64_t n = run(ctx, &w, &opts, want, ROOM, &before);
    assert_ok(ctx, swg_tuning_open(ctx, s.folder, &t));
    assert_int_equal(swg_tuning_count(t), 0);
    assert_ok(ctx, swg_tune(t, w.g, &opts, &(swg_tune_opts){.row = see_row, .progress = see_progress, .user = &first}));
    assert_true(first.rows > 20 && first.known == 0 && first.progress > 4 && first.last == first.total);
    int64_t count = swg_tuning_count(t);
    assert_int_equal(count, first.rows);
    assert_ok(ctx, swg_tuning_save(t));
    assert_ok(ctx, swg_tuning_save(t)); /* nothing new: not written again */
    swg_tuning_close(t);

    assert_ok(ctx, swg_tuning_open(ctx, s.folder, &t));
    assert_int_equal(swg_tuning_count(t), count);
    assert_ok(ctx, swg_tune(t, w.g, &opts, &(swg_tune_opts){.row = see_row, .progress = see_progress, .user = &second}));
    assert_true(second.rows == first.rows && second.known == second.rows && second.progress == 0);
    opts.tuning = t;
    assert_int_equal(run(ctx, &w, &opts, got, ROOM, NULL), n);
    assert_memory_equal(want, got, (size_t)n * sizeof *want);
    opts.tuning = NULL; /* the default does not look at what was measured */
    assert_int_equal(run(ctx, &w, &opts, got, ROOM, &after), n);
    assert_memory_equal(&before, &after, offsetof(swg_memory, peak_at));
    swg_graph_destroy(w.g);

    /* The same file under another instruction set or number of threads: nothing of it holds. */
    for (int i = TESTING_SLOW; i < 2; i++) {
        other = listening(&heard, i ? NULL : "scalar", i ? swg_context_threads(ctx) + 1 : swg_context_threads(ctx));
        swg_tuning *foreign;
        work again;
        third = (seen){0};
        assert_ok(other, swg_tuning_open(other, s.folder, &foreign));
        assert_int_equal(swg_tuning_count(foreign), count);
        build_mlp(other, &again);
        opts = (swg_plan_opts){.outputs = again.out, .output_count = 2};
        assert_ok(other, swg_tune(foreign, again.g, &opts, &(swg_tune_opts){.row = see_row, .user = &third, .seconds = 60}));
        assert_true(third.rows > 20 && third.known == 0);
        swg_tuning_close(foreign);
        swg_graph_destroy(again.g);
        assert_int_equal(heard.count, 0);
        swg_context_close(other);
    }
    swg_tuning_clear(t);
    assert_int_equal(swg_tuning_count(t), 0);
    assert_false(swg__exists(swg_tuning_path(t)));
    swg_tuning_close(t);
    scratch_close(&s, ctx, 1); /* the lock */
}

/* A stop and a spent budget leave a sound set. */
static void stopped_early(void **state) {
    swg_context *ctx = *state;
    volatile sig_atomic_t stop = 1;
    work w;
    swg_tuning t = {.ctx = ctx};
    build_conv(ctx, &w);
    const swg_plan_opts opts = {.outputs = w.out, .output_count = 2};
    assert_int_equal(swg_tune(&t, w.g, &opts, &(swg_tune_opts){.stop = &stop}), SWG_EINTERRUPTED);
    assert_int_equal(t.count, 0);
    seen s = {0};
    assert_ok(ctx, swg_tune(&t, w.g, &opts, &(swg_tune_opts){.seconds = 1e-6, .progress = see_progress, .user = &s}));
    assert_int_equal(t.count, 0); /* not known: the next one measures */
    assert_int_equal(t.candidate, 0);
    assert_int_equal(swg_tune(&t, w.g, &(swg_plan_opts){.output_count = 1}, NULL), SWG_EINVAL);
    swg__free(ctx, t.records);
    swg_graph_destroy(w.g);
}

/* ---- the file ---- */

static swg__tune_record record_of(int i) {
    swg__tune_record r = {.choice = {.panel_rows = i % 50}, .heuristic_ns = 1000 + i, .best_ns = 900 + i, .fresh = true};
    memcpy(r.key.bytes, &i, sizeof i);
    snprintf(r.label, sizeof r.label, "matmul (%d,4)", i);
    return r;
}

static void save_some(swg_context *ctx, const char *folder, int from, int to) {
    swg_tuning *t;
    assert_ok(ctx, swg_tuning_open(ctx, folder, &t));
    for (int i = from; i < to; i++) {
        swg__tune_record r = record_of(i);
        assert_ok(ctx, swg__tuning_put(t, &r));
    }
    assert_ok(ctx, swg_tuning_save(t));
    swg_tuning_close(t);
}

enum { WRITERS = 8, ROUNDS = 12, EACH = 3 };

static void writers_at_once(void **state) {
    swg_context *ctx = *state;
    scratch s;
    pid_t children[WRITERS];
    scratch_open(&s);
    for (int k = 0; k < WRITERS; k++)
        if (!(children[k] = fork())) {
            warnings heard;
            swg_context *own = listening(&heard, NULL, 1);
            for (int round = 0; round < ROUNDS; round++)
                save_some(own, s.folder, (k * ROUNDS + round) * EACH, (k * ROUNDS + round + 1) * EACH);
            swg_context_close(own);
            _exit(heard.count ? 1 : 0);
        }
    for (int k = 0; k < WRITERS; k++) {
        int status;
        assert_int_equal(waitpid(children[k], &status, 0), children[k]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    swg_tuning *t;
    assert_ok(ctx, swg_tuning_open(ctx, s.folder, &t));
    assert_int_equal(swg_tuning_count(t), WRITERS * ROUNDS * EACH);
    for (int i = 0; i < WRITERS * ROUNDS * EACH; i++) {
        swg__tune_record want = record_of(i);
        const swg__tune_record *got = swg__tuning_find(t, &want.key);
        assert_non_null(got);
        assert_int_equal(got->choice.panel_rows, want.choice.panel_rows);
        assert_string_equal(got->label, want.label);
        assert_false(got->fresh);
    }
    swg_tuning_close(t);
    scratch_close(&s, ctx, 2);
}

static int64_t count_in(swg_context *ctx, const char *folder) {
    swg_tuning *t;
    assert_ok(ctx, swg_tuning_open(ctx, folder, &t));
    int64_t count = swg_tuning_count(t);
    for (int64_t i = 0; i < count; i++) { /* only whole records come in */
        int number;
        memcpy(&number, t->records[i].key.bytes, sizeof number);
        swg__tune_record want = record_of(number);
        want.fresh = false;
        assert_memory_equal(&t->records[i].choice, &want.choice, sizeof want.choice);
        assert_string_equal(t->records[i].label, want.label);
    }
    swg_tuning_close(t);
    return count;
}

/* Every byte flipped, every length: a smaller set and one warning; the next save makes the file whole again. */
static void damaged_files(void **state) {
    (void)state;
    warnings heard;
    swg_context *ctx = listening(&heard, NULL, 1);
    scratch s;
    uint8_t *data;
    size_t bytes;
    scratch_open(&s);
    assert_int_equal(count_in(ctx, s.folder), 0); /* no file: nothing to say */
    save_some(ctx, s.folder, 0, 4);
    assert_int_equal(heard.count, 0);
    const char *path = scratch_path(&s, "tune.txt");
    assert_ok(ctx, swg__file_read(ctx, path, &data, &bytes));
    for (size_t i = 0; i < bytes; i++) {
        heard.count = 0;
        data[i] ^= 0x15;
        assert_ok(ctx, swg__file_write(ctx, path, data, bytes));
        int64_t left = count_in(ctx, s.folder);
        if (left > 3 || heard.count != 1)
            fail_msg("byte %zu flipped: %lld records, %d warnings", i, (long long)left, heard.count);
        data[i] ^= 0x15;
    }
    for (size_t i = 0; i < bytes; i++) {
        assert_ok(ctx, swg__file_write(ctx, path, data, i));
        assert_in_range(count_in(ctx, s.folder), 0, 3);
    }
    swg__free(ctx, data);
    save_some(ctx, s.folder, 10, 12); /* over a truncated file */
    heard.count = 0;
    assert_in_range(count_in(ctx, s.folder), 2, 5);
    assert_int_equal(heard.count, 0);
    assert_ok(ctx, swg__file_write(ctx, path, "something else\n", 15));
    assert_int_equal(count_in(ctx, s.folder), 0);
    assert_non_null(strstr(heard.last, "fresh one"));
    scratch_close(&s, ctx, 2);
    swg_context_close(ctx);
}

/* A folder that cannot be made, a file that is a folder, no folder at all: warnings. */
static void nowhere_to_write(void **state) {
    (void)state;
    warnings heard;
    swg_context *ctx = listening(&heard, NULL, 1);
    scratch s;
    scratch_open(&s);
    save_some(ctx, "/dev/null/swage", 0, 2);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.last, "/dev/null"));
    assert_non_null(strstr(heard.last, "SWAGE_CACHE_DIR"));
    const char *path = scratch_path(&s, "tune.txt");
    assert_int_equal(mkdir(path, 0777), 0);
    heard.count = 0;
    save_some(ctx, s.folder, 0, 2);
    assert_in_range(heard.count, 2, 3); /* cannot be read; cannot be replaced */
    assert_int_equal(rmdir(path), 0);
    static const char *const names[3] = {"SWAGE_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
    char *kept[3];
    for (int i = 0; i < 3; i++) {
        kept[i] = getenv(names[i]) ? swg__strdup(ctx, getenv(names[i])) : NULL;
        unsetenv(names[i]);
    }
    heard.count = 0;
    save_some(ctx, NULL, 0, 2);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.last, "SWAGE_CACHE_DIR"));
    static const struct { const char *name, *value, *path; } places[] = {
        {"HOME", "/h", "/h/.cache/swage/tune.txt"}, {"XDG_CACHE_HOME", "/x", "/x/swage/tune.txt"}, {"XDG_CACHE_HOME", "x", "/h/.cache/swage/tune.txt"},
        {"SWAGE_CACHE_DIR", "c", "c/tune.txt"}};
    for (int i = 0; i < 4; i++) {
        swg_tuning *t;
        setenv(places[i].name, places[i].value, 1);
        assert_ok(ctx, swg_tuning_open(ctx, NULL, &t));
        assert_string_equal(swg_tuning_path(t), places[i].path);
        swg_tuning_close(t);
    }
    for (int i = 0; i < 3; i++) {
        if (kept[i])
            setenv(names[i], kept[i], 1);
        else
            unsetenv(names[i]);
        swg__free(ctx, kept[i]);
    }
    scratch_close(&s, ctx, 1);
    swg_context_close(ctx);
}

/* The file keeps the newest, and hostile numbers in it do nothing. */
static void bounded(void **state) {
    swg_context *ctx = *state;
    scratch s;
    struct stat info;
    scratch_open(&s);
    save_some(ctx, s.folder, 0, SWG__TUNE_RECORDS);
    save_some(ctx, s.folder, SWG__TUNE_RECORDS, SWG__TUNE_RECORDS + 100);
    swg_tuning *t;
    assert_ok(ctx, swg_tuning_open(ctx, s.folder, &t));
    assert_int_equal(swg_tuning_count(t), SWG__TUNE_RECORDS);
    swg__tune_record old = record_of(99), new = record_of(SWG__TUNE_RECORDS + 99);
    assert_null(swg__tuning_find(t, &old.key));
    assert_non_null(swg__tuning_find(t, &new.key));
    assert_int_equal(stat(swg_tuning_path(t), &info), 0);
    assert_true(info.st_size <= SWG__TUNE_BYTES);
    /* Every step and group of a graph with a choice that cannot be. */
    static float want[ROOM], got[ROOM];
    work w;
    build_conv(ctx, &w);
    swg_plan_opts opts = {.outputs = w.out, .output_count = 2, .tuning = t};
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(w.g, &opts, &plan));
    for (int i = 0; i < plan->step_count; i++) {
        swg__tune_record r = {.key = plan->steps[i].key, .choice = {.panel_rows = (int64_t)1 << 40, .shift = SWG__TUNE_ONE_TASK, .variant = 255}};
        assert_ok(ctx, swg__tuning_put(t, &r));
        r.key = plan->steps[i].group >= 0 ? plan->groups[plan->steps[i].group].key : r.key;
        assert_ok(ctx, swg__tuning_put(t, &r));
    }
    swg_plan_destroy(plan);
    int64_t n = run(ctx, &w, &opts, got, ROOM, NULL);
    opts.tuning = NULL;
    assert_int_equal(run(ctx, &w, &opts, want, ROOM, NULL), n);
    assert_memory_equal(want, got, (size_t)n * sizeof *want);
    swg_graph_destroy(w.g);
    swg_tuning_close(t);
    scratch_close(&s, ctx, 2);
}

static void failing_allocations(void **state) {
    (void)state;
    scratch s;
    int64_t calls = 1;
    scratch_open(&s);
    for (int64_t n = -1; n < calls; n += n < 40 ? 1 : 7) {
        testing_allocator memory = {.fail_at = -1};
        swg_context *ctx;
        work w;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &memory}}, &ctx), SWG_OK);
        build_conv(ctx, &w);
        memory.calls = 0;
        memory.fail_at = n;
        swg_tuning *t = NULL;
        swg_status status = swg_tuning_open(ctx, s.folder, &t);
        if (status == SWG_OK)
            status = swg_tune(t, w.g, &(swg_plan_opts){.outputs = w.out, .output_count = 2}, &(swg_tune_opts){.seconds = 0.02, .again = true});
        if (status == SWG_OK)
            status = swg_tuning_save(t);
        if (n < 0)
            calls = memory.calls < 200 ? memory.calls : 200;
        assert_int_equal(n < 0 ? status : status == SWG_OK ? SWG_ENOMEM : status, n < 0 ? SWG_OK : SWG_ENOMEM); /* SWG_OK: never came so far */
        swg_tuning_close(t);
        swg_graph_destroy(w.g);
        swg_context_close(ctx);
        assert_int_equal(memory.live, 0);
    }
    swg_context *ctx;
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    unlink(scratch_path(&s, "tune.txt"));
    unlink(scratch_path(&s, "tune.lock"));
    scratch_close(&s, ctx, 0);
    swg_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_candidate_changes_a_bit),
        cmocka_unit_test_setup_teardown(found_again, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stopped_early, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(writers_at_once, testing_open, testing_close),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(nowhere_to_write),
        cmocka_unit_test_setup_teardown(bounded, testing_open, testing_close),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
