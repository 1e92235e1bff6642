/* test_update.c - proves: every parameter's gradient reaches its own place, also where two share one or it is a mere number; what
 * does not depend on the update sees the weights as they were; parameter groups have numbers of their own, wherever their borders
 * lie; micro-batches are added up in order, and only the last one updates; averages are taken of the whole span; an
 * update in passes is the fused one up to rounding, on any number of threads; memory is only reused where nobody reads any more; weights of
 * another model or type, a second update and frozen weights under an update are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include "plan/plan.h"
#include "swage/nn.h"

#define SHAPE(...) (int64_t[]){__VA_ARGS__}

static void fill_hyper(swg_plan *plan, swg_value hyper, swg_dtype dtype) {
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = .1, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, dtype,
                   swg_plan_data(plan, hyper));
}

/* loss = sum(w * (p + q)) + r + r2 + 3 s: p and q share their gradient, r's and r2's is the number 1, s's the number 3. */
static void shared_gradients(swg_context *ctx, swg_dtype dtype, bool no_fusion) {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    const swg_init init = {.bound = 1};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    swg_value p = swg_param(g, "p", 2, SHAPE(2, 3), init), q = swg_param(g, "q", 2, SHAPE(2, 3), init);
    swg_value o = swg_param(g, "o", 1, SHAPE(6), init), r = swg_param(g, "r", 1, SHAPE(1), init);
    swg_value r2 = swg_param(g, "r2", 2, SHAPE(1, 1), init), s = swg_param(g, "s", 1, SHAPE(1), init);
    swg_value hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT)), w = swg_input(g, "w", 2, SHAPE(2, 3));
    swg_value all = swg_add(g, swg_add(g, p, q), swg_reshape(g, o, 2, SHAPE(2, 3)));
    swg_value loss = swg_reshape(g, swg_sum(g, swg_mul(g, all, w), 0), 1, SHAPE(1));
    loss = swg_add(g, loss, swg_add(g, r, swg_add(g, swg_reshape(g, r2, 1, SHAPE(1)), swg_affine(g, s, 3, 0))));
    swg_value norm = swg_adam(g, loss, hyper, NULL);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1, .no_fusion = no_fusion}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill_hyper(plan, hyper, dtype);
    double squares = 1 + 1 + 9;
    for (int i = 0; i < 6; i++) {
        if (dtype == SWG_F64)
            ((double *)swg_plan_data(plan, w))[i] = i + 1;
        else
            ((float *)swg_plan_data(plan, w))[i] = (float)(i + 1);
        squares += 3. * (i + 1) * (i + 1);
    }
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < swg_weights_count(weights); i++) {
        int64_t n = swg__shape_elements(swg_weights_ndim(weights, i), swg_weights_shape(weights, i));
        for (int64_t e = 0; e < n; e++) {
            const void *gradient = swg_weights_gradient(weights, i), *value = swg_weights_value(weights, i);
            double want = i < 3 ? (double)(e + 1) : i < 5 ? 1 : 3;
            assert_close(dtype == SWG_F64 ? ((const double *)gradient)[e] : (double)((const float *)gradient)[e], want, 0, 1e-12);
            assert_close(dtype == SWG_F64 ? ((const double *)value)[e] : (double)((const float *)value)[e], -.1, 0, 1e-6);
        }
    }
    double got = dtype == SWG_F64 ? *(double *)swg_plan_data(plan, norm) : (double)*(float *)swg_plan_data(plan, norm);
    assert_close(got, sqrt(squares), 0, 1e-6);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void every_gradient_has_its_place(void **state) {
    for (int kind = 0; kind < 4; kind++)
        shared_gradients(*state, kind & 1 ? SWG_F64 : SWG_F32, kind & 2);
}

/* An output that needs no gradient could as well be scheduled after the update. It must not. */
static void outputs_see_the_weights_before(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, SHAPE(5000), (swg_init){.value = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    swg_value norm = swg_adam(g, swg_sum(g, swg_square(g, w), 0), hyper, NULL);
    swg_value size = swg_reduce_max(g, swg_expand(g, w, 2, SHAPE(300, 5000)), 0); /* large, so that the planner would put it off */
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = (swg_value[]){norm, size}, .output_count = 2}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 0);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    fill_hyper(plan, hyper, SWG_F32);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    assert_close((double)*(float *)swg_plan_data(plan, size), 1, 0, 0);
    assert_close((double)*(float *)swg_weights_value(weights, 0), .9, 0, 1e-6);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* b is read whole by the product of every row panel; the product's reader may not write over it panel by panel. */
