/* philox.h - counter-based random numbers: a random tensor is a function of (seed, stream, step, element).
 * Philox 4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PHILOX_H
#define SWAGE_PHILOX_H

#include <stdint.h>

typedef struct swg__philox_words { uint32_t w[4]; } swg__philox_words;

static inline swg__philox_words swg__philox(uint64_t seed, uint64_t block, uint32_t step, uint32_t stream) {
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = step, c3 = stream;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (swg__philox_words){{c0, c1, c2, c3}};
}

/* Uniform in [0, 1) from one word, exact in f32. */
static inline float swg__uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* Permutation of 0..n-1 of an epoch: Fisher-Yates from the top, 64-bit draws, stream "shuffle". */
void swg__shuffle(uint64_t seed, uint32_t epoch, int64_t *order, int64_t n);

#endif
