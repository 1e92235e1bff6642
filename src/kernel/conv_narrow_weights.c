/* conv_narrow_weights.c - the gradient of the weights of a convolution to a few channels, stride 1: one product of X^T with Y, shifted by every tap,
 * side by side (conv_narrow.c). In: X and Y channels-last. Out: (O, I, taps).
 *
 * Lines of X are split into shares. A share walks them in blocks that stay in the second cache and packs the shifted Y of a block, in bf16
 * X, too, in pairs of positions that follow each other. Sums of shares are added in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { SHARES = 16, BLOCK_BYTES = 256 << 10, LINE_WORDS = 16 };

typedef struct layout {
    swg__conv c;
    bool pairs;                             /* X is bf16 */
    int64_t columns, wide;                  /* taps * channels of Y, filled up to whole vectors */
    int64_t lines, block_lines, shares;     /* of X, all samples together; in a block, at most */
    int64_t depth;                          /* positions of a full block, or pairs of them */
    int64_t x_pitch;                        /* words from one packed pair of X to the next: an odd number of lines of the cache */
    int64_t sums, packed, area_bytes;       /* floats; words of Y; all of a share's memory */
} layout;

static layout layout_of(const swg__call *call) {
    layout l = {.c = swg__conv_of(call->g, call->node), .pairs = call->g->nodes[call->node->in[0]].dtype == SWG_BF16};
    const swg__conv *c = &l.c;
    const int64_t nr = call->isa->nr, vl = call->isa->vl, row_bytes = c->in[2] * c->in_channels * 4;
    l.columns = c->taps * c->out_channels;
    l.wide = swg__ceil_div(l.columns, vl) * vl;
    l.lines = c->batch * c->in[0] * c->in[1];
    l.shares = swg__min64(SHARES, l.lines);
    l.block_lines = BLOCK_BYTES / row_bytes < 1 ? 1 : swg__min64(BLOCK_BYTES / row_bytes, swg__ceil_div(l.lines, l.shares));
    l.depth = swg__ceil_div(l.block_lines * c->in[2], l.pairs ? 2 : 1);
    l.x_pitch = (swg__ceil_div(c->in_channels, LINE_WORDS) | 1) * LINE_WORDS;
    l.sums = c->in_channels * l.wide;
    l.packed = swg__ceil_div(l.wide, nr) * nr * l.depth;
    l.area_bytes = 4 * (l.sums + l.packed + (l.pairs ? l.depth * l.x_pitch : 0));
    return l;
}

static const void *narrow_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (l)
        *l = layout_of(call);
    return l;
}

/* ---- a unit is a share ---- */

static int64_t narrow_units(const swg__call *call) { return ((const layout *)call->layout)->shares; }

static int64_t narrow_grain(const swg__call *call) {
    (void)call;
    return 1;
}

static int64_t narrow_scratch(const swg__call *call, bool *per_worker) {
    const layout l = layout_of(call);
    *per_worker = false;
    return l.area_bytes * l.shares;
}

/* Packed Y of a block: element (position, column), in bf16 a half of a word. */
typedef struct panels { void *data; int64_t nr, vl, wide, depth; bool pairs; } panels;

static inline void pack_values(void *to, const void *y, int64_t count, int64_t step, int64_t n, const bool pairs, const bool bf16) {
    for (int64_t x = 0; x < count; x++) {
        if (pairs)
            ((swg__bf16 *)to)[x / 2 * 2 * step + x % 2] = bf16 ? ((const swg__bf16 *)y)[x * n] : swg__bf16_of(((const float *)y)[x * n]);
        else
            ((float *)to)[x * step] = bf16 ? swg__f32_of_bf16(((const swg__bf16 *)y)[x * n]) : ((const float *)y)[x * n];
    }
}

/* `count` values of one channel of Y, n apart, to one column of a block from position `at` on. */
static void pack_column(const panels *p, const void *y, bool bf16, int64_t n, int64_t count, int64_t at, int64_t column) {
    const int64_t panel = column / p->nr, ld = p->wide - panel * p->nr > p->vl ? p->nr : p->vl, start = panel * p->nr * p->depth + column % p->nr;
    const int64_t size = bf16 ? 2 : 4, head = p->pairs && at % 2 && count > 0; /* the second half of a word */
    swg__bf16 *halves = p->data;
    float *values = p->data;
    if (head)
        pack_values(halves + 2 * (start + at / 2 * ld) + 1, y, 1, ld, n, true, bf16);
    const void *rest = (const char *)y + head * n * size;
    at += head;
    if (p->pairs && bf16)
        pack_values(halves + 2 * (start + at / 2 * ld), rest, count - head, ld, n, true, true);
    else if (p->pairs)
        pack_values(halves + 2 * (start + at / 2 * ld), rest, count - head, ld, n, true, false);
    else if (bf16)
        pack_values(values + start + at * ld, rest, count, ld, n, false, true);
    else
        pack_values(values + start + at * ld, rest, count, ld, n, false, false);
}

