/* sort.c - argsort along an axis, and reading or writing along a permutation.
 * Keys are 64-bit: the float's order-preserving integer above, the index below, so the order is total and stable.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"

enum { LANES = 8, NETWORK_MOST = 1024 };

typedef struct extents { int64_t outer, n, inner; } extents;

static extents extents_of(const swg__node *node) {
    extents e = {1, node->shape[node->attr.axis], 1};
    for (int axis = 0; axis < node->ndim; axis++)
        if (axis < node->attr.axis)
            e.outer *= node->shape[axis];
        else if (axis > node->attr.axis)
            e.inner *= node->shape[axis];
    return e;
}

/* NaN sorts last; -0 equals +0. */
static int64_t key_of(float x, int64_t index) {
    int32_t bits;
    x = x == 0.f ? 0.f : x;
    memcpy(&bits, &x, 4);
    int32_t order = x != x ? INT32_MAX : bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
    return (int64_t)order * ((int64_t)1 << 32) + index;
}

/* Eight neighbouring columns are the lanes of a sorting network; a unit is one such group. */
static int64_t argsort_units(const swg__call *call) {
    extents e = extents_of(call->node);
    return e.outer * swg__ceil_div(e.inner, LANES);
}

static int64_t argsort_grain(const swg__call *call) {
    int64_t grain = 512 / call->node->shape[call->node->attr.axis];
    return grain < 1 ? 1 : grain;
}

static int64_t argsort_scratch(const swg__call *call, bool *per_worker) {
    *per_worker = true;
    return 2 * LANES * extents_of(call->node).n * (int64_t)sizeof(int64_t);
}

/* Bottom-up merge sort of one long column; the result is in `keys`. */
static void merge_sort(int64_t *keys, int64_t *spare, int64_t n) {
    int64_t *from = keys, *to = spare;
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t start = 0; start < n; start += 2 * run) {
            int64_t mid = swg__min64(start + run, n), end = swg__min64(start + 2 * run, n), i = start, j = mid;
            for (int64_t k = start; k < end; k++)
                to[k] = i < mid && (j >= end || from[i] < from[j]) ? from[i++] : from[j++];
        }
        int64_t *kept = from;
        from = to;
        to = kept;
    }
    if (from != keys)
        memcpy(keys, from, (size_t)n * sizeof *keys);
}

static void argsort_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    extents e = extents_of(call->node);
    int64_t *keys = (int64_t *)((char *)call->scratch + worker * call->worker_bytes), *spare = keys + LANES * e.n;
    int64_t groups = swg__ceil_div(e.inner, LANES);
    const float *x = call->in[0];
    int32_t *out = call->out;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t base = unit / groups * e.n * e.inner + unit % groups * LANES;
        int64_t lanes = swg__min64(LANES, e.inner - unit % groups * LANES);
        if (e.n <= NETWORK_MOST) {
            for (int64_t i = 0; i < e.n; i++)
                for (int64_t lane = 0; lane < LANES; lane++)
                    keys[LANES * i + lane] = lane < lanes ? key_of(x[base + i * e.inner + lane], i) : 0;
            call->isa->sort_network(keys, e.n);
            for (int64_t i = 0; i < e.n; i++)
                for (int64_t lane = 0; lane < lanes; lane++)
                    out[base + i * e.inner + lane] = (int32_t)(uint32_t)(keys[LANES * i + lane] & 0xffffffff);
            continue;
        }
        for (int64_t lane = 0; lane < lanes; lane++) {
            for (int64_t i = 0; i < e.n; i++)
                keys[i] = key_of(x[base + i * e.inner + lane], i);
            merge_sort(keys, spare, e.n);
            for (int64_t i = 0; i < e.n; i++)
                out[base + i * e.inner + lane] = (int32_t)(uint32_t)(keys[i] & 0xffffffff);
        }
    }
}

const swg__kernel swg__kernel_argsort = {.name = "argsort", .units = argsort_units, .grain = argsort_grain, .run = argsort_run,
                                         .scratch = argsort_scratch};

/* A unit is one index of the axes before the sorted one, or a group of columns where there are none. */
static int64_t along_units(const swg__call *call) {
    extents e = extents_of(call->node);
    return e.outer * swg__ceil_div(e.inner, LANES);
}

static int64_t along_grain(const swg__call *call) {
    int64_t grain = (2 << 10) / call->node->shape[call->node->attr.axis];
    return grain < 1 ? 1 : grain;
}

static void along_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    extents e = extents_of(call->node);
    int64_t groups = swg__ceil_div(e.inner, LANES);
    bool take = call->node->op == SWG__TAKE;
    const float *x = call->in[0];
    const int32_t *index = call->in[1];
    float *out = call->out;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t base = unit / groups * e.n * e.inner + unit % groups * LANES;
        int64_t lanes = swg__min64(LANES, e.inner - unit % groups * LANES);
        for (int64_t i = 0; i < e.n; i++)
            for (int64_t lane = 0; lane < lanes; lane++) {
                int64_t here = base + i * e.inner + lane, there = base + (int64_t)index[here] * e.inner + lane;
                if (take)
                    out[here] = x[there];
                else
                    out[there] = x[here];
            }
    }
}

const swg__kernel swg__kernel_along = {.name = "along", .units = along_units, .grain = along_grain, .run = along_run};
