/* test_stack.c - proves: every stack of tests/golden/make_stacks.py has the axes it was written with and gives the numbers of its formula, whole
 * and in boxes; label ids are exact; what must be refused is refused with a message that says why and what to do.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "scratch.h"
#include "swage/data.h"
#include "swage/features.h"
#include "swage/stack.h"

static bool has(const char *library) {
    const swg_feature *feature;
    for (int64_t i = 0; (feature = swg_feature_at(i)); i++)
        if (strcmp(feature->name, library) == 0)
            return feature->version != NULL;
    return false;
}

static bool readable(const char *file) { return strstr(file, ".npy") || has(strstr(file, ".png") ? "libpng" : "libtiff"); }

static const char *fixture(const char *file) {
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/fuzz_stack/%s", SWG_SOURCE_DIR, file);
    return path;
}

/* ---- the formula of make_stacks.py ---- */

typedef enum { U8, U16, I8, I16, I32, U32, REAL, HALF, BOOL, INDEX } formula;

static double expected(formula f, int64_t t, int64_t c, int64_t z, int64_t y, int64_t x) {
    const int64_t v = 5077 * t + 1723 * c + 631 * z + 37 * y + 11 * x + 3;
    switch (f) {
    case U8: return (double)(v % 256);
    case U16: return (double)(7 * v % 65536);
    case I8: return (double)(v % 256 - 128);
    case I16: return (double)(v - 1000);
    case I32: return (double)(1000 * v - 5000000);
    case U32: return (double)(float)(v + 16777217);
    case REAL: return (double)v / 8 - 100;
    case HALF: return (double)(v % 1024) / 8;
    case BOOL: return (double)(v % 256 % 2);
    case INDEX: return (double)(v % 256 % 16);
    }
    return NAN;
}

