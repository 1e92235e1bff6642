/* attention.c - scaled dot-product attention and its gradients, tile by tile of scores; inner products by the contraction tile.
 * In: q, k, v and an additive mask. Out: per row its result and log-sum; gradients. No n x m matrix: a worker's scratch is a few tiles.
 * Tiles lie at multiples of their extents and sums run in one order, so bits do not depend on threads.
 * If q is bf16, all products are of bf16: k and v are bf16 too, or are rounded when they are packed, as probabilities and slopes are.
 * Scores, softmax, log-sums, y, gradients and the mask are f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "ir/attention.h"
#include "kernel/kernel.h"

/* A tile of scores fits the first cache. Packing keys costs about as much as a few rows' products: BLOCK rows share it. Up to SPREAD keys that
 * are left over, as the one of a class token, widen the tiles before them: a tile of few keys costs as much around its products as a full one. */
enum { ROWS = 48, KEYS = 128, SPREAD = 32, BLOCK = 192 };

static int64_t at(swg__heads t, int64_t b, int64_t h, int64_t i) { return b * t.batch + h * t.head + i * t.row; }
static int64_t lse_at(const swg__attention *a, int64_t b, int64_t h, int64_t i) {
    return b * a->y.batch + h * a->lse_head + i * a->y.row + a->lse_first;
}

/* Columns of packed panels that hold n. */
static int64_t padded(const swg__isa_table *isa, int64_t n) { return swg__ceil_div(n, isa->nr) * isa->nr; }

/* Of a tile, but the last one; and from row to row of its scores, so that vectors of a row meet no border of cache lines. */
static int64_t keys_of(const swg__attention *a) {
    const int64_t tiles = a->m / KEYS, rest = a->m % KEYS;
    return tiles && rest && rest <= SPREAD ? swg__min64(swg__ceil_div(swg__ceil_div(a->m, tiles), 16) * 16, a->m) : swg__min64(KEYS, a->m);
}
static int64_t stride_of(const swg__attention *a) { return swg__ceil_div(keys_of(a), 16) * 16; }
static int64_t rows_of(const swg__attention *a) { return swg__min64(ROWS, a->n); }

/* Input `i` from an element on. */
typedef struct input { const void *p; bool bf16; } input;
static input input_at(const swg__call *call, int i, int64_t element) {
    bool bf16 = call->g->nodes[call->node->in[i]].dtype == SWG_BF16;
    return (input){(const char *)call->in[i] + element * (bf16 ? 2 : 4), bf16};
}
static bool in_pairs(const swg__call *call) { return call->g->nodes[call->node->in[0]].dtype == SWG_BF16; }

/* A second operand: packed (ldb 0), or whole vectors of columns read where they lie. */
typedef struct operand { const float *b; int64_t ldb; } operand;
static operand pack(const swg__call *call, float *to, input b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n) {
    const swg__isa_table *isa = call->isa;
    if (in_pairs(call))
        isa->pack_bf16((uint32_t *)to, b.p, b.bf16, row_stride, column_stride, k, n, 0, swg__ceil_div(n, isa->nr));
    else
        isa->pack(to, b.p, row_stride, column_stride, k, n, 0, swg__ceil_div(n, isa->nr));
    return (operand){to, 0};
}
static operand rows_as_operand(const swg__call *call, float *to, input b, int64_t stride, int64_t k, int64_t n) {
    if (!in_pairs(call) && (n % call->isa->nr == 0 || n == call->isa->vl))
        return (operand){b.p, stride};
    return pack(call, to, b, stride, 1, k, n);
}

/* c (m, n) = or += a b. */
typedef struct matrix { float *p; int64_t stride; } matrix;
static void multiply(const swg__call *call, matrix c, const void *a, int64_t a_row, int64_t a_k, operand b, int64_t m, int64_t n, int64_t k,
                     bool accumulate) {
    swg__gemm gemm = {.m = m, .n = n, .k = k, .a = a, .row_stride = a_row, .k_stride = a_k, .b = b.b, .ldb = b.ldb, .c = c.p,
                      .ldc = c.stride, .accumulate = accumulate};
    (in_pairs(call) ? call->isa->gemm_bf16 : call->isa->gemm)(&gemm, 0, m);
}

