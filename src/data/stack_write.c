/* stack_write.c - stacks to TIFF files with OME-XML: one page a plane, z fastest, then channel, then time.
 * In: planes (y, x). Out: a TIFF or BigTIFF, "PATH.part" until it is complete.
 * Compressed floats are written without differences between neighbours: predictor 3 is not read by all programs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/stack_format.h"

#if SWG_HAVE_TIFF
#include "data/tiff_file.h"

enum { STRIP_BYTES = 256 << 10, PAGE_BYTES = 512 }; /* of a compressed strip; a directory takes less than PAGE_BYTES and 16 bytes a strip */

struct swg_stack_writer {
    swg_context *ctx;
    char *path;
    swg__tiff file;
    swg_stack_write_opts opts;          /* without names */
    int64_t t, c, z, y, x, planes;      /* planes: written */
    uint32_t strip_rows;
    char *description;
    uint8_t *plane;                     /* floats that become integers; NULL until then */
};

/* ---- OME-XML ---- */

static void add_escaped(swg__text *text, const char *value) {
    for (const char *p = value; *p; p++) {
        if (strchr("&<>\"", *p))
            swg__text_puts(text, *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : "&quot;");
        else
            swg__text_add(text, (unsigned char)*p < 32 || *p == 127 ? " " : p, 1);
    }
}

static const char *ome_type(swg_element element) {
    return element == SWG_ELEMENT_U8 ? "uint8" : element == SWG_ELEMENT_U16 ? "uint16" : element == SWG_ELEMENT_U32 ? "uint32" : "float";
}

static swg_status describe(swg_stack_writer *w, const char *const *names) {
    static const char *const axes[] = {"PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"};
    const char *slash = strrchr(w->path, '/');
    swg__text text;
    swg__text_init(&text, w->ctx);
    swg__text_puts(&text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\" "
                          "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"http://www.openmicroscopy.org/Schemas/OME/2016-06 "
                          "http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd\" Creator=\"Swage " SWG_VERSION "\"><Image ID=\"Image:0\" Name=\"");
    add_escaped(&text, slash ? slash + 1 : w->path);
    swg__text_printf(&text, "\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"%s\" SizeX=\"%lld\" SizeY=\"%lld\" SizeZ=\"%lld\" SizeC=\"%lld\" SizeT=\"%lld\"",
                     ome_type(w->opts.element), (long long)w->x, (long long)w->y, (long long)w->z, (long long)w->c, (long long)w->t);
    for (int i = 0; i < 3; i++) /* micrometres are OME's unit where none is told */
        if (w->opts.size_um[i] > 0)
            swg__text_printf(&text, " %s=\"%.15g\"", axes[i], w->opts.size_um[i]);
    if (w->opts.interval_s > 0)
        swg__text_printf(&text, " TimeIncrement=\"%.15g\"", w->opts.interval_s);
    swg__text_puts(&text, ">");
    for (int64_t c = 0; c < w->c; c++) {
        swg__text_printf(&text, "<Channel ID=\"Channel:0:%lld\" SamplesPerPixel=\"1\"", (long long)c);
        if (names && names[c]) {
            swg__text_puts(&text, " Name=\"");
            add_escaped(&text, names[c]);
            swg__text_puts(&text, "\"");
        }
        swg__text_puts(&text, "/>");
    }
    swg__text_printf(&text, "<TiffData IFD=\"0\" PlaneCount=\"%lld\"/></Pixels></Image></OME>", (long long)(w->t * w->c * w->z));
    w->description = text.data; /* ours now */
    return text.failed ? swg__fail_memory(w->ctx, text.length, w->path) : SWG_OK;
}

/* ---- pages ---- */

static swg_status check(const swg_stack_writer *w, const char *const *names) {
    const swg_element e = w->opts.element;
    int64_t row, plane, planes, bytes;
    if (e != SWG_ELEMENT_U8 && e != SWG_ELEMENT_U16 && e != SWG_ELEMENT_U32 && e != SWG_ELEMENT_F32)
        return swg__fail(w->ctx, SWG_EINVAL, "%s: stacks of %s are not written; u8, u16, u32 and f32 are", w->path, swg_element_name(e));
    if (w->t < 1 || w->c < 1 || w->z < 1 || w->y < 1 || w->x < 1 || w->y > INT32_MAX || w->x > INT32_MAX || w->c > 65536 ||
        swg__mul_overflow(w->x, swg_element_bytes(e), &row) || row > ((int64_t)1 << 30) || swg__mul_overflow(row, w->y, &plane) || swg__mul_overflow(w->t, w->c, &planes) ||
        swg__mul_overflow(planes, w->z, &planes) || planes > INT32_MAX || swg__mul_overflow(planes, plane, &bytes) || bytes > (int64_t)1 << 56)
        return swg__fail(w->ctx, SWG_EINVAL, "%s: a stack of %lld times, %lld channels, %lld slices of %lld x %lld pixels cannot be written", w->path, (long long)w->t,
                         (long long)w->c, (long long)w->z, (long long)w->x, (long long)w->y);
    for (int i = 0; i < 4; i++) {
        const double v = i < 3 ? w->opts.size_um[i] : w->opts.interval_s;
        if (!(v >= 0) || isinf(v))
            return swg__fail(w->ctx, SWG_EINVAL, "%s: %g is no size of a voxel and no time between two", w->path, v);
    }
    for (int64_t c = 0; names && c < w->c; c++)
        if (names[c] && !swg__utf8_valid(names[c], strlen(names[c])))
            return swg__fail(w->ctx, SWG_EINVAL, "%s: the name of channel %lld is not UTF-8", w->path, (long long)c);
    return SWG_OK;
}

