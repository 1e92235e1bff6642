/* kinds.h - one row per kind of trained model: how its blob is checked, and how a chunk is coded and decoded with it.
 * A new kind is a row here and, if `swage train codec/...` makes it, a row in fit.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_KINDS_H
#define SWAGE_CODEC_KINDS_H

#include "chunk.h"

enum { /* numbers in MODL and in blobs (docs/format.md, "Models") */
    SWG__KIND_STENCIL = 1,
    SWG__KIND_CAUSAL = 2,
    SWG__KIND_KLT = 4,
    SWG__KIND_BLOCK_CAUSAL = 5,
    SWG__KIND_SWAE = 6,
    SWG__KIND_LAW = 9
};
enum { SWG__BLOB_HEAD = 16 };

/* What is known of a chunk when a model is asked. */
typedef struct swg__trial {
    uint32_t without;                /* of the options, and below the highest effort SWG__WITHOUT_TRIALS */
    int64_t limit;                   /* bytes to stay below */
    const swg__record *plain;        /* the chunk without a model */
    struct swg__stencil_plan **plan; /* the chunk's levels, for all models of mode W; opened by the first */
} swg__trial;

typedef struct swg__kind {
    uint16_t code;
    uint8_t mode, submode;     /* of the records that refer to a model of this kind */
    swg_codec_mode name;       /* opts.without leaves the kind out with this mode */
    const char *title;         /* for people */
    size_t parsed_bytes;

    /* A whole blob, head included (checked already), to its parsed form, zeroed before, which must not point into the blob.
     * NULL or the reason; after a reason `close` is not called. */
    const char *(*parse)(swg_context *ctx, const uint8_t *blob, size_t bytes, void *parsed);
    void (*close)(swg_context *ctx, void *parsed); /* NULL: nothing to free but the struct */

    /* Bytes that the chunk would take, from a sample; INT64_MAX: it cannot be coded. NULL: encode finds out as fast. */
    swg_status (*estimate)(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, int64_t *bytes);
    /* Codes the chunk (mode, submode, streams, max_ratio; neither model_ref nor the mask). *coded false: it cannot, or not in fewer than trial->limit
     * bytes, or the kind is not for such chunks; the draft is then of no use. Deterministic, and safe from several threads at a time. NULL: encode.c has a way of its own. */
    swg_status (*encode)(const swg__chunk *chunk, const void *parsed, const swg__trial *trial, swg__draft *draft, bool *coded);
    /* NULL or the reason. */
    const char *(*decode)(const swg__chunk *chunk, const void *parsed, const swg__record *record);
} swg__kind;

/* NULL: not one that this version runs. */
const swg__kind *swg__kind_of(uint32_t code);

/* The head of a blob under construction, and what is done when its body stands: length, padding to 4. */
void swg__blob_begin(swg__text *blob, int kind);
void swg__blob_end(swg__text *blob);

#endif
