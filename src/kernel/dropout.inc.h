/* dropout.inc.h - Philox 4x32-10 in lanes, 16 blocks at a time, and the selection of elements by its words.
 * SPDX-License-Identifier: Apache-2.0 */

enum { PHILOX_BLOCKS = 16 };

/* words[j][i]: word j of block `block` + i. The same numbers as swg__philox gives. */
static void philox_lanes(uint32_t words[4][PHILOX_BLOCKS], uint64_t block, const swg__dropout *d) {
    uint32_t *c0 = words[0], *c1 = words[1], *c2 = words[2], *c3 = words[3];
    for (int i = 0; i < PHILOX_BLOCKS; i++) {
        c0[i] = (uint32_t)(block + (uint64_t)i);
        c1[i] = (uint32_t)((block + (uint64_t)i) >> 32);
        c2[i] = d->step;
        c3[i] = d->stream;
    }
    uint32_t k0 = (uint32_t)d->seed, k1 = (uint32_t)(d->seed >> 32);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < PHILOX_BLOCKS; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c1[i] = (uint32_t)p1;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static void dropout(float *out, const float *x, int64_t first, int64_t n, const swg__dropout *d) {
    enum { CHUNK = 4 * PHILOX_BLOCKS };
    uint32_t words[4][PHILOX_BLOCKS], flat[CHUNK];
    for (int64_t start = first / CHUNK * CHUNK; start < first + n; start += CHUNK) {
        philox_lanes(words, (uint64_t)start / 4, d);
        for (int i = 0; i < CHUNK; i++)
            flat[i] = words[i % 4][i / 4];
        int64_t from = start < first ? first - start : 0, to = first + n - start < CHUNK ? first + n - start : CHUNK;
        const float *in = x + (start - first);
        float *result = out + (start - first);
        for (int64_t i = from; i < to; i++)
            result[i] = flat[i] >= d->threshold ? in[i] * d->scale : 0.f;
    }
}
