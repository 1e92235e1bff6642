/* report.c - a run as one JSON object, or as a table for people.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/bench.h"
#include "bench/conv.h"
#include "bench/layers.h"

static const char *const levels[SWG__LEVELS] = {"L1", "L2", "L3", "DRAM"};

static bool is_memory(const swg__row *row) { return row->work.kind == SWG__WORK_MEMORY_TRAIN || row->work.kind == SWG__WORK_MEMORY_INFER; }

/* Gop/s of work with multiply-adds, GB/s of the update. */
static double rate(const swg__row *row) { return (row->flop > 0 ? row->flop : row->bytes) / row->times.median_ns; }

static void shape_of(const swg__workload *w, char *out, size_t capacity) {
    if (w->kind == SWG__WORK_MATMUL)
        snprintf(out, capacity, "%lldx%lldx%lld", (long long)w->batch, (long long)w->k, (long long)w->n);
    else if (w->kind == SWG__WORK_CONV)
        swg__bench_conv_shape(w, out, capacity);
    else if (w->kind == SWG__WORK_LAYER)
        snprintf(out, capacity, "%s", swg__bench_layer_shape(w));
    else
        snprintf(out, capacity, "%s", w->kind == SWG__WORK_ADAMW ? "400013" : w->model);
}

static const swg__peer_times *fastest_peer(const swg__row *row) {
    const swg__peer_times *best = NULL;
    for (int i = 0; i < row->peer_count; i++)
        if (!*row->peers[i].failure && (!best || row->peers[i].times.median_ns < best->times.median_ns))
            best = &row->peers[i];
    return best;
}

/* ---- JSON ---- */

