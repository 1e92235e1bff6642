/* folder_out.c - table and JSON of a folder job.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/folder_out.h"
#include <cjson/cJSON.h>
#include <math.h>

swg_status cli_folder_opts(cli *c, swg_folder_opts *opts) {
    int64_t level = 0;
    swg_status status = cli_integer(c, "batch", 1, 1 << 24, &opts->batch);
    if (status == SWG_OK)
        status = cli_integer(c, "deflate", 0, 9, &level);
    opts->deflate = (int)level;
    return status;
}

static void show(void *user, int64_t done, int64_t total) {
    cli_progress_show(user, "%lld/%lld blocks  %.0f%%", (long long)done, (long long)total, 100.0 * (double)done / (double)total);
}

swg_folder_hooks cli_folder_hooks(cli_progress *progress) {
    cli_progress_open(progress, 2);
    cli_signals_catch();
    return (swg_folder_hooks){.progress = show, .stop = cli_signal_flag(), .user = progress};
}

/* ---- figures ---- */

static double ratio(double a, double b) { return b > 0 ? a / b : NAN; }
static int64_t side_and_flags(const swg_folder_row *r) { return r->side_bytes + r->flag_bytes + r->kept_bytes; }

/* Bytes of the blocks' values, f32: what the network sees, and what its throughput is measured by. */
static double gb_per_s(const swg_folder_report *report, double seconds) {
    const swg_folder_row *all = &report->rows[report->count - 1];
    return ratio((double)all->bytes_in * 1e-9, seconds);
}

static const char *cell(const swg_folder_row *r, swg_metric metric, const char *format, char out[24]) {
    if (!r->compared || !r->metrics.has[metric])
        return "n/a";
    snprintf(out, 24, format, r->metrics.value[metric]);
    return out;
}

void cli_folder_table(const swg_folder_report *report) {
    char name[256], mse[24], psnr[24], mae[24], relative[24];
    printf("%-12s %9s %9s %8s %10s %8s %10s %10s\n", "variable", "blocks", "constant", "raw", "MSE", "PSNR dB", "MAE", "relative");
    for (int64_t i = 0; i < report->count; i++) {
        const swg_folder_row *r = &report->rows[i];
        printf("%-12s %9lld %9lld %8lld %10s %8s %10s %10s%s\n", cli_clean(r->variable, name, sizeof name), (long long)r->blocks, (long long)r->constant_blocks,
               (long long)r->raw_blocks, cell(r, SWG_METRIC_MSE, "%.3e", mse), cell(r, SWG_METRIC_PSNR_DB, "%.2f", psnr),
               cell(r, SWG_METRIC_MAE, "%.3e", mae), cell(r, SWG_METRIC_RELATIVE_MEAN, "%.3e", relative),
               i + 1 == report->count && r->compared ? "  (means)" : "");
    }
    const swg_folder_row *all = &report->rows[report->count - 1];
    printf("\n%lld bytes in; latents %lld, side information %lld, flags %lld, kept as they are %lld\n", (long long)all->bytes_in, (long long)all->latent_bytes,
           (long long)all->side_bytes, (long long)all->flag_bytes, (long long)all->kept_bytes);
    if (all->latent_bytes)
        printf("ratio of the latents alone %.3f; ", ratio((double)all->normal_bytes, (double)all->latent_bytes));
    printf("with all that decoding needs %.3f; of the file %.3f\n", ratio((double)all->bytes_in, (double)(all->latent_bytes + side_and_flags(all))),
           ratio((double)all->bytes_in, (double)report->encoded_bytes));
    if (all->failed_blocks)
        printf("%lld blocks have no finite reconstruction and are kept raw\n", (long long)all->failed_blocks);
    printf("%.2f s, %.3f GB/s (reader waited for %.0f%%, normalising %.0f%%, network %.0f%%, restoring %.0f%%, packing %.0f%%)\n", report->seconds,
           gb_per_s(report, report->stream_s), 100 * ratio(report->wait_s, report->stream_s), 100 * ratio(report->normalise_s, report->stream_s),
           100 * ratio(report->network_s, report->stream_s), 100 * ratio(report->restore_s, report->stream_s), 100 * ratio(report->pack_s, report->stream_s));
}

