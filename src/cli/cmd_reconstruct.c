/* cmd_reconstruct.c - `swage reconstruct`: all_variables_encoded.h5 and its network back to values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/folder_out.h"

static const cli_option options[] = {
    {"model", 'm', "RUN", "run folder or checkpoint of the network that encoded; required"},
    {"output", 'o', "FOLDER", "for all_variables_reconstructed.h5 (default: reconstructed)"},
    CLI_FOLDER_BATCH, CLI_FOLDER_DEFLATE, CLI_THREADS, CLI_ISA, CLI_JSON,
    {NULL, 0, NULL, NULL},
};

static swg_status reconstruct(cli *c, swg_model *model) {
    swg_folder_opts opts = {0};
    SWG__TRY(cli_folder_opts(c, &opts));
    cli_progress progress;
    swg_folder_hooks hooks = cli_folder_hooks(&progress);
    swg_folder_report *report = NULL;
    swg_status status = swg_folder_reconstruct(c->ctx, model, c->positional[0], cli_value(c, "output") ? cli_value(c, "output") : "reconstructed", &opts,
                                               &hooks, &report);
    cli_progress_close(&progress);
    if (status != SWG_OK)
        return status;
    if (cli_flag(c, "json"))
        status = cli_folder_json(c, report);
    else
        printf("%lld blocks of %lld arrays in %.2f s\nwrote %s (%lld bytes)\n", (long long)report->rows[report->count - 1].blocks, (long long)report->arrays,
               report->seconds, report->reconstructed, (long long)report->reconstructed_bytes);
    swg_folder_report_free(c->ctx, report);
    return status;
}

static swg_status run(cli *c) {
    swg_model *model = NULL;
    if (!cli_value(c, "model"))
        return cli_fail(c, SWG_EUSAGE, "say which network encoded the file: -m RUN");
    swg_status status = swg_model_open_as(c->ctx, cli_value(c, "model"), "swae", &model);
    if (status == SWG_OK)
        status = reconstruct(c, model);
    swg_model_close(model);
    return status;
}

const cli_command cli_cmd_reconstruct = {
    .name = "reconstruct",
    .usage = "all_variables_encoded.h5 -m RUN [-o FOLDER]",
    .help = "turn the latents of `swage encode` back into values",
    .details = "The values that encode wrote, bit for bit; with the same --batch and --deflate also the same file. The file must have been\n"
               "encoded with the same network.\n"
               "  swage reconstruct encoded/20261120-120000/all_variables_encoded.h5 -m runs/demo -o back",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
