/* model_arg.c - tells a run folder or a checkpoint from other arguments by its name, and opens what it holds.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/cli.h"

bool cli_names_model(const char *path) {
    size_t length = strlen(path);
    return swg__is_folder(path) || (length > 12 && strcmp(path + length - 12, ".safetensors") == 0);
}

swg_status cli_open_models(cli *c, const char *path, swg_codec_model **models, swg_model **network) {
    char file[4096];
    const size_t length = strlen(path);
    *models = NULL;
    *network = NULL;
    const bool given = length > 4 && strcmp(path + length - 4, ".swm") == 0;
    if (snprintf(file, sizeof file, given ? "%s" : "%s/model.swm", path) >= (int)sizeof file)
        return cli_fail(c, SWG_EUSAGE, "-m %s: the path is too long", path);
    return given || swg__exists(file) ? swg_codec_model_load(c->ctx, file, models) : swg_model_open(c->ctx, path, network);
}
