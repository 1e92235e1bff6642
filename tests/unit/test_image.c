/* test_image.c - proves: every kind of PNG and TIFF of tests/golden/make_images.py gives the numbers of its formula, whole, by rows and by
 * windows in any order; what must be refused is refused with a message that names it; what is written is read back, and a failed writer or
 * allocation leaves nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/features.h"
#include "swage/image.h"

static bool has(const char *library) {
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        if (strcmp(feature->name, library) == 0)
            return feature->version != NULL;
    return false;
}

static bool readable(const char *file) { return has(strstr(file, ".png") ? "libpng" : "libtiff"); }

static const char *fixture(const char *file) {
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/fuzz_image/%s", SWG_SOURCE_DIR, file);
    return path;
}

/* ---- the formula of make_images.py ---- */

static uint8_t u8_at(int64_t c, int64_t y, int64_t x) { return (uint8_t)(37 * y + 11 * x + 71 * c + 3); }
static uint16_t u16_at(int64_t c, int64_t y, int64_t x) { return (uint16_t)(3001 * y + 1117 * x + 7001 * c + 5); }

static float grey_at(int bits, int64_t y, int64_t x) { return (float)(u8_at(0, y, x) % (1 << bits)) / (float)((1 << bits) - 1); }

typedef enum { U8, U16, F32, WHITE, PALETTE_PNG, PALETTE2_PNG, PALETTE_TIFF, GREY1, GREY2, GREY4 } formula;

static float expected(formula f, int64_t c, int64_t y, int64_t x) {
    switch (f) {
    case U8: return (float)u8_at(c, y, x) / 255.f;
    case U16: return (float)u16_at(c, y, x) / 65535.f;
    case F32: return (float)((double)((37 * y + 11 * x + 71 * c) % 101) / 100);
    case WHITE: return (float)(255 - u8_at(0, y, x)) / 255.f;
    case PALETTE_PNG: return (float)u8_at(c, u8_at(0, y, x), 3) / 255.f;
    case PALETTE2_PNG: return (float)u8_at(c, u8_at(0, y, x) % 4, 3) / 255.f;
    case PALETTE_TIFF: return (float)u16_at(c, u8_at(0, y, x), 3) / 65535.f;
    case GREY1: return grey_at(1, y, x);
    case GREY2: return grey_at(2, y, x);
    case GREY4: return grey_at(4, y, x);
    }
    return NAN;
}

