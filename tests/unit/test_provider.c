/* test_provider.c - proves: plans whose contractions run on oneDNN agree with the f64 reference for every layout, epilogue and
 * network; frozen weights are packed again on refresh; where oneDNN is absent the provider is refused with a message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "provider/provider.h"
#include "swage/swae.h"

#if defined(__SANITIZE_ADDRESS__)
/* Without this the leak check itself crashes on the thread-local memory of a library that dlopen brought in (gcc 12). */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "intercept_tls_get_addr=0"; }
#endif

static bool absent(swg_context *ctx) {
    char version[64];
    if (swg__provider_version(version, sizeof version)) {
        assert_non_null(strstr(version, "oneDNN 2."));
        return false;
    }
    swg_graph *g;
    swg_plan *plan;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value y = swg_relu(g, swg_input(g, "x", 1, (int64_t[]){3}));
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .provider = "onednn"}, &plan), SWG_EUNSUPPORTED);
    assert_non_null(strstr(swg_context_message(ctx), "onednn"));
    swg_graph_destroy(g);
    fprintf(stderr, "oneDNN is not in this build or cannot be loaded: skipped\n");
    return true;
}

static double value_at(int input, int64_t i) {
    uint32_t h = (uint32_t)i * 2654435761u + (uint32_t)input * 40503u + 12345u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (double)(float)((double)((h ^ h >> 12) >> 8) * 0x1p-23 - 1);
}

static void put(void *data, swg_dtype dtype, int64_t i, double value) {
    if (dtype == SWG_F64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

static double get(const void *data, swg_dtype dtype, int64_t i) {
    return dtype == SWG_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

/* Fails unless `got` is within 4e-6 of the largest element of `truth`. */
static void compare(const char *what, const void *got, const double *truth, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(truth[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(get(got, SWG_F32, i) - truth[i]) <= 4e-6 * most))
            fail_msg("%s: element %lld is %.9g, reference %.17g", what, (long long)i, get(got, SWG_F32, i), truth[i]);
}

/* ---- single products ---- */

typedef struct product_case {
    const char *name;
    int ndim;
    int64_t a[3], b[3];
    bool trans_a, trans_b, bias, relu, gate;
} product_case;

static const product_case products[] = {
    {.name = "1x1x1", .ndim = 2, .a = {1, 1}, .b = {1, 1}},
    {.name = "13x7x33", .ndim = 2, .a = {13, 7}, .b = {7, 33}},
    {.name = "transposed b", .ndim = 2, .a = {29, 31}, .b = {45, 31}, .trans_b = true},
    {.name = "transposed a", .ndim = 2, .a = {100, 65}, .b = {100, 47}, .trans_a = true},
    {.name = "transposed both", .ndim = 2, .a = {40, 19}, .b = {70, 40}, .trans_a = true, .trans_b = true},
    {.name = "batched", .ndim = 3, .a = {3, 17, 9}, .b = {3, 9, 21}},
    {.name = "batched, transposed b", .ndim = 3, .a = {3, 17, 9}, .b = {3, 40, 9}, .trans_b = true},
    {.name = "bias", .ndim = 2, .a = {29, 31}, .b = {45, 31}, .trans_b = true, .bias = true},
    {.name = "bias and relu", .ndim = 2, .a = {29, 31}, .b = {45, 31}, .trans_b = true, .bias = true, .relu = true},
    {.name = "relu", .ndim = 2, .a = {96, 64}, .b = {64, 16}, .relu = true},
    {.name = "gate", .ndim = 2, .a = {300, 31}, .b = {31, 145}, .gate = true},
};

static void *product_of(swg_context *ctx, const product_case *c, swg_dtype dtype, const char *provider, int64_t *n) {
    swg_graph *g;
    swg_plan *plan;
    swg_value in[4] = {0};
    int inputs = 2;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    in[0] = swg_input(g, "a", c->ndim, c->a);
    in[1] = swg_input(g, "b", c->ndim, c->b);
    swg_value y = swg__matmul(g, in[0], in[1], c->trans_a, c->trans_b);
    const int64_t *shape = swg_shape(g, y);
    if (c->bias)
        y = swg_add(g, y, in[inputs++] = swg_input(g, "bias", 1, shape + c->ndim - 1));
    if (c->relu)
        y = swg_relu(g, y);
    if (c->gate)
        y = swg__ew(g, SWG__GATE, 0, 0, 2, y, in[inputs++] = swg_input(g, "gate", c->ndim, shape), 0);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .provider = provider}, &plan));
    if (provider)
        assert_string_equal(plan->steps[0].kernel->name, "onednn");
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < inputs; i++)
        for (int64_t e = 0; e < swg_elements(g, in[i]); e++)
            put(swg_plan_data(plan, in[i]), dtype, e, value_at(i, e));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    *n = swg_elements(g, y);
    size_t bytes = (size_t)*n * swg__dtype_size(dtype);
    void *out = memcpy(malloc(bytes), swg_plan_data(plan, y), bytes);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return out;
}

