/* images_inside.h - what a data set of images holds: shared by opening and fetching.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_IMAGES_INSIDE_H
#define SWAGE_DATA_IMAGES_INSIDE_H

#include "data/images.h"

typedef enum swg__images_mode { SWG__IMAGES_EXACT, SWG__IMAGES_CROP, SWG__IMAGES_RESIZE, SWG__IMAGES_TILE } swg__images_mode;

typedef struct swg__images_item {
    swg__images_file file;
    swg_element element;
    void *pixels;               /* (channels, height, width) as stored; NULL: read at every fetch */
    int64_t first_sample;
} swg__images_item;

struct swg__images {
    swg_context *ctx;
    swg__images_mode mode;
    int64_t tile, overlap;
    bool pad, cached;
    int group_column;           /* -1: none */
    swg_image_opts reading;
    swg__image_list list;
    swg__images_item *items;
    int64_t item_count, skipped;
    swg__images_sample *samples;
    int64_t count, bytes;
    swg_split split;
    char *summary;
    char digest[65];
};

#endif
