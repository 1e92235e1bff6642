/* overlap.h - a stream cut into segments that overlap, each put through something, and added together again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_AUDIO_OVERLAP_H
#define SWAGE_AUDIO_OVERLAP_H

#include <signal.h>
#include "base.h"

typedef struct swg__overlap {
    int channels, stems;
    int64_t segment, hop, samples;      /* 1 <= hop <= segment; samples of the whole stream */
    /* The next `count` samples of the stream, channel c at out + c * stride. */
    swg_status (*read)(void *user, int64_t count, float *out, int64_t stride);
    /* mixture (channels, segment), with zeros behind the end of a short stream; stems (stems, channels, segment). */
    swg_status (*run)(void *user, const float *mixture, float *stems);
    /* The next `count` samples, complete: rows (channels) and (stems, channels), `stride` apart; the stems may be changed. */
    swg_status (*write)(void *user, int64_t count, const float *mixture, float *stems, int64_t stride);
    void (*progress)(void *user, int64_t done, int64_t total);  /* NULL: none */
    const volatile sig_atomic_t *stop;  /* NULL, or not 0: SWG_EINTERRUPTED before the next segment */
    void *user;
} swg__overlap;

/* Memory: channels * (1 + 2 stems) * segment numbers, whatever the length. SWG_ENOMEM, SWG_EINTERRUPTED, and what the calls return. */
swg_status swg__overlap_run(swg_context *ctx, const swg__overlap *o);

#endif
