/* eval_songs.h - `swage eval` of networks of songs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_EVAL_SONGS_H
#define SWAGE_CLI_EVAL_SONGS_H

#include "cli/cli.h"
#include "swage/model.h"

swg_status cli_eval_songs(cli *c, swg_model *model, swg_config *config);

#endif
