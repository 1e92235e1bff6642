/* layers_out.h - how `swage plan` and `swage info` show the layers of a network.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CLI_LAYERS_OUT_H
#define SWAGE_CLI_LAYERS_OUT_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include "swage/layers.h"

void cli_print_work(const swg_layers *layers, const char *sample);                  /* sums by half, one line each way of counting */
void cli_print_layers(const swg_layers *layers);                /* a line per layer that has parameters or work */
void cli_json_layers(cJSON *root, const swg_layers *layers);    /* both, added to an object; per block */

#endif
