/* split.c - 64-bit values to high and low words and back.
 * In: f64, i64 or u64. Out: signed high words, byte planes of the low ones; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"
#include "split.h"

/* Floats are sign and magnitude, so that zeros at their end are low words of 0; the order of the high words is that of the values. */
static int64_t high_of(swg_element type, uint64_t bits, int shift) {
    const uint64_t sign = (uint64_t)1 << 63;
    if (type == SWG_ELEMENT_F64) {
        int64_t magnitude = (int64_t)((bits & ~sign) >> shift);
        return bits & sign ? ~magnitude : magnitude;
    }
    return (int64_t)(type == SWG_ELEMENT_U64 ? bits ^ sign : bits) >> shift;
}

static uint64_t join(swg_element type, int64_t high, uint64_t low, int shift) {
    const uint64_t sign = (uint64_t)1 << 63;
    if (type == SWG_ELEMENT_F64)
        return high < 0 ? (uint64_t)~high << shift | low | sign : (uint64_t)high << shift | low;
    uint64_t bits = (uint64_t)high << shift | low;
    return type == SWG_ELEMENT_U64 ? bits ^ sign : bits;
}

swg_status swg__split_open(const swg__chunk *chunk, int shift, swg__split *s) {
    const uint64_t *bits = chunk->values;
    const size_t count = (size_t)chunk->count;
    uint64_t any = 0;
    int64_t *high = swg__alloc(chunk->ctx, count * sizeof *high);
    *s = (swg__split){.inner = *chunk, .low = high ? swg__alloc(chunk->ctx, count * sizeof *s->low) : NULL, .shift = shift};
    s->inner.grid = (swg__grid){.type = SWG_ELEMENT_I64};
    s->inner.fill = (swg__fill){.mode = SWG_FILL_NONE};
    s->inner.values = high;
    s->inner.original = NULL;
    if (!s->low)
        return swg__fail_memory(chunk->ctx, 2 * count * sizeof *high, "high and low words");
    for (size_t i = 0; i < count; i++)
        any |= bits[i];
    while (s->shift < 62 && !(any >> s->shift & 1) && !(any & (((uint64_t)1 << s->shift) - 1)))
        s->shift++;
    for (size_t i = 0; i < count; i++) {
        high[i] = high_of(chunk->grid.type, bits[i], s->shift);
        s->low[i] = bits[i] & (((uint64_t)1 << s->shift) - 1);
    }
    return SWG_OK;
}

void swg__split_close(swg__split *s) {
    swg__free(s->inner.ctx, s->low);
    swg__free(s->inner.ctx, s->inner.values);
}

swg_status swg__split_finish(const swg__chunk *chunk, const swg__split *s, swg__draft *draft) {
    swg__text *out = &draft->stream[SWG__LOW];
    draft->head.flags |= SWG__FLAG_LOW;
    swg__put8(out, (unsigned)s->shift);
    return swg__words_encode(chunk->ctx, s->low, (s->shift + 7) / 8, chunk->count, out);
}

const char *swg__split_store(const swg__chunk *chunk, const int64_t *high, swg__span stream) {
    swg__cursor in = {.at = stream.data, .end = stream.data + stream.bytes};
    int shift = (int)swg__take8(&in);
    if (in.bad || shift < 1 || shift > 62)
        return "number of low bits is impossible";
    uint64_t *low = swg__alloc(chunk->ctx, (size_t)chunk->count * sizeof *low);
    const char *why = low ? swg__words_decode(chunk->ctx, &in, (shift + 7) / 8, chunk->count, low) : swg__why_memory;
    if (!why && swg__left(&in))
        why = "bytes left over behind the low words";
    const int64_t most = INT64_MAX >> shift;
    for (int64_t i = 0; !why && i < chunk->count; i++) {
        if (high[i] > most || high[i] < ~most || low[i] >> shift)
            why = "high or low word is beyond its type";
        else
            ((uint64_t *)chunk->values)[i] = join(chunk->grid.type, high[i], low[i], shift);
    }
    swg__free(chunk->ctx, low);
    return why;
}