static const struct {
    const char *file;
    formula formula;
    int channels, file_channels;
    int64_t width, height;
    swg_element element;
    bool alpha, palette, whole;
} good[] = {
    {"rgb8.png", U8, 3, 3, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"rgb16.png", U16, 3, 3, 7, 5, SWG_ELEMENT_U16, false, false, false},
    {"rgba8.png", U8, 3, 4, 7, 5, SWG_ELEMENT_U8, true, false, false},
    {"rgba16.png", U16, 3, 4, 7, 5, SWG_ELEMENT_U16, true, false, false},
    {"grey8.png", U8, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"grey16.png", U16, 1, 1, 7, 5, SWG_ELEMENT_U16, false, false, false},
    {"greya8.png", U8, 1, 2, 7, 5, SWG_ELEMENT_U8, true, false, false},
    {"grey1.png", GREY1, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"grey2.png", GREY2, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"grey4.png", GREY4, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"palette8.png", PALETTE_PNG, 3, 1, 7, 5, SWG_ELEMENT_U8, true, true, false},
    {"palette2.png", PALETTE2_PNG, 3, 1, 7, 5, SWG_ELEMENT_U8, false, true, false},
    {"interlaced.png", U8, 3, 3, 7, 5, SWG_ELEMENT_U8, false, false, true},
    {"rgb8_trns.png", U8, 3, 3, 7, 5, SWG_ELEMENT_U8, true, false, false},
    {"one.png", U8, 3, 3, 1, 1, SWG_ELEMENT_U8, false, false, false},
    {"grey8.tif", U8, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"rgb8_lzw.tif", U8, 3, 3, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"rgb16_deflate_be.tif", U16, 3, 3, 7, 5, SWG_ELEMENT_U16, false, false, false},
    {"rgb8_tiled.tif", U8, 3, 3, 37, 20, SWG_ELEMENT_U8, false, false, false},
    {"rgb8_planes.tif", U8, 3, 3, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"rgb16_planes_tiled.tif", U16, 3, 3, 19, 18, SWG_ELEMENT_U16, false, false, false},
    {"grey16_big_tiled.tif", U16, 1, 1, 19, 18, SWG_ELEMENT_U16, false, false, false},
    {"grey16_big_be.tif", U16, 1, 1, 7, 5, SWG_ELEMENT_U16, false, false, false},
    {"grey_f32.tif", F32, 1, 1, 7, 5, SWG_ELEMENT_F32, false, false, false},
    {"rgb_f32_be.tif", F32, 3, 3, 7, 5, SWG_ELEMENT_F32, false, false, false},
    {"rgba8.tif", U8, 3, 4, 7, 5, SWG_ELEMENT_U8, true, false, false},
    {"five16.tif", U16, 5, 5, 7, 5, SWG_ELEMENT_U16, false, false, false},
    {"white8.tif", WHITE, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"palette8.tif", PALETTE_TIFF, 3, 1, 7, 5, SWG_ELEMENT_U16, false, true, false},
    {"pages.tif", U8, 1, 1, 7, 5, SWG_ELEMENT_U8, false, false, false},
    {"one.tif", U16, 1, 1, 1, 1, SWG_ELEMENT_U16, false, false, false},
};
enum { GOOD = sizeof good / sizeof *good };

static void check(int g, const char *how, const float *values, int channels, int64_t y, int64_t x, int64_t h, int64_t w) {
    for (int64_t i = 0; i < channels * h * w; i++) {
        int64_t c = i / (h * w), row = y + i / w % h, column = x + i % w;
        float want = expected(good[g].formula, good[g].channels == 1 ? 0 : c, row, column);
        if (values[i] != want)
            fail_msg("%s %s: (%lld, %lld, %lld) is %.9g, expected %.9g", good[g].file, how, (long long)c, (long long)row, (long long)column,
                     (double)values[i], (double)want);
    }
}

static void every_kind(void **state) {
    swg_context *ctx = *state;
    int read = 0;
    for (int g = 0; g < GOOD; g++) {
        if (!readable(good[g].file))
            continue;
        swg_image_pixels pixels;
        swg_image_info info;
        assert_ok(ctx, swg_image_read(ctx, fixture(good[g].file), NULL, &pixels, &info));
        if (info.width != good[g].width || info.height != good[g].height || info.channels != good[g].channels ||
            info.file_channels != good[g].file_channels || info.element != good[g].element || info.alpha_dropped != good[g].alpha ||
            info.palette_expanded != good[g].palette || info.whole != good[g].whole || info.grey_repeated)
            fail_msg("%s: head is %lldx%lld, %d of %d channels, %s, alpha %d, palette %d, whole %d", good[g].file, (long long)info.width,
                     (long long)info.height, info.channels, info.file_channels, swg_element_name(info.element), info.alpha_dropped,
                     info.palette_expanded, info.whole);
        assert_int_equal(info.pages, strcmp(good[g].file, "pages.tif") == 0 ? 3 : 1);
        check(g, "whole", pixels.values, pixels.channels, 0, 0, pixels.height, pixels.width);
        swg_image_pixels_free(ctx, &pixels);
        if (good[g].channels <= 3) {
            assert_ok(ctx, swg_image_read(ctx, fixture(good[g].file), &(swg_image_opts){.channels = 3}, &pixels, &info));
            assert_int_equal(pixels.channels, 3);
            assert_true(info.grey_repeated == (good[g].channels == 1));
            check(g, "as RGB", pixels.values, 3, 0, 0, pixels.height, pixels.width);
            swg_image_pixels_free(ctx, &pixels);
        }
        read++;
    }
    if (!read)
        skip();
}

