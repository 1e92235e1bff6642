/* codec_report.c - the codec's tables as text, as Markdown, or as one JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "bench/codec.h"

/* ---- a table of texts, aligned or in Markdown ---- */

enum { COLUMNS = 8, ROWS = 64, CELL = 96 };

typedef struct sheet {
    int columns, rows;
    char cell[ROWS][COLUMNS][CELL];
} sheet;

static void put(sheet *s, int column, const char *format, ...) SWG__PRINTF(3, 4);
static void put(sheet *s, int column, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (s->rows < ROWS && column < COLUMNS)
        vsnprintf(s->cell[s->rows][column], CELL, format, args);
    va_end(args);
    s->columns = column >= s->columns ? column + 1 : s->columns;
}

static void end_row(sheet *s) { s->rows += s->rows < ROWS; }

static void print_sheet(const sheet *s, bool markdown, swg__text *text) {
    size_t width[COLUMNS] = {0};
    for (int r = 0; r < s->rows; r++)
        for (int c = 0; c < s->columns; c++)
            width[c] = strlen(s->cell[r][c]) > width[c] ? strlen(s->cell[r][c]) : width[c];
    for (int r = 0; r < s->rows; r++) {
        for (int c = 0; c < s->columns; c++) {
            bool last = c + 1 == s->columns;
            if (markdown)
                swg__text_printf(text, "%s%s%s", c ? " | " : "| ", s->cell[r][c], last ? " |" : "");
            else
                swg__text_printf(text, "%-*s%s", last ? 0 : (int)width[c], s->cell[r][c], last ? "" : "  ");
        }
        swg__text_puts(text, "\n");
        for (int c = 0; markdown && r == 0 && c < s->columns; c++)
            swg__text_puts(text, c + 1 == s->columns ? "|---|\n" : "|---");
    }
    swg__text_puts(text, "\n");
}

static void heading(const char *title, bool markdown, swg__text *text) { swg__text_printf(text, markdown ? "### %s\n\n" : "%s\n", title); }

/* ---- tables of ratios and bits ---- */

static const struct { const char *title; bool bits; } about[SWG__CODEC_TABLES] = {
    [SWG__CODEC_FIELDS] = {"Fields: ratio", false},
    [SWG__CODEC_BLOCKS] = {"Isolated 5^3 blocks, half of each field, shuffled: bits per value", true},
    [SWG__CODEC_CHUNKS] = {"One chunk, and chunks of 32^3: bits per value", true},
    [SWG__CODEC_OCTANTS] = {"BSSN octants, t = 5: bits per value", true},
    [SWG__CODEC_UNIFORM] = {"BSSN uniform grid, t = 5: bits per value", true},
    [SWG__CODEC_EFFORTS] = {"Efforts 1 / 5 / 9", false},
    [SWG__CODEC_LEARNED] = {"Second half of a field, networks of the first half: bits per value", true},
    [SWG__CODEC_SPEED] = {"Speed in memory", false},
};

/* Adds " / 8.25" to a cell of a sheet; v marks values outside the bound. */
static void append(sheet *s, int row, int column, const swg__codec_cell *cell, const swg__codec_result *r, bool bits) {
    char *out = s->cell[row][column];
    size_t used = strlen(out);
    double value = bits ? 8 * (double)r->bytes / (double)cell->values : (double)cell->raw / (double)r->bytes;
    if (r->bytes)
        snprintf(out + used, CELL - used, bits ? "%s%.3f%s" : value < 100 ? "%s%.2f%s" : "%s%.0f%s", used ? " / " : "", value, r->violations ? " v" : "");
    else
        snprintf(out + used, CELL - used, "%s%s", used ? " / " : "", *r->failure ? "failed" : "-");
}

static bool any_peer(const swg__codec_bench *b) {
    for (int64_t i = 0; i < b->cell_count; i++)
        for (int p = 0; p < SWG__CODEC_PEERS; p++)
            if (b->cells[i].peers[p].bytes || *b->cells[i].peers[p].failure)
                return true;
    return false;
}

