/* cyto_report.c - a run of `swage bench cyto` as tables with their targets, as one JSON object, or as a picture.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench/cyto.h"
#include "swage/report.h"

static const double mib = 0x1p-20;

static bool timed(const swg__cyto_side *s) { return !*s->failure && s->times.reps > 0; }
static double per_second(const swg__cyto_side *s) { return 1e9 / s->times.mean_ns; }

static void shape_text(const swg__cyto_bench *b, int64_t batch, const char *between, char out[80]) {
    int used = snprintf(out, 80, "%lld", (long long)batch);
    for (int axis = 1; axis < b->opts.ndim; axis++)
        used += snprintf(out + used, 80 - (size_t)used, "%s%lld", between, (long long)b->opts.shape[axis]);
}

static const char *group_name(const swg__cyto_group *g) { return g->checkpoints ? "checkpointing" : g->training ? "training" : "inference"; }

/* ---- targets, of segmentation on patches of 64^3 ---- */

typedef struct target { const char *what; double wanted, found; } target; /* found: NaN where it was not measured */
enum { TARGETS = 3 };

static const swg__cyto_side *side_of(const swg__cyto_group *g, int role) {
    for (int i = 0; i < g->count; i++)
        if ((int)g->sides[i].role == role && timed(&g->sides[i]))
            return &g->sides[i];
    return NULL;
}

static double over_zero(double value) { return value > 0 ? value : NAN; }

/* Least share of the planned peak that recomputing saves: of everything off, and of everything on. */
static double saved(const swg__cyto_group *g) {
    static const int pairs[2][2] = {{SWG__CYTO_BASELINE, SWG__CYTO_CHECKPOINTED}, {SWG__CYTO_ALL, SWG__CYTO_ALL_CHECKPOINTED}};
    double least = NAN;
    for (int i = 0; i < 2; i++) {
        const swg__cyto_side *whole = side_of(g, pairs[i][0]), *part = side_of(g, pairs[i][1]);
        if (whole && part)
            least = fmin(least, 100 - 100 * (double)part->planned_bytes / (double)whole->planned_bytes);
    }
    return least;
}

static void judge(const swg__cyto_bench *b, target out[TARGETS]) {
    const swg__cyto_group *g = &b->groups[0];
    const swg__cyto_side *all = side_of(g, SWG__CYTO_ALL);
    out[0] = (target){"training step: all together, times the baseline's speed", 2, all ? over_zero(all->speedup.median) : NAN};
    out[1] = (target){"training step: all together, times the best of PyTorch eager bf16", 1.3, over_zero(g->over_peer.median)};
    out[2] = (target){"checkpointing: per cent of the planned peak saved", 40, saved(g)};
}

static bool judged(const swg__cyto_bench *b) {
    const swg__cyto_opts *o = &b->opts;
    return o->compare && o->experiment == SWG__CYTO_SEGMENTATION && o->ndim == 5 && o->shape[2] == 64 && o->shape[3] == 64 && o->shape[4] == 64;
}

static const char *verdict(const swg__cyto_bench *b, const target *t) {
    return !judged(b) || !isfinite(t->found) ? "not judged" : t->found >= t->wanted ? "reached" : "MISSED";
}

/* ---- tables: cells between blanks, or between bars in Markdown ---- */

typedef struct table { swg__text *text; bool markdown; } table;
enum { COLUMNS = 11 };
static const int widths[COLUMNS] = {24, 9, 9, 9, 9, 9, 9, 18, 9, 9, 9};
static const char *const heads[COLUMNS] = {"", "mean ms", "p50 ms", "p95 ms", "p99 ms", "images/s", "batches/s", "speed-up", "planned", "measured", "loss diff"};

static void row(const table *t, char cells[COLUMNS][32]) {
    for (int i = 0; i < COLUMNS; i++)
        if (t->markdown)
            swg__text_printf(t->text, "| %s ", cells[i]);
        else
            swg__text_printf(t->text, i ? " %*s" : "%-*s", widths[i], cells[i]);
    swg__text_puts(t->text, t->markdown ? "|\n" : "\n");
}

static void head(const table *t) {
    char cells[COLUMNS][32];
    for (int i = 0; i < COLUMNS; i++)
        snprintf(cells[i], sizeof cells[i], "%s", heads[i]);
    row(t, cells);
    for (int i = 0; t->markdown && i < COLUMNS; i++)
        swg__text_puts(t->text, i == COLUMNS - 1 ? "|---|\n" : "|---");
}

