/* image_png.c - PNG through libpng: rows in, rows out.
 * In: a stream. Out: rows of u8 or u16 numbers in native byte order; palettes and fewer than 8 bits expanded.
 * Every call of libpng that can fail runs inside `guarded`: its errors come back as a status.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data/image_format.h"

#if SWG_HAVE_PNG
#include <png.h>
#include <setjmp.h>

typedef struct png_file {
    swg_context *ctx;
    const char *name;
    png_structp png;
    png_infop info;
    jmp_buf jump;
    swg_status status;      /* of a callback of ours that failed; its message stands */
    bool starved;           /* memory was refused in this step */
    char reason[160];       /* what libpng said */
    /* reading */
    swg_image *image;
    int64_t next;           /* row that comes next */
    int passes;             /* over the rows; 7 if interlaced */
    uint8_t *whole;         /* interlaced: all rows */
    uint8_t *row;           /* where the step at hand puts or takes its row */
    /* writing */
    swg_image_writer *writing;
    swg__writer file;
} png_file;

static void on_error(png_structp png, png_const_charp message) {
    png_file *p = png_get_error_ptr(png);
    if (p->status == SWG_OK)
        snprintf(p->reason, sizeof p->reason, "%s", message);
    longjmp(p->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t bytes) {
    png_file *p = png_get_mem_ptr(png);
    png_voidp got = swg__alloc(p->ctx, bytes);
    p->starved = p->starved || !got;
    return got;
}

static void on_free(png_structp png, png_voidp ptr) { swg__free(((png_file *)png_get_mem_ptr(png))->ctx, ptr); }

static swg_status guarded(png_file *p, void (*step)(png_file *)) {
    p->status = SWG_OK;
    p->starved = false;
    if (setjmp(p->jump) == 0) {
        step(p);
        return SWG_OK;
    }
    if (p->status != SWG_OK)
        return p->status;
    if (p->starved)
        return swg__fail_memory(p->ctx, 0, p->name);
    return swg__fail(p->ctx, SWG_ECORRUPT, "%s: damaged or cut short: %s", p->name, p->reason);
}

/* ---- reading ---- */

static void on_read(png_structp png, png_bytep to, size_t bytes) {
    png_file *p = png_get_io_ptr(png);
    int64_t got = swg__stream_read(&p->image->stream, to, (int64_t)bytes);
    if (got < 0) {
        p->status = swg__fail(p->ctx, SWG_EIO, "%s: cannot read", p->name);
        png_error(png, "");
    }
    if (got < (int64_t)bytes)
        png_error(png, "the file ends too early");
}

static void read_head(png_file *p) {
    png_set_read_fn(p->png, p, on_read);
    png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* swg__image_check_size has limits of its own */
    png_read_info(p->png, p->info);
}

static void set_transforms(png_file *p) {
    if (p->image->as_stored)
        png_set_packing(p->png);
    else
        png_set_expand(p->png); /* palettes, 1, 2 and 4 bits, transparency */
    png_set_strip_alpha(p->png);
    uint16_t one = 1;
    uint8_t low;
    memcpy(&low, &one, 1);
    if (low)
        png_set_swap(p->png);
    p->passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
}

static void read_row(png_file *p) { png_read_row(p->png, p->row, NULL); }

static void read_passes(png_file *p) {
    const png_uint_32 height = png_get_image_height(p->png, p->info);
    const size_t row_bytes = png_get_rowbytes(p->png, p->info);
    for (int pass = 0; pass < p->passes; pass++)
        for (png_uint_32 y = 0; y < height; y++)
            png_read_row(p->png, p->whole + y * row_bytes, NULL);
}

/* (Re)opens the decoder at the file's start, with the head read. */
static swg_status begin(png_file *p) {
    png_destroy_read_struct(&p->png, &p->info, NULL);
    p->image->stream.at = 0;
    p->next = 0;
    p->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, p, on_error, on_warning, p, on_alloc, on_free);
    p->info = p->png ? png_create_info_struct(p->png) : NULL;
    if (!p->info)
        return swg__fail_memory(p->ctx, 0, p->name);
    return guarded(p, read_head);
}

