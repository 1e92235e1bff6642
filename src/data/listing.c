/* listing.c - walks one HDF5 file and describes its datasets.
 * In: a path. Out: a sorted list with rank, extents, element type and time; strings of `vars`.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "listing.h"

/* A string longer than this is no variable name; it keeps a hostile `vars` from asking for all memory. */
enum { NAME_BYTES_MAX = 4096, NAMES_MAX = 1 << 16 };

swg_status swg__h5_open(swg_context *ctx, const char *file, hid_t *out) {
    if (!swg__exists(file))
        return swg__fail(ctx, SWG_ENOTFOUND, "%s: no such file; data.path takes an HDF5 file or a folder of *.h5 and *.hdf5 files", file);
    *out = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*out >= 0)
        return SWG_OK;
    char reason[300];
    swg__h5_reason(reason, sizeof reason);
    return swg__fail(ctx, SWG_EFORMAT,
                     "%s: cannot open as HDF5: %s. Readable are HDF5 files with datasets vars + var_data, (blocks, 7, 7, 7) per variable, or "
                     "(nz, ny, nx) per variable; convert VTU, checkpoint and .dat files first", file, reason);
}

/* A single number named `time`; anything else counts as no time. */
static bool read_time(hid_t object, double *time) {
    if (H5Aexists(object, "time") <= 0)
        return false;
    bool ok = false;
    hid_t attribute = H5Aopen(object, "time", H5P_DEFAULT);
    if (attribute >= 0) {
        hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
        H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
        ok = space >= 0 && H5Sget_simple_extent_npoints(space) == 1 && (class == H5T_FLOAT || class == H5T_INTEGER) &&
             H5Aread(attribute, H5T_NATIVE_DOUBLE, time) >= 0 && isfinite(*time);
        if (type >= 0)
            H5Tclose(type);
        if (space >= 0)
            H5Sclose(space);
        H5Aclose(attribute);
    }
    return ok;
}

const char *swg__h5_fill(hid_t object, swg_element element, uint64_t *bits) {
    static const char *const names[] = {"_FillValue", "missing_value"};
    for (int i = 0; i < 2; i++) {
        if (H5Aexists(object, names[i]) <= 0)
            continue;
        bool ok = false;
        hid_t attribute = H5Aopen(object, names[i], H5P_DEFAULT);
        if (attribute >= 0) {
            hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
            H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
            union { uint8_t u8; uint16_t u16; uint32_t u32; uint64_t u64; } value = {.u64 = 0};
            ok = space >= 0 && H5Sget_simple_extent_npoints(space) == 1 && (class == H5T_FLOAT || class == H5T_INTEGER) &&
                 H5Aread(attribute, swg__h5_native(element), &value) >= 0;
            int bytes = swg_element_bytes(element);
            *bits = bytes == 1 ? value.u8 : bytes == 2 ? value.u16 : bytes == 4 ? value.u32 : value.u64;
            if (type >= 0)
                H5Tclose(type);
            if (space >= 0)
                H5Sclose(space);
            H5Aclose(attribute);
        }
        if (ok)
            return names[i];
    }
    return NULL;
}

struct walk {
    swg_context *ctx;
    swg__arena *arena;
    const char *file;
    swg__listing *listing;
    swg_status status;
};

static swg__dataset *add(struct walk *walk, const char *path) {
    swg__listing *listing = walk->listing;
    if (listing->count == listing->capacity) {
        int64_t larger = listing->capacity ? 2 * listing->capacity : 64;
        swg__dataset *items = swg__arena_alloc(walk->arena, (size_t)larger * sizeof *items);
        if (!items)
            return NULL;
        if (listing->count)
            memcpy(items, listing->items, (size_t)listing->count * sizeof *items);
        listing->items = items;
        listing->capacity = larger;
    }
    char *copy = swg__arena_strdup(walk->arena, path);
    if (!copy)
        return NULL;
    const char *slash = strrchr(copy, '/');
    swg__dataset *item = &listing->items[listing->count];
    *item = (swg__dataset){.path = copy, .name = slash ? slash + 1 : copy};
    return item;
}

