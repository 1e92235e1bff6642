/* image_list.h - lists of files with what is known of them: CSV tables (RFC 4180), folders, plain lists.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_IMAGE_LIST_H
#define SWAGE_DATA_IMAGE_LIST_H

#include "base.h"

/* A table of text. All strings live in the arena of the table. */
typedef struct swg__table {
    swg__arena arena;
    int64_t columns, rows;      /* the header is not a row */
    const char **header;        /* (columns) */
    const char **cells;         /* (rows, columns) */
    int64_t *line;              /* (rows): line of the file on which the row begins, from 1 */
} swg__table;

/* Reads CSV text: a header, comma separators, quotes as in RFC 4180 (a quoted cell may hold commas, line ends and doubled quotes), LF or
 * CRLF, a UTF-8 mark at the start skipped, empty lines skipped. `name` is for messages. Rows must have as many cells as the header.
 * SWG_EFORMAT: empty, no rows, a quote left open, a NUL byte, not UTF-8, an empty or doubled name in the header; row and line are named. */
swg_status swg__table_parse(swg_context *ctx, const char *text, size_t bytes, const char *name, swg__table *out);
void swg__table_free(swg__table *table);
int64_t swg__table_column(const swg__table *table, const char *name); /* -1: none */
/* Reads and parses a CSV file. SWG_ENOTFOUND, SWG_EIO: as swg__file_read. */
swg_status swg__table_read(swg_context *ctx, const char *path, swg__table *out);
/* SWG_ENOTFOUND: there is no column `name`; the message lists those present and names `key`. */
swg_status swg__table_find(swg_context *ctx, const swg__table *table, const char *path, const char *name, const char *key, int64_t *out);
/* Does the path begin with the folder's? So that a second run does not take the results of the first for images. folder: NULL or "": no. */
bool swg__below_folder(const char *path, const char *folder);
/* A path of a table's cell: relative to the folder of `file`, or absolute. In the arena; NULL when out of memory. */
const char *swg__table_path(swg__arena *arena, const char *file, const char *cell);

/* Files and what is known of each. */
typedef struct swg__image_list {
    swg__table table;           /* of a CSV; header {"Image"} and, for folders, "folder" otherwise */
    int64_t count;
    const char **path;          /* (count) as it can be opened */
    const char **name;          /* (count) as written in the index, or relative to the folder */
    int64_t image_column, label_column; /* in the table; label -1: none */
    bool folder;                /* read from a folder: column "folder" holds each file's folder relative to it, "." for itself */
} swg__image_list;

#define SWG__IMAGE_ENDINGS "*.png *.tif *.tiff"

/* path: a .csv file with a header column `column` (NULL: "Image"; letter case counts), paths relative to its folder or absolute; a folder,
 * searched recursively for files of SWG__IMAGE_ENDINGS (any letter case), sorted by the bytes of the relative path; a .txt file with a path per line (empty lines and lines
 * that begin with # skipped); or one image. Files are not opened.
 * SWG_ENOTFOUND: no such file, missing column (the message lists those present), folder without images. SWG_EFORMAT: as swg__table_parse, an
 * empty cell in the column of images (row named), an empty list. */
swg_status swg__image_list_read(swg_context *ctx, const char *path, const char *column, swg__image_list *out);
/* The same with other endings than SWG__IMAGE_ENDINGS. */
swg_status swg__image_list_read_ending(swg_context *ctx, const char *path, const char *column, const char *endings, swg__image_list *out);
void swg__image_list_free(swg__image_list *index);

#endif
