/* model.c - sets of trained models: adding, choosing candidates, the MODL section out and in.
 * In: blobs of any origin. Out: checked, hashed and parsed models; nothing is trusted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

swg_status swg__model_new(swg_context *ctx, swg_codec_model **out) {
    *out = swg__calloc(ctx, 1, sizeof **out);
    if (!*out)
        return swg__fail_memory(ctx, sizeof **out, "a codec model");
    (*out)->ctx = ctx;
    return SWG_OK;
}

static void blob_free(swg_context *ctx, swg__blob *b) {
    if (b->kind && b->parsed && b->kind->close)
        b->kind->close(ctx, b->parsed);
    swg__free(ctx, b->parsed);
    swg__free(ctx, b->name);
    swg__text_free(&b->bytes);
}

void swg_codec_model_free(swg_context *ctx, swg_codec_model *model) {
    for (int i = 0; model && i < model->count; i++)
        blob_free(ctx, &model->blob[i]);
    swg__free(ctx, model);
}

static const char *parse(swg_context *ctx, const uint8_t *data, size_t bytes, swg__blob *b) {
    if (bytes < SWG__BLOB_HEAD || bytes > SWG__BLOB_BYTES || swg__load32(data) != 0x444D5753 || swg__load16(data + 6) != 0 ||
        swg__load32(data + 8) != bytes || swg__load32(data + 12) != 0)
        return "head of a model is malformed";
    b->kind = swg__kind_of(swg__load16(data + 4));
    if (!b->kind)
        return NULL;
    b->parsed = swg__calloc(ctx, 1, b->kind->parsed_bytes);
    if (!b->parsed)
        return swg__why_memory;
    const char *why = b->kind->parse(ctx, data, bytes, b->parsed);
    if (why) {
        swg__free(ctx, b->parsed);
        b->parsed = NULL;
    }
    return why;
}

const char *swg__model_add(swg_codec_model *model, const uint8_t *blob, size_t bytes, const char *name, double bound, bool keep) {
    if (model->count == SWG__MODELS)
        return "more than 64 models";
    swg__blob *b = &model->blob[model->count];
    *b = (swg__blob){.bound = bound};
    swg__text_init(&b->bytes, model->ctx);
    const char *why = parse(model->ctx, blob, bytes, b);
    if (!why && keep)
        swg__put(&b->bytes, blob, bytes);
    b->name = why ? NULL : swg__strdup(model->ctx, name ? name : "");
    why = !why && (!b->name || b->bytes.failed) ? swg__why_memory : why;
    if (why)
        blob_free(model->ctx, b);
    else
        swg__sha256(blob, bytes, b->sha256);
    model->count += !why;
    return why;
}

int swg__model_candidates(const swg_codec_model *model, const char *name, double relative, uint32_t without, int candidate[SWG__MODELS]) {
    int count = 0;
    for (int i = 0; model && i < model->count; i++) {
        const swg__blob *b = &model->blob[i];
        bool named = !*b->name || (name && strcmp(b->name, name) == 0);
        bool near = !(b->bound > 0) || !(relative > 0) || (relative <= 2 * b->bound && b->bound <= 2 * relative);
        if (b->kind && b->kind->encode && named && near && !(without >> b->kind->name & 1))
            candidate[count++] = i;
    }
    return count;
}

/* ---- MODL ---- */

const swg__blob *swg__blob_of(swg__model_pair models, int number) {
    return number == SWG__OWN ? &models.own->blob[0] : &models.given->blob[number];
}

size_t swg__blob_cost(swg__model_pair models, int blob) { return 40 + (swg__blob_of(models, blob)->bytes.length + 3) / 4 * 4; }

size_t swg__models_bytes(swg__model_pair models, const int *blob, int count) {
    size_t bytes = count ? SWG__FRAME_BYTES + 4 : 0;
    for (int i = 0; i < count; i++)
        bytes += swg__blob_cost(models, blob[i]);
    return bytes;
}

void swg__models_write(swg__model_pair models, const int *blob, int count, swg__text *out) {
    size_t start = out->length;
    swg__section_begin(out, "MODL", swg__models_bytes(models, blob, count) - SWG__FRAME_BYTES);
    swg__put32(out, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        const swg__blob *b = swg__blob_of(models, blob[i]);
        const swg__text *bytes = &b->bytes;
        swg__put(out, b->sha256, 32);
        swg__put16(out, swg__load16((const uint8_t *)bytes->data + 4));
        swg__put16(out, 0);
        swg__put32(out, (uint32_t)bytes->length);
        swg__put(out, bytes->data, bytes->length);
        swg__put_padding(out, out->length - bytes->length);
    }
    swg__section_end(out, start);
}

const char *swg__models_read(swg_context *ctx, swg__span payload, uint32_t expected, swg_codec_model **out) {
    swg__cursor in = {.at = payload.data, .end = payload.data + payload.bytes};
    uint32_t count = swg__take32(&in);
    *out = NULL;
    if (in.bad || (expected && count != expected) || count < 1 || count > SWG__MODELS)
        return "number of models differs from the header";
    const char *why = NULL;
    swg_codec_model *m = swg__calloc(ctx, 1, sizeof *m);
    if (!m)
        return swg__why_memory;
    m->ctx = ctx;
    for (uint32_t i = 0; i < count && !why; i++) {
        const uint8_t *sha = swg__take(&in, 32);
        uint32_t kind = swg__take16(&in), version = swg__take16(&in), length = swg__take32(&in);
        const uint8_t *blob = swg__take(&in, length);
        uint8_t digest[32];
        (void)swg__take(&in, (4 - (length & 3)) & 3);
        if (in.bad || length < SWG__BLOB_HEAD || length > SWG__BLOB_BYTES) {
            why = "model passes the end of its section";
            break;
        }
        swg__sha256(blob, length, digest);
        if (memcmp(digest, sha, 32) != 0 || swg__load16(blob + 4) != kind)
            why = "hash or kind of a model is wrong";
        else if (version != 0)
            why = "version of a model is unknown";
        else
            why = swg__model_add(m, blob, length, NULL, 0, false);
    }
    if (!why && swg__left(&in))
        why = "bytes left over behind the models";
    if (why)
        swg_codec_model_free(ctx, m);
    else
        *out = m;
    return why;
}

/* ---- public ---- */

swg_status swg_codec_model_new(swg_context *ctx, swg_codec_model **model) { return swg__model_new(ctx, model); }

int swg_codec_model_count(const swg_codec_model *model) { return model->count; }

void swg_codec_model_describe(const swg_codec_model *model, int index, swg_codec_model_info *info) {
    const swg__blob *b = &model->blob[index];
    *info = (swg_codec_model_info){b->kind ? b->kind->title : "?", b->name, b->bound, b->bytes.length};
}

const uint8_t *swg_codec_model_blob(const swg_codec_model *model, int index, size_t *bytes, uint8_t sha256[32]) {
    const swg__blob *b = &model->blob[index];
    *bytes = b->bytes.length;
    if (sha256)
        memcpy(sha256, b->sha256, 32);
    return (const uint8_t *)b->bytes.data;
}
