/* causal.h - mode W-MLP: a small integer network that corrects the stencil's prediction and chooses its scale (docs/format.md).
 * Points are the lanes: words of 32 bits hold 4 or 2 neighbouring inputs of one point, `stride` words lie between word k and
 * word k + 1 of a point. Every kernel gives the same bits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CAUSAL_H
#define SWAGE_CODEC_CAUSAL_H

#include "kernels.h"
#include "kinds.h"
#include "net.h"

enum { SWG__FEATURES = 28 };

typedef struct swg__causal_layer {
    int words, groups, shift; /* words of inputs; groups of four outputs; of the last layer only the first two outputs count */
    const uint32_t *weight;   /* (groups, words, 4 outputs) */
    const int32_t *bias;      /* (groups, 4), with half of 2^shift, less what the inputs' zero point adds */
} swg__causal_layer;

typedef struct swg__causal {
    const struct swg__causal_kernels *kernels;
    int layers, widest; /* words of the widest layer's inputs */
    swg__causal_layer layer[SWG__NET_LAYERS];
} swg__causal;

typedef struct swg__causal_kernels {
    int inputs; /* of a word: 4 codes of 8 bits, each + 128 in the first layer, or 2 of 16 bits */
    int points; /* are worked on together: strides and outputs have room for whole multiples */

    /* stencil_narrow (kernels.h) that leaves the network's inputs as well. Writes words of up to points - 1 further points. */
    bool (*features)(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator, int64_t *activity,
                     uint32_t *x, int64_t stride);

    /* The two sums of the last layer for n points. scratch: swg__causal_scratch bytes. */
    void (*run)(const swg__causal *net, const uint32_t *x, int64_t stride, int64_t n, void *scratch, int32_t *sum0, int32_t *sum1);
} swg__causal_kernels;

const swg__causal_kernels *swg__causal_kernels_for(swg__isa isa);

/* As struct swg__kind has them; parsed: swg__stencil with a network. It is coded and decoded as one without (trained_stencil.h). */
const char *swg__causal_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
void swg__causal_close(swg_context *ctx, void *parsed);

static inline size_t swg__causal_scratch(const swg__causal *net) { return (size_t)(2 * net->widest * net->kernels->points) * sizeof(uint32_t); }
static inline int64_t swg__causal_words(const swg__causal *net) { return SWG__FEATURES / net->kernels->inputs; }
/* Room for n points, with slack for a run that begins anywhere in it. */
static inline int64_t swg__causal_stride(const swg__causal *net, int64_t n) {
    return (n / net->kernels->points + 2) * net->kernels->points;
}

/* Inputs of one point, from differences d[1..27], saturated already, and S. */
void swg__causal_features(const int64_t d[SWG__TAPS], int64_t size, bool wide, int8_t x[SWG__FEATURES]);

/* Lays the inputs of one point into its words: x[0], x[stride], ... */
void swg__causal_lay(const swg__causal *net, const int8_t features[SWG__FEATURES], uint32_t *x, int64_t stride);

/* What the sums mean for a point with bucket B[c][r]: *bucket, and what is added to mu. */
static inline int64_t swg__causal_apply(int64_t sum0, int64_t sum1, bool wide, int *bucket) {
    int64_t b = (2048 * *bucket + 4 * sum1 + 1024) >> 11, most = wide ? SWG__WIDE_BUCKETS - 1 : SWG__BUCKETS - 1, o = (sum0 + 16) >> 5;
    b = b < 0 ? 0 : b > most ? most : b;
    o = o < -512 ? -512 : o > 511 ? 511 : o;
    *bucket = (int)b;
    return (o * swg__scale[b] + 512) >> 10;
}

#endif
