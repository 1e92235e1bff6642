/* savings.c - recomputation as words and numbers: reading a policy, and what it saves.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "plan/plan.h"

static const struct { const char *word; swg_recompute_policy policy; } words[] = {
    {"default", SWG_RECOMPUTE_DEFAULT}, {"off", SWG_RECOMPUTE_OFF}, {"free", SWG_RECOMPUTE_FREE}, {"attention", SWG_RECOMPUTE_ATTENTION},
    {"kan", SWG_RECOMPUTE_KAN}, {"blocks", SWG_RECOMPUTE_BLOCKS}, {"segments", SWG_RECOMPUTE_SEGMENTS}, {"budget", SWG_RECOMPUTE_BUDGET},
    /* other spellings */
    {"none", SWG_RECOMPUTE_DEFAULT}, {"false", SWG_RECOMPUTE_DEFAULT}, {"true", SWG_RECOMPUTE_BLOCKS},
    {"checkpoint_blocks", SWG_RECOMPUTE_BLOCKS}, {"checkpoint_attention", SWG_RECOMPUTE_ATTENTION},
    {"checkpoint_sequential", SWG_RECOMPUTE_SEGMENTS},
};
enum { WORDS = sizeof words / sizeof words[0] };

const char *swg_recompute_name(swg_recompute_policy policy) { return policy <= SWG_RECOMPUTE_BUDGET ? words[policy].word : "unknown"; }

swg_status swg_recompute_read_budget(swg_context *ctx, const char *text, swg_recompute *out) {
    static const struct { const char *unit; double bytes; } units[] = {
        {"", 1}, {"b", 1}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"kib", 1024}, {"mib", 1048576}, {"gib", 1073741824}};
    double number = 0, place = 0;
    const char *end = text;
    for (; (*end >= '0' && *end <= '9') || (*end == '.' && place == 0); end++) { /* as in the C locale */
        if (*end == '.')
            place = 1;
        else
            number = place > 0 ? number + (*end - '0') * (place /= 10) : 10 * number + (*end - '0');
    }
    *out = (swg_recompute){.policy = SWG_RECOMPUTE_BUDGET};
    end += strspn(end, " ");
    if (strcmp(end, "%") == 0 && number <= 100)
        out->budget_share = number / 100;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcasecmp(end, units[i].unit) == 0 && number * units[i].bytes < 9e18)
            out->budget_bytes = (int64_t)(number * units[i].bytes);
    if (out->budget_bytes > 0 || out->budget_share > 0)
        return SWG_OK;
    return swg__fail(ctx, SWG_EUSAGE, "a budget of \"%.64s\"; expected bytes as 2GiB or 500 MB, or a share of the default plan's peak as 60%%", text);
}

static swg_status read_segments(swg_context *ctx, const char *text, swg_recompute *out) {
    char *end;
    long n = strtol(text, &end, 10);
    if (strcmp(text, "auto") == 0)
        return SWG_OK;
    if (*text < '0' || *text > '9' || *end || n < 1 || n > 1000000)
        return swg__fail(ctx, SWG_EUSAGE, "segments:%.64s; expected a number from 1, or auto", text);
    out->segments = (int)n;
    return SWG_OK;
}

swg_status swg_recompute_read(swg_context *ctx, const char *text, swg_recompute *out) {
    size_t length = strcspn(text, ":");
    const char *rest = text[length] ? text + length + 1 : NULL, *candidates[WORDS];
    for (size_t i = 0; i < WORDS; i++) {
        candidates[i] = words[i].word;
        if (strlen(words[i].word) != length || strncasecmp(words[i].word, text, length) != 0)
            continue;
        *out = (swg_recompute){.policy = words[i].policy};
        if (words[i].policy == SWG_RECOMPUTE_SEGMENTS)
            return rest ? read_segments(ctx, rest, out) : SWG_OK;
        if (words[i].policy == SWG_RECOMPUTE_BUDGET)
            return swg_recompute_read_budget(ctx, rest ? rest : "", out);
        if (rest)
            return swg__fail(ctx, SWG_EUSAGE, "recomputation \"%.64s\": only segments and budget take something after ':'", text);
        return SWG_OK;
    }
    const char *near = swg__nearest(text, candidates, WORDS);
    return swg__fail(ctx, SWG_EUSAGE, "recomputation \"%.64s\" is unknown%s%s; there are none, off, free, attention, kan, blocks, segments:N and budget:BYTES",
                     text, near ? "; did you mean " : "", near ? near : "");
}

swg_recompute_policy swg_plan_recompute_of(const swg_plan *plan) { return plan->policy; }

