/* cmd_predict.c - `swage predict`: images through a trained network, whole slides by tiles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/predict_stacks.h"
#include "data/image_list.h"
#include "swage/predict.h"

static const cli_option options[] = {
    {"quiet", 'q', NULL, "print nothing but failures"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

#define CHANGEABLE "input output latent sw_batch_size inference_args.* model.inference_args.* predict.* data.path data.source data.z data.cache_dir data.scale data.nonfinite data.column data.unreadable inference.*"

/* What is asked for, and how far it came. */
typedef struct work {
    cli *c;
    swg_model *model;
    swg_predict_opts opts;
    const char *output, *latent, *existing;
    cli_progress progress;
    bool quiet, many;
    bool skip_unreadable;
    const char *input;              /* that is being worked on */
    int64_t image, images, written, skipped, unreadable;
    cJSON *files;
} work;

enum { PATH_MOST = 4096 };

static void on_progress(void *user, int64_t done, int64_t total) {
    work *w = user;
    if (w->quiet)
        return;
    if (w->many)
        cli_progress_show(&w->progress, "image %lld/%lld  tile %lld/%lld", (long long)w->image + 1, (long long)w->images, (long long)done, (long long)total);
    else
        cli_progress_show(&w->progress, "tile %lld/%lld  %.0f%%", (long long)done, (long long)total, 100 * (double)done / (double)total);
}

static void on_note(void *user, const char *text) {
    work *w = user;
    cli_progress_close(&w->progress);
    if (!w->quiet)
        cli_say("%s%s%s", w->many ? w->input : "", w->many ? ": " : "", text);
}

/* Does the path lead out of its folder? */
static bool leads_out(const char *name) {
    for (const char *part = name; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
        if (strncmp(part, "..", 2) == 0 && (!part[2] || part[2] == '/'))
            return true;
    return *name == '/';
}

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), n = strlen(ending);
    return length > n && strcasecmp(path + length - n, ending) == 0;
}

/* FOLDER/<name of the input without its ending><ending>. A name that leads out of the folder is its last part. */
static swg_status place(work *w, const char *folder, const char *name, const char *ending, char *out, size_t capacity) {
    if (leads_out(name))
        name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    int length = dot && (!slash || dot > slash) ? (int)(dot - name) : (int)strlen(name);
    if (snprintf(out, capacity, "%s/%.*s%s", folder, length, name, ending) >= (int)capacity)
        return cli_fail(w->c, SWG_EUSAGE, "%s: the path of its output is too long", name);
    return SWG_OK;
}

/* The folder a file is to lie in. */
static swg_status make_parent(work *w, const char *path) {
    char parent[PATH_MOST];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
    return swg__make_folders(w->c->ctx, parent);
}

static swg_status note_file(work *w, const char *input, const char *output, const char *latent, const swg_predict_result *r) {
    if (w->files) {
        char clean[PATH_MOST];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "input", cli_clean(input, clean, sizeof clean));
        if (output)
            cJSON_AddStringToObject(o, "output", output);
        if (latent)
            cJSON_AddStringToObject(o, "latent", latent);
        const struct { const char *key; double value; } numbers[] = {
            {"height", (double)r->height}, {"width", (double)r->width}, {"tiles", (double)r->tiles}, {"tile_height", (double)r->tile_height},
            {"tile_width", (double)r->tile_width}, {"planned_bytes", (double)r->planned_bytes}, {"outside", (double)r->outside},
            {"nonfinite", (double)r->nonfinite}, {"seconds", r->seconds}};
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
    }
    if (r->outside && !w->quiet)
        cli_say("%s: %lld input values lie outside [0,1]", input, (long long)r->outside);
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

/* What image i of a list becomes. */
static swg_status places(work *w, const swg__image_list *list, int64_t i, char output[PATH_MOST], char latent[PATH_MOST]) {
    *output = *latent = 0;
    if (w->output)
        SWG__TRY(place(w, w->output, list->name[i], ends_in(list->path[i], ".png") ? ".png" : ".tif", output, PATH_MOST));
    return w->latent ? place(w, w->latent, list->name[i], ".npy", latent, PATH_MOST) : SWG_OK;
}

typedef struct named { const char *text; int64_t image; } named;

static int by_text(const void *a, const void *b) { return strcmp(((const named *)a)->text, ((const named *)b)->text); }

/* Two images whose results would have one name are told before anything is computed. */
static swg_status check_names(work *w, const swg__image_list *list) {
    char output[PATH_MOST], latent[PATH_MOST];
    named *names = swg__calloc(w->c->ctx, (size_t)list->count, sizeof *names);
    swg__arena arena;
    swg__arena_init(&arena, w->c->ctx);
    swg_status status = names ? SWG_OK : SWG_ENOMEM;
    for (int64_t i = 0; i < list->count && status == SWG_OK; i++) {
        status = places(w, list, i, output, latent);
        names[i] = (named){swg__arena_strdup(&arena, *latent ? latent : output), i}; /* endings tell outputs apart, not latents */
        status = status == SWG_OK && !names[i].text ? SWG_ENOMEM : status;
    }
    if (status == SWG_ENOMEM)
        status = cli_fail(w->c, SWG_ENOMEM, "out of memory");
    if (status == SWG_OK)
        qsort(names, (size_t)list->count, sizeof *names, by_text);
    for (int64_t i = 1; i < list->count && status == SWG_OK; i++)
        if (strcmp(names[i - 1].text, names[i].text) == 0)
            status = cli_fail(w->c, SWG_EINVAL, "%s and %s would both be written to %s; rename one, or predict them one by one",
                              list->path[names[i - 1].image], list->path[names[i].image], names[i].text);
    swg__arena_free(&arena);
    swg__free(w->c->ctx, names);
    return status;
}

