/* instances.h - what the steps from mask to objects share: checked extents, runs of a mask.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_INSTANCES_H
#define SWAGE_DATA_INSTANCES_H

#include "base.h"
#include "swage/instances.h"

/* *voxels = Z Y X. */
swg_status swg__volume_check(swg_context *ctx, const int64_t extent[3], const double spacing[3], int64_t *voxels);

/* Runs of equal voxels along x, row by row, and the connected part each belongs to. */
typedef struct swg__runs {
    swg_context *ctx;
    int64_t extent[3], count, parts;
    uint32_t *first;        /* (Z Y + 1) number of the first run of each row */
    uint32_t *begin, *end;  /* (count) in x, `end` is behind the last */
    uint32_t *part;         /* (count) 1 .. parts, in the order of their first voxels */
} swg__runs;

/* Runs where mask is not 0, or where it is 0 if `of_zero`. */
swg_status swg__runs_open(swg_context *ctx, const int64_t extent[3], const uint8_t *mask, bool of_zero, swg_neighbours neighbours, swg__runs *out);
void swg__runs_close(swg__runs *r);     /* also one that failed to open */
/* labels = part of each voxel, 0 between runs. */
void swg__runs_paint(const swg__runs *r, uint32_t *labels);

/* Voxels next to a voxel, nearest first: by the number of axes that differ, then in the order of voxels. */
typedef struct swg__around {
    int count;
    int8_t dz[26], dy[26], dx[26];
    int64_t offset[26];
    int64_t extent[3];
} swg__around;
swg__around swg__around_of(const int64_t extent[3], swg_neighbours neighbours);
/* Neighbours of a voxel that are inside the array, into at[26]. */
int swg__around_at(const swg__around *a, uint32_t voxel, uint32_t at[26]);

/* swg_instances_seeds and swg_instances_flood with the parts of the mask known: `parts` (voxels), 1 .. part_count. */
swg_status swg__seeds(swg_context *ctx, const int64_t extent[3], const double spacing[3], const float *height, const uint32_t *parts, int64_t part_count,
                      swg_neighbours neighbours, double min_depth, double min_distance, uint32_t *seeds, int64_t *count);
swg_status swg__flood(swg_context *ctx, const int64_t extent[3], const float *height, const uint32_t *parts, int64_t part_count, swg_neighbours neighbours,
                      uint32_t *labels);

#endif
