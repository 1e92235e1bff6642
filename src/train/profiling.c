/* profiling.c - records steps of a recipe, alone or while a run trains, and writes what they say.
 * In: a configuration or a run. Out: profiles; files of the run folder.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/profiling.h"
#include <string.h>
#include "plan/profile.h"
#include "profile/memory.h"

/* ---- by itself ---- */

enum { WARM_STEPS = 3 };
static const double warm_ns = .2e9;

static bool asked_to_stop(const swg__profile_opts *opts) { return opts->stop && *opts->stop; }

static swg_status record_steps(swg__trial *t, const swg__profile_opts *opts, swg__profiled *p) {
    swg_status status = swg_plan_profile(t->stage->plan, p->record);
    for (int64_t i = 0; i < opts->steps && status == SWG_OK; i++) {
        double begin = swg__bench_clock_ns();
        status = asked_to_stop(opts) ? swg__fail(p->ctx, SWG_EINTERRUPTED, "profile: interrupted") : swg__trial_step(t);
        p->took[i] = swg__bench_clock_ns() - begin;
        p->waits[i] = (swg_span){.begin_ns = t->wait_begin_ns, .end_ns = t->wait_end_ns};
    }
    swg_plan_profile(t->stage->plan, NULL);
    return status;
}

swg_status swg__profile_trial(swg_context *ctx, swg_config *config, const char *recipe, const swg__profile_opts *opts, swg__trial *t, swg__profiled *p) {
    *p = (swg__profiled){0};
    SWG__TRY(swg__trial_open(ctx, config, opts->inference, t));
    double begin = swg__bench_clock_ns();
    for (int i = 0; (i < WARM_STEPS || swg__bench_clock_ns() - begin < warm_ns) && !asked_to_stop(opts); i++)
        SWG__TRY(swg__trial_step(t));
    int64_t measured = swg_context_peak_rss_growth(ctx); /* the record is not part of it */
    SWG__TRY(swg__profiled_open(ctx, t->stage->plan, opts->steps, p));
    p->recipe = recipe;
    p->inference = opts->inference;
    p->synthetic = t->synthetic;
    p->batch = t->run.recipe.batch;
    p->planned_bytes = swg__trial_planned_bytes(t);
    p->measured_bytes = measured;
    SWG__TRY(record_steps(t, opts, p));
    return swg__profiled_finish(p);
}

/* ---- inside of a run ---- */

struct swg__run_profile {
    swg__profiled p;
    const swg__stage *stage;    /* whose runs are counted */
    int64_t count;              /* of them, in this sitting */
    bool on, keep;              /* this one is recorded; and kept */
};

swg_status swg__run_profile_open(swg__run *r) {
    const swg__recipe_profiler *how = &r->recipe.profiler;
    int64_t runs;
    if (!how->time)
        return SWG_OK;
    if (swg__mul_overflow(how->active, how->repeat, &runs) || !(r->profile = swg__calloc(r->ctx, 1, sizeof *r->profile)))
        return swg__fail_memory(r->ctx, sizeof *r->profile, "a profile");
    struct swg__run_profile *own = r->profile;
    own->stage = r->train.plan ? &r->train : &r->train_rest;
    SWG__TRY(swg__profiled_open(r->ctx, own->stage->plan, runs, &own->p));
    own->p.recipe = swg_config_string(r->config, "model.name");
    own->p.batch = own->stage == &r->train ? r->recipe.batch : swg__run_used(r) % r->recipe.batch;
    return SWG_OK;
}

void swg__run_profile_close(swg__run *r) {
    if (r->profile)
        swg__profiled_free(&r->profile->p);
    swg__free(r->ctx, r->profile);
    r->profile = NULL;
}

void swg__run_profile_begin(swg__run *r, const swg__stage *stage) {
    struct swg__run_profile *own = r->profile;
    const swg__recipe_profiler *how = &r->recipe.profiler;
    if (!own)
        return;
    const int64_t cycle = how->wait + how->warmup + how->active, at = own->count % cycle;
    own->on = stage == own->stage && own->count / cycle < how->repeat && at >= how->wait;
    own->keep = own->on && at >= how->wait + how->warmup;
    own->count += stage == own->stage;
    if (own->on)
        own->p.waits[swg_profile_runs(own->p.record)].begin_ns = swg__profile_now();
}

void swg__run_profile_ready(swg__run *r) {
    struct swg__run_profile *own = r->profile;
    if (!own || !own->on)
        return;
    own->p.waits[swg_profile_runs(own->p.record)].end_ns = swg__profile_now();
    swg_plan_profile(own->stage->plan, own->p.record);
}

void swg__run_profile_end(swg__run *r) {
    struct swg__run_profile *own = r->profile;
    if (!own || !own->on)
        return;
    const int64_t run = swg_profile_runs(own->p.record) - 1;
    swg_plan_profile(own->stage->plan, NULL);
    own->p.took[run] = (double)(swg_profile_run(own->p.record, run).end_ns - own->p.waits[run].begin_ns);
    if (!own->keep)
        swg_profile_forget(own->p.record);
}

static swg_status write_time(swg__run *r) {
    struct swg__run_profile *own = r->profile;
    swg__profiled *p = &own->p;
    if (!swg_profile_runs(p->record)) {
        swg__run_note(r, "profile: this sitting had no step to record: %lld of a full batch, and a cycle waits for %lld", (long long)own->count,
                      (long long)(r->recipe.profiler.wait + r->recipe.profiler.warmup));
        return SWG_OK;
    }
    p->planned_bytes = r->planned_bytes;
    p->measured_bytes = swg_context_peak_rss_growth(r->ctx);
    SWG__TRY(swg__profiled_finish(p));
    SWG__TRY(swg__profiled_write(p, r->recipe.profiler.top, r->dir, "profile.html"));
    const double flop = swg__profiled_flop(p);
    swg__run_note(r, "profile: %lld step%s recorded, median %.3f ms, %.3f GFLOP each, %.1f GFLOP/s; waiting for data %.1f %%; %s/trace.json, %s/profile.html",
                  (long long)swg_profile_runs(p->record), swg_profile_runs(p->record) == 1 ? "" : "s", p->step.median_ns * 1e-6, flop * 1e-9, flop / p->step.median_ns,
                  100 * p->wait_ns / p->step.mean_ns, r->dir, r->dir);
    return SWG_OK;
}

static swg_status write_memory(swg__run *r) {
    const swg_plan *plan = (r->train.plan ? &r->train : &r->train_rest)->plan;
    const swg_memory m = swg_plan_memory_of(plan);
    const swg__memory_facts facts = {.title = swg_config_string(r->config, "model.name"), .samples = r->recipe.family->samples,
                                     .batch = swg__run_largest_batch(r), .planned_bytes = r->planned_bytes,
                                     .measured_bytes = swg_context_peak_rss_growth(r->ctx), .top = r->recipe.profiler.top};
    SWG__TRY(swg__memory_write(r->ctx, plan, &facts, r->dir));
    swg__run_note(r, "profile: peak of a run planned %.2f MiB, measured %.2f MiB; most lives at %s; %s/memory.html, %s/memory.json",
                  (double)facts.planned_bytes / 1048576, (double)facts.measured_bytes / 1048576, m.peak_at ? m.peak_at : "the start", r->dir, r->dir);
    return SWG_OK;
}

swg_status swg__run_profile_write(swg__run *r) {
    if (r->recipe.profiler.memory)
        SWG__TRY(write_memory(r));
    return r->profile ? write_time(r) : SWG_OK;
}