/* Four significant decimals behind the point are more than any clock gives. */
static void add_number(cJSON *to, const char *key, double value) {
    if (isfinite(value))
        cJSON_AddNumberToObject(to, key, round(value * 1e4) / 1e4);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_known(cJSON *to, const char *key, double value, bool known) { add_number(to, key, known ? value : NAN); }

static void add_times(cJSON *to, const swg__times *t) {
    add_number(to, "median_ns", t->median_ns);
    add_number(to, "min_ns", t->min_ns);
    add_known(to, "mean_ns", t->mean_ns, t->mean_ns > 0);
    add_known(to, "std_ns", t->std_ns, t->mean_ns > 0);
    add_number(to, "p95_ns", t->p95_ns);
    add_number(to, "spread", t->spread);
    add_number(to, "reps", (double)t->reps);
    add_number(to, "loops", (double)t->loops);
    add_known(to, "cold_ms", t->cold_ns * 1e-6, t->cold_ns > 0);
}

static void add_levels(cJSON *to, const char *key, const double *gb_per_s) {
    cJSON *into = cJSON_AddObjectToObject(to, key);
    for (int level = 0; level < SWG__LEVELS; level++)
        add_number(into, levels[level], gb_per_s[level]);
}

static void add_peaks(const swg__bench *b, cJSON *root) {
    cJSON *peaks = cJSON_AddObjectToObject(root, "peaks"), *teams = cJSON_AddArrayToObject(peaks, "teams");
    for (int t = 0; t < b->team_count; t++) {
        const swg__limits *limits = &b->teams[t].limits;
        cJSON *team = cJSON_CreateObject(), *f32 = cJSON_AddObjectToObject(team, "f32_gops");
        cJSON_AddItemToArray(teams, team);
        add_number(team, "threads", b->teams[t].threads);
        for (int isa = 0; isa <= (int)swg__isa_best(); isa++)
            add_number(f32, swg__isa_name((swg__isa)isa), limits->f32[isa]);
        add_known(team, "bf16_gops", limits->bf16, limits->bf16 > 0);
        add_levels(team, "read_gb_s", limits->read);
        add_levels(team, "copy_gb_s", limits->copy);
        add_levels(team, "scale_gb_s", limits->scale);
        add_number(team, "fork_join_ns", limits->fork_join_ns);
    }
    add_number(peaks, "f32_core_start", b->peak_start);
    add_number(peaks, "f32_core_end", b->peak_end);
}

static void add_row(const swg__row *row, cJSON *rows) {
    static const char *const kinds[] = {[SWG__WORK_MATMUL] = "kernel", [SWG__WORK_CONV] = "kernel", [SWG__WORK_LAYER] = "kernel", [SWG__WORK_INFER] = "infer", [SWG__WORK_TRAIN] = "train",
                                        [SWG__WORK_ADAMW] = "kernel", [SWG__WORK_BUSY] = "train", [SWG__WORK_MEMORY_TRAIN] = "memory", [SWG__WORK_MEMORY_INFER] = "memory"};
    const swg__workload *w = &row->work;
    const swg__peer_times *peer = fastest_peer(row);
    bool timed = !*row->failure;
    char shape[64];
    cJSON *to = cJSON_CreateObject();
    cJSON_AddItemToArray(rows, to);
    shape_of(w, shape, sizeof shape);
    cJSON_AddStringToObject(to, "workload", w->id);
    cJSON_AddStringToObject(to, "kind", kinds[w->kind]);
    cJSON_AddStringToObject(to, "shape", shape);
    add_number(to, "batch", (double)w->batch);
    cJSON_AddStringToObject(to, "dtype", w->bf16 ? "bf16" : "f32");
    add_number(to, "threads", row->threads);
    if (timed) {
        add_times(to, &row->times);
    } else {
        cJSON_AddNullToObject(to, "median_ns");
        cJSON_AddStringToObject(to, "failure", row->failure);
    }
    bool flops = row->flop > 0, moves = row->bytes > 0;
    add_known(to, "gops", row->flop / row->times.median_ns, timed && flops);
    add_known(to, "gb_s", row->bytes / row->times.median_ns, timed && moves);
    add_known(to, "samples_per_s", (double)w->batch / row->times.median_ns * 1e9, timed && w->model && w->kind != SWG__WORK_ADAMW);
    add_known(to, "flop", row->flop, timed && flops);
    add_known(to, "bytes", row->bytes, timed && moves);
    add_known(to, "floor_ns", row->floor_ns, timed);
    if (timed)
        cJSON_AddStringToObject(to, "floor_by", row->floor_by);
    add_known(to, "fraction_of_floor", row->floor_ns / row->times.median_ns, timed);
    add_known(to, "fraction_of_floor_at_min", row->floor_ns / row->times.min_ns, timed);
    add_known(to, "x_floor", row->times.median_ns / row->floor_ns, timed);
    if (peer)
        cJSON_AddStringToObject(to, "peer", peer->name);
    else
        cJSON_AddStringToObject(to, "peer", is_memory(row) ? "none" : "absent");
    add_known(to, "peer_median_ns", peer ? peer->times.median_ns : NAN, peer != NULL);
    add_known(to, "peak_bytes_planned", (double)row->planned_bytes, timed);
    add_known(to, "peak_bytes_measured", (double)row->measured_bytes, row->measured_bytes >= 0);
    add_known(to, "allocations_in_steps", (double)row->allocations, row->allocations >= 0);
    if (timed && !is_memory(row))
        cJSON_AddNumberToObject(to, "max_relative_error", row->error);
    cJSON_AddBoolToObject(to, "hot", true);
    cJSON_AddBoolToObject(to, "noisy", row->noisy);
    cJSON *peers = cJSON_AddArrayToObject(to, "peers");
    for (int i = 0; i < row->peer_count; i++) {
        const swg__peer_times *p = &row->peers[i];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddItemToArray(peers, entry);
        cJSON_AddStringToObject(entry, "name", p->name);
        cJSON_AddStringToObject(entry, "variant", p->variant);
        if (*p->failure) {
            cJSON_AddStringToObject(entry, "failure", p->failure);
            continue;
        }
        add_times(entry, &p->times);
        add_number(entry, "ratio", p->ratio.median);
        add_number(entry, "ratio_low", p->ratio.low);
        add_number(entry, "ratio_high", p->ratio.high);
        cJSON_AddBoolToObject(entry, "interleaved", p->interleaved);
    }
}

char *swg__bench_json(const swg__bench *b) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "schema", 1);
    swg__bench_machine_json(&b->machine, &b->teams[b->team_count - 1], cJSON_AddObjectToObject(root, "machine"));
    add_peaks(b, root);
    cJSON *peers = cJSON_AddArrayToObject(root, "peers"), *rows = cJSON_AddArrayToObject(root, "rows");
    for (size_t i = 0; i < sizeof b->peers / sizeof *b->peers; i++) {
        cJSON *peer = cJSON_CreateObject();
        cJSON_AddItemToArray(peers, peer);
        cJSON_AddStringToObject(peer, "name", b->peers[i].name);
        cJSON_AddStringToObject(peer, "version", b->peers[i].version);
        cJSON_AddStringToObject(peer, "options", b->peers[i].options);
    }
    for (int i = 0; i < b->row_count; i++)
        add_row(&b->rows[i], rows);
    char *text = cJSON_GetArraySize(rows) == b->row_count ? cJSON_Print(root) : NULL; /* rows are added last */
    cJSON_Delete(root);
    return text;
}

/* ---- text ---- */

