/* nn.h - layers and losses: functions that add nodes to a graph.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_NN_H
#define SWAGE_NN_H

#include "swage/graph.h"

struct swg_weights; /* plan.h */

/* y = x W^T + b. x: (..., k), W: (n, k) named "<name>.weight", b: (n) named "<name>.bias". Result (..., n).
 * Both start uniform in +-1/sqrt(k). */
swg_value swg_linear(swg_graph *g, swg_value x, int64_t n, const char *name);

/* Convolution with `channels` results; kernel is the extent along every spatial axis. x: (N, C, spatial...), or (N, spatial..., C) with
 * opts->channels_last. "<name>.weight" (channels, C / groups, kernel...) and "<name>.bias" (channels) start uniform in
 * +-1/sqrt(C / groups * taps), PyTorch's default. opts may be NULL. */
swg_value swg_conv(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_conv_opts *opts, const char *name);
/* Transposed: "<name>.weight" is (C, channels / groups, kernel...); both start uniform in +-1/sqrt(channels / groups * taps). */
swg_value swg_conv_transpose(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_conv_opts *opts, const char *name);

typedef enum swg_activation { SWG_ACT_NONE, SWG_ACT_RELU, SWG_ACT_GELU, SWG_ACT_SILU, SWG_ACT_TANH, SWG_ACT_SIGMOID,
                              SWG_ACT_GELU_TANH, SWG_ACT_SOFTPLUS, SWG_ACT_LEAKY_RELU /* slope 0.01 */, SWG_ACT_ELU /* alpha 1 */,
                              SWG_ACT_HARD_SIGMOID, SWG_ACT_HARD_SWISH } swg_activation;
swg_value swg_activate(swg_graph *g, swg_value x, swg_activation activation);
/* "relu" -> SWG_ACT_RELU; false if unknown. */
bool swg_activation_find(const char *name, swg_activation *out);

/* Normalisations: (x - mean) / sqrt(variance + eps) * weight + bias with biased variance, as in PyTorch. Parameters "<name>.weight"
 * (1 everywhere) and "<name>.bias" (0). */
typedef enum swg_norm_affine { SWG_AFFINE_DEFAULT, SWG_AFFINE_ON, SWG_AFFINE_OFF } swg_norm_affine;
typedef struct swg_norm_opts {
    int channel_axis;   /* 0: axis 1 (N, C, ...); negative counts from the end: -1 for (N, ..., C) */
    double eps;         /* 0: 1e-5 */
    double momentum;    /* batch norm; 0: 0.1 */
    swg_norm_affine affine; /* weight and bias; by default all have them but the instance norm */
    bool no_running;    /* batch norm: no running statistics, those of the batch always */
    bool frozen;        /* batch norm: the running statistics always, in training too; they do not move */
} swg_norm_opts;
/* Per channel over all else. Training: statistics of the batch; states "<name>.running_mean" (0) and "<name>.running_var" (1, of
 * the unbiased variance) move by `momentum` at the end of the step. An inference graph reads the states. */
swg_value swg_batch_norm(swg_graph *g, swg_value x, const char *name, const swg_norm_opts *opts);
/* Per sample and channel. */
swg_value swg_instance_norm(swg_graph *g, swg_value x, const char *name, const swg_norm_opts *opts);
/* Per sample and group of neighbouring channels. */
swg_value swg_group_norm(swg_graph *g, swg_value x, int64_t groups, const char *name, const swg_norm_opts *opts);
/* Over the last `dims` axes; weight and bias have their shape. */
swg_value swg_layer_norm(swg_graph *g, swg_value x, int dims, const char *name, const swg_norm_opts *opts);

/* y_i = x_i / sqrt(beta_i + sum_j |gamma_ij| x_j^2) over channels, `inverse`: times the root (Balle et al. 2016). Parameters
 * "<name>.beta" (C), 1, taken as 1e-6 at least, and "<name>.gamma" (C, C), 0.1 I. channel_axis as in swg_norm_opts. */
swg_value swg_gdn(swg_graph *g, swg_value x, const char *name, bool inverse, int channel_axis);

