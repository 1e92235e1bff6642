/* kernel.h - how the plan calls arithmetic: a call has resolved pointers; a kernel runs any range of its units.
 * Results never depend on how units are grouped into tasks or on which worker runs them.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KERNEL_H
#define SWAGE_KERNEL_H

#include "ir/ir.h"
#include "kernel/isa.h"

enum { SWG__ROW_INPUTS = SWG__PROGRAM_INPUTS }; /* a row kernel has no more inputs than this */

/* Elements up to `end` of the parameter span belong to a group with optimiser numbers of its own. */
typedef struct swg__segment { int64_t end; int group; } swg__segment;

typedef struct swg__call {
    const swg_graph *g;
    const swg__node *node;
    const swg__isa_table *isa;
    const swg__exact_table *exact;
    void *out;
    const void *const *in;      /* node->inputs pointers */
    const void *packed;         /* what the packing step made of the second operand */
    void *scratch;              /* what `scratch` asked for, one part per worker if it is per worker; else what is packed */
    int64_t worker_bytes;       /* distance between workers' scratch */
    const void *layout;         /* what `prepare` computed when the plan was made */
    int variant;                /* below the kernel's `variants`; 0: heuristic */
    uint64_t seed;
    uint32_t step;
    /* Optimiser calls only: the spans, and their length in elements. */
    void *weight, *gradient, *moment1, *moment2, *largest, *sum;
    int64_t span;
    const swg__segment *segments;
} swg__call;

typedef struct swg__kernel {
    const char *name;
    /* Number of units; a unit is a row of axis 0 if `rows` is true. */
    int64_t (*units)(const swg__call *call);
    /* Units per task, a function of shape alone. */
    int64_t (*grain)(const swg__call *call);
    void (*run)(const swg__call *call, int64_t begin, int64_t end, int worker);
    /* After all units, on the caller's thread; may be NULL. */
    void (*finish)(const swg__call *call);
    /* Scratch in bytes, and whether each worker needs its own; may be NULL. */
    int64_t (*scratch)(const swg__call *call, bool *per_worker);
    /* Static facts of the call (strides, programs), allocated in `arena`; NULL result means out of memory. May be NULL. */
    const void *(*prepare)(swg__arena *arena, const swg__call *call);
    bool rows;
    bool bf16;                  /* contractions: multiplies in bf16 if its first operand is */
    /* Contractions: packing of the second operand, a call of its own that fills `out`, and the bytes it takes (0: read in place). */
    const struct swg__kernel *pack;
    int64_t (*pack_bytes)(const swg_graph *g, const swg__node *n, const swg__isa_table *isa);
    /* Ways to run that give the same bits, for the tuner to choose from (call->variant), and what variant i > 0 is called. 0: one way. */
    int variants;
    const char *const *variant_names;
} swg__kernel;

/* The kernels of op.def. */
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) extern const swg__kernel swg__kernel_##kernel;
#include "ir/op.def"
#undef OP

/* Of columns of a matrix, of a qdq whose slices are not rows, and of products of codes. */
extern const swg__kernel swg__kernel_move_rows, swg__kernel_qdq_channels, swg__kernel_int8, swg__kernel_int8_conv, swg__kernel_conv_narrow, swg__kernel_conv_narrow_weights,
    swg__kernel_conv_single_weights;
/* A join or cut of the columns of a matrix (x: its first input), for swg__kernel_move_rows? */
bool swg__moves_rows(const swg__node *n, const swg__node *x);
/* A convolution, or the gradient of its weights, to so few channels that the narrow kernels are for it? */
bool swg__conv_is_narrow(const swg_graph *g, const swg__node *n);
/* The gradient of the weights of a convolution of one channel, whose lines are not too long (conv_single_weights.c)? */
bool swg__conv_is_single(const swg_graph *g, const swg__node *n);

/* Adam and AdamW in one pass per quantity, the slow way, see swg_plan_opts.separate_update. The gradients end scaled, in place. */
enum { SWG__UPDATE_PASSES = 4 };
extern const swg__kernel swg__kernel_update_pass[SWG__UPDATE_PASSES];

/* The kernel of a node: f32 families, or the slow f64 reference. NULL for leaves and views. */
const swg__kernel *swg__kernel_of(const swg_graph *g, const swg__node *n);
extern const swg__kernel swg__kernel_reference;

/* Kernels that read or write bf16 compute in f32, a chunk at a time that stays in the first cache. */
enum { SWG__CHUNK = 4096 };
static inline bool swg__is_bf16(const swg__call *call, int input) { return call->g->nodes[call->node->in[input]].dtype == SWG_BF16; }
/* n elements from element `at` of an input: where they lie, or widened to `room`. */
static inline const float *swg__floats(const swg__call *call, int input, int64_t at, int64_t n, float *room) {
    if (!swg__is_bf16(call, input))
        return (const float *)call->in[input] + at;
    call->isa->widen(room, (const swg__bf16 *)call->in[input] + at, n);
    return room;
}
/* The same of `rows` rows of n, `*stride` elements apart; widened they lie without gaps. */
static inline const float *swg__float_rows(const swg__call *call, int input, int64_t at, int64_t rows, int64_t n, int64_t *stride, float *room) {
    if (!swg__is_bf16(call, input))
        return (const float *)call->in[input] + at;
    for (int64_t r = 0; r < rows; r++)
        call->isa->widen(room + r * n, (const swg__bf16 *)call->in[input] + at + r * *stride, n);
    *stride = n;
    return room;
}

static inline int64_t swg__min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t swg__ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif
