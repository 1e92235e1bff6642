/* eval_images.c - `swage eval` of networks of images: a table per group, JSON or CSV.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "cli/cli.h"
#include "cli/eval_out.h"
#include "cli/eval_images.h"
#include "swage/evaluate.h"

static void on_progress(void *user, int64_t done, int64_t total) {
    cli_progress_show(user, "%lld/%lld tiles  %.0f%%", (long long)done, (long long)total, 100.0 * (double)done / (double)total);
}

static void on_note(void *user, const char *text) {
    cli_progress_close(user);
    cli_say("%s", text);
}

/* Columns of one side of a row; one list for all forms of output. */
static const struct { const char *key, *format; double (*of)(const swg_image_quality *); } figures[] = {
    {"psnr_db", "%.2f", swg_image_psnr_db}, {"ssim", "%.4f", swg_image_ssim}, {"mse", "%.6f", swg_image_mse},
    {"mae", "%.5f", swg_image_mae},         {"pearson", "%.4f", swg_image_pearson},
};
enum { FIGURES = sizeof figures / sizeof *figures };

static void print_table(const void *figures_of) {
    const swg_image_evaluation *e = figures_of;
    char name[256], out[24];
    printf("%s\n%s\n%s\n\n", e->data, e->split, e->noise);
    printf("%-20s %7s  %-32s  %s\n%-20s %7s ", "", "", "noisy", "restored", "group", "tiles");
    for (int side = 0; side < 2; side++)
        printf(" %8s %8s %9s %8s %8s%s", "PSNR dB", "SSIM", "MSE", "MAE", "r", side ? "\n" : " ");
    for (int64_t i = 0; i < e->count; i++) {
        const swg_image_row *r = &e->rows[i];
        printf("%-20s %7lld ", cli_clean(r->group, name, sizeof name), (long long)r->tiles);
        for (int side = 0; side < 2; side++)
            for (int f = 0; f < FIGURES; f++)
                printf(f == 2 ? " %9s" : " %8s%s", cli_figure(figures[f].of(side ? &r->restored : &r->noisy), figures[f].format, out), f == FIGURES - 1 && !side ? " " : "");
        printf("\n");
    }
    printf("\nz: ");
    for (int64_t c = 0; c < e->z_channels; c++)
        printf("%s%.3g +- %.3g", c ? ", " : "", e->z_mean[c], e->z_sd[c]);
    printf("\n");
    for (int64_t i = 0; i < e->terms; i++)
        printf("%s%s %.4g", i ? ", " : "", e->term[i].name, e->term[i].value);
    printf("\n%.1f s\n", e->seconds);
}

static char *json_of(const cli *c, swg_model *model, const swg_image_evaluation *e) {
    const char *part = cli_value(c, "part");
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", swg_model_path(model));
    cJSON_AddNumberToObject(root, "epoch", (double)swg_model_epoch(model));
    cJSON_AddStringToObject(root, "part", part ? part : "all");
    cJSON_AddStringToObject(root, "data", e->data);
    cJSON_AddStringToObject(root, "split", e->split);
    cJSON_AddStringToObject(root, "noise", e->noise);
    cJSON_AddNumberToObject(root, "images", (double)e->images);
    cJSON_AddNumberToObject(root, "skipped", (double)e->skipped);
    cJSON *groups = cJSON_AddArrayToObject(root, "groups");
    for (int64_t i = 0; i < e->count; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "group", e->rows[i].group);
        cJSON_AddNumberToObject(o, "tiles", (double)e->rows[i].tiles);
        cJSON_AddNumberToObject(o, "tiles_without_pearson", (double)(e->rows[i].tiles - e->rows[i].restored.pearson_images)); /* constant ones */
        for (int side = 0; side < 2; side++) {
            cJSON *s = cJSON_AddObjectToObject(o, side ? "restored" : "noisy");
            for (int f = 0; f < FIGURES; f++)
                cli_add_figure(s, figures[f].key, figures[f].of(side ? &e->rows[i].restored : &e->rows[i].noisy));
        }
        cJSON_AddItemToArray(groups, o);
    }
    cJSON *mean = cJSON_AddArrayToObject(root, "z_mean"), *sd = cJSON_AddArrayToObject(root, "z_sd");
    for (int64_t k = 0; k < e->z_channels; k++) {
        cJSON_AddItemToArray(mean, cJSON_CreateNumber(e->z_mean[k]));
        cJSON_AddItemToArray(sd, cJSON_CreateNumber(e->z_sd[k]));
    }
    for (int64_t i = 0; i < e->terms; i++)
        cli_add_figure(root, e->term[i].name, e->term[i].value);
    cJSON_AddNumberToObject(root, "seconds", e->seconds);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

static void csv_of(const void *figures_of, swg__text *text) {
    const swg_image_evaluation *e = figures_of;
    swg__text_puts(text, "group,tiles");
    for (int side = 0; side < 2; side++)
        for (int f = 0; f < FIGURES; f++)
            swg__text_printf(text, ",%s_%s", side ? "restored" : "noisy", figures[f].key);
    for (int64_t i = 0; i < e->count; i++) {
        swg__text_puts(text, "\n\"");
        for (const char *p = e->rows[i].group; *p; p++)
            swg__text_printf(text, *p == '"' ? "\"\"" : "%c", *p);
        swg__text_printf(text, "\",%lld", (long long)e->rows[i].tiles);
        for (int side = 0; side < 2; side++)
            for (int f = 0; f < FIGURES; f++) {
                double value = figures[f].of(side ? &e->rows[i].restored : &e->rows[i].noisy);
                swg__text_printf(text, isnan(value) ? "," : ",%.17g", value);
            }
    }
    swg__text_puts(text, "\n");
}

swg_status cli_eval_images(cli *c, swg_model *model, swg_config *config) {
    swg_image_evaluation e;
    cli_progress progress;
    int64_t batch = 8;
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 16, &batch));
    if (cli_flag(c, "arrays") && !cli_value(c, "output"))
        return cli_fail(c, SWG_EUSAGE, "--arrays: say where to, with -o FOLDER");
    cli_progress_open(&progress, 2);
    cli_signals_catch();
    swg_status status = swg_evaluate_images(c->ctx, model, config, &(swg_image_evaluate_opts){
        .part = cli_value(c, "part"), .batch = batch, .arrays = cli_flag(c, "arrays") ? cli_value(c, "output") : NULL, .progress = on_progress, .note = on_note,
        .stop = cli_signal_flag(), .user = &progress}, &e);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    status = cli_give_evaluation(c, &(cli_evaluation){&e, json_of(c, model, &e), csv_of, print_table});
    swg_image_evaluation_free(c->ctx, &e);
    return status;
}
