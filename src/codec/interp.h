/* interp.h - mode G: multilevel interpolation on the fine grid, closed loop (docs/format.md, "Mode G").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_INTERP_H
#define SWAGE_CODEC_INTERP_H

#include "chunk.h"

enum { SWG__INTERP_LEVELS = 6, SWG__INTERP_PASSES = 7 };
enum { SWG__INTERP_LINEAR, SWG__INTERP_CUBIC, SWG__INTERP_LEARNED, SWG__INTERP_KINDS };

/* One level: the points at odd multiples of its stride along some axes, in seven passes by which axes those are. */
typedef struct swg__interp_level {
    uint8_t t;                                                          /* residual step 16 >> t on the fine grid, 0..3 */
    uint8_t kind[SWG__INTERP_PASSES];
    int16_t w[SWG__INTERP_PASSES][SWG__INTERP_FEATURES - 1];            /* Q13, of the differences to the first feature */
} swg__interp_level;

typedef struct swg__interp {
    int levels, axes;                                                   /* axes: bit 0 z, 1 y, 2 x; others are never interpolated along */
    uint8_t anchor_bucket;
    swg__interp_level level[SWG__INTERP_LEVELS];                        /* coarsest first */
    uint8_t bucket[128][3];                                             /* by activity class and magnitude of residuals around */
    int c_min, c_max;
} swg__interp;

/* Codes the chunk. *coded false: not possible (no fine grid, integers). */
swg_status swg__interp_encode(const swg__chunk *chunk, swg__draft *draft, bool *coded);

/* Bytes of the record that swg__interp_encode would make, from about 14,000 values in bricks all over the chunk: within 10 % where the chunk is
 * much the same all over, and little more than a guess where nearly all of its values are predicted exactly. INT64_MAX: not possible. */
swg_status swg__interp_estimate(const swg__chunk *chunk, int64_t *bytes);

/* NULL or the reason. */
const char *swg__interp_decode(const swg__chunk *chunk, const swg__record *record);

/* PARAM. */
void swg__interp_write(const swg__interp *model, swg__text *out);
const char *swg__interp_read(swg__span param, swg__interp *model);

/* A prediction: features g (8 times the mean of their points), count of them, weights of g_i - g_0. */
int64_t swg__interp_predict(const int64_t *g, int count, const int16_t *w);
/* Weights of kind linear or cubic for a pass with so many odd axes; features of the pass. */
void swg__interp_built_in(int kind, int odd, int features, int16_t *w);

#endif