static const struct {
    const char *file, *layout;
    formula formula;
    int64_t t, c, z, y, x;
    swg_element element;
    const char *format, *compression, *order, *order_from;
} good[] = {
    {"ome_tczyx.tif", NULL, U16, 2, 3, 4, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "TCZYX", "OME-XML"},
    {"ome_tzcyx.tif", NULL, U16, 2, 3, 4, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "TZCYX", "OME-XML"},
    {"ome_cztyx.tif", NULL, U16, 2, 3, 4, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "CZTYX", "OME-XML"},
    {"ome_ztcyx.tif", NULL, U16, 2, 3, 4, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "ZTCYX", "OME-XML"},
    {"ome_ztcyx.tif", "ZT2C3YX", U16, 2, 3, 4, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "ZTCYX", "layout"},
    {"ome_big_tiles.tif", NULL, U16, 1, 2, 2, 20, 19, SWG_ELEMENT_U16, "BigTIFF", "deflate", "TCZYX", "OME-XML"},
    {"ome_rgb.tif", NULL, U8, 1, 3, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "TZCYXS", "OME-XML"},
    {"ome_mapped.tif", NULL, U8, 1, 2, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "TCZYX", "OME-XML"},
    {"ome_prefix.tif", NULL, U8, 1, 2, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "TCZYX", "OME-XML"},
    {"ome_renamed.tif", NULL, U8, 1, 1, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "TCZYX", "OME-XML"},
    {"ome_two_images.tif", NULL, U8, 1, 1, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "TCZYX", "OME-XML"},
    {"imagej_hyper.tif", NULL, U16, 2, 3, 2, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "TZCYX", "ImageJ"},
    {"imagej_one_ifd.tif", NULL, U16, 2, 3, 2, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "TZCYX", "ImageJ"},
    {"imagej_one_ifd.tif", "T2ZC3YX", U16, 2, 3, 2, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "TZCYX", "layout"},
    {"imagej_f32.tif", NULL, REAL, 1, 1, 3, 5, 7, SWG_ELEMENT_F32, "TIFF", "none", "ZYX", "ImageJ"},
    {"imagej_rgb.tif", NULL, U8, 1, 3, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "ZYXS", "ImageJ"},
    {"bad_imagej_images.tif", "CZ2YX", U8, 1, 2, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "CZYX", "layout"},
    {"shaped_zyx_be.tif", NULL, U16, 1, 1, 3, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "ZYX", "tifffile"},
    {"shaped_axes.tif", NULL, I16, 1, 2, 3, 5, 7, SWG_ELEMENT_I16, "TIFF", "deflate", "CZYX", "tifffile"},
    {"shaped_4d.tif", "c2z3yx", U8, 1, 2, 3, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "CZYX", "layout"},
    {"shaped_truncated.tif", NULL, U16, 1, 2, 3, 5, 7, SWG_ELEMENT_U16, "TIFF", "none", "CZYX", "tifffile"},
    {"shaped_samples.tif", NULL, U16, 1, 3, 2, 5, 7, SWG_ELEMENT_U16, "TIFF", "deflate", "ZYXS", "tifffile"},
    {"pages_i1.tif", NULL, I8, 1, 1, 3, 5, 7, SWG_ELEMENT_I8, "TIFF", "none", "ZYX", "pages"},
    {"pages_i4.tif", NULL, I32, 1, 1, 3, 5, 7, SWG_ELEMENT_I32, "TIFF", "none", "ZYX", "pages"},
    {"pages_u4.tif", NULL, U32, 1, 1, 3, 5, 7, SWG_ELEMENT_U32, "TIFF", "none", "ZYX", "pages"},
    {"pages_f4.tif", NULL, REAL, 1, 1, 3, 5, 7, SWG_ELEMENT_F32, "TIFF", "none", "ZYX", "pages"},
    {"pages_f8.tif", NULL, REAL, 1, 1, 3, 5, 7, SWG_ELEMENT_F64, "TIFF", "none", "ZYX", "pages"},
    {"pages_lzw.tif", NULL, U8, 1, 1, 3, 5, 7, SWG_ELEMENT_U8, "TIFF", "lzw", "ZYX", "pages"},
    {"pages_packbits.tif", NULL, U8, 1, 1, 3, 5, 7, SWG_ELEMENT_U8, "TIFF", "packbits", "ZYX", "pages"},
    {"planes.tif", NULL, U8, 1, 3, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "deflate", "ZSYX", "pages"},
    {"planes.tif", "ZYXC", U8, 1, 3, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "deflate", "ZSYX", "layout"},
    {"samples_tiles.tif", NULL, U16, 1, 4, 2, 18, 17, SWG_ELEMENT_U16, "TIFF", "deflate", "ZYXS", "pages"},
    {"rgba.tif", NULL, U8, 1, 3, 1, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "YXS", "pages"},
    {"palette.tif", NULL, U8, 1, 1, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "ZYX", "pages"},
    {"copies.tif", NULL, U8, 1, 1, 2, 5, 7, SWG_ELEMENT_U8, "TIFF", "none", "ZYX", "pages"},
    {"yx_u1.npy", NULL, U8, 1, 1, 1, 5, 7, SWG_ELEMENT_U8, "NPY", "none", "YX", "rank"},
    {"yx_bool.npy", NULL, BOOL, 1, 1, 1, 5, 7, SWG_ELEMENT_U8, "NPY", "none", "YX", "rank"},
    {"czyx_f4_be.npy", NULL, REAL, 1, 2, 3, 5, 7, SWG_ELEMENT_F32, "NPY", "none", "CZYX", "rank"},
    {"czyx_u4.npy", NULL, U32, 1, 2, 2, 5, 7, SWG_ELEMENT_U32, "NPY", "none", "CZYX", "rank"},
    {"czyx_i8.npy", NULL, I32, 1, 1, 2, 5, 7, SWG_ELEMENT_I64, "NPY", "none", "CZYX", "rank"},
    {"czyx_f2.npy", NULL, HALF, 1, 2, 2, 5, 7, SWG_ELEMENT_F32, "NPY", "none", "CZYX", "rank"},
    {"czyx_f8.npy", NULL, REAL, 1, 2, 2, 5, 7, SWG_ELEMENT_F64, "NPY", "none", "CZYX", "rank"},
    {"zyx_u2.npy", "ZYX", U16, 1, 1, 3, 5, 7, SWG_ELEMENT_U16, "NPY", "none", "ZYX", "layout"},
    {"yxc_u1.npy", "Y5XC3", U8, 1, 3, 1, 5, 7, SWG_ELEMENT_U8, "NPY", "none", "YXC", "layout"},
    {"tczyx_i4.npy", "BCZYX", I32, 2, 3, 2, 5, 7, SWG_ELEMENT_I32, "NPY", "none", "TCZYX", "layout"},
    {"grey16.png", NULL, U16, 1, 1, 1, 5, 7, SWG_ELEMENT_U16, "PNG", "deflate", "YX", "image"},
    {"rgba8.png", NULL, U8, 1, 3, 1, 5, 7, SWG_ELEMENT_U8, "PNG", "deflate", "YXS", "image"},
    {"palette4.png", NULL, INDEX, 1, 1, 1, 5, 7, SWG_ELEMENT_U8, "PNG", "deflate", "YX", "image"},
};
enum { GOOD = sizeof good / sizeof *good, MOST = 4 * 3 * 20 * 19 };

