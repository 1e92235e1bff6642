/* test_tfswa_net.c - proves, of TFSWA-UNet running: tiled and stored attention agree, forward and backward; any extents from 8 run, any batch; swapped
 * axes give the transposed result; masked shifted windows give what each region gives alone; recomputation changes no bit, also of running
 * statistics; bf16 stays close to f32; memory at full size is what is promised.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_net.h"
#include "swage/tfswa.h"

/* ---- a network, its weights and a plan ---- */

static const swg_tfswa tiny = {.stages = 3, .depths = {2, 1, 1}, .dims = {8, 12, 16}, .in = 2, .out = 2, .window = 4, .shift = 2, .heads = 4, .mlp_ratio = 2};

typedef struct run {
    swg_context *ctx;
    swg_dtype dtype;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    swg_value x, y;
    int64_t shape[4];
} run;

/* Inference with running statistics drawn, and weights. */
static run open_run(swg_context *ctx, const swg_tfswa *m, swg_dtype dtype, int64_t batch, int64_t f, int64_t t) {
    run r = {.ctx = ctx, .dtype = dtype, .shape = {batch, m->in, f, t}};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype, .inference = true}, &r.g));
    r.x = swg_input(r.g, "x", 4, r.shape);
    r.y = swg_tfswa_net(r.g, m, r.x);
    assert_ok(ctx, swg_plan_make(r.g, &(swg_plan_opts){.outputs = &r.y, .output_count = 1}, &r.plan));
    assert_ok(ctx, swg_weights_create(r.g, false, &r.w));
    swg_weights_init(r.w, 3);
    golden_draw_weights(r.w, dtype);
    for (int s = 0; s < swg_weights_states(r.w); s++)
        for (int64_t i = 0; i < swg_weights_state_shape(r.w, s)[0]; i++)
            set_element(swg_weights_state(r.w, s), dtype, i, golden_ends(swg_weights_state_name(r.w, s), "var") + .3 * ((double)golden_drawn(golden_stream(swg_weights_state_name(r.w, s)), i) - .5));
    assert_ok(ctx, swg_plan_open(r.plan, r.w, NULL));
    return r;
}

static void close_run(run *r) {
    swg_plan_destroy(r->plan);
    swg_weights_destroy(r->w);
    swg_graph_destroy(r->g);
}

static double input_at(int64_t n, int64_t c, int64_t f, int64_t t) { return sin((double)(1 + n) * .7 * (double)f + 1.3 * (double)c) * cos(.45 * (double)t * (double)(1 + c) + .2 * (double)n); }

/* Fills x from sample n0, row f0 and column t0 on, and runs. */
static const void *run_at(run *r, int64_t n0, int64_t f0, int64_t t0) {
    void *x = swg_plan_data(r->plan, r->x);
    int64_t i = 0;
    for (int64_t n = 0; n < r->shape[0]; n++)
        for (int64_t c = 0; c < r->shape[1]; c++)
            for (int64_t f = 0; f < r->shape[2]; f++)
                for (int64_t t = 0; t < r->shape[3]; t++)
                    set_element(x, r->dtype, i++, input_at(n + n0, c, f + f0, t + t0));
    assert_ok(r->ctx, swg_plan_run(r->plan, 0, 0));
    return swg_plan_data(r->plan, r->y);
}

/* ---- extents and batch ---- */

