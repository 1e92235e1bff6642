/* model_file.c - a set of models as a file of its own, .swm (docs/format.md, "Model files").
 * In: bytes of any origin. Out: checked and parsed models; and back, with one name for whole files only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

static const uint8_t magic[8] = {0x89, 'S', 'W', 'M', '\r', '\n', 0x1A, '\n'};
enum { HEAD = 16, ENTRY = 16, NAME_BYTES = 65535 };

swg_status swg_codec_model_save(swg_context *ctx, const swg_codec_model *model, const char *path) {
    swg__text out;
    uint8_t number[8];
    swg__text_init(&out, ctx);
    swg__put(&out, magic, sizeof magic);
    swg__put16(&out, 1);
    swg__put16(&out, 0);
    swg__put32(&out, (uint32_t)model->count);
    for (int i = 0; i < model->count; i++) {
        const swg__blob *b = &model->blob[i];
        const size_t name = strlen(b->name);
        swg__store_f64(number, b->bound);
        swg__put(&out, number, 8);
        swg__put32(&out, (uint32_t)name);
        swg__put32(&out, (uint32_t)b->bytes.length);
        swg__put(&out, b->name, name);
        swg__put_padding(&out, 0);
        swg__put(&out, b->bytes.data, b->bytes.length);
        swg__put_padding(&out, 0);
    }
    if (!out.failed)
        swg__put32(&out, swg__crc32c(0, out.data, out.length));
    swg_status status = out.failed ? swg__fail_memory(ctx, out.length, "a model file") : swg__file_write(ctx, path, out.data, out.length);
    swg__text_free(&out);
    return status;
}

/* One model. NULL or the reason. */
static const char *take(swg_context *ctx, swg__cursor *in, swg_codec_model *model) {
    const uint8_t *number = swg__take(in, 8);
    uint32_t name_bytes = swg__take32(in), bytes = swg__take32(in);
    const uint8_t *name = swg__take(in, name_bytes);
    (void)swg__take(in, (4 - (name_bytes & 3)) & 3);
    const uint8_t *blob = swg__take(in, bytes);
    (void)swg__take(in, (4 - (bytes & 3)) & 3);
    if (in->bad || name_bytes > NAME_BYTES)
        return "ends inside a model";
    double bound = swg__load_f64(number);
    if (!(bound >= 0) || !isfinite(bound))
        return "bound of a model is impossible";
    if (name_bytes && memchr(name, 0, name_bytes))
        return "name of a model has a zero byte";
    char *text = swg__alloc(ctx, (size_t)name_bytes + 1);
    if (!text)
        return swg__why_memory;
    memcpy(text, name, name_bytes);
    text[name_bytes] = 0;
    const char *why = swg__model_add(model, blob, bytes, text, bound, true);
    swg__free(ctx, text);
    return why;
}

swg_status swg__model_read(swg_context *ctx, const uint8_t *data, size_t bytes, const char *path, swg_codec_model **out) {
    *out = NULL;
    if (bytes < HEAD + 4 || memcmp(data, magic, sizeof magic) != 0)
        return swg__fail(ctx, SWG_EFORMAT, "%s: is not a file of codec models", path);
    if (swg__load16(data + 8) != 1)
        return swg__fail(ctx, SWG_EUNSUPPORTED, "%s: has another major version than 1: a newer swage reads it", path);
    if (swg__load32(data + bytes - 4) != swg__crc32c(0, data, bytes - 4))
        return swg__fail(ctx, SWG_ECORRUPT, "%s: its checksum is wrong", path);
    swg_codec_model *model;
    SWG__TRY(swg__model_new(ctx, &model));
    swg__cursor in = {.at = data + HEAD, .end = data + bytes - 4};
    uint32_t count = swg__load32(data + 12);
    const char *why = count > SWG__MODELS ? "more than 64 models" : NULL;
    for (uint32_t i = 0; i < count && !why; i++)
        why = take(ctx, &in, model);
    if (!why && swg__left(&in))
        why = "bytes left over behind the models";
    if (why) {
        swg_codec_model_free(ctx, model);
        return swg__fail(ctx, why == swg__why_memory ? SWG_ENOMEM : SWG_ECORRUPT, "%s: %s", path, why);
    }
    *out = model;
    return SWG_OK;
}

swg_status swg_codec_model_load(swg_context *ctx, const char *path, swg_codec_model **out) {
    uint8_t *data;
    size_t bytes;
    *out = NULL;
    SWG__TRY(swg__file_read(ctx, path, &data, &bytes));
    swg_status status = swg__model_read(ctx, data, bytes, path, out);
    swg__free(ctx, data);
    return status;
}
