/* search.h - a search over settings: every combination is trained and measured once, whatever is interrupted; one table and a Pareto front.
 *
 *     const char *grid[] = {"model.latent=4,8,16", "optimizer.lr=1e-4,2e-4", "data.path=data.h5"};
 *     swg_search_open(ctx, "swae/mlp", &(swg_search_opts){.folder = "search", .settings = grid, .count = 3}, &search);
 *     for (int64_t i = 0; i < swg_search_count(search); i++)
 *         swg_search_execute(search, i, NULL);
 *     swg_search_collect(search);
 *     swg_search_write(search);
 *     swg_search_close(search);
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_SEARCH_H
#define SWAGE_SEARCH_H

#include "swage/train.h"

enum { SWG_SEARCH_RUNS = 10000, SWG_SEARCH_BATCH = 16384 };

typedef struct swg_search swg_search;

typedef struct swg_search_opts {
    const char *folder;             /* of everything the search writes */
    const char *recipes;            /* as in swg_config_opts */
    const char *part;               /* blocks that are measured: "val" (default), "test", "train" or "all" */
    /* key=value as for swg_config_open, or key=a,b,c: one run for each. Short names: latent, lr, batch, lambda, epochs; depth (number of hidden layers, GLU
     * blocks or stages, or shallow, baseline, deep: one less, as many, one more than the recipe) and width (of the first; the next ones of an mlp have half of
     * the one before, those of other networks keep their proportion). */
    const char *const *settings;
    int64_t count;
} swg_search_opts;

/* What is known of a run. Figures are those of its best checkpoint. */
typedef struct swg_search_run {
    const char *name;               /* of its folder in <folder>/runs; the same settings have the same name in any grid */
    const char *settings;           /* those that vary: "model.latent=8 optimizer.lr=1e-4" */
    bool done;                      /* the rest counts only then */
    bool front_ratio, front_speed;  /* no other run is as good in both: psnr_db and bits_per_value, psnr_db and encode_blocks_s */
    int64_t parameters, macs;       /* macs: of one block, encoder and decoder */
    int64_t epochs;
    double bits_per_value;          /* latents and side information, of all values of the part */
    double psnr_db;                 /* mean over the variables, original units; NaN: none has one */
    double psnr_norm_db, mse, val_loss;
    double encode_blocks_s, decode_blocks_s;
    double train_s;
    int threads;
} swg_search_run;

/* Makes the list of runs and checks the settings of each; nothing is trained. Combinations that come to the same settings are one run. SWG_EUSAGE: nothing
 * varies over too much, an unknown key or value. Other errors as swg_config_open. */
swg_status swg_search_open(swg_context *ctx, const char *recipe, const swg_search_opts *opts, swg_search **out);
void swg_search_close(swg_search *search); /* NULL is allowed */

int64_t swg_search_count(const swg_search *search);
const swg_search_run *swg_search_at(const swg_search *search, int64_t index); /* NULL outside 0..count-1 */

/* Trains run `index`, or goes on where it was interrupted, measures it and writes <folder>/runs/<name>/result-<part>.json. A run that has one is left alone.
 * Hooks as in swg_train. Runs may be executed by processes of their own, at the same time. */
swg_status swg_search_execute(swg_search *search, int64_t index, const swg_train_hooks *hooks);

/* Reads what is there of all runs and finds the fronts. *done: how many are finished; NULL is allowed. */
swg_status swg_search_collect(swg_search *search, int64_t *done);
/* Writes <folder>/search.csv, search.json and search.html (table, two charts). */
swg_status swg_search_write(swg_search *search);

#endif