static void any_extent(void **state) {
    static const int64_t extents[][2] = {{8, 8}, {9, 15}, {65, 33}};
    for (int i = 0; i < 3; i++)
        for (int window_mask = 0; window_mask <= (int)SWG_TFSWA_WINDOW_ALL; window_mask++) {
            swg_tfswa m = i == window_mask ? swg_tfswa_unet() : swg_tfswa_small();
            m.window_mask = (swg_tfswa_window_mask)window_mask;
            run r = open_run(*state, &m, SWG_F32, 2, extents[i][0], extents[i][1]);
            const int64_t shape[4] = {2, 2, extents[i][0], extents[i][1]};
            assert_memory_equal(swg_shape(r.g, r.y), shape, sizeof shape);
            const float *y = run_at(&r, 0, 0, 0);
            float low = 1, high = 0;
            for (int64_t e = 0; e < swg_elements(r.g, r.y); e++) {
                if (!(y[e] > 0 && y[e] < 1))
                    fail_msg("%lld x %lld: element %lld is %g, expected in (0, 1)", (long long)extents[i][0], (long long)extents[i][1], (long long)e, (double)y[e]);
                low = fminf(low, y[e]);
                high = fmaxf(high, y[e]);
            }
            assert_true(high > low);
            close_run(&r);
        }
}

/* Samples do not see each other. */
static void any_batch(void **state) {
    swg_tfswa m = tiny;
    m.window_mask = SWG_TFSWA_WINDOW_ALL;
    run two = open_run(*state, &m, SWG_F64, 2, 11, 10), one = open_run(*state, &m, SWG_F64, 1, 11, 10);
    const double *both = run_at(&two, 0, 0, 0);
    for (int n = 0; n < 2; n++) {
        const double *alone = run_at(&one, n, 0, 0);
        for (int64_t i = 0; i < swg_elements(one.g, one.y); i++)
            assert_close(both[n * swg_elements(one.g, one.y) + i], alone[i], 0, 1e-13);
    }
    close_run(&two);
    close_run(&one);
}

/* ---- attention: tiles against stored scores ---- */

typedef struct step {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    swg_value y, loss, norm, hyper;
} step;

/* One training step of mean squares against a fixed target. */
static step train(swg_context *ctx, const swg_tfswa *m, swg_dtype dtype, const swg_recompute *recompute, bool bf16, int64_t f, int64_t t, int steps) {
    step s;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &s.g));
    const int64_t shape[4] = {2, m->in, f, t};
    swg_value x = swg_input(s.g, "x", 4, shape);
    s.hyper = swg_input(s.g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    s.y = swg_tfswa_net(s.g, m, x);
    s.loss = swg_loss_mse(s.g, s.y, swg_affine(s.g, x, .3, .5));
    s.norm = swg_adam(s.g, s.loss, s.hyper, NULL);
    const swg_value outputs[] = {s.y, s.loss, s.norm};
    assert_ok(ctx, swg_plan_make(s.g, &(swg_plan_opts){.outputs = outputs, .output_count = 3, .recompute = *recompute, .bf16 = bf16}, &s.plan));
    assert_ok(ctx, swg_weights_create(s.g, true, &s.w));
    swg_weights_init(s.w, 1);
    golden_draw_weights(s.w, dtype);
    assert_ok(ctx, swg_plan_open(s.plan, s.w, NULL));
    int64_t i = 0;
    for (int64_t n = 0; n < 2; n++)
        for (int64_t c = 0; c < m->in; c++)
            for (int64_t row = 0; row < f; row++)
                for (int64_t column = 0; column < t; column++)
                    set_element(swg_plan_data(s.plan, x), dtype, i++, input_at(n, c, row, column));
    double b1 = 1, b2 = 1;
    for (int k = 0; k < steps; k++) {
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, dtype, swg_plan_data(s.plan, s.hyper));
        assert_ok(ctx, swg_plan_run(s.plan, 5, (uint32_t)k));
    }
    return s;
}

static void close_step(step *s) {
    swg_plan_destroy(s->plan);
    swg_weights_destroy(s->w);
    swg_graph_destroy(s->g);
}

