/* causal_kernels.inc.h - the text of mode W-MLP's inner loops (causal.h); an ISA file sets the macros and includes it.
 * LANES32: 32-bit lanes of a vector. INPUTS: 4 or 2. KERNELS: name of the table. LEAST(a, b), MOST(a, b): of int32 lanes.
 * CODES(a, b, c, d), if INPUTS is 4: bytes of four vectors, limited to -127..127, in the words of their points.
 * DOT(sum, x, w): sum += products of the inputs of each word, exactly; u8 by i8 if INPUTS is 4, else i16 by i16.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "codec/causal.h"

typedef int32_t vi32 __attribute__((vector_size(4 * LANES32)));
typedef uint32_t vu32 __attribute__((vector_size(4 * LANES32)));
typedef float vf32 __attribute__((vector_size(4 * LANES32)));

enum { POINTS = 2 * LANES32 };

static inline vi32 load_i32(const void *p) {
    vi32 v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void store_i32(void *p, vi32 v) { memcpy(p, &v, sizeof v); }
static inline vi32 broadcast(int32_t v) { return v - (vi32){0}; }
static inline vi32 between(vi32 v, int32_t least, int32_t most) { return LEAST(MOST(v, broadcast(least)), broadcast(most)); }

/* Inputs 2i, 2i + 1 (and two more from c, d) of a word; values of 16 or 8 bits. */
static inline vi32 word_of_two(vi32 a, vi32 b) { return (vi32)(((vu32)a & 0xFFFF) | (vu32)b << 16); }
static inline vi32 word_of_four(vi32 a, vi32 b, vi32 c, vi32 d) {
    return (vi32)(((vu32)a & 255) | ((vu32)b & 255) << 8 | ((vu32)c & 255) << 16 | (vu32)d << 24);
}

static inline vu32 reciprocals(vi32 m) {
    uint32_t at[LANES32], g[LANES32];
    store_i32(at, m);
    for (int j = 0; j < LANES32; j++)
        g[j] = swg__reciprocal[at[j]];
    return (vu32)load_i32(g);
}

/* The lanes behind the end of a run are computed and forgotten: whatever lies there, nothing traps. */
static bool features(const int32_t *const tap[SWG__TAPS], const int32_t w[SWG__TAPS], int64_t n, int64_t *accumulator, int64_t *activity,
                     uint32_t *x, int64_t stride) {
    vi32 lane, outside = {0};
    for (int j = 0; j < LANES32; j++)
        lane[j] = j;
    for (int64_t i = 0; i < n; i += LANES32) {
        const vu32 anchor = (vu32)load_i32(tap[0] + i);
        vu32 sum = {0}, size = {0}, far = {0}, d[SWG__TAPS];
        vi32 in[SWG__FEATURES];
        for (int k = 1; k < SWG__TAPS; k++) {
            d[k] = (vu32)load_i32(tap[k] + i) - anchor;
            vu32 sign = (vu32)((vi32)d[k] >> 31), above = d[k] ^ sign; /* |d|, less 1 if negative: below 2^13 if d is near */
            sum += d[k] * (uint32_t)w[k];
            size += above - sign;
            far |= above;
        }
        int32_t left = n - i < LANES32 ? (int32_t)(n - i) : LANES32;
        outside |= (vi32)(far & ~(uint32_t)8191) & (lane < left);
        vi32 s = (vi32)(4 * size + 27);
        /* S < 2^24 is exact as f32: its exponent is e, its leading bits are m. */
        vi32 bits = (vi32)__builtin_convertvector(s, vf32), e = between((bits >> 23) - 127, 4, 19);
        vu32 half = (vu32)broadcast(32) << (vu32)e, g = reciprocals((vi32)((vu32)bits >> 15 & 255));
        for (int k = 1; k < SWG__TAPS; k++)
            in[k - 1] = (vi32)(d[k] * g + half) >> (e + 6);
        in[SWG__FEATURES - 1] = between(2 * ((bits >> 21) - (4 * 127 + 16)) - 64, -64, 62);
        for (int k = 0; k < SWG__FEATURES; k += 4) {
#if INPUTS == 4
            store_i32(x + i + k / 4 * stride, (vi32)CODES(in[k], in[k + 1], in[k + 2], in[k + 3]) ^ broadcast((int32_t)0x80808080));
#else
            store_i32(x + i + k / 2 * stride, word_of_two(between(in[k], -127, 127), between(in[k + 1], -127, 127)));
            store_i32(x + i + (k / 2 + 1) * stride, word_of_two(between(in[k + 2], -127, 127), between(in[k + 3], -127, 127)));
#endif
        }
        int32_t sums[LANES32], sizes[LANES32];
        store_i32(sums, (vi32)sum);
        store_i32(sizes, s);
        if (left == LANES32) {
            for (int j = 0; j < LANES32; j++)
                accumulator[i + j] = sums[j];
            for (int j = 0; j < LANES32; j++)
                activity[i + j] = sizes[j];
        }
        for (int32_t j = 0; left < LANES32 && j < left; j++) {
            accumulator[i + j] = sums[j];
            activity[i + j] = sizes[j];
        }
    }
    int32_t any = 0;
    for (int j = 0; j < LANES32; j++)
        any |= outside[j];
    return any != 0;
}

