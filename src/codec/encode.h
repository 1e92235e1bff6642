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
    int64_t plain_outliers, network_outliers, filled;
    double plain_squares, network_squares; /* sums of squared errors over finite values that are no fill, where measured */
    int64_t measured;                     /* such values */
} swg__coded;

typedef struct swg__encoded {
    swg_context *ctx;
    swg__header header;
    swg__layout layout;
    const char *name, *attributes;        /* borrowed from the options */
    const swg_codec_model *model;
    swg__coded *chunk;
    int64_t saving;                       /* bytes the network saves, its own size not counted */
    int64_t bytes;                        /* of the stream without the network, texts not counted */
    int64_t stride;                       /* 1: every chunk was coded */
} swg__encoded;

/* What is to be coded: an array that was looked at. */
typedef struct swg__request {
    const swg_codec_array *array;
    swg_codec_opts opts;
    int64_t count;                        /* values */
    double least, most;                   /* of the finite values that are no fill */
    int64_t stride;                       /* every so many chunks are coded, beginning in the middle of the first so many; 1: all */
    bool measure;                         /* decode what was coded and sum up errors */
} swg__request;

/* One coding of a request: resolves its bound (which is no target), codes chunks. out->header and the fields above are set, the rest is
 * zero. On failure *out is empty. */
swg_status swg__encode_try(swg_context *ctx, const swg__request *request, swg__encoded *out);

/* Of a measured coding: PSNR for a value range of `width` dB, the worse one of with and without the network. Of any: values in / bytes
 * out, extrapolated where not every chunk was coded. */
double swg__encoded_psnr(const swg__encoded *encoded, double width);
double swg__encoded_ratio(const swg__encoded *encoded);

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
