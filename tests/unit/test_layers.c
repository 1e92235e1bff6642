/* test_layers.c - proves: dropout's mask is the one of the specification, the same on every instruction set, number of threads and
 * fusion, and drops the fraction it is asked for; states move once a step and
 * are in checkpoints; windows and masks of Swin are what they say; layers name what does not fit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <math.h>
#include <unistd.h>
#include "kernel/kernel.h"
#include "swage/nn.h"
#include "swage/plan.h"
#include "swage/safetensors.h"
#include "train/checkpoint.h"

/* x (n) of 1 through dropout of probability p, named "encoder/drop1"; the result in fresh memory. */
static float *dropped(swg_context *ctx, int64_t n, double p, bool inference, uint64_t seed, uint32_t step) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = inference}, &g));
    swg_value x = swg_input(g, "x", 1, &n);
    swg_scope_push(g, "encoder");
    swg_value y = swg_dropout(g, x, p, "drop1");
    swg_scope_pop(g);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int64_t i = 0; i < n; i++)
        ((float *)swg_plan_data(plan, x))[i] = 1;
    assert_ok(ctx, swg_plan_run(plan, seed, step));
    float *out = malloc((size_t)n * sizeof *out);
    memcpy(out, swg_plan_data(plan, y), (size_t)n * sizeof *out);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return out;
}

/* training.md section 4: seed 42, step 5, block 0 of "dropout:encoder.drop1" is f20ba46e 554c8427 dc1a871b 8aaf2944. */
static void dropout_answers(void **state) {
    static const struct { double p; float want[4]; } table[] = {
        {.5, {2, 0, 2, 2}}, {.875, {8, 0, 0, 0}}, {.1, {(float)(1 / .9), (float)(1 / .9), (float)(1 / .9), (float)(1 / .9)}}, {0, {1, 1, 1, 1}}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        float *y = dropped(*state, 4, table[i].p, false, 42, 5);
        for (int j = 0; j < 4; j++)
            assert_close((double)y[j], (double)table[i].want[j], 0, 0);
        free(y);
    }
    float *same = dropped(*state, 4, .5, true, 42, 5);
    for (int j = 0; j < 4; j++)
        assert_close((double)same[j], 1, 0, 0);
    free(same);
}

static void dropout_everywhere_the_same(void **state) {
    (void)state;
    enum { N = 40009 };
    float *first = NULL;
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
        for (int threads = 1; threads <= 4; threads += 3) {
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads, .isa = swg__isa_name((swg__isa)isa)}, &ctx), SWG_OK);
            float *y = dropped(ctx, N, .3, false, 7, 3);
            if (!first) {
                first = y;
            } else {
                assert_memory_equal(y, first, N * sizeof *y);
                free(y);
            }
            swg_context_close(ctx);
        }
    int zeros = 0;
    for (int i = 0; i < N; i++)
        zeros += first[i] == 0;
    assert_close((double)zeros / N, .3, .01, 0); /* four standard deviations */
    free(first);
}

/* Samples, or channels of a sample, are kept or dropped as a whole. */
static void dropped_as_a_whole(swg_context *ctx, bool channels) {
    enum { N = 64, M = 6 };
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 3, channels ? (int64_t[]){N / 16, 16, M} : (int64_t[]){N, 2, 3});
    swg_value y = channels ? swg_drop_channels(g, x, .25, "channels") : swg_drop_path(g, x, .25, "path");
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    for (int i = 0; i < N * M; i++)
        ((float *)swg_plan_data(plan, x))[i] = 3;
    assert_ok(ctx, swg_plan_run(plan, 1, 0));
    const float *out = swg_plan_data(plan, y);
    int kept = 0;
    for (int i = 0; i < N; i++) {
        for (int j = 1; j < M; j++)
            assert_close((double)out[i * M + j], (double)out[i * M], 0, 0);
        kept += out[i * M] != 0;
        assert_true(out[i * M] == 0 || out[i * M] == 4);
    }
    assert_true(kept > N / 2 && kept < N);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void drop_path_by_sample(void **state) { dropped_as_a_whole(*state, false); }
static void drop_channels_by_channel(void **state) { dropped_as_a_whole(*state, true); }

static void dropout_refused(void **state) {
    swg_context *ctx = *state;
    static const double bad[] = {-.1, 1, NAN};
    for (int i = 0; i < 5; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", 1, (int64_t[]){4});
        if (i < 3)
            swg_dropout(g, x, bad[i], "drop");
        else if (i == 3)
            swg_drop_path(g, x, .5, "");
        else
            swg_dropout(g, swg_dropout(g, x, .5, "drop"), .5, "drop");
        assert_int_equal(swg_graph_status(g), SWG_EINVAL);
        swg_graph_destroy(g);
    }
    assert_non_null(strstr(swg_context_message(ctx), "\"dropout:drop\" is used twice"));
}

