/* image_tiff.c - TIFF and BigTIFF through libtiff: strips and tiles of u8, u16 and f32 numbers, whatever compression libtiff knows.
 * In: a stream. Out: rows, or windows where numbers lie in tiles or channel by channel.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "data/image_format.h"

#if SWG_HAVE_TIFF
#include <tiffio.h>

typedef struct tiff_file {
    swg_context *ctx;
    const char *name;
    TIFF *tiff;
    char reason[200];           /* libtiff's last error */
    swg_image *image;
    bool tiled, separate, inverted;
    int file_samples;           /* stored numbers of a pixel in the file; 1 for a palette */
    uint32_t tile_width, tile_height, strip_rows;
    int64_t next;               /* row and plane that come next */
    int plane;
    size_t piece_bytes;         /* of one row of the file's numbers, or one tile */
    uint8_t *scratch;           /* one row of the file's numbers, or one tile */
    uint16_t *palette[3];       /* of the directory; NULL: none */
    int palette_size;
    /* writing */
    swg__writer file;
} tiff_file;

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list args) {
    (void)tiff;
    (void)module;
    tiff_file *t = user;
    vsnprintf(t->reason, sizeof t->reason, format, args);
    return 1; /* handled: nothing is printed */
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list args) {
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

static swg_status refuse(tiff_file *t, swg_status status, const char *what) {
    return swg__fail(t->ctx, status, "%s: %s%s%s", t->name, what, *t->reason ? ": " : "", t->reason);
}

static swg_status damaged(tiff_file *t) { return refuse(t, SWG_ECORRUPT, "damaged or cut short"); }

static toff_t seek_to(int64_t *at, int64_t size, toff_t offset, int whence) {
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? *at : size, to;
    if (__builtin_add_overflow(base, (int64_t)offset, &to) || to < 0)
        return (toff_t)-1;
    *at = to;
    return (toff_t)to;
}

static TIFF *open_client(tiff_file *t, const char *mode, int64_t most, TIFFReadWriteProc read_fn, TIFFReadWriteProc write_fn, TIFFSeekProc seek_fn,
                         TIFFCloseProc close_fn, TIFFSizeProc size_fn) {
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)most);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, t);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, t);
    TIFF *tiff = TIFFClientOpenExt(t->name, mode, t, read_fn, write_fn, seek_fn, close_fn, size_fn, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

/* ---- reading ---- */

static tmsize_t on_read(thandle_t user, void *to, tmsize_t bytes) { return (tmsize_t)swg__stream_read(&((tiff_file *)user)->image->stream, to, bytes); }

static tmsize_t on_no_write(thandle_t user, void *from, tmsize_t bytes) {
    (void)user;
    (void)from;
    (void)bytes;
    return -1;
}

static toff_t on_seek(thandle_t user, toff_t offset, int whence) {
    swg__stream *stream = &((tiff_file *)user)->image->stream;
    return seek_to(&stream->at, stream->size, offset, whence);
}

static int on_close(thandle_t user) {
    (void)user;
    return 0;
}

static toff_t on_size(thandle_t user) { return (toff_t)((tiff_file *)user)->image->stream.size; }

/* Which of the pixel's numbers are channels. */
static swg_status settle_colours(tiff_file *t, swg_image *image, uint16_t photometric) {
    uint16_t samples, extra_count = 0, *extra = NULL;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetField(t->tiff, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
    t->file_samples = image->info.file_channels = samples;
    switch (photometric) {
    case PHOTOMETRIC_RGB:
        if (samples < 3)
            return refuse(t, SWG_ECORRUPT, "an RGB image with fewer than three numbers a pixel");
        image->colours = 3;
        break;
    case PHOTOMETRIC_PALETTE:
        image->colours = 3;
        break;
    default: { /* grey, or any number of channels: those after the first may be declared alpha */
        int alpha = 0;
        for (int i = 0; i < extra_count; i++)
            alpha += extra[i] == EXTRASAMPLE_ASSOCALPHA || extra[i] == EXTRASAMPLE_UNASSALPHA;
        image->colours = samples - (alpha && extra_count == 1);
        if (alpha && extra_count > 1)
            return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: an alpha channel among %d channels", t->name, samples);
        break;
    }
    }
    if (image->colours < 1 || samples > 4096)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: %d numbers a pixel, %d of them colours", t->name, samples, image->colours);
    image->samples = photometric == PHOTOMETRIC_PALETTE ? 3 : samples;
    image->info.alpha_dropped = photometric != PHOTOMETRIC_PALETTE && image->colours < samples;
    return SWG_OK;
}

static swg_status settle_palette(tiff_file *t, swg_image *image) {
    if (t->file_samples != 1 || image->info.element != SWG_ELEMENT_U8 ||
        TIFFGetField(t->tiff, TIFFTAG_COLORMAP, &t->palette[0], &t->palette[1], &t->palette[2]) != 1)
        return refuse(t, SWG_EUNSUPPORTED, "a palette other than one of 256 colours");
    t->palette_size = 256;
    image->info.element = SWG_ELEMENT_U16; /* the map has 16 bits */
    image->info.palette_expanded = true;
    return SWG_OK;
}

static swg_status settle_type(tiff_file *t, swg_image *image) {
    uint16_t bits, kind;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_SAMPLEFORMAT, &kind);
    bool whole = kind == SAMPLEFORMAT_UINT || kind == SAMPLEFORMAT_VOID;
    if (whole && bits == 8)
        image->info.element = SWG_ELEMENT_U8;
    else if (whole && bits == 16)
        image->info.element = SWG_ELEMENT_U16;
    else if (kind == SAMPLEFORMAT_IEEEFP && bits == 32)
        image->info.element = SWG_ELEMENT_F32;
    else
        return swg__fail(t->ctx, SWG_EDTYPE, "%s: %s of %d bits; unsigned integers of 8 and 16 bits and floats of 32 are read", t->name,
                         kind == SAMPLEFORMAT_IEEEFP ? "floats" : kind == SAMPLEFORMAT_INT ? "signed integers" : whole ? "unsigned integers" : "numbers",
                         bits);
    return SWG_OK;
}

static swg_status settle_model(tiff_file *t, uint16_t *photometric) {
    uint16_t compression, orientation;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_ORIENTATION, &orientation);
    if (!TIFFIsCODECConfigured(compression)) {
        const TIFFCodec *codec = TIFFFindCODEC(compression);
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: compression %d%s%s%s is not in this libtiff", t->name, compression, codec ? " (" : "",
                         codec ? codec->name : "", codec ? ")" : "");
    }
    if (TIFFGetField(t->tiff, TIFFTAG_PHOTOMETRIC, photometric) != 1)
        return refuse(t, SWG_ECORRUPT, "no colour model is given");
    if (*photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG) { /* as slide scanners write; libjpeg converts it */
        TIFFSetField(t->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        *photometric = PHOTOMETRIC_RGB;
    }
    if (*photometric != PHOTOMETRIC_MINISBLACK && *photometric != PHOTOMETRIC_MINISWHITE && *photometric != PHOTOMETRIC_RGB &&
        *photometric != PHOTOMETRIC_PALETTE)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: colour model %d is not read; save it as grey, RGB or palette", t->name, *photometric);
    if (orientation != ORIENTATION_TOPLEFT)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: orientation %d is not read; save it with the first row on top", t->name, orientation);
    return SWG_OK;
}

static swg_status settle_layout(tiff_file *t, swg_image *image, int file_bytes) {
    uint16_t planar;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_PLANARCONFIG, &planar);
    t->separate = planar == PLANARCONFIG_SEPARATE && t->file_samples > 1;
    t->tiled = TIFFIsTiled(t->tiff);
    const int64_t together = t->separate ? 1 : t->file_samples;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_ROWSPERSTRIP, &t->strip_rows);
    if (t->strip_rows < 1)
        return refuse(t, SWG_ECORRUPT, "strips without rows");
    int64_t needed = image->info.width * together * file_bytes, given = TIFFScanlineSize64(t->tiff) <= INT64_MAX ? (int64_t)TIFFScanlineSize64(t->tiff) : -1;
    if (t->tiled) {
        int64_t pixels;
        if (TIFFGetField(t->tiff, TIFFTAG_TILEWIDTH, &t->tile_width) != 1 || TIFFGetField(t->tiff, TIFFTAG_TILELENGTH, &t->tile_height) != 1 ||
            t->tile_width < 1 || t->tile_height < 1 || swg__mul_overflow(t->tile_width, t->tile_height, &pixels) ||
            swg__mul_overflow(pixels, together * file_bytes, &needed) || needed > image->max_bytes)
            return swg__fail(t->ctx, SWG_ESHAPE, "%s: tiles of %u x %u pixels are more than %lld bytes", t->name, t->tile_width, t->tile_height,
                             (long long)image->max_bytes);
        given = TIFFTileSize64(t->tiff) <= INT64_MAX ? (int64_t)TIFFTileSize64(t->tiff) : -1;
        image->band = t->tile_height;
    }
    if (given != needed)
        return refuse(t, SWG_EUNSUPPORTED, "rows or tiles of another size than their pixels have");
    t->piece_bytes = (size_t)needed;
    if (!(t->scratch = swg__alloc(t->ctx, (size_t)needed)))
        return swg__fail_memory(t->ctx, (size_t)needed, t->name);
    return SWG_OK;
}

