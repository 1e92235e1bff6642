/* testing.h - what every unit test includes: cmocka, a context per test, an allocator that fails the n-th call.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TESTING_H
#define SWAGE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base.h"

/* Builds that run ten times slower do less of what has many cases. */
#if defined(SWG_SANITISED) || !defined(__OPTIMIZE__)
enum { TESTING_SLOW = 1 };
#else
enum { TESTING_SLOW = 0 };
#endif

/* Under ThreadSanitizer what one thread does alone is seen by nobody else: some of it is enough, the other builds do the rest. */
#if defined(__SANITIZE_THREAD__)
enum { TESTING_RACES = 1 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { TESTING_RACES = 1 };
#else
enum { TESTING_RACES = 0 };
#endif
#else
enum { TESTING_RACES = 0 };
#endif

/* Fixture: *state is an open context; on closing nothing may be left allocated. */
static inline int testing_open(void **state) {
    return swg_context_open(NULL, (swg_context **)state) == SWG_OK ? 0 : -1;
}

static inline int testing_close(void **state) {
    swg_context *ctx = *state;
    uint64_t left = swg_context_bytes(ctx);
    swg_context_close(ctx);
    if (left)
        fprintf(stderr, "%llu bytes were not released\n", (unsigned long long)left);
    return left ? -1 : 0;
}

/* Succeeds or fails with the context's message printed. */
#define assert_ok(ctx, expr)                                                                     \
    do {                                                                                         \
        swg_status testing_status = (expr);                                                      \
        if (testing_status != SWG_OK)                                                            \
            fail_msg("%s gave %s: %s", #expr, swg_status_name(testing_status), swg_context_message(ctx)); \
    } while (0)

/* Fails with both values and the expression unless |a - b| <= abs_tol + rel_tol * |b|. */
#define assert_close(a, b, abs_tol, rel_tol)                                                              \
    do {                                                                                                  \
        double testing_a = (a), testing_b = (b);                                                          \
        double testing_gap = testing_a > testing_b ? testing_a - testing_b : testing_b - testing_a;       \
        double testing_size = testing_b < 0 ? -testing_b : testing_b;                                     \
        if (!(testing_gap <= (abs_tol) + (rel_tol)*testing_size))                                         \
            fail_msg("%s = %.17g, expected %s = %.17g (gap %.3g)", #a, testing_a, #b, testing_b, testing_gap); \
    } while (0)

/* Allocator that fails call number `fail_at` (from 0; -1 never) and fills fresh memory with garbage. */
typedef struct testing_allocator {
    int64_t calls, fail_at, live;
} testing_allocator;

static inline void *testing_alloc(void *user, size_t align, size_t bytes) {
    testing_allocator *t = user;
    void *ptr = NULL;
    if (t->calls++ == t->fail_at || posix_memalign(&ptr, align, bytes) != 0)
        return NULL;
    t->live++;
    return memset(ptr, 0xA5, bytes);
}

static inline void testing_release(void *user, void *ptr) {
    testing_allocator *t = user;
    t->live--;
    free(ptr);
}

#endif
