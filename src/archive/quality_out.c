/* quality_out.c - figures of one array's quality on a page, and as JSON beside it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "archive/quality.h"

static const char *const axes[3] = {"z", "y", "x"};

/* ---- charts ---- */

static void histogram_chart(swg_report *page, const swg__quality *q) {
    double x[2 * SWG__BINS], y[2 * SWG__BINS];
    for (int i = 0; i < SWG__BINS; i++) { /* steps */
        x[2 * i] = -1 + 2.0 * i / SWG__BINS;
        x[2 * i + 1] = -1 + 2.0 * (i + 1) / SWG__BINS;
        y[2 * i] = y[2 * i + 1] = q->finite ? (double)q->histogram[i] / (double)q->finite : 0;
    }
    const swg_series series = {.name = "share of the values", .count = sizeof x / sizeof *x, .x = x, .y = y};
    swg_report_chart(page, &(swg_chart){.title = "error histogram", .x_label = "error / bound", .y_label = "share", .count = 1, .series = &series});
}

static void spectrum_chart(swg_report *page, const swg__quality *q) {
    double wave[SWG__WAVES];
    for (int i = 0; i < q->waves; i++)
        wave[i] = i;
    const double *const power[3] = {q->power, q->power_restored, q->power_error};
    static const char *const names[3] = {"original", "restored", "error"};
    swg_series series[3];
    for (int i = 0; i < 3; i++) /* the mean, wave number 0, is not a wave */
        series[i] = (swg_series){.name = names[i], .count = q->waves - 1, .x = wave + 1, .y = power[i] + 1};
    swg_report_chart(page, &(swg_chart){.title = "power spectrum along x", .x_label = "waves per line", .y_label = "power", .log_y = true, .count = 3,
                                        .series = series});
}

/* Planes of the chunk grid side by side, a column between them; of blocks the runs of blocks, wrapped. */
static void mode_map(swg_report *page, const swg_swz *swz, int64_t member) {
    enum { MOST = 128 };
    const swg_swz_info *info = swg_swz_member(swz, member);
    int64_t grid[4], planes = 1, rows, columns, across;
    uint8_t cells[MOST * MOST];
    const char *kinds[SWG_MODE_COUNT];
    double values[MOST * MOST];
    for (int i = 0; i < 4; i++) {
        int axis = i + info->ndim - 4;
        grid[i] = axis < 0 ? 1 : (info->dims[axis] + info->chunk[axis] - 1) / info->chunk[axis];
    }
    planes = grid[0] * grid[1];
    if (info->layout == SWG_CODEC_BLOCKS || (grid[2] == 1 && planes == 1)) { /* a list */
        int64_t all = info->chunks;
        planes = 1;
        columns = all < 32 ? all : 32;
        grid[3] = columns;
        grid[2] = (all + columns - 1) / columns;
    }
    across = planes;
    while (across > 1 && across * (grid[3] + 1) - 1 > MOST / 2)
        across--;
    columns = across * (grid[3] + 1) - 1;
    rows = (planes + across - 1) / across * (grid[2] + 1) - 1;
    for (int m = 0; m < SWG_MODE_COUNT; m++)
        kinds[m] = swg_codec_mode_name((swg_codec_mode)m);
    if (rows > MOST || columns > MOST) {
        char text[96];
        snprintf(text, sizeof text, "%lld chunks: too many for a map.", (long long)info->chunks);
        swg_report_paragraph(page, text);
        return;
    }
    memset(cells, 255, sizeof cells);
    const double per_chunk = (double)info->values / (double)info->chunks;
    for (int64_t c = 0; c < info->chunks; c++) {
        int64_t plane = c / (grid[2] * grid[3]), y = c / grid[3] % grid[2], x = c % grid[3], bytes;
        int64_t row = plane / across * (grid[2] + 1) + y, at = (rows - 1 - row) * columns + plane % across * (grid[3] + 1) + x; /* the first on top */
        cells[at] = (uint8_t)swg_swz_chunk_mode(swz, member, c, &bytes);
        values[at] = 8 * (double)bytes / per_chunk;
    }
    swg_report_map(page, &(swg_map){.title = "mode of each chunk, planes of chunks side by side", .rows = rows, .columns = columns, .kinds = SWG_MODE_COUNT,
                                    .kind_names = kinds, .cells = cells, .values = values, .unit = "bits per value (of a full chunk)"});
}

