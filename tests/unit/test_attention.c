/* test_attention.c - proves: attention's bits do not depend on threads; its memory does not grow with n m; rows and keys hidden by
 * -inf count for nothing, forward and backward; what does not fit is named; running out of
 * memory neither crashes nor leaks, nor does it for the Fourier transform and splines; tiles of any width agree with f64, which has none.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "kernel/kernel.h"
#include "swage/nn.h"
#include "swage/plan.h"

enum { MOST = 5 };

typedef struct run { swg_graph *g; swg_plan *plan; swg_value in[4], out[MOST]; int inputs; } run;

/* Attention of (batch, n, heads d) with its gradients; mask of `mask_shape`, NULL: none. */
static run make(swg_context *ctx, swg_dtype dtype, int64_t batch, int64_t n, int64_t m, int64_t heads, int64_t d, const int64_t *mask_shape) {
    static const char *const names[4] = {"q", "k", "v", "mask"};
    run r = {.inputs = mask_shape ? 4 : 3};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &r.g));
    for (int i = 0; i < r.inputs; i++)
        r.in[i] = i == 3 ? swg_input(r.g, names[i], 4, mask_shape) : swg_input(r.g, names[i], 3, (int64_t[]){batch, i ? m : n, heads * d});
    r.out[0] = swg_attention(r.g, r.in[0], r.in[1], r.in[2], r.in[3], &(swg_attention_opts){.heads = heads});
    assert_ok(ctx, swg_gradients(r.g, swg_sum(r.g, swg_square(r.g, r.out[0]), 0), r.in, r.inputs, r.out + 1));
    assert_ok(ctx, swg_plan_make(r.g, &(swg_plan_opts){.outputs = r.out, .output_count = r.inputs + 1}, &r.plan));
    assert_ok(ctx, swg_plan_open(r.plan, NULL, NULL));
    for (int i = 0; i < r.inputs; i++)
        for (int64_t e = 0; e < swg_elements(r.g, r.in[i]); e++) {
            double x = sin(.37 * (double)e + i) * 1.5;
            swg__store(swg_plan_data(r.plan, r.in[i]), dtype, e, x);
        }
    return r;
}

static void drop(run *r) {
    swg_plan_destroy(r->plan);
    swg_graph_destroy(r->g);
}

static void threads_change_no_bit_of(int64_t batch, int64_t n, int64_t d) {
    float *first = NULL;
    for (int threads = 1; threads <= 5; threads += 2) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        run r = make(ctx, SWG_F32, batch, n, 150, 3, d, (int64_t[]){1, 3, 1, 150});
        assert_ok(ctx, swg_plan_run(r.plan, 0, 0));
        size_t elements = 0;
        for (int i = 0; i <= r.inputs; i++)
            elements += (size_t)swg_elements(r.g, r.out[i]);
        float *all = malloc(elements * sizeof *all), *to = all;
        for (int i = 0; i <= r.inputs; i++) {
            memcpy(to, swg_plan_data(r.plan, r.out[i]), (size_t)swg_elements(r.g, r.out[i]) * sizeof *all);
            to += swg_elements(r.g, r.out[i]);
        }
        if (first)
            assert_memory_equal(all, first, elements * sizeof *all);
        else
            first = malloc(elements * sizeof *all);
        memcpy(first, all, elements * sizeof *all);
        free(all);
        drop(&r);
        swg_context_close(ctx);
    }
    free(first);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    threads_change_no_bit_of(2, 411, 7);
    threads_change_no_bit_of(2, 411, 4);
    threads_change_no_bit_of(18, 50, 8);
}

/* Twice the rows and keys: at most about twice the memory, and far less than one matrix of scores. */
static void memory_is_linear(void **state) {
    swg_context *ctx = *state;
    int64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        int64_t n = 1024 << i;
        run r = make(ctx, SWG_F32, 1, n, n, 2, 8, NULL);
        bytes[i] = swg_plan_memory_of(r.plan).arena_bytes;
        assert_true(bytes[i] < n * n * 4);
        drop(&r);
    }
    assert_true(bytes[1] * 10 < bytes[0] * 21);
}

