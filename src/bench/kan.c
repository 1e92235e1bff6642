/* kan.c - `swage bench kan`: what is measured, and the sides with which ours and PyTorch take turns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/kan.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 5, ROUNDS_QUICK = 3, MOST_CALLS = 16 };
static const double turn_ns = 1e8, turn_quick_ns = 1e7;    /* a side's turn lasts this long, or a single call */

/* ---- what is measured ---- */

static swg__kan_side *add(const swg__kan_bench *b, swg__kan_group *g, const char *name, const char *form, swg__kan_form own, bool bf16) {
    swg__kan_side *s = &g->sides[g->count++];
    *s = (swg__kan_side){.form = form, .task = {.work = g->work, .form = own, .training = g->training, .bf16 = bf16, .batch = g->batch,
                                                .channels = b->opts.channels, .size = g->work == SWG__KAN_LAYER ? b->opts.size : b->opts.image,
                                                .grid = b->opts.grid, .order = b->opts.order}};
    snprintf(s->name, sizeof s->name, "%s %s%s", form ? "PyTorch" : "swage", name, bf16 ? " bf16" : "");
    return s;
}

/* The published formulation comes first. A naive layer takes long: in the first batch only. */
static void list_layer(const swg__kan_bench *b, swg__kan_group *g, bool first) {
    bool peer = swg__server_there(&b->peer);
    unsigned forms = b->opts.forms;
    if (peer)
        add(b, g, "published", "patches", SWG__KAN_PATCHES, false)->published = true;
    for (int form = 0; form < SWG__KAN_FORMS; form++)
        if (forms & 1u << form && (form != SWG__KAN_NAIVE || first))
            add(b, g, swg__kan_form_name(form), NULL, (swg__kan_form)form, false);
    if (forms & 1u << SWG__KAN_ONCE)
        add(b, g, "once", NULL, SWG__KAN_ONCE, true);
    if (peer && forms & 1u << SWG__KAN_ONCE)
        add(b, g, "once", "once", SWG__KAN_ONCE, false);
    if (peer && forms & 1u << SWG__KAN_OPTIMISED)
        add(b, g, "optimised", "optimised", SWG__KAN_OPTIMISED, false);
}

/* Published: the KAN layers from patches, e1 and e2 evaluated twice, f32, as the scripts ran it. */
static void list_network(const swg__kan_bench *b, swg__kan_group *g) {
    bool peer = swg__server_there(&b->peer), opt = g->work == SWG__KAN_DAE_OPT;
    const char *form = opt ? "optimised" : "patches";
    if (peer) {
        add(b, g, opt ? "optimised" : "published", form, SWG__KAN_PATCHES, false)->published = true;
        add(b, g, "channels-last", opt ? "optimised channels-last" : "patches channels-last", SWG__KAN_PATCHES, false);
        add(b, g, opt ? "optimised" : "published", form, SWG__KAN_PATCHES, true);
    }
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int keep = 0; keep <= (int)g->training; keep++)
            add(b, g, keep ? "keeping all" : "plan", NULL, SWG__KAN_ONCE, bf16)->task.keep = keep;
}

static swg_status list(swg__kan_bench *b) {
    const swg__kan_opts *o = &b->opts;
    size_t most = (size_t)SWG__KAN_WORKS * 2 * (size_t)o->batch_count;
    if (!(b->groups = swg__calloc(b->ctx, most, sizeof *b->groups)))
        return swg__fail_memory(b->ctx, most * sizeof *b->groups, "rows");
    for (int work = 0; work < SWG__KAN_WORKS; work++)
        for (int training = 0; training < 2; training++)
            for (int i = 0; i < o->batch_count && o->works & 1u << work; i++) {
                swg__kan_group *g = &b->groups[b->group_count++];
                *g = (swg__kan_group){.work = (swg__kan_work)work, .training = training, .batch = o->batches[i]};
                if (work == SWG__KAN_LAYER)
                    list_layer(b, g, i == 0);
                else
                    list_network(b, g);
            }
    return SWG_OK;
}

/* ---- memory of ours ---- */

static swg_status open_task(swg_context *ctx, const void *of, bool small, swg__job *job) {
    swg__kan_task task = *(const swg__kan_task *)of;
    if (small) {
        task.batch = 2;
        task.size = swg__min64(task.size, 16);
        task.channels = swg__min64(task.channels, 8);
    }
    return swg__kan_open(ctx, &task, SWG_F32, job, NULL);
}

static swg_status measure_memory(swg__kan_bench *b, swg__kan_side *s) {
    swg__job_memory m;
    SWG__TRY(swg__job_measure_memory(b->ctx, &b->cpus, b->team.threads, open_task, &s->task, &m));
    s->planned_bytes = m.planned;
    s->measured_bytes = m.measured;
    if (m.status != SWG_OK)
        snprintf(s->failure, sizeof s->failure, "%s", m.message);
    return SWG_OK;
}

/* ---- rounds ---- */

static swg_status stopped(const swg__kan_bench *b) {
    return b->opts.stop && *b->opts.stop ? swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted") : SWG_OK;
}

static void say(const swg__kan_bench *b, const swg__kan_group *g, const char *what) {
    char text[128];
    snprintf(text, sizeof text, "%s %s, batch %lld: %s", swg__kan_work_name((int)g->work), g->training ? "training" : "forward", (long long)g->batch, what);
    if (b->opts.progress)
        b->opts.progress(b->opts.user, text);
}

/* What a player calls. */
typedef struct called { swg__kan_bench *b; swg__kan_side *side; int id; swg__job job; } called;

