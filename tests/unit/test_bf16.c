/* test_bf16.c - proves: products of bf16 operands agree with the f64 reference of the rounded operands on every instruction set, over
 * odd sizes, all transposes and epilogues, f32 and bf16 results, chunks of a long k; so does attention with its gradients; all are the
 * same bits on 1, 2 and 4 threads; NaN and infinity pass; rounding is to nearest even on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "cpu.h"
#include "plan/plan.h"
#include "swage/plan.h"

typedef struct product {
    int64_t batch, m, n, k;
    bool trans_a, trans_b;
    enum { PLAIN, BIAS, RELU, GATE, EPILOGUES } epilogue;
} product;

static const product products[] = {
    {1, 1, 1, 1, false, false, PLAIN},     {1, 13, 33, 7, false, false, BIAS},   {1, 50, 31, 16, false, true, RELU},
    {1, 37, 16, 513, false, true, GATE},   {1, 3, 130, 31, false, false, PLAIN}, {1, 2, 129, 40, false, true, BIAS},
    {1, 256, 96, 125, false, true, RELU},  {1, 1, 70, 9, true, false, PLAIN},    {1, 65, 47, 100, true, false, RELU},
    {1, 19, 70, 41, true, true, GATE},     {1, 130, 33, 1037, true, false, BIAS}, {3, 17, 21, 9, false, false, PLAIN},
    {3, 17, 40, 9, false, true, GATE},     {3, 17, 33, 9, true, false, PLAIN},   {2, 101, 64, 600, true, true, GATE},
    {1, 29, 45, 31, false, false, GATE},   {1, 48, 64, 32, false, false, RELU},
};
enum { PRODUCTS = sizeof products / sizeof *products, WAYS = 8 };

/* Bits of a way: the second operand, the gate, the result are bf16. */
enum { SECOND = 1, GATED = 2, RESULT = 4 };

static double value_at(uint32_t input, int64_t i) {
    uint32_t h = (uint32_t)i * 2654435761u + input * 40503u + 12345u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (double)((h ^ h >> 12) >> 8) * 0x1p-23 - 1;
}

static double in_bf16(double x) { return (double)swg__f32_of_bf16(swg__bf16_of((float)x)); }

static swg_value input(swg_graph *g, const char *name, int ndim, const int64_t *shape, bool bf16) {
    swg_value v = swg_input(g, name, ndim, shape);
    if (bf16)
        g->nodes[v].dtype = SWG_BF16;
    return v;
}

static double element_of(const void *data, swg_dtype dtype, int64_t e) {
    return dtype == SWG_F64 ? ((const double *)data)[e] : dtype == SWG_BF16 ? (double)swg__f32_of_bf16(((const swg__bf16 *)data)[e])
                                                                            : (double)((const float *)data)[e];
}

/* Elements as f64 in fresh memory. `odd`: put in place of one element of the first operand, if not 0. */
static double *result_of(swg_context *ctx, const product *p, swg_dtype dtype, int way, float odd, int64_t *n) {
    bool exact = dtype == SWG_F64, batched = p->batch > 1;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    const int64_t a[3] = {p->batch, p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k};
    const int64_t b[3] = {p->batch, p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n}, c[3] = {p->batch, p->m, p->n};
    int ndim = batched ? 3 : 2, skip = batched ? 0 : 1, inputs = 2;
    swg__attr attr = {.trans_a = p->trans_a, .trans_b = p->trans_b, .bias = p->epilogue == BIAS || p->epilogue == RELU,
                      .relu = p->epilogue == RELU, .gate = p->epilogue == GATE};
    swg_value in[3] = {input(g, "a", ndim, a + skip, !exact), input(g, "b", ndim, b + skip, !exact && way & SECOND)};
    if (attr.bias)
        in[inputs++] = swg_input(g, "bias", 1, &p->n);
    if (attr.gate)
        in[inputs++] = input(g, "gate", ndim, c + skip, !exact && way & GATED);
    swg_dtype result = exact ? SWG_F64 : way & RESULT ? SWG_BF16 : SWG_F32;
    swg_value out = swg__append(g, inputs > 2 ? SWG__LINEAR : SWG__MATMUL, result, ndim, c + skip, inputs, in, &attr);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &out, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < inputs; i++)
        for (int64_t e = 0; e < swg_elements(g, in[i]); e++) {
            double x = value_at((uint32_t)i, e);
            swg__store(swg_plan_data(plan, in[i]), swg_value_dtype(g, in[i]), e, exact && i < 2 ? in_bf16(x) : x);
        }
    if (odd != 0)
        swg__store(swg_plan_data(plan, in[0]), swg_value_dtype(g, in[0]), swg_elements(g, in[0]) / 2, (double)odd);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    *n = swg_elements(g, out);
    double *values = malloc((size_t)*n * sizeof *values);
    for (int64_t e = 0; e < *n; e++)
        values[e] = element_of(swg_plan_data(plan, out), result, e);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return values;
}

