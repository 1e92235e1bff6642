/* train_codec.c - `swage train codec/...`: trains models of the codec, tests them on what was held out, and fills a run folder with model.swm,
 * config.yaml and report.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include "base.h"
#include "cli/archive_out.h"

typedef struct job {
    swg_config *config;
    char dir[1024], model_path[1088], kinds[256], vars[1024];
    swg_codec_model *model;
    swg_archive_training *training;
} job;

/* Items of a list with commas between. */
static swg_status join(cli *c, swg_config *config, const char *key, char *out, size_t capacity) {
    size_t used = 0;
    for (int64_t i = 0; i < swg_config_count(config, key); i++) {
        int n = snprintf(out + used, capacity - used, "%s%s", i ? "," : "", swg_config_string_at(config, key, i));
        if (n < 0 || (size_t)n >= capacity - used)
            return cli_fail(c, SWG_EUSAGE, "%s: the list is too long", key);
        used += (size_t)n;
    }
    return swg_config_status(config);
}

/* The run folder; a set of models that stands there is gone on with, if the recipe says so. */
static swg_status open_folder(cli *c, job *j) {
    const char *base = swg_config_string(j->config, "run.dir"), *resume = swg_config_string(j->config, "resume");
    char name[160];
    if (swg_config_has(j->config, "run.name")) {
        snprintf(name, sizeof name, "%s", swg_config_string(j->config, "run.name"));
    } else {
        time_t now = time(NULL);
        struct tm parts;
        localtime_r(&now, &parts);
        snprintf(name, sizeof name, "codec-%.100s-", j->kinds);
        for (char *p = name; *p; p++)
            *p = *p == ',' ? '-' : *p;
        strftime(name + strlen(name), sizeof name - strlen(name), "%Y%m%d-%H%M%S", &parts);
    }
    if (snprintf(j->dir, sizeof j->dir, "%s/%s", base ? base : "runs", name) >= (int)sizeof j->dir)
        return cli_fail(c, SWG_EUSAGE, "run.dir and run.name: the path is too long");
    snprintf(j->model_path, sizeof j->model_path, "%s/model.swm", j->dir);
    SWG__TRY(swg__make_folders(c->ctx, j->dir));
    if (!swg__exists(j->model_path))
        return swg_codec_model_new(c->ctx, &j->model);
    if (!resume || strcmp(resume, "auto") != 0)
        return cli_fail(c, SWG_EINVAL, "%s holds models already; go on with resume=auto, or choose another run.name", j->dir);
    return swg_codec_model_load(c->ctx, j->model_path, &j->model);
}

static double bits(const swg_archive_training_row *r, int64_t bytes) { return r->values ? 8 * (double)bytes / (double)r->values : NAN; }

static cJSON *report_json(const job *j) {
    cJSON *root = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(root, "variables"), *models = cJSON_AddArrayToObject(root, "models");
    cJSON_AddStringToObject(root, "run", j->dir);
    for (int64_t i = 0; i < j->training->count; i++) {
        const swg_archive_training_row *r = &j->training->rows[i];
        if (!r->trained)
            continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "variable", r->variable);
        cJSON_AddNumberToObject(o, "arrays_trained", (double)r->trained);
        cJSON_AddNumberToObject(o, "arrays_tested", (double)r->tested);
        cJSON_AddBoolToObject(o, "held_out", r->held_out);
        cJSON_AddNumberToObject(o, "bits_per_value_without", bits(r, r->bytes_without));
        cJSON_AddNumberToObject(o, "bits_per_value_with", bits(r, r->bytes_with));
        cJSON_AddNumberToObject(o, "model_bytes", (double)r->model_bytes);
        cJSON_AddNumberToObject(o, "seconds", r->seconds);
        cJSON_AddItemToArray(rows, o);
    }
    for (int i = 0; i < swg_codec_model_count(j->model); i++) {
        swg_codec_model_info info;
        swg_codec_model_describe(j->model, i, &info);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "kind", info.kind);
        cJSON_AddStringToObject(o, "variable", info.name);
        cJSON_AddNumberToObject(o, "relative_bound", info.bound);
        cJSON_AddNumberToObject(o, "bytes", (double)info.bytes);
        cJSON_AddItemToArray(models, o);
    }
    return root;
}

