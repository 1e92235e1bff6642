/* scalar_causal.c - the network of mode W-MLP for any machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#define LANES32 4
#define INPUTS 2
#define KERNELS swg__causal_kernels_scalar
#define LEAST(a, b) lanes_of(a, b, (a) < (b))
#define MOST(a, b) lanes_of(a, b, (a) > (b))
#define DOT(sum, x, w) sum = (vi32)((vu32)sum + (vu32)products_of(x, w))

typedef int32_t lanes __attribute__((vector_size(16)));
static inline lanes lanes_of(lanes a, lanes b, lanes first) { return (a & first) | (b & ~first); }
static inline lanes products_of(lanes x, lanes w) {
    lanes x0 = (lanes)((lanes)(x << 16) >> 16), w0 = (lanes)((lanes)(w << 16) >> 16);
    return x0 * w0 + (x >> 16) * (w >> 16);
}

#include "codec/causal_kernels.inc.h"
