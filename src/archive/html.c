/* html.c - the page that shows what a compression kept and cost.
 * In: a collection, its originals, the figures of a verification, optionally a run folder. Out: one HTML file and one of JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "archive/quality.h"

/* ---- training curve, from log.jsonl ---- */

typedef struct curve { double *x, *y; int64_t count; } curve;

/* Lines {"phase": phase, "epoch": e, key: value} of the log; memory of the context. */
static swg_status read_curve(swg_context *ctx, const char *text, const char *phase, const char *key, curve *out) {
    int64_t lines = 1;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    out->x = swg__calloc(ctx, (size_t)lines, sizeof *out->x);
    out->y = swg__calloc(ctx, (size_t)lines, sizeof *out->y);
    out->count = 0;
    if (!out->x || !out->y)
        return swg__fail_memory(ctx, (size_t)lines * 16, "the training curve");
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        cJSON *object = cJSON_ParseWithLength(line, end ? (size_t)(end - line) : strlen(line));
        const cJSON *p = cJSON_GetObjectItem(object, "phase"), *e = cJSON_GetObjectItem(object, "epoch"), *v = cJSON_GetObjectItem(object, key);
        if (cJSON_IsString(p) && strcmp(p->valuestring, phase) == 0 && cJSON_IsNumber(e) && cJSON_IsNumber(v)) {
            out->x[out->count] = e->valuedouble + 1;
            out->y[out->count++] = v->valuedouble;
        }
        cJSON_Delete(object);
        line = end ? end + 1 : line + strlen(line);
    }
    return SWG_OK;
}

/* The log of a run folder, or of the run a checkpoint lies in (RUN/ckpt/best.safetensors). */
static void log_path(const char *run, char *out, size_t capacity) {
    int keep = (int)strlen(run);
    for (int up = 0; up < 2 && !swg__is_folder(run); up++) {
        while (keep && run[keep - 1] != '/')
            keep--;
        while (keep > 1 && run[keep - 1] == '/')
            keep--;
    }
    snprintf(out, capacity, "%.*s/log.jsonl", keep ? keep : 1, keep ? run : ".");
}

static swg_status add_training(swg_context *ctx, swg_report *page, const char *run) {
    static const struct { const char *phase, *key, *name; } wanted[] = {
        {"train", "loss", "training, total"},          {"val", "loss", "validation, total"},
        {"val", "reconstruction", "validation, reconstruction"}, {"val", "distance", "validation, sliced-Wasserstein"}};
    enum { CURVES = sizeof wanted / sizeof wanted[0] };
    char path[4200], note[4400];
    uint8_t *text;
    size_t bytes;
    if (!swg__exists(run))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: not found; the training curve comes from the log of a run folder", run);
    log_path(run, path, sizeof path);
    swg_report_heading(page, "Training");
    if (!swg__exists(path)) {
        snprintf(note, sizeof note, "No curve: %s has no log (%s).", run, path);
        swg_report_paragraph(page, note);
        return SWG_OK;
    }
    SWG__TRY(swg__file_read(ctx, path, &text, &bytes));
    curve curves[CURVES] = {{0}};
    swg_series series[CURVES];
    swg_status status = SWG_OK;
    for (int i = 0; i < CURVES && status == SWG_OK; i++) {
        status = read_curve(ctx, (const char *)text, wanted[i].phase, wanted[i].key, &curves[i]);
        series[i] = (swg_series){.name = wanted[i].name, .count = curves[i].count, .x = curves[i].x, .y = curves[i].y};
    }
    if (status == SWG_OK)
        swg_report_chart(page, &(swg_chart){.title = "loss", .x_label = "epoch", .y_label = "loss", .log_y = true, .count = CURVES, .series = series});
    for (int i = 0; i < CURVES; i++) {
        swg__free(ctx, curves[i].x);
        swg__free(ctx, curves[i].y);
    }
    swg__free(ctx, text);
    return status;
}

/* ---- table and modes ---- */

enum { COLUMNS = 8, CELL = 32 };

static void cell(char *out, const char *format, double value) {
    if (isnan(value))
        snprintf(out, CELL, "n/a");
    else if (isinf(value))
        snprintf(out, CELL, "exact");
    else
        snprintf(out, CELL, format, value);
}

static double rate(int64_t bytes, double seconds) { return seconds > 0 ? (double)bytes * 1e-6 / seconds : NAN; }

