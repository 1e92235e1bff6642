/* layers.c - rows of layers and blocks (benchmarking.md, section 3): forward, with gradients, or a training step. Every result is
 * checked against the f64 reference, of fewer samples where the whole would take long. In: a workload and a team. Out: a row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/layers.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/jobs.h"
#include "swage/nn.h"

enum { MOST_INPUTS = 4, MOST_OUTPUTS = 24, SEED = 42 };

typedef enum mode { FORWARD, GRADIENTS, STEP, UPDATE } mode;

/* The work as it is built: inputs are filled with numbers in [-scale, scale). */
typedef struct layer {
    const struct swg__bench_layer *row;
    swg__job job;
    int64_t samples;
    swg_value in[MOST_INPUTS], out[MOST_OUTPUTS];
    double scale[MOST_INPUTS];
    int inputs, outputs;
} layer;

struct swg__bench_layer {
    const char *id, *shape;
    mode mode;
    swg_value (*build)(layer *l);   /* the result, of l->samples samples */
    int64_t samples, check;         /* timed; checked against f64 (0: all) */
    bool joined;                    /* a sample's result depends on the others: the timed plan's is not compared sample by sample */
    double allowed;                 /* largest gap, over the largest value of each result; 0: 1e-5 */
    bool bf16;                      /* there is a row in bf16, too */
};

static swg_value input(layer *l, int ndim, const int64_t *shape, double scale) {
    static const char *const names[MOST_INPUTS] = {"x", "x1", "x2", "x3"};
    int i = l->inputs++;
    l->scale[i] = scale;
    return l->in[i] = swg_input(l->job.g, names[i], ndim, shape);
}

/* ---- the work ---- */

enum { WINDOW = 64, WIDTH = 96, HEADS = 6, MLP = 4 };

/* A Swin block on windows of 64 tokens (tfswa.md, section 3.1: order q, k, v, no bias there; eps 1e-5). x: (windows * 64, 96). */
static swg_value window_block(layer *l) {
    swg_graph *g = l->job.g;
    const int64_t rows[3] = {l->samples, WINDOW, WIDTH}, flat[2] = {l->samples * WINDOW, WIDTH};
    static const char *const names[3] = {"q", "k", "v"};
    swg_value x = input(l, 2, flat, 1), h = swg_layer_norm(g, x, 1, "norm1", NULL), part[3];
    for (int i = 0; i < 3; i++) {
        swg_value w = swg_param(g, names[i], 2, (int64_t[]){WIDTH, WIDTH}, (swg_init){.bound = 1 / sqrt(WIDTH)});
        part[i] = swg_reshape(g, swg_matmul(g, h, w, &(swg_matmul_opts){.trans_b = true}), 3, rows);
    }
    h = swg_attention(g, part[0], part[1], part[2], SWG_NONE, &(swg_attention_opts){.heads = HEADS});
    x = swg_add(g, swg_linear(g, swg_reshape(g, h, 2, flat), WIDTH, "proj"), x);
    h = swg_gelu(g, swg_linear(g, swg_layer_norm(g, x, 1, "norm2", NULL), MLP * WIDTH, "fc1"));
    return swg_add(g, swg_linear(g, h, WIDTH, "fc2"), x);
}

static const swg_norm_opts last = {.channel_axis = -1};
enum { SIDE = 64, CHANNELS = 64 };

