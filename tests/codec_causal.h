/* codec_causal.h - models of mode W-MLP for tests: weights by a formula, so that they are the same everywhere.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CAUSAL_TESTING_H
#define SWAGE_CODEC_CAUSAL_TESTING_H

#include "codec/bytes.h"
#include "codec/causal.h"
#include "codec/stencil.h"
#include "context.h"

enum { CAUSAL_C_MIN = 3, CAUSAL_C_MAX = 40, CAUSAL_BODY = 16, CAUSAL_NET = CAUSAL_BODY + 56 + 4 + 3 * (CAUSAL_C_MAX - CAUSAL_C_MIN + 1) + 2 };

/* i-th weight ((37 i + 11) mod 61) - 30, j-th bias (53 j mod 201) - 100, counted over all layers; shift 6, 0 in the last.
 * extreme: every weight -128 or 127 and biases of either sign as large as the limit lets them be. */
static inline void causal_put_net(swg__text *out, const int *width, int layers, bool extreme) {
    int64_t weight = 0, bias = 0;
    swg__put32(out, (uint32_t)layers);
    for (int l = 0; l < layers; l++) {
        const bool last = l == layers - 1;
        const int32_t most = INT32_MAX - 255 * 128 * width[l] - 40;
        swg__put16(out, (uint32_t)width[l]);
        swg__put16(out, (uint32_t)width[l + 1]);
        swg__put8(out, last ? 0 : 6);
        swg__put8(out, last ? SWG__NET_NONE : SWG__NET_RELU);
        swg__put16(out, 0);
        for (int j = 0; j < width[l + 1]; j++, bias++)
            swg__put32(out, (uint32_t)(extreme ? (j % 3 == 0 ? -most : j % 3 == 1 ? most : 0) : (int32_t)(53 * bias % 201) - 100));
        for (int j = 0; j < width[l + 1]; j++)
            for (int i = 0; i < (width[l] + 3) / 4 * 4; i++) {
                int w = extreme ? ((i + j) % 5 < 2 ? -128 : 127) : (int)((37 * weight + 11) % 61) - 30;
                weight += i < width[l];
                swg__put8(out, i < width[l] ? (unsigned)w & 255 : 0);
            }
    }
}

/* A whole model: a stencil that takes linear ramps, the buckets of their classes, the network; layers 0: of kind 1, without. */
static inline void causal_blob(swg__text *out, const int *width, int layers) {
    const size_t start = out->length;
    swg__put(out, "SWMD", 4);
    swg__put32(out, layers ? SWG__KIND_CAUSAL : SWG__KIND_STENCIL);
    swg__put64(out, 0);
    for (int k = 1; k < SWG__TAPS; k++) /* u = (0,0,-1) + (0,-1,0) - (0,-1,-1) + (-1,0,0) - (-1,0,-1), halved */
        swg__put16(out, (uint32_t)(k == 24 || k == 12 ? 4096 : k == 23 || k == 11 ? -4096 : 0) & 0xFFFF);
    swg__put16(out, 0);
    swg__put32(out, CAUSAL_C_MIN | CAUSAL_C_MAX << 8);
    for (int c = CAUSAL_C_MIN; c <= CAUSAL_C_MAX; c++)
        for (int r = 0; r < 3; r++)
            swg__put8(out, (unsigned)(c + 5 + 2 * r));
    swg__put_padding(out, start);
    if (layers)
        causal_put_net(out, width, layers, false);
    swg__store32((uint8_t *)out->data + start + 8, (uint32_t)(out->length - start));
}

/* The blob's model for an instruction set; NULL or why it is refused. */
static inline const char *causal_open(swg_context *ctx, swg__isa isa, const void *blob, size_t bytes, swg__stencil *model) {
    const swg__isa own = ctx->isa;
    *model = (swg__stencil){0};
    ctx->isa = isa;
    const char *why = swg__kind_of(swg__load16((const uint8_t *)blob + 4))->parse(ctx, blob, bytes, model);
    ctx->isa = own;
    return why;
}

#endif
