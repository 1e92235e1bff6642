/* image_format.h - what image.c and the code of one file format share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_IMAGE_FORMAT_H
#define SWAGE_DATA_IMAGE_FORMAT_H

#include "stream.h"
#include "swage/image.h"

struct swg_image {
    swg_context *ctx;
    char *name;                 /* for messages */
    swg__stream stream;
    double scale;
    bool zero_nonfinite;
    bool as_stored;             /* PNG: indices of a palette, and numbers of 1, 2 and 4 bits as they are */
    bool palette;               /* PNG: there is one */
    int64_t max_bytes;
    swg_image_info info;
    const struct swg__image_format *format;
    void *state;                /* of the format */
    int samples;                /* stored numbers of a pixel as `row` gives them, alpha included */
    int colours;                /* the first of them that are channels */
    int64_t band;               /* rows that are decoded together: height of a tile; 1 */
    /* rows kept for windows that overlap: row y is in slot y % kept_rows */
    uint8_t *kept;
    int64_t *kept_row;          /* (kept_rows) */
    int64_t kept_rows;
};

typedef struct swg__image_format {
    const char *name;
    /* Reads the head: width, height, file_channels, element, pages, alpha_dropped, palette_expanded, whole of the info; samples, colours,
     * band. */
    swg_status (*open)(swg_image *image, int64_t page);
    /* Row y, (width, samples) stored numbers; the row after the last one is cheap. NULL: by windows only. */
    swg_status (*row)(swg_image *image, int64_t y, void *out);
    /* Colours of a window, (colours, h, w); NULL: by rows. Asked after `open` by image->by_window. */
    swg_status (*window)(swg_image *image, int64_t y, int64_t x, int64_t h, int64_t w, void *out);
    bool (*by_window)(const swg_image *image);
    void (*close)(swg_image *image);
} swg__image_format;

extern const swg__image_format swg__image_png, swg__image_tiff;

/* An image whose numbers are wanted as_stored. Takes over the stream, also where it fails. */
swg_status swg__image_open_stored(swg_context *ctx, const char *name, swg__stream stream, int64_t max_bytes, swg_image **out);

/* SWG_ESHAPE where sides, or bytes of one row of `samples` numbers, are more than an image may have. */
swg_status swg__image_check_size(const swg_image *image, int64_t height, int64_t width, int64_t samples, int64_t sample_bytes);
/* Channel by channel out of interleaved numbers: to (channels, height, width of the plane) at one row. from: (w, samples). */
void swg__image_planes(int bytes, const void *from, int64_t w, int samples, int channels, void *to, int64_t plane);

/* Stored numbers to values: scale 0: u8 / 255, u16 / 65535, f32 as it is. */
void swg__image_values(swg_element element, const void *stored, int64_t count, double scale, float *out);

/* ---- writing ---- */

struct swg_image_writer {
    swg_context *ctx;
    char *path;
    int channels, bits;
    int64_t height, width, rows; /* rows written */
    const struct swg__image_writing *format;
    void *state;
    uint8_t *row;               /* (width, channels) as stored, native byte order */
};

typedef struct swg__image_writing {
    const char *name;
    swg_status (*open)(swg_image_writer *writer);
    swg_status (*row)(swg_image_writer *writer);        /* writes writer->row as row writer->rows */
    swg_status (*finish)(swg_image_writer *writer);     /* commits; `abort` is called afterwards */
    void (*abort)(swg_image_writer *writer);            /* whatever is left; harmless twice */
} swg__image_writing;

extern const swg__image_writing swg__png_writing, swg__tiff_writing;

/* "x.tif: this build has no libtiff ...". Returns SWG_EUNSUPPORTED. */
swg_status swg__image_missing(swg_context *ctx, const char *name, const char *library);

#endif
