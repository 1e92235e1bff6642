/* test_codec_causal_train.c - proves: the gradient written by hand is that of the code length, every kernel of training gives the same
 * bits, a network learns what a stencil cannot, the report says what a second implementation measures on the blob, one seed gives one
 * blob on any number of threads and every instruction set, fill values teach nothing, what cannot be learnt from leaves no blob, a stop
 * keeps what there is.
 * SPDX-License-Identifier: Apache-2.0 */
#include "codec/causal_train.h"
#include "causal_reference.h"
#include "codec_testing.h"
#include "context.h"

/* ---- gradient ---- */

enum { BATCH = SWG__CAUSAL_BATCH };

static double logistic(double v) { return 1 / (1 + exp(-v)); }

/* Mean of -ln P over the batch with weights as they are, in f64, from the definition. parameter, by: one weight is moved. */
static double mean_loss(const swg__causal_fitter *f, const swg__causal_point *points, uint8_t bucket[128][3], int64_t parameter, double by) {
    double sum = 0;
    for (int p = 0; p < BATCH; p++) {
        double x[SWG__CAUSAL_WIDTH], z[SWG__CAUSAL_WIDTH];
        for (int i = 0; i < SWG__FEATURES; i++)
            x[i] = points[p].x[i] / 16.0;
        for (int l = 0; l < SWG__CAUSAL_LAYERS; l++) {
            const swg__causal_dense *d = &f->layer[l];
            for (int j = 0; j < d->out; j++) {
                z[j] = f->master[d->bias + j] + (parameter == d->bias + j ? by : 0);
                for (int i = 0; i < d->in; i++) {
                    int64_t at = d->weight + (int64_t)j * d->stride + i;
                    z[j] += (f->master[at] + (parameter == at ? by : 0)) * x[i];
                }
            }
            for (int j = 0; j < d->out; j++)
                x[j] = fmin(fmax(z[j], 0), 255 / 16.0);
        }
        double s = exp2((bucket[points[p].activity][points[p].before] + 4 * z[1] - 20) / 4), e = (double)points[p].miss / 16 - z[0] * s;
        sum -= log(logistic((e + 0.5) / s) - logistic((e - 0.5) / s));
    }
    return sum / BATCH;
}

static void gradient(void **state) {
    swg_context *ctx = *state;
    swg__causal_fitter f;
    static swg__causal_point points[BATCH];
    static uint8_t bucket[128][3];
    int64_t index[BATCH];
    uint64_t seed = 5;
    for (int c = 0; c < 128; c++)
        for (int r = 0; r < 3; r++)
            bucket[c][r] = (uint8_t)(18 + c % 20 + r);
    for (int i = 0; i < BATCH; i++) {
        index[i] = (i * 37) % BATCH;
        points[i].miss = (int64_t)(noise(&seed) % 121) - 60; /* few scales: neither clipped nor floored */
        points[i].activity = (uint8_t)(noise(&seed) % 60);
        points[i].before = (uint8_t)(noise(&seed) % 3);
        for (int k = 0; k < SWG__FEATURES; k++)
            points[i].x[k] = (int8_t)((int)(noise(&seed) % 81) - 40);
    }
    assert_ok(ctx, swg__causal_fitter_open(ctx, (int[]){12, 20}, 9, &f));
    f.exact = true;
    for (int64_t i = f.layer[2].weight; i < f.layer[2].bias; i++) /* outputs that matter */
        f.master[i] *= 2;
    for (int l = 0; l < SWG__CAUSAL_LAYERS; l++)
        for (int j = 0; j < f.layer[l].out; j++)
            f.master[f.layer[l].bias + j] = 0.01f * (float)(j % 7 - 3);
    swg__causal_quantise(&f);
    swg__causal_gradient(&f, points, index, (const uint8_t (*)[3])bucket);
    double largest = 0;
    for (int64_t i = 0; i < f.parameters; i++)
        largest = fmax(largest, fabs((double)f.gradient[i]));
    assert_true(largest > 0.01);
    for (int l = 0; l < SWG__CAUSAL_LAYERS; l++) {
        const swg__causal_dense *d = &f.layer[l];
        for (int t = 0; t < 40; t++) {
            int j = (int)(noise(&seed) % (uint64_t)d->out), i = (int)(noise(&seed) % (uint64_t)(d->in + 1));
            int64_t at = i == d->in ? d->bias + j : d->weight + (int64_t)j * d->stride + i;
            const double by = 1e-5, true_one = (mean_loss(&f, points, bucket, at, by) - mean_loss(&f, points, bucket, at, -by)) / (2 * by);
            if (!(fabs((double)f.gradient[at] - true_one) <= 1e-3 * fabs(true_one) + 1e-4 * largest))
                fail_msg("layer %d, output %d, input %d: gradient %.9g, differences %.9g", l, j, i, (double)f.gradient[at], true_one);
        }
        for (int64_t i = d->in; i < d->stride; i++) /* padding stays padding */
            assert_true(f.gradient[d->weight + i] == 0);
    }
    swg__causal_fitter_close(&f);
}

