/* budget.c - recomputation under a budget of bytes: the cheapest choices that are live at the peak, one exact plan after the other.
 * In: a choice and its plan. Out: a choice and plan within the budget, or the least there is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "plan/recompute.h"

enum { PICKS = 32, PATIENCE = 8, NOT_CHOSEN = 0 };

/* A value, with what it takes to compute it from what is kept; or the inside of a block. */
typedef struct candidate {
    swg_value value;
    uint32_t block;
    bool tried, chosen, fresh;      /* fresh: rate and gain are of the choice as it is now */
    double seconds, rate;           /* of computing it again; bytes per second, 0: it gains nothing */
    int64_t gain;                   /* bytes fewer at the peak */
} candidate;

typedef struct search {
    swg__remat_choice *r;
    swg_plan **plan;
    candidate *candidates;
    int count;
    bool rated;             /* candidates have the rates of the choice as it is, or nearly */
    uint8_t *live;          /* kept and live at the peak */
    uint8_t *kept, *next_kept, *next, *before;
    swg_value *next_like;
    int *owner;             /* the candidate that dropped a value, from 1; NOT_CHOSEN */
} search;

static bool inside(const swg__remat_choice *r, swg_value v, uint32_t block) {
    uint32_t own = r->g->nodes[v].block;
    while (own > block) /* blocks around another have smaller numbers */
        own = r->blocks[own].around;
    return own == block;
}

/* Adds a candidate's values to `drop`. */
static void add(search *s, const candidate *c, uint8_t *drop) {
    swg__remat_choice *r = s->r;
    const swg_graph *g = r->g;
    if (c->block) {
        uint8_t *escapes = r->asked;
        memset(escapes, 0, (size_t)g->count);
        for (int64_t v = 1; v < g->count; v++)
            for (int j = 0; j < g->nodes[v].inputs && !g->nodes[v].backward && g->nodes[v].op != SWG__RESHAPE; j++)
                escapes[swg__base_of(g, g->nodes[v].in[j])] |= !inside(r, (swg_value)v, c->block);
        for (int64_t v = 1; v < g->count; v++)
            drop[v] |= r->able[v] && !escapes[v] && inside(r, (swg_value)v, c->block);
        return;
    }
    uint8_t *asked = r->asked;
    memset(asked, 0, (size_t)g->count);
    asked[c->value] = 1;
    for (swg_value v = c->value; v > 0; v--) {
        if (!asked[v] || !r->able[v] || (v != c->value && s->kept[v]))
            continue;
        drop[v] = 1;
        for (int j = 0; j < g->nodes[v].inputs; j++)
            asked[swg__base_of(g, g->nodes[v].in[j])] = 1;
    }
}

static void spread_to_views(const swg_graph *g, uint8_t *drop) {
    for (int64_t v = 1; v < g->count; v++)
        drop[v] = drop[swg__base_of(g, (swg_value)v)];
}

static void look_at_peak(search *s) {
    const swg_plan *plan = *s->plan;
    for (int64_t v = 1; v < s->r->g->count; v++) {
        swg_value own = s->r->like[v];
        s->live[v] = 0;
        if (!s->kept[v] || !own)
            continue;
        const swg__location *where = &plan->where[swg__base_of(plan->g, own)];
        if (where->kind != SWG__IN_BUFFER)
            continue;
        const swg__buffer *b = &plan->buffers[where->buffer];
        s->live[v] = !b->panel && b->life.first <= plan->peak_time && plan->peak_time <= b->life.last;
    }
}

/* Bytes fewer at the peak with s->next_kept in place of s->kept. */
static int64_t gain_of(const search *s) {
    int64_t gain = 0;
    for (int64_t v = 1; v < s->r->g->count; v++) {
        if (s->live[v] && !s->next_kept[v])
            gain += swg__node_bytes(&s->r->g->nodes[v]);
        if (s->next_kept[v] && !s->kept[v])
            gain -= swg__node_bytes(&s->r->g->nodes[v]);
    }
    return gain;
}

