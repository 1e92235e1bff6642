/* listing.h - every dataset of one HDF5 file: name, rank, type, time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_LISTING_H
#define SWAGE_DATA_LISTING_H

#include "hdf5.h"

enum { SWG__LISTED_AXES = 5 }; /* var_data has five; of more only the number is kept */

typedef struct swg__dataset {
    const char *path;             /* in the file, without the leading slash */
    const char *name;             /* its last part */
    const char *type;             /* for messages: "f32", "integer of 4 bytes", ... */
    bool is_float;                /* f32 or f64, either byte order: element and big_endian are set */
    bool is_integer;              /* of 1 to 8 bytes, the same */
    swg_element element;
    bool big_endian;
    int rank;
    int64_t dims[SWG__LISTED_AXES];
    bool has_time;
    double time;
    const char *fill;             /* "_FillValue" or "missing_value", NULL none; a constant */
    uint64_t fill_bits;
} swg__dataset;

typedef struct swg__listing {
    swg__dataset *items;          /* sorted by path bytes; in the arena */
    int64_t count, capacity;
} swg__listing;

/* Opens an HDF5 file for reading, with the messages of a missing file and of a file that is not HDF5. Inside a session. */
swg_status swg__h5_open(swg_context *ctx, const char *file, hid_t *out);
/* A single number under one of the two usual attributes, _FillValue and missing_value, as `element` holds it; returns which, NULL none. */
const char *swg__h5_fill(hid_t object, swg_element element, uint64_t *bits);
/* Lists the datasets of an open file. `time` of the file is given to datasets without one of their own. Inside a session. */
swg_status swg__h5_list(swg_context *ctx, swg__arena *arena, const char *file, hid_t handle, swg__listing *listing);
/* Reads a 1-D dataset of strings (fixed or variable length) into the arena. */
swg_status swg__h5_strings(swg_context *ctx, swg__arena *arena, const char *file, hid_t handle, const char *path, const char ***out,
                           int64_t *count);
/* "U_K (12, 7) integer of 4 bytes; ..." for the message that lists what was found; shortened to fit. */
void swg__listing_describe(const swg__listing *listing, char *text, size_t capacity);
/* "(12, 7, 7, 7)" */
void swg__dims_describe(int rank, const int64_t *dims, char *text, size_t capacity);

#endif
