/* pool.c - averages, resize and their gradients as separable maps; the search for the maxima of windows.
 * A unit is one row (all of the last spatial axis, and what lies inside of it) of the result: sources of its first two spatial axes are
 * summed row by row, then the map of the last axis is applied.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "kernel/kernel.h"

/* Sources of the elements of the result along one axis: those of element i stand at [start[i], start[i + 1]). */
typedef struct sources { int64_t *start, *from; float *weight; } sources;
typedef struct layout { int64_t outer, in[3], out[3], inner; sources axis[3]; } layout;    /* in, out: of this map, transposed or not */

static bool find_sources(swg__arena *arena, const swg__resample *r, int axis, bool transposed, sources *s) {
    int64_t out = r->out[axis], total = 0, first, count = transposed ? r->in[axis] : out;
    for (int64_t o = 0; o < out; o++) {
        int64_t end = swg__resample_window(r, axis, o, &first);
        total += end - first;
    }
    s->start = swg__arena_alloc(arena, (size_t)(count + 1) * sizeof *s->start);
    s->from = swg__arena_alloc(arena, (size_t)total * sizeof *s->from);
    s->weight = swg__arena_alloc(arena, (size_t)total * sizeof *s->weight);
    if (!s->start || !s->from || !s->weight)
        return false;
    memset(s->start, 0, (size_t)(count + 1) * sizeof *s->start);
    for (int64_t o = 0; o < out; o++)
        for (int64_t end = swg__resample_window(r, axis, o, &first), i = first; i < end; i++)
            s->start[(transposed ? i : o) + 1]++;
    for (int64_t i = 0; i < count; i++)
        s->start[i + 1] += s->start[i];
    for (int64_t o = 0; o < out; o++)
        for (int64_t end = swg__resample_window(r, axis, o, &first), i = first; i < end; i++) {
            int64_t at = s->start[transposed ? i : o]++; /* starts move on by their counts, and back below */
            s->from[at] = transposed ? o : i;
            s->weight[at] = (float)swg__resample_weight(r, axis, o, i);
        }
    memmove(s->start + 1, s->start, (size_t)count * sizeof *s->start);
    s->start[0] = 0;
    return true;
}

static const void *resample_prepare(swg__arena *arena, const swg__call *call) {
    swg__resample r = swg__resample_of(call->g, call->node);
    bool transposed = call->node->attr.trans_a;
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    *l = (layout){.outer = r.outer, .inner = r.inner};
    for (int axis = 0; axis < 3; axis++) {
        l->in[axis] = transposed ? r.out[axis] : r.in[axis];
        l->out[axis] = transposed ? r.in[axis] : r.out[axis];
        if (!find_sources(arena, &r, axis, transposed, &l->axis[axis]))
            return NULL;
    }
    return l;
}

static int64_t resample_units(const swg__call *call) {
    swg__resample r = swg__resample_of(call->g, call->node);
    const int64_t *out = call->node->attr.trans_a ? r.in : r.out;
    return r.outer * out[0] * out[1];
}

static int64_t resample_grain(const swg__call *call) {
    int64_t grain = (8 << 10) * resample_units(call) / swg__shape_elements(call->node->ndim, call->node->shape);
    return grain < 1 ? 1 : grain;
}

static int64_t resample_scratch(const swg__call *call, bool *per_worker) {
    swg__resample r = swg__resample_of(call->g, call->node);
    *per_worker = true;
    const int64_t *in = call->node->attr.trans_a ? r.out : r.in, *out = call->node->attr.trans_a ? r.in : r.out;
    return (in[2] + (call->node->dtype == SWG_BF16 ? out[2] : 0)) * r.inner * (int64_t)sizeof(float);
}

static void add_row(const swg__call *call, float *row, int64_t at, float weight, int64_t width) {
    float room[SWG__CHUNK];
    int64_t step = swg__is_bf16(call, 0) ? SWG__CHUNK : width;
    for (int64_t i = 0; i < width; i += step) {
        int64_t n = swg__min64(step, width - i);
        call->isa->add_scaled(row + i, swg__floats(call, 0, at + i, n, room), weight, n);
    }
}

