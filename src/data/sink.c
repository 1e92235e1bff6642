/* sink.c - writes a new HDF5 file: datasets, names, attributes; built in memory, on disk whole or not at all.
 * In: arrays in memory. Out: a file under its final name, or none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "sink.h"

/* About 1 MiB per chunk: large enough for deflate and few index entries, small enough for random access. */
enum { AXES_MAX = SWG__SINK_AXES, CHUNK_BYTES = 1 << 20, MEMORY_STEP = 4 << 20 };

/* libhdf5 cannot recover from a failing write: it frees the file and meets it again at exit (seen with 1.10.8 and a full disk).
 * So it writes to memory, and the bytes go to disk through the writer that all our files go through; or, in a direct sink, to a driver
 * that hides failures from it. */

static swg_status open_memory(swg_sink *sink) {
    char name[64];
    snprintf(name, sizeof name, "swage-sink-%p", (void *)sink); /* any name no other file has */
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    swg_status status = SWG_OK;
    if (access < 0 || H5Pset_fapl_core(access, MEMORY_STEP, false) < 0 ||
        (sink->handle = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access)) < 0)
        status = swg__h5_fail(sink->ctx, SWG_ENOMEM, sink->writer.path, "cannot start an HDF5 file");
    if (access >= 0)
        H5Pclose(access);
    return status;
}

static swg_status open_links(swg_sink *sink) {
    if ((sink->link_list = H5Pcreate(H5P_LINK_CREATE)) < 0 || H5Pset_create_intermediate_group(sink->link_list, 1) < 0)
        return swg__h5_fail(sink->ctx, SWG_ENOMEM, sink->writer.path, "cannot start an HDF5 file");
    return SWG_OK;
}

static swg_status open_sink(swg_context *ctx, const char *path, bool direct, hid_t create, swg_sink **out) {
    *out = NULL;
    swg_sink *sink = swg__calloc(ctx, 1, sizeof *sink);
    if (!sink)
        return swg__fail_memory(ctx, sizeof *sink, path);
    sink->ctx = ctx;
    sink->handle = sink->link_list = sink->driver = -1;
    swg_status status = swg__writer_open(&sink->writer, ctx, path);
    if (status == SWG_OK) {
        swg__h5 session;
        swg__h5_enter(&session);
        status = open_links(sink);
        if (status == SWG_OK)
            status = direct ? swg__direct_open(sink, create) : open_memory(sink);
        swg__h5_leave(&session);
    }
    if (status != SWG_OK) {
        swg_sink_abort(sink);
        return status;
    }
    *out = sink;
    return SWG_OK;
}

swg_status swg_sink_open(swg_context *ctx, const char *path, swg_sink **out) { return open_sink(ctx, path, false, H5P_DEFAULT, out); }
swg_status swg__sink_open_direct(swg_context *ctx, const char *path, hid_t create, swg_sink **out) {
    return open_sink(ctx, path, true, create, out);
}

static swg_status fail_write(swg_sink *sink, const char *what, const char *object) {
    char text[400];
    snprintf(text, sizeof text, "cannot write %s \"%.300s\"", what, object);
    return swg__h5_fail(sink->ctx, SWG_EIO, sink->writer.path, text);
}

/* Chunks are whole slices of the first axis, so that one variable's blocks or one plane are read together. */
static bool set_filters(hid_t list, swg_element element, int ndim, const hsize_t *dims, int deflate) {
    hsize_t chunk[AXES_MAX], row_bytes = (hsize_t)swg_element_bytes(element);
    for (int i = 1; i < ndim; i++)
        row_bytes *= dims[i];
    hsize_t rows = row_bytes ? CHUNK_BYTES / row_bytes : 1;
    memcpy(chunk, dims, (size_t)ndim * sizeof *chunk);
    chunk[0] = rows < 1 ? 1 : rows < dims[0] ? rows : dims[0];
    for (int i = 1; i < ndim && row_bytes > CHUNK_BYTES; i++) { /* a row alone is too large: cut the following axes too */
        row_bytes /= dims[i];
        hsize_t fit = row_bytes ? CHUNK_BYTES / row_bytes : 1;
        chunk[i] = fit < 1 ? 1 : fit < dims[i] ? fit : dims[i];
    }
    return H5Pset_chunk(list, ndim, chunk) >= 0 && H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, (unsigned)deflate) >= 0;
}

