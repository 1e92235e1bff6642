/* eval_stacks.c - `swage eval` of networks of stacks: a table per head, JSON or CSV.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/eval_stacks.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base.h"
#include "cli/eval_out.h"
#include "cli/predict_stacks.h"
#include "train/whole.h"

static void on_progress(void *user, int64_t done, int64_t total) {
    cli_progress_show(user, "%lld/%lld windows  %.0f%%", (long long)done, (long long)total, 100.0 * (double)done / (double)total);
}

static void on_note(void *user, const char *text) {
    cli_progress_close(user);
    cli_say("%s", text);
}

/* Every figure a row may have, for all forms of output; NaN: it has none. */
static double of_dice(const swg_stack_row *r) { return swg_overlap_dice(&r->overlap); }
static double of_iou(const swg_stack_row *r) { return swg_overlap_iou(&r->overlap); }
static double of_ap(const swg_stack_row *r) { return swg_instance_ap(&r->objects, 0); }
static double of_map(const swg_stack_row *r) { return swg_instance_map(&r->objects); }
static double of_count_error(const swg_stack_row *r) { return swg_instance_count_error(&r->objects); }
static double of_count_bias(const swg_stack_row *r) { return swg_instance_count_bias(&r->objects); }
static double of_mse(const swg_stack_row *r) { return r->quality.images ? swg_image_mse(&r->quality) : NAN; }
static double of_mae(const swg_stack_row *r) { return r->quality.images ? swg_image_mae(&r->quality) : NAN; }
static double of_pearson(const swg_stack_row *r) { return swg_image_pearson(&r->quality); }
static double of_psnr(const swg_stack_row *r) { return swg_image_psnr_mean_db(&r->quality); }
static double of_ssim(const swg_stack_row *r) { return swg_image_ssim(&r->quality); }
static const struct { const char *key, *title, *format; double (*of)(const swg_stack_row *); } figures[] = {
    {"dice", "Dice", "%.4f", of_dice},      {"iou", "IoU", "%.4f", of_iou},     {"ap50", "AP@.5", "%.4f", of_ap},
    {"ap50_95", "AP", "%.4f", of_map},      {"count_error", "|count|", "%.2f", of_count_error},
    {"count_bias", "count", "%+.2f", of_count_bias},
    {"mse", "MSE", "%.5f", of_mse},         {"mae", "MAE", "%.5f", of_mae},     {"pearson", "r", "%.4f", of_pearson},
    {"psnr_db", "PSNR dB", "%.2f", of_psnr}, {"ssim", "SSIM", "%.4f", of_ssim},
};
enum { FIGURES = sizeof figures / sizeof *figures };

/* Columns that the rows of a head have. */
static void print_head(const swg_stack_evaluation *e, int head) {
    char name[256], out[24];
    bool shown[FIGURES];
    printf("\n%-24s", e->head[head]);
    for (int f = 0; f < FIGURES; f++) {
        shown[f] = f < 2 ? e->mask[head] : f < 6 ? e->scored[head] : !e->mask[head];
        if (shown[f])
            printf(" %9s", figures[f].title);
    }
    printf("\n");
    for (int64_t i = 0; i < e->count; i++) {
        if (e->rows[i].head != head)
            continue;
        printf("%-24s", cli_clean(e->rows[i].image, name, sizeof name));
        for (int f = 0; f < FIGURES; f++)
            if (shown[f])
                printf(" %9s", cli_figure(figures[f].of(&e->rows[i]), figures[f].format, out));
        printf("\n");
    }
}

static void print_table(const void *figures_of) {
    const swg_stack_evaluation *e = figures_of;
    if (e->data)
        printf("%s\n", e->data);
    printf("%s\n", e->split ? e->split : "");
    for (int h = 0; h < e->heads; h++)
        print_head(e, h);
    for (int i = 0; i < e->terms; i++)
        printf("%s%s %.6g", i ? ", " : "\n", e->term[i].name, e->term[i].value);
    if (e->heads)
        printf("\n%lld images, %lld windows, %.1f s, %.1f MiB planned\n", (long long)e->images, (long long)e->windows, e->seconds,
               (double)e->planned_bytes / 1048576);
    else
        printf("\n%.1f s\n", e->seconds);
}

