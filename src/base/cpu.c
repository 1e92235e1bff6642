/* cpu.c - instruction sets by cpuid and xgetbv; processors by affinity mask and cgroup quota.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const isa_names[SWG__ISA_COUNT] = {
#define ISA(id, name, fast, like, int8) #name,
#include "isa.def"
#undef ISA
};

const char *swg__isa_name(swg__isa isa) { return isa_names[isa]; }

int swg__isa_find(const char *name) {
    for (int i = 0; i < SWG__ISA_COUNT; i++)
        if (strcmp(name, isa_names[i]) == 0)
            return i;
    return -1;
}

#if defined(__x86_64__)
static uint64_t xgetbv0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

swg__isa swg__isa_best(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_FMA))
        return SWG__SSE2;
    uint64_t saved = xgetbv0(); /* which registers the system saves on a switch */
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return SWG__SSE2;
    unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((b & need) != need || (saved & 0xe6) != 0xe6)
        return SWG__AVX2;
    enum { AVX512_VNNI = 1 << 11, AVX512_BF16 = 1 << 5 };
    if (!(c & AVX512_VNNI))
        return SWG__AVX512;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a & AVX512_BF16 ? SWG__AVX512_BF16 : SWG__AVX512_VNNI;
}

void swg__cpu_brand(char *out, int capacity) {
    unsigned words[12] = {0}, highest = (unsigned)__get_cpuid_max(0x80000000u, NULL); /* an int in clang */
    if (highest >= 0x80000004u)
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    char brand[49] = {0};
    memcpy(brand, words, 48);
    const char *start = brand + strspn(brand, " ");
    snprintf(out, (size_t)capacity, "%s", *start ? start : "unknown");
}
#else
swg__isa swg__isa_best(void) { return SWG__SCALAR; }
void swg__cpu_brand(char *out, int capacity) { snprintf(out, (size_t)capacity, "unknown"); }
#endif

/* Processors' worth of time the cgroup (v2, or v1's cpu controller) grants; 0 if unlimited or unknown. */
static int cgroup_quota(void) {
    long long quota = 0, period = 0;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        if (fscanf(file, "%lld %lld", &quota, &period) != 2)
            quota = 0;
        fclose(file);
    } else if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re"))) {
        if (fscanf(file, "%lld", &quota) != 1)
            quota = 0;
        fclose(file);
        if ((file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re"))) {
            if (fscanf(file, "%lld", &period) != 1)
                period = 0;
            fclose(file);
        }
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int swg__cpu_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cgroup_quota();
    if (quota > 0 && quota < count)
        count = quota;
    return count < 1 ? 1 : count;
}