/* Room for an f32 tile as bf16, in floats: rows one after the other, or words of two rows. */
static int64_t half_tile(const swg__call *call, int64_t rows, int64_t columns) {
    return in_pairs(call) ? (rows + 1) / 2 * (columns + 1) : 0;
}

/* The same with an f32 tile a (m, k) in scratch; `half`: room for it in bf16. */
static void multiply_tile(const swg__call *call, matrix c, const float *a, int64_t stride, float *half, operand b, int64_t m, int64_t n,
                          int64_t k, bool accumulate) {
    if (!in_pairs(call)) {
        multiply(call, c, a, stride, 1, b, m, n, k, accumulate);
        return;
    }
    swg__bf16 *rounded = (swg__bf16 *)half;
    for (int64_t r = 0; r < m; r++)
        call->isa->round_bf16(rounded + r * k, a + r * stride, k);
    multiply(call, c, rounded, k, 1, b, m, n, k, accumulate);
}

/* And with its transpose, a (k, m). */
static void multiply_turned(const swg__call *call, matrix c, const float *a, int64_t stride, float *half, operand b, int64_t m, int64_t n,
                            int64_t k, bool accumulate) {
    if (!in_pairs(call)) {
        multiply(call, c, a, 1, stride, b, m, n, k, accumulate);
        return;
    }
    uint32_t *words = (uint32_t *)half;
    int64_t ld = m + (m & 1); /* never 1, which would mean plain rows */
    call->isa->pair_rows(words, ld, a, a + stride, false, 2 * stride, k / 2, m);
    if (k & 1)
        call->isa->pair_rows(words + k / 2 * ld, ld, a + (k - 1) * stride, NULL, false, 0, 1, m);
    multiply(call, c, words, 1, ld, b, m, n, k, accumulate);
}

static swg__scores scores_of(const swg__attention *a, float *s, const float *mask, int64_t b, int64_t h, int64_t i, int64_t j, int64_t rows,
                             int64_t columns) {
    return (swg__scores){.s = s, .rows = rows, .columns = columns, .stride = stride_of(a), .scale = (float)a->scale,
                         .mask = mask ? mask + at(a->mask, b, h, i) + j : NULL, .mask_stride = a->mask.row};
}

static int64_t one(const swg__call *call) { return (void)call, 1; }

/* ---- heads with a kernel of their own: a unit is a block of rows of the heads that stand side by side, or of one ---- */

enum { NARROW_BLOCK = 512, NARROW_SMALL = 128, NARROW_MASKED = 64, NARROW_UNITS = 16, NARROW_ALIGN = 16, NARROW_MASK = 1 << 16 };
enum { FETCH_LINE = 64, FETCH_BYTES = 1 << 18 };

/* Heads apart lie head by head, also where each has a single query. */
static int64_t narrow_heads(const swg__attention *a) { return a->q.row == a->heads * a->d ? a->heads : 1; }

/* Blocks share packed keys. A block of a mask is turned, in memory that grows with m; and there should be some units for threads. */
static int64_t narrow_blocks(const swg__attention *a) {
    bool few = a->batch * (a->heads / narrow_heads(a)) < NARROW_UNITS;
    return swg__ceil_div(a->n, a->mask.row ? NARROW_MASKED : few ? NARROW_SMALL : NARROW_BLOCK);
}
static int64_t narrow_rows(const swg__attention *a) {
    return swg__ceil_div(swg__ceil_div(a->n, narrow_blocks(a)), NARROW_ALIGN) * NARROW_ALIGN;
}
static int64_t narrow_floats(const swg__attention *a) {
    int64_t columns = narrow_heads(a) * (2 * a->d + 1) + (a->mask.row ? a->m : 0);
    return columns * narrow_rows(a) + 2 * (a->m + 1) * a->d + narrow_heads(a) * a->d;
}