/* NaN becomes null, infinity "inf": JSON has neither. */
static bool put(cJSON *object, const char *key, double value) {
    if (isnan(value))
        return cJSON_AddNullToObject(object, key) != NULL;
    if (isinf(value))
        return cJSON_AddStringToObject(object, key, value > 0 ? "inf" : "-inf") != NULL;
    return cJSON_AddNumberToObject(object, key, value) != NULL;
}

static bool fill(cJSON *o, const swg_folder_row *r) {
    static const struct { const char *key; swg_metric metric; } figures[] = {{"mse", SWG_METRIC_MSE}, {"psnr_db", SWG_METRIC_PSNR_DB},
        {"mae", SWG_METRIC_MAE}, {"relative_mean", SWG_METRIC_RELATIVE_MEAN}};
    const struct { const char *key; double value; } numbers[] = {
        {"arrays", (double)r->arrays}, {"blocks", (double)r->blocks}, {"constant_blocks", (double)r->constant_blocks}, {"raw_blocks", (double)r->raw_blocks},
        {"failed_blocks", (double)r->failed_blocks}, {"bytes_in", (double)r->bytes_in}, {"latent_bytes", (double)r->latent_bytes},
        {"side_bytes", (double)r->side_bytes}, {"flag_bytes", (double)r->flag_bytes}, {"kept_bytes", (double)r->kept_bytes},
        {"ratio_latent", ratio((double)r->normal_bytes, (double)r->latent_bytes)},
        {"ratio", ratio((double)r->bytes_in, (double)(r->latent_bytes + side_and_flags(r)))}};
    char name[4096];
    bool good = cJSON_AddStringToObject(o, "variable", cli_clean(r->variable, name, sizeof name)) != NULL;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && good; i++)
        good = put(o, numbers[i].key, numbers[i].value);
    for (size_t i = 0; i < sizeof figures / sizeof *figures && good; i++)
        good = put(o, figures[i].key, r->compared && r->metrics.has[figures[i].metric] ? r->metrics.value[figures[i].metric] : NAN);
    return good;
}

static cJSON *build(const swg_folder_report *report) {
    const swg_folder_row *all = &report->rows[report->count - 1];
    char text[4096];
    cJSON *root = cJSON_CreateObject(), *variables;
    bool good = root && fill(root, all) && cJSON_AddStringToObject(root, "folder", cli_clean(report->folder, text, sizeof text)) &&
                cJSON_AddStringToObject(root, "encoded", cli_clean(report->encoded, text, sizeof text));
    if (good && *report->reconstructed)
        good = cJSON_AddStringToObject(root, "reconstructed", cli_clean(report->reconstructed, text, sizeof text)) != NULL;
    else if (good)
        good = cJSON_AddNullToObject(root, "reconstructed") != NULL;
    const struct { const char *key; double value; } numbers[] = {
        {"files", (double)report->files}, {"encoded_bytes", (double)report->encoded_bytes}, {"reconstructed_bytes", (double)report->reconstructed_bytes},
        {"file_ratio", ratio((double)all->bytes_in, (double)report->encoded_bytes)}, {"seconds", report->seconds}, {"stream_s", report->stream_s},
        {"wait_s", report->wait_s}, {"normalise_s", report->normalise_s}, {"network_s", report->network_s}, {"restore_s", report->restore_s},
        {"pack_s", report->pack_s}, {"gb_s", gb_per_s(report, report->stream_s)}, {"blocks_s", ratio((double)all->blocks, report->stream_s)},
        {"buffer_bytes", (double)report->buffer_bytes}, {"peak_bytes", (double)report->peak_bytes}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && good; i++)
        good = put(root, numbers[i].key, numbers[i].value);
    good = good && (variables = cJSON_AddArrayToObject(root, "variables"));
    for (int64_t i = 0; i + 1 < report->count && good; i++) {
        cJSON *row = cJSON_CreateObject();
        good = row && fill(row, &report->rows[i]) && cJSON_AddItemToArray(variables, row);
    }
    if (good)
        return root;
    cJSON_Delete(root);
    return NULL;
}

swg_status cli_folder_json(cli *c, const swg_folder_report *report) {
    cJSON *root = build(report);
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return cli_fail(c, SWG_ENOMEM, "out of memory");
    puts(text);
    cJSON_free(text);
    return SWG_OK;
}
