/* test_report.c - proves: a report is one well-formed page that loads nothing, texts are escaped, missing numbers break lines instead of
 * pages, pictures are valid PNGs with the right pixels, a failure is told when the report is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/report.h"

/* ---- reading what was written ---- */

static bool is_void(const char *name) {
    static const char *const names[] = {"meta", "!DOCTYPE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Fails unless every tag is closed in order, every attribute is quoted and no markup character stands in text. */
static void check_markup(const char *page) {
    char stack[32][16];
    int depth = 0;
    for (const char *p = page; *p;) {
        if (*p == '&') {
            size_t length = strcspn(p, ";");
            assert_in_range(length, 2, 6);
        }
        assert_int_not_equal(*p, '>');
        if (*p++ != '<')
            continue;
        bool closing = *p == '/';
        p += closing;
        size_t length = strcspn(p, " />");
        char name[16];
        assert_in_range(length, 1, sizeof name - 1);
        memcpy(name, p, length);
        name[length] = 0;
        p += length;
        while (*p != '>' && *p != '/') { /* attributes */
            assert_int_equal(*p, ' ');
            p += strcspn(p + 1, " =>/") + 1;
            if (*p == '=') {
                assert_int_equal(p[1], '"');
                p += 2;
                p += strcspn(p, "\"<") + 1;
                assert_int_equal(p[-1], '"');
            }
        }
        bool alone = *p == '/';
        p += alone;
        assert_int_equal(*p++, '>');
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (!alone && !is_void(name)) {
            assert_true(depth < 32);
            strcpy(stack[depth++], name);
        }
    }
    assert_int_equal(depth, 0);
    static const char *const banned[] = {"://", "<script", "<link", "url(", "nan", "inf "};
    for (size_t i = 0; i < sizeof banned / sizeof *banned; i++)
        if (strstr(page, banned[i]))
            fail_msg("the page holds %s", banned[i]);
}

static int count(const char *page, const char *word) {
    int n = 0;
    for (const char *p = page; (p = strstr(p, word)); p++)
        n++;
    return n;
}

/* The page; free with swg__free. */
static char *written(swg_context *ctx, swg_report *report) {
    scratch s;
    uint8_t *page;
    size_t bytes;
    scratch_open(&s);
    assert_ok(ctx, swg_report_write(report, scratch_path(&s, "r.html")));
    assert_ok(ctx, swg__file_read(ctx, s.path, &page, &bytes));
    assert_int_equal(strlen((char *)page), bytes);
    scratch_close(&s, ctx, 1);
    check_markup((char *)page);
    return (char *)page;
}

/* ---- tests ---- */

static void texts_and_tables(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    assert_ok(ctx, swg_report_open(ctx, "a < b & \"c\"", &report));
    swg_report_heading(report, "<script>alert('x')</script>");
    swg_report_paragraph(report, "split: random\n\x01 M\xc3\xbcnchen");
    static const char *const header[] = {"variable", "ratio", "max error / bound", "shape"};
    static const char *const cells[] = {"U_CHI", "7.35:1", "-1.5e-03", "<7x7x7>", "U_K", NULL, "0.98", "32x64x96"};
    swg_report_table(report, &(swg_table){"Table <1>", 4, 2, header, cells});
    swg_report_table(report, &(swg_table){NULL, 1, 0, header, NULL});
    char *page = written(ctx, report);
    assert_non_null(strstr(page, "<title>a &lt; b &amp; &quot;c&quot;</title>"));
    assert_non_null(strstr(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert_non_null(strstr(page, "split: random   M\xc3\xbcnchen"));
    assert_non_null(strstr(page, "<td class=\"n\">7.35:1</td><td class=\"n\">-1.5e-03</td><td>&lt;7x7x7&gt;</td>"));
    assert_non_null(strstr(page, "<th>variable</th><th class=\"n\">ratio</th>"));
    assert_non_null(strstr(page, "<td></td><td class=\"n\">0.98</td><td>32x64x96</td>"));
    assert_int_equal(count(page, "<tr>"), 4);
    swg__free(ctx, page);
    swg_report_paragraph(report, "more"); /* written again with more */
    page = written(ctx, report);
    assert_non_null(strstr(page, "<p>more</p>"));
    swg__free(ctx, page);
    swg_report_close(report);
}

static void charts(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    double y[6] = {1, 0.1, NAN, 0.01, -1, 0.001}, flat[3] = {5, 5, 5}, lost[2] = {NAN, INFINITY}, long_y[9001], huge[2] = {-1e308, 1e308};
    for (int i = 0; i < 9001; i++)
        long_y[i] = sin(i * 0.01);
    assert_ok(ctx, swg_report_open(ctx, "charts", &report));
    const swg_series training[] = {{"train & co", 6, NULL, y}, {"val", 6, (double[]){0, 2, 4, 6, 8, INFINITY}, y}};
    swg_report_chart(report, &(swg_chart){.title = "loss <log>", .x_label = "epoch", .y_label = "loss", .log_y = true, .count = 2, .series = training});
    char *page = written(ctx, report);
    /* Gaps at NaN and at -1 make three pieces; the second series loses its last point as well. */
    assert_int_equal(count(page, "h.1"), 3 + 2);
    assert_int_equal(count(page, "<path"), 2);
    assert_non_null(strstr(page, ">0.01</text>"));
    assert_non_null(strstr(page, ">1</text>"));
    assert_non_null(strstr(page, "train &amp; co</li>"));
    assert_non_null(strstr(page, "loss &lt;log&gt;"));
    swg__free(ctx, page);
    /* On a logarithmic x axis the first point, at 0, has no place; decades are even. */
    swg_report_chart(report, &(swg_chart){.log_x = true, .count = 1, .series = &(swg_series){"speed", 4, (double[]){0, .1, 1, 10}, (double[]){9, 1, 2, 3}}});
    page = written(ctx, report);
    assert_int_equal(count(page, "<path"), 3);
    assert_non_null(strstr(page, ">0.1</text>"));
    assert_non_null(strstr(page, ">10</text>"));
    assert_int_equal(count(page, "h.1"), 3 + 2 + 1);
    swg__free(ctx, page);
    static const double ranges[][2] = {{0, 1e-300}, {1e300, 1.1e300}, {1, 1 + 1e-15}, {-5, 7}, {0.30001, 0.30002}};
    for (int i = 0; i < 5; i++)
        swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"range", 2, NULL, ranges[i]}, .log_y = i == 1});
    swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"flat", 3, NULL, flat}});
    swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"lost", 2, NULL, lost}});
    swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"huge", 2, NULL, huge}});
    swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"none", 0, NULL, NULL}, .log_y = true});
    swg_report_chart(report, &(swg_chart){.title = "no series"});
    swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"long", 9001, NULL, long_y}});
    page = written(ctx, report);
    assert_int_equal(count(page, "nothing to draw"), 4);
    const char *last = strstr(page, "no series");
    assert_non_null(last);
    assert_in_range(count(last, "L"), 1500, 2100); /* thinned to what a screen can show */
    swg__free(ctx, page);
    swg_report_close(report);
}

