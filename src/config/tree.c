/* tree.c - maps, lists and scalars with their place of origin: build, find, copy, merge.
 * In: nodes of one arena. Out: the same. All walks are loops bounded by SWG__CONFIG_MAX_DEPTH.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/tree.h"

swg__node *swg__node_add(swg__tree *tree, swg__node *parent, swg__node_kind kind, const char *key, const swg__node *place,
                         swg_status *status) {
    int depth = parent ? parent->depth + 1 : 0;
    char where[256];
    if (depth > SWG__CONFIG_MAX_DEPTH || tree->nodes >= SWG__CONFIG_MAX_NODES) {
        swg__node_place(place, where, sizeof where);
        *status = depth > SWG__CONFIG_MAX_DEPTH
            ? swg__fail(tree->ctx, SWG_EUSAGE, "nested more than %d deep %s; flatten it", SWG__CONFIG_MAX_DEPTH, where)
            : swg__fail(tree->ctx, SWG_EUSAGE, "more than %d values %s; a recipe is not a data file", SWG__CONFIG_MAX_NODES, where);
        return NULL;
    }
    swg__node *node = swg__arena_alloc(&tree->arena, sizeof *node);
    char *own = node && key ? swg__arena_strdup(&tree->arena, key) : NULL;
    if (!node || (key && !own)) {
        *status = swg__fail_memory(tree->ctx, sizeof *node, "a configuration value");
        return NULL;
    }
    *node = (swg__node){.kind = kind, .depth = depth, .key = own, .parent = parent, .file = place->file, .line = place->line,
                        .text = kind == SWG__NODE_SCALAR ? "" : NULL};
    tree->nodes++;
    if (parent) {
        *(parent->last ? &parent->last->next : &parent->first) = node;
        parent->last = node;
    }
    return node;
}

swg_status swg__node_set_text(swg__tree *tree, swg__node *node, const char *text, size_t length, bool quoted) {
    char where[256];
    const char *wrong = length > SWG__CONFIG_MAX_TEXT    ? "text of more than 64 KiB"
        : memchr(text, 0, length)                        ? "zero byte in text"
        : !swg__utf8_valid(text, length)                 ? "text that is not UTF-8"
        : swg__yaml_reserved(text, length)               ? "character of the private-use block U+E000..U+E07F"
                                                         : NULL;
    if (wrong) {
        swg__node_place(node, where, sizeof where);
        return swg__fail(tree->ctx, SWG_EUSAGE, "%s %s", wrong, where);
    }
    char *own = swg__arena_alloc(&tree->arena, length + 1);
    if (!own)
        return swg__fail_memory(tree->ctx, length + 1, "a configuration value");
    memcpy(own, text, length);
    node->text = own;
    node->quoted = quoted;
    return SWG_OK;
}

void swg__node_unlink(swg__node *node) {
    swg__node *parent = node->parent, *before = NULL;
    for (swg__node *child = parent->first; child != node; child = child->next)
        before = child;
    *(before ? &before->next : &parent->first) = node->next;
    if (parent->last == node)
        parent->last = before;
    node->next = NULL;
    node->parent = NULL;
}

swg__node *swg__node_child(const swg__node *map, const char *key) {
    if (map->kind == SWG__NODE_MAP)
        for (swg__node *child = map->first; child; child = child->next)
            if (strcmp(child->key, key) == 0)
                return child;
    return NULL;
}

/* One step along "a.b.c": the part up to the next dot goes into part; the rest is returned, NULL at the end or if it is too long. */
static const char *next_part(const char *path, char *part, size_t capacity) {
    size_t length = strcspn(path, ".");
    if (length == 0 || length >= capacity)
        return NULL;
    memcpy(part, path, length);
    part[length] = 0;
    return path + length + (path[length] == '.');
}

swg__node *swg__node_find(swg__node *root, const char *path) {
    char part[256];
    while (root && *path) {
        if (!(path = next_part(path, part, sizeof part)))
            return NULL;
        root = swg__node_child(root, part);
    }
    return root;
}

