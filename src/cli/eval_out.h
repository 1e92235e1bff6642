/* eval_out.h - what forms of `swage eval` share: cells of a table, and where results go.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_EVAL_OUT_H
#define SWAGE_CLI_EVAL_OUT_H

#include <cjson/cJSON.h>
#include "base.h"
#include "cli/cli.h"

/* "n/a" for NaN, "inf". Returns out. */
const char *cli_figure(double value, const char *format, char out[24]);
/* null for NaN, "inf". */
void cli_add_figure(cJSON *object, const char *key, double value);

/* An evaluation in its forms. */
typedef struct cli_evaluation {
    const void *figures;
    char *json;                                         /* NULL: out of memory; freed by cli_give_evaluation with cJSON_free */
    void (*csv)(const void *figures, swg__text *out);
    void (*print)(const void *figures);
} cli_evaluation;
/* To --csv FILE, metrics.csv and metrics.json of -o FOLDER, and stdout. */
swg_status cli_give_evaluation(cli *c, cli_evaluation *e);

#endif
