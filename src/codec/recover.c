/* recover.c - finds the last valid footer of a file whose end was lost, and cuts the file back to it.
 * In: a file that grew and was interrupted. Out: what its last complete flush held.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "swz.h"

enum { BLOCK = 1 << 16 };

/* Does a footer end at `end`? Both kinds have their length, checksum and end magic in the same places. */
static bool footer_ends(swg__input *input, uint64_t end) {
    swg__piece piece;
    if (end < SWG__FOOTER_BYTES)
        return false;
    const char *why = swg__input_take(input, end - SWG__FOOTER_BYTES, SWG__FOOTER_BYTES, &piece);
    const uint8_t *at = piece.span.data;
    bool good = !why && (memcmp(at, "SWFT", 4) == 0 || memcmp(at, "SWCF", 4) == 0) && swg__load32(at + 4) == SWG__FOOTER_BYTES &&
                swg__load64(at + 48) == end && swg__load32(at + 56) == swg__crc32c(0, at, 56);
    swg__piece_free(input, &piece);
    return good;
}

/* End of the last footer that ends at or before `end`; 0: there is none. */
static swg_status find_footer(swg__input *input, uint64_t end, const char *path, uint64_t *found) {
    *found = 0;
    while (end >= SWG__FOOTER_BYTES && !*found) {
        swg__piece piece;
        const uint64_t begin = end > BLOCK ? end - BLOCK : 0;
        const char *why = swg__input_take(input, begin, end - begin, &piece);
        if (why)
            return swg__fail(input->ctx, why == swg__why_memory ? SWG_ENOMEM : SWG_EIO, "%s: %s", path, why);
        for (size_t i = piece.span.bytes; i >= 4 && !*found; i--) {
            const uint8_t *at = piece.span.data + i - 4;
            if (at[0] == 0x1A && (memcmp(at + 1, "SWZ", 3) == 0 || memcmp(at + 1, "CWS", 3) == 0) && footer_ends(input, begin + i))
                *found = begin + i;
        }
        swg__piece_free(input, &piece);
        end = begin ? begin + 3 : 0; /* an end magic may lie across two blocks */
    }
    return SWG_OK;
}

swg_status swg_swz_open_last(swg_context *ctx, const char *path, swg_swz **out, int64_t *dropped) {
    swg__input input;
    *out = NULL;
    SWG__TRY(swg__input_file(&input, ctx, path));
    const uint64_t bytes = input.bytes;
    for (uint64_t end = bytes;;) {
        swg__input part;
        swg_status status = swg__input_file(&part, ctx, path);
        if (status == SWG_OK) {
            part.bytes = end < part.bytes ? end : part.bytes;
            status = swg__swz_open(ctx, &part, path, out);
        }
        *dropped = (int64_t)(bytes - end);
        uint64_t before = 0;
        bool damaged = status == SWG_ECORRUPT;
        if (damaged)
            status = find_footer(&input, end == bytes ? bytes : end - 1, path, &before);
        if (damaged && status == SWG_OK && !before)
            status = swg__fail(ctx, SWG_ECORRUPT, "%s: has no valid footer anywhere", path);
        if (!damaged || status != SWG_OK) {
            swg__input_close(&input);
            return status;
        }
        end = before;
    }
}

swg_status swg_swz_recover(swg_context *ctx, const char *path, int64_t *dropped) {
    swg_swz *swz;
    int64_t bytes;
    SWG__TRY(swg_swz_open_last(ctx, path, &swz, &bytes));
    const uint64_t end = swg__swz_end(swz);
    swg_swz_close(swz);
    if (dropped)
        *dropped = bytes;
    if (!bytes)
        return SWG_OK;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && ftruncate(fd, (off_t)end) == 0 && fsync(fd) == 0;
    swg_status status = good ? SWG_OK : swg__fail(ctx, SWG_EIO, "%s: cannot be cut back: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}
