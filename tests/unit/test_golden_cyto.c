/* test_golden_cyto.c - proves: dynamic U-Nets, one and many heads, compute, differentiate and train as in PyTorch where they were written from the
 * formulas (vectors made in f64): results, losses, every gradient, ten steps; so does the super-resolution GAN as one graph and one update, against
 * two optimisers in the published order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden_net.h"
#include "context.h"
#include "cpu.h"
#include "swage/cyto.h"

enum { STEPS = TESTING_SLOW ? 2 : 10, MOST = 8 };

/* What a step makes; values[] are results, terms[] what a row of "curve" holds. */
typedef struct trainer {
    swg_context *ctx;
    swg_dtype dtype;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value result[MOST], term[MOST], hyper, norm;
    int results, terms, groups;
} trainer;

/* ---- images ---- */

typedef enum content { UNIT, SYMMETRIC, MASK } content;

/* x in [0, 1), or [-1, 1); masks where it is above 0.6, of several channels the one with the largest. */
static void draw(const trainer *t, swg_value v, const char *name, content what) {
    uint32_t stream = golden_stream(name);
    const int64_t *shape = swg_shape(t->g, v), count = swg_elements(t->g, v), channels = shape[1], inner = count / shape[0] / channels;
    void *data = swg_plan_data(t->plan, v);
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++) {
        float u = golden_drawn(stream, i);
        bool largest = u > .6F;
        if (what == MASK && channels > 1) {
            int64_t first = i / (channels * inner) * channels * inner + i % inner, best = 0;
            for (int64_t c = 1; c < channels; c++)
                if (golden_drawn(stream, first + c * inner) > golden_drawn(stream, first + best * inner))
                    best = c;
            largest = i / inner % channels == best;
        }
        set_element(data, t->dtype, i, what == MASK ? (double)largest : what == SYMMETRIC ? 2 * (double)u - 1 : (double)u);
    }
}

/* The stream that the file says, for `name` of a case. */
static const char *stream_of(const swg_safetensors *file, const char *of, const char *name) {
    char key[256];
    const char *note = swg_safetensors_note(file, golden_key(key, of, name));
    assert_non_null(note);
    return note;
}

/* ---- a training run ---- */

static trainer begin(swg_context *ctx, swg_dtype dtype, int groups) {
    trainer t = {.ctx = ctx, .dtype = dtype, .groups = groups};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &t.g));
    t.hyper = swg_input(t.g, "hyper", 2, (int64_t[]){groups, SWG_HYPER_COUNT});
    return t;
}

static void open_trainer(trainer *t, swg_value loss) {
    swg_value outputs[2 * MOST + 1];
    t->norm = swg_update(t->g, loss, t->hyper, &(swg_update_opts){.groups = t->groups});
    memcpy(outputs, t->result, (size_t)t->results * sizeof *outputs);
    memcpy(outputs + t->results, t->term, (size_t)t->terms * sizeof *outputs);
    outputs[t->results + t->terms] = t->norm;
    assert_ok(t->ctx, swg_graph_status(t->g));
    assert_ok(t->ctx, swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = t->results + t->terms + 1}, &t->plan));
    assert_ok(t->ctx, swg_weights_create(t->g, true, &t->weights));
    golden_draw_weights(t->weights, t->dtype);
    if (t->groups > 1) {
        int matched;
        assert_ok(t->ctx, swg_weights_group(t->weights, "discriminator.*", 1, &matched));
        assert_true(matched > 0);
    }
    assert_ok(t->ctx, swg_plan_open(t->plan, t->weights, NULL));
}

static void end(trainer *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
}

