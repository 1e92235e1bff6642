/* test_int8.c - proves: products of 8-bit codes give the specification's known answer, code by code and sum by sum; they have the same bits on every
 * instruction set and any number of threads, at every height and width of a tile; they equal whole-number arithmetic and f64; rows with NaN or
 * infinity become NaN and harm no other; a plan asked for int8 folds all its quantisation into products, and says so.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "kernel/int8.h"
#include "kernel/int8_pack.h"
#include "plan/plan.h"
#include "swage/nn.h"
#include "swage/quantise.h"

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Code i of a run, whatever it takes. */
static int code_at(const swg__int8_table *t, const void *codes, int64_t i) {
    return t->code_bytes == 1 ? ((const uint8_t *)codes)[i] : ((const uint16_t *)codes)[i];
}

/* ---- the known answer ---- */

static const float x[2][3] = {{.5f, -1, 2}, {0, .75f, .25f}}, weights[3][2] = {{.3f, -.6f}, {-.2f, .9f}, {.7f, .1f}}, bias[2] = {.1f, -.2f};

static void known_codes(void **state) {
    (void)state;
    static const uint32_t scales[2] = {0x3c40c0c1, 0x3b40c0c1}, weight_scales[2] = {0x3bb49c6c, 0x3be836d4};
    static const int zeros[2] = {85, 0}, codes[2][3] = {{127, 0, 255}, {0, 255, 85}}, weight_codes[3][2] = {{54, -85}, {-36, 127}, {127, 14}},
                     sums[2] = {145, 56}, products[2][2] = {{39243, -7225}, {1615, 33575}};
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        const swg__int8_table *t = swg__int8_table_of((swg__isa)isa);
        char rows[2][64] __attribute__((aligned(16)));
        for (int r = 0; r < 2; r++) {
            float low = 0, high = 0;
            assert_true(t->range(x[r], 3, &low, &high));
            swg_affine_code a = swg_affine_of(low, high, 0, 255);
            assert_int_equal(bits_of(a.scale), scales[r]);
            assert_int_equal(a.zero, zeros[r]);
            t->encode(rows[r], x[r], 3, a);
            for (int i = 0; i < 3; i++)
                assert_int_equal(code_at(t, rows[r], i), codes[r][i]);
        }
        uint32_t words[2 * 16];
        float scale[16];
        int32_t sum[16];
        const swg__int8_weights w = {.w = &weights[0][0], .k = 3, .taps = 1, .k_stride = 2, .n_stride = 1, .columns = 2, .sum_stride = 16};
        swg__int8_pack(t, &w, words, scale, sum);
        int64_t ld = 2 > t->vl ? t->nr : t->vl;
        for (int n = 0; n < 2; n++) {
            assert_int_equal(bits_of(scale[n]), weight_scales[n]);
            assert_int_equal(sum[n], sums[n]);
            for (int k = 0; k < 3; k++) {
                uint32_t word = words[k / t->group * ld + n] >> (k % t->group * (32 / t->group));
                assert_int_equal(t->group == 4 ? (int8_t)word : (int16_t)word, weight_codes[k][n]);
            }
        }
        /* The sums themselves, through a product whose scales are 1 and whose zero is 0. */
        float ones[16], out[2][2];
        for (int i = 0; i < 16; i++)
            ones[i] = 1;
        const swg_affine_code head = {1, 0};
        const swg__gemm8 g = {.n = 2, .steps = (3 + t->group - 1) / t->group, .a = rows[0], .row_stride = sizeof rows[0], .head = (const char *)&head,
                              .b = words, .depth = (3 + t->group - 1) / t->group, .scale = ones, .sum = sum, .c = out[0], .ldc = 2};
        t->gemm(&g, 0, 2);
        for (int i = 0; i < 4; i++)
            assert_true(out[i / 2][i % 2] == (float)products[i / 2][i % 2]);
    }
}

