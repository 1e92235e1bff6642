/* conv_narrow.c - a convolution to a few channels. Columns of one tap would leave most of a vector empty, so those of all taps stand side by side:
 * a line of X becomes one product P (positions, taps * channels), whose parts are then added where they belong.
 * In: X channels-last, weights (O, I, taps). Out: Y. Lines of P that several lines of Y need wait in a ring.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "ir/conv.h"
#include "kernel/kernel.h"

enum { MOST_CHANNELS = 4, LEAST_TAPS = 5, LEAST_DEPTH = 32, HALOS = 8, LEAST_HALOS = 3, SPANS = 16, CACHE_LINE = 64 };

typedef struct layout {
    swg__conv c;
    bool pairs;                 /* X is bf16 */
    int64_t depth;              /* rows of packed weights: channels of X, or pairs of them */
    int64_t columns, wide;      /* taps * channels of Y, filled up to whole vectors */
    int64_t ring;               /* lines of P */
    int64_t worker_bytes;
} layout;

bool swg__conv_is_narrow(const swg_graph *g, const swg__node *n) {
    if (n->op != SWG__CONV && n->op != SWG__CONV_WEIGHTS)
        return false;
    const swg__conv c = swg__conv_of(g, n);
    return c.groups == 1 && c.out_channels <= MOST_CHANNELS && c.taps >= LEAST_TAPS && c.in_channels >= LEAST_DEPTH && c.kernel[0] == 1 &&
           c.before[0] == 0 && c.in[0] == c.out[0] && c.stride[0] == 1 && c.stride[1] == 1 && c.stride[2] == 1;
}

static layout layout_of(const swg_graph *g, const swg__node *n, const swg__isa_table *isa) {
    layout l = {.c = swg__conv_of(g, n), .pairs = g->nodes[n->in[0]].dtype == SWG_BF16};
    l.depth = l.pairs ? (l.c.in_channels + 1) / 2 : l.c.in_channels;
    l.columns = l.c.taps * l.c.out_channels;
    l.wide = swg__ceil_div(l.columns, isa->vl) * isa->vl;
    l.ring = (l.c.kernel[1] - 1) * l.c.dilation[1] + 1;
    l.worker_bytes = l.ring * (int64_t)sizeof(int64_t) + (l.ring * l.c.in[2] * l.wide + l.c.out[2] * l.c.out_channels) * (int64_t)sizeof(float);
    return l;
}

static const void *narrow_prepare(swg__arena *arena, const swg__call *call) {
    layout *l = swg__arena_alloc(arena, sizeof *l);
    if (l)
        *l = layout_of(call->g, call->node, call->isa);
    return l;
}

/* ---- packing: one unit ---- */

static int64_t pack_bytes(const swg_graph *g, const swg__node *n, const swg__isa_table *isa) {
    layout l = layout_of(g, n, isa);
    return l.depth * swg__ceil_div(l.wide, isa->nr) * isa->nr * 4;
}

static int64_t one(const swg__call *call) {
    (void)call;
    return 1;
}

/* Weight of input channel i in column j, which is tap * channels + channel. */
static float weight_at(const swg__call *call, const layout *l, int64_t i, int64_t j) {
    const swg__node *w = &call->g->nodes[call->node->in[1]];
    if (i >= l->c.in_channels || j >= l->columns)
        return 0;
    int64_t at = (j % l->c.out_channels * l->c.in_channels + i) * l->c.taps + j / l->c.out_channels;
    return w->dtype == SWG_BF16 ? swg__f32_of_bf16(((const swg__bf16 *)call->in[1])[at]) : ((const float *)call->in[1])[at];
}

static void pack_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout l = layout_of(call->g, call->node, call->isa);
    const int64_t nr = call->isa->nr, vl = call->isa->vl;
    (void)begin, (void)end, (void)worker;
    for (int64_t column = 0; column < l.wide; column += nr) {
        int64_t ld = l.wide - column > vl ? nr : vl;
        for (int64_t i = 0; i < l.depth; i++)
            for (int64_t j = 0; j < ld; j++) {
                int64_t at = column * l.depth + i * ld + j;
                if (l.pairs)
                    ((uint32_t *)call->out)[at] = (uint32_t)swg__bf16_of(weight_at(call, &l, 2 * i, column + j)) |
                                                  (uint32_t)swg__bf16_of(weight_at(call, &l, 2 * i + 1, column + j)) << 16;
                else
                    ((float *)call->out)[at] = weight_at(call, &l, i, column + j);
            }
    }
}

static const swg__kernel pack_kernel = {.name = "pack", .units = one, .grain = one, .run = pack_run};

/* ---- product: a unit is a line of Y ---- */

static int64_t narrow_units(const swg__call *call) {
    const swg__conv *c = &((const layout *)call->layout)->c;
    return c->batch * c->out[0] * c->out[1];
}

/* Tasks make the lines of P at their ends once more than once. */
static int64_t narrow_grain(const swg__call *call) {
    const layout *l = call->layout;
    int64_t halo = l->ring, grain = narrow_units(call) / SPANS;
    grain = grain < LEAST_HALOS * halo ? LEAST_HALOS * halo : grain;
    return swg__min64(grain, HALOS * halo);
}

