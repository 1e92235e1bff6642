/* compose.h - lays the files that a recipe names over each other, in the order of its `defaults` lists.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONFIG_COMPOSE_H
#define SWAGE_CONFIG_COMPOSE_H

#include "config/schema.h"

enum { SWG__COMPOSE_CHOICES = 64, SWG__COMPOSE_DEPTH = 16 };

/* Which file of a group: said by an `override` in a file or by the command line, before the group is met. */
typedef struct swg__choice {
    const char *group, *option;          /* group from swg__config_groups; option NULL: none */
    const swg__node *place;
    bool is_override, must_be_new, must_exist, used;
    bool last;                           /* of the command line, read after the recipe's own keys */
} swg__choice;

typedef struct swg__compose_frame {
    swg__node *entry;                    /* next item of its defaults list */
    swg__node *own;                      /* its own keys, at their place in the tree; NULL once merged */
    const char *group, *file;
} swg__compose_frame;

typedef struct swg__composer {
    swg__tree *tree;
    swg__node *root;                     /* result */
    const char *folder;                  /* recipes of the user; NULL: none */
    const char *home;                    /* folder the entry file's groups stand in; NULL: none */
    swg__choice choices[SWG__COMPOSE_CHOICES];
    int choice_count;
    swg__compose_frame frames[SWG__COMPOSE_DEPTH];
    int depth;
} swg__composer;

/* A choice made before any file is read; the first for a group wins, the strings must outlive the composer. */
swg_status swg__compose_choose(swg__composer *composer, const swg__choice *choice);
/* A recipe's name, the path of a .yaml file or a run folder. */
swg_status swg__compose_recipe(swg__composer *composer, const char *recipe);
swg_status swg__compose_text(swg__composer *composer, const char *text, const char *name);

#endif