/* The fields of the page that begins. */
static swg_status begin_page(swg_stack_writer *w) {
    TIFF *tiff = w->file.tiff;
    const swg_element e = w->opts.element;
    bool set = TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)w->x) && TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, (uint32_t)w->y) &&
               TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1) && TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8 * swg_element_bytes(e)) &&
               TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, e == SWG_ELEMENT_F32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT) &&
               TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) && TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT) &&
               TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK) &&
               TIFFSetField(tiff, TIFFTAG_COMPRESSION, w->opts.deflate ? COMPRESSION_ADOBE_DEFLATE : COMPRESSION_NONE) &&
               (!w->opts.deflate || e == SWG_ELEMENT_F32 || TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL)) &&
               TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, w->strip_rows) && (w->planes > 0 || TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, w->description));
    return set ? SWG_OK : swg__tiff_refuse(&w->file, SWG_EUNSUPPORTED, "libtiff refuses the image");
}

static swg_status write_plane(swg_stack_writer *w, const uint8_t *plane) {
    const int64_t row = w->x * swg_element_bytes(w->opts.element);
    SWG__TRY(begin_page(w));
    uint8_t *strip = w->file.scratch; /* libtiff may turn what it is given into differences: a copy */
    for (int64_t y = 0, s = 0; y < w->y; y += w->strip_rows, s++) {
        const int64_t rows = w->y - y < w->strip_rows ? w->y - y : w->strip_rows;
        memcpy(strip, plane + y * row, (size_t)(rows * row));
        if (TIFFWriteEncodedStrip(w->file.tiff, (uint32_t)s, strip, (tmsize_t)(rows * row)) < 0)
            return swg__tiff_refuse(&w->file, SWG_EIO, "cannot write");
    }
    if (TIFFWriteDirectory(w->file.tiff) != 1)
        return swg__tiff_refuse(&w->file, SWG_EIO, "cannot write");
    w->planes++;
    return SWG_OK;
}

static swg_status open_file(swg_stack_writer *w) {
    const int64_t row = w->x * swg_element_bytes(w->opts.element), planes = w->t * w->c * w->z;
    int64_t rows = STRIP_BYTES / row > 1 ? STRIP_BYTES / row : 1;
    w->strip_rows = (uint32_t)(rows < w->y ? rows : w->y);
    const int64_t strips = (w->y + w->strip_rows - 1) / w->strip_rows, bytes = planes * (row * w->y + PAGE_BYTES + 16 * strips);
    w->file = (swg__tiff){.ctx = w->ctx, .name = w->path, .file = {.fd = -1}};
    w->file.scratch_bytes = (size_t)(w->strip_rows * row);
    if (!(w->file.scratch = swg__alloc(w->ctx, w->file.scratch_bytes)))
        return swg__fail_memory(w->ctx, w->file.scratch_bytes, w->path);
    SWG__TRY(swg__writer_open_part(&w->file.file, w->ctx, w->path));
    return swg__tiff_create(&w->file, bytes > (int64_t)15 << 28); /* beyond 3.75 GiB offsets need 64 bits */
}

swg_status swg_stack_create(swg_context *ctx, const char *path, int64_t t, int64_t c, int64_t z, int64_t y, int64_t x, const swg_stack_write_opts *opts,
                            swg_stack_writer **out) {
    *out = NULL;
    swg_stack_writer *w = swg__calloc(ctx, 1, sizeof *w);
    if (!w)
        return swg__fail_memory(ctx, sizeof *w, path);
    *w = (swg_stack_writer){.ctx = ctx, .t = t, .c = c, .z = z, .y = y, .x = x, .path = swg__strdup(ctx, path), .file = {.ctx = ctx, .file = {.fd = -1}}};
    const char *const *names = opts ? opts->channel_names : NULL;
    w->opts = opts ? *opts : (swg_stack_write_opts){0};
    w->opts.channel_names = NULL; /* the caller's, and written at once */
    w->opts.element = w->opts.element ? w->opts.element : SWG_ELEMENT_F32;
    swg_status status = w->path ? check(w, names) : swg__fail_memory(ctx, strlen(path), path);
    if (status == SWG_OK)
        status = describe(w, names);
    if (status == SWG_OK)
        status = open_file(w);
    if (status != SWG_OK) {
        swg_stack_abort(w);
        return status;
    }
    *out = w;
    return SWG_OK;
}

