/* speed.c - how many bytes a second a network encodes and decodes, with its inputs and outputs in memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "base.h"
#include "swage/evaluate.h"

typedef swg_status (*half_fn)(swg_model *model, int64_t count, const float *in, float *out);

static swg_status time_half(swg_model *model, half_fn half, int64_t batch, const float *in, float *out, double *mean_s) {
    int64_t began = 0;
    for (int run = -SWG_SPEED_WARM; run < SWG_SPEED_RUNS; run++) {
        if (run == 0)
            began = swg__now_ns();
        SWG__TRY(half(model, batch, in, out));
    }
    *mean_s = (double)(swg__now_ns() - began) * 1e-9 / SWG_SPEED_RUNS;
    return SWG_OK;
}

swg_status swg_model_speed(swg_context *ctx, swg_model *model, int64_t batch, swg_speed *out) {
    *out = (swg_speed){.batch = batch, .threads = swg_context_threads(ctx)};
    if (batch < 1)
        return swg__fail(ctx, SWG_EINVAL, "a batch of %lld blocks cannot be timed", (long long)batch);
    int64_t values = batch * swg_model_network(model)->input;
    float *x = swg__alloc(ctx, (size_t)values * sizeof *x), *z = swg__alloc(ctx, (size_t)(batch * swg_model_network(model)->latent) * sizeof *z);
    swg_status status = x && z ? SWG_OK : swg__fail_memory(ctx, (size_t)values * sizeof *x, "a batch to be timed");
    for (int64_t i = 0; i < values && status == SWG_OK; i++)
        x[i] = (float)(i % 251) / 25 - 5; /* what the numbers are does not matter to the kernels */
    if (status == SWG_OK)
        status = time_half(model, swg_model_encode, batch, x, z, &out->encode_s);
    if (status == SWG_OK)
        status = time_half(model, swg_model_decode, batch, z, x, &out->decode_s);
    double gigabytes = (double)values * sizeof(float) * 1e-9;
    out->encode_gb_s = out->encode_s > 0 ? gigabytes / out->encode_s : 0;
    out->decode_gb_s = out->decode_s > 0 ? gigabytes / out->decode_s : 0;
    swg__free(ctx, x);
    swg__free(ctx, z);
    return status;
}
