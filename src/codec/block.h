/* block.h - mode B-causal: isolated n^3 blocks, every value predicted from those before it in its block by kriging, closed loop on the
 * fine grid. The model is a table of variances of differences; weights, scales and order follow from it (docs/format.md, "Mode B-causal").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_BLOCK_H
#define SWAGE_CODEC_BLOCK_H

#include "kinds.h"

enum {
    SWG__BLOCK_LEAST = 3,          /* edges */
    SWG__BLOCK_MOST = 9,
    SWG__BLOCK_TAPS = 40,          /* values a prediction looks at */
    SWG__BLOCK_NEAR = 16,          /* residuals its scale looks at */
    SWG__BLOCK_LANES = 256,        /* blocks that are coded together */
    SWG__BLOCK_CLASSES = 64,       /* of activity */
    SWG__BLOCK_PASSES = 12,
    SWG__BLOCK_SCALES = 192,       /* of the grid's noise, in quarter octaves */
    SWG__VARIOGRAM_CODES = 13 << 12, /* entries are below 2^24 */
    SWG__BLOCK_REACH = 1 << 25     /* |u - first u of the block| */
};

/* Half the mean square difference of two values of a block, in a unit of its own: by displacement, or of each pair of positions. */
typedef struct swg__variogram {
    swg_context *ctx;              /* owns gamma */
    int edge;
    bool pairs;
    int64_t count;                 /* of gamma */
    uint32_t *gamma;               /* < 2^24, of 13 significant bits */
} swg__variogram;

/* Entries of a table: (2n - 1)^3 / 2 displacements with a first component that is not 0 positive; n^3 (n^3 - 1) / 2 pairs of positions. */
int64_t swg__variogram_count(int edge, bool pairs);
/* Entry of two different positions (z, y, x raster numbers). */
int64_t swg__variogram_entry(int edge, bool pairs, int a, int b);
static inline uint32_t swg__variogram_at(const swg__variogram *v, int a, int b) {
    return a == b ? 0 : v->gamma[swg__variogram_entry(v->edge, v->pairs, a, b)];
}

swg_status swg__variogram_open(swg_context *ctx, int edge, bool pairs, swg__variogram *v);
void swg__variogram_close(swg__variogram *v);

/* Entries are kept to 13 significant bits: a number h of 16 bits means h below 4096, else (4096 + h % 4096) 2^(h / 4096 - 1). */
static inline uint32_t swg__variogram_wide(uint32_t h) { return h < 4096 ? h : (4096 + (h & 4095)) << ((h >> 12) - 1); }
uint32_t swg__variogram_short(double v); /* the nearest */

/* u8 edge, u8 pairs, u16 0, then u16 per entry. */
void swg__variogram_write(const swg__variogram *v, swg__text *out);
/* NULL or the reason; closed then. */
const char *swg__variogram_read(swg_context *ctx, swg__cursor *in, swg__variogram *v);

/* What is predicted from what. Ranks count in coding order. */
typedef struct swg__block_rank {
    int16_t position;              /* in the block */
    uint8_t taps, near;
    uint8_t pass;                  /* 0..11: level and number of fine coordinates */
    uint8_t bucket;                /* of the model's own standard deviation */
    int16_t tap[SWG__BLOCK_TAPS];  /* ranks before this one */
    int16_t close[SWG__BLOCK_NEAR];
    int32_t weight[SWG__BLOCK_TAPS]; /* Q13, sum 2^13, sum of magnitudes <= 2^18 */
    int32_t share[SWG__BLOCK_NEAR];  /* of |e| in the activity, Q13, 0..2^22 */
} swg__block_rank;

typedef struct swg__block_plan {
    swg_context *ctx;
    int edge, count;               /* count = edge^3 */
    swg__block_rank *rank;
} swg__block_plan;

/* scale: variance of the grid's noise, step^2 / 12, is 2^((scale - 64) / 4) units of the table. Integers throughout. SWG_ENOMEM. */
swg_status swg__block_plan_open(const swg__variogram *v, int scale, swg__block_plan *plan);
void swg__block_plan_close(swg__block_plan *plan);

/* The edge of the chunk's blocks; 0: it is not made of blocks, or the mode is not for its grid. */
int swg__block_edge(const swg__chunk *chunk);

/* Codes the chunk. trained NULL: with a table of its own. *coded false: not possible, or more than about `limit` bytes; the draft is then empty. */
swg_status swg__block_encode(const swg__chunk *chunk, const swg__variogram *trained, int64_t limit, swg__draft *draft, bool *coded);

/* NULL or the reason. */
const char *swg__block_decode(const swg__chunk *chunk, const swg__variogram *trained, const swg__record *record);

/* ---- block_fit.c ---- */

enum { SWG__BLOCK_SAMPLE = 1024 };   /* blocks of a chunk that its table is made from, about */

/* Weighted sums over blocks. */
typedef struct swg__block_sums {
    swg_context *ctx;
    int edge;
    double *moment;                /* (n^3, n^3), lower half: products of values in steps of the grid, less their block's mean */
    double weight;
} swg__block_sums;

swg_status swg__block_sums_open(swg_context *ctx, int edge, swg__block_sums *s);
void swg__block_sums_close(swg__block_sums *s);
/* Adds about `most` blocks of a chunk. SWG_ENOMEM. */
swg_status swg__block_sums_add(swg__block_sums *s, const swg__chunk *chunk, int64_t most);
/* The table, and its unit in squared steps; unit 0: there is nothing to learn. */
swg_status swg__block_sums_table(const swg__block_sums *s, bool pairs, swg__variogram *v, double *unit);
/* Makes half squares by displacement, in squared steps, those of some field. SWG_ENOMEM. */
swg_status swg__variogram_repair(swg_context *ctx, int edge, double *gamma);
/* The unit in squared steps that a table made elsewhere has here. */
double swg__block_sums_unit(const swg__block_sums *s, const swg__variogram *v);

/* ---- as a trained model, kind 5 (swg__kind); its trainer is in fit.h ---- */

const char *swg__block_causal_parse(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
void swg__block_causal_close(swg_context *ctx, void *parsed);
swg_status swg__block_causal_encode(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded);
const char *swg__block_causal_decode(const swg__chunk *chunk, const void *parsed, const swg__record *record);

#endif