/* Of columns of `stride`, those behind the `rows` that are filled; no lane may depend on what lay there. */
static void clear_behind(float *x, int64_t columns, int64_t stride, int64_t rows) {
    for (int64_t c = 0; c < columns && rows < stride; c++)
        memset(x + c * stride + rows, 0, (size_t)(stride - rows) * sizeof *x);
}

/* The queries of a block, turned; `spare`: as much room. */
static void turn_queries(const swg__call *call, float *to, float *spare, input q, int64_t row, int64_t columns, int64_t stride, int64_t rows, bool words) {
    if (words)
        call->isa->turn(to, stride, q.p, row / 2, columns /= 2, rows);
    else if (!q.bf16)
        call->isa->turn(to, stride, q.p, row, columns, rows);
    else {
        call->isa->turn_bf16((swg__bf16 *)spare, stride, q.p, row, columns, rows);
        call->isa->widen(to, (swg__bf16 *)spare, columns * stride);
    }
    clear_behind(to, columns, stride, rows);
}

/* What the unit behind this one reads is fetched while this one computes, a share with each head, if it leaves this one its second cache. */
typedef struct narrow_place { int64_t b, head, first; } narrow_place;

static void fetch_rows(const swg__call *call, int i, int64_t element, int64_t row, int64_t columns, int64_t begin, int64_t end) {
    const input x = input_at(call, i, element);
    const int64_t size = x.bf16 ? 2 : 4;
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < columns * size; c += FETCH_LINE)
            __builtin_prefetch((const char *)x.p + r * row * size + c, 0, 2);
}
static void fetch_share(const swg__call *call, const swg__attention *a, const narrow_place *to, int64_t share, int64_t shares) {
    const int64_t rows = swg__min64(narrow_rows(a), a->n - to->first), columns = narrow_heads(a) * a->d;
    if ((rows + 2 * a->m) * columns * (int64_t)sizeof(float) > FETCH_BYTES)
        return;
    fetch_rows(call, 0, at(a->q, to->b, to->head, to->first), a->q.row, columns, rows * share / shares, rows * (share + 1) / shares);
    fetch_rows(call, 1, at(a->k, to->b, to->head, 0), a->k.row, columns, a->m * share / shares, a->m * (share + 1) / shares);
    fetch_rows(call, 2, at(a->v, to->b, to->head, 0), a->v.row, columns, a->m * share / shares, a->m * (share + 1) / shares);
}

