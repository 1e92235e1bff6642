/* embedded.h - the recipes that travel inside the binary; written at build time by tools/embed.cmake.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_CONFIG_EMBEDDED_H
#define SWAGE_CONFIG_EMBEDDED_H

typedef struct swg__embedded_file {
    const char *path; /* "model/swae_mlp.yaml", relative to recipes/; NULL ends the list */
    const char *text;
} swg__embedded_file;

extern const swg__embedded_file swg__embedded_recipes[];

#endif
