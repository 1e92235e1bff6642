/* swz.h - what the rest of the codec may know of an open stream.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_SWZ_H
#define SWAGE_CODEC_SWZ_H

#include "chunk.h"
#include "container.h"
#include "input.h"
#include "model.h"

typedef struct swg__member {
    uint64_t offset, bytes;      /* of the stream in the input */
    swg__piece table;            /* the INDX section */
    swg__span index;             /* its payload */
    swg__header header;
    swg__layout layout;
    swg_codec_model *own;                 /* NULL: none, or those of the collection */
    char *source, *name, *attributes;
    swg_swz_info info;
} swg__member;

struct swg_swz {
    swg_context *ctx;
    swg__input here, *input;     /* input: &here, whose count of bytes read changes in a file that does not */
    swg_codec_model *shared;              /* of a collection */
    swg__member *members;
    int64_t count, model_bytes;
};

/* Opens what the input holds and takes the input over, also when it fails. path: for messages. */
swg_status swg__swz_open(swg_context *ctx, swg__input *input, const char *path, swg_swz **out);

/* Header and index payload of a member, owned by the swz. */
const swg__header *swg__swz_header(const swg_swz *swz, int64_t member, const uint8_t **index);

/* Bytes of the file from its start to the end of its last valid footer. */
uint64_t swg__swz_end(const swg_swz *swz);

/* A record into chunk->values. model: what model_ref is a number in, NULL none. NULL or the reason; the values are then undefined. */
const char *swg__record_decode(const swg__chunk *chunk, const swg_codec_model *model, const swg__record *record);

/* The first value everywhere. */
void swg__repeat_first(const swg__chunk *chunk);

#endif