/* The row of a name, a new one if there is none. */
static int row_of(sheet *s, const char *name) {
    for (int k = 1; k < s->rows; k++)
        if (strcmp(s->cell[k][0], name) == 0)
            return k;
    put(s, 0, "%s", name);
    end_row(s);
    return s->rows - 1;
}

/* Columns of models that cells of a table have. */
static int models_of(const swg__codec_bench *b, swg__codec_table table) {
    int count = 0;
    for (int64_t i = 0; i < b->cell_count; i++)
        for (int m = 0; m < SWG__CODEC_MODELS; m++)
            if (b->cells[i].table == table && b->cells[i].trained[m].bytes && m >= count)
                count = m + 1;
    return count;
}

/* What the models are not counted with, and each array's bytes if they were. */
static void with_models(const swg__codec_bench *b, int models, sheet *s) {
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        char name[2 * SWG__CODEC_NAME];
        if (cell->table != SWG__CODEC_LEARNED)
            continue;
        snprintf(name, sizeof name, "%s, model counted", cell->data);
        int row = row_of(s, name);
        for (int m = 0; m < models; m++) {
            swg__codec_result counted = cell->trained[m];
            counted.bytes += counted.bytes ? cell->model_bytes[m] : 0;
            append(s, row, 2 + m, cell, &counted, true);
        }
    }
}

static void ratio_table(const swg__codec_bench *b, swg__codec_table table, bool markdown, swg__text *text) {
    sheet s;
    const bool bits = about[table].bits, beside = any_peer(b);
    const int models = models_of(b, table), peers = !beside ? 0 : table == SWG__CODEC_FIELDS ? SWG__CODEC_PEERS : SWG__CODEC_ZFP_EQUAL;
    char list[64] = "";
    s = (sheet){.rows = 1};
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        char name[2 * SWG__CODEC_NAME + 4];
        if (cell->table != table)
            continue;
        snprintf(name, sizeof name, "%s%s%s", cell->data, *cell->variant ? ", " : "", cell->variant);
        int row = row_of(&s, name);
        if (row == 1) /* every row has the same bounds */
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%.0e", *list ? " / " : "", cell->bound);
        append(&s, row, 1, cell, &cell->ours, bits);
        for (int m = 0; m < models; m++)
            append(&s, row, 2 + m, cell, &cell->trained[m], bits);
        for (int p = 0; p < peers; p++)
            append(&s, row, 2 + models + p, cell, &cell->peers[p], bits);
    }
    if (s.rows == 1)
        return;
    if (table == SWG__CODEC_LEARNED)
        with_models(b, models, &s);
    snprintf(s.cell[0][0], CELL, "%s", list);
    snprintf(s.cell[0][1], CELL, models > 1 ? "Swage, no model" : "Swage");
    s.columns = 2 + models + peers;
    for (int m = 0; m < models; m++)
        snprintf(s.cell[0][2 + m], CELL, "%s", swg__codec_trained_name(table, m));
    for (int p = 0; p < peers; p++)
        snprintf(s.cell[0][2 + models + p], CELL, "%s", swg__codec_peer_name(p));
    heading(about[table].title, markdown, text);
    if (b->standin[table])
        swg__text_puts(text, "The data are absent: this is one of the samples, and no target is judged by it.\n\n");
    if (table == SWG__CODEC_LEARNED)
        swg__text_puts(text, "One chunk for everybody. The model is amortised over a series: its bytes are not counted but in the rows that say so, where one array pays for all of it.\n\n");
    print_sheet(&s, markdown, text);
}

