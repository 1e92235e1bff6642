/* conv.c - conv and conv_transpose as a contraction whose rows are gathered: for each line of output positions that see the same
 * taps, the tile walks a table of the taps that meet data, and padding costs nothing.
 *
 * Along one axis the outputs fall into runs: neighbours (conv), or every stride-th position (transposed: one phase of the
 * sub-lattice), that see the same taps at inputs that move in step. A box is a run of each axis. Rows of a tile are outputs of a
 * box along the axis, batch included, that makes the longest row; a line is up to LINE_ROWS of them, all else fixed.
 * Source: valid taps with the batch as rows measured 166-263 of 268 Gop/s on 5^3 blocks (shared prototypes).
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { LINE_ROWS = 96, CHUNK_BYTES = 384 << 10, TASK_MACS = 4 << 20, SPANS = 16, BATCH = 3, SUM_LINES = 8 };
enum { HEURISTIC_ROWS, LONGEST_ROWS, VARIANTS }; /* which axis makes the rows of a tile: every output is summed in the same order */
static const char *const variant_names[VARIANTS] = {"rows as they are", "rows along the longest axis"};

typedef struct run {
    int64_t out, out_step, count;   /* outputs */
    int64_t in, in_step;            /* input that the first tap reads for the first output; for the next one */
    int64_t tap, tap_step, taps;    /* taps that meet data */
    int64_t tap_in;                 /* input of the next tap */
} run;

typedef struct box {
    const run *along[3];
    int row_axis;
    int64_t count[4];               /* outputs per axis; the batch last */
    int64_t first;                  /* line */
} box;

typedef struct layout {
    swg__conv c;
    int64_t k, n;                           /* channels of one group, read and written */
    bool pairs;                             /* what is read is bf16 */
    bool flat;                              /* pairs of one channel: of two taps, which a line gathers */
    int64_t depth, rows;                    /* rows of packed weights that a tap takes: k, or pairs of it; of a panel */
    int64_t from_stride[4], to_stride[4];   /* elements per position; of a batch element last */
    int64_t panels, panel_elements, group_elements; /* packed weights */
    bool joined;                            /* taps along x read neighbours, in memory as in packed weights: one tap, k times as many */
    int64_t chunk_taps;                     /* so many taps of a panel of weights stay in the second cache */
    int64_t strip_panels, strips;           /* or so many whole panels, which share what a line reads; strips of a group */
    box *boxes;
    int64_t box_count, lines;
} layout;

/* ---- runs, boxes, lines ---- */