static swg_stack *open_good(swg_context *ctx, int g) {
    swg_stack *stack;
    swg_status status = swg_stack_open(ctx, fixture(good[g].file), &(swg_stack_opts){.layout = good[g].layout}, &stack);
    if (status != SWG_OK)
        fail_msg("%s gave %s: %s", good[g].file, swg_status_name(status), swg_context_message(ctx));
    return stack;
}

static void check(int g, const swg_stack_box *box, const float *values) {
    const int64_t volume = box->d * box->h * box->w;
    for (int64_t i = 0; i < box->channel_count * volume; i++) {
        const int64_t c = box->channels ? box->channels[i / volume] : i / volume;
        const int64_t z = box->z + i / (box->h * box->w) % box->d, y = box->y + i / box->w % box->h, x = box->x + i % box->w;
        const double want = expected(good[g].formula, box->t, c, z, y, x);
        if ((double)values[i] != want)
            fail_msg("%s: t %lld, c %lld, z %lld, y %lld, x %lld is %.9g, expected %.9g", good[g].file, (long long)box->t, (long long)c, (long long)z, (long long)y,
                     (long long)x, (double)values[i], want);
    }
}

static void every_kind(void **state) {
    swg_context *ctx = *state;
    static float values[MOST];
    for (int g = 0; g < GOOD; g++) {
        if (!readable(good[g].file))
            continue;
        swg_stack *stack = open_good(ctx, g);
        const swg_stack_info *i = swg_stack_about(stack);
        if (i->t != good[g].t || i->c != good[g].c || i->z != good[g].z || i->y != good[g].y || i->x != good[g].x || i->element != good[g].element ||
            strcmp(i->format, good[g].format) != 0 || strcmp(i->compression, good[g].compression) != 0 || strcmp(i->order, good[g].order) != 0 ||
            strcmp(i->order_from, good[g].order_from) != 0)
            fail_msg("%s: %lld %lld %lld %lld %lld, %s, %s, %s, %s of %s", good[g].file, (long long)i->t, (long long)i->c, (long long)i->z, (long long)i->y,
                     (long long)i->x, swg_element_name(i->element), i->format, i->compression, i->order, i->order_from);
        for (int64_t t = 0; t < i->t; t++) {
            swg_stack_box box = {.t = t};
            assert_ok(ctx, swg_stack_settle(stack, &box));
            assert_ok(ctx, swg_stack_read(stack, &box, values));
            check(g, &box, values);
        }
        swg_stack_close(stack);
    }
}

/* Boxes all over, of channels in any order and repeated. */
static void boxes(void **state) {
    swg_context *ctx = *state;
    static float values[2 * MOST];
    for (int g = 0; g < GOOD; g++) {
        if (!readable(good[g].file))
            continue;
        swg_stack *stack = open_good(ctx, g);
        for (int64_t i = 0; i < 40; i++) {
            const int channels[4] = {(int)((i + 2) % good[g].c), (int)(i * 5 % good[g].c), (int)(i % good[g].c), (int)(i * 5 % good[g].c)};
            swg_stack_box box = {.t = i % good[g].t, .channels = channels, .channel_count = 1 + (int)(i % 4), .z = i * 3 % good[g].z, .y = i * 7 % good[g].y, .x = i * 5 % good[g].x};
            box.d = 1 + i % (good[g].z - box.z);
            box.h = 1 + i * 3 % (good[g].y - box.y);
            box.w = 1 + i * 11 % (good[g].x - box.x);
            assert_ok(ctx, swg_stack_read(stack, &box, values));
            check(g, &box, values);
        }
        swg_stack_close(stack);
    }
}

/* ---- what else is told ---- */