static void product(void **state) {
    swg_context *ctx = *state;
    enum { M = 7, K = 37, STRIDE = 48, N = 48 };
    static float a[M * STRIDE], b[K * N], start[M], c[2][M * N];
    uint64_t seed = 3;
    for (int i = 0; i < M * STRIDE; i++)
        a[i] = (float)(noise(&seed) >> 40) * 0x1p-24f - 0.5f;
    for (int i = 0; i < K * N; i++)
        b[i] = (float)(noise(&seed) >> 40) * 0x1p-24f - 0.5f;
    for (int i = 0; i < M; i++)
        start[i] = (float)i - 3;
    for (int given = 0; given < 2; given++)
        for (int isa = 0; isa <= (int)ctx->isa; isa++) {
            swg__codec_kernels_for((swg__isa)isa)->product(a, STRIDE, b, given ? start : NULL, M, K, N, c[1]);
            for (int j = 0; j < M; j++)
                for (int i = 0; i < N; i++) {
                    volatile float sum = given ? start[j] : 0; /* rounded to f32 after each step */
                    for (int k = 0; k < K; k++) {
                        volatile float term = a[j * STRIDE + k] * b[k * N + i];
                        sum += term;
                    }
                    c[0][j * N + i] = sum;
                }
            assert_memory_equal(c[0], c[1], sizeof c[0]);
        }
}

/* ---- fits ---- */

enum { NZ = 12, NY = 40, NX = 44, VALUES = NZ * NY * NX };

/* Sheets with sharp crests that drift: where a crest runs, no linear predictor holds; noise that is larger on one side. */
static void fill_crests(float *x) {
    uint64_t seed = 11;
    for (int z = 0; z < NZ; z++)
        for (int y = 0; y < NY; y++)
            for (int i = 0; i < NX; i++) {
                double crest = fabs(sin(0.13 * i + 0.21 * y + 0.3 * z)) + 0.6 * fabs(sin(0.05 * i - 0.17 * y + 0.11 * z + 1));
                double random = (double)(noise(&seed) >> 40) * 0x1p-24 - 0.5;
                x[(z * NY + y) * NX + i] = (float)(crest + (i > NX / 2 ? 0.02 : 0.004) * random);
            }
}

static const swg__causal_plan short_plan = {{16, 8}, 1500, 1 << 20};

static swg__causal_report fit(swg_context *ctx, const float *values, const swg_codec_opts *opts, const swg__causal_plan *plan, swg__text *blob) {
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NZ, NY, NX}, .data = values};
    const swg__fit_opts o = {.seed = 7};
    swg__causal_report report;
    blob->length = 0;
    assert_ok(ctx, swg__fit_causal_plan(ctx, &a, 1, opts, &o, plan, blob, &report));
    assert_int_equal(report.better, blob->length > 0);
    return report;
}

/* Bits of all interior points of an array under a blob. */
static reference_length measure(swg_context *ctx, const float *values, const swg_codec_opts *opts, const swg__text *blob, bool network) {
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NZ, NY, NX}, .data = values};
    reference_model model = reference_open((const uint8_t *)blob->data);
    reference_length length = {.model = &model, .network = network};
    swg__header header;
    swg__layout layout;
    assert_ok(ctx, swg__encode_look(ctx, &a, opts, &header, &layout));
    for (int64_t i = 0; i < layout.count; i++) {
        swg__chunk chunk;
        assert_ok(ctx, swg__chunk_take(ctx, a.data, &header, &layout, i, &chunk));
        assert_ok(ctx, swg__stencil_rows(&chunk, 0, 1, reference_row, &length));
        swg__chunk_drop(&chunk);
    }
    return length;
}