/* Four outputs of two vectors of points. Sums of lanes behind the last point may wrap. */
static inline void four_sums(const uint32_t *x, int64_t stride, int words, const uint32_t *w, const int32_t *bias, vi32 a[4], vi32 b[4]) {
    vi32 a0 = broadcast(bias[0]), a1 = broadcast(bias[1]), a2 = broadcast(bias[2]), a3 = broadcast(bias[3]);
    vi32 b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    for (int s = 0; s < words; s++, x += stride, w += 4) {
        const vi32 p = load_i32(x), q = load_i32(x + LANES32);
        const vi32 w0 = broadcast((int32_t)w[0]), w1 = broadcast((int32_t)w[1]), w2 = broadcast((int32_t)w[2]), w3 = broadcast((int32_t)w[3]);
        DOT(a0, p, w0);
        DOT(b0, q, w0);
        DOT(a1, p, w1);
        DOT(b1, q, w1);
        DOT(a2, p, w2);
        DOT(b2, q, w2);
        DOT(a3, p, w3);
        DOT(b3, q, w3);
    }
    a[0] = a0, a[1] = a1, a[2] = a2, a[3] = a3;
    b[0] = b0, b[1] = b1, b[2] = b2, b[3] = b3;
}

/* Activations of four outputs, in the words that the next layer reads. */
static inline void put_outputs(const vi32 sum[4], int shift, uint32_t *h) {
    vi32 v[4];
    for (int o = 0; o < 4; o++)
        v[o] = between(sum[o] >> shift, 0, 255);
#if INPUTS == 4
    store_i32(h, word_of_four(v[0], v[1], v[2], v[3]));
#else
    store_i32(h, word_of_two(v[0], v[1]));
    store_i32(h + POINTS, word_of_two(v[2], v[3]));
#endif
}

static void run(const swg__causal *net, const uint32_t *x, int64_t stride, int64_t n, void *scratch, int32_t *sum0, int32_t *sum1) {
    uint32_t *const buffer[2] = {scratch, (uint32_t *)scratch + net->widest * POINTS};
    vi32 a[4], b[4];
    for (int64_t i = 0; i < n; i += POINTS) {
        const uint32_t *in = x + i;
        int64_t step = stride;
        for (int l = 0; l < net->layers - 1; l++) {
            const swg__causal_layer *layer = &net->layer[l];
            uint32_t *h = buffer[l & 1];
            for (int g = 0; g < layer->groups; g++, h += 4 / INPUTS * POINTS) {
                four_sums(in, step, layer->words, layer->weight + (int64_t)4 * g * layer->words, layer->bias + 4 * g, a, b);
                put_outputs(a, layer->shift, h);
                put_outputs(b, layer->shift, h + LANES32);
            }
            in = buffer[l & 1];
            step = POINTS;
        }
        const swg__causal_layer *last = &net->layer[net->layers - 1];
        four_sums(in, step, last->words, last->weight, last->bias, a, b);
        store_i32(sum0 + i, a[0]);
        store_i32(sum0 + i + LANES32, b[0]);
        store_i32(sum1 + i, a[1]);
        store_i32(sum1 + i + LANES32, b[1]);
    }
}

const swg__causal_kernels KERNELS = {INPUTS, POINTS, features, run};
