/* cyto_vit.h - what the masked autoencoder and the image world model share: tokens of an image, transformer blocks, choices of tokens.
 * Errors are latched in the graph.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_ZOO_CYTO_VIT_H
#define SWAGE_ZOO_CYTO_VIT_H

#include "swage/cyto_vit.h"
#include "ir/ir.h"

enum { SWG__VIT_LEAVES = 5 + 11 * SWG_VIT_DEPTH };

/* Where the weights of an encoder come from. A student makes parameters and remembers them; a teacher, built by the same calls in the same order,
 * has a state for each, which moves to it by `rate` {1} in this step, or is only read where rate is SWG_NONE. */
typedef struct swg__vit_leaves {
    bool teacher;
    swg_value rate, student[SWG__VIT_LEAVES];
    int count;
} swg__vit_leaves;

/* leaves: NULL where there is no teacher. Names are below the current scope. */
swg_value swg__vit_leaf(swg_graph *g, swg__vit_leaves *leaves, const char *name, int ndim, const int64_t *shape, swg_init init);
swg_value swg__vit_linear(swg_graph *g, swg__vit_leaves *leaves, swg_value x, int64_t n, const char *name);
swg_value swg__vit_norm(swg_graph *g, swg__vit_leaves *leaves, swg_value x, const char *name);
/* Pre-norm block named "block<number>". x: (N, n, width). context: SWG_NONE for self-attention, or (N, m, width), whose rows are keys and values. */
swg_value swg__vit_block(swg_graph *g, swg__vit_leaves *leaves, swg_value x, swg_value context, int64_t heads, int number);
/* Token or table of positions "weight": (rows, width), truncated normal. */
swg_value swg__vit_token(swg_graph *g, swg__vit_leaves *leaves, int64_t rows, int64_t width);
/* The table, or fixed positions: (rows, width) with rows = tokens, or one more in front of them, whose fixed position is 0. */
swg_value swg__vit_positions(swg_graph *g, swg__vit_leaves *leaves, const swg_vit *vit, int64_t rows, int64_t width);
/* Positions added: (N, tokens, width). x: (N, 1, spatial...). */
swg_value swg__vit_tokens(swg_graph *g, swg__vit_leaves *leaves, swg_value x, const swg_vit *vit, int64_t context);

/* May it be built on images x? `what` stands in the message. */
bool swg__vit_check(swg_graph *g, const char *what, swg_value x, const swg_vit *vit);
/* Scores (N, tokens) fit to x? */
bool swg__vit_check_scores(swg_graph *g, const char *what, swg_value x, swg_value scores, int64_t tokens);
/* Columns [first, first + count) of an order (N, tokens). */
swg_value swg__vit_pick(swg_graph *g, swg_value order, int64_t first, int64_t count);
/* Rows of a table (rows, width) at `index` (N, m): (N, m, width). */
swg_value swg__vit_rows(swg_graph *g, swg_value table, swg_value index);

#endif
