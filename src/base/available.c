/* available.c - how much memory the system would still give this process: what is free, and what its control groups allow.
 * In: /proc and /sys. Out: bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base.h"

/* A number after `name` in a file, or the first one if there is no name; -1: none. */
static int64_t number_in(const char *path, const char *name) {
    FILE *file = fopen(path, "re");
    char line[160];
    int64_t number = -1;
    while (file && number < 0 && fgets(line, sizeof line, file)) {
        const char *at = strncmp(line, name, strlen(name)) == 0 ? line + strlen(name) : "";
        at += strspn(at, " \t");
        if (*at >= '0' && *at <= '9')
            number = strtoll(at, NULL, 10);
    }
    if (file)
        fclose(file);
    return number;
}

/* What group `path` below `mount`, and every group around it, would still give. */
static int64_t room_in(const char *mount, char *path, const char *limit_name, const char *used_name, int64_t bytes) {
    for (;;) {
        char file[2 * PATH_MAX];
        snprintf(file, sizeof file, "%s%s/%s", mount, path, limit_name);
        int64_t limit = number_in(file, "");
        snprintf(file, sizeof file, "%s%s/%s", mount, path, used_name);
        int64_t used = number_in(file, "");
        if (limit > 0 && used >= 0 && limit - used < bytes)
            bytes = limit > used ? limit - used : 0;
        char *last = strrchr(path, '/');
        if (!last)
            return bytes;
        *last = 0;
    }
}

int64_t swg__group_room(const char *list, const char *mounts, int64_t bytes) {
    FILE *file = fopen(list, "re");
    char line[PATH_MAX], mount[PATH_MAX];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        names++;
        if (strcmp(path, "/") == 0)
            *path = 0;
        if (*names == 0) { /* version 2 has one hierarchy without a name */
            bytes = room_in(mounts, path, "memory.max", "memory.current", bytes);
        } else if (strcmp(names, "memory") == 0) {
            snprintf(mount, sizeof mount, "%s/memory", mounts);
            bytes = room_in(mount, path, "memory.limit_in_bytes", "memory.usage_in_bytes", bytes);
        }
    }
    if (file)
        fclose(file);
    return bytes;
}

int64_t swg__available_bytes(void) {
    int64_t kib = number_in("/proc/meminfo", "MemAvailable:");
    return kib < 0 ? 0 : swg__group_room("/proc/self/cgroup", "/sys/fs/cgroup", kib * 1024);
}
