/* conv_weights.c - the gradient of a convolution's weights: for each tap the product of X^T, shifted, with Y, over all positions
 * that the tap joins. In: X and Y channels-last. Out: (O, I / groups, taps).
 *
 * A part is some input channels by a few panels of output channels, all taps of it. It walks the positions in blocks that stay in the
 * second cache, packs a block's Y and adds its sums for every tap. Few parts are split along the positions too, into shares whose sums
 * are added in order at the end.
 *
 * In bf16 positions go in pairs, and a block's are packed as words: either of two samples at one position, or of two neighbours along
 * x, whichever leaves fewer words half empty. A tap may begin at any neighbour, so X has a word for every position then, and zeros
 * where it would be padded.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { PART_BYTES = 320 << 10, BLOCK_BYTES = 256 << 10, BLOCK_ROWS = 512, LINE = 512, PARTS_WANTED = 16, LINES_WRITTEN = 16, ROWS_IN_PLACE = 4, TAPS_TO_COPY = 4 };

typedef struct layout {
    swg__conv c;
    int64_t wide, narrow;               /* channels of one group of X and of Y */
    int64_t row_parts, column_parts, part_rows, columns; /* of a group; rows of a part, at most, and its columns, whole panels */
    int64_t shares;
    int64_t chunks;                     /* of a line of positions along x, each up to LINE long */
    int64_t rows, block_rows, blocks;   /* rows: lines of Y of all the batch; blocks of one chunk */
    int64_t table_bytes, part_elements, packed_elements, area_bytes; /* table of lines; sums; a block of Y, in bf16 of X, too; all of a part's memory */
    bool pairs, along_x;                /* bf16: of neighbours along x, else of samples; `rows` counts pairs of samples then */
    int64_t samples;                    /* of a row: 2 of such a pair, else 1 */
    int64_t depth;                      /* words of Y per column and block */
    int64_t x_line, x_lines;            /* words, in f32 numbers, of X per channel and line; lines of a block, 0: X is read where it lies */
    int64_t units;                      /* bf16: samples, or pairs of them, of a block; 0: less than one, and X packed for each tap along z */
} layout;

/* Positions that all taps of a line see, which two neighbours to a word and zeros instead of padding would take for `extra` more. */
static int64_t words_along_x(const swg__conv *c, int64_t *valid) {
    int64_t words = 0, first, end;
    *valid = 0;
    for (int64_t t = 0; t < c->kernel[2]; t++) {
        swg__conv_valid(c, 2, t, &first, &end);
        *valid += end - first;
        words += end > first ? swg__ceil_div(end, 2) - first / 2 : 0;
    }
    return words;
}

/* A block of lines of Y, each y_line long, and of the lines of X that they meet at all taps of a plane. */
static void block_of_lines(layout *l, int64_t y_line) {
    const swg__conv *c = &l->c;
    int64_t row_bytes = 4 * (y_line * l->columns + l->x_line * c->stride[1] * l->part_rows);
    l->block_rows = l->chunks > 1 || BLOCK_BYTES / row_bytes < 1 ? 1 : swg__min64(swg__min64(BLOCK_BYTES / row_bytes, BLOCK_ROWS), l->rows);
    int64_t planes = (l->block_rows - 1 + c->out[1] - 1) / c->out[1] + 1;
    l->x_lines = planes * swg__min64(c->in[1], (swg__min64(l->block_rows, c->out[1]) - 1) * c->stride[1] + (c->kernel[1] - 1) * c->dilation[1] + 1);
}

