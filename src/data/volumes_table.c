/* volumes_table.c - rows of a data set of stacks: from tables, folders of images or arrays, with the part each belongs to.
 * In: a path, or arrays. Out: rows. Images are not opened.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "data/volumes_inside.h"

#define ENDINGS SWG__IMAGE_ENDINGS " *.npy"

/* ---- rows ---- */

struct listing {
    swg__volumes *volumes;
    const swg__volumes_opts *opts;
    int64_t capacity;
};

static swg_status add_row(struct listing *l, const swg__volume_row *row) {
    swg__volumes *v = l->volumes;
    if (v->row_count == l->capacity) {
        const int64_t larger = l->capacity ? 2 * l->capacity : 64;
        swg__volume_row *grown = swg__grow(v->ctx, v->rows, (size_t)larger * sizeof *grown);
        if (!grown)
            return swg__fail_memory(v->ctx, (size_t)larger * sizeof *grown, "the rows of a table");
        v->rows = grown;
        l->capacity = larger;
    }
    v->rows[v->row_count++] = *row;
    return SWG_OK;
}

/* A text of a table that outlives it. */
static swg_status keep(swg__volumes *v, const char *text, const char **out) {
    *out = text ? swg__arena_strdup(&v->arena, text) : NULL;
    return *out ? SWG_OK : swg__fail_memory(v->ctx, text ? strlen(text) : 0, "the rows of a table");
}

void swg__volumes_place(const swg__volumes *volumes, const swg__volume_row *row, int key, char *out, size_t capacity) {
    if (!*row->table)
        snprintf(out, capacity, "%s", "");
    else
        snprintf(out, capacity, "%s: row %lld (line %lld), column \"%s\": ", row->table, (long long)row->number, (long long)row->line,
                 volumes->key[key].column);
}

/* ---- one table ---- */

struct columns {
    int64_t key[1 + SWG__VOLUME_TARGETS], split, channel, t, start, stop, z, y, x;
};

