/* image.c - planes of numbers as pictures: colour maps, a PNG of stored bytes, a row of slices with colour bars.
 * In: (rows, columns) f32. Out: inline SVG with data URIs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "report.h"

enum { LEVELS = 255, MISSING = 255 }; /* colours 0..254; 255 is transparent */
enum { SIDE = 200, BAR = 10, EXTENT_MAX = 4096, STORED_MAX = 65535 };

/* ---- colour maps: even steps, straight lines between them ---- */

/* Even in lightness: viridis (van der Walt and Smith, CC0), every 17th entry. */
static const uint8_t sequential[16][3] = {
    {68, 1, 84},    {72, 26, 108},  {71, 47, 125},  {65, 68, 135},  {57, 86, 140},  {49, 104, 142}, {42, 120, 142},  {35, 136, 142},
    {31, 152, 139}, {34, 168, 132}, {53, 183, 121}, {84, 197, 104}, {122, 209, 81}, {165, 219, 54}, {210, 226, 27}, {253, 231, 37},
};
/* Blue - white - red, the same lightness on both sides. */
static const uint8_t balanced[9][3] = {
    {13, 51, 112}, {33, 102, 172}, {86, 152, 202}, {165, 205, 227}, {247, 247, 247}, {246, 189, 160}, {220, 120, 93}, {178, 46, 52}, {110, 6, 34},
};

static swg__palette make_palette(bool diverging) {
    swg__palette palette = {{{0}}};
    const uint8_t(*stops)[3] = diverging ? balanced : sequential;
    int last = diverging ? 8 : 15;
    for (int i = 0; i < LEVELS; i++) {
        double at = (double)i / (LEVELS - 1) * last;
        int below = (int)at < last ? (int)at : last - 1;
        for (int c = 0; c < 3; c++)
            palette.rgb[i][c] = (uint8_t)(stops[below][c] + (at - below) * (stops[below + 1][c] - stops[below][c]) + 0.5);
    }
    return palette;
}

/* ---- PNG (ISO/IEC 15948) with stored deflate blocks, as base64 ---- */

/* Bytes on their way into base64, three at a time. */
struct encoder {
    swg__text *out;
    uint8_t held[3];
    int count;
    uint32_t crc; /* of the chunk being written, inverted */
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void emit_group(struct encoder *e) {
    uint32_t bits = (uint32_t)e->held[0] << 16 | (uint32_t)(e->count > 1 ? e->held[1] : 0) << 8 | (e->count > 2 ? e->held[2] : 0);
    char group[4];
    for (int i = 0; i < 4; i++)
        group[i] = i <= e->count ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    swg__text_add(e->out, group, 4);
    e->count = 0;
}

static void put_byte(struct encoder *e, uint8_t byte) {
    e->crc ^= byte;
    for (int i = 0; i < 8; i++)
        e->crc = e->crc >> 1 ^ (e->crc & 1 ? 0xedb88320u : 0);
    e->held[e->count++] = byte;
    if (e->count == 3)
        emit_group(e);
}

static void put_bytes(struct encoder *e, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        put_byte(e, ((const uint8_t *)bytes)[i]);
}

static void put_u32(struct encoder *e, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8)
        put_byte(e, (uint8_t)(value >> shift));
}

static void begin_chunk(struct encoder *e, const char *type, uint32_t bytes) {
    put_u32(e, bytes);
    e->crc = 0xffffffffu; /* the checksum covers type and data */
    put_bytes(e, type, 4);
}

static void end_chunk(struct encoder *e) { put_u32(e, ~e->crc); }

/* Scan lines, each behind a filter byte of 0, in stored blocks. */
static void put_pixels(struct encoder *e, const uint8_t *indices, int64_t rows, int64_t columns) {
    uint32_t total = (uint32_t)(rows * (columns + 1)), blocks = (total - 1) / STORED_MAX + 1, a = 1, b = 0;
    begin_chunk(e, "IDAT", 2 + 5 * blocks + total + 4);
    put_bytes(e, "\x78\x01", 2);
    for (uint32_t i = 0; i < total; i++) {
        if (i % STORED_MAX == 0) {
            uint32_t length = total - i < STORED_MAX ? total - i : STORED_MAX;
            put_byte(e, total - i <= STORED_MAX);
            put_byte(e, (uint8_t)length);
            put_byte(e, (uint8_t)(length >> 8));
            put_byte(e, (uint8_t)~length);
            put_byte(e, (uint8_t)(~length >> 8));
        }
        int64_t row = i / (columns + 1), column = i % (columns + 1);
        uint8_t byte = column ? indices[row * columns + column - 1] : 0;
        put_byte(e, byte);
        a = (a + byte) % 65521;
        b = (b + a) % 65521;
    }
    put_u32(e, b << 16 | a);
    end_chunk(e);
}

