/* tile.inc.h - the one micro-kernel: a tile of rows by vectors of columns stays in registers over all of k.
 * Included once per instruction set, which sets VL (f32 per vector), MR (rows of the main tile) and TALL_ROWS. Plain C with GNU
 * vector extensions. Shapes: MR x 2 vectors; TALL_ROWS x 1 where one vector of columns is left, because that
 * takes an element of a per FMA and should at least share those of b; 1 to 3 rows x 4 vectors, because fewer independent sums
 * would wait for each other. An element is one chain over k in every one of them, so its bits never depend on the shape that
 * computed it. Source of the main shape: 12 x 2 vectors measured 98-100 % of f32 peak (shared prototypes).
 * In bf16 a step of k is two elements, one word, and vectors of b are words too: a DOT of the instruction set, or both halves widened
 * and multiplied one after the other.
 * SPDX-License-Identifier: Apache-2.0 */

#include "kernel/vector.inc.h"

enum { NR = 2 * VL, TALL = TALL_ROWS, WIDE = 3, MOST_VECTORS = 4, MOST_SUMS = 2 * MR > 12 ? 2 * MR : 12, ROWS_OF_POINTER = 3 };

/* ---- bf16: widened, rounded, in pairs ---- */

typedef uint16_t __attribute__((may_alias)) h16;
typedef uint32_t __attribute__((aligned(2), may_alias)) pair;    /* two neighbours: the first in the lower half */
typedef uint32_t __attribute__((may_alias)) vu_word;

INLINE vf as_float(vu x) {
    vf y;
    memcpy(&y, &x, sizeof y);
    return y;
}

/* Bits of bf16 in words, and back. */
#if VL == 1
#define WIDEN(x) ((uint32_t)(x))
#define NARROW(x) ((vh)(x))
INLINE vu rounded(vf x) { return swg__bf16_of(x); }
#else
#ifndef WIDEN
#define WIDEN(x) __builtin_convertvector(x, vu)
#define NARROW(x) __builtin_convertvector(x, vh)
#endif
INLINE vu rounded(vf x) { /* as swg__bf16_of */
    vu bits = (vu)x, is_nan = (vu)(x != x);
    return (((bits + 0x7fff + (bits >> 16 & 1)) >> 16) & ~is_nan) | ((bits >> 16 | 0x40) & is_nan);
}
#endif
INLINE vf load_half(const h16 *p) { return as_float(WIDEN(*(const vh *)p) << 16); }
INLINE void store_half(h16 *p, vf x) { *(vh *)p = NARROW(rounded(x)); }
#ifndef STORE_RESULT
#define STORE_RESULT(p, x) store_half(p, x) /* may make 0 of subnormals, as a DOT does */
#endif

/* Half of every pair as f32; a DOT takes them as they are. */
#ifdef DOT
enum { PARTS = 1 };
#define PART(x, upper) (x)
#define ADD_PRODUCT(acc, s, b) DOT(acc, s, b)
#else
enum { PARTS = 2 };
INLINE vu part(vu x, const bool upper) {
    if (upper)
        return x & 0xffff0000u;
    return x << 16;
}
#define PART(x, upper) part(x, upper)
#define ADD_PRODUCT(acc, s, b) (acc) += as_float(s) * as_float(b)
#endif

/* The second half reads its words again: kept from the first, they would not all fit into registers. */
#define READ_AGAIN __asm__ volatile("" : : : "memory")

#define STEP_PAIRS(element)                                                                   \
    do {                                                                                      \
        vu bs[MOST_VECTORS];                                                                  \
        UNROLLED for (int upper = 0; upper < PARTS; upper++) {                                \
            if (upper)                                                                        \
                READ_AGAIN;                                                                   \
            UNROLLED for (int j = 0; j < nv; j++)                                             \
                bs[j] = PART(*(const vu *)(b[j / 2] + j % 2 * VL), upper);                    \
            UNROLLED for (int i = 0; i < mr; i++) {                                           \
                vu s = (element) - (vu){0};                                                   \
                if (PARTS > 1)                                                                \
                    STAY(s); /* or gcc shifts before it broadcasts */                         \
                s = PART(s, upper);                                                           \
                UNROLLED for (int j = 0; j < nv; j++) {                                       \
                    ADD_PRODUCT(acc[i * nv + j], s, bs[j]);                                   \
                    STAY(acc[i * nv + j]);                                                    \
                }                                                                             \
                if (nv > 1)                                                                   \
                    READ_LATER(s);                                                            \
            }                                                                                 \
            UNROLLED for (int j = 0; j < nv && mr > 1; j++)                                   \
                READ_LATER(bs[j]);                                                            \
        }                                                                                     \
        UNROLLED for (int q = 0; q < panels; q++) {                                           \
            b[q] += ldb;                                                                      \
            STAY_POINTER(b[q]);                                                               \
        }                                                                                     \
    } while (0)