static void products_agree(void **state) {
    swg_context *ctx = *state;
    if (absent(ctx))
        skip();
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        int64_t n, m;
        double *truth = product_of(ctx, &products[i], SWG_F64, NULL, &n);
        float *got = product_of(ctx, &products[i], SWG_F32, "onednn", &m);
        assert_int_equal(n, m);
        compare(products[i].name, got, truth, n);
        free(truth);
        free(got);
    }
}

/* ---- networks ---- */

typedef struct runner {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, hyper, y;
} runner;

enum { BATCH = 70 };

static swg_status open_runner(swg_context *ctx, runner *r, const char *preset, swg_dtype dtype, const char *provider, bool training) {
    swg_swae model;
    *r = (runner){0};
    SWG__TRY(swg_swae_preset(ctx, preset, &model));
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &r->g));
    r->x = swg_input(r->g, "x", 2, (int64_t[]){BATCH, model.input});
    swg_value z = swg_swae_encode(r->g, r->x, &model), distance, reconstruction;
    r->y = swg_swae_decode(r->g, z, &model);
    swg_value outputs[2] = {r->y}, count = 1;
    if (training) {
        r->hyper = swg_input(r->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        const swg_swae_loss loss = {.lambda = 1, .directions = 50};
        outputs[count++] = swg_adam(r->g, swg_swae_loss_of(r->g, &loss, r->x, r->y, z, &reconstruction, &distance), r->hyper,
                                    &(swg_adam_opts){.clip = true});
    }
    SWG__TRY(swg_plan_make(r->g, &(swg_plan_opts){.outputs = outputs, .output_count = (int)count, .frozen = !training,
                                                  .provider = provider}, &r->plan));
    SWG__TRY(swg_weights_create(r->g, training, &r->weights));
    swg_weights_init(r->weights, 42);
    SWG__TRY(swg_plan_open(r->plan, r->weights, NULL));
    for (int64_t i = 0; i < swg_elements(r->g, r->x); i++)
        put(swg_plan_data(r->plan, r->x), dtype, i, value_at(0, i));
    double b1 = 1, b2 = 1;
    if (training)
        swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2,
                       dtype, swg_plan_data(r->plan, r->hyper));
    return swg_plan_run(r->plan, 42, 0);
}

static void close_runner(runner *r) {
    swg_plan_destroy(r->plan);
    swg_weights_destroy(r->weights);
    swg_graph_destroy(r->g);
}

static void networks_agree(void **state) {
    (void)state;
    static const char *const presets[] = {"swae/mlp", "swae/mlp-deep"};
    for (int threads = 1; threads <= 2; threads++) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        if (absent(ctx)) {
            swg_context_close(ctx);
            skip();
        }
        for (int p = 0; p < 2; p++)
            for (int training = 0; training < 2; training++) {
                runner f64, f32;
                assert_ok(ctx, open_runner(ctx, &f64, presets[p], SWG_F64, NULL, training));
                assert_ok(ctx, open_runner(ctx, &f32, presets[p], SWG_F32, "onednn", training));
                compare(presets[p], swg_plan_data(f32.plan, f32.y), swg_plan_data(f64.plan, f64.y), swg_elements(f64.g, f64.y));
                if (training)
                    compare("gradients", f32.weights->gradient, (const double *)f64.weights->gradient, f64.weights->span);
                swg_memory memory = swg_plan_memory_of(f32.plan);
                assert_true(memory.arena_bytes >= memory.bound_bytes);
                close_runner(&f64);
                close_runner(&f32);
            }
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
    }
}

/* Frozen weights lie in oneDNN's own format: a refresh must bring the new ones there. */
static void refresh_packs_again(void **state) {
    swg_context *ctx = *state;
    if (absent(ctx))
        skip();
    runner f64, f32;
    assert_ok(ctx, open_runner(ctx, &f64, "swae/mlp-deep", SWG_F64, NULL, false));
    assert_ok(ctx, open_runner(ctx, &f32, "swae/mlp-deep", SWG_F32, "onednn", false));
    swg_weights_init(f64.weights, 7);
    swg_weights_init(f32.weights, 7);
    swg_plan_refresh(f32.plan);
    assert_ok(ctx, swg_plan_run(f64.plan, 42, 0));
    assert_ok(ctx, swg_plan_run(f32.plan, 42, 0));
    compare("after a refresh", swg_plan_data(f32.plan, f32.y), swg_plan_data(f64.plan, f64.y), swg_elements(f64.g, f64.y));
    close_runner(&f64);
    close_runner(&f32);
}

static void out_of_memory(void **state) {
    if (absent(*state))
        skip();
    for (int64_t n = 0;; n++) {
        testing_allocator memory = {.fail_at = n};
        swg_context *ctx = NULL;
        runner r = {0};
        swg_status status = swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &memory}}, &ctx);
        if (status == SWG_OK)
            status = open_runner(ctx, &r, "swae/mlp", SWG_F32, "onednn", false);
        close_runner(&r);
        swg_context_close(ctx);
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        assert_int_equal(memory.live, 0);
        if (status == SWG_OK)
            break;
        assert_true(n < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(products_agree, testing_open, testing_close),
        cmocka_unit_test(networks_agree),
        cmocka_unit_test_setup_teardown(refresh_packs_again, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(out_of_memory, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
