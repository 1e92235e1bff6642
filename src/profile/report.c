/* report.c - a profile as tables for people, as one JSON object, and as a page with the memory timeline.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "profile/profile.h"
#include "plan/profile.h"
#include "swage/report.h"

static const double mib = 0x1p-20;

/* What a table shows of a cost: one column each. */
enum { CELL = 96, COLUMNS = 9 };
static const char *const header[COLUMNS] = {"time", "share", "Gop/s", "GB/s", "x floor", "of", "op", "pass", "where"};

static double share_of(const swg__profiled *p, const swg__cost *c) { return p->run_ns > 0 ? c->wall_ns / p->run_ns : 0; }

static void fill_cells(const swg__profiled *p, const swg__cost *c, char cells[COLUMNS][CELL]) {
    snprintf(cells[0], CELL, "%.1f us", c->wall_ns * 1e-3);
    snprintf(cells[1], CELL, "%.1f %%", 100 * share_of(p, c));
    snprintf(cells[2], CELL, "%s", "");
    if (c->flop > 0)
        snprintf(cells[2], CELL, "%.1f", c->flop / c->wall_ns);
    snprintf(cells[3], CELL, "%.1f", c->bytes / c->wall_ns);
    snprintf(cells[4], CELL, "%.2f", c->floor_ns > 0 ? c->wall_ns / c->floor_ns : 0);
    snprintf(cells[5], CELL, "%s", c->floor_by);
    if (c->steps > 1)
        snprintf(cells[5], CELL, "%d steps", c->steps);
    snprintf(cells[6], CELL, "%s", c->label);
    snprintf(cells[7], CELL, "%s", c->pass);
    snprintf(cells[8], CELL, "%.40s %.50s", c->scope, c->shape);
    if (c->steps > 1 || !*c->shape)
        cells[8][0] = 0;
}

static const struct { swg__cost_key key; const char *title, *json; } parts[] = {
    {SWG__EACH_STEP, "steps of the plan", "steps"}, {SWG__BY_OP, "by operation", "by_op"}, {SWG__BY_SCOPE, "by scope", "by_scope"}};
enum { PARTS = sizeof parts / sizeof *parts };

static void heading(const swg__profiled *p, swg__text *text) {
    swg__text_printf(text, "%s: %s, batch %lld, %s, %d thread%s, %lld steps recorded\n", p->recipe, p->inference ? "encode and decode" : "training step",
                     (long long)p->batch, p->synthetic ? "synthetic data (data.path is not set)" : "data of the recipe", p->team.threads,
                     p->team.threads > 1 ? "s" : "", (long long)p->step.reps);
}

static void summary(const swg__profiled *p, swg__text *text) {
    double whole = p->run_ns + p->wait_ns;
    swg__text_printf(text, "step: median %.1f us, min %.1f us, %.0f samples/s; waiting for data %.2f %%; between steps of the plan %.2f %%\n",
                     p->step.median_ns * 1e-3, p->step.min_ns * 1e-3, (double)p->batch / p->step.median_ns * 1e9, 100 * p->wait_ns / whole,
                     100 * p->other_ns / whole);
    swg__text_printf(text, "work: %.4g GFLOP a step, %.1f GFLOP/s\n", swg__profiled_flop(p) * 1e-9, swg__profiled_flop(p) / p->step.median_ns);
    swg__text_printf(text, "memory: planned %.2f MiB, measured %.2f MiB\n", (double)p->planned_bytes * mib, (double)p->measured_bytes * mib);
}

static void table_of(const swg__profiled *p, const swg__cost *costs, int count, int top, swg__text *text) {
    static const int widths[COLUMNS] = {11, 8, 8, 8, 8, -10, -34, -9, 0};
    char cells[COLUMNS][CELL];
    for (int c = 0; c < COLUMNS; c++)
        swg__text_printf(text, "%*s%s", widths[c], header[c], c + 1 < COLUMNS ? " " : "\n");
    for (int i = 0; i < count && i < top; i++) {
        fill_cells(p, &costs[i], cells);
        for (int c = 0; c < COLUMNS; c++)
            swg__text_printf(text, "%*s%s", widths[c], cells[c], c + 1 < COLUMNS ? " " : "\n");
    }
    if (count > top)
        swg__text_printf(text, "  ... and %d more\n", count - top);
}