static void side_row(const table *t, const swg__cyto_group *g, const swg__cyto_side *s, const char *name) {
    char cells[COLUMNS][32] = {{0}};
    if (!timed(s)) {
        swg__text_printf(t->text, t->markdown ? "| %s | %s |\n" : "%-24s %s\n", name, *s->failure ? s->failure : *s->why ? s->why : "no time");
        return;
    }
    const double ms[4] = {s->times.mean_ns, s->times.median_ns, s->times.p95_ns, s->times.p99_ns};
    snprintf(cells[0], sizeof cells[0], "%s", name);
    for (int i = 0; i < 4; i++)
        snprintf(cells[1 + i], sizeof cells[1], "%.4g", ms[i] * 1e-6);
    snprintf(cells[5], sizeof cells[5], "%.3g", (double)g->batch * per_second(s));
    snprintf(cells[6], sizeof cells[6], "%.3g", per_second(s));
    snprintf(cells[7], sizeof cells[7], s->speedup.median > 0 ? "%.2f (%.2f-%.2f)" : "-", s->speedup.median, s->speedup.low, s->speedup.high);
    snprintf(cells[8], sizeof cells[8], s->planned_bytes ? "%.1f" : "-", (double)s->planned_bytes * mib);
    snprintf(cells[9], sizeof cells[9], s->measured_bytes ? "%.1f" : "-", (double)s->measured_bytes * mib);
    snprintf(cells[10], sizeof cells[10], g->training && !s->form && s->speedup.median > 0 ? "%.1e" : "-", s->loss_difference);
    row(t, cells);
}

static void compared(const table *t, const swg__cyto_bench *b) {
    for (int i = 0; i < b->group_count; i++) {
        const swg__cyto_group *g = &b->groups[i];
        swg__text_printf(t->text, "\n%s%s\n%s", t->markdown ? "**" : "", g->checkpoints ? "training, all together: ways of recomputing" : group_name(g),
                         t->markdown ? "**\n\n" : "");
        head(t);
        for (int j = 0; j < g->count; j++)
            side_row(t, g, &g->sides[j], g->sides[j].name);
        if (g->over_peer.median > 0)
            swg__text_printf(t->text, "%sall together, times the best of PyTorch eager bf16: %.2f (%.2f-%.2f)\n", t->markdown ? "\n" : "", g->over_peer.median,
                             g->over_peer.low, g->over_peer.high);
    }
    target targets[TARGETS];
    judge(b, targets);
    swg__text_puts(t->text, "\n");
    for (int i = 0; i < TARGETS; i++) {
        swg__text_printf(t->text, "%s%-66s >= %-4g ", t->markdown ? "- " : "", targets[i].what, targets[i].wanted);
        if (isfinite(targets[i].found))
            swg__text_printf(t->text, "%.2f, ", targets[i].found);
        swg__text_printf(t->text, "%s\n", verdict(b, &targets[i]));
    }
}

static void batches(const table *t, const swg__cyto_bench *b) {
    for (int i = 0; i < b->group_count; i++) {
        const swg__cyto_group *g = &b->groups[i];
        char name[32];
        if (i == 0 || g[-1].training != g->training) {
            swg__text_printf(t->text, "\n%s%s, all together%s\n", t->markdown ? "**" : "", group_name(g), t->markdown ? "**\n" : "");
            head(t);
        }
        snprintf(name, sizeof name, "batch %lld", (long long)g->batch);
        side_row(t, g, &g->sides[0], name);
    }
}

void swg__cyto_table(const swg__cyto_bench *b, bool markdown, swg__text *text) {
    const table t = {text, markdown};
    char shape[80];
    const char *end = markdown ? "\n\n" : "\n";
    swg__bench_machine_line(&b->machine, &b->team, text);
    shape_text(b, b->opts.shape[0], "x", shape);
    swg__text_printf(text, "%sPyTorch: %s%s%s", markdown ? "\n" : "", b->peer.version, *b->peer.options ? "; " : "", b->peer.options);
    swg__text_printf(text, "%scyto/%s, input %s; %d thread%s, %s; sides in turns, %d calls each after %d; load before %.2f, after %.2f\n", end,
                     swg__cyto_name(b->opts.experiment), b->opts.compare ? shape : strchr(shape, 'x') + 1, b->team.threads, b->team.threads > 1 ? "s" : "",
                     swg__work_clock_name(b->team.threads), b->opts.iterations, b->opts.warmup, b->machine.load_before, b->machine.load_after);
    swg__text_puts(text, "speed-up: of the first row's time, median of ratios turn by turn (least-most); planned, measured: peak, MiB\n");
    if (b->opts.compare)
        compared(&t, b);
    else
        batches(&t, b);
}

