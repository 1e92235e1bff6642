/* bytes.h - little-endian numbers, LEB128 and bits, in and out of memory.
 * Growing output is a swg__text; input is a cursor that never passes its end and remembers that it would have.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_BYTES_H
#define SWAGE_CODEC_BYTES_H

#include <string.h>
#include "base.h"

/* ---- fixed places ---- */

static inline uint16_t swg__load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t swg__load32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t swg__load64(const uint8_t *p) { return swg__load32(p) | (uint64_t)swg__load32(p + 4) << 32; }
static inline double swg__load_f64(const uint8_t *p) {
    uint64_t bits = swg__load64(p);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline float swg__load_f32(const uint8_t *p) {
    uint32_t bits = swg__load32(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline void swg__store16(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void swg__store32(uint8_t *p, uint32_t v) {
    swg__store16(p, v & 0xFFFF);
    swg__store16(p + 2, v >> 16);
}
static inline void swg__store64(uint8_t *p, uint64_t v) {
    swg__store32(p, (uint32_t)v);
    swg__store32(p + 4, (uint32_t)(v >> 32));
}
static inline void swg__store_f64(uint8_t *p, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    swg__store64(p, bits);
}
static inline void swg__store_f32(uint8_t *p, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    swg__store32(p, bits);
}

/* ---- growing output ---- */

static inline void swg__put(swg__text *out, const void *data, size_t bytes) { swg__text_add(out, data, bytes); }
static inline void swg__put8(swg__text *out, unsigned v) {
    uint8_t byte = (uint8_t)v;
    swg__put(out, &byte, 1);
}
static inline void swg__put16(swg__text *out, uint32_t v) {
    uint8_t b[2];
    swg__store16(b, v);
    swg__put(out, b, 2);
}
static inline void swg__put32(swg__text *out, uint32_t v) {
    uint8_t b[4];
    swg__store32(b, v);
    swg__put(out, b, 4);
}
static inline void swg__put64(swg__text *out, uint64_t v) {
    uint8_t b[8];
    swg__store64(b, v);
    swg__put(out, b, 8);
}
/* Zero bytes until the length counted from `start` is a multiple of 4. */
static inline void swg__put_padding(swg__text *out, size_t start) {
    while (!out->failed && ((out->length - start) & 3))
        swg__put8(out, 0);
}
/* LEB128, shortest form. */
static inline void swg__put_leb(swg__text *out, uint32_t v) {
    for (; v >= 128; v >>= 7)
        swg__put8(out, (v & 127) | 128);
    swg__put8(out, v);
}

/* ---- cursor ---- */

typedef struct swg__cursor {
    const uint8_t *at, *end;
    bool bad; /* something was asked for that is not there */
} swg__cursor;

static inline size_t swg__left(const swg__cursor *c) { return (size_t)(c->end - c->at); }

/* The next `bytes` bytes, or NULL (and bad) if fewer are left. */
static inline const uint8_t *swg__take(swg__cursor *c, size_t bytes) {
    if (c->bad || swg__left(c) < bytes) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += bytes;
    return at;
}
static inline uint32_t swg__take8(swg__cursor *c) {
    const uint8_t *p = swg__take(c, 1);
    return p ? *p : 0;
}
static inline uint32_t swg__take16(swg__cursor *c) {
    const uint8_t *p = swg__take(c, 2);
    return p ? swg__load16(p) : 0;
}
static inline uint32_t swg__take32(swg__cursor *c) {
    const uint8_t *p = swg__take(c, 4);
    return p ? swg__load32(p) : 0;
}
static inline uint64_t swg__take64(swg__cursor *c) {
    const uint8_t *p = swg__take(c, 8);
    return p ? swg__load64(p) : 0;
}
/* At most 5 bytes, shortest form only, within 32 bits. */
static inline uint32_t swg__take_leb(swg__cursor *c) {
    uint64_t v = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        uint32_t byte = swg__take8(c);
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            if ((byte == 0 && shift) || v > UINT32_MAX)
                c->bad = true;
            return c->bad ? 0 : (uint32_t)v;
        }
    }
    c->bad = true;
    return 0;
}

/* ---- bits, most significant first ---- */

typedef struct swg__bit_writer {
    swg__text *out;
    uint64_t held;
    int count; /* bits in `held`, < 32 between calls */
} swg__bit_writer;

/* v < 2^bits, bits <= 32 */
static inline void swg__bits_put32(swg__bit_writer *w, uint64_t v, int bits) {
    w->held = w->held << bits | v;
    w->count += bits;
    if (w->count >= 32) {
        uint32_t word = (uint32_t)(w->held >> (w->count - 32));
        uint8_t bytes[4] = {(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        swg__put(w->out, bytes, 4);
        w->count -= 32;
    }
}
/* v < 2^bits, bits <= 64 */
static inline void swg__bits_put(swg__bit_writer *w, uint64_t v, int bits) {
    if (bits > 32) {
        swg__bits_put32(w, v >> 32, bits - 32);
        bits = 32;
    }
    swg__bits_put32(w, v & 0xFFFFFFFF, bits);
}
static inline void swg__bits_finish(swg__bit_writer *w) {
    for (; w->count > 0; w->count -= 8)
        swg__put8(w->out, (unsigned)(w->count >= 8 ? w->held >> (w->count - 8) : w->held << (8 - w->count)) & 255);
    w->count = 0;
}

typedef struct swg__bit_reader {
    const uint8_t *at, *end;
    uint64_t held; /* left-aligned */
    int count;
    bool bad;
} swg__bit_reader;

/* bits in 0..56; zero and bad past the end */
static inline uint64_t swg__bits_get(swg__bit_reader *r, int bits) {
    while (r->count <= 56 && r->at < r->end) {
        r->held |= (uint64_t)*r->at++ << (56 - r->count);
        r->count += 8;
    }
    if (r->count < bits || bits == 0) {
        r->bad |= bits != 0;
        return 0;
    }
    uint64_t v = r->held >> (64 - bits);
    r->held <<= bits;
    r->count -= bits;
    return v;
}
/* Nothing left but the zero padding of the last byte. */
static inline bool swg__bits_at_end(const swg__bit_reader *r) {
    return !r->bad && r->at == r->end && r->count < 8 && r->held == 0;
}

#endif
