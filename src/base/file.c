/* file.c - whole-file reads, atomic writes (temporary, fsync, rename, fsync of the folder), folders.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "writer.h"

enum { WRITE_BUFFER = 256 << 10 };

static swg_status fail_errno(swg_context *ctx, const char *what, const char *path) {
    int error = errno;
    swg_status status = error == ENOENT || error == ENOTDIR ? SWG_ENOTFOUND : error == ENOMEM ? SWG_ENOMEM : SWG_EIO;
    return swg__fail(ctx, status, "%s: cannot %s: %s", path, what, strerror(error));
}

swg_status swg__file_read(swg_context *ctx, const char *path, uint8_t **data, size_t *bytes) {
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ctx, "open", path);
    struct stat info;
    swg_status status = SWG_OK;
    uint8_t *buffer = NULL;
    if (fstat(fd, &info) != 0) {
        status = fail_errno(ctx, "stat", path);
    } else if (!S_ISREG(info.st_mode)) {
        status = swg__fail(ctx, SWG_EIO, "%s: is not a regular file", path);
    } else if (!(buffer = swg__alloc(ctx, (size_t)info.st_size + 1))) {
        status = swg__fail_memory(ctx, (size_t)info.st_size, path);
    }
    size_t got = 0;
    while (status == SWG_OK && got < (size_t)info.st_size) {
        ssize_t n = read(fd, buffer + got, (size_t)info.st_size - got);
        if (n > 0)
            got += (size_t)n;
        else if (n == 0)
            status = swg__fail(ctx, SWG_EIO, "%s: file shrank while it was read", path);
        else if (errno != EINTR)
            status = fail_errno(ctx, "read", path);
    }
    close(fd);
    if (status != SWG_OK) {
        swg__free(ctx, buffer);
        return status;
    }
    buffer[got] = 0;
    *data = buffer;
    *bytes = got;
    return SWG_OK;
}

/* A writer without its file. room: for the temporary name, behind the path's length. */
static swg_status open_writer(swg__writer *writer, swg_context *ctx, const char *path, size_t room) {
    *writer = (swg__writer){.ctx = ctx, .fd = -1};
    writer->path = swg__strdup(ctx, path);
    writer->temporary = swg__alloc(ctx, strlen(path) + room);
    writer->buffer = swg__alloc(ctx, WRITE_BUFFER);
    if (writer->path && writer->temporary && writer->buffer)
        return SWG_OK;
    swg__free(ctx, writer->temporary); /* no name yet: nothing to remove */
    writer->temporary = NULL;
    swg__writer_abort(writer);
    return swg__fail_memory(ctx, WRITE_BUFFER, path);
}

swg_status swg__writer_open(swg__writer *writer, swg_context *ctx, const char *path) {
    SWG__TRY(open_writer(writer, ctx, path, 32));
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path + 1) : 0;
    /* of this thread: several may write one file side by side, and the last to end stays */
    snprintf(writer->temporary, strlen(path) + 32, "%.*s.%s.%ld.tmp", folder, path, path + folder, (long)gettid());
    writer->fd = open(writer->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        swg_status status = fail_errno(ctx, "create", path);
        swg__writer_abort(writer);
        return status;
    }
    return SWG_OK;
}