static void panels_do_not_write_over_what_others_read(void **state) {
    swg_context *ctx = *state;
    enum { ROWS = 97, COLUMNS = 64 };
    double result[2] = {0, 0};
    for (int no_fusion = 0; no_fusion < 2; no_fusion++) {
        swg_graph *g;
        swg_plan *plan;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = no_fusion ? SWG_F64 : SWG_F32}, &g));
        swg_value x = swg_random_uniform(g, "x", 2, SHAPE(ROWS, ROWS)), b = swg_random_uniform(g, "b", 2, SHAPE(ROWS, COLUMNS));
        swg_value y = swg_mul(g, b, swg_matmul(g, x, b, NULL)), total = swg_mean(g, y, 0);
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &total, .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
        assert_ok(ctx, swg_plan_run(plan, 1, 0));
        result[no_fusion] = no_fusion ? *(double *)swg_plan_data(plan, total) : (double)*(float *)swg_plan_data(plan, total);
        swg_plan_destroy(plan);
        swg_graph_destroy(g);
    }
    assert_close(result[0], result[1], 0, 1e-6);
}

static void refused(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, SHAPE(3), (swg_init){.bound = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    swg_value loss = swg_sum(g, swg_square(g, w), 0), norm = swg_adam(g, loss, hyper, NULL);
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1, .frozen = true}, &plan), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "frozen"));
    assert_null(plan);
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.output_count = 1}, &plan), SWG_EINVAL);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, false, &weights)); /* without gradients and moments */
    assert_int_equal(swg_plan_open(plan, weights, NULL), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "training"));
    swg_weights_destroy(weights);
    assert_int_equal(swg_adam(g, loss, hyper, NULL), SWG_NONE);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "already"));
    swg_graph_destroy(g);
    /* the plan stands on its own, but not on weights of another type or of a parameter of another name */
    static const struct { const char *name; swg_dtype dtype; } others[] = {{"w", SWG_F64}, {"v", SWG_F32}};
    for (int i = 0; i < 2; i++) {
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = others[i].dtype}, &g));
        swg_param(g, others[i].name, 1, SHAPE(3), (swg_init){.bound = 1});
        assert_ok(ctx, swg_weights_create(g, true, &weights));
        assert_int_equal(swg_plan_open(plan, weights, NULL), SWG_EINVAL);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
    swg_plan_destroy(plan);
    /* a parameter made after the loss is named */
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    w = swg_param(g, "w", 1, SHAPE(3), (swg_init){.bound = 1});
    hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    loss = swg_sum(g, w, 0);
    swg_param(g, "late", 1, SHAPE(3), (swg_init){.bound = 1});
    swg_adam(g, loss, hyper, NULL);
    assert_int_equal(swg_graph_status(g), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "late"));
    swg_graph_destroy(g);
}

/* Plans that share an arena, and plans opened again. */
static void hosts(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_plan *plain, *guest, *frozen;
    swg_weights *weights;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, SHAPE(50, 20)), y = swg_linear(g, x, 30, "fc");
    swg_plan_opts opts = {.outputs = &y, .output_count = 1};
    assert_ok(ctx, swg_plan_make(g, &opts, &plain));
    assert_ok(ctx, swg_plan_make(g, &opts, &guest));
    opts.frozen = true;
    assert_ok(ctx, swg_plan_make(g, &opts, &frozen));
    assert_ok(ctx, swg_weights_create(g, false, &weights));
    swg_weights_init(weights, 1);
    assert_int_equal(swg_plan_open(guest, weights, plain), SWG_EINVAL); /* the host is not open yet */
    assert_ok(ctx, swg_plan_open(frozen, weights, NULL));
    assert_int_equal(swg_plan_open(guest, weights, frozen), SWG_EINVAL); /* its packed weights would be lost */
    assert_ok(ctx, swg_plan_open(guest, weights, NULL));
    uint64_t bytes = swg_context_bytes(ctx);
    assert_ok(ctx, swg_plan_open(guest, weights, NULL)); /* again: nothing new */
    assert_int_equal(swg_context_bytes(ctx), bytes);
    assert_ok(ctx, swg_plan_open(plain, weights, NULL));
    assert_ok(ctx, swg_plan_open(guest, weights, plain)); /* gives its own arena back */
    assert_int_equal(swg_context_bytes(ctx), bytes);
    swg_plan *const plans[] = {plain, guest, frozen};
    float result[3];
    for (int p = 0; p < 3; p++) {
        for (int i = 0; i < 1000; i++)
            ((float *)swg_plan_data(plans[p], x))[i] = (float)(i % 13) - 6;
        assert_ok(ctx, swg_plan_run(plans[p], 0, 0));
        result[p] = ((float *)swg_plan_data(plans[p], y))[1499];
    }
    assert_true(result[0] == result[1] && result[0] == result[2]);
    swg_plan_destroy(guest);
    swg_plan_destroy(plain);
    swg_plan_destroy(frozen);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

