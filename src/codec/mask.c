/* mask.c - MASK and SIGN streams, both ways; substitutes for values that are not coded.
 * In: values and what counts as fill. Out: run lengths, signs; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mask.h"

enum { SIGNS_POSITIVE, SIGNS_NEGATIVE, SIGNS_BITS, SIGNS_RUNS };

bool swg__is_fill(const swg__fill *fill, swg_element type, const void *data, int64_t i) {
    if (fill->mode == SWG_FILL_VALUE)
        return swg__bits_of(type, data, i) == fill->bits;
    if (fill->mode != SWG_FILL_ABOVE)
        return false;
    return !(fabs(swg__number(type, data, i)) < fill->threshold);
}

/* How far back in scan order a mask looks for its likeness: not at all, a row, a plane, a slice. */
static int64_t distance(const swg__chunk *chunk, unsigned choice) {
    int64_t step = choice ? chunk->extent[3] : chunk->count;
    for (unsigned i = 1; i < choice; i++)
        step *= chunk->extent[3 - i];
    return step;
}

/* ---- encoder ---- */

/* A masked value takes that of its anchor: the one before along x, at the start of a row the one at the start of the row before, of
 * the plane before. The first of a slice takes the first value of the chunk that is not masked. */
static void substitute(const swg__chunk *chunk, char *values, size_t bytes) {
    const int64_t nx = chunk->extent[3], plane = nx * chunk->extent[2], slice = plane * chunk->extent[1];
    int64_t first = 0;
    while (first < chunk->count && (chunk->mask[first] || (swg__is_float(chunk->grid.type) && !isfinite(swg__load_value(chunk->grid.type, values, first)))))
        first++;
    for (int64_t i = 0; i < chunk->count; i++) {
        if (!chunk->mask[i])
            continue;
        char *to = values + (size_t)i * bytes;
        if (i % slice == 0 && first == chunk->count)
            memset(to, 0, bytes);
        else
            memcpy(to, values + (size_t)(i % slice == 0 ? first : i % nx ? i - 1 : i % plane ? i - nx : i - plane) * bytes, bytes);
    }
}

swg_status swg__mask_open(swg__chunk *chunk, void *values) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type), need = (size_t)chunk->count;
    int64_t first = chunk->fill.mode == SWG_FILL_NONE ? chunk->count : 0;
    while (first < chunk->count && !swg__is_fill(&chunk->fill, chunk->grid.type, values, first))
        first++;
    if (first == chunk->count)
        return SWG_OK;
    uint8_t *mask = swg__calloc(chunk->ctx, need, 1);
    void *copy = mask ? swg__alloc(chunk->ctx, need * bytes) : NULL;
    if (!copy) {
        swg__free(chunk->ctx, mask);
        return swg__fail_memory(chunk->ctx, need * bytes, "fill values");
    }
    memcpy(copy, values, need * bytes);
    for (int64_t i = first; i < chunk->count; i++)
        if (swg__is_fill(&chunk->fill, chunk->grid.type, values, i)) {
            mask[i] = SWG__MASK_FILL;
            chunk->masked++;
        }
    chunk->mask = mask;
    chunk->original = copy;
    substitute(chunk, values, bytes);
    return SWG_OK;
}

void swg__mask_free(swg__chunk *chunk) {
    if (!chunk->original)
        return;
    swg__free(chunk->ctx, (void *)(uintptr_t)chunk->original);
    swg__free(chunk->ctx, (void *)(uintptr_t)chunk->mask);
}

static void put_value(swg__text *out, size_t bytes, uint64_t bits) {
    uint8_t little[8];
    swg__store64(little, bits);
    swg__put(out, little, bytes);
}

/* Run lengths of bit k of the mask, XOR the bit `back` values before; only their bytes are counted where out is NULL. */
static int64_t put_runs(const uint8_t *mask, int64_t count, int k, int64_t back, swg__text *out) {
    int64_t bytes = 0;
    for (int64_t i = 0, on = 0; i < count; on = !on) {
        int64_t start = i;
        while (i < count && ((mask[i] ^ (i >= back ? mask[i - back] : 0)) >> k & 1) == on)
            i++;
        int64_t run = i - start;
        bytes += 1 + (run >= 1 << 7) + (run >= 1 << 14) + (run >= 1 << 21);
        if (out)
            swg__put_leb(out, (uint32_t)run);
    }
    return bytes;
}

