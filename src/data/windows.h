/* windows.h - images larger than what a network takes: overlapping windows, weighted and blended, a band of rows in memory.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_WINDOWS_H
#define SWAGE_DATA_WINDOWS_H

#include <signal.h>
#include "base.h"

/* Windows of `window` along an axis of n >= 1 (cyto.md, section 6): the interval is window (1 - overlap), at least 1, the last one flush with the end. */
int64_t swg__windows_count(int64_t n, int64_t window, double overlap);
int64_t swg__windows_start(int64_t n, int64_t window, double overlap, int64_t k);
/* exp(-d^2 / (2 sigma^2)), d from the centre, sigma an eighth of the window: (window) values, all positive. */
void swg__windows_gaussian(int64_t window, double *out);
/* The place in 0..n-1 that position i stands for when the axis is reflected at both ends, its ends not repeated. */
int64_t swg__reflected(int64_t i, int64_t n);

/* An image through a function of windows. Results do not depend on `batch`. */
typedef struct swg__stitch {
    int in_channels, out_channels;
    int64_t height, width;          /* of the image, and of the result */
    int64_t window_height, window_width;    /* larger than the image: reflected at its high end */
    double overlap;                 /* share of a window, 0 <= overlap < 1 */
    bool constant;                  /* windows count the same everywhere; else Gaussian, with a floor of 1e-3 per axis */
    int64_t batch;                  /* windows per call of `run` */
    /* Rows first .. first + count - 1 of the image: (in_channels, count, width). Called from top to bottom, bands overlap. */
    swg_status (*read)(void *user, int64_t first, int64_t count, float *rows);
    /* count windows (count, in_channels, window_height, window_width), of which `first` is the number of the first. *out: their results (count,
     * out_channels, window_height, window_width), valid until the next call. */
    swg_status (*run)(void *user, int64_t first, int64_t count, const float *windows, const float **out);
    /* The next rows of the result: (out_channels, count, width). */
    swg_status (*write)(void *user, int64_t count, const float *rows);
    void (*progress)(void *user, int64_t done, int64_t total);      /* windows; NULL: none */
    const volatile sig_atomic_t *stop; /* NULL, or not 0: SWG_EINTERRUPTED */
    void *user;
} swg__stitch;

int64_t swg__stitch_windows(const swg__stitch *s);
/* Bytes that swg__stitch_run allocates. */
int64_t swg__stitch_bytes(const swg__stitch *s);
swg_status swg__stitch_run(swg_context *ctx, const swg__stitch *s);

#endif