static swg_status add_table(swg_context *ctx, swg_report *page, const swg_archive_report *r) {
    static const char *const header[COLUMNS] = {"variable", "values", "ratio", "bound", "max error / bound", "PSNR dB", "compress MB/s",
                                                "decompress MB/s"};
    int64_t rows = r->variable_count + 1;
    char (*texts)[CELL] = swg__calloc(ctx, (size_t)(rows * COLUMNS), CELL);
    const char **cells = swg__calloc(ctx, (size_t)(rows * COLUMNS), sizeof *cells);
    swg_status status = texts && cells ? SWG_OK : swg__fail_memory(ctx, (size_t)rows * COLUMNS * CELL, "the report's table");
    for (int64_t i = 0; i < rows && status == SWG_OK; i++) {
        const swg_archive_row *v = i < r->variable_count ? &r->variables[i] : &r->total;
        char (*t)[CELL] = texts + i * COLUMNS;
        snprintf(t[0], CELL, "%s", v->variable);
        snprintf(t[1], CELL, "%lld", (long long)v->values);
        cell(t[2], "%.2f", (double)v->bytes_in / (double)v->bytes_out);
        cell(t[3], "%.3g", i < r->variable_count ? v->bound : NAN);
        cell(t[4], "%.4f", v->bound > 0 ? v->max_ratio : NAN);
        cell(t[5], "%.1f", v->psnr_db);
        cell(t[6], "%.0f", rate(v->bytes_in, v->compress_s));
        cell(t[7], "%.0f", rate(v->bytes_in, v->decompress_s));
        for (int c = 0; c < COLUMNS; c++)
            cells[i * COLUMNS + c] = t[c];
    }
    if (status == SWG_OK)
        swg_report_table(page, &(swg_table){.caption = "one row per variable, all files together", .columns = COLUMNS, .rows = rows,
                                            .header = header, .cells = cells});
    swg__free(ctx, cells);
    swg__free(ctx, texts);
    return status;
}

static swg_status add_modes(swg_context *ctx, swg_report *page, const swg_archive_report *r) {
    const char *kinds[SWG_MODE_COUNT];
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        kinds[m] = swg_codec_mode_name((swg_codec_mode)m);
    const char **names = swg__calloc(ctx, (size_t)r->variable_count + 1, sizeof *names);
    double *shares = swg__calloc(ctx, (size_t)(r->variable_count + 1) * SWG_MODE_COUNT, sizeof *shares);
    if (names && shares) {
        for (int64_t v = 0; v < r->variable_count; v++) {
            names[v] = r->variables[v].variable;
            for (int m = 0; m < SWG_MODE_COUNT; m++)
                shares[v * SWG_MODE_COUNT + m] = (double)r->variables[v].mode_chunks[m];
        }
        swg_report_bars(page, &(swg_bars){.title = "how the chunks were coded", .rows = r->variable_count, .kinds = SWG_MODE_COUNT,
                                          .row_names = names, .kind_names = kinds, .shares = shares});
    }
    bool ok = names && shares;
    swg__free(ctx, names);
    swg__free(ctx, shares);
    return ok ? SWG_OK : swg__fail_memory(ctx, 0, "the report");
}

/* ---- the page ---- */

static void add_summary(swg_report *page, const char *path, const swg_archive_report *r) {
    char text[1024];
    snprintf(text, sizeof text, "%.400s: %lld arrays, %.2f MB became %.2f MB, %.2f : 1, network included (%.1f kB). Largest error over bound %.4f; "
             "%lld of %lld values outside the bound.", path, (long long)r->count, (double)r->total.bytes_in * 1e-6,
             (double)r->total.bytes_out * 1e-6, (double)r->total.bytes_in / (double)r->total.bytes_out, (double)r->model_bytes * 1e-3,
             r->total.max_ratio, (long long)r->total.violations, (long long)r->total.values);
    swg_report_paragraph(page, text);
}

/* What needs the originals: pictures, errors, curves, constraints. */
static swg_status add_originals(swg_context *ctx, const swg__gallery *g, cJSON *json, const swg_archive_report *r, int slices) {
    swg_source *source;
    swg__bssn_check *checks = NULL;
    int64_t count = 0;
    SWG__TRY(swg__originals_open(ctx, g->swz, g->original, &source));
    swg_status status = swg__bssn_checks(ctx, g->swz, source, g->original, &checks, &count);
    if (status == SWG_OK) {
        swg__bssn_html(g->page, checks, count);
        swg__bssn_json(checks, count, json);
        status = swg__html_slices(ctx, g, source, r, slices);
    }
    swg__free(ctx, checks);
    swg_source_close(source);
    return status;
}

