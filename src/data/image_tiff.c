/* image_tiff.c - TIFF and BigTIFF through libtiff: strips and tiles of u8, u16 and f32 numbers, whatever compression libtiff knows.
 * In: a stream. Out: rows, or windows where numbers lie in tiles or channel by channel.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/image_format.h"

#if SWG_HAVE_TIFF
#include "data/tiff_file.h"

typedef struct tiff_image {
    swg__tiff file;
    swg_image *image;
    bool inverted;
    uint16_t *palette[3];       /* of the directory; NULL: none */
} tiff_image;

/* ---- reading ---- */

static swg_status settle_palette(tiff_image *t, swg_image *image) {
    if (t->file.samples != 1 || image->info.element != SWG_ELEMENT_U8 ||
        TIFFGetField(t->file.tiff, TIFFTAG_COLORMAP, &t->palette[0], &t->palette[1], &t->palette[2]) != 1)
        return swg__tiff_refuse(&t->file, SWG_EUNSUPPORTED, "a palette other than one of 256 colours");
    image->info.element = SWG_ELEMENT_U16; /* the map has 16 bits */
    image->info.palette_expanded = true;
    return SWG_OK;
}

static swg_status settle(tiff_image *t, swg_image *image) {
    swg__tiff *file = &t->file;
    SWG__TRY(swg__tiff_describe(file));
    if (file->element != SWG_ELEMENT_U8 && file->element != SWG_ELEMENT_U16 && file->element != SWG_ELEMENT_F32)
        return swg__fail(image->ctx, SWG_EDTYPE, "%s: numbers of type %s; unsigned integers of 8 and 16 bits and floats of 32 are read", image->name,
                         swg_element_name(file->element));
    const bool palette = file->photometric == PHOTOMETRIC_PALETTE;
    image->info.width = file->width;
    image->info.height = file->height;
    image->info.file_channels = file->samples;
    image->info.element = file->element;
    image->samples = palette ? 3 : file->samples;
    image->colours = palette || file->photometric == PHOTOMETRIC_RGB ? 3 : file->colours;
    image->info.alpha_dropped = image->colours < image->samples;
    SWG__TRY(swg__image_check_size(image, file->height, file->width, file->samples > 3 ? file->samples : 3, 4));
    if (palette)
        SWG__TRY(settle_palette(t, image));
    t->inverted = file->photometric == PHOTOMETRIC_MINISWHITE;
    if (t->inverted && file->element == SWG_ELEMENT_F32)
        return swg__tiff_refuse(file, SWG_EUNSUPPORTED, "floats with 0 as white");
    SWG__TRY(swg__tiff_prepare(file));
    if (file->tiled)
        image->band = file->tile_height;
    return SWG_OK;
}

static swg_status open_tiff(swg_image *image, int64_t page) {
    tiff_image *t = swg__calloc(image->ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(image->ctx, sizeof *t, image->name);
    t->file = (swg__tiff){.ctx = image->ctx, .name = image->name, .stream = &image->stream, .max_bytes = image->max_bytes};
    t->image = image;
    image->state = t;
    SWG__TRY(swg__tiff_open(&t->file));
    image->info.pages = (int64_t)TIFFNumberOfDirectories(t->file.tiff);
    if (page >= image->info.pages)
        return swg__fail(image->ctx, SWG_ENOTFOUND, "%s: page %lld: the file holds %lld", image->name, (long long)page, (long long)image->info.pages);
    if (page > 0 && TIFFSetDirectory(t->file.tiff, (tdir_t)page) != 1)
        return swg__tiff_damaged(&t->file);
    return settle(t, image);
}

static void invert(swg_element element, void *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (element == SWG_ELEMENT_U8)
            ((uint8_t *)values)[i] = (uint8_t)(255 - ((uint8_t *)values)[i]);
        else
            ((uint16_t *)values)[i] = (uint16_t)(65535 - ((uint16_t *)values)[i]);
    }
}

/* A row of interleaved numbers as image.c keeps it; palettes and separate planes come by windows. */
static swg_status row_tiff(swg_image *image, int64_t y, void *out) {
    tiff_image *t = image->state;
    SWG__TRY(swg__tiff_row(&t->file, y, 0, out));
    if (t->inverted)
        invert(image->info.element, out, image->info.width * image->samples);
    return SWG_OK;
}

static bool by_window(const swg_image *image) {
    const tiff_image *t = image->state;
    return t->file.tiled || t->file.separate || t->palette[0];
}

typedef struct window {
    const tiff_image *t;
    uint8_t *out;               /* (colours, h, w) */
    int64_t h, w;
} window;

