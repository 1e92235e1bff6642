/* ir.h - the graph as passes and the planner see it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IR_H
#define SWAGE_IR_H

#include "base.h"
#include "bf16.h"
#include "swage/graph.h"

typedef enum swg__op {
#define OP(id, text, class, inputs, gradient, kernel, reference, bf16) SWG__##id,
#include "op.def"
#undef OP
    SWG__OP_COUNT
} swg__op;

/* A type beside swg_dtype, of what only a product of codes reads: rows as kernel/int8.h draws them, the shape that of the values. */
enum { SWG__CODES = SWG_BF16 + 1 };

typedef enum swg__class { SWG__LEAF, SWG__RANDOM, SWG__VIEW, SWG__MOVE, SWG__EW, SWG__REDUCE, SWG__ROWS, SWG__SORT,
                          SWG__CONTRACTION, SWG__ATTEND, SWG__OPTIM } swg__class;

/* A program runs element by element over tiles that stay in L1. Register r < inputs is an input, others are tiles. */
enum { SWG__PROGRAM_INPUTS = 8, SWG__PROGRAM_CODE = 24, SWG__PROGRAM_TILES = 8 };
typedef struct swg__instruction {
    uint8_t op;         /* an SWG__EW op */
    uint8_t out, in[3]; /* registers: inputs first, then tiles; the last instruction's out is the result */
    double f[2];        /* the op's constants */
} swg__instruction;
typedef struct swg__program {
    int inputs, length;
    swg__instruction code[SWG__PROGRAM_CODE];
} swg__program;

/* No padding, so that equal attributes are equal bytes (fold.c compares and hashes them). */
typedef struct swg__attr {
    double f[2];                    /* affine scale, shift; clamp low, high; constant; reduce scale in f[0]; state value in f[0];
                                     * attention scale */
    int64_t begin[SWG_MAX_DIMS];    /* slice begin; pad before; permute axes */
    const swg__program *program;    /* program */
    void *data;                     /* array: its elements; param: its swg_init; state: its row or NULL. In the arena of the graph that was
                                     * built; of the last two a plan's copy never reads */
    int32_t stride[3], dilation[3], before[3], groups; /* convolution; spatial axes at the end: stride[2] is of the last one.
                                     * attention: heads in groups if their columns stand side by side, else 0; trans_a: without log-sums.
                                     * stft: n, hop, window first in stride, dilation, before; trans_a: inverse.
                                     * spline: order in groups, range in f, trans_a: SiLU in front, trans_b: the bases before the last axis */
    int32_t axis;                   /* concat, argsort, take, put; qdq: SWG_CODE_ROWS, too */
    uint32_t axes;                  /* reduce */
    uint32_t stream;                /* random */
    bool trans_a, trans_b;          /* matmul */
    bool bias, relu, gate;          /* contraction: inputs after a, b in this order (relu has none) */
    uint8_t update, update_flags;   /* update: swg_update_kind, SWG__UPDATE_...; grad_norm: the same flags. qdq: swg_code first; as codes,
                                     * bytes of one in stride[0], of channels in `groups` runs per position */
    uint8_t unused;                 /* so that there is no padding */
    uint32_t clone;                 /* not 0: for the backward pass, which computes it anew; never one with an equal node of another number */
} swg__attr;
_Static_assert(sizeof(swg__attr) == 2 * 8 + SWG_MAX_DIMS * 8 + 2 * sizeof(void *) + 10 * 4 + 3 * 4 + 8 + 4, "no padding in swg__attr");

enum { SWG__UPDATE_CLIP = 1, SWG__UPDATE_MOMENTUM = 2, SWG__UPDATE_NESTEROV = 4, SWG__UPDATE_AMSGRAD = 8, SWG__UPDATE_ACCUMULATE = 16 };

typedef enum swg__remat { SWG__REMAT_NO_WORD, SWG__REMAT_KEEP, SWG__REMAT_DROP } swg__remat;

typedef struct swg__node {
    uint8_t op, dtype;
    uint8_t backward;               /* made by swg_gradients or later */
    uint8_t remat;                  /* swg__remat: the user's word */
    uint8_t clone;                  /* a forward value computed again for the backward pass (pass/remat.c) */
    uint8_t precise;                /* f32 whatever the plan's precision */
    uint32_t block;                 /* innermost block it was made in, 0: none */
    int ndim, inputs;
    int64_t *shape;                 /* room for SWG_MAX_DIMS, in the arena: it stays where it is when the array of nodes moves */
    swg_value *in;
    swg__attr attr;
    const char *name;               /* leaves: full path; others: scope path, "" at the top */
    int64_t offset;                 /* params, states, assignments: first element in the span */
} swg__node;

