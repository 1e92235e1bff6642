/* context.c - opening and closing a context, failure messages, counted memory, arenas.
 * SPDX-License-Identifier: Apache-2.0 */
#include "context.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SWG_VERSION
#error "SWG_VERSION comes from the build"
#endif

const char *swg_version(void) { return SWG_VERSION; }

/* ---- status ---- */

static const struct { const char *name, *text; } status_table[] = {
#define X(code, name, text) [code] = {"SWG_" #name, text},
    SWG_STATUS_TABLE(X)
#undef X
};

static bool status_known(swg_status status) {
    return (size_t)status < sizeof status_table / sizeof status_table[0];
}

const char *swg_status_name(swg_status status) { return status_known(status) ? status_table[status].name : "SWG_?"; }
const char *swg_status_text(swg_status status) { return status_known(status) ? status_table[status].text : "unknown status"; }

static _Thread_local char own_message[sizeof ((swg_context *)0)->message];

swg_status swg__fail(swg_context *ctx, swg_status status, const char *format, ...) {
    if (ctx) {
        char text[sizeof own_message]; /* what is said may hold what was said before */
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        const size_t bytes = strlen(text) + 1;
        memcpy(own_message, text, bytes);
        pthread_mutex_lock(&ctx->message_lock);
        memcpy(ctx->message, text, bytes);
        pthread_mutex_unlock(&ctx->message_lock);
    }
    return status;
}

const char *swg__own_message(void) { return own_message; }

