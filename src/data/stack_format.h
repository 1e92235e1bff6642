/* stack_format.h - what stack.c and the code of one file format share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_STACK_FORMAT_H
#define SWAGE_DATA_STACK_FORMAT_H

#include "data/image_format.h"
#include "swage/stack.h"

/* ---- axes ---- */

enum { SWG__AXES_MAX = 6 };

/* Axes as they lie in a file, slowest first. Letters T, C, Z, Y, X; S: the samples of a pixel of a TIFF. */
typedef struct swg__axes {
    int count;
    char letter[SWG__AXES_MAX];
    int64_t extent[SWG__AXES_MAX]; /* 0: not told */
} swg__axes;

/* Reads a layout word into axes. SWG_EINVAL: an unknown or repeated letter, no Y or X, axes out of order, an extent that is no number. */
swg_status swg__axes_parse(swg_context *ctx, const char *name, const char *layout, swg__axes *out);
/* Index of a letter, -1 if it is not there. */
int swg__axes_find(const swg__axes *axes, char letter);
/* Extent of a letter, 1 if it is not there. */
int64_t swg__axes_extent(const swg__axes *axes, char letter);
/* Axes of an array of `ndim` extents: by layout, or by rank where that is clear (2: YX, 4: CZYX). order_from: set. */
swg_status swg__axes_of_array(swg_context *ctx, const char *name, const char *layout, int ndim, const int64_t *dims, swg__axes *out, const char **order_from);

/* ---- one stack ---- */

struct swg_stack {
    swg_context *ctx;
    char *name;                 /* for messages */
    swg__stream stream;         /* fd -1 and no data: HDF5, or handed on */
    const char *layout;         /* the caller's, while the stack is opened */
    bool zero_nonfinite;
    int64_t max_bytes;
    swg_stack_info info;
    swg__arena arena;           /* names */
    char **channels;            /* (info.c), entries may be NULL; NULL: none is told */
    char order[SWG__AXES_MAX + 1];
    const struct swg__stack_format *format;
    void *state;                /* of the format */
    bool half;                  /* stored numbers are f16, which `read` delivers; info.element is f32 */
    int together;               /* channels k together .. (k + 1) together - 1 are read at once; 1: each alone */
    int64_t band_z, band_y;     /* planes and rows that are decoded together */
};

typedef struct swg__stack_format {
    /* Reads the description: all of the info; order, channels; together, band_z, band_y (1 before). */
    swg_status (*open)(swg_stack *stack);
    /* Stored numbers of a settled box whose channels lie together, native byte order, into out (channels, d, h, w). */
    swg_status (*read)(swg_stack *stack, const swg_stack_box *box, void *out);
    void (*close)(swg_stack *stack); /* also after an `open` that failed, if it has set the state */
} swg__stack_format;

extern const swg__stack_format swg__stack_tiff, swg__stack_png, swg__stack_npy, swg__stack_hdf5;

/* Length of the file's part in "file.h5:/name"; 0 where the path is no such thing (stack_h5.c). */
size_t swg__stack_dataset(swg_context *ctx, const char *path);
/* Takes over extents and order of the axes: a letter that is not there has extent 1. S multiplies C. SWG_ESHAPE: empty, or too large. */
swg_status swg__stack_take_axes(swg_stack *stack, const swg__axes *axes, const char *order_from);
/* Room for the names of info.c channels, once that is known. NULL: out of memory. */
char **swg__stack_names(swg_stack *stack);

/* ---- what a TIFF says about its axes: stack_words.c, stack_ome.c ---- */

/* Facts of the first page that the words are checked against. */
typedef struct swg__page_facts {
    int64_t pages, copies;      /* in all; of them smaller copies and masks */
    int64_t width, height;
    int samples, colours;
    bool plain;                 /* one uncompressed run: further planes may lie behind it */
    float x_resolution, y_resolution; /* pixels for a unit; 0: not told */
} swg__page_facts;

/* The pages of a file as planes. */
typedef struct swg__planes {
    swg__axes axes;             /* without Y, X and S */
    const char *order_from;
    bool behind;                /* the planes after the first lie behind it, without directories of their own */
    bool copies_count;          /* pages that are smaller copies have numbers, too */
    int32_t *page;              /* page of plane (t C + c) Z + z, -1: missing; NULL: pages in the order of the axes. On the heap */
    int64_t missing;            /* planes without a page */
    int64_t images;             /* of OME-XML, the first of which is taken; else 1 */
    double size_um[3], interval_s;
    char **channels;            /* names (channel_count) or NULL, on the stack's arena, as are they */
    int64_t channel_count;
} swg__planes;

/* By OME-XML, ImageJ's lines or tifffile's JSON in `text` (may be NULL); pages are z where there is none of them; the caller's layout
 * takes the place of the order. SWG_EFORMAT, SWG_EINVAL: it does not fit the pages. out->page is to be freed, also on failure. */
swg_status swg__planes_settle(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out);
/* True if `text` is OME-XML. */
bool swg__is_ome(const char *text);
/* The first image of OME-XML. */
swg_status swg__planes_of_ome(swg_stack *stack, const char *text, const swg__page_facts *facts, swg__planes *out);
/* Micrometres of a unit as OME and ImageJ write it, 0 if it is no length. Seconds likewise. */
double swg__unit_um(const char *unit);
double swg__unit_s(const char *unit);

#endif