int swg_plan_saved(const swg_plan *plan, swg_saved_value *out, int most) {
    int count = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        const swg__location *where = &plan->where[s->node];
        if (s->packs || n->backward || where->kind != SWG__IN_BUFFER)
            continue;
        const swg__buffer *b = &plan->buffers[where->buffer];
        bool last = true; /* who writes in place has the buffer from then on */
        for (int k = i + 1; k < plan->step_count && last; k++)
            last = plan->steps[k].packs || plan->steps[k].call.node->backward || plan->where[plan->steps[k].node].kind != SWG__IN_BUFFER ||
                   plan->where[plan->steps[k].node].buffer != where->buffer;
        if (!last || b->panel || b->category != SWG__CAT_SAVED || b->life.first > plan->peak_time || b->life.last < plan->peak_time)
            continue;
        int at = count;
        while (at > 0 && out[at - 1].bytes < b->life.bytes)
            at--;
        if (at >= most)
            continue;
        count += count < most;
        memmove(out + at + 1, out + at, (size_t)(count - 1 - at) * sizeof *out);
        out[at] = (swg_saved_value){n->name, swg__ops[n->op].text, b->life.bytes};
    }
    return count;
}

/* What wrote into a buffer last before the peak: of values that are kept, in the forward pass. */
static void writer_of(const swg_plan *plan, int buffer, swg_live_value *out) {
    const bool saved = plan->buffers[buffer].category == SWG__CAT_SAVED;
    for (int64_t v = 1; v < plan->g->count; v++) /* inputs are written by the caller */
        if (plan->g->nodes[v].op == SWG__INPUT && plan->where[v].kind == SWG__IN_BUFFER && plan->where[v].buffer == buffer) {
            out->scope = plan->g->nodes[v].name ? plan->g->nodes[v].name : "";
            out->op = swg__ops[SWG__INPUT].text;
        }
    for (int i = 0; i < plan->group_count; i++)
        if (plan->groups[i].memory == buffer) {
            out->scope = plan->steps[plan->groups[i].first].call.node->name;
            out->op = "row panels";
        }
    for (int i = 0; i < plan->step_count && (!*out->op || plan->steps[i].time <= plan->peak_time); i++) { /* memory of a group is there before its step */
        const swg__step *s = &plan->steps[i];
        const swg__node *n = s->call.node;
        const swg__location *where = &plan->where[s->node];
        const bool value = !s->packs && where->kind == SWG__IN_BUFFER && where->buffer == buffer && !(saved && n->backward);
        if (!value && s->scratch != buffer && s->packed != buffer)
            continue;
        out->scope = n->name ? n->name : "";
        out->op = swg__ops[n->op].text;
    }
}

int swg_plan_alive(const swg_plan *plan, swg_live_value *out, int most) {
    static const char *const kinds[SWG__CAT_COUNT] = {[SWG__CAT_SAVED] = "saved", [SWG__CAT_TRANSIENT] = "transient", [SWG__CAT_SCRATCH] = "scratch", [SWG__CAT_IO] = "io"};
    int count = 0;
    for (int i = 0; i < plan->buffer_count; i++) {
        const swg__buffer *b = &plan->buffers[i];
        if (b->panel || b->life.first > plan->peak_time || b->life.last < plan->peak_time || b->life.bytes <= 0)
            continue;
        int at = count;
        while (at > 0 && out[at - 1].bytes < b->life.bytes)
            at--;
        if (at >= most)
            continue;
        count += count < most;
        memmove(out + at + 1, out + at, (size_t)(count - 1 - at) * sizeof *out);
        out[at] = (swg_live_value){.scope = "", .op = "", .kind = kinds[b->category], .bytes = b->life.bytes};
        writer_of(plan, i, &out[at]);
    }
    return count;
}

static swg_status look(swg_graph *g, const swg_plan_opts *opts, swg_memory *memory, int64_t *flops, swg_recompute_policy *policy) {
    swg_plan *plan;
    SWG__TRY(swg_plan_make(g, opts, &plan));
    *memory = plan->memory;
    *flops = plan->flops;
    *policy = plan->policy;
    swg_plan_destroy(plan);
    return SWG_OK;
}

swg_status swg_estimate_memory_savings(swg_graph *g, const swg_plan_opts *opts, swg_memory_savings *out) {
    swg_plan_opts plain = *opts;
    swg_memory with, without;
    int64_t flops, flops_without;
    swg_recompute_policy ignored;
    *out = (swg_memory_savings){0};
    plain.recompute = (swg_recompute){.policy = SWG_RECOMPUTE_OFF};
    SWG__TRY(look(g, opts, &with, &flops, &out->policy));
    SWG__TRY(look(g, &plain, &without, &flops_without, &ignored));
    double saved = (double)(without.peak_bytes - with.peak_bytes), arena = (double)(without.arena_bytes - with.arena_bytes);
    out->without_checkpoint = without.peak_bytes;
    out->with_checkpoint = with.peak_bytes;
    out->savings_gb = saved / 1e9;
    out->savings_percent = 100 * saved / (double)without.peak_bytes;
    out->estimated_savings_mb = arena / 1e6;
    out->estimated_savings_percent = without.arena_bytes ? 100 * arena / (double)without.arena_bytes : 0;
    out->extra_flops_percent = flops_without ? 100 * (double)(flops - flops_without) / (double)flops_without : 0;
    return SWG_OK;
}
