/* fuzz_model.c - libFuzzer target: any bytes as a file of models (.swm). Byte 0 odd: magic, version and checksum are repaired first.
 * What is taken for good must write the same models again, and code and decode a small array without harm.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "codec/model.h"
#include "swage/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EDGE = 12 };

static void use(swg_context *ctx, const swg_codec_model *model) {
    float values[EDGE * EDGE * EDGE], back[EDGE * EDGE * EDGE];
    for (int i = 0; i < EDGE * EDGE * EDGE; i++)
        values[i] = sinf(0.02f * (float)i) + 0.3f * cosf(0.5f * (float)(i % EDGE));
    const swg_codec_array a = {.type = SWG_ELEMENT_F32, .ndim = 3, .dims = {EDGE, EDGE, EDGE}, .data = values};
    swg_codec_buffer out;
    swg_codec_gap gap;
    swg_swz *swz;
    if (swg_codec_compress(ctx, &a, &(swg_codec_opts){.bound = SWG_BOUND_ABS, .value = 1e-3, .chunk = {6, 6, 6}, .model = model}, &out, NULL) != SWG_OK ||
        swg_swz_open_memory(ctx, out.data, out.bytes, &swz) != SWG_OK || swg_swz_read(swz, 0, back, sizeof back) != SWG_OK ||
        swg_codec_compare(ctx, &a, back, 1e-3, &gap) != SWG_OK || gap.violations)
        abort();
    swg_swz_close(swz);
    swg_codec_buffer_free(ctx, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static swg_context *ctx;
    swg_codec_model *model;
    if (!ctx && swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (size < 1)
        return 0;
    uint8_t *copy = malloc(size);
    size--;
    memcpy(copy, data + 1, size);
    if ((data[0] & 1) && size >= 20) {
        memcpy(copy, "\x89SWM\r\n\x1A\n\1\0", 10);
        swg__store32(copy + size - 4, swg__crc32c(0, copy, size - 4));
    }
    if (swg__model_read(ctx, copy, size, "x", &model) == SWG_OK) {
        for (int i = 0; i < swg_codec_model_count(model); i++) {
            swg_codec_model_info info;
            swg_codec_model_describe(model, i, &info);
            if (!info.kind || !info.name || !(info.bound >= 0) || info.bytes < SWG__BLOB_HEAD)
                abort();
        }
        use(ctx, model);
        swg_codec_model_free(ctx, model);
    }
    free(copy);
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