/* A training step moves running statistics once, whoever reads them in the same step sees them as they were; a step that is skipped because its
 * loss is not finite leaves them alone. */
static void states_move_once(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value s = swg_state(g, "count", 1, (int64_t[]){2}, 3), w = swg_param(g, "w", 1, (int64_t[]){2}, (swg_init){.value = 1});
    swg_state_set(g, s, swg_affine(g, s, 2, 1));
    swg_value seen = swg_affine(g, s, 10, 0);
    swg_value extra = swg_input(g, "extra", 1, (int64_t[]){1});
    swg_value loss = swg_add(g, swg_reshape(g, swg_sum(g, swg_mul(g, w, s), 0), 1, (int64_t[]){1}), extra);
    swg_value hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT}), norm = swg_adam(g, loss, hyper, NULL);
    swg_value outputs[2] = {norm, seen};
    swg_plan *plan;
    swg_weights *weights;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2}, &plan));
    assert_int_equal(swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = 2, .frozen = true}, &(swg_plan *){NULL}), SWG_EINVAL);
    assert_ok(ctx, swg_weights_create(g, true, &weights));
    swg_weights_init(weights, 1);
    assert_ok(ctx, swg_plan_open(plan, weights, NULL));
    static const float expected[] = {3, 7, 15, 31};
    double b1 = 1, b2 = 1;
    swg_hyper_adam(&(swg_adam_hyper){.beta1 = .9, .beta2 = .999, .eps = 1e-8, .grad_scale = 1}, &b1, &b2, SWG_F32, swg_plan_data(plan, hyper));
    float *added = swg_plan_data(plan, extra), *count = swg_weights_state(weights, 0);
    *added = NAN;
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    assert_true(isnan(*(float *)swg_plan_data(plan, norm)));
    assert_close((double)count[0], (double)expected[0], 0, 0);
    *added = 0;
    for (int step = 0; step < 3; step++) {
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        assert_close((double)((float *)swg_plan_data(plan, seen))[1], 10 * (double)expected[step], 0, 0);
        assert_close((double)((float *)swg_plan_data(plan, norm))[0], sqrt(2) * (double)expected[step], 0, 1e-6);
        assert_close((double)((float *)swg_weights_state(weights, 0))[1], (double)expected[step + 1], 0, 0);
    }
    /* Outputs without the update leave the states alone. */
    swg_plan *look;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &seen, .output_count = 1}, &look));
    assert_ok(ctx, swg_plan_open(look, weights, NULL));
    assert_ok(ctx, swg_plan_run(look, 0, 0));
    assert_close((double)((float *)swg_weights_state(weights, 0))[1], 31, 0, 0);
    swg_plan_destroy(look);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    swg_graph_destroy(g);
}

static void norms_refused(void **state) {
    swg_context *ctx = *state;
    static const char *const words[] = {"set twice", "one value per channel", "do not divide into 3 groups", "channel axis 4",
                                        "does not broadcast", "last 3 of 2", "eps -1"};
    for (int i = 0; i < 7; i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){1, 4}), s = swg_state(g, "s", 1, (int64_t[]){4}, 0);
        switch (i) {
        case 0: swg_state_set(g, s, swg_neg(g, s)); swg_state_set(g, s, s); break;
        case 1: swg_batch_norm(g, x, "bn", NULL); break;
        case 2: swg_group_norm(g, x, 3, "gn", NULL); break;
        case 3: swg_instance_norm(g, x, "in", &(swg_norm_opts){.channel_axis = 4}); break;
        case 4: swg_norm_apply(g, x, swg_reshape(g, x, 2, (int64_t[]){4, 1}), s, SWG_NONE, SWG_NONE); break;
        case 5: swg_layer_norm(g, x, 3, "ln", NULL); break;
        default: swg_batch_norm(g, x, "bn", &(swg_norm_opts){.eps = -1}); break;
        }
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), words[i]))
            fail_msg("\"%s\" does not speak of \"%s\"", swg_context_message(ctx), words[i]);
        swg_graph_destroy(g);
    }
}

