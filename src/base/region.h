/* region.h - an allocator inside memory that somebody else owns: no call leaves it. For work that must not allocate.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BASE_REGION_H
#define SWAGE_BASE_REGION_H

#include "base.h"

/* Blocks lie one behind the other, each with 64 bytes in front; freed neighbours are joined when they are passed. First fit: good for the few
 * dozen blocks of one call, and not for thousands. One thread at a time. */
typedef struct swg__region {
    char *begin, *end;
    size_t used, peak;     /* bytes of blocks in use, heads counted; the most there were */
    int64_t refused;       /* requests that did not fit */
} swg__region;

/* memory: any alignment. Less than 128 bytes hold nothing. */
void swg__region_open(swg__region *region, void *memory, size_t bytes);
/* Functions for a swg_allocator; user: the region. Alignments up to 64. */
void *swg__region_alloc(void *user, size_t align, size_t bytes);
void swg__region_release(void *user, void *ptr);

#endif