swg_status swg__mask_write(const swg__chunk *chunk, const uint8_t *mask, swg__draft *draft) {
    const void *original = swg__original(chunk);
    static const uint16_t flags[2] = {SWG__FLAG_MASK, SWG__FLAG_ZERO_MASK};
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    swg__text *out = &draft->stream[SWG__MASK];
    unsigned kinds = 0;
    bool differs = false;
    for (int64_t i = 0; mask && i < chunk->count; i++) {
        kinds |= mask[i];
        differs |= mask[i] == SWG__MASK_FILL && swg__bits_of(chunk->grid.type, original, i) != chunk->fill.bits;
    }
    if (!kinds)
        return SWG_OK;
    unsigned choice[2] = {0};
    for (int k = 0; k < 2; k++) {
        int64_t best = INT64_MAX;
        for (unsigned c = 0; c < 4 && (kinds >> k & 1); c++) {
            int64_t bytes_of = put_runs(mask, chunk->count, k, distance(chunk, c), NULL);
            choice[k] = bytes_of < best ? c : choice[k];
            best = bytes_of < best ? bytes_of : best;
        }
    }
    swg__put8(out, kinds | choice[0] << 2 | choice[1] << 4);
    for (int k = 0; k < 2; k++)
        if (kinds >> k & 1) {
            draft->head.flags |= flags[k];
            (void)put_runs(mask, chunk->count, k, distance(chunk, choice[k]), out);
        }
    if ((kinds & SWG__MASK_FILL) && chunk->fill.mode == SWG_FILL_ABOVE) {
        swg__put8(out, differs);
        for (int64_t i = 0; differs && i < chunk->count; i++)
            if (mask[i] == SWG__MASK_FILL)
                put_value(out, bytes, swg__bits_of(chunk->grid.type, original, i));
    }
    return out->failed ? swg__fail_memory(chunk->ctx, out->length, "a mask") : SWG_OK;
}

static bool negative(swg_element type, const void *values, int64_t i) {
    return swg__bits_of(type, values, i) >> (8 * swg_element_bytes(type) - 1);
}

swg_status swg__signs_write(const swg__chunk *chunk, const uint8_t *mask, swg__draft *draft) {
    const void *original = swg__original(chunk);
    swg__text *out = &draft->stream[SWG__SIGN];
    int64_t minus = 0, count = 0, run = 0, runs = 0;
    bool on = false;
    for (int64_t i = 0; i < chunk->count; i++) {
        if (mask && mask[i] == SWG__MASK_FILL)
            continue;
        bool sign = negative(chunk->grid.type, original, i);
        count++;
        minus += sign;
        if (sign != on) { /* runs of 1, 2, ... bytes */
            runs += 1 + (run >= 1 << 7) + (run >= 1 << 14) + (run >= 1 << 21);
            run = 0;
            on = sign;
        }
        run++;
    }
    draft->head.flags |= SWG__FLAG_SIGN;
    int method = minus == 0 ? SIGNS_POSITIVE : minus == count ? SIGNS_NEGATIVE : runs + 4 < (count + 7) / 8 ? SIGNS_RUNS : SIGNS_BITS;
    swg__put8(out, (unsigned)method);
    if (method == SIGNS_BITS || method == SIGNS_RUNS) {
        swg__bit_writer bits = {.out = out};
        run = 0;
        on = false;
        for (int64_t i = 0; i < chunk->count; i++) {
            if (mask && mask[i] == SWG__MASK_FILL)
                continue;
            bool sign = negative(chunk->grid.type, original, i);
            if (method == SIGNS_BITS) {
                swg__bits_put32(&bits, sign, 1);
            } else if (sign != on) {
                swg__put_leb(out, (uint32_t)run);
                run = 0;
                on = sign;
            }
            run++;
        }
        if (method == SIGNS_BITS)
            swg__bits_finish(&bits);
        else
            swg__put_leb(out, (uint32_t)run);
    }
    return out->failed ? swg__fail_memory(chunk->ctx, out->length, "signs") : SWG_OK;
}

/* ---- decoder ---- */

