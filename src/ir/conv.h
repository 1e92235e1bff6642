/* conv.h - one convolution, whichever of its three tensors is the result: sums over (n, o, i, p, t) of
 *     X[n, p * stride + t * dilation - before, i]  W[o, i, t]  Y[n, p, o]
 * conv computes Y, conv_transpose X, conv_weights W. X and Y are channels-last, W is (O, I / groups, taps...).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_IR_CONV_H
#define SWAGE_IR_CONV_H

#include "ir/ir.h"

/* Always three spatial axes: missing ones stand in front with extent 1. */
typedef struct swg__conv {
    int64_t batch, groups, in_channels, out_channels; /* channels of X and Y, all groups together */
    int64_t in[3], kernel[3], out[3];                 /* spatial extents of X, W, Y */
    int64_t stride[3], dilation[3], before[3];
    int64_t taps;                                     /* all of the kernel */
} swg__conv;

/* Of a node of one of the three operations. */
swg__conv swg__conv_of(const swg_graph *g, const swg__node *n);
/* Multiply-adds, those with padding not counted; 2^63 - 1 where they do not fit. */
int64_t swg__conv_macs(const swg_graph *g, const swg__node *n);
/* Outputs p in [*first, *end) along `axis` whose tap t reads inside X. */
void swg__conv_valid(const swg__conv *c, int axis, int64_t t, int64_t *first, int64_t *end);

#endif