/* Gates of images: taps by the number of channels (kan.md, section 3.4), and what they refuse. */
static void image_gates(void **state) {
    swg_context *ctx = *state;
    static const int64_t taps[][2] = {{1, 1}, {2, 1}, {7, 1}, {8, 3}, {16, 3}, {64, 3}, {127, 3}, {128, 5}, {384, 5}, {512, 5}, {2048, 7}};
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++)
        assert_int_equal(swg_eca_kernel(taps[i][0]), taps[i][1]);
    for (int i = 0; i < 7; i++) {
        static const char *const words[] = {"batch of 2 or more, or model.bam_norm=eval", NULL, NULL, "of 2 dimensions", "of 2 dimensions",
                                            "reduction -1", "frozen"};
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = i == 1}, &g));
        swg_value x = swg_input(g, "x", i == 3 || i == 4 ? 2 : 4, (int64_t[]){1, 4, 5, 6});
        switch (i) {
        case 0:
        case 1: swg_bam(g, x, NULL, "bam"); break;
        case 2: swg_bam(g, x, &(swg_bam_opts){.frozen = true}, "bam"); break;
        case 3: swg_bam(g, x, NULL, "bam"); break;
        case 4: swg_eca(g, x, "eca"); break;
        case 5: swg_bam(g, x, &(swg_bam_opts){.reduction = -1}, "bam"); break;
        default: swg_batch_norm(g, x, "bn", &(swg_norm_opts){.frozen = true, .no_running = true}); break;
        }
        assert_int_equal(swg_graph_status(g) == SWG_OK, !words[i]);
        if (words[i] && !strstr(swg_context_message(ctx), words[i]))
            fail_msg("\"%s\" does not speak of \"%s\"", swg_context_message(ctx), words[i]);
        swg_graph_destroy(g);
    }
}

/* A frozen norm is that of an inference graph, and its statistics stay. */
static void frozen_norm(void **state) {
    swg_context *ctx = *state;
    float got[2][8];
    for (int use = 0; use < 2; use++) {
        swg_graph *g;
        swg_plan *plan;
        swg_weights *weights;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = use}, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){1, 8}), y = swg_batch_norm(g, x, "bn", &(swg_norm_opts){.frozen = !use});
        if (!use)
            y = swg_update_states(g, y);
        assert_ok(ctx, swg_weights_create(g, false, &weights));
        swg_weights_init(weights, 0);
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
        assert_ok(ctx, swg_plan_open(plan, weights, NULL));
        for (int i = 0; i < 8; i++) {
            ((float *)swg_plan_data(plan, x))[i] = (float)(i * i);
            ((float *)swg_weights_state(weights, 0))[i] = (float)i;
            ((float *)swg_weights_state(weights, 1))[i] = (float)(1 + i);
        }
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        memcpy(got[use], swg_plan_data(plan, y), sizeof got[use]);
        for (int i = 0; i < 8; i++) {
            assert_close((double)got[use][i], (i * i - i) / sqrt(1 + i + 1e-5), 1e-6, 1e-6);
            assert_true(((float *)swg_weights_state(weights, 0))[i] == (float)i && ((float *)swg_weights_state(weights, 1))[i] == (float)(1 + i));
        }
        swg_plan_destroy(plan);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
}

/* ---- indices and windows ---- */

typedef swg_value (*graph_fn)(swg_graph *g, swg_value x);

/* fn(x) for x = 0, 1, 2, ... of the given shape; the caller frees it. */
static float *result_of(swg_context *ctx, int ndim, const int64_t *shape, graph_fn fn, int64_t *count) {
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", ndim, shape), y = fn(g, x);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    float *in = swg_plan_data(plan, x);
    for (int64_t i = 0; in && i < swg_elements(g, x); i++)
        in[i] = (float)i;
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    *count = swg_elements(g, y);
    float *out = malloc((size_t)*count * sizeof *out);
    memcpy(out, swg_plan_data(plan, y), (size_t)*count * sizeof *out);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
    return out;
}

static const int64_t volume[] = {4, 6, 2}, cubes[] = {2, 3, 2}, moved[] = {1, 2, 1};
static swg_value there_and_back(swg_graph *g, swg_value x) {
    int spatial = swg_ndim(g, x) - 2;
    const int64_t *shift = swg_shape(g, x)[swg_ndim(g, x) - 1] == 3 ? moved : NULL;
    return swg_window_merge(g, swg_window_partition(g, x, cubes, shift), spatial, volume, cubes, shift);
}

static void windows_merge_back(void **state) {
    for (int spatial = 1; spatial <= 3; spatial++)
        for (int64_t channels = 2; channels <= 3; channels++) {
            int64_t shape[5] = {2, volume[0], volume[1], volume[2]}, count;
            shape[1 + spatial] = channels;
            float *y = result_of(*state, spatial + 2, shape, there_and_back, &count);
            for (int64_t i = 0; i < count; i++)
                assert_close((double)y[i], (double)i, 0, 0);
            free(y);
        }
}

/* The mask agrees with what the windows hold: positions attend to each other if no edge of the volume lies between them. */
static swg_value mask_of(swg_graph *g, swg_value x) {
    (void)x;
    return swg_window_mask(g, 2, volume, cubes, moved, -100);
}
static swg_value windows_of(swg_graph *g, swg_value x) { return swg_window_partition(g, x, cubes, moved); }

