/* cmd_decompress.c - `swage decompress`: a .swz back to HDF5 files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base.h"
#include "cli/archive_out.h"

static const cli_option options[] = {
    {"output", 'o', "FOLDER", "folder the files are restored to (default: restored); with --slice the file: .h5, .npy or .raw"},
    {"slice", 0, "LIST", "only parts, as Python slices them: 'U_CHI[10:20,:,5],U_GT*[...,-1]'"},
    {"force", 'f', NULL, "replace files that stand there already"},
    {"salvage", 0, NULL, "restore what is left of a damaged file; exit status 1 if something is missing"},
    CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static swg_status slice(cli *c) {
    const char *output = cli_value(c, "output");
    swg_archive_subset r;
    if (!output)
        return cli_fail(c, SWG_EUSAGE, "say where the slice goes: -o FILE.h5, FILE.npy or FILE.raw");
    SWG__TRY(swg_archive_slice(c->ctx, c->positional[0], cli_value(c, "slice"), output, cli_flag(c, "force"), &r));
    if (cli_flag(c, "json"))
        printf("{\"arrays\": %lld, \"values\": %lld, \"bytes\": %lld, \"bytes_read\": %lld}\n", (long long)r.arrays, (long long)r.values,
               (long long)r.bytes, (long long)r.bytes_read);
    else
        printf("%lld arrays, %lld values to %s (%lld bytes read)\n", (long long)r.arrays, (long long)r.values, output, (long long)r.bytes_read);
    return SWG_OK;
}

static swg_status run(cli *c) {
    if (cli_value(c, "slice"))
        return slice(c);
    const char *folder = cli_value(c, "output") ? cli_value(c, "output") : "restored";
    cli_progress progress;
    swg_archive_hooks hooks = cli_archive_hooks(&progress);
    swg_archive_report *report = NULL;
    const bool replace = cli_flag(c, "force"), salvage = cli_flag(c, "salvage");
    swg_archive_damage damage = {0};
    swg_status status = salvage ? swg_archive_salvage(c->ctx, c->positional[0], folder, replace, &hooks, &damage, &report)
                                : swg_archive_restore(c->ctx, c->positional[0], folder, replace, &hooks, &report);
    cli_progress_close(&progress);
    if (report && cli_flag(c, "json"))
        cli_archive_json(report, false);
    else if (report)
        printf("%lld arrays, %lld bytes restored to %s (%.0f MB/s decoding)\n", (long long)report->total.arrays, (long long)report->total.bytes_in,
               folder, report->total.decompress_s > 0 ? (double)report->total.bytes_in * 1e-6 / report->total.decompress_s : 0.0);
    swg_archive_report_free(report);
    if (status == SWG_OK && (damage.arrays || damage.bytes))
        status = cli_fail(c, SWG_ECORRUPT, "%s: %lld arrays have damaged chunks, which are zero; %lld bytes behind the last valid footer are lost",
                          c->positional[0], (long long)damage.arrays, (long long)damage.bytes);
    return status;
}

const cli_command cli_cmd_decompress = {
    .name = "decompress",
    .usage = "FILE.swz [-o FOLDER] [--slice LIST -o FILE]",
    .help = "restore a .swz to HDF5 files",
    .details = "One file per compressed file, datasets, layout and times as they were.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
