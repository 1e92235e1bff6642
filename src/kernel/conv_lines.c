/* conv_lines.c - runs, boxes and lines of a convolution.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/conv_lines.h"
#include "kernel/kernel.h"

/* The run that output q alone would be. A transposed convolution's taps are packed and counted from the last to the first. */
static swg__run position_of(const swg__conv *c, bool transposed, int axis, int64_t q) {
    int64_t s = c->stride[axis], d = c->dilation[axis], before = c->before[axis], kernel = c->kernel[axis];
    swg__run r = {.out = q, .out_step = 1, .count = 1, .tap_step = 1};
    if (!transposed) {
        int64_t low = before - q * s, high = c->in[axis] - 1 + low; /* low <= t d <= high */
        int64_t end = high < 0 ? 0 : swg__min64(high / d + 1, kernel);
        r.tap = low > 0 ? swg__ceil_div(low, d) : 0;
        r.taps = end > r.tap ? end - r.tap : 0;
        r.in = q * s + r.tap * d - before;
        r.in_step = s;
        r.tap_in = d;
    } else {
        int64_t at = q + before, low = at - s * (c->out[axis] - 1), period = s;
        for (int64_t rest = d, divisor = s; rest; period = s / divisor) { /* s over what it shares with d */
            int64_t next = divisor % rest;
            divisor = rest;
            rest = next;
        }
        int64_t t = 0;
        while (t < period && (at - t * d) % s != 0) /* taps of this phase: t, t + period, ... */
            t++;
        int64_t end = swg__min64(at / d + 1, kernel), least = low > 0 ? swg__ceil_div(low, d) : 0;
        t += least > t ? swg__ceil_div(least - t, period) * period : 0;
        r.out_step = s;
        r.tap_step = period;
        r.taps = end > t && (at - t * d) % s == 0 ? swg__ceil_div(end - t, period) : 0;
        r.tap = kernel - 1 - t - (r.taps - 1) * period; /* counted from the last tap, so that inputs ascend */
        r.in = (at - t * d - (r.taps - 1) * period * d) / s;
        r.in_step = 1;
        r.tap_in = period * d / s;
    }
    if (r.taps == 0)
        r.tap = r.in = 0;
    return r;
}

/* Runs of one axis, written to `out` if it is not NULL; returns how many. */
static int64_t runs_of(const swg__conv *c, bool transposed, int axis, swg__run *out) {
    int64_t extent = transposed ? c->in[axis] : c->out[axis], phases = transposed ? swg__min64(c->stride[axis], extent) : 1, count = 0;
    for (int64_t phase = 0; phase < phases; phase++) {
        swg__run last = {0};
        for (int64_t q = phase; q < extent; q += transposed ? c->stride[axis] : 1) {
            swg__run r = position_of(c, transposed, axis, q);
            if (last.count && last.taps == r.taps && (r.taps == 0 || (last.tap == r.tap && r.in == last.in + last.count * r.in_step))) {
                last.count++;
            } else {
                last = r;
                count++;
            }
            if (out)
                out[count - 1] = last;
        }
    }
    return count;
}

/* Rows along x read neighbours in memory; the batch is far apart, and worth it where all else is short. */
static int longest(const int64_t count[4], int rows_wanted) {
    int best = 2;
    for (int axis = 2; axis >= 0; axis--) {
        if (count[axis] >= rows_wanted)
            return axis;
        best = count[axis] > count[best] ? axis : best;
    }
    return count[SWG__LINE_BATCH] > count[best] ? SWG__LINE_BATCH : best;
}

static void fill_box(swg__lines *l, swg__box *b, int64_t index, swg__run *const runs[3], const int64_t run_count[3], int rows) {
    for (int axis = 2; axis >= 0; axis--) {
        b->along[axis] = &runs[axis][index % run_count[axis]];
        b->count[axis] = b->along[axis]->count;
        index /= run_count[axis];
    }
    b->count[SWG__LINE_BATCH] = l->c.batch;
    b->row_axis = longest(b->count, rows);
    b->first = l->lines;
    int64_t lines = swg__ceil_div(b->count[b->row_axis], SWG__LINE_ROWS);
    for (int axis = 0; axis < 4; axis++)
        lines *= axis == b->row_axis ? 1 : b->count[axis];
    l->lines += lines;
}

