/* int8.inc.h - the tile of 8-bit codes, and how f32 becomes codes. Included once per instruction set, which sets VL, MR, TALL_ROWS, GROUP (codes
 * in a word: four bytes, or two of 16 bits) and DOT8(acc, a, b): acc += the products of a word's unsigned codes in a and signed ones in b.
 * Compiled without contraction.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "kernel/int8.h"
#include "kernel/vector.inc.h"

enum { NR = 2 * VL, TALL = TALL_ROWS, WIDE = 3, MOST_VECTORS = 4, MOST_SUMS = 2 * MR > 12 ? 2 * MR : 12, ROWS_OF_POINTER = 3, CODE_BYTES = 4 / GROUP };
typedef uint32_t __attribute__((may_alias)) word;

#if VL == 1
#define TO_FLOAT(x) ((float)(x))
#define TO_INT(x) ((int32_t)(x))
#else
#define TO_FLOAT(x) __builtin_convertvector(x, vf)
#define TO_INT(x) __builtin_convertvector(x, vi)
#endif

/* What the tiles of one panel, or of two neighbours, have in common. */
typedef struct strip {
    const swg__gemm8 *g;
    const uint32_t *b;
    int64_t ldb, panel_stride;      /* words */
    const swg__tap *taps, *taps_end;
    const float *bias;              /* whole vectors, or NULL */
    int64_t column, last;           /* first column; valid lanes of the last vector */
} strip;

static __attribute__((noinline)) void finish(const strip *t, int64_t row, int mr, int nv, const vi *sums) {
    const swg__gemm8 *g = t->g;
    for (int i = 0; i < mr; i++) {
        const swg_affine_code *head = (const swg_affine_code *)(g->head + (row + i) * g->head_stride);
        const vf scale = head->scale - (vf){0};
        const vi zero = head->zero - (vi){0};
        float *c = g->c + (row + i) * g->ldc + t->column;
        for (int j = 0; j < nv; j++) {
            vi sum = *sums++ - zero * *(const vi *)(g->sum + t->column + j * VL);
            vf x = (scale * *(const vf *)(g->scale + t->column + j * VL)) * TO_FLOAT(sum);
            if (t->bias)
                x += *(const vf *)(t->bias + j * VL);
            if (g->relu)
                x = DROP(x, x <= 0); /* NaN stays */
            if (j < nv - 1 || t->last == VL)
                *(vf *)(c + j * VL) = x;
            else
                STORE_PART(c + j * VL, x, t->last);
        }
    }
}

/* Rows row..row+mr and nv vectors of columns, two in each panel. */
INLINE void tile(const int mr, const int nv, const strip *t, int64_t row) {
    const swg__gemm8 *g = t->g;
    const int panels = (nv + 1) / 2, pointers = (mr + ROWS_OF_POINTER - 1) / ROWS_OF_POINTER;
    const int64_t ldb = t->ldb, stride = g->row_stride;
    vi zero = {0}, acc[MOST_SUMS];
    const uint32_t *b[MOST_VECTORS / 2];
    const char *a[TALL / ROWS_OF_POINTER + 1];
    OPAQUE(zero);
    UNROLLED for (int i = 0; i < mr * nv; i++)
        acc[i] = zero;
    for (const swg__tap *tap = t->taps; tap < t->taps_end; tap++) {
        UNROLLED for (int q = 0; q < panels; q++)
            b[q] = t->b + tap->b * ldb + q * t->panel_stride;
        UNROLLED for (int p = 0; p < pointers; p++)
            a[p] = g->a + tap->a + (row + ROWS_OF_POINTER * p) * stride;
        for (int64_t k = g->steps; k > 0; k--) {
            vi bs[MOST_VECTORS];
            UNROLLED for (int j = 0; j < nv; j++)
                bs[j] = *(const vi *)(b[j / 2] + j % 2 * VL);
            UNROLLED for (int i = 0; i < mr; i++) {
                vi s = (int32_t)*(const word *)(a[i / ROWS_OF_POINTER] + i % ROWS_OF_POINTER * stride) - (vi){0};
                UNROLLED for (int j = 0; j < nv; j++) {
                    DOT8(acc[i * nv + j], s, bs[j]);
                    STAY(acc[i * nv + j]);
                }
                if (nv > 1)
                    READ_LATER(s);
            }
            UNROLLED for (int j = 0; j < nv && mr > 1; j++)
                READ_LATER(bs[j]);
            UNROLLED for (int p = 0; p < pointers; p++) {
                a[p] += 4;
                STAY_POINTER(a[p]);
            }
            UNROLLED for (int q = 0; q < panels; q++) {
                b[q] += ldb;
                STAY_POINTER(b[q]);
            }
        }
    }
    vi sums[MOST_SUMS];
    UNROLLED for (int i = 0; i < mr * nv; i++)
        sums[i] = acc[i];
    finish(t, row, mr, nv, sums);
}

typedef void (*tile_fn)(const strip *t, int64_t row);
#define TILE_OF(rows, vectors) \
    static __attribute__((noinline)) void codes_##rows##x##vectors(const strip *t, int64_t row) { tile(rows, vectors, t, row); }
