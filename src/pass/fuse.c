/* fuse.c - bias, ReLU and the ReLU gate move into the contraction that feeds them; chains of element-wise nodes become one
 * tile program whose intermediate values never leave L1.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "pass/pass.h"

/* Turns the consumer `n` into the contraction `c` extended by one input or flag; c has no other reader. */
static swg_status absorb(swg_graph *g, swg__node *n, const swg__node *c, swg_value extra, swg__attr attr) {
    int inputs = c->inputs + (extra != SWG_NONE);
    swg_value *in = swg__arena_alloc(&g->arena, (size_t)inputs * sizeof *in);
    if (!in)
        return swg__fail_memory(g->ctx, (size_t)inputs * sizeof *in, "fusing");
    memcpy(in, c->in, (size_t)c->inputs * sizeof *in);
    if (extra)
        in[c->inputs] = extra;
    n->op = c->op == SWG__MATMUL ? SWG__LINEAR : c->op;
    n->in = in;
    n->inputs = inputs;
    n->attr = attr;
    if (strlen(c->name) > strlen(n->name))
        n->name = c->name; /* the layer, rather than the block that holds it and its activation */
    return SWG_OK;
}

/* A product in bf16 takes its bias before recomputation (swg__pass_bias) or not at all: whether its sum is rounded once or twice must not hang on
 * who reads it. */
static swg_status fuse_contraction(swg__work *w, swg__node *n, bool biases) {
    swg_graph *g = w->g;
    if (n->inputs < 1 || (n->op != SWG__ADD && n->op != SWG__RELU && n->op != SWG__GATE))
        return SWG_OK;
    const swg__node *c = &g->nodes[n->in[0]];
    if (swg__ops[c->op].class != SWG__CONTRACTION || c->op == SWG__CONV_WEIGHTS || w->readers[n->in[0]] != 1 || !swg__same_shape(c, n) || c->attr.relu ||
        c->attr.gate)
        return SWG_OK;
    bool narrow = g->nodes[c->in[0]].dtype == SWG_BF16; /* products of f32 read and write f32 only */
    if (n->dtype != c->dtype && !narrow)
        return SWG_OK;
    swg__attr attr = c->attr;
    if (n->op == SWG__RELU) {
        attr.relu = true;
        return absorb(g, n, c, SWG_NONE, attr);
    }
    const swg__node *other = &g->nodes[n->in[1]];
    bool half = c->dtype == SWG_BF16;
    if ((biases && (n->op != SWG__ADD || !half)) || (!biases && half && (n->op == SWG__ADD || n->dtype != SWG_BF16)))
        return SWG_OK;
    if (n->op == SWG__ADD && !c->attr.bias && other->ndim == 1 && other->dtype == g->dtype && other->shape[0] == n->shape[n->ndim - 1]) {
        attr.bias = true;
        return absorb(g, n, c, n->in[1], attr);
    }
    if (n->op == SWG__GATE && swg__same_shape(other, n) && (narrow || other->dtype == c->dtype)) {
        attr.gate = true;
        return absorb(g, n, c, n->in[1], attr);
    }
    return SWG_OK;
}

/* ---- programs: while a chain grows, every instruction has a register of its own (inputs, then one per instruction) ---- */

typedef struct chain {
    swg_value in[SWG__PROGRAM_INPUTS];
    swg__program p;
} chain;

static chain chain_of(const swg__node *n) {
    chain c = {.p = {.inputs = 0}};
    swg__program own;
    uint8_t reg[SWG__PROGRAM_INPUTS];
    swg__program_of(n, &own);
    for (int j = 0; j < n->inputs; j++) {
        int at = 0;
        while (at < c.p.inputs && c.in[at] != n->in[j])
            at++;
        if (at == c.p.inputs)
            c.in[c.p.inputs++] = n->in[j];
        reg[j] = (uint8_t)at;
    }
    c.p.length = own.length;
    for (int i = 0; i < own.length; i++) {
        c.p.code[i] = own.code[i];
        c.p.code[i].out = (uint8_t)(c.p.inputs + i);
        for (int j = 0; j < swg__ops[own.code[i].op].inputs; j++) {
            int in = own.code[i].in[j];
            c.p.code[i].in[j] = in < n->inputs ? reg[in] : (uint8_t)(c.p.inputs + in - n->inputs);
        }
    }
    return c;
}

