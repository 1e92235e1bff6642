/* recompute_out.h - ways of recomputation side by side, as text and as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_RECOMPUTE_OUT_H
#define SWAGE_CLI_RECOMPUTE_OUT_H

#include <cjson/cJSON.h>
#include "cli/cli.h"
#include "swage/train.h"

/* The rows that --compare, --measure and --input ask for; count 0: none of them is given. */
swg_status cli_compare_recompute(cli *c, swg_config *config, int64_t batch, swg_train_recompute rows[SWG_TRAIN_RECOMPUTE], int *count);
void cli_print_recompute(const cli *c, const swg_train_recompute *rows, int count);
void cli_json_recompute(cJSON *root, const swg_train_recompute *rows, int count); /* as the list "recompute_policies" */

#endif
