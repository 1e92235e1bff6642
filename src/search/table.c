/* table.c - what a search has found: CSV, JSON and a page with table and charts.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "search/search.h"
#include "swage/report.h"

/* Key, format, field; the columns of all three files. */
#define COLUMNS(X)                                                                                                                              \
    X(psnr_db, "%.3f") X(bits_per_value, "%.4f") X(encode_blocks_s, "%.0f") X(decode_blocks_s, "%.0f") X(psnr_norm_db, "%.3f") X(mse, "%.4e")    \
    X(val_loss, "%.6g") X(parameters, "%.0f") X(macs, "%.0f") X(epochs, "%.0f") X(train_s, "%.1f") X(threads, "%.0f")

enum { PATH_MOST = 2048 };

static swg_status write_csv(swg_search *s, const char *path) {
    swg__text text;
    swg__text_init(&text, s->ctx);
    swg__text_puts(&text, "run,settings,done,front_ratio,front_speed");
#define X(field, format) swg__text_puts(&text, "," #field);
    COLUMNS(X)
#undef X
    swg__text_puts(&text, "\n");
    for (int64_t i = 0; i < s->count; i++) {
        const swg_search_run *r = &s->runs[i].view;
        swg__text_printf(&text, "%s,\"", r->name);
        for (const char *c = r->settings; *c; c++)
            swg__text_add(&text, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
        swg__text_printf(&text, "\",%d,%d,%d", r->done, r->front_ratio, r->front_speed);
#define X(field, format)                                             \
    swg__text_puts(&text, ",");                                      \
    if (r->done && isfinite((double)r->field))                       \
        swg__text_printf(&text, "%.17g", (double)r->field);
        COLUMNS(X)
#undef X
        swg__text_puts(&text, "\n");
    }
    swg_status status = text.failed ? swg__fail_memory(s->ctx, 0, "the table of a search") : swg__file_write(s->ctx, path, text.data, text.length);
    swg__text_free(&text);
    return status;
}

static bool add_run(cJSON *list, const swg_search_run *r) {
    cJSON *o = cJSON_CreateObject();
    bool good = o && cJSON_AddItemToArray(list, o) && cJSON_AddStringToObject(o, "run", r->name) && cJSON_AddStringToObject(o, "settings", r->settings) &&
                cJSON_AddBoolToObject(o, "done", r->done) && cJSON_AddBoolToObject(o, "front_ratio", r->front_ratio) &&
                cJSON_AddBoolToObject(o, "front_speed", r->front_speed);
#define X(field, format) \
    good = good && (r->done && isfinite((double)r->field) ? cJSON_AddNumberToObject(o, #field, (double)r->field) : cJSON_AddNullToObject(o, #field));
    COLUMNS(X)
#undef X
    return good;
}

static swg_status write_json(swg_search *s, const char *path) {
    cJSON *root = cJSON_CreateObject(), *list = NULL;
    bool good = root && cJSON_AddStringToObject(root, "recipe", s->recipe) && cJSON_AddStringToObject(root, "part", s->part) &&
                (list = cJSON_AddArrayToObject(root, "runs"));
    for (int64_t i = 0; i < s->count && good; i++)
        good = add_run(list, &s->runs[i].view);
    char *text = good ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return swg__fail_memory(s->ctx, 0, "the table of a search");
    swg_status status = swg__file_write(s->ctx, path, text, strlen(text));
    cJSON_free(text);
    return status;
}

/* ---- the page ---- */

/* Runs of the front from left to right, joined; all runs as points, with a gap after each. */
static void add_chart(swg_search *s, swg_report *page, bool speed, double *numbers) {
    double *x = numbers, *y = x + 2 * s->count, *fx = y + 2 * s->count, *fy = fx + s->count;
    int64_t points = 0, front = 0;
    for (int64_t i = 0; i < s->count; i++) {
        const swg_search_run *r = &s->runs[i].view;
        if (!r->done)
            continue;
        double at = speed ? r->encode_blocks_s : r->bits_per_value;
        x[points] = at;
        y[points++] = r->psnr_db;
        x[points] = y[points] = NAN;
        points++;
        if (!(speed ? r->front_speed : r->front_ratio))
            continue;
        int64_t k = front++;
        for (; k > 0 && fx[k - 1] > at; k--) {
            fx[k] = fx[k - 1];
            fy[k] = fy[k - 1];
        }
        fx[k] = at;
        fy[k] = r->psnr_db;
    }
    const swg_series series[2] = {{.name = "best for its price", .count = front, .x = fx, .y = fy}, {.name = "all runs", .count = points, .x = x, .y = y}};
    swg_report_chart(page, &(swg_chart){.title = speed ? "Quality against speed" : "Quality against size", .x_label = speed ? "blocks encoded per second" : "bits per value",
                                        .y_label = "PSNR [dB], mean over variables", .log_x = speed, .count = 2, .series = series});
}

static void add_table(swg_search *s, swg_report *page, swg__arena *arena) {
    static const char *const header[] = {"settings", "on a front",
#define X(field, format) #field,
        COLUMNS(X)
#undef X
    };
    enum { WIDTH = sizeof header / sizeof *header };
    const char **cells = swg__arena_alloc(arena, (size_t)s->count * WIDTH * sizeof *cells);
    for (int64_t i = 0; cells && i < s->count; i++) {
        const swg_search_run *r = &s->runs[i].view;
        const char **cell = cells + i * WIDTH;
        char text[64];
        *cell++ = *r->settings ? r->settings : r->name;
        *cell++ = !r->done ? "not finished" : r->front_ratio && r->front_speed ? "size, speed" : r->front_ratio ? "size" : r->front_speed ? "speed" : "";
#define X(field, format)                                                               \
    snprintf(text, sizeof text, format, (double)r->field);                             \
    *cell++ = r->done && isfinite((double)r->field) ? swg__arena_strdup(arena, text) : NULL;
        COLUMNS(X)
#undef X
    }
    if (cells)
        swg_report_table(page, &(swg_table){.columns = WIDTH, .rows = s->count, .header = header, .cells = cells});
}

static swg_status write_page(swg_search *s, const char *path) {
    swg_report *page;
    swg__arena arena;
    char text[400];
    double *numbers = swg__calloc(s->ctx, (size_t)s->count * 6 + 1, sizeof *numbers);
    if (!numbers)
        return swg__fail_memory(s->ctx, (size_t)s->count * 6 * sizeof *numbers, "the charts of a search");
    swg__arena_init(&arena, s->ctx);
    swg_status status = swg_report_open(s->ctx, "Search", &page);
    if (status == SWG_OK) {
        snprintf(text, sizeof text, "%lld combinations of %.100s, measured on the %.20s part. Speed is that of the run's own threads while others may be at work.",
                 (long long)s->count, s->recipe, s->part);
        swg_report_paragraph(page, text);
        add_chart(s, page, false, numbers);
        add_chart(s, page, true, numbers);
        add_table(s, page, &arena);
        status = swg_report_write(page, path);
        swg_report_close(page);
    }
    swg__arena_free(&arena);
    swg__free(s->ctx, numbers);
    return status;
}

swg_status swg_search_write(swg_search *s) {
    char path[PATH_MOST];
    SWG__TRY(swg__make_folders(s->ctx, s->folder));
    snprintf(path, sizeof path, "%.2000s/search.csv", s->folder);
    SWG__TRY(write_csv(s, path));
    snprintf(path, sizeof path, "%.2000s/search.json", s->folder);
    SWG__TRY(write_json(s, path));
    snprintf(path, sizeof path, "%.2000s/search.html", s->folder);
    return write_page(s, path);
}
