/* image_list.c - lists of files: CSV tables, folders, plain lists.
 * In: a path, or CSV text. Out: a table of text; paths that can be opened.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/image_list.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_COLUMNS = 4096 };

/* ---- CSV ---- */

struct parser {
    swg_context *ctx;
    const char *name;
    const char *at, *end;
    int64_t line;               /* of `at`, from 1 */
    swg__table *table;
    const char **cells;         /* of all rows so far; the header's first */
    int64_t count, capacity;
    swg__text cell;
};

static swg_status fail_memory(struct parser *p) { return swg__fail_memory(p->ctx, (size_t)(p->end - p->at), p->name); }

/* One more place in an array that doubles. */
static void *grow(swg_context *ctx, void *array, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity)
        return array;
    int64_t larger = *capacity ? 2 * *capacity : 64;
    void *grown = swg__grow(ctx, array, (size_t)larger * size);
    if (grown)
        *capacity = larger;
    return grown;
}

static bool at_line_end(const struct parser *p) {
    return p->at == p->end || *p->at == '\n' || (*p->at == '\r' && (p->at + 1 == p->end || p->at[1] == '\n'));
}

static void skip_line_end(struct parser *p) {
    if (p->at < p->end && *p->at == '\r')
        p->at++;
    if (p->at < p->end && *p->at == '\n') {
        p->at++;
        p->line++;
    }
}

/* The cell at `at`, unquoted, at the end of the list. */
static swg_status take_cell(struct parser *p) {
    p->cell.length = 0;
    const int64_t line = p->line;
    if (p->at < p->end && *p->at == '"') {
        for (p->at++;;) {
            if (p->at == p->end)
                return swg__fail(p->ctx, SWG_EFORMAT, "%s: line %lld: a quote is left open", p->name, (long long)line);
            const char byte = *p->at++;
            if (byte == '"' && (p->at == p->end || *p->at != '"'))
                break;
            p->at += byte == '"'; /* the second of two */
            p->line += byte == '\n';
            swg__text_add(&p->cell, &byte, 1);
        }
        if (!at_line_end(p) && *p->at != ',')
            return swg__fail(p->ctx, SWG_EFORMAT, "%s: line %lld: text behind a closing quote", p->name, (long long)p->line);
    } else {
        const char *begin = p->at;
        while (!at_line_end(p) && *p->at != ',')
            p->at++;
        swg__text_add(&p->cell, begin, (size_t)(p->at - begin));
    }
    const char **cells = grow(p->ctx, p->cells, p->count, &p->capacity, sizeof *cells);
    if (!cells)
        return fail_memory(p);
    p->cells = cells;
    const char *copy = p->cell.failed ? NULL : swg__arena_strdup(&p->table->arena, p->cell.length ? p->cell.data : "");
    if (!copy)
        return fail_memory(p);
    p->cells[p->count++] = copy;
    return SWG_OK;
}

/* The cells of a row; empty lines before it are skipped. *got: how many, 0 at the end of the text. */
static swg_status take_row(struct parser *p, int64_t *got, int64_t *line) {
    const int64_t before = p->count;
    while (p->at < p->end && at_line_end(p))
        skip_line_end(p);
    *line = p->line;
    if (p->at == p->end) {
        *got = 0;
        return SWG_OK;
    }
    for (;;) {
        SWG__TRY(take_cell(p));
        if (at_line_end(p))
            break;
        p->at++; /* the comma */
    }
    skip_line_end(p);
    *got = p->count - before;
    return SWG_OK;
}

static swg_status check_header(const struct parser *p) {
    if (p->table->columns > MOST_COLUMNS)
        return swg__fail(p->ctx, SWG_EFORMAT, "%s: %lld columns are more than %d", p->name, (long long)p->table->columns, MOST_COLUMNS);
    for (int64_t c = 0; c < p->table->columns; c++) {
        if (!*p->cells[c])
            return swg__fail(p->ctx, SWG_EFORMAT, "%s: the header has no name for column %lld", p->name, (long long)c + 1);
        for (int64_t d = 0; d < c; d++)
            if (strcmp(p->cells[c], p->cells[d]) == 0)
                return swg__fail(p->ctx, SWG_EFORMAT, "%s: two columns are called \"%s\"", p->name, p->cells[c]);
    }
    return SWG_OK;
}

static swg_status check_text(const struct parser *p) {
    if (memchr(p->at, 0, (size_t)(p->end - p->at)))
        return swg__fail(p->ctx, SWG_EFORMAT, "%s: holds a NUL byte: no text", p->name);
    if (!swg__utf8_valid(p->at, (size_t)(p->end - p->at)))
        return swg__fail(p->ctx, SWG_EFORMAT, "%s: is not UTF-8", p->name);
    return SWG_OK;
}

