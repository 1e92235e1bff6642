/* cmd_bench.c - `swage bench`: how fast this build is on this machine, against the machine's own limits and against others.
 * In: names of rows. Out: a table, or one JSON object, also into a file.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include "bench/bench.h"
#include "cli/cli.h"

static const cli_option options[] = {
    {"quick", 0, NULL, "about 20 seconds: shorter measurements, wider spread"},
    {"against", 0, "PEER", "also run this peer, if it is installed: pytorch"},
    {"list", 0, NULL, "list the rows"},
    {"explain", 0, NULL, "say what each pass and the planner did for every row"},
    {"output", 'o', "FILE", "write the JSON object into FILE"},
    CLI_JSON,
    CLI_THREADS,
    {NULL, 0, NULL, NULL},
};

static void print_id(void *user, const char *id) { fprintf(user, "%s\n", id); }

static void show_progress(void *user, const char *text) { cli_progress_show(user, "%s", text); }

static swg_status print(cli *c, const swg__bench *bench) {
    char *json = swg__bench_json(bench);
    if (!json)
        return cli_fail(c, SWG_ENOMEM, "out of memory");
    swg_status status = SWG_OK;
    const char *path = cli_value(c, "output");
    if (path)
        status = swg__file_write(c->ctx, path, json, strlen(json));
    if (cli_flag(c, "json"))
        puts(json);
    cJSON_free(json);
    swg__text text;
    swg__text_init(&text, c->ctx);
    if (!cli_flag(c, "json"))
        swg__bench_table(bench, &text);
    if (text.failed)
        status = cli_fail(c, SWG_ENOMEM, "out of memory");
    else if (text.data)
        fputs(text.data, stdout);
    swg__text_free(&text);
    return status;
}

static swg_status check_rows(cli *c, const swg__bench *bench) {
    int failed = 0;
    for (int i = 0; i < bench->row_count; i++)
        failed += *bench->rows[i].failure != 0;
    return failed ? cli_fail(c, SWG_EBOUND, "bench: %d of %d rows failed; their messages stand in the table", failed, bench->row_count) : SWG_OK;
}

static swg_status run(cli *c) {
    if (cli_flag(c, "list")) {
        swg__bench_list(print_id, stdout);
        return SWG_OK;
    }
    const char *against = cli_value(c, "against");
    char near[64];
    if (against && strcmp(against, "pytorch") != 0)
        return cli_fail(c, SWG_EUSAGE, "--against %s: no such peer; there is pytorch (oneDNN is always run where it is built in)%s", against,
                        swg__did_you_mean(against, (const char *const[]){"pytorch"}, 1, near, sizeof near));
    int64_t threads = 0;
    swg_status status = cli_integer(c, "threads", 1, 4096, &threads);
    if (status != SWG_OK)
        return status;
    /* OpenMP threads of peers, each on a processor of its own as ours are; read when their library is loaded. */
    setenv("OMP_PROC_BIND", "true", 0);
    setenv("OMP_PLACES", "threads", 0);
    cli_signals_catch();
    cli_progress progress;
    cli_progress_open(&progress, 2);
    swg__bench bench;
    const swg__bench_opts opts = {.patterns = (const char *const *)c->positional, .pattern_count = c->positional_count,
                                  .threads = (int)threads, .quick = cli_flag(c, "quick"), .pytorch = against != NULL,
                                  .explain = cli_flag(c, "explain") ? stderr : NULL, .stop = cli_signal_flag(), .progress = show_progress, .user = &progress};
    status = swg__bench_run(c->ctx, &opts, &bench);
    cli_progress_close(&progress);
    if (status == SWG_OK)
        status = print(c, &bench);
    if (status == SWG_OK)
        status = check_rows(c, &bench);
    swg__bench_free(&bench);
    return status;
}

const cli_command cli_cmd_bench = {
    .name = "bench",
    .usage = "[ROW ...] [--quick] [--against PEER] [--json] [--output FILE]",
    .help = "measure this machine's limits, and this build against them and against others",
    .details = "ROW is a name or a pattern such as 'matmul-*'; none: all rows. Every row is checked against the f64 reference before it\n"
               "is timed. docs/benchmarks.md tells what the rows and columns mean.",
    .options = options,
    .least = 0,
    .most = -1,
    .run = run,
};
