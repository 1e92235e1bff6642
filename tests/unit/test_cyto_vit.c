/* test_cyto_vit.c - proves: masked autoencoder, image world model and I-JEPA have the parameters, multiply-adds and shapes of cyto.md, section 3, in
 * 2-D and 3-D; masks hold what they should, as a function of seed, epoch and sample; all blocks learn, but the last one where the published
 * weigher is asked for; the teacher starts as the student, moves in training before it is used, and not in validation; recomputed blocks leave the
 * same bits; what does not fit is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "testing.h"
#include "swage/cyto_vit.h"
#include "plan/plan.h"
#include "train/schedule.h"

/* ---- the tables of the specification ---- */

typedef struct part { const char *scope; int64_t parameters, macs; } part;   /* macs -1: the specification has none */

static void compare_rows(swg_context *ctx, const char *name, const part *rows, int count, swg_layers *layers) {
    for (int i = 0; i < count; i++) {
        const swg_layer got = swg_layers_below(layers, rows[i].scope);
        if (got.parameters != rows[i].parameters || (rows[i].macs >= 0 && got.macs != rows[i].macs))
            fail_msg("%s, \"%s\": %lld parameters, %lld multiply-adds; expected %lld and %lld", name, rows[i].scope, (long long)got.parameters,
                     (long long)got.macs, (long long)rows[i].parameters, (long long)rows[i].macs);
    }
    swg_layers_free(ctx, layers);
}

static void mae_rows(void **state) {
    static const part cross[] = {
        {"encoder/class_token", 16, 0}, {"encoder/patch", 144, 65536}, {"encoder/position", 8192, 0}, {"encoder/block0", 3232, 928800},
        {"encoder/block1", 3232, 928800}, {"encoder/norm", 32, 0}, {"encoder/weigher", 64 + 3, 0}, {"encoder", 14915, 1923136},
        {"decoder/embed", 3264, 396288}, {"decoder/embed_norm", 384, 0}, {"decoder/mask_token", 192, 0}, {"decoder/position", 98496, 0},
        {"decoder/block0", 444288, -1}, {"decoder/norm", 384, 0}, {"decoder/head", 1544, 589824}, {"decoder", 548552, 171076608}, {"", 563467, 172999744},
    }, plain[] = {{"encoder", 14915, 1923136}, {"decoder/position", 98304, 0}, {"decoder/block0", 444288, -1}, {"decoder", 548360, -1}},
    flat[] = {{"encoder/patch", 16 * 4 + 16, -1}, {"encoder/position", 64 * 16, 0}, {"encoder/block1", 3232, -1},
              {"decoder/position", 65 * 192, 0}, {"decoder/head", 192 * 4 + 4, 48 * 192 * 4}, {"", 80 + 1024 + 16 + 6464 + 32 + 67 + 3264 + 384 + 192 + 12480 + 444288 + 384 + 772, -1}},
    fixed[] = {{"encoder", 14915 - 8192, -1}, {"decoder", 548552 - 98496, 171076608}};
    swg_context *ctx = *state;
    swg_layers layers;
    swg_mae model = swg_mae_published(3), image = swg_mae_published(2);
    assert_int_equal(swg_vit_tokens(&model.vit), 512);
    assert_int_equal(swg_mae_visible(&model), 128);
    assert_int_equal(swg_vit_tokens(&image.vit), 64);
    assert_ok(ctx, swg_mae_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "cross", cross, 17, &layers);
    assert_ok(ctx, swg_mae_layers(ctx, &image, 1, &layers));
    compare_rows(ctx, "2-D", flat, 6, &layers);
    model.plain = true;
    assert_ok(ctx, swg_mae_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "plain", plain, 4, &layers);
    model.plain = false;
    model.vit.fixed_positions = true;
    assert_ok(ctx, swg_mae_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "fixed", fixed, 2, &layers);
}

static void iwm_rows(void **state) {
    static const part rows[] = {
        {"encoder/patch", 144, 65536}, {"encoder/position", 8192, 0}, {"encoder/block0", 3232, 52 * 3072 + 52 * 52 * 32}, {"encoder/norm", 32, 0},
        {"encoder", 11600, -1}, {"predictor/embed", 136, 52 * 128}, {"predictor/domain", 8, 0}, {"predictor/mixer", 136, 52 * 128},
        {"predictor/mask_token", 8, 0}, {"predictor/position", 4096, 0}, {"predictor/block0", 848, -1}, {"predictor/norm", 16, 0},
        {"predictor/out", 144, 460 * 128}, {"predictor", 5392, -1}, {"teacher", 0, 65536 + 512 * 3072 + 512 * 512 * 32}, {"", 16992, -1},
    }, ijepa[] = {{"encoder", 11600, -1}, {"predictor", 5248, -1}},
    flat[] = {{"encoder", 80 + 1024 + 3232 + 32, -1}, {"predictor", 5392 - 4096 + 512, -1}};
    swg_context *ctx = *state;
    swg_layers layers;
    swg_iwm model = swg_iwm_published(3, false);
    assert_int_equal(swg_iwm_targets(&model), 460);
    assert_ok(ctx, swg_iwm_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "iwm", rows, 16, &layers);
    model = swg_iwm_published(3, true);
    assert_ok(ctx, swg_iwm_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "ijepa", ijepa, 2, &layers);
    model = swg_iwm_published(2, false);
    assert_ok(ctx, swg_iwm_layers(ctx, &model, 1, &layers));
    compare_rows(ctx, "2-D", flat, 2, &layers);
}

/* ---- masks ---- */

