/* sink_direct.c - HDF5 files written as they come: a file driver that never fails towards libhdf5, and chunks packed by the caller.
 * In: packed chunks. Out: bytes in a temporary file, named by the commit of sink.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* ---- the driver ---- */

typedef struct file {
    H5FD_t head;       /* libhdf5's part: must come first */
    swg__direct *to;
    haddr_t eoa;
} file;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most) {
    (void)name;
    (void)flags;
    (void)most;
    swg__direct *const *to = H5Pget_driver_info(access);
    file *f = calloc(1, sizeof *f); /* libhdf5 gives no context: the C library's allocator */
    if (f)
        f->to = *to;
    return (H5FD_t *)f;
}

static herr_t driver_close(H5FD_t *f) {
    free(f);
    return 0;
}

static herr_t driver_query(const H5FD_t *f, unsigned long *flags) {
    (void)f;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_eoa(const H5FD_t *f, H5FD_mem_t type) {
    (void)type;
    return ((const file *)f)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *f, H5FD_mem_t type, haddr_t end) {
    (void)type;
    ((file *)f)->eoa = end;
    return 0;
}

static haddr_t driver_eof(const H5FD_t *f, H5FD_mem_t type) {
    (void)type;
    return ((const file *)f)->to->end;
}

/* What lies beyond the end, or was dropped after a failure, reads as zeros. */
static herr_t driver_read(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, void *out) {
    (void)type;
    (void)transfer;
    char *to = out;
    while (bytes) {
        ssize_t n = pread(((file *)f)->to->fd, to, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        to += n;
        at += (haddr_t)n;
        bytes -= (size_t)n;
    }
    memset(to, 0, bytes);
    return 0;
}

static herr_t driver_write(H5FD_t *f, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t bytes, const void *data) {
    (void)type;
    (void)transfer;
    swg__direct *to = ((file *)f)->to;
    const char *from = data;
    to->end = at + bytes > to->end ? at + bytes : to->end;
    while (bytes && !to->error) {
        ssize_t n = pwrite(to->fd, from, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            to->error = n < 0 ? errno : EIO;
            break;
        }
        from += n;
        at += (haddr_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static herr_t driver_truncate(H5FD_t *f, hid_t transfer, hbool_t closing) {
    (void)transfer;
    (void)closing;
    swg__direct *to = ((file *)f)->to;
    if (!to->error && ftruncate(to->fd, (off_t)((file *)f)->eoa) != 0)
        to->error = errno;
    to->end = ((file *)f)->eoa;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)(H5_VFD_RESERVED + 17),
#endif
    .name = "swage direct",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(swg__direct *),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* ---- the sink ---- */

swg_status swg__direct_open(swg_sink *sink, hid_t create) {
    swg__direct *to = &sink->direct;
    to->fd = sink->writer.fd;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    swg_status status = SWG_OK;
    if (access < 0 || (sink->driver = H5FDregister(&driver)) < 0 || H5Pset_driver(access, sink->driver, &to) < 0 ||
        (create != H5P_DEFAULT && H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_LATEST) < 0) ||
        (sink->handle = H5Fcreate(sink->writer.temporary, H5F_ACC_TRUNC, create, access)) < 0)
        status = swg__h5_fail(sink->ctx, SWG_EIO, sink->writer.path, "cannot start an HDF5 file");
    if (access >= 0)
        H5Pclose(access);
    return status;
}

void swg__direct_close(swg_sink *sink) {
    for (int64_t i = 0; i < sink->dataset_count; i++)
        if (sink->datasets[i] >= 0)
            H5Dclose(sink->datasets[i]);
    sink->dataset_count = 0;
    swg__free(sink->ctx, sink->datasets);
    sink->datasets = NULL;
    if (sink->handle >= 0)
        H5Fclose(sink->handle);
    sink->handle = -1;
    if (sink->driver >= 0)
        H5FDunregister(sink->driver);
    sink->driver = -1;
}

swg_status swg__direct_check(swg_sink *sink) {
    if (!sink->direct.error)
        return SWG_OK;
    return swg__fail(sink->ctx, SWG_EIO, "%s: cannot write: %s", sink->writer.path, strerror(sink->direct.error));
}

static swg_status fail_dataset(swg_sink *sink, const char *what, const char *dataset) {
    char text[400];
    snprintf(text, sizeof text, "cannot %s dataset \"%.300s\"", what, dataset);
    return swg__h5_fail(sink->ctx, SWG_EIO, sink->writer.path, text);
}

swg_status swg__sink_chunked(swg_sink *sink, const char *dataset, swg_element element, int ndim, const int64_t *dims, const int64_t *chunk, bool grows,
                             int64_t *number) {
    hsize_t extent[SWG__SINK_AXES], most[SWG__SINK_AXES], piece[SWG__SINK_AXES];
    hid_t *grown = swg__grow(sink->ctx, sink->datasets, (size_t)(sink->dataset_count + 1) * sizeof *grown);
    if (!grown)
        return swg__fail_memory(sink->ctx, (size_t)(sink->dataset_count + 1) * sizeof *grown, "the list of datasets");
    sink->datasets = grown;
    for (int i = 0; i < ndim; i++) {
        extent[i] = (hsize_t)dims[i];
        most[i] = i == 0 && grows ? H5S_UNLIMITED : extent[i];
        piece[i] = (hsize_t)chunk[i];
    }
    swg__h5 session;
    swg__h5_enter(&session);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(ndim, extent, most), made = -1;
    bool ok = list >= 0 && space >= 0 && H5Pset_chunk(list, ndim, piece) >= 0 && H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, 6) >= 0 &&
              H5Pset_obj_track_times(list, false) >= 0 &&
              (made = H5Dcreate2(sink->handle, dataset, swg__h5_stored(element, false), space, sink->link_list, list, H5P_DEFAULT)) >= 0;
    swg_status status = ok ? SWG_OK : fail_dataset(sink, "create", dataset);
    if (ok) {
        *number = sink->dataset_count;
        sink->datasets[sink->dataset_count++] = made;
    }
    if (space >= 0)
        H5Sclose(space);
    if (list >= 0)
        H5Pclose(list);
    swg__h5_leave(&session);
    return status == SWG_OK ? swg__direct_check(sink) : status;
}

swg_status swg__sink_grow(swg_sink *sink, int64_t number, int64_t rows) {
    hsize_t extent[SWG__SINK_AXES];
    hid_t dataset = sink->datasets[number], space;
    swg__h5 session;
    swg__h5_enter(&session);
    bool ok = (space = H5Dget_space(dataset)) >= 0 && H5Sget_simple_extent_dims(space, extent, NULL) > 0;
    extent[0] = (hsize_t)rows;
    ok = ok && H5Dset_extent(dataset, extent) >= 0;
    swg_status status = ok ? SWG_OK : fail_dataset(sink, "extend", "of blocks");
    if (space >= 0)
        H5Sclose(space);
    swg__h5_leave(&session);
    return status;
}

void swg__sink_chunked_close(swg_sink *sink, int64_t number) {
    swg__h5 session;
    swg__h5_enter(&session);
    H5Dclose(sink->datasets[number]);
    sink->datasets[number] = -1;
    swg__h5_leave(&session);
}

swg_status swg__sink_chunk(swg_sink *sink, int64_t number, const int64_t *first, const void *packed, size_t bytes) {
    hsize_t at[SWG__SINK_AXES] = {0};
    hid_t dataset = sink->datasets[number], space;
    swg__h5 session;
    swg__h5_enter(&session);
    int ndim = (space = H5Dget_space(dataset)) >= 0 ? H5Sget_simple_extent_ndims(space) : 0;
    for (int i = 0; i < ndim; i++)
        at[i] = (hsize_t)first[i];
    bool ok = ndim > 0 && H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, at, bytes, packed) >= 0;
    swg_status status = ok ? SWG_OK : fail_dataset(sink, "write to", "of blocks");
    if (space >= 0)
        H5Sclose(space);
    swg__h5_leave(&session);
    return status == SWG_OK ? swg__direct_check(sink) : status;
}

/* ---- packing ---- */

/* What deflate may make of it in the worst case, and the headers of the blocks that level 0 begins anew. */
size_t swg__pack_bound(size_t bytes) { return compressBound((uLong)bytes) + 256 + bytes / 512; }

/* Byte b of every element, together. */
static void shuffle(const uint8_t *restrict from, size_t count, size_t element_bytes, uint8_t *restrict to) {
    if (element_bytes == 4) { /* written so that compilers see the vector instructions in it */
        for (size_t i = 0; i < count; i++) {
            uint32_t value;
            memcpy(&value, from + 4 * i, 4);
            to[i] = (uint8_t)value;
            to[count + i] = (uint8_t)(value >> 8);
            to[2 * count + i] = (uint8_t)(value >> 16);
            to[3 * count + i] = (uint8_t)(value >> 24);
        }
        return;
    }
    for (size_t b = 0; b < element_bytes; b++)
        for (size_t i = 0; i < count; i++)
            to[b * count + i] = from[i * element_bytes + b];
}

/* Bytes that are spread as evenly as noise: nothing is gained by coding them. Judged by a sample; for a uniform one the sum of squares of the counts is
 * about n + n^2 / 256. */
static bool is_noise(const uint8_t *bytes, size_t count) {
    enum { SAMPLE = 4096 };
    uint32_t counts[256] = {0};
    size_t step = count > SAMPLE ? count / SAMPLE : 1, n = 0;
    uint64_t squares = 0;
    for (size_t i = 0; i < count && n < SAMPLE; i += step, n++)
        counts[bytes[i]]++;
    for (int v = 0; v < 256; v++)
        squares += (uint64_t)counts[v] * counts[v];
    return n == SAMPLE && squares < n + n * n / 256 + n * n / 1024;
}

/* Level 0 is ours: the low bytes of floating-point numbers are noise and stored; of the others only runs and frequencies are coded. A
 * tenth of the time of level 1, and as small to a few percent on latents. */
static bool deflate_fast(z_stream *z, uint8_t *bytes, size_t count, size_t planes) {
    bool good = deflateInit2(z, 1, Z_DEFLATED, 15, 8, Z_RLE) == Z_OK;
    for (size_t b = 0; b < planes && good; b++) {
        good = deflateParams(z, is_noise(bytes + b * count, count) ? 0 : 1, Z_RLE) == Z_OK;
        z->next_in = bytes + b * count;
        z->avail_in = (uInt)count;
        good = good && deflate(z, b + 1 == planes ? Z_FINISH : Z_BLOCK) == (b + 1 == planes ? Z_STREAM_END : Z_OK) && z->avail_in == 0;
    }
    return good;
}

size_t swg__pack(const void *data, size_t bytes, size_t element_bytes, int level, void *work, void *out) {
    z_stream z = {.next_out = out, .avail_out = (uInt)swg__pack_bound(bytes)};
    bool good;
    shuffle(data, bytes / element_bytes, element_bytes, work);
    if (level == 0) {
        good = deflate_fast(&z, work, bytes / element_bytes, element_bytes);
    } else {
        good = deflateInit(&z, level) == Z_OK;
        z.next_in = work;
        z.avail_in = (uInt)bytes;
        good = good && deflate(&z, Z_FINISH) == Z_STREAM_END;
    }
    deflateEnd(&z);
    return good ? (size_t)z.total_out : 0;
}
