/* glu.c - a gated linear unit block: one half of a widened layer gates the other, beside a linear shortcut.
 * Source: swae.md, section 3.1 (Shazeer 2020 for the gate). It has no norm, no residual and mixes no tokens: not the gMLP of Liu et al.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"
#include "swage/nn.h"

swg_value swg_glu_block(swg_graph *g, swg_value x, int64_t n, swg_activation activation, const char *name) {
    if (!swg__check(g, "glu_block", x))
        return SWG_NONE;
    if (n < 1)
        return swg__graph_fail(g, SWG_ESHAPE, "glu_block \"%s\": width %lld, expected 1 or more", name, (long long)n);
    int last = swg_ndim(g, x) - 1;
    int64_t begin[SWG_MAX_DIMS] = {0}, extent[SWG_MAX_DIMS];
    for (int axis = 0; axis < last; axis++)
        extent[axis] = swg_shape(g, x)[axis];
    extent[last] = n;
    swg_scope_push(g, name);
    swg_value wide = swg_linear(g, x, 2 * n, "w1"), u = swg_slice(g, wide, begin, extent);
    begin[last] = n;
    swg_value v = swg_slice(g, wide, begin, extent);
    swg_value gated = swg_linear(g, swg_mul(g, swg_activate(g, u, activation), v), n, "p");
    swg_value y = swg_add(g, gated, swg_linear(g, x, n, "f"));
    swg_scope_pop(g);
    return y;
}