/* Bottleneck attention (Park et al. 2018) of images x (N, C, spatial...): x + x sigmoid(a + b), where a (N, C) = batch norm of W2 relu(W1
 * mean of x over space) and b (N, 1, spatial...) = batch norm of a 1-wide convolution of two times (3-wide dilated convolution, batch
 * norm, ReLU) of a 1-wide one. r = max(1, C / reduction) channels in between. Parameters "<name>.channel.fc1" (r, C), "fc2" (C, r), "bn" (C),
 * "<name>.spatial.conv1" to "conv4" and "bn2" to "bn4" of the last three, all with bias. The statistics of `a` are over the batch alone:
 * a training graph of one sample is refused, unless frozen. opts may be NULL. */
typedef struct swg_bam_opts {
    int64_t reduction;  /* 0: 16 */
    int64_t dilation;   /* 0: 4 */
    bool frozen;        /* the norm of `a` takes the running statistics in training, too (swg_norm_opts) */
} swg_bam_opts;
swg_value swg_bam(swg_graph *g, swg_value x, const swg_bam_opts *opts, const char *name);
/* Efficient channel attention (Wang et al. 2020): x sigmoid(W * mean of x over space), a convolution along the channels of x (N, C, spatial...)
 * with zeros beyond them. Parameter "<name>.weight" (1, 1, k), k of swg_eca_kernel, uniform in +-1/sqrt(k). */
swg_value swg_eca(swg_graph *g, swg_value x, const char *name);
/* (log2(channels) + 1) / 2, cut to a whole number and made odd upwards: 3 for 16 and 64, 5 for 128 and 384. */
int64_t swg_eca_kernel(int64_t channels);

/* Gated linear unit block: P (a(u) * v) + F x, where u and v are the halves of W1 x. x: (..., d), result (..., n). Linear layers with
 * bias "<name>.w1" (2 n, d), "<name>.p" (n, n), "<name>.f" (n, d). */
swg_value swg_glu_block(swg_graph *g, swg_value x, int64_t n, swg_activation activation, const char *name);
/* Rounds each row (last axis) to codes -127 .. 127 times scale = max |x| / 127, ties to even. The gradient passes straight through. */
swg_value swg_quantise_rows(swg_graph *g, swg_value x, const char *name);

typedef struct swg_multihead_opts {
    swg_value mask;     /* as of swg_attention; SWG_NONE: none */
    bool no_bias;       /* neither in nor out projections have one */
} swg_multihead_opts;
/* Multi-head attention (Vaswani et al. 2017), parameters named and started as PyTorch's nn.MultiheadAttention. query: (batch, n, e),
 * key_value: (batch, m, c), or SWG_NONE for self-attention; result (batch, n, e). "<name>.in_proj_weight" (3 e, e), Glorot-uniform;
 * where c is not e, "q_proj_weight" (e, e), "k_proj_weight" and "v_proj_weight" (e, c) instead; "in_proj_bias" (3 e) 0;
 * "out_proj.weight" (e, e) uniform in +-1/sqrt(e), "out_proj.bias" 0. e must divide by heads. opts may be NULL. */
swg_value swg_multihead_attention(swg_graph *g, swg_value query, swg_value key_value, int64_t heads, const swg_multihead_opts *opts,
                                  const char *name);

/* ---- Kolmogorov-Arnold layers (Liu et al. 2024; kan.md, section 3): a learnable function on every edge ---- */