/* adam: one per group. values, gradients, later: what may be off in the first step's results and losses, its gradients, and later losses. */
static void follow(trainer *t, const swg_safetensors *file, const char *name, const swg_adam_hyper *adam, const char *const *keys, double values,
                   double gradients, double later) {
    char key[256], prefix[64];
    double b1[2] = {1, 1}, b2[2] = {1, 1};
    const swg_tensor *curve = golden_find(file, name, "curve");
    assert_non_null(curve);
    assert_int_equal(golden_count(curve), 10 * t->terms);
    bool slow = t->ctx->isa < swg__isa_best() || (t->dtype == SWG_F64 && swg_graph_parameters(t->g) > 100000); /* only reference kernels */
    int steps = slow && STEPS > 3 ? 3 : STEPS;
    for (int s = 0; s < steps; s++) {
        for (int i = 0; i < t->groups; i++)
            swg_hyper_adam(&adam[i], &b1[i], &b2[i], t->dtype,
                           (char *)swg_plan_data(t->plan, t->hyper) + i * SWG_HYPER_COUNT * (t->dtype == SWG_F64 ? 8 : 4));
        assert_ok(t->ctx, swg_plan_run(t->plan, GOLDEN_SEED, (uint32_t)s));
        for (int i = 0; i < t->terms; i++) {
            double got = element(swg_plan_data(t->plan, t->term[i]), t->dtype, 0), want = golden_at(curve, t->terms * s + i);
            if (!(fabs(got - want) <= (s ? later : values) * fabs(want)))
                fail_msg("%s, %s: loss %d of step %d is %.12g, expected %.12g", name, t->dtype == SWG_F64 ? "f64" : "f32", i, s, got, want);
        }
        if (s)
            continue;
        for (int i = 0; i < t->results; i++) {
            golden_key(key, name, keys[i]);
            golden_compare(file, key, swg_plan_data(t->plan, t->result[i]), t->dtype, values * golden_largest(golden_get(file, key)));
        }
        snprintf(prefix, sizeof prefix, "%s.", name);
        golden_compare_gradients(t->weights, file, prefix, t->dtype, gradients);
    }
}

/* ---- U-Nets ---- */

static const struct unet {
    const char *name;
    int ndim;
    int64_t shape[5];
    swg_dynunet model;
    swg_cyto_head heads[2];     /* no name: "output" */
    bool segments[2];           /* Dice + cross entropy, else mean squares */
    int count;
} unets[] = {
    {"volume", 5, {1, 1, 8, 16, 16}, {.levels = 3}, {{NULL, 1}}, {true}, 1},
    {"plane", 4, {2, 1, 32, 32}, {.levels = 3}, {{NULL, 1}}, {false}, 1},
    {"heads", 4, {2, 2, 16, 24}, {.levels = 4, .filters = {4, 6, 8, 10}, .strides = {1, 2, 1, 2}}, {{"nuclei", 1}, {"dye", 2}}, {true, false}, 2},
    {"plain", 5, {2, 1, 6, 6, 6}, {.levels = 2, .filters = {6, 8}, .strides = {1, 3}, .out = 3, .plain = true}, {{NULL, 3}}, {true}, 1},
};
enum { UNETS = sizeof unets / sizeof *unets };