static void rectangles(void **state) {
    (void)state;
    static const struct { double aspect; int64_t y, x; } want[] = {{.5, 8, 2}, {1, 4, 4}, {1.5, 2, 6}};
    const swg_iwm model = swg_iwm_published(3, false);
    for (int i = 0; i < 3; i++) {
        int64_t extent[2];
        swg_iwm_rectangle(&model, want[i].aspect, extent);
        assert_int_equal(extent[0], want[i].y);
        assert_int_equal(extent[1], want[i].x);
    }
}

static int64_t zeros(const float *scores, int64_t count) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_true(scores[i] == 0 || scores[i] == 1);
        found += scores[i] == 0;
    }
    return found;
}

/* Exactly 460 of 512; the same again, another one elsewhere; every token is context somewhere; context clusters, as what rectangles leave does. */
static void block_masks(void **state) {
    swg_context *ctx = *state;
    enum { SAMPLES = 2000 };
    swg_iwm model = swg_iwm_published(3, false), flat = swg_iwm_published(2, false);
    float scores[512], again[512];
    int64_t context[512] = {0}, beside = 0, different = 0;
    for (uint32_t s = 0; s < SAMPLES; s++) {
        assert_ok(ctx, swg_iwm_block_mask(ctx, &model, 12345, s % 7, s, scores));
        assert_int_equal(zeros(scores, 512), 460);
        assert_ok(ctx, swg_iwm_block_mask(ctx, &model, 12345, s % 7, s, again));
        assert_memory_equal(scores, again, sizeof scores);
        assert_ok(ctx, swg_iwm_block_mask(ctx, &model, s % 2 ? 12345 : 12346, s % 7 + (s % 4 == 1), s + (s % 4 == 3), again));
        different += memcmp(scores, again, sizeof scores) != 0;
        for (int i = 0; i < 512; i++) {
            context[i] += scores[i] > 0;
            beside += scores[i] > 0 && i >= 64 && scores[i - 64] > 0; /* the plane before */
        }
    }
    assert_int_equal(different, SAMPLES);
    assert_true((double)beside > .3 * 52 * 7. / 8 * SAMPLES); /* of independent tokens it would be a tenth */
    int64_t least = SAMPLES, most = 0;
    for (int i = 0; i < 512; i++) {
        least = context[i] < least ? context[i] : least;
        most = context[i] > most ? context[i] : most;
    }
    assert_true(least > 0 && most < SAMPLES * 3 / 5); /* corners are covered least */
    for (uint32_t s = 0; s < 50; s++) {
        assert_ok(ctx, swg_iwm_block_mask(ctx, &flat, 1, 0, s, scores));
        assert_int_equal(zeros(scores, 64), 57);
    }
    flat.vit.extent[0] = 4; /* rectangles are higher than the grid of 2 x 8 */
    assert_ok(ctx, swg_iwm_block_mask(ctx, &flat, 1, 0, 0, scores));
    assert_int_equal(zeros(scores, 16), 14);
    flat.target_ratio = .99;
    assert_ok(ctx, swg_iwm_block_mask(ctx, &flat, 1, 0, 0, scores));
    assert_int_equal(zeros(scores, 16), 15);
    flat.target_ratio = 1;
    assert_int_equal(swg_iwm_block_mask(ctx, &flat, 1, 0, 0, scores), SWG_EINVAL);
    flat.target_ratio = .01;
    assert_int_equal(swg_iwm_block_mask(ctx, &flat, 1, 0, 0, scores), SWG_EINVAL);
    model.vit.extent[0] = 4096;
    assert_int_equal(swg_iwm_block_mask(ctx, &model, 1, 0, 0, scores), SWG_EINVAL);
}

static void random_scores(void **state) {
    (void)state;
    float scores[512], again[512];
    double sum = 0;
    for (uint32_t s = 0; s < 100; s++) {
        swg_mae_scores(12345, 3, s, 512, scores);
        swg_mae_scores(12345, 3, s, 512, again);
        assert_memory_equal(scores, again, sizeof scores);
        swg_mae_scores(12345, 4, s, 512, again);
        assert_memory_not_equal(scores, again, sizeof scores);
        for (int i = 0; i < 512; i++) {
            assert_true(scores[i] >= 0 && scores[i] < 1);
            sum += (double)scores[i];
        }
    }
    assert_close(sum / 51200, .5, .01, 0);
}

/* ---- running ---- */

enum { TOKENS = 32, MOST_OUTPUTS = 8, BATCH = 3 };

/* 4 x 8 x 8 voxels, tokens 2 x 4 x 4. */
static swg_mae small_mae(void) {
    swg_mae model = swg_mae_published(3);
    model.vit.extent[0] = 4;
    model.vit.extent[1] = model.vit.extent[2] = 8;
    model.decoder_width = 24;
    model.decoder_heads = 4;
    return model;
}

static swg_iwm small_iwm(void) {
    swg_iwm model = swg_iwm_published(3, false);
    model.vit = small_mae().vit;
    model.vit.depth = 1;
    return model;
}

typedef struct runner {
    swg_context *ctx;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *weights;
    swg_value x, target, scores, hyper, momentum, norm;
    swg_mae_result mae;
    swg_iwm_result iwm;
} runner;

