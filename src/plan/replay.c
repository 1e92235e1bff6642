/* replay.c - a plan as a flat list of regions: steps and groups that touch nothing of each other's run as one parallel call, and the threads
 * stay awake from the first region to the last. For small steps, where calling and waking cost more than the arithmetic.
 * In: an open plan. Out: the list, from which a run reads no graph, no group table and no kernel table. Same bits: every step does the tasks it
 * always does, after all it reads has been written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/replay.h"

/* Entries that a region looks at; what calling other threads and waiting for them takes, and a little more. */
enum { WINDOW = 32, HANDOVER_NS = 1500 };

/* ---- which memory a step touches ---- */

typedef struct range { const char *begin, *end; } range;

typedef struct touched {
    bool alone;                 /* spans of the weights, or other people's threads: shares a region with nobody */
    range *reads, *writes;
    int read_count, write_count;
} touched;

static void add(range *list, int *count, const void *begin, int64_t bytes) {
    if (begin && bytes > 0)
        list[(*count)++] = (range){begin, (const char *)begin + bytes};
}

static bool meet(const range *a, int a_count, const range *b, int b_count) {
    for (int i = 0; i < a_count; i++)
        for (int j = 0; j < b_count; j++)
            if (a[i].begin < b[j].end && b[j].begin < a[i].end)
                return true;
    return false;
}

static bool conflict(const touched *a, const touched *b) {
    return a->alone || b->alone || meet(a->writes, a->write_count, b->reads, b->read_count) ||
           meet(a->reads, a->read_count, b->writes, b->write_count) || meet(a->writes, a->write_count, b->writes, b->write_count);
}

static void touch_buffer(const swg_plan *plan, int buffer, touched *t) {
    if (buffer >= 0)
        add(t->writes, &t->write_count, plan->block + plan->buffers[buffer].life.offset, plan->buffers[buffer].life.bytes);
}

/* Panels lie in the group's own memory, which counts as written. */
static void touch_step(const swg_plan *plan, const swg__step *s, touched *t) {
    const swg__node *n = s->call.node;
    t->alone = t->alone || swg__ops[n->op].class == SWG__OPTIM || plan->provider;
    touch_buffer(plan, s->scratch, t);
    if (s->packed >= 0)
        add(t->reads, &t->read_count, s->call.packed, plan->buffers[s->packed].life.bytes);
    if (!s->packs && !s->writes_panel)
        add(t->writes, &t->write_count, s->call.out, swg__node_bytes(n));
    for (int j = 0; j < n->inputs; j++)
        if (s->group < 0 || !s->reads_panel[j])
            add(t->reads, &t->read_count, s->in[j], swg__node_bytes(&plan->g->nodes[n->in[j]]));
}

static swg_status list_touched(swg_plan *plan, swg__arena *arena, const swg__entry *e, touched *t) {
    int count = 0;
    for (int i = e->step; i < e->step + e->steps; i++)
        count += plan->steps[i].call.node->inputs + 3;
    *t = (touched){.reads = swg__arena_alloc(arena, (size_t)count * sizeof *t->reads),
                   .writes = swg__arena_alloc(arena, (size_t)count * sizeof *t->writes)};
    if (!t->reads || !t->writes)
        return swg__fail_memory(plan->ctx, (size_t)count * sizeof *t->reads, "a replay list");
    for (int i = e->step; i < e->step + e->steps; i++)
        touch_step(plan, &plan->steps[i], t);
    if (plan->steps[e->step].group >= 0)
        touch_buffer(plan, plan->groups[plan->steps[e->step].group].memory, t);
    return SWG_OK;
}

/* ---- how much work it is: coarse, and a function of shapes and instruction set ---- */

static double work_ns(const swg_plan *plan, const swg__step *s) {
    const swg__node *n = s->call.node;
    double lanes = s->call.isa->vl, elements = (double)swg__shape_elements(n->ndim, n->shape), bytes = s->packs ? 0 : (double)swg__node_bytes(n);
    for (int j = s->packs; j < (s->packs ? 2 : n->inputs); j++)
        bytes += (double)swg__node_bytes(&plan->g->nodes[n->in[j]]);
    double memory = bytes / 32;
    if (s->packs)
        return memory;
    if (n->op == SWG__ARGSORT || swg__ops[n->op].class == SWG__RANDOM)
        return memory + elements * 2;
    if (swg__ops[n->op].class == SWG__EW)
        return memory + elements * (n->op == SWG__PROGRAM ? n->attr.program->length : 1) * 2 / lanes;
    return memory + (double)swg__node_macs(plan->g, n) / (8 * lanes);
}

/* ---- the list ---- */