/* Rows downwards with overlap, then backwards, then windows all over. */
static void windows(void **state) {
    swg_context *ctx = *state;
    for (int g = 0; g < GOOD; g++) {
        if (!readable(good[g].file))
            continue;
        swg_image *image;
        float values[5 * 37 * 20];
        const int64_t height = good[g].height, width = good[g].width;
        assert_ok(ctx, swg_image_open(ctx, fixture(good[g].file), NULL, &image));
        const int channels = swg_image_about(image)->channels;
        for (int64_t y = 0; y < height; y += 2) {
            int64_t n = height - y < 3 ? height - y : 3;
            assert_ok(ctx, swg_image_read_rows(image, y, n, values));
            check(g, "down", values, channels, y, 0, n, width);
        }
        for (int64_t y = height - 1; y >= 0; y--) {
            assert_ok(ctx, swg_image_read_rows(image, y, 1, values));
            check(g, "up", values, channels, y, 0, 1, width);
        }
        for (int64_t i = 0; i < 40; i++) {
            int64_t y = i * 7 % height, x = i * 5 % width, h = 1 + i * 3 % (height - y), w = 1 + i * 11 % (width - x);
            assert_ok(ctx, swg_image_read_window(image, y, x, h, w, values));
            check(g, "window", values, channels, y, x, h, w);
        }
        assert_int_equal(swg_image_read_window(image, height, 0, 1, 1, values), SWG_EINVAL);
        assert_int_equal(swg_image_read_window(image, 0, 1, 1, width, values), SWG_EINVAL);
        assert_int_equal(swg_image_read_window(image, -1, 0, 1, 1, values), SWG_EINVAL);
        assert_int_equal(swg_image_read_window(image, 0, 0, 0, 1, values), SWG_EINVAL);
        swg_image_close(image);
    }
}

