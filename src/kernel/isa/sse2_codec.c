/* sse2_codec.c - the codec's inner loops for SSE2.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <emmintrin.h>
#include <stdint.h>

#define LANES 2
#define LOOKUP_BY_LOOP
#define KERNELS swg__codec_kernels_sse2

/* Number of starts <= slot, less one: starts rise and fit int16, so the mask of "start > slot" begins where the symbol ends. */
static inline int find_symbol(const uint16_t start[32], uint32_t slot) {
    const __m128i *row = (const __m128i *)(const void *)start;
    __m128i key = _mm_set1_epi16((short)slot);
    __m128i low = _mm_packs_epi16(_mm_cmpgt_epi16(_mm_loadu_si128(row), key), _mm_cmpgt_epi16(_mm_loadu_si128(row + 1), key));
    __m128i high = _mm_packs_epi16(_mm_cmpgt_epi16(_mm_loadu_si128(row + 2), key), _mm_cmpgt_epi16(_mm_loadu_si128(row + 3), key));
    uint64_t above = (uint32_t)_mm_movemask_epi8(low) | (uint64_t)(uint32_t)_mm_movemask_epi8(high) << 16 | (uint64_t)1 << 32;
    return __builtin_ctzll(above) - 1;
}

#include "codec/kernels.inc.h"
#else
typedef int swg__no_sse2; /* an empty file is not C */
#endif
