/* diagram_out.c - writes a placed diagram as SVG, and a network as a Mermaid flow chart.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "report/diagram.h"
#include "report/report.h"

enum { LINE = 16, BOX_HEIGHT = 3 * LINE + 12, GAP = 30, LANE_GAP = 24, COLUMN_GAP = 72, MARGIN = 24, HEAD = 64, CHARACTER = 7 };

static const char style[] =
    "svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#1c2024;text-anchor:middle}.t{font-size:16px;font-weight:600;text-anchor:start}"
    ".c{font-size:14px;font-weight:600}.f{fill:#667}.g{fill:none;stroke:#b6bec7;stroke-dasharray:4 3}.gt{text-anchor:start;fill:#667;font-size:11px}"
    ".a{fill:none;stroke:#667;stroke-width:1.3;marker-end:url(#head)}.h{fill:#667}rect.b{stroke:#8a94a0;fill:#f4f6f8}"
    ".linear{fill:#dbe9ff!important}.conv{fill:#ffe3cf!important}.deconv{fill:#d9f2dc!important}.norm{fill:#f1e0f7!important}"
    "@media(prefers-color-scheme:dark){svg{background:#15181c}text{fill:#e4e7ea}.f,.gt{fill:#9aa4ae}.a{stroke:#9aa4ae}.h{fill:#9aa4ae}"
    "rect.b{fill:#1d2126;stroke:#667}.linear{fill:#17345f!important}.conv{fill:#5a3013!important}.deconv{fill:#1b4423!important}"
    ".norm{fill:#43204f!important}}";

static const char *const coloured[] = {"linear", "conv", "deconv", "norm"};

/* ---- SVG ---- */

typedef struct page {
    const swg__diagram *d;
    swg__text *out;
    int64_t box_width, height;
    int64_t *left;          /* of each column */
} page;

static int64_t x_of(const page *p, const swg__box *b) { return p->left[b->column] + b->lane * (p->box_width + LANE_GAP); }
static int64_t y_of(const swg__box *b) { return HEAD + MARGIN + b->rank * (BOX_HEIGHT + GAP); }
static int64_t middle_of(const page *p, const swg__box *b) { return x_of(p, b) + p->box_width / 2; }

static void put_text(const page *p, int64_t x, int64_t y, const char *class, const char *text) {
    swg__text_printf(p->out, "<text x=\"%lld\" y=\"%lld\"%s%s%s>", (long long)x, (long long)y, *class ? " class=\"" : "", class, *class ? "\"" : "");
    swg__html_escape(p->out, text);
    swg__text_puts(p->out, "</text>\n");
}

static void put_box(const page *p, const swg__box *b) {
    const char *class = "";
    for (size_t i = 0; i < sizeof coloured / sizeof *coloured; i++)
        class = strcmp(b->row->kind, coloured[i]) == 0 ? coloured[i] : class;
    swg__text_puts(p->out, "<g><title>");
    swg__html_escape(p->out, *b->row->name ? b->row->name : b->row->kind);
    swg__text_printf(p->out, "</title><rect class=\"b %s\" x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%d\" rx=\"6\"/>\n", class, (long long)x_of(p, b),
                     (long long)y_of(b), (long long)p->box_width, BOX_HEIGHT);
    int lines = 0, at = 0;
    for (int i = 0; i < SWG__LABEL_LINES; i++)
        lines += b->line[i][0] != 0;
    for (int i = 0; i < SWG__LABEL_LINES; i++)
        if (b->line[i][0])
            put_text(p, middle_of(p, b), y_of(b) + (BOX_HEIGHT - lines * LINE) / 2 + 12 + LINE * at++, i == 2 ? "f" : "", b->line[i]);
    swg__text_puts(p->out, "</g>\n");
}

/* Down the source's lane to the row above the target, then over to it; to another column through the gaps between rows and columns. */
static void put_arrow(const page *p, const swg__arrow *a) {
    const swg__box *from = &p->d->box[a->from], *to = &p->d->box[a->to];
    long long x = middle_of(p, from), y = y_of(from) + BOX_HEIGHT, to_x = middle_of(p, to), to_y = y_of(to), turn = to_y - GAP;
    if (from->column == to->column && to->rank > from->rank) {
        swg__text_printf(p->out, "<path class=\"a\" d=\"M%lld %lldV%lldC%lld %lld %lld %lld %lld %lld\"/>\n", x, y, turn, x, turn + GAP / 2, to_x, turn + GAP / 2,
                         to_x, to_y - 2);
        return;
    }
    long long between = p->left[to->column] - COLUMN_GAP / 2;
    swg__text_printf(p->out, "<path class=\"a\" d=\"M%lld %lldV%lldH%lldV%lldH%lldV%lld\"/>\n", x, y, y + GAP / 2, between, to_y - GAP / 2, to_x, to_y - 2);
}

