/* recompute.c - which forward values a training plan keeps: the policies, one rule each, and words about single values.
 * In: the graph of a plan. Out: the values to be computed again; pass/remat.c does the rest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "plan/recompute.h"

enum { LEAST_SAVING_PERCENT = 5 };

static bool is_leaf(const swg__node *n) { return swg__ops[n->op].class == SWG__LEAF; }
static bool is_work(const swg__node *n) { return swg__ops[n->op].class == SWG__CONTRACTION || swg__ops[n->op].class == SWG__ATTEND; }

/* ---- what a choice costs ---- */

/* Orders of magnitude of one core; only their ratios matter, and a table makes the choice the same everywhere. */
static const double flops_per_second = 6e10, bytes_per_second = 6e9, sorted_bytes_per_second = 2e8;

static double seconds_of(const swg_graph *g, const swg__node *n) {
    if (is_work(n))
        return 2 * (double)swg__node_macs(g, n) / flops_per_second;
    double bytes = (double)swg__node_bytes(n);
    for (int j = 0; j < n->inputs; j++)
        bytes += (double)swg__node_bytes(&g->nodes[n->in[j]]);
    return bytes / (n->op == SWG__ARGSORT ? sorted_bytes_per_second : bytes_per_second);
}

swg__remat_cost swg__remat_cost_of(swg__remat_choice *r, const uint8_t *drop, uint8_t *kept) {
    const swg_graph *g = r->g;
    swg__remat_cost cost = {0};
    memcpy(r->needed, r->wanted, (size_t)g->count);
    for (int64_t v = g->count - 1; v > 0; v--) {
        const swg__node *n = &g->nodes[v];
        bool stays = r->needed[v] && !drop[v] && !is_leaf(n);
        if (kept)
            kept[v] = stays;
        if (stays)
            cost.bytes += swg__node_bytes(n);
        if (!r->needed[v] || !drop[v])
            continue;
        cost.seconds += seconds_of(g, n);
        for (int j = 0; j < n->inputs; j++)
            r->needed[swg__base_of(g, n->in[j])] = 1;
    }
    return cost;
}

/* ---- policies ---- */

/* Scores and probabilities of attention that is written as products: a softmax over what comes from a product of two values. */
static void force_attention(swg__remat_choice *r) {
    const swg_graph *g = r->g;
    for (int64_t v = 1; v < g->count; v++) {
        if (g->nodes[v].op != SWG__SOFTMAX || !r->able[v])
            continue;
        swg_value end = (swg_value)v;
        do {
            end = swg__base_of(g, g->nodes[end].in[0]);
        } while (swg__ops[g->nodes[end].op].class == SWG__EW && r->able[end] && swg__node_bytes(&g->nodes[end]) == swg__node_bytes(&g->nodes[v]));
        const swg__node *product = &g->nodes[end];
        if (product->op != SWG__MATMUL || !r->able[end] || !r->able[product->in[0]] || !r->able[product->in[1]])
            continue;
        for (swg_value u = (swg_value)v;; u = swg__base_of(g, g->nodes[u].in[0])) {
            r->forced[u] = 1;
            if (u == end)
                break;
        }
    }
}

/* By the outermost block of one kind. */
static void group_by_block(swg__remat_choice *r, bool kan, bool skip_last) {
    uint32_t last = 0;
    for (int64_t v = 1; v < r->g->count; v++) {
        for (uint32_t block = r->g->nodes[v].block; block; block = r->blocks[block].around)
            r->group[v] = r->blocks[block].kan == kan ? block : r->group[v];
        last = r->group[v] > last ? r->group[v] : last;
    }
    for (int64_t v = 1; v < r->g->count && skip_last; v++)
        r->group[v] = r->group[v] == last ? 0 : r->group[v];
}

