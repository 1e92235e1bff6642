/* test_golden_cyto_vit.c - proves: masked autoencoders and image world models compute, differentiate and train as in PyTorch, where they were built
 * from the formulas (vectors made in f64): results, losses, norms, every gradient, the teacher after ten steps of AdamW; cross-attention and plain
 * decoders, the published weigher, context, fixed positions, 2-D, domains and none.
 * SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"
#include "philox.h"
#include "cpu.h"
#include "swage/cyto_vit.h"
#include "swage/plan.h"

enum { SEED = 42, STEPS = 10, MOST = 4 };

/* As in make_cyto_vit.py. */
#define VOLUME(blocks) {.dims = 3, .extent = {4, 8, 8}, .patch = 2, .width = 16, .depth = blocks, .heads = 1}
#define FLAT(blocks) {.dims = 2, .extent = {12, 8}, .patch = 2, .width = 16, .depth = blocks, .heads = 2, .fixed_positions = true}
#define DECODER(blocks) .mask_ratio = .75, .decoder_width = 24, .decoder_heads = 4, .decoder_depth = blocks
#define PREDICTOR .target_ratio = .9, .predictor_width = 8, .predictor_heads = 1, .predictor_depth = 1
static const struct network { const char *file, *name; bool iwm; swg_mae mae; swg_iwm world; } networks[] = {
    {.file = "cyto_mae.safetensors", .name = "cross", .mae = {.vit = VOLUME(2), DECODER(1)}},
    {.file = "cyto_mae.safetensors", .name = "plain", .mae = {.vit = VOLUME(2), DECODER(2), .plain = true}},
    {.file = "cyto_mae.safetensors", .name = "published", .mae = {.vit = VOLUME(2), DECODER(1), .weigher_published = true}},
    {.file = "cyto_mae.safetensors", .name = "flat", .mae = {.vit = FLAT(3), DECODER(2), .context = 1}},
    {.file = "cyto_iwm.safetensors", .name = "iwm", .iwm = true, .world = {.vit = VOLUME(1), PREDICTOR, .domains = 2}},
    {.file = "cyto_iwm.safetensors", .name = "ijepa", .iwm = true, .world = {.vit = FLAT(2), PREDICTOR}},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

typedef struct trainer {
    swg_context *ctx;
    const struct network *n;
    swg_safetensors *file;
    swg_dtype dtype;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, target, scores, domain, momentum, hyper, loss, norm, result[MOST];
    const char *result_name[MOST];
    int results;
    int64_t batch;
    double b1, b2;
} trainer;

static uint32_t stream_of(const char *name) {
    char text[256];
    snprintf(text, sizeof text, "golden:%s", name);
    return swg__fnv1a(text);
}

/* Uniform in [0, 1). */
static float drawn(uint32_t stream, int64_t i) { return swg__uniform(swg__philox(SEED, (uint64_t)i / 4, 0, stream).w[i % 4]); }

static int64_t elements_of(const swg_weights *w, int parameter) {
    int64_t count = 1;
    for (int d = 0; d < swg_weights_ndim(w, parameter); d++)
        count *= swg_weights_shape(w, parameter)[d];
    return count;
}

static bool ends(const char *name, const char *with) {
    size_t length = strlen(name), tail = strlen(with);
    return length >= tail && strcmp(name + length - tail, with) == 0;
}

/* As in make_cyto_vit.py; the teacher is a copy of the encoder, whose parameters come first. */
static void draw_weights(swg_weights *w, swg_dtype dtype) {
    for (int p = 0; p < swg_weights_count(w); p++) {
        const char *name = swg_weights_name(w, p);
        const int ndim = swg_weights_ndim(w, p);
        const int64_t count = elements_of(w, p);
        const bool one = ndim == 1 && ends(name, "weight");
        const double bound = one ? .3 : ndim == 1 ? .2 : 1 / sqrt((double)(count / swg_weights_shape(w, p)[0]));
        const uint32_t stream = stream_of(name);
        for (int64_t i = 0; i < count; i++) {
            const double value = (double)((float)one + (float)bound * (2 * drawn(stream, i) - 1));
            set_element(swg_weights_value(w, p), dtype, i, value);
            if (p < swg_weights_states(w))
                set_element(swg_weights_state(w, p), dtype, i, value);
        }
    }
}

static void draw_input(trainer *t, swg_value v, const char *name) {
    void *data = swg_plan_data(t->plan, v);
    for (int64_t i = 0; data && i < swg_elements(t->g, v); i++)
        set_element(data, t->dtype, i, (double)drawn(stream_of(name), i));
}

static void add_result(trainer *t, const char *name, swg_value v) {
    t->result_name[t->results] = name;
    t->result[t->results++] = v;
}

static void build(trainer *t) {
    const swg_vit *vit = t->n->iwm ? &t->n->world.vit : &t->n->mae.vit;
    const int64_t shape[5] = {t->batch, 1, vit->extent[0], vit->extent[1], vit->extent[2]};
    t->x = swg_input(t->g, "x", 2 + vit->dims, shape);
    t->scores = swg_input(t->g, "scores", 2, (int64_t[]){t->batch, swg_vit_tokens(vit)});
    if (t->n->iwm) {
        swg_iwm_result out;
        t->target = swg_input(t->g, "target", 2 + vit->dims, shape);
        t->momentum = swg_input(t->g, "momentum", 1, (int64_t[]){1});
        t->domain = t->n->world.domains ? swg_input(t->g, "domain", 2, (int64_t[]){t->batch, t->n->world.domains}) : SWG_NONE;
        swg_iwm_apply(t->g, t->x, t->target, t->scores, t->domain, t->momentum, &t->n->world, &out);
        add_result(t, "predicted", out.predicted);
        add_result(t, "teacher", out.teacher);
        t->loss = out.loss;
    } else {
        swg_mae_result out;
        swg_mae_apply(t->g, t->x, t->scores, &t->n->mae, &out);
        add_result(t, "patches", out.patches);
        add_result(t, "image", out.image);
        add_result(t, "filled", out.filled);
        add_result(t, "mask", out.mask);
        t->loss = out.loss;
    }
}

static void open_trainer(trainer *t, swg_context *ctx, const struct network *n, swg_dtype dtype, bool bf16) {
    char key[256];
    *t = (trainer){.ctx = ctx, .n = n, .file = golden_open(ctx, n->file), .dtype = dtype, .b1 = 1, .b2 = 1};
    t->batch = strtoll(swg_safetensors_note(t->file, "batch"), NULL, 10);
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &t->g));
    build(t);
    t->hyper = swg_input(t->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    t->norm = swg_adam(t->g, t->loss, t->hyper, &(swg_adam_opts){.decoupled = true, .clip = true});
    swg_value outputs[MOST + 2];
    memcpy(outputs, t->result, sizeof t->result);
    outputs[t->results] = t->loss;
    outputs[t->results + 1] = t->norm;
    snprintf(key, sizeof key, "%s.parameters", n->name);
    assert_int_equal(swg_graph_parameters(t->g), strtoll(swg_safetensors_note(t->file, key), NULL, 10));
    assert_ok(ctx, swg_plan_make(t->g, &(swg_plan_opts){.outputs = outputs, .output_count = t->results + 2, .bf16 = bf16}, &t->plan));
    assert_ok(ctx, swg_weights_create(t->g, true, &t->weights));
    draw_weights(t->weights, dtype);
    assert_ok(ctx, swg_plan_open(t->plan, t->weights, NULL));
    draw_input(t, t->x, "x");
    draw_input(t, t->target, "target");
    draw_input(t, t->scores, "scores");
    for (int64_t i = 0; t->domain && i < t->batch; i++) {
        set_element(swg_plan_data(t->plan, t->domain), dtype, 2 * i, i % 2 == 0);
        set_element(swg_plan_data(t->plan, t->domain), dtype, 2 * i + 1, i % 2 == 1);
    }
}