swg_status swg__fail_memory(swg_context *ctx, size_t bytes, const char *what) {
    return swg__fail(ctx, SWG_ENOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

void swg__log(swg_context *ctx, swg_log_level level, const char *format, ...) {
    if (!ctx || !ctx->log)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctx->log(ctx->log_user, level, text);
}

/* ---- memory: a 64-byte header before each block keeps its size, so release can be counted ---- */

enum { ALIGNMENT = 64, HEADER = 64 };

static void *libc_alloc(void *user, size_t align, size_t bytes) {
    (void)user;
    void *ptr = NULL;
    return posix_memalign(&ptr, align, bytes) == 0 ? ptr : NULL;
}

static void libc_release(void *user, void *ptr) {
    (void)user;
    free(ptr);
}

void *swg__alloc(swg_context *ctx, size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return NULL;
    char *block = ctx->allocator.alloc(ctx->allocator.user, ALIGNMENT, bytes + HEADER);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    atomic_fetch_add_explicit(&ctx->allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&ctx->bytes, bytes, memory_order_relaxed);
    return block + HEADER;
}

void *swg__calloc(swg_context *ctx, size_t count, size_t size) {
    if (size && count > SIZE_MAX / 2 / size)
        return NULL;
    void *ptr = swg__alloc(ctx, count * size);
    return ptr ? memset(ptr, 0, count * size) : NULL;
}

static size_t block_bytes(const void *ptr) {
    size_t bytes;
    memcpy(&bytes, (const char *)ptr - HEADER, sizeof bytes);
    return bytes;
}

void *swg__grow(swg_context *ctx, void *old, size_t bytes) {
    void *fresh = swg__alloc(ctx, bytes);
    if (fresh && old) {
        size_t had = block_bytes(old);
        memcpy(fresh, old, had < bytes ? had : bytes);
        swg__free(ctx, old);
    }
    return fresh;
}

char *swg__strdup(swg_context *ctx, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = swg__alloc(ctx, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void swg__free(swg_context *ctx, void *ptr) {
    if (!ptr)
        return;
    atomic_fetch_sub_explicit(&ctx->bytes, block_bytes(ptr), memory_order_relaxed);
    ctx->allocator.release(ctx->allocator.user, (char *)ptr - HEADER);
}

bool swg__mul_overflow(int64_t a, int64_t b, int64_t *product) {
    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, product);
}

struct swg__arena_block {
    struct swg__arena_block *next;
    size_t used, capacity;
};

enum { ARENA_BLOCK = 32 << 10 };

void swg__arena_init(swg__arena *arena, swg_context *ctx) { *arena = (swg__arena){.ctx = ctx}; }

void *swg__arena_alloc(swg__arena *arena, size_t bytes) {
    size_t need = (bytes + 15) & ~(size_t)15, start = (sizeof(struct swg__arena_block) + 15) & ~(size_t)15;
    struct swg__arena_block *block = arena->head;
    if (!block || block->capacity - block->used < need) {
        size_t capacity = start + (need > ARENA_BLOCK ? need : ARENA_BLOCK);
        block = swg__alloc(arena->ctx, capacity);
        if (!block)
            return NULL;
        *block = (struct swg__arena_block){.next = arena->head, .used = start, .capacity = capacity};
        arena->head = block;
    }
    void *ptr = (char *)block + block->used;
    block->used += need;
    return memset(ptr, 0, need);
}

char *swg__arena_strdup(swg__arena *arena, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = swg__arena_alloc(arena, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void swg__arena_free(swg__arena *arena) {
    for (struct swg__arena_block *block = arena->head, *next; block; block = next) {
        next = block->next;
        swg__free(arena->ctx, block);
    }
    arena->head = NULL;
}

/* ---- resident set, from /proc/self/status (kB) ---- */

static int64_t status_field_bytes(const char *field) {
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return -1;
    char line[256];
    long long kilobytes = -1;
    size_t length = strlen(field);
    while (kilobytes < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, field, length) == 0 && sscanf(line + length, " %lld", &kilobytes) != 1)
            kilobytes = -1;
    fclose(file);
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

int64_t swg_context_peak_rss_growth(const swg_context *ctx) {
    int64_t peak = status_field_bytes("VmHWM:");
    return peak < 0 || ctx->rss_base_bytes < 0 ? -1 : peak - ctx->rss_base_bytes;
}

/* Writing 5 to clear_refs sets the system's peak to the present size (Linux 4.0); without it the peak stays and the growth
 * can only be overestimated. */
void swg_context_peak_rss_reset(swg_context *ctx) {
#if defined(__GLIBC__)
    malloc_trim(0); /* what was freed counts as growth when it is used again */
#endif
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
    ctx->rss_base_bytes = status_field_bytes("VmRSS:");
}

/* ---- context ---- */

swg_status swg_context_open(const swg_context_opts *opts, swg_context **out) {
    static const swg_context_opts none = {0};
    if (!out)
        return SWG_EINVAL;
    *out = NULL;
    if (!opts)
        opts = &none;
    swg_allocator allocator = opts->allocator;
    if (!allocator.alloc)
        allocator = (swg_allocator){.alloc = libc_alloc, .release = libc_release};
    swg__isa isa = swg__isa_best();
    if (opts->isa) {
        int wanted = swg__isa_find(opts->isa);
        if (wanted < 0 || wanted > (int)isa)
            return SWG_EINVAL;
        isa = (swg__isa)wanted;
    }
    swg_context *ctx = allocator.alloc(allocator.user, ALIGNMENT, (sizeof *ctx + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (!ctx)
        return SWG_ENOMEM;
    memset(ctx, 0, sizeof *ctx);
    ctx->allocator = allocator;
    ctx->log = opts->log;
    ctx->log_user = opts->log_user;
    ctx->isa = isa;
    ctx->threads = opts->threads > 0 ? opts->threads : swg__cpu_count();
    pthread_mutex_init(&ctx->message_lock, NULL);
    swg_status status = ctx->threads > 1 ? swg__pool_open(ctx, ctx->threads, &ctx->pool) : SWG_OK;
    ctx->rss_base_bytes = status_field_bytes("VmRSS:");
    if (status != SWG_OK) {
        swg_context_close(ctx);
        return status;
    }
    ctx->bytes = ctx->allocations = 0; /* the pool's own memory is not the caller's to account for */
    *out = ctx;
    return SWG_OK;
}

void swg_context_close(swg_context *ctx) {
    if (!ctx)
        return;
    if (ctx->pool)
        swg__pool_close(ctx, ctx->pool);
    pthread_mutex_destroy(&ctx->message_lock);
    swg_allocator allocator = ctx->allocator;
    allocator.release(allocator.user, ctx);
}

const char *swg_context_message(const swg_context *ctx) { return ctx->message; }
int swg_context_threads(const swg_context *ctx) { return ctx->threads; }
const char *swg_context_isa(const swg_context *ctx) { return swg__isa_name(ctx->isa); }
uint64_t swg_context_allocations(const swg_context *ctx) { return ctx->allocations; }
uint64_t swg_context_bytes(const swg_context *ctx) { return ctx->bytes; }
