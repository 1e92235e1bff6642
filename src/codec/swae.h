/* swae.h - kind 6: the quantised decoder of an autoencoder, and beside it what only the encoder has: the float network.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_SWAE_H
#define SWAGE_CODEC_SWAE_H

#include <pthread.h>
#include "net.h"

typedef struct swg__swae {
    swg__net net;
    float centre[SWG__NET_LATENTS], inverse_step[SWG__NET_LATENTS]; /* code = rint((latent - centre) * inverse_step) */
    int exponent_offset;                                            /* added to E when a block is coded */
    swg_status (*encode)(void *user, int64_t count, const float *blocks, float *latents); /* NULL: of a file, it only decodes */
    void *user;
    pthread_mutex_t *lock;                                          /* of encode: arrays may be coded side by side */
} swg__swae;

void swg__swae_codes(const swg__swae *model, int64_t count, const float *latents, int8_t *codes);

/* As struct swg__kind has them. */
const char *swg__swae_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
void swg__swae_close(swg_context *ctx, void *parsed);

#endif
