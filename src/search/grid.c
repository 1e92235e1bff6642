/* grid.c - from "key=a,b,c" to a list of runs.
 * In: settings. Out: every combination, in the order of the settings, the last one varying fastest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "search/search.h"

enum { AXES_MOST = 64, VALUES_MOST = 256, HIDDEN_MOST = 8, TEXT_MOST = 1024 };

/* One setting with its values. */
typedef struct axis {
    char *key;
    char **values;
    int64_t count;
} axis;

typedef struct grid {
    swg_search *search;
    axis axes[AXES_MOST];
    int64_t count;
    int64_t hidden[HIDDEN_MOST];    /* of the recipe, for depth and width */
    int64_t layers;
    bool mlp;                       /* layers get narrower; else they are GLU blocks or stages of convolutions */
} grid;

static const struct { const char *name, *key; } shorts[] = {
    {"latent", "model.latent"}, {"lr", "optimizer.lr"}, {"batch", "data.batch_size"}, {"lambda", "loss.lambda"}, {"epochs", "trainer.max_epochs"}};

static const char *full_key(const char *name) {
    for (size_t i = 0; i < sizeof shorts / sizeof *shorts; i++)
        if (strcmp(shorts[i].name, name) == 0)
            return shorts[i].key;
    return name;
}

/* Cuts a value at commas outside brackets, braces and quotes. */
static swg_status split_values(grid *g, axis *a, char *text) {
    int depth = 0;
    char quote = 0;
    a->values = swg__arena_alloc(&g->search->arena, VALUES_MOST * sizeof *a->values);
    if (!a->values)
        return swg__fail_memory(g->search->ctx, VALUES_MOST * sizeof *a->values, "the settings of a search");
    for (char *p = text, *begin = text;; p++) {
        char c = *p;
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '[' || c == '{')
            depth++;
        else if (c == ']' || c == '}')
            depth--;
        if (c && (c != ',' || depth > 0 || quote))
            continue;
        if (p == begin || a->count == VALUES_MOST)
            return swg__fail(g->search->ctx, SWG_EUSAGE, "%s=%s: %s", a->key, begin, p == begin ? "an empty value" : "more than 256 values");
        *p = 0;
        a->values[a->count++] = begin;
        begin = p + 1;
        if (!c)
            return SWG_OK;
    }
}

static swg_status add_axis(grid *g, const char *setting) {
    swg_context *ctx = g->search->ctx;
    const char *equals = strchr(setting, '=');
    if (g->count == AXES_MOST)
        return swg__fail(ctx, SWG_EUSAGE, "a search takes at most %d settings", AXES_MOST);
    char *copy = swg__arena_strdup(&g->search->arena, setting);
    if (!copy)
        return swg__fail_memory(ctx, strlen(setting), "the settings of a search");
    axis *a = &g->axes[g->count++];
    if (!equals) { /* ~key: taken as it is */
        a->key = copy;
        return SWG_OK;
    }
    copy[equals - setting] = 0;
    a->key = (char *)(uintptr_t)full_key(copy);
    return split_values(g, a, copy + (equals - setting) + 1);
}

static const axis *find_axis(const grid *g, const char *key) {
    for (int64_t i = 0; i < g->count; i++)
        if (strcmp(g->axes[i].key, key) == 0)
            return &g->axes[i];
    return NULL;
}

/* "key=value", or "key" without a value. */
static swg_status put_setting(const grid *g, const char *key, const char *value, char text[TEXT_MOST]) {
    if (snprintf(text, TEXT_MOST, "%s%s%s", key, value ? "=" : "", value ? value : "") >= TEXT_MOST)
        return swg__fail(g->search->ctx, SWG_EUSAGE, "%.64s...: longer than %d bytes", text, TEXT_MOST - 1);
    return SWG_OK;
}

/* ---- depth and width ---- */

static bool is_special(const char *key) { return strcmp(key, "depth") == 0 || strcmp(key, "width") == 0; }

/* Hidden layers of the recipe with the settings that do not vary. */
static swg_status read_hidden(grid *g) {
    if (!find_axis(g, "depth") && !find_axis(g, "width"))
        return SWG_OK;
    const char *fixed[AXES_MOST];
    int64_t count = 0;
    char text[AXES_MOST][TEXT_MOST];
    for (int64_t i = 0; i < g->count; i++)
        if (!is_special(g->axes[i].key) && g->axes[i].count) {
            SWG__TRY(put_setting(g, g->axes[i].key, g->axes[i].values[0], text[count]));
            fixed[count] = text[count];
            count++;
        }
    swg_config *config;
    SWG__TRY(swg_config_open(g->search->ctx, g->search->recipe, &(swg_config_opts){.recipes = g->search->recipes, .overrides = fixed, .override_count = count},
                             &config));
    g->mlp = swg_config_is(config, "model.name", "mlp");
    g->layers = swg_config_count(config, "model.hidden");
    for (int64_t i = 0; i < g->layers && i < HIDDEN_MOST; i++)
        g->hidden[i] = swg_config_int_at(config, "model.hidden", i);
    swg_status status = swg_config_status(config);
    swg_config_close(config);
    return status;
}

