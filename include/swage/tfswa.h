/* tfswa.h - TFSWA-UNet: an attention U-Net on spectrograms that separates a mixture into stems (Yao et al. 2024; tfswa.md, section 3).
 * Axes everywhere: (batch, channel, frequency, time). A spectrum of `c` audio channels is (B, 2 c, F, T), Re of all channels, then Im of all,
 * as swg_stft makes and swg_istft takes it.
 *
 *     swg_tfswa model = swg_tfswa_unet();
 *     swg_value mixture = swg_stft(g, audio, NULL);                                      (B, 2 c, F, T)
 *     swg_value o = swg_tfswa_net(g, &model, swg_tfswa_input(g, &model, mixture));       (B, out, F, T)
 *     swg_value stems = swg_tfswa_apply(g, &model, o, mixture);                          (B, stems, 2 c, F, T)
 *     swg_value waves = swg_tfswa_waves(g, stems, samples, NULL);                        (B, stems, c, samples)
 *
 * Parameters, and multiply-adds of one 1025x259 input: swg_tfswa_unet 15,404,834 and 390,317,956,480 (15,408,036 with in = out = 4), 22
 * blocks; swg_tfswa_small 1,119,442. Any batch; any F and T from 2^(stages - 1). Precision: graphs of f32 or f64; in a bf16 plan products are
 * bf16, norms, softmax and masks f32.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TFSWA_H
#define SWAGE_TFSWA_H

#include "swage/layers.h"
#include "swage/nn.h"

enum { SWG_TFSWA_STAGES = 6 };

/* How the two head channels of a stem, o0 and o1, become a spectrum of it. */
typedef enum swg_tfswa_mask {
    SWG_TFSWA_SIGMOID,      /* o in (0, 1): o0 times the left, o1 times the right channel; a mono mixture is multiplied by the mean of both */
    SWG_TFSWA_PUBLISHED,    /* o in (0, 1): sigmoid(sqrt(o0^2 + o1^2 + 1e-8)), in [0.500025, 0.804430], times the mean of all channels, the same
                             * in every channel. It cannot silence a bin; for old weights */
    SWG_TFSWA_COMPLEX,      /* o without sigmoid: (o0 + i o1) times every channel */
} swg_tfswa_mask;

/* Which pairs of tokens of a window do not see each other. */
typedef enum swg_tfswa_window_mask {
    SWG_TFSWA_WINDOW_NONE,  /* as published: shifted windows mix what the roll brought together, and padding is seen */
    SWG_TFSWA_WINDOW_SHIFT, /* in shifted windows: pairs from different regions */
    SWG_TFSWA_WINDOW_ALL,   /* and padding is seen by nobody */
} swg_tfswa_window_mask;

typedef struct swg_tfswa {
    int stages;                         /* 2 to SWG_TFSWA_STAGES; each after the first halves F and T, the last one is the bottleneck */
    int64_t depths[SWG_TFSWA_STAGES];   /* blocks of a stage; the way up has as many as the way down */
    int64_t dims[SWG_TFSWA_STAGES];     /* channels of a stage */
    int64_t in;                         /* 2: Re, Im of the mean of all channels; 4: Re L, Re R, Im L, Im R */
    int64_t out;                        /* 2 per stem */
    int64_t window, shift;              /* tokens along each axis of a window; odd blocks of a stage roll by `shift` first */
    int64_t heads;                      /* must divide dims */
    int64_t mlp_ratio;
    swg_tfswa_mask mask;
    swg_tfswa_window_mask window_mask;
    bool naive;                         /* attention that stores its scores, for comparisons */
} swg_tfswa;

/* depths 2, 2, 6, 2; dims 32, 64, 128, 256; in and out 2; window 8, shift 4; heads 8; mlp_ratio 4. */
swg_tfswa swg_tfswa_unet(void);
/* For tests: depths 1; dims 16, 32, 64, 128; in and out 2; window 4, shift 2; heads 4; mlp_ratio 2. */
swg_tfswa swg_tfswa_small(void);

/* "batch", "channel", "frequency", "time"; NULL beyond. "attn_f" among the scopes attends along frequency, "attn_t" along time. */
const char *swg_tfswa_axis(int axis);

/* Mixture (B, 2 c, F, T), c = 1 or 2, as the network's input (B, in, F, T): for in = 2 the mean of the channels, for in = 4 both; a mono mixture
 * stands twice. */
swg_value swg_tfswa_input(swg_graph *g, const swg_tfswa *model, swg_value mixture);

/* x: (B, in, F, T); result (B, out, F, T), with the final sigmoid unless mask is complex. Parameters "stem/conv/weight", "enc<i>/block<k>/...",
 * "down<i>", "bottleneck/block<k>", "up<i>", "dec<i>/block<k>", "head", "output". A block is "conv_in", "norm_in", the attention units "attn_f",
 * "attn_t" and "window" side by side ("norm1", "qkv", "proj", "norm2", "fc1", "fc2" each), "conv_out" and "norm_out". Blocks are marked for
 * recomputation (swg_block_begin). Convolutions start Kaiming-normal by fan-out, linear layers normal with deviation 0.02, cut at two deviations.
 * SWG_ESHAPE: F or T too small, other channels than `in`; SWG_EINVAL: the model. */
swg_value swg_tfswa_net(swg_graph *g, const swg_tfswa *model, swg_value x);

/* Spectra of the stems. o: of swg_tfswa_net, (B, 2 stems, F, T); mixture: (B, 2 c, F, T), c = 1 or 2. Result (B, stems, 2 c, F, T). */
swg_value swg_tfswa_apply(swg_graph *g, const swg_tfswa *model, swg_value o, swg_value mixture);

/* swg_istft of every stem. spectra: (B, stems, 2 c, F, T); result (B, stems, c, samples); samples and opts as there. */
swg_value swg_tfswa_waves(swg_graph *g, swg_value spectra, int64_t samples, const swg_stft_opts *opts);
/* Magnitudes |S| of every stem: (B, stems, 2 c, F, T) to (B, stems, c, F, T). */
swg_value swg_tfswa_magnitudes(swg_graph *g, swg_value spectra);

/* Layers in use (no training) for an input (batch, in, frequency, time). */
swg_status swg_tfswa_layers(swg_context *ctx, const swg_tfswa *model, const int64_t shape[4], swg_layers *out);

#endif
