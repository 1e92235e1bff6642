/* fuzz_open.c - libFuzzer target: any bytes as a .swz file or collection. First byte odd: the checksums are repaired first, so that
 * what lies behind them is reached. Everything that opens is read whole. Finds crashes, leaks and reads outside the buffer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "codec/container.h"
#include "swage/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(uint8_t *data, size_t begin, size_t end) { /* checksum behind begin .. end */
    swg__store32(data + end, swg__crc32c(0, data + begin, end - begin));
}

/* Checksum of a section whose frame fits. */
static void seal_section(uint8_t *d, size_t size, uint64_t at, uint64_t bytes) {
    if (at < size && bytes >= SWG__FRAME_BYTES && bytes <= size - at)
        seal(d, (size_t)at, (size_t)(at + bytes) - 4);
}

static void repair_stream(uint8_t *d, size_t size) {
    if (size < SWG__HEADER_BYTES + SWG__FOOTER_BYTES)
        return;
    uint32_t header = swg__load32(d + 12);
    uint64_t models = swg__load64(d + 160), index = swg__load64(d + size - 56), index_bytes = swg__load64(d + size - 48);
    if (index < size && index_bytes <= size - index)
        for (uint64_t at = index + 24; at + SWG__INDEX_ENTRY <= index + index_bytes; at += SWG__INDEX_ENTRY) {
            uint64_t record = swg__load64(d + at), bytes = swg__load32(d + at + 8);
            if (record < size && bytes >= 40 && bytes <= size - record) {
                seal(d, (size_t)record, (size_t)(record + bytes) - 4);
                memcpy(d + at + 20, d + record + bytes - 4, 4);
            }
        }
    if (models && models < size && size - models >= 64) {
        uint64_t payload = swg__load64(d + models + 8), blob = swg__load32(d + models + 56);
        if (payload <= size - models - SWG__FRAME_BYTES) {
            if (blob <= payload && payload - blob >= 44)
                swg__sha256(d + models + 60, (size_t)blob, d + models + 20);
            seal_section(d, size, models, payload + SWG__FRAME_BYTES);
        }
    }
    seal_section(d, size, index, index_bytes);
    if (header >= SWG__HEADER_BYTES && header <= size - SWG__FOOTER_BYTES)
        seal(d, 0, header - 4);
    seal(d, size - SWG__FOOTER_BYTES, size - 8);
}

static void repair(uint8_t *d, size_t size) {
    if (size < 80 || memcmp(d, "\x89SWC", 4) != 0) {
        repair_stream(d, size);
        return;
    }
    uint64_t directory = swg__load64(d + size - 56), bytes = swg__load64(d + size - 48);
    seal(d, 0, 12);
    for (uint64_t at = directory + 24; directory < size && at + 20 <= size;) {
        uint64_t member = swg__load64(d + at), length = swg__load64(d + at + 8);
        if (member < size && length <= size - member)
            repair_stream(d + member, (size_t)length);
        at += 20 + (uint64_t)swg__load16(d + at + 16) + swg__load16(d + at + 18);
    }
    seal_section(d, size, directory, bytes);
    seal(d, size - 64, size - 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST = 1 << 22 };
    static swg_context *ctx;
    if (!ctx && swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (size < 1)
        return 0;
    uint8_t *copy = malloc(size); /* of the exact size, without the first byte: the sanitiser sees every step outside */
    if (size > 1)
        memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        repair(copy, size - 1);
    swg_swz *swz;
    if (swg_swz_open_memory(ctx, copy, size - 1, &swz) == SWG_OK) {
        for (int64_t m = 0; m < swg_swz_count(swz); m++) {
            const swg_swz_info *info = swg_swz_member(swz, m);
            if (info->bytes_raw <= MOST) {
                void *out = malloc((size_t)info->bytes_raw);
                (void)swg_swz_read(swz, m, out, (size_t)info->bytes_raw);
                free(out);
            }
        }
        swg_swz_close(swz);
    }
    free(copy);
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
