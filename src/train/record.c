/* record.c - metrics.csv, event files, perf.json and the list of best checkpoints.
 * In: a run. Out: files of its folder that tell the same after a kill and a resume as without.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/record.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "data/image_list.h"

/* ---- metrics.csv ---- */

static const swg__step_graph *graph_of(const swg__run *r) { return &(r->train.plan ? &r->train : &r->train_rest)->graph; }

static void file_of(const swg__run *r, const char *name, char *out, size_t capacity) { snprintf(out, capacity, "%s/%s", r->dir, name); }

/* One number of an epoch, for all loggers. */
typedef struct cell {
    char column[40], tag[48];    /* of metrics.csv: "val_loss"; of an event file: "val/loss" */
    bool known, whole;           /* known: false where there is no result; whole: a count */
    double value;
} cell;
enum { CELLS = 2 * (1 + SWG__STEP_TERMS) + SWG__FIGURES + 6 };

static void fill(cell *c, const char *part, const char *name, bool known, double value) {
    snprintf(c->column, sizeof c->column, "%s%s%s", part, *part ? "_" : "", name);
    snprintf(c->tag, sizeof c->tag, "%s%s%s", part, *part ? "/" : "", name);
    c->known = known;
    c->value = value;
}

/* All numbers of the epoch that has ended; losses NULL: only what they are called. val, figures NULL: there was no validation, no evaluation. */
static int collect(const swg__run *r, const swg__losses *train, const swg__losses *val, const double *figures, cell cells[CELLS]) {
    static const char *const parts[] = {"train", "val"};
    const swg__losses *const both[2] = {train, val};
    const swg__step_graph *g = graph_of(r);
    const double elapsed = (double)r->train_ns * 1e-9;
    const struct { const char *name, *tag; double value; bool whole; } rest[] = {
        {"lr", "lr", r->state.last_lr, false},
        {"samples_per_s", "perf/samples_per_s", elapsed > 0 ? (double)r->epoch_samples / elapsed : 0, false},
        {"data_ms", "perf/data_ms", (double)r->train_data_ns * 1e-6 / (double)(r->epoch_steps ? r->epoch_steps : 1), false},
        {"seconds", "perf/seconds", swg__run_seconds(r), false},
        {"planned_bytes", "perf/planned_bytes", (double)r->planned_bytes, true},
        {"measured_bytes", "perf/measured_bytes", (double)swg_context_peak_rss_growth(r->ctx), true}};
    int n = 0;
    memset(cells, 0, CELLS * sizeof *cells);
    for (int p = 0; p < 2; p++) {
        fill(&cells[n++], parts[p], "loss", both[p], both[p] ? both[p]->loss : 0);
        for (int i = 0; i < g->terms; i++)
            fill(&cells[n++], parts[p], g->term_name[i], both[p], both[p] ? both[p]->term[i] : 0);
    }
    for (int i = 0; i < SWG__FIGURES && r->recipe.family->figures[i]; i++) {
        fill(&cells[n], "quality", r->recipe.family->figures[i], figures, figures ? figures[i] : 0);
        snprintf(cells[n].column, sizeof cells[n].column, "%s", r->recipe.family->figures[i]);
        n++;
    }
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++, n++) {
        fill(&cells[n], "", rest[i].name, true, rest[i].value);
        snprintf(cells[n].tag, sizeof cells[n].tag, "%s", rest[i].tag);
        cells[n].whole = rest[i].whole;
    }
    return n;
}

/* Empty where there is no result. */
static void add_cell(swg__text *out, const cell *c) {
    if (!c->known)
        swg__text_puts(out, ",");
    else if (isfinite(c->value))
        swg__text_printf(out, c->whole ? ",%.0f" : ",%.9g", c->value);
    else
        swg__text_puts(out, isnan(c->value) ? ",nan" : c->value > 0 ? ",inf" : ",-inf");
}

static void add_header(const swg__run *r, swg__text *out) {
    cell cells[CELLS];
    const int n = collect(r, NULL, NULL, NULL, cells);
    swg__text_puts(out, "epoch,step");
    for (int i = 0; i < n; i++)
        swg__text_printf(out, ",%s", cells[i].column);
    swg__text_puts(out, "\n");
}