static void known_product(void **state) {
    (void)state;
    static const double y[2][2] = {{1.8454933130533544, -1.1992126172254463}, {.1261811042668327, .49980315770568895}};
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        swg_context *ctx;
        swg_graph *g;
        swg_plan *plan;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value a = swg_input(g, "x", 2, (int64_t[]){2, 3}), w = swg_input(g, "w", 2, (int64_t[]){3, 2}), b = swg_input(g, "b", 1, (int64_t[]){2});
        swg_value out = swg_add(g, swg_matmul(g, swg_quantise_dequantise(g, a, SWG_CODE_U8, SWG_CODE_ROWS),
                                              swg_quantise_dequantise(g, w, SWG_CODE_S8, 1), NULL), b);
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &out, .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
        memcpy(swg_plan_data(plan, a), x, sizeof x);
        memcpy(swg_plan_data(plan, w), weights, sizeof weights);
        memcpy(swg_plan_data(plan, b), bias, sizeof bias);
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        const float *got = swg_plan_data(plan, out);
        for (int i = 0; i < 4; i++) {
            float want = (float)y[i / 2][i % 2];
            if (got[i] < nextafterf(want, -9) || got[i] > nextafterf(want, 9))
                fail_msg("%s: y[%d] is %.9g, more than an ulp from %.17g", swg__isa_name((swg__isa)isa), i, (double)got[i], y[i / 2][i % 2]);
        }
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
        swg_context_close(ctx);
    }
}

/* ---- networks ---- */

typedef struct network { int64_t rows, in, hidden, out; } network;

static float noise(uint32_t i) { return (float)(int32_t)(i * 2654435761u + 12345u * (i >> 7)) * 0x1p-31f; }

/* Runs linear, gelu, linear, relu, linear; the results, to be freed. odd: a row that is not finite, or -1. */
static float *run_network(const network *n, const char *isa, int threads, swg_quantise quantise, int64_t odd, char *explain) {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = isa}, &ctx), SWG_OK);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value a = swg_input(g, "x", 2, (int64_t[]){n->rows, n->in});
    swg_value h = swg_abs(g, swg_linear(g, a, n->hidden, "fc1")); /* exact on every instruction set */
    swg_value y = swg_linear(g, swg_relu(g, swg_linear(g, h, n->hidden, "fc2")), n->out, "fc3");
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true, .quantise = quantise}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 3);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    float *in = swg_plan_data(plan, a);
    for (int64_t i = 0; i < n->rows * n->in; i++)
        in[i] = noise((uint32_t)i) * (float)(1 + i / n->in % 5); /* rows of different height */
    if (odd >= 0) {
        in[odd * n->in + 1] = NAN;
        in[(odd + 1) * n->in] = INFINITY;
    }
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    size_t bytes = (size_t)(n->rows * n->out) * sizeof(float);
    float *out = malloc(bytes);
    memcpy(out, swg_plan_data(plan, y), bytes);
    if (explain) {
        FILE *file = fmemopen(explain, 4096, "w");
        swg_plan_explain(plan, file);
        fclose(file);
        int quantisers = 0, products = 0;
        for (int i = 0; i < plan->step_count; i++) {
            quantisers += strcmp(plan->steps[i].kernel->name, "quantise") == 0;
            products += strcmp(plan->steps[i].kernel->name, "int8") == 0;
        }
        assert_int_equal(quantisers, 3); /* of rows: those of weights went into the packing */
        assert_int_equal(products, 3);
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
    return out;
}

static void same_bits_everywhere(void **state) {
    (void)state;
    static const network shapes[] = {{1, 125, 96, 125}, {2, 5, 64, 16}, {3, 125, 160, 7}, {5, 17, 33, 31}, {13, 40, 48, 1}, {29, 33, 65, 16},
                                     {97, 64, 32, 50}, {256, 125, 64, 16}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        float *want = run_network(&shapes[s], "scalar", 1, SWG_QUANTISE_INT8, -1, NULL);
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
            float *got = run_network(&shapes[s], swg__isa_name((swg__isa)isa), 1 + isa % 3, SWG_QUANTISE_INT8, -1, NULL);
            if (memcmp(got, want, (size_t)(shapes[s].rows * shapes[s].out) * sizeof *got) != 0)
                fail_msg("%s, %lld rows: other bits than scalar", swg__isa_name((swg__isa)isa), (long long)shapes[s].rows);
            free(got);
        }
        free(want);
    }
}

