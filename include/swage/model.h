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
void swg_model_close(swg_model *model); /* NULL is allowed */

const char *swg_model_path(const swg_model *model);           /* of the checkpoint file */
swg_config *swg_model_config(swg_model *model);               /* resolved configuration of the training run */
const swg_swae *swg_model_network(const swg_model *model);
const swg_norm *swg_model_norm(const swg_model *model);
swg_weights *swg_model_weights(swg_model *model);
const char *swg_model_data(const swg_model *model);           /* digest of the training data and their split; NULL: not kept */
int64_t swg_model_edge(const swg_model *model);               /* blocks are edge^3 */
int64_t swg_model_epoch(const swg_model *model);              /* epochs it was trained for */

/* blocks: (count, edge^3) normalised f32. latents: (count, latent) f32. Any count; in batches of at most 4096.
 * The result for a block does not depend on its neighbours in the call. */
swg_status swg_model_encode(swg_model *model, int64_t count, const float *blocks, float *latents);
swg_status swg_model_decode(swg_model *model, int64_t count, const float *latents, float *blocks);

#endif
