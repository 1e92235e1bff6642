/* machine.c - what a figure was measured on: processor, caches, system, compiler, load. Read, never set.
 * SPDX-License-Identifier: Apache-2.0 */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "measure/measure.h"
#include "revision.h"

/* Kernels are built with flags of their own on top; these are the build's. */
#ifndef SWG_BUILD_FLAGS
#error "SWG_BUILD_FLAGS comes from the build"
#endif

/* First line of a small file without its end; "unknown" where there is none. */
static void first_line(const char *path, char *out, size_t capacity) {
    FILE *file = fopen(path, "re");
    snprintf(out, capacity, "unknown");
    if (!file)
        return;
    if (fgets(out, (int)capacity, file))
        out[strcspn(out, "\n")] = 0;
    fclose(file);
}

static int64_t cache_bytes(int level, int sysconf_name) {
    for (int index = 0; index < 8; index++) {
        char path[96], text[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", index);
        first_line(path, text, sizeof text);
        if (atoi(text) != level)
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", index);
        first_line(path, text, sizeof text);
        if (strcmp(text, "Instruction") == 0)
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        first_line(path, text, sizeof text);
        char *unit;
        int64_t size = strtoll(text, &unit, 10);
        if (size > 0)
            return *unit == 'K' ? size << 10 : *unit == 'M' ? size << 20 : size;
    }
    long size = sysconf(sysconf_name);
    static const int64_t usual[3] = {32 << 10, 512 << 10, 8 << 20};
    return size > 0 ? size : usual[level - 1];
}

/* Family, model, frequency and the instruction sets worth a word, of the first processor. */
static void read_cpuinfo(swg__machine *m) {
    static const char *const worth[][2] = {{" avx512_vnni", " vnni"}, {" avx512_bf16", " bf16"}, {" amx_tile", " amx"}};
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[8192];
    while (file && fgets(line, sizeof line, file) && line[0] != '\n') {
        const char *value = strchr(line, ':');
        if (!value)
            continue;
        if (strncmp(line, "cpu family", 10) == 0)
            m->family = atoi(value + 1);
        else if (strncmp(line, "model\t", 6) == 0)
            m->model = atoi(value + 1);
        else if (strncmp(line, "cpu MHz", 7) == 0)
            m->mhz = atof(value + 1);
        else if (strncmp(line, "flags", 5) == 0)
            for (size_t i = 0; i < sizeof worth / sizeof worth[0]; i++)
                if (strstr(value, worth[i][0]))
                    strncat(m->flags, worth[i][1], sizeof m->flags - strlen(m->flags) - 1);
    }
    if (file)
        fclose(file);
}

double swg__machine_load(void) {
    double load = -1;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

void swg__machine_look(swg__machine *m) {
    struct utsname system;
    *m = (swg__machine){.online = (int)sysconf(_SC_NPROCESSORS_ONLN), .allowed = swg__cpu_count(), .load_before = swg__machine_load()};
    swg__cpu_brand(m->cpu, sizeof m->cpu);
    for (size_t end = strlen(m->cpu); end > 0 && m->cpu[end - 1] == ' '; end--)
        m->cpu[end - 1] = 0;
    read_cpuinfo(m);
    m->cache_bytes[SWG__L1] = cache_bytes(1, _SC_LEVEL1_DCACHE_SIZE);
    m->cache_bytes[SWG__L2] = cache_bytes(2, _SC_LEVEL2_CACHE_SIZE);
    m->cache_bytes[SWG__L3] = cache_bytes(3, _SC_LEVEL3_CACHE_SIZE);
    first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", m->governor, sizeof m->governor);
    if (uname(&system) == 0)
        snprintf(m->kernel, sizeof m->kernel, "%.20s %.64s", system.sysname, system.release);
#if defined(__clang__)
    snprintf(m->compiler, sizeof m->compiler, "clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    snprintf(m->compiler, sizeof m->compiler, "gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
    snprintf(m->build, sizeof m->build, "%s", SWG_BUILD_FLAGS);
    snprintf(m->revision, sizeof m->revision, "%s", SWG_REVISION);
    snprintf(m->libc, sizeof m->libc, "glibc %s", gnu_get_libc_version());
}