static void unet(swg_context *ctx, const struct unet *u, swg_dtype dtype, double values, double gradients, double later) {
    swg_safetensors *file = golden_open(ctx, "cyto_unet.safetensors");
    trainer t = begin(ctx, dtype, 1);
    swg_value x = swg_input(t.g, "x", u->ndim, u->shape), target[2], total = SWG_NONE;
    if (u->heads[0].name)
        swg_dynunet_heads(t.g, x, &u->model, u->heads, u->count, t.result);
    else
        t.result[0] = swg_dynunet_apply(t.g, x, &u->model);
    t.results = u->count;
    for (int i = 0; i < u->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "target%d", i);
        target[i] = swg_input(t.g, name, u->ndim, swg_shape(t.g, t.result[i]));
        swg_dice_ce_terms terms;
        swg_value loss = u->segments[i] ? swg_loss_dice_ce(t.g, t.result[i], target[i], &terms) : swg_loss_mse(t.g, t.result[i], target[i]);
        t.term[t.terms++] = u->segments[i] ? terms.dice : loss;
        if (u->segments[i])
            t.term[t.terms++] = terms.ce;
        total = total ? swg_add(t.g, total, loss) : loss;
    }
    t.term[t.terms++] = total;
    open_trainer(&t, total);
    char note[64], parameters[32];
    snprintf(parameters, sizeof parameters, "%lld", (long long)swg_graph_parameters(t.g));
    snprintf(note, sizeof note, "%s.parameters", u->name);
    assert_string_equal(parameters, swg_safetensors_note(file, note));
    draw(&t, x, stream_of(file, u->name, "x"), UNIT);
    for (int i = 0; i < u->count; i++) {
        snprintf(note, sizeof note, "target%d", i);
        draw(&t, target[i], note, u->segments[i] ? MASK : UNIT);
    }
    const swg_adam_hyper adam = {.lr = 3e-4, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1};
    follow(&t, file, u->name, &adam, (const char *[]){"result0", "result1"}, values, gradients, later);
    end(&t);
    swg_safetensors_close(file);
}

/* ---- GANs ---- */

static const struct gan {
    const char *name;
    int ndim;
    int64_t shape[5], target[5];
    swg_gan model;
} gans[] = {
    {"published", 5, {1, 1, 4, 8, 8}, {1, 1, 16, 32, 32}, {.discriminator = {.layers = 1}}},
    {"scales", 4, {2, 1, 12, 16}, {2, 1, 50, 60}, {.discriminator = {.layers = 2, .filters = 4, .scales = 2}}},
};
enum { GANS = sizeof gans / sizeof *gans };

static void gan(swg_context *ctx, const struct gan *c, swg_dtype dtype, double values, double gradients, double later) {
    swg_safetensors *file = golden_open(ctx, "cyto_gan.safetensors");
    trainer t = begin(ctx, dtype, 2);
    swg_gan_losses l;
    swg_value source = swg_input(t.g, "source", c->ndim, c->shape), target = swg_input(t.g, "target", c->ndim, c->target);
    t.result[t.results++] = swg_gan_apply(t.g, source, target, &c->model, &l);
    const swg_value terms[] = {l.real, l.fake, l.adversarial, l.matching, l.reconstruction, l.generator, l.discriminator};
    t.terms = sizeof terms / sizeof *terms;
    memcpy(t.term, terms, sizeof terms);
    open_trainer(&t, l.total);
    draw(&t, source, stream_of(file, c->name, "source"), MASK);
    draw(&t, target, "target", SYMMETRIC);
    const swg_adam_hyper adam[2] = {{.lr = 1e-4, .beta1 = .5, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1},
                                    {.lr = 2e-4, .beta1 = .5, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .grad_scale = 1}};
    follow(&t, file, c->name, adam, (const char *[]){"fake"}, values, gradients, later);
    end(&t);
    swg_safetensors_close(file);
}

/* ---- all of them ---- */

/* Only the stored f32 of results and gradients stands between the two. Builds that run slowly take the narrow networks. */
static void as_in_f64(void **state) {
    for (int i = TESTING_SLOW ? 2 : 0; i < UNETS; i++)
        unet(*state, &unets[i], SWG_F64, 2e-7, 4e-7, 1e-9);
    for (int i = TESTING_SLOW ? 1 : 0; i < GANS; i++)
        gan(*state, &gans[i], SWG_F64, 2e-7, 4e-7, 1e-9);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++) {
        swg_context *ctx;
        assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
        for (int i = 0; i < UNETS; i++)
            unet(ctx, &unets[i], SWG_F32, 2e-5, 2e-4, 5e-4);
        for (int i = 0; i < GANS; i++)
            gan(ctx, &gans[i], SWG_F32, 2e-5, 2e-4, 5e-4);
        assert_int_equal(swg_context_bytes(ctx), 0);
        swg_context_close(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