static int list_entries(const swg_plan *plan, swg__entry *entries) {
    int count = 0;
    for (int i = 0; i < plan->step_count;) {
        const swg__step *s = &plan->steps[i];
        const swg__group *group = s->group >= 0 ? &plan->groups[s->group] : NULL;
        int steps = group ? group->count : 1;
        double work = 0;
        for (int k = i; k < i + steps; k++)
            work += work_ns(plan, &plan->steps[k]);
        if (!s->frozen)
            entries[count++] = (swg__entry){.step = i, .steps = steps, .tasks = group ? swg__ceil_div(group->rows, group->panel_rows)
                                                                                      : swg__ceil_div(s->units, s->grain),
                                             .work_ns = work};
        i += steps;
    }
    return count;
}

/* Regions in order: each takes the first entry that is left and, of the next few, all that touch nothing of what the region has or of what
 * they would overtake. */
static void make_regions(swg__replay *r, const swg__entry *from, const touched *touch, int count, uint8_t *taken, int *chosen) {
    for (int first = 0, out = 0; first < count; first++) {
        if (taken[first])
            continue;
        swg__region *region = &r->regions[r->region_count++];
        *region = (swg__region){.first = out};
        int chosen_count = 0;
        double work = 0, longest = 0;
        for (int i = first; i < count && i < first + WINDOW; i++) {
            bool free = !taken[i];
            for (int k = 0; free && k < chosen_count; k++)
                free = !conflict(&touch[chosen[k]], &touch[i]);
            for (int k = first; free && k < i; k++) /* left behind for a later region */
                free = taken[k] || !conflict(&touch[k], &touch[i]);
            if (!free)
                continue;
            taken[i] = 1;
            chosen[chosen_count++] = i;
            r->entries[out] = from[i];
            r->entries[out++].first_task = region->tasks;
            region->tasks += from[i].tasks;
            region->count++;
            double task = from[i].work_ns / (double)(from[i].tasks > 0 ? from[i].tasks : 1);
            work += from[i].work_ns;
            longest = task > longest ? task : longest;
        }
        /* What a second thread could save. */
        region->inline_run = work - (longest > work / 2 ? longest : work / 2) < HANDOVER_NS;
    }
}

swg_status swg__replay_make(swg_plan *plan) {
    swg__arena arena;
    size_t most = (size_t)plan->step_count + 1;
    swg__arena_init(&arena, plan->ctx);
    swg__replay *r = swg__arena_alloc(&plan->arena, sizeof *r);
    swg__entry *entries = swg__arena_alloc(&arena, most * sizeof *entries);
    touched *touch = swg__arena_alloc(&arena, most * sizeof *touch);
    uint8_t *taken = swg__arena_alloc(&arena, most);
    int *chosen = swg__arena_alloc(&arena, most * sizeof *chosen);
    swg_status status = r && entries && touch && taken && chosen ? SWG_OK : swg__fail_memory(plan->ctx, most * 64, "a replay list");
    if (status == SWG_OK) {
        r->entries = swg__arena_alloc(&plan->arena, most * sizeof *r->entries);
        r->regions = swg__arena_alloc(&plan->arena, most * sizeof *r->regions);
        status = r->entries && r->regions ? SWG_OK : swg__fail_memory(plan->ctx, most * 64, "a replay list");
    }
    int count = status == SWG_OK ? list_entries(plan, entries) : 0;
    for (int i = 0; i < count && status == SWG_OK; i++)
        status = list_touched(plan, &arena, &entries[i], &touch[i]);
    if (status == SWG_OK) {
        r->plan = plan;
        r->entry_count = count;
        make_regions(r, entries, touch, count, taken, chosen);
        plan->replay = r;
    }
    swg__arena_free(&arena);
    return status;
}

/* ---- running ---- */

typedef struct job { swg__replay *replay; const swg__region *region; } job;

static void run_task(void *arg, int64_t task, int worker) {
    const job *j = arg;
    const swg__entry *e = &j->replay->entries[j->region->first];
    for (int i = 1; i < j->region->count && e[1].first_task <= task; i++)
        e++;
    swg__plan_run_task(j->replay->plan, e->step, task - e->first_task, worker);
}

void swg__replay_run(swg__replay *r, uint64_t seed, uint32_t step) {
    swg_plan *plan = r->plan;
    plan->seed = seed;
    plan->step = step;
    for (int i = 0; i < r->entry_count; i++) {
        swg__call *call = &plan->steps[r->entries[i].step].call;
        call->seed = seed;
        call->step = step;
    }
    bool hold = !plan->provider; /* a provider has threads of its own, which ours must not keep off the processors */
    if (hold)
        swg__pool_hold(plan->ctx, true);
    for (int i = 0; i < r->region_count; i++) {
        const swg__region *region = &r->regions[i];
        job j = {r, region};
        for (int64_t task = 0; region->inline_run && task < region->tasks; task++)
            run_task(&j, task, 0);
        if (!region->inline_run)
            swg__parallel(plan->ctx, region->tasks, run_task, &j);
        for (int k = region->first; k < region->first + region->count; k++) {
            const swg__step *s = &plan->steps[r->entries[k].step];
            if (s->group < 0 && s->kernel->finish)
                s->kernel->finish(&s->call);
        }
    }
    if (hold)
        swg__pool_hold(plan->ctx, false);
}