static swg_status open_tiff(swg_image *image, int64_t page) {
    tiff_file *t = swg__calloc(image->ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(image->ctx, sizeof *t, image->name);
    *t = (tiff_file){.ctx = image->ctx, .name = image->name, .image = image, .next = -1};
    image->state = t;
    if (!(t->tiff = open_client(t, "rm", image->max_bytes, on_read, on_no_write, on_seek, on_close, on_size)))
        return damaged(t);
    image->info.pages = (int64_t)TIFFNumberOfDirectories(t->tiff);
    if (page >= image->info.pages)
        return swg__fail(t->ctx, SWG_ENOTFOUND, "%s: page %lld: the file holds %lld", t->name, (long long)page, (long long)image->info.pages);
    if (page > 0 && TIFFSetDirectory(t->tiff, (tdir_t)page) != 1)
        return damaged(t);
    uint32_t width = 0, height = 0;
    TIFFGetField(t->tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t->tiff, TIFFTAG_IMAGELENGTH, &height);
    image->info.width = width;
    image->info.height = height;
    uint16_t photometric;
    SWG__TRY(settle_type(t, image));
    SWG__TRY(settle_model(t, &photometric));
    SWG__TRY(settle_colours(t, image, photometric));
    const int file_bytes = swg_element_bytes(image->info.element);
    SWG__TRY(swg__image_check_size(image, height, width, t->file_samples > 3 ? t->file_samples : 3, 4));
    if (photometric == PHOTOMETRIC_PALETTE)
        SWG__TRY(settle_palette(t, image));
    t->inverted = photometric == PHOTOMETRIC_MINISWHITE;
    if (t->inverted && image->info.element == SWG_ELEMENT_F32)
        return refuse(t, SWG_EUNSUPPORTED, "floats with 0 as white");
    return settle_layout(t, image, file_bytes);
}

static void invert(swg_element element, void *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (element == SWG_ELEMENT_U8)
            ((uint8_t *)values)[i] = (uint8_t)(255 - ((uint8_t *)values)[i]);
        else
            ((uint16_t *)values)[i] = (uint16_t)(65535 - ((uint16_t *)values)[i]);
    }
}

