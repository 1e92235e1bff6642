/* pass.h - rewrites of a private copy of the graph, in place. Promise of each: same result, cheaper.
 * A pass may change a node's op, inputs and attributes, or point readers elsewhere; it never reorders nodes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_PASS_H
#define SWAGE_PASS_H

#include "ir/ir.h"
#include "swage/quantise.h"

typedef struct swg__work {
    swg_graph *g;           /* the copy */
    swg_value *outputs;     /* values of the copy; passes keep them up to date */
    int output_count;
    int *readers;           /* per node: live nodes that read it, plus 1 if it is an output; 0 means dead */
} swg__work;

/* A line about what a pass did to g: "fold: 3 constants". Begins with the name of the pass. */
void swg__explain(swg_graph *g, const char *format, ...) SWG__PRINTF(2, 3);
/* Live nodes with this operation; -1: out of memory. */
int64_t swg__count_live(const swg_graph *g, const swg_value *outputs, int output_count, swg__op op);

/* Counts readers afresh; everything no output needs gets 0. */
void swg__work_count(swg__work *w);

/* placed[v] = 1 for gradients: each has a place of its own in the gradient span, so nothing may be merged into or out of it. */
void swg__mark_placed(const swg_graph *g, uint8_t *placed);

/* May a node give way to an equal one? Not leaves, random numbers, and what writes. */
bool swg__mergeable(const swg__node *n);
/* A table for all nodes of g, empty; NULL: out of memory. */
swg_value *swg__equal_table(const swg_graph *g, int64_t *slots);
/* What was entered first of the nodes with the operation, attributes and inputs of v: v itself if none was. */
swg_value swg__first_equal(const swg_graph *g, swg_value *table, int64_t slots, swg_value v);

/* fixed[v] = 1 for what depends on parameters, states and constants only. */
void swg__mark_fixed(const swg_graph *g, uint8_t *fixed);

/* From one copy into another, before the layout, for frozen weights: norms of known statistics into contractions. like[v]: what v is in
 * `to`. */
swg_status swg__pass_norm(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like);
/* Before the others, from one copy into another: permutes of channels only at the edges. like[v]: what v is in `to`; SWG_NONE for
 * what only exists channels-last there. Outputs exist. */
swg_status swg__pass_layout(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like);
/* From one copy into another, after the layout: what works on the last axis, and convolutions of one tap, on (positions, channels). like[v]:
 * what v is in `to`; SWG_NONE for what only exists as rows there. Outputs exist. */
swg_status swg__pass_rows(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, swg_value *like);
/* From one copy into another, after the layout: activations in bf16 by the list in ir/ops.c if `mixed`; else only what was cast to it.
 * `fused`: chains of element-wise operations will become programs, and what stays within one is f32. like[v]: what v is in `to`, in its own
 * type; SWG_NONE for what only exists in the other. Outputs exist. */
swg_status swg__pass_cast(const swg_graph *from, swg_graph *to, const swg_value *outputs, int output_count, bool mixed, bool fused,
                           swg_value *like);
/* Is there a node that the pass must look at? */
bool swg__holds_bf16(const swg_graph *g);

/* Why a plan does not quantise this node; NULL: it does. fixed: of swg__mark_fixed. */
const char *swg__quantise_not(const swg_graph *g, const uint8_t *fixed, const swg__node *n);
/* The axis of a product's weights that its results run along. */
int swg__quantise_axis(const swg__node *n);
/* Products in layers whose names fit one of the patterns (commas between, "decoder.*" or "decoder/fc2") stay f32. */
void swg__keep_precise(swg_graph *g, const char *patterns);
/* From one copy into another, after the layout: quantise_dequantise before the operands of products with weights; SWG_CODE_NONE leaves one as it
 * is. */
swg_status swg__pass_quantise(const swg_graph *from, swg_graph *to, swg_code rows, swg_code weights, swg_value *like);
/* After fusing: products of u8 rows and s8 weights read the codes, and quantise weights where they are packed. */
swg_status swg__pass_codes(swg__work *w);

/* ---- recomputation (checkpointing-and-memory.md, section 5) ---- */

/* able[v] = 1 for forward values that may be computed again: neither leaves, nor reductions (statistics are kept), nor what writes
 * states, nor what depends on neither inputs nor random numbers. Views are as what they view. */
void swg__remat_able(const swg_graph *g, const swg_value *outputs, int output_count, uint8_t *able);
/* Is it cheap, made element by element or moved? */
bool swg__remat_cheap(const swg__node *n);
/* From one copy into another, after the layout: forward values with drop[v] are not kept for the backward part, but cloned there, before
 * the first reader. drop may only name values that are able. Readers more than `reach` contractions apart get clones of their own of
 * what is cheap. */
swg_status swg__pass_remat(const swg_graph *from, swg_graph *to, const uint8_t *drop, int reach, swg_value *like);

swg_status swg__pass_fold(swg__work *w);    /* constants, common subexpressions, identities, needless expands */
/* After folding: attention without log-sums where only its result is read, and in bf16 where it is only read as such. */
void swg__pass_attend(swg__work *w);
/* Of bf16 plans, before recomputation: bias into products that are rounded, so that who reads them does not change how often. */
swg_status swg__pass_bias(swg__work *w);
swg_status swg__pass_fuse(swg__work *w);    /* bias, relu and gate into contractions; element-wise chains into programs */

#endif
