/* test_profile.c - proves: a recorded run computes the same bits and allocates nothing; every step that runs has tasks, spans inside its
 * run and no more busy time than its workers had; work, bytes and live memory of the steps add up to the plan's; a full profile and a
 * foreign one are handled; failed allocations leak nothing. The profile of a recipe accounts for the time of its steps, and its trace is
 * JSON whose spans lie inside each other and whose counter never exceeds the arena.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <cjson/cJSON.h>
#include <math.h>
#include "train/profiling.h"
#include "plan/plan.h"
#include "swage/profile.h"
#include "swage/swae.h"

typedef struct job {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value loss;
} job;

enum { BATCH = 300, RUNS = 3, SEED = 42 };

static swg_status open_job(job *j, const swg_context_opts *opts, bool no_fusion) {
    *j = (job){.ctx = NULL};
    SWG__TRY(swg_context_open(opts, &j->ctx));
    swg_swae model;
    SWG__TRY(swg_swae_preset(j->ctx, "swae/mlp", &model));
    SWG__TRY(swg_graph_create(j->ctx, NULL, &j->g));
    swg_value x = swg_input(j->g, "x", 2, (int64_t[]){BATCH, 125}), hyper = swg_input(j->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value z = swg_swae_encode(j->g, x, &model), y = swg_swae_decode(j->g, z, &model), mse, sw;
    j->loss = swg_swae_loss_of(j->g, &(swg_swae_loss){.lambda = 1, .directions = 50}, x, y, z, &mse, &sw);
    swg_value outputs[2] = {swg_adam(j->g, j->loss, hyper, &(swg_adam_opts){.clip = true}), j->loss};
    SWG__TRY(swg_plan_make(j->g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .no_fusion = no_fusion}, &j->plan));
    SWG__TRY(swg_weights_create(j->g, true, &j->weights));
    swg_weights_init(j->weights, SEED);
    SWG__TRY(swg_plan_open(j->plan, j->weights, NULL));
    float *data = swg_plan_data(j->plan, x);
    for (int i = 0; i < BATCH * 125; i++)
        data[i] = sinf((float)i * .013f);
    double b1 = 1, b2 = 1;
    const swg_adam_hyper numbers = {.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1};
    swg_hyper_adam(&numbers, &b1, &b2, SWG_F32, swg_plan_data(j->plan, hyper));
    return SWG_OK;
}

static void close_job(job *j) {
    swg_plan_destroy(j->plan);
    swg_weights_destroy(j->weights);
    swg_graph_destroy(j->g);
    if (j->ctx)
        assert_int_equal(swg_context_bytes(j->ctx), 0);
    swg_context_close(j->ctx);
}

static void check_step(const job *j, const swg_profile *p, int64_t run, int step) {
    swg_step_info info;
    swg_span whole = swg_profile_run(p, run), all = swg_profile_step(p, run, step);
    assert_true(swg_plan_step(j->plan, step, &info));
    assert_non_null(info.op);
    assert_non_null(info.scope);
    if (info.frozen) {
        assert_int_equal(all.tasks, 0);
        return;
    }
    int64_t tasks = 0, busy = 0;
    for (int w = 0; w < swg_profile_workers(p); w++) {
        swg_span one = swg_profile_worker(p, run, step, w);
        if (one.tasks == 0)
            continue;
        assert_true(one.begin_ns >= whole.begin_ns && one.begin_ns <= one.end_ns && one.end_ns <= whole.end_ns);
        assert_true(one.busy_ns >= 0 && one.busy_ns <= one.end_ns - one.begin_ns);
        tasks += one.tasks;
        busy += one.busy_ns;
    }
    assert_int_equal(tasks, info.tasks);
    assert_int_equal(all.tasks, tasks);
    assert_int_equal(all.busy_ns, busy);
    assert_true(all.begin_ns >= whole.begin_ns && all.end_ns <= whole.end_ns && all.begin_ns < all.end_ns);
    assert_true(info.bytes > 0 && info.panel_bytes >= 0 && info.panel_bytes <= info.bytes);
}

static void check_profile(const job *j, const swg_profile *p) {
    int64_t flop = 0, most = 0;
    for (int64_t run = 0; run < RUNS; run++) {
        swg_span whole = swg_profile_run(p, run);
        assert_true(whole.end_ns > whole.begin_ns && whole.busy_ns > 0);
        assert_true(whole.busy_ns <= (whole.end_ns - whole.begin_ns) * swg_profile_workers(p));
        assert_true(run == 0 || swg_profile_run(p, run - 1).end_ns <= whole.begin_ns);
        for (int i = 0; i < swg_plan_steps(j->plan); i++)
            check_step(j, p, run, i);
    }
    bool panels = false, packs = false, backward = false;
    for (int i = 0; i < swg_plan_steps(j->plan); i++) {
        swg_step_info info;
        swg_plan_step(j->plan, i, &info);
        swg_live live = swg_plan_live(j->plan, i);
        int64_t bytes = live.saved_bytes + live.transient_bytes + live.scratch_bytes + live.io_bytes;
        most = bytes > most ? bytes : most;
        flop += info.flop;
        panels |= info.group >= 0;
        packs |= info.packs;
        backward |= info.backward;
    }
    assert_true(panels && packs && backward);
    assert_int_equal(flop, swg_plan_flops(j->plan));
    assert_int_equal(most, swg_plan_memory_of(j->plan).bound_bytes);
}

static void recorded_runs_are_the_same(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        job plain, timed;
        swg_profile *p;
        assert_int_equal(open_job(&plain, &(swg_context_opts){.threads = threads}, false), SWG_OK);
        assert_int_equal(open_job(&timed, &(swg_context_opts){.threads = threads}, false), SWG_OK);
        assert_ok(timed.ctx, swg_profile_create(timed.plan, RUNS, &p));
        assert_int_equal(swg_profile_workers(p), threads);
        assert_int_equal(swg_profile_runs(p), 0);
        assert_int_equal(swg_profile_run(p, 0).end_ns, 0);
        assert_ok(timed.ctx, swg_plan_profile(timed.plan, p));
        uint64_t allocations = swg_context_allocations(timed.ctx);
        for (uint32_t s = 0; s < RUNS + 2; s++) { /* two more than there is room for */
            assert_ok(plain.ctx, swg_plan_run(plain.plan, SEED, s));
            assert_ok(timed.ctx, swg_plan_run(timed.plan, SEED, s));
        }
        assert_int_equal(swg_context_allocations(timed.ctx), allocations);
        assert_int_equal(swg_profile_runs(p), RUNS);
        assert_memory_equal(plain.weights->value, timed.weights->value, (size_t)plain.weights->span * 4);
        check_profile(&timed, p);
        assert_ok(timed.ctx, swg_plan_profile(timed.plan, NULL));
        assert_ok(timed.ctx, swg_plan_run(timed.plan, SEED, 9));
        swg_profile_destroy(p);
        close_job(&plain);
        close_job(&timed);
    }
}