/* Colours of n pixels, interleaved in the file's numbers, to rows of planes. `samples` lie together in `from`; colours first..first + count - 1
 * of the image are made. */
static void take_pixels(const tiff_file *t, const uint8_t *from, int64_t n, int samples, int colours, void *to, int64_t plane) {
    const swg_element element = t->image->info.element;
    const int bytes = swg_element_bytes(element);
    if (t->palette_size) {
        for (int c = 0; c < 3; c++)
            for (int64_t i = 0; i < n; i++)
                ((uint16_t *)to)[c * plane + i] = t->palette[c][from[i]];
        return;
    }
    swg__image_planes(bytes, from, n, samples, colours, to, plane);
    for (int c = 0; t->inverted && c < colours; c++)
        invert(element, (uint8_t *)to + c * plane * bytes, n);
}

/* Row y of plane s. Codecs cannot jump: a row is reached from the one before it, or from the first of its strip. */
static swg_status scan_row(tiff_file *t, int64_t y, int s, void *out) {
    int64_t from = y - y % t->strip_rows;
    if (s == t->plane && t->next >= from && t->next <= y)
        from = t->next;
    t->next = -1;
    for (int64_t r = from; r <= y; r++) {
        memset(out, 0, t->piece_bytes); /* damaged data may pass for good ones and leave bytes unwritten */
        if (TIFFReadScanline(t->tiff, out, (uint32_t)r, (uint16_t)s) != 1)
            return damaged(t);
    }
    t->next = y + 1;
    t->plane = s;
    return SWG_OK;
}

