/* tree.h - the settings before they are checked: maps, lists and scalars, each with the file and line it came from.
 * Nodes live in one arena and know their depth, so that nothing here recurses.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONFIG_TREE_H
#define SWAGE_CONFIG_TREE_H

#include "base.h"

/* A recipe written by a person comes nowhere near these. They bound the work on hostile text: aliases and references can
 * multiply a few lines into gigabytes. */
enum {
    SWG__CONFIG_MAX_DEPTH = 24,
    SWG__CONFIG_MAX_NODES = 10000,
    SWG__CONFIG_MAX_TEXT = 1 << 16,    /* bytes of one scalar */
    SWG__CONFIG_MAX_FILE = 1 << 20,    /* bytes of one file */
};

typedef enum swg__node_kind { SWG__NODE_SCALAR, SWG__NODE_LIST, SWG__NODE_MAP } swg__node_kind;

typedef struct swg__node {
    swg__node_kind kind;
    bool quoted;                       /* scalar in quotes: always text, never null or a number */
    int line;                          /* 0: the place has no lines (command line, default) */
    int depth;                         /* root 0 */
    const char *file;
    const char *key;                   /* in a map; NULL elsewhere */
    const char *text;                  /* of a scalar, never NULL there */
    struct swg__node *parent, *first, *last, *next;
} swg__node;

typedef struct swg__tree {
    swg_context *ctx;
    swg__arena arena;
    int64_t nodes;
} swg__tree;

/* New last child of parent (NULL: a root). NULL after a failure, with the message left and *status set: limits, memory. */
swg__node *swg__node_add(swg__tree *tree, swg__node *parent, swg__node_kind kind, const char *key, const swg__node *place,
                         swg_status *status);
/* Copies text (64 KiB at most) into the node. */
swg_status swg__node_set_text(swg__tree *tree, swg__node *node, const char *text, size_t length, bool quoted);
void swg__node_unlink(swg__node *node);
swg__node *swg__node_child(const swg__node *map, const char *key);             /* NULL: none */
swg__node *swg__node_find(swg__node *root, const char *path);                  /* "a.b.c"; NULL: none */
swg__node *swg__node_next(const swg__node *node, const swg__node *root);       /* next in pre-order, NULL at the end */
bool swg__node_is_null(const swg__node *node);
/* "a.b[1]" into out, cut to fit. */
void swg__node_path(const swg__node *node, char *out, size_t capacity);
/* "in recipes/x.yaml:3" or "on the command line" into out, cut to fit. */
void swg__node_place(const swg__node *node, char *out, size_t capacity);

/* Replaces what `to` holds by a deep copy of what `from` holds; key, parent and (keep_place) place of `to` stay. */
swg_status swg__node_copy(swg__tree *tree, swg__node *to, const swg__node *from, bool keep_place);
/* Lays `from` over `to` (both maps): maps merge, lists and scalars replace, null removes. */
swg_status swg__node_merge(swg__tree *tree, swg__node *to, const swg__node *from);
/* The map at a path below root, made where it is missing (replacing what is no map). */
swg_status swg__node_make_map(swg__tree *tree, swg__node *root, const char *path, const swg__node *place, swg__node **map);

/* YAML text to a tree; *root is a map for empty text. Anchors, aliases and merge keys are followed, tags refused. */
swg_status swg__yaml_parse(swg__tree *tree, const char *text, size_t bytes, const swg__node *place, swg__node **root);
/* True if the text holds a character this parser needs for itself. */
bool swg__yaml_reserved(const char *text, size_t bytes);
/* Appends a scalar (UTF-8) so that it reads back as the same text; quoted if it must not be taken for something else. */
void swg__yaml_scalar(swg__text *out, const char *text);

#endif
