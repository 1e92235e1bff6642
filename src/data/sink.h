/* sink.h - a sink that writes as it goes: chunks packed by the caller, memory that does not grow with the file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SWAGE_DATA_SINK_H
#define SWAGE_DATA_SINK_H

#include "hdf5.h"

enum { SWG__SINK_AXES = 8 };

/* Where a direct sink's bytes go. The first failure is kept and what follows is dropped, because libhdf5 cannot recover from a failing
 * write: so it never sees one, and the commit tells. */
typedef struct swg__direct {
    int fd;
    int error;         /* errno; 0: all is well */
    haddr_t end;       /* of the file */
} swg__direct;

struct swg_sink {
    swg_context *ctx;
    swg__writer writer;
    hid_t handle;      /* of the file in memory, or of the one on disk */
    hid_t link_list;   /* creates the groups on a path */
    hid_t driver;      /* direct: the file driver; -1 otherwise */
    swg__direct direct;
    hid_t *datasets;   /* direct: open ones, by number */
    int64_t dataset_count;
};

/* As swg_sink_open, but bytes go to a temporary file beside `path` at once. Everything of data.h may be written to it; swg_sink_put
 * does not keep its data in memory either.
 * create: a file creation list, borrowed, for a file in the form of HDF5 1.10, which has no large index for a few chunks; H5P_DEFAULT: any HDF5 */
swg_status swg__sink_open_direct(swg_context *ctx, const char *path, hid_t create, swg_sink **out);

/* A chunked dataset whose chunks are shuffled and deflated by whoever packs them. dims: extents; those of the first axis may grow later
 * if `grows`. *number: for the calls below. */
swg_status swg__sink_chunked(swg_sink *sink, const char *dataset, swg_element element, int ndim, const int64_t *dims, const int64_t *chunk, bool grows,
                             int64_t *number);
swg_status swg__sink_grow(swg_sink *sink, int64_t number, int64_t rows);
/* No more chunks: an open dataset takes memory. */
void swg__sink_chunked_close(swg_sink *sink, int64_t number);
/* One packed chunk that begins at `first` (ndim indices, multiples of the chunk). SWG_EIO: disk full, and so on. */
swg_status swg__sink_chunk(swg_sink *sink, int64_t number, const int64_t *first, const void *packed, size_t bytes);

/* Shuffle and deflate as HDF5's own filters do: `bytes` of whole elements into `out`, which has room for swg__pack_bound(bytes) bytes; `work`: `bytes`
 * more. Returns the packed length, 0 when zlib has no memory. Any thread. */
size_t swg__pack_bound(size_t bytes);
size_t swg__pack(const void *data, size_t bytes, size_t element_bytes, int level, void *work, void *out);

/* ---- of sink_direct.c, for sink.c ---- */

swg_status swg__direct_open(swg_sink *sink, hid_t create);
void swg__direct_close(swg_sink *sink);
/* Fails with what the driver has kept, if there is something. */
swg_status swg__direct_check(swg_sink *sink);

#endif