static void mask_knows_the_edges(void **state) {
    enum { H = 4, W = 6, P = 6, WINDOWS = 4 };
    int64_t masks, count;
    float *mask = result_of(*state, 1, (int64_t[]){1}, mask_of, &masks);
    float *at = result_of(*state, 4, (int64_t[]){1, H, W, 1}, windows_of, &count);
    assert_int_equal(masks, WINDOWS * P * P);
    assert_int_equal(count, H * W);
    for (int w = 0; w < WINDOWS; w++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < P; q++) {
                int a = (int)at[w * P + p], b = (int)at[w * P + q];
                bool near = abs(a / W - b / W) < 2 && abs(a % W - b % W) < 3;
                assert_close((double)mask[(w * P + p) * P + q], near ? 0 : -100, 0, 0);
            }
    free(mask);
    free(at);
}

/* Indices given at run time that lie outside show, and do no harm. */
static void index_inputs(void **state) {
    swg_context *ctx = *state;
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
    swg_value x = swg_input(g, "x", 2, (int64_t[]){3, 2}), index = swg_input_index(g, "index", 1, (int64_t[]){4});
    swg_value y[2] = {swg_gather(g, x, index, 0)};
    y[1] = swg_scatter_add(g, swg_gather(g, x, swg_constant_index(g, 1, (int64_t[]){4}, (int32_t[]){0, 1, 2, 2}), 0), index, 0, 5);
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = y, .output_count = 2}, &plan));
    assert_int_equal(swg_plan_memory_of(plan).array_bytes, 16);
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    memcpy(swg_plan_data(plan, x), (float[]){1, 2, 3, 4, 5, 6}, 6 * sizeof(float));
    memcpy(swg_plan_data(plan, index), (int32_t[]){2, -1, 2, 7}, 4 * sizeof(int32_t));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    const float *taken = swg_plan_data(plan, y[0]), *added = swg_plan_data(plan, y[1]);
    assert_true(taken[0] == 5 && taken[1] == 6 && isnan(taken[2]) && isnan(taken[3]) && taken[4] == 5 && isnan(taken[7]));
    static const float want[10] = {0, 0, 0, 0, 6, 8, 0, 0, 0, 0}; /* slices 0 and 2 */
    assert_memory_equal(added, want, sizeof want);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void movement_refused(void **state) {
    swg_context *ctx = *state;
    static const char *const words[] = {"index 3 at position 1", "index (2) of \"array\" does not fit (3, 4) of \"x\" along axis 2", "of SWG_I32", "4 indices for 3 slices",
                                        "windows of 3 do not divide extent 4", "kernel 9 exceeds padded input 4", "at most half the kernel",
                                        "2 axes, expected 3 to 5", "extent 0 along spatial axis 0", "align_corners"};
    for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){3, 4}), v = swg_input(g, "v", 3, (int64_t[]){1, 4, 4});
        swg_value index = swg_constant_index(g, 1, (int64_t[]){2}, (int32_t[]){0, 3});
        switch (i) {
        case 0: swg_gather(g, x, index, 0); break;
        case 1: swg_gather(g, x, index, 2); break;
        case 2: swg_gather(g, x, x, 1); break;
        case 3: swg_scatter_add(g, x, swg_input_index(g, "i", 1, (int64_t[]){4}), 0, 9); break;
        case 4: swg_window_partition(g, v, (int64_t[]){3}, NULL); break;
        case 5: swg_max_pool(g, v, &(swg_pool_opts){.kernel = {9}}); break;
        case 6: swg_avg_pool(g, v, &(swg_pool_opts){.kernel = {2}, .padding = {2}}); break;
        case 7: swg_max_pool(g, x, &(swg_pool_opts){.kernel = {2}}); break;
        case 8: swg_resize(g, v, (int64_t[]){0}, NULL); break;
        default: swg_resize(g, v, (int64_t[]){2}, &(swg_resize_opts){.nearest = true, .align_corners = true}); break;
        }
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), words[i]))
            fail_msg("\"%s\" does not speak of \"%s\"", swg_context_message(ctx), words[i]);
        swg_graph_destroy(g);
    }
}

