/* kan.h - a denoising autoencoder for images with Kolmogorov-Arnold layers: 128x128 RGB tiles become 16 x 16 x 16 latents and tiles again.
 * Presets, with parameters and multiply-adds for one tile:
 *     kan/dae       the published network                                    5,230,015    8,896,367,392
 *     kan/dae-plain the same with two convolutions in place of a KAN layer         5,230,012
 *     kan/dae-opt   without biases in front of norms, published fast KAN
 *                   layers, channel attention, dropout, decoder residuals    5,374,809    8,953,728,160
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_KAN_H
#define SWAGE_KAN_H

#include "swage/layers.h"
#include "swage/nn.h"

/* The KAN layers, in order: 3-wide in the encoder, 3-wide in the decoder, 1-wide at the end. */
enum { SWG_KAN_DAE_ENCODER, SWG_KAN_DAE_DECODER, SWG_KAN_DAE_OUTPUT, SWG_KAN_DAE_LAYERS };

typedef struct swg_kan_dae {
    int64_t image;                          /* channels of x and decoded: 3 */
    int64_t channels[4];                    /* at 1/2, 1/4 and 1/8 of the extent, and of z: 384, 128, 64, 16 */
    swg_kan_opts kan[SWG_KAN_DAE_LAYERS];   /* with parts, each layer's inputs, coefficients and coverage are told */
    bool no_bias;                           /* none in convolutions that a batch norm follows, but for those of BAM */
    bool eca;                               /* channel attention after the KAN layers of encoder and decoder */
    double dropout;                         /* of whole channels, behind that; 0: none */
    bool residual;                          /* the decoder adds e2 and e1, too: then z alone does not decode */
    bool plain;                             /* in place of each KAN layer two convolutions with ELU between them and as many parameters, to compare with */
    bool bam_frozen;                        /* swg_bam_opts.frozen, for batches of 1 */
} swg_kan_dae;

/* One of the names above; SWG_ENOTFOUND otherwise. */
swg_status swg_kan_dae_preset(swg_context *ctx, const char *name, swg_kan_dae *out);

/* x: (N, image, H, W), extents divisible by 8. encoded: (N, channels[0], H / 2, W / 2), features that the bottleneck compresses; z: (N,
 * channels[3], H / 8, W / 8); decoded: (N, image, H, W). Each may be NULL. Parameters encoder/..., bottleneck/..., decoder/...; KAN layers are
 * marked for recomputation (SWG_RECOMPUTE_KAN). A training graph needs N of 2 or more, or bam_frozen. */
void swg_kan_dae_apply(swg_graph *g, swg_value x, const swg_kan_dae *model, swg_value *encoded, swg_value *decoded, swg_value *z);
/* The halves: x -> z, z -> decoded. SWG_EINVAL: a decoder with residuals needs x. */
swg_value swg_kan_dae_encode(swg_graph *g, swg_value x, const swg_kan_dae *model);
swg_value swg_kan_dae_decode(swg_graph *g, swg_value z, const swg_kan_dae *model);

/* Its layers in use (no training), for `batch` images. */
swg_status swg_kan_dae_layers(swg_context *ctx, const swg_kan_dae *model, int64_t batch, int64_t height, int64_t width, swg_layers *out);

#endif