static swg_status put(swg_sink *sink, const char *name, hid_t stored, hid_t native, hid_t list, int ndim, const hsize_t *dims, const void *data) {
    H5Pset_obj_track_times(list, false); /* the same data give the same bytes */
    hid_t space = H5Screate_simple(ndim, dims, NULL), dataset = -1;
    bool ok = space >= 0 && (dataset = H5Dcreate2(sink->handle, name, stored, space, sink->link_list, list, H5P_DEFAULT)) >= 0;
    if (ok && H5Sget_simple_extent_npoints(space) > 0)
        ok = H5Dwrite(dataset, native, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    swg_status status = ok ? SWG_OK : fail_write(sink, "dataset", name); /* before the next call clears HDF5's error stack */
    if (dataset >= 0 && H5Dclose(dataset) < 0 && ok)
        status = fail_write(sink, "dataset", name);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

swg_status swg_sink_put(swg_sink *sink, const char *dataset, swg_element element, int ndim, const int64_t *dims, const void *data,
                        const swg_sink_opts *opts) {
    swg_sink_opts defaults = {0};
    opts = opts ? opts : &defaults;
    hsize_t extent[AXES_MAX], total = 1;
    if (!*dataset || ndim < 1 || ndim > AXES_MAX || swg_element_bytes(element) == 0 || opts->deflate < 0 || opts->deflate > 9)
        return swg__fail(sink->ctx, SWG_EINVAL, "%s: dataset \"%s\": %d axes (1..%d), element type %d, deflate %d (0..9)", sink->writer.path, dataset, ndim,
                         AXES_MAX, (int)element, opts->deflate);
    for (int i = 0; i < ndim; i++) {
        if (dims[i] < 0)
            return swg__fail(sink->ctx, SWG_EINVAL, "%s: dataset \"%s\": axis %d has %lld values", sink->writer.path, dataset, i, (long long)dims[i]);
        extent[i] = (hsize_t)dims[i];
        total *= extent[i];
    }
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = SWG_OK;
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (list < 0 || (opts->deflate && total && !set_filters(list, element, ndim, extent, opts->deflate)))
        status = fail_write(sink, "dataset", dataset);
    if (status == SWG_OK)
        status = put(sink, dataset, swg__h5_stored(element, opts->big_endian), swg__h5_native(element), list, ndim, extent, data);
    if (list >= 0)
        H5Pclose(list);
    swg__h5_leave(&session);
    return status;
}

swg_status swg_sink_put_names(swg_sink *sink, const char *dataset, const char *const *names, int64_t count) {
    if (count < 1)
        return swg__fail(sink->ctx, SWG_EINVAL, "%s: dataset \"%s\": no name to write", sink->writer.path, dataset);
    size_t longest = 1;
    for (int64_t i = 0; i < count; i++)
        longest = strlen(names[i]) > longest ? strlen(names[i]) : longest;
    char *table = swg__calloc(sink->ctx, (size_t)count, longest);
    if (!table)
        return swg__fail_memory(sink->ctx, (size_t)count * longest, dataset);
    for (int64_t i = 0; i < count; i++)
        memcpy(table + (size_t)i * longest, names[i], strlen(names[i]));
    swg__h5 session;
    swg__h5_enter(&session);
    hid_t type = H5Tcopy(H5T_C_S1), list = H5Pcreate(H5P_DATASET_CREATE);
    swg_status status = SWG_OK;
    if (type < 0 || list < 0 || H5Tset_size(type, longest) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0)
        status = fail_write(sink, "dataset", dataset);
    if (status == SWG_OK)
        status = put(sink, dataset, type, type, list, 1, &(hsize_t){(hsize_t)count}, table);
    if (list >= 0)
        H5Pclose(list);
    if (type >= 0)
        H5Tclose(type);
    swg__h5_leave(&session);
    swg__free(sink->ctx, table);
    return status;
}

/* Writes an attribute of `object`, a group that is made on the way if it is not there. count 0: a scalar. */
static swg_status attribute(swg_sink *sink, const char *object, const char *name, hid_t stored, hid_t native, int64_t count, const void *value) {
    bool root = strcmp(object, "/") == 0;
    hid_t owner = root || H5Lexists(sink->handle, object, H5P_DEFAULT) > 0
                      ? H5Oopen(sink->handle, object, H5P_DEFAULT)
                      : H5Gcreate2(sink->handle, object, sink->link_list, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = count ? H5Screate_simple(1, &(hsize_t){(hsize_t)count}, NULL) : H5Screate(H5S_SCALAR), item = -1;
    bool ok = owner >= 0 && space >= 0 && (item = H5Acreate2(owner, name, stored, space, H5P_DEFAULT, H5P_DEFAULT)) >= 0 &&
              H5Awrite(item, native, value) >= 0;
    swg_status status = ok ? SWG_OK : fail_write(sink, "attribute", name);
    if (item >= 0)
        H5Aclose(item);
    if (space >= 0)
        H5Sclose(space);
    if (owner >= 0)
        H5Oclose(owner);
    return status;
}

swg_status swg_sink_text(swg_sink *sink, const char *object, const char *name, const char *text) {
    swg__h5 session;
    swg__h5_enter(&session);
    hid_t type = H5Tcopy(H5T_C_S1);
    swg_status status = SWG_OK;
    if (type < 0 || H5Tset_size(type, strlen(text) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)
        status = fail_write(sink, "attribute", name);
    else
        status = attribute(sink, object, name, type, type, 0, text);
    if (type >= 0)
        H5Tclose(type);
    swg__h5_leave(&session);
    return status;
}

swg_status swg_sink_number(swg_sink *sink, const char *object, const char *name, double value) {
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = attribute(sink, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, &value);
    swg__h5_leave(&session);
    return status;
}

swg_status swg_sink_integers(swg_sink *sink, const char *object, const char *name, const int64_t *values, int64_t count) {
    if (count < 1)
        return swg__fail(sink->ctx, SWG_EINVAL, "%s: attribute \"%s\": no value to write", sink->writer.path, name);
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = attribute(sink, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, count, values);
    swg__h5_leave(&session);
    return status;
}

/* The image is complete after a flush; it ends where HDF5 has allocated up to. */
static swg_status write_image(swg_sink *sink) {
    void *memory = NULL;
    ssize_t bytes;
    if (H5Fflush(sink->handle, H5F_SCOPE_GLOBAL) < 0 || (bytes = H5Fget_file_image(sink->handle, NULL, 0)) <= 0 ||
        H5Fget_vfd_handle(sink->handle, H5P_DEFAULT, &memory) < 0)
        return swg__h5_fail(sink->ctx, SWG_EIO, sink->writer.path, "cannot finish the HDF5 file");
    return swg__writer_write(&sink->writer, *(void **)memory, (size_t)bytes); /* the core driver's handle points to its buffer */
}

swg_status swg_sink_commit(swg_sink *sink) {
    swg__h5 session;
    swg__h5_enter(&session);
    swg_status status = SWG_OK;
    if (sink->driver >= 0)
        swg__direct_close(sink);
    else
        status = write_image(sink);
    swg__h5_leave(&session);
    if (status == SWG_OK)
        status = swg__direct_check(sink);
    if (status == SWG_OK)
        status = swg__writer_commit(&sink->writer);
    swg_sink_abort(sink);
    return status;
}

void swg_sink_abort(swg_sink *sink) {
    if (!sink)
        return;
    swg__h5 session;
    swg__h5_enter(&session);
    if (sink->link_list >= 0)
        H5Pclose(sink->link_list);
    if (sink->driver >= 0)
        swg__direct_close(sink);
    else if (sink->handle >= 0)
        H5Fclose(sink->handle);
    swg__h5_leave(&session);
    swg__writer_abort(&sink->writer); /* nothing is left to drop after a commit */
    swg__free(sink->ctx, sink);
}
