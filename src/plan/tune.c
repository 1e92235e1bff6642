/* tune.c - ways of running a step or a group that give the same bits: what they are, how a plan takes one, which is fastest.
 * In: a graph. Out: records of a swg_tuning. Candidates are measured in the plan's own sequence of steps, turn by turn with the heuristic,
 * so that caches and the machine's pace are the same for both; the winners together must then prove themselves once more.
 * SPDX-License-Identifier: Apache-2.0 */
#include "plan/tune.h"
#include <stdlib.h>
#include <string.h>
#include "cpu.h"
#include "plan/maker.h"
#include "provider/provider.h"

/* Candidates 1 to PANELS of a group: panel heights. 1 to GRAINS of a step: factors of the grain, then its kernel's variants. Chunks of a sum
 * are no candidates: they change its order, and with it the bits. */
enum { PANELS = 5, GRAINS = 5, RUNS_LEAST = 5, RUNS_MOST = 31, WARM = 2, REVISION = 1, HEURISTIC = -1 };
static const int shifts[GRAINS] = {-1, 1, -2, 2, SWG__TUNE_ONE_TASK};
static const double must_win = 0.97, must_hold = 0.99;

/* ---- keys: everything that the speed of a step depends on, and no pointers ---- */

static void add(swg__text *text, const void *bytes, size_t count) { swg__text_add(text, bytes, count); }

static void add_shape(swg__text *text, const swg__node *n) {
    const uint8_t kind[2] = {n->dtype, (uint8_t)n->ndim};
    add(text, kind, sizeof kind);
    add(text, n->shape, (size_t)n->ndim * sizeof *n->shape);
}

static void add_node(swg__text *text, const swg_graph *g, const swg__node *n, const swg__kernel *kernel) {
    swg__attr attr = n->attr;
    attr.program = NULL;
    attr.data = NULL;
    attr.stream = 0;
    attr.clone = 0;
    const uint8_t op[2] = {n->op, (uint8_t)n->inputs};
    add(text, kernel->name, strlen(kernel->name) + 1);
    add(text, op, sizeof op);
    add(text, &attr, sizeof attr);
    add_shape(text, n);
    for (int j = 0; j < n->inputs; j++)
        add_shape(text, &g->nodes[n->in[j]]);
    for (int i = 0; n->op == SWG__PROGRAM && i < n->attr.program->length; i++) {
        const swg__instruction *code = &n->attr.program->code[i];
        const uint8_t words[5] = {code->op, code->out, code->in[0], code->in[1], code->in[2]};
        add(text, words, sizeof words);
    }
}

static void begin_key(swg_context *ctx, swg__text *text) {
    char brand[64];
    swg__text_init(text, ctx);
    swg__cpu_brand(brand, sizeof brand);
    swg__text_printf(text, "%d %s %s %s %d ", REVISION, swg_version(), brand, swg_context_isa(ctx), ctx->threads);
}

static swg_status end_key(swg_context *ctx, swg__text *text, swg__tune_key *key) {
    uint8_t digest[32];
    bool failed = text->failed;
    if (!failed)
        swg__sha256(text->data, text->length, digest);
    memcpy(key, digest, failed ? 0 : sizeof *key);
    swg__text_free(text);
    return failed ? swg__fail_memory(ctx, sizeof digest, "a key of measured choices") : SWG_OK;
}

/* ---- what a plan takes ---- */

static int64_t height_of(const swg__group *group, int candidate) {
    const int64_t h = group->panel_rows, heights[PANELS] = {h / 2, 2 * h, h / 4, 4 * h, group->rows};
    int64_t height = heights[candidate - 1];
    return height < 1 || height > group->rows ? h : height;
}

swg_status swg__tune_group(swg__maker *m, swg__group *group, const swg_value *nodes) {
    const swg_tuning *t = m->plan->tuning;
    swg__text text;
    if (!t)
        return SWG_OK;
    begin_key(m->plan->ctx, &text);
    for (int i = 0; i < group->count; i++)
        add_node(&text, m->g, &m->g->nodes[nodes[i]], swg__kernel_of(m->g, &m->g->nodes[nodes[i]]));
    SWG__TRY(end_key(m->plan->ctx, &text, &group->key));
    const swg__tune_record *known = t->candidate == 0 ? swg__tuning_find(t, &group->key) : NULL;
    int64_t height = known ? known->choice.panel_rows : t->candidate > 0 && t->candidate <= PANELS ? height_of(group, t->candidate) : 0;
    if (height > 0 && height <= group->rows && height != group->panel_rows)
        group->choice.panel_rows = group->panel_rows = height;
    return SWG_OK;
}

