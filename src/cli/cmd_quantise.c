/* cmd_quantise.c - `swage quantise`: a trained network with weights of 8 or 16 bits, what became of each layer, and what it costs in accuracy.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base.h"
#include "cli/cli.h"
#include "swage/evaluate.h"
#include "swage/quantise_model.h"

static const cli_option options[] = {
    {"output", 'o', "FOLDER", "run folder that is made (default: RUN-MODE)"},
    {"keep", 'k', "NAMES", "layers that stay f32, patterns with commas between: decoder.fc2"},
    {"compare", 0, NULL, "also evaluate every precision on the run's test part; without mode=, only that"},
    {"part", 'p', "NAME", "--compare: another part of the split, or all"},
    {"batch", 'b', "N", "--compare: blocks per call when timing (default: 256)"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

#define MIB 1048576.0
enum { RUNS_WARM = 3, RUNS_LEAST = 5, RUNS_MOST = 10000 };

/* ---- arguments ---- */

/* mode=int8 among the changes, which are no settings here. */
static swg_status read_mode(cli *c, swg_inference *mode) {
    *mode = SWG_INFERENCE_F32;
    for (int i = 0; i < c->override_count; i++) {
        const char *text = c->overrides[i];
        if (strncmp(text, "mode=", 5) != 0)
            return cli_fail(c, SWG_EUSAGE, "%s: expected mode=int8, mode=fp8 or mode=bf16", text);
        if (!swg_inference_find(text + 5, mode) || *mode == SWG_INFERENCE_F32 || *mode == SWG_INFERENCE_FP8_ACTIVATIONS)
            return cli_fail(c, SWG_EUSAGE, "%s: expected int8, fp8 or bf16", text);
    }
    return *mode != SWG_INFERENCE_F32 || cli_flag(c, "compare") ? SWG_OK
                                                               : cli_fail(c, SWG_EUSAGE, "say mode=int8, mode=fp8 or mode=bf16, or --compare");
}

static const char *folder_for(const cli *c, swg_inference mode, char *out, size_t capacity) {
    const char *run = c->positional[0];
    size_t length = strlen(run), extension = strlen(".safetensors");
    while (length > 1 && run[length - 1] == '/')
        length--;
    if (length > extension && strcmp(run + length - extension, ".safetensors") == 0)
        length -= extension;
    snprintf(out, capacity, "%.*s-%s", (int)length, run, swg_inference_name(mode));
    return cli_value(c, "output") ? cli_value(c, "output") : out;
}

/* ---- accuracy and speed of every precision ---- */

typedef struct figures {
    bool known;
    double psnr_db, mse, normalised_psnr_db, normalised_mse, mae, max_abs;
    double encode_s, decode_s;  /* 0: emulated, which says nothing of speed */
    int64_t weight_bytes;
} figures;

static double value(const swg_metrics *m, swg_metric metric) { return m->has[metric] ? m->value[metric] : NAN; }

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef swg_status (*half_fn)(swg_model *model, int64_t count, const float *in, float *out);

