/* predict_stacks.c - `swage predict` of networks of stacks: whole images by windows into a folder per head.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/predict_stacks.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include "base.h"
#include "train/whole.h"

typedef struct work {
    cli *c;
    cli_progress progress;
    bool quiet;
    cJSON *files;
} work;

static void on_progress(void *user, int64_t done, int64_t total) {
    work *w = user;
    if (!w->quiet)
        cli_progress_show(&w->progress, "window %lld/%lld  %.0f%%", (long long)done, (long long)total, 100 * (double)done / (double)total);
}

static void on_note(void *user, const char *text) {
    work *w = user;
    cli_progress_close(&w->progress);
    if (!w->quiet)
        cli_say("%s", text);
}

static void on_file(void *user, const char *path) {
    work *w = user;
    char clean[4096];
    cli_progress_close(&w->progress);
    if (w->files)
        cJSON_AddItemToArray(w->files, cJSON_CreateString(cli_clean(path, clean, sizeof clean)));
    else if (!w->quiet)
        printf("wrote %s\n", cli_clean(path, clean, sizeof clean));
}

void cli_read_instances(swg_config *config, swg_instances_opts *out) {
    swg_instances_defaults(out);
    out->min_voxels = swg_config_int(config, "predict.min_size");
    out->min_depth = swg_config_float(config, "predict.min_depth");
    if (swg_config_has(config, "predict.threshold"))
        out->threshold = swg_config_float(config, "predict.threshold");
}

static swg_status print_json(work *w, const swg_predict_stacks_result *r) {
    cJSON *root = cJSON_CreateObject();
    const struct { const char *key; double value; } numbers[] = {
        {"images", (double)r->images}, {"written", (double)r->written}, {"skipped", (double)r->skipped}, {"windows", (double)r->windows},
        {"objects", (double)r->objects}, {"planned_bytes", (double)r->planned_bytes}, {"seconds", r->seconds}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cJSON_AddNumberToObject(root, numbers[i].key, numbers[i].value);
    cJSON_AddItemToObject(root, "files", w->files);
    w->files = NULL;
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text)
        return cli_fail(w->c, SWG_ENOMEM, "out of memory");
    puts(text);
    cJSON_free(text);
    return SWG_OK;
}

static swg_status report(work *w, const swg_predict_stacks_result *r, bool instances) {
    if (w->files)
        return print_json(w, r);
    if (w->quiet)
        return SWG_OK;
    printf("%lld image%s: %lld written, %lld there already; %lld windows, %.2f s, %.1f MiB planned", (long long)r->images, r->images == 1 ? "" : "s",
           (long long)r->written, (long long)r->skipped, (long long)r->windows, r->seconds, (double)r->planned_bytes / 1048576);
    if (instances)
        printf("; %lld objects", (long long)r->objects);
    printf("\n");
    return SWG_OK;
}

swg_status cli_predict_stacks(cli *c, swg_model *model, swg_config *config, bool quiet) {
    work w = {.c = c, .quiet = quiet, .files = cli_flag(c, "json") ? cJSON_CreateArray() : NULL};
    const char *input = swg_config_has(config, "predict.input") ? swg_config_string(config, "predict.input") : NULL;
    const char *folder = swg_config_has(config, "predict.output") ? swg_config_string(config, "predict.output") : NULL;
    swg_predict_stacks_result result;
    swg_instances_opts instances;
    swg_predict_stacks_opts o = {.overlap = swg_config_float(config, "predict.overlap"), .constant = swg_config_is(config, "predict.blend", "constant"),
                                 .batch = swg_config_int(config, "predict.batch"), .minmax = swg_config_is(config, "predict.scale", "minmax"),
                                 .type = swg_config_is(config, "predict.type", "u8")    ? SWG_ELEMENT_U8
                                         : swg_config_is(config, "predict.type", "u16") ? SWG_ELEMENT_U16
                                         : swg_config_is(config, "predict.type", "f32") ? SWG_ELEMENT_F32
                                                                                        : 0,
                                 .existing = swg_config_is(config, "predict.existing", "error")     ? SWG_EXISTING_ERROR
                                             : swg_config_is(config, "predict.existing", "replace") ? SWG_EXISTING_REPLACE
                                                                                                    : SWG_EXISTING_SKIP,
                                 .progress = on_progress, .note = on_note, .wrote = on_file, .stop = cli_signal_flag(), .user = &w};
    cli_read_instances(config, &instances);
    o.instances = swg_config_bool(config, "predict.instances") ? &instances : NULL;
    o.thresholded = swg_config_has(config, "predict.threshold");
    o.threshold = o.thresholded ? swg_config_float(config, "predict.threshold") : 0;
    swg_status status = swg__whole_windows(c->ctx, config, o.roi, &o.boxed, o.box);
    if (status == SWG_OK && (!input || !folder))
        status = cli_fail(c, SWG_EUSAGE, "predict: say input=IMAGE, FOLDER or CSV and output=FOLDER");
    cli_progress_open(&w.progress, 2);
    if (status == SWG_OK)
        status = swg_predict_stacks(c->ctx, model, config, input, folder, &o, &result);
    cli_progress_close(&w.progress);
    if (status == SWG_OK)
        status = report(&w, &result, o.instances);
    cJSON_Delete(w.files);
    return status;
}