static void narrow_unit(const swg__call *call, const swg__attention *a, narrow_place place, const narrow_place *next, float *scratch) {
    const int64_t b = place.b, first_head = place.head, first = place.first;
    const swg__isa_table *isa = call->isa;
    const int64_t heads = narrow_heads(a), stride = narrow_rows(a), rows = swg__min64(stride, a->n - first), columns = heads * a->d;
    const bool words = in_pairs(call) && isa->peak_bf16;
    float *q = scratch, *y = q + columns * stride, *lse = y + columns * stride, *k = lse + heads * stride, *v = k + (a->m + 1) * a->d;
    float *most = v + (a->m + 1) * a->d, *turned = most + columns;
    turn_queries(call, q, y, input_at(call, 0, at(a->q, b, first_head, first)), a->q.row, columns, stride, rows, words);
    const input all_keys = input_at(call, 1, at(a->k, b, first_head, 0));
    isa->attention_narrow_most(most, all_keys.p, all_keys.bf16, a->k.row, a->m, columns);
    for (int64_t i = 0; i < heads; i++) {
        const int64_t h = first_head + i;
        if (next)
            fetch_share(call, a, next, i, heads);
        const float *mask = a->masked ? (const float *)call->in[3] + at(a->mask, b, h, first) : NULL;
        input keys = input_at(call, 1, at(a->k, b, h, 0)), values = input_at(call, 2, at(a->v, b, h, 0));
        if (a->mask.row && (i == 0 || a->mask.head)) {
            isa->turn(turned, stride, mask, a->mask.row, a->m, rows);
            clear_behind(turned, a->m, stride, rows);
        }
        isa->attention_narrow_pack(&(swg__narrow_keys){.k = keys.p, .v = values.p, .half = keys.bf16, .round = in_pairs(call), .words = words,
                                   .k_row = a->k.row, .v_row = a->v.row, .keys = a->m, .d = (int)a->d, .packed_k = k, .packed_v = v});
        isa->attention_narrow(&(swg__narrow){.q = q + i * (words ? a->d / 2 : a->d) * stride, .k = k, .v = v, .most = most + i * a->d,
                              .mask = a->mask.row ? turned : mask, .mask_turned = a->mask.row != 0, .y = y + i * a->d * stride,
                              .lse = a->lse ? lse + i * stride : NULL, .stride = stride, .keys = a->m, .d = (int)a->d, .words = words, .scale = (float)a->scale});
    }
    const int64_t out = at(a->y, b, first_head, first);
    if (call->node->dtype == SWG_BF16) {
        isa->round_bf16((swg__bf16 *)q, y, columns * stride);
        isa->turn_bf16((swg__bf16 *)call->out + out, a->y.row, (swg__bf16 *)q, stride, rows, columns);
    } else {
        isa->turn((float *)call->out + out, a->y.row, y, stride, rows, columns + (a->lse ? heads : 0));
    }
}

static void narrow_run(const swg__call *call, const swg__attention *a, int64_t begin, int64_t end, float *scratch) {
    const int64_t blocks = narrow_blocks(a), heads = narrow_heads(a), groups = a->heads / heads;
    narrow_place at[2];
    for (int64_t unit = begin; unit <= end; unit++) {
        at[unit % 2] = (narrow_place){unit / blocks / groups, unit / blocks % groups * heads, unit % blocks * narrow_rows(a)};
        const narrow_place *here = &at[(unit + 1) % 2], *next = unit < end && at[unit % 2].first < a->n ? &at[unit % 2] : NULL;
        if (unit > begin && here->first < a->n)
            narrow_unit(call, a, *here, next, scratch);
    }
}

/* ---- forward: a unit is a block of rows of one head ---- */

static int64_t forward_units(const swg__call *call) {
    swg__attention a = swg__attention_of(call->g, call->node);
    if (swg__attention_is_narrow(call->g, call->node))
        return a.batch * (a.heads / narrow_heads(&a)) * narrow_blocks(&a);
    return a.batch * a.heads * swg__ceil_div(a.n, BLOCK);
}

static int64_t forward_scratch(const swg__call *call, bool *per_worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    int64_t keys = keys_of(&a);
    *per_worker = true;
    if (swg__attention_is_narrow(call->g, call->node))
        return narrow_floats(&a) * (int64_t)sizeof(float);
    return (a.d * padded(call->isa, keys) + keys * padded(call->isa, a.dv) + rows_of(&a) * stride_of(&a) + 2 * BLOCK + ROWS +
            half_tile(call, rows_of(&a), keys)) * (int64_t)sizeof(float);
}