/* What candidate c is worth beside the choice as it is, whose seconds are `now`; s->next becomes the choice with it. */
static void rate(search *s, candidate *c, double now) {
    swg__remat_choice *r = s->r;
    memcpy(s->next, r->drop, (size_t)r->g->count);
    add(s, c, s->next);
    c->seconds = swg__remat_cost_of(r, s->next, s->next_kept).seconds - now;
    c->gain = gain_of(s);
    c->rate = c->gain <= 0 ? 0 : (double)c->gain / (c->seconds > 1e-9 ? c->seconds : 1e-9);
    c->fresh = true;
}

static bool may_help(const search *s, const candidate *c) { return !c->tried && !c->chosen && !(c->value && !s->live[c->value]); }

/* The best candidate, whose choice goes to s->next; -1: none gains anything. Rates that were good before one was chosen mostly still are: only
 * the best of them is looked at again. */
static int pick(search *s) {
    double now = swg__remat_cost_of(s->r, s->r->drop, s->kept).seconds;
    for (int i = 0; i < s->count; i++) {
        candidate *c = &s->candidates[i];
        c->fresh = false;
        if (!s->rated && may_help(s, c))
            rate(s, c, now);
    }
    s->rated = true;
    for (;;) {
        int best = -1;
        for (int i = 0; i < s->count; i++)
            if (may_help(s, &s->candidates[i]) && s->candidates[i].rate > (best < 0 ? 0 : s->candidates[best].rate))
                best = i;
        if (best < 0)
            return best;
        bool known = s->candidates[best].fresh;
        rate(s, &s->candidates[best], now);
        if (known)
            return best;
    }
}

/* s->next, the choice with a candidate more, is the choice from now on. */
static void choose(search *s, int taken) {
    s->candidates[taken].chosen = true;
    for (int64_t v = 1; v < s->r->g->count; v++)
        if (s->next[v] && !s->r->drop[v])
            s->owner[v] = taken + 1;
    memcpy(s->r->drop, s->next, (size_t)s->r->g->count);
}

static void adopt(search *s, swg_plan *made) {
    swg_value *like = s->r->like; /* goes with the plan */
    s->r->like = s->next_like;
    s->next_like = like;
    swg_plan_destroy(*s->plan);
    *s->plan = made;
    s->rated = false;
}

/* Takes up to `most` candidates and plans; *taken: how many, 0 if there are none. What does not help is not tried again. */
static swg_status take(search *s, int64_t budget, int most, int *taken) {
    swg__remat_choice *r = s->r;
    size_t n = (size_t)r->g->count;
    int64_t missing = (*s->plan)->memory.peak_bytes - budget, bound = (*s->plan)->memory.bound_bytes;
    int64_t bytes = swg__remat_cost_of(r, r->drop, s->kept).bytes;
    int picked[PICKS];
    memcpy(s->before, r->drop, n);
    look_at_peak(s);
    *taken = 0;
    while (*taken < most && missing > 0) {
        int best = pick(s);
        if (best < 0)
            break;
        missing -= s->candidates[best].gain;
        picked[(*taken)++] = best;
        choose(s, best);
        for (size_t v = 1; v < n; v++)
            s->live[v] &= !r->drop[v];
    }
    if (*taken == 0)
        return SWG_OK;
    spread_to_views(r->g, r->drop);
    swg_plan *made;
    swg_status status = swg__plan_try(r->base, r->opts, r->drop, r->reach, s->next_like, &made);
    int64_t left = swg__remat_cost_of(r, r->drop, s->kept).bytes;
    if (status == SWG_OK && (made->memory.bound_bytes < bound || (made->memory.bound_bytes == bound && left < bytes))) {
        adopt(s, made);
        return SWG_OK;
    }
    swg_plan_destroy(made);
    SWG__TRY(status);
    memcpy(r->drop, s->before, n);
    for (int i = 0; i < *taken; i++) {
        s->candidates[picked[i]].chosen = false;
        s->candidates[picked[i]].tried = *taken == 1;
        for (size_t v = 1; v < n; v++)
            if (s->owner[v] == picked[i] + 1)
                s->owner[v] = NOT_CHOSEN;
    }
    return SWG_OK;
}

