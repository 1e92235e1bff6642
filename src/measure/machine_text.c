/* machine_text.c - the machine and its limits as lines and as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include "measure/measure.h"

static const char *const levels[SWG__LEVELS] = {"L1", "L2", "L3", "DRAM"};

static void add_number(cJSON *to, const char *key, double value) { cJSON_AddNumberToObject(to, key, round(value * 1e4) / 1e4); }

void swg__bench_machine_json(const swg__machine *m, const swg__team *team, cJSON *to) {
    cJSON_AddStringToObject(to, "cpu", m->cpu);
    add_number(to, "family", m->family);
    add_number(to, "model", m->model);
    add_number(to, "threads", team->threads);
    add_number(to, "processors_allowed", m->allowed);
    add_number(to, "processors_online", m->online);
    cJSON_AddStringToObject(to, "isa", swg__isa_name(team->isa));
    cJSON_AddStringToObject(to, "units", m->flags + (m->flags[0] == ' '));
    for (int level = SWG__L1; level < SWG__DRAM; level++) {
        char key[16];
        snprintf(key, sizeof key, "%s_bytes", levels[level]);
        add_number(to, key, (double)m->cache_bytes[level]);
    }
    cJSON_AddStringToObject(to, "governor", m->governor);
    add_number(to, "mhz_seen", m->mhz);
    cJSON_AddStringToObject(to, "kernel", m->kernel);
    cJSON_AddStringToObject(to, "compiler", m->compiler);
    cJSON_AddStringToObject(to, "flags", m->build);
    cJSON_AddStringToObject(to, "libc", m->libc);
    cJSON_AddStringToObject(to, "swage", swg_version());
    cJSON_AddStringToObject(to, "revision", m->revision);
    add_number(to, "load_before", m->load_before);
    add_number(to, "load_after", m->load_after);
}

static const char *size_text(int64_t bytes, char out[24]) {
    if (bytes >= 1 << 20)
        snprintf(out, 24, "%lldM", (long long)(bytes >> 20));
    else
        snprintf(out, 24, "%lldK", (long long)(bytes >> 10));
    return out;
}

void swg__bench_machine_line(const swg__machine *m, const swg__team *team, swg__text *text) {
    char l1[24], l2[24], l3[24];
    swg__text_printf(text, "%s (family %d model %d), %d of %d processors, %s%s, L1 %s L2 %s L3 %s, governor %s, %.0f MHz\n", m->cpu,
                     m->family, m->model, team->threads, m->online, swg__isa_name(team->isa), m->flags,
                     size_text(m->cache_bytes[0], l1), size_text(m->cache_bytes[1], l2), size_text(m->cache_bytes[2], l3), m->governor,
                     m->mhz);
    swg__text_printf(text, "%s, %s, %s %s, swage %s (%s), load %.2f before, %.2f after\n\n", m->kernel, m->libc, m->compiler, m->build,
                     swg_version(), m->revision, m->load_before, m->load_after);
}

static void level_line(swg__text *text, const char *what, const double *gb_per_s) {
    swg__text_printf(text, "  %-5s", what);
    for (int level = 0; level < SWG__LEVELS; level++)
        swg__text_printf(text, " %s %.0f", levels[level], gb_per_s[level]);
}

void swg__bench_peak_line(const swg__team *team, swg__text *text) {
    swg__text_printf(text, "%d thread%s  f32 Gop/s:", team->threads, team->threads > 1 ? "s" : " ");
    for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
        swg__text_printf(text, " %s %.1f", swg__isa_name((swg__isa)isa), team->limits.f32[isa]);
    if (team->limits.bf16 > 0)
        swg__text_printf(text, "; bf16 %.1f", team->limits.bf16);
    else
        swg__text_puts(text, "; bf16: no unit");
    swg__text_puts(text, "\n           GB/s:");
    level_line(text, "read", team->limits.read);
    level_line(text, "copy", team->limits.copy);
    level_line(text, "scale", team->limits.scale);
    if (team->threads > 1)
        swg__text_printf(text, "\n           fork-join %.2f us", team->limits.fork_join_ns * 1e-3);
    swg__text_puts(text, "\n");
}