static void forward_unit(const swg__call *call, const swg__attention *a, int64_t b, int64_t h, int64_t first, float *scratch) {
    const swg__isa_table *isa = call->isa;
    const float *mask = a->masked ? call->in[3] : NULL;
    float *out = call->out, *kt = scratch, *vs = kt + a->d * padded(isa, keys_of(a)), *s = vs + keys_of(a) * padded(isa, a->dv);
    float *most = s + rows_of(a) * stride_of(a), *sum = most + BLOCK, *keep = sum + BLOCK, *half = keep + ROWS;
    int64_t rows = swg__min64(BLOCK, a->n - first);
    for (int64_t r = 0; r < rows; r++) {
        most[r] = -INFINITY;
        sum[r] = 0;
    }
    for (int64_t j = 0; j < a->m; j += keys_of(a)) {
        int64_t keys = swg__min64(keys_of(a), a->m - j);
        operand key = pack(call, kt, input_at(call, 1, at(a->k, b, h, j)), 1, a->k.row, a->d, keys);
        operand values = rows_as_operand(call, vs, input_at(call, 2, at(a->v, b, h, j)), a->v.row, keys, a->dv);
        for (int64_t r = 0; r < rows; r += ROWS) {
            int64_t i = first + r, height = swg__min64(ROWS, rows - r);
            multiply(call, (matrix){s, stride_of(a)}, input_at(call, 0, at(a->q, b, h, i)).p, a->q.row, 1, key, height, keys, a->d, false);
            swg__scores t = scores_of(a, s, mask, b, h, i, j, height, keys);
            isa->attention_softmax(&t, most + r, sum + r, keep);
            matrix y = {out + at(a->y, b, h, i), a->y.row};
            for (int64_t x = 0; x < height && j > 0; x++)
                for (int64_t c = 0; c < a->dv && keep[x] != 1; c++)
                    y.p[x * y.stride + c] *= keep[x];
            multiply_tile(call, y, s, stride_of(a), half, values, height, a->dv, keys, j > 0);
        }
    }
    isa->attention_means(out + at(a->y, b, h, first), a->lse ? out + lse_at(a, b, h, first) : NULL, a->y.row, rows, a->dv, most, sum);
}

static void forward_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    int64_t blocks = swg__ceil_div(a.n, BLOCK);
    float *scratch = (float *)((char *)call->scratch + worker * call->worker_bytes);
    if (swg__attention_is_narrow(call->g, call->node)) {
        narrow_run(call, &a, begin, end, scratch);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++)
        forward_unit(call, &a, unit / blocks / a.heads, unit / blocks % a.heads, unit % blocks * BLOCK, scratch);
}

const swg__kernel swg__kernel_attention = {.bf16 = true, .name = "attention", .units = forward_units, .grain = one, .run = forward_run,
                                           .scratch = forward_scratch};

/* ---- gradients ---- */

/* What both share: a tile of probabilities and of their slopes. */
typedef struct tiles {
    float *kt, *vt;         /* keys and values of a tile, transposed and packed */
    float *p, *ds;          /* (rows, keys) */
    float *shared;          /* per row: y . dy - d lse, what softmax takes from every slope */
    float *half;            /* a tile, or a tile's rows of dy, in bf16 */
    float *end;
} tiles;

static int64_t tile_floats(const swg__call *call, const swg__attention *a) {
    int64_t keys = keys_of(a);
    return (a->d + a->dv) * padded(call->isa, keys) + 2 * rows_of(a) * stride_of(a) + ROWS + half_tile(call, rows_of(a), keys > a->dv ? keys : a->dv);
}

static tiles tiles_at(const swg__call *call, const swg__attention *a, float *scratch) {
    int64_t keys = keys_of(a), width = padded(call->isa, keys);
    float *vt = scratch + a->d * width, *p = vt + a->dv * width, *ds = p + rows_of(a) * stride_of(a), *shared = ds + rows_of(a) * stride_of(a);
    return (tiles){scratch, vt, p, ds, shared, shared + ROWS, scratch + tile_floats(call, a)};
}

static void pack_keys(const swg__call *call, const swg__attention *a, const tiles *t, int64_t b, int64_t h, int64_t j, int64_t keys) {
    pack(call, t->kt, input_at(call, 1, at(a->k, b, h, j)), 1, a->k.row, a->d, keys);
    pack(call, t->vt, input_at(call, 2, at(a->v, b, h, j)), 1, a->v.row, a->dv, keys);
}