/* A row of interleaved numbers as image.c keeps it; palettes and separate planes come by windows. */
static swg_status row_tiff(swg_image *image, int64_t y, void *out) {
    tiff_file *t = image->state;
    SWG__TRY(scan_row(t, y, 0, out));
    if (t->inverted)
        invert(image->info.element, out, image->info.width * image->samples);
    return SWG_OK;
}

static bool by_window(const swg_image *image) {
    const tiff_file *t = image->state;
    return t->tiled || t->separate || t->palette_size;
}

static swg_status window_of_rows(tiff_file *t, int64_t y, int64_t x, int64_t h, int64_t w, uint8_t *out) {
    const int bytes = swg_element_bytes(t->image->info.element), colours = t->image->colours, together = t->separate ? 1 : t->file_samples;
    for (int s = 0; s < (t->separate ? colours : 1); s++) /* plane by plane: a change of plane begins its strip again */
        for (int64_t r = 0; r < h; r++) {
            SWG__TRY(scan_row(t, y + r, s, t->scratch));
            take_pixels(t, t->scratch + x * together * (t->palette_size ? 1 : bytes), w, together, t->separate ? 1 : colours,
                        out + (s * h * w + r * w) * bytes, h * w);
        }
    return SWG_OK;
}

static swg_status window_of_tiles(tiff_file *t, int64_t y, int64_t x, int64_t h, int64_t w, uint8_t *out) {
    const int bytes = swg_element_bytes(t->image->info.element), colours = t->image->colours, together = t->separate ? 1 : t->file_samples;
    const int64_t tw = t->tile_width, th = t->tile_height, pixel = together * (t->palette_size ? 1 : bytes);
    for (int s = 0; s < (t->separate ? colours : 1); s++)
        for (int64_t ty = y / th * th; ty < y + h; ty += th)
            for (int64_t tx = x / tw * tw; tx < x + w; tx += tw) {
                memset(t->scratch, 0, t->piece_bytes);
                if (TIFFReadTile(t->tiff, t->scratch, (uint32_t)tx, (uint32_t)ty, 0, (uint16_t)s) < 0)
                    return damaged(t);
                int64_t y0 = ty > y ? ty : y, y1 = ty + th < y + h ? ty + th : y + h;
                int64_t x0 = tx > x ? tx : x, x1 = tx + tw < x + w ? tx + tw : x + w;
                for (int64_t r = y0; r < y1; r++)
                    take_pixels(t, t->scratch + ((r - ty) * tw + x0 - tx) * pixel, x1 - x0, together, t->separate ? 1 : colours,
                                out + (s * h * w + (r - y) * w + x0 - x) * bytes, h * w);
            }
    return SWG_OK;
}