static void sizes_and_names(void **state) {
    swg_context *ctx = *state;
    swg_stack *stack;
    if (!has("libtiff"))
        skip();
    assert_ok(ctx, swg_stack_open(ctx, fixture("ome_tczyx.tif"), NULL, &stack));
    const swg_stack_info *info = swg_stack_about(stack);
    assert_true(info->size_um[0] == 2 && info->size_um[1] == .5 && info->size_um[2] == .25 && info->interval_s == 1.5);
    assert_string_equal(swg_stack_channel(stack, 0), "DNA");
    assert_string_equal(swg_stack_channel(stack, 1), "a < b & \"c\"");
    assert_string_equal(swg_stack_channel(stack, 2), "\xc2\xb5-tubule");
    assert_null(swg_stack_channel(stack, 3));
    assert_null(swg_stack_channel(stack, -1));
    assert_int_equal(info->pages, 24);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("ome_mapped.tif"), NULL, &stack));
    info = swg_stack_about(stack);
    assert_true(info->size_um[0] == 0 && info->size_um[1] == 0 && info->interval_s == 120);
    assert_close(info->size_um[2], .065, 0, 1e-15);
    assert_string_equal(swg_stack_channel(stack, 0), "\xc2\xb5&\xc2\xb5");
    assert_null(swg_stack_channel(stack, 1));
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("imagej_hyper.tif"), NULL, &stack));
    info = swg_stack_about(stack);
    assert_true(info->size_um[0] == 1.5 && info->size_um[1] == .5 && info->size_um[2] == .25 && info->interval_s == 10);
    assert_true(info->big_endian && !info->tiled && !info->alpha_dropped && !info->palette);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("ome_two_images.tif"), NULL, &stack));
    assert_int_equal(swg_stack_about(stack)->images_left_out, 1);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("copies.tif"), NULL, &stack));
    assert_int_equal(swg_stack_about(stack)->images_left_out, 2);
    assert_int_equal(swg_stack_about(stack)->pages, 4);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("rgba.tif"), NULL, &stack));
    assert_true(swg_stack_about(stack)->alpha_dropped);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("palette.tif"), NULL, &stack));
    assert_true(swg_stack_about(stack)->palette);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("samples_tiles.tif"), NULL, &stack));
    assert_true(swg_stack_about(stack)->tiled);
    swg_stack_close(stack);
}

/* Planes that OME-XML says are in another file of a set. */
static void missing_planes(void **state) {
    swg_context *ctx = *state;
    swg_stack *stack;
    float values[2 * 2 * 35];
    const int first = 0;
    if (!has("libtiff"))
        skip();
    assert_ok(ctx, swg_stack_open(ctx, fixture("ome_missing.tif"), NULL, &stack));
    assert_int_equal(swg_stack_about(stack)->planes_missing, 2);
    assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.channels = &first, .channel_count = 1}, values));
    assert_true((double)values[35] == expected(U8, 0, 0, 1, 0, 0));
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){0}, values), SWG_ENOTFOUND);
    assert_message(ctx, "ome_missing.tif", "channel 1, z 0 is in another file");
    swg_stack_close(stack);
}

static void labels(void **state) {
    swg_context *ctx = *state;
    swg_stack *stack;
    int32_t ids[3 * 35];
    assert_ok(ctx, swg_stack_open(ctx, fixture("yx_labels.npy"), NULL, &stack));
    assert_ok(ctx, swg_stack_read_labels(stack, &(swg_stack_box){0}, ids));
    static const int32_t want[] = {0, 65536, 16777217, 2147483647, 1, 2};
    assert_memory_equal(ids, want, sizeof want);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("yx_bad_labels.npy"), NULL, &stack));
    assert_int_equal(swg_stack_read_labels(stack, &(swg_stack_box){0}, ids), SWG_EINVAL);
    assert_message(ctx, "yx_bad_labels.npy", "channel 0, z 0, y 1, x 0 is -1");
    assert_ok(ctx, swg_stack_read_labels(stack, &(swg_stack_box){.x = 1}, ids));
    assert_int_equal(ids[1], 2);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("yx_bad_float_labels.npy"), NULL, &stack));
    assert_int_equal(swg_stack_read_labels(stack, &(swg_stack_box){0}, ids), SWG_EINVAL);
    assert_message(ctx, "y 1, x 0 is 1.5", "whole numbers");
    swg_stack_close(stack);
    if (!has("libtiff"))
        return;
    assert_ok(ctx, swg_stack_open(ctx, fixture("pages_u4.tif"), NULL, &stack));
    assert_ok(ctx, swg_stack_read_labels(stack, &(swg_stack_box){0}, ids));
    for (int i = 0; i < 3 * 35; i++)
        assert_int_equal(ids[i], 16777217 + 631 * (i / 35) + 37 * (i / 7 % 5) + 11 * (i % 7) + 3);
    swg_stack_close(stack);
}

