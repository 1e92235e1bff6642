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

#include "swage/metrics.h"
#include "swage/model.h"

/* Up to so many values, percentiles of relative errors are kept without being asked for (16 bytes a value). */
enum { SWG_EVALUATE_VALUES = 1 << 23 };

typedef struct swg_evaluate_opts {
    const char *part;               /* "all" (default), "train", "val" or "test" of the training run's split */
    bool percentiles;               /* keep them however many values there are */
    void (*progress)(void *user, int64_t done, int64_t total);  /* blocks, after each batch; NULL: none */
    void *user;
} swg_evaluate_opts;

/* Figures of one variable, or of all. Only values of normal blocks are compared: constant and raw blocks are kept exactly, and padding
 * of a tiled grid is not data. */
typedef struct swg_evaluation_row {
    char *variable;                 /* "all" in the last row */
    swg_metrics original;           /* against the arrays as read, in their units */
    swg_metrics normalised;         /* against the network's input; no percentiles */
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
 * value is left empty. SWG_ENOTFOUND, SWG_EIO: the file cannot be written. */
swg_status swg_evaluation_write_csv(swg_context *ctx, const swg_evaluation *evaluation, const char *path);

#endif