/* Close to f32, and closer than a cruder scheme would be: 8 bits through three layers of noise. */
static void close_to_f32(void **state) {
    (void)state;
    const network n = {64, 125, 96, 125};
    char explain[4096] = "";
    float *exact = run_network(&n, NULL, 2, SWG_QUANTISE_NONE, -1, NULL), *got = run_network(&n, NULL, 2, SWG_QUANTISE_INT8, -1, explain);
    double error = 0, power = 0;
    for (int i = 0; i < 64 * 125; i++) {
        error += pow((double)got[i] - (double)exact[i], 2);
        power += pow((double)exact[i], 2);
    }
    double sqnr = 10 * log10(power / error);
    if (!(sqnr > 30))
        fail_msg("signal to quantisation noise is %.1f dB", sqnr);
    assert_non_null(strstr(explain, "quantise: 3 products of u8 by s8"));
    assert_non_null(strstr(explain, "codes: 3 products of 8-bit codes"));
    free(exact);
    free(got);
}

static void what_is_not_finite_stays_in_its_row(void **state) {
    (void)state;
    const network n = {9, 33, 32, 17};
    float *clean = run_network(&n, NULL, 1, SWG_QUANTISE_INT8, -1, NULL);
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        float *got = run_network(&n, swg__isa_name((swg__isa)isa), 1, SWG_QUANTISE_INT8, 4, NULL);
        for (int i = 0; i < 9 * 17; i++) {
            bool odd = i / 17 == 4 || i / 17 == 5;
            if (odd ? !isnan(got[i]) : got[i] != clean[i])
                fail_msg("%s: row %d column %d is %g", swg__isa_name((swg__isa)isa), i / 17, i % 17, (double)got[i]);
        }
        free(got);
    }
    free(clean);
}

/* ---- convolutions ---- */

/* Small ones as the autoencoders have them: padded, strided, transposed, a sample per scale. plain: without a first one of one channel, which stays
 * f32, and without batch norm, so that all of it is codes. */
static float *run_convs(const char *isa, int threads, swg_quantise quantise, bool plain, int64_t *count, int *folded) {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = isa}, &ctx), SWG_OK);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    const swg_conv_opts same = {.padding = {1, 1, 1}}, half = {.padding = {1, 1, 1}, .stride = {2, 2, 2}};
    enum { BATCH = 13 };
    swg_value image = swg_input(g, "x", 5, (int64_t[]){BATCH, plain ? 3 : 1, 5, 5, 5});
    swg_value h = swg_conv(g, swg_conv(g, image, 16, 3, &half, "first"), 33, 3, &same, "c1");
    h = swg_relu(g, plain ? h : swg_batch_norm(g, h, "bn", NULL));
    h = swg_relu(g, swg_conv_transpose(g, h, 20, 3, &half, "d1"));
    swg_value y = swg_conv_transpose(g, h, 1, 2, NULL, "d2");
    *count = swg_elements(g, y);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = true, .quantise = quantise}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 7);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    float *in = swg_plan_data(plan, image);
    for (int64_t i = 0; i < swg_elements(g, image); i++)
        in[i] = noise((uint32_t)i) * (float)(1 + i / 125 % 7);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    float *out = malloc((size_t)*count * sizeof *out);
    memcpy(out, swg_plan_data(plan, y), (size_t)*count * sizeof *out);
    *folded = 0;
    for (int i = 0; i < plan->step_count; i++)
        *folded += strcmp(plan->steps[i].kernel->name, "int8 conv") == 0;
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
    return out;
}