static void tiled_is_naive(swg_context *ctx, swg_dtype dtype, swg_tfswa_window_mask mask, int64_t f, int64_t t, double allowed) {
    swg_tfswa m = tiny, naive = tiny;
    m.window_mask = naive.window_mask = mask;
    naive.naive = true;
    step a = train(ctx, &m, dtype, &(swg_recompute){0}, false, f, t, 1), b = train(ctx, &naive, dtype, &(swg_recompute){0}, false, f, t, 1);
    const void *ya = swg_plan_data(a.plan, a.y), *yb = swg_plan_data(b.plan, b.y);
    for (int64_t i = 0; i < swg_elements(a.g, a.y); i++)
        assert_close(element(ya, dtype, i), element(yb, dtype, i), allowed, 0);
    double largest = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int p = 0; p < swg_weights_count(a.w); p++)
            for (int64_t i = 0; i < golden_elements(a.w, p); i++) {
                const double u = element(swg_weights_gradient(a.w, p), dtype, i), v = element(swg_weights_gradient(b.w, p), dtype, i);
                if (pass == 0)
                    largest = fmax(largest, fabs(v));
                else if (!(fabs(u - v) <= allowed * largest))
                    fail_msg("gradient of %s: element %lld is %.17g, stored scores give %.17g", swg_weights_name(a.w, p), (long long)i, u, v);
            }
    assert_true(largest > 0);
    close_step(&a);
    close_step(&b);
}

static void attention_is_naive(void **state) {
    for (int mask = 0; mask <= (int)SWG_TFSWA_WINDOW_ALL; mask++) {
        tiled_is_naive(*state, SWG_F64, (swg_tfswa_window_mask)mask, 21, 18, 1e-12);
        tiled_is_naive(*state, SWG_F32, (swg_tfswa_window_mask)mask, 21, 18, 1e-5);
    }
    tiled_is_naive(*state, SWG_F32, SWG_TFSWA_WINDOW_NONE, 300, 10, 1e-5); /* more than a tile */
}

/* ---- recomputation ---- */

static void same_step(const step *a, const step *b, const char *name) {
    if (memcmp(swg_plan_data(a->plan, a->loss), swg_plan_data(b->plan, b->loss), sizeof(float)) != 0)
        fail_msg("%s: another loss", name);
    for (int p = 0; p < swg_weights_count(a->w); p++) {
        const size_t bytes = (size_t)golden_elements(a->w, p) * sizeof(float);
        if (memcmp(swg_weights_gradient(a->w, p), swg_weights_gradient(b->w, p), bytes) != 0 || memcmp(swg_weights_value(a->w, p), swg_weights_value(b->w, p), bytes) != 0)
            fail_msg("%s: %s has other bits", name, swg_weights_name(a->w, p));
    }
    for (int s = 0; s < swg_weights_states(a->w); s++)
        if (memcmp(swg_weights_state(a->w, s), swg_weights_state(b->w, s), (size_t)swg_weights_state_shape(a->w, s)[0] * sizeof(float)) != 0)
            fail_msg("%s: %s has other bits", name, swg_weights_state_name(a->w, s));
}

static void recomputation(void **state) {
    static const char *const policies[] = {"none", "free", "attention", "blocks", "segments:3", "segments:auto", "budget:70%"};
    swg_context *ctx = *state;
    swg_tfswa m = tiny;
    m.window_mask = SWG_TFSWA_WINDOW_SHIFT;
    for (int variant = 0; variant < (TESTING_SLOW ? 2 : 3); variant++) { /* tiled; stored scores; tiled in bf16 */
        m.naive = variant == 1;
        step keep = train(ctx, &m, SWG_F32, &(swg_recompute){.policy = SWG_RECOMPUTE_OFF}, variant == 2, 21, 18, 2);
        for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
            swg_recompute r;
            assert_ok(ctx, swg_recompute_read(ctx, policies[i], &r));
            step again = train(ctx, &m, SWG_F32, &r, variant == 2, 21, 18, 2);
            same_step(&keep, &again, policies[i]);
            const int64_t kept = swg_plan_memory_of(keep.plan).arena_bytes, less = swg_plan_memory_of(again.plan).arena_bytes;
            if (strcmp(policies[i], "blocks") == 0 && (double)less > .7 * (double)kept)
                fail_msg("blocks: %lld bytes of %lld", (long long)less, (long long)kept);
            close_step(&again);
        }
        close_step(&keep);
    }
}

