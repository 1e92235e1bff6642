/* memory.c - a plan's peak as JSON and as a page.
 * SPDX-License-Identifier: Apache-2.0 */
#include "profile/memory.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "swage/profile.h"
#include "swage/report.h"

enum { PARTS = 9, LAYERS = 4 };
static const double mib = 0x1p-20;

typedef struct part { const char *key, *what; int64_t bytes; } part;

/* Weights and what goes with them lie beside the arena for the whole run; the rest is of the moment when most lives. */
static void parts_of(const swg_memory *m, part parts[PARTS]) {
    const part all[PARTS] = {{"parameters_bytes", "parameters", m->parameters_bytes}, {"gradients_bytes", "gradients", m->gradients_bytes},
                             {"optimiser_bytes", "moments of the optimiser", m->optimiser_bytes}, {"state_bytes", "running statistics", m->state_bytes},
                             {"array_bytes", "arrays that never change", m->array_bytes}, {"saved_bytes", "kept for the backward pass", m->saved_bytes},
                             {"transient_bytes", "other values", m->transient_bytes}, {"scratch_bytes", "scratch of the kernels", m->scratch_bytes},
                             {"io_bytes", "inputs and constants", m->io_bytes}};
    memcpy(parts, all, sizeof all);
}

static void name_of(const swg_live_value *v, char *out, size_t capacity) { snprintf(out, capacity, "%s%s%s", v->scope, *v->scope && *v->op ? "/" : "", v->op); }

static char *to_json(const swg_plan *plan, const swg__memory_facts *f, const swg_live_value *values, int count) {
    const swg_memory m = swg_plan_memory_of(plan);
    part parts[PARTS];
    cJSON *root = cJSON_CreateObject();
    parts_of(&m, parts);
    cJSON_AddStringToObject(root, "model", f->title);
    cJSON_AddNumberToObject(root, "batch", (double)f->batch);
    cJSON_AddStringToObject(root, "gradient_checkpointing", swg_recompute_name(swg_plan_recompute_of(plan)));
    cJSON_AddNumberToObject(root, "planned_bytes", (double)f->planned_bytes);
    cJSON_AddNumberToObject(root, "measured_bytes", (double)f->measured_bytes);
    cJSON_AddNumberToObject(root, "step_peak_bytes", (double)m.peak_bytes);
    cJSON_AddNumberToObject(root, "arena_bytes", (double)m.arena_bytes);
    cJSON_AddNumberToObject(root, "live_bytes", (double)m.bound_bytes);
    cJSON_AddStringToObject(root, "peak_at", m.peak_at ? m.peak_at : "");
    for (int i = 0; i < PARTS; i++)
        cJSON_AddNumberToObject(root, parts[i].key, (double)parts[i].bytes);
    cJSON *list = cJSON_AddArrayToObject(root, "alive");
    for (int i = 0; i < count; i++) {
        char name[160];
        cJSON *o = cJSON_CreateObject();
        name_of(&values[i], name, sizeof name);
        cJSON_AddStringToObject(o, "value", name);
        cJSON_AddStringToObject(o, "kind", values[i].kind);
        cJSON_AddNumberToObject(o, "bytes", (double)values[i].bytes);
        cJSON_AddItemToArray(list, o);
    }
    char *text = cJSON_GetArraySize(list) == count ? cJSON_Print(root) : NULL; /* what is added last is there if all is */
    cJSON_Delete(root);
    return text;
}

/* Live bytes while each step runs, one line on top of the other. */
static swg_status add_timeline(swg_context *ctx, const swg_plan *plan, swg_report *report) {
    static const char *const names[LAYERS] = {"inputs", "+ saved for the backward pass", "+ other values", "+ scratch = live"};
    const int64_t steps = swg_plan_steps(plan);
    double *x = swg__alloc(ctx, (size_t)(steps + 1) * (LAYERS + 1) * sizeof *x);
    if (!x)
        return swg__fail_memory(ctx, (size_t)steps * sizeof *x, "a chart");
    double *y = x + steps;
    for (int64_t i = 0; i < steps; i++) {
        const swg_live live = swg_plan_live(plan, (int)i);
        const int64_t bytes[LAYERS] = {live.io_bytes, live.saved_bytes, live.transient_bytes, live.scratch_bytes};
        double sum = 0;
        x[i] = (double)i;
        for (int k = 0; k < LAYERS; k++)
            y[k * steps + i] = sum += (double)bytes[k] * mib;
    }
    swg_series series[LAYERS];
    for (int k = 0; k < LAYERS; k++)
        series[k] = (swg_series){.name = names[k], .count = steps, .x = x, .y = y + k * steps};
    swg_report_chart(report, &(swg_chart){.title = "live bytes of the arena", .x_label = "step of the plan", .y_label = "MiB", .count = LAYERS, .series = series});
    swg__free(ctx, x);
    return SWG_OK;
}

