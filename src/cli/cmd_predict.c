/* cmd_predict.c - `swage predict`: images through a trained network, whole slides by tiles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "data/image_list.h"
#include "swage/predict.h"

static const cli_option options[] = {
    {"quiet", 'q', NULL, "print nothing but failures"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

#define CHANGEABLE "input output latent sw_batch_size predict.* data.scale data.nonfinite data.column inference.*"

/* What is asked for, and how far it came. */
typedef struct work {
    cli *c;
    swg_model *model;
    swg_predict_opts opts;
    const char *output, *latent, *existing;
    cli_progress progress;
    bool quiet, many;
    int64_t image, images, written, skipped;
    cJSON *files;
} work;

static void on_progress(void *user, int64_t done, int64_t total) {
    work *w = user;
    if (w->quiet)
        return;
    if (w->many)
        cli_progress_show(&w->progress, "image %lld/%lld  tile %lld/%lld", (long long)w->image + 1, (long long)w->images, (long long)done, (long long)total);
    else
        cli_progress_show(&w->progress, "tile %lld/%lld  %.0f%%", (long long)done, (long long)total, 100 * (double)done / (double)total);
}

/* FOLDER/<name of the input without its ending><ending>; folders inside the name are made. A name that leads out of the folder is its last part. */
static swg_status place(work *w, const char *folder, const char *name, const char *ending, char *out, size_t capacity) {
    char parent[1100];
    if (*name == '/' || strstr(name, ".."))
        name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    int length = dot && (!slash || dot > slash) ? (int)(dot - name) : (int)strlen(name);
    if (snprintf(out, capacity, "%s/%.*s%s", folder, length, name, ending) >= (int)capacity)
        return cli_fail(w->c, SWG_EUSAGE, "%s: the path of its output is too long", name);
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(out, '/') - out), out);
    return swg__make_folders(w->c->ctx, parent);
}

static swg_status note_file(work *w, const char *input, const char *output, const char *latent, const swg_predict_result *r) {
    if (w->files) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "input", input);
        if (output)
            cJSON_AddStringToObject(o, "output", output);
        if (latent)
            cJSON_AddStringToObject(o, "latent", latent);
        const struct { const char *key; double value; } numbers[] = {
            {"height", (double)r->height}, {"width", (double)r->width}, {"tiles", (double)r->tiles}, {"tile_height", (double)r->tile_height},
            {"tile_width", (double)r->tile_width}, {"planned_bytes", (double)r->planned_bytes}, {"outside", (double)r->outside}, {"seconds", r->seconds}};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            cJSON_AddNumberToObject(o, numbers[i].key, numbers[i].value);
        cJSON_AddItemToArray(w->files, o);
    } else if (!w->quiet && !w->many) {
        printf("%lldx%lld pixels in %lld tile%s of %lldx%lld, %.2f s, %.1f MiB planned\n", (long long)r->width, (long long)r->height, (long long)r->tiles,
               r->tiles == 1 ? "" : "s", (long long)r->tile_width, (long long)r->tile_height, r->seconds, (double)r->planned_bytes / 1048576);
        if (output)
            printf("wrote %s\n", output);
        if (latent)
            printf("wrote %s: %lld x %lld x %lld per tile\n", latent, (long long)r->z[0], (long long)r->z[1], (long long)r->z[2]);
        if (r->outside)
            printf("%lld input values lie outside [0,1]\n", (long long)r->outside);
    }
    return SWG_OK;
}

/* One image; its outputs are there already: stop, skip or replace. */
static swg_status predict_one(work *w, const char *input, const char *output, const char *latent) {
    const bool there = (output && swg__exists(output)) || (latent && swg__exists(latent));
    const bool complete = (!output || swg__exists(output)) && (!latent || swg__exists(latent));
    const bool skip = strcmp(w->existing, "skip") == 0 || (strcmp(w->existing, "auto") == 0 && w->many);
    if (complete && there && skip) {
        w->skipped++;
        return SWG_OK;
    }
    if (there && !skip && strcmp(w->existing, "replace") != 0)
        return cli_fail(w->c, SWG_EINVAL, "%s stands there already; choose another name, or say predict.existing=replace",
                        output && swg__exists(output) ? output : latent);
    swg_predict_opts opts = w->opts;
    swg_predict_result result;
    opts.latent = latent;
    SWG__TRY(swg_predict_file(w->c->ctx, w->model, input, output, &opts, &result));
    w->written++;
    return note_file(w, input, output, latent, &result);
}

