/* kan.c - `swage bench kan`: what is measured, memory in child processes, and the rounds in which ours and PyTorch take turns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/kan.h"
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, ROUNDS_QUICK = 3, MOST_CALLS = 16, SETTLE_NS = 8000000 };
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
    bool peer = swg__kan_peer_there(b);
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
    bool peer = swg__kan_peer_there(b), opt = g->work == SWG__KAN_DAE_OPT;
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

typedef struct memory { swg_status status; int64_t planned, measured; char message[200]; } memory;
typedef struct memory_job { const swg__kan_task *task; int threads; } memory_job;

/* Once small, to touch the code and let the heap come to rest; then what is measured. */
static void measure_child(const void *arg, void *answer) {
    const memory_job *j = arg;
    memory *m = answer;
    signal(SIGINT, SIG_DFL); /* ends it; the parent sees that */
    for (int whole = 0; whole < 2; whole++) {
        swg_context *ctx;
        swg__job job;
        swg__kan_task task = *j->task;
        if (!whole) {
            task.batch = 2;
            task.size = swg__min64(task.size, 16);
            task.channels = swg__min64(task.channels, 8);
        }
        if ((m->status = swg_context_open(&(swg_context_opts){.threads = j->threads}, &ctx)) != SWG_OK)
            return;
        swg_context_peak_rss_reset(ctx);
        m->status = swg__kan_open(ctx, &task, SWG_F32, &job, NULL);
        for (int i = 0; i < 2 && m->status == SWG_OK; i++)
            swg__job_run(&job);
        if (m->status == SWG_OK) {
            m->measured = swg_context_peak_rss_growth(ctx);
            m->planned = swg_plan_memory_of(job.plan).peak_bytes;
        } else {
            snprintf(m->message, sizeof m->message, "%s", swg_context_message(ctx));
        }
        swg__job_close(&job);
        swg_context_close(ctx);
        malloc_trim(0);
    }
}

static swg_status measure_memory(swg__kan_bench *b, swg__kan_side *s) {
    memory m = {.status = SWG_EIO};
    bool heard;
    SWG__TRY(swg__child_run(b->ctx, &b->cpus, measure_child, &(memory_job){&s->task, b->team.threads}, &m, sizeof m, &heard));
    s->planned_bytes = m.planned;
    s->measured_bytes = m.measured;
    if (!heard || m.status != SWG_OK)
        snprintf(s->failure, sizeof s->failure, "%s", heard ? m.message : "the measuring process ended early (out of memory?)");
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

/* A side that is ready to run. */
typedef struct player { swg__kan_side *side; int id; swg__job job; double samples[ROUNDS * MOST_CALLS], once; int count; } player;

/* Of one thread its processor time counts, which other work on the machine does not stretch; peers do the same. */
static double now(const swg__kan_bench *b) {
    struct timespec t;
    if (b->team.threads > 1)
        return swg__bench_clock_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double call(swg__kan_bench *b, player *p) {
    if (p->side->form)
        return swg__kan_peer_call(b, p->id, p->side);
    double begin = now(b);
    swg__job_run(&p->job);
    return now(b) - begin;
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

static swg_status open_player(swg__kan_bench *b, const swg__kan_group *g, player *p) {
    swg__kan_side *s = p->side;
    if (s->form) {
        swg__kan_peer_prepare(b, p->id, s);
    } else {
        double begin = swg__bench_clock_ns();
        swg_status status = check(b, g, s);
        if (status == SWG_OK && !*s->failure)
            SWG__TRY(measure_memory(b, s));
        if (status == SWG_OK && !*s->failure)
            status = swg__kan_open(b->team.ctx, &s->task, SWG_F32, &p->job, NULL);
        if (status != SWG_OK)
            snprintf(s->failure, sizeof s->failure, "%s", swg_context_message(b->team.ctx));
        else if (!*s->failure)
            s->parameters = (double)swg_graph_parameters(p->job.g);
        s->times.cold_ns = swg__bench_clock_ns() - begin;
    }
    p->once = *s->failure ? 0 : call(b, p);
    return stopped(b);
}

static swg_status play(swg__kan_bench *b, player *players, int count) {
    int rounds = b->opts.quick ? ROUNDS_QUICK : ROUNDS;
    double least = b->opts.quick ? turn_quick_ns : turn_ns;
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < count; i++) {
            player *p = &players[i];
            double spent = 0;
            if (*p->side->failure)
                continue;
            nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL); /* threads that another side left spinning are asleep */
            if (p->once < least)
                call(b, p); /* back into the caches */
            for (int n = 0; n < MOST_CALLS && (n == 0 || spent < least) && !*p->side->failure; n++) {
                spent += p->samples[p->count++] = call(b, p);
                SWG__TRY(stopped(b));
            }
        }
    for (int i = 0; i < count; i++)
        if (!*players[i].side->failure && players[i].count) {
            double cold = players[i].side->times.cold_ns;
            swg__times_of(players[i].samples, players[i].count, &players[i].side->times);
            players[i].side->times.cold_ns = cold;
        }
    return SWG_OK;
}

static swg_status measure_group(swg__kan_bench *b, swg__kan_group *g) {
    player *players = swg__calloc(b->ctx, (size_t)g->count, sizeof *players);
    swg_status status = players ? SWG_OK : swg__fail_memory(b->ctx, (size_t)g->count * sizeof *players, "times");
    int open = 0;
    for (; status == SWG_OK && open < g->count; open++) {
        players[open] = (player){.side = &g->sides[open], .id = open};
        say(b, g, g->sides[open].name);
        status = open_player(b, g, &players[open]);
    }
    if (status == SWG_OK)
        status = play(b, players, g->count);
    for (int i = 0; i < open; i++) {
        swg__job_close(&players[i].job);
        if (players[i].side->form && swg__kan_peer_there(b))
            swg__kan_peer_release(b, i);
    }
    swg__free(b->ctx, players);
    malloc_trim(0);
    return status;
}

swg_status swg__kan_bench_run(swg_context *ctx, const swg__kan_opts *opts, swg__kan_bench *out) {
    *out = (swg__kan_bench){.ctx = ctx, .opts = *opts};
    swg__kan_bench *b = out;
    sched_getaffinity(0, sizeof b->cpus, &b->cpus);
    swg__machine_look(&b->machine);
    swg__talk_init(&b->talk, ctx);
    swg__talk_init(&b->memory, ctx);
    swg__team_wrap(&b->team, ctx, &b->cpus);
    swg_status status = swg__kan_peer_open(b);
    if (status == SWG_OK)
        status = stopped(b);
    if (status == SWG_OK)
        status = list(b);
    for (int i = 0; status == SWG_OK && i < b->group_count; i++)
        status = measure_group(b, &b->groups[i]);
    b->machine.load_after = swg__machine_load();
    swg__kan_peer_close(b);
    return status;
}

void swg__kan_bench_free(swg__kan_bench *b) {
    swg__free(b->ctx, b->groups);
    swg__talk_free(&b->talk);
    swg__talk_free(&b->memory);
    b->groups = NULL;
}