/* ---- JSON; published names where there are any ---- */

static void add(cJSON *to, const char *key, double value, bool is) {
    if (is && isfinite(value))
        cJSON_AddNumberToObject(to, key, value);
    else
        cJSON_AddNullToObject(to, key);
}

static void add_ratio(cJSON *to, const char *key, const swg__ratio *r) {
    char name[64];
    add(to, key, r->median, r->median > 0);
    snprintf(name, sizeof name, "%s_low", key);
    add(to, name, r->low, r->median > 0);
    snprintf(name, sizeof name, "%s_high", key);
    add(to, name, r->high, r->median > 0);
}

static void add_side(const swg__cyto_bench *b, const swg__cyto_group *g, const swg__cyto_side *s, cJSON *rows) {
    cJSON *to = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    bool is = timed(s), losses = s->times.reps > 0 && g->training && !s->form;
    cJSON_AddItemToArray(rows, to);
    cJSON_AddStringToObject(to, "name", s->name);
    cJSON_AddStringToObject(to, "pass", group_name(g));
    cJSON_AddStringToObject(to, "settings", s->settings);
    cJSON_AddStringToObject(to, "system", s->form ? "PyTorch" : "swage");
    cJSON_AddStringToObject(to, "device", "cpu");
    cJSON_AddItemToObject(to, "input_shape", shape);
    for (int axis = 0; axis < b->opts.ndim; axis++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)s->task.shape[axis]));
    cJSON_AddBoolToObject(to, "effective", !*s->why);
    add(to, "avg_latency_ms", s->times.mean_ns * 1e-6, is);
    add(to, "std_ms", s->times.std_ns * 1e-6, is);
    add(to, "p50_ms", s->times.median_ns * 1e-6, is);
    add(to, "p95_ms", s->times.p95_ns * 1e-6, is);
    add(to, "p99_ms", s->times.p99_ns * 1e-6, is);
    add(to, "min_ms", s->times.min_ns * 1e-6, is);
    add(to, "throughput_fps", (double)g->batch * per_second(s), is);
    add(to, "batches_per_s", per_second(s), is);
    add(to, "total_time_ms", s->total_ns * 1e-6, is);
    add(to, "num_iterations", (double)s->times.reps, is);
    add_ratio(to, "speedup", &s->speedup);
    add(to, "peak_bytes_planned", (double)s->planned_bytes, s->planned_bytes > 0);
    add(to, "peak_bytes_measured", (double)s->measured_bytes, s->measured_bytes > 0);
    add(to, "parameters", s->parameters, s->parameters > 0);
    add(to, "loss_difference", s->loss_difference, losses);
    add(to, "loss_tolerance", s->tolerance, losses);
    cJSON *list = cJSON_AddArrayToObject(to, "losses");
    for (int i = 0; losses && i < SWG__CYTO_LOSSES; i++)
        cJSON_AddItemToArray(list, isfinite(s->losses[i]) ? cJSON_CreateNumber(s->losses[i]) : cJSON_CreateNull());
    if (*s->why)
        cJSON_AddStringToObject(to, "why", s->why);
    if (*s->failure)
        cJSON_AddStringToObject(to, "failure", s->failure);
}

static void add_targets(const swg__cyto_bench *b, cJSON *root) {
    target targets[TARGETS];
    cJSON *list = cJSON_AddArrayToObject(root, "targets");
    judge(b, targets);
    for (int i = 0; i < TARGETS; i++) {
        cJSON *to = cJSON_CreateObject();
        cJSON_AddItemToArray(list, to);
        cJSON_AddStringToObject(to, "what", targets[i].what);
        add(to, "wanted", targets[i].wanted, true);
        add(to, "found", targets[i].found, true);
        cJSON_AddStringToObject(to, "verdict", verdict(b, &targets[i]));
    }
}