/* ---- f32 ---- */

/* One step of k: every row's element of a times the vectors of b. Which operand the last FMA of a row might write over: the
 * element if it serves several vectors, else the vector; read once more, neither is. */
#define STEP(element)                                     \
    do {                                                  \
        vf bs[MOST_VECTORS];                              \
        UNROLLED for (int j = 0; j < nv; j++)             \
            bs[j] = *(const vf *)(b[j / 2] + j % 2 * VL); \
        UNROLLED for (int i = 0; i < mr; i++) {           \
            vf s = (element) - (vf){0};                   \
            UNROLLED for (int j = 0; j < nv; j++) {       \
                acc[i * nv + j] += s * bs[j];                   \
                STAY(acc[i * nv + j]);                          \
            }                                             \
            if (nv > 1)                                   \
                READ_LATER(s);                            \
        }                                                 \
        UNROLLED for (int j = 0; j < nv && mr > 1; j++)   \
            READ_LATER(bs[j]);                            \
        UNROLLED for (int q = 0; q < panels; q++) {       \
            b[q] += ldb;                                  \
            STAY_POINTER(b[q]);                           \
        }                                                 \
    } while (0)

#ifndef LOAD_HALF_PART
INLINE vu load_half_part(const h16 *p, int64_t n) {
    uint32_t lane[VL] = {0};
    for (int64_t j = 0; j < n; j++)
        lane[j] = p[j];
    return *(const vu *)lane;
}
INLINE void store_half_part(h16 *p, vu x, int64_t n) {
    uint32_t lane[VL];
    memcpy(lane, &x, sizeof x);
    for (int64_t j = 0; j < n; j++)
        p[j] = (h16)lane[j];
}
#define LOAD_HALF_PART(p, n) load_half_part(p, n)           /* bits in words */
#define STORE_HALF_PART(p, x, n) store_half_part(p, x, n)
#endif

/* What the tiles of one panel, or of several neighbours, have in common. */
typedef struct strip {
    const swg__gemm *g;
    const float *b;             /* row k at b + k * ldb, further panels `panel_stride` on */
    int64_t ldb, panel_stride;
    const float *bias;          /* whole vectors, or NULL */
    const swg__tap *taps, *taps_end;
    int64_t column, last;       /* first column; valid lanes of the last vector */
} strip;

/* What is done to the sums of a tile of pairs: one text for all shapes, or the many that f32 and bf16 make of it would fill the caches. */
static __attribute__((noinline)) void finish_pairs(const strip *t, int64_t row, int mr, int nv, const vf *sums) {
    const swg__gemm *g = t->g;
    const float *from = !g->accumulate ? NULL : g->sum ? g->sum : g->c, *bias = t->bias;
    const int64_t from_stride = g->sum ? g->sum_stride : g->ldc, ldc = g->ldc;
    const bool relu = g->relu, c_bf16 = g->c_bf16, gate_bf16 = g->gate_bf16;
    if (!from && !g->gate && t->last == VL) { /* the most common by far */
        const int64_t first = row * ldc + t->column;
        h16 *c16 = (h16 *)g->c + first;
        float *c = (float *)g->c + first;
        for (int i = 0; i < mr; i++, c16 += ldc, c += ldc)
            for (int j = 0; j < nv; j++) {
                vf x = *sums++;
                if (bias)
                    x += *(const vf *)(bias + j * VL);
                if (relu)
                    x = DROP(x, x <= 0); /* NaN stays */
                if (c_bf16)
                    STORE_RESULT(c16 + j * VL, x);
                else
                    *(vf *)(c + j * VL) = x;
            }
        return;
    }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) {
            const int64_t lanes = j < nv - 1 ? VL : t->last, column = t->column + j * VL, at = (row + i) * ldc + column;
            vf x = *sums++;
            if (from)
                x += LOAD_PART(from + (row + i) * from_stride + column, lanes);
            if (bias)
                x += *(const vf *)(bias + j * VL);
            if (relu)
                x = DROP(x, x <= 0);
            if (g->gate && gate_bf16)
                x = KEEP(x, as_float(LOAD_HALF_PART((const h16 *)g->gate + at, lanes) << 16) > 0);
            else if (g->gate)
                x = KEEP(x, LOAD_PART((const float *)g->gate + at, lanes) > 0);
            if (c_bf16)
                STORE_HALF_PART((h16 *)g->c + at, rounded(x), lanes);
            else
                STORE_PART((float *)g->c + at, x, lanes);
        }
}

