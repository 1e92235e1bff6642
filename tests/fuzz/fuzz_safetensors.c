/* fuzz_safetensors.c - hostile safetensors files: an error, or tensors whose every byte can be read.
 * In: a file's bytes. Out: nothing; a read outside the bytes is caught by the sanitiser.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "base.h"
#include "swage/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    swg_context *ctx;
    swg_safetensors *file;
    static const uint8_t nothing[1];
    if (swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (swg_safetensors_open_memory(ctx, bytes ? data : nothing, bytes, "fuzz", &file) == SWG_OK) {
        uint32_t crc = 0;
        int64_t total = 0;
        for (int64_t i = 0; i < swg_safetensors_count(file); i++) {
            const swg_tensor *t = swg_safetensors_at(file, i);
            if (swg_safetensors_find(file, t->name) != t || (uintptr_t)t->data % (uintptr_t)swg_stored_bytes(t->dtype) != 0)
                abort();
            crc = swg__crc32c(crc, t->data, (size_t)t->bytes);
            total += t->bytes;
        }
        if ((size_t)total > bytes)
            abort();
        swg_safetensors_check(file);
    }
    swg_safetensors_close(file);
    if (swg_context_bytes(ctx) != 0)
        abort();
    swg_context_close(ctx);
    return 0;
}
