/* test_plan.c - proves: placement gives the specified offsets and never lets live buffers overlap; a training step has the
 * same bits for any number of threads; fused and unfused plans agree; a run allocates nothing; wrong use is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "swage/swae.h"

/* ---- every allocation of the process is counted, whoever makes it (not under sanitisers, which own malloc) ---- */

#ifdef SWG_SANITISED
static int64_t heap_calls(void) { return 0; }
#else
#include <stdatomic.h>
extern void *__libc_malloc(size_t), *__libc_memalign(size_t, size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static atomic_llong calls;
void *malloc(size_t n) { return atomic_fetch_add(&calls, 1), __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return atomic_fetch_add(&calls, 1), __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return atomic_fetch_add(&calls, 1), __libc_realloc(p, n); }
int posix_memalign(void **p, size_t align, size_t n) {
    atomic_fetch_add(&calls, 1);
    return (*p = __libc_memalign(align, n)) ? 0 : 12;
}
static int64_t heap_calls(void) { return calls; }
#endif

/* ---- placement ---- */

static void placement(swg_context *ctx, const int64_t (*rows)[4], int count, int64_t want_peak) {
    swg__life lives[8];
    int64_t peak, bound;
    int at;
    for (int i = 0; i < count; i++)
        lives[i] = (swg__life){.bytes = rows[i][0], .first = (int)rows[i][1], .last = (int)rows[i][2]};
    assert_ok(ctx, swg__place(ctx, lives, count, 9, &peak, &bound, &at));
    assert_int_equal(peak, want_peak);
    assert_int_equal(bound, want_peak);
    for (int i = 0; i < count; i++)
        assert_int_equal(lives[i].offset, rows[i][3]);
}

static void known_placements(void **state) {
    static const int64_t first[][4] = {{4096, 0, 1, 8192}, {8192, 1, 2, 0}, {8192, 2, 4, 8192}, {2048, 3, 6, 6144},
                                       {6144, 4, 5, 0},    {2048, 5, 6, 8192}, {1000, 6, 7, 0}};
    static const int64_t second[][4] = {{1024, 0, 3, 2048}, {512, 0, 1, 0},     {512, 1, 2, 3072}, {2048, 2, 5, 0},
                                        {256, 3, 4, 3584},  {1536, 4, 7, 2048}, {512, 5, 6, 3584}, {1024, 6, 8, 0}};
    placement(*state, first, 7, 16384);
    placement(*state, second, 8, 4096);
}

static void random_placements(void **state) {
    swg_context *ctx = *state;
    uint32_t seed = 1;
    for (int round = 0; round < 200; round++) {
        enum { N = 60, STEPS = 40 };
        swg__life lives[N];
        for (int i = 0; i < N; i++) {
            seed = seed * 1664525u + 1013904223u;
            int first = (int)(seed >> 8) % STEPS, length = (int)(seed >> 20) % 9;
            lives[i] = (swg__life){.bytes = 1 + (int64_t)(seed >> 4) % 5000, .first = first,
                                   .last = first + length < STEPS ? first + length : STEPS - 1};
        }
        int64_t peak, bound;
        int at;
        assert_ok(ctx, swg__place(ctx, lives, N, STEPS, &peak, &bound, &at));
        assert_true(peak >= bound && (double)peak <= 1.35 * (double)bound);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < i; j++) {
                bool together = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
                bool apart = lives[i].offset + lives[i].bytes <= lives[j].offset || lives[j].offset + lives[j].bytes <= lives[i].offset;
                assert_true(!together || apart);
                assert_true(lives[i].offset % 64 == 0 && lives[i].offset + lives[i].bytes <= peak);
            }
    }
}

/* ---- a training step of the real networks ---- */

typedef struct trainer {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, hyper, norm, loss;
    double b1, b2;
    swg_dtype dtype;
} trainer;

static const swg_swae_loss loss_opts = {.kind = SWG_SWAE_MSE, .lambda = 1, .directions = 50};

