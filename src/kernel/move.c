/* move.c - permute, expand, slice, pad, concat: copies of elements of 2, 4 or 8 bytes by strides. One code for all types.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/kernel.h"

/* memcpy of few bytes, as channels are: a call for each position would take longer than the copy. */
static inline void copy_bytes(char *to, const char *from, size_t bytes) {
    switch (bytes) {
    case 16: memcpy(to, from, 16); break;
    case 32: memcpy(to, from, 32); break;
    case 64: memcpy(to, from, 64); break;
    case 128: memcpy(to, from, 128); break;
    default: memcpy(to, from, bytes); break;
    }
}

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
            copy_bytes(to + t * (int64_t)size, from + f * (int64_t)size, (size_t)inner * size);
        else if (size == 2)
            for (int64_t j = 0; j < inner; j++)
                memcpy(to + (t + j * ts) * 2, from + (f + j * fs) * 2, 2);
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

/* A box whose source runs along another axis than its destination, elements of 2 or 4 bytes: planes of these two axes, turned in registers. */
static void turn_box(const swg__isa_table *isa, char *to, const char *from, size_t size, int ndim, const int64_t *extent, const int64_t *to_stride,
                     const int64_t *from_stride, int run) {
    int64_t index[SWG_MAX_DIMS] = {0};
    for (;;) {
        int64_t t = 0, f = 0;
        for (int i = 0; i < ndim - 1; i++) {
            t += index[i] * to_stride[i];
            f += index[i] * from_stride[i];
        }
        if (size == 2)
            isa->turn_bf16((swg__bf16 *)to + t, to_stride[run], (const swg__bf16 *)from + f, from_stride[ndim - 1], extent[run], extent[ndim - 1]);
        else
            isa->turn((float *)to + t, to_stride[run], (const float *)from + f, from_stride[ndim - 1], extent[run], extent[ndim - 1]);
        int axis = ndim - 2;
        while (axis >= 0 && (axis == run || ++index[axis] == extent[axis])) {
            index[axis] = 0;
            axis--;
        }
        if (axis < 0)
            return;
    }
}

/* Axes that follow each other in both as in one are one; those of extent 1 are none. Returns how many are left, at least 1. */
static int merge_axes(int ndim, int64_t *extent, int64_t *to_stride, int64_t *from_stride) {
    int left = 0;
    for (int i = 0; i < ndim; i++) {
        if (extent[i] == 1 && ndim > 1 && (left || i < ndim - 1))
            continue;
        if (left && to_stride[left - 1] == to_stride[i] * extent[i] && from_stride[left - 1] == from_stride[i] * extent[i]) {
            extent[left - 1] *= extent[i];
        } else {
            extent[left++] = extent[i];
        }
        to_stride[left - 1] = to_stride[i];
        from_stride[left - 1] = from_stride[i];
    }
    return left;
}

/* The axis along which the source runs, if that is not the last one; the last one otherwise. */
static int run_of(int ndim, const int64_t *from_stride) {
    int axis = ndim - 1;
    for (int i = 0; i < ndim - 1 && from_stride[ndim - 1] != 1; i++)
        axis = from_stride[i] == 1 ? i : axis;
    return axis;
}

static void contiguous(const swg__node *n, int64_t stride[SWG_MAX_DIMS]) {
    int64_t step = 1;
    for (int i = n->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= n->shape[i];
    }
}

/* A unit is a row of the result's axis 0; of a concat, what one input has for one index before the axis; of a pad, a line of the last
 * axis. */
static bool by_rows(const swg__node *n) { return n->op == SWG__PERMUTE || n->op == SWG__EXPAND || n->op == SWG__SLICE; }

static int64_t move_units(const swg__call *call) {
    const swg__node *n = call->node;
    if (n->ndim == 0)
        return 1;
    if (n->op == SWG__CONCAT)
        return swg__shape_elements(n->attr.axis, n->shape) * n->inputs;
    return by_rows(n) ? n->shape[0] : swg__shape_elements(n->ndim - 1, n->shape);
}

static int64_t move_grain(const swg__call *call) {
    int64_t units = (32 << 10) * move_units(call) / swg__shape_elements(call->node->ndim, call->node->shape);
    return units < 1 ? 1 : units;
}

