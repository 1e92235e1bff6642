/* input.h - where a stream is read from: memory, or a file of which only what is asked for is read.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_INPUT_H
#define SWAGE_CODEC_INPUT_H

#include <stdatomic.h>
#include "record.h"

/* Safe from several threads once it is open. */
typedef struct swg__input {
    swg_context *ctx;
    const uint8_t *data;           /* memory, borrowed; NULL: the file */
    int fd;                        /* -1: memory */
    uint64_t bytes;                /* in all */
    atomic_uint_fast64_t taken;    /* bytes given out so far */
} swg__input;

/* A stretch of the input. */
typedef struct swg__piece {
    swg__span span;
    uint8_t *owned;                /* read from a file; NULL: span points into memory */
} swg__piece;

/* SWG_ENOTFOUND, SWG_EIO: cannot be opened, no regular file. */
swg_status swg__input_file(swg__input *input, swg_context *ctx, const char *path);
void swg__input_memory(swg__input *input, swg_context *ctx, const void *data, size_t bytes);
void swg__input_close(swg__input *input);

/* bytes [offset, offset + bytes), which must lie inside. NULL, or the reason with an empty piece. Free the piece in any case. */
const char *swg__input_take(swg__input *input, uint64_t offset, uint64_t bytes, swg__piece *piece);
void swg__piece_free(swg__input *input, swg__piece *piece);

#endif