/* config.yaml and report.json beside the models. */
static swg_status write_folder(cli *c, const job *j) {
    char path[1088];
    const char *yaml;
    SWG__TRY(swg_config_yaml(j->config, &yaml));
    snprintf(path, sizeof path, "%s/config.yaml", j->dir);
    SWG__TRY(swg__file_write(c->ctx, path, yaml, strlen(yaml)));
    SWG__TRY(swg_codec_model_save(c->ctx, j->model, j->model_path));
    cJSON *root = report_json(j);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    snprintf(path, sizeof path, "%s/report.json", j->dir);
    swg_status status = text ? swg__file_write(c->ctx, path, text, strlen(text)) : cli_fail(c, SWG_ENOMEM, "out of memory");
    if (status == SWG_OK && cli_flag(c, "json"))
        puts(text);
    cJSON_free(text);
    return status;
}

static void print_table(const job *j) {
    bool same = false;
    printf("%-14s %8s %7s %12s %12s %8s %8s %8s\n", "variable", "trained", "tested", "bits without", "bits with", "saved", "bytes", "seconds");
    for (int64_t i = 0; i < j->training->count; i++) {
        const swg_archive_training_row *r = &j->training->rows[i];
        char name[256];
        if (!r->trained)
            continue;
        same = same || !r->held_out;
        printf("%-14s %8lld %6lld%s %12.4f %12.4f %7.2f%% %8lld %8.1f\n", cli_clean(r->variable, name, sizeof name), (long long)r->trained, (long long)r->tested,
               r->held_out ? " " : "*", bits(r, r->bytes_without), bits(r, r->bytes_with),
               r->bytes_without ? 100 * (1 - (double)r->bytes_with / (double)r->bytes_without) : 0, (long long)r->model_bytes, r->seconds);
    }
    if (same)
        printf("* only one array: tested on what was trained on\n");
    printf("run folder %s\n", j->dir);
}

static swg_status train(cli *c, job *j) {
    swg_config *config = j->config;
    swg_archive_opts opts = {.source = {.vars = j->vars, .layout = swg_config_string(config, "data.layout"), .missing = swg_config_string(config, "data.missing")}};
    const char *path = swg_config_string(config, "data.path"), *bound = swg_config_string(config, "codec.bound");
    swg_archive_train_opts how = {.kinds = j->kinds, .seed = (uint64_t)swg_config_int(config, "trainer.seed"), .save = j->model_path,
                                  .seconds = swg_config_has(config, "codec.seconds") ? swg_config_float(config, "codec.seconds") : 0};
    SWG__TRY(swg_config_status(config));
    SWG__TRY(swg_bound_parse(c->ctx, bound, &opts.bound, &opts.value));
    if (opts.bound != SWG_BOUND_ABS && opts.bound != SWG_BOUND_REL)
        return cli_fail(c, SWG_EUSAGE, "bound=%s: models are trained for abs:NUMBER or rel:NUMBER", bound);
    SWG__TRY(open_folder(c, j));
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    if (cli_flag(c, "quiet"))
        hooks.progress = NULL;
    swg_status status = swg_archive_train(c->ctx, path, &opts, &how, &hooks, j->model, &j->training);
    cli_progress_close(&progress);
    if (status == SWG_EINTERRUPTED)
        return cli_fail(c, status, "stopped; what was ready is in %s. The same command with resume=auto goes on", j->model_path);
    SWG__TRY(status);
    SWG__TRY(write_folder(c, j));
    if (!cli_flag(c, "json") && !cli_flag(c, "quiet"))
        print_table(j);
    return SWG_OK;
}

swg_status cli_train_codec(cli *c, swg_config *config) {
    job j = {.config = config};
    swg_status status = join(c, config, "codec.models", j.kinds, sizeof j.kinds);
    if (status == SWG_OK)
        status = join(c, config, "data.vars", j.vars, sizeof j.vars);
    if (status == SWG_OK)
        status = train(c, &j);
    swg_archive_training_free(j.training);
    swg_codec_model_free(c->ctx, j.model);
    return status;
}