static swg_status window_tiff(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out) {
    tiff_file *t = image->state;
    return t->tiled ? window_of_tiles(t, y, x, h, w, out) : window_of_rows(t, y, x, h, w, out);
}

static void close_tiff(swg_image *image) {
    tiff_file *t = image->state;
    if (t->tiff)
        TIFFClose(t->tiff);
    swg__free(t->ctx, t->scratch);
    swg__free(t->ctx, t);
}

const swg__image_format swg__image_tiff = {.name = "TIFF", .open = open_tiff, .row = row_tiff, .window = window_tiff, .by_window = by_window,
                                           .close = close_tiff};

/* ---- writing: straight into the writer's temporary file, because libtiff comes back to what it has written ---- */

static tmsize_t on_write(thandle_t user, void *from, tmsize_t bytes) {
    tiff_file *t = user;
    for (tmsize_t done = 0; done < bytes;) {
        ssize_t n = write(t->file.fd, (uint8_t *)from + done, (size_t)(bytes - done));
        if (n >= 0) {
            done += n;
        } else if (errno != EINTR) {
            snprintf(t->reason, sizeof t->reason, "%s", strerror(errno));
            return -1;
        }
    }
    return bytes;
}

static tmsize_t on_read_back(thandle_t user, void *to, tmsize_t bytes) { return (tmsize_t)read(((tiff_file *)user)->file.fd, to, (size_t)bytes); }

static toff_t on_seek_written(thandle_t user, toff_t offset, int whence) {
    off_t at = lseek(((tiff_file *)user)->file.fd, (off_t)offset, whence);
    return (toff_t)at;
}

static toff_t on_size_written(thandle_t user) {
    int fd = ((tiff_file *)user)->file.fd;
    off_t at = lseek(fd, 0, SEEK_CUR), end = lseek(fd, 0, SEEK_END);
    lseek(fd, at, SEEK_SET);
    return (toff_t)end;
}

static swg_status create_tiff(swg_image_writer *writer) {
    tiff_file *t = swg__calloc(writer->ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(writer->ctx, sizeof *t, writer->path);
    *t = (tiff_file){.ctx = writer->ctx, .name = writer->path, .file = {.fd = -1}};
    writer->state = t;
    const int64_t row = writer->width * writer->channels * writer->bits / 8;
    SWG__TRY(swg__writer_open(&t->file, writer->ctx, writer->path));
    bool big = writer->height > ((int64_t)15 << 28) / row; /* beyond 3.75 GiB offsets need 64 bits */
    if (!(t->tiff = open_client(t, big ? "w8" : "w", 0, on_read_back, on_write, on_seek_written, on_close, on_size_written)))
        return refuse(t, SWG_EIO, "cannot write");
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
    return set ? SWG_OK : refuse(t, SWG_EUNSUPPORTED, "libtiff refuses the image");
}

static swg_status append_tiff(swg_image_writer *writer) {
    tiff_file *t = writer->state;
    return TIFFWriteScanline(t->tiff, writer->row, (uint32_t)writer->rows, 0) == 1 ? SWG_OK : refuse(t, SWG_EIO, "cannot write");
}

static swg_status finish_tiff(swg_image_writer *writer) {
    tiff_file *t = writer->state;
    *t->reason = 0;
    if (TIFFFlush(t->tiff) != 1)
        return refuse(t, SWG_EIO, "cannot write");
    TIFFClose(t->tiff);
    t->tiff = NULL;
    return *t->reason ? refuse(t, SWG_EIO, "cannot write") : swg__writer_commit(&t->file);
}

static void abort_tiff(swg_image_writer *writer) {
    tiff_file *t = writer->state;
    if (!t)
        return;
    if (t->tiff)
        TIFFClose(t->tiff);
    swg__writer_abort(&t->file);
    swg__free(t->ctx, t);
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
