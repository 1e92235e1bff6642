/* loader.c - a ring of batch slots, workers that fill it by ticket, one consumer.
 * In: a function that fetches one batch. Out: batches in the order of their tickets.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/loader.h"
#include <pthread.h>
#include <string.h>

typedef struct slot {
    char *data;
    int64_t ready;              /* ticket it holds; -1: none */
    swg_status status;
    char message[512];
} slot;

struct swg__loader {
    swg_context *ctx;
    swg__loader_opts opts;
    slot *slots;
    int64_t slot_count, slot_bytes;
    char *ring;
    pthread_t *threads;
    int thread_count;
    pthread_mutex_t lock;       /* of all below and of the slots' ready */
    pthread_cond_t work, done;  /* there may be a ticket to take; a worker has left one */
    int64_t next, end;          /* ticket to be taken by a worker; one past the last */
    int64_t wanted;             /* ticket the consumer takes next; slots of earlier ones are free */
    int busy, started;
    bool quit;
};

static int64_t slots_of(int workers, int prefetch) { return workers > 0 ? (int64_t)workers * (prefetch > 1 ? prefetch : 1) : 0; }
static int64_t slot_bytes_of(int64_t batch_bytes) { return (batch_bytes + 63) / 64 * 64; }

int64_t swg__loader_bytes(int workers, int prefetch, int64_t batch_bytes) { return slots_of(workers, prefetch) * slot_bytes_of(batch_bytes); }

static void fetch(const swg__loader *l, int64_t ticket, int worker, slot *s) {
    s->message[0] = 0;
    s->status = l->opts.fetch(l->opts.arg, ticket, worker, s->data, s->message, sizeof s->message);
}

static void *worker_main(void *arg) {
    swg__loader *l = arg;
    pthread_mutex_lock(&l->lock);
    int worker = l->started++;
    for (;;) {
        while (!l->quit && !(l->next < l->end && l->next < l->wanted + l->slot_count))
            pthread_cond_wait(&l->work, &l->lock);
        if (l->quit)
            break;
        int64_t ticket = l->next++;
        slot *s = &l->slots[ticket % l->slot_count];
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        fetch(l, ticket, worker, s);
        pthread_mutex_lock(&l->lock);
        s->ready = ticket;
        l->busy--;
        pthread_cond_signal(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static swg_status open_ring(swg__loader *l) {
    size_t bytes = (size_t)(l->slot_count * l->slot_bytes);
    l->slots = swg__calloc(l->ctx, (size_t)l->slot_count + 1, sizeof *l->slots);
    l->ring = swg__alloc(l->ctx, bytes);
    l->threads = swg__calloc(l->ctx, (size_t)l->opts.workers + 1, sizeof *l->threads);
    if (!l->slots || !l->ring || !l->threads)
        return swg__fail_memory(l->ctx, bytes, "the batches read ahead");
    memset(l->ring, 0, bytes); /* touched now: what was planned is what is used */
    for (int64_t i = 0; i < l->slot_count; i++)
        l->slots[i] = (slot){.data = l->ring + i * l->slot_bytes, .ready = -1};
    for (; l->thread_count < l->opts.workers; l->thread_count++)
        if (pthread_create(&l->threads[l->thread_count], NULL, worker_main, l) != 0)
            return swg__fail(l->ctx, SWG_ENOMEM, "the system gives no thread for worker %d of the loader", l->thread_count);
    return SWG_OK;
}

swg_status swg__loader_open(swg_context *ctx, const swg__loader_opts *opts, swg__loader **out) {
    *out = NULL;
    swg__loader *l = swg__calloc(ctx, 1, sizeof *l);
    if (!l)
        return swg__fail_memory(ctx, sizeof *l, "a loader");
    l->ctx = ctx;
    l->opts = *opts;
    l->slot_count = slots_of(opts->workers, opts->prefetch);
    l->slot_bytes = slot_bytes_of(opts->batch_bytes);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    swg_status status = open_ring(l);
    if (status != SWG_OK) {
        swg__loader_close(l);
        return status;
    }
    *out = l;
    return SWG_OK;
}

void swg__loader_close(swg__loader *l) {
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->thread_count; i++)
        pthread_join(l->threads[i], NULL);
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    swg__free(l->ctx, l->threads);
    swg__free(l->ctx, l->ring);
    swg__free(l->ctx, l->slots);
    swg__free(l->ctx, l);
}

void swg__loader_stop(swg__loader *l) {
    pthread_mutex_lock(&l->lock);
    l->end = l->next;
    while (l->busy)
        pthread_cond_wait(&l->done, &l->lock);
    for (int64_t i = 0; i < l->slot_count; i++)
        l->slots[i].ready = -1;
    l->wanted = l->next;
    pthread_mutex_unlock(&l->lock);
}

void swg__loader_begin(swg__loader *l, int64_t first, int64_t end) {
    swg__loader_stop(l);
    pthread_mutex_lock(&l->lock);
    l->next = l->wanted = first;
    l->end = end;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
}

/* Without workers: no lock is needed, and no copy. */
static swg_status fetch_here(swg__loader *l, void *out) {
    slot here = {.data = out};
    fetch(l, l->wanted++, 0, &here);
    l->next = l->wanted;
    return here.status == SWG_OK ? SWG_OK : swg__fail(l->ctx, here.status, "%s", here.message);
}

swg_status swg__loader_borrow(swg__loader *l, void **batch) {
    *batch = NULL;
    pthread_mutex_lock(&l->lock);
    bool left = l->wanted < l->end && l->slot_count;
    slot *s = left ? &l->slots[l->wanted % l->slot_count] : NULL;
    while (left && s->ready != l->wanted)
        pthread_cond_wait(&l->done, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (!left)
        return swg__fail(l->ctx, SWG_EINVAL, "the loader has no batch left, or one larger than it was opened for is asked of it");
    *batch = s->data;
    return s->status == SWG_OK ? SWG_OK : swg__fail(l->ctx, s->status, "%s", s->message);
}

void swg__loader_drop(swg__loader *l) {
    pthread_mutex_lock(&l->lock);
    l->slots[l->wanted % l->slot_count].ready = -1;
    l->wanted++;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

swg_status swg__loader_next(swg__loader *l, void *out, int64_t bytes) {
    if (!l->slot_count && l->wanted < l->end && bytes <= l->slot_bytes)
        return fetch_here(l, out);
    void *batch;
    if (bytes > l->slot_bytes)
        return swg__fail(l->ctx, SWG_EINVAL, "the loader has no batch left, or one larger than it was opened for is asked of it");
    swg_status status = swg__loader_borrow(l, &batch);
    if (status == SWG_OK)
        memcpy(out, batch, (size_t)bytes);
    if (batch)
        swg__loader_drop(l);
    return status;
}