static void fill_random(float *data, int64_t count, uint32_t seed) {
    for (int64_t i = 0; data && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

/* Either model; training or not, sharing weights if given. */
static void open_runner(runner *r, swg_context *ctx, const swg_mae *mae, const swg_iwm *iwm, bool training, swg_weights *weights, swg_plan_opts opts) {
    swg_value outputs[MOST_OUTPUTS];
    int count = 0;
    const swg_vit *vit = mae ? &mae->vit : &iwm->vit;
    const int64_t shape[5] = {BATCH, 1, vit->extent[0], vit->extent[1], vit->extent[2]};
    *r = (runner){.ctx = ctx};
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = !training}, &r->g));
    r->x = swg_input(r->g, "x", 2 + vit->dims, shape);
    r->scores = swg_input(r->g, "scores", 2, (int64_t[]){BATCH, swg_vit_tokens(vit)});
    if (iwm) {
        r->target = swg_input(r->g, "target", 2 + vit->dims, shape);
        r->momentum = training ? swg_input(r->g, "momentum", 1, (int64_t[]){1}) : SWG_NONE;
        swg_iwm_apply(r->g, r->x, r->target, r->scores, SWG_NONE, r->momentum, iwm, &r->iwm);
        outputs[count++] = r->iwm.loss;
        outputs[count++] = r->iwm.predicted;
        outputs[count++] = r->iwm.teacher;
    } else {
        swg_mae_apply(r->g, r->x, r->scores, mae, &r->mae);
        const swg_value all[] = {r->mae.loss, r->mae.patches, r->mae.image, r->mae.filled, r->mae.mask};
        memcpy(outputs, all, sizeof all);
        count = 5;
    }
    if (training) {
        r->hyper = swg_input(r->g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        r->norm = swg_adam(r->g, outputs[0], r->hyper, &(swg_adam_opts){.decoupled = true, .clip = true});
        outputs[count++] = r->norm;
    }
    opts.outputs = outputs;
    opts.output_count = count;
    assert_ok(ctx, swg_plan_make(r->g, &opts, &r->plan));
    if (weights) {
        r->weights = weights;
    } else {
        assert_ok(ctx, swg_weights_create(r->g, training, &r->weights));
        swg_weights_init(r->weights, 7);
    }
    assert_ok(ctx, swg_plan_open(r->plan, r->weights, NULL));
    fill_random(swg_plan_data(r->plan, r->x), swg_elements(r->g, r->x), 1);
    fill_random(swg_plan_data(r->plan, r->target), swg_elements(r->g, r->target), 2);
    float *scores = swg_plan_data(r->plan, r->scores);
    for (uint32_t s = 0; s < BATCH && scores; s++) /* NULL where nothing is masked */
        if (iwm)
            assert_ok(ctx, swg_iwm_block_mask(ctx, iwm, 5, 0, s, scores + s * swg_vit_tokens(vit)));
        else
            swg_mae_scores(5, 0, s, swg_vit_tokens(vit), scores + s * swg_vit_tokens(vit));
}

static void run(runner *r, double momentum, double lr) {
    double b1 = 1, b2 = 1;
    if (r->hyper)
        swg_hyper_adam(&(swg_adam_hyper){.lr = lr, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .05, .clip_norm = 10, .grad_scale = 1}, &b1, &b2,
                       SWG_F32, swg_plan_data(r->plan, r->hyper));
    if (r->momentum)
        *(float *)swg_plan_data(r->plan, r->momentum) = (float)momentum;
    assert_ok(r->ctx, swg_plan_run(r->plan, 3, 0));
}

static void close_runner(runner *r, bool weights) {
    swg_plan_destroy(r->plan);
    if (weights)
        swg_weights_destroy(r->weights);
    swg_graph_destroy(r->g);
}

static float number(const runner *r, swg_value v) { return *(const float *)swg_plan_data(r->plan, v); }

static int64_t elements_of(const swg_weights *w, int i) { return swg__shape_elements(swg_weights_ndim(w, i), swg_weights_shape(w, i)); }

/* Largest gradient below a scope. */
static double gradient_below(swg_weights *w, const char *scope) {
    double largest = 0;
    bool found = false;
    for (int i = 0; i < swg_weights_count(w); i++) {
        const float *gradient = swg_weights_gradient(w, i);
        if (strncmp(swg_weights_name(w, i), scope, strlen(scope)) != 0)
            continue;
        found = true;
        for (int64_t e = 0; e < elements_of(w, i); e++)
            largest = fmax(largest, fabs((double)gradient[e]));
    }
    assert_true(found);
    return largest;
}

/* Mistake 7 of the original; and that it can be had again. */
static void last_block_learns(void **state) {
    swg_context *ctx = *state;
    for (int plain = 0; plain < 2; plain++)
        for (int published = 0; published < 2; published++) {
            swg_mae model = small_mae();
            model.plain = plain;
            model.weigher_published = published;
            runner r;
            open_runner(&r, ctx, &model, NULL, true, NULL, (swg_plan_opts){0});
            run(&r, 0, 1e-4);
            assert_true(isfinite(number(&r, r.mae.loss)) && isfinite(number(&r, r.norm)));
            assert_true(gradient_below(r.weights, "encoder.block0") > 1e-8);
            if (published)
                assert_true(gradient_below(r.weights, "encoder.block1") == 0);
            else
                assert_true(gradient_below(r.weights, "encoder.block1") > 1e-8);
            for (int i = 0; i < swg_weights_count(r.weights); i++)
                if (!published || strncmp(swg_weights_name(r.weights, i), "encoder.block1", 14) != 0)
                    if (!(gradient_below(r.weights, swg_weights_name(r.weights, i)) > 0))
                        fail_msg("%s, %s: no gradient", plain ? "plain" : "cross", swg_weights_name(r.weights, i));
            close_runner(&r, true);
        }
}