/* Key 2 is seen by nobody, row 1 sees nothing. */
static void hidden_keys_and_rows(void **state) {
    swg_context *ctx = *state;
    enum { N = 3, M = 240, D = 4 }; /* row 2 sees nothing of the first tile */
    for (int kind = 0; kind < 2; kind++) {
        swg_dtype dtype = kind ? SWG_F32 : SWG_F64;
        run r = make(ctx, dtype, 1, N, M, 1, D, (int64_t[]){1, 1, N, M});
        for (int i = 0; i < N; i++)
            for (int j = 0; j < M; j++)
                swg__store(swg_plan_data(r.plan, r.in[3]), dtype, i * M + j, i == 1 || j == 2 || j < 230 * (i == 2) ? -INFINITY : .01 * j);
        for (int c = 0; c < D; c++) /* what nobody sees may be large */
            swg__store(swg_plan_data(r.plan, r.in[2]), dtype, 2 * D + c, 1e30);
        assert_ok(ctx, swg_plan_run(r.plan, 0, 0));
        const void *out[MOST];
        for (int i = 0; i < MOST; i++)
            out[i] = swg_plan_data(r.plan, r.out[i]);
#define AT(i, e) (dtype == SWG_F64 ? ((const double *)out[i])[e] : (double)((const float *)out[i])[e])
        for (int i = 0; i < MOST; i++)
            for (int64_t e = 0; e < swg_elements(r.g, r.out[i]); e++)
                assert_true(fabs(AT(i, e)) < 100);
        double largest = 0;
        for (int c = 0; c < D; c++) {
            assert_close(AT(0, D + c), 0, 0, 0);        /* the blind row, and its gradient */
            assert_close(AT(1, D + c), 0, 0, 0);
            assert_close(AT(2, 2 * D + c), 0, 0, 0);    /* the hidden key and value */
            assert_close(AT(3, 2 * D + c), 0, 0, 0);
            largest = fmax(largest, fabs(AT(0, c)) + fabs(AT(1, 2 * D + c)));
        }
        assert_true(largest > 1e-3);
#undef AT
        drop(&r);
    }
}

/* One tile, tiles that keys left over widen, a narrow last tile. */
static void tiles_agree(void **state) {
    static const int64_t keys[] = {112, 127, 128, 129, 160, 161, 257, 288, 290, 400};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int masked = 0; masked < 2; masked++) {
            const int64_t m = keys[i], n = i % 2 ? 50 : 97, heads = 1 + (int64_t)(i % 3), d = masked ? 11 : 7;
            run r[2];
            for (int kind = 0; kind < 2; kind++) {
                r[kind] = make(*state, kind ? SWG_F32 : SWG_F64, 1, n, m, heads, d, masked ? (int64_t[]){1, heads, n, m} : NULL);
                assert_ok(*state, swg_plan_run(r[kind].plan, 0, 0));
            }
            for (int o = 0; o <= r[0].inputs; o++) {
                const double *want = swg_plan_data(r[0].plan, r[0].out[o]);
                const float *got = swg_plan_data(r[1].plan, r[1].out[o]);
                double largest = 0;
                for (int64_t e = 0; e < swg_elements(r[0].g, r[0].out[o]); e++)
                    largest = fmax(largest, fabs(want[e]));
                assert_true(largest > 1e-6);
                for (int64_t e = 0; e < swg_elements(r[0].g, r[0].out[o]); e++)
                    if (!(fabs((double)got[e] - want[e]) <= 2e-5 * largest))
                        fail_msg("%lld keys, output %d: element %lld is %.9g, expected %.9g", (long long)m, o, (long long)e, (double)got[e], want[e]);
            }
            drop(&r[0]);
            drop(&r[1]);
        }
}

/* Heads with kernels of their own: small scores, which need no largest one, and large ones, which do; masks of a row, of all rows, with rows
 * that see nothing; keys and rows that fill no group, block or vector; one head per unit and all of them. */
