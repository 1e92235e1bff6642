/* compare.h (internal) - a recipe with its speed switches off, on one after the other, each alone, or over batch sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_BENCH_COMPARE_H
#define SWAGE_BENCH_COMPARE_H

#include "bench/bench.h"
#include "swage/config.h"

enum { SWG__COMPARE_ROUNDS = 5, SWG__COMPARE_LOSSES = 10, SWG__COMPARE_ROWS = 32 };

typedef enum swg__compare_kind { SWG__COMPARE_OPTS, SWG__COMPARE_EACH, SWG__COMPARE_BATCHES } swg__compare_kind;

/* Training steps or encode and decode of one row. */
typedef struct swg__compare_side {
    swg__times times[SWG__COMPARE_ROUNDS];  /* of batch and step together */
    double median_ns, min_ns;               /* over the rounds: median of medians, least */
    double samples_per_s;
    int64_t planned_bytes, measured_bytes;
    double flop, floor_ns;
    const char *floor_by;
    swg__ratio gain;                        /* samples/s over the baseline's, round by round */
    double gain_above;                      /* over the row above */
} swg__compare_side;

enum { SWG__TRAINING, SWG__INFERENCE, SWG__COMPARE_SIDES };

typedef struct swg__compare_row {
    char name[48], settings[512];           /* settings: "key=value key=value" */
    int64_t batch;
    swg__compare_side sides[SWG__COMPARE_SIDES];
    double losses[SWG__COMPARE_LOSSES];     /* of the first steps, from the same weights */
    double loss_difference, tolerance;      /* largest relative one to the baseline; what is allowed */
    char failure[320];                      /* "": none */
    bool absent;                            /* this build or machine has no such switch: a failure that nobody has to answer for */
} swg__compare_row;

typedef struct swg__compare_opts {
    swg__compare_kind kind;
    const char *recipe;
    swg_config_opts config;
    const int64_t *batches;                 /* SWG__COMPARE_BATCHES: at most SWG__COMPARE_ROWS */
    int batch_count;
    int threads;
    bool quick;
    const volatile sig_atomic_t *stop;
    void (*progress)(void *user, const char *text); /* may be NULL */
    void *user;
} swg__compare_opts;

typedef struct swg__comparison {
    swg_context *ctx;
    swg__compare_opts opts;
    swg__machine machine;
    swg__team team;                         /* of ctx; limits */
    swg__compare_row *rows;
    int row_count, rounds;
    bool synthetic;
    int64_t budget_bytes;                   /* batch sizes: of memory; 0 unknown */
    int best;                               /* batch sizes: smallest within 5 % of the best training throughput; -1 none */
} swg__comparison;

/* Measures every row in processes of its own. Failures of a row go into row->failure. SWG_EUSAGE: the recipe or a setting is wrong.
 * SWG_EINTERRUPTED: *opts->stop was raised. To be freed also after a failure. ctx's threads are pinned when it returns. */
swg_status swg__compare_run(swg_context *ctx, const swg__compare_opts *opts, swg__comparison *out);
void swg__compare_free(swg__comparison *c);

/* Fills loss_difference; failure where it is beyond the tolerance: a switch may round differently, it may not compute something else. */
void swg__compare_losses(const swg__compare_row *base, swg__compare_row *row);

/* compare_report.c */
void swg__compare_table(const swg__comparison *c, swg__text *text);
char *swg__compare_json(const swg__comparison *c);  /* NULL: out of memory; release with cJSON_free */

#endif