static void convolutions(void **state) {
    (void)state;
    int64_t n;
    int folded;
    for (int plain = 0; plain < 2; plain++) {
        float *exact = run_convs(NULL, 1, SWG_QUANTISE_NONE, plain, &n, &folded);
        assert_int_equal(folded, 0);
        float *first = run_convs("scalar", 1, SWG_QUANTISE_INT8, plain, &n, &folded);
        double error = 0, power = 0;
        for (int64_t i = 0; i < n; i++) {
            error += pow((double)first[i] - (double)exact[i], 2);
            power += pow((double)exact[i], 2);
        }
        assert_int_equal(folded, 3 + plain);
        if (!(10 * log10(power / error) > 30))
            fail_msg("signal to quantisation noise is %.1f dB", 10 * log10(power / error));
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
            float *one = run_convs(swg__isa_name((swg__isa)isa), 1, SWG_QUANTISE_INT8, plain, &n, &folded);
            float *three = run_convs(swg__isa_name((swg__isa)isa), 3, SWG_QUANTISE_INT8, plain, &n, &folded);
            assert_memory_equal(one, three, (size_t)n * sizeof *one);
            if (plain)
                assert_memory_equal(one, first, (size_t)n * sizeof *one);
            free(one);
            free(three);
        }
        free(first);
        free(exact);
    }
}

/* ---- tiles against whole-number arithmetic ---- */

static void tiles_are_exact(void **state) {
    (void)state;
    enum { ROWS = 33, K = 71 };
    static const int64_t widths[] = {1, 3, 8, 15, 16, 17, 29, 32, 33, 64, 65, 127, 128};
    static float w[K * 128], in[ROWS * K], out[ROWS * 128], scale[128 + 32];
    static int32_t sum[128 + 32];
    static uint32_t words[K * 160];
    static char codes[ROWS * 256] __attribute__((aligned(16)));
    for (int i = 0; i < K * 128; i++)
        w[i] = i < 128 ? 127 : (float)((i * 37 + i / 128 * 11) % 255 - 127); /* scales 1: whole numbers are their codes */
    for (int i = 0; i < ROWS * K; i++)
        in[i] = (float)((i * 71 + i / K * 13) % 256);
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        const swg__int8_table *t = swg__int8_table_of((swg__isa)isa);
        const swg_affine_code head = {1, 100};
        for (int r = 0; r < ROWS; r++)
            t->encode(codes + r * 256, in + r * K, K, (swg_affine_code){1, 0});
        for (size_t s = 0; s < sizeof widths / sizeof *widths; s++)
            for (int64_t rows = 1; rows <= ROWS; rows += rows < 18 ? 1 : 15) {
                int64_t n = widths[s], steps = (K + t->group - 1) / t->group;
                for (int64_t p = 0; p * t->nr < n; p++) {
                    const swg__int8_weights of = {.w = w + p * t->nr, .k = K, .taps = 1, .k_stride = 128, .n_stride = 1,
                                                  .columns = n - p * t->nr < t->nr ? n - p * t->nr : t->nr, .sum_stride = 160};
                    swg__int8_pack(t, &of, words + p * t->nr * steps, scale + p * t->nr, sum + p * t->nr);
                }
                const swg__gemm8 g = {.n = n, .steps = steps, .a = codes, .row_stride = 256, .head = (const char *)&head, .b = words, .depth = steps,
                                      .scale = scale, .sum = sum, .c = out, .ldc = n};
                t->gemm(&g, 0, rows);
                for (int64_t i = 0; i < rows * n; i++) {
                    int64_t want = 0;
                    for (int64_t k = 0; k < K; k++)
                        want += ((int64_t)in[i / n * K + k] - 100) * (int64_t)w[k * 128 + i % n];
                    if (out[i] != (float)want)
                        fail_msg("%s, %lld x %lld: element %lld is %g, expected %lld", swg__isa_name((swg__isa)isa), (long long)rows, (long long)n,
                                 (long long)i, (double)out[i], (long long)want);
                }
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_codes),  cmocka_unit_test(known_product), cmocka_unit_test(tiles_are_exact),
        cmocka_unit_test(same_bits_everywhere), cmocka_unit_test(close_to_f32), cmocka_unit_test(what_is_not_finite_stays_in_its_row),
        cmocka_unit_test(convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