typedef enum swg_kan_basis { SWG_KAN_BSPLINE, SWG_KAN_RBF, SWG_KAN_CHEB } swg_kan_basis;
typedef enum swg_kan_scaler { SWG_KAN_EDGE, SWG_KAN_CHANNEL, SWG_KAN_NO_SCALER } swg_kan_scaler;
typedef enum swg_kan_init { SWG_KAN_NOISE_FIT, SWG_KAN_KAIMING } swg_kan_init;
/* Values of a layer that others need; no more is computed than what is used. */
typedef struct swg_kan_parts {
    swg_value inputs;       /* (rows, features): what the bases are made of. Features are the inputs; of a convolution the channels, rows
                             * all positions, padded ones included */
    swg_value coefficients; /* "<name>.spline_weight" */
    swg_value outside;      /* {1}: share of x outside of the grid (bspline), below low or above high (rbf); 0 for cheb; no gradient */
} swg_kan_parts;
/* What is 0 has its default; docs/kan.md has formulas and counts. */
typedef struct swg_kan_opts {
    swg_kan_basis basis;        /* B-splines, Gaussians of a normalised x, Chebyshev polynomials of tanh(x) */
    int64_t intervals, order;   /* bspline: of the grid, 5, 3. rbf: intervals between Gaussians, 7. cheb: order is the degree, 3 */
    double low, high;           /* of the grid; both 0: -1, 1; of rbf -2, 2 */
    swg_kan_scaler scaler;      /* bspline: factors of the splines: per edge, per result, none */
    bool conv_then_silu;        /* bspline: SiLU(conv(x)) + splines, as published; by default conv(SiLU(x)) + splines */
    swg_kan_init init;          /* bspline: noise through the grid, or uniform in +-1/sqrt(terms of a sum) with scalers 1 */
    double scale_base, scale_spline;    /* of noise-fit: 1. A larger scale_base gives smaller weights */
    bool adaptive;              /* bspline: knots of every feature are a state "<name>.knots", which swg_kan_update_grid moves */
    swg_kan_parts *parts;       /* written if not NULL; not kept */
} swg_kan_opts;
/* y_o = sum_i Wb_oi SiLU(x_i) + sum_ij s_oi c_oij B_j(x_i). x: (..., i); result (..., n). Parameters "<name>.base_weight" (n, i),
 * "<name>.spline_weight" (n, i, intervals + order), "<name>.spline_scaler" (n, i) or (n). rbf: "<name>.norm.weight" and ".bias" (i),
 * "<name>.spline_weight" (n, i, intervals + 1), "<name>.base.weight" (n, i) and ".bias" (n). cheb: "<name>.spline_weight" (i, n, order + 1)
 * alone. opts may be NULL. */
swg_value swg_kan_linear(swg_graph *g, swg_value x, int64_t n, const swg_kan_opts *opts, const char *name);
/* The same on the patches of a convolution, whose inputs count as (channel, taps); not rbf. x: (N, C, spatial...), or (N, spatial..., C)
 * with conv->channels_last; stride, padding and dilation of `conv`, which has no groups and adds no bias. Padded positions are x = 0, whose
 * bases are not 0. SiLU and bases are made once per element, then it is one convolution; they are not kept for the gradient (swg_remat_drop).
 * opts and conv may be NULL. */
swg_value swg_kan_conv(swg_graph *g, swg_value x, int64_t channels, int64_t kernel, const swg_kan_opts *opts, const swg_conv_opts *conv,
                       const char *name);

typedef struct swg_kan_terms {
    swg_value magnitude;    /* R, {1}: sum over edges of the mean |c| of an edge */
    swg_value entropy;      /* H, {1}: -sum q ln q of shares q = mean |c| / R; both 0, with gradient 0, where all c are 0 */
} swg_kan_terms;
/* magnitude * R + entropy * H summed over layers (Liu et al. 2024, section 2.5.1), {1}. coefficients: `count` of them
 * (swg_kan_parts), NULL: all parameters made so far whose name ends in "spline_weight". terms, if not NULL, gets the two sums. */
swg_value swg_loss_kan(swg_graph *g, const swg_value *coefficients, int count, double magnitude, double entropy, swg_kan_terms *terms);

typedef struct swg_kan_update {
    int64_t moved, kept;    /* features with a new grid, and with the old one: constant ones, or knots that f32 cannot tell apart */
    int64_t rescaled;       /* scalers below 1e-8, now 1 */
    int64_t skipped;        /* values of x that were not finite */
    double change, size;    /* root mean squares over rows and edges of moved features: new minus old spline outputs, old outputs */
} swg_kan_update;
/* Moves the knots of the adaptive layer `layer` ("encoder.kan": names as in the weights) to where x, its parts.inputs, lies, and fits the
 * coefficients again by least squares so that its outputs stay (kan.md, section 4; docs/kan.md). x: (rows, features), row-major, of the
 * type of the weights, as a plan hands it out. Same bits for any number of threads. Moments of the optimiser stay as they are; a running
 * average of the weights has to be updated with the same x; a frozen plan needs swg_plan_refresh. report may be NULL. SWG_EINVAL: no such
 * layer, not adaptive, or other features. On error nothing has changed. */
