/* tfswa.c - `swage bench tfswa`: the network as plans, and the sides with which ours, PyTorch and ONNX Runtime take turns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/tfswa.h"
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEED = 42, ROUNDS = 20, SMALL_EXTENT = 16 };
static const double once_more_ns = 2e7, forever_ns = 1e18;

static const char *const names[SWG__TFSWA_NETS] = {"unet", "small"};
const char *swg__tfswa_name(int net) { return net >= 0 && net < SWG__TFSWA_NETS ? names[net] : NULL; }

const char *swg__tfswa_system_name(int system) { return (const char *[]){"swage", "PyTorch", "ONNX Runtime"}[system]; }

void swg__tfswa_shape(int net, int64_t shape[4]) {
    const bool small = net == SWG__TFSWA_SMALL;
    shape[0] = 1;
    shape[1] = 2;
    shape[2] = small ? 128 : 1025;
    shape[3] = small ? 64 : 259;
}

/* ---- the work ---- */

/* The graph, and its plan. */
static swg_status make(swg_context *ctx, const swg__tfswa_task *t, swg__job *job) {
    *job = (swg__job){.ctx = ctx};
    SWG__TRY(swg_graph_create(ctx, &(swg_graph_opts){.inference = !t->training}, &job->g));
    swg_graph *g = job->g;
    swg_tfswa model = t->net == SWG__TFSWA_SMALL ? swg_tfswa_small() : swg_tfswa_unet();
    model.in = model.out = t->shape[1];
    job->x = swg_input(g, "x", 4, t->shape);
    job->y = swg_tfswa_net(g, &model, job->x);
    if (t->training) {
        job->hyper = swg_input(g, "hyper", 1, (int64_t[]){SWG_HYPER_COUNT});
        job->y = swg_adam(g, swg_loss_mae(g, job->y, job->x), job->hyper, &(swg_adam_opts){.clip = true, .decoupled = true});
    }
    return swg_plan_make(g, &(swg_plan_opts){.outputs = &job->y, .output_count = 1, .frozen = !t->training, .bf16 = t->bf16}, &job->plan);
}

swg_status swg__tfswa_open(swg_context *ctx, const swg__tfswa_task *t, swg__job *job) {
    SWG__TRY(make(ctx, t, job));
    SWG__TRY(swg_weights_create(job->g, t->training, &job->weights));
    swg_weights_init(job->weights, SEED);
    SWG__TRY(swg_plan_open(job->plan, job->weights, NULL));
    float *x = swg_plan_data(job->plan, job->x);
    for (int64_t i = 0; i < swg_elements(job->g, job->x); i++)
        x[i] = (float)swg__bench_value(i, 0);
    double power[2] = {1, 1};
    const swg_adam_hyper hyper = {.lr = 1e-5, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .weight_decay = 1e-4, .clip_norm = 1, .grad_scale = 1};
    if (t->training)
        swg_hyper_adam(&hyper, &power[0], &power[1], SWG_F32, swg_plan_data(job->plan, job->hyper));
    return SWG_OK;
}

static swg_status open_task(swg_context *ctx, const void *of, bool small, swg__job *job) {
    swg__tfswa_task task = *(const swg__tfswa_task *)of;
    for (int axis = 2; small && axis < 4; axis++)
        task.shape[axis] = swg__min64(task.shape[axis], SMALL_EXTENT);
    return swg__tfswa_open(ctx, &task, job);
}

/* ---- sides ---- */

static void add(swg__tfswa_bench *b, swg__tfswa_system system, const char *name, const char *form, bool bf16) {
    if (system != SWG__TFSWA_OWN && !swg__server_there(&b->peers[system]))
        return;
    swg__tfswa_side *s = &b->sides[b->count++];
    *s = (swg__tfswa_side){.system = system, .form = form, .task = b->opts.task};
    s->task.bf16 = bf16;
    snprintf(s->name, sizeof s->name, "%s %s", swg__tfswa_system_name((int)system), name);
}

/* Ours in f32 first: what the others are compared with. Attention of peers in every form that they have. */
static void list(swg__tfswa_bench *b) {
    add(b, SWG__TFSWA_OWN, "f32", NULL, false);
    add(b, SWG__TFSWA_OWN, "bf16", NULL, true);
    if (!b->opts.task.training) {
        add(b, SWG__TFSWA_ONNXRUNTIME, "f32, fused attention", "fused", false);
        add(b, SWG__TFSWA_ONNXRUNTIME, "f32, stored scores", "chunks", false);
    }
    add(b, SWG__TFSWA_PYTORCH, "f32, one operator", "sdpa", false);
    add(b, SWG__TFSWA_PYTORCH, "f32, stored scores", "chunks", false);
    add(b, SWG__TFSWA_PYTORCH, "bf16, one operator", "sdpa", true);
    add(b, SWG__TFSWA_PYTORCH, "bf16, stored scores", "chunks", true);
}

typedef struct called { swg__tfswa_bench *b; swg__tfswa_side *side; int id; swg__job job; } called;

static double call(void *arg) {
    called *c = arg;
    if (c->side->system != SWG__TFSWA_OWN)
        return swg__server_call(&c->b->peers[c->side->system], c->id, c->side->failure);
    double begin = swg__work_clock_ns(c->b->team.threads);
    swg__job_run(&c->job);
    return swg__work_clock_ns(c->b->team.threads) - begin;
}

static swg_status stopped(const swg__tfswa_bench *b) {
    return b->opts.stop && *b->opts.stop ? swg__fail(b->ctx, SWG_EINTERRUPTED, "bench: interrupted") : SWG_OK;
}