const char *swg__mask_read(const swg__chunk *chunk, const swg__record *record, uint8_t *mask, swg__span *values) {
    const swg__span stream = record->stream[SWG__MASK];
    swg__cursor in = {.at = stream.data, .end = stream.data + stream.bytes};
    unsigned head = swg__take8(&in), kinds = head & 3;
    *values = (swg__span){0};
    if (kinds == 0 || head >= 64 || (kinds & SWG__MASK_FILL) != (record->head.flags & SWG__FLAG_MASK) ||
        !(kinds & SWG__MASK_ZERO) != !(record->head.flags & SWG__FLAG_ZERO_MASK))
        return "kinds of mask are impossible";
    if ((kinds & SWG__MASK_FILL) && chunk->fill.mode == SWG_FILL_NONE)
        return "mask of fill values in an array that has none";
    if ((kinds & SWG__MASK_ZERO) && !chunk->grid.pw_h)
        return "mask of zeros without a point-wise relative bound";
    uint8_t seen = 0;
    for (int k = 0; k < 2; k++) {
        if (!(kinds >> k & 1))
            continue;
        const int64_t back = distance(chunk, head >> (2 + 2 * k) & 3);
        int64_t at = 0;
        for (bool on = false; at < chunk->count; on = !on) {
            int64_t run = swg__take_leb(&in);
            if (in.bad || run > chunk->count - at || (run == 0 && (at || on)))
                return "runs of a mask do not add up to its chunk";
            for (int64_t i = at; i < at + run; i++) {
                bool bit = on != (i >= back && (mask[i - back] >> k & 1));
                seen |= bit ? mask[i] : 0;
                mask[i] |= (uint8_t)(bit << k);
            }
            at += run;
        }
    }
    if (seen)
        return "fill values and zeros overlap";
    if ((kinds & SWG__MASK_FILL) && chunk->fill.mode == SWG_FILL_ABOVE) {
        unsigned stored = swg__take8(&in);
        if (in.bad || stored > 1)
            return "fill values are malformed";
        *values = stored ? (swg__span){in.at, swg__left(&in)} : *values;
        in.at = stored ? in.end : in.at;
    }
    return swg__left(&in) ? "bytes left over behind a mask" : NULL;
}

const char *swg__mask_apply(const swg__chunk *chunk, const uint8_t *mask, swg__span values) {
    const size_t bytes = (size_t)swg_element_bytes(chunk->grid.type);
    swg__cursor in = {.at = values.data, .end = values.data ? values.data + values.bytes : NULL};
    for (int64_t i = 0; i < chunk->count; i++) {
        if (mask[i] != SWG__MASK_FILL)
            continue;
        uint64_t bits = chunk->fill.bits;
        if (values.data) {
            const uint8_t *p = swg__take(&in, bytes);
            if (!p)
                return "fill values are too few";
            bits = 0;
            for (size_t b = bytes; b-- > 0;)
                bits = bits << 8 | p[b];
        }
        swg__bits_store(chunk->grid.type, chunk->values, i, bits);
    }
    return values.data && swg__left(&in) ? "fill values are too many" : NULL;
}

const char *swg__signs_apply(const swg__chunk *chunk, const uint8_t *mask, swg__span signs) {
    const uint64_t bit = (uint64_t)1 << (8 * swg_element_bytes(chunk->grid.type) - 1);
    swg__cursor in = {.at = signs.data, .end = signs.data + signs.bytes};
    unsigned method = swg__take8(&in);
    if (in.bad || method > SIGNS_RUNS)
        return "signs are missing or of an unknown form";
    swg__bit_reader bits = {.at = in.at, .end = in.end};
    bool on = method == SIGNS_NEGATIVE;
    uint32_t left = method == SIGNS_RUNS ? swg__take_leb(&in) : 0;
    for (int64_t i = 0; i < chunk->count; i++) {
        if (mask && mask[i] == SWG__MASK_FILL)
            continue;
        if (method == SIGNS_BITS) {
            on = swg__bits_get(&bits, 1);
        } else if (method == SIGNS_RUNS) {
            if (left == 0) {
                on = !on;
                left = swg__take_leb(&in);
            }
            if (in.bad || left == 0)
                return "runs of signs do not add up to their chunk";
            left--;
        }
        if (on)
            swg__bits_store(chunk->grid.type, chunk->values, i, swg__bits_of(chunk->grid.type, chunk->values, i) | bit);
    }
    if (method == SIGNS_BITS ? !swg__bits_at_end(&bits) : swg__left(&in) || left)
        return "signs are too few or too many";
    return NULL;
}