/* Y of the lines [line, line + lines) of X, shifted by every tap; 0 where a tap meets no Y. */
static void pack_y(const swg__call *call, const layout *l, panels *p, int64_t line, int64_t lines) {
    const swg__conv *c = &l->c;
    const bool bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16;
    memset(p->data, 0, (size_t)l->packed * 4);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t t = 0; t < c->kernel[1] * c->kernel[2]; t++) {
            int64_t ty = t / c->kernel[2], tx = t % c->kernel[2], plane = (line + i) / c->in[1], first, end;
            int64_t y = (line + i) % c->in[1] + c->before[1] - ty * c->dilation[1];
            swg__conv_valid(c, 2, tx, &first, &end);
            if (y < 0 || y >= c->out[1])
                continue;
            int64_t from = ((plane * c->out[1] + y) * c->out[2] + first) * c->out_channels, at = i * c->in[2] + first + tx * c->dilation[2] - c->before[2];
            for (int64_t o = 0; o < c->out_channels; o++)
                pack_column(p, (const char *)call->in[1] + (from + o) * (bf16 ? 2 : 4), bf16, c->out_channels, end - first, at,
                            t * c->out_channels + o);
        }
}

static void narrow_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    const int64_t ic = c->in_channels;
    (void)worker;
    for (int64_t share = begin; share < end; share++) {
        float *sums = (float *)((char *)call->scratch + share * l->area_bytes), *y = sums + l->sums;
        uint32_t *words = (uint32_t *)(y + l->packed);
        int64_t stop = l->lines * (share + 1) / l->shares, lines;
        memset(sums, 0, (size_t)l->sums * sizeof *sums);
        for (int64_t line = l->lines * share / l->shares; line < stop; line += lines) {
            lines = swg__min64(l->block_lines, stop - line);
            const int64_t positions = lines * c->in[2], depth = swg__ceil_div(positions, l->pairs ? 2 : 1);
            const char *x = (const char *)call->in[0] + line * c->in[2] * ic * (l->pairs ? 2 : 4);
            panels p = {.data = y, .nr = call->isa->nr, .vl = call->isa->vl, .wide = l->wide, .depth = depth, .pairs = l->pairs};
            pack_y(call, l, &p, line, lines);
            swg__gemm gemm = {.m = ic, .n = l->wide, .k = positions, .a = x, .row_stride = 1, .k_stride = ic, .b = y, .c = sums, .ldc = l->wide,
                              .accumulate = true};
            if (l->pairs) {
                call->isa->pair_rows(words, l->x_pitch, x, x + ic * 2, true, 2 * ic, positions / 2, ic);
                if (positions % 2)
                    call->isa->pair_rows(words + positions / 2 * l->x_pitch, l->x_pitch, x + (positions - 1) * ic * 2, NULL, true, 0, 1, ic);
                gemm.a = words;
                gemm.k_stride = l->x_pitch;
                gemm.k = 2 * depth;
            }
            (l->pairs ? call->isa->gemm_bf16 : call->isa->gemm)(&gemm, 0, ic);
        }
    }
}

static void narrow_finish(const swg__call *call) {
    const layout *l = call->layout;
    const int64_t n = l->c.out_channels, taps = l->c.taps, ic = l->c.in_channels;
    float *total = call->scratch;
    for (int64_t share = 1; share < l->shares; share++) {
        const float *sums = (const float *)((const char *)call->scratch + share * l->area_bytes);
        for (int64_t i = 0; i < l->sums; i++)
            total[i] += sums[i];
    }
    for (int64_t i = 0; i < ic; i++)
        for (int64_t j = 0; j < l->columns; j++)
            swg__store(call->out, (swg_dtype)call->node->dtype, (j % n * ic + i) * taps + j / n, (double)total[i * l->wide + j]);
}

const swg__kernel swg__kernel_conv_narrow_weights = {.name = "narrow conv_weights", .bf16 = true, .units = narrow_units, .grain = narrow_grain,
                                                     .run = narrow_run, .finish = narrow_finish, .scratch = narrow_scratch,
                                                     .prepare = narrow_prepare};
