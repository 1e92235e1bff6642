/* split.h - lossless 64-bit values as a chunk of their high bits, which a mode for integers predicts, and low words as byte planes
 * beside it (docs/format.md, "Split").
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_SPLIT_H
#define SWAGE_CODEC_SPLIT_H

#include "chunk.h"

/* Shifts worth a try: 45 high bits, and 32 for values that cross many orders of magnitude. */
enum { SWG__SPLIT_LEAST = 19, SWG__SPLIT_MOST = 31 };

/* True where a chunk can be split: lossless, 64 bits. */
static inline bool swg__splits(const swg__chunk *chunk) {
    return chunk->grid.step == 0 && !chunk->grid.pw_h && swg_element_bytes(chunk->grid.type) == 8;
}

typedef struct swg__split {
    swg__chunk inner;  /* i64 high words, lossless */
    uint64_t *low;
    int shift;         /* bits of the low words: at least the one asked for, more where all values end in zeros */
} swg__split;

/* SWG_ENOMEM; close in any case. */
swg_status swg__split_open(const swg__chunk *chunk, int shift, swg__split *split);
void swg__split_close(swg__split *split);
/* Puts the low words and the flag beside what a mode has made of `inner`. SWG_ENOMEM. */
swg_status swg__split_finish(const swg__chunk *chunk, const swg__split *split, swg__draft *draft);

/* High words and the LOW stream to values. NULL or the reason. */
const char *swg__split_store(const swg__chunk *chunk, const int64_t *high, swg__span low);

#endif
