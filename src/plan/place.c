/* place.c - best-fit placement of buffers by lifetime in one arena.
 * In: sizes and lives. Out: offsets, the peak and its lower bound.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "plan/plan.h"

enum { ALIGN = 64 };

static int64_t rounded(int64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

typedef struct item { int index, first; int64_t key; } item;

/* Larger keys first; ties by first use, then by index, so that the order is total. */
static int compare(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

enum { BY_SIZE, BY_FIRST_USE, BY_AREA, ORDERS };

static int64_t order_key(const swg__life *life, int order) {
    switch (order) {
    case BY_SIZE: return rounded(life->bytes);
    case BY_FIRST_USE: return -life->first;
    default: return rounded(life->bytes) * (life->last - life->first + 1);
    }
}

/* Places items in order; `placed` lists them sorted by offset as we go. Returns the peak. */
static int64_t place_in_order(const swg__life *lives, const item *items, int count, int64_t *offset, int *placed) {
    int64_t peak = 0;
    for (int i = 0; i < count; i++) {
        const swg__life *life = &lives[items[i].index];
        int64_t size = rounded(life->bytes), end = 0, best = -1, best_gap = INT64_MAX;
        for (int j = 0; j < i; j++) {
            const swg__life *other = &lives[placed[j]];
            if (other->last < life->first || other->first > life->last)
                continue;
            int64_t gap = offset[placed[j]] - end;
            if (gap >= size && gap < best_gap) {
                best = end;
                best_gap = gap;
            }
            int64_t other_end = offset[placed[j]] + rounded(other->bytes);
            end = other_end > end ? other_end : end;
        }
        int64_t at = best >= 0 ? best : end;
        offset[items[i].index] = at;
        peak = at + size > peak ? at + size : peak;
        int j = i;
        for (; j > 0 && offset[placed[j - 1]] > at; j--)
            placed[j] = placed[j - 1];
        placed[j] = items[i].index;
    }
    return peak;
}

swg_status swg__place(swg_context *ctx, swg__life *lives, int count, int steps, int64_t *peak, int64_t *bound, int *bound_step) {
    size_t n = (size_t)(count ? count : 1);
    item *items = swg__calloc(ctx, n, sizeof *items);
    int64_t *offset = swg__calloc(ctx, n, sizeof *offset), *live = swg__calloc(ctx, (size_t)steps + 2, sizeof *live);
    int *placed = swg__calloc(ctx, n, sizeof *placed);
    swg_status status = SWG_OK;
    if (!items || !offset || !live || !placed) {
        status = swg__fail_memory(ctx, n * sizeof *items, "placing buffers");
        goto done;
    }
    int used = 0;
    for (int i = 0; i < count; i++) {
        if (lives[i].offset == -1)
            continue;
        items[used++] = (item){.index = i, .first = lives[i].first};
        live[lives[i].first] += rounded(lives[i].bytes);
        live[lives[i].last + 1] -= rounded(lives[i].bytes);
    }
    *bound = *bound_step = 0;
    int64_t now = 0;
    for (int t = 0; t <= steps; t++) {
        now += live[t];
        if (now > *bound) {
            *bound = now;
            *bound_step = t;
        }
    }
    *peak = INT64_MAX;
    for (int order = 0; order < ORDERS && (order == 0 || (double)*peak > 1.05 * (double)*bound); order++) {
        for (int i = 0; i < used; i++)
            items[i].key = order_key(&lives[items[i].index], order);
        qsort(items, (size_t)used, sizeof *items, compare);
        int64_t got = place_in_order(lives, items, used, offset, placed);
        if (got >= *peak)
            continue;
        *peak = got;
        for (int i = 0; i < used; i++)
            lives[items[i].index].offset = offset[items[i].index];
    }
    if (used == 0)
        *peak = 0;
done:
    swg__free(ctx, items);
    swg__free(ctx, offset);
    swg__free(ctx, live);
    swg__free(ctx, placed);
    return status;
}
