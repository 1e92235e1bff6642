/* volumes_cache.c - prepared images on disk: one file each, named by a hash of the image's file and of what is done to it.
 * Layout, little-endian: 0 "SWGVOL1\n"; 8 u32 bytes of the head, a multiple of 64; 12 u32 CRC-32C of the head with this field 0; 16 u32 CRC-32C
 * of the values; 20 u32 bytes of the text; 24 i64 C, Z, Y, X; 56 i64 nonfinite, constant, empty, frames; 88 the text; zeros; then the values, f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "codec/bytes.h"
#include "data/volumes_inside.h"

enum { HEAD_FIXED = 88 };
static const char magic[] = "SWGVOL1\n";

/* ---- the head ---- */

static uint32_t head_checksum(const uint8_t *head, size_t bytes) {
    static const uint8_t none[4];
    uint32_t crc = swg__crc32c(0, head, 12);
    crc = swg__crc32c(crc, none, sizeof none);
    return swg__crc32c(crc, head + 16, bytes - 16);
}

const char *swg__volume_head_parse(const uint8_t *data, size_t bytes, int64_t file_bytes, swg__volume_head *out) {
    *out = (swg__volume_head){0};
    if (bytes < HEAD_FIXED || memcmp(data, magic, 8) != 0)
        return "is no prepared image";
    const size_t head = swg__load32(data + 8), text = swg__load32(data + 20);
    if (head < HEAD_FIXED || head % 64 || head > SWG__VOLUME_HEAD_MOST || head > bytes || text > head - HEAD_FIXED)
        return "has a damaged head";
    if (head_checksum(data, head) != swg__load32(data + 12))
        return "has a damaged head";
    int64_t values = (int64_t)sizeof(float);
    for (int i = 0; i < 4; i++) {
        out->dims[i] = (int64_t)swg__load64(data + 24 + 8 * i);
        if (out->dims[i] < 1 || swg__mul_overflow(values, out->dims[i], &values))
            return "has a damaged head";
    }
    if (file_bytes < (int64_t)head || values != file_bytes - (int64_t)head)
        return "is cut short";
    out->facts = (swg__volume_facts){(int64_t)swg__load64(data + 56), (int64_t)swg__load64(data + 64), (int64_t)swg__load64(data + 72),
                                     (int64_t)swg__load64(data + 80)};
    out->offset = (int64_t)head;
    out->checksum = swg__load32(data + 16);
    out->text = (const char *)data + HEAD_FIXED;
    out->text_bytes = text;
    return NULL;
}

static bool same_text(const swg__volume_head *head, const char *text) {
    return head->text_bytes == strlen(text) && memcmp(head->text, text, head->text_bytes) == 0;
}

/* ---- names ---- */

/* The file behind "cells.h5:/raw": stat of the longest part before a colon that is a file. */
static bool stat_of(const char *path, char *file, size_t capacity, struct stat *info) {
    snprintf(file, capacity, "%s", path);
    while (stat(file, info) != 0) {
        char *colon = strrchr(file, ':');
        if (!colon)
            return false;
        *colon = 0;
    }
    return true;
}