static char *json_of(const cli *c, swg_model *model, const swg_stack_evaluation *e) {
    char clean[1024];
    cJSON *root = cJSON_CreateObject(), *heads = cJSON_AddArrayToObject(root, "heads");
    const char *part = cli_value(c, "part");
    cJSON_AddStringToObject(root, "model", swg_model_path(model));
    cJSON_AddNumberToObject(root, "epoch", (double)swg_model_epoch(model));
    cJSON_AddStringToObject(root, "part", part ? part : "test");
    cJSON_AddStringToObject(root, "split", e->split ? e->split : "");
    cJSON_AddNumberToObject(root, "images", (double)e->images);
    cJSON_AddNumberToObject(root, "windows", (double)e->windows);
    cJSON_AddNumberToObject(root, "planned_bytes", (double)e->planned_bytes);
    cJSON_AddNumberToObject(root, "seconds", e->seconds);
    for (int i = 0; i < e->terms; i++)
        cli_add_figure(root, e->term[i].name, e->term[i].value);
    for (int h = 0; h < e->heads; h++) {
        cJSON *head = cJSON_CreateObject();
        cJSON_AddItemToArray(heads, head);
        cJSON_AddStringToObject(head, "name", e->head[h]);
        cJSON *rows = cJSON_CreateArray();
        for (int64_t i = 0; i < e->count; i++) {
            const bool all = i >= e->count - e->heads;
            if (e->rows[i].head != h)
                continue;
            cJSON *row = all ? head : cJSON_CreateObject();
            if (!all) {
                cJSON_AddStringToObject(row, "image", cli_clean(e->rows[i].image, clean, sizeof clean));
                cJSON_AddItemToArray(rows, row);
            }
            for (int f = 0; f < FIGURES; f++)
                cli_add_figure(row, figures[f].key, figures[f].of(&e->rows[i]));
        }
        cJSON_AddItemToObject(head, "rows", rows);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    return text;
}

static void csv_of(const void *figures_of, swg__text *text) {
    const swg_stack_evaluation *e = figures_of;
    swg__text_puts(text, "head,image");
    for (int f = 0; f < FIGURES; f++)
        swg__text_printf(text, ",%s", figures[f].key);
    for (int64_t i = 0; i < e->count; i++) {
        swg__text_printf(text, "\n%s,", e->head[e->rows[i].head]);
        swg__text_csv(text, e->rows[i].image);
        for (int f = 0; f < FIGURES; f++) {
            const double value = figures[f].of(&e->rows[i]);
            swg__text_printf(text, isnan(value) ? "," : ",%.17g", value);
        }
    }
    swg__text_puts(text, "\n");
}

swg_status cli_eval_stacks(cli *c, swg_model *model, swg_config *config) {
    swg_stack_evaluation e;
    swg_instances_opts instances;
    cli_progress progress;
    int64_t batch = swg_config_int(config, "predict.batch"), box[3][2];
    bool boxed;
    swg_stack_evaluate_opts opts = {.part = cli_value(c, "part"), .instances = &instances, .overlap = swg_config_float(config, "predict.overlap"),
                                    .constant = swg_config_is(config, "predict.blend", "constant"), .progress = on_progress, .note = on_note,
                                    .stop = cli_signal_flag(), .user = &progress};
    SWG__TRY(cli_integer(c, "batch", 1, 1 << 16, &batch));
    SWG__TRY(swg__whole_windows(c->ctx, config, opts.roi, &boxed, box));
    if (boxed)
        return cli_fail(c, SWG_EUSAGE, "predict.box: an evaluation compares whole images; columns crop_y, crop_x and z of the table take areas");
    cli_read_instances(config, &instances);
    opts.batch = batch;
    cli_progress_open(&progress, 2);
    cli_signals_catch();
    swg_status status = swg_evaluate_stacks(c->ctx, model, config, &opts, &e);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    status = cli_give_evaluation(c, &(cli_evaluation){&e, json_of(c, model, &e), csv_of, print_table});
    swg_stack_evaluation_free(c->ctx, &e);
    return status;
}
