/* evaluate.h - how well a trained network reproduces a data set: errors per variable and over all, in original units and on the
 * normalised scale, and the bytes its latents and their side information would take.
 *
 *     swg_model_open(ctx, "runs/demo", &model);
 *     swg_evaluate(ctx, model, NULL, &(swg_evaluate_opts){.part = "test"}, &evaluation);
 *     printf("%s\n", evaluation.split);
 *     for (int64_t i = 0; i < evaluation.count; i++)
 *         printf("%s %g\n", evaluation.rows[i].variable, evaluation.rows[i].original.value[SWG_METRIC_MSE]);
 *     swg_evaluation_free(ctx, &evaluation);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_EVALUATE_H
#define SWAGE_EVALUATE_H

#include <signal.h>
#include "swage/instances.h"
#include "swage/quality.h"
#include "swage/metrics.h"
#include "swage/model.h"
#include "swage/separation.h"

/* Up to so many values, percentiles of relative errors are kept without being asked for (32 bytes a value). */
enum { SWG_EVALUATE_VALUES = 1 << 23 };

typedef struct swg_evaluate_opts {
    const char *part;               /* "all" (default), "train", "val" or "test" of the training run's split */
    bool percentiles;               /* keep them however many values there are */
    double relative_floor;          /* > 0: relative errors are |e| / (|x| + floor) over all values, as published with 1e-12 */
    void (*progress)(void *user, int64_t done, int64_t total);  /* blocks, after each batch; NULL: none */
    void *user;
} swg_evaluate_opts;

/* Figures of one variable, or of all. Only values of normal blocks are compared: constant and raw blocks are kept exactly, and padding
 * of a tiled grid is not data. */
typedef struct swg_evaluation_row {
    char *variable;                 /* "all" in the last row */
    swg_metrics original;           /* against the arrays as read, in their units */
    swg_metrics normalised;         /* against the network's input */
    int64_t blocks;                 /* looked at */
    int64_t failed_blocks;          /* of these not compared, because the reconstruction is not finite */
    int64_t bytes_in;               /* values of all blocks, as stored in the file */
    int64_t latent_bytes;           /* latents of normal blocks, f32 */
    int64_t side_bytes;             /* minima, exponents, constants, and flags (their order-0 entropy, rounded up) */
    int64_t raw_bytes;              /* blocks kept as they are, the failed ones among them */
    double ratio_latent;            /* bytes of normal blocks / latent_bytes; 0: no normal block */
    double ratio;                   /* bytes_in / (latent + side + raw bytes); 0: no block */
} swg_evaluation_row;

typedef struct swg_evaluation {
    int64_t count;                  /* rows: one per variable with a block in the part, and the last one over all */
    swg_evaluation_row *rows;
    char *split;                    /* the line a report begins with */
    int64_t files, arrays;          /* in the source */
    double seconds;
} swg_evaluation;

/* Reads the data array by array, so that memory holds the largest array and one batch, whatever the size of the set.
 * config: whose data.path, vars, layout, missing, constant and nonfinite say what to read; NULL: the model's own. Cutting,
 * normalisation and split are always those of the model. opts may be NULL. Same bits for any number of threads.
 * SWG_ENOTFOUND, SWG_EFORMAT: as swg_source_open; a variable that the model's normaliser lacks. SWG_ESHAPE: blocks that the network
 * does not fit. SWG_ENONFINITE: as swg_samples_open. SWG_EINVAL: a part is asked for and the data are not those of the training run;
 * no block in the part. SWG_EUSAGE: unknown part, no data.path. Free with swg_evaluation_free. */
swg_status swg_evaluate(swg_context *ctx, swg_model *model, swg_config *config, const swg_evaluate_opts *opts, swg_evaluation *out);
void swg_evaluation_free(swg_context *ctx, swg_evaluation *evaluation);

/* Writes the rows as CSV, atomically: a header, then per row a line in original units and one on the normalised scale. What has no
 * value is left empty; names with a comma, quote or line break are quoted (RFC 4180). SWG_ENOTFOUND, SWG_EIO: the file cannot be written. */
swg_status swg_evaluation_write_csv(swg_context *ctx, const swg_evaluation *evaluation, const char *path);

/* ---- pictures of a reconstruction ---- */

/* One variable before and after, as volumes (shape[0], shape[1], shape[2]) of f32: its last grid, or up to 64 items of its last block array, spread over it
 * and put side by side, `side` to a row and layers of side x side. NaN where there is no block; on the normalised scale also in constant and raw
 * blocks. */
typedef struct swg_view {
    char *variable, *file;
    int64_t shape[3];
    int64_t items, side;            /* 0: a grid */
    float *original, *restored, *normalised, *normalised_restored;
} swg_view;

