/* stream.h - bytes of a file or of memory, read in any order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BASE_STREAM_H
#define SWAGE_BASE_STREAM_H

#include "base.h"

typedef struct swg__stream {
    int fd;                     /* -1: memory */
    const uint8_t *data;
    int64_t size, at;
} swg__stream;
int64_t swg__stream_read(swg__stream *stream, void *to, int64_t bytes); /* bytes read; fewer at the end, -1 on failure */
/* A regular file. SWG_ENOTFOUND, SWG_EIO with a message. */
swg_status swg__stream_open(swg_context *ctx, const char *path, swg__stream *out);
void swg__stream_close(swg__stream *stream);

#endif
