/* pool.c - the thread pool: workers take the tasks of their own share, then of others', spin briefly, then sleep on a futex.
 * In: a function and a number of tasks. Out: nothing; results must not depend on who ran what.
 * SPDX-License-Identifier: Apache-2.0 */
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "context.h"

/* Neighbouring tasks of one worker: the same job done again finds its memory in the same core's caches. */
typedef struct share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} share;

/* A job is announced by raising `generation`, and its door is opened. Workers that come while it is open go in, count themselves, and draw
 * task numbers from the shares, as the caller does. When nothing is left the caller shuts the door and waits for those inside only: a worker
 * that is still asleep, or that the system gave no processor, is not waited for. With the door shut and nobody inside the job's fields
 * may be overwritten. */
struct swg__pool {
    pthread_t *handles;
    struct worker *workers;
    int count;                              /* workers, the caller not counted */
    _Alignas(64) atomic_uint generation;    /* futex: a new job, or stop */
    atomic_bool stop;
    atomic_uint hold;                       /* goes up with every change; odd: held */
    atomic_int sleepers;
    swg__task_fn fn;
    void *arg;
    share *shares;                          /* of the caller and every worker */
    _Alignas(64) atomic_uint door;          /* futex: OPEN, and how many workers are inside */
};

struct worker {
    swg__pool *pool;
    int index;
};

/* Spinning pays below a fork-join of about a microsecond and must not burn a shared machine: bounded by the clock. */
static const unsigned OPEN = 1u << 31; /* of door */
enum { SPIN_NS = 20000, HOLD_NS = 1000000, SPIN_CHECK = 64 };

static _Thread_local bool inside_pool;

static void futex_wait(atomic_uint *word, unsigned expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work(swg__pool *pool, int worker) {
    for (int i = 0, whose = worker; i <= pool->count; i++, whose = whose == pool->count ? 0 : whose + 1) {
        share *s = &pool->shares[whose];
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) { /* a look does not take the line from its owner */
            int64_t t = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (t < s->end)
                pool->fn(pool->arg, t, worker);
        }
    }
}

/* Waits until *word differs from `seen`: by spinning first, then asleep. A worker that is told to hold while it sleeps spins again. */
static void wait_change(swg__pool *pool, atomic_uint *word, unsigned seen, bool worker) {
    for (;;) {
        int64_t start = swg__now_ns();
        unsigned hold;
        do {
            for (int i = 0; i < SPIN_CHECK; i++) {
                if (atomic_load_explicit(word, memory_order_acquire) != seen)
                    return;
                relax();
            }
            hold = atomic_load_explicit(&pool->hold, memory_order_relaxed);
        } while (swg__now_ns() - start < (worker && hold & 1 ? HOLD_NS : SPIN_NS));
        if (worker)
            atomic_fetch_add(&pool->sleepers, 1);
        bool held_anew = false;
        while (atomic_load(word) == seen && !held_anew) {
            futex_wait(word, seen);
            unsigned now = atomic_load(&pool->hold);
            held_anew = worker && now & 1 && now != hold;
        }
        if (worker)
            atomic_fetch_sub(&pool->sleepers, 1);
        if (atomic_load(word) != seen)
            return;
    }
}

static void *worker_main(void *arg) {
    struct worker *self = arg;
    swg__pool *pool = self->pool;
    inside_pool = true;
    for (unsigned seen = 0;;) {
        wait_change(pool, &pool->generation, seen, true);
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load(&pool->stop))
            return NULL;
        unsigned door = atomic_load(&pool->door);
        while (door & OPEN && !atomic_compare_exchange_weak(&pool->door, &door, door + 1))
            ;
        if (!(door & OPEN))
            continue;
        work(pool, self->index);
        if (atomic_fetch_sub(&pool->door, 1) == 1) /* shut, and nobody inside */
            futex_wake_all(&pool->door);
    }
}

swg_status swg__pool_open(swg_context *ctx, int threads, swg__pool **out) {
    swg__pool *pool = swg__calloc(ctx, 1, sizeof *pool);
    if (!pool)
        return SWG_ENOMEM;
    pool->handles = swg__calloc(ctx, (size_t)threads, sizeof *pool->handles);
    pool->workers = swg__calloc(ctx, (size_t)threads, sizeof *pool->workers);
    pool->shares = swg__calloc(ctx, (size_t)threads, sizeof *pool->shares);
    bool ok = pool->handles && pool->workers && pool->shares;
    for (int i = 0; ok && i < threads - 1; i++) {
        pool->workers[i] = (struct worker){pool, i + 1};
        ok = pthread_create(&pool->handles[i], NULL, worker_main, &pool->workers[i]) == 0;
        if (ok)
            pool->count++;
    }
    if (!ok) {
        swg__pool_close(ctx, pool);
        return SWG_ENOMEM;
    }
    *out = pool;
    return SWG_OK;
}

void swg__pool_close(swg_context *ctx, swg__pool *pool) {
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->generation, 1);
    futex_wake_all(&pool->generation);
    for (int i = 0; i < pool->count; i++)
        pthread_join(pool->handles[i], NULL);
    swg__free(ctx, pool->shares);
    swg__free(ctx, pool->workers);
    swg__free(ctx, pool->handles);
    swg__free(ctx, pool);
}

void swg__parallel(swg_context *ctx, int64_t tasks, swg__task_fn fn, void *arg) {
    swg__pool *pool = ctx->pool;
    if (!pool || tasks < 2 || inside_pool) {
        for (int64_t t = 0; t < tasks; t++)
            fn(arg, t, 0);
        return;
    }
    pool->fn = fn;
    pool->arg = arg;
    const int64_t each = tasks / (pool->count + 1), more = tasks % (pool->count + 1);
    for (int64_t i = 0, begin = 0; i <= pool->count; i++) {
        atomic_store_explicit(&pool->shares[i].next, begin, memory_order_relaxed);
        pool->shares[i].end = begin += each + (i < more);
    }
    atomic_store(&pool->door, OPEN);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers))
        futex_wake_all(&pool->generation);
    inside_pool = true;
    work(pool, 0);
    inside_pool = false;
    for (unsigned left = atomic_fetch_and(&pool->door, ~OPEN) & ~OPEN; left; left = atomic_load_explicit(&pool->door, memory_order_acquire))
        wait_change(pool, &pool->door, left, false);
}

void swg__pool_hold(swg_context *ctx, bool held) {
    swg__pool *pool = ctx->pool;
    if (!pool || inside_pool)
        return;
    if ((atomic_load(&pool->hold) & 1) == held)
        return;
    atomic_fetch_add(&pool->hold, 1);
    if (held && atomic_load(&pool->sleepers))
        futex_wake_all(&pool->generation); /* they are awake by the time there is work */
}