static void stored_numbers(void **state) {
    swg_context *ctx = *state;
    swg_image *image;
    uint8_t bytes[3 * 2 * 4];
    uint16_t words[3 * 2 * 4];
    if (has("libpng")) {
        assert_ok(ctx, swg_image_open(ctx, fixture("grey8.png"), &(swg_image_opts){.channels = 3}, &image));
        assert_ok(ctx, swg_image_read_stored(image, 1, 2, 2, 4, bytes));
        for (int i = 0; i < 24; i++)
            assert_int_equal(bytes[i], u8_at(0, 1 + i / 4 % 2, 2 + i % 4));
        swg_image_close(image);
    }
    if (has("libtiff")) {
        assert_ok(ctx, swg_image_open(ctx, fixture("rgb16_planes_tiled.tif"), NULL, &image));
        assert_ok(ctx, swg_image_read_stored(image, 15, 14, 2, 4, words));
        for (int i = 0; i < 24; i++)
            assert_int_equal(words[i], u16_at(i / 8, 15 + i / 4 % 2, 14 + i % 4));
        swg_image_close(image);
    }
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *file;
        swg_status status;
        const char *words;
    } bad[] = {
        {"bad_huge.png", SWG_ESHAPE, "2147483647 x 2147483647 pixels are more than"},
        {"bad_promise.png", SWG_ECORRUPT, "cannot hold 20000 x 20000"},
        {"bad_interlaced_promise.png", SWG_ECORRUPT, "cannot hold 3000 x 3000"},
        {"bad_cut.png", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_head.png", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_crc.png", SWG_ECORRUPT, "CRC"},
        {"bad_zlib.png", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_text.png", SWG_EFORMAT, "neither PNG nor TIFF"},
        {"bad_empty.png", SWG_EFORMAT, "the file is empty"},
        {"bad_jpeg.png", SWG_EFORMAT, "convert it to PNG or TIFF"},
        {"bad_i16.tif", SWG_EDTYPE, "type i16"},
        {"bad_f64.tif", SWG_EDTYPE, "type f64"},
        {"bad_orientation.tif", SWG_EUNSUPPORTED, "orientation 6"},
        {"bad_cmyk.tif", SWG_EUNSUPPORTED, "colour model 5"},
        {"bad_compression.tif", SWG_EUNSUPPORTED, "compression 34712"},
        {"bad_huge.tif", SWG_ESHAPE, "2147483647 x 2147483647 pixels are more than"},
        {"bad_tile.tif", SWG_ESHAPE, "tiles of 1048576 x 1048576"},
        {"bad_rows.tif", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_no_size.tif", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_cut.tif", SWG_ECORRUPT, "damaged or cut short"},
        {"bad_deflate.tif", SWG_ECORRUPT, "damaged or cut short"},
        {"none.png", SWG_ENOTFOUND, "cannot open"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        swg_image_pixels pixels;
        if (!readable(bad[i].file))
            continue;
        swg_status status = swg_image_read(ctx, fixture(bad[i].file), NULL, &pixels, NULL);
        if (status != bad[i].status || !strstr(swg_context_message(ctx), bad[i].words))
            fail_msg("%s gave %s: %s", bad[i].file, swg_status_name(status), swg_context_message(ctx));
        assert_message(ctx, bad[i].file);
        assert_null(pixels.values);
    }
    swg_image *image;
    assert_int_equal(swg_image_open(ctx, SWG_SOURCE_DIR, NULL, &image), SWG_EIO);
    if (has("libpng")) {
        assert_int_equal(swg_image_open(ctx, fixture("rgb8.png"), &(swg_image_opts){.channels = 1}, &image), SWG_ESHAPE);
        assert_message(ctx, "3 channels", "1 are wanted");
        assert_int_equal(swg_image_open(ctx, fixture("rgb8.png"), &(swg_image_opts){.page = 1}, &image), SWG_ENOTFOUND);
        assert_int_equal(swg_image_open(ctx, fixture("rgb8.png"), &(swg_image_opts){.nonfinite = "no"}, &image), SWG_EINVAL);
        assert_message(ctx, "data.nonfinite=no", "error or zero");
        assert_int_equal(swg_image_open(ctx, fixture("interlaced.png"), &(swg_image_opts){.max_bytes = 100}, &image), SWG_ESHAPE);
        assert_message(ctx, "without interlacing");
    }
    if (has("libtiff")) {
        assert_int_equal(swg_image_open(ctx, fixture("five16.tif"), &(swg_image_opts){.channels = 3}, &image), SWG_ESHAPE);
        assert_message(ctx, "5 channels", "3 are wanted");
        assert_int_equal(swg_image_open(ctx, fixture("pages.tif"), &(swg_image_opts){.page = 3}, &image), SWG_ENOTFOUND);
        assert_message(ctx, "page 3", "holds 3");
        assert_ok(ctx, swg_image_open(ctx, fixture("pages.tif"), &(swg_image_opts){.page = 2}, &image));
        swg_image_close(image);
    }
}

/* Lossy colour as slide scanners write it; a libtiff without JPEG says so. */
static void jpeg_in_tiff(void **state) {
    swg_context *ctx = *state;
    swg_image_pixels pixels;
    if (!has("libtiff"))
        skip();
    swg_status status = swg_image_read(ctx, fixture("jpeg.tif"), NULL, &pixels, NULL);
    if (status == SWG_EUNSUPPORTED) {
        assert_message(ctx, "is not in this libtiff");
        skip();
    }
    assert_ok(ctx, status);
    assert_true(pixels.channels == 3 && pixels.height == 24 && pixels.width == 40);
    for (int i = 0; i < 24 * 40; i++) {
        const int y = i / 40, x = i % 40, want[] = {6 * x, 10 * y, 200 - 2 * x - 3 * y};
        for (int c = 0; c < 3; c++)
            assert_close((double)pixels.values[c * 24 * 40 + i], want[c] / 255., 8 / 255., 0);
    }
    swg_image_pixels_free(ctx, &pixels);
}

static void without_library(void **state) {
    swg_context *ctx = *state;
    swg_image *image;
    swg_image_writer *writer;
    static const char *const files[][3] = {{"rgb8.png", "libpng", "x.png"}, {"grey8.tif", "libtiff", "x.tif"}};
    int missing = 0;
    for (int i = 0; i < 2; i++) {
        if (has(files[i][1]))
            continue;
        assert_int_equal(swg_image_open(ctx, fixture(files[i][0]), NULL, &image), SWG_EUNSUPPORTED);
        assert_message(ctx, files[i][0], "this build has no", files[i][1]);
        assert_int_equal(swg_image_create(ctx, files[i][2], 1, 1, 1, NULL, &writer), SWG_EUNSUPPORTED);
        missing++;
    }
    if (!missing)
        skip();
}

/* ---- floats, scales ---- */

static void floats(void **state) {
    swg_context *ctx = *state;
    if (!has("libtiff"))
        skip();
    swg_image_pixels pixels;
    swg_image_info info;
    assert_int_equal(swg_image_read(ctx, fixture("nan_f32.tif"), NULL, &pixels, NULL), SWG_ENONFINITE);
    assert_message(ctx, "row 2, column 3 is nan", "data.nonfinite=zero");
    assert_ok(ctx, swg_image_read(ctx, fixture("nan_f32.tif"), &(swg_image_opts){.nonfinite = "zero"}, &pixels, &info));
    assert_int_equal(info.nonfinite, 2);
    assert_true(pixels.values[2 * 7 + 3] == 0 && pixels.values[4 * 7 + 6] == 0 && pixels.values[1] == .11f);
    swg_image_pixels_free(ctx, &pixels);
    assert_int_equal(swg_image_read(ctx, fixture("outside_f32.tif"), NULL, &pixels, NULL), SWG_EINVAL);
    assert_message(ctx, "row 0, column 0 is -1, outside [0,1]", "data.scale");
    assert_ok(ctx, swg_image_read(ctx, fixture("outside_f32.tif"), &(swg_image_opts){.scale = .025}, &pixels, &info));
    int64_t outside = 0;
    for (int i = 0; i < 35; i++) {
        assert_close(pixels.values[i], ((37 * (i / 7) + 11 * (i % 7)) % 101) / 100. - .025, 1e-7, 0);
        outside += pixels.values[i] < 0 || pixels.values[i] > 1;
    }
    assert_int_equal(info.outside, outside);
    assert_true(outside > 0);
    swg_image_pixels_free(ctx, &pixels);
    assert_ok(ctx, swg_image_read(ctx, fixture("grey16_big_be.tif"), &(swg_image_opts){.scale = 1. / 4095}, &pixels, &info));
    for (int64_t i = 0; i < 35; i++)
        assert_close(pixels.values[i], u16_at(0, i / 7, i % 7) / 4095., 1e-6, 1e-7);
    assert_true(info.outside > 0);
    swg_image_pixels_free(ctx, &pixels);
}

/* ---- writing ---- */

static void round_trip(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *name;
        int channels, bits;
    } kinds[] = {{"a.png", 1, 8}, {"b.png", 3, 8}, {"c.png", 1, 16}, {"d.PNG", 3, 16}, {"e.tif", 1, 8}, {"f.tiff", 3, 16}, {"g.tif", 3, 32}, {"h.tif", 5, 8}};
    enum { H = 301, W = 203 };
    static float pixels[5 * H * W];
    scratch s;
    scratch_open(&s);
    size_t files = 0;
    for (int64_t i = 0; i < 5 * H * W; i++)
        pixels[i] = (float)(i * 7919 % 65536) / 65535.f;
    pixels[3] = -.5f;
    pixels[4] = 1.5f;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!readable(kinds[k].name[2] == 'P' ? ".png" : kinds[k].name))
            continue;
        swg_image_writer *writer;
        swg_image_pixels back;
        const char *path = scratch_path(&s, kinds[k].name);
        assert_ok(ctx, swg_image_create(ctx, path, kinds[k].channels, H, W, &(swg_image_write_opts){.bits = kinds[k].bits}, &writer));
        for (int64_t y = 0; y < H; y += 50) { /* bands of rows */
            int64_t n = H - y < 50 ? H - y : 50;
            static float band[5 * 50 * W];
            for (int64_t c = 0; c < kinds[k].channels; c++)
                memcpy(band + c * n * W, pixels + (c * H + y) * W, (size_t)(n * W) * sizeof *band);
            assert_ok(ctx, swg_image_append(writer, band, n));
        }
        assert_false(swg__exists(path));
        assert_ok(ctx, swg_image_finish(writer));
        swg_image_info info;
        double scale = kinds[k].bits == 32 ? 1 : 0;
        assert_ok(ctx, swg_image_read(ctx, path, &(swg_image_opts){.scale = scale}, &back, &info));
        assert_int_equal(back.channels, kinds[k].channels);
        assert_true(back.height == H && back.width == W && !info.alpha_dropped);
        const float top = kinds[k].bits == 8 ? 255.f : 65535.f;
        for (int64_t i = 0; i < kinds[k].channels * H * W; i++) {
            float clipped = pixels[i] < 0 ? 0 : pixels[i] > 1 ? 1 : pixels[i];
            float want = kinds[k].bits == 32 ? pixels[i] : floorf(clipped * top + .5f) / top;
            if (back.values[i] != want)
                fail_msg("%s: value %lld is %.9g, expected %.9g", kinds[k].name, (long long)i, (double)back.values[i], (double)want);
        }
        swg_image_pixels_free(ctx, &back);
        files++;
    }
    scratch_close(&s, ctx, files);
    if (!files)
        skip();
}

