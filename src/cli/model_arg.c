/* model_arg.c - tells a run folder or a checkpoint from other arguments by its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base.h"
#include "cli/cli.h"

bool cli_names_model(const char *path) {
    size_t length = strlen(path);
    return swg__is_folder(path) || (length > 12 && strcmp(path + length - 12, ".safetensors") == 0);
}
