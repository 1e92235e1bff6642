/* chunk.h - one chunk in memory, on its way in or out: extents, dense values, grid; outliers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CHUNK_H
#define SWAGE_CODEC_CHUNK_H

#include "kernels.h"
#include "rans.h"
#include "record.h"

/* Scan order: w slowest, x fastest, without gaps. */
typedef struct swg__chunk {
    swg_context *ctx;
    const swg__codec_kernels *kernels;
    swg__grid grid;        /* step 0: lossless */
    int64_t extent[4];     /* w, z, y, x */
    int64_t count;         /* product of the extents, <= 2^24 */
    void *values;          /* count values of grid.type; the encoder only reads, substitutes where mask says so */
    swg__fill fill;
    const uint8_t *mask;   /* not 0: a mode need not code the value, something else restores it (mask.h); NULL: none */
    int64_t masked;        /* such values */
    const void *original;  /* encoder: the values without substitutes; NULL: the same as values */
} swg__chunk;

static inline const void *swg__original(const swg__chunk *chunk) { return chunk->original ? chunk->original : chunk->values; }

/* Values stored verbatim: positions in scan order. */
typedef struct swg__outliers {
    swg_context *ctx;
    uint32_t *position;
    int64_t count, capacity;
    bool failed;
} swg__outliers;

void swg__outlier_add(swg__outliers *list, int64_t position);
void swg__outliers_free(swg__outliers *list);
/* Sorts, writes the OUTLIERS stream and sets the flag, nothing if the list is empty. */
swg_status swg__outliers_write(swg__outliers *list, const swg__chunk *chunk, swg__draft *draft);
/* Overwrites the values of a decoded chunk. NULL or the reason. */
const char *swg__outliers_read(const swg__chunk *chunk, swg__span stream);

/* RANS and RAW of the draft from symbols whose bits are finished; lanes for the former and `more` bytes. SWG_ENOMEM, also where a stream of the draft has failed. */
swg_status swg__symbols_write(const swg__chunk *chunk, swg__symbols *symbols, int64_t more, swg__draft *draft);

/* Levels first .. first + n - 1 of the chunk to values. NULL, or the reason if one is beyond the limit. */
const char *swg__levels_store(const swg__chunk *chunk, int shift, const int64_t *u, int64_t first, int64_t n);

/* Values as they stand in files: little endian. */
void swg__copy_values(void *to, const void *from, int64_t count, int bytes);

#endif
