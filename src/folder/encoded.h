/* encoded.h - reading all_variables_encoded.h5: its list of arrays, and rows of its columns.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_FOLDER_ENCODED_H
#define SWAGE_FOLDER_ENCODED_H

#include "folder/folder.h"

/* The columns of a variable, in the order of swg__encoded_open's checks. */
enum { SWG__LATENTS, SWG__OFFSET, SWG__EXPONENT, SWG__FLAG, SWG__CONSTANT, SWG__RAW, SWG__SHELL_ROWS, SWG__COLUMNS };

typedef struct swg__encoded {
    swg_context *ctx;
    const char *path;
    hid_t file;
    swg__arena arena;                       /* names, arrays, variables */
    char *source_folder, *hash, *arch, *norm, *shell;
    int64_t edge, latent;
    bool no_memory;                         /* for a text */
    const char **variables;
    int64_t variable_count;
    swg_array *arrays;
    int64_t array_count;
    hid_t (*columns)[SWG__COLUMNS];         /* per variable; -1: not there */
    int64_t (*rows)[SWG__COLUMNS];          /* their extents */
} swg__encoded;

/* SWG_ENOTFOUND, SWG_EFORMAT: not such a file; SWG_ECORRUPT: its parts contradict each other. Close it whatever the status. */
swg_status swg__encoded_open(swg_context *ctx, const char *path, swg__encoded *out);
void swg__encoded_close(swg__encoded *encoded);

/* Rows first..first+count-1 of a column, as `element` (of `width` values each). SWG_ECORRUPT: beyond its end, or not readable. */
swg_status swg__encoded_rows(swg__encoded *encoded, int64_t variable, int column, int64_t first, int64_t count, int64_t width, swg_element element,
                             void *out);
/* A number kept with a variable; false if there is none. */
bool swg__encoded_number(swg__encoded *encoded, int64_t variable, const char *name, double *value);

#endif
