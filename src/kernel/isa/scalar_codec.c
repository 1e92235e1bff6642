/* scalar_codec.c - the codec's inner loops for any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#define LANES 2
#define LOOKUP_BY_LOOP
#define KERNELS swg__codec_kernels_scalar

/* Five halvings. */
static inline int find_symbol(const uint16_t start[32], uint32_t slot) {
    int at = start[16] <= slot ? 16 : 0;
    at += start[at + 8] <= slot ? 8 : 0;
    at += start[at + 4] <= slot ? 4 : 0;
    at += start[at + 2] <= slot ? 2 : 0;
    return at + (start[at + 1] <= slot);
}

#include "codec/kernels.inc.h"
