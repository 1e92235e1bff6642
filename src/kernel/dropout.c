/* dropout.c - elements kept or dropped by Philox words; a unit is a row of axis 0.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/kernel.h"

static int64_t dropout_units(const swg__call *call) { return call->node->shape[0]; }

static int64_t row_elements(const swg__node *n) { return swg__shape_elements(n->ndim, n->shape) / n->shape[0]; }

static int64_t dropout_grain(const swg__call *call) {
    int64_t rows = (16 << 10) / row_elements(call->node);
    return rows < 1 ? 1 : rows;
}

static void dropout_run(const swg__call *call, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t row = row_elements(call->node), first = begin * row;
    double p = call->node->attr.f[0];
    swg__dropout d = {.seed = call->seed, .step = call->step, .stream = call->node->attr.stream, .threshold = (uint32_t)(p * 0x1p32),
                      .scale = (float)(1 / (1 - p))};
    int64_t n = (end - begin) * row;
    bool narrow_out = call->node->dtype == SWG_BF16;
    if (!narrow_out && !swg__is_bf16(call, 0)) {
        call->isa->dropout((float *)call->out + first, (const float *)call->in[0] + first, first, n, &d);
        return;
    }
    float room[SWG__CHUNK];
    for (int64_t i = first; i < first + n; i += SWG__CHUNK) {
        int64_t part = swg__min64(SWG__CHUNK, first + n - i);
        call->isa->dropout(narrow_out ? room : (float *)call->out + i, swg__floats(call, 0, i, part, room), i, part, &d);
        if (narrow_out)
            call->isa->round_bf16((swg__bf16 *)call->out + i, room, part);
    }
}

const swg__kernel swg__kernel_dropout = {.name = "dropout", .units = dropout_units, .grain = dropout_grain, .run = dropout_run,
                                         .rows = true};