static void open_peer(called *c) {
    swg__tfswa_side *s = c->side;
    const swg__tfswa_task *t = &s->task;
    swg__served served;
    char fields[300];
    snprintf(fields, sizeof fields, "\"net\":\"%s\",\"form\":\"%s\",\"training\":%s,\"bf16\":%s,\"shape\":[%lld,%lld,%lld,%lld]", swg__tfswa_name(t->net), s->form,
             t->training ? "true" : "false", t->bf16 ? "true" : "false", (long long)t->shape[0], (long long)t->shape[1], (long long)t->shape[2], (long long)t->shape[3]);
    swg__server_prepare(&c->b->peers[s->system], c->id, fields, &served, s->failure);
    s->parameters = served.parameters;
    s->measured_bytes = served.measured_bytes;
}

static swg_status open_own(called *c) {
    swg__tfswa_bench *b = c->b;
    swg__tfswa_side *s = c->side;
    swg__job_memory m;
    SWG__TRY(swg__job_measure_memory(b->ctx, &b->cpus, b->team.threads, open_task, &s->task, &m));
    s->planned_bytes = m.planned;
    s->measured_bytes = m.measured;
    if (m.status != SWG_OK)
        snprintf(s->failure, sizeof s->failure, "%s", m.message);
    else if (swg__tfswa_open(b->team.ctx, &s->task, &c->job) != SWG_OK)
        snprintf(s->failure, sizeof s->failure, "%s", swg_context_message(b->team.ctx));
    else
        s->parameters = (double)swg_graph_parameters(c->job.g);
    return SWG_OK;
}

static swg_status open_player(called *c, swg__player *p) {
    swg__tfswa_bench *b = c->b;
    if (b->opts.progress)
        b->opts.progress(b->opts.user, c->side->name);
    if (c->side->system == SWG__TFSWA_OWN)
        SWG__TRY(open_own(c));
    else
        open_peer(c);
    *p = (swg__player){.call = call, .arg = c, .failure = c->side->failure};
    for (int i = 0; i < b->opts.warmup && !*p->failure && stopped(b) == SWG_OK; i++)
        p->once = call(c);
    return stopped(b);
}

static void sum_up(swg__tfswa_bench *b, const swg__player *players) {
    for (int i = 0; i < b->count; i++) {
        swg__tfswa_side *s = &b->sides[i];
        const swg__player *p = &players[i];
        if (!p->rounds || *s->failure)
            continue;
        swg__times_of(p->samples, p->count, &s->times);
        s->most_ns = p->samples[p->count - 1]; /* in order now */
        if (players[0].rounds)
            s->ratio = swg__turns_ratio(&players[0], p);
    }
}

static swg_status measure(swg__tfswa_bench *b) {
    const int rounds = b->opts.iterations < ROUNDS ? b->opts.iterations : ROUNDS;
    const swg__turns turns = {.rounds = rounds, .calls = (b->opts.iterations + rounds - 1) / rounds, .turn_ns = forever_ns, .warm_ns = once_more_ns,
                              .stop = b->opts.stop};
    swg__player players[SWG__TFSWA_SIDES] = {{0}};
    called calls[SWG__TFSWA_SIDES] = {{0}};
    swg_status status = SWG_OK;
    int open = 0;
    for (; status == SWG_OK && open < b->count; open++) {
        calls[open] = (called){.b = b, .side = &b->sides[open], .id = open};
        status = open_player(&calls[open], &players[open]);
    }
    if (status == SWG_OK)
        status = swg__turns_play(b->ctx, &turns, players, b->count);
    if (status == SWG_OK)
        sum_up(b, players);
    for (int i = 0; i < open; i++) {
        swg__job_close(&calls[i].job);
        if (b->sides[i].system != SWG__TFSWA_OWN)
            swg__server_release(&b->peers[b->sides[i].system], i);
    }
    swg__turns_free(b->ctx, players, b->count);
    malloc_trim(0);
    return status;
}

swg_status swg__tfswa_bench_run(swg_context *ctx, const swg__tfswa_opts *opts, swg__tfswa_bench *out) {
    static const char *const scripts[SWG__TFSWA_SYSTEMS] = {NULL, SWG__PEERS_FOLDER "pytorch/tfswa_bench.py", SWG__PEERS_FOLDER "onnxruntime/tfswa_bench.py"};
    *out = (swg__tfswa_bench){.ctx = ctx, .opts = *opts};
    swg__tfswa_bench *b = out;
    swg__job planned;
    swg_status status = make(ctx, &opts->task, &planned); /* does it take the shape? */
    swg__job_close(&planned);
    SWG__TRY(status);
    sched_getaffinity(0, sizeof b->cpus, &b->cpus);
    swg__machine_look(&b->machine);
    swg__team_wrap(&b->team, ctx, &b->cpus);
    for (int i = 1; i < SWG__TFSWA_SYSTEMS; i++) {
        b->peers[i] = (swg__server){.talk.fd = -1, .version = "not asked"};
        if (opts->peers[i])
            swg__server_open(&b->peers[i], ctx, scripts[i], &b->cpus, b->team.threads, opts->stop);
    }
    list(b);
    status = stopped(b);
    if (status == SWG_OK)
        status = measure(b);
    b->machine.load_after = swg__machine_load();
    for (int i = 1; i < SWG__TFSWA_SYSTEMS; i++)
        if (opts->peers[i])
            swg__server_close(&b->peers[i]);
    return status;
}