void swg__lines_strides(const int64_t extent[3], int64_t each, int64_t stride[4]) {
    stride[2] = each;
    stride[1] = stride[2] * extent[2];
    stride[0] = stride[1] * extent[1];
    stride[SWG__LINE_BATCH] = stride[0] * extent[0];
}

bool swg__lines_make(swg__lines *l, swg__arena *arena, bool transposed, int rows) {
    swg__run *runs[3];
    int64_t run_count[3];
    l->box_count = 1;
    for (int axis = 0; axis < 3; axis++) {
        run_count[axis] = runs_of(&l->c, transposed, axis, NULL);
        if (!(runs[axis] = swg__arena_alloc(arena, (size_t)run_count[axis] * sizeof *runs[axis])))
            return false;
        runs_of(&l->c, transposed, axis, runs[axis]);
        l->box_count *= run_count[axis];
    }
    if (!(l->boxes = swg__arena_alloc(arena, (size_t)l->box_count * sizeof *l->boxes)))
        return false;
    l->lines = 0;
    for (int64_t i = 0; i < l->box_count; i++)
        fill_box(l, &l->boxes[i], i, runs, run_count, rows);
    return true;
}

const swg__box *swg__lines_box(const swg__lines *l, const swg__box *b, int64_t line) {
    if (b && line < (b + 1 < l->boxes + l->box_count ? b[1].first : l->lines))
        return b;
    int64_t low = 0, high = l->box_count;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (l->boxes[middle].first <= line)
            low = middle;
        else
            high = middle;
    }
    return &l->boxes[low];
}

void swg__lines_taps(const swg__lines *l, const swg__box *b, int64_t first, int64_t end, swg__tap_list *list) {
    const swg__run *z = b->along[0], *y = b->along[1], *x = b->along[2];
    int64_t along_x = l->joined ? x->taps > 0 : x->taps;
    list->count = list->before = 0;
    list->all = z->taps * y->taps * along_x;
    for (int64_t i = 0; i < z->taps; i++)
        for (int64_t j = 0; j < y->taps; j++)
            for (int64_t m = 0; m < along_x; m++) {
                int64_t t = ((z->tap + i * z->tap_step) * l->c.kernel[1] + y->tap + j * y->tap_step) * l->c.kernel[2] + x->tap +
                            m * x->tap_step;
                if (t >= first && t < end)
                    list->table[list->count++] =
                        (swg__tap){.a = i * z->tap_in * l->from_stride[0] + j * y->tap_in * l->from_stride[1] + m * x->tap_in * l->from_stride[2],
                                   .b = t * l->depth};
                list->before += t < first;
            }
}

swg__line swg__lines_at(const swg__lines *l, const swg__box *b, int64_t line) {
    int64_t rest = line - b->first, at[4], chunks = swg__ceil_div(b->count[b->row_axis], SWG__LINE_ROWS);
    static const int order[4] = {2, 1, 0, SWG__LINE_BATCH}; /* x fastest */
    swg__line place = {.over_batch = b->row_axis == SWG__LINE_BATCH};
    at[b->row_axis] = rest % chunks * SWG__LINE_ROWS;
    rest /= chunks;
    for (int i = 0; i < 4; i++) {
        int axis = order[i];
        if (axis != b->row_axis) {
            at[axis] = rest % b->count[axis];
            rest /= b->count[axis];
        }
        bool batch = axis == SWG__LINE_BATCH;
        int64_t in_step = batch ? 1 : b->along[axis]->in_step, out_step = batch ? 1 : b->along[axis]->out_step;
        place.from += ((batch ? 0 : b->along[axis]->in) + at[axis] * in_step) * l->from_stride[axis];
        place.to += ((batch ? 0 : b->along[axis]->out) + at[axis] * out_step) * l->to_stride[axis];
        if (axis == b->row_axis) {
            place.rows = swg__min64(b->count[axis] - at[axis], SWG__LINE_ROWS);
            place.from_step = in_step * l->from_stride[axis];
            place.to_step = out_step * l->to_stride[axis];
        }
    }
    place.sample = at[SWG__LINE_BATCH];
    return place;
}