swg_status swg__tune_step(swg__maker *m, swg__step *s) {
    const swg_tuning *t = m->plan->tuning;
    swg__text text;
    if (!t || s->group >= 0 || s->frozen || s->kernel == &swg__kernel_reference || swg__provider_takes(m->plan, s->node))
        return SWG_OK;
    begin_key(m->plan->ctx, &text);
    add_node(&text, m->g, s->call.node, s->kernel);
    SWG__TRY(end_key(m->plan->ctx, &text, &s->key));
    const swg__tune_record *known = t->candidate == 0 ? swg__tuning_find(t, &s->key) : NULL;
    int variant = t->candidate - GRAINS;
    if (known && known->choice.variant < (s->kernel->variants ? s->kernel->variants : 1))
        s->choice = known->choice;
    else if (t->candidate > 0 && t->candidate <= GRAINS)
        s->choice.shift = shifts[t->candidate - 1];
    else if (variant > 0 && variant < s->kernel->variants)
        s->choice.variant = variant;
    s->call.variant = s->choice.variant;
    return SWG_OK;
}

/* ---- rows for people ---- */

static void name_choice(const swg__choice *c, const swg__kernel *kernel, char *out, size_t capacity) {
    if (c->panel_rows)
        snprintf(out, capacity, "panels of %lld rows", (long long)c->panel_rows);
    else if (c->variant)
        snprintf(out, capacity, "%s", kernel ? kernel->variant_names[c->variant] : "another order of work");
    else if (c->shift == SWG__TUNE_ONE_TASK)
        snprintf(out, capacity, "one task");
    else if (c->shift)
        snprintf(out, capacity, "grain %s %d", c->shift > 0 ? "x" : "/", 1 << abs(c->shift));
    else
        snprintf(out, capacity, "as it is");
}

void swg_tuning_at(const swg_tuning *t, int64_t i, swg_tune_row *row) {
    const swg__tune_record *r = &t->records[i];
    *row = (swg_tune_row){.label = r->label, .heuristic_ns = r->heuristic_ns, .best_ns = r->best_ns, .known = !r->fresh};
    name_choice(&r->choice, NULL, row->choice, sizeof row->choice);
}

