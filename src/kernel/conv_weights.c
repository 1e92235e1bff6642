/* conv_weights.c - the gradient of a convolution's weights: for each tap the product of X^T, shifted, with Y, over all positions
 * that the tap joins. In: X and Y channels-last. Out: (O, I / groups, taps).
 *
 * A part is a few input channels (the rows of a tile) by a few panels of output channels, all taps of it. It walks the positions in
 * blocks that stay in the second cache and adds each block's sums for every tap. Few parts are split along the positions too, into
 * shares whose sums are added in order at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { PART_BYTES = 320 << 10, BLOCK_BYTES = 256 << 10, BLOCK_ROWS = 512, LINE = 512, PARTS_WANTED = 16 };

typedef struct layout {
    swg__conv c;
    int64_t wide, narrow;               /* channels of one group of X and of Y */
    int64_t row_parts, column_parts, columns; /* of a group; columns of a part, whole panels */
    int64_t shares;
    int64_t chunks;                     /* of a line of positions along x, each up to LINE long */
    int64_t rows, block_rows, blocks;   /* rows: lines of Y of all the batch; blocks of one chunk */
    int64_t part_elements, tail_elements, area_bytes; /* sums; what is left of Y beside whole panels; all of a part's memory */
} layout;

static layout layout_of(const swg__call *call) {
    layout l = {.c = swg__conv_of(call->g, call->node)};
    const swg__conv *c = &l.c;
    int64_t mr = call->isa->mr, nr = call->isa->nr, vl = call->isa->vl;
    l.wide = c->in_channels / c->groups;
    l.narrow = c->out_channels / c->groups;
    l.row_parts = swg__ceil_div(l.wide, mr);
    int64_t panels = swg__ceil_div(l.narrow, nr), most = PART_BYTES / (c->taps * mr * nr * 4);
    l.column_parts = swg__ceil_div(panels, most < 1 ? 1 : most);
    int64_t enough = swg__ceil_div(PARTS_WANTED, c->groups * l.row_parts);
    l.column_parts = swg__min64(panels, l.column_parts > enough ? l.column_parts : enough);
    l.columns = swg__ceil_div(panels, l.column_parts) * nr;
    l.column_parts = swg__ceil_div(l.narrow, l.columns);
    l.chunks = swg__ceil_div(c->out[2], LINE);
    l.rows = c->batch * c->out[0] * c->out[1];
    int64_t row_bytes = 4 * (c->out[2] * c->out_channels + c->in[2] * c->in_channels * c->stride[1]);
    l.block_rows = l.chunks > 1 ? 1 : BLOCK_BYTES / row_bytes < 1 ? 1 : swg__min64(BLOCK_BYTES / row_bytes, BLOCK_ROWS);
    l.blocks = swg__ceil_div(l.rows, l.block_rows);
    int64_t parts = c->groups * l.row_parts * l.column_parts;
    l.shares = parts >= PARTS_WANTED ? 1 : swg__min64(swg__ceil_div(PARTS_WANTED, parts), l.blocks * l.chunks);
    l.part_elements = c->taps * mr * swg__min64(l.columns, l.narrow);
    int64_t rest = l.narrow % nr, positions = l.block_rows * swg__min64(c->out[2], LINE);
    l.tail_elements = rest == 0 ? 0 : positions * (rest > vl ? nr : vl);
    l.area_bytes = (4 * (l.part_elements + l.tail_elements) + l.block_rows * (int64_t)sizeof(swg__tap) + 63) / 64 * 64;
    return l;
}

static const void *weights_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (l)
        *l = layout_of(call);
    return l;
}

/* ---- a unit is a share of a part ---- */

static int64_t parts_of(const layout *l) { return l->c.groups * l->row_parts * l->column_parts; }

static int64_t weights_units(const swg__call *call) {
    const layout *l = call->layout;
    return parts_of(l) * l->shares;
}

static int64_t weights_grain(const swg__call *call) {
    int64_t macs = swg__conv_macs(call->g, call->node) / weights_units(call), grain = (1 << 20) / (macs < 1 ? 1 : macs);
    return grain < 1 ? 1 : grain;
}

/* One area per worker; one per unit where shares are added at the end. */
static int64_t weights_scratch(const swg__call *call, bool *per_worker) {
    layout l = layout_of(call);
    *per_worker = l.shares == 1;
    return l.area_bytes * (l.shares == 1 ? 1 : parts_of(&l) * l.shares);
}

/* A part's channels: input channels i.. and output channels o.., counted within its group. */
typedef struct part { int64_t group, i, rows, o, columns; } part;

static part part_of(const layout *l, int64_t index) {
    part p = {.group = index / (l->row_parts * l->column_parts)};
    int64_t row = index / l->column_parts % l->row_parts; /* rows as equal as they can be */
    p.i = l->wide * row / l->row_parts;
    p.rows = l->wide * (row + 1) / l->row_parts - p.i;
    p.o = index % l->column_parts * l->columns;
    p.columns = swg__min64(l->columns, l->narrow - p.o);
    return p;
}

/* Of the columns beside whole panels, as packed. */
static int64_t tail_width(const swg__isa_table *isa, int64_t columns) {
    return columns % isa->nr > isa->vl ? isa->nr : isa->vl;
}

/* The columns beside whole panels, of all positions of a block. */
static void pack_tail(const swg__call *call, const float *y, int64_t positions, int64_t columns, float *tail) {
    const layout *l = call->layout;
    int64_t rest = columns % call->isa->nr, ld = tail_width(call->isa, columns);
    for (int64_t p = 0; p < positions; p++) {
        memcpy(tail + p * ld, y + p * l->c.out_channels + columns - rest, (size_t)rest * sizeof *tail);
        memset(tail + p * ld + rest, 0, (size_t)(ld - rest) * sizeof *tail);
    }
}