/* What stands between swg_block_begin and swg_block_end. */
typedef struct swg__block {
    uint32_t around;                /* the block it lies in, 0: none */
    bool kan;                       /* of a KAN layer; no block for policies but SWG_RECOMPUTE_KAN */
} swg__block;

struct swg_graph {
    swg_context *ctx;
    swg__arena arena;
    swg_dtype dtype;
    swg_status status;
    char message[640];              /* of the first error, "" if none */
    swg__node *nodes;               /* nodes[0] stands for SWG_NONE */
    int64_t count, capacity;
    swg_value *params;
    int param_count, param_capacity;
    int64_t span;                   /* elements of the parameter span, every parameter aligned to 16 */
    struct swg__state_entry { swg_value state, value, update, like; } *states;   /* value: what it becomes, update: by which ASSIGN, like: the
                                                                                  * parameter it starts as; or SWG_NONE */
    int state_count, state_capacity;
    int64_t state_span;             /* as span, of the states */
    swg__text scope;                /* "encoder/block2" */
    struct swg__scope *scopes;      /* what it was before each push, innermost first */
    swg__block *blocks;             /* by number; blocks[0] stands for none */
    uint32_t block_count, block_capacity, block;    /* block: the one being made */
    bool in_backward, precise;
    bool inference;                 /* layers build their inference form */
    swg__text *explain;             /* of a plan's copy: lines about what the passes did; NULL: nobody asks */
};

/* What an operation does where activations are kept in bf16: the last column of op.def (training.md, section 3). */
typedef enum swg__precision {
    SWG__ONLY_F32,      /* reads and writes f32 */
    SWG__TO_F32,    /* reads either, writes f32 */
    SWG__FOLLOWS,       /* writes the widest of what it reads */
    SWG__MULTIPLIES,    /* products of bf16, sums of f32, result in either; attention's in f32 */
} swg__precision;
extern const uint8_t swg__precisions[SWG__OP_COUNT];

typedef struct swg__op_info { const char *text; swg__class class; int inputs; } swg__op_info;
extern const swg__op_info swg__ops[SWG__OP_COUNT];

enum { SWG__MOST_ELEMENTS_LOG2 = 40 };  /* of a value. The bytes of a million such values fit into int64_t, and so do the multiply-adds
                                         * of a product of two: no more than the square root of (2^40)^3 */
int64_t swg__shape_elements(int ndim, const int64_t *shape);
size_t swg__dtype_size(swg_dtype dtype);
static inline void swg__store(void *data, swg_dtype dtype, int64_t i, double value) { /* element i of f32, f64 or bf16 data */
    if (dtype == SWG_F64)
        ((double *)data)[i] = value;
    else if (dtype == SWG_BF16)
        ((swg__bf16 *)data)[i] = swg__bf16_of((float)value);
    else
        ((float *)data)[i] = (float)value;
}
static inline double swg__load(const void *data, swg_dtype dtype, int64_t i) {
    return dtype == SWG_F64 ? ((const double *)data)[i] : dtype == SWG_BF16 ? (double)swg__f32_of_bf16(((const swg__bf16 *)data)[i])
                                                                            : (double)((const float *)data)[i];
}
int64_t swg__node_bytes(const swg__node *n);
int64_t swg__add_most(int64_t a, int64_t b);    /* INT64_MAX where the sum does not fit; for counts of work */
int64_t swg__node_macs(const swg_graph *g, const swg__node *n);

/* Appends a node whose shape is already known; latches errors. in may be NULL when inputs is 0. */
swg_value swg__append(swg_graph *g, swg__op op, swg_dtype dtype, int ndim, const int64_t *shape, int inputs, const swg_value *in,
                      const swg__attr *attr);
/* For passes that make a graph anew: the same with all else that `like`, a node of the old graph, carries: its name, place and marks. */
swg_value swg__append_like(swg_graph *g, const swg__node *like, swg__op op, swg_dtype dtype, int ndim, const int64_t *shape, int inputs,
                           const swg_value *in, const swg__attr *attr);
/* May `v` be an input of `what`? Latches an error if it is not a value of the graph's type: indices only go into take_along. */
bool swg__check(swg_graph *g, const char *what, swg_value v);
/* swg_update_states; where gate (shape {1}, or SWG_NONE) is not finite, no state moves. */
swg_value swg__update_states(swg_graph *g, swg_value v, swg_value gate);
/* Of two leaves: scopes end in '/' in a graph and in '.' in a checkpoint, so the two are one. */
bool swg__same_name(const char *a, const char *b);
/* What `v` is a view of: reshapes share the memory of their input. */
swg_value swg__base_of(const swg_graph *g, swg_value v);
bool swg__same_shape(const swg__node *a, const swg__node *b);
/* A copy of n numbers in the graph's arena; latches an error for `what`. */
double *swg__copy_numbers(swg_graph *g, const double *from, int64_t n, const char *what);
/* swg_block_begin, of a KAN layer or not. */
void swg__block_begin(swg_graph *g, bool kan);
/* A leaf whose name no other of its kind has. */
swg_value swg__named_leaf(swg_graph *g, swg__op op, const char *name, int ndim, const int64_t *shape, const swg__attr *attr);
/* "(3, 4, 5)" for messages. */
const char *swg__shape_text(const swg__node *n, char *out, size_t capacity);
/* The same with the layer it comes from, or the leaf it is: `(3, 4, 5) from "encoder/fc1"`. */
const char *swg__value_text(const swg_graph *g, swg_value v, char *out, size_t capacity);
/* What an element-wise node does per element; input i is register i, instruction i writes register inputs + i. */
void swg__program_of(const swg__node *n, swg__program *out);

