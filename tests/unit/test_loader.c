/* test_loader.c - proves: batches come in the order of their tickets whatever the number of workers and their speed; at most a ring of
 * them is read ahead; a failure is met at its own ticket; what was left of an epoch is dropped before what it reads may change; nothing
 * leaks when memory runs out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"
#include <stdatomic.h>
#include <unistd.h>
#include "data/loader.h"

enum { NUMBERS = 100, BYTES = NUMBERS * 4 };

typedef struct source {
    int64_t base;               /* changed by the test between epochs */
    int64_t broken;             /* ticket that fails; -1: none */
    int64_t slots;              /* of the ring; 0: not looked at */
    bool uneven;                /* some tickets take longer */
    _Atomic int64_t taken;      /* tickets the consumer has had */
    atomic_int most_ahead, workers_seen, calls;
} source;

static swg_status fill(void *arg, int64_t ticket, int worker, void *out, char *message, size_t capacity) {
    source *s = arg;
    int ahead = (int)(ticket - atomic_load(&s->taken)), most = atomic_load(&s->most_ahead);
    while (ahead > most && !atomic_compare_exchange_weak(&s->most_ahead, &most, ahead))
        continue;
    atomic_fetch_or(&s->workers_seen, 1 << worker);
    atomic_fetch_add(&s->calls, 1);
    if (s->uneven && ticket % 3 == 0)
        usleep(500);
    if (ticket == s->broken) {
        snprintf(message, capacity, "file a%lld: strip 3: unexpected end", (long long)ticket);
        return SWG_ECORRUPT;
    }
    for (int32_t i = 0; i < NUMBERS; i++)
        ((int32_t *)out)[i] = (int32_t)(s->base + ticket * NUMBERS) + i;
    return SWG_OK;
}

static void expect(swg_context *ctx, swg__loader *loader, source *s, int64_t ticket) {
    int32_t got[NUMBERS];
    assert_ok(ctx, swg__loader_next(loader, got, BYTES));
    for (int32_t i = 0; i < NUMBERS; i++)
        assert_int_equal(got[i], s->base + ticket * NUMBERS + i);
    atomic_store(&s->taken, ticket + 1);
}

static void in_order(void **state) {
    swg_context *ctx = *state;
    for (int workers = 0; workers <= 5; workers++)
        for (int prefetch = 1; prefetch <= 3; prefetch++) {
            source s = {.broken = -1, .uneven = true};
            swg__loader *loader;
            assert_ok(ctx, swg__loader_open(ctx, &(swg__loader_opts){.workers = workers, .prefetch = prefetch, .batch_bytes = BYTES, .fetch = fill, .arg = &s}, &loader));
            assert_int_equal(swg__loader_bytes(workers, prefetch, BYTES), workers * prefetch * 448); /* 400 bytes, in lines of 64 */
            uint64_t allocations = swg_context_allocations(ctx);
            for (int epoch = 0; epoch < 4; epoch++) {
                swg__loader_stop(loader);
                s.base = 1000000 * epoch; /* nobody may be reading it */
                int64_t first = epoch == 2 ? 7 : 0, end = epoch == 3 ? 0 : 20, until = epoch == 1 ? 5 : end; /* the second is left early */
                atomic_store(&s.taken, first);
                swg__loader_begin(loader, first, end);
                for (int64_t k = first; k < until; k++)
                    expect(ctx, loader, &s, k);
            }
            int32_t none[NUMBERS];
            assert_int_equal(swg__loader_next(loader, none, BYTES), SWG_EINVAL);
            assert_int_equal(swg_context_allocations(ctx), allocations);
            /* One more than the ring: what the consumer has copied is free before it says so. */
            assert_true(atomic_load(&s.most_ahead) <= workers * prefetch + 1);
            assert_true(atomic_load(&s.workers_seen) < 1 << (workers ? workers : 1));
            swg__loader_close(loader);
        }
}

/* A slow consumer finds the ring full, and no more than it. */
static void reads_ahead(void **state) {
    swg_context *ctx = *state;
    source s = {.broken = -1};
    swg__loader *loader;
    assert_ok(ctx, swg__loader_open(ctx, &(swg__loader_opts){.workers = 2, .prefetch = 3, .batch_bytes = BYTES, .fetch = fill, .arg = &s}, &loader));
    swg__loader_begin(loader, 0, 100);
    for (int i = 0; i < 2000 && atomic_load(&s.calls) < 6; i++)
        usleep(1000);
    usleep(20000);
    assert_int_equal(atomic_load(&s.calls), 6);
    expect(ctx, loader, &s, 0);
    for (int i = 0; i < 2000 && atomic_load(&s.calls) < 7; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&s.calls), 7);
    swg__loader_close(loader); /* with batches nobody took */
}

static void failures_are_met_at_their_ticket(void **state) {
    swg_context *ctx = *state;
    for (int workers = 0; workers <= 4; workers += 2) {
        source s = {.broken = 5};
        swg__loader *loader;
        int32_t got[NUMBERS];
        assert_ok(ctx, swg__loader_open(ctx, &(swg__loader_opts){.workers = workers, .prefetch = 4, .batch_bytes = BYTES, .fetch = fill, .arg = &s}, &loader));
        swg__loader_begin(loader, 0, 9);
        for (int64_t k = 0; k < 9; k++) {
            if (k != 5) {
                expect(ctx, loader, &s, k);
                continue;
            }
            assert_int_equal(swg__loader_next(loader, got, BYTES), SWG_ECORRUPT);
            assert_string_equal(swg_context_message(ctx), "file a5: strip 3: unexpected end");
        }
        swg__loader_begin(loader, 0, 9);
        assert_int_equal(swg__loader_next(loader, got, BYTES + 64), SWG_EINVAL); /* larger than a slot */
        swg__loader_close(loader);
    }
    swg__loader_close(NULL);
}

static void out_of_memory(void **state) {
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        testing_allocator allocator = {.fail_at = n};
        swg_context *own;
        swg__loader *loader;
        source s = {.broken = -1};
        if (swg_context_open(&(swg_context_opts){.threads = 1, .allocator = {testing_alloc, testing_release, &allocator}}, &own) == SWG_OK) {
            swg_status status = swg__loader_open(own, &(swg__loader_opts){.workers = 2, .prefetch = 2, .batch_bytes = BYTES, .fetch = fill, .arg = &s}, &loader);
            done = allocator.calls <= n;
            assert_int_equal(status, done ? SWG_OK : SWG_ENOMEM);
            if (status == SWG_OK) {
                swg__loader_begin(loader, 0, 3);
                for (int64_t k = 0; k < 3; k++)
                    expect(own, loader, &s, k);
            }
            swg__loader_close(loader);
            assert_int_equal(swg_context_bytes(own), 0);
            swg_context_close(own);
        }
        assert_int_equal(allocator.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(reads_ahead, testing_open, testing_close),
        cmocka_unit_test_setup_teardown(failures_are_met_at_their_ticket, testing_open, testing_close),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
