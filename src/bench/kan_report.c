/* kan_report.c - a run of `swage bench kan` as a table with its targets, or as one JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/kan.h"

static bool timed(const swg__kan_side *s) { return !*s->failure && s->times.median_ns > 0; }

const swg__kan_side *swg__kan_published(const swg__kan_group *g) {
    for (int i = 0; i < g->count; i++)
        if (g->sides[i].published && timed(&g->sides[i]))
            return &g->sides[i];
    return NULL;
}

static const char *pass_name(const swg__kan_group *g) {
    return g->work == SWG__KAN_LAYER ? (g->training ? "forward+backward" : "forward") : g->training ? "training step" : "inference";
}

/* Of the published side over this one; 0: one of them is not known. */
static double speedup(const swg__kan_group *g, const swg__kan_side *s) {
    const swg__kan_side *published = swg__kan_published(g);
    return published && timed(s) ? published->times.median_ns / s->times.median_ns : 0;
}

static double memory_ratio(const swg__kan_group *g, const swg__kan_side *s) {
    const swg__kan_side *published = swg__kan_published(g);
    return published && timed(s) && s->measured_bytes > 0 && published->measured_bytes > 0 ? (double)published->measured_bytes / (double)s->measured_bytes : 0;
}

/* ---- targets: the least over all batches ---- */

typedef struct target {
    const char *what;
    swg__kan_work work;
    bool training, bf16;        /* of ours */
    double (*ratio)(const swg__kan_group *g, const swg__kan_side *s);
    double wanted, goal;        /* goal 0: none */
} target;

static const target targets[] = {
    {"layer, forward: times faster", SWG__KAN_LAYER, false, false, speedup, 15, 30},
    {"layer, forward+backward: times faster", SWG__KAN_LAYER, true, false, speedup, 15, 30},
    {"layer, forward: times less memory", SWG__KAN_LAYER, false, false, memory_ratio, 5, 0},
    {"layer, forward+backward: times less memory", SWG__KAN_LAYER, true, false, memory_ratio, 5, 0},
    {"kan/dae, training step: times faster, f32", SWG__KAN_DAE, true, false, speedup, 4, 0},
    {"kan/dae, training step: times faster, bf16", SWG__KAN_DAE, true, true, speedup, 4, 0},
};
enum { TARGETS = sizeof targets / sizeof *targets };

/* The best of ours in a group: of a layer's forms what is expanded once. */
static double best_ratio(const swg__kan_group *g, const target *t) {
    double best = 0;
    for (int i = 0; i < g->count; i++) {
        const swg__kan_side *s = &g->sides[i];
        if (!s->form && s->task.form == SWG__KAN_ONCE && s->task.bf16 == t->bf16)
            best = fmax(best, t->ratio(g, s));
    }
    return best;
}

/* False: nothing was measured that it is about. */
static bool judge(const swg__kan_bench *b, const target *t, double *least, double *most) {
    *least = INFINITY;
    *most = 0;
    for (int i = 0; i < b->group_count; i++) {
        const swg__kan_group *g = &b->groups[i];
        double ratio = g->work == t->work && g->training == t->training ? best_ratio(g, t) : 0;
        if (ratio > 0) {
            *least = fmin(*least, ratio);
            *most = fmax(*most, ratio);
        }
    }
    return *most > 0;
}

static const char *verdict(const target *t, bool known, double least) { return !known ? "not judged" : least >= t->wanted ? "reached" : "MISSED"; }

/* ---- table ---- */

static const char *time_text(double ns, char out[24]) {
    snprintf(out, 24, ns < 1e6 ? "%.3g us" : "%.4g ms", ns < 1e6 ? ns * 1e-3 : ns * 1e-6);
    return out;
}

static const char *known(const char *format, double value, char out[24]) {
    if (value > 0)
        snprintf(out, 24, format, value);
    else
        snprintf(out, 24, "-");
    return out;
}

static void group_rows(const swg__kan_group *g, swg__text *text) {
    for (int i = 0; i < g->count; i++) {
        const swg__kan_side *s = &g->sides[i];
        char median[24], gain[24], planned[24], measured[24], less[24], rate[24];
        if (!timed(s)) {
            swg__text_printf(text, "%5lld  %-32s %s\n", (long long)g->batch, s->name, *s->failure ? s->failure : "no time");
            continue;
        }
        swg__text_printf(text, "%5lld  %-32s %10s %5.0f%% %10s %10s %11s %12s %10s\n", (long long)g->batch, s->name, time_text(s->times.median_ns, median),
                         s->times.spread * 100, known("%.1f", (double)g->batch * 1e9 / s->times.median_ns, rate), known("%.2f", speedup(g, s), gain),
                         known("%.1f", (double)s->planned_bytes * 0x1p-20, planned), known("%.1f", (double)s->measured_bytes * 0x1p-20, measured),
                         known("%.1f", memory_ratio(g, s), less));
    }
}