/* Of bf16: how positions pair, and the sizes of a block. */
static void pair_layout(layout *l) {
    const swg__conv *c = &l->c;
    int64_t batch = c->batch, valid, words = words_along_x(c, &valid), most = swg__min64(c->out[2], LINE);
    l->along_x = batch * words < swg__ceil_div(batch, 2) * valid;
    l->samples = l->along_x ? 1 : 2;
    l->rows = swg__ceil_div(batch, l->samples) * c->out[0] * c->out[1];
    int64_t y_line = l->along_x ? swg__ceil_div(most, 2) : most;
    l->x_line = (most - 1) * c->stride[2] + (c->kernel[2] - 1) * c->dilation[2] + 1;
    l->x_line = l->along_x ? l->x_line + c->stride[2] : swg__min64(l->x_line, c->in[2]);
    int64_t y_lines = c->out[0] * c->out[1], x_lines = c->in[0] * c->in[1];
    int64_t unit_bytes = 4 * (y_lines * y_line * l->columns + x_lines * l->x_line * l->part_rows);
    l->units = l->chunks > 1 ? 0 : swg__min64(swg__min64(BLOCK_BYTES / unit_bytes, BLOCK_ROWS / y_lines), l->rows / y_lines);
    if (l->units > 0) {
        l->block_rows = l->units * y_lines;
        l->x_lines = l->units * x_lines;
    } else {
        block_of_lines(l, y_line);
    }
    l->depth = l->block_rows * y_line;
}

static int64_t packed_columns(const swg__isa_table *isa, int64_t columns) {
    int64_t rest = columns % isa->nr;
    return columns - rest + (rest > isa->vl ? isa->nr : rest ? isa->vl : 0);
}

/* Every column part goes through all of X, every row part packs all of Y: as little of both together as the sums of a part allow. */
static void choose_parts(layout *l, int64_t mr, int64_t nr) {
    const swg__conv *c = &l->c;
    int64_t panels = swg__ceil_div(l->narrow, nr);
    double x = (double)l->wide * (l->pairs ? 2 : 1), y = (double)l->narrow, least = 0;
    for (int axis = 0; axis < 3; axis++) {
        x *= (double)c->in[axis];
        y *= (double)c->out[axis];
    }
    for (int64_t wide = 1; wide <= panels; wide++) {
        int64_t rows = PART_BYTES / (c->taps * wide * nr * 4) / mr * mr;
        if (rows < mr && wide > 1)
            break;
        int64_t row_parts = swg__ceil_div(l->wide, rows < mr ? mr : rows), column_parts = swg__ceil_div(panels, wide);
        double cost = (double)column_parts * x + (double)row_parts * y;
        if (wide > 1 && cost >= least)
            continue;
        least = cost;
        l->row_parts = row_parts;
        l->column_parts = column_parts;
    }
    l->part_rows = swg__ceil_div(l->wide, l->row_parts);
}