/* A frame around the boxes of an inner scope, unless a box of another one stands among them. */
static void put_frame(const page *p, int64_t first) {
    const swg__diagram *d = p->d;
    const swg__box *own = &d->box[first];
    int64_t low_rank = own->rank, high_rank = own->rank, low_lane = own->lane, high_lane = own->lane;
    for (int64_t b = 0; b < d->boxes; b++) {
        const swg__box *box = &d->box[b];
        if (box->column != own->column || strcmp(box->group, own->group) != 0)
            continue;
        if (b < first)
            return; /* drawn with its first box */
        low_rank = box->rank < low_rank ? box->rank : low_rank;
        high_rank = box->rank > high_rank ? box->rank : high_rank;
        low_lane = box->lane < low_lane ? box->lane : low_lane;
        high_lane = box->lane > high_lane ? box->lane : high_lane;
    }
    for (int64_t b = 0; b < d->boxes; b++) {
        const swg__box *box = &d->box[b];
        if (box->column == own->column && strcmp(box->group, own->group) != 0 && box->rank >= low_rank && box->rank <= high_rank &&
            box->lane >= low_lane && box->lane <= high_lane)
            return;
    }
    const swg__box low = {.column = own->column, .lane = low_lane, .rank = low_rank}, high = {.column = own->column, .lane = high_lane, .rank = high_rank};
    long long x = x_of(p, &low) - 9, y = y_of(&low) - 9;
    swg__text_printf(p->out, "<rect class=\"g\" x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%lld\" rx=\"9\"/>\n", x, y,
                     (long long)(x_of(p, &high) + p->box_width) + 9 - x, (long long)(y_of(&high) + BOX_HEIGHT) + 9 - y);
    put_text(p, x + 4, y - 3, "gt", strrchr(own->group, '/') + 1);
}

static void put_page(page *p, const swg_layer *total, const char *title) {
    const swg__diagram *d = p->d;
    int64_t width = MARGIN, height = 0, longest = 16;
    for (int64_t b = 0; b < d->boxes; b++)
        for (int i = 0; i < SWG__LABEL_LINES; i++)
            longest = (int64_t)strlen(d->box[b].line[i]) > longest ? (int64_t)strlen(d->box[b].line[i]) : longest;
    p->box_width = longest * CHARACTER + 16;
    for (int64_t c = 0; c < d->columns; c++) {
        p->left[c] = width + (c ? COLUMN_GAP - MARGIN : 0);
        width = p->left[c] + d->column_lanes[c] * (p->box_width + LANE_GAP) - LANE_GAP + MARGIN;
        height = d->column_ranks[c] > height ? d->column_ranks[c] : height;
    }
    width = width < 480 ? 480 : width;
    p->height = HEAD + 2 * MARGIN + height * (BOX_HEIGHT + GAP);
    swg__text_printf(p->out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %lld %lld\" width=\"%lld\" height=\"%lld\">\n<title>", (long long)width,
                     (long long)p->height, (long long)width, (long long)p->height);
    swg__html_escape(p->out, title);
    swg__text_printf(p->out, "</title>\n<style>%s</style>\n<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
                             "markerHeight=\"7\" orient=\"auto\"><path class=\"h\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n", style);
    char text[256], parameters[48], flop[48];
    swg__diagram_number(parameters, sizeof parameters, total->parameters);
    swg__diagram_number(flop, sizeof flop, total->macs > INT64_MAX / 2 ? INT64_MAX : 2 * total->macs);
    snprintf(text, sizeof text, "%.120s: %s parameters, %s FLOP", title, parameters, flop);
    put_text(p, MARGIN, 26, "t", text);
    for (int64_t c = 0; c < d->columns; c++) {
        const char *name = d->column_name[c];
        size_t top = swg__diagram_top(name) ? swg__diagram_top(name) : strlen(name);
        snprintf(text, sizeof text, "%.*s", (int)(top < 200 ? top : 200), name);
        put_text(p, p->left[c] + p->box_width / 2, HEAD - 8, "c", text);
    }
    for (int64_t b = 0; b < d->boxes; b++)
        if (d->box[b].group[0])
            put_frame(p, b);
    for (int64_t a = 0; a < d->arrows; a++)
        put_arrow(p, &d->arrow[a]);
    for (int64_t b = 0; b < d->boxes; b++)
        put_box(p, &d->box[b]);
    swg__text_puts(p->out, "</svg>\n");
}

