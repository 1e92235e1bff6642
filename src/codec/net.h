/* net.h - the integer network of mode B-SWAE: int8 latents in, predictions in 1/256 of 2^E out, the same bits everywhere.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_NET_H
#define SWAGE_CODEC_NET_H

#include "bytes.h"
#include "kinds.h"

enum { SWG__NET_NONE, SWG__NET_RELU, SWG__NET_TABLE };   /* activations in the blob */
enum { SWG__NET_LAYERS = 8, SWG__NET_WIDTH = 1024, SWG__NET_LATENTS = 64, SWG__NET_ROWS = 32 };

typedef struct swg__net_layer {
    int in, out, shift, activation;
    int stride;        /* of weight rows and of the inputs, int16 */
    int16_t *weight;   /* (out, stride), zero behind `in` */
    int32_t *bias;     /* (out), less zero_point of the inputs times the row's sum */
    uint8_t table[256];
} swg__net_layer;

typedef struct swg__net {
    swg_context *ctx;
    int edge, latents, layers;
    uint8_t bucket[SWG__NET_LATENTS];   /* of each latent */
    swg__net_layer layer[SWG__NET_LAYERS];
} swg__net;

/* A blob of kind 6. NULL, or why it is refused; *net is then empty. */
const char *swg__net_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, swg__net *net);
void swg__net_free(swg__net *net);

/* The NET of any kind of blob, at the end of it: its layers from `inputs` to `outputs`. NULL, or why; *net then has no layers. */
const char *swg__net_layers(swg_context *ctx, swg__cursor *in, int inputs, int outputs, swg__net *net);

/* int16 and int32 scratch of swg__net_run. */
enum { SWG__NET_SCRATCH = SWG__NET_ROWS * SWG__NET_WIDTH * (2 * 2 + 4) };

/* rows <= SWG__NET_ROWS blocks: codes (rows, latents) -> o (rows, edge^3), |o| <= 2^20. scratch: SWG__NET_SCRATCH bytes, aligned.
 * Layers up to `layers`: all of them but in tests and calibration, where the raw sums of the last one run are wanted: then o
 * receives (rows, out of that layer) sums. */
void swg__net_run(const swg__net *net, const swg__codec_kernels *kernels, const int8_t *codes, int64_t rows, void *scratch, int32_t *o);
void swg__net_sums(const swg__net *net, int layers, const swg__codec_kernels *kernels, const int8_t *codes, int64_t rows, void *scratch,
                   int32_t *sums);

/* (v + 2^(shift - 1)) >> shift without overflow: halving twice gives the same floor. */
static inline int32_t swg__rounded_shift(int32_t v, int shift) { return shift ? ((v >> (shift - 1)) + 1) >> 1 : v; }

#endif