swg_status swg_kan_update_grid(struct swg_weights *weights, const char *layer, const void *x, int64_t rows, int64_t features,
                               swg_kan_update *report);

/* Losses: x is the target, y the prediction, same shape; the result is a scalar of shape {1}. */
swg_value swg_loss_mse(swg_graph *g, swg_value y, swg_value x);       /* mean d^2 */
swg_value swg_loss_mae(swg_graph *g, swg_value y, swg_value x);       /* mean |d| */
swg_value swg_loss_huber(swg_graph *g, swg_value y, swg_value x, double beta);
swg_value swg_loss_logcosh(swg_graph *g, swg_value y, swg_value x);   /* mean |d| + log1p(exp(-2|d|)) - ln 2 */
/* 0.9 mse + 0.1 mean clamp(|d| / (|x| + eps), 0, 10), eps = max(1e-6, 0.1 std x), a constant for the gradient. */
swg_value swg_loss_relative(swg_graph *g, swg_value y, swg_value x);
/* Losses of masks and classes. x: targets; y: logits, not probabilities. */
/* mean of -x log s - (1 - x) log(1 - s), s = sigmoid(y); same shape. */
swg_value swg_loss_bce_logits(swg_graph *g, swg_value y, swg_value x);
/* 1 - mean over samples and channels of (2 sum s x + 1e-5) / (sum s + sum x + 1e-5), s = sigmoid(y) (Milletari et al. 2016; MONAI's
 * form). channel_axis as in swg_norm_opts. */
swg_value swg_loss_dice(swg_graph *g, swg_value y, swg_value x, int channel_axis);
typedef struct swg_cross_entropy_opts {
    int channel_axis;   /* of the classes; as in swg_norm_opts */
    swg_value weight;   /* per class, or SWG_NONE */
} swg_cross_entropy_opts;
/* target: probabilities in the shape of y, and the loss is the mean over positions; or the number of the class per position (the shape
 * without the axis of classes, or with extent 1 there), and positions whose number is no class (-100) do not count. As PyTorch. */
swg_value swg_loss_cross_entropy(swg_graph *g, swg_value y, swg_value target, const swg_cross_entropy_opts *opts);
/* 1 - SSIM of images (N, C, H, W) with values in [0, 1] (Wang et al. 2004): Gaussian windows of 11 x 11, sigma 1.5, that lie inside; K 0.01 and
 * 0.03; mean over windows, channels and images. H and W from 11. */
swg_value swg_loss_ssim(swg_graph *g, swg_value y, swg_value x);
/* Multi-resolution STFT loss of signals (batch, channels, samples): mean over `count` resolutions of mean ||Y| - |X|| + mean |ln(|Y| + 1e-5) -
 * ln(|X| + 1e-5)| (Yamamoto et al. 2020). resolutions NULL: 2048, 1024 and 512 with hops of a quarter. */
swg_value swg_loss_mrstft(swg_graph *g, swg_value y, swg_value x, const swg_stft_opts *resolutions, int count);
/* Magnitudes of a result of swg_stft: (batch, channels, bins, frames). No gradient where it is 0. */
swg_value swg_stft_magnitude(swg_graph *g, swg_value s);
/* ln(1 + scale * a) of a scalar. */
swg_value swg_loss_log(swg_graph *g, swg_value a, double scale);

/* Sliced-Wasserstein distance of latents to the normal prior (Kolouri et al. 2018, Alg. 1): mean over the batch and
 * `directions` random directions of the squared gaps of sorted projections. z: (m, k). Result {1}.
 * Directions come from stream "sw:theta" (drawn normal, divided by their length), the prior from "sw:prior". */
swg_value swg_loss_sliced_wasserstein(swg_graph *g, swg_value z, int64_t directions);
/* The same with given directions (l, k), rows of length 1, and prior (m, k). */
swg_value swg_loss_sliced_wasserstein_with(swg_graph *g, swg_value z, swg_value theta, swg_value prior);

#endif
