/* ref_spline.c - the slow truth of the B-spline basis: the recursion of Cox and de Boor, written down.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "ir/spline.h"
#include "kernel/ref.h"

/* given: the first knot of one column of the table, `columns` wide. Its reciprocals are made anew. */
typedef struct knots { const double *given; int64_t columns; double low, step; int order; } knots;

static double knot(const knots *t, int64_t i) { return t->given ? t->given[i * t->columns] : t->low + (double)(i - t->order) * t->step; }

static double inverse_span(const knots *t, int64_t from, int64_t to) { return 1 / fmax(knot(t, to) - knot(t, from), 1e-8); }

/* Depth is the order, at most SWG__SPLINE_ORDER. */
static double basis(const knots *t, int64_t i, int k, double x) {
    if (k == 0)
        return x >= knot(t, i) && x < knot(t, i + 1);
    double left = basis(t, i, k - 1, x), right = basis(t, i + 1, k - 1, x); /* 0: not multiplied, x may be infinite */
    return (left == 0 ? 0 : (x - knot(t, i)) * inverse_span(t, i, i + k) * left) +
           (right == 0 ? 0 : (knot(t, i + k + 1) - x) * inverse_span(t, i + 1, i + k + 1) * right);
}

void swg__ref_spline(const swg__call *call) {
    swg__spline s = swg__spline_of(call->g, call->node);
    bool slope = call->node->op == SWG__SPLINE_GRAD;
    const double *table = s.knots ? call->in[slope ? 2 : 1] : NULL;
    knots t = {.columns = s.columns, .low = s.low, .step = s.step, .order = s.order};
    double *out = call->out;
    for (int64_t e = 0; e < s.values; e++) {
        double x = ((const double *)call->in[0])[e], sum = 0;
        t.given = table ? table + e % s.columns : NULL;
        int64_t at = e / s.run * s.run * (s.bases + s.silu) + e % s.run; /* of the first result */
        if (s.silu) {
            double gate = x == -INFINITY ? 0 : 1 / (1 + exp(-x)), by = slope ? ((const double *)call->in[1])[at] : 0;
            if (slope)
                sum = gate == 0 ? 0 : gate * (1 + (gate == 1 ? 0 : x * (1 - gate))) * by;
            else
                out[at] = gate == 0 ? 0 : x * gate;
            at += s.run;
        }
        for (int64_t i = 0; i < s.bases; i++) {
            if (!slope) {
                out[at + i * s.run] = isnan(x) ? NAN : basis(&t, i, s.order, x);
                continue;
            }
            double d = s.order * (basis(&t, i, s.order - 1, x) * inverse_span(&t, i, i + s.order) -
                                  basis(&t, i + 1, s.order - 1, x) * inverse_span(&t, i + 1, i + s.order + 1));
            sum += (isnan(x) ? NAN : d) * ((const double *)call->in[1])[at + i * s.run];
        }
        if (slope)
            out[e] = sum;
    }
}