/* A checkpoint holds the states; one without them is of another network. */
static void states_in_checkpoints(void **state) {
    swg_context *ctx = *state;
    char path[] = "/tmp/swage_layers_XXXXXX";
    int file_descriptor = mkstemp(path);
    assert_true(file_descriptor >= 0);
    close(file_descriptor);
    swg_weights *weights[2];
    swg_safetensors *file;
    for (int bare = 0; bare < 2; bare++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_batch_norm(g, swg_input(g, "x", 2, (int64_t[]){4, 3}), "bn", &(swg_norm_opts){.no_running = bare});
        assert_ok(ctx, swg_weights_create(g, false, &weights[bare]));
        swg_weights_init(weights[bare], 0);
        swg_graph_destroy(g);
    }
    swg__run_state run = {0};
    swg__run_notes notes = {.precision = "32", .provider = "swage", .config = "", .norm = "", .data = ""};
    ((float *)swg_weights_state(weights[0], 1))[2] = 7.5f;
    assert_ok(ctx, swg__checkpoint_save(ctx, path, weights[0], NULL, &run, &notes));
    swg_weights_init(weights[0], 0);
    assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
    assert_non_null(swg_safetensors_find(file, "state.bn.running_var"));
    assert_ok(ctx, swg__checkpoint_weights(ctx, file, path, weights[0]));
    assert_close((double)((float *)swg_weights_state(weights[0], 1))[2], 7.5, 0, 0);
    swg_safetensors_close(file);
    assert_ok(ctx, swg__checkpoint_save(ctx, path, weights[1], NULL, &run, &notes));
    assert_ok(ctx, swg_safetensors_open(ctx, path, &file));
    assert_int_equal(swg__checkpoint_weights(ctx, file, path, weights[0]), SWG_ESHAPE);
    assert_non_null(strstr(swg_context_message(ctx), "state.bn.running_mean"));
    swg_safetensors_close(file);
    for (int i = 0; i < 2; i++)
        swg_weights_destroy(weights[i]);
    unlink(path);
}

/* swae.md section 10 and cyto.md: x = (1, -2), beta 1, gamma [[.1, .05], [-.02, .1]]; logits (2, -1, .5, -3), target (1, 0, 1, 1). */
static void known_answers(void **state) {
    swg_context *ctx = *state;
    for (int inverse = 0; inverse < 2; inverse++) {
        static const double want[2][2] = {{.877058019307, -1.67836271659}, {1.1401754251, -2.38327505756}};
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
        swg_value x = swg_input(g, "x", 2, (int64_t[]){1, 2}), y = swg_gdn(g, x, "gdn", inverse, 0);
        swg_plan *plan;
        swg_weights *weights;
        assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1}, &plan));
        assert_ok(ctx, swg_weights_create(g, false, &weights));
        swg_weights_init(weights, 0);
        double *gamma = swg_weights_value(weights, 1);
        assert_true(gamma[0] == (double).1f && gamma[1] == 0 && gamma[2] == 0 && gamma[3] == (double).1f);
        memcpy(gamma, (double[]){.1, .05, -.02, .1}, 4 * sizeof *gamma);
        assert_ok(ctx, swg_plan_open(plan, weights, NULL));
        memcpy(swg_plan_data(plan, x), (double[]){1, -2}, 2 * sizeof(double));
        assert_ok(ctx, swg_plan_run(plan, 0, 0));
        for (int i = 0; i < 2; i++)
            assert_close(((double *)swg_plan_data(plan, y))[i], want[inverse][i], 0, 1e-11);
        swg_plan_destroy(plan);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
    swg_graph *g;
    assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = SWG_F64}, &g));
    const int64_t shape[3] = {1, 1, 4};
    swg_value y = swg_constant_array(g, 3, shape, (double[]){2, -1, .5, -3}), x = swg_constant_array(g, 3, shape, (double[]){1, 0, 1, 1});
    swg_value empty = swg_constant_array(g, 3, shape, (double[]){0, 0, 0, 0});
    const int64_t image[4] = {2, 3, 11, 14}; /* constant ones of .2 and .4: kan.md, section 10 */
    swg_value dark = swg_expand(g, swg_constant(g, .2), 4, image), bright = swg_expand(g, swg_constant(g, .4), 4, image);
    swg_value out[] = {swg_loss_dice(g, y, x, 0), swg_loss_bce_logits(g, y, x), swg_loss_dice(g, y, empty, 0), swg_loss_ssim(g, bright, dark)};
    static const double want[] = {.356512391737, .990713508579, .999994504388, 1 - .800099950025};
    enum { ANSWERS = sizeof out / sizeof *out };
    swg_plan *plan;
    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = out, .output_count = ANSWERS}, &plan));
    assert_ok(ctx, swg_plan_open(plan, NULL, NULL));
    assert_ok(ctx, swg_plan_run(plan, 0, 0));
    for (int i = 0; i < ANSWERS; i++)
        assert_close(*(double *)swg_plan_data(plan, out[i]), want[i], 0, 2e-12);
    swg_plan_destroy(plan);
    swg_graph_destroy(g);
}

