/* input.c - pieces of a stream from memory (as they lie) or from a file (one read each).
 * In: offsets and lengths that the caller has checked. Out: bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "input.h"

swg_status swg__input_file(swg__input *input, swg_context *ctx, const char *path) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = errno;
    *input = (swg__input){.ctx = ctx, .fd = fd};
    if (fd < 0)
        return swg__fail(ctx, error == ENOENT || error == ENOTDIR ? SWG_ENOTFOUND : SWG_EIO, "%s: cannot open: %s", path, strerror(error));
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        input->bytes = (uint64_t)info.st_size;
        return SWG_OK;
    }
    swg__input_close(input);
    return swg__fail(ctx, SWG_EIO, "%s: is not a regular file", path);
}

void swg__input_memory(swg__input *input, swg_context *ctx, const void *data, size_t bytes) {
    static const uint8_t nothing[1];
    *input = (swg__input){.ctx = ctx, .data = data ? data : nothing, .fd = -1, .bytes = bytes};
}

void swg__input_close(swg__input *input) {
    if (input->fd >= 0)
        close(input->fd);
    input->fd = -1;
}

const char *swg__input_take(swg__input *input, uint64_t offset, uint64_t bytes, swg__piece *piece) {
    *piece = (swg__piece){0};
    atomic_fetch_add_explicit(&input->taken, bytes, memory_order_relaxed);
    if (input->data) {
        piece->span = (swg__span){input->data + offset, (size_t)bytes};
        return NULL;
    }
    piece->owned = swg__alloc(input->ctx, (size_t)bytes);
    if (!piece->owned)
        return swg__why_memory;
    for (uint64_t got = 0; got < bytes;) {
        ssize_t n = pread(input->fd, piece->owned + got, (size_t)(bytes - got), (off_t)(offset + got));
        if (n > 0)
            got += (uint64_t)n;
        else if (n == 0 || errno != EINTR) {
            swg__piece_free(input, piece);
            return swg__why_io;
        }
    }
    piece->span = (swg__span){piece->owned, (size_t)bytes};
    return NULL;
}

void swg__piece_free(swg__input *input, swg__piece *piece) {
    swg__free(input->ctx, piece->owned);
    *piece = (swg__piece){0};
}
