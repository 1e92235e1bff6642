/* fuzz_volume_head.c - hostile files of the cache of prepared images: refused, or a head whose values fill the file exactly.
 * In: a file's bytes; the checksum of the head is put right, so that what it guards is reached. Out: nothing; a read outside ends the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "codec/bytes.h"
#include "data/volumes_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const uint8_t *data, size_t bytes, int64_t file_bytes) {
    swg__volume_head head;
    if (swg__volume_head_parse(data, bytes, file_bytes, &head))
        return;
    int64_t values = 4;
    for (int i = 0; i < 4; i++)
        if (swg__mul_overflow(values, head.dims[i], &values))
            abort();
    if (head.offset + values != file_bytes || (const uint8_t *)head.text + head.text_bytes > data + bytes)
        abort();
    volatile char last = 0;
    for (size_t i = 0; i < head.text_bytes; i++)
        last = head.text[i];
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const uint8_t none[4];
    check(data, bytes, (int64_t)bytes);
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy)
        abort();
    memcpy(copy, data, bytes);
    const size_t head = bytes >= 16 ? swg__load32(copy + 8) : 0;
    if (head >= 16 && head <= bytes)
        swg__store32(copy + 12, swg__crc32c(swg__crc32c(swg__crc32c(0, copy, 12), none, 4), copy + 16, head - 16));
    check(copy, bytes, (int64_t)bytes);
    check(copy, bytes, INT64_MAX);
    free(copy);
    return 0;
}
