/* model.h - a trained network opened from a run folder or a checkpoint: encode and decode without its training data.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_MODEL_H
#define SWAGE_MODEL_H

#include "swage/config.h"
#include "swage/data.h"
#include "swage/plan.h"
#include "swage/swae.h"

typedef struct swg_model swg_model;

/* path: a .safetensors checkpoint, or a run folder (its ckpt/best.safetensors, else ckpt/last.safetensors).
 * Checksums, names and shapes are checked. SWG_ENOTFOUND, SWG_EFORMAT, SWG_ECORRUPT; SWG_ESHAPE: the tensors are not those of
 * the network the checkpoint's configuration describes. */
swg_status swg_model_open(swg_context *ctx, const char *path, swg_model **out);
/* The same, and the network must be of this family: "swae", "kan". SWG_EUNSUPPORTED: it is of another. */
swg_status swg_model_open_as(swg_context *ctx, const char *path, const char *family, swg_model **out);
void swg_model_close(swg_model *model); /* NULL is allowed */

const char *swg_model_path(const swg_model *model);           /* of the checkpoint file */
swg_config *swg_model_config(swg_model *model);               /* resolved configuration of the training run */
const char *swg_model_family(const swg_model *model);
const char *swg_model_sample(const swg_model *model);         /* "block", "tile", "patch" */
const swg_swae *swg_model_network(const swg_model *model);    /* of family swae; else zeros */
const swg_norm *swg_model_norm(const swg_model *model);       /* of family swae; else NULL */
swg_weights *swg_model_weights(swg_model *model);
const char *swg_model_data(const swg_model *model);           /* digest of the training data and their split; NULL: not kept */
int64_t swg_model_edge(const swg_model *model);               /* blocks are edge^3; family swae */
int64_t swg_model_epoch(const swg_model *model);              /* epochs it was trained for */

/* ---- precision: of the products with weights; everything else is f32 (inference.precision of the configuration) ---- */

#define SWG_INFERENCE_TABLE(X)                                                                                      \
    X(F32, "f32")                                                                                                   \
    X(BF16, "bf16")                         /* activations and products in bf16, sums in f32 */                     \
    X(INT8, "int8")                         /* SWG_QUANTISE_INT8 */                                                 \
    X(FP8, "fp8")                           /* SWG_QUANTISE_FP8 */                                                  \
    X(FP8_ACTIVATIONS, "fp8-activations")   /* SWG_QUANTISE_FP8_BOTH */
typedef enum swg_inference {
#define X(id, name) SWG_INFERENCE_##id,
    SWG_INFERENCE_TABLE(X)
#undef X
    SWG_INFERENCES
} swg_inference;
const char *swg_inference_name(swg_inference inference);
bool swg_inference_find(const char *name, swg_inference *out);

swg_inference swg_model_inference(const swg_model *model);
/* How it computes from now on. keep_f32: layers that stay f32, patterns with commas between ("decoder.*"); NULL: none. Weights stay what they were when
 * it was opened: those of a quantised file are what its codes stand for. SWG_EINVAL: the list is too long. */
swg_status swg_model_set_inference(swg_model *model, swg_inference inference, const char *keep_f32);

/* "mlp, blocks of 125 values, latent 16"; its layers in use, for one sample (free with swg_layers_free). */
void swg_model_describe(const swg_model *model, char *out, size_t capacity);
swg_status swg_model_layers(swg_model *model, swg_layers *out);
/* The network in use as one graph of one sample, with all its parameters: to look at. The graph is the caller's. */
swg_status swg_model_graph(swg_model *model, swg_graph **g);

/* Of family swae; SWG_EUNSUPPORTED: another. blocks: (count, edge^3) normalised f32. latents: (count, latent) f32. Any count; in batches of at most 4096.
 * The result for a block does not depend on its neighbours in the call. */
swg_status swg_model_encode(swg_model *model, int64_t count, const float *blocks, float *latents);
swg_status swg_model_decode(swg_model *model, int64_t count, const float *latents, float *blocks);

#endif
