/* tfswa_report.c - a run of `swage bench tfswa` as a table, or as one JSON object with the published keys.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include "bench/tfswa.h"

static const double mib = 0x1p-20;

static bool timed(const swg__tfswa_side *s) { return !*s->failure && s->times.reps > 0; }
/* Of what goes in with one call. */
static double audio_seconds(const swg__tfswa_bench *b) {
    const int64_t *shape = b->opts.task.shape;
    return (double)(shape[0] * shape[3] * b->opts.hop) / b->opts.sample_rate;
}
/* Seconds of computing per second of audio. */
static double real_time_factor(const swg__tfswa_bench *b, const swg__tfswa_side *s) { return s->times.mean_ns * 1e-9 / audio_seconds(b); }

/* ---- table: cells between blanks, or between bars in Markdown ---- */

enum { COLUMNS = 9 };
static const int widths[COLUMNS] = {32, 10, 10, 10, 10, 9, 16, 9, 9};
static const char *const heads[COLUMNS] = {"", "p50 ms", "mean ms", "p95 ms", "RTF", "samples/s", "times ours f32", "planned", "measured"};

static void row(swg__text *text, bool markdown, char cells[COLUMNS][40]) {
    for (int i = 0; i < COLUMNS; i++)
        if (markdown)
            swg__text_printf(text, "| %s ", cells[i]);
        else
            swg__text_printf(text, i ? " %*s" : "%-*s", widths[i], cells[i]);
    swg__text_puts(text, markdown ? "|\n" : "\n");
}

static void side_row(const swg__tfswa_bench *b, const swg__tfswa_side *s, bool markdown, swg__text *text) {
    char cells[COLUMNS][40] = {{0}};
    if (!timed(s)) {
        swg__text_printf(text, markdown ? "| %s | %s |\n" : "%-32s %s\n", s->name, *s->failure ? s->failure : "no time");
        return;
    }
    const double ms[3] = {s->times.median_ns, s->times.mean_ns, s->times.p95_ns};
    snprintf(cells[0], sizeof cells[0], "%s", s->name);
    for (int i = 0; i < 3; i++)
        snprintf(cells[1 + i], sizeof cells[1], "%.4g", ms[i] * 1e-6);
    snprintf(cells[4], sizeof cells[4], "%.3g", real_time_factor(b, s));
    snprintf(cells[5], sizeof cells[5], "%.3g", (double)s->task.shape[0] * 1e9 / s->times.mean_ns);
    snprintf(cells[6], sizeof cells[6], s->ratio.median > 0 ? "%.2f (%.2f-%.2f)" : "-", s->ratio.median, s->ratio.low, s->ratio.high);
    snprintf(cells[7], sizeof cells[7], s->planned_bytes ? "%.1f" : "-", (double)s->planned_bytes * mib);
    snprintf(cells[8], sizeof cells[8], s->measured_bytes ? "%.1f" : "-", (double)s->measured_bytes * mib);
    row(text, markdown, cells);
}

void swg__tfswa_table(const swg__tfswa_bench *b, bool markdown, swg__text *text) {
    const swg__tfswa_task *t = &b->opts.task;
    char cells[COLUMNS][40];
    const char *end = markdown ? "\n\n" : "\n";
    swg__bench_machine_line(&b->machine, &b->team, text);
    for (int i = 1; i < SWG__TFSWA_SYSTEMS; i++)
        swg__text_printf(text, "%s%s: %s%s%s", markdown || i > 1 ? "\n" : "", swg__tfswa_system_name(i), b->peers[i].version, *b->peers[i].options ? "; " : "",
                         b->peers[i].options);
    swg__text_printf(text, "%stfswa/%s, %s, input %lldx%lldx%lldx%lld, %.4g s of audio; %d thread%s, %s; sides in turns, %d calls each after %d; load before %.2f, "
                     "after %.2f\n", end, swg__tfswa_name(t->net), t->training ? "training step" : "inference", (long long)t->shape[0], (long long)t->shape[1],
                     (long long)t->shape[2], (long long)t->shape[3], audio_seconds(b), b->team.threads, b->team.threads > 1 ? "s" : "",
                     swg__work_clock_name(b->team.threads), b->opts.iterations, b->opts.warmup, b->machine.load_before, b->machine.load_after);
    swg__text_printf(text, "RTF: seconds of computing per second of audio; times ours f32: median of ratios turn by turn (least-most); planned, measured: peak, MiB\n%s",
                     markdown ? "\n" : "");
    for (int i = 0; i < COLUMNS; i++)
        snprintf(cells[i], sizeof cells[i], "%s", heads[i]);
    row(text, markdown, cells);
    for (int i = 0; markdown && i < COLUMNS; i++)
        swg__text_puts(text, i == COLUMNS - 1 ? "|---|\n" : "|---");
    for (int i = 0; i < b->count; i++)
        side_row(b, &b->sides[i], markdown, text);
}