static void losses_refused(void **state) {
    swg_context *ctx = *state;
    static const char *const words[] = {"the prediction is a sigmoid", "prediction (2, 3) of \"y\" and target (3) of \"x\"", "fits neither prediction (2, 3)",
                                        "2 weights for 3", "channel axis 2", "ssim loss: images (2, 3); expected", "gdn \"n\": channel axis"};
    for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
        swg_graph *g;
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        swg_value y = swg_input(g, "y", 2, (int64_t[]){2, 3}), x = swg_input(g, "x", 1, (int64_t[]){3});
        switch (i) {
        case 0: swg_loss_bce_logits(g, swg_sigmoid(g, y), y); break;
        case 1: swg_loss_bce_logits(g, y, x); break;
        case 2: swg_loss_cross_entropy(g, y, x, NULL); break;
        case 3: swg_loss_cross_entropy(g, y, y, &(swg_cross_entropy_opts){.weight = swg_slice(g, x, (int64_t[]){0}, (int64_t[]){2})}); break;
        case 4: swg_loss_dice(g, y, y, 2); break;
        case 5: swg_loss_ssim(g, y, y); break;
        default: swg_gdn(g, y, "n", false, 2); break;
        }
        assert_true(swg_graph_status(g) != SWG_OK);
        if (!strstr(swg_context_message(ctx), words[i]))
            fail_msg("\"%s\" does not speak of \"%s\"", swg_context_message(ctx), words[i]);
        swg_graph_destroy(g);
    }
}

/* ---- the layout pass: norms, pooling and resize between convolutions stay channels-last ---- */

enum { OUTPUTS = 8 };

static int network(swg_graph *g, int spatial, swg_value *x, swg_value outputs[OUTPUTS]) {
    int64_t shape[5] = {2, 3, 8, 7, 6}, up[3];
    *x = swg_input(g, "x", 2 + spatial, shape);
    for (int i = 0; i < spatial; i++)
        up[i] = shape[2 + i] + 1;
    const swg_pool_opts pool = {.kernel = {2, 2, 2}, .stride = {1, 1, 1}};
    const swg_conv_opts conv = {.padding = {1, 1, 1}};
    swg_value h = swg_relu(g, swg_batch_norm(g, swg_conv(g, *x, 6, 3, &conv, "c1"), "bn", NULL));
    h = swg_group_norm(g, swg_avg_pool(g, swg_max_pool(g, h, &pool), &pool), 3, "gn", NULL);
    h = swg_gelu_tanh(g, swg_resize(g, h, up, NULL));
    h = swg_instance_norm(g, swg_conv(g, h, 4, 3, &conv, "c2"), "in", &(swg_norm_opts){.affine = SWG_AFFINE_ON});
    swg_value loss = swg_reshape(g, swg_sum(g, swg_mul(g, swg_square(g, h), h), 0), 1, (int64_t[]){1});
    int count;
    const swg_value *params = swg_params_of(g, &count);
    if (swg_graph_status(g) != SWG_OK)
        return -1;
    swg_value asked[] = {params[0], params[2], params[3], params[4], params[5], params[8]};
    outputs[0] = h;
    outputs[1] = swg_update_states(g, loss);
    if (swg_gradients(g, loss, asked, 6, outputs + 2) != SWG_OK)
        return -1;
    return OUTPUTS;
}

static int permutes_of(const swg_plan *plan) {
    char line[512];
    int count = 0;
    FILE *file = tmpfile();
    swg_plan_print(plan, file);
    rewind(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, " permute ") != NULL;
    fclose(file);
    return count;
}

