/* html.c - the frame of a report: title, style, headings, paragraphs, tables.
 * In: plain texts. Out: one HTML file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "report.h"

/* Colours are chosen for both backgrounds; a chart's text and lines follow the page's. */
static const char style[] =
    ":root{color-scheme:light dark;--back:#fff;--ink:#1c2024;--faint:#667;--rule:#d4d8dd;--band:#f4f6f8;"
    "--s0:#1f6feb;--s1:#d9480f;--s2:#2b8a3e;--s3:#9c36b5;--s4:#c92a6b;--s5:#0b7285;--s6:#8a6d00;--s7:#5f6b7a}"
    "@media(prefers-color-scheme:dark){:root{--back:#15181c;--ink:#e4e7ea;--faint:#9aa4ae;--rule:#363c43;--band:#1d2126;"
    "--s0:#6ea8fe;--s1:#ff922b;--s2:#69db7c;--s3:#da77f2;--s4:#f783ac;--s5:#3bc9db;--s6:#e6c229;--s7:#adb5bd}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}"
    "h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid var(--rule)}"
    "figure{margin:1rem 0}figcaption{color:var(--faint);font-size:.9rem}figcaption b{color:var(--ink)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}"
    "th,td{padding:.25rem .7rem;text-align:left;white-space:nowrap;border-bottom:1px solid var(--rule)}"
    "th{color:var(--faint);font-weight:600}tr:nth-child(even) td{background:var(--band)}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}"
    ".plot{display:block;width:100%;max-width:42rem;height:auto}"
    ".plot text{fill:var(--ink);font-size:13px}.plot .f{fill:var(--faint)}.plot .g{stroke:var(--rule)}"
    ".plot .l{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;margin:.3rem 0;list-style:none;font-size:.9rem}"
    ".key i{display:inline-block;width:.9em;height:.9em;margin-right:.4em;border-radius:2px;vertical-align:-.1em}"
    ".row{display:grid;grid-template-columns:repeat(auto-fill,minmax(12.5rem,1fr));gap:1rem}.row .plot{max-width:22rem}"
    ".charts{grid-template-columns:repeat(auto-fill,minmax(18rem,1fr))}.charts figure{margin:0}"
    "image{image-rendering:pixelated}img{max-width:100%;height:auto}";

swg_status swg_report_open(swg_context *ctx, const char *title, swg_report **out) {
    *out = NULL;
    swg_report *report = swg__calloc(ctx, 1, sizeof *report);
    if (!report)
        return swg__fail_memory(ctx, sizeof *report, "a report");
    report->ctx = ctx;
    swg__text_init(&report->body, ctx);
    report->title = swg__strdup(ctx, title);
    if (!report->title) {
        swg_report_close(report);
        return swg__fail_memory(ctx, strlen(title), "a report");
    }
    *out = report;
    return SWG_OK;
}

void swg_report_close(swg_report *report) {
    if (!report)
        return;
    swg__text_free(&report->body);
    swg__free(report->ctx, report->title);
    swg__free(report->ctx, report);
}

void swg__html_escape(swg__text *out, const char *text) {
    static const char special[] = "&<>\"'";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (const char *p = text ? text : ""; *p; p++) {
        const char *found = strchr(special, *p);
        if (found)
            swg__text_puts(out, names[found - special]);
        else
            swg__text_add(out, (unsigned char)*p < 0x20 || *p == 0x7f ? " " : p, 1);
    }
}

void swg__html_wrap(swg__text *out, const char *open, const char *text, const char *close) {
    if (!text)
        return;
    swg__text_puts(out, open);
    swg__html_escape(out, text);
    swg__text_puts(out, close);
}

void swg_report_heading(swg_report *report, const char *text) { swg__html_wrap(&report->body, "<h2>", text, "</h2>\n"); }

void swg_report_paragraph(swg_report *report, const char *text) { swg__html_wrap(&report->body, "<p>", text, "</p>\n"); }

/* "-1.5e-3", "98 %", "7.3:1", but not "5^3 blocks": a number with at most a short unit behind it. */
static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return end != text && strlen(end) <= 5;
}

static void add_cell(swg__text *out, const char *tag, const char *class_name, const char *text) {
    swg__text_printf(out, "<%s%s>", tag, class_name);
    swg__html_escape(out, text);
    swg__text_printf(out, "</%s>", tag);
}

void swg_report_table(swg_report *report, const swg_table *table) {
    swg__text *out = &report->body;
    swg__text_puts(out, "<figure>");
    swg__html_wrap(out, "<figcaption>", table->caption, "</figcaption>");
    swg__text_puts(out, "<div class=\"wide\"><table>\n<thead><tr>");
    for (int64_t c = 0; c < table->columns; c++) { /* a heading stands over its numbers */
        const char *below = table->rows ? table->cells[c] : NULL;
        add_cell(out, "th", below && is_number(below) ? " class=\"n\"" : "", table->header[c]);
    }
    swg__text_puts(out, "</tr></thead>\n<tbody>\n");
    for (int64_t r = 0; r < table->rows; r++) {
        swg__text_puts(out, "<tr>");
        for (int64_t c = 0; c < table->columns; c++) {
            const char *cell = table->cells[r * table->columns + c];
            add_cell(out, "td", cell && is_number(cell) ? " class=\"n\"" : "", cell);
        }
        swg__text_puts(out, "</tr>\n");
    }
    swg__text_puts(out, "</tbody></table></div></figure>\n");
}

swg_status swg_report_write(swg_report *report, const char *path) {
    swg_context *ctx = report->ctx;
    if (report->status != SWG_OK)
        return report->status;
    swg__text page;
    swg__text_init(&page, ctx);
    swg__text_puts(&page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    swg__html_wrap(&page, "<title>", report->title, "</title>\n");
    swg__text_printf(&page, "<style>%s</style>\n</head>\n<body>\n", style);
    swg__html_wrap(&page, "<h1>", report->title, "</h1>\n");
    if (report->body.data)
        swg__text_add(&page, report->body.data, report->body.length);
    swg__text_printf(&page, "<p class=\"f\"><small>swage %s</small></p>\n</body>\n</html>\n", swg_version());
    swg_status status = page.failed || report->body.failed ? swg__fail_memory(ctx, page.length + report->body.length, "the report")
                                                           : swg__file_write(ctx, path, page.data, page.length);
    swg__text_free(&page);
    return status;
}
