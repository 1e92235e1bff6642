/* conv.c - conv and conv_transpose as a contraction whose rows are gathered: for each line of output positions that see the same
 * taps, the tile walks a table of the taps that meet data, and padding costs nothing. Lines: conv_lines.h.
 * Source: valid taps with the batch as rows measured 166-263 of 268 Gop/s on 5^3 blocks (shared prototypes).
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>
#include "kernel/conv_lines.h"
#include "kernel/kernel.h"

enum { LINE_ROWS = SWG__LINE_ROWS, CHUNK_BYTES = 384 << 10, READ_BYTES = 384 << 10, TASK_MACS = 4 << 20, SPANS = 16, SUM_LINES = 8 };
enum { HEURISTIC_ROWS, LONGEST_ROWS, VARIANTS }; /* which axis makes the rows of a tile: every output is summed in the same order */
static const char *const variant_names[VARIANTS] = {"rows as they are", "rows along the longest axis"};

typedef struct layout {
    swg__lines at;                          /* joined: in memory and in packed weights; depth: k, or pairs of it */
    int64_t k, n;                           /* channels of one group, read and written */
    bool pairs;                             /* what is read is bf16 */
    bool flat;                              /* pairs of one channel: of two taps, which a line gathers */
    int64_t rows;                           /* of a panel of packed weights */
    int64_t panels, panel_elements, group_elements; /* packed weights */
    int64_t chunk_taps;                     /* so many taps of a panel of weights stay in the second cache */
    int64_t strip_panels, strips;           /* or so many whole panels, which share what a line reads; strips of a group */
    int64_t block_lines;                    /* so many lines read what stays in the second cache until all strips and groups have seen it */
} layout;

/* Columns of the last panel as packed. */
static int64_t panel_width(int64_t columns, const swg__isa_table *isa) {
    return columns > isa->vl ? isa->nr : isa->vl;
}

static void sizes_of(const swg_graph *g, const swg__node *node, const swg__isa_table *isa, layout *l) {
    l->at.c = swg__conv_of(g, node);
    bool transposed = node->op == SWG__CONV_TRANSPOSE;
    l->k = (transposed ? l->at.c.out_channels : l->at.c.in_channels) / l->at.c.groups;
    l->n = (transposed ? l->at.c.in_channels : l->at.c.out_channels) / l->at.c.groups;
    l->pairs = g->nodes[node->in[0]].dtype == SWG_BF16;
    l->at.depth = l->pairs ? (l->k + 1) / 2 : l->k;
    l->panels = swg__ceil_div(l->n, isa->nr);
    l->flat = l->pairs && l->k == 1 && !transposed && l->at.c.stride[2] == 1 && l->at.c.out[2] >= isa->mr; /* rows are neighbours then */
    l->rows = l->flat ? (l->at.c.taps + 1) / 2 : l->at.c.taps * l->at.depth;
    l->panel_elements = l->rows * isa->nr;
    l->group_elements = (l->panels - 1) * l->panel_elements + l->rows * panel_width(l->n - (l->panels - 1) * isa->nr, isa);
}

