/* bench_out.h - what the parts of `swage bench` share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_BENCH_OUT_H
#define SWAGE_CLI_BENCH_OUT_H

#include "base.h"
#include "cli/cli.h"

/* Prints JSON or text as asked for, and writes JSON where --output says. Takes both over. */
swg_status cli_bench_print(cli *c, char *json, swg__text *text);
void cli_bench_progress(void *progress, const char *text);
/* `swage bench codec` (bench_codec.c). */
swg_status cli_bench_codec(cli *c);

#endif