/* Lines of a block that tap (tz, ty, .) joins with a line of X: their starts in X, and their rows of Y counted from the block's. */
static int64_t list_lines(const layout *l, int64_t tz, int64_t ty, int64_t row0, int64_t row1, int64_t pitch, swg__tap *table) {
    const swg__conv *c = &l->c;
    int64_t count = 0;
    for (int64_t row = row0; row < row1; row++) {
        int64_t y = row % c->out[1], z = row / c->out[1] % c->out[0], n = row / c->out[1] / c->out[0];
        int64_t qz = z * c->stride[0] + tz * c->dilation[0] - c->before[0], qy = y * c->stride[1] + ty * c->dilation[1] - c->before[1];
        if (qz >= 0 && qz < c->in[0] && qy >= 0 && qy < c->in[1])
            table[count++] = (swg__tap){.a = ((n * c->in[0] + qz) * c->in[1] + qy) * c->in[2] * c->in_channels, .b = (row - row0) * pitch};
    }
    return count;
}

/* Adds block `block` to the sums of a part: every tap, one tile high. */
static void add_block(const swg__call *call, const part *p, int64_t block, float *sums, float *tail, swg__tap *table) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    int64_t x0 = block / l->blocks * LINE, x1 = swg__min64(c->out[2], x0 + LINE);
    int64_t row0 = block % l->blocks * l->block_rows, row1 = swg__min64(l->rows, row0 + l->block_rows), pitch = c->out[2];
    const float *y = (const float *)call->in[1] + (row0 * pitch + x0) * c->out_channels + p->group * l->narrow + p->o;
    int64_t positions = l->chunks > 1 ? x1 - x0 : (row1 - row0) * pitch;
    if (p->columns % call->isa->nr)
        pack_tail(call, y, positions, p->columns, tail);
    swg__gemm gemm = {.n = p->columns, .k_stride = c->stride[2] * c->in_channels, .row_stride = 1, .ldb = c->out_channels,
                      .ldc = p->columns, .taps = table, .accumulate = true};
    for (int64_t tz = 0; tz < c->kernel[0]; tz++)
        for (int64_t ty = 0; ty < c->kernel[1]; ty++) {
            gemm.tap_count = list_lines(l, tz, ty, row0, row1, pitch, table);
            for (int64_t tx = 0; tx < c->kernel[2] && gemm.tap_count; tx++) {
                int64_t first, end, shift;
                swg__conv_valid(c, 2, tx, &first, &end);
                first = first > x0 ? first : x0;
                end = swg__min64(end, x1);
                if (end <= first)
                    continue;
                shift = first * c->stride[2] + tx * c->dilation[2] - c->before[2];
                gemm.k = end - first;
                gemm.a = (const float *)call->in[0] + shift * c->in_channels + p->group * l->wide + p->i;
                gemm.b = y + (first - x0) * c->out_channels;
                gemm.tail = tail + (first - x0) * tail_width(call->isa, p->columns);
                gemm.c = sums + ((tz * c->kernel[1] + ty) * c->kernel[2] + tx) * p->rows * p->columns;
                call->isa->gemm(&gemm, 0, p->rows);
            }
        }
}

/* (taps, rows, columns) of a part to where they belong in (O, I / groups, taps). */
static void write_part(const swg__call *call, const part *p, const float *sums, bool add) {
    const layout *l = call->layout;
    int64_t taps = l->c.taps, step = p->rows * p->columns;
    for (int64_t o = 0; o < p->columns; o++) {
        float *out = (float *)call->out + ((p->group * l->narrow + p->o + o) * l->wide + p->i) * taps;
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t t = 0; t < taps; t++) {
                float sum = sums[t * step + i * p->columns + o];
                out[i * taps + t] = add ? out[i * taps + t] + sum : sum;
            }
    }
}

static void weights_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    for (int64_t unit = begin; unit < end; unit++) {
        char *area = (char *)call->scratch + (l->shares == 1 ? worker * call->worker_bytes : unit * l->area_bytes);
        swg__tap *table = (swg__tap *)area;
        float *sums = (float *)(area + l->block_rows * (int64_t)sizeof *table), *tail = sums + l->part_elements;
        part p = part_of(l, unit / l->shares);
        int64_t share = unit % l->shares, blocks = l->blocks * l->chunks;
        memset(sums, 0, (size_t)l->part_elements * sizeof *sums);
        for (int64_t block = blocks * share / l->shares; block < blocks * (share + 1) / l->shares; block++)
            add_block(call, &p, block, sums, tail, table);
        if (l->shares == 1)
            write_part(call, &p, sums, false);
    }
}

static void weights_finish(const swg__call *call) {
    const layout *l = call->layout;
    for (int64_t unit = 0; l->shares > 1 && unit < parts_of(l) * l->shares; unit++) {
        part p = part_of(l, unit / l->shares);
        const char *area = (const char *)call->scratch + unit * l->area_bytes;
        write_part(call, &p, (const float *)(area + l->block_rows * (int64_t)sizeof(swg__tap)), unit % l->shares != 0);
    }
}

const swg__kernel swg__kernel_conv_weights = {.name = "conv_weights", .units = weights_units, .grain = weights_grain, .run = weights_run,
                                              .finish = weights_finish, .scratch = weights_scratch, .prepare = weights_prepare};