static swg_status predict_many(work *w, const swg__image_list *index) {
    char output[1100], latent[1100];
    for (w->image = 0; w->image < index->count; w->image++) {
        const char *input = index->path[w->image], *name = index->name[w->image], *dot = strrchr(input, '.');
        if (w->output)
            SWG__TRY(place(w, w->output, name, dot && strcmp(dot, ".png") != 0 ? ".tif" : ".png", output, sizeof output));
        if (w->latent)
            SWG__TRY(place(w, w->latent, name, ".npy", latent, sizeof latent));
        SWG__TRY(predict_one(w, input, w->output ? output : NULL, w->latent ? latent : NULL));
    }
    return SWG_OK;
}

static bool is_image(const char *path) {
    static const char *const endings[] = {".png", ".PNG", ".tif", ".tiff", ".TIF", ".TIFF"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static swg_status predict(work *w, swg_config *config) {
    const char *input = swg_config_has(config, "predict.input") ? swg_config_string(config, "predict.input") : NULL;
    w->output = swg_config_has(config, "predict.output") ? swg_config_string(config, "predict.output") : NULL;
    w->latent = swg_config_has(config, "predict.latent") ? swg_config_string(config, "predict.latent") : NULL;
    w->existing = swg_config_string(config, "predict.existing");
    w->opts = (swg_predict_opts){.overlap = swg_config_float(config, "predict.overlap"), .constant = swg_config_is(config, "predict.blend", "constant"),
                                 .batch = swg_config_int(config, "predict.batch"), .progress = on_progress, .stop = cli_signal_flag(), .user = w};
    SWG__TRY(swg_config_status(config));
    if (!input || (!w->output && !w->latent))
        return cli_fail(w->c, SWG_EUSAGE, "predict: say input=IMAGE_OR_FOLDER and output=..., latent=... or both");
    if (is_image(input)) {
        w->images = 1;
        return predict_one(w, input, w->output, w->latent);
    }
    swg__image_list index;
    SWG__TRY(swg__image_list_read(w->c->ctx, input, swg_config_string(config, "data.column"), &index));
    w->many = true;
    w->images = index.count;
    swg_status status = predict_many(w, &index);
    swg__image_list_free(&index);
    return status;
}

static swg_status run(cli *c) {
    work w = {.c = c, .quiet = cli_flag(c, "quiet") || cli_flag(c, "json")};
    swg_config *config = NULL;
    SWG__TRY(cli_only_keys(c, CHANGEABLE));
    swg_status status = swg_model_open(c->ctx, c->positional[0], &w.model);
    if (status == SWG_OK && strcmp(swg_model_family(w.model), "kan") != 0)
        status = cli_fail(c, SWG_EUSAGE, "%s: a network of family %s; predict takes networks of images", c->positional[0], swg_model_family(w.model));
    if (status == SWG_OK)
        status = cli_open_model_config(c, w.model, &config);
    if (status == SWG_OK)
        status = cli_set_inference(c, w.model, config);
    cli_progress_open(&w.progress, 2);
    cli_signals_catch();
    w.files = cli_flag(c, "json") ? cJSON_CreateArray() : NULL;
    if (status == SWG_OK)
        status = predict(&w, config);
    cli_progress_close(&w.progress);
    if (status == SWG_OK && w.files) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddNumberToObject(root, "written", (double)w.written);
        cJSON_AddNumberToObject(root, "skipped", (double)w.skipped);
        cJSON_AddItemToObject(root, "files", w.files);
        w.files = NULL;
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(root);
    } else if (status == SWG_OK && w.many && !w.quiet) {
        printf("%lld images, %lld written, %lld there already\n", (long long)w.images, (long long)w.written, (long long)w.skipped);
    }
    cJSON_Delete(w.files);
    swg_config_close(config);
    swg_model_close(w.model);
    return status;
}

const cli_command cli_cmd_predict = {
    .name = "predict",
    .usage = "RUN input=IMAGE_OR_FOLDER [output=...] [latent=Z.npy] [predict.overlap=0.25]",
    .help = "put images through a trained network, of any size",
    .details = "Images larger than a training tile are cut into tiles that overlap and are blended; memory does not grow with the height.\n"
               "  swage predict runs/dae input=slide.tif output=clean.tif latent=z.npy\n"
               "  swage predict runs/dae input=tiles.csv output=clean       # a folder, list or CSV of images; those done before are skipped",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
