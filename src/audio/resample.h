/* resample.h - a stream of samples at another rate, by libsoxr ("very high quality", 28 bits, linear phase).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_AUDIO_RESAMPLE_H
#define SWAGE_AUDIO_RESAMPLE_H

#include "base.h"

typedef struct swg__resampler swg__resampler;

/* name: for messages. SWG_EUNSUPPORTED: a build without libsoxr, or it is not there to be loaded. */
swg_status swg__resampler_open(swg_context *ctx, const char *name, int64_t from, int64_t to, int channels, swg__resampler **out);
/* Takes up to `count` samples in (channel c at in + c * in_stride) and gives up to `room` out; the first out is at the time of the first in. in NULL: there are no
 * more, what is left comes out until *made is 0. */
swg_status swg__resampler_run(swg__resampler *r, const float *in, int64_t in_stride, int64_t count, int64_t *used, float *out, int64_t out_stride,
                              int64_t room, int64_t *made);
swg_status swg__resampler_clear(swg__resampler *r); /* the next sample in is the first of another stream */
void swg__resampler_close(swg__resampler *r);       /* NULL is allowed */

/* Samples of a stream of `count` at another rate: ceil(count * to / from). -1: does not fit. */
int64_t swg__resampled_count(int64_t count, int64_t from, int64_t to);

#endif