static swg_value image(layer *l) { return input(l, 4, (int64_t[]){l->samples, SIDE, SIDE, CHANNELS}, 2); }
static swg_value layer_norm(layer *l) { return swg_layer_norm(l->job.g, input(l, 2, (int64_t[]){l->samples, 256}, 2), 1, "norm", NULL); }
static swg_value batch_norm(layer *l) { return swg_batch_norm(l->job.g, image(l), "norm", &last); }
static swg_value instance_norm(layer *l) { return swg_instance_norm(l->job.g, image(l), "norm", &last); }
static swg_value group_norm(layer *l) { return swg_group_norm(l->job.g, image(l), 8, "norm", &last); }
static swg_value gelu(layer *l) { return swg_gelu(l->job.g, input(l, 2, (int64_t[]){l->samples, 384}, 6)); }
static swg_value softmax(layer *l) { return swg_softmax(l->job.g, input(l, 2, (int64_t[]){l->samples, 512}, 6)); }
static swg_value resize(layer *l) {
    return swg_resize(l->job.g, image(l), (int64_t[]){2 * SIDE, 2 * SIDE}, &(swg_resize_opts){.channels_last = true});
}
static swg_value volume(layer *l) { return input(l, 5, (int64_t[]){l->samples, 64, 64, 64, 32}, 1); }
static const swg_pool_opts halves = {.kernel = {2, 2, 2}, .channels_last = true};
static swg_value max_pool(layer *l) { return swg_max_pool(l->job.g, volume(l), &halves); }
static swg_value avg_pool(layer *l) { return swg_avg_pool(l->job.g, volume(l), &halves); }
static swg_value transpose(layer *l) { return swg_permute(l->job.g, image(l), (int[]){0, 3, 1, 2}); }

/* KAN convolution 64-64, 3x3 with padding 1, grid 5 of order 3 (kan.md, section 3.3). */
static swg_value kan_conv(layer *l) {
    swg_value x = input(l, 4, (int64_t[]){l->samples, 32, 32, 64}, 1.5);
    return swg_kan_conv(l->job.g, x, 64, 3, NULL, &(swg_conv_opts){.padding = {1, 1}, .channels_last = true}, "kan");
}

/* Attention of tfswa/unet at 1025x259 (benchmarking.md: att-1025): 8 heads side by side, on every level along frequency, on the outer one
 * along time and in windows, too. */
static swg_value attention(layer *l, int64_t tokens, int64_t d) {
    swg_value part[3];
    for (int i = 0; i < 3; i++)
        part[i] = input(l, 3, (int64_t[]){l->samples, tokens, 8 * d}, 2);
    return swg_attention(l->job.g, part[0], part[1], part[2], SWG_NONE, &(swg_attention_opts){.heads = 8});
}
static swg_value attention_1025(layer *l) { return attention(l, 1025, 4); }
static swg_value attention_259(layer *l) { return attention(l, 259, 4); }
static swg_value attention_64(layer *l) { return attention(l, 64, 4); }
static swg_value attention_512(layer *l) { return attention(l, 512, 8); }
static swg_value attention_256(layer *l) { return attention(l, 256, 16); }
static swg_value attention_128(layer *l) { return attention(l, 128, 32); }

static swg_value stft(layer *l) {
    return swg_stft(l->job.g, input(l, 3, (int64_t[]){l->samples, 2, 3 * 44100}, 1), &(swg_stft_opts){.n = 2048, .hop = 512});
}

static swg_value sliced_wasserstein(layer *l) { return swg_loss_sliced_wasserstein(l->job.g, input(l, 2, (int64_t[]){l->samples, 16}, 2), 50); }

/* The parameters of tfswa/unet in one span; their gradient is half of them. */
static swg_value parameters(layer *l) {
    swg_graph *g = l->job.g;
    swg_value w = swg_param(g, "w", 2, (int64_t[]){l->samples, 10000}, (swg_init){.bound = 1});
    return swg_affine(g, swg_square(g, w), .25, 0);
}