static void nonfinite(void **state) {
    swg_context *ctx = *state;
    swg_stack *stack;
    float values[70];
    int32_t ids[70];
    if (!has("libtiff"))
        skip();
    assert_ok(ctx, swg_stack_open(ctx, fixture("nan.tif"), NULL, &stack));
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){0}, values), SWG_ENONFINITE);
    assert_message(ctx, "nan.tif", "2 values are NaN", "channel 0, z 1, y 2, x 3 (nan)", "data.nonfinite=zero");
    assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.d = 1}, values));
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("nan.tif"), &(swg_stack_opts){.nonfinite = "zero"}, &stack));
    assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){0}, values));
    assert_int_equal(swg_stack_about(stack)->nonfinite, 2);
    for (int i = 0; i < 70; i++)
        assert_true((double)values[i] == (i == 35 + 17 || i == 69 ? 0 : expected(REAL, 0, 0, i / 35, i / 7 % 5, i % 7)));
    assert_int_equal(swg_stack_read_labels(stack, &(swg_stack_box){0}, ids), SWG_EINVAL);
    swg_stack_close(stack);
    assert_ok(ctx, swg_stack_open(ctx, fixture("beyond.tif"), NULL, &stack));
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){0}, values), SWG_ENONFINITE);
    assert_message(ctx, "1 value is NaN, infinite or beyond 32 bits", "y 1, x 1 (1e+300)");
    swg_stack_close(stack);
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    swg_context *ctx = *state;
    static const struct {
        const char *file, *layout;
        swg_status status;
        const char *words;
    } bad[] = {
        {"none.tif", NULL, SWG_ENOTFOUND, "cannot open"},
        {"bad_text.tif", NULL, SWG_EFORMAT, "neither TIFF, PNG, NPY nor HDF5"},
        {"bad_nothing.tif", NULL, SWG_EFORMAT, "the file is empty"},
        {"bad_loop.tif", NULL, SWG_ECORRUPT, "lead back"},
        {"bad_chain.tif", NULL, SWG_ECORRUPT, "breaks behind page 3"},
        {"bad_cut.tif", NULL, SWG_ECORRUPT, "damaged or cut short"},
        {"bad_deflate.tif", NULL, SWG_ECORRUPT, "damaged or cut short"},
        {"bad_mixed.tif", NULL, SWG_ESHAPE, "page 1 has another size"},
        {"bad_shaped.tif", NULL, SWG_EFORMAT, "not that of the pages; say the axes by layout"},
        {"shaped_4d.tif", NULL, SWG_EFORMAT, "say the axes by layout"},
        {"shaped_4d.tif", "CZYX", SWG_EINVAL, "extents of C and Z are not told"},
        {"shaped_4d.tif", "C4ZYX", SWG_EINVAL, "does not fit a file of 6 planes"},
        {"shaped_4d.tif", "YX", SWG_EINVAL, "does not fit a file of 6 planes"},
        {"shaped_4d.tif", "C2Z3YX8", SWG_EINVAL, "axis X has extent 7"},
        {"shaped_4d.tif", "ZXY", SWG_EINVAL, "end in YX or YXC"},
        {"shaped_4d.tif", "ZZYX", SWG_EINVAL, "once at most"},
        {"shaped_4d.tif", "QYX", SWG_EINVAL, "each of the letters"},
        {"shaped_4d.tif", "C0YX", SWG_EINVAL, "extent of C is 0"},
        {"shaped_4d.tif", "C99999999999999999999YX", SWG_EINVAL, "too large"},
        {"bad_imagej_cut.tif", NULL, SWG_ECORRUPT, "12 planes do not fit"},
        {"bad_imagej_images.tif", NULL, SWG_EFORMAT, "4 images, as 1 times, 1 slices and 3 channels"},
        {"bad_imagej_pages.tif", NULL, SWG_ECORRUPT, "8 images, the file has 4"},
        {"bad_imagej_number.tif", NULL, SWG_ECORRUPT, "slices=x4"},
        {"bad_ome_size.tif", NULL, SWG_ECORRUPT, "8 x 5 pixels, the pages have 7 x 5"},
        {"bad_ome_many.tif", NULL, SWG_ECORRUPT, "2 channels and 20 slices, the file has 4 pages"},
        {"bad_ome_ifd.tif", NULL, SWG_ECORRUPT, "page 6, the file has 4"},
        {"bad_ome_first.tif", NULL, SWG_ECORRUPT, "begins outside the image"},
        {"bad_ome_number.tif", NULL, SWG_ECORRUPT, "SizeZ is \"-2\""},
        {"bad_ome_order.tif", NULL, SWG_ECORRUPT, "DimensionOrder"},
        {"bad_ome_cut.tif", NULL, SWG_ECORRUPT, "not well formed"},
        {"bad_ome_none.tif", NULL, SWG_EFORMAT, "does not describe an image; say the axes by layout"},
        {"bad_ome_elsewhere.tif", NULL, SWG_EFORMAT, "all planes are in other files"},
        {"zyx_u2.npy", NULL, SWG_EFORMAT, "3 x 5 x 7 may be slices or channels of an image; say which by layout: ZYX, CYX"},
        {"zyx_u2.npy", "YX", SWG_EINVAL, "has 2 axes, the array 3"},
        {"zyx_u2.npy", "Z4YX", SWG_EINVAL, "axis Z of the array has extent 3"},
        {"tczyx_i4.npy", NULL, SWG_EFORMAT, "as TCZYX"},
        {"bad_fortran.npy", NULL, SWG_EUNSUPPORTED, "Fortran order"},
        {"bad_complex.npy", NULL, SWG_EDTYPE, "'<c8'"},
        {"bad_rank.npy", NULL, SWG_ESHAPE, "an array of 1 axes"},
        {"bad_empty.npy", NULL, SWG_ESHAPE, "the stack is empty"},
        {"bad_cut.npy", NULL, SWG_ECORRUPT, "34 bytes of numbers, 35 are expected"},
        {"bad_head.npy", NULL, SWG_ECORRUPT, "the head ends too early"},
        {"bad_shape.npy", NULL, SWG_ECORRUPT, "shape is not told"},
        {"bad_large.npy", NULL, SWG_ECORRUPT, "3500000 are expected"},
        {"rgba8.png", "CYX", SWG_EINVAL, "a PNG is YX, or YXC"},
    };
    static float values[MOST];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!readable(bad[i].file))
            continue;
        swg_stack *stack;
        swg_status status = swg_stack_open(ctx, fixture(bad[i].file), &(swg_stack_opts){.layout = bad[i].layout}, &stack);
        if (status == SWG_OK)
            status = swg_stack_read(stack, &(swg_stack_box){0}, values);
        if (status != bad[i].status || !strstr(swg_context_message(ctx), bad[i].words) || !strstr(swg_context_message(ctx), bad[i].file))
            fail_msg("%s with layout %s gave %s: %s", bad[i].file, bad[i].layout ? bad[i].layout : "-", swg_status_name(status), swg_context_message(ctx));
        swg_stack_close(stack);
    }
}