/* Ours over each peer: ratio of sizes, geometric means. */
static void means(const swg__codec_bench *b, swg__codec_table table, const double *bounds, int count, bool markdown, swg__text *text) {
    sheet s;
    s = (sheet){.rows = 0};
    put(&s, 0, "peer's bytes / ours");
    for (int k = 0; k < count; k++)
        put(&s, 1 + k, "%.0e", bounds[k]);
    put(&s, 1 + count, "all but 1e-2");
    end_row(&s);
    for (int peer = -1; peer < SWG__CODEC_PEERS; peer++)
        for (int star = 1; star >= (table == SWG__CODEC_FIELDS ? 0 : 1); star--) {
            double all = swg__codec_mean(b, table, peer, 1e-5, 1e-3, star, NULL);
            if (!(all > 0) || b->standin[table])
                continue;
            put(&s, 0, "%s%s", peer < 0 ? "the better of SZ3 and SPERR" : swg__codec_peer_name(peer), star ? "" : ", without TOV");
            for (int k = 0; k < count; k++)
                put(&s, 1 + k, "%.3f", swg__codec_mean(b, table, peer, bounds[k], bounds[k], star, NULL));
            put(&s, 1 + count, "%.3f", all);
            end_row(&s);
        }
    if (s.rows > 1)
        print_sheet(&s, markdown, text);
}

/* ---- speed ---- */

static double mb_per_s(const swg__codec_cell *cell, double ns) { return ns > 0 ? (double)cell->raw * 1e3 / ns : 0; }

static void speed_row(sheet *s, const swg__codec_cell *cell, const swg__codec_result *r, const char *who) {
    put(s, 0, "%s", who);
    put(s, 1, "%.0f / %.0f", mb_per_s(cell, r->compress_ns), mb_per_s(cell, r->decompress_ns));
    put(s, 2, "%.2f", (double)cell->raw / (double)r->bytes);
    put(s, 3, "%lld", (long long)r->violations);
    end_row(s);
}

static void speed_table(const swg__codec_bench *b, bool markdown, swg__text *text) {
    sheet s;
    const swg__codec_cell *any = NULL;
    s = (sheet){.rows = 0};
    put(&s, 0, "one thread unless said");
    put(&s, 1, "compress / decompress MB/s");
    put(&s, 2, "ratio");
    put(&s, 3, "outside the bound");
    end_row(&s);
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        char name[64];
        if (cell->table != SWG__CODEC_SPEED)
            continue;
        any = cell;
        snprintf(name, sizeof name, "Swage, %s", cell->variant);
        speed_row(&s, cell, &cell->ours, name);
        for (int p = 0; p < SWG__CODEC_PEERS; p++)
            if (cell->peers[p].bytes)
                speed_row(&s, cell, &cell->peers[p], swg__codec_peer_name(p));
    }
    if (!any)
        return;
    heading(about[SWG__CODEC_SPEED].title, markdown, text);
    swg__text_printf(text, "%s, mirrored and rescaled to %.0f MB of f32, rel %.0e, the same chunks for everybody; medians, of one thread by its processor time.\n\n", any->data, (double)any->raw * 1e-6,
                     any->bound);
    print_sheet(&s, markdown, text);
}

static double median_speed(const swg__codec_bench *b, int peer, bool decompress) {
    double speeds[4096];
    int64_t n = 0;
    for (int64_t i = 0; i < b->cell_count && n < 4096; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        const swg__codec_result *r = peer < 0 ? &cell->ours : &cell->peers[peer];
        if (cell->table == SWG__CODEC_FIELDS && r->bytes)
            speeds[n++] = mb_per_s(cell, decompress ? r->decompress_ns : r->compress_ns);
    }
    if (!n)
        return 0;
    swg__times t;
    swg__times_of(speeds, n, &t);
    return t.median_ns;
}

/* ---- efforts ---- */

/* One row: a field, or all variables of a file together; geometric mean of the ratios, bytes by time. */
typedef struct effort_row {
    double logs[10], raw[10], ns[10];
    int64_t count[10];
} effort_row;

