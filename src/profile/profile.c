/* profile.c - counts what each operation of recorded runs of a plan cost.
 * In: a plan and its record. Out: costs per step of the plan, waits for data, limits of the machine measured right after.
 * SPDX-License-Identifier: Apache-2.0 */
#include "profile/profile.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ir/ir.h"
#include "plan/profile.h"

static const char *const dtypes[] = {[SWG_F32] = "f32", [SWG_F64] = "f64", [SWG_I32] = "i32", [SWG_BF16] = "bf16", [SWG__CODES] = "codes"};

/* ---- costs ---- */

static void label_of(const swg__step *s, char *out, size_t capacity) {
    const swg__node *n = s->call.node;
    int used = snprintf(out, capacity, "%s%s", s->packs ? "pack " : "", n->op == SWG__UPDATE ? s->kernel->name : swg__ops[n->op].text);
    const swg__program *program = n->op == SWG__PROGRAM ? n->attr.program : NULL;
    for (int i = 0; program && i < program->length && used < (int)capacity; i++)
        used += snprintf(out + used, capacity - (size_t)used, " %s", swg__ops[program->code[i].op].text);
    if (swg__ops[n->op].class == SWG__CONTRACTION && !s->packs && used < (int)capacity)
        snprintf(out + used, capacity - (size_t)used, "%s%s%s", n->attr.bias ? " +bias" : "", n->attr.relu ? " +relu" : "",
                 n->attr.gate ? " +gate" : "");
}

static void shape_of(const swg_step_info *info, char *out, size_t capacity) {
    int used = snprintf(out, capacity, "(");
    for (int i = 0; i < info->ndim && used < (int)capacity; i++)
        used += snprintf(out + used, capacity - (size_t)used, "%s%lld", i ? ", " : "", (long long)info->shape[i]);
    if (used < (int)capacity)
        snprintf(out + used, capacity - (size_t)used, ")");
}

/* Time of a group on its caller's clock, shared out by what its steps were busy. */
static void add_group(const swg__profiled *p, int64_t run, int first, int count) {
    int64_t begin = INT64_MAX, end = 0;
    double busy = 0;
    for (int i = first; i < first + count; i++) {
        swg_span span = swg_profile_step(p->record, run, i);
        begin = span.begin_ns < begin ? span.begin_ns : begin;
        end = span.end_ns > end ? span.end_ns : end;
        busy += (double)span.busy_ns;
    }
    for (int i = first; i < first + count && busy > 0; i++)
        p->costs[i].wall_ns += (double)(end - begin) * (double)swg_profile_step(p->record, run, i).busy_ns / busy;
}

static void add_run(const swg__profiled *p, int64_t run) {
    const swg_plan *plan = p->plan;
    for (int i = 0; i < p->cost_count; i++) {
        const swg__step *s = &plan->steps[i];
        swg_span span = swg_profile_step(p->record, run, i);
        p->costs[i].busy_ns += (double)span.busy_ns;
        if (s->group < 0)
            p->costs[i].wall_ns += (double)(span.end_ns - span.begin_ns);
        else if (plan->groups[s->group].first == i)
            add_group(p, run, i, plan->groups[s->group].count);
    }
}

static double length_of(swg_span span) { return (double)(span.end_ns - span.begin_ns); }

/* Means over the faster half of the runs: in the others somebody else had the processor for a while. */
static void find_costs(swg__profiled *p, double longest) {
    const swg_plan *plan = p->plan;
    double runs = 0, in_steps = 0;
    for (int64_t run = 0; run < swg_profile_runs(p->record); run++) {
        p->wait_ns += length_of(p->waits[run]) / (double)swg_profile_runs(p->record);
        if (length_of(swg_profile_run(p->record, run)) > longest)
            continue;
        add_run(p, run);
        p->run_ns += length_of(swg_profile_run(p->record, run));
        runs++;
    }
    p->run_ns /= runs;
    for (int i = 0; i < p->cost_count; i++) {
        swg__cost *c = &p->costs[i];
        swg_step_info info;
        swg_plan_step(plan, i, &info);
        label_of(&plan->steps[i], c->label, sizeof c->label);
        shape_of(&info, c->shape, sizeof c->shape);
        c->scope = info.scope;
        c->dtype = (size_t)info.dtype < sizeof dtypes / sizeof *dtypes ? dtypes[info.dtype] : "?";
        c->pass = plan->steps[i].call.node->op == SWG__UPDATE ? "update" : info.backward ? "backward" : "forward";
        c->wall_ns /= runs;
        c->busy_ns /= runs;
        c->steps = 1;
        in_steps += c->wall_ns;
        c->flop = (double)info.flop;
        c->bytes = (double)info.bytes;
        const swg__demand work = {.flop = c->flop, .bytes = (double)(info.bytes - info.panel_bytes), .panel_bytes = (double)info.panel_bytes,
                                  .working_set_bytes = (double)info.bytes, .calls = info.group < 0 && info.tasks > 1};
        double peak = p->team.limits.f32[p->team.isa];
        peak = info.bf16 && p->team.limits.bf16 > peak ? p->team.limits.bf16 : peak;
        c->floor_ns = swg__floor_of(&p->machine, &p->team, peak, &work, &c->floor_by);
    }
    p->other_ns = fmax(0, p->run_ns - in_steps);
}