static layout layout_of(const swg__call *call) {
    layout l = {.c = swg__conv_of(call->g, call->node)};
    const swg__conv *c = &l.c;
    int64_t mr = call->isa->mr, nr = call->isa->nr;
    l.wide = c->in_channels / c->groups;
    l.narrow = c->out_channels / c->groups;
    l.pairs = call->g->nodes[call->node->in[0]].dtype == SWG_BF16;
    int64_t panels = swg__ceil_div(l.narrow, nr);
    choose_parts(&l, mr, nr);
    int64_t enough = swg__ceil_div(PARTS_WANTED, c->groups * l.row_parts);
    l.column_parts = swg__min64(panels, l.column_parts > enough ? l.column_parts : enough);
    l.columns = swg__ceil_div(panels, l.column_parts) * nr;
    l.column_parts = swg__ceil_div(l.narrow, l.columns);
    l.chunks = swg__ceil_div(c->out[2], LINE);
    if (l.pairs) {
        pair_layout(&l);
    } else {
        int64_t most = swg__min64(c->out[2], LINE);
        l.samples = 1;
        l.rows = c->batch * c->out[0] * c->out[1];
        l.x_line = swg__min64((most - 1) * c->stride[2] + (c->kernel[2] - 1) * c->dilation[2] + 1, c->in[2]);
        block_of_lines(&l, most);
        if (c->taps < TAPS_TO_COPY || l.part_rows < mr || l.part_rows == c->in_channels * c->stride[2])
            l.x_lines = 0;
        l.depth = l.block_rows * swg__min64(c->out[2], LINE);
    }
    l.blocks = swg__ceil_div(l.rows, l.block_rows);
    l.table_bytes = (l.block_rows * (int64_t)sizeof(swg__tap) + 63) / 64 * 64;
    int64_t parts = c->groups * l.row_parts * l.column_parts;
    l.shares = parts >= PARTS_WANTED ? 1 : swg__min64(swg__ceil_div(PARTS_WANTED, parts), l.blocks * l.chunks);
    l.part_elements = (c->taps * l.part_rows * swg__min64(l.columns, l.narrow) + 15) / 16 * 16;
    l.packed_elements = l.depth * packed_columns(call->isa, swg__min64(l.columns, l.narrow)) + l.x_lines * l.x_line * (l.part_rows + 1);
    l.area_bytes = (4 * (l.part_elements + l.packed_elements) + l.table_bytes + 63) / 64 * 64;
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

/* The line of X that line (z, y) of Y meets at tap (tz, ty, .), counted within its sample; -1: padding. */
static int64_t line_of_x(const swg__conv *c, int64_t tz, int64_t ty, int64_t z, int64_t y) {
    int64_t qz = z * c->stride[0] + tz * c->dilation[0] - c->before[0], qy = y * c->stride[1] + ty * c->dilation[1] - c->before[1];
    return qz >= 0 && qz < c->in[0] && qy >= 0 && qy < c->in[1] ? qz * c->in[1] + qy : -1;
}

/* Lines of Y in [row0, row1) that tap (tz, ty, .) joins with a line of X: in units of `x_pitch` and `y_pitch`, the line of X counted from
 * sample `first` on, that of Y from row0. */
static int64_t list_lines(const layout *l, int64_t tz, int64_t ty, int64_t row0, int64_t row1, int64_t first, int64_t x_pitch, int64_t y_pitch,
                          swg__tap *table) {
    const swg__conv *c = &l->c;
    int64_t y = row0 % c->out[1], z = row0 / c->out[1] % c->out[0], n = row0 / c->out[1] / c->out[0] - first, count = 0;
    for (int64_t row = row0; row < row1; row++) {
        int64_t line = line_of_x(c, tz, ty, z, y);
        if (line >= 0)
            table[count++] = (swg__tap){.a = (n * c->in[0] * c->in[1] + line) * x_pitch, .b = (row - row0) * y_pitch};
        if (++y == c->out[1]) {
            y = 0;
            n += ++z == c->out[0];
            z = z == c->out[0] ? 0 : z;
        }
    }
    return count;
}

static void shift_table(swg__tap *table, int64_t count, int64_t by) {
    for (int64_t i = 0; i < count; i++)
        table[i].b += by;
}

/* ---- blocks in memory of their own: X, and in bf16 Y, as words of two positions ---- */

/* Two rows of Y or X to words; either may be missing. */
static void pair_position(const swg__call *call, uint32_t *to, const swg__bf16 *first, const swg__bf16 *second, int64_t n) {
    if (first)
        call->isa->pair_rows(to, n, first, second, true, 0, 1, n);
    for (int64_t j = 0; !first && j < n; j++)
        to[j] = second ? (uint32_t)second[j] << 16 : 0;
}

/* Positions [x0, x1) of lines [row0, row1) of a part's Y. */
static void pack_y(const swg__call *call, const part *p, int64_t row0, int64_t row1, int64_t x0, int64_t x1, uint32_t *words) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    const swg__isa_table *isa = call->isa;
    bool bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16;
    const int64_t size = bf16 ? 2 : 4, oc = c->out_channels, lines = c->out[0] * c->out[1], line = c->out[2] * oc * size;
    for (int64_t o = 0; o < p->columns; o += isa->nr) {
        int64_t columns = swg__min64(isa->nr, p->columns - o), ld = columns > isa->vl ? isa->nr : isa->vl;
        uint32_t *to = words + o * l->depth;
        for (int64_t row = row0, count; row < row1; row += count) {
            int64_t sample = row / lines * l->samples;
            const char *y = (const char *)call->in[1] + (sample * lines + row % lines) * line + (x0 * oc + p->group * l->narrow + p->o + o) * size;
            count = l->along_x || l->chunks > 1 ? 1 : swg__min64(row1 - row, lines - row % lines); /* lines that follow each other */
            if (l->along_x) {
                isa->pair_rows(to, ld, y, y + oc * size, bf16, 2 * oc, (x1 - x0) / 2, columns);
                to += (x1 - x0) / 2 * ld;
                if ((x1 - x0) % 2)
                    isa->pair_rows(to, ld, y + (x1 - x0 - 1) * oc * size, NULL, bf16, 0, 1, columns);
                to += (x1 - x0) % 2 * ld;
            } else {
                isa->pair_rows(to, ld, y, sample + 1 < c->batch ? y + lines * line : NULL, bf16, oc, count * (x1 - x0), columns);
                to += count * (x1 - x0) * ld;
            }
        }
    }
}

