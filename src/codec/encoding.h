/* encoding.h - the work on one array: what encode.c and encode_swae.c share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_ENCODING_H
#define SWAGE_CODEC_ENCODING_H

#include "context.h"
#include "encode.h"
#include "swae.h"

typedef struct swg__encoding {
    swg_context *ctx;
    swg__encoded *out;
    const char *data;
    swg__choice choice;
    int64_t first, chunks;    /* the group; tasks count from `first` */
    int64_t stride;           /* of the chunks that are coded */
    const int *candidate;     /* blobs that code a chunk by themselves */
    int candidates;
    const swg__swae *swae;    /* the autoencoder at work, blob swae_blob of the set; NULL: none */
    int swae_blob;
    bool measure;
    swg_status *status;       /* of each chunk */
} swg__encoding;

/* Number of the chunk of a task. */
static inline int64_t swg__encoding_chunk(const swg__encoding *j, int64_t task) { return (j->first + task) * j->stride + j->stride / 2; }

/* A learned mode must win by more than half a per cent. */
static inline int64_t swg__coded_limit(const swg__coded *coded) { return (int64_t)(0.995 * (double)coded->plain.record.length); }

/* A chunk, fill values masked; swg__chunk_drop it in any case. */
swg_status swg__encoding_open(const swg__encoding *j, int64_t index, swg__chunk *chunk);

/* One more form of a chunk, with a blob. */
swg_status swg__encoding_add(const swg__encoding *j, const swg__chunk *chunk, int64_t index, int blob, swg__draft *draft);

/* A task for every chunk of the group in parallel; the first failure in chunk order. */
swg_status swg__encoding_step(swg__encoding *j, swg__task_fn fn, void *arg);

/* ---- encode_swae.c ---- */

/* As many chunks as hold tiles for one call of the float encoder, of `most` that are left. */
int64_t swg__swae_group(const swg__encoding *j, int64_t most);

/* Tries the autoencoder on the chunks of the group, which have their plain forms: on a few tiles of each, then in full where those promise a gain. */
swg_status swg__swae_code(swg__encoding *j);

#endif
