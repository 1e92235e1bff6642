/* schema.h - the table of all settings: the only place where a key, its type, default, range and meaning are declared.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONFIG_SCHEMA_H
#define SWAGE_CONFIG_SCHEMA_H

#include "config/tree.h"

typedef enum swg__config_type {
    SWG__BOOL, SWG__INT, SWG__FLOAT, SWG__STRING, SWG__CHOICE,
    SWG__INT_LIST, SWG__FLOAT_LIST, SWG__STRING_LIST,
    SWG__NOT_YET,                /* known from the specifications, refused until its feature is built */
} swg__config_type;

typedef struct swg__config_key {
    const char *key;
    swg__config_type type;
    /* As YAML; "null" is unset. "0; optimizer.name=adamw:0.01" gives another default where that key has that value. */
    const char *fallback;
    const char *unit;            /* "" where there is none */
    /* Numbers: "[1,100]" or "(0,1)", then words allowed instead of a number. Choices: the words. "!w" is a word not supported
     * yet, "a>b" a word that means b. */
    const char *allowed;
    const char *help;
} swg__config_key;

/* An older or shorter spelling. As a map ("loss: {...}") the same word is the group of keys, so only scalars are renamed. */
typedef struct swg__config_alias {
    const char *alias, *key;
} swg__config_alias;

extern const swg__config_key swg__config_table[];
extern const int64_t swg__config_table_size;
/* Families of networks (model.family) and the keys, patterns with spaces between, that are theirs alone; several may share one. Other keys are for
 * all. */
typedef struct swg__config_owner { const char *family, *keys; } swg__config_owner;
/* "kan, cyto": the families it is for; false: for all. */
bool swg__config_owners(const char *key, char *out, size_t capacity);
/* Is it for networks of this family? */
bool swg__config_belongs(const char *key, const char *family);

extern const swg__config_alias swg__config_aliases[];
extern const int64_t swg__config_alias_count;
extern const char *const swg__config_groups[];   /* NULL-terminated */

/* One checked value. Scalars have one item. */
typedef struct swg__config_item {
    const char *text;            /* raw: words renamed, no quotes */
    int64_t integer;
    double number;
    bool word;                   /* a word in place of a number */
} swg__config_item;

typedef struct swg__config_value {
    const char *key;
    const swg__config_key *row;
    bool null;
    int64_t count;
    swg__config_item *items;
    const char *text;            /* as YAML */
    const char *origin;          /* "recipes/x.yaml:3", "command line", "default" */
} swg__config_value;

const swg__config_key *swg__config_row(const char *key);       /* NULL: unknown */
bool swg__config_is_group(const char *name);
/* Where the keys of a group's file live: "" for those that set keys all over. */
const char *swg__config_group_package(const char *group);
/* Has its file, where the command line chooses it, the last word over the recipe's own keys? Of these groups a recipe's own keys are no more
 * than a choice of the same kind; of the others (data, model, trainer ...) they are what makes the recipe. */
bool swg__config_group_is_last(const char *group);

const char *swg__config_real_key(const char *key);             /* what an alias stands for, else the key itself */

/* The row's default as YAML, with its conditions looked up in the tree; into out. */
void swg__config_fallback(const swg__config_key *row, swg__node *root, char *out, size_t capacity);

/* Unknown and not yet supported keys in a tree, aliases renamed to the keys they mean. */
swg_status swg__config_check_keys(swg__tree *tree, swg__node *root);
/* A node against its row; memory comes from the tree's arena. */
swg_status swg__config_check_value(swg__tree *tree, const swg__config_key *row, const char *key, const swg__node *node,
                                   swg__config_value *value);
/* Replaces every ${...} in the tree. */
swg_status swg__config_resolve(swg__tree *tree, swg__node *root);
/* Fails with "KEY: unknown key WHERE; did you mean ...?" */
swg_status swg__config_unknown(swg_context *ctx, const char *key, const swg__node *node);

#endif