swg_status swg__volume_identify(swg__volumes *volumes, swg__volume_entry *entry) {
    char file[4096];
    struct stat info;
    swg__text text;
    swg__text_init(&text, volumes->ctx);
    entry->on_disk = !entry->array && stat_of(entry->path, file, sizeof file, &info);
    if (entry->on_disk) {
        char *real = realpath(file, NULL);
        swg__text_printf(&text, "%s\n%s\n%lld %lld.%09ld", real ? real : file, entry->path + strlen(file), (long long)info.st_size,
                         (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
        free(real);
    } else {
        swg__text_puts(&text, entry->path);
    }
    entry->identity = text.failed ? NULL : swg__arena_strdup(&volumes->arena, text.data);
    swg__text_free(&text);
    return entry->identity ? SWG_OK : swg__fail_memory(volumes->ctx, strlen(entry->path), "the list of images");
}

swg_status swg__volume_cache_name(swg__volumes *volumes, swg__volume_entry *entry) {
    char hex[33];
    uint8_t digest[32];
    if (!volumes->cache_dir || !entry->on_disk)
        return SWG_OK;
    swg__text text;
    swg__text_init(&text, volumes->ctx);
    swg__text_printf(&text, "%s\n%s", entry->identity, entry->text);
    const bool failed = text.failed;
    if (!failed)
        swg__sha256(text.data, text.length, digest);
    swg__text_free(&text);
    for (int i = 0; !failed && i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    const size_t length = strlen(volumes->cache_dir) + 64;
    if (failed || !(entry->cache_path = swg__arena_alloc(&volumes->arena, length)))
        return swg__fail_memory(volumes->ctx, length, "the name of a prepared image");
    snprintf(entry->cache_path, length, "%s/%s.swgvol", volumes->cache_dir, hex);
    return SWG_OK;
}

/* ---- reading ---- */

static bool read_at(int fd, void *data, size_t bytes, int64_t offset) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pread(fd, (uint8_t *)data + done, bytes - done, (off_t)offset + (off_t)done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return true;
}

/* Opens the file and reads its head into *buffer, the caller's. -1: missing, damaged (*damaged), of something else, or no memory. */
static int open_head(const swg__volumes *volumes, const swg__volume_entry *entry, uint8_t **buffer, swg__volume_head *head, bool *damaged) {
    struct stat info;
    *buffer = NULL;
    *damaged = false;
    const int fd = entry->cache_path ? open(entry->cache_path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    const bool known = fstat(fd, &info) == 0;
    const size_t bytes = !known ? 0 : info.st_size < SWG__VOLUME_HEAD_MOST ? (size_t)info.st_size : SWG__VOLUME_HEAD_MOST;
    *buffer = swg__alloc(volumes->ctx, bytes);
    if (known && *buffer && read_at(fd, *buffer, bytes, 0) && !swg__volume_head_parse(*buffer, bytes, (int64_t)info.st_size, head) &&
        same_text(head, entry->text))
        return fd;
    *damaged = *buffer != NULL;
    swg__free(volumes->ctx, *buffer);
    close(fd);
    return -1;
}

bool swg__volume_cache_probe(const swg__volumes *volumes, swg__volume_entry *entry) {
    uint8_t *buffer;
    swg__volume_head head;
    bool damaged;
    const int fd = open_head(volumes, entry, &buffer, &head, &damaged);
    if (fd < 0)
        return false;
    memcpy(entry->dims, head.dims, sizeof entry->dims);
    entry->facts = head.facts;
    swg__free(volumes->ctx, buffer);
    close(fd);
    return true;
}

static swg__volume_map *map_file(const swg__volumes *volumes, int fd, size_t bytes) {
    swg__volume_map *map = swg__alloc(volumes->ctx, sizeof *map);
    if (!map)
        return NULL;
    map->bytes = bytes;
    map->base = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map->base != MAP_FAILED)
        return map;
    swg__free(volumes->ctx, map);
    return NULL;
}

bool swg__volume_cache_load(const swg__volumes *volumes, const swg__volume_entry *entry, const float **values, swg__volume_map **map,
                            swg__volume_facts *facts, bool *damaged) {
    uint8_t *buffer;
    swg__volume_head head;
    *values = NULL;
    *map = NULL;
    const int fd = open_head(volumes, entry, &buffer, &head, damaged);
    if (fd < 0)
        return false;
    if (memcmp(head.dims, entry->dims, sizeof head.dims) != 0) { /* not what the probe found */
        *damaged = true;
        close(fd);
        swg__free(volumes->ctx, buffer);
        return false;
    }
    const size_t bytes = (size_t)(head.dims[0] * head.dims[1] * head.dims[2] * head.dims[3]) * sizeof(float);
    float *read = NULL;
    if (entry->mapped && (*map = map_file(volumes, fd, (size_t)head.offset + bytes)))
        *values = (const float *)(const void *)((const uint8_t *)(*map)->base + head.offset);
    else if ((read = swg__alloc(volumes->ctx, bytes)) && read_at(fd, read, bytes, head.offset))
        *values = read;
    else
        swg__free(volumes->ctx, read);
    close(fd);
    swg__free(volumes->ctx, buffer);
    if (!*values)
        return false;
    *facts = head.facts;
    *damaged = swg__crc32c(0, *values, bytes) != head.checksum;
    if (*damaged) {
        swg__volume_unload(volumes, *values, *map);
        *values = NULL;
        *map = NULL;
    }
    return *values != NULL;
}

void swg__volume_unload(const swg__volumes *volumes, const float *values, swg__volume_map *map) {
    if (map)
        munmap(map->base, map->bytes);
    else
        swg__free(volumes->ctx, (void *)(uintptr_t)values);
    swg__free(volumes->ctx, map);
}

/* ---- writing ---- */

swg_status swg__volume_cache_store(const swg__volumes *volumes, const swg__volume_entry *entry, const float *values, const swg__volume_facts *facts) {
    const size_t text = strlen(entry->text), head_bytes = (HEAD_FIXED + text + 63) / 64 * 64;
    const size_t bytes = (size_t)(entry->dims[0] * entry->dims[1] * entry->dims[2] * entry->dims[3]) * sizeof *values;
    const int64_t numbers[] = {entry->dims[0], entry->dims[1], entry->dims[2], entry->dims[3], facts->nonfinite, facts->constant, facts->empty,
                               facts->frames};
    if (head_bytes > SWG__VOLUME_HEAD_MOST)
        return SWG_OK; /* a text of 64 KiB: not worth keeping */
    uint8_t *head = swg__calloc(volumes->ctx, 1, head_bytes);
    if (!head)
        return swg__fail_memory(volumes->ctx, head_bytes, entry->cache_path);
    memcpy(head, magic, 8);
    swg__store32(head + 8, (uint32_t)head_bytes);
    swg__store32(head + 16, swg__crc32c(0, values, bytes));
    swg__store32(head + 20, (uint32_t)text);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        swg__store64(head + 24 + 8 * i, (uint64_t)numbers[i]);
    memcpy(head + HEAD_FIXED, entry->text, text);
    swg__store32(head + 12, head_checksum(head, head_bytes));
    swg__writer writer;
    swg_status status = swg__writer_open(&writer, volumes->ctx, entry->cache_path);
    if (status == SWG_OK && (status = swg__writer_write(&writer, head, head_bytes)) == SWG_OK)
        status = swg__writer_write(&writer, values, bytes);
    if (status == SWG_OK)
        status = swg__writer_commit(&writer);
    else
        swg__writer_abort(&writer);
    swg__free(volumes->ctx, head);
    return status;
}

/* ---- both ---- */

swg_status swg__volume_load(const swg__volumes *volumes, const swg__volume_entry *entry, const float **values, swg__volume_map **map,
                            swg__volume_facts *facts, bool *damaged) {
    bool broken = false;
    float *prepared;
    if (swg__volume_cache_load(volumes, entry, values, map, facts, &broken))
        return SWG_OK;
    if (damaged)
        *damaged = broken;
    SWG__TRY(swg__volume_prepare(volumes, entry, &prepared, facts));
    *values = prepared;
    swg_status status = entry->cache_path ? swg__volume_cache_store(volumes, entry, prepared, facts) : SWG_OK;
    if (status == SWG_OK && entry->mapped) { /* what was written is read back: memory holds no second copy */
        const float *again;
        if (swg__volume_cache_load(volumes, entry, &again, map, facts, &broken)) {
            swg__free(volumes->ctx, prepared);
            *values = again;
        }
    }
    if (status != SWG_OK) {
        swg__free(volumes->ctx, prepared);
        *values = NULL;
    }
    return status;
}