/* Counts of the mask; whole patches; the loss is that of the masked voxels; what is filled in. */
static void results(void **state) {
    swg_context *ctx = *state;
    for (int form = 0; form < 4; form++) {
        swg_mae model = form & 1 ? swg_mae_published(2) : small_mae();
        model.plain = form & 2;
        runner r;
        open_runner(&r, ctx, &model, NULL, false, NULL, (swg_plan_opts){0});
        run(&r, 0, 0);
        const float *x = swg_plan_data(r.plan, r.x), *image = swg_plan_data(r.plan, r.mae.image), *filled = swg_plan_data(r.plan, r.mae.filled);
        const float *mask = swg_plan_data(r.plan, r.mae.mask), *patches = swg_plan_data(r.plan, r.mae.patches), *scores = swg_plan_data(r.plan, r.scores);
        const int64_t voxels = swg_elements(r.g, r.x) / BATCH, tokens = swg_vit_tokens(&model.vit), *e = model.vit.extent;
        const int last = model.vit.dims - 1;
        double sum = 0, masked = 0;
        for (int64_t s = 0; s < BATCH; s++)
            for (int64_t v = 0; v < voxels; v++) {
                const int64_t i = s * voxels + v, c = v % e[last], b = v / e[last] % e[last - 1], a = v / e[last] / e[last - 1];
                const int64_t token = (a / 2 * (e[last - 1] / 2) + b / 2) * (e[last] / 2) + c / 2;
                const int64_t within = (model.vit.dims == 3 ? a % 2 * 4 : 0) + b % 2 * 2 + c % 2, patch = model.vit.dims == 3 ? 8 : 4;
                int64_t smaller = 0;
                for (int64_t t = 0; t < tokens; t++)
                    smaller += scores[s * tokens + t] < scores[s * tokens + token];
                const bool hidden = smaller >= swg_mae_visible(&model);
                assert_true(mask[i] == (float)hidden);
                assert_true(image[i] == patches[(s * tokens + token) * patch + within]);
                assert_true(filled[i] == (hidden ? image[i] : x[i]));
                assert_true(hidden || model.plain || image[i] == 0);
                assert_true(!hidden || image[i] != 0);
                sum += hidden ? pow((double)image[i] - (double)x[i], 2) : 0;
                masked += hidden;
            }
        assert_true(masked == BATCH * .75 * (double)voxels);
        assert_close((double)number(&r, r.mae.loss), sum / masked, 0, 1e-5);
        close_runner(&r, true);
    }
}

/* The mean over all voxels then, of the plain decoder. */
static void nothing_masked(void **state) {
    swg_mae model = small_mae();
    model.plain = true;
    model.mask_ratio = 0;
    runner r;
    open_runner(&r, *state, &model, NULL, true, NULL, (swg_plan_opts){0});
    run(&r, 0, 0);
    const float *x = swg_plan_data(r.plan, r.x), *image = swg_plan_data(r.plan, r.mae.image), *mask = swg_plan_data(r.plan, r.mae.mask);
    double sum = 0;
    for (int64_t i = 0; i < swg_elements(r.g, r.x); i++) {
        assert_true(mask[i] == 0);
        sum += pow((double)image[i] - (double)x[i], 2) / (double)swg_elements(r.g, r.x);
    }
    assert_close((double)number(&r, r.mae.loss), sum, 0, 1e-5);
    assert_true(gradient_below(r.weights, "decoder.mask_token") == 0 && gradient_below(r.weights, "encoder.position") > 0);
    close_runner(&r, true);
}

/* With context what lies in masked voxels does not reach a visible token; without, neither. What lies in visible ones does. */
static void masked_voxels_unseen(void **state) {
    for (int context = 0; context < 2; context++) {
        swg_mae model = small_mae();
        model.context = context;
        runner r;
        open_runner(&r, *state, &model, NULL, false, NULL, (swg_plan_opts){0});
        float *x = swg_plan_data(r.plan, r.x), first[BATCH * TOKENS * 8];
        run(&r, 0, 0);
        memcpy(first, swg_plan_data(r.plan, r.mae.patches), sizeof first);
        const float *mask = swg_plan_data(r.plan, r.mae.mask);
        for (int64_t i = 0; i < swg_elements(r.g, r.x); i++)
            x[i] += mask[i];
        run(&r, 0, 0);
        assert_memory_equal(first, swg_plan_data(r.plan, r.mae.patches), sizeof first);
        for (int64_t i = 0; i < swg_elements(r.g, r.x); i++)
            x[i] += 1 - mask[i];
        run(&r, 0, 0);
        assert_memory_not_equal(first, swg_plan_data(r.plan, r.mae.patches), sizeof first);
        close_runner(&r, true);
    }
}

/* ---- features and fine-tuning ---- */

