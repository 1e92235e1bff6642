/* swae.h - sliced-Wasserstein autoencoders for small blocks of gridded data (Kolouri et al. 2018).
 * A block of n^3 values becomes a latent vector. Presets, with parameters of both halves together:
 *     swae/mlp        125-512-16, GELU                                            145,549
 *     swae/mlp-deep   125-512-256-16, ReLU                                        400,013
 *     swae/gmlp       125-256, two GLU blocks, 16 (gated linear unit MLP)       1,125,517
 *     swae/conv       four times (conv, conv, batch norm, ReLU), linear         4,743,825
 *     swae/conv-opt   four times (conv, ReLU), linear                           2,392,465
 *     swae/conv7      blocks of 7^3: three times (conv, conv, batch norm, ReLU) 1,140,721
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SWAE_H
#define SWAGE_SWAE_H

#include "swage/layers.h"
#include "swage/nn.h"

enum { SWG_SWAE_LAYERS = 8 };

typedef enum swg_swae_kind { SWG_SWAE_MLP, SWG_SWAE_GMLP, SWG_SWAE_CONV, SWG_SWAE_CONV_OPT, SWG_SWAE_CONV7 } swg_swae_kind;

typedef struct swg_swae {
    swg_swae_kind kind;
    int64_t input;                      /* values per block: 125 for 5^3 */
    int64_t latent;                     /* numbers per latent vector */
    int hidden_count;                   /* stages of the encoder, 0 to SWG_SWAE_LAYERS (mlp), else from 1; the decoder mirrors them */
    int64_t hidden[SWG_SWAE_LAYERS];    /* mlp: width of a hidden layer; gmlp: of a GLU block; conv: channels of a stage */
    swg_activation activation;          /* after every stage; after each linear layer of an mlp but the last */
    bool gdn;                           /* in its place: GDN in the encoder, its inverse in the decoder */
    bool latent_int8;                   /* latents are rounded to int8 codes times one scale per vector; gradients pass straight through */
} swg_swae;

/* One of the names above; SWG_ENOTFOUND otherwise. */
swg_status swg_swae_preset(swg_context *ctx, const char *name, swg_swae *out);
/* "mlp", "gmlp", "conv", "conv-opt" or "conv7"; false if unknown. */
bool swg_swae_kind_find(const char *name, swg_swae_kind *out);
const char *swg_swae_kind_name(swg_swae_kind kind);
/* Edge of the block whose values `input` counts: 5 for 125; 0: not a cube. */
int64_t swg_swae_edge(const swg_swae *model);
/* Does it have batch norm? Such a network trains on batches of two blocks at least. */
bool swg_swae_has_norm(const swg_swae *model);

/* x: (m, input) -> (m, latent); z: (m, latent) -> (m, input). Parameters encoder/..., decoder/.... A network of convolutions sees
 * (m, 1, edge, edge, edge). SWG_EINVAL: stages or block that the kind cannot have. */
swg_value swg_swae_encode(swg_graph *g, swg_value x, const swg_swae *model);
swg_value swg_swae_decode(swg_graph *g, swg_value z, const swg_swae *model);

/* Its layers in use (no training), for one block. */
swg_status swg_swae_layers(swg_context *ctx, const swg_swae *model, swg_layers *out);

typedef enum swg_swae_loss_kind { SWG_SWAE_MSE, SWG_SWAE_LOG, SWG_SWAE_RELATIVE, SWG_SWAE_LOGCOSH, SWG_SWAE_HUBER, SWG_SWAE_MAE } swg_swae_loss_kind;
typedef struct swg_swae_loss {
    swg_swae_loss_kind kind;
    double lambda;                      /* weight of the sliced-Wasserstein term */
    int64_t directions;
    double scale;                       /* S of the log loss; with log_off: S (mse + lambda sw) */
    bool log_off;
} swg_swae_loss;

/* Total loss {1} of reconstruction y of x with latents z. reconstruction and distance receive the two terms before
 * weighting; either may be NULL. */
swg_value swg_swae_loss_of(swg_graph *g, const swg_swae_loss *loss, swg_value x, swg_value y, swg_value z, swg_value *reconstruction,
                           swg_value *distance);

#endif
