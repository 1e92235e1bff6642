/* quantise_model.h - a trained network with weights of 8 or 16 bits: written to a file that opens as a model, with what became of every layer.
 *
 *     swg_model_open(ctx, "runs/demo", &model);
 *     swg_model_quantise(ctx, model, &(swg_quantise_opts){.inference = SWG_INFERENCE_INT8, .folder = "runs/demo-int8"}, &report);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_QUANTISE_MODEL_H
#define SWAGE_QUANTISE_MODEL_H

#include "swage/model.h"
#include "swage/quantise.h"

typedef struct swg_quantise_opts {
    swg_inference inference;    /* not SWG_INFERENCE_F32 */
    const char *keep_f32;       /* layers that stay f32, patterns with commas between; NULL: none */
    const char *folder;         /* becomes a run folder: ckpt/best.safetensors; NULL: nothing is written */
} swg_quantise_opts;

/* One parameter, or one group of running statistics. */
typedef struct swg_quantised_row {
    char *name;                 /* "encoder.fc1.weight" */
    const char *stays_f32;      /* why; NULL: it does not */
    int64_t elements, original_bytes, quantised_bytes;  /* with its scales */
    double low, high;           /* range of the f32 values */
    double sqnr_db;             /* signal to quantisation noise of the stored values; 0: stays f32. Infinite: no error */
} swg_quantised_row;

typedef struct swg_quantised {
    int64_t count;
    swg_quantised_row *rows;
    int64_t elements, original_bytes, quantised_bytes;  /* parameters and running statistics, without optimiser and metadata */
    int64_t file_bytes;         /* of what was written; 0: nothing */
    char *path;                 /* of the checkpoint that was written; NULL: nothing */
} swg_quantised;

/* Weights of products with a parameter become codes; everything else stays f32, and the row says why. The written file holds no optimiser, so no run
 * can go on from it. SWG_EINVAL: SWG_INFERENCE_F32, or the model is quantised already. Free with swg_quantised_free. */
swg_status swg_model_quantise(swg_context *ctx, swg_model *model, const swg_quantise_opts *opts, swg_quantised *out);
void swg_quantised_free(swg_context *ctx, swg_quantised *quantised);

#endif