/* All parameters of the encoder come first, named alike, in features and in the segmentation network; so weights of the first go into the others. */
static void encoder_in_front(void **state) {
    swg_context *ctx = *state;
    for (int dims = 2; dims <= 3; dims++) {
        swg_graph *g[3];
        swg_weights *w[3];
        swg_plan *plan;
        const swg_mae model = swg_mae_published(dims);
        const int64_t shape[5] = {2, 1, 16, 16, 16};
        swg_value x[3], out[3];
        swg_mae_result result;
        for (int i = 0; i < 3; i++) {
            assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g[i]));
            x[i] = swg_input(g[i], "x", 2 + dims, shape);
            if (i == 0)
                swg_mae_apply(g[i], x[i], SWG_NONE, &model, &result);
            out[i] = i == 0 ? result.image : i == 1 ? swg_mae_encode(g[i], x[i], &model) : swg_mae_segment(g[i], x[i], &model, 16, 3);
            assert_ok(ctx, swg_graph_status(g[i]));
            assert_ok(ctx, swg_weights_create(g[i], false, &w[i]));
            swg_weights_init(w[i], 9);
        }
        int shared = 0;
        for (; shared < swg_weights_count(w[1]); shared++)
            for (int i = 0; i < 3; i += 2) {
                assert_string_equal(swg_weights_name(w[1], shared), swg_weights_name(w[i], shared));
                assert_memory_equal(swg_weights_value(w[1], shared), swg_weights_value(w[i], shared), (size_t)elements_of(w[1], shared) * sizeof(float));
            }
        assert_true(strncmp(swg_weights_name(w[0], shared), "decoder.", 8) == 0 && strncmp(swg_weights_name(w[2], shared), "head.", 5) == 0);
        const int64_t tokens = swg_vit_tokens(&model.vit), *features = swg_shape(g[1], out[1]), *logits = swg_shape(g[2], out[2]);
        assert_true(features[0] == 2 && features[1] == 1 + tokens && features[2] == 16 && swg_ndim(g[1], out[1]) == 3);
        assert_true(logits[0] == 2 && logits[1] == 3 && logits[2] == 16 && logits[1 + dims] == 16 && swg_ndim(g[2], out[2]) == 2 + dims);
        assert_ok(ctx, swg_plan_make(g[1], &(swg_plan_opts){.outputs = &out[1], .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, w[2], NULL));
        swg_plan_destroy(plan);
        assert_ok(ctx, swg_plan_make(g[2], &(swg_plan_opts){.outputs = &out[2], .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, w[2], NULL));
        float *image = swg_plan_data(plan, x[2]), *y = swg_plan_data(plan, out[2]), before[2];
        const int64_t voxels = dims == 3 ? 4096 : 256;
        fill_random(image, 2 * voxels, 4);
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        memcpy(before, (float[]){y[0], y[3 * voxels]}, sizeof before);
        image[voxels + 5] += 1; /* of the second image */
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        assert_true(y[0] == before[0] && y[3 * voxels] != before[1] && isfinite(y[3 * voxels]));
        swg_plan_destroy(plan);
        for (int i = 0; i < 3; i++) {
            swg_weights_destroy(w[i]);
            swg_graph_destroy(g[i]);
        }
    }
}

/* The row of an image is the mean of its tokens. */
static void embedding(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *w;
    swg_plan *plan;
    const swg_iwm model = small_iwm();
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
    swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 4, 8, 8}), row = swg_iwm_embed(g, x, &model);
    assert_true(swg_ndim(g, row) == 2 && swg_shape(g, row)[0] == 2 && swg_shape(g, row)[1] == 16);
    assert_int_equal(swg_graph_parameters(g), 144 + TOKENS * 16 + 3232 + 32);
    assert_ok(ctx, swg_weights_create(g, false, &w));
    assert_int_equal(swg_weights_states(w), 0);
    swg_weights_init(w, 9);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &row, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    fill_random(swg_plan_data(plan, x), 512, 4);
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const float *y = swg_plan_data(plan, row);
    double sum = 0;
    for (int i = 0; i < 16; i++)
        sum += (double)y[i];
    assert_close(sum, 0, 1e-5, 0); /* every token is normed, with weight 1 and bias 0 */
    assert_true(fabsf(y[0]) > 1e-3f && y[0] != y[16]);
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* ---- starts ---- */