/* A file of its own: no style sheet to lean on. Free with swg__free. */
static char *figure(swg_context *ctx, const swg_chart *charts, int64_t n, int64_t columns) {
    scratch s;
    uint8_t *text;
    size_t bytes;
    scratch_open(&s);
    assert_ok(ctx, swg_charts_write(ctx, scratch_path(&s, "c.svg"), "a < b", charts, n, columns));
    assert_ok(ctx, swg__file_read(ctx, s.path, &text, &bytes));
    scratch_close(&s, ctx, 1);
    assert_null(strstr((char *)text, "var("));
    char *name_space = strstr((char *)text, " xmlns=\"http://www.w3.org/2000/svg\""); /* the one address that stands in a file */
    assert_non_null(name_space);
    memset(name_space, ' ', 1);
    memmove(name_space, name_space + strlen(" xmlns=\"http://www.w3.org/2000/svg\""), strlen(name_space + strlen(" xmlns=\"http://www.w3.org/2000/svg\"")) + 1);
    check_markup((char *)text);
    return (char *)text;
}

static void small_charts(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    static const double x[] = {0, 5, 10}, y[] = {1, 3, 2}, marks[] = {-1, 0, 2.5, 10, 11};
    const swg_series two[] = {{"first & only", 3, x, y}, {"second", 3, x, x}};
    const swg_chart one = {.title = "t < u", .count = 2, .series = two, .band_low = 5, .band_high = 20, .marks = 5, .mark = marks};
    const swg_chart all[5] = {one, one, {.title = "plain", .count = 2, .series = two, .band_low = 3, .band_high = 3},
                              {.title = "beside", .count = 2, .series = two, .band_low = 11, .band_high = 20}, {.title = "empty"}};
    assert_ok(ctx, swg_report_open(ctx, "small", &report));
    swg_report_charts(report, "all of them", all, 5);
    swg_report_charts(report, "none of them", NULL, 0);
    char *page = written(ctx, report);
    assert_int_equal(count(page, "<path"), 8);
    assert_int_equal(count(page, "first &amp; only</li>"), 1); /* one legend */
    assert_int_equal(count(page, "stroke-dasharray"), 2 * 3);  /* those inside the range */
    assert_int_equal(count(page, "fill-opacity"), 2);          /* cut at the range, and only where there is some */
    assert_non_null(strstr(page, "width=\"203.0\""));          /* half of the axis */
    assert_non_null(strstr(page, "<b>all of them</b>"));
    assert_null(strstr(page, "none of them"));
    swg__free(ctx, page);
    swg_report_close(report);
    for (int columns = 1; columns <= 6; columns++) {
        char *text = figure(ctx, all, 5, columns), size[64];
        int across = columns < 5 ? columns : 5, rows = (5 + across - 1) / across;
        snprintf(size, sizeof size, "translate(%d %d)", 24 + (5 - 1) % across * (480 + 24), 34 + (rows - 1) * (300 + 20 + 24) + 20);
        assert_non_null(strstr(text, size)); /* the last one stands at the end of its row */
        assert_int_equal(count(text, "<g "), 5);
        assert_int_equal(count(text, "<path"), 8);
        assert_int_equal(count(text, "first &amp; only"), 1);
        assert_int_equal(count(text, "#1f6feb"), 4 + 1);
        swg__free(ctx, text);
    }
    /* A long legend takes more lines, and the picture grows by them. */
    swg_series many[8];
    for (int i = 0; i < 8; i++)
        many[i] = (swg_series){"a name of twenty lett", 3, x, y};
    char *few = figure(ctx, &(swg_chart){.count = 1, .series = many}, 1, 1), *more = figure(ctx, &(swg_chart){.count = 8, .series = many}, 1, 1);
    int low, high;
    assert_int_equal(sscanf(strstr(few, "height="), "height=\"%d", &low), 1);
    assert_int_equal(sscanf(strstr(more, "height="), "height=\"%d", &high), 1);
    assert_int_equal(high - low, 3 * 20); /* two to a line */
    swg__free(ctx, few);
    swg__free(ctx, more);
    assert_int_equal(swg_charts_write(ctx, "/nowhere/c.svg", "x", all, 0, 3), SWG_ESHAPE);
    assert_int_equal(swg_charts_write(ctx, "/nowhere/c.svg", "x", all, 1, 3), SWG_ENOTFOUND);
}