/* ---- bf16, memory ---- */

static void in_bf16(void **state) {
    run r = open_run(*state, &tiny, SWG_F32, 2, 40, 24);
    swg_plan *half;
    assert_ok(*state, swg_plan_make(r.g, &(swg_plan_opts){.outputs = &r.y, .output_count = 1, .bf16 = true, .frozen = true}, &half));
    assert_ok(*state, swg_plan_open(half, r.w, NULL));
    const float *y = run_at(&r, 0, 0, 0);
    memcpy(swg_plan_data(half, r.x), swg_plan_data(r.plan, r.x), (size_t)swg_elements(r.g, r.x) * sizeof *y);
    assert_ok(*state, swg_plan_run(half, 0, 0));
    const float *z = swg_plan_data(half, r.y);
    double apart = 0, low = 1, high = 0;
    for (int64_t i = 0; i < swg_elements(r.g, r.y); i++) {
        apart = fmax(apart, fabs((double)y[i] - (double)z[i]));
        low = fmin(low, (double)y[i]);
        high = fmax(high, (double)y[i]);
    }
    assert_true(apart > 0);
    assert_close(apart / (high - low), 0, .05, 0);
    swg_plan_destroy(half);
    close_run(&r);
}

/* tfswa/unet of 1025 x 259 needs less than 1.5 GB: one score matrix of the first stage along frequency would take 8.7 GB. */
static void memory(void **state) {
    const swg_tfswa m = swg_tfswa_unet();
    swg_graph *g;
    swg_plan *plan;
    assert_ok(*state, swg_graph_create(*state, &(swg_graph_opts){.inference = true}, &g));
    swg_value y = swg_tfswa_net(g, &m, swg_input(g, "x", 4, (int64_t[]){1, 2, 1025, 259}));
    assert_ok(*state, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true}, &plan));
    assert_in_range(swg_plan_memory_of(plan).peak_bytes, 15404834 * 4, 1500000000);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

/* ---- axes ---- */

static int find_weight(const swg_weights *w, const char *name) {
    for (int p = 0; p < swg_weights_count(w); p++)
        if (strcmp(swg_weights_name(w, p), name) == 0)
            return p;
    fail_msg("no parameter %s", name);
    return -1;
}

static void swapped_axes(void **state) {
    swg_tfswa m = tiny;
    m.window_mask = SWG_TFSWA_WINDOW_SHIFT;
    run a = open_run(*state, &m, SWG_F64, 1, 21, 14), b = open_run(*state, &m, SWG_F64, 1, 14, 21);
    for (int p = 0; p < swg_weights_count(a.w); p++) {
        char name[256];
        snprintf(name, sizeof name, "%s", swg_weights_name(a.w, p));
        char *f = strstr(name, "attn_f"), *t = strstr(name, "attn_t");
        if (f || t)
            (f ? f : t)[5] = f ? 't' : 'f';
        double *to = swg_weights_value(b.w, find_weight(b.w, name));
        const double *from = swg_weights_value(a.w, p);
        const int64_t k = swg_weights_ndim(a.w, p) == 4 ? swg_weights_shape(a.w, p)[3] : 1; /* kernels transposed */
        const int64_t c = strstr(name, "conv_out.weight") ? swg_weights_shape(a.w, p)[0] : 0; /* columns of attn_f, attn_t, window */
        for (int64_t i = 0; i < golden_elements(a.w, p); i++) {
            const int64_t column = c ? i % (3 * c) : 0, moved = column >= 2 * c ? 0 : column < c ? c : -c;
            to[i / (k * k) * k * k + i % k * k + i / k % k + moved] = from[i];
        }
    }
    double *x = swg_plan_data(b.plan, b.x);
    for (int64_t c = 0; c < 2; c++)
        for (int64_t f = 0; f < 21; f++)
            for (int64_t t = 0; t < 14; t++)
                x[(c * 14 + t) * 21 + f] = input_at(0, c, f, t);
    const double *y = run_at(&a, 0, 0, 0);
    assert_ok(*state, swg_plan_run(b.plan, 0, 0));
    const double *turned = swg_plan_data(b.plan, b.y);
    double apart = 0;
    for (int64_t c = 0; c < 2; c++)
        for (int64_t f = 0; f < 21; f++)
            for (int64_t t = 0; t < 14; t++) {
                assert_close(turned[(c * 14 + t) * 21 + f], y[(c * 21 + f) * 14 + t], 1e-12, 0);
                apart = fmax(apart, fabs(y[(c * 21 + f) * 14 + t] - y[(c * 21) * 14]));
            }
    assert_true(apart > 1e-3);
    close_run(&a);
    close_run(&b);
}