static void add_effort(effort_row *row, const swg__codec_cell *cell) {
    row->logs[cell->effort] += log((double)cell->raw / (double)cell->ours.bytes);
    row->raw[cell->effort] += (double)cell->raw;
    row->ns[cell->effort] += cell->ours.compress_ns;
    row->count[cell->effort]++;
}

static void effort_line(sheet *s, const char *name, const effort_row *row) {
    char ratio[CELL] = "", speed[CELL] = "";
    double mean[10] = {0};
    put(s, 0, "%s", name);
    for (int e = 0; e < 10; e++) {
        if (!row->count[e])
            continue;
        mean[e] = exp(row->logs[e] / (double)row->count[e]);
        snprintf(ratio + strlen(ratio), sizeof ratio - strlen(ratio), mean[e] < 100 ? "%s%.2f" : "%s%.0f", *ratio ? " / " : "", mean[e]);
        snprintf(speed + strlen(speed), sizeof speed - strlen(speed), "%s%.0f", *speed ? " / " : "", row->raw[e] * 1e3 / row->ns[e]);
    }
    put(s, 1, "%s", ratio);
    put(s, 2, "%s", speed);
    put(s, 3, "%+.2f %%", mean[5] > 0 ? 100 * (mean[9] / mean[5] - 1) : 0);
    end_row(s);
}

static void effort_table(const swg__codec_bench *b, bool markdown, swg__text *text) {
    sheet s;
    effort_row all = {0};
    char done[ROWS][128];
    s = (sheet){.rows = 0};
    put(&s, 0, "effort 1 / 5 / 9");
    put(&s, 1, "ratio");
    put(&s, 2, "compress MB/s");
    put(&s, 3, "bytes of 5 over 9");
    end_row(&s);
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *first = &b->cells[i];
        char name[128];
        effort_row row = {0};
        bool seen = false;
        if (first->table != SWG__CODEC_EFFORTS)
            continue;
        bool file = strcmp(first->variant, "octants") == 0 || strcmp(first->variant, "uniform") == 0;
        snprintf(name, sizeof name, "%s%s%s, %.0e", file ? "BSSN " : first->data, file ? first->variant : *first->variant ? ", " : "", file ? "" : first->variant, first->bound);
        for (int k = 1; k < s.rows && !seen; k++)
            seen = strcmp(done[k], name) == 0;
        if (seen || s.rows >= ROWS - 1)
            continue;
        for (int64_t k = i; k < b->cell_count; k++) {
            const swg__codec_cell *cell = &b->cells[k];
            if (cell->table == SWG__CODEC_EFFORTS && cell->bound == first->bound && strcmp(cell->variant, first->variant) == 0 &&
                (file || strcmp(cell->data, first->data) == 0))
                add_effort(&row, cell);
        }
        for (int e = 0; e < 10 && !first->extra; e++)
            if (row.count[e]) { /* a file counts as one */
                all.logs[e] += row.logs[e] / (double)row.count[e];
                all.raw[e] += row.raw[e];
                all.ns[e] += row.ns[e];
                all.count[e]++;
            }
        snprintf(done[s.rows], sizeof done[0], "%s", name);
        effort_line(&s, name, &row);
    }
    if (s.rows == 1)
        return;
    effort_line(&s, "mean", &all);
    heading(about[SWG__CODEC_EFFORTS].title, markdown, text);
    print_sheet(&s, markdown, text);
}

/* ---- bound, modes left out, targets ---- */

static void bound_table(const swg__codec_bench *b, bool markdown, swg__text *text) {
    sheet s;
    s = (sheet){.rows = 0};
    put(&s, 0, "all cells of this run");
    put(&s, 1, "values outside the bound");
    put(&s, 2, "largest error / bound");
    put(&s, 3, "fields, compress / decompress MB/s, median");
    end_row(&s);
    for (int peer = -1; peer < (any_peer(b) ? SWG__CODEC_PEERS : 0); peer++) {
        double worst;
        int64_t count = swg__codec_violations(b, peer, &worst);
        put(&s, 0, "%s", peer < 0 ? "Swage" : swg__codec_peer_name(peer));
        put(&s, 1, "%lld", (long long)count);
        put(&s, 2, "%.7g", worst);
        put(&s, 3, "%.0f / %.0f", median_speed(b, peer, false), median_speed(b, peer, true));
        end_row(&s);
    }
    heading("The bound, checked on the restored values in exact arithmetic", markdown, text);
    print_sheet(&s, markdown, text);
}