void swg__kan_table(const swg__kan_bench *b, swg__text *text) {
    const swg__kan_opts *o = &b->opts;
    swg__bench_machine_line(&b->machine, &b->team, text);
    swg__text_printf(text, "PyTorch: %s; %s\n", b->peer.version, b->peer.options);
    swg__text_printf(text, "layer: %lld-%lld k3 p1 on %lldx%lld, grid %lld, order %lld, f32 (bf16: autocast); networks: 3x%lldx%lld; %d thread%s, %s; sides in turns\n",
                     (long long)o->channels, (long long)o->channels, (long long)o->size, (long long)o->size, (long long)o->grid, (long long)o->order,
                     (long long)o->image, (long long)o->image, b->team.threads, b->team.threads > 1 ? "s" : "", swg__work_clock_name(b->team.threads));
    for (int i = 0; i < b->group_count; i++) {
        const swg__kan_group *g = &b->groups[i], *above = i ? g - 1 : NULL;
        if (!above || above->work != g->work || above->training != g->training) {
            char title[64];
            snprintf(title, sizeof title, "%s, %s", swg__kan_work_name((int)g->work), pass_name(g));
            swg__text_printf(text, "\n%s\nbatch  %-32s %10s %6s %10s %10s %11s %12s %10s\n", title, "side", "median", "spread", "samples/s", "x faster", "planned MiB",
                             "measured MiB", "x less");
        }
        group_rows(g, text);
    }
    swg__text_puts(text, "\nx faster, x less: than what is published, on PyTorch in f32. Targets of our best row, least and most over the batches:\n");
    for (int i = 0; i < TARGETS; i++) {
        const target *t = &targets[i];
        double least, most;
        bool is = judge(b, t, &least, &most);
        swg__text_printf(text, "%-46s >= %-3.0f", t->what, t->wanted);
        if (t->goal > 0)
            swg__text_printf(text, "(goal %.0f)", t->goal);
        swg__text_printf(text, "%*s%s", t->goal > 0 ? 1 : 10, "", verdict(t, is, least));
        if (is)
            swg__text_printf(text, ", %.1f-%.1f%s", least, most, t->goal > 0 && least >= t->goal ? ", and the goal" : "");
        swg__text_puts(text, "\n");
    }
}

/* ---- JSON ---- */

static void add(cJSON *to, const char *key, double value, bool is) {
    if (is && isfinite(value))
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_side(const swg__kan_group *g, const swg__kan_side *s, cJSON *rows) {
    cJSON *to = cJSON_CreateObject();
    bool is = timed(s);
    cJSON_AddItemToArray(rows, to);
    cJSON_AddStringToObject(to, "work", swg__kan_work_name((int)g->work));
    cJSON_AddStringToObject(to, "pass", pass_name(g));
    add(to, "batch", (double)g->batch, true);
    cJSON_AddStringToObject(to, "side", s->name);
    cJSON_AddStringToObject(to, "dtype", s->task.bf16 ? "bf16" : "f32");
    cJSON_AddBoolToObject(to, "published", s->published);
    add(to, "median_ns", s->times.median_ns, is);
    add(to, "mean_ns", s->times.mean_ns, is);
    add(to, "std_ns", s->times.std_ns, is);
    add(to, "min_ns", s->times.min_ns, is);
    add(to, "p95_ns", s->times.p95_ns, is);
    add(to, "spread", s->times.spread, is);
    add(to, "reps", (double)s->times.reps, is);
    add(to, "cold_ms", s->times.cold_ns * 1e-6, is);
    add(to, "samples_per_s", (double)g->batch * 1e9 / s->times.median_ns, is);
    add(to, "speedup", speedup(g, s), speedup(g, s) > 0);
    add(to, "peak_bytes_planned", (double)s->planned_bytes, s->planned_bytes > 0);
    add(to, "peak_bytes_measured", (double)s->measured_bytes, s->measured_bytes > 0);
    add(to, "memory_ratio", memory_ratio(g, s), memory_ratio(g, s) > 0);
    add(to, "parameters", s->parameters, s->parameters > 0);
    add(to, "max_relative_error", s->error, is && s->error > 0);
    if (*s->failure)
        cJSON_AddStringToObject(to, "failure", s->failure);
}

char *swg__kan_json(const swg__kan_bench *b) {
    const swg__kan_opts *o = &b->opts;
    cJSON *root = cJSON_CreateObject();
    add(root, "schema", 1, true);
    cJSON_AddStringToObject(root, "kind", "kan");
    swg__bench_machine_json(&b->machine, &b->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON *peer = cJSON_AddObjectToObject(root, "peer"), *layer = cJSON_AddObjectToObject(root, "layer");
    cJSON_AddStringToObject(peer, "name", "PyTorch");
    cJSON_AddStringToObject(peer, "version", b->peer.version);
    cJSON_AddStringToObject(peer, "options", b->peer.options);
    add(layer, "channels", (double)o->channels, true);
    add(layer, "size", (double)o->size, true);
    add(layer, "grid", (double)o->grid, true);
    add(layer, "order", (double)o->order, true);
    cJSON_AddStringToObject(root, "clock", swg__work_clock_name(b->team.threads));
    add(root, "image", (double)o->image, true);
    cJSON *judged = cJSON_AddArrayToObject(root, "targets"), *rows = cJSON_AddArrayToObject(root, "rows");
    for (int i = 0; i < TARGETS; i++) {
        double least, most;
        bool is = judge(b, &targets[i], &least, &most);
        cJSON *to = cJSON_CreateObject();
        cJSON_AddItemToArray(judged, to);
        cJSON_AddStringToObject(to, "what", targets[i].what);
        add(to, "wanted", targets[i].wanted, true);
        add(to, "goal", targets[i].goal, targets[i].goal > 0);
        add(to, "least", least, is);
        add(to, "most", most, is);
        cJSON_AddStringToObject(to, "verdict", verdict(&targets[i], is, least));
    }
    int expected = 0;
    for (int i = 0; i < b->group_count; i++)
        for (int j = 0; j < b->groups[i].count; j++, expected++)
            add_side(&b->groups[i], &b->groups[i].sides[j], rows);
    char *text = cJSON_GetArraySize(rows) == expected ? cJSON_Print(root) : NULL; /* rows are added last */
    cJSON_Delete(root);
    return text;
}
