/* stack_h5.c - a dataset of an HDF5 file as a stack, named "file.h5:/group/name".
 * In: the file and the name. Out: stored numbers of boxes; HDF5 picks them out of chunks and turns bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "data/hdf5.h"
#include "data/stack_format.h"

enum { CACHE_BYTES = 32 << 20 }; /* of decoded chunks: boxes of one row of chunks decode none twice */

typedef struct h5_stack {
    hid_t file, dataset, space;
    swg__axes axes;
} h5_stack;

size_t swg__stack_dataset(swg_context *ctx, const char *path) {
    size_t length = 0;
    char *file = strstr(path, ":/") && !swg__exists(path) ? swg__strdup(ctx, path) : NULL;
    for (char *at = file ? strstr(file, ":/") : NULL; at && !length; at = strstr(at + 1, ":/")) {
        *at = 0;
        if (swg__exists(file) && !swg__is_folder(file))
            length = (size_t)(at - file);
        *at = ':';
    }
    swg__free(ctx, file);
    return length;
}

static swg_status open_dataset(swg_stack *stack, h5_stack *h) {
    swg_context *ctx = stack->ctx;
    const size_t length = swg__stack_dataset(ctx, stack->name);
    char *file = swg__strdup(ctx, stack->name);
    if (!file || !length) {
        swg__free(ctx, file);
        return swg__fail_memory(ctx, strlen(stack->name), stack->name);
    }
    file[length] = 0;
    swg_status status = SWG_OK;
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 12421, CACHE_BYTES, 0.75);
    if ((h->file = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT)) < 0)
        status = swg__h5_fail(ctx, SWG_EFORMAT, stack->name, "cannot open as HDF5");
    else if ((h->dataset = H5Dopen2(h->file, stack->name + length + 1, access)) < 0)
        status = swg__h5_fail(ctx, SWG_ENOTFOUND, stack->name, "no such dataset");
    H5Pclose(access);
    swg__free(ctx, file);
    return status;
}

static swg_status settle_type(swg_stack *stack, const h5_stack *h) {
    hid_t type = H5Dget_type(h->dataset);
    const bool known = type >= 0 && (swg__h5_element(type, &stack->info.element, &stack->info.big_endian) ||
                                     swg__h5_integer(type, &stack->info.element, &stack->info.big_endian));
    if (type >= 0)
        H5Tclose(type);
    return known ? SWG_OK : swg__fail(stack->ctx, SWG_EDTYPE, "%s: numbers of this type are not read; integers, f32 and f64 are", stack->name);
}

static void settle_storage(swg_stack *stack, const h5_stack *h) {
    hid_t create = H5Dget_create_plist(h->dataset);
    hsize_t chunk[SWG__AXES_MAX];
    if (create >= 0 && H5Pget_layout(create) == H5D_CHUNKED && H5Pget_chunk(create, h->axes.count, chunk) == h->axes.count) {
        const int z = swg__axes_find(&h->axes, 'Z'), y = swg__axes_find(&h->axes, 'Y');
        stack->info.tiled = true;
        stack->band_z = z >= 0 ? (int64_t)chunk[z] : 1;
        stack->band_y = (int64_t)chunk[y];
    }
    for (int i = 0; create >= 0 && i < H5Pget_nfilters(create); i++) {
        unsigned flags, parameters[8];
        size_t count = 8;
        char name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(create, (unsigned)i, &flags, &count, parameters, sizeof name, name, NULL);
        if (filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32)
            continue;
        char *kept = filter == H5Z_FILTER_DEFLATE ? NULL : swg__arena_strdup(&stack->arena, name);
        stack->info.compression = kept && *kept ? kept : filter == H5Z_FILTER_DEFLATE ? "deflate" : "filter";
    }
    if (create >= 0)
        H5Pclose(create);
}

/* Attribute element_size_um of Fiji's and ilastik's files: z, y, x. */
static void settle_sizes(swg_stack *stack, const h5_stack *h) {
    double size[3];
    if (H5Aexists(h->dataset, "element_size_um") <= 0)
        return;
    hid_t attribute = H5Aopen(h->dataset, "element_size_um", H5P_DEFAULT), space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 3 && H5Aread(attribute, H5T_NATIVE_DOUBLE, size) >= 0)
        for (int i = 0; i < 3; i++)
            stack->info.size_um[i] = size[i] > 0 && size[i] < 1e12 ? size[i] : 0;
    if (space >= 0)
        H5Sclose(space);
    if (attribute >= 0)
        H5Aclose(attribute);
}