static swg_status open_trainer(trainer *t, const swg_context_opts *opts, const char *preset, int64_t batch, swg_dtype dtype, bool no_fusion) {
    *t = (trainer){.b1 = 1, .b2 = 1, .dtype = dtype};
    SWG__TRY(swg_context_open(opts, &t->ctx));
    swg_swae model;
    SWG__TRY(swg_swae_preset(t->ctx, preset, &model));
    SWG__TRY(swg_graph_create(t->ctx, &(swg_graph_opts){.dtype = dtype}, &t->g));
    t->x = swg_input(t->g, "x", 2, (int64_t[]){batch, 125});
    t->hyper = swg_input(t->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_value z = swg_swae_encode(t->g, t->x, &model), y = swg_swae_decode(t->g, z, &model), mse, sw;
    t->loss = swg_swae_loss_of(t->g, &loss_opts, t->x, y, z, &mse, &sw);
    t->norm = swg_adam(t->g, t->loss, t->hyper, &(swg_adam_opts){.clip = true});
    swg_value outputs[2] = {t->norm, t->loss};
    SWG__TRY(swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .no_fusion = no_fusion}, &t->plan));
    SWG__TRY(swg_weights_create(t->g, true, &t->weights));
    swg_weights_init(t->weights, 42);
    SWG__TRY(swg_plan_open(t->plan, t->weights, NULL));
    for (int64_t i = 0; i < batch * 125; i++) {
        float value = sinf((float)i * .013f) * cosf((float)(i % 125));
        if (dtype == SWG_F64)
            ((double *)swg_plan_data(t->plan, t->x))[i] = (double)value;
        else
            ((float *)swg_plan_data(t->plan, t->x))[i] = value;
    }
    return SWG_OK;
}

static void close_trainer(trainer *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
    if (t->ctx)
        assert_int_equal(swg_context_bytes(t->ctx), 0);
    swg_context_close(t->ctx);
}

static double step(trainer *t, uint32_t number) {
    const swg_adam_hyper hyper = {.lr = 2e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1};
    swg_hyper_adam(&hyper, &t->b1, &t->b2, t->dtype, swg_plan_data(t->plan, t->hyper));
    assert_ok(t->ctx, swg_plan_run(t->plan, 42, number));
    return t->dtype == SWG_F64 ? *(double *)swg_plan_data(t->plan, t->loss) : (double)*(float *)swg_plan_data(t->plan, t->loss);
}

static void threads_do_not_matter(void **state) {
    (void)state;
    static const char *const presets[] = {"swae/mlp", "swae/mlp-deep"};
    static const int threads[] = {1, 3, 2, 8};
    for (int p = 0; p < 4; p++) /* both networks, fused and not */
        for (int64_t batch = 37; batch <= 256; batch += 219) {
            uint32_t first = 0;
            for (size_t i = 0; i < (TESTING_SLOW ? 2 : sizeof threads / sizeof threads[0]); i++) {
                trainer t;
                assert_int_equal(open_trainer(&t, &(swg_context_opts){.threads = threads[i]}, presets[p % 2], batch, SWG_F32, p >= 2), SWG_OK);
                for (uint32_t s = 0; s < (TESTING_SLOW ? 3 : 20); s++)
                    step(&t, s);
                uint32_t hash = swg__crc32c(0, t.weights->value, (size_t)t.weights->span * 4);
                hash = swg__crc32c(hash, t.weights->moment2, (size_t)t.weights->span * 4);
                if (i == 0)
                    first = hash;
                assert_int_equal(hash, first);
                close_trainer(&t);
            }
        }
}

static void fusion_changes_nothing(void **state) {
    (void)state;
    trainer fused, plain;
    assert_int_equal(open_trainer(&fused, NULL, "swae/mlp-deep", 24, SWG_F64, false), SWG_OK);
    assert_int_equal(open_trainer(&plain, NULL, "swae/mlp-deep", 24, SWG_F64, true), SWG_OK);
    assert_true(swg_plan_steps(fused.plan) < swg_plan_steps(plain.plan));
    assert_true(swg_plan_memory_of(fused.plan).peak_bytes <= swg_plan_memory_of(plain.plan).peak_bytes);
    for (uint32_t s = 0; s < 3; s++)
        assert_close(step(&fused, s), step(&plain, s), 0, 1e-13);
    close_trainer(&fused);
    close_trainer(&plain);
    /* f32, own rounding: close, and training goes on the same way */
    assert_int_equal(open_trainer(&fused, NULL, "swae/mlp", 64, SWG_F32, false), SWG_OK);
    assert_int_equal(open_trainer(&plain, NULL, "swae/mlp", 64, SWG_F32, true), SWG_OK);
    double before = 0, after = 0;
    for (uint32_t s = 0; s < 60; s++) {
        double a = step(&fused, s), b = step(&plain, s);
        if (s < 10) /* later the paths part, as rounding swaps ranks of close projections */
            assert_close(a, b, 0, 1e-4);
        before = s == 0 ? a : before;
        after = a;
    }
    assert_true(after < .8 * before);
    close_trainer(&fused);
    close_trainer(&plain);
}