static double call(void *arg) {
    called *c = arg;
    if (c->side->form)
        return swg__server_call(&c->b->peer, c->id, c->side->failure);
    double begin = swg__work_clock_ns(c->b->team.threads);
    swg__job_run(&c->job);
    return swg__work_clock_ns(c->b->team.threads) - begin;
}

/* The function does not depend on the batch: it is checked once. */
static swg_status check(swg__kan_bench *b, const swg__kan_group *g, swg__kan_side *s) {
    for (const swg__kan_group *before = b->groups; before < g; before++)
        for (int i = 0; i < before->count; i++) {
            const swg__kan_side *other = &before->sides[i];
            if (before->work == g->work && before->training == g->training && strcmp(other->name, s->name) == 0) {
                s->error = other->error;
                return SWG_OK;
            }
        }
    return swg__kan_check(b->team.ctx, &s->task, &s->error, s->failure, sizeof s->failure);
}

/* What a peer is asked for. */
static void prepare_peer(swg__kan_bench *b, called *c) {
    swg__kan_side *s = c->side;
    const swg__kan_task *t = &s->task;
    swg__served served;
    char fields[300];
    snprintf(fields, sizeof fields, "\"work\":\"%s\",\"form\":\"%s\",\"training\":%s,\"bf16\":%s,\"batch\":%lld,\"channels\":%lld,\"size\":%lld,"
             "\"grid\":%lld,\"order\":%lld", swg__kan_work_name((int)t->work), s->form, t->training ? "true" : "false", t->bf16 ? "true" : "false",
             (long long)t->batch, (long long)t->channels, (long long)t->size, (long long)t->grid, (long long)t->order);
    swg__server_prepare(&b->peer, c->id, fields, &served, s->failure);
    s->times.cold_ns = served.cold_ns;
    s->parameters = served.parameters;
    s->error = served.error;
    s->measured_bytes = served.measured_bytes;
}

static swg_status open_player(swg__kan_bench *b, const swg__kan_group *g, called *c, swg__player *p) {
    swg__kan_side *s = c->side;
    if (s->form) {
        prepare_peer(b, c);
    } else {
        double begin = swg__bench_clock_ns();
        swg_status status = check(b, g, s);
        if (status == SWG_OK && !*s->failure)
            SWG__TRY(measure_memory(b, s));
        if (status == SWG_OK && !*s->failure)
            status = swg__kan_open(b->team.ctx, &s->task, SWG_F32, &c->job, NULL);
        if (status != SWG_OK)
            snprintf(s->failure, sizeof s->failure, "%s", swg_context_message(b->team.ctx));
        else if (!*s->failure)
            s->parameters = (double)swg_graph_parameters(c->job.g);
        s->times.cold_ns = swg__bench_clock_ns() - begin;
    }
    *p = (swg__player){.call = call, .arg = c, .failure = s->failure};
    p->once = *s->failure ? 0 : call(c);
    return stopped(b);
}

static swg_status measure_group(swg__kan_bench *b, swg__kan_group *g) {
    called *calls = swg__calloc(b->ctx, (size_t)g->count, sizeof *calls);
    swg__player players[SWG__KAN_SIDES] = {{0}};
    swg_status status = calls ? SWG_OK : swg__fail_memory(b->ctx, (size_t)g->count * sizeof *calls, "times");
    const bool quick = b->opts.quick;
    const swg__turns turns = {.rounds = quick ? ROUNDS_QUICK : ROUNDS, .calls = MOST_CALLS, .turn_ns = quick ? turn_quick_ns : turn_ns,
                               .warm_ns = quick ? turn_quick_ns : turn_ns, .stop = b->opts.stop};
    int open = 0;
    for (; status == SWG_OK && open < g->count; open++) {
        calls[open] = (called){.b = b, .side = &g->sides[open], .id = open};
        say(b, g, g->sides[open].name);
        status = open_player(b, g, &calls[open], &players[open]);
    }
    if (status == SWG_OK)
        status = swg__turns_play(b->ctx, &turns, players, g->count);
    for (int i = 0; i < open; i++) {
        swg__times *times = &g->sides[i].times;
        double cold = times->cold_ns;
        if (status == SWG_OK && !*g->sides[i].failure)
            swg__times_of(players[i].samples, players[i].count, times);
        times->cold_ns = cold;
        swg__job_close(&calls[i].job);
        if (g->sides[i].form)
            swg__server_release(&b->peer, i);
    }
    swg__turns_free(b->ctx, players, g->count);
    swg__free(b->ctx, calls);
    malloc_trim(0);
    return status;
}

swg_status swg__kan_bench_run(swg_context *ctx, const swg__kan_opts *opts, swg__kan_bench *out) {
    *out = (swg__kan_bench){.ctx = ctx, .opts = *opts};
    swg__kan_bench *b = out;
    sched_getaffinity(0, sizeof b->cpus, &b->cpus);
    swg__machine_look(&b->machine);
    swg__team_wrap(&b->team, ctx, &b->cpus);
    swg__server_open(&b->peer, ctx, SWG__PEERS_FOLDER "pytorch/kan_bench.py", &b->cpus, b->team.threads, opts->stop);
    swg_status status = stopped(b);
    if (status == SWG_OK)
        status = list(b);
    for (int i = 0; status == SWG_OK && i < b->group_count; i++)
        status = measure_group(b, &b->groups[i]);
    b->machine.load_after = swg__machine_load();
    swg__server_close(&b->peer);
    return status;
}

void swg__kan_bench_free(swg__kan_bench *b) {
    swg__free(b->ctx, b->groups);
    b->groups = NULL;
}
