/* cyto.c - `swage bench cyto`: which switches are measured, batch sizes that fit, and the sides with which ours and PyTorch take turns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/cyto.h"
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 20, SMALL_EXTENT = 16 };
static const double once_more_ns = 2e7, tune_seconds = 10, tune_seconds_few = .2, forever_ns = 1e18;

/* ---- what is measured ---- */

static swg__cyto_side *add(const swg__cyto_bench *b, swg__cyto_group *g, const char *name, const char *settings) {
    const swg__cyto_opts *o = &b->opts;
    swg__cyto_side *s = &g->sides[g->count++];
    *s = (swg__cyto_side){.tolerance = 1e-4, .task = {.experiment = o->experiment, .ndim = o->ndim, .training = g->training, .tuning = b->tuning}};
    memcpy(s->task.shape, o->shape, sizeof o->shape);
    s->task.shape[0] = g->batch;
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->settings, sizeof s->settings, "%s", settings);
    return s;
}

static void switch_all(swg__cyto_side *s) {
    s->task.autotune = s->task.channels_last = s->task.compile = s->task.bf16 = s->task.fused_optimiser = true;
    s->tolerance = 2e-2;
}

static swg__cyto_side *add_all(const swg__cyto_bench *b, swg__cyto_group *g, const char *name) {
    swg__cyto_side *s = add(b, g, name, g->training ? "autotune channels_last compile bf16-mixed adam_fused" : "autotune channels_last compile bf16-mixed");
    switch_all(s);
    s->role = SWG__CYTO_ALL;
    return s;
}

static void add_peers(const swg__cyto_bench *b, swg__cyto_group *g) {
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int last = 0; last < 2; last++) {
            char name[48];
            snprintf(name, sizeof name, "PyTorch %s%s", bf16 ? "bf16" : "f32", last ? " channels-last" : "");
            swg__cyto_side *s = add(b, g, name, "eager");
            s->form = last ? "channels-last" : "eager";
            s->task.bf16 = bf16;
            s->role = bf16 ? SWG__CYTO_PEER_BF16 : SWG__CYTO_PLAIN;
        }
}

/* Every published switch alone, then all. */
static void list_switches(const swg__cyto_bench *b, swg__cyto_group *g) {
    swg__cyto_side *s = add(b, g, "baseline", "f32, channels-first, an operation a step, all kept");
    s->role = SWG__CYTO_BASELINE;
    add(b, g, "autotune", "performance.autotune=true")->task.autotune = true;
    s = add(b, g, "tf32", "performance.tf32=true");
    snprintf(s->why, sizeof s->why, "effective: no, a processor has no TF32: f32 products are f32");
    add(b, g, "channels_last", "performance.channels_last=true")->task.channels_last = true;
    add(b, g, "compile (fusion)", "performance.compile.enabled=true")->task.compile = true;
    add(b, g, "cuda_graphs (replay)", "performance.cuda_graphs.enabled=true")->task.replay = true;
    s = add(b, g, "bf16", "trainer.precision=bf16-mixed");
    s->task.bf16 = true;
    s->tolerance = 2e-2;
    if (g->training) {
        add(b, g, "fused optimiser", "optimizer=adam_fused")->task.fused_optimiser = true;
        s = add(b, g, "checkpointing", "model.gradient_checkpointing=true");
        s->task.recompute = "blocks";
        s->role = SWG__CYTO_CHECKPOINTED;
    }
    add_all(b, g, "all together");
    if (g->training) {
        s = add_all(b, g, "all + checkpointing");
        s->task.recompute = "blocks";
        s->role = SWG__CYTO_ALL_CHECKPOINTED;
    }
    if (swg__server_there(&b->peer))
        add_peers(b, g);
}