static void close_trainer(trainer *t) {
    swg_plan_destroy(t->plan);
    swg_weights_destroy(t->weights);
    swg_graph_destroy(t->g);
    swg_safetensors_close(t->file);
}

static void step(trainer *t, int number) {
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .05, .clip_norm = .05, .grad_scale = 1}, &t->b1,
                   &t->b2, t->dtype, swg_plan_data(t->plan, t->hyper));
    if (t->momentum)
        set_element(swg_plan_data(t->plan, t->momentum), t->dtype, 0, .9 + .01 * number);
    assert_ok(t->ctx, swg_plan_run(t->plan, SEED, (uint32_t)number));
}

static const swg_tensor *golden_of(const trainer *t, const char *prefix, const char *name) {
    char key[256];
    snprintf(key, sizeof key, "%s.%s%s", t->n->name, prefix, name);
    return golden_get(t->file, key);
}

/* The samples of "<network>.<prefix><name>" against `got`, within `allowed` of the largest, or of `floor`. */
static void compare(const trainer *t, const char *prefix, const char *name, const void *got, double allowed, double floor) {
    char note[300];
    const swg_tensor *want = golden_of(t, prefix, name);
    snprintf(note, sizeof note, "stride.%s.%s%s", t->n->name, prefix, name);
    const int64_t stride = strtoll(swg_safetensors_note(t->file, note), NULL, 10);
    const double scale = fmax(golden_largest(want), floor);
    assert_non_null(got);
    for (int64_t i = 0; i < golden_count(want); i++) {
        const double a = element(got, t->dtype, i * stride), b = golden_at(want, i);
        if (!(fabs(a - b) <= allowed * scale))
            fail_msg("%s, %s: element %lld is %.12g, expected %.12g (gap %.3g, allowed %.3g)", note, t->dtype == SWG_F64 ? "f64" : "f32",
                     (long long)(i * stride), a, b, fabs(a - b), allowed * scale);
    }
}