static const void *conv_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (!l)
        return NULL;
    *l = (layout){0};
    sizes_of(call->g, call->node, call->isa, l);
    const swg__conv *c = &l->at.c;
    bool transposed = call->node->op == SWG__CONV_TRANSPOSE;
    swg__lines_strides(transposed ? c->out : c->in, l->k * c->groups, l->at.from_stride);
    swg__lines_strides(transposed ? c->in : c->out, l->n * c->groups, l->at.to_stride);
    int64_t tap_bytes = l->at.depth * call->isa->nr * 4;
    l->chunk_taps = c->taps * tap_bytes <= CHUNK_BYTES ? c->taps : CHUNK_BYTES / tap_bytes > 0 ? CHUNK_BYTES / tap_bytes : 1;
    l->chunk_taps = l->flat ? c->taps : l->chunk_taps;
    l->at.joined = c->groups == 1 && c->dilation[2] == 1 && (!transposed || c->stride[2] == 1) && c->kernel[2] * tap_bytes <= CHUNK_BYTES &&
                (!l->pairs || l->k % 2 == 0);
    int64_t panel_bytes = l->panel_elements * 4;
    l->strip_panels = l->chunk_taps < c->taps || panel_bytes > CHUNK_BYTES ? 1 : swg__min64(l->panels, CHUNK_BYTES / panel_bytes);
    l->strips = swg__ceil_div(l->panels, l->strip_panels);
    if (l->at.joined)
        l->chunk_taps -= l->chunk_taps % c->kernel[2];
    if (!swg__lines_make(&l->at, arena, transposed, call->variant == LONGEST_ROWS ? INT_MAX : call->isa->mr))
        return NULL;
    const swg__node *from = &call->g->nodes[call->node->in[0]];
    int64_t phases = 1; /* each reads all there is */
    for (int axis = 0; axis < 3; axis++)
        phases *= transposed ? swg__min64(c->stride[axis], c->in[axis]) : 1;
    int64_t line_bytes = swg__ceil_div(swg__node_bytes(from) * phases, l->at.lines < 1 ? 1 : l->at.lines);
    l->block_lines = c->groups * l->strips == 1 ? l->at.lines : line_bytes >= READ_BYTES ? 1
                   : swg__min64(l->at.lines, READ_BYTES / (line_bytes < 1 ? 1 : line_bytes));
    return l;
}

/* ---- packing: a unit is a panel ---- */

static int64_t pack_bytes(const swg_graph *g, const swg__node *n, const swg__isa_table *isa) {
    layout l;
    sizes_of(g, n, isa, &l);
    return l.at.c.groups * l.group_elements * 4;
}

static int64_t pack_units(const swg__call *call) {
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    return l.at.c.groups * l.panels;
}

