/* tiff_file.c - libtiff on our streams: errors kept for our messages, limits before memory, rows and tiles of whatever compression it knows.
 * In: a stream or an open temporary file. Out: stored numbers in native byte order.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_HAVE_TIFF
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "data/tiff_file.h"

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list args) {
    (void)tiff;
    (void)module;
    swg__tiff *t = user;
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

swg_status swg__tiff_refuse(swg__tiff *t, swg_status status, const char *what) {
    return swg__fail(t->ctx, status, "%s: %s%s%s", t->name, what, *t->reason ? ": " : "", t->reason);
}

swg_status swg__tiff_damaged(swg__tiff *t) { return swg__tiff_refuse(t, SWG_ECORRUPT, "damaged or cut short"); }

static toff_t seek_to(int64_t *at, int64_t size, toff_t offset, int whence) {
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? *at : size, to;
    if (__builtin_add_overflow(base, (int64_t)offset, &to) || to < 0)
        return (toff_t)-1;
    *at = to;
    return (toff_t)to;
}

static TIFF *open_client(swg__tiff *t, const char *mode, int64_t most, TIFFReadWriteProc read_fn, TIFFReadWriteProc write_fn, TIFFSeekProc seek_fn,
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

static tmsize_t on_read(thandle_t user, void *to, tmsize_t bytes) { return (tmsize_t)swg__stream_read(((swg__tiff *)user)->stream, to, bytes); }

static tmsize_t on_no_write(thandle_t user, void *from, tmsize_t bytes) {
    (void)user;
    (void)from;
    (void)bytes;
    return -1;
}

static toff_t on_seek(thandle_t user, toff_t offset, int whence) {
    swg__stream *stream = ((swg__tiff *)user)->stream;
    return seek_to(&stream->at, stream->size, offset, whence);
}

static int on_close(thandle_t user) {
    (void)user;
    return 0;
}

static toff_t on_size(thandle_t user) { return (toff_t)((swg__tiff *)user)->stream->size; }

swg_status swg__tiff_open(swg__tiff *t) {
    t->next = -1;
    t->file.fd = -1;
    t->tiff = open_client(t, "rm", t->max_bytes, on_read, on_no_write, on_seek, on_close, on_size);
    return t->tiff ? SWG_OK : swg__tiff_damaged(t);
}

void swg__tiff_close(swg__tiff *t) {
    if (t->tiff)
        TIFFClose(t->tiff);
    t->tiff = NULL;
    swg__writer_abort(&t->file);
    swg__free(t->ctx, t->scratch);
    t->scratch = NULL;
    t->scratch_bytes = 0;
}

/* ---- one directory ---- */

static swg_status settle_element(swg__tiff *t) {
    static const struct {
        uint16_t kind, bits;
        swg_element element;
    } known[] = {{SAMPLEFORMAT_UINT, 8, SWG_ELEMENT_U8},   {SAMPLEFORMAT_UINT, 16, SWG_ELEMENT_U16},  {SAMPLEFORMAT_UINT, 32, SWG_ELEMENT_U32},
                 {SAMPLEFORMAT_INT, 8, SWG_ELEMENT_I8},    {SAMPLEFORMAT_INT, 16, SWG_ELEMENT_I16},   {SAMPLEFORMAT_INT, 32, SWG_ELEMENT_I32},
                 {SAMPLEFORMAT_IEEEFP, 32, SWG_ELEMENT_F32}, {SAMPLEFORMAT_IEEEFP, 64, SWG_ELEMENT_F64}};
    uint16_t bits, kind;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_SAMPLEFORMAT, &kind);
    if (kind == SAMPLEFORMAT_VOID)
        kind = SAMPLEFORMAT_UINT;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].kind == kind && known[i].bits == bits) {
            t->element = known[i].element;
            return SWG_OK;
        }
    }
    return swg__fail(t->ctx, SWG_EDTYPE, "%s: %s of %d bits are not read", t->name,
                     kind == SAMPLEFORMAT_IEEEFP ? "floats" : kind == SAMPLEFORMAT_INT ? "signed integers" : kind == SAMPLEFORMAT_UINT ? "unsigned integers" : "numbers", bits);
}

