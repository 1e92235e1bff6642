/* avx512_codec.c - the codec's inner loops for AVX-512.
 * SPDX-License-Identifier: Apache-2.0 */
#if SWG_X86
#include <immintrin.h>
#include <stdint.h>

#define LANES 8
#define KERNELS swg__codec_kernels_avx512

/* Number of starts <= slot, less one. */
static inline int find_symbol(const uint16_t start[32], uint32_t slot) {
    __mmask32 below = _mm512_cmple_epu16_mask(_mm512_loadu_si512(start), _mm512_set1_epi16((short)slot));
    return __builtin_popcount(below) - 1;
}

/* The table is two registers; the upper half of an index is 0 and finds entry 0. */
typedef int32_t sixteen __attribute__((vector_size(64)));
static inline sixteen lookup(const uint16_t *table, sixteen index) {
    return (sixteen)_mm512_permutex2var_epi16(_mm512_loadu_si512(table), (__m512i)index, _mm512_loadu_si512(table + 32)) & 0xFFFF;
}

#include "codec/kernels.inc.h"
#else
typedef int swg__no_avx512; /* an empty file is not C */
#endif