/* An image of 10.8 MB as floats, windows of 64 rows that overlap by 16: the context holds less than a megabyte, also while it is written. */
static void bounded_memory(void **state) {
    swg_context *ctx = *state;
    static const char *const names[] = {"a.png", "a.tif"};
    enum { H = 3000, W = 300, BAND = 64, STEP = 48 };
    static float band[3 * BAND * W];
    scratch s;
    size_t files = 0;
    scratch_open(&s);
    for (int k = 0; k < 2; k++) {
        swg_image_writer *writer;
        swg_image *image;
        if (!readable(names[k]))
            continue;
        assert_ok(ctx, swg_image_create(ctx, scratch_path(&s, names[k]), 3, H, W, NULL, &writer));
        for (int64_t y = 0; y < H; y++) {
            for (int64_t i = 0; i < 3 * W; i++)
                band[i] = (float)u8_at(i / W, y, i % W) / 255.f;
            assert_ok(ctx, swg_image_append(writer, band, 1));
        }
        assert_true(swg_context_bytes(ctx) < 1 << 20);
        assert_ok(ctx, swg_image_finish(writer));
        assert_ok(ctx, swg_image_open(ctx, scratch_path(&s, names[k]), NULL, &image));
        for (int64_t y = 0; y + BAND <= H; y += STEP) {
            assert_ok(ctx, swg_image_read_rows(image, y, BAND, band));
            for (int64_t i = 0; i < 3 * BAND * W; i += 97)
                assert_true(band[i] == (float)u8_at(i / (BAND * W), y + i / W % BAND, i % W) / 255.f);
            assert_true(swg_context_bytes(ctx) < 1 << 20);
        }
        swg_image_close(image);
        files++;
    }
    scratch_close(&s, ctx, files);
}

