/* random.c - random tensors as functions of (seed, stream, step, element).
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"
#include "philox.h"

enum { QUADS = 128 }; /* Philox blocks per piece on the stack */

static int64_t random_units(const swg__call *call) { return swg__ceil_div(swg__shape_elements(call->node->ndim, call->node->shape), 4); }

static int64_t random_grain(const swg__call *call) {
    (void)call;
    return 4 * QUADS;
}

static void random_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t elements = swg__shape_elements(call->node->ndim, call->node->shape);
    uint32_t words[4 * QUADS], stream = call->node->attr.stream;
    float values[4 * QUADS], *out = call->out;
    for (int64_t block = begin; block < end; block += QUADS) {
        int64_t quads = swg__min64(QUADS, end - block), n = swg__min64(4 * quads, elements - 4 * block);
        for (int64_t i = 0; i < quads; i++) {
            swg__philox_words w = swg__philox(call->seed, (uint64_t)(block + i), call->step, stream);
            for (int j = 0; j < 4; j++)
                words[4 * i + j] = w.w[j];
        }
        if (call->node->op == SWG__NORMAL)
            call->exact->normal(values, words, quads);
        for (int64_t i = 0; i < n; i++)
            out[4 * block + i] = call->node->op == SWG__NORMAL ? values[i] : swg__uniform(words[i]);
    }
}

const swg__kernel swg__kernel_random = {.name = "random", .units = random_units, .grain = random_grain, .run = random_run};
