/* fuzz_insitu.c - libFuzzer target: any bytes as an in-situ message. Byte 0: shape of the coder; bit 7: lengths and checksums are repaired
 * first. Finds crashes, reads outside the message and memory outside the region.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "codec/bytes.h"
#include "swage/insitu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const swg_insitu_opts shapes[4] = {
        {.type = SWG_ELEMENT_F32, .ndim = 2, .dims = {7, 7}, .items = 20},
        {.type = SWG_ELEMENT_F64, .ndim = 3, .dims = {5, 5, 5}, .items = 8},
        {.type = SWG_ELEMENT_I32, .ndim = 1, .dims = {64}, .items = 4},
        {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {7, 6, 5}, .items = 5},
    };
    if (size < 1)
        return 0;
    const swg_insitu_opts *o = &shapes[data[0] & 3];
    uint64_t values[8 * 125];
    uint8_t *message = malloc(size); /* of the exact size: the sanitiser sees every step outside */
    size_t bytes = size - 1, memory = swg_insitu_memory(o);
    void *work = malloc(memory);
    swg_insitu *coder;
    memcpy(message, data + 1, bytes);
    if (swg_insitu_open(o, work, memory, &coder) != SWG_OK)
        abort();
    if (data[0] & 128 && bytes >= 108) {
        swg__store32(message + 12, (uint32_t)bytes);
        swg__store32(message + 60, swg__crc32c(0, message, 60));
        swg__store32(message + 68, (uint32_t)(bytes - 64));
        swg__store32(message + bytes - 4, swg__crc32c(0, message + 64, bytes - 68));
    }
    int64_t items = swg_insitu_items(message, bytes);
    (void)swg_insitu_decompress(coder, message, bytes, values, items >= 1 && items <= o->items ? items : 1);
    swg_insitu_close(coder);
    free(work);
    free(message);
    return 0;
}
