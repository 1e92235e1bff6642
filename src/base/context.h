/* context.h (internal) - what a context holds.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BASE_CONTEXT_H
#define SWAGE_BASE_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include "base.h"
#include "cpu.h"

typedef struct swg__pool swg__pool;

struct swg_context {
    swg_allocator allocator;
    atomic_uint_fast64_t allocations; /* calls of the allocator */
    atomic_uint_fast64_t bytes;       /* held now */
    pthread_mutex_t message_lock;
    char message[1024];
    swg_log_fn log;
    void *log_user;
    swg__isa isa;
    int threads;
    swg__pool *pool;                  /* NULL with one thread */
    int64_t rss_base_bytes;           /* resident set when opened; -1 unknown */
};

swg_status swg__pool_open(swg_context *ctx, int threads, swg__pool **out);
void swg__pool_close(swg_context *ctx, swg__pool *pool);

#endif