/* The rows of earlier epochs in the columns of `header`, as text. */
static void add_rows(const swg__run *r, const swg__table *now, const swg__table *old, swg__text *out) {
    int64_t epoch = swg__table_column(old, "epoch");
    for (int64_t row = 0; epoch >= 0 && row < old->rows; row++) {
        if (strtoll(old->cells[row * old->columns + epoch], NULL, 10) >= r->state.epoch)
            continue;
        for (int64_t c = 0; c < now->columns; c++) {
            int64_t from = swg__table_column(old, now->header[c]);
            swg__text_printf(out, "%s%s", c ? "," : "", from >= 0 ? old->cells[row * old->columns + from] : "");
        }
        swg__text_puts(out, "\n");
    }
}

/* What an earlier sitting wrote, up to its last whole line. A file that is no table is one of no rows. *same: nothing has changed. */
static swg_status keep_rows(swg__run *r, const char *path, swg__text *out, bool *same) {
    swg__table now = {0}, old = {0};
    uint8_t *data = NULL;
    size_t bytes = 0, whole;
    if (!r->state.epoch || !swg__exists(path))
        return SWG_OK;
    SWG__TRY(swg__file_read(r->ctx, path, &data, &bytes));
    whole = bytes;
    while (bytes && data[bytes - 1] != '\n')
        bytes--;
    swg__text header;
    swg__text_init(&header, r->ctx);
    swg__text_puts(&header, out->data ? out->data : "");
    for (const char *c = out->data; c && *c; c++) /* a row of any kind, which the parser wants */
        if (*c == ',')
            swg__text_puts(&header, ",");
    swg__text_puts(&header, "\n");
    swg_status status = header.failed ? SWG_ENOMEM : swg__table_parse(r->ctx, header.data, header.length, "metrics.csv", &now);
    if (status == SWG_OK)
        status = swg__table_parse(r->ctx, (const char *)data, bytes, path, &old);
    if (status == SWG_OK)
        add_rows(r, &now, &old, out);
    if (status == SWG_EFORMAT) {
        swg__run_note(r, "%s has no rows to go on from: it begins with this epoch", path);
        status = SWG_OK;
    }
    *same = out->data && out->length == whole && memcmp(out->data, data, whole) == 0;
    swg__table_free(&old);
    swg__table_free(&now);
    swg__text_free(&header);
    swg__free(r->ctx, data);
    return status;
}

static swg_status open_table(swg__run *r) {
    char path[1100];
    swg__text text;
    file_of(r, "metrics.csv", path, sizeof path);
    swg__text_init(&text, r->ctx);
    add_header(r, &text);
    bool same = false;
    swg_status status = keep_rows(r, path, &text, &same);
    if (status == SWG_OK && !same)
        status = text.failed ? swg__fail_memory(r->ctx, text.length, path) : swg__file_write(r->ctx, path, text.data, text.length);
    swg__text_free(&text);
    return status;
}

static swg_status add_row(swg__run *r, const cell *cells, int n) {
    char path[1100];
    swg__text row;
    swg__text_init(&row, r->ctx);
    swg__text_printf(&row, "%lld,%lld", (long long)r->state.epoch, (long long)r->state.step);
    for (int i = 0; i < n; i++)
        add_cell(&row, &cells[i]);
    swg__text_puts(&row, "\n");
    file_of(r, "metrics.csv", path, sizeof path);
    FILE *file = row.failed ? NULL : fopen(path, "ae");
    bool good = file && fwrite(row.data, 1, row.length, file) == row.length;
    if (file)
        good = fclose(file) == 0 && good;
    swg_status status = row.failed ? swg__fail_memory(r->ctx, row.length, path)
                        : good     ? SWG_OK
                                   : swg__fail(r->ctx, SWG_EIO, "%s: cannot write: %s", path, strerror(errno));
    swg__text_free(&row);
    return status;
}

/* ---- event files ---- */