static size_t print_shape(char *out, size_t capacity, const swg__node *n) {
    size_t used = 0;
    for (int i = 0; i < n->ndim && used < capacity; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%lld", i ? "," : "(", (long long)n->shape[i]);
    used += used < capacity ? (size_t)snprintf(out + used, capacity - used, n->ndim ? ")" : "()") : 0;
    return used < capacity ? used : capacity;
}

static void label_step(const swg_plan *plan, const swg__step *s, int others, char *out) {
    const swg__node *n = s->call.node;
    size_t used = (size_t)snprintf(out, SWG__TUNE_LABEL, "%s%s ", s->packs ? "pack " : "", swg__ops[n->op].text);
    for (int j = 0; j < n->inputs && j < 2 && used < SWG__TUNE_LABEL; j++)
        used += print_shape(out + used, SWG__TUNE_LABEL - used, &plan->g->nodes[n->in[j]]);
    if (used < SWG__TUNE_LABEL)
        used += (size_t)snprintf(out + used, SWG__TUNE_LABEL - used, " > ");
    if (used < SWG__TUNE_LABEL)
        used += print_shape(out + used, SWG__TUNE_LABEL - used, n);
    if (others && used < SWG__TUNE_LABEL)
        snprintf(out + used, SWG__TUNE_LABEL - used, " and %d more", others);
}

/* ---- measuring ---- */

/* A step alone or a group, with the times of all steps or groups that have its key. */
typedef struct item {
    int step;                   /* of the heuristic's plan: the first with the key */
    const swg__tune_key *key;
    double runs[2][RUNS_MOST];  /* of the heuristic's plan and of the other */
    double heuristic_ns, best;  /* best: ratio to the heuristic */
    swg__choice choice;
    bool known, won;
} item;

/* A plan being measured. Other heights of panels are other bytes, with which the planner may order steps otherwise: so items are found by key. */
typedef struct contender {
    swg_plan *plan;
    int *item_of;               /* per step: the item that begins there, the first with its key; -1: none */
    int *step_of;               /* per item: the first step with its key, -1: this plan has none */
} contender;

typedef struct tuner {
    swg_tuning *t;
    swg_graph *g;
    swg_plan_opts plan_opts;
    const swg_tune_opts *opts;
    swg_weights *weights;
    item *items;
    int item_count;
    int64_t deadline_ns;
    double run_ns;              /* of a whole step, as last seen */
} tuner;

static bool stopped(const tuner *u) { return u->opts->stop && *u->opts->stop; }

/* NULL: there is nothing to choose. */
static const swg__tune_key *key_at(const swg_plan *plan, int i) {
    static const swg__tune_key none = {{0}};
    const swg__step *s = &plan->steps[i];
    const swg__tune_key *key = s->group >= 0 ? &plan->groups[s->group].key : &s->key;
    return memcmp(key, &none, sizeof none) == 0 ? NULL : key;
}

static int length_of(const swg_plan *plan, int i) {
    return plan->steps[i].group >= 0 ? plan->groups[plan->steps[i].group].count : 1;
}

static int find_item(const tuner *u, const swg__tune_key *key) {
    for (int k = 0; k < u->item_count; k++)
        if (memcmp(u->items[k].key, key, sizeof *key) == 0)
            return k;
    return -1;
}

static swg_status list_items(tuner *u, const swg_plan *plan) {
    u->items = swg__calloc(u->t->ctx, (size_t)plan->step_count + 1, sizeof *u->items);
    if (!u->items)
        return swg__fail_memory(u->t->ctx, (size_t)plan->step_count * sizeof *u->items, "measuring choices");
    for (int i = 0; i < plan->step_count; i += length_of(plan, i)) {
        const swg__tune_key *key = key_at(plan, i);
        if (!key || find_item(u, key) >= 0)
            continue;
        u->items[u->item_count++] = (item){.step = i, .key = key, .best = 1, .known = swg__tuning_find(u->t, key) && !u->opts->again};
    }
    return SWG_OK;
}

/* Numbers of ordinary size, so that no kernel meets denormals or NaN; an update that changes next to nothing. */
static void fill_inputs(const tuner *u, swg_plan *plan) {
    for (swg_value v = 1; v < u->g->count; v++) {
        const swg__node *n = &u->g->nodes[v];
        void *data = n->op == SWG__INPUT ? swg_plan_data(plan, v) : NULL;
        int64_t count = swg__shape_elements(n->ndim, n->shape);
        bool number = n->dtype == SWG_F32 || n->dtype == SWG_F64;
        for (int64_t i = 0; data && number && i < count; i++)
            swg__store(data, (swg_dtype)n->dtype, i, (double)((uint32_t)i * 2654435761u >> 8) * 0x1p-23 - 1);
        if (data && !number)
            memset(data, 0, (size_t)swg__node_bytes(n));
    }
    for (swg_value v = 1; v < u->g->count; v++) {
        const swg__node *n = &u->g->nodes[v];
        char *rows = n->op == SWG__UPDATE ? swg_plan_data(plan, n->in[1]) : NULL;
        int64_t groups = rows ? swg__update_groups(u->g, n) : 0;
        for (int64_t i = 0; i < groups; i++) {
            double b1 = 1, b2 = 1;
            void *row = rows + (size_t)(i * SWG_HYPER_COUNT) * swg__dtype_size(u->g->dtype);
            if (n->attr.update == SWG_UPDATE_SGD)
                swg_hyper_sgd(&(swg_sgd_hyper){.lr = 1e-9, .momentum = .9, .clip_norm = 1, .grad_scale = 1}, u->g->dtype, row);
            else
                swg_hyper_adam(&(swg_adam_hyper){.lr = 1e-9, .beta1 = .9, .beta2 = .999, .eps = 1e-8, .clip_norm = 1, .grad_scale = 1}, &b1, &b2,
                               u->g->dtype, row);
        }
    }
}

/* The plan of candidate number `candidate`; start_plan makes it ready to run. */
static swg_status open_plan(tuner *u, int candidate, contender *c) {
    swg_context *ctx = u->t->ctx;
    u->t->candidate = candidate;
    swg_status status = swg_plan_make(u->g, &u->plan_opts, &c->plan);
    u->t->candidate = 0;
    SWG__TRY(status);
    if (!u->items)
        SWG__TRY(list_items(u, c->plan));
    c->item_of = swg__alloc(ctx, (size_t)(c->plan->step_count + 1) * sizeof *c->item_of);
    c->step_of = swg__alloc(ctx, (size_t)(u->item_count + 1) * sizeof *c->step_of);
    if (!c->item_of || !c->step_of)
        return swg__fail_memory(ctx, (size_t)c->plan->step_count * sizeof *c->item_of, "measuring choices");
    for (int k = 0; k < u->item_count; k++)
        c->step_of[k] = -1;
    for (int i = c->plan->step_count - 1; i >= 0; i--) {
        const swg__tune_key *key = key_at(c->plan, i);
        c->item_of[i] = key ? find_item(u, key) : -1;
        if (c->item_of[i] >= 0)
            c->step_of[c->item_of[i]] = i;
    }
    return SWG_OK;
}

static swg_status start_plan(tuner *u, const contender *c) {
    SWG__TRY(swg_plan_open(c->plan, u->weights, NULL));
    fill_inputs(u, c->plan);
    return SWG_OK;
}

static void close_plan(tuner *u, contender *c) {
    swg_plan_destroy(c->plan);
    swg__free(u->t->ctx, c->item_of);
    swg__free(u->t->ctx, c->step_of);
    *c = (contender){0};
}

/* One run; the time of every item into its place number `at`. */
static void run_timed(tuner *u, const contender *c, int side, int at) {
    swg_plan *plan = c->plan;
    int64_t begin = swg__now_ns(), last = begin;
    for (int k = 0; at >= 0 && k < u->item_count; k++)
        u->items[k].runs[side][at] = 0;
    for (int i = 0; i < plan->step_count;) {
        int next = swg__plan_run_at(plan, i, 1, 0);
        int64_t now = swg__now_ns();
        if (at >= 0 && c->item_of[i] >= 0)
            u->items[c->item_of[i]].runs[side][at] += (double)(now - last);
        last = now;
        i = next;
    }
    u->run_ns = (double)(last - begin);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

/* Runs a and b in turns. *runs: how many of each; 0 when the time is up. */
static void measure(tuner *u, const contender *a, const contender *b, int *runs) {
    *runs = 0;
    for (int i = -WARM; i < RUNS_MOST; i++) {
        double left = (double)(u->deadline_ns - swg__now_ns());
        if (stopped(u) || left < 2 * u->run_ns * (i < RUNS_LEAST ? RUNS_LEAST - i : 1)) {
            *runs = i >= RUNS_LEAST ? i : 0;
            return;
        }
        run_timed(u, a, 0, i);
        run_timed(u, b, 1, i);
    }
    *runs = RUNS_MOST;
}

/* Is item k run in another way in b? */
static bool differs(const contender *a, const contender *b, int k) {
    if (a->step_of[k] < 0 || b->step_of[k] < 0)
        return false;
    const swg__step *x = &a->plan->steps[a->step_of[k]], *y = &b->plan->steps[b->step_of[k]];
    if (x->group >= 0)
        return a->plan->groups[x->group].panel_rows != b->plan->groups[y->group].panel_rows;
    return x->choice.variant != y->choice.variant || swg__ceil_div(x->units, x->grain) != swg__ceil_div(y->units, y->grain);
}

static void judge(tuner *u, const contender *base, const contender *other, int runs) {
    for (int k = 0; k < u->item_count; k++) {
        item *x = &u->items[k];
        double heuristic = median(x->runs[0], runs), ratio = median(x->runs[1], runs) / heuristic;
        x->heuristic_ns = heuristic;
        if (!differs(base, other, k) || !(ratio < x->best))
            continue;
        const swg__step *s = &other->plan->steps[other->step_of[k]];
        x->best = ratio;
        x->won = ratio < must_win;
        x->choice = s->group >= 0 ? other->plan->groups[s->group].choice : s->choice;
    }
}

/* Puts what has won so far into the set; `all`: also the knowledge that nothing did. */
static swg_status keep(tuner *u, const swg_plan *base, bool all) {
    for (int k = 0; k < u->item_count; k++) {
        const item *x = &u->items[k];
        if (x->known || !(x->won || all))
            continue;
        swg__tune_record record = {.key = *x->key, .heuristic_ns = x->heuristic_ns, .best_ns = x->heuristic_ns * (x->won ? x->best : 1), .fresh = true};
        record.choice = x->won ? x->choice : (swg__choice){0};
        label_step(base, &base->steps[x->step], length_of(base, x->step) - 1, record.label);
        SWG__TRY(swg__tuning_put(u->t, &record));
    }
    return SWG_OK;
}

/* All winners at once, against the heuristic once more: who does not hold is left as it was. */
static swg_status confirm(tuner *u, const contender *base) {
    contender all = {0};
    int runs = 0;
    swg_status status = open_plan(u, 0, &all);
    if (status == SWG_OK)
        status = start_plan(u, &all);
    if (status == SWG_OK)
        measure(u, base, &all, &runs);
    for (int k = 0; runs && k < u->item_count; k++) {
        item *x = &u->items[k];
        double ratio = x->won && all.step_of[k] >= 0 ? median(x->runs[1], runs) / median(x->runs[0], runs) : 1;
        x->won = ratio < must_hold;
        x->best = ratio > x->best ? ratio : x->best;
    }
    close_plan(u, &all);
    for (int k = 0; status == SWG_EINVAL && k < u->item_count; k++) /* together they exceed the budget */
        u->items[k].won = false;
    return status == SWG_OK || status == SWG_EINVAL ? keep(u, base->plan, true) : status;
}

static swg_status search(tuner *u, const contender *base) {
    int last = PANELS > GRAINS ? PANELS : GRAINS;
    for (int i = 0; i < base->plan->step_count; i++)
        if (base->plan->steps[i].kernel->variants + GRAINS - 1 > last)
            last = base->plan->steps[i].kernel->variants + GRAINS - 1;
    bool complete = true;
    for (int c = 1; c <= last && complete; c++) {
        contender other = {0};
        int runs = 0;
        swg_status status = open_plan(u, c, &other);
        bool refused = status == SWG_EINVAL; /* it needs more than the budget: no candidate here */
        if (status == SWG_OK)
            status = start_plan(u, &other);
        if (status == SWG_OK)
            measure(u, base, &other, &runs);
        if (runs)
            judge(u, base, &other, runs);
        close_plan(u, &other);
        if (!refused)
            SWG__TRY(status);
        complete = refused || runs > 0;
        if (u->opts->progress)
            u->opts->progress(u->opts->user, c, last + 1);
    }
    SWG__TRY(keep(u, base->plan, complete));
    if (complete)
        SWG__TRY(confirm(u, base));
    if (u->opts->progress)
        u->opts->progress(u->opts->user, last + 1, last + 1);
    return SWG_OK;
}

static void report(const tuner *u, const swg_plan *base) {
    for (int k = 0; u->opts->row && k < u->item_count; k++) {
        const item *x = &u->items[k];
        const swg__tune_record *r = swg__tuning_find(u->t, x->key);
        if (!r)
            continue;
        const swg__step *s = &base->steps[x->step];
        swg_tune_row row = {.label = r->label, .heuristic_ns = r->heuristic_ns, .best_ns = r->best_ns, .known = x->known};
        name_choice(&r->choice, s->group < 0 && r->choice.variant < s->kernel->variants ? s->kernel : NULL, row.choice, sizeof row.choice);
        u->opts->row(u->opts->user, &row);
    }
}

static bool updates(const swg_graph *g) {
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].op == SWG__UPDATE)
            return true;
    return false;
}

swg_status swg_tune(swg_tuning *t, swg_graph *g, const swg_plan_opts *plan_opts, const swg_tune_opts *opts) {
    static const swg_tune_opts none = {0};
    SWG__TRY(swg_graph_status(g));
    if (!plan_opts)
        return swg__fail(t->ctx, SWG_EINVAL, "plan: no outputs asked for");
    tuner u = {.t = t, .g = g, .plan_opts = *plan_opts, .opts = opts ? opts : &none};
    u.plan_opts.tuning = t;
    u.plan_opts.bind_inputs = false;
    double seconds = u.opts->seconds > 0 ? u.opts->seconds : 20;
    u.deadline_ns = swg__now_ns() + (int64_t)(seconds * 1e9);
    contender base = {0};
    swg_status status = open_plan(&u, HEURISTIC, &base);
    bool missing = false;
    for (int k = 0; k < u.item_count; k++)
        missing = missing || !u.items[k].known;
    if (status == SWG_OK && missing && !stopped(&u)) {
        status = swg_weights_create(g, updates(g), &u.weights);
        if (status == SWG_OK)
            swg_weights_init(u.weights, 1);
        if (status == SWG_OK)
            status = start_plan(&u, &base);
        if (status == SWG_OK)
            status = search(&u, &base);
    }
    if (status == SWG_OK)
        report(&u, base.plan);
    close_plan(&u, &base);
    swg_weights_destroy(u.weights);
    swg__free(t->ctx, u.items);
    if (status == SWG_OK && missing && stopped(&u))
        return swg__fail(t->ctx, SWG_EINTERRUPTED, "stopped; what has been measured is kept");
    return status;
}