static void probabilities(const swg__call *call, const swg__attention *a, const tiles *t, int64_t b, int64_t h, int64_t i, int64_t rows,
                          int64_t j, int64_t keys, float factor) {
    const swg__isa_table *isa = call->isa;
    const float *y = (const float *)call->in[3] + at(a->y, b, h, i);
    const float *dy = (const float *)call->in[4] + at(a->y, b, h, i), *lse = (const float *)call->in[3] + lse_at(a, b, h, i);
    bool pairs = in_pairs(call); /* the same dy as in the product below, or what should cancel would not */
    for (int64_t r = 0; r < rows; r++) {
        double sum = -(double)((const float *)call->in[4])[lse_at(a, b, h, i + r)];
        for (int64_t c = 0; c < a->dv; c++)
            sum += (double)(y[r * a->y.row + c] * (pairs ? swg__f32_of_bf16(swg__bf16_of(dy[r * a->y.row + c])) : dy[r * a->y.row + c]));
        t->shared[r] = (float)sum;
    }
    multiply(call, (matrix){t->p, stride_of(a)}, input_at(call, 0, at(a->q, b, h, i)).p, a->q.row, 1, (operand){t->kt, 0}, rows, keys, a->d, false);
    swg__scores p = scores_of(a, t->p, a->masked ? call->in[5] : NULL, b, h, i, j, rows, keys);
    isa->attention_probabilities(&p, lse, a->y.row);
    multiply_tile(call, (matrix){t->ds, stride_of(a)}, dy, a->y.row, t->half, (operand){t->vt, 0}, rows, keys, a->dv, false);
    isa->attention_slopes(t->ds, &p, t->shared, factor);
}

/* Heads of 4 and 8 columns, with no mask that would take much memory turned: a unit is the heads of a sample that stand side by side, or one where there are few samples. */
static bool is_narrow_grad(const swg__call *call, const swg__attention *a) {
    return swg__attention_is_narrow(call->g, call->node) && a->d <= 8 && (!a->mask.row || a->n <= NARROW_MASK / a->m);
}
static int64_t narrow_grad_heads(const swg__attention *a) { return a->batch < NARROW_UNITS ? 1 : narrow_heads(a); }
static int64_t narrow_grad_stride(const swg__attention *a) { return swg__ceil_div(a->n, NARROW_ALIGN) * NARROW_ALIGN; }
static int64_t narrow_grad_floats(const swg__attention *a) {
    return (narrow_grad_heads(a) * (4 * a->d + 2) + (a->mask.row ? a->m : 0)) * narrow_grad_stride(a) + 2 * a->m * a->d;
}

/* The columns of y or dy of a group of heads, then their log-sums, turned. */
static void turn_results(const swg__call *call, const swg__attention *a, float *to, const float *from, int64_t b, int64_t h, int64_t heads) {
    const int64_t stride = narrow_grad_stride(a), columns = heads * a->dv;
    call->isa->turn(to, stride, from + at(a->y, b, h, 0), a->y.row, columns, a->n);
    call->isa->turn(to + columns * stride, stride, from + lse_at(a, b, h, 0), a->y.row, heads, a->n);
    clear_behind(to, columns + heads, stride, a->n);
}