/* Processor time where one thread does it all, which other processes of the machine disturb least; else time. */
static double seconds_now(const cli *c) {
    struct timespec t;
    clock_gettime(swg_context_threads(c->ctx) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Median of at least RUNS_LEAST runs and half a second. */
static swg_status time_half(cli *c, swg_model *model, half_fn half, int64_t batch, const float *in, float *out, double *median_s) {
    static double times[RUNS_MOST];
    int n = -RUNS_WARM;
    for (double total = 0; n < RUNS_LEAST || (n < RUNS_MOST && total < .5); n++) {
        double began = seconds_now(c);
        SWG__TRY(half(model, batch, in, out));
        if (n >= 0)
            total += times[n] = seconds_now(c) - began;
    }
    qsort(times, (size_t)n, sizeof *times, rising);
    *median_s = times[n / 2];
    return SWG_OK;
}

static swg_status time_halves(cli *c, swg_model *model, int64_t batch, figures *f) {
    const swg_swae *network = swg_model_network(model);
    float *x = calloc((size_t)(batch * network->input), sizeof *x), *z = calloc((size_t)(batch * network->latent), sizeof *z);
    swg_status status = x && z ? SWG_OK : cli_fail(c, SWG_ENOMEM, "out of memory for a batch of %lld blocks", (long long)batch);
    for (int64_t i = 0; status == SWG_OK && i < batch * network->input; i++)
        x[i] = (float)(i % 251) / 25 - 5; /* as swg_model_speed */
    if (status == SWG_OK)
        status = time_half(c, model, swg_model_encode, batch, x, z, &f->encode_s);
    if (status == SWG_OK)
        status = time_half(c, model, swg_model_decode, batch, z, x, &f->decode_s);
    free(x);
    free(z);
    return status;
}

static swg_status measure(cli *c, swg_model *model, swg_inference inference, int64_t batch, figures *f, char *split, size_t capacity) {
    swg_evaluation e;
    const char *part = cli_value(c, "part") ? cli_value(c, "part") : "test";
    *f = (figures){.known = true};
    if (inference != SWG_INFERENCE_F32) {
        swg_quantised q;
        SWG__TRY(swg_model_quantise(c->ctx, model, &(swg_quantise_opts){.inference = inference, .keep_f32 = cli_value(c, "keep")}, &q));
        f->weight_bytes = q.quantised_bytes;
        swg_quantised_free(c->ctx, &q);
    }
    SWG__TRY(swg_model_set_inference(model, inference, cli_value(c, "keep")));
    SWG__TRY(swg_evaluate(c->ctx, model, NULL, &(swg_evaluate_opts){.part = part}, &e));
    const swg_evaluation_row *all = &e.rows[e.count - 1];
    snprintf(split, capacity, "%s", e.split);
    f->psnr_db = value(&all->original, SWG_METRIC_PSNR_DB);
    f->mse = value(&all->original, SWG_METRIC_MSE);
    f->mae = value(&all->original, SWG_METRIC_MAE);
    f->max_abs = value(&all->original, SWG_METRIC_MAX_ABS_ERROR);
    f->normalised_psnr_db = value(&all->normalised, SWG_METRIC_PSNR_DB);
    f->normalised_mse = value(&all->normalised, SWG_METRIC_MSE);
    swg_evaluation_free(c->ctx, &e);
    return inference == SWG_INFERENCE_FP8_ACTIVATIONS ? SWG_OK : time_halves(c, model, batch, f);
}

/* The f32 weights through every precision: what is stored and what is computed with are the same numbers. */
static swg_status compare(cli *c, swg_model *model, int64_t batch, figures all[SWG_INFERENCES], char *split, size_t capacity) {
    swg_status status = SWG_OK;
    for (int i = 0; i < SWG_INFERENCES && status == SWG_OK; i++)
        status = measure(c, model, (swg_inference)i, batch, &all[i], split, capacity);
    if (status == SWG_OK) { /* the codes and scales of one with fewer bits are counted by swg_model_quantise; f32 by any of them */
        swg_quantised q;
        status = swg_model_quantise(c->ctx, model, &(swg_quantise_opts){.inference = SWG_INFERENCE_INT8}, &q);
        all[SWG_INFERENCE_F32].weight_bytes = status == SWG_OK ? q.original_bytes : 0;
        if (status == SWG_OK)
            swg_quantised_free(c->ctx, &q);
    }
    return status;
}

static double microseconds(double s) { return s > 0 ? s * 1e6 : NAN; }
static double speedup(const figures *exact, const figures *f) {
    return f->encode_s > 0 ? (exact->encode_s + exact->decode_s) / (f->encode_s + f->decode_s) : NAN;
}

static const char *number(double x, const char *format, char out[32]) {
    if (isnan(x))
        return "n/a";
    snprintf(out, 32, format, x);
    return out;
}

static void print_comparison(const cli *c, const figures all[SWG_INFERENCES], const char *split, int64_t batch) {
    const figures *exact = &all[SWG_INFERENCE_F32];
    printf("\n%s\n%-16s %10s %6s  %9s %8s %11s %9s %11s  %9s %9s %7s\n", split, "precision", "weights", "ratio", "PSNR dB", "delta", "MSE", "norm. dB",
           "norm. MSE", "encode us", "decode us", "faster");
    for (int i = 0; i < SWG_INFERENCES; i++) {
        char a[32], b[32], d[32], e[32], f[32], m[32], n[32], o[32];
        printf("%-16s %10lld %6.2f  %9s %8s %11s %9s %11s  %9s %9s %7s\n", swg_inference_name((swg_inference)i), (long long)all[i].weight_bytes,
               (double)exact->weight_bytes / (double)all[i].weight_bytes, number(all[i].psnr_db, "%.3f", a),
               number(all[i].psnr_db - exact->psnr_db, "%+.3f", b), number(all[i].mse, "%.4e", m), number(all[i].normalised_psnr_db, "%.3f", n),
               number(all[i].normalised_mse, "%.4e", o), number(microseconds(all[i].encode_s), "%.2f", e),
               number(microseconds(all[i].decode_s), "%.2f", d), number(speedup(exact, &all[i]), "%.2f", f));
    }
    printf("times: of a batch of %lld blocks, %d threads, %s, copies inside; median, of %s. No fp8 unit: fp8 weights are decoded to %s,\n"
           "and fp8-activations is emulated in f32, which says what it costs in accuracy and nothing of its speed\n",
           (long long)batch, swg_context_threads(c->ctx), swg_context_isa(c->ctx), swg_context_threads(c->ctx) == 1 ? "processor time" : "time",
           strcmp(swg_context_isa(c->ctx), "avx512_bf16") == 0 ? "bf16" : "f32");
}

/* ---- layers ---- */

static void print_layers(const swg_quantised *q, swg_inference mode) {
    printf("%-34s %10s %10s %9s %9s  %s\n", "weights", "f32 bytes", "bytes", "largest", "SQNR dB", "");
    for (int64_t i = 0; i < q->count; i++) {
        const swg_quantised_row *r = &q->rows[i];
        char sqnr[32];
        double most = fmax(fabs(r->low), fabs(r->high));
        if (r->stays_f32)
            snprintf(sqnr, sizeof sqnr, "-");
        else
            snprintf(sqnr, sizeof sqnr, "%.1f", r->sqnr_db);
        printf("%-34s %10lld %10lld %9.3g %9s  %s%s\n", r->name, (long long)r->original_bytes, (long long)r->quantised_bytes, most, sqnr,
               r->stays_f32 ? "f32: " : swg_inference_name(mode), r->stays_f32 ? r->stays_f32 : "");
    }
    printf("\n%lld numbers: %.3f MiB in f32, %.3f MiB as %s: %.2f times smaller, %.1f %% less", (long long)q->elements, (double)q->original_bytes / MIB,
           (double)q->quantised_bytes / MIB, swg_inference_name(mode), (double)q->original_bytes / (double)q->quantised_bytes,
           100 * (1 - (double)q->quantised_bytes / (double)q->original_bytes));
    printf("\nActivations, norms and sums of products are computed in f32.\n");
    if (q->path)
        printf("wrote %s (%lld bytes)\n", q->path, (long long)q->file_bytes);
}

/* ---- JSON ---- */

static void add_number(cJSON *to, const char *key, double x) {
    if (isfinite(x))
        cJSON_AddNumberToObject(to, key, x);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_layers(cJSON *root, const swg_quantised *q, swg_inference mode) {
    cJSON_AddStringToObject(root, "mode", swg_inference_name(mode));
    if (q->path)
        cJSON_AddStringToObject(root, "path", q->path);
    add_number(root, "original_bytes", (double)q->original_bytes);
    add_number(root, "quantized_bytes", (double)q->quantised_bytes);
    add_number(root, "file_bytes", (double)q->file_bytes);
    add_number(root, "original_size_mb", (double)q->original_bytes / MIB);
    add_number(root, "quantized_size_mb", (double)q->quantised_bytes / MIB);
    add_number(root, "compression_ratio", (double)q->original_bytes / (double)q->quantised_bytes);
    add_number(root, "size_reduction_percent", 100 * (1 - (double)q->quantised_bytes / (double)q->original_bytes));
    cJSON *layers = cJSON_AddArrayToObject(root, "layers");
    for (int64_t i = 0; i < q->count; i++) {
        const swg_quantised_row *r = &q->rows[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", r->name);
        cJSON_AddStringToObject(one, "scheme", r->stays_f32 ? "f32" : swg_inference_name(mode));
        if (r->stays_f32)
            cJSON_AddStringToObject(one, "stays_float", r->stays_f32);
        else
            add_number(one, "sqnr_db", r->sqnr_db);
        add_number(one, "elements", (double)r->elements);
        add_number(one, "bytes", (double)r->quantised_bytes);
        add_number(one, "low", r->low);
        add_number(one, "high", r->high);
        cJSON_AddItemToArray(layers, one);
    }
}

static void add_comparison(const cli *c, cJSON *root, const figures all[SWG_INFERENCES], const char *split, int64_t batch) {
    cJSON *object = cJSON_AddObjectToObject(root, "compare"), *list;
    cJSON_AddStringToObject(object, "split", split);
    add_number(object, "batch", (double)batch);
    add_number(object, "threads", swg_context_threads(c->ctx));
    cJSON_AddStringToObject(object, "isa", swg_context_isa(c->ctx));
    cJSON_AddStringToObject(object, "fp8", "emulated: no unit for it");
    list = cJSON_AddArrayToObject(object, "precisions");
    for (int i = 0; i < SWG_INFERENCES; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "precision", swg_inference_name((swg_inference)i));
        add_number(one, "weight_bytes", (double)all[i].weight_bytes);
        add_number(one, "psnr_db", all[i].psnr_db);
        add_number(one, "psnr_delta_db", all[i].psnr_db - all[0].psnr_db);
        add_number(one, "mse", all[i].mse);
        add_number(one, "mae", all[i].mae);
        add_number(one, "max_abs", all[i].max_abs);
        add_number(one, "normalised_psnr_db", all[i].normalised_psnr_db);
        add_number(one, "normalised_mse", all[i].normalised_mse);
        add_number(one, "encode_ms", microseconds(all[i].encode_s) / 1e3);
        add_number(one, "decode_ms", microseconds(all[i].decode_s) / 1e3);
        add_number(one, "speedup", speedup(&all[0], &all[i]));
        cJSON_AddItemToArray(list, one);
    }
}

/* ---- the command ---- */

static swg_status work(cli *c, swg_model *model, swg_inference mode) {
    figures all[SWG_INFERENCES] = {{0}};
    char folder[4096], split[400] = "";
    swg_quantised q = {0};
    swg_status status = SWG_OK;
    int64_t batch = 256;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &batch));
    if (mode != SWG_INFERENCE_F32)
        status = swg_model_quantise(c->ctx, model, &(swg_quantise_opts){.inference = mode, .keep_f32 = cli_value(c, "keep"),
                                                                       .folder = folder_for(c, mode, folder, sizeof folder)}, &q);
    if (status == SWG_OK && cli_flag(c, "compare"))
        status = compare(c, model, batch, all, split, sizeof split);
    if (status == SWG_OK && cli_flag(c, "json")) {
        cJSON *root = cJSON_CreateObject();
        if (mode != SWG_INFERENCE_F32)
            add_layers(root, &q, mode);
        if (cli_flag(c, "compare"))
            add_comparison(c, root, all, split, batch);
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(root);
    } else if (status == SWG_OK) {
        if (mode != SWG_INFERENCE_F32)
            print_layers(&q, mode);
        if (cli_flag(c, "compare"))
            print_comparison(c, all, split, batch);
    }
    swg_quantised_free(c->ctx, &q);
    return status;
}

static swg_status run(cli *c) {
    swg_model *model = NULL;
    swg_inference mode;
    SWG__TRY(read_mode(c, &mode));
    swg_status status = swg_model_open_as(c->ctx, c->positional[0], "swae", &model);
    if (status == SWG_OK)
        status = work(c, model, mode);
    swg_model_close(model);
    return status;
}

const cli_command cli_cmd_quantise = {
    .name = "quantise",
    .usage = "RUN mode=int8|fp8|bf16 [-o FOLDER] [--compare]",
    .help = "make a trained network smaller: weights of 8 or 16 bits",
    .details = "RUN is a run folder or a checkpoint. What is written opens wherever a RUN does. int8 also multiplies in 8 bits, on every processor; fp8 is a\n"
               "way to store weights, because there is no unit that computes with it.\n"
               "  swage quantise runs/demo mode=int8\n"
               "  swage quantise runs/demo --compare --json",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .run = run,
};