/* A part's channels of one line of X, from position `from` on as many words as a line has that lie in it or, along x, beside it. */
static void pack_x_line(const swg__call *call, const part *p, const swg__bf16 *x, const swg__bf16 *other, int64_t from, int64_t ld, uint32_t *to) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    const int64_t ic = c->in_channels, extent = c->in[2];
    int64_t begin = from < 0 ? -from : 0, end = swg__min64(l->x_line, extent - from);
    if (!l->along_x) {
        if (end > begin)
            call->isa->pair_rows(to + begin * ld, ld, x + (from + begin) * ic, other ? other + (from + begin) * ic : NULL, true, ic, end - begin,
                                 p->rows);
        return;
    }
    int64_t s = c->stride[2], both = end - s > begin ? end - s : begin; /* words [begin, both) have two positions in the line */
    both = both < end ? both : end > begin ? end : begin;
    for (int64_t w = 0; w < begin && w < l->x_line; w++) {
        bool second = from + w + s >= 0 && from + w + s < extent;
        pair_position(call, to + w * ld, NULL, second ? x + (from + w + s) * ic : NULL, p->rows);
    }
    if (both > begin)
        call->isa->pair_rows(to + begin * ld, ld, x + (from + begin) * ic, x + (from + begin + s) * ic, true, ic, both - begin, p->rows);
    for (int64_t w = both; w < l->x_line; w++) {
        bool first = from + w < extent, second = from + w + s < extent;
        pair_position(call, to + w * ld, first ? x + (from + w) * ic : NULL, second ? x + (from + w + s) * ic : NULL, p->rows);
    }
}

/* `lines` lines of a sample, or of two, from `line` on. */
static void pack_x(const swg__call *call, const part *p, int64_t sample, int64_t line, int64_t lines, int64_t from, int64_t ld, uint32_t *to) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    const int64_t ic = c->in_channels, step = c->in[2] * ic, whole = c->in[0] * c->in[1] * step, first = p->group * l->wide + p->i;
    if (!l->pairs) {
        const float *x = (const float *)call->in[0] + sample * whole + line * step + from * ic + first;
        int64_t n = swg__min64(l->x_line, c->in[2] - from);
        for (int64_t i = 0; i < lines; i++)
            for (int64_t at = 0; at < n; at++)
                memcpy(to + (i * l->x_line + at) * ld, x + i * step + at * ic, (size_t)p->rows * sizeof *x);
        return;
    }
    const swg__bf16 *x = (const swg__bf16 *)call->in[0] + sample * whole + line * step + first;
    const swg__bf16 *other = sample + 1 < c->batch ? x + whole : NULL;
    if (!l->along_x && from == 0 && l->x_line == c->in[2])
        call->isa->pair_rows(to, ld, x, other, true, ic, lines * c->in[2], p->rows);
    else
        for (int64_t i = 0; i < lines; i++)
            pack_x_line(call, p, x + i * step, other ? other + i * step : NULL, from, ld, to + i * l->x_line * ld);
}

