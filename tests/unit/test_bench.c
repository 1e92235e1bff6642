/* test_bench.c - proves: repetitions follow the protocol and give the right order statistics and ratios; a run's rows are checked,
 * have floors below their times by more than chance, and carry the stable keys of the JSON object; planned memory is the
 * measured one and steps allocate nothing; wrong names and interruption are reported; a switch whose losses are not the baseline's fails; a step is
 * timed beside a busy process.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <cjson/cJSON.h>
#include <math.h>
#include "bench/compare.h"

#ifdef SWG_SANITISED
enum { SANITISED = 1 };
#else
enum { SANITISED = 0 };
#endif

typedef struct work { double ns; int64_t calls; } work;

/* Busy for a while; every tenth call ten times as long, which the median must not see. */
static void busy(void *arg) {
    work *w = arg;
    double end = swg__bench_clock_ns() + w->ns * (++w->calls % 10 ? 1 : 10);
    while (swg__bench_clock_ns() < end)
        ;
}

static void statistics(void **state) {
    swg_context *ctx = *state;
    work a = {.ns = 30e3}, b = {.ns = 60e3};
    const swg__side sides[2] = {{.call = busy, .arg = &a, .settle_ns = 1000}, {.call = busy, .arg = &b}};
    swg__times t[2] = {{0}};
    swg__ratio ratio = {0};
    assert_ok(ctx, swg__measure(ctx, sides, 2, true, t, &ratio));
    for (int i = 0; i < 2; i++) {
        assert_true(t[i].reps >= 20 && t[i].loops == 1);
        assert_true(t[i].min_ns <= t[i].median_ns && t[i].median_ns <= t[i].p95_ns && t[i].min_ns <= t[i].mean_ns);
        assert_true(t[i].spread >= 0 && t[i].std_ns >= 0);
        assert_true(t[i].min_ns >= (i ? 60e3 : 30e3));
    }
    assert_true(ratio.low <= ratio.median && ratio.median <= ratio.high);
    assert_true(ratio.median > 1.2 && ratio.median < 3.5); /* 2, on a machine that others use */
}

/* A call far below the clock's resolution is timed in loops. */
static void short_calls(void **state) {
    swg_context *ctx = *state;
    work w = {.ns = 200};
    const swg__side side = {.call = busy, .arg = &w};
    swg__times t = {0};
    assert_ok(ctx, swg__measure(ctx, &side, 1, true, &t, NULL));
    assert_true(t.loops >= 10 && t.loops <= 200);
    assert_true(t.min_ns >= 200 && t.min_ns < 20e3);
}

static const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item)
        fail_msg("the JSON object has no \"%s\"", key);
    return item;
}

static void check_report(const swg__bench *b) {
    char *json = swg__bench_json(b);
    assert_non_null(json);
    cJSON *root = cJSON_Parse(json);
    assert_non_null(root);
    assert_int_equal(member(root, "schema")->valueint, 1);
    assert_true(cJSON_IsString(member(member(root, "machine"), "cpu")));
    const cJSON *team, *row;
    cJSON_ArrayForEach(team, member(member(root, "peaks"), "teams")) {
        assert_true(member(member(team, "f32_gops"), "scalar")->valuedouble > 0);
        assert_true(member(member(team, "read_gb_s"), "DRAM")->valuedouble > 0);
    }
    assert_int_equal(cJSON_GetArraySize(member(root, "peers")), 1 + SWG__PEER_PROCESSES);
    assert_int_equal(cJSON_GetArraySize(member(root, "rows")), b->row_count);
    static const char *const stable[] = {"workload", "dtype", "threads", "median_ns", "gops", "fraction_of_floor", "peer", "peer_median_ns"};
    cJSON_ArrayForEach(row, member(root, "rows")) {
        for (size_t i = 0; i < sizeof stable / sizeof stable[0]; i++)
            member(row, stable[i]);
        assert_true(member(row, "median_ns")->valuedouble > 0);
        assert_true(member(row, "fraction_of_floor")->valuedouble > 0);
    }
    cJSON_Delete(root);
    cJSON_free(json);
}

static void rows(void **state) {
    swg_context *ctx = *state;
    static const char *const patterns[] = {"mlp-b16", "mlp1-train-*", "adamw-4*", "matmul-4096x16x256", "win", "layer-norm-train"};
    swg__bench b;
    assert_ok(ctx, swg__bench_run(ctx, &(swg__bench_opts){.patterns = patterns, .pattern_count = TESTING_SLOW ? 3 : 6, .threads = 2, .quick = true}, &b));
    assert_true(b.row_count == 14 || TESTING_SLOW);
    assert_int_equal(b.team_count, 2);
    for (int i = 0; i < b.row_count; i++) {
        const swg__row *row = &b.rows[i];
        if (*row->failure)
            fail_msg("%s: %s", row->work.id, row->failure);
        assert_true(row->times.median_ns >= row->times.min_ns && row->times.cold_ns > 0);
        assert_true(row->error >= 0 && row->error < (row->work.bf16 ? .1 : 1e-3));
        /* Nothing runs faster than the machine; caches warmer than the model of them leave some room. With more threads than
         * free processors the fork and join is not measured well enough to say the same. */
        assert_true(row->floor_ns > 0);
        assert_true(SANITISED || row->threads > 1 || row->floor_ns < 1.6 * row->times.min_ns);
        assert_true(row->peer_count <= 1);
    }
    check_report(&b);
    swg__text text;
    swg__text_init(&text, ctx);
    swg__bench_table(&b, &text);
    assert_non_null(strstr(text.data, "\nadamw-400013"));
    assert_non_null(strstr(text.data, "oneDNN: "));
    swg__text_free(&text);
    swg__bench_free(&b);
}