/* Rows row..row+mr and nv vectors of columns, two in each panel. */
INLINE void tile(const int mr, const int nv, const bool pairs, const strip *t, int64_t row) {
    const swg__gemm *g = t->g;
    const int panels = (nv + 1) / 2, pointers = (mr + ROWS_OF_POINTER - 1) / ROWS_OF_POINTER;
    const int64_t ldb = t->ldb, size = pairs ? 2 : 4;
    vf zero = {0}, acc[MOST_SUMS];
    const float *b[MOST_VECTORS / 2];
    const char *a[TALL / ROWS_OF_POINTER + 1];
    OPAQUE(zero);
    UNROLLED for (int i = 0; i < mr * nv; i++)
        acc[i] = zero;
    const swg__tap *tap = t->taps, *const end = t->taps_end;
    for (; g->k_stride == 1 && tap < end; tap++) {
        const int64_t stride = g->row_stride * size;
        UNROLLED for (int q = 0; q < panels; q++)
            b[q] = t->b + tap->b * ldb + q * t->panel_stride;
        UNROLLED for (int p = 0; p < pointers; p++)
            a[p] = (const char *)g->a + tap->a * size + (row + ROWS_OF_POINTER * p) * stride;
        for (int64_t k = pairs ? g->k / 2 : g->k; k > 0; k--) {
            if (pairs)
                STEP_PAIRS(*(const pair *)(a[i / ROWS_OF_POINTER] + i % ROWS_OF_POINTER * stride));
            else
                STEP(*(const float *)(a[i / ROWS_OF_POINTER] + i % ROWS_OF_POINTER * stride));
            UNROLLED for (int p = 0; p < pointers; p++) {
                a[p] += 4;
                STAY_POINTER(a[p]);
            }
        }
        if (pairs && g->k & 1)
            STEP_PAIRS((uint32_t) * (const h16 *)(a[i / ROWS_OF_POINTER] + i % ROWS_OF_POINTER * stride));
    }
    for (; tap < end; tap++) { /* a transposed: the mr rows are neighbours in memory */
        UNROLLED for (int q = 0; q < panels; q++)
            b[q] = t->b + tap->b * ldb + q * t->panel_stride;
        a[0] = (const char *)g->a + (tap->a + row) * 4;
        for (int64_t k = pairs ? (g->k + 1) / 2 : g->k; k > 0; k--) {
            if (pairs)
                STEP_PAIRS(((const vu_word *)a[0])[i]);
            else
                STEP(((const float *)a[0])[i]);
            a[0] += g->k_stride * 4;
        }
    }
    if (pairs) {
        vf sums[MOST_SUMS];
        UNROLLED for (int i = 0; i < mr * nv; i++)
            sums[i] = acc[i];
        finish_pairs(t, row, mr, nv, sums);
        return;
    }
    float *c = (float *)g->c + row * g->ldc + t->column;
    if (g->accumulate)
        UNROLLED for (int i = 0; i < mr; i++)
            UNROLLED for (int j = 0; j < nv; j++) {
                const float *from = c + i * g->ldc + j * VL;
                acc[i * nv + j] += j < nv - 1 ? *(const vf *)from : LOAD_PART(from, t->last);
            }
    if (t->bias) /* last: a sum that began with it would wait for its load */
        UNROLLED for (int j = 0; j < nv; j++) {
            vf bias = *(const vf *)(t->bias + j * VL);
            UNROLLED for (int i = 0; i < mr; i++)
                acc[i * nv + j] += bias;
        }
    if (g->relu)
        UNROLLED for (int i = 0; i < mr; i++)
            UNROLLED for (int j = 0; j < nv; j++)
                acc[i * nv + j] = DROP(acc[i * nv + j], acc[i * nv + j] <= 0); /* NaN stays */
    const float *gate = g->gate ? (const float *)g->gate + row * g->ldc + t->column : NULL;
    if (VL == 1 || t->last == VL) {
        if (gate)
            UNROLLED for (int i = 0; i < mr; i++)
                UNROLLED for (int j = 0; j < nv; j++)
                    acc[i * nv + j] = KEEP(acc[i * nv + j], *(const vf *)(gate + i * g->ldc + j * VL) > 0);
        UNROLLED for (int i = 0; i < mr; i++)
            UNROLLED for (int j = 0; j < nv; j++)
                *(vf *)(c + i * g->ldc + j * VL) = acc[i * nv + j];
        return;
    }
    const int part = nv - 1; /* the partial vector; at most one whole one stands before it */
    if (gate)
        UNROLLED for (int i = 0; i < mr; i++)
            acc[i * nv + part] = KEEP(acc[i * nv + part], LOAD_PART(gate + i * g->ldc + part * VL, t->last) > 0);
    if (gate && part > 0)
        UNROLLED for (int i = 0; i < mr; i++)
            acc[i * nv] = KEEP(acc[i * nv], *(const vf *)(gate + i * g->ldc) > 0);
    if (part > 0)
        UNROLLED for (int i = 0; i < mr; i++)
            *(vf *)(c + i * g->ldc) = acc[i * nv];
    UNROLLED for (int i = 0; i < mr; i++)
        STORE_PART(c + i * g->ldc + part * VL, acc[i * nv + part], t->last);
}

