/* cmd_eval.c - `swage eval`: how well a trained network reproduces a data set, as a table, JSON or CSV.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/eval_images.h"
#include "cli/eval_songs.h"
#include "cli/eval_stacks.h"
#include "swage/evaluate.h"

static const cli_option options[] = {
    {"part", 'p', "NAME", "all (default; of stacks and songs: test), train, val or test: a part of the split the network was trained with"},
    {"csv", 0, "FILE", "write all figures as CSV, too"},
    {"percentiles", 0, NULL, "percentiles of relative errors also for more than 8 million values (32 bytes each)"},
    {"relative-floor", 0, "X", "relative errors as |e| / (|x| + X) over all values; published: 1e-12 (default: |e| / |x| over x != 0)"},
    {"output", 'o', "FOLDER", "write metrics.json and metrics.csv, and per variable a .vti for ParaView and two figures, there"},
    {"speed", 0, NULL, "also time encoder and decoder"},
    {"batch", 'b', "N", "blocks per call for --speed (default: 65536); tiles per batch (default: 8)"},
    {"segment", 0, "SECONDS", "songs: length of what is separated at a time (default: 10)"},
    {"bss", 0, NULL, "songs: also BSSEval v3 and v4"},
    {"arrays", 0, NULL, "images: also write clean.npy, noisy.npy and decoded.npy to the folder of -o"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

/* What may be changed: which data are read, not what the network is. */
#define CHANGEABLE "data.path data.vars data.layout data.missing data.nonfinite data.constant data.column data.size data.overlap data.small data.scale " \
                   "data.unreadable data.group data.cache data.cache_dir data.source data.target data.labels data.z data.pad data.crops task noise noise.* trainer.seed " \
                   "data.leave_out data.valid_list data.valid_fraction data.resample data.trim data.mixture metric.floor " \
                   "predict.* sw_batch_size inference_args.* model.inference_args.* inference.*"

static void on_progress(void *user, int64_t done, int64_t total) {
    cli_progress_show(user, "%lld/%lld blocks  %.0f%%", (long long)done, (long long)total, 100.0 * (double)done / (double)total);
}

/* ---- table ---- */

static const char *cell(const swg_metrics *m, swg_metric metric, const char *format, char out[24]) {
    if (!m->has[metric])
        return "n/a";
    snprintf(out, 24, format, m->value[metric]);
    return out;
}

static void print_table(const swg_evaluation *e, const swg_speed *speed, const char *dtype) {
    printf("%s\n%lld files, %lld arrays\n\n", e->split, (long long)e->files, (long long)e->arrays);
    printf("%-12s %8s %8s %6s  %10s %8s %10s %9s %10s %9s %7s\n", "", "", "constant", "raw", "", "PSNR", "", "", "relative", "PSNR", "");
    printf("%-12s %8s %8s %6s  %10s %8s %10s %9s %10s %9s %7s\n", "variable", "blocks", "blocks", "blocks", "MSE", "dB", "max |e|", "r", "L2",
           "norm. dB", "ratio");
    for (int64_t i = 0; i < e->count; i++) {
        const swg_evaluation_row *r = &e->rows[i];
        char name[256], mse[24], psnr[24], max[24], correlation[24], l2[24], normalised[24];
        printf("%-12s %8lld %8.0f %6.0f  %10s %8s %10s %9s %10s %9s %7.2f\n", cli_clean(r->variable, name, sizeof name), (long long)r->blocks,
               r->original.value[SWG_METRIC_CONSTANT_BLOCKS], r->original.value[SWG_METRIC_RAW_BLOCKS],
               cell(&r->original, SWG_METRIC_MSE, "%.3e", mse), cell(&r->original, SWG_METRIC_PSNR_DB, "%.2f", psnr),
               cell(&r->original, SWG_METRIC_MAX_ABS_ERROR, "%.3e", max), cell(&r->original, SWG_METRIC_CORRELATION, "%.6f", correlation),
               cell(&r->original, SWG_METRIC_RELATIVE_L2, "%.3e", l2), cell(&r->normalised, SWG_METRIC_PSNR_DB, "%.2f", normalised), r->ratio);
    }
    const swg_evaluation_row *all = &e->rows[e->count - 1];
    printf("\n%lld bytes in: latents %lld, side information %lld, blocks kept as they are %lld; ratio %.3f", (long long)all->bytes_in,
           (long long)all->latent_bytes, (long long)all->side_bytes, (long long)all->raw_bytes, all->ratio);
    if (all->latent_bytes)
        printf(", of the latents alone %.3f", all->ratio_latent);
    printf("\n");
    if (all->failed_blocks)
        printf("%lld blocks have no finite reconstruction; they count as raw and are not compared\n", (long long)all->failed_blocks);
    if (speed->batch)
        printf("%s, cpu, %d threads, batch %lld, copies inside: encode %.3f GB/s, decode %.3f GB/s\n", dtype, speed->threads, (long long)speed->batch,
               speed->encode_gb_s, speed->decode_gb_s);
}

