/* causal_optim.h - trains the weights of mode W-MLP's network: quantisation-aware, its loss the code length.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CAUSAL_OPTIM_H
#define SWAGE_CODEC_CAUSAL_OPTIM_H

#include "causal.h"
#include "stencil.h"

/* A value with what the network sees of it. */
typedef struct swg__causal_point {
    int64_t miss;               /* 16 times the level less the stencil's prediction in 1/16 */
    int8_t x[SWG__FEATURES];
    uint8_t activity, before;   /* classes of its context; `before` of the predictor in use */
    uint8_t mark;               /* SWG__SAMPLE_START; SWG__POINT_HELD */
} swg__causal_point;
enum { SWG__POINT_HELD = 8 };   /* not trained on */

enum { SWG__CAUSAL_LAYERS = 3, SWG__CAUSAL_WIDTH = 128 };

/* One layer of a network under training. Rows of `stride` numbers, stride a multiple of 16, zero behind `in`. */
typedef struct swg__causal_dense {
    int in, out, stride;
    int64_t weight, bias;       /* where its (out, stride) weights and (out) biases begin in the span of all parameters */
} swg__causal_dense;

typedef struct swg__causal_fitter {
    swg_context *ctx;
    const swg__codec_kernels *kernels;
    swg__causal_dense layer[SWG__CAUSAL_LAYERS];
    int64_t parameters;
    float *master;              /* (parameters) true weights */
    float *quantised;           /* as they stand in the blob: whole numbers; `exact`: the masters in the same units */
    float *turned;              /* weights of `quantised`, (in, out) each */
    float *gradient, *mean, *square;
    float *partial;             /* (SWG__CAUSAL_SLICES, parameters) */
    float *scratch;             /* of each slice */
    int64_t scratch_floats;
    uint64_t seed;
    int64_t step;               /* done */
    double decay[2];            /* products of Adam's betas */
    bool exact;                 /* no rounding anywhere, no leak: for the check of the gradient */
} swg__causal_fitter;

enum { SWG__CAUSAL_SLICE = 64, SWG__CAUSAL_SLICES = 8, SWG__CAUSAL_BATCH = SWG__CAUSAL_SLICE * SWG__CAUSAL_SLICES };

/* hidden: widths, multiples of 4 up to SWG__CAUSAL_WIDTH. SWG_ENOMEM; close in any case. */
swg_status swg__causal_fitter_open(swg_context *ctx, const int hidden[2], uint64_t seed, swg__causal_fitter *f);
void swg__causal_fitter_close(swg__causal_fitter *f);

/* Gradient of the mean loss in nats over points[index[0 .. SWG__CAUSAL_BATCH - 1]]. bucket: B by activity and before. */
void swg__causal_gradient(swg__causal_fitter *f, const swg__causal_point *points, const int64_t *index, const uint8_t bucket[128][3]);

/* One step of Adam on a batch drawn from points[among[0 .. count - 1]]. progress in [0, 1) sets the rate. */
void swg__causal_step(swg__causal_fitter *f, const swg__causal_point *points, const int64_t *among, int64_t count, const uint8_t bucket[128][3],
                      double progress);

/* The integer network's two sums for every point. SWG_ENOMEM. */
swg_status swg__causal_sums(const swg__causal_fitter *f, const swg__causal_point *points, int64_t count, int32_t (*sums)[2]);

/* Rounds the masters; after a step it has been done. */
void swg__causal_quantise(swg__causal_fitter *f);

#endif