/* The run that output q alone would be. A transposed convolution's taps are packed and counted from the last to the first. */
static run position_of(const swg__conv *c, bool transposed, int axis, int64_t q) {
    int64_t s = c->stride[axis], d = c->dilation[axis], before = c->before[axis], kernel = c->kernel[axis];
    run r = {.out = q, .out_step = 1, .count = 1, .tap_step = 1};
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
static int64_t runs_of(const swg__conv *c, bool transposed, int axis, run *out) {
    int64_t extent = transposed ? c->in[axis] : c->out[axis], phases = transposed ? swg__min64(c->stride[axis], extent) : 1, count = 0;
    for (int64_t phase = 0; phase < phases; phase++) {
        run last = {0};
        for (int64_t q = phase; q < extent; q += transposed ? c->stride[axis] : 1) {
            run r = position_of(c, transposed, axis, q);
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
    return count[BATCH] > count[best] ? BATCH : best;
}

static void fill_box(layout *l, box *b, int64_t index, run *const runs[3], const int64_t run_count[3], int mr) {
    for (int axis = 2; axis >= 0; axis--) {
        b->along[axis] = &runs[axis][index % run_count[axis]];
        b->count[axis] = b->along[axis]->count;
        index /= run_count[axis];
    }
    b->count[BATCH] = l->c.batch;
    b->row_axis = longest(b->count, mr);
    b->first = l->lines;
    int64_t lines = swg__ceil_div(b->count[b->row_axis], LINE_ROWS);
    for (int axis = 0; axis < 4; axis++)
        lines *= axis == b->row_axis ? 1 : b->count[axis];
    l->lines += lines;
}

static void strides_of(const int64_t extent[3], int64_t channels, int64_t stride[4]) {
    stride[2] = channels;
    stride[1] = stride[2] * extent[2];
    stride[0] = stride[1] * extent[1];
    stride[BATCH] = stride[0] * extent[0];
}

/* Columns of the last panel as packed. */
static int64_t panel_width(int64_t columns, const swg__isa_table *isa) {
    return columns > isa->vl ? isa->nr : isa->vl;
}

static void sizes_of(const swg_graph *g, const swg__node *node, const swg__isa_table *isa, layout *l) {
    l->c = swg__conv_of(g, node);
    bool transposed = node->op == SWG__CONV_TRANSPOSE;
    l->k = (transposed ? l->c.out_channels : l->c.in_channels) / l->c.groups;
    l->n = (transposed ? l->c.in_channels : l->c.out_channels) / l->c.groups;
    l->pairs = g->nodes[node->in[0]].dtype == SWG_BF16;
    l->depth = l->pairs ? (l->k + 1) / 2 : l->k;
    l->panels = swg__ceil_div(l->n, isa->nr);
    l->flat = l->pairs && l->k == 1 && !transposed && l->c.stride[2] == 1 && l->c.out[2] >= isa->mr; /* rows are neighbours then */
    l->rows = l->flat ? (l->c.taps + 1) / 2 : l->c.taps * l->depth;
    l->panel_elements = l->rows * isa->nr;
    l->group_elements = (l->panels - 1) * l->panel_elements + l->rows * panel_width(l->n - (l->panels - 1) * isa->nr, isa);
}

static const void *conv_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    *l = (layout){0};
    sizes_of(call->g, call->node, call->isa, l);
    const swg__conv *c = &l->c;
    bool transposed = call->node->op == SWG__CONV_TRANSPOSE;
    strides_of(transposed ? c->out : c->in, l->k * c->groups, l->from_stride);
    strides_of(transposed ? c->in : c->out, l->n * c->groups, l->to_stride);
    int64_t tap_bytes = l->depth * call->isa->nr * 4, run_count[3];
    l->chunk_taps = c->taps * tap_bytes <= CHUNK_BYTES ? c->taps : CHUNK_BYTES / tap_bytes > 0 ? CHUNK_BYTES / tap_bytes : 1;
    l->chunk_taps = l->flat ? c->taps : l->chunk_taps;
    l->joined = c->groups == 1 && c->dilation[2] == 1 && (!transposed || c->stride[2] == 1) && c->kernel[2] * tap_bytes <= CHUNK_BYTES &&
                (!l->pairs || l->k % 2 == 0);
    int64_t panel_bytes = l->panel_elements * 4;
    l->strip_panels = l->chunk_taps < c->taps || panel_bytes > CHUNK_BYTES ? 1 : swg__min64(l->panels, CHUNK_BYTES / panel_bytes);
    l->strips = swg__ceil_div(l->panels, l->strip_panels);
    if (l->joined)
        l->chunk_taps -= l->chunk_taps % c->kernel[2];
    run *runs[3];
    l->box_count = 1;
    for (int axis = 0; axis < 3; axis++) {
        run_count[axis] = runs_of(c, transposed, axis, NULL);
        if (!(runs[axis] = swg__arena_alloc(arena, (size_t)run_count[axis] * sizeof *runs[axis])))
            return NULL;
        runs_of(c, transposed, axis, runs[axis]);
        l->box_count *= run_count[axis];
    }
    if (!(l->boxes = swg__arena_alloc(arena, (size_t)l->box_count * sizeof *l->boxes)))
        return NULL;
    for (int64_t i = 0; i < l->box_count; i++)
        fill_box(l, &l->boxes[i], i, runs, run_count, call->variant == LONGEST_ROWS ? INT_MAX : call->isa->mr);
    return l;
}

/* ---- packing: a unit is a panel ---- */

static int64_t pack_bytes(const swg_graph *g, const swg__node *n, const swg__isa_table *isa) {
    layout l;
    sizes_of(g, n, isa, &l);
    return l.c.groups * l.group_elements * 4;
}

static int64_t pack_units(const swg__call *call) {
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    return l.c.groups * l.panels;
}

static int64_t pack_grain(const swg__call *call) { /* about 64 kB per task */
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    int64_t grain = (16 << 10) / (l.c.taps * l.k * swg__min64(l.n, call->isa->nr));
    return grain < 1 ? 1 : grain;
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    bool bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16, reversed = call->node->op == SWG__CONV_TRANSPOSE;
    const int64_t size = bf16 ? 2 : 4;
    const char *w = call->in[1];
    int64_t taps = l.c.taps, group_weights = l.k * l.n * taps, wide = l.c.in_channels / l.c.groups * taps;
    int64_t k_stride = call->node->op == SWG__CONV ? taps : wide, n_stride = call->node->op == SWG__CONV ? wide : taps;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t group = unit / l.panels, panel = unit % l.panels, column = panel * call->isa->nr;
        const char *from = w + (group * group_weights + column * n_stride) * size, *w_end = w + l.c.groups * group_weights * size;
        uint32_t *to = (uint32_t *)call->out + group * l.group_elements + panel * l.panel_elements;
        int64_t columns = swg__min64(l.n - column, call->isa->nr);
        if (l.flat || (l.pairs && taps == 1))
            call->isa->pack_bf16(to, from, bf16, l.flat ? 1 : k_stride, n_stride, l.flat ? taps : l.k, columns, 0, 1);
        else if (l.pairs)
            call->isa->pack_taps_bf16(to, from, w_end, bf16, k_stride, n_stride, taps, l.k, columns, reversed);
        else if (taps == 1)
            call->isa->pack((float *)to, (const float *)from, k_stride, n_stride, l.k, columns, 0, 1);
        else
            call->isa->pack_taps((float *)to, (const float *)from, (const float *)w_end, k_stride, n_stride, taps, l.k, columns, reversed);
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = pack_units, .grain = pack_grain, .run = pack_run};

/* ---- product: a unit is a line of one strip of columns; lines of a strip follow each other ---- */

static int64_t conv_units(const swg__call *call) {
    const layout *l = call->layout;
    return l->c.groups * l->strips * l->lines;
}

/* About four million multiply-adds; more where the weights of a panel are walked in several chunks, to read each for many lines. */
static int64_t conv_grain(const swg__call *call) {
    const layout *l = call->layout;
    int64_t macs = swg__conv_macs(call->g, call->node) / conv_units(call), grain = TASK_MACS / (macs < 1 ? 1 : macs);
    int64_t many = l->chunk_taps < l->c.taps ? swg__ceil_div(l->lines, SPANS) : 1;
    grain = grain > many ? grain : many;
    return swg__min64(grain, l->lines);
}

/* A table of taps; sums of a few lines of a bf16 result, which waits for all chunks; words of a line whose taps go in pairs. */
static int64_t conv_scratch(const swg__call *call, bool *per_worker) {
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    *per_worker = true;
    return l.c.taps * (int64_t)sizeof(swg__tap) + (call->node->dtype == SWG_BF16 ? SUM_LINES * LINE_ROWS * call->isa->nr * 4 : 0) +
           (l.flat ? l.rows * LINE_ROWS * 4 : 0);
}

/* Taps [first, end) of the kernel that a box sees: their table, how many there are and come before, and how many it sees in all. */
typedef struct tap_list { swg__tap *table; int64_t count, before, all; } tap_list;

static void list_taps(const layout *l, const box *b, int64_t first, int64_t end, tap_list *list) {
    const run *z = b->along[0], *y = b->along[1], *x = b->along[2];
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

/* The box that a line lies in. */
static const box *box_of(const layout *l, int64_t line) {
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

/* Where a line begins, its rows and their distances. */
static void place_line(const layout *l, const box *b, int64_t line, swg__gemm *gemm, int64_t *from, int64_t *to) {
    int64_t rest = line - b->first, at[4], chunks = swg__ceil_div(b->count[b->row_axis], LINE_ROWS);
    static const int order[4] = {2, 1, 0, BATCH}; /* x fastest */
    *from = *to = 0;
    at[b->row_axis] = rest % chunks * LINE_ROWS;
    rest /= chunks;
    for (int i = 0; i < 4; i++) {
        int axis = order[i];
        if (axis != b->row_axis) {
            at[axis] = rest % b->count[axis];
            rest /= b->count[axis];
        }
        bool batch = axis == BATCH;
        int64_t in_step = batch ? 1 : b->along[axis]->in_step, out_step = batch ? 1 : b->along[axis]->out_step;
        *from += ((batch ? 0 : b->along[axis]->in) + at[axis] * in_step) * l->from_stride[axis];
        *to += ((batch ? 0 : b->along[axis]->out) + at[axis] * out_step) * l->to_stride[axis];
        if (axis == b->row_axis) {
            gemm->m = swg__min64(b->count[axis] - at[axis], LINE_ROWS);
            gemm->row_stride = in_step * l->from_stride[axis];
            gemm->ldc = out_step * l->to_stride[axis];
        }
    }
}

/* Lines [first, end) of one strip of one group. `sums`: where those of a bf16 result wait for the next chunk of taps. */
static void run_lines(const swg__call *call, int64_t group, int64_t strip, int64_t first, int64_t end, swg__tap *table, float *sums) {
    const layout *l = call->layout;
    const swg__attr *attr = &call->node->attr;
    int64_t panel = strip * l->strip_panels, column = panel * call->isa->nr, channel = group * l->n + column, from, to;
    int extra = 2;
    const float *bias = attr->bias ? (const float *)call->in[extra++] + channel : NULL;
    const char *gate = attr->gate ? call->in[extra] : NULL;
    swg__gemm gemm = {.n = swg__min64(l->n - column, l->strip_panels * call->isa->nr), .k_stride = 1, .taps = table, .depth = l->rows,
                      .sum_stride = call->isa->nr, .gate_bf16 = gate && call->g->nodes[call->node->in[extra]].dtype == SWG_BF16,
                      .b = (const float *)call->packed + group * l->group_elements + panel * l->panel_elements};
    for (int64_t tap = 0; tap < l->c.taps; tap += l->chunk_taps) {
        const box *b = NULL;
        tap_list list = {.table = table};
        for (int64_t line = first; line < end; line++) {
            if (!b || line >= (b + 1 < l->boxes + l->box_count ? b[1].first : l->lines)) {
                b = box_of(l, line);
                list_taps(l, b, tap, tap + l->chunk_taps, &list);
            }
            if (list.count == 0 && (list.all > 0 || tap > 0))
                continue;
            bool last = list.before + list.count == list.all;
            place_line(l, b, line, &gemm, &from, &to);
            bool apart = sums && !(last && list.before == 0);
            gemm.sum = apart ? sums + (line - first) * LINE_ROWS * call->isa->nr : NULL;
            gemm.a = (const char *)call->in[0] + (group * l->k + from) * (l->pairs ? 2 : 4);
            gemm.c_bf16 = sums && last;
            gemm.c = apart && !last ? (char *)(sums + (line - first) * LINE_ROWS * call->isa->nr)
                                    : (char *)call->out + (channel + to) * (sums ? 2 : 4);
            gemm.ldc = apart && !last ? call->isa->nr : gemm.ldc;
            gemm.k = l->joined ? b->along[2]->taps * l->k : l->k;
            gemm.tap_count = list.count;
            gemm.accumulate = list.before > 0;
            gemm.bias = last ? bias : NULL;
            gemm.gate = last && gate ? gate + (channel + to) * (gemm.gate_bf16 ? 2 : 4) : NULL;
            gemm.relu = last && attr->relu;
            (l->pairs ? call->isa->gemm_bf16 : call->isa->gemm)(&gemm, 0, gemm.m);
        }
    }
}

/* For all taps of the kernel: where it reads, from where a line begins, and whether it meets data in a box. */
static void list_all(const layout *l, const box *b, swg__tap *table) {
    const run *z = b->along[0], *y = b->along[1], *x = b->along[2];
    memset(table, 0, (size_t)l->c.taps * sizeof *table);
    for (int64_t i = 0; i < z->taps * y->taps * x->taps; i++) {
        int64_t iz = i / (y->taps * x->taps), iy = i / x->taps % y->taps, ix = i % x->taps;
        table[((z->tap + iz) * l->c.kernel[1] + y->tap + iy) * l->c.kernel[2] + x->tap + ix] =
            (swg__tap){.a = iz * z->tap_in * l->from_stride[0] + iy * y->tap_in * l->from_stride[1] + ix * x->tap_in * l->from_stride[2], .b = 1};
    }
}

/* One word of two taps for each row of a line; a tap that meets no data is NULL and gives zeros. */
static void gather(const swg__call *call, uint32_t *to, const swg__bf16 *first, const swg__bf16 *second, int64_t stride, int64_t rows) {
    if (first && stride == 1) {
        call->isa->pair_rows(to, rows, first, second, true, 0, 1, rows);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        to[r] = (first ? first[r * stride] : 0) | (uint32_t)(second ? second[r * stride] : 0) << 16;
}

/* As run_lines, of one channel. */
static void run_flat(const swg__call *call, int64_t group, int64_t strip, int64_t first, int64_t end, swg__tap *table, uint32_t *words) {
    const layout *l = call->layout;
    const swg__attr *attr = &call->node->attr;
    int64_t panel = strip * l->strip_panels, column = panel * call->isa->nr, channel = group * l->n + column, from, to;
    int extra = 2;
    const float *bias = attr->bias ? (const float *)call->in[extra++] + channel : NULL;
    const char *gate = attr->gate ? call->in[extra] : NULL;
    const swg__tap once = {0};
    swg__gemm gemm = {.n = swg__min64(l->n - column, l->strip_panels * call->isa->nr), .k_stride = LINE_ROWS, .k = 2 * l->rows, .taps = &once, .tap_count = 1,
                      .depth = l->rows, .a = words, .bias = bias, .relu = attr->relu, .c_bf16 = call->node->dtype == SWG_BF16,
                      .gate_bf16 = gate && call->g->nodes[call->node->in[extra]].dtype == SWG_BF16,
                      .b = (const float *)call->packed + group * l->group_elements + panel * l->panel_elements};
    const box *b = NULL;
    for (int64_t line = first; line < end; line++) {
        if (!b || line >= (b + 1 < l->boxes + l->box_count ? b[1].first : l->lines)) {
            b = box_of(l, line);
            list_all(l, b, table);
        }
        place_line(l, b, line, &gemm, &from, &to);
        const swg__bf16 *x = (const swg__bf16 *)call->in[0] + group + from;
        for (int64_t t = 0; t < l->c.taps; t += 2) {
            bool second = t + 1 < l->c.taps && table[t + 1].b;
            gather(call, words + t / 2 * LINE_ROWS, table[t].b ? x + table[t].a : NULL, second ? x + table[t + 1].a : NULL, gemm.row_stride,
                   gemm.m);
        }
        gemm.row_stride = 1;
        gemm.c = (char *)call->out + (channel + to) * (gemm.c_bf16 ? 2 : 4);
        gemm.gate = gate ? gate + (channel + to) * (gemm.gate_bf16 ? 2 : 4) : NULL;
        call->isa->gemm_bf16(&gemm, 0, gemm.m);
    }
}

static void conv_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    swg__tap *table = (swg__tap *)((char *)call->scratch + worker * call->worker_bytes);
    float *sums = call->node->dtype == SWG_BF16 ? (float *)(table + l->c.taps) : NULL;
    uint32_t *words = (uint32_t *)((float *)(table + l->c.taps) + (sums ? SUM_LINES * LINE_ROWS * call->isa->nr : 0));
    while (begin < end) {
        int64_t strip = begin / l->lines, first = begin % l->lines, stop = swg__min64(l->lines, first + end - begin);
        if (sums && l->chunk_taps < l->c.taps)
            stop = swg__min64(stop, first + SUM_LINES);
        if (l->flat)
            run_flat(call, strip / l->strips, strip % l->strips, first, stop, table, words);
        else
            run_lines(call, strip / l->strips, strip % l->strips, first, stop, table, sums);
        begin += stop - first;
    }
}

const swg__kernel swg__kernel_conv = {.name = "conv", .bf16 = true, .units = conv_units, .grain = conv_grain, .run = conv_run, .scratch = conv_scratch,
                                      .prepare = conv_prepare, .pack = &pack_kernel, .pack_bytes = pack_bytes,
                                      .variants = VARIANTS, .variant_names = variant_names};