/* Colours of n pixels, interleaved in the file's numbers, to rows of planes. */
static void take_pixels(void *user, const uint8_t *from, int sample, int64_t row, int64_t column, int64_t n) {
    const window *o = user;
    const tiff_image *t = o->t;
    const swg_element element = t->image->info.element;
    const int bytes = swg_element_bytes(element), colours = t->file.separate ? 1 : t->image->colours;
    const int64_t plane = o->h * o->w;
    uint8_t *to = o->out + ((t->file.separate ? sample * plane : 0) + row * o->w + column) * bytes;
    if (t->palette[0]) {
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < n; i++)
                ((uint16_t *)to)[c * plane + i] = t->palette[c][from[i]];
        return;
    }
    swg__image_planes(bytes, from, n, swg__tiff_together(&t->file), colours, to, plane);
    for (int c = 0; t->inverted && c < colours; c++)
        invert(element, to + c * plane * bytes, n);
}

static swg_status window_tiff(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out) {
    tiff_image *t = image->state;
    int planes[4096]; /* as many samples as swg__tiff_describe takes */
    for (int c = 0; c < image->colours; c++)
        planes[c] = c;
    return swg__tiff_window(&t->file, y, x, h, w, planes, image->colours, take_pixels, &(window){.t = t, .out = out, .h = h, .w = w});
}

static void close_tiff(swg_image *image) {
    tiff_image *t = image->state;
    swg__tiff_close(&t->file);
    swg__free(image->ctx, t);
}

const swg__image_format swg__image_tiff = {.name = "TIFF", .open = open_tiff, .row = row_tiff, .window = window_tiff, .by_window = by_window,
                                           .close = close_tiff};

/* ---- writing ---- */

static swg_status create_tiff(swg_image_writer *writer) {
    swg__tiff *t = swg__calloc(writer->ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(writer->ctx, sizeof *t, writer->path);
    *t = (swg__tiff){.ctx = writer->ctx, .name = writer->path, .file = {.fd = -1}};
    writer->state = t;
    const int64_t row = writer->width * writer->channels * writer->bits / 8;
    SWG__TRY(swg__writer_open(&t->file, writer->ctx, writer->path));
    SWG__TRY(swg__tiff_create(t, writer->height > ((int64_t)15 << 28) / row)); /* beyond 3.75 GiB offsets need 64 bits */
    int64_t strip = (int64_t)65536 / row;
    strip = strip < 1 ? 1 : strip < writer->height ? strip : writer->height;
    const bool colour = writer->channels == 3;
    bool set = TIFFSetField(t->tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)writer->width) && TIFFSetField(t->tiff, TIFFTAG_IMAGELENGTH, (uint32_t)writer->height) &&
               TIFFSetField(t->tiff, TIFFTAG_SAMPLESPERPIXEL, writer->channels) && TIFFSetField(t->tiff, TIFFTAG_BITSPERSAMPLE, writer->bits) &&
               TIFFSetField(t->tiff, TIFFTAG_SAMPLEFORMAT, writer->bits == 32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT) &&
               TIFFSetField(t->tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) && TIFFSetField(t->tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT) &&
               TIFFSetField(t->tiff, TIFFTAG_PHOTOMETRIC, colour ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK) &&
               TIFFSetField(t->tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE) &&
               TIFFSetField(t->tiff, TIFFTAG_PREDICTOR, writer->bits == 32 ? PREDICTOR_FLOATINGPOINT : PREDICTOR_HORIZONTAL) &&
               TIFFSetField(t->tiff, TIFFTAG_ROWSPERSTRIP, (uint32_t)strip);
    if (set && !colour && writer->channels > 1) {
        uint16_t kinds[256] = {0}; /* unspecified: channels, not alpha */
        set = TIFFSetField(t->tiff, TIFFTAG_EXTRASAMPLES, writer->channels - 1, kinds);
    }
    return set ? SWG_OK : swg__tiff_refuse(t, SWG_EUNSUPPORTED, "libtiff refuses the image");
}

static swg_status append_tiff(swg_image_writer *writer) {
    swg__tiff *t = writer->state;
    return TIFFWriteScanline(t->tiff, writer->row, (uint32_t)writer->rows, 0) == 1 ? SWG_OK : swg__tiff_refuse(t, SWG_EIO, "cannot write");
}

static swg_status finish_tiff(swg_image_writer *writer) {
    swg__tiff *t = writer->state;
    SWG__TRY(swg__tiff_flush(t));
    return swg__writer_commit(&t->file);
}

static void abort_tiff(swg_image_writer *writer) {
    swg__tiff *t = writer->state;
    if (!t)
        return;
    swg__tiff_close(t);
    swg__free(writer->ctx, t);
    writer->state = NULL;
}

const swg__image_writing swg__tiff_writing = {.name = "tiff", .open = create_tiff, .row = append_tiff, .finish = finish_tiff, .abort = abort_tiff};

#else

static swg_status open_tiff(swg_image *image, int64_t page) {
    (void)page;
    return swg__image_missing(image->ctx, image->name, "libtiff");
}

static swg_status create_tiff(swg_image_writer *writer) { return swg__image_missing(writer->ctx, writer->path, "libtiff"); }
static void abort_tiff(swg_image_writer *writer) { (void)writer; }

const swg__image_format swg__image_tiff = {.name = "TIFF", .open = open_tiff};
const swg__image_writing swg__tiff_writing = {.name = "tiff", .open = create_tiff, .abort = abort_tiff};

#endif
