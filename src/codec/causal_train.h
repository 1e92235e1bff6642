/* causal_train.h - fits the network of mode W-MLP to arrays of one variable at one bound.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_CAUSAL_TRAIN_H
#define SWAGE_CODEC_CAUSAL_TRAIN_H

#include "causal_optim.h"
#include "fit.h"

typedef struct swg__causal_plan {
    int hidden[2];                     /* multiples of 4 up to SWG__CAUSAL_WIDTH */
    int64_t steps;                     /* batches of SWG__CAUSAL_BATCH */
    int64_t points;                    /* most values to learn from, about; a row more or less for each chunk. Of fewer, up to 3 times as many of mirror images */
} swg__causal_plan;
extern const swg__causal_plan swg__causal_light, swg__causal_deep;

typedef struct swg__causal_report {
    int64_t values, points, held;      /* in the arrays that count; sampled; of these held out */
    unsigned flips;                    /* what was learnt from, bits 1 << flip: 0 the arrays, 1..7 mirror images, turned round along z (1), y (2), x (4) */
    int64_t steps;                     /* done; 0: nothing to be gained, or too few points */
    double stencil_bits[2], network_bits[2]; /* exact code lengths per value trained on, held out: without the network, with it */
    bool better;                       /* by 0.5 %, and by the network's bytes over all values of the arrays */
} swg__causal_report;

/* Appends a blob of kind 2 to an empty text, nothing if the network is not better than the stencil alone: a model of kind 1 does as
 * well then. Ended by opts->stop, it keeps the best network so far; SWG_EINTERRUPTED if there is none. Same arrays, seed and plan, and opts->seconds 0: same blob, whatever
 * the threads and the instruction set. report may be NULL. */
swg_status swg__fit_causal_plan(swg_context *ctx, const swg_codec_array *arrays, int64_t count, const swg_codec_opts *bound,
                                const swg__fit_opts *opts, const swg__causal_plan *plan, swg__text *blob, swg__causal_report *report);

#endif