/* Deviation of a normal cut at two: 0.8796. Uniform weights fill their bounds. */
static void starts(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    swg_weights *w;
    swg_mae_result result;
    const swg_mae model = swg_mae_published(3);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_mae_apply(g, swg_input(g, "x", 5, (int64_t[]){1, 1, 16, 16, 16}), SWG_NONE, &model, &result);
    assert_ok(ctx, swg_weights_create(g, false, &w));
    swg_weights_init(w, 12345);
    const struct { const char *name; double deviation, most, mean; } want[] = {
        {"encoder.position.weight", .02 * .879626, .04, 0}, {"decoder.position.weight", .02 * .879626, .04, 0},
        {"encoder.block0.attention.qkv.weight", .25 / sqrt(3), .25, 0}, {"encoder.block1.fc2.weight", .125 / sqrt(3), .125, 0},
        {"decoder.block0.attention.kv.weight", 1 / sqrt(192 * 3), 1 / sqrt(192), 0}, {"encoder.weigher.weight", 0, .5, .5},
        {"encoder.norm.weight", 0, 1, 1}, {"encoder.weigher.bias", 0, 0, 0}};
    for (size_t t = 0; t < sizeof want / sizeof *want; t++) {
        bool found = false;
        for (int i = 0; i < swg_weights_count(w); i++) {
            if (strcmp(swg_weights_name(w, i), want[t].name) != 0)
                continue;
            found = true;
            const float *v = swg_weights_value(w, i);
            double sum = 0, squares = 0, most = 0, count = (double)elements_of(w, i);
            for (int64_t e = 0; e < elements_of(w, i); e++) {
                sum += (double)v[e];
                squares += (double)v[e] * (double)v[e];
                most = fmax(most, fabs((double)v[e]));
            }
            const double mean = sum / count;
            assert_close(mean, want[t].mean, 4 * want[t].deviation / sqrt(count), 0);
            assert_close(sqrt(fmax(0, squares / count - mean * mean)), want[t].deviation, 0, .05);
            assert_true(most <= want[t].most * (1 + 1e-6) && most >= want[t].most * .97);
        }
        if (!found)
            fail_msg("there is no %s", want[t].name);
    }
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

/* ---- the teacher ---- */

static float *copy_states(const runner *r) {
    float *copy = calloc((size_t)r->weights->state_span, sizeof *copy);
    assert_non_null(copy);
    return memcpy(copy, r->weights->state, (size_t)r->weights->state_span * sizeof *copy);
}

/* Starts as the student, bit for bit; a step moves it towards what the student was before; so does the next, with what the first made of it. */
static void teacher_follows(void **state) {
    swg_context *ctx = *state;
    const swg_iwm model = small_iwm();
    const double momentum = .9;
    runner r;
    open_runner(&r, ctx, NULL, &model, true, NULL, (swg_plan_opts){0});
    const int count = swg_weights_states(r.weights);
    assert_int_equal(count, 2 + 1 + 11 + 2);
    for (int i = 0; i < count; i++) { /* the encoder's parameters come first, in the same order */
        assert_string_equal(swg_weights_name(r.weights, i) + strlen("encoder"), swg_weights_state_name(r.weights, i) + strlen("teacher"));
        assert_memory_equal(swg_weights_state(r.weights, i), swg_weights_value(r.weights, i), (size_t)elements_of(r.weights, i) * sizeof(float));
    }
    double farthest = 0;
    for (int step = 0; step < 3; step++) {
        float *was = copy_states(&r), *student = calloc((size_t)r.weights->span, sizeof *student);
        memcpy(student, r.weights->value, (size_t)r.weights->span * sizeof *student);
        run(&r, momentum, 1e-2);
        assert_true(isfinite(number(&r, r.iwm.loss)));
        for (int i = 0; i < count; i++)
            for (int64_t e = 0; e < elements_of(r.weights, i); e++) {
                const float t = was[r.weights->states[i].offset + e], s = student[r.weights->items[i].offset + e];
                const float moved = ((float *)swg_weights_state(r.weights, i))[e];
                assert_close((double)moved, momentum * (double)t + (1 - momentum) * (double)s, 2e-7, 2e-7);
                farthest = fmax(farthest, fabs((double)moved - (double)t));
            }
        assert_true(step ? farthest > 1e-4 : farthest == 0); /* in the first step it is where the student is */
        free(was);
        free(student);
    }
    close_runner(&r, true);
}

/* What the moved teacher makes is compared, not what the old one would: with momentum 0 it is the student of before the step. */
static void teacher_moves_first(void **state) {
    swg_context *ctx = *state;
    const swg_iwm model = small_iwm();
    runner r, fresh;
    open_runner(&r, ctx, NULL, &model, true, NULL, (swg_plan_opts){0});
    run(&r, 1, 1e-2);
    open_runner(&fresh, ctx, NULL, &model, true, NULL, (swg_plan_opts){0}); /* its teacher starts as the student that `r` has now */
    memcpy(fresh.weights->value, r.weights->value, (size_t)r.weights->span * sizeof(float));
    for (int i = 0; i < swg_weights_states(r.weights); i++)
        memcpy(swg_weights_state(fresh.weights, i), swg_weights_value(r.weights, i), (size_t)elements_of(r.weights, i) * sizeof(float));
    run(&r, 0, 1e-2);
    run(&fresh, 1, 1e-2);
    const float *a = swg_plan_data(r.plan, r.iwm.teacher), *b = swg_plan_data(fresh.plan, fresh.iwm.teacher);
    for (int64_t i = 0; i < swg_elements(r.g, r.iwm.teacher); i++)
        assert_close((double)a[i], (double)b[i], 1e-5, 0);
    close_runner(&fresh, true);
    close_runner(&r, true);
}

/* Mistake 9 of the original. Neither weights nor teacher: their bits. */
static void validation_leaves_teacher(void **state) {
    swg_context *ctx = *state;
    const swg_iwm model = small_iwm();
    runner r, validation;
    open_runner(&r, ctx, NULL, &model, true, NULL, (swg_plan_opts){0});
    run(&r, .5, 1e-2);
    run(&r, .5, 1e-2);
    open_runner(&validation, ctx, NULL, &model, false, r.weights, (swg_plan_opts){0});
    float *was = copy_states(&r), loss = 0;
    for (int i = 0; i < 3; i++) {
        run(&validation, 0, 0);
        assert_memory_equal(was, r.weights->state, (size_t)r.weights->state_span * sizeof *was);
        assert_true(i == 0 || number(&validation, validation.iwm.loss) == loss);
        loss = number(&validation, validation.iwm.loss);
    }
    run(&r, 1, 0); /* a training step that moves nothing computes the same, but for the order of sums */
    assert_close((double)loss, (double)number(&r, r.iwm.loss), 1e-6, 0);
    assert_memory_equal(was, r.weights->state, (size_t)r.weights->state_span * sizeof *was);
    free(was);
    close_runner(&validation, false);
    close_runner(&r, true);
}

/* A loss that is not finite moves neither. */
static void skipped_step_leaves_teacher(void **state) {
    const swg_iwm model = small_iwm();
    runner r;
    open_runner(&r, *state, NULL, &model, true, NULL, (swg_plan_opts){0});
    run(&r, .5, 1e-2);
    float *was = copy_states(&r);
    ((float *)swg_plan_data(r.plan, r.target))[3] = NAN;
    run(&r, .5, 1e-2);
    assert_true(!isfinite(number(&r, r.norm)));
    assert_memory_equal(was, r.weights->state, (size_t)r.weights->state_span * sizeof *was);
    free(was);
    close_runner(&r, true);
}

/* ---- plans ---- */

/* Blocks made again: the same gradients, bit for bit, and less memory at the peak of encoder and decoder. Mistake 2 of the original. */
static void recomputed(void **state) {
    swg_context *ctx = *state;
    for (int form = 0; form < 3; form++) {
        swg_mae mae = swg_mae_published(3);
        const swg_iwm iwm = swg_iwm_published(3, false);
        mae.plain = form == 1;
        mae.vit.depth = 4;
        mae.decoder_width = 32;
        runner kept, made;
        const swg_plan_opts off = {.recompute = {.policy = SWG_RECOMPUTE_OFF}}, blocks = {.recompute = {.policy = SWG_RECOMPUTE_BLOCKS}};
        open_runner(&kept, ctx, form < 2 ? &mae : NULL, form < 2 ? NULL : &iwm, true, NULL, off);
        open_runner(&made, ctx, form < 2 ? &mae : NULL, form < 2 ? NULL : &iwm, true, NULL, blocks);
        run(&kept, .5, 1e-3);
        run(&made, .5, 1e-3);
        assert_memory_equal(kept.weights->gradient, made.weights->gradient, (size_t)kept.weights->span * sizeof(float));
        if (kept.weights->state)
            assert_memory_equal(kept.weights->state, made.weights->state, (size_t)kept.weights->state_span * sizeof(float));
        if (form < 2)
            assert_true(swg_plan_memory_of(made.plan).arena_bytes < swg_plan_memory_of(kept.plan).arena_bytes);
        close_runner(&kept, true);
        close_runner(&made, true);
    }
}

/* Losses and norms stay f32; the rest moves by the rounding of bf16. */
static void in_bf16(void **state) {
    swg_context *ctx = *state;
    for (int form = 0; form < 3; form++) {
        swg_mae mae = small_mae();
        const swg_iwm iwm = small_iwm();
        mae.plain = form == 1;
        runner exact, half;
        open_runner(&exact, ctx, form < 2 ? &mae : NULL, form < 2 ? NULL : &iwm, true, NULL, (swg_plan_opts){0});
        open_runner(&half, ctx, form < 2 ? &mae : NULL, form < 2 ? NULL : &iwm, true, NULL, (swg_plan_opts){.bf16 = true});
        for (int step = 0; step < 10; step++) {
            run(&exact, .9, 1e-3);
            run(&half, .9, 1e-3);
            swg_value loss = form < 2 ? exact.mae.loss : exact.iwm.loss;
            assert_close((double)number(&half, loss), (double)number(&exact, loss), 0, 2e-2);
        }
        close_runner(&exact, true);
        close_runner(&half, true);
    }
}

/* ---- what is given to the trainer ---- */

static void schedule(void **state) {
    (void)state;
    const swg__schedule iwm = {.kind = SWG__LR_ONECYCLE, .lr = 3e-3, .total = 100, .rise = .1};
    static const struct { int64_t count; double lr; } want[] = {{0, 1.2e-4}, {5, 1.81005337584e-3}, {50, 1.7087648164e-3}, {99, 1.2e-8}};
    for (int i = 0; i < 4; i++)
        assert_close(swg__schedule_lr(&iwm, NULL, want[i].count), want[i].lr, 0, 1e-11);
    assert_close(swg_iwm_momentum(0, 100), .998, 0, 1e-15);
    assert_close(swg_iwm_momentum(50, 100), .999, 0, 1e-15);
    assert_close(swg_iwm_momentum(100, 100), 1, 0, 1e-15);
}

/* Two columns of sines and cosines per pair, axes side by side: 16 = 6 + 6 + 4. */
static void fixed_positions(void **state) {
    (void)state;
    double table[512 * 16];
    const swg_mae model = swg_mae_published(3);
    swg_vit_positions(&model.vit, 16, table);
    const int64_t at[3] = {3, 5, 6}, token = (at[0] * 8 + at[1]) * 8 + at[2];
    for (int c = 0; c < 16; c++) {
        const double angle = (double)at[c / 6] * pow(10000, -(double)(c % 6 / 2) / 3);
        assert_close(table[token * 16 + c], c % 2 ? cos(angle) : sin(angle), 1e-12, 0);
    }
}

/* ---- refusals ---- */

static void refuse(swg_context *ctx, swg_graph *g, const char *words, swg_status status) {
    assert_int_equal(swg_graph_status(g), status);
    if (!strstr(swg_context_message(ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", swg_context_message(ctx), words);
    swg_graph_destroy(g);
}

#define MAE(change, ndim, scores, part, status)                                                              \
    do {                                                                                                     \
        swg_mae model = small_mae();                                                                         \
        swg_mae_result out;                                                                                  \
        swg_graph *g;                                                                                        \
        change;                                                                                              \
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));                                                     \
        swg_mae_apply(g, swg_input(g, "x", ndim, (int64_t[]){2, 1, 4, 8, 8}), scores, &model, &out);         \
        assert_true(out.loss == SWG_NONE && out.image == SWG_NONE);                                          \
        refuse(ctx, g, part, status);                                                                        \
    } while (0)
#define IWM(change, scores, domain, momentum, part, status)                                                  \
    do {                                                                                                     \
        swg_iwm model = small_iwm();                                                                         \
        swg_iwm_result out;                                                                                  \
        swg_graph *g;                                                                                        \
        change;                                                                                              \
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));                                                     \
        swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 4, 8, 8}), m = swg_input(g, "m", 1, (int64_t[]){1});    \
        swg_value s = swg_input(g, "s", 2, (int64_t[]){2, TOKENS}), two = swg_input(g, "two", 2, (int64_t[]){2, 2}); \
        (void)m, (void)s, (void)two;                                                                         \
        swg_iwm_apply(g, x, x, scores, domain, momentum, &model, &out);                                      \
        assert_true(out.loss == SWG_NONE && out.teacher == SWG_NONE);                                        \
        refuse(ctx, g, part, status);                                                                        \
    } while (0)

