/* journal.c - a file of entries, each with a checksum, appended one by one.
 * Head, 24 bytes: "SWGJ", u32 2, u64 key, u32 0, u32 CRC32C of bytes 0..19. Entry: u32 bytes of the payload, u32 CRC32C of the payload; payload: u64 offset, u64
 * bytes, u32 crc, u32 models, f64 seconds, u16 and u16 bytes of source and name, u8 model[64], source, name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include "journal.h"

enum { HEAD = 24, FRAME = 8, FIXED = 100 };

static swg_status fail_errno(const swg__journal *j, const char *what) {
    return swg__fail(j->ctx, SWG_EIO, "%s: cannot %s: %s", j->path, what, strerror(errno));
}

static swg_status put_bytes(swg__journal *j, const void *data, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(j->fd, (const char *)data + done, bytes - done, (off_t)(j->end + done));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return fail_errno(j, "write");
    }
    j->end += bytes;
    return SWG_OK;
}

static char *copy_text(swg_context *ctx, const uint8_t *data, size_t bytes) {
    char *text = swg__alloc(ctx, bytes + 1);
    if (text) {
        memcpy(text, data, bytes);
        text[bytes] = 0;
    }
    return text;
}

/* The next entry; false at the end, or where something is wrong. *status: SWG_ENOMEM only. */
static bool take_entry(swg__journal *j, swg__cursor *in, uint64_t expected, swg_status *status) {
    uint32_t length = swg__take32(in), crc = swg__take32(in);
    const uint8_t *payload = swg__take(in, length);
    if (!payload || length < FIXED || swg__crc32c(0, payload, length) != crc)
        return false;
    size_t source = swg__load16(payload + 32), name = swg__load16(payload + 34);
    swg__journal_entry e = {.offset = swg__load64(payload), .bytes = swg__load64(payload + 8), .crc = swg__load32(payload + 16),
                            .models = (int)(swg__load32(payload + 20) & 127), .seconds = swg__load_f64(payload + 24)};
    memcpy(e.model, payload + 36, sizeof e.model);
    if (e.models > (int)sizeof e.model || length != FIXED + source + name || e.offset != expected || !e.bytes || !(e.seconds >= 0))
        return false;
    if (j->count == j->capacity) {
        int64_t larger = j->capacity ? 2 * j->capacity : 16;
        void *grown = swg__grow(j->ctx, j->entry, (size_t)larger * sizeof *j->entry);
        if (!grown) {
            *status = swg__fail_memory(j->ctx, (size_t)larger * sizeof *j->entry, "a journal");
            return false;
        }
        j->entry = grown;
        j->capacity = larger;
    }
    e.source = copy_text(j->ctx, payload + FIXED, source);
    e.name = copy_text(j->ctx, payload + FIXED + source, name);
    j->entry[j->count++] = e;
    if (!e.source || !e.name)
        *status = swg__fail_memory(j->ctx, source + name, "a name");
    return *status == SWG_OK;
}

/* Reads what is good; j->end is its end, 0 where the head is not this job's. */
static swg_status load(swg__journal *j, uint64_t key, uint64_t first) {
    uint8_t *data;
    size_t bytes;
    swg_status status = SWG_OK;
    SWG__TRY(swg__file_read(j->ctx, j->path, &data, &bytes));
    if (bytes >= HEAD && memcmp(data, "SWGJ", 4) == 0 && swg__load32(data + 4) == 2 && swg__load64(data + 8) == key &&
        swg__load32(data + 20) == swg__crc32c(0, data, 20)) {
        swg__cursor in = {.at = data + HEAD, .end = data + bytes};
        j->end = HEAD;
        while (take_entry(j, &in, first, &status)) {
            j->end = (uint64_t)(in.at - data);
            first += j->entry[j->count - 1].bytes;
        }
    }
    swg__free(j->ctx, data);
    return status;
}

static swg_status start(swg__journal *j, uint64_t key) {
    uint8_t head[HEAD] = {'S', 'W', 'G', 'J', 2};
    swg__store64(head + 8, key);
    swg__store32(head + 20, swg__crc32c(0, head, 20));
    return put_bytes(j, head, HEAD);
}

swg_status swg__journal_open(swg__journal *j, swg_context *ctx, const char *path, uint64_t key, uint64_t first) {
    *j = (swg__journal){.ctx = ctx, .fd = -1};
    j->path = swg__strdup(ctx, path);
    if (!j->path)
        return swg__fail_memory(ctx, strlen(path), "a path");
    j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    swg_status status = j->fd >= 0 ? SWG_OK : fail_errno(j, "create");
    if (status == SWG_OK && flock(j->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        status = swg__fail(ctx, SWG_EIO, "%s: another process is at work on this job", path);
    const bool locked = status == SWG_OK;
    if (status == SWG_OK)
        status = load(j, key, first);
    if (status == SWG_OK && ftruncate(j->fd, (off_t)j->end) != 0)
        status = fail_errno(j, "write");
    if (status == SWG_OK && j->end == 0)
        status = start(j, key);
    if (locked && status != SWG_OK && lseek(j->fd, 0, SEEK_END) <= HEAD)
        unlink(path); /* nothing is in it */
    if (status != SWG_OK)
        swg__journal_close(j);
    return status;
}

static void entry_free(swg__journal *j, swg__journal_entry *e) {
    swg__free(j->ctx, e->source);
    swg__free(j->ctx, e->name);
}

swg_status swg__journal_cut(swg__journal *j, int64_t keep) {
    while (j->count > keep) {
        swg__journal_entry *e = &j->entry[--j->count];
        j->end -= FRAME + FIXED + strlen(e->source) + strlen(e->name);
        entry_free(j, e);
    }
    return ftruncate(j->fd, (off_t)j->end) == 0 ? SWG_OK : fail_errno(j, "write");
}

swg_status swg__journal_add(swg__journal *j, const swg__journal_entry *e) {
    swg__text out;
    uint8_t number[8];
    size_t source = strlen(e->source), name = strlen(e->name);
    swg__text_init(&out, j->ctx);
    swg__put64(&out, 0); /* the frame, below */
    swg__put64(&out, e->offset);
    swg__put64(&out, e->bytes);
    swg__put32(&out, e->crc);
    swg__put32(&out, (uint32_t)e->models);
    swg__store_f64(number, e->seconds);
    swg__put(&out, number, 8);
    swg__put16(&out, (uint32_t)source);
    swg__put16(&out, (uint32_t)name);
    swg__put(&out, e->model, sizeof e->model);
    swg__put(&out, e->source, source);
    swg__put(&out, e->name, name);
    swg_status status = SWG_OK;
    if (out.failed) {
        status = swg__fail_memory(j->ctx, FIXED + source + name, "a journal");
    } else {
        swg__store32((uint8_t *)out.data, (uint32_t)(out.length - FRAME));
        swg__store32((uint8_t *)out.data + 4, swg__crc32c(0, out.data + FRAME, out.length - FRAME));
        status = put_bytes(j, out.data, out.length);
    }
    swg__text_free(&out);
    return status;
}

void swg__journal_close(swg__journal *j) {
    if (!j->ctx)
        return;
    if (j->fd >= 0)
        close(j->fd);
    for (int64_t i = 0; i < j->count; i++)
        entry_free(j, &j->entry[i]);
    swg__free(j->ctx, j->entry);
    swg__free(j->ctx, j->path);
    *j = (swg__journal){.fd = -1};
}