static void bad_calls(void **state) {
    swg_context *ctx = *state;
    swg_stack *stack;
    float values[512];
    const int wrong[] = {0, 2}, below = -1;
    assert_int_equal(swg_stack_open(ctx, SWG_SOURCE_DIR, NULL, &stack), SWG_EIO);
    assert_null(stack);
    assert_int_equal(swg_stack_open(ctx, fixture("yx_u1.npy"), &(swg_stack_opts){.nonfinite = "no"}, &stack), SWG_EINVAL);
    assert_message(ctx, "data.nonfinite=no", "error or zero");
    assert_int_equal(swg_stack_open(ctx, fixture("yx_u1.npy"), &(swg_stack_opts){.max_bytes = -1}, &stack), SWG_EINVAL);
    assert_int_equal(swg_stack_open(ctx, fixture("yx_u1.npy"), &(swg_stack_opts){.max_bytes = 6}, &stack), SWG_ESHAPE);
    assert_ok(ctx, swg_stack_open(ctx, fixture("czyx_f8.npy"), NULL, &stack));
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){.channels = wrong, .channel_count = 2}, values), SWG_EINVAL);
    assert_message(ctx, "czyx_f8.npy", "channel 2: the stack has 2 channels, counted from 0");
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){.channels = &below, .channel_count = 1}, values), SWG_EINVAL);
    assert_int_equal(swg_stack_read(stack, &(swg_stack_box){.channels = wrong, .channel_count = 0}, values), SWG_EINVAL);
    static const swg_stack_box outside[] = {{.t = 1}, {.t = -1}, {.z = 2}, {.z = -1}, {.z = 1, .d = 2}, {.y = 4, .h = 2}, {.x = 7}, {.w = 8}, {.h = -1}, {.x = INT64_MAX, .w = INT64_MAX}};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_int_equal(swg_stack_read(stack, &outside[i], values), SWG_EINVAL);
    assert_message(ctx, "is not inside 0 .. 6");
    swg_stack_box box = {.z = 1, .x = 3};
    assert_ok(ctx, swg_stack_settle(stack, &box));
    assert_true(box.d == 1 && box.h == 5 && box.w == 4 && box.channel_count == 2);
    swg_stack_close(stack);
    swg_stack_close(NULL);
}