static void refused(void **state) {
    swg_context *ctx = *state;
    MAE(model.vit.extent[0] = 6, 5, SWG_NONE, "expected (N, 1, 6, 8, 8)", SWG_ESHAPE);
    MAE(model.vit.extent[0] = 5, 5, SWG_NONE, "patch divides", SWG_EINVAL);
    MAE(model.vit.dims = 4, 5, SWG_NONE, "expected 2 or 3 axes", SWG_EINVAL);
    MAE(model.vit.dims = 2, 5, SWG_NONE, "expected (N, 1, 4, 8)", SWG_ESHAPE);
    MAE(model.vit.depth = 0, 5, SWG_NONE, "1 to 16 blocks", SWG_EINVAL);
    MAE(model.vit.depth = 17, 5, SWG_NONE, "1 to 16 blocks", SWG_EINVAL);
    MAE(model.mask_ratio = .99, 5, SWG_NONE, "leaves none visible", SWG_EINVAL);
    MAE(model.mask_ratio = NAN, 5, SWG_NONE, "leaves none visible", SWG_EINVAL);
    MAE(model.mask_ratio = 0, 5, SWG_NONE, "masks none", SWG_EINVAL);
    MAE(model.context = -1, 5, SWG_NONE, "context -1", SWG_EINVAL);
    MAE(model.decoder_heads = 0, 5, SWG_NONE, "decoder of 1 blocks", SWG_EINVAL);
    MAE(model.decoder_heads = 5, 5, SWG_NONE, "heads", SWG_ESHAPE);
    MAE((void)0, 5, swg_input(g, "s", 2, (int64_t[]){2, 31}), "expected (2, 32)", SWG_ESHAPE);
    IWM((void)0, SWG_NONE, SWG_NONE, m, "iwm", SWG_EINVAL);
    IWM((void)0, s, SWG_NONE, SWG_NONE, "iwm", SWG_EINVAL);
    IWM((void)0, s, two, m, "expected (2, 1)", SWG_ESHAPE);
    IWM((void)0, s, SWG_NONE, two, "expected one number", SWG_ESHAPE);
    IWM(model.target_ratio = 0, s, SWG_NONE, m, "no target or no context", SWG_EINVAL);
    IWM(model.target_ratio = 1, s, SWG_NONE, m, "no target or no context", SWG_EINVAL);
    IWM(model.predictor_heads = 3, s, SWG_NONE, m, "heads", SWG_ESHAPE);
    IWM(model.domains = -1, s, SWG_NONE, m, "domains", SWG_EINVAL);
    /* States and starts of the engine itself. */
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_state_like(g, "s", swg_constant(g, 1));
    refuse(ctx, g, "not a parameter", SWG_EINVAL);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_param(g, "p", 1, (int64_t[]){3}, (swg_init){.deviation = 1, .limit = .1});
    refuse(ctx, g, "limit 0.1", SWG_EINVAL);
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_param(g, "p", 1, (int64_t[]){3}, (swg_init){.bound = 1, .limit = 2});
    refuse(ctx, g, "limit 2", SWG_EINVAL);
}