static const struct swg__bench_layer table[] = {
    {"win", "64 windows of 64, 96 wide, 6 heads, MLP 4x", FORWARD, window_block, 64, 2, false, 0, true},
    {"win-train", "64 windows of 64, 96 wide, 6 heads, MLP 4x", STEP, window_block, 64, 2, false, 1e-4, true},
    {"kan", "32x32 64-64 k3, G 5, p 3", FORWARD, kan_conv, 1, 0, false, 0, true},
    {"kan-train", "32x32 64-64 k3, G 5, p 3", GRADIENTS, kan_conv, 1, 0, false, 1e-4, true},
    {"layer-norm", "4096x256", FORWARD, layer_norm, 4096, 64, false, 0, false},
    {"layer-norm-train", "4096x256", GRADIENTS, layer_norm, 4096, 64, false, 0, false},
    {"batch-norm", "8x64x64x64", FORWARD, batch_norm, 8, 0, true, 0, false},
    {"batch-norm-train", "8x64x64x64", GRADIENTS, batch_norm, 8, 0, true, 0, false},
    {"instance-norm", "8x64x64x64", FORWARD, instance_norm, 8, 1, false, 0, false},
    {"group-norm", "8x64x64x64, 8 groups", FORWARD, group_norm, 8, 1, false, 0, false},
    {"gelu", "4096x384", FORWARD, gelu, 4096, 64, false, 0, false},
    {"gelu-train", "4096x384", GRADIENTS, gelu, 4096, 64, false, 0, false},
    {"softmax", "4096x512", FORWARD, softmax, 4096, 64, false, 0, false},
    {"resize", "8x64x64x64 to 128x128, bilinear", FORWARD, resize, 8, 1, false, 0, false},
    {"pool-max", "64x64x64x32, 2x2x2", FORWARD, max_pool, 1, 0, false, 0, false},
    {"pool-max-train", "64x64x64x32, 2x2x2", GRADIENTS, max_pool, 1, 0, false, 0, false},
    {"pool-avg", "64x64x64x32, 2x2x2", FORWARD, avg_pool, 1, 0, false, 0, false},
    {"transpose", "8x64x64x64 to channels first", FORWARD, transpose, 8, 1, false, 0, false},
    {"att-1025", "259 of 1025, 8 heads of 4", FORWARD, attention_1025, 259, 1, false, 0, true},
    {"att-1025-train", "16 of 1025, 8 heads of 4", GRADIENTS, attention_1025, 16, 1, false, 1e-4, false},
    {"att-259", "1025 of 259, 8 heads of 4", FORWARD, attention_259, 1025, 4, false, 0, true},
    {"att-64", "4257 of 64, 8 heads of 4", FORWARD, attention_64, 4257, 16, false, 0, true},
    {"att-64-train", "4257 of 64, 8 heads of 4", GRADIENTS, attention_64, 4257, 16, false, 1e-4, false},
    {"att-512", "129 of 512, 8 heads of 8", FORWARD, attention_512, 129, 1, false, 0, true},
    {"att-512-train", "16 of 512, 8 heads of 8", GRADIENTS, attention_512, 16, 1, false, 1e-4, false},
    {"att-256", "64 of 256, 8 heads of 16", FORWARD, attention_256, 64, 2, false, 0, true},
    {"att-128", "32 of 128, 8 heads of 32", FORWARD, attention_128, 32, 4, false, 0, true},
    {"stft", "2 channels of 132300, 2048/512", FORWARD, stft, 1, 0, false, 0, false},
    {"sw", "256x16, 50 directions", FORWARD, sliced_wasserstein, 256, 0, true, 0, false},
    {"sw-train", "256x16, 50 directions", GRADIENTS, sliced_wasserstein, 256, 0, true, 1e-3, false},
    {"adamw-15400000", "15400000", UPDATE, parameters, 1540, 1, true, 0, false},
};
enum { ROWS = sizeof table / sizeof *table };
_Static_assert(2 * (int)ROWS <= (int)SWG__BENCH_LAYERS, "room in the list of workloads");

int swg__bench_layer_list(swg__workload *out) {
    int count = 0;
    for (int i = 0; i < ROWS; i++)
        for (int bf16 = 0; bf16 <= table[i].bf16; bf16++) {
            swg__workload *w = &out[count++];
            *w = (swg__workload){.kind = SWG__WORK_LAYER, .batch = table[i].samples, .layer = &table[i], .bf16 = bf16};
            snprintf(w->id, sizeof w->id, "%s%s", table[i].id, bf16 ? "-bf16" : "");
        }
    return count;
}

const char *swg__bench_layer_shape(const swg__workload *work) { return work->layer->shape; }

