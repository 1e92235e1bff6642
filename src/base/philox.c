/* philox.c - the epoch's permutation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "philox.h"
#include "base.h"

void swg__shuffle(uint64_t seed, uint32_t epoch, int64_t *order, int64_t n) {
    uint32_t stream = swg__fnv1a("shuffle");
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t draw = (uint64_t)(n - 1 - i);
        swg__philox_words words = swg__philox(seed, draw / 2, epoch, stream);
        uint64_t r = words.w[2 * (draw % 2)] | (uint64_t)words.w[2 * (draw % 2) + 1] << 32;
        /* High 64 bits of r * (i + 1), in two halves: no 128-bit type needed. */
        uint64_t m = (uint64_t)i + 1, low = (r & 0xffffffffu) * (m & 0xffffffffu);
        uint64_t mid = (r >> 32) * (m & 0xffffffffu) + (low >> 32), mid2 = (r & 0xffffffffu) * (m >> 32) + (mid & 0xffffffffu);
        int64_t j = (int64_t)((r >> 32) * (m >> 32) + (mid >> 32) + (mid2 >> 32));
        int64_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