/* The lines of Y from `row` on that lie in one plane of the block, and the lines of X that taps (tz, ., .) join with them. */
typedef struct stretch { int64_t next, y, sample, z, low, lines; } stretch;

static stretch stretch_of(const layout *l, int64_t tz, int64_t row, int64_t row1) {
    const swg__conv *c = &l->c;
    stretch s = {.y = row % c->out[1], .sample = row / c->out[1] / c->out[0] * l->samples};
    s.next = swg__min64(row1, row + c->out[1] - s.y);
    s.z = row / c->out[1] % c->out[0] * c->stride[0] + tz * c->dilation[0] - c->before[0];
    int64_t low = s.y * c->stride[1] - c->before[1], high = low + (s.next - row - 1) * c->stride[1] + (c->kernel[1] - 1) * c->dilation[1];
    s.low = low < 0 ? 0 : low;
    high = swg__min64(high, c->in[1] - 1);
    s.lines = s.z >= 0 && s.z < c->in[0] && high >= s.low ? high - s.low + 1 : 0;
    return s;
}

/* X of a block: all of its samples; or, stretch after stretch, the lines that taps (tz, ., .) join. */
static void pack_samples(const swg__call *call, const part *p, int64_t row0, int64_t row1, int64_t from, int64_t ld, uint32_t *words) {
    const layout *l = call->layout;
    int64_t lines = l->c.in[0] * l->c.in[1], y_lines = l->c.out[0] * l->c.out[1];
    for (int64_t unit = row0 / y_lines; unit < row1 / y_lines; unit++, words += lines * l->x_line * ld)
        pack_x(call, p, unit * l->samples, 0, lines, from, ld, words);
}

static void pack_stretches(const swg__call *call, const part *p, int64_t tz, int64_t row0, int64_t row1, int64_t from, int64_t ld, void *out) {
    const layout *l = call->layout;
    uint32_t *words = out;
    for (int64_t row = row0; row < row1;) {
        stretch s = stretch_of(l, tz, row, row1);
        pack_x(call, p, s.sample, s.z * l->c.in[1] + s.low, s.lines, from, ld, words);
        words += s.lines * l->x_line * ld;
        row = s.next;
    }
}

/* As list_lines, of X packed stretch after stretch. */
static int64_t list_stretches(const layout *l, int64_t tz, int64_t ty, int64_t row0, int64_t row1, int64_t x_pitch, int64_t y_pitch, swg__tap *table) {
    const swg__conv *c = &l->c;
    int64_t count = 0, packed = 0;
    for (int64_t row = row0; row < row1;) {
        stretch s = stretch_of(l, tz, row, row1);
        for (int64_t y = s.y; s.lines && row < s.next; y++, row++) {
            int64_t qy = y * c->stride[1] + ty * c->dilation[1] - c->before[1];
            if (qy >= 0 && qy < c->in[1])
                table[count++] = (swg__tap){.a = (packed + qy - s.low) * x_pitch, .b = (row - row0) * y_pitch};
        }
        row = s.next;
        packed += s.lines;
    }
    return count;
}

