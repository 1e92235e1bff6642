/* int8_conv.c - conv and conv_transpose of codes: the lines of conv_lines.h, rows of u8 codes with a scale per sample, packed s8 weights.
 * Taps that meet no data are not multiplied, so the sums of weights that take the zeros out again are those of the taps a box sees.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "context.h"
#include "kernel/conv_lines.h"
#include "kernel/int8.h"
#include "kernel/int8_pack.h"
#include "kernel/kernel.h"

enum { CHUNK_BYTES = 384 << 10, TASK_MACS = 16 << 20 };

typedef struct layout {
    swg__lines at;                  /* from: bytes; depth: words of k of a tap */
    swg__codes codes;
    int64_t k, n;                   /* channels of one group, read and written */
    int64_t panels, columns;        /* of a group; columns in whole vectors */
    int64_t panel_words, group_words;
    int64_t strip_panels, strips;   /* panels that share what a line reads; strips of a group */
} layout;

static const swg__int8_table *table_of(const swg_graph *g) { return swg__int8_table_of(g->ctx->isa); }

static void sizes_of(const swg_graph *g, const swg__node *node, layout *l) {
    const swg__int8_table *t = table_of(g);
    *l = (layout){.at = {.c = swg__conv_of(g, node)}, .codes = swg__codes_of(&g->nodes[node->in[0]])};
    const swg__conv *c = &l->at.c;
    bool transposed = node->op == SWG__CONV_TRANSPOSE;
    l->k = (transposed ? c->out_channels : c->in_channels) / c->groups;
    l->n = (transposed ? c->in_channels : c->out_channels) / c->groups;
    l->at.depth = swg__ceil_div(l->k, t->group);
    l->panels = swg__ceil_div(l->n, t->nr);
    l->columns = swg__ceil_div(l->n, t->vl) * t->vl;
    l->panel_words = c->taps * l->at.depth * t->nr;
    l->group_words = c->taps * l->at.depth * l->columns;
}

static const void *prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    sizes_of(call->g, call->node, l);
    const swg__conv *c = &l->at.c;
    bool transposed = call->node->op == SWG__CONV_TRANSPOSE;
    l->at.joined = c->groups == 1 && c->dilation[2] == 1 && (!transposed || c->stride[2] == 1) && l->k % SWG__CODES_UNIT == 0;
    l->strip_panels = l->panel_words * 4 > CHUNK_BYTES ? 1 : swg__min64(l->panels, CHUNK_BYTES / (l->panel_words * 4));
    l->strips = swg__ceil_div(l->panels, l->strip_panels);
    swg__lines_strides(transposed ? c->out : c->in, l->codes.runs * l->codes.run_bytes, l->at.from_stride);
    l->at.from_stride[SWG__LINE_BATCH] = l->codes.row_bytes;
    swg__lines_strides(transposed ? c->in : c->out, l->n * c->groups, l->at.to_stride);
    return swg__lines_make(&l->at, arena, transposed, table_of(call->g)->mr) ? l : NULL;
}

/* ---- packing: a unit is a panel. Words of all groups, then scales of their columns, then sums of columns, tap by tap ---- */

static int64_t pack_bytes(const swg_graph *g, const swg__node *n, const swg__isa_table *isa) {
    (void)isa;
    layout l;
    sizes_of(g, n, &l);
    return l.at.c.groups * (l.group_words + l.columns + l.at.c.taps * l.columns) * 4;
}

static int64_t pack_units(const swg__call *call) {
    layout l;
    sizes_of(call->g, call->node, &l);
    return l.at.c.groups * l.panels;
}

static int64_t pack_grain(const swg__call *call) {
    (void)call;
    return 1;
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    layout l;
    sizes_of(call->g, call->node, &l);
    const swg__int8_table *t = table_of(call->g);
    const int64_t groups = l.at.c.groups, taps = l.at.c.taps, wide = l.at.c.in_channels / groups * taps;
    bool transposed = call->node->op == SWG__CONV_TRANSPOSE;
    uint32_t *words = call->out;
    float *scale = (float *)(words + groups * l.group_words);
    int32_t *sum = (int32_t *)(scale + groups * l.columns);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t group = unit / l.panels, panel = unit % l.panels, column = panel * t->nr;
        swg__int8_weights w = {.k = l.k, .taps = taps, .k_stride = transposed ? wide : taps, .n_stride = transposed ? taps : wide,
                               .columns = swg__min64(t->nr, l.n - column), .sum_stride = l.columns, .reversed = transposed};
        w.w = (const float *)call->in[1] + group * l.k * l.n * taps + column * w.n_stride;
        swg__int8_pack(t, &w, words + group * l.group_words + panel * l.panel_words, scale + group * l.columns + column,
                       sum + group * taps * l.columns + column);
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = pack_units, .grain = pack_grain, .run = pack_run};