static swg__cost *room(const swg__profiled *p) { return swg__alloc(p->ctx, (size_t)(p->cost_count + 1) * sizeof(swg__cost)); }

swg_status swg__profiled_table(const swg__profiled *p, int top, swg__text *text) {
    swg__cost *costs = room(p);
    if (!costs)
        return swg__fail_memory(p->ctx, (size_t)p->cost_count * sizeof *costs, "a profile");
    swg__bench_machine_line(&p->machine, &p->team, text);
    swg__bench_peak_line(&p->team, text);
    swg__text_puts(text, "\n");
    heading(p, text);
    summary(p, text);
    for (int i = 0; i < PARTS; i++) {
        int count = swg__profiled_sum(p, parts[i].key, costs);
        swg__text_printf(text, "\n%s\n", parts[i].title);
        table_of(p, costs, count, top, text);
    }
    swg__free(p->ctx, costs);
    return text->failed ? swg__fail_memory(p->ctx, text->length, "a table") : SWG_OK;
}

/* ---- JSON ---- */

static void add(cJSON *to, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(to, key, round(value * 1e3) / 1e3);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_cost(const swg__profiled *p, const swg__cost *c, cJSON *to) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(to, o);
    cJSON_AddStringToObject(o, "op", c->label);
    cJSON_AddStringToObject(o, "pass", c->pass);
    cJSON_AddStringToObject(o, "scope", c->steps > 1 ? "" : c->scope);
    cJSON_AddStringToObject(o, "shape", c->shape);
    add(o, "steps", c->steps);
    add(o, "time_ns", c->wall_ns);
    add(o, "busy_ns", c->busy_ns);
    add(o, "share", share_of(p, c));
    add(o, "flop", c->flop);
    add(o, "bytes", c->bytes);
    add(o, "gops", c->flop / c->wall_ns);
    add(o, "gb_s", c->bytes / c->wall_ns);
    add(o, "floor_ns", c->floor_ns);
    add(o, "x_floor", c->floor_ns > 0 ? c->wall_ns / c->floor_ns : NAN);
}

