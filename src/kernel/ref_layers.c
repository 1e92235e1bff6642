/* ref_layers.c - the slow truth of dropout.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "kernel/ref.h"
#include "philox.h"

void swg__ref_dropout(const swg__call *call) {
    const swg__node *n = call->node;
    int64_t elements = swg__shape_elements(n->ndim, n->shape);
    double p = n->attr.f[0];
    for (int64_t i = 0; i < elements; i++) {
        uint32_t word = swg__philox(call->seed, (uint64_t)i / 4, call->step, n->attr.stream).w[i % 4];
        ((double *)call->out)[i] = (double)word >= floor(p * 0x1p32) ? ((const double *)call->in[0])[i] / (1 - p) : 0;
    }
}
