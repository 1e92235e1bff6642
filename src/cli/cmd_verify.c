/* cmd_verify.c - `swage verify`: checksums and stored audit of a .swz, and every value against the originals if they are given.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base.h"
#include "cli/archive_out.h"

static const cli_option options[] = {
    {"report", 0, "WHERE", "also write a report (needs the originals): PAGE.html with PAGE.json beside it, or a folder"},
    {"run", 0, "RUN", "run folder whose training curve the report shows"},
    {"recover", 0, NULL, "first cut a file that was interrupted while it grew back to its last valid footer"},
    {"slices", 0, "N", "variables shown as slices in the report (default: 4)"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static swg_status run(cli *c) {
    const char *original = c->positional_count > 1 ? c->positional[1] : NULL, *html = cli_value(c, "report");
    int64_t slices = 4;
    SWG__TRY(cli_integer(c, "slices", 0, 64, &slices));
    if (html && !original)
        return cli_fail(c, SWG_EUSAGE, "--report compares with the originals: swage verify FILE.swz ORIGINAL --report FILE");
    int64_t dropped = 0;
    if (cli_flag(c, "recover"))
        SWG__TRY(swg_swz_recover(c->ctx, c->positional[0], &dropped));
    if (dropped)
        cli_say("%s: %lld bytes behind the last valid footer were cut off", c->positional[0], (long long)dropped);
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    swg_archive_report *report = NULL;
    swg_status status = swg_archive_verify(c->ctx, c->positional[0], original, &hooks, &report);
    cli_progress_close(&progress);
    swg_status verdict = status;
    if (status == SWG_OK && html)
        status = swg_archive_html(c->ctx, html, c->positional[0], original, cli_value(c, "run"), report, (int)slices);
    if (report && cli_flag(c, "json")) {
        cli_archive_json(report, original != NULL);
    } else if (report) {
        cli_archive_table(report, original != NULL);
        if (!original)
            printf("checksums, streams and the stored audit are good; give the originals to compare values\n");
        else if (verdict == SWG_OK)
            printf("every value is within its bound\n");
        if (status == SWG_OK && html)
            printf("report %s\n", html);
    }
    swg_archive_report_free(report);
    return status;
}

const cli_command cli_cmd_verify = {
    .name = "verify",
    .usage = "FILE.swz [ORIGINAL]",
    .help = "check a .swz, alone or against the originals",
    .details = "Exit status 1 if anything is damaged or outside its bound.",
    .options = options,
    .least = 1,
    .most = 2,
    .run = run,
};