static int64_t narrow_scratch(const swg__call *call, bool *per_worker) {
    *per_worker = true;
    return layout_of(call->g, call->node, call->isa).worker_bytes;
}

/* Where a worker keeps what: which line of X (over all samples) each line of the ring is of, or -1; the ring; a line of Y. */
typedef struct desk { int64_t *held; float *ring, *sums; } desk;

static const float *product_of(const swg__call *call, const layout *l, const desk *d, int64_t line) {
    int64_t slot = line % l->ring;
    float *p = d->ring + slot * l->c.in[2] * l->wide;
    if (d->held[slot] == line)
        return p;
    const swg__gemm gemm = {.m = l->c.in[2], .n = l->wide, .k = l->c.in_channels, .row_stride = l->c.in_channels, .k_stride = 1, .b = call->packed,
                            .a = (const char *)call->in[0] + line * l->c.in[2] * l->c.in_channels * (l->pairs ? 2 : 4), .c = p, .ldc = l->wide};
    const int64_t rows = call->isa->mr, row_bytes = l->c.in_channels * (l->pairs ? 2 : 4);
    for (int64_t row = 0; row < gemm.m; row += rows) {
        int64_t end = swg__min64(gemm.m, row + rows);
        const char *next = (const char *)gemm.a + end * row_bytes, *stop = next + swg__min64(gemm.m - end, rows) * row_bytes;
        for (; next < stop; next += CACHE_LINE)
            __builtin_prefetch(next, 0, 2);
        (l->pairs ? call->isa->gemm_bf16 : call->isa->gemm)(&gemm, row, end);
    }
    d->held[slot] = line;
    return p;
}

static inline void add_tap(float *sums, const float *p, int64_t positions, int64_t wide, const int channels) {
    for (int64_t x = 0; x < positions; x++, sums += channels, p += wide)
        for (int o = 0; o < channels; o++)
            sums[o] += p[o];
}

static void sum_line(const swg__call *call, const layout *l, const desk *d, int64_t sample, int64_t y) {
    const swg__conv *c = &l->c;
    memset(d->sums, 0, (size_t)(c->out[2] * c->out_channels) * sizeof *d->sums);
    for (int64_t ty = 0; ty < c->kernel[1]; ty++) {
        int64_t from = y + ty * c->dilation[1] - c->before[1], first, end;
        if (from < 0 || from >= c->in[1])
            continue;
        const float *p = product_of(call, l, d, sample * c->in[1] + from);
        for (int64_t tx = 0; tx < c->kernel[2]; tx++) {
            swg__conv_valid(c, 2, tx, &first, &end);
            const float *part = p + (first + tx * c->dilation[2] - c->before[2]) * l->wide + (ty * c->kernel[2] + tx) * c->out_channels;
            float *to = d->sums + first * c->out_channels;
            switch (c->out_channels) {
            case 1: add_tap(to, part, end - first, l->wide, 1); break;
            case 2: add_tap(to, part, end - first, l->wide, 2); break;
            case 3: add_tap(to, part, end - first, l->wide, 3); break;
            default: add_tap(to, part, end - first, l->wide, 4); break;
            }
        }
    }
}

/* Bias, ReLU and gate as of other convolutions; f32 or bf16. */
static void write_line(const swg__call *call, const layout *l, const float *sums, int64_t line) {
    const swg__attr *attr = &call->node->attr;
    const int64_t n = l->c.out_channels, count = l->c.out[2] * n, at = line * count;
    const float *bias = attr->bias ? call->in[2] : NULL;
    const int gate = attr->gate ? 2 + attr->bias : 0;
    const swg_dtype gate_type = gate ? (swg_dtype)call->g->nodes[call->node->in[gate]].dtype : SWG_F32, type = (swg_dtype)call->node->dtype;
    for (int64_t i = 0; i < count; i++) {
        float x = sums[i];
        if (bias)
            x += bias[i % n];
        if (attr->relu)
            x = x <= 0 ? 0 : x; /* NaN stays */
        if (gate)
            x = swg__load(call->in[gate], gate_type, at + i) > 0 ? x : 0;
        swg__store(call->out, type, at + i, (double)x);
    }
}

static void narrow_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    const layout *l = call->layout;
    desk d = {.held = (int64_t *)((char *)call->scratch + worker * call->worker_bytes)};
    d.ring = (float *)(d.held + l->ring);
    d.sums = d.ring + l->ring * l->c.in[2] * l->wide;
    for (int64_t i = 0; i < l->ring; i++)
        d.held[i] = -1;
    for (int64_t line = begin; line < end; line++) {
        sum_line(call, l, &d, line / l->c.out[1], line % l->c.out[1]);
        write_line(call, l, d.sums, line);
    }
}

const swg__kernel swg__kernel_conv_narrow = {.name = "narrow conv", .bf16 = true, .units = narrow_units, .grain = narrow_grain, .run = narrow_run,
                                             .scratch = narrow_scratch, .prepare = narrow_prepare, .pack = &pack_kernel, .pack_bytes = pack_bytes};
