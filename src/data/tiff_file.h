/* tiff_file.h - what images and stacks share of libtiff: a file opened on our streams and writers, one directory's facts, its pixels.
 * Only where SWG_HAVE_TIFF is set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_TIFF_FILE_H
#define SWAGE_DATA_TIFF_FILE_H

#include <tiffio.h>
#include "data/image_format.h"

typedef struct swg__tiff {
    swg_context *ctx;
    const char *name;
    TIFF *tiff;
    char reason[200];           /* libtiff's last error */
    swg__stream *stream;        /* reading */
    swg__writer file;           /* writing */
    int64_t max_bytes;          /* of a row or tile */
    /* the directory at hand: swg__tiff_describe */
    int64_t width, height;
    swg_element element;
    int samples;                /* stored numbers of a pixel */
    int colours;                /* the first of them, without alpha */
    uint16_t photometric, compression;
    /* swg__tiff_prepare */
    bool tiled, separate;
    uint32_t tile_width, tile_height, strip_rows;
    int64_t next;               /* row and plane that come next */
    int plane;
    size_t piece_bytes, scratch_bytes; /* of one row of the file's numbers, or one tile */
    uint8_t *scratch;
} swg__tiff;

/* "name: what: libtiff's reason". */
swg_status swg__tiff_refuse(swg__tiff *t, swg_status status, const char *what);
swg_status swg__tiff_damaged(swg__tiff *t);

/* Opens for reading, at the first directory. t->ctx, name, stream and max_bytes are set. */
swg_status swg__tiff_open(swg__tiff *t);
/* Opens t->file, which is open, for writing. big: BigTIFF. */
swg_status swg__tiff_create(swg__tiff *t, bool big);
/* Writes what is left; reports errors that libtiff keeps until the end. The file is not committed. */
swg_status swg__tiff_flush(swg__tiff *t);
void swg__tiff_close(swg__tiff *t); /* harmless twice; drops a file that is not committed */

/* Facts of the directory at hand. SWG_EDTYPE: not one of i8 .. u32, f32, f64. SWG_EUNSUPPORTED: compression, colour model, orientation. */
swg_status swg__tiff_describe(swg__tiff *t);
/* Its pieces, and scratch for one of them. SWG_ESHAPE: rows or tiles of more than max_bytes. */
swg_status swg__tiff_prepare(swg__tiff *t);

/* Numbers of a pixel that lie together: 1 where the planes are separate. */
static inline int swg__tiff_together(const swg__tiff *t) { return t->separate ? 1 : t->samples; }

/* Row y of plane s (0 where samples lie together), as it is stored, native byte order: piece_bytes. Not for tiles. */
swg_status swg__tiff_row(swg__tiff *t, int64_t y, int s, void *out);

/* Gets the n pixels (n, together) of one row from column x on; sample: the plane, 0 where samples lie together. Rows and columns count from the window's corner. */
typedef void (*swg__tiff_take)(void *user, const uint8_t *pixels, int sample, int64_t row, int64_t column, int64_t n);
/* Hands over the pixels of a window; of separate planes those in planes (count), all of the others. */
swg_status swg__tiff_window(swg__tiff *t, int64_t y, int64_t x, int64_t h, int64_t w, const int *planes, int count, swg__tiff_take take, void *user);

#endif
