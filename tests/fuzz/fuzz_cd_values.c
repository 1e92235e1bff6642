/* fuzz_cd_values.c - libFuzzer target: any words as the parameters of the HDF5 filter, any bytes as a chunk. Byte 0: 1 repairs the
 * checksums first, 2 the record's, too; byte 1: the dataset; u16: number of words; the words; the chunk. What opens must encode a chunk
 * and give it back within its bound.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "codec/filter.h"
#include "swage/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20 };

static void repair_words(uint32_t *w, size_t n, uint8_t *bytes) {
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++)
            swg__store32(bytes + 4 * i, w[i]);
        if (n >= SWG__FILTER_FIXED_WORDS && !pass) {
            uint32_t blob = n > 66 ? w[64] : 0; /* of the first model: its hash, too */
            if (blob && blob <= 4 * (n - 66)) {
                swg__sha256(bytes + 4 * 65, blob, bytes + 4 * 55);
                for (size_t i = 55; i < 63; i++)
                    w[i] = swg__load32(bytes + 4 * i);
            }
            w[52] = swg__crc32c(0, bytes + 16, 192);
            w[2] = (uint32_t)n;
        } else if (n) {
            w[n - 1] = swg__crc32c(0, bytes, 4 * n - 4);
        }
    }
}

static void try_chunk(swg_context *ctx, const swg__filter *f, uint8_t *record, size_t size, bool repair) {
    size_t bytes = swg__filter_chunk_bytes(f);
    if (bytes > MOST)
        return;
    if (repair && size >= 40) {
        memcpy(record, "SWCK", 4);
        swg__store32(record + 4, (uint32_t)(size & ~(size_t)3));
        swg__store64(record + 8, 0);
        swg__store32(record + 16, (uint32_t)f->layout.values);
        size &= ~(size_t)3;
        swg__store32(record + size - 4, swg__crc32c(0, record, size - 4));
    }
    uint8_t *values = malloc(bytes), *back = malloc(bytes);
    (void)swg__filter_decode(ctx, f, record, size, values, bytes);
    for (size_t i = 0; i < bytes; i++)
        values[i] = size ? record[i % size] : (uint8_t)i;
    swg__text coded;
    swg__text_init(&coded, ctx);
    if (swg__filter_encode(ctx, f, values, bytes, &coded) == SWG_OK) { /* a bound this version lacks may be refused */
        if (swg__filter_decode(ctx, f, coded.data, coded.length, back, bytes) != SWG_OK)
            abort();
        if (f->header.source_order) {
            swg__swap_bytes(values, f->layout.values, swg_element_bytes(f->header.type));
            swg__swap_bytes(back, f->layout.values, swg_element_bytes(f->header.type));
        }
        swg_codec_array a = {.type = f->header.type, .ndim = 1, .dims = {f->layout.values}, .data = values};
        swg_codec_gap gap;
        if (f->header.bound == SWG_BOUND_ABS && (swg_codec_compare(ctx, &a, back, f->header.grid.eb, &gap) != SWG_OK || gap.violations))
            abort();
    }
    swg__text_free(&coded);
    free(back);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t dims[4][3] = {{10, 20, 30}, {1, 1, 1}, {60, 5, 5}, {1, 400, 1}};
    static const swg_element types[4] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I16, SWG_ELEMENT_U64};
    static swg_context *ctx;
    if (!ctx && swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (size < 4)
        return 0;
    size_t count = swg__load16(data + 2);
    count = count < (size - 4) / 4 ? count : (size - 4) / 4;
    uint32_t *words = malloc(4 * count + 4), *resolved = malloc(4 * SWG__FILTER_WORDS);
    uint8_t *bytes = malloc(4 * count + 4);
    for (size_t i = 0; i < count; i++)
        words[i] = swg__load32(data + 4 + 4 * i);
    if (data[0] & 1)
        repair_words(words, count, bytes);
    size_t left = size - 4 - 4 * count, written = 0;
    uint8_t *record = malloc(left + 1);
    memcpy(record, data + 4 + 4 * count, left);
    swg__filter_shape shape = {.type = types[data[1] & 3], .big_endian = data[1] >> 2 & 1, .rank = 3, .dims = dims[data[1] >> 4 & 3], .chunk = dims[data[1] >> 4 & 3]};
    swg__filter f;
    size_t seen = count < SWG__FILTER_SEEN ? count : SWG__FILTER_SEEN;
    if (swg__filter_resolve(ctx, words, seen, count, &shape, resolved, &written) == SWG_OK && written) {
        if (swg__filter_open(ctx, resolved, written, &f) != SWG_OK)
            abort(); /* what set_local writes can be read */
        try_chunk(ctx, &f, record, left, data[0] & 2);
        swg__filter_close(ctx, &f);
    }
    if (swg__filter_open(ctx, words, count, &f) == SWG_OK) {
        try_chunk(ctx, &f, record, left, data[0] & 2);
        swg__filter_close(ctx, &f);
    }
    free(record);
    free(bytes);
    free(resolved);
    free(words);
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