static void writer_refusals(void **state) {
    swg_context *ctx = *state;
    if (!has("libpng") || !has("libtiff"))
        skip();
    scratch s;
    scratch_open(&s);
    swg_image_writer *writer;
    const float row[6] = {0, 1, .5f, NAN, 0, 0};
    static const char *const names[] = {"x.png", "x.tif"};
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x.jpg"), 1, 1, 1, NULL, &writer), SWG_EINVAL);
    assert_message(ctx, ".png, .tif or .tiff");
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x.png"), 2, 1, 1, NULL, &writer), SWG_EINVAL);
    assert_message(ctx, "PNG takes 1 or 3");
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x.png"), 1, 1, 1, &(swg_image_write_opts){.bits = 32}, &writer), SWG_EINVAL);
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x.tif"), 1, 1, 1, &(swg_image_write_opts){.bits = 12}, &writer), SWG_EINVAL);
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x.tif"), 1, 0, 1, NULL, &writer), SWG_EINVAL);
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "x"), 1, 1, 1, &(swg_image_write_opts){.format = "gif"}, &writer), SWG_EINVAL);
    assert_int_equal(swg_image_create(ctx, scratch_path(&s, "none/x.png"), 1, 1, 1, NULL, &writer), SWG_ENOTFOUND);
    for (int i = 0; i < 2; i++) { /* too many rows, too few, NaN, given up: no file each time */
        assert_ok(ctx, swg_image_create(ctx, scratch_path(&s, names[i]), 1, 2, 3, NULL, &writer));
        assert_ok(ctx, swg_image_append(writer, row, 1));
        assert_int_equal(swg_image_append(writer, row, 2), SWG_EINVAL);
        assert_int_equal(swg_image_append(writer, row + 3, 1), SWG_ENONFINITE);
        assert_message(ctx, "row 1, column 0 is NaN");
        assert_int_equal(swg_image_finish(writer), SWG_EINVAL);
        assert_message(ctx, "1 of 2 rows");
        assert_ok(ctx, swg_image_create(ctx, scratch_path(&s, names[i]), 1, 2, 3, NULL, &writer));
        swg_image_abort(writer);
    }
    scratch_close(&s, ctx, 0);
}

