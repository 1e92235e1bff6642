/* int8.h - products of 8-bit codes: how a row of codes lies in memory, and the kernels that each instruction set fills in.
 *
 * A row (of a matrix) or sample (of a convolution) of u8 codes:
 *     head: scale, zero     | position 0: codes of its channels, up to whole units | position 1 ...
 * A code takes a byte where bytes are multiplied, else 16 bits. Words of 32 bits hold `group` of them; second operands are packed in such words,
 * in panels as those of f32. All sums are exact, and what follows is f32 without contraction: the same bits on every instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_INT8_H
#define SWAGE_KERNEL_INT8_H

#include "kernel/isa.h"
#include "swage/quantise.h"

enum { SWG__CODES_HEAD = 16, SWG__CODES_UNIT = 16, SWG__CODES_K = 1 << 16 }; /* bytes; codes; largest sum over k that int32 is sure to hold */

/* Bytes of the codes of n channels of one position. */
static inline int64_t swg__codes_bytes(int64_t n, int code_bytes) { return (n + SWG__CODES_UNIT - 1) / SWG__CODES_UNIT * SWG__CODES_UNIT * code_bytes; }

/* Of a node of codes: channels of a run, bytes of a run of a position, positions of a row, bytes of a row. */
typedef struct swg__codes { int64_t channels, run_bytes, runs, positions, row_bytes; int code_bytes; } swg__codes;
static inline swg__codes swg__codes_of(const swg__node *n) {
    swg__codes c = {.runs = n->attr.groups, .code_bytes = n->attr.stride[0], .positions = swg__shape_elements(n->ndim - 2, n->shape + 1)};
    c.channels = n->shape[n->ndim - 1] / c.runs;
    c.run_bytes = swg__codes_bytes(c.channels, c.code_bytes);
    c.row_bytes = SWG__CODES_HEAD + c.positions * c.runs * c.run_bytes;
    return c;
}
static inline int64_t swg__codes_row_bytes(const swg__node *n) { return swg__codes_of(n).row_bytes; }

typedef struct swg__gemm8 {
    int64_t n, steps;               /* columns; words of k, for each tap */
    const char *a;
    int64_t row_stride;             /* bytes */
    const char *head;               /* swg_affine_code of the first row */
    int64_t head_stride;            /* bytes; 0: one for all rows */
    const uint32_t *b;              /* panel p holds columns p * nr.. : (depth, nr) words, the last one (depth, vl) if vl columns or fewer are left */
    int64_t depth;
    const swg__tap *taps;           /* a: bytes on from a; b: rows of words on. NULL: once, with both as they are */
    int64_t tap_count;
    const float *scale;             /* of columns, up to whole vectors */
    const int32_t *sum;             /* of all codes of a column that meet data, up to whole vectors */
    const float *bias;              /* (n), or NULL */
    bool relu;
    float *c;
    int64_t ldc;
} swg__gemm8;

typedef struct swg__int8_table {
    int mr, nr, vl, group, code_bytes;
    /* c = scale of row * scale of column * (sum of products - zero * sum of column) + bias, for rows [m0, m1). */
    void (*gemm)(const swg__gemm8 *g, int64_t m0, int64_t m1);
    /* Widens [*low, *high] to hold x; false where there is NaN or infinity in it. */
    bool (*range)(const float *x, int64_t n, float *low, float *high);
    /* u8 codes of x, and of zeros up to whole units. */
    void (*encode)(void *codes, const float *x, int64_t n, swg_affine_code a);
} swg__int8_table;

const swg__int8_table *swg__int8_table_of(swg__isa isa);

#endif