static void without_table(const swg__codec_bench *b, bool markdown, swg__text *text) {
    sheet s;
    if (b->without_count < 2)
        return;
    s = (sheet){.rows = 0};
    put(&s, 0, "ratio, 1e-3 and 1e-4");
    for (int r = 0; r <= b->without_count; r++) {
        const swg__codec_without *row = r ? &b->without[r - 1] : NULL;
        int column = 1;
        if (row)
            put(&s, 0, "%s%s", row->mode < 0 ? "all modes" : "without ", row->mode < 0 ? "" : swg_codec_mode_name((swg_codec_mode)row->mode));
        for (int table = 0; table < SWG__CODEC_EFFORTS; table++) {
            if (!(b->without[0].ratio[table] > 0))
                continue;
            if (row)
                put(&s, column++, "%.3f", row->ratio[table]);
            else
                put(&s, column++, "%s", swg__codec_table_name(table));
        }
        end_row(&s);
    }
    heading("What each mode is worth: geometric mean of the ratio without it", markdown, text);
    print_sheet(&s, markdown, text);
}

static const char *const verdicts[] = {"reached", "MISSED", "not judged"};

static void target_table(const swg__codec_bench *b, bool markdown, swg__text *text) {
    heading("Targets", markdown, text);
    for (int i = 0; i < b->target_count; i++)
        swg__text_printf(text, markdown ? "* %s. %s: **%s**, %s\n" : "%-3s %s: %s, %s\n", b->targets[i].id, b->targets[i].what, verdicts[b->targets[i].verdict],
                         b->targets[i].measured);
    swg__text_puts(text, "\n");
}

void swg__codec_print(const swg__codec_bench *b, bool markdown, swg__text *text) {
    static const double wide[] = {1e-2, 1e-3, 1e-4, 1e-5};
    if (markdown)
        swg__text_puts(text, "```\n");
    swg__bench_machine_line(&b->machine, &b->team, text);
    text->length -= text->length && text->data[text->length - 1] == '\n'; /* its own empty line */
    swg__text_printf(text, "peers: hdf5plugin %s; %s\n", b->peer_version, b->peer_options);
    if (b->opts.model)
        swg__text_printf(text, "BSSN tables with the network of -m, %lld bytes in a file of all variables%s\n", (long long)b->training_bytes,
                         b->training_bytes ? "" : ": it shortened none of them enough");
    swg__text_puts(text, markdown ? "```\n\n" : "\n");
    for (int table = 0; table < SWG__CODEC_EFFORTS; table++) {
        bool from_2 = table == SWG__CODEC_FIELDS || table == SWG__CODEC_BLOCKS;
        ratio_table(b, (swg__codec_table)table, markdown, text);
        if (table != SWG__CODEC_CHUNKS)
            means(b, (swg__codec_table)table, from_2 ? wide : wide + 1, table == SWG__CODEC_FIELDS ? 4 : 3, markdown, text);
    }
    ratio_table(b, SWG__CODEC_LEARNED, markdown, text);
    without_table(b, markdown, text);
    effort_table(b, markdown, text);
    speed_table(b, markdown, text);
    bound_table(b, markdown, text);
    target_table(b, markdown, text);
}

/* ---- JSON ---- */