static void resample_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    float *row = (float *)((char *)call->scratch + worker * call->worker_bytes);
    int64_t width = l->in[2] * l->inner, out_width = l->out[2] * l->inner;
    bool narrow_out = call->node->dtype == SWG_BF16;
    const sources *a = &l->axis[0], *b = &l->axis[1], *c = &l->axis[2];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t o1 = unit % l->out[1], o0 = unit / l->out[1] % l->out[0], outer = unit / l->out[1] / l->out[0];
        float *to = narrow_out ? row + width : (float *)call->out + unit * out_width;
        memset(row, 0, (size_t)width * sizeof *row);
        for (int64_t i = a->start[o0]; i < a->start[o0 + 1]; i++)
            for (int64_t j = b->start[o1]; j < b->start[o1 + 1]; j++)
                add_row(call, row, ((outer * l->in[0] + a->from[i]) * l->in[1] + b->from[j]) * width, a->weight[i] * b->weight[j], width);
        memset(to, 0, (size_t)out_width * sizeof *to);
        for (int64_t o = 0; o < l->out[2]; o++)
            for (int64_t k = c->start[o]; k < c->start[o + 1]; k++) {
                if (l->inner == 1)
                    to[o] += c->weight[k] * row[c->from[k]];
                else
                    call->isa->add_scaled(to + o * l->inner, row + c->from[k] * l->inner, c->weight[k], l->inner);
            }
        if (narrow_out)
            call->isa->round_bf16((swg__bf16 *)call->out + unit * out_width, to, out_width);
    }
}

const swg__kernel swg__kernel_resample = {.name = "resample", .units = resample_units, .grain = resample_grain, .run = resample_run,
                                          .scratch = resample_scratch, .prepare = resample_prepare};

/* ---- index of the first maximum of each window; NaN counts as more than anything ---- */

/* The same of bf16, whose elements are widened a window's place at a time. */
static void largest_narrow(const swg__call *call, int32_t *to, int64_t from, const swg__window *w) {
    enum { WIDTH = 64 };
    float most[WIDTH], room[WIDTH];
    for (int64_t c0 = 0; c0 < w->channels; c0 += WIDTH) {
        int64_t width = swg__min64(WIDTH, w->channels - c0);
        for (int64_t c = 0; c < width; c++) {
            most[c] = -INFINITY;
            to[c0 + c] = (int32_t)((w->first[0] * w->in[1] + w->first[1]) * w->in[2] + w->first[2]);
        }
        for (int64_t i = w->first[0]; i < w->end[0]; i++)
            for (int64_t j = w->first[1]; j < w->end[1]; j++)
                for (int64_t k = w->first[2]; k < w->end[2]; k++) {
                    int64_t at = (i * w->in[1] + j) * w->in[2] + k;
                    const float *x = swg__floats(call, 0, from + at * w->channels + c0, width, room);
                    for (int64_t c = 0; c < width; c++) {
                        bool more = x[c] > most[c] || (x[c] != x[c] && most[c] == most[c]);
                        most[c] = more ? x[c] : most[c];
                        to[c0 + c] = more ? (int32_t)at : to[c0 + c];
                    }
                }
    }
}

static void max_index_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    swg__resample r = swg__resample_of(call->g, call->node);
    swg__window w = {.in = {r.in[0], r.in[1], r.in[2]}, .channels = r.inner};
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t o1 = unit % r.out[1], o0 = unit / r.out[1] % r.out[0], outer = unit / r.out[1] / r.out[0];
        w.end[0] = swg__resample_window(&r, 0, o0, &w.first[0]);
        w.end[1] = swg__resample_window(&r, 1, o1, &w.first[1]);
        int64_t from = outer * r.in[0] * r.in[1] * r.in[2] * r.inner;
        for (int64_t o2 = 0; o2 < r.out[2]; o2++) {
            w.end[2] = swg__resample_window(&r, 2, o2, &w.first[2]);
            int32_t *to = (int32_t *)call->out + (unit * r.out[2] + o2) * r.inner;
            if (swg__is_bf16(call, 0))
                largest_narrow(call, to, from, &w);
            else
                call->isa->largest_of(to, (const float *)call->in[0] + from, &w);
        }
    }
}

const swg__kernel swg__kernel_max_index = {.name = "max index", .units = resample_units, .grain = resample_grain, .run = max_index_run};