/* ---- building and opening ---- */

static const swg_adam_hyper hyper = {.lr = 1e-3, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = .01, .clip_norm = 1, .grad_scale = 1};

/* d sum(y dy) by every floating input and parameter, after y. */
static swg_status add_gradients(layer *l, swg_value y) {
    swg_graph *g = l->job.g;
    swg_value of[MOST_OUTPUTS], own = y;
    int inputs = l->inputs, count = 0, params;
    const swg_value *all = swg_params_of(g, &params);
    for (int i = 0; i < inputs; i++)
        of[count++] = l->in[i];
    for (int i = 0; i < params; i++)
        of[count++] = all[i];
    if (swg_elements(g, y) > 1)
        own = swg_sum(g, swg_mul(g, y, input(l, swg_ndim(g, y), swg_shape(g, y), 1)), 0);
    SWG__TRY(swg_gradients(g, swg_reshape(g, own, 1, (int64_t[]){1}), of, count, l->out + 1));
    l->outputs += count;
    return SWG_OK;
}

static swg_status build(layer *l) {
    swg_graph *g = l->job.g;
    mode how = l->row->mode;
    swg_value y = l->row->build(l);
    l->outputs = 1;
    l->out[0] = y;
    if (how == GRADIENTS)
        return add_gradients(l, y);
    if (how == FORWARD)
        return SWG_OK;
    swg_value loss = how == UPDATE ? swg_sum(g, y, 0) : swg_mean(g, swg_square(g, y), 0);
    l->job.hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
    l->out[0] = swg_adam(g, swg_reshape(g, loss, 1, (int64_t[]){1}), l->job.hyper, &(swg_adam_opts){.decoupled = true});
    return SWG_OK;
}

static swg_status open_layer(swg_context *ctx, const struct swg__bench_layer *row, int64_t samples, swg_dtype dtype, bool bf16, layer *l) {
    *l = (layer){.row = row, .samples = samples, .job = {.ctx = ctx}};
    swg__job *job = &l->job;
    bool training = row->mode == STEP || row->mode == UPDATE;
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.dtype = dtype}, &job->g));
    SWG__TRY(build(l));
    SWG__TRY(swg_plan_make(job->g, &(swg_plan_opts){.outputs = l->out, .output_count = l->outputs, .frozen = row->mode == FORWARD, .bf16 = bf16}, &job->plan));
    SWG__TRY(swg_weights_create(job->g, training, &job->weights));
    swg_weights_init(job->weights, SEED);
    SWG__TRY(swg_plan_open(job->plan, job->weights, NULL));
    for (int i = 0; i < l->inputs; i++) {
        void *to = swg_plan_data(job->plan, l->in[i]);
        for (int64_t e = 0; to && e < swg_elements(job->g, l->in[i]); e++)
            swg__store(to, dtype, e, swg__bench_value(e, i) * l->scale[i]);
    }
    double b1 = 1, b2 = 1;
    if (training)
        swg_hyper_adam(&hyper, &b1, &b2, dtype, swg_plan_data(job->plan, job->hyper));
    for (int i = 0; i < job->plan->step_count; i++)
        if (job->plan->steps[i].call.node->op == SWG__UPDATE)
            job->update = &job->plan->steps[i];
    swg__job_run(job);
    return SWG_OK;
}

/* ---- checking ---- */

/* Largest |got - truth| over largest |truth|; NaN counts as infinitely wrong. */
static double error_of(const float *got, const double *truth, int64_t n) {
    double most = 0, gap = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - truth[i]);
        most = fmax(most, fabs(truth[i]));
        gap = d <= gap ? gap : d == d ? d : INFINITY;
    }
    return most > 0 ? gap / most : gap;
}