/* What the configuration says is to be read (data.path and so on), for swg_view_make. Errors as swg_source_open. */
swg_status swg_evaluate_source(swg_context *ctx, swg_config *config, swg_source **out);
/* Variable `variable` of the source; config as for swg_evaluate. Errors as swg_evaluate. Free with swg_view_free. */
swg_status swg_view_make(swg_context *ctx, swg_model *model, swg_config *config, swg_source *source, int64_t variable, swg_view *out);
void swg_view_free(swg_context *ctx, swg_view *view);
/* Whether every variable of the source has files of its own. SWG_EINVAL: two do not, and their names are told. */
swg_status swg_view_names(swg_context *ctx, const swg_source *source);
/* Writes FOLDER/<variable>.vti (arrays <variable>, <variable>_recon, Variable_Normalized_LogPos, the last one on whatever scale the network sees), and
 * FOLDER/<variable>_original.svg and _normalised.svg: slices at 1/3 and 1/2 of each axis; original, reconstruction, error. In
 * the names of files '/', '\', control characters and a '.' in front become '_'. */
swg_status swg_view_write(swg_context *ctx, const swg_view *view, const char *folder);

/* ---- networks of images ---- */

/* Figures of one group of images (data.group), or of all. */
typedef struct swg_image_row {
    char *group;                    /* "all" in the last row */
    int64_t tiles;
    swg_image_quality noisy;        /* the network's input against the clean image */
    swg_image_quality restored;     /* what it makes of it */
} swg_image_row;

typedef struct swg_image_evaluation {
    int64_t count;                  /* rows: one per group where the data have groups, and the last one over all */
    swg_image_row *rows;
    char *split, *data, *noise;     /* lines a report begins with: parts, what was read, the noise */
    int64_t images, skipped;
    int64_t z_channels;
    double *z_mean, *z_sd;          /* per channel of the latents */
    int64_t terms;                  /* what the network's step reports beside the error: regularisation, shares outside of the grids */
    struct { const char *name; double value; } term[8];
    double seconds;
} swg_image_evaluation;

typedef struct swg_image_evaluate_opts {
    const char *part;               /* "all" (default), "train", "val" or "test" of the training run's split */
    int64_t batch;                  /* tiles at a time, 0: 8; figures do not depend on it */
    const char *arrays;             /* NULL, or a folder for clean.npy, noisy.npy and decoded.npy: (tiles, C, H, W) f32, so that others can be
                                       measured on the same numbers */
    void (*progress)(void *user, int64_t done, int64_t total);  /* tiles; NULL: none */
    void (*note)(void *user, const char *text);     /* what the user should read: images that are skipped, values replaced; NULL: none */
    const volatile sig_atomic_t *stop;
    void *user;
} swg_image_evaluate_opts;

/* Applies the network to every tile, with the noise of `config`: each tile's is drawn from trainer.seed and its number, so runs compare. config: what to read and
 * which noise, NULL: the model's own. Memory: the pixels, one batch and the plan. SWG_EINVAL: a part is asked for and the data are not those
 * of the training run. SWG_EUNSUPPORTED: a network of another family. Otherwise as swg_train. Free with swg_image_evaluation_free. */
swg_status swg_evaluate_images(swg_context *ctx, swg_model *model, swg_config *config, const swg_image_evaluate_opts *opts, swg_image_evaluation *out);
void swg_image_evaluation_free(swg_context *ctx, swg_image_evaluation *evaluation);

/* ---- networks of stacks: family cyto ---- */

enum { SWG_STACK_HEADS = 4, SWG_STACK_TERMS = 20 };

/* Figures of one image, or of all, for one head. */
typedef struct swg_stack_row {
    char *image;                    /* "all" in the last rows */
    int head;
    swg_image_quality quality;      /* prediction against target, range of each target; not of masks */
    swg_overlap overlap;            /* of masks */
    swg_instance_score objects;     /* of masks where data.labels is set: objects of swg_instances_find against labels */
} swg_stack_row;

typedef struct swg_stack_evaluation {
    int heads;                      /* 0: a network of tokens, which has terms alone */
    char head[SWG_STACK_HEADS][32];
    bool mask[SWG_STACK_HEADS], scored[SWG_STACK_HEADS];
    int64_t images, count;          /* rows: heads for each image, and heads for all */
    swg_stack_row *rows;
    int terms;                      /* of a pass over patches: the loss, its parts, figures that there are */
    struct { const char *name; double value; } term[SWG_STACK_TERMS];
    char *data, *split;             /* lines a report begins with */
    int64_t windows, planned_bytes;
    double seconds;
} swg_stack_evaluation;