/* ---- JSON ---- */

static void add(cJSON *to, const char *key, double value, bool is) {
    if (is && isfinite(value))
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_side(const swg__tfswa_bench *b, const swg__tfswa_side *s, cJSON *rows) {
    cJSON *to = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    const bool is = timed(s), ratio = s->ratio.median > 0;
    const int64_t peak = s->measured_bytes ? s->measured_bytes : s->planned_bytes;
    cJSON_AddItemToArray(rows, to);
    cJSON_AddStringToObject(to, "name", s->name);
    cJSON_AddStringToObject(to, "system", swg__tfswa_system_name((int)s->system));
    cJSON_AddStringToObject(to, "device", "cpu");
    cJSON_AddStringToObject(to, "dtype", s->task.bf16 ? "bf16" : "f32");
    cJSON_AddItemToObject(to, "shape", shape);
    for (int axis = 0; axis < 4; axis++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)s->task.shape[axis]));
    add(to, "avg_time_ms", s->times.mean_ns * 1e-6, is);
    add(to, "std_time_ms", s->times.std_ns * 1e-6, is);
    add(to, "min_time_ms", s->times.min_ns * 1e-6, is);
    add(to, "max_time_ms", s->most_ns * 1e-6, is);
    add(to, "p50_time_ms", s->times.median_ns * 1e-6, is);
    add(to, "p95_time_ms", s->times.p95_ns * 1e-6, is);
    add(to, "p99_time_ms", s->times.p99_ns * 1e-6, is);
    add(to, "throughput_samples_per_sec", (double)s->task.shape[0] * 1e9 / s->times.mean_ns, is);
    add(to, "real_time_factor", real_time_factor(b, s), is);
    add(to, "num_iterations", (double)s->times.reps, is);
    add(to, "warmup_iterations", b->opts.warmup, true);
    add(to, "size_mb", s->parameters * 4 * mib, s->parameters > 0);
    add(to, "parameters", s->parameters, s->parameters > 0);
    add(to, "peak_bytes", (double)peak, peak > 0);
    add(to, "peak_bytes_planned", (double)s->planned_bytes, s->planned_bytes > 0);
    add(to, "peak_bytes_measured", (double)s->measured_bytes, s->measured_bytes > 0);
    add(to, "times_own_f32", s->ratio.median, ratio);
    add(to, "times_own_f32_low", s->ratio.low, ratio);
    add(to, "times_own_f32_high", s->ratio.high, ratio);
    if (*s->failure)
        cJSON_AddStringToObject(to, "failure", s->failure);
}

char *swg__tfswa_json(const swg__tfswa_bench *b) {
    cJSON *root = cJSON_CreateObject();
    add(root, "schema", 1, true);
    cJSON_AddStringToObject(root, "kind", "tfswa");
    swg__bench_machine_json(&b->machine, &b->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON *peers = cJSON_AddArrayToObject(root, "peers");
    for (int i = 1; i < SWG__TFSWA_SYSTEMS; i++) {
        cJSON *peer = cJSON_CreateObject();
        cJSON_AddItemToArray(peers, peer);
        cJSON_AddStringToObject(peer, "name", swg__tfswa_system_name(i));
        cJSON_AddStringToObject(peer, "version", b->peers[i].version);
        cJSON_AddStringToObject(peer, "options", b->peers[i].options);
    }
    cJSON_AddStringToObject(root, "net", swg__tfswa_name(b->opts.task.net));
    cJSON_AddStringToObject(root, "pass", b->opts.task.training ? "training" : "inference");
    cJSON_AddStringToObject(root, "clock", swg__work_clock_name(b->team.threads));
    add(root, "audio_seconds", audio_seconds(b), true);
    cJSON *rows = cJSON_AddArrayToObject(root, "rows");
    for (int i = 0; i < b->count; i++)
        add_side(b, &b->sides[i], rows);
    char *text = cJSON_GetArraySize(rows) == b->count ? cJSON_Print(root) : NULL; /* rows are added last */
    cJSON_Delete(root);
    return text;
}