static void a_step_allocates_nothing(void **state) {
    (void)state;
    trainer t;
    assert_int_equal(open_trainer(&t, &(swg_context_opts){.threads = 3}, "swae/mlp-deep", 64, SWG_F32, false), SWG_OK);
    step(&t, 0);
    uint64_t counted = swg_context_allocations(t.ctx);
    int64_t heap = heap_calls();
    for (uint32_t s = 1; s < 20; s++)
        step(&t, s);
    assert_int_equal(heap_calls(), heap);
    assert_int_equal(swg_context_allocations(t.ctx), counted);
    close_trainer(&t);
}

/* A norm that is not finite must not touch weights or moments. */
static void bad_gradients_are_skipped(void **state) {
    (void)state;
    trainer t;
    assert_int_equal(open_trainer(&t, NULL, "swae/mlp", 8, SWG_F32, false), SWG_OK);
    step(&t, 0);
    uint32_t before = swg__crc32c(0, t.weights->value, (size_t)t.weights->span * 4);
    ((float *)swg_plan_data(t.plan, t.x))[17] = NAN;
    step(&t, 1);
    assert_true(isnan(*(float *)swg_plan_data(t.plan, t.norm)));
    assert_int_equal(swg__crc32c(0, t.weights->value, (size_t)t.weights->span * 4), before);
    close_trainer(&t);
}

/* Nor must a loss that is not finite where its gradients are. */
static void bad_losses_are_skipped(void **state) {
    swg_context *ctx = *state;
    for (int dtype = SWG_F32; dtype <= SWG_F64; dtype++)
        for (int bad = 0; bad < 3; bad++) {
            swg_graph *g;
            assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = (swg_dtype)dtype}, &g));
            swg_value w = swg_param(g, "w", 1, (int64_t[]){1}, (swg_init){.value = 1}), shift = swg_input(g, "shift", 1, (int64_t[]){1});
            swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
            swg_value token = swg_adam(g, swg_add(g, w, shift), hyper, NULL);
            swg_plan *plan;
            swg_weights *weights;
            double b1 = 1, b2 = 1, shifts[3] = {0, INFINITY, NAN};
            assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &token, .output_count = 1}, &plan));
            assert_ok(ctx, swg_weights_create(g, true, &weights));
            swg_weights_init(weights, 0);
            assert_ok(ctx, swg_plan_open(plan, weights, NULL));
            swg_hyper_adam(&(swg_adam_hyper){.lr = .1, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, (swg_dtype)dtype,
                           swg_plan_data(plan, hyper));
            swg__store(swg_plan_data(plan, shift), (swg_dtype)dtype, 0, shifts[bad]);
            assert_ok(ctx, swg_plan_run(plan, 0, 0));
            const void *value = swg_weights_value(weights, 0), *norm = swg_plan_data(plan, token);
            double after = dtype == SWG_F64 ? *(const double *)value : (double)*(const float *)value;
            double seen = dtype == SWG_F64 ? *(const double *)norm : (double)*(const float *)norm;
            assert_true(bad ? after == 1 && !isfinite(seen) : after < .95 && seen == 1);
            swg_plan_destroy(plan);
            swg_weights_destroy(weights);
            swg_graph_destroy(g);
        }
}

static void counts(void **state) {
    swg_context *ctx = *state;
    static const struct { const char *name; int64_t parameters, macs; } want[] = {
        {"swae/mlp", 145549, 144384}, {"swae/mlp-deep", 400013, 398336}};
    for (int i = 0; i < 2; i++) {
        swg_graph *g;
        swg_swae model;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        assert_ok(ctx, swg_swae_preset(ctx, want[i].name, &model));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){1, 125});
        swg_value y = swg_swae_decode(g, swg_swae_encode(g, x, &model), &model);
        assert_int_equal(swg_graph_parameters(g), want[i].parameters);
        assert_int_equal(swg_graph_macs(g, y), want[i].macs);
        swg_graph_destroy(g);
    }
    swg_swae model;
    assert_int_equal(swg_swae_preset(ctx, "swae/none", &model), SWG_ENOTFOUND);
}

/* The plan's arena is what it said before the run, and inference needs less than a layer of activations per thread. */
static void memory_is_known(void **state) {
    (void)state;
    trainer t;
    assert_int_equal(open_trainer(&t, &(swg_context_opts){.threads = 2}, "swae/mlp-deep", 256, SWG_F32, false), SWG_OK);
    swg_memory m = swg_plan_memory_of(t.plan);
    assert_true(m.arena_bytes >= m.bound_bytes && (double)m.arena_bytes <= 1.1 * (double)m.bound_bytes);
    assert_int_equal(m.saved_bytes + m.transient_bytes + m.scratch_bytes + m.io_bytes, m.bound_bytes);
    assert_int_equal(m.peak_bytes, m.arena_bytes + swg_weights_bytes(t.weights));
    close_trainer(&t);
}