static swg_context *context_of(int threads, int isa) {
    swg_context *ctx;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
    return ctx;
}

static void close_context(swg_context *ctx) {
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

static void against_reference(void **state) {
    (void)state;
    for (int i = 0; i < PRODUCTS; i++) {
        int64_t n, m;
        swg_context *ctx = context_of(1, 0);
        double *truth = result_of(ctx, &products[i], SWG_F64, 0, 0, &n), most = 0;
        close_context(ctx);
        for (int64_t e = 0; e < n; e++)
            most = fmax(most, fabs(truth[e]));
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
            for (int way = 0; way < WAYS; way++) {
                ctx = context_of(2, isa);
                double *got = result_of(ctx, &products[i], SWG_F32, way, 0, &m);
                assert_int_equal(n, m);
                for (int64_t e = 0; e < n; e++) /* a bf16 result: half a unit in the last place more */
                    if (!(fabs(got[e] - truth[e]) <= 4e-6 * most + (way & RESULT ? 0x1p-8 * fabs(truth[e]) : 0)))
                        fail_msg("product %d, way %d, %s: element %lld is %.9g, reference %.17g", i, way, swg__isa_name((swg__isa)isa),
                                 (long long)e, got[e], truth[e]);
                free(got);
                close_context(ctx);
            }
        free(truth);
    }
}

static void same_bits(void **state) {
    (void)state;
    for (int i = 0; i < PRODUCTS; i++)
        for (int way = 0; way < WAYS; way++) {
            double *first = NULL;
            for (int threads = 1; threads <= 4; threads *= 2) {
                int64_t n;
                swg_context *ctx = context_of(threads, (int)swg__isa_best());
                double *got = result_of(ctx, &products[i], SWG_F32, way, 0, &n);
                close_context(ctx);
                if (first && memcmp(first, got, (size_t)n * sizeof *got) != 0)
                    fail_msg("product %d, way %d: %d threads give other bits than one", i, way, threads);
                if (first)
                    free(got);
                else
                    first = got;
            }
            free(first);
        }
}

/* Of one operand that is not finite, one row of the result is not, and no other element. */
static void not_finite(void **state) {
    (void)state;
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
        for (int i = 0; i < PRODUCTS; i++)
            for (int nan = 0; nan < 2; nan++) {
                const product *p = &products[i];
                int64_t n, row = p->trans_a ? p->batch * p->k * p->m / 2 % p->m : p->batch * p->k * p->m / 2 / p->k % p->m;
                int64_t batch = p->batch * p->k * p->m / 2 / (p->k * p->m);
                if (p->epilogue == RELU || p->epilogue == GATE)
                    continue;
                swg_context *ctx = context_of(2, isa);
                double *got = result_of(ctx, p, SWG_F32, isa & 1 ? WAYS - 1 : 0, nan ? NAN : INFINITY, &n);
                close_context(ctx);
                for (int64_t e = 0; e < n; e++) {
                    bool touched = e / p->n == batch * p->m + row;
                    if (touched != !isfinite(got[e]) || (touched && nan && !isnan(got[e])))
                        fail_msg("product %d, %s: element %lld is %g", i, swg__isa_name((swg__isa)isa), (long long)e, got[e]);
                }
                free(got);
            }
}

/* ---- attention: result, and gradients of q, k, v and the mask ---- */

typedef struct attending { int64_t batch, heads, n, m, d, dv; bool masked; } attending;
static const attending attendings[] = {{2, 3, 101, 131, 13, 5, true}, {1, 2, 50, 300, 32, 32, false}, {2, 1, 1, 1, 1, 1, true}, {3, 2, 97, 1, 4, 33, false},
                                       {2, 2, 37, 65, 4, 4, false}, {1, 3, 33, 131, 8, 8, true}, {17, 2, 20, 64, 16, 16, false}, {1, 1, 19, 67, 32, 32, true}};
enum { ATTENDINGS = sizeof attendings / sizeof *attendings, TENSORS = 4, RESULTS = 5 };

/* The results one after the other, each a part of `n` elements, as f64 in fresh memory. */
static double *attended(swg_context *ctx, const attending *a, swg_dtype dtype, int64_t n[RESULTS]) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    static const char *const names[TENSORS] = {"q", "k", "v", "mask"};
    const int64_t shapes[TENSORS][4] = {{a->batch, a->n, a->heads * a->d}, {a->batch, a->m, a->heads * a->d}, {a->batch, a->m, a->heads * a->dv},
                                        {1, a->heads, a->n, a->m}};
    swg_value in[TENSORS] = {0}, out[RESULTS];
    int count = a->masked ? TENSORS : TENSORS - 1;
    for (int i = 0; i < count; i++)
        in[i] = swg_input(g, names[i], i < 3 ? 3 : 4, shapes[i]);
    out[0] = swg_attention(g, in[0], in[1], in[2], in[3], &(swg_attention_opts){.heads = a->heads});
    assert_ok(ctx, swg_gradients(g, swg_sum(g, swg_mul(g, out[0], swg_affine(g, out[0], .5, 1)), 0), in, count, out + 1));
    for (int i = 0; i < 3 && dtype == SWG_F32; i++)
        g->nodes[in[i]].dtype = SWG_BF16;
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = out, .output_count = count + 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < count; i++)
        for (int64_t e = 0; e < swg_elements(g, in[i]); e++) {
            double x = 2 * value_at((uint32_t)i, e);
            swg__store(swg_plan_data(plan, in[i]), swg_value_dtype(g, in[i]), e, i < 3 ? in_bf16(x) : x);
        }
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    int64_t all = 0, at = 0;
    for (int i = 0; i < RESULTS; i++)
        all += n[i] = i <= count ? swg_elements(g, out[i]) : 0;
    double *values = malloc((size_t)all * sizeof *values);
    for (int i = 0; i <= count; i++)
        for (int64_t e = 0; e < n[i]; e++)
            values[at++] = element_of(swg_plan_data(plan, out[i]), dtype, e);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return values;
}

