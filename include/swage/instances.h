/* instances.h - from a mask or a probability to objects: threshold, labelling, distance transform, seeds, watershed; and how well objects fit
 * those of a reference.
 *
 * Arrays are (Z, Y, X) in C order with extent[3] = {Z, Y, X}; a plane is Z = 1. Masks are bytes, 0 is background. Labels are 1, 2, ... and 0 is
 * background. All work on whole arrays in memory, in parallel where that pays; the results do not depend on the number of threads. Common failures:
 * SWG_ESHAPE: an extent below 1, or 2^32 - 1 voxels or more; SWG_EINVAL: an option that cannot be; SWG_ENOMEM. `out` may not overlap an input unless
 * said. n is the number of voxels, f that of foreground voxels.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_INSTANCES_H
#define SWAGE_INSTANCES_H

#include <stdbool.h>
#include <stdint.h>
#include "swage/context.h"

typedef enum swg_neighbours {
    SWG_NEIGHBOURS_ALL,     /* faces, edges and corners: 26, and 8 in a plane */
    SWG_NEIGHBOURS_FACES    /* 6, and 4 in a plane */
} swg_neighbours;

/* ---- steps ---- */

/* Threshold between two classes of values with the largest variance between them (Otsu 1979), from a histogram of 256 bins between the smallest and
 * the largest value; the middle of a bin. Foreground is value > threshold. A constant array gives its value. O(n).
 * SWG_ENONFINITE: NaN or infinity among the values. */
swg_status swg_instances_otsu(swg_context *ctx, const float *values, int64_t count, double *threshold);

/* mask = value > threshold (NaN is background). Returns how many. */
int64_t swg_instances_threshold(const float *values, int64_t count, double threshold, uint8_t *mask);

/* Numbers connected parts of the mask in the order of their first voxels. count may be NULL. O(n), 12 bytes per run of foreground in x. */
swg_status swg_instances_label(swg_context *ctx, const int64_t extent[3], const uint8_t *mask, swg_neighbours neighbours, uint32_t *labels, int64_t *count);

/* Fills holes: background without a way to the border of the array becomes 1. Background is connected by faces where objects are connected by
 * `neighbours` = all, and the other way round. filled (may be NULL): voxels. O(n). */
swg_status swg_instances_fill(swg_context *ctx, const int64_t extent[3], uint8_t *mask, swg_neighbours neighbours, int64_t *filled);

/* Removes labels of fewer than min_voxels voxels and numbers the others anew, in the order of their old numbers. Labels are 0..count; returns in
 * *count what is left. O(n). */
swg_status swg_instances_prune(swg_context *ctx, int64_t voxels, uint32_t *labels, int64_t min_voxels, int64_t *count);

/* Exact Euclidean distance of each foreground voxel to the nearest background voxel, 0 in the background (Felzenszwalb and Huttenlocher 2012, lower
 * envelopes of parabolas along each axis). spacing: lengths of a voxel in z, y, x; NULL: 1. The array's border is no background; where there is no
 * background at all, every distance is the diagonal of the array. O(n). Squares are held as f32: exact for whole numbers below 2^24, else to 1e-7. */
swg_status swg_instances_distance(swg_context *ctx, const int64_t extent[3], const double spacing[3], const uint8_t *mask, float *distance);

/* Gaussian filter, sigma in lengths of `spacing` (NULL: 1), cut off at 4 sigma, reflected at the borders with the last voxel repeated. In place. */
swg_status swg_instances_smooth(swg_context *ctx, const int64_t extent[3], const double spacing[3], double sigma, float *values);

/* Marks the maxima of `height` within the mask with 1, 2, ... in the order of voxels; all else becomes 0. A maximum is a connected plateau without a
 * higher neighbour, marked at its first voxel. It counts only
 *   - if one has to go down by min_depth or more to reach a higher one (the dynamics of Grimaud 1992: the maxima that h-maxima keep), and
 *   - if no higher one (of equals, the first) that counts is nearer than min_distance, in lengths of `spacing` (NULL: 1), within its connected part.
 * Every connected part of the mask keeps one. O(f log f). */
