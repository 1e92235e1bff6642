/* cmd_decompress.c - `swage decompress`: a .swz back to HDF5 files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base.h"
#include "cli/archive_out.h"

static const cli_option options[] = {
    {"output", 'o', "FOLDER", "folder the files are restored to (default: restored)"},
    {"force", 'f', NULL, "replace files that stand there already"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static swg_status run(cli *c) {
    const char *folder = cli_value(c, "output") ? cli_value(c, "output") : "restored";
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    swg_archive_report *report = NULL;
    swg_status status = swg_archive_restore(c->ctx, c->positional[0], folder, cli_flag(c, "force"), &hooks, &report);
    cli_progress_close(&progress);
    if (report && cli_flag(c, "json"))
        cli_archive_json(report, false);
    else if (report)
        printf("%lld arrays, %lld bytes restored to %s (%.0f MB/s decoding)\n", (long long)report->total.arrays, (long long)report->total.bytes_in,
               folder, report->total.decompress_s > 0 ? (double)report->total.bytes_in * 1e-6 / report->total.decompress_s : 0.0);
    swg_archive_report_free(report);
    return status;
}

const cli_command cli_cmd_decompress = {
    .name = "decompress",
    .usage = "FILE.swz [-o FOLDER]",
    .help = "restore a .swz to HDF5 files",
    .details = "One file per compressed file, datasets, layout and times as they were.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
