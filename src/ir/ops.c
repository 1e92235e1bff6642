/* ops.c - op.def as a table for people.
 * In: the number of a row. Out: the row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "swage/ops.h"
#include <ctype.h>
#include <string.h>
#include "ir.h"

static const struct { const char *kind, *gradient, *kernel, *reference; } words[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel, reference) [SWG__##id] = {#class, #gradient, #kernel, #reference},
#include "op.def"
#undef OP
};

#define F32_RESULT(id) [SWG__##id] = SWG__F32_RESULT
#define FOLLOWS(id) [SWG__##id] = SWG__FOLLOWS
#define MULTIPLIES(id) [SWG__##id] = SWG__MULTIPLIES
const uint8_t swg__precisions[SWG__OP_COUNT] = { /* all others: SWG__F32_ONLY */
    F32_RESULT(SQRT), F32_RESULT(RSQRT), F32_RESULT(RECIP), F32_RESULT(EXP), F32_RESULT(LOG), F32_RESULT(LOG1P), F32_RESULT(SOFTPLUS),
    F32_RESULT(ROUND), F32_RESULT(NORM_STATS), F32_RESULT(NORM_SUMS), F32_RESULT(LAYER_NORM_SUMS), F32_RESULT(SUM), F32_RESULT(REDUCE_MAX),
    F32_RESULT(MAX_INDEX), F32_RESULT(SOFTMAX),
    FOLLOWS(NEG), FOLLOWS(ABS), FOLLOWS(SIGN), FOLLOWS(SQUARE), FOLLOWS(RELU), FOLLOWS(GELU), FOLLOWS(DGELU), FOLLOWS(TANH),
    FOLLOWS(SIGMOID), FOLLOWS(LEAKY_RELU), FOLLOWS(ELU), FOLLOWS(AFFINE), FOLLOWS(CLAMP), FOLLOWS(INSIDE), FOLLOWS(DETACH), FOLLOWS(CAST),
    FOLLOWS(ADD), FOLLOWS(SUB), FOLLOWS(MUL), FOLLOWS(DIV), FOLLOWS(MAX), FOLLOWS(MIN), FOLLOWS(GREATER), FOLLOWS(EQUAL), FOLLOWS(GATE),
    FOLLOWS(WHERE), FOLLOWS(NORM_APPLY), FOLLOWS(LAYER_NORM), FOLLOWS(LAYER_NORM_GRAD), FOLLOWS(DROPOUT), FOLLOWS(RESAMPLE), FOLLOWS(GATHER), FOLLOWS(ROLL), FOLLOWS(RESHAPE),
    FOLLOWS(PERMUTE), FOLLOWS(EXPAND), FOLLOWS(SLICE), FOLLOWS(PAD), FOLLOWS(CONCAT),
    MULTIPLIES(MATMUL), MULTIPLIES(LINEAR), MULTIPLIES(CONV), MULTIPLIES(CONV_TRANSPOSE), MULTIPLIES(CONV_WEIGHTS),
    MULTIPLIES(ATTENTION), MULTIPLIES(ATTENTION_GRAD), MULTIPLIES(ATTENTION_MASK_GRAD),
};

bool swg_op_at(int index, swg_op_row *out) {
    *out = (swg_op_row){0};
    if (index < 0 || index >= SWG__OP_COUNT - 1)
        return false;
    int op = index + 1; /* the first stands for no operation */
    bool fast = strcmp(words[op].kernel, "none") != 0; /* what has a kernel has a reference */
    *out = (swg_op_row){.name = swg__ops[op].text, .inputs = swg__ops[op].inputs, .gradient = words[op].gradient,
                        .kernel = words[op].kernel, .dtypes = !fast ? "" : swg__precisions[op] == SWG__F32_ONLY ? "f32 f64" : "f32 bf16 f64"};
    for (size_t i = 0; i + 1 < sizeof out->kind && words[op].kind[i]; i++)
        out->kind[i] = (char)tolower((unsigned char)words[op].kind[i]);
    return true;
}
