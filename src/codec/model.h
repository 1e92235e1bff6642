/* model.h (internal) - a set of trained models: blobs as they stand in files, parsed, with the variable and bound they were trained for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_MODEL_H
#define SWAGE_CODEC_MODEL_H

#include "container.h"
#include "kinds.h"

typedef struct swg__blob {
    const swg__kind *kind;     /* NULL: of a kind this version does not run */
    swg__text bytes;           /* empty in a set that was read from a stream */
    uint8_t sha256[32];
    char *name;                /* of the variable; "": any */
    double bound;              /* relative to the value range; 0: any */
    void *parsed;
} swg__blob;

struct swg_codec_model {
    swg_context *ctx;
    int count;
    swg__blob blob[SWG__MODELS];
};

/* An empty set; SWG_ENOMEM. */
swg_status swg__model_new(swg_context *ctx, swg_codec_model **out);

/* Adds a blob: checked, hashed and parsed. name NULL: "". keep: the bytes as well. NULL, or why it is refused; the set is then as before.
 * Kinds that this version does not run are kept unparsed. */
const char *swg__model_add(swg_codec_model *model, const uint8_t *blob, size_t bytes, const char *name, double bound, bool keep);

/* Numbers of the blobs that are candidates for an array: of a kind that encodes, not in `without`, with its name or none, and trained at a
 * bound within a factor of 2 of `relative` (0: unknown, every bound is right). Returns how many. */
int swg__model_candidates(const swg_codec_model *model, const char *name, double relative, uint32_t without, int candidate[SWG__MODELS]);

/* What an array is coded with: a set from outside, and one that was fitted to the array itself, of one blob, whose number is SWG__OWN. */
typedef struct swg__model_pair {
    const swg_codec_model *given, *own; /* NULL: none */
} swg__model_pair;
enum { SWG__OWN = SWG__MODELS, SWG__BLOBS };
const swg__blob *swg__blob_of(swg__model_pair models, int number);

/* The MODL section of some blobs, in this order; its length, and what one blob adds to it. */
void swg__models_write(swg__model_pair models, const int *blob, int count, swg__text *out);
size_t swg__models_bytes(swg__model_pair models, const int *blob, int count);
size_t swg__blob_cost(swg__model_pair models, int blob);

/* Payload of a MODL section as a set. expected: the number that the header says. NULL or the reason; *out is then NULL. */
const char *swg__models_read(swg_context *ctx, swg__span payload, uint32_t expected, swg_codec_model **out);

/* A .swm file in memory; path: for messages. */
swg_status swg__model_read(swg_context *ctx, const uint8_t *data, size_t bytes, const char *path, swg_codec_model **out);

#endif