static void layout_of_layers(void **state) {
    swg_context *ctx = *state;
    for (int kind = 0; kind < 6; kind++) {
        swg_dtype dtype = kind % 2 ? SWG_F32 : SWG_F64;
        int spatial = 1 + kind / 2, moves[2];
        double *results[2] = {NULL, NULL}, largest[OUTPUTS] = {0};
        int64_t counts[OUTPUTS], total = 0;
        for (int as_asked = 0; as_asked < 2; as_asked++) {
            swg_graph *g;
            swg_plan *plan;
            swg_weights *weights;
            swg_value x, outputs[OUTPUTS];
            assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &g));
            int count = network(g, spatial, &x, outputs);
            assert_ok(ctx, swg_graph_status(g));
            assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = count, .no_layout = as_asked}, &plan));
            assert_ok(ctx, swg_weights_create(g, false, &weights));
            swg_weights_init(weights, 5);
            assert_ok(ctx, swg_plan_open(plan, weights, NULL));
            for (int64_t e = 0; e < swg_elements(g, x); e++) {
                double value = sin((double)(e * e % 1009));
                if (dtype == SWG_F64)
                    ((double *)swg_plan_data(plan, x))[e] = value;
                else
                    ((float *)swg_plan_data(plan, x))[e] = (float)value;
            }
            assert_ok(ctx, swg_plan_run(plan, 0, 0));
            moves[as_asked] = permutes_of(plan);
            total = 0;
            for (int i = 0; i < count; i++)
                total += counts[i] = swg_elements(g, outputs[i]);
            double *to = results[as_asked] = malloc((size_t)(total + 6) * sizeof *to);
            for (int i = 0; i < count; i++)
                for (int64_t e = 0; e < counts[i]; e++, to++) {
                    const void *data = swg_plan_data(plan, outputs[i]);
                    *to = dtype == SWG_F64 ? ((const double *)data)[e] : (double)((const float *)data)[e];
                    largest[i] = fmax(largest[i], fabs(*to));
                }
            for (int c = 0; c < 6; c++, to++)
                *to = dtype == SWG_F64 ? ((double *)swg_weights_state(weights, 1))[c] : (double)((float *)swg_weights_state(weights, 1))[c];
            swg_plan_destroy(plan);
            swg_weights_destroy(weights);
            swg_graph_destroy(g);
        }
        for (int64_t i = 0, e = 0; i < OUTPUTS; i++)
            for (int64_t k = 0; k < counts[i]; k++, e++)
                assert_close(results[0][e], results[1][e], (dtype == SWG_F64 ? 1e-12 : 4e-5) * largest[i], 0);
        for (int64_t c = 0; c < 6; c++)
            assert_close(results[0][total + c], results[1][total + c], 0, 1e-5);
        if (moves[0] != 2) /* the input and the result */
            fail_msg("%d axes: %d permutes with the layout pass, %d without", spatial, moves[0], moves[1]);
        free(results[0]);
        free(results[1]);
    }
}

/* All of the network's outputs and states, in the memory of the test; false: out of memory. */
static bool run_network(swg_graph *g, int spatial, bool no_fusion, float *to, int64_t *count) {
    swg_value x, outputs[OUTPUTS];
    swg_plan *plan = NULL;
    swg_weights *weights = NULL;
    bool ok = network(g, spatial, &x, outputs) > 0 && swg_graph_status(g) == SWG_OK &&
              swg_plan_make(g, &(swg_plan_opts){.outputs = outputs, .output_count = OUTPUTS, .no_fusion = no_fusion}, &plan) == SWG_OK &&
              swg_weights_create(g, false, &weights) == SWG_OK;
    if (ok)
        swg_weights_init(weights, 5);
    ok = ok && swg_plan_open(plan, weights, NULL) == SWG_OK;
    for (int64_t e = 0; ok && e < swg_elements(g, x); e++)
        ((float *)swg_plan_data(plan, x))[e] = (float)sin((double)(e * e % 1009));
    ok = ok && swg_plan_run(plan, 0, 0) == SWG_OK;
    *count = 0;
    for (int i = 0; ok && i < OUTPUTS; *count += swg_elements(g, outputs[i++]))
        memcpy(to + *count, swg_plan_data(plan, outputs[i]), (size_t)swg_elements(g, outputs[i]) * sizeof *to);
    for (int s = 0; ok && s < 2; s++, *count += 6)
        memcpy(to + *count, swg_weights_state(weights, s), 6 * sizeof *to);
    swg_plan_destroy(plan);
    swg_weights_destroy(weights);
    return ok;
}

enum { NETWORK_MOST = 8192 };

/* The same bits for any number of threads. */
static void threads_do_not_matter(void **state) {
    (void)state;
    static float first[NETWORK_MOST], other[NETWORK_MOST];
    for (int threads = 1; threads <= 4; threads++) {
        swg_context *ctx;
        swg_graph *g;
        int64_t count;
        assert_int_equal(swg_context_open(&(swg_context_opts){.threads = threads}, &ctx), SWG_OK);
        assert_ok(ctx, swg_graph_create(ctx, NULL, &g));
        assert_true(run_network(g, 3, false, threads == 1 ? first : other, &count));
        assert_true(count <= NETWORK_MOST);
        if (threads > 1)
            assert_memory_equal(first, other, (size_t)count * sizeof *first);
        swg_graph_destroy(g);
        swg_context_close(ctx);
    }
}

/* Whichever allocation fails: an error, nothing leaked. */
static void out_of_memory(void **state) {
    (void)state;
    static float results[NETWORK_MOST];
    int64_t failed = 0;
    for (int64_t n = 0;; n++) {
        testing_allocator allocator = {.fail_at = n};
        swg_context *ctx = NULL;
        swg_graph *g = NULL;
        int64_t count;
        swg_context_opts opts = {.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}};
        bool done = swg_context_open(&opts, &ctx) == SWG_OK && swg_graph_create(ctx, NULL, &g) == SWG_OK && run_network(g, 1, false, results, &count);
        swg_graph_destroy(g);
        swg_context_close(ctx);
        assert_int_equal(allocator.live, 0);
        if (done)
            break;
        failed++;
    }
    assert_true(failed > 20);
}