/* ---- groups, micro-batches, averages ---- */

/* loss = sum(a * u) + sum(b * v) + sum(c * u): a and c long enough for several stretches of the update, b for none. */
enum { LONG = 40001, SHORT = 3, GROUPS = 3 };
typedef struct linear_model {
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value hyper, u, v, norm;
} linear_model;

static void linear_open(swg_context *ctx, swg_dtype dtype, const swg_update_opts *opts, bool grouped, linear_model *m) {
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &m->g));
    const swg_init init = {.bound = 1};
    m->u = swg_input(m->g, "u", 1, SHAPE(LONG));
    m->v = swg_input(m->g, "v", 1, SHAPE(SHORT));
    m->hyper = swg_input(m->g, "hyper", 2, SHAPE(opts->groups ? opts->groups : 1, SWG_HYPER_COUNT));
    swg_value a = swg_param(m->g, "a.weight", 1, SHAPE(LONG), init), b = swg_param(m->g, "b.bias", 1, SHAPE(SHORT), init);
    swg_value c = swg_param(m->g, "c.weight", 1, SHAPE(LONG), init);
    swg_value loss = swg_add(m->g, swg_sum(m->g, swg_mul(m->g, a, m->u), 0), swg_sum(m->g, swg_mul(m->g, b, m->v), 0));
    m->norm = swg_update(m->g, swg_add(m->g, loss, swg_sum(m->g, swg_mul(m->g, c, m->u), 0)), m->hyper, opts);
    assert_ok(ctx, swg_plan_make(m->g, &(swg_plan_opts){.outputs = &m->norm, .output_count = 1}, &m->plan));
    assert_ok(ctx, swg_weights_create(m->g, true, &m->weights));
    swg_weights_init(m->weights, 7);
    int matched;
    if (grouped) {
        assert_ok(ctx, swg_weights_group(m->weights, "*.bias", 1, &matched));
        assert_int_equal(matched, 1);
        assert_ok(ctx, swg_weights_group(m->weights, "c.*", 2, &matched));
        assert_ok(ctx, swg_weights_group(m->weights, "none*", 2, &matched));
        assert_int_equal(matched, 0);
    }
    assert_ok(ctx, swg_plan_open(m->plan, m->weights, NULL));
    assert_int_equal(swg_plan_memory_of(m->plan).peak_bytes, swg_plan_memory_of(m->plan).arena_bytes + swg_weights_bytes(m->weights));
}

static void linear_close(linear_model *m) {
    swg_plan_destroy(m->plan);
    swg_weights_destroy(m->weights);
    swg_graph_destroy(m->g);
}

static double uneven(int64_t i, int micro) { return (double)((i * 37 + micro * 11) % 101 - 50) / 32; }

static void put_number(void *data, swg_dtype dtype, int64_t i, double value) {
    if (dtype == SWG_F64)
        ((double *)data)[i] = value;
    else
        ((float *)data)[i] = (float)value;
}