char *swg__profiled_json(const swg__profiled *p, int top) {
    swg__cost *costs = room(p);
    cJSON *root = costs ? cJSON_CreateObject() : NULL;
    if (!root) {
        swg__free(p->ctx, costs);
        return NULL;
    }
    add(root, "schema", 1);
    swg__bench_machine_json(&p->machine, &p->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON_AddStringToObject(root, "recipe", p->recipe);
    cJSON_AddStringToObject(root, "kind", p->inference ? "infer" : "train");
    cJSON_AddStringToObject(root, "data", p->synthetic ? "synthetic" : "recipe");
    add(root, "batch", (double)p->batch);
    add(root, "threads", p->team.threads);
    add(root, "recorded_steps", (double)p->step.reps);
    add(root, "median_ns", p->step.median_ns);
    add(root, "min_ns", p->step.min_ns);
    add(root, "samples_per_s", (double)p->batch / p->step.median_ns * 1e9);
    add(root, "flop", swg__profiled_flop(p));
    add(root, "data_wait_ns", p->wait_ns);
    add(root, "between_steps_ns", p->other_ns);
    add(root, "planned_bytes", (double)p->planned_bytes);
    add(root, "measured_bytes", (double)p->measured_bytes);
    for (int i = 0; i < PARTS; i++) {
        cJSON *list = cJSON_AddArrayToObject(root, parts[i].json);
        int count = swg__profiled_sum(p, parts[i].key, costs);
        for (int k = 0; k < count && k < top; k++)
            add_cost(p, &costs[k], list);
    }
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    swg__free(p->ctx, costs);
    return text;
}

/* ---- page ---- */

enum { LAYERS = 4 };

/* Live bytes over the last recorded run, one line on top of the other: constant while a step runs. */
static swg_status add_timeline(const swg__profiled *p, swg_report *report) {
    static const char *const names[LAYERS] = {"inputs", "+ saved for the backward pass", "+ other values", "+ scratch = live"};
    int64_t points = 2 * (int64_t)p->cost_count, n = 0, run = swg_profile_runs(p->record) - 1;
    double *x = swg__alloc(p->ctx, (size_t)(points + 1) * (LAYERS + 1) * sizeof *x);
    if (!x)
        return swg__fail_memory(p->ctx, (size_t)points * sizeof *x, "a chart");
    double *y = x + points;
    for (int i = 0; i < p->cost_count; i++) {
        swg_span span = swg_profile_step(p->record, run, i);
        if (span.tasks == 0)
            continue;
        swg_live live = swg_plan_live(p->plan, i);
        const int64_t bytes[LAYERS] = {live.io_bytes, live.saved_bytes, live.transient_bytes, live.scratch_bytes};
        for (int end = 0; end < 2; end++, n++) {
            double sum = 0;
            x[n] = (double)((end ? span.end_ns : span.begin_ns) - swg_profile_run(p->record, run).begin_ns) * 1e-6;
            for (int k = 0; k < LAYERS; k++)
                y[k * points + n] = sum += (double)bytes[k] * mib;
        }
    }
    swg_series series[LAYERS];
    for (int k = 0; k < LAYERS; k++)
        series[k] = (swg_series){.name = names[k], .count = n, .x = x, .y = y + k * points};
    swg_report_chart(report, &(swg_chart){.title = "live bytes of the arena during one step", .x_label = "ms", .y_label = "MiB", .count = LAYERS,
                                          .series = series});
    swg__free(p->ctx, x);
    return SWG_OK;
}

static swg_status add_table(const swg__profiled *p, const swg__cost *costs, int count, const char *caption, swg_report *report) {
    char(*cells)[COLUMNS][CELL] = swg__alloc(p->ctx, (size_t)(count + 1) * sizeof *cells);
    const char **texts = swg__alloc(p->ctx, (size_t)(count + 1) * COLUMNS * sizeof *texts);
    if (cells && texts) {
        for (int i = 0; i < count; i++) {
            fill_cells(p, &costs[i], cells[i]);
            for (int c = 0; c < COLUMNS; c++)
                texts[i * COLUMNS + c] = cells[i][c];
        }
        swg_report_table(report, &(swg_table){.caption = caption, .columns = COLUMNS, .rows = count, .header = header, .cells = texts});
    }
    bool made = cells && texts;
    swg__free(p->ctx, cells);
    swg__free(p->ctx, texts);
    return made ? SWG_OK : swg__fail_memory(p->ctx, (size_t)count * sizeof *cells, "a table");
}

static swg_status fill_page(const swg__profiled *p, int top, swg__cost *costs, swg_report *report) {
    swg__text text;
    swg__text_init(&text, p->ctx);
    swg__bench_machine_line(&p->machine, &p->team, &text);
    if (text.data)
        swg_report_paragraph(report, text.data);
    text.length = 0;
    summary(p, &text);
    if (text.data)
        swg_report_paragraph(report, text.data);
    swg__text_free(&text);
    swg_report_heading(report, "Memory");
    SWG__TRY(add_timeline(p, report));
    swg_report_heading(report, "Time");
    for (int i = 0; i < PARTS; i++) {
        int count = swg__profiled_sum(p, parts[i].key, costs);
        SWG__TRY(add_table(p, costs, count < top ? count : top, parts[i].title, report));
    }
    return SWG_OK;
}

swg_status swg__profiled_page(const swg__profiled *p, int top, const char *path) {
    swg_report *report;
    swg__text title;
    swg__text_init(&title, p->ctx);
    heading(p, &title);
    if (title.failed)
        return swg__fail_memory(p->ctx, title.length, "a report");
    swg_status status = swg_report_open(p->ctx, title.data, &report);
    swg__text_free(&title);
    SWG__TRY(status);
    swg__cost *costs = room(p);
    status = costs ? fill_page(p, top, costs, report) : swg__fail_memory(p->ctx, (size_t)p->cost_count * sizeof *costs, "a report");
    if (status == SWG_OK)
        status = swg_report_write(report, path);
    swg__free(p->ctx, costs);
    swg_report_close(report);
    return status;
}

swg_status swg__profiled_write(const swg__profiled *p, int top, const char *folder, const char *page) {
    char path[4096];
    SWG__TRY(swg__make_folders(p->ctx, folder));
    char *trace = swg__profiled_trace(p);
    if (!trace)
        return swg__fail_memory(p->ctx, 0, "the trace");
    snprintf(path, sizeof path, "%.4000s/trace.json", folder);
    swg_status status = swg__file_write(p->ctx, path, trace, strlen(trace));
    cJSON_free(trace);
    snprintf(path, sizeof path, "%.4000s/%.90s", folder, page);
    return status == SWG_OK ? swg__profiled_page(p, top, path) : status;
}