/* ---- memory, large planes ---- */

/* Planes of more than one band (8 MiB), rows that the bands cut, and a sum of products that 32 bits do not hold. */
static void large_planes(void **state) {
    swg_context *ctx = *state;
    enum { H = 1500, W = 3001 };
    scratch s;
    if (!has("libtiff"))
        skip();
    scratch_open(&s);
    uint16_t *plane = malloc(sizeof *plane * H * W);
    float *values = malloc(sizeof *values * 2 * H * W);
    swg_stack_writer *writer;
    for (int deflate = 0; deflate < 2; deflate++) {
        assert_ok(ctx, swg_stack_create(ctx, scratch_path(&s, "a.tif"), 1, 2, 2, H, W, &(swg_stack_write_opts){.element = SWG_ELEMENT_U16, .deflate = deflate}, &writer));
        for (int k = 0; k < 4; k++) {
            for (int64_t i = 0; i < (int64_t)H * W; i++)
                plane[i] = (uint16_t)(i * 40503 % 65521 + k);
            assert_ok(ctx, swg_stack_append(writer, plane, 1));
        }
        assert_ok(ctx, swg_stack_finish(writer));
        swg_stack *stack;
        assert_ok(ctx, swg_stack_open(ctx, scratch_path(&s, "a.tif"), NULL, &stack));
        const int second = 1;
        assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){.channels = &second, .channel_count = 1, .y = 1}, values));
        for (int64_t i = 0; i < (int64_t)2 * (H - 1) * W; i++) {
            const int64_t at = i % ((int64_t)(H - 1) * W) + W;
            const float want = (float)(uint16_t)(at * 40503 % 65521 + 2 + i / ((int64_t)(H - 1) * W));
            if (values[i] != want)
                fail_msg("%s: value %lld is %g, expected %g", deflate ? "deflate" : "none", (long long)i, (double)values[i], (double)want);
        }
        swg_stack_close(stack);
    }
    free(plane);
    free(values);
    scratch_close(&s, ctx, 1);
}

/* Every allocation that fails leaves nothing behind, and the message says so. */
static void starved(void **state) {
    (void)state;
    static const char *const files[] = {"ome_mapped.tif", "ome_tzcyx.tif", "imagej_one_ifd.tif", "samples_tiles.tif", "shaped_axes.tif", "yxc_u1.npy", "rgba8.png"};
    static float values[MOST];
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        if (!readable(files[f]))
            continue;
        swg_status status = SWG_ENOMEM;
        for (int64_t fail_at = 1; status == SWG_ENOMEM; fail_at++) {
            testing_allocator allocator = {.fail_at = -1};
            swg_context *ctx;
            assert_int_equal(swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &ctx), SWG_OK);
            allocator.fail_at = allocator.calls + fail_at - 1;
            swg_stack *stack;
            status = swg_stack_open(ctx, fixture(files[f]), &(swg_stack_opts){.layout = strcmp(files[f], "yxc_u1.npy") == 0 ? "YXC" : NULL}, &stack);
            if (status == SWG_OK)
                status = swg_stack_read(stack, &(swg_stack_box){0}, values);
            swg_stack_close(stack);
            if (status != SWG_OK)
                assert_message(ctx, files[f]);
            assert_true(status == SWG_OK || status == SWG_ENOMEM);
            assert_true(swg_context_bytes(ctx) == 0);
            swg_context_close(ctx);
            assert_int_equal(allocator.live, 0);
        }
        assert_int_equal(status, SWG_OK);
    }
}

/* ---- HDF5 ---- */