/* The layer that a value comes from which is not finite is named, whether the steps run fused or alone, and a healthy run names none. */
static void anomalies(void **state) {
    (void)state;
    for (int alone = 0; alone < 2; alone++) {
        job j;
        swg_anomaly found = {0};
        assert_int_equal(open_job(&j, NULL, alone), SWG_OK);
        swg_plan_watch(j.plan, &found);
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, 0));
        assert_false(found.nan.found || found.infinite.found);
        int at = 0;
        while (!strstr(j.weights->items[at].name, "decoder.fc1.weight"))
            assert_true(++at < swg_weights_count(j.weights));
        ((float *)(void *)j.weights->value)[j.weights->items[at].offset] = NAN;
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, 1));
        assert_true(found.nan.found && !found.nan.backward && found.nan.bad > 0 && found.nan.bad < found.nan.elements);
        if (!strstr(found.nan.scope, "decoder/fc1"))
            fail_msg("NaN in \"%s\", expected decoder/fc1", found.nan.scope);
        swg_anomaly first = found;
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, 2)); /* the first stays */
        assert_memory_equal(&first, &found, sizeof found);
        swg_plan_watch(j.plan, NULL);
        found = (swg_anomaly){0};
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, 3));
        assert_false(found.nan.found);
        close_job(&j);
    }
}