static swg_status predict_many(work *w, const swg__image_list *list) {
    char output[PATH_MOST], latent[PATH_MOST];
    SWG__TRY(check_names(w, list));
    for (w->image = 0; w->image < list->count; w->image++) {
        w->input = list->path[w->image];
        if (list->folder && (swg__below_folder(w->input, w->output) || swg__below_folder(w->input, w->latent))) {
            w->images--;
            continue;
        }
        SWG__TRY(places(w, list, w->image, output, latent));
        if (*output)
            SWG__TRY(make_parent(w, output));
        if (*latent)
            SWG__TRY(make_parent(w, latent));
        swg_status status = predict_one(w, w->input, *output ? output : NULL, *latent ? latent : NULL);
        const bool unreadable = status == SWG_ENOTFOUND || status == SWG_EFORMAT || status == SWG_ECORRUPT || status == SWG_EDTYPE || status == SWG_EUNSUPPORTED;
        if (unreadable && w->skip_unreadable) {
            cli_progress_close(&w->progress);
            cli_say("skipped: %s", swg_context_message(w->c->ctx));
            w->unreadable++;
        } else if (status != SWG_OK) {
            return status;
        }
    }
    return SWG_OK;
}

static swg_status predict(work *w, swg_config *config) {
    const char *input = swg_config_has(config, "predict.input") ? swg_config_string(config, "predict.input") : NULL;
    w->output = swg_config_has(config, "predict.output") ? swg_config_string(config, "predict.output") : NULL;
    w->latent = swg_config_has(config, "predict.latent") ? swg_config_string(config, "predict.latent") : NULL;
    w->existing = swg_config_string(config, "predict.existing");
    w->opts = (swg_predict_opts){.overlap = swg_config_float(config, "predict.overlap"), .constant = swg_config_is(config, "predict.blend", "constant"),
                                 .batch = swg_config_int(config, "predict.batch"), .progress = on_progress, .note = on_note,
                                 .scale = swg_config_has(config, "data.scale") ? swg_config_float(config, "data.scale") : 0,
                                 .nonfinite = swg_config_string(config, "data.nonfinite"), .stop = cli_signal_flag(), .user = w};
    w->skip_unreadable = swg_config_is(config, "data.unreadable", "skip");
    SWG__TRY(swg_config_status(config));
    if (!input || (!w->output && !w->latent))
        return cli_fail(w->c, SWG_EUSAGE, "predict: say input=IMAGE_OR_FOLDER and output=..., latent=... or both");
    if (ends_in(input, ".png") || ends_in(input, ".tif") || ends_in(input, ".tiff")) {
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
    swg_status status = cli_open_model(c, CHANGEABLE, &w.model);
    const bool stacks = status == SWG_OK && strcmp(swg_model_family(w.model), "cyto") == 0;
    if (status == SWG_OK && !stacks && strcmp(swg_model_family(w.model), "kan") != 0)
        status = cli_fail(c, SWG_EUSAGE, "%s: a network of family %s; predict takes networks of images%s", c->positional[0], swg_model_family(w.model),
                          strcmp(swg_model_family(w.model), "tfswa") == 0 ? ", swage separate songs" : "");
    if (status == SWG_OK)
        status = cli_open_model_config(c, w.model, &config);
    if (status == SWG_OK)
        status = cli_set_inference(c, w.model, config);
    cli_progress_open(&w.progress, 2);
    cli_signals_catch();
    if (status == SWG_OK && stacks) {
        status = cli_predict_stacks(c, w.model, config, w.quiet);
        swg_config_close(config);
        swg_model_close(w.model);
        return status;
    }
    w.files = cli_flag(c, "json") ? cJSON_CreateArray() : NULL;
    if (status == SWG_OK)
        status = predict(&w, config);
    cli_progress_close(&w.progress);
    if (status == SWG_OK && w.files) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddNumberToObject(root, "written", (double)w.written);
        cJSON_AddNumberToObject(root, "skipped", (double)w.skipped);
        cJSON_AddNumberToObject(root, "unreadable", (double)w.unreadable);
        cJSON_AddItemToObject(root, "files", w.files);
        w.files = NULL;
        char *text = cJSON_Print(root);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(root);
    } else if (status == SWG_OK && w.many && !w.quiet) {
        printf("%lld images, %lld written, %lld there already%s", (long long)w.images, (long long)w.written, (long long)w.skipped, w.unreadable ? ", " : "\n");
        if (w.unreadable)
            printf("%lld unreadable\n", (long long)w.unreadable);
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
               "  swage predict runs/dae input=tiles.csv output=clean       # a folder, list or CSV of images; those done before are skipped\n"
               "Networks of microscopy stacks write FOLDER/HEAD/IMAGE.tif, or FOLDER/embeddings.csv:\n"
               "  swage predict runs/seg input=stack.tif output=masks predict.overlap=0.25 predict.instances=true",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
