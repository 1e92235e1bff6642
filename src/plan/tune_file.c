/* tune_file.c - the file of measured choices: read, checked line by line, merged under a lock, replaced by an atomic rename.
 * In: text, a header and a record per line, each with its own checksum. Out: records. What is damaged is left out with a warning.
 *
 *     swage tuning 1
 *     <crc32c> <key> <panel rows> <shift> <variant> <heuristic ns> <best ns> <label>
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "plan/tune.h"

static const char header[] = "swage tuning 1\n";
enum { LINE = 320, LOCK_TRIES = 400, LOCK_PAUSE_NS = 5000000 };

/* ---- the set ---- */

static int64_t find(const swg_tuning *t, const swg__tune_key *key) {
    for (int64_t i = 0; i < t->count; i++)
        if (memcmp(&t->records[i].key, key, sizeof *key) == 0)
            return i;
    return -1;
}

const swg__tune_record *swg__tuning_find(const swg_tuning *t, const swg__tune_key *key) {
    int64_t i = find(t, key);
    return i < 0 ? NULL : &t->records[i];
}

swg_status swg__tuning_put(swg_tuning *t, const swg__tune_record *record) {
    int64_t at = find(t, &record->key);
    if (at >= 0) {
        t->records[at] = *record;
        return SWG_OK;
    }
    if (t->count == t->capacity) {
        int64_t capacity = t->capacity ? 2 * t->capacity : 64;
        swg__tune_record *records = swg__grow(t->ctx, t->records, (size_t)capacity * sizeof *records);
        if (!records)
            return swg__fail_memory(t->ctx, (size_t)capacity * sizeof *records, "measured choices");
        t->records = records;
        t->capacity = capacity;
    }
    t->records[t->count++] = *record;
    return SWG_OK;
}

int64_t swg_tuning_count(const swg_tuning *t) { return t->count; }
const char *swg_tuning_path(const swg_tuning *t) { return t->path ? t->path : ""; }

/* ---- lines ---- */

static bool take_hex(const char **at, int digits, uint8_t *out) {
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | value : value << 4);
    }
    *at += digits;
    return *(*at)++ == ' ';
}

static bool take_integer(const char **at, int64_t low, int64_t high, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(*at, &end, 10);
    if (end == *at || errno || *end != ' ' || value < low || value > high)
        return false;
    *at = end + 1;
    *out = value;
    return true;
}