swg__node *swg__node_next(const swg__node *node, const swg__node *root) {
    if (node->first)
        return node->first;
    while (node != root && !node->next)
        node = node->parent;
    return node == root ? NULL : node->next;
}

bool swg__node_is_null(const swg__node *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind == SWG__NODE_SCALAR && !node->quoted)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strcmp(node->text, words[i]) == 0)
                return true;
    return false;
}

void swg__node_path(const swg__node *node, char *out, size_t capacity) {
    const swg__node *chain[SWG__CONFIG_MAX_DEPTH + 1];
    int count = 0;
    for (; node->parent; node = node->parent)
        chain[count++] = node;
    size_t used = 0;
    *out = 0;
    while (count--) {
        int n;
        if (chain[count]->key) {
            n = snprintf(out + used, capacity - used, "%s%s", used ? "." : "", chain[count]->key);
        } else {
            int index = 0;
            for (const swg__node *item = chain[count]->parent->first; item != chain[count]; item = item->next)
                index++;
            n = snprintf(out + used, capacity - used, "[%d]", index);
        }
        used += (size_t)n;
        if (used >= capacity)
            return;
    }
}

void swg__node_place(const swg__node *node, char *out, size_t capacity) {
    if (node->line)
        snprintf(out, capacity, "in %s:%d", node->file, node->line);
    else
        snprintf(out, capacity, "on the %s", node->file);
}

swg_status swg__node_copy(swg__tree *tree, swg__node *to, const swg__node *from, bool keep_place) {
    swg_status status = SWG_OK;
    to->kind = from->kind;
    to->text = from->text;
    to->quoted = from->quoted;
    to->first = to->last = NULL;
    if (!keep_place) {
        to->file = from->file;
        to->line = from->line;
    }
    swg__node *parent = to; /* copy of the parent of `node` */
    for (const swg__node *node = from->first; node;) {
        swg__node *copy = swg__node_add(tree, parent, node->kind, node->key, keep_place ? to : node, &status);
        if (!copy)
            return status;
        copy->text = node->text;
        copy->quoted = node->quoted;
        if (node->first) {
            parent = copy;
            node = node->first;
            continue;
        }
        while (node != from && !node->next) {
            node = node->parent;
            if (node != from)
                parent = parent->parent;
        }
        node = node == from ? NULL : node->next;
    }
    return SWG_OK;
}

swg_status swg__node_merge(swg__tree *tree, swg__node *to, const swg__node *from) {
    const swg__node *node = from->first;
    while (node) {
        swg__node *old = swg__node_child(to, node->key);
        swg_status status = SWG_OK;
        if (old && old->kind == SWG__NODE_MAP && node->kind == SWG__NODE_MAP) {
            if (node->first) {
                to = old;
                node = node->first;
                continue;
            }
        } else if (swg__node_is_null(node)) {
            if (old)
                swg__node_unlink(old);
        } else {
            if (!old && !(old = swg__node_add(tree, to, node->kind, node->key, node, &status)))
                return status;
            SWG__TRY(swg__node_copy(tree, old, node, false));
        }
        while (node != from && !node->next) {
            node = node->parent;
            if (node != from)
                to = to->parent;
        }
        node = node == from ? NULL : node->next;
    }
    return SWG_OK;
}

swg_status swg__node_make_map(swg__tree *tree, swg__node *root, const char *path, const swg__node *place, swg__node **map) {
    char part[256];
    swg_status status = SWG_OK;
    while (*path) {
        const char *rest = next_part(path, part, sizeof part);
        if (!rest)
            return swg__fail(tree->ctx, SWG_EUSAGE, "'%.64s': not the name of a key", path);
        swg__node *child = swg__node_child(root, part);
        if (!child && !(child = swg__node_add(tree, root, SWG__NODE_MAP, part, place, &status)))
            return status;
        if (child->kind != SWG__NODE_MAP)
            *child = (swg__node){.kind = SWG__NODE_MAP, .depth = child->depth, .key = child->key, .parent = child->parent,
                                 .next = child->next, .file = place->file, .line = place->line};
        root = child;
        path = rest;
    }
    *map = root;
    return SWG_OK;
}
