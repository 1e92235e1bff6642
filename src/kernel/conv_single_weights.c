/* conv_single_weights.c - the gradient of the weights of a convolution of one channel, stride 1 along x: all taps are the rows of one product with Y, where a
 * tile of each tap alone would have a single row. In: X and Y channels-last. Out: (O, 1, taps).
 *
 * Lines of Y are split into shares. A share walks them in blocks that stay in the second cache, and copies X once per tap: a row for each, shifted, 0
 * where it meets no X. Sums of shares are added in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { SHARES = 16, BLOCK_BYTES = 128 << 10, CACHE_LINE = 64, TAPS_MOST = 128, LINE_MOST = 1024 };

typedef struct layout {
    swg__conv c;
    bool pairs, in_place;                   /* X is bf16; Y is read where it lies */
    int64_t lines, block_lines, shares;     /* of Y, all samples together; in a block, at most */
    int64_t size, pitch;                    /* bytes of an element of X; elements from one row to the next: an odd number of lines of the cache */
    int64_t sums, x_bytes, y_words, area_bytes; /* floats; one block; all of a share's memory */
} layout;

bool swg__conv_is_single(const swg_graph *g, const swg__node *n) {
    if (n->op != SWG__CONV_WEIGHTS)
        return false;
    const swg__conv c = swg__conv_of(g, n);
    return c.in_channels == 1 && c.stride[2] == 1 && c.taps > 1 && c.taps <= TAPS_MOST && c.out[2] <= LINE_MOST;
}

static layout layout_of(const swg__call *call) {
    layout l = {.c = swg__conv_of(call->g, call->node), .pairs = call->g->nodes[call->node->in[0]].dtype == SWG_BF16};
    const swg__conv *c = &l.c;
    const int64_t rest = c->out_channels % call->isa->nr;
    l.size = l.pairs ? 2 : 4;
    l.in_place = !l.pairs && (rest == 0 || rest == call->isa->vl);
    l.lines = c->batch * c->out[0] * c->out[1];
    l.shares = swg__min64(SHARES, l.lines);
    const int64_t fit = BLOCK_BYTES / (c->taps * c->out[2] * l.size);
    l.block_lines = fit < 1 ? 1 : swg__min64(fit, swg__ceil_div(l.lines, l.shares));
    const int64_t positions = l.block_lines * c->out[2] + (l.pairs ? 1 : 0);
    l.pitch = (swg__ceil_div(positions * l.size, CACHE_LINE) | 1) * CACHE_LINE / l.size;
    l.sums = swg__ceil_div(c->taps * c->out_channels, 16) * 16;
    l.x_bytes = c->taps * l.pitch * l.size;
    l.y_words = l.in_place ? 0 : swg__ceil_div(c->out_channels, call->isa->nr) * call->isa->nr * (l.pairs ? swg__ceil_div(positions, 2) : positions);
    l.area_bytes = swg__ceil_div(4 * l.sums + l.x_bytes + 4 * l.y_words, CACHE_LINE) * CACHE_LINE;
    return l;
}

static const void *single_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (l)
        *l = layout_of(call);
    return l;
}

/* ---- a unit is a share ---- */

static int64_t single_units(const swg__call *call) { return ((const layout *)call->layout)->shares; }

static int64_t single_grain(const swg__call *call) {
    (void)call;
    return 1;
}

static int64_t single_scratch(const swg__call *call, bool *per_worker) {
    const layout l = layout_of(call);
    *per_worker = false;
    return l.area_bytes * l.shares;
}

/* What tap (tz, ty, .) reads for line `line` of Y: a line of X, or NULL. */
static const char *line_of_x(const swg__call *call, const layout *l, int64_t line, int64_t tz, int64_t ty) {
    const swg__conv *c = &l->c;
    const int64_t y = line % c->out[1], z = line / c->out[1] % c->out[0], n = line / c->out[1] / c->out[0];
    const int64_t qz = z * c->stride[0] + tz * c->dilation[0] - c->before[0], qy = y * c->stride[1] + ty * c->dilation[1] - c->before[1];
    bool inside = qz >= 0 && qz < c->in[0] && qy >= 0 && qy < c->in[1];
    return inside ? (const char *)call->in[0] + ((n * c->in[0] + qz) * c->in[1] + qy) * c->in[2] * l->size : NULL;
}

