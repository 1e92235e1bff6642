/* spline.h - extents of a B-spline basis.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IR_SPLINE_H
#define SWAGE_IR_SPLINE_H

#include "ir.h"

enum { SWG__SPLINE_ORDER = 7 };     /* at most */

typedef struct swg__spline {
    int64_t values, bases;          /* numbers x, B-splines of each */
    int64_t run;                    /* neighbours whose results of one kind lie side by side; also from one kind to the next */
    int order;
    bool silu;                      /* stands in front of the bases */
    int64_t knots;                  /* of given knots; 0: a uniform grid */
    int64_t columns;                /* of the table of given knots: 1, or one per element of the last axis of x */
    double low, step;               /* uniform: start of the first of bases - order intervals, their length */
} swg__spline;

/* Of a basis (x, table if knots are given) or of its gradient (x, dy, table). */
static inline swg__spline swg__spline_of(const swg_graph *g, const swg__node *n) {
    const swg__node *x = &g->nodes[n->in[0]], *out = n->op == SWG__SPLINE ? n : &g->nodes[n->in[1]];
    int last = n->op == SWG__SPLINE ? 1 : 2;
    bool silu = n->attr.trans_a, planes = n->attr.trans_b;
    int64_t run = planes ? x->shape[x->ndim - 1] : 1, bases = out->shape[out->ndim - (planes ? 2 : 1)] - silu;
    int order = n->attr.groups;
    bool given = n->inputs > last;
    return (swg__spline){.values = swg__shape_elements(x->ndim, x->shape), .bases = bases, .run = run, .order = order, .silu = silu,
                         .knots = given ? bases + order + 1 : 0, .columns = given ? g->nodes[n->in[last]].shape[1] : 0,
                         .low = n->attr.f[0], .step = (n->attr.f[1] - n->attr.f[0]) / (double)(bases - order)};
}

#endif