static void bars(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    static const char *const rows[] = {"U_CHI", "U_K", "empty"}, *const kinds[] = {"network", "raw", "constant"};
    static const double shares[9] = {3, 1, 0, NAN, -2, 5, 0, 0, 0};
    assert_ok(ctx, swg_report_open(ctx, "bars", &report));
    swg_report_bars(report, &(swg_bars){"modes", 3, 3, rows, kinds, shares});
    char *page = written(ctx, report);
    assert_int_equal(count(page, "<rect"), 3);
    assert_non_null(strstr(page, "network 75.0 %"));
    assert_non_null(strstr(page, "raw 25.0 %"));
    assert_non_null(strstr(page, "constant 100.0 %"));
    swg__free(ctx, page);
    swg_report_close(report);
}

static int sextet(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t from_base64(const char *text, uint8_t *out) {
    size_t bytes = 0;
    uint32_t bits = 0;
    int held = 0;
    for (; sextet(*text) >= 0; text++) {
        bits = bits << 6 | (uint32_t)sextet(*text);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[bytes++] = (uint8_t)(bits >> held);
        }
    }
    return bytes;
}

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static uint32_t crc32_of(const uint8_t *p, size_t n) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* Checks every chunk of the PNG and gives its palette and pixels. */
static void check_png(const uint8_t *png, size_t bytes, uint32_t columns, uint32_t rows, uint8_t *palette, uint8_t *pixels) {
    static const char *const order[] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND"};
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    const uint8_t *p = png + 8, *data = NULL;
    size_t data_bytes = 0;
    for (int c = 0; c < 5; c++) {
        uint32_t length = be32(p);
        assert_true(p + 12 + length <= png + bytes);
        assert_memory_equal(p + 4, order[c], 4);
        assert_int_equal(be32(p + 8 + length), crc32_of(p + 4, length + 4));
        if (c == 0) {
            assert_int_equal(be32(p + 8), columns);
            assert_int_equal(be32(p + 12), rows);
            assert_memory_equal(p + 16, "\x08\x03\x00\x00\x00", 5);
        } else if (c == 1) {
            memcpy(palette, p + 8, 768);
        } else if (c == 2) {
            assert_int_equal(p[8], 255);
            assert_int_equal(p[8 + 255], 0);
        } else if (c == 3) {
            data = p + 8;
            data_bytes = length;
        }
        p += 12 + length;
    }
    assert_ptr_equal(p, png + bytes);
    assert_int_equal((data[0] << 8 | data[1]) % 31, 0);
    size_t lines = (size_t)rows * (columns + 1), got = 0;
    uint8_t *raw = malloc(lines);
    const uint8_t *block = data + 2;
    for (bool final = false; !final;) {
        size_t length = (size_t)(block[1] | block[2] << 8);
        final = block[0] == 1;
        assert_int_equal(block[0] & ~1, 0);
        assert_int_equal(length ^ 0xffff, block[3] | block[4] << 8);
        assert_true(got + length <= lines);
        memcpy(raw + got, block + 5, length);
        got += length;
        block += 5 + length;
    }
    assert_int_equal(got, lines);
    assert_ptr_equal(block + 4, data + data_bytes);
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < lines; i++) {
        a = (a + raw[i]) % 65521;
        b = (b + a) % 65521;
    }
    assert_int_equal(be32(block), b << 16 | a);
    for (uint32_t r = 0; r < rows; r++) {
        assert_int_equal(raw[r * (columns + 1)], 0);
        memcpy(pixels + r * columns, raw + r * (columns + 1) + 1, columns);
    }
    free(raw);
}