static swg_status check_count(const swg_stack_writer *w, int64_t count) {
    const int64_t all = w->t * w->c * w->z;
    if (count >= 0 && count <= all - w->planes)
        return SWG_OK;
    return swg__fail(w->ctx, SWG_EINVAL, "%s: %lld planes after %lld: the stack has %lld", w->path, (long long)count, (long long)w->planes, (long long)all);
}

swg_status swg_stack_append(swg_stack_writer *writer, const void *planes, int64_t count) {
    const int64_t plane = writer->y * writer->x * swg_element_bytes(writer->opts.element);
    SWG__TRY(check_count(writer, count));
    for (int64_t i = 0; i < count; i++)
        SWG__TRY(write_plane(writer, (const uint8_t *)planes + i * plane));
    return SWG_OK;
}

/* Rounded and clipped into w->plane. */
static swg_status round_plane(swg_stack_writer *w, const float *from) {
    const double top = w->opts.element == SWG_ELEMENT_U8 ? 255 : w->opts.element == SWG_ELEMENT_U16 ? 65535 : 4294967295.;
    for (int64_t i = 0; i < w->y * w->x; i++) {
        if (isnan(from[i]))
            return swg__fail(w->ctx, SWG_ENONFINITE, "%s: plane %lld, y %lld, x %lld is NaN", w->path, (long long)w->planes, (long long)(i / w->x), (long long)(i % w->x));
        const double v = floor((double)from[i] + .5);
        const uint32_t level = (uint32_t)(v < 0 ? 0 : v > top ? top : v);
        if (w->opts.element == SWG_ELEMENT_U8)
            w->plane[i] = (uint8_t)level;
        else if (w->opts.element == SWG_ELEMENT_U16)
            ((uint16_t *)w->plane)[i] = (uint16_t)level;
        else
            ((uint32_t *)w->plane)[i] = level;
    }
    return SWG_OK;
}

swg_status swg_stack_append_f32(swg_stack_writer *writer, const float *planes, int64_t count) {
    const int64_t pixels = writer->y * writer->x;
    if (writer->opts.element == SWG_ELEMENT_F32)
        return swg_stack_append(writer, planes, count);
    SWG__TRY(check_count(writer, count));
    const size_t bytes = (size_t)pixels * (size_t)swg_element_bytes(writer->opts.element);
    if (!writer->plane && !(writer->plane = swg__alloc(writer->ctx, bytes)))
        return swg__fail_memory(writer->ctx, bytes, writer->path);
    for (int64_t i = 0; i < count; i++) {
        SWG__TRY(round_plane(writer, planes + i * pixels));
        SWG__TRY(write_plane(writer, writer->plane));
    }
    return SWG_OK;
}

swg_status swg_stack_finish(swg_stack_writer *writer) {
    const int64_t all = writer->t * writer->c * writer->z;
    swg_status status = writer->planes == all ? swg__tiff_flush(&writer->file)
                                              : swg__fail(writer->ctx, SWG_EINVAL, "%s: %lld of %lld planes were written", writer->path, (long long)writer->planes, (long long)all);
    if (status == SWG_OK)
        status = swg__writer_commit(&writer->file.file);
    swg_stack_abort(writer);
    return status;
}

void swg_stack_abort(swg_stack_writer *writer) {
    if (!writer)
        return;
    swg__tiff_close(&writer->file);
    swg__free(writer->ctx, writer->description);
    swg__free(writer->ctx, writer->plane);
    swg__free(writer->ctx, writer->path);
    swg__free(writer->ctx, writer);
}

#else

swg_status swg_stack_create(swg_context *ctx, const char *path, int64_t t, int64_t c, int64_t z, int64_t y, int64_t x, const swg_stack_write_opts *opts,
                            swg_stack_writer **out) {
    (void)t, (void)c, (void)z, (void)y, (void)x, (void)opts;
    *out = NULL;
    return swg__image_missing(ctx, path, "libtiff");
}

/* No writer is ever made. */
swg_status swg_stack_append(swg_stack_writer *writer, const void *planes, int64_t count) {
    (void)writer, (void)planes, (void)count;
    return SWG_EUNSUPPORTED;
}

swg_status swg_stack_append_f32(swg_stack_writer *writer, const float *planes, int64_t count) { return swg_stack_append(writer, planes, count); }
swg_status swg_stack_finish(swg_stack_writer *writer) { return swg_stack_append(writer, NULL, 0); }
void swg_stack_abort(swg_stack_writer *writer) { (void)writer; }

#endif
