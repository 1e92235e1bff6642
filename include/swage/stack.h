/* stack.h - microscopy stacks of axes time, channel, z, y, x: TIFF (OME, ImageJ, plain), PNG, NPY and HDF5 in, box by box; TIFF out, plane by plane.
 * TIFF needs libtiff 4.5 or newer, PNG libpng, found when the library is built; without one, its files give SWG_EUNSUPPORTED with a message
 * that names what is missing. What is read and how axes are told: docs/stacks.md. For photographs with values in [0,1] see image.h.
 * A stack is used by one caller at a time; the same file may be opened as often as wanted.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_STACK_H
#define SWAGE_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"
#include "swage/element.h"

/* ---- reading ---- */

typedef struct swg_stack swg_stack;

typedef struct swg_stack_opts {
    const char *layout;    /* axes as they lie in the file, slowest first: "ZCYX". NULL: as the file says, see docs/stacks.md. Letters T (or B,
                              a batch), C, Z, Y, X, each at most once; Z before Y before X, behind X only C. A letter may be followed by its extent
                              ("ZC2YX"), which the pages of a TIFF need for all axes but one */
    const char *nonfinite; /* data.nonfinite: "error" (default) or "zero": NaN and infinity become 0 and are counted */
    int64_t max_bytes;     /* of one row, tile or strip, and of what the file's own description may take; 0: 4 GiB. Boxes go into the caller's
                              memory; what a call takes beside it is some rows or tiles */
} swg_stack_opts;

/* What was found. Strings live as long as the stack. */
typedef struct swg_stack_info {
    int64_t t, c, z, y, x;       /* extents, 1 or more */
    swg_element element;         /* of the stored numbers */
    const char *format;          /* "TIFF", "BigTIFF", "PNG", "NPY", "HDF5" */
    const char *compression;     /* "none", "deflate", "lzw", ... */
    const char *order;           /* axes in the file, slowest first, those of extent 1 that the file does not name left out: "TCZYX";
                                    S: the samples of a pixel, part of c */
    const char *order_from;      /* who says so: "OME-XML", "ImageJ", "tifffile", "layout", "pages" (pages are z), "rank" (of an NPY or HDF5 array), "image" */
    bool big_endian, tiled;      /* byte order in the file; stored in tiles or chunks */
    int64_t pages;               /* images in a TIFF file, those included that are left out; 1 otherwise */
    int64_t images_left_out;     /* further images of an OME file, and pages that are smaller copies: to be told to the user */
    int64_t planes_missing;      /* planes that OME-XML names and this file does not hold: SWG_ENOTFOUND where one is read */
    bool alpha_dropped;          /* an alpha channel is left out: to be told to the user */
    bool palette;                /* the numbers are indices of a palette, which is for display: indices are delivered */
    double size_um[3];           /* micrometres from one voxel to the next along z, y, x; 0: not told */
    double interval_s;           /* seconds from one time to the next; 0: not told */
    int64_t nonfinite;           /* values replaced by 0 so far */
} swg_stack_info;

/* Opens a stack and reads its description, no pixels. The kind is told by the first bytes. A dataset of an HDF5 file is named behind the file:
 * "cells.h5:/raw/a". opts may be NULL. Messages begin with the path.
 * SWG_ENOTFOUND: no such file or dataset. SWG_EFORMAT: none of the kinds, or axes that are not told and would have to be guessed: the message
 * names `layout`. SWG_EINVAL: a layout that does not fit. SWG_ECORRUPT: damaged or cut short. SWG_ESHAPE: too large, or pages of different
 * sizes. SWG_EDTYPE: numbers of another kind than i8 u8 i16 u16 i32 u32 f32 f64; NPY and HDF5: also i64 u64, NPY: also f16, told as f32.
 * SWG_EUNSUPPORTED: a colour model or compression that is not read, or a build without the library. */