/* Adds block `block` to the sums of a part. */
static void add_block(const swg__call *call, const part *p, int64_t block, float *sums, float *packed, swg__tap *table) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    int64_t x0 = block / l->blocks * LINE, x1 = swg__min64(c->out[2], x0 + LINE);
    int64_t row0 = block % l->blocks * l->block_rows, row1 = swg__min64(l->rows, row0 + l->block_rows), pitch = c->out[2];
    const float *y = (const float *)call->in[1] + (row0 * pitch + x0) * c->out_channels + p->group * l->narrow + p->o;
    int64_t positions = l->chunks > 1 ? x1 - x0 : (row1 - row0) * pitch;
    int64_t nr = call->isa->nr, rest = p->columns % nr;
    int64_t from = x0 * c->stride[2] - c->before[2], ld = p->rows;
    from = from < 0 ? 0 : from;
    bool copied = l->x_lines > 0, in_place = p->rows <= ROWS_IN_PLACE && (rest == 0 || rest == call->isa->vl);
    if (!in_place)
        call->isa->pack(packed, y, c->out_channels, 1, positions, p->columns, 0, swg__ceil_div(p->columns, nr));
    float *copy = packed + l->depth * packed_columns(call->isa, p->columns);
    swg__gemm gemm = {.n = p->columns, .k_stride = c->stride[2] * (copied ? ld : c->in_channels), .row_stride = 1, .b = in_place ? y : packed,
                      .ldb = in_place ? c->out_channels : 0, .depth = positions, .ldc = p->columns, .taps = table, .accumulate = true};
    for (int64_t tz = 0; tz < c->kernel[0]; tz++) {
        if (copied)
            pack_stretches(call, p, tz, row0, row1, from, ld, copy);
        for (int64_t ty = 0; ty < c->kernel[1]; ty++) {
            int64_t listed = 0; /* position of a line of Y that the table begins with */
            gemm.tap_count = copied ? list_stretches(l, tz, ty, row0, row1, l->x_line * ld, pitch, table)
                                    : list_lines(l, tz, ty, row0, row1, 0, c->in[2] * c->in_channels, pitch, table);
            for (int64_t tx = 0; tx < c->kernel[2] && gemm.tap_count; tx++) {
                int64_t first, end;
                swg__conv_valid(c, 2, tx, &first, &end);
                first = first > x0 ? first : x0;
                end = swg__min64(end, x1);
                if (end <= first)
                    continue;
                gemm.k = end - first;
                int64_t at = first * c->stride[2] + tx * c->dilation[2] - c->before[2];
                gemm.a = copied ? copy + (at - from) * ld : (const float *)call->in[0] + at * c->in_channels + p->group * l->wide + p->i;
                shift_table(table, gemm.tap_count, first - x0 - listed);
                listed = first - x0;
                gemm.c = sums + ((tz * c->kernel[1] + ty) * c->kernel[2] + tx) * p->rows * p->columns;
                call->isa->gemm(&gemm, 0, p->rows);
            }
        }
    }
}

/* The same in bf16. */
static void add_pairs(const swg__call *call, const part *p, int64_t block, float *sums, uint32_t *words, swg__tap *table) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    int64_t x0 = block / l->blocks * LINE, x1 = swg__min64(c->out[2], x0 + LINE), from = x0 * c->stride[2] - c->before[2];
    from = from < 0 && !l->along_x ? 0 : from;
    int64_t row0 = block % l->blocks * l->block_rows, row1 = swg__min64(l->rows, row0 + l->block_rows);
    int64_t step = l->along_x ? 2 : 1, pitch = swg__ceil_div(x1 - x0, step), ld = p->rows + (p->rows & 1); /* ld: never 1 */
    uint32_t *x = words + l->depth * packed_columns(call->isa, p->columns);
    pack_y(call, p, row0, row1, x0, x1, words);
    swg__gemm gemm = {.n = p->columns, .row_stride = 1, .k_stride = step * c->stride[2] * ld, .b = (const float *)words, .depth = l->depth,
                      .ldc = p->columns, .taps = table, .accumulate = true};
    if (l->units)
        pack_samples(call, p, row0, row1, from, ld, x);
    for (int64_t tz = 0; tz < c->kernel[0]; tz++) {
        if (!l->units)
            pack_stretches(call, p, tz, row0, row1, from, ld, x);
        for (int64_t ty = 0; ty < c->kernel[1]; ty++) {
            int64_t listed = 0; /* word of a line of Y that the table begins with */
            gemm.tap_count = l->units ? list_lines(l, tz, ty, row0, row1, row0 / (c->out[0] * c->out[1]), l->x_line * ld, pitch, table)
                                      : list_stretches(l, tz, ty, row0, row1, l->x_line * ld, pitch, table);
            for (int64_t tx = 0; tx < c->kernel[2] && gemm.tap_count; tx++) {
                int64_t first, end;
                swg__conv_valid(c, 2, tx, &first, &end);
                first = (first > x0 ? first - x0 : 0) / step; /* words of Y */
                end = swg__ceil_div(swg__min64(end, x1) - x0, step);
                if (end <= first)
                    continue;
                gemm.k = 2 * (end - first);
                gemm.a = x + ((x0 + first * step) * c->stride[2] + tx * c->dilation[2] - c->before[2] - from) * ld;
                shift_table(table, gemm.tap_count, first - listed);
                listed = first;
                gemm.c = sums + ((tz * c->kernel[1] + ty) * c->kernel[2] + tx) * p->rows * p->columns;
                call->isa->gemm_bf16(&gemm, 0, p->rows);
            }
        }
    }
}