/* Lengths in proportion to the largest value, a mark where it belongs, and no bar for what is no number or below 0. */
static void named_values(void **state) {
    swg_context *ctx = *state;
    scratch s;
    static const char *const names[] = {"half & half", "whole", "lost", "below"};
    static const double values[] = {2, 4, NAN, -1}, none[] = {NAN};
    const swg_values all[] = {{.title = "a < b", .unit = "x", .rows = 4, .names = names, .values = values, .mark = 3},
                              {.title = "nothing", .unit = "MiB", .rows = 1, .names = names, .values = none}};
    uint8_t *bytes;
    size_t length;
    scratch_open(&s);
    assert_ok(ctx, swg_values_write(ctx, scratch_path(&s, "v.svg"), "some", all, 2));
    assert_ok(ctx, swg__file_read(ctx, scratch_path(&s, "v.svg"), &bytes, &length));
    const char *text = (const char *)bytes;
    assert_int_equal(count(text, "fill=\"#3b6fb6\""), 2);
    assert_int_equal(count(text, ">not measured</text>"), 3);
    assert_int_equal(count(text, "stroke-dasharray"), 1);
    assert_non_null(strstr(text, "width=\"210.0\"")); /* of 420 */
    assert_non_null(strstr(text, ">4 x</text>"));
    assert_non_null(strstr(text, "half &amp; half"));
    assert_non_null(strstr(text, "a &lt; b"));
    swg__free(ctx, bytes);
    assert_int_equal(swg_values_write(ctx, scratch_path(&s, "v.svg"), "none", all, 0), SWG_ESHAPE);
    assert_int_equal(swg_values_write(ctx, "/nowhere/v.svg", "x", all, 1), SWG_ENOTFOUND);
    scratch_close(&s, ctx, 1);
}