/* ---- product: a unit is a line of one strip of columns ---- */

static int64_t units(const swg__call *call) {
    const layout *l = call->layout;
    return l->at.c.groups * l->strips * l->at.lines;
}

static int64_t grain(const swg__call *call) {
    const layout *l = call->layout;
    int64_t macs = swg__conv_macs(call->g, call->node) / units(call), lines = TASK_MACS / (macs < 1 ? 1 : macs);
    return swg__min64(lines < 1 ? 1 : lines, l->at.lines);
}

/* A table of taps, and the sums of columns for one box. */
static int64_t scratch(const swg__call *call, bool *per_worker) {
    layout l;
    sizes_of(call->g, call->node, &l);
    *per_worker = true;
    return l.at.c.taps * (int64_t)sizeof(swg__tap) + l.columns * (int64_t)sizeof(int32_t);
}

/* Of the columns of a strip: over all taps that a box sees. A joined tap is all of a box's taps along x. */
static void add_sums(const layout *l, const swg__box *b, const int32_t *of_taps, int64_t columns, int32_t *sums) {
    const swg__run *z = b->along[0], *y = b->along[1], *x = b->along[2];
    memset(sums, 0, (size_t)columns * sizeof *sums);
    for (int64_t i = 0; i < z->taps * y->taps * x->taps; i++) {
        int64_t iz = i / (y->taps * x->taps), iy = i / x->taps % y->taps, ix = i % x->taps;
        int64_t tap = ((z->tap + iz * z->tap_step) * l->at.c.kernel[1] + y->tap + iy * y->tap_step) * l->at.c.kernel[2] + x->tap + ix * x->tap_step;
        for (int64_t j = 0; j < columns; j++)
            sums[j] += of_taps[tap * l->columns + j];
    }
}

static void run_lines(const swg__call *call, int64_t group, int64_t strip, int64_t first, int64_t end, swg__tap *table, int32_t *sums) {
    const layout *l = call->layout;
    const swg__int8_table *t = table_of(call->g);
    const swg__attr *attr = &call->node->attr;
    const int64_t groups = l->at.c.groups, taps = l->at.c.taps, panel = strip * l->strip_panels, column = panel * t->nr;
    const int64_t channel = group * l->n + column, n = swg__min64(l->n - column, l->strip_panels * t->nr);
    const uint32_t *words = call->packed;
    const float *scale = (const float *)(words + groups * l->group_words);
    const int32_t *of_taps = (const int32_t *)(scale + groups * l->columns) + group * taps * l->columns + column;
    const char *rows = call->in[0];
    swg__gemm8 gemm = {.n = n, .b = words + group * l->group_words + panel * l->panel_words, .depth = taps * l->at.depth, .taps = table,
                       .scale = scale + group * l->columns + column, .sum = sums, .bias = attr->bias ? (const float *)call->in[2] + channel : NULL,
                       .relu = attr->relu};
    swg__tap_list list = {.table = table};
    const swg__box *b = NULL, *next;
    for (int64_t line = first; line < end; line++) {
        if ((next = swg__lines_box(&l->at, b, line)) != b) {
            swg__lines_taps(&l->at, b = next, 0, taps, &list);
            add_sums(l, b, of_taps, swg__ceil_div(n, t->vl) * t->vl, sums);
        }
        swg__line place = swg__lines_at(&l->at, b, line);
        gemm.a = rows + SWG__CODES_HEAD + group * l->codes.run_bytes + place.from;
        gemm.row_stride = place.from_step;
        gemm.head = rows + place.sample * l->codes.row_bytes;
        gemm.head_stride = place.over_batch ? l->codes.row_bytes : 0;
        gemm.steps = (l->at.joined ? b->along[2]->taps : 1) * l->at.depth;
        gemm.tap_count = list.count;
        gemm.c = (float *)call->out + channel + place.to;
        gemm.ldc = place.to_step;
        t->gemm(&gemm, 0, place.rows);
    }
}

static void run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    swg__tap *table = (swg__tap *)((char *)call->scratch + worker * call->worker_bytes);
    int32_t *sums = (int32_t *)(table + l->at.c.taps);
    while (begin < end) {
        int64_t strip = begin / l->at.lines, first = begin % l->at.lines, stop = swg__min64(l->at.lines, first + end - begin);
        run_lines(call, strip / l->strips, strip % l->strips, first, stop, table, sums);
        begin += stop - first;
    }
}

const swg__kernel swg__kernel_int8_conv = {.name = "int8 conv", .units = units, .grain = grain, .run = run, .scratch = scratch, .prepare = prepare,
                                           .pack = &pack_kernel, .pack_bytes = pack_bytes};
