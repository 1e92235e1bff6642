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
/* `swage bench kan` (bench_kan.c). */
swg_status cli_bench_kan(cli *c);
/* `swage bench cyto` (bench_cyto.c). */
swg_status cli_bench_cyto(cli *c);
/* `swage bench tfswa` (bench_tfswa.c). */
swg_status cli_bench_tfswa(cli *c);
/* --batch-sizes: "1,16,256", at most `most` of them. SWG_EUSAGE with a message. */
swg_status cli_batches(cli *c, int64_t *out, int most, int *count);

#endif