static void forgotten_runs(void **state) {
    (void)state;
    job j;
    swg_profile *p;
    assert_int_equal(open_job(&j, NULL, false), SWG_OK);
    assert_ok(j.ctx, swg_profile_create(j.plan, RUNS, &p));
    swg_profile_forget(p);
    assert_ok(j.ctx, swg_plan_profile(j.plan, p));
    for (uint32_t s = 0; s < RUNS; s++) {
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, s));
        swg_profile_forget(p);
        assert_int_equal(swg_profile_runs(p), 0);
        assert_ok(j.ctx, swg_plan_run(j.plan, SEED, s));
        assert_int_equal(swg_profile_runs(p), 1);
        if (s + 1 < RUNS)
            swg_profile_forget(p);
    }
    for (int i = 0; i < swg_plan_steps(j.plan); i++) /* tasks of forgotten runs are not counted again */
        check_step(&j, p, 0, i);
    swg_profile_destroy(p);
    close_job(&j);
}

/* What lives at the peak, largest first: all of it together is what lives then. */
static void alive_at_the_peak(void **state) {
    (void)state;
    enum { ROOM = 512 };
    job j;
    swg_live_value all[ROOM], few[3];
    int64_t sum = 0;
    assert_int_equal(open_job(&j, NULL, false), SWG_OK);
    int count = swg_plan_alive(j.plan, all, ROOM), named = 0;
    assert_in_range(count, 4, ROOM - 1);
    for (int i = 0; i < count; i++) {
        assert_true(i == 0 || all[i].bytes <= all[i - 1].bytes);
        sum += (all[i].bytes + 63) / 64 * 64;
        named += *all[i].op != 0;
    }
    assert_int_equal(sum, swg_plan_memory_of(j.plan).bound_bytes);
    assert_int_equal(named, count);
    assert_int_equal(swg_plan_alive(j.plan, few, 3), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(few[i].bytes, all[i].bytes);
    close_job(&j);
}

static void wrong_use(void **state) {
    (void)state;
    job one, other;
    swg_profile *p, *none;
    swg_step_info info;
    assert_int_equal(open_job(&one, NULL, false), SWG_OK);
    assert_int_equal(open_job(&other, NULL, true), SWG_OK);
    assert_int_equal(swg_profile_create(one.plan, 0, &none), SWG_EINVAL);
    assert_null(none);
    assert_int_equal(swg_profile_create(one.plan, INT64_MAX / 2, &none), SWG_EINVAL);
    assert_ok(one.ctx, swg_profile_create(one.plan, 1, &p));
    assert_int_equal(swg_plan_profile(other.plan, p), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(other.ctx), "another plan"));
    assert_false(swg_plan_step(one.plan, -1, &info));
    assert_false(swg_plan_step(one.plan, swg_plan_steps(one.plan), &info));
    assert_int_equal(swg_profile_step(p, 0, 0).tasks, 0); /* nothing has run */
    swg_profile_destroy(p);
    close_job(&one);
    close_job(&other);
}

static void failed_allocations(void **state) {
    (void)state;
    testing_allocator t = {.fail_at = -1};
    job j;
    swg_profile *p;
    const swg_context_opts opts = {.threads = 1, .allocator = {.alloc = testing_alloc, .release = testing_release, .user = &t}};
    assert_int_equal(open_job(&j, &opts, false), SWG_OK);
    for (int64_t fail = 0;; fail++) {
        int64_t live = t.live;
        t.calls = 0;
        t.fail_at = fail;
        swg_status status = swg_profile_create(j.plan, 2, &p);
        t.fail_at = -1;
        if (status == SWG_OK)
            break;
        assert_int_equal(status, SWG_ENOMEM);
        assert_int_equal(t.live, live);
        assert_true(fail < 10);
    }
    swg_profile_destroy(p);
    close_job(&j);
}

/* ---- a recipe ---- */

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item))
        fail_msg("no number \"%s\" in the trace", key);
    return item->valuedouble;
}

