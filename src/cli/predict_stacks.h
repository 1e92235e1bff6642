/* predict_stacks.h - `swage predict` of networks of stacks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_PREDICT_STACKS_H
#define SWAGE_CLI_PREDICT_STACKS_H

#include "cli/cli.h"
#include "swage/evaluate.h"
#include "swage/predict.h"

/* input=..., output=FOLDER and predict.* of the configuration. */
swg_status cli_predict_stacks(cli *c, swg_model *model, swg_config *config, bool quiet);
/* predict.threshold, predict.min_size, predict.min_depth. */
void cli_read_instances(swg_config *config, swg_instances_opts *out);

#endif
