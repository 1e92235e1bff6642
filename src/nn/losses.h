/* losses.h - what all losses share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_NN_LOSSES_H
#define SWAGE_NN_LOSSES_H

#include "ir/ir.h"
#include "swage/nn.h"

/* One element as shape {1}, whatever the rank it was reduced from. */
swg_value swg__loss_scalar(swg_graph *g, swg_value x);
/* Mean over all elements, of shape {1}. */
swg_value swg__loss_mean(swg_graph *g, swg_value x);
/* Have prediction and target one shape? Broadcasting, welcome elsewhere, would hide a mistake here. Latches an error. */
bool swg__loss_takes(swg_graph *g, const char *loss, swg_value y, swg_value x);

/* The public loss `name`: what `own` builds is f32 in plans of any precision. */
#define SWG__PRECISE(name, parameters, own)         \
    swg_value name parameters {                     \
        bool before = swg_graph_precise(g, true);   \
        swg_value loss = own;                       \
        swg_graph_precise(g, before);               \
        return loss;                                \
    }

#endif
