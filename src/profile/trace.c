/* trace.c - a profile in Chrome's trace-event format: one track per worker, one of whole steps, a counter of live bytes.
 * In: a profile. Out: JSON text; ui.perfetto.dev and chrome://tracing open it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include "profile/profile.h"
#include "plan/profile.h"

enum { PID = 1, STEPS_TRACK = 1000 }; /* behind the workers' */

/* Microseconds since the first wait, to the nanosecond. */
static double micro(const swg__profiled *p, int64_t ns) { return (double)(ns - p->waits[0].begin_ns) * 1e-3; }

static double rounded(double value) { return round(value * 1e3) / 1e3; }

static cJSON *event(cJSON *to, const char *phase, const char *name, double begin_us, int track) {
    cJSON *e = cJSON_CreateObject();
    cJSON_AddItemToArray(to, e);
    cJSON_AddStringToObject(e, "ph", phase);
    cJSON_AddStringToObject(e, "name", name);
    cJSON_AddNumberToObject(e, "pid", PID);
    cJSON_AddNumberToObject(e, "tid", track);
    cJSON_AddNumberToObject(e, "ts", rounded(begin_us));
    return e;
}

static void name_track(cJSON *to, const char *what, int track, const char *name) {
    cJSON *e = event(to, "M", what, 0, track);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(e, "args"), "name", name);
}

static cJSON *span(cJSON *to, const char *name, const char *category, double begin_us, double took_us, int track) {
    cJSON *e = event(to, "X", name, begin_us, track);
    cJSON_AddNumberToObject(e, "dur", rounded(took_us));
    cJSON_AddStringToObject(e, "cat", category);
    return cJSON_AddObjectToObject(e, "args");
}

/* One step on one worker. Rates are of the whole step, over all workers and recorded runs. */
static void add_step(const swg__profiled *p, cJSON *to, int step, int worker, double begin_us, double took_us, swg_span own) {
    const swg__cost *c = &p->costs[step];
    swg_step_info info;
    swg_plan_step(p->plan, step, &info);
    cJSON *args = span(to, c->label, c->pass, begin_us, took_us, worker);
    cJSON_AddStringToObject(args, "op", info.op);
    cJSON_AddStringToObject(args, "scope", c->scope);
    cJSON_AddStringToObject(args, "shape", c->shape);
    cJSON_AddStringToObject(args, "dtype", c->dtype);
    cJSON_AddStringToObject(args, "kernel", info.kernel);
    if (c->flop > 0)
        cJSON_AddNumberToObject(args, "gflop_per_s", rounded(c->flop / c->wall_ns));
    cJSON_AddNumberToObject(args, "bytes", c->bytes);
    cJSON_AddNumberToObject(args, "gb_per_s", rounded(c->bytes / c->wall_ns));
    cJSON_AddNumberToObject(args, "percent_of_floor", rounded(100 * c->floor_ns / c->wall_ns));
    cJSON_AddStringToObject(args, "floor_by", c->floor_by);
    cJSON_AddNumberToObject(args, "tasks", (double)own.tasks);
    cJSON_AddNumberToObject(args, "busy_us", rounded((double)own.busy_ns * 1e-3));
}

/* A row-panel group: its steps in order, each as long as it was busy on this worker; in truth they took turns, panel by panel. */
static void add_group(const swg__profiled *p, cJSON *to, int64_t run, const swg__group *group, int worker) {
    swg_span first = swg_profile_worker(p->record, run, group->first, worker);
    swg_span last = swg_profile_worker(p->record, run, group->first + group->count - 1, worker);
    char name[64];
    if (first.tasks == 0)
        return;
    snprintf(name, sizeof name, "%lld row panels of %d steps", (long long)first.tasks, group->count);
    cJSON *args = span(to, name, "panels", micro(p, first.begin_ns), (double)(last.end_ns - first.begin_ns) * 1e-3, worker);
    cJSON_AddStringToObject(args, "note", "the steps inside took turns, panel by panel; each is shown as long as it was busy in all panels together");
    double at = micro(p, first.begin_ns);
    for (int i = group->first; i < group->first + group->count; i++) {
        swg_span own = swg_profile_worker(p->record, run, i, worker);
        add_step(p, to, i, worker, at, (double)own.busy_ns * 1e-3, own);
        at += (double)own.busy_ns * 1e-3;
    }
}

static void add_live(const swg__profiled *p, cJSON *to, int step, double at_us) {
    swg_live live = swg_plan_live(p->plan, step);
    cJSON *args = cJSON_AddObjectToObject(event(to, "C", "live bytes", at_us, 0), "args");
    cJSON_AddNumberToObject(args, "saved", (double)live.saved_bytes);
    cJSON_AddNumberToObject(args, "transient", (double)live.transient_bytes);
    cJSON_AddNumberToObject(args, "scratch", (double)live.scratch_bytes);
    cJSON_AddNumberToObject(args, "io", (double)live.io_bytes);
}

static void add_run(const swg__profiled *p, cJSON *to, int64_t run) {
    const swg_plan *plan = p->plan;
    swg_span whole = swg_profile_run(p->record, run), wait = p->waits[run];
    char name[32];
    snprintf(name, sizeof name, "step %lld", (long long)run);
    span(to, name, "step", micro(p, wait.begin_ns), (double)(whole.end_ns - wait.begin_ns) * 1e-3, STEPS_TRACK);
    span(to, "wait for batch", "data", micro(p, wait.begin_ns), (double)(wait.end_ns - wait.begin_ns) * 1e-3, 0);
    for (int i = 0; i < p->cost_count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__group *group = s->group >= 0 ? &plan->groups[s->group] : NULL;
        swg_span all = swg_profile_step(p->record, run, i);
        if (all.tasks == 0)
            continue;
        add_live(p, to, i, micro(p, all.begin_ns));
        for (int w = 0; w < swg_profile_workers(p->record); w++) {
            swg_span own = swg_profile_worker(p->record, run, i, w);
            if (group && group->first == i)
                add_group(p, to, run, group, w);
            else if (!group && own.tasks)
                add_step(p, to, i, w, micro(p, own.begin_ns), (double)(own.end_ns - own.begin_ns) * 1e-3, own);
        }
    }
}

char *swg__profiled_trace(const swg__profiled *p) {
    cJSON *root = cJSON_CreateObject(), *other = cJSON_AddObjectToObject(root, "otherData");
    cJSON_AddStringToObject(root, "displayTimeUnit", "ns");
    cJSON_AddStringToObject(other, "recipe", p->recipe);
    swg__bench_machine_json(&p->machine, &p->team, cJSON_AddObjectToObject(other, "machine"));
    cJSON *events = cJSON_AddArrayToObject(root, "traceEvents");
    name_track(events, "process_name", 0, p->recipe);
    name_track(events, "thread_name", STEPS_TRACK, "whole steps");
    for (int w = 0; w < swg_profile_workers(p->record); w++) {
        char name[32];
        snprintf(name, sizeof name, w ? "worker %d" : "worker %d (caller)", w);
        name_track(events, "thread_name", w, name);
    }
    for (int64_t run = 0; run < swg_profile_runs(p->record); run++)
        add_run(p, events, run);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}
