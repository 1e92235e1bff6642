/* latent.c - int8 latents: symmetric codes with one scale per vector, straight-through in training.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "ir/ir.h"
#include "swage/nn.h"

swg_value swg_quantise_rows(swg_graph *g, swg_value x, const char *name) {
    if (!swg__check(g, "quantise_rows", x))
        return SWG_NONE;
    swg_scope_push(g, name);
    swg_value fixed = swg_detach(g, x);
    swg_value scale = swg_affine(g, swg_reduce_max(g, swg_abs(g, fixed), 1u << (swg_ndim(g, x) - 1)), 1 / 127., 0);
    scale = swg_clamp(g, scale, 1e-30, INFINITY); /* a vector of zeros has codes 0 */
    swg_value codes = swg_clamp(g, swg_round(g, swg_div(g, fixed, scale)), -127, 127);
    /* x - x is 0 whatever x is: what comes out are the quantised values to the bit, and their gradient is that of x. */
    swg_value y = swg_add(g, swg_mul(g, codes, scale), swg_sub(g, x, fixed));
    swg_scope_pop(g);
    return y;
}