/* Deflate makes at most 1032 bytes of one: a head that promises more pixels than the file can hold is refused before any memory is. */
static swg_status check_promise(const swg_image *image, int64_t file_row_bytes) {
    if (image->info.height <= (image->stream.size * 1032 + 65536) / (file_row_bytes + 1))
        return SWG_OK;
    return swg__fail(image->ctx, SWG_ECORRUPT, "%s: damaged or cut short: %lld bytes cannot hold %lld x %lld pixels", image->name,
                     (long long)image->stream.size, (long long)image->info.width, (long long)image->info.height);
}

static swg_status open_png(swg_image *image, int64_t page) {
    swg_context *ctx = image->ctx;
    if (page > 0)
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: page %lld: a PNG file holds one image", image->name, (long long)page);
    png_file *p = swg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return swg__fail_memory(ctx, sizeof *p, image->name);
    *p = (png_file){.ctx = ctx, .name = image->name, .image = image};
    image->state = p;
    SWG__TRY(begin(p));
    const int colour = png_get_color_type(p->png, p->info), bits = png_get_bit_depth(p->png, p->info);
    swg_image_info *info = &image->info;
    info->width = png_get_image_width(p->png, p->info);
    info->height = png_get_image_height(p->png, p->info);
    info->file_channels = png_get_channels(p->png, p->info);
    const bool palette = image->palette = colour == PNG_COLOR_TYPE_PALETTE;
    info->palette_expanded = palette && !image->as_stored;
    info->alpha_dropped = (colour & PNG_COLOR_MASK_ALPHA) || png_get_valid(p->png, p->info, PNG_INFO_tRNS);
    info->whole = png_get_interlace_type(p->png, p->info) != PNG_INTERLACE_NONE;
    info->element = bits == 16 ? SWG_ELEMENT_U16 : SWG_ELEMENT_U8;
    image->samples = image->colours = colour & PNG_COLOR_MASK_COLOR && !(palette && image->as_stored) ? 3 : 1;
    SWG__TRY(swg__image_check_size(image, info->height, info->width, 4, 2)); /* 4: with the alpha that libpng decodes first */
    SWG__TRY(check_promise(image, (int64_t)png_get_rowbytes(p->png, p->info)));
    SWG__TRY(guarded(p, set_transforms));
    const int64_t row_bytes = info->width * image->samples * swg_element_bytes(info->element);
    if ((int64_t)png_get_rowbytes(p->png, p->info) != row_bytes)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: libpng gives %zu bytes a row, %lld are expected", image->name,
                         png_get_rowbytes(p->png, p->info), (long long)row_bytes);
    if (info->whole && row_bytes > image->max_bytes / info->height)
        return swg__fail(ctx, SWG_ESHAPE, "%s: an interlaced PNG has to be held whole, and %lld x %lld pixels are more than %lld bytes; save it "
                         "without interlacing", image->name, (long long)info->width, (long long)info->height, (long long)image->max_bytes);
    return SWG_OK;
}

static swg_status row_of_whole(png_file *p, int64_t y, void *out) {
    const size_t row_bytes = png_get_rowbytes(p->png, p->info), bytes = row_bytes * (size_t)p->image->info.height;
    if (!p->whole) {
        if (!(p->whole = swg__calloc(p->ctx, bytes, 1)))
            return swg__fail_memory(p->ctx, bytes, p->name);
        swg_status status = guarded(p, read_passes);
        if (status != SWG_OK) {
            swg__free(p->ctx, p->whole);
            p->whole = NULL;
            if (begin(p) == SWG_OK) /* a second try must not meet a half-read decoder */
                (void)guarded(p, set_transforms);
            return status;
        }
    }
    memcpy(out, p->whole + (size_t)y * row_bytes, row_bytes);
    return SWG_OK;
}