void swg__png_uri(swg__text *out, const uint8_t *indices, int64_t rows, int64_t columns, const swg__palette *palette) {
    struct encoder e = {.out = out};
    swg__text_puts(out, "data:image/png;base64,");
    put_bytes(&e, "\x89PNG\r\n\x1a\n", 8);
    begin_chunk(&e, "IHDR", 13);
    put_u32(&e, (uint32_t)columns);
    put_u32(&e, (uint32_t)rows);
    put_bytes(&e, "\x08\x03\x00\x00\x00", 5); /* 8 bits, palette */
    end_chunk(&e);
    begin_chunk(&e, "PLTE", 768);
    put_bytes(&e, palette->rgb, sizeof palette->rgb);
    end_chunk(&e);
    begin_chunk(&e, "tRNS", 256);
    for (int i = 0; i < 256; i++)
        put_byte(&e, i == MISSING ? 0 : 255);
    end_chunk(&e);
    put_pixels(&e, indices, rows, columns);
    begin_chunk(&e, "IEND", 0);
    end_chunk(&e);
    if (e.count)
        emit_group(&e);
}

void swg_report_png(swg_report *report, const char *caption, const char *path) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (report->status == SWG_OK)
        report->status = swg__file_read(report->ctx, path, &data, &bytes);
    if (report->status == SWG_OK && (bytes < sizeof signature || memcmp(data, signature, sizeof signature) != 0))
        report->status = swg__fail(report->ctx, SWG_EFORMAT, "%s: not a PNG file", path);
    if (report->status == SWG_OK) {
        struct encoder e = {.out = &report->body};
        swg__text_puts(&report->body, "<figure>");
        swg__html_wrap(&report->body, "<figcaption><b>", caption, "</b></figcaption>");
        swg__text_puts(&report->body, "<img alt=\"\" src=\"data:image/png;base64,");
        put_bytes(&e, data, bytes);
        if (e.count)
            emit_group(&e);
        swg__text_puts(&report->body, "\"/></figure>\n");
    }
    swg__free(report->ctx, data);
}

/* ---- slices ---- */

static void find_range(const swg_report_slice *slice, double *low, double *high) {
    *low = slice->low;
    *high = slice->high;
    if (slice->low < slice->high)
        return;
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < slice->rows * slice->columns; i++) {
        if (isfinite(slice->values[i])) {
            *low = fmin(*low, (double)slice->values[i]);
            *high = fmax(*high, (double)slice->values[i]);
        }
    }
    if (!(*low <= *high))
        *low = *high = 0;
    if (slice->diverging) {
        *high = fmax(fabs(*low), fabs(*high));
        *low = -*high;
    }
}

static uint8_t level_of(float value, double low, double high) {
    if (isnan(value))
        return MISSING;
    if (!(low < high)) /* a constant plane */
        return LEVELS / 2;
    double part = ((double)value - low) / (high - low);
    return (uint8_t)(part <= 0 ? 0 : part >= 1 ? LEVELS - 1 : part * (LEVELS - 1) + 0.5);
}

static void draw_image(swg__text *out, const uint8_t *indices, int64_t rows, int64_t columns, bool diverging, double x, double y, double width,
                       double height) {
    swg__palette palette = make_palette(diverging);
    swg__text_printf(out, "<image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" preserveAspectRatio=\"none\" href=\"", x, y, width, height);
    swg__png_uri(out, indices, rows, columns, &palette);
    swg__text_puts(out, "\"/>\n");
}