static void memory(void **state) {
    swg_context *ctx = *state;
    static const char *const patterns[] = {"memory-*", "recompute-unet3d-default"};
    swg__bench b;
    if (SANITISED)
        skip(); /* their own memory would be counted */
    assert_ok(ctx, swg__bench_run(ctx, &(swg__bench_opts){.patterns = patterns, .pattern_count = 2, .threads = 2, .quick = true}, &b));
    assert_int_equal(b.row_count, 9);
    for (int i = 0; i < b.row_count; i++) {
        const swg__row *row = &b.rows[i];
        assert_string_equal(row->failure, "");
        assert_int_equal(row->allocations, 0);
        assert_close((double)row->measured_bytes, (double)row->planned_bytes, 1 << 20, .02);
    }
    swg__bench_free(&b);
}

/* Beside a process that spins on a processor of ours a step takes longer; without it, it does not spin. */
static void busy_neighbour(void **state) {
    swg_context *ctx = *state;
    static const char *const pattern = "pool-busy";
    swg__bench b;
    assert_ok(ctx, swg__bench_run(ctx, &(swg__bench_opts){.patterns = &pattern, .pattern_count = 1, .threads = 2, .quick = true}, &b));
    assert_int_equal(b.row_count, 1);
    const swg__row *row = &b.rows[0];
    assert_string_equal(row->failure, "");
    assert_int_equal(row->peer_count, 1);
    assert_string_equal(row->peers[0].name, "beside a busy process");
    assert_true(row->times.median_ns > 0 && row->peers[0].times.median_ns > 0 && row->floor_ns > 0);
    assert_true(row->peers[0].ratio.low <= row->peers[0].ratio.median && row->peers[0].ratio.median <= row->peers[0].ratio.high);
    swg__bench_free(&b);
}

static void wrong_use(void **state) {
    swg_context *ctx = *state;
    static const char *const pattern = "no-such-row";
    swg__bench b;
    assert_int_equal(swg__bench_run(ctx, &(swg__bench_opts){.patterns = &pattern, .pattern_count = 1, .quick = true}, &b), SWG_EUSAGE);
    assert_non_null(strstr(swg_context_message(ctx), "no-such-row"));
    swg__bench_free(&b);
    volatile sig_atomic_t stop = 1;
    assert_int_equal(swg__bench_run(ctx, &(swg__bench_opts){.quick = true, .stop = &stop, .threads = 1}, &b), SWG_EINTERRUPTED);
    swg__bench_free(&b);
}

static void losses_of_a_switch(void **state) {
    (void)state;
    swg__compare_row base = {.batch = 1}, row = {.tolerance = 1e-3};
    for (int i = 0; i < SWG__COMPARE_LOSSES; i++) {
        base.losses[i] = 2 - .1 * i;
        row.losses[i] = base.losses[i] * (1 + (i == 7 ? -5e-4 : 1e-5));
    }
    swg__compare_losses(&base, &row);
    double sum = 0, gap = 0;
    for (int i = 0; i < SWG__COMPARE_LOSSES; i++)
        sum += base.losses[i], gap += row.losses[i] - base.losses[i];
    assert_close(row.loss_difference, fabs(gap) / sum, 1e-15, 0);
    assert_string_equal(row.failure, "");
    row.tolerance = 0; /* every loss must be the same */
    swg__compare_losses(&base, &row);
    assert_close(row.loss_difference, 5e-4 * base.losses[7] * SWG__COMPARE_LOSSES / sum, 1e-12, 0);
    assert_true(row.failure[0] != 0);
    row.failure[0] = 0;
    row.tolerance = 1e-3;
    row.losses[3] *= 1.02;
    swg__compare_losses(&base, &row);
    assert_non_null(strstr(row.failure, "at most 1e-03 allowed"));
    row = (swg__compare_row){.tolerance = 1e-3};
    memcpy(row.losses, base.losses, sizeof row.losses);
    row.losses[9] = NAN;
    swg__compare_losses(&base, &row);
    assert_true(row.failure[0] != 0 && isinf(row.loss_difference));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statistics, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(short_calls, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(rows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(memory, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(busy_neighbour, testing_open, testing_close),
        cmocka_unit_test(losses_of_a_switch),
        cmocka_unit_test_setup_teardown(wrong_use, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
