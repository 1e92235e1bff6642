/* batch.c - several arrays side by side: small arrays have too few chunks for all threads.
 * In: how large the next arrays are. Out: how many of them to take together, and the work done, with times that add up to the clock's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "archive/archive.h"

/* An array of this many values has chunks enough for every thread; it is worked on alone, chunk by chunk. */
static int64_t large_values(const swg_context *ctx) { return ((int64_t)1 << 19) * swg_context_threads(ctx); }
enum { PER_WORKER = 4, BATCH_BYTES = 256 << 20 };

int64_t swg__batch_count(swg_context *ctx, int64_t jobs, int64_t left, const int64_t *values, const int64_t *bytes) {
    const int64_t most = jobs > 0 ? jobs : swg_context_threads(ctx) > 1 ? PER_WORKER * swg_context_threads(ctx) : 1;
    int64_t count = 0, sum = 0;
    while (count < left && count < most && sum <= BATCH_BYTES - (bytes[count] < BATCH_BYTES ? bytes[count] : BATCH_BYTES) &&
           (jobs > 0 || values[count] < large_values(ctx)))
        sum += bytes[count++];
    return count ? count : left > 0;
}

void swg__batch_run(swg_context *ctx, int64_t count, swg__task_fn fn, void *arg, double *seconds) {
    const int64_t before = swg__now_ns();
    double busy = 0;
    if (count == 1)
        fn(arg, 0, 0); /* with all threads inside it */
    else
        swg__parallel(ctx, count, fn, arg);
    const double took = (double)(swg__now_ns() - before) * 1e-9;
    for (int64_t i = 0; i < count; i++)
        busy += seconds[i];
    for (int64_t i = 0; i < count && count > 1; i++)
        seconds[i] *= busy > 0 ? took / busy : 0;
}
