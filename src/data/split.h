/* split.h - the published random generator, for splits and their tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_SPLIT_H
#define SWAGE_DATA_SPLIT_H

#include "swage/data.h"

/* First `count` outputs of MT19937 (Matsumoto and Nishimura 1998) seeded by the 1812433253 recurrence. */
void swg__mt19937_words(uint32_t seed, uint32_t *words, int64_t count);
/* Permutation of 0..n-1 as numpy.random.RandomState(seed).permutation(n) gives it. n up to 2^32. */
void swg__shuffle_legacy(uint32_t seed, int64_t *order, int64_t n);

#endif