static swg_status take_rows(struct parser *p) {
    swg__table *table = p->table;
    int64_t got, line, *lines = NULL, line_capacity = 0;
    SWG__TRY(take_row(p, &table->columns, &line));
    if (!table->columns)
        return swg__fail(p->ctx, SWG_EFORMAT, "%s: is empty; a CSV file begins with a row of column names", p->name);
    SWG__TRY(check_header(p));
    swg_status status;
    while ((status = take_row(p, &got, &line)) == SWG_OK && got) {
        int64_t *grown = grow(p->ctx, lines, table->rows, &line_capacity, sizeof *lines);
        if (!grown) {
            status = fail_memory(p);
            break;
        }
        lines = grown;
        lines[table->rows++] = line;
        if (got != table->columns) {
            status = swg__fail(p->ctx, SWG_EFORMAT, "%s: row %lld (line %lld) has %lld cells, the header has %lld", p->name, (long long)table->rows,
                               (long long)line, (long long)got, (long long)table->columns);
            break;
        }
    }
    if (status == SWG_OK && !table->rows)
        status = swg__fail(p->ctx, SWG_EFORMAT, "%s: has a header and no rows", p->name);
    if (status == SWG_OK && (!(table->line = swg__arena_alloc(&table->arena, (size_t)table->rows * sizeof *lines)) ||
                             !(table->header = swg__arena_alloc(&table->arena, (size_t)p->count * sizeof *p->cells))))
        status = fail_memory(p);
    if (status == SWG_OK) {
        memcpy(table->line, lines, (size_t)table->rows * sizeof *lines);
        memcpy(table->header, p->cells, (size_t)p->count * sizeof *p->cells);
        table->cells = table->header + table->columns;
    }
    swg__free(p->ctx, lines);
    return status;
}

swg_status swg__table_parse(swg_context *ctx, const char *text, size_t bytes, const char *name, swg__table *out) {
    *out = (swg__table){0};
    swg__arena_init(&out->arena, ctx);
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    struct parser p = {.ctx = ctx, .name = name, .at = text, .end = text + bytes, .line = 1, .table = out};
    swg__text_init(&p.cell, ctx);
    swg_status status = check_text(&p);
    if (status == SWG_OK)
        status = take_rows(&p);
    swg__text_free(&p.cell);
    swg__free(ctx, p.cells);
    if (status != SWG_OK)
        swg__table_free(out);
    return status;
}

void swg__table_free(swg__table *table) {
    swg__arena_free(&table->arena);
    *table = (swg__table){0};
}

int64_t swg__table_column(const swg__table *table, const char *name) {
    for (int64_t c = 0; c < table->columns; c++)
        if (strcmp(table->header[c], name) == 0)
            return c;
    return -1;
}

/* ---- paths ---- */

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

/* endings: "*.png *.tif" */
static bool is_image(const char *path, const char *endings) {
    while (*endings) {
        char ending[16];
        const size_t length = strcspn(endings, " ");
        snprintf(ending, sizeof ending, "%.*s", (int)length - 1, endings + 1);
        if (ends_in(path, ending))
            return true;
        endings += length + (endings[length] == ' ');
    }
    return false;
}

/* folder/name, or name if that is absolute or there is no folder; in the arena. */
static const char *join(swg__arena *arena, const char *folder, size_t folder_length, const char *name) {
    if (!folder_length || *name == '/')
        return swg__arena_strdup(arena, name);
    char *path = swg__arena_alloc(arena, folder_length + strlen(name) + 2);
    if (!path)
        return NULL;
    memcpy(path, folder, folder_length);
    if (folder[folder_length - 1] != '/')
        path[folder_length++] = '/';
    strcpy(path + folder_length, name);
    return path;
}

/* Length of the folder part of a file's path, its slash included. */
static size_t folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static swg_status alloc_lists(swg_context *ctx, swg__image_list *index, int64_t count) {
    index->count = count;
    index->path = swg__arena_alloc(&index->table.arena, (size_t)count * sizeof *index->path);
    index->name = swg__arena_alloc(&index->table.arena, (size_t)count * sizeof *index->name);
    return index->path && index->name ? SWG_OK : swg__fail_memory(ctx, (size_t)count * 2 * sizeof *index->path, "a list of images");
}

static swg_status fill_paths(swg_context *ctx, swg__image_list *index, const char *folder, size_t folder_length) {
    for (int64_t i = 0; i < index->count; i++)
        if (!(index->path[i] = join(&index->table.arena, folder, folder_length, index->name[i])))
            return swg__fail_memory(ctx, strlen(index->name[i]), "a list of images");
    return SWG_OK;
}

/* ---- the four kinds ---- */

swg_status swg__table_read(swg_context *ctx, const char *path, swg__table *out) {
    uint8_t *text;
    size_t bytes;
    *out = (swg__table){0};
    swg__arena_init(&out->arena, ctx);
    SWG__TRY(swg__file_read(ctx, path, &text, &bytes));
    swg_status status = swg__table_parse(ctx, (const char *)text, bytes, path, out);
    swg__free(ctx, text);
    return status;
}