static bool ends_in(const char *path, const char *ending) {
    const size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

static swg_status find_columns(const swg__volumes *v, const swg__table *table, const char *path, struct columns *out) {
    *out = (struct columns){.split = swg__table_column(table, "split"), .channel = swg__table_column(table, "channel"), .t = swg__table_column(table, "t"),
                            .start = swg__table_column(table, "start"), .stop = swg__table_column(table, "stop"), .z = swg__table_column(table, "z"),
                            .y = swg__table_column(table, "crop_y"), .x = swg__table_column(table, "crop_x")};
    for (int k = 0; k < v->keys; k++)
        SWG__TRY(swg__table_find(v->ctx, table, path, v->key[k].column, k ? "data.target" : "data.source", &out->key[k]));
    return SWG_OK;
}

struct cell_reader {
    swg__volumes *v;
    const swg__table *table;
    const char *path;
    int64_t row;
};

/* NULL: there is no such column, or the cell is empty. */
static const char *cell(const struct cell_reader *c, int64_t column) {
    const char *text = column >= 0 ? c->table->cells[c->row * c->table->columns + column] : "";
    return *text ? text : NULL;
}

static swg_status bad_cell(const struct cell_reader *c, int64_t column, const char *expected) {
    const char *text = cell(c, column);
    return swg__fail(c->v->ctx, SWG_EFORMAT, "%s: row %lld (line %lld), column \"%s\": \"%s\": expected %s", c->path, (long long)c->row + 1,
                     (long long)c->table->line[c->row], c->table->header[column], text ? text : "", expected);
}

static swg_status read_pick(const struct cell_reader *c, int64_t column, bool maximum, const char *expected, swg__pick *out) {
    const char *text = cell(c, column);
    if (!text || swg__pick_parse(text, maximum, out))
        return SWG_OK;
    return bad_cell(c, column, expected);
}

/* Columns start and stop, both included; stop -1 or empty: to the end. */
static swg_status read_times(const struct cell_reader *c, const struct columns *columns, swg__pick *out) {
    const char *start = cell(c, columns->start), *stop = cell(c, columns->stop);
    char range[64];
    SWG__TRY(read_pick(c, columns->t, false, "a frame (4), a range with both ends (0:9) or all", out));
    if (columns->t >= 0 || columns->start < 0 || columns->stop < 0 || (!start && !stop))
        return SWG_OK;
    if ((!stop || strcmp(stop, "-1") == 0) && (!start || strcmp(start, "0") == 0)) {
        out->kind = SWG__PICK_ALL;
        return SWG_OK;
    }
    snprintf(range, sizeof range, "%.28s:%.28s", start ? start : "0", stop ? stop : "");
    if (strchr(range, ':') == strrchr(range, ':') && swg__pick_parse(range, false, out))
        return SWG_OK;
    return bad_cell(c, columns->stop, "the last frame, not before that of column \"start\"; -1 and start 0: all");
}

/* A value that begins with train, val or test. */
static swg_status part_of(const struct cell_reader *c, int64_t column, int *out) {
    static const char *const prefixes[] = {[SWG_TRAIN] = "train", [SWG_VAL] = "val", [SWG_TEST] = "test"};
    const char *text = cell(c, column);
    for (int part = 0; text && part < SWG_PARTS; part++)
        if (strncasecmp(text, prefixes[part], strlen(prefixes[part])) == 0) {
            *out = part;
            return SWG_OK;
        }
    return bad_cell(c, column, "train, valid or test");
}

static swg_status read_row(struct listing *l, const struct cell_reader *c, const struct columns *columns, int part) {
    static const char range[] = "a range with both ends (0:255)";
    swg__volumes *v = l->volumes;
    swg__volume_row row = {.table = c->path, .number = c->row + 1, .line = c->table->line[c->row], .part = part};
    for (int k = 0; k < v->keys; k++) {
        const char *text = cell(c, columns->key[k]);
        if (!text)
            return bad_cell(c, columns->key[k], "a path");
        if (!(row.path[k] = swg__table_path(&v->arena, c->path, text)))
            return swg__fail_memory(v->ctx, strlen(text), "the rows of a table");
    }
    if (cell(c, columns->channel))
        SWG__TRY(keep(v, cell(c, columns->channel), &row.channel));
    SWG__TRY(read_times(c, columns, &row.t));
    SWG__TRY(read_pick(c, columns->z, true, "a plane (38), a range with both ends (4:20), all or max", &row.z));
    SWG__TRY(read_pick(c, columns->y, false, range, &row.y));
    SWG__TRY(read_pick(c, columns->x, false, range, &row.x));
    if (part < 0 && columns->split >= 0 && v->use != SWG__VOLUMES_PREDICT)
        SWG__TRY(part_of(c, columns->split, &row.part));
    return add_row(l, &row);
}

/* Rows of a CSV file; part -1: as column `split` says, or to be split. */
static swg_status add_table(struct listing *l, const char *path, int part) {
    swg__volumes *v = l->volumes;
    struct cell_reader c = {.v = v};
    struct columns columns;
    swg__table table;
    SWG__TRY(keep(v, path, &c.path));
    swg_status status = swg__table_read(v->ctx, path, &table);
    if (status == SWG_OK)
        status = find_columns(v, &table, path, &columns);
    c.table = &table;
    for (c.row = 0; status == SWG_OK && c.row < table.rows; c.row++)
        status = read_row(l, &c, &columns, part);
    swg__table_free(&table);
    return status;
}

/* ---- other kinds ---- */

static swg_status refuse_parquet(const swg__volumes *v, const char *path) {
    return swg__fail(v->ctx, SWG_EFORMAT, "%s: Parquet is not read; convert it: python3 -c \"import pandas; pandas.read_parquet('%s').to_csv('table.csv', index=False)\"",
                     path, path);
}

static void table_in(const char *folder, const char *name, char *out, size_t capacity) {
    const size_t length = strlen(folder);
    snprintf(out, capacity, "%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
}

/* train.csv, valid.csv, ... of a folder. *found: there is one at least, so the folder is one of tables. */
static swg_status add_tables(struct listing *l, const char *folder, bool *found) {
    static const char *const names[] = {[SWG_TRAIN] = "train.csv", [SWG_VAL] = "valid.csv", [SWG_TEST] = "test.csv", [SWG_PARTS] = "predict.csv"};
    static const unsigned wanted[] = {[SWG__VOLUMES_TRAIN] = 7, [SWG__VOLUMES_EVAL] = 4, [SWG__VOLUMES_ALL] = 7, [SWG__VOLUMES_PREDICT] = 8}; /* bits of names */
    static const unsigned needed[] = {[SWG__VOLUMES_TRAIN] = 3, [SWG__VOLUMES_EVAL] = 4, [SWG__VOLUMES_ALL] = 0, [SWG__VOLUMES_PREDICT] = 8};
    const swg__volumes *v = l->volumes;
    char path[4096], present[80] = "";
    unsigned there = 0;
    for (unsigned i = 0; i <= SWG_PARTS; i++) {
        table_in(folder, names[i], path, sizeof path);
        if (!swg__exists(path))
            continue;
        there |= 1u << i;
        snprintf(present + strlen(present), sizeof present - strlen(present), "%s%s", *present ? ", " : "", names[i]);
    }
    *found = there != 0;
    table_in(folder, "train.parquet", path, sizeof path);
    if (!there)
        return swg__exists(path) ? refuse_parquet(v, path) : SWG_OK;
    for (unsigned i = 0; i <= SWG_PARTS; i++) {
        table_in(folder, names[i], path, sizeof path);
        if (needed[v->use] >> i & 1 && !(there >> i & 1))
            return swg__fail(v->ctx, SWG_ENOTFOUND, "%s: there is no such table; the folder has %s", path, present);
        if (wanted[v->use] & there & 1u << i)
            SWG__TRY(add_table(l, path, i < SWG_PARTS ? (int)i : SWG_TEST));
    }
    return SWG_OK;
}

/* Images without a table: every key reads them. */
static swg_status add_images(struct listing *l, const char *path, bool one) {
    swg__volumes *v = l->volumes;
    swg__image_list list = {0};
    for (int k = 1; k < v->keys; k++)
        if (strcmp(v->key[k].column, v->key[0].column) != 0)
            return swg__fail(v->ctx, SWG_EINVAL, "%s: the target in column \"%s\" needs a table: a CSV with a row per image", path, v->key[k].column);
    if (!one)
        SWG__TRY(swg__image_list_read_ending(v->ctx, path, NULL, ENDINGS, &list));
    swg_status status = SWG_OK;
    for (int64_t i = 0; status == SWG_OK && i < (one ? 1 : list.count); i++) {
        swg__volume_row row = {.table = "", .number = i + 1, .part = -1};
        if (!one && list.folder && swg__below_folder(list.path[i], l->opts->results))
            continue;
        status = keep(v, one ? path : list.path[i], &row.path[0]);
        for (int k = 1; k < v->keys; k++)
            row.path[k] = row.path[0];
        if (status == SWG_OK)
            status = add_row(l, &row);
    }
    if (!one)
        swg__image_list_free(&list);
    return status;
}

/* Number of rows along axis B. */
static int64_t rows_of(const swg__volume_array *array) {
    const char *batch = array->layout ? strchr(array->layout, 'B') : NULL;
    const ptrdiff_t axis = batch ? batch - array->layout : -1;
    return axis >= 0 && axis < array->ndim && axis < 6 ? array->dims[axis] : 1;
}

/* Array and row in it that hold row `index` of a column. */
static const swg__volume_array *array_at(const swg__volume_array *arrays, int64_t array_count, const char *column, int64_t index, int64_t *row) {
    for (int64_t a = 0; a < array_count; a++) {
        const swg__volume_array *array = &arrays[a];
        if (strcmp(array->column, column) != 0)
            continue;
        if (index < rows_of(array)) {
            *row = index;
            return array;
        }
        index -= rows_of(array);
    }
    return NULL;
}

static swg_status split_word(const swg__volumes *v, const char *word, int *part) {
    *part = !word ? -1 : strncmp(word, "train", 5) == 0 ? SWG_TRAIN : strncmp(word, "val", 3) == 0 ? SWG_VAL : strncmp(word, "test", 4) == 0 ? SWG_TEST : SWG_PARTS;
    return *part < SWG_PARTS ? SWG_OK : swg__fail(v->ctx, SWG_EINVAL, "an array's split \"%s\": expected train, valid or test", word);
}

/* The caller's list may go. */
static swg_status copy_arrays(swg__volumes *v, const swg__volumes_opts *opts, swg__volume_array **out) {
    swg__volume_array *arrays = *out = swg__arena_alloc(&v->arena, (size_t)opts->array_count * sizeof *arrays);
    if (!arrays)
        return swg__fail_memory(v->ctx, (size_t)opts->array_count * sizeof *arrays, "a list of arrays");
    for (int64_t a = 0; a < opts->array_count; a++) {
        arrays[a] = opts->arrays[a];
        if (!arrays[a].column || !arrays[a].values)
            return swg__fail(v->ctx, SWG_EINVAL, "array %lld has no %s", (long long)a, arrays[a].column ? "values" : "column");
        SWG__TRY(keep(v, arrays[a].column, &arrays[a].column));
        if (arrays[a].split)
            SWG__TRY(keep(v, arrays[a].split, &arrays[a].split));
        if (arrays[a].layout)
            SWG__TRY(keep(v, arrays[a].layout, &arrays[a].layout));
    }
    return SWG_OK;
}

static swg_status add_arrays(struct listing *l) {
    swg__volumes *v = l->volumes;
    const int64_t array_count = l->opts->array_count;
    swg__volume_array *arrays;
    int64_t count[1 + SWG__VOLUME_TARGETS] = {0};
    SWG__TRY(copy_arrays(v, l->opts, &arrays));
    for (int k = 0; k < v->keys; k++) {
        for (int64_t a = 0; a < array_count; a++)
            count[k] += strcmp(arrays[a].column, v->key[k].column) == 0 ? rows_of(&arrays[a]) : 0;
        if (count[k] < 1)
            return swg__fail(v->ctx, SWG_ENOTFOUND, "there is no array of column \"%s\"", v->key[k].column);
        if (count[k] != count[0])
            return swg__fail(v->ctx, SWG_EINVAL, "arrays of column \"%s\" have %lld images, those of \"%s\" %lld", v->key[k].column, (long long)count[k],
                             v->key[0].column, (long long)count[0]);
    }
    for (int64_t i = 0; i < count[0]; i++) {
        swg__volume_row row = {.table = "", .number = i + 1};
        for (int k = 0; k < v->keys; k++) {
            char name[SWG__VOLUME_WORD + 40];
            row.array[k] = array_at(arrays, array_count, v->key[k].column, i, &row.array_row[k]);
            snprintf(name, sizeof name, "array \"%s\" %lld", v->key[k].column, (long long)i + 1);
            SWG__TRY(keep(v, name, &row.path[k]));
        }
        SWG__TRY(split_word(v, row.array[0]->split, &row.part));
        SWG__TRY(add_row(l, &row));
    }
    return SWG_OK;
}

/* ---- parts ---- */

/* 80 : 15 : 5 by rows. */
static swg_status split_rows(swg__volumes *v, const swg__volumes_opts *opts) {
    const int64_t count = v->row_count;
    if (count < 3)
        return swg__fail(v->ctx, SWG_EINVAL, "%lld image%s cannot be split into training, validation and test; say which is which with a column \"split\" of a CSV "
                         "(one image may have several rows, with other planes in column z or other areas in crop_y and crop_x)", (long long)count,
                         count == 1 ? "" : "s");
    const swg_split_opts rules = {.seed = opts->split_seed ? opts->split_seed : 12345, .train = .8, .val = .15, .images = true};
    swg_split split;
    swg_sample *samples = swg__calloc(v->ctx, (size_t)count, sizeof *samples);
    if (!samples)
        return swg__fail_memory(v->ctx, (size_t)count * sizeof *samples, "the split");
    swg_status status = swg_split_make(v->ctx, samples, count, &rules, &split);
    for (int part = 0; status == SWG_OK && part < SWG_PARTS; part++)
        for (int64_t i = 0; i < split.count[part]; i++)
            v->rows[split.indices[part][i]].part = part;
    if (status == SWG_OK)
        swg_split_free(v->ctx, &split);
    swg__free(v->ctx, samples);
    return status;
}

static swg_status settle_parts(swg__volumes *v, const swg__volumes_opts *opts) {
    static const char *const names[] = {"training", "validation", "test"};
    int64_t count[SWG_PARTS] = {0}, kept = 0;
    v->together = v->use == SWG__VOLUMES_PREDICT || (v->use == SWG__VOLUMES_ALL && v->rows[0].part < 0 && v->row_count < 3);
    v->drawn = !v->together && v->rows[0].part < 0;
    if (v->drawn)
        SWG__TRY(split_rows(v, opts));
    for (int64_t i = 0; i < v->row_count; i++) {
        if (v->together)
            v->rows[i].part = SWG_TEST;
        if (v->rows[i].part < 0) /* arrays: some say, some do not */
            return swg__fail(v->ctx, SWG_EINVAL, "image %lld has no part though others do", (long long)i + 1);
        count[v->rows[i].part]++;
        if (v->use != SWG__VOLUMES_EVAL || v->rows[i].part == SWG_TEST)
            v->rows[kept++] = v->rows[i];
    }
    v->row_count = kept;
    for (int part = 0; part < SWG_PARTS && v->use != SWG__VOLUMES_ALL; part++)
        if (!count[part] && (v->use == SWG__VOLUMES_TRAIN ? part != SWG_TEST : part == SWG_TEST))
            return swg__fail(v->ctx, SWG_EINVAL, "%s: none of its rows belongs to the %s part", opts->path ? opts->path : "arrays", names[part]);
    return SWG_OK;
}

/* ---- public ---- */

/* "cells.h5:/raw": the name of a dataset behind a file's. */
static bool has_dataset(const char *path) {
    const char *colon = strrchr(path, ':');
    char file[4096];
    if (!colon)
        return false;
    snprintf(file, sizeof file, "%.*s", (int)(colon - path), path);
    return swg__exists(file);
}

swg_status swg__volumes_list(swg__volumes *volumes, const swg__volumes_opts *opts) {
    struct listing l = {.volumes = volumes, .opts = opts};
    bool tables = false;
    const char *path = opts->path;
    if (opts->array_count)
        SWG__TRY(add_arrays(&l));
    else if (!path)
        return swg__fail(volumes->ctx, SWG_EINVAL, "data.path is not given");
    else if (swg__is_folder(path))
        SWG__TRY(add_tables(&l, path, &tables));
    else if (ends_in(path, ".parquet") || ends_in(path, ".pq"))
        return refuse_parquet(volumes, path);
    else if (ends_in(path, ".csv"))
        SWG__TRY(add_table(&l, path, -1));
    if (tables && !volumes->row_count)
        return swg__fail(volumes->ctx, SWG_ENOTFOUND, "%s: the folder has none of train.csv, valid.csv and test.csv", path);
    if (!volumes->row_count) /* a folder without tables, one image, a list of paths */
        SWG__TRY(add_images(&l, path, !swg__exists(path) && has_dataset(path)));
    return settle_parts(volumes, opts);
}
