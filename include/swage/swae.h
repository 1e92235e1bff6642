/* swae.h - sliced-Wasserstein autoencoders for small blocks of gridded data (Kolouri et al. 2018).
 * A block of n^3 values becomes a latent vector; presets swae/mlp (125-512-16, GELU) and swae/mlp-deep (125-512-256-16, ReLU).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SWAE_H
#define SWAGE_SWAE_H

#include "swage/nn.h"

enum { SWG_SWAE_LAYERS = 8 };

typedef struct swg_swae {
    int64_t input;                      /* values per block: 125 for 5^3 */
    int64_t latent;                     /* numbers per latent vector */
    int hidden_count;                   /* hidden layers of the encoder, 0 to SWG_SWAE_LAYERS; the decoder mirrors them */
    int64_t hidden[SWG_SWAE_LAYERS];
    swg_activation activation;          /* after each linear layer but the last */
} swg_swae;

/* "swae/mlp" or "swae/mlp-deep"; SWG_ENOTFOUND otherwise. */
swg_status swg_swae_preset(swg_context *ctx, const char *name, swg_swae *out);

/* x: (m, input) -> (m, latent); z: (m, latent) -> (m, input). Parameters encoder/fc1 ..., decoder/fc1 .... */
swg_value swg_swae_encode(swg_graph *g, swg_value x, const swg_swae *model);
swg_value swg_swae_decode(swg_graph *g, swg_value z, const swg_swae *model);

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
