/* test_golden_optim.c - proves: six updates by SGD (momentum, Nesterov), Adam and AdamW (amsgrad), with parameter groups and clipping,
 * give the weights PyTorch 2.13 gives, in f64 to 1e-13 and in f32 to 2e-6.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "swage/plan.h"

enum { STEPS = 6, PARAMS = 4 };
static const char *const params[PARAMS] = {"fc.weight", "fc.bias", "out.weight", "out.bias"};

static double number(const swg_safetensors *file, const char *name, const char *attribute, double otherwise) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", name, attribute);
    const char *text = swg_safetensors_note(file, key);
    return text ? strtod(text, NULL) : otherwise;
}

static void fill_row(const swg_safetensors *file, const char *name, bool bias, bool sgd, double *b1, double *b2, swg_dtype dtype, void *row) {
    double lr = number(file, name, "lr", 0) * (bias ? number(file, name, "bias_lr", 1) : 1), decay = number(file, name, "weight_decay", 0);
    decay = bias ? number(file, name, "bias_decay", decay) : decay;
    double clip = number(file, name, "max_norm", 0);
    if (sgd)
        swg_hyper_sgd(&(swg_sgd_hyper){.lr = lr, .momentum = number(file, name, "momentum", 0), .weight_decay = decay, .clip_norm = clip,
                                       .grad_scale = 1}, dtype, row);
    else
        swg_hyper_adam(&(swg_adam_hyper){.lr = lr, .beta1 = number(file, name, "beta1", 0), .beta2 = number(file, name, "beta2", 0),
                                         .eps = 1e-8, .weight_decay = decay, .clip_norm = clip, .grad_scale = 1}, b1, b2, dtype, row);
}

static void run_case(swg_context *ctx, const swg_safetensors *file, const char *name, swg_dtype dtype) {
    char key[128];
    snprintf(key, sizeof key, "%s.kind", name);
    const char *kind = swg_safetensors_note(file, key);
    assert_non_null(kind);
    const bool sgd = strcmp(kind, "sgd") == 0;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value slope[PARAMS], loss = SWG_NONE;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
    for (int i = 0; i < PARAMS; i++) {
        snprintf(key, sizeof key, "start.%s", params[i]);
        const swg_tensor *t = golden_get(file, key);
        snprintf(key, sizeof key, "slope%d", i);
        slope[i] = swg_input(g, key, t->ndim, t->shape);
        swg_value p = swg_param(g, params[i], t->ndim, t->shape, (swg_init){0});
        swg_value part = swg_reshape(g, swg_sum(g, swg_mul(g, p, slope[i]), 0), 1, (int64_t[]){1});
        loss = loss ? swg_add(g, loss, part) : part;
    }
    swg_value hyper = swg_input(g, "hyper", 2, (int64_t[]){2, SWG_HYPER_COUNT});
    swg_value norm = swg_update(g, loss, hyper, &(swg_update_opts){
        .kind = sgd ? SWG_UPDATE_SGD : strcmp(kind, "adamw") == 0 ? SWG_UPDATE_ADAMW : SWG_UPDATE_ADAM, .groups = 2,
        .momentum = number(file, name, "momentum", 0) > 0, .nesterov = number(file, name, "nesterov", 0) > 0,
        .amsgrad = number(file, name, "amsgrad", 0) > 0, .clip = number(file, name, "max_norm", 0) > 0});
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    int matched;
    assert_ok(ctx, swg_weights_group(weights, "*.bias", 1, &matched));
    assert_int_equal(matched, 2);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    for (int i = 0; i < PARAMS; i++) {
        snprintf(key, sizeof key, "start.%s", params[i]);
        fill(swg_weights_value(weights, i), dtype, golden_get(file, key));
    }
    double b1 = 1, b2 = 1;
    for (int step = 0; step < STEPS; step++) {
        char *row = swg_plan_data(plan, hyper);
        double bias1 = b1, bias2 = b2;
        fill_row(file, name, false, sgd, &b1, &b2, dtype, row);
        fill_row(file, name, true, sgd, &bias1, &bias2, dtype, row + SWG_HYPER_COUNT * (dtype == SWG_F64 ? sizeof(double) : sizeof(float)));
        for (int i = 0; i < PARAMS; i++) {
            snprintf(key, sizeof key, "grad%d.%s", step, params[i]);
            fill(swg_plan_data(plan, slope[i]), dtype, golden_get(file, key));
        }
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        for (int i = 0; i < PARAMS; i++) {
            snprintf(key, sizeof key, "%s.%d.%s", name, step, params[i]);
            const swg_tensor *want = golden_get(file, key);
            for (int64_t e = 0; e < golden_count(want); e++) {
                double got = element(swg_weights_value(weights, i), dtype, e), gap = fabs(got - golden_at(want, e));
                if (!(gap <= (dtype == SWG_F64 ? 1e-13 : 2e-6)))
                    fail_msg("%s, element %lld: %.17g, expected %.17g", key, (long long)e, got, golden_at(want, e));
            }
        }
    }
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void updates(void **state) {
    swg_context *ctx = *state;
    swg_safetensors *file = golden_open(ctx, "optim.safetensors");
    char names[1024], *save = NULL;
    assert_non_null(swg_safetensors_note(file, "cases"));
    snprintf(names, sizeof names, "%s", swg_safetensors_note(file, "cases"));
    int count = 0;
    for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save), count++) {
        run_case(ctx, file, name, SWG_F64);
        run_case(ctx, file, name, SWG_F32);
    }
    assert_int_equal(count, 11);
    swg_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(updates, testing_open, testing_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
