/* conv_lines.h - which outputs of a convolution see the same taps, and in what order they are computed.
 *
 * Along one axis the outputs fall into runs: neighbours (conv), or every stride-th position (transposed: one phase of the
 * sub-lattice), that see the same taps at inputs that move in step. A box is a run of each axis. Rows of a tile are outputs of a
 * box along the axis, batch included, that makes the longest row; a line is up to SWG__LINE_ROWS of them, all else fixed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_CONV_LINES_H
#define SWAGE_KERNEL_CONV_LINES_H

#include "ir/conv.h"
#include "kernel/isa.h"

enum { SWG__LINE_ROWS = 96, SWG__LINE_BATCH = 3 };  /* the batch as an axis, after x */

typedef struct swg__run {
    int64_t out, out_step, count;   /* outputs */
    int64_t in, in_step;            /* input that the first tap reads for the first output; for the next one */
    int64_t tap, tap_step, taps;    /* taps that meet data */
    int64_t tap_in;                 /* input of the next tap */
} swg__run;

typedef struct swg__box {
    const swg__run *along[3];
    int row_axis;
    int64_t count[4];               /* outputs per axis; the batch last */
    int64_t first;                  /* line */
} swg__box;

typedef struct swg__lines {
    /* in */
    swg__conv c;
    bool joined;                            /* taps along x read neighbours: one tap, as many times as long */
    int64_t depth;                          /* rows of packed weights that a tap takes */
    int64_t from_stride[4], to_stride[4];   /* per position; of a batch element last */
    /* out */
    swg__box *boxes;
    int64_t box_count, lines;
} swg__lines;

/* Strides of positions that take `each`, channels and whatever the unit is; of a batch element last. */
void swg__lines_strides(const int64_t extent[3], int64_t each, int64_t stride[4]);
/* rows: how many make a row of tiles worth having. False: out of memory. */
bool swg__lines_make(swg__lines *l, swg__arena *arena, bool transposed, int rows);
/* The box that a line lies in, if that is another than b. */
const swg__box *swg__lines_box(const swg__lines *l, const swg__box *b, int64_t line);

/* Where a line begins, its rows and their distances, in units of the strides. */
typedef struct swg__line { int64_t from, to, rows, from_step, to_step, sample; bool over_batch; } swg__line;
swg__line swg__lines_at(const swg__lines *l, const swg__box *b, int64_t line);

/* Taps [first, end) of the kernel that a box sees: their table, how many there are and come before, and how many it sees in all. */
typedef struct swg__tap_list { swg__tap *table; int64_t count, before, all; } swg__tap_list;
void swg__lines_taps(const swg__lines *l, const swg__box *b, int64_t first, int64_t end, swg__tap_list *list);

#endif