double swg__profiled_flop(const swg__profiled *p) {
    double flop = 0;
    for (int i = 0; i < p->cost_count; i++)
        flop += p->costs[i].flop;
    return flop;
}

static int by_time(const void *a, const void *b) {
    double x = ((const swg__cost *)a)->wall_ns, y = ((const swg__cost *)b)->wall_ns;
    return (x < y) - (x > y);
}

int swg__profiled_sum(const swg__profiled *p, swg__cost_key key, swg__cost *out) {
    int count = 0;
    for (int i = 0; i < p->cost_count; i++) {
        const swg__cost *c = &p->costs[i];
        int at = key == SWG__EACH_STEP ? count : 0;
        if (c->wall_ns <= 0)
            continue;
        while (at < count && (key == SWG__BY_SCOPE ? strcmp(out[at].scope, c->scope) != 0
                                                   : strcmp(out[at].label, c->label) != 0 || strcmp(out[at].pass, c->pass) != 0))
            at++;
        if (at == count) {
            out[count++] = *c;
            continue;
        }
        out[at].wall_ns += c->wall_ns;
        out[at].busy_ns += c->busy_ns;
        out[at].flop += c->flop;
        out[at].bytes += c->bytes;
        out[at].floor_ns += c->floor_ns;
        out[at].steps++;
        out[at].shape[0] = 0;
        out[at].floor_by = "";
    }
    for (int i = 0; i < count && key == SWG__BY_SCOPE; i++) { /* operations of a scope differ */
        snprintf(out[i].label, sizeof out[i].label, "%s", *out[i].scope ? out[i].scope : "(top)");
        out[i].pass = "";
        out[i].shape[0] = 0;
    }
    qsort(out, (size_t)count, sizeof *out, by_time);
    return count;
}

/* ---- a record ---- */

static swg_status measure_machine(swg__profiled *p) {
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return swg__fail(p->ctx, SWG_EIO, "profile: cannot read the affinity mask");
    swg__team_wrap(&p->team, p->ctx, &cpus);
    int64_t bytes = swg__peaks_bytes(&p->machine, p->team.threads);
    float *spare = swg__calloc(p->ctx, (size_t)bytes, 1);
    if (spare)
        swg__peaks_measure(&p->team, &p->machine, spare, bytes);
    swg__free(p->ctx, spare);
    swg__team_unpin(&p->team, &cpus);
    p->machine.load_after = swg__machine_load();
    return spare ? SWG_OK : swg__fail_memory(p->ctx, (size_t)bytes, "measuring memory bandwidth");
}

swg_status swg__profiled_open(swg_context *ctx, const swg_plan *plan, int64_t runs, swg__profiled *p) {
    *p = (swg__profiled){.ctx = ctx, .plan = plan, .cost_count = swg_plan_steps(plan)};
    swg__machine_look(&p->machine);
    p->waits = swg__calloc(ctx, (size_t)runs, sizeof *p->waits);
    p->took = swg__calloc(ctx, (size_t)runs, sizeof *p->took);
    p->costs = swg__calloc(ctx, (size_t)p->cost_count + 1, sizeof *p->costs);
    if (!p->waits || !p->took || !p->costs)
        return swg__fail_memory(ctx, (size_t)runs * sizeof *p->waits, "a profile");
    return swg_profile_create(plan, runs, &p->record);
}

swg_status swg__profiled_finish(swg__profiled *p) {
    const int64_t runs = swg_profile_runs(p->record);
    if (runs < 1)
        return swg__fail(p->ctx, SWG_EINVAL, "profile: nothing was recorded");
    swg__times_of(p->took, runs, &p->step);
    for (int64_t i = 0; i < runs; i++)
        p->took[i] = length_of(swg_profile_run(p->record, i));
    swg__times_of(p->took, runs, &p->runs);
    SWG__TRY(measure_machine(p));
    find_costs(p, p->runs.median_ns);
    return SWG_OK;
}

void swg__profiled_free(swg__profiled *p) {
    if (!p->ctx)
        return;
    swg_profile_destroy(p->record);
    swg__free(p->ctx, p->waits);
    swg__free(p->ctx, p->took);
    swg__free(p->ctx, p->costs);
    *p = (swg__profiled){0};
}