/* Width of layer i. New layers of an mlp have half of the one before, others the same; a new first width scales the rest of a network of blocks or
 * stages, and is halved from layer to layer in an mlp. */
static int64_t width_of(const grid *g, int64_t i, int64_t first) {
    int64_t last = g->layers - 1, past = i > last ? i - last : 0, own = g->hidden[i > last ? last : i] >> (g->mlp ? past : 0);
    if (first)
        own = g->mlp ? first >> i : own * first / g->hidden[0];
    return own > 0 ? own : 1;
}

static swg_status layers_of(const grid *g, const char *depth, const char *width, char *out, size_t capacity) {
    static const struct { const char *word; int change; } words[] = {{"shallow", -1}, {"baseline", 0}, {"deep", 1}};
    int64_t layers = g->layers, first = g->hidden[0];
    char *end = NULL;
    bool word = false;
    for (size_t i = 0; depth && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, depth) == 0) {
            layers += words[i].change;
            word = true;
        }
    if (depth && !word) {
        layers = strtoll(depth, &end, 10);
        if (end == depth || *end)
            layers = 0;
    }
    if (layers < 1 || layers > HIDDEN_MOST || g->layers < 1)
        return swg__fail(g->search->ctx, SWG_EUSAGE, "depth=%s: expected 1 to %d hidden layers, or shallow, baseline, deep (the recipe has %lld)", depth ? depth : "",
                         HIDDEN_MOST, (long long)g->layers);
    if (width) {
        first = strtoll(width, &end, 10);
        if (end == width || *end || first < 1 || first > 65536)
            return swg__fail(g->search->ctx, SWG_EUSAGE, "width=%s: expected the width of the first layer, 1 to 65536", width);
    }
    size_t used = (size_t)snprintf(out, capacity, "model.hidden=[");
    for (int64_t i = 0; i < layers; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%lld", i ? ", " : "", (long long)width_of(g, i, width ? first : 0));
    snprintf(out + used, capacity - used, "]");
    return SWG_OK;
}

/* ---- the runs ---- */

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The digest of the recipe and all settings in any order: a run keeps its name when the grid around it changes. */
static swg_status name_run(grid *g, swg__search_run *run, const char *varying) {
    swg_search *s = g->search;
    swg__text all;
    char **sorted = swg__arena_alloc(&s->arena, (size_t)(run->count + 1) * sizeof *sorted);
    if (!sorted)
        return swg__fail_memory(s->ctx, (size_t)run->count * sizeof *sorted, "the name of a run");
    memcpy(sorted, run->overrides, (size_t)run->count * sizeof *sorted);
    qsort(sorted, (size_t)run->count, sizeof *sorted, by_bytes);
    swg__text_init(&all, s->ctx);
    swg__text_printf(&all, "%s\n", s->recipe);
    for (int64_t i = 0; i < run->count; i++)
        swg__text_printf(&all, "%s\n", sorted[i]);
    uint8_t digest[32] = {0};
    char name[32] = "run-";
    if (!all.failed)
        swg__sha256(all.data, all.length, digest);
    bool failed = all.failed;
    swg__text_free(&all);
    for (int i = 0; i < 5; i++)
        snprintf(name + 4 + 2 * i, 3, "%02x", digest[i]);
    run->view.name = swg__arena_strdup(&s->arena, name);
    run->view.settings = swg__arena_strdup(&s->arena, varying);
    return failed || !run->view.name || !run->view.settings ? swg__fail_memory(s->ctx, 0, "the name of a run") : SWG_OK;
}

/* Combination `index`: digits in the mixed base of the axes. */
static swg_status make_run(grid *g, int64_t index, swg__search_run *run) {
    swg_search *s = g->search;
    const char *depth = NULL, *width = NULL;
    char varying[TEXT_MOST] = "", text[TEXT_MOST];
    run->overrides = swg__arena_alloc(&s->arena, (size_t)(g->count + 1) * sizeof *run->overrides);
    if (!run->overrides)
        return swg__fail_memory(s->ctx, (size_t)(g->count + 1) * sizeof *run->overrides, "the settings of a run");
    int64_t digits[AXES_MOST];
    for (int64_t i = g->count; i-- > 0;) {
        int64_t values = g->axes[i].count > 1 ? g->axes[i].count : 1;
        digits[i] = index % values;
        index /= values;
    }
    for (int64_t i = 0; i < g->count; i++) {
        const axis *a = &g->axes[i];
        const char *value = a->count ? a->values[digits[i]] : NULL;
        if (a->count > 1) {
            size_t used = strlen(varying);
            if ((size_t)snprintf(varying + used, sizeof varying - used, "%s%s=%s", used ? " " : "", a->key, value) >= sizeof varying - used)
                return swg__fail(s->ctx, SWG_EUSAGE, "the settings that vary are longer than %d bytes in all", TEXT_MOST - 1);
        }
        if (is_special(a->key)) {
            *(strcmp(a->key, "depth") == 0 ? &depth : &width) = value;
            continue;
        }
        SWG__TRY(put_setting(g, a->key, value, text));
        if (!(run->overrides[run->count++] = swg__arena_strdup(&s->arena, text)))
            return swg__fail_memory(s->ctx, sizeof text, "the settings of a run");
    }
    if (depth || width) {
        SWG__TRY(layers_of(g, depth, width, text, sizeof text));
        if (!(run->overrides[run->count++] = swg__arena_strdup(&s->arena, text)))
            return swg__fail_memory(s->ctx, sizeof text, "the settings of a run");
    }
    return name_run(g, run, varying);
}