/* One function per height, so that what is left of m runs in registers too. */
typedef void (*tile_fn)(const strip *t, int64_t row);
#define TILE_OF(rows, vectors)                                                                                                          \
    static __attribute__((noinline)) void tile_##rows##x##vectors(const strip *t, int64_t row) { tile(rows, vectors, false, t, row); } \
    static __attribute__((noinline)) void pairs_##rows##x##vectors(const strip *t, int64_t row) { tile(rows, vectors, true, t, row); }
#define NAME_OF(rows, vectors) tile_##rows##x##vectors,
#define PAIRS_NAME_OF(rows, vectors) pairs_##rows##x##vectors,

TILES_TO(MR)(TILE_OF, 2)
TILES_TO(TALL_ROWS)(TILE_OF, 1)
TILE_OF(1, 4) TILE_OF(2, 4) TILE_OF(3, 4)

typedef struct tiles { tile_fn two[MR + 1], tall[TALL + 1]; struct { int panels; tile_fn fn; } wide[WIDE + 1]; } tiles;
static const tiles f32_tiles = {{NULL, TILES_TO(MR)(NAME_OF, 2)}, {NULL, TILES_TO(TALL_ROWS)(NAME_OF, 1)},
                                {{0, NULL}, {2, tile_1x4}, {2, tile_2x4}, {2, tile_3x4}}};
static const tiles bf16_tiles = {{NULL, TILES_TO(MR)(PAIRS_NAME_OF, 2)}, {NULL, TILES_TO(TALL_ROWS)(PAIRS_NAME_OF, 1)},
                                 {{0, NULL}, {2, pairs_1x4}, {2, pairs_2x4}, {2, pairs_3x4}}};

