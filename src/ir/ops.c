/* ops.c - op.def as a table for people.
 * In: the number of a row. Out: the row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/ops.h"
#include <ctype.h>
#include <string.h>
#include "ir.h"

static const struct { const char *kind, *gradient, *kernel, *reference; } words[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = {#class, #gradient, #kernel, #reference},
#include "op.def"
#undef OP
};

const uint8_t swg__precisions[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = SWG__##bf16,
#include "op.def"
#undef OP
};

bool swg_op_at(int index, swg_op_row *out) {
    *out = (swg_op_row){0};
    if (index < 0 || index >= SWG__OP_COUNT - 1)
        return false;
    int op = index + 1; /* the first stands for no operation */
    bool fast = strcmp(words[op].kernel, "none") != 0; /* what has a kernel has a reference */
    *out = (swg_op_row){.name = swg__ops[op].text, .inputs = swg__ops[op].inputs, .gradient = words[op].gradient,
                        .kernel = words[op].kernel, .dtypes = !fast ? "" : swg__precisions[op] == SWG__ONLY_F32 ? "f32 f64" : "f32 bf16 f64"};
    for (size_t i = 0; i + 1 < sizeof out->kind && words[op].kind[i]; i++)
        out->kind[i] = (char)tolower((unsigned char)words[op].kind[i]);
    return true;
}
