/* fuzz_chunk.c - libFuzzer target: any bytes as the streams of one chunk record, in a file whose every other part is right.
 * Byte 0: type, lossy or not, point-wise relative or not, fill mode. Byte 1: shape; bits 3 to 5: model, 0 that of the mode, 3 none there is.
 * Bytes 2..7: mode, submode, sub_shift, lanes, flags. Then per stream u8 kind, u16 length, bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "codec/block.h"
#include "codec/model.h"
#include "codec/net.h"
#include "codec/poly.h"
#include "codec/stencil.h"
#include "../codec_causal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODELS = 5 };

/* A network of kind 6, edge 3, 4 latents, one hidden layer with a table. */
static void put_network(swg__text *out) {
    swg__blob_begin(out, SWG__KIND_SWAE);
    swg__put32(out, 3 | 4 << 16);
    swg__put32(out, 0x1E1E1E1E);
    swg__put32(out, 2);
    swg__put32(out, 4 | 5 << 16);
    swg__put32(out, 2 | SWG__NET_TABLE << 8 | 100 << 16);
    for (unsigned i = 0; i < 256; i++)
        swg__put8(out, i);
    for (unsigned i = 0; i < 5 * 4 + 5 * 4; i++)
        swg__put8(out, i % 4 == 3 ? 0 : i * 37);
    swg__put32(out, 5 | 27 << 16);
    swg__put32(out, 3);
    for (unsigned i = 0; i < 27 * 4; i++)
        swg__put8(out, i % 4 > 1 ? 0 : i * 37);
    for (unsigned i = 0; i < 27 * 8; i++)
        swg__put8(out, i % 8 > 4 ? 0 : i * 91);
    swg__blob_end(out);
}

static void put_causal(swg__text *out) {
    static const int width[] = {28, 6, 2};
    causal_blob(out, width, 2);
}

static void put_stencil(swg__text *out) {
    swg__stencil model = {.c_min = 3, .c_max = 50};
    for (int k = 1; k < SWG__TAPS; k++)
        model.w[k] = (k * 977) % 8001 - 4000;
    for (int c = 0; c < 128; c++)
        for (int r = 0; r < 3; r++)
            model.bucket[c][r] = (uint8_t)(c / 2 + 9 * r);
    swg__blob_begin(out, SWG__KIND_STENCIL);
    swg__stencil_write(&model, out);
    swg__blob_end(out);
}

static void put_law(swg__text *out) {
    swg__blob_begin(out, SWG__KIND_LAW);
    swg__put(out, &swg__poly_built_in, sizeof swg__poly_built_in);
    swg__blob_end(out);
}

static void put_variogram(swg__text *out) {
    swg__variogram v;
    if (swg__variogram_open(out->ctx, 3, false, &v) != SWG_OK)
        abort();
    for (int64_t i = 0; i < v.count; i++)
        v.gamma[i] = (uint32_t)(500 + 97 * i % 1009);
    swg__blob_begin(out, SWG__KIND_BLOCK_CAUSAL);
    swg__variogram_write(&v, out);
    swg__blob_end(out);
    swg__variogram_close(&v);
}

/* The MODL section: a model of each kind. */
static void put_models(swg__text *out) {
    static void (*const put[MODELS])(swg__text *) = {put_network, put_causal, put_stencil, put_law, put_variogram};
    swg_codec_model *set;
    if (swg__model_new(out->ctx, &set) != SWG_OK)
        abort();
    for (int i = 0; i < MODELS; i++) {
        swg__text blob;
        swg__text_init(&blob, out->ctx);
        put[i](&blob);
        if (swg__model_add(set, (const uint8_t *)blob.data, blob.length, NULL, 0, true))
            abort();
        swg__text_free(&blob);
    }
    swg__models_write((swg__model_pair){set, NULL}, (const int[MODELS]){0, 1, 2, 3, 4}, MODELS, out);
    swg_codec_model_free(out->ctx, set);
}

/* Number of the model that suits the record's mode. */
static uint16_t model_of(const swg__record_head *head) {
    if (head->mode == SWG__MODE_B)
        return head->submode ? 0 : SWG__NO_MODEL;
    return head->mode == SWG__MODE_W && !(head->flags & SWG__FLAG_LOCAL) ? 1 : SWG__NO_MODEL;
}

