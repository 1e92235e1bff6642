/* cyto.h - convolutional networks and losses for microscopy images, (N, C, z, y, x) or (N, C, y, x): the residual dynamic U-Net with one
 * or many task heads; a super-resolution GAN of that U-Net, a head that enlarges, and a patch discriminator.
 * Parameters and multiply-adds as published, for one input channel:
 *     segmentation, labelfree   3-D 342,321   772,014,080 at 16x32x32, 12,352,225,280 at 64x64x64
 *                               2-D 119,825   100,335,616 at 64x64
 *     gan_superres              3-D 342,377 of the generator and 36,913 of the discriminator; 2-D 119,845 and 9,265
 * Precision: graphs of f32 or f64. In a bf16 plan convolutions multiply in bf16; norms, losses, the weights and their updates are f32
 * (swg_graph_precise). Layout: all here is channels-first; plans make it channels-last inside (swg_plan_opts.no_layout).
 * What is 0 in a struct has its default, unless said otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CYTO_H
#define SWAGE_CYTO_H

#include "swage/layers.h"
#include "swage/nn.h"

/* ---- dynamic U-Net (Isensee et al. 2021; MONAI's DynUNet) ---- */

enum { SWG_DYNUNET_LEVELS = 6 };

typedef struct swg_dynunet {
    int levels;                             /* 2 to SWG_DYNUNET_LEVELS: 3 */
    int64_t filters[SWG_DYNUNET_LEVELS];    /* channels per level: 16, 32, 64, 128, 256, 320 */
    int64_t strides[SWG_DYNUNET_LEVELS];    /* of each level along every axis: 1, then 2. The first must be 1; a transposed convolution on the
                                             * way up has the stride of its level as kernel and stride */
    int64_t kernel;                         /* odd: 3 */
    int64_t out;                            /* channels of swg_dynunet_apply: 1 */
    double dropout;                         /* of single values behind every convolution but the last one; 0: none */
    bool plain;                             /* blocks on the way down without a shortcut */
} swg_dynunet;

/* x: (N, C, spatial...), two or three spatial axes, extents divisible by the product of strides. Result (N, filters[0], spatial...).
 * Blocks "input", "down1", ..., "bottleneck": convolution, instance norm, leaky ReLU 0.01, convolution, instance norm, and a shortcut (1-wide
 * convolution with norm where channels or extents differ), leaky ReLU. "up1" (lowest) ...: "deconv", then of (enlarged, skip) a
 * "block" of convolution, norm and leaky ReLU twice. No convolution has a bias; norms have weight and bias, eps 1e-5. Weights start
 * normal with the deviation sqrt(2 / (1 + 0.01^2) / fan_in); fan_in of a transposed convolution: its results times taps.
 * Marked for recomputation (swg_block_begin). SWG_ESHAPE names the extent that does not divide. */
swg_value swg_dynunet_features(swg_graph *g, swg_value x, const swg_dynunet *model);
/* The same with a 1-wide convolution with bias, "output", started alike, bias 0. Result (N, out, spatial...). */
swg_value swg_dynunet_apply(swg_graph *g, swg_value x, const swg_dynunet *model);

/* A task: a 1-wide convolution with bias, "heads/<name>", of the features. */
typedef struct swg_cyto_head {
    const char *name;
    int64_t channels;
} swg_cyto_head;
/* One backbone with `count` of them; out: `count` results (N, channels, spatial...), SWG_NONE on error. model->out is not read. */
void swg_dynunet_heads(swg_graph *g, swg_value x, const swg_dynunet *model, const swg_cyto_head *heads, int count, swg_value *out);

/* Layers in use (no training) for an input of `ndim` axes (N, C, spatial...). heads NULL: "output". Sums of the published table's rows:
 * swg_layers_below of "input", "down1", "bottleneck", "up1/deconv", "up1/block", ..., "output". */
swg_status swg_dynunet_layers(swg_context *ctx, const swg_dynunet *model, const swg_cyto_head *heads, int count, int ndim, const int64_t *shape,
                              swg_layers *out);

/* Dice of sigmoid(y) (swg_loss_dice over samples and channels) + cross entropy: binary of one channel, over channels of more. y: logits,
 * target: probabilities, both (N, C, ...). Result {1}; terms, if not NULL, gets the two parts. */
typedef struct swg_dice_ce_terms { swg_value dice, ce; } swg_dice_ce_terms;
swg_value swg_loss_dice_ce(swg_graph *g, swg_value y, swg_value target, swg_dice_ce_terms *terms);

/* ---- super-resolution GAN (after pix2pixHD, Wang et al. 2018) ---- */

typedef struct swg_superres {
    swg_dynunet unet;
    int64_t factor;             /* of every extent: 4 */
    swg_activation act;         /* at the end: none; tanh suits targets in [-1, 1] */
    bool subpixel;              /* not published: a transposed convolution of the features, "head/up", of kernel and stride `factor` (Shi et al. 2016),
                                 * and, where source and result have as many channels, the source enlarged linearly (edges map onto edges) */
} swg_superres;
/* Linear resize with corners aligned, a residual block of instance norms without weights ("head/res"), a 1-wide convolution with bias
 * ("head/out"), both uniform in +-1/sqrt(fan_in), the activation; as many channels throughout. x: (N, C, spatial...), result (N, C,
 * factor spatial...). */
