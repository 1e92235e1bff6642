/* bars.c - numbers with names as bars, charts one below the other, as one SVG.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "report/report.h"

enum { LEFT = 190, LENGTH = 420, RIGHT = 110, BAR = 22, HEAD = 34, TITLE = 26, WIDE = LEFT + LENGTH + RIGHT };

static double most_of(const swg_values *chart) {
    double most = 0;
    for (int64_t i = 0; i < chart->rows; i++)
        most = isfinite(chart->values[i]) ? fmax(most, chart->values[i]) : most;
    return most;
}

/* A line across all bars, such as a target. */
static void draw_mark(swg__text *out, const swg_values *chart, double most, int64_t y) {
    if (chart->mark > 0 && chart->mark <= most)
        swg__text_printf(out, "<path stroke=\"#b3261e\" stroke-dasharray=\"4 3\" d=\"M%.1f %lldV%lld\"/>\n", LEFT + LENGTH * chart->mark / most, (long long)y,
                         (long long)(y + chart->rows * BAR));
}

static void draw(swg__text *out, const swg_values *chart, int64_t y) {
    const double most = most_of(chart);
    swg__text_printf(out, "<text font-weight=\"bold\" x=\"%d\" y=\"%lld\">", LEFT, (long long)(y + TITLE - 8));
    swg__html_escape(out, chart->title);
    swg__text_puts(out, "</text>\n");
    y += TITLE;
    for (int64_t i = 0; i < chart->rows; i++) {
        const double value = chart->values[i];
        const bool there = isfinite(value) && value >= 0 && most > 0;
        const int64_t top = y + i * BAR;
        swg__text_printf(out, "<text x=\"%d\" y=\"%lld\" text-anchor=\"end\">", LEFT - 8, (long long)(top + 15));
        swg__html_escape(out, chart->names[i]);
        swg__text_puts(out, "</text>");
        if (there)
            swg__text_printf(out, "<rect x=\"%d\" y=\"%lld\" width=\"%.1f\" height=\"%d\" fill=\"#3b6fb6\"/><text x=\"%.1f\" y=\"%lld\">%.3g ", LEFT,
                             (long long)(top + 3), LENGTH * value / most, BAR - 6, LEFT + LENGTH * value / most + 6, (long long)(top + 15), value);
        else
            swg__text_printf(out, "<text class=\"f\" x=\"%d\" y=\"%lld\">not measured", LEFT + 6, (long long)(top + 15));
        swg__html_escape(out, there ? chart->unit : "");
        swg__text_puts(out, "</text>\n");
    }
    draw_mark(out, chart, most, y);
}

swg_status swg_values_write(swg_context *ctx, const char *path, const char *title, const swg_values *charts, int64_t count) {
    int64_t tall = HEAD;
    swg__text out;
    for (int64_t i = 0; i < count; i++)
        tall += TITLE + charts[i].rows * BAR;
    if (tall == HEAD)
        return swg__fail(ctx, SWG_ESHAPE, "%s: no bars to draw", path);
    swg__text_init(&out, ctx);
    swg__text_printf(&out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%lld\" viewBox=\"0 0 %d %lld\">\n"
                     "<style>text{font:13px sans-serif;fill:#222}.f{fill:#666}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"12\" y=\"20\">",
                     WIDE, (long long)(tall + 8), WIDE, (long long)(tall + 8));
    swg__html_escape(&out, title);
    swg__text_puts(&out, "</text>\n");
    for (int64_t i = 0, y = HEAD; i < count; y += TITLE + charts[i].rows * BAR, i++)
        draw(&out, &charts[i], y);
    swg__text_puts(&out, "</svg>\n");
    swg_status status = out.failed ? swg__fail_memory(ctx, out.length, path) : swg__file_write(ctx, path, out.data, out.length);
    swg__text_free(&out);
    return status;
}
