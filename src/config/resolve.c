/* resolve.c - replaces ${a.b} and ${env:NAME,default} by what they refer to, after all files and overrides are merged.
 * In: the merged tree. Out: the tree without references. A reference that is a whole value keeps its type; one inside text
 * becomes text. An explicit stack holds the chain of references, which cycles and missing keys are reported with.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/schema.h"

enum { MAX_CHAIN = 64 };

typedef struct resolver {
    swg__tree *tree;
    swg__node *root;
    swg__node *chain[MAX_CHAIN];
    int depth;
} resolver;

/* A reference: `whole` if nothing stands around it. */
typedef struct reference {
    const char *start, *end;    /* "${" and the byte after "}" */
    char *name;                 /* what stands between, without blanks at its ends */
    bool whole;
} reference;

void swg__config_fallback(const swg__config_key *row, swg__node *root, char *out, size_t capacity) {
    const char *text = row->fallback;
    snprintf(out, capacity, "%.*s", (int)strcspn(text, ";"), text);
    for (text = strchr(text, ';'); text; text = strchr(text + 1, ';')) {
        char key[64];
        const char *start = text + 2, *equals = strchr(start, '='), *colon = strchr(start, ':');
        snprintf(key, sizeof key, "%.*s", (int)(equals - start), start);
        const swg__node *node = swg__node_find(root, key);
        size_t length = (size_t)(colon - equals - 1);
        if (node && node->kind == SWG__NODE_SCALAR && strlen(node->text) == length && strncmp(node->text, equals + 1, length) == 0)
            snprintf(out, capacity, "%.*s", (int)strcspn(colon + 1, ";"), colon + 1);
    }
}

/* "data.path -> paths.x -> MORE" for messages. */
static swg_status fail_chain(const resolver *r, const char *what, const char *more) {
    char chain[600], part[160], where[256];
    size_t used = 0;
    for (int i = 0; i < r->depth && used < sizeof chain; i++) {
        swg__node_path(r->chain[i], part, sizeof part);
        used += (size_t)snprintf(chain + used, sizeof chain - used, "%s -> ", part);
    }
    swg__node_place(r->chain[r->depth - 1], where, sizeof where);
    return swg__fail(r->tree->ctx, SWG_EUSAGE, "%s %s: %s%.160s", what, where, chain, more);
}

/* Finds the last "${", which is an innermost reference. found is false if the text has none. */
static swg_status find_reference(resolver *r, const char *text, reference *ref, bool *found) {
    const char *start = NULL;
    for (const char *p = strstr(text, "${"); p; p = strstr(p + 2, "${"))
        start = p;
    *found = start != NULL;
    if (!start)
        return SWG_OK;
    const char *close = strchr(start, '}');
    if (!close)
        return fail_chain(r, "${ without }", start);
    const char *from = start + 2, *to = close;
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    char *name = swg__arena_alloc(&r->tree->arena, (size_t)(to - from) + 1);
    if (!name)
        return swg__fail_memory(r->tree->ctx, (size_t)(to - from), "a reference");
    memcpy(name, from, (size_t)(to - from));
    *ref = (reference){start, close + 1, name, start == text && !close[1]};
    return SWG_OK;
}

/* Puts text in place of the reference. */
static swg_status replace(resolver *r, const reference *ref, const char *with, bool quoted) {
    swg__node *node = r->chain[r->depth - 1];
    if (ref->whole)
        return swg__node_set_text(r->tree, node, with, strlen(with), quoted);
    swg__text text;
    swg__text_init(&text, r->tree->ctx);
    swg__text_add(&text, node->text, (size_t)(ref->start - node->text));
    swg__text_puts(&text, with);
    swg__text_puts(&text, ref->end);
    swg_status status = text.failed ? swg__fail_memory(r->tree->ctx, text.length, "a configuration value")
                                    : swg__node_set_text(r->tree, node, text.data, text.length, node->quoted);
    swg__text_free(&text);
    return status;
}

static swg_status from_environment(resolver *r, const reference *ref, char *name) {
    char *comma = strchr(name, ',');
    if (comma)
        *comma = 0;
    const char *value = getenv(name);
    if (!value && comma)
        value = comma + 1 + strspn(comma + 1, " ");
    if (!value)
        return fail_chain(r, "environment variable is not set (give it, or a default: ${env:NAME,default})", name);
    if (strstr(value, "${"))
        return fail_chain(r, "environment variable holds ${, which is not read again;", name);
    return replace(r, ref, value, false);
}

