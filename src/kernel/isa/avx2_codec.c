/* avx2_codec.c - the codec's inner loops for AVX2.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES 4
#define KERNELS swg__codec_kernels_avx2

/* Number of starts <= slot, less one: starts rise and fit int16; two mask bits per start. */
static inline int find_symbol(const uint16_t start[32], uint32_t slot) {
    const __m256i *row = (const __m256i *)(const void *)start;
    __m256i key = _mm256_set1_epi16((short)slot);
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(_mm256_loadu_si256(row), key));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi16(_mm256_loadu_si256(row + 1), key));
    uint64_t above = low | (uint64_t)high << 32;
    return above ? __builtin_ctzll(above) / 2 - 1 : 31;
}

/* Gathers 32 bits at 2 * index; the upper half is the next entry. */
typedef int32_t eight __attribute__((vector_size(32)));
static inline eight lookup(const uint16_t *table, eight index) {
    return (eight)_mm256_i32gather_epi32((const int *)(const void *)table, (__m256i)index, 2) & 0xFFFF;
}

#include "codec/kernels.inc.h"
#else
typedef int swg__no_avx2; /* an empty file is not C */
#endif
