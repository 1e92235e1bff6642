/* raw.c - byte planes: monotone keys, differences along x, one order-0 rANS stream per byte of the type.
 * In: rows of values. Out: per plane, most significant first, a method, a length and the bytes; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grid.h"
#include "rans.h"
#include "raw.h"

enum { PLANE_LANES = 4, TOTAL = 1 << SWG__RANS_BITS };

/* ---- keys: one byte-order-free number per value, differences of smooth data have small high bytes ---- */

static uint64_t key_load(swg_element type, int bytes, const void *values, int64_t i) {
    switch (bytes) {
    case 1: return ((const uint8_t *)values)[i];
    case 2: return ((const uint16_t *)values)[i];
    case 4: {
        uint32_t bits = ((const uint32_t *)values)[i];
        return type == SWG_ELEMENT_F32 ? (uint32_t)swg__key32(bits) : bits;
    }
    default: {
        uint64_t bits = ((const uint64_t *)values)[i];
        return type == SWG_ELEMENT_F64 ? swg__key64(bits) : bits;
    }
    }
}

/* Differences of row `row`: to the value before; the first one to the first of the row before, 0 for the first of all. */
static void row_differences(swg_element type, int bytes, const void *values, int64_t row, int64_t n, uint64_t *d) {
    uint64_t before = row ? key_load(type, bytes, values, (row - 1) * n) : 0;
    for (int64_t x = 0; x < n; x++) {
        uint64_t key = key_load(type, bytes, values, row * n + x);
        d[x] = key - before;
        before = key;
    }
}

static double entropy_bytes(const uint32_t histogram[256], double total) {
    double bits = 0;
    for (int i = 0; i < 256; i++)
        if (histogram[i])
            bits -= histogram[i] * log2(histogram[i] / total);
    return bits / 8;
}

int64_t swg__planes_estimate(swg_element type, const void *values, int64_t rows, int64_t n) {
    enum { PIECE = 256 };
    uint32_t histogram[8][256] = {0};
    int bytes = swg_element_bytes(type);
    int64_t count = rows * n, pieces = (count + PIECE - 1) / PIECE, stride = count > 16384 ? 16 : 1, seen = 0;
    for (int64_t p = 0; p < pieces; p += stride)
        for (int64_t i = p * PIECE; i < count && i < (p + 1) * PIECE; i++, seen++) {
            uint64_t d = key_load(type, bytes, values, i) - (i ? key_load(type, bytes, values, i - 1) : 0);
            for (int b = 0; b < bytes; b++)
                histogram[b][d >> 8 * b & 255]++;
        }
    double sum = 0;
    for (int b = 0; b < bytes; b++)
        sum += entropy_bytes(histogram[b], (double)seen);
    return (int64_t)(sum * (double)count / (double)seen) + 40 * bytes;
}

/* ---- one plane ---- */

/* Frequencies of sum 2^15, at least 1 for each byte that occurs. */
static void normalise(const uint32_t histogram[256], int64_t count, uint32_t frequency[256]) {
    int64_t sum = 0;
    int largest = 0;
    for (int i = 0; i < 256; i++) {
        frequency[i] = histogram[i] ? (uint32_t)((uint64_t)histogram[i] * (TOTAL - 256) / (uint64_t)count) + 1 : 0;
        sum += frequency[i];
        largest = histogram[i] > histogram[largest] ? i : largest;
    }
    frequency[largest] += (uint32_t)(TOTAL - sum); /* each term was rounded down after 256 were set aside: sum <= TOTAL */
}

