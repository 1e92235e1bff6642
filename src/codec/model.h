/* model.h (internal) - what a quantised network consists of: blob, parsed integer decoder, float encoder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_MODEL_H
#define SWAGE_CODEC_MODEL_H

#include <pthread.h>
#include "net.h"

struct swg_codec_model {
    swg_context *ctx;
    swg__net net;
    swg__text blob;
    uint8_t sha256[32];
    float centre[SWG__NET_LATENTS], inverse_step[SWG__NET_LATENTS]; /* code = rint((latent - centre) * inverse_step) */
    int exponent_offset;                                            /* added to E when a block is coded */
    swg_status (*encode)(void *user, int64_t count, const float *blocks, float *latents);
    void *user;
    pthread_mutex_t *lock;                                          /* of encode: arrays may be coded side by side */
};

void swg__model_codes(const swg_codec_model *model, int64_t count, const float *latents, int8_t *codes);

#endif