swg_status swg__table_find(swg_context *ctx, const swg__table *table, const char *path, const char *name, const char *key, int64_t *out) {
    if ((*out = swg__table_column(table, name)) >= 0)
        return SWG_OK;
    char names[400] = "", near[80];
    for (int64_t c = 0; c < table->columns; c++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.40s", c ? ", " : "", table->header[c]);
    swg__did_you_mean(name, table->header, (size_t)table->columns, near, sizeof near);
    return swg__fail(ctx, SWG_ENOTFOUND, "%s: there is no column \"%s\" (%s) in the header; present: %s%s", path, name, key, names, near);
}

bool swg__below_folder(const char *path, const char *folder) {
    size_t length = folder ? strlen(folder) : 0;
    while (length && folder[length - 1] == '/')
        length--;
    return length && strncmp(path, folder, length) == 0 && path[length] == '/';
}

const char *swg__table_path(swg__arena *arena, const char *file, const char *cell) { return join(arena, file, folder_of(file), cell); }

static swg_status read_csv(swg_context *ctx, const char *path, const char *column, swg__image_list *index) {
    int64_t found;
    SWG__TRY(swg__table_read(ctx, path, &index->table));
    const swg__table *table = &index->table;
    SWG__TRY(swg__table_find(ctx, table, path, column, "data.column", &found));
    index->image_column = found;
    index->label_column = swg__table_column(table, "label");
    SWG__TRY(alloc_lists(ctx, index, table->rows));
    for (int64_t i = 0; i < index->count; i++) {
        index->name[i] = table->cells[i * table->columns + index->image_column];
        if (!*index->name[i])
            return swg__fail(ctx, SWG_EFORMAT, "%s: row %lld (line %lld) has an empty cell in column \"%s\"", path, (long long)i + 1,
                             (long long)table->line[i], column);
    }
    return fill_paths(ctx, index, path, folder_of(path));
}

/* A table of the names found, with the folder of each in a second column where `folders`. Names are in the arena. */
static swg_status make_table(swg_context *ctx, swg__image_list *index, const char **names, int64_t count, bool folders) {
    swg__table *table = &index->table;
    static const char *const header[] = {"Image", "folder"};
    table->columns = folders ? 2 : 1;
    table->rows = count;
    table->header = swg__arena_alloc(&table->arena, (size_t)((count + 1) * table->columns) * sizeof *table->header);
    table->line = swg__arena_alloc(&table->arena, (size_t)count * sizeof *table->line);
    if (!table->header || !table->line)
        return swg__fail_memory(ctx, (size_t)count * 3 * sizeof *names, "a list of images");
    table->cells = table->header + table->columns;
    SWG__TRY(alloc_lists(ctx, index, count));
    memcpy(table->header, header, (size_t)table->columns * sizeof *header);
    for (int64_t i = 0; i < count; i++) {
        table->line[i] = i + 1;
        table->cells[i * table->columns] = index->name[i] = names[i];
        if (!folders)
            continue;
        size_t length = folder_of(names[i]);
        char *folder = swg__arena_alloc(&table->arena, length + 2);
        if (!folder)
            return swg__fail_memory(ctx, length, "a list of images");
        memcpy(folder, length ? names[i] : ".", length ? length - 1 : 1);
        table->cells[i * 2 + 1] = folder;
    }
    return SWG_OK;
}

struct walk {
    swg_context *ctx;
    const char *root, *endings;
    swg__arena *arena;
    const char **files, **folders;      /* relative paths; folders[done..] are still to be listed */
    int64_t file_count, file_capacity, folder_count, folder_capacity;
};

static swg_status keep(struct walk *w, const char ***list, int64_t *count, int64_t *capacity, const char *name) {
    const char **grown = grow(w->ctx, *list, *count, capacity, sizeof *grown);
    if (grown)
        *list = grown;
    if (!grown || !name)
        return swg__fail_memory(w->ctx, (size_t)*capacity * sizeof *grown, w->root);
    (*list)[(*count)++] = name;
    return SWG_OK;
}

/* Hidden names are left out, and links to folders, which may lead in circles. */
static swg_status list_one(struct walk *w, const char *folder) {
    char **names;
    size_t count;
    const char *path = *folder ? join(w->arena, w->root, strlen(w->root), folder) : w->root;
    if (!path)
        return swg__fail_memory(w->ctx, strlen(w->root), w->root);
    SWG__TRY(swg__list_folder(w->ctx, path, &names, &count));
    swg_status status = SWG_OK;
    for (size_t i = 0; status == SWG_OK && i < count; i++) {
        struct stat info;
        if (*names[i] == '.')
            continue;
        const char *relative = join(w->arena, folder, strlen(folder), names[i]);
        const char *whole = relative ? join(w->arena, w->root, strlen(w->root), relative) : NULL;
        if (!whole)
            status = swg__fail_memory(w->ctx, strlen(names[i]), w->root);
        else if (lstat(whole, &info) == 0 && S_ISDIR(info.st_mode))
            status = keep(w, &w->folders, &w->folder_count, &w->folder_capacity, relative);
        else if (is_image(names[i], w->endings) && !swg__is_folder(whole))
            status = keep(w, &w->files, &w->file_count, &w->file_capacity, relative);
    }
    swg__list_free(w->ctx, names, count);
    return status;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static swg_status read_folder(swg_context *ctx, const char *path, const char *endings, swg__image_list *index) {
    struct walk w = {.ctx = ctx, .root = path, .endings = endings, .arena = &index->table.arena};
    swg_status status = list_one(&w, "");
    for (int64_t i = 0; status == SWG_OK && i < w.folder_count; i++)
        status = list_one(&w, w.folders[i]);
    if (status == SWG_OK && !w.file_count)
        status = swg__fail(ctx, SWG_ENOTFOUND, "%s: the folder holds no file of %s", path, endings);
    if (status == SWG_OK) {
        qsort(w.files, (size_t)w.file_count, sizeof *w.files, by_bytes);
        index->folder = true;
        status = make_table(ctx, index, w.files, w.file_count, true);
    }
    swg__free(ctx, w.files);
    swg__free(ctx, w.folders);
    return status == SWG_OK ? fill_paths(ctx, index, path, strlen(path)) : status;
}

static swg_status split_lines(struct walk *w, const char *path, const char *text, size_t bytes) {
    struct parser check = {.ctx = w->ctx, .name = path, .at = text, .end = text + bytes};
    SWG__TRY(check_text(&check));
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at), used = length;
        while (used && (at[used - 1] == '\r' || at[used - 1] == ' ' || at[used - 1] == '\t'))
            used--;
        if (used && *at != '#') {
            char *name = swg__arena_alloc(w->arena, used + 1);
            if (name)
                memcpy(name, at, used);
            SWG__TRY(keep(w, &w->files, &w->file_count, &w->file_capacity, name));
        }
        at += length + 1;
    }
    return w->file_count ? SWG_OK : swg__fail(w->ctx, SWG_EFORMAT, "%s: the list names no image", path);
}