/* The node a key stands for; a key that no file sets has its default. */
static swg_status find_target(resolver *r, const char *name, swg__node **target) {
    char text[128], what[256];
    const char *key = swg__config_real_key(name);
    const swg__config_key *row = swg__config_row(key);
    *target = swg__node_find(r->root, key);
    if (*target && (*target)->kind != SWG__NODE_MAP && *key)
        return SWG_OK;
    if (!*target && row && !strchr(row->key, '*') && row->type != SWG__NOT_YET) {
        swg__config_fallback(row, r->root, text, sizeof text);
        return swg__yaml_parse(r->tree, text, strlen(text), &(swg__node){.file = "default"}, target);
    }
    if (*target)
        return fail_chain(r, "reference to a group of keys, not to a value", name);
    const swg__node *paths = swg__node_child(r->root, "paths");
    const char *candidates[640];
    size_t count = 0;
    for (int64_t i = 0; i < swg__config_table_size && count < 512; i++)
        candidates[count++] = swg__config_table[i].key;
    for (const swg__node *path = paths ? paths->first : NULL; path && count < 640; path = path->next) {
        snprintf(what, sizeof what, "paths.%.200s", path->key);
        if (!(candidates[count++] = swg__arena_strdup(&r->tree->arena, what)))
            return swg__fail_memory(r->tree->ctx, sizeof what, "a reference");
    }
    const char *near = swg__nearest(name, candidates, count);
    snprintf(what, sizeof what, "reference to a key that does not exist%s%.128s%s", near ? " (did you mean " : "", near ? near : "",
             near ? "?)" : "");
    return fail_chain(r, what, name);
}

/* Goes on with a target that has references itself; *pushed tells. */
static swg_status push_unresolved(resolver *r, swg__node *target, const char *name, bool *pushed) {
    *pushed = false;
    for (swg__node *node = target; node; node = swg__node_next(node, target)) {
        if (node->kind != SWG__NODE_SCALAR || !strstr(node->text, "${"))
            continue;
        for (int i = 0; i < r->depth; i++)
            if (r->chain[i] == node)
                return fail_chain(r, "references go in a circle", name);
        if (r->depth == MAX_CHAIN)
            return fail_chain(r, "more than 64 references in a row", name);
        r->chain[r->depth++] = node;
        *pushed = true;
        return SWG_OK;
    }
    return SWG_OK;
}

static swg_status from_key(resolver *r, const reference *ref) {
    swg__node *target;
    bool pushed;
    SWG__TRY(find_target(r, ref->name, &target));
    SWG__TRY(push_unresolved(r, target, ref->name, &pushed));
    if (pushed)
        return SWG_OK; /* this reference comes again when the target is ready */
    if (ref->whole)
        return swg__node_copy(r->tree, r->chain[r->depth - 1], target, true);
    if (target->kind != SWG__NODE_SCALAR)
        return fail_chain(r, "a list inside text", ref->name);
    if (swg__node_is_null(target))
        return fail_chain(r, "a key without a value inside text", ref->name);
    return replace(r, ref, target->text, true);
}

static swg_status resolve_one(resolver *r, swg__node *node) {
    r->chain[0] = node;
    r->depth = 1;
    while (r->depth) {
        swg__node *top = r->chain[r->depth - 1];
        reference ref;
        bool found = false;
        if (top->kind == SWG__NODE_SCALAR)
            SWG__TRY(find_reference(r, top->text, &ref, &found));
        if (!found) {
            r->depth--;
            continue;
        }
        char *colon = strchr(ref.name, ':');
        if (strncmp(ref.name, "env:", 4) == 0 || strncmp(ref.name, "oc.env:", 7) == 0)
            SWG__TRY(from_environment(r, &ref, colon + 1));
        else if (colon)
            SWG__TRY(fail_chain(r, "only ${a.b} and ${env:NAME,default} are known, not", ref.name));
        else
            SWG__TRY(from_key(r, &ref));
    }
    return SWG_OK;
}

swg_status swg__config_resolve(swg__tree *tree, swg__node *root) {
    resolver r = {.tree = tree, .root = root};
    for (swg__node *node = root; node; node = swg__node_next(node, root))
        if (node->kind == SWG__NODE_SCALAR)
            SWG__TRY(resolve_one(&r, node));
    return SWG_OK;
}