static void hdf5(void **state) {
    swg_context *ctx = *state;
    scratch s;
    swg_sink *sink;
    swg_stack *stack;
    char name[600];
    static uint16_t numbers[2 * 3 * 5 * 7];
    float values[2 * 3 * 35];
    scratch_open(&s);
    for (int i = 0; i < 210; i++)
        numbers[i] = (uint16_t)expected(U16, 0, i / 105, i / 35 % 3, i / 7 % 5, i % 7);
    assert_ok(ctx, swg_sink_open(ctx, scratch_path(&s, "a:b.h5"), &sink));
    assert_ok(ctx, swg_sink_put(sink, "raw/czyx", SWG_ELEMENT_U16, 4, (int64_t[]){2, 3, 5, 7}, numbers, &(swg_sink_opts){.deflate = 1, .big_endian = true}));
    assert_ok(ctx, swg_sink_put(sink, "zyx", SWG_ELEMENT_U16, 3, (int64_t[]){3, 5, 7}, numbers, NULL));
    assert_ok(ctx, swg_sink_put(sink, "many", SWG_ELEMENT_U8, 6, (int64_t[]){1, 1, 1, 1, 1, 1}, numbers, NULL));
    assert_ok(ctx, swg_sink_put(sink, "none", SWG_ELEMENT_U8, 2, (int64_t[]){0, 4}, numbers, NULL));
    const char *const names[] = {"a"};
    assert_ok(ctx, swg_sink_put_names(sink, "names", names, 1));
    assert_ok(ctx, swg_sink_commit(sink));
    snprintf(name, sizeof name, "%s:/raw/czyx", scratch_path(&s, "a:b.h5"));
    assert_ok(ctx, swg_stack_open(ctx, name, NULL, &stack));
    const swg_stack_info *info = swg_stack_about(stack);
    assert_true(info->t == 1 && info->c == 2 && info->z == 3 && info->y == 5 && info->x == 7 && info->element == SWG_ELEMENT_U16 && info->big_endian && info->tiled);
    assert_string_equal(info->format, "HDF5");
    assert_string_equal(info->compression, "deflate");
    assert_string_equal(info->order, "CZYX");
    const int swapped[] = {1, 0};
    swg_stack_box box = {.channels = swapped, .channel_count = 2, .z = 1, .y = 2, .x = 3};
    assert_ok(ctx, swg_stack_settle(stack, &box));
    assert_ok(ctx, swg_stack_read(stack, &box, values));
    for (int i = 0; i < 2 * 2 * 3 * 4; i++)
        assert_true((double)values[i] == expected(U16, 0, 1 - i / 24, 1 + i / 12 % 2, 2 + i / 4 % 3, 3 + i % 4));
    swg_stack_close(stack);
    snprintf(name, sizeof name, "%s:/zyx", scratch_path(&s, "a:b.h5"));
    assert_int_equal(swg_stack_open(ctx, name, NULL, &stack), SWG_EFORMAT);
    assert_message(ctx, ":/zyx", "by layout: ZYX");
    assert_ok(ctx, swg_stack_open(ctx, name, &(swg_stack_opts){.layout = "CYX"}, &stack));
    assert_int_equal(swg_stack_about(stack)->c, 3);
    assert_ok(ctx, swg_stack_read(stack, &(swg_stack_box){0}, values));
    assert_true((double)values[104] == expected(U16, 0, 0, 2, 4, 6));
    swg_stack_close(stack);
    static const struct {
        const char *dataset;
        swg_status status;
    } bad[] = {{":/there/is/none", SWG_ENOTFOUND}, {":/many", SWG_ESHAPE}, {":/none", SWG_ESHAPE}, {":/names", SWG_EDTYPE}, {"", SWG_EFORMAT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(name, sizeof name, "%s%s", scratch_path(&s, "a:b.h5"), bad[i].dataset);
        swg_status status = swg_stack_open(ctx, name, NULL, &stack);
        if (status != bad[i].status)
            fail_msg("%s gave %s: %s", name, swg_status_name(status), swg_context_message(ctx));
    }
    assert_message(ctx, "name the dataset");
    assert_int_equal(swg_stack_open(ctx, "/there/is/none.h5:/a", NULL, &stack), SWG_ENOTFOUND);
    snprintf(name, sizeof name, "%s:/a", fixture("yx_u1.npy"));
    assert_int_equal(swg_stack_open(ctx, name, NULL, &stack), SWG_EFORMAT);
    assert_message(ctx, "cannot open as HDF5");
    scratch_close(&s, ctx, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(boxes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(sizes_and_names, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(missing_planes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(labels, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(nonfinite, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(refusals, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(bad_calls, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(large_planes, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(hdf5, testing_open, testing_close),
        cmocka_unit_test(starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
