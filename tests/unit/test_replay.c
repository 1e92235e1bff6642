/* test_replay.c - proves: reduce-overhead hands work to the threads less often than the default; bits, memory and allocations are those of the default; a run after another one, and one that shares an arena, are right; held threads
 * that sleep, wake and are let go never lose a task.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <time.h>
#include "plan/replay.h"
#include "swage/nn.h"
#include "swage/swae.h"
#include "testing.h"

typedef struct step { swg_graph *g; swg_value x, hyper, out[2]; swg_plan *plan; swg_weights *weights; } step;

static void open_step(swg_context *ctx, int64_t batch, swg_plan_mode mode, step *s) {
    swg_swae net;
    swg_value reconstruction, distance;
    assert_ok(ctx, swg_swae_preset(ctx, "swae/mlp", &net));
    assert_ok(ctx, swg_graph_create(ctx, NULL, &s->g));
    s->x = swg_input(s->g, "x", 2, (int64_t[]){batch, net.input});
    s->hyper = swg_input(s->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value z = swg_swae_encode(s->g, s->x, &net), y = swg_swae_decode(s->g, z, &net);
    s->out[0] = swg_swae_loss_of(s->g, &(swg_swae_loss){.lambda = 1, .directions = 50}, s->x, y, z, &reconstruction, &distance);
    s->out[1] = swg_adam(s->g, s->out[0], s->hyper, &(swg_adam_opts){.clip = true});
    assert_ok(ctx, swg_plan_make(s->g, &(swg_plan_opts){.outputs = s->out, .output_count = 2, .mode = mode}, &s->plan));
    assert_ok(ctx, swg_weights_create(s->g, true, &s->weights));
    swg_weights_init(s->weights, 5);
    assert_ok(ctx, swg_plan_open(s->plan, s->weights, NULL));
}

static void run_step(swg_context *ctx, step *s, int count) {
    double b1 = 1, b2 = 1;
    float *x = swg_plan_data(s->plan, s->x);
    for (int k = 0; k < count; k++) {
        for (int64_t i = 0; i < swg_elements(s->g, s->x); i++)
            x[i] = (float)((i * 37 + k) % 101) / 50 - 1;
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2, SWG_F32,
                       swg_plan_data(s->plan, s->hyper));
        assert_ok(ctx, swg_plan_run(s->plan, 42, (uint32_t)k));
    }
}

static void close_step(step *s) {
    swg_plan_destroy(s->plan);
    swg_weights_destroy(s->weights);
    swg_graph_destroy(s->g);
}

static void fewer_calls_same_bits(void **state) {
    (void)state;
    static const int64_t batches[] = {1, 16, 64, 256};
    for (int k = 0; k < 4; k++) {
        for (int threads = 1; threads <= 4; threads++) {
            swg_context *ctx;
            step a, b;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
            open_step(ctx, batches[k], SWG_PLAN_DEFAULT, &a);
            open_step(ctx, batches[k], SWG_PLAN_REDUCE_OVERHEAD, &b);
            assert_int_equal(swg_plan_memory_of(a.plan).arena_bytes, swg_plan_memory_of(b.plan).arena_bytes);
            assert_int_equal(swg_plan_steps(a.plan), swg_plan_steps(b.plan));
            int calls = swg_plan_parallel_calls(a.plan), fewer = swg_plan_parallel_calls(b.plan);
            if (!(fewer < calls && fewer > 0))
                fail_msg("batch %d, %d threads: %d calls with reduce-overhead, %d without", (int)batches[k], threads, fewer, calls);
            run_step(ctx, &a, 3);
            uint64_t before = swg_context_allocations(ctx);
            run_step(ctx, &b, 3);
            assert_int_equal(swg_context_allocations(ctx), before);
            assert_memory_equal(a.weights->value, b.weights->value, (size_t)a.weights->span * sizeof(float));
            for (int i = 0; i < 2; i++)
                assert_memory_equal(swg_plan_data(a.plan, a.out[i]), swg_plan_data(b.plan, b.out[i]), sizeof(float));
            close_step(&a);
            close_step(&b);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
    }
}

/* Every step that is not frozen is in the list once, and no region overtakes what it depends on. */
static void every_step_once(void **state) {
    swg_context *ctx = *state;
    step s;
    open_step(ctx, 64, SWG_PLAN_REDUCE_OVERHEAD, &s);
    const swg__replay *r = s.plan->replay;
    int seen[256] = {0}, region_of[256], entries = 0, merged = 0;
    assert_in_range(s.plan->step_count, 1, 256);
    for (int k = 0; k < r->region_count; k++) {
        const swg__region *region = &r->regions[k];
        int64_t tasks = 0;
        assert_int_equal(region->first, entries);
        merged += region->count > 1;
        for (int i = region->first; i < region->first + region->count; i++, entries++) {
            assert_int_equal(r->entries[i].first_task, tasks);
            tasks += r->entries[i].tasks;
            for (int j = r->entries[i].step; j < r->entries[i].step + r->entries[i].steps; j++) {
                seen[j]++;
                region_of[j] = k;
            }
        }
        assert_int_equal(tasks, region->tasks);
    }
    assert_int_equal(entries, r->entry_count);
    assert_true(merged > 3);
    for (int i = 0; i < s.plan->step_count; i++) {
        const swg__node *n = s.plan->steps[i].call.node;
        assert_int_equal(seen[i], 1);
        for (int k = 0; k < i; k++)
            for (int j = 0; j < n->inputs; j++)
                if (!s.plan->steps[k].packs && s.plan->steps[k].node == swg__base_of(s.plan->g, n->in[j]))
                    assert_true(region_of[k] < region_of[i] || (region_of[k] == region_of[i] && s.plan->steps[i].group >= 0 &&
                                                                s.plan->steps[k].group == s.plan->steps[i].group));
    }
    close_step(&s);
}

/* ---- held threads ---- */

static void count_task(void *arg, int64_t task, int worker) {
    (void)worker;
    atomic_fetch_add((atomic_int *)arg, (int)task + 1);
}

static void held_threads(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        for (int round = 0; round < 30; round++) {
            static const long pauses_ns[] = {0, 30000, 100000, 1500000}; /* asleep, about to sleep, held awake, asleep though held */
            atomic_int sum = 0;
            nanosleep(&(struct timespec){.tv_nsec = pauses_ns[round % 4]}, NULL);
            swg__pool_hold(ctx, true);
            nanosleep(&(struct timespec){.tv_nsec = pauses_ns[round / 4 % 4]}, NULL);
            for (int i = 0; i < 5; i++)
                swg__parallel(ctx, 9, count_task, &sum);
            swg__pool_hold(ctx, false);
            swg__parallel(ctx, 9, count_task, &sum);
            assert_int_equal(sum, 6 * 45);
        }
        swg__pool_hold(ctx, true); /* closed while held */
        swg_context_close(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_calls_same_bits),
        cmocka_unit_test_setup_teardown(every_step_once, testing_open, testing_close),
        cmocka_unit_test(held_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