swg_value swg_superres_head(swg_graph *g, swg_value x, const swg_superres *model);
/* Generator: the U-Net and the head, parameters in scope "generator". */
swg_value swg_superres_apply(swg_graph *g, swg_value x, const swg_superres *model);
/* Cuts a and b, of as many axes, to the smaller extent along every spatial axis, from the start. */
void swg_crop_common(swg_graph *g, swg_value *a, swg_value *b);

/* Patch discriminator (Isola et al. 2017): `layers` convolutions of stride 2 and one of stride 1 of filters 2^i channels (8 filters at
 * most), instance norm without weights behind all but the first, leaky ReLU 0.2, then a convolution to one channel of logits. All with
 * bias, kernel `kernel`, padding 1. Every further scale has its own weights and sees source and image averaged (3 wide, stride 2, padding 1
 * not counted). */
enum { SWG_PATCHGAN_LAYERS = 6, SWG_PATCHGAN_SCALES = 4, SWG_PATCHGAN_CONVOLUTIONS = SWG_PATCHGAN_LAYERS + 2 };
typedef struct swg_patchgan {
    int layers;                 /* 1 to SWG_PATCHGAN_LAYERS: 1 */
    int64_t filters;            /* 16 */
    int64_t kernel;             /* 4 */
    int scales;                 /* 1 to SWG_PATCHGAN_SCALES: 1 */
} swg_patchgan;
/* Its parameters, made once per graph and used by any number of applications. */
typedef struct swg_patchgan_weights {
    swg_value weight[SWG_PATCHGAN_SCALES][SWG_PATCHGAN_CONVOLUTIONS], bias[SWG_PATCHGAN_SCALES][SWG_PATCHGAN_CONVOLUTIONS];
} swg_patchgan_weights;
/* "discriminator/scale<i>/conv<j>/weight" and "bias", uniform in +-1/sqrt(fan_in). channels: of source and image together. */
void swg_patchgan_params(swg_graph *g, const swg_patchgan *model, int64_t channels, int spatial_axes, swg_patchgan_weights *out);
/* The same weights, to which no gradient flows. */
swg_patchgan_weights swg_patchgan_detach(swg_graph *g, const swg_patchgan_weights *weights);
/* What every convolution with its norm and activation makes; the last one of a scale are the logits. */
typedef struct swg_patchgan_scores {
    int scales, convolutions;
    swg_value feature[SWG_PATCHGAN_SCALES][SWG_PATCHGAN_CONVOLUTIONS];
} swg_patchgan_scores;
/* source: (N, Cs, spatial...), enlarged to the extents of image (N, C, spatial...) by nearest neighbours; they stand in this order. Not marked
 * for recomputation: losses read every result, so that it would add work and save nothing. */
void swg_patchgan_apply(swg_graph *g, swg_value source, swg_value image, const swg_patchgan *model, const swg_patchgan_weights *weights,
                        swg_patchgan_scores *out);

/* Zeros count: a term of weight 0 is left out. */
typedef struct swg_gan_weights { double adversarial, matching, reconstruction; } swg_gan_weights;
/* All of shape {1}, means over scales. */
typedef struct swg_gan_losses {
    swg_value real, fake;       /* binary cross entropy of D(real) with 1, of D(fake) with 0 */
    swg_value discriminator;    /* (real + fake) / 2 */
    swg_value adversarial;      /* of D(fake) with 1 */
    swg_value matching;         /* sum over convolutions, logits too, of the mean |difference| of features of real, detached, and fake */
    swg_value reconstruction;   /* mean square error of fake and target */
    swg_value generator;        /* weighted sum of the last three: 1, 10, 100 */
    swg_value total;            /* generator + discriminator: what swg_update takes */
} swg_gan_losses;

typedef struct swg_gan {
    swg_superres generator;
    swg_patchgan discriminator;
    const swg_gan_weights *weights;     /* NULL: 1, 10, 100; read while building */
} swg_gan;
/* A whole step in one graph. source: (N, Cs, spatial...); target: (N, unet.out, spatial...), any extents: fake and target are cropped to the common
 * ones. Returns fake before the crop, (N, unet.out, factor spatial...). Target SWG_NONE: the fake alone, and the parameters of both
 * networks, so that the weights of training fit.
 * The gradient of losses->total is that of losses->generator for the generator's parameters and that of losses->discriminator for the
 * discriminator's: D is applied to the target, to the detached fake, and with detached weights to the fake; a plan computes the last two once.
 * One swg_update therefore moves both networks from the losses of the same weights, the published order. Two rows of hyper
 * (swg_weights_group of "discriminator.*") are two optimisers; clipping sees the norm of both networks together. losses may be NULL
 * without a target. */
swg_value swg_gan_apply(swg_graph *g, swg_value source, swg_value target, const swg_gan *model, swg_gan_losses *losses);
/* Layers of the generator, and of the discriminator for images of the generator's extents, each without training, as swg_dynunet_layers.
 * Either may be NULL. */
swg_status swg_gan_layers(swg_context *ctx, const swg_gan *model, int ndim, const int64_t *shape, swg_layers *generator, swg_layers *discriminator);

#endif