/* (taps, rows, columns) of a part to where they belong in (O, I / groups, taps). */
static void write_part(const swg__call *call, const part *p, const float *sums) {
    const layout *l = call->layout;
    int64_t taps = l->c.taps, step = p->rows * p->columns, line = l->wide * taps, to = ((p->group * l->narrow + p->o) * l->wide + p->i) * taps;
    if (call->node->dtype == SWG_BF16)
        for (int64_t o = 0; o < p->columns; o++)
            for (int64_t i = 0; i < p->rows; i++)
                for (int64_t t = 0; t < taps; t++)
                    ((swg__bf16 *)call->out)[to + o * line + i * taps + t] = swg__bf16_of(sums[t * step + i * p->columns + o]);
    else if (taps == 1)
        call->isa->turn((float *)call->out + to, line, sums, p->columns, p->columns, p->rows);
    else
        for (int64_t o = 0; o < p->columns; o += LINES_WRITTEN)
            for (int64_t i = 0; i < p->rows; i++)
                call->isa->turn((float *)call->out + to + o * line + i * taps, line, sums + i * p->columns + o, step,
                                swg__min64(LINES_WRITTEN, p->columns - o), taps);
}

static void weights_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    for (int64_t unit = begin; unit < end; unit++) {
        char *area = (char *)call->scratch + (l->shares == 1 ? worker * call->worker_bytes : unit * l->area_bytes);
        swg__tap *table = (swg__tap *)area;
        float *sums = (float *)(area + l->table_bytes), *packed = sums + l->part_elements;
        part p = part_of(l, unit / l->shares);
        int64_t share = unit % l->shares, blocks = l->blocks * l->chunks;
        bool ends = l->pairs && (p.columns % call->isa->vl || p.rows & 1); /* of packed panels */
        memset(sums, 0, (size_t)(l->part_elements + (ends ? l->packed_elements : 0)) * sizeof *sums);
        for (int64_t block = blocks * share / l->shares; block < blocks * (share + 1) / l->shares; block++) {
            if (l->pairs)
                add_pairs(call, &p, block, sums, (uint32_t *)packed, table);
            else
                add_block(call, &p, block, sums, packed, table);
        }
        if (l->shares == 1)
            write_part(call, &p, sums);
    }
}

static void weights_finish(const swg__call *call) {
    const layout *l = call->layout;
    for (int64_t unit = 0; l->shares > 1 && unit < parts_of(l) * l->shares; unit++) {
        part p = part_of(l, unit / l->shares);
        float *sums = (float *)((char *)call->scratch + unit * l->area_bytes + l->table_bytes);
        float *total = (float *)((char *)sums - unit % l->shares * l->area_bytes);
        for (int64_t i = 0; i < l->part_elements && total != sums; i++)
            total[i] += sums[i];
        if (unit % l->shares == l->shares - 1)
            write_part(call, &p, total);
    }
}

const swg__kernel swg__kernel_conv_weights = {.name = "conv_weights", .bf16 = true, .units = weights_units, .grain = weights_grain, .run = weights_run,
                                              .finish = weights_finish, .scratch = weights_scratch, .prepare = weights_prepare};
