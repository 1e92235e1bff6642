/* predict.h - a trained network on whole images, whatever their size: tiles that overlap, blended, in memory that does not grow with the height.
 *
 *     swg_model_open(ctx, "runs/dae", &model);
 *     swg_predict_file(ctx, model, "slide.tif", "clean.tif", &(swg_predict_opts){.overlap = .25}, &result);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PREDICT_H
#define SWAGE_PREDICT_H

#include <signal.h>
#include "swage/model.h"

typedef struct swg_predict_opts {
    double overlap;             /* share of a tile that neighbours have in common, 0 <= overlap < 1 */
    bool constant;              /* tiles count the same everywhere; else by a Gaussian around their centre */
    int64_t batch;              /* tiles at a time, 0: 4; results do not depend on it */
    double scale;               /* data.scale; 0: that of training */
    const char *nonfinite;      /* data.nonfinite, "error" or "zero"; NULL: that of training */
    const char *latent;         /* NULL, or .npy file for z: (C, H, W) of an image that is one tile, else (tiles, C, H, W) in order of rows */
    void (*progress)(void *user, int64_t done, int64_t total);  /* tiles; NULL: none */
    void (*note)(void *user, const char *text);     /* what the user should read: an alpha channel that is left out, values replaced; NULL: none */
    const volatile sig_atomic_t *stop;   /* NULL, or not 0: stop; nothing is written then */
    void *user;
} swg_predict_opts;

typedef struct swg_predict_result {
    int64_t height, width, tiles, tiles_down, tiles_across;
    int64_t tile_height, tile_width;
    int64_t z[3];               /* C, H, W of a tile's latents */
    int64_t planned_bytes;      /* network, tiles and bands of rows */
    int64_t outside;            /* input values outside [0,1], where data.scale allows them */
    int64_t nonfinite;          /* NaN and infinities replaced by 0 */
    bool alpha_dropped;
    double seconds;
} swg_predict_result;

/* Images up to the side the network was trained on are taken whole, padded at their high end by reflection to a multiple of 8 and cropped
 * afterwards; larger ones in tiles of that side. The output is PNG or TIFF by its name, with the input's number of bits (8, 16, or f32
 * in TIFF), clipped to [0,1] where it has integers; NULL: none, for the latents alone. Files are there whole or not at all.
 * Families kan; SWG_EUNSUPPORTED: others. Errors as swg_image_open, swg_image_create. opts and result may be NULL. */
swg_status swg_predict_file(swg_context *ctx, swg_model *model, const char *input, const char *output, const swg_predict_opts *opts,
                            swg_predict_result *result);
/* The same in memory: x and y (channels, height, width); z as opts->latent would hold it, (z values), or NULL. */
swg_status swg_predict_array(swg_context *ctx, swg_model *model, int64_t height, int64_t width, const float *x, float *y, float *z,
                             const swg_predict_opts *opts, swg_predict_result *result);

#endif