static void learns(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES];
    const swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-3};
    swg__text blob;
    swg__text_init(&blob, ctx);
    fill_crests(values);
    swg__causal_report r = fit(ctx, values, &opts, &short_plan, &blob);
    assert_true(r.better);
    assert_int_equal(r.values, VALUES);
    assert_int_equal(r.points, VALUES - 1); /* the first one has no neighbours */
    assert_in_range(r.held, r.points / 20, r.points / 5);
    if (!(r.network_bits[1] < 0.97 * r.stencil_bits[1]))
        fail_msg("%.4f bits per value with the network, %.4f without", r.network_bits[1], r.stencil_bits[1]);
    reference_length length = measure(ctx, values, &opts, &blob, true);
    assert_int_equal(length.points, r.points);
    double reported = r.network_bits[0] * (double)(r.points - r.held) + r.network_bits[1] * (double)r.held;
    if (fabs(length.bits - reported) > 1e-6 * reported)
        fail_msg("the report says %.9g bits, the second implementation %.9g", reported, length.bits);
    swg__text_free(&blob);
}

static void deterministic(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES];
    const swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-3};
    const swg__causal_plan plan = {{16, 8}, TESTING_SLOW ? 100 : 300, 1 << 20};
    const swg__isa best = ctx->isa;
    swg__text first, blob;
    swg__text_init(&first, ctx);
    swg__text_init(&blob, ctx);
    fill_crests(values);
    assert_true(fit(ctx, values, &opts, &plan, &first).better);
    for (int isa = 0; isa < (int)best; isa++) {
        ctx->isa = (swg__isa)isa;
        fit(ctx, values, &opts, &plan, &blob);
        ctx->isa = best;
        assert_int_equal(blob.length, first.length);
        assert_memory_equal(blob.data, first.data, first.length);
    }
    for (int threads = 1; threads <= 3; threads += 2) {
        swg_context *other;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &other), SWG_OK);
        swg__text there;
        swg__text_init(&there, other);
        fit(other, values, &opts, &plan, &there);
        assert_int_equal(there.length, first.length);
        assert_memory_equal(there.data, first.data, first.length);
        swg__text_free(&there);
        swg_context_close(other);
    }
    swg__text_free(&blob);
    swg__text_free(&first);
}

/* What stands where values are missing is not learned from and does not matter. */
static void masks(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES], other[VALUES];
    const swg__causal_plan plan = {{16, 8}, 200, 1 << 20};
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3}, marked = opts;
    swg__text blob[2];
    fill_crests(values);
    for (int i = 0; i < VALUES; i++) {
        bool hole = i / NX % NY >= 20 && i / NX % NY < 26 && i % NX > 5 && i % NX < 20;
        other[i] = hole ? -1e30f : values[i];
        values[i] = hole ? NAN : values[i];
    }
    marked.fill = SWG_FILL_VALUE;
    assert_true(swg_fill_bits(SWG_ELEMENT_F32, (double)-1e30f, &marked.fill_bits));
    swg__text_init(&blob[0], ctx);
    swg__text_init(&blob[1], ctx);
    swg__causal_report r = fit(ctx, values, &opts, &plan, &blob[0]);
    assert_true(r.better);
    assert_int_equal(r.points, VALUES - 1 - NZ * 6 * 14);
    fit(ctx, other, &marked, &plan, &blob[1]);
    assert_int_equal(blob[0].length, blob[1].length);
    assert_memory_equal(blob[0].data, blob[1].data, blob[0].length);
    swg__text_free(&blob[0]);
    swg__text_free(&blob[1]);
}

static void nothing_to_learn(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES];
    const swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3}, lossless = {.bound = SWG_BOUND_LOSSLESS}, pointwise = {.bound = SWG_BOUND_PW_REL, .value = 1e-3};
    swg__text blob;
    swg__text_init(&blob, ctx);
    for (int i = 0; i < VALUES; i++)
        values[i] = 3;
    assert_int_equal(fit(ctx, values, &opts, &short_plan, &blob).steps, 0);
    for (int i = 0; i < VALUES; i++)
        values[i] = NAN;
    assert_int_equal(fit(ctx, values, &opts, &short_plan, &blob).points, 0);
    for (int i = 0; i < VALUES; i++) /* a ramp: the stencil has it all */
        values[i] = (float)(i % NX);
    assert_false(fit(ctx, values, &opts, &short_plan, &blob).better);
    uint64_t seed = 1;
    for (int i = 0; i < VALUES; i++) /* independent noise: there is nothing in it, although there are many bits */
        values[i] = (float)(noise(&seed) >> 40) * 0x1p-24f;
    swg__causal_report r = fit(ctx, values, &opts, &(swg__causal_plan){{16, 8}, 4000, 1 << 20}, &blob);
    assert_in_range(r.steps, 1000, 1100); /* given up at the first look after a quarter */
    assert_false(r.better);
    fill_crests(values);
    assert_int_equal(fit(ctx, values, &lossless, &short_plan, &blob).points, 0);
    assert_int_equal(fit(ctx, values, &pointwise, &short_plan, &blob).points, 0);
    const swg__fit_opts o = {.seed = 7};
    const swg_codec_array tiny = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {8, 9, 10}, .data = values};
    assert_ok(ctx, swg__fit_causal_plan(ctx, &tiny, 1, &opts, &o, &short_plan, &blob, &r));
    assert_int_equal(blob.length, 0);
    assert_int_equal(r.steps, 0);
    const swg_codec_array line = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {60, 60, 1}, .data = values};
    assert_ok(ctx, swg__fit_causal_plan(ctx, &line, 1, &opts, &o, &short_plan, &blob, &r));
    assert_ok(ctx, swg__fit_causal_plan(ctx, &tiny, 0, &opts, &o, &short_plan, &blob, NULL));
    swg__text_free(&blob);
}