/* A line without its newline, ending in a zero byte. */
static bool parse_line(const char *line, size_t length, swg__tune_record *r) {
    uint8_t crc[4];
    int64_t shift, variant, heuristic_ns, best_ns;
    const char *at = line;
    *r = (swg__tune_record){0};
    if (!take_hex(&at, 8, crc))
        return false;
    uint32_t want = (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 | (uint32_t)crc[2] << 8 | crc[3];
    if (swg__crc32c(0, at, length - (size_t)(at - line)) != want || !take_hex(&at, 32, r->key.bytes) ||
        !take_integer(&at, 0, (int64_t)1 << 40, &r->choice.panel_rows) ||
        !take_integer(&at, SWG__TUNE_SHIFT_LEAST, SWG__TUNE_ONE_TASK, &shift) || !take_integer(&at, 0, 255, &variant) ||
        !take_integer(&at, 0, (int64_t)1 << 50, &heuristic_ns) || !take_integer(&at, 0, (int64_t)1 << 50, &best_ns))
        return false;
    r->choice.shift = (int32_t)shift;
    r->choice.variant = (int32_t)variant;
    r->heuristic_ns = (double)heuristic_ns;
    r->best_ns = (double)best_ns;
    size_t label = length - (size_t)(at - line);
    if (label >= sizeof r->label)
        return false;
    for (size_t i = 0; i < label; i++)
        if (at[i] < ' ' || at[i] > '~') /* it goes to terminals */
            return false;
    memcpy(r->label, at, label);
    return true;
}

swg_status swg__tuning_parse(swg_tuning *t, const char *text, size_t bytes, int64_t *damaged) {
    const char *end = text + bytes;
    *damaged = 0;
    if (bytes < sizeof header - 1 || bytes > SWG__TUNE_BYTES || memcmp(text, header, sizeof header - 1) != 0) {
        *damaged = -1;
        return SWG_OK;
    }
    for (const char *at = text + sizeof header - 1, *stop; at < end; at = stop + 1) {
        swg__tune_record record;
        char line[LINE];
        stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = stop ? (size_t)(stop - at) : 0;
        bool whole = stop && length < sizeof line && !memchr(at, 0, length);
        if (whole) {
            memcpy(line, at, length);
            line[length] = 0;
            whole = parse_line(line, length, &record);
        }
        *damaged += !whole;
        if (whole && t->count < SWG__TUNE_RECORDS && find(t, &record.key) < 0)
            SWG__TRY(swg__tuning_put(t, &record));
        if (!stop)
            break;
    }
    return SWG_OK;
}

static void print_line(swg__text *text, const swg__tune_record *r) {
    char line[LINE];
    size_t used = 0;
    for (size_t i = 0; i < sizeof r->key.bytes; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%02x", r->key.bytes[i]);
    used += (size_t)snprintf(line + used, sizeof line - used, " %" PRId64 " %d %d %.0f %.0f %s", r->choice.panel_rows, r->choice.shift,
                             r->choice.variant, r->heuristic_ns, r->best_ns, r->label);
    swg__text_printf(text, "%08x %s\n", swg__crc32c(0, line, used), line);
}

/* ---- the file ---- */

static swg_status read_file(swg_tuning *t) {
    uint8_t *data;
    size_t bytes;
    int64_t damaged, before = t->count;
    if (!t->path || !swg__exists(t->path))
        return SWG_OK;
    swg_status status = swg__file_read(t->ctx, t->path, &data, &bytes);
    if (status == SWG_ENOTFOUND) /* removed a moment ago */
        return SWG_OK;
    if (status != SWG_OK) {
        if (status != SWG_ENOMEM)
            swg__log(t->ctx, SWG_LOG_WARNING, "%s; going on without measured choices", swg_context_message(t->ctx));
        return status == SWG_ENOMEM ? status : SWG_OK;
    }
    status = swg__tuning_parse(t, (const char *)data, bytes, &damaged);
    swg__free(t->ctx, data);
    if (damaged < 0)
        swg__log(t->ctx, SWG_LOG_WARNING, "%s: is not a file of measured choices of this version; a fresh one is begun", t->path);
    else if (damaged > 0)
        swg__log(t->ctx, SWG_LOG_WARNING, "%s: %lld damaged lines are left out, %lld are whole", t->path, (long long)damaged,
                 (long long)(t->count - before));
    return status;
}

/* Our own folder of caches; NULL: there is none. */
static swg_status find_folder(swg_context *ctx, const char *given, char **out) {
    static const struct { const char *variable, *below; bool absolute; } places[] = {
        {"SWAGE_CACHE_DIR", "", false}, {"XDG_CACHE_HOME", "/swage", true}, {"HOME", "/.cache/swage", true}};
    char path[4000] = "";
    for (size_t i = 0; !given && !*path && i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);
        if (value && *value && (!places[i].absolute || *value == '/') &&
            snprintf(path, sizeof path, "%s%s", value, places[i].below) >= (int)sizeof path)
            *path = 0;
    }
    given = given ? given : path;
    *out = *given ? swg__strdup(ctx, given) : NULL;
    return *given && !*out ? swg__fail_memory(ctx, strlen(given), "measured choices") : SWG_OK;
}

swg_status swg_tuning_open(swg_context *ctx, const char *folder, swg_tuning **out) {
    swg_tuning *t = *out = swg__calloc(ctx, 1, sizeof *t);
    if (!t)
        return swg__fail_memory(ctx, sizeof *t, "measured choices");
    t->ctx = ctx;
    swg_status status = find_folder(ctx, folder, &t->folder);
    if (t->folder) {
        size_t bytes = strlen(t->folder) + 16;
        if ((t->path = swg__alloc(ctx, bytes)))
            snprintf(t->path, bytes, "%s/tune.txt", t->folder);
        else
            status = swg__fail_memory(ctx, bytes, "measured choices");
    }
    if (status == SWG_OK)
        status = read_file(t);
    if (status != SWG_OK) {
        swg_tuning_close(t);
        *out = NULL;
    }
    return status;
}

void swg_tuning_close(swg_tuning *t) {
    if (!t)
        return;
    swg__free(t->ctx, t->records);
    swg__free(t->ctx, t->path);
    swg__free(t->ctx, t->folder);
    swg__free(t->ctx, t);
}

/* A file of its own carries the lock, because the other one is replaced. Where the file system has no locks, the rename alone must do:
 * then a writer may lose what another found at the same moment, no more. Returns a descriptor, -1: not got. */
static int lock_folder(const swg_tuning *t) {
    char path[4096];
    snprintf(path, sizeof path, "%s/tune.lock", t->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    for (int i = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            break;
        if (i == LOCK_TRIES) {
            close(fd);
            errno = EWOULDBLOCK;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    return fd;
}

static swg_status write_merged(swg_tuning *t) {
    /* What others added in the meantime comes first, then ours; the oldest are dropped. */
    swg_tuning all = {.ctx = t->ctx, .path = t->path};
    swg__text text;
    swg__text_init(&text, t->ctx);
    swg_status status = read_file(&all);
    for (int64_t i = 0; status == SWG_OK && i < t->count; i++)
        if (t->records[i].fresh)
            status = swg__tuning_put(&all, &t->records[i]);
    if (status == SWG_OK) {
        swg__text_puts(&text, header);
        for (int64_t i = all.count > SWG__TUNE_RECORDS ? all.count - SWG__TUNE_RECORDS : 0; i < all.count; i++)
            print_line(&text, &all.records[i]);
        status = text.failed ? swg__fail_memory(t->ctx, text.length, "measured choices") : swg__file_write(t->ctx, t->path, text.data, text.length);
    }
    swg__text_free(&text);
    swg__free(t->ctx, all.records);
    return status;
}

swg_status swg_tuning_save(swg_tuning *t) {
    bool fresh = false;
    for (int64_t i = 0; i < t->count; i++)
        fresh = fresh || t->records[i].fresh;
    if (!fresh)
        return SWG_OK;
    if (!t->path) {
        swg__log(t->ctx, SWG_LOG_WARNING, "measured choices are not kept: none of SWAGE_CACHE_DIR, XDG_CACHE_HOME and HOME names a folder");
        return SWG_OK;
    }
    swg_status status = swg__make_folders(t->ctx, t->folder);
    int fd = status == SWG_OK ? lock_folder(t) : -1;
    if (status == SWG_OK && fd < 0)
        status = swg__fail(t->ctx, SWG_EIO, "%s: cannot lock tune.lock: %s", t->folder, errno == EWOULDBLOCK ? "others are writing" : strerror(errno));
    if (status == SWG_OK)
        status = write_merged(t);
    if (fd >= 0)
        close(fd);
    for (int64_t i = 0; status == SWG_OK && i < t->count; i++)
        t->records[i].fresh = false;
    if (status == SWG_OK || status == SWG_ENOMEM)
        return status;
    swg__log(t->ctx, SWG_LOG_WARNING, "measured choices are not kept: %s; SWAGE_CACHE_DIR may name another folder", swg_context_message(t->ctx));
    return SWG_OK;
}

swg_status swg_tuning_clear(swg_tuning *t) {
    t->count = 0;
    if (!t->path || !swg__exists(t->path))
        return SWG_OK;
    int fd = lock_folder(t); /* without it a writer would bring its copy back */
    swg_status status = unlink(t->path) == 0 || errno == ENOENT ? SWG_OK : swg__fail(t->ctx, SWG_EIO, "%s: cannot remove: %s", t->path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}