static const char *describe_type(struct walk *walk, hid_t type, const swg__dataset *item) {
    if (item->is_float) /* integers are described by class and size: most readers refuse them */
        return swg_element_name(item->element);
    static const struct {
        H5T_class_t class;
        const char *name;
    } classes[] = {{H5T_INTEGER, "integer"}, {H5T_FLOAT, "float"}, {H5T_STRING, "string"}, {H5T_COMPOUND, "compound"}, {H5T_ENUM, "enum"}};
    const char *name = "other type";
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (classes[i].class == H5Tget_class(type))
            name = classes[i].name;
    char text[64];
    snprintf(text, sizeof text, "%s of %zu bytes", name, H5Tget_size(type));
    return swg__arena_strdup(walk->arena, text);
}

static herr_t describe(struct walk *walk, hid_t dataset, const char *path) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hsize_t dims[H5S_MAX_RANK] = {0};
    int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (type < 0 || rank < 0 || (rank && H5Sget_simple_extent_dims(space, dims, NULL) < 0)) {
        char what[300];
        snprintf(what, sizeof what, "dataset \"%.200s\" cannot be described", path);
        walk->status = swg__h5_fail(walk->ctx, SWG_EFORMAT, walk->file, what);
    } else {
        swg__dataset *item = add(walk, path);
        if (item) {
            item->rank = rank;
            for (int i = 0; i < rank && i < SWG__LISTED_AXES; i++)
                item->dims[i] = dims[i] > INT64_MAX ? INT64_MAX : (int64_t)dims[i];
            item->is_float = swg__h5_element(type, &item->element, &item->big_endian);
            item->is_integer = !item->is_float && swg__h5_integer(type, &item->element, &item->big_endian);
            if (item->is_float || item->is_integer)
                item->fill = swg__h5_fill(dataset, item->element, &item->fill_bits);
            item->has_time = read_time(dataset, &item->time);
            item->type = describe_type(walk, type, item);
        }
        if (item && item->type)
            walk->listing->count++;
        else
            walk->status = swg__fail_memory(walk->ctx, sizeof *item, walk->file);
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return walk->status == SWG_OK ? 0 : -1;
}

/* Called for every link; soft and external ones are not followed, so each dataset is met where it lives. */
static herr_t visit(hid_t group, const char *path, const H5L_info_t *info, void *data) {
    struct walk *walk = data;
    if (info->type != H5L_TYPE_HARD)
        return 0;
    hid_t object = H5Oopen(group, path, H5P_DEFAULT);
    if (object < 0) {
        char what[300];
        snprintf(what, sizeof what, "object \"%.200s\" cannot be opened", path);
        walk->status = swg__h5_fail(walk->ctx, SWG_EFORMAT, walk->file, what);
        return -1;
    }
    herr_t result = H5Iget_type(object) == H5I_DATASET ? describe(walk, object, path) : 0;
    H5Oclose(object);
    return result;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const swg__dataset *)a)->path, ((const swg__dataset *)b)->path);
}

swg_status swg__h5_list(swg_context *ctx, swg__arena *arena, const char *file, hid_t handle, swg__listing *listing) {
    *listing = (swg__listing){0};
    struct walk walk = {ctx, arena, file, listing, SWG_OK};
    if (H5Lvisit(handle, H5_INDEX_NAME, H5_ITER_INC, visit, &walk) < 0)
        return walk.status != SWG_OK ? walk.status : swg__h5_fail(ctx, SWG_EFORMAT, file, "cannot list the datasets");
    double time = 0;
    bool has_time = read_time(handle, &time);
    for (int64_t i = 0; has_time && i < listing->count; i++) {
        if (!listing->items[i].has_time) {
            listing->items[i].has_time = true;
            listing->items[i].time = time;
        }
    }
    if (listing->count)
        qsort(listing->items, (size_t)listing->count, sizeof *listing->items, by_path);
    return SWG_OK;
}

/* Copies one string of at most `bytes` bytes, without trailing zeros and spaces. */
static char *copy_name(swg__arena *arena, const char *from, size_t bytes) {
    size_t length = strnlen(from, bytes);
    while (length && from[length - 1] == ' ')
        length--;
    char *copy = swg__arena_alloc(arena, length + 1);
    if (copy)
        memcpy(copy, from, length);
    return copy;
}