static void run_gemm(const swg__gemm *g, int64_t m0, int64_t m1, const tiles *shapes, int64_t k) {
    static const swg__tap once = {0};
    const swg__tap *taps = g->taps ? g->taps : &once, *taps_end = taps + (g->taps ? g->tap_count : 1);
    const int64_t rows = m1 - m0, depth = g->taps ? g->depth : k;
    for (int64_t column = 0; column < g->n;) {
        int64_t left = g->n - column, width = left < NR ? left : NR;
        bool in_place = g->ldb != 0 && (width == NR || width == VL); /* whole vectors */
        strip t = {.g = g, .taps = taps, .taps_end = taps_end, .bias = g->bias ? g->bias + column : NULL, .column = column,
                   .b = in_place ? g->b + column : g->ldb != 0 ? g->tail : g->b + column * depth,
                   .ldb = in_place ? g->ldb : width > VL ? NR : VL, .panel_stride = in_place ? NR : NR * depth,
                   .last = width > VL ? width - VL : width};
        float bias[NR] = {0};
        if (g->bias && width < NR) {
            memcpy(bias, g->bias + column, (size_t)width * sizeof *bias);
            t.bias = bias;
        }
        if (rows <= WIDE && left >= shapes->wide[rows].panels * NR) {
            shapes->wide[rows].fn(&t, m0);
            column += shapes->wide[rows].panels * NR;
            continue;
        }
        /* Tiles as equal in height as they can be: a low one at the end would wait for its few sums. */
        const tile_fn *fns = width > VL ? shapes->two : shapes->tall;
        int64_t most = width > VL ? MR : TALL;
        for (int64_t row = m0, count = (rows + most - 1) / most; count > 0; count--) {
            int64_t height = (m1 - row + count - 1) / count;
            fns[height](&t, row);
            row += height;
        }
        column += NR;
    }
}

static void gemm(const swg__gemm *g, int64_t m0, int64_t m1) { run_gemm(g, m0, m1, &f32_tiles, g->k); }
static void gemm_bf16(const swg__gemm *g, int64_t m0, int64_t m1) { run_gemm(g, m0, m1, &bf16_tiles, (g->k + 1) / 2); }

/* VL x VL transpose in registers: log2(VL) rounds of pairwise interleaving. */
#if VL == 4
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif VL == 8
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif VL == 16
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define LOW(a, b) (a)
#define HIGH(a, b) (b)
#endif

INLINE void transpose(vf x[VL]) {
    UNROLLED for (int round = 1; round < VL; round *= 2) {
        vf y[VL];
        UNROLLED for (int i = 0; i < VL / 2; i++) {
            y[2 * i] = LOW(x[i], x[i + VL / 2]);
            y[2 * i + 1] = HIGH(x[i], x[i + VL / 2]);
        }
        UNROLLED for (int i = 0; i < VL; i++)
            x[i] = y[i];
    }
}

/* Panels [p0, p1) of a (k, n) matrix with general strides; missing columns are zeros. */
static void pack(float *packed, const float *b, int64_t row_stride, int64_t column_stride, int64_t k, int64_t n, int64_t p0, int64_t p1) {
    for (int64_t p = p0; p < p1; p++) {
        int64_t width = n - p * NR < NR ? n - p * NR : NR, ld = width > VL ? NR : VL;
        const float *from = b + p * NR * column_stride;
        float *to = packed + p * NR * k;
        for (int64_t c0 = 0; c0 < ld; c0 += VL) {
            int64_t columns = width - c0 < VL ? width - c0 : VL, i = 0;
            if (columns == VL && row_stride == 1) /* a transposed b: VL columns are VL runs of memory */
                for (; i + VL <= k; i += VL) {
                    vf x[VL];
                    UNROLLED for (int j = 0; j < VL; j++)
                        x[j] = *(const vf *)(from + (c0 + j) * column_stride + i);
                    transpose(x);
                    UNROLLED for (int j = 0; j < VL; j++)
                        *(vf *)(to + (i + j) * ld + c0) = x[j];
                }
            else if (columns == VL && column_stride == 1)
                for (; i < k; i++)
                    *(vf *)(to + i * ld + c0) = *(const vf *)(from + i * row_stride + c0);
            for (; i < k; i++)
                for (int64_t j = 0; j < VL; j++)
                    to[i * ld + c0 + j] = j < columns ? from[i * row_stride + (c0 + j) * column_stride] : 0;
        }
    }
}