static void plane_encode(const uint8_t *plane, int64_t count, uint16_t *words, swg__text *out) {
    uint32_t histogram[256] = {0}, frequency[256], start[256], state[PLANE_LANES];
    for (int64_t i = 0; i < count; i++)
        histogram[plane[i]]++;
    normalise(histogram, count, frequency);
    uint32_t at = 0, symbols = 0;
    for (int i = 0; i < 256; i++) {
        start[i] = at;
        at += frequency[i];
        symbols += frequency[i] != 0;
    }
    for (int i = 0; i < PLANE_LANES; i++)
        state[i] = SWG__RANS_LOW;
    int64_t first = count;
    for (int64_t i = count - 1; i >= 0; i--) {
        uint32_t x = state[i & (PLANE_LANES - 1)], f = frequency[plane[i]];
        words[first - 1] = (uint16_t)x;
        bool emit = (uint64_t)x >= (uint64_t)f << 17;
        first -= emit;
        x = emit ? x >> 16 : x;
        state[i & (PLANE_LANES - 1)] = (x / f << SWG__RANS_BITS) + x % f + start[plane[i]];
    }
    size_t coded = 1 + 3 * (size_t)symbols + 4 * PLANE_LANES + 2 * (size_t)(count - first);
    if (coded >= (size_t)count) {
        swg__put8(out, 0);
        swg__put32(out, (uint32_t)count);
        swg__put(out, plane, (size_t)count);
        return;
    }
    swg__put8(out, 1);
    swg__put32(out, (uint32_t)coded);
    swg__put8(out, symbols - 1);
    for (unsigned i = 0; i < 256; i++)
        if (frequency[i]) {
            swg__put8(out, i);
            swg__put16(out, frequency[i]);
        }
    for (int i = 0; i < PLANE_LANES; i++)
        swg__put32(out, state[i]);
    for (int64_t i = first; i < count; i++)
        swg__store16((uint8_t *)&words[i], words[i]);
    swg__put(out, words + first, 2 * (size_t)(count - first));
}

static const char *plane_decode(swg__cursor *in, uint8_t *plane, int64_t count, uint8_t *lookup) {
    uint32_t method = swg__take8(in), bytes = swg__take32(in);
    const uint8_t *data = swg__take(in, bytes);
    if (!data)
        return "byte planes are too short";
    if (method == 0) {
        if (bytes != (uint64_t)count)
            return "stored byte plane has the wrong length";
        memcpy(plane, data, bytes);
        return NULL;
    }
    if (method != 1)
        return "method of a byte plane is unknown";
    swg__cursor c = {.at = data, .end = data + bytes};
    uint32_t symbols = swg__take8(&c) + 1, frequency[256] = {0}, start[256] = {0}, at = 0, state[PLANE_LANES];
    int previous = -1;
    for (uint32_t i = 0; i < symbols; i++) {
        int symbol = (int)swg__take8(&c);
        uint32_t f = swg__take16(&c);
        if (c.bad || symbol <= previous || f == 0 || at + f > TOTAL)
            return "table of a byte plane is malformed";
        previous = symbol;
        frequency[symbol] = f;
        start[symbol] = at;
        memset(lookup + at, symbol, f);
        at += f;
    }
    for (int i = 0; i < PLANE_LANES; i++) {
        state[i] = swg__take32(&c);
        if (state[i] < SWG__RANS_LOW)
            return "rANS state below 2^16";
    }
    if (c.bad || at != TOTAL || (swg__left(&c) & 1))
        return "byte plane is malformed";
    const uint8_t *word = c.at, *end = c.end;
    for (int64_t i = 0; i < count; i++) {
        uint32_t x = state[i & (PLANE_LANES - 1)], slot = x & (TOTAL - 1);
        uint8_t symbol = lookup[slot];
        x = frequency[symbol] * (x >> SWG__RANS_BITS) + slot - start[symbol];
        if (x < SWG__RANS_LOW) {
            if (word == end)
                return "rANS words exhausted";
            x = x << 16 | swg__load16(word);
            word += 2;
        }
        state[i & (PLANE_LANES - 1)] = x;
        plane[i] = symbol;
    }
    for (int i = 0; i < PLANE_LANES; i++)
        if (state[i] != SWG__RANS_LOW)
            return "rANS state does not end where it began";
    return word == end ? NULL : "rANS words left over";
}

/* ---- all planes ---- */