swg_status swg_stack_open(swg_context *ctx, const char *path, const swg_stack_opts *opts, swg_stack **out);
/* The same for a TIFF, PNG or NPY file in memory, which must outlive the stack; `name` is for messages. */
swg_status swg_stack_open_memory(swg_context *ctx, const void *data, int64_t bytes, const char *name, const swg_stack_opts *opts, swg_stack **out);
void swg_stack_close(swg_stack *stack); /* NULL is allowed */
const swg_stack_info *swg_stack_about(const swg_stack *stack);
/* NULL: not told, or no such channel. */
const char *swg_stack_channel(const swg_stack *stack, int64_t c);

/* A part of one time: all zero is the whole of the first. */
typedef struct swg_stack_box {
    int64_t t;
    const int *channels;   /* (channel_count), in the order wanted, repetition allowed; NULL: all */
    int channel_count;
    int64_t z, y, x;       /* first */
    int64_t d, h, w;       /* extents along z, y, x; 0: to the end */
} swg_stack_box;

/* Fills in what is 0 for "to the end", and the channel count. SWG_EINVAL: not inside the stack, or a channel that it does not have: the message
 * names the number of its channels. */
swg_status swg_stack_settle(const swg_stack *stack, swg_stack_box *box);

/* The stored numbers of a box as floats, unscaled, into out (channels, d, h, w); integers of more than 24 bits and f64 are rounded to the nearest float.
 * Only the pages needed are decoded, and of them only what the box touches (compressed: strips from their first row, whole tiles or chunks).
 * SWG_EINVAL as swg_stack_settle. SWG_ENONFINITE: NaN, infinity or beyond f32's range; says how many are in the box, and where the first.
 * SWG_ECORRUPT: damaged. SWG_ENOTFOUND: a plane of another file (planes_missing). */
swg_status swg_stack_read(swg_stack *stack, const swg_stack_box *box, float *out);
/* Label ids, exactly: integers, or floats that are whole numbers. SWG_EINVAL: a value that is no whole number in 0 .. 2^31 - 1, with its place. */
swg_status swg_stack_read_labels(swg_stack *stack, const swg_stack_box *box, int32_t *out);

/* ---- writing: TIFF with OME-XML, there whole or not at all ---- */

typedef struct swg_stack_writer swg_stack_writer;

typedef struct swg_stack_write_opts {
    swg_element element;              /* 0: f32; u8, u16, u32 (labels), f32 */
    bool deflate;                     /* lossless compression */
    double size_um[3];                /* as swg_stack_info; 0: not told */
    double interval_s;
    const char *const *channel_names; /* (c) UTF-8, entries may be NULL; NULL: none */
} swg_stack_write_opts;

/* Starts "PATH.part". Extents 1 or more. BigTIFF where the file may pass 3.75 GiB. opts may be NULL.
 * SWG_EINVAL: extents, element or name that cannot be written. SWG_ENOTFOUND: no such folder. SWG_EIO: also if somebody else writes PATH.part now. */
swg_status swg_stack_create(swg_context *ctx, const char *path, int64_t t, int64_t c, int64_t z, int64_t y, int64_t x, const swg_stack_write_opts *opts,
                            swg_stack_writer **out);
/* Appends planes (count, y, x) of the writer's element, in the order z fastest, then channel, then time. SWG_EINVAL: more than the stack has. */
swg_status swg_stack_append(swg_stack_writer *writer, const void *planes, int64_t count);
/* The same from floats: integers are rounded to the nearest (halves up) and clipped to the range of the element.
 * SWG_ENONFINITE: NaN, where the element is an integer. */
swg_status swg_stack_append_f32(swg_stack_writer *writer, const float *planes, int64_t count);
/* Writes, syncs and names the file; the writer is gone afterwards, whatever the status. SWG_EINVAL: planes are missing. */
swg_status swg_stack_finish(swg_stack_writer *writer);
void swg_stack_abort(swg_stack_writer *writer); /* drops the file; NULL is allowed */

#endif
