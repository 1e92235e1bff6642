/* region.c - first-fit allocation inside a fixed stretch of memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include "region.h"

enum { HEAD = 64 };

typedef struct block {
    size_t bytes;          /* of the whole block, a multiple of 64 */
    bool used;
} block;

void swg__region_open(swg__region *region, void *memory, size_t bytes) {
    const uintptr_t begin = ((uintptr_t)memory + HEAD - 1) / HEAD * HEAD, end = ((uintptr_t)memory + bytes) / HEAD * HEAD;
    *region = (swg__region){0};
    if (end < begin + 2 * HEAD)
        return;
    region->begin = (char *)memory + (begin - (uintptr_t)memory);
    region->end = region->begin + (end - begin);
    *(block *)(void *)region->begin = (block){.bytes = end - begin};
}

void *swg__region_alloc(void *user, size_t align, size_t bytes) {
    swg__region *region = user;
    const size_t need = bytes > SIZE_MAX / 2 ? SIZE_MAX : (bytes + HEAD - 1) / HEAD * HEAD + HEAD;
    for (char *at = region->begin; at < region->end && align <= HEAD; at += ((block *)(void *)at)->bytes) {
        block *b = (block *)(void *)at;
        if (b->used)
            continue;
        for (block *next = (block *)(void *)(at + b->bytes); at + b->bytes < region->end && !next->used; next = (block *)(void *)(at + b->bytes))
            b->bytes += next->bytes;
        if (b->bytes < need)
            continue;
        if (b->bytes > need) {
            *(block *)(void *)(at + need) = (block){.bytes = b->bytes - need};
            b->bytes = need;
        }
        b->used = true;
        region->used += need;
        region->peak = region->used > region->peak ? region->used : region->peak;
        return at + HEAD;
    }
    region->refused++;
    return NULL;
}

void swg__region_release(void *user, void *ptr) {
    swg__region *region = user;
    if (!ptr)
        return;
    block *b = (block *)(void *)((char *)ptr - HEAD);
    b->used = false;
    region->used -= b->bytes;
}