#define NAME_OF(rows, vectors) codes_##rows##x##vectors,
TILES_TO(MR)(TILE_OF, 2)
TILES_TO(TALL_ROWS)(TILE_OF, 1)
TILE_OF(1, 4) TILE_OF(2, 4) TILE_OF(3, 4)
static const tile_fn two[MR + 1] = {NULL, TILES_TO(MR)(NAME_OF, 2)}, tall[TALL + 1] = {NULL, TILES_TO(TALL_ROWS)(NAME_OF, 1)},
                     wide[WIDE + 1] = {NULL, codes_1x4, codes_2x4, codes_3x4};

static void gemm(const swg__gemm8 *g, int64_t m0, int64_t m1) {
    static const swg__tap once = {0};
    const swg__tap *taps = g->taps ? g->taps : &once, *taps_end = taps + (g->taps ? g->tap_count : 1);
    const int64_t rows = m1 - m0;
    for (int64_t column = 0; column < g->n;) {
        int64_t left = g->n - column, width = left < NR ? left : NR;
        strip t = {.g = g, .taps = taps, .taps_end = taps_end, .bias = g->bias ? g->bias + column : NULL, .column = column,
                   .b = g->b + column * g->depth, .ldb = width > VL ? NR : VL, .panel_stride = NR * g->depth, .last = width > VL ? width - VL : width};
        float bias[NR] = {0};
        if (g->bias && width < NR) {
            memcpy(bias, g->bias + column, (size_t)width * sizeof *bias);
            t.bias = bias;
        }
        if (rows <= WIDE && left >= 2 * NR) {
            wide[rows](&t, m0);
            column += 2 * NR;
            continue;
        }
        const tile_fn *fns = width > VL ? two : tall;
        int64_t most = width > VL ? MR : TALL;
        for (int64_t row = m0, count = (rows + most - 1) / most; count > 0; count--) { /* as equal in height as they can be */
            int64_t height = (m1 - row + count - 1) / count;
            fns[height](&t, row);
            row += height;
        }
        column += NR;
    }
}

/* ---- from f32 ---- */

#if VL == 1
#define CHOOSE(condition, a, b) ((condition) ? (a) : (b))
#else
#define CHOOSE(condition, a, b) ((vf)(((vi)(a) & (condition)) | ((vi)(b) & ~(condition))))
#endif

static bool range(const float *x, int64_t n, float *low, float *high) {
    vf least = {0}, most = {0}, odd = {0};
    for (int64_t i = 0; i < n; i += VL) {
        vf v = n - i >= VL ? *(const vf *)(x + i) : LOAD_PART(x + i, n - i); /* what is missing is 0, which counts anyway */
        least = CHOOSE(v < least, v, least);
        most = CHOOSE(v > most, v, most);
        odd += v - v; /* NaN where v is no number */
    }
    float l[VL], m[VL], o[VL];
    memcpy(l, &least, sizeof l);
    memcpy(m, &most, sizeof m);
    memcpy(o, &odd, sizeof o);
    bool whole = true;
    for (int j = 0; j < VL; j++) {
        *low = l[j] < *low ? l[j] : *low;
        *high = m[j] > *high ? m[j] : *high;
        whole = whole && o[j] == 0;
    }
    return whole;
}

/* Codes are whole numbers in f32 until the end: nearest by adding 1.5 * 2^23, whose neighbours are 1 apart. */
INLINE vi codes_of(vf x, vf scale, vf zero) {
    const vf magic = 0x1.8p23f - (vf){0}, least = {0}, most = 255.f - (vf){0};
    vf q = ((x / scale + magic) - magic) + zero;
    q = CHOOSE(q < least, least, q);
    return TO_INT(CHOOSE(q > most, most, q));
}

#ifndef STORE_CODES
#if VL == 1
typedef uint16_t __attribute__((may_alias)) vcode;
#define STORE_CODES(p, x) (*(vcode *)(p) = (vcode)(x))
#else
typedef uint16_t vcode __attribute__((vector_size(VL * 2), aligned(2), may_alias));
#define STORE_CODES(p, x) (*(vcode *)(p) = __builtin_convertvector(x, vcode))
#endif
#endif

static void encode(void *codes, const float *x, int64_t n, swg_affine_code a) {
    const vf scale = a.scale - (vf){0}, zero = (float)a.zero - (vf){0};
    const int64_t whole = swg__codes_bytes(n, 1);
    for (int64_t i = 0; i < whole; i += VL) {
        vf v = n - i >= VL ? *(const vf *)(x + i) : LOAD_PART(x + i, n > i ? n - i : 0);
        STORE_CODES((char *)codes + i * CODE_BYTES, codes_of(v, scale, zero));
    }
}

#define SWG_NAME2(isa) swg__int8_table_##isa
#define SWG_NAME(isa) SWG_NAME2(isa)
extern const swg__int8_table SWG_NAME(SWG_ISA);
const swg__int8_table SWG_NAME(SWG_ISA) = {.mr = MR, .nr = NR, .vl = VL, .group = GROUP, .code_bytes = CODE_BYTES, .gemm = gemm, .range = range,
                                           .encode = encode};