/* ---- memory ---- */

static swg_status read_and_write(swg_context *ctx, const char *in, const char *out) {
    swg_image_pixels pixels;
    swg_status status = swg_image_read(ctx, in, &(swg_image_opts){.channels = 3}, &pixels, NULL);
    if (status == SWG_OK)
        status = swg_image_write(ctx, out, 3, pixels.height, pixels.width, pixels.values, NULL);
    swg_image_pixels_free(ctx, &pixels);
    return status;
}

static void allocation_failures(void **state) {
    (void)state;
    static const char *const files[][2] = {{"interlaced.png", "x.png"}, {"rgb8.png", "x.png"}, {"palette8.tif", "x.tif"}, {"rgb8_tiled.tif", "x.tif"}};
    for (int f = 0; f < 4; f++) {
        if (!readable(files[f][0]))
            continue;
        scratch s;
        scratch_open(&s);
        bool done = false;
        size_t written = 0;
        for (int64_t n = 0; n < 200 && !done; n++) {
            testing_allocator counter = {.fail_at = n};
            swg_context *ctx;
            if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &counter}}, &ctx) != SWG_OK)
                continue;
            swg_status status = read_and_write(ctx, fixture(files[f][0]), scratch_path(&s, files[f][1]));
            done = counter.calls <= n;
            if (done)
                assert_ok(ctx, status);
            else if (status == SWG_OK) /* libpng may do without */
                written = 1;
            else if (status != SWG_ENOMEM && status != SWG_ECORRUPT) /* libpng tells a lack of memory as any error */
                fail_msg("%s, allocation %lld: %s", files[f][0], (long long)n, swg_context_message(ctx));
            assert_int_equal(swg_context_bytes(ctx), 0);
            swg_context_close(ctx);
            assert_int_equal(counter.live, 0);
        }
        assert_true(done);
        (void)written;
        swg_context *ctx;
        assert_int_equal(swg_context_open(NULL, &ctx), SWG_OK);
        scratch_close(&s, ctx, 1);
        swg_context_close(ctx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(windows, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(stored_numbers, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(jpeg_in_tiff, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(without_library, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(floats, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(round_trip, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bounded_memory, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(writer_refusals, testing_open, testing_close),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