static swg_status settle(swg_stack *stack, h5_stack *h) {
    SWG__TRY(open_dataset(stack, h));
    SWG__TRY(settle_type(stack, h));
    if ((h->space = H5Dget_space(h->dataset)) < 0)
        return swg__h5_fail(stack->ctx, SWG_ECORRUPT, stack->name, "no extents");
    const int ndim = H5Sget_simple_extent_ndims(h->space);
    hsize_t extent[H5S_MAX_RANK];
    int64_t dims[H5S_MAX_RANK];
    const char *from;
    if (ndim < 0 || H5Sget_simple_extent_dims(h->space, extent, NULL) != ndim)
        return swg__h5_fail(stack->ctx, SWG_ECORRUPT, stack->name, "no extents");
    for (int i = 0; i < ndim; i++)
        dims[i] = extent[i] <= INT32_MAX ? (int64_t)extent[i] : INT64_MAX;
    SWG__TRY(swg__axes_of_array(stack->ctx, stack->name, stack->layout, ndim, dims, &h->axes, &from));
    SWG__TRY(swg__stack_take_axes(stack, &h->axes, from));
    settle_storage(stack, h);
    settle_sizes(stack, h);
    return SWG_OK;
}

static swg_status open_h5(swg_stack *stack) {
    h5_stack *h = swg__calloc(stack->ctx, 1, sizeof *h);
    if (!h)
        return swg__fail_memory(stack->ctx, sizeof *h, stack->name);
    *h = (h5_stack){.file = H5I_INVALID_HID, .dataset = H5I_INVALID_HID, .space = H5I_INVALID_HID};
    stack->state = h;
    stack->info.format = "HDF5";
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = settle(stack, h);
    swg__h5_leave(&session);
    return status;
}

/* Channel by channel: what HDF5 delivers is (z, y, x) whatever the place of the other axes. */
static swg_status read_channel(swg_stack *stack, const h5_stack *h, const swg_stack_box *box, int channel, void *out) {
    hsize_t start[SWG__AXES_MAX], count[SWG__AXES_MAX], numbers = (hsize_t)(box->d * box->h * box->w);
    for (int i = 0; i < h->axes.count; i++) {
        const char letter = h->axes.letter[i];
        start[i] = (hsize_t)(letter == 'T' ? box->t : letter == 'C' ? channel : letter == 'Z' ? box->z : letter == 'Y' ? box->y : box->x);
        count[i] = (hsize_t)(letter == 'Z' ? box->d : letter == 'Y' ? box->h : letter == 'X' ? box->w : 1);
    }
    hid_t memory = H5Screate_simple(1, &numbers, NULL);
    bool read = memory >= 0 && H5Sselect_hyperslab(h->space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                H5Dread(h->dataset, swg__h5_native(stack->info.element), memory, h->space, H5P_DEFAULT, out) >= 0;
    swg_status status = read ? SWG_OK : swg__h5_fail(stack->ctx, SWG_ECORRUPT, stack->name, "damaged, or a filter is missing");
    if (memory >= 0)
        H5Sclose(memory);
    return status;
}

static swg_status read_h5(swg_stack *stack, const swg_stack_box *box, void *out) {
    const size_t bytes = (size_t)(box->d * box->h * box->w) * (size_t)swg_element_bytes(stack->info.element);
    swg_status status = SWG_OK;
    swg__h5 session;
    swg__h5_enter(&session);
    for (int c = 0; status == SWG_OK && c < box->channel_count; c++)
        status = read_channel(stack, stack->state, box, box->channels[c], (uint8_t *)out + (size_t)c * bytes);
    swg__h5_leave(&session);
    return status;
}

static void close_h5(swg_stack *stack) {
    h5_stack *h = stack->state;
    swg__h5 session;
    swg__h5_enter(&session);
    if (h->space >= 0)
        H5Sclose(h->space);
    if (h->dataset >= 0)
        H5Dclose(h->dataset);
    if (h->file >= 0)
        H5Fclose(h->file);
    swg__h5_leave(&session);
    swg__free(stack->ctx, h);
}

const swg__stack_format swg__stack_hdf5 = {.open = open_h5, .read = read_h5, .close = close_h5};
