/* stencil.h - mode W: a causal 27-tap least-squares predictor on the integer grid (docs/format.md, "Mode W"), its weights fitted to
 * the chunk or from a model, which may bring a network that corrects it (W-MLP, causal.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CODEC_STENCIL_H
#define SWAGE_CODEC_STENCIL_H

#include "chunk.h"

typedef struct swg__stencil {
    int32_t w[SWG__TAPS];      /* Q13; w[0] is not used */
    uint8_t bucket[128][3];    /* by activity class and class of the residual before */
    int c_min, c_max;          /* classes stored; others use the nearest end */
    bool wide;
    struct swg__causal *net;   /* of mode W-MLP, or NULL; owned by models */
} swg__stencil;

/* Offsets (dz, dy, dx) of the taps; tap 0 is the anchor. */
extern const int8_t swg__tap_offset[SWG__TAPS][3];

/* Activity class of S = 4 sum|d| + 27, quarter octaves. */
static inline int swg__activity_class(int64_t s, bool wide) {
    int e = 63 - __builtin_clzll((uint64_t)s), c = 4 * (e - 4) + (int)(s >> (e - 2) & 3), most = wide ? 127 : 63;
    return c < most ? c : most;
}

/* A chunk on the grid with weights of its own, from at most `samples` points, about to be coded. *bytes: what it would take; INT64_MAX: not possible
 * (levels too large). Close it in any case. */
enum { SWG__STENCIL_SAMPLES = 8192, SWG__STENCIL_GLANCE = 1024 };
typedef struct swg__stencil_plan swg__stencil_plan;
swg_status swg__stencil_plan_open(const swg__chunk *chunk, int64_t samples, swg__stencil_plan **plan, int64_t *bytes);
swg_status swg__stencil_plan_code(swg__stencil_plan *plan, swg__draft *draft, bool *coded);
void swg__stencil_plan_close(swg__stencil_plan *plan); /* NULL is allowed */

/* Codes the chunk with weights of its own. *coded false: not possible (levels too large) or hopeless (estimate above
 * limit bytes); the draft is then empty. */
swg_status swg__stencil_encode(const swg__chunk *chunk, int64_t limit, swg__draft *draft, bool *coded);

/* With a trained model (trained_stencil.h, causal.h), whose `wide` does not count: it is the chunk's. *plan: the chunk on the grid for any number of
 * models, NULL before the first; close it in any case. *bytes: about what the chunk would take; INT64_MAX and *coded false: not possible. */
swg_status swg__stencil_estimate_trained(const swg__chunk *chunk, const swg__stencil *model, swg__stencil_plan **plan, int64_t *bytes);
swg_status swg__stencil_encode_trained(const swg__chunk *chunk, const swg__stencil *model, swg__stencil_plan **plan, swg__draft *draft, bool *coded);

/* trained: the model of a record without LOCAL; NULL none. NULL or the reason. */
const char *swg__stencil_decode(const swg__chunk *chunk, const swg__stencil *trained, const swg__record *record);

/* i16 w[27], u16 0, BTAB. */
void swg__stencil_write(const swg__stencil *model, swg__text *out);
const char *swg__stencil_read(swg__span param, bool wide, swg__stencil *model);

/* Sampled points of a chunk. */
typedef struct swg__training {
    double *d, *target;      /* (count, 27) differences to the anchor; the level's own */
    uint8_t *mark;           /* SWG__SAMPLE_START: first of a run along x; SWG__SAMPLE_BORDER; SWG__SAMPLE_MASKED */
    struct swg__point {      /* scratch of swg__stencil_buckets: residual, phase and context of each */
        int64_t e;
        int32_t next;        /* of its context, -1 none */
        int8_t phase;
        uint8_t activity, before;
    } *point;
    int64_t count;
} swg__training;
enum { SWG__SAMPLE_START = 1, SWG__SAMPLE_MASKED = 4 }; /* masked: BORDER as well, and of no cost */
#define SWG__WIDE_LIMIT ((int64_t)1 << 30)

/* At most `most` points of a chunk; count 0: its levels are too large, or it has one level only. Close it in any case. SWG_ENOMEM. */
swg_status swg__training_open(const swg__chunk *chunk, int64_t most, swg__training *t);
void swg__training_close(swg_context *ctx, swg__training *t);
bool swg__training_wide(const swg__training *t); /* a difference saturates without WIDE */

/* Calls fn for rows first, first + step, ... of a chunk (all slices' rows in scan order) with all points of the row;
 * stops at the first failure. Never called where the levels are too large for mode W. */
typedef swg_status (*swg__row_fn)(void *user, int64_t row, const swg__training *sample);
swg_status swg__stencil_rows(const swg__chunk *chunk, int64_t first, int64_t step, swg__row_fn fn, void *user);

/* Weighted least squares, rounded to Q13; all 0 where there is nothing to learn. SWG_ENOMEM. */
swg_status swg__stencil_weights(swg_context *ctx, const swg__codec_kernels *kernels, const swg__training *t, int32_t w[SWG__TAPS]);

/* The same from sums of normal equations that grew over any number of samples. */
swg_status swg__stencil_solve(swg_context *ctx, double (*sums)[SWG__SUM_WIDTH], int32_t w[SWG__TAPS]);

/* Buckets of least code length for the model's weights; total: values of the chunk. Returns the sample's cost in 1/256 bit. */
uint64_t swg__stencil_buckets(const swg__codec_kernels *kernels, swg__training *t, int64_t total, swg__stencil *model);

/* The same where `point` is filled already; d and target are not looked at. */
uint64_t swg__point_buckets(const swg__training *t, int64_t total, swg__stencil *model);

/* Classes beyond the stored ones use the nearest end. */
void swg__stencil_spread(swg__stencil *model);

#endif
