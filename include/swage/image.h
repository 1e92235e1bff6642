/* image.h - PNG and TIFF images to float tensors and back, whole or by rows.
 * PNG needs libpng, TIFF libtiff 4.5 or newer, found when the library is built; without one, its files give SWG_EUNSUPPORTED with a
 * message that names what is missing. swg_feature_at() says what is in.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IMAGE_H
#define SWAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"
#include "swage/element.h"

/* ---- reading ---- */

typedef struct swg_image swg_image;

typedef struct swg_image_opts {
    int channels;          /* 0: those of the file, without alpha; 3: grey is repeated; n: a file with another number is refused */
    double scale;          /* data.scale: value = stored number times this, in whatever range; 0: 1/255 of 8 bits, 1/65535 of 16 bits, floats as
                              they are, and a float outside [0,1] is an error */
    const char *nonfinite; /* data.nonfinite: "error" (default) or "zero": NaN and infinity become 0 and are counted */
    int64_t page;          /* image of a TIFF file of several; 0 is the first */
    int64_t max_bytes;     /* of what one call may allocate, and of one row, tile or strip; 0: 4 GiB */
} swg_image_opts;

/* What was found. */
typedef struct swg_image_info {
    int64_t width, height;
    int channels;           /* delivered */
    int file_channels;      /* 1 grey or palette index, 2 grey and alpha, 3, 4, ... */
    swg_element element;    /* of the stored numbers: u8, u16 or f32; what swg_image_read_stored delivers */
    const char *format;     /* "PNG" or "TIFF" */
    int64_t pages;          /* images in the file; 1 for PNG */
    bool alpha_dropped;     /* the file has an alpha channel (or transparency) that is left out: to be told to the user */
    bool palette_expanded, grey_repeated;
    bool whole;             /* interlaced PNG: the first read holds the whole image in memory */
    int64_t nonfinite;      /* values replaced by 0 so far */
    int64_t outside;        /* values outside [0,1] so far, where `scale` allows them */
} swg_image_info;

/* Opens an image and reads its head. The kind is told by the first bytes, not by the name. opts may be NULL.
 * SWG_ENOTFOUND: no such file, no such page. SWG_EFORMAT: neither PNG nor TIFF, or empty. SWG_ECORRUPT: damaged or cut short. SWG_ESHAPE: too large, or
 * channels that do not fit. SWG_EDTYPE: numbers of another kind than u8, u16 and f32. SWG_EUNSUPPORTED: a colour model or compression that is
 * not read, or a build without the library. Messages begin with the path. */
swg_status swg_image_open(swg_context *ctx, const char *path, const swg_image_opts *opts, swg_image **out);
/* The same for a file in memory, which must outlive the image; `name` is for messages. */
swg_status swg_image_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_image_opts *opts, swg_image **out);
void swg_image_close(swg_image *image); /* NULL is allowed */
const swg_image_info *swg_image_about(const swg_image *image);

/* The window of rows y .. y + h - 1 and columns x .. x + w - 1 into out (channels, h, w). Memory held: some rows or tiles, not the image.
 * Windows from top to bottom are cheap, overlap with the window before included; a step further back makes PNG begin again.
 * SWG_EINVAL: not inside the image. SWG_ENONFINITE; SWG_EINVAL for a value outside [0,1]: both name place and value. */
swg_status swg_image_read_window(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, float *out);
swg_status swg_image_read_rows(swg_image *image, int64_t first, int64_t count, float *out); /* (channels, count, width) */
/* The stored numbers, unscaled, as info.element, after the checks of a float image: out (channels, h, w). */
swg_status swg_image_read_stored(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out);

/* A whole image in memory: (channels, height, width), to be freed by swg_image_pixels_free. */
typedef struct swg_image_pixels {
    float *values;
    int channels;
    int64_t height, width;
} swg_image_pixels;
/* info may be NULL. */
swg_status swg_image_read(swg_context *ctx, const char *path, const swg_image_opts *opts, swg_image_pixels *out, swg_image_info *info);
void swg_image_pixels_free(swg_context *ctx, swg_image_pixels *pixels);

/* ---- writing: there whole or not at all ---- */

typedef struct swg_image_writer swg_image_writer;

typedef struct swg_image_write_opts {
    const char *format; /* "png", "tiff"; NULL: by the name's ending, .png .tif .tiff */
    int bits;           /* 0: 8; 16; 32: f32, TIFF only. 8 and 16: round(value * 255 or 65535), value clipped to [0,1] */
} swg_image_write_opts;

/* channels: 1 or 3 for PNG, any for TIFF. opts may be NULL. SWG_EINVAL: what the format cannot hold. */
swg_status swg_image_create(swg_context *ctx, const char *path, int channels, int64_t height, int64_t width, const swg_image_write_opts *opts,
                            swg_image_writer **out);
/* Appends rows (channels, count, width). SWG_ENONFINITE: NaN in an image of 8 or 16 bits. SWG_EINVAL: more rows than the image has. */
swg_status swg_image_append(swg_image_writer *writer, const float *rows, int64_t count);
/* Writes, syncs and names the file; the writer is gone afterwards, whatever the status. SWG_EINVAL: rows are missing. */
swg_status swg_image_finish(swg_image_writer *writer);
void swg_image_abort(swg_image_writer *writer); /* drops the file; NULL is allowed */
/* All of it: pixels (channels, height, width). */
swg_status swg_image_write(swg_context *ctx, const char *path, int channels, int64_t height, int64_t width, const float *pixels,
                           const swg_image_write_opts *opts);

#endif