/* A tensor as (outer, middle, inner) for a normalisation over `axes`: `columns` if the middle is reduced and the others are kept,
 * else the outer and inner are reduced and the middle is kept. False if the axes are not of one of these kinds. */
typedef struct swg__norm_view { int64_t outer, middle, inner; bool columns; } swg__norm_view;
bool swg__norm_view_of(const swg__node *x, uint32_t axes, swg__norm_view *out);
/* (2, kept): sums over `axes` of dy w and of dy w (x - mean) rstd, w the optional weight; `by_row`: mean and rstd vary along the
 * reduced axis. SWG_NONE without an error where no kernel has the form. */
swg_value swg__norm_sums(swg_graph *g, const swg_value *in, int inputs, uint32_t axes, bool by_row);
/* (x - mean) rstd gamma + beta over the last `dims` axes, but not all of them; gamma and beta have their shape or are SWG_NONE, beta or
 * both. One pass over a row; for the gradient the statistics are made again. */
swg_value swg__layer_norm(swg_graph *g, swg_value x, swg_value gamma, swg_value beta, int dims, double eps);
/* ---- pooling and resize: maps along up to three spatial axes, one after the other ---- */

typedef enum swg__resample_kind { SWG__WINDOW, SWG__ADAPTIVE, SWG__NEAREST, SWG__LINEAR_CENTRES, SWG__LINEAR_CORNERS } swg__resample_kind;
/* x as (outer, in[0..2], inner), y likewise with out; missing spatial axes stand in front with extent 1. attr.begin[0]: kind;
 * begin[3..5]: kernel; stride, before: of windows; f[0]: averages count no padding; axis: first spatial axis; trans_a: x and y change
 * places, the map is the transposed one. */
typedef struct swg__resample {
    int64_t outer, in[3], out[3], inner;
    const swg__attr *attr;
} swg__resample;
swg__resample swg__resample_of(const swg_graph *g, const swg__node *n);
/* Elements of x that make element `o` of y along `axis`: [*first, result). */
int64_t swg__resample_window(const swg__resample *r, int axis, int64_t o, int64_t *first);
/* Weight of element i of that range. */
double swg__resample_weight(const swg__resample *r, int axis, int64_t o, int64_t i);

/* Gather, and scatter to the shape `to`, where the spatial axes from `axis` on are taken as one; the index is shaped like the result of
 * gather. */
swg_value swg__spatial_gather(swg_graph *g, swg_value x, swg_value index, int axis);
swg_value swg__spatial_scatter(swg_graph *g, swg_value x, swg_value index, int axis, const int64_t *to);
/* How gather and scatter see their operands: x (outer, n, inner), values (outer, m, inner); the index is (m), (outer, m) or
 * (outer, m, inner). */
typedef struct swg__gather { int64_t outer, n, m, inner, index_outer, index_m, index_inner; } swg__gather; /* the last three: strides */
swg__gather swg__gather_of(const swg_graph *g, const swg__node *n);

/* Hash of "<kind>:<scope>.<name>" with '/' written '.': the stream of a random layer. Latches an error if another has it. */
uint32_t swg__stream_of(swg_graph *g, const char *kind, const char *name);
/* Latches an error, the message prefixed with the scope path; returns SWG_NONE. */
swg_value swg__graph_fail(swg_graph *g, swg_status status, const char *format, ...) SWG__PRINTF(3, 4);
/* Element-wise op on up to three inputs with broadcasting. */
swg_value swg__ew(swg_graph *g, swg__op op, double f0, double f1, int inputs, swg_value a, swg_value b, swg_value c);
/* Sum of x so that it gets the given (broadcastable) shape: the gradient of broadcasting. */
swg_value swg__sum_to(swg_graph *g, swg_value x, int ndim, const int64_t *shape);
swg_value swg__matmul(swg_graph *g, swg_value a, swg_value b, bool trans_a, bool trans_b);
swg_value swg__reduce(swg_graph *g, swg__op op, swg_value x, uint32_t axes, double scale);
swg_value swg__put_along(swg_graph *g, swg_value x, swg_value index, int axis);

#endif
