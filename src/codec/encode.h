/* encode.h - an array as coded chunks in memory, before it is laid down as a stream.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_ENCODE_H
#define SWAGE_CODEC_ENCODE_H

#include "container.h"
#include "model.h"

/* Who competes for a chunk, and how. */
typedef struct swg__choice {
    uint32_t without;
    int effort;               /* 1..9 */
} swg__choice;
enum { SWG__EFFORT_LEAST = 1, SWG__EFFORT_SAMPLE = 5, SWG__EFFORT_MOST = 9 };
static inline swg__choice swg__choice_of(uint32_t without, int effort) {
    return (swg__choice){without, effort ? effort : SWG__EFFORT_SAMPLE};
}

/* One coding of a chunk. */
typedef struct swg__form {
    swg__text record;
    swg__record_head head;
    int64_t outliers;
    double squares;                       /* of errors over finite values that are no fill, where measured */
    int blob;                             /* of the set that it needs; -1: none */
} swg__form;

/* One chunk in several forms. */
typedef struct swg__coded {
    swg__form plain;
    swg__form *other;                     /* with a model, each by more than 0.5 % shorter than plain */
    int others;
    int64_t filled, measured;             /* fill values; values that squares are of */
} swg__coded;

typedef struct swg__encoded {
    swg_context *ctx;
    swg__header header;
    swg__layout layout;
    const char *name, *attributes;        /* borrowed from the options */
    const swg_codec_model *model;         /* what the forms' blobs are numbers in ... */
    swg_codec_model *own;                 /* ... but SWG__OWN, which is here; NULL: none */
    swg__coded *chunk;
    int64_t bytes;                        /* of the stream without models, texts not counted */
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

/* Of a measured coding: PSNR for a value range of `width` dB, of the worst of all forms. Of any: values in / bytes
 * out, extrapolated where not every chunk was coded. */
double swg__encoded_psnr(const swg__encoded *encoded, double width);
double swg__encoded_ratio(const swg__encoded *encoded);
int64_t swg__encoded_bytes(const swg__encoded *encoded); /* of the stream with the models that pay, texts not counted */

/* Codes every chunk. On failure *out is empty. */
swg_status swg__encode_array(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, const swg_codec_model *model,
                             swg__encoded *out);
void swg__encoded_free(swg__encoded *encoded);

/* What is known of a stream before its values: shape, cut, axes, bound; no range and no grid yet. */
swg_status swg__encode_shape(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__header *header);
/* Codes an array as a complete header says (bound, grid, extents); no network is tried. On failure *out is empty. */
swg_status swg__encode_chunks(swg_context *ctx, const swg_codec_array *array, const swg__header *header, swg__choice choice, swg__encoded *out);
/* Header with grid, and layout, of an array as it would be coded; the bound must be no target. */
swg_status swg__encode_look(swg_context *ctx, const swg_codec_array *array, const swg_codec_opts *opts, swg__header *header, swg__layout *layout);
/* One chunk of an array as the modes see it, fill values masked. Drop it in any case. */
swg_status swg__chunk_take(swg_context *ctx, const void *data, const swg__header *header, const swg__layout *layout, int64_t index, swg__chunk *chunk);
void swg__chunk_drop(swg__chunk *chunk);
/* Usual chunks for the dims, layout and ndim of a header. edge: of the network's tiles, 0 none. */
void swg__chunk_choose(swg__header *header, int edge);

/* ---- models ---- */

static inline swg__model_pair swg__encoded_models(const swg__encoded *e) { return (swg__model_pair){e->model, e->own}; }
/* Adds the bytes that each blob would save if it came to those in `in`; false: none but SWG__OWN would save any. */
bool swg__encoded_gain(const swg__encoded *encoded, const int *in, int count, int64_t gain[SWG__BLOBS]);
/* The blobs that save more than they take, in the set's order. Returns how many, at most 64. */
int swg__encoded_choose(const swg__encoded *encoded, int blob[SWG__BLOBS]);

int64_t swg__encoded_with(const swg__encoded *encoded, const int *blob, int count); /* bytes of the stream with these models, theirs not counted */
/* Whether any of these models shortens a chunk. */
bool swg__encoded_uses(const swg__encoded *encoded, const int *blob, int count);
int64_t swg__encoded_held(const swg__encoded *encoded); /* bytes of memory of all forms */

/* The models a stream may use: blobs of encoded->model; model_ref is the position in this list. */
typedef struct swg__model_use {
    const int *blob;
    int count;
    bool enclosing;                       /* they stand in the collection, not in the stream */
} swg__model_use;

/* The shortest form of a chunk with some models, its model_ref set. */
const swg__form *swg__coded_form(swg__coded *coded, const swg__model_use *use);

/* Appends the whole stream. */
swg_status swg__encoded_write(swg__encoded *encoded, swg__model_use use, swg__text *out, swg_codec_stats *stats);

/* A coding of one chunk without a network: the best that the choice allows. */
swg_status swg__plain_encode(const swg__chunk *chunk, swg__choice choice, swg__draft *draft);

#endif
