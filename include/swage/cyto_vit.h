/* cyto_vit.h - transformers of family cyto, which learn features of images without labels, in two or three dimensions: the masked autoencoder (He
 * et al. 2022) with the cross-attention decoder of CrossMAE (Fu et al. 2024), and the image world model (Garrido et al. 2024), or I-JEPA (Assran
 * et al. 2023). Parameters and multiply-adds of one image of 16^3 as published:
 *     swg_mae    encoder 14,915 and 1,923,136; decoder 548,552 and 171,076,608; together 563,467
 *                plain decoder 548,360
 *     swg_iwm    encoder 11,600; predictor 5,392, of I-JEPA 5,248; the teacher's 11,600 are states
 * Images are (N, 1, spatial...), extents those of the model, which the patch divides; tokens are its patches in row-major order (z, y, x; x
 * fastest). A block is x += A(LN(x)), x += MLP(LN(x)) with eps 1e-5, four times the width within the MLP and GELU(erf), no bias to make queries,
 * keys and values; blocks are marked for recomputation. Linear layers and convolutions start uniform in +-1/sqrt(fan in), tokens and positions
 * truncated normal (deviation 0.02, none beyond two deviations), norms 1 and 0.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CYTO_VIT_H
#define SWAGE_CYTO_VIT_H

#include "swage/layers.h"
#include "swage/nn.h"

enum { SWG_VIT_DEPTH = 16 };            /* blocks of an encoder at most */

/* What both encoders have. */
typedef struct swg_vit {
    int dims;                           /* 2 or 3 */
    int64_t extent[3];                  /* of the image, as many as dims */
    int64_t patch;                      /* 2 */
    int64_t width;                      /* of a token: 16 */
    int depth;                          /* blocks: 2, of the world model 1 */
    int64_t heads;                      /* 1 */
    bool fixed_positions;               /* sines and cosines (swg_vit_positions) in place of parameters, in decoder and predictor too */
} swg_vit;

/* Tokens of an image: the product of extent / patch. 0: the model is not one (dims, or extents that the patch does not divide). */
int64_t swg_vit_tokens(const swg_vit *vit);
/* Fixed positions, (tokens, width), row-major. Of each axis c = 2 ceil(width / (2 dims)) columns: sin(p f) and cos(p f) in turn, f = 10000^(-2 k / c)
 * for the k-th pair, p the token's index along the axis; the axes side by side, cut to width. */
void swg_vit_positions(const swg_vit *vit, int64_t width, double *out);

/* ---- masked autoencoder ---- */

typedef struct swg_mae {
    swg_vit vit;
    double mask_ratio;                  /* 0.75: int(tokens (1 - mask_ratio)) tokens are visible */
    int64_t context;                    /* voxels around a patch that its token sees, too: the kernel is patch + 2 context; 0 */
    bool plain;                         /* self-attention over all tokens in the decoder, in place of cross-attention */
    bool weigher_published;             /* block inputs, not block results, are weighed: the last block then has no gradient */
    int64_t decoder_width, decoder_heads;   /* 192, 8 */
    int decoder_depth;                  /* 1 */
} swg_mae;

/* The published model: 16 voxels along each axis, the numbers above. */
swg_mae swg_mae_published(int dims);
int64_t swg_mae_visible(const swg_mae *model);  /* 128 of 512 */

/* Numbers that order the tokens of one sample at random, uniform in [0, 1): a function of the arguments. scores: `tokens` of them. For
 * validation give the same epoch every time. Any thread. */
void swg_mae_scores(uint64_t seed, uint32_t epoch, uint32_t sample, int64_t tokens, float *scores);

typedef struct swg_mae_result {
    swg_value patches;      /* (N, tokens, voxels of a patch): predicted; 0 where visible (plain: all are predicted) */
    swg_value image;        /* (N, 1, spatial...): the patches in place, as published */
    swg_value filled;       /* the same, visible patches taken from x: for pictures */
    swg_value mask;         /* (N, 1, spatial...): 1 where masked, 0 where visible */
    swg_value loss;         /* {1}: mean over masked voxels of (image - x)^2; nothing masked: over all */
} swg_mae_result;
/* x: (N, 1, spatial...). scores: (N, tokens), any numbers; the tokens with the smallest are visible. SWG_NONE: drawn by the graph, stream
 * "mae:scores". Only what is used is computed. Parameters encoder/..., decoder/... SWG_EINVAL: nothing is visible, or nothing is masked where
 * the decoder is not plain, which then has no queries. */
