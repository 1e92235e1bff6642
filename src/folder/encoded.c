/* encoded.c - reads all_variables_encoded.h5 and trusts none of it.
 * In: a path. Out: arrays, variables, rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "folder/encoded.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "data/listing.h"

enum { TEXT_MOST = 1 << 16, ARRAYS_MOST = 1 << 26 };

static swg_status corrupt(const swg__encoded *e, const char *what) {
    return swg__fail(e->ctx, SWG_ECORRUPT, "%s: %s: the file is damaged, or not one of swage encode", e->path, what);
}

static char *read_text(swg__encoded *e, const char *name) {
    char *text = NULL;
    hid_t attribute = H5Aexists(e->file, name) > 0 ? H5Aopen(e->file, name, H5P_DEFAULT) : -1, type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    size_t bytes = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 ? H5Tget_size(type) : 0;
    hid_t space = bytes ? H5Aget_space(attribute) : -1;
    if (bytes && bytes < TEXT_MOST && H5Sget_simple_extent_npoints(space) == 1) {
        text = swg__arena_alloc(&e->arena, bytes + 1);
        e->no_memory = e->no_memory || !text;
        if (text && H5Aread(attribute, type, text) < 0)
            text = NULL;
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    return text;
}

/* A single number; NaN if there is none. */
static double read_number(hid_t owner, const char *object, const char *name) {
    double value = NAN;
    hid_t attribute = H5Aexists_by_name(owner, object, name, H5P_DEFAULT) > 0 ? H5Aopen_by_name(owner, object, name, H5P_DEFAULT, H5P_DEFAULT) : -1;
    hid_t space = attribute >= 0 ? H5Aget_space(attribute) : -1, type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1 && (class == H5T_FLOAT || class == H5T_INTEGER))
        H5Aread(attribute, H5T_NATIVE_DOUBLE, &value);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (attribute >= 0)
        H5Aclose(attribute);
    return value;
}

static int64_t read_count(swg__encoded *e, const char *name) {
    double value = read_number(e->file, "/", name);
    return value >= 1 && value <= 1 << 24 && value == floor(value) ? (int64_t)value : 0;
}

/* A dataset of exactly these extents, whole. */
static bool read_list(swg__encoded *e, const char *path, int ndim, int64_t rows, int64_t width, hid_t type, void *out) {
    hsize_t dims[H5S_MAX_RANK] = {0};
    hid_t dataset = H5Dopen2(e->file, path, H5P_DEFAULT), space = dataset >= 0 ? H5Dget_space(dataset) : -1;
    bool good = space >= 0 && H5Sget_simple_extent_ndims(space) == ndim && H5Sget_simple_extent_dims(space, dims, NULL) == ndim && dims[0] == (hsize_t)rows &&
                (ndim < 2 || dims[1] == (hsize_t)width) && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
    if (space >= 0)
        H5Sclose(space);
    if (dataset >= 0)
        H5Dclose(dataset);
    return good;
}

/* ---- the list of arrays ---- */

static swg_status check_array(swg__encoded *e, const swg_array *array) {
    if (array->variable_index < 0 || array->variable_index >= e->variable_count || !array->ndim || swg_element_bytes(array->element) == 0)
        return corrupt(e, "the list of arrays");
    int64_t count = 1;
    for (int i = 0; i < array->ndim; i++)
        if (array->dims[i] < 1 || swg__mul_overflow(count, array->dims[i], &count) || count > INT64_MAX / 64)
            return corrupt(e, "the extents of an array");
    return SWG_OK;
}

