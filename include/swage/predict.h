/* predict.h - a trained network on whole images, whatever their size: tiles that overlap, blended, in memory that does not grow with the height.
 *
 *     swg_model_open(ctx, "runs/dae", &model);
 *     swg_predict_file(ctx, model, "slide.tif", "clean.tif", &(swg_predict_opts){.overlap = .25}, &result);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PREDICT_H
#define SWAGE_PREDICT_H

#include <signal.h>
#include "swage/instances.h"
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

/* ---- stacks: networks of family cyto (docs/cyto.md, Whole images) ---- */

typedef enum swg_existing { SWG_EXISTING_SKIP, SWG_EXISTING_ERROR, SWG_EXISTING_REPLACE } swg_existing;

/* What is 0 has its default. */
typedef struct swg_predict_stacks_opts {
    double overlap;             /* share of a window that neighbours have in common, 0 <= overlap < 1 */
    bool constant;              /* windows count the same everywhere; else by a Gaussian around their centre */
    int64_t batch;              /* windows at a time, across images, 0: 1; results do not depend on it */
    int64_t roi[3];             /* extents of a window, z y x; 0: the training patch; -1: the whole axis, replicated at its high end to what the network
                                   divides by. A shorter image is padded with zeros */
    bool boxed;                 /* windows that do not meet the box are left out; voxels without a window are 0 */
    int64_t box[3][2];          /* z y x: first voxel, and the one behind the last, of the network's input */
    swg_element type;           /* of the files: u8, u16, f32; 0: u8 for masks and for targets in [-1, 1], else f32 */
    bool minmax;                /* stretch each image from its least to its largest value, as published; else [0, 1], or [-1, 1], to the range of the type */
    bool thresholded;           /* values above `threshold` become the largest value of the type (1 for f32), others 0 */
    double threshold;
    const swg_instances_opts *instances;    /* also a label image of the objects in the first channel of each mask; NULL: none. Without a spacing: sizes of
                                               a voxel over that along x, where the input tells them */
    swg_existing existing;      /* an output that is there: its image is left out, or an error, or it is replaced */
    void (*progress)(void *user, int64_t done, int64_t total);  /* windows; NULL: none */
    void (*note)(void *user, const char *text);                 /* what the user should read; NULL: none */
    void (*wrote)(void *user, const char *path);                /* each file, when it is complete; NULL: none */
    const volatile sig_atomic_t *stop;      /* NULL, or not 0: SWG_EINTERRUPTED; what was complete stays */
    void *user;
} swg_predict_stacks_opts;

typedef struct swg_predict_stacks_result {
    int64_t images, written, skipped, windows;
    int64_t objects;            /* in all label images */
    int64_t planned_bytes;      /* network, windows and bands; prepared images come on top */
    double seconds;
} swg_predict_stacks_result;

/* Images named by `input` (an image, a folder, a CSV, or a folder with predict.csv), prepared as data.source of `config` says (NULL: the model's own),
 * through the network. Writes FOLDER/<head>/<image>.tif, with instances FOLDER/<head>_instances/<image>.tif; networks of tokens (mae, iwm)
 * write FOLDER/embeddings.csv, a row per image. Files are there whole or not at all. FOLDER/predict.txt says what they were made with; SWG_EINVAL: outputs to be
 * skipped were made with another network or other settings. SWG_EFORMAT, SWG_ENOTFOUND: a list that names no image.
 * SWG_EUNSUPPORTED: a network of another family. opts and result may be NULL. */
swg_status swg_predict_stacks(swg_context *ctx, swg_model *model, swg_config *config, const char *input, const char *folder,
                              const swg_predict_stacks_opts *opts, swg_predict_stacks_result *result);

/* One image in memory, (C, Z, Y, X) f32 as a file would hold it: every channel of the acquisition, not yet prepared. Of opts what concerns files is not
 * read. Results are allocated: out->values[h] (channels, z, y, x) for each head, probabilities for masks; or out->values[0] the embedding.
 * Free with swg_prediction_free. */
enum { SWG_PREDICTION_HEADS = 4 };
typedef struct swg_prediction {
    int heads;                              /* 0: values[0] is the embedding, dims[0][0] its width */
    char name[SWG_PREDICTION_HEADS][32];
    int64_t dims[SWG_PREDICTION_HEADS][4];  /* C, Z, Y, X */
    float *values[SWG_PREDICTION_HEADS];
} swg_prediction;
swg_status swg_predict_stack(swg_context *ctx, swg_model *model, const int64_t dims[4], const float *x, const swg_predict_stacks_opts *opts,
                             swg_prediction *out);
void swg_prediction_free(swg_context *ctx, swg_prediction *prediction);

#endif
