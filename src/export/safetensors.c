/* safetensors.c - element types and checksums of safetensors files, for the reader and the writer.
 * In: tensors and metadata. Out: text.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "export/safetensors.h"

const char *swg_stored_name(swg_stored dtype) {
    switch (dtype) {
#define X(name, bytes) case SWG_STORED_##name: return #name;
        SWG_STORED_TABLE(X)
#undef X
    default: return "?";
    }
}

int64_t swg_stored_bytes(swg_stored dtype) {
    switch (dtype) {
#define X(name, bytes) case SWG_STORED_##name: return bytes;
        SWG_STORED_TABLE(X)
#undef X
    default: return 0;
    }
}

/* With the zero byte, so that "ab","c" and "a","bc" differ. */
static uint32_t add_text(uint32_t crc, const char *text) { return swg__crc32c(crc, text, strlen(text) + 1); }

static uint32_t add_number(uint32_t crc, int64_t number) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)number >> (8 * i));
    return swg__crc32c(crc, bytes, 8);
}

void swg__safetensors_crc(swg__text *out, const swg_tensor *tensors, int64_t tensor_count, const swg__note *notes, int64_t note_count) {
    uint32_t header = 0;
    for (int64_t i = 0; i < tensor_count; i++) {
        const swg_tensor *t = &tensors[i];
        header = add_text(add_text(header, t->name), swg_stored_name(t->dtype));
        header = add_number(header, t->ndim);
        for (int d = 0; d < t->ndim; d++)
            header = add_number(header, t->shape[d]);
        swg__text_printf(out, "%08x %s\n", swg__crc32c(0, t->data, (size_t)t->bytes), t->name);
    }
    for (int64_t i = 0; i < note_count; i++)
        if (strcmp(notes[i].key, SWG__CRC_KEY) != 0)
            header = add_text(add_text(header, notes[i].key), notes[i].value);
    swg__text_printf(out, "%08x\n", header);
}