/* Losses here have to be those of the first side, bit for bit. */
static void list_checkpoints(const swg__cyto_bench *b, swg__cyto_group *g) {
    static const char *const ways[] = {NULL, "free", "blocks", "segments:2", "segments:auto", "budget:70%"};
    for (int i = 0; i < (int)(sizeof ways / sizeof *ways); i++) {
        swg__cyto_side *s = add_all(b, g, ways[i] ? ways[i] : "all kept");
        s->task.recompute = ways[i];
        s->task.autotune = false;
        s->tolerance = 0;
        s->role = i ? SWG__CYTO_PLAIN : SWG__CYTO_BASELINE;
    }
}

static swg_status list(swg__cyto_bench *b) {
    const swg__cyto_opts *o = &b->opts;
    int most = o->compare ? 3 : 2 * o->batch_count;
    if (!(b->groups = swg__calloc(b->ctx, (size_t)most, sizeof *b->groups)))
        return swg__fail_memory(b->ctx, (size_t)most * sizeof *b->groups, "rows");
    for (int i = 0; i < most; i++) {
        swg__cyto_group *g = &b->groups[b->group_count++];
        g->batch = o->compare ? o->shape[0] : o->batches[i % o->batch_count];
        g->checkpoints = o->compare && i == 2;
        g->training = o->compare ? i != 1 : i < o->batch_count;
        if (!o->compare)
            add_all(b, g, "all together");
        else if (g->checkpoints)
            list_checkpoints(b, g);
        else
            list_switches(b, g);
    }
    return SWG_OK;
}

/* ---- memory ---- */

static swg_status open_task(swg_context *ctx, const void *of, bool small, swg__job *job) {
    swg__cyto_task task = *(const swg__cyto_task *)of;
    for (int axis = 2; small && axis < task.ndim; axis++)
        task.shape[axis] = swg__min64(task.shape[axis], SMALL_EXTENT);
    return swg__cyto_open(ctx, &task, job);
}

static swg_status measure_memory(swg__cyto_bench *b, swg__cyto_side *s) {
    swg__job_memory m;
    SWG__TRY(swg__job_measure_memory(b->ctx, &b->cpus, b->team.threads, open_task, &s->task, &m));
    s->measured_bytes = m.measured;
    if (m.status != SWG_OK)
        snprintf(s->failure, sizeof s->failure, "%s", m.message);
    return SWG_OK;
}

/* ---- sides ---- */

typedef struct called { swg__cyto_bench *b; swg__cyto_side *side; int id; swg__job job; swg__cyto_steps steps; } called;

static double call(void *arg) {
    called *c = arg;
    if (c->side->form)
        return swg__server_call(&c->b->peer, c->id, c->side->failure);
    double begin = swg__work_clock_ns(c->b->team.threads);
    swg__cyto_step(&c->steps);
    return swg__work_clock_ns(c->b->team.threads) - begin;
}

static swg_status stopped(const swg__cyto_bench *b) {
    return b->opts.stop && *b->opts.stop ? swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted") : SWG_OK;
}

static void open_peer(swg__cyto_bench *b, called *c) {
    const swg__cyto_task *t = &c->side->task;
    swg__served served;
    char fields[300];
    int used = snprintf(fields, sizeof fields, "\"experiment\":\"%s\",\"form\":\"%s\",\"training\":%s,\"bf16\":%s,\"shape\":[%lld", swg__cyto_name(t->experiment),
                        c->side->form, t->training ? "true" : "false", t->bf16 ? "true" : "false", (long long)t->shape[0]);
    for (int axis = 1; axis < t->ndim; axis++)
        used += snprintf(fields + used, sizeof fields - (size_t)used, ",%lld", (long long)t->shape[axis]);
    snprintf(fields + used, sizeof fields - (size_t)used, "]");
    swg__server_prepare(&b->peer, c->id, fields, &served, c->side->failure);
    c->side->parameters = served.parameters;
    c->side->measured_bytes = served.measured_bytes;
}

