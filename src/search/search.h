/* search.h (internal) - a search and its runs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SEARCH_PARTS_H
#define SWAGE_SEARCH_PARTS_H

#include "base.h"
#include "swage/search.h"

typedef struct swg__search_run {
    swg_search_run view;
    char **overrides;           /* all of this run's */
    int64_t count;
} swg__search_run;

struct swg_search {
    swg_context *ctx;
    swg__arena arena;
    char *recipe, *folder, *recipes, *part;
    swg__search_run *runs;
    int64_t count;
};

#endif