static swg_status row_png(swg_image *image, int64_t y, void *out) {
    png_file *p = image->state;
    if (image->info.whole)
        return row_of_whole(p, y, out);
    if (y < p->next || p->next < 0) {
        SWG__TRY(begin(p));
        SWG__TRY(guarded(p, set_transforms));
    }
    for (p->row = out; p->next <= y; p->next++) {
        swg_status status = guarded(p, read_row);
        if (status != SWG_OK) {
            p->next = -1;
            return status;
        }
    }
    return SWG_OK;
}

static void close_png(swg_image *image) {
    png_file *p = image->state;
    png_destroy_read_struct(&p->png, &p->info, NULL);
    swg__free(p->ctx, p->whole);
    swg__free(p->ctx, p);
}

const swg__image_format swg__image_png = {.name = "PNG", .open = open_png, .row = row_png, .close = close_png};

/* ---- writing ---- */

static void on_write(png_structp png, png_bytep from, size_t bytes) {
    png_file *p = png_get_io_ptr(png);
    p->status = swg__writer_write(&p->file, from, bytes);
    if (p->status != SWG_OK)
        png_error(png, "");
}

static void on_flush(png_structp png) { (void)png; }

static void write_head(png_file *p) {
    const swg_image_writer *w = p->writing;
    png_set_write_fn(p->png, p, on_write, on_flush);
    png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(p->png, p->info, (png_uint_32)w->width, (png_uint_32)w->height, w->bits, w->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(p->png, p->info);
    uint16_t one = 1;
    uint8_t low;
    memcpy(&low, &one, 1);
    if (w->bits == 16 && low)
        png_set_swap(p->png);
}

static void write_row(png_file *p) { png_write_row(p->png, p->row); }
static void write_end(png_file *p) { png_write_end(p->png, NULL); }

static swg_status create_png(swg_image_writer *writer) {
    png_file *p = swg__calloc(writer->ctx, 1, sizeof *p);
    if (!p)
        return swg__fail_memory(writer->ctx, sizeof *p, writer->path);
    *p = (png_file){.ctx = writer->ctx, .name = writer->path, .writing = writer, .file = {.fd = -1}};
    writer->state = p;
    SWG__TRY(swg__writer_open(&p->file, writer->ctx, writer->path));
    p->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, p, on_error, on_warning, p, on_alloc, on_free);
    p->info = p->png ? png_create_info_struct(p->png) : NULL;
    if (!p->info)
        return swg__fail_memory(p->ctx, 0, p->name);
    return guarded(p, write_head);
}

static swg_status append_png(swg_image_writer *writer) {
    png_file *p = writer->state;
    p->row = writer->row;
    return guarded(p, write_row);
}

static swg_status finish_png(swg_image_writer *writer) {
    png_file *p = writer->state;
    SWG__TRY(guarded(p, write_end));
    return swg__writer_commit(&p->file);
}

static void abort_png(swg_image_writer *writer) {
    png_file *p = writer->state;
    if (!p)
        return;
    png_destroy_write_struct(&p->png, &p->info);
    swg__writer_abort(&p->file);
    swg__free(p->ctx, p);
    writer->state = NULL;
}

const swg__image_writing swg__png_writing = {.name = "png", .open = create_png, .row = append_png, .finish = finish_png, .abort = abort_png};

#else

static swg_status open_png(swg_image *image, int64_t page) {
    (void)page;
    return swg__image_missing(image->ctx, image->name, "libpng");
}

static swg_status create_png(swg_image_writer *writer) { return swg__image_missing(writer->ctx, writer->path, "libpng"); }
static void abort_png(swg_image_writer *writer) { (void)writer; }

const swg__image_format swg__image_png = {.name = "PNG", .open = open_png};
const swg__image_writing swg__png_writing = {.name = "png", .open = create_png, .abort = abort_png};

#endif