static swg_status descend(search *s, int64_t budget) {
    int most = PICKS, failed = 0; /* single ones in a row */
    bool helped = false;
    while ((*s->plan)->memory.peak_bytes > budget) {
        int64_t bound = (*s->plan)->memory.bound_bytes;
        int taken;
        SWG__TRY(take(s, budget, most, &taken));
        if (taken && (*s->plan)->memory.bound_bytes < bound) {
            helped = true;
            most = 2 * most < PICKS ? 2 * most : PICKS;
            failed = 0;
        } else if (taken > 1) {
            most = taken / 4 > 1 ? taken / 4 : 1;
        } else if (taken && ++failed < PATIENCE) {
            continue;
        } else { /* what did not help then may now */
            if (!helped)
                break;
            for (int i = 0; i < s->count; i++)
                s->candidates[i].tried = false;
            helped = s->rated = false;
            failed = 0;
        }
    }
    return SWG_OK;
}

/* Bytes more that live at the peak of the plan if s->next were the choice: what was made before it and is read after it. By the order of the
 * graph, so nearly; only to see what need not be planned. */
static int64_t more_at_peak(search *s) {
    swg__remat_choice *r = s->r;
    const swg_graph *g = r->g;
    const swg_plan *plan = *s->plan;
    swg_value peak = 0;
    int64_t more = 0;
    for (int i = 0; i < plan->step_count && !peak; i++)
        peak = plan->steps[i].time == plan->peak_time && !plan->steps[i].packs ? plan->steps[i].node : 0;
    swg__remat_cost_of(r, r->drop, s->kept);
    swg__remat_cost_of(r, s->next, s->next_kept);
    memset(s->live, 0, (size_t)g->count);
    for (int64_t v = 1; v < g->count && peak; v++)
        for (int j = 0; g->nodes[v].backward && r->like[v] > peak && j < g->nodes[v].inputs; j++)
            s->live[swg__base_of(g, g->nodes[v].in[j])] = 1;
    for (int64_t v = 1; v < g->count; v++)
        if (s->live[v] && s->kept[v] != s->next_kept[v] && r->like[v] && r->like[v] < peak)
            more += s->next_kept[v] ? swg__node_bytes(&g->nodes[v]) : -swg__node_bytes(&g->nodes[v]);
    return more;
}

/* Without each choice in turn, the dearest first: later ones may have made it needless. */
static swg_status ascend(search *s, int64_t budget) {
    swg__remat_choice *r = s->r;
    size_t n = (size_t)r->g->count;
    for (;;) {
        int dearest = -1;
        for (int i = 0; i < s->count; i++)
            if (s->candidates[i].chosen && (dearest < 0 || s->candidates[i].seconds > s->candidates[dearest].seconds))
                dearest = i;
        if (dearest < 0)
            return SWG_OK;
        s->candidates[dearest].chosen = false;
        memcpy(s->next, r->drop, n);
        for (size_t v = 1; v < n; v++)
            s->next[v] &= s->owner[v] != dearest + 1;
        spread_to_views(r->g, s->next);
        if (more_at_peak(s) > budget - (*s->plan)->memory.peak_bytes)
            continue;
        swg_plan *made;
        swg_status status = swg__plan_try(r->base, r->opts, s->next, r->reach, s->next_like, &made);
        if (status != SWG_OK || made->memory.peak_bytes > budget) {
            swg_plan_destroy(made);
            SWG__TRY(status);
            continue;
        }
        memcpy(r->drop, s->next, n);
        adopt(s, made);
    }
}

static swg_status open_search(search *s) {
    const swg_graph *g = s->r->g;
    swg_context *ctx = s->r->base->ctx;
    size_t n = (size_t)g->count;
    uint32_t blocks = 0;
    for (size_t v = 1; v < n; v++)
        blocks = g->nodes[v].block > blocks ? g->nodes[v].block : blocks;
    s->candidates = swg__calloc(ctx, n + blocks, sizeof *s->candidates);
    s->live = swg__calloc(ctx, n, 1);
    s->kept = swg__calloc(ctx, n, 1);
    s->next_kept = swg__calloc(ctx, n, 1);
    s->next = swg__calloc(ctx, n, 1);
    s->before = swg__calloc(ctx, n, 1);
    s->next_like = swg__calloc(ctx, n, sizeof *s->next_like);
    s->owner = swg__calloc(ctx, n, sizeof *s->owner);
    if (!s->next_like || !s->candidates || !s->live || !s->kept || !s->next_kept || !s->next || !s->before || !s->owner)
        return swg__fail_memory(ctx, n * sizeof *s->candidates, "a budget");
    for (swg_value v = 1; v < n; v++)
        if (s->r->able[v] && g->nodes[v].op != SWG__RESHAPE)
            s->candidates[s->count++].value = v;
    for (uint32_t b = 1; b <= blocks; b++)
        s->candidates[s->count++].block = b;
    return SWG_OK;
}

