/* build_quantise.c - builder and shape rule of quantise_dequantise.
 * In: values of a graph. Out: a new value; on error the graph latches the first message.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ir.h"
#include "swage/quantise.h"

swg_value swg_quantise_dequantise(swg_graph *g, swg_value x, swg_code code, int axis) {
    if (!swg__check(g, "quantise_dequantise", x))
        return SWG_NONE;
    int ndim = swg_ndim(g, x), least = axis == SWG_CODE_ROWS ? 2 : 1;
    if (code <= SWG_CODE_NONE || code > SWG_CODE_E5M2)
        return swg__graph_fail(g, SWG_EINVAL, "quantise_dequantise: %d is no code", (int)code);
    if (ndim < least || axis < SWG_CODE_ROWS || axis >= ndim)
        return swg__graph_fail(g, SWG_ESHAPE, "quantise_dequantise: axis %d of a value of %d dimensions", axis, ndim);
    return swg__append(g, SWG__QDQ, g->dtype, ndim, swg_shape(g, x), 1, &x, &(swg__attr){.update = (uint8_t)code, .axis = axis});
}
