/* move.c - permute, expand, slice, pad, concat: copies of 4-byte or 8-byte elements by strides. One code for all types.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"

/* Copies a box of `extent` elements: destination and source each with a stride per axis (elements). */
static void copy_box(char *to, const char *from, size_t size, int ndim, const int64_t *extent, const int64_t *to_stride,
                     const int64_t *from_stride) {
    int64_t index[SWG_MAX_DIMS] = {0}, inner = ndim ? extent[ndim - 1] : 1;
    int64_t ts = ndim ? to_stride[ndim - 1] : 1, fs = ndim ? from_stride[ndim - 1] : 1;
    for (;;) {
        int64_t t = 0, f = 0;
        for (int i = 0; i < ndim - 1; i++) {
            t += index[i] * to_stride[i];
            f += index[i] * from_stride[i];
        }
        if (ts == 1 && fs == 1)
            memcpy(to + t * (int64_t)size, from + f * (int64_t)size, (size_t)inner * size);
        else if (size == 4)
            for (int64_t j = 0; j < inner; j++)
                memcpy(to + (t + j * ts) * 4, from + (f + j * fs) * 4, 4);
        else
            for (int64_t j = 0; j < inner; j++)
                memcpy(to + (t + j * ts) * 8, from + (f + j * fs) * 8, 8);
        int axis = ndim - 2;
        while (axis >= 0 && ++index[axis] == extent[axis])
            index[axis--] = 0;
        if (axis < 0)
            return;
    }
}

static void contiguous(const swg__node *n, int64_t stride[SWG_MAX_DIMS]) {
    int64_t step = 1;
    for (int i = n->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= n->shape[i];
    }
}

/* A unit is a row of the result's axis 0, except for pad and concat, which write box by box and run as one unit. */
static bool by_rows(const swg__node *n) { return n->op == SWG__PERMUTE || n->op == SWG__EXPAND || n->op == SWG__SLICE; }

static int64_t move_units(const swg__call *call) { return by_rows(call->node) && call->node->ndim ? call->node->shape[0] : 1; }

static int64_t move_grain(const swg__call *call) {
    if (!by_rows(call->node))
        return 1;
    int64_t rows = (32 << 10) * call->node->shape[0] / swg__shape_elements(call->node->ndim, call->node->shape);
    return rows < 1 ? 1 : rows;
}

static void move_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__node *n = call->node;
    size_t size = swg__dtype_size(n->dtype);
    int64_t to_stride[SWG_MAX_DIMS], from_stride[SWG_MAX_DIMS], own[SWG_MAX_DIMS], extent[SWG_MAX_DIMS], offset = 0;
    char *to = call->out;
    contiguous(n, to_stride);
    if (!by_rows(n)) {
        if (n->op == SWG__PAD)
            memset(to, 0, (size_t)swg__node_bytes(n));
        for (int i = 0; i < n->inputs; i++) {
            const swg__node *in = &call->g->nodes[n->in[i]];
            contiguous(in, own);
            int64_t at = 0;
            if (n->op == SWG__PAD)
                for (int axis = 0; axis < n->ndim; axis++)
                    at += n->attr.begin[axis] * to_stride[axis];
            else
                at = offset * to_stride[n->attr.axis];
            copy_box(to + at * (int64_t)size, call->in[i], size, n->ndim, in->shape, to_stride, own);
            if (n->op == SWG__CONCAT)
                offset += in->shape[n->attr.axis];
        }
        return;
    }
    const swg__node *in = &call->g->nodes[n->in[0]];
    contiguous(in, own);
    for (int axis = 0; axis < n->ndim; axis++) {
        extent[axis] = n->shape[axis];
        if (n->op == SWG__PERMUTE) {
            from_stride[axis] = own[n->attr.begin[axis]];
        } else if (n->op == SWG__SLICE) {
            from_stride[axis] = own[axis];
            offset += n->attr.begin[axis] * own[axis];
        } else {
            int source = axis - (n->ndim - in->ndim);
            from_stride[axis] = source < 0 || in->shape[source] == 1 ? 0 : own[source];
        }
    }
    extent[0] = end - begin;
    copy_box(to + begin * to_stride[0] * (int64_t)size, (const char *)call->in[0] + (offset + begin * from_stride[0]) * (int64_t)size,
             size, n->ndim, extent, to_stride, from_stride);
}

const swg__kernel swg__kernel_move = {.name = "move", .units = move_units, .grain = move_grain, .run = move_run};