/* Spans of one track, in the order they were written: each begins after the end of the one before, or inside it and ends inside it. */
static void check_track(const cJSON *events, int track) {
    enum { DEEPEST = 8 };
    double ends[DEEPEST], clock = 2e-3; /* rounding to nanoseconds */
    int depth = 0, found = 0;
    const cJSON *e;
    cJSON_ArrayForEach(e, events) {
        if (strcmp(cJSON_GetObjectItem(e, "ph")->valuestring, "X") != 0 || (int)number(e, "tid") != track)
            continue;
        double begin = number(e, "ts"), end = begin + number(e, "dur");
        while (depth && begin >= ends[depth - 1] - clock)
            depth--;
        assert_true(begin >= 0 && end >= begin && depth < DEEPEST);
        assert_true(depth == 0 || end <= ends[depth - 1] + clock);
        ends[depth++] = end;
        found++;
    }
    assert_true(found > 0);
}

static void check_trace(const swg__profiled *p) {
    char *text = swg__profiled_trace(p);
    cJSON *root = cJSON_Parse(text);
    cJSON_free(text);
    assert_non_null(root);
    const cJSON *events = cJSON_GetObjectItem(root, "traceEvents"), *e;
    int counters = 0, operations = 0;
    cJSON_ArrayForEach(e, events) {
        const cJSON *args = cJSON_GetObjectItem(e, "args");
        if (strcmp(cJSON_GetObjectItem(e, "ph")->valuestring, "C") == 0) {
            counters++;
            double live = number(args, "saved") + number(args, "transient") + number(args, "scratch") + number(args, "io");
            assert_true(live > 0 && live <= (double)swg_plan_memory_of(p->plan).bound_bytes);
        }
        if (cJSON_GetObjectItem(args, "op")) {
            operations++;
            assert_true(number(args, "bytes") > 0 && number(args, "percent_of_floor") > 0 && number(args, "tasks") > 0);
            assert_true(cJSON_IsString(cJSON_GetObjectItem(args, "scope")) && cJSON_IsString(cJSON_GetObjectItem(args, "dtype")));
        }
    }
    assert_true(counters > 10 && operations > counters / 2);
    check_track(events, 0);
    if (swg_profile_workers(p->record) == 1)
        check_track(events, 1000);
    cJSON_Delete(root);
}

static void a_recipe(void **state) {
    swg_context *ctx = *state;
    swg_config *config;
    swg__profiled p;
    for (int inference = 0; inference < 2; inference++) {
        assert_ok(ctx, swg_config_open(ctx, "swae/mlp-deep", NULL, &config));
        const swg__profile_opts opts = {.inference = inference, .steps = 4};
        swg__trial trial;
        assert_ok(ctx, swg__profile_trial(ctx, config, "swae/mlp-deep", &opts, &trial, &p));
        assert_true(p.synthetic);
        assert_int_equal(swg_profile_runs(p.record), 4);
        swg__cost *costs = swg__alloc(ctx, (size_t)p.cost_count * sizeof *costs);
        for (int key = SWG__EACH_STEP; key <= SWG__BY_SCOPE; key++) {
            double sum = p.other_ns;
            bool layer = false;
            int count = swg__profiled_sum(&p, (swg__cost_key)key, costs);
            assert_true(count > 1);
            for (int i = 0; i < count; i++) {
                sum += costs[i].wall_ns;
                layer |= strcmp(costs[i].scope, "encoder/fc2") == 0;
                assert_true(i == 0 || costs[i - 1].wall_ns >= costs[i].wall_ns);
                assert_true(costs[i].floor_ns > 0);
            }
            assert_close(sum, p.run_ns, 0, 1e-6); /* every nanosecond is somebody's */
            assert_true(layer || key == SWG__BY_OP);
        }
        swg__free(ctx, costs);
        assert_true(p.run_ns + p.wait_ns <= p.step.mean_ns * 1.001 && p.step.min_ns > 0);
        check_trace(&p);
        swg__profiled_free(&p);
        swg__trial_close(&trial);
        swg_config_close(config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_recipe, testing_open, testing_close),
        cmocka_unit_test(recorded_runs_are_the_same),
        cmocka_unit_test(anomalies),
        cmocka_unit_test(forgotten_runs),
        cmocka_unit_test(alive_at_the_peak),
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
