/* plot.c - line charts and stacked bars as inline SVG, charts also as a file of their own.
 * In: series of numbers. Out: figures with axes, ticks and a legend.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "report.h"

/* The drawing in its own units; the style sheet scales it to the page. */
enum { WIDTH = 480, HEIGHT = 300, LEFT = 62, RIGHT = 12, TOP = 26, BOTTOM = 42 };
enum { TICKS_MAX = 16, POINTS_MAX = 2000, BAR_HEIGHT = 22, BAR_LEFT = 110 };

/* One axis: values low..high, on a log axis as powers of ten. */
struct axis {
    double low, high;
    bool log;
    double from, to; /* in the drawing */
    int ticks;
    double tick[TICKS_MAX];
};

static double place(const struct axis *axis, double value) {
    double v = axis->log ? log10(value) : value;
    return axis->from + (v - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* Colour of a series: of the page's style sheet, or in a file without one. */
typedef struct pen { bool alone; } pen;

static void put_colour(swg__text *out, pen p, int64_t index) {
    static const char *const plain[SWG__COLOURS] = {"#1f6feb", "#d9480f", "#2b8a3e", "#9c36b5", "#c92a6b", "#0b7285", "#8a6d00", "#5f6b7a"};
    if (p.alone)
        swg__text_puts(out, plain[index % SWG__COLOURS]);
    else
        swg__text_printf(out, "var(--s%d)", (int)(index % SWG__COLOURS));
}

static bool usable(double value, bool log) { return isfinite(value) && (!log || value > 0); }

static double x_of(const swg_series *series, int64_t i) { return series->x ? series->x[i] : (double)i; }

/* Steps of 1, 2 or 5 times a power of ten, at most `wanted` of them over the range. */
static double nice_step(double range, int wanted) {
    double rough = range / wanted, power = pow(10, floor(log10(rough)));
    double part = rough / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void set_ticks(struct axis *axis, int wanted) {
    double low = axis->low, high = axis->high;
    bool decades = axis->log && high - low >= 1.5; /* within one decade or two, even steps of the value itself */
    if (axis->log && !decades) {
        low = pow(10, low);
        high = pow(10, high);
    }
    double step = nice_step(high - low, wanted);
    if (decades && step < 1)
        step = 1;
    axis->ticks = 0;
    for (double t = ceil(low / step - 1e-9); t * step <= high + 1e-9 * step && axis->ticks < TICKS_MAX; t++)
        axis->tick[axis->ticks++] = decades ? pow(10, t * step) : t == 0 ? 0 : t * step;
}

/* Range of the points that will be drawn, widened where it is empty. False if there is no point. */
static bool set_range(const swg_chart *chart, struct axis *x, struct axis *y) {
    *x = (struct axis){.low = INFINITY, .high = -INFINITY, .from = LEFT, .to = WIDTH - RIGHT, .log = chart->log_x};
    *y = (struct axis){.low = INFINITY, .high = -INFINITY, .from = HEIGHT - BOTTOM, .to = TOP, .log = chart->log_y};
    for (int64_t s = 0; s < chart->count; s++) {
        for (int64_t i = 0; i < chart->series[s].count; i++) {
            double px = x_of(&chart->series[s], i), py = chart->series[s].y[i];
            if (!usable(px, chart->log_x) || !usable(py, chart->log_y))
                continue;
            px = chart->log_x ? log10(px) : px;
            py = chart->log_y ? log10(py) : py;
            x->low = fmin(x->low, px);
            x->high = fmax(x->high, px);
            y->low = fmin(y->low, py);
            y->high = fmax(y->high, py);
        }
    }
    if (!(x->low <= x->high))
        return false;
    struct axis *axes[2] = {x, y};
    for (int a = 0; a < 2; a++) {
        /* A range below the rounding of its ends cannot be divided into ticks; halves keep the huge ones finite. */
        double size = fmax(fabs(axes[a]->low), fabs(axes[a]->high));
        if (axes[a]->high / 2 - axes[a]->low / 2 <= 1e-12 * size) {
            double room = axes[a]->log ? 0.5 : size > 0 ? size * 0.05 : 0.5;
            axes[a]->low -= room;
            axes[a]->high += room;
        }
    }
    double margin = 0.04 * (y->high - y->low);
    y->low -= margin;
    y->high += margin;
    return isfinite(y->high - y->low) && isfinite(x->high - x->low);
}

static void draw_axes(swg__text *out, const swg_chart *chart, struct axis *x, struct axis *y) {
    set_ticks(x, 6);
    set_ticks(y, 6);
    for (int i = 0; i < y->ticks; i++) {
        double at = place(y, y->tick[i]);
        swg__text_printf(out, "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, at, at);
        swg__text_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT - 6, at + 4, y->tick[i]);
    }
    for (int i = 0; i < x->ticks; i++) {
        double at = place(x, x->tick[i]);
        swg__text_printf(out, "<line class=\"g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4);
        swg__text_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.5g</text>", at, HEIGHT - BOTTOM + 18, x->tick[i]);
    }
    swg__text_printf(out, "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    if (chart->y_label) {
        swg__text_puts(out, "<text class=\"f\" x=\"2\" y=\"14\">");
        swg__html_escape(out, chart->y_label);
        swg__text_puts(out, "</text>");
    }
    if (chart->x_label) {
        swg__text_printf(out, "<text class=\"f\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 6);
        swg__html_escape(out, chart->x_label);
        swg__text_puts(out, "</text>");
    }
}

static bool inside(const struct axis *axis, double value) { return value >= axis->low && value <= axis->high; }

/* What lies behind the lines. */
static void draw_ground(swg__text *out, const swg_chart *chart, const struct axis *x) {
    double low = fmax(chart->band_low, x->low), high = fmin(chart->band_high, x->high);
    if (!x->log && chart->band_low < chart->band_high && low < high)
        swg__text_printf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#888\" fill-opacity=\".14\"/>\n", place(x, low), TOP,
                         place(x, high) - place(x, low), HEIGHT - BOTTOM - TOP);
    for (int64_t i = 0; i < chart->marks && !x->log; i++)
        if (inside(x, chart->mark[i]))
            swg__text_printf(out, "<line class=\"g\" stroke-dasharray=\"3 3\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", place(x, chart->mark[i]),
                             place(x, chart->mark[i]), TOP, HEIGHT - BOTTOM);
}

/* One path; a gap starts a new piece, and a piece of one point is a short stroke so that it can be seen. */
static void draw_series(swg__text *out, pen p, const swg_series *series, int64_t index, const struct axis *x, const struct axis *y) {
    int64_t stride = series->count / POINTS_MAX + 1; /* more points than pixels say no more */
    bool open = false, drawn = false;
    for (int64_t i = 0; i < series->count; i = i + stride < series->count || i == series->count - 1 ? i + stride : series->count - 1) {
        double px = x_of(series, i), py = series->y[i];
        if (!usable(px, x->log) || !usable(py, y->log)) {
            open = false;
            continue;
        }
        if (!drawn) {
            swg__text_puts(out, "<path class=\"l\" stroke-linecap=\"round\" stroke=\"");
            put_colour(out, p, index);
            swg__text_puts(out, "\" d=\"");
        }
        drawn = true;
        swg__text_printf(out, open ? "L%.1f %.1f" : "M%.1f %.1fh.1", place(x, px), place(y, py));
        open = true;
    }
    if (drawn)
        swg__text_puts(out, "\"/>\n");
}

static void draw_key(swg__text *out, const char *name, int64_t index) {
    swg__text_printf(out, "<li><i style=\"background:var(--s%d)\"></i>", (int)(index % SWG__COLOURS));
    swg__html_escape(out, name);
    swg__text_puts(out, "</li>");
}

static void open_figure(swg__text *out, const char *title, int width, int64_t height) {
    swg__text_puts(out, "<figure>");
    swg__html_wrap(out, "<figcaption><b>", title, "</b></figcaption>");
    swg__text_printf(out, "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 %d %lld\">\n", width, (long long)height);
}

/* What stands inside the <svg> of a chart. */
static void chart_body(swg__text *out, pen p, const swg_chart *chart) {
    struct axis x, y;
    if (!set_range(chart, &x, &y)) {
        swg__text_printf(out, "<text class=\"f\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">nothing to draw</text>\n", WIDTH / 2, HEIGHT / 2);
        return;
    }
    draw_ground(out, chart, &x);
    draw_axes(out, chart, &x, &y);
    for (int64_t s = 0; s < chart->count; s++)
        draw_series(out, p, &chart->series[s], s, &x, &y);
}

static void close_chart(swg__text *out, const swg_chart *chart) {
    swg__text_puts(out, "<ul class=\"key\">");
    for (int64_t s = 0; s < chart->count; s++)
        draw_key(out, chart->series[s].name, s);
    swg__text_puts(out, "</ul></figure>\n");
}

void swg_report_chart(swg_report *report, const swg_chart *chart) {
    open_figure(&report->body, chart->title, WIDTH, HEIGHT);
    chart_body(&report->body, (pen){false}, chart);
    swg__text_puts(&report->body, "</svg>\n");
    close_chart(&report->body, chart);
}

void swg_report_charts(swg_report *report, const char *caption, const swg_chart *charts, int64_t count) {
    swg__text *out = &report->body;
    if (count < 1)
        return;
    swg__text_puts(out, "<figure>");
    swg__html_wrap(out, "<figcaption><b>", caption, "</b></figcaption>");
    swg__text_puts(out, "<div class=\"row charts\">\n");
    for (int64_t i = 0; i < count; i++) {
        open_figure(out, charts[i].title, WIDTH, HEIGHT);
        chart_body(out, (pen){false}, &charts[i]);
        swg__text_puts(out, "</svg></figure>\n");
    }
    swg__text_puts(out, "</div>\n");
    close_chart(out, &charts[0]);
}

/* ---- a file of its own ---- */

enum { GAP = 24, HEAD = 34, NAME = 20 };

/* The legend of a file, in lines of at most `wide`: a short stroke and a name each. Returns the height; out NULL: draws nothing. */
static int64_t draw_legend(swg__text *out, const swg_chart *chart, int64_t y, int64_t wide) {
    enum { LINE = 20, STROKE = 18, LETTER = 8 };
    int64_t x = GAP, height = LINE;
    for (int64_t s = 0; s < chart->count; s++) {
        int64_t length = STROKE + 2 * GAP + LETTER * (int64_t)strlen(chart->series[s].name);
        if (x > GAP && x + length > wide) {
            x = GAP;
            height += LINE;
        }
        if (out) {
            int64_t base = y + height - LINE;
            swg__text_printf(out, "<line x1=\"%lld\" x2=\"%lld\" y1=\"%lld\" y2=\"%lld\" stroke-width=\"3\" stroke=\"", (long long)x, (long long)x + STROKE,
                             (long long)base - 4, (long long)base - 4);
            put_colour(out, (pen){true}, s);
            swg__text_printf(out, "\"/>\n<text x=\"%lld\" y=\"%lld\">", (long long)x + STROKE + 6, (long long)base);
            swg__html_escape(out, chart->series[s].name);
            swg__text_puts(out, "</text>\n");
        }
        x += length;
    }
    return height;
}

swg_status swg_charts_write(swg_context *ctx, const char *path, const char *title, const swg_chart *charts, int64_t count, int64_t columns) {
    const int64_t across = count < columns ? count : columns, rows = across > 0 ? (count + across - 1) / across : 0;
    const int64_t wide = across * (WIDTH + GAP) + GAP, cell = HEIGHT + NAME + GAP;
    swg__text out;
    if (rows < 1)
        return swg__fail(ctx, SWG_ESHAPE, "%s: no charts to draw", path);
    const int64_t legend = HEAD + rows * cell, tall = legend + draw_legend(NULL, &charts[0], 0, wide);
    swg__text_init(&out, ctx);
    swg__text_printf(&out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%lld\" height=\"%lld\" viewBox=\"0 0 %lld %lld\">\n"
                     "<style>text{font:13px sans-serif;fill:#222}.f{fill:#666}.g{stroke:#d4d8dd}.l{fill:none;stroke-width:1.8;stroke-linejoin:round}</style>\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"20\">", (long long)wide, (long long)tall, (long long)wide,
                     (long long)tall, GAP);
    swg__html_escape(&out, title);
    swg__text_puts(&out, "</text>\n");
    for (int64_t i = 0; i < count; i++) {
        swg__text_printf(&out, "<g transform=\"translate(%lld %lld)\">\n", (long long)(GAP + i % across * (WIDTH + GAP)),
                         (long long)(HEAD + i / across * cell + NAME));
        swg__html_wrap(&out, "<text font-weight=\"bold\" x=\"0\" y=\"-2\">", charts[i].title, "</text>\n");
        chart_body(&out, (pen){true}, &charts[i]);
        swg__text_puts(&out, "</g>\n");
    }
    draw_legend(&out, &charts[0], legend + 4, wide);
    swg__text_puts(&out, "</svg>\n");
    swg_status status = out.failed ? swg__fail_memory(ctx, out.length, path) : swg__file_write(ctx, path, out.data, out.length);
    swg__text_free(&out);
    return status;
}

/* ---- bars and maps ---- */

static double share(const swg_bars *bars, int64_t row, int64_t kind) {
    double value = bars->shares[row * bars->kinds + kind];
    return isfinite(value) && value > 0 ? value : 0;
}

void swg_report_bars(swg_report *report, const swg_bars *bars) {
    swg__text *out = &report->body;
    const double length = WIDTH - BAR_LEFT - RIGHT;
    open_figure(out, bars->title, WIDTH, bars->rows * BAR_HEIGHT + 4);
    for (int64_t r = 0; r < bars->rows; r++) {
        double sum = 0, at = BAR_LEFT;
        for (int64_t k = 0; k < bars->kinds; k++)
            sum += share(bars, r, k);
        swg__text_printf(out, "<text x=\"%d\" y=\"%lld\" text-anchor=\"end\">", BAR_LEFT - 6, (long long)(r * BAR_HEIGHT + 16));
        swg__html_escape(out, bars->row_names[r]);
        swg__text_puts(out, "</text>");
        for (int64_t k = 0; sum > 0 && k < bars->kinds; k++) {
            double part = share(bars, r, k) / sum, width = part * length;
            if (part > 0) {
                swg__text_printf(out, "<rect x=\"%.2f\" y=\"%lld\" width=\"%.2f\" height=\"%d\" fill=\"var(--s%d)\"><title>", at,
                                 (long long)(r * BAR_HEIGHT + 3), width, BAR_HEIGHT - 5, (int)(k % SWG__COLOURS));
                swg__html_escape(out, bars->kind_names[k]);
                swg__text_printf(out, " %.1f %%</title></rect>", 100 * part);
            }
            at += width;
        }
        swg__text_puts(out, "\n");
    }
    swg__text_puts(out, "</svg>\n<ul class=\"key\">");
    for (int64_t k = 0; k < bars->kinds; k++)
        draw_key(out, bars->kind_names[k], k);
    swg__text_puts(out, "</ul></figure>\n");
}

void swg_report_map(swg_report *report, const swg_map *map) {
    enum { SIDE_MOST = 128 };
    swg__text *out = &report->body;
    if (map->rows < 1 || map->columns < 1 || map->rows > SIDE_MOST || map->columns > SIDE_MOST) {
        if (report->status == SWG_OK)
            report->status = swg__fail(report->ctx, SWG_ESHAPE, "a map of %lld x %lld cells; expected 1 to %d each way", (long long)map->rows,
                                       (long long)map->columns, SIDE_MOST);
        return;
    }
    const double across = (double)WIDTH / (double)map->columns, cell = across < 3 * BAR_HEIGHT ? across : 3 * BAR_HEIGHT;
    const double tall = cell < BAR_HEIGHT ? cell : BAR_HEIGHT; /* few chunks need not be squares */
    open_figure(out, map->title, WIDTH, (int64_t)(tall * (double)map->rows) + 4);
    for (int64_t i = 0; i < map->rows * map->columns; i++) {
        int64_t row = i / map->columns, column = i % map->columns;
        if (map->cells[i] >= map->kinds)
            continue;
        swg__text_printf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" stroke=\"var(--back)\" stroke-width=\".6\" fill=\"var(--s%d)\"><title>",
                         cell * (double)column, tall * (double)(map->rows - 1 - row), cell, tall, map->cells[i] % SWG__COLOURS);
        swg__html_escape(out, map->kind_names[map->cells[i]]);
        if (map->values)
            swg__text_printf(out, ", %.4g ", map->values[i]);
        swg__html_escape(out, map->values ? map->unit : "");
        swg__text_puts(out, "</title></rect>\n");
    }
    swg__text_puts(out, "</svg>\n<ul class=\"key\">");
    for (int64_t k = 0; k < map->kinds; k++) {
        bool used = false;
        for (int64_t i = 0; i < map->rows * map->columns; i++)
            used = used || map->cells[i] == k;
        if (used)
            draw_key(out, map->kind_names[k], k);
    }
    swg__text_puts(out, "</ul></figure>\n");
}