/* The target's domain chooses a row; each row learns from its own samples. */
static void domains(void **state) {
    swg_context *ctx = *state;
    swg_iwm model = small_iwm();
    swg_iwm_result out;
    swg_graph *g;
    swg_plan *plan;
    swg_weights *w;
    model.domains = 3;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 5, (int64_t[]){2, 1, 4, 8, 8}), m = swg_input(g, "m", 1, (int64_t[]){1});
    swg_value s = swg_input(g, "s", 2, (int64_t[]){2, TOKENS}), d = swg_input(g, "d", 2, (int64_t[]){2, 3}), hyper = swg_input(g, "h", 1, (int64_t[]){SWG_HYPER_COUNT});
    swg_iwm_apply(g, x, x, s, d, m, &model, &out);
    swg_value norm = swg_adam(g, out.loss, hyper, NULL);
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &norm, .output_count = 1}, &plan));
    assert_ok(ctx, swg_weights_create(g, true, &w));
    swg_weights_init(w, 1);
    assert_ok(ctx, swg_plan_open(plan, w, NULL));
    fill_random(swg_plan_data(plan, x), 512, 4);
    *(float *)swg_plan_data(plan, m) = 1;
    float *domain = swg_plan_data(plan, d);
    memcpy(domain, (float[]){0, 0, 1, 1, 0, 0}, 6 * sizeof *domain);
    for (uint32_t i = 0; i < 2; i++)
        assert_ok(ctx, swg_iwm_block_mask(ctx, &model, 5, 0, i, (float *)swg_plan_data(plan, s) + i * TOKENS));
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-3, .beta1 = .9, .beta2 = .95, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, SWG_F32, swg_plan_data(plan, hyper));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < swg_weights_count(w); i++)
        if (strcmp(swg_weights_name(w, i), "predictor.domain.weight") == 0) {
            const float *gradient = swg_weights_gradient(w, i);
            assert_int_equal(elements_of(w, i), 24);
            for (int c = 0; c < 8; c++)
                assert_true(gradient[c] != 0 && gradient[8 + c] == 0 && gradient[16 + c] != 0);
        }
    swg_plan_destroy(plan);
    swg_weights_destroy(w);
    swg_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mae_rows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(iwm_rows, testing_open, testing_close),
        cmocka_unit_test(rectangles),
        cmocka_unit_test_setup_teardown(block_masks, testing_open, testing_close),
        cmocka_unit_test(random_scores),
        cmocka_unit_test_setup_teardown(last_block_learns, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(results, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(nothing_masked, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(masked_voxels_unseen, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(encoder_in_front, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(embedding, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(starts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(teacher_follows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(teacher_moves_first, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(validation_leaves_teacher, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(skipped_step_leaves_teacher, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(recomputed, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(in_bf16, testing_open, testing_close),
        cmocka_unit_test(schedule),
        cmocka_unit_test(fixed_positions),
        cmocka_unit_test_setup_teardown(refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(domains, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