swg_status swg__planes_encode(swg_context *ctx, swg_element type, const void *values, int64_t rows, int64_t n, swg__draft *draft) {
    int bytes = swg_element_bytes(type);
    size_t count = (size_t)(rows * n), need = count * (size_t)bytes;
    uint8_t *planes = swg__alloc(ctx, need);
    uint16_t *words = swg__alloc(ctx, (count + 1) * sizeof *words);
    uint64_t *d = swg__alloc(ctx, (size_t)n * sizeof *d);
    swg_status status = planes && words && d ? SWG_OK : swg__fail_memory(ctx, need, "byte planes");
    for (int64_t row = 0; status == SWG_OK && row < rows; row++) {
        row_differences(type, bytes, values, row, n, d);
        for (int b = 0; b < bytes; b++) {
            uint8_t *plane = planes + (size_t)b * count + (size_t)(row * n);
            for (int64_t x = 0; x < n; x++)
                plane[x] = (uint8_t)(d[x] >> 8 * (bytes - 1 - b));
        }
    }
    for (int b = 0; status == SWG_OK && b < bytes; b++)
        plane_encode(planes + (size_t)b * count, (int64_t)count, words, &draft->stream[SWG__PARAM]);
    if (status == SWG_OK && draft->stream[SWG__PARAM].failed)
        status = swg__fail_memory(ctx, need, "byte planes");
    draft->head.mode = SWG__MODE_R;
    draft->head.submode = 1;
    swg__free(ctx, d);
    swg__free(ctx, words);
    swg__free(ctx, planes);
    return status;
}

static void key_store(swg_element type, int bytes, void *values, int64_t i, uint64_t key) {
    switch (bytes) {
    case 1: ((uint8_t *)values)[i] = (uint8_t)key; break;
    case 2: ((uint16_t *)values)[i] = (uint16_t)key; break;
    case 4: ((uint32_t *)values)[i] = type == SWG_ELEMENT_F32 ? swg__unkey32((int32_t)(uint32_t)key) : (uint32_t)key; break;
    default: ((uint64_t *)values)[i] = type == SWG_ELEMENT_F64 ? swg__key64(key) : key; break; /* key64 is its own inverse */
    }
}

const char *swg__planes_decode(swg_context *ctx, swg_element type, swg__span param, int64_t rows, int64_t n, void *values) {
    int bytes = swg_element_bytes(type);
    size_t count = (size_t)(rows * n);
    swg__cursor in = {.at = param.data, .end = param.data + param.bytes};
    uint8_t *planes = swg__alloc(ctx, count * (size_t)bytes), *lookup = swg__alloc(ctx, TOTAL);
    const char *why = planes && lookup ? NULL : swg__why_memory;
    for (int b = 0; !why && b < bytes; b++)
        why = plane_decode(&in, planes + (size_t)b * count, (int64_t)count, lookup);
    if (!why && swg__left(&in))
        why = "bytes left over behind the byte planes";
    uint64_t first = 0;
    for (int64_t row = 0; !why && row < rows; row++) {
        uint64_t key = first;
        for (int64_t x = 0; x < n; x++) {
            uint64_t d = 0;
            for (int b = 0; b < bytes; b++)
                d = d << 8 | planes[(size_t)b * count + (size_t)(row * n + x)];
            key += d;
            key_store(type, bytes, values, row * n + x, key);
            first = x ? first : key;
        }
    }
    swg__free(ctx, lookup);
    swg__free(ctx, planes);
    return why;
}

/* ---- low words ---- */

swg_status swg__words_encode(swg_context *ctx, const uint64_t *words, int bytes, int64_t count, swg__text *out) {
    uint8_t *plane = swg__alloc(ctx, (size_t)count);
    uint16_t *coded = plane ? swg__alloc(ctx, ((size_t)count + 1) * sizeof *coded) : NULL;
    for (int b = bytes; b-- > 0 && coded;) {
        for (int64_t i = 0; i < count; i++)
            plane[i] = (uint8_t)(words[i] >> 8 * b);
        plane_encode(plane, count, coded, out);
    }
    bool failed = !coded || out->failed;
    swg__free(ctx, coded);
    swg__free(ctx, plane);
    return failed ? swg__fail_memory(ctx, (size_t)count * 3, "low words") : SWG_OK;
}

const char *swg__words_decode(swg_context *ctx, swg__cursor *in, int bytes, int64_t count, uint64_t *words) {
    uint8_t *plane = swg__alloc(ctx, (size_t)count), *lookup = plane ? swg__alloc(ctx, TOTAL) : NULL;
    const char *why = lookup ? NULL : swg__why_memory;
    memset(words, 0, (size_t)count * sizeof *words);
    for (int b = bytes; b-- > 0 && !why;) {
        why = plane_decode(in, plane, count, lookup);
        for (int64_t i = 0; i < count && !why; i++)
            words[i] |= (uint64_t)plane[i] << 8 * b;
    }
    swg__free(ctx, lookup);
    swg__free(ctx, plane);
    return why;
}
