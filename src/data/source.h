/* source.h - parts of arrays, for work that streams.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_SOURCE_H
#define SWAGE_DATA_SOURCE_H

#include "swage/data.h"

/* Reads the part of array `index` that begins at `first` and has `extent` values along each of its ndim axes, C order, native byte
 * order. The dataset stays open, with room for the chunks that such a part touches, so neighbouring parts do not inflate them again.
 * Errors as swg_source_read. One caller at a time, any thread. */
swg_status swg__source_read_part(swg_source *source, int64_t index, const int64_t *first, const int64_t *extent, void *buffer);

#endif