/* ---- JSON ---- */

/* The figures as the library prints them, as members of a new object. */
static cJSON *figures(const swg_metrics *metrics) {
    char text[2048];
    return swg_metrics_json(metrics, text, sizeof text) < (int64_t)sizeof text ? cJSON_Parse(text) : NULL;
}

static cJSON *row_object(const swg_evaluation_row *r) {
    const struct { const char *key; double value; } numbers[] = {
        {"blocks", (double)r->blocks},           {"failed_blocks", (double)r->failed_blocks}, {"bytes_in", (double)r->bytes_in},
        {"latent_bytes", (double)r->latent_bytes}, {"side_bytes", (double)r->side_bytes},     {"raw_bytes", (double)r->raw_bytes},
        {"ratio", r->ratio},
    };
    cJSON *object = figures(&r->original), *normalised = figures(&r->normalised);
    bool good = object && normalised && cJSON_AddStringToObject(object, "variable", r->variable);
    for (size_t i = 0; good && i < sizeof numbers / sizeof *numbers; i++)
        good = cJSON_AddNumberToObject(object, numbers[i].key, numbers[i].value) != NULL;
    if (good && r->latent_bytes)
        good = cJSON_AddNumberToObject(object, "ratio_latent", r->ratio_latent) != NULL;
    else if (good)
        good = cJSON_AddNullToObject(object, "ratio_latent") != NULL;
    if (good && cJSON_AddItemToObject(object, "normalised", normalised))
        return object;
    cJSON_Delete(object);
    cJSON_Delete(normalised);
    return NULL;
}

/* The figures over all at the root, those of each variable in a list. */
static cJSON *build_json(const cli *c, swg_model *model, swg_config *config, const swg_evaluation *e) {
    const char *part = cli_value(c, "part");
    cJSON *root = row_object(&e->rows[e->count - 1]);
    if (!root)
        return NULL;
    bool good = cJSON_AddStringToObject(root, "model", swg_model_path(model)) && cJSON_AddNumberToObject(root, "epoch", (double)swg_model_epoch(model))
             && cJSON_AddStringToObject(root, "data", swg_config_string(config, "data.path"))
             && cJSON_AddStringToObject(root, "part", part ? part : "all") && cJSON_AddStringToObject(root, "split", e->split)
             && cJSON_AddNumberToObject(root, "files", (double)e->files) && cJSON_AddNumberToObject(root, "arrays", (double)e->arrays)
             && cJSON_AddNumberToObject(root, "seconds", e->seconds);
    cJSON *variables = cJSON_AddArrayToObject(root, "variables");
    for (int64_t i = 0; good && i < e->count - 1; i++) {
        cJSON *row = row_object(&e->rows[i]);
        good = row && cJSON_AddItemToArray(variables, row);
    }
    if (good)
        return root;
    cJSON_Delete(root);
    return NULL;
}

static bool add_speed(cJSON *root, const swg_speed *speed, const char *dtype) {
    const struct { const char *key; double value; } numbers[] = {
        {"batch", (double)speed->batch}, {"threads", (double)speed->threads}, {"encode_s", speed->encode_s}, {"decode_s", speed->decode_s},
        {"encode_gb_s", speed->encode_gb_s}, {"decode_gb_s", speed->decode_gb_s}};
    cJSON *object = cJSON_AddObjectToObject(root, "speed");
    bool good = object && cJSON_AddStringToObject(object, "dtype", dtype) && cJSON_AddStringToObject(object, "device", "cpu") &&
                cJSON_AddBoolToObject(object, "copies_inside", true);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && good; i++)
        good = cJSON_AddNumberToObject(object, numbers[i].key, numbers[i].value) != NULL;
    return good;
}

/* To the file if there is one, else to stdout. */
static swg_status give_json(cli *c, swg_model *model, swg_config *config, const swg_evaluation *e, const swg_speed *speed, const char *path) {
    cJSON *root = build_json(c, model, config, e);
    char *text = root && (!speed->batch || add_speed(root, speed, swg_inference_name(swg_model_inference(model)))) ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return cli_fail(c, SWG_ENOMEM, "out of memory");
    swg_status status = SWG_OK;
    if (path)
        status = swg__file_write(c->ctx, path, text, strlen(text));
    else
        puts(text);
    cJSON_free(text);
    return status;
}