static void add_number(cJSON *to, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_result(cJSON *to, const char *key, const swg__codec_cell *cell, const swg__codec_result *r) {
    if (!r->bytes && !*r->failure)
        return;
    cJSON *o = cJSON_AddObjectToObject(to, key);
    if (*r->failure) {
        cJSON_AddStringToObject(o, "failure", r->failure);
        return;
    }
    add_number(o, "bytes", (double)r->bytes);
    add_number(o, "ratio", (double)cell->raw / (double)r->bytes);
    add_number(o, "bits_per_value", 8 * (double)r->bytes / (double)cell->values);
    add_number(o, "violations", (double)r->violations);
    add_number(o, "max_error_over_bound", r->max_ratio);
    add_number(o, "psnr_db", r->psnr_db);
    add_number(o, "compress_mb_s", mb_per_s(cell, r->compress_ns));
    add_number(o, "decompress_mb_s", mb_per_s(cell, r->decompress_ns));
    if (*r->layout)
        cJSON_AddStringToObject(o, "layout", r->layout);
}

char *swg__codec_json(const swg__codec_bench *b) {
    cJSON *root = cJSON_CreateObject();
    add_number(root, "schema", 1);
    cJSON_AddStringToObject(root, "kind", "codec");
    swg__bench_machine_json(&b->machine, &b->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON *peer = cJSON_AddObjectToObject(root, "peers");
    cJSON_AddStringToObject(peer, "hdf5plugin", b->peer_version);
    cJSON_AddStringToObject(peer, "options", b->peer_options);
    cJSON *cells = cJSON_AddArrayToObject(root, "rows");
    for (int64_t i = 0; i < b->cell_count; i++) {
        const swg__codec_cell *cell = &b->cells[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(cells, o);
        cJSON_AddStringToObject(o, "table", swg__codec_table_name((int)cell->table));
        cJSON_AddStringToObject(o, "data", cell->data);
        cJSON_AddStringToObject(o, "variant", cell->variant);
        cJSON_AddBoolToObject(o, "sample", b->standin[cell->table]);
        if (cell->effort)
            add_number(o, "effort", cell->effort);
        add_number(o, "bound_rel", cell->bound);
        add_number(o, "bound_abs", cell->bound_abs);
        add_number(o, "values", (double)cell->values);
        add_number(o, "bytes_raw", (double)cell->raw);
        add_result(o, "swage", cell, &cell->ours);
        for (int m = 0; m < SWG__CODEC_MODELS; m++) {
            const char *name = swg__codec_trained_name(cell->table, m);
            if (!name || !cell->trained[m].bytes)
                continue;
            add_result(o, name, cell, &cell->trained[m]);
            add_number(cJSON_GetObjectItem(o, name), "model_bytes", (double)cell->model_bytes[m]);
        }
        for (int p = 0; p < SWG__CODEC_PEERS; p++)
            add_result(o, swg__codec_peer_name(p), cell, &cell->peers[p]);
    }
    cJSON *without = cJSON_AddArrayToObject(root, "without");
    for (int i = 0; i < b->without_count; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(without, o);
        cJSON_AddStringToObject(o, "mode", b->without[i].mode < 0 ? "" : swg_codec_mode_name((swg_codec_mode)b->without[i].mode));
        for (int table = 0; table < SWG__CODEC_EFFORTS; table++)
            if (b->without[i].ratio[table] > 0)
                add_number(o, swg__codec_table_name(table), b->without[i].ratio[table]);
    }
    cJSON *targets = cJSON_AddArrayToObject(root, "targets");
    for (int i = 0; i < b->target_count; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(targets, o);
        cJSON_AddStringToObject(o, "id", b->targets[i].id);
        cJSON_AddStringToObject(o, "what", b->targets[i].what);
        cJSON_AddStringToObject(o, "verdict", verdicts[b->targets[i].verdict]);
        cJSON_AddStringToObject(o, "measured", b->targets[i].measured);
    }
    char *text = cJSON_GetArraySize(targets) == b->target_count ? cJSON_Print(root) : NULL; /* targets are added last */
    cJSON_Delete(root);
    return text;
}