static void narrow_grad_unit(const swg__call *call, const swg__attention *a, int64_t b, int64_t first_head, float *scratch) {
    const swg__isa_table *isa = call->isa;
    const int64_t heads = narrow_grad_heads(a), stride = narrow_grad_stride(a), columns = heads * a->d, all = columns * stride;
    float *q = scratch, *dq = q + all, *y = dq + all, *dy = y + all + heads * stride, *k = dy + all + heads * stride, *v = k + a->m * a->d;
    float *turned = v + a->m * a->d, *out = (float *)call->out + b * swg__attention_grads(a);
    turn_queries(call, q, dq, input_at(call, 0, at(a->q, b, first_head, 0)), a->q.row, columns, stride, a->n, false);
    turn_results(call, a, y, call->in[3], b, first_head, heads);
    turn_results(call, a, dy, call->in[4], b, first_head, heads);
    for (int64_t i = 0; i < heads; i++) {
        const int64_t h = first_head + i, from = i * a->d * stride;
        const float *mask = a->masked ? (const float *)call->in[5] + at(a->mask, b, h, 0) : NULL;
        input keys = input_at(call, 1, at(a->k, b, h, 0)), values = input_at(call, 2, at(a->v, b, h, 0));
        if (a->mask.row && (i == 0 || a->mask.head)) {
            isa->turn(turned, stride, mask, a->mask.row, a->m, a->n);
            clear_behind(turned, a->m, stride, a->n);
        }
        isa->attention_narrow_pack(&(swg__narrow_keys){.k = keys.p, .v = values.p, .half = keys.bf16, .round = in_pairs(call), .k_row = a->k.row,
                                   .v_row = a->v.row, .keys = a->m, .d = (int)a->d, .packed_k = k, .packed_v = v});
        isa->attention_narrow_grad(&(swg__narrow_grad){.q = q + from, .y = y + from, .dy = dy + from, .lse = y + all + i * stride,
                                   .dlse = dy + all + i * stride, .k = k, .v = v, .mask = a->mask.row ? turned : mask,
                                   .mask_turned = a->mask.row != 0, .dq = dq + from, .dk = out + swg__attention_k_first(a) + h * a->k.head,
                                   .dv = out + swg__attention_v_first(a) + h * a->v.head, .dk_row = a->k.row, .dv_row = a->v.row,
                                   .stride = stride, .keys = a->m, .d = (int)a->d, .scale = (float)a->scale});
    }
    isa->turn(out + first_head * a->q.head, a->q.row, dq, stride, a->n, columns);
}

/* Else a unit is one head: its tiles of scores are made once for all three gradients. */
static int64_t grad_units(const swg__call *call) {
    swg__attention a = swg__attention_of(call->g, call->node);
    return a.batch * a.heads / (is_narrow_grad(call, &a) ? narrow_grad_heads(&a) : 1);
}

static int64_t grad_scratch(const swg__call *call, bool *per_worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    const swg__isa_table *isa = call->isa;
    *per_worker = true;
    if (is_narrow_grad(call, &a))
        return narrow_grad_floats(&a) * (int64_t)sizeof(float);
    return (tile_floats(call, &a) + (keys_of(&a) + rows_of(&a)) * padded(isa, a.d) + rows_of(&a) * padded(isa, a.dv)) * (int64_t)sizeof(float);
}

static void grad_unit(const swg__call *call, const swg__attention *a, int64_t b, int64_t h, float *scratch) {
    const swg__isa_table *isa = call->isa;
    tiles t = tiles_at(call, a, scratch);
    float *ks = t.end, *qs = ks + keys_of(a) * padded(isa, a->d), *dys = qs + rows_of(a) * padded(isa, a->d);
    float *out = (float *)call->out + b * swg__attention_grads(a);
    float *dq = out + h * a->q.head, *dk = out + swg__attention_k_first(a) + h * a->k.head;
    float *dv = out + swg__attention_v_first(a) + h * a->v.head;
    for (int64_t j = 0; j < a->m; j += keys_of(a)) {
        int64_t keys = swg__min64(keys_of(a), a->m - j);
        pack_keys(call, a, &t, b, h, j, keys);
        operand key = rows_as_operand(call, ks, input_at(call, 1, at(a->k, b, h, j)), a->k.row, keys, a->d);
        for (int64_t i = 0; i < a->n; i += ROWS) {
            int64_t rows = swg__min64(ROWS, a->n - i);
            probabilities(call, a, &t, b, h, i, rows, j, keys, (float)a->scale);
            operand query = rows_as_operand(call, qs, input_at(call, 0, at(a->q, b, h, i)), a->q.row, rows, a->d);
            operand slope = rows_as_operand(call, dys, input_at(call, 4, at(a->y, b, h, i)), a->y.row, rows, a->dv);
            multiply_turned(call, (matrix){dv + j * a->v.row, a->v.row}, t.p, stride_of(a), t.half, slope, keys, a->dv, rows, i > 0);
            multiply_turned(call, (matrix){dk + j * a->k.row, a->k.row}, t.ds, stride_of(a), t.half, query, keys, a->d, rows, i > 0);
            multiply_tile(call, (matrix){dq + i * a->q.row, a->q.row}, t.ds, stride_of(a), t.half, key, rows, a->d, keys, j > 0);
        }
    }
}