static void add_totals(cJSON *json, const swg_archive_report *r) {
    cJSON_AddNumberToObject(json, "schema", 1);
    cJSON_AddStringToObject(json, "version", swg_version());
    cJSON_AddNumberToObject(json, "arrays", (double)r->count);
    cJSON_AddNumberToObject(json, "bytes_in", (double)r->total.bytes_in);
    cJSON_AddNumberToObject(json, "bytes_out", (double)r->total.bytes_out);
    cJSON_AddNumberToObject(json, "ratio", (double)r->total.bytes_in / (double)r->total.bytes_out);
    cJSON_AddNumberToObject(json, "violations", (double)r->total.violations);
    cJSON_AddNumberToObject(json, "max_error_over_bound", r->total.max_ratio);
    cJSON *modes = cJSON_AddObjectToObject(json, "chunks");
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        cJSON_AddNumberToObject(modes, swg_codec_mode_name((swg_codec_mode)m), (double)r->total.mode_chunks[m]);
}

/* Names of page, JSON and folder of volumes from what the user gave: a page's name, or a folder. */
static swg_status name_files(swg_context *ctx, const char *where, char page[4096], char json[4096], const char **folder) {
    size_t length = strlen(where);
    bool single = length > 5 && strcmp(where + length - 5, ".html") == 0;
    *folder = single ? NULL : where;
    if (length > 4000)
        return swg__fail(ctx, SWG_EINVAL, "%.40s...: the path is too long", where);
    snprintf(page, 4096, single ? "%s" : "%s/report.html", where);
    snprintf(json, 4096, single ? "%.*s.json" : "%.*s/report.json", (int)(single ? length - 5 : length), where);
    return single ? SWG_OK : swg__make_folders(ctx, where);
}

/* Each whole or not at all. */
static swg_status write_both(swg_context *ctx, swg_report *page, const cJSON *json, const char *page_path, const char *json_path) {
    char *text = cJSON_Print(json);
    swg_status status = text ? swg_report_write(page, page_path) : swg__fail_memory(ctx, 0, json_path);
    if (status == SWG_OK)
        status = swg__file_write(ctx, json_path, text, strlen(text));
    cJSON_free(text);
    return status;
}

swg_status swg_archive_html(swg_context *ctx, const char *where, const char *path, const char *original, const char *run,
                            const swg_archive_report *r, int slices) {
    swg_report *page = NULL;
    swg_model *model = NULL;
    swg_swz *swz;
    char text[512], page_path[4096], json_path[4096];
    const char *folder;
    SWG__TRY(name_files(ctx, where, page_path, json_path, &folder));
    SWG__TRY(swg_swz_open(ctx, path, &swz));
    cJSON *json = cJSON_CreateObject();
    add_totals(json, r);
    swg_status status = swg_report_open(ctx, "Swage: compression report", &page);
    if (status == SWG_OK) {
        add_summary(page, path, r);
        status = add_table(ctx, page, r);
    }
    if (status == SWG_OK)
        status = add_modes(ctx, page, r);
    if (status == SWG_OK && original && run)
        status = swg_model_open_as(ctx, run, "swae", &model);
    if (status == SWG_OK && original) {
        const swg__gallery gallery = {page, cJSON_AddArrayToObject(json, "shown"), swz, original, model, folder};
        status = add_originals(ctx, &gallery, json, r, slices);
    }
    if (status == SWG_OK && run)
        status = add_training(ctx, page, run);
    if (status == SWG_OK) {
        snprintf(text, sizeof text, "swage %s, %s, %d threads. Speeds are of this run on this machine: encoding and decoding in memory, "
                 "reading and writing HDF5 not counted.", swg_version(), swg_context_isa(ctx), swg_context_threads(ctx));
        swg_report_paragraph(page, text);
        status = write_both(ctx, page, json, page_path, json_path);
    }
    cJSON_Delete(json);
    if (page)
        swg_report_close(page);
    swg_model_close(model);
    swg_swz_close(swz);
    return status;
}
