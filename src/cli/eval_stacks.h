/* eval_stacks.h - `swage eval` of networks of stacks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_EVAL_STACKS_H
#define SWAGE_CLI_EVAL_STACKS_H

#include "cli/cli.h"
#include "swage/evaluate.h"

swg_status cli_eval_stacks(cli *c, swg_model *model, swg_config *config);

#endif
