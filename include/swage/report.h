/* report.h - a report as one HTML file: text, tables, charts and slices, nothing loaded from outside, readable on a phone and in the dark.
 * Adding never fails at once: the first failure is kept and told by swg_report_write. All texts are plain and copied; markup in them is shown.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_REPORT_H
#define SWAGE_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

typedef struct swg_report swg_report;

swg_status swg_report_open(swg_context *ctx, const char *title, swg_report **out);
void swg_report_close(swg_report *report); /* NULL is allowed */

void swg_report_heading(swg_report *report, const char *text);
void swg_report_paragraph(swg_report *report, const char *text);

/* header: columns texts; cells: rows x columns texts, row after row; NULL cells are empty. Numbers are set to the right. */
typedef struct swg_table {
    const char *caption;      /* NULL: none */
    int64_t columns, rows;
    const char *const *header;
    const char *const *cells;
} swg_table;
void swg_report_table(swg_report *report, const swg_table *table);

/* One line of a chart: points whose x or y is not finite (or not above 0 on a logarithmic axis) leave a gap. */
typedef struct swg_series {
    const char *name;
    int64_t count;
    const double *x;          /* NULL: 0, 1, 2, ... */
    const double *y;
} swg_series;

typedef struct swg_chart {
    const char *title, *x_label, *y_label; /* NULL: none */
    bool log_x, log_y;
    int64_t count;            /* series; colours repeat after 8 */
    const swg_series *series;
    double band_low, band_high;         /* a part of the x axis on a ground of its own; low >= high: none. Axes without logarithm */
    int64_t marks;            /* lines across the chart, where they lie inside the range of the points */
    const double *mark;       /* (marks): x */
} swg_chart;
void swg_report_chart(swg_report *report, const swg_chart *chart);
/* Several small ones side by side, which share the legend of the first. caption: NULL for none. */
void swg_report_charts(swg_report *report, const char *caption, const swg_chart *charts, int64_t count);

/* Shares of a whole, one stacked bar per row: shares is (rows, kinds), each row is scaled to its sum; negative or non-finite count as 0. */
typedef struct swg_bars {
    const char *title;        /* NULL: none */
    int64_t rows, kinds;
    const char *const *row_names, *const *kind_names;
    const double *shares;
} swg_bars;
void swg_report_bars(swg_report *report, const swg_bars *bars);

/* Kinds of the cells of a plane, one colour per kind, row 0 at the bottom; a cell of 255 is empty. values (may be NULL): a number for each cell,
 * shown with `unit` when it is pointed at. At most 128 rows and columns. */
typedef struct swg_map {
    const char *title;        /* NULL: none */
    int64_t rows, columns, kinds;
    const char *const *kind_names;
    const uint8_t *cells;
    const double *values;
    const char *unit;
} swg_map;
void swg_report_map(swg_report *report, const swg_map *map);

/* A plane of values as a picture: row 0 at the bottom, column 0 on the left, NaN transparent. */
typedef struct swg_report_slice {
    const char *title;
    int64_t rows, columns;
    const float *values;
    double low, high;         /* colour range; low >= high: that of the values */
    bool diverging;           /* blue - white - red, with 0 in the middle if the range is that of the values; for errors */
} swg_report_slice;
/* Several of them side by side, each with its colour bar. caption: NULL for none. */
void swg_report_slices(swg_report *report, const char *caption, const swg_report_slice *slices, int64_t count);

/* A PNG file as it is, inside the page. SWG_EFORMAT: it is none. */
void swg_report_png(swg_report *report, const char *caption, const char *path);

/* Writes the file, whole or not at all. More may be added and written again afterwards. SWG_EIO, or the first failure of an addition. */
swg_status swg_report_write(swg_report *report, const char *path);

/* ---- files beside a report ---- */

/* The same pictures as one SVG: `rows` rows of `columns` slices, row after row, with a title. */
swg_status swg_figure_write(swg_context *ctx, const char *path, const char *title, const swg_report_slice *slices, int64_t rows, int64_t columns);

/* Charts as one SVG, `columns` in a row, with a title; they share the legend of the first. */
swg_status swg_charts_write(swg_context *ctx, const char *path, const char *title, const swg_chart *charts, int64_t count, int64_t columns);

/* Numbers with names as bars, charts one below the other, as one SVG. Values below 0 or not finite: "not measured". */
typedef struct swg_values {
    const char *title, *unit;
    int64_t rows;
    const char *const *names;
    const double *values;
    double mark;              /* a line across at this value; 0: none */
} swg_values;
swg_status swg_values_write(swg_context *ctx, const char *path, const char *title, const swg_values *charts, int64_t count);

/* Arrays of one shape (n0, n1, n2), C order, as VTK XML image data (.vti): extent = shape, spacing 1, origin 0, our first axis is VTK's x. Characters
 * with a meaning in XML become _. SWG_ESHAPE: nothing to write. */
typedef struct swg_vti_array {
    const char *name;
    const float *values;
} swg_vti_array;
swg_status swg_vti_write(swg_context *ctx, const char *path, const int64_t shape[3], const swg_vti_array *arrays, int64_t count);

#endif