static volatile sig_atomic_t stop_now;
static int words;
static void stop_soon(void *user, double done, double bits) {
    (void)user;
    assert_true(done > 0 && done <= 1 && bits > 0);
    stop_now = ++words == 6;
}

static void stop(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES];
    const swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-3};
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NZ, NY, NX}, .data = values};
    const swg__fit_opts o = {.seed = 7, .stop = &stop_now, .progress = stop_soon}, timed = {.seconds = 1e-3};
    swg__causal_report r;
    swg__text blob;
    swg__text_init(&blob, ctx);
    fill_crests(values);
    assert_ok(ctx, swg__fit_causal_plan(ctx, &a, 1, &opts, &o, &(swg__causal_plan){{16, 8}, 6400, 1 << 20}, &blob, &r));
    assert_int_equal(r.steps, 601);
    assert_int_equal(words, 7);
    assert_true(r.better && blob.length > 0);
    blob.length = 0;
    assert_ok(ctx, swg__fit_causal_plan(ctx, &a, 1, &opts, &timed, &swg__causal_light, &blob, &r));
    assert_in_range(r.steps, 1, swg__causal_light.steps - 1);
    swg__text_free(&blob);
}

/* Ridges along a diagonal of y and x, the same at every z: turned round along z, or along y and x, they are of the same kind; along y or x alone
 * they run the other way. */
static void mirrors(void **state) {
    swg_context *ctx = *state;
    static float values[VALUES];
    const swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-3};
    swg__text blob;
    swg__text_init(&blob, ctx);
    uint64_t seed = 5;
    float ridge[NY + NX];
    for (int k = 0; k < NY + NX; k++)
        ridge[k] = (float)(noise(&seed) >> 40) * 0x1p-24f;
    for (int i = 0; i < VALUES; i++)
        values[i] = ridge[i % NX + i / NX % NY] + 0.05f * (float)(noise(&seed) >> 40) * 0x1p-24f;
    swg__causal_report r = fit(ctx, values, &opts, &(swg__causal_plan){{16, 8}, 3000, 1 << 20}, &blob);
    assert_int_equal(r.flips, 1 << 0 | 1 << 1 | 1 << 6 | 1 << 7);
    assert_int_equal(r.points, VALUES - 1); /* of the array itself */
    r = fit(ctx, values, &opts, &(swg__causal_plan){{16, 8}, 100, VALUES - 1}, &blob); /* more than is looked at: enough as it is */
    assert_int_equal(r.flips, 1);
    swg__text_free(&blob);
}

/* The n-th allocation fails, for every n. */
static void allocation_failures(void **state) {
    (void)state;
    static float values[VALUES];
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {NZ, NY, NX}, .data = values};
    const swg_codec_opts opts = {.bound = SWG_BOUND_REL, .value = 1e-3};
    const swg__fit_opts o = {.seed = 7};
    int64_t fail_at = 0;
    fill_crests(values);
    for (bool done = false; !done; fail_at += TESTING_SLOW ? 13 : 1) {
        testing_allocator t = {.fail_at = -1};
        swg_context *ctx;
        swg__text blob;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx), SWG_OK);
        swg__text_init(&blob, ctx);
        t.fail_at = t.calls + fail_at;
        swg_status status = swg__fit_causal_plan(ctx, &a, 1, &opts, &o, &(swg__causal_plan){{16, 8}, 250, 1 << 20}, &blob, NULL);
        done = t.calls <= t.fail_at;
        assert_int_equal(status, done || blob.failed ? SWG_OK : SWG_ENOMEM); /* of a failed text the caller hears */
        assert_true(!done || blob.length > 0);
        swg__text_free(&blob);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
    assert_true(fail_at > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gradient, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(product, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(learns, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(deterministic, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(masks, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(nothing_to_learn, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(mirrors, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stop, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