static void close_search(search *s) {
    void *arrays[] = {s->candidates, s->live, s->kept, s->next_kept, s->next, s->before, s->next_like, s->owner};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        swg__free(s->r->base->ctx, arrays[i]);
}

static void forget(search *s) {
    for (int i = 0; i < s->count; i++)
        s->candidates[i].tried = s->candidates[i].chosen = false;
    memset(s->owner, 0, (size_t)s->r->g->count * sizeof *s->owner);
    s->rated = false;
}

static swg_status refuse(const swg__remat_choice *r, int64_t budget, const swg_memory *least) {
    const double mib = 1 / 1048576.;
    return swg__fail(r->base->ctx, SWG_EINVAL, "plan: a budget of %.1f MiB cannot be met; the least possible peak is %.1f MiB, at %s (parameters, "
                     "gradients and optimiser %.1f MiB, saved %.1f, transient %.1f, scratch %.1f, inputs %.1f MiB)",
                     (double)budget * mib, (double)least->peak_bytes * mib, least->peak_at,
                     (double)(least->parameters_bytes + least->gradients_bytes + least->optimiser_bytes) * mib, (double)least->saved_bytes * mib,
                     (double)least->transient_bytes * mib, (double)least->scratch_bytes * mib, (double)least->io_bytes * mib);
}

/* The outermost blocks that the choice recomputes, each a candidate that can be taken back. */
static void own_blocks(search *s) {
    swg__remat_choice *r = s->r;
    const int64_t n = r->g->count;
    const double now = swg__remat_cost_of(r, r->drop, NULL).seconds;
    for (int i = 0; i < s->count; i++) {
        candidate *c = &s->candidates[i];
        if (!c->block || r->blocks[c->block].around || r->blocks[c->block].kan)
            continue;
        memset(s->next, 0, (size_t)n);
        add(s, c, s->next);
        for (int64_t v = 1; v < n; v++) {
            const bool own = s->next[v] && r->forced[v];
            s->owner[v] = own ? i + 1 : s->owner[v];
            c->chosen = c->chosen || own;
            s->next[v] = r->drop[v] && !own;
        }
        c->seconds = now - swg__remat_cost_of(r, s->next, NULL).seconds;
    }
}

swg_status swg__remat_fit(swg__remat_choice *r, int64_t budget, swg_plan **plan) {
    enum { NOTHING, MOST_BLOCKS, ALL_BLOCKS, SEGMENTS, STARTS };
    static const swg_recompute_policy policies[STARTS] = {SWG_RECOMPUTE_ATTENTION, SWG_RECOMPUTE_BLOCKS, SWG_RECOMPUTE_BLOCKS, SWG_RECOMPUTE_SEGMENTS};
    search s = {.r = r, .plan = plan};
    swg_memory least = {.peak_bytes = INT64_MAX};
    swg__remat_choose(r, SWG_RECOMPUTE_ATTENTION, 0, false); /* able: words are in */
    swg_status status = open_search(&s);
    bool found = false;
    for (int i = 0; i < 2 * STARTS && status == SWG_OK && !found; i++) { /* the second time, clones are made anew for each reader */
        int start = i % STARTS;
        forget(&s);
        r->reach = i < STARTS ? SWG__REMAT_REACH : 0;
        swg__remat_choose(r, policies[start], 0, start != ALL_BLOCKS);
        if (policies[start] == SWG_RECOMPUTE_BLOCKS)
            own_blocks(&s);
        status = swg__remat_try(r, plan);
        if (status == SWG_OK)
            status = descend(&s, budget);
        if (status != SWG_OK)
            break;
        found = (*plan)->memory.peak_bytes <= budget;
        if (found)
            status = ascend(&s, budget);
        else if ((*plan)->memory.peak_bytes < least.peak_bytes)
            least = (*plan)->memory;
    }
    close_search(&s);
    return status != SWG_OK || found ? status : refuse(r, budget, &least);
}