/* Runs of blocks, or of contractions if there are none; what stands between two blocks belongs to the earlier one. */
static void group_by_segment(swg__remat_choice *r, int64_t segments, bool skip_last) {
    const swg_graph *g = r->g;
    group_by_block(r, false, false);
    int64_t length = 0, last = 0;
    uint32_t latest = 0;
    bool blocks = false, turned = false;
    for (int64_t v = 1; v < g->count; v++)
        blocks = blocks || r->group[v];
    for (int64_t v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        uint32_t own = r->group[v];
        turned = turned || n->backward;
        r->group[v] = 0;
        if (n->backward || is_leaf(n))
            continue;
        if (turned && n->inputs) { /* another layout of a forward value */
            r->group[v] = r->group[swg__base_of(g, n->in[0])];
            continue;
        }
        length += blocks ? own > latest : is_work(n);
        latest = own > latest ? own : latest;
        last = !blocks || own ? v : last;
        r->group[v] = (uint32_t)length;
    }
    segments = segments ? segments : (int64_t)lround(sqrt((double)length));
    segments = segments > length ? length : segments;
    int64_t per = segments > 0 ? (length + segments - 1) / segments : 1, final = (length + per - 1) / per;
    for (int64_t v = 1; v < g->count; v++) {
        int64_t own = ((int64_t)r->group[v] + per - 1) / per;
        r->group[v] = v > last || (skip_last && own == final) ? 0 : (uint32_t)own;
    }
}

/* What is read nowhere but in its own group. */
static void force_groups(swg__remat_choice *r) {
    const swg_graph *g = r->g;
    uint8_t *escapes = r->needed;
    memset(escapes, 0, (size_t)g->count);
    for (int64_t v = 1; v < g->count; v++)
        for (int j = 0; j < g->nodes[v].inputs && !g->nodes[v].backward && g->nodes[v].op != SWG__RESHAPE; j++) {
            swg_value in = swg__base_of(g, g->nodes[v].in[j]);
            escapes[in] |= r->group[in] != r->group[v];
        }
    for (int64_t v = 1; v < g->count; v++)
        r->forced[v] |= r->able[v] && r->group[v] && !escapes[v];
}

/* Values that the user wants dropped are computed from what the backward part wants anyway. */
static void force_words(swg__remat_choice *r) {
    const swg_graph *g = r->g;
    memset(r->needed, 0, (size_t)g->count);
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].remat == SWG__REMAT_DROP)
            r->needed[swg__base_of(g, (swg_value)v)] = 1;
    for (int64_t v = g->count - 1; v > 0; v--) {
        if (!r->needed[v] || !r->able[v])
            continue;
        r->forced[v] = 1;
        for (int j = 0; j < g->nodes[v].inputs; j++) {
            swg_value in = swg__base_of(g, g->nodes[v].in[j]);
            r->needed[in] |= !r->wanted[in];
        }
    }
    for (int64_t v = 1; v < g->count; v++)
        if (g->nodes[v].remat == SWG__REMAT_KEEP)
            r->able[swg__base_of(g, (swg_value)v)] = r->forced[swg__base_of(g, (swg_value)v)] = 0;
}

/* Marks what has to be kept so that v can be computed again; the first of it. */
static swg_value require(swg__remat_choice *r, swg_value v, uint8_t *asked) {
    const swg_graph *g = r->g;
    swg_value first = v;
    memset(asked, 0, (size_t)g->count);
    asked[v] = 1;
    for (swg_value u = v; u > 0; u--) {
        if (!asked[u] || r->available[u] == 0)
            continue;
        if (u != v && !r->drop[u]) {
            r->needed[u] = 1;
            first = u;
            continue;
        }
        for (int j = 0; j < g->nodes[u].inputs; j++)
            asked[swg__base_of(g, g->nodes[u].in[j])] = 1;
    }
    return first;
}