swg_status swg_instances_seeds(swg_context *ctx, const int64_t extent[3], const double spacing[3], const float *height, const uint8_t *mask,
                               swg_neighbours neighbours, double min_depth, double min_distance, uint32_t *seeds, int64_t *count);

/* Watershed by flooding from markers (Meyer 1994; Beucher and Meyer 1993): voxels of the mask take the label of the neighbour that reaches them first,
 * in the order of falling `height` and, for equals, of their discovery; neighbours are looked at by the number of axes that differ, then in the order of
 * voxels. labels holds the markers on entry, and all of the mask that is connected to one on return; a marker outside the mask is dropped. Parts of
 * the mask with one marker are filled without flooding. O(f log f) in the parts with several. */
swg_status swg_instances_flood(swg_context *ctx, const int64_t extent[3], const float *height, const uint8_t *mask, swg_neighbours neighbours,
                               uint32_t *labels);

/* ---- all of it ---- */

typedef struct swg_instances_opts {
    double blur;                /* sigma of a Gaussian on the values before the threshold, in lengths of spacing; 0: none */
    double threshold;           /* foreground is value > threshold */
    bool otsu;                  /* threshold by swg_instances_otsu instead */
    swg_neighbours neighbours;
    double spacing[3];          /* lengths of a voxel in z, y, x; all 0: 1 */
    bool whole;                 /* connected parts are objects: no watershed */
    double smooth;              /* sigma of the Gaussian on the distance, in lengths of spacing; 0: none */
    double min_depth;           /* of a seed, as of swg_instances_seeds */
    double min_distance;
    int64_t min_voxels;         /* smaller objects are removed */
    bool keep_holes;            /* holes are not filled */
} swg_instances_opts;

/* threshold .5, smooth 1, min_depth .5, min_distance 0, min_voxels 0. */
void swg_instances_defaults(swg_instances_opts *opts);

typedef struct swg_instances_result {
    double threshold;           /* used */
    int64_t objects, removed;   /* found; too small */
    int64_t foreground, filled; /* voxels, the filled ones included; filled */
} swg_instances_result;

/* Gaussian, threshold, holes, distance, seeds, watershed, small objects: values (Z, Y, X), labels alike. opts and result may be NULL.
 * Takes 9 bytes per voxel, and for a time up to 25 per voxel of the parts that may be split. NaN is background; SWG_ENONFINITE with otsu or blur. */
swg_status swg_instances_find(swg_context *ctx, const int64_t extent[3], const float *values, const swg_instances_opts *opts, uint32_t *labels,
                              swg_instances_result *result);

/* ---- against a reference ---- */

enum { SWG_AP_LEVELS = 10 };    /* IoU > .5, .55, ..., .95 */

/* Sums over pairs of label images; all zero to begin. Plain data. */
typedef struct swg_instance_score {
    int64_t images;
    int64_t reference, found;               /* objects in all images */
    int64_t matched[SWG_AP_LEVELS];         /* pairs with IoU > level */
    double precision[SWG_AP_LEVELS];        /* sums of TP / (TP + FP + FN) of an image; 1 where neither has objects */
    double excess, miscount;                /* sums of found - reference, and of its magnitude */
    double dice, iou;                       /* sums over images, of labels > 0 */
} swg_instance_score;

/* Adds one pair of label images of `voxels` voxels. Labels may be any numbers; the same number is the same object, connected or not. O(voxels).
 * A pair counts as a match at IoU > level >= .5, so that none can match twice. */
swg_status swg_instance_score_add(swg_context *ctx, swg_instance_score *sums, int64_t voxels, const uint32_t *reference, const uint32_t *found);
void swg_instance_score_join(swg_instance_score *sums, const swg_instance_score *other);
/* Means over images; NaN without images. level: 0 is IoU > .5. */
double swg_instance_ap(const swg_instance_score *sums, int level);
double swg_instance_map(const swg_instance_score *sums);            /* mean over the ten levels */
double swg_instance_count_bias(const swg_instance_score *sums);     /* mean of found - reference */
double swg_instance_count_error(const swg_instance_score *sums);    /* mean of |found - reference| */
double swg_instance_dice(const swg_instance_score *sums);
double swg_instance_iou(const swg_instance_score *sums);

#endif
