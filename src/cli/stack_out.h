/* stack_out.h - what `swage info` says about a stack of images.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_STACK_OUT_H
#define SWAGE_CLI_STACK_OUT_H

#include "cli/cli.h"

/* Is it an image or an array of them by its name: .tif, .tiff, .png, .npy, or "file:/dataset"? */
bool cli_names_stack(const char *path);
/* Prints axes, extents, numbers, storage, voxel size and channels; JSON with --json. --layout as swg_stack_opts. */
swg_status cli_show_stack(cli *c, const char *path);

#endif
