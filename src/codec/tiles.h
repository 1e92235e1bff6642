/* tiles.h - mode B-SWAE: a chunk cut into n^3 tiles, each predicted by the network from a few latents; closed loop on the fine grid.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_TILES_H
#define SWAGE_CODEC_TILES_H

#include "chunk.h"
#include "swae.h"

/* How a chunk is cut: per slice z-major, clipped at the high ends. */
typedef struct swg__tiling {
    int n;
    int64_t per_axis[3], per_slice, count; /* tiles along z, y, x; of the chunk */
} swg__tiling;

void swg__tiling_make(const swg__chunk *chunk, int n, swg__tiling *tiling);

/* Mode B may be used where its tiles hold at most 8 times the chunk's values (+ 4096): bounds memory and work. */
bool swg__tiling_allowed(const swg__tiling *tiling, int64_t values);

/* Tiles first, first + step, ... of a chunk, ready for the encoder network. */
typedef struct swg__tile_set {
    int64_t count, first, step;
    float *blocks;       /* (count, n^3): (x - mean) / 2^exponent */
    float *latents;      /* (count, latents) */
} swg__tile_set;

/* Normalises the tiles of a set into blocks. */
void swg__tiles_normalise(const swg__chunk *chunk, const swg__tiling *tiling, const swg__tile_set *set);

/* Code length of the chunk in bytes, from a set of its tiles. SWG_ENOMEM. */
swg_status swg__tiles_estimate(const swg__chunk *chunk, const swg__swae *model, const swg__tile_set *set, int64_t *bytes);

/* Codes the chunk; the set holds all tiles. */
swg_status swg__tiles_encode(const swg__chunk *chunk, const swg__swae *model, const swg__tile_set *set, swg__draft *draft);

/* NULL or the reason. */
const char *swg__tiles_decode(const swg__chunk *chunk, const swg__net *net, const swg__record *record);

#endif