/* Puts `feed`, which computes input `slot` of `c`, in front of it. False if the limits are exceeded. */
static bool join(chain *c, int slot, const chain *feed, chain *out) {
    uint8_t of_c[SWG__PROGRAM_INPUTS] = {0}, of_feed[SWG__PROGRAM_INPUTS] = {0};
    *out = (chain){.p = {.inputs = 0, .length = c->p.length + feed->p.length}};
    if (out->p.length > SWG__PROGRAM_CODE)
        return false;
    for (int pass = 0; pass < 2; pass++) {
        const chain *from = pass ? c : feed;
        for (int i = 0; i < from->p.inputs; i++) {
            if (pass && i == slot)
                continue;
            int at = 0;
            while (at < out->p.inputs && out->in[at] != from->in[i])
                at++;
            if (at == SWG__PROGRAM_INPUTS)
                return false;
            if (at == out->p.inputs)
                out->in[out->p.inputs++] = from->in[i];
            (pass ? of_c : of_feed)[i] = (uint8_t)at;
        }
    }
    int inputs = out->p.inputs;
    of_c[slot] = (uint8_t)(inputs + feed->p.length - 1);
    for (int i = 0; i < out->p.length; i++) {
        bool own = i >= feed->p.length;
        const chain *from = own ? c : feed;
        swg__instruction code = from->p.code[own ? i - feed->p.length : i];
        for (int j = 0; j < swg__ops[code.op].inputs; j++) {
            int reg = code.in[j];
            code.in[j] = reg < from->p.inputs ? (own ? of_c : of_feed)[reg]
                                              : (uint8_t)(inputs + reg - from->p.inputs + (own ? feed->p.length : 0));
        }
        out->p.code[i] = code;
    }
    for (int i = 0; i < out->p.length; i++)
        out->p.code[i].out = (uint8_t)(inputs + i);
    return true;
}

/* Registers shared by liveness: false if more than SWG__PROGRAM_TILES are live at once. */
static bool allocate(const swg__program *p, swg__program *out) {
    int last[SWG__PROGRAM_CODE], tile[SWG__PROGRAM_CODE];
    bool busy[SWG__PROGRAM_TILES] = {false};
    *out = *p;
    for (int i = 0; i < p->length; i++) {
        last[i] = i;
        for (int j = 0; j < swg__ops[p->code[i].op].inputs; j++)
            if (p->code[i].in[j] >= p->inputs)
                last[p->code[i].in[j] - p->inputs] = i;
    }
    for (int i = 0; i < p->length; i++) {
        for (int j = 0; j < swg__ops[p->code[i].op].inputs; j++) {
            int reg = p->code[i].in[j] - p->inputs;
            if (reg >= 0)
                out->code[i].in[j] = (uint8_t)(p->inputs + tile[reg]);
        }
        for (int j = 0; j < i; j++) /* a tile read for the last time here may be written here */
            if (last[j] == i)
                busy[tile[j]] = false;
        int t = 0;
        while (t < SWG__PROGRAM_TILES && busy[t])
            t++;
        if (t == SWG__PROGRAM_TILES)
            return false;
        tile[i] = t;
        busy[t] = true;
        out->code[i].out = (uint8_t)(p->inputs + t);
    }
    return true;
}

/* Clones with several readers: a short program made once in each costs less than one value more in memory. */
enum { SHORT = 8 };

/* The chain of a value that is rounded where it is stored rounds, too, where it is not. */
static bool rounded(const swg__work *w, swg_value v, const chain *c, chain *out) {
    *out = *c;
    if (w->g->nodes[v].dtype != SWG_BF16)
        return true;
    int i = out->p.length;
    if (i == SWG__PROGRAM_CODE)
        return false;
    uint8_t last = (uint8_t)(out->p.inputs + i - 1);
    out->p.code[i] = (swg__instruction){.op = SWG__NARROW, .in = {last}, .out = (uint8_t)(last + 1)};
    out->p.length++;
    return true;
}

/* May `feed` move into a reader? */
static bool moves(const swg__work *w, swg_value feed, const chain *c) {
    return c && (w->readers[feed] == 1 || (w->g->nodes[feed].clone && c->p.length <= SHORT));
}

/* latest[v]: the last contraction that v waits for. */
static void find_latest(const swg_graph *g, swg_value *latest) {
    for (swg_value v = 1; v < g->count; v++) {
        const swg__node *n = &g->nodes[v];
        latest[v] = swg__ops[n->op].class == SWG__CONTRACTION || swg__ops[n->op].class == SWG__ATTEND ? v : SWG_NONE;
        for (int j = 0; j < n->inputs; j++)
            latest[v] = latest[n->in[j]] > latest[v] ? latest[n->in[j]] : latest[v];
    }
}

/* In a reader that waits for a contraction after it, a sum of gradients would keep its terms in memory meanwhile: it is made at once. */
static bool makes_room(const swg__work *w, const swg_value *latest, const chain *reader, int slot, const chain *feed) {
    const swg_graph *g = w->g;
    swg_value v = reader->in[slot];
    const swg__node *n = &g->nodes[v];
    int terms = 0;
    bool waits = false;
    for (int i = 0; i < feed->p.inputs; i++) {
        swg_value base = swg__base_of(g, feed->in[i]);
        terms += g->nodes[base].inputs > 0 && w->readers[base] == 1 && swg__node_bytes(&g->nodes[base]) == swg__node_bytes(n);
    }
    for (int i = 0; i < reader->p.inputs; i++)
        waits = waits || (i != slot && latest[reader->in[i]] > v);
    return n->backward && !n->clone && terms > 1 && waits;
}