/* What stands inside the <svg> of a slice; *height: of all of it. */
static swg_status slice_body(swg_context *ctx, swg__text *out, const swg_report_slice *slice, double *height) {
    double low, high;
    find_range(slice, &low, &high);
    uint8_t *indices = swg__alloc(ctx, (size_t)(slice->rows * slice->columns)), bar[LEVELS];
    if (!indices)
        return swg__fail_memory(ctx, (size_t)(slice->rows * slice->columns), "a picture of the report");
    for (int64_t r = 0; r < slice->rows; r++)
        for (int64_t c = 0; c < slice->columns; c++)
            indices[(slice->rows - 1 - r) * slice->columns + c] = level_of(slice->values[r * slice->columns + c], low, high);
    for (int i = 0; i < LEVELS; i++)
        bar[i] = (uint8_t)i;
    /* Square cells, the longer side SIDE wide. */
    double cell = (double)SIDE / (double)(slice->rows > slice->columns ? slice->rows : slice->columns);
    double width = cell * (double)slice->columns, tall = cell * (double)slice->rows, below = 22 + tall + 6;
    *height = below + BAR + 20;
    swg__text_puts(out, "<text x=\"0\" y=\"14\">");
    swg__html_escape(out, slice->title);
    swg__text_puts(out, "</text>");
    draw_image(out, indices, slice->rows, slice->columns, slice->diverging, 0, 22, width, tall);
    draw_image(out, bar, 1, LEVELS, slice->diverging, 0, below, SIDE, BAR);
    swg__text_printf(out, "<text class=\"f\" x=\"0\" y=\"%.1f\">%.4g</text>", below + BAR + 15, low);
    swg__text_printf(out, "<text class=\"f\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", SIDE, below + BAR + 15, high);
    swg__free(ctx, indices);
    return SWG_OK;
}

static void draw_slice(swg_report *report, const swg_report_slice *slice) {
    swg__text body;
    double height = 0;
    swg__text_init(&body, report->ctx);
    report->status = slice_body(report->ctx, &body, slice, &height);
    swg__text_printf(&report->body, "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 %d %.0f\">\n", SIDE, height);
    swg__text_add(&report->body, body.data ? body.data : "", body.length);
    swg__text_puts(&report->body, "</svg>\n");
    report->body.failed |= body.failed;
    swg__text_free(&body);
}

static swg_status check_slices(swg_context *ctx, const swg_report_slice *slices, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (slices[i].rows < 1 || slices[i].columns < 1 || slices[i].rows > EXTENT_MAX || slices[i].columns > EXTENT_MAX)
            return swg__fail(ctx, SWG_ESHAPE, "slice \"%s\" of the report is %lld x %lld; expected 1 to %d each way", slices[i].title,
                             (long long)slices[i].rows, (long long)slices[i].columns, EXTENT_MAX);
    return SWG_OK;
}

void swg_report_slices(swg_report *report, const char *caption, const swg_report_slice *slices, int64_t count) {
    swg__text *out = &report->body;
    if (report->status == SWG_OK)
        report->status = check_slices(report->ctx, slices, count);
    if (report->status != SWG_OK)
        return;
    swg__text_puts(out, "<figure>");
    swg__html_wrap(out, "<figcaption><b>", caption, "</b></figcaption>");
    swg__text_puts(out, "<div class=\"row\">\n");
    for (int64_t i = 0; i < count && report->status == SWG_OK; i++)
        draw_slice(report, &slices[i]);
    swg__text_puts(out, "</div></figure>\n");
}

/* ---- a figure of its own ---- */

enum { GAP = 24, TITLE = 30 };

swg_status swg_figure_write(swg_context *ctx, const char *path, const char *title, const swg_report_slice *slices, int64_t rows, int64_t columns) {
    swg__text out, body;
    double top = TITLE;
    SWG__TRY(check_slices(ctx, slices, rows * columns));
    swg__text_init(&out, ctx);
    swg__text_init(&body, ctx);
    swg_status status = SWG_OK;
    for (int64_t r = 0; r < rows && status == SWG_OK; r++) {
        double tallest = 0, height;
        for (int64_t c = 0; c < columns && status == SWG_OK; c++) {
            swg__text_printf(&body, "<g transform=\"translate(%lld %.0f)\">", (long long)(GAP / 2 + c * (SIDE + GAP)), top);
            status = slice_body(ctx, &body, &slices[r * columns + c], &height);
            swg__text_puts(&body, "</g>\n");
            tallest = fmax(tallest, status == SWG_OK ? height : 0);
        }
        top += tallest + GAP / 2.0;
    }
    double width = (double)(columns * (SIDE + GAP));
    swg__text_printf(&out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n"
                     "<style>text{font:13px sans-serif;fill:#222}.f{font-size:11px;fill:#666}image{image-rendering:pixelated}</style>\n"
                     "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"20\">", width, top, width, top, GAP / 2);
    swg__html_escape(&out, title);
    swg__text_puts(&out, "</text>\n");
    swg__text_add(&out, body.data ? body.data : "", body.length);
    swg__text_puts(&out, "</svg>\n");
    if (status == SWG_OK)
        status = out.failed || body.failed ? swg__fail_memory(ctx, body.length, path) : swg__file_write(ctx, path, out.data, out.length);
    swg__text_free(&body);
    swg__text_free(&out);
    return status;
}
