/* attention.h - an attention's extents and the places of its tensors, in both layouts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IR_ATTENTION_H
#define SWAGE_IR_ATTENTION_H

#include "ir.h"

/* Element (batch b, head h, row i, column c) lies at b * batch + h * head + i * row + c. */
typedef struct swg__heads { int64_t batch, head, row; } swg__heads;

typedef struct swg__attention {
    int64_t batch, heads, n, m, d, dv;  /* n rows of q, m of k and v; d columns of q and k, dv of v */
    swg__heads q, k, v, y;              /* y: the result, each row's dv columns; dy lies alike */
    bool lse;                           /* a row of y ends with its log-sums */
    int64_t lse_first, lse_head;        /* log-sum of a row at b * y.batch + h * lse_head + i * y.row + lse_first */
    bool masked;
    swg__heads mask;                    /* 0 along axes of extent 1 */
    double scale;
} swg__attention;

/* Of an attention, its gradient or the gradient of its mask: inputs q, k, v, then (gradients only) y, dy, then the mask if any. */
swg__attention swg__attention_of(const swg_graph *g, const swg__node *n);
/* Has it a kernel for its width of heads? Only such a kernel writes bf16. */
bool swg__attention_is_narrow(const swg_graph *g, const swg__node *n);
int64_t swg__attention_macs(const swg_graph *g, const swg__node *n);
/* Gradients of q, k and v of all heads of a sample, one after the other: elements before those of k and of v, and in all. */
static inline int64_t swg__attention_k_first(const swg__attention *a) { return a->heads * a->n * a->d; }
static inline int64_t swg__attention_v_first(const swg__attention *a) { return a->heads * (a->n + a->m) * a->d; }
static inline int64_t swg__attention_grads(const swg__attention *a) { return a->heads * ((a->n + a->m) * a->d + a->m * a->dv); }

#endif