/* ---- shifted windows ---- */

/* Leaves the shifted windows of the first stage as the only way from one position to another: of convolutions the middle tap, no other attention, and
 * nothing comes up from below. */
static void make_local(swg_weights *w) {
    for (int p = 0; p < swg_weights_count(w); p++) {
        const char *name = swg_weights_name(w, p);
        double *v = swg_weights_value(w, p);
        const int64_t k = swg_weights_ndim(w, p) == 4 ? swg_weights_shape(w, p)[3] : 1;
        bool off = strncmp(name, "up0.norm", 8) == 0;
        off = off || ((strstr(name, "attn_") || strstr(name, "block0.window")) && (strstr(name, ".proj.") || strstr(name, ".fc2.")));
        for (int64_t i = 0; i < golden_elements(w, p); i++)
            if (off || (k > 1 && k % 2 && i % (k * k) != k * k / 2))
                v[i] = 0;
    }
}

/* Positions [edge[i], edge[i + 1]) of an extent of 12 share a window of 4 after a shift by 2. With stages 2 an extent of 2 is enough. */
static void regions_alone(void **state) {
    static const int64_t edge[] = {0, 2, 6, 10, 12};
    swg_tfswa m = {.stages = 2, .depths = {2, 1}, .dims = {8, 8}, .in = 2, .out = 2, .window = 4, .shift = 2, .heads = 2, .mlp_ratio = 2,
                   .window_mask = SWG_TFSWA_WINDOW_SHIFT};
    run whole = open_run(*state, &m, SWG_F64, 1, 12, 12);
    m.window_mask = SWG_TFSWA_WINDOW_NONE;
    run mixed = open_run(*state, &m, SWG_F64, 1, 12, 12);
    make_local(whole.w);
    make_local(mixed.w);
    const double *y = run_at(&whole, 0, 0, 0), *without = run_at(&mixed, 0, 0, 0);
    m.window_mask = SWG_TFSWA_WINDOW_ALL; /* a region shorter than a window is padded */
    m.shift = 0;
    double apart = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            run part = open_run(*state, &m, SWG_F64, 1, edge[i + 1] - edge[i], edge[j + 1] - edge[j]);
            make_local(part.w);
            const double *z = run_at(&part, 0, edge[i], edge[j]);
            for (int64_t c = 0; c < 2; c++)
                for (int64_t f = edge[i]; f < edge[i + 1]; f++)
                    for (int64_t t = edge[j]; t < edge[j + 1]; t++) {
                        const double got = y[(c * 12 + f) * 12 + t];
                        assert_close(got, *z++, 1e-12, 0);
                        apart = fmax(apart, fabs(got - without[(c * 12 + f) * 12 + t]));
                    }
            close_run(&part);
        }
    assert_true(apart > 1e-6); /* without the mask regions see each other */
    close_run(&whole);
    close_run(&mixed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, testing_open, testing_close)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(any_extent), TEST(any_batch), TEST(attention_is_naive), TEST(recomputation), TEST(in_bf16), TEST(memory), TEST(swapped_axes), TEST(regions_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