void swg__quality_html(swg_report *page, const swg__shown *s) {
    const swg__quality *q = s->quality;
    const swg_swz_info *info = swg_swz_member(s->swz, s->member);
    char texts[3][3][32];
    const char *cells[12];
    static const char *const header[] = {"axis", "extent", "error: lag-1 autocorrelation", "error of differences / differences, rms"};
    char note[256];
    int rows = 0;
    for (int a = 0; a < 3; a++) {
        if (q->extent[a] < 2)
            continue;
        snprintf(texts[rows][0], sizeof texts[0][0], "%lld", (long long)q->extent[a]);
        snprintf(texts[rows][1], sizeof texts[0][0], isnan(q->lag1[a]) ? "n/a" : "%+.4f", q->lag1[a]);
        snprintf(texts[rows][2], sizeof texts[0][0], isnan(q->gradient[a]) ? "n/a" : "%.3e", q->gradient[a]);
        cells[4 * rows] = axes[a];
        for (int c = 0; c < 3; c++)
            cells[4 * rows + 1 + c] = texts[rows][c];
        rows++;
    }
    snprintf(note, sizeof note, "Error of %.80s%s: mean %+.3e, standard deviation %.4g; of an error spread evenly over the bound it is 0.577.", info->name,
             info->eb_abs > 0 ? " / bound" : "", q->mean, q->deviation);
    swg_report_paragraph(page, note);
    swg_report_table(page, &(swg_table){.columns = 4, .rows = rows, .header = header, .cells = cells});
    if (info->eb_abs > 0)
        histogram_chart(page, q);
    if (q->waves > 1)
        spectrum_chart(page, q);
    mode_map(page, s->swz, s->member);
}

void swg__curves_html(swg_report *page, const char *const *names, const swg__curve_point (*curves)[SWG__CURVE], const int *counts, int64_t shown) {
    enum { MOST = 64 };
    double x[MOST][SWG__CURVE], y[MOST][SWG__CURVE];
    swg_series series[MOST];
    int64_t drawn = 0;
    for (int64_t v = 0; v < shown && drawn < MOST; v++) {
        for (int i = 0; i < counts[v]; i++) {
            x[drawn][i] = curves[v][i].bits_per_value;
            y[drawn][i] = curves[v][i].psnr_db;
        }
        if (counts[v])
            series[drawn] = (swg_series){.name = names[v], .count = counts[v], .x = x[drawn], .y = y[drawn]};
        drawn += counts[v] > 0;
    }
    if (!drawn)
        return;
    swg_report_heading(page, "Rate and distortion");
    swg_report_paragraph(page, "The shown variables once more, in memory and without a network, at bounds from 100 times to a hundredth of theirs (of lossless ones: of "
                               "1e-4 of the range).");
    swg_report_chart(page, &(swg_chart){.title = "PSNR over bits per value", .x_label = "bits per value", .y_label = "PSNR dB", .log_x = true, .count = drawn,
                                        .series = series});
}

void swg__bssn_html(swg_report *page, const swg__bssn_check *checks, int64_t count) {
    enum { MOST = 64 };
    static const char *const header[] = {"file", "|det(SYMGT) - 1|: before", "after", "|tr(SYMAT)|: before", "after"};
    char texts[MOST][4][24];
    const char *cells[MOST * 5];
    int64_t rows = count < MOST ? count : MOST;
    if (!count)
        return;
    for (int64_t i = 0; i < rows; i++) {
        const double values[4] = {checks[i].det[0], checks[i].det[1], checks[i].trace[0], checks[i].trace[1]};
        cells[5 * i] = checks[i].source;
        for (int k = 0; k < 4; k++) {
            snprintf(texts[i][k], sizeof texts[i][k], "%.3e", values[k]);
            cells[5 * i + 1 + k] = texts[i][k];
        }
    }
    swg_report_heading(page, "Constraints of the evolution");
    swg_report_paragraph(page, "Largest deviation of the conformal metric's determinant from 1, and largest trace of the trace-free conformal extrinsic curvature, taken "
                               "with the inverse of that metric.");
    swg_report_table(page, &(swg_table){.columns = 5, .rows = rows, .header = header, .cells = cells});
}