static double wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A resumed run says that what was logged behind its step no longer holds; what it makes again it logs again. */
static swg_status open_events(swg__run *r) {
    char folder[1100];
    const char *yaml;
    swg__text text;
    const bool before = r->state.step || r->state.epoch || r->state.batch;
    file_of(r, "tensorboard", folder, sizeof folder);
    SWG__TRY(swg__events_open(&r->events, r->ctx, folder, wall_time(), before ? r->state.step + 1 : SWG__EVENTS_NEW));
    if (before)
        return SWG_OK;
    SWG__TRY(swg_config_yaml(r->config, &yaml));
    swg__text_init(&text, r->ctx);
    swg__text_printf(&text, "```\n%s```\n", yaml);
    swg__events_begin(&r->events, wall_time(), 0);
    swg__events_text(&r->events, "config", text.data ? text.data : "");
    swg_status status = text.failed ? swg__fail_memory(r->ctx, text.length, "the configuration") : swg__events_end(&r->events);
    swg__text_free(&text);
    return status;
}

static swg_status add_event(swg__run *r, const cell *cells, int n) {
    swg__events_begin(&r->events, wall_time(), r->state.step);
    swg__events_scalar(&r->events, "epoch", (double)r->state.epoch);
    for (int i = 0; i < n; i++)
        if (cells[i].known)
            swg__events_scalar(&r->events, cells[i].tag, cells[i].value);
    return swg__events_end(&r->events);
}

swg_status swg__record_pictures(swg__run *r) {
    char **names, path[1400], tag[300], folder[1100];
    size_t count;
    file_of(r, "samples", folder, sizeof folder);
    if (!r->recipe.tensorboard || !r->sitting_steps || !swg__is_folder(folder))
        return SWG_OK;
    SWG__TRY(swg__list_folder(r->ctx, folder, &names, &count));
    swg_status status = SWG_OK;
    swg__events_begin(&r->events, wall_time(), r->state.step);
    for (size_t i = 0; i < count && status == SWG_OK; i++) {
        uint8_t *png = NULL;
        size_t bytes = 0;
        if (!swg__glob("*.png", names[i]) || snprintf(path, sizeof path, "%s/%s", folder, names[i]) >= (int)sizeof path)
            continue;
        snprintf(tag, sizeof tag, "samples/%.*s", (int)strlen(names[i]) - 4, names[i]);
        status = swg__file_read(r->ctx, path, &png, &bytes);
        if (status == SWG_OK)
            swg__events_png(&r->events, tag, png, bytes);
        swg__free(r->ctx, png);
    }
    swg__list_free(r->ctx, names, count);
    return status == SWG_OK ? swg__events_end(&r->events) : status;
}

/* ---- both ---- */

swg_status swg__record_open(swg__run *r) {
    if (r->recipe.csv)
        SWG__TRY(open_table(r));
    return r->recipe.tensorboard ? open_events(r) : SWG_OK;
}

swg_status swg__record_epoch(swg__run *r, const swg__losses *train, const swg__losses *val, const double *figures) {
    cell cells[CELLS];
    const int n = collect(r, train, val, figures, cells);
    if (r->recipe.csv)
        SWG__TRY(add_row(r, cells, n));
    return r->recipe.tensorboard ? add_event(r, cells, n) : SWG_OK;
}

/* ---- perf.json ---- */

void swg__record_speed(swg__run *r) {
    r->train_ns = swg__now_ns() - r->epoch_ns;
    r->train_data_ns = r->data_ns;
    r->sitting_ns += r->train_ns;
    r->sitting_data_ns += r->data_ns;
    r->sitting_samples += r->epoch_samples;
    r->sitting_steps += r->epoch_steps;
}

