/* build_spline.c - builder and shape rule of the B-spline basis.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "spline.h"

/* The table of swg__spline_row (kernel/isa.h). knots: (k), or (c, k); with `wide` columns of their own for c elements in any case. */
static swg_value table_of(swg_graph *g, swg_value knots, int64_t order, bool wide, int64_t c) {
    bool precise = swg_graph_precise(g, true), own = swg_ndim(g, knots) == 2;
    int64_t count = swg_shape(g, knots)[own], columns = own ? c : 1;
    knots = swg_detach(g, knots);
    knots = own ? swg_permute(g, knots, (int[]){1, 0}) : swg_reshape(g, knots, 2, (int64_t[]){count, 1});
    if (wide && !own)
        knots = swg_expand(g, knots, 2, (int64_t[]){count, columns = c});
    swg_value part[1 + SWG__SPLINE_ORDER] = {knots};
    for (int64_t k = 1; k <= order; k++) {
        const int64_t extent[2] = {count - k, columns};
        swg_value span = swg_sub(g, swg_slice(g, knots, (int64_t[]){k, 0}, extent), swg_slice(g, knots, (int64_t[]){0, 0}, extent));
        part[k] = swg_reciprocal(g, swg_max(g, span, swg_constant(g, 1e-8)));
    }
    swg_value table = swg_concat(g, part, (int)order + 1, 0);
    swg_graph_precise(g, precise);
    return table;
}

swg_value swg_spline_basis(swg_graph *g, swg_value x, const swg_spline_opts *opts) {
    static const swg_spline_opts none = {0};
    opts = opts ? opts : &none;
    if (!swg__check(g, "spline_basis", x) || (opts->knots && !swg__check(g, "spline_basis", opts->knots)))
        return SWG_NONE;
    int64_t intervals = opts->intervals ? opts->intervals : 5, order = opts->order ? opts->order : 3;
    bool ranged = opts->low != 0 || opts->high != 0;
    double low = ranged ? opts->low : -1, high = ranged ? opts->high : 1;
    if (order < 1 || order > SWG__SPLINE_ORDER || intervals < 1 || intervals > INT32_MAX || !(low < high) || !isfinite(high - low))
        return swg__graph_fail(g, SWG_EINVAL, "spline_basis: %lld intervals of order %lld over [%g, %g]; expected at least 1, order 1 to %d, an "
                               "ascending range", (long long)intervals, (long long)order, low, high, SWG__SPLINE_ORDER);
    int ndim = swg_ndim(g, x);
    if (ndim == SWG_MAX_DIMS)
        return swg__graph_fail(g, SWG_ESHAPE, "spline_basis: %d axes leave no room for that of the bases", ndim);
    swg__attr attr = {.f = {low, high}, .groups = (int32_t)order, .trans_a = opts->silu, .trans_b = opts->planes};
    int64_t shape[SWG_MAX_DIMS];
    memcpy(shape, swg_shape(g, x), (size_t)ndim * sizeof *shape);
    shape[ndim] = intervals + order;
    swg_value in[2] = {x, SWG_NONE};
    if (opts->knots) {
        int axes = swg_ndim(g, opts->knots);
        const int64_t *of = swg_shape(g, opts->knots);
        if (axes < 1 || axes > 2 || of[axes - 1] < 2 * order + 2 || (axes == 2 && (ndim == 0 || of[0] != shape[ndim - 1])))
            return swg__graph_fail(g, SWG_ESHAPE, "spline_basis: knots must have one axis, or one for each element of the last axis of x and this, "
                                   "and be %lld or more for order %lld", (long long)(2 * order + 2), (long long)order);
        shape[ndim] = of[axes - 1] - order - 1;
        in[1] = table_of(g, opts->knots, order, opts->planes && ndim > 0, ndim ? shape[ndim - 1] : 1);
    }
    shape[ndim] += opts->silu;
    if (opts->planes) {
        if (ndim == 0)
            return swg__graph_fail(g, SWG_ESHAPE, "spline_basis: planes of a number without axes");
        int64_t bases = shape[ndim];
        shape[ndim] = shape[ndim - 1];
        shape[ndim - 1] = bases;
    }
    return swg__append(g, SWG__SPLINE, g->dtype, ndim + 1, shape, opts->knots ? 2 : 1, in, &attr);
}