/* ---- a folder of results ---- */

static swg_status write_views(cli *c, swg_model *model, swg_config *config, const char *folder) {
    swg_source *source;
    SWG__TRY(swg_evaluate_source(c->ctx, config, &source));
    swg_status status = swg_view_names(c->ctx, source);
    for (int64_t v = 0; v < swg_source_variables(source) && status == SWG_OK; v++) {
        swg_view view;
        status = swg_view_make(c->ctx, model, config, source, v, &view);
        if (status == SWG_OK)
            status = swg_view_write(c->ctx, &view, folder);
        swg_view_free(c->ctx, &view);
    }
    swg_source_close(source);
    return status;
}

static swg_status write_folder(cli *c, swg_model *model, swg_config *config, const swg_evaluation *e, const swg_speed *speed) {
    const char *folder = cli_value(c, "output");
    char path[4096];
    SWG__TRY(swg__make_folders(c->ctx, folder));
    snprintf(path, sizeof path, "%s/metrics.csv", folder);
    SWG__TRY(swg_evaluation_write_csv(c->ctx, e, path));
    snprintf(path, sizeof path, "%s/metrics.json", folder);
    SWG__TRY(give_json(c, model, config, e, speed, path));
    return write_views(c, model, config, folder);
}

/* ---- the command ---- */

static swg_status read_floor(cli *c, double *floor) {
    const char *text = cli_value(c, "relative-floor");
    char *end = NULL;
    if (text)
        *floor = strtod(text, &end);
    if (text && (end == text || *end || !(*floor > 0 && *floor < 1e300)))
        return cli_fail(c, SWG_EUSAGE, "--relative-floor %s: expected a number above 0", text);
    return SWG_OK;
}

static swg_status evaluate(cli *c, swg_model *model, swg_config *config) {
    swg_evaluation e;
    swg_speed speed = {0};
    double floor = 0;
    int64_t batch = 65536;
    cli_progress progress;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 24, &batch));
    SWG__TRY(read_floor(c, &floor));
    cli_progress_open(&progress, 2);
    swg_status status = swg_evaluate(c->ctx, model, config, &(swg_evaluate_opts){.part = cli_value(c, "part"), .percentiles = cli_flag(c, "percentiles"),
                                                                                 .relative_floor = floor,
                                                                                 .progress = on_progress, .user = &progress}, &e);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    if (cli_flag(c, "speed"))
        status = swg_model_speed(c->ctx, model, batch, &speed);
    if (status == SWG_OK && cli_value(c, "csv"))
        status = swg_evaluation_write_csv(c->ctx, &e, cli_value(c, "csv"));
    if (status == SWG_OK && cli_value(c, "output"))
        status = write_folder(c, model, config, &e, &speed);
    if (status == SWG_OK && cli_flag(c, "json"))
        status = give_json(c, model, config, &e, &speed, NULL);
    else if (status == SWG_OK)
        print_table(&e, &speed, swg_inference_name(swg_model_inference(model)));
    swg_evaluation_free(c->ctx, &e);
    return status;
}

static swg_status run(cli *c) {
    swg_model *model = NULL;
    swg_config *config = NULL;
    swg_status status = cli_open_model(c, CHANGEABLE, &model);
    if (status == SWG_OK)
        status = cli_open_model_config(c, model, &config);
    if (status == SWG_OK)
        status = cli_set_inference(c, model, config);
    if (status == SWG_OK)
        status = strcmp(swg_model_family(model), "kan") == 0    ? cli_eval_images(c, model, config)
                 : strcmp(swg_model_family(model), "cyto") == 0 ? cli_eval_stacks(c, model, config)
                 : strcmp(swg_model_family(model), "tfswa") == 0 ? cli_eval_songs(c, model, config)
                                                                : evaluate(c, model, config);
    swg_config_close(config);
    swg_model_close(model);
    return status;
}

const cli_command cli_cmd_eval = {
    .name = "eval",
    .usage = "RUN [data.path=...] [--part NAME] [-o FOLDER] [--speed]",
    .help = "measure how well a trained network reproduces data",
    .details = "RUN is a run folder (its best checkpoint) or a checkpoint. The data are those of the training run unless data.path, data.vars,\n"
               "data.layout, data.missing, data.nonfinite or data.constant say otherwise; of images also noise, data.size and the like.\n"
               "  swage eval runs/demo --part test\n"
               "  swage eval runs/demo data.path=other.h5 --json\n"
               "  swage eval runs/dae data.path=test.csv noise=gauss noise.sigma=0.2\n"
               "  swage eval cyto/labelfree ckpt_path=runs/labelfree          # the same as eval runs/labelfree, which must be of that recipe",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
