/* curves.c - the head of the page, and losses and figures over the epochs.
 * In: metrics.csv, perf.json, the configuration. Out: tables, curves-*.svg.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include "plot/plot.h"

/* ---- head ---- */

enum { ROWS_MOST = 40, CELL = 160 };

/* Rows of two columns. */
typedef struct sheet {
    int64_t rows;
    char cell[ROWS_MOST * 2][CELL];
} sheet;

static void add(sheet *s, const char *key, const char *format, ...) SWG__PRINTF(3, 4);
static void add(sheet *s, const char *key, const char *format, ...) {
    va_list args;
    if (s->rows == ROWS_MOST)
        return;
    snprintf(s->cell[2 * s->rows], CELL, "%s", key);
    va_start(args, format);
    vsnprintf(s->cell[2 * s->rows + 1], CELL, format, args);
    va_end(args);
    s->rows++;
}

static void show(swg__plot *p, const sheet *s, const char *caption, const char *const header[2]) {
    const char *cells[ROWS_MOST * 2];
    for (int64_t i = 0; i < 2 * s->rows; i++)
        cells[i] = s->cell[i];
    swg_report_table(p->page, &(swg_table){caption, 2, s->rows, header, cells});
}

static double number(const cJSON *perf, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(perf, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *text(const cJSON *perf, const char *key) {
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(perf, key));
    return value ? value : "?";
}

static void add_speed(swg__plot *p, sheet *s) {
    char path[2048], shape[64] = "";
    uint8_t *data;
    size_t bytes;
    snprintf(path, sizeof path, "%s/perf.json", p->run);
    if (!swg__exists(path) || swg__file_read(p->ctx, path, &data, &bytes) != SWG_OK)
        return;
    cJSON *perf = cJSON_ParseWithLength((const char *)data, bytes);
    swg__free(p->ctx, data);
    const cJSON *extent, *extents = cJSON_GetObjectItemCaseSensitive(perf, "shape");
    cJSON_ArrayForEach(extent, extents) snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%.0f", *shape ? " x " : "", extent->valuedouble);
    if (cJSON_IsObject(perf)) {
        add(s, "shape of a sample", "%s", shape);
        add(s, "batch", "%.0f; batches of a step: %.0f", number(perf, "batch"), number(perf, "accumulate"));
        add(s, "precision", "%s", text(perf, "precision"));
        add(s, "device", "%s, %s, %.0f threads, provider %s", text(perf, "device"), text(perf, "isa"), number(perf, "threads"), text(perf, "provider"));
        add(s, "parameters", "%.0f", number(perf, "parameters"));
        add(s, "training", "%.4g %ss/s, %.1f %% of the time waiting for data (workers: %.0f)", number(perf, "samples_per_s"), text(perf, "sample"),
            100 * number(perf, "data_share"), number(perf, "workers"));
        add(s, "memory of a step", "planned %.1f MiB, measured %.1f MiB", number(perf, "planned_bytes") / 1048576, number(perf, "measured_bytes") / 1048576);
        add(s, "time", "%.1f s in all sittings", number(perf, "seconds"));
    }
    cJSON_Delete(perf);
}

static void add_data(swg__plot *p, sheet *s) {
    swg_config *c = p->opts->config ? p->opts->config : swg_model_config(p->model);
    const swg__recipe *r = swg__model_recipe(p->model);
    if (swg_config_has(c, "data.path"))
        add(s, "data", "%.150s", swg_config_string(c, "data.path"));
    if (r->family != &swg__family_kan)
        return;
    char noise[80] = "";
    if (strstr(swg__noise_name(r->kan.noise.kind), "gauss"))
        snprintf(noise, sizeof noise, ", sigma %g", r->kan.noise.sigma);
    add(s, "task", "%s, noise %s%s", swg_config_string(c, "task"), swg__noise_name(r->kan.noise.kind), noise);
    const bool grouped = swg_config_is(c, "data.split", "by-group") && swg_config_has(c, "data.group");
    add(s, "split", "%.60s%s%.60s", swg_config_string(c, "data.split"), grouped ? " of " : " by image", grouped ? swg_config_string(c, "data.group") : "");
}

/* Noisy against decoded, where the run has both. */
static void add_gain(swg__plot *p, int64_t row) {
    static const char *const header[] = {"validation", "PSNR dB", "SSIM"};
    static const char *const names[] = {"noisy input", "decoded", "gain"};
    double psnr[3] = {swg__plot_cell(p, row, "noisy_psnr_db"), swg__plot_cell(p, row, "psnr_db")};
    double ssim[3] = {swg__plot_cell(p, row, "noisy_ssim"), swg__plot_cell(p, row, "ssim")};
    char cells[9][32], caption[80];
    const char *list[9];
    if (!isfinite(psnr[0]) || isnan(psnr[1])) /* without noise there is nothing to gain */
        return;
    psnr[2] = psnr[1] - psnr[0];
    ssim[2] = ssim[1] - ssim[0];
    for (int i = 0; i < 3; i++) {
        list[3 * i] = names[i];
        snprintf(cells[3 * i + 1], sizeof cells[0], i < 2 ? "%.2f" : "%+.2f", psnr[i]);
        snprintf(cells[3 * i + 2], sizeof cells[0], i < 2 ? "%.4f" : "%+.4f", ssim[i]);
        list[3 * i + 1] = cells[3 * i + 1];
        list[3 * i + 2] = cells[3 * i + 2];
    }
    snprintf(caption, sizeof caption, "Against the clean tiles, after epoch %.0f", swg__plot_cell(p, row, "epoch") + 1);
    swg_report_table(p->page, &(swg_table){caption, 3, 3, header, list});
}

/* The family's figures of the epoch nearest before the model's in which they were evaluated, else the first after it. */
static int64_t evaluated_row(const swg__plot *p) {
    const char *first = swg__model_recipe(p->model)->family->figures[0];
    for (int64_t row = p->row; first && row >= 0; row--)
        if (!isnan(swg__plot_cell(p, row, first)))
            return row;
    for (int64_t row = p->row + 1; first && row < p->metrics.rows; row++)
        if (!isnan(swg__plot_cell(p, row, first)))
            return row;
    return -1;
}

swg_status swg__plot_head(swg__plot *p) {
    static const char *const conditions[] = {"condition", "of this run"}, *const figures[] = {"figure", "validation"};
    const swg__family *family = swg__model_recipe(p->model)->family;
    sheet *s = swg__calloc(p->ctx, 1, sizeof *s);
    char what[CELL];
    if (!s)
        return swg__fail_memory(p->ctx, sizeof *s, "a table");
    swg_model_describe(p->model, what, sizeof what);
    add(s, "network", "%s", what);
    add_data(p, s);
    const char *file = strrchr(swg_model_path(p->model), '/');
    add(s, "checkpoint", "%.90s after %lld of %lld epochs", file ? file + 1 : swg_model_path(p->model), (long long)swg_model_epoch(p->model),
        (long long)swg__model_recipe(p->model)->max_epochs);
    add_speed(p, s);
    show(p, s, NULL, conditions);
    *s = (sheet){0};
    int64_t row = evaluated_row(p);
    if (row >= 0) {
        add_gain(p, row);
        snprintf(what, sizeof what, "All figures of the reconstruction after epoch %.0f", swg__plot_cell(p, row, "epoch") + 1);
        for (int i = 0; i < SWG__FIGURES && family->figures[i]; i++) {
            double value = swg__plot_cell(p, row, family->figures[i]);
            add(s, family->figures[i], isnan(value) ? "n/a" : "%.6g", value);
        }
        show(p, s, what, figures);
    }
    swg__free(p->ctx, s);
    return SWG_OK;
}

/* ---- curves ---- */

enum { SERIES_MOST = 8 };

typedef struct curve {
    const char *file, *title, *unit;
    bool log;                           /* where all values are above 0 */
    struct { const char *column, *name; } series[SERIES_MOST];
} curve;

static const curve curves[] = {
    {"curves-loss.svg", "Loss", "loss", true, {{"train_loss", "training"}, {"val_loss", "validation"}}},
    {"curves-psnr.svg", "PSNR", "dB", false, {{"psnr_db", "decoded"}, {"noisy_psnr_db", "noisy input"}}},
    {"curves-ssim.svg", "SSIM", "SSIM", false, {{"ssim", "decoded"}, {"noisy_ssim", "noisy input"}}},
    {"curves-kan.svg", "Inputs of KAN layers outside of their grids", "share", false,
     {{"train_kan_outside_encoder", "encoder, training"}, {"train_kan_outside_decoder", "decoder, training"}, {"train_kan_outside_output", "output, training"},
      {"val_kan_outside_encoder", "encoder, validation"}, {"val_kan_outside_decoder", "decoder, validation"}, {"val_kan_outside_output", "output, validation"}}},
    {"curves-lr.svg", "Learning rate", "learning rate", true, {{"lr", "learning rate"}}},
    {"curves-speed.svg", "Throughput of training", "samples/s", false, {{"samples_per_s", "training"}}},
};

/* Points of a column; epochs count from 1 here, and those without a number are left out. */
static int64_t points_of(const swg__plot *p, const char *column, double *x, double *y) {
    int64_t n = 0;
    for (int64_t row = 0; row < p->metrics.rows; row++) {
        double value = swg__plot_cell(p, row, column);
        if (isnan(value))
            continue;
        x[n] = swg__plot_cell(p, row, "epoch") + 1;
        y[n++] = value;
    }
    return n;
}

static swg_status draw_curve(swg__plot *p, const curve *c, double *room) {
    swg_series series[SERIES_MOST];
    swg_chart chart = {.title = c->title, .x_label = "epochs", .y_label = c->unit, .series = series, .log_y = c->log};
    char path[2048];
    for (int i = 0; i < SERIES_MOST && c->series[i].column; i++) {
        double *x = room + 2 * i * p->metrics.rows, *y = x + p->metrics.rows;
        int64_t n = points_of(p, c->series[i].column, x, y);
        for (int64_t k = 0; k < n; k++)
            chart.log_y = chart.log_y && y[k] > 0;
        if (n)
            series[chart.count++] = (swg_series){c->series[i].name, n, x, y};
    }
    if (!chart.count)
        return SWG_OK;
    swg_report_chart(p->page, &chart);
    swg__plot_path(p, c->file, path);
    const char *name = strrchr(p->run, '/');
    SWG__TRY(swg_charts_write(p->ctx, path, name ? name + 1 : p->run, &chart, 1, 1));
    return swg__plot_wrote(p, path);
}

swg_status swg__plot_curves(swg__plot *p) {
    double *room = swg__calloc(p->ctx, (size_t)(2 * SERIES_MOST * p->metrics.rows), sizeof *room);
    if (!room)
        return swg__fail_memory(p->ctx, (size_t)(2 * SERIES_MOST * p->metrics.rows) * sizeof *room, "curves");
    swg_status status = SWG_OK;
    swg_report_heading(p->page, "Epochs");
    for (size_t i = 0; i < sizeof curves / sizeof *curves && status == SWG_OK; i++)
        status = draw_curve(p, &curves[i], room);
    swg__free(p->ctx, room);
    return status;
}
