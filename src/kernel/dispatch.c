/* dispatch.c - from the instruction set a context chose to its tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernel/int8.h"
#include "kernel/kernel.h"

#define ISA(id, name, fast, like, int8)                     \
    extern const swg__isa_table swg__isa_table_##fast;      \
    extern const swg__exact_table swg__exact_table_##like;  \
    extern const swg__int8_table swg__int8_table_##int8;
#include "isa.def"
#undef ISA

static const struct { const swg__isa_table *fast; const swg__exact_table *exact; const swg__int8_table *int8; } tables[SWG__ISA_COUNT] = {
#ifdef SWG_X86
#define ISA(id, name, fast, like, int8) [SWG__##id] = {&swg__isa_table_##fast, &swg__exact_table_##like, &swg__int8_table_##int8},
#include "isa.def"
#undef ISA
#else
    [SWG__SCALAR] = {&swg__isa_table_scalar, &swg__exact_table_scalar, &swg__int8_table_scalar},
#endif
};

const swg__isa_table *swg__isa_table_of(swg__isa isa) { return tables[isa].fast; }
const swg__exact_table *swg__exact_table_of(swg__isa isa) { return tables[isa].exact; }
const swg__int8_table *swg__int8_table_of(swg__isa isa) { return tables[isa].int8; }

/* ---- from an op to its kernel: the last column of op.def ---- */

const swg__kernel swg__kernel_none = {.name = "none"}; /* leaves and views */

static const swg__kernel *const kernels[SWG__OP_COUNT] = {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) [SWG__##id] = &swg__kernel_##kernel,
#include "ir/op.def"
#undef OP
};

const swg__kernel *swg__kernel_of(const swg_graph *g, const swg__node *n) {
    const swg__kernel *kernel = kernels[n->op];
    if (n->op == SWG__QDQ && n->attr.axis > 0)
        kernel = &swg__kernel_qdq_channels;
    if (n->inputs > 0 && swg__moves_rows(n, &g->nodes[n->in[0]]))
        kernel = &swg__kernel_move_rows;
    if (swg__conv_is_narrow(g, n))
        kernel = n->op == SWG__CONV ? &swg__kernel_conv_narrow : &swg__kernel_conv_narrow_weights;
    else if (swg__conv_is_single(g, n))
        kernel = &swg__kernel_conv_single_weights;
    if (n->inputs > 0 && g->nodes[n->in[0]].dtype == SWG__CODES)
        kernel = n->op == SWG__CONV || n->op == SWG__CONV_TRANSPOSE ? &swg__kernel_int8_conv : &swg__kernel_int8;
    bool moved_index = n->dtype == SWG_I32 && swg__ops[n->op].class == SWG__MOVE; /* a copy of elements whatever they are */
    return !kernel->run ? NULL : g->dtype == SWG_F64 && !moved_index ? &swg__kernel_reference : kernel;
}
