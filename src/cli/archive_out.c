/* archive_out.c - table and JSON of an archive report.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/archive_out.h"
#include <cjson/cJSON.h>
#include <math.h>

static double mb_per_s(int64_t bytes, double seconds) { return seconds > 0 ? (double)bytes * 1e-6 / seconds : NAN; }
static double ratio_of(const swg_archive_row *r) { return r->bytes_out ? (double)r->bytes_in / (double)r->bytes_out : NAN; }

/* "12.3" or "-" where there is no number. */
static const char *number(double value, const char *format, char *out, size_t capacity) {
    if (isnan(value))
        snprintf(out, capacity, "-");
    else if (isinf(value))
        snprintf(out, capacity, "inf");
    else
        snprintf(out, capacity, format, value);
    return out;
}

static void print_row(const swg_archive_row *r) {
    char name[256], a[32], b[32], c[32], d[32], e[32];
    printf("%-12s %10lld %8s %11s %8s %10s %10s\n", cli_clean(r->variable, name, sizeof name), (long long)r->values, number(ratio_of(r), "%.2f", a, sizeof a),
           number(r->bound > 0 ? r->max_ratio : NAN, "%.4f", b, sizeof b), number(r->psnr_db, "%.1f", c, sizeof c),
           number(mb_per_s(r->bytes_in, r->compress_s), "%.0f", d, sizeof d), number(mb_per_s(r->bytes_in, r->decompress_s), "%.0f", e, sizeof e));
}

void cli_archive_table(const swg_archive_report *report, bool compared) {
    printf("%-12s %10s %8s %11s %8s %10s %10s\n", "variable", "values", "ratio", compared ? "error/bound" : "audit/bound", "PSNR dB", "comp MB/s",
           "decomp MB/s");
    for (int64_t i = 0; i < report->variable_count; i++)
        print_row(&report->variables[i]);
    print_row(&report->total);
    const swg_archive_row *t = &report->total;
    printf("\n%lld bytes in, %lld out", (long long)t->bytes_in, (long long)t->bytes_out);
    if (report->model_bytes)
        printf(", of these models %lld", (long long)report->model_bytes);
    if (report->model_saved)
        printf(", which save %lld", (long long)report->model_saved);
    if (compared)
        printf(", %lld values outside the bound", (long long)t->violations);
    if (t->filled)
        printf("\n%lld fill values, returned bit for bit", (long long)t->filled);
    printf("\nchunks:");
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        if (t->mode_chunks[m])
            printf(" %s %lld", swg_codec_mode_name((swg_codec_mode)m), (long long)t->mode_chunks[m]);
    printf("\n");
}

/* NaN becomes null, infinity "inf": JSON has neither. */
static void add_number(cJSON *object, const char *key, double value) {
    if (isnan(value))
        cJSON_AddNullToObject(object, key);
    else if (isinf(value))
        cJSON_AddStringToObject(object, key, value > 0 ? "inf" : "-inf");
    else
        cJSON_AddNumberToObject(object, key, value);
}

static void fill(cJSON *o, const swg_archive_row *r, bool compared) {
    char name[4096];
    if (r->source)
        cJSON_AddStringToObject(o, "source", cli_clean(r->source, name, sizeof name));
    cJSON_AddStringToObject(o, "variable", cli_clean(r->variable, name, sizeof name));
    add_number(o, "values", (double)r->values);
    add_number(o, "fill_values", compared ? (double)r->filled : NAN);
    add_number(o, "bytes_in", (double)r->bytes_in);
    add_number(o, "bytes_out", (double)r->bytes_out);
    add_number(o, "ratio", ratio_of(r));
    add_number(o, "bound", r->bound);
    add_number(o, "max_abs_error", r->max_abs_error);
    add_number(o, "max_error_over_bound", r->bound > 0 ? r->max_ratio : NAN);
    add_number(o, "violations", compared ? (double)r->violations : NAN);
    add_number(o, "psnr_db", r->psnr_db);
    add_number(o, "compress_mb_s", r->compress_s > 0 ? mb_per_s(r->bytes_in, r->compress_s) : NAN);
    add_number(o, "decompress_mb_s", r->decompress_s > 0 ? mb_per_s(r->bytes_in, r->decompress_s) : NAN);
    cJSON *modes = cJSON_AddObjectToObject(o, "chunks");
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        cJSON_AddNumberToObject(modes, swg_codec_mode_name((swg_codec_mode)m), (double)r->mode_chunks[m]);
}

void cli_archive_json(const swg_archive_report *report, bool compared) {
    cJSON *root = cJSON_CreateObject();
    fill(root, &report->total, compared);
    cJSON_AddNumberToObject(root, "model_bytes", (double)report->model_bytes);
    cJSON_AddNumberToObject(root, "model_saved_bytes", (double)report->model_saved);
    static const char *const lists[2] = {"variables", "arrays"};
    for (int l = 0; l < 2; l++) {
        cJSON *list = cJSON_AddArrayToObject(root, lists[l]);
        const swg_archive_row *rows = l ? report->rows : report->variables;
        for (int64_t i = 0; i < (l ? report->count : report->variable_count); i++) {
            cJSON *o = cJSON_CreateObject();
            fill(o, &rows[i], compared);
            cJSON_AddItemToArray(list, o);
        }
    }
    char *text = cJSON_Print(root);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

static void show(void *user, int64_t done, int64_t total, const char *source, const char *variable) {
    cli_progress_show(user, "%lld/%lld  %.0f%%  %s  %s", (long long)done + 1, (long long)total, 100 * (double)done / (double)total, source ? source : "",
                      variable);
}

swg_archive_hooks cli_archive_hooks(cli_progress *progress) {
    cli_progress_open(progress, 2);
    cli_signals_catch();
    return (swg_archive_hooks){.progress = show, .stop = cli_signal_flag(), .user = progress};
}
