/* ref_gather.c - the slow truth of gather, scatter, roll, pooling and resize.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "kernel/ref.h"

/* Element of the index that element (o, i, c) of the values is addressed by. */
static int64_t address(const swg__gather *v, const int32_t *index, int64_t o, int64_t i, int64_t c) {
    return index[o * v->index_outer + i * v->index_m + c * v->index_inner];
}

void swg__ref_gather(const swg__call *call) {
    swg__gather v = swg__gather_of(call->g, call->node);
    const double *x = call->in[0];
    double *out = call->out;
    for (int64_t o = 0; o < v.outer; o++)
        for (int64_t i = 0; i < v.m; i++)
            for (int64_t c = 0; c < v.inner; c++) {
                int64_t k = address(&v, call->in[1], o, i, c);
                out[(o * v.m + i) * v.inner + c] = k >= 0 && k < v.n ? x[(o * v.n + k) * v.inner + c] : NAN;
            }
}

void swg__ref_scatter(const swg__call *call) {
    swg__gather v = swg__gather_of(call->g, call->node);
    const double *x = call->in[0];
    double *out = call->out;
    memset(out, 0, (size_t)swg__node_bytes(call->node));
    for (int64_t o = 0; o < v.outer; o++)
        for (int64_t i = 0; i < v.m; i++)
            for (int64_t c = 0; c < v.inner; c++) {
                int64_t k = address(&v, call->in[1], o, i, c);
                if (k >= 0 && k < v.n)
                    out[(o * v.n + k) * v.inner + c] += x[(o * v.m + i) * v.inner + c];
            }
}

void swg__ref_roll(const swg__call *call) {
    const swg__node *n = call->node;
    int64_t index[SWG_MAX_DIMS];
    for (int64_t i = 0; i < swg__shape_elements(n->ndim, n->shape); i++) {
        swg__ref_unravel(n, i, index);
        for (int axis = 0; axis < n->ndim; axis++)
            index[axis] = (index[axis] - n->attr.begin[axis] + n->shape[axis]) % n->shape[axis];
        ((double *)call->out)[i] = ((const double *)call->in[0])[swg__ref_ravel(n, n->ndim, index)];
    }
}

/* Calls for every pair of x and y elements a map connects. */
typedef void (*pair_fn)(const swg__call *call, int64_t x, int64_t y, int64_t position, double weight);

static void each_pair(const swg__call *call, pair_fn fn) {
    swg__resample r = swg__resample_of(call->g, call->node);
    int64_t planes = r.out[0] * r.out[1] * r.out[2], first[3], end[3], o[3];
    for (int64_t i = 0; i < r.outer * planes * r.inner; i++) {
        int64_t c = i % r.inner, at = i / r.inner % planes, outer = i / r.inner / planes;
        for (int axis = 2; axis >= 0; axis--) {
            o[axis] = at % r.out[axis];
            at /= r.out[axis];
            end[axis] = swg__resample_window(&r, axis, o[axis], &first[axis]);
        }
        for (int64_t p = first[0]; p < end[0]; p++)
            for (int64_t q = first[1]; q < end[1]; q++)
                for (int64_t s = first[2]; s < end[2]; s++) {
                    int64_t position = (p * r.in[1] + q) * r.in[2] + s;
                    double weight = swg__resample_weight(&r, 0, o[0], p) * swg__resample_weight(&r, 1, o[1], q) *
                                    swg__resample_weight(&r, 2, o[2], s);
                    fn(call, (outer * r.in[0] * r.in[1] * r.in[2] + position) * r.inner + c, i, position, weight);
                }
    }
}

static void add(const swg__call *call, int64_t x, int64_t y, int64_t position, double weight) {
    (void)position;
    bool transposed = call->node->attr.trans_a;
    ((double *)call->out)[transposed ? x : y] += weight * ((const double *)call->in[0])[transposed ? y : x];
}

void swg__ref_resample(const swg__call *call) {
    memset(call->out, 0, (size_t)swg__node_bytes(call->node));
    each_pair(call, add);
}

/* -1 stands for no position yet. */
static void most(const swg__call *call, int64_t x, int64_t y, int64_t position, double weight) {
    (void)weight;
    swg__resample r = swg__resample_of(call->g, call->node);
    const double *in = call->in[0];
    int32_t *at = (int32_t *)call->out + y;
    double best = *at < 0 ? -INFINITY : in[x + (*at - position) * r.inner];
    if (*at < 0 || in[x] > best || (isnan(in[x]) && !isnan(best)))
        *at = (int32_t)position;
}

void swg__ref_max_index(const swg__call *call) {
    memset(call->out, 0xff, (size_t)swg__node_bytes(call->node));
    each_pair(call, most);
}
