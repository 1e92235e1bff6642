/* rans.h - residuals to symbols and raw bits, symbols to interleaved rANS streams, and back (docs/format.md, "Entropy coder").
 * The decoder's inner loop is in kernels.inc.h, once per instruction set; here is all it shares with the encoder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_RANS_H
#define SWAGE_CODEC_RANS_H

#include "bytes.h"
#include "tables.h"

enum { SWG__RANS_LOW = 1 << 16, SWG__RANS_BITS = 15, SWG__LANES = 32, SWG__GOLOMB_ZEROS = 48 };

/* Residuals stay below 2^47: a difference of two numbers of at most 2^45 with room to spare. */
#define SWG__RESIDUAL_LIMIT ((int64_t)1 << 47)

/* ---- encoder ---- */

/* Symbols waiting to be coded (rANS runs backwards) and the raw bits, which are final at once. */
typedef struct swg__symbols {
    uint16_t *code; /* 32 * table + symbol */
    int64_t count, capacity;
    swg__text raw;
    swg__bit_writer bits;
} swg__symbols;

swg_status swg__symbols_open(swg__symbols *s, swg_context *ctx, int64_t capacity);
void swg__symbols_close(swg__symbols *s);
void swg__symbols_escape(swg__symbols *s, int64_t h);

/* The caller has asked for the capacity. bucket 0..127; phase -8..8, used below bucket 28 only; |e| < 2^47. */
static inline void swg__residual_put(swg__symbols *s, int bucket, int phase, int64_t e) {
    int table = 252 + (bucket & 3), low_bits = 0;
    int64_t h = e;
    uint64_t low = 0;
    if (bucket < 28) {
        table = 9 * bucket + (phase < 0 ? -phase : phase);
        h = phase < 0 ? -e : e;
    } else {
        low_bits = (bucket - 28) / 4 + 1;
        int64_t shifted = e + ((int64_t)1 << (low_bits - 1));
        h = shifted >> low_bits;
        low = (uint64_t)shifted & (((uint64_t)1 << low_bits) - 1);
    }
    bool inside = h >= -15 && h <= 15;
    s->code[s->count++] = (uint16_t)(32 * table + (inside ? (int)h + 15 : SWG__ESCAPE));
    if (!inside)
        swg__symbols_escape(s, h);
    if (low_bits)
        swg__bits_put(&s->bits, low, low_bits);
}

/* A bucket for those who build symbols themselves: 32 * its table at phase 0, from bit 16 on the number of low bits. */
static inline uint32_t swg__bucket_code(int bucket) {
    return bucket < 28 ? (uint32_t)(32 * 9 * bucket) : (uint32_t)(32 * (252 + (bucket & 3))) | (uint32_t)((bucket - 28) / 4 + 1) << 16;
}
/* The symbol of residual e there, without its raw bits; *h: what an escape stands for. */
static inline uint32_t swg__residual_code(uint32_t code, int phase, int64_t e, int64_t *h) {
    const int low_bits = (int)(code >> 16);
    *h = low_bits ? (e + ((int64_t)1 << (low_bits - 1))) >> low_bits : phase < 0 ? -e : e;
    return (code & 0xFFFF) + (low_bits ? 0 : 32 * (uint32_t)(phase < 0 ? -phase : phase)) + (uint32_t)(*h >= -15 && *h <= 15 ? *h + 15 : SWG__ESCAPE);
}

/* Estimated code length of one residual in 1/256 bit, raw bits included. */
static inline uint32_t swg__residual_cost(int bucket, int phase, int64_t e) {
    int table = 252 + (bucket & 3), low_bits = 0;
    int64_t h = e;
    if (bucket < 28) {
        table = 9 * bucket + (phase < 0 ? -phase : phase);
        h = phase < 0 ? -e : e;
    } else {
        low_bits = (bucket - 28) / 4 + 1;
        h = (e + ((int64_t)1 << (low_bits - 1))) >> low_bits;
    }
    if (h >= -15 && h <= 15)
        return swg__cost[table][h + 15] + 256u * (uint32_t)low_bits;
    uint64_t v = (uint64_t)(h < 0 ? -h : h) - 12;
    int length = 64 - __builtin_clzll(v);
    return swg__cost[table][SWG__ESCAPE] + 256u * (uint32_t)(low_bits + 2 * length - 2);
}

/* The bucket whose scale fits residuals of this mean magnitude (in 1/16 units): b = 20 + 4 log2(s), E|e| = 2 ln2 s. */
int swg__bucket_for(double mean_magnitude, int most);

/* Lanes (log2: 0, 2, 3 or 5) for a payload of about `bytes` bytes: states take under 3 % of it. */
int swg__lanes_for(int64_t bytes);

/* Appends u32 state[lanes], then the words. SWG_ENOMEM. */
swg_status swg__rans_encode(const uint16_t *code, int64_t count, int lanes_log2, swg_context *ctx, swg__text *out);

/* Upper estimate of the coded bytes, states not counted. */
int64_t swg__rans_estimate(const uint16_t *code, int64_t count);

/* ---- decoder ---- */

typedef struct swg__rans {
    uint32_t state[SWG__LANES];
    uint32_t lane, mask;
    const uint8_t *word, *end;
    swg__bit_reader raw;
    bool bad; /* words exhausted, or a residual out of range */
} swg__rans;

/* rans, raw: the two streams (raw may be empty). Returns NULL or why the streams are malformed. */
const char *swg__rans_open(swg__rans *r, int lanes_log2, const uint8_t *rans, size_t rans_bytes, const uint8_t *raw, size_t raw_bytes);
/* NULL if every lane is back at 2^16 and nothing is left, else the reason. */
const char *swg__rans_finish(const swg__rans *r);
/* Sign and exp-Golomb code of |h| - 16. 0 and bad if malformed. */
int64_t swg__rans_escape(swg__rans *r);

/* One step of the decoder for a symbol already found. */
static inline void swg__rans_step(swg__rans *r, uint32_t x, uint32_t slot, uint32_t frequency, uint32_t start) {
    x = frequency * (x >> SWG__RANS_BITS) + slot - start;
    if (x < SWG__RANS_LOW) {
        uint32_t word = 0;
        if (r->end - r->word >= 2) {
            word = swg__load16(r->word);
            r->word += 2;
        } else {
            r->bad = true;
        }
        x = x << 16 | word;
    }
    r->state[r->lane] = x;
    r->lane = (r->lane + 1) & r->mask;
}

#endif
