/* archive_out.h - how compress, decompress and verify print their figures: one table and one JSON object.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_ARCHIVE_OUT_H
#define SWAGE_CLI_ARCHIVE_OUT_H

#include "cli/cli.h"
#include "swage/archive.h"

/* One row per variable and a total. compared: errors are against originals, not the stored audit. */
void cli_archive_table(const swg_archive_report *report, bool compared);
void cli_archive_json(const swg_archive_report *report, bool compared);
/* Hooks that show progress on a terminal and stop on the first signal. */
swg_archive_hooks cli_archive_hooks(cli_progress *progress);

#endif