typedef struct swg_stack_evaluate_opts {
    const char *part;               /* "test" (default), "train" or "val" of the table's split, or "all" */
    const swg_instances_opts *instances;    /* NULL: swg_instances_defaults */
    double overlap;                 /* as swg_predict_stacks_opts */
    bool constant;
    int64_t batch, roi[3];
    void (*progress)(void *user, int64_t done, int64_t total);  /* windows; NULL: none */
    void (*note)(void *user, const char *text);
    const volatile sig_atomic_t *stop;
    void *user;
} swg_stack_evaluate_opts;

/* Whole images by windows against their targets; of networks of tokens patches, with the masks of validation. config: what to read, NULL: the model's own.
 * data.labels: key of label images that objects are scored against. Memory: one image with target, prediction and labels, and the plan.
 * SWG_EINVAL: no image in the part. SWG_EUNSUPPORTED: a network of another family. Otherwise as swg_predict_stacks. Free with
 * swg_stack_evaluation_free. */
swg_status swg_evaluate_stacks(swg_context *ctx, swg_model *model, swg_config *config, const swg_stack_evaluate_opts *opts, swg_stack_evaluation *out);
void swg_stack_evaluation_free(swg_context *ctx, swg_stack_evaluation *evaluation);

/* ---- separation of songs: family tfswa ---- */

enum { SWG_SONG_STEMS = 8 };

/* What is held against the true stems. */
typedef enum swg_song_estimate {
    SWG_SONG_SEPARATED,         /* by the network */
    SWG_SONG_MIXTURE,           /* the mixture in place of every stem: what doing nothing gives */
    SWG_SONG_RATIO_MASK,        /* the ideal ratio mask, made from the true stems (2048, 512): a bound for masks of that kind */
    SWG_SONG_ESTIMATES
} swg_song_estimate;
const char *swg_song_estimate_name(swg_song_estimate estimate);     /* "separated", "mixture", "ratio_mask" */

typedef struct swg_song_row {
    char *song;                 /* "all" in the last rows: medians over the songs that have a figure; windows are songs there */
    int stem;
    swg_song_estimate estimate;
    swg_source_score score;     /* sources are the stems, and what the mixture has beside them where that is not silent */
} swg_song_row;

typedef struct swg_song_evaluation {
    int stems;
    char stem[SWG_SONG_STEMS][32];
    int64_t songs, count;       /* rows: stems times SWG_SONG_ESTIMATES for each song, and for all */
    swg_song_row *rows;
    char *data, *split;         /* lines a report begins with */
    double audio_seconds, compute_seconds;  /* of all songs; of their separation */
    int64_t planned_bytes;      /* of the separation */
} swg_song_evaluation;

typedef struct swg_song_evaluate_opts {
    const char *part;           /* "test" (default): the songs of data.leave_out or of a folder test/; "train", "val", or "all" in data.path */
    double segment_seconds, overlap;    /* of the separation; 0: 10 s; 0: .5 */
    double floor;               /* of ratios, 0: none (separation.h) */
    bool bss;                   /* BSSEval, too */
    void (*progress)(void *user, int64_t done, int64_t total);      /* samples; NULL: none */
    void (*note)(void *user, const char *text);
    const volatile sig_atomic_t *stop;
    void *user;
} swg_song_evaluate_opts;

/* Whole songs, separated by overlapping segments as swg_separate does. config: what to read, NULL: the model's own. Memory: one song with its stems three
 * times over, and the separation. SWG_EINVAL: no song in the part. SWG_EUNSUPPORTED: a network of another family. Otherwise as swg_separate.
 * Free with swg_song_evaluation_free. */
swg_status swg_evaluate_songs(swg_context *ctx, swg_model *model, swg_config *config, const swg_song_evaluate_opts *opts, swg_song_evaluation *out);
void swg_song_evaluation_free(swg_context *ctx, swg_song_evaluation *evaluation);

/* ---- speed ---- */

enum { SWG_SPEED_WARM = 5, SWG_SPEED_RUNS = 10 };

/* Mean of 10 timed runs after 5 to get warm; bytes are those of the blocks' f32 values, 1 GB = 1e9. Copies into and out of the plan are inside. */
typedef struct swg_speed {
    int64_t batch;
    int threads;
    double encode_s, decode_s;      /* per batch */
    double encode_gb_s, decode_gb_s;
} swg_speed;
/* SWG_EINVAL: batch < 1. */
swg_status swg_model_speed(swg_context *ctx, swg_model *model, int64_t batch, swg_speed *out);

#endif
