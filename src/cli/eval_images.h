/* eval_images.h - `swage eval` of networks of images.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_EVAL_IMAGES_H
#define SWAGE_CLI_EVAL_IMAGES_H

#include "cli/cli.h"
#include "swage/model.h"

swg_status cli_eval_images(cli *c, swg_model *model, swg_config *config);

#endif