static void build(const uint8_t *data, size_t size, swg__text *out) {
    static const int64_t dims[8][4] = {{1, 1, 1, 1},  {1, 1, 1, 200}, {1, 1, 17, 19}, {1, 6, 7, 8}, {3, 4, 5, 6}, {9, 3, 3, 3}, {1, 2, 1, 1}, {1, 70, 2, 3}};
    static const swg_element types[8] = {SWG_ELEMENT_F32, SWG_ELEMENT_F64, SWG_ELEMENT_I8, SWG_ELEMENT_U16, SWG_ELEMENT_I32, SWG_ELEMENT_I64, SWG_ELEMENT_U64, SWG_ELEMENT_F32};
    swg__header h = {.type = types[data[0] & 7], .ndim = 4, .axis_map = SWG__IDENTITY_MAP, .n_models = MODELS, .off_models = 196, .n_chunks = 1};
    h.grid.type = h.type;
    if (data[0] & 8) {
        h.bound = SWG_BOUND_ABS;
        h.value = h.grid.eb = 1;
        h.grid.step = swg__is_float(h.type) ? 0.5 : 3;
        h.grid.sig = swg__is_float(h.type) ? 20 : 0;
    }
    if ((data[0] & 24) == 24 && swg__is_float(h.type)) {
        h.bound = SWG_BOUND_PW_REL;
        h.value = h.grid.eb = 1e-3;
        h.grid.step = 0;
        h.grid.sig = 0;
        h.grid.pw_h = 3172517977;
    }
    h.fill.mode = data[0] & 32 ? SWG_FILL_VALUE : data[0] & 64 ? SWG_FILL_ABOVE : SWG_FILL_NONE;
    h.fill.bits = data[0] & 96 ? 7 : 0;
    h.fill.threshold = h.fill.mode == SWG_FILL_ABOVE ? 1e19 : 0;
    uint32_t values = 1;
    for (int i = 0; i < 4; i++) {
        h.dims[i] = h.chunk[i] = dims[data[1] & 7][i];
        values *= (uint32_t)h.dims[i];
    }
    swg__header_write(&h, NULL, NULL, out);
    put_models(out);
    swg__draft draft;
    swg__draft_init(&draft, out->ctx);
    draft.head.n_values = values;
    draft.head.mode = data[2];
    draft.head.submode = data[3];
    draft.head.sub_shift = data[4];
    draft.head.lanes_log2 = data[5];
    draft.head.flags = swg__load16(data + 6);
    const unsigned ref = data[1] >> 3 & 7;
    draft.head.model_ref = ref == 0 ? model_of(&draft.head) : (uint16_t)(ref < 3 ? ref + 1 : ref == 3 ? MODELS : ref);
    swg__cursor in = {.at = data + 8, .end = data + size};
    while (swg__left(&in) >= 3) {
        uint32_t kind = swg__take8(&in) & 15, length = swg__take16(&in);
        length = length <= swg__left(&in) ? length : (uint32_t)swg__left(&in);
        const uint8_t *bytes = swg__take(&in, length);
        if (kind >= 1 && kind < SWG__STREAM_KINDS)
            swg__put(&draft.stream[kind], bytes, length);
    }
    swg__index_entry e = {.offset = out->length, .mode = draft.head.mode, .submode = draft.head.submode, .flags = draft.head.flags};
    if (swg__draft_write(&draft, out->ctx, out) != SWG_OK)
        abort();
    e.record_bytes = draft.head.record_bytes;
    e.crc = draft.head.crc;
    swg__draft_free(&draft);
    swg__footer footer = {.off_index = out->length, .index_bytes = 52, .n_chunks = 1, .dims0 = (uint64_t)h.dims[0]};
    size_t start = out->length;
    swg__section_begin(out, "INDX", 32);
    swg__put64(out, 1);
    swg__index_write(&e, out);
    swg__section_end(out, start);
    footer.file_bytes = out->length + SWG__FOOTER_BYTES;
    swg__footer_write(&footer, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static swg_context *ctx;
    if (!ctx && swg_context_open(&(swg_context_opts){.threads = 1}, &ctx) != SWG_OK)
        abort();
    if (size < 8)
        return 0;
    swg__text file;
    swg_swz *swz;
    uint64_t values[512];
    swg__text_init(&file, ctx);
    build(data, size, &file);
    uint8_t *copy = malloc(file.length);
    size_t bytes = file.length;
    memcpy(copy, file.data, bytes);
    swg__text_free(&file);
    if (swg_swz_open_memory(ctx, copy, bytes, &swz) != SWG_OK)
        abort(); /* only the record is wrong: the file must open */
    (void)swg_swz_read(swz, 0, values, (size_t)swg_swz_member(swz, 0)->bytes_raw);
    swg_swz_close(swz);
    free(copy);
    if (swg_context_bytes(ctx) != 0)
        abort();
    return 0;
}