/* All results of as many samples as are checked; then the first samples of the timed plan's. */
static swg_status check(const layer *timed, bool bf16, double *error, char *failure, size_t capacity) {
    const struct swg__bench_layer *row = timed->row;
    int64_t samples = row->check ? row->check : row->samples;
    layer own = {.outputs = 0}, exact = {.outputs = 0};
    swg_context *ctx = timed->job.ctx;
    swg_status status = open_layer(ctx, row, samples, SWG_F64, false, &exact);
    if (status == SWG_OK)
        status = open_layer(ctx, row, samples, SWG_F32, bf16, &own);
    *error = 0;
    for (int i = 0; status == SWG_OK && i < own.outputs; i++)
        *error = fmax(*error, error_of(swg_plan_data(own.job.plan, own.out[i]), swg_plan_data(exact.job.plan, exact.out[i]),
                                       swg_elements(own.job.g, own.out[i])));
    if (status == SWG_OK && (row->mode == STEP || row->mode == UPDATE)) /* weights after the update, too */
        *error = fmax(*error, error_of((const float *)own.job.weights->value, (const double *)exact.job.weights->value, own.job.weights->span));
    if (status == SWG_OK && !row->joined && row->mode != STEP)
        *error = fmax(*error, error_of(swg_plan_data(timed->job.plan, timed->out[0]), swg_plan_data(exact.job.plan, exact.out[0]),
                                       swg_elements(exact.job.g, exact.out[0])));
    double allowed = bf16 ? 5e-2 : row->allowed > 0 ? row->allowed : 1e-5;
    if (status == SWG_OK && !(*error <= allowed))
        snprintf(failure, capacity, "%.1e from the f64 result, at most %.0e allowed", *error, allowed);
    swg__job_close(&own.job);
    swg__job_close(&exact.job);
    return status;
}

/* ---- what has to be done at least ---- */

/* Inputs and parameters are read, results written; gradients read inputs and parameters once more. An update reads four numbers of a
 * parameter and writes three. */
static void count_work(const layer *l, swg__row *row) {
    const swg_graph *g = l->job.g;
    double parameters = (double)swg_graph_parameters(g), in = parameters, out = 0;
    for (int i = 0; i < l->inputs; i++)
        in += (double)swg_elements(g, l->in[i]);
    for (int i = 0; i < l->outputs; i++)
        out += (double)swg_elements(g, l->out[i]);
    row->flop = (double)swg_plan_flops(l->job.plan);
    row->bytes = 4 * ((l->row->mode == FORWARD ? 1 : 2) * in + out);
    row->working_set_bytes = 4 * (in + out);
    row->parallel_calls = 1;
    if (l->row->mode == STEP || l->row->mode == UPDATE) {
        bool whole = l->row->mode == STEP;
        row->updates = !whole;
        row->flop = whole ? row->flop : 0;
        row->bytes = 28 * parameters + (whole ? row->bytes : 0);
        row->working_set_bytes = whole ? (double)swg_plan_memory_of(l->job.plan).peak_bytes : 16 * parameters;
    }
}

/* ---- one row ---- */

swg_status swg__bench_layer(swg__bench *b, swg__team *team, swg__row *row) {
    const struct swg__bench_layer *work = row->work.layer;
    layer own = {.outputs = 0};
    double begin = swg__bench_clock_ns();
    swg_status status = open_layer(team->ctx, work, work->samples, SWG_F32, row->work.bf16, &own);
    double cold = swg__bench_clock_ns() - begin;
    if (status == SWG_OK)
        status = check(&own, row->work.bf16, &row->error, row->failure, sizeof row->failure);
    if (status == SWG_OK && !*row->failure) {
        const swg__side side = {.call = work->mode == UPDATE ? swg__job_update : swg__job_run, .arg = &own.job};
        count_work(&own, row);
        swg__bench_explain(b, row, own.job.plan);
        status = swg__measure(team->ctx, &side, 1, b->opts.quick, &row->times, NULL);
        row->times.cold_ns = cold;
        row->planned_bytes = swg_plan_memory_of(own.job.plan).peak_bytes;
    }
    if (status != SWG_OK)
        snprintf(row->failure, sizeof row->failure, "%s", swg_context_message(team->ctx));
    swg__job_close(&own.job);
    return status;
}
