/* loader.h - threads that read batches ahead, handed out in order.
 * Ticket k stands for batch k, whatever that is to the caller. A free worker takes the next ticket and fills slot k mod slots of a ring
 * that is allocated when the loader is opened; the consumer takes tickets in order. So neither the order of batches nor the memory
 * depends on the number of workers or their speed. The threads live as long as the loader and sleep when the ring is full.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_LOADER_H
#define SWAGE_DATA_LOADER_H

#include "base.h"

/* Fills `out` with batch `ticket`. Called by worker 0..workers-1, each on a thread of its own (without workers: worker 0, on the caller's),
 * so what a worker keeps, such as open files, is found by its number. A failure's text goes into message; the consumer meets it at this
 * ticket. Must not call swg__parallel: the pool belongs to the consumer. */
typedef swg_status (*swg__fetch_fn)(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity);

typedef struct swg__loader_opts {
    int workers;                /* 0: the consumer fetches itself, straight to where the batch is wanted */
    int prefetch;               /* slots per worker */
    int64_t batch_bytes;        /* of the largest batch */
    swg__fetch_fn fetch;
    void *arg;
} swg__loader_opts;

typedef struct swg__loader swg__loader;

/* Allocates the ring, every page of it, and starts the threads. SWG_ENOMEM also where a thread cannot be started. */
swg_status swg__loader_open(swg_context *ctx, const swg__loader_opts *opts, swg__loader **out);
void swg__loader_close(swg__loader *loader);                    /* NULL is allowed */

/* Tickets first..end-1 from now on. What is left of earlier ones is dropped: no worker is at work on them when this begins. */
void swg__loader_begin(swg__loader *loader, int64_t first, int64_t end);
/* No more tickets; returns when no worker is at work, so that what fetch reads may change. */
void swg__loader_stop(swg__loader *loader);
/* The next ticket's batch, `bytes` of it, into out. The fetch's failure, or SWG_EINVAL when there is no ticket left. */
swg_status swg__loader_next(swg__loader *loader, void *out, int64_t bytes);
/* The same without a copy, for loaders with workers: *batch is the slot itself until swg__loader_drop gives it back. */
swg_status swg__loader_borrow(swg__loader *loader, void **batch);
void swg__loader_drop(swg__loader *loader);

int64_t swg__loader_bytes(int workers, int prefetch, int64_t batch_bytes);  /* of the ring */

#endif