/* ---- Mermaid ---- */

/* Inside quotes of a Mermaid label everything but quotes and markup stands for itself. */
static void put_quoted(swg__text *out, const char *text) {
    for (const char *c = text; *c; c++)
        switch (*c) {
        case '"': swg__text_puts(out, "#quot;"); break;
        case '#': swg__text_puts(out, "#35;"); break;
        case '<': swg__text_puts(out, "#lt;"); break;
        case '>': swg__text_puts(out, "#gt;"); break;
        case '&': swg__text_puts(out, "#amp;"); break;
        default: swg__text_add(out, (unsigned char)*c < 0x20 ? " " : c, 1);
        }
}

static void put_node(swg__text *out, const swg__diagram *d, int64_t b, const char *indent) {
    swg__text_printf(out, "%sn%lld[\"", indent, (long long)b);
    for (int i = 0; i < SWG__LABEL_LINES; i++) {
        if (i && d->box[b].line[i][0])
            swg__text_puts(out, "<br/>");
        put_quoted(out, d->box[b].line[i]);
    }
    swg__text_puts(out, "\"]\n");
}

/* The boxes of column c: inner scopes as graphs of their own. */
static void put_column(swg__text *out, const swg__diagram *d, int64_t c) {
    const char *name = d->column_name[c];
    char text[96];
    size_t top = swg__diagram_top(name) ? swg__diagram_top(name) : strlen(name);
    snprintf(text, sizeof text, "%.*s", (int)(top < 90 ? top : 90), *name ? name : "network");
    swg__text_printf(out, "  subgraph c%lld[\"", (long long)c);
    put_quoted(out, *name ? text : "network");
    swg__text_puts(out, "\"]\n");
    for (int64_t b = 0; b < d->boxes; b++) {
        const char *group = d->box[b].group;
        if (d->box[b].column != c)
            continue;
        bool first = true;
        for (int64_t i = 0; i < b && *group; i++)
            first = first && !(d->box[i].column == c && strcmp(d->box[i].group, group) == 0);
        if (!*group)
            put_node(out, d, b, "    ");
        if (!*group || !first)
            continue;
        swg__text_printf(out, "    subgraph g%lld[\"", (long long)b);
        put_quoted(out, strrchr(group, '/') + 1);
        swg__text_puts(out, "\"]\n");
        for (int64_t i = b; i < d->boxes; i++)
            if (d->box[i].column == c && strcmp(d->box[i].group, group) == 0)
                put_node(out, d, i, "      ");
        swg__text_puts(out, "    end\n");
    }
    swg__text_puts(out, "  end\n");
}

static void put_chart(swg__text *out, const swg__diagram *d, const char *title) {
    swg__text_puts(out, "---\ntitle: \"");
    for (const char *c = title; *c; c++)
        swg__text_add(out, *c == '"' || *c == '\\' || (unsigned char)*c < 0x20 ? " " : c, 1);
    swg__text_puts(out, "\"\n---\nflowchart TD\n");
    for (int64_t c = 0; c < d->columns; c++)
        put_column(out, d, c);
    for (int64_t a = 0; a < d->arrows; a++)
        swg__text_printf(out, "  n%lld --> n%lld\n", (long long)d->arrow[a].from, (long long)d->arrow[a].to);
}

/* ---- public ---- */

static swg_status write_file(swg_context *ctx, const swg_layers *layers, const char *title, const char *path, bool svg) {
    swg__diagram d;
    swg__text text;
    SWG__TRY(swg__diagram_make(ctx, layers, &d));
    swg__text_init(&text, ctx);
    page p = {.d = &d, .out = &text, .left = swg__arena_alloc(&d.arena, (size_t)(d.columns + 1) * sizeof *p.left)};
    if (p.left && svg)
        put_page(&p, &layers->total, title);
    else if (p.left)
        put_chart(&text, &d, title);
    swg_status status = !p.left || text.failed ? swg__fail_memory(ctx, text.length, "a diagram") : swg__file_write(ctx, path, text.data, text.length);
    swg__text_free(&text);
    swg__diagram_free(&d);
    return status;
}

swg_status swg_diagram_svg(swg_context *ctx, const swg_layers *layers, const char *title, const char *path) {
    return write_file(ctx, layers, title, path, true);
}

swg_status swg_diagram_mermaid(swg_context *ctx, const swg_layers *layers, const char *title, const char *path) {
    return write_file(ctx, layers, title, path, false);
}