void swg_mae_apply(swg_graph *g, swg_value x, swg_value scores, const swg_mae *model, swg_mae_result *out);
/* Features of all tokens, nothing masked: (N, 1 + tokens, width), the class token first. */
swg_value swg_mae_encode(swg_graph *g, swg_value x, const swg_mae *model);
/* Logits (N, classes, spatial...) for fine-tuning: the encoder, all tokens visible, whose parameters have the names they have in swg_mae_apply
 * and stand first; tokens back on their grid, a transposed convolution of patch size to `channels`, concatenated with a 3-wide convolution of
 * the image, two 3-wide convolutions to `channels` and a 1-wide one. Instance norms with weights, LeakyReLU. Parameters head/... */
swg_value swg_mae_segment(swg_graph *g, swg_value x, const swg_mae *model, int64_t channels, int64_t classes);
/* Its layers for `batch` images; swg_layers_below tells encoder and decoder apart. */
swg_status swg_mae_layers(swg_context *ctx, const swg_mae *model, int64_t batch, swg_layers *out);

/* ---- image world model ---- */

typedef struct swg_iwm {
    swg_vit vit;
    double target_ratio;                /* 0.9: int(0.9 tokens) are to be predicted */
    int64_t predictor_width, predictor_heads;   /* 8, 1 */
    int predictor_depth;                /* 1 */
    int64_t domains;                    /* of targets: 1; 0: I-JEPA, neither domain embeddings nor mixer */
} swg_iwm;

/* The published model, of I-JEPA without domains. */
swg_iwm swg_iwm_published(int dims, bool ijepa);
int64_t swg_iwm_targets(const swg_iwm *model);  /* 460 of 512 */

/* The teacher's in an epoch: 0.998 + 0.002 epoch / epochs. */
double swg_iwm_momentum(int64_t epoch, int64_t epochs);

/* Extents (y, x) of a mask rectangle of aspect a: int(4 / a) and int(4 a), at most those of the grid. */
void swg_iwm_rectangle(const swg_iwm *model, double aspect, int64_t extent[2]);
/* Block mask of one sample: 0 for a target token, 1 for one of the context, exactly swg_iwm_targets zeros; so that swg_argsort gives the targets,
 * then the context, each in order. Rectangles over the full depth at random places, of aspects uniform in (0.5, 1.5), until enough is covered;
 * then random tokens of the boundary (beside context, or at the image's edge) are given back, boundary after boundary. A function of the
 * arguments. scores: `tokens` numbers. Any thread; allocates nothing. SWG_EINVAL: no context or no target, or more than
 * SWG_IWM_TOKENS tokens. */
enum { SWG_IWM_TOKENS = 32768 };
swg_status swg_iwm_block_mask(swg_context *ctx, const swg_iwm *model, uint64_t seed, uint32_t epoch, uint32_t sample, float *scores);

typedef struct swg_iwm_result {
    swg_value predicted;    /* (N, targets, width): the student's guess of the teacher's embeddings */
    swg_value teacher;      /* (N, targets, width): the teacher's, no gradient */
    swg_value loss;         /* {1}: mean |predicted - teacher| */
} swg_iwm_result;
/* source: what the student sees, its context tokens alone; target: what the teacher sees, whole; both (N, 1, spatial...). scores: (N, tokens), as
 * of swg_iwm_block_mask. domain: (N, domains), 1 for the target's domain and 0 for others; SWG_NONE: the first of all, and for I-JEPA.
 * momentum: {1}; a training graph first moves the teacher, t + (1 - momentum) (s - t), and what it then computes is that of the moved one; 1
 * leaves it as it is. Read only, without effect, in an inference graph, where it may be SWG_NONE; there the teacher does not move.
 * Parameters encoder/..., predictor/...; states teacher/... as encoder/..., which start as copies of the parameters. */
void swg_iwm_apply(swg_graph *g, swg_value source, swg_value target, swg_value scores, swg_value domain, swg_value momentum, const swg_iwm *model,
                   swg_iwm_result *out);
/* Features of all tokens by the student: (N, tokens, width); and their mean, (N, width): the row of an image. */
swg_value swg_iwm_encode(swg_graph *g, swg_value x, const swg_iwm *model);
swg_value swg_iwm_embed(swg_graph *g, swg_value x, const swg_iwm *model);
/* Its layers in training for `batch` images: encoder/..., predictor/..., and the teacher, which has no parameters. */
swg_status swg_iwm_layers(swg_context *ctx, const swg_iwm *model, int64_t batch, swg_layers *out);

#endif