static swg_status read_arrays(swg__encoded *e) {
    const char **files, **paths;
    int64_t count, again;
    SWG__TRY(swg__h5_strings(e->ctx, &e->arena, e->path, e->file, "arrays/file", &files, &count));
    SWG__TRY(swg__h5_strings(e->ctx, &e->arena, e->path, e->file, "arrays/dataset", &paths, &again));
    if (count < 1 || count != again || count > ARRAYS_MOST)
        return corrupt(e, "the list of arrays");
    size_t n = (size_t)count;
    int64_t *dims = swg__arena_alloc(&e->arena, n * 4 * sizeof *dims), *variable = swg__arena_alloc(&e->arena, n * sizeof *variable);
    uint8_t *layout = swg__arena_alloc(&e->arena, n), *bytes = swg__arena_alloc(&e->arena, n);
    double *time = swg__arena_alloc(&e->arena, n * sizeof *time);
    e->arrays = swg__arena_alloc(&e->arena, n * sizeof *e->arrays);
    if (!dims || !variable || !layout || !bytes || !time || !e->arrays)
        return swg__fail_memory(e->ctx, n * sizeof *e->arrays, "the list of arrays");
    if (!read_list(e, "arrays/shape", 2, count, 4, H5T_NATIVE_INT64, dims) || !read_list(e, "arrays/variable", 1, count, 1, H5T_NATIVE_INT64, variable) ||
        !read_list(e, "arrays/layout", 1, count, 1, H5T_NATIVE_UINT8, layout) ||
        !read_list(e, "arrays/bytes_per_value", 1, count, 1, H5T_NATIVE_UINT8, bytes) ||
        !read_list(e, "arrays/time", 1, count, 1, H5T_NATIVE_DOUBLE, time))
        return corrupt(e, "the list of arrays");
    for (size_t a = 0; a < n; a++) {
        swg_array *array = &e->arrays[a];
        if (layout[a] > SWG_LAYOUT_GRID || (bytes[a] != 4 && bytes[a] != 8))
            return corrupt(e, "the list of arrays");
        *array = (swg_array){.file = files[a], .path = paths[a], .layout = (swg_layout)layout[a], .variable_index = variable[a],
                             .element = bytes[a] == 4 ? SWG_ELEMENT_F32 : SWG_ELEMENT_F64, .has_time = !isnan(time[a]), .time = time[a]};
        array->ndim = array->layout == SWG_LAYOUT_GRID ? 3 : 4;
        memcpy(array->dims, dims + 4 * a, sizeof array->dims);
        SWG__TRY(check_array(e, array));
        array->count = array->dims[0] * array->dims[1] * array->dims[2] * (array->ndim == 4 ? array->dims[3] : 1);
        array->variable = e->variables[variable[a]];
    }
    e->array_count = count;
    return SWG_OK;
}

/* ---- the columns ---- */

static void open_columns(swg__encoded *e, int64_t v) {
    static const char *const names[SWG__COLUMNS][2] = {[SWG__LATENTS] = {"latent_vectors"}, [SWG__OFFSET] = {"block_min", "block_mean"},
        [SWG__EXPONENT] = {"block_scale_exp"}, [SWG__FLAG] = {"block_flag"}, [SWG__CONSTANT] = {"const_value"}, [SWG__RAW] = {"raw_blocks"},
        [SWG__SHELL_ROWS] = {"shell_values"}};
    for (int c = 0; c < SWG__COLUMNS; c++)
        for (int k = 0; k < 2 && names[c][k] && e->columns[v][c] < 0; k++) {
            char path[700];
            hsize_t dims[H5S_MAX_RANK] = {0};
            snprintf(path, sizeof path, "%.600s", e->variables[v]);
            if (H5Lexists(e->file, path, H5P_DEFAULT) <= 0)
                continue;
            snprintf(path, sizeof path, "%.600s/%s", e->variables[v], names[c][k]);
            if (H5Lexists(e->file, path, H5P_DEFAULT) <= 0 || (e->columns[v][c] = H5Dopen2(e->file, path, H5P_DEFAULT)) < 0)
                continue;
            hid_t space = H5Dget_space(e->columns[v][c]);
            if (space >= 0 && H5Sget_simple_extent_ndims(space) >= 1 && H5Sget_simple_extent_dims(space, dims, NULL) >= 1)
                e->rows[v][c] = (int64_t)dims[0];
            if (space >= 0)
                H5Sclose(space);
        }
}