static double number(const void *data, swg_dtype dtype, int64_t i) {
    return dtype == SWG_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void linear_fill(linear_model *m, swg_dtype dtype, int micro) {
    for (int64_t i = 0; i < LONG; i++)
        put_number(swg_plan_data(m->plan, m->u), dtype, i, uneven(i, micro));
    for (int64_t i = 0; i < SHORT; i++)
        put_number(swg_plan_data(m->plan, m->v), dtype, i, uneven(i + 5, micro));
}

static void *row_of(linear_model *m, swg_dtype dtype, int group) {
    return (char *)swg_plan_data(m->plan, m->hyper) + (size_t)(group * SWG_HYPER_COUNT) * (dtype == SWG_F64 ? sizeof(double) : sizeof(float));
}

static const swg_update_opts kinds[] = {
    {.kind = SWG_UPDATE_ADAM, .clip = true}, {.kind = SWG_UPDATE_ADAMW, .amsgrad = true}, {.kind = SWG_UPDATE_SGD},
    {.kind = SWG_UPDATE_SGD, .momentum = true, .clip = true}, {.kind = SWG_UPDATE_SGD, .momentum = true, .nesterov = true}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void fill_group(linear_model *m, swg_dtype dtype, const swg_update_opts *opts, int group, double scale, double *b1, double *b2) {
    static const double lr[GROUPS] = {.1, .02, .05}, decay[GROUPS] = {.01, 0, .3};
    if (opts->kind == SWG_UPDATE_SGD)
        swg_hyper_sgd(&(swg_sgd_hyper){.lr = lr[group], .momentum = .9, .weight_decay = decay[group], .clip_norm = 20, .grad_scale = scale},
                      dtype, row_of(m, dtype, group));
    else
        swg_hyper_adam(&(swg_adam_hyper){.lr = lr[group], .beta1 = .9, .beta2 = .99, .eps = 1e-4, .weight_decay = decay[group], .clip_norm = 20,
                                         .grad_scale = scale}, b1, b2, dtype, row_of(m, dtype, group));
}

/* Two updates; the weights, in f64, into values. */
static void grouped_run(swg_context *ctx, const swg_update_opts *kind, swg_dtype dtype, double *values) {
    linear_model m;
    swg_update_opts opts = *kind;
    opts.groups = GROUPS;
    linear_open(ctx, dtype, &opts, true, &m);
    double b1[GROUPS] = {1, 1, 1}, b2[GROUPS] = {1, 1, 1};
    for (int step = 0; step < 2; step++) {
        for (int group = 0; group < GROUPS; group++)
            fill_group(&m, dtype, &opts, group, 1, &b1[group], &b2[group]);
        linear_fill(&m, dtype, step);
        assert_ok(ctx, swg_plan_run(m.plan, 0, 0));
    }
    for (int64_t i = 0; i < LONG; i++) {
        values[i] = number(swg_weights_value(m.weights, 0), dtype, i);
        values[LONG + i] = number(swg_weights_value(m.weights, 2), dtype, i);
    }
    for (int64_t i = 0; i < SHORT; i++)
        values[2 * LONG + i] = number(swg_weights_value(m.weights, 1), dtype, i);
    linear_close(&m);
}

/* Every kind: fast kernels agree with the reference, and threads do not matter. Where decay and slope nearly cancel, Adam
 * takes a whole step in a direction that is mostly rounding: 1e-5 of weights of about 1. */
static void groups_have_their_own_numbers(void **state) {
    swg_context *ctx = *state;
    static double truth[2 * LONG + SHORT], fast[2][2 * LONG + SHORT];
    for (int k = 0; k < KINDS; k++) {
        grouped_run(ctx, &kinds[k], SWG_F64, truth);
        for (int t = 0; t < 2; t++) {
            swg_context *own;
            assert_ok(ctx, swg_context_open(&(swg_context_opts){.threads = t ? 3 : 1}, &own));
            grouped_run(own, &kinds[k], SWG_F32, fast[t]);
            swg_context_close(own);
        }
        for (int64_t i = 0; i < 2 * LONG + SHORT; i++)
            assert_close(fast[0][i], truth[i], 1e-5, 0);
        assert_memory_equal(fast[0], fast[1], sizeof fast[0]);
        assert_true(fast[0][LONG + 1] != fast[0][1]); /* same slope, other numbers */
    }
}

static void groups_that_do_not_fit(void **state) {
    swg_context *ctx = *state;
    linear_model m;
    linear_open(ctx, SWG_F32, &(swg_update_opts){.groups = 2}, false, &m);
    int matched;
    assert_int_equal(swg_weights_group(m.weights, "*", 2, &matched), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "there are 2"));
    assert_int_equal(swg_weights_group(m.weights, "*", -1, &matched), SWG_EINVAL);
    swg_weights *other;
    swg_plan *plan;
    assert_ok(ctx, swg_weights_create(m.g, true, &other));
    assert_ok(ctx, swg_weights_group(other, "c*", 5, &matched)); /* no plan is open yet */
    assert_int_equal(swg_plan_open(m.plan, other, NULL), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "c.weight"));
    swg_weights_destroy(other);
    linear_close(&m);
    /* Weights of SGD have no moments for Adam. */
    linear_model sgd, adam;
    linear_open(ctx, SWG_F32, &kinds[2], false, &sgd);
    assert_null(swg_weights_moment1(sgd.weights, 0));
    assert_null(swg_weights_moment2(sgd.weights, 0));
    assert_int_equal(swg_weights_bytes(sgd.weights), 2 * sgd.g->span * 4);
    linear_open(ctx, SWG_F32, &kinds[1], false, &adam);
    assert_non_null(swg_weights_moment2_largest(adam.weights, 0));
    assert_ok(ctx, swg_plan_make(adam.g, &(swg_plan_opts){.outputs = &adam.norm, .output_count = 1}, &plan));
    assert_int_equal(swg_plan_open(plan, sgd.weights, NULL), SWG_EINVAL);
    assert_non_null(strstr(swg_context_message(ctx), "another optimiser"));
    swg_plan_destroy(plan);
    linear_close(&sgd);
    linear_close(&adam);
    /* Words that do not go together. */
    static const swg_update_opts wrong[] = {{.kind = SWG_UPDATE_SGD, .amsgrad = true}, {.kind = SWG_UPDATE_ADAM, .momentum = true},
                                            {.kind = SWG_UPDATE_SGD, .nesterov = true}, {.groups = -1}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value w = swg_param(g, "w", 1, SHAPE(3), (swg_init){.bound = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
        assert_int_equal(swg_update(g, swg_sum(g, w, 0), hyper, &wrong[i]), SWG_NONE);
        assert_int_equal(swg_graph_status(g), SWG_EINVAL);
        swg_graph_destroy(g);
    }
}

/* Three micro-batches of weights 1, 1 and 0.25, twice: what comes out is what one run with the sum of the slopes gives. The first of the
 * second group replaces what the first group left. Slopes and weights are such that f32 sums are exact. */
static void micro_batches(void **state) {
    swg_context *ctx = *state;
    static const double weight[3] = {1, 1, 0.25};
    for (int k = 0; k < 2 * KINDS; k++) {
        const swg_dtype dtype = k & 1 ? SWG_F64 : SWG_F32;
        swg_update_opts opts = kinds[k / 2];
        linear_model whole, parts;
        linear_open(ctx, dtype, &opts, false, &whole);
        opts.accumulate = true;
        linear_open(ctx, dtype, &opts, false, &parts);
        double b1[2] = {1, 1}, b2[2] = {1, 1};
        for (int group = 0; group < 2; group++) {
            double before = number(swg_weights_value(parts.weights, 0), dtype, 17);
            fill_group(&whole, dtype, &opts, 0, 1 / 2.25, &b1[0], &b2[0]);
            fill_group(&parts, dtype, &opts, 0, 1 / 2.25, &b1[1], &b2[1]);
            for (int micro = 0; micro < 3; micro++) {
                assert_close(number(swg_weights_value(parts.weights, 0), dtype, 17), before, 0, 0);
                linear_fill(&parts, dtype, 3 * group + micro);
                swg_hyper_micro(micro == 0, micro == 2, weight[micro], dtype, row_of(&parts, dtype, 0));
                assert_ok(ctx, swg_plan_run(parts.plan, 0, 0));
            }
            for (int part = 0; part < 2; part++)
                for (int64_t i = 0; i < (part ? SHORT : LONG); i++) {
                    double sum = 0;
                    for (int micro = 0; micro < 3; micro++)
                        sum += weight[micro] * uneven(part ? i + 5 : i, 3 * group + micro);
                    put_number(swg_plan_data(whole.plan, part ? whole.v : whole.u), dtype, i, sum);
                }
            assert_ok(ctx, swg_plan_run(whole.plan, 0, 0));
            assert_close(number(swg_plan_data(parts.plan, parts.norm), dtype, 0), number(swg_plan_data(whole.plan, whole.norm), dtype, 0), 0, 0);
            for (int i = 0; i < 3; i++)
                assert_memory_equal(swg_weights_value(parts.weights, i), swg_weights_value(whole.weights, i),
                                    (size_t)(i == 1 ? SHORT : LONG) * (dtype == SWG_F64 ? sizeof(double) : sizeof(float)));
        }
        linear_close(&whole);
        linear_close(&parts);
    }
}

static void averages(void **state) {
    swg_context *ctx = *state;
    for (int k = 0; k < 2; k++) {
        const swg_dtype dtype = k ? SWG_F64 : SWG_F32;
        linear_model m;
        swg_weights *mean, *other;
        swg_graph *g;
        linear_open(ctx, dtype, &kinds[0], false, &m);
        assert_ok(ctx, swg_weights_create(m.g, false, &mean));
        swg_weights_init(mean, 8);
        double from = number(swg_weights_value(m.weights, 2), dtype, LONG - 1), to = number(swg_weights_value(mean, 2), dtype, LONG - 1);
        assert_ok(ctx, swg_weights_blend(mean, m.weights, 0.25));
        assert_close(number(swg_weights_value(mean, 2), dtype, LONG - 1), to + 0.25 * (from - to), k ? 1e-15 : 1e-7, 0);
        assert_close(number(swg_weights_value(m.weights, 2), dtype, LONG - 1), from, 0, 0);
        assert_ok(ctx, swg_weights_blend(mean, m.weights, 1));
        for (int64_t i = 0; i < LONG; i++)
            assert_close(number(swg_weights_value(mean, 0), dtype, i), number(swg_weights_value(m.weights, 0), dtype, i), k ? 1e-15 : 1e-7, 0);
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
        swg_param(g, "a.weight", 1, SHAPE(LONG), (swg_init){0});
        assert_ok(ctx, swg_weights_create(g, false, &other));
        assert_int_equal(swg_weights_blend(mean, other, 0.5), SWG_EINVAL);
        swg_weights_destroy(other);
        swg_graph_destroy(g);
        swg_weights_destroy(mean);
        linear_close(&m);
    }
}

/* ---- the update in passes ---- */

enum { WIDE = 40000, UPDATES = 5 };

/* Weights and second moments after a few updates; w moves towards x with a gradient that is clipped. */
static void updates(const swg_update_opts *opts, bool separate, int threads, float *out, int *steps) {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    double b1 = 1, b2 = 1;
    assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value w = swg_param(g, "w", 1, SHAPE(WIDE), (swg_init){.bound = 1}), hyper = swg_input(g, "hyper", 1, SHAPE(SWG_HYPER_COUNT));
    swg_value x = swg_input(g, "x", 1, SHAPE(WIDE));
    swg_value norm = swg_update(g, swg_reshape(g, swg_sum(g, swg_square(g, swg_sub(g, w, x)), 0), 1, SHAPE(1)), hyper, opts);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1, .separate_update = separate}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 3);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    for (int i = 0; i < WIDE; i++)
        ((float *)swg_plan_data(plan, x))[i] = sinf((float)i);
    for (uint32_t i = 0; i < UPDATES; i++) {
        const swg_adam_hyper numbers = {.lr = .05, .beta1 = .9, .beta2 = .99, .eps = 1e-8, .weight_decay = .1, .clip_norm = 2, .grad_scale = i == 2 ? NAN : 1};
        swg_hyper_adam(&numbers, &b1, &b2, SWG_F32, swg_plan_data(plan, hyper));
        assert_ok(ctx, swg_plan_run(plan, 0, i));
    }
    memcpy(out, weights->value, WIDE * sizeof *out);
    memcpy(out + WIDE, weights->moment2, WIDE * sizeof *out);
    *steps = swg_plan_steps(plan);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
    assert_int_equal(swg_context_bytes(ctx), 0);
    swg_context_close(ctx);
}

static void update_in_passes(void **state) {
    (void)state;
    static float fused[2 * WIDE], passes[2 * WIDE], again[2 * WIDE];
    static const swg_update_opts both[] = {{.kind = SWG_UPDATE_ADAM, .clip = true}, {.kind = SWG_UPDATE_ADAMW, .clip = true, .amsgrad = true}};
    for (size_t k = 0; k < 2; k++) {
        int one, four, same;
        updates(&both[k], false, 1, fused, &one);
        updates(&both[k], true, 1, passes, &four);
        updates(&both[k], true, 3, again, &same);
        assert_int_equal(four, one + 3);
        assert_memory_equal(passes, again, sizeof passes);
        for (int i = 0; i < 2 * WIDE; i++)
            assert_close((double)passes[i], (double)fused[i], 1e-6, 1e-5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_in_passes),
        cmocka_unit_test_setup_teardown(every_gradient_has_its_place, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(outputs_see_the_weights_before, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(panels_do_not_write_over_what_others_read, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(groups_have_their_own_numbers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(groups_that_do_not_fit, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(micro_batches, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(averages, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(hosts, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