/* ---- JSON ---- */

static void add(cJSON *to, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_axes(cJSON *to, const char *key, const double values[3]) {
    cJSON *o = cJSON_AddObjectToObject(to, key);
    for (int a = 0; a < 3; a++)
        add(o, axes[a], values[a]);
}

static void add_list(cJSON *to, const char *key, const double *values, int count) {
    cJSON *list = cJSON_AddArrayToObject(to, key);
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(list, isfinite(values[i]) ? cJSON_CreateNumber(values[i]) : cJSON_CreateNull());
}

/* Not valid UTF-8 cannot stand in JSON. */
static void add_text(cJSON *to, const char *key, const char *text) {
    cJSON_AddStringToObject(to, key, swg__utf8_valid(text, strlen(text)) ? text : "?");
}

void swg__quality_json(const swg__shown *s, cJSON *list) {
    const swg__quality *q = s->quality;
    const swg_swz_info *info = swg_swz_member(s->swz, s->member);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(list, o);
    add_text(o, "source", info->source);
    add_text(o, "variable", info->name);
    add(o, "bound", info->eb_abs);
    add(o, "finite", (double)q->finite);
    add(o, "error_mean", q->mean * q->unit);
    add(o, "error_deviation", q->deviation * q->unit);
    add_axes(o, "error_lag1", q->lag1);
    add_axes(o, "gradient_error", q->gradient);
    cJSON *histogram = cJSON_AddArrayToObject(o, "error_histogram");
    for (int i = 0; i < SWG__BINS && info->eb_abs > 0; i++)
        cJSON_AddItemToArray(histogram, cJSON_CreateNumber((double)q->histogram[i]));
    add_list(o, "power", q->power, q->waves);
    add_list(o, "power_restored", q->power_restored, q->waves);
    add_list(o, "power_error", q->power_error, q->waves);
    cJSON *curve = cJSON_AddArrayToObject(o, "curve");
    for (int i = 0; i < s->points; i++) {
        cJSON *p = cJSON_CreateObject();
        cJSON_AddItemToArray(curve, p);
        add(p, "bound", s->curve[i].bound);
        add(p, "bound_rel", s->curve[i].bound_rel);
        add(p, "bits_per_value", s->curve[i].bits_per_value);
        add(p, "ratio", s->curve[i].ratio);
        add(p, "psnr_db", s->curve[i].psnr_db);
    }
    cJSON *chunks = cJSON_AddArrayToObject(o, "chunks");
    for (int64_t c = 0; c < info->chunks; c++) {
        int64_t bytes;
        cJSON *p = cJSON_CreateObject();
        cJSON_AddItemToArray(chunks, p);
        cJSON_AddStringToObject(p, "mode", swg_codec_mode_name(swg_swz_chunk_mode(s->swz, s->member, c, &bytes)));
        add(p, "bytes", (double)bytes);
    }
}

void swg__bssn_json(const swg__bssn_check *checks, int64_t count, cJSON *to) {
    cJSON *list = cJSON_AddArrayToObject(to, "bssn");
    for (int64_t i = 0; i < count; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(list, o);
        add_text(o, "source", checks[i].source);
        add(o, "det_before", checks[i].det[0]);
        add(o, "det_after", checks[i].det[1]);
        add(o, "trace_before", checks[i].trace[0]);
        add(o, "trace_after", checks[i].trace[1]);
    }
}