static swg_status read_strings(swg_context *ctx, swg__arena *arena, const char *file, const char *path, hid_t dataset, hid_t type,
                               hid_t space, const char **names, int64_t count) {
    if (H5Tis_variable_str(type) > 0) {
        char **strings = swg__calloc(ctx, (size_t)count, sizeof *strings);
        if (!strings)
            return swg__fail_memory(ctx, (size_t)count * sizeof *strings, path);
        swg_status status = SWG_OK;
        if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, strings) < 0)
            status = swg__h5_fail(ctx, SWG_EIO, file, "cannot read the names in \"vars\"");
        for (int64_t i = 0; status == SWG_OK && i < count; i++)
            if (!(names[i] = copy_name(arena, strings[i] ? strings[i] : "", NAME_BYTES_MAX)))
                status = swg__fail_memory(ctx, NAME_BYTES_MAX, path);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, strings);
        swg__free(ctx, strings);
        return status;
    }
    size_t bytes = H5Tget_size(type);
    if (bytes == 0 || bytes > NAME_BYTES_MAX)
        return swg__fail(ctx, SWG_EFORMAT, "%s: dataset \"%s\": strings of %zu bytes are no variable names", file, path, bytes);
    char *strings = swg__calloc(ctx, (size_t)count, bytes);
    if (!strings)
        return swg__fail_memory(ctx, (size_t)count * bytes, path);
    swg_status status = SWG_OK;
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, strings) < 0)
        status = swg__h5_fail(ctx, SWG_EIO, file, "cannot read the names in \"vars\"");
    for (int64_t i = 0; status == SWG_OK && i < count; i++)
        if (!(names[i] = copy_name(arena, strings + (size_t)i * bytes, bytes)))
            status = swg__fail_memory(ctx, bytes, path);
    swg__free(ctx, strings);
    return status;
}

swg_status swg__h5_strings(swg_context *ctx, swg__arena *arena, const char *file, hid_t handle, const char *path, const char ***out,
                           int64_t *count) {
    *out = NULL;
    *count = 0;
    hid_t dataset = H5Dopen2(handle, path, H5P_DEFAULT);
    hid_t type = dataset >= 0 ? H5Dget_type(dataset) : -1, space = dataset >= 0 ? H5Dget_space(dataset) : -1;
    swg_status status = SWG_OK;
    hssize_t points = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    if (type < 0 || points < 0)
        status = swg__h5_fail(ctx, SWG_EFORMAT, file, "cannot open \"vars\"");
    else if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_ndims(space) != 1)
        status = swg__fail(ctx, SWG_EFORMAT, "%s: dataset \"%s\" must hold one string per variable on one axis", file, path);
    else if (points == 0 || points > NAMES_MAX)
        status = swg__fail(ctx, SWG_ESHAPE, "%s: dataset \"%s\" holds %lld names; expected 1 to %d", file, path, (long long)points, NAMES_MAX);
    const char **names = NULL;
    if (status == SWG_OK && !(names = swg__arena_alloc(arena, (size_t)points * sizeof *names)))
        status = swg__fail_memory(ctx, (size_t)points * sizeof *names, path);
    if (status == SWG_OK)
        status = read_strings(ctx, arena, file, path, dataset, type, space, names, (int64_t)points);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (dataset >= 0)
        H5Dclose(dataset);
    if (status != SWG_OK)
        return status;
    *out = names;
    *count = (int64_t)points;
    return SWG_OK;
}

void swg__dims_describe(int rank, const int64_t *dims, char *text, size_t capacity) {
    size_t used = (size_t)snprintf(text, capacity, "(");
    for (int i = 0; i < rank && used < capacity; i++) {
        if (i == SWG__LISTED_AXES) {
            snprintf(text + used, capacity - used, ", ... %d axes)", rank);
            return;
        }
        used += (size_t)snprintf(text + used, capacity - used, i ? ", %lld" : "%lld", (long long)dims[i]);
    }
    if (used < capacity)
        snprintf(text + used, capacity - used, ")");
}

void swg__listing_describe(const swg__listing *listing, char *text, size_t capacity) {
    snprintf(text, capacity, listing->count ? "found: " : "the file holds no dataset");
    size_t used = strlen(text);
    for (int64_t i = 0; i < listing->count; i++) {
        const swg__dataset *item = &listing->items[i];
        char dims[128], line[320];
        swg__dims_describe(item->rank, item->dims, dims, sizeof dims);
        int length = snprintf(line, sizeof line, "%s%.120s %s %s", i ? "; " : "", item->path, dims, item->type);
        if (length < 0 || used + (size_t)length + 24 >= capacity) {
            snprintf(text + used, capacity - used, "; and %lld more", (long long)(listing->count - i));
            return;
        }
        memcpy(text + used, line, (size_t)length + 1);
        used += (size_t)length;
    }
}