static void grad_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    float *scratch = (float *)((char *)call->scratch + worker * call->worker_bytes);
    const bool narrow = is_narrow_grad(call, &a);
    const int64_t heads = narrow ? narrow_grad_heads(&a) : 1, groups = a.heads / heads;
    for (int64_t unit = begin; unit < end; unit++)
        (narrow ? narrow_grad_unit : grad_unit)(call, &a, unit / groups, unit % groups * heads, scratch);
}

const swg__kernel swg__kernel_attention_grad = {.bf16 = true, .name = "attention_grad", .units = grad_units, .grain = one, .run = grad_run,
                                                .scratch = grad_scratch};

/* Of the mask: a unit is ROWS rows of one of its planes, or a plane that has one row for all; heads and samples that share a plane are
 * added in order. */
static int64_t mask_units(const swg__call *call) {
    const int64_t *shape = call->node->shape;
    return shape[0] * shape[1] * swg__ceil_div(shape[2], ROWS);
}

static int64_t mask_scratch(const swg__call *call, bool *per_worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    *per_worker = true;
    return tile_floats(call, &a) * (int64_t)sizeof(float);
}

static void mask_head(const swg__call *call, const swg__attention *a, int64_t b, int64_t h, int64_t first, int64_t end, float *scratch) {
    tiles t = tiles_at(call, a, scratch);
    for (int64_t j = 0; j < a->m; j += keys_of(a)) {
        int64_t keys = swg__min64(keys_of(a), a->m - j);
        pack_keys(call, a, &t, b, h, j, keys);
        for (int64_t i = first; i < end; i += ROWS) {
            int64_t rows = swg__min64(ROWS, end - i);
            probabilities(call, a, &t, b, h, i, rows, j, keys, 1);
            for (int64_t r = 0; r < rows; r++) {
                float *to = (float *)call->out + at(a->mask, b, h, i + r) + j;
                for (int64_t c = 0; c < keys; c++)
                    to[c] += t.ds[r * stride_of(a) + c];
            }
        }
    }
}

static void mask_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    swg__attention a = swg__attention_of(call->g, call->node);
    const int64_t *shape = call->node->shape, tasks = swg__ceil_div(shape[2], ROWS);
    float *scratch = (float *)((char *)call->scratch + worker * call->worker_bytes);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / tasks, row = unit % tasks * ROWS, height = swg__min64(ROWS, shape[2] - row);
        int64_t b0 = plane / shape[1], h0 = plane % shape[1], b1 = shape[0] == 1 ? a.batch : b0 + 1, h1 = shape[1] == 1 ? a.heads : h0 + 1;
        memset((float *)call->out + (plane * shape[2] + row) * a.m, 0, (size_t)(height * a.m) * sizeof(float));
        for (int64_t b = b0; b < b1; b++)
            for (int64_t h = h0; h < h1; h++)
                mask_head(call, &a, b, h, row, a.mask.row ? row + height : a.n, scratch);
    }
}

const swg__kernel swg__kernel_attention_mask_grad = {.bf16 = true, .name = "attention_mask_grad", .units = mask_units, .grain = one, .run = mask_run,
                                                     .scratch = mask_scratch};