static void compare_gradients(const trainer *t, double allowed) {
    double largest = 0;
    for (int i = 0; i < swg_weights_count(t->weights); i++)
        largest = fmax(largest, golden_largest(golden_of(t, "grad.", swg_weights_name(t->weights, i))));
    for (int i = 0; i < swg_weights_count(t->weights); i++) {
        const char *name = swg_weights_name(t->weights, i);
        double squares = 0;
        compare(t, "grad.", name, swg_weights_gradient(t->weights, i), allowed, 1e-3 * largest);
        for (int64_t e = 0; e < elements_of(t->weights, i); e++)
            squares += pow(element(swg_weights_gradient(t->weights, i), t->dtype, e), 2);
        assert_close(sqrt(squares), golden_at(golden_of(t, "gradnorm.", name), 0), allowed * 1e-3 * largest * sqrt((double)elements_of(t->weights, i)), allowed);
    }
}

/* Allowed gaps: values and gradients of the first step as parts of the largest; losses, norms and teacher of the later ones. */
static void follow(swg_context *ctx, const struct network *n, swg_dtype dtype, double values, double gradients, double later) {
    trainer t;
    char key[64];
    open_trainer(&t, ctx, n, dtype, false);
    snprintf(key, sizeof key, "%s.curve", n->name);
    const swg_tensor *curve = golden_get(t.file, key);
    for (int s = 0; s < STEPS; s++) {
        step(&t, s);
        assert_close(element(swg_plan_data(t.plan, t.loss), dtype, 0), golden_at(curve, 2 * s), 0, s ? later : values);
        assert_close(element(swg_plan_data(t.plan, t.norm), dtype, 0), golden_at(curve, 2 * s + 1), 0, 10 * (s ? later : values));
        if (s)
            continue;
        for (int i = 0; i < t.results; i++)
            compare(&t, "", t.result_name[i], swg_plan_data(t.plan, t.result[i]), values, 0);
        compare_gradients(&t, gradients);
    }
    assert_int_equal(swg_weights_states(t.weights) > 0, n->iwm);
    for (int i = 0; i < swg_weights_states(t.weights); i++)
        compare(&t, "", swg_weights_state_name(t.weights, i), swg_weights_state(t.weights, i), 10 * later, 0);
    close_trainer(&t);
}

/* Only the stored f32 of results, gradients and states stands between the two. */
static void as_in_f64(void **state) {
    for (int n = 0; n < NETWORKS; n++)
        follow(*state, &networks[n], SWG_F64, 2e-7, 4e-7, 1e-8);
}

static void on_every_instruction_set(void **state) {
    (void)state;
    for (int isa = TESTING_SLOW ? (int)swg__isa_best() : 0; isa <= (int)swg__isa_best(); isa++)
        for (int n = 0; n < NETWORKS; n++) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            follow(ctx, &networks[n], SWG_F32, 1e-5, 1e-4, 1e-4);
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
        }
}

/* Under autocast the losses stay within 2e-2 of those in f64. */
static void in_bf16(void **state) {
    for (int n = 0; n < NETWORKS; n++) {
        trainer t;
        char key[64];
        open_trainer(&t, *state, &networks[n], SWG_F32, true);
        snprintf(key, sizeof key, "%s.curve", networks[n].name);
        for (int s = 0; s < STEPS; s++) {
            step(&t, s);
            assert_close(element(swg_plan_data(t.plan, t.loss), SWG_F32, 0), golden_at(golden_get(t.file, key), 2 * s), 0, 2e-2);
        }
        close_trainer(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_in_f64, testing_open, testing_close),
        cmocka_unit_test(on_every_instruction_set),
        cmocka_unit_test_setup_teardown(in_bf16, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
