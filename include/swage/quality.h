/* quality.h - how close an image is to its target: errors, PSNR, SSIM, correlation; and how far two masks overlap. In two and three axes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_QUALITY_H
#define SWAGE_QUALITY_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

/* ---- images ---- */

/* Sums over pairs of images; all zero to begin. Plain data: nothing to free. Add in a fixed order for fixed bits. */
typedef struct swg_image_quality {
    int64_t images;
    int64_t values;             /* in all images */
    double square, absolute;    /* sums of e^2 and |e| */
    double ssim;                /* sum over images that have one */
    int64_t ssim_images;        /* extents of 11 or more, or fit_taps; a range */
    double pearson;             /* sum over images that have one */
    int64_t pearson_images;     /* neither image constant */
    double psnr_db;             /* sum over images that have one, infinite where one is without error */
    int64_t psnr_images;        /* a range */
} swg_image_quality;

typedef struct swg_quality_opts {
    int channels;
    int64_t extent[3];          /* z, y, x; {1, height, width} for a plane */
    double range;               /* of values, for PSNR and SSIM; 0: largest minus smallest value of the target. Without a range there is neither. */
    bool clip;                  /* `image` is clipped to [0,1] first */
    bool fit_taps;              /* an extent below 11 has the largest odd number of taps that fits; else an image with one has no SSIM (planes: z is 1) */
} swg_quality_opts;

/* Compares `image` with `target`, both (channels, z, y, x).
 * SSIM of Wang et al. 2004: Gaussian window of 11 taps per axis, sigma 1.5, K .01 and .03, L the range, valid positions, per channel, mean over
 * channels; an axis of extent 1 has one tap, so that a plane has the index of a plane. Pearson r over all values of the image.
 * SWG_ENONFINITE: NaN or infinity in one of them, nothing added. Takes memory for a copy where it clips, and per thread for 5 (z + 2) rows of doubles. */
swg_status swg_image_quality_add(swg_context *ctx, swg_image_quality *sums, const float *target, const float *image, const swg_quality_opts *opts);
void swg_image_quality_join(swg_image_quality *sums, const swg_image_quality *other);
/* Means. NaN where there is none. */
double swg_image_mse(const swg_image_quality *sums);
double swg_image_mae(const swg_image_quality *sums);
double swg_image_ssim(const swg_image_quality *sums);
double swg_image_pearson(const swg_image_quality *sums);
double swg_image_psnr_db(const swg_image_quality *sums);        /* of the mean square error of all values with range 1; +INFINITY where that is 0 */
double swg_image_psnr_mean_db(const swg_image_quality *sums);   /* mean over images, each with its range: 20 log10(range) - 10 log10(MSE) */

/* ---- masks ---- */

/* Sums over pairs of masks; all zero to begin. */
typedef struct swg_overlap {
    int64_t images;
    double dice, iou;           /* sums over images */
} swg_overlap;

/* Adds one pair of `count` values; in the mask are values > .5 (NaN is not). Dice = 2 both / (target + image), IoU = both / either; two empty masks give
 * 1, one empty mask 0. */
void swg_overlap_add(swg_overlap *sums, const float *target, const float *image, int64_t count);
void swg_overlap_join(swg_overlap *sums, const swg_overlap *other);
double swg_overlap_dice(const swg_overlap *sums);               /* means; NaN without images */
double swg_overlap_iou(const swg_overlap *sums);

#endif
