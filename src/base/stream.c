/* stream.c - bytes of a file or of memory, read in any order.
 * In: a path or memory. Out: bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t swg__stream_read(swg__stream *stream, void *to, int64_t bytes) {
    int64_t left = stream->size - stream->at, got = 0;
    if (bytes > left)
        bytes = left > 0 ? left : 0;
    if (stream->fd < 0) {
        if (bytes)
            memcpy(to, stream->data + stream->at, (size_t)bytes);
        got = bytes;
    }
    while (got < bytes) {
        ssize_t n = pread(stream->fd, (uint8_t *)to + got, (size_t)(bytes - got), (off_t)(stream->at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += n;
    }
    stream->at += got;
    return got;
}

swg_status swg__stream_open(swg_context *ctx, const char *path, swg__stream *out) {
    *out = (swg__stream){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a pipe must not hang */
    if (out->fd < 0)
        return swg__fail(ctx, errno == ENOENT || errno == ENOTDIR ? SWG_ENOTFOUND : SWG_EIO, "%s: cannot open: %s", path, strerror(errno));
    struct stat info;
    if (fstat(out->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        swg__stream_close(out);
        return swg__fail(ctx, SWG_EIO, "%s: is not a regular file", path);
    }
    out->size = info.st_size;
    return SWG_OK;
}

void swg__stream_close(swg__stream *stream) {
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}