/* "4.1 us" in at most nine characters. */
static const char *duration(double ns, char out[24]) {
    static const struct { double scale; const char *unit; } units[] = {{1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
    int u = 0;
    while (u < 3 && ns >= units[u + 1].scale)
        u++;
    double value = ns / units[u].scale;
    snprintf(out, 24, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[u].unit);
    return out;
}

static void peak_lines(const swg__bench *b, swg__text *text) {
    for (int t = 0; t < b->team_count; t++)
        swg__bench_peak_line(&b->teams[t], text);
    swg__text_printf(text, "peak of one core at the end: %.1f Gop/s (start %.1f)%s\n\n", b->peak_end, b->peak_start,
                     fabs(b->peak_end / b->peak_start - 1) > .05 ? ": noisy, compare minima" : "");
}

/* Of several ways of one peer the fastest stands in the table; a failure only where none has a time. */
static bool is_quoted(const swg__row *row, int at) {
    const swg__peer_times *p = &row->peers[at];
    for (int i = 0; i < row->peer_count; i++) {
        const swg__peer_times *other = &row->peers[i];
        if (i == at || strcmp(other->name, p->name) != 0)
            continue;
        bool better = *p->failure ? !*other->failure || i < at
                                  : !*other->failure && (other->times.median_ns < p->times.median_ns ||
                                                         (other->times.median_ns <= p->times.median_ns && i < at));
        if (better)
            return false;
    }
    return true;
}

static void timed_row(const swg__row *row, swg__text *text) {
    char median[24], least[24], peer[24], unit[16];
    const swg__times *t = &row->times;
    snprintf(unit, sizeof unit, "%s", row->flop > 0 ? "Gop/s" : "GB/s");
    swg__text_printf(text, "%-22s %3d %10s %10s %5.1f%% %8.1f %-5s %-9s %6.2f %6.3f %6.3f%s", row->work.id, row->threads,
                     duration(t->median_ns, median), duration(t->min_ns, least), 100 * t->spread, rate(row), unit, row->floor_by,
                     t->median_ns / row->floor_ns, row->floor_ns / t->median_ns, row->floor_ns / t->min_ns,
                     row->noisy ? " ~" : "  ");
    for (int i = 0; i < row->peer_count; i++) {
        const swg__peer_times *p = &row->peers[i];
        if (!is_quoted(row, i))
            continue;
        if (*p->failure) {
            swg__text_printf(text, "  %s: %.60s", p->name, p->failure);
            continue;
        }
        swg__text_printf(text, "  %s %s, x %.2f", p->name, duration(p->times.median_ns, peer), p->ratio.median);
        if (p->interleaved)
            swg__text_printf(text, " (%.2f-%.2f)", p->ratio.low, p->ratio.high);
    }
    swg__text_puts(text, "\n");
}

static void memory_row(const swg__row *row, swg__text *text) {
    double planned = (double)row->planned_bytes, measured = (double)row->measured_bytes;
    char step[32];
    swg__text_printf(text, "%-28s %3d %12.2f %12.2f %+7.2f %12lld %21s\n", row->work.id, row->threads, planned * 0x1p-20, measured * 0x1p-20,
                     (measured - planned) * 0x1p-20, (long long)row->allocations, duration(row->times.median_ns, step));
}

static void rows_of(const swg__bench *b, bool memory, swg__text *text) {
    int shown = 0;
    for (int i = 0; i < b->row_count; i++) {
        const swg__row *row = &b->rows[i];
        if (is_memory(row) != memory)
            continue;
        if (shown++ == 0)
            swg__text_puts(text, memory ? "\npeak memory                  thr  planned MiB measured MiB     gap  allocations in the steps   median\n"
                                        : "row                    thr     median        min spread     rate       floor of   x flr  of flr  at min"
                                          "   peer, x ours\n");
        if (*row->failure)
            swg__text_printf(text, "%-22s %3d %s\n", row->work.id, row->threads, row->failure);
        else if (memory)
            memory_row(row, text);
        else
            timed_row(row, text);
    }
}

void swg__bench_table(const swg__bench *b, swg__text *text) {
    swg__bench_machine_line(&b->machine, &b->teams[b->team_count - 1], text);
    peak_lines(b, text);
    rows_of(b, false, text);
    rows_of(b, true, text);
    swg__text_puts(text, "\n");
    for (size_t i = 0; i < sizeof b->peers / sizeof *b->peers; i++)
        swg__text_printf(text, "%s: %s%s%s\n", b->peers[i].name, b->peers[i].version, *b->peers[i].options ? "; " : "", b->peers[i].options);
}
