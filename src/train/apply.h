/* apply.h - a trained network of images or volumes, planned for one shape of input.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TRAIN_APPLY_H
#define SWAGE_TRAIN_APPLY_H

#include "swage/model.h"
#include "train/family.h"

typedef struct swg__apply {
    swg_context *ctx;
    swg_plan *plan;
    int ndim;                               /* of input and outputs */
    int64_t shape[SWG_MAX_DIMS];            /* N, C, spatial... of the input */
    swg_value in, out[SWG__STEP_OUTPUTS];   /* out as the family's step has them: for kan decoded, z, encoded */
    int outputs;
    int64_t values[SWG__STEP_OUTPUTS];      /* of one sample of an output */
    int64_t dims[SWG__STEP_OUTPUTS][SWG_MAX_DIMS];  /* C, spatial... of an output */
} swg__apply;

/* outputs: how many of the family's are wanted; shape: `ndim` numbers, (N, C, spatial...). The model must stay open. SWG_ESHAPE: an extent that the network cannot take. SWG_EUNSUPPORTED: the
 * family's networks are not applied to images. */
swg_status swg__apply_open(swg_model *model, int ndim, const int64_t *shape, int outputs, swg__apply *out);
void swg__apply_close(swg__apply *a);   /* also one that failed to open */
/* `count` samples (count, C, spatial...), at most N; the results are read from swg__apply_result until the next call. One caller at a time. */
swg_status swg__apply_run(swg__apply *a, int64_t count, const float *x);
const float *swg__apply_result(const swg__apply *a, int output);
int64_t swg__apply_bytes(const swg__apply *a);  /* planned: arena and packed weights */

#endif