static swg_status settle_model(swg__tiff *t) {
    uint16_t orientation;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_COMPRESSION, &t->compression);
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_ORIENTATION, &orientation);
    if (!TIFFIsCODECConfigured(t->compression)) {
        const TIFFCodec *codec = TIFFFindCODEC(t->compression);
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: compression %d%s%s%s is not in this libtiff", t->name, t->compression, codec ? " (" : "",
                         codec ? codec->name : "", codec ? ")" : "");
    }
    if (TIFFGetField(t->tiff, TIFFTAG_PHOTOMETRIC, &t->photometric) != 1)
        return swg__tiff_refuse(t, SWG_ECORRUPT, "no colour model is given");
    if (t->photometric == PHOTOMETRIC_YCBCR && t->compression == COMPRESSION_JPEG) { /* as slide scanners write; libjpeg converts it */
        TIFFSetField(t->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        t->photometric = PHOTOMETRIC_RGB;
    }
    if (t->photometric != PHOTOMETRIC_MINISBLACK && t->photometric != PHOTOMETRIC_MINISWHITE && t->photometric != PHOTOMETRIC_RGB &&
        t->photometric != PHOTOMETRIC_PALETTE)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: colour model %d is not read; save it as grey, RGB or palette", t->name, t->photometric);
    if (orientation != ORIENTATION_TOPLEFT)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: orientation %d is not read; save it with the first row on top", t->name, orientation);
    return SWG_OK;
}

/* Which of the pixel's numbers are channels. */
static swg_status settle_colours(swg__tiff *t) {
    uint16_t samples, extra_count = 0, *extra = NULL;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetField(t->tiff, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
    t->samples = samples;
    const bool colour = t->photometric == PHOTOMETRIC_RGB;
    int alpha = 0;
    for (int i = 0; i < extra_count; i++)
        alpha += extra[i] == EXTRASAMPLE_ASSOCALPHA || extra[i] == EXTRASAMPLE_UNASSALPHA;
    if (colour && samples < 3)
        return swg__tiff_refuse(t, SWG_ECORRUPT, "an RGB image with fewer than three numbers a pixel");
    if (alpha && extra_count > 1 && !colour)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: an alpha channel among %d channels", t->name, samples);
    t->colours = alpha && colour ? 3 : samples - alpha; /* what follows the first, or RGB, may be declared alpha */
    if (t->colours < 1 || samples > 4096)
        return swg__fail(t->ctx, SWG_EUNSUPPORTED, "%s: %d numbers a pixel, %d of them colours", t->name, samples, t->colours);
    return SWG_OK;
}

swg_status swg__tiff_describe(swg__tiff *t) {
    uint32_t width = 0, height = 0;
    TIFFGetField(t->tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t->tiff, TIFFTAG_IMAGELENGTH, &height);
    t->width = width;
    t->height = height;
    t->next = -1;
    SWG__TRY(settle_element(t));
    SWG__TRY(settle_model(t));
    return settle_colours(t);
}

swg_status swg__tiff_prepare(swg__tiff *t) {
    uint16_t planar;
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_PLANARCONFIG, &planar);
    t->separate = planar == PLANARCONFIG_SEPARATE && t->samples > 1;
    t->tiled = TIFFIsTiled(t->tiff);
    const int64_t pixel = (int64_t)swg__tiff_together(t) * swg_element_bytes(t->element);
    TIFFGetFieldDefaulted(t->tiff, TIFFTAG_ROWSPERSTRIP, &t->strip_rows);
    if (t->strip_rows < 1)
        return swg__tiff_refuse(t, SWG_ECORRUPT, "strips without rows");
    int64_t needed = t->width * pixel, given = TIFFScanlineSize64(t->tiff) <= INT64_MAX ? (int64_t)TIFFScanlineSize64(t->tiff) : -1;
    if (t->tiled) {
        int64_t pixels;
        if (TIFFGetField(t->tiff, TIFFTAG_TILEWIDTH, &t->tile_width) != 1 || TIFFGetField(t->tiff, TIFFTAG_TILELENGTH, &t->tile_height) != 1 ||
            t->tile_width < 1 || t->tile_height < 1 || swg__mul_overflow(t->tile_width, t->tile_height, &pixels) ||
            swg__mul_overflow(pixels, pixel, &needed) || needed > t->max_bytes)
            return swg__fail(t->ctx, SWG_ESHAPE, "%s: tiles of %u x %u pixels are more than %lld bytes", t->name, t->tile_width, t->tile_height,
                             (long long)t->max_bytes);
        given = TIFFTileSize64(t->tiff) <= INT64_MAX ? (int64_t)TIFFTileSize64(t->tiff) : -1;
    }
    if (given != needed)
        return swg__tiff_refuse(t, SWG_EUNSUPPORTED, "rows or tiles of another size than their pixels have");
    t->piece_bytes = (size_t)needed;
    if (t->piece_bytes <= t->scratch_bytes)
        return SWG_OK;
    swg__free(t->ctx, t->scratch);
    t->scratch = swg__alloc(t->ctx, t->piece_bytes);
    t->scratch_bytes = t->scratch ? t->piece_bytes : 0;
    return t->scratch ? SWG_OK : swg__fail_memory(t->ctx, t->piece_bytes, t->name);
}