/* X of `lines` lines of Y from `line` on, a row per tap; in pairs of positions the last one may be half empty. */
static void copy_x(const swg__call *call, const layout *l, int64_t line, int64_t lines, char *to) {
    const swg__conv *c = &l->c;
    const int64_t width = c->out[2];
    const size_t size = (size_t)l->size;
    for (int64_t tap = 0; tap < c->taps; tap++, to += l->pitch * l->size) {
        const int64_t tx = tap % c->kernel[2], ty = tap / c->kernel[2] % c->kernel[1], tz = tap / c->kernel[2] / c->kernel[1];
        int64_t first, end;
        swg__conv_valid(c, 2, tx, &first, &end);
        end = end > first ? end : first;
        char *at = to;
        for (int64_t i = 0; i < lines; i++, at += width * l->size) {
            const char *x = end > first ? line_of_x(call, l, line + i, tz, ty) : NULL;
            if (!x) {
                memset(at, 0, (size_t)width * size);
                continue;
            }
            memset(at, 0, (size_t)first * size);
            memcpy(at + first * l->size, x + (first + tx * c->dilation[2] - c->before[2]) * l->size, (size_t)(end - first) * size);
            memset(at + end * l->size, 0, (size_t)(width - end) * size);
        }
        if (l->pairs && lines * width % 2)
            memset(at, 0, size);
    }
}

/* Panels of the second operand. Columns that a panel has too many are 0 from the start. */
static void pack_y(const swg__call *call, const layout *l, const char *y, int64_t positions, uint32_t *words) {
    const int64_t oc = l->c.out_channels, nr = call->isa->nr, depth = swg__ceil_div(positions, 2);
    const bool bf16 = call->g->nodes[call->node->in[1]].dtype == SWG_BF16;
    const int64_t size = bf16 ? 2 : 4;
    if (!l->pairs) {
        call->isa->pack((float *)words, (const float *)y, oc, 1, positions, oc, 0, swg__ceil_div(oc, nr));
        return;
    }
    for (int64_t o = 0; o < oc; o += nr) {
        const int64_t columns = swg__min64(nr, oc - o), ld = columns > call->isa->vl ? nr : call->isa->vl;
        uint32_t *to = words + o * depth;
        call->isa->pair_rows(to, ld, y + o * size, y + (oc + o) * size, bf16, 2 * oc, positions / 2, columns);
        if (positions % 2)
            call->isa->pair_rows(to + (depth - 1) * ld, ld, y + ((positions - 1) * oc + o) * size, NULL, bf16, 0, 1, columns);
    }
}

static void single_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    const swg__conv *c = &l->c;
    const int64_t oc = c->out_channels, line_bytes = c->out[2] * oc * (call->g->nodes[call->node->in[1]].dtype == SWG_BF16 ? 2 : 4);
    (void)worker;
    for (int64_t share = begin; share < end; share++) {
        float *sums = (float *)((char *)call->scratch + share * l->area_bytes);
        char *x = (char *)(sums + l->sums);
        uint32_t *words = (uint32_t *)(x + l->x_bytes);
        const int64_t stop = l->lines * (share + 1) / l->shares;
        int64_t lines;
        memset(sums, 0, (size_t)l->sums * sizeof *sums);
        memset(words, 0, (size_t)l->y_words * sizeof *words);
        for (int64_t line = l->lines * share / l->shares; line < stop; line += lines) {
            lines = swg__min64(l->block_lines, stop - line);
            const int64_t positions = lines * c->out[2];
            const char *y = (const char *)call->in[1] + line * line_bytes;
            copy_x(call, l, line, lines, x);
            if (!l->in_place)
                pack_y(call, l, y, positions, words);
            const swg__gemm gemm = {.m = c->taps, .n = oc, .k = l->pairs ? positions + positions % 2 : positions, .a = x, .row_stride = l->pitch, .k_stride = 1,
                                    .b = l->in_place ? (const float *)(const void *)y : (const float *)words, .ldb = l->in_place ? oc : 0, .c = sums, .ldc = oc,
                                    .accumulate = true};
            (l->pairs ? call->isa->gemm_bf16 : call->isa->gemm)(&gemm, 0, c->taps);
        }
    }
}

static void single_finish(const swg__call *call) {
    const layout *l = call->layout;
    const int64_t taps = l->c.taps, oc = l->c.out_channels;
    float *total = call->scratch;
    for (int64_t share = 1; share < l->shares; share++) {
        const float *sums = (const float *)((const char *)call->scratch + share * l->area_bytes);
        for (int64_t i = 0; i < taps * oc; i++)
            total[i] += sums[i];
    }
    for (int64_t o = 0; o < oc; o++)
        for (int64_t t = 0; t < taps; t++)
            swg__store(call->out, (swg_dtype)call->node->dtype, o * taps + t, (double)total[t * oc + o]);
}

const swg__kernel swg__kernel_conv_single_weights = {.name = "single conv_weights", .bf16 = true, .units = single_units, .grain = single_grain,
                                                     .run = single_run, .finish = single_finish, .scratch = single_scratch, .prepare = single_prepare};
