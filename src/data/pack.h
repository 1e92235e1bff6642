/* pack.h - rows appended to chunked datasets of a direct sink: full chunks are packed by all threads and written in order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_PACK_H
#define SWAGE_DATA_PACK_H

#include "sink.h"

typedef struct swg__packer swg__packer;

/* level: of deflate, 1..9; 0: fast, for numbers that hardly deflate. The sink must stay open as long. */
swg_status swg__packer_open(swg_context *ctx, swg_sink *sink, int level, swg__packer **out);
void swg__packer_close(swg__packer *packer); /* NULL is allowed; what was not flushed is lost */

/* A dataset to which rows of dims[axis..] are appended. axis 0: rows are the first axis, which grows from 0. axis 1: the first axis is
 * fixed at `lead` and its extent at dims[0]; rows fill dims[1]. `number`: a dataset made before (several columns of one), or -1 for a
 * new one; *column is for the calls below. chunk_rows: rows of a chunk. */
typedef struct swg__column_opts {
    const char *dataset;
    swg_element element;
    int ndim;
    const int64_t *dims;
    int axis;
    int64_t lead, chunk_rows, number;
    int64_t rows;       /* how many there will be, 0: not known. A column that has them all is finished by the next flush and holds no memory. */
} swg__column_opts;
swg_status swg__packer_column(swg__packer *packer, const swg__column_opts *opts, int64_t *column);
/* Dataset behind a column, for the `number` of another. */
int64_t swg__packer_dataset(const swg__packer *packer, int64_t column);

/* Room for `rows` more rows, to be filled by the caller before the next call for the same column; NULL when out of memory. */
void *swg__packer_add(swg__packer *packer, int64_t column, int64_t rows);
/* Row `row` of the column's dataset, which was added and not flushed yet; valid as long as no rows are added. */
void *swg__packer_at(const swg__packer *packer, int64_t column, int64_t row);
/* Packs and writes the chunks that are full; with `end`, all that is left, padded with zeros, and sets the extents. */
swg_status swg__packer_flush(swg__packer *packer, bool end);
int64_t swg__packer_rows(const swg__packer *packer, int64_t column); /* added so far */

#endif