/* Units [begin, end) of a concat: input unit % inputs, at index unit / inputs of the axes before it. */
static void copy_parts(const swg__call *call, int64_t begin, int64_t end, size_t size) {
    const swg__node *n = call->node;
    int axis = n->attr.axis;
    size_t rest = (size_t)swg__shape_elements(n->ndim - axis - 1, n->shape + axis + 1) * size, line = (size_t)n->shape[axis] * rest, first = 0;
    for (int j = 0; j < n->inputs; j++) {
        size_t bytes = (size_t)call->g->nodes[n->in[j]].shape[axis] * rest;
        int64_t from = (begin - j + n->inputs - 1) / n->inputs, to = (end - j + n->inputs - 1) / n->inputs; /* of the units of input j */
        for (int64_t outer = from; outer < to; outer++)
            copy_bytes((char *)call->out + (size_t)outer * line + first, (const char *)call->in[j] + (size_t)outer * bytes, bytes);
        first += bytes;
    }
}

/* Line `unit` of a pad: zeros, or a line of the input between zeros. */
static void pad_line(const swg__call *call, int64_t unit, size_t size) {
    const swg__node *n = call->node, *in = &call->g->nodes[n->in[0]];
    int last = n->ndim - 1;
    int64_t from = 0, step = 1, rest = unit;
    bool inside = true;
    for (int axis = last - 1; axis >= 0; axis--) {
        int64_t i = rest % n->shape[axis] - n->attr.begin[axis];
        rest /= n->shape[axis];
        inside = inside && i >= 0 && i < in->shape[axis];
        from += i * step;
        step *= in->shape[axis];
    }
    size_t width = last < 0 ? 1 : (size_t)n->shape[last], own = last < 0 ? 1 : (size_t)in->shape[last];
    size_t before = last < 0 ? 0 : (size_t)n->attr.begin[last];
    char *to = (char *)call->out + (size_t)unit * width * size;
    if (!inside) {
        memset(to, 0, width * size);
        return;
    }
    memset(to, 0, before * size);
    memcpy(to + before * size, (const char *)call->in[0] + (size_t)from * own * size, own * size);
    memset(to + (before + own) * size, 0, (width - before - own) * size);
}

static void move_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const swg__node *n = call->node;
    size_t size = swg__dtype_size(n->dtype);
    int64_t to_stride[SWG_MAX_DIMS] = {0}, from_stride[SWG_MAX_DIMS] = {0}, own[SWG_MAX_DIMS], extent[SWG_MAX_DIMS], offset = 0;
    char *to = call->out;
    contiguous(n, to_stride);
    if (n->op == SWG__CONCAT) {
        copy_parts(call, begin, end, size);
        return;
    }
    if (!by_rows(n)) {
        for (int64_t unit = begin; unit < end; unit++)
            pad_line(call, unit, size);
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
    int64_t to_first = n->ndim ? begin * to_stride[0] : 0, from_first = offset + (n->ndim ? begin * from_stride[0] : 0);
    int ndim = merge_axes(n->ndim, extent, to_stride, from_stride), run = run_of(ndim, from_stride);
    const char *from = (const char *)call->in[0] + from_first * (int64_t)size;
    to += to_first * (int64_t)size;
    if (run < ndim - 1 && size < 8)
        turn_box(call->isa, to, from, size, ndim, extent, to_stride, from_stride, run);
    else
        copy_box(to, from, size, ndim, extent, to_stride, from_stride);
}

const swg__kernel swg__kernel_move = {.name = "move", .units = move_units, .grain = move_grain, .run = move_run};

/* ---- joins and cuts of channels, row by row: in row panels ---- */

bool swg__moves_rows(const swg__node *n, const swg__node *x) {
    return n->ndim == 2 && ((n->op == SWG__CONCAT && n->attr.axis == 1) || (n->op == SWG__SLICE && n->shape[0] == x->shape[0]));
}

static int64_t rows_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t rows_grain(const swg__call *call) {
    int64_t rows = (32 << 10) / call->node->shape[1];
    return rows < 1 ? 1 : rows;
}

static void rows_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    if (call->node->op == SWG__CONCAT)
        copy_parts(call, begin * call->node->inputs, end * call->node->inputs, swg__dtype_size(call->node->dtype));
    else
        move_run(call, begin, end, worker);
}

const swg__kernel swg__kernel_move_rows = {.name = "move rows", .units = rows_units, .grain = rows_grain, .run = rows_run, .rows = true};