static swg_status read_head(swg__encoded *e) {
    e->source_folder = read_text(e, "source_folder");
    e->hash = read_text(e, "model_sha256");
    e->arch = read_text(e, "model_arch");
    e->norm = read_text(e, "normalization_method");
    e->shell = read_text(e, "shell");
    e->edge = read_count(e, "block_edge");
    e->latent = read_count(e, "latent_dim");
    if (e->no_memory)
        return swg__fail_memory(e->ctx, TEXT_MOST, "the attributes of an encoded file");
    if (!e->source_folder || !e->hash || !e->arch || !e->norm || !e->shell || !e->edge || !e->latent)
        return swg__fail(e->ctx, SWG_EFORMAT, "%s: not an encoded file of swage encode (model_sha256, block_edge and others are missing)", e->path);
    if (read_count(e, "format_version") != SWG__FOLDER_FORMAT)
        return swg__fail(e->ctx, SWG_EUNSUPPORTED, "%s: written by another version of swage (format_version is not %d)", e->path, SWG__FOLDER_FORMAT);
    SWG__TRY(swg__h5_strings(e->ctx, &e->arena, e->path, e->file, "vars", &e->variables, &e->variable_count));
    if (e->variable_count < 1)
        return corrupt(e, "vars");
    e->columns = swg__arena_alloc(&e->arena, (size_t)e->variable_count * sizeof *e->columns);
    e->rows = swg__arena_alloc(&e->arena, (size_t)e->variable_count * sizeof *e->rows);
    if (!e->columns || !e->rows) {
        e->columns = NULL;
        return swg__fail_memory(e->ctx, (size_t)e->variable_count * sizeof *e->columns, "the columns of an encoded file");
    }
    for (int64_t v = 0; v < e->variable_count; v++)
        for (int c = 0; c < SWG__COLUMNS; c++)
            e->columns[v][c] = -1;
    for (int64_t v = 0; v < e->variable_count; v++)
        open_columns(e, v);
    return read_arrays(e);
}

swg_status swg__encoded_open(swg_context *ctx, const char *path, swg__encoded *e) {
    *e = (swg__encoded){.ctx = ctx, .path = path, .file = -1};
    swg__arena_init(&e->arena, ctx);
    if (!swg__exists(path) || swg__is_folder(path))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: no such file; an all_variables_encoded.h5 of swage encode is expected", path);
    swg__h5 session;
    swg__h5_enter(&session);
    e->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    swg_status status = e->file >= 0 ? read_head(e) : swg__h5_fail(ctx, SWG_EFORMAT, path, "cannot open as HDF5");
    swg__h5_leave(&session);
    return status;
}

void swg__encoded_close(swg__encoded *e) {
    if (!e->ctx)
        return;
    swg__h5 session;
    swg__h5_enter(&session);
    for (int64_t v = 0; e->columns && v < e->variable_count; v++)
        for (int c = 0; c < SWG__COLUMNS; c++)
            if (e->columns[v][c] >= 0)
                H5Dclose(e->columns[v][c]);
    if (e->file >= 0)
        H5Fclose(e->file);
    swg__h5_leave(&session);
    swg__arena_free(&e->arena);
}

swg_status swg__encoded_rows(swg__encoded *e, int64_t variable, int column, int64_t first, int64_t count, int64_t width, swg_element element, void *out) {
    hid_t dataset = e->columns[variable][column];
    const hsize_t start[2] = {(hsize_t)first, 0}, extent[2] = {(hsize_t)count, (hsize_t)width};
    hsize_t dims[H5S_MAX_RANK] = {0};
    if (!count)
        return SWG_OK;
    swg__h5 session;
    swg__h5_enter(&session);
    int ndim = width > 1 ? 2 : 1;
    hid_t space = dataset >= 0 ? H5Dget_space(dataset) : -1, memory = H5Screate_simple(ndim, extent, NULL), type = dataset >= 0 ? H5Dget_type(dataset) : -1;
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    bool wanted = class == (element == SWG_ELEMENT_F32 || element == SWG_ELEMENT_F64 ? H5T_FLOAT : H5T_INTEGER);
    bool good = wanted && space >= 0 && memory >= 0 && H5Sget_simple_extent_ndims(space) == ndim && H5Sget_simple_extent_dims(space, dims, NULL) == ndim &&
                first + count <= (int64_t)dims[0] && (ndim == 1 || dims[1] == extent[1]) &&
                H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0 &&
                H5Dread(dataset, swg__h5_native(element), memory, space, H5P_DEFAULT, out) >= 0;
    if (type >= 0)
        H5Tclose(type);
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
    swg__h5_leave(&session);
    if (good)
        return SWG_OK;
    char what[400];
    snprintf(what, sizeof what, "rows %lld to %lld of a column of \"%.300s\" cannot be read", (long long)first, (long long)(first + count - 1),
             e->variables[variable]);
    return corrupt(e, what);
}

bool swg__encoded_number(swg__encoded *e, int64_t variable, const char *name, double *value) {
    swg__h5 session;
    swg__h5_enter(&session);
    *value = read_number(e->file, e->variables[variable], name);
    swg__h5_leave(&session);
    return !isnan(*value);
}
