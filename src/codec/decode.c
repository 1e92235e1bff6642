/* decode.c - one record back to the values of its chunk.
 * In: a record whose frame and checksum were checked. Out: dense values, or the reason why not; nothing in it is trusted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "block.h"
#include "context.h"
#include "interp.h"
#include "kinds.h"
#include "poly.h"
#include "raw.h"
#include "relative.h"
#include "split.h"
#include "stencil.h"
#include "swz.h"

void swg__repeat_first(const swg__chunk *chunk) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    char *values = chunk->values;
    for (size_t done = 1, all = (size_t)chunk->count; done < all; done *= 2)
        memcpy(values + done * bytes, values, (done < all - done ? done : all - done) * bytes);
}

static const char *decode_constant(const swg__chunk *chunk, const swg__record *record) {
    const swg__span param = record->stream[SWG__PARAM];
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    if (record->head.submode == 1) {
        if (param.bytes != 8)
            return "constant has the wrong length";
        int64_t u = (int64_t)swg__load64(param.data);
        const char *why = swg__levels_store(chunk, record->head.sub_shift, &u, 0, 1);
        if (why)
            return why;
    } else {
        if (param.bytes != bytes)
            return "constant has the wrong length";
        swg__copy_values(chunk->values, param.data, 1, (int)bytes);
    }
    swg__repeat_first(chunk);
    return NULL;
}

static const char *decode_with_model(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    const swg__record_head *head = &record->head;
    if (!m || head->model_ref >= m->count)
        return "model is not in the file";
    const swg__blob *b = &m->blob[head->model_ref];
    if (!b->kind)
        return swg__why_unsupported;
    if (b->kind->mode != head->mode || b->kind->submode != head->submode)
        return "model is of another mode than its chunk";
    return b->kind->decode(chunk, b->parsed, record);
}

/* What the mode of a record coded, into dense values. */
static const char *decode_mode(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    const swg__record_head *head = &record->head;
    const int64_t nx = chunk->extent[3], rows = chunk->count / nx;
    const swg__span param = record->stream[SWG__PARAM];
    const char *why = NULL;
    if (head->model_ref != SWG__NO_MODEL)
        return decode_with_model(chunk, m, record);
    if (!param.data)
        return "parameters are missing";
    switch (head->mode) {
    case SWG__MODE_C: why = decode_constant(chunk, record); break;
    case SWG__MODE_W: why = swg__stencil_decode(chunk, NULL, record); break;
    case SWG__MODE_G: why = swg__interp_decode(chunk, record); break;
    case SWG__MODE_B: why = head->submode == 0 ? swg__block_decode(chunk, NULL, record) : "model is not in the file"; break;
    case SWG__MODE_P: why = swg__poly_decode(chunk, &swg__poly_built_in, record); break;
    default:
        if (head->submode == 1) {
            why = swg__planes_decode(chunk->ctx, chunk->grid.type, param, rows, nx, chunk->values);
        } else {
            const int bytes = swg_element_bytes(chunk->grid.type);
            if (param.bytes != (size_t)chunk->count * (size_t)bytes)
                return "stored values have the wrong length";
            swg__copy_values(chunk->values, param.data, chunk->count, bytes);
        }
    }
    return why;
}

/* A chunk whose mode coded the indices of a point-wise relative bound. */
static const char *decode_relative(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    swg__chunk inner = *chunk;
    if (!chunk->grid.pw_h)
        return "signs without a point-wise relative bound";
    inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    inner.values = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof(int64_t));
    const char *why = inner.values ? decode_mode(&inner, m, record) : swg__why_memory;
    if (!why)
        why = swg__relative_store(chunk, chunk->mask, inner.values, record->stream[SWG__SIGN]);
    swg__free(chunk->ctx, inner.values);
    return why;
}

/* A chunk whose mode coded high words. */
static const char *decode_split(const swg__chunk *chunk, const swg_codec_model *m, const swg__record *record) {
    swg__chunk inner = *chunk;
    if (!swg__splits(chunk))
        return "low words of an array that is not lossless or has no 64 bits";
    inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    inner.values = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof(int64_t));
    const char *why = inner.values ? decode_mode(&inner, m, record) : swg__why_memory;
    if (!why)
        why = swg__split_store(chunk, inner.values, record->stream[SWG__LOW]);
    swg__free(chunk->ctx, inner.values);
    return why;
}

/* Mask, mode, outliers, fill values. */
const char *swg__record_decode(const swg__chunk *given, const swg_codec_model *m, const swg__record *record) {
    swg__chunk chunk = *given;
    swg__span filled = {0};
    uint8_t *mask = NULL;
    const char *why = NULL;
    if (record->stream[SWG__MASK].data) {
        mask = swg__calloc(chunk.ctx, (size_t)chunk.count, 1);
        why = mask ? swg__mask_read(&chunk, record, mask, &filled) : swg__why_memory;
    }
    chunk.mask = mask;
    if (!why && chunk.grid.pw_h && !record->stream[SWG__SIGN].data && record->head.mode != SWG__MODE_R &&
        (record->head.mode != SWG__MODE_C || record->head.submode != 0))
        why = "signs of a point-wise relative bound are missing";
    if (!why)
        why = record->stream[SWG__SIGN].data  ? decode_relative(&chunk, m, record)
              : record->stream[SWG__LOW].data ? decode_split(&chunk, m, record)
                                              : decode_mode(&chunk, m, record);
    if (!why && record->stream[SWG__OUTLIERS].data)
        why = swg__outliers_read(&chunk, record->stream[SWG__OUTLIERS]);
    if (!why && mask)
        why = swg__mask_apply(&chunk, mask, filled);
    swg__free(chunk.ctx, mask);
    return why;
}