static void slices(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    assert_ok(ctx, swg_report_open(ctx, "slices", &report));
    const float small[6] = {0, 1, 2, NAN, 3, 4}, error[4] = {-1e-6f, 0, 2e-6f, 5}, constant[1] = {7}, lost[1] = {NAN};
    float *large = malloc(300 * 400 * sizeof *large);
    for (int i = 0; i < 300 * 400; i++)
        large[i] = (float)(i % 400);
    const swg_report_slice row[] = {{.title = "<original>", .rows = 2, .columns = 3, .values = small},
                             {.title = "error x bound", .rows = 2, .columns = 2, .values = error, .low = -2e-6, .high = 2e-6, .diverging = true},
                             {.title = "large", .rows = 300, .columns = 400, .values = large},
                             {.title = "symmetric", .rows = 2, .columns = 2, .values = error, .diverging = true},
                             {.title = "constant", .rows = 1, .columns = 1, .values = constant},
                             {.title = "lost", .rows = 1, .columns = 1, .values = lost}};
    swg_report_slices(report, "z = 16", row, 6);
    char *page = written(ctx, report);
    free(large);
    static const uint32_t sizes[6][2] = {{3, 2}, {2, 2}, {400, 300}, {2, 2}, {1, 1}, {1, 1}};
    uint8_t *png = malloc(1 << 20), *pixels = malloc(1 << 20), palette[256][3];
    const char *p = page;
    for (int i = 0; i < 12; i++) { /* picture and colour bar in turn */
        p = strstr(p, "base64,");
        assert_non_null(p);
        p += 7;
        size_t bytes = from_base64(p, png);
        check_png(png, bytes, i % 2 ? 255 : sizes[i / 2][0], i % 2 ? 1 : sizes[i / 2][1], &palette[0][0], pixels);
        if (i % 2)
            for (int level = 0; level < 255; level++)
                assert_int_equal(pixels[level], level);
        if (i == 0)
            assert_memory_equal(pixels, "\xff\xbf\xfe\x00\x40\x7f", 6);
        if (i == 2) {
            assert_memory_equal(pixels, "\xfe\xfe\x40\x7f", 4);
            assert_true(palette[127][0] == 247 && palette[127][2] == 247); /* white in the middle */
            assert_true(palette[0][2] > palette[0][0] && palette[254][0] > palette[254][2]);
        }
        if (i == 4)
            assert_true(pixels[0] == 0 && pixels[399] == 254 && pixels[400] == 0);
        if (i == 6)
            assert_memory_equal(pixels, "\x7f\xfe\x7f\x7f", 4);
        if (i == 8)
            assert_int_equal(pixels[0], 127);
        if (i == 10)
            assert_int_equal(pixels[0], 255);
    }
    assert_non_null(strstr(page, "&lt;original&gt;"));
    assert_non_null(strstr(page, "<figcaption><b>z = 16</b></figcaption>"));
    free(pixels);
    free(png);
    swg__free(ctx, page);
    /* A bad slice is told when the report is written. */
    swg_report_slices(report, NULL, &(swg_report_slice){.title = "bad", .rows = 0, .columns = 3, .values = small}, 1);
    swg_report_paragraph(report, "after");
    assert_int_equal(swg_report_write(report, "/tmp/never-written.html"), SWG_ESHAPE);
    assert_message(ctx, "\"bad\"", "0 x 3");
    assert_false(swg__exists("/tmp/never-written.html"));
    swg_report_close(report);
    assert_ok(ctx, swg_report_open(ctx, "x", &report));
    assert_int_equal(swg_report_write(report, "/nowhere/at/all.html"), SWG_ENOTFOUND);
    swg_report_close(report);
}