swg_status swg__record_perf(swg__run *r) {
    const swg__step_graph *g = graph_of(r);
    const double seconds = (double)r->sitting_ns * 1e-9;
    const struct { const char *key; double value; } numbers[] = {
        {"threads", swg_context_threads(r->ctx)}, {"workers", r->recipe.workers}, {"batch", (double)r->recipe.batch},
        {"accumulate", (double)r->recipe.accumulate}, {"parameters", (double)swg_graph_parameters(g->g)}, {"steps", (double)r->sitting_steps},
        {"samples", (double)r->sitting_samples}, {"training_seconds", seconds}, {"seconds", r->result->seconds},
        {"samples_per_s", seconds > 0 ? (double)r->sitting_samples / seconds : 0},
        {"data_share", seconds > 0 ? (double)r->sitting_data_ns * 1e-9 / seconds : 0},
        {"planned_bytes", (double)r->result->planned_bytes}, {"measured_bytes", (double)r->result->measured_bytes}};
    const struct { const char *key, *value; } texts[] = {
        {"version", swg_version()}, {"family", r->recipe.family->name}, {"model", swg_config_string(r->config, "model.name")},
        {"device", "cpu"}, {"isa", swg_context_isa(r->ctx)}, {"provider", r->recipe.provider}, {"precision", swg__recipe_precision(&r->recipe)},
        {"sample", r->recipe.family->sample}};
    char path[1100];
    if (!r->sitting_steps)
        return SWG_OK;
    cJSON *root = cJSON_CreateObject(), *shape = cJSON_AddArrayToObject(root, "shape");
    bool good = shape != NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && good; i++)
        good = cJSON_AddStringToObject(root, texts[i].key, texts[i].value ? texts[i].value : "") != NULL;
    for (int i = 1; i < swg_ndim(g->g, g->in[0]) && good; i++)
        good = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)swg_shape(g->g, g->in[0])[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && good; i++)
        good = cJSON_AddNumberToObject(root, numbers[i].key, numbers[i].value) != NULL;
    char *text = good ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    file_of(r, "perf.json", path, sizeof path);
    swg_status status = text ? swg__file_write(r->ctx, path, text, strlen(text)) : swg__fail_memory(r->ctx, 1024, path);
    cJSON_free(text);
    return status;
}

/* ---- the best checkpoints ---- */

static void top_name(int64_t epoch, char out[32]) { snprintf(out, 32, "top-%04lld", (long long)epoch); }

swg_status swg__record_top(swg__run *r, double val_loss) {
    swg__run_state *s = &r->state;
    const int64_t most = r->recipe.save_top;
    int64_t at = 0;
    char name[32];
    if (most < 2 || isnan(val_loss))
        return SWG_OK;
    while (at < s->top_count && s->top_loss[at] <= val_loss)
        at++;
    s->top_count = s->top_count < most ? s->top_count : most; /* it was more before the run was resumed */
    if (at >= most)
        return SWG_OK;
    s->top_count += s->top_count < most;
    for (int64_t i = s->top_count - 1; i > at; i--) {
        s->top_epoch[i] = s->top_epoch[i - 1];
        s->top_loss[i] = s->top_loss[i - 1];
    }
    s->top_epoch[at] = s->epoch;
    s->top_loss[at] = val_loss;
    top_name(s->epoch, name);
    return swg__run_save(r, name);
}

/* Epoch of top-EPOCH.safetensors; -1: another file. */
static int64_t top_epoch_of(const char *file) {
    if (!swg__glob("top-*.safetensors", file))
        return -1;
    char *end;
    long long epoch = strtoll(file + 4, &end, 10);
    return strcmp(end, ".safetensors") == 0 && file[4] >= '0' && file[4] <= '9' ? epoch : -1;
}

swg_status swg__record_tidy(swg__run *r) {
    const swg__run_state *s = &r->state;
    char **names, folder[1100], path[2200];
    size_t count;
    if (r->recipe.save_top < 2)
        return SWG_OK;
    file_of(r, "ckpt", folder, sizeof folder);
    SWG__TRY(swg__list_folder(r->ctx, folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        int64_t epoch = top_epoch_of(names[i]);
        bool kept = epoch < 0 || epoch > s->epoch; /* of a later epoch, which will be run again: written anew then */
        for (int64_t j = 0; j < s->top_count && !kept; j++)
            kept = s->top_epoch[j] == epoch;
        if (!kept && snprintf(path, sizeof path, "%s/%s", folder, names[i]) < (int)sizeof path)
            unlink(path);
    }
    swg__list_free(r->ctx, names, count);
    return SWG_OK;
}
