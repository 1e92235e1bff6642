/* tile.inc.h - the one micro-kernel: a tile of MR rows by NV vectors stays in registers over all of k.
 * Included once per instruction set, which sets VL (f32 per vector), MR and NV = 2. Plain C with GNU vector extensions.
 * Source of the shape: 12 x 2 vectors measured 98-100 % of f32 peak with gcc 12 and clang 14 (shared prototypes).
 * SPDX-License-Identifier: Apache-2.0 */

#define UNROLLED _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

#if VL == 1
typedef float vf;
#define KEEP(x, condition) ((condition) ? (x) : 0.f)
#else
typedef float vf __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(VL * 4), aligned(4), may_alias));
#define KEEP(x, condition) ((vf)((vi)(x) & (condition)))
#endif

enum { NR = 2 * VL };

/* Rows m..m+mr, columns of one panel. `width` columns are valid; a partial tile goes through a scratch copy, because an
 * epilogue that touches single lanes makes gcc keep the accumulators on the stack. The index of a's row i at step k is
 * a[i * row_stride + k * k_stride]; b's row k is at b + k * ldb. */
INLINE void tile(const int mr, const int nv, const swg__gemm *g, int64_t row, int64_t column, int64_t width, const float *b, int64_t ldb) {
    vf acc[MR][2];
    const float *a = g->a + row * g->row_stride;
    const int64_t row_stride = g->row_stride, k_stride = g->k_stride, k_end = g->k;
    const bool full = VL == 1 || width == nv * VL; /* one-lane vectors leave no partial tile */
    const vf zero = {0};
    vf start[2] = {zero, zero};
    if (g->bias) {
        if (full) {
            for (int j = 0; j < nv; j++)
                start[j] = *(const vf *)(g->bias + column + j * VL);
        } else {
            float bias[NR] = {0};
            memcpy(bias, g->bias + column, (size_t)width * sizeof *bias);
            start[0] = *(const vf *)bias;
            start[1] = *(const vf *)(bias + VL);
        }
    }
    UNROLLED for (int i = 0; i < mr; i++) {
        acc[i][0] = start[0];
        acc[i][1] = start[1];
    }
    if (k_stride == 1) {
        for (int64_t k = 0; k < k_end; k++) {
            vf b0 = *(const vf *)(b + k * ldb), b1 = nv > 1 ? *(const vf *)(b + k * ldb + VL) : b0;
            UNROLLED for (int i = 0; i < mr; i++) {
                float s = a[i * row_stride + k];
                acc[i][0] += s * b0;
                if (nv > 1)
                    acc[i][1] += s * b1;
            }
        }
    } else { /* a transposed: the mr rows are neighbours in memory */
        for (int64_t k = 0; k < k_end; k++) {
            vf b0 = *(const vf *)(b + k * ldb), b1 = nv > 1 ? *(const vf *)(b + k * ldb + VL) : b0;
            UNROLLED for (int i = 0; i < mr; i++) {
                float s = a[i + k * k_stride];
                acc[i][0] += s * b0;
                if (nv > 1)
                    acc[i][1] += s * b1;
            }
        }
    }
    if (g->relu)
        UNROLLED for (int i = 0; i < mr; i++)
            for (int j = 0; j < nv; j++)
                acc[i][j] = KEEP(acc[i][j], acc[i][j] > 0);
    float *c = g->c + row * g->ldc + column;
    const float *gate = g->gate ? g->gate + row * g->ldc + column : NULL;
    if (full) {
        if (gate)
            UNROLLED for (int i = 0; i < mr; i++)
                for (int j = 0; j < nv; j++)
                    acc[i][j] = KEEP(acc[i][j], *(const vf *)(gate + i * g->ldc + j * VL) > 0);
        UNROLLED for (int i = 0; i < mr; i++)
            for (int j = 0; j < nv; j++)
                *(vf *)(c + i * g->ldc + j * VL) = acc[i][j];
        return;
    }
    float edge[MR][NR] = {{0}};
    const int64_t valid = width < nv * VL ? width : nv * VL;
    UNROLLED for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++)
            memcpy(&edge[i][j * VL], &acc[i][j], sizeof(vf));
    for (int i = 0; i < mr; i++)
        for (int64_t j = 0; j < valid; j++)
            c[i * g->ldc + j] = !gate || gate[i * g->ldc + j] > 0 ? edge[i][j] : 0;
}

/* One function per tile height, so that the tail of m runs in registers too. */
#define TILE_OF(rows)                                                                                              \
    static __attribute__((noinline)) void tile_##rows(const swg__gemm *g, int64_t row, int64_t column, int64_t width, \
                                                      const float *b, int64_t ldb) {                               \
        if (width > VL)                                                                                            \
            tile(rows, 2, g, row, column, width, b, ldb);                                                          \
        else                                                                                                       \
            tile(rows, 1, g, row, column, width, b, ldb);                                                          \
    }
TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4)
#if MR > 4
TILE_OF(5) TILE_OF(6)
#endif
#if MR > 6
TILE_OF(7) TILE_OF(8) TILE_OF(9) TILE_OF(10) TILE_OF(11) TILE_OF(12)
#endif

typedef void (*tile_fn)(const swg__gemm *, int64_t, int64_t, int64_t, const float *, int64_t);
static const tile_fn tiles[MR + 1] = {NULL, tile_1, tile_2, tile_3, tile_4,
#if MR > 4
                                      tile_5, tile_6,
#endif
#if MR > 6
                                      tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
#endif
};

static void gemm(const swg__gemm *g, int64_t m0, int64_t m1) {
    for (int64_t column = 0; column < g->n; column += NR) {
        int64_t width = g->n - column < NR ? g->n - column : NR;
        int64_t panel_ld = width > VL ? NR : VL; /* of a packed panel */
        const float *b = g->ldb == 0 ? g->b + column * g->k : width < NR ? g->tail : g->b + column;
        int64_t ldb = g->ldb == 0 || width < NR ? panel_ld : g->ldb;
        for (int64_t row = m0; row < m1; row += MR)
            tiles[m1 - row < MR ? m1 - row : MR](g, row, column, width, b, ldb);
    }
}

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