/* Plan, fit, memory, and the first losses. */
static swg_status open_own(swg__cyto_bench *b, called *c) {
    swg__cyto_side *s = c->side;
    swg_context *ctx = b->team.ctx;
    SWG__TRY(swg__cyto_planned(ctx, &s->task, &s->planned_bytes));
    if (b->budget_bytes && s->planned_bytes > b->budget_bytes) {
        snprintf(s->why, sizeof s->why, "does not fit: planned %.1f MiB, %.1f MiB are available", (double)s->planned_bytes * 0x1p-20,
                 (double)b->budget_bytes * 0x1p-20);
        return SWG_OK;
    }
    if (s->task.autotune)
        SWG__TRY(swg__cyto_tune(ctx, &s->task, b->opts.iterations >= ROUNDS ? tune_seconds : tune_seconds_few, b->opts.stop));
    SWG__TRY(measure_memory(b, s));
    if (*s->failure)
        return SWG_OK;
    SWG__TRY(swg__cyto_open(ctx, &s->task, &c->job));
    s->planned_bytes = swg_plan_memory_of(c->job.plan).peak_bytes; /* tuned panels may have another height */
    s->parameters = (double)swg_graph_parameters(c->job.g);
    swg__cyto_steps_open(&c->steps, &c->job, &s->task);
    for (int i = 0; s->task.training && i < SWG__CYTO_LOSSES; i++) {
        swg__cyto_step(&c->steps);
        s->losses[i] = (double)*(const float *)swg_plan_data(c->job.plan, c->job.y);
        SWG__TRY(stopped(b));
    }
    return SWG_OK;
}

static swg_status open_player(swg__cyto_bench *b, called *c, swg__player *p) {
    swg__cyto_side *s = c->side;
    if (*s->why) {
        *p = (swg__player){.failure = s->why};
        return SWG_OK;
    }
    if (s->form) {
        open_peer(b, c);
    } else {
        swg_status status = open_own(b, c);
        if (status == SWG_EINTERRUPTED)
            return status;
        if (status == SWG_EINVAL && s->task.recompute) /* a budget below what is possible, which the message names */
            snprintf(s->why, sizeof s->why, "%s", swg_context_message(b->team.ctx));
        else if (status != SWG_OK)
            snprintf(s->failure, sizeof s->failure, "%s", swg_context_message(b->team.ctx));
    }
    *p = (swg__player){.call = call, .arg = c, .failure = *s->why ? s->why : s->failure};
    for (int i = 0; i < b->opts.warmup && !*p->failure; i++)
        p->once = call(c);
    return stopped(b);
}

/* ---- groups ---- */

static void compare_losses(const swg__cyto_side *base, swg__cyto_side *s) {
    for (int i = 0; i < SWG__CYTO_LOSSES; i++) {
        double gap = fabs(s->losses[i] - base->losses[i]) / fabs(base->losses[i]);
        s->loss_difference = gap <= s->loss_difference ? s->loss_difference : gap == gap ? gap : INFINITY;
    }
    if (!*s->failure && !(s->loss_difference <= s->tolerance))
        snprintf(s->failure, sizeof s->failure, "losses are %.1e from the baseline's, at most %.0e allowed", s->loss_difference, s->tolerance);
}

static void sum_up(swg__cyto_group *g, const swg__player *players) {
    const swg__player *base = g->sides[0].role == SWG__CYTO_BASELINE && players[0].rounds ? &players[0] : NULL, *all = NULL, *peer = NULL;
    for (int i = 0; i < g->count; i++) {
        swg__cyto_side *s = &g->sides[i];
        const swg__player *p = &players[i];
        if (!p->rounds)
            continue;
        for (int j = 0; j < p->count; j++)
            s->total_ns += p->samples[j];
        swg__times_of(p->samples, p->count, &s->times);
        if (base)
            s->speedup = swg__turns_ratio(p, base);
        if (base && g->training && !s->form)
            compare_losses(&g->sides[0], s);
        all = s->role == SWG__CYTO_ALL ? p : all;
        if (s->role == SWG__CYTO_PEER_BF16 && (!peer || s->times.median_ns < g->sides[peer - players].times.median_ns))
            peer = p;
    }
    if (all && peer)
        g->over_peer = swg__turns_ratio(all, peer);
}