char *swg__cyto_json(const swg__cyto_bench *b) {
    cJSON *root = cJSON_CreateObject();
    int expected = 0;
    add(root, "schema", 1, true);
    cJSON_AddStringToObject(root, "kind", b->opts.compare ? "cyto compare-opts" : "cyto batch-sizes");
    swg__bench_machine_json(&b->machine, &b->team, cJSON_AddObjectToObject(root, "machine"));
    cJSON *peer = cJSON_AddObjectToObject(root, "peer");
    cJSON_AddStringToObject(peer, "name", "PyTorch");
    cJSON_AddStringToObject(peer, "version", b->peer.version);
    cJSON_AddStringToObject(peer, "options", b->peer.options);
    cJSON_AddStringToObject(root, "experiment", swg__cyto_name(b->opts.experiment));
    cJSON_AddStringToObject(root, "clock", swg__work_clock_name(b->team.threads));
    add(root, "warmup", b->opts.warmup, true);
    add(root, "budget_bytes", (double)b->budget_bytes, b->budget_bytes > 0);
    if (b->opts.compare)
        add_targets(b, root);
    cJSON *rows = cJSON_AddArrayToObject(root, "rows");
    for (int i = 0; i < b->group_count; i++)
        for (int j = 0; j < b->groups[i].count; j++, expected++)
            add_side(b, &b->groups[i], &b->groups[i].sides[j], rows);
    char *text = cJSON_GetArraySize(rows) == expected ? cJSON_Print(root) : NULL; /* rows are added last */
    cJSON_Delete(root);
    return text;
}

/* ---- picture ---- */

/* Speed-ups of a group, or planned peaks in MiB, of what was measured. */
static swg_values bars_of(const swg__cyto_group *g, bool memory, const char *title, const char **names, double *values) {
    swg_values v = {.title = title, .unit = memory ? "MiB" : "x", .names = names, .values = values, .mark = memory ? 0 : 1};
    for (int i = 0; i < g->count; i++) {
        const swg__cyto_side *s = &g->sides[i];
        if (!timed(s) || (memory && !s->planned_bytes))
            continue;
        names[v.rows] = s->name;
        values[v.rows++] = memory ? (double)s->planned_bytes * mib : s->speedup.median;
    }
    return v;
}

static swg_status draw_switches(const swg__cyto_bench *b, const char *path, const char *title) {
    const char *names[4][SWG__CYTO_SIDES];
    double values[4][SWG__CYTO_SIDES];
    const swg_values charts[] = {bars_of(&b->groups[0], false, "training step, times the baseline's speed", names[0], values[0]),
                                 bars_of(&b->groups[1], false, "inference, times the baseline's speed", names[1], values[1]),
                                 bars_of(&b->groups[0], true, "training step, planned peak", names[2], values[2]),
                                 bars_of(&b->groups[2], true, "all together, ways of recomputing: planned peak", names[3], values[3])};
    return swg_values_write(b->ctx, path, title, charts, 4);
}

static swg_status draw_batches(const swg__cyto_bench *b, const char *path, const char *title) {
    double batch[2][SWG__CYTO_BATCHES], rate[2][SWG__CYTO_BATCHES], peak[2][SWG__CYTO_BATCHES];
    swg_series rates[2], peaks[2];
    for (int pass = 0; pass < 2; pass++) {
        const int n = b->opts.batch_count;
        for (int i = 0; i < n; i++) {
            const swg__cyto_group *g = &b->groups[pass * n + i];
            batch[pass][i] = (double)g->batch;
            rate[pass][i] = timed(&g->sides[0]) ? (double)g->batch * per_second(&g->sides[0]) : NAN;
            peak[pass][i] = (double)g->sides[0].planned_bytes * mib;
        }
        rates[pass] = (swg_series){.name = pass ? "inference" : "training", .count = n, .x = batch[pass], .y = rate[pass]};
        peaks[pass] = (swg_series){.name = rates[pass].name, .count = n, .x = batch[pass], .y = peak[pass]};
    }
    const swg_chart charts[] = {{.title = "images per second", .x_label = "batch", .log_x = true, .count = 2, .series = rates},
                                {.title = "planned peak, MiB", .x_label = "batch", .log_x = true, .log_y = true, .count = 2, .series = peaks}};
    return swg_charts_write(b->ctx, path, title, charts, 2, 2);
}

swg_status swg__cyto_chart(const swg__cyto_bench *b, const char *path) {
    char title[200], shape[80];
    shape_text(b, b->opts.shape[0], "x", shape);
    snprintf(title, sizeof title, "swage bench cyto/%s, input %s, %d thread%s, %.60s", swg__cyto_name(b->opts.experiment), shape, b->team.threads,
             b->team.threads > 1 ? "s" : "", b->machine.cpu);
    return b->opts.compare ? draw_switches(b, path, title) : draw_batches(b, path, title);
}