static void narrow_heads_agree(void **state) {
    static const struct { int64_t batch, n, m, d; double scale; int mask; } table[] = {
        {1, 1, 1, 4, 1, 0},    {2, 17, 63, 4, 1, 0},   {1, 600, 65, 4, 1, 0}, {17, 33, 66, 4, 1, 0}, {1, 40, 131, 4, 9, 0}, {17, 20, 64, 4, 1, 2},
        {2, 70, 67, 8, 1, 0},  {1, 18, 130, 8, 7, 1},  {17, 5, 9, 8, 1, 2},   {1, 300, 260, 8, 7, 0}, {2, 33, 65, 16, 1, 0}, {1, 50, 71, 16, 6, 2},
        {17, 16, 64, 32, 1, 0}, {1, 31, 33, 32, 5, 1}, {1, 64, 64, 32, 5, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const int64_t n = table[i].n, m = table[i].m, d = table[i].d, heads = 2;
        const int64_t shape[4] = {1, heads, table[i].mask == 2 ? n : 1, m};
        run r[2];
        for (int kind = 0; kind < 2; kind++) {
            const swg_dtype dtype = kind ? SWG_F32 : SWG_F64;
            r[kind] = make(*state, dtype, table[i].batch, n, m, heads, d, table[i].mask ? shape : NULL);
            for (int in = 0; in < 2; in++) /* of query 3 more, so that vectors of queries differ */
                for (int64_t e = 0; e < swg_elements(r[kind].g, r[kind].in[in]); e++) {
                    double x = sin(.73 * (double)e + in) * table[i].scale * (in == 0 && e / (heads * d) == 3 ? 2 : 1);
                    swg__store(swg_plan_data(r[kind].plan, r[kind].in[in]), dtype, e, x);
                }
            for (int64_t e = 0; table[i].mask == 2 && e < swg_elements(r[kind].g, r[kind].in[3]); e++)
                swg__store(swg_plan_data(r[kind].plan, r[kind].in[3]), dtype, e, e / m % 5 == 2 || e % 7 == 1 ? -INFINITY : .2 * (double)(e % 11));
            assert_ok(*state, swg_plan_run(r[kind].plan, 0, 0));
        }
        for (int o = 0; o <= r[0].inputs; o++) {
            const double *want = swg_plan_data(r[0].plan, r[0].out[o]);
            const float *got = swg_plan_data(r[1].plan, r[1].out[o]);
            double largest = .05; /* of one key, gradients are 0 */
            const double slack = 1 + table[i].scale * table[i].scale / 3; /* the error of a score, which grows with it, is one of its exponential's exponent */
            for (int64_t e = 0; e < swg_elements(r[0].g, r[0].out[o]); e++)
                largest = fmax(largest, fabs(want[e]));
            for (int64_t e = 0; e < swg_elements(r[0].g, r[0].out[o]); e++)
                if (!(fabs((double)got[e] - want[e]) <= (o ? 4e-5 : 1e-5) * slack * largest))
                    fail_msg("row %zu, output %d: element %lld is %.9g, expected %.9g", i, o, (long long)e, (double)got[e], want[e]);
        }
        drop(&r[0]);
        drop(&r[1]);
    }
}

/* (batch, heads, 1, d): a query a head, as in decoding one token. Few samples and many take other paths to the gradients. */
static void single_queries(void **state) {
    enum { HEADS = 3, KEYS = 19, D = 8 };
    for (int64_t batch = 2; batch <= 20; batch += 18) {
        run r[2];
        for (int kind = 0; kind < 2; kind++) {
            const swg_dtype dtype = kind ? SWG_F32 : SWG_F64;
            r[kind] = (run){.inputs = 3};
            assert_ok(*state, swg_graph_create(*state, &(swg_graph_opts){.dtype = dtype}, &r[kind].g));
            for (int i = 0; i < 3; i++)
                r[kind].in[i] = swg_input(r[kind].g, (const char *[]){"q", "k", "v"}[i], 4, (int64_t[]){batch, HEADS, i ? KEYS : 1, D});
            r[kind].out[0] = swg_attention(r[kind].g, r[kind].in[0], r[kind].in[1], r[kind].in[2], SWG_NONE, NULL);
            assert_ok(*state, swg_gradients(r[kind].g, swg_sum(r[kind].g, swg_square(r[kind].g, r[kind].out[0]), 0), r[kind].in, 3, r[kind].out + 1));
            assert_ok(*state, swg_plan_make(r[kind].g, &(swg_plan_opts){.outputs = r[kind].out, .output_count = 4}, &r[kind].plan));
            assert_ok(*state, swg_plan_open(r[kind].plan, NULL, NULL));
            for (int i = 0; i < 3; i++)
                for (int64_t e = 0; e < swg_elements(r[kind].g, r[kind].in[i]); e++)
                    swg__store(swg_plan_data(r[kind].plan, r[kind].in[i]), dtype, e, 1.5 * sin(.73 * (double)e + i));
            assert_ok(*state, swg_plan_run(r[kind].plan, 0, 0));
        }
        for (int i = 0; i < 4; i++)
            for (int64_t e = 0; e < swg_elements(r[0].g, r[0].out[i]); e++)
                assert_close((double)((const float *)swg_plan_data(r[1].plan, r[1].out[i]))[e], ((const double *)swg_plan_data(r[0].plan, r[0].out[i]))[e], 2e-6, 2e-6);
        drop(&r[0]);
        drop(&r[1]);
    }
}

static void refused(void **state) {
    swg_context *ctx = *state;
    static const struct { int64_t q[4], k[4], v[4], mask[4]; int64_t heads; const char *message; } table[] = {
        {{2, 3, 4, 5}, {2, 3, 6, 4}, {2, 3, 6, 5}, {0}, 0, "q (2, 3, 4, 5) of \"q\", k (2, 3, 6, 4) of \"k\""},
        {{2, 3, 4, 5}, {2, 3, 6, 5}, {2, 3, 7, 5}, {0}, 0, "rows in k and v"},
        {{2, 3, 4, 5}, {2, 2, 6, 5}, {2, 2, 6, 5}, {0}, 0, "do not fit"},
        {{2, 3, 4, 0}, {2, 3, 4, 0}, {2, 3, 4, 0}, {0}, 0, "expected (batch, heads, rows, columns)"},
        {{2, 3, 4, 0}, {2, 3, 4, 0}, {2, 3, 4, 0}, {0}, 3, "do not split into 3 heads"},
        {{2, 3, 4, 5}, {2, 3, 6, 5}, {2, 3, 6, 5}, {2, 3, 4, 1}, 0, "mask (2, 3, 4, 1) of \"mask\" does not broadcast to"},
        {{2, 3, 4, 5}, {2, 3, 6, 5}, {2, 3, 6, 5}, {3, 1, 1, 6}, 0, "(2, 3, 4, 6)"},
        {{2, 3, 4, 0}, {2, 3, 4, 0}, {2, 3, 4, 0}, {0}, -1, "-1 heads"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const int64_t *shapes[4] = {table[i].q, table[i].k, table[i].v, table[i].mask};
        static const char *const names[4] = {"q", "k", "v", "mask"};
        swg_value in[4] = {0};
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        for (int j = 0; j < 4 && shapes[j][0]; j++)
            in[j] = swg_input(g, names[j], shapes[j][3] ? 4 : 3, shapes[j]);
        assert_int_equal(swg_attention(g, in[0], in[1], in[2], in[3], &(swg_attention_opts){.heads = table[i].heads}), SWG_NONE);
        assert_int_not_equal(swg_graph_status(g), SWG_OK);
        if (!strstr(swg_context_message(ctx), table[i].message))
            fail_msg("message %zu is \"%s\"", i, swg_context_message(ctx));
        swg_graph_destroy(g);
    }
    static const struct { int64_t q[3], kv[3], heads; const char *message; } layers[] = {
        {{2, 4, 6}, {2, 5, 6}, 4, "multihead_attention \"mha\": 6 columns do not split into 4 heads"},
        {{2, 4, 6}, {3, 5, 6}, 2, "query (2, 4, 6) of \"q\", key and value (3, 5, 6) of \"kv\""},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value q = swg_input(g, "q", 3, layers[i].q), kv = swg_input(g, "kv", 3, layers[i].kv);
        assert_int_equal(swg_multihead_attention(g, q, kv, layers[i].heads, NULL, "mha"), SWG_NONE);
        assert_non_null(strstr(swg_context_message(ctx), layers[i].message));
        swg_graph_destroy(g);
    }
}

static void work_is_counted(void **state) {
    run r = make(*state, SWG_F32, 2, 10, 20, 3, 4, NULL);
    assert_int_equal(swg_graph_macs(r.g, r.out[0]), 2 * 3 * 10 * 20 * (4 + 4));
    assert_int_equal(swg_graph_macs(r.g, r.out[1]), 2 * 3 * 10 * 20 * (8 + 20));
    drop(&r);
}

/* Every allocation fails once: no crash, no leak, for the layer, the transforms and splines in one graph. */
static void memory_runs_out(void **state) {
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator memory = {.fail_at = n};
        swg_context *ctx;
        swg_graph *g = NULL;
        swg_plan *plan = NULL;
        swg_weights *weights = NULL;
        assert_true(n < 4000);
        if (swg_context_open(&(swg_context_opts){.threads = 2, .allocator = {testing_alloc, testing_release, &memory}}, &ctx) == SWG_OK) {
            if (swg_graph_create(ctx, NULL, &g) == SWG_OK) {
                swg_value x = swg_input(g, "x", 3, (int64_t[]){1, 2, 24});
                swg_value s = swg_stft(g, x, &(swg_stft_opts){.n = 6}), y = swg_istft(g, s, 24, &(swg_stft_opts){.n = 6});
                y = swg_multihead_attention(g, y, SWG_NONE, 2, NULL, "mha");
                y = swg_sum(g, swg_square(g, swg_spline_basis(g, y, NULL)), 0);
                int count;
                swg_value grads[5];
                const swg_value *params = swg_params_of(g, &count);
                if (swg_graph_status(g) == SWG_OK && swg_gradients(g, y, params, count, grads) == SWG_OK &&
                    swg_plan_make(g, &(swg_plan_opts){.outputs = grads, .output_count = count}, &plan) == SWG_OK &&
                    swg_weights_create(g, false, &weights) == SWG_OK) {
                    assert_int_equal(count, 4);
                    done = swg_plan_open(plan, weights, NULL) == SWG_OK && swg_plan_run(plan, 0, 0) == SWG_OK;
                }
            }
            swg_plan_destroy(plan);
            swg_weights_destroy(weights);
            swg_graph_destroy(g);
            swg_context_close(ctx);
        }
        assert_int_equal(memory.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test_setup_teardown(memory_is_linear, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(hidden_keys_and_rows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(tiles_agree, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(narrow_heads_agree, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(single_queries, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(work_is_counted, testing_open, testing_close),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
