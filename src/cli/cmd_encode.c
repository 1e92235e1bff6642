/* cmd_encode.c - `swage encode`: every block of a file or folder through a trained network, into one HDF5 file that can be decoded alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/folder_out.h"

static const cli_option options[] = {
    {"model", 'm', "RUN", "run folder or checkpoint of the network; required"},
    {"output", 'o', "FOLDER", "where the folder of this job is made (default: encoded)"},
    {"shell", 0, "NAME", "of items larger than a block: tile (default), keep or none"},
    {"latents-only", 0, NULL, "no reconstruction: twice as fast, no errors in the report"},
    {"name", 0, "NAME", "of the job's folder (default: date and time)"},
    CLI_FOLDER_BATCH, CLI_FOLDER_DEFLATE, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

#define CHANGEABLE "data.vars data.layout data.missing data.nonfinite data.constant"

static swg_status encode(cli *c, swg_model *model, swg_config *config) {
    swg_folder_opts opts = {.shell = cli_value(c, "shell"), .latents_only = cli_flag(c, "latents-only"), .stamp = cli_value(c, "name")};
    SWG__TRY(cli_folder_opts(c, &opts));
    cli_progress progress;
    swg_folder_hooks hooks = cli_folder_hooks(&progress);
    swg_folder_report *report = NULL;
    swg_status status = swg_folder_encode(c->ctx, model, config, c->positional[0], cli_value(c, "output") ? cli_value(c, "output") : "encoded", &opts, &hooks,
                                          &report);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    if (cli_flag(c, "json")) {
        status = cli_folder_json(c, report);
    } else {
        cli_folder_table(report);
        printf("wrote %s (%lld bytes)\n", report->encoded, (long long)report->encoded_bytes);
        if (*report->reconstructed)
            printf("wrote %s (%lld bytes)\n", report->reconstructed, (long long)report->reconstructed_bytes);
    }
    swg_folder_report_free(c->ctx, report);
    return status;
}

static swg_status run(cli *c) {
    swg_model *model = NULL;
    swg_config *config = NULL;
    if (!cli_value(c, "model"))
        return cli_fail(c, SWG_EUSAGE, "say which network encodes: -m RUN");
    SWG__TRY(cli_only_keys(c, CHANGEABLE));
    swg_status status = swg_model_open_as(c->ctx, cli_value(c, "model"), "swae", &model);
    if (status == SWG_OK)
        status = cli_open_model_config(c, model, &config);
    if (status == SWG_OK)
        status = encode(c, model, config);
    swg_config_close(config);
    swg_model_close(model);
    return status;
}

const cli_command cli_cmd_encode = {
    .name = "encode",
    .usage = "FILE_OR_FOLDER -m RUN [-o FOLDER] [data.vars=...]",
    .help = "turn HDF5 data into latents that can be decoded alone",
    .details = "Makes FOLDER/<date-time>/all_variables_encoded.h5 and all_variables_reconstructed.h5. The size is fixed, the error is not bounded:\n"
               "`swage compress` guarantees one. What is read is streamed: files may be larger than the memory.\n"
               "  swage encode samples/bssn -m runs/demo -o encoded",
    .options = options,
    .least = 1,
    .most = 1,
    .overrides = true,
    .keys = CHANGEABLE,
    .run = run,
};
