/* tune.h - measured choices between ways of running a step that give the same bits: heights of row panels, units per task,
 * axes of convolution tiles. Kept in a file that many programs may use at once.
 *
 *     swg_tuning_open(ctx, NULL, &tuning);                              what earlier runs found
 *     swg_tune(tuning, g, &opts, NULL);                                 measures what is not known yet
 *     swg_tuning_save(tuning);
 *     opts.tuning = tuning;  swg_plan_make(g, &opts, &plan);            same bits, perhaps faster
 *
 * A plan made without a tuning depends on graph and threads alone; one made with it has another height of panels here and there, so its
 * memory may differ. A choice holds for one step or group: operations, shapes, attributes, element type, instruction set, number of
 * threads, processor and version of the library.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_TUNE_H
#define SWAGE_TUNE_H

#include <signal.h>
#include "swage/plan.h"

/* Reads FOLDER/tune.txt. folder NULL: $SWAGE_CACHE_DIR, else $XDG_CACHE_HOME/swage, else $HOME/.cache/swage. What cannot be read, or is
 * damaged, is left out with a warning in the context's log: the set is smaller then, never wrong. SWG_ENOMEM. */
swg_status swg_tuning_open(swg_context *ctx, const char *folder, swg_tuning **out);
void swg_tuning_close(swg_tuning *tuning);                  /* NULL is allowed */
/* Merges what was measured since opening into the file: under a lock, by an atomic rename. The file keeps the newest 4096 choices. A folder
 * that cannot be written is a warning in the log. SWG_ENOMEM. */
swg_status swg_tuning_save(swg_tuning *tuning);
/* Forgets everything, here and in the file. SWG_EIO: the file cannot be removed. */
swg_status swg_tuning_clear(swg_tuning *tuning);
const char *swg_tuning_path(const swg_tuning *tuning);      /* of the file; "" if there is no folder for it */

/* One choice. Times are medians of a step in its plan, in ns. */
typedef struct swg_tune_row {
    const char *label;          /* "linear (4096,125)(512,125) > (4096,512)"; a group: first and last step and their number */
    char choice[48];            /* "panels of 32 rows", "grain x 4", "one task", "rows along the longest axis", "as it is" */
    double heuristic_ns, best_ns;
    bool known;                 /* was in the file already */
} swg_tune_row;
int64_t swg_tuning_count(const swg_tuning *tuning);
void swg_tuning_at(const swg_tuning *tuning, int64_t i, swg_tune_row *row);

typedef struct swg_tune_opts {
    double seconds;             /* most time to spend; 0: 20 */
    bool again;                 /* also what is known already */
    const volatile sig_atomic_t *stop;          /* not 0: no further measurement; what has been found stays in the set */
    void (*progress)(void *user, int64_t done, int64_t total);  /* after each round of runs */
    void (*row)(void *user, const swg_tune_row *row);           /* once per step or group of the plan, in order */
    void *user;
} swg_tune_opts;

/* Measures the candidates of every step and group of the plan that swg_plan_make(g, plan_opts) would make, on weights and inputs of its
 * own, and adds the fastest to the set: a candidate has to win by 3 %. Steps of a provider are left as they are. Needs twice
 * the plan's memory while it runs. opts may be NULL. SWG_EINTERRUPTED: stopped; the set is sound. Errors as swg_plan_make. */
swg_status swg_tune(swg_tuning *tuning, swg_graph *g, const swg_plan_opts *plan_opts, const swg_tune_opts *opts);

#endif
