/* unet.h - a plain U-Net over images and volumes (Ronneberger et al. 2015; Cicek et al. 2016).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_UNET_H
#define SWAGE_UNET_H

#include "swage/nn.h"

enum { SWG_UNET_LEVELS = 8 };

typedef enum swg_unet_norm { SWG_UNET_INSTANCE, SWG_UNET_BATCH, SWG_UNET_NO_NORM } swg_unet_norm;

typedef struct swg_unet {
    int levels;                             /* 1 to SWG_UNET_LEVELS; every level after the first halves the extents */
    int64_t channels[SWG_UNET_LEVELS];
    int64_t out;                            /* channels of the result */
    swg_unet_norm norm;                     /* after every 3-wide convolution; with weight and bias */
    swg_activation activation;              /* after every norm */
    bool pool;                              /* down by 2-wide maxima instead of a convolution of stride 2 */
    bool residual;                          /* a block adds its input, through a 1-wide convolution where the channels differ */
    double dropout;                         /* between the two convolutions of a block; 0: none */
} swg_unet;

/* x: (N, C, spatial...), extents divisible by 2^(levels - 1), over one to three axes; result (N, out, spatial...). Every level has a block
 * of two convolutions on the way down and one on the way up, which reads the level below, made larger by a transposed convolution, beside
 * the skip. Parameters down<i>/conv1 ..., up<i>/..., head. Blocks are marked for recomputation. */
swg_value swg_unet_apply(swg_graph *g, swg_value x, const swg_unet *model);

#endif