static swg_status read_list(swg_context *ctx, const char *path, swg__image_list *index) {
    uint8_t *text;
    size_t bytes;
    SWG__TRY(swg__file_read(ctx, path, &text, &bytes));
    struct walk w = {.ctx = ctx, .root = path, .arena = &index->table.arena};
    swg_status status = split_lines(&w, path, (const char *)text, bytes);
    swg__free(ctx, text);
    if (status == SWG_OK)
        status = make_table(ctx, index, w.files, w.file_count, false);
    swg__free(ctx, w.files);
    return status == SWG_OK ? fill_paths(ctx, index, path, folder_of(path)) : status;
}

static swg_status read_one(swg_context *ctx, const char *path, swg__image_list *index) {
    const char *name = swg__arena_strdup(&index->table.arena, path);
    if (!name)
        return swg__fail_memory(ctx, strlen(path), path);
    SWG__TRY(make_table(ctx, index, &name, 1, false));
    return fill_paths(ctx, index, "", 0);
}

swg_status swg__image_list_read_ending(swg_context *ctx, const char *path, const char *column, const char *endings, swg__image_list *out) {
    *out = (swg__image_list){.label_column = -1};
    swg__arena_init(&out->table.arena, ctx);
    swg_status status;
    if (!swg__exists(path))
        status = swg__fail(ctx, SWG_ENOTFOUND, "%s: no such file or folder", path);
    else if (swg__is_folder(path))
        status = read_folder(ctx, path, endings, out);
    else if (ends_in(path, ".csv"))
        status = read_csv(ctx, path, column ? column : "Image", out);
    else if (ends_in(path, ".txt"))
        status = read_list(ctx, path, out);
    else if (is_image(path, endings))
        status = read_one(ctx, path, out);
    else
        status = swg__fail(ctx, SWG_EINVAL, "%s: data.path takes a folder of images, a .csv file, a .txt file with a path per line, or one image "
                           "(%s)", path, endings);
    if (status != SWG_OK)
        swg__image_list_free(out);
    return status;
}

swg_status swg__image_list_read(swg_context *ctx, const char *path, const char *column, swg__image_list *out) {
    return swg__image_list_read_ending(ctx, path, column, SWG__IMAGE_ENDINGS, out);
}

void swg__image_list_free(swg__image_list *index) {
    swg__table_free(&index->table);
    *index = (swg__image_list){.label_column = -1};
}