/* The bytes of a file, whatever their number; another file is told when the report is written. */
static void whole_png(void **state) {
    swg_context *ctx = *state;
    swg_report *report;
    scratch s;
    scratch_open(&s);
    uint8_t file[40] = "\x89PNG\r\n\x1a\n", got[64];
    for (int i = 8; i < 40; i++)
        file[i] = (uint8_t)(i * 37);
    for (size_t bytes = 8; bytes <= 40; bytes++) {
        assert_ok(ctx, swg__file_write(ctx, scratch_path(&s, "p.png"), file, bytes));
        assert_ok(ctx, swg_report_open(ctx, "png", &report));
        swg_report_png(report, "a < b", s.path);
        char *page = written(ctx, report);
        assert_non_null(strstr(page, "a &lt; b"));
        assert_int_equal(from_base64(strstr(page, "base64,") + 7, got), bytes);
        assert_memory_equal(got, file, bytes);
        swg__free(ctx, page);
        swg_report_close(report);
    }
    static const struct { const char *text; swg_status status; } bad[] = {{"P6 1 1 255", SWG_EFORMAT}, {"", SWG_EFORMAT}, {NULL, SWG_ENOTFOUND}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scratch_path(&s, bad[i].text ? "p.png" : "none.png");
        if (bad[i].text)
            assert_ok(ctx, swg__file_write(ctx, s.path, bad[i].text, strlen(bad[i].text)));
        assert_ok(ctx, swg_report_open(ctx, "png", &report));
        swg_report_png(report, NULL, s.path);
        assert_int_equal(swg_report_write(report, "/nowhere/r.html"), bad[i].status);
        swg_report_close(report);
    }
    scratch_path(&s, "p.png");
    scratch_close(&s, ctx, 1);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    scratch s;
    scratch_open(&s);
    static const double y[] = {1, 2, 3};
    static const float plane[4] = {1, 2, 3, 4};
    bool finished = false;
    for (int64_t n = 0; !finished; n++) {
        testing_allocator t = {.fail_at = n};
        swg_context *ctx;
        swg_report *report;
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &t}}, &ctx) != SWG_OK)
            continue;
        swg_status status = swg_report_open(ctx, "memory", &report);
        if (status == SWG_OK) {
            swg_report_heading(report, "h");
            swg_report_chart(report, &(swg_chart){.count = 1, .series = &(swg_series){"s", 3, NULL, y}});
            swg_report_slices(report, NULL, &(swg_report_slice){.title = "p", .rows = 2, .columns = 2, .values = plane}, 1);
            status = swg_report_write(report, scratch_path(&s, "r.html"));
        }
        assert_true(status == SWG_OK || status == SWG_ENOMEM);
        assert_int_equal(swg__exists(scratch_path(&s, "r.html")), status == SWG_OK);
        finished = status == SWG_OK;
        swg_report_close(report);
        swg_context_close(ctx);
        assert_int_equal(t.live, 0);
    }
    swg_context *ctx;
    assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
    scratch_close(&s, ctx, 1);
    swg_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts_and_tables, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(charts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(small_charts, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(whole_png, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bars, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(named_values, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(slices, testing_open, testing_close),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