/* A setting that is wrong is told before anything is trained. */
static swg_status check_run(swg_search *s, const swg__search_run *run) {
    swg_config *config;
    swg_train_plan plan;
    SWG__TRY(swg_config_open(s->ctx, s->recipe, &(swg_config_opts){.recipes = s->recipes, .overrides = (const char *const *)run->overrides,
                                                                  .override_count = run->count}, &config));
    swg_status status = SWG_OK;
    if (!swg_config_is(config, "model.family", "swae"))
        status = swg__fail(s->ctx, SWG_EUNSUPPORTED, "%s: model.family=%s; search compares networks of family swae", s->recipe,
                           swg_config_string(config, "model.family"));
    if (status == SWG_OK)
        status = swg_train_plan_of(s->ctx, config, 16, &plan);
    swg_config_close(config);
    return status;
}

/* Combinations that come to the same settings are one run: two would train in one folder. */
static bool is_new(const swg_search *s, const swg__search_run *run) {
    for (int64_t i = 0; i < s->count; i++)
        if (strcmp(s->runs[i].view.name, run->view.name) == 0)
            return false;
    return true;
}

static swg_status expand(swg_search *s, const swg_search_opts *opts) {
    grid g = {.search = s};
    for (int64_t i = 0; i < opts->count; i++)
        SWG__TRY(add_axis(&g, opts->settings[i]));
    int64_t combinations = 1;
    for (int64_t i = 0; i < g.count; i++)
        if (g.axes[i].count > 1 && ((combinations *= g.axes[i].count) > SWG_SEARCH_RUNS))
            return swg__fail(s->ctx, SWG_EUSAGE, "the settings make more than %d combinations", SWG_SEARCH_RUNS);
    SWG__TRY(read_hidden(&g));
    s->runs = swg__arena_alloc(&s->arena, (size_t)combinations * sizeof *s->runs);
    if (!s->runs)
        return swg__fail_memory(s->ctx, (size_t)combinations * sizeof *s->runs, "the runs of a search");
    for (int64_t i = 0; i < combinations; i++) {
        swg__search_run run = {0};
        SWG__TRY(make_run(&g, i, &run));
        if (!is_new(s, &run))
            continue;
        SWG__TRY(check_run(s, &run));
        s->runs[s->count++] = run;
    }
    if (s->count < combinations)
        swg__log(s->ctx, SWG_LOG_WARNING, "%lld of %lld combinations are left out: they come to the same settings as others",
                 (long long)(combinations - s->count), (long long)combinations);
    return SWG_OK;
}

swg_status swg_search_open(swg_context *ctx, const char *recipe, const swg_search_opts *opts, swg_search **out) {
    *out = NULL;
    swg_search *s = swg__calloc(ctx, 1, sizeof *s);
    if (!s)
        return swg__fail_memory(ctx, sizeof *s, "a search");
    s->ctx = ctx;
    swg__arena_init(&s->arena, ctx);
    s->recipe = swg__arena_strdup(&s->arena, recipe);
    s->folder = swg__arena_strdup(&s->arena, opts->folder);
    s->part = swg__arena_strdup(&s->arena, opts->part ? opts->part : "val");
    s->recipes = opts->recipes ? swg__arena_strdup(&s->arena, opts->recipes) : NULL;
    swg_status status = s->recipe && s->folder && s->part && (s->recipes || !opts->recipes) ? expand(s, opts) : swg__fail_memory(ctx, 0, "a search");
    if (status != SWG_OK) {
        swg_search_close(s);
        return status;
    }
    *out = s;
    return SWG_OK;
}

void swg_search_close(swg_search *s) {
    if (!s)
        return;
    swg__arena_free(&s->arena);
    swg__free(s->ctx, s);
}

int64_t swg_search_count(const swg_search *s) { return s->count; }
const swg_search_run *swg_search_at(const swg_search *s, int64_t index) { return index >= 0 && index < s->count ? &s->runs[index].view : NULL; }