static swg_status measure_group(swg__cyto_bench *b, swg__cyto_group *g) {
    const int rounds = b->opts.iterations < ROUNDS ? b->opts.iterations : ROUNDS;
    const swg__turns turns = {.rounds = rounds, .calls = (b->opts.iterations + rounds - 1) / rounds, .turn_ns = forever_ns, .warm_ns = once_more_ns,
                              .stop = b->opts.stop};
    swg__player players[SWG__CYTO_SIDES] = {{0}};
    called *calls = swg__calloc(b->ctx, (size_t)g->count, sizeof *calls);
    swg_status status = calls ? SWG_OK : swg__fail_memory(b->ctx, (size_t)g->count * sizeof *calls, "times");
    int open = 0;
    for (; status == SWG_OK && open < g->count; open++) {
        char text[128];
        calls[open] = (called){.b = b, .side = &g->sides[open], .id = open};
        snprintf(text, sizeof text, "%s, batch %lld: %s", g->training ? "training" : "inference", (long long)g->batch, g->sides[open].name);
        if (b->opts.progress)
            b->opts.progress(b->opts.user, text);
        status = open_player(b, &calls[open], &players[open]);
    }
    if (status == SWG_OK)
        status = swg__turns_play(b->ctx, &turns, players, g->count);
    if (status == SWG_OK)
        sum_up(g, players);
    for (int i = 0; i < open; i++) {
        swg__job_close(&calls[i].job);
        if (g->sides[i].form)
            swg__server_release(&b->peer, i);
    }
    swg__turns_free(b->ctx, players, g->count);
    swg__free(b->ctx, calls);
    malloc_trim(0);
    return status;
}

/* The shape, before anything is measured. */
static swg_status check_shape(const swg__cyto_bench *b) {
    swg__cyto_task task = {.experiment = b->opts.experiment, .ndim = b->opts.ndim, .training = true, .channels_last = true, .compile = true};
    int64_t bytes;
    memcpy(task.shape, b->opts.shape, sizeof task.shape);
    task.shape[0] = 1;
    return swg__cyto_planned(b->ctx, &task, &bytes);
}

swg_status swg__cyto_bench_run(swg_context *ctx, const swg__cyto_opts *opts, swg__cyto_bench *out) {
    *out = (swg__cyto_bench){.ctx = ctx, .opts = *opts, .peer = {.talk.fd = -1}};
    swg__cyto_bench *b = out;
    SWG__TRY(check_shape(b));
    sched_getaffinity(0, sizeof b->cpus, &b->cpus);
    swg__machine_look(&b->machine);
    swg__team_wrap(&b->team, ctx, &b->cpus);
    b->budget_bytes = swg__available_bytes() / 10 * 9;
    if (opts->compare)
        swg__server_open(&b->peer, ctx, SWG__PEERS_FOLDER "pytorch/cyto_bench.py", &b->cpus, b->team.threads, opts->stop);
    else
        snprintf(b->peer.version, sizeof b->peer.version, "not asked");
    swg_status status = swg_tuning_open(ctx, NULL, &b->tuning);
    if (status == SWG_OK)
        status = stopped(b);
    if (status == SWG_OK)
        status = list(b);
    for (int i = 0; status == SWG_OK && i < b->group_count; i++)
        status = measure_group(b, &b->groups[i]);
    if (status == SWG_OK)
        status = swg_tuning_save(b->tuning);
    b->machine.load_after = swg__machine_load();
    if (opts->compare)
        swg__server_close(&b->peer);
    return status;
}

void swg__cyto_bench_free(swg__cyto_bench *b) {
    swg_tuning_close(b->tuning);
    swg__free(b->ctx, b->groups);
    b->groups = NULL;
    b->tuning = NULL;
}