static int64_t pack_grain(const swg__call *call) { /* about 64 kB per task */
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    int64_t grain = (16 << 10) / (l.at.c.taps * l.k * swg__min64(l.n, call->isa->nr));
    return grain < 1 ? 1 : grain;
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    bool bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16, reversed = call->node->op == SWG__CONV_TRANSPOSE;
    const int64_t size = bf16 ? 2 : 4;
    const char *w = call->in[1];
    int64_t taps = l.at.c.taps, group_weights = l.k * l.n * taps, wide = l.at.c.in_channels / l.at.c.groups * taps;
    int64_t k_stride = call->node->op == SWG__CONV ? taps : wide, n_stride = call->node->op == SWG__CONV ? wide : taps;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t group = unit / l.panels, panel = unit % l.panels, column = panel * call->isa->nr;
        const char *from = w + (group * group_weights + column * n_stride) * size, *w_end = w + l.at.c.groups * group_weights * size;
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

/* ---- product: a unit is a line of one strip of columns. Within a block of lines those of a strip follow each other, then the next strip's: rows
 * are read by single elements in many streams, which the processor does not foresee, and wait where they come from beyond the second cache ---- */

static int64_t conv_units(const swg__call *call) {
    const layout *l = call->layout;
    return l->at.c.groups * l->strips * l->at.lines;
}

/* About four million multiply-adds; more where the weights of a panel are walked in several chunks, to read each for many lines. */
static int64_t conv_grain(const swg__call *call) {
    const layout *l = call->layout;
    int64_t macs = swg__conv_macs(call->g, call->node) / conv_units(call), grain = TASK_MACS / (macs < 1 ? 1 : macs);
    int64_t many = l->chunk_taps < l->at.c.taps ? swg__ceil_div(l->at.lines, SPANS) : 1, most = l->at.lines;
    if (l->block_lines < l->at.lines) { /* whole blocks, where there are enough of them */
        most = l->at.c.groups * l->strips * l->block_lines;
        many = swg__min64(most, swg__ceil_div(conv_units(call), 4 * SPANS));
    }
    grain = grain > many ? grain : many;
    return swg__min64(grain, most);
}

/* A table of taps; sums of a few lines of a bf16 result, which waits for all chunks; words of a line whose taps go in pairs. */
static int64_t conv_scratch(const swg__call *call, bool *per_worker) {
    layout l;
    sizes_of(call->g, call->node, call->isa, &l);
    *per_worker = true;
    return l.at.c.taps * (int64_t)sizeof(swg__tap) + (call->node->dtype == SWG_BF16 ? SUM_LINES * LINE_ROWS * call->isa->nr * 4 : 0) +
           (l.flat ? l.rows * LINE_ROWS * 4 : 0);
}

/* Where a line begins, in what is read and (returned) what is written; its rows and their distances. */
static int64_t place_line(const layout *l, const swg__box *b, int64_t line, swg__gemm *gemm, int64_t *from) {
    swg__line at = swg__lines_at(&l->at, b, line);
    gemm->m = at.rows;
    gemm->row_stride = at.from_step;
    gemm->ldc = at.to_step;
    *from = at.from;
    return at.to;
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
    for (int64_t tap = 0; tap < l->at.c.taps; tap += l->chunk_taps) {
        const swg__box *b = NULL, *next;
        swg__tap_list list = {.table = table};
        for (int64_t line = first; line < end; line++) {
            if ((next = swg__lines_box(&l->at, b, line)) != b)
                swg__lines_taps(&l->at, b = next, tap, tap + l->chunk_taps, &list);
            if (list.count == 0 && (list.all > 0 || tap > 0))
                continue;
            bool last = list.before + list.count == list.all;
            to = place_line(l, b, line, &gemm, &from);
            bool apart = sums && !(last && list.before == 0);
            gemm.sum = apart ? sums + (line - first) * LINE_ROWS * call->isa->nr : NULL;
            gemm.a = (const char *)call->in[0] + (group * l->k + from) * (l->pairs ? 2 : 4);
            gemm.c_bf16 = sums && last;
            gemm.c = apart && !last ? (char *)(sums + (line - first) * LINE_ROWS * call->isa->nr)
                                    : (char *)call->out + (channel + to) * (sums ? 2 : 4);
            gemm.ldc = apart && !last ? call->isa->nr : gemm.ldc;
            gemm.k = l->at.joined ? b->along[2]->taps * l->k : l->k;
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
static void list_all(const layout *l, const swg__box *b, swg__tap *table) {
    const swg__run *z = b->along[0], *y = b->along[1], *x = b->along[2];
    memset(table, 0, (size_t)l->at.c.taps * sizeof *table);
    for (int64_t i = 0; i < z->taps * y->taps * x->taps; i++) {
        int64_t iz = i / (y->taps * x->taps), iy = i / x->taps % y->taps, ix = i % x->taps;
        table[((z->tap + iz) * l->at.c.kernel[1] + y->tap + iy) * l->at.c.kernel[2] + x->tap + ix] =
            (swg__tap){.a = iz * z->tap_in * l->at.from_stride[0] + iy * y->tap_in * l->at.from_stride[1] + ix * x->tap_in * l->at.from_stride[2], .b = 1};
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
    const swg__box *b = NULL, *next;
    for (int64_t line = first; line < end; line++) {
        if ((next = swg__lines_box(&l->at, b, line)) != b)
            list_all(l, b = next, table);
        to = place_line(l, b, line, &gemm, &from);
        const swg__bf16 *x = (const swg__bf16 *)call->in[0] + group + from;
        for (int64_t t = 0; t < l->at.c.taps; t += 2) {
            bool second = t + 1 < l->at.c.taps && table[t + 1].b;
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
    float *sums = call->node->dtype == SWG_BF16 ? (float *)(table + l->at.c.taps) : NULL;
    uint32_t *words = (uint32_t *)((float *)(table + l->at.c.taps) + (sums ? SUM_LINES * LINE_ROWS * call->isa->nr : 0));
    while (begin < end) {
        int64_t all = l->at.c.groups * l->strips, block = begin / (all * l->block_lines), start = block * l->block_lines;
        int64_t lines = swg__min64(l->block_lines, l->at.lines - start), rest = begin - all * start, strip = rest / lines;
        int64_t first = start + rest % lines, stop = swg__min64(start + lines, first + end - begin);
        if (sums && l->chunk_taps < l->at.c.taps)
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
