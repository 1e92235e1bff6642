/* rules_stft.c - gradients of the short-time Fourier transform: both operations are linear, and each is the other's adjoint.
 * SPDX-License-Identifier: Apache-2.0 */
#include "grad/rules.h"

static swg_value adjoint(swg__rule *r, swg__op op) {
    return swg__append(G, op, G->dtype, swg_ndim(G, X), swg_shape(G, X), 1, &DY, &r->n.attr);
}

RULE(stft) { ONE(adjoint(r, SWG__ISTFT)); }
RULE(istft) { ONE(adjoint(r, SWG__STFT)); }