/* Codecs cannot jump: a row is reached from the one before it, or from the first of its strip. */
swg_status swg__tiff_row(swg__tiff *t, int64_t y, int s, void *out) {
    int64_t from = y - y % t->strip_rows;
    if (s == t->plane && t->next >= from && t->next <= y)
        from = t->next;
    t->next = -1;
    for (int64_t r = from; r <= y; r++) {
        memset(out, 0, t->piece_bytes); /* damaged data may pass for good ones and leave bytes unwritten */
        if (TIFFReadScanline(t->tiff, out, (uint32_t)r, (uint16_t)s) != 1)
            return swg__tiff_damaged(t);
    }
    t->next = y + 1;
    t->plane = s;
    return SWG_OK;
}

static swg_status window_of_tiles(swg__tiff *t, int64_t y, int64_t x, int64_t h, int64_t w, int s, swg__tiff_take take, void *user) {
    const int64_t tw = t->tile_width, th = t->tile_height, pixel = (int64_t)swg__tiff_together(t) * swg_element_bytes(t->element);
    for (int64_t ty = y / th * th; ty < y + h; ty += th)
        for (int64_t tx = x / tw * tw; tx < x + w; tx += tw) {
            memset(t->scratch, 0, t->piece_bytes);
            if (TIFFReadTile(t->tiff, t->scratch, (uint32_t)tx, (uint32_t)ty, 0, (uint16_t)s) < 0)
                return swg__tiff_damaged(t);
            int64_t y0 = ty > y ? ty : y, y1 = ty + th < y + h ? ty + th : y + h;
            int64_t x0 = tx > x ? tx : x, x1 = tx + tw < x + w ? tx + tw : x + w;
            for (int64_t r = y0; r < y1; r++)
                take(user, t->scratch + ((r - ty) * tw + x0 - tx) * pixel, s, r - y, x0 - x, x1 - x0);
        }
    return SWG_OK;
}

swg_status swg__tiff_window(swg__tiff *t, int64_t y, int64_t x, int64_t h, int64_t w, const int *planes, int count, swg__tiff_take take, void *user) {
    const int64_t pixel = (int64_t)swg__tiff_together(t) * swg_element_bytes(t->element);
    for (int i = 0; i < (t->separate ? count : 1); i++) { /* plane by plane: a change of plane begins its strip again */
        const int s = t->separate ? planes[i] : 0;
        if (t->tiled) {
            SWG__TRY(window_of_tiles(t, y, x, h, w, s, take, user));
            continue;
        }
        for (int64_t r = 0; r < h; r++) {
            SWG__TRY(swg__tiff_row(t, y + r, s, t->scratch));
            take(user, t->scratch + x * pixel, s, r, 0, w);
        }
    }
    return SWG_OK;
}

/* ---- writing: straight into the writer's temporary file, because libtiff comes back to what it has written ---- */

static tmsize_t on_write(thandle_t user, void *from, tmsize_t bytes) {
    swg__tiff *t = user;
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

static tmsize_t on_read_back(thandle_t user, void *to, tmsize_t bytes) { return (tmsize_t)read(((swg__tiff *)user)->file.fd, to, (size_t)bytes); }

static toff_t on_seek_written(thandle_t user, toff_t offset, int whence) {
    off_t at = lseek(((swg__tiff *)user)->file.fd, (off_t)offset, whence);
    return (toff_t)at;
}

static toff_t on_size_written(thandle_t user) {
    int fd = ((swg__tiff *)user)->file.fd;
    off_t at = lseek(fd, 0, SEEK_CUR), end = lseek(fd, 0, SEEK_END);
    lseek(fd, at, SEEK_SET);
    return (toff_t)end;
}

swg_status swg__tiff_create(swg__tiff *t, bool big) {
    t->tiff = open_client(t, big ? "w8" : "w", 0, on_read_back, on_write, on_seek_written, on_close, on_size_written);
    return t->tiff ? SWG_OK : swg__tiff_refuse(t, SWG_EIO, "cannot write");
}

swg_status swg__tiff_flush(swg__tiff *t) {
    *t->reason = 0;
    if (TIFFFlush(t->tiff) != 1)
        return swg__tiff_refuse(t, SWG_EIO, "cannot write");
    TIFFClose(t->tiff);
    t->tiff = NULL;
    return *t->reason ? swg__tiff_refuse(t, SWG_EIO, "cannot write") : SWG_OK;
}
#else
typedef int swg__no_tiff; /* a file of C is not empty */
#endif
