/* files.c - tables from the JSON objects that `swage bench --output` wrote: one run with its peers, or several side by side.
 * In: files. Out: text or Markdown, and a page with a bar per row.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include "bench/bench.h"
#include "swage/report.h"

enum { MOST_FILES = 8, MOST_COLUMNS = 24, CELL = 72 };

typedef struct column { char title[64]; const char *peer; int file; } column; /* peer: of the first file; NULL: ours of `file` */

typedef struct sheet {
    swg_context *ctx;
    const char *const *paths;
    int files, columns, rows;
    cJSON *root[MOST_FILES];
    column column[MOST_COLUMNS];
    char (*cells)[CELL];            /* (rows, columns + 2): row's name and threads in front */
} sheet;

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *string(const cJSON *object, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

static const cJSON *list(const cJSON *object, const char *key) { return cJSON_GetObjectItemCaseSensitive(object, key); }

static const cJSON *row_like(const cJSON *root, const cJSON *row) {
    const cJSON *other;
    cJSON_ArrayForEach(other, list(root, "rows"))
        if (strcmp(string(other, "workload"), string(row, "workload")) == 0 && (int)number(other, "threads") == (int)number(row, "threads"))
            return other;
    return NULL;
}

/* The fastest way of a peer, or one that failed where none has a time. */
static const cJSON *peer_of(const cJSON *row, const char *name) {
    const cJSON *peer, *best = NULL;
    cJSON_ArrayForEach(peer, list(row, "peers"))
        if (strcmp(string(peer, "name"), name) == 0 &&
            (!best || (number(peer, "median_ns") > 0 && (number(best, "median_ns") <= 0 || number(peer, "median_ns") < number(best, "median_ns")))))
            best = peer;
    return best;
}

/* ---- columns and cells ---- */

static void find_columns(sheet *s) {
    for (int f = 0; f < s->files; f++) {
        column *c = &s->column[s->columns++];
        *c = (column){.file = f};
        snprintf(c->title, sizeof c->title, s->files > 1 ? "median, %.48s" : "median", string(list(s->root[f], "machine"), "revision"));
    }
    const cJSON *row, *peer;
    cJSON_ArrayForEach(row, list(s->root[0], "rows")) {
        cJSON_ArrayForEach(peer, list(row, "peers")) {
            bool known = false;
            for (int c = 0; c < s->columns; c++)
                known |= s->column[c].peer && strcmp(s->column[c].peer, string(peer, "name")) == 0;
            if (known || s->columns == MOST_COLUMNS)
                continue;
            column *c = &s->column[s->columns++];
            *c = (column){.peer = string(peer, "name")};
            snprintf(c->title, sizeof c->title, "%.60s", c->peer);
        }
    }
}

/* "4.13 ms" */
static int duration(double ns, char *out, size_t capacity) {
    static const struct { double scale; const char *unit; } units[] = {{1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
    int u = 0;
    while (u < 3 && ns >= units[u + 1].scale)
        u++;
    double value = ns / units[u].scale;
    return snprintf(out, capacity, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[u].unit);
}

/* Ours: time, share of the floor, and from the second file on the ratio to the first; a peer: time and ratio to ours. */
static void fill_cell(const sheet *s, const cJSON *row, const column *c, char cell[CELL]) {
    const cJSON *ours = row_like(s->root[c->file], row), *shown = c->peer ? peer_of(row, c->peer) : ours;
    double median = number(shown, "median_ns"), base = number(row, "median_ns");
    cell[0] = 0;
    if (!shown)
        return;
    if (median <= 0) {
        snprintf(cell, CELL, "%.60s", *string(shown, "failure") ? string(shown, "failure") : "no time");
        return;
    }
    int used = duration(median, cell, CELL);
    if (c->peer || c->file) {
        if (base > 0)
            snprintf(cell + used, CELL - (size_t)used, ", x %.2f", median / base);
    } else if (number(shown, "fraction_of_floor") > 0) {
        snprintf(cell + used, CELL - (size_t)used, ", %.2f of floor%s", number(shown, "fraction_of_floor"),
                 cJSON_IsTrue(list(shown, "noisy")) ? " ~" : "");
    }
}

static char *cell_at(const sheet *s, int row, int at) { return s->cells[row * (s->columns + 2) + at]; }

static swg_status fill(sheet *s) {
    s->rows = cJSON_GetArraySize(list(s->root[0], "rows"));
    find_columns(s);
    size_t bytes = (size_t)(s->rows * (s->columns + 2) + 1) * CELL;
    if (!(s->cells = swg__calloc(s->ctx, bytes, 1)))
        return swg__fail_memory(s->ctx, bytes, "a table");
    const cJSON *row;
    int at = 0;
    cJSON_ArrayForEach(row, list(s->root[0], "rows")) {
        snprintf(cell_at(s, at, 0), CELL, "%.60s", string(row, "workload"));
        snprintf(cell_at(s, at, 1), CELL, "%d", (int)number(row, "threads"));
        for (int c = 0; c < s->columns; c++)
            fill_cell(s, row, &s->column[c], cell_at(s, at, c + 2));
        at++;
    }
    return SWG_OK;
}

/* ---- text ---- */

static const char *title_of(const sheet *s, int at) { return at == 0 ? "row" : at == 1 ? "threads" : s->column[at - 2].title; }

static void machine_of(const cJSON *root, char *out, size_t capacity) {
    const cJSON *m = list(root, "machine"), *team = cJSON_GetArrayItem(list(list(root, "peaks"), "teams"), 0);
    snprintf(out, capacity, "%.60s (family %d), %d threads, %.16s, %.0f Gop/s f32 measured per core, %.40s, swage %.48s, load %.2f", string(m, "cpu"),
             (int)number(m, "family"), (int)number(m, "threads"), string(m, "isa"), number(list(team, "f32_gops"), string(m, "isa")),
             string(m, "compiler"), string(m, "revision"), number(m, "load_before"));
}

static void write_text(const sheet *s, bool markdown, swg__text *text) {
    int columns = s->columns + 2, width[MOST_COLUMNS + 2];
    char machine[320];
    for (int c = 0; c < columns; c++) {
        width[c] = (int)strlen(title_of(s, c));
        for (int r = 0; r < s->rows; r++)
            width[c] = (int)strlen(cell_at(s, r, c)) > width[c] ? (int)strlen(cell_at(s, r, c)) : width[c];
    }
    for (int r = -1; r < s->rows; r++) {
        for (int c = 0; c < columns; c++) {
            const char *cell = r < 0 ? title_of(s, c) : cell_at(s, r, c);
            if (markdown)
                swg__text_printf(text, c == 0 && r >= 0 ? "| `%s` " : "| %s ", cell);
            else
                swg__text_printf(text, "%-*s  ", width[c], cell);
        }
        swg__text_puts(text, markdown ? "|\n" : "\n");
        for (int c = 0; markdown && r < 0 && c < columns; c++)
            swg__text_puts(text, c + 1 < columns ? "|---" : "|---|\n");
    }
    for (int f = 0; f < s->files; f++) {
        machine_of(s->root[f], machine, sizeof machine);
        swg__text_printf(text, "\n%s: %s\n", s->paths[f], machine);
    }
}

/* ---- page ---- */

/* A bar per row of the first file: the floor, and what lies above it. */
static swg_status add_bars(const sheet *s, swg_report *report) {
    static const char *const kinds[2] = {"floor", "above it"};
    double *shares = swg__alloc(s->ctx, (size_t)(s->rows + 1) * 2 * sizeof *shares);
    const char **names = swg__alloc(s->ctx, (size_t)(s->rows + 1) * sizeof *names);
    int count = 0, at = 0;
    const cJSON *row;
    if (shares && names) {
        cJSON_ArrayForEach(row, list(s->root[0], "rows")) {
            double fraction = number(row, "fraction_of_floor");
            if (fraction > 0 && (int)number(row, "threads") == 1) {
                shares[2 * count] = fraction < 1 ? fraction : 1;
                shares[2 * count + 1] = fraction < 1 ? 1 - fraction : 0;
                names[count++] = cell_at(s, at, 0);
            }
            at++;
        }
        swg_report_bars(report, &(swg_bars){.title = "share of the floor, one thread", .rows = count, .kinds = 2, .row_names = names,
                                            .kind_names = kinds, .shares = shares});
    }
    bool made = shares && names;
    swg__free(s->ctx, shares);
    swg__free(s->ctx, names);
    return made ? SWG_OK : swg__fail_memory(s->ctx, (size_t)s->rows * sizeof *shares, "a chart");
}

static swg_status write_page(const sheet *s, const char *path) {
    swg_report *report;
    char machine[320];
    SWG__TRY(swg_report_open(s->ctx, "swage bench", &report));
    for (int f = 0; f < s->files; f++) {
        machine_of(s->root[f], machine, sizeof machine);
        swg_report_paragraph(report, machine);
    }
    int columns = s->columns + 2;
    const char *header[MOST_COLUMNS + 2], **cells = swg__alloc(s->ctx, (size_t)(s->rows * columns + 1) * sizeof *cells);
    swg_status status = cells ? add_bars(s, report) : swg__fail_memory(s->ctx, (size_t)s->rows * sizeof *cells, "a table");
    for (int c = 0; c < columns; c++)
        header[c] = title_of(s, c);
    for (int i = 0; cells && i < s->rows * columns; i++)
        cells[i] = s->cells[i];
    if (status == SWG_OK) {
        swg_report_table(report, &(swg_table){.columns = columns, .rows = s->rows, .header = header, .cells = cells});
        status = swg_report_write(report, path);
    }
    swg__free(s->ctx, cells);
    swg_report_close(report);
    return status;
}

/* ---- reading ---- */

static swg_status read_files(sheet *s) {
    for (int f = 0; f < s->files; f++) {
        uint8_t *data;
        size_t bytes;
        SWG__TRY(swg__file_read(s->ctx, s->paths[f], &data, &bytes));
        s->root[f] = cJSON_ParseWithLength((const char *)data, bytes);
        swg__free(s->ctx, data);
        if (!cJSON_IsArray(list(s->root[f], "rows")) || number(s->root[f], "schema") != 1 || !list(s->root[f], "peaks"))
            return swg__fail(s->ctx, SWG_EFORMAT, "%s: not a JSON object of `swage bench --output`, schema 1", s->paths[f]);
    }
    return SWG_OK;
}

swg_status swg__bench_files(swg_context *ctx, const char *const *paths, int count, bool markdown, const char *page, swg__text *text) {
    sheet s = {.ctx = ctx, .paths = paths, .files = count};
    if (count < 1 || count > MOST_FILES)
        return swg__fail(ctx, SWG_EUSAGE, "bench --report: name 1 to %d files of `swage bench --output`", MOST_FILES);
    swg_status status = read_files(&s);
    if (status == SWG_OK)
        status = fill(&s);
    if (status == SWG_OK)
        write_text(&s, markdown, text);
    if (status == SWG_OK && page)
        status = write_page(&s, page);
    swg__free(ctx, s.cells);
    for (int f = 0; f < count; f++)
        cJSON_Delete(s.root[f]);
    return status == SWG_OK && text->failed ? swg__fail_memory(ctx, text->length, "a table") : status;
}
