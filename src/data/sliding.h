/* sliding.h - images larger than what a network takes: overlapping windows in two or three axes, batched across images, weighted and blended,
 * a band of each image in memory.
 *
 * Images are (channels, Z, Y, X); one of two axes is Z = 1 with a window of 1. Windows are numbered image by image, x fastest; they are cut in
 * that order, run in batches that may hold the end of one image and the beginning of the next, and added in that order by one sum per voxel, so
 * that no result depends on the batch, the bands or the number of threads. Two things differ from cyto.md, section 6, on purpose: sums are f64, because
 * a thousand windows may meet in a voxel; and the floor of 1e-3 is one per axis, because one of the product makes all weights along an image's border
 * equal, which shows as a seam.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_SLIDING_H
#define SWAGE_DATA_SLIDING_H

#include <signal.h>
#include "base.h"

/* ---- one axis (cyto.md, section 6) ---- */

/* Windows of `window` along an axis of n >= 1: the interval is window (1 - overlap), at least 1, the last one flush with the end. One where the
 * axis is not longer than the window. */
int64_t swg__windows_count(int64_t n, int64_t window, double overlap);
int64_t swg__windows_start(int64_t n, int64_t window, double overlap, int64_t k);
/* exp(-d^2 / (2 sigma^2)), d from the centre, sigma an eighth of the window: (window) values, all positive. */
void swg__windows_gaussian(int64_t window, double *out);

/* ---- images ---- */

enum { SWG__SLIDING_HEADS = 8 };

/* What an axis shorter than its window is filled with. */
typedef enum swg__sliding_pad {
    SWG__PAD_ZERO,      /* zeros, half of them in front, rounded down */
    SWG__PAD_REFLECT,   /* at the high end, the last voxel not repeated */
    SWG__PAD_REPLICATE  /* at the high end, the last voxel repeated */
} swg__sliding_pad;

/* Where a window is. */
typedef struct swg__sliding_window {
    int64_t image, index;   /* 0 .. images - 1; number of the window within its image */
    int64_t count;          /* windows of that image */
    int64_t extent[3];      /* of that image */
    int64_t start[3];       /* z, y, x of its first voxel; negative where the image is padded in front */
} swg__sliding_window;

/* What the network gives for a window: (channels, ratio[0] roi[0], ratio[1] roi[1], ratio[2] roi[2]). */
typedef struct swg__sliding_head {
    int channels;
    int64_t ratio[3];       /* result voxels per image voxel and axis, 1 or more; 0 counts as 1 */
} swg__sliding_head;

typedef struct swg__sliding {
    int channels;                   /* of the images */
    int64_t roi[3];                 /* extents of a window, z y x */
    double overlap;                 /* share of a window, 0 <= overlap < 1 */
    bool constant;                  /* windows count the same everywhere; else Gaussian, with a floor of 1e-3 per axis */
    swg__sliding_pad pad;
    int64_t batch;                  /* sw_batch_size: windows per call of `run`; 0: 1 */
    int64_t steps;                  /* buffer_steps: steps of windows along the banded axis that are held at a time; 0: 1 */
    int along;                      /* bands are slabs of axis 1 z, 2 y, 3 x, and axes before it have one window; 0: the first axis longer than its window */
    bool boxed;                     /* windows that do not meet the box are skipped; voxels that no window covers become 0 */
    int64_t box[3][2];              /* first voxel, and the one behind the last, per axis; may reach out of an image */
    int heads;                      /* 0: windows are run, nothing is blended, `write` is not called */
    swg__sliding_head head[SWG__SLIDING_HEADS];
    int64_t images;
    /* Image k = 0, 1, ... is wanted: its extents. Up to 1 + batch images are open between `begin` and `finish`. */
    swg_status (*begin)(void *user, int64_t image, int64_t extent[3]);
    /* Voxels of `image`, (channels, count[0], count[1], count[2]) from `start`: two of the axes whole, slabs of the third in order, each once. */
    swg_status (*read)(void *user, int64_t image, const int64_t start[3], const int64_t count[3], float *out);
    /* `count` windows (count, channels, roi...) and their places. out[h]: (count, head channels, ratio roi...), valid until the next call. */
    swg_status (*run)(void *user, int64_t count, const swg__sliding_window *at, const float *windows, const float **out);
    /* Result of a head, (head channels, count...) from `start` of the whole result of ratio times the image's extents: in order as `read`, each once.
     * An image begins only when the one before is finished. */
    swg_status (*write)(void *user, int64_t image, int head, const int64_t start[3], const int64_t count[3], const float *values);
    swg_status (*finish)(void *user, int64_t image);        /* all of it was read, run and written; NULL: nothing to do */
    void (*progress)(void *user, int64_t done);             /* windows so far, of all images; NULL: none */
    const volatile sig_atomic_t *stop;                      /* NULL, or not 0: SWG_EINTERRUPTED */
    void *user;
} swg__sliding;

/* Windows of an image of these extents, those outside the box left out. */
int64_t swg__sliding_windows(const swg__sliding *s, const int64_t extent[3]);
/* Most bytes that swg__sliding_run holds at a time for images of these extents, (images, 3): windows, a band of one image, and a band of sums. */
int64_t swg__sliding_bytes(const swg__sliding *s, int64_t images, const int64_t *extents);
/* SWG_EINVAL: an option that cannot be, or a box that meets no window of an image. SWG_ESHAPE: an image without voxels, or with more than can be
 * counted. SWG_EINTERRUPTED, SWG_ENOMEM, and whatever a callback gives: images that were not finished stay so. */
swg_status swg__sliding_run(swg_context *ctx, const swg__sliding *s);

#endif