swg_status swg__writer_open_part(swg__writer *writer, swg_context *ctx, const char *path) {
    SWG__TRY(open_writer(writer, ctx, path, 8));
    snprintf(writer->temporary, strlen(path) + 8, "%s.part", path);
    writer->fd = open(writer->temporary, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    const bool taken = writer->fd >= 0 && flock(writer->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    swg_status status = SWG_OK;
    if (taken) {
        status = swg__fail(ctx, SWG_EIO, "%s: somebody else is writing it", writer->temporary);
        swg__free(ctx, writer->temporary);
        writer->temporary = NULL; /* the file stays */
    } else if (writer->fd < 0 || ftruncate(writer->fd, 0) != 0) { /* what an earlier, broken run left goes */
        status = fail_errno(ctx, "create", path);
    }
    if (status != SWG_OK)
        swg__writer_abort(writer);
    return status;
}

swg_status swg__writer_continue(swg__writer *writer, swg_context *ctx, const char *path, uint64_t offset) {
    *writer = (swg__writer){.ctx = ctx, .fd = -1, .offset = offset};
    writer->path = swg__strdup(ctx, path);
    writer->buffer = swg__alloc(ctx, WRITE_BUFFER);
    swg_status status = writer->path && writer->buffer ? SWG_OK : swg__fail_memory(ctx, WRITE_BUFFER, path);
    if (status == SWG_OK) {
        writer->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (writer->fd < 0 || ftruncate(writer->fd, (off_t)offset) != 0 || lseek(writer->fd, (off_t)offset, SEEK_SET) < 0)
            status = fail_errno(ctx, "create", path);
    }
    if (status != SWG_OK)
        swg__writer_abort(writer);
    return status;
}

swg_status swg__writer_flush(swg__writer *writer) {
    for (size_t done = 0; done < writer->used;) {
        ssize_t n = write(writer->fd, writer->buffer + done, writer->used - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return fail_errno(writer->ctx, "write", writer->path);
    }
    writer->used = 0;
    return SWG_OK;
}

swg_status swg__writer_write(swg__writer *writer, const void *data, size_t bytes) {
    const uint8_t *in = data;
    while (bytes) {
        size_t room = WRITE_BUFFER - writer->used, n = bytes < room ? bytes : room;
        memcpy(writer->buffer + writer->used, in, n);
        writer->used += n;
        writer->offset += n;
        in += n;
        bytes -= n;
        if (writer->used == WRITE_BUFFER)
            SWG__TRY(swg__writer_flush(writer));
    }
    return SWG_OK;
}

/* A rename is only durable once the folder that holds the name is. */
static swg_status sync_folder(swg_context *ctx, const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ctx, "open", folder);
    int result = fsync(fd);
    swg_status status = result != 0 && errno != EINVAL ? fail_errno(ctx, "sync", folder) : SWG_OK;
    close(fd);
    return status;
}

swg_status swg__writer_commit(swg__writer *writer) {
    swg_status status = swg__writer_flush(writer);
    if (status == SWG_OK && fsync(writer->fd) != 0)
        status = fail_errno(writer->ctx, "write", writer->path);
    if (writer->fd >= 0 && close(writer->fd) != 0 && status == SWG_OK)
        status = fail_errno(writer->ctx, "write", writer->path);
    writer->fd = -1;
    if (status == SWG_OK && writer->temporary && rename(writer->temporary, writer->path) != 0)
        status = fail_errno(writer->ctx, "rename", writer->path);
    if (status == SWG_OK) {
        swg__free(writer->ctx, writer->temporary);
        writer->temporary = NULL; /* it has its final name now: abort must not remove it */
        status = sync_folder(writer->ctx, writer->path);
    }
    swg__writer_abort(writer);
    return status;
}

void swg__writer_abort(swg__writer *writer) {
    if (!writer->ctx)
        return;
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->temporary && writer->path)
        unlink(writer->temporary);
    swg__free(writer->ctx, writer->buffer);
    swg__free(writer->ctx, writer->temporary);
    swg__free(writer->ctx, writer->path);
    *writer = (swg__writer){.fd = -1};
}

swg_status swg__file_write(swg_context *ctx, const char *path, const void *data, size_t bytes) {
    swg__writer writer;
    SWG__TRY(swg__writer_open(&writer, ctx, path));
    swg_status status = swg__writer_write(&writer, data, bytes);
    if (status == SWG_OK)
        return swg__writer_commit(&writer);
    swg__writer_abort(&writer);
    return status;
}

swg_status swg__file_rename(swg_context *ctx, const char *from, const char *to) {
    if (rename(from, to) != 0)
        return fail_errno(ctx, "rename", from);
    return sync_folder(ctx, to);
}

bool swg__exists(const char *path) { return access(path, F_OK) == 0; }

bool swg__is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

swg_status swg__make_folders(swg_context *ctx, const char *path) {
    char *copy = swg__strdup(ctx, path);
    if (!copy)
        return swg__fail_memory(ctx, strlen(path), "a path");
    swg_status status = SWG_OK;
    for (char *p = copy + 1; status == SWG_OK && *copy; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char kept = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0) {
            const int why = errno;
            if (!swg__is_folder(copy)) {
                errno = why; /* stat has set another */
                status = fail_errno(ctx, "create folder", copy);
            }
        }
        *p = kept;
        if (!kept)
            break;
    }
    swg__free(ctx, copy);
    return status;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

swg_status swg__list_folder(swg_context *ctx, const char *path, char ***names, size_t *count) {
    *names = NULL;
    *count = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return fail_errno(ctx, "list folder", path);
    char **list = NULL;
    size_t used = 0, capacity = 0;
    swg_status status = SWG_OK;
    for (struct dirent *entry; status == SWG_OK && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (used == capacity) {
            size_t larger = capacity ? 2 * capacity : 32;
            char **grown = swg__grow(ctx, list, larger * sizeof *list);
            if (!grown) {
                status = swg__fail_memory(ctx, larger * sizeof *list, path);
                break;
            }
            list = grown;
            capacity = larger;
        }
        if ((list[used] = swg__strdup(ctx, entry->d_name)))
            used++;
        else
            status = swg__fail_memory(ctx, strlen(entry->d_name), path);
    }
    closedir(folder);
    if (status != SWG_OK) {
        swg__list_free(ctx, list, used);
        return status;
    }
    if (used)
        qsort(list, used, sizeof *list, by_bytes);
    *names = list;
    *count = used;
    return SWG_OK;
}

void swg__list_free(swg_context *ctx, char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        swg__free(ctx, names[i]);
    swg__free(ctx, names);
}

void swg__file_name(const char *name, char *out, size_t capacity) {
    const char *end = name + strlen(name);
    size_t used = 0;
    while (name < end) {
        const char *next = name;
        int32_t code = swg__utf8_next(&next, end);
        bool fit = code >= 32 && code != 127 && !(code >= 128 && code < 160) && code != '/' && code != '\\' && !(code == '.' && !used);
        size_t length = next > name ? (size_t)(next - name) : 1;
        if (used + (fit ? length : 1) >= capacity)
            break;
        if (fit)
            memcpy(out + used, name, length);
        else
            out[used] = '_';
        used += fit ? length : 1;
        name += length;
    }
    if (!used)
        out[used++] = '_';
    out[used] = 0;
}
