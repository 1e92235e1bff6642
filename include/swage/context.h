/* context.h - what a program opens once: threads, instruction set, allocator, last message.
 * A context may be used by one caller at a time; open one per thread of your own that calls Swage.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONTEXT_H
#define SWAGE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>
#include "swage/status.h"

typedef struct swg_context swg_context;

/* Where memory comes from. alloc returns `bytes` bytes aligned to `align` (a power of two) or NULL. */
typedef struct swg_allocator {
    void *(*alloc)(void *user, size_t align, size_t bytes);
    void (*release)(void *user, void *ptr);
    void *user;
} swg_allocator;

typedef enum swg_log_level { SWG_LOG_INFO, SWG_LOG_WARNING } swg_log_level;
typedef void (*swg_log_fn)(void *user, swg_log_level level, const char *text);

/* Zero is the default everywhere. */
typedef struct swg_context_opts {
    int threads;             /* 0: as many as the affinity mask and the cgroup quota allow */
    const char *isa;         /* NULL: the best one; else "scalar", "sse2", "avx2", "avx512", "avx512_vnni", "avx512_bf16" */
    swg_allocator allocator; /* alloc NULL: the C library's */
    swg_log_fn log;          /* NULL: the library says nothing */
    void *log_user;
} swg_context_opts;

/* Opens a context. opts may be NULL. Starts threads - 1 workers.
 * SWG_EINVAL: unknown isa, or one this machine lacks. SWG_ENOMEM. On failure *out is NULL. */
swg_status swg_context_open(const swg_context_opts *opts, swg_context **out);

/* Stops the workers and frees the context. NULL is allowed. Plans and graphs made with it must be gone. */
void swg_context_close(swg_context *ctx);

/* The message of the last failure in this context, "" if none. Valid until the next failure. */
const char *swg_context_message(const swg_context *ctx);

int swg_context_threads(const swg_context *ctx);
const char *swg_context_isa(const swg_context *ctx);

/* Calls of the allocator since the context was opened: a running step must not change it. */
uint64_t swg_context_allocations(const swg_context *ctx);
/* Bytes held now through the allocator, the context itself not counted. */
uint64_t swg_context_bytes(const swg_context *ctx);
/* Growth of the process's peak resident set since the context was opened or the last reset, in bytes; -1 where unknown. */
int64_t swg_context_peak_rss_growth(const swg_context *ctx);
void swg_context_peak_rss_reset(swg_context *ctx);

/* "0.1.0" */
const char *swg_version(void);

#endif