enum { CELL = 160 };

static void add_parts(const swg_memory *m, swg_report *report) {
    static const char *const header[] = {"part", "MiB"};
    char cells[PARTS][CELL];
    const char *texts[2 * PARTS];
    part parts[PARTS];
    parts_of(m, parts);
    for (int i = 0; i < PARTS; i++) {
        snprintf(cells[i], CELL, "%.3f", (double)parts[i].bytes * mib);
        texts[2 * i] = parts[i].what;
        texts[2 * i + 1] = cells[i];
    }
    swg_report_table(report, &(swg_table){.caption = "Planned, when most lives", .columns = 2, .rows = PARTS, .header = header, .cells = texts});
}

static swg_status add_values(swg_context *ctx, const swg_live_value *values, int count, swg_report *report) {
    enum { COLUMNS = 3 };
    static const char *const header[COLUMNS] = {"value", "kind", "MiB"};
    char(*cells)[2][CELL] = swg__alloc(ctx, (size_t)(count + 1) * sizeof *cells);
    const char **texts = swg__alloc(ctx, (size_t)(count + 1) * COLUMNS * sizeof *texts);
    const bool made = cells && texts;
    for (int i = 0; i < count && made; i++) {
        name_of(&values[i], cells[i][0], CELL);
        snprintf(cells[i][1], CELL, "%.3f", (double)values[i].bytes * mib);
        texts[COLUMNS * i] = cells[i][0];
        texts[COLUMNS * i + 1] = values[i].kind;
        texts[COLUMNS * i + 2] = cells[i][1];
    }
    if (made)
        swg_report_table(report, &(swg_table){.caption = "What lives then", .columns = COLUMNS, .rows = count, .header = header, .cells = texts});
    swg__free(ctx, texts);
    swg__free(ctx, cells);
    return made ? SWG_OK : swg__fail_memory(ctx, (size_t)count * sizeof *cells, "a table");
}

static swg_status page(swg_context *ctx, const swg_plan *plan, const swg__memory_facts *f, const swg_live_value *values, int count, const char *path) {
    const swg_memory m = swg_plan_memory_of(plan);
    char title[160], text[400];
    swg_report *report;
    snprintf(title, sizeof title, "%s: memory of a training step, %lld %s", f->title, (long long)f->batch, f->samples);
    snprintf(text, sizeof text, "Peak of the run: planned %.2f MiB, measured %.2f MiB (growth of the resident set since the data were loaded). Most lives at %s: %.2f MiB of an "
             "arena of %.2f MiB. gradient_checkpointing: %s.", (double)f->planned_bytes * mib, (double)f->measured_bytes * mib, m.peak_at ? m.peak_at : "the start",
             (double)m.bound_bytes * mib, (double)m.arena_bytes * mib, swg_recompute_name(swg_plan_recompute_of(plan)));
    SWG__TRY(swg_report_open(ctx, title, &report));
    swg_report_paragraph(report, text);
    add_parts(&m, report);
    swg_status status = add_timeline(ctx, plan, report);
    if (status == SWG_OK)
        status = add_values(ctx, values, count, report);
    if (status == SWG_OK)
        status = swg_report_write(report, path);
    swg_report_close(report);
    return status;
}

swg_status swg__memory_write(swg_context *ctx, const swg_plan *plan, const swg__memory_facts *f, const char *folder) {
    char path[4096];
    swg_live_value *values = swg__calloc(ctx, (size_t)f->top, sizeof *values);
    if (!values)
        return swg__fail_memory(ctx, (size_t)f->top * sizeof *values, "a list of values");
    const int count = swg_plan_alive(plan, values, f->top);
    char *json = to_json(plan, f, values, count);
    snprintf(path, sizeof path, "%.4000s/memory.json", folder);
    swg_status status = json ? swg__file_write(ctx, path, json, strlen(json)) : swg__fail_memory(ctx, 1024, path);
    cJSON_free(json);
    snprintf(path, sizeof path, "%.4000s/memory.html", folder);
    if (status == SWG_OK)
        status = page(ctx, plan, f, values, count, path);
    swg__free(ctx, values);
    return status;
}