/* In order, every cheap value that takes fewer bytes to compute again than to keep, given all that is kept already. */
static void drop_cheap(swg__remat_choice *r, bool enough, uint8_t *asked) {
    const swg_graph *g = r->g;
    memcpy(r->drop, r->forced, (size_t)g->count);
    swg__remat_cost_of(r, r->drop, NULL); /* needed: also by the clones of what is forced */
    for (swg_value v = 1; v < g->count && enough; v++) {
        const swg__node *n = &g->nodes[v];
        int64_t bytes = swg__node_bytes(n), instead = 0;
        if (n->backward || is_leaf(n) || n->op == SWG__RESHAPE || r->forced[v]) {
            r->available[v] = r->forced[v] && (r->group[v] || !r->needed[v]) ? INT64_MAX : 0;
            continue;
        }
        for (int j = 0; j < n->inputs; j++)
            instead = swg__add_most(instead, r->available[swg__base_of(g, n->in[j])]);
        r->drop[v] = r->able[v] && swg__remat_cheap(n) && instead < bytes;
        r->available[v] = r->needed[v] ? 0 : r->drop[v] ? instead : bytes;
        if (r->needed[v] && r->drop[v] && instead > 0) {
            r->available[v] = 1;
            v = require(r, v, asked) - 1; /* look again at what it made cheaper */
        }
    }
}

void swg__remat_choose(swg__remat_choice *r, swg_recompute_policy policy, int64_t segments, bool skip_last) {
    size_t n = (size_t)r->g->count;
    memset(r->forced, 0, n);
    memset(r->group, 0, n * sizeof *r->group);
    swg__remat_able(r->g, r->base->outputs, r->base->output_count, r->able);
    if (policy == SWG_RECOMPUTE_BLOCKS || policy == SWG_RECOMPUTE_KAN)
        group_by_block(r, policy == SWG_RECOMPUTE_KAN, skip_last);
    if (policy == SWG_RECOMPUTE_SEGMENTS)
        group_by_segment(r, segments, skip_last);
    if (policy > SWG_RECOMPUTE_FREE)
        force_attention(r);
    force_groups(r);
    force_words(r);
    drop_cheap(r, policy > SWG_RECOMPUTE_OFF, r->asked);
    for (int64_t v = 1; v < r->g->count; v++) /* views are where what they view is */
        r->drop[v] = r->drop[swg__base_of(r->g, (swg_value)v)];
}

/* ---- the plan ---- */

swg_status swg__remat_try(swg__remat_choice *r, swg_plan **plan) {
    swg_plan *made;
    swg_status status = swg__plan_try(r->base, r->opts, r->drop, r->reach, r->like, &made);
    swg_plan_destroy(status == SWG_OK ? *plan : made);
    if (status == SWG_OK)
        *plan = made;
    return status;
}

static swg_status open_choice(swg__remat_choice *r) {
    const swg_graph *g = r->g;
    size_t n = (size_t)g->count;
    swg_context *ctx = r->base->ctx;
    r->able = swg__calloc(ctx, n, 1);
    r->wanted = swg__calloc(ctx, n, 1);
    r->drop = swg__calloc(ctx, n, 1);
    r->forced = swg__calloc(ctx, n, 1);
    r->needed = swg__calloc(ctx, n, 1);
    r->asked = swg__calloc(ctx, n, 1);
    r->available = swg__calloc(ctx, n, sizeof *r->available);
    r->group = swg__calloc(ctx, n, sizeof *r->group);
    r->like = swg__calloc(ctx, n, sizeof *r->like);
    if (!r->able || !r->wanted || !r->drop || !r->forced || !r->needed || !r->asked || !r->available || !r->group || !r->like)
        return swg__fail_memory(ctx, n * 22, "recomputation");
    for (int64_t v = 1; v < g->count; v++)
        for (int j = 0; g->nodes[v].backward && swg__ops[g->nodes[v].op].class != SWG__OPTIM && j < g->nodes[v].inputs; j++) {
            swg_value in = swg__base_of(g, g->nodes[v].in[j]);
            r->wanted[in] = !g->nodes[in].backward;
        }
    return SWG_OK;
}

static void close_choice(swg__remat_choice *r) {
    swg_context *ctx = r->base->ctx;
    void *arrays[] = {r->able, r->wanted, r->drop, r->forced, r->needed, r->asked, r->available, r->group, r->like};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        swg__free(ctx, arrays[i]);
}

static bool saves_enough(const swg_plan *plan, const swg_plan *without) {
    return (double)plan->memory.peak_bytes <= (1 - LEAST_SAVING_PERCENT * .01) * (double)without->memory.peak_bytes;
}

