/* folder_out.h - how encode and reconstruct print their figures, and what they share on the command line.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_FOLDER_OUT_H
#define SWAGE_CLI_FOLDER_OUT_H

#include "cli/cli.h"
#include "swage/folder.h"

#define CLI_FOLDER_DEFLATE {"deflate", 0, "LEVEL", "of the files: 1 to 9, or 0 for the fast way that suits numbers (default: 0)"}
#define CLI_FOLDER_BATCH {"batch", 0, "N", "blocks at work together; memory grows with it (default: 16384)"}

/* --batch and --deflate. */
swg_status cli_folder_opts(cli *c, swg_folder_opts *opts);
/* Hooks that show progress on a terminal and stop on the first signal. */
swg_folder_hooks cli_folder_hooks(cli_progress *progress);
void cli_folder_table(const swg_folder_report *report);
swg_status cli_folder_json(cli *c, const swg_folder_report *report);

#endif