static swg_status fuse_chains(swg__work *w) {
    swg_graph *g = w->g;
    swg_value *latest = swg__calloc(g->ctx, (size_t)g->count, sizeof *latest);
    chain **chains = swg__calloc(g->ctx, (size_t)g->count, sizeof *chains);
    swg__arena arena;
    swg__arena_init(&arena, g->ctx);
    swg_status status = chains && latest ? SWG_OK : swg__fail_memory(g->ctx, (size_t)g->count * sizeof *chains, "fusing");
    if (status == SWG_OK)
        find_latest(g, latest);
    for (swg_value v = 1; status == SWG_OK && v < g->count; v++) {
        swg__node *n = &g->nodes[v];
        if (swg__ops[n->op].class != SWG__EW || n->op == SWG__PROGRAM || !w->readers[v])
            continue;
        chain c = chain_of(n), joined, narrow;
        swg__program spare;
        for (int slot = 0; slot < c.p.inputs;) {
            swg_value feed = c.in[slot];
            bool fits = moves(w, feed, chains[feed]) && swg__same_shape(&g->nodes[feed], n) && !makes_room(w, latest, &c, slot, chains[feed]) &&
                        rounded(w, feed, chains[feed], &narrow) && join(&c, slot, &narrow, &joined) && allocate(&joined.p, &spare);
            if (fits) {
                w->readers[feed]--;
                for (int i = 0; w->readers[feed] && i < chains[feed]->p.inputs; i++)
                    w->readers[chains[feed]->in[i]]++;
                c = joined;
                slot = 0;
            } else {
                slot++;
            }
        }
        if (!(chains[v] = swg__arena_alloc(&arena, sizeof c))) {
            status = swg__fail_memory(g->ctx, sizeof c, "fusing");
            break;
        }
        *chains[v] = c;
    }
    for (swg_value v = 1; status == SWG_OK && v < g->count; v++) {
        if (!chains[v] || !w->readers[v] || chains[v]->p.length < 2)
            continue;
        swg__node *n = &g->nodes[v];
        swg__program *p = swg__arena_alloc(&g->arena, sizeof *p);
        n->in = swg__arena_alloc(&g->arena, sizeof chains[v]->in);
        if (!p || !n->in) {
            status = swg__fail_memory(g->ctx, sizeof *p, "fusing");
            break;
        }
        allocate(&chains[v]->p, p);
        memcpy(n->in, chains[v]->in, sizeof chains[v]->in);
        n->op = SWG__PROGRAM;
        n->inputs = p->inputs;
        n->attr = (swg__attr){.program = p};
    }
    swg__arena_free(&arena);
    swg__free(g->ctx, chains);
    swg__free(g->ctx, latest);
    return status;
}

/* One line per node that does more than its own operation, then the sums. */
static void explain(const swg__work *w) {
    int contractions = 0, programs = 0, operations = 0;
    for (swg_value v = 1; w->g->explain && v < w->g->count; v++) {
        const swg__node *n = &w->g->nodes[v];
        char shape[80], what[200] = "";
        if (!w->readers[v])
            continue;
        if (swg__ops[n->op].class == SWG__CONTRACTION && (n->attr.bias || n->attr.relu || n->attr.gate)) {
            snprintf(what, sizeof what, "%s%s%s", n->attr.bias ? " + bias" : "", n->attr.relu ? " + relu" : "", n->attr.gate ? " + gate" : "");
            contractions++;
        } else if (n->op == SWG__PROGRAM) {
            size_t used = 0;
            for (int i = 0; i < n->attr.program->length && used < sizeof what; i++)
                used += (size_t)snprintf(what + used, sizeof what - used, " %s", swg__ops[n->attr.program->code[i].op].text);
            programs++;
            operations += n->attr.program->length;
        }
        if (*what)
            swg__explain(w->g, "fuse: %s%s %s%s%s", swg__ops[n->op].text, what, swg__shape_text(n, shape, sizeof shape), *n->name ? " " : "", n->name);
    }
    swg__explain(w->g, "fuse: %d contractions with bias, relu or gate; %d programs of %d operations", contractions, programs, operations);
}

swg_status swg__pass_bias(swg__work *w) {
    for (swg_value v = 1; v < w->g->count; v++)
        if (w->readers[v]) {
            SWG__TRY(fuse_contraction(w, &w->g->nodes[v], true));
        }
    return SWG_OK;
}

swg_status swg__pass_fuse(swg__work *w) {
    for (swg_value v = 1; v < w->g->count; v++)
        if (w->readers[v]) {
            SWG__TRY(fuse_contraction(w, &w->g->nodes[v], false));
        }
    swg__work_count(w);
    SWG__TRY(fuse_chains(w));
    swg__work_count(w);
    explain(w);
    return SWG_OK;
}