/* Probabilities and slopes are rounded to bf16 on the way: half a unit of the largest, 2^-9, in sums that cancel. */
static void attention(void **state) {
    (void)state;
    for (int i = 0; i < ATTENDINGS; i++) {
        int64_t n[RESULTS], m[RESULTS];
        swg_context *ctx = context_of(1, 0);
        double *truth = attended(ctx, &attendings[i], SWG_F64, n);
        close_context(ctx);
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
            double *first = NULL;
            for (int threads = 1; threads <= 4; threads *= 2) {
                ctx = context_of(threads, isa);
                double *got = attended(ctx, &attendings[i], SWG_F32, m);
                close_context(ctx);
                int64_t at = 0;
                for (int r = 0; r < RESULTS; at += n[r++]) {
                    double most = 0;
                    assert_int_equal(n[r], m[r]);
                    for (int64_t e = 0; e < n[r]; e++)
                        most = fmax(most, fabs(truth[at + e]));
                    for (int64_t e = at; e < at + n[r]; e++)
                        if (!(fabs(got[e] - truth[e]) <= 6e-3 * most + 1e-4))
                            fail_msg("attention %d, result %d, %s: element %lld is %.9g, reference %.17g", i, r, swg__isa_name((swg__isa)isa),
                                     (long long)(e - at), got[e], truth[e]);
                }
                if (first && memcmp(first, got, (size_t)at * sizeof *got) != 0)
                    fail_msg("attention %d, %s: %d threads give other bits than one", i, swg__isa_name((swg__isa)isa), threads);
                if (first)
                    free(got);
                else
                    first = got;
            }
            free(first);
        }
        free(truth);
    }
}

/* Known answers, and the vectors' rounding against the scalar's. */
static void rounding(void **state) {
    (void)state;
    static const struct { uint32_t f32; swg__bf16 bf16; } answers[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82}, {0x3f817fff, 0x3f81}, {0x7f7fffff, 0x7f80},
        {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, {0x80000000, 0x8000}, {0x00008000, 0x0000},
        {0x00018000, 0x0002}, {0x80000001, 0x8000},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        float x;
        memcpy(&x, &answers[i].f32, sizeof x);
        assert_int_equal(swg__bf16_of(x), answers[i].bf16);
    }
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++) {
        enum { N = 4099 };
        float x[N];
        swg__bf16 y[N + 1];
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = i < sizeof answers / sizeof *answers ? answers[i].f32 : i * 2654435761u ^ i << 13;
            memcpy(&x[i], &bits, sizeof bits);
        }
        y[N] = 7;
        swg__isa_table_of((swg__isa)isa)->round_bf16(y, x, N);
        for (int i = 0; i < N; i++)
            if (y[i] != swg__bf16_of(x[i]))
                fail_msg("%s: %a rounds to %04x, expected %04x", swg__isa_name((swg__isa)isa), (double)x[i], y[i], swg__bf16_of(x[i]));
        assert_int_equal(y[N], 7);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding),
        cmocka_unit_test(against_reference),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
