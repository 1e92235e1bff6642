/* rans.c - the encoder's half of the entropy coder, and opening and closing of the decoder's.
 * In: residuals with bucket and phase. Out: u32 states and u16 words, raw bits; and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "rans.h"

swg_status swg__symbols_open(swg__symbols *s, swg_context *ctx, int64_t capacity) {
    *s = (swg__symbols){.capacity = capacity};
    swg__text_init(&s->raw, ctx);
    s->bits.out = &s->raw;
    s->code = swg__alloc(ctx, (size_t)capacity * sizeof *s->code);
    return s->code ? SWG_OK : swg__fail_memory(ctx, (size_t)capacity * sizeof *s->code, "symbols");
}

void swg__symbols_close(swg__symbols *s) {
    if (s->raw.ctx) {
        swg__free(s->raw.ctx, s->code);
        swg__text_free(&s->raw);
    }
    s->code = NULL;
}

void swg__symbols_escape(swg__symbols *s, int64_t h) {
    uint64_t v = (uint64_t)(h < 0 ? -h : h) - 12;
    int length = 64 - __builtin_clzll(v);
    swg__bits_put(&s->bits, h < 0, 1);
    swg__bits_put(&s->bits, 0, length - 3);
    swg__bits_put(&s->bits, v, length);
}

int swg__bucket_for(double mean_magnitude, int most) {
    if (!(mean_magnitude > 0.01))
        return 0;
    int bucket = (int)floor(20.5 + 4 * log2(mean_magnitude / 1.3862943611));
    return bucket < 0 ? 0 : bucket > most ? most : bucket;
}

int swg__lanes_for(int64_t bytes) { return bytes >= 4400 ? 5 : bytes >= 1100 ? 3 : bytes >= 550 ? 2 : 0; }

int64_t swg__rans_estimate(const uint16_t *code, int64_t count) {
    const uint16_t *cost = &swg__cost[0][0];
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += cost[code[i]];
    return (int64_t)(sum >> 11) + 1;
}

swg_status swg__rans_encode(const uint16_t *code, int64_t count, int lanes_log2, swg_context *ctx, swg__text *out) {
    const uint16_t *frequency = &swg__frequency[0][0], *start = &swg__start[0][0];
    const int64_t lanes = (int64_t)1 << lanes_log2, mask = lanes - 1;
    /* A symbol emits at most one word: the words fill this array from its end, which is the decoder's order. */
    uint16_t *words = swg__alloc(ctx, (size_t)(count + 1) * sizeof *words);
    if (!words)
        return swg__fail_memory(ctx, (size_t)count * sizeof *words, "rANS words");
    uint32_t state[SWG__LANES];
    for (int i = 0; i < SWG__LANES; i++)
        state[i] = SWG__RANS_LOW;
    int64_t first = count;
    for (int64_t i = count - 1; i >= 0; i--) {
        uint32_t x = state[i & mask], f = frequency[code[i]];
        words[first - 1] = (uint16_t)x; /* first > i: a symbol before this one emitted at most one word each */
        bool emit = x >= f << 17;
        first -= emit;
        x = emit ? x >> 16 : x;
        state[i & mask] = (x / f << SWG__RANS_BITS) + x % f + start[code[i]];
    }
    for (int64_t i = 0; i < lanes; i++)
        swg__put32(out, state[i]);
    for (int64_t i = first; i < count; i++)
        swg__store16((uint8_t *)&words[i], words[i]);
    swg__put(out, words + first, (size_t)(count - first) * 2);
    swg__free(ctx, words);
    return out->failed ? swg__fail_memory(ctx, (size_t)(count - first) * 2, "a rANS stream") : SWG_OK;
}

const char *swg__rans_open(swg__rans *r, int lanes_log2, const uint8_t *rans, size_t rans_bytes, const uint8_t *raw, size_t raw_bytes) {
    size_t lanes = (size_t)1 << lanes_log2;
    if (lanes > SWG__LANES || rans_bytes < 4 * lanes || (rans_bytes & 1))
        return "rANS stream is too short for its states or of odd length";
    *r = (swg__rans){.mask = (uint32_t)lanes - 1, .word = rans + 4 * lanes, .end = rans + rans_bytes};
    r->raw = (swg__bit_reader){.at = raw, .end = raw ? raw + raw_bytes : NULL};
    for (size_t i = 0; i < lanes; i++) {
        r->state[i] = swg__load32(rans + 4 * i);
        if (r->state[i] < SWG__RANS_LOW)
            return "rANS state below 2^16";
    }
    return NULL;
}

const char *swg__rans_finish(const swg__rans *r) {
    if (r->raw.bad)
        return "raw bits exhausted";
    if (r->bad)
        return "rANS words exhausted or residual out of range";
    if (r->word != r->end)
        return "rANS words left over";
    for (uint32_t i = 0; i <= r->mask; i++)
        if (r->state[i] != SWG__RANS_LOW)
            return "rANS state does not end where it began";
    return swg__bits_at_end(&r->raw) ? NULL : "raw bits left over";
}

int64_t swg__rans_escape(swg__rans *r) {
    bool negative = swg__bits_get(&r->raw, 1) != 0;
    int zeros = 0;
    while (zeros <= SWG__GOLOMB_ZEROS && !r->raw.bad && swg__bits_get(&r->raw, 1) == 0)
        zeros++;
    if (zeros > SWG__GOLOMB_ZEROS || r->raw.bad) {
        r->bad = true;
        return 0;
    }
    int rest = zeros + 2; /* v has zeros + 3 bits, the leading one is read */
    uint64_t v = (uint64_t)1 << rest | swg__bits_get(&r->raw, rest);
    int64_t h = (int64_t)(v + 12);
    return negative ? -h : h;
}
