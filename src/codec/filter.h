/* filter.h - the HDF5 filter's side of the codec, without HDF5: parameters as cd_values, one HDF5 chunk to one record and back
 * (docs/format.md, "HDF5 filter").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_FILTER_H
#define SWAGE_CODEC_FILTER_H

#include "container.h"

enum {
    SWG__FILTER_ID = 32789,             /* private range: nothing to register */
    SWG__FILTER_USER_WORDS = 7,
    SWG__FILTER_FIXED_WORDS = 55,       /* of the resolved form, without models */
    SWG__FILTER_MODEL_BYTES = 60000,
    SWG__FILTER_WORDS = SWG__FILTER_FIXED_WORDS + SWG__FILTER_MODEL_BYTES / 4,
    SWG__FILTER_SEEN = 256,             /* words that H5Pget_filter_by_id gives at most */
    SWG__FILTER_AXES = 32               /* HDF5's limit */
};

/* What HDF5 says of a dataset. Extents slowest first. */
typedef struct swg__filter_shape {
    swg_element type;
    bool big_endian;
    int rank;
    const int64_t *dims, *chunk; /* dims NULL: unknown */
} swg__filter_shape;

typedef struct swg__filter {
    swg__header header;   /* dims = chunk = the chunk's extents without unit axes */
    swg__layout layout;
    int effort;           /* 1..9; of the encoder only */
    swg__span payload;    /* of MODL; data NULL: none */
    swg_codec_model *models;
} swg__filter;

/* Element type, byte order, extents and layout of a header: axes on which the chunk has one index are dropped; a chunk of whole
 * cubes of edge 3..9 is of isolated blocks. SWG_ESHAPE: more than 4 axes are left, or more than 2^24 values. */
swg_status swg__filter_geometry(swg_context *ctx, const swg__filter_shape *shape, swg__header *header);

/* The user's words (at most 7) as options, and back. SWG_EINVAL says what is wrong. */
swg_status swg__filter_user_read(swg_context *ctx, const uint32_t *words, size_t count, swg_codec_opts *opts, int *effort);
void swg__filter_user_write(const swg_codec_opts *opts, int effort, uint32_t words[SWG__FILTER_USER_WORDS]);

/* Parameters of a header (dims, chunk and counts are set here) and a MODL payload (bytes 0: none). words: room for SWG__FILTER_WORDS.
 * Returns the number of words. */
size_t swg__filter_words(swg_context *ctx, const swg__header *header, int effort, swg__span models, uint32_t *words);

/* The resolved form, checked; the payload is copied. Close it. SWG_ECORRUPT, SWG_EUNSUPPORTED, SWG_ENOMEM. */
swg_status swg__filter_open(swg_context *ctx, const uint32_t *words, size_t count, swg__filter *filter);
void swg__filter_close(swg_context *ctx, swg__filter *filter);

/* Either form to the resolved one for a dataset: what set_local does.
 * words: the first `seen` of `count`. HDF5 shows no more than SWG__FILTER_SEEN; more is a form with models, which can only stay as it is
 * out: room for SWG__FILTER_SEEN words; *written: words, 0 if the form stays as it is
 * SWG_EDTYPE: a resolved form of another element type or byte order. SWG_ESHAPE: a form with models, and other extents. */
swg_status swg__filter_resolve(swg_context *ctx, const uint32_t *words, size_t seen, size_t count, const swg__filter_shape *shape, uint32_t *out,
                               size_t *written);

/* One chunk as HDF5 holds it (the dataset's byte order, full size) to a record, and back. bytes of the chunk are checked. */
swg_status swg__filter_encode(swg_context *ctx, const swg__filter *filter, const void *values, size_t bytes, swg__text *record);
swg_status swg__filter_decode(swg_context *ctx, const swg__filter *filter, const void *record, size_t bytes, void *values, size_t size);
size_t swg__filter_chunk_bytes(const swg__filter *filter);

/* ---- swz.c: what reading a file and reading a chunk have in common ---- */

/* A record that is a dataset of its own. out: layout->values values in the dataset's order, zeroed on failure. NULL or the reason. */
const char *swg__decode_alone(swg_context *ctx, const swg__header *header, const swg__layout *layout, const swg_codec_model *models,
                              swg__span record, void *out);

#endif