/* The default: what comes cheaply, if it is worth it. */
static swg_status make_default(swg__remat_choice *r, swg_plan **out) {
    swg_plan *without = NULL;
    swg__remat_choose(r, SWG_RECOMPUTE_OFF, 0, false);
    SWG__TRY(swg__remat_try(r, &without));
    without->policy = SWG_RECOMPUTE_OFF;
    swg__remat_choose(r, SWG_RECOMPUTE_ATTENTION, 0, false);
    swg_status status = swg__remat_try(r, out);
    if (status == SWG_OK)
        (*out)->policy = SWG_RECOMPUTE_ATTENTION;
    if (status == SWG_OK && !saves_enough(*out, without)) {
        swg_plan *kept = *out;
        *out = without;
        without = kept;
        swg__remat_choose(r, SWG_RECOMPUTE_OFF, 0, false);
    }
    swg_plan_destroy(without);
    return status;
}

/* Backward begins with the last block or segment: where keeping its values takes no more memory, they are not computed twice. */
static swg_status keep_last(swg__remat_choice *r, swg_plan **out) {
    const swg_recompute *asked = &r->opts->recompute;
    swg_plan *other = NULL;
    swg__remat_choose(r, asked->policy, asked->segments, true);
    swg_status status = swg__remat_try(r, &other);
    if (status == SWG_OK && other->memory.peak_bytes <= (*out)->memory.peak_bytes) {
        swg_plan *kept = *out;
        *out = other;
        other = kept;
    }
    swg_plan_destroy(other);
    return status;
}

static swg_status follow(swg__remat_choice *r, swg_plan **out) {
    const swg_recompute *asked = &r->opts->recompute;
    swg_recompute_policy policy = asked->policy;
    if (policy == SWG_RECOMPUTE_DEFAULT)
        return make_default(r, out);
    if (policy != SWG_RECOMPUTE_BUDGET) {
        swg__remat_choose(r, policy, asked->segments, asked->skip_last);
        SWG__TRY(swg__remat_try(r, out));
        if (policy >= SWG_RECOMPUTE_BLOCKS && !asked->skip_last)
            SWG__TRY(keep_last(r, out));
        (*out)->policy = policy;
        return SWG_OK;
    }
    SWG__TRY(make_default(r, out));
    int64_t budget = asked->budget_bytes ? asked->budget_bytes : (int64_t)(asked->budget_share * (double)(*out)->memory.peak_bytes);
    if ((*out)->memory.peak_bytes <= budget)
        return SWG_OK;
    SWG__TRY(swg__remat_fit(r, budget, out));
    (*out)->policy = policy;
    return SWG_OK;
}

static swg_status check(swg_context *ctx, const swg_recompute *o) {
    if (o->policy > SWG_RECOMPUTE_BUDGET)
        return swg__fail(ctx, SWG_EINVAL, "plan: recomputation policy %d is unknown", (int)o->policy);
    if (o->segments < 0)
        return swg__fail(ctx, SWG_EINVAL, "plan: recomputation in %d segments, expected 1 or more (0: chosen)", o->segments);
    if (o->policy == SWG_RECOMPUTE_BUDGET && o->budget_bytes <= 0 && !(o->budget_bytes == 0 && o->budget_share > 0 && o->budget_share <= 1))
        return swg__fail(ctx, SWG_EINVAL, "plan: a budget of %lld bytes or a share of %g, expected bytes above 0 or a share in (0, 1]",
                         (long long)o->budget_bytes, o->budget_share);
    return SWG_OK;
}

swg_status swg__recompute(const swg_plan *base, const swg__block *blocks, const swg_plan_opts *opts, swg_plan **out) {
    swg__remat_choice r = {.base = base, .g = base->g, .blocks = blocks, .opts = opts, .reach = SWG__REMAT_REACH};
    *out = NULL;
    SWG__TRY(check(base->ctx, &opts->recompute));
    swg_status status = open_choice(&r);
    if (status == SWG_OK)
        status = follow(&r, out);
    close_choice(&r);
    if (status != SWG_OK) {
        swg_plan_destroy(*out);
        *out = NULL;
    }
    return status;
}
