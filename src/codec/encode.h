/* encode.h - an array as coded chunks in memory, before it is laid down as a stream.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_ENCODE_H
#define SWAGE_CODEC_ENCODE_H

#include "container.h"
#include "tiles.h"

/* One chunk in up to two forms. */
typedef struct swg__coded {
    swg__text plain, network;             /* records; network empty: not better */
    swg__record_head plain_head, network_head;
    int64_t plain_outliers, network_outliers;
} swg__coded;

typedef struct swg__encoded {
    swg_context *ctx;
    swg__header header;
    swg__layout layout;
    const char *name, *attributes;        /* borrowed from the options */
    const swg_codec_model *model;
    swg__coded *chunk;
    int64_t saving;                       /* bytes the network saves, its own size not counted */
} swg__encoded;

/* Codes every chunk. On failure *out is empty. */
swg_status swg__encode_array(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model,
                             swg__encoded *out);
void swg__encoded_free(swg__encoded *encoded);

/* What is known of a stream before its values: shape, cut, axes, bound; no range and no grid yet. */
swg_status swg__encode_shape(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__header *header);
/* Codes an array as a complete header says (bound, grid, extents); no network is tried. On failure *out is empty. */
swg_status swg__encode_chunks(swg_context *ctx, const swg_codec_array *array, const swg__header *header, uint32_t without, swg__encoded *out);
/* Usual chunks for the dims, layout and ndim of a header. edge: of the network's tiles, 0 none. */
void swg__chunk_choose(swg__header *header, int edge);

/* How the stream refers to the network. */
typedef enum swg__model_place { SWG__MODEL_NONE, SWG__MODEL_INSIDE, SWG__MODEL_ENCLOSING } swg__model_place;

/* Appends the whole stream. */
swg_status swg__encoded_write(swg__encoded *encoded, swg__model_place place, swg__text *out, swg_codec_stats *stats);

/* The MODL section of one model, and its length. */
void swg__models_write(const swg_codec_model *model, swg__text *out);
size_t swg__models_bytes(const swg_codec_model *model);

/* The best coding of one chunk without a network. */
swg_status swg__plain_encode(const swg__chunk *chunk, uint32_t without, swg__draft *draft);

#endif