/* ---- batch norm of an inference graph disappears into the contraction before it when the weights are frozen ---- */

static swg_value folding_network(swg_graph *g, int kind, swg_value *x) {
    *x = kind == 0 ? swg_input(g, "x", 2, (int64_t[]){9, 5}) : swg_input(g, "x", 4, (int64_t[]){2, 5, 6, 7});
    const swg_conv_opts conv = {.padding = {1, 1}, .no_bias = kind == 2};
    swg_value h = kind == 0   ? swg_linear(g, *x, 12, "fc")
                  : kind == 3 ? swg_conv_transpose(g, *x, 4, 3, NULL, "up")
                              : swg_conv(g, *x, 6, 3, &conv, "conv");
    h = swg_relu(g, swg_batch_norm(g, h, "bn", &(swg_norm_opts){.affine = kind == 2 ? SWG_AFFINE_OFF : SWG_AFFINE_ON}));
    return kind == 0 ? swg_linear(g, h, 3, "out") : h;
}

/* Does a run of the plan still subtract a mean? */
static bool subtracts(const swg_plan *plan) {
    char line[512];
    bool found = false;
    FILE *file = tmpfile();
    swg_plan_print(plan, file);
    rewind(file);
    while (fgets(line, sizeof line, file))
        found = found || (!strstr(line, "(when opened)") && (strstr(line, " sub") || strstr(line, "[sub") || strstr(line, "norm_apply")));
    fclose(file);
    return found;
}

static void norms_fold(void **state) {
    swg_context *ctx = *state;
    for (int kind = 0; kind < 4; kind++) {
        swg_graph *g;
        swg_value x;
        swg_plan *plan[2];
        swg_weights *weights;
        assert_ok(ctx, swg_graph_create(ctx, &(swg_graph_opts){.inference = true}, &g));
        swg_value y = folding_network(g, kind, &x);
        assert_ok(ctx, swg_graph_status(g));
        assert_ok(ctx, swg_weights_create(g, false, &weights));
        swg_weights_init(weights, 3);
        for (int round = 0; round < 2; round++) { /* weights and states change, and a refresh takes note */
            for (int s = 0; s < 2; s++)
                for (int64_t i = 0; i < swg_weights_state_shape(weights, s)[0]; i++)
                    ((float *)swg_weights_state(weights, s))[i] = .3f + .1f * (float)(i + s + 3 * round);
            ((float *)swg_weights_value(weights, 0))[1] += .5f;
            for (int frozen = 0; frozen < 2; frozen++) {
                if (!round) {
                    assert_ok(ctx, swg_plan_make(g, &(swg_plan_opts){.outputs = &y, .output_count = 1, .frozen = frozen}, &plan[frozen]));
                    assert_ok(ctx, swg_plan_open(plan[frozen], weights, NULL));
                } else if (frozen) {
                    swg_plan_refresh(plan[frozen]);
                }
                for (int64_t i = 0; i < swg_elements(g, x); i++)
                    ((float *)swg_plan_data(plan[frozen], x))[i] = (float)sin((double)i);
                assert_ok(ctx, swg_plan_run(plan[frozen], 0, 0));
                assert_ok(ctx, swg_plan_run(plan[frozen], 0, 0)); /* a run leaves what was folded as it is */
            }
            for (int64_t i = 0; i < swg_elements(g, y); i++)
                assert_close((double)((float *)swg_plan_data(plan[1], y))[i], (double)((float *)swg_plan_data(plan[0], y))[i], 1e-5, 1e-5);
        }
        assert_true(subtracts(plan[0]));
        assert_false(subtracts(plan[1]));
        swg_plan_destroy(plan[0]);
        swg_plan_destroy(plan[1]);
        swg_weights_destroy(weights);
        swg_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dropout_answers, testing_open, testing_close),
        cmocka_unit_test(dropout_everywhere_the_same),
        cmocka_unit_test_setup_teardown(drop_path_by_sample, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(drop_channels_by_channel, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(dropout_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(states_move_once, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(norms_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(image_gates, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(frozen_norm, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(windows_merge_back, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(mask_knows_the_edges, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(index_inputs, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(movement_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(layout_of_layers, testing_open, testing_close),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test_setup_teardown(norms_fold, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(known_answers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(losses_refused, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(states_in_checkpoints, testing_open, testing_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
