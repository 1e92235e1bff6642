/* base.h - what every part of the library leans on: failure messages, memory, text, files, checksums.
 * Internal. Knows nothing of graphs, kernels or data.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BASE_H
#define SWAGE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "swage/context.h"

#if defined(__GNUC__)
#define SWG__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SWG__PRINTF(fmt, args)
#endif

#define SWG__TRY(expr)                                 \
    do {                                               \
        swg_status swg__try_status = (expr);           \
        if (swg__try_status != SWG_OK)                 \
            return swg__try_status;                    \
    } while (0)

/* ---- failure ---- */

/* Records the message in the context and returns `status`. Safe from several threads; ctx may be NULL. */
swg_status swg__fail(swg_context *ctx, swg_status status, const char *format, ...) SWG__PRINTF(3, 4);
/* The last message that this thread recorded, in whatever context: for work side by side, whose failures share one. */
const char *swg__own_message(void);
/* The standard message for a failed allocation of `bytes` bytes for `what`. Returns SWG_ENOMEM. */
swg_status swg__fail_memory(swg_context *ctx, size_t bytes, const char *what);
void swg__log(swg_context *ctx, swg_log_level level, const char *format, ...) SWG__PRINTF(3, 4);

/* ---- memory: always 64-byte aligned, counted, from the context's allocator ---- */

void *swg__alloc(swg_context *ctx, size_t bytes);                     /* NULL when out of memory; 0 bytes gives a valid pointer */
void *swg__calloc(swg_context *ctx, size_t count, size_t size);       /* zeroed; NULL on overflow too */
void *swg__grow(swg_context *ctx, void *old, size_t bytes);           /* like realloc; `old` stays valid when NULL is returned */
char *swg__strdup(swg_context *ctx, const char *text);
void swg__free(swg_context *ctx, void *ptr);                          /* NULL is allowed */

bool swg__mul_overflow(int64_t a, int64_t b, int64_t *product);       /* true if a * b does not fit (or is negative) */

/* Arena: bump allocation, everything freed at once. */
typedef struct swg__arena {
    swg_context *ctx;
    struct swg__arena_block *head;
} swg__arena;
void swg__arena_init(swg__arena *arena, swg_context *ctx);
void *swg__arena_alloc(swg__arena *arena, size_t bytes);              /* zeroed, 16-byte aligned; NULL when out of memory */
char *swg__arena_strdup(swg__arena *arena, const char *text);
void swg__arena_free(swg__arena *arena);

/* ---- text: a growing, always terminated string. After an allocation failure `failed` is set and appends do nothing. ---- */

typedef struct swg__text {
    swg_context *ctx;
    char *data;    /* NULL until the first append */
    size_t length;
    size_t capacity;
    bool failed;
} swg__text;
void swg__text_init(swg__text *text, swg_context *ctx);
void swg__text_add(swg__text *text, const char *bytes, size_t length);
void swg__text_puts(swg__text *text, const char *string);
void swg__text_printf(swg__text *text, const char *format, ...) SWG__PRINTF(2, 3);
void swg__text_csv(swg__text *text, const char *field);     /* quoted where RFC 4180 wants it */
void swg__text_free(swg__text *text);

/* Smallest Damerau-Levenshtein distance wins; NULL if none is within max(2, length / 3). For "did you mean". */
const char *swg__nearest(const char *word, const char *const *candidates, size_t count);

/* "; did you mean X?" for the nearest, "" if there is none: to be hung on a message. Valid as long as `out`. */
const char *swg__did_you_mean(const char *word, const char *const *candidates, size_t count, char *out, size_t capacity);

/* Shell-style match with * and ?. */
bool swg__glob(const char *pattern, const char *text);

/* Code point at *text, which moves on; -1 if what stands there is not strict UTF-8 (*text stays), or at the end. */
int32_t swg__utf8_next(const char **text, const char *end);
bool swg__utf8_valid(const char *text, size_t bytes);

/* ---- files ---- */

/* Whole file into fresh memory (one zero byte behind it). Free with swg__free. */
swg_status swg__file_read(swg_context *ctx, const char *path, uint8_t **data, size_t *bytes);

/* Atomic writer: bytes go to a temporary file beside `path`; commit does fsync, rename, fsync of the folder.
 * Abort (or a failed commit) removes the temporary file; nothing half-written ever has the final name. */
typedef struct swg__writer {
    swg_context *ctx;
    int fd;
    char *path, *temporary;
    uint64_t offset;          /* bytes written so far */
    uint8_t *buffer;
    size_t used;
} swg__writer;
swg_status swg__writer_open(swg__writer *writer, swg_context *ctx, const char *path);
/* The same with the temporary name "PATH.part", for results that a user watches grow. SWG_EIO: somebody else is writing it. */
swg_status swg__writer_open_part(swg__writer *writer, swg_context *ctx, const char *path);
swg_status swg__writer_write(swg__writer *writer, const void *data, size_t bytes);
swg_status swg__writer_commit(swg__writer *writer);
void swg__writer_abort(swg__writer *writer);                          /* harmless after commit */
swg_status swg__file_write(swg_context *ctx, const char *path, const void *data, size_t bytes);
/* Gives a complete file its final name, for good: rename and fsync of the folder. Both names in one folder. */
swg_status swg__file_rename(swg_context *ctx, const char *from, const char *to);

/* A name as part of a file's: whatever it holds, the file stays in its folder, is not hidden and has no control characters. capacity >= 2. */
void swg__file_name(const char *name, char *out, size_t capacity);
bool swg__is_folder(const char *path);
bool swg__exists(const char *path);
swg_status swg__make_folders(swg_context *ctx, const char *path);     /* like mkdir -p */
/* Names (not paths) in a folder, sorted by bytes, without "." and "..". Free with swg__list_free. */
swg_status swg__list_folder(swg_context *ctx, const char *path, char ***names, size_t *count);
void swg__list_free(swg_context *ctx, char **names, size_t count);

/* ---- numbers ---- */

/* Turns the byte order of `count` numbers of 1, 2, 4 or 8 bytes, aligned to their size. */
void swg__swap_bytes(void *numbers, int64_t count, int bytes);

/* ---- checksums ---- */

uint32_t swg__crc32c(uint32_t crc, const void *data, size_t bytes);   /* start with 0; "123456789" gives e3069283 */
void swg__sha256(const void *data, size_t bytes, uint8_t digest[32]);
uint32_t swg__fnv1a(const char *text);

/* ---- time ---- */
int64_t swg__now_ns(void);                                            /* monotonic */

/* ---- threads: fn(arg, task, worker) for task in 0..tasks-1; the caller works too; nested calls run inline.
 * worker is in 0..swg_context_threads()-1. Which worker gets which task is not defined: results must not depend on it. ---- */
typedef void (*swg__task_fn)(void *arg, int64_t task, int worker);
void swg__parallel(swg_context *ctx, int64_t tasks, swg__task_fn fn, void *arg);
/* Held, the workers stay awake between calls: they wait up to a millisecond before they sleep. For many short calls in a row. */
void swg__pool_hold(swg_context *ctx, bool held);

/* ---- available.c ---- */

/* Bytes the system and this process's control groups would still give; 0: unknown. */
int64_t swg__available_bytes(void);
/* `bytes`, or less where a group named in `list` (/proc/self/cgroup), or one around it, leaves less; groups are mounted at `mounts`. */
int64_t swg__group_room(const char *list, const char *mounts, int64_t bytes);

#endif