static void adam_answers(void **state) {
    swg_context *ctx = *state;
    static const double gradients[3] = {.5, -.25, .1};
    static const double want[2][3] = {{0.9000000019607843, 0.8712293476231743, 0.837292366359363},
                                      {0.899000002, 0.8714672987058463, 0.8390714757250103}};
    for (int decoupled = 0; decoupled < 2; decoupled++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
        swg_value w = swg_param(g, "w", 1, (int64_t[]){1}, (swg_init){.value = 1}), slope = swg_input(g, "slope", 1, (int64_t[]){1});
        swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        swg_value token = swg_adam(g, swg_mul(g, w, slope), hyper, &(swg_adam_opts){.decoupled = decoupled});
        swg_plan *plan;
        swg_weights *weights;
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &token, .output_count = 1}, &plan));
        assert_ok(ctx, swg_weights_create(g, true, &weights));
        swg_weights_init(weights, 0);
        assert_ok(ctx, swg_plan_open(plan, weights, NULL));
        double b1 = 1, b2 = 1;
        for (int t = 0; t < 3; t++) {
            swg_hyper_adam(&(swg_adam_hyper){.lr = .1, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = .01, .grad_scale = 1}, &b1,
                           &b2, SWG_F64, swg_plan_data(plan, hyper));
            *(double *)swg_plan_data(plan, slope) = gradients[t];
            assert_ok(ctx, swg_plan_run(plan, 0, 0));
            assert_close(*(double *)swg_weights_value(weights, 0), want[decoupled][t], 0, 1e-14);
        }
        swg_plan_destroy(plan);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
}

static void wrong_use(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){4, 125});
    swg_scope_push(g, "decoder");
    swg_value y = swg_matmul(g, x, swg_input(g, "w", 2, (int64_t[]){124, 3}), NULL);
    assert_int_equal(y, SWG_NONE);
    assert_int_equal(swg_add(g, x, y), SWG_NONE); /* later builders do nothing */
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan), SWG_ESHAPE);
    assert_non_null(strstr(swg_context_message(ctx), "decoder: matmul: (4, 125) of \"x\" and (124, 3) of \"decoder/w\" do not fit"));
    swg_graph_destroy(g);

    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    x = swg_input(g, "x", 2, (int64_t[]){4, 3});
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){0}, &plan), SWG_EINVAL);
    y = swg_linear(g, x, 5, "fc1");
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .bind_inputs = true}, &plan));
    assert_int_equal(swg_plan_run(plan, 0, 0), SWG_EINVAL); /* not open */
    assert_int_equal(swg_plan_open(plan, NULL, NULL), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "fc1/weight"));
    swg_weights *weights;
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    assert_int_equal(swg_plan_run(plan, 0, 0), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "\"x\" is not bound"));
    assert_null(swg_plan_data(plan, 12345));
    swg_plan *other;
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .provider = "abacus"}, &other), SWG_EUNSUPPORTED);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);

    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_input(g, "x", 1, (int64_t[]){3});
    swg_input(g, "x", 1, (int64_t[]){3});
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    swg_graph_destroy(g);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_random_normal(g, "s", 1, (int64_t[]){3});
    swg_random_uniform(g, "s", 1, (int64_t[]){3});
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    swg_graph_destroy(g);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_reshape(g, swg_input(g, "x", 1, (int64_t[]){6}), 2, (int64_t[]){4, -1});
    assert_int_equal(swg_graph_status(g), SWG_ESHAPE);
    swg_graph_destroy(g);
}

static void out_of_memory(void **state) {
    (void)state;
    for (int64_t n = 0;; n++) {
        testing_allocator memory = {.fail_at = n};
        swg_context_opts opts = {.threads = 2, .allocator = {testing_alloc, testing_release, &memory}};
        trainer t;
        swg_status status = open_trainer(&t, &opts, "swae/mlp", 4, SWG_F32, false);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        close_trainer(&t);
        assert_int_equal(memory.live, 0);
        if (status == SWG_OK)
            break;
        assert_true(n < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_placements, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(random_placements, testing_open, testing_close),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(fusion_changes_nothing),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(bad_gradients_are_skipped),
        cmocka_unit_test_setup_teardown(bad_losses_are_skipped, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(counts, testing_open, testing_close),
        cmocka_unit_test(memory_is_known),
        cmocka_unit_test_setup_teardown(adam_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(wrong_use, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
